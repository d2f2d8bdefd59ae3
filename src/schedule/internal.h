/*
 * schedule, private: the instance as arrays, which the solvers share.
 *
 * Tasks are sorted by deadline (ties by number) and flattened into segments; machines are cut into
 * cells of constant price. Quality here is what work adds to that of no work.
 */
#ifndef ES_SCHEDULE_INTERNAL_H
#define ES_SCHEDULE_INTERNAL_H

#include "base/array.h"
#include "schedule/schedule.h"

#include <assert.h>

/* Bytes of working memory one solve may take. */
#define ES_SCHEDULE_SCRATCH_BYTES ((size_t)8 << 30)
#define ES_NOWHERE UINT32_MAX

/* A machine in one of its periods. */
typedef struct es_cell {
    uint32_t machine;
    double open_s, close_s;
    double back_s; /* the answer needs this much of the deadline */
    double speed;
    double use_per_s[ES_BUDGET_COUNT];   /* busy above idle */
    double use_per_bit[ES_BUDGET_COUNT]; /* of the input of a task that runs here */
} es_cell;

typedef struct es_instance {
    uint32_t task_count;
    const uint32_t *order;    /* [task_count] place by deadline -> number in tasks */
    const double *deadline;   /* from here on by place */
    const double *input_bits; /* */
    const uint32_t *first;    /* [task_count + 1] into the segments */
    const double *length;     /* work, > 0 */
    const double *slope;      /* quality per work, falling inside a task */
    double quality_zero;      /* sum of the qualities without work */
    uint32_t cell_count;
    const es_cell *cells;
    double horizon_s;                 /* last deadline */
    bool networked;                   /* some cell charges per bit */
    double budget[ES_BUDGET_COUNT];   /* what idle leaves of it; INFINITY: none */
    double idle_use[ES_BUDGET_COUNT]; /* */
    double full_use[ES_BUDGET_COUNT]; /* busy throughout, with idle */
    const double *busy_until;         /* [machine_count] machines taken until then; NULL: none is */
} es_instance;

/* Lays out tasks and machines. keep [task_count]: only these tasks; NULL: all. now_s: nothing
 * starts before. free_s [machine_count]: nor there before; NULL. Budgets are those of opts, idle is
 * taken off when charge_idle. O(n log n + nK). */
typedef struct es_instance_spec {
    const es_tasks *tasks;
    const es_machines *machines;
    const double *budgets;
    const bool *keep;
    const double *free_s;
    double now_s;
    double horizon_s; /* of idling; 0: the last deadline */
    bool charge_idle;
} es_instance_spec;
es_status es_instance_build(es_arena *arena, const es_instance_spec *spec,
                            es_instance *out_instance, es_error *err) ES_MUST_CHECK;

static inline double es_cell_room_s(const es_cell *cell, double deadline)
{
    double end = deadline - cell->back_s;
    end = end < cell->close_s ? end : cell->close_s;
    return end > cell->open_s ? end - cell->open_s : 0.0;
}

/* Price of a second of cell. */
static inline double es_cell_price(const es_cell *cell, const double *prices)
{
    double price = 0.0;
    for (int b = 0; b < ES_BUDGET_COUNT; b++)
        price += prices[b] > 0.0 ? prices[b] * cell->use_per_s[b] : 0.0;
    return price;
}

/* Quality that work adds to task at place j. */
double es_instance_gain(const es_instance *instance, uint32_t place, double work);
double es_instance_work_max(const es_instance *instance, uint32_t place);

/* ---- greedy.c: nested capacities, one resource ---- */

/* Largest Σ slope · work with Σ_{i<=k} work_i <= capacity[k] (any order: only later minima count).
 * work [task_count], set. Returns the quality gained. */
es_status es_greedy_solve(es_arena *scratch, const es_instance *instance, const double *capacity,
                          double *work, double *out_gain, es_error *err) ES_MUST_CHECK;

/* ---- answers at given prices, and the search for prices ---- */

typedef struct es_answer {
    double gain;                  /* quality, prices not taken off */
    double used[ES_BUDGET_COUNT]; /* */
} es_answer;

/* Maximises gain - Σ prices · used. work [task_count] and busy_s [cell_count] may be NULL. */
typedef struct es_oracle {
    void *context;
    es_status (*answer)(void *context, const double prices[ES_BUDGET_COUNT], double *work,
                        double *busy_s, es_answer *out_answer, es_error *err);
} es_oracle;

enum { ES_MIX_MAX = ES_BUDGET_COUNT + 1 };

/* A convex combination of answers: optimal within the gap. */
typedef struct es_mix {
    uint32_t count;
    double weights[ES_MIX_MAX];
    double prices[ES_MIX_MAX][ES_BUDGET_COUNT];
    double gain;
    double bound;                        /* of the gain, by duality */
    double best_prices[ES_BUDGET_COUNT]; /* that prove it */
    uint32_t answer_count;
} es_mix;

/* price_max [ES_BUDGET_COUNT]: at this price alone nothing is used. */
es_status es_prices_search(const es_oracle *oracle, const double *budget, const double *price_max,
                           double gap_relative, es_mix *out_mix, es_error *err) ES_MUST_CHECK;

