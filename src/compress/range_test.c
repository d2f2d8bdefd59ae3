#include "base/rng.h"
#include "compress/internal.h"
#include "es_test.h"

#include <math.h>
#include <string.h>

/* ---- affine ---- */

static void codes_round_half_to_even_and_saturate(void **state)
{
    (void)state;
    es_affine a = {.scale = 0.5f, .zero = 10, .low = 0, .high = 255};
    assert_int_equal(es_affine_code(a, 0.25f), 10); /* 0.5 steps: to 0 */
    assert_int_equal(es_affine_code(a, 0.75f), 12); /* 1.5 steps: to 2 */
    assert_int_equal(es_affine_code(a, 1.25f), 12); /* 2.5 steps: to 2 */
    assert_int_equal(es_affine_code(a, -0.25f), 10);
    assert_int_equal(es_affine_code(a, -0.75f), 8);
    assert_int_equal(es_affine_code(a, 1e30f), 255);
    assert_int_equal(es_affine_code(a, -1e30f), 0);
    assert_true(es_affine_value(a, 13) == 1.5f);
}

static void ranges_hold_zero(void **state)
{
    (void)state;
    const struct {
        double low, high;
        float scale;
        int32_t zero;
    } rows[] = {{0, 255, 1, 0},     {-128, 127, 1, 128}, {1, 510, 2, 0},
                {-255, -3, 1, 255}, {0, 0, 1, 0},        {-2, 8, (float)(10.0 / 255), 51}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        es_affine a = es_affine_u8(rows[i].low, rows[i].high);
        assert_true(a.scale == rows[i].scale);
        assert_int_equal(a.zero, rows[i].zero);
        assert_true(es_affine_round(a, 0) == 0.0f); /* exactly */
    }
    es_affine w = es_affine_symmetric(12.7, 127);
    assert_int_equal(es_affine_code(w, -12.7f), -127);
    assert_int_equal(es_affine_code(w, -100), -127);
    assert_int_equal(es_affine_code(es_affine_symmetric(6.3, 63), 6.3f), 63);
}

/* Inside the range an error is at most half a step, and a little for the float arithmetic. */
static void errors_are_bounded_by_the_scale(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(3), 0);
    for (int round = 0; round < 200; round++) {
        double low = -es_rng_exponential(&rng, 1);
        double high = es_rng_exponential(&rng, 0.1);
        es_affine a = es_affine_u8(low, high);
        for (int k = 0; k < 100; k++) {
            float x = (float)(low + (high - low) * es_rng_double(&rng));
            double error = fabs((double)es_affine_round(a, x) - (double)x);
            /* the zero point is rounded too: the ends may miss by half a step more */
            bool inside = x >= es_affine_value(a, 0) && x <= es_affine_value(a, 255);
            assert_true(error <= (double)a.scale * (inside ? 0.50001 : 1.00001));
        }
    }
}

/* ---- ranges ---- */

typedef struct drawn {
    float values[5000];
    uint64_t negative[ES_HISTOGRAM_BINS], positive[ES_HISTOGRAM_BINS];
    es_seen seen;
} drawn;

static void draw(drawn *d, es_rng *rng, int kind)
{
    for (size_t i = 0; i < 5000; i++) {
        double x = es_rng_normal(rng);
        if (kind == 1)
            x = fmax(x, 0);
        if (kind == 2)
            x = es_rng_exponential(rng, 1) * (es_rng_below(rng, 2) == 0 ? -1 : 1);
        if (kind == 3 && i % 1000 == 0)
            x = 40 + x; /* outliers */
        d->values[i] = (float)x;
    }
    memset(d->negative, 0, sizeof d->negative);
    memset(d->positive, 0, sizeof d->positive);
    d->seen = (es_seen){
        .low = INFINITY, .high = -INFINITY, .negative = d->negative, .positive = d->positive};
    es_seen_extremes(&d->seen, d->values, 2500);
    es_seen_extremes(&d->seen, d->values + 2500, 2500);
    es_seen_bins(&d->seen, d->values, 2000);
    es_seen_bins(&d->seen, d->values + 2000, 3000);
}

static void histograms_hold_every_value(void **state)
{
    (void)state;
    static drawn d;
    es_rng rng = es_rng_make(es_test_seed(4), 0);
    for (int kind = 0; kind < 4; kind++) {
        draw(&d, &rng, kind);
        uint64_t below = 0;
        uint64_t above = 0;
        size_t negative = 0;
        for (size_t i = 0; i < ES_HISTOGRAM_BINS; i++) {
            below += d.negative[i];
            above += d.positive[i];
        }
        for (size_t i = 0; i < 5000; i++) {
            negative += d.values[i] < 0;
            assert_true(d.values[i] >= d.seen.low && d.values[i] <= d.seen.high);
        }
        assert_int_equal(below, negative);
        assert_int_equal(below + above, 5000);
        assert_int_equal(d.seen.count, 5000);
        assert_true(d.seen.reach == fmaxf(-d.seen.low, d.seen.high));
    }
}

/* The definition, straight: P and Q as arrays. */
static double naive_divergence(const uint64_t *hist, size_t bins, size_t cut, size_t levels)
{
    double p[ES_HISTOGRAM_BINS] = {0};
    double q[ES_HISTOGRAM_BINS] = {0};
    double p_sum = 0;
    double q_sum = 0;
    for (size_t i = 0; i < cut; i++)
        p[i] = (double)hist[i];
    for (size_t i = cut; i < bins; i++)
        p[cut - 1] += (double)hist[i];
    for (size_t i = 0; i < cut; i++) { /* the level of bin i, and all bins of that level */
        size_t level = ((i + 1) * levels - 1) / cut;
        double merged = 0;
        double filled = 0;
        for (size_t k = 0; k < cut; k++)
            if (((k + 1) * levels - 1) / cut == level) {
                merged += (double)hist[k];
                filled += hist[k] > 0;
            }
        q[i] = hist[i] > 0 ? merged / filled : 0;
    }
    for (size_t i = 0; i < cut; i++) {
        p_sum += p[i];
        q_sum += q[i];
    }
    double sum = 0;
    for (size_t i = 0; i < cut; i++) {
        if (p[i] <= 0)
            continue;
        if (q[i] <= 0)
            return INFINITY;
        sum += p[i] / p_sum * log(p[i] / p_sum / (q[i] / q_sum));
    }
    return sum;
}

