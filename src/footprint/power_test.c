/* Power of servers: published vectors, and what any such curve must be. */
#include "es_test.h"
#include "footprint/footprint.h"

#include <math.h>

static void near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance))
        fail_msg("got %.9g, wanted %.9g", got, wanted);
}

static void platinum_as_published(void **state)
{
    (void)state;
    static const double vector[][2] = {{0, 35.6}, {0.1, 76.6}, {0.5, 182.2}, {1, 260.0}};
    for (size_t i = 0; i < sizeof vector / sizeof vector[0]; i++)
        near(es_power_cpu_w(ES_CPU_XEON_PLATINUM, vector[i][0]), vector[i][1], 0.05);
}

/* Rising and concave, never below a watt; outside 0..1 as at its ends. */
static void curves_are_sane(void **state)
{
    (void)state;
    for (int r = 0; r < ES_CPU_RANGE_COUNT; r++) {
        double rise = (double)INFINITY;
        for (int u = 0; u < 100; u++) {
            double here = es_power_cpu_w((es_cpu_range)r, u / 100.0);
            double step = es_power_cpu_w((es_cpu_range)r, (u + 1) / 100.0) - here;
            assert_true(here >= 1 && step > 0 && step <= rise);
            rise = step;
        }
        near(es_power_cpu_w((es_cpu_range)r, -1), es_power_cpu_w((es_cpu_range)r, 0), 0);
        near(es_power_cpu_w((es_cpu_range)r, 2), es_power_cpu_w((es_cpu_range)r, 1), 0);
        assert_non_null(es_cpu_range_names[r]);
    }
}

static void from_the_thermal_design_power(void **state)
{
    (void)state;
    near(es_power_tdp_w(200, 0), 20, 1e-12);
    near(es_power_tdp_w(200, 0.5), 42.5, 1e-12);
    near(es_power_tdp_w(200, 1), 200, 1e-12);
    near(es_power_tdp_w(200, 3), 200, 1e-12);
}

/* Two processors at 100 W and 256 GB: 272.704 W, plus a third for the rest. */
static void a_server_is_more_than_its_processors(void **state)
{
    (void)state;
    es_estimate server = es_power_server_w(200, 256, 0);
    near(server.value, 1.33 * 272.704, 1e-9);
    near(server.low, 1.2 * 272.704, 1e-9);
    near(server.high, 1.6 * 272.704, 1e-9);
    near(es_power_server_w(200, 256, 300).value - server.value, 1.33 * 300, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(platinum_as_published),
        cmocka_unit_test(curves_are_sane),
        cmocka_unit_test(from_the_thermal_design_power),
        cmocka_unit_test(a_server_is_more_than_its_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
