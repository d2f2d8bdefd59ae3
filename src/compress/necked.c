/*
 * A net with a neck, trained beside the whole net: its inside is to look like the whole one's at
 * several taps (generalised head network distillation, BottleFit), its answers are to be right.
 */
#include "compress/neck.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WEIGHING_BATCHES = 4 };

/* ---- building ---- */

static const char *layer_name(const es_nn *nn, es_nn_id id)
{
    return nn->layers.items[id.index].name;
}

/* The same layer of both nets as an output, before the scores. */
static es_status add_tap(es_learner *l, es_necked *n, const char *in_teacher, const char *in_nn,
                         es_error *err)
{
    char *name = es_arena_format(l->arena, "tap-%zu", n->tap_count);
    if (name == NULL)
        return es_arena_full(l->arena, "taps", err);
    ES_TRY(es_nn_exit_add(n->teacher, name, es_nn_find(n->teacher, in_teacher), err));
    ES_TRY(es_nn_exit_add(n->nn, name, es_nn_find(n->nn, in_nn), err));
    n->tap_count++;
    return ES_OK;
}

/* Behind the neck, and at places on the way from there to the end. */
static es_status add_taps(es_learner *l, es_necked *n, const es_nn *model,
                          const es_neck_build *build, es_error *err)
{
    es_places places = {0};
    es_nn_id at = build->axes->size.at;
    ES_TRY(es_places_find(l->arena, model, &places, err));
    ES_TRY(add_tap(l, n, layer_name(model, at), n->out, err));
    size_t first = 0;
    while (first < places.count && places.items[first].layer.index <= at.index)
        first++;
    double before = first > 0 ? (double)places.items[first - 1].macs / (double)places.macs : 0;
    for (size_t k = 1; k <= build->taps && first < places.count; k++) {
        double share = before + (1 - before) * (double)k / (double)(build->taps + 1);
        size_t place = es_places_near(&places, share, first);
        const char *name = layer_name(model, places.items[place].layer);
        ES_TRY(add_tap(l, n, name, name, err));
        first = place + 1;
    }
    return ES_OK;
}

/* Linear, on the bytes as they are. */
static es_status add_classifier(es_learner *l, es_necked *n, es_error *err)
{
    es_nn_id at = es_nn_find(n->nn, ES_NECK_PAYLOAD);
    es_nn_id last = ES_NN_NONE;
    es_nn *part = NULL;
    const es_branch_wish wish = {.in = n->nn->layers.items[at.index].shape,
                                 .classes = n->classes,
                                 .softmax = n->softmax,
                                 .whole = true,
                                 .macs_max = UINT64_MAX,
                                 .seed = l->job->seed};
    ES_TRY(es_branch_make(l->arena, &wish, &part, err));
    ES_TRY(es_nn_attach(n->nn, at, part, "exit-1-", &last, err));
    return es_nn_exit_add(n->nn, "exit-1", last, err);
}

static es_status look_at(const es_nn *model, es_necked *n, es_error *err)
{
    const es_nn_output *output = &model->outputs[model->output_count - 1];
    const es_nn_layer *last = &model->layers.items[output->layer.index];
    char text[ES_NN_SHAPE_TEXT];
    if (last->shape.rank != 1 || last->shape.count < 2)
        return es_fail(err, ES_ERR_UNSUPPORTED, "the model gives %s, to be scores of classes",
                       es_nn_shape_text(last->shape, text));
    n->classes = last->shape.count;
    n->softmax = last->kind == ES_NN_SOFTMAX;
    return ES_OK;
}

/* ---- memory and weights ---- */

static es_status take_memory(es_learner *l, es_necked *n, es_error *err)
{
    size_t batch = (size_t)l->opts.batch;
    bool full = false;
    for (size_t k = 0; k < n->nn->output_count; k++) {
        size_t size = n->nn->layers.items[n->nn->outputs[k].layer.index].shape.count;
        n->slopes[k] = ES_TAKE_ARRAY(l->arena, float, batch *size);
        full = full || n->slopes[k] == NULL;
    }
    n->soft = ES_TAKE_ARRAY(l->arena, float, batch * n->classes);
    n->slope_of = ES_TAKE_ARRAY(l->arena, float, batch * n->classes);
    if (full || n->soft == NULL || n->slope_of == NULL)
        return es_arena_full(l->arena, "a batch", err);
    return ES_OK;
}

