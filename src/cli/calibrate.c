/* estran calibrate: how sure a model may be believed, and when its answer may be taken. */
#include "cli/calibrate.h"

#include "base/document.h"
#include "base/file.h"
#include "report/report.h"

#include <math.h>

typedef es_calibrate_options options;
typedef es_calibration calibration;
typedef es_calibrate_finding finding;

static const es_option rows[] = {
    {.name = "data",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, data),
     .value = "FILE",
     .help = "samples for models: IDX, CIFAR records (.bin), NPY, NPZ, CSV, .f32; also gzipped"},
    {.name = "labels",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, labels),
     .value = "FILE",
     .help = "their classes: IDX, NPY, CSV of one column, a byte each (.u8)"},
    {.name = "label-column",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, label_column),
     .value = "NAME",
     .help = "column of the classes, when --data is CSV"},
    {.name = "scale",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, scale),
     .value = "FACTOR",
     .fallback = "1",
     .min = -1e9,
     .max = 1e9,
     .help = "multiply every value before the model, e.g. 0.00392157"},
    {.name = "limit",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, limit),
     .value = "N",
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "the first N samples only; 0: all"},
    {.name = "fit-share",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, fit_share),
     .value = "SHARE",
     .fallback = "0.5",
     .min = 0.01,
     .max = 0.99,
     .help = "of the samples to fit temperatures; the others measure and certify"},
    {.name = "confidence",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, confidence),
     .value = "KIND",
     .fallback = "max-prob",
     .words = es_confidence_names,
     .word_count = ES_CONFIDENCE_COUNT,
     .help = "what decides about stopping"},
    {.name = "target",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, target),
     .value = "ACCURACY",
     .fallback = "0",
     .min = 0,
     .max = 0.999999,
     .help = "find thresholds certified for this accuracy; 0: none"},
    {.name = "delta",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, delta),
     .value = "CHANCE",
     .fallback = "0.05",
     .min = 1e-6,
     .max = 0.5,
     .help = "chance that a certificate or an interval is wrong"},
    {.name = "bins",
     .type = ES_OPTION_INT,
     .offset = offsetof(options, bins),
     .value = "N",
     .fallback = "15",
     .min = 1,
     .max = ES_RELIABILITY_BINS_MAX,
     .help = "of the reliability diagram"},
    {.name = "costs",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, costs),
     .value = "C1,C2..",
     .help = "of reaching each stage; else multiply-accumulates of models, else 1"},
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the calibration document (JSON) here"},
    {.name = "svg",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, svg),
     .value = "FILE",
     .help = "draw the reliability diagram of the last stage"},
    {.name = "catalogue",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, catalogue),
     .value = "FILE",
     .help = "write the certified cascade here, for the include of a scenario; thresholds are then "
             "of confidences as the models give them, which is what nodes see"},
    {.name = "task",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, task),
     .value = "NAME",
     .help = "of the task in the catalogue"},
    {.name = "stream",
     .type = ES_OPTION_TEXTS,
     .offset = offsetof(options, stream),
     .value = "FILE",
     .help =
         "samples (of scores: one file a stage) without labels: how right on them, what drifts"},
    {.name = "ask",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, ask),
     .value = "SHARE",
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .help = "of the stream that the last stage is asked about too; 0: none"},
    {.name = "ort-library",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, ort_library),
     .value = "FILE",
     .help = "ONNX Runtime's library; else the usual search"},
};

/* ---- arithmetic ---- */

/* The rows of a stage that are in a part, close together. */
static es_status part_of(const calibration *c, const es_calibrate_stage *stage, es_data_rows part,
                         es_scores *out, uint32_t **out_labels, es_error *err)
{
    uint32_t classes = stage->scores.class_count;
    float *values = ES_TAKE_ARRAY(c->cli->arena, float, part.count *classes);
    uint32_t *labels = ES_TAKE_ARRAY(c->cli->arena, uint32_t, part.count);
    if (values == NULL || labels == NULL)
        return es_arena_full(c->cli->arena, "scores", err);
    for (size_t i = 0; i < part.count; i++) {
        memcpy(values + i * classes, stage->scores.values + part.items[i] * classes,
               classes * sizeof *values);
        labels[i] = c->all.labels[part.items[i]];
    }
    *out = stage->scores;
    out->values = values;
    out->count = part.count;
    *out_labels = labels;
    return ES_OK;
}

