/*
 * GRU with linear_before_reset, all samples of a step at once:
 *   z = s(Wz x + bz + Rz h + cz), r = s(Wr x + br + Rr h + cr),
 *   q = Rh h + ch, k = tanh(Wh x + bh + r q), h' = (1 - z) k + z h, starting from h = 0.
 */
#include "train/internal.h"

#include <tgmath.h>

typedef struct sizes {
    size_t samples, channels, steps, units;
} sizes;

static sizes sizes_of(const es_plain_op *op)
{
    return (sizes){op->samples, op->in_shapes[0].dims[0], op->in_shapes[0].dims[1],
                   op->layer->shape.dims[0]};
}

/* saved: x turned to [steps, samples, channels]; gates [steps, samples, 3 units]: z, r, k;
 * q [steps, samples, units]; h [steps + 1, samples, units], the first all 0. */
typedef struct saved {
    es_real *x, *gates, *q, *h;
} saved;

static saved saved_of(const es_plain_op *op)
{
    sizes s = sizes_of(op);
    saved at = {.x = op->saved};
    at.gates = at.x + s.steps * s.samples * s.channels;
    at.q = at.gates + s.steps * s.samples * 3 * s.units;
    at.h = at.q + s.steps * s.samples * s.units;
    return at;
}

static size_t gru_saved(const es_plain_op *op)
{
    sizes s = sizes_of(op);
    return s.samples * (s.steps * (s.channels + 4 * s.units) + (s.steps + 1) * s.units);
}

/* forward: what R h gives; backward: gradients of the gates on both sides, of x, of h. */
static size_t gru_scratch(const es_plain_op *op)
{
    sizes s = sizes_of(op);
    return s.samples * (s.steps * (6 * s.units + s.channels) + s.units);
}

static es_real logistic(es_real x)
{
    return 1 / (1 + exp(-x));
}

/* One step's gates from W x (in gates) and R h (in from_h). */
static void step_forward(sizes s, const es_real *bias, const es_real *from_h, es_real *gates,
                         es_real *q, const es_real *h, es_real *next)
{
    size_t u = s.units;
    for (size_t i = 0; i < s.samples; i++) {
        es_real *g = gates + i * 3 * u;
        const es_real *f = from_h + i * 3 * u;
        for (size_t k = 0; k < u; k++) {
            es_real z = logistic(g[k] + bias[k] + f[k] + bias[3 * u + k]);
            es_real r = logistic(g[u + k] + bias[u + k] + f[u + k] + bias[4 * u + k]);
            q[i * u + k] = f[2 * u + k] + bias[5 * u + k];
            es_real c = tanh(g[2 * u + k] + bias[2 * u + k] + r * q[i * u + k]);
            next[i * u + k] = (1 - z) * c + z * h[i * u + k];
            g[k] = z;
            g[u + k] = r;
            g[2 * u + k] = c;
        }
    }
}

/* [samples, channels, steps] <-> [steps, samples, channels] */
static void turn(const es_real *from, size_t samples, size_t channels, size_t steps, bool back,
                 es_real *to)
{
    for (size_t i = 0; i < samples; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t t = 0; t < steps; t++) {
                size_t series = (i * channels + c) * steps + t;
                size_t stepwise = (t * samples + i) * channels + c;
                if (back)
                    to[series] += from[stepwise];
                else
                    to[stepwise] = from[series];
            }
}

static void gru_forward(const es_plain_op *op)
{
    sizes s = sizes_of(op);
    saved at = saved_of(op);
    size_t row = s.samples * s.units;
    turn(op->in[0], s.samples, s.channels, s.steps, false, at.x);
    op->gemm(op->gemm_context, false, true, s.steps * s.samples, 3 * s.units, s.channels, at.x,
             s.channels, es_plain_param(op, ES_NN_WEIGHT), s.channels, false, at.gates,
             3 * s.units);
    memset(at.h, 0, row * sizeof *at.h);
    for (size_t t = 0; t < s.steps; t++) {
        op->gemm(op->gemm_context, false, true, s.samples, 3 * s.units, s.units, at.h + t * row,
                 s.units, es_plain_param(op, ES_NN_RECURRENT), s.units, false, op->scratch,
                 3 * s.units);
        step_forward(s, es_plain_param(op, ES_NN_BIAS), op->scratch, at.gates + 3 * t * row,
                     at.q + t * row, at.h + t * row, at.h + (t + 1) * row);
    }
    for (size_t i = 0; i < s.samples; i++)
        for (size_t k = 0; k < s.units; k++)
            for (size_t t = 0; t < s.steps; t++)
                op->out[(i * s.units + k) * s.steps + t] = at.h[(t + 1) * row + i * s.units + k];
}

