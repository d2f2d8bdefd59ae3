/* Plans over few tuples, chosen by prices: never better than the optimum over all, and bounds never
 * above it. */
#include "es_test.h"
#include "plan/decompose.h"
#include "plan/operator_scenario.h"
#include "plan/random_scenario.h"

#include <math.h>

static const size_t ARENA_BYTES = (size_t)1 << 30;

static es_deadline deadline_in(double seconds)
{
    es_clock *clock = es_clock_system();
    return (es_deadline){clock, es_clock_now_ns(clock) + es_ns_from_s(seconds)};
}

static es_scenario *draw(es_arena *arena, uint64_t seed)
{
    es_random_shape shape = es_random_shape_default();
    es_scenario *scenario = NULL;
    es_error err = {0};
    shape.device_count = 2 + (uint32_t)(seed % 4);
    shape.edge_count = 1 + (uint32_t)(seed / 4 % 3);
    shape.long_count = 1 + (uint32_t)(seed / 3 % 2);
    shape.tightness = (double)(seed % 5) * 0.2;
    shape.refusal_cost = seed % 3 == 0 ? (double)INFINITY : 3.0;
    shape.idle_per_j = seed % 2 == 0 ? 0.002 : 0.0;
    assert_ok_err(es_random_scenario(arena, seed, shape, &scenario, &err), err);
    return scenario;
}

static double optimum_of(es_arena *arena, const es_scenario *scenario)
{
    es_problem *problem = NULL;
    es_solution *exact = NULL;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.gap_relative = 1e-6;
    es_deadline deadline = deadline_in(20.0);
    assert_ok_err(es_problem_build(arena, scenario, es_problem_opts_default(), &problem, &err),
                  err);
    assert_false(problem->truncated);
    assert_ok_err(es_solve_exact(arena, problem, &opts, &deadline, NULL, &exact, &err), err);
    return exact->quality == ES_PLAN_OPTIMAL ? es_solution_cost(problem, exact) : (double)NAN;
}

static void test_wide_bound_optimum(void **state)
{
    (void)state;
    int cut = 0;
    int close = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        es_arena *arena = es_arena_new(ARENA_BYTES);
        es_scenario *scenario = draw(arena, seed);
        double optimum = optimum_of(arena, scenario);
        es_problem_opts lists = es_problem_opts_default();
        es_problem *problem = NULL;
        es_solution *found = NULL;
        es_error err = {0};
        es_plan_opts opts = es_plan_opts_default();
        opts.seed = seed;
        opts.gap_relative = 0.01;
        es_deadline deadline = deadline_in(1.0);
        /* No room for tuples but the least. */
        lists.tuple_total = 1;
        lists.tuple_min = 1 + (uint32_t)(seed % 3);
        lists.single_min = 1 + (uint32_t)(seed % 2);
        assert_ok_err(es_problem_build(arena, scenario, lists, &problem, &err), err);
        if (isfinite(optimum) && problem->truncated) {
            cut++;
            assert_ok_err(es_solve_wide(arena, lists, &opts, &deadline, &problem, &found, &err),
                          err);
            assert_false(problem->truncated);
            double size = fabs(optimum) + 1e-9;
            if (found->bound > optimum + 2e-6 * size)
                fail_msg("seed %llu: bound %.17g above %.17g", (unsigned long long)seed,
                         found->bound, optimum);
            if (found->quality == ES_PLAN_FEASIBLE || found->quality == ES_PLAN_OPTIMAL) {
                double cost = es_solution_cost(problem, found);
                if (cost < optimum - 2e-6 * size)
                    fail_msg("seed %llu: %.17g below the optimum %.17g", (unsigned long long)seed,
                             cost, optimum);
                close += cost < optimum * 1.05 ? 1 : 0;
            }
        }
        es_arena_free(arena);
    }
    print_message("%d cut, %d within 5 %% of the optimum\n", cut, close);
    assert_true(cut >= 20);
}

/* Free of all prices, what is left out is the cheapest tuple that no list has. */
static void test_rest_is_nothing_when_all_is_there(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        es_arena *arena = es_arena_new(ARENA_BYTES);
        es_scenario *scenario = draw(arena, seed);
        es_error err = {0};
        double *zeros = ES_TAKE_ARRAY(arena, double, 4096);
        double *high = ES_TAKE_ARRAY(arena, double, scenario->class_count);
        assert_true(zeros != NULL && high != NULL);
        for (uint32_t r = 0; r < scenario->class_count; r++)
            high[r] = 100.0;
        es_path_prices prices = {.pi = high, .mu = zeros, .kappa = zeros};
        es_deadline deadline = deadline_in(20.0);
        es_problem_opts lists = es_problem_opts_default();
        double loss = -1.0;
        bool complete = false;
        assert_ok_err(
            es_problem_rest(arena, scenario, lists, &prices, &deadline, &loss, &complete, &err),
            err);
        assert_true(complete);
        assert_true(loss == 0.0);
        lists.tuple_total = 1;
        lists.tuple_min = 1;
        lists.single_min = 1;
        assert_ok_err(
            es_problem_rest(arena, scenario, lists, &prices, &deadline, &loss, &complete, &err),
            err);
        assert_true(complete && loss > 0.0);
        es_arena_free(arena);
    }
}

/* From document to checked plan. */
static void test_operator_is_planned_within_3_percent(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(ARENA_BYTES);
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    const es_plan_violation *violations = NULL;
    size_t violation_count = 0;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    es_operator_shape shape = {.edge_count = 60, .classes_each = 5, .task_count = 10, .seed = 1};
    opts.gap_relative = 0.03;
    assert_ok_err(es_operator_scenario(arena, shape, &scenario, &err), err);
    assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
    assert_true(plan->method == ES_PLAN_DECOMPOSITION);
    assert_true(plan->quality == ES_PLAN_OPTIMAL);
    assert_true(plan->gap_relative <= 0.03);
    assert_ok_err(es_plan_check(arena, plan, scenario, 1e-6, &violations, &violation_count, &err),
                  err);
    assert_true(violation_count == 0);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_bound_optimum),
        cmocka_unit_test(test_rest_is_nothing_when_all_is_there),
        cmocka_unit_test(test_operator_is_planned_within_3_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
