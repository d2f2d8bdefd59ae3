/* Slot mode driven by a policy, and policies compared. */
#include "es_world.h"
#include "simulate/simulate.h"

static const es_idn *idn_of(es_world *world)
{
    const es_idn *idn = NULL;
    es_error err = {0};
    es_world_seal(world);
    assert_ok_err(es_idn_from_scenario(world->arena, &world->scenario, &idn, &err), err);
    return idn;
}

static es_control play(es_world *world, const es_idn *idn, const char *policy, double **out_demand)
{
    es_control control;
    es_error err = {0};
    assert_ok_err(es_simulate_demand(world->arena, &world->scenario, 7, false, out_demand, &err),
                  err);
    es_control_opts opts = {.policy = policy, .seed = 7};
    assert_ok_err(es_simulate_control(world->arena, idn, *out_demand, world->scenario.slot_count,
                                      opts, &control, &err),
                  err);
    return control;
}

/* Arrivals are those of a plan's simulation, and what came is what was served, refused or waits. */
static void nothing_is_lost(void **state)
{
    (void)state;
    static const char *const policies[] = {"infida",         "replan:every=3", "cloud-only",
                                           "random:every=1", "edge-only",      "olag"};
    for (int overload = 0; overload < 2; overload++) {
        for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
            es_world world;
            double *demand = NULL;
            es_world_init(&world);
            world.nodes[ES_WORLD_PHONE].memory_bytes = 1.5e6;
            world.nodes[ES_WORLD_EDGE].memory_bytes = 2.5e6;
            world.classes[0].arrivals.rate_rps = overload ? 2000 : 20;
            const es_idn *idn = idn_of(&world);
            es_control control = play(&world, idn, policies[p], &demand);
            const es_outcome_row *total = &control.outcome->total;
            double arrived = 0;
            for (uint32_t i = 0; i < world.scenario.slot_count * 2; i++)
                arrived += demand[i];
            assert_near(total->arrived, arrived, 1e-6);
            assert_near(total->served + total->refused + total->failed + total->in_flight, arrived,
                        1e-6 * arrived);
            assert_near(control.requests, arrived, 1e-6);
            double moved = 0;
            double loaded = 0;
            for (uint32_t s = 0; s < world.scenario.slot_count; s++) {
                moved += control.moved_bytes[s];
                assert_true(control.gain[s] >= -1e-9);
                for (uint32_t v = 0; v < ES_WORLD_NODES; v++)
                    loaded += control.outcome->node_uses[s * ES_WORLD_NODES + v].model_bytes_loaded;
            }
            assert_near(loaded - moved, 4e6, 1e-3); /* the cloud's own, once */
            es_world_done(&world);
        }
    }
}

/* A policy that never changes its mind fares as the plan that says the same. */
static void a_standing_policy_is_a_plan(void **state)
{
    (void)state;
    es_world world;
    double *demand = NULL;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    es_world_init(&world);
    world.nodes[ES_WORLD_PHONE].memory_bytes = 0;
    world.nodes[ES_WORLD_EDGE].memory_bytes = 0;
    const es_idn *idn = idn_of(&world);
    es_control control = play(&world, idn, "cloud-only", &demand);
    uint32_t cheapest = idn->options[0].pipeline.index;
    es_world_route(&world, 0, cheapest, ES_WORLD_CLOUD, ES_WORLD_CLOUD, 1);
    es_world_route(&world, 1, idn->options[idn->type_first[1]].pipeline.index, ES_WORLD_CLOUD,
                   ES_WORLD_CLOUD, 1);
    es_simulate_opts opts = es_simulate_opts_default();
    opts.seed = 7;
    assert_ok_err(
        es_simulate_slots(world.arena, &world.scenario, &world.plan, opts, &outcome, &err), err);
    assert_near(control.outcome->total.latency_s_mean, outcome->total.latency_s_mean, 1e-9);
    assert_near(control.outcome->total.energy_compute_j, outcome->total.energy_compute_j, 1e-9);
    assert_near(control.outcome->total.quality_mean, outcome->total.quality_mean, 1e-9);
    assert_near(control.outcome->energy_idle_j, outcome->energy_idle_j, 1e-6);
    es_world_done(&world);
}

static const es_comparison *compare(es_world *world, const es_idn *idn, uint32_t threads)
{
    static const char *const policies[] = {"infida", "cloud-only", "random"};
    const es_comparison *comparison = NULL;
    es_error err = {0};
    es_compare_opts opts = {.policies = policies,
                            .policy_count = 3,
                            .seed = 3,
                            .replication_count = 6,
                            .thread_count = threads};
    assert_ok_err(es_compare_run(world->arena, idn, opts, &comparison, &err), err);
    return comparison;
}

static void threads_change_nothing(void **state)
{
    (void)state;
    es_world world;
    es_world_init(&world);
    const es_idn *idn = idn_of(&world);
    const es_comparison *one = compare(&world, idn, 1);
    const es_comparison *four = compare(&world, idn, 4);
    for (size_t r = 0; r < one->row_count; r++) {
        for (int f = 0; f < ES_COMPARE_COUNT; f++) {
            const es_interval *a = &one->rows[r].figures[f];
            const es_interval *b = &four->rows[r].figures[f];
            assert_true(memcmp(&a->mean, &b->mean, sizeof a->mean) == 0);
            assert_true(memcmp(&a->ci95, &b->ci95, sizeof a->ci95) == 0);
        }
        assert_memory_equal(one->rows[r].regret, four->rows[r].regret, sizeof one->rows[r].regret);
        double difference =
            one->rows[r].figures[ES_COMPARE_COST].mean - one->rows[0].figures[ES_COMPARE_COST].mean;
        assert_near(one->rows[r].differences[ES_COMPARE_COST].mean, difference, 1e-12);
    }
    /* paired: the same requests make the difference surer than the two means */
    assert_true(one->rows[1].differences[ES_COMPARE_P95].ci95 <=
                one->rows[1].figures[ES_COMPARE_P95].ci95 +
                    one->rows[0].figures[ES_COMPARE_P95].ci95 + 1e-12);
    assert_true(one->best_gain <= one->best_gain_bound * (1 + 1e-9));
    es_world_done(&world);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    es_world world;
    const es_comparison *comparison = NULL;
    es_error err = {0};
    const char *bad = "oalg";
    es_world_init(&world);
    const es_idn *idn = idn_of(&world);
    es_compare_opts opts = {.policies = &bad, .policy_count = 1, .replication_count = 2};
    assert_fails(es_compare_run(world.arena, idn, opts, &comparison, &err), ES_ERR_ARG, err,
                 "did you mean 'olag'");
    opts.replication_count = 0;
    assert_fails(es_compare_run(world.arena, idn, opts, &comparison, &err), ES_ERR_ARG, err,
                 "replication_count=0");
    es_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(a_standing_policy_is_a_plan),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
