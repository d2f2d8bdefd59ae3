/* Routes as the loops follow them: made aside by the updater, adopted between two requests. */
#include "base/percent.h"
#include "internal.h"

#include <assert.h>

static const size_t ROUTES_BYTES_MAX = (size_t)1 << 30;

/* ---- of all loops ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The peer that is called already at the same address with the same token; SIZE_MAX: none. */
static size_t peer_before(const es_gateway_routes *before, const es_serve_peer *wanted)
{
    for (size_t i = 0; before != NULL && i < before->table->routes->peer_count; i++) {
        const es_serve_peer *peer = &before->table->routes->peers[i];
        if (same_text(peer->name, wanted->name) && same_text(peer->url, wanted->url) &&
            same_text(peer->token, wanted->token))
            return i;
    }
    return SIZE_MAX;
}

static es_status make_peers(es_gateway *gateway, es_gateway_routes *routes,
                            const es_gateway_routes *before, es_error *err)
{
    const es_serve_routes *given = routes->table->routes;
    const es_gateway_opts *opts = &gateway->opts;
    for (size_t i = 0; i < given->peer_count; i++) {
        const es_serve_peer *peer = &given->peers[i];
        size_t known = peer_before(before, peer);
        es_hop_link_init(&routes->links[i], peer, opts->emulate,
                         known != SIZE_MAX ? &before->links[known] : NULL);
        routes->link_count = i + 1;
        if (known != SIZE_MAX) {
            routes->peers[i] = es_http_peer_ref(before->peers[known]);
            continue;
        }
        es_http_peer_opts to = es_http_peer_opts_default();
        to.url = peer->url;
        to.token = peer->token != NULL ? peer->token : opts->peer_token;
        to.ca_file = opts->peer_ca_file;
        to.certificate_file = opts->peer_certificate_file;
        to.key_file = opts->peer_key_file;
        to.connect_timeout_s = opts->connect_timeout_s;
        to.connections_max = opts->calls_max;
        to.waiting_max = opts->calls_max;
        ES_TRY(es_within(err, es_http_peer_new(gateway->caller, to, &routes->peers[i], err),
                         "peer '%s'", peer->name));
    }
    return ES_OK;
}

static const char *output_of(const es_serve_routes *routes, const char *task)
{
    for (size_t i = 0; i < routes->task_count; i++)
        if (strcmp(routes->tasks[i].name, task) == 0 && routes->tasks[i].output_count == 1)
            return routes->tasks[i].outputs[0].name;
    return NULL;
}

static es_status make_task_header(es_gateway_routes *routes, size_t c, es_text *text, es_error *err)
{
    const char *task = routes->table->routes->classes[c].task;
    const char *output = output_of(routes->table->routes, task);
    es_text_clear(text);
    es_percent_encode(text, task);
    if (output != NULL) {
        es_text_append(text, ";output=");
        es_percent_encode(text, output);
    }
    ES_TRY(es_text_status(text, err));
    routes->task_headers[c] = es_arena_text(routes->arena, es_text_get(text));
    return routes->task_headers[c] != NULL ? ES_OK : es_arena_full(routes->arena, "routes", err);
}

/* NODE/MODEL;...: the model stands there percent-encoded, as a path wants it. */
static es_status make_path(es_gateway_routes *routes, size_t option, const char *route,
                           es_error *err)
{
    const char *model = strchr(route, '/') + 1;
    routes->option_paths[option] = es_arena_format(routes->arena, "/v2/models/%.*s/infer",
                                                   (int)strcspn(model, ";, \t"), model);
    return routes->option_paths[option] != NULL ? ES_OK
                                                : es_arena_full(routes->arena, "routes", err);
}

static es_status make_texts(es_gateway_routes *routes, es_error *err)
{
    const es_serve_routes *given = routes->table->routes;
    es_status status = ES_OK;
    es_text text;
    es_text_init(&text, 1 << 16);
    for (size_t c = 0; c < given->class_count && status == ES_OK; c++) {
        status = make_task_header(routes, c, &text, err);
        for (size_t o = 0; o < given->classes[c].option_count && status == ES_OK; o++)
            status = make_path(routes, routes->table->first_option[c] + o,
                               given->classes[c].options[o].route, err);
    }
    es_text_done(&text);
    return status;
}

