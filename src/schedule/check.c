/* The independent checker: from tasks and machines alone, by rules a person can follow. */
#include "base/array.h"
#include "schedule/schedule.h"

#include <math.h>

static const double TOLERANCE = 1e-6; /* relative to the larger side, and to 1 */

static bool at_most(double value, double limit)
{
    return value <= limit + TOLERANCE * fmax(1.0, fabs(limit)) * 1e-3 ||
           value <= limit * (1.0 + TOLERANCE);
}

static bool equal(double a, double b)
{
    return fabs(a - b) <= TOLERANCE * fmax(1.0, fmax(fabs(a), fabs(b)));
}

static double quality_at(const es_curve *curve, double work)
{
    if (work <= 0.0)
        return curve->quality[0];
    for (uint32_t i = 1; i < curve->point_count; i++)
        if (work <= curve->work[i])
            return curve->quality[i - 1] + (curve->quality[i] - curve->quality[i - 1]) *
                                               (work - curve->work[i - 1]) /
                                               (curve->work[i] - curve->work[i - 1]);
    return curve->quality[curve->point_count - 1];
}

/* What watts from start to end take from each budget, period by period. */
static void add_use(const es_machine *machine, double watts, double start_s, double end_s,
                    double used[ES_BUDGET_COUNT])
{
    for (uint32_t p = 0; p < machine->period_count; p++) {
        const es_period *period = &machine->periods[p];
        double until =
            p + 1 < machine->period_count ? machine->periods[p + 1].start_s : (double)INFINITY;
        double joules = watts * fmax(fmin(end_s, until) - fmax(start_s, period->start_s), 0.0);
        used[ES_BUDGET_ENERGY] += joules;
        used[ES_BUDGET_CARBON] += joules * period->carbon_g_per_j;
        used[ES_BUDGET_PRICE] += joules * period->price_per_j;
    }
}

static es_status check_task(const es_tasks *tasks, const es_machines *machines,
                            const es_schedule *schedule, uint32_t i, double used[ES_BUDGET_COUNT],
                            es_error *err)
{
    const es_schedule_entry *entry = &schedule->entries[i];
    const es_tasks_task *task = &tasks->tasks[i];
    const es_curve *curve = &tasks->curves[task->curve];
    double work_max = curve->work[curve->point_count - 1];
    if (!(entry->work >= 0.0 && at_most(entry->work, work_max)))
        return es_fail(err, ES_ERR_ARG, "task %u: work %g must be in 0..%g", i, entry->work,
                       work_max);
    if (!equal(entry->quality, quality_at(curve, entry->work)))
        return es_fail(err, ES_ERR_ARG, "task %u: quality %g, but its curve says %g at work %g", i,
                       entry->quality, quality_at(curve, entry->work), entry->work);
    bool point = false;
    for (uint32_t k = 0; k < curve->point_count; k++)
        point = point || equal(entry->work, curve->work[k]);
    if (schedule->discrete && schedule->method != ES_SCHEDULE_FRACTIONAL && !point)
        return es_fail(err, ES_ERR_ARG, "task %u: work %g is no point of its curve", i,
                       entry->work);
    if (schedule->method == ES_SCHEDULE_FRACTIONAL)
        return ES_OK;
    if (entry->machine == UINT32_MAX)
        return entry->work > 0.0
                   ? es_fail(err, ES_ERR_ARG, "task %u: work %g on no machine", i, entry->work)
                   : ES_OK;
    if (entry->machine >= machines->machine_count)
        return es_fail(err, ES_ERR_ARG, "task %u: there is no machine %u", i, entry->machine);
    const es_machine *machine = &machines->machines[entry->machine];
    double sent_s = task->arrival_s + machine->latency_s;
    if (machine->bandwidth_bps > 0.0)
        sent_s += 8.0 * task->input_bytes / machine->bandwidth_bps;
    if (!equal(entry->work, machine->speed_per_s * (entry->end_s - entry->start_s)))
        return es_fail(err, ES_ERR_ARG, "task %u: %g s on '%s' are not work %g", i,
                       entry->end_s - entry->start_s, machine->name, entry->work);
    if (!at_most(fmax(sent_s, machine->open_s), entry->start_s))
        return es_fail(err, ES_ERR_ARG, "task %u: starts at %g s, '%s' can have it at %g s", i,
                       entry->start_s, machine->name, fmax(sent_s, machine->open_s));
    if (!at_most(entry->end_s + machine->latency_s, task->deadline_s) ||
        !at_most(entry->end_s, machine->close_s))
        return es_fail(err, ES_ERR_ARG,
                       "task %u: ends at %g s on '%s', answered at %g s; its deadline is %g s, the "
                       "machine closes at %g s",
                       i, entry->end_s, machine->name, entry->end_s + machine->latency_s,
                       task->deadline_s, machine->close_s);
    add_use(machine, machine->busy_w - machine->idle_w, entry->start_s, entry->end_s, used);
    double sent_j = machine->energy_j_per_bit * 8.0 * task->input_bytes;
    add_use(machine, sent_j / fmax(entry->end_s - entry->start_s, 1e-300), entry->start_s,
            entry->end_s, used);
    return ES_OK;
}

