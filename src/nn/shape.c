/*
 * What each kind of layer gives, and which parameters it has.
 */
#include "nn/internal.h"

#include <assert.h>

enum { CHANNELS_MAX = 1 << 24, KERNEL_MAX = 1 << 16 };

es_nn_shape es_nn_shape_of(size_t rank, const size_t *dims)
{
    es_nn_shape shape = {.rank = rank, .count = 1};
    assert(rank < ES_NN_RANK_MAX);
    for (size_t i = 0; i < rank; i++) {
        shape.dims[i] = dims[i];
        shape.count *= dims[i];
    }
    return shape;
}

bool es_nn_shape_same(es_nn_shape a, es_nn_shape b)
{
    return a.rank == b.rank && memcmp(a.dims, b.dims, a.rank * sizeof *a.dims) == 0;
}

const char *es_nn_shape_text(es_nn_shape shape, char text[ES_NN_SHAPE_TEXT])
{
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < shape.rank && size < ES_NN_SHAPE_TEXT; i++)
        size += (size_t)snprintf(text + size, ES_NN_SHAPE_TEXT - size, "%s%zu", i > 0 ? " x " : "",
                                 shape.dims[i]);
    return text;
}

/* ---- helpers ---- */

static es_nn_shape input_shape(const es_nn *nn, const es_nn_layer *layer, size_t index)
{
    return es_nn_at(nn, layer->inputs[index])->shape;
}

static es_status add_param(es_nn_layer *layer, es_nn_role role, size_t rank, const size_t *dims,
                           es_error *err)
{
    assert(layer->param_count < ES_NN_PARAMS_MAX);
    es_nn_param *param = &layer->params[layer->param_count++];
    *param = (es_nn_param){.role = role, .rank = rank, .count = 1};
    for (size_t i = 0; i < rank; i++) {
        param->dims[i] = dims[i];
        if (!es_size_mul(param->count, dims[i], &param->count))
            return es_nn_fail(layer, err, "more parameters than can be counted");
    }
    return ES_OK;
}

static es_status add_vectors(es_nn_layer *layer, const es_nn_role *roles, size_t count, size_t size,
                             es_error *err)
{
    for (size_t i = 0; i < count; i++)
        ES_TRY(add_param(layer, roles[i], 1, &size, err));
    return ES_OK;
}

static es_status need_units(const es_nn_layer *layer, size_t units, es_error *err)
{
    if (units >= 1 && units <= CHANNELS_MAX)
        return ES_OK;
    return es_nn_fail(layer, err, "%zu units, expected 1 to %d", units, CHANNELS_MAX);
}

static es_status need_rank(const es_nn_layer *layer, es_nn_shape shape, size_t min, size_t max,
                           es_error *err)
{
    static const char *const wanted[] = {"", "{features}", "{channels, steps}",
                                         "{channels, rows, columns}"};
    char text[ES_NN_SHAPE_TEXT];
    if (shape.rank >= min && shape.rank <= max)
        return ES_OK;
    return es_nn_fail(layer, err, "its input is {%s}, expected %s%s%s",
                      es_nn_shape_text(shape, text), wanted[min], min != max ? " or " : "",
                      min != max ? wanted[max] : "");
}

static es_status set_shape(es_nn_layer *layer, size_t rank, const size_t *dims, es_error *err)
{
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] == 0)
            return es_nn_fail(layer, err, "dimension %zu would be 0", i);
        if (!es_size_mul(count, dims[i], &count))
            return es_nn_fail(layer, err, "more values than can be counted");
    }
    layer->shape = es_nn_shape_of(rank, dims);
    return ES_OK;
}

/* ---- windows ---- */

static void window_defaults(es_nn_window *window, size_t places)
{
    for (size_t i = 0; i < 2; i++) {
        if (i >= places) {
            window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
            window->pad_before[i] = window->pad_after[i] = 0;
        }
        if (window->stride[i] == 0)
            window->stride[i] = 1;
        if (window->dilation[i] == 0)
            window->dilation[i] = 1;
    }
}

/* Places of a window along one dimension: floor((in + pads - reach) / stride) + 1, where reach =
 * dilation (kernel - 1) + 1. */
