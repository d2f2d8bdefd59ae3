/* Convolutions and dense layers, with the activation behind them done in the same primitive. */
#include "train/onednn.h"

/* Arguments of oneDNN's convolution descriptions that do not depend on the direction. */
typedef struct shape {
    dnnl_memory_desc_t source, weight, weight_plain, bias, result;
    dnnl_dims_t stride, dilation, before, after;
    bool has_bias;
} shape;

static shape conv_shape(const es_onednn_plan *plan, size_t layer)
{
    const es_nn_layer *at = es_onednn_nn_layer(plan, layer);
    const es_nn_shape in = plan->engine->nn->layers.items[at->inputs[0].index].shape;
    es_geometry g = es_geometry_of(at, in);
    dnnl_dim_t filters = (dnnl_dim_t)(g.out_channels / g.groups);
    dnnl_dim_t depth = (dnnl_dim_t)(g.channels / g.groups);
    dnnl_dim_t rows = (dnnl_dim_t)g.kernel[0];
    dnnl_dim_t columns = (dnnl_dim_t)g.kernel[1];
    dnnl_dims_t whole = {filters, depth, rows, columns};
    dnnl_dims_t grouped = {(dnnl_dim_t)g.groups, filters, depth, rows, columns};
    shape s = {.source = es_onednn_value_desc(plan, in, true),
               .weight = g.groups > 1 ? es_onednn_desc(plan, 5, grouped, true)
                                      : es_onednn_desc(plan, 4, whole, true),
               .bias = es_onednn_vector_desc(plan, g.out_channels),
               .result = es_onednn_value_desc(plan, at->shape, true),
               .has_bias = es_train_param_index(at, ES_NN_BIAS) < ES_NN_PARAMS_MAX};
    s.weight_plain = es_onednn_plain_desc(plan, &s.weight);
    for (int d = 0; d < 2; d++) {
        s.stride[d] = (dnnl_dim_t)g.stride[d];
        s.dilation[d] = (dnnl_dim_t)g.dilation[d] - 1;
        s.before[d] = (dnnl_dim_t)g.before[d];
        s.after[d] = (dnnl_dim_t)g.after[d];
    }
    return s;
}

/* The input may be an image: oneDNN flattens it in whatever layout it lies. */
static shape dense_shape(const es_onednn_plan *plan, size_t layer)
{
    const es_nn_layer *at = es_onednn_nn_layer(plan, layer);
    const es_view *input = es_onednn_input(plan, layer, 0)->value;
    shape s = {.bias = es_onednn_vector_desc(plan, at->shape.count),
               .source = es_onednn_desc(plan, input->desc.ndims, input->desc.dims, true),
               .result = es_onednn_value_desc(plan, at->shape, false),
               .has_bias = es_train_param_index(at, ES_NN_BIAS) < ES_NN_PARAMS_MAX};
    dnnl_dims_t dims;
    memcpy(dims, input->desc.dims, sizeof dims);
    dims[0] = (dnnl_dim_t)at->shape.count;
    s.weight = es_onednn_desc(plan, input->desc.ndims, dims, true);
    s.weight_plain = es_onednn_plain_desc(plan, &s.weight);
    return s;
}

static bool is_conv(const es_onednn_plan *plan, size_t layer)
{
    return es_onednn_nn_layer(plan, layer)->kind == ES_NN_CONV;
}

static shape shape_of(const es_onednn_plan *plan, size_t layer)
{
    return is_conv(plan, layer) ? conv_shape(plan, layer) : dense_shape(plan, layer);
}

typedef union op_desc {
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t dense;
} op_desc;

static es_status describe_forward(const es_onednn_plan *plan, size_t layer, const shape *s,
                                  const_dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out_pd,
                                  es_error *err)
{
    op_desc op;
    dnnl_prop_kind_t prop = plan->back ? dnnl_forward_training : dnnl_forward_inference;
    const dnnl_memory_desc_t *bias = s->has_bias ? &s->bias : NULL;
    dnnl_status_t status =
        is_conv(plan, layer) ? plan->lib->dilated_convolution_forward_desc_init(
                                   &op.conv, prop, dnnl_convolution_direct, &s->source, &s->weight,
                                   bias, &s->result, s->stride, s->dilation, s->before, s->after)
                             : plan->lib->inner_product_forward_desc_init(
                                   &op.dense, prop, &s->source, &s->weight, bias, &s->result);
    ES_TRY(es_onednn_check(plan, layer, status, err));
    return es_onednn_describe(plan, layer, &op, attr, NULL, out_pd, err);
}

