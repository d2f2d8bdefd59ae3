/*
 * From which confidence on an early answer is taken: temperatures, then every choice of thresholds
 * weighed (quality's exact sweep), then, if asked, one with a certificate.
 */
#include "compress/early.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { NEVER = 2 }; /* a threshold that no confidence reaches */

typedef struct chooser {
    es_arena *arena;
    uint64_t seed;
    const es_tune *tune;
    const es_early_opts *opts;
    float *const *scores;
    size_t stage_count;
    size_t classes; /* >= 2 */
    const double *costs;
    es_data_rows fit, held; /* halves of the samples */
    es_cascade all, fitted, certifying;
} chooser;

/* Scores and labels of some of the samples, close together. */
static es_status part_of(const chooser *c, size_t stage, es_data_rows part, es_scores *out,
                         uint32_t **out_labels, es_error *err)
{
    float *values = ES_TAKE_ARRAY(c->arena, float, part.count * c->classes);
    uint32_t *labels = ES_TAKE_ARRAY(c->arena, uint32_t, part.count);
    if (values == NULL || labels == NULL)
        return es_arena_full(c->arena, "scores", err);
    for (size_t i = 0; i < part.count; i++) {
        size_t row = part.items[i];
        memcpy(values + i * c->classes, c->scores[stage] + row * c->classes,
               c->classes * sizeof *values);
        labels[i] = c->tune->labels[row];
    }
    *out = (es_scores){.values = values, .count = part.count, .class_count = (uint32_t)c->classes};
    *out_labels = labels;
    return ES_OK;
}

static es_status all_rows(const chooser *c, es_data_rows *out, es_error *err)
{
    size_t *items = ES_TAKE_ARRAY(c->arena, size_t, c->tune->count);
    if (items == NULL)
        return es_arena_full(c->arena, "rows", err);
    for (size_t i = 0; i < c->tune->count; i++)
        items[i] = i;
    *out = (es_data_rows){.items = items, .count = c->tune->count};
    return ES_OK;
}

static es_status decide(const chooser *c, size_t stage, es_data_rows part, double temperature,
                        es_cascade *into, es_error *err)
{
    es_scores scores;
    uint32_t *labels = NULL;
    ES_TRY(part_of(c, stage, part, &scores, &labels, err));
    assert(labels != NULL);
    double *confidence = ES_TAKE_ARRAY(c->arena, double, part.count);
    uint32_t *classes = ES_TAKE_ARRAY(c->arena, uint32_t, part.count);
    bool *right = ES_TAKE_ARRAY(c->arena, bool, part.count);
    if (confidence == NULL || classes == NULL || right == NULL)
        return es_arena_full(c->arena, "confidences", err);
    es_scores_decide(&scores, temperature, ES_CONFIDENCE_MAX_PROB, confidence, classes);
    for (size_t i = 0; i < part.count; i++)
        right[i] = classes[i] == labels[i];
    into->stages[stage] =
        (es_cascade_stage){.confidence = confidence, .right = right, .cost = c->costs[stage]};
    into->stage_count = c->stage_count;
    into->count = part.count;
    return ES_OK;
}

static es_status weigh_stage(chooser *c, size_t stage, es_early *out, es_error *err)
{
    es_data_rows all = {0};
    es_scores scores;
    uint32_t *labels = NULL;
    es_temperature fitted;
    es_reliability reliability;
    es_reliability_opts opts = es_reliability_opts_default();
    opts.seed = c->seed;
    ES_TRY(part_of(c, stage, c->fit, &scores, &labels, err));
    ES_TRY(es_temperature_fit(&scores, labels, &fitted, err));
    /* all right or all wrong: nothing is known about how sure to be */
    double t = out->temperature[stage] = fitted.at_bound ? 1 : fitted.temperature;
    ES_TRY(all_rows(c, &all, err));
    ES_TRY(decide(c, stage, all, t, &c->all, err));
    ES_TRY(decide(c, stage, c->fit, t, &c->fitted, err));
    ES_TRY(decide(c, stage, c->held, t, &c->certifying, err));
    const es_cascade_stage *held = &c->certifying.stages[stage];
    assert(c->all.stages[stage].right != NULL);
    ES_TRY(es_reliability_measure(c->arena, held->confidence, held->right, c->held.count, opts,
                                  &reliability, err));
    out->ece[stage] = reliability.ece.value;
    size_t right = 0;
    for (size_t i = 0; i < c->tune->count; i++)
        right += c->all.stages[stage].right[i];
    out->accuracy[stage] = (double)right / (double)c->tune->count;
    out->costs[stage] = c->costs[stage];
    return ES_OK;
}

/* ---- choices ---- */

