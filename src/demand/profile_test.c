#include "base/clock.h"
#include "demand/demand.h"
#include "es_test.h"

#include <math.h>

static double count_between(es_arrivals arrivals, uint64_t seed, double from_s, double to_s)
{
    es_arrival_stream stream = es_arrival_stream_make(arrivals, seed, 0);
    double count = 0;
    int64_t before_ns = 0;
    for (;;) {
        int64_t when_ns = es_arrival_next_ns(&stream);
        assert_true(when_ns >= before_ns);
        before_ns = when_ns;
        if (when_ns >= es_ns_from_s(to_s))
            return count;
        count += when_ns >= es_ns_from_s(from_s);
    }
}

/* Counts in each of ten parts of the run lie within five standard errors of the integral. */
static void follows_its_rate(es_rate_profile profile, double run_s)
{
    enum { RUNS = 60, PARTS = 10 };
    for (int kind = ES_ARRIVAL_CONSTANT; kind <= ES_ARRIVAL_POISSON; kind++) {
        es_arrivals arrivals = {.kind = (es_arrival_kind)kind,
                                .rate_rps = 20,
                                .profile_count = 1,
                                .profiles = &profile};
        for (int part = 0; part < PARTS; part++) {
            double from_s = run_s * part / PARTS;
            double to_s = run_s * (part + 1) / PARTS;
            double sum = 0;
            for (uint64_t seed = 0; seed < RUNS; seed++)
                sum += count_between(arrivals, es_test_seed(1) + seed, from_s, to_s);
            double expected = RUNS * es_arrivals_count_between(&arrivals, from_s, to_s);
            assert_true(fabs(sum - expected) <= 5 * sqrt(expected) + RUNS);
        }
    }
}

static void diurnal_swings(void **state)
{
    (void)state;
    es_rate_profile day = {.kind = ES_PROFILE_DIURNAL, .period_s = 100, .depth = 0.9, .peak_s = 30};
    follows_its_rate(day, 100);
    assert_true(es_rate_profile_factor(&day, 30, NULL) > 1.89);
    assert_true(es_rate_profile_factor(&day, 80, NULL) < 0.11);
    es_arrivals arrivals = {
        .kind = ES_ARRIVAL_POISSON, .rate_rps = 7, .profile_count = 1, .profiles = &day};
    assert_true(fabs(es_arrivals_count_between(&arrivals, 0, 300) - 2100) < 1e-6);
}

static void flash_crowd_comes_and_goes(void **state)
{
    (void)state;
    es_rate_profile flash = {
        .kind = ES_PROFILE_FLASH, .start_s = 20, .factor = 8, .half_life_s = 5};
    follows_its_rate(flash, 100);
    assert_true(fabs(es_rate_profile_factor(&flash, 19.999, NULL) - 1) < 1e-12);
    assert_true(fabs(es_rate_profile_factor(&flash, 20, NULL) - 9) < 0.2);
    assert_true(fabs(es_rate_profile_factor(&flash, 25, NULL) - 5) < 0.1);
    assert_true(fabs(es_rate_profile_factor(&flash, 1e4, NULL) - 1) < 1e-12);
}

static void series_repeats(void **state)
{
    (void)state;
    const int64_t starts[] = {0, 10 * ES_NS_PER_S, 15 * ES_NS_PER_S};
    const double values[] = {0.5, 3, 0};
    es_series series = {.count = 3, .start_ns = starts, .value = values};
    es_rate_profile profile = {.kind = ES_PROFILE_SERIES, .period_s = 20, .series = &series};
    follows_its_rate(profile, 100);
    assert_true(fabs(es_series_mean(&series, 0, 20) - 1) < 1e-12);
    assert_true(fabs(es_series_mean(&series, 5, 12) - (2.5 + 6) / 7) < 1e-12);
    assert_true(fabs(es_series_at(&series, 12 * ES_NS_PER_S) - 3) < 1e-12);
}

