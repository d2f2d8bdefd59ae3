/*
 * GRU as oneDNN's lbr_gru, which has the gates in the same order and the same formula: h' = z h +
 * (1 - z) k. It works on [steps, samples, channels]; its four biases are those of both sides added
 * for z and r, then that of W and that of R for k. Against one matrix product per step with our own
 * gates it was measured 4 to 10 times faster.
 */
#include "train/onednn.h"

enum { INPUT, RECURRENT, WEIGHTS }; /* the two matrices, as dnnl counts them */

typedef struct sizes {
    dnnl_dim_t steps, samples, channels, units;
} sizes;

static sizes sizes_of(const es_onednn_plan *plan, size_t layer)
{
    const es_nn_layer *at = es_onednn_nn_layer(plan, layer);
    const es_nn_shape in = plan->engine->nn->layers.items[at->inputs[0].index].shape;
    return (sizes){(dnnl_dim_t)in.dims[1], (dnnl_dim_t)plan->samples, (dnnl_dim_t)in.dims[0],
                   (dnnl_dim_t)at->shape.dims[0]};
}

static es_status strided(const es_onednn_plan *plan, size_t layer, int rank, const dnnl_dims_t dims,
                         const dnnl_dims_t strides, dnnl_memory_desc_t *out, es_error *err)
{
    return es_onednn_check(
        plan, layer, plan->lib->memory_desc_init_by_strides(out, rank, dims, dnnl_f32, strides),
        err);
}

/* [steps, samples, wide] as oneDNN wants it, and as it lies in [samples, wide, 1, steps]. */
static es_status sequence(const es_onednn_plan *plan, size_t layer, dnnl_dim_t wide,
                          dnnl_memory_desc_t *out_dense, dnnl_memory_desc_t *out_ours,
                          es_error *err)
{
    sizes s = sizes_of(plan, layer);
    const dnnl_dims_t dims = {s.steps, s.samples, wide};
    const dnnl_dims_t strides = {1, wide * s.steps, s.steps};
    *out_dense = es_onednn_desc(plan, 3, dims, false);
    return strided(plan, layer, 3, dims, strides, out_ours, err);
}

/* {layer, direction, in, gate, out} as it lies in ONNX's [3 units, in]; or any layout. */
static es_status matrix(const es_onednn_plan *plan, size_t layer, int which, bool any,
                        dnnl_memory_desc_t *out, es_error *err)
{
    sizes s = sizes_of(plan, layer);
    dnnl_dim_t in = which == INPUT ? s.channels : s.units;
    const dnnl_dims_t dims = {1, 1, in, 3, s.units};
    const dnnl_dims_t strides = {3 * in * s.units, 3 * in * s.units, 1, in * s.units, in};
    if (!any)
        return strided(plan, layer, 5, dims, strides, out, err);
    *out = es_onednn_desc(plan, 5, dims, true);
    return ES_OK;
}

static es_nn_role role_of(int which)
{
    return which == INPUT ? ES_NN_WEIGHT : ES_NN_RECURRENT;
}

static dnnl_memory_desc_t bias_desc(const es_onednn_plan *plan, size_t layer)
{
    const dnnl_dims_t dims = {1, 1, 4, sizes_of(plan, layer).units};
    return es_onednn_desc(plan, 4, dims, false);
}

/* ---- C steps: biases, gradients that oneDNN adds to ---- */

static void join_biases(es_onednn_plan *plan, size_t layer)
{
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    const float *bias = nn->params[es_train_param_index(nn, ES_NN_BIAS)].values;
    float *out = plan->layers[layer].bias->data;
    size_t u = nn->shape.dims[0];
    for (size_t i = 0; i < 2 * u; i++)
        out[i] = bias[i] + bias[3 * u + i];
    memcpy(out + 2 * u, bias + 2 * u, u * sizeof *out);
    memcpy(out + 3 * u, bias + 5 * u, u * sizeof *out);
}

static void part_biases(es_onednn_plan *plan, size_t layer)
{
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    float *out = es_train_engine_slot(plan->engine, (es_nn_id){(uint32_t)layer},
                                      es_train_param_index(nn, ES_NN_BIAS));
    const float *joint = plan->layers[layer].bias_gradient->data;
    size_t u = nn->shape.dims[0];
    memcpy(out, joint, 3 * u * sizeof *out);
    memcpy(out + 3 * u, joint, 2 * u * sizeof *out);
    memcpy(out + 5 * u, joint + 3 * u, u * sizeof *out);
}

static void clear(es_view *view, const es_onednn_plan *plan)
{
    memset(view->data, 0, plan->lib->memory_desc_get_size(&view->desc));
}

static void clear_gradients(es_onednn_plan *plan, size_t layer)
{
    es_onednn_layer *at = &plan->layers[layer];
    clear(at->matrix_gradients[INPUT], plan);
    clear(at->matrix_gradients[RECURRENT], plan);
    clear(at->bias_gradient, plan);
}

/* ---- forward ---- */

