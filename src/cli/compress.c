/* estran compress: variants of a model, measured, with their catalogue entries. */
#include "compress/compress.h"

#include "base/file.h"
#include "cli/cli.h"
#include "cli/samples.h"
#include "report/report.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct options {
    const char *data, *labels, *label_column, *test, *test_labels, *tune, *tune_labels;
    int64_t limit;
    double fit_share;
    double scale;
    const char *mean, *factor;
    size_t order;
    es_cli_texts recipe;
    const char *recipes;
    bool list_recipes;
    const char *output;
    const char *task, *kind;
    double time;
    bool all, unlabelled, scores;
    bool no_energy;
    double idle_w, busy_w;
    const char *meter_root;
    const char *ort_library;
} options;
_Static_assert(sizeof(options) <= ES_CLI_OPTIONS_SIZE, "options do not fit");

static const es_option rows[] = {
    {.name = "data",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, data),
     .value = "FILE",
     .help = "samples: IDX, CIFAR records, NPY, NPZ, CSV, floats; also .gz"},
    {.name = "labels",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, labels),
     .value = "FILE",
     .help = "labels of --data, where it does not hold them"},
    {.name = "label-column",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, label_column),
     .value = "NAME",
     .help = "of the labels in a CSV file"},
    {.name = "test",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, test),
     .value = "FILE",
     .help = "samples to measure on; else a part of --data that no step sees"},
    {.name = "test-labels",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, test_labels),
     .value = "FILE",
     .help = "labels of --test"},
    {.name = "tune",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tune),
     .value = "FILE",
     .help = "samples for temperatures and thresholds that the model has not seen; else part of "
             "--data"},
    {.name = "tune-labels",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, tune_labels),
     .value = "FILE",
     .help = "labels of --tune"},
    {.name = "unlabelled",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, unlabelled),
     .help = "no labels: measure how near the original answers stay, not quality"},
    {.name = "limit",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, limit),
     .value = "N",
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "samples of each file, from its start; 0: all"},
    {.name = "fit-share",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, fit_share),
     .value = "SHARE",
     .fallback = "0.5",
     .min = 0.01,
     .max = 0.99,
     .help = "of --data for the steps, when there is no --test"},
    {.name = "scale",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, scale),
     .value = "FACTOR",
     .fallback = "1",
     .min = -1e12,
     .max = 1e12,
     .help = "of every value, before the model"},
    {.name = "mean",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, mean),
     .value = "M[,M..]",
     .help = "taken off each value first; one, or one per channel"},
    {.name = "factor",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, factor),
     .value = "F[,F..]",
     .help = "on each value after --mean; one, or one per channel"},
    {.name = "order",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, order),
     .value = "ORDER",
     .fallback = "keep",
     .words = es_sample_order_names,
     .word_count = ES_SAMPLE_ORDER_COUNT,
     .help = "turn samples so that channels stand where the model wants them"},
    {.name = "recipe",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, recipe),
     .value = "[NAME=]STEP[:OPTION=VALUE,..][+STEP..]",
     .help = "what to make; may be given several times; see --list-recipes"},
    {.name = "recipes",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, recipes),
     .value = "FILE",
     .help = "more recipes, from a YAML or JSON file"},
    {.name = "list-recipes",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, list_recipes),
     .help = "the steps and their options"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FOLDER",
     .fallback = "variants",
     .help = "for the models, catalogue.yaml, variants.html and variants.json"},
    {.name = "task",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, task),
     .value = "NAME",
     .help = "of the task in the catalogue; else the model's name"},
    {.name = "kind",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, kind),
     .value = "NAME",
     .fallback = "host",
     .help = "of node that this machine is, in the catalogue"},
    {.name = "time",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, time),
     .value = "SECONDS",
     .fallback = "2",
     .min = 0.01,
     .max = 1e4,
     .help = "to measure the latency of a variant, and again beside the original"},
    {.name = "all",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, all),
     .help = "offer also what is not faster here"},
    {.name = "scores",
     .type = ES_OPTION_FLAG,
     .offset = offsetof(options, scores),
     .help = "write scores of all test samples beside each file that answers, for 'calibrate'"},
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

/* ---- what goes in ---- */

