/* Lays tasks and machines out as arrays. */
#include "schedule/internal.h"

#include <math.h>

typedef struct key {
    double deadline;
    uint32_t number;
} key;

static int by_deadline(const void *a, const void *b)
{
    const key *left = a;
    const key *right = b;
    if (left->deadline != right->deadline)
        return left->deadline < right->deadline ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

static es_status sort_tasks(es_arena *arena, const es_instance_spec *spec, es_instance *instance,
                            es_error *err)
{
    const es_tasks *tasks = spec->tasks;
    key *keys = ES_TAKE_ARRAY(arena, key, tasks->task_count);
    uint32_t *order = ES_TAKE_ARRAY(arena, uint32_t, tasks->task_count);
    double *deadline = ES_TAKE_ARRAY(arena, double, tasks->task_count);
    double *bits = ES_TAKE_ARRAY(arena, double, tasks->task_count);
    if (keys == NULL || order == NULL || deadline == NULL || bits == NULL)
        return es_arena_full(arena, "tasks", err);
    uint32_t count = 0;
    for (uint32_t i = 0; i < tasks->task_count; i++)
        if (spec->keep == NULL || spec->keep[i])
            keys[count++] = (key){tasks->tasks[i].deadline_s, i};
    qsort(keys, count, sizeof *keys, by_deadline);
    for (uint32_t j = 0; j < count; j++) {
        order[j] = keys[j].number;
        deadline[j] = keys[j].deadline;
        bits[j] = 8.0 * tasks->tasks[order[j]].input_bytes;
        instance->horizon_s = fmax(instance->horizon_s, deadline[j]);
    }
    if (spec->horizon_s > 0.0)
        instance->horizon_s = spec->horizon_s;
    instance->task_count = count;
    instance->order = order;
    instance->deadline = deadline;
    instance->input_bits = bits;
    return ES_OK;
}

static es_status lay_segments(es_arena *arena, const es_instance_spec *spec, es_instance *instance,
                              es_error *err)
{
    const es_tasks *tasks = spec->tasks;
    uint32_t *first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)instance->task_count + 1);
    if (first == NULL)
        return es_arena_full(arena, "tasks", err);
    size_t total = 0;
    for (uint32_t j = 0; j < instance->task_count; j++) {
        const es_curve *curve = &tasks->curves[tasks->tasks[instance->order[j]].curve];
        first[j] = (uint32_t)total;
        total += curve->point_count - 1;
        if (total >= UINT32_MAX / 2)
            return es_fail(err, ES_ERR_LIMIT, "schedule: more than %u segments", UINT32_MAX / 2);
    }
    first[instance->task_count] = (uint32_t)total;
    double *length = ES_TAKE_ARRAY(arena, double, total);
    double *slope = ES_TAKE_ARRAY(arena, double, total);
    if (length == NULL || slope == NULL)
        return es_arena_full(arena, "segments", err);
    for (uint32_t j = 0; j < instance->task_count; j++) {
        const es_curve *curve = &tasks->curves[tasks->tasks[instance->order[j]].curve];
        instance->quality_zero += curve->quality[0];
        for (uint32_t k = 0; k + 1 < curve->point_count; k++) {
            double work = curve->work[k + 1] - curve->work[k];
            length[first[j] + k] = work;
            slope[first[j] + k] = (curve->quality[k + 1] - curve->quality[k]) / work;
            /* Rounding must not make a straight line bend upwards. */
            if (k > 0)
                slope[first[j] + k] = fmin(slope[first[j] + k], slope[first[j] + k - 1]);
        }
    }
    instance->first = first;
    instance->length = length;
    instance->slope = slope;
    return ES_OK;
}

/* What one joule of a period takes from each budget. */
static void rates_of(const es_period *period, double rates[ES_BUDGET_COUNT])
{
    rates[ES_BUDGET_ENERGY] = 1.0;
    rates[ES_BUDGET_CARBON] = period->carbon_g_per_j;
    rates[ES_BUDGET_PRICE] = period->price_per_j;
}

/* The largest input takes this long to reach machine. */
static double transfer_s(const es_instance *instance, const es_machine *machine)
{
    double bits = 0.0;
    for (uint32_t j = 0; j < instance->task_count; j++)
        bits = fmax(bits, instance->input_bits[j]);
    return machine->latency_s +
           (machine->bandwidth_bps > 0.0 ? bits / machine->bandwidth_bps : 0.0);
}

static void add_idle(es_instance *instance, const es_machine *machine, const es_period *period,
                     double from_s, double until_s)
{
    double rates[ES_BUDGET_COUNT];
    rates_of(period, rates);
    double length = fmax(fmin(until_s, instance->horizon_s) - from_s, 0.0);
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        instance->idle_use[b] += machine->idle_w * rates[b] * length;
}

