/* The backend on oneDNN: a plan per number of samples and kind of pass, made when first needed. */
#include "train/onednn.h"

#include <assert.h>

enum { PLANS_MAX = 6 }; /* whole and last batch, learning and inferring, and two more */

typedef struct backend {
    es_onednn_library lib;
    es_onednn_plan *plans[PLANS_MAX]; /* the latest first */
} backend;

size_t es_onednn_used_bytes(const es_train_engine *engine)
{
    const backend *own = engine->backend;
    size_t used = es_arena_used_bytes(engine->arena);
    for (size_t i = 0; i < PLANS_MAX; i++)
        if (own->plans[i] != NULL)
            used += own->plans[i]->pool_size + own->plans[i]->scratch_size +
                    es_arena_used_bytes(own->plans[i]->arena);
    return used;
}

/* ---- what layers ask ---- */

bool es_onednn_wants(const es_onednn_plan *plan, size_t layer, size_t k)
{
    return plan->engine->graph.wanted[es_onednn_nn_layer(plan, layer)->inputs[k].index];
}

es_status es_onednn_give(es_onednn_plan *plan, size_t layer, size_t k, es_view *gradient,
                         es_error *err)
{
    return ES_ARRAY_PUSH(plan->arena, &es_onednn_input(plan, layer, k)->parts, gradient,
                         "gradients", err);
}

static const es_onednn_kind *kind_of(es_nn_kind kind)
{
    static const es_onednn_kind *const kinds[ES_NN_KIND_COUNT] = {
        [ES_NN_CONV] = &es_onednn_conv,
        [ES_NN_DENSE] = &es_onednn_dense,
        [ES_NN_BATCH_NORM] = &es_onednn_batch_norm,
        [ES_NN_RELU] = &es_onednn_element,
        [ES_NN_RELU6] = &es_onednn_element,
        [ES_NN_HARD_SWISH] = &es_onednn_element,
        [ES_NN_SIGMOID] = &es_onednn_element,
        [ES_NN_TANH] = &es_onednn_element,
        [ES_NN_MAX_POOL] = &es_onednn_pool,
        [ES_NN_AVERAGE_POOL] = &es_onednn_pool,
        [ES_NN_GLOBAL_POOL] = &es_onednn_global_pool,
        [ES_NN_ADD] = &es_onednn_add,
        [ES_NN_CONCAT] = &es_onednn_concat,
        [ES_NN_FLATTEN] = &es_onednn_flatten,
        [ES_NN_DROPOUT] = &es_onednn_dropout,
        [ES_NN_GRU] = &es_onednn_gru,
    };
    return kinds[kind] != NULL ? kinds[kind] : &es_onednn_plain;
}

/* Its way back looks at what it gave. */
static bool reads_own_value(const es_onednn_plan *plan, size_t layer)
{
    const es_onednn_kind *kind = kind_of(es_onednn_nn_layer(plan, layer)->kind);
    size_t by = plan->layers[layer].fused_by;
    if (by > 0)
        return es_onednn_nn_layer(plan, by)->kind != ES_NN_BATCH_NORM;
    return kind == &es_onednn_element || kind == &es_onednn_plain;
}

bool es_onednn_may_overwrite(const es_onednn_plan *plan, size_t layer)
{
    size_t input = es_onednn_nn_layer(plan, layer)->inputs[0].index;
    const es_nn_kind kind = es_onednn_nn_layer(plan, input)->kind;
    if (kind == ES_NN_INPUT || kind == ES_NN_FLATTEN || kind == ES_NN_DROPOUT)
        return false; /* someone else's memory */
    return plan->engine->graph.uses[input] == 1 && !(plan->back && reads_own_value(plan, input));
}

es_status es_onednn_param(es_onednn_plan *plan, size_t layer, es_nn_role role,
                          const dnnl_memory_desc_t *desc, es_view **out_view, es_error *err)
{
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    size_t param = es_train_param_index(nn, role);
    assert(param < ES_NN_PARAMS_MAX);
    return es_onednn_view_outside(plan, desc, nn->params[param].values, out_view, err);
}

