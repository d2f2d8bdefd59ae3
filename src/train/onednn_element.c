/* Activations, add, concat, flatten, dropout. */
#include "train/onednn.h"

#include <assert.h>

bool es_onednn_activation_of(es_nn_kind kind, es_onednn_activation *out)
{
    static const es_onednn_activation known[ES_NN_KIND_COUNT] = {
        [ES_NN_RELU] = {.kind = dnnl_eltwise_relu_use_dst_for_bwd},
        [ES_NN_RELU6] = {.kind = dnnl_eltwise_clip_v2_use_dst_for_bwd, .beta = 6},
        [ES_NN_SIGMOID] = {.kind = dnnl_eltwise_logistic_use_dst_for_bwd},
        [ES_NN_TANH] = {.kind = dnnl_eltwise_tanh_use_dst_for_bwd},
        [ES_NN_HARD_SWISH] = {.kind = dnnl_eltwise_hardswish, .by_source = true},
    };
    *out = known[kind];
    return known[kind].kind != dnnl_alg_kind_undef;
}

/* ---- activations ---- */

static es_onednn_activation activation_of(const es_onednn_plan *plan, size_t layer)
{
    es_onednn_activation act;
    (void)es_onednn_activation_of(es_onednn_nn_layer(plan, layer)->kind, &act); /* known here */
    return act;
}

static es_status element_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_onednn_activation act = activation_of(plan, layer);
    dnnl_eltwise_desc_t op;
    at->source = es_onednn_input(plan, layer, 0)->value;
    ES_TRY(es_onednn_check(plan, layer,
                           plan->lib->eltwise_forward_desc_init(
                               &op, plan->back ? dnnl_forward_training : dnnl_forward_inference,
                               act.kind, &at->source->desc, act.alpha, act.beta),
                           err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, NULL, &at->hint, err));
    if (es_onednn_may_overwrite(plan, layer) && !(plan->back && act.by_source))
        ES_TRY(es_onednn_view_over(plan, &at->source->desc, at->source, &at->value, err));
    else
        ES_TRY(es_onednn_view_new(plan, &at->source->desc, &at->value, err));
    const es_onednn_arg args[] = {{DNNL_ARG_SRC, at->source}, {DNNL_ARG_DST, at->value}};
    return es_onednn_step_add(plan, layer, at->hint, args, 2, err);
}

/* The gradient before an activation whose result (or source) is `by`, over the one behind it where
 * that is nobody else's. */
static es_status element_slope(es_onednn_plan *plan, size_t layer, es_view *by,
                               const_dnnl_primitive_desc_t hint, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_onednn_activation act = activation_of(plan, layer);
    es_view *gradient = NULL;
    es_view *source = NULL;
    dnnl_eltwise_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    ES_TRY(es_onednn_as(plan, layer, at->gradient, &by->desc, &gradient, err));
    if (gradient->shared)
        ES_TRY(es_onednn_view_new(plan, &by->desc, &source, err));
    else
        ES_TRY(es_onednn_view_over(plan, &by->desc, gradient, &source, err));
    ES_TRY(es_onednn_check(plan, layer,
                           plan->lib->eltwise_backward_desc_init(&op, act.kind, &by->desc,
                                                                 &by->desc, act.alpha, act.beta),
                           err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, hint, &pd, err));
    const es_onednn_arg args[] = {{act.by_source ? DNNL_ARG_SRC : DNNL_ARG_DST, by},
                                  {DNNL_ARG_DIFF_DST, gradient},
                                  {DNNL_ARG_DIFF_SRC, source}};
    es_status status = es_onednn_step_add(plan, layer, pd, args, 3, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    ES_TRY(status);
    return es_onednn_give(plan, layer, 0, source, err);
}

/* Fused into a convolution: its own forward description is needed as a hint all the same. */
static es_status fused_slope(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_view *value = plan->layers[layer].value;
    es_onednn_activation act = activation_of(plan, layer);
    dnnl_eltwise_desc_t op;
    dnnl_primitive_desc_t hint = NULL;
    ES_TRY(
        es_onednn_check(plan, layer,
                        plan->lib->eltwise_forward_desc_init(&op, dnnl_forward_training, act.kind,
                                                             &value->desc, act.alpha, act.beta),
                        err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, NULL, &hint, err));
    es_status status = element_slope(plan, layer, value, hint, err);
    (void)plan->lib->primitive_desc_destroy(hint); /* fails only for NULL */
    return status;
}

static es_status element_backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    const es_onednn_layer *at = &plan->layers[layer];
    if (!es_onednn_wants(plan, layer, 0))
        return ES_OK;
    if (at->fused_by > 0 && es_onednn_nn_layer(plan, at->fused_by)->kind == ES_NN_BATCH_NORM)
        return es_onednn_give(plan, layer, 0, at->gradient, err); /* the norm does it */
    if (at->fused_by > 0)
        return fused_slope(plan, layer, err);
    return element_slope(plan, layer, activation_of(plan, layer).by_source ? at->source : at->value,
                         at->hint, err);
}