/* Confidences of one kind, and whether the answers are right. */
static es_status decide(const calibration *c, const es_scores *scores, const uint32_t *labels,
                        double temperature, es_confidence kind, double **out_confidence,
                        bool **out_right, es_error *err)
{
    double *confidence = ES_TAKE_ARRAY(c->cli->arena, double, scores->count);
    uint32_t *classes = ES_TAKE_ARRAY(c->cli->arena, uint32_t, scores->count);
    bool *right = ES_TAKE_ARRAY(c->cli->arena, bool, scores->count);
    if (confidence == NULL || classes == NULL || right == NULL)
        return es_arena_full(c->cli->arena, "confidences", err);
    es_scores_decide(scores, temperature, kind, confidence, classes);
    for (size_t i = 0; i < scores->count; i++)
        right[i] = classes[i] == labels[i];
    *out_confidence = confidence;
    *out_right = right;
    return ES_OK;
}

/* What a stream without labels is held against. */
static es_status know(calibration *c, size_t k, const es_scores *scores, const double *confidence,
                      const bool *right, es_error *err)
{
    uint64_t *seen = ES_TAKE_ARRAY(c->cli->arena, uint64_t, scores->class_count);
    uint32_t *classes = ES_TAKE_ARRAY(c->cli->arena, uint32_t, scores->count);
    if (seen == NULL || classes == NULL)
        return es_arena_full(c->cli->arena, "classes", err);
    double temperature = c->findings[k].temperature.temperature;
    es_scores_decide(scores, temperature, ES_CONFIDENCE_MAX_PROB, NULL, classes);
    for (size_t i = 0; i < scores->count; i++)
        seen[classes[i]]++;
    c->known[k] = (es_calibrate_known){.temperature = temperature,
                                       .confidence = confidence,
                                       .right = right,
                                       .classes = seen,
                                       .count = scores->count,
                                       .accuracy = c->findings[k].after.accuracy.value};
    return ES_OK;
}

static es_status measure(calibration *c, size_t k, es_cascade *held, es_cascade *fitted,
                         es_error *err)
{
    finding *f = &c->findings[k];
    es_scores fit_scores;
    es_scores scores;
    uint32_t *fit_labels = NULL;
    uint32_t *labels = NULL;
    double *confidence = NULL;
    bool *right = NULL;
    es_reliability_opts opts = es_reliability_opts_default();
    es_confidence kind = (es_confidence)c->chosen->confidence;
    bool as_given = c->chosen->catalogue != NULL; /* a node knows no temperature */
    es_arena *arena = c->cli->arena;
    opts.bin_count = (size_t)c->chosen->bins;
    opts.delta = c->chosen->delta;
    opts.seed = c->cli->seed != 0 ? (uint64_t)c->cli->seed : 1;
    ES_TRY(part_of(c, &c->all.items[k], c->fit, &fit_scores, &fit_labels, err));
    ES_TRY(part_of(c, &c->all.items[k], c->held, &scores, &labels, err));
    ES_TRY(es_temperature_fit(&fit_scores, fit_labels, &f->temperature, err));
    double t = f->temperature.temperature;
    f->nll_before = es_scores_nll(&scores, labels, 1);
    f->nll_after = es_scores_nll(&scores, labels, t);
    f->brier_after = es_scores_brier(&scores, labels, t);
    ES_TRY(decide(c, &scores, labels, 1, ES_CONFIDENCE_MAX_PROB, &confidence, &right, err));
    ES_TRY(es_reliability_measure(arena, confidence, right, scores.count, opts, &f->before, err));
    ES_TRY(decide(c, &scores, labels, t, ES_CONFIDENCE_MAX_PROB, &confidence, &right, err));
    ES_TRY(es_reliability_measure(arena, confidence, right, scores.count, opts, &f->after, err));
    ES_TRY(know(c, k, &scores, confidence, right, err));
    ES_TRY(decide(c, &scores, labels, as_given ? 1 : t, kind, &confidence, &right, err));
    ES_TRY(es_confidence_auroc(arena, confidence, right, scores.count, &f->auroc, err));
    held->stages[k] =
        (es_cascade_stage){.confidence = confidence, .right = right, .cost = c->costs[k]};
    if (c->chosen->target > 0)
        ES_TRY(es_guarantee_selective(confidence, right, scores.count, c->chosen->target,
                                      c->chosen->delta, &f->selective, err));
    ES_TRY(decide(c, &fit_scores, fit_labels, as_given ? 1 : t, kind, &confidence, &right, err));
    fitted->stages[k] =
        (es_cascade_stage){.confidence = confidence, .right = right, .cost = c->costs[k]};
    return ES_OK;
}

