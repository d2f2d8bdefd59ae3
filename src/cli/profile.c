/* estran profile: what models cost on this node. */
#include "base/file.h"
#include "cli/cli.h"
#include "runtime/runtime.h"

typedef struct options {
    const char *output;
    const char *kind;
    int64_t batch_max;
    int64_t threads;
    double budget;
    double precision;
    double pause;
    es_cli_texts dims;
    bool no_cuts;
    bool no_energy;
    double idle_w, busy_w;
    const char *meter_root;
    const char *ort_library;
} options;

static const es_option rows[] = {
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the catalogue entries (JSON) here"},
    {.name = "kind",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, kind),
     .value = "NAME",
     .help = "name of this kind of node in the catalogue; else the host's name"},
    {.name = "batch-max",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, batch_max),
     .value = "N",
     .fallback = "8",
     .min = 1,
     .max = 4096,
     .help = "measure batches 1, 2, 4 .. N where the model allows"},
    {.name = "threads",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, threads),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 256,
     .help = "threads inside one run"},
    {.name = "budget",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, budget),
     .value = "SECONDS",
     .fallback = "10",
     .min = 0.01,
     .max = 1e5,
     .help = "per model, at most"},
    {.name = "precision",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, precision),
     .value = "RATIO",
     .fallback = "0.02",
     .min = 1e-4,
     .max = 1,
     .help = "repeat until the 95 % interval of the median is this tight"},
    {.name = "pause",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, pause),
     .value = "SECONDS",
     .fallback = "0",
     .min = 0,
     .max = 1,
     .help = "idle before each run: what a lone request meets; 0: back to back"},
    {.name = "dim",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, dims),
     .value = "NAME=VALUE",
     .help = "value of a free dimension, else 1; may be given several times"},
    {.name = "no-cuts",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, no_cuts),
     .help = "leave out the segments between cut points"},
    {.name = "no-energy",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, no_energy),
     .help = "do not measure joules"},
    {.name = "idle-w",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, idle_w),
     .value = "WATTS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "declared power at rest, for machines without counters"},
    {.name = "busy-w",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, busy_w),
     .value = "WATTS",
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "declared power at full use"},
    {.name = "meter-root",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, meter_root),
     .value = "FOLDER",
     .help = "where sys and proc are, for the meter"},
    {.name = "ort-library",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, ort_library),
     .value = "FILE",
     .help = "ONNX Runtime's library; else the usual search"},
};

static void show_progress(void *context, const char *what, double done)
{
    es_cli_progress(context, what, done);
}

static void ms(es_cli_table *table, double value_ms)
{
    es_text text;
    es_text_init(&text, 64);
    es_cli_seconds(&text, value_ms * 1e-3);
    es_cli_cell(table, "%s", es_text_get(&text));
    es_text_done(&text);
}

static void bytes(es_cli_table *table, uint64_t value)
{
    es_text text;
    es_text_init(&text, 64);
    es_cli_bytes(&text, (double)value);
    es_cli_cell(table, "%s", es_text_get(&text));
    es_text_done(&text);
}

static void show_energy(const es_profile *profile, es_text *out)
{
    const es_profile_energy *energy = &profile->energy;
    if (energy->known)
        es_text_format(out, "energy: %.3g mJ a request above rest (%.3g to %.3g), by %s: %s\n",
                       1e3 * energy->energy_j, 1e3 * energy->low_j, 1e3 * energy->high_j,
                       energy->source, energy->boundary);
    else if (profile->energy_note != NULL)
        es_text_format(out, "energy: not known: %s\n", profile->energy_note);
}

static void show(es_cli *cli, const es_profile *profile, es_text *out)
{
    const es_profile_latency *latency = &profile->latency;
    es_text_format(out, "%s on %s (%s, ONNX Runtime %s, %u thread%s)\n", profile->variant,
                   profile->node_kind, profile->cpu, profile->runtime_version,
                   profile->thread_count, profile->thread_count == 1 ? "" : "s");
    es_cli_table table = {.arena = cli->arena, .columns = 8};
    const char *const head[] = {"latency", "p50",  "p95",     "p99",
                                "runs",    "MACs", "weights", "memory"};
    for (size_t i = 0; i < 8; i++)
        es_cli_cell(&table, "%s", head[i]);
    es_cli_cell(&table, "one request");
    ms(&table, latency->ms_p50);
    ms(&table, latency->ms_p95);
    ms(&table, latency->ms_p99);
    es_cli_cell(&table, "%zu%s", latency->repetitions, latency->tight ? "" : " (not tight)");
    es_cli_cell(&table, "%.3g M", (double)profile->macs * 1e-6);
    bytes(&table, profile->params_bytes);
    bytes(&table, profile->memory_bytes_peak);
    es_cli_table_print(&table, out);
    show_energy(profile, out);
    if (profile->batch_count > 1) {
        es_text_append(out, "batch:");
        for (size_t i = 0; i < profile->batch_count; i++)
            es_text_format(out, "%s %u: %.4g/s", i > 0 ? "," : "", profile->batches[i].batch,
                           profile->batches[i].throughput_rps);
        es_text_append(out, "\n");
    }
    if (profile->segment_count > 1) {
        es_cli_table cuts = {.arena = cli->arena, .columns = 5};
        const char *const names[] = {"segment up to", "time", "so far", "ships", "MACs"};
        for (size_t i = 0; i < 5; i++)
            es_cli_cell(&cuts, "%s", names[i]);
        for (size_t i = 0; i < profile->segment_count; i++) {
            const es_profile_segment *segment = &profile->segments[i];
            es_cli_cell(&cuts, "%.48s", segment->output[0] != '\0' ? segment->output : "(end)");
            ms(&cuts, segment->latency.ms_p50);
            ms(&cuts, segment->ms_p50_cumulative);
            bytes(&cuts, segment->output_bytes);
            es_cli_cell(&cuts, "%.3g M", (double)segment->macs * 1e-6);
        }
        es_cli_table_print(&cuts, out);
    }
    if (profile->segment_note != NULL)
        es_text_format(out, "no segments: %s\n", profile->segment_note);
}

