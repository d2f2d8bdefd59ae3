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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checker_accepts_every_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
