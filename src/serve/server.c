#include "server.h"

#include <math.h>
#include <time.h>

enum { OPTIONS_BYTES_MAX = 16 << 20 };

es_server_opts es_server_opts_default(void)
{
    return (es_server_opts){
        .name = "node",
        .version = "",
        .address = "127.0.0.1",
        .port = 8000,
        .loop_count = 1,
        .replica_count = 1,
        .thread_count = 1,
        .batch_max = 8,
        .queue_max = 1024,
        .inline_us_max = 300,
        .body_bytes_max = (size_t)64 << 20,
        .load_bytes_max = (size_t)512 << 20,
        .connections_max = 1024,
        .carbon_g_per_kwh = (double)NAN,
        .slowdown = 1,
    };
}

/* ---- routes ---- */

enum {
    ANYBODY = 0,
    LOOK = ES_SERVER_CLIENT | ES_SERVER_NODE | ES_SERVER_GATEWAY | ES_SERVER_CONTROLLER,
    CHANGE = ES_SERVER_CONTROLLER,
};

#define MODEL "/v2/models/{model}"
#define VERSION MODEL "/versions/{version}"

static const es_http_route ROUTES[] = {
    {.method = ES_HTTP_POST,
     .path = MODEL "/infer",
     .handle = es_server_infer,
     .roles = LOOK,
     .head_size_header = ES_OIP_JSON_SIZE_HEADER},
    {.method = ES_HTTP_POST,
     .path = VERSION "/infer",
     .handle = es_server_infer,
     .roles = LOOK,
     .head_size_header = ES_OIP_JSON_SIZE_HEADER},
    {.method = ES_HTTP_GET, .path = "/v2/health/live", .handle = es_server_live},
    {.method = ES_HTTP_GET, .path = "/v2/health/ready", .handle = es_server_ready},
    {.method = ES_HTTP_GET, .path = MODEL "/ready", .handle = es_server_model_ready},
    {.method = ES_HTTP_GET, .path = VERSION "/ready", .handle = es_server_model_ready},
    {.method = ES_HTTP_GET, .path = "/v2", .handle = es_server_metadata, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = "/v2/models", .handle = es_server_model_list, .roles = LOOK},
    {.method = ES_HTTP_GET,
     .path = "/v2/models/stats",
     .handle = es_server_model_stats,
     .roles = LOOK},
    {.method = ES_HTTP_GET, .path = MODEL, .handle = es_server_model_metadata, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = VERSION, .handle = es_server_model_metadata, .roles = LOOK},
    {.method = ES_HTTP_GET,
     .path = MODEL "/config",
     .handle = es_server_model_config,
     .roles = LOOK},
    {.method = ES_HTTP_GET,
     .path = VERSION "/config",
     .handle = es_server_model_config,
     .roles = LOOK},
    {.method = ES_HTTP_GET, .path = MODEL "/stats", .handle = es_server_model_stats, .roles = LOOK},
    {.method = ES_HTTP_GET,
     .path = VERSION "/stats",
     .handle = es_server_model_stats,
     .roles = LOOK},
    {.method = ES_HTTP_POST,
     .path = "/v2/repository/index",
     .handle = es_server_repository_index,
     .roles = LOOK},
    {.method = ES_HTTP_POST,
     .path = "/v2/repository/models/{model}/load",
     .handle = es_server_repository_load,
     .roles = CHANGE},
    {.method = ES_HTTP_POST,
     .path = "/v2/repository/models/{model}/unload",
     .handle = es_server_repository_unload,
     .roles = CHANGE},
    {.method = ES_HTTP_PUT,
     .path = "/estran/v1/peers",
     .handle = es_server_peers_put,
     .roles = CHANGE},
    {.method = ES_HTTP_GET,
     .path = "/estran/v1/peers",
     .handle = es_server_peers_get,
     .roles = CHANGE},
    {.method = ES_HTTP_GET, .path = "/metrics", .handle = es_server_metrics, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = "/", .handle = es_server_page, .roles = LOOK},
    {.method = ES_HTTP_GET,
     .path = "/estran/v1/observe",
     .handle = es_server_observe,
     .roles = CHANGE},
};
enum { ROUTE_COUNT = sizeof ROUTES / sizeof ROUTES[0] };

