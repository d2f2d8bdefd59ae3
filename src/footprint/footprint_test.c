/* Life-cycle vectors, joules to grams, intensity as time goes, years and rebound. */
#include "base/rng.h"
#include "es_test.h"
#include "footprint/footprint.h"

#include <math.h>

static es_arena *arena;
static const es_factors *factors;

static int begin(void **state)
{
    (void)state;
    es_error err = {0};
    arena = es_arena_new(64 << 20);
    return arena != NULL && es_factors_builtin(arena, &factors, &err) == ES_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

#define assert_close(got, wanted, tolerance)                                                       \
    do {                                                                                           \
        double got_ = (got);                                                                       \
        double wanted_ = (wanted);                                                                 \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: got %.9g, wanted %.9g", #got, got_, wanted_);                            \
    } while (0)

/* ---- vectors of Boavizta's method ---- */

static void test_server_from_parts(void **state)
{
    (void)state;
    es_server_parts parts = es_server_parts_default();
    parts.cpus = 2;
    parts.die_mm2 = 24 * 24.5;
    parts.ram_sticks = 12;
    parts.ram_gb = 32;
    parts.ssds = 1;
    parts.ssd_gb = 400;
    es_impact impact;
    es_error err = {0};
    assert_ok_err(es_impact_server(factors, parts, &impact, &err), err);
    assert_close(impact.of[ES_CRITERION_GWP].value / 1000, 1173.5, 0.5);
    assert_close(impact.of[ES_CRITERION_PE].value, 15419, 8);
    assert_close(impact.of[ES_CRITERION_ADPE].value, 0.1551, 5e-5);
    assert_false(es_estimate_known(impact.of[ES_CRITERION_WATER]));
    /* bounds: memory at the greatest and at the least density, the rest as it is */
    double fixed = 1173.5 - 2.20 * 384 / 1.244 - 2.20 * 400 / 54.9;
    assert_close(impact.of[ES_CRITERION_GWP].low / 1000,
                 fixed + 2.20 * 384 / 2.375 + 2.20 * 400 / 128, 0.5);
    assert_close(impact.of[ES_CRITERION_GWP].high / 1000,
                 fixed + 2.20 * 384 / 0.625 + 2.20 * 400 / 16.4, 0.5);
}

static void test_gpu_cards(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        es_gpu_parts parts;
        double gwp_kg, pe, adpe;
    } cards[] = {
        {"H100", {2810.4, 6, 80, 296.37, .789, .901, 1.69, 19000, 1000, 0}, 575, 7913, 5.83e-3},
        {"A100", {1798, 6, 40, 234.36, .387, .609, 1.23, 19000, 1000, 0}, 276, 3834, 4.31e-3},
        {"L4", {390.96, 12, 24, 93.13, 0, .0871, .142, 19000, 1000, 0}, 114, 1554, 1.36e-3},
    };
    for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++) {
        es_impact impact;
        es_error err = {0};
        assert_ok_err(es_impact_gpu(factors, cards[i].parts, &impact, &err), err);
        assert_close(impact.of[ES_CRITERION_GWP].value / 1000, cards[i].gwp_kg, 0.5);
        assert_close(impact.of[ES_CRITERION_PE].value, cards[i].pe, 0.5);
        assert_close(impact.of[ES_CRITERION_ADPE].value, cards[i].adpe, 5e-6);
    }
    assert_close(es_die_effective_mm2(814), 2808, 0.5);
}

static void test_whole_pieces(void **state)
{
    (void)state;
    es_impact impact;
    es_error err = {0};
    double life_h = 0;
    const char *source = NULL;
    assert_ok_err(es_impact_hardware(factors, "server", &impact, &life_h, &source, &err), err);
    assert_true(impact.of[ES_CRITERION_GWP].value == 3660e3 && life_h == 35040);
    assert_string_equal(source, "boavizta");
    assert_ok_err(es_impact_hardware(factors, "smartphone", &impact, &life_h, &source, &err), err);
    assert_true(impact.of[ES_CRITERION_GWP].value == 84e3 && life_h == 26280);
    assert_false(es_estimate_known(impact.of[ES_CRITERION_PE]));
    assert_ok_err(es_impact_hardware(factors, "gpu", &impact, &life_h, &source, &err), err);
    assert_true(impact.of[ES_CRITERION_GWP].low == 164e3);
    assert_true(impact.of[ES_CRITERION_GWP].high == 575e3);
    assert_fails(es_impact_hardware(factors, "abacus", &impact, &life_h, &source, &err), ES_ERR_ARG,
                 err, "hardware/abacus/gwp");
}

/* ---- SCI ---- */