static es_status slide(const es_nn_layer *layer, size_t in, size_t i, size_t *out, es_error *err)
{
    const es_nn_window *w = &layer->window;
    if (w->kernel[i] == 0 || w->kernel[i] > KERNEL_MAX || w->dilation[i] > KERNEL_MAX ||
        w->stride[i] > KERNEL_MAX || w->pad_before[i] > CHANNELS_MAX ||
        w->pad_after[i] > CHANNELS_MAX)
        return es_nn_fail(layer, err,
                          "kernel %zu, stride %zu, dilation %zu, padding %zu and %zu: "
                          "expected kernel, stride, dilation 1 to %d, padding up to %d",
                          w->kernel[i], w->stride[i], w->dilation[i], w->pad_before[i],
                          w->pad_after[i], KERNEL_MAX, CHANNELS_MAX);
    size_t reach = w->dilation[i] * (w->kernel[i] - 1) + 1;
    size_t padded = 0;
    if (!es_size_add(in, w->pad_before[i] + w->pad_after[i], &padded) || padded < reach)
        return es_nn_fail(layer, err, "a window reaches over %zu places, its padded input has %zu",
                          reach, padded);
    *out = (padded - reach) / w->stride[i] + 1;
    return ES_OK;
}

static es_status slide_all(es_nn_layer *layer, es_nn_shape in, size_t channels, es_error *err)
{
    size_t dims[ES_NN_RANK_MAX] = {channels};
    for (size_t i = 0; i + 1 < in.rank; i++)
        ES_TRY(slide(layer, in.dims[i + 1], i, &dims[i + 1], err));
    return set_shape(layer, in.rank, dims, err);
}

void es_nn_pad_same(es_nn_window *window, size_t dim, size_t in)
{
    size_t stride = window->stride[dim] > 0 ? window->stride[dim] : 1;
    size_t dilation = window->dilation[dim] > 0 ? window->dilation[dim] : 1;
    size_t kernel = window->kernel[dim] > 0 ? window->kernel[dim] : 1;
    size_t last = (in - 1) / stride * stride + dilation * (kernel - 1) + 1; /* end of last window */
    size_t all = last > in ? last - in : 0;
    window->pad_before[dim] = all / 2;
    window->pad_after[dim] = all - all / 2;
}

/* ---- kinds ---- */

static es_status infer_conv(es_nn_layer *layer, es_nn_shape in, size_t units, bool bias,
                            es_error *err)
{
    ES_TRY(need_rank(layer, in, 2, 3, err));
    ES_TRY(need_units(layer, units, err));
    if (layer->groups == 0)
        layer->groups = 1;
    if (in.dims[0] % layer->groups != 0 || units % layer->groups != 0)
        return es_nn_fail(layer, err,
                          "%zu groups, which must divide %zu input and %zu output channels",
                          layer->groups, in.dims[0], units);
    window_defaults(&layer->window, in.rank - 1);
    ES_TRY(slide_all(layer, in, units, err));
    size_t dims[ES_NN_RANK_MAX] = {units, in.dims[0] / layer->groups, layer->window.kernel[0],
                                   layer->window.kernel[1]};
    ES_TRY(add_param(layer, ES_NN_WEIGHT, in.rank + 1, dims, err));
    return bias ? add_param(layer, ES_NN_BIAS, 1, dims, err) : ES_OK;
}

static es_status infer_dense(es_nn_layer *layer, es_nn_shape in, size_t units, bool bias,
                             es_error *err)
{
    ES_TRY(need_rank(layer, in, 1, 1, err));
    ES_TRY(need_units(layer, units, err));
    size_t dims[2] = {units, in.dims[0]};
    ES_TRY(set_shape(layer, 1, dims, err));
    ES_TRY(add_param(layer, ES_NN_WEIGHT, 2, dims, err));
    return bias ? add_param(layer, ES_NN_BIAS, 1, dims, err) : ES_OK;
}

static es_status infer_gru(es_nn_layer *layer, es_nn_shape in, size_t units, bool bias,
                           es_error *err)
{
    ES_TRY(need_rank(layer, in, 2, 2, err));
    ES_TRY(need_units(layer, units, err));
    ES_TRY(set_shape(layer, 2, (const size_t[]){units, in.dims[1]}, err));
    ES_TRY(add_param(layer, ES_NN_WEIGHT, 2, (const size_t[]){3 * units, in.dims[0]}, err));
    ES_TRY(add_param(layer, ES_NN_RECURRENT, 2, (const size_t[]){3 * units, units}, err));
    return bias ? add_param(layer, ES_NN_BIAS, 1, (const size_t[]){6 * units}, err) : ES_OK;
}

static es_status infer_batch_norm(es_nn_layer *layer, es_nn_shape in, es_error *err)
{
    static const es_nn_role roles[] = {ES_NN_GAMMA, ES_NN_BETA, ES_NN_MEAN, ES_NN_VARIANCE};
    if (layer->epsilon == 0)
        layer->epsilon = 1e-5;
    if (layer->momentum == 0)
        layer->momentum = 0.9;
    if (!(layer->epsilon > 0 && layer->epsilon < 1))
        return es_nn_fail(layer, err, "epsilon %g, must be above 0 and below 1", layer->epsilon);
    if (!(layer->momentum >= 0 && layer->momentum < 1))
        return es_nn_fail(layer, err, "momentum %g, must be 0 to below 1", layer->momentum);
    layer->shape = in;
    return add_vectors(layer, roles, 4, in.dims[0], err);
}

