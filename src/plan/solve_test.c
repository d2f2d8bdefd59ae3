/* Properties of the solvers over random instances. ES_SEED=n replays one seed alone. */
#include "es_test.h"
#include "plan/internal.h"
#include "plan/random_scenario.h"

#include <math.h>

enum { SEED_COUNT = 200 };

/* The shape varies with the seed, so that every constraint binds in some instance. */
static es_random_shape shape_of(uint64_t seed)
{
    es_random_shape shape = es_random_shape_default();
    shape.device_count = 1 + (uint32_t)(seed % 4);
    shape.edge_count = (uint32_t)(seed / 4 % 3);
    shape.task_count = 1 + (uint32_t)(seed / 2 % 2);
    shape.long_count = (uint32_t)(seed / 3 % 3);
    shape.tightness = (double)(seed % 5) * 0.3;
    shape.refusal_cost = seed % 3 == 0 ? 3.0 : (double)INFINITY;
    shape.idle_per_j = seed % 2 == 0 ? 0.002 : 0.0;
    shape.replicas_min = seed % 7 == 0 ? 2 : 1;
    return shape;
}

static es_scenario *draw(es_arena *arena, uint64_t seed, es_random_shape shape)
{
    es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_random_scenario(arena, seed, shape, &scenario, &err), err);
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

static bool has_plan(const es_plan *plan)
{
    return plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE;
}

static void assert_accepted(es_arena *arena, const es_plan *plan, const es_scenario *scenario,
                            uint64_t seed)
{
    const es_plan_violation *violations;
    size_t count;
    es_error err = {0};
    assert_ok_err(es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err), err);
    if (count > 0)
        fail_msg("seed %" PRIu64 ", %s: %s", seed, es_plan_method_names[plan->method],
                 violations[0].text);
}

static void test_checker_accepts_every_plan(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(0);
    uint64_t end = getenv("ES_SEED") != NULL ? first + 1 : SEED_COUNT;
    int plans = 0;
    double worst = 0.0;
    double total = 0.0;
    for (uint64_t seed = first; seed < end; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = draw(arena, seed, shape_of(seed));
        const es_plan *exact = solve(arena, scenario, ES_PLAN_EXACT);
        const es_plan *greedy = solve(arena, scenario, ES_PLAN_GREEDY);
        assert_accepted(arena, exact, scenario, seed);
        assert_accepted(arena, greedy, scenario, seed);
        if (has_plan(greedy) && !has_plan(exact))
            fail_msg("seed %" PRIu64 ": greedy has a plan, exact says %s", seed,
                     es_plan_quality_names[exact->quality]);
        if (has_plan(exact) && has_plan(greedy)) {
            plans++;
            double slack = 1e-6 * fabs(exact->objective);
            if (exact->objective > greedy->objective + slack ||
                greedy->bound > exact->objective + slack)
                fail_msg("seed %" PRIu64 ": exact %.9g, greedy %.9g with bound %.9g", seed,
                         exact->objective, greedy->objective, greedy->bound);
            double gap = greedy->objective / exact->objective - 1.0;
            worst = fmax(worst, gap);
            total += gap;
        }
        es_arena_free(arena);
    }
    print_message("greedy above exact: mean %.4f %%, worst %.4f %% over %d plans\n",
                  plans > 0 ? 100.0 * total / plans : 0.0, 100.0 * worst, plans);
    assert_true(getenv("ES_SEED") != NULL || plans >= SEED_COUNT / 2);
}

/* ---- against exhaustive search ---- */

static es_random_shape tiny_shape(uint64_t seed)
{
    es_random_shape shape = es_random_shape_default();
    shape.device_count = 1 + (uint32_t)(seed % 2);
    shape.edge_count = (uint32_t)(seed / 2 % 2);
    shape.task_count = 1;
    shape.variant_count = 1 + (uint32_t)(seed % 2);
    shape.long_count = seed % 4 == 0 ? 1 : 0;
    shape.idle_per_j = seed % 3 == 0 ? 0.0 : 0.01;
    shape.refusal_cost = seed % 5 == 0 ? 1.0 : (double)INFINITY;
    return shape;
}

static const es_plan *solve_tight(es_arena *arena, const es_scenario *scenario)
{
    const es_plan *plan = NULL;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.method = ES_PLAN_EXACT;
    opts.gap_relative = 0.0;
    assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
    return plan;
}