static void entropy_is_the_least_of_all_cuts(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(5), 0);
    for (int round = 0; round < 60; round++) {
        uint64_t hist[64] = {0};
        size_t bins = 16 + (size_t)es_rng_below(&rng, 48);
        size_t levels = 1 + (size_t)es_rng_below(&rng, 16);
        for (size_t i = 0; i < bins; i++)
            hist[i] = (uint64_t)(1000 * exp(-(double)i / 8) * es_rng_double(&rng));
        double least = INFINITY;
        double got = 0;
        for (size_t cut = levels; cut <= bins; cut++)
            least = fmin(least, naive_divergence(hist, bins, cut, levels));
        size_t best = es_range_entropy(hist, bins, levels, &got);
        assert_true(best >= levels && best <= bins);
        if (fabs(got - least) > 1e-9 * fmax(1, least) && !(isinf(got) && isinf(least)))
            fail_msg("round %d: got %g at %zu, least %g", round, got, best, least);
        if (isfinite(got))
            assert_true(fabs(naive_divergence(hist, bins, best, levels) - got) < 1e-9);
    }
}

static void squared_error_is_the_least_of_all_bounds(void **state)
{
    (void)state;
    static drawn d;
    es_rng rng = es_rng_make(es_test_seed(6), 0);
    for (int kind = 0; kind < 8; kind++) {
        bool symmetric = kind >= 4;
        draw(&d, &rng, kind % 4);
        double best = es_range_mse(&d.seen, symmetric);
        double errors[2] = {0, INFINITY}; /* of the bound taken, of the best by brute force */
        for (int step = 50; step <= 101; step++) {
            double bound = step == 101 ? best : (double)d.seen.reach * step / 100;
            double low = fmax((double)d.seen.low, -bound);
            double high = fmin((double)d.seen.high, bound);
            es_affine a =
                symmetric ? es_affine_symmetric(fmax(-low, high), 127) : es_affine_u8(low, high);
            double sum = 0;
            for (size_t i = 0; i < 5000; i++) {
                double e = (double)d.values[i] - (double)es_affine_round(a, d.values[i]);
                sum += e * e;
            }
            errors[step != 101] = step == 101 ? sum : fmin(errors[1], sum);
        }
        /* values stand in the middle of their bin there, as they are here */
        if (errors[0] > 1.1 * errors[1])
            fail_msg("kind %d: error %g, least %g", kind, errors[0], errors[1]);
    }
}

static void percentiles_count(void **state)
{
    (void)state;
    const uint64_t hist[4] = {90, 5, 4, 1};
    assert_true(es_range_percentile(hist, 4, 8, 100) == 8.0);
    assert_true(es_range_percentile(hist, 4, 8, 99) == 6.0);
    assert_true(es_range_percentile(hist, 4, 8, 95) == 4.0);
    assert_true(es_range_percentile(hist, 4, 8, 50) == 2.0);
}

/* Methods that clip leave outliers out; min-max holds them. */
static void methods_differ_on_outliers(void **state)
{
    (void)state;
    static drawn d;
    es_rng rng = es_rng_make(7, 0);
    draw(&d, &rng, 3);
    double low[ES_RANGE_METHOD_COUNT];
    double high[ES_RANGE_METHOD_COUNT];
    for (int m = ES_RANGE_MINMAX; m < ES_RANGE_METHOD_COUNT; m++)
        es_range_find(&d.seen, (es_range_method)m, 99.8, false, &low[m], &high[m]);
    assert_true(high[ES_RANGE_MINMAX] > 38);
    assert_true(high[ES_RANGE_PERCENTILE] < 5);
    assert_true(high[ES_RANGE_ENTROPY] < 30);
    assert_true(high[ES_RANGE_MSE] <= high[ES_RANGE_MINMAX]);
    for (int m = ES_RANGE_MINMAX; m < ES_RANGE_METHOD_COUNT; m++)
        assert_true(low[m] >= (double)d.seen.low && low[m] < -2);
    /* nothing but zeros */
    memset(d.values, 0, sizeof d.values);
    es_seen zeros = {
        .low = INFINITY, .high = -INFINITY, .negative = d.negative, .positive = d.positive};
    es_seen_extremes(&zeros, d.values, 100);
    es_seen_bins(&zeros, d.values, 100);
    for (int m = ES_RANGE_MINMAX; m < ES_RANGE_METHOD_COUNT; m++) {
        es_range_find(&zeros, (es_range_method)m, 99, false, &low[m], &high[m]);
        assert_true(low[m] == 0.0 && high[m] == 0.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes_round_half_to_even_and_saturate),
                                       cmocka_unit_test(ranges_hold_zero),
                                       cmocka_unit_test(errors_are_bounded_by_the_scale),
                                       cmocka_unit_test(histograms_hold_every_value),
                                       cmocka_unit_test(entropy_is_the_least_of_all_cuts),
                                       cmocka_unit_test(squared_error_is_the_least_of_all_bounds),
                                       cmocka_unit_test(percentiles_count),
                                       cmocka_unit_test(methods_differ_on_outliers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