/* ---- life ---- */

static es_status opts_check(const es_server_opts *opts, es_error *err)
{
    if (opts->repository == NULL)
        return es_fail(err, ES_ERR_ARG, "repository: a folder of models is needed");
    if (opts->name == NULL || *opts->name == '\0' || strlen(opts->name) > 255)
        return es_fail(err, ES_ERR_ARG, "name: 1 to 255 characters are needed");
    if (opts->replica_count < 1 || opts->replica_count > ES_MODEL_CONFIG_REPLICAS_MAX)
        return es_fail(err, ES_ERR_ARG, "replica_count=%u must be in 1..%d", opts->replica_count,
                       ES_MODEL_CONFIG_REPLICAS_MAX);
    if (opts->batch_max > ES_BATCH_ROWS_MAX)
        return es_fail(err, ES_ERR_ARG, "batch_max=%u must be in 0..%d", opts->batch_max,
                       ES_BATCH_ROWS_MAX);
    if (opts->queue_max < 1)
        return es_fail(err, ES_ERR_ARG, "queue_max=%u must be >= 1", opts->queue_max);
    if (!(opts->inline_us_max >= 0 && opts->inline_us_max <= 1e6))
        return es_fail(err, ES_ERR_ARG, "inline_us_max=%g must be in 0..1e6", opts->inline_us_max);
    if (!(opts->slowdown >= 1 && opts->slowdown <= 1e6))
        return es_fail(err, ES_ERR_ARG, "slowdown=%g must be in 1..1e6", opts->slowdown);
    if (opts->processors > ES_MACHINE_PROCESSORS_MAX)
        return es_fail(err, ES_ERR_ARG, "processors=%u must be in 0..%d", opts->processors,
                       ES_MACHINE_PROCESSORS_MAX);
    if (!isnan(opts->carbon_g_per_kwh) &&
        !(opts->carbon_g_per_kwh >= 0 && opts->carbon_g_per_kwh <= 1e5))
        return es_fail(err, ES_ERR_ARG, "carbon_g_per_kwh=%g must be in 0..1e5",
                       opts->carbon_g_per_kwh);
    return ES_OK;
}

static es_status http_open(es_server *server, es_error *err)
{
    const es_server_opts *given = &server->opts;
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_route routes[ROUTE_COUNT]; /* copied by the server */
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        routes[i] = ROUTES[i];
        routes[i].context = server;
        if (routes[i].handle == es_server_repository_load)
            routes[i].body_bytes_max = given->load_bytes_max;
    }
    opts.address = given->address;
    opts.port = given->port;
    opts.loop_count = given->loop_count;
    opts.routes = routes;
    opts.route_count = ROUTE_COUNT;
    opts.tokens = given->tokens;
    opts.token_count = given->token_count;
    opts.tls = (es_http_tls){.certificate_file = given->certificate_file,
                             .key_file = given->key_file,
                             .client_ca_file = given->client_ca_file};
    opts.body_bytes_max = given->body_bytes_max;
    opts.connections_max = given->connections_max;
    ES_TRY(es_http_server_init(opts, &server->http, err));
    es_http_caller_opts calls = es_http_caller_opts_default();
    calls.calls_max = calls.connections_max = ES_SERVER_HOPS_MAX;
    ES_TRY(es_http_server_caller(server->http, calls, &server->caller, err));
    return es_server_expiries_new(server, err);
}

