#include "es_world.h"
#include "outcome/internal.h"

#include <math.h>

enum { VALUES = 20000 };

typedef enum shape_kind {
    UNIFORM,
    EXPONENTIAL,
    LOGNORMAL,
    PARETO,
    TWO_POINTS,
    SHAPE_COUNT
} shape_kind;

static double draw(es_rng *rng, shape_kind shape)
{
    switch (shape) {
    case UNIFORM:
        return 0.010 + 0.090 * es_rng_double(rng);
    case EXPONENTIAL:
        return es_rng_exponential(rng, 20);
    case LOGNORMAL:
        return exp(-4 + 1.5 * es_rng_normal(rng));
    case PARETO:
        return 0.001 * pow(1 - es_rng_double(rng), -1 / 1.5);
    case TWO_POINTS:
        return es_rng_double(rng) < 0.9 ? 0.002 : 3.0;
    case SHAPE_COUNT:
    default:
        return 0;
    }
}

static int by_value(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static void quantiles_are_within_one_percent(void **state)
{
    (void)state;
    static double values[VALUES];
    static const double quantiles[] = {0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    uint64_t seed = es_test_seed(1);
    for (int s = 0; s < 5 * SHAPE_COUNT; s++) {
        es_arena *arena = es_arena_new(1 << 20);
        es_histogram *histogram = es_histogram_new(arena);
        es_rng rng = es_rng_make(seed, (uint64_t)s);
        double sum = 0;
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = draw(&rng, (shape_kind)(s % SHAPE_COUNT));
            sum += values[i];
            es_histogram_add(histogram, values[i], 1);
        }
        qsort(values, VALUES, sizeof values[0], by_value);
        for (size_t q = 0; q < sizeof quantiles / sizeof quantiles[0]; q++) {
            double rank = ceil(quantiles[q] * VALUES);
            double exact = values[rank < 1 ? 0 : (size_t)rank - 1];
            double got = es_histogram_quantile(histogram, quantiles[q]);
            if (exact >= 1e-6 && exact < 1e4 && fabs(got - exact) > 0.010001 * exact)
                fail_msg("shape %d q %g: %g, exactly %g", s, quantiles[q], got, exact);
        }
        assert_true(fabs(es_histogram_mean(histogram) - sum / VALUES) < 1e-12 * sum);
        assert_true(!(es_histogram_max(histogram) < values[VALUES - 1]));
        assert_true(!(es_histogram_max(histogram) > values[VALUES - 1]));
        assert_true(!(es_histogram_min(histogram) > values[0]));
        assert_near(es_histogram_weight(histogram), VALUES, 1e-9);
        es_arena_free(arena);
    }
}

static void merge_is_union(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 20);
    es_histogram *a = es_histogram_new(arena);
    es_histogram *b = es_histogram_new(arena);
    es_histogram *both = es_histogram_new(arena);
    es_rng rng = es_rng_make(es_test_seed(2), 0);
    for (int i = 0; i < 3000; i++) {
        double value = draw(&rng, i % 2 == 0 ? LOGNORMAL : PARETO);
        es_histogram_add(i % 3 == 0 ? a : b, value, 1);
        es_histogram_add(both, value, 1);
    }
    es_histogram_merge(a, b);
    for (size_t i = 0; i < ES_BUCKET_COUNT; i++)
        assert_near(es_histogram_bucket(a, i), es_histogram_bucket(both, i), 0);
    assert_near(es_histogram_max(a), es_histogram_max(both), 0);
    assert_near(es_histogram_min(a), es_histogram_min(both), 0);
    assert_near(es_histogram_quantile(a, 0.95), es_histogram_quantile(both, 0.95), 1e-12);
    assert_near(es_histogram_mean(a), es_histogram_mean(both), 1e-9);
    es_histogram *empty = es_histogram_new(arena);
    es_histogram_merge(a, empty);
    assert_near(es_histogram_min(a), es_histogram_min(both), 0);
    es_arena_free(arena);
}

static void empty_says_nan(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 16);
    es_histogram *histogram = es_histogram_new(arena);
    assert_true(isnan(es_histogram_mean(histogram)));
    assert_true(isnan(es_histogram_min(histogram)));
    assert_true(isnan(es_histogram_max(histogram)));
    assert_true(isnan(es_histogram_quantile(histogram, 0.5)));
    assert_true(isnan(es_histogram_share_below(histogram, 1)));
    es_arena_free(arena);
}

static void ends_of_the_range_are_kept(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 16);
    es_histogram *histogram = es_histogram_new(arena);
    es_histogram_add(histogram, 0, 1);
    es_histogram_add(histogram, 1e-9, 1);
    es_histogram_add(histogram, 1e-6, 1);
    es_histogram_add(histogram, 1e4, 1);
    es_histogram_add(histogram, 1e7, 1);
    assert_near(es_histogram_quantile(histogram, 0), 0, 0);
    assert_near(es_histogram_quantile(histogram, 1), 1e7, 1e-3);
    double middle = es_histogram_quantile(histogram, 0.55);
    assert_true(middle >= 1e-6);
    assert_true(middle <= 1.01e-6);
    assert_near(es_histogram_share_below(histogram, 1e8), 1, 0);
    assert_near(es_histogram_share_below(histogram, 1), 0.6, 1e-9);
    es_arena_free(arena);
}

static void share_below_undoes_quantile(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 20);
    es_histogram *histogram = es_histogram_new(arena);
    es_rng rng = es_rng_make(es_test_seed(5), 0);
    for (int i = 0; i < 5000; i++)
        es_histogram_add(histogram, draw(&rng, EXPONENTIAL), 0.5);
    for (int i = 1; i < 20; i++) {
        double q = 0.05 * i;
        assert_near(es_histogram_share_below(histogram, es_histogram_quantile(histogram, q)), q,
                    2e-3);
    }
    es_arena_free(arena);
}

static void a_full_arena_is_remembered(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(sizeof(es_histogram) + 800);
    es_histogram *histogram = es_histogram_new(arena);
    assert_non_null(histogram);
    for (int i = 0; i < 33; i++)
        es_histogram_add(histogram, ldexp(1e-6, i), 1);
    assert_fails(es_histogram_status(histogram, &err), ES_ERR_NOMEM, err, "histogram");
    es_arena_free(arena);
}

static void student_t_meets_the_tables(void **state)
{
    (void)state;
    assert_near(es_student_t_975(1), 12.7062, 1e-4);
    assert_near(es_student_t_975(9), 2.262157, 1e-6);
    assert_near(es_student_t_975(30), 2.042272, 1e-6);
    assert_near(es_student_t_975(40), 2.021075, 1e-6);
    assert_near(es_student_t_975(120), 1.979930, 1e-6);
    assert_near(es_student_t_975(100000), 1.959988, 1e-6);
    const double values[] = {1, 2, 3, 4, 5};
    /* s = 1.5811, t(4) = 2.7764: half width 2.7764 * 1.5811 / sqrt 5 */
    assert_near(es_mean_ci95(values, 5), 1.963243, 1e-5);
    assert_true(isnan(es_mean_ci95(values, 1)));
    assert_near(es_mean_ci95((const double[]){2, 2, 2}, 3), 0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_one_percent),
        cmocka_unit_test(merge_is_union),
        cmocka_unit_test(empty_says_nan),
        cmocka_unit_test(ends_of_the_range_are_kept),
        cmocka_unit_test(share_below_undoes_quantile),
        cmocka_unit_test(a_full_arena_is_remembered),
        cmocka_unit_test(student_t_meets_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
