/*
 * What a gateway adds to a request: the same binary request of a trivial model straight to the node
 * and through the gateway, one connection, taking turns; node, gateway and client in this process
 * over loopback. And what it costs to follow 10000 classes of 10 options.
 */
#include "base/file.h"
#include "base/log.h"
#include "es_bench.h"
#include "http/testing/http_bench_client.h"
#include "internal.h"
#include "runtime/testing/tiny_model.h"
#include "serve/serve.h"

#include <malloc.h>
#include <netinet/tcp.h>

enum { ROUNDS = 15, EACH = 1500, CLASSES = 10000, OPTIONS = 10, WIDTH = 4, REQUEST_MAX = 2048 };

typedef struct world {
    char folder[64];
    es_server *node;
    es_gateway *gateway;
    uint16_t ports[2]; /* node, gateway */
    char requests[2][REQUEST_MAX];
    size_t sizes[2];
    int fds[2];
} world;

/* ---- one request after the other ---- */

static bool drive(const world *w, int which, double *out_p50_s, double *out_max_s)
{
    static double seconds[EACH];
    es_clock *clock = es_clock_system();
    for (size_t i = 0; i < EACH; i++) {
        int64_t start_ns = es_clock_now_ns(clock);
        if (!send_all(w->fds[which], w->requests[which], w->sizes[which]) ||
            !read_answer(w->fds[which]))
            return false;
        seconds[i] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    }
    *out_p50_s = es_bench_median(seconds, EACH);
    *out_max_s = seconds[EACH - 1];
    return true;
}

static void make_request(world *w, int which, const char *model)
{
    static const float values[WIDTH];
    char head[512];
    char line[1024];
    int head_size = snprintf(head, sizeof head,
                             "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,%d],\"datatype\":\"FP32\","
                             "\"parameters\":{\"binary_data_size\":%zu}}],"
                             "\"parameters\":{\"binary_data_output\":true,\"estran_slo_ms\":1000}}",
                             WIDTH, sizeof values);
    int size = snprintf(line, sizeof line,
                        "POST /v2/models/%s/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n"
                        "Inference-Header-Content-Length: %d\r\n\r\n",
                        model, (size_t)head_size + sizeof values, head_size);
    memcpy(w->requests[which], line, (size_t)size);
    memcpy(w->requests[which] + size, head, (size_t)head_size);
    memcpy(w->requests[which] + size + head_size, values, sizeof values);
    w->sizes[which] = (size_t)(size + head_size) + sizeof values;
}

/* ---- node, gateway, routes ---- */

static bool put_routes(const world *w, const es_text *body)
{
    es_http_peer_opts to = es_http_peer_opts_default();
    es_http_client *client = NULL;
    es_http_reply reply = {0};
    es_error err = {0};
    char url[64];
    es_arena *arena = es_arena_new((size_t)1 << 26);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", w->ports[1]);
    to.url = url;
    to.timeout_s = 60;
    es_http_call call = {.method = ES_HTTP_PUT,
                         .path = "/estran/v1/routes",
                         .body = es_text_get(body),
                         .body_bytes = body->size};
    bool good = arena != NULL && es_http_client_new(to, &client, &err) == ES_OK &&
                es_http_client_call(client, arena, &call, NULL, &reply, &err) == ES_OK &&
                reply.status == 200;
    if (!good)
        (void)fprintf(stderr, "routes: %s %s\n", es_error_text(&err),
                      reply.body != NULL ? (const char *)reply.body : "");
    es_http_client_free(client);
    es_arena_free(arena);
    return good;
}

/* The task that is asked for, and `more` classes of ten options. */
static bool follow(const world *w, int64_t generation, size_t more)
{
    es_text text;
    es_text_init(&text, ES_SERVE_DOCUMENT_BYTES_MAX);
    es_text_format(&text,
                   "{\"format\":\"estran-routes\",\"version\":1,\"generation\":%lld,\"plan\":"
                   "\"bench\",\"peers\":[{\"name\":\"n1\",\"url\":\"http://127.0.0.1:%u\"}],"
                   "\"classes\":[{\"task\":\"look\",\"entry\":\"n1\",\"options\":[{\"share\":1,"
                   "\"route\":\"n1/copy\",\"latency_ms\":1,\"quality\":0.9,\"energy_j\":0.1,"
                   "\"carbon_gco2e\":0}]}",
                   (long long)generation, w->ports[0]);
    for (size_t c = 0; c < more; c++) {
        es_text_format(&text, ",{\"task\":\"task-%zu\",\"entry\":\"node-%zu\",\"options\":[",
                       c % 10, c / 10);
        for (size_t o = 0; o < OPTIONS; o++)
            es_text_format(&text,
                           "%s{\"share\":0.1,\"route\":\"n1/small;exit=0.8, "
                           "node-%zu/large;input=request\",\"latency_ms\":%zu,\"quality\":0.9,"
                           "\"energy_j\":0.1,\"carbon_gco2e\":1e-06}",
                           o > 0 ? "," : "", (c * 7 + o) % 1000, 10 + o);
        es_text_append(&text, "]}");
    }
    es_text_append(&text, "]}");
    bool good = es_text_status(&text, NULL) == ES_OK && put_routes(w, &text);
    es_text_done(&text);
    return good;
}

static es_status write_model(const char *path, es_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)16 << 20);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a model");
    ES_TRY(tiny_add(arena, -1, &bytes, &size, err));
    return es_file_write(path, bytes, size, err);
}

