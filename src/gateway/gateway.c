/* A gateway's options, paths and life. */
#include "internal.h"

#include <assert.h>
#include <math.h>
#include <time.h>

enum { BURST = 10 };

es_gateway_opts es_gateway_opts_default(void)
{
    return (es_gateway_opts){
        .name = "gateway",
        .version = "",
        .address = "127.0.0.1",
        .port = 8080,
        .loop_count = 1,
        .timeout_s = 30,
        .connect_timeout_s = 1,
        .retry_share = 0.1,
        .retry_rate = 1,
        .hedge_share = 0.02,
        .calls_max = 1024,
        .body_bytes_max = (size_t)64 << 20,
    };
}

/* ---- paths ---- */

enum {
    LOOK = ES_SERVER_CLIENT | ES_SERVER_NODE | ES_SERVER_GATEWAY | ES_SERVER_CONTROLLER,
    CHANGE = ES_SERVER_CONTROLLER,
};

#define TASK "/v2/models/{model}"

static const es_http_route ROUTES[] = {
    {.method = ES_HTTP_POST, .path = TASK "/infer", .handle = es_gateway_infer, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = "/v2/health/live", .handle = es_gateway_live},
    {.method = ES_HTTP_GET, .path = "/v2/health/ready", .handle = es_gateway_ready},
    {.method = ES_HTTP_GET, .path = TASK "/ready", .handle = es_gateway_task_ready},
    {.method = ES_HTTP_GET, .path = "/v2", .handle = es_gateway_metadata, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = "/v2/models", .handle = es_gateway_task_list, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = TASK, .handle = es_gateway_task_metadata, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = "/metrics", .handle = es_gateway_metrics, .roles = LOOK},
    {.method = ES_HTTP_GET, .path = "/", .handle = es_gateway_page, .roles = LOOK},
    {.method = ES_HTTP_GET,
     .path = "/estran/v1/observe",
     .handle = es_gateway_observe,
     .roles = CHANGE},
    {.method = ES_HTTP_GET,
     .path = "/estran/v1/routes",
     .handle = es_gateway_routes_get,
     .roles = CHANGE},
    {.method = ES_HTTP_PUT,
     .path = "/estran/v1/routes",
     .handle = es_gateway_routes_put,
     .body_bytes_max = ES_SERVE_DOCUMENT_BYTES_MAX,
     .roles = CHANGE},
};
enum { ROUTE_COUNT = sizeof ROUTES / sizeof ROUTES[0] };

/* ---- life ---- */

static es_status check(const es_gateway_opts *opts, es_error *err)
{
    if (opts->loop_count < 1 || opts->loop_count > ES_GATEWAY_LOOPS_MAX)
        return es_fail(err, ES_ERR_ARG, "loop_count=%u must be in 1..%d", opts->loop_count,
                       ES_GATEWAY_LOOPS_MAX);
    if (!(opts->timeout_s > 0 && opts->timeout_s <= 86400))
        return es_fail(err, ES_ERR_ARG, "timeout_s=%g must be above 0 and at most 86400",
                       opts->timeout_s);
    if (!(opts->retry_share >= 0 && opts->retry_share <= 1))
        return es_fail(err, ES_ERR_ARG, "retry_share=%g must be in 0..1", opts->retry_share);
    if (!(opts->retry_rate >= 0 && opts->retry_rate <= 1e6))
        return es_fail(err, ES_ERR_ARG, "retry_rate=%g must be in 0..1e6", opts->retry_rate);
    if (!(opts->hedge_share >= 0 && opts->hedge_share <= 1))
        return es_fail(err, ES_ERR_ARG, "hedge_share=%g must be in 0..1", opts->hedge_share);
    if (opts->name == NULL || *opts->name == '\0')
        return es_fail(err, ES_ERR_ARG, "name: at least one character is needed");
    return ES_OK;
}

