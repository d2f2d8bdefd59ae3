/* The published experiment's gate under every reading of its text: points of accuracy lost at 30 %
 * of the energy, at most 1.2 at rho = 1 and 0.5 at rho = 1.5 (spec, section 1.7). */
#include "es_test.h"
#include "schedule/ofa_tasks.h"

enum { FIGURES_SEED = 8, MANY = 1000, FEW = 10 };

static const es_ofa_reading readings[] = {
    {"as written", ES_OFA_AS_WRITTEN, false, ES_SCHEDULE_FRACTIONAL},
    {"one deadline is d_max", ES_OFA_ONE_LAST, false, ES_SCHEDULE_FRACTIONAL},
    {"energy until the last deadline drawn", ES_OFA_UNTIL_LAST, false, ES_SCHEDULE_FRACTIONAL},
    {"deadlines stretched to d_max", ES_OFA_STRETCHED, false, ES_SCHEDULE_FRACTIONAL},
    {"lost against no compression", ES_OFA_AS_WRITTEN, true, ES_SCHEDULE_FRACTIONAL},
    {"30 % of what is used without a budget", ES_OFA_AS_WRITTEN, false, ES_SCHEDULE_APPROX},
    {"30 % of what EDF without compression uses", ES_OFA_AS_WRITTEN, false, ES_SCHEDULE_EDF},
};
enum { READINGS = sizeof readings / sizeof readings[0] };

static es_ofa_estimate tell(const es_ofa_reading *reading, double rho)
{
    es_ofa_estimate few, many, least, none;
    es_ofa_points_lost(FIGURES_SEED, rho, FEW, reading, &few, &none);
    es_ofa_points_lost(FIGURES_SEED, rho, MANY, reading, &many, &least);
    print_message("rho %.1f, %-41s %4.2f +- %4.2f   %5.3f +- %5.3f   %5.3f +- %5.3f\n", rho,
                  reading->words, few.mean, few.half, many.mean, many.half, least.mean, least.half);
    assert_true(many.mean >= least.mean && many.mean - least.mean < 0.03);
    return least;
}

/* By the fractional bound no algorithm loses as little as 1.2 points on average at rho = 1, however
 * the text is read; at rho = 1.5 the gate is where the mean is. The text's own figures, 1.15 and
 * 0.44 points, are ten seeds' and lie within one standard error. */
static void test_no_reading_reaches_the_gate(void **state)
{
    (void)state;
    print_message(
        "points lost: 10 seeds, 1,000 seeds, by any schedule at least (95 %% intervals)\n");
    for (size_t i = 0; i < READINGS; i++) {
        es_ofa_estimate least = tell(&readings[i], 1.0);
        assert_true(least.mean - least.half > 1.2);
        assert_true(least.mean < 2.5);
    }
    es_ofa_estimate least = tell(&readings[0], 1.5);
    assert_true(least.mean <= 0.5);
}

/* The gate holds as it is worded, for ten seeds with an interval: 1.2 lies in nearly every ten's.
 */
static void test_ten_seeds_with_intervals(void **state)
{
    (void)state;
    static const double gates[2][2] = {{1.0, 1.2}, {1.5, 0.5}};
    for (int k = 0; k < 2; k++) {
        uint32_t below = 0;
        uint32_t within = 0;
        for (uint32_t set = 0; set < MANY / FEW; set++) {
            es_ofa_estimate lost, least;
            es_ofa_points_lost(FIGURES_SEED + set, gates[k][0], FEW, &es_ofa_as_written, &lost,
                               &least);
            below += lost.mean <= gates[k][1];
            within += lost.mean - lost.half <= gates[k][1];
        }
        print_message("rho %.1f: of %d sets of ten seeds %u lose at most %.1f on average, for %u "
                      "their interval allows it\n",
                      gates[k][0], MANY / FEW, below, gates[k][1], within);
        assert_true(below >= 20 && within >= 90);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_reading_reaches_the_gate),
        cmocka_unit_test(test_ten_seeds_with_intervals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
