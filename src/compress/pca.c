/*
 * Principal axes: eigenvectors of the covariance by cyclic Jacobi rotations, which are slow for
 * thousands of rows but exact to the last bits, and need nothing but this page.
 */
#include "compress/pca.h"

#include "base/checked.h"

#include <assert.h>
#include <math.h>

enum { SWEEPS_MAX = 60 };

es_status es_pca_init(es_arena *arena, size_t size, es_pca *out_pca, es_error *err)
{
    size_t cells = 0;
    if (!es_size_mul(size, size, &cells))
        return es_fail(err, ES_ERR_LIMIT, "%zu values are too many for their axes", size);
    *out_pca = (es_pca){.size = size,
                        .sum = ES_TAKE_ARRAY(arena, double, size),
                        .square = ES_TAKE_ARRAY(arena, double, cells),
                        .mean = ES_TAKE_ARRAY(arena, double, size),
                        .values = ES_TAKE_ARRAY(arena, double, size),
                        .axes = ES_TAKE_ARRAY(arena, double, cells)};
    if (out_pca->sum == NULL || out_pca->square == NULL || out_pca->mean == NULL ||
        out_pca->values == NULL || out_pca->axes == NULL)
        return es_arena_full(arena, "principal axes", err);
    return ES_OK;
}

void es_pca_add(es_pca *pca, const double *vector)
{
    for (size_t i = 0; i < pca->size; i++) {
        double *restrict row = pca->square + i * pca->size;
        pca->sum[i] += vector[i];
        for (size_t k = i; k < pca->size; k++)
            row[k] += vector[i] * vector[k];
    }
    pca->count++;
}

/* Rotates rows and columns p and q of a so that a[p][q] becomes 0, and the axes along. */
static void rotate(double *a, double *axes, size_t n, size_t p, size_t q)
{
    double off = a[p * n + q];
    if (off == 0) /* exact */
        return;
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * off);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1);
    double s = t * c;
    for (size_t k = 0; k < n; k++) {
        double x = a[k * n + p];
        double y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (size_t k = 0; k < n; k++) {
        double x = a[p * n + k];
        double y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
        x = axes[p * n + k];
        y = axes[q * n + k];
        axes[p * n + k] = c * x - s * y;
        axes[q * n + k] = s * x + c * y;
    }
}

/* Sum of squares beside the diagonal, and on it. */
static double beside(const double *a, size_t n, double *out_on)
{
    double off = 0;
    *out_on = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            *(i == k ? out_on : &off) += a[i * n + k] * a[i * n + k];
    return off;
}

static void swap_axes(es_pca *pca, size_t a, size_t b)
{
    double value = pca->values[a];
    pca->values[a] = pca->values[b];
    pca->values[b] = value;
    for (size_t k = 0; k < pca->size; k++) {
        value = pca->axes[a * pca->size + k];
        pca->axes[a * pca->size + k] = pca->axes[b * pca->size + k];
        pca->axes[b * pca->size + k] = value;
    }
}

/* The largest variance first; signs so that the same data give the same axes. */
static void arrange(es_pca *pca)
{
    for (size_t i = 0; i < pca->size; i++) {
        size_t best = i;
        size_t largest = 0;
        for (size_t k = i + 1; k < pca->size; k++)
            best = pca->values[k] > pca->values[best] ? k : best;
        swap_axes(pca, i, best);
        double *axis = pca->axes + i * pca->size;
        for (size_t k = 1; k < pca->size; k++)
            largest = fabs(axis[k]) > fabs(axis[largest]) ? k : largest;
        for (size_t k = 0; axis[largest] < 0 && k < pca->size; k++)
            axis[k] = k == largest ? axis[k] : -axis[k];
        axis[largest] = fabs(axis[largest]);
    }
}

void es_pca_solve(es_pca *pca)
{
    size_t n = pca->size;
    double *a = pca->square; /* becomes the covariance, then diagonal */
    double count = (double)pca->count;
    double on = 0;
    assert(pca->count > 0);
    for (size_t i = 0; i < n; i++)
        pca->mean[i] = pca->sum[i] / count;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i; k < n; k++)
            a[i * n + k] = a[k * n + i] = a[i * n + k] / count - pca->mean[i] * pca->mean[k];
        for (size_t k = 0; k < n; k++)
            pca->axes[i * n + k] = i == k;
    }
    for (size_t sweep = 0; sweep < SWEEPS_MAX && beside(a, n, &on) > 1e-28 * on; sweep++)
        for (size_t p = 0; p + 1 < n; p++)
            for (size_t q = p + 1; q < n; q++)
                rotate(a, pca->axes, n, p, q);
    for (size_t i = 0; i < n; i++)
        pca->values[i] = fmax(a[i * n + i], 0);
    arrange(pca);
}
