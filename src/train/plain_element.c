/* Operators that work value by value: activations, dropout, add, concat, quantise. */
#include "train/internal.h"

#include <tgmath.h>

static size_t total(const es_plain_op *op)
{
    return op->samples * op->layer->shape.count;
}

/* f(x) and its slope, told by x and y = f(x). */
#define ACTIVATION(name, value, slope)                                                             \
    static void name##_forward(const es_plain_op *op)                                              \
    {                                                                                              \
        for (size_t i = 0; i < total(op); i++) {                                                   \
            es_real x = op->in[0][i];                                                              \
            op->out[i] = (value);                                                                  \
        }                                                                                          \
    }                                                                                              \
    static void name##_backward(const es_plain_op *op)                                             \
    {                                                                                              \
        for (size_t i = 0; op->in_gradients[0] != NULL && i < total(op); i++) {                    \
            es_real x = op->in[0][i];                                                              \
            es_real y = op->out[i];                                                                \
            (void)x;                                                                               \
            (void)y;                                                                               \
            op->in_gradients[0][i] += op->out_gradient[i] * (slope);                               \
        }                                                                                          \
    }                                                                                              \
    const es_plain_kind es_plain_##name = {.forward = name##_forward, .backward = name##_backward}

static es_real logistic(es_real x)
{
    return 1 / (1 + exp(-x));
}

static es_real hard_sigmoid(es_real x)
{
    return x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + (es_real)0.5;
}

ACTIVATION(relu, x > 0 ? x : 0, x > 0 ? 1 : 0);
ACTIVATION(relu6, x > 0 ? (x < 6 ? x : 6) : 0, x > 0 && x < 6 ? 1 : 0);
ACTIVATION(hard_swish, x *hard_sigmoid(x), x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + (es_real)0.5);
ACTIVATION(sigmoid, logistic(x), y *(1 - y));
ACTIVATION(tanh, tanh(x), 1 - y * y);

/* Flatten and the like: the values as they are. */
static void copy_forward(const es_plain_op *op)
{
    memcpy(op->out, op->in[0], total(op) * sizeof *op->out);
}

static void copy_backward(const es_plain_op *op)
{
    for (size_t i = 0; op->in_gradients[0] != NULL && i < total(op); i++)
        op->in_gradients[0][i] += op->out_gradient[i];
}

const es_plain_kind es_plain_copy = {.forward = copy_forward, .backward = copy_backward};

static void add_forward(const es_plain_op *op)
{
    copy_forward(op);
    for (size_t k = 1; k < op->layer->input_count; k++)
        for (size_t i = 0; i < total(op); i++)
            op->out[i] += op->in[k][i];
}

static void add_backward(const es_plain_op *op)
{
    for (size_t k = 0; k < op->layer->input_count; k++)
        for (size_t i = 0; op->in_gradients[k] != NULL && i < total(op); i++)
            op->in_gradients[k][i] += op->out_gradient[i];
}

const es_plain_kind es_plain_add = {.forward = add_forward, .backward = add_backward};

static void concat_forward(const es_plain_op *op)
{
    size_t whole = op->layer->shape.count;
    size_t first = 0;
    for (size_t k = 0; k < op->layer->input_count; k++) {
        size_t part = op->in_shapes[k].count;
        for (size_t i = 0; i < op->samples; i++)
            memcpy(op->out + i * whole + first, op->in[k] + i * part, part * sizeof *op->out);
        first += part;
    }
}

static void concat_backward(const es_plain_op *op)
{
    size_t whole = op->layer->shape.count;
    size_t first = 0;
    for (size_t k = 0; k < op->layer->input_count; k++) {
        size_t part = op->in_shapes[k].count;
        for (size_t i = 0; op->in_gradients[k] != NULL && i < op->samples; i++)
            for (size_t p = 0; p < part; p++)
                op->in_gradients[k][i * part + p] += op->out_gradient[i * whole + first + p];
        first += part;
    }
}

const es_plain_kind es_plain_concat = {.forward = concat_forward, .backward = concat_backward};

/* ---- dropout ---- */

void es_dropout_mask(const es_nn_layer *layer, uint64_t seed, uint64_t step, size_t count,
                     es_real *out)
{
    uint64_t stream = seed; /* the layer's own, by its name: neighbours do not matter */
    for (const char *at = layer->name; *at != '\0'; at++)
        stream = (stream ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    es_rng rng = es_rng_make(stream, step);
    es_real kept = (es_real)(1 / (1 - layer->rate));
    for (size_t i = 0; i < count; i++)
        out[i] = es_rng_double(&rng) < layer->rate ? 0 : kept;
}

static size_t dropout_saved(const es_plain_op *op)
{
    return total(op);
}

static void dropout_forward(const es_plain_op *op)
{
    if (!op->dropout) {
        copy_forward(op);
        return;
    }
    es_dropout_mask(op->layer, op->seed, op->step, total(op), op->saved);
    for (size_t i = 0; i < total(op); i++)
        op->out[i] = op->in[0][i] * op->saved[i];
}

static void dropout_backward(const es_plain_op *op)
{
    for (size_t i = 0; op->in_gradients[0] != NULL && i < total(op); i++)
        op->in_gradients[0][i] += op->out_gradient[i] * (op->dropout ? op->saved[i] : 1);
}

const es_plain_kind es_plain_dropout = {
    .forward = dropout_forward, .backward = dropout_backward, .saved_count = dropout_saved};

/* ---- quantise ---- */

/* q = clamp(round(x / factor) + offset, 0, 255), back: (q - offset) factor. Half to even, as ONNX
 * says. *out_inside: the gradient passes. */
static es_real quantised(const es_plain_op *op, es_real x, bool *out_inside)
{
    double factor = (double)es_plain_param(op, ES_NN_FACTOR)[0];
    double offset = (double)es_plain_param(op, ES_NN_OFFSET)[0];
    double q = nearbyint((double)x / factor) + offset;
    *out_inside = q >= 0 && q <= 255;
    return (es_real)((fmin(fmax(q, 0), 255) - offset) * factor);
}

static void quantise_forward(const es_plain_op *op)
{
    bool inside = false;
    for (size_t i = 0; i < total(op); i++)
        op->out[i] = quantised(op, op->in[0][i], &inside);
}

static void quantise_backward(const es_plain_op *op)
{
    for (size_t i = 0; op->in_gradients[0] != NULL && i < total(op); i++) {
        bool inside = false;
        (void)quantised(op, op->in[0][i], &inside); /* only whether it was inside */
        op->in_gradients[0][i] += inside ? op->out_gradient[i] : 0;
    }
}

const es_plain_kind es_plain_quantise = {.forward = quantise_forward,
                                         .backward = quantise_backward};
