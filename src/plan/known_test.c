/* An instance whose optimum is known from elsewhere. */
#include "es_test.h"
#include "plan/internal.h"
#include "plan/placement_instance.h"

#include <math.h>

static void test_p60(void **state)
{
    (void)state;
    const char *path = es_test_data("placement/p60.json.gz");
    if (path == NULL)
        skip();
    es_arena *arena = es_arena_new((size_t)2 << 30);
    es_placement_instance given;
    es_solution *greedy;
    es_solution *exact;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.clock = es_clock_system();
    es_deadline deadline = {opts.clock, es_clock_now_ns(opts.clock) + 200 * ES_NS_PER_S};
    assert_ok_err(es_placement_instance_load(arena, path, &given, &err), err);
    assert_ok_err(es_solve_greedy(arena, given.problem, &opts, &deadline, &greedy, &err), err);
    assert_int_equal(greedy->quality, ES_PLAN_FEASIBLE);
    double greedy_cost = es_solution_cost(given.problem, greedy);
    assert_ok_err(es_solve_exact(arena, given.problem, &opts, &deadline, greedy, &exact, &err),
                  err);
    double exact_cost = es_solution_cost(given.problem, exact);
    print_message("optimum %.6f: exact %.6f with bound %.6f, greedy %.6f (%.2f %% above)\n",
                  given.optimum, exact_cost, exact->bound, greedy_cost,
                  100.0 * (greedy_cost / given.optimum - 1.0));
    assert_int_equal(exact->quality, ES_PLAN_OPTIMAL);
    assert_true(fabs(exact_cost / given.optimum - 1.0) <= 2e-4);
    assert_true(exact->bound <= given.optimum * (1.0 + 1e-9));
    assert_true(greedy->bound <= given.lp_bound);
    assert_true(greedy_cost <= given.optimum * 1.05);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p60),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
