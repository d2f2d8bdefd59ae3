#include "es_test.h"
#include "simulate/event_mode.h"

#include <math.h>

/* The definition, word by word. */
static size_t naive(const double *values, size_t count)
{
    size_t best = 0;
    double least = (double)INFINITY;
    for (size_t d = 0; d <= count / 2 && d < count; d++) {
        double left = (double)(count - d);
        double mean = 0;
        double squares = 0;
        for (size_t i = d; i < count; i++)
            mean += values[i] / left;
        for (size_t i = d; i < count; i++)
            squares += (values[i] - mean) * (values[i] - mean);
        if (squares / (left * left) < least) {
            least = squares / (left * left);
            best = d;
        }
    }
    return best;
}

static void matches_the_definition(void **state)
{
    (void)state;
    double values[200];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        es_rng rng = es_rng_make(es_test_seed(4), seed);
        size_t count = 2 + es_rng_below(&rng, 198);
        double height = 5 * es_rng_double(&rng);
        for (size_t i = 0; i < count; i++)
            values[i] = 100 + es_rng_normal(&rng) - height * exp(-0.1 * (double)i);
        assert_int_equal(es_warm_up_mser(values, count), naive(values, count));
    }
    assert_int_equal(es_warm_up_mser(values, 0), 0);
    assert_int_equal(es_warm_up_mser(values, 1), 0);
}

static void finds_a_step(void **state)
{
    (void)state;
    double values[1000];
    es_rng rng = es_rng_make(2, 0);
    for (size_t i = 0; i < 1000; i++)
        values[i] = (i < 120 ? 5.0 : 1.0) + 0.1 * es_rng_normal(&rng);
    assert_in_range(es_warm_up_mser(values, 1000), 120, 124);
}

static void batches_halve(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    es_batches batches;
    assert_ok(es_batches_init(arena, &batches, NULL));
    size_t values = (size_t)ES_BATCHES_MAX * ES_BATCH_FIRST + 10;
    for (size_t i = 0; i < values; i++)
        es_batches_add(&batches, (double)i, (double)i);
    assert_int_equal(batches.size, 10);
    assert_int_equal(batches.count, ES_BATCHES_MAX / 2 + 1);
    assert_true(fabs(batches.mean[1] - 14.5) < 1e-9);
    assert_true(fabs(batches.start_s[1] - 10) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_definition),
        cmocka_unit_test(finds_a_step),
        cmocka_unit_test(batches_halve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
