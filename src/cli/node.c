/* estran node: a server of the Open Inference Protocol over a folder of models. */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/listen.h"
#include "serve/serve.h"

#include <poll.h>
#include <unistd.h>

typedef struct options {
    const char *repository;
    es_cli_texts load;
    const char *name;
    const char *listen;
    int64_t ready_fd;
    const char *ort_library;
    int64_t replicas;
    int64_t threads;
    int64_t batch_max;
    int64_t queue_max;
    int64_t http_threads;
    double inline_us;
    double grace_s;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_client_ca;
    const char *tokens;
    int64_t body_mb;
    int64_t connections_max;
    int64_t cache_mb;
    bool cache_all;
    const char *request_log;
    bool metrics_nv;
    double idle_w;
    double busy_w;
    double carbon;
    const char *peer_token;
    const char *peer_ca;
    const char *peer_cert;
    const char *peer_key;
    bool emulate;
    double slowdown;
    int64_t processors;
} options;

static const es_option rows[] = {
    {.name = "repository",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, repository),
     .value = "DIR",
     .help = "serve the models of this folder; required"},
    {.name = "load",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, load),
     .value = "MODEL",
     .help = "load only this model at the start; may be given several times"},
    {.name = "name",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, name),
     .value = "NAME",
     .fallback = "node",
     .help = "shown in messages"},
    {.name = "listen",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, listen),
     .value = "ADDRESS:PORT",
     .fallback = "127.0.0.1:8000",
     .help = "port 0 takes any free one"},
    {.name = "ready-fd",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, ready_fd),
     .value = "FD",
     .fallback = "1",
     .min = 1,
     .max = 1e6,
     .help = "'ready PORT' is written to this file descriptor"},
    {.name = "ort-library",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, ort_library),
     .value = "FILE",
     .help = "ONNX Runtime's library; else the usual search"},
    {.name = "replicas",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, replicas),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 64,
     .help = "runs of a model at the same time, for models that do not say"},
    {.name = "threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, threads),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 64,
     .help = "threads inside one run"},
    {.name = "batch-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, batch_max),
     .value = "ROWS",
     .fallback = "8",
     .min = 0,
     .max = 1024,
     .help = "largest batch of models that do not say and can be batched; 0: none"},
    {.name = "queue-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, queue_max),
     .value = "REQUESTS",
     .fallback = "1024",
     .min = 1,
     .max = 1e6,
     .help = "that may wait per model; more are refused with 503"},
    {.name = "http-threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, http_threads),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 64,
     .help = "threads that speak HTTP"},
    {.name = "inline-us",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, inline_us),
     .value = "MICROSECONDS",
     .fallback = "300",
     .min = 0,
     .max = 1e6,
     .help = "runs that take no longer may go where the request is read, while requests are few"},
    {.name = "grace",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, grace_s),
     .value = "SECONDS",
     .fallback = "10",
     .min = 0,
     .max = 3600,
     .help = "for requests under way when the node is told to stop"},
    {.name = "tls-cert",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tls_cert),
     .value = "FILE",
     .help = "certificate with its chain, PEM: speak TLS"},
    {.name = "tls-key",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tls_key),
     .value = "FILE",
     .help = "its key, PEM"},
    {.name = "tls-client-ca",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tls_client_ca),
     .value = "FILE",
     .help = "clients must show a certificate signed by one of these, PEM"},
    {.name = "tokens",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tokens),
     .value = "FILE",
     .help = "lines 'ROLE TOKEN': client, node, gateway or controller; others get 401"},
    {.name = "body-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, body_mb),
     .value = "MB",
     .fallback = "64",
     .min = 1,
     .max = 65536,
     .help = "largest body of a request; more: 413"},
    {.name = "connections-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, connections_max),
     .value = "N",
     .fallback = "1024",
     .min = 1,
     .max = 1e6,
     .help = "more wait in the kernel's queue"},
    {.name = "cache",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, cache_mb),
     .value = "MB",
     .fallback = "0",
     .min = 0,
     .max = 1048576,
     .help = "room of the response cache, for models that enable it; 0: none"},
    {.name = "cache-all",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, cache_all),
     .help = "models that do not say are cached too"},
    {.name = "request-log",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, request_log),
     .value = "FILE",
     .help = "append a JSON line per request; a trace of format requests"},
    {.name = "metrics-nv",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, metrics_nv),
     .help = "Triton's names in /metrics too"},
    {.name = "power-idle",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, idle_w),
     .value = "WATTS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "of this machine at rest, where it has no energy counters"},
    {.name = "power-busy",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, busy_w),
     .value = "WATTS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "with all processors busy; both 0: a generic figure"},
    {.name = "carbon",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, carbon),
     .value = "G_PER_KWH",
     .fallback = "-1",
     .min = -1,
     .max = 1e5,
     .help = "of the grid; -1: grams of CO2e are not told"},
    {.name = "peer-token",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_token),
     .value = "FILE",
     .help = "one line, the token shown to the nodes of next stages"},
    {.name = "peer-ca",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_ca),
     .value = "FILE",
     .help = "whom to trust as such nodes, PEM; else the system's"},
    {.name = "peer-cert",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_cert),
     .value = "FILE",
     .help = "certificate shown to them, PEM"},
    {.name = "peer-key",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_key),
     .value = "FILE",
     .help = "its key, PEM"},
    {.name = "emulate",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, emulate),
     .help = "emulate the links that peers are told with, and --slowdown"},
    {.name = "slowdown",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, slowdown),
     .value = "TIMES",
     .fallback = "1",
     .min = 1,
     .max = 1e6,
     .help = "with --emulate: a machine so many times slower than this one"},
    {.name = "processors",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, processors),
     .value = "N",
     .fallback = "0",
     .min = 0,
     .max = 64,
     .help = "with --emulate: runs of all models at the same time, in the order of requests; 0: "
             "each model for itself"},
};