/* Samples for the steps and for measuring: two files, or two parts of one. */
static es_status open_samples(es_cli *cli, const options *chosen, es_compress_job *job,
                              es_error *err)
{
    es_dataset *sets = ES_TAKE_ARRAY(cli->arena, es_dataset, 3);
    es_data_rows *parts = ES_TAKE_ARRAY(cli->arena, es_data_rows, ES_DATA_PARTS_MAX);
    es_cli_samples from = {.data = chosen->data,
                           .labels = chosen->labels,
                           .label_column = chosen->label_column,
                           .limit = chosen->limit};
    if (sets == NULL || parts == NULL)
        return es_arena_full(cli->arena, "samples", err);
    if (chosen->data == NULL)
        return es_fail(err, ES_ERR_ARG, "give samples with --data");
    bool own_test = chosen->test != NULL;
    ES_TRY(es_cli_samples_load(cli, &from, !own_test && !chosen->unlabelled, &sets[0], err));
    ES_TRY(es_cli_samples_scaling(cli, chosen->scale, chosen->mean, chosen->factor,
                                  &job->fit.scaling, err));
    job->fit.dataset = &sets[0];
    job->fit.order = (es_sample_order)chosen->order;
    job->test = job->fit;
    if (own_test) {
        from.data = chosen->test;
        from.labels = chosen->test_labels;
        ES_TRY(es_cli_samples_load(cli, &from, !chosen->unlabelled, &sets[1], err));
        job->test.dataset = &sets[1];
    } else {
        const double shares[] = {chosen->fit_share, 1 - chosen->fit_share};
        ES_TRY(es_within(
            err, es_data_split(cli->arena, NULL, sets[0].count, shares, 2, job->seed, parts, err),
            "'%s' without --test is cut in two by --fit-share", sets[0].name));
        job->fit.rows = &parts[0];
        job->test.rows = &parts[1];
    }
    if (chosen->tune != NULL) {
        from.data = chosen->tune;
        from.labels = chosen->tune_labels;
        ES_TRY(es_cli_samples_load(cli, &from, true, &sets[2], err));
        job->tune = job->fit;
        job->tune.dataset = &sets[2];
        job->tune.rows = NULL;
    }
    if (chosen->unlabelled)
        sets[0].labels = sets[1].labels = NULL;
    return ES_OK;
}

typedef struct recipe_list {
    const es_recipe **items;
    size_t count;
} recipe_list;

static es_status open_recipes(es_cli *cli, const options *chosen, recipe_list *out, es_error *err)
{
    const es_recipe *const *read = NULL;
    size_t read_count = 0;
    if (chosen->recipes != NULL)
        ES_TRY(es_recipes_read(cli->arena, chosen->recipes, &read, &read_count, err));
    out->count = chosen->recipe.count + read_count;
    out->items = ES_TAKE_ARRAY(cli->arena, const es_recipe *, out->count);
    if (out->items == NULL)
        return es_arena_full(cli->arena, "recipes", err);
    for (size_t i = 0; i < chosen->recipe.count; i++)
        ES_TRY(es_recipe_parse(cli->arena, chosen->recipe.items[i], &out->items[i], err));
    for (size_t i = 0; i < read_count; i++)
        out->items[chosen->recipe.count + i] = read[i];
    if (out->count == 0)
        return es_fail(err, ES_ERR_ARG,
                       "nothing to make: give --recipe, for example --recipe quantise");
    return ES_OK;
}

/* ---- what comes out ---- */

static void cell_bytes(es_cli_table *table, double value)
{
    es_text text;
    es_text_init(&text, 64);
    es_cli_bytes(&text, value);
    es_cli_cell(table, "%s", es_text_get(&text));
    es_text_done(&text);
}

static void cell_seconds(es_cli_table *table, double value)
{
    es_text text;
    es_text_init(&text, 64);
    es_cli_seconds(&text, value);
    es_cli_cell(table, "%s", es_text_get(&text));
    es_text_done(&text);
}