/* 1 / mean square of what each tap gives, so that each counts alike. */
static es_status weigh_taps(es_learner *l, es_necked *n, es_error *err)
{
    es_data_batches batches;
    double squares[ES_NN_OUTPUTS_MAX] = {0};
    double counts[ES_NN_OUTPUTS_MAX] = {0};
    ES_TRY(es_learner_batches(l, &batches, err));
    float *x = ES_TAKE_ARRAY(l->arena, float, (size_t)l->opts.batch * l->set.size);
    if (x == NULL)
        return es_arena_full(l->arena, "a batch", err);
    for (size_t b = 0; b < WEIGHING_BATCHES; b++) {
        size_t samples = es_data_batches_next(&batches, x, NULL);
        if (samples == 0)
            break;
        ES_TRY(es_train_forward(n->engine, x, samples, ES_TRAIN_INFER, err));
        for (size_t k = 0; k < n->tap_count; k++) {
            size_t values = samples * es_train_output_shape(n->engine, k).count;
            const float *given = es_train_output(n->engine, k);
            for (size_t i = 0; i < values; i++)
                squares[k] += (double)given[i] * (double)given[i];
            counts[k] += (double)values;
        }
    }
    for (size_t k = 0; k < n->tap_count; k++)
        n->weights[k] = squares[k] > 0 ? counts[k] / squares[k] : 1;
    return ES_OK;
}

es_status es_necked_open(es_learner *learner, const es_nn *model, const es_neck_build *build,
                         es_necked *out_necked, es_error *err)
{
    es_necked *n = out_necked;
    es_train_engine_opts opts = es_train_engine_opts_default();
    *n = (es_necked){.early = build->early};
    ES_TRY(look_at(model, n, err));
    ES_TRY(es_nn_copy(learner->arena, model, &n->nn, err));
    ES_TRY(es_nn_copy(learner->arena, model, &n->teacher, err));
    ES_TRY(es_neck_insert(n->nn, build->axes, build->layers, &n->out, err));
    ES_TRY(es_neck_range(learner, n->nn, build->samples, err));
    ES_TRY(add_taps(learner, n, model, build, err));
    if (n->early)
        ES_TRY(add_classifier(learner, n, err));
    ES_TRY(es_nn_seal(n->nn, err));
    opts.batch = (size_t)learner->opts.batch;
    opts.thread_count = (uint32_t)learner->opts.threads;
    opts.gradients = false;
    ES_TRY(es_train_engine_new(n->teacher, opts, &n->engine, err));
    ES_TRY(take_memory(learner, n, err));
    return weigh_taps(learner, n, err);
}

void es_necked_close(es_necked *necked)
{
    es_train_engine_free(necked->engine);
    necked->engine = NULL;
}

es_status es_necked_finish(es_necked *necked, es_error *err)
{
    es_nn *nn = necked->nn;
    nn->output_count -= necked->tap_count;
    memmove(nn->outputs, nn->outputs + necked->tap_count, nn->output_count * sizeof *nn->outputs);
    necked->tap_count = 0;
    return es_nn_seal(nn, err);
}

/* ---- training ---- */

/* What a layer needs, itself included; layers are in order. */
static void mark_needed(const es_nn *nn, es_nn_id id, bool *needed)
{
    needed[id.index] = true;
    for (size_t i = nn->layers.count; i-- > 0;)
        for (size_t k = 0; needed[i] && k < nn->layers.items[i].input_count; k++)
            needed[nn->layers.items[i].inputs[k].index] = true;
}

