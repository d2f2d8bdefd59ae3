/*
 * Reading operators that are a layer of their own.
 */
#include "nn/read.h"

#include <assert.h>

enum { PAD_MAX = 1 << 20 };

/* ---- windows ---- */

/* The attribute as sizes; absent: all `fallback`. */
static es_status read_sizes(const es_nn_reader *r, const char *attr, size_t count, size_t fallback,
                            size_t *out, es_error *err)
{
    size_t given = 0;
    const int64_t *values = es_model_attr_ints(r->model, r->node, attr, &given);
    if (given != 0 && given != count)
        return es_nn_read_fail(r, err, "%zu values of %s, expected %zu", given, attr, count);
    for (size_t i = 0; i < count; i++) {
        if (given != 0 && (values[i] < 0 || values[i] > PAD_MAX))
            return es_nn_read_fail(r, err, "%s %lld, expected 0 to %d", attr, (long long)values[i],
                                   PAD_MAX);
        out[i] = given != 0 ? (size_t)values[i] : fallback;
    }
    return ES_OK;
}

/* TensorFlow's padding: as many places as the stride leaves; the odd one after, or before. */
static void pad_same(es_nn_window *window, es_nn_shape in, bool upper)
{
    for (size_t i = 0; i + 1 < in.rank; i++) {
        es_nn_pad_same(window, i, in.dims[i + 1]);
        size_t before = window->pad_before[i];
        if (!upper) {
            window->pad_before[i] = window->pad_after[i];
            window->pad_after[i] = before;
        }
    }
}

/* Kernel, set already, with strides, dilations and padding. */
static es_status read_window(const es_nn_reader *r, es_nn_shape in, es_nn_window *window,
                             es_error *err)
{
    size_t places = in.rank - 1;
    size_t pads[4] = {0};
    const char *automatic = es_model_attr_text(r->model, r->node, "auto_pad", "NOTSET");
    ES_TRY(read_sizes(r, "strides", places, 1, window->stride, err));
    ES_TRY(read_sizes(r, "dilations", places, 1, window->dilation, err));
    for (size_t i = 0; i < places; i++) {
        if (window->kernel[i] == 0 || window->stride[i] == 0 || window->dilation[i] == 0)
            return es_nn_read_fail(r, err, "kernel, stride and dilation must be at least 1");
    }
    if (strcmp(automatic, "SAME_UPPER") == 0 || strcmp(automatic, "SAME_LOWER") == 0) {
        pad_same(window, in, automatic[5] == 'U');
        return ES_OK;
    }
    if (strcmp(automatic, "VALID") == 0)
        return ES_OK;
    ES_TRY(read_sizes(r, "pads", 2 * places, 0, pads, err));
    for (size_t i = 0; i < places; i++) {
        window->pad_before[i] = pads[i];
        window->pad_after[i] = pads[places + i];
    }
    return ES_OK;
}

/* With ceil_mode a last window may reach past the padding: pad so much more. */
static void pad_up(es_nn_shape in, es_nn_window *window)
{
    for (size_t i = 0; i + 1 < in.rank; i++) {
        size_t all = in.dims[i + 1] + window->pad_before[i] + window->pad_after[i];
        assert(window->stride[i] > 0);
        size_t over = all >= window->kernel[i] ? (all - window->kernel[i]) % window->stride[i] : 0;
        if (over > 0)
            window->pad_after[i] += window->stride[i] - over;
    }
}

static es_status give_plain(es_nn_reader *r, es_nn_id id, es_error *err)
{
    es_nn_view view = es_nn_view_plain(id, es_nn_at(r->nn, id)->shape);
    return es_nn_read_give(r, 0, &view, err);
}

/* ---- convolutions and dense layers ---- */

