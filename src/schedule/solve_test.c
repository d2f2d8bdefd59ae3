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

/* ---- exact against trying everything ---- */

/* Best over all cells for every task, the next one's from here on. */
static double try_all(es_refit *refit, const es_instance *instance)
{
    es_error err = {0};
    uint32_t cell_of[8] = {0};
    double best = 0.0;
    uint32_t choices = instance->cell_count + 1;
    uint64_t total = 1;
    assert_true(instance->task_count <= 8);
    for (uint32_t j = 0; j < instance->task_count; j++)
        total *= choices;
    for (uint64_t code = 0; code < total; code++) {
        es_mix mix = {0};
        uint64_t rest = code;
        for (uint32_t j = 0; j < instance->task_count; j++, rest /= choices)
            cell_of[j] =
                rest % choices < instance->cell_count ? (uint32_t)(rest % choices) : ES_NOWHERE;
        assert_ok_err(es_refit_solve(refit, NULL, cell_of, 1e-10, NULL, NULL, &mix, &err), err);
        best = fmax(best, mix.gain);
    }
    return best;
}

/* Best works at points: all combinations of point and cell. */
static double try_points(const es_instance *instance)
{
    double best = 0.0;
    uint32_t at[8] = {0}; /* point, then cell */
    uint32_t n = instance->task_count;
    uint32_t m = instance->cell_count;
    for (;;) {
        double sum[8] = {0};
        double gain = 0.0;
        double used = 0.0;
        bool fits = true;
        for (uint32_t j = 0; j < n; j++) {
            const es_cell *cell = &instance->cells[at[j] % m];
            for (uint32_t k = 0; k < at[j] / m; k++) {
                uint32_t s = instance->first[j] + k;
                sum[at[j] % m] += instance->length[s] / cell->speed;
                used += instance->length[s] / cell->speed * cell->use_per_s[0];
                gain += instance->length[s] * instance->slope[s];
            }
            if (at[j] / m > 0)
                used += cell->use_per_bit[0] * instance->input_bits[j];
            fits = fits && (at[j] / m == 0 ||
                            sum[at[j] % m] <= es_cell_room_s(cell, instance->deadline[j]));
        }
        fits = fits && used <= instance->budget[0];
        best = fits ? fmax(best, gain) : best;
        uint32_t j = 0;
        for (; j < n; j++) {
            if (++at[j] < m * (instance->first[j + 1] - instance->first[j] + 1))
                break;
            at[j] = 0;
        }
        if (j == n)
            return best;
    }
}

static void test_exact(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(4);
    es_error err = {0};
    for (uint32_t i = 0; i < 120; i++) {
        es_arena *arena = new_arena();
        es_rng rng = es_rng_make(seed, i);
        bool discrete = i % 2 == 1;
        es_random_spec spec = {.task_count = 2 + (uint32_t)es_rng_below(&rng, 3),
                               .machine_count = discrete ? 1 + i % 4 / 2 : 2,
                               .segment_count = 3,
                               .tolerance = 0.3 + 1.2 * es_rng_double(&rng),
                               .budget_share = 0.1 + 0.9 * es_rng_double(&rng),
                               .period_count = i % 3 == 0 && !discrete ? 2 : 1,
                               .bytes = i % 4 == 0 ? 500 : 0};
        const es_tasks *tasks;
        const es_machines *machines;
        es_instance instance;
        es_refit *refit = NULL;
        es_schedule_opts opts = es_schedule_opts_default();
        es_random_instance(arena, &rng, spec, &tasks, &machines, opts.budgets, &instance);
        assert_ok_err(es_refit_new(arena, &instance, &refit, &err), err);
        opts.method = ES_SCHEDULE_EXACT;
        opts.discrete = discrete;
        const es_schedule *exact = solve(arena, tasks, machines, opts);
        double best = discrete ? try_points(&instance) : try_all(refit, &instance);
        if (fabs(exact->quality - instance.quality_zero - best) > 3e-6 * fmax(1, best))
            fail_msg("ES_SEED=%" PRIu64 " instance %u: exact %.12g, all tried %.12g", seed, i,
                     exact->quality - instance.quality_zero, best);
        opts.method = ES_SCHEDULE_APPROX;
        assert_true(solve(arena, tasks, machines, opts)->quality <= exact->quality * (1 + 2e-6));
        es_arena_free(arena);
    }
}

/* ---- baselines ---- */

