/* estran bench-serve: an open-loop load on any server of the Open Inference Protocol. */
#include "cli/cli.h"
#include "load/load.h"

typedef struct options {
    const char *model, *model_version;
    size_t scenario;
    double rate, target_ms, percentile, duration, duration_max, warm_up, timeout, precision;
    int64_t connections, batch, samples_per_query, queries;
    const char *input;
    es_cli_texts shapes, parameters;
    bool json_tensors, find_rate;
    const char *token, *ca, *certificate, *key;
} options;

static const es_option rows[] = {
    {.name = "model",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, model),
     .value = "NAME",
     .help = "of the server's models; required"},
    {.name = "model-version",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, model_version),
     .value = "VERSION",
     .help = "else the server's choice"},
    {.name = "scenario",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, scenario),
     .value = "NAME",
     .fallback = "Server",
     .words = es_load_scenario_names,
     .word_count = ES_LOAD_SCENARIO_COUNT,
     .help = "LoadGen's"},
    {.name = "rate",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, rate),
     .value = "RPS",
     .fallback = "10",
     .min = 1e-3,
     .max = 1e7,
     .help = "Server: queries per second; with --find-rate the first one tried"},
    {.name = "target",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, target_ms),
     .value = "MILLISECONDS",
     .fallback = "100",
     .min = 1e-3,
     .max = 1e7,
     .help = "Server: latency that the percentile must keep"},
    {.name = "percentile",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, percentile),
     .value = "PERCENT",
     .fallback = "0",
     .min = 0,
     .max = 99.9999,
     .help = "that counts; 0: 90 for SingleStream, else 99"},
    {.name = "find-rate",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, find_rate),
     .help = "Server: search the highest rate that keeps the target"},
    {.name = "precision",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, precision),
     .value = "RATIO",
     .fallback = "0.05",
     .min = 1e-3,
     .max = 10,
     .help = "of --find-rate"},
    {.name = "duration",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, duration),
     .value = "SECONDS",
     .fallback = "10",
     .min = 0,
     .max = 1e6,
     .help = "at least; of each trial with --find-rate"},
    {.name = "queries",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, queries),
     .value = "N",
     .fallback = "100",
     .min = 0,
     .max = 1e12,
     .help = "at least"},
    {.name = "duration-max",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, duration_max),
     .value = "SECONDS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "sends nothing later; 0: no limit"},
    {.name = "warm-up",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, warm_up),
     .value = "SECONDS",
     .fallback = "1",
     .min = 0,
     .max = 1e5,
     .help = "of the same traffic before, not counted"},
    {.name = "connections",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, connections),
     .value = "N",
     .fallback = "64",
     .min = 1,
     .max = 16384,
     .help = "requests on the wire at once; others wait, and their waiting counts"},
    {.name = "batch",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, batch),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 65536,
     .help = "samples in one request, where the model's first dimension is free"},
    {.name = "samples-per-query",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, samples_per_query),
     .value = "N",
     .fallback = "8",
     .min = 1,
     .max = 1 << 20,
     .help = "MultiStream; a multiple of --batch"},
    {.name = "timeout",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, timeout),
     .value = "SECONDS",
     .fallback = "10",
     .min = 1e-3,
     .max = 86400,
     .help = "of a request"},
    {.name = "input",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, input),
     .value = "FILE",
     .help = "samples: .npy, else their bytes one after the other; else drawn by seed"},
    {.name = "shape",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, shapes),
     .value = "INPUT=D,D,D",
     .help = "of an input with free dimensions beside the first; may be given several times"},
    {.name = "parameter",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, parameters),
     .value = "NAME=VALUE",
     .help = "of every request, e.g. estran_slo_ms=50; may be given several times"},
    {.name = "json-tensors",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, json_tensors),
     .help = "tensors as JSON instead of binary"},
    {.name = "token",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, token),
     .value = "TEXT",
     .help = "bearer token"},
    {.name = "tls-ca",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, ca),
     .value = "FILE",
     .help = "PEM: whom to trust; else the system's"},
    {.name = "tls-cert",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, certificate),
     .value = "FILE",
     .help = "PEM: certificate to show"},
    {.name = "tls-key",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, key),
     .value = "FILE",
     .help = "PEM: its key"},
};

static void show_progress(void *context, const char *what, double done)
{
    es_cli_progress(context, what, done);
}

