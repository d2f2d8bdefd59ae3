/* What a hop adds: a server whose handler sends each request on to a backend and answers from the
 * callback, beside the backend alone; the same small POST, keep-alive, loopback. And what the
 * calling library costs: the same calls by a caller, beside a bare socket. */
#include "calling.h"
#include "es_bench.h"
#include "http/testing/http_bench_client.h"

enum { ROUNDS = 9, EACH = 3000, BODY_BYTES = 1024, CONNECTIONS = 16, LARGE_BYTES = 150000 };

static char post[LARGE_BYTES + 200];
static size_t post_size;
static _Atomic uint64_t allocations; /* of the calling library */

/* ---- the calling library's memory, counted ---- */

static void *count_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return malloc(size);
}

static void *count_realloc(void *old, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return realloc(old, size);
}

static char *count_strdup(const char *text)
{
    atomic_fetch_add(&allocations, 1);
    return strdup(text);
}

static void *count_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return calloc(count, size);
}

/* ---- backend and hop ---- */

static void answer_small(void *context, es_http_request *request)
{
    (void)context;
    es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                   .content_type = "application/json",
                                                   .body = "{\"ready\":true}",
                                                   .body_bytes = 14});
}

static void on_called(void *context, const es_http_result *result)
{
    es_http_request *request = context;
    const es_http_reply *reply = &result->reply;
    if (result->status != ES_OK) {
        es_http_answer_fail(request, result->why);
        return;
    }
    es_http_answer_send(
        request, &(es_http_answer){.status = reply->status,
                                   .content_type = es_http_reply_header(reply, "content-type"),
                                   .body = reply->body,
                                   .body_bytes = reply->body_bytes,
                                   .release = es_http_body_free,
                                   .release_context = es_http_result_keep_body(result)});
}

static void send_on(void *context, es_http_request *request)
{
    es_http_peer *const *peer = context;
    es_error err = {0};
    es_http_call call = {.method = ES_HTTP_POST,
                         .path = "/v2/models/m/infer",
                         .repeatable = true,
                         .called = on_called,
                         .context = request};
    call.body = es_http_request_body(request, &call.body_bytes);
    if (es_http_call_send(*peer, &call, NULL, &err) != ES_OK)
        es_http_answer_fail(request, &err);
}

typedef struct world {
    es_http_server *backend, *hop;
    es_http_caller *caller, *by_hand;
    es_http_peer *peer, *by_hand_peer;
    char url[64];
    char *large;
} world;

static es_http_server *serve(es_http_handle *handle, world *w, bool calls)
{
    const es_http_route route = {.method = ES_HTTP_POST,
                                 .path = "/v2/models/{model}/infer",
                                 .handle = handle,
                                 .context = &w->peer};
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_server *server = NULL;
    opts.routes = &route;
    opts.route_count = 1;
    if (es_http_server_init(opts, &server, NULL) != ES_OK)
        return NULL;
    es_http_peer_opts peer = es_http_peer_opts_default();
    peer.url = w->url;
    if (calls &&
        (es_http_server_caller(server, es_http_caller_opts_default(), &w->caller, NULL) != ES_OK ||
         es_http_peer_new(w->caller, peer, &w->peer, NULL) != ES_OK))
        return NULL;
    return es_http_server_start(server, NULL) == ES_OK ? server : NULL;
}

static bool world_make(world *w)
{
    es_http_caller_opts opts = es_http_caller_opts_default();
    es_http_peer_opts peer = es_http_peer_opts_default();
    opts.by_hand = true;
    w->backend = serve(answer_small, w, false);
    if (w->backend == NULL)
        return false;
    (void)snprintf(w->url, sizeof w->url, "http://127.0.0.1:%u",
                   (unsigned)es_http_server_port(w->backend));
    peer.url = w->url;
    w->hop = serve(send_on, w, true);
    return w->hop != NULL && es_http_caller_new(opts, &w->by_hand, NULL) == ES_OK &&
           es_http_peer_new(w->by_hand, peer, &w->by_hand_peer, NULL) == ES_OK;
}

static void world_end(world *w)
{
    es_http_server_done(w->hop);
    es_http_peer_unref(w->peer);
    es_http_peer_unref(w->by_hand_peer);
    es_http_caller_free(w->by_hand);
    es_http_server_done(w->backend);
}

/* ---- one at a time ---- */

static bool ask(int fd)
{
    return send_all(fd, post, post_size) && read_answer(fd);
}

static bool measure_socket(const es_http_server *server, double *out_s, size_t count)
{
    es_clock *clock = es_clock_system();
    int fd = connect_to(es_http_server_port(server));
    bool good = fd >= 0 && ask(fd);
    for (size_t i = 0; good && i < count; i++) {
        int64_t start_ns = es_clock_now_ns(clock);
        good = ask(fd);
        out_s[i] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    }
    (void)close(fd);
    return good;
}

static void note_end(void *context, const es_http_result *result)
{
    int *state = context;
    *state = result->status == ES_OK && result->reply.status == 200 ? 1 : -1;
}

