/*
 * The node with a model that takes no time, under wrk, beside the HTTP library alone with the same
 * bytes under the same wrk: what the protocol, batching and accounting cost.
 */
#include "base/file.h"
#include "es_bench.h"
#include "http/testing/http_bench_bare.h"
#include "runtime/testing/tiny_model.h"
#include "serve/testing/bench_node.h"

#include <stddef.h>
#include <sys/resource.h>

enum { ROUNDS = 5, ANSWER_MAX = 4096 }; /* a pipe takes so much at once */

/* ---- the library alone ---- */

typedef struct bare {
    node process;
    int feed, ready; /* its answer goes in, its port comes out */
} bare;

/* Never returns. */
static void serve_bare(int feed_fd, int ready_fd)
{
    static char answer[ANSWER_MAX];
    uint16_t port = 0;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    ssize_t got = read(feed_fd, answer, sizeof answer - 1); /* in one piece, as it is written */
    struct MHD_Response *response = got > 0 ? bare_response(answer, (size_t)got) : NULL;
    struct MHD_Daemon *daemon = response != NULL ? bare_start(response, &port) : NULL;
    if (daemon == NULL || write(ready_fd, &port, sizeof port) != sizeof port)
        _exit(1);
    while (stop == 0)
        (void)poll(NULL, 0, 100);
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    _exit(0);
}

/* The HTTP library alone, as a process that waits for the answer that it is to give. */
static bool bare_begin(bare *out)
{
    int feed[2];
    int ready[2];
    if (pipe(feed) != 0)
        return false;
    if (pipe(ready) != 0)
        return false;
    out->process.pid = fork();
    if (out->process.pid == 0) {
        (void)close(feed[1]);
        (void)close(ready[0]);
        serve_bare(feed[0], ready[1]);
    }
    (void)close(feed[0]);
    (void)close(ready[1]);
    out->feed = feed[1];
    out->ready = ready[0];
    return out->process.pid > 0;
}

/* What the node answers now becomes the bare server's answer. */
static bool bare_go(bare *bare_one, const request *trivial)
{
    char answer[ANSWER_MAX - 1];
    int fd = connection_open(trivial->port);
    bool good = fd >= 0 && send_all(fd, trivial->bytes, trivial->size);
    ssize_t got = good ? recv(fd, answer, sizeof answer, 0) : -1;
    (void)close(fd);
    good = got > 0 && write(bare_one->feed, answer, (size_t)got) == got;
    (void)close(bare_one->feed);
    good = good && read(bare_one->ready, &bare_one->process.port, sizeof bare_one->process.port) ==
                       sizeof bare_one->process.port;
    (void)close(bare_one->ready);
    return good;
}

/* ---- wrk ---- */

static bool wrk_script(const char *folder, const request *trivial, char *path, size_t size)
{
    const char *body = strstr(trivial->bytes, "\r\n\r\n") + 4;
    const char *header = strstr(trivial->bytes, ES_OIP_JSON_SIZE_HEADER);
    size_t body_size = trivial->size - (size_t)(body - trivial->bytes);
    es_text text;
    es_text_init(&text, 1 << 20);
    es_text_format(&text, "wrk.method=\"POST\"\nwrk.headers[\"%s\"]=\"%ld\"\nwrk.body=\"",
                   ES_OIP_JSON_SIZE_HEADER,
                   strtol(header + strlen(ES_OIP_JSON_SIZE_HEADER) + 2, NULL, 10));
    for (size_t i = 0; i < body_size; i++)
        es_text_format(&text, "\\%03u", (unsigned)(unsigned char)body[i]);
    es_text_append(&text, "\"\n");
    (void)snprintf(path, size, "%s/post.lua", folder);
    bool good = es_file_write(path, text.bytes, text.size, NULL) == ES_OK;
    es_text_done(&text);
    return good;
}

/* What one server and wrk did in a run. */
typedef struct wrk_run {
    double rate, server_us, wrk_us; /* processor time per request */
} wrk_run;

