#include "nn/testing/forward.h"

#include <assert.h>
#include <math.h>

/* Values of one sample as {channels, rows, columns}; a series is one row, features are channels. */
typedef struct view {
    size_t channels, rows, columns;
    double *values;
} view;

static view view_of(es_nn_shape shape, double *values)
{
    view v = {.channels = shape.dims[0], .rows = 1, .columns = 1, .values = values};
    if (shape.rank == 2)
        v.columns = shape.dims[1];
    if (shape.rank == 3) {
        v.rows = shape.dims[1];
        v.columns = shape.dims[2];
    }
    return v;
}

static double *at(view v, size_t c, size_t r, size_t k)
{
    return &v.values[(c * v.rows + r) * v.columns + k];
}

/* The window of a layer as rows and columns: a series slides along columns. */
static es_nn_window window_of(const es_nn_layer *layer)
{
    es_nn_window w = layer->window;
    if (layer->shape.rank == 2) {
        w.kernel[1] = w.kernel[0];
        w.stride[1] = w.stride[0];
        w.dilation[1] = w.dilation[0];
        w.pad_before[1] = w.pad_before[0];
        w.kernel[0] = w.stride[0] = w.dilation[0] = 1;
        w.pad_before[0] = 0;
    }
    return w;
}

/* Where tap i of the window at place p lies; false in the padding. */
static bool tap(const es_nn_window *w, size_t dim, size_t p, size_t i, size_t size, size_t *out)
{
    size_t padded = p * w->stride[dim] + i * w->dilation[dim];
    if (padded < w->pad_before[dim] || padded - w->pad_before[dim] >= size)
        return false;
    *out = padded - w->pad_before[dim];
    return true;
}

static void conv(const es_nn_layer *layer, view x, view y)
{
    es_nn_window w = window_of(layer);
    const float *weight = layer->params[0].values;
    size_t in = x.channels / layer->groups;
    size_t out = y.channels / layer->groups;
    for (size_t o = 0; o < y.channels; o++)
        for (size_t r = 0; r < y.rows; r++)
            for (size_t k = 0; k < y.columns; k++) {
                double sum = layer->param_count > 1 ? (double)layer->params[1].values[o] : 0;
                for (size_t c = 0; c < in; c++)
                    for (size_t i = 0; i < w.kernel[0]; i++)
                        for (size_t j = 0; j < w.kernel[1]; j++) {
                            size_t row = 0;
                            size_t column = 0;
                            if (tap(&w, 0, r, i, x.rows, &row) &&
                                tap(&w, 1, k, j, x.columns, &column))
                                sum +=
                                    (double)
                                        weight[((o * in + c) * w.kernel[0] + i) * w.kernel[1] + j] *
                                    *at(x, o / out * in + c, row, column);
                        }
                *at(y, o, r, k) = sum;
            }
}

static void pool(const es_nn_layer *layer, view x, view y)
{
    es_nn_window w = window_of(layer);
    for (size_t c = 0; c < y.channels; c++)
        for (size_t r = 0; r < y.rows; r++)
            for (size_t k = 0; k < y.columns; k++) {
                double sum = 0;
                double max = -HUGE_VAL;
                double count = 0;
                for (size_t i = 0; i < w.kernel[0]; i++)
                    for (size_t j = 0; j < w.kernel[1]; j++) {
                        size_t row = 0;
                        size_t column = 0;
                        if (!tap(&w, 0, r, i, x.rows, &row) ||
                            !tap(&w, 1, k, j, x.columns, &column))
                            continue;
                        sum += *at(x, c, row, column);
                        max = fmax(max, *at(x, c, row, column));
                        count++;
                    }
                assert(count > 0);
                *at(y, c, r, k) = layer->kind == ES_NN_MAX_POOL ? max : sum / count;
            }
}

