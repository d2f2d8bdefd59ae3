/* Projection, rounding and what they promise. */
#include "es_world.h"
#include "online/ascent.h"

static void projection_vectors(void **state)
{
    (void)state;
    const double s[] = {2, 1, 1, 4};
    const double wanted[] = {1, 10.0 / 11, 4.0 / 11, 2.0 / 11};
    double y[4];
    es_online_project((double[]){.9, .5, .2, .1}, s, 4, 4, y);
    for (int i = 0; i < 4; i++)
        assert_near(y[i], wanted[i], 1e-12);
    es_online_project((double[]){3, .5, .2, .1}, s, 4, 4, y);
    for (int i = 0; i < 4; i++)
        assert_near(y[i], wanted[i], 1e-12);
    es_online_project((double[]){3, .5, .2, .1}, s, 4, 8, y);
    for (int i = 0; i < 4; i++)
        assert_near(y[i], 1, 0);
}

/* Feasible, tight, and the ratio of uncapped ones is kept, over 30 decades of h. */
static void projection_is_exact_on_random_ones(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(2), 0);
    for (int n = 0; n < 2000; n++) {
        double h[40];
        double s[40];
        double y[40];
        double all = 0;
        size_t count = 1 + (size_t)es_rng_below(&rng, 40);
        for (size_t i = 0; i < count; i++) {
            h[i] = pow(10, -30 * es_rng_double(&rng));
            s[i] = 1 + 100 * es_rng_double(&rng);
            all += s[i];
        }
        double budget = all * es_rng_double(&rng);
        es_online_project(h, s, count, budget, y);
        double used = 0;
        double beta = (double)NAN;
        for (size_t i = 0; i < count; i++) {
            used += s[i] * y[i];
            assert_true(y[i] >= 0 && y[i] <= 1);
            if (y[i] >= 1)
                continue;
            beta = isnan(beta) ? y[i] / h[i] : beta;
            assert_near(y[i] / h[i] / beta, 1, 1e-9);
        }
        for (size_t i = 0; i < count; i++)
            if (y[i] >= 1 && !isnan(beta))
                assert_true(h[i] * beta >= 1 - 1e-9);
        assert_near(used / budget, 1, 1e-9);
    }
}

/* E[x] = y for each entry; the sum is kept, but for the last one. */
static void rounding_keeps_means(void **state)
{
    (void)state;
    enum { DRAWS = 200000, COUNT = 5 };
    const double u[COUNT] = {1, 10.0 / 11, 4.0 / 11, 2.0 / 11, 1.75};
    const double s[COUNT] = {2, 1, 1, 4, 1};
    const uint32_t order[COUNT] = {3, 0, 4, 2, 1};
    const double budget = 4 + 1.75;
    es_rng rng = es_rng_make(es_test_seed(3), 0);
    for (int unbiased = 0; unbiased < 2; unbiased++) {
        double sum[COUNT] = {0};
        for (int n = 0; n < DRAWS; n++) {
            double uniform[COUNT + 1];
            double scratch[COUNT];
            uint32_t copies[COUNT];
            double used = 0;
            for (int i = 0; i <= COUNT; i++)
                uniform[i] = es_rng_double(&rng);
            es_online_round(u, s, order, uniform, COUNT, budget, (es_round_opts){unbiased}, scratch,
                            copies);
            for (int i = 0; i < COUNT; i++) {
                used += s[i] * copies[i];
                sum[i] += copies[i];
                assert_true(copies[i] == floor(u[i]) || copies[i] == ceil(u[i]));
            }
            assert_true(used <= budget + (unbiased ? 4 : 1e-9));
        }
        for (int i = 0; i < COUNT; i++) {
            double mean = sum[i] / DRAWS;
            if (unbiased)
                assert_near(mean, u[i], 4.5 * 0.5 / sqrt(DRAWS));
            else
                assert_true(mean <= u[i] + 4.5 * 0.5 / sqrt(DRAWS));
        }
    }
}

/* E[min(r, sum x c)] >= (1 - 1/e) min(r, sum y c), by negative correlation. */
static void rounding_keeps_most_of_a_concave_gain(void **state)
{
    (void)state;
    enum { DRAWS = 4000, COUNT = 8 };
    es_rng rng = es_rng_make(es_test_seed(4), 0);
    for (int n = 0; n < 40; n++) {
        double u[COUNT];
        double s[COUNT];
        double c[COUNT];
        uint32_t order[COUNT];
        double budget = 0;
        double fluid = 0;
        double r = 1 + 10 * es_rng_double(&rng);
        for (uint32_t i = 0; i < COUNT; i++) {
            u[i] = es_rng_double(&rng);
            s[i] = 1 + (double)es_rng_below(&rng, 3);
            c[i] = r * es_rng_double(&rng);
            order[i] = i;
            budget += s[i] * u[i];
            fluid += u[i] * c[i];
        }
        double sum = 0;
        for (int d = 0; d < DRAWS; d++) {
            double uniform[COUNT + 1];
            double scratch[COUNT];
            uint32_t copies[COUNT];
            double got = 0;
            for (int i = 0; i <= COUNT; i++)
                uniform[i] = es_rng_double(&rng);
            es_online_round(u, s, order, uniform, COUNT, budget, (es_round_opts){true}, scratch,
                            copies);
            for (int i = 0; i < COUNT; i++)
                got += copies[i] * c[i];
            sum += fmin(r, got);
        }
        assert_true(sum / DRAWS >= (1 - exp(-1)) * fmin(r, fluid) * 0.98);
    }
}

/* The same draws, the same y: the same x; a small change of y changes few. */
static void rounding_is_coupled(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    double u[COUNT];
    double s[COUNT];
    double uniform[COUNT + 1];
    double scratch[COUNT];
    uint32_t order[COUNT];
    uint32_t a[COUNT];
    uint32_t b[COUNT];
    es_rng rng = es_rng_make(es_test_seed(5), 0);
    double changed = 0;
    for (int n = 0; n < 200; n++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            u[i] = es_rng_double(&rng);
            s[i] = 1;
            order[i] = i;
            uniform[i] = es_rng_double(&rng);
        }
        uniform[COUNT] = es_rng_double(&rng);
        es_online_round(u, s, order, uniform, COUNT, COUNT, (es_round_opts){0}, scratch, a);
        es_online_round(u, s, order, uniform, COUNT, COUNT, (es_round_opts){0}, scratch, b);
        assert_memory_equal(a, b, sizeof a);
        u[0] = fmin(u[0] + 0.01, 1);
        es_online_round(u, s, order, uniform, COUNT, COUNT, (es_round_opts){0}, scratch, b);
        for (int i = 0; i < COUNT; i++)
            changed += a[i] != b[i];
    }
    assert_true(changed / 200 < 1.5); /* independent draws change 10 of 30 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(projection_vectors),
        cmocka_unit_test(projection_is_exact_on_random_ones),
        cmocka_unit_test(rounding_keeps_means),
        cmocka_unit_test(rounding_keeps_most_of_a_concave_gain),
        cmocka_unit_test(rounding_is_coupled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