static void test_baselines(void **state)
{
    (void)state;
    double sums[ES_SCHEDULE_METHOD_COUNT] = {0};
    for (uint32_t i = 0; i < 50; i++) {
        es_arena *arena = new_arena();
        es_rng rng = es_rng_make(es_test_seed(5), i);
        es_random_spec spec = {.task_count = 40,
                               .machine_count = 3,
                               .segment_count = 5,
                               .tolerance = 0.5 + es_rng_double(&rng),
                               .budget_share = 0.2 + 0.6 * es_rng_double(&rng),
                               .period_count = 1 + i % 3,
                               .idle_w = i % 2 == 0 ? 1 : 0,
                               .bytes = i % 5 == 0 ? 500 : 0};
        const es_tasks *tasks;
        const es_machines *machines;
        es_instance instance;
        es_schedule_opts opts = es_schedule_opts_default();
        es_random_instance(arena, &rng, spec, &tasks, &machines, opts.budgets, &instance);
        for (int m = ES_SCHEDULE_FRACTIONAL; m < ES_SCHEDULE_METHOD_COUNT; m++) {
            opts.method = (es_schedule_method)m;
            const es_schedule *schedule = solve(arena, tasks, machines, opts);
            sums[m] += schedule->quality;
            assert_true(schedule->bound >= schedule->quality);
        }
        opts.method = ES_SCHEDULE_APPROX;
        opts.discrete = true;
        double rounded = solve(arena, tasks, machines, opts)->quality;
        assert_true(rounded > 0);
        sums[ES_SCHEDULE_AUTO] += rounded;
        es_arena_free(arena);
    }
    print_message("quality against the bound: approx %.4f, at points %.4f, edf-3 %.3f, edf %.3f, "
                  "best-fit %.3f, fifo %.3f\n",
                  sums[ES_SCHEDULE_APPROX] / sums[ES_SCHEDULE_FRACTIONAL],
                  sums[ES_SCHEDULE_AUTO] / sums[ES_SCHEDULE_FRACTIONAL],
                  sums[ES_SCHEDULE_EDF_3] / sums[ES_SCHEDULE_FRACTIONAL],
                  sums[ES_SCHEDULE_EDF] / sums[ES_SCHEDULE_FRACTIONAL],
                  sums[ES_SCHEDULE_BEST_FIT] / sums[ES_SCHEDULE_FRACTIONAL],
                  sums[ES_SCHEDULE_FIFO] / sums[ES_SCHEDULE_FRACTIONAL]);
    assert_true(sums[ES_SCHEDULE_APPROX] > 0.99 * sums[ES_SCHEDULE_FRACTIONAL]);
    assert_true(sums[ES_SCHEDULE_EDF_3] > sums[ES_SCHEDULE_EDF]);
    assert_true(sums[ES_SCHEDULE_AUTO] > sums[ES_SCHEDULE_EDF_3]);
}

/* ---- everything at once: three budgets, periods, idle draws, networks, points ---- */

static void test_everything(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(9);
    for (uint32_t i = 0; i < 60; i++) {
        es_arena *arena = new_arena();
        es_rng rng = es_rng_make(seed, i);
        es_random_spec spec = {.task_count = 1 + (uint32_t)es_rng_below(&rng, 150),
                               .machine_count = 1 + (uint32_t)es_rng_below(&rng, 6),
                               .segment_count = 1 + (uint32_t)es_rng_below(&rng, 6),
                               .tolerance = 0.2 + 2 * es_rng_double(&rng),
                               .budget_share = 0.05 + 1.5 * es_rng_double(&rng),
                               .period_count = 1 + (uint32_t)es_rng_below(&rng, 5),
                               .idle_w = es_rng_below(&rng, 2) == 0 ? 0 : es_rng_double(&rng),
                               .bytes = es_rng_below(&rng, 2) == 0 ? 0 : 1000};
        const es_tasks *tasks;
        const es_machines *machines;
        es_instance instance;
        es_schedule_opts opts = es_schedule_opts_default();
        es_random_instance(arena, &rng, spec, &tasks, &machines, opts.budgets, &instance);
        for (int b = ES_BUDGET_CARBON; b < ES_BUDGET_COUNT; b++)
            if (es_rng_below(&rng, 2) == 0)
                opts.budgets[b] =
                    instance.idle_use[b] +
                    es_rng_double(&rng) * (instance.full_use[b] - instance.idle_use[b]);
        double bound = (double)INFINITY;
        for (int m = ES_SCHEDULE_METHOD_COUNT - 1; m >= ES_SCHEDULE_FRACTIONAL; m--) {
            opts.method = (es_schedule_method)m;
            const es_schedule *schedule = solve(arena, tasks, machines, opts);
            bound = fmin(bound, schedule->bound);
            assert_true(schedule->quality <= bound * (1 + 1e-6));
        }
        opts.method = ES_SCHEDULE_APPROX;
        opts.discrete = true;
        assert_true(solve(arena, tasks, machines, opts)->quality <= bound * (1 + 1e-6));
        es_arena_free(arena);
    }
}