static void show_row(es_cli_table *table, const es_variants_told *told, size_t i)
{
    const es_variant_measure *m = &told->measures[i];
    es_cli_cell(table, "%s", told->variants[i].name);
    if (m->labelled)
        es_cli_cell(table, "%.2f (%.2f to %.2f)", 100 * m->quality.value, 100 * m->quality.low,
                    100 * m->quality.high);
    else
        es_cli_cell(table, "not known");
    if (isnan(m->agreement))
        es_cli_cell(table, "-");
    else
        es_cli_cell(table, "%.2f", 100 * m->agreement);
    cell_bytes(table, (double)m->file_bytes);
    if (m->macs >= 0)
        es_cli_cell(table, "%.3g M", 1e-6 * (double)m->macs);
    else
        es_cli_cell(table, "not known");
    cell_seconds(table, 1e-3 * m->latency.ms_p50);
    es_cli_cell(table, "%.2f (%.2f to %.2f)", m->speed.value, m->speed.low, m->speed.high);
    if (m->energy.known)
        es_cli_cell(table, "%.3g (%s)", 1e3 * m->energy.energy_j, m->energy.source);
    else
        es_cli_cell(table, "not known");
    es_cli_cell(table, "%s", m->offered ? "yes" : "no");
}

/* A row for each way through a variant of several stages; bytes are those of all its files. */
static void show_pipelines(es_cli_table *table, const es_variants_told *told, size_t i)
{
    const es_variant *v = &told->variants[i];
    const es_variant_measure *m = &told->measures[i];
    for (size_t p = 0; p < v->pipeline_count; p++) {
        const es_pipeline_measure *found = &m->pipelines[p];
        es_cli_cell(table, "%s%s", v->name, v->pipelines[p].suffix);
        if (m->labelled)
            es_cli_cell(table, "%.2f (%.2f to %.2f)", 100 * found->quality.value,
                        100 * found->quality.low, 100 * found->quality.high);
        else
            es_cli_cell(table, "not known");
        es_cli_cell(table, "%.2f", 100 * found->agreement);
        cell_bytes(table, (double)m->file_bytes);
        if (isnan(found->macs))
            es_cli_cell(table, "not known");
        else
            es_cli_cell(table, "%.3g M", 1e-6 * found->macs);
        cell_seconds(table, 1e-3 * found->latency_ms);
        es_cli_cell(table, "%.2f (%.2f to %.2f)", found->speed.value, found->speed.low,
                    found->speed.high);
        if (isnan(found->energy_j))
            es_cli_cell(table, "not known");
        else
            es_cli_cell(table, "%.3g (%s)", 1e3 * found->energy_j, m->stages[0].energy.source);
        es_cli_cell(table, "%s", m->offered ? "yes" : "no");
    }
}

static void show(es_cli *cli, const es_variants_told *told, const char *folder, es_text *out)
{
    static const char *const head[] = {"variant", "quality, %", "as the original, %",
                                       "file",    "MACs",       "one request",
                                       "faster",  "mJ",         "offered"};
    es_cli_table table = {.arena = cli->arena, .columns = sizeof head / sizeof head[0]};
    for (size_t i = 0; i < table.columns; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t i = 0; i < told->count; i++) {
        if (told->variants[i].stage_count > 1)
            show_pipelines(&table, told, i);
        else
            show_row(&table, told, i);
    }
    es_cli_table_print(&table, out);
    for (size_t i = 0; i < told->count; i++)
        if (!told->measures[i].offered)
            es_text_format(out, "%s is not offered: %s\n", told->variants[i].name,
                           told->measures[i].why_not);
    if (!told->measures[0].energy.known && told->measures[0].energy_note != NULL)
        es_text_format(out, "joules are not known: %s\n", told->measures[0].energy_note);
    es_text_format(out,
                   "in %s: catalogue.yaml, for the include of a scenario; variants.html, the "
                   "page; variants.json, all figures\n",
                   folder);
}

static es_status write_text(es_cli *cli, const char *folder, const char *name, const es_text *text,
                            es_error *err)
{
    ES_TRY(es_text_status(text, err));
    const char *path = es_file_join(cli->arena, folder, name);
    if (path == NULL)
        return es_arena_full(cli->arena, "path", err);
    return es_file_write(path, es_text_get(text), text->size, err);
}

