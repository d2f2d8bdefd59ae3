#include "online/learn.h"

struct es_linucb {
    uint32_t arms, size;
    double ridge;
    double *inverse; /* [arm][size][size] of A */
    double *moments; /* [arm][size]: b */
};

es_status es_linucb_new(es_arena *arena, uint32_t arms, uint32_t size, double ridge,
                        es_linucb **out_linear, es_error *err)
{
    es_linucb *own = NULL;
    ES_TRY(es_online_take(arena, 1, sizeof *own, &own, err));
    *own = (es_linucb){.arms = arms, .size = size, .ridge = ridge};
    size_t square = (size_t)size * size;
    ES_TRY(es_online_take(arena, arms * square, sizeof(double), &own->inverse, err));
    ES_TRY(es_online_take(arena, (size_t)arms * size, sizeof(double), &own->moments, err));
    for (uint32_t k = 0; k < arms; k++)
        for (uint32_t i = 0; i < size; i++)
            own->inverse[k * square + (size_t)i * size + i] = 1 / ridge;
    *out_linear = own;
    return ES_OK;
}

/* out = A^-1 x; returns x A^-1 x. */
static double apply(const es_linucb *own, uint32_t arm, const double *x, double *out)
{
    const double *inverse = &own->inverse[(size_t)arm * own->size * own->size];
    double sum = 0;
    for (uint32_t i = 0; i < own->size; i++) {
        out[i] = 0;
        for (uint32_t j = 0; j < own->size; j++)
            out[i] += inverse[(size_t)i * own->size + j] * x[j];
        sum += out[i] * x[i];
    }
    return fmax(sum, 0);
}

uint32_t es_linucb_choose(const es_linucb *own, const double *x, double width)
{
    uint32_t best = 0;
    double least = (double)INFINITY;
    for (uint32_t k = 0; k < own->arms; k++) {
        double spread[ES_LINUCB_SIZE_MAX];
        double variance = apply(own, k, x, spread);
        double mean = 0;
        for (uint32_t i = 0; i < own->size; i++)
            mean += spread[i] * own->moments[(size_t)k * own->size + i];
        double bound = mean - width * sqrt(variance);
        if (bound < least) {
            least = bound;
            best = k;
        }
    }
    return best;
}

/* Forgetting, unless that made some direction less certain than at the start. */
static void forget(const es_linucb *own, double *inverse, double *moments, double keep)
{
    double largest = 0;
    for (uint32_t i = 0; i < own->size; i++)
        largest = fmax(largest, inverse[(size_t)i * own->size + i]);
    if (largest / keep > 1 / own->ridge)
        return;
    for (uint32_t i = 0; i < own->size; i++)
        moments[i] *= keep;
    for (size_t i = 0; i < (size_t)own->size * own->size; i++)
        inverse[i] /= keep;
}

/* A <- keep A + x x^T by Sherman-Morrison. */
void es_linucb_learn(es_linucb *own, uint32_t arm, const double *x, double loss, double keep)
{
    double *inverse = &own->inverse[(size_t)arm * own->size * own->size];
    double *moments = &own->moments[(size_t)arm * own->size];
    double spread[ES_LINUCB_SIZE_MAX];
    if (keep < 1)
        forget(own, inverse, moments, keep);
    double variance = apply(own, arm, x, spread);
    for (uint32_t i = 0; i < own->size; i++) {
        moments[i] += loss * x[i];
        for (uint32_t j = 0; j < own->size; j++)
            inverse[(size_t)i * own->size + j] -= spread[i] * spread[j] / (1 + variance);
    }
}
