/* Tasks that arrive over time: rolling re-optimisation, held against the clairvoyant. */
#include "schedule/internal.h"

#include <math.h>

/* Beyond this many (task, interval) pairs the bound ignores arrivals. */
static const size_t PAIRS_MAX = 150000;
static const double LP_TIME_S = 60.0;

es_online_opts es_online_opts_default(void)
{
    es_online_opts opts = {.schedule = es_schedule_opts_default(), .pace = 1.0};
    opts.schedule.method = ES_SCHEDULE_APPROX;
    return opts;
}

typedef struct rolling {
    const es_tasks *tasks;
    const es_machines *machines;
    const es_online_opts *opts;
    double horizon_s;
    double budget[ES_BUDGET_COUNT]; /* what idle leaves, for the whole horizon */
    double spent[ES_BUDGET_COUNT];
    double *free_s; /* [machine_count] */
    bool *started;  /* [task_count] */
    bool *keep;     /* [task_count] known, not started, not over */
    es_schedule_entry *entries;
    double *busy_s;
    es_error *err;
} rolling;

/* What the plan may spend: the share released until the last deadline it covers. */
static void release(const rolling *r, double until_s, double out[ES_BUDGET_COUNT])
{
    double share = 1.0 - r->opts->pace + r->opts->pace * fmin(1.0, until_s / r->horizon_s);
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        out[b] = isfinite(r->budget[b]) ? fmax(share * r->budget[b] - r->spent[b], 0.0)
                                        : (double)INFINITY;
}

static void start(rolling *r, const es_instance *instance, const es_assigned *assigned, uint32_t j,
                  double start_s)
{
    const es_cell *cell = &instance->cells[assigned->cell_of[j]];
    uint32_t number = instance->order[j];
    es_schedule_entry *entry = &r->entries[number];
    double time_s = assigned->work[j] / cell->speed;
    entry->machine = cell->machine;
    entry->start_s = start_s;
    entry->end_s = start_s + time_s;
    entry->work = assigned->work[j];
    entry->quality += es_instance_gain(instance, j, assigned->work[j]);
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        double use = time_s * cell->use_per_s[b] + cell->use_per_bit[b] * instance->input_bits[j];
        r->spent[b] += use;
        if (b == ES_BUDGET_ENERGY)
            entry->energy_j = use;
    }
    r->busy_s[cell->machine] += time_s;
    r->free_s[cell->machine] = fmax(r->free_s[cell->machine], entry->end_s);
    r->started[number] = true;
}

/* Plans everything known at now_s and starts what is due before next_s. */
static es_status step(rolling *r, double now_s, double next_s)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(r->err, ES_ERR_NOMEM, "schedule: no memory");
    double until_s = 0.0;
    for (uint32_t i = 0; i < r->tasks->task_count; i++) {
        const es_tasks_task *task = &r->tasks->tasks[i];
        r->keep[i] = !r->started[i] && task->arrival_s <= now_s && task->deadline_s > now_s;
        if (r->keep[i])
            until_s = fmax(until_s, task->deadline_s);
    }
    double budgets[ES_BUDGET_COUNT];
    release(r, until_s, budgets);
    es_instance_spec spec = {.tasks = r->tasks,
                             .machines = r->machines,
                             .budgets = budgets,
                             .keep = r->keep,
                             .free_s = r->free_s,
                             .now_s = now_s};
    es_instance instance;
    es_assigned assigned = {0};
    double bound;
    ES_TRY(es_instance_build(scratch, &spec, &instance, r->err));
    if (instance.task_count == 0)
        return ES_OK;
    ES_TRY(es_instance_solve(scratch, &instance, &r->opts->schedule, &assigned, &bound, r->err));
    double *load_s = ES_TAKE_ARRAY(scratch, double, instance.cell_count);
    if (load_s == NULL)
        return es_arena_full(scratch, "schedule", r->err);
    for (uint32_t j = 0; j < instance.task_count; j++) {
        uint32_t c = assigned.cell_of[j];
        if (c == ES_NOWHERE || assigned.work[j] <= 0.0)
            continue;
        double start_s = instance.cells[c].open_s + load_s[c];
        load_s[c] += assigned.work[j] / instance.cells[c].speed;
        if (start_s < next_s)
            start(r, &instance, &assigned, j, start_s);
    }
    return ES_OK;
}

