/* What the load generator itself costs and how late it is, against a server that answers at once.
 */
#include "es_bench.h"
#include "internal.h"

enum { ROUNDS = 5, OFFLINE_QUERIES = 40000 };

static void tell_metadata(void *context, es_http_request *request)
{
    static const char TEXT[] = "{\"name\":\"m\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\","
                               "\"shape\":[-1,256]}],\"outputs\":[]}";
    (void)context;
    es_http_answer_send(
        request, &(es_http_answer){.status = 200, .body = TEXT, .body_bytes = sizeof TEXT - 1});
}

static void infer(void *context, es_http_request *request)
{
    static const char TEXT[] = "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":"
                               "\"FP32\",\"shape\":[1,1],\"data\":[0.5]}]}";
    (void)context;
    es_http_answer_send(
        request, &(es_http_answer){.status = 200, .body = TEXT, .body_bytes = sizeof TEXT - 1});
}

static es_http_server *start(char url[64])
{
    static const es_http_route ROUTES[] = {
        {.method = ES_HTTP_GET, .path = "/v2/models/{model}", .handle = tell_metadata},
        {.method = ES_HTTP_POST, .path = "/v2/models/{model}/infer", .handle = infer},
    };
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_server *server = NULL;
    opts.routes = ROUTES;
    opts.route_count = 2;
    if (es_http_server_init(opts, &server, NULL) != ES_OK ||
        es_http_server_start(server, NULL) != ES_OK)
        return NULL;
    (void)snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)es_http_server_port(server));
    return server;
}

static double thread_s(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* cannot fail here */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static es_load_opts opts_for(const char *url, es_load_scenario scenario)
{
    es_load_opts opts = es_load_opts_default();
    opts.url = url;
    opts.model = "m";
    opts.scenario = scenario;
    opts.warm_up_s = 0.2;
    opts.duration_s = 0;
    return opts;
}

static bool measure_cost(const char *url, es_bench *bench)
{
    double costs[ROUNDS], rates[ROUNDS];
    const es_load_result *result = NULL;
    es_load_opts opts = opts_for(url, ES_LOAD_OFFLINE);
    opts.query_count_min = OFFLINE_QUERIES;
    opts.warm_up_s = 0;
    ES_CLEANUP(es_load_free_p) es_load *load = NULL;
    if (es_load_new(opts, &load, NULL) != ES_OK)
        return false;
    for (size_t i = 0; i < ROUNDS; i++) {
        double before_s = thread_s();
        if (es_load_run(load, 0, &result, NULL) != ES_OK || result->failed > 0)
            return false;
        costs[i] = 1e6 * (thread_s() - before_s) / OFFLINE_QUERIES;
        rates[i] = (double)result->answered / result->last_done_s;
    }
    es_bench_add(bench, "serve: load, processor time per request", es_bench_median(costs, ROUNDS),
                 "us", "lower", (double)NAN);
    es_bench_add(bench, "serve: load, Offline, 64 connections, POST 1 kB",
                 es_bench_median(rates, ROUNDS), "1/s", "higher", (double)NAN);
    return true;
}

static bool measure_delay(const char *url, es_bench *bench)
{
    const es_load_result *result = NULL;
    es_load_opts opts = opts_for(url, ES_LOAD_SERVER);
    opts.rate_rps = 2000;
    opts.duration_s = 5;
    ES_CLEANUP(es_load_free_p) es_load *load = NULL;
    if (es_load_new(opts, &load, NULL) != ES_OK || es_load_run(load, 0, &result, NULL) != ES_OK ||
        result->failed > 0)
        return false;
    es_bench_add(bench, "serve: load, send delay p50 at 2000/s",
                 1e6 * es_histogram_quantile(result->send_delay, 0.5), "us", "lower", (double)NAN);
    es_bench_add(bench, "serve: load, send delay p99 at 2000/s",
                 1e6 * es_histogram_quantile(result->send_delay, 0.99), "us", "lower", (double)NAN);
    es_bench_add(bench, "serve: load, latency p50 at 2000/s", 1e6 * es_load_latency(result, 0.5),
                 "us", "lower", (double)NAN);
    return true;
}

int main(void)
{
    char url[64];
    es_bench bench = {0};
    es_http_server *server = start(url);
    bool good = server != NULL && measure_cost(url, &bench) && measure_delay(url, &bench);
    es_http_server_done(server);
    return good ? es_bench_print(&bench) : 1;
}