static es_footprint_use use_of(double dynamic_j, double idle_j, double gwp)
{
    es_footprint_use use = {.place = "a", .part = ES_BOUNDARY_CLOUD, .dynamic_j = dynamic_j};
    use.idle_j = idle_j;
    use.pue = es_estimate_exact(1);
    use.site_l_kwh = es_estimate_unknown();
    for (int c = 0; c < ES_CRITERION_COUNT; c++)
        use.grid.of[c] = es_estimate_unknown();
    use.grid.of[ES_CRITERION_GWP] = es_estimate_exact(gwp);
    return use;
}

static es_footprint_frame frame_of(double units, double duration_s)
{
    static const char *const sources[] = {"grid: test"};
    return (es_footprint_frame){.units = units,
                                .unit = "request",
                                .duration_s = duration_s,
                                .boundary = 1u << ES_BOUNDARY_CLOUD | 1u << ES_BOUNDARY_IDLE |
                                            1u << ES_BOUNDARY_EMBODIED,
                                .source_count = 1,
                                .sources = sources};
}

static const es_footprint *make(const es_footprint_use *uses, size_t count,
                                es_footprint_frame frame)
{
    const es_footprint *made = NULL;
    es_error err = {0};
    assert_ok_err(es_footprint_make(arena, uses, count, frame, &made, &err), err);
    return made;
}

static void test_sci(void **state)
{
    (void)state;
    /* 1000 kg over four years of 8760 h, one hour, all of it: 28.54 g */
    es_impact piece = es_impact_zero();
    piece.of[ES_CRITERION_GWP] = es_estimate_exact(1e6);
    es_impact hour = es_impact_share(piece, 4 * 8760, 3600, 1);
    assert_close(hour.of[ES_CRITERION_GWP].value, 28.54, 0.005);
    /* (E * I + M) / R: 2 kWh at PUE 1.5 and 100 g/kWh, M as above, 1000 requests */
    es_footprint_use use = use_of(1.5 * 3.6e6, 0.5 * 3.6e6, 100);
    use.pue = (es_estimate){1.2, 1.5, 2};
    use.embodied = hour;
    const es_footprint *made = make(&use, 1, frame_of(1000, 3600));
    assert_close(made->per_unit.of[ES_CRITERION_GWP].value, (2 * 1.5 * 100 + 28.54) / 1000, 1e-5);
    assert_close(made->per_unit.of[ES_CRITERION_GWP].low, (2 * 1.2 * 100 + 28.54) / 1000, 1e-5);
    assert_close(made->per_unit.of[ES_CRITERION_GWP].high, (2 * 2 * 100 + 28.54) / 1000, 1e-5);
    assert_false(es_estimate_known(made->per_unit.of[ES_CRITERION_PE]));
    /* scores with the same R add up over components */
    es_footprint_use uses[] = {use, use};
    const es_footprint *both = make(uses, 2, frame_of(1000, 3600));
    assert_close(both->per_unit.of[ES_CRITERION_GWP].value,
                 2 * made->per_unit.of[ES_CRITERION_GWP].value, 1e-12);
    /* the share of the hardware is dropped outside the boundary */
    es_footprint_frame narrow = frame_of(1000, 3600);
    narrow.boundary = 1u << ES_BOUNDARY_CLOUD;
    assert_close(make(&use, 1, narrow)->total.total.of[ES_CRITERION_GWP].value, 1.5 * 1.5 * 100,
                 1e-9);
}

static void test_water_has_pue_once(void **state)
{
    (void)state;
    es_footprint_use use = use_of(3.6e6, 0, 100);
    use.pue = es_estimate_exact(1.2);
    use.grid.of[ES_CRITERION_WATER] = es_estimate_exact(3);
    use.site_l_kwh = es_estimate_exact(0.5);
    assert_close(make(&use, 1, frame_of(1, 1))->total.total.of[ES_CRITERION_WATER].value,
                 0.5 + 1.2 * 3, 1e-12);
}

static void test_bad_uses(void **state)
{
    (void)state;
    const es_footprint *made = NULL;
    es_error err = {0};
    es_footprint_use use = use_of(-1, 0, 1);
    assert_fails(es_footprint_make(arena, &use, 1, frame_of(1, 1), &made, &err), ES_ERR_ARG, err,
                 "'a': dynamic_j=-1");
    use = use_of(1, 0, 1);
    use.pue = es_estimate_exact(0.9);
    assert_fails(es_footprint_make(arena, &use, 1, frame_of(1, 1), &made, &err), ES_ERR_ARG, err,
                 "pue=0.9");
    use = use_of(1, 0, 1);
    use.part = ES_BOUNDARY_EDGE;
    assert_fails(es_footprint_make(arena, &use, 1, frame_of(1, 1), &made, &err), ES_ERR_ARG, err,
                 "outside the boundary");
    assert_fails(es_footprint_make(arena, &use, 1, frame_of(1, 0), &made, &err), ES_ERR_ARG, err,
                 "duration_s=0");
    assert_true(isnan(make(&use, 0, frame_of(0, 1))->per_unit.of[ES_CRITERION_GWP].value));
}

