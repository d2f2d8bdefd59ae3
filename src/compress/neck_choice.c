/*
 * Which place a net is cut at: at each, the neck that keeps most of the variance within the bytes;
 * then each of these learns from a few samples, and of the places that come near the best the one
 * with the least product of bytes and work before it is taken.
 */
#include "compress/neck.h"

#include <assert.h>

enum { JUDGES = 1000, TRIAL_EPOCHS = 4, TRIAL_BATCH = 32, TRIAL_TAPS = 1 };

typedef struct chooser {
    es_learner *learner;
    es_nn *model;
    const es_neck_wish *wish;
    es_neck_choice *out;
    uint64_t macs;
} chooser;

/* ---- closed form ---- */

static bool divides(es_nn_shape shape, size_t stride)
{
    for (size_t i = 1; i < shape.rank; i++)
        if (shape.dims[i] % stride != 0)
            return false;
    return shape.rank > 1 || stride == 1;
}

/* Codes of one channel. */
static size_t code_places(es_nn_shape shape, size_t stride)
{
    size_t places = 1;
    for (size_t i = 1; i < shape.rank; i++)
        places *= shape.dims[i] / stride;
    return places;
}

/* The candidate of a place, if any fits: the stride that keeps most. */
static es_status add_place(chooser *c, es_place place, es_error *err)
{
    es_neck_choice *out = c->out;
    es_nn_shape shape = c->model->layers.items[place.layer.index].shape;
    es_neck_candidate best = {.axes = {.kept = -1}};
    size_t side = shape.rank > 1 ? shape.dims[1] : 1;
    for (size_t stride = 1; stride <= side; stride++) {
        size_t places = divides(shape, stride) ? code_places(shape, stride) : SIZE_MAX;
        size_t channels = c->wish->bytes / places;
        if (channels == 0 || (c->wish->stride > 0 && c->wish->stride != stride))
            continue;
        channels = channels < shape.dims[0] ? channels : shape.dims[0];
        es_neck_size size = {.at = place.layer, .stride = stride, .channels = channels};
        es_neck_axes axes;
        ES_TRY(es_neck_fit(c->learner, c->model, size, c->wish->samples, &axes, err));
        ES_TRY(es_job_go_on(c->learner->job, err));
        if (axes.kept > best.axes.kept)
            best = (es_neck_candidate){.place = place, .axes = axes, .bytes = channels * places};
    }
    if (best.axes.kept < 0 || out->count == ES_NECK_CANDIDATES_MAX)
        return ES_OK;
    best.name = c->model->layers.items[place.layer.index].name;
    best.macs_share = (double)place.macs / (double)c->macs;
    out->items[out->count++] = best;
    return ES_OK;
}

static es_status add_places(chooser *c, es_error *err)
{
    es_places places = {0};
    ES_TRY(es_places_find(c->learner->arena, c->model, &places, err));
    for (size_t i = 0; i < places.count; i++) {
        es_job_progress(c->learner->job, "cuts", (double)i / (double)places.count);
        if ((double)places.items[i].macs <= c->wish->early * (double)c->macs)
            ES_TRY(add_place(c, places.items[i], err));
    }
    es_job_progress(c->learner->job, "cuts", 1);
    return ES_OK;
}

/* ---- trials ---- */

/* Samples [first, + count) of those to learn from, from their end where there are fewer. */
static es_status some_rows(es_learner *l, size_t first, size_t count, const es_data_rows **out,
                           es_error *err)
{
    size_t all = l->rows != NULL ? l->rows->count : l->set.count;
    es_data_rows *rows = ES_TAKE_ONE(l->arena, es_data_rows);
    count = count < all ? count : all;
    first = first + count <= all ? first : all - count;
    size_t *items = ES_TAKE_ARRAY(l->arena, size_t, count);
    if (rows == NULL || items == NULL)
        return es_arena_full(l->arena, "rows", err);
    for (size_t i = 0; i < count; i++)
        items[i] = l->rows != NULL ? l->rows->items[first + i] : first + i;
    *rows = (es_data_rows){.items = items, .count = count};
    *out = rows;
    return ES_OK;
}

static es_status answers_of(es_learner *l, es_nn *nn, const es_data_rows *some, float *scores,
                            es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_evaluation found;
    float *outputs[ES_NN_OUTPUTS_MAX] = {0};
    opts.batch = (size_t)l->opts.batch;
    opts.thread_count = (uint32_t)l->opts.threads;
    opts.gradients = false;
    outputs[nn->output_count - 1] = scores;
    ES_TRY(es_train_engine_new(nn, opts, &engine, err));
    return es_train_evaluate(engine, &l->set, some, ES_FIT_CROSS_ENTROPY, &found, outputs, err);
}

