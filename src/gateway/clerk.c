/* What takes longer than a loop may be held up: one thread aside does it, one thing after the
 * other. Above all new routes: read, checked, kept, laid out; then each loop adopts them. */
#include "base/exposition.h"
#include "base/file.h"
#include "base/log.h"
#include "internal.h"

#include <assert.h>
#include <malloc.h>

enum { WAITING_MAX = 16, KEEP_AGAIN_MS = 1000 };
static const size_t TABLE_BYTES_MAX = (size_t)1 << 30;
static const size_t LARGE_BYTES = (size_t)4 << 20;
static const size_t ANSWER_BYTES_MAX = (size_t)256 << 20;

/* A document of routes. */
typedef struct update {
    const char *bytes;
    size_t size;
} update;

/* Something asked of the clerk; runs on its thread and sees to the answer. */
typedef struct errand {
    es_http_request *request; /* NULL: a view is to be freed */
    void (*run)(struct es_gateway_clerk *clerk, es_http_request *request);
    es_gateway_view *view;
} errand;

typedef struct es_gateway_clerk {
    es_gateway *gateway;
    pthread_t thread;
    bool runs;
    es_queue *errands;
    es_gateway_routes *now; /* what loops follow; the clerk's */
    int64_t keep_again_ns;  /* while gateway->unkept */
    pthread_mutex_t lock;   /* guards loops_left */
    pthread_cond_t adopted;
    uint32_t loops_left;
} es_gateway_clerk;

/* ---- adopting ---- */

typedef struct adoption {
    es_http_task task;
    es_gateway_loop *loop;
    es_gateway_view *view;
    es_gateway_view *before; /* to be freed */
} adoption;

static void note_adopted(es_gateway_clerk *clerk)
{
    (void)pthread_mutex_lock(&clerk->lock);
    clerk->loops_left--;
    (void)pthread_cond_signal(&clerk->adopted);
    (void)pthread_mutex_unlock(&clerk->lock);
}

static void adopt(es_http_task *task)
{
    adoption *a = task->context;
    a->before = es_gateway_view_adopt(a->loop, a->view);
    note_adopted(a->loop->gateway->clerk);
}

/* All loops or none: views are made first, handing them over cannot fail. */
static es_status make_views(es_gateway *gateway, es_gateway_routes *routes, adoption *adoptions,
                            es_error *err)
{
    for (uint32_t i = 0; i < gateway->opts.loop_count; i++) {
        es_gateway_loop *loop = &gateway->loops[i];
        adoptions[i] = (adoption){.task = {.run = adopt, .context = &adoptions[i]}, .loop = loop};
        es_status status =
            es_gateway_view_new(loop, routes, atomic_load(&loop->view), &adoptions[i].view, err);
        if (status != ES_OK) {
            while (i-- > 0)
                es_gateway_view_free(adoptions[i].view);
            return status;
        }
    }
    return ES_OK;
}

static es_status follow(es_gateway_clerk *clerk, es_gateway_routes *routes, es_error *err)
{
    es_gateway *gateway = clerk->gateway;
    uint32_t count = gateway->opts.loop_count;
    adoption adoptions[ES_GATEWAY_LOOPS_MAX];
    ES_TRY(make_views(gateway, routes, adoptions, err));
    clerk->loops_left = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!es_http_task_post(gateway->caller, i, &adoptions[i].task)) {
            es_gateway_view_free(adoptions[i].view); /* the gateway is stopping */
            note_adopted(clerk);
        }
    }
    (void)pthread_mutex_lock(&clerk->lock);
    while (clerk->loops_left > 0)
        (void)pthread_cond_wait(&clerk->adopted, &clerk->lock);
    (void)pthread_mutex_unlock(&clerk->lock);
    for (uint32_t i = 0; i < count; i++)
        es_gateway_view_free(adoptions[i].before);
    es_gateway_routes_unref(clerk->now);
    clerk->now = routes;
    return ES_OK;
}

/* ---- reading ---- */

static es_status read_table(const update *u, const char *name, es_serve_table **out, es_error *err)
{
    const es_serve_routes *routes = NULL;
    es_arena *arena = es_arena_new(TABLE_BYTES_MAX);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for routes");
    es_status status = es_serve_routes_parse(arena, name, u->bytes, u->size, &routes, err);
    if (status == ES_OK)
        status = es_serve_table_new(arena, routes, out, err);
    if (status != ES_OK)
        es_arena_free(arena);
    return status;
}

static es_status keep(const es_gateway *gateway, const es_serve_routes *routes, es_error *err)
{
    es_text text;
    if (gateway->opts.routes_file == NULL)
        return ES_OK;
    es_text_init(&text, ES_SERVE_DOCUMENT_BYTES_MAX);
    es_serve_routes_write(routes, true, &text);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        status = es_file_write(gateway->opts.routes_file, text.bytes, text.size, err);
    es_text_done(&text);
    return status;
}

