/*
 * Reading operators that only rearrange: no layer, another view.
 */
#include "nn/read.h"

static es_status read_same(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    if (strcmp(r->op.op, "Cast") == 0 && es_nn_read_int(r, "to", 0) != ES_MODEL_FLOAT)
        return es_nn_read_fail(r, err, "only to FLOAT is supported");
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    if (x->tensor->type != ES_MODEL_FLOAT)
        return es_nn_read_fail(r, err, "only FLOAT is supported");
    return es_nn_read_give(r, 0, &x->view, err);
}

/* Reshape and Flatten: what the model module inferred says how. */
static es_status read_reshape(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    es_nn_view view = x->view;
    const es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    es_nn_shape shape = es_nn_at(r->nn, view.layer)->shape;
    if (y == NULL || y->tensor->rank < 0)
        return es_nn_read_fail(r, err, "its shape depends on data");
    if (!es_nn_view_reshape(&view, shape, r->batch, (size_t)y->tensor->rank, y->tensor->dims))
        return es_nn_read_fail(r, err, "it splits a dimension, or mixes samples of a batch");
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_squeeze(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    const int64_t *axes = NULL;
    size_t count = 0;
    bool gone[ES_NN_VIEW_RANK_MAX] = {false};
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    ES_TRY(es_nn_read_ints(r, 1, "axes", &axes, &count, err));
    es_nn_view view = x->view;
    if (count == 0)
        return es_nn_read_fail(r, err, "its axes are missing: the batch might go too");
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? (int64_t)view.rank : 0);
        if (axis < 0 || axis >= (int64_t)view.rank || view.parts[axis].count > 0)
            return es_nn_read_fail(r, err, "axis %lld is the batch, or not of size 1",
                                   (long long)axes[i]);
        gone[axis] = true;
    }
    for (size_t i = view.rank; i-- > 0;) {
        if (gone[i])
            (void)es_nn_view_squeeze(&view, i); /* checked above */
    }
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_unsqueeze(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    const int64_t *axes = NULL;
    size_t count = 0;
    bool fresh[ES_NN_VIEW_RANK_MAX] = {false};
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    ES_TRY(es_nn_read_ints(r, 1, "axes", &axes, &count, err));
    es_nn_view view = x->view;
    size_t rank = view.rank + count;
    if (count > ES_NN_VIEW_RANK_MAX || rank > ES_NN_VIEW_RANK_MAX)
        return es_nn_read_fail(r, err, "rank %zu, at most %d is supported", rank,
                               ES_NN_VIEW_RANK_MAX);
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? (int64_t)rank : 0);
        if (axis < 0 || axis >= (int64_t)rank || fresh[axis])
            return es_nn_read_fail(r, err, "axis %lld of rank %zu", (long long)axes[i], rank);
        fresh[axis] = true;
    }
    for (size_t i = 0; i < rank; i++) {
        if (fresh[i])
            (void)es_nn_view_unsqueeze(&view, i); /* the rank was checked above */
    }
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_transpose(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    size_t count = 0;
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    es_nn_view view = x->view;
    const int64_t *perm = es_model_attr_ints(r->model, r->node, "perm", &count);
    if (!es_nn_view_transpose(&view, perm, count))
        return es_nn_read_fail(r, err, "perm is no permutation of %zu dimensions", view.rank);
    ES_TRY(es_nn_read_give(r, 0, &view, err));
    /* A GRU's own value stands steps first; the one arranged as others is worth the name. */
    es_nn_layer *layer = &r->nn->layers.items[view.layer.index];
    const char *name = r->op.outputs[0];
    if (layer->kind == ES_NN_GRU && es_nn_view_is_plain(&view, layer->shape) &&
        !es_nn_view_is_plain(&x->view, layer->shape) && !es_nn_is(es_nn_find(r->nn, name)))
        layer->name = name;
    return ES_OK;
}

/* Zeros around rows and columns wait for the convolution behind. */
static es_status read_pad(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_constant value;
    const int64_t *pads = NULL;
    size_t count = 0;
    bool found = true;
    ES_TRY(es_nn_read_image(r, 0, false, &x, err));
    ES_TRY(es_nn_read_ints(r, 1, "pads", &pads, &count, err));
    if (es_nn_read_has(r, 2)) {
        ES_TRY(es_nn_read_constant(r, r->op.inputs[2], &value, &found, err));
        found = found && value.count == 1 && value.values[0] == 0.0F;
    }
    if (!found || es_nn_read_has(r, 3) || count != 2 * x->view.rank ||
        strcmp(es_model_attr_text(r->model, r->node, "mode", "constant"), "constant") != 0)
        return es_nn_read_fail(r, err, "only zeros around rows and columns are supported");
    es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    if (y == NULL)
        return es_nn_read_fail(r, err, "output 0 is missing");
    y->padded = false;
    for (size_t i = 0; i < x->view.rank; i++) {
        int64_t before = pads[i];
        int64_t after = pads[i + x->view.rank];
        if (before < 0 || after < 0 || before > INT32_MAX || after > INT32_MAX ||
            (i < 2 && before + after > 0))
            return es_nn_read_fail(r, err, "only zeros around rows and columns are supported");
        if (i >= 2) {
            y->pad_before[i - 2] = (size_t)before;
            y->pad_after[i - 2] = (size_t)after;
            y->padded = y->padded || before + after > 0;
        }
    }
    y->has_view = true;
    y->view = x->view;
    return ES_OK;
}

es_nn_read_fn es_nn_read_views(const char *op)
{
    static const es_nn_read_row rows[] = {
        {"Identity", read_same},       {"Cast", read_same},       {"Reshape", read_reshape},
        {"Flatten", read_reshape},     {"Squeeze", read_squeeze}, {"Unsqueeze", read_unsqueeze},
        {"Transpose", read_transpose}, {"Pad", read_pad},
    };
    return es_nn_read_row_of(rows, sizeof rows / sizeof *rows, op);
}
