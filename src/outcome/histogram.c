#include "outcome/internal.h"

#include <assert.h>
#include <math.h>

es_histogram *es_histogram_new(es_arena *arena)
{
    es_histogram *histogram = ES_TAKE_ONE(arena, es_histogram);
    if (histogram != NULL)
        histogram->arena = arena;
    return histogram;
}

static size_t bucket_of(double value_s)
{
    if (value_s < ES_BUCKET_FIRST_S)
        return ES_BUCKET_BELOW;
    double place = floor(log(value_s / ES_BUCKET_FIRST_S) / log(ES_BUCKET_GROWTH));
    return place >= ES_BUCKET_REGULAR ? ES_BUCKET_ABOVE : (size_t)place + 1;
}

/* Value at share (0..1) of the way through bucket i: linear at the open ends, else geometric. */
static double value_in(const es_histogram *histogram, size_t i, double share)
{
    double value;
    if (i == ES_BUCKET_BELOW) {
        value = histogram->min_s + share * (ES_BUCKET_FIRST_S - histogram->min_s);
    } else {
        double low = ES_BUCKET_FIRST_S * pow(ES_BUCKET_GROWTH, (double)(i - 1));
        value = i == ES_BUCKET_ABOVE ? low + share * (histogram->max_s - low)
                                     : low * pow(ES_BUCKET_GROWTH, share);
    }
    return fmin(fmax(value, histogram->min_s), histogram->max_s);
}

double es_histogram_bucket(const es_histogram *histogram, size_t i)
{
    assert(i < ES_BUCKET_COUNT);
    const double *chunk = histogram->chunks[i / ES_BUCKET_CHUNK];
    return chunk == NULL ? 0 : chunk[i % ES_BUCKET_CHUNK];
}

bool es_histogram_bucket_add(es_histogram *histogram, size_t i, double weight)
{
    assert(i < ES_BUCKET_COUNT);
    double **chunk = &histogram->chunks[i / ES_BUCKET_CHUNK];
    if (*chunk == NULL)
        *chunk = ES_TAKE_ARRAY(histogram->arena, double, ES_BUCKET_CHUNK);
    if (*chunk == NULL) {
        histogram->status = ES_ERR_NOMEM;
        return false;
    }
    (*chunk)[i % ES_BUCKET_CHUNK] += weight;
    return true;
}

void es_histogram_clear(es_histogram *histogram)
{
    for (size_t c = 0; c < ES_BUCKET_CHUNK_COUNT; c++) {
        if (histogram->chunks[c] != NULL)
            memset(histogram->chunks[c], 0, ES_BUCKET_CHUNK * sizeof(double));
    }
    histogram->weight = histogram->sum_s = histogram->min_s = histogram->max_s = 0;
}

static void widen(es_histogram *histogram, double min_s, double max_s)
{
    bool empty = histogram->weight <= 0;
    histogram->min_s = empty ? min_s : fmin(histogram->min_s, min_s);
    histogram->max_s = empty ? max_s : fmax(histogram->max_s, max_s);
}

void es_histogram_add(es_histogram *histogram, double value_s, double weight)
{
    assert(value_s >= 0);
    assert(weight >= 0);
    if (weight <= 0 || !es_histogram_bucket_add(histogram, bucket_of(value_s), weight))
        return;
    widen(histogram, value_s, value_s);
    histogram->weight += weight;
    histogram->sum_s += value_s * weight;
}

void es_histogram_merge(es_histogram *into, const es_histogram *from)
{
    if (from->status != ES_OK)
        into->status = from->status;
    if (from->weight <= 0)
        return;
    for (size_t c = 0; c < ES_BUCKET_CHUNK_COUNT; c++) {
        for (size_t i = 0; from->chunks[c] != NULL && i < ES_BUCKET_CHUNK; i++) {
            if (from->chunks[c][i] > 0 &&
                !es_histogram_bucket_add(into, c * ES_BUCKET_CHUNK + i, from->chunks[c][i]))
                return;
        }
    }
    widen(into, from->min_s, from->max_s);
    into->weight += from->weight;
    into->sum_s += from->sum_s;
}

double es_histogram_weight(const es_histogram *histogram)
{
    return histogram->weight;
}

double es_histogram_mean(const es_histogram *histogram)
{
    return histogram->weight > 0 ? histogram->sum_s / histogram->weight : (double)NAN;
}

double es_histogram_min(const es_histogram *histogram)
{
    return histogram->weight > 0 ? histogram->min_s : (double)NAN;
}

double es_histogram_max(const es_histogram *histogram)
{
    return histogram->weight > 0 ? histogram->max_s : (double)NAN;
}

double es_histogram_quantile(const es_histogram *histogram, double q)
{
    assert(q >= 0);
    assert(q <= 1);
    if (histogram->weight <= 0)
        return (double)NAN;
    if (q <= 0)
        return histogram->min_s;
    double rank = q * histogram->weight;
    double before = 0;
    for (size_t c = 0; c < ES_BUCKET_CHUNK_COUNT; c++) {
        const double *chunk = histogram->chunks[c];
        for (size_t i = 0; chunk != NULL && i < ES_BUCKET_CHUNK; i++) {
            if (chunk[i] > 0 && before + chunk[i] >= rank)
                return value_in(histogram, c * ES_BUCKET_CHUNK + i, (rank - before) / chunk[i]);
            before += chunk[i];
        }
    }
    return histogram->max_s; /* rounding left the rank above the sum of the buckets */
}

double es_histogram_share_below(const es_histogram *histogram, double value_s)
{
    if (histogram->weight <= 0)
        return (double)NAN;
    if (value_s >= histogram->max_s)
        return 1;
    if (value_s < histogram->min_s)
        return 0;
    size_t last = bucket_of(value_s);
    double before = 0;
    for (size_t i = 0; i < last; i++)
        before += es_histogram_bucket(histogram, i);
    double low = value_in(histogram, last, 0);
    double high = value_in(histogram, last, 1);
    double share = high > low ? (value_s - low) / (high - low) : 1;
    return fmin((before + share * es_histogram_bucket(histogram, last)) / histogram->weight, 1);
}

es_status es_histogram_status(const es_histogram *histogram, es_error *err)
{
    return histogram->status == ES_OK ? ES_OK : es_arena_full(histogram->arena, "histogram", err);
}