static void assert_objective(const es_plan *plan, double wanted, uint64_t seed)
{
    if (isinf(wanted) ? has_plan(plan)
                      : !(fabs(plan->objective - wanted) <= 1e-6 * fmax(1.0, fabs(wanted))))
        fail_msg("seed %" PRIu64 ": exact says %s with %.12g, exhaustive search %.12g", seed,
                 es_plan_quality_names[plan->quality], plan->objective, wanted);
}

/* Cheapest way of a class over hosted segments, by trying every tuple of nodes with the price of
 * the scenario; hosted is a bit per node and segment. */
static double cheapest_way(const es_scenario *s, uint32_t class_index, uint64_t hosted)
{
    uint32_t node_count = es_network_node_count(s->network);
    double best = s->objective.refusal_cost;
    for (uint32_t p = 0; p < s->pipeline_count; p++) {
        const es_pipeline *pipeline = &s->pipelines[p];
        uint64_t tuples = 1;
        if (pipeline->task.index != s->classes[class_index].task.index)
            continue;
        for (uint32_t k = 0; k < pipeline->stage_count; k++)
            tuples *= node_count;
        for (uint64_t t = 0; t < tuples; t++) {
            es_node_id nodes[ES_STAGE_COUNT_MAX];
            uint64_t rest = t;
            bool all_hosted = true;
            for (uint32_t k = 0; k < pipeline->stage_count; k++) {
                nodes[k].index = (uint32_t)(rest % node_count);
                rest /= node_count;
                uint32_t bit =
                    nodes[k].index * s->segment_count + pipeline->stages[k].segment.index;
                all_hosted = all_hosted && (hosted >> bit & 1) != 0;
            }
            if (!all_hosted)
                continue;
            es_price price =
                es_scenario_price(s, (es_class_id){class_index}, (es_pipeline_id){p}, nodes);
            if (price.reachable && price.latency_max_s <= s->classes[class_index].deadline_s)
                best = fmin(best, price.cost);
        }
    }
    return best;
}

/* Without capacities every class takes its cheapest way: no solver is needed for a placement. */
static double exhaustive_without_capacity(const es_scenario *s)
{
    uint32_t node_count = es_network_node_count(s->network);
    uint32_t bits = node_count * s->segment_count;
    double best = INFINITY;
    assert_true(bits <= 16);
    for (uint64_t hosted = 0; hosted < (UINT64_C(1) << bits); hosted++) {
        double cost = 0.0;
        for (uint32_t v = 0; v < node_count; v++) {
            bool on = false;
            for (uint32_t i = 0; i < s->segment_count; i++)
                if ((hosted >> (v * s->segment_count + i) & 1) != 0) {
                    cost += s->segments[i].hosting_per_s;
                    on = true;
                }
            if (on)
                cost +=
                    es_network_node(s->network, (es_node_id){v})->idle_w * s->objective.idle_per_j;
        }
        for (uint32_t r = 0; r < s->class_count && cost < best; r++)
            cost += s->classes[r].arrivals.rate_rps * cheapest_way(s, r, hosted);
        best = fmin(best, cost);
    }
    return best;
}

static void test_exact_equals_search_without_capacity(void **state)
{
    (void)state;
    int plans = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = tiny_shape(seed);
        shape.tightness = 0.0;
        shape.least_quality = false;
        const es_scenario *scenario = draw(arena, seed, shape);
        if (scenario->segment_count * es_network_node_count(scenario->network) <= 12) {
            const es_plan *plan = solve_tight(arena, scenario);
            assert_objective(plan, exhaustive_without_capacity(scenario), seed);
            plans += has_plan(plan) ? 1 : 0;
        }
        es_arena_free(arena);
    }
    assert_true(plans >= 30);
}

