/*
 * Samples that nothing is learnt from: on them temperatures are fitted and thresholds chosen.
 */
#include "compress/early.h"

#include <math.h>
#include <string.h>

static es_status copy_rows(es_arena *arena, const es_data_rows *of, const es_data_rows *part,
                           const es_data_rows **out, es_error *err)
{
    es_data_rows *rows = ES_TAKE_ONE(arena, es_data_rows);
    size_t *items = ES_TAKE_ARRAY(arena, size_t, part->count);
    if (rows == NULL || items == NULL)
        return es_arena_full(arena, "rows", err);
    for (size_t i = 0; i < part->count; i++)
        items[i] = of != NULL ? of->items[part->items[i]] : part->items[i];
    *rows = (es_data_rows){.items = items, .count = part->count};
    *out = rows;
    return ES_OK;
}

/* Of each class the same share. */
static es_status take_part(es_learner *l, double share, es_tune *t, es_error *err)
{
    const double shares[] = {1 - share, share};
    const es_data_rows *all = l->rows;
    es_data_rows parts[ES_DATA_PARTS_MAX];
    size_t count = all != NULL ? all->count : l->set.count;
    uint32_t *labels = ES_TAKE_ARRAY(l->arena, uint32_t, count);
    if (labels == NULL)
        return es_arena_full(l->arena, "rows", err);
    for (size_t i = 0; i < count; i++)
        labels[i] = l->set.labels[all != NULL ? all->items[i] : i];
    ES_TRY(es_within(err,
                     es_data_split(l->arena, labels, count, shares, 2, l->job->seed, parts, err),
                     "tune=%g", share));
    t->set = l->set;
    ES_TRY(copy_rows(l->arena, all, &parts[1], &t->rows, err));
    return copy_rows(l->arena, all, &parts[0], &l->rows, err);
}

/* As the learner's samples are made from the job's. */
static es_status take_given(const es_learner *l, const es_nn *nn, es_tune *t, es_error *err)
{
    es_learner other = *l;
    other.opts.held = 0;
    ES_TRY(es_within(err, es_learner_data(&other, &l->job->tune, nn, err), "samples to tune on"));
    t->set = other.set;
    t->rows = other.rows;
    t->given = true;
    return ES_OK;
}

es_status es_tune_open(es_learner *learner, es_nn *nn, double share, es_tune *out_tune,
                       es_error *err)
{
    es_tune t = {.given = learner->job->tune.dataset != NULL};
    const es_dataset *set = t.given ? learner->job->tune.dataset : &learner->set;
    if (set->labels == NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' has no labels to choose thresholds by", set->name);
    ES_TRY(t.given ? take_given(learner, nn, &t, err) : take_part(learner, share, &t, err));
    t.count = t.rows != NULL ? t.rows->count : t.set.count;
    uint32_t *labels = ES_TAKE_ARRAY(learner->arena, uint32_t, t.count);
    if (labels == NULL)
        return es_arena_full(learner->arena, "labels", err);
    for (size_t i = 0; i < t.count; i++)
        labels[i] = t.set.labels[t.rows != NULL ? t.rows->items[i] : i];
    t.labels = labels;
    es_arena_reset(learner->scratch);
    ES_TRY(es_learner_accuracy(learner, nn, &t.set, t.rows, 0, &t.reference, err));
    *out_tune = t;
    return ES_OK;
}

es_status es_tune_scores(es_learner *learner, const es_tune *tune, es_nn *nn,
                         float *scores[ES_NN_OUTPUTS_MAX], double accuracy[ES_NN_OUTPUTS_MAX],
                         es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_evaluation found;
    opts.batch = (size_t)learner->opts.batch;
    opts.thread_count = (uint32_t)learner->opts.threads;
    opts.gradients = false;
    ES_TRY(es_train_engine_new(nn, opts, &engine, err));
    for (size_t k = 0; k < nn->output_count; k++) {
        bool wanted = es_learn_is_scores(engine, k);
        size_t size = es_train_output_shape(engine, k).count;
        scores[k] = wanted ? ES_TAKE_ARRAY(learner->arena, float, tune->count *size) : NULL;
        if (wanted && scores[k] == NULL)
            return es_arena_full(learner->arena, "scores", err);
    }
    ES_TRY(es_train_evaluate(engine, &tune->set, tune->rows, ES_FIT_CROSS_ENTROPY, &found, scores,
                             err));
    memcpy(accuracy, found.accuracy, sizeof found.accuracy);
    return ES_OK;
}

/* ---- temperatures ---- */

static size_t use_count(const es_nn *nn, es_nn_id id)
{
    size_t uses = 0;
    for (size_t i = 0; i < nn->layers.count; i++)
        for (size_t k = 0; k < nn->layers.items[i].input_count; k++)
            uses += nn->layers.items[i].inputs[k].index == id.index;
    for (size_t i = 0; i < nn->output_count; i++)
        uses += nn->outputs[i].layer.index == id.index;
    return uses;
}

static void scale_values(es_nn_param *param, double factor)
{
    for (size_t i = 0; param != NULL && i < param->count; i++)
        param->values[i] = (float)((double)param->values[i] * factor);
}

/* Within a dense layer that nothing else uses; else by a factor behind the layer. */
es_status es_output_temper(es_nn *nn, size_t output, double temperature, es_error *err)
{
    es_nn_id at = nn->outputs[output].layer;
    es_nn_id softmax = ES_NN_NONE;
    if (nn->layers.items[at.index].kind == ES_NN_SOFTMAX) {
        softmax = at;
        at = nn->layers.items[at.index].inputs[0];
    }
    es_nn_layer *layer = &nn->layers.items[at.index];
    if (layer->kind == ES_NN_DENSE && use_count(nn, at) == 1) {
        scale_values(es_nn_param_of(layer, ES_NN_WEIGHT), 1 / temperature);
        scale_values(es_nn_param_of(layer, ES_NN_BIAS), 1 / temperature);
        return ES_OK;
    }
    es_nn_layer scale = {.kind = ES_NN_SCALE, .input_count = 1, .inputs = {at}};
    es_nn_id scaled = ES_NN_NONE;
    ES_TRY(es_nn_add(nn, &scale, 0, false, &scaled, err));
    scale_values(es_nn_param_of(&nn->layers.items[scaled.index], ES_NN_FACTOR), 1 / temperature);
    if (es_nn_is(softmax))
        nn->layers.items[softmax.index].inputs[0] = scaled;
    else
        nn->outputs[output].layer = scaled;
    return es_nn_seal(nn, err);
}