static es_status read_losses(es_arena *arena, const char *list, es_early *out, es_error *err)
{
    char *at = es_arena_text(arena, list);
    if (at == NULL)
        return es_arena_full(arena, "losses", err);
    while (at != NULL) {
        double loss = 0;
        char *next = strchr(at, '|');
        if (next != NULL)
            *next++ = '\0';
        if (!es_text_to_double(at, &loss) || loss < 0 || loss >= 1)
            return es_fail(err, ES_ERR_ARG, "loss: '%s' must be a number from 0 to below 1", at);
        if (out->point_count == ES_EARLY_LOSSES_MAX)
            return es_fail(err, ES_ERR_ARG, "loss: more than %d numbers", ES_EARLY_LOSSES_MAX);
        out->losses[out->point_count++] = loss;
        at = next;
    }
    return ES_OK;
}

/* The cheapest that keeps the accuracy; else the most accurate. */
static es_cascade_point cheapest(const es_cascade_curve *curve, double accuracy)
{
    size_t i = 0;
    while (i + 1 < curve->count && curve->points[i].accuracy < accuracy)
        i++;
    return curve->points[i];
}

/* "-0.5pt": points of accuracy, where there are several. */
static es_status name_points(es_arena *arena, es_early *out, es_error *err)
{
    bool alone = out->point_count == 1 && !out->guarantee.found;
    for (size_t i = 0; i < out->point_count; i++) {
        out->suffixes[i] = alone ? "" : es_arena_format(arena, "-%.3gpt", 100 * out->losses[i]);
        if (out->suffixes[i] == NULL)
            return es_arena_full(arena, "name", err);
    }
    return ES_OK;
}

/* Choices that are tested may not depend on the samples that test them. */
static es_status certify(chooser *c, es_early *out, es_error *err)
{
    const double *path = NULL;
    size_t count = 0;
    if (!(c->opts->target > 0))
        return ES_OK;
    if (c->stage_count > 2) {
        es_cascade_curve fitted;
        ES_TRY(es_cascade_sweep(c->arena, &c->fitted, 0, &fitted, err));
        ES_TRY(es_guarantee_path_curve(c->arena, &fitted, c->stage_count, &path, &count, err));
    } else {
        ES_TRY(es_guarantee_path_fixed(c->arena, c->stage_count, &path, &count, err));
    }
    return es_guarantee_cascade(&c->certifying, path, count, c->opts->target, c->opts->delta,
                                &out->guarantee, err);
}

static es_status choose(chooser *c, es_early *out, es_error *err)
{
    ES_TRY(read_losses(c->arena, c->opts->loss, out, err));
    ES_TRY(es_cascade_sweep(c->arena, &c->all, 0, &out->curve, err));
    ES_TRY(certify(c, out, err));
    ES_TRY(name_points(c->arena, out, err));
    for (size_t i = 0; i < out->point_count; i++)
        out->points[i] = cheapest(&out->curve, c->tune->reference - out->losses[i]);
    if (out->guarantee.found) {
        out->suffixes[out->point_count] = "-certified";
        out->points[out->point_count++] = out->guarantee.point;
    }
    return ES_OK;
}

es_status es_early_choose(es_learner *learner, const es_tune *tune, const es_early_opts *opts,
                          float *const *scores, size_t stage_count, size_t classes,
                          const double *costs, es_early *out_early, es_error *err)
{
    const double halves[] = {0.5, 0.5};
    es_data_rows parts[ES_DATA_PARTS_MAX];
    chooser c = {.arena = learner->arena,
                 .seed = learner->job->seed,
                 .tune = tune,
                 .opts = opts,
                 .scores = scores,
                 .stage_count = stage_count,
                 .classes = classes,
                 .costs = costs};
    *out_early = (es_early){.stage_count = stage_count,
                            .count = tune->count,
                            .reference = tune->reference,
                            .target = opts->target,
                            .delta = opts->delta};
    es_job_progress(learner->job, "thresholds", 0);
    /* not by class: the samples that certify must be as if drawn one by one */
    ES_TRY(es_within(err, es_data_split(c.arena, NULL, tune->count, halves, 2, c.seed, parts, err),
                     "samples to tune on"));
    c.fit = parts[0];
    c.held = parts[1];
    out_early->fit_count = c.fit.count;
    for (size_t k = 0; k < stage_count; k++)
        ES_TRY(weigh_stage(&c, k, out_early, err));
    ES_TRY(choose(&c, out_early, err));
    es_job_progress(learner->job, "thresholds", 1);
    return ES_OK;
}

/* ---- to a variant ---- */

es_status es_early_pipelines(es_arena *arena, const es_early *early, es_variant *variant,
                             es_error *err)
{
    for (size_t p = 0; p < early->point_count; p++) {
        es_variant_pipeline pipeline = {.suffix = es_arena_text(arena, early->suffixes[p])};
        if (pipeline.suffix == NULL)
            return es_arena_full(arena, "name", err);
        for (size_t k = 0; k + 1 < early->stage_count; k++)
            pipeline.thresholds[k] = fmin(early->points[p].thresholds[k], NEVER);
        variant->pipelines[p] = pipeline;
    }
    variant->pipeline_count = early->point_count;
    return ES_OK;
}