/* Every set of hosts that fits the memory, and the linear program of the routing over it. */
static double exhaustive_with_capacity(es_arena *arena, const es_problem *problem)
{
    double best = INFINITY;
    bool *open = ES_TAKE_ARRAY(arena, bool, problem->host_count);
    assert_non_null(open);
    for (uint64_t hosted = 0; hosted < (UINT64_C(1) << problem->host_count); hosted++) {
        bool good = true;
        es_solution *solution;
        es_error err = {0};
        for (uint32_t h = 0; h < problem->host_count; h++)
            open[h] = (hosted >> h & 1) != 0;
        for (uint32_t v = 0; v < problem->node_count; v++) {
            double bytes = 0.0;
            for (uint32_t h = 0; h < problem->host_count; h++)
                if (open[h] && problem->hosts[h].node.index == v)
                    bytes += problem->hosts[h].memory_bytes;
            good = good && bytes <= problem->memory_bytes[v];
        }
        es_arena *scratch = es_arena_new((size_t)16 << 20);
        if (good) {
            assert_ok_err(es_solve_routing(scratch, problem, open, &solution, &err), err);
            if (solution->quality == ES_PLAN_FEASIBLE)
                best = fmin(best, es_solution_cost(problem, solution));
        }
        es_arena_free(scratch);
    }
    return best;
}

static void test_exact_equals_search_with_capacity(void **state)
{
    (void)state;
    int plans = 0;
    int refusals = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = tiny_shape(seed);
        shape.tightness = 0.6 + 0.4 * (double)(seed % 3);
        const es_scenario *scenario = draw(arena, seed, shape);
        es_problem *problem;
        es_error err = {0};
        assert_ok_err(es_problem_build(arena, scenario, es_problem_opts_default(), &problem, &err),
                      err);
        if (problem->host_count <= 9) {
            const es_plan *plan = solve_tight(arena, scenario);
            assert_objective(plan, exhaustive_with_capacity(arena, problem), seed);
            plans += has_plan(plan) ? 1 : 0;
            refusals += plan->quality == ES_PLAN_INFEASIBLE ? 1 : 0;
        }
        es_arena_free(arena);
    }
    assert_true(plans >= 20);
    print_message("%d plans, %d infeasible\n", plans, refusals);
}

/* ---- other properties ---- */

static void test_more_capacity_never_costs_more(void **state)
{
    (void)state;
    static const double tightness[] = {1.5, 1.0, 0.6, 0.3, 0.0};
    int steps = 0;
    for (uint64_t seed = 0; seed < 25; seed++) {
        double before = INFINITY;
        for (size_t i = 0; i < sizeof tightness / sizeof *tightness; i++) {
            es_arena *arena = es_arena_new((size_t)64 << 20);
            es_random_shape shape = tiny_shape(seed);
            /* Idling grows with the processors, so it is left out here. */
            shape.idle_per_j = 0.0;
            shape.device_count = 2;
            shape.tightness = tightness[i];
            const es_plan *plan = solve_tight(arena, draw(arena, seed, shape));
            double now = has_plan(plan) ? plan->objective : (double)INFINITY;
            if (now > before * (1.0 + 1e-6))
                fail_msg("seed %" PRIu64 ": %.9g became %.9g with more room", seed, before, now);
            steps += now < before ? 1 : 0;
            before = now;
            es_arena_free(arena);
        }
    }
    assert_true(steps > 25); /* some capacities did bind */
}

static void test_same_seed_same_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++)
        for (int method = 0; method < ES_PLAN_METHOD_COUNT; method++) {
            es_text texts[2];
            for (int i = 0; i < 2; i++) {
                es_arena *arena = es_arena_new((size_t)64 << 20);
                const es_scenario *scenario = draw(arena, seed, shape_of(seed));
                es_text_init(&texts[i], (size_t)4 << 20);
                es_plan_write(solve(arena, scenario, (es_plan_method)method), scenario, &texts[i]);
                es_arena_free(arena);
            }
            assert_true(texts[0].size > 0);
            assert_string_equal(es_text_get(&texts[0]), es_text_get(&texts[1]));
            es_text_done(&texts[0]);
            es_text_done(&texts[1]);
        }
}

/* A loose gap must not make the bound wrong. */
static void test_bound_holds_at_a_loose_gap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = draw(arena, seed, shape_of(seed));
        const es_plan *tight = solve_tight(arena, scenario);
        const es_plan *loose = NULL;
        es_error err = {0};
        es_plan_opts opts = es_plan_opts_default();
        opts.method = ES_PLAN_EXACT;
        opts.gap_relative = 0.2;
        assert_ok_err(es_plan_solve(arena, scenario, opts, &loose, &err), err);
        assert_int_equal(has_plan(tight), has_plan(loose));
        if (has_plan(tight) && loose->bound > tight->objective * (1.0 + 1e-6))
            fail_msg("seed %" PRIu64 ": bound %.9g above the optimum %.9g", seed, loose->bound,
                     tight->objective);
        es_arena_free(arena);
    }
}