static void dense(const es_nn_layer *layer, view x, view y)
{
    for (size_t o = 0; o < y.channels; o++) {
        double sum = layer->param_count > 1 ? (double)layer->params[1].values[o] : 0;
        for (size_t i = 0; i < x.channels; i++)
            sum += (double)layer->params[0].values[o * x.channels + i] * x.values[i];
        y.values[o] = sum;
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Gates z, r, h one below the other; h_t = (1 - z) tanh(W_h x + b_Wh + r (R_h h + b_Rh)) + z h. */
static void gru(const es_nn_layer *layer, view x, view y)
{
    size_t units = y.channels;
    const float *w = layer->params[0].values;
    const float *u = layer->params[1].values;
    const float *b = layer->param_count > 2 ? layer->params[2].values : NULL;
    for (size_t t = 0; t < x.columns; t++)
        for (size_t o = 0; o < units; o++) {
            double from_x[3];
            double from_h[3];
            for (size_t g = 0; g < 3; g++) {
                from_x[g] = b != NULL ? (double)b[g * units + o] : 0;
                from_h[g] = b != NULL ? (double)b[(3 + g) * units + o] : 0;
                for (size_t c = 0; c < x.channels; c++)
                    from_x[g] += (double)w[(g * units + o) * x.channels + c] * *at(x, c, 0, t);
                for (size_t c = 0; t > 0 && c < units; c++)
                    from_h[g] += (double)u[(g * units + o) * units + c] * *at(y, c, 0, t - 1);
            }
            double z = sigmoid(from_x[0] + from_h[0]);
            double r = sigmoid(from_x[1] + from_h[1]);
            double h = tanh(from_x[2] + r * from_h[2]);
            *at(y, o, 0, t) = (1 - z) * h + (t > 0 ? z * *at(y, o, 0, t - 1) : 0);
        }
}

static void global_pool(view x, view y)
{
    for (size_t c = 0; c < x.channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < x.rows * x.columns; i++)
            sum += x.values[c * x.rows * x.columns + i];
        y.values[c] = sum / (double)(x.rows * x.columns);
    }
}

static void upsample(const es_nn_layer *layer, view x, view y)
{
    es_nn_window w = window_of(layer);
    for (size_t c = 0; c < y.channels; c++)
        for (size_t r = 0; r < y.rows; r++)
            for (size_t k = 0; k < y.columns; k++)
                *at(y, c, r, k) = *at(x, c, r / w.stride[0], k / w.stride[1]);
}

static void softmax(view x, view y)
{
    for (size_t r = 0; r < x.rows; r++)
        for (size_t k = 0; k < x.columns; k++) {
            double max = -HUGE_VAL;
            double sum = 0;
            for (size_t c = 0; c < x.channels; c++)
                max = fmax(max, *at(x, c, r, k));
            for (size_t c = 0; c < x.channels; c++)
                sum += exp(*at(x, c, r, k) - max);
            for (size_t c = 0; c < x.channels; c++)
                *at(y, c, r, k) = exp(*at(x, c, r, k) - max) / sum;
        }
}

/* Rounds half to even, as the default mode of rint does. */
static double quantised(const es_nn_layer *layer, double x)
{
    double factor = (double)layer->params[0].values[0];
    double zero = (double)layer->params[1].values[0];
    return factor * (fmin(fmax(rint(x / factor) + zero, 0), 255) - zero);
}

static double element(const es_nn_layer *layer, double x)
{
    switch ((int)layer->kind) {
    case ES_NN_RELU:
        return fmax(x, 0);
    case ES_NN_RELU6:
        return fmin(fmax(x, 0), 6);
    case ES_NN_HARD_SWISH:
        return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case ES_NN_SIGMOID:
        return sigmoid(x);
    case ES_NN_TANH:
        return tanh(x);
    case ES_NN_QUANTISE:
        return quantised(layer, x);
    default: /* FLATTEN, DROPOUT */
        return x;
    }
}

static void add(const es_nn_layer *layer, double *const *inputs, view y)
{
    for (size_t i = 0; i < layer->shape.count; i++) {
        y.values[i] = 0;
        for (size_t k = 0; k < layer->input_count; k++)
            y.values[i] += inputs[k][i];
    }
}

static void concat(const es_nn *nn, const es_nn_layer *layer, double *const *inputs, view y)
{
    double *to = y.values;
    for (size_t k = 0; k < layer->input_count; k++) {
        size_t count = nn->layers.items[layer->inputs[k].index].shape.count;
        memcpy(to, inputs[k], count * sizeof *to);
        to += count;
    }
}

static void last(view x, view y)
{
    for (size_t c = 0; c < x.channels; c++)
        y.values[c] = *at(x, c, 0, x.columns - 1);
}

/* One layer of one sample, all kinds but those that look at the whole batch. */
static void sample(const es_nn *nn, const es_nn_layer *layer, double *const *inputs, double *out)
{
    view y = view_of(layer->shape, out);
    view x = view_of(nn->layers.items[layer->inputs[0].index].shape, inputs[0]);
    switch ((int)layer->kind) {
    case ES_NN_CONV:
        conv(layer, x, y);
        break;
    case ES_NN_DENSE:
        dense(layer, x, y);
        break;
    case ES_NN_MAX_POOL:
    case ES_NN_AVERAGE_POOL:
        pool(layer, x, y);
        break;
    case ES_NN_GLOBAL_POOL:
        global_pool(x, y);
        break;
    case ES_NN_ADD:
        add(layer, inputs, y);
        break;
    case ES_NN_CONCAT:
        concat(nn, layer, inputs, y);
        break;
    case ES_NN_UPSAMPLE:
        upsample(layer, x, y);
        break;
    case ES_NN_GRU:
        gru(layer, x, y);
        break;
    case ES_NN_LAST:
        last(x, y);
        break;
    case ES_NN_SOFTMAX:
        softmax(x, y);
        break;
    default:
        for (size_t i = 0; i < layer->shape.count; i++)
            out[i] = element(layer, inputs[0][i]);
    }
}

/* y = a x + b per channel. */
static void affine(const es_nn_layer *layer, size_t c, double a, double b, const double *x,
                   double *y, size_t batch)
{
    size_t places = layer->shape.count / layer->shape.dims[0];
    for (size_t n = 0; n < batch; n++)
        for (size_t i = 0; i < places; i++) {
            size_t k = n * layer->shape.count + c * places + i;
            y[k] = a * x[k] + b;
        }
}

static void batch_statistics(const es_nn_layer *layer, size_t c, const double *x, size_t batch,
                             double *out_mean, double *out_variance)
{
    size_t places = layer->shape.count / layer->shape.dims[0];
    double sum = 0;
    double squares = 0;
    for (size_t n = 0; n < batch; n++)
        for (size_t i = 0; i < places; i++)
            sum += x[n * layer->shape.count + c * places + i];
    *out_mean = sum / (double)(batch * places);
    for (size_t n = 0; n < batch; n++)
        for (size_t i = 0; i < places; i++) {
            double d = x[n * layer->shape.count + c * places + i] - *out_mean;
            squares += d * d;
        }
    *out_variance = squares / (double)(batch * places);
}

static void channels(const es_nn_layer *layer, const double *x, double *y, size_t batch,
                     bool training)
{
    for (size_t c = 0; c < layer->shape.dims[0]; c++) {
        double a = (double)layer->params[0].values[c];
        double b = (double)layer->params[1].values[c];
        if (layer->kind == ES_NN_BATCH_NORM) {
            double mean = (double)layer->params[2].values[c];
            double variance = (double)layer->params[3].values[c];
            if (training && !layer->frozen)
                batch_statistics(layer, c, x, batch, &mean, &variance);
            a /= sqrt(variance + layer->epsilon);
            b -= a * mean;
        }
        affine(layer, c, a, b, x, y, batch);
    }
}

double *const *nn_forward(es_arena *arena, const es_nn *nn, const float *input, size_t batch,
                          bool training)
{
    double **values = ES_TAKE_ARRAY(arena, double *, nn->layers.count);
    for (size_t i = 0; values != NULL && i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        size_t count = layer->shape.count;
        values[i] = ES_TAKE_ARRAY(arena, double, batch *count);
        if (values[i] == NULL)
            return NULL;
        if (layer->kind == ES_NN_INPUT) {
            for (size_t k = 0; k < batch * count; k++)
                values[i][k] = (double)input[k];
            continue;
        }
        if (layer->kind == ES_NN_BATCH_NORM || layer->kind == ES_NN_SCALE) {
            channels(layer, values[layer->inputs[0].index], values[i], batch, training);
            continue;
        }
        for (size_t n = 0; n < batch; n++) {
            double *inputs[ES_NN_INPUTS_MAX];
            for (size_t k = 0; k < layer->input_count; k++) {
                size_t size = nn->layers.items[layer->inputs[k].index].shape.count;
                inputs[k] = values[layer->inputs[k].index] + n * size;
            }
            sample(nn, layer, inputs, values[i] + n * count);
        }
    }
    return values;
}