static es_status describe(es_onednn_plan *plan, size_t layer, const dnnl_memory_desc_t *x,
                          const dnnl_memory_desc_t *y, es_error *err)
{
    dnnl_rnn_desc_t op;
    dnnl_memory_desc_t weights[WEIGHTS];
    dnnl_memory_desc_t bias = bias_desc(plan, layer);
    ES_TRY(matrix(plan, layer, INPUT, true, &weights[INPUT], err));
    ES_TRY(matrix(plan, layer, RECURRENT, true, &weights[RECURRENT], err));
    ES_TRY(es_onednn_check(plan, layer,
                           plan->lib->lbr_gru_forward_desc_init(
                               &op, plan->back ? dnnl_forward_training : dnnl_forward_inference,
                               dnnl_unidirectional_left2right, x, NULL, &weights[INPUT],
                               &weights[RECURRENT], &bias, y, NULL, dnnl_rnn_flags_undef),
                           err));
    return es_onednn_describe(plan, layer, &op, NULL, NULL, &plan->layers[layer].hint, err);
}

/* A matrix in the layout that the primitive wants. */
static es_status take_matrix(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                             int which, es_view **out, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_memory_desc_t ours;
    if (at->matrices[which] == NULL) {
        ES_TRY(matrix(plan, layer, which, false, &ours, err));
        ES_TRY(es_onednn_param(plan, layer, role_of(which), &ours, &at->matrices[which], err));
    }
    return es_onednn_as(plan, layer, at->matrices[which],
                        plan->lib->primitive_desc_query_md(pd, dnnl_query_weights_md, which), out,
                        err);
}

static es_status add_forward(es_onednn_plan *plan, size_t layer, const dnnl_memory_desc_t *y,
                             es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_memory_desc_t bias = bias_desc(plan, layer);
    es_view *weights[WEIGHTS] = {0};
    for (int which = INPUT; which < WEIGHTS; which++)
        ES_TRY(take_matrix(plan, layer, at->hint, which, &weights[which], err));
    ES_TRY(es_onednn_view_new(plan, &bias, &at->bias, err));
    ES_TRY(es_onednn_call_add(plan, layer, join_biases, &at->bias, 1, err));
    ES_TRY(es_onednn_view_new(plan, y, &at->sequence, err));
    if (plan->back)
        ES_TRY(es_onednn_view_new(plan, es_onednn_query(plan, at->hint, dnnl_query_workspace_md),
                                  &at->saved, err));
    const es_onednn_arg args[] = {{DNNL_ARG_SRC_LAYER, at->source},
                                  {DNNL_ARG_WEIGHTS_LAYER, weights[INPUT]},
                                  {DNNL_ARG_WEIGHTS_ITER, weights[RECURRENT]},
                                  {DNNL_ARG_BIAS, at->bias},
                                  {DNNL_ARG_DST_LAYER, at->sequence},
                                  {DNNL_ARG_WORKSPACE, at->saved}};
    return es_onednn_step_add(plan, layer, at->hint, args, plan->back ? 6 : 5, err);
}

static es_status forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    dnnl_memory_desc_t x, x_ours, y, y_ours;
    dnnl_memory_desc_t value = es_onednn_value_desc(plan, nn->shape, false);
    es_view *plain = NULL;
    es_view *turned = NULL;
    ES_TRY(sequence(plan, layer, sizes_of(plan, layer).channels, &x, &x_ours, err));
    ES_TRY(sequence(plan, layer, sizes_of(plan, layer).units, &y, &y_ours, err));
    ES_TRY(es_onednn_as_plain(plan, layer, es_onednn_input(plan, layer, 0)->value, &plain, err));
    ES_TRY(es_onednn_view_over(plan, &x_ours, plain, &turned, err));
    ES_TRY(es_onednn_view_new(plan, &x, &at->source, err));
    ES_TRY(es_onednn_reorder(plan, layer, turned, at->source, err));
    ES_TRY(describe(plan, layer, &x, &y, err));
    ES_TRY(add_forward(plan, layer, &y, err));
    ES_TRY(es_onednn_view_new(plan, &value, &at->value, err));
    ES_TRY(es_onednn_view_over(plan, &y_ours, at->value, &turned, err));
    return es_onednn_reorder(plan, layer, at->sequence, turned, err);
}

/* ---- the way back ---- */

static es_status describe_back(es_onednn_plan *plan, size_t layer, const dnnl_memory_desc_t *x,
                               const dnnl_memory_desc_t *y, dnnl_primitive_desc_t *out_pd,
                               es_error *err)
{
    dnnl_rnn_desc_t op;
    dnnl_memory_desc_t w, r;
    dnnl_memory_desc_t bias = bias_desc(plan, layer);
    ES_TRY(matrix(plan, layer, INPUT, true, &w, err));
    ES_TRY(matrix(plan, layer, RECURRENT, true, &r, err));
    ES_TRY(es_onednn_check(
        plan, layer,
        plan->lib->lbr_gru_backward_desc_init(&op, dnnl_backward, dnnl_unidirectional_left2right, x,
                                              NULL, &w, &r, &bias, y, NULL, x, NULL, &w, &r, &bias,
                                              y, NULL, dnnl_rnn_flags_undef),
        err));
    return es_onednn_describe(plan, layer, &op, NULL, plan->layers[layer].hint, out_pd, err);
}

