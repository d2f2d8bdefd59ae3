/* Chooses and runs the method, and turns its answer into a schedule. */
#include "schedule/internal.h"

#include <math.h>

/* Up to this many (task, cell) pairs AUTO tries to prove the optimum. */
static const size_t EXACT_PAIRS_MAX = 60;
static const double OPTIMAL_GAP = 1e-9;

es_schedule_opts es_schedule_opts_default(void)
{
    return (es_schedule_opts){
        .method = ES_SCHEDULE_AUTO,
        .budgets = {(double)INFINITY, (double)INFINITY, (double)INFINITY},
        .gap_relative = 1e-6,
        .time_limit_s = 60.0,
    };
}

es_status es_schedule_expect(const es_tasks *tasks, const es_machines *machines,
                             const es_schedule_opts *opts, bool online, es_error *err)
{
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        if (!(opts->budgets[b] >= 0.0))
            return es_fail(err, ES_ERR_ARG, "%s budget %g %s must be >= 0", es_budget_names[b],
                           opts->budgets[b], es_budget_units[b]);
    if (!(opts->gap_relative >= 0.0 && opts->time_limit_s > 0.0))
        return es_fail(err, ES_ERR_ARG, "gap %g must be >= 0 and time limit %g s > 0",
                       opts->gap_relative, opts->time_limit_s);
    if (opts->method >= ES_SCHEDULE_METHOD_COUNT)
        return es_fail(err, ES_ERR_ARG, "unknown method %d", (int)opts->method);
    if (opts->discrete && opts->method >= ES_SCHEDULE_EDF)
        return es_fail(err, ES_ERR_ARG, "method %s knows no points of curves",
                       es_schedule_method_names[opts->method]);
    if (machines->machine_count == 0)
        return es_fail(err, ES_ERR_ARG, "there is no machine");
    for (uint32_t i = 0; !online && i < tasks->task_count; i++)
        if (tasks->tasks[i].arrival_s > 0.0)
            return es_fail(err, ES_ERR_ARG,
                           "task %u arrives at %g s: only an online schedule takes tasks that "
                           "arrive later",
                           i, tasks->tasks[i].arrival_s);
    return ES_OK;
}

/* Large instances need no more digits than people read. */
static double search_gap(const es_instance *instance)
{
    return instance->first[instance->task_count] > 100000 ? 1e-6 : 1e-10;
}

es_status es_instance_solve(es_arena *arena, const es_instance *instance,
                            const es_schedule_opts *opts, es_assigned *out, double *out_bound,
                            es_error *err)
{
    es_fractional fractional;
    es_clock *clock = opts->clock != NULL ? opts->clock : es_clock_system();
    es_limit limit = {clock, es_clock_now_ns(clock) + es_ns_from_s(opts->time_limit_s)};
    double gap = search_gap(instance);
    ES_TRY(es_fractional_solve(arena, instance, gap, &fractional, err));
    ES_TRY(es_round_solve(arena, instance, &fractional, gap, out, err));
    ES_TRY(es_improve_run(instance, &fractional, gap, &limit, out, err));
    *out_bound = fmax(fractional.bound, out->gain);
    if (opts->discrete)
        ES_TRY(es_discrete_round(arena, instance, out, err));
    bool small = (size_t)instance->task_count * instance->cell_count <= EXACT_PAIRS_MAX;
    if (opts->method == ES_SCHEDULE_EXACT || (opts->method == ES_SCHEDULE_AUTO && small))
        ES_TRY(es_exact_solve(arena, instance, opts->discrete, opts->gap_relative, &limit, out,
                              out_bound, err));
    return ES_OK;
}

static es_schedule *new_schedule(es_arena *arena, const es_tasks *tasks,
                                 const es_machines *machines, const es_instance *instance,
                                 const es_schedule_opts *opts)
{
    es_schedule *out = ES_TAKE_ONE(arena, es_schedule);
    if (out == NULL)
        return NULL;
    out->method = opts->method;
    out->discrete = opts->discrete;
    out->task_count = tasks->task_count;
    out->machine_count = machines->machine_count;
    memcpy(out->budgets, opts->budgets, sizeof out->budgets);
    memcpy(out->used_idle, instance->idle_use, sizeof out->used_idle);
    memcpy(out->used, instance->idle_use, sizeof out->used);
    memcpy(out->full, instance->full_use, sizeof out->full);
    return out;
}

