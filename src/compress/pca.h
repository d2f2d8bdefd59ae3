/*
 * compress/pca: principal axes of vectors, one after the other added.
 */
#ifndef ES_COMPRESS_PCA_H
#define ES_COMPRESS_PCA_H

#include "base/arena.h"

#include <stdint.h>

typedef struct es_pca {
    size_t size;    /* of a vector */
    uint64_t count; /* added so far */
    double *sum;    /* [size] */
    double *square; /* [size, size] sums of products, upper triangle */
    double *mean;   /* [size]; set by es_pca_solve, like the rest */
    double *values; /* [size] variances along the axes, falling, >= 0 */
    double *axes;   /* [size, size] row i: axis i, of length 1; its largest entry is positive */
} es_pca;

es_status es_pca_init(es_arena *arena, size_t size, es_pca *out_pca, es_error *err) ES_MUST_CHECK;
/* O(size^2). */
void es_pca_add(es_pca *pca, const double *vector);
/* Of the covariance, divided by count; Jacobi's rotations, O(size^3). count >= 1. */
void es_pca_solve(es_pca *pca);

#endif
