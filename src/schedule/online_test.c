/* Rolling schedules: kept rules, nothing known too early, ratios. */
#include "es_test.h"
#include "schedule/random_tasks.h"

/* Arrivals spread over the horizon; deadlines some time after. */
static void spread(es_tasks *tasks, es_tasks_task *own, es_rng *rng, double horizon_s)
{
    for (uint32_t i = 0; i < tasks->task_count; i++) {
        own[i] = tasks->tasks[i];
        own[i].arrival_s = 0.85 * horizon_s * es_rng_double(rng);
        own[i].deadline_s = own[i].arrival_s + horizon_s * (0.02 + 0.1 * es_rng_double(rng));
    }
    tasks->tasks = own;
}

static void test_ratio(void **state)
{
    (void)state;
    enum { TASKS = 60, SEEDS = 20 };
    es_error err = {0};
    double sum[2] = {0};
    double least[2] = {1, 1};
    for (uint32_t i = 0; i < SEEDS; i++) {
        es_arena *arena = es_arena_new((size_t)1 << 30);
        es_rng rng = es_rng_make(es_test_seed(6), i);
        es_random_spec spec = {.task_count = TASKS,
                               .machine_count = 3,
                               .segment_count = 5,
                               .tolerance = 1.5,
                               .budget_share = 0.3,
                               .period_count = 1 + i % 2,
                               .idle_w = i % 3 == 0 ? 1 : 0,
                               .bytes = i % 4 == 0 ? 500 : 0};
        const es_tasks *given;
        const es_machines *machines;
        es_instance instance;
        es_online_opts opts = es_online_opts_default();
        es_tasks_task own[TASKS];
        es_random_instance(arena, &rng, spec, &given, &machines, opts.schedule.budgets, &instance);
        es_tasks tasks = *given;
        spread(&tasks, own, &rng, instance.horizon_s);
        for (int k = 0; k < 2; k++) {
            es_online_result result;
            opts.pace = k;
            assert_ok_err(es_schedule_online(arena, &tasks, machines, opts, &result, &err), err);
            assert_ok_err(es_schedule_check(&tasks, machines, result.schedule, &err), err);
            assert_int_equal(result.replan_count, TASKS);
            assert_true(result.tight);
            assert_true(result.ratio > 0 && result.ratio <= 1);
            sum[k] += result.ratio;
            least[k] = fmin(least[k], result.ratio);
        }
        const es_schedule *schedule = NULL;
        assert_fails(es_schedule_solve(arena, &tasks, machines, opts.schedule, &schedule, &err),
                     ES_ERR_ARG, err, "only an online schedule");
        es_arena_free(arena);
    }
    print_message("quality gained against the clairvoyant's bound: paced mean %.3f, least %.3f; at "
                  "once mean %.3f, least %.3f\n",
                  sum[1] / SEEDS, least[1], sum[0] / SEEDS, least[0]);
    assert_true(sum[1] / SEEDS > 0.8); /* few tasks at a time: the bound splits them, we cannot */
    assert_true(sum[1] > sum[0]);
}

/* Everything there at once: the same as offline. */
static void test_no_arrivals(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)1 << 30);
    es_rng rng = es_rng_make(es_test_seed(7), 0);
    es_random_spec spec = {.task_count = 20,
                           .machine_count = 2,
                           .segment_count = 4,
                           .tolerance = 1.0,
                           .budget_share = 0.4,
                           .period_count = 1};
    const es_tasks *tasks;
    const es_machines *machines;
    es_instance instance;
    es_online_opts opts = es_online_opts_default();
    const es_schedule *offline = NULL;
    es_online_result online;
    es_random_instance(arena, &rng, spec, &tasks, &machines, opts.schedule.budgets, &instance);
    assert_ok_err(es_schedule_solve(arena, tasks, machines, opts.schedule, &offline, &err), err);
    assert_ok_err(es_schedule_online(arena, tasks, machines, opts, &online, &err), err);
    assert_true(fabs(online.schedule->quality - offline->quality) < 1e-6 * offline->quality);
    assert_true(fabs(online.schedule->bound - offline->bound) < 1e-6 * offline->bound);
    opts.pace = 2;
    assert_fails(es_schedule_online(arena, tasks, machines, opts, &online, &err), ES_ERR_ARG, err,
                 "pace 2 must be between 0 and 1");
    opts.pace = 1;
    opts.schedule.method = ES_SCHEDULE_EXACT;
    assert_fails(es_schedule_online(arena, tasks, machines, opts, &online, &err), ES_ERR_ARG, err,
                 "not by exact");
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_no_arrivals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
