/* A node as a process of its own, and a request to it: what the benchmarks of the node share. */
#ifndef ES_SERVE_BENCH_NODE_H
#define ES_SERVE_BENCH_NODE_H

#include "http/testing/http_bench_client.h"
#include "oip/oip.h"
#include "serve/serve.h"

#include <dirent.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

typedef struct node {
    pid_t pid;
    uint16_t port;
} node;

/* ---- the node's process ---- */

static volatile sig_atomic_t stop;

static inline void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* Never returns. */
static inline void serve(const char *repository, int ready_fd)
{
    es_error err = {0};
    es_server *server = NULL;
    size_t failed = 0;
    es_server_opts opts = es_server_opts_default();
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    opts.repository = repository;
    opts.port = 0;
    if (es_server_init(opts, &server, &err) != ES_OK ||
        es_server_start(server, &failed, &err) != ES_OK || failed > 0) {
        (void)fprintf(stderr, "node: %s\n", es_error_text(&err));
        _exit(1);
    }
    uint16_t port = es_server_port(server);
    if (write(ready_fd, &port, sizeof port) != sizeof port)
        _exit(1);
    while (stop == 0)
        (void)poll(NULL, 0, 100);
    es_server_done(server);
    _exit(0);
}

static inline bool node_start(node *out, const char *repository)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    out->pid = fork();
    if (out->pid == 0) {
        (void)close(ends[0]);
        serve(repository, ends[1]);
    }
    (void)close(ends[1]);
    bool good = out->pid > 0 && read(ends[0], &out->port, sizeof out->port) == sizeof out->port;
    (void)close(ends[0]);
    return good;
}

static inline void node_stop(node *one)
{
    int status = 0;
    if (one->pid <= 0)
        return;
    (void)kill(one->pid, SIGTERM);
    (void)waitpid(one->pid, &status, 0);
}

static inline double node_memory_mb(const node *one)
{
    char path[64];
    unsigned long long size = 0;
    unsigned long long resident = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)one->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (file != NULL)
        (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* Processor time of the process, and of its busiest thread since `since` (NULL: since it began).
 * What others do on the machine hardly changes it. */
typedef struct threads {
    size_t count;
    long ids[64];
    double busy_s[64];
    double all_s;
} threads;

static inline void threads_look(const node *one, threads *out)
{
    char path[512];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)one->pid);
    DIR *folder = opendir(path);
    const struct dirent *entry = NULL;
    *out = (threads){.count = 0};
    while (folder != NULL && (entry = readdir(folder)) != NULL && out->count < 64) {
        unsigned long long ns = 0;
        long id = strtol(entry->d_name, NULL, 10);
        (void)snprintf(path, sizeof path, "/proc/%d/task/%ld/schedstat", (int)one->pid, id);
        FILE *file = id > 0 ? fopen(path, "re") : NULL;
        if (file == NULL)
            continue;
        if (fscanf(file, "%llu", &ns) == 1) {
            out->ids[out->count] = id;
            out->busy_s[out->count++] = (double)ns / 1e9;
            out->all_s += (double)ns / 1e9;
        }
        (void)fclose(file);
    }
    if (folder != NULL)
        (void)closedir(folder);
}

/* ---- one request, sent again and again ---- */

typedef struct request {
    uint16_t port;
    char *bytes;
    size_t size;
    size_t connections, count; /* of a round */
} request;

static inline bool request_make(es_arena *arena, const node *to, const char *model,
                                const es_port *port, request *out)
{
    es_text body;
    int64_t json_size = 0;
    es_tensor shape = es_port_tensor(port, 1);
    void *data = es_arena_take(arena, shape.size_bytes, 1);
    const es_oip_param wish = {
        .name = "binary_data_output", .type = ES_DOC_BOOL, .as.boolean = true};
    es_oip_tensor tensor = {.name = port->name,
                            .dtype = port->dtype,
                            .rank = port->rank,
                            .data = data,
                            .size_bytes = shape.size_bytes,
                            .binary = true};
    memcpy(tensor.dims, shape.dims, sizeof tensor.dims);
    es_oip_message message = {
        .tensors = &tensor, .tensor_count = 1, .params = {.items = &wish, .count = 1}};
    es_text_init(&body, 1 << 24);
    bool good =
        data != NULL && es_oip_encode(ES_OIP_REQUEST, &message, &body, &json_size, NULL) == ES_OK;
    char *head = es_arena_format(arena,
                                 "POST /v2/models/%s/infer HTTP/1.1\r\nHost: a\r\n"
                                 "%s: %lld\r\nContent-Length: %zu\r\n\r\n",
                                 model, ES_OIP_JSON_SIZE_HEADER, (long long)json_size, body.size);
    good = good && head != NULL;
    *out = (request){.port = to->port};
    if (good) {
        size_t head_size = strlen(head);
        out->size = head_size + body.size;
        out->bytes = es_arena_take(arena, out->size, 1);
        good = out->bytes != NULL;
        if (good) {
            memcpy(out->bytes, head, head_size);
            memcpy(out->bytes + head_size, body.bytes, body.size);
        }
    }
    es_text_done(&body);
    return good;
}

static inline int connection_open(uint16_t port)
{
    int on = 1;
    int fd = connect_to(port);
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

#endif
