/* estran controller: keeps nodes and gateways on the plan. */
#include "cli/cli.h"
#include "cli/listen.h"
#include "control/control.h"
#include "scenario/scenario.h"

typedef struct options {
    const char *cluster;
    const char *state;
    const char *policy;
    double slot_s;
    double probe_s;
    double patience_s;
    double drain_s;
    bool emulate;
    bool once;
    bool dry_run;
    bool replay;
    const char *listen;
    int64_t ready_fd;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_client_ca;
    const char *peer_cert;
    const char *peer_key;
    const char *tokens;
} options;

static const es_option rows[] = {
    {.name = "cluster",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, cluster),
     .value = "FILE",
     .help = "where the nodes and gateways are; needed"},
    {.name = "state",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, state),
     .value = "FILE",
     .help = "SQLite file of what must not be forgotten; needed, made when absent"},
    {.name = "policy",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, policy),
     .value = "NAME",
     .fallback = "replan",
     .help = "what decides (docs/reference/policy.md)"},
    {.name = "slot-s",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, slot_s),
     .value = "SECONDS",
     .fallback = "0",
     .min = 0,
     .max = 1e7,
     .help = "between decisions; 0: the scenario's slots"},
    {.name = "probe",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, probe_s),
     .value = "SECONDS",
     .fallback = "1",
     .min = 0.01,
     .max = 3600,
     .help = "between looks at each node and gateway"},
    {.name = "patience",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, patience_s),
     .value = "SECONDS",
     .fallback = "30",
     .min = 0,
     .max = 86400,
     .help = "how long a gateway that does not answer keeps models from being unloaded"},
    {.name = "drain",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, drain_s),
     .value = "SECONDS",
     .fallback = "0",
     .min = 0,
     .max = 3600,
     .help = "for requests under way where gateways do not tell; 0: the longest deadline"},
    {.name = "emulate",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, emulate),
     .help = "tell nodes and gateways the scenario's links, to be emulated"},
    {.name = "once",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, once),
     .help = "end when what was decided is in force"},
    {.name = "dry-run",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, dry_run),
     .help = "look, decide, print the steps, change nothing"},
    {.name = "replay",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, replay),
     .help = "decide the slots of the state again in the simulator, and compare"},
    {.name = "listen",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, listen),
     .value = "ADDRESS:PORT",
     .fallback = "127.0.0.1:8090",
     .help = "of its own page; port 0 takes any free one"},
    {.name = "ready-fd",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, ready_fd),
     .value = "FD",
     .fallback = "1",
     .min = 1,
     .max = 1e6,
     .help = "'ready PORT' is written to this file descriptor"},
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
    {.name = "peer-cert",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_cert),
     .value = "FILE",
     .help = "certificate shown to nodes and gateways, PEM"},
    {.name = "peer-key",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, peer_key),
     .value = "FILE",
     .help = "its key, PEM"},
    {.name = "tokens",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tokens),
     .value = "FILE",
     .help = "lines `ROLE TOKEN`: client, node, gateway or controller; others get 401"},
};

/* What on_ready needs. */
typedef struct telling {
    es_cli *cli;
    const es_controller_opts *opts;
    int ready_fd;
} telling;

static void on_ready(void *context, uint16_t port)
{
    const telling *own = context;
    es_error err = {0};
    if (es_cli_ready(own->ready_fd, port, &err) != ES_OK)
        es_cli_say(own->cli, "%s", es_error_text(&err));
    es_cli_say(own->cli, "controlling '%s': %s://%s:%u", own->opts->scenario->name,
               own->opts->certificate_file != NULL ? "https" : "http", own->opts->address, port);
}

static es_status check(const options *chosen, es_error *err)
{
    if (chosen->cluster == NULL)
        return es_fail(err, ES_ERR_ARG, "controller: --cluster FILE is needed");
    if (chosen->state == NULL)
        return es_fail(err, ES_ERR_ARG, "controller: --state FILE is needed");
    if (chosen->once + chosen->dry_run + chosen->replay > 1)
        return es_fail(err, ES_ERR_ARG, "controller: take one of --once, --dry-run, --replay");
    return ES_OK;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    es_controller_opts opts = es_controller_opts_default();
    telling own = {.cli = cli, .opts = &opts, .ready_fd = (int)chosen->ready_fd};
    es_text text;
    ES_TRY(check(chosen, err));
    ES_TRY(es_scenario_load(cli->arena, files[0], &opts.scenario, err));
    ES_TRY(es_cli_listen(cli, chosen->listen, &opts.address, &opts.port, err));
    ES_TRY(es_cli_tokens(cli, chosen->tokens, &opts.tokens, &opts.token_count, err));
    es_cli_warn_open("controller", opts.address,
                     opts.token_count > 0 || chosen->tls_client_ca != NULL);
    opts.cluster = chosen->cluster;
    opts.state = chosen->state;
    opts.policy = chosen->policy;
    opts.seed = (uint64_t)cli->seed;
    opts.slot_s = chosen->slot_s;
    opts.probe_s = chosen->probe_s;
    opts.patience_s = chosen->patience_s;
    opts.drain_s = chosen->drain_s;
    opts.emulate = chosen->emulate;
    opts.once = chosen->once;
    opts.dry_run = chosen->dry_run;
    opts.replay = chosen->replay;
    opts.json = cli->json;
    opts.certificate_file = chosen->tls_cert;
    opts.key_file = chosen->tls_key;
    opts.client_ca_file = chosen->tls_client_ca;
    opts.peer_certificate_file = chosen->peer_cert;
    opts.peer_key_file = chosen->peer_key;
    opts.ready = on_ready;
    opts.context = &own;
    opts.stop = cli->stop;
    es_text_init(&text, (size_t)64 << 20);
    es_status status = es_controller_serve(opts, &text, err);
    if (text.size > 0) {
        es_status printed = es_cli_print(&text, status == ES_OK ? err : NULL);
        status = status == ES_OK ? printed : status;
    }
    es_text_done(&text);
    return status;
}

const es_verb es_verb_controller = {
    .name = "controller",
    .group = "run",
    .summary = "keep nodes and gateways on the plan, slot by slot",
    .arguments = "SCENARIO",
    .details =
        "Asks nodes and gateways what they host and what came, lets a policy decide (the same\n"
        "code as 'estran simulate --policy'), and leads the cluster there without losing a\n"
        "request: load before route, route before unload. It may be killed at any moment and\n"
        "started again; while it is away requests are answered as before. Its page,\n"
        "/estran/v1/status, /estran/v1/plan and /metrics tell what is going on\n"
        "(docs/reference/controller.md).\n\n"
        "  estran controller SCENARIO --cluster cluster.yaml --state controller.db",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