static es_status read_conv(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_constant weight;
    es_nn_constant bias;
    es_nn_id id = ES_NN_NONE;
    ES_TRY(es_nn_read_image(r, 0, true, &x, err));
    es_nn_shape in = es_nn_at(r->nn, x->view.layer)->shape;
    ES_TRY(es_nn_read_weights(r, 1, in.rank + 1, &weight, err));
    int64_t groups = es_nn_read_int(r, "group", 1);
    if (groups < 1 || weight.count == 0)
        return es_nn_read_fail(r, err, "%lld groups, %zu weights", (long long)groups, weight.count);
    es_nn_layer layer = {
        .kind = ES_NN_CONV, .input_count = 1, .inputs = {x->view.layer}, .groups = (size_t)groups};
    for (size_t i = 0; i + 1 < in.rank; i++)
        layer.window.kernel[i] = (size_t)weight.dims[i + 2];
    if (x->padded) /* a Pad node before: as if the input were larger already */
        for (size_t i = 0; i + 1 < in.rank; i++)
            in.dims[i + 1] += x->pad_before[i] + x->pad_after[i];
    ES_TRY(read_window(r, in, &layer.window, err));
    for (size_t i = 0; x->padded && i + 1 < in.rank; i++) {
        layer.window.pad_before[i] += x->pad_before[i];
        layer.window.pad_after[i] += x->pad_after[i];
    }
    bool biased = es_nn_read_has(r, 2);
    if (biased)
        ES_TRY(es_nn_read_weights(r, 2, 1, &bias, err));
    ES_TRY(es_nn_read_add(r, 0, &layer, (size_t)weight.dims[0], biased, &id, err));
    ES_TRY(es_nn_read_param(r, ES_NN_WEIGHT, weight.values, weight.count, err));
    if (biased)
        ES_TRY(es_nn_read_param(r, ES_NN_BIAS, bias.values, bias.count, err));
    return give_plain(r, id, err);
}

/* Where feature number k of the view lies in the layer's own order; places has count entries. */
static void own_places(const es_nn_view *view, es_nn_shape shape, size_t *places)
{
    const es_nn_dim *part = &view->parts[1];
    for (size_t k = 0; k < shape.count; k++) {
        size_t rest = k;
        size_t at = 0;
        for (size_t i = part->count; i-- > 0;) {
            size_t axis = part->axes[i];
            size_t stride = 1;
            for (size_t a = axis + 1; a < shape.rank; a++)
                stride *= shape.dims[a];
            at += rest % shape.dims[axis] * stride;
            rest /= shape.dims[axis];
        }
        places[k] = at;
    }
}

/* out[o][place of k] = weight of feature k to unit o. */
static es_status put_dense(es_nn_reader *r, const es_nn_constant *weight, bool rows_are_units,
                           const size_t *places, es_error *err)
{
    es_nn_layer *layer = &r->nn->layers.items[r->nn->layers.count - 1];
    es_nn_param *param = es_nn_param_of(layer, ES_NN_WEIGHT);
    size_t units = param->dims[0];
    size_t features = param->dims[1];
    if (weight->count != param->count)
        return es_nn_read_fail(r, err, "%zu weights, expected %zu", weight->count, param->count);
    for (size_t o = 0; o < units; o++)
        for (size_t k = 0; k < features; k++)
            param->values[o * features + (places != NULL ? places[k] : k)] =
                weight->values[rows_are_units ? o * features + k : k * units + o];
    return ES_OK;
}

/* Another order of the features than the layer's is one of the weights' columns. */
static es_status read_dense(es_nn_reader *r, bool rows_are_units, const es_nn_constant *weight,
                            const es_nn_constant *bias, es_error *err)
{
    es_nn_value *x = NULL;
    bool natural = false;
    size_t *places = NULL;
    es_nn_layer layer = {.kind = ES_NN_DENSE, .input_count = 1};
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    es_nn_shape shape = es_nn_at(r->nn, x->view.layer)->shape;
    if (!es_nn_view_is_flat(&x->view, shape, &natural))
        return es_nn_read_fail(r, err, "input '%s' must be [batch, features]", x->name);
    if (!natural) {
        places = ES_TAKE_ARRAY(r->arena, size_t, shape.count);
        if (places == NULL)
            return es_arena_full(r->arena, "net", err);
        own_places(&x->view, shape, places);
        int64_t dims[2] = {(int64_t)r->batch, (int64_t)shape.count};
        x->view = es_nn_view_plain(x->view.layer, shape);
        if (!es_nn_view_reshape(&x->view, shape, r->batch, 2, dims))
            return es_nn_read_fail(r, err, "input '%s' must be [batch, features]", x->name);
    }
    es_nn_view seen = x->view;
    ES_TRY(es_nn_read_flat(r, x, &layer.inputs[0], err));
    x->view = seen;
    size_t units = (size_t)weight->dims[rows_are_units ? 0 : 1];
    es_nn_id id = ES_NN_NONE;
    ES_TRY(es_nn_read_add(r, 0, &layer, units, bias != NULL, &id, err));
    ES_TRY(put_dense(r, weight, rows_are_units, places, err));
    if (bias != NULL)
        ES_TRY(es_nn_read_param(r, ES_NN_BIAS, bias->values, bias->count, err));
    return give_plain(r, id, err);
}

