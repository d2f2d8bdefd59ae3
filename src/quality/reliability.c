/* Reliability: bins, ECE, its interval by bootstrap, and what chance alone would show. */
#include "quality/internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

es_reliability_opts es_reliability_opts_default(void)
{
    return (es_reliability_opts){.bin_count = 15, .delta = 0.05, .resamples = 1000, .seed = 1};
}

/* Sums of one bin; ECE = sum |right - confidence| / n. */
typedef struct sums {
    double count, right, confidence;
} sums;

static double ece_of(const sums *bins, size_t bin_count, double count)
{
    double total = 0;
    for (size_t b = 0; b < bin_count; b++)
        total += fabs(bins[b].right - bins[b].confidence);
    return total / count;
}

/* Upper ends of the bins; equal confidences are never parted. */
static void find_ends(const es_ranked *ranked, size_t count, const es_reliability_opts *opts,
                      double *ends)
{
    for (size_t b = 0; b < opts->bin_count; b++) {
        ends[b] = (double)(b + 1) / (double)opts->bin_count;
        if (opts->equal_mass && b + 1 < opts->bin_count)
            ends[b] = ranked[(count * (b + 1) - 1) / opts->bin_count].confidence;
    }
}

static int by_value(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Draws, sorted: with chance, the ECE of right answers drawn by the confidences; else, of samples
 * drawn again, how far the gaps of the bins move, sum n_b/n |gap'_b - gap_b|. An ECE is off by no
 * more than its gaps are, so this bounds its error wherever it lies, also near 0. */
static void resample(const double *confidence, const bool *right, const uint8_t *bin_of,
                     const sums *given, size_t count, const es_reliability_opts *opts, bool chance,
                     double *out)
{
    es_rng rng = es_rng_make(opts->seed, chance ? 1 : 0);
    for (uint32_t r = 0; r < opts->resamples; r++) {
        sums bins[ES_RELIABILITY_BINS_MAX] = {0};
        for (size_t b = 0; b < opts->bin_count && !chance; b++)
            bins[b].confidence = given[b].right - given[b].confidence;
        for (size_t k = 0; k < count; k++) {
            size_t i = chance ? k : (size_t)es_rng_below(&rng, count);
            sums *bin = &bins[bin_of[i]];
            bool hit = chance ? es_rng_double(&rng) < confidence[i] : right[i];
            bin->right += hit ? 1 : 0;
            bin->confidence += confidence[i];
        }
        out[r] = ece_of(bins, opts->bin_count, (double)count);
    }
    qsort(out, opts->resamples, sizeof *out, by_value);
}

static double quantile(const double *sorted, size_t count, double share)
{
    double at = share * (double)(count - 1);
    size_t low = (size_t)at;
    double rest = at - (double)low;
    return low + 1 < count ? sorted[low] * (1 - rest) + sorted[low + 1] * rest : sorted[low];
}

static void fill_bins(const sums *bins, const double *ends, const es_reliability_opts *opts,
                      es_reliability *out)
{
    out->bin_count = opts->bin_count;
    for (size_t b = 0; b < opts->bin_count; b++) {
        uint64_t count = (uint64_t)bins[b].count;
        double mean = count > 0 ? bins[b].confidence / bins[b].count : (double)NAN;
        es_reliability_bin *bin = &out->bins[b];
        *bin = (es_reliability_bin){
            .low = b > 0 ? ends[b - 1] : 0,
            .high = ends[b],
            .count = (size_t)count,
            .confidence = mean,
            .accuracy = es_bounds_share((uint64_t)bins[b].right, count, opts->delta)};
        if (count > 0)
            out->mce = fmax(out->mce, fabs(bin->accuracy.value - mean));
    }
}

static es_status check(const es_reliability_opts *opts, es_error *err)
{
    if (opts->bin_count < 1 || opts->bin_count > ES_RELIABILITY_BINS_MAX || opts->resamples < 1 ||
        !(opts->delta > 0 && opts->delta < 1))
        return es_fail(err, ES_ERR_ARG,
                       "reliability: bin_count=%zu must be 1..%d, resamples=%u >= 1, delta=%g in "
                       "(0, 1)",
                       opts->bin_count, ES_RELIABILITY_BINS_MAX, opts->resamples, opts->delta);
    return ES_OK;
}

es_status es_reliability_measure(es_arena *scratch, const double *confidence, const bool *right,
                                 size_t count, es_reliability_opts opts,
                                 es_reliability *out_reliability, es_error *err)
{
    es_ranked *ranked = NULL;
    ES_TRY(check(&opts, err));
    ES_TRY(es_rank(scratch, confidence, count, &ranked, err));
    uint8_t *bin_of = ES_TAKE_ARRAY(scratch, uint8_t, count);
    double *drawn = ES_TAKE_ARRAY(scratch, double, opts.resamples);
    if (bin_of == NULL || drawn == NULL)
        return es_arena_full(scratch, "reliability", err);
    double ends[ES_RELIABILITY_BINS_MAX];
    sums bins[ES_RELIABILITY_BINS_MAX] = {0};
    sums all = {0};
    find_ends(ranked, count, &opts, ends);
    for (size_t i = 0, b = 0; i < count; i++) {
        while (b + 1 < opts.bin_count && ranked[i].confidence > ends[b])
            b++;
        size_t row = ranked[i].row;
        bin_of[row] = (uint8_t)b;
        bins[b].count++;
        bins[b].right += right[row] ? 1 : 0;
        bins[b].confidence += confidence[row];
        all.right += right[row] ? 1 : 0;
        all.confidence += confidence[row];
    }
    es_reliability out = {.count = count, .confidence = all.confidence / (double)count};
    out.accuracy = es_bounds_share((uint64_t)all.right, count, opts.delta);
    fill_bins(bins, ends, &opts, &out);
    out.ece.value = ece_of(bins, opts.bin_count, (double)count);
    resample(confidence, right, bin_of, bins, count, &opts, false, drawn);
    double off = quantile(drawn, opts.resamples, 1 - opts.delta);
    out.ece.low = fmax(out.ece.value - off, 0);
    out.ece.high = fmin(out.ece.value + off, 1);
    resample(confidence, right, bin_of, bins, count, &opts, true, drawn);
    for (uint32_t r = 0; r < opts.resamples; r++)
        out.ece_chance += drawn[r] / opts.resamples;
    out.ece_chance_high = quantile(drawn, opts.resamples, 1 - opts.delta);
    *out_reliability = out;
    return ES_OK;
}