/* Works and busy seconds of the combination. */
es_status es_mix_expand(es_arena *scratch, const es_oracle *oracle, const es_mix *mix,
                        uint32_t task_count, uint32_t cell_count, double *work, double *busy_s,
                        es_error *err) ES_MUST_CHECK;

/* ---- sweep.c: all cells at once, tasks split freely ---- */

typedef struct es_sweep es_sweep;
es_status es_sweep_new(es_arena *arena, const es_instance *instance, es_sweep **out_sweep,
                       es_error *err) ES_MUST_CHECK;
es_oracle es_sweep_oracle(es_sweep *sweep);

/* ---- refit.c: cells of tasks are fixed ---- */

typedef struct es_refit es_refit;
es_status es_refit_new(es_arena *arena, const es_instance *instance, es_refit **out_refit,
                       es_error *err) ES_MUST_CHECK;

/* Best works when task j runs on cell_of[j] (ES_NOWHERE: not at all). Network use of tasks with a
 * cell is taken off the budgets first; out_mix->gain is -INFINITY when that is too much. */
es_status es_refit_solve(es_refit *refit, es_arena *scratch, const uint32_t *cell_of,
                         double gap_relative, double *work, double *busy_s, es_mix *out_mix,
                         es_error *err) ES_MUST_CHECK;

/* Gain of one cell's tasks at prices, prices taken off (network too). tasks in order of places.
 * work may be NULL; else work[i] is of tasks[i]. */
double es_refit_cell(es_refit *refit, uint32_t cell, const uint32_t *tasks, uint32_t count,
                     const double *prices, double *work);

/* Largest price at which a cell is worth anything, per budget. */
void es_instance_price_max(const es_instance *instance, double price_max[ES_BUDGET_COUNT]);

/* ---- fractional.c ---- */

typedef struct es_fractional {
    double gain, bound;
    double *work;   /* [task_count] */
    double *busy_s; /* [cell_count], the energy profile */
    double prices[ES_BUDGET_COUNT];
    bool by_lp; /* the search did not close the gap and the linear program did */
} es_fractional;
es_status es_fractional_solve(es_arena *arena, const es_instance *instance, double gap_relative,
                              es_fractional *out, es_error *err) ES_MUST_CHECK;

/* The linear program itself, for tests and as fallback. UNKNOWN in out_gain as NAN. */
es_status es_fractional_lp(es_arena *arena, const es_instance *instance, double time_limit_s,
                           es_fractional *out, es_error *err) ES_MUST_CHECK;

/* Most efficient cells first, each as long as the energy lasts; bound is +INFINITY. */
es_status es_fractional_naive(es_arena *arena, const es_instance *instance, es_fractional *out,
                              es_error *err) ES_MUST_CHECK;

/* ---- approx and exact ---- */

typedef struct es_assigned {
    uint32_t *cell_of; /* [task_count] */
    double *work;      /* [task_count] */
    double gain;
} es_assigned;

typedef struct es_limit {
    es_clock *clock;
    int64_t end_ns;
} es_limit;
static inline double es_limit_left_s(const es_limit *limit)
{
    return es_s_from_ns(limit->end_ns - es_clock_now_ns(limit->clock));
}

/* round.c: the fractional answer rounded and refitted. */
es_status es_round_solve(es_arena *arena, const es_instance *instance,
                         const es_fractional *fractional, double gap_relative, es_assigned *out,
                         es_error *err) ES_MUST_CHECK;

/* improve.c: moves and swaps until none helps or the time is up; in place. */
es_status es_improve_run(const es_instance *instance, const es_fractional *fractional,
                         double gap_relative, const es_limit *limit, es_assigned *assigned,
                         es_error *err) ES_MUST_CHECK;

/* discrete.c: works down to points of the curves, then up again while room and budgets last. */
es_status es_discrete_round(es_arena *scratch, const es_instance *instance, es_assigned *assigned,
                            es_error *err) ES_MUST_CHECK;

/* exact.c: start is the incumbent and is replaced by the best found; *bound: of the gain. */
es_status es_exact_solve(es_arena *arena, const es_instance *instance, bool discrete,
                         double gap_relative, const es_limit *limit, es_assigned *start,
                         double *bound, es_error *err) ES_MUST_CHECK;

/* baseline.c: sequence [task_count] gets the places in the order in which they run. */
es_status es_baseline_solve(es_arena *arena, const es_instance *instance, es_schedule_method method,
                            es_assigned *out, uint32_t *sequence, es_error *err) ES_MUST_CHECK;

/* ---- solve.c ---- */

/* approx (and exact when asked) on an instance: the answer and a bound of the gain. */
es_status es_instance_solve(es_arena *arena, const es_instance *instance,
                            const es_schedule_opts *opts, es_assigned *out, double *out_bound,
                            es_error *err) ES_MUST_CHECK;

/* Fails with ES_ERR_ARG on options and input that no solver takes. */
es_status es_schedule_expect(const es_tasks *tasks, const es_machines *machines,
                             const es_schedule_opts *opts, bool online,
                             es_error *err) ES_MUST_CHECK;

#endif
