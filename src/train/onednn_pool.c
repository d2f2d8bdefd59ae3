/* Pools; the global one gives plain rows of channels. */
#include "train/onednn.h"

typedef struct shape {
    dnnl_dims_t stride, kernel, dilation, before, after;
    dnnl_memory_desc_t result; /* any layout */
    dnnl_alg_kind_t kind;
} shape;

static shape shape_of(const es_onednn_plan *plan, size_t layer)
{
    const es_nn_layer *at = es_onednn_nn_layer(plan, layer);
    es_geometry g = es_geometry_of(at, plan->engine->nn->layers.items[at->inputs[0].index].shape);
    dnnl_dims_t dims = {(dnnl_dim_t)plan->samples, (dnnl_dim_t)g.channels, (dnnl_dim_t)g.out_rows,
                        (dnnl_dim_t)g.out_columns};
    shape s = {.kind =
                   at->kind == ES_NN_MAX_POOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding,
               .result = es_onednn_desc(plan, 4, dims, true)};
    for (int d = 0; d < 2; d++) {
        s.stride[d] = (dnnl_dim_t)g.stride[d];
        s.kernel[d] = (dnnl_dim_t)g.kernel[d];
        s.dilation[d] = (dnnl_dim_t)g.dilation[d] - 1;
        s.before[d] = (dnnl_dim_t)g.before[d];
        /* what the last window reaches, which may be less than the padding */
        size_t reach = (d == 0 ? g.out_rows - 1 : g.out_columns - 1) * g.stride[d] +
                       (g.kernel[d] - 1) * g.dilation[d] + 1;
        size_t inside = (d == 0 ? g.rows : g.columns) + g.before[d];
        s.after[d] = (dnnl_dim_t)reach - (dnnl_dim_t)inside;
    }
    return s;
}

static es_status forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    shape s = shape_of(plan, layer);
    dnnl_pooling_v2_desc_t op;
    size_t count = 2;
    at->source = es_onednn_input(plan, layer, 0)->value;
    ES_TRY(es_onednn_check(plan, layer,
                           plan->lib->pooling_v2_forward_desc_init(
                               &op, plan->back ? dnnl_forward_training : dnnl_forward_inference,
                               s.kind, &at->source->desc, &s.result, s.stride, s.kernel, s.dilation,
                               s.before, s.after),
                           err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, NULL, &at->hint, err));
    ES_TRY(es_onednn_view_new(plan, es_onednn_query(plan, at->hint, dnnl_query_dst_md), &at->value,
                              err));
    es_onednn_arg args[3] = {{DNNL_ARG_SRC, at->source}, {DNNL_ARG_DST, at->value}};
    if (plan->back && s.kind == dnnl_pooling_max) {
        ES_TRY(es_onednn_view_new(plan, es_onednn_query(plan, at->hint, dnnl_query_workspace_md),
                                  &at->saved, err));
        args[count++] = (es_onednn_arg){DNNL_ARG_WORKSPACE, at->saved};
    }
    return es_onednn_step_add(plan, layer, at->hint, args, count, err);
}

static es_status add_backward(es_onednn_plan *plan, size_t layer, const_dnnl_primitive_desc_t pd,
                              es_view *given, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *gradient = NULL;
    es_view *source = NULL;
    ES_TRY(es_onednn_as(plan, layer, given, es_onednn_query(plan, pd, dnnl_query_diff_dst_md),
                        &gradient, err));
    ES_TRY(
        es_onednn_view_new(plan, es_onednn_query(plan, pd, dnnl_query_diff_src_md), &source, err));
    const es_onednn_arg args[] = {{DNNL_ARG_DIFF_DST, gradient},
                                  {DNNL_ARG_DIFF_SRC, source},
                                  {DNNL_ARG_WORKSPACE, at->saved}};
    ES_TRY(es_onednn_step_add(plan, layer, pd, args, at->saved != NULL ? 3 : 2, err));
    return es_onednn_give(plan, layer, 0, source, err);
}

/* given: the gradient as an image. */
static es_status pool_back(es_onednn_plan *plan, size_t layer, es_view *given, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    shape s = shape_of(plan, layer);
    const dnnl_memory_desc_t *result = es_onednn_query(plan, at->hint, dnnl_query_dst_md);
    dnnl_pooling_v2_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    ES_TRY(es_onednn_check(plan, layer,
                           plan->lib->pooling_v2_backward_desc_init(&op, s.kind, &at->source->desc,
                                                                    result, s.stride, s.kernel,
                                                                    s.dilation, s.before, s.after),
                           err));
    ES_TRY(es_onednn_describe(plan, layer, &op, NULL, at->hint, &pd, err));
    es_status status = add_backward(plan, layer, pd, given, err);
    (void)plan->lib->primitive_desc_destroy(pd); /* fails only for NULL */
    return status;
}

static es_status backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    return es_onednn_wants(plan, layer, 0)
               ? pool_back(plan, layer, plan->layers[layer].gradient, err)
               : ES_OK;
}

const es_onednn_kind es_onednn_pool = {.forward = forward, .backward = backward};

static es_status global_forward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    es_onednn_layer *at = &plan->layers[layer];
    es_view *plain = NULL;
    dnnl_memory_desc_t rows =
        es_onednn_value_desc(plan, es_onednn_nn_layer(plan, layer)->shape, false);
    ES_TRY(forward(plan, layer, err));
    ES_TRY(es_onednn_as_plain(plan, layer, at->value, &plain, err));
    return es_onednn_view_over(plan, &rows, plain, &at->value, err);
}

static es_status global_backward(es_onednn_plan *plan, size_t layer, es_error *err)
{
    const es_onednn_layer *at = &plan->layers[layer];
    es_view *plain = NULL;
    es_view *image = NULL;
    if (!es_onednn_wants(plan, layer, 0))
        return ES_OK;
    const dnnl_memory_desc_t *result = es_onednn_query(plan, at->hint, dnnl_query_dst_md);
    dnnl_memory_desc_t form = es_onednn_plain_desc(plan, result);
    ES_TRY(es_onednn_as_plain(plan, layer, at->gradient, &plain, err));
    ES_TRY(es_onednn_view_over(plan, &form, plain, &image, err));
    image->shared = true; /* read only */
    return pool_back(plan, layer, image, err);
}

const es_onednn_kind es_onednn_global_pool = {.forward = global_forward,
                                              .backward = global_backward};
