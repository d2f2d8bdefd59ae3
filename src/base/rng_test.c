#include "base/rng.h"
#include "es_test.h"

#include <math.h>

enum { DRAW_COUNT = 200000 };

/* The authors' generator started at 1, 2, 3, 4. */
static void the_generator_is_xoshiro256starstar(void **state)
{
    (void)state;
    static const uint64_t wanted[] = {11520u,
                                      0u,
                                      1509978240u,
                                      1215971899390074240u,
                                      1216172134540287360u,
                                      607988272756665600u,
                                      16172922978634559625u,
                                      8476171486693032832u,
                                      10595114339597558777u,
                                      2904607092377533576u};
    es_rng rng = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_true(es_rng_u64(&rng) == wanted[i]);
}

/* Computed from the published splitmix64 and xoshiro256** apart from this program. A change here
 * changes every plan and every simulation that was ever recorded. */
static void seeds_and_streams_stay_as_they_are(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        uint64_t stream;
        uint64_t first;
        uint64_t second;
    } wanted[] = {
        {0, 0, 0xfb5405f7bd79c540u, 0x780c98e26cea5883u},
        {42, 0, 0x19e479e2aaa77bfbu, 0x5e3efe753be27527u},
        {42, 1, 0xc2faaa11a6d3ad7du, 0x20df191928673a4au},
        {UINT64_MAX, UINT64_MAX, 0xe9fc6d9be884c3eeu, 0x4980a5a6f711ebe8u},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        es_rng rng = es_rng_make(wanted[i].seed, wanted[i].stream);
        assert_true(es_rng_u64(&rng) == wanted[i].first);
        assert_true(es_rng_u64(&rng) == wanted[i].second);
    }
}

static void streams_do_not_go_together(void **state)
{
    (void)state;
    for (uint64_t stream = 1; stream < 20; stream++) {
        es_rng a = es_rng_make(es_test_seed(1), 0);
        es_rng b = es_rng_make(es_test_seed(1), stream);
        double sum = 0;
        for (int i = 0; i < DRAW_COUNT / 10; i++)
            sum += (es_rng_double(&a) - 0.5) * (es_rng_double(&b) - 0.5);
        double sigma = sqrt(DRAW_COUNT / 10.0) / 12;
        assert_true(fabs(sum) < 5.5 * sigma);
    }
}

/* Fails when the mean of count draws is over 5.5 standard errors away. */
static void mean_is(const char *what, double sum, double count, double mean, double variance)
{
    double error = fabs(sum / count - mean) / sqrt(variance / count);
    if (!(error < 5.5))
        fail_msg("%s: mean %g, wanted %g: %g standard errors (seed %" PRIu64 ")", what, sum / count,
                 mean, error, es_test_seed(1));
}

static void doubles_are_uniform(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 2);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < DRAW_COUNT; i++) {
        double drawn = es_rng_double(&rng);
        assert_true(drawn >= 0 && drawn < 1);
        sum += drawn;
        squares += drawn * drawn;
    }
    mean_is("uniform", sum, DRAW_COUNT, 0.5, 1.0 / 12);
    mean_is("uniform squared", squares, DRAW_COUNT, 1.0 / 3, 4.0 / 45);
}

/* sum of (seen - wanted)^2 / wanted */
static double chi_square(const uint64_t *seen, const double *wanted, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)seen[i] - wanted[i]) * ((double)seen[i] - wanted[i]) / wanted[i];
    return sum;
}

static void below_is_uniform(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 3);
    enum { BOUND = 10 };
    uint64_t seen[BOUND] = {0};
    double wanted[BOUND];
    for (int i = 0; i < DRAW_COUNT; i++) {
        uint64_t drawn = es_rng_below(&rng, BOUND);
        assert_true(drawn < BOUND);
        seen[drawn]++;
    }
    for (size_t i = 0; i < BOUND; i++)
        wanted[i] = DRAW_COUNT / (double)BOUND;
    assert_true(chi_square(seen, wanted, BOUND) < 44); /* 9 degrees of freedom: p = 1.4e-6 */
    assert_true(es_rng_below(&rng, 1) == 0);
}

/* A plain remainder would put half of the draws into the first third. */
static void below_has_no_bias_for_large_bounds(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 4);
    uint64_t third = UINT64_C(1) << 62;
    double low = 0;
    for (int i = 0; i < DRAW_COUNT; i++) {
        uint64_t drawn = es_rng_below(&rng, 3 * third);
        assert_true(drawn < 3 * third);
        low += drawn < third;
    }
    mean_is("lowest third", low, DRAW_COUNT, 1.0 / 3, 2.0 / 9);
}

static void exponentials_have_their_moments(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 5);
    double rate = 4;
    double sum = 0;
    double squares = 0;
    double late = 0;
    for (int i = 0; i < DRAW_COUNT; i++) {
        double drawn = es_rng_exponential(&rng, rate);
        assert_true(drawn >= 0 && isfinite(drawn));
        sum += drawn;
        squares += drawn * drawn;
        late += drawn > 1 / rate;
    }
    mean_is("exponential", sum, DRAW_COUNT, 1 / rate, 1 / (rate * rate));
    mean_is("exponential squared", squares, DRAW_COUNT, 2 / (rate * rate), 20 / pow(rate, 4));
    mean_is("exponential above its mean", late, DRAW_COUNT, exp(-1), exp(-1) * (1 - exp(-1)));
}

