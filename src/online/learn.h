/*
 * online/learn: the linear part of the learners.
 */
#ifndef ES_ONLINE_LEARN_H
#define ES_ONLINE_LEARN_H

#include "online/internal.h"

enum { ES_LINUCB_SIZE_MAX = 64 };

typedef struct es_linucb es_linucb; /* lives in the arena */

es_status es_linucb_new(es_arena *arena, uint32_t arms, uint32_t size, double ridge,
                        es_linucb **out_linear, es_error *err) ES_MUST_CHECK;
/* The arm whose loss may be least: theta x - width sqrt(x A^-1 x); the first of equals. */
uint32_t es_linucb_choose(const es_linucb *linear, const double *x, double width);
/* keep: of the past of this arm. O(size^2). */
void es_linucb_learn(es_linucb *linear, uint32_t arm, const double *x, double loss, double keep);

#endif
