/* A controller as a process: the loop around it, and its page. */
#include "base/exposition.h"
#include "control/control.h"
#include "control/internal.h"
#include "http/http.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { FAILURES_MAX = 5, PAGE_COUNT = 4, NAP_MS = 100 };
#define SHOW_S 0.25                   /* between two snapshots */
#define ONCE_NS_MIN (5 * ES_NS_PER_S) /* beyond the patience without a step */

es_controller_opts es_controller_opts_default(void)
{
    return (es_controller_opts){
        .policy = "replan", .probe_s = 1, .patience_s = 30, .address = "127.0.0.1", .port = 8090};
}

/* ---- pages: written by the loop, read by the server's thread ---- */

typedef struct snapshot {
    int holders;
    es_text pages[PAGE_COUNT];
} snapshot;

typedef struct board board;

/* Context of a route. */
typedef struct shown {
    board *own;
    int page;
    const char *type;
} shown;

struct board {
    pthread_mutex_t lock; /* guards current and the holders of every snapshot */
    snapshot *current;
    shown routes[PAGE_COUNT];
};

/* One held snapshot of an answer under way. */
typedef struct held {
    board *own;
    snapshot *snap;
} held;

static void drop(board *own, snapshot *snap)
{
    (void)pthread_mutex_lock(&own->lock);
    bool last = snap != NULL && --snap->holders == 0;
    (void)pthread_mutex_unlock(&own->lock);
    if (!last)
        return;
    for (int i = 0; i < PAGE_COUNT; i++)
        es_text_done(&snap->pages[i]);
    free(snap);
}

static void release(void *context)
{
    held *one = context;
    drop(one->own, one->snap);
    free(one);
}

static void answer(void *context, es_http_request *request)
{
    const shown *what = context;
    held *one = malloc(sizeof *one);
    if (one == NULL) {
        es_http_answer_error(request, 503, "out of memory");
        return;
    }
    (void)pthread_mutex_lock(&what->own->lock);
    *one = (held){.own = what->own, .snap = what->own->current};
    if (one->snap != NULL)
        one->snap->holders++;
    (void)pthread_mutex_unlock(&what->own->lock);
    if (one->snap == NULL) {
        free(one);
        es_http_answer_error(request, 503, "nothing is known yet");
        return;
    }
    const es_text *page = &one->snap->pages[what->page];
    es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                   .content_type = what->type,
                                                   .body = es_text_get(page),
                                                   .body_bytes = page->size,
                                                   .release = release,
                                                   .release_context = one});
}