static es_status serve_until_stopped(es_cli *cli, const options *chosen, es_server_opts opts,
                                     es_error *err)
{
    enum { LOOK_MS = 200 };
    ES_CLEANUP(es_server_done_p) es_server *server = NULL;
    size_t failed = 0;
    ES_TRY(es_server_init(opts, &server, err));
    es_cli_warn_open("node", opts.address, opts.token_count > 0 || opts.client_ca_file != NULL);
    ES_TRY(es_server_start(server, &failed, err));
    if (failed > 0)
        es_log(ES_LOG_WARNING, "node", "models that could not be loaded: %zu", failed);
    ES_TRY(es_cli_ready((int)chosen->ready_fd, es_server_port(server), err));
    es_cli_say(cli, "serving on %s://%s:%u\n", opts.certificate_file != NULL ? "https" : "http",
               opts.address, es_server_port(server));
    while (*cli->stop == 0)
        (void)poll(NULL, 0, LOOK_MS); /* a signal ends it early */
    es_server_stop(server, chosen->grace_s);
    return ES_OK;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)files;
    (void)count;
    const options *chosen = given;
    es_server_opts opts = es_server_opts_default();
    ES_TRY(es_cli_listen(cli, chosen->listen, &opts.address, &opts.port, err));
    if (chosen->repository == NULL)
        return es_fail(err, ES_ERR_ARG, "--repository: a folder of models is needed");
    ES_TRY(es_cli_tokens(cli, chosen->tokens, &opts.tokens, &opts.token_count, err));
    opts.name = chosen->name;
    opts.version = ES_VERSION;
    opts.repository = chosen->repository;
    opts.load = chosen->load.items;
    opts.load_count = chosen->load.count;
    opts.ort_library = chosen->ort_library;
    opts.loop_count = (uint32_t)chosen->http_threads;
    opts.replica_count = (uint32_t)chosen->replicas;
    opts.thread_count = (uint32_t)chosen->threads;
    opts.batch_max = (uint32_t)chosen->batch_max;
    opts.queue_max = (uint32_t)chosen->queue_max;
    opts.inline_us_max = chosen->inline_us;
    opts.certificate_file = chosen->tls_cert;
    opts.key_file = chosen->tls_key;
    opts.client_ca_file = chosen->tls_client_ca;
    opts.body_bytes_max = (size_t)chosen->body_mb << 20;
    opts.connections_max = (uint32_t)chosen->connections_max;
    opts.cache_bytes = (size_t)chosen->cache_mb << 20;
    opts.cache_all = chosen->cache_all;
    opts.request_log = chosen->request_log;
    opts.metrics_nv = chosen->metrics_nv;
    opts.meter_root = getenv("ESTRAN_METER_ROOT");
    opts.idle_w = chosen->idle_w;
    opts.busy_w = chosen->busy_w;
    opts.peer_ca_file = chosen->peer_ca;
    opts.peer_certificate_file = chosen->peer_cert;
    opts.peer_key_file = chosen->peer_key;
    opts.emulate = chosen->emulate;
    opts.slowdown = chosen->slowdown;
    opts.processors = (uint32_t)chosen->processors;
    ES_TRY(es_cli_token(cli, chosen->peer_token, &opts.peer_token, err));
    if (chosen->carbon >= 0)
        opts.carbon_g_per_kwh = chosen->carbon;
    return serve_until_stopped(cli, chosen, opts, err);
}

const es_verb es_verb_node = {
    .name = "node",
    .group = "run",
    .summary = "serve models and segments as one node of a network",
    .arguments = "",
    .details =
        "Serves the models of a folder over the Open Inference Protocol v2 (REST with binary "
        "tensors):\n"
        "DIR/MODEL/VERSION/model.onnx with an optional config.pbtxt, or plain DIR/MODEL.onnx. It "
        "prints\n"
        "'ready PORT' when the models are loaded, and stops on SIGTERM when what is under way has "
        "been\n"
        "answered. docs/reference/node.md has the paths and figures.\n"
        "  estran node --repository models --listen 127.0.0.1:8000\n"
        "Where the machine has energy counters answers tell joules by them; sys and proc are "
        "looked "
        "for\n"
        "below ESTRAN_METER_ROOT. 'estran run' starts such nodes, with --emulate.",
    .file_min = 0,
    .file_max = 0,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
