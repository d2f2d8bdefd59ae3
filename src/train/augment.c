/* Samples changed at random, as images {channels, rows, columns} or series {channels, steps}. */
#include "train/internal.h"

#include <math.h>

typedef struct plane {
    size_t channels, rows, columns;
} plane;

static plane plane_of(es_nn_shape shape)
{
    return (plane){.channels = shape.rank > 1 ? shape.dims[0] : 1,
                   .rows = shape.rank == 3 ? shape.dims[1] : 1,
                   .columns = shape.dims[shape.rank - 1]};
}

/* out[r][c] = in[r + down][c + right], or mirrored; filled where that lies outside. */
static void move(plane p, int64_t down, int64_t right, bool mirror, float fill, const float *in,
                 float *out)
{
    for (size_t channel = 0; channel < p.channels; channel++) {
        for (size_t r = 0; r < p.rows; r++) {
            int64_t from_row = (int64_t)r + down;
            bool row_inside = from_row >= 0 && from_row < (int64_t)p.rows;
            for (size_t c = 0; c < p.columns; c++) {
                size_t across = mirror ? p.columns - 1 - c : c;
                int64_t from = (int64_t)across + right;
                bool inside = row_inside && from >= 0 && from < (int64_t)p.columns;
                size_t row = channel * p.rows + (inside ? (size_t)from_row : 0);
                out[(channel * p.rows + r) * p.columns + c] =
                    inside ? in[row * p.columns + (size_t)from] : fill;
            }
        }
    }
}

static int64_t up_to(es_rng *rng, size_t most)
{
    return (int64_t)es_rng_below(rng, 2 * most + 1) - (int64_t)most;
}

/* A square around any place, so that it may reach beyond the edge; DeVries and Taylor 2017. */
static void erase(plane p, es_rng *rng, size_t side, float fill, float *x)
{
    size_t row = p.rows > 1 ? es_rng_below(rng, p.rows) : 0;
    size_t column = es_rng_below(rng, p.columns);
    size_t half = side / 2;
    size_t first_row = row > half ? row - half : 0;
    size_t first_column = column > half ? column - half : 0;
    size_t last_row = row + side - half < p.rows ? row + side - half : p.rows;
    size_t last_column = column + side - half < p.columns ? column + side - half : p.columns;
    for (size_t channel = 0; channel < p.channels; channel++)
        for (size_t r = first_row; r < last_row; r++)
            for (size_t c = first_column; c < last_column; c++)
                x[(channel * p.rows + r) * p.columns + c] = fill;
}

static void augment_one(const es_augment_opts *opts, plane p, size_t size, es_rng *rng, float *x,
                        float *scratch)
{
    if (opts->shift > 0 || opts->flip) {
        int64_t down = p.rows > 1 && opts->shift > 0 ? up_to(rng, opts->shift) : 0;
        int64_t right = opts->shift > 0 ? up_to(rng, opts->shift) : 0;
        bool mirror = opts->flip && es_rng_below(rng, 2) == 1;
        memcpy(scratch, x, size * sizeof *x);
        move(p, down, right, mirror, opts->fill, scratch, x);
    }
    if (opts->stretch > 0) {
        float factor = (float)(1 + opts->stretch * (2 * es_rng_double(rng) - 1));
        for (size_t i = 0; i < size; i++)
            x[i] *= factor;
    }
    for (size_t i = 0; opts->noise > 0 && i < size; i++)
        x[i] += (float)(opts->noise * es_rng_normal(rng));
    if (opts->erase > 0)
        erase(p, rng, opts->erase, opts->fill, x);
}

void es_augment(const es_augment_opts *opts, es_nn_shape shape, es_rng *rng, size_t samples,
                float *x, float *scratch)
{
    for (size_t i = 0; i < samples; i++)
        augment_one(opts, plane_of(shape), shape.count, rng, x + i * shape.count, scratch);
}

/* Gamma(alpha, 1), by Marsaglia and Tsang 2000; below 1 through alpha + 1. */
static double gamma_number(es_rng *rng, double alpha)
{
    double boost = alpha < 1 ? pow(1 - es_rng_double(rng), 1 / alpha) : 1;
    double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3;
    double c = 1 / sqrt(9 * d);
    for (;;) {
        double normal = es_rng_normal(rng);
        double v = 1 + c * normal;
        double u = 1 - es_rng_double(rng);
        v = v * v * v;
        if (v > 0 && log(u) < 0.5 * normal * normal + d - d * v + d * log(v))
            return boost * d * v;
    }
}

void es_augment_mixup(double alpha, es_rng *rng, size_t samples, size_t size, size_t classes,
                      const uint32_t *labels, float *x, float *targets, float *scratch)
{
    double a = gamma_number(rng, alpha);
    double b = gamma_number(rng, alpha);
    float share = a + b > 0 ? (float)(a / (a + b)) : 1;
    memcpy(scratch, x, samples * size * sizeof *x);
    memset(targets, 0, samples * classes * sizeof *targets);
    for (size_t i = 0; i < samples; i++) {
        size_t other = (i + 1) % samples;
        for (size_t k = 0; k < size; k++)
            x[i * size + k] =
                share * scratch[i * size + k] + (1 - share) * scratch[other * size + k];
        targets[i * classes + labels[i]] += share;
        targets[i * classes + labels[other]] += 1 - share;
    }
}
