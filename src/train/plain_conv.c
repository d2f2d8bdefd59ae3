/* Convolution as a matrix product over patches (im2col), sample by sample; dense layers. */
#include "train/internal.h"

static size_t patch_size(const es_geometry *g)
{
    return g->channels / g->groups * g->kernel[0] * g->kernel[1];
}

static size_t places(const es_geometry *g)
{
    return g->out_rows * g->out_columns;
}

/* The row or column of the input that an output place and a kernel place meet, or SIZE_MAX where
 * that is padding. */
static size_t meet(const es_geometry *g, int axis, size_t out, size_t in_kernel, size_t size)
{
    size_t at = out * g->stride[axis] + in_kernel * g->dilation[axis];
    return at >= g->before[axis] && at - g->before[axis] < size ? at - g->before[axis] : SIZE_MAX;
}

/* One row of patches: values of one channel at one place of the kernel, for all output places. */
static void patch_row(const es_geometry *g, const es_real *plane, size_t u, size_t v,
                      es_real *restrict out)
{
    for (size_t r = 0; r < g->out_rows; r++) {
        size_t row = meet(g, 0, r, u, g->rows);
        for (size_t c = 0; c < g->out_columns; c++) {
            size_t column = meet(g, 1, c, v, g->columns);
            bool inside = row != SIZE_MAX && column != SIZE_MAX;
            out[r * g->out_columns + c] = inside ? plane[row * g->columns + column] : 0;
        }
    }
}

static void patch_row_back(const es_geometry *g, const es_real *restrict from, size_t u, size_t v,
                           es_real *plane)
{
    for (size_t r = 0; r < g->out_rows; r++) {
        size_t row = meet(g, 0, r, u, g->rows);
        for (size_t c = 0; row != SIZE_MAX && c < g->out_columns; c++) {
            size_t column = meet(g, 1, c, v, g->columns);
            if (column != SIZE_MAX)
                plane[row * g->columns + column] += from[r * g->out_columns + c];
        }
    }
}

static void patches(const es_geometry *g, const es_real *image, es_real *out)
{
    size_t area = g->kernel[0] * g->kernel[1];
    for (size_t c = 0; c < g->channels / g->groups; c++)
        for (size_t k = 0; k < area; k++)
            patch_row(g, image + c * g->rows * g->columns, k / g->kernel[1], k % g->kernel[1],
                      out + (c * area + k) * places(g));
}

static void patches_back(const es_geometry *g, const es_real *from, es_real *image)
{
    size_t area = g->kernel[0] * g->kernel[1];
    for (size_t c = 0; c < g->channels / g->groups; c++)
        for (size_t k = 0; k < area; k++)
            patch_row_back(g, from + (c * area + k) * places(g), k / g->kernel[1], k % g->kernel[1],
                           image + c * g->rows * g->columns);
}

/* Of one chunk: patches, then gradients of its own, that are added up at the end. */
static size_t chunk_scratch(const es_geometry *g)
{
    return patch_size(g) * places(g) + g->out_channels * (patch_size(g) + 1);
}

static size_t conv_scratch(const es_plain_op *op)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    return op->chunks * chunk_scratch(&g);
}

static void forward_chunk(const es_plain_op *op, size_t chunk)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    es_plain_range samples = es_plain_chunk(op, chunk, op->samples);
    const es_real *weight = es_plain_param(op, ES_NN_WEIGHT);
    const es_real *bias = es_plain_param(op, ES_NN_BIAS);
    es_real *scratch = op->scratch + chunk * chunk_scratch(&g);
    size_t filters = g.out_channels / g.groups;
    size_t in_group = g.channels / g.groups * g.rows * g.columns;
    for (size_t part = samples.from * g.groups; part < samples.to * g.groups; part++) {
        size_t group = part % g.groups;
        es_real *out = op->out + part * filters * places(&g);
        patches(&g, op->in[0] + part * in_group, scratch);
        op->gemm(op->gemm_context, false, false, filters, places(&g), patch_size(&g),
                 weight + group * filters * patch_size(&g), patch_size(&g), scratch, places(&g),
                 false, out, places(&g));
        for (size_t f = 0; bias != NULL && f < filters; f++)
            for (size_t p = 0; p < places(&g); p++)
                out[f * places(&g) + p] += bias[group * filters + f];
    }
}

static void conv_forward(const es_plain_op *op)
{
    es_plain_each(op, forward_chunk);
}

static void bias_back(const es_real *gradient, size_t filters, size_t inner, es_real *bias)
{
    for (size_t f = 0; f < filters; f++) {
        es_real sum = 0;
        for (size_t p = 0; p < inner; p++)
            sum += gradient[f * inner + p];
        bias[f] += sum;
    }
}

