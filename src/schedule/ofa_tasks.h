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

/* What the text says of deadlines and of all the energy, word by word and otherwise. */
typedef enum es_ofa_deadlines {
    ES_OFA_AS_WRITTEN, /* all drawn; the energy of all machines until d_max = rho work / speed */
    ES_OFA_ONE_LAST,   /* one is d_max, so that the last deadline is it */
    ES_OFA_UNTIL_LAST, /* all drawn; the energy until the last of them */
    ES_OFA_STRETCHED,  /* drawn, then stretched until the last is d_max */
    ES_OFA_DEADLINES_COUNT
} es_ofa_deadlines;

typedef struct es_ofa_given {
    es_tasks_task own[ES_OFA_TASKS];
    es_machine machines[ES_OFA_MACHINES];
    es_tasks tasks;
    es_machines all;
    double full_j; /* all the energy, that shares are of */
} es_ofa_given;

static inline double es_ofa_last_s(const es_ofa_given *g)
{
    double last_s = 0;
    for (uint32_t i = 0; i < ES_OFA_TASKS; i++)
        last_s = fmax(last_s, g->own[i].deadline_s);
    return last_s;
}

/* Speeds U[1,20], efficiencies U[5,60], deadlines U[0.05,1] of d_max = rho times all work / all
 * speed. g is pointed into: it must not be moved. */
static inline void es_ofa_draw(es_ofa_given *g, uint64_t seed, uint32_t number, double rho,
                               es_ofa_deadlines form)
{
    static const es_period always[] = {{0, 0, 0}};
    es_rng rng = es_rng_make(seed, number);
    double speed = 0;
    double watts = 0;
    for (uint32_t r = 0; r < ES_OFA_MACHINES; r++) {
        double s = 1 + 19 * es_rng_double(&rng);
        g->machines[r] = (es_machine){.name = "machine",
                                      .speed_per_s = s,
                                      .busy_w = s / (5 + 55 * es_rng_double(&rng)),
                                      .close_s = (double)INFINITY,
                                      .period_count = 1,
                                      .periods = always};
        speed += s;
        watts += g->machines[r].busy_w;
    }
    double max_s = rho * ES_OFA_TASKS * es_ofa_work[7] / speed;
    for (uint32_t i = 0; i < ES_OFA_TASKS; i++)
        g->own[i] = (es_tasks_task){.deadline_s = max_s * (0.05 + 0.95 * es_rng_double(&rng))};
    double last_s = es_ofa_last_s(g);
    if (form == ES_OFA_ONE_LAST)
        g->own[0].deadline_s = max_s;
    for (uint32_t i = 0; form == ES_OFA_STRETCHED && i < ES_OFA_TASKS; i++)
        g->own[i].deadline_s *= max_s / last_s;
    g->full_j = watts * (form == ES_OFA_UNTIL_LAST ? last_s : max_s);
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
    double student = count == 10 ? 2.262 : 1.96; /* the two counts that are asked for */
    return (es_ofa_estimate){mean, student * sqrt((squares / count - mean * mean) / (count - 1))};
}

/* Mean quality of a method, and the most that any schedule has, with so many joules. */
typedef struct es_ofa_answer {
    double mean, bound, used_j;
} es_ofa_answer;

static inline es_ofa_answer es_ofa_solve(const es_ofa_given *g, es_schedule_method method,
                                         double joules)
{
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)1 << 30);
    es_schedule_opts opts = es_schedule_opts_default();
    const es_schedule *schedule = NULL;
    opts.method = method;
    opts.budgets[ES_BUDGET_ENERGY] = joules;
    if (arena == NULL ||
        es_schedule_solve(arena, &g->tasks, &g->all, opts, &schedule, &err) != ES_OK)
        abort();
    es_ofa_answer answer = {schedule->quality / ES_OFA_TASKS, schedule->bound / ES_OFA_TASKS,
                            schedule->used[ES_BUDGET_ENERGY]};
    es_arena_free(arena);
    return answer;
}

/* A reading of "at 30 % of the energy, points lost". */
typedef struct es_ofa_reading {
    const char *words;
    es_ofa_deadlines deadlines;
    bool of_uncompressed;            /* lost against every task uncompressed, 79.8; else against the
                                        same method with all the energy */
    es_schedule_method energy_is_of; /* FRACTIONAL: all machines busy; else what this method uses */
} es_ofa_reading;
static const es_ofa_reading es_ofa_as_written = {
    .words = "as written", .deadlines = ES_OFA_AS_WRITTEN, .energy_is_of = ES_SCHEDULE_FRACTIONAL};

static inline double es_ofa_full_j(const es_ofa_given *g, const es_ofa_reading *reading)
{
    if (reading->energy_is_of == ES_SCHEDULE_FRACTIONAL)
        return g->full_j;
    return es_ofa_solve(g, reading->energy_is_of, g->full_j).used_j;
}

/* Points of accuracy lost at 30 % of the energy, over seeds: by approx, and by any schedule at
 * least, since approx reaches its own with all energy and none exceeds the bound with 30 % of it.
 */
static inline void es_ofa_points_lost(uint64_t seed, double rho, uint32_t seed_count,
                                      const es_ofa_reading *reading, es_ofa_estimate *out_lost,
                                      es_ofa_estimate *out_least)
{
    double sums[2] = {0};
    double squares[2] = {0};
    for (uint32_t i = 0; i < seed_count; i++) {
        es_ofa_given g;
        es_ofa_draw(&g, seed, i, rho, reading->deadlines);
        double full_j = es_ofa_full_j(&g, reading);
        es_ofa_answer less = es_ofa_solve(&g, ES_SCHEDULE_APPROX, 0.3 * full_j);
        double all = reading->of_uncompressed ? es_ofa_quality[7]
                                              : es_ofa_solve(&g, ES_SCHEDULE_APPROX, full_j).mean;
        const double lost[] = {all - less.mean, all - less.bound};
        for (int k = 0; k < 2; k++) {
            sums[k] += lost[k];
            squares[k] += lost[k] * lost[k];
        }
    }
    *out_lost = es_ofa_estimate_of(sums[0], squares[0], seed_count);
    *out_least = es_ofa_estimate_of(sums[1], squares[1], seed_count);
}

#endif
