/*
 * ofa_tasks: the published experiment's instances (spec, section 1.7), for tests and benchmarks.
 */
#ifndef ES_SCHEDULE_OFA_TASKS_H
#define ES_SCHEDULE_OFA_TASKS_H

#include "base/rng.h"
#include "schedule/internal.h"

#include <math.h>

/* Once-for-All ResNet50D: GMAC and ImageNet top-1 %, from a guess among 1000. */
static const double es_ofa_work[] = {0, 0.6, 0.9, 1.2, 1.8, 2.4, 3.7, 4.1};
static const double es_ofa_quality[] = {0.1, 75.0, 76.3, 77.1, 78.3, 79.0, 79.7, 79.8};
static const es_curve es_ofa = {"ofa-resnet50d", 8, es_ofa_work, es_ofa_quality};

enum { ES_OFA_TASKS = 100, ES_OFA_MACHINES = 5 };

typedef struct es_ofa_given {
    es_tasks_task own[ES_OFA_TASKS];
    es_machine machines[ES_OFA_MACHINES];
    es_tasks tasks;
    es_machines all;
} es_ofa_given;

/* Speeds U[1,20], efficiencies U[5,60], deadlines U[0.05,1] of rho times all work / all speed. g is
 * pointed into: it must not be moved. */
static inline void es_ofa_draw(es_ofa_given *g, uint64_t seed, uint32_t number, double rho)
{
    static const es_period always[] = {{0, 0, 0}};
    es_rng rng = es_rng_make(seed, number);
    double speed = 0;
    for (uint32_t r = 0; r < ES_OFA_MACHINES; r++) {
        double s = 1 + 19 * es_rng_double(&rng);
        g->machines[r] = (es_machine){.name = "machine",
                                      .speed_per_s = s,
                                      .busy_w = s / (5 + 55 * es_rng_double(&rng)),
                                      .close_s = (double)INFINITY,
                                      .period_count = 1,
                                      .periods = always};
        speed += s;
    }
    double last_s = rho * ES_OFA_TASKS * es_ofa_work[7] / speed;
    for (uint32_t i = 0; i < ES_OFA_TASKS; i++)
        g->own[i] = (es_tasks_task){.deadline_s = last_s * (0.05 + 0.95 * es_rng_double(&rng))};
    g->own[0].deadline_s = last_s; /* so that the energy of full use is what it should be */
    g->tasks = (es_tasks){.work_unit = "GMAC",
                          .curve_count = 1,
                          .curves = &es_ofa,
                          .task_count = ES_OFA_TASKS,
                          .tasks = g->own};
    g->all = (es_machines){ES_OFA_MACHINES, g->machines};
}

/* A mean over seeds and half of its 95 % interval. */
typedef struct es_ofa_estimate {
    double mean, half;
} es_ofa_estimate;

static inline es_ofa_estimate es_ofa_estimate_of(double sum, double squares, uint32_t count)
{
    double mean = sum / count;
    return (es_ofa_estimate){mean, 1.96 * sqrt((squares / count - mean * mean) / (count - 1))};
}

/* Mean quality of approx, and the most that any schedule has, at a share of the energy. */
static inline void es_ofa_at(const es_ofa_given *g, double share, double *out_mean,
                             double *out_bound)
{
    double full[ES_BUDGET_COUNT], idle[ES_BUDGET_COUNT];
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)1 << 30);
    es_schedule_opts opts = es_schedule_opts_default();
    const es_schedule *schedule = NULL;
    opts.method = ES_SCHEDULE_APPROX;
    if (arena == NULL || es_schedule_full_use(&g->tasks, &g->all, full, idle, &err) != ES_OK)
        abort();
    opts.budgets[ES_BUDGET_ENERGY] = share * full[ES_BUDGET_ENERGY];
    if (es_schedule_solve(arena, &g->tasks, &g->all, opts, &schedule, &err) != ES_OK)
        abort();
    *out_mean = schedule->quality / ES_OFA_TASKS;
    *out_bound = schedule->bound / ES_OFA_TASKS;
    es_arena_free(arena);
}

/* Points of accuracy lost at 30 % of the energy of full use, over seeds: by approx, and by any
 * schedule at least, since approx reaches its own with all energy and none exceeds the bound with
 * 30 % of it. */
static inline void es_ofa_points_lost(uint64_t seed, double rho, uint32_t seed_count,
                                      es_ofa_estimate *out_lost, es_ofa_estimate *out_least)
{
    double sums[2] = {0};
    double squares[2] = {0};
    for (uint32_t i = 0; i < seed_count; i++) {
        es_ofa_given g;
        double all, less, bound;
        es_ofa_draw(&g, seed, i, rho);
        es_ofa_at(&g, 1.0, &all, &bound);
        es_ofa_at(&g, 0.3, &less, &bound);
        const double lost[] = {all - less, all - bound};
        for (int k = 0; k < 2; k++) {
            sums[k] += lost[k];
            squares[k] += lost[k] * lost[k];
        }
    }
    *out_lost = es_ofa_estimate_of(sums[0], squares[0], seed_count);
    *out_least = es_ofa_estimate_of(sums[1], squares[1], seed_count);
}

#endif
