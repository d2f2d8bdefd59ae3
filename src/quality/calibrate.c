/* Temperature scaling and isotonic regression. */
#include "quality/internal.h"

#include <math.h>

enum { STEPS_MAX = 60 };
static const double U_MIN = 1e-4, U_MAX = 1e4; /* raw pixels can give logits of thousands */

/* Derivatives of the mean NLL in u = 1/T: E_q[z] - z_label, and Var_q[z]. */
static void slope(const es_scores *scores, const uint32_t *labels, double u, double *out_first,
                  double *out_second)
{
    double first = 0;
    double second = 0;
    for (size_t i = 0; i < scores->count; i++) {
        double top = -(double)INFINITY;
        for (uint32_t c = 0; c < scores->class_count; c++)
            top = fmax(top, es_scores_logit(scores, i, c));
        double sum = 0;
        double mean = 0;
        double squares = 0;
        for (uint32_t c = 0; c < scores->class_count; c++) {
            double z = es_scores_logit(scores, i, c) - top;
            double e = exp(u * z);
            sum += e;
            mean += e * z;
            squares += e * z * z;
        }
        mean /= sum;
        first += mean - (es_scores_logit(scores, i, labels[i]) - top);
        second += squares / sum - mean * mean;
    }
    *out_first = first / (double)scores->count;
    *out_second = second / (double)scores->count;
}

es_status es_temperature_fit(const es_scores *scores, const uint32_t *labels,
                             es_temperature *out_temperature, es_error *err)
{
    ES_TRY(es_scores_check(scores, err));
    for (size_t i = 0; i < scores->count; i++)
        if (labels[i] >= scores->class_count)
            return es_fail(err, ES_ERR_ARG, "label %u of sample %zu must be below %u classes",
                           labels[i], i + 1, scores->class_count);
    es_temperature fit = {.nll_before = es_scores_nll(scores, labels, 1)};
    double low = U_MIN;
    double high = U_MAX;
    double first = 0;
    double second = 0;
    double u = 1;
    slope(scores, labels, U_MAX, &first, &second);
    if (first <= 0) /* still falling */
        low = u = U_MAX;
    slope(scores, labels, U_MIN, &first, &second);
    if (first >= 0)
        high = u = U_MIN;
    for (; fit.step_count < STEPS_MAX && high - low > 1e-12 * high; fit.step_count++) {
        slope(scores, labels, u, &first, &second);
        if (fabs(first) < 1e-14)
            break;
        if (first > 0)
            high = u;
        else
            low = u;
        double next = second > 0 ? u - first / second : low;
        if (!(next > low && next < high))
            next = sqrt(low * high); /* outside the bracket: halve it, in logarithms */
        if (fabs(next - u) <= 1e-14 * u)
            break;
        u = next;
    }
    fit.temperature = 1 / u;
    fit.nll_after = es_scores_nll(scores, labels, fit.temperature);
    fit.at_bound = u < U_MIN * 1.001 || u > U_MAX / 1.001;
    *out_temperature = fit;
    return ES_OK;
}

/* ---- isotonic ---- */

typedef struct block {
    double first, last; /* confidences */
    double right, count;
} block;

es_status es_isotonic_fit(es_arena *arena, const double *confidence, const bool *right,
                          size_t count, es_isotonic *out_isotonic, es_error *err)
{
    es_ranked *ranked = NULL;
    ES_TRY(es_rank(arena, confidence, count, &ranked, err));
    block *blocks = ES_TAKE_ARRAY(arena, block, count);
    double *at = ES_TAKE_ARRAY(arena, double, 2 * count);
    double *value = ES_TAKE_ARRAY(arena, double, 2 * count);
    if (blocks == NULL || at == NULL || value == NULL)
        return es_arena_full(arena, "isotonic map", err);
    size_t used = 0;
    for (size_t i = 0; i < count;) {
        block now = {.first = ranked[i].confidence, .last = ranked[i].confidence};
        for (; i < count && !(ranked[i].confidence > now.first); i++) { /* equals stay together */
            now.right += right[ranked[i].row] ? 1 : 0;
            now.count++;
        }
        while (used > 0 &&
               blocks[used - 1].right * now.count >= now.right * blocks[used - 1].count) {
            used--;
            now.first = blocks[used].first;
            now.right += blocks[used].right;
            now.count += blocks[used].count;
        }
        blocks[used++] = now;
    }
    size_t points = 0;
    for (size_t b = 0; b < used; b++) {
        double level = blocks[b].right / blocks[b].count;
        at[points] = blocks[b].first;
        value[points++] = level;
        if (blocks[b].last > blocks[b].first) {
            at[points] = blocks[b].last;
            value[points++] = level;
        }
    }
    *out_isotonic = (es_isotonic){.at = at, .value = value, .count = points};
    return ES_OK;
}

double es_isotonic_apply(const es_isotonic *isotonic, double confidence)
{
    size_t low = 0; /* at[low] <= confidence < at[high] */
    size_t high = isotonic->count;
    if (confidence <= isotonic->at[0])
        return isotonic->value[0];
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (isotonic->at[middle] <= confidence)
            low = middle;
        else
            high = middle;
    }
    if (high == isotonic->count)
        return isotonic->value[low];
    double share = (confidence - isotonic->at[low]) / (isotonic->at[high] - isotonic->at[low]);
    return isotonic->value[low] + share * (isotonic->value[high] - isotonic->value[low]);
}