static es_status infer_scale(es_nn_layer *layer, es_nn_shape in, size_t size, es_error *err)
{
    static const es_nn_role roles[] = {ES_NN_FACTOR, ES_NN_OFFSET};
    layer->shape = in;
    return add_vectors(layer, roles, 2, size, err);
}

static es_status infer_pool(es_nn_layer *layer, es_nn_shape in, es_error *err)
{
    ES_TRY(need_rank(layer, in, 2, 3, err));
    window_defaults(&layer->window, in.rank - 1);
    const es_nn_window *w = &layer->window;
    for (size_t i = 0; i < 2; i++) {
        if (w->dilation[i] != 1)
            return es_nn_fail(layer, err, "dilation %zu, must be 1", w->dilation[i]);
        /* Else a window might hold padding only. */
        if (w->kernel[i] > 0 &&
            (w->pad_before[i] >= w->kernel[i] || w->pad_after[i] >= w->kernel[i]))
            return es_nn_fail(layer, err, "padding %zu and %zu must be below the kernel, %zu",
                              w->pad_before[i], w->pad_after[i], w->kernel[i]);
    }
    return slide_all(layer, in, in.dims[0], err);
}

static es_status infer_upsample(es_nn_layer *layer, es_nn_shape in, es_error *err)
{
    ES_TRY(need_rank(layer, in, 2, 3, err));
    size_t dims[ES_NN_RANK_MAX] = {in.dims[0]};
    window_defaults(&layer->window, in.rank - 1);
    for (size_t i = 1; i < in.rank; i++) {
        if (!es_size_mul(in.dims[i], layer->window.stride[i - 1], &dims[i]))
            return es_nn_fail(layer, err, "more values than can be counted");
    }
    return set_shape(layer, in.rank, dims, err);
}

static es_status infer_add(const es_nn *nn, es_nn_layer *layer, es_error *err)
{
    char one[ES_NN_SHAPE_TEXT];
    char other[ES_NN_SHAPE_TEXT];
    layer->shape = input_shape(nn, layer, 0);
    for (size_t i = 1; i < layer->input_count; i++) {
        es_nn_shape shape = input_shape(nn, layer, i);
        if (!es_nn_shape_same(layer->shape, shape))
            return es_nn_fail(layer, err, "'%s' is {%s} and '%s' is {%s}, must be the same",
                              es_nn_at(nn, layer->inputs[0])->name,
                              es_nn_shape_text(layer->shape, one),
                              es_nn_at(nn, layer->inputs[i])->name, es_nn_shape_text(shape, other));
    }
    return ES_OK;
}

static es_status infer_concat(const es_nn *nn, es_nn_layer *layer, es_error *err)
{
    char one[ES_NN_SHAPE_TEXT];
    char other[ES_NN_SHAPE_TEXT];
    es_nn_shape all = input_shape(nn, layer, 0);
    for (size_t i = 1; i < layer->input_count; i++) {
        es_nn_shape shape = input_shape(nn, layer, i);
        if (shape.rank != all.rank ||
            memcmp(shape.dims + 1, all.dims + 1, (all.rank - 1) * sizeof *all.dims) != 0)
            return es_nn_fail(layer, err,
                              "'%s' is {%s} and '%s' is {%s}, may differ in channels only",
                              es_nn_at(nn, layer->inputs[0])->name, es_nn_shape_text(all, one),
                              es_nn_at(nn, layer->inputs[i])->name, es_nn_shape_text(shape, other));
        if (!es_size_add(all.dims[0], shape.dims[0], &all.dims[0]))
            return es_nn_fail(layer, err, "more values than can be counted");
    }
    return set_shape(layer, all.rank, all.dims, err);
}

static es_status need_inputs(const es_nn_layer *layer, es_error *err)
{
    bool many = layer->kind == ES_NN_ADD || layer->kind == ES_NN_CONCAT;
    size_t wanted = layer->kind == ES_NN_INPUT ? 0 : 1;
    if (many ? layer->input_count >= 2 : layer->input_count == wanted)
        return ES_OK;
    return es_nn_fail(layer, err, "%zu inputs, expected %s", layer->input_count,
                      many          ? "2 or more"
                      : wanted == 1 ? "1"
                                    : "none");
}