static int by_value(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;
    return (*left > *right) - (*left < *right);
}

static uint32_t drop_equal(double *values, uint32_t count)
{
    uint32_t kept = 0;
    qsort(values, count, sizeof *values, by_value);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || values[i] > values[kept - 1])
            values[kept++] = values[i];
    return kept;
}

/* ---- the clairvoyant's bound ---- */

/* Columns: segments; work of task j in interval l; busy seconds of cell c in interval l. */
typedef struct bound_lp {
    es_arena *arena;
    const es_instance *instance;
    const es_tasks *tasks;
    double *events;
    uint32_t interval_count;
    ES_ARRAY(double) gain, upper;
    ES_ARRAY(es_lp_term) terms;
    es_error *err;
} bound_lp;

static es_status add_col(bound_lp *l, double gain, double upper)
{
    ES_TRY(ES_ARRAY_PUSH(l->arena, &l->gain, gain, "columns", l->err));
    return ES_ARRAY_PUSH(l->arena, &l->upper, upper, "columns", l->err);
}

static es_status add_term(bound_lp *l, uint32_t row, double value)
{
    es_lp_term term = {row, (uint32_t)l->gain.count - 1, value};
    return ES_ARRAY_PUSH(l->arena, &l->terms, term, "terms", l->err);
}

static es_status list_events(bound_lp *l)
{
    const es_instance *in = l->instance;
    size_t most = 2 * (size_t)in->task_count + 2 * (size_t)in->cell_count;
    l->events = ES_TAKE_ARRAY(l->arena, double, most);
    if (l->events == NULL)
        return es_arena_full(l->arena, "events", l->err);
    uint32_t count = 0;
    for (uint32_t j = 0; j < in->task_count; j++) {
        l->events[count++] = l->tasks->tasks[in->order[j]].arrival_s;
        l->events[count++] = in->deadline[j];
    }
    for (uint32_t c = 0; c < in->cell_count; c++) {
        l->events[count++] = in->cells[c].open_s;
        l->events[count++] = in->cells[c].close_s;
    }
    count = drop_equal(l->events, count);
    l->interval_count = count > 0 ? count - 1 : 0;
    return ES_OK;
}

/* Rows: work of each task, then supply of each interval, then budgets. */
static es_status fill(bound_lp *l, bool *out_small)
{
    const es_instance *in = l->instance;
    uint32_t n = in->task_count;
    size_t pairs = 0;
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t s = in->first[j]; s < in->first[j + 1]; s++) {
            ES_TRY(add_col(l, in->slope[s], in->length[s]));
            ES_TRY(add_term(l, j, 1.0));
        }
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t i = 0; i < l->interval_count; i++) {
            if (l->events[i] < l->tasks->tasks[in->order[j]].arrival_s ||
                l->events[i + 1] > in->deadline[j])
                continue;
            if (++pairs > PAIRS_MAX) {
                *out_small = false;
                return ES_OK;
            }
            ES_TRY(add_col(l, 0.0, (double)INFINITY));
            ES_TRY(add_term(l, j, -1.0));
            ES_TRY(add_term(l, n + i, 1.0));
        }
    for (uint32_t c = 0; c < in->cell_count; c++)
        for (uint32_t i = 0; i < l->interval_count; i++) {
            if (l->events[i] < in->cells[c].open_s || l->events[i + 1] > in->cells[c].close_s)
                continue;
            ES_TRY(add_col(l, 0.0, l->events[i + 1] - l->events[i]));
            ES_TRY(add_term(l, n + i, -in->cells[c].speed));
            for (uint32_t b = 0; b < ES_BUDGET_COUNT; b++)
                if (isfinite(in->budget[b]) && in->cells[c].use_per_s[b] > 0.0)
                    ES_TRY(add_term(l, n + l->interval_count + b, in->cells[c].use_per_s[b]));
        }
    *out_small = true;
    return ES_OK;
}

