/* Greedy on one machine, the fractional relaxation and its certificate, against the LP. */
#include "es_test.h"
#include "schedule/random_tasks.h"

static es_arena *new_arena(void)
{
    es_arena *arena = es_arena_new((size_t)1 << 30);
    assert_non_null(arena);
    return arena;
}

static void assert_near(double got, double wanted, double relative, const char *what)
{
    if (!(fabs(got - wanted) <= relative * fmax(1.0, fabs(wanted))))
        fail_msg("%s: %.15g, wanted %.15g", what, got, wanted);
}

/* ---- golden vectors: spec, section 1.8 ---- */

typedef struct golden {
    uint32_t machine_count;
    double speed[2], watts[2];
    double budget;
    double fractional, works[4];
} golden;

static const golden vectors[] = {
    {1, {1}, {1}, INFINITY, 160.4, {1, 1, 2, 1}},
    {1, {1}, {1}, 3, 110.4, {1, 1, 1, 0}},
    {2, {2, 1}, {4, 1}, INFINITY, 268.4, {3, 3, 4, 4}},
    {2, {2, 1}, {4, 1}, 8, 187.9, {2, 1.5, 2, 1}},
    {2, {2, 1}, {4, 1}, 4, 140.4, {1, 1, 1, 1}},
};

static const es_tasks *golden_tasks(es_arena *arena)
{
    static const double work_a[] = {0, 1, 2, 4}, quality_a[] = {0.1, 40.1, 60.1, 76.1};
    static const double work_b[] = {0, 1, 3, 4}, quality_b[] = {0.1, 30.1, 60.1, 64.1};
    static const es_curve curves[] = {{"A", 4, work_a, quality_a}, {"B", 4, work_b, quality_b}};
    static const es_tasks_task tasks[] = {
        {.deadline_s = 1.5, .curve = 0},
        {.deadline_s = 2, .curve = 1},
        {.deadline_s = 4, .curve = 0},
        {.deadline_s = 5, .curve = 1},
    };
    es_tasks *out = ES_TAKE_ONE(arena, es_tasks);
    assert_non_null(out);
    *out = (es_tasks){.curve_count = 2, .curves = curves, .task_count = 4, .tasks = tasks};
    return out;
}

static const es_machines *golden_machines(es_arena *arena, const golden *vector)
{
    static const es_period always[] = {{0, 0, 0}};
    es_machine *machines = ES_TAKE_ARRAY(arena, es_machine, 2);
    es_machines *out = ES_TAKE_ONE(arena, es_machines);
    assert_non_null(machines);
    assert_non_null(out);
    for (uint32_t r = 0; r < vector->machine_count; r++)
        machines[r] = (es_machine){.name = r == 0 ? "first" : "second",
                                   .speed_per_s = vector->speed[r],
                                   .busy_w = vector->watts[r],
                                   .close_s = (double)INFINITY,
                                   .period_count = 1,
                                   .periods = always};
    *out = (es_machines){.machine_count = vector->machine_count, .machines = machines};
    return out;
}

static double one_machine(es_arena *arena, const es_instance *instance, double *work)
{
    es_error err = {0};
    double gain = 0.0;
    double *capacity = ES_TAKE_ARRAY(arena, double, instance->task_count);
    const es_cell *cell = &instance->cells[0];
    assert_non_null(capacity);
    for (uint32_t k = 0; k < instance->task_count; k++)
        capacity[k] = cell->speed * fmin(es_cell_room_s(cell, instance->deadline[k]),
                                         instance->budget[0] / cell->use_per_s[0]);
    assert_ok_err(es_greedy_solve(arena, instance, capacity, work, &gain, &err), err);
    for (uint32_t k = 0; k < instance->task_count; k++) {
        double sum = 0.0;
        for (uint32_t i = 0; i <= k; i++)
            sum += work[i];
        assert_true(sum <= capacity[k] * (1 + 1e-12) + 1e-12);
    }
    return gain;
}

static void test_golden(void **state)
{
    (void)state;
    es_error err = {0};
    for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
        es_arena *arena = new_arena();
        double budgets[ES_BUDGET_COUNT] = {vectors[v].budget, INFINITY, INFINITY};
        es_instance_spec spec = {.tasks = golden_tasks(arena),
                                 .machines = golden_machines(arena, &vectors[v]),
                                 .budgets = budgets,
                                 .charge_idle = true};
        es_instance instance;
        es_fractional found, linear;
        assert_ok_err(es_instance_build(arena, &spec, &instance, &err), err);
        assert_ok_err(es_fractional_solve(arena, &instance, 1e-9, &found, &err), err);
        assert_ok_err(es_fractional_lp(arena, &instance, 60, &linear, &err), err);
        double zero = instance.quality_zero;
        assert_near(zero + found.gain, vectors[v].fractional, 1e-12, "fractional");
        assert_near(zero + found.bound, vectors[v].fractional, 1e-9, "bound");
        assert_near(zero + linear.gain, vectors[v].fractional, 1e-9, "linear program");
        for (uint32_t j = 0; j < 4; j++)
            assert_near(found.work[j], vectors[v].works[j], 1e-9, "work");
        if (vectors[v].machine_count == 1) {
            double work[4];
            double gain = one_machine(arena, &instance, work);
            assert_near(zero + gain, vectors[v].fractional, 1e-12, "greedy");
            for (uint32_t j = 0; j < 4; j++)
                assert_near(work[j], vectors[v].works[j], 1e-12, "greedy's work");
        }
        if (v == 3) { /* the only profile that is unique on both machines */
            assert_near(found.busy_s[0], 0.75, 1e-9, "profile");
            assert_near(found.busy_s[1], 5, 1e-9, "profile");
        }
        es_arena_free(arena);
    }
}