/* The plan's attributes and the activation. */
static es_status fused_attr(const es_onednn_plan *plan, size_t layer, dnnl_primitive_attr_t *out,
                            es_error *err)
{
    const es_onednn_library *lib = plan->lib;
    es_onednn_activation act;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_attr_t attr = NULL;
    bool known =
        es_onednn_activation_of(es_onednn_nn_layer(plan, plan->layers[layer].fused)->kind, &act);
    dnnl_status_t status = known ? lib->primitive_attr_create(&attr) : dnnl_unimplemented;
    if (status == dnnl_success)
        status = lib->primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = lib->post_ops_create(&ops);
    if (status == dnnl_success)
        status = lib->post_ops_append_eltwise(ops, 1, act.kind, act.alpha, act.beta);
    if (status == dnnl_success)
        status = lib->primitive_attr_set_post_ops(attr, ops);
    if (ops != NULL)
        (void)lib->post_ops_destroy(ops); /* copied */
    if (status != dnnl_success && attr != NULL)
        (void)lib->primitive_attr_destroy(attr);
    else
        *out = attr;
    return es_onednn_check(plan, layer, status, err);
}

static es_status add_forward(es_onednn_plan *plan, size_t layer, const shape *s, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *bias = NULL;
    es_view *weight = NULL;
    size_t count = 3;
    ES_TRY(es_onednn_param(plan, layer, ES_NN_WEIGHT, &s->weight_plain, &at->weight, err));
    ES_TRY(es_onednn_as(plan, layer, es_onednn_input(plan, layer, 0)->value,
                        es_onednn_query(plan, at->hint, dnnl_query_src_md), &at->source, err));
    ES_TRY(es_onednn_as(plan, layer, at->weight,
                        es_onednn_query(plan, at->hint, dnnl_query_weights_md), &weight, err));
    ES_TRY(es_onednn_view_new(plan, es_onednn_query(plan, at->hint, dnnl_query_dst_md), &at->value,
                              err));
    es_onednn_arg args[4] = {
        {DNNL_ARG_SRC, at->source}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, at->value}};
    if (s->has_bias) {
        ES_TRY(es_onednn_param(plan, layer, ES_NN_BIAS, &s->bias, &bias, err));
        args[count++] = (es_onednn_arg){DNNL_ARG_BIAS, bias};
    }
    return es_onednn_step_add(plan, layer, at->hint, args, count, err);
}

static es_status forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    shape s = shape_of(plan, layer);
    dnnl_primitive_attr_t attr = NULL;
    if (at->fused > 0)
        ES_TRY(fused_attr(plan, layer, &attr, err));
    es_status status = describe_forward(plan, layer, &s, attr, &at->hint, err);
    if (attr != NULL)
        (void)plan->lib->primitive_attr_destroy(attr); /* copied into the description */
    ES_TRY(status);
    return add_forward(plan, layer, &s, err);
}

/* ---- the way back ---- */

static es_status describe_weights(const es_onednn_plan *plan, size_t layer, const shape *s,
                                  bool bias, dnnl_primitive_desc_t *out_pd, es_error *err)
{
    op_desc op;
    const es_onednn_layer *at = &plan->layers[layer];
    const dnnl_memory_desc_t *bias_desc = bias ? &s->bias : NULL;
    dnnl_status_t status =
        is_conv(plan, layer)
            ? plan->lib->dilated_convolution_backward_weights_desc_init(
                  &op.conv, dnnl_convolution_direct, &s->source, &s->weight, bias_desc, &s->result,
                  s->stride, s->dilation, s->before, s->after)
            : plan->lib->inner_product_backward_weights_desc_init(&op.dense, &s->source, &s->weight,
                                                                  bias_desc, &s->result);
    ES_TRY(es_onednn_check(plan, layer, status, err));
    return es_onednn_describe(plan, layer, &op, NULL, at->hint, out_pd, err);
}