es_status es_onednn_param_gradient(es_onednn_plan *plan, size_t layer, es_nn_role role,
                                   const dnnl_memory_desc_t *desc, es_view **out_view,
                                   es_error *err)
{
    size_t param = es_train_param_index(es_onednn_nn_layer(plan, layer), role);
    float *slot = es_train_engine_slot(plan->engine, (es_nn_id){(uint32_t)layer}, param);
    assert(slot != NULL);
    return es_onednn_view_outside(plan, desc, slot, out_view, err);
}

/* ---- building ---- */

static size_t only_user(const es_onednn_plan *plan, size_t layer)
{
    const es_nn *nn = plan->engine->nn;
    if (plan->engine->graph.uses[layer] != 1)
        return 0;
    for (size_t i = layer + 1; i < nn->layers.count; i++)
        for (size_t k = 0; plan->engine->graph.needed[i] && k < nn->layers.items[i].input_count;
             k++)
            if (nn->layers.items[i].inputs[k].index == layer)
                return i;
    return 0; /* an output */
}

/* The activation that can be done with the layer: told by its result where a way back follows. */
static void find_fused(es_onednn_plan *plan, size_t layer)
{
    es_nn_kind kind = es_onednn_nn_layer(plan, layer)->kind;
    size_t user = only_user(plan, layer);
    es_onednn_activation act;
    if (user == 0 || (kind != ES_NN_CONV && kind != ES_NN_DENSE && kind != ES_NN_BATCH_NORM))
        return;
    es_nn_kind behind = es_onednn_nn_layer(plan, user)->kind;
    bool can = es_onednn_activation_of(behind, &act) && !(plan->back && act.by_source);
    if (kind == ES_NN_BATCH_NORM ? behind == ES_NN_RELU : can) {
        plan->layers[layer].fused = user;
        plan->layers[user].fused_by = layer;
    }
}

static es_status build_forward(es_onednn_plan *plan, es_error *err)
{
    const es_train_graph *graph = &plan->engine->graph;
    dnnl_memory_desc_t in = es_onednn_value_desc(plan, es_onednn_nn_layer(plan, 0)->shape, false);
    ES_TRY(es_onednn_view_outside(plan, &in, NULL, &plan->x, err));
    plan->x->of_x = true;
    ES_TRY(ES_ARRAY_PUSH(plan->arena, &plan->x_views, plan->x, "views", err));
    plan->layers[0].value = plan->x;
    for (size_t i = 1; i < graph->layer_count; i++)
        if (graph->needed[i])
            find_fused(plan, i);
    for (size_t i = 1; i < graph->layer_count; i++) {
        if (!graph->needed[i])
            continue;
        if (plan->layers[i].fused_by > 0)
            plan->layers[i].value = plan->layers[plan->layers[i].fused_by].value;
        else
            ES_TRY(kind_of(es_onednn_nn_layer(plan, i)->kind)->forward(plan, i, err));
    }
    for (size_t k = 0; k < graph->output_count; k++) {
        size_t layer = graph->outputs[k].index;
        ES_TRY(es_onednn_as_plain(plan, layer, plan->layers[layer].value, &plan->outputs[k], err));
    }
    plan->forward_count = plan->steps.count;
    return ES_OK;
}

/* The sum of what the users of a layer gave. */
static es_status gather(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *sum = at->parts.items[0];
    if (at->parts.count > 1)
        ES_TRY(es_onednn_as(plan, layer, sum, &at->value->desc, &sum, err));
    bool over = !sum->shared;
    for (size_t i = 1; i < at->parts.count; i++, over = true)
        ES_TRY(es_onednn_sum(plan, layer, sum, at->parts.items[i], over, &sum, err));
    at->gradient = sum;
    return ES_OK;
}

