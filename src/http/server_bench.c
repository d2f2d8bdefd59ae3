/* Requests per second and latency of our server beside the library's own minimal server: the same
 * small answer, keep-alive, one server thread, one client thread, loopback. */
#include "es_bench.h"
#include "http/testing/http_bench_bare.h"
#include "http/testing/http_bench_client.h"
#include "internal.h"

#include <poll.h>

enum { CONNECTIONS = 16, ROUNDS = 7, REQUESTS = 20000, ALONE = 4000 };

static const char SMALL[] = "GET /v2/models/m/ready HTTP/1.1\r\nHost: a\r\n\r\n";

typedef struct load {
    uint16_t port;
    size_t connections, requests;
    const char *request;
    size_t request_size;
    double latencies_s[ALONE]; /* with one connection */
} load;

/* Each connection has one request under way. */
static bool drive(void *context)
{
    load *given = context;
    struct pollfd watched[CONNECTIONS];
    size_t sent = 0;
    size_t done = 0;
    bool good = true;
    for (size_t i = 0; i < given->connections; i++) {
        watched[i] = (struct pollfd){.fd = connect_to(given->port), .events = POLLIN};
        good = good && watched[i].fd >= 0 &&
               send_all(watched[i].fd, given->request, given->request_size);
        sent++;
    }
    while (good && done < given->requests) {
        if (poll(watched, given->connections, 5000) <= 0)
            return false;
        for (size_t i = 0; i < given->connections; i++) {
            if (watched[i].revents == 0)
                continue;
            good = good && read_answer(watched[i].fd);
            done++;
            if (sent++ < given->requests)
                good = good && send_all(watched[i].fd, given->request, given->request_size);
        }
    }
    for (size_t i = 0; i < given->connections; i++)
        (void)close(watched[i].fd);
    return good;
}

static bool drive_alone(load *given)
{
    es_clock *clock = es_clock_system();
    int fd = connect_to(given->port);
    bool good = fd >= 0;
    for (size_t i = 0; good && i < ALONE; i++) {
        int64_t start_ns = es_clock_now_ns(clock);
        good = send_all(fd, given->request, given->request_size) && read_answer(fd);
        given->latencies_s[i] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    }
    (void)close(fd);
    return good;
}

/* ---- the two servers ---- */

static void ready(void *context, es_http_request *request)
{
    (void)context;
    es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                   .content_type = "application/json",
                                                   .body = "{\"ready\":true}",
                                                   .body_bytes = 14});
}

static es_http_server *start_ours(void)
{
    static const es_http_route ROUTES[] = {
        {.method = ES_HTTP_GET, .path = "/v2/models/{model}/ready", .handle = ready},
        {.method = ES_HTTP_POST, .path = "/v2/models/{model}/infer", .handle = ready},
    };
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_server *server = NULL;
    opts.routes = ROUTES;
    opts.route_count = 2;
    if (es_http_server_init(opts, &server, NULL) != ES_OK ||
        es_http_server_start(server, NULL) != ES_OK)
        return NULL;
    return server;
}

static struct MHD_Daemon *start_bare(struct MHD_Response **response, uint16_t *port)
{
    static char body[] = "{\"ready\":true}";
    *response = MHD_create_response_from_buffer(14, body, MHD_RESPMEM_PERSISTENT);
    (void)MHD_add_response_header(*response, "Content-Type", "application/json");
    return bare_start(*response, port);
}

static void add_pair(es_bench *bench, const char *what, const es_bench_job *jobs, double requests)
{
    static char names[8][80];
    static size_t used = 0;
    char *ours = names[used++ % 8];
    char *floor = names[used++ % 8];
    char *ratio = names[used++ % 8];
    (void)snprintf(ours, 80, "http: %s, estran", what);
    (void)snprintf(floor, 80, "http: %s, bare library", what);
    (void)snprintf(ratio, 80, "http: %s, ratio", what);
    es_bench_add(bench, ours, requests / jobs[0].median_s, "1/s", "higher", (double)NAN);
    es_bench_add(bench, floor, requests / jobs[1].median_s, "1/s", "higher", (double)NAN);
    es_bench_add(bench, ratio, jobs[1].median_s / jobs[0].median_s, "x", "higher", (double)NAN);
}

static bool measure(es_bench *bench, uint16_t ours, uint16_t floor)
{
    static char large[160000];
    static load loads[2];
    int head = snprintf(large, sizeof large,
                        "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n"
                        "Content-Length: 150000\r\n\r\n");
    for (int i = 0; i < 2; i++)
        loads[i] = (load){.port = i == 0 ? ours : floor,
                          .connections = CONNECTIONS,
                          .requests = REQUESTS,
                          .request = SMALL,
                          .request_size = sizeof SMALL - 1};
    es_bench_job jobs[] = {{.what = "ours", .run = drive, .context = &loads[0]},
                           {.what = "bare", .run = drive, .context = &loads[1]}};
    if (!es_bench_time(jobs, 2, ROUNDS))
        return false;
    add_pair(bench, "GET, 16 connections", jobs, REQUESTS);
    if (!drive_alone(&loads[0]) || !drive_alone(&loads[1]))
        return false;
    for (int i = 0; i < 2; i++)
        (void)es_bench_median(loads[i].latencies_s, ALONE); /* sorts */
    es_bench_add(bench, "http: GET alone p50, estran", loads[0].latencies_s[ALONE / 2] * 1e6, "us",
                 "lower", (double)NAN);
    es_bench_add(bench, "http: GET alone p50, bare library", loads[1].latencies_s[ALONE / 2] * 1e6,
                 "us", "lower", (double)NAN);
    es_bench_add(bench, "http: GET alone p99, estran", loads[0].latencies_s[ALONE * 99 / 100] * 1e6,
                 "us", "lower", (double)NAN);
    es_bench_add(bench, "http: GET alone p99, bare library",
                 loads[1].latencies_s[ALONE * 99 / 100] * 1e6, "us", "lower", (double)NAN);
    for (int i = 0; i < 2; i++) {
        loads[i].request = large;
        loads[i].request_size = (size_t)head + 150000;
        loads[i].requests = REQUESTS / 20;
    }
    if (!es_bench_time(jobs, 2, ROUNDS))
        return false;
    add_pair(bench, "POST 150 kB, 16 connections", jobs, REQUESTS / 20.0);
    return true;
}

int main(void)
{
    es_bench bench = {0};
    struct MHD_Response *response = NULL;
    uint16_t floor = 0;
    es_http_server *server = start_ours();
    struct MHD_Daemon *daemon = start_bare(&response, &floor);
    bool good = server != NULL && daemon != NULL &&
                measure(&bench, server == NULL ? 0 : es_http_server_port(server), floor);
    es_http_server_done(server);
    if (daemon != NULL)
        MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return good ? es_bench_print(&bench) : 1;
}