const es_onednn_kind es_onednn_element = {.forward = element_forward, .backward = element_backward};

/* ---- two values to one ---- */

static es_status add_binary(es_onednn_plan *plan, size_t layer, dnnl_alg_kind_t kind, es_view *a,
                            es_view *b, es_view *out, es_error *err)
{
    dnnl_binary_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    ES_TRY(es_onednn_check(
        plan, layer, plan->lib->binary_desc_init(&op, kind, &a->desc, &b->desc, &out->desc), err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, NULL, &pd, err));
    const es_onednn_arg args[] = {{DNNL_ARG_SRC_0, a}, {DNNL_ARG_SRC_1, b}, {DNNL_ARG_DST, out}};
    es_status status = es_onednn_step_add(plan, layer, pd, args, 3, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    return status;
}

es_status es_onednn_sum(es_onednn_plan *plan, size_t layer, es_view *a, es_view *b, bool over,
                        es_view **out_view, es_error *err)
{
    es_view *same = NULL;
    es_view *sum = NULL;
    ES_TRY(es_onednn_as(plan, layer, b, &a->desc, &same, err));
    if (over)
        ES_TRY(es_onednn_view_over(plan, &a->desc, a, &sum, err));
    else
        ES_TRY(es_onednn_view_new(plan, &a->desc, &sum, err));
    ES_TRY(add_binary(plan, layer, dnnl_binary_add, a, same, sum, err));
    *out_view = sum;
    return ES_OK;
}

static es_status add_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *sum = es_onednn_input(plan, layer, 0)->value;
    bool over = es_onednn_may_overwrite(plan, layer);
    for (size_t k = 1; k < es_onednn_nn_layer(plan, layer)->input_count; k++, over = true)
        ES_TRY(es_onednn_sum(plan, layer, sum, es_onednn_input(plan, layer, k)->value, over, &sum,
                             err));
    at->value = sum;
    return ES_OK;
}

static es_status add_backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    size_t wanted = 0;
    for (size_t k = 0; k < es_onednn_nn_layer(plan, layer)->input_count; k++)
        wanted += es_onednn_wants(plan, layer, k);
    at->gradient->shared = at->gradient->shared || wanted > 1;
    for (size_t k = 0; k < es_onednn_nn_layer(plan, layer)->input_count; k++)
        if (es_onednn_wants(plan, layer, k))
            ES_TRY(es_onednn_give(plan, layer, k, at->gradient, err));
    return ES_OK;
}

const es_onednn_kind es_onednn_add = {.forward = add_forward, .backward = add_backward};

/* ---- concat: row-major, so that its parts can be had as memory within memory ---- */

static es_status concat_describe(es_onednn_plan *plan, size_t layer, es_view *const *parts,
                                 dnnl_primitive_desc_t *out_pd, es_error *err)
{
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    dnnl_memory_desc_t whole = es_onednn_value_desc(plan, nn->shape, false);
    dnnl_memory_desc_t *descs = ES_TAKE_ARRAY(plan->arena, dnnl_memory_desc_t, nn->input_count);
    if (descs == NULL)
        return es_arena_full(plan->arena, "concat", err);
    for (size_t k = 0; k < nn->input_count; k++) {
        assert(parts[k] != NULL);
        descs[k] = parts[k]->desc;
    }
    return es_onednn_check(plan, layer,
                           plan->lib->concat_primitive_desc_create(out_pd, &whole,
                                                                   (int)nn->input_count, 1, descs,
                                                                   plan->attr, plan->dnnl),
                           err);
}

static es_status concat_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    dnnl_memory_desc_t whole = es_onednn_value_desc(plan, nn->shape, false);
    es_view *parts[ES_NN_INPUTS_MAX] = {0};
    es_onednn_arg args[ES_NN_INPUTS_MAX + 1];
    dnnl_primitive_desc_t pd = NULL;
    for (size_t k = 0; k < nn->input_count; k++) {
        ES_TRY(es_onednn_as_plain(plan, layer, es_onednn_input(plan, layer, k)->value, &parts[k],
                                  err));
        args[k] = (es_onednn_arg){DNNL_ARG_MULTIPLE_SRC + (int)k, parts[k]};
    }
    ES_TRY(es_onednn_view_new(plan, &whole, &at->value, err));
    args[nn->input_count] = (es_onednn_arg){DNNL_ARG_DST, at->value};
    ES_TRY(concat_describe(plan, layer, parts, &pd, err));
    es_status status = es_onednn_step_add(plan, layer, pd, args, nn->input_count + 1, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    return status;
}

