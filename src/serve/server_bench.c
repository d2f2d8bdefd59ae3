/*
 * The node beside ONNX Runtime alone, in one run: the same model, one thread for running it. The
 * node is a process of its own, driven over loopback in binary; what it runs, its HTTP thread and
 * the client share the machine's processors.
 */
#include "base/file.h"
#include "es_bench.h"
#include "runtime/testing/tiny_model.h"
#include "serve/testing/bench_node.h"

#include <sys/stat.h>

enum { CONNECTIONS_MAX = 64, ROUNDS = 9, PACED = 300, BATCH_WIDTH = 32, BATCH_LAYERS = 400 };

static double threads_busiest(const threads *before, const threads *after)
{
    double most_s = 0;
    for (size_t i = 0; i < after->count; i++) {
        double busy_s = after->busy_s[i];
        for (size_t k = 0; k < before->count; k++)
            if (before->ids[k] == after->ids[i])
                busy_s -= before->busy_s[k];
        most_s = fmax(most_s, busy_s);
    }
    return most_s;
}

/* A whole answer, of 200. */
static bool read_whole(int fd)
{
    char bytes[16384];
    size_t used = 0;
    for (;;) {
        ssize_t got = recv(fd, bytes + used, sizeof bytes - 1 - used, 0);
        if (got <= 0)
            return false;
        used += (size_t)got;
        bytes[used] = '\0';
        char *end = strstr(bytes, "\r\n\r\n");
        char *length = strstr(bytes, "Content-Length: ");
        if (end == NULL || length == NULL)
            continue;
        size_t body = strtoul(length + 16, NULL, 10);
        if (used >= (size_t)(end + 4 - bytes) + body)
            return memcmp(bytes, "HTTP/1.1 200", 12) == 0;
    }
}

/* Each connection has one request under way; count in all. */
static bool drive(void *context)
{
    const request *given = context;
    struct pollfd watched[CONNECTIONS_MAX];
    size_t sent = 0;
    size_t done = 0;
    bool good = true;
    for (size_t i = 0; i < given->connections; i++) {
        watched[i] = (struct pollfd){.fd = connection_open(given->port), .events = POLLIN};
        good = good && watched[i].fd >= 0 && send_all(watched[i].fd, given->bytes, given->size);
        sent++;
    }
    while (good && done < given->count) {
        if (poll(watched, given->connections, 10000) <= 0)
            return false;
        for (size_t i = 0; i < given->connections && good; i++) {
            if (watched[i].revents == 0)
                continue;
            good = read_whole(watched[i].fd);
            done++;
            watched[i].events = sent < given->count ? POLLIN : 0;
            if (sent++ < given->count)
                good = good && send_all(watched[i].fd, given->bytes, given->size);
            else
                watched[i].fd = -1 - watched[i].fd; /* poll passes over it */
        }
    }
    for (size_t i = 0; i < given->connections; i++)
        (void)close(watched[i].fd < 0 ? -1 - watched[i].fd : watched[i].fd);
    return good;
}

/* ---- the library alone ---- */

typedef struct bare {
    es_session *session;
    es_binding *binding;
    size_t count;
    double busy_s; /* of the thread, in all rounds */
} bare;

static double thread_s(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0
               ? (double)now.tv_sec + (double)now.tv_nsec / 1e9
               : 0;
}

static bool bare_make(es_arena *arena, es_runtime *runtime, const char *path, bare *out)
{
    es_tensor input;
    es_tensor output = {.dtype = ES_DTYPE_NONE};
    if (es_session_open(runtime, path, es_session_opts_default(), &out->session, NULL) != ES_OK)
        return false;
    input = es_port_tensor(es_session_input(out->session, 0), 1);
    output = es_port_tensor(es_session_output(out->session, 0), 1);
    input.data = es_arena_take(arena, input.size_bytes, 1);
    output.data = es_arena_take(arena, output.size_bytes, 1);
    return input.data != NULL && output.data != NULL &&
           es_binding_new(out->session, &input, 1, &output, 1, &out->binding, NULL) == ES_OK;
}

static bool run_bare(void *context)
{
    bare *given = context;
    double before_s = thread_s();
    for (size_t i = 0; i < given->count; i++)
        if (es_binding_run(given->binding, NULL) != ES_OK)
            return false;
    given->busy_s += thread_s() - before_s;
    return true;
}

/* ---- throughput ---- */

