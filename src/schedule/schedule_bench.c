/* One machine with a million tasks; a hundred thousand tasks on fifty machines; growth. */
#include "es_bench.h"
#include "schedule/ofa_tasks.h"
#include "schedule/random_tasks.h"

typedef struct given {
    es_arena *arena;
    const es_tasks *tasks;
    const es_machines *machines;
    double budgets[ES_BUDGET_COUNT];
} given;

static given make(es_random_spec spec)
{
    given g = {.arena = es_arena_new((size_t)8 << 30)};
    es_rng rng = es_rng_make(1, spec.task_count);
    es_instance instance;
    if (g.arena == NULL)
        abort();
    es_random_instance(g.arena, &rng, spec, &g.tasks, &g.machines, g.budgets, &instance);
    return g;
}

/* Layout and greedy, from tasks in any order to works. */
static double one_machine(uint32_t task_count)
{
    given g = make((es_random_spec){.task_count = task_count,
                                    .machine_count = 1,
                                    .segment_count = 8,
                                    .tolerance = 1.0,
                                    .budget_share = 0.6,
                                    .period_count = 1});
    es_arena *scratch = es_arena_new((size_t)8 << 30);
    es_error err = {0};
    es_instance instance;
    double gain = 0.0;
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    es_instance_spec spec = {
        .tasks = g.tasks, .machines = g.machines, .budgets = g.budgets, .charge_idle = true};
    if (scratch == NULL || es_instance_build(scratch, &spec, &instance, &err) != ES_OK)
        abort();
    double *capacity = ES_TAKE_ARRAY(scratch, double, task_count);
    double *work = ES_TAKE_ARRAY(scratch, double, task_count);
    if (capacity == NULL || work == NULL)
        abort();
    const es_cell *cell = &instance.cells[0];
    for (uint32_t k = 0; k < task_count; k++)
        capacity[k] = cell->speed * fmin(es_cell_room_s(cell, instance.deadline[k]),
                                         instance.budget[0] / cell->use_per_s[0]);
    if (es_greedy_solve(scratch, &instance, capacity, work, &gain, &err) != ES_OK)
        abort();
    double took_s = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    es_arena_free(scratch);
    es_arena_free(g.arena);
    return took_s;
}

typedef struct outcome {
    double took_s, gap;
} outcome;

static outcome approx(uint32_t task_count, uint32_t machine_count)
{
    given g = make((es_random_spec){.task_count = task_count,
                                    .machine_count = machine_count,
                                    .segment_count = 8,
                                    .tolerance = 1.0,
                                    .budget_share = 0.3,
                                    .period_count = 1});
    es_schedule_opts opts = es_schedule_opts_default();
    es_error err = {0};
    const es_schedule *schedule = NULL;
    opts.method = ES_SCHEDULE_APPROX;
    memcpy(opts.budgets, g.budgets, sizeof opts.budgets);
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    if (es_schedule_solve(g.arena, g.tasks, g.machines, opts, &schedule, &err) != ES_OK)
        abort();
    outcome out = {es_s_from_ns(es_clock_now_ns(clock) - start_ns), schedule->gap_relative};
    if (es_schedule_check(g.tasks, g.machines, schedule, &err) != ES_OK) {
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
        abort();
    }
    es_arena_free(g.arena);
    return out;
}

