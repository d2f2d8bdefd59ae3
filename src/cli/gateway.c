/* estran gateway: clients ask for tasks over the Open Inference Protocol; it knows who solves them.
 */
#include "gateway/gateway.h"

#include "cli/cli.h"
#include "cli/listen.h"

#include <poll.h>

typedef struct options {
    const char *name;
    const char *listen;
    int64_t ready_fd;
    const char *entry;
    const char *routes;
    int64_t http_threads;
    double timeout_s;
    double retry_share;
    double hedge_share;
    int64_t calls_max;
    int64_t body_mb;
    double grace_s;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_client_ca;
    const char *tokens;
    const char *peer_token;
    const char *peer_ca;
    const char *peer_cert;
    const char *peer_key;
    const char *request_log;
    bool emulate;
} options;

static const es_option rows[] = {
    {.name = "routes",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, routes),
     .value = "FILE",
     .help = "follow these routes from the start, and keep new ones there"},
    {.name = "entry",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, entry),
     .value = "NODE",
     .help = "where requests enter that do not say"},
    {.name = "name",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, name),
     .value = "NAME",
     .fallback = "gateway",
     .help = "shown in messages"},
    {.name = "listen",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, listen),
     .value = "ADDRESS:PORT",
     .fallback = "127.0.0.1:8080",
     .help = "port 0 takes any free one"},
    {.name = "ready-fd",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, ready_fd),
     .value = "FD",
     .fallback = "1",
     .min = 1,
     .max = 1e6,
     .help = "'ready PORT' is written to this file descriptor"},
    {.name = "http-threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, http_threads),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 64,
     .help = "threads that take and send requests"},
    {.name = "timeout",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, timeout_s),
     .value = "SECONDS",
     .fallback = "30",
     .min = 0.001,
     .max = 86400,
     .help = "for an answer, where neither request nor task asks for less"},
    {.name = "retry-share",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, retry_share),
     .value = "SHARE",
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .help = "of requests that may be sent again when a node fails, and one per second"},
    {.name = "hedge-share",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, hedge_share),
     .value = "SHARE",
     .fallback = "0.02",
     .min = 0,
     .max = 1,
     .help = "of requests that may be sent twice when an answer is slow; 0: none"},
    {.name = "calls-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, calls_max),
     .value = "N",
     .fallback = "1024",
     .min = 1,
     .max = 65535,
     .help = "requests under way, per thread; more are refused with 503"},
    {.name = "body-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, body_mb),
     .value = "MB",
     .fallback = "64",
     .min = 1,
     .max = 65536,
     .help = "largest body of a request; more: 413"},
    {.name = "grace",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, grace_s),
     .value = "SECONDS",
     .fallback = "10",
     .min = 0,
     .max = 3600,
     .help = "for requests under way when the gateway is told to stop"},
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
    {.name = "peer-token",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_token),
     .value = "FILE",
     .help = "one line, the token shown to nodes"},
    {.name = "peer-ca",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_ca),
     .value = "FILE",
     .help = "whom to trust as nodes, PEM; else the system's"},
    {.name = "peer-cert",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_cert),
     .value = "FILE",
     .help = "certificate shown to nodes, PEM"},
    {.name = "peer-key",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_key),
     .value = "FILE",
     .help = "its key, PEM"},
    {.name = "request-log",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, request_log),
     .value = "FILE",
     .help = "append a JSON line per request; a trace of format requests"},
    {.name = "emulate",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, emulate),
     .help = "emulate the links that routes tell nodes with"},
};

static es_status fill(es_cli *cli, const options *chosen, es_gateway_opts *opts, es_error *err)
{
    ES_TRY(es_cli_listen(cli, chosen->listen, &opts->address, &opts->port, err));
    ES_TRY(es_cli_tokens(cli, chosen->tokens, &opts->tokens, &opts->token_count, err));
    ES_TRY(es_cli_token(cli, chosen->peer_token, &opts->peer_token, err));
    opts->name = chosen->name;
    opts->version = ES_VERSION;
    opts->entry = chosen->entry;
    opts->routes_file = chosen->routes;
    opts->loop_count = (uint32_t)chosen->http_threads;
    opts->timeout_s = chosen->timeout_s;
    opts->retry_share = chosen->retry_share;
    opts->hedge_share = chosen->hedge_share;
    opts->calls_max = (uint32_t)chosen->calls_max;
    opts->body_bytes_max = (size_t)chosen->body_mb << 20;
    opts->certificate_file = chosen->tls_cert;
    opts->key_file = chosen->tls_key;
    opts->client_ca_file = chosen->tls_client_ca;
    opts->peer_ca_file = chosen->peer_ca;
    opts->peer_certificate_file = chosen->peer_cert;
    opts->peer_key_file = chosen->peer_key;
    opts->request_log = chosen->request_log;
    opts->emulate = chosen->emulate;
    return ES_OK;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    enum { LOOK_MS = 200 };
    const options *chosen = given;
    es_gateway_opts opts = es_gateway_opts_default();
    ES_CLEANUP(es_gateway_done_p) es_gateway *gateway = NULL;
    (void)files;
    (void)count;
    ES_TRY(fill(cli, chosen, &opts, err));
    ES_TRY(es_gateway_init(opts, &gateway, err));
    es_cli_warn_open("gateway", opts.address, opts.token_count > 0 || opts.client_ca_file != NULL);
    ES_TRY(es_gateway_start(gateway, err));
    ES_TRY(es_cli_ready((int)chosen->ready_fd, es_gateway_port(gateway), err));
    es_cli_say(cli, "serving on %s://%s:%u\n", opts.certificate_file != NULL ? "https" : "http",
               opts.address, es_gateway_port(gateway));
    while (*cli->stop == 0)
        (void)poll(NULL, 0, LOOK_MS); /* a signal ends it early */
    es_gateway_stop(gateway, chosen->grace_s);
    return ES_OK;
}

const es_verb es_verb_gateway = {
    .name = "gateway",
    .group = "run",
    .summary = "take requests for tasks and send them the way that the plan chose",
    .arguments = "",
    .details =
        "Clients name a task as the model, over the Open Inference Protocol v2, and may say what "
        "they\n"
        "wish in parameters: estran_slo_ms, estran_min_accuracy, estran_max_energy_j,\n"
        "estran_max_gco2e, estran_strict, estran_entry. The gateway takes one of the task's "
        "options,\n"
        "sends the request to the first node of its route, and passes the answer back. Routes come "
        "from\n"
        "a controller (PUT /estran/v1/routes) or a file; it needs nobody else to go on serving.\n"
        "docs/reference/gateway.md has the paths, docs/reference/routes.md the document.\n"
        "  estran gateway --routes routes.json --listen 127.0.0.1:8080",
    .file_min = 0,
    .file_max = 0,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