static double children_s(void)
{
    struct rusage used;
    if (getrusage(RUSAGE_CHILDREN, &used) != 0)
        return 0;
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static bool run_wrk(const node *one, const char *words, const char *script, wrk_run *out)
{
    char command[1200];
    char line[256];
    double requests = 0;
    threads before;
    threads after;
    (void)snprintf(command, sizeof command,
                   "wrk %s -d2s -s %s http://127.0.0.1:%u/v2/models/trivial/infer 2>/dev/null",
                   words, script, one->port);
    *out = (wrk_run){.rate = 0};
    threads_look(one, &before);
    double before_s = children_s();
    FILE *wrk = popen(command, "r");
    while (wrk != NULL && fgets(line, sizeof line, wrk) != NULL) {
        (void)sscanf(line, " %lf requests in", &requests);
        (void)sscanf(line, "Requests/sec: %lf", &out->rate);
        if (strstr(line, "Non-2xx") != NULL)
            requests = 0;
    }
    if (wrk == NULL || pclose(wrk) != 0 || requests == 0)
        return false;
    threads_look(one, &after);
    out->wrk_us = (children_s() - before_s) / requests * 1e6;
    out->server_us = (after.all_s - before.all_s) / requests * 1e6;
    return true;
}

static double middle_of(const wrk_run *runs, size_t count, size_t offset)
{
    double values[ROUNDS];
    for (size_t i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&runs[i] + offset, sizeof values[i]);
    return es_bench_median(values, count);
}

/* The node and the library alone in turn, so that what else the machine does hits both. */
static bool bench_wrk(es_bench *bench, const node *one, const node *bare_one, const char *script,
                      const char *words, const char *rows[5], double target)
{
    wrk_run runs[2][ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        if (!run_wrk(one, words, script, &runs[0][i]) ||
            !run_wrk(bare_one, words, script, &runs[1][i]))
            return false;
    double rate = middle_of(runs[0], ROUNDS, offsetof(wrk_run, rate));
    double bare_rate = middle_of(runs[1], ROUNDS, offsetof(wrk_run, rate));
    es_bench_add(bench, rows[0], rate, "1/s", "higher", target);
    es_bench_add(bench, rows[1], rate / bare_rate, "x", "higher", (double)NAN);
    es_bench_add(bench, rows[2], middle_of(runs[0], ROUNDS, offsetof(wrk_run, server_us)), "us",
                 "lower", (double)NAN);
    es_bench_add(bench, rows[3], middle_of(runs[1], ROUNDS, offsetof(wrk_run, server_us)), "us",
                 "lower", (double)NAN);
    es_bench_add(bench, rows[4], middle_of(runs[0], ROUNDS, offsetof(wrk_run, wrk_us)), "us",
                 "lower", (double)NAN);
    return true;
}

/* ---- the whole ---- */

static bool bench_all(es_bench *bench, const node *one, bare *bare_one, const char *folder,
                      const request *trivial)
{
    static const char *few[5] = {"node: trivial model, wrk with 16 connections",
                                 "node: the same, share of the HTTP library alone, same bytes",
                                 "node: trivial model, processor time of a request",
                                 "node: the same of the HTTP library alone",
                                 "node: the same of wrk beside the node"};
    static const char *many[5] = {
        "node: trivial model, wrk with 2 threads, 64 connections",
        "node: the same, share of the HTTP library alone, 64 connections",
        "node: trivial model, processor time of a request, 64 connections",
        "node: the same of the HTTP library alone, 64 connections",
        "node: the same of wrk beside the node, 64 connections"};
    char script[600];
    if (!wrk_script(folder, trivial, script, sizeof script) || !bare_go(bare_one, trivial))
        return false;
    if (!bench_wrk(bench, one, &bare_one->process, script, "-t1 -c16", few, 25000) ||
        !bench_wrk(bench, one, &bare_one->process, script, "-t2 -c64", many, (double)NAN))
        (void)fprintf(stderr, "wrk is not there: no figures for the trivial model\n");
    return true;
}

static bool put_model(es_arena *arena, const char *folder)
{
    char path[600];
    const void *bytes = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/trivial/1", folder);
    if (tiny_add(arena, -1, &bytes, &size, NULL) != ES_OK ||
        es_file_make_folder(path, NULL) != ES_OK)
        return false;
    (void)snprintf(path, sizeof path, "%s/trivial/1/model.onnx", folder);
    return es_file_write(path, bytes, size, NULL) == ES_OK;
}

int main(void)
{
    es_bench bench = {0};
    request trivial;
    node one = {.pid = 0};
    bare bare_one = {.feed = -1};
    char folder[] = "/tmp/estran-bench-XXXXXX";
    char command[600];
    const es_port four = {.name = "x", .dtype = ES_DTYPE_F32, .rank = 2, .dims = {-1, 4}};
    es_arena *arena = es_arena_new((size_t)64 << 20);
    bool good = arena != NULL && mkdtemp(folder) != NULL && put_model(arena, folder) &&
                bare_begin(&bare_one) && node_start(&one, folder) &&
                request_make(arena, &one, "trivial", &four, &trivial) &&
                bench_all(&bench, &one, &bare_one, folder, &trivial);
    node_stop(&one);
    node_stop(&bare_one.process);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        (void)fprintf(stderr, "%s is left\n", folder);
    es_arena_free(arena);
    return good ? es_bench_print(&bench) : 1;
}
