/* Quality without labels, and drift. */
#include "quality/internal.h"

#include <assert.h>
#include <math.h>

enum { BISECTIONS = 100 };

es_bounds es_quality_by_confidence(const double *confidence, size_t count, double delta)
{
    double mean = 0;
    for (size_t i = 0; i < count; i++)
        mean += (confidence[i] - mean) / ((double)i + 1);
    /* the narrower of two at delta / 2 each is one at delta */
    es_bounds a = es_bounds_bernstein(confidence, count, 0, 1, delta / 2);
    es_bounds b = es_bounds_hoeffding(mean, count, 0, 1, delta / 2);
    return a.high - a.low < b.high - b.low ? a : b;
}

es_status es_quality_threshold_fit(es_arena *scratch, const double *confidence, const bool *right,
                                   size_t count, double *out_threshold, es_error *err)
{
    es_ranked *ranked = NULL;
    ES_TRY(es_rank(scratch, confidence, count, &ranked, err));
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += !right[i];
    *out_threshold = wrong < count ? ranked[wrong].confidence : (double)INFINITY;
    return ES_OK;
}

es_bounds es_quality_by_threshold(const double *confidence, size_t count, double threshold,
                                  double delta)
{
    uint64_t above = 0;
    for (size_t i = 0; i < count; i++)
        above += confidence[i] >= threshold;
    return es_bounds_share(above, count, delta);
}

/* ---- agreement ---- */

static es_status weigh(es_arena *scratch, const double *rates, const bool *asked,
                       const bool *differs, size_t count, double delta, es_bounds *out,
                       es_error *err)
{
    double *weighted = ES_TAKE_ARRAY(scratch, double, count);
    double most = 1;
    if (weighted == NULL)
        return es_arena_full(scratch, "agreement", err);
    for (size_t i = 0; i < count; i++) {
        if (!(rates[i] > 0 && rates[i] <= 1))
            return es_fail(err, ES_ERR_ARG, "rate %g of sample %zu must be in (0, 1]", rates[i],
                           i + 1);
        weighted[i] = asked[i] && differs[i] ? 1 / rates[i] : 0;
        most = fmax(most, 1 / rates[i]);
    }
    *out = es_bounds_bernstein(weighted, count, 0, most, delta);
    *out = (es_bounds){
        .value = fmin(out->value, 1), .low = fmin(out->low, 1), .high = fmin(out->high, 1)};
    return ES_OK;
}

es_status es_quality_by_agreement(es_arena *scratch, const double *rates, const bool *asked,
                                  const bool *differs, size_t count, double stronger_error,
                                  double delta, es_agreement *out_agreement, es_error *err)
{
    if (!(stronger_error >= 0 && stronger_error <= 1) || count < 1)
        return es_fail(
            err, ES_ERR_ARG,
            "stronger_error=%g must be within 0..1, and of %zu samples there must be one",
            stronger_error, count);
    es_agreement out = {0};
    uint64_t different = 0;
    for (size_t i = 0; i < count; i++) {
        out.asked += asked[i];
        different += asked[i] && differs[i];
    }
    out.disagreement = es_bounds_share(different, out.asked, delta);
    if (rates != NULL)
        ES_TRY(weigh(scratch, rates, asked, differs, count, delta, &out.disagreement, err));
    double low = fmax(1 - out.disagreement.high - stronger_error, 0);
    double high = fmin(1 - fmax(out.disagreement.low - stronger_error, 0), 1);
    out.accuracy = (es_bounds){.value = (low + high) / 2, .low = low, .high = high};
    *out_agreement = out;
    return ES_OK;
}

static double mean_rate(const double *confidence, size_t count, double scale, double low)
{
    double total = 0;
    for (size_t i = 0; i < count; i++)
        total += fmin(fmax(scale * sqrt(1 - confidence[i]), low), 1);
    return total / (double)count;
}

es_status es_agreement_rates(const double *confidence, size_t count, double budget, double low,
                             double *out_rates, es_error *err)
{
    if (!(low > 0 && low <= budget && budget <= 1) || count < 1)
        return es_fail(err, ES_ERR_ARG,
                       "rates: 0 < low=%g <= budget=%g <= 1 must hold, with a sample", low, budget);
    for (size_t i = 0; i < count; i++)
        if (!(confidence[i] >= 0 && confidence[i] <= 1))
            return es_fail(err, ES_ERR_ARG, "confidence %g of sample %zu must be within 0..1",
                           confidence[i], i + 1);
    double under = 0; /* the mean rises with the scale */
    double over = 1;
    for (int i = 0; i < BISECTIONS && mean_rate(confidence, count, over, low) < budget; i++)
        over *= 2;
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (under + over) / 2;
        *(mean_rate(confidence, count, middle, low) < budget ? &under : &over) = middle;
    }
    for (size_t i = 0; i < count; i++)
        out_rates[i] = fmin(fmax(under * sqrt(1 - confidence[i]), low), 1);
    return ES_OK;
}

/* ---- drift ---- */

bool es_page_hinkley_add(es_page_hinkley *test, double value)
{
    test->count++;
    test->mean += (value - test->mean) / (double)test->count;
    double step = test->rising ? value - test->mean : test->mean - value;
    test->sum += step - test->slack;
    test->extreme = fmin(test->extreme, test->sum);
    return (double)test->count > test->warm_up && test->sum - test->extreme > test->threshold;
}

/* G = 2 sum observed ln(observed / expected) over both rows, classes - 1 degrees of freedom. */
es_status es_class_drift_measure(const uint64_t *reference, const uint64_t *window,
                                 uint32_t class_count, es_class_drift *out_drift, es_error *err)
{
    double all[2] = {0};
    for (uint32_t c = 0; c < class_count; c++) {
        all[0] += (double)reference[c];
        all[1] += (double)window[c];
    }
    if (!(all[0] > 0) || !(all[1] > 0))
        return es_fail(err, ES_ERR_ARG, "drift: %g reference and %g window samples must be >= 1",
                       all[0], all[1]);
    es_class_drift out = {0};
    double classes = 0;
    for (uint32_t c = 0; c < class_count; c++) {
        double seen[2] = {(double)reference[c], (double)window[c]};
        double both = seen[0] + seen[1];
        if (!(both > 0))
            continue;
        classes++;
        for (int k = 0; k < 2; k++)
            if (seen[k] > 0)
                out.statistic += 2 * seen[k] * log(seen[k] * (all[0] + all[1]) / (both * all[k]));
        if (seen[1] > 0) /* half a sample where the reference has none: finite */
            out.divergence +=
                seen[1] / all[1] * log(seen[1] / all[1] / (fmax(seen[0], 0.5) / all[0]));
    }
    out.statistic = fmax(out.statistic, 0);
    out.divergence = fmax(out.divergence, 0);
    out.p_value = classes > 1 ? es_chi_square_tail(out.statistic, classes - 1) : 1;
    *out_drift = out;
    return ES_OK;
}
