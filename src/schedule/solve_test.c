/* Whole schedules: golden optima, approx against exact, baselines, discrete, the checker. */
#include "es_test.h"
#include "schedule/random_tasks.h"

static es_arena *new_arena(void)
{
    es_arena *arena = es_arena_new((size_t)1 << 30);
    assert_non_null(arena);
    return arena;
}

static const es_schedule *solve(es_arena *arena, const es_tasks *tasks, const es_machines *machines,
                                es_schedule_opts opts)
{
    es_error err = {0};
    const es_schedule *schedule = NULL;
    assert_ok_err(es_schedule_solve(arena, tasks, machines, opts, &schedule, &err), err);
    assert_ok_err(es_schedule_check(tasks, machines, schedule, &err), err);
    return schedule;
}

static void assert_value(double got, double wanted, const char *what)
{
    if (!(fabs(got - wanted) <= 1e-6 * fmax(1, fabs(wanted))))
        fail_msg("%s: %.12g, wanted %.12g", what, got, wanted);
}

/* ---- golden optima: spec, section 1.8 ---- */

static const double work_a[] = {0, 1, 2, 4}, quality_a[] = {0.1, 40.1, 60.1, 76.1};
static const double work_b[] = {0, 1, 3, 4}, quality_b[] = {0.1, 30.1, 60.1, 64.1};
static const es_curve curves[] = {{"A", 4, work_a, quality_a}, {"B", 4, work_b, quality_b}};
static const es_tasks_task four[] = {{.deadline_s = 1.5, .curve = 0},
                                     {.deadline_s = 2, .curve = 1},
                                     {.deadline_s = 4, .curve = 0},
                                     {.deadline_s = 5, .curve = 1}};
static const es_tasks golden_tasks = {
    .curve_count = 2, .curves = curves, .task_count = 4, .tasks = four};
static const es_period always[] = {{0, 0, 0}};
static const es_machine one[] = {{.name = "one",
                                  .speed_per_s = 1,
                                  .busy_w = 1,
                                  .close_s = INFINITY,
                                  .period_count = 1,
                                  .periods = always}};
static const es_machine two[] = {{.name = "fast",
                                  .speed_per_s = 2,
                                  .busy_w = 4,
                                  .close_s = INFINITY,
                                  .period_count = 1,
                                  .periods = always},
                                 {.name = "slow",
                                  .speed_per_s = 1,
                                  .busy_w = 1,
                                  .close_s = INFINITY,
                                  .period_count = 1,
                                  .periods = always}};
static const es_machines golden_one = {1, one};
static const es_machines golden_two = {2, two};

static void test_golden(void **state)
{
    (void)state;
    static const struct {
        const es_machines *machines;
        double budget, optimum;
    } vectors[] = {{&golden_one, INFINITY, 160.4},
                   {&golden_one, 3, 110.4},
                   {&golden_two, INFINITY, 252.4},
                   {&golden_two, 8, 185.4},
                   {&golden_two, 4, 140.4}};
    static const es_schedule_method methods[] = {ES_SCHEDULE_AUTO, ES_SCHEDULE_EXACT};
    for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++)
        for (size_t i = 0; i < 2; i++) {
            es_arena *arena = new_arena();
            es_schedule_opts opts = es_schedule_opts_default();
            opts.method = methods[i];
            opts.budgets[ES_BUDGET_ENERGY] = vectors[v].budget;
            const es_schedule *schedule = solve(arena, &golden_tasks, vectors[v].machines, opts);
            assert_value(schedule->quality, vectors[v].optimum, "optimum");
            assert_true(schedule->optimal);
            es_arena_free(arena);
        }
}

/* ---- approx against exact ---- */

static void test_approx(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(3);
    double sum = 0.0;
    double worst = 0.0;
    double worst_bound = 0.0;
    for (uint32_t i = 0; i < 300; i++) {
        es_arena *arena = new_arena();
        es_rng rng = es_rng_make(seed, i);
        es_random_spec spec = {.task_count = 3 + (uint32_t)es_rng_below(&rng, 6),
                               .machine_count = 2 + (uint32_t)es_rng_below(&rng, 2),
                               .segment_count = 4,
                               .tolerance = 0.3 + 1.2 * es_rng_double(&rng),
                               .budget_share = 0.1 + 0.9 * es_rng_double(&rng),
                               .period_count = i % 5 == 0 ? 2 : 1,
                               .bytes = i % 7 == 0 ? 500 : 0};
        const es_tasks *tasks;
        const es_machines *machines;
        es_instance instance;
        es_schedule_opts opts = es_schedule_opts_default();
        es_random_instance(arena, &rng, spec, &tasks, &machines, opts.budgets, &instance);
        opts.method = ES_SCHEDULE_EXACT;
        const es_schedule *exact = solve(arena, tasks, machines, opts);
        opts.method = ES_SCHEDULE_APPROX;
        const es_schedule *approx = solve(arena, tasks, machines, opts);
        if (!exact->optimal)
            fail_msg("ES_SEED=%" PRIu64 " instance %u: not proven, gap %g", seed, i,
                     exact->gap_relative);
        assert_true(approx->quality <= exact->quality * (1 + 2e-6));
        assert_true(approx->bound >= exact->quality * (1 - 1e-7));
        double gap = 1 - approx->quality / exact->quality;
        sum += gap;
        worst = fmax(worst, gap);
        worst_bound = fmax(worst_bound, 1 - exact->quality / approx->bound);
        es_arena_free(arena);
    }
    print_message("300 instances: approx below the optimum by %.3f %% on average, %.2f %% at "
                  "worst; bound above it by %.1f %% at worst\n",
                  sum / 3, 100 * worst, 100 * worst_bound);
    assert_true(sum / 300 <= 0.01);
    assert_true(worst <= 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_approx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