/* From the gradient of h' (in dh) those of both sides of the gates; dh becomes z dh. */
static void step_backward(sizes s, const es_real *gates, const es_real *q, const es_real *h,
                          es_real *dh, es_real *from_x, es_real *from_h)
{
    size_t u = s.units;
    for (size_t i = 0; i < s.samples; i++) {
        const es_real *g = gates + i * 3 * u;
        es_real *dx = from_x + i * 3 * u;
        es_real *df = from_h + i * 3 * u;
        for (size_t k = 0; k < u; k++) {
            es_real z = g[k];
            es_real r = g[u + k];
            es_real c = g[2 * u + k];
            es_real d = dh[i * u + k];
            es_real dk = d * (1 - z) * (1 - c * c);
            dx[k] = df[k] = d * (h[i * u + k] - c) * z * (1 - z);
            dx[u + k] = df[u + k] = dk * q[i * u + k] * r * (1 - r);
            dx[2 * u + k] = dk;
            df[2 * u + k] = dk * r;
            dh[i * u + k] = d * z;
        }
    }
}

static void bias_sums(const es_real *from, size_t rows, size_t columns, es_real *out)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < columns; c++)
            out[c] += from[i * columns + c];
}

static void gru_backward(const es_plain_op *op)
{
    sizes s = sizes_of(op);
    saved at = saved_of(op);
    size_t row = s.samples * s.units;
    es_real *from_x = op->scratch;
    es_real *from_h = from_x + 3 * s.steps * row;
    es_real *dx = from_h + 3 * s.steps * row;
    es_real *dh = dx + s.steps * s.samples * s.channels;
    es_real *weight = es_plain_param_gradient(op, ES_NN_WEIGHT);
    es_real *recurrent = es_plain_param_gradient(op, ES_NN_RECURRENT);
    es_real *bias = es_plain_param_gradient(op, ES_NN_BIAS);
    memset(dh, 0, row * sizeof *dh);
    for (size_t t = s.steps; t-- > 0;) {
        for (size_t i = 0; i < row; i++)
            dh[i] += op->out_gradient[i * s.steps + t];
        step_backward(s, at.gates + 3 * t * row, at.q + t * row, at.h + t * row, dh,
                      from_x + 3 * t * row, from_h + 3 * t * row);
        op->gemm(op->gemm_context, false, false, s.samples, s.units, 3 * s.units,
                 from_h + 3 * t * row, 3 * s.units, es_plain_param(op, ES_NN_RECURRENT), s.units,
                 true, dh, s.units);
    }
    size_t rows = s.steps * s.samples;
    if (weight != NULL)
        op->gemm(op->gemm_context, true, false, 3 * s.units, s.channels, rows, from_x, 3 * s.units,
                 at.x, s.channels, true, weight, s.channels);
    if (recurrent != NULL)
        op->gemm(op->gemm_context, true, false, 3 * s.units, s.units, rows, from_h, 3 * s.units,
                 at.h, s.units, true, recurrent, s.units);
    if (bias != NULL) {
        bias_sums(from_x, rows, 3 * s.units, bias);
        bias_sums(from_h, rows, 3 * s.units, bias + 3 * s.units);
    }
    if (op->in_gradients[0] == NULL)
        return;
    op->gemm(op->gemm_context, false, false, rows, s.channels, 3 * s.units, from_x, 3 * s.units,
             es_plain_param(op, ES_NN_WEIGHT), s.channels, false, dx, s.channels);
    turn(dx, s.samples, s.channels, s.steps, true, op->in_gradients[0]);
}

const es_plain_kind es_plain_gru = {.forward = gru_forward,
                                    .backward = gru_backward,
                                    .saved_count = gru_saved,
                                    .scratch_count = gru_scratch};
