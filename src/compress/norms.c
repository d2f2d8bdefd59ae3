/*
 * Batch norms: put in where they were folded away, and their statistics measured again.
 */
#include "compress/learn.h"

#include <math.h>

enum { NORM_SAMPLES = 1024 };

es_status es_norms_measure(es_learner *learner, es_train_engine *engine, size_t limit,
                           es_error *err)
{
    es_data_batches batches;
    size_t batch = (size_t)learner->opts.batch;
    ES_TRY(es_learner_batches(learner, &batches, err));
    return es_train_statistics_reset(engine, &batches, (limit + batch - 1) / batch, err);
}

/* ---- putting in ---- */

static bool wants_norm(const es_nn *nn, uint32_t i)
{
    const es_nn_layer *layer = &nn->layers.items[i];
    if (layer->kind != ES_NN_CONV && layer->kind != ES_NN_DENSE)
        return false;
    for (size_t k = 0; k < nn->output_count; k++)
        if (nn->outputs[k].layer.index == i)
            return false;
    for (size_t k = i + 1; k < nn->layers.count; k++) {
        const es_nn_layer *user = &nn->layers.items[k];
        if (user->input_count > 0 && user->inputs[0].index == i &&
            (user->kind == ES_NN_BATCH_NORM || user->kind == ES_NN_SOFTMAX))
            return false;
    }
    return true;
}

static es_status put_behind(es_nn *nn, uint32_t i, const char **out_name, es_error *err)
{
    es_nn_id id = ES_NN_NONE;
    es_nn_layer layer = {.kind = ES_NN_BATCH_NORM, .input_count = 1, .inputs = {{i}}};
    layer.name = es_arena_format(nn->arena, "%s-norm", nn->layers.items[i].name);
    if (layer.name == NULL)
        return es_arena_full(nn->arena, "batch norm", err);
    *out_name = layer.name;
    ES_TRY(es_nn_add(nn, &layer, 0, false, &id, err));
    return es_nn_replace(nn, (es_nn_id){i}, id, err);
}

/* Measures what comes into one norm, and sets it to give that back. */
static es_status settle(es_learner *l, es_nn *nn, size_t i, es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_nn_layer *norm = &nn->layers.items[i];
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = (size_t)l->opts.batch;
    opts.thread_count = (uint32_t)l->opts.threads;
    norm->frozen = false;
    ES_TRY(es_train_engine_new(nn, opts, &engine, err));
    ES_TRY(es_norms_measure(l, engine, NORM_SAMPLES, err));
    const es_nn_param *mean = es_nn_param_of(norm, ES_NN_MEAN);
    const es_nn_param *variance = es_nn_param_of(norm, ES_NN_VARIANCE);
    for (size_t c = 0; c < mean->count; c++) {
        es_nn_param_of(norm, ES_NN_GAMMA)->values[c] =
            (float)sqrt((double)variance->values[c] + norm->epsilon);
        es_nn_param_of(norm, ES_NN_BETA)->values[c] = mean->values[c];
    }
    norm->frozen = true;
    return ES_OK;
}

/* All other norms use their running statistics meanwhile, so that every norm sees what it will. */
static es_status settle_all(es_learner *l, es_nn *nn, const char *const *names, size_t count,
                            es_error *err)
{
    bool *frozen = ES_TAKE_ARRAY(l->arena, bool, nn->layers.count);
    if (frozen == NULL)
        return es_arena_full(l->arena, "batch norms", err);
    for (size_t i = 0; i < nn->layers.count; i++) {
        frozen[i] = nn->layers.items[i].frozen;
        nn->layers.items[i].frozen = nn->layers.items[i].kind == ES_NN_BATCH_NORM || frozen[i];
    }
    for (size_t k = 0; k < count; k++) {
        size_t i = es_nn_find(nn, names[k]).index;
        frozen[i] = false;
        ES_TRY(settle(l, nn, i, err));
        es_job_progress(l->job, "batch norms", (double)(k + 1) / (double)count);
        ES_TRY(es_job_go_on(l->job, err));
    }
    for (size_t i = 0; i < nn->layers.count; i++)
        nn->layers.items[i].frozen = frozen[i];
    return ES_OK;
}

es_status es_norms_add(es_learner *learner, es_nn *nn, size_t *out_count, es_error *err)
{
    uint32_t before = (uint32_t)nn->layers.count;
    size_t added = 0;
    const char **names = ES_TAKE_ARRAY(learner->arena, const char *, before);
    if (names == NULL)
        return es_arena_full(learner->arena, "batch norms", err);
    for (uint32_t i = 0; i < before; i++) {
        if (wants_norm(nn, i))
            ES_TRY(put_behind(nn, i, &names[added++], err));
    }
    *out_count = added;
    if (added == 0)
        return ES_OK;
    ES_TRY(es_nn_seal(nn, err));
    return settle_all(learner, nn, names, added, err);
}