/* ---- against the linear program ---- */

static void test_one_machine(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    es_error err = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        es_arena *arena = new_arena();
        es_rng rng = es_rng_make(seed, i);
        es_random_spec spec = {.task_count = 1 + (uint32_t)es_rng_below(&rng, 12),
                               .machine_count = 1,
                               .segment_count = 1 + (uint32_t)es_rng_below(&rng, 6),
                               .tolerance = 0.2 + 1.5 * es_rng_double(&rng),
                               .budget_share = 0.05 + 1.2 * es_rng_double(&rng),
                               .period_count = 1};
        const es_tasks *tasks;
        const es_machines *machines;
        double budgets[ES_BUDGET_COUNT];
        double work[16];
        es_instance instance;
        es_fractional linear, priced;
        es_random_instance(arena, &rng, spec, &tasks, &machines, budgets, &instance);
        double gain = one_machine(arena, &instance, work);
        double again = 0.0;
        for (uint32_t j = 0; j < instance.task_count; j++)
            again += es_instance_gain(&instance, j, work[j]);
        assert_near(again, gain, 1e-9, "gain of works");
        assert_ok_err(es_fractional_lp(arena, &instance, 60, &linear, &err), err);
        assert_ok_err(es_fractional_solve(arena, &instance, 1e-9, &priced, &err), err);
        if (fabs(gain - linear.gain) > 1e-7 * fmax(1, linear.gain))
            fail_msg("ES_SEED=%" PRIu64 " instance %u: greedy %.12g, linear program %.12g", seed, i,
                     gain, linear.gain);
        assert_near(priced.gain, gain, 1e-7, "by prices");
        es_arena_free(arena);
    }
}

/* The profile must be able to carry the works: Σ_{i<=k} f_i <= Σ s min(room, T). */
static void assert_carries(const es_instance *instance, const es_fractional *found)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < instance->task_count; k++) {
        double capacity = 0.0;
        sum += found->work[k];
        for (uint32_t c = 0; c < instance->cell_count; c++)
            capacity +=
                instance->cells[c].speed *
                fmin(found->busy_s[c], es_cell_room_s(&instance->cells[c], instance->deadline[k]));
        if (k + 1 == instance->task_count || instance->deadline[k + 1] > instance->deadline[k])
            assert_true(sum <= capacity * (1 + 1e-9) + 1e-9);
    }
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        double used = 0.0;
        for (uint32_t c = 0; c < instance->cell_count; c++)
            used += found->busy_s[c] * instance->cells[c].use_per_s[b];
        assert_true(used <= instance->budget[b] * (1 + 1e-9));
    }
}

static void test_many_machines(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(2);
    es_error err = {0};
    double worst = 0.0;
    double naive_worst = 0.0;
    double naive_sum = 0.0;
    uint32_t by_lp = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        es_arena *arena = new_arena();
        es_rng rng = es_rng_make(seed, i);
        es_random_spec spec = {.task_count = 2 + (uint32_t)es_rng_below(&rng, 10),
                               .machine_count = 2 + (uint32_t)es_rng_below(&rng, 3),
                               .segment_count = 4,
                               .tolerance = 0.3 + 1.5 * es_rng_double(&rng),
                               .budget_share = 0.05 + 0.85 * es_rng_double(&rng),
                               .period_count = i % 3 == 0 ? 3 : 1,
                               .idle_w = i % 4 == 0 ? 2 : 0};
        const es_tasks *tasks;
        const es_machines *machines;
        double budgets[ES_BUDGET_COUNT];
        es_instance instance;
        es_fractional linear, priced, naive;
        es_random_instance(arena, &rng, spec, &tasks, &machines, budgets, &instance);
        if (i % 5 == 1) /* carbon and price bind too */
            for (int b = ES_BUDGET_CARBON; b < ES_BUDGET_COUNT; b++)
                instance.budget[b] = instance.full_use[b] * (0.1 + 0.6 * es_rng_double(&rng));
        assert_ok_err(es_fractional_solve(arena, &instance, 1e-9, &priced, &err), err);
        assert_ok_err(es_fractional_lp(arena, &instance, 60, &linear, &err), err);
        assert_ok_err(es_fractional_naive(arena, &instance, &naive, &err), err);
        assert_carries(&instance, &priced);
        assert_carries(&instance, &naive);
        double gap = fabs(priced.gain - linear.gain) / fmax(linear.gain, 1e-9);
        if (gap > 1e-6)
            fail_msg("ES_SEED=%" PRIu64 " instance %u: by prices %.12g, linear program %.12g", seed,
                     i, priced.gain, linear.gain);
        assert_true(priced.bound >= linear.gain * (1 - 1e-7));
        worst = fmax(worst, gap);
        by_lp += priced.by_lp ? 1 : 0;
        double below = 1 - naive.gain / linear.gain;
        assert_true(below > -1e-7);
        naive_worst = fmax(naive_worst, below);
        naive_sum += below;
        es_arena_free(arena);
    }
    print_message("1000 instances: worst gap to the linear program %.2g, which took over %u times; "
                  "naive profile mean %.2f %%, worst %.1f %%\n",
                  worst, by_lp, naive_sum / 10, 100 * naive_worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_one_machine),
        cmocka_unit_test(test_many_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
