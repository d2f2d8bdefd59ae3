/*
 * quantise as a step of a recipe, with its report.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

enum { REPORT_BYTES = 64 << 20 };

typedef struct options {
    size_t form, method;
    int64_t samples;
    double percentile;
    size_t activations, equalise, correct, reduce;
    const char *skip;
} options;

static const char *const forms[] = {"int8", "fp16"};
static const char *const activations[] = {"u8", "s8"};
static const char *const choices[] = {"auto", "yes", "no"};

static const es_step_option rows[] = {
    {.name = "form",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, form),
     .fallback = "int8",
     .words = forms,
     .word_count = ES_QUANTISE_FORM_COUNT,
     .help = "8-bit integers, or weights alone in half precision"},
    {.name = "method",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, method),
     .fallback = "auto",
     .words = es_range_method_names,
     .word_count = ES_RANGE_METHOD_COUNT,
     .help = "how the range of an activation is found"},
    {.name = "samples",
     .type = ES_STEP_INT,
     .offset = offsetof(options, samples),
     .fallback = "256",
     .min = 1,
     .max = 1e6,
     .help = "that ranges are found from"},
    {.name = "percentile",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, percentile),
     .fallback = "99.999",
     .min = 50,
     .max = 100,
     .help = "of the values that method=percentile keeps"},
    {.name = "activations",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, activations),
     .fallback = "u8",
     .words = activations,
     .word_count = 2,
     .help = "asymmetric u8, or symmetric s8 for other hardware"},
    {.name = "equalise",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, equalise),
     .fallback = "auto",
     .words = choices,
     .word_count = ES_CHOICE_COUNT,
     .help = "rescale channels between layers first; auto: when the result is nearer"},
    {.name = "correct",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, correct),
     .fallback = "auto",
     .words = choices,
     .word_count = ES_CHOICE_COUNT,
     .help = "correct biases by what rounding weights shifts; auto: when nearer"},
    {.name = "reduce",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, reduce),
     .fallback = "auto",
     .words = choices,
     .word_count = ES_CHOICE_COUNT,
     .help = "7-bit weights; auto: where this processor's sums could saturate"},
    {.name = "skip",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, skip),
     .help = "names or operators that stay float, with '|' between"},
};

/* ---- the report as a document ---- */

static void put_db(es_json *json, const char *key, double db)
{
    if (!isnan(db))
        es_json_put_number(json, key, isinf(db) ? 200 : db); /* exact */
}

static void write_layer(const es_quantise_layer *l, es_json *json)
{
    es_json_map_begin(json);
    es_json_put_text(json, "node", l->node);
    es_json_put_text(json, "op", l->op);
    es_json_put_text(json, "output", l->output);
    es_json_put_text(json, "form", l->quantised ? "int8" : "float");
    if (l->why_not != NULL)
        es_json_put_text(json, "why", l->why_not);
    if (!isnan(l->scale)) {
        es_json_put_number(json, "low", l->low);
        es_json_put_number(json, "high", l->high);
        es_json_put_number(json, "scale", l->scale);
        es_json_put_int(json, "zero_point", l->zero_point);
    }
    put_db(json, "weight_sqnr_db", l->weight_sqnr_db);
    put_db(json, "output_sqnr_db", l->output_sqnr_db);
    es_json_map_end(json);
}

static void write_report(const es_quantise_report *report, es_json *json)
{
    es_json_map_begin(json);
    es_json_put_text(json, "step", "quantise");
    es_json_put_text(json, "method", es_range_method_names[report->method]);
    es_json_put_bool(json, "equalised", report->equalised);
    es_json_put_bool(json, "bias_corrected", report->corrected);
    es_json_put_bool(json, "reduced_range", report->reduced);
    es_json_put_int(json, "samples", (int64_t)report->samples);
    es_json_put_number(json, "output_noise", report->noise);
    es_json_key(json, "layers");
    es_json_list_begin(json);
    for (size_t i = 0; i < report->layer_count; i++)
        write_layer(&report->layers[i], json);
    es_json_list_end(json);
    es_json_map_end(json);
}

static es_status report_doc(es_arena *arena, const es_quantise_report *report, const es_doc **out,
                            es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    es_json json;
    es_text_init(&text, REPORT_BYTES);
    es_json_init(&json, &text, true);
    write_report(report, &json);
    ES_TRY(es_text_status(&text, err));
    char *bytes = es_arena_text(arena, es_text_get(&text));
    if (bytes == NULL)
        return es_arena_full(arena, "report", err);
    return es_doc_parse_json(arena, "report", bytes, strlen(bytes), out, err);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *chosen = given;
    es_quantise_opts opts = {.form = (es_quantise_form)chosen->form,
                             .method = (es_range_method)chosen->method,
                             .samples = (size_t)chosen->samples,
                             .percentile = chosen->percentile,
                             .signed_activations = chosen->activations == 1,
                             .equalise = (es_choice)chosen->equalise,
                             .correct = (es_choice)chosen->correct,
                             .reduce = (es_choice)chosen->reduce,
                             .skip = chosen->skip};
    es_compress_job own = *job;
    es_variant *made = NULL;
    const es_model *model = NULL;
    es_quantise_report report;
    if (from->stage_count != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED, "quantise works on one model, not on %zu segments",
                       from->stage_count);
    own.model = from->stages[0].model;
    own.name = from->name;
    ES_TRY(es_quantise(&own, opts, &model, &report, err));
    bool int8 = opts.form == ES_QUANTISE_INT8;
    ES_TRY(es_variant_add(job, from, forms[opts.form], model, out, &made, err));
    made->needs_speed = from->needs_speed || int8;
    return int8 ? report_doc(job->arena, &report, &made->report, err) : ES_OK;
}

const es_step_kind es_step_quantise = {
    .name = "quantise",
    .help = "8-bit integers with ranges found from samples, or half-precision weights",
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
