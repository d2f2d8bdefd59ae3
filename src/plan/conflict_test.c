/* Small scenarios where the right plan, or the right reason for none, is known by hand. */
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

static es_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)64 << 20);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

/* A phone, a box and a data centre in a row; what varies is put in by the tests. */
typedef struct given {
    const char *phone;    /* more keys of the phone */
    const char *box;      /* of the box */
    const char *cloud;    /* of the data centre */
    const char *segments; /* more keys of segment big */
    const char *demand;   /* more keys of the demand */
    const char *rest;     /* objective and constraints */
} given;

static const es_scenario *scenario_of(given g)
{
    const char *text = es_arena_format(
        arena,
        "format: estran-scenario\nversion: 1\nname: row\nslots: {length_s: 1, count: 1}\n"
        "kinds:\n  - {name: p, processors: 1, memory_mb: 10}\n"
        "  - {name: c, processors: 4, memory_mb: 1000}\n"
        "nodes:\n  - {name: phone, tier: device, kind: p%s}\n"
        "  - {name: box, tier: edge, kind: c%s}\n  - {name: dc, tier: cloud, kind: c%s}\n"
        "links:\n  - {between: [phone, box], latency_ms: 5, bandwidth_mbps: 1}\n"
        "  - {between: [box, dc], latency_ms: 20, bandwidth_mbps: 100}\n"
        "tasks:\n  - {name: look, input_bytes: 1000, output_bytes: 10}\n"
        "segments:\n"
        "  - {name: small, memory_mb: 5, on: [{kind: p, time_ms: 10}, {kind: c, time_ms: 2}]}\n"
        "  - {name: big, memory_mb: 50, on: [{kind: p, time_ms: 90}, {kind: c, time_ms: 8}]%s}\n"
        "pipelines:\n"
        "  - {name: small, task: look, quality: 0.7, stages: [{segment: small}]}\n"
        "  - {name: big, task: look, quality: 0.95, stages: [{segment: big}]}\n"
        "demand:\n  - {task: look, at: phone, rate_rps: 10%s}\n%s",
        g.phone, g.box, g.cloud, g.segments, g.demand, g.rest);
    const es_scenario *scenario = NULL;
    es_error err = {0};
    assert_non_null(text);
    assert_ok_err(
        es_scenario_parse(arena, "row.yaml", NULL, text, strlen(text), false, &scenario, &err),
        err);
    return scenario;
}

static const given plain = {"", "", "", "", "", "objective: {latency_per_s: 1, quality: 1}\n"};

static const es_plan *solve(const es_scenario *scenario, es_plan_method method)
{
    const es_plan *plan = NULL;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.method = method;
    assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
    return plan;
}

static void assert_conflict(given g, const char *wanted)
{
    const es_plan *plan = solve(scenario_of(g), ES_PLAN_EXACT);
    assert_int_equal(plan->quality, ES_PLAN_INFEASIBLE);
    assert_non_null(plan->conflict);
    if (strstr(plan->conflict, wanted) == NULL)
        fail_msg("'%s' does not contain '%s'", plan->conflict, wanted);
    assert_true(isinf(plan->objective));
    assert_int_equal(plan->routing_count, 0);
}

static void assert_check_count(const es_scenario *scenario, const es_plan *plan, size_t wanted)
{
    const es_plan_violation *violations;
    size_t count;
    es_error err = {0};
    assert_ok_err(es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err), err);
    for (size_t i = 0; i < count; i++)
        if (count != wanted)
            print_message("%s\n", violations[i].text);
    assert_int_equal(count, wanted);
}

static void test_known_plan(void **state)
{
    (void)state;
    /* At a weight of 1 for quality the big model pays for the way to the box: 5 + 8 + 8 + 5.08 ms.
     */
    const es_scenario *scenario = scenario_of(plain);
    const es_plan *plan = solve(scenario, ES_PLAN_AUTO);
    assert_int_equal(plan->quality, ES_PLAN_OPTIMAL);
    assert_int_equal(plan->method, ES_PLAN_EXACT);
    assert_null(plan->conflict);
    assert_int_equal(plan->routing_count, 1);
    assert_string_equal(scenario->pipelines[plan->routings[0].pipeline.index].name, "big");
    assert_int_equal(plan->routings[0].nodes[0].index, 1);
    double expected = 10.0 * (0.005 + 0.008 + 0.008 + 0.005 + 8e-5 + 0.05);
    assert_true(fabs(plan->objective - expected) < 1e-9);
    assert_int_equal(plan->placement_count, 1);
    assert_check_count(scenario, plan, 0);
}