static es_status start(world *w, es_error *err)
{
    char path[128];
    size_t failed = 0;
    es_server_opts node = es_server_opts_default();
    es_gateway_opts gateway = es_gateway_opts_default();
    (void)snprintf(w->folder, sizeof w->folder, "/tmp/gateway_bench_XXXXXX");
    if (mkdtemp(w->folder) == NULL)
        return es_fail(err, ES_ERR_IO, "cannot make a folder");
    (void)snprintf(path, sizeof path, "%s/copy.onnx", w->folder);
    ES_TRY(write_model(path, err));
    node.repository = w->folder;
    node.name = "n1";
    node.port = 0;
    gateway.port = 0;
    gateway.hedge_share = 0;
    ES_TRY(es_server_init(node, &w->node, err));
    ES_TRY(es_server_start(w->node, &failed, err));
    ES_TRY(es_gateway_init(gateway, &w->gateway, err));
    ES_TRY(es_gateway_start(w->gateway, err));
    w->ports[0] = es_server_port(w->node);
    w->ports[1] = es_gateway_port(w->gateway);
    return ES_OK;
}

static bool connect_both(world *w)
{
    int one = 1;
    for (int i = 0; i < 2; i++) {
        w->fds[i] = connect_to(w->ports[i]);
        if (w->fds[i] < 0 || setsockopt(w->fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
            return false;
    }
    return true;
}

/* ---- what is measured ---- */

/* The least p50 of the rounds: whatever else the machine does only adds. */
static bool measure_hop(es_bench *bench, const world *w, const char *what)
{
    double least_s[2] = {(double)INFINITY, (double)INFINITY};
    double max_s = 0;
    static char names[2][3][128]; /* kept until the bench is printed */
    static size_t named;
    for (int round = 0; round < ROUNDS; round++) {
        for (int which = 0; which < 2; which++) {
            double p50_s = 0;
            if (!drive(w, which, &p50_s, &max_s))
                return false;
            least_s[which] = fmin(least_s[which], p50_s);
        }
    }
    (void)snprintf(names[named][0], sizeof names[named][0], "serve: p50 of the node alone, %s",
                   what);
    es_bench_add(bench, names[named][0], least_s[0] * 1e6, "us", "lower", (double)NAN);
    (void)snprintf(names[named][1], sizeof names[named][1], "serve: p50 through a gateway, %s",
                   what);
    es_bench_add(bench, names[named][1], least_s[1] * 1e6, "us", "lower", (double)NAN);
    (void)snprintf(names[named][2], sizeof names[named][2], "serve: added by the gateway, p50, %s",
                   what);
    es_bench_add(bench, names[named][2], (least_s[1] - least_s[0]) * 1e6, "us", "lower", 80);
    named++;
    return true;
}

static double resident_mb(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    (void)malloc_trim(0); /* what reading took is not what following takes */
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (file != NULL)
        (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

typedef struct asker {
    const world *w;
    _Atomic bool over;
    double slowest_s;
    bool good;
} asker;

static void *ask(void *context)
{
    asker *a = context;
    es_clock *clock = es_clock_system();
    a->good = true;
    while (a->good && !atomic_load(&a->over)) {
        int64_t start_ns = es_clock_now_ns(clock);
        a->good =
            send_all(a->w->fds[1], a->w->requests[1], a->w->sizes[1]) && read_answer(a->w->fds[1]);
        double seconds = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
        a->slowest_s = seconds > a->slowest_s ? seconds : a->slowest_s;
    }
    return NULL;
}

/* Routes of a whole country come while requests go on. */
static bool measure_change(es_bench *bench, const world *w)
{
    asker a = {.w = w};
    pthread_t thread;
    es_clock *clock = es_clock_system();
    double before_mb = resident_mb();
    if (pthread_create(&thread, NULL, ask, &a) != 0)
        return false;
    int64_t start_ns = es_clock_now_ns(clock);
    bool good = follow(w, 2, CLASSES) && follow(w, 3, CLASSES);
    double seconds = es_s_from_ns(es_clock_now_ns(clock) - start_ns) / 2;
    atomic_store(&a.over, true);
    (void)pthread_join(thread, NULL); /* fails only for a thread that is not ours */
    es_bench_add(bench, "serve: new routes of 10000 classes of 10 options, until followed", seconds,
                 "s", "lower", (double)NAN);
    es_bench_add(bench, "serve: slowest request meanwhile", a.slowest_s * 1e3, "ms", "lower",
                 (double)NAN);
    es_bench_add(bench, "serve: memory that they take", resident_mb() - before_mb, "MB", "lower",
                 (double)NAN);
    return good && a.good;
}

int main(void)
{
    static world w;
    es_bench bench = {0};
    es_error err = {0};
    char command[128];
    es_log_level_set(ES_LOG_ERROR);
    bool good = start(&w, &err) == ES_OK;
    if (!good)
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
    make_request(&w, 0, "copy");
    make_request(&w, 1, "look");
    good = good && follow(&w, 1, 0) && connect_both(&w) &&
           measure_hop(&bench, &w, "trivial model") && measure_change(&bench, &w) &&
           measure_hop(&bench, &w, "10001 classes");
    es_gateway_done(w.gateway);
    es_server_done(w.node);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", w.folder);
    good = system(command) == 0 && good;
    return good ? es_bench_print(&bench) : 1;
}