static es_status solve_bound(bound_lp *l, double *out_gain)
{
    const es_instance *in = l->instance;
    uint32_t rows = in->task_count + l->interval_count + ES_BUDGET_COUNT;
    double *lower = ES_TAKE_ARRAY(l->arena, double, l->gain.count);
    double *row_lower = ES_TAKE_ARRAY(l->arena, double, rows);
    double *row_upper = ES_TAKE_ARRAY(l->arena, double, rows);
    if (lower == NULL || row_lower == NULL || row_upper == NULL)
        return es_arena_full(l->arena, "linear program", l->err);
    for (uint32_t i = in->task_count; i < rows; i++)
        row_lower[i] = -(double)INFINITY;
    memcpy(row_upper + in->task_count + l->interval_count, in->budget, sizeof in->budget);
    es_lp_spec spec = {.row_count = rows,
                       .col_count = (uint32_t)l->gain.count,
                       .gain = l->gain.items,
                       .lower = lower,
                       .upper = l->upper.items,
                       .row_lower = row_lower,
                       .row_upper = row_upper,
                       .term_count = l->terms.count,
                       .terms = l->terms.items};
    ES_CLEANUP(es_lp_free_p) es_lp *lp = NULL;
    ES_TRY(es_lp_new(&spec, &lp, l->err));
    if (es_lp_solve(lp, LP_TIME_S) == ES_LP_OPTIMAL)
        *out_gain = es_lp_objective(lp) * (1.0 + 1e-9);
    return ES_OK;
}

/* Of the gain: the fractional relaxation without arrivals, or the linear program that knows them.
 */
static es_status find_bound(es_arena *scratch, const es_tasks *tasks, const es_instance *instance,
                            double *out_gain, bool *out_tight, es_error *err)
{
    es_fractional loose;
    ES_TRY(es_fractional_solve(scratch, instance, 1e-8, &loose, err));
    *out_gain = loose.bound;
    bound_lp l = {.arena = scratch, .instance = instance, .tasks = tasks, .err = err};
    bool small = false;
    double gain = (double)NAN;
    if ((size_t)instance->task_count > PAIRS_MAX)
        return ES_OK;
    ES_TRY(list_events(&l));
    ES_TRY(fill(&l, &small));
    if (small)
        ES_TRY(solve_bound(&l, &gain));
    *out_tight = !isnan(gain);
    if (*out_tight)
        *out_gain = fmin(*out_gain, gain);
    return ES_OK;
}

static es_status prepare(es_arena *arena, rolling *r, es_instance *whole, es_arena *scratch)
{
    es_instance_spec spec = {.tasks = r->tasks,
                             .machines = r->machines,
                             .budgets = r->opts->schedule.budgets,
                             .charge_idle = true};
    ES_TRY(es_instance_build(scratch, &spec, whole, r->err));
    memcpy(r->budget, whole->budget, sizeof r->budget);
    r->horizon_s = whole->horizon_s;
    r->entries = ES_TAKE_ARRAY(arena, es_schedule_entry, r->tasks->task_count);
    r->busy_s = ES_TAKE_ARRAY(arena, double, r->machines->machine_count);
    r->free_s = ES_TAKE_ARRAY(scratch, double, r->machines->machine_count);
    r->started = ES_TAKE_ARRAY(scratch, bool, r->tasks->task_count);
    r->keep = ES_TAKE_ARRAY(scratch, bool, r->tasks->task_count);
    if (r->entries == NULL || r->busy_s == NULL || r->free_s == NULL || r->started == NULL ||
        r->keep == NULL)
        return es_arena_full(arena, "schedule", r->err);
    for (uint32_t i = 0; i < r->tasks->task_count; i++)
        r->entries[i] =
            (es_schedule_entry){.machine = ES_NOWHERE,
                                .start_s = (double)NAN,
                                .end_s = (double)NAN,
                                .quality = r->tasks->curves[r->tasks->tasks[i].curve].quality[0]};
    return ES_OK;
}

