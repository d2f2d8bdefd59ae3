/* Scores to probabilities, confidences, losses. */
#include "quality/internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const double PROBABILITY_MIN = 1e-12; /* below, a logarithm says nothing */

const char *const es_confidence_names[ES_CONFIDENCE_COUNT] = {
    [ES_CONFIDENCE_MAX_PROB] = "max-prob",
    [ES_CONFIDENCE_ENTROPY] = "entropy",
    [ES_CONFIDENCE_MARGIN] = "margin",
};

double es_scores_logit(const es_scores *scores, size_t row, uint32_t class)
{
    double value = (double)scores->values[row * scores->class_count + class];
    return scores->probabilities ? log(fmax(value, PROBABILITY_MIN)) : value;
}

es_status es_scores_check(const es_scores *scores, es_error *err)
{
    if (scores->count < 1 || scores->class_count < 2)
        return es_fail(err, ES_ERR_ARG, "scores of %zu samples and %u classes must have >= 1, >= 2",
                       scores->count, scores->class_count);
    for (size_t i = 0; i < scores->count; i++) {
        double sum = 0;
        for (uint32_t c = 0; c < scores->class_count; c++) {
            double value = (double)scores->values[i * scores->class_count + c];
            if (!isfinite(value) || (scores->probabilities && !(value >= 0 && value <= 1.01)))
                return es_fail(err, ES_ERR_ARG, "score %g of sample %zu, class %u must be %s",
                               value, i + 1, c, scores->probabilities ? "within 0..1" : "finite");
            sum += value;
        }
        if (scores->probabilities && !(fabs(sum - 1) <= 1e-2))
            return es_fail(err, ES_ERR_ARG, "probabilities of sample %zu add up to %g, not 1",
                           i + 1, sum);
    }
    return ES_OK;
}

bool es_scores_look_like_probabilities(const float *values, size_t count, uint32_t class_count)
{
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (uint32_t c = 0; c < class_count; c++) {
            double value = (double)values[i * class_count + c];
            if (!(value >= 0 && value <= 1.001))
                return false;
            sum += value;
        }
        if (fabs(sum - 1) > 1e-3)
            return false;
    }
    return count > 0;
}

void es_scores_softmax(const es_scores *scores, size_t row, double temperature, double *out)
{
    double top = -(double)INFINITY;
    double sum = 0;
    for (uint32_t c = 0; c < scores->class_count; c++) {
        out[c] = es_scores_logit(scores, row, c) / temperature;
        top = fmax(top, out[c]);
    }
    for (uint32_t c = 0; c < scores->class_count; c++)
        sum += out[c] = exp(out[c] - top);
    for (uint32_t c = 0; c < scores->class_count; c++)
        out[c] /= sum;
}

/* One row without memory of its own: logits are looked at twice. */
typedef struct row_sums {
    uint32_t best;
    double first, second; /* largest and second largest logit / temperature */
    double sum;           /* of exp(z - first) */
    double weighted;      /* of (z - first) exp(z - first) */
    double squares;       /* of exp(z - first)^2 */
} row_sums;

static row_sums sum_row(const es_scores *scores, size_t row, double temperature)
{
    row_sums r = {.first = -(double)INFINITY, .second = -(double)INFINITY};
    for (uint32_t c = 0; c < scores->class_count; c++) {
        double z = es_scores_logit(scores, row, c) / temperature;
        if (z > r.first) {
            r.second = r.first;
            r.first = z;
            r.best = c;
        } else if (z > r.second) {
            r.second = z;
        }
    }
    for (uint32_t c = 0; c < scores->class_count; c++) {
        double z = es_scores_logit(scores, row, c) / temperature - r.first;
        double e = exp(z);
        r.sum += e;
        r.weighted += z * e;
        r.squares += e * e;
    }
    return r;
}

void es_scores_decide(const es_scores *scores, double temperature, es_confidence kind,
                      double *confidence, uint32_t *classes)
{
    double most = log((double)scores->class_count);
    for (size_t i = 0; i < scores->count; i++) {
        row_sums r = sum_row(scores, i, temperature);
        double value = 1 / r.sum;
        if (kind == ES_CONFIDENCE_ENTROPY) /* H = ln sum - weighted / sum */
            value = 1 - (log(r.sum) - r.weighted / r.sum) / most;
        else if (kind == ES_CONFIDENCE_MARGIN)
            value = (1 - exp(r.second - r.first)) / r.sum;
        if (confidence != NULL)
            confidence[i] = fmin(fmax(value, 0), 1);
        if (classes != NULL)
            classes[i] = r.best;
    }
}

double es_scores_nll(const es_scores *scores, const uint32_t *labels, double temperature)
{
    double total = 0;
    for (size_t i = 0; i < scores->count; i++) {
        row_sums r = sum_row(scores, i, temperature);
        assert(labels[i] < scores->class_count);
        total += r.first + log(r.sum) - es_scores_logit(scores, i, labels[i]) / temperature;
    }
    return total / (double)scores->count;
}

/* sum_c (p_c - y_c)^2 = sum p^2 - 2 p_label + 1 */
double es_scores_brier(const es_scores *scores, const uint32_t *labels, double temperature)
{
    double total = 0;
    for (size_t i = 0; i < scores->count; i++) {
        row_sums r = sum_row(scores, i, temperature);
        double z = es_scores_logit(scores, i, labels[i]) / temperature;
        total += r.squares / (r.sum * r.sum) - 2 * exp(z - r.first) / r.sum + 1;
    }
    return total / (double)scores->count;
}

/* ---- sorting by confidence ---- */

static int by_confidence(const void *a, const void *b)
{
    const es_ranked *x = a;
    const es_ranked *y = b;
    if (x->confidence < y->confidence || x->confidence > y->confidence)
        return x->confidence < y->confidence ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

es_status es_rank(es_arena *arena, const double *confidence, size_t count, es_ranked **out,
                  es_error *err)
{
    if (count < 1)
        return es_fail(err, ES_ERR_ARG, "no samples: at least one is needed");
    es_ranked *ranked = ES_TAKE_ARRAY(arena, es_ranked, count);
    if (ranked == NULL)
        return es_arena_full(arena, "confidences", err);
    for (size_t i = 0; i < count; i++) {
        if (!(confidence[i] >= 0 && confidence[i] <= 1))
            return es_fail(err, ES_ERR_ARG, "confidence %g of sample %zu must be within 0..1",
                           confidence[i], i + 1);
        ranked[i] = (es_ranked){.confidence = confidence[i], .row = i};
    }
    qsort(ranked, count, sizeof *ranked, by_confidence);
    *out = ranked;
    return ES_OK;
}

/* Rank sum of the right ones (Mann and Whitney), ties at their mean rank. */
es_status es_confidence_auroc(es_arena *arena, const double *confidence, const bool *right,
                              size_t count, double *out_auroc, es_error *err)
{
    es_ranked *ranked = NULL;
    ES_TRY(es_rank(arena, confidence, count, &ranked, err));
    double ranks = 0;
    double rights = 0;
    for (size_t i = 0; i < count;) {
        size_t end = i;
        size_t here = 0;
        for (; end < count && !(ranked[end].confidence > ranked[i].confidence); end++)
            here += right[ranked[end].row];
        ranks += (double)here * ((double)(i + end + 1) / 2);
        rights += (double)here;
        i = end;
    }
    double wrongs = (double)count - rights;
    *out_auroc = rights > 0 && wrongs > 0 ? (ranks - rights * (rights + 1) / 2) / (rights * wrongs)
                                          : (double)NAN;
    return ES_OK;
}