/* Mean over many seeds is the rate; counts vary more than Poisson's. */
static void on_off_bursts(void **state)
{
    (void)state;
    es_rate_profile bursts = {.kind = ES_PROFILE_ON_OFF, .on_s = 2, .off_s = 6};
    es_arrivals arrivals = {
        .kind = ES_ARRIVAL_POISSON, .rate_rps = 20, .profile_count = 1, .profiles = &bursts};
    enum { RUNS = 400 };
    double sum = 0;
    double squares = 0;
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        double count = count_between(arrivals, es_test_seed(1) + seed, 0, 100);
        sum += count;
        squares += count * count;
    }
    double mean = sum / RUNS;
    double variance = squares / RUNS - mean * mean;
    /* Counts of an on/off Poisson process (MMPP): variance = mean + 2 p (1 - p) h^2 t tau, with
     * p = 1/4 on, h = 80 the rate when on, tau = 1.5 s the time of relaxation: 362,000. */
    assert_true(fabs(mean - 2000) < 5 * sqrt(variance / RUNS));
    assert_true(variance > 290000 && variance < 435000);
}

static void popularity_changes(void **state)
{
    (void)state;
    es_rate_profile law = {.kind = ES_PROFILE_POPULARITY,
                           .popularity = ES_POPULARITY_SLIDING,
                           .exponent = 1.2,
                           .rank = 0,
                           .rank_count = 20,
                           .shift = 5,
                           .period_s = 3600};
    assert_int_equal(es_popularity_rank(&law, 3599), 0);
    assert_int_equal(es_popularity_rank(&law, 3600), 5);
    assert_int_equal(es_popularity_rank(&law, 4 * 3600.0), 0);
    double until_s = 0;
    assert_true(fabs(es_rate_profile_factor(&law, 3600, &until_s) - pow(1.0 / 6, 1.2)) < 1e-12);
    assert_true(fabs(until_s - 7200) < 1e-9);
    law.popularity = ES_POPULARITY_ADVERSARIAL;
    assert_int_equal(es_popularity_rank(&law, 3600), 19);
    assert_int_equal(es_popularity_rank(&law, 7200), 0);
    law.popularity = ES_POPULARITY_FIXED;
    assert_int_equal(es_popularity_rank(&law, 1e6), 0);
    /* At every time the shares of all ranks add up to 1. */
    law.popularity = ES_POPULARITY_SLIDING;
    for (double t_s = 100; t_s < 1e5; t_s += 3600) {
        double sum = 0;
        for (law.rank = 0; law.rank < law.rank_count; law.rank++)
            sum += es_zipf_share(1.2, 20, law.rank) * es_rate_profile_factor(&law, t_s, NULL);
        assert_true(fabs(sum - 1) < 1e-12);
    }
}

/* A rate that ends never comes again, and no profile hangs. */
static void nothing_left(void **state)
{
    (void)state;
    const int64_t starts[] = {0, ES_NS_PER_S};
    const double values[] = {1, 0};
    es_series series = {.count = 2, .start_ns = starts, .value = values};
    es_rate_profile profile = {.kind = ES_PROFILE_SERIES, .series = &series};
    es_arrivals arrivals = {
        .kind = ES_ARRIVAL_CONSTANT, .rate_rps = 10, .profile_count = 1, .profiles = &profile};
    es_arrival_stream stream = es_arrival_stream_make(arrivals, 1, 0);
    int count = 0;
    while (es_arrival_next_ns(&stream) != INT64_MAX)
        count++;
    assert_in_range(count, 9, 11);
    assert_true(es_arrival_next_ns(&stream) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diurnal_swings),     cmocka_unit_test(flash_crowd_comes_and_goes),
        cmocka_unit_test(series_repeats),     cmocka_unit_test(on_off_bursts),
        cmocka_unit_test(popularity_changes), cmocka_unit_test(nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