static void fill_entry(const es_instance *instance, const es_assigned *assigned, uint32_t j,
                       double *load_s, double *busy_s, es_schedule *out, es_schedule_entry *entry)
{
    const es_cell *cell = &instance->cells[assigned->cell_of[j]];
    double time_s = assigned->work[j] / cell->speed;
    entry->machine = cell->machine;
    entry->start_s = cell->open_s + load_s[assigned->cell_of[j]];
    load_s[assigned->cell_of[j]] += time_s;
    entry->end_s = cell->open_s + load_s[assigned->cell_of[j]];
    busy_s[cell->machine] += time_s;
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        double use = time_s * cell->use_per_s[b] + cell->use_per_bit[b] * instance->input_bits[j];
        out->used[b] += use;
        if (b == ES_BUDGET_ENERGY)
            entry->energy_j = use;
    }
}

/* Each cell runs its tasks in sequence from when it opens, without gaps. */
static es_status make_schedule(es_arena *arena, const es_tasks *tasks, const es_instance *instance,
                               const es_assigned *assigned, const uint32_t *sequence,
                               es_schedule *out, es_error *err)
{
    es_schedule_entry *entries = ES_TAKE_ARRAY(arena, es_schedule_entry, tasks->task_count);
    double *busy_s = ES_TAKE_ARRAY(arena, double, out->machine_count);
    double *load_s = ES_TAKE_ARRAY(arena, double, instance->cell_count);
    if (entries == NULL || busy_s == NULL || load_s == NULL)
        return es_arena_full(arena, "schedule", err);
    for (uint32_t i = 0; i < instance->task_count; i++) {
        uint32_t j = sequence != NULL ? sequence[i] : i;
        es_schedule_entry *entry = &entries[instance->order[j]];
        const es_curve *curve = &tasks->curves[tasks->tasks[instance->order[j]].curve];
        *entry = (es_schedule_entry){
            .machine = ES_NOWHERE, .start_s = (double)NAN, .end_s = (double)NAN};
        if (assigned->cell_of[j] != ES_NOWHERE && assigned->work[j] > 0.0) {
            entry->work = assigned->work[j];
            fill_entry(instance, assigned, j, load_s, busy_s, out, entry);
        }
        entry->quality = curve->quality[0] + es_instance_gain(instance, j, entry->work);
        out->quality += entry->quality;
    }
    out->entries = entries;
    out->busy_s = busy_s;
    return ES_OK;
}

static es_status make_fractional(es_arena *arena, const es_tasks *tasks,
                                 const es_instance *instance, const es_fractional *fractional,
                                 es_schedule *out, es_error *err)
{
    es_schedule_entry *entries = ES_TAKE_ARRAY(arena, es_schedule_entry, tasks->task_count);
    double *busy_s = ES_TAKE_ARRAY(arena, double, out->machine_count);
    if (entries == NULL || busy_s == NULL)
        return es_arena_full(arena, "schedule", err);
    for (uint32_t j = 0; j < instance->task_count; j++) {
        es_schedule_entry *entry = &entries[instance->order[j]];
        const es_curve *curve = &tasks->curves[tasks->tasks[instance->order[j]].curve];
        *entry = (es_schedule_entry){.machine = ES_NOWHERE,
                                     .start_s = (double)NAN,
                                     .end_s = (double)NAN,
                                     .work = fractional->work[j],
                                     .quality = curve->quality[0] +
                                                es_instance_gain(instance, j, fractional->work[j])};
        out->quality += entry->quality;
    }
    for (uint32_t c = 0; c < instance->cell_count; c++) {
        busy_s[instance->cells[c].machine] += fractional->busy_s[c];
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            out->used[b] += fractional->busy_s[c] * instance->cells[c].use_per_s[b];
    }
    out->entries = entries;
    out->busy_s = busy_s;
    return ES_OK;
}

static void judge(es_schedule *out, const es_instance *instance, double bound_gain,
                  double gap_relative)
{
    out->bound = fmax(instance->quality_zero + bound_gain, out->quality);
    out->gap_relative = out->bound > 0.0 ? (out->bound - out->quality) / out->bound : 0.0;
    out->optimal = out->method != ES_SCHEDULE_FRACTIONAL &&
                   out->gap_relative <= fmax(gap_relative, OPTIMAL_GAP);
}