/* Arrivals over the horizon, deadlines a tenth of it later; 30 % of the energy. */
static double online_ratio(uint32_t task_count, uint32_t machine_count, double *out_s)
{
    given g = make((es_random_spec){.task_count = task_count,
                                    .machine_count = machine_count,
                                    .segment_count = 5,
                                    .tolerance = 1.5,
                                    .budget_share = 0.3,
                                    .period_count = 1});
    es_tasks tasks = *g.tasks;
    es_tasks_task *own = ES_TAKE_ARRAY(g.arena, es_tasks_task, task_count);
    es_rng rng = es_rng_make(2, task_count);
    es_online_opts opts = es_online_opts_default();
    es_online_result result;
    es_error err = {0};
    double horizon_s = 0.0;
    if (own == NULL)
        abort();
    for (uint32_t i = 0; i < task_count; i++)
        horizon_s = fmax(horizon_s, tasks.tasks[i].deadline_s);
    for (uint32_t i = 0; i < task_count; i++) {
        own[i] = tasks.tasks[i];
        own[i].arrival_s = 0.9 * horizon_s * es_rng_double(&rng);
        own[i].deadline_s = own[i].arrival_s + horizon_s * (0.02 + 0.08 * es_rng_double(&rng));
    }
    tasks.tasks = own;
    memcpy(opts.schedule.budgets, g.budgets, sizeof opts.schedule.budgets);
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    if (es_schedule_online(g.arena, &tasks, g.machines, opts, &result, &err) != ES_OK ||
        es_schedule_check(&tasks, g.machines, result.schedule, &err) != ES_OK || !result.tight) {
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
        abort();
    }
    *out_s = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    es_arena_free(g.arena);
    return result.ratio;
}

/* Median of three. */
static double median(double (*run)(uint32_t), uint32_t count)
{
    double times[3];
    for (int i = 0; i < 3; i++)
        times[i] = run(count);
    return es_bench_median(times, 3);
}

int main(void)
{
    es_bench bench = {0};
    double million_s = median(one_machine, 1000000);
    double tenth_s = median(one_machine, 100000);
    es_bench_add(&bench, "one machine, 1,000,000 tasks of 8 segments", million_s, "s", "lower", 3);
    es_bench_add(&bench, "the same, 100,000 tasks", tenth_s, "s", "lower", (double)NAN);
    es_bench_add(&bench, "growth: power of the number of tasks", log10(million_s / tenth_s), "",
                 "lower", 1.3);
    outcome large = approx(100000, 50);
    outcome small = approx(10000, 50);
    es_bench_add(&bench, "approx, 100,000 tasks on 50 machines", large.took_s, "s", "lower", 10);
    es_bench_add(&bench, "its proven gap", 100 * large.gap, "%", "lower", 1);
    es_bench_add(&bench, "approx, 10,000 tasks on 50 machines", small.took_s, "s", "lower",
                 (double)NAN);
    es_bench_add(&bench, "its proven gap ", 100 * small.gap, "%", "lower", 1);
    double took_s = 0.0;
    double ratio = online_ratio(300, 5, &took_s);
    es_bench_add(&bench, "online, 300 arrivals on 5 machines: of the clairvoyant's bound", ratio,
                 "", "higher", (double)NAN);
    es_bench_add(&bench, "its time, bound included", took_s, "s", "lower", (double)NAN);
    es_ofa_estimate lost, least;
    es_ofa_points_lost(8, 1.0, 1000, &es_ofa_as_written, &lost, &least);
    es_bench_add(&bench, "top-1 lost at 30 % of the energy, rho 1, 1,000 seeds", lost.mean,
                 "points", "lower", 1.2);
    es_bench_add(&bench, "half of its 95 % interval", lost.half, "points", "lower", (double)NAN);
    es_bench_add(&bench, "any schedule loses at least, by the fractional bound, rho 1", least.mean,
                 "points", "lower", (double)NAN);
    es_bench_add(&bench, "half of its 95 % interval ", least.half, "points", "lower", (double)NAN);
    es_ofa_points_lost(8, 1.5, 1000, &es_ofa_as_written, &lost, &least);
    es_bench_add(&bench, "top-1 lost at 30 % of the energy, rho 1.5, 1,000 seeds", lost.mean,
                 "points", "lower", 0.5);
    es_bench_add(&bench, "half of its 95 % interval  ", lost.half, "points", "lower", (double)NAN);
    es_bench_add(&bench, "any schedule loses at least, by the fractional bound, rho 1.5",
                 least.mean, "points", "lower", (double)NAN);
    es_bench_add(&bench, "half of its 95 % interval   ", least.half, "points", "lower",
                 (double)NAN);
    return es_bench_print(&bench);
}