static void add_cells(const es_instance_spec *spec, uint32_t number, es_cell *cells,
                      es_instance *instance)
{
    const es_machine *machine = &spec->machines->machines[number];
    double open = fmax(machine->open_s, spec->now_s + transfer_s(instance, machine));
    if (spec->free_s != NULL)
        open = fmax(open, spec->free_s[number]);
    for (uint32_t p = 0; p < machine->period_count; p++) {
        const es_period *period = &machine->periods[p];
        bool last = p + 1 == machine->period_count;
        double until = last ? (double)INFINITY : machine->periods[p + 1].start_s;
        add_idle(instance, machine, period, period->start_s, until);
        es_cell cell = {.machine = number,
                        .open_s = fmax(open, period->start_s),
                        .close_s = fmin(until, fmin(machine->close_s, instance->horizon_s)),
                        .back_s = machine->latency_s,
                        .speed = machine->speed_per_s};
        double rates[ES_BUDGET_COUNT];
        rates_of(period, rates);
        double busy_s = fmax(cell.close_s - cell.open_s, 0.0);
        for (int b = 0; b < ES_BUDGET_COUNT; b++) {
            cell.use_per_s[b] = (machine->busy_w - machine->idle_w) * rates[b];
            cell.use_per_bit[b] = machine->energy_j_per_bit * rates[b];
            instance->networked = instance->networked || cell.use_per_bit[b] > 0.0;
            instance->full_use[b] += cell.use_per_s[b] * busy_s;
        }
        if (busy_s > 0.0)
            cells[instance->cell_count++] = cell;
    }
}

static es_status take_idle(const es_instance_spec *spec, es_instance *instance, es_error *err)
{
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        instance->full_use[b] += instance->idle_use[b];
        instance->budget[b] = spec->budgets[b] - (spec->charge_idle ? instance->idle_use[b] : 0.0);
        if (instance->budget[b] < -1e-9 * (1.0 + instance->idle_use[b]))
            return es_fail(err, ES_ERR_ARG,
                           "%s budget %g %s is less than idle machines draw until %g s: %.6g %s",
                           es_budget_names[b], spec->budgets[b], es_budget_units[b],
                           instance->horizon_s, instance->idle_use[b], es_budget_units[b]);
        instance->budget[b] = fmax(instance->budget[b], 0.0);
    }
    return ES_OK;
}

es_status es_instance_build(es_arena *arena, const es_instance_spec *spec,
                            es_instance *out_instance, es_error *err)
{
    es_instance instance = {0};
    ES_TRY(sort_tasks(arena, spec, &instance, err));
    ES_TRY(lay_segments(arena, spec, &instance, err));
    size_t most = 0;
    for (uint32_t r = 0; r < spec->machines->machine_count; r++)
        most += spec->machines->machines[r].period_count;
    es_cell *cells = ES_TAKE_ARRAY(arena, es_cell, most);
    if (cells == NULL)
        return es_arena_full(arena, "machines", err);
    for (uint32_t r = 0; r < spec->machines->machine_count; r++)
        add_cells(spec, r, cells, &instance);
    instance.cells = cells;
    ES_TRY(take_idle(spec, &instance, err));
    *out_instance = instance;
    return ES_OK;
}

double es_instance_gain(const es_instance *instance, uint32_t place, double work)
{
    double gain = 0.0;
    for (uint32_t s = instance->first[place]; s < instance->first[place + 1] && work > 0.0; s++) {
        double part = fmin(work, instance->length[s]);
        gain += part * instance->slope[s];
        work -= part;
    }
    return gain;
}

double es_instance_work_max(const es_instance *instance, uint32_t place)
{
    double work = 0.0;
    for (uint32_t s = instance->first[place]; s < instance->first[place + 1]; s++)
        work += instance->length[s];
    return work;
}

void es_instance_price_max(const es_instance *instance, double price_max[ES_BUDGET_COUNT])
{
    double slope = 0.0;
    for (uint32_t s = 0; s < instance->first[instance->task_count]; s++)
        slope = fmax(slope, instance->slope[s]);
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        price_max[b] = 0.0;
        for (uint32_t c = 0; c < instance->cell_count; c++)
            if (instance->cells[c].use_per_s[b] > 0.0)
                price_max[b] = fmax(price_max[b], slope * instance->cells[c].speed /
                                                      instance->cells[c].use_per_s[b]);
        price_max[b] *= 1.0 + 1e-9;
    }
}