static es_status tell(es_cli *cli, const es_variants_told *told, const char *folder, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text document;
    ES_CLEANUP(es_text_done) es_text catalogue;
    ES_CLEANUP(es_text_done) es_text page;
    ES_CLEANUP(es_text_done) es_text table;
    es_json json;
    es_text_init(&document, (size_t)256 << 20);
    es_text_init(&catalogue, (size_t)64 << 20);
    es_text_init(&page, (size_t)64 << 20);
    es_text_init(&table, (size_t)64 << 20);
    es_json_init(&json, &document, false);
    es_variants_document(told, &json);
    es_variants_catalogue(told, &catalogue);
    es_report_variants_html(told, "estran " ES_VERSION, &page);
    ES_TRY(write_text(cli, folder, "variants.json", &document, err));
    ES_TRY(write_text(cli, folder, "catalogue.yaml", &catalogue, err));
    ES_TRY(write_text(cli, folder, "variants.html", &page, err));
    if (cli->json)
        return es_cli_print(&document, err);
    show(cli, told, folder, &table);
    return es_cli_print(&table, err);
}

/* ---- the verb ---- */

static es_status make(es_cli *cli, const options *chosen, es_compress_job *job, es_meter *meter,
                      es_variants *variants, es_variant_measure **out, es_error *err)
{
    recipe_list recipes;
    ES_TRY(open_recipes(cli, chosen, &recipes, err));
    ES_TRY(es_compress_check(job, err));
    ES_TRY(ES_ARRAY_PUSH(cli->arena, variants, es_variant_original(job), "variants", err));
    for (size_t i = 0; i < recipes.count; i++)
        ES_TRY(es_recipe_run(job, recipes.items[i], variants, err));
    ES_TRY(es_variants_write(cli->arena, variants->items, variants->count, chosen->output, err));
    es_measure_opts opts = es_measure_opts_default();
    opts.time_s = chosen->time;
    opts.all = chosen->all;
    opts.scores = chosen->scores;
    opts.meter = meter;
    *out = ES_TAKE_ARRAY(cli->arena, es_variant_measure, variants->count);
    if (*out == NULL)
        return es_arena_full(cli->arena, "measures", err);
    return es_variants_measure(job, variants->items, variants->count, opts, *out, err);
}

static es_status list_recipes(es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, 1 << 20);
    es_recipe_help(&text);
    return es_cli_print(&text, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    const options *chosen = given;
    if (chosen->list_recipes)
        return list_recipes(err);
    if (count != 1)
        return es_fail(err, ES_ERR_ARG,
                       "compress: missing argument; usage: estran compress [options] MODEL");
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
    es_compress_job job = {.arena = cli->arena,
                           .runtime = runtime,
                           .name = es_model_file_name(cli->arena, files[0]),
                           .seed = cli->seed != 0 ? (uint64_t)cli->seed : 1,
                           .progress = show_progress,
                           .progress_context = cli,
                           .stop = cli->stop};
    if (job.name == NULL)
        return es_arena_full(cli->arena, "model", err);
    ES_TRY(es_model_load(cli->arena, files[0], es_model_opts_default(), &job.model, err));
    ES_TRY(open_samples(cli, chosen, &job, err));
    es_variants variants = {0};
    es_variant_measure *measures = NULL;
    es_status status = make(cli, chosen, &job, meter, &variants, &measures, err);
    es_cli_progress(cli, "", 1);
    ES_TRY(status);
    assert(measures != NULL);
    es_variants_told told = {.variants = variants.items,
                             .measures = measures,
                             .count = variants.count,
                             .task = chosen->task != NULL ? chosen->task : job.name,
                             .kind = chosen->kind,
                             .data = job.test.dataset->name};
    return tell(cli, &told, chosen->output, err);
}

const es_verb es_verb_compress = {
    .name = "compress",
    .group = "prepare",
    .summary = "smaller and cheaper variants of a model, each measured",
    .arguments = "MODEL",
    .details =
        "Makes variants of an ONNX model by recipes, measures quality, latency, joules, bytes and\n"
        "work of each, and writes their catalogue entries. A variant in 8-bit integers is offered\n"
        "only where it was measured faster than the original.\n\n"
        "  estran compress net.onnx --data train.npz --test test.npz --recipe quantise",
    .file_min = 0,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