static es_status read_gemm(es_nn_reader *r, es_error *err)
{
    es_nn_constant weight;
    es_nn_constant bias = {0};
    bool found = false;
    ES_TRY(es_nn_read_weights(r, 1, 2, &weight, err));
    if (es_nn_read_float(r, "alpha", 1) != 1.0F || es_nn_read_float(r, "beta", 1) != 1.0F ||
        es_nn_read_int(r, "transA", 0) != 0)
        return es_nn_read_fail(r, err, "alpha and beta must be 1, transA 0");
    if (es_nn_read_has(r, 2)) {
        ES_TRY(es_nn_read_constant(r, r->op.inputs[2], &bias, &found, err));
        if (!found || (bias.rank == 2 && bias.dims[0] != 1) || bias.rank > 2)
            return es_nn_read_fail(r, err, "input '%s' must be constant floats, one per unit",
                                   r->op.inputs[2]);
    }
    return read_dense(r, es_nn_read_int(r, "transB", 0) != 0, &weight, found ? &bias : NULL, err);
}

static es_status read_matmul(es_nn_reader *r, es_error *err)
{
    es_nn_constant weight;
    ES_TRY(es_nn_read_weights(r, 1, 2, &weight, err));
    return read_dense(r, false, &weight, NULL, err);
}

/* ---- batch norm, softmax ---- */

/* Of a value whose dimension dim is the channels; features are made so if need be. */
static es_status need_channels(es_nn_reader *r, es_nn_value *x, size_t dim, es_nn_view *out,
                               es_error *err)
{
    es_nn_id flat = ES_NN_NONE;
    *out = x->view;
    if (dim < x->view.rank &&
        es_nn_view_is_channels(&x->view, es_nn_at(r->nn, x->view.layer)->shape, dim))
        return ES_OK;
    if (x->view.rank != 2 || dim != 1)
        return es_nn_read_fail(r, err, "dimension %zu of '%s' must be its channels", dim, x->name);
    ES_TRY(es_nn_read_flat(r, x, &flat, err));
    *out = es_nn_view_plain(flat, es_nn_at(r->nn, flat)->shape);
    return ES_OK;
}

static es_status read_batch_norm(es_nn_reader *r, es_error *err)
{
    static const es_nn_role roles[] = {ES_NN_GAMMA, ES_NN_BETA, ES_NN_MEAN, ES_NN_VARIANCE};
    es_nn_value *x = NULL;
    es_nn_view view;
    es_nn_constant params[4];
    es_nn_layer layer = {.kind = ES_NN_BATCH_NORM, .input_count = 1};
    layer.epsilon = (double)es_nn_read_float(r, "epsilon", 1e-5F);
    layer.momentum = (double)es_nn_read_float(r, "momentum", 0.9F);
    if (es_nn_read_int(r, "training_mode", 0) != 0)
        return es_nn_read_fail(r, err, "training_mode must be 0");
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    ES_TRY(need_channels(r, x, 1, &view, err));
    layer.inputs[0] = view.layer;
    for (size_t i = 0; i < 4; i++)
        ES_TRY(es_nn_read_weights(r, i + 1, 1, &params[i], err));
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    for (size_t i = 0; i < 4; i++)
        ES_TRY(es_nn_read_param(r, roles[i], params[i].values, params[i].count, err));
    return es_nn_read_give(r, 0, &view, err);
}

