/* Pools, upsampling, last step. */
#include "train/internal.h"

typedef struct span { /* first + k * step, k in [0, count) that lie inside the input */
    size_t first, count, step;
} span;

static span inside(const es_geometry *g, int axis, size_t out, size_t size)
{
    span s = {.step = g->dilation[axis]};
    size_t start = out * g->stride[axis];
    for (size_t k = 0; k < g->kernel[axis]; k++) {
        size_t at = start + k * g->dilation[axis];
        if (at < g->before[axis] || at - g->before[axis] >= size)
            continue;
        if (s.count == 0)
            s.first = at - g->before[axis];
        s.count++;
    }
    return s;
}

/* visit(context, plane of the input, place of the output, rows and columns under it) */
typedef void (*visit_fn)(const es_plain_op *op, size_t columns, size_t in, size_t out, span r,
                         span c);

static void each_place(const es_plain_op *op, visit_fn visit)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    size_t area = g.rows * g.columns;
    size_t out = 0;
    for (size_t plane = 0; plane < op->samples * g.channels; plane++)
        for (size_t r = 0; r < g.out_rows; r++)
            for (size_t c = 0; c < g.out_columns; c++)
                visit(op, g.columns, plane * area, out++, inside(&g, 0, r, g.rows),
                      inside(&g, 1, c, g.columns));
}

/* Where the largest value lies; the first of equals. A window of nothing but padding gives the
 * plane's first value: shapes do not allow one. */
static size_t largest(const es_plain_op *op, size_t columns, size_t in, span r, span c)
{
    size_t best = in + r.first * columns + c.first;
    for (size_t i = 0; i < r.count; i++)
        for (size_t j = 0; j < c.count; j++) {
            size_t at = in + (r.first + i * r.step) * columns + c.first + j * c.step;
            if (op->in[0][at] > op->in[0][best])
                best = at;
        }
    return best;
}

static void max_visit(const es_plain_op *op, size_t columns, size_t in, size_t out, span r, span c)
{
    op->out[out] = op->in[0][largest(op, columns, in, r, c)];
}

static void max_back_visit(const es_plain_op *op, size_t columns, size_t in, size_t out, span r,
                           span c)
{
    op->in_gradients[0][largest(op, columns, in, r, c)] += op->out_gradient[out];
}

static void average_visit(const es_plain_op *op, size_t columns, size_t in, size_t out, span r,
                          span c)
{
    es_real sum = 0;
    for (size_t i = 0; i < r.count; i++)
        for (size_t j = 0; j < c.count; j++)
            sum += op->in[0][in + (r.first + i * r.step) * columns + c.first + j * c.step];
    op->out[out] = sum / (es_real)(r.count * c.count);
}

static void average_back_visit(const es_plain_op *op, size_t columns, size_t in, size_t out, span r,
                               span c)
{
    es_real share = op->out_gradient[out] / (es_real)(r.count * c.count);
    for (size_t i = 0; i < r.count; i++)
        for (size_t j = 0; j < c.count; j++)
            op->in_gradients[0][in + (r.first + i * r.step) * columns + c.first + j * c.step] +=
                share;
}

static void max_forward(const es_plain_op *op)
{
    each_place(op, max_visit);
}

static void max_backward(const es_plain_op *op)
{
    if (op->in_gradients[0] != NULL)
        each_place(op, max_back_visit);
}

static void average_forward(const es_plain_op *op)
{
    each_place(op, average_visit);
}

static void average_backward(const es_plain_op *op)
{
    if (op->in_gradients[0] != NULL)
        each_place(op, average_back_visit);
}

const es_plain_kind es_plain_max_pool = {.forward = max_forward, .backward = max_backward};
const es_plain_kind es_plain_average_pool = {.forward = average_forward,
                                             .backward = average_backward};
const es_plain_kind es_plain_global_pool = {.forward = average_forward,
                                            .backward = average_backward};

/* ---- upsampling ---- */

static size_t upsample_source(const es_geometry *g, size_t out)
{
    size_t column = out % g->out_columns;
    size_t row = out / g->out_columns % g->out_rows;
    size_t plane = out / g->out_columns / g->out_rows;
    return (plane * g->rows + row / (g->out_rows / g->rows)) * g->columns +
           column / (g->out_columns / g->columns);
}

static void upsample_forward(const es_plain_op *op)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    for (size_t i = 0; i < op->samples * op->layer->shape.count; i++)
        op->out[i] = op->in[0][upsample_source(&g, i)];
}

static void upsample_backward(const es_plain_op *op)
{
    es_geometry g = es_geometry_of(op->layer, op->in_shapes[0]);
    for (size_t i = 0; op->in_gradients[0] != NULL && i < op->samples * op->layer->shape.count; i++)
        op->in_gradients[0][upsample_source(&g, i)] += op->out_gradient[i];
}

const es_plain_kind es_plain_upsample = {.forward = upsample_forward,
                                         .backward = upsample_backward};

/* ---- last step of a series ---- */

static void last_forward(const es_plain_op *op)
{
    size_t steps = op->in_shapes[0].dims[1];
    for (size_t i = 0; i < op->samples * op->layer->shape.count; i++)
        op->out[i] = op->in[0][i * steps + steps - 1];
}

static void last_backward(const es_plain_op *op)
{
    size_t steps = op->in_shapes[0].dims[1];
    for (size_t i = 0; op->in_gradients[0] != NULL && i < op->samples * op->layer->shape.count; i++)
        op->in_gradients[0][i * steps + steps - 1] += op->out_gradient[i];
}

const es_plain_kind es_plain_last = {.forward = last_forward, .backward = last_backward};
