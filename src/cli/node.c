/* estran node: serves segments for the controller that connects to it. */
#include "cli/cli.h"
#include "serve/serve.h"

typedef struct options {
    const char *name;
    const char *listen;
    int64_t ready_fd;
    const char *ort_library;
} options;

static const es_option rows[] = {
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
     .fallback = "127.0.0.1:0",
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
};

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)files;
    (void)count;
    const options *chosen = given;
    const char *colon = strrchr(chosen->listen, ':');
    uint64_t port = 0;
    if (colon == NULL || !es_text_to_uint64(colon + 1, &port) || port > UINT16_MAX)
        return es_fail(err, ES_ERR_ARG, "--listen: '%s' must be ADDRESS:PORT with a port 0..65535",
                       chosen->listen);
    es_node_opts opts = es_node_opts_default();
    opts.name = chosen->name;
    opts.address = es_arena_text_n(cli->arena, chosen->listen, (size_t)(colon - chosen->listen));
    opts.port = (uint16_t)port;
    opts.ready_fd = (int)chosen->ready_fd;
    opts.ort_library = chosen->ort_library;
    return es_node_serve(opts, cli->stop, err);
}

const es_verb es_verb_node = {
    .name = "node",
    .group = "run",
    .summary = "serve models and segments as one node of a network",
    .arguments = "",
    .details =
        "'estran run' starts one per node of the scenario and tells it what to host. The node\n"
        "prints 'ready PORT', serves until its controller's connection ends, and listens on\n"
        "loopback unless told otherwise. A controller must present the token of the environment\n"
        "variable ESTRAN_NODE_TOKEN when that is set, as 'estran run' does; nothing is encrypted.\n"
        "Where the machine has energy counters it tells the joules of its process; sys and proc\n"
        "are looked for below ESTRAN_METER_ROOT, a container's mount of the host's.",
    .file_min = 0,
    .file_max = 0,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
