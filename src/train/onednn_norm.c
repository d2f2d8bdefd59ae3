/* Batch norms, with a ReLU behind them done in the same primitive. */
#include "train/onednn.h"

static bool by_batch(const es_onednn_plan *plan, size_t layer)
{
    return plan->learn && !es_onednn_nn_layer(plan, layer)->frozen;
}

static unsigned flags_of(const es_onednn_plan *plan, size_t layer)
{
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    if (!by_batch(plan, layer))
        flags |= dnnl_use_global_stats;
    if (plan->layers[layer].fused > 0)
        flags |= dnnl_fuse_norm_relu;
    return flags;
}

static void move_statistics(es_onednn_plan *plan, size_t layer)
{
    es_train_statistics(&plan->engine->nn->layers.items[layer], plan->layers[layer].mean->data,
                        plan->layers[layer].variance->data);
}

static es_status take_statistics(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_memory_desc_t vector =
        es_onednn_vector_desc(plan, es_shape_channels(es_onednn_nn_layer(plan, layer)->shape));
    if (by_batch(plan, layer)) {
        ES_TRY(es_onednn_view_new(plan, &vector, &at->mean, err));
        return es_onednn_view_new(plan, &vector, &at->variance, err);
    }
    ES_TRY(es_onednn_param(plan, layer, ES_NN_MEAN, &vector, &at->mean, err));
    return es_onednn_param(plan, layer, ES_NN_VARIANCE, &vector, &at->variance, err);
}

static es_status add_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    dnnl_memory_desc_t vector = es_onednn_vector_desc(plan, es_shape_channels(nn->shape));
    size_t count = 6;
    ES_TRY(take_statistics(plan, layer, err));
    ES_TRY(es_onednn_param(plan, layer, ES_NN_GAMMA, &vector, &at->scale, err));
    ES_TRY(es_onednn_param(plan, layer, ES_NN_BETA, &vector, &at->shift, err));
    ES_TRY(es_onednn_view_new(plan, &at->source->desc, &at->value, err));
    es_onednn_arg args[7] = {{DNNL_ARG_SRC, at->source},  {DNNL_ARG_DST, at->value},
                             {DNNL_ARG_SCALE, at->scale}, {DNNL_ARG_SHIFT, at->shift},
                             {DNNL_ARG_MEAN, at->mean},   {DNNL_ARG_VARIANCE, at->variance}};
    if (at->fused > 0 && plan->learn) { /* even when no way back follows */
        ES_TRY(es_onednn_view_new(plan, es_onednn_query(plan, at->hint, dnnl_query_workspace_md),
                                  &at->saved, err));
        args[count++] = (es_onednn_arg){DNNL_ARG_WORKSPACE, at->saved};
    }
    ES_TRY(es_onednn_step_add(plan, layer, at->hint, args, count, err));
    es_view *const both[] = {at->mean, at->variance};
    return by_batch(plan, layer) ? es_onednn_call_add(plan, layer, move_statistics, both, 2, err)
                                 : ES_OK;
}

static es_status forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_batch_normalization_desc_t op;
    dnnl_prop_kind_t prop = plan->learn ? dnnl_forward_training : dnnl_forward_inference;
    at->source = es_onednn_input(plan, layer, 0)->value;
    ES_TRY(
        es_onednn_check(plan, layer,
                        plan->lib->batch_normalization_forward_desc_init(
                            &op, prop, &at->source->desc,
                            (float)es_onednn_nn_layer(plan, layer)->epsilon, flags_of(plan, layer)),
                        err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, NULL, &at->hint, err));
    return add_forward(plan, layer, err);
}

/* Where the gradients of scale and shift go; of a frozen norm nowhere, but oneDNN has no way back
 * with scale and shift that leaves them out. */
static es_status take_gradients(es_onednn_plan *plan, size_t layer,
                                const dnnl_memory_desc_t *vector, es_view **out_scale,
                                es_view **out_shift, es_error *err)
{
    if (!plan->engine->graph.trained[layer]) {
        ES_TRY(es_onednn_view_new(plan, vector, out_scale, err));
        return es_onednn_view_new(plan, vector, out_shift, err);
    }
    ES_TRY(es_onednn_param_gradient(plan, layer, ES_NN_GAMMA, vector, out_scale, err));
    return es_onednn_param_gradient(plan, layer, ES_NN_BETA, vector, out_shift, err);
}

static es_status add_backward(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                              es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_memory_desc_t vector =
        es_onednn_vector_desc(plan, es_shape_channels(es_onednn_nn_layer(plan, layer)->shape));
    es_view *gradient = NULL;
    es_view *source = NULL;
    es_view *scale_gradient = NULL;
    es_view *shift_gradient = NULL;
    ES_TRY(es_onednn_as(plan, layer, at->gradient, &at->source->desc, &gradient, err));
    if (gradient->shared)
        ES_TRY(es_onednn_view_new(plan, &gradient->desc, &source, err));
    else
        ES_TRY(es_onednn_view_over(plan, &gradient->desc, gradient, &source, err));
    ES_TRY(take_gradients(plan, layer, &vector, &scale_gradient, &shift_gradient, err));
    const es_onednn_arg args[] = {
        {DNNL_ARG_SRC, at->source},
        {DNNL_ARG_DIFF_DST, gradient},
        {DNNL_ARG_MEAN, at->mean},
        {DNNL_ARG_VARIANCE, at->variance},
        {DNNL_ARG_SCALE, at->scale},
        {DNNL_ARG_SHIFT, at->shift},
        {DNNL_ARG_DIFF_SRC, source},
        {DNNL_ARG_DIFF_SCALE, scale_gradient},
        {DNNL_ARG_DIFF_SHIFT, shift_gradient},
        {DNNL_ARG_WORKSPACE, at->saved},
    };
    ES_TRY(es_onednn_step_add(plan, layer, pd, args, at->saved != NULL ? 10 : 9, err));
    return es_onednn_wants(plan, layer, 0) ? es_onednn_give(plan, layer, 0, source, err) : ES_OK;
}

static es_status backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_batch_normalization_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    ES_TRY(
        es_onednn_check(plan, layer,
                        plan->lib->batch_normalization_backward_desc_init(
                            &op, dnnl_backward, &at->source->desc, &at->source->desc,
                            (float)es_onednn_nn_layer(plan, layer)->epsilon, flags_of(plan, layer)),
                        err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, at->hint, &pd, err));
    es_status status = add_backward(plan, layer, pd, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    return status;
}

const es_onednn_kind es_onednn_batch_norm = {.forward = forward, .backward = backward};
