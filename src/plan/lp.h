/*
 * lp: a small linear program for other modules, since only plan sees the LP library.
 *
 * Maximise gain . x with row_lower <= A x <= row_upper and lower <= x <= upper. Bounds may be
 * changed between solves, each of which starts from the last basis (dual simplex).
 * Infinite bounds are INFINITY and -INFINITY. Threads: one owner. Included by plan/plan.h.
 */
#ifndef ES_PLAN_LP_H
#define ES_PLAN_LP_H

#include "base/arena.h"

#include <stdint.h>

typedef struct es_lp es_lp;

typedef struct es_lp_term {
    uint32_t row, col;
    double value;
} es_lp_term;

/* The arrays are copied. Terms in any order, each (row, col) once. */
typedef struct es_lp_spec {
    uint32_t row_count, col_count;
    const double *gain;                  /* [col_count] */
    const double *lower, *upper;         /* [col_count] */
    const double *row_lower, *row_upper; /* [row_count] */
    size_t term_count;
    const es_lp_term *terms;
} es_lp_spec;

typedef enum es_lp_answer {
    ES_LP_OPTIMAL,
    ES_LP_INFEASIBLE,
    ES_LP_UNKNOWN, /* unbounded, out of time or numerical trouble */
    ES_LP_ANSWER_COUNT
} es_lp_answer;

/* Heap. ES_ERR_NOMEM; ES_ERR_LIMIT beyond INT_MAX rows, columns or terms. */
es_status es_lp_new(const es_lp_spec *spec, es_lp **out_lp, es_error *err) ES_MUST_CHECK;
void es_lp_free(es_lp *lp); /* NULL is fine */
void es_lp_free_p(es_lp **lp);

void es_lp_set_bounds(es_lp *lp, uint32_t col, double lower, double upper);
void es_lp_set_row_bounds(es_lp *lp, uint32_t row, double lower, double upper);

/* Within time_limit_s of wall clock, > 0. */
es_lp_answer es_lp_solve(es_lp *lp, double time_limit_s);

/* Of the last solve, when OPTIMAL; valid until the next call. */
double es_lp_objective(const es_lp *lp);
const double *es_lp_values(const es_lp *lp); /* [col_count] */
const double *es_lp_prices(const es_lp *lp); /* [row_count] gain per unit of the row */

#endif