typedef struct run {
    uint32_t machine, task;
    double start_s, end_s;
} run;

static int by_start(const void *a, const void *b)
{
    const run *left = a;
    const run *right = b;
    if (left->machine != right->machine)
        return left->machine < right->machine ? -1 : 1;
    if (left->start_s != right->start_s)
        return left->start_s < right->start_s ? -1 : 1;
    if (left->end_s != right->end_s)
        return left->end_s < right->end_s ? -1 : 1;
    return (left->task > right->task) - (left->task < right->task);
}

static es_status check_overlaps(const es_schedule *schedule, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)4 << 30);
    run *runs = arena != NULL ? ES_TAKE_ARRAY(arena, run, schedule->task_count) : NULL;
    if (runs == NULL)
        return es_fail(err, ES_ERR_NOMEM, "schedule: no memory to check");
    uint32_t count = 0;
    for (uint32_t i = 0; i < schedule->task_count; i++) {
        const es_schedule_entry *entry = &schedule->entries[i];
        if (entry->machine != UINT32_MAX)
            runs[count++] = (run){entry->machine, i, entry->start_s, entry->end_s};
    }
    qsort(runs, count, sizeof *runs, by_start);
    for (uint32_t k = 1; k < count; k++)
        if (runs[k].machine == runs[k - 1].machine && !at_most(runs[k - 1].end_s, runs[k].start_s))
            return es_fail(err, ES_ERR_ARG,
                           "tasks %u and %u overlap on machine %u: one ends at %g s, the other "
                           "starts at %g s",
                           runs[k - 1].task, runs[k].task, runs[k].machine, runs[k - 1].end_s,
                           runs[k].start_s);
    return ES_OK;
}

static es_status check_sums(const es_machines *machines, const es_schedule *schedule,
                            double horizon_s, const double *used, es_error *err)
{
    double idle[ES_BUDGET_COUNT] = {0};
    for (uint32_t r = 0; r < machines->machine_count; r++)
        add_use(&machines->machines[r], machines->machines[r].idle_w, 0.0, horizon_s, idle);
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        if (schedule->method != ES_SCHEDULE_FRACTIONAL &&
            !equal(schedule->used[b], used[b] + idle[b]))
            return es_fail(err, ES_ERR_ARG, "%s used is %g %s, the schedule says %g",
                           es_budget_names[b], used[b] + idle[b], es_budget_units[b],
                           schedule->used[b]);
        if (!at_most(schedule->used[b], schedule->budgets[b]))
            return es_fail(err, ES_ERR_ARG, "%s used, %g %s, is over its budget of %g",
                           es_budget_names[b], schedule->used[b], es_budget_units[b],
                           schedule->budgets[b]);
    }
    double quality = 0.0;
    for (uint32_t i = 0; i < schedule->task_count; i++)
        quality += schedule->entries[i].quality;
    if (!equal(quality, schedule->quality))
        return es_fail(err, ES_ERR_ARG, "qualities sum up to %g, the schedule says %g", quality,
                       schedule->quality);
    if (!at_most(schedule->quality, schedule->bound))
        return es_fail(err, ES_ERR_ARG, "quality %g is above its bound %g", schedule->quality,
                       schedule->bound);
    return ES_OK;
}

es_status es_schedule_check(const es_tasks *tasks, const es_machines *machines,
                            const es_schedule *schedule, es_error *err)
{
    double used[ES_BUDGET_COUNT] = {0};
    double horizon_s = 0.0;
    if (schedule->task_count != tasks->task_count ||
        schedule->machine_count != machines->machine_count)
        return es_fail(err, ES_ERR_ARG, "the schedule is for %u tasks on %u machines, not %u on %u",
                       schedule->task_count, schedule->machine_count, tasks->task_count,
                       machines->machine_count);
    for (uint32_t i = 0; i < tasks->task_count; i++) {
        horizon_s = fmax(horizon_s, tasks->tasks[i].deadline_s);
        ES_TRY(check_task(tasks, machines, schedule, i, used, err));
    }
    if (schedule->method != ES_SCHEDULE_FRACTIONAL)
        ES_TRY(check_overlaps(schedule, err));
    return check_sums(machines, schedule, horizon_s, used, err);
}