/* Once the disk has room again; tried when somebody asks for something, as controllers do. */
static void keep_again(es_gateway_clerk *clerk)
{
    es_gateway *gateway = clerk->gateway;
    int64_t now_ns = es_clock_now_ns(gateway->clock);
    if (!gateway->unkept || now_ns < clerk->keep_again_ns)
        return;
    gateway->unkept = keep(gateway, clerk->now->table->routes, NULL) != ES_OK;
    clerk->keep_again_ns = now_ns + KEEP_AGAIN_MS * ES_NS_PER_MS;
    if (!gateway->unkept)
        es_log(ES_LOG_INFO, "gateway", "routes are kept again, generation=%lld",
               (long long)clerk->now->table->routes->generation);
}

/* ---- PUT ---- */

static void answer_taken(es_http_request *request, const es_serve_routes *routes, bool kept,
                         const char *why)
{
    es_text text;
    es_json json;
    es_text_init(&text, 4096);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_int(&json, "generation", routes->generation);
    es_json_put_bool(&json, "kept", kept);
    if (!kept)
        es_json_put_text(&json, "warning", why);
    es_json_map_end(&json);
    es_http_answer_json(request, 200, &text);
}

/* The same document again is fine: whoever sent it may not have heard. */
static bool is_older(const es_gateway_clerk *clerk, const es_serve_table *table)
{
    return clerk->now != NULL && table->routes->generation < clerk->now->table->routes->generation;
}

static void answer_older(es_http_request *request, const es_gateway_clerk *clerk,
                         const es_serve_table *table)
{
    char text[128];
    (void)snprintf(text, sizeof text, "generation=%lld is older than %lld, which is followed",
                   (long long)table->routes->generation,
                   (long long)clerk->now->table->routes->generation);
    es_http_answer_error(request, 409, text);
}

/* Follows a table that was read; answers in any case. */
static void take_table(es_gateway_clerk *clerk, es_http_request *request, es_serve_table *table)
{
    es_gateway_routes *routes = NULL;
    es_error err = {0};
    es_error why = {0};
    if (es_gateway_routes_new(clerk->gateway, table, clerk->now, &routes, &err) != ES_OK) {
        es_http_answer_fail(request, &err);
        return;
    }
    /* A full disk must not keep the gateway from following: it only forgets with its end. */
    bool kept = keep(clerk->gateway, table->routes, &why) == ES_OK;
    if (!kept)
        es_log(ES_LOG_WARNING, "gateway", "routes are not kept: %s", es_error_text(&why));
    if (follow(clerk, routes, &err) != ES_OK) {
        es_gateway_routes_unref(routes);
        es_http_answer_fail(request, &err);
        return;
    }
    clerk->gateway->unkept = !kept;
    es_log(ES_LOG_INFO, "gateway", "follows routes generation=%lld classes=%zu",
           (long long)table->routes->generation, table->routes->class_count);
    answer_taken(request, table->routes, kept, es_error_text(&why));
}

static void run_put(es_gateway_clerk *clerk, es_http_request *request)
{
    es_serve_table *table = NULL;
    es_error err = {0};
    update u = {.bytes = ""};
    const void *body = es_http_request_body(request, &u.size);
    if (body != NULL)
        u.bytes = body;
    if (read_table(&u, "routes", &table, &err) != ES_OK) {
        es_http_answer_fail(request, &err);
        return;
    }
    if (is_older(clerk, table))
        answer_older(request, clerk, table);
    else
        take_table(clerk, request, table);
    es_serve_table_unref(table);
    if (u.size > LARGE_BYTES) /* reading takes several times what following does */
        (void)malloc_trim(0); /* says only whether anything was given back */
}

/* ---- telling ---- */

static void run_get(es_gateway_clerk *clerk, es_http_request *request)
{
    es_text text;
    if (clerk->now == NULL) {
        es_http_answer_error(request, 404, "no routes yet");
        return;
    }
    es_text_init(&text, ANSWER_BYTES_MAX);
    es_serve_routes_write(clerk->now->table->routes, false, &text);
    es_http_answer_json(request, 200, &text);
}