/* Random footprints: totals are the sums of rows, low <= value <= high. */
static void test_conservation(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(7), 0);
    for (int round = 0; round < 200; round++) {
        es_footprint_use uses[8];
        size_t count = 1 + (size_t)((int)es_rng_below(&rng, 8));
        double sum = 0;
        double kwh = 0;
        for (size_t i = 0; i < count; i++) {
            uses[i] = use_of((int)es_rng_below(&rng, 1000), (int)es_rng_below(&rng, 1000),
                             1 + (int)es_rng_below(&rng, 900));
            double value = 1 + ((int)es_rng_below(&rng, 100)) / 100.0;
            uses[i].pue = (es_estimate){1, value, value + 0.1};
            double joules = uses[i].dynamic_j + uses[i].idle_j;
            kwh += joules / 3.6e6 * value;
            sum += joules / 3.6e6 * value * uses[i].grid.of[ES_CRITERION_GWP].value;
        }
        const es_footprint *made = make(uses, count, frame_of(10, 60));
        es_estimate total = made->total.total.of[ES_CRITERION_GWP];
        assert_close(total.value, sum, 1e-9 * (1 + sum));
        assert_close(made->total.dynamic_kwh.value + made->total.idle_kwh.value, kwh, 1e-12);
        assert_true(total.low <= total.value && total.value <= total.high);
    }
}

/* ---- comparison ---- */

static void test_sources_are_not_mixed(void **state)
{
    (void)state;
    static const char *const other[] = {"grid: other"};
    es_footprint_use use = use_of(1, 0, 1);
    const es_footprint *a = make(&use, 1, frame_of(1, 1));
    es_footprint_frame frame = frame_of(1, 1);
    es_error err = {0};
    assert_ok_err(es_footprint_comparable(a, make(&use, 1, frame), &err), err);
    frame.sources = other;
    assert_fails(es_footprint_comparable(a, make(&use, 1, frame), &err), ES_ERR_ARG, err,
                 "'grid: test'");
    frame = frame_of(1, 1);
    frame.source_count = 0;
    assert_fails(es_footprint_comparable(make(&use, 1, frame), a, &err), ES_ERR_ARG, err,
                 "'grid: test'");
    frame = frame_of(1, 1);
    frame.boundary = 1u << ES_BOUNDARY_CLOUD | 1u << ES_BOUNDARY_IDLE;
    assert_fails(es_footprint_comparable(a, make(&use, 1, frame), &err), ES_ERR_ARG, err,
                 "counts embodied");
    frame = frame_of(1, 1);
    frame.unit = "token";
    assert_fails(es_footprint_comparable(a, make(&use, 1, frame), &err), ES_ERR_ARG, err,
                 "per 'request' and per 'token'");
    es_text text;
    es_text_init(&text, 1000);
    es_footprint_boundary_text(1u << ES_BOUNDARY_CLOUD | 1u << ES_BOUNDARY_IDLE, &text);
    assert_string_equal(es_text_get(&text), "cloud + idle (not counted: device, edge, network, "
                                            "cooling, embodied, end of life)");
    es_text_done(&text);
}

/* ---- a year, rebound ---- */

static void test_year_and_rebound(void **state)
{
    (void)state;
    es_footprint_use small = use_of(10 * 3.6e6, 20 * 3.6e6, 100);
    es_footprint_use large = use_of(70 * 3.6e6, 20 * 3.6e6, 100);
    const es_footprint *lesser = make(&small, 1, frame_of(10, 3600));
    const es_footprint *greater = make(&large, 1, frame_of(10, 3600));
    assert_close(es_footprint_year_kwh(lesser, 0).value, 30 * 8760, 1e-6);
    assert_close(es_footprint_year_kwh(lesser, 0.5).value, 35 * 8760, 1e-6);
    assert_close(es_footprint_year(lesser, 0.5).of[ES_CRITERION_GWP].value, 3500 * 8760, 1e-6);
    /* 20 + 10 (1 + g) = 90 */
    double growth = es_footprint_rebound(lesser, greater, ES_CRITERION_GWP);
    assert_close(growth, 6, 1e-12);
    assert_close(es_footprint_rebound_energy(lesser, greater), 6, 1e-12);
    assert_close(es_footprint_year(lesser, growth).of[ES_CRITERION_GWP].value,
                 es_footprint_year(greater, 0).of[ES_CRITERION_GWP].value, 1e-6);
    assert_true(es_footprint_rebound(greater, lesser, ES_CRITERION_GWP) < 0);
    assert_true(isnan(es_footprint_rebound(lesser, greater, ES_CRITERION_PE)));
    es_footprint_use still = use_of(0, 20 * 3.6e6, 100);
    assert_true(isinf(es_footprint_rebound_energy(make(&still, 1, frame_of(10, 3600)), greater)));
}