static es_status show(board *own, const es_controller *controller, es_error *err)
{
    snapshot *snap = calloc(1, sizeof *snap);
    snapshot *old = NULL;
    es_status status = ES_OK;
    if (snap == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory for its page");
    snap->holders = 1;
    for (int i = 0; i < PAGE_COUNT; i++)
        es_text_init(&snap->pages[i], ES_DOCUMENT_BYTES_MAX);
    es_controller_write_page(controller, &snap->pages[0]);
    es_controller_write_status(controller, &snap->pages[1]);
    es_controller_write_plan(controller, &snap->pages[2]);
    es_controller_write_metrics(controller, &snap->pages[3]);
    for (int i = 0; i < PAGE_COUNT && status == ES_OK; i++)
        status = es_text_status(&snap->pages[i], err);
    if (status != ES_OK) {
        drop(own, snap);
        return status;
    }
    (void)pthread_mutex_lock(&own->lock);
    old = own->current;
    own->current = snap;
    (void)pthread_mutex_unlock(&own->lock);
    drop(own, old);
    return ES_OK;
}

/* ---- its server ---- */

static es_status open_server(const es_controller_opts *given, board *own,
                             es_http_server **out_server, es_error *err)
{
    static const char *const paths[PAGE_COUNT] = {"/", "/estran/v1/status", "/estran/v1/plan",
                                                  "/metrics"};
    static const char *const types[PAGE_COUNT] = {"text/html; charset=utf-8", "application/json",
                                                  "application/json", ES_EXPOSITION_TYPE};
    es_http_route routes[PAGE_COUNT] = {0};
    es_http_server_opts opts = es_http_server_opts_default();
    for (int i = 0; i < PAGE_COUNT; i++) {
        own->routes[i] = (shown){.own = own, .page = i, .type = types[i]};
        routes[i] = (es_http_route){.method = ES_HTTP_GET,
                                    .path = paths[i],
                                    .handle = answer,
                                    .context = &own->routes[i],
                                    .roles = ES_SERVER_CLIENT | ES_SERVER_NODE | ES_SERVER_GATEWAY |
                                             ES_SERVER_CONTROLLER};
    }
    opts.address = given->address;
    opts.port = given->port;
    opts.routes = routes;
    opts.route_count = PAGE_COUNT;
    opts.tokens = given->tokens;
    opts.token_count = given->token_count;
    opts.tls = (es_http_tls){given->certificate_file, given->key_file, given->client_ca_file};
    ES_TRY(es_http_server_init(opts, out_server, err));
    return es_http_server_start(*out_server, err);
}

/* ---- the loop ---- */

static bool is_stopped(const es_controller_opts *opts)
{
    return opts->stop != NULL && *opts->stop != 0;
}

/* Sleeps until then, looking for the stop. */
static void sleep_until(const es_controller_opts *opts, int64_t until_ns)
{
    es_clock *clock = es_clock_system();
    while (!is_stopped(opts) && es_clock_now_ns(clock) < until_ns) {
        int64_t nap_ns = es_clock_now_ns(clock) + NAP_MS * ES_NS_PER_MS;
        es_clock_sleep_until_ns(clock, nap_ns < until_ns ? nap_ns : until_ns);
    }
}

static const char *find_trouble(const es_controller *controller)
{
    if (controller->trouble[0] != '\0')
        return controller->trouble;
    for (size_t i = 0; i < controller->member_count; i++)
        if (controller->members[i].trouble[0] != '\0')
            return controller->members[i].trouble;
    return "the cluster does not follow";
}

static es_status check_once(const es_controller_opts *opts, const es_controller *controller,
                            bool *out_ended, es_error *err)
{
    *out_ended = opts->once && es_controller_is_settled(controller);
    if (!opts->once || *out_ended)
        return ES_OK;
    int64_t limit_ns = controller->progress_ns + es_ns_from_s(opts->patience_s);
    bool stuck =
        controller->progress_ns > 0 && es_clock_now_ns(es_clock_system()) - limit_ns > ONCE_NS_MIN;
    if (stuck || controller->move.failures >= FAILURES_MAX)
        return es_fail(err, ES_ERR_UNAVAILABLE, "what was decided is not in force: %s",
                       find_trouble(controller));
    return ES_OK;
}

static es_status loop(const es_controller_opts *opts, es_controller *controller, board *own,
                      es_error *err)
{
    int64_t shown_ns = INT64_MIN;
    while (!is_stopped(opts)) {
        int64_t next_ns = 0;
        bool ended = false;
        ES_TRY(es_controller_tick(controller, &next_ns, err));
        int64_t now_ns = es_clock_now_ns(es_clock_system());
        if (shown_ns == INT64_MIN || now_ns - shown_ns >= es_ns_from_s(SHOW_S)) {
            ES_TRY(show(own, controller, err));
            shown_ns = now_ns;
        }
        ES_TRY(check_once(opts, controller, &ended, err));
        if (ended)
            return ES_OK;
        int64_t show_ns = shown_ns + es_ns_from_s(SHOW_S);
        sleep_until(opts, next_ns < show_ns ? next_ns : show_ns);
    }
    return ES_OK;
}

static es_status serve(const es_controller_opts *opts, es_controller *controller, es_error *err)
{
    board own = {0};
    es_http_server *server = NULL;
    (void)pthread_mutex_init(&own.lock, NULL); /* default attributes cannot fail on Linux */
    es_status status = show(&own, controller, err);
    if (status == ES_OK)
        status = open_server(opts, &own, &server, err);
    if (status == ES_OK && opts->ready != NULL)
        opts->ready(opts->context, es_http_server_port(server));
    if (status == ES_OK)
        status = loop(opts, controller, &own, err);
    if (server != NULL)
        es_http_server_stop(server, 1);
    es_http_server_done(server);
    drop(&own, own.current);
    (void)pthread_mutex_destroy(&own.lock);
    return status;
}

/* ---- without serving ---- */

/* {"steps": [line, ...]} */
static void write_lines(es_text *lines, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_key(&json, "steps");
    es_json_list_begin(&json);
    for (char *at = lines->bytes; lines->size > 0 && *at != '\0';) {
        char *end = at + strcspn(at, "\n");
        bool last = *end == '\0';
        *end = '\0';
        es_json_text(&json, at);
        at = last ? end : end + 1;
    }
    es_json_list_end(&json);
    es_json_map_end(&json);
}

static es_status tell_steps(const es_controller_opts *opts, es_controller *controller, es_text *out,
                            es_error *err)
{
    while (!is_stopped(opts) && !es_controller_has_decided(controller)) {
        int64_t next_ns = 0;
        ES_TRY(es_controller_tick(controller, &next_ns, err));
        if (!es_controller_has_decided(controller) && controller->trouble[0] != '\0')
            return es_fail(err, ES_ERR_UNAVAILABLE, "nothing could be decided: %s",
                           controller->trouble);
        sleep_until(opts, next_ns);
    }
    if (!opts->json)
        return es_controller_steps(controller, out, err);
    es_text lines;
    es_text_init(&lines, ES_DOCUMENT_BYTES_MAX);
    es_status status = es_controller_steps(controller, &lines, err);
    if (status == ES_OK)
        write_lines(&lines, out);
    es_text_done(&lines);
    return status;
}

static void write_replayed(const es_replayed *found, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_int(&json, "slots", found->slots);
    es_json_put_int(&json, "different", found->different);
    if (found->different > 0)
        es_json_put_int(&json, "first_different", found->first_different);
    es_json_map_end(&json);
}

static void tell_replayed(const es_replayed *found, es_text *out)
{
    es_text_format(out, "%u slots, %u decided otherwise by the simulator", found->slots,
                   found->different);
    if (found->different > 0)
        es_text_format(out, ", first %u", found->first_different);
    es_text_append(out, "\n");
}

static es_status tell_replay(const es_controller_given *given, bool as_json, es_text *out,
                             es_error *err)
{
    es_replayed found = {0};
    ES_TRY(es_controller_replay(given, &found, err));
    if (as_json)
        write_replayed(&found, out);
    else
        tell_replayed(&found, out);
    if (found.different > 0)
        return es_fail(err, ES_ERR_INTERNAL, "%u of %u slots differ, the first is %u",
                       found.different, found.slots, found.first_different);
    return ES_OK;
}

/* ---- putting it together ---- */

static int64_t wall_ns(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail with this clock */
    return (int64_t)now.tv_sec * ES_NS_PER_S + now.tv_nsec;
}

static void free_pool(es_pool **pool)
{
    es_pool_free(*pool);
}

static es_status run(const es_controller_opts *opts, es_arena *arena, es_text *out, es_error *err)
{
    es_scenario scenario = *opts->scenario;
    const es_cluster *cluster = NULL;
    es_http_fleet_opts fleet_opts = es_http_fleet_opts_default();
    ES_CLEANUP(es_http_fleet_free_p) es_http_fleet *fleet = NULL;
    ES_CLEANUP(es_controller_free_p) es_controller *controller = NULL;
    ES_CLEANUP(free_pool) es_pool *pool = NULL; /* after the controller, so gone before it */
    if (opts->slot_s > 0)
        scenario.slot_s = opts->slot_s;
    ES_TRY(es_cluster_load(arena, opts->cluster, &scenario, &cluster, err));
    fleet_opts.certificate_file = opts->peer_certificate_file;
    fleet_opts.key_file = opts->peer_key_file;
    fleet_opts.stop = opts->stop;
    ES_TRY(es_http_fleet_new(cluster, fleet_opts, &fleet, err));
    es_controller_given given = es_controller_given_default();
    given.scenario = &scenario;
    given.cluster = cluster;
    given.fleet = es_http_fleet_interface(fleet);
    given.clock = es_clock_system();
    given.unix_ns = wall_ns;
    given.policy = opts->policy;
    given.seed = opts->seed;
    given.state = opts->state;
    given.dry_run = opts->dry_run;
    if (!opts->dry_run && !opts->replay) {
        ES_TRY(es_pool_new(1, 1, &pool, err));
        given.pool = pool;
    }
    given.probe_s = opts->probe_s;
    given.patience_s = opts->patience_s;
    given.drain_s = opts->drain_s;
    given.emulate = opts->emulate;
    if (opts->replay)
        return tell_replay(&given, opts->json, out, err);
    ES_TRY(es_controller_new(&given, &controller, err));
    if (opts->dry_run)
        return tell_steps(opts, controller, out, err);
    if (cluster->gateway_count == 0)
        es_log(ES_LOG_WARNING, "controller",
               "cluster '%s' has no gateway: nobody is told routes, and the scenario's demand "
               "counts as what comes",
               opts->cluster);
    return serve(opts, controller, err);
}

es_status es_controller_serve(es_controller_opts opts, es_text *out, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    if (opts.scenario == NULL || opts.cluster == NULL || opts.state == NULL)
        return es_fail(err, ES_ERR_ARG, "controller: scenario, cluster and state are needed");
    if (!(opts.slot_s >= 0 && isfinite(opts.slot_s)))
        return es_fail(err, ES_ERR_ARG, "slot_s=%g must be finite and >= 0", opts.slot_s);
    return run(&opts, arena, out, err);
}