static es_status build_backward(es_onednn_plan *plan, es_error *err)
{
    const es_train_graph *graph = &plan->engine->graph;
    for (size_t k = 0; k < graph->output_count; k++) {
        es_onednn_layer *at = &plan->layers[graph->outputs[k].index];
        if (!graph->wanted[graph->outputs[k].index])
            continue;
        ES_TRY(es_onednn_view_new(plan, &plan->outputs[k]->desc, &plan->output_gradients[k], err));
        es_view *const one[] = {plan->output_gradients[k]};
        ES_TRY(es_onednn_call_add(plan, k, NULL, one, 1, err));
        ES_TRY(ES_ARRAY_PUSH(plan->arena, &at->parts, plan->output_gradients[k], "gradients", err));
    }
    for (size_t i = graph->layer_count; i-- > 1;) {
        if (!graph->wanted[i])
            continue;
        ES_TRY(gather(plan, i, err));
        ES_TRY(kind_of(es_onednn_nn_layer(plan, i)->kind)->backward(plan, i, err));
    }
    return ES_OK;
}

/* ---- life of a plan ---- */

static void plan_free(es_onednn_plan *plan)
{
    if (plan == NULL)
        return;
    const es_onednn_library *lib = plan->lib;
    /* destroying fails only for NULL handles */
    for (size_t i = 0; i < plan->steps.count; i++)
        if (plan->steps.items[i].primitive != NULL)
            (void)lib->primitive_destroy(plan->steps.items[i].primitive);
    for (size_t i = 0; i < plan->views.count; i++)
        if (plan->views.items[i]->memory != NULL)
            (void)lib->memory_destroy(plan->views.items[i]->memory);
    for (size_t i = 0; i < plan->scratch_memories.count; i++)
        (void)lib->memory_destroy(plan->scratch_memories.items[i]);
    for (size_t i = 0; plan->layers != NULL && i < plan->engine->graph.layer_count; i++)
        if (plan->layers[i].hint != NULL)
            (void)lib->primitive_desc_destroy(plan->layers[i].hint);
    if (plan->attr != NULL)
        (void)lib->primitive_attr_destroy(plan->attr);
    if (plan->stream != NULL)
        (void)lib->stream_destroy(plan->stream);
    if (plan->dnnl != NULL)
        (void)lib->engine_destroy(plan->dnnl);
    free(plan->pool);
    es_arena_free(plan->arena);
}

static es_status plan_build(es_onednn_plan *plan, es_error *err)
{
    const es_onednn_library *lib = plan->lib;
    plan->layers = ES_TAKE_ARRAY(plan->arena, es_onednn_layer, plan->engine->graph.layer_count);
    if (plan->layers == NULL)
        return es_arena_full(plan->arena, "plan", err);
    ES_TRY(es_onednn_check(plan, 0, lib->engine_create(&plan->dnnl, dnnl_cpu, 0), err));
    ES_TRY(es_onednn_check(
        plan, 0, lib->stream_create(&plan->stream, plan->dnnl, dnnl_stream_default_flags), err));
    ES_TRY(es_onednn_check(plan, 0, lib->primitive_attr_create(&plan->attr), err));
    ES_TRY(es_onednn_check(
        plan, 0, lib->primitive_attr_set_scratchpad_mode(plan->attr, dnnl_scratchpad_mode_user),
        err));
    ES_TRY(build_forward(plan, err));
    if (plan->back)
        ES_TRY(build_backward(plan, err));
    for (size_t k = 0; k < plan->engine->graph.output_count; k++)
        es_onednn_keep(plan, plan->outputs[k]);
    return es_onednn_settle(plan, err);
}

static es_status plan_new(es_train_engine *engine, size_t samples, bool learn,
                          es_onednn_plan **out_plan, es_error *err)
{
    backend *own = engine->backend;
    es_arena *arena = es_arena_new(engine->opts.cap_bytes);
    es_onednn_plan *plan = arena != NULL ? ES_TAKE_ONE(arena, es_onednn_plan) : NULL;
    if (plan == NULL) {
        es_arena_free(arena);
        return es_fail(err, ES_ERR_NOMEM, "no memory for a plan");
    }
    *plan = (es_onednn_plan){.engine = engine,
                             .lib = &own->lib,
                             .arena = arena,
                             .samples = samples,
                             .learn = learn,
                             .back = engine->opts.gradients && learn};
    es_status status = plan_build(plan, err);
    if (status != ES_OK) {
        plan_free(plan);
        return status;
    }
    *out_plan = plan;
    return ES_OK;
}