static es_status solve_baseline(es_arena *arena, es_arena *scratch, const es_tasks *tasks,
                                const es_instance *instance, const es_schedule_opts *opts,
                                es_schedule *out, es_error *err)
{
    es_assigned assigned;
    es_fractional fractional;
    uint32_t *sequence = ES_TAKE_ARRAY(scratch, uint32_t, tasks->task_count);
    if (sequence == NULL)
        return es_arena_full(scratch, "baseline", err);
    ES_TRY(es_baseline_solve(scratch, instance, opts->method, &assigned, sequence, err));
    ES_TRY(make_schedule(arena, tasks, instance, &assigned, sequence, out, err));
    ES_TRY(es_fractional_solve(scratch, instance, search_gap(instance), &fractional, err));
    judge(out, instance, fractional.bound, opts->gap_relative);
    return ES_OK;
}

es_status es_schedule_solve(es_arena *arena, const es_tasks *tasks, const es_machines *machines,
                            es_schedule_opts opts, const es_schedule **out_schedule, es_error *err)
{
    ES_TRY(es_schedule_expect(tasks, machines, &opts, false, err));
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "schedule: no memory");
    es_instance instance;
    es_instance_spec spec = {
        .tasks = tasks, .machines = machines, .budgets = opts.budgets, .charge_idle = true};
    ES_TRY(es_instance_build(scratch, &spec, &instance, err));
    es_schedule *out = new_schedule(arena, tasks, machines, &instance, &opts);
    if (out == NULL)
        return es_arena_full(arena, "schedule", err);
    if (opts.method >= ES_SCHEDULE_EDF) {
        ES_TRY(solve_baseline(arena, scratch, tasks, &instance, &opts, out, err));
    } else if (opts.method == ES_SCHEDULE_FRACTIONAL) {
        es_fractional fractional;
        ES_TRY(es_fractional_solve(scratch, &instance, search_gap(&instance), &fractional, err));
        ES_TRY(make_fractional(arena, tasks, &instance, &fractional, out, err));
        judge(out, &instance, fractional.bound, opts.gap_relative);
    } else {
        es_assigned assigned = {0};
        double bound = 0.0;
        ES_TRY(es_instance_solve(scratch, &instance, &opts, &assigned, &bound, err));
        ES_TRY(make_schedule(arena, tasks, &instance, &assigned, NULL, out, err));
        judge(out, &instance, bound, opts.gap_relative);
        if (opts.method == ES_SCHEDULE_AUTO)
            out->method = (size_t)instance.task_count * instance.cell_count <= EXACT_PAIRS_MAX
                              ? ES_SCHEDULE_EXACT
                              : ES_SCHEDULE_APPROX;
    }
    *out_schedule = out;
    return ES_OK;
}

es_status es_schedule_full_use(const es_tasks *tasks, const es_machines *machines,
                               double full[ES_BUDGET_COUNT], double idle[ES_BUDGET_COUNT],
                               es_error *err)
{
    const double none[ES_BUDGET_COUNT] = {(double)INFINITY, (double)INFINITY, (double)INFINITY};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "schedule: no memory");
    es_instance instance;
    es_instance_spec spec = {.tasks = tasks, .machines = machines, .budgets = none};
    ES_TRY(es_instance_build(arena, &spec, &instance, err));
    memcpy(full, instance.full_use, sizeof instance.full_use);
    memcpy(idle, instance.idle_use, sizeof instance.idle_use);
    return ES_OK;
}

es_status es_schedule_sweep(const es_tasks *tasks, const es_machines *machines,
                            es_schedule_opts opts, es_budget which, uint32_t count,
                            es_schedule_point *points, es_error *err)
{
    ES_TRY(es_schedule_expect(tasks, machines, &opts, false, err));
    double full[ES_BUDGET_COUNT];
    double idle[ES_BUDGET_COUNT];
    ES_TRY(es_schedule_full_use(tasks, machines, full, idle, err));
    for (uint32_t i = 0; i < count; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
        if (arena == NULL)
            return es_fail(err, ES_ERR_NOMEM, "schedule: no memory");
        const es_schedule *schedule = NULL;
        points[i].share = (i + 1.0) / count;
        /* Idle draws come first: the share is of what the machines can spend beyond them. */
        opts.budgets[which] = idle[which] + points[i].share * (full[which] - idle[which]);
        ES_TRY(es_schedule_solve(arena, tasks, machines, opts, &schedule, err));
        assert(schedule != NULL);
        points[i].budget = opts.budgets[which];
        points[i].quality = schedule->quality;
        points[i].bound = schedule->bound;
        points[i].used = schedule->used[which];
    }
    return ES_OK;
}
