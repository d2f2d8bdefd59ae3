/*
 * quality/internal: what its files share.
 */
#ifndef ES_QUALITY_INTERNAL_H
#define ES_QUALITY_INTERNAL_H

#include "quality/quality.h"

typedef struct es_ranked {
    double confidence;
    size_t row;
} es_ranked;

/* Rows by rising confidence, equals by row. Confidences outside 0..1 and NaN are refused. */
es_status es_rank(es_arena *arena, const double *confidence, size_t count, es_ranked **out,
                  es_error *err) ES_MUST_CHECK;

/* The score as a logit: the logarithm of a probability. */
double es_scores_logit(const es_scores *scores, size_t row, uint32_t class);

#endif