static void normals_have_their_moments(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 6);
    double sums[4] = {0};
    double near = 0;
    for (int i = 0; i < DRAW_COUNT; i++) {
        double drawn = es_rng_normal(&rng);
        near += fabs(drawn) < 1;
        double power = drawn;
        for (int k = 0; k < 4; k++) {
            sums[k] += power;
            power *= drawn;
        }
    }
    mean_is("normal", sums[0], DRAW_COUNT, 0, 1);
    mean_is("normal^2", sums[1], DRAW_COUNT, 1, 2);
    mean_is("normal^3", sums[2], DRAW_COUNT, 0, 15);
    mean_is("normal^4", sums[3], DRAW_COUNT, 3, 96);
    double inside = erf(1 / sqrt(2));
    mean_is("normal within one sigma", near, DRAW_COUNT, inside, inside * (1 - inside));
}

static void poisson_moments(double mean, int count)
{
    es_rng rng = es_rng_make(es_test_seed(1), 7);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < count; i++) {
        double away = (double)es_rng_poisson(&rng, mean) - mean;
        sum += away;
        squares += away * away;
    }
    mean_is("poisson", sum, count, 0, mean);
    mean_is("poisson variance", squares, count, mean, mean + 2 * mean * mean);
}

static void poissons_have_their_moments(void **state)
{
    (void)state;
    static const double means[] = {0.01, 0.5, 3, 9.99, 10, 11, 50, 1000, 1e6, 1e9};
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        poisson_moments(means[i], DRAW_COUNT / 2);
    es_rng rng = es_rng_make(es_test_seed(1), 8);
    for (int i = 0; i < 100; i++)
        assert_true(es_rng_poisson(&rng, 0) == 0);
}

/* Both methods against the probabilities themselves. */
static void poisson_follows_its_law(double mean)
{
    enum { BINS = 61 };
    es_rng rng = es_rng_make(es_test_seed(1), 9);
    uint64_t seen[BINS] = {0};
    for (int i = 0; i < DRAW_COUNT; i++) {
        uint64_t drawn = es_rng_poisson(&rng, mean);
        seen[drawn < BINS - 1 ? drawn : BINS - 1]++;
    }
    double sum = 0;
    size_t freedom = 0;
    double rest_wanted = DRAW_COUNT;
    double rest_seen = DRAW_COUNT;
    for (size_t k = 0; k < BINS - 1; k++) {
        double wanted = DRAW_COUNT * exp((double)k * log(mean) - mean - lgamma((double)k + 1));
        if (wanted < 20)
            continue;
        sum += chi_square(&seen[k], &wanted, 1);
        rest_wanted -= wanted;
        rest_seen -= (double)seen[k];
        freedom++;
    }
    sum += (rest_seen - rest_wanted) * (rest_seen - rest_wanted) / rest_wanted;
    double limit = (double)freedom + 6 * sqrt(2 * (double)freedom);
    if (!(sum < limit))
        fail_msg("poisson(%g): chi-square %g on %zu degrees of freedom (seed %" PRIu64 ")", mean,
                 sum, freedom, es_test_seed(1));
}

static void poissons_follow_their_law(void **state)
{
    (void)state;
    poisson_follows_its_law(2.5);
    poisson_follows_its_law(9.5);
    poisson_follows_its_law(10);
    poisson_follows_its_law(30);
}

static void shuffles_are_fair_permutations(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 10);
    uint64_t seen[4 * 4] = {0};
    double wanted[4 * 4];
    for (int i = 0; i < DRAW_COUNT / 4; i++) {
        size_t items[4] = {0, 1, 2, 3};
        es_rng_shuffle(&rng, items, 4);
        size_t set = 0;
        for (size_t place = 0; place < 4; place++) {
            set |= (size_t)1 << items[place];
            seen[place * 4 + items[place]]++;
        }
        assert_int_equal(set, 15);
    }
    for (size_t i = 0; i < 16; i++)
        wanted[i] = DRAW_COUNT / 16.0;
    assert_true(chi_square(seen, wanted, 16) < 50);
    es_rng_shuffle(&rng, NULL, 0);
    size_t one = 7;
    es_rng_shuffle(&rng, &one, 1);
    assert_int_equal(one, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_is_xoshiro256starstar),
        cmocka_unit_test(seeds_and_streams_stay_as_they_are),
        cmocka_unit_test(streams_do_not_go_together),
        cmocka_unit_test(doubles_are_uniform),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(below_has_no_bias_for_large_bounds),
        cmocka_unit_test(exponentials_have_their_moments),
        cmocka_unit_test(normals_have_their_moments),
        cmocka_unit_test(poissons_have_their_moments),
        cmocka_unit_test(poissons_follow_their_law),
        cmocka_unit_test(shuffles_are_fair_permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
