/* Hypervolume: known values, the general algorithm against the sweeps, Monte Carlo, properties. */
#include "base/rng.h"
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

enum { DIMENSIONS_MAX = 5 };

static double volume(const double *points, size_t count, uint32_t dimensions,
                     const double *reference)
{
    double found = -1.0;
    es_error err = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
    assert_ok_err(es_hypervolume(arena, points, count, dimensions, reference, &found, &err), err);
    return found;
}

static void assert_near(double value, double wanted, double tolerance)
{
    if (!(fabs(value - wanted) <= tolerance))
        fail_msg("%.12g is not within %g of %.12g", value, tolerance, wanted);
}

static void test_known_volumes(void **state)
{
    (void)state;
    const double two[] = {1, 3, 2, 2, 3, 1};
    const double corner[] = {4, 4, 4, 4, 4};
    assert_near(volume(two, 3, 2, corner), 6.0, 1e-12);
    assert_near(volume(two, 0, 2, corner), 0.0, 0.0);
    const double twice[] = {1, 3, 2, 2, 3, 1, 2, 2, 3, 3, 2, 4, 5, 0};
    assert_near(volume(twice, 7, 2, corner), 6.0, 1e-12);
    const double three[] = {1, 2, 3, 3, 1, 2, 2, 3, 1};
    /* 3·2·1 + 1·3·2 + 2·1·3 − pairs (1·2·1, 2·1·1, 1·1·2) + 1·1·1 */
    assert_near(volume(three, 3, 3, corner), 13.0, 1e-12);
    const double one[] = {1, 2, 3, 1, 2};
    assert_near(volume(one, 1, 5, corner), 3 * 2 * 1 * 3 * 2, 1e-12);
    assert_near(volume(two, 3, 1, corner), 3.0, 1e-12);
}

/* f2 = 1 - sqrt(f1): 2/3 with the reference (1, 1), 0.87667 with (1.1, 1.1). */
static void test_zdt1(void **state)
{
    (void)state;
    enum { COUNT = 200001 };
    double *points = calloc(COUNT, 2 * sizeof *points);
    assert_non_null(points);
    for (int i = 0; i < COUNT; i++) {
        points[2 * i] = i / (COUNT - 1.0);
        points[2 * i + 1] = 1.0 - sqrt(points[2 * i]);
    }
    const double near[] = {1.0, 1.0};
    const double far[] = {1.1, 1.1};
    assert_near(volume(points, COUNT, 2, near), 2.0 / 3.0, 1e-5);
    assert_near(volume(points, COUNT, 2, far), 0.66667 + 0.11 + 0.1, 2e-5);
    free(points);
}

static void draw(es_rng *rng, double *points, size_t count, uint32_t dimensions, bool coarse)
{
    for (size_t i = 0; i < count * dimensions; i++)
        points[i] = coarse ? (double)es_rng_below(rng, 5) / 4.0 : es_rng_double(rng);
}

/* A constant coordinate turns the sweeps of two and three dimensions into the general algorithm. */
static void test_sweeps_agree_with_wfg(void **state)
{
    (void)state;
    const double reference[] = {0.9, 0.95, 1.0, 1.0, 1.0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        double points[3 * 40];
        double flat[4 * 40];
        es_rng rng = es_rng_make(seed, 0);
        size_t count = 1 + (size_t)es_rng_below(&rng, 40);
        for (uint32_t dimensions = 2; dimensions <= 3; dimensions++) {
            draw(&rng, points, count, dimensions, seed % 2 == 0);
            for (size_t i = 0; i < count; i++)
                for (uint32_t k = 0; k < 4; k++)
                    flat[4 * i + k] = k < dimensions ? points[i * dimensions + k] : 0.0;
            assert_near(volume(points, count, dimensions, reference),
                        volume(flat, count, 4, reference), 1e-12);
        }
    }
}

static void test_order_and_more_points(void **state)
{
    (void)state;
    const double reference[] = {1, 1, 1, 1, 1};
    for (uint64_t seed = 0; seed < 60; seed++) {
        double points[DIMENSIONS_MAX * 24];
        es_rng rng = es_rng_make(seed, 0);
        uint32_t dimensions = 2 + (uint32_t)(seed % 4);
        draw(&rng, points, 24, dimensions, seed % 3 == 0);
        double whole = volume(points, 24, dimensions, reference);
        double before = 0.0;
        for (size_t count = 1; count <= 24; count++) {
            double now = volume(points, count, dimensions, reference);
            assert_true(now >= before - 1e-12);
            before = now;
        }
        for (size_t i = 23; i > 0; i--) {
            size_t j = (size_t)es_rng_below(&rng, i + 1);
            for (uint32_t k = 0; k < dimensions; k++) {
                double swap = points[i * dimensions + k];
                points[i * dimensions + k] = points[j * dimensions + k];
                points[j * dimensions + k] = swap;
            }
        }
        assert_near(volume(points, 24, dimensions, reference), whole, 1e-12);
    }
}

static void test_monte_carlo(void **state)
{
    (void)state;
    enum { SAMPLES = 20000, COUNT = 12 };
    const double reference[] = {1, 1, 1, 1, 1};
    for (uint32_t dimensions = 2; dimensions <= DIMENSIONS_MAX; dimensions++) {
        double points[DIMENSIONS_MAX * COUNT];
        es_rng rng = es_rng_make(7 + dimensions, 0);
        draw(&rng, points, COUNT, dimensions, false);
        int hits = 0;
        for (int s = 0; s < SAMPLES; s++) {
            double at[DIMENSIONS_MAX];
            bool hit = false;
            draw(&rng, at, 1, dimensions, false);
            for (size_t i = 0; i < COUNT && !hit; i++) {
                hit = true;
                for (uint32_t k = 0; k < dimensions; k++)
                    hit = hit && points[i * dimensions + k] <= at[k];
            }
            hits += hit ? 1 : 0;
        }
        /* five standard deviations of a share */
        assert_near(volume(points, COUNT, dimensions, reference), hits / (double)SAMPLES,
                    5.0 * 0.5 / sqrt(SAMPLES));
    }
}

static void test_bad_input(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    const double points[] = {1, (double)NAN};
    const double reference[] = {2, 2};
    double found = -1.0;
    es_error err = {0};
    assert_fails(es_hypervolume(arena, points, 1, 2, reference, &found, &err), ES_ERR_ARG, err,
                 "points[0][1]=nan");
    assert_fails(es_hypervolume(arena, points, 1, 0, reference, &found, &err), ES_ERR_ARG, err,
                 "dimensions=0 must be 1..8");
    assert_fails(es_hypervolume(arena, points, 1, 9, reference, &found, &err), ES_ERR_ARG, err,
                 "dimensions=9");
    assert_true(found < 0.0);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_volumes),         cmocka_unit_test(test_zdt1),
        cmocka_unit_test(test_sweeps_agree_with_wfg), cmocka_unit_test(test_order_and_more_points),
        cmocka_unit_test(test_monte_carlo),           cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests_name("hypervolume", tests, NULL, NULL);
}