static void test_deadline_alone(void **state)
{
    (void)state;
    given g = plain;
    g.demand = ", deadline_ms: 5";
    assert_conflict(g, "class 'look at phone': deadline 5 ms, the fastest way takes 10 ms");
}

static void test_quality_alone(void **state)
{
    (void)state;
    given g = plain;
    g.demand = ", deadline_ms: 15, quality_min: 0.9";
    assert_conflict(g,
                    "class 'look at phone': least quality 0.9, the best pipeline in time has 0.7");
}

static void test_memory_alone(void **state)
{
    (void)state;
    given g = plain;
    g.phone = ", memory_mb: 1";
    g.demand = ", deadline_ms: 15";
    assert_conflict(g,
                    "deadline 15 ms, the fastest way that fits the nodes' memory takes 20.08 ms");
}

static void test_compute_and_link(void **state)
{
    (void)state;
    /* 1000 requests of 10 ms need 10 processors here, and the link upwards carries 125. */
    given g = plain;
    g.demand = "";
    const es_scenario *scenario = scenario_of(g);
    es_scenario changed = *scenario;
    es_class many = scenario->classes[0];
    many.arrivals.rate_rps = 1000;
    changed.classes = &many;
    const es_plan *plan = solve(&changed, ES_PLAN_EXACT);
    assert_int_equal(plan->quality, ES_PLAN_INFEASIBLE);
    const char *const wanted[] = {"cannot hold together", "serving class 'look at phone' (1000",
                                  "bandwidth from node 'phone' to 'box' (1 Mbit/s)",
                                  "compute of node 'phone'"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (strstr(plan->conflict, wanted[i]) == NULL)
            fail_msg("'%s' does not contain '%s'", plan->conflict, wanted[i]);
    /* What has no part in it is not named. */
    assert_null(strstr(plan->conflict, "memory"));
    assert_null(strstr(plan->conflict, "'dc'"));
}

static void test_replicas(void **state)
{
    (void)state;
    given g = plain;
    g.rest = "objective: {latency_per_s: 1, quality: 1}\nconstraints: {replicas_min: 3}\n";
    g.phone = ", memory_mb: 1";
    assert_conflict(g, "replicas_min (3)");
    assert_conflict(g, "memory of node 'phone' (1 MB)");
    g.rest = "objective: {latency_per_s: 1, quality: 1}\nconstraints: {replicas_min: 2}\n";
    const es_scenario *scenario = scenario_of(g);
    const es_plan *plan = solve(scenario, ES_PLAN_EXACT);
    assert_int_equal(plan->quality, ES_PLAN_OPTIMAL);
    assert_int_equal(plan->placement_count, 2);
    assert_check_count(scenario, plan, 0);
}

static void test_refusal(void **state)
{
    (void)state;
    given g = plain;
    g.demand = ", deadline_ms: 5";
    g.rest = "objective: {latency_per_s: 1, quality: 1, refusal_cost: 2}\n";
    const es_scenario *scenario = scenario_of(g);
    const es_plan *plan = solve(scenario, ES_PLAN_EXACT);
    assert_int_equal(plan->quality, ES_PLAN_OPTIMAL);
    assert_true(plan->refused_share[0] == 1.0);
    assert_true(fabs(plan->objective - 20.0) < 1e-9);
    assert_check_count(scenario, plan, 0);
}

static void test_baselines(void **state)
{
    (void)state;
    const es_scenario *scenario = scenario_of(plain);
    const es_plan *device = solve(scenario, ES_PLAN_DEVICE_ONLY);
    assert_int_equal(device->quality, ES_PLAN_FEASIBLE);
    assert_int_equal(device->method, ES_PLAN_DEVICE_ONLY);
    assert_null(device->conflict);
    assert_int_equal(device->routings[0].nodes[0].index, 0);
    assert_string_equal(scenario->pipelines[device->routings[0].pipeline.index].name, "small");
    const es_plan *cloud = solve(scenario, ES_PLAN_CLOUD_ONLY);
    assert_int_equal(cloud->quality, ES_PLAN_FEASIBLE);
    assert_int_equal(cloud->routings[0].nodes[0].index, 2);
    assert_string_equal(scenario->pipelines[cloud->routings[0].pipeline.index].name, "big");
}

static void test_baseline_ignores(void **state)
{
    (void)state;
    given g = plain;
    g.demand = ", deadline_ms: 5, quality_min: 0.8";
    const es_scenario *scenario = scenario_of(g);
    const es_plan *device = solve(scenario, ES_PLAN_DEVICE_ONLY);
    assert_int_equal(device->quality, ES_PLAN_FEASIBLE);
    assert_non_null(device->conflict);
    assert_non_null(strstr(device->conflict, "ignores: "));
    assert_non_null(strstr(device->conflict, "takes 10 ms, deadline 5 ms"));
    assert_non_null(strstr(device->conflict, "average quality 0.7, least 0.8"));
    assert_check_count(scenario, device, 2);
    /* The cloud is late too, but there the least quality can be had. */
    const es_plan *cloud = solve(scenario, ES_PLAN_CLOUD_ONLY);
    assert_int_equal(cloud->quality, ES_PLAN_FEASIBLE);
    assert_null(strstr(cloud->conflict, "quality"));
    assert_check_count(scenario, cloud, 1);
    /* what is the same for several is said once */
    g.demand = ", quality_min: 0.99}\n  - {task: look, at: box, rate_rps: 1, quality_min: 0.99";
    scenario = scenario_of(g);
    cloud = solve(scenario, ES_PLAN_CLOUD_ONLY);
    assert_check_count(scenario, cloud, 2);
    assert_string_equal(cloud->conflict, "ignores: class 'look at phone', class 'look at box': "
                                         "average quality 0.95, least 0.99");
}

static void test_baseline_cannot(void **state)
{
    (void)state;
    given g = plain;
    g.phone = ", memory_mb: 1";
    const es_plan *device = solve(scenario_of(g), ES_PLAN_DEVICE_ONLY);
    assert_int_equal(device->quality, ES_PLAN_INFEASIBLE);
    assert_non_null(strstr(device->conflict, "fits the memory"));
    g.rest = "objective: {latency_per_s: 1, quality: 1, refusal_cost: 2}\n";
    device = solve(scenario_of(g), ES_PLAN_DEVICE_ONLY);
    assert_int_equal(device->quality, ES_PLAN_FEASIBLE);
    assert_true(device->refused_share[0] == 1.0);
}

static void test_bad_options(void **state)
{
    (void)state;
    const es_scenario *scenario = scenario_of(plain);
    const es_plan *plan = NULL;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.time_limit_s = 0;
    assert_fails(es_plan_solve(arena, scenario, opts, &plan, &err), ES_ERR_ARG, err,
                 "time_limit_s=0 must be finite and > 0");
    opts = es_plan_opts_default();
    opts.gap_relative = -1;
    assert_fails(es_plan_solve(arena, scenario, opts, &plan, &err), ES_ERR_ARG, err,
                 "gap_relative=-1");
    opts = es_plan_opts_default();
    opts.method = ES_PLAN_METHOD_COUNT;
    char words[32];
    (void)snprintf(words, sizeof words, "method=%d must be", (int)ES_PLAN_METHOD_COUNT);
    assert_fails(es_plan_solve(arena, scenario, opts, &plan, &err), ES_ERR_ARG, err, words);
    opts = es_plan_opts_default();
    opts.move_price = -1;
    assert_fails(es_plan_solve(arena, scenario, opts, &plan, &err), ES_ERR_ARG, err,
                 "move_price=-1");
    assert_null(plan);
}

static void test_nothing_costs(void **state)
{
    (void)state;
    given g = plain;
    g.rest = "objective: {latency_per_s: 0, quality: 0}\n";
    const es_scenario *scenario = scenario_of(g);
    const es_plan *plan = solve(scenario, ES_PLAN_EXACT);
    assert_int_equal(plan->quality, ES_PLAN_OPTIMAL);
    assert_true(plan->objective == 0.0 && plan->bound == 0.0);
    assert_check_count(scenario, plan, 0);
    assert_check_count(scenario, solve(scenario, ES_PLAN_GREEDY), 0);
}

static void test_no_time(void **state)
{
    (void)state;
    /* A clock that never moves: the limit is never reached; one past the end: nothing is done. */
    const es_scenario *scenario = scenario_of(plain);
    const es_plan *plan = NULL;
    es_error err = {0};
    es_clock_manual clock;
    es_clock_manual_init(&clock, 0);
    es_plan_opts opts = es_plan_opts_default();
    opts.clock = &clock.clock;
    opts.time_limit_s = 1e-9;
    assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
    assert_true(plan->quality != ES_PLAN_INFEASIBLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_known_plan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quality_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_compute_and_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replicas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_baselines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_baseline_ignores, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_baseline_cannot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_costs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_time, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