static bool bench_throughput(es_bench *bench, const node *one, request *network, bare *alone)
{
    enum { RUNS = 1500, CONNECTIONS = 4 };
    threads before;
    threads after;
    threads_look(one, &before);
    network->connections = CONNECTIONS;
    network->count = RUNS;
    alone->count = RUNS;
    es_bench_job jobs[] = {{.what = "node", .run = drive, .context = network},
                           {.what = "bare", .run = run_bare, .context = alone}};
    if (!es_bench_time(jobs, 2, ROUNDS))
        return false;
    es_bench_add(bench, "node: ResNet-8, 4 connections", RUNS / jobs[0].median_s, "1/s", "higher",
                 (double)NAN);
    es_bench_add(bench, "node: ResNet-8, ONNX Runtime alone", RUNS / jobs[1].median_s, "1/s",
                 "higher", (double)NAN);
    es_bench_add(bench, "node: ResNet-8, share of ONNX Runtime alone",
                 jobs[1].median_s / jobs[0].median_s, "x", "higher", 0.9);
    threads_look(one, &after);
    es_bench_add(bench, "node: ResNet-8, the same by processor time of the thread that runs it",
                 alone->busy_s / threads_busiest(&before, &after), "x", "higher", 0.9);
    es_bench_add(bench, "node: ResNet-8, processor time of all threads per request",
                 (after.all_s - before.all_s) / (RUNS * (ROUNDS + 1)) * 1e6, "us", "lower",
                 (double)NAN);
    return true;
}

/* ---- latency at half load: due at equal distances, twice a run apart ---- */

typedef struct paced {
    const request *network; /* NULL: the library alone */
    const bare *alone;
    int fd;
    int64_t gap_ns;
    double times_s[PACED];
} paced;

static bool paced_run(paced *now)
{
    es_clock *clock = es_clock_system();
    int64_t due_ns = es_clock_now_ns(clock) + now->gap_ns;
    bool good = true;
    for (size_t i = 0; good && i < PACED; i++) {
        es_clock_sleep_until_ns(clock, due_ns);
        int64_t start_ns = es_clock_now_ns(clock);
        good = now->network != NULL ? send_all(now->fd, now->network->bytes, now->network->size) &&
                                          read_whole(now->fd)
                                    : es_binding_run(now->alone->binding, NULL) == ES_OK;
        now->times_s[i] = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
        due_ns += now->gap_ns;
        if (due_ns < es_clock_now_ns(clock)) /* disturbed: no burst to catch up */
            due_ns = es_clock_now_ns(clock) + now->gap_ns;
    }
    (void)es_bench_median(now->times_s, PACED); /* sorts */
    return good;
}

/* Medians over pairs of blocks, so that what disturbs the machine now and then does not decide. */
static bool bench_latency(es_bench *bench, const request *network, const bare *alone, double run_s)
{
    enum { BLOCKS = 15 };
    static paced node_now;
    static paced bare_now;
    double p50_s[BLOCKS];
    double added_p50_s[BLOCKS];
    double added_p99_s[BLOCKS];
    node_now = (paced){.network = network,
                       .fd = connection_open(network->port),
                       .gap_ns = es_ns_from_s(2 * run_s)};
    bare_now = (paced){.alone = alone, .fd = -1, .gap_ns = node_now.gap_ns};
    bool good = node_now.fd >= 0;
    for (size_t i = 0; good && i < BLOCKS; i++) {
        good = paced_run(&node_now) && paced_run(&bare_now);
        p50_s[i] = node_now.times_s[PACED / 2];
        added_p50_s[i] = p50_s[i] - bare_now.times_s[PACED / 2];
        added_p99_s[i] = node_now.times_s[PACED * 99 / 100] - bare_now.times_s[PACED * 99 / 100];
    }
    (void)close(node_now.fd);
    if (!good)
        return false;
    es_bench_add(bench, "node: ResNet-8 at half load, p50", es_bench_median(p50_s, BLOCKS) * 1e6,
                 "us", "lower", (double)NAN);
    es_bench_add(bench, "node: ResNet-8 at half load, p50 added to ONNX Runtime alone",
                 es_bench_median(added_p50_s, BLOCKS) * 1e6, "us", "lower", 60);
    es_bench_add(bench, "node: ResNet-8 at half load, p99 added to ONNX Runtime alone",
                 es_bench_median(added_p99_s, BLOCKS) * 1e6, "us", "lower", 250);
    return true;
}

/* ---- batching ---- */

static bool bench_batching(es_bench *bench, const node *one, request *joined, request *alone)
{
    enum { RUNS = 1500, CONNECTIONS = 32 };
    joined->connections = alone->connections = CONNECTIONS;
    joined->count = alone->count = RUNS;
    es_bench_job jobs[] = {{.what = "joined", .run = drive, .context = joined},
                           {.what = "alone", .run = drive, .context = alone}};
    threads looks[3];
    if (!es_bench_time(jobs, 2, ROUNDS))
        return false;
    for (size_t i = 0; i < 3; i++) {
        threads_look(one, &looks[i]);
        if (i < 2 && !jobs[i].run(jobs[i].context))
            return false;
    }
    es_bench_add(bench, "node: 400 small layers, 32 connections, joined", RUNS / jobs[0].median_s,
                 "1/s", "higher", (double)NAN);
    es_bench_add(bench, "node: 400 small layers, 32 connections, one by one",
                 RUNS / jobs[1].median_s, "1/s", "higher", (double)NAN);
    es_bench_add(bench, "node: gain of batching", jobs[1].median_s / jobs[0].median_s, "x",
                 "higher", 2);
    es_bench_add(bench, "node: gain of batching, by processor time of the node",
                 (looks[2].all_s - looks[1].all_s) / (looks[1].all_s - looks[0].all_s), "x",
                 "higher", 2);
    return true;
}