static es_status read_softmax(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_view view;
    es_nn_layer layer = {.kind = ES_NN_SOFTMAX, .input_count = 1};
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    int64_t axis = es_nn_read_int(r, "axis", -1);
    axis += axis < 0 ? (int64_t)x->view.rank : 0;
    if (axis < 0 || axis >= (int64_t)x->view.rank)
        return es_nn_read_fail(r, err, "axis %lld of rank %zu",
                               (long long)es_nn_read_int(r, "axis", -1), x->view.rank);
    ES_TRY(need_channels(r, x, (size_t)axis, &view, err));
    layer.inputs[0] = view.layer;
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &view.layer, err));
    return es_nn_read_give(r, 0, &view, err);
}

/* ---- pools ---- */

static es_status read_pool(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_id id = ES_NN_NONE;
    es_nn_layer layer = {.kind =
                             strcmp(r->op.op, "MaxPool") == 0 ? ES_NN_MAX_POOL : ES_NN_AVERAGE_POOL,
                         .input_count = 1};
    ES_TRY(es_nn_read_image(r, 0, false, &x, err));
    es_nn_shape in = es_nn_at(r->nn, x->view.layer)->shape;
    layer.inputs[0] = x->view.layer;
    ES_TRY(read_sizes(r, "kernel_shape", in.rank - 1, 0, layer.window.kernel, err));
    ES_TRY(read_window(r, in, &layer.window, err));
    if (es_nn_read_int(r, "ceil_mode", 0) != 0)
        pad_up(in, &layer.window);
    const es_nn_window *w = &layer.window;
    bool pads = w->pad_before[0] + w->pad_before[1] + w->pad_after[0] + w->pad_after[1] > 0;
    if (pads && es_nn_read_int(r, "count_include_pad", 0) != 0 && layer.kind != ES_NN_MAX_POOL)
        return es_nn_read_fail(r, err, "count_include_pad must be 0 where there is padding");
    if (r->op.output_count > 1 && r->op.outputs[1][0] != '\0')
        return es_nn_read_fail(r, err, "its second output is not supported");
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &id, err));
    return give_plain(r, id, err);
}

/* A mean over all places, each of which becomes 1; joined with a flatten behind it later. */
static es_status pool_all(es_nn_reader *r, es_nn_id x, es_nn_id *out, es_error *err)
{
    es_nn_shape in = es_nn_at(r->nn, x)->shape;
    es_nn_layer layer = {.kind = ES_NN_AVERAGE_POOL, .input_count = 1, .inputs = {x}};
    for (size_t i = 0; i + 1 < in.rank; i++)
        layer.window.kernel[i] = layer.window.stride[i] = in.dims[i + 1];
    return es_nn_read_add(r, 0, &layer, 0, false, out, err);
}

static es_status read_global_pool(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_id id = ES_NN_NONE;
    ES_TRY(es_nn_read_image(r, 0, false, &x, err));
    ES_TRY(pool_all(r, x->view.layer, &id, err));
    return give_plain(r, id, err);
}

static es_status mean_to_features(es_nn_reader *r, es_nn_id x, es_error *err)
{
    es_nn_id id = ES_NN_NONE;
    es_nn_layer layer = {.kind = ES_NN_GLOBAL_POOL, .input_count = 1, .inputs = {x}};
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &id, err));
    return give_plain(r, id, err);
}