static es_status add_weights(es_onednn_plan *plan, size_t layer, const shape *s, bool bias,
                             const_dnnl_primitive_desc_t pd, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *source = NULL;
    es_view *gradient = NULL;
    es_view *weight = NULL;
    es_view *whole = NULL;
    es_view *bias_gradient = NULL;
    const dnnl_memory_desc_t *form = es_onednn_query(plan, pd, dnnl_query_diff_weights_md);
    ES_TRY(es_onednn_as(plan, layer, at->source, es_onednn_query(plan, pd, dnnl_query_src_md),
                        &source, err));
    ES_TRY(es_onednn_as(plan, layer, at->gradient,
                        es_onednn_query(plan, pd, dnnl_query_diff_dst_md), &gradient, err));
    ES_TRY(es_onednn_param_gradient(plan, layer, ES_NN_WEIGHT, &s->weight_plain, &whole, err));
    bool direct = plan->lib->memory_desc_equal(form, &s->weight_plain) != 0;
    if (direct)
        weight = whole;
    else
        ES_TRY(es_onednn_view_new(plan, form, &weight, err));
    es_onednn_arg args[4] = {
        {DNNL_ARG_SRC, source}, {DNNL_ARG_DIFF_DST, gradient}, {DNNL_ARG_DIFF_WEIGHTS, weight}};
    if (bias) {
        ES_TRY(es_onednn_param_gradient(plan, layer, ES_NN_BIAS, &s->bias, &bias_gradient, err));
        args[3] = (es_onednn_arg){DNNL_ARG_DIFF_BIAS, bias_gradient};
    }
    ES_TRY(es_onednn_step_add(plan, layer, pd, args, bias ? 4 : 3, err));
    return direct ? ES_OK : es_onednn_reorder(plan, layer, weight, whole, err);
}

static es_status describe_source(const es_onednn_plan *plan, size_t layer, const shape *s,
                                 dnnl_primitive_desc_t *out_pd, es_error *err)
{
    op_desc op;
    dnnl_status_t status = is_conv(plan, layer)
                               ? plan->lib->dilated_convolution_backward_data_desc_init(
                                     &op.conv, dnnl_convolution_direct, &s->source, &s->weight,
                                     &s->result, s->stride, s->dilation, s->before, s->after)
                               : plan->lib->inner_product_backward_data_desc_init(
                                     &op.dense, &s->source, &s->weight, &s->result);
    ES_TRY(es_onednn_check(plan, layer, status, err));
    return es_onednn_describe(plan, layer, &op, NULL, plan->layers[layer].hint, out_pd, err);
}

static es_status add_source(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                            es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *gradient = NULL;
    es_view *weight = NULL;
    es_view *source = NULL;
    ES_TRY(es_onednn_as(plan, layer, at->weight, es_onednn_query(plan, pd, dnnl_query_weights_md),
                        &weight, err));
    ES_TRY(es_onednn_as(plan, layer, at->gradient,
                        es_onednn_query(plan, pd, dnnl_query_diff_dst_md), &gradient, err));
    ES_TRY(
        es_onednn_view_new(plan, es_onednn_query(plan, pd, dnnl_query_diff_src_md), &source, err));
    const es_onednn_arg args[] = {
        {DNNL_ARG_DIFF_DST, gradient}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DIFF_SRC, source}};
    ES_TRY(es_onednn_step_add(plan, layer, pd, args, 3, err));
    return es_onednn_give(plan, layer, 0, source, err);
}

static es_status backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    shape s = shape_of(plan, layer);
    dnnl_primitive_desc_t pd = NULL;
    es_status status = ES_OK;
    if (plan->engine->graph.trained[layer]) {
        ES_TRY(describe_weights(plan, layer, &s, s.has_bias, &pd, err));
        status = add_weights(plan, layer, &s, s.has_bias, pd, err);
        (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    }
    ES_TRY(status);
    if (es_onednn_wants(plan, layer, 0)) {
        ES_TRY(describe_source(plan, layer, &s, &pd, err));
        status = add_source(plan, layer, pd, err);
        (void)plan->lib->primitive_desc_destroy(pd); /* likewise */
    }
    return status;
}

const es_onednn_kind es_onednn_conv = {.forward = forward, .backward = backward};
const es_onednn_kind es_onednn_dense = {.forward = forward, .backward = backward};
