/* Engines: what both backends share, and the plain one's side of it. */
#include "train/internal.h"

#include <assert.h>
#include <unistd.h>

const char *const es_train_backend_names[ES_TRAIN_BACKEND_COUNT] = {
    [ES_TRAIN_AUTO] = "auto", [ES_TRAIN_PLAIN] = "plain", [ES_TRAIN_ONEDNN] = "onednn"};

es_train_engine_opts es_train_engine_opts_default(void)
{
    return (es_train_engine_opts){
        .batch = 32, .gradients = true, .logits = true, .seed = 1, .cap_bytes = (size_t)4 << 30};
}

/* ---- the plain backend behind an engine ---- */

static es_status plain_make(es_train_engine *engine, es_error *err)
{
    es_plain *plain = NULL;
    ES_TRY(es_plain_new(engine->arena, engine->nn, &engine->graph, engine->opts.batch,
                        engine->opts.gradients, engine->opts.thread_count, &plain, err));
    engine->backend = plain;
    return ES_OK;
}

static es_status plain_forward(es_train_engine *engine, const float *x, size_t samples,
                               es_error *err)
{
    (void)err; /* cannot fail */
    es_plain_forward(engine->backend, (es_plain_run){.x = x,
                                                     .samples = samples,
                                                     .training = engine->training,
                                                     .dropout = engine->dropout,
                                                     .seed = engine->opts.seed,
                                                     .step = engine->step});
    for (size_t k = 0; k < engine->graph.output_count; k++)
        engine->outputs[k] = es_plain_output(engine->backend, k);
    return ES_OK;
}

static es_status plain_backward(es_train_engine *engine, const float *const *gradients,
                                es_error *err)
{
    (void)err; /* cannot fail */
    es_plain_backward(engine->backend, gradients);
    for (size_t i = 0; i < engine->params.count; i++) {
        es_train_param *param = &engine->params.items[i];
        const float *now = es_plain_gradient(engine->backend, param->layer, param->param);
        for (size_t k = 0; k < param->count; k++)
            param->gradient[k] = now[k];
    }
    return ES_OK;
}

const es_train_backend_ops es_train_plain_ops = {
    .make = plain_make, .forward = plain_forward, .backward = plain_backward};

/* ---- life ---- */

static es_status list_params(es_train_engine *engine, es_error *err)
{
    es_train_params *all = &engine->params;
    const es_nn *nn = engine->nn;
    size_t count = 0;
    for (size_t i = 0; i < nn->layers.count; i++)
        count += nn->layers.items[i].param_count;
    all->items = ES_TAKE_ARRAY(engine->arena, es_train_param, count);
    if (all->items == NULL)
        return es_arena_full(engine->arena, "parameters", err);
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        for (size_t p = 0; engine->graph.trained[i] && p < layer->param_count; p++) {
            if (!es_train_role_trained(layer->params[p].role))
                continue;
            all->items[all->count++] = (es_train_param){.layer = {(uint32_t)i},
                                                        .role = layer->params[p].role,
                                                        .param = p,
                                                        .count = layer->params[p].count,
                                                        .values = layer->params[p].values};
            all->total += layer->params[p].count;
        }
    }
    engine->gradients = ES_TAKE_ARRAY(engine->arena, float, all->total);
    engine->before = ES_TAKE_ARRAY(engine->arena, float, all->total);
    if (engine->gradients == NULL || engine->before == NULL)
        return es_arena_full(engine->arena, "gradients", err);
    float *at = engine->gradients;
    for (size_t i = 0; i < all->count; at += all->items[i++].count)
        all->items[i].gradient = at;
    return ES_OK;
}

static es_status choose(es_train_engine *engine, es_error *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (engine->opts.thread_count == 0)
        engine->opts.thread_count = cores > 0 ? (uint32_t)cores : 1;
    if (engine->opts.backend == ES_TRAIN_PLAIN) {
        engine->ops = &es_train_plain_ops;
        return engine->ops->make(engine, err);
    }
    es_error why = {0};
    engine->ops = &es_train_onednn_ops;
    es_status status = es_train_onednn_ops.make(engine, &why);
    if (status == ES_ERR_UNAVAILABLE && engine->opts.backend == ES_TRAIN_AUTO) {
        engine->ops = &es_train_plain_ops;
        return engine->ops->make(engine, err);
    }
    return status == ES_OK ? ES_OK : es_fail(err, status, "%s", es_error_text(&why));
}