es_status es_gateway_routes_new(es_gateway *gateway, es_serve_table *table,
                                const es_gateway_routes *before, es_gateway_routes **out_routes,
                                es_error *err)
{
    es_gateway_routes *routes = calloc(1, sizeof *routes);
    if (routes == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for routes");
    atomic_init(&routes->refs, 1);
    routes->table = es_serve_table_ref(table);
    routes->arena = es_arena_new(ROUTES_BYTES_MAX);
    es_status status = es_fail(err, ES_ERR_NOMEM, "no memory for routes");
    if (routes->arena != NULL) {
        routes->peers = ES_TAKE_ARRAY(routes->arena, es_http_peer *, table->routes->peer_count);
        routes->links = ES_TAKE_ARRAY(routes->arena, es_hop_link, table->routes->peer_count);
        routes->task_headers =
            ES_TAKE_ARRAY(routes->arena, const char *, table->routes->class_count);
        routes->option_paths = ES_TAKE_ARRAY(routes->arena, const char *, table->option_count);
        if (routes->peers != NULL && routes->links != NULL && routes->task_headers != NULL &&
            routes->option_paths != NULL)
            status = make_peers(gateway, routes, before, err);
        if (status == ES_OK)
            status = make_texts(routes, err);
    }
    if (status != ES_OK) {
        es_gateway_routes_unref(routes);
        return status;
    }
    *out_routes = routes;
    return ES_OK;
}

void es_gateway_routes_unref(es_gateway_routes *routes)
{
    if (routes == NULL || atomic_fetch_sub_explicit(&routes->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; routes->peers != NULL && i < routes->table->routes->peer_count; i++)
        es_http_peer_unref(routes->peers[i]);
    for (size_t i = 0; i < routes->link_count; i++)
        es_hop_link_done(&routes->links[i]);
    es_serve_table_unref(routes->table);
    es_arena_free(routes->arena);
    free(routes);
}

/* ---- of one loop ---- */

/* The series of every stage of an option: where its answers may leave. */
static es_status find_series(es_gateway_view *view, const char *task, size_t option,
                             const char *route_text, es_arena *scratch, es_error *err)
{
    const es_serve_table *table = view->routes->table;
    es_serve_route route;
    es_arena_reset(scratch);
    ES_TRY(es_serve_route_decode(scratch, route_text, &route, err));
    for (uint32_t k = 0; k < route.stage_count; k++)
        ES_TRY(es_gateway_registry_series(&view->loop->registry,
                                          &(es_gateway_series){.task = task,
                                                               .model = route.stages[k].model,
                                                               .node = route.stages[k].node,
                                                               .exit = k + 1},
                                          &view->series[table->first_stage[option] + k], err));
    return ES_OK;
}

static es_status find_counts(es_gateway_view *view, es_error *err)
{
    const es_serve_table *table = view->routes->table;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(1 << 20);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for counts");
    for (size_t c = 0; c < table->routes->class_count; c++) {
        const es_serve_class *class = &table->routes->classes[c];
        ES_TRY(es_gateway_registry_class(&view->loop->registry, class->task, class->entry,
                                         &view->counts[c], err));
        for (size_t o = 0; o < class->option_count; o++)
            ES_TRY(find_series(view, class->task, table->first_option[c] + o,
                               class->options[o].route, scratch, err));
    }
    return ES_OK;
}

es_status es_gateway_view_new(es_gateway_loop *loop, es_gateway_routes *routes,
                              const es_gateway_view *before, es_gateway_view **out_view,
                              es_error *err)
{
    const es_serve_table *table = routes->table;
    es_gateway_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for routes");
    atomic_fetch_add_explicit(&routes->refs, 1, memory_order_relaxed);
    view->routes = routes;
    view->loop = loop;
    view->counts = calloc(table->routes->class_count + 1, sizeof *view->counts);
    view->series =
        calloc((size_t)table->first_stage[table->option_count] + 1, sizeof *view->series);
    view->taken = calloc(table->option_count + 1, sizeof *view->taken);
    es_status status = view->counts != NULL && view->series != NULL && view->taken != NULL
                           ? find_counts(view, err)
                           : es_fail(err, ES_ERR_NOMEM, "no memory for routes");
    if (status == ES_OK)
        status = es_chooser_new(routes->table, before != NULL ? before->routes->table : NULL,
                                &view->chooser, err);
    if (status != ES_OK) {
        es_gateway_view_free(view);
        return status;
    }
    *out_view = view;
    return ES_OK;
}

void es_gateway_view_free(es_gateway_view *view)
{
    if (view == NULL)
        return;
    es_chooser_free(view->chooser);
    es_gateway_routes_unref(view->routes);
    free(view->counts);
    free(view->series);
    free(view->taken);
    free(view);
}

es_gateway_view *es_gateway_view_adopt(es_gateway_loop *loop, es_gateway_view *view)
{
    es_gateway_view *before = atomic_load(&loop->view);
    if (before != NULL)
        es_chooser_adopt(view->chooser, before->chooser);
    (void)pthread_mutex_lock(&loop->lock); /* an error checking one would tell our own mistakes */
    atomic_store(&loop->view, view);
    bool busy = before != NULL && atomic_load(&before->under_way) > 0;
    if (busy) {
        before->retired = true;
        before->next = loop->retired;
        loop->retired = before;
    }
    (void)pthread_mutex_unlock(&loop->lock);
    return busy ? NULL : before;
}

void es_gateway_view_leave(es_gateway_view *view)
{
    es_gateway_loop *loop = view->loop;
    uint64_t left = atomic_load_explicit(&view->under_way, memory_order_relaxed) - 1;
    atomic_store_explicit(&view->under_way, left, memory_order_relaxed);
    if (!view->retired || left > 0)
        return;
    (void)pthread_mutex_lock(&loop->lock);
    es_gateway_view **at = &loop->retired;
    while (*at != view)
        at = &(*at)->next;
    *at = view->next;
    (void)pthread_mutex_unlock(&loop->lock);
    es_gateway_clerk_free(loop->gateway, view);
}