static es_status infer_input(es_nn_layer *layer, es_error *err)
{
    if (layer->shape.rank < 1 || layer->shape.rank > 3)
        return es_nn_fail(layer, err, "%zu dimensions, expected 1 to 3", layer->shape.rank);
    return set_shape(layer, layer->shape.rank, layer->shape.dims, err);
}

static es_status infer_dropout(es_nn_layer *layer, es_nn_shape in, es_error *err)
{
    if (!(layer->rate >= 0 && layer->rate < 1))
        return es_nn_fail(layer, err, "rate %g, must be 0 to below 1", layer->rate);
    layer->shape = in;
    return ES_OK;
}

es_status es_nn_infer(const es_nn *nn, es_nn_layer *layer, size_t units, bool bias, es_error *err)
{
    ES_TRY(need_inputs(layer, err));
    layer->param_count = 0;
    es_nn_shape in = layer->input_count > 0 ? input_shape(nn, layer, 0) : layer->shape;
    switch (layer->kind) {
    case ES_NN_INPUT:
        return infer_input(layer, err);
    case ES_NN_CONV:
        return infer_conv(layer, in, units, bias, err);
    case ES_NN_DENSE:
        return infer_dense(layer, in, units, bias, err);
    case ES_NN_BATCH_NORM:
        return infer_batch_norm(layer, in, err);
    case ES_NN_SCALE:
        return infer_scale(layer, in, in.dims[0], err);
    case ES_NN_QUANTISE:
        return infer_scale(layer, in, 1, err);
    case ES_NN_RELU:
    case ES_NN_RELU6:
    case ES_NN_HARD_SWISH:
    case ES_NN_SIGMOID:
    case ES_NN_TANH:
    case ES_NN_SOFTMAX:
        layer->shape = in;
        return ES_OK;
    case ES_NN_MAX_POOL:
    case ES_NN_AVERAGE_POOL:
        return infer_pool(layer, in, err);
    case ES_NN_GLOBAL_POOL:
        ES_TRY(need_rank(layer, in, 2, 3, err));
        return set_shape(layer, 1, in.dims, err);
    case ES_NN_ADD:
        return infer_add(nn, layer, err);
    case ES_NN_CONCAT:
        return infer_concat(nn, layer, err);
    case ES_NN_FLATTEN:
        return set_shape(layer, 1, &in.count, err);
    case ES_NN_DROPOUT:
        return infer_dropout(layer, in, err);
    case ES_NN_UPSAMPLE:
        return infer_upsample(layer, in, err);
    case ES_NN_GRU:
        return infer_gru(layer, in, units, bias, err);
    case ES_NN_LAST:
        ES_TRY(need_rank(layer, in, 2, 2, err));
        return set_shape(layer, 1, in.dims, err);
    case ES_NN_KIND_COUNT:
        break;
    }
    return es_fail(err, ES_ERR_ARG, "layer '%s': kind %d is not known", layer->name,
                   (int)layer->kind);
}

/* ---- parameters ---- */

es_status es_nn_params_take(es_arena *arena, es_nn_layer *layer, es_error *err)
{
    for (size_t p = 0; p < layer->param_count; p++) {
        es_nn_param *param = &layer->params[p];
        param->values = ES_TAKE_ARRAY(arena, float, param->count);
        if (param->values == NULL)
            return es_arena_full(arena, "parameters", err);
        bool ones = param->role == ES_NN_GAMMA || param->role == ES_NN_VARIANCE ||
                    param->role == ES_NN_FACTOR;
        for (size_t i = 0; ones && i < param->count; i++)
            param->values[i] = 1;
    }
    return ES_OK;
}

size_t es_nn_units_of(const es_nn_layer *layer)
{
    if (layer->param_count == 0)
        return 0;
    size_t rows = layer->params[0].dims[0];
    switch ((int)layer->kind) {
    case ES_NN_CONV:
    case ES_NN_DENSE:
        return rows;
    case ES_NN_GRU:
        return rows / 3;
    default:
        return 0;
    }
}

bool es_nn_has_bias(const es_nn_layer *layer)
{
    for (size_t i = 0; i < layer->param_count; i++) {
        if (layer->params[i].role == ES_NN_BIAS)
            return true;
    }
    return false;
}

es_status es_nn_give_bias(es_nn *nn, es_nn_layer *layer, es_error *err)
{
    if (es_nn_has_bias(layer))
        return ES_OK;
    es_nn_param bias = {.role = ES_NN_BIAS, .rank = 1, .count = layer->params[0].dims[0]};
    bias.dims[0] = bias.count;
    bias.values = ES_TAKE_ARRAY(nn->arena, float, bias.count);
    if (bias.values == NULL)
        return es_arena_full(nn->arena, "bias", err);
    layer->params[layer->param_count++] = bias;
    return ES_OK;
}
