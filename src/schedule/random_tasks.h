/*
 * random_tasks: instances for tests and benchmarks.
 */
#ifndef ES_SCHEDULE_RANDOM_TASKS_H
#define ES_SCHEDULE_RANDOM_TASKS_H

#include "base/rng.h"
#include "schedule/internal.h"

#include <math.h>

typedef struct es_random_spec {
    uint32_t task_count, machine_count, segment_count;
    double tolerance;    /* last deadline / time all machines need for all work */
    double budget_share; /* of all machines busy throughout; >= 1: none */
    uint32_t period_count;
    double idle_w;
    double bytes; /* inputs up to this, every other machine behind a network; 0: none */
} es_random_spec;

/* A concave curve of falling random slopes from quality 0.1. */
static inline void es_random_curve(es_arena *arena, es_rng *rng, uint32_t segments, es_curve *out)
{
    double *work = ES_TAKE_ARRAY(arena, double, (size_t)segments + 1);
    double *quality = ES_TAKE_ARRAY(arena, double, (size_t)segments + 1);
    double slope = 10.0 + 90.0 * es_rng_double(rng);
    assert(work != NULL && quality != NULL);
    quality[0] = 0.1;
    for (uint32_t k = 0; k < segments; k++) {
        double length = 0.1 + 0.9 * es_rng_double(rng);
        work[k + 1] = work[k] + length;
        quality[k + 1] = quality[k] + slope * length;
        slope *= 0.2 + 0.7 * es_rng_double(rng);
    }
    *out =
        (es_curve){.name = "random", .point_count = segments + 1, .work = work, .quality = quality};
}

static inline const es_machines *es_random_machines(es_arena *arena, es_rng *rng,
                                                    es_random_spec spec, double horizon_s)
{
    es_machine *machines = ES_TAKE_ARRAY(arena, es_machine, spec.machine_count);
    es_machines *out = ES_TAKE_ONE(arena, es_machines);
    assert(machines != NULL && out != NULL);
    for (uint32_t r = 0; r < spec.machine_count; r++) {
        es_period *periods = ES_TAKE_ARRAY(arena, es_period, spec.period_count);
        assert(periods != NULL);
        for (uint32_t p = 0; p < spec.period_count; p++)
            periods[p] = (es_period){.start_s = p * horizon_s / spec.period_count,
                                     .carbon_g_per_j = 0.1 + es_rng_double(rng),
                                     .price_per_j = 0.1 + es_rng_double(rng)};
        double speed = 1.0 + 19.0 * es_rng_double(rng);
        machines[r] =
            (es_machine){.name = es_arena_format(arena, "m%u", r),
                         .speed_per_s = speed,
                         .busy_w = spec.idle_w + 100.0 * speed / (5.0 + 55.0 * es_rng_double(rng)),
                         .idle_w = spec.idle_w,
                         .close_s = (double)INFINITY,
                         .period_count = spec.period_count,
                         .periods = periods,
                         .energy_j_per_bit = spec.bytes > 0.0 && r % 2 == 1 ? 1e-4 : 0.0};
    }
    *out = (es_machines){.machine_count = spec.machine_count, .machines = machines};
    return out;
}

/* Deadlines in [0.05, 1] of tolerance * all work / all speed (speeds are of the machines made with
 * the same rng afterwards: their mean is taken). */
static inline const es_tasks *es_random_tasks(es_arena *arena, es_rng *rng, es_random_spec spec,
                                              double *out_horizon_s)
{
    es_curve *curves = ES_TAKE_ARRAY(arena, es_curve, spec.task_count);
    es_tasks_task *tasks = ES_TAKE_ARRAY(arena, es_tasks_task, spec.task_count);
    es_tasks *out = ES_TAKE_ONE(arena, es_tasks);
    double total = 0.0;
    assert(curves != NULL && tasks != NULL && out != NULL);
    for (uint32_t j = 0; j < spec.task_count; j++) {
        es_random_curve(arena, rng, spec.segment_count, &curves[j]);
        total += curves[j].work[spec.segment_count];
    }
    *out_horizon_s = spec.tolerance * total / (10.5 * spec.machine_count);
    for (uint32_t j = 0; j < spec.task_count; j++)
        tasks[j] =
            (es_tasks_task){.deadline_s = *out_horizon_s * (0.05 + 0.95 * es_rng_double(rng)),
                            .curve = j,
                            .input_bytes = spec.bytes * es_rng_double(rng)};
    *out = (es_tasks){.work_unit = "work",
                      .curve_count = spec.task_count,
                      .curves = curves,
                      .task_count = spec.task_count,
                      .tasks = tasks};
    return out;
}

static inline void es_random_instance(es_arena *arena, es_rng *rng, es_random_spec spec,
                                      const es_tasks **out_tasks, const es_machines **out_machines,
                                      double budgets[ES_BUDGET_COUNT], es_instance *out)
{
    double horizon_s = 0.0;
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        budgets[b] = (double)INFINITY;
    *out_tasks = es_random_tasks(arena, rng, spec, &horizon_s);
    *out_machines = es_random_machines(arena, rng, spec, horizon_s);
    es_instance_spec layout = {
        .tasks = *out_tasks, .machines = *out_machines, .budgets = budgets, .charge_idle = true};
    es_error err = {0};
    if (es_instance_build(arena, &layout, out, &err) != ES_OK)
        abort();
    if (spec.budget_share < 1.0)
        budgets[ES_BUDGET_ENERGY] =
            out->idle_use[ES_BUDGET_ENERGY] +
            spec.budget_share * (out->full_use[ES_BUDGET_ENERGY] - out->idle_use[ES_BUDGET_ENERGY]);
    if (es_instance_build(arena, &layout, out, &err) != ES_OK)
        abort();
}

#endif