static bool measure_caller(world *w, double *out_s, size_t count)
{
    static const char body[BODY_BYTES];
    es_clock *clock = es_clock_system();
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        int state = 0;
        es_http_call call = {.method = ES_HTTP_POST,
                             .path = "/v2/models/m/infer",
                             .body = body,
                             .body_bytes = sizeof body,
                             .called = note_end,
                             .context = &state};
        int64_t start_ns = es_clock_now_ns(clock);
        good = es_http_call_send(w->by_hand_peer, &call, NULL, NULL) == ES_OK;
        while (good && state == 0)
            es_http_caller_run(w->by_hand, INT64_MAX);
        good = good && state == 1;
        out_s[i] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    }
    return good;
}

static bool one_at_a_time(world *w, es_bench *bench)
{
    static double times[3][ROUNDS * EACH];
    static double warm[EACH];
    uint64_t before = 0;
    bool good = measure_socket(w->hop, warm, EACH) && measure_caller(w, warm, EACH);
    for (size_t round = 0; good && round < ROUNDS; round++) {
        good = measure_socket(w->backend, times[0] + round * EACH, EACH) &&
               measure_caller(w, times[1] + round * EACH, EACH);
        before = atomic_load(&allocations);
        good = good && measure_socket(w->hop, times[2] + round * EACH, EACH);
    }
    double each = (double)(atomic_load(&allocations) - before) / EACH;
    double p50[3], p99[3];
    for (size_t i = 0; i < 3; i++) {
        p50[i] = 1e6 * es_bench_median(times[i], ROUNDS * EACH);
        p99[i] = 1e6 * times[i][ROUNDS * EACH * 99 / 100];
    }
    es_bench_add(bench, "http: POST 1 kB, backend alone p50", p50[0], "us", "lower", (double)NAN);
    es_bench_add(bench, "http: POST 1 kB, through a hop p50", p50[2], "us", "lower", (double)NAN);
    es_bench_add(bench, "http: a hop adds, p50", p50[2] - p50[0], "us", "lower", 80);
    es_bench_add(bench, "http: a hop adds, p99", p99[2] - p99[0], "us", "lower", (double)NAN);
    es_bench_add(bench, "http: through a hop, ratio of p50", p50[2] / p50[0], "x", "lower",
                 (double)NAN);
    es_bench_add(bench, "http: caller instead of a bare socket adds, p50", p50[1] - p50[0], "us",
                 "lower", (double)NAN);
    es_bench_add(bench, "http: allocations of libcurl per call", each, "1", "lower", (double)NAN);
    return good;
}

/* ---- sixteen at a time ---- */

static bool flood(const es_http_server *server)
{
    int fds[CONNECTIONS];
    bool good = true;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_to(es_http_server_port(server));
        good = good && fds[i] >= 0;
    }
    for (size_t round = 0; good && round < EACH / CONNECTIONS; round++) {
        for (size_t i = 0; good && i < CONNECTIONS; i++)
            good = send_all(fds[i], post, post_size);
        for (size_t i = 0; good && i < CONNECTIONS; i++)
            good = read_answer(fds[i]);
    }
    for (size_t i = 0; i < CONNECTIONS; i++)
        (void)close(fds[i]);
    return good;
}

static double process_s(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail here */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* With client, hop and backend on fewer cores than threads, rates say little: processor time of all
 * three together, per request. */
static bool many_at_once(world *w, es_bench *bench, const char *const names[3])
{
    static double times[2][ROUNDS];
    es_http_server *const servers[] = {w->backend, w->hop};
    const double requests = EACH / CONNECTIONS * CONNECTIONS;
    for (size_t round = 0; round <= ROUNDS; round++) { /* the first does not count */
        for (size_t i = 0; i < 2; i++) {
            double before_s = process_s();
            if (!flood(servers[i]))
                return false;
            times[i][round > 0 ? round - 1 : 0] = (process_s() - before_s) / requests;
        }
    }
    double alone = 1e6 * es_bench_median(times[0], ROUNDS);
    double through = 1e6 * es_bench_median(times[1], ROUNDS);
    es_bench_add(bench, names[0], alone, "us", "lower", (double)NAN);
    es_bench_add(bench, names[1], through - alone, "us", "lower", (double)NAN);
    es_bench_add(bench, names[2], through / alone, "x", "lower", (double)NAN);
    return true;
}

static void set_body(size_t size)
{
    int head = snprintf(
        post, sizeof post,
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", size);
    memset(post + head, 'x', size);
    post_size = (size_t)head + size;
}

int main(void)
{
    static const char *const SMALL[] = {"http: POST 1 kB, processor time, client and backend",
                                        "http: POST 1 kB, processor time that a hop adds",
                                        "http: POST 1 kB, processor time, ratio"};
    static const char *const LARGE[] = {"http: POST 150 kB, processor time, client and backend",
                                        "http: POST 150 kB, processor time that a hop adds",
                                        "http: POST 150 kB, processor time, ratio"};
    static world w;
    es_bench bench = {0};
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, count_malloc, free, count_realloc, count_strdup,
                             count_calloc) != CURLE_OK)
        return 1;
    set_body(BODY_BYTES);
    bool good = world_make(&w) && one_at_a_time(&w, &bench) && many_at_once(&w, &bench, SMALL);
    set_body(LARGE_BYTES);
    good = good && many_at_once(&w, &bench, LARGE);
    world_end(&w);
    return good ? es_bench_print(&bench) : 1;
}