static void backward_chunk(const es_plain_op *op, size_t chunk)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    es_plain_range samples = es_plain_chunk(op, chunk, op->samples);
    size_t filters = g.out_channels / g.groups;
    size_t in_group = g.channels / g.groups * g.rows * g.columns;
    size_t size = patch_size(&g);
    const es_real *weight = es_plain_param(op, ES_NN_WEIGHT);
    es_real *scratch = op->scratch + chunk * chunk_scratch(&g);
    es_real *weight_gradient = scratch + size * places(&g);
    es_real *bias_gradient = weight_gradient + g.out_channels * size;
    bool trained = es_plain_param_gradient(op, ES_NN_WEIGHT) != NULL;
    memset(weight_gradient, 0, g.out_channels * (size + 1) * sizeof *weight_gradient);
    for (size_t part = samples.from * g.groups; part < samples.to * g.groups; part++) {
        size_t group = part % g.groups;
        const es_real *gradient = op->out_gradient + part * filters * places(&g);
        if (trained) {
            patches(&g, op->in[0] + part * in_group, scratch);
            op->gemm(op->gemm_context, false, true, filters, size, places(&g), gradient, places(&g),
                     scratch, places(&g), true, weight_gradient + group * filters * size, size);
            bias_back(gradient, filters, places(&g), bias_gradient + group * filters);
        }
        if (op->in_gradients[0] != NULL) {
            op->gemm(op->gemm_context, true, false, size, places(&g), filters,
                     weight + group * filters * size, size, gradient, places(&g), false, scratch,
                     places(&g));
            patches_back(&g, scratch, op->in_gradients[0] + part * in_group);
        }
    }
}

static void add_to(const es_real *from, size_t count, es_real *to)
{
    for (size_t i = 0; to != NULL && i < count; i++)
        to[i] += from[i];
}

static void conv_backward(const es_plain_op *op)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    size_t count = g.out_channels * patch_size(&g);
    es_plain_each(op, backward_chunk);
    for (size_t chunk = 0; chunk < op->chunks; chunk++) {
        const es_real *own = op->scratch + chunk * chunk_scratch(&g) + patch_size(&g) * places(&g);
        add_to(own, count, es_plain_param_gradient(op, ES_NN_WEIGHT));
        add_to(own + count, g.out_channels, es_plain_param_gradient(op, ES_NN_BIAS));
    }
}

const es_plain_kind es_plain_conv = {
    .forward = conv_forward, .backward = conv_backward, .scratch_count = conv_scratch};

/* ---- dense: chunks of samples; of weights by the features they give ---- */

static void dense_forward_chunk(const es_plain_op *op, size_t chunk)
{
    size_t in = op->in_shapes[0].count;
    size_t out = op->layer->shape.count;
    const es_real *bias = es_plain_param(op, ES_NN_BIAS);
    es_plain_range samples = es_plain_chunk(op, chunk, op->samples);
    op->gemm(op->gemm_context, false, true, samples.to - samples.from, out, in,
             op->in[0] + samples.from * in, in, es_plain_param(op, ES_NN_WEIGHT), in, false,
             op->out + samples.from * out, out);
    for (size_t i = samples.from; bias != NULL && i < samples.to; i++)
        for (size_t f = 0; f < out; f++)
            op->out[i * out + f] += bias[f];
}

static void dense_forward(const es_plain_op *op)
{
    es_plain_each(op, dense_forward_chunk);
}

static void dense_backward_chunk(const es_plain_op *op, size_t chunk)
{
    size_t in = op->in_shapes[0].count;
    size_t out = op->layer->shape.count;
    es_real *weight_gradient = es_plain_param_gradient(op, ES_NN_WEIGHT);
    es_real *bias_gradient = es_plain_param_gradient(op, ES_NN_BIAS);
    es_plain_range samples = es_plain_chunk(op, chunk, op->samples);
    es_plain_range rows = es_plain_chunk(op, chunk, out);
    if (weight_gradient != NULL)
        op->gemm(op->gemm_context, true, false, rows.to - rows.from, in, op->samples,
                 op->out_gradient + rows.from, out, op->in[0], in, true,
                 weight_gradient + rows.from * in, in);
    for (size_t i = 0; bias_gradient != NULL && i < op->samples; i++)
        for (size_t f = rows.from; f < rows.to; f++)
            bias_gradient[f] += op->out_gradient[i * out + f];
    if (op->in_gradients[0] != NULL)
        op->gemm(op->gemm_context, false, false, samples.to - samples.from, in, out,
                 op->out_gradient + samples.from * out, out, es_plain_param(op, ES_NN_WEIGHT), in,
                 true, op->in_gradients[0] + samples.from * in, in);
}

static void dense_backward(const es_plain_op *op)
{
    es_plain_each(op, dense_backward_chunk);
}

const es_plain_kind es_plain_dense = {.forward = dense_forward, .backward = dense_backward};