static es_status certify(calibration *c, const es_cascade *held, const es_cascade *fitted,
                         es_error *err)
{
    const double *path = NULL;
    size_t count = 0;
    es_arena *arena = c->cli->arena;
    ES_TRY(es_cascade_sweep(arena, held, 0, &c->curve, err));
    if (!(c->chosen->target > 0))
        return ES_OK;
    if (held->stage_count > 2) {
        es_cascade_curve tuned;
        ES_TRY(es_cascade_sweep(arena, fitted, 0, &tuned, err));
        ES_TRY(es_guarantee_path_curve(arena, &tuned, held->stage_count, &path, &count, err));
    } else {
        ES_TRY(es_guarantee_path_fixed(arena, held->stage_count, &path, &count, err));
    }
    return es_guarantee_cascade(held, path, count, c->chosen->target, c->chosen->delta,
                                &c->guarantee, err);
}

static es_status find_costs(calibration *c, es_error *err)
{
    const char *at = c->chosen->costs;
    bool known = true;
    for (size_t k = 0; k < c->all.count; k++)
        known = known && isfinite(c->all.items[k].cost);
    c->cost_unit = at != NULL ? "cost" : known ? "MACs" : "stages";
    for (size_t k = 0; k < c->all.count; k++) {
        c->costs[k] = known ? c->all.items[k].cost : 1;
        if (at == NULL)
            continue;
        size_t size = strcspn(at, ",");
        char *word = es_arena_text_n(c->cli->arena, at, size);
        if (word == NULL)
            return es_arena_full(c->cli->arena, "costs", err);
        if (!es_text_to_double(word, &c->costs[k]) || c->costs[k] < 0 ||
            (at[size] == ',') != (k + 1 < c->all.count))
            return es_fail(err, ES_ERR_ARG, "--costs '%s' must be %zu numbers >= 0 with commas",
                           c->chosen->costs, c->all.count);
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return ES_OK;
}

/* The stream's scores, stage by stage as the labelled ones. */
static es_status watch(calibration *c, es_calibrate_input input, const char *const *files,
                       size_t file_count, es_error *err)
{
    const es_cli_texts *given = &c->chosen->stream;
    bool models = input.data != NULL;
    es_calibrate_stages stream = {0};
    es_calibrate_watch found[ES_CASCADE_STAGES_MAX] = {0};
    if (given->count == 0)
        return ES_OK;
    if (given->count != (models ? 1 : file_count))
        return es_fail(err, ES_ERR_ARG, "--stream is given %zu times, must be %zu: %s",
                       given->count, models ? 1 : file_count,
                       models ? "samples for all models" : "scores of each stage");
    input.data = models ? given->items[0] : NULL;
    input.labels = NULL;
    input.limit = 0;
    input.unlabelled = true;
    const char *const *sources = models ? files : (const char *const *)given->items;
    ES_TRY(es_within(err, es_calibrate_read(c->cli, &input, sources, file_count, &stream, err),
                     "--stream"));
    for (size_t k = 0; k < c->all.count; k++)
        if (stream.items[k].scores.class_count != c->all.items[k].scores.class_count)
            return es_fail(err, ES_ERR_ARG, "--stream: %s has %u classes, the labelled scores %u",
                           stream.items[k].name, stream.items[k].scores.class_count,
                           c->all.items[k].scores.class_count);
    es_calibrate_watch_opts opts = {.ask = c->chosen->ask,
                                    .delta = c->chosen->delta,
                                    .seed = c->cli->seed != 0 ? (uint64_t)c->cli->seed : 1};
    ES_TRY(es_within(err,
                     es_calibrate_watch_stream(c->cli->arena, &stream, c->known, opts, found, err),
                     "--stream"));
    for (size_t k = 0; k < c->all.count; k++)
        c->findings[k].watch = found[k];
    c->stream_count = stream.sample_count;
    return ES_OK;
}

static es_status tell(const calibration *c, const char *const *files, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text part = {0};
    ES_CLEANUP(es_text_done) es_text document;
    ES_CLEANUP(es_text_done) es_text words;
    ES_CLEANUP(es_text_done) es_text drawing;
    es_text_init(&document, (size_t)256 << 20);
    es_text_init(&words, (size_t)16 << 20);
    es_text_init(&drawing, (size_t)16 << 20);
    es_calibrate_write(c, &document);
    if (c->chosen->output != NULL) {
        ES_TRY(es_text_status(&document, err));
        ES_TRY(es_file_write(c->chosen->output, es_text_get(&document), document.size, err));
    }
    if (c->chosen->svg != NULL) {
        size_t last = c->all.count - 1;
        es_report_reliability(c->all.items[last].name, &c->findings[last].before,
                              &c->findings[last].after, &drawing);
        ES_TRY(es_text_status(&drawing, err));
        ES_TRY(es_file_write(c->chosen->svg, es_text_get(&drawing), drawing.size, err));
    }
    es_calibrate_show(c, &words);
    ES_TRY(es_cli_print(c->cli->json ? &document : &words, err));
    if (c->chosen->catalogue == NULL)
        return ES_OK;
    es_text_init(&part, (size_t)1 << 20);
    ES_TRY(es_calibrate_catalogue(c, files, &part, err));
    ES_TRY(es_text_status(&part, err));
    return es_file_write(c->chosen->catalogue, es_text_get(&part), part.size, err);
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    const options *chosen = given;
    calibration *c = ES_TAKE_ONE(cli->arena, calibration);
    es_data_rows parts[ES_DATA_PARTS_MAX];
    if (c == NULL)
        return es_arena_full(cli->arena, "calibration", err);
    c->cli = cli;
    c->chosen = chosen;
    es_calibrate_input input = {.data = chosen->data,
                                .labels = chosen->labels,
                                .label_column = chosen->label_column,
                                .scale = chosen->scale,
                                .limit = chosen->limit,
                                .ort_library = chosen->ort_library};
    if (chosen->catalogue != NULL)
        ES_TRY(es_calibrate_catalogue_check(chosen, files, count, err));
    ES_TRY(es_calibrate_read(cli, &input, files, count, &c->all, err));
    if (chosen->catalogue != NULL && c->all.count != count)
        return es_fail(err, ES_ERR_ARG, "--catalogue takes models with one output each");
    ES_TRY(find_costs(c, err));
    uint64_t seed = cli->seed != 0 ? (uint64_t)cli->seed : 1;
    const double shares[] = {chosen->fit_share, 1 - chosen->fit_share};
    /* not by class: the samples measured must be as if drawn one by one */
    ES_TRY(es_data_split(cli->arena, NULL, c->all.sample_count, shares, 2, seed, parts, err));
    c->fit = parts[0];
    c->held = parts[1];
    es_cascade held = {.stage_count = c->all.count, .count = c->held.count};
    es_cascade fitted = {.stage_count = c->all.count, .count = c->fit.count};
    for (size_t k = 0; k < c->all.count; k++)
        ES_TRY(es_within(err, measure(c, k, &held, &fitted, err), "%s", c->all.items[k].name));
    ES_TRY(certify(c, &held, &fitted, err));
    ES_TRY(watch(c, input, files, count, err));
    return tell(c, files, err);
}

const es_verb es_verb_calibrate = {
    .name = "calibrate",
    .group = "prepare",
    .summary = "how sure models may be believed, thresholds of exits and cascades",
    .arguments = "MODEL|SCORES...",
    .details =
        "Fits a temperature per stage on one part of labelled samples; on the others measures\n"
        "reliability, sweeps the accuracy and cost of the cascade, and certifies thresholds for\n"
        "--target; of a --stream without labels it estimates how right the stages still are and\n"
        "raises alarms when it drifts. Stages are the files in order, and the exits of a model "
        "with several "
        "outputs.\n\n"
        "  estran calibrate small.onnx large.onnx --data x.idx.gz --labels y.idx.gz --target 0.95",
    .file_min = 1,
    .file_max = ES_CASCADE_STAGES_MAX,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
