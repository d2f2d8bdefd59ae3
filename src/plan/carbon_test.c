/* Carbon as time goes: what a plan reckons with is the mean of each node's series over the slots.
 */
#include "base/rng.h"
#include "base/text.h"
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

/* Two places with the same machine. By its constant `near` is clean, and it is nearer. The series
 * of `far` has 20 g/kWh for 90 of the 100 s, then 200: a mean of 38. */
#define WORLD                                                                                      \
    "format: estran-scenario\nversion: 1\nslots: {length_s: 10, count: 10}\n"                      \
    "kinds: [{name: box, memory_mb: 100, idle_w: 5, busy_w: 25}]\n"                                \
    "nodes:\n"                                                                                     \
    "  - {name: door, tier: device, memory_mb: 0}\n"                                               \
    "  - {name: near, tier: edge, kind: box, carbon_gco2e_per_kwh: 50}\n"                          \
    "  - {name: far, tier: cloud, kind: box, carbon_gco2e_per_kwh: 400}\n"                         \
    "links: [{between: [door, near], latency_ms: 1}, {between: [door, far], latency_ms: 9}]\n"     \
    "tasks: [{name: t, input_bytes: 1000, output_bytes: 10}]\n"                                    \
    "segments: [{name: m, memory_mb: 10, on: [{kind: box, time_ms: 10}]}]\n"                       \
    "pipelines: [{name: m, task: t, quality: 0.9, stages: [{segment: m}]}]\n"                      \
    "demand: [{task: t, at: door, rate_rps: 20}]\n"
#define SERIES "events: {nodes: [{at: far, carbon: {file: carbon_far.csv}}]}\n"
#define FOR_CARBON "objective: {latency_per_s: 0, carbon_per_g: 1.0e+6}\n"

enum { NEAR = 1, FAR = 2 };

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const es_scenario *parse(es_arena *arena, const char *text)
{
    const es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_scenario_parse(arena, "grid.yaml", ES_TEST_BINARY_DIR, text, strlen(text),
                                    false, &scenario, &err),
                  err);
    return scenario;
}

static const es_plan *solve(es_arena *arena, const es_scenario *scenario, es_plan_method method)
{
    const es_plan *plan = NULL;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.method = method;
    assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
    return plan;
}

static size_t violations(es_arena *arena, const es_plan *plan, const es_scenario *scenario)
{
    const es_plan_violation *found = NULL;
    size_t count = 0;
    es_error err = {0};
    assert_ok_err(es_plan_check(arena, plan, scenario, 1e-9, &found, &count, &err), err);
    return count;
}

static bool close_to(double got, double wanted)
{
    return fabs(got - wanted) <= 1e-12 * fabs(wanted);
}

static void the_series_moves_the_plan(void **state)
{
    (void)state;
    static const es_plan_method methods[] = {ES_PLAN_EXACT, ES_PLAN_GREEDY, ES_PLAN_DECOMPOSITION};
    write_file(ES_TEST_BINARY_DIR "/carbon_far.csv", "time,g\n0,20\n90,200\n500,9000\n");
    es_arena *arena = es_arena_new((size_t)64 << 20);
    const es_scenario *constant = parse(arena, WORLD FOR_CARBON);
    const es_scenario *varying = parse(arena, WORLD FOR_CARBON SERIES);
    assert_null(constant->carbon_gco2e_per_kwh);
    assert_true(close_to(es_scenario_carbon_gco2e_per_kwh(varying, (es_node_id){FAR}), 38));
    assert_true(close_to(es_scenario_carbon_gco2e_per_kwh(varying, (es_node_id){NEAR}), 50));
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        const es_plan *plan = solve(arena, constant, methods[m]);
        assert_int_equal(plan->routings[0].nodes[0].index, NEAR);
        plan = solve(arena, varying, methods[m]);
        assert_int_equal(plan->routings[0].nodes[0].index, FAR);
        /* 20 requests of 20 W times 10 ms; loss of quality costs 0.1 each. */
        assert_true(close_to(plan->objective, 20 * (0.2 * 38 / 3.6e6 * 1e6 + 0.1)));
        assert_int_equal(violations(arena, plan, varying), 0);
        assert_true(violations(arena, plan, constant) > 0);
    }
    es_arena_free(arena);
}

