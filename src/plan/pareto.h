/*
 * plan/pareto, private: what the makers of a front share.
 *
 * Points and certificates are collected in the caller's arena; every program is solved over one
 * base program whose costs and limits are rewritten.
 */
#ifndef ES_PLAN_PARETO_H
#define ES_PLAN_PARETO_H

#include "plan/internal.h"

/* Two points nearer than this share of the range in a measure may count as one. */
#define ES_FRONT_TOLERANCE 1e-6

/* A program that was solved, and what came of it. */
typedef struct es_front_solve_result {
    es_plan_quality quality; /* OPTIMAL, FEASIBLE, INFEASIBLE, UNKNOWN */
    double values[ES_FRONT_MEASURES_MAX];
    double bound; /* of the weighted sum, see es_front_minimise; -INFINITY: none */
    const es_plan *plan;
    const es_solution *solution; /* to start from */
} es_front_solve_result;

/* One limit vector that was tried: the memory behind bypass and early exit. */
typedef struct es_front_trial {
    double limits[ES_FRONT_MEASURES_MAX]; /* [0] is unused */
    es_front_solve_result result;
} es_front_trial;

typedef struct es_front_maker {
    es_arena *arena;   /* the front's */
    es_arena *scratch; /* reset by every solve */
    es_arena *work;    /* of the whole search */
    const es_scenario *given;
    const es_scenario *scenario; /* given, but nothing may be refused */
    es_front_opts opts;
    es_deadline deadline;
    es_front *front;
    ES_ARRAY(es_front_point) points;
    ES_ARRAY(es_front_box) boxes;
    ES_ARRAY(es_front_cut) cuts;
    ES_ARRAY(es_front_trial) trials;

    /* The base program. */
    const es_problem *problem;
    es_program program;
    size_t term_count; /* before the rows of measures */
    uint32_t row_first;
    bool whole;                                 /* each class on one path */
    double *col_values[ES_FRONT_MEASURES_MAX];  /* per column, above base */
    double base[ES_FRONT_MEASURES_MAX];         /* least conceivable value */
    double most[ES_FRONT_MEASURES_MAX];         /* largest conceivable, above base */
    double range[ES_FRONT_MEASURES_MAX];        /* unit of rows and weights, > 0 */
    double ideal_bound[ES_FRONT_MEASURES_MAX];  /* proven least value */
    double ideal[ES_FRONT_MEASURES_MAX];        /* best value found alone */
    double payoff_worst[ES_FRONT_MEASURES_MAX]; /* worst of the payoff table */
    es_error *err;
} es_front_maker;

/* ---- pareto_measure.c ---- */

/* Value per request of a price, and per second of a node that hosts. */
double es_measure_of_price(es_measure measure, const es_price *price);
double es_measure_of_node(es_measure measure, const es_scenario *scenario, es_node_id node);

/* values[measure_count] of a plan, from the scenario alone. */
void es_front_values(const es_scenario *scenario, const es_measure *measures, uint32_t count,
                     const es_plan *plan, double *values);

/* The scenario's own objective of a plan that refuses nothing. */
double es_front_objective(const es_scenario *scenario, const es_plan *plan);

/* Whether a is at least as good as b in every measure. */
bool es_front_covers(const double *a, const double *b, uint32_t count);

/* ---- pareto_program.c ---- */

/* The base program over maker->problem; whole: each class takes one path. */
es_status es_front_program(es_front_maker *maker, bool whole) ES_MUST_CHECK;

/* Sets range, and the rows of measures in it. */
es_status es_front_scale(es_front_maker *maker, const double *range) ES_MUST_CHECK;

/*
 * min sum_k weights[k] (f_k - base_k) / range_k subject to f_k <= limits[k] (INFINITY: none).
 * bound is of that sum. start may be NULL. limit_s bounds the time.
 */
es_status es_front_minimise(es_front_maker *maker, const double *weights, const double *limits,
                            double gap_relative, double limit_s, const es_solution *start,
                            es_front_solve_result *out, es_error *err) ES_MUST_CHECK;

/* Payoff table: proves ideal_bound, finds payoff_worst, sets the scale. *out_quality is INFEASIBLE,
 * UNKNOWN (no time) or OPTIMAL. */
es_status es_front_payoff(es_front_maker *maker, double gap_relative,
                          es_plan_quality *out_quality) ES_MUST_CHECK;

/* An earlier trial that answers limits as well, or NULL. */
const es_front_trial *es_front_known(const es_front_maker *maker, const double *limits);

/* The best solution so far that respects limits, to start from; or NULL. */
const es_solution *es_front_start(const es_front_maker *maker, const double *limits);

es_status es_front_add_point(es_front_maker *maker, const double *values,
                             const es_plan *plan) ES_MUST_CHECK;
es_status es_front_add_box(es_front_maker *maker, const double *limits, double least) ES_MUST_CHECK;
es_status es_front_add_cut(es_front_maker *maker, const double *weights,
                           double least) ES_MUST_CHECK;

/* ---- pareto_exact.c, pareto_approx.c: fill points, boxes, cuts and front->quality ---- */
es_status es_front_exact(es_front_maker *maker) ES_MUST_CHECK;
es_status es_front_approx(es_front_maker *maker) ES_MUST_CHECK;

/* ---- pareto_bound.c: hypervolume of a finished front and of what is not proven empty ---- */
es_status es_front_measure(es_arena *scratch, es_front *front, es_error *err) ES_MUST_CHECK;

#endif