/* ---- intensity ---- */

static es_status intensity(const char *text, const char *column, const es_intensity **out,
                           es_error *err)
{
    return es_intensity_parse(arena, "ci.csv", text, strlen(text), "FR", column, out, err);
}

static void test_intensity(void **state)
{
    (void)state;
    const es_intensity *series = NULL;
    es_error err = {0};
    assert_ok_err(intensity("time,gCO2/kWh\n2023-02-28 23:00,100\n2023-03-01T00:00:00Z,200\n"
                            "2023-03-01 01:00:00,40\n",
                            NULL, &series, &err),
                  err);
    assert_int_equal(series->count, 3);
    assert_true(series->time_s[1] == 3600 && series->time_s[2] == 7200 && series->step_s == 3600);
    double mean = 0;
    assert_ok_err(es_intensity_mean(series, 1800, 3600, &mean, &err), err);
    assert_close(mean, 150, 1e-9);
    assert_ok_err(es_intensity_mean(series, 0, 3 * 3600, &mean, &err), err);
    assert_close(mean, 340.0 / 3, 1e-9);
    assert_fails(es_intensity_mean(series, 3600, 3 * 3600, &mean, &err), ES_ERR_ARG, err,
                 "known for 10800 s");
    /* joules drawn in the clean hour weigh most */
    const double joules[] = {1, 0, 9};
    assert_ok_err(es_intensity_weighted(series, 0, 3600, joules, 3, &mean, &err), err);
    assert_close(mean, 0.1 * 100 + 0.9 * 40, 1e-9);
    const double none[] = {0, 0, 0};
    assert_ok_err(es_intensity_weighted(series, 0, 3600, none, 3, &mean, &err), err);
    assert_close(mean, 340.0 / 3, 1e-9);
    assert_ok_err(intensity("t,a,\"b, LCA\"\r\n0,1,7\r\n60,2,8\r\n", "B, lca", &series, &err), err);
    assert_true(series->g_per_kwh[1] == 8);
}

static void test_intensity_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "ci.csv:0: empty"},
        {"time,g\n", "0 rows"},
        {"time\n0\n", "one column"},
        {"time,g\n0,1\n0,2\n", "ci.csv:3: time: '0' must be after"},
        {"time,g\n0,1\n1,-2\n", "ci.csv:3: intensity: -2 must be"},
        {"time,g\n0,1\n1,\n", "an empty cell"},
        {"time,g\nyesterday,1\n", "ci.csv:2: time: 'yesterday'"},
        {"time,g\n2023-13-01 00:00,1\n", "ci.csv:2: time:"},
        {"time,g\n0,x\n", "'x' is not a number"},
        {"time,g\n0,\"1\n", "a quote is open"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const es_intensity *series = NULL;
        es_error err = {0};
        assert_fails(intensity(rows[i].text, NULL, &series, &err), ES_ERR_PARSE, err,
                     rows[i].words);
    }
    const es_intensity *series = NULL;
    es_error err = {0};
    assert_fails(intensity("time,g\n0,1\n", "lca", &series, &err), ES_ERR_PARSE, err,
                 "no column 'lca'");
}

static void test_real_series(void **state)
{
    (void)state;
    const char *path = es_test_data("carbon-electricitymaps/DE-LU_2023.csv.gz");
    if (path == NULL)
        skip();
    const es_intensity *series = NULL;
    es_error err = {0};
    assert_ok_err(
        es_intensity_load(arena, path, "DE", "Carbon Intensity gCO₂eq/kWh (LCA)", &series, &err),
        err);
    assert_int_equal(series->count, 8760);
    double mean = 0;
    double first = 0;
    assert_ok_err(es_intensity_mean(series, 0, 365.0 * 86400, &mean, &err), err);
    assert_ok_err(es_intensity_mean(series, 0, 3600, &first, &err), err);
    assert_true(mean > 250 && mean < 550);
    assert_close(first, 185.8, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_from_parts),  cmocka_unit_test(test_gpu_cards),
        cmocka_unit_test(test_whole_pieces),       cmocka_unit_test(test_sci),
        cmocka_unit_test(test_water_has_pue_once), cmocka_unit_test(test_bad_uses),
        cmocka_unit_test(test_conservation),       cmocka_unit_test(test_sources_are_not_mixed),
        cmocka_unit_test(test_year_and_rebound),   cmocka_unit_test(test_intensity),
        cmocka_unit_test(test_intensity_errors),   cmocka_unit_test(test_real_series),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