/* ReduceMean over all places, wherever the view has them. */
static es_status read_mean(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    const int64_t *axes = NULL;
    size_t count = 0;
    bool reduced[ES_NN_VIEW_RANK_MAX] = {false};
    ES_TRY(es_nn_read_in(r, 0, &x, err));
    ES_TRY(es_nn_read_ints(r, 1, "axes", &axes, &count, err));
    es_nn_view view = x->view;
    es_nn_shape shape = es_nn_at(r->nn, view.layer)->shape;
    size_t places = shape.count / shape.dims[0];
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? (int64_t)view.rank : 0);
        if (axis < 0 || axis >= (int64_t)view.rank || reduced[axis])
            return es_nn_read_fail(r, err, "axis %lld of rank %zu", (long long)axes[i], view.rank);
        reduced[axis] = true;
        const es_nn_dim *part = &view.parts[axis];
        for (size_t k = 0; k < part->count; k++) {
            if (part->axes[k] == 0 || part->axes[k] == ES_NN_BATCH_AXIS)
                return es_nn_read_fail(r, err, "it must be over rows and columns, all of them");
            places /= shape.dims[part->axes[k]];
        }
    }
    if (places != 1 || shape.rank < 2 || count == 0)
        return es_nn_read_fail(r, err, "it must be over rows and columns, all of them");
    bool keeps = es_nn_read_int(r, "keepdims", 1) != 0;
    if (!keeps && view.rank == shape.rank + 1)
        return mean_to_features(r, view.layer, err);
    ES_TRY(pool_all(r, view.layer, &view.layer, err));
    for (size_t i = view.rank; i-- > 0;) {
        if (reduced[i])
            view.parts[i] = (es_nn_dim){0};
        if (reduced[i] && !keeps)
            (void)es_nn_view_squeeze(&view, i); /* just made of size 1 */
    }
    return es_nn_read_give(r, 0, &view, err);
}

/* ---- upsampling ---- */

/* Do these modes take place floor(i / factor)? For half_pixel (i + 0.5) / factor - 0.5 is nearer to
 * it than 0.5; asymmetric i / factor rounds to it only for 2, ties down. */
static bool is_nearest(const es_nn_reader *r, const size_t *factors, size_t count)
{
    const char *place =
        es_model_attr_text(r->model, r->node, "coordinate_transformation_mode", "half_pixel");
    const char *nearest =
        es_model_attr_text(r->model, r->node, "nearest_mode", "round_prefer_floor");
    bool rounds = strncmp(nearest, "round_prefer_", 13) == 0;
    bool small = true;
    for (size_t i = 0; i < count; i++)
        small = small && factors[i] <= 2;
    if (strcmp(es_model_attr_text(r->model, r->node, "mode", "nearest"), "nearest") != 0)
        return false;
    if (strcmp(place, "asymmetric") == 0)
        return strcmp(nearest, "floor") == 0 ||
               (small && strcmp(nearest, "round_prefer_floor") == 0);
    if (strcmp(place, "tf_half_pixel_for_nn") == 0)
        return strcmp(nearest, "floor") == 0;
    return (strcmp(place, "half_pixel") == 0 || strcmp(place, "pytorch_half_pixel") == 0) && rounds;
}

static es_status read_resize(es_nn_reader *r, es_error *err)
{
    es_nn_value *x = NULL;
    es_nn_id id = ES_NN_NONE;
    ES_TRY(es_nn_read_image(r, 0, false, &x, err));
    es_nn_shape in = es_nn_at(r->nn, x->view.layer)->shape;
    const es_nn_value *y = es_nn_read_find(r, r->op.outputs[0]);
    es_nn_layer layer = {.kind = ES_NN_UPSAMPLE, .input_count = 1, .inputs = {x->view.layer}};
    bool whole = y != NULL && y->tensor->rank == (int32_t)in.rank + 1;
    for (size_t i = 0; whole && i + 1 < in.rank; i++) {
        int64_t to = y->tensor->dims[i + 2];
        whole = to > 0 && (size_t)to % in.dims[i + 1] == 0;
        layer.window.stride[i] = whole ? (size_t)to / in.dims[i + 1] : 1;
    }
    if (!whole || !is_nearest(r, layer.window.stride, in.rank - 1))
        return es_nn_read_fail(r, err, "only nearest by whole factors is supported");
    ES_TRY(es_nn_read_add(r, 0, &layer, 0, false, &id, err));
    return give_plain(r, id, err);
}

es_nn_read_fn es_nn_read_layers(const char *op)
{
    static const es_nn_read_row rows[] = {
        {"Conv", read_conv},        {"Gemm", read_gemm},
        {"MatMul", read_matmul},    {"BatchNormalization", read_batch_norm},
        {"Softmax", read_softmax},  {"MaxPool", read_pool},
        {"AveragePool", read_pool}, {"GlobalAveragePool", read_global_pool},
        {"ReduceMean", read_mean},  {"Resize", read_resize},
    };
    return es_nn_read_row_of(rows, sizeof rows / sizeof *rows, op);
}
