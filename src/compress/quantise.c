/*
 * Quantising a model: fold, look at samples, choose ranges, write. What is left open (the method,
 * equalisation, bias correction) is decided by which result is nearest to the float model.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

enum { JUDGED_SAMPLES = 64, SQNR_SAMPLES = 32 };

const char *const es_range_method_names[ES_RANGE_METHOD_COUNT] = {"auto", "minmax", "percentile",
                                                                  "entropy", "mse"};

es_quantise_opts es_quantise_opts_default(void)
{
    return (es_quantise_opts){.form = ES_QUANTISE_INT8,
                              .method = ES_RANGE_AUTO,
                              .samples = 256,
                              .percentile = 99.999,
                              .equalise = ES_CHOICE_AUTO,
                              .correct = ES_CHOICE_AUTO,
                              .reduce = ES_CHOICE_AUTO};
}

/* A folded float model and what its values looked like. */
typedef struct basis {
    const es_model *model;
    es_wiring w;
    es_regions regions;
    es_calibration calibration;
    bool equalised;
} basis;

/* One way to quantise, and how far its outputs are from the float model's. */
typedef struct candidate {
    const basis *from;
    es_range_method method;
    bool correct;
    const es_affine *affines;
    es_qdq qdq;
    double noise;
} candidate;

typedef struct quantiser {
    const es_compress_job *job;
    es_quantise_opts opts;
    es_arena *arena;   /* until the model is handed over */
    es_arena *scratch; /* reset now and then */
    es_samples samples;
    es_data_rows rows;
    bool reduced;
} quantiser;

/* ---- samples ---- */

static es_status draw_samples(quantiser *q, es_error *err)
{
    size_t count = es_samples_count(&q->job->fit);
    if (count < q->opts.samples)
        return es_fail(err, ES_ERR_ARG,
                       "%zu samples to calibrate with, but only %zu are there: ask for fewer "
                       "(samples=%zu) or give more",
                       q->opts.samples, count, count);
    size_t *all = ES_TAKE_ARRAY(q->arena, size_t, count);
    if (all == NULL)
        return es_arena_full(q->arena, "samples", err);
    for (size_t i = 0; i < count; i++)
        all[i] = q->job->fit.rows != NULL ? q->job->fit.rows->items[i] : i;
    es_rng rng = es_rng_make(q->job->seed, 0);
    es_rng_shuffle(&rng, all, count);
    q->rows = (es_data_rows){.items = all, .count = q->opts.samples};
    q->samples = q->job->fit;
    q->samples.rows = &q->rows;
    return ES_OK;
}

/* ---- bases ---- */

static es_status fold(quantiser *q, const es_model **out_model, es_error *err)
{
    const es_model *model = q->job->model;
    ES_TRY(es_model_upgrade(q->arena, model, &model, err));
    ES_TRY(es_fold_constants(q->arena, q->job->runtime, model, &model, err));
    return es_fold_layers(q->arena, model, out_model, err);
}

static es_status look(quantiser *q, const es_model *model, bool equalised, basis *out,
                      es_error *err)
{
    out->model = model;
    out->equalised = equalised;
    ES_TRY(es_wiring_make(q->arena, model, &out->w, err));
    ES_TRY(es_regions_find(&out->w, q->opts.signed_activations, q->opts.skip, &out->regions, err));
    if (out->regions.product_count == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "no Conv, Gemm or MatMul that has integer kernels: nothing to quantise");
    return es_calibrate_values(q->job, q->arena, q->scratch, &out->regions, &q->samples,
                               q->opts.samples, q->opts.method != ES_RANGE_MINMAX,
                               &out->calibration, err);
}

/* ---- candidates ---- */

/* A group spans the ranges of its values. Those whose range counts as that of a clamp behind them
 * take the clamp's. */
static es_status choose_affines(quantiser *q, const basis *b, es_range_method method,
                                const es_affine **out, es_error *err)
{
    size_t count = b->w.value_count;
    double *lows = ES_TAKE_ARRAY(q->arena, double, count);
    double *highs = ES_TAKE_ARRAY(q->arena, double, count);
    es_affine *affines = ES_TAKE_ARRAY(q->arena, es_affine, count);
    if (lows == NULL || highs == NULL || affines == NULL)
        return es_arena_full(q->arena, "ranges", err);
    for (size_t v = 0; v < count; v++) {
        double low = 0;
        double high = 0;
        size_t group = b->regions.values[v].group;
        if (!b->regions.values[v].coded)
            continue;
        es_range_find(&b->calibration.seen[v], method, q->opts.percentile,
                      q->opts.signed_activations, &low, &high);
        lows[group] = fmin(lows[group], low);
        highs[group] = fmax(highs[group], high);
    }
    for (size_t v = 0; v < count; v++) {
        size_t group = b->regions.values[v].group;
        if (!b->regions.values[v].coded)
            continue;
        affines[v] = q->opts.signed_activations
                         ? es_affine_symmetric(fmax(-lows[group], highs[group]), INT8_MAX)
                         : es_affine_u8(lows[group], highs[group]);
    }
    *out = affines;
    return ES_OK;
}