/* The plan of that kind, now the latest; the oldest goes when there are too many. */
static es_status plan_find(es_train_engine *engine, size_t samples, bool learn,
                           es_onednn_plan **out_plan, es_error *err)
{
    backend *own = engine->backend;
    es_onednn_plan *found = NULL;
    size_t at = 0;
    while (at < PLANS_MAX && own->plans[at] != NULL &&
           (own->plans[at]->samples != samples || own->plans[at]->learn != learn))
        at++;
    if (at < PLANS_MAX && own->plans[at] != NULL) {
        found = own->plans[at];
    } else {
        ES_TRY(plan_new(engine, samples, learn, &found, err));
        at = at < PLANS_MAX ? at : PLANS_MAX - 1;
        plan_free(own->plans[at]);
    }
    memmove(own->plans + 1, own->plans, at * sizeof own->plans[0]);
    own->plans[0] = found;
    *out_plan = found;
    return ES_OK;
}

/* ---- the backend ---- */

static void finish(void *state)
{
    backend *own = state;
    for (size_t i = 0; i < PLANS_MAX; i++)
        plan_free(own->plans[i]);
}

static es_status make(es_train_engine *engine, es_error *err)
{
    backend *own = ES_TAKE_ONE(engine->arena, backend);
    es_onednn_plan *plan = NULL;
    if (own == NULL)
        return es_arena_full(engine->arena, "backend", err);
    ES_TRY(es_onednn_load(&own->lib, err));
    if (own->lib.spins)
        engine->opts.thread_count = 1;
    engine->backend = own;
    own->lib.omp_set_num_threads((int)engine->opts.thread_count);
    return plan_find(engine, engine->opts.batch, engine->opts.gradients, &plan, err);
}

static es_status forward(es_train_engine *engine, const float *x, size_t samples, es_error *err)
{
    backend *own = engine->backend;
    es_onednn_plan *plan = NULL;
    own->lib.omp_set_num_threads((int)engine->opts.thread_count);
    ES_TRY(plan_find(engine, samples, engine->training, &plan, err));
    assert(plan != NULL);
    union { /* oneDNN takes no const, and does not write here */
        const float *given;
        void *taken;
    } in = {.given = x};
    for (size_t i = 0; i < plan->x_views.count; i++) {
        es_view *view = plan->x_views.items[i];
        view->data = in.taken;
        ES_TRY(
            es_onednn_check(plan, 0, own->lib.memory_set_data_handle(view->memory, in.taken), err));
    }
    ES_TRY(es_onednn_run(plan, 0, plan->forward_count, err));
    for (size_t k = 0; k < engine->graph.output_count; k++)
        engine->outputs[k] = plan->outputs[k]->data;
    return ES_OK;
}

static es_status backward(es_train_engine *engine, const float *const *gradients, es_error *err)
{
    backend *own = engine->backend;
    es_onednn_plan *plan = own->plans[0];
    assert(plan->back);
    own->lib.omp_set_num_threads((int)engine->opts.thread_count);
    for (size_t k = 0; k < engine->graph.output_count; k++) {
        if (plan->output_gradients[k] == NULL)
            continue;
        size_t size = plan->samples * engine->output_shapes[k].count * sizeof(float);
        if (gradients[k] != NULL)
            memcpy(plan->output_gradients[k]->data, gradients[k], size);
        else
            memset(plan->output_gradients[k]->data, 0, size);
    }
    return es_onednn_run(plan, plan->forward_count, plan->steps.count, err);
}

const es_train_backend_ops es_train_onednn_ops = {
    .make = make, .forward = forward, .backward = backward, .free = finish};