/* Started from greedy or from nothing: the same optimum. */
static void test_cold_equals_warm(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = draw(arena, seed, shape_of(seed));
        const es_plan *warm = solve_tight(arena, scenario);
        es_problem *problem;
        es_solution *cold;
        es_error err = {0};
        es_plan_opts opts = es_plan_opts_default();
        opts.clock = es_clock_system();
        opts.gap_relative = 0.0;
        es_deadline deadline = {opts.clock, es_clock_now_ns(opts.clock) + 60 * ES_NS_PER_S};
        assert_ok_err(es_problem_build(arena, scenario, es_problem_opts_default(), &problem, &err),
                      err);
        assert_ok_err(es_solve_exact(arena, problem, &opts, &deadline, NULL, &cold, &err), err);
        assert_int_equal(cold->quality == ES_PLAN_OPTIMAL, has_plan(warm));
        if (has_plan(warm)) {
            double cost = es_solution_cost(problem, cold);
            if (fabs(cost - warm->objective) > 1e-6 * fmax(1.0, cost))
                fail_msg("seed %" PRIu64 ": cold %.12g, warm %.12g", seed, cost, warm->objective);
        }
        es_arena_free(arena);
    }
}

/* A baseline obeys what it does not say it ignores. */
static void test_baselines_tell_what_they_ignore(void **state)
{
    (void)state;
    int plain = 0;
    int ignoring = 0;
    for (uint64_t seed = 0; seed < 60; seed++)
        for (int cloud = 0; cloud < 2; cloud++) {
            es_arena *arena = es_arena_new((size_t)64 << 20);
            const es_scenario *scenario = draw(arena, seed, shape_of(seed));
            const es_plan *plan =
                solve(arena, scenario, cloud ? ES_PLAN_CLOUD_ONLY : ES_PLAN_DEVICE_ONLY);
            const es_plan_violation *violations;
            size_t count;
            es_error err = {0};
            assert_ok_err(es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err),
                          err);
            for (size_t i = 0; i < plan->routing_count; i++) {
                const es_routing *w = &plan->routings[i];
                const es_node *node = es_network_node(scenario->network, w->nodes[0]);
                assert_true(cloud ? node->tier == ES_TIER_CLOUD
                                  : w->nodes[0].index ==
                                        scenario->classes[w->class_id.index].node.index);
            }
            for (size_t i = 0; i < count; i++) {
                assert_null(strstr(violations[i].text, "memory"));
                assert_null(strstr(violations[i].text, "cannot run"));
            }
            if (!has_plan(plan)) {
                assert_non_null(plan->conflict);
            } else if (count == 0) {
                assert_null(plan->conflict);
                plain++;
            } else {
                assert_true(isinf(scenario->objective.refusal_cost));
                assert_non_null(strstr(plan->conflict, violations[0].text));
                ignoring++;
            }
            es_arena_free(arena);
        }
    print_message("%d baselines ignore nothing, %d something\n", plain, ignoring);
    assert_true(plain > 10 && ignoring > 10);
}

/* Every infeasible instance says why, and what it names is needed. */
static void test_conflicts_are_told(void **state)
{
    (void)state;
    int conflicts = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = shape_of(seed);
        shape.tightness = 8.0;
        shape.refusal_cost = INFINITY;
        const es_plan *plan = solve(arena, draw(arena, seed, shape), ES_PLAN_EXACT);
        if (plan->quality == ES_PLAN_INFEASIBLE) {
            conflicts++;
            assert_non_null(plan->conflict);
            assert_true(strncmp(plan->conflict, "cannot hold together: ", 22) == 0 ||
                        strncmp(plan->conflict, "class '", 7) == 0);
        }
        es_arena_free(arena);
    }
    assert_true(conflicts > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checker_accepts_every_plan),
        cmocka_unit_test(test_exact_equals_search_without_capacity),
        cmocka_unit_test(test_exact_equals_search_with_capacity),
        cmocka_unit_test(test_more_capacity_never_costs_more),
        cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_bound_holds_at_a_loose_gap),
        cmocka_unit_test(test_cold_equals_warm),
        cmocka_unit_test(test_baselines_tell_what_they_ignore),
        cmocka_unit_test(test_conflicts_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