/* ---- the checker finds what is wrong ---- */

static void test_checker(void **state)
{
    (void)state;
    es_arena *arena = new_arena();
    es_error err = {0};
    es_schedule_opts opts = es_schedule_opts_default();
    opts.budgets[ES_BUDGET_ENERGY] = 8;
    const es_schedule *good = solve(arena, &golden_tasks, &golden_two, opts);
    static const struct {
        const char *words;
        int what;
    } wrongs[] = {{"its curve says", 0},       {"overlap", 1},        {"answered at", 2},
                  {"are not work", 3},         {"energy used is", 4}, {"over its budget", 5},
                  {"above its bound", 6},      {"sum up to", 7},      {"no machine 2", 8},
                  {"no point of its curve", 9}};
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        es_schedule bad = *good;
        es_schedule_entry entries[4];
        memcpy(entries, good->entries, sizeof entries);
        bad.entries = entries;
        /* Tasks 1, 2 and 3 run one after the other on the slow machine. */
        double length = entries[2].end_s - entries[2].start_s;
        switch (wrongs[i].what) {
        case 0:
            entries[0].quality += 1;
            break;
        case 1:
            entries[2].start_s = entries[1].start_s;
            entries[2].end_s = entries[2].start_s + length;
            break;
        case 2:
            entries[1].start_s += 9;
            entries[1].end_s += 9;
            break;
        case 3:
            entries[3].end_s += 0.1;
            break;
        case 4:
            bad.used[ES_BUDGET_ENERGY] -= 1;
            break;
        case 5:
            bad.budgets[ES_BUDGET_ENERGY] = 7;
            break;
        case 6:
            bad.bound = good->quality - 1;
            break;
        case 7:
            bad.quality += 0.1;
            bad.bound += 1;
            break;
        case 8:
            entries[0].machine = 2;
            break;
        default: {
            /* all work of the fast machine's task, less a little */
            bad.discrete = true;
            entries[0].work -= 0.25;
            entries[0].quality -= 0.25 * 20;
            break;
        }
        }
        assert_fails(es_schedule_check(&golden_tasks, &golden_two, &bad, &err), ES_ERR_ARG, err,
                     wrongs[i].words);
    }
    es_arena_free(arena);
}

static void test_refusals(void **state)
{
    (void)state;
    es_arena *arena = new_arena();
    es_error err = {0};
    const es_schedule *schedule = NULL;
    es_schedule_opts opts = es_schedule_opts_default();
    opts.budgets[ES_BUDGET_CARBON] = -1;
    assert_fails(es_schedule_solve(arena, &golden_tasks, &golden_two, opts, &schedule, &err),
                 ES_ERR_ARG, err, "carbon budget -1 g must be >= 0");
    opts.budgets[ES_BUDGET_CARBON] = (double)NAN;
    assert_fails(es_schedule_solve(arena, &golden_tasks, &golden_two, opts, &schedule, &err),
                 ES_ERR_ARG, err, "must be >= 0");
    opts = es_schedule_opts_default();
    es_machine idle = one[0];
    idle.idle_w = 0.5;
    const es_machines machines = {1, &idle};
    opts.budgets[ES_BUDGET_ENERGY] = 2;
    assert_fails(es_schedule_solve(arena, &golden_tasks, &machines, opts, &schedule, &err),
                 ES_ERR_ARG, err, "idle machines draw until 5 s: 2.5 J");
    /* A budget of nothing is an answer: nothing runs. */
    opts.budgets[ES_BUDGET_ENERGY] = 0;
    schedule = solve(arena, &golden_tasks, &golden_two, opts);
    assert_value(schedule->quality, 0.4, "quality without work");
    assert_true(schedule->optimal);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_approx),
        cmocka_unit_test(test_exact),      cmocka_unit_test(test_baselines),
        cmocka_unit_test(test_everything), cmocka_unit_test(test_checker),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
