/*
 * From what was seen of a value to the range that is represented: nothing lost (min-max), all but a
 * share (percentile), least divergence (entropy), least squared error (MSE).
 */
#include "compress/internal.h"

#include <assert.h>
#include <math.h>

void es_seen_extremes(es_seen *seen, const float *values, size_t count)
{
    float low = seen->low;
    float high = seen->high;
    bool bad = false;
    for (size_t i = 0; i < count; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
        bad |= isnan(values[i]);
    }
    seen->low = low;
    seen->high = high;
    seen->reach = bad ? NAN : fmaxf(fabsf(low), fabsf(high));
    seen->count += count;
}

void es_seen_bins(es_seen *seen, const float *values, size_t count)
{
    float per_value = seen->reach > 0 ? (float)ES_HISTOGRAM_BINS / seen->reach : 0;
    for (size_t i = 0; i < count; i++) {
        float place = fabsf(values[i]) * per_value;
        size_t bin = place < (float)ES_HISTOGRAM_BINS ? (size_t)place : ES_HISTOGRAM_BINS - 1;
        uint64_t *hist = values[i] < 0 ? seen->negative : seen->positive;
        hist[bin]++;
        seen->zeros += values[i] == 0.0f;
    }
}

/* ---- percentile ---- */

double es_range_percentile(const uint64_t *hist, size_t bins, double reach, double percentile)
{
    uint64_t total = 0;
    for (size_t i = 0; i < bins; i++)
        total += hist[i];
    double wanted = (double)total * percentile / 100;
    uint64_t below = 0;
    for (size_t i = 0; i < bins; i++) {
        below += hist[i];
        if ((double)below >= wanted)
            return reach * (double)(i + 1) / (double)bins;
    }
    return reach;
}

/* ---- entropy ---- */

/* Sums over the first k bins, [bins + 1] each: so that a cut costs one step a level. */
typedef struct sums {
    double *counts; /* of h */
    double *logs;   /* of h log h */
    double *filled; /* of h > 0 */
} sums;

static double h_log_h(double h)
{
    return h > 0 ? h * log(h) : 0;
}

/*
 * KL(P || Q) of cutting at `cut` bins. P: the bins below the cut, with what lies beyond added to
 * the last. Q: the bins below the cut alone, merged into levels and spread again over those of them
 * that are not empty. Without its outliers Q cannot be P even where every bin has a level of its
 * own, and so cutting costs. With P = h / p, Q = m / f / q over each level: KL = sum h log h / p -
 * log p - sum over levels (h there) log(m / f) / p + log q.
 */
static double divergence(const uint64_t *hist, const sums *s, size_t cut, size_t levels,
                         double beyond)
{
    double q = s->counts[cut];
    double p = q + beyond;
    double last = (double)hist[cut - 1];
    if (q <= 0 || (last <= 0 && beyond > 0))
        return INFINITY; /* outliers fall where Q has nothing */
    double sum = s->logs[cut] - h_log_h(last) + h_log_h(last + beyond);
    for (size_t level = 0; level < levels; level++) {
        size_t first = level * cut / levels;
        size_t end = (level + 1) * cut / levels;
        double merged = s->counts[end] - s->counts[first];
        double filled = s->filled[end] - s->filled[first];
        if (merged > 0)
            sum -= (merged + (end == cut ? beyond : 0)) * log(merged / filled);
    }
    return sum / p - log(p) + log(q);
}

size_t es_range_entropy(const uint64_t *hist, size_t bins, size_t levels, double *out_divergence)
{
    double store[3][ES_HISTOGRAM_BINS + 1];
    sums s = {.counts = store[0], .logs = store[1], .filled = store[2]};
    assert(levels >= 1);
    assert(levels <= bins);
    assert(bins <= ES_HISTOGRAM_BINS);
    s.counts[0] = s.logs[0] = s.filled[0] = 0;
    for (size_t i = 0; i < bins; i++) {
        s.counts[i + 1] = s.counts[i] + (double)hist[i];
        s.logs[i + 1] = s.logs[i] + h_log_h((double)hist[i]);
        s.filled[i + 1] = s.filled[i] + (hist[i] > 0 ? 1 : 0);
    }
    size_t best = bins;
    double least = INFINITY;
    for (size_t cut = levels; cut <= bins; cut++) {
        double here = divergence(hist, &s, cut, levels, s.counts[bins] - s.counts[cut]);
        if (here < least) {
            least = here;
            best = cut;
        }
    }
    *out_divergence = least;
    return best;
}

/* ---- squared error ---- */

static double squared_error(const es_seen *seen, es_affine affine)
{
    double width = (double)seen->reach / ES_HISTOGRAM_BINS;
    double sum = 0;
    for (size_t i = 0; i < ES_HISTOGRAM_BINS; i++) {
        double middle = ((double)i + 0.5) * width;
        double up = middle - (double)es_affine_round(affine, (float)middle);
        double down = -middle - (double)es_affine_round(affine, (float)-middle);
        sum += (double)seen->positive[i] * up * up + (double)seen->negative[i] * down * down;
    }
    return sum;
}

static es_affine affine_within(const es_seen *seen, double bound, bool symmetric)
{
    double low = fmax((double)seen->low, -bound);
    double high = fmin((double)seen->high, bound);
    return symmetric ? es_affine_symmetric(fmax(fabs(low), fabs(high)), INT8_MAX)
                     : es_affine_u8(low, high);
}

double es_range_mse(const es_seen *seen, bool symmetric)
{
    double best = (double)seen->reach;
    double least = INFINITY;
    for (int hundredth = 100; hundredth >= 50; hundredth--) { /* of equals the widest */
        double bound = (double)seen->reach * hundredth / 100;
        double error = squared_error(seen, affine_within(seen, bound, symmetric));
        if (error < least) {
            least = error;
            best = bound;
        }
    }
    return best;
}

void es_range_find(const es_seen *seen, es_range_method method, double percentile, bool symmetric,
                   double *out_low, double *out_high)
{
    double bound = (double)seen->reach;
    if (method != ES_RANGE_MINMAX && seen->positive != NULL && bound > 0) {
        uint64_t hist[ES_HISTOGRAM_BINS];
        double ignored = 0;
        for (size_t i = 0; i < ES_HISTOGRAM_BINS; i++)
            hist[i] = seen->negative[i] + seen->positive[i];
        if (method == ES_RANGE_ENTROPY) /* what a Relu cut off is exact in any range */
            hist[0] -= seen->zeros;
        /* A value of one sign has all codes for that side. */
        bool one_sided = !symmetric && (seen->low >= 0 || seen->high <= 0);
        size_t levels = one_sided ? (size_t)2 * ES_KL_LEVELS : (size_t)ES_KL_LEVELS;
        if (method == ES_RANGE_PERCENTILE)
            bound = es_range_percentile(hist, ES_HISTOGRAM_BINS, bound, percentile);
        else if (method == ES_RANGE_ENTROPY)
            bound *= (double)es_range_entropy(hist, ES_HISTOGRAM_BINS, levels, &ignored) /
                     ES_HISTOGRAM_BINS;
        else
            bound = es_range_mse(seen, symmetric);
    }
    *out_low = fmax((double)seen->low, -bound);
    *out_high = fmin((double)seen->high, bound);
}