static es_status roll(rolling *r, es_arena *scratch, uint32_t *out_steps)
{
    double *times = ES_TAKE_ARRAY(scratch, double, r->tasks->task_count);
    if (times == NULL)
        return es_arena_full(scratch, "arrivals", r->err);
    for (uint32_t i = 0; i < r->tasks->task_count; i++)
        times[i] = r->tasks->tasks[i].arrival_s;
    uint32_t count = drop_equal(times, r->tasks->task_count);
    for (uint32_t i = 0; i < count; i++)
        ES_TRY(step(r, times[i], i + 1 < count ? times[i + 1] : (double)INFINITY));
    *out_steps = count;
    return ES_OK;
}

static es_status make_result(es_arena *arena, const rolling *r, const es_instance *whole,
                             double bound_gain, es_online_result *out)
{
    es_schedule *schedule = ES_TAKE_ONE(arena, es_schedule);
    if (schedule == NULL)
        return es_arena_full(arena, "schedule", r->err);
    *schedule = (es_schedule){.method = ES_SCHEDULE_APPROX,
                              .discrete = r->opts->schedule.discrete,
                              .task_count = r->tasks->task_count,
                              .entries = r->entries,
                              .machine_count = r->machines->machine_count,
                              .busy_s = r->busy_s};
    memcpy(schedule->budgets, r->opts->schedule.budgets, sizeof schedule->budgets);
    memcpy(schedule->used_idle, whole->idle_use, sizeof schedule->used_idle);
    memcpy(schedule->full, whole->full_use, sizeof schedule->full);
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        schedule->used[b] = whole->idle_use[b] + r->spent[b];
    for (uint32_t i = 0; i < r->tasks->task_count; i++)
        schedule->quality += r->entries[i].quality;
    schedule->bound = fmax(whole->quality_zero + bound_gain, schedule->quality);
    schedule->gap_relative =
        schedule->bound > 0.0 ? 1.0 - schedule->quality / schedule->bound : 0.0;
    out->schedule = schedule;
    double possible = schedule->bound - whole->quality_zero;
    out->ratio = possible > 0.0 ? (schedule->quality - whole->quality_zero) / possible : 1.0;
    return ES_OK;
}

es_status es_schedule_online(es_arena *arena, const es_tasks *tasks, const es_machines *machines,
                             es_online_opts opts, es_online_result *out_result, es_error *err)
{
    ES_TRY(es_schedule_expect(tasks, machines, &opts.schedule, true, err));
    if (!(opts.pace >= 0.0 && opts.pace <= 1.0))
        return es_fail(err, ES_ERR_ARG, "pace %g must be between 0 and 1", opts.pace);
    if (opts.schedule.method != ES_SCHEDULE_APPROX && opts.schedule.method != ES_SCHEDULE_AUTO)
        return es_fail(err, ES_ERR_ARG, "online schedules are planned by approx, not by %s",
                       es_schedule_method_names[opts.schedule.method]);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "schedule: no memory");
    opts.schedule.method = ES_SCHEDULE_APPROX;
    rolling r = {.tasks = tasks, .machines = machines, .opts = &opts, .err = err};
    es_instance whole;
    es_online_result result = {0};
    double bound_gain = 0.0;
    ES_TRY(prepare(arena, &r, &whole, scratch));
    ES_TRY(roll(&r, scratch, &result.replan_count));
    ES_TRY(find_bound(scratch, tasks, &whole, &bound_gain, &result.tight, err));
    ES_TRY(make_result(arena, &r, &whole, bound_gain, &result));
    *out_result = result;
    return ES_OK;
}