static es_status concat_backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    es_view *whole = NULL;
    dnnl_dims_t offset = {0};
    ES_TRY(es_onednn_as_plain(plan, layer, at->gradient, &whole, err));
    for (size_t k = 0; k < nn->input_count; k++) {
        es_view *input = es_onednn_input(plan, layer, k)->value;
        dnnl_memory_desc_t within;
        es_view *part = NULL;
        es_view *own = NULL;
        if (es_onednn_wants(plan, layer, k)) {
            ES_TRY(es_onednn_check(plan, layer,
                                   plan->lib->memory_desc_init_submemory(&within, &whole->desc,
                                                                         input->desc.dims, offset),
                                   err));
            ES_TRY(es_onednn_view_over(plan, &within, whole, &part, err));
            ES_TRY(es_onednn_view_new(plan, &input->desc, &own, err));
            ES_TRY(es_onednn_reorder(plan, layer, part, own, err));
            ES_TRY(es_onednn_give(plan, layer, k, own, err));
        }
        offset[1] += input->desc.dims[1];
    }
    return ES_OK;
}

const es_onednn_kind es_onednn_concat = {.forward = concat_forward, .backward = concat_backward};

/* ---- flatten ---- */

/* Dense layers take images as they are; others see the row-major values as one dimension. */
static bool only_dense_follows(const es_onednn_plan *plan, size_t layer)
{
    const es_nn *nn = plan->engine->nn;
    size_t uses = plan->engine->graph.uses[layer];
    for (size_t i = layer + 1; i < nn->layers.count; i++)
        for (size_t k = 0; plan->engine->graph.needed[i] && k < nn->layers.items[i].input_count;
             k++)
            uses -= nn->layers.items[i].inputs[k].index == layer &&
                    nn->layers.items[i].kind == ES_NN_DENSE;
    return uses == 0;
}

static es_status flatten_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *input = es_onednn_input(plan, layer, 0)->value;
    es_view *plain = NULL;
    dnnl_memory_desc_t flat =
        es_onednn_value_desc(plan, es_onednn_nn_layer(plan, layer)->shape, false);
    if (only_dense_follows(plan, layer)) {
        at->value = input;
        return ES_OK;
    }
    ES_TRY(es_onednn_as_plain(plan, layer, input, &plain, err));
    return es_onednn_view_over(plan, &flat, plain, &at->value, err);
}

static es_status flatten_backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *input = es_onednn_input(plan, layer, 0)->value;
    es_view *plain = NULL;
    es_view *shaped = NULL;
    dnnl_memory_desc_t form = es_onednn_plain_desc(plan, &input->desc);
    if (!es_onednn_wants(plan, layer, 0))
        return ES_OK;
    if (at->gradient->desc.ndims == input->desc.ndims)
        return es_onednn_give(plan, layer, 0, at->gradient, err);
    ES_TRY(es_onednn_as_plain(plan, layer, at->gradient, &plain, err));
    ES_TRY(es_onednn_view_over(plan, &form, plain, &shaped, err));
    shaped->shared = plain->shared;
    return es_onednn_give(plan, layer, 0, shaped, err);
}

const es_onednn_kind es_onednn_flatten = {.forward = flatten_forward, .backward = flatten_backward};

/* ---- dropout ---- */

static void draw(es_onednn_plan *plan, size_t layer)
{
    const es_train_engine *engine = plan->engine;
    const es_nn_layer *nn = es_onednn_nn_layer(plan, layer);
    float *mask = plan->layers[layer].saved->data;
    size_t count = plan->samples * nn->shape.count;
    if (engine->dropout)
        es_dropout_mask(nn, engine->opts.seed, engine->step, count, mask);
    for (size_t i = 0; !engine->dropout && i < count; i++)
        mask[i] = 1;
}

static es_status dropout_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *input = es_onednn_input(plan, layer, 0)->value;
    dnnl_memory_desc_t plain = es_onednn_plain_desc(plan, &input->desc);
    es_view *same = NULL;
    if (!plan->learn) {
        at->value = input;
        return ES_OK;
    }
    ES_TRY(es_onednn_view_new(plan, &plain, &at->saved, err));
    ES_TRY(es_onednn_call_add(plan, layer, draw, &at->saved, 1, err));
    ES_TRY(es_onednn_as(plan, layer, at->saved, &input->desc, &same, err));
    ES_TRY(es_onednn_view_new(plan, &input->desc, &at->value, err));
    return add_binary(plan, layer, dnnl_binary_mul, input, same, at->value, err);
}

static es_status dropout_backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *gradient = NULL;
    es_view *mask = NULL;
    es_view *source = NULL;
    if (!es_onednn_wants(plan, layer, 0))
        return ES_OK;
    ES_TRY(es_onednn_as(plan, layer, at->gradient, &at->value->desc, &gradient, err));
    ES_TRY(es_onednn_as(plan, layer, at->saved, &gradient->desc, &mask, err));
    ES_TRY(es_onednn_view_new(plan, &gradient->desc, &source, err));
    ES_TRY(add_binary(plan, layer, dnnl_binary_mul, gradient, mask, source, err));
    return es_onednn_give(plan, layer, 0, source, err);
}

const es_onednn_kind es_onednn_dropout = {.forward = dropout_forward, .backward = dropout_backward};