static es_status freeze(es_learner *l, es_necked *n, es_neck_frozen what, es_error *err)
{
    es_nn *nn = n->nn;
    size_t count = nn->layers.count;
    bool *head = ES_TAKE_ARRAY(l->arena, bool, count);
    bool *neck = ES_TAKE_ARRAY(l->arena, bool, count);
    bool *whole = ES_TAKE_ARRAY(l->arena, bool, count);
    if (head == NULL || neck == NULL || whole == NULL)
        return es_arena_full(l->arena, "layers", err);
    mark_needed(nn, es_nn_find(nn, ES_NECK_PAYLOAD), head);
    mark_needed(nn, es_nn_find(nn, n->out), neck);
    mark_needed(nn, nn->outputs[nn->output_count - 1].layer, whole);
    for (size_t i = 0; i < count; i++)
        nn->layers.items[i].frozen = head[i]    ? what.head
                                     : neck[i]  ? what.decoder
                                     : whole[i] ? what.tail
                                                : what.classifier;
    return ES_OK;
}

typedef struct trainer {
    es_necked *necked;
    const es_necked_training *how;
    double smoothing;
} trainer;

/* (1 - alpha) cross entropy + alpha T^2 KL of an output, times weight. */
static double answer_loss(const trainer *t, const es_fit_batch *batch, const float *scores,
                          double weight, float *slope)
{
    es_necked *n = t->necked;
    double labels = (1 - t->how->alpha) * weight;
    double loss =
        batch->targets != NULL
            ? es_loss_soft(scores, batch->targets, batch->samples, n->classes, labels, slope)
            : es_loss_cross_entropy(scores, batch->labels, batch->samples, n->classes, t->smoothing,
                                    labels, slope);
    loss += es_loss_distil(scores, n->soft, NULL, batch->samples, n->classes, 1,
                           t->how->temperature, t->how->alpha * weight, n->slope_of);
    for (size_t i = 0; i < batch->samples * n->classes; i++)
        slope[i] += n->slope_of[i];
    return loss;
}

static es_status step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                      double *out_loss, size_t *out_right, es_error *err)
{
    trainer *t = context;
    es_necked *n = t->necked;
    const es_necked_training *how = t->how;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    size_t last = es_train_engine_nn(engine)->output_count - 1;
    double loss = 0;
    ES_TRY(es_train_forward(n->engine, batch->x, batch->samples, ES_TRAIN_INFER, err));
    const float *said = es_train_output(n->engine, n->tap_count);
    es_loss_soften(&said, 1, batch->samples, n->classes, how->temperature, n->soft);
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    for (size_t k = 0; how->mimic > 0 && k < n->tap_count; k++) {
        loss += es_loss_squares(es_train_output(engine, k), es_train_output(n->engine, k),
                                batch->samples, es_train_output_shape(engine, k).count,
                                how->mimic * n->weights[k], n->slopes[k]);
        slopes[k] = n->slopes[k];
    }
    if (n->early && how->early > 0) {
        loss += answer_loss(t, batch, es_train_output(engine, n->tap_count), how->early,
                            n->slopes[n->tap_count]);
        slopes[n->tap_count] = n->slopes[n->tap_count];
    }
    if (how->answer > 0) {
        loss += answer_loss(t, batch, es_train_output(engine, last), how->answer, n->slopes[last]);
        slopes[last] = n->slopes[last];
    }
    *out_loss = loss;
    *out_right =
        es_loss_right(es_train_output(engine, last), batch->labels, batch->samples, n->classes);
    return es_train_backward(engine, slopes, false, err);
}

es_status es_necked_learn(es_learner *learner, es_necked *necked, const char *part,
                          const es_necked_training *how, es_error *err)
{
    trainer t = {.necked = necked, .how = how, .smoothing = learner->opts.smoothing};
    if (learner->set.labels == NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' has no labels to learn from", learner->set.name);
    learner->opts.rate = how->rate;
    ES_TRY(freeze(learner, necked, how->frozen, err));
    return es_learner_fit(learner, necked->nn, part, how->epochs, step, &t, err);
}