static es_status fill(es_server *server, es_error *err)
{
    const es_server_opts *opts = &server->opts;
    es_runtime_opts runtime = es_runtime_opts_default();
    runtime.library_path = opts->ort_library;
    ES_TRY(es_runtime_new(runtime, &server->runtime, err));
    ES_TRY(es_joules_new((es_joules_opts){.root = opts->meter_root,
                                          .idle_w = opts->idle_w,
                                          .busy_w = opts->busy_w,
                                          .g_per_kwh = opts->carbon_g_per_kwh},
                         &server->joules, err));
    if (opts->cache_bytes > 0)
        ES_TRY(es_response_cache_new(opts->cache_bytes, &server->cache, err));
    if (opts->request_log != NULL)
        ES_TRY(es_request_log_open(opts->request_log, &server->log, err));
    es_repository_opts repository = {
        .runtime = server->runtime,
        .folder = opts->repository,
        .defaults = {.replica_count = opts->replica_count,
                     .thread_count = opts->thread_count,
                     .batch_max = opts->batch_max,
                     .queue_max = opts->queue_max,
                     .cache = opts->cache_all,
                     .cpu_time = opts->emulate,
                     .here_ns_max = opts->emulate /* a loop is not to be held */
                                        ? 0
                                        : (int64_t)(opts->inline_us_max * (double)ES_NS_PER_US)},
    };
    ES_TRY(es_repository_new(repository, &server->repository, err));
    ES_TRY(es_server_machine_new(server, err));
    return http_open(server, err);
}

static int64_t wall_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * ES_NS_PER_S + now.tv_nsec;
}

es_status es_server_init(es_server_opts opts, es_server **out_server, es_error *err)
{
    ES_TRY(opts_check(&opts, err));
    es_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a server");
    server->opts = opts;
    server->clock = es_clock_system();
    server->start_ns = es_clock_now_ns(server->clock);
    server->start_wall_ns = wall_ns();
    atomic_init(&server->phase, ES_SERVER_STARTING);
    (void)pthread_mutex_init(&server->lock, NULL); /* default attributes cannot fail on Linux */
    server->arena = es_arena_new(OPTIONS_BYTES_MAX);
    es_status status = server->arena != NULL ? fill(server, err)
                                             : es_fail(err, ES_ERR_NOMEM, "no memory for a server");
    if (status != ES_OK) {
        es_server_done(server);
        return status;
    }
    *out_server = server;
    return ES_OK;
}

uint16_t es_server_port(const es_server *server)
{
    return es_http_server_port(server->http);
}

es_status es_server_start(es_server *server, size_t *out_failed, es_error *err)
{
    int starting = ES_SERVER_STARTING;
    ES_TRY(es_http_server_start(server->http, err));
    ES_TRY(es_repository_load_all(server->repository, server->opts.load, server->opts.load_count,
                                  out_failed, err));
    (void)atomic_compare_exchange_strong(&server->phase, &starting, ES_SERVER_READY);
    return ES_OK;
}

/* Order: no new requests; those under way are answered by the models, which are still there; then
 * the models go; then what answers are made of. */
void es_server_stop(es_server *server, double grace_s)
{
    if (server->stopped)
        return;
    server->stopped = true;
    atomic_store(&server->phase, ES_SERVER_STOPPING);
    es_server_machine_close(server);
    if (server->http != NULL)
        es_http_server_stop(server->http, grace_s);
    es_repository_free(server->repository);
    server->repository = NULL;
}

void es_server_done(es_server *server)
{
    if (server == NULL)
        return;
    es_server_stop(server, 0);
    es_http_server_done(server->http);
    es_server_infers_free(server);
    es_server_peers_unref(server->peers);
    es_request_log_close(server->log);
    es_response_cache_free(server->cache);
    es_machine_free(server->machine);
    es_joules_free(server->joules);
    es_runtime_free(server->runtime);
    (void)pthread_mutex_destroy(&server->lock);
    es_arena_free(server->arena);
    free(server);
}

void es_server_done_p(es_server **server)
{
    es_server_done(*server);
}
