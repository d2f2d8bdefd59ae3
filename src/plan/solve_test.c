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
                char *thing = es_arena_text(arena, violations[0].text); /* several may share */
                char *what = strstr(thing, "': ");
                assert_non_null(what);
                assert_non_null(strstr(plan->conflict, what + 1));
                what[1] = '\0';
                assert_non_null(strstr(plan->conflict, thing));
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
        shape.refusal_cost = (double)INFINITY;
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

/* With few tuples of nodes allowed, nothing is claimed that the paths left out could disprove. */
static void test_cut_lists_claim_less(void **state)
{
    (void)state;
    int cut = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = shape_of(seed);
        shape.long_count = 2;
        const es_scenario *scenario = draw(arena, seed, shape);
        const es_plan *whole = solve_tight(arena, scenario);
        es_problem_opts build = es_problem_opts_default();
        es_problem *problem;
        es_error err = {0};
        build.tuple_max = 4;
        assert_ok_err(es_problem_build(arena, scenario, build, &problem, &err), err);
        if (problem->truncated && has_plan(whole)) {
            cut++;
            double bound = es_problem_relaxed_bound(problem);
            if (bound > whole->objective * (1.0 + 1e-9))
                fail_msg("seed %" PRIu64 ": bound %.12g above %.12g", seed, bound,
                         whole->objective);
        }
        es_arena_free(arena);
    }
    assert_true(cut > 10);
}

/* Whatever the moment it is stopped at, it claims neither infeasibility nor a bound too high. */
static void test_little_time_claims_little(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        es_arena *arena = es_arena_new((size_t)256 << 20);
        es_random_shape shape = es_random_shape_default();
        shape.refusal_cost = 3.0;
        shape.tightness = 1.0;
        const es_scenario *scenario = draw(arena, seed, shape);
        const es_plan *whole = solve(arena, scenario, ES_PLAN_EXACT);
        for (int warm = 0; warm < 2; warm++) {
            es_problem *problem;
            es_solution *greedy;
            es_solution *short_run;
            es_error err = {0};
            es_plan_opts opts = es_plan_opts_default();
            opts.clock = es_clock_system();
            es_problem_opts build = es_problem_opts_default();
            assert_ok_err(es_problem_build(arena, scenario, build, &problem, &err), err);
            es_deadline later = {opts.clock, es_clock_now_ns(opts.clock) + 60 * ES_NS_PER_S};
            assert_ok_err(es_solve_greedy(arena, problem, &opts, &later, &greedy, &err), err);
            es_deadline soon = {opts.clock, es_clock_now_ns(opts.clock) +
                                                (1 + 2 * (int64_t)seed) * ES_NS_PER_MS};
            assert_ok_err(es_solve_exact(arena, problem, &opts, &soon, warm ? greedy : NULL,
                                         &short_run, &err),
                          err);
            assert_int_not_equal(short_run->quality, ES_PLAN_INFEASIBLE);
            assert_true(short_run->bound <= whole->objective * (1.0 + 1e-9));
        }
        es_arena_free(arena);
    }
}

/* The library must not talk: stdout is data. With two threads and with little time, too. */
static void test_solvers_are_silent(void **state)
{
    (void)state;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/plan_solve_test.%ld.out", ES_TEST_BINARY_DIR,
                   (long)getpid());
    es_arena *arena = es_arena_new((size_t)256 << 20);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fflush(stdout); /* what was said before stays where it belongs */
    int out = dup(STDOUT_FILENO);
    int err_out = dup(STDERR_FILENO);
    assert_true(out >= 0 && err_out >= 0);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    es_status status = ES_OK;
    for (uint64_t seed = 0; seed < 12 && status == ES_OK; seed++) {
        es_scenario *scenario = NULL;
        const es_plan *plan;
        es_plan_opts opts = es_plan_opts_default();
        opts.thread_count = 1 + (uint32_t)(seed % 2);
        opts.time_limit_s = seed % 3 == 0 ? 0.01 : 60.0;
        opts.method = ES_PLAN_EXACT;
        status = es_random_scenario(arena, seed, shape_of(seed), &scenario, NULL);
        if (status == ES_OK)
            status = es_plan_solve(arena, scenario, opts, &plan, NULL);
    }
    (void)fflush(stdout); /* a failure shows below, as bytes in the file */
    assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err_out, STDERR_FILENO) >= 0);
    (void)close(out);
    (void)close(err_out);
    long size = lseek(fileno(file), 0, SEEK_END);
    (void)fclose(file);
    (void)unlink(path);
    es_arena_free(arena);
    assert_int_equal(status, ES_OK);
    assert_int_equal(size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checker_accepts_every_plan),
        cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_bound_holds_at_a_loose_gap),
        cmocka_unit_test(test_cold_equals_warm),
        cmocka_unit_test(test_baselines_tell_what_they_ignore),
        cmocka_unit_test(test_conflicts_are_told),
        cmocka_unit_test(test_cut_lists_claim_less),
        cmocka_unit_test(test_little_time_claims_little),
        cmocka_unit_test(test_solvers_are_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