static es_status try_candidate(quantiser *q, const basis *from, es_range_method method,
                               bool correct, candidate *out, es_error *err)
{
    candidate c = {.from = from, .method = method, .correct = correct};
    ES_TRY(choose_affines(q, from, method, &c.affines, err));
    es_qdq_opts opts = {.affines = c.affines,
                        .weight_limit = q->reduced ? INT8_MAX / 2 : INT8_MAX,
                        .correct = correct ? &from->calibration : NULL};
    ES_TRY(es_qdq_make(q->arena, &from->regions, opts, &c.qdq, err));
    size_t judged = q->opts.samples < JUDGED_SAMPLES ? q->opts.samples : JUDGED_SAMPLES;
    ES_TRY(es_outputs_noise(q->job, q->scratch, q->job->model, c.qdq.model, &q->samples, judged,
                            "comparing", &c.noise, err));
    *out = c;
    return ES_OK;
}

static es_status keep_better(quantiser *q, const basis *from, es_range_method method, bool correct,
                             candidate *best, es_error *err)
{
    candidate c;
    ES_TRY(try_candidate(q, from, method, correct, &c, err));
    if (best->from == NULL || c.noise < best->noise)
        *best = c;
    return ES_OK;
}

/* One choice after the other, each kept when it is better. */
static es_status search(quantiser *q, basis bases[2], candidate *out, es_error *err)
{
    const es_model *model = NULL;
    const es_model *equal = NULL;
    size_t pairs = 0;
    candidate best = {.from = NULL};
    bool correct = q->opts.correct != ES_CHOICE_NO;
    ES_TRY(fold(q, &model, err));
    if (q->opts.equalise != ES_CHOICE_NO)
        ES_TRY(es_equalise(q->arena, model, &equal, &pairs, err));
    if (q->opts.equalise != ES_CHOICE_YES || pairs == 0)
        ES_TRY(look(q, model, false, &bases[0], err));
    if (pairs > 0)
        ES_TRY(look(q, equal, true, &bases[1], err));
    const basis *first = bases[0].model != NULL ? &bases[0] : &bases[1];
    for (int m = ES_RANGE_MINMAX; m < ES_RANGE_METHOD_COUNT; m++)
        if (q->opts.method == ES_RANGE_AUTO || (int)q->opts.method == m)
            ES_TRY(keep_better(q, first, (es_range_method)m, correct, &best, err));
    if (first == &bases[0] && bases[1].model != NULL)
        ES_TRY(keep_better(q, &bases[1], best.method, correct, &best, err));
    if (q->opts.correct == ES_CHOICE_AUTO)
        ES_TRY(keep_better(q, best.from, best.method, false, &best, err));
    *out = best;
    return ES_OK;
}

/* ---- the report ---- */

/* The value that a node gives, as the quantised model has it. */
static size_t told_value(const candidate *c, size_t node)
{
    size_t v = c->from->w.ops[node].output_count > 0 ? c->from->w.outputs[node][0] : ES_NONE;
    return v != ES_NONE ? c->from->regions.values[v].shown : ES_NONE;
}

static es_status tell_layer(quantiser *q, const candidate *c, size_t node, es_quantise_layer *out,
                            es_error *err)
{
    es_arena *arena = q->job->arena;
    const es_wiring *w = &c->from->w;
    const es_region_node *region = &c->from->regions.nodes[node];
    size_t v = told_value(c, node);
    es_quantise_layer l = {.node = es_arena_text(arena, w->ops[node].name),
                           .op = es_arena_text(arena, w->ops[node].op),
                           .output = es_arena_text(arena, v != ES_NONE ? w->values[v].name : ""),
                           .quantised = region->kind != ES_REGION_FLOAT,
                           .low = (double)NAN,
                           .high = (double)NAN,
                           .scale = (double)NAN,
                           .weight_sqnr_db = c->qdq.weight_sqnr_db[node],
                           .output_sqnr_db = (double)NAN};
    if (l.node == NULL || l.op == NULL || l.output == NULL)
        return es_arena_full(arena, "report", err);
    l.why_not = l.quantised ? NULL : region->why_not;
    if (l.quantised && v != ES_NONE && c->from->regions.values[v].coded) {
        es_affine a = c->affines[v];
        l.scale = (double)a.scale;
        l.zero_point = a.zero;
        l.low = (double)es_affine_value(a, a.low);
        l.high = (double)es_affine_value(a, a.high);
    }
    *out = l;
    return ES_OK;
}