static es_load_opts opts_of(es_cli *cli, const options *chosen, const char *url)
{
    es_load_opts opts = es_load_opts_default();
    opts.url = url;
    opts.model = chosen->model;
    opts.model_version = chosen->model_version;
    opts.token = chosen->token;
    opts.ca_file = chosen->ca;
    opts.certificate_file = chosen->certificate;
    opts.key_file = chosen->key;
    opts.scenario = (es_load_scenario)chosen->scenario;
    opts.rate_rps = chosen->rate;
    opts.connections = (uint32_t)chosen->connections;
    opts.batch = (uint32_t)chosen->batch;
    opts.samples_per_query = (uint32_t)chosen->samples_per_query;
    opts.duration_s = chosen->duration;
    opts.query_count_min = (uint64_t)chosen->queries;
    opts.duration_s_max = chosen->duration_max;
    opts.warm_up_s = chosen->warm_up;
    opts.percentile = chosen->percentile / 100;
    opts.latency_target_s = chosen->target_ms * 1e-3;
    opts.timeout_s = chosen->timeout;
    opts.seed = (uint64_t)cli->seed;
    opts.input = chosen->input;
    opts.shapes = chosen->shapes.items;
    opts.shape_count = chosen->shapes.count;
    opts.parameters = chosen->parameters.items;
    opts.parameter_count = chosen->parameters.count;
    opts.json_tensors = chosen->json_tensors;
    opts.stop = cli->stop;
    opts.progress = show_progress;
    opts.progress_context = cli;
    return opts;
}

static void show_trials(const es_load_search *search, es_cli *cli, es_text *out)
{
    es_cli_table table = {.arena = cli->arena, .columns = 5};
    const char *const head[] = {"queries/s", "latency", "queries", "failed", "target"};
    for (size_t i = 0; i < 5; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < search->trial_count; i++) {
        const es_load_trial *trial = &search->trials[i];
        ES_CLEANUP(es_text_done) es_text latency;
        es_text_init(&latency, 64);
        es_cli_seconds(&latency, trial->latency_s);
        es_cli_cell(&table, "%.4g", trial->rate_rps);
        es_cli_cell(&table, "%s", es_text_get(&latency));
        es_cli_cell(&table, "%llu", (unsigned long long)trial->queries);
        es_cli_cell(&table, "%llu", (unsigned long long)trial->failed);
        es_cli_cell(&table, "%s", trial->good ? "kept" : "missed");
    }
    es_cli_table_print(&table, out);
    es_text_append(out, "\n");
}

static es_status find_rate(es_cli *cli, const options *chosen, es_load *load, es_text *out,
                           es_error *err)
{
    es_load_search search;
    ES_TRY(es_load_find_rate(load, chosen->precision, &search, err));
    es_cli_progress(cli, "", 1);
    if (search.best == NULL)
        return es_fail(err, ES_ERR_UNAVAILABLE,
                       "no rate of %zu tried keeps %g ms, the last one %g queries per second",
                       search.trial_count, chosen->target_ms,
                       search.trials[search.trial_count - 1].rate_rps);
    if (cli->json) {
        es_load_write_json(load, search.best, &search, out);
        return ES_OK;
    }
    show_trials(&search, cli, out);
    es_text_format(out, "Highest rate : %.4g queries per second\n\n", search.best->rate_rps);
    es_load_write_text(load, search.best, out);
    return ES_OK;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    const options *chosen = given;
    const es_load_result *result = NULL;
    (void)count;
    if (chosen->model == NULL)
        return es_fail(err, ES_ERR_ARG, "bench-serve: --model NAME is needed");
    ES_CLEANUP(es_load_free_p) es_load *load = NULL;
    ES_TRY(es_load_new(opts_of(cli, chosen, files[0]), &load, err));
    ES_CLEANUP(es_text_done) es_text out;
    es_text_init(&out, 1 << 20);
    if (chosen->find_rate) {
        ES_TRY(find_rate(cli, chosen, load, &out, err));
        return es_cli_print(&out, err);
    }
    ES_TRY(es_load_run(load, 0, &result, err));
    es_cli_progress(cli, "", 1);
    if (cli->json)
        es_load_write_json(load, result, NULL, &out);
    else
        es_load_write_text(load, result, &out);
    cli->exit_code = result->valid ? 0 : 3;
    return es_cli_print(&out, err);
}

const es_verb es_verb_bench_serve = {
    .name = "bench-serve",
    .group = "run",
    .summary = "load a server of the Open Inference Protocol and measure it",
    .arguments = "URL",
    .details =
        "Open loop: queries are sent when they are due, whether or not earlier ones have been\n"
        "answered, and latency counts from then. The scenarios and the result's keys are those of\n"
        "MLPerf's LoadGen: SingleStream (one query at a time), MultiStream (several samples at\n"
        "once), Server (arrivals by a Poisson process), Offline (everything at once). Any server\n"
        "will do: estran node, Triton, KServe. Exits with 3 when the result is INVALID.\n\n"
        "  estran bench-serve http://127.0.0.1:8000 --model resnet8 --rate 200 --target 20",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