/* Share of the judging samples to which both nets give the same class. */
static es_status agree(chooser *c, es_nn *nn, size_t classes, double *out, es_error *err)
{
    es_learner *l = c->learner;
    const es_data_rows *some = NULL;
    ES_TRY(some_rows(l, c->wish->trial, JUDGES, &some, err));
    assert(some != NULL);
    float *a = ES_TAKE_ARRAY(l->arena, float, some->count *classes);
    float *b = ES_TAKE_ARRAY(l->arena, float, some->count *classes);
    if (a == NULL || b == NULL)
        return es_arena_full(l->arena, "scores", err);
    ES_TRY(answers_of(l, c->model, some, a, err));
    ES_TRY(answers_of(l, nn, some, b, err));
    size_t same = 0;
    for (size_t i = 0; i < some->count; i++)
        same += es_argmax(a + i * classes, classes) == es_argmax(b + i * classes, classes);
    *out = (double)same / (double)some->count;
    return ES_OK;
}

/* All that follows at once, in small: inside and answers. */
static es_status try_out(chooser *c, es_neck_candidate *candidate, es_error *err)
{
    ES_CLEANUP(es_necked_close) es_necked necked = {.nn = NULL};
    es_learner small = *c->learner;
    const es_necked_training training = {.epochs = TRIAL_EPOCHS,
                                         .rate = c->wish->trial_rate,
                                         .mimic = 1,
                                         .answer = 1,
                                         .alpha = 0.5,
                                         .temperature = 3};
    const es_neck_build build = {.axes = &candidate->axes,
                                 .layers = c->wish->layers,
                                 .taps = TRIAL_TAPS,
                                 .samples = c->wish->samples};
    size_t trial = c->wish->trial;
    small.opts.batch = small.opts.batch < TRIAL_BATCH ? small.opts.batch : TRIAL_BATCH;
    small.opts.checkpoint = NULL;
    small.held = NULL;
    small.allow_empty = true;
    ES_TRY(some_rows(c->learner, 0, trial, &small.rows, err));
    ES_TRY(es_necked_open(&small, c->model, &build, &necked, err));
    ES_TRY(agree(c, necked.nn, necked.classes, &candidate->untrained, err));
    if (trial > 0)
        ES_TRY(es_necked_learn(&small, &necked, "trial", &training, err));
    return agree(c, necked.nn, necked.classes, &candidate->agreement, err);
}

static void take_best(chooser *c)
{
    es_neck_choice *out = c->out;
    double best = 0;
    for (size_t i = 0; i < out->count; i++)
        best = out->items[i].agreement > best ? out->items[i].agreement : best;
    for (size_t i = 0; i < out->count; i++) {
        es_neck_candidate *at = &out->items[i];
        if (at->agreement < best - c->wish->slack)
            continue;
        if (out->chosen == NULL || (double)at->bytes * at->macs_share <
                                       (double)out->chosen->bytes * out->chosen->macs_share)
            out->chosen = at;
    }
}

es_status es_neck_choose(es_learner *learner, es_nn *model, const char *at,
                         const es_neck_wish *wish, es_neck_choice *out_choice, es_error *err)
{
    chooser c = {.learner = learner,
                 .model = model,
                 .wish = wish,
                 .out = out_choice,
                 .macs = es_nn_work_of(model).macs};
    es_place place;
    *out_choice = (es_neck_choice){.count = 0};
    if (at != NULL) {
        ES_TRY(es_within(err, es_places_named(learner->arena, model, at, &place, err), "at"));
        ES_TRY(add_place(&c, place, err));
    } else {
        ES_TRY(add_places(&c, err));
    }
    if (out_choice->count == 0)
        return es_fail(err, ES_ERR_ARG, "no cut%s%s fits %zu bytes%s", at != NULL ? " behind " : "",
                       at != NULL ? at : "", wish->bytes,
                       wish->stride > 0 ? " with that stride" : "");
    for (size_t i = 0; i < out_choice->count && out_choice->count > 1; i++)
        ES_TRY(es_within(err, try_out(&c, &out_choice->items[i], err), "cut behind '%s'",
                         out_choice->items[i].name));
    take_best(&c);
    return ES_OK;
}