es_status es_early_give(const es_learner *learner, const es_nn *nn, const es_variant *from,
                        const char *suffix, const char *const *answers, const es_nn_id *forwards,
                        size_t stage_count, es_variants *out, es_variant **out_variant,
                        es_error *err)
{
    es_arena *arena = learner->job->arena;
    es_nn *copy = NULL;
    es_variant *made = NULL;
    const es_model *whole = NULL;
    const es_model *stages[ES_VARIANT_STAGES_MAX];
    es_stage_end ends[ES_VARIANT_STAGES_MAX] = {{NULL, NULL}};
    ES_TRY(es_nn_copy(arena, nn, &copy, err));
    for (size_t k = 0; k < stage_count; k++) {
        ends[k].answer = answers[k];
        if (k + 1 == stage_count)
            break;
        /* a name that stays when norms are folded: that of an output */
        const es_nn_layer *layer = &nn->layers.items[forwards[k].index];
        bool bytes = layer->kind == ES_NN_QUANTISE;
        ends[k].forward = bytes ? es_arena_format(arena, "%s.bytes", layer->name)
                                : es_arena_format(arena, "forward-%zu", k + 1);
        if (ends[k].forward == NULL)
            return es_arena_full(arena, "name", err);
        if (!bytes)
            ES_TRY(es_nn_output_add(copy, ends[k].forward, forwards[k], err));
    }
    ES_TRY(es_nn_to_model(arena, copy, true, &whole, err));
    ES_TRY(es_stages_cut(arena, whole, ends, stage_count, stages, err));
    ES_TRY(es_variant_add(learner->job, from, suffix, stages[0], out, &made, err));
    made->stage_count = stage_count;
    for (size_t k = 0; k < stage_count; k++) {
        made->stages[k] = (es_variant_stage){.suffix = es_arena_format(arena, "-%zu", k + 1),
                                             .model = stages[k],
                                             .exit = k + 1 < stage_count && answers[k] != NULL};
        if (made->stages[k].suffix == NULL)
            return es_arena_full(arena, "name", err);
    }
    made->pipeline_count = 1;
    made->pipelines[0] = (es_variant_pipeline){.suffix = ""};
    for (size_t k = 0; k < ES_VARIANT_STAGES_MAX; k++)
        made->pipelines[0].thresholds[k] = NEVER;
    *out_variant = made;
    return ES_OK;
}

/* ---- the report ---- */

static void put_point(es_json *json, const es_early *early, const es_cascade_point *point)
{
    es_json_map_begin(json);
    es_json_key(json, "thresholds");
    es_json_list_begin(json);
    for (size_t k = 0; k + 1 < early->stage_count; k++)
        es_json_number(json, point->thresholds[k]);
    es_json_list_end(json);
    es_json_key(json, "reached");
    es_json_list_begin(json);
    size_t all = point->reached[0] > 0 ? point->reached[0] : 1;
    for (size_t k = 0; k < early->stage_count; k++)
        es_json_number(json, (double)point->reached[k] / (double)all);
    es_json_list_end(json);
    es_json_put_number(json, "accuracy", point->accuracy);
    es_json_put_number(json, "macs", point->cost);
    es_json_map_end(json);
}

static void put_exits(const es_early *early, const es_early_teller *teller, es_json *json)
{
    es_json_key(json, "exits");
    es_json_list_begin(json);
    for (size_t k = 0; k < early->stage_count; k++) {
        es_json_map_begin(json);
        if (teller != NULL)
            teller->tell(teller->context, k, json);
        es_json_put_number(json, "macs", early->costs[k]);
        es_json_put_number(json, "accuracy", early->accuracy[k]);
        es_json_put_number(json, "temperature", early->temperature[k]);
        es_json_put_number(json, "ece", early->ece[k]);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_early_report(const es_early *early, const es_tune *tune, const es_early_teller *teller,
                     es_json *json)
{
    put_exits(early, teller, json);
    es_json_put_int(json, "tune_samples", (int64_t)early->count);
    es_json_put_bool(json, "tune_given", tune->given);
    es_json_put_number(json, "reference_accuracy", early->reference);
    es_json_put_bool(json, "curve_exact", early->curve.exact);
    es_json_key(json, "curve");
    es_json_list_begin(json);
    for (size_t i = 0; i < early->curve.count; i++)
        put_point(json, early, &early->curve.points[i]);
    es_json_list_end(json);
    if (!(early->target > 0))
        return;
    es_json_put_number(json, "target", early->target);
    es_json_put_number(json, "delta", early->delta);
    es_json_key(json, "certified");
    if (early->guarantee.found)
        put_point(json, early, &early->guarantee.point);
    else
        es_json_null(json);
}
