/* Exact plans against exhaustive search, and with more room, over tiny random instances. */
#include "es_test.h"
#include "plan/internal.h"
#include "plan/random_scenario.h"

#include <math.h>

static es_scenario *draw(es_arena *arena, uint64_t seed, es_random_shape shape)
{
    es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_random_scenario(arena, seed, shape, &scenario, &err), err);
    return scenario;
}

static bool has_plan(const es_plan *plan)
{
    return plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE;
}

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
    double best = (double)INFINITY;
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
    for (uint64_t seed = 0; seed < 40; seed++) {
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
    assert_true(plans >= 20);
}

/* Every set of hosts that fits the memory, and the linear program of the routing over it. */
static double exhaustive_with_capacity(es_arena *arena, const es_problem *problem)
{
    double best = (double)INFINITY;
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
    for (uint64_t seed = 0; seed < 40; seed++) {
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
    assert_true(plans >= 14);
    print_message("%d plans, %d infeasible\n", plans, refusals);
}

/* ---- other properties ---- */

static void test_more_capacity_never_costs_more(void **state)
{
    (void)state;
    static const double tightness[] = {1.5, 1.0, 0.6, 0.3, 0.0};
    int steps = 0;
    for (uint64_t seed = 0; seed < 25; seed++) {
        double before = (double)INFINITY;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_equals_search_without_capacity),
        cmocka_unit_test(test_exact_equals_search_with_capacity),
        cmocka_unit_test(test_more_capacity_never_costs_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