static es_status parse_dims(es_cli *cli, const es_cli_texts *given, es_profile_opts *opts,
                            es_error *err)
{
    es_profile_dim *dims = ES_TAKE_ARRAY(cli->arena, es_profile_dim, given->count);
    if (dims == NULL)
        return es_arena_full(cli->arena, "dims", err);
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->items[i], '=');
        if (equals == NULL || equals == given->items[i] ||
            !es_text_to_int64(equals + 1, &dims[i].value) || dims[i].value < 1)
            return es_fail(err, ES_ERR_ARG, "--dim: '%s' must be NAME=VALUE with a value >= 1",
                           given->items[i]);
        dims[i].name =
            es_arena_text_n(cli->arena, given->items[i], (size_t)(equals - given->items[i]));
        if (dims[i].name == NULL)
            return es_arena_full(cli->arena, "dims", err);
    }
    opts->dims = dims;
    opts->dim_count = given->count;
    return ES_OK;
}

static es_status measure(es_cli *cli, const options *chosen, es_runtime *runtime, es_meter *meter,
                         const char *path, const es_profile **out, es_error *err)
{
    es_profile_opts opts = es_profile_opts_default();
    opts.node_kind = chosen->kind;
    opts.batch_max = (uint32_t)chosen->batch_max;
    opts.thread_count = (uint32_t)chosen->threads;
    opts.time_budget_s = chosen->budget;
    opts.ci_relative = chosen->precision;
    opts.pause_s = chosen->pause;
    opts.per_cut = !chosen->no_cuts;
    opts.meter = meter;
    if (cli->seed != 0)
        opts.seed = (uint64_t)cli->seed;
    ES_TRY(parse_dims(cli, &chosen->dims, &opts, err));
    opts.progress = show_progress;
    opts.progress_context = cli;
    es_status status = es_profile_run(cli->arena, runtime, path, opts, out, err);
    es_cli_progress(cli, "", 1);
    return status;
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    const options *chosen = given;
    es_runtime_opts runtime_opts = es_runtime_opts_default();
    runtime_opts.library_path = chosen->ort_library;
    ES_CLEANUP(es_runtime_free_p) es_runtime *runtime = NULL;
    ES_TRY(es_runtime_new(runtime_opts, &runtime, err));
    es_meter *meter = NULL;
    es_meter_opts meter_opts = es_meter_opts_default();
    meter_opts.root = chosen->meter_root;
    meter_opts.model.idle_w = chosen->idle_w;
    meter_opts.model.busy_w = chosen->busy_w;
    if (!chosen->no_energy)
        ES_TRY(es_meter_new(cli->arena, meter_opts, &meter, err));
    ES_CLEANUP(es_text_done) es_text document;
    es_text_init(&document, (size_t)256 << 20);
    ES_CLEANUP(es_text_done) es_text table;
    es_text_init(&table, (size_t)256 << 20);
    es_json json;
    es_json_init(&json, &document, false);
    es_json_list_begin(&json);
    for (size_t i = 0; i < count; i++) {
        const es_profile *profile = NULL;
        ES_TRY(measure(cli, chosen, runtime, meter, files[i], &profile, err));
        es_profile_write_json(profile, &json);
        es_text_append(&table, i > 0 ? "\n" : "");
        show(cli, profile, &table);
    }
    es_json_list_end(&json);
    if (chosen->output != NULL) {
        ES_TRY(es_text_status(&document, err));
        ES_TRY(es_file_write(chosen->output, es_text_get(&document), document.size, err));
    }
    return es_cli_print(cli->json ? &document : &table, err);
}

const es_verb es_verb_profile = {
    .name = "profile",
    .group = "prepare",
    .summary = "measure models on this node and write catalogue entries",
    .arguments = "MODEL...",
    .details =
        "Latency quantiles, throughput at batch 1..N, memory, and the time of every segment\n"
        "between the model's cut points. Warms up, then repeats until the interval is tight.\n\n"
        "  estran profile resnet8.onnx --output catalogue.json",
    .file_min = 1,
    .file_max = ES_CLI_FILES_MAX,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