static es_status open_http(es_gateway *gateway, es_error *err)
{
    const es_gateway_opts *given = &gateway->opts;
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_caller_opts calls = es_http_caller_opts_default();
    es_http_route routes[ROUTE_COUNT]; /* copied by the server */
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        routes[i] = ROUTES[i];
        routes[i].context = gateway;
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
    opts.connections_max = given->calls_max;
    ES_TRY(es_http_server_init(opts, &gateway->http, err));
    calls.calls_max = given->calls_max;
    calls.connections_max = given->calls_max;
    return es_http_server_caller(gateway->http, calls, &gateway->caller, err);
}

static es_status open_loops(es_gateway *gateway, es_error *err)
{
    const es_gateway_opts *opts = &gateway->opts;
    gateway->loops = calloc(opts->loop_count, sizeof *gateway->loops);
    if (gateway->loops == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a gateway");
    for (uint32_t i = 0; i < opts->loop_count; i++) {
        es_gateway_loop *loop = &gateway->loops[i];
        loop->gateway = gateway;
        loop->number = i;
        (void)pthread_mutex_init(&loop->lock, NULL); /* default attributes: cannot fail */
        double share = 1.0 / opts->loop_count;
        loop->retries = es_serve_budget_make(opts->retry_share, opts->retry_rate * share, BURST,
                                             gateway->start_ns);
        loop->hedges = es_serve_budget_make(opts->hedge_share, 0, opts->hedge_share > 0 ? BURST : 0,
                                            gateway->start_ns);
    }
    for (uint32_t i = 0; i < opts->loop_count; i++)
        ES_TRY(es_gateway_registry_init(&gateway->loops[i].registry, err));
    return ES_OK;
}

static es_status fill(es_gateway *gateway, es_error *err)
{
    if (gateway->opts.request_log != NULL)
        ES_TRY(es_request_log_open(gateway->opts.request_log, &gateway->log, err));
    ES_TRY(open_loops(gateway, err));
    ES_TRY(open_http(gateway, err));
    return es_gateway_clerk_start(gateway, err);
}

es_status es_gateway_init(es_gateway_opts opts, es_gateway **out_gateway, es_error *err)
{
    ES_TRY(check(&opts, err));
    es_gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a gateway");
    gateway->opts = opts;
    gateway->clock = es_clock_system();
    gateway->start_ns = es_clock_now_ns(gateway->clock);
    gateway->start_wall_s = (int64_t)time(NULL);
    es_status status = fill(gateway, err);
    if (status != ES_OK) {
        es_gateway_done(gateway);
        return status;
    }
    *out_gateway = gateway;
    return ES_OK;
}

uint16_t es_gateway_port(const es_gateway *gateway)
{
    return es_http_server_port(gateway->http);
}

es_status es_gateway_start(es_gateway *gateway, es_error *err)
{
    return es_http_server_start(gateway->http, err);
}

/* Order: no new requests; those under way end, or are cut, and with them their calls; the clerk
 * answers what it was asked; then what loops followed goes. */
void es_gateway_stop(es_gateway *gateway, double grace_s)
{
    if (gateway->stopped)
        return;
    gateway->stopped = true;
    if (gateway->http != NULL)
        es_http_server_stop(gateway->http, grace_s);
    es_gateway_clerk_stop(gateway);
}

static void loop_done(es_gateway_loop *loop)
{
    assert(loop->retired == NULL); /* every request has ended */
    es_gateway_view_free(atomic_load(&loop->view));
    es_gateway_requests_free(loop);
    es_gateway_registry_done(&loop->registry);
    (void)pthread_mutex_destroy(&loop->lock); /* nobody holds it */
}

void es_gateway_done(es_gateway *gateway)
{
    if (gateway == NULL)
        return;
    es_gateway_stop(gateway, 0);
    for (uint32_t i = 0; gateway->loops != NULL && i < gateway->opts.loop_count; i++)
        loop_done(&gateway->loops[i]);
    free(gateway->loops);
    es_http_server_done(gateway->http);
    es_request_log_close(gateway->log);
    free(gateway);
}

void es_gateway_done_p(es_gateway **gateway)
{
    es_gateway_done(*gateway);
}