/* ---- the whole ---- */

typedef struct world {
    es_arena *arena;
    es_runtime *runtime;
    char folder[512];
    char resnet[600]; /* "": the data are not there */
    double models_mb;
} world;

static bool put_model(world *w, const char *name, const char *file, const void *bytes, size_t size)
{
    char path[800];
    (void)snprintf(path, sizeof path, "%s/%s/1", w->folder, name);
    if (es_file_make_folder(path, NULL) != ES_OK)
        return false;
    (void)snprintf(path, sizeof path, "%s/%s/%s", w->folder, name, file);
    if (strstr(file, ".onnx") != NULL)
        w->models_mb += (double)size / 1e6;
    return es_file_write(path, bytes, size, NULL) == ES_OK;
}

static bool world_make(world *w)
{
    static const char joins[] = "max_batch_size: 16 dynamic_batching { }";
    static const char single[] = "max_batch_size: 0";
    const char *root = getenv("ESTRAN_DATA");
    const void *bytes = NULL;
    char *data = NULL;
    size_t size = 0;
    char path[600];
    w->arena = es_arena_new((size_t)512 << 20);
    (void)snprintf(w->folder, sizeof w->folder, "/tmp/estran-bench-XXXXXX");
    if (w->arena == NULL || mkdtemp(w->folder) == NULL)
        return false;
    if (tiny_layers(w->arena, -1, BATCH_WIDTH, BATCH_LAYERS, &bytes, &size, NULL) != ES_OK ||
        !put_model(w, "joined", "1/model.onnx", bytes, size) ||
        !put_model(w, "joined", "config.pbtxt", joins, sizeof joins - 1) ||
        !put_model(w, "alone", "1/model.onnx", bytes, size) ||
        !put_model(w, "alone", "config.pbtxt", single, sizeof single - 1))
        return false;
    (void)snprintf(path, sizeof path, "%s/onnx/mlperf_tiny_resnet8_cifar10.onnx",
                   root != NULL ? root : "../shared/data");
    if (es_file_read(w->arena, path, 1 << 24, &data, &size, NULL) == ES_OK &&
        put_model(w, "resnet8", "1/model.onnx", data, size))
        (void)snprintf(w->resnet, sizeof w->resnet, "%s/resnet8/1/model.onnx", w->folder);
    return true;
}

static void world_done(world *w)
{
    char command[600];
    if (w->folder[0] != '\0') {
        (void)snprintf(command, sizeof command, "rm -rf %s", w->folder);
        if (system(command) != 0)
            (void)fprintf(stderr, "%s is left\n", w->folder);
    }
    es_runtime_free(w->runtime);
    es_arena_free(w->arena);
}

static bool bench_resnet(es_bench *bench, world *w, const node *one)
{
    bare alone = {.session = NULL};
    request network;
    bool good =
        bare_make(w->arena, w->runtime, w->resnet, &alone) &&
        request_make(w->arena, one, "resnet8", es_session_input(alone.session, 0), &network) &&
        bench_throughput(bench, one, &network, &alone);
    if (good) {
        es_bench_job job = {.what = "bare", .run = run_bare, .context = &alone};
        alone.count = 500;
        good =
            es_bench_time(&job, 1, 5) && bench_latency(bench, &network, &alone, job.median_s / 500);
    }
    es_binding_free(alone.binding);
    es_session_unref(alone.session);
    return good;
}

static bool bench_all(es_bench *bench, world *w, const node *one)
{
    const es_port wide = {.name = "x", .dtype = ES_DTYPE_F32, .rank = 2, .dims = {-1, BATCH_WIDTH}};
    request joined;
    request alone;
    if (!request_make(w->arena, one, "joined", &wide, &joined) ||
        !request_make(w->arena, one, "alone", &wide, &alone))
        return false;
    if (w->resnet[0] != '\0' && !bench_resnet(bench, w, one))
        return false;
    if (!bench_batching(bench, one, &joined, &alone))
        return false;
    es_bench_add(bench, "node: resident memory without its models",
                 node_memory_mb(one) - w->models_mb, "MB", "lower", 60);
    return true;
}

int main(void)
{
    es_bench bench = {0};
    es_error err = {0};
    world w = {.arena = NULL};
    node one = {.pid = 0};
    /* the node is forked before this process has threads */
    bool good = world_make(&w) && node_start(&one, w.folder);
    if (good && es_runtime_new(es_runtime_opts_default(), &w.runtime, &err) != ES_OK) {
        (void)fprintf(stderr, "serve: %s\n", es_error_text(&err));
        good = false;
    }
    if (good && w.resnet[0] == '\0')
        (void)fprintf(stderr, "the real data are not there: no figures for ResNet-8\n");
    good = good && bench_all(&bench, &w, &one);
    node_stop(&one);
    world_done(&w);
    return good ? es_bench_print(&bench) : 1;
}