/* 4 W dynamic and 5 W idle: 1.25e-4 g/s near, 1e-3 far by its constant, 0.95e-4 by its series. */
static void budgets_follow_the_series(void **state)
{
    (void)state;
    static const char below[] = "constraints: {carbon_budget_g_per_s: 1.0e-4}\n";
    es_arena *arena = es_arena_new((size_t)64 << 20);
    write_file(ES_TEST_BINARY_DIR "/carbon_far.csv", "time,g\n0,20\n90,200\n");
    es_text text;
    es_text_init(&text, 1 << 16);
    es_text_format(&text, "%s%s", WORLD, below);
    const es_scenario *constant = parse(arena, es_text_get(&text));
    es_text_append(&text, SERIES);
    const es_scenario *varying = parse(arena, es_text_get(&text));
    static const es_plan_method methods[] = {ES_PLAN_EXACT, ES_PLAN_GREEDY};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        assert_int_equal(solve(arena, constant, methods[m])->quality,
                         m == 0 ? ES_PLAN_INFEASIBLE : ES_PLAN_UNKNOWN);
        const es_plan *plan = solve(arena, varying, methods[m]);
        assert_true(plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE);
        assert_int_equal(plan->routings[0].nodes[0].index, FAR); /* though near answers sooner */
        assert_int_equal(violations(arena, plan, varying), 0);
        assert_true(violations(arena, plan, constant) > 0);
    }
    es_text_done(&text);
    es_arena_free(arena);
}

static void fronts_follow_the_series(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)64 << 20);
    write_file(ES_TEST_BINARY_DIR "/carbon_far.csv", "time,g\n0,20\n90,200\n");
    es_front_opts opts = es_front_opts_default();
    opts.measures[0] = ES_MEASURE_LATENCY;
    opts.measures[1] = ES_MEASURE_CARBON;
    opts.measure_count = 2;
    for (int with = 0; with < 2; with++) {
        const es_front *front = NULL;
        es_error err = {0};
        const es_scenario *scenario = parse(arena, with ? WORLD SERIES : WORLD);
        assert_ok_err(es_front_solve(arena, scenario, opts, &front, &err), err);
        assert_int_equal(front->point_count, with ? 2 : 1);
        assert_true(close_to(front->points[0].values[1], 9 * 50 / 3.6e6));
        if (with)
            assert_true(close_to(front->points[1].values[1], 9 * 38 / 3.6e6));
    }
    es_arena_free(arena);
}

/* Random series and windows: solver, price and the checker, which adds up by itself, agree; and the
 * checker sees a window that is not the one the plan was made for. */
static void the_checker_agrees(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    es_rng rng = es_rng_make(seed, 0);
    uint32_t seen = 0;
    for (uint32_t round = 0; round < 100; round++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_text csv;
        double t_s = 0;
        es_text_init(&csv, 1 << 16);
        es_text_append(&csv, "time,g\n");
        for (uint32_t i = 0; i < 1 + round % 20; i++) {
            es_text_format(&csv, "%.3f,%.1f\n", t_s, 90 * es_rng_double(&rng));
            t_s += 0.001 + 30 * es_rng_double(&rng);
        }
        write_file(ES_TEST_BINARY_DIR "/carbon_far.csv", es_text_get(&csv));
        es_scenario window = *parse(arena, WORLD FOR_CARBON SERIES);
        double from_s = 200 * es_rng_double(&rng);
        es_error err = {0};
        assert_ok_err(es_scenario_carbon_over(arena, &window, from_s,
                                              from_s + 0.01 + 200 * es_rng_double(&rng), &err),
                      err);
        const es_plan *plan = solve(arena, &window, ES_PLAN_EXACT);
        if (violations(arena, plan, &window) != 0)
            fail_msg("ES_SEED=%" PRIu64 " round %u: the checker does not agree", seed, round);
        window.carbon_to_s += 100;
        if (plan->routings[0].nodes[0].index == FAR && round % 20 > 10)
            seen += violations(arena, plan, &window) > 0;
        es_text_done(&csv);
        es_arena_free(arena);
    }
    assert_true(seen > 0);
}

static void windows_are_checked(void **state)
{
    (void)state;
    static const double bad[][2] = {{1, 1}, {2, 1}, {-1, 1}, {0, (double)INFINITY}};
    write_file(ES_TEST_BINARY_DIR "/carbon_far.csv", "time,g\n0,20\n90,200\n");
    es_arena *arena = es_arena_new((size_t)64 << 20);
    es_scenario scenario = *parse(arena, WORLD SERIES);
    es_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(es_scenario_carbon_over(arena, &scenario, bad[i][0], bad[i][1], &err),
                     ES_ERR_ARG, err, "needs 0 <= from < to");
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_series_moves_the_plan), cmocka_unit_test(budgets_follow_the_series),
        cmocka_unit_test(fronts_follow_the_series),  cmocka_unit_test(the_checker_agrees),
        cmocka_unit_test(windows_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