static es_status take_gradients(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                                es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_memory_desc_t bias = bias_desc(plan, layer);
    for (int which = INPUT; which < WEIGHTS; which++)
        ES_TRY(es_onednn_view_new(
            plan, plan->lib->primitive_desc_query_md(pd, dnnl_query_diff_weights_md, which),
            &at->matrix_gradients[which], err));
    ES_TRY(es_onednn_view_new(plan, &bias, &at->bias_gradient, err));
    es_view *const all[] = {at->matrix_gradients[INPUT], at->matrix_gradients[RECURRENT],
                            at->bias_gradient};
    return es_onednn_call_add(plan, layer, clear_gradients, all, 3, err);
}

/* y_gradient, x_gradient: [steps, samples, wide]. */
static es_status add_backward(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                              es_view *y_gradient, es_view *x_gradient, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *weights[WEIGHTS] = {0};
    for (int which = INPUT; which < WEIGHTS; which++)
        ES_TRY(take_matrix(plan, layer, pd, which, &weights[which], err));
    ES_TRY(take_gradients(plan, layer, pd, err));
    const es_onednn_arg args[] = {
        {DNNL_ARG_SRC_LAYER, at->source},
        {DNNL_ARG_WEIGHTS_LAYER, weights[INPUT]},
        {DNNL_ARG_WEIGHTS_ITER, weights[RECURRENT]},
        {DNNL_ARG_BIAS, at->bias},
        {DNNL_ARG_DST_LAYER, at->sequence},
        {DNNL_ARG_WORKSPACE, at->saved},
        {DNNL_ARG_DIFF_SRC_LAYER, x_gradient},
        {DNNL_ARG_DIFF_WEIGHTS_LAYER, at->matrix_gradients[INPUT]},
        {DNNL_ARG_DIFF_WEIGHTS_ITER, at->matrix_gradients[RECURRENT]},
        {DNNL_ARG_DIFF_BIAS, at->bias_gradient},
        {DNNL_ARG_DIFF_DST_LAYER, y_gradient},
    };
    return es_onednn_step_add(plan, layer, pd, args, 11, err);
}

static es_status give_params(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    for (int which = INPUT; which < WEIGHTS; which++) {
        dnnl_memory_desc_t ours;
        es_view *slot = NULL;
        ES_TRY(matrix(plan, layer, which, false, &ours, err));
        ES_TRY(es_onednn_param_gradient(plan, layer, role_of(which), &ours, &slot, err));
        ES_TRY(es_onednn_reorder(plan, layer, at->matrix_gradients[which], slot, err));
    }
    return es_onednn_call_add(plan, layer, part_biases, &at->bias_gradient, 1, err);
}

/* The gradient turned, the primitive, what it gave turned back. */
static es_status turn_back(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                           const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *y, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    dnnl_memory_desc_t dense, ours;
    es_view *plain = NULL;
    es_view *turned = NULL;
    es_view *y_gradient = NULL;
    es_view *x_gradient = NULL;
    ES_TRY(sequence(plan, layer, sizes_of(plan, layer).units, &dense, &ours, err));
    ES_TRY(es_onednn_as_plain(plan, layer, at->gradient, &plain, err));
    ES_TRY(es_onednn_view_over(plan, &ours, plain, &turned, err));
    ES_TRY(es_onednn_view_new(plan, y, &y_gradient, err));
    ES_TRY(es_onednn_reorder(plan, layer, turned, y_gradient, err));
    ES_TRY(es_onednn_view_new(plan, x, &x_gradient, err));
    ES_TRY(add_backward(plan, layer, pd, y_gradient, x_gradient, err));
    if (plan->engine->graph.trained[layer])
        ES_TRY(give_params(plan, layer, err));
    if (!es_onednn_wants(plan, layer, 0))
        return ES_OK;
    const es_view *input = es_onednn_input(plan, layer, 0)->value;
    dnnl_memory_desc_t value = es_onednn_plain_desc(plan, &input->desc);
    ES_TRY(sequence(plan, layer, sizes_of(plan, layer).channels, &dense, &ours, err));
    ES_TRY(es_onednn_view_new(plan, &value, &plain, err));
    ES_TRY(es_onednn_view_over(plan, &ours, plain, &turned, err));
    ES_TRY(es_onednn_reorder(plan, layer, x_gradient, turned, err));
    return es_onednn_give(plan, layer, 0, plain, err);
}

static es_status backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    dnnl_memory_desc_t x, y, ours;
    dnnl_primitive_desc_t pd = NULL;
    ES_TRY(sequence(plan, layer, sizes_of(plan, layer).channels, &x, &ours, err));
    ES_TRY(sequence(plan, layer, sizes_of(plan, layer).units, &y, &ours, err));
    ES_TRY(describe_back(plan, layer, &x, &y, &pd, err));
    es_status status = turn_back(plan, layer, pd, &x, &y, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    return status;
}

const es_onednn_kind es_onednn_gru = {.forward = forward, .backward = backward};