static es_status start(es_train_engine *engine, es_error *err)
{
    const es_nn *nn = engine->nn;
    if (engine->opts.batch < 1)
        return es_fail(err, ES_ERR_ARG, "batch=0 must be >= 1");
    for (size_t i = 1; i < nn->layers.count; i++)
        if (nn->layers.items[i].kind >= ES_NN_KIND_COUNT ||
            es_plain_kind_of(nn->layers.items[i].kind) == NULL)
            return es_fail(err, ES_ERR_UNSUPPORTED, "layer '%s': %s cannot be trained",
                           nn->layers.items[i].name, es_nn_kind_name(nn->layers.items[i].kind));
    ES_TRY(es_train_graph_make(engine->arena, nn, engine->opts.logits, &engine->graph, err));
    ES_TRY(list_params(engine, err));
    for (size_t k = 0; k < nn->output_count; k++)
        engine->output_shapes[k] = nn->layers.items[engine->graph.outputs[k].index].shape;
    return choose(engine, err);
}

es_status es_train_engine_new(es_nn *nn, es_train_engine_opts opts, es_train_engine **out_engine,
                              es_error *err)
{
    es_arena *arena = es_arena_new(opts.cap_bytes);
    es_train_engine *engine = arena != NULL ? ES_TAKE_ONE(arena, es_train_engine) : NULL;
    if (engine == NULL) {
        es_arena_free(arena);
        return es_fail(err, ES_ERR_NOMEM, "no memory for an engine");
    }
    *engine = (es_train_engine){.arena = arena, .nn = nn, .opts = opts};
    es_status status = start(engine, err);
    if (status != ES_OK) {
        es_train_engine_free(engine);
        return status;
    }
    *out_engine = engine;
    return ES_OK;
}

void es_train_engine_free(es_train_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->ops != NULL && engine->ops->free != NULL && engine->backend != NULL)
        engine->ops->free(engine->backend);
    es_arena_free(engine->arena);
}

void es_train_engine_free_p(es_train_engine **engine)
{
    es_train_engine_free(*engine);
}

/* ---- passes ---- */

es_status es_train_forward(es_train_engine *engine, const float *x, size_t samples,
                           es_train_pass pass, es_error *err)
{
    if (samples < 1 || samples > engine->opts.batch)
        return es_fail(err, ES_ERR_ARG, "%zu samples in a pass, must be 1 to %zu", samples,
                       engine->opts.batch);
    engine->samples = 0;
    engine->training = pass != ES_TRAIN_INFER;
    engine->dropout = pass == ES_TRAIN_LEARN;
    ES_TRY(engine->ops->forward(engine, x, samples, err));
    engine->samples = samples;
    engine->step += pass == ES_TRAIN_LEARN;
    return ES_OK;
}

es_status es_train_backward(es_train_engine *engine, const float *const *gradients, bool add,
                            es_error *err)
{
    assert(engine->opts.gradients);
    assert(engine->samples > 0);
    assert(engine->training);
    engine->samples = 0;
    size_t size = engine->params.total;
    if (add)
        memcpy(engine->before, engine->gradients, size * sizeof(float));
    ES_TRY(engine->ops->backward(engine, gradients, err));
    for (size_t i = 0; add && i < size; i++)
        engine->gradients[i] += engine->before[i];
    return ES_OK;
}

/* ---- looking ---- */

float *es_train_engine_slot(const es_train_engine *engine, es_nn_id layer, size_t param)
{
    for (size_t i = 0; i < engine->params.count; i++)
        if (engine->params.items[i].layer.index == layer.index &&
            engine->params.items[i].param == param)
            return engine->params.items[i].gradient;
    return NULL;
}

es_train_backend es_train_engine_backend(const es_train_engine *engine)
{
    return engine->ops == &es_train_plain_ops ? ES_TRAIN_PLAIN : ES_TRAIN_ONEDNN;
}

uint32_t es_train_engine_thread_count(const es_train_engine *engine)
{
    return engine->opts.thread_count;
}

es_nn *es_train_engine_nn(const es_train_engine *engine)
{
    return engine->nn;
}

const float *es_train_output(const es_train_engine *engine, size_t output)
{
    return engine->outputs[output];
}

es_nn_shape es_train_output_shape(const es_train_engine *engine, size_t output)
{
    return engine->output_shapes[output];
}

const es_train_params *es_train_engine_params(const es_train_engine *engine)
{
    return &engine->params;
}

uint64_t es_train_engine_step(const es_train_engine *engine)
{
    return engine->step;
}

void es_train_engine_step_set(es_train_engine *engine, uint64_t step)
{
    engine->step = step;
}
