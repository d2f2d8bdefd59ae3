/* Batch normalisation, fixed scaling, softmax. */
#include "train/internal.h"

#include <math.h>

/* Statistics of the batch are used and gradients flow through them. */
static bool by_batch(const es_plain_op *op)
{
    return op->training && !op->layer->frozen;
}

/* saved: [channels] mean, then [channels] variance that were used. */
static size_t norm_saved(const es_plain_op *op)
{
    return 2 * es_shape_channels(op->layer->shape);
}

static void batch_statistics(const es_plain_op *op, size_t c, es_real *mean, es_real *variance)
{
    size_t channels = es_shape_channels(op->layer->shape);
    size_t inner = es_shape_inner(op->layer->shape);
    double count = (double)(op->samples * inner);
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < op->samples; i++)
        for (size_t k = 0; k < inner; k++)
            sum += (double)op->in[0][(i * channels + c) * inner + k];
    for (size_t i = 0; i < op->samples; i++) {
        for (size_t k = 0; k < inner; k++) {
            double away = (double)op->in[0][(i * channels + c) * inner + k] - sum / count;
            squares += away * away;
        }
    }
    *mean = (es_real)(sum / count);
    *variance = (es_real)(squares / count);
}

static void forward_chunk(const es_plain_op *op, size_t chunk)
{
    size_t channels = es_shape_channels(op->layer->shape);
    es_plain_range range = es_plain_chunk(op, chunk, channels);
    size_t inner = es_shape_inner(op->layer->shape);
    const es_real *gamma = es_plain_param(op, ES_NN_GAMMA);
    const es_real *beta = es_plain_param(op, ES_NN_BETA);
    for (size_t c = range.from; c < range.to; c++) {
        es_real *mean = &op->saved[c];
        es_real *variance = &op->saved[channels + c];
        *mean = es_plain_param(op, ES_NN_MEAN)[c];
        *variance = es_plain_param(op, ES_NN_VARIANCE)[c];
        if (by_batch(op))
            batch_statistics(op, c, mean, variance);
        es_real factor = (es_real)((double)gamma[c] / sqrt((double)*variance + op->layer->epsilon));
        for (size_t i = 0; i < op->samples; i++)
            for (size_t k = 0, at = (i * channels + c) * inner; k < inner; k++, at++)
                op->out[at] = (op->in[0][at] - *mean) * factor + beta[c];
    }
}

static void norm_forward(const es_plain_op *op)
{
    es_plain_each(op, forward_chunk);
}

/* With h = (x - mean) / deviation: dx = gamma / deviation (dy - mean(dy) - h mean(dy h)), the two
 * means only where the statistics are the batch's. */
static void backward_chunk(const es_plain_op *op, size_t chunk)
{
    size_t channels = es_shape_channels(op->layer->shape);
    es_plain_range range = es_plain_chunk(op, chunk, channels);
    size_t inner = es_shape_inner(op->layer->shape);
    es_real *gamma_gradient = es_plain_param_gradient(op, ES_NN_GAMMA);
    es_real *beta_gradient = es_plain_param_gradient(op, ES_NN_BETA);
    double count = (double)(op->samples * inner);
    for (size_t c = range.from; c < range.to; c++) {
        double mean = (double)op->saved[c];
        double deviation = sqrt((double)op->saved[channels + c] + op->layer->epsilon);
        double sum = 0;
        double with_h = 0;
        for (size_t i = 0; i < op->samples; i++) {
            for (size_t k = 0, at = (i * channels + c) * inner; k < inner; k++, at++) {
                sum += (double)op->out_gradient[at];
                with_h += (double)op->out_gradient[at] * ((double)op->in[0][at] - mean) / deviation;
            }
        }
        if (gamma_gradient != NULL)
            gamma_gradient[c] += (es_real)with_h;
        if (beta_gradient != NULL)
            beta_gradient[c] += (es_real)sum;
        double factor = (double)es_plain_param(op, ES_NN_GAMMA)[c] / deviation;
        double shift = by_batch(op) ? sum / count : 0;
        double slope = by_batch(op) ? with_h / count : 0;
        for (size_t i = 0; op->in_gradients[0] != NULL && i < op->samples; i++) {
            for (size_t k = 0, at = (i * channels + c) * inner; k < inner; k++, at++) {
                double h = ((double)op->in[0][at] - mean) / deviation;
                op->in_gradients[0][at] +=
                    (es_real)(factor * ((double)op->out_gradient[at] - shift - h * slope));
            }
        }
    }
}

static void norm_backward(const es_plain_op *op)
{
    es_plain_each(op, backward_chunk);
}

const es_plain_kind es_plain_batch_norm = {
    .forward = norm_forward, .backward = norm_backward, .saved_count = norm_saved};

static void scale_forward(const es_plain_op *op)
{
    size_t channels = es_shape_channels(op->layer->shape);
    size_t inner = es_shape_inner(op->layer->shape);
    const es_real *factor = es_plain_param(op, ES_NN_FACTOR);
    const es_real *offset = es_plain_param(op, ES_NN_OFFSET);
    for (size_t row = 0; row < op->samples * channels; row++)
        for (size_t k = 0, at = row * inner; k < inner; k++, at++)
            op->out[at] = op->in[0][at] * factor[row % channels] + offset[row % channels];
}

static void scale_backward(const es_plain_op *op)
{
    size_t channels = es_shape_channels(op->layer->shape);
    size_t inner = es_shape_inner(op->layer->shape);
    const es_real *factor = es_plain_param(op, ES_NN_FACTOR);
    if (op->in_gradients[0] == NULL)
        return;
    for (size_t row = 0; row < op->samples * channels; row++)
        for (size_t k = 0, at = row * inner; k < inner; k++, at++)
            op->in_gradients[0][at] += op->out_gradient[at] * factor[row % channels];
}

const es_plain_kind es_plain_scale = {.forward = scale_forward, .backward = scale_backward};

/* Over the channels, at each place. */
static void softmax_forward(const es_plain_op *op)
{
    size_t channels = es_shape_channels(op->layer->shape);
    size_t inner = es_shape_inner(op->layer->shape);
    for (size_t place = 0; place < op->samples * inner; place++) {
        size_t first = place / inner * channels * inner + place % inner;
        const es_real *in = op->in[0] + first;
        es_real *out = op->out + first;
        double top = (double)in[0];
        double sum = 0;
        for (size_t c = 1; c < channels; c++)
            top = fmax(top, (double)in[c * inner]);
        for (size_t c = 0; c < channels; c++)
            sum += exp((double)in[c * inner] - top);
        for (size_t c = 0; c < channels; c++)
            out[c * inner] = (es_real)(exp((double)in[c * inner] - top) / sum);
    }
}

static void softmax_backward(const es_plain_op *op)
{
    size_t channels = es_shape_channels(op->layer->shape);
    size_t inner = es_shape_inner(op->layer->shape);
    for (size_t place = 0; op->in_gradients[0] != NULL && place < op->samples * inner; place++) {
        size_t first = place / inner * channels * inner + place % inner;
        const es_real *out = op->out + first;
        const es_real *gradient = op->out_gradient + first;
        double sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += (double)out[c * inner] * (double)gradient[c * inner];
        for (size_t c = 0; c < channels; c++)
            op->in_gradients[0][first + c * inner] +=
                (es_real)((double)out[c * inner] * ((double)gradient[c * inner] - sum));
    }
}

const es_plain_kind es_plain_softmax = {.forward = softmax_forward, .backward = softmax_backward};