static void run_list(es_gateway_clerk *clerk, es_http_request *request)
{
    es_text text;
    es_json json;
    es_text_init(&text, ANSWER_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_key(&json, "models");
    es_json_list_begin(&json);
    const es_serve_table *table = clerk->now != NULL ? clerk->now->table : NULL;
    for (uint32_t c = 0; table != NULL && c < table->routes->class_count; c++)
        if (es_serve_table_is_first(table, c))
            es_json_text(&json, table->routes->classes[c].task);
    es_json_list_end(&json);
    es_json_map_end(&json);
    es_http_answer_json(request, 200, &text);
}

static void run_observe(es_gateway_clerk *clerk, es_http_request *request)
{
    es_text text;
    es_text_init(&text, ANSWER_BYTES_MAX);
    es_gateway_observe_write(clerk->gateway, &text);
    es_http_answer_json(request, 200, &text);
}

static void run_metrics(es_gateway_clerk *clerk, es_http_request *request)
{
    es_text text;
    es_text_init(&text, ANSWER_BYTES_MAX);
    es_gateway_metrics_write(clerk->gateway, &text);
    es_http_answer_text(request, 200, ES_EXPOSITION_TYPE, &text);
}

static void run_page(es_gateway_clerk *clerk, es_http_request *request)
{
    es_text text;
    es_text_init(&text, ANSWER_BYTES_MAX);
    es_gateway_page_write(clerk->gateway, &text);
    es_http_answer_text(request, 200, "text/html; charset=utf-8", &text);
}

/* ---- errands ---- */

static void ask(es_gateway *gateway, es_http_request *request,
                void (*run_errand)(es_gateway_clerk *clerk, es_http_request *request))
{
    errand *e = calloc(1, sizeof *e);
    if (e != NULL)
        *e = (errand){.request = request, .run = run_errand};
    if (e != NULL && es_queue_try_push(gateway->clerk->errands, e))
        return;
    free(e);
    es_http_answer_error(request, 503, "too many such requests wait");
}

void es_gateway_clerk_free(es_gateway *gateway, es_gateway_view *view)
{
    errand *e = calloc(1, sizeof *e);
    if (e != NULL)
        *e = (errand){.view = view};
    if (e != NULL && es_queue_try_push(gateway->clerk->errands, e))
        return;
    free(e);
    es_gateway_view_free(view);
}

void es_gateway_routes_put(void *context, es_http_request *request)
{
    ask(context, request, run_put);
}

void es_gateway_routes_get(void *context, es_http_request *request)
{
    ask(context, request, run_get);
}

void es_gateway_task_list(void *context, es_http_request *request)
{
    ask(context, request, run_list);
}

void es_gateway_observe(void *context, es_http_request *request)
{
    ask(context, request, run_observe);
}

void es_gateway_metrics(void *context, es_http_request *request)
{
    ask(context, request, run_metrics);
}

void es_gateway_page(void *context, es_http_request *request)
{
    ask(context, request, run_page);
}

static void *run(void *context)
{
    es_gateway_clerk *clerk = context;
    for (;;) {
        errand *e = es_queue_pop(clerk->errands);
        if (e == NULL)
            return NULL;
        keep_again(clerk);
        if (e->request != NULL)
            e->run(clerk, e->request);
        es_gateway_view_free(e->view);
        free(e);
    }
}

/* ---- life ---- */

/* Before the loops run: nobody else looks. */
static es_status follow_file(es_gateway_clerk *clerk, es_error *err)
{
    es_gateway *gateway = clerk->gateway;
    const char *path = gateway->opts.routes_file;
    es_serve_table *table = NULL;
    es_gateway_routes *routes = NULL;
    update u = {0};
    if (path == NULL || !es_file_exists(path))
        return ES_OK;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(2 * TABLE_BYTES_MAX);
    char *bytes = NULL;
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for routes");
    ES_TRY(es_file_read(arena, path, ES_SERVE_DOCUMENT_BYTES_MAX, &bytes, &u.size, err));
    u.bytes = bytes;
    ES_TRY(read_table(&u, es_arena_text(arena, path), &table, err));
    es_status status = es_gateway_routes_new(gateway, table, NULL, &routes, err);
    es_serve_table_unref(table);
    ES_TRY(status);
    adoption adoptions[ES_GATEWAY_LOOPS_MAX];
    status = make_views(gateway, routes, adoptions, err);
    for (uint32_t i = 0; status == ES_OK && i < gateway->opts.loop_count; i++)
        (void)es_gateway_view_adopt(adoptions[i].loop, adoptions[i].view); /* the first */
    if (status != ES_OK)
        es_gateway_routes_unref(routes);
    else
        clerk->now = routes;
    return status;
}

es_status es_gateway_clerk_start(es_gateway *gateway, es_error *err)
{
    es_gateway_clerk *clerk = calloc(1, sizeof *clerk);
    if (clerk == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for the clerk");
    clerk->gateway = gateway;
    gateway->clerk = clerk;
    (void)pthread_mutex_init(&clerk->lock, NULL); /* default attributes: cannot fail */
    (void)pthread_cond_init(&clerk->adopted, NULL);
    ES_TRY(es_queue_new(WAITING_MAX, &clerk->errands, err));
    ES_TRY(follow_file(clerk, err));
    if (pthread_create(&clerk->thread, NULL, run, clerk) != 0)
        return es_fail(err, ES_ERR_NOMEM, "cannot start a thread for the clerk");
    clerk->runs = true;
    return ES_OK;
}

/* What waits is still taken: the loops have ended or answer, and each request is answered. */
void es_gateway_clerk_stop(es_gateway *gateway)
{
    es_gateway_clerk *clerk = gateway->clerk;
    if (clerk == NULL)
        return;
    if (clerk->errands != NULL)
        es_queue_close(clerk->errands);
    if (clerk->runs)
        (void)pthread_join(clerk->thread, NULL); /* fails only for a thread that is not ours */
    es_gateway_routes_unref(clerk->now);
    es_queue_free(clerk->errands);
    (void)pthread_mutex_destroy(&clerk->lock);
    (void)pthread_cond_destroy(&clerk->adopted);
    free(clerk);
    gateway->clerk = NULL;
}