/* Noise of what each quantised layer gives, with all before it quantised too. */
static es_status measure_layers(quantiser *q, const candidate *c, es_quantise_layer *layers,
                                es_error *err)
{
    const es_wiring *w = &c->from->w;
    const char **names = ES_TAKE_ARRAY(q->arena, const char *, w->node_count);
    const char **others = ES_TAKE_ARRAY(q->arena, const char *, w->node_count);
    size_t *places = ES_TAKE_ARRAY(q->arena, size_t, w->node_count);
    es_noise *noise = ES_TAKE_ARRAY(q->arena, es_noise, w->node_count);
    size_t count = q->opts.samples < SQNR_SAMPLES ? q->opts.samples : SQNR_SAMPLES;
    size_t asked = 0;
    if (names == NULL || others == NULL || places == NULL || noise == NULL)
        return es_arena_full(q->arena, "report", err);
    for (size_t n = 0; n < w->node_count; n++) {
        size_t v = told_value(c, n);
        if (!layers[n].quantised || v == ES_NONE || c->qdq.names[v] == NULL)
            continue;
        names[asked] = w->values[v].name;
        others[asked] = c->qdq.names[v];
        places[asked++] = n;
    }
    ES_TRY(es_probe_compare(q->job, q->scratch, c->from->model, names, c->qdq.model, others, asked,
                            &q->samples, count, noise, "layers", err));
    for (size_t i = 0; i < asked; i++)
        layers[places[i]].output_sqnr_db = es_noise_db(noise[i]);
    return ES_OK;
}

static es_status tell_layers(quantiser *q, const candidate *c, es_quantise_report *report,
                             es_error *err)
{
    size_t count = c->from->w.node_count;
    es_quantise_layer *layers = ES_TAKE_ARRAY(q->job->arena, es_quantise_layer, count);
    if (layers == NULL)
        return es_arena_full(q->job->arena, "report", err);
    for (size_t n = 0; n < count; n++)
        ES_TRY(tell_layer(q, c, n, &layers[n], err));
    report->layer_count = count;
    report->layers = layers;
    return measure_layers(q, c, layers, err);
}

/* ---- all of it ---- */

/* Into the job's arena: what was shared with the models on the way goes with them. */
static es_status hand_over(quantiser *q, const es_model *model, const es_model **out_model,
                           es_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_model_compact(q->arena, model, &model, err));
    ES_TRY(es_model_bytes(q->arena, model, &bytes, &size, err));
    return es_model_parse(q->job->arena, q->job->name, bytes, size, es_model_opts_default(),
                          out_model, err);
}

static es_status quantise_int8(quantiser *q, const es_model **out_model, es_quantise_report *report,
                               es_error *err)
{
    basis bases[2] = {{.model = NULL}, {.model = NULL}};
    candidate best;
    q->reduced =
        q->opts.reduce == ES_CHOICE_YES || (q->opts.reduce == ES_CHOICE_AUTO && es_cpu_saturates());
    ES_TRY(draw_samples(q, err));
    ES_TRY(search(q, bases, &best, err));
    report->method = best.method;
    report->equalised = best.from->equalised;
    report->corrected = best.correct;
    report->reduced = q->reduced;
    report->samples = q->opts.samples;
    report->noise = best.noise;
    ES_TRY(tell_layers(q, &best, report, err));
    return hand_over(q, best.qdq.model, out_model, err);
}

es_status es_quantise(const es_compress_job *job, es_quantise_opts opts, const es_model **out_model,
                      es_quantise_report *out_report, es_error *err)
{
    size_t cap = es_arena_cap_bytes(job->arena);
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(cap);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(cap);
    es_quantise_report report = {.method = opts.method};
    if (arena == NULL || scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to quantise in");
    if (opts.samples == 0)
        return es_fail(err, ES_ERR_ARG, "samples=0, must be >= 1");
    quantiser q = {.job = job, .opts = opts, .arena = arena, .scratch = scratch};
    if (opts.form == ES_QUANTISE_INT8) {
        ES_TRY(quantise_int8(&q, out_model, &report, err));
    } else {
        const es_model *model = NULL;
        ES_TRY(es_half_weights(arena, job->model, &model, err));
        ES_TRY(hand_over(&q, model, out_model, err));
    }
    if (out_report != NULL)
        *out_report = report;
    return ES_OK;
}
