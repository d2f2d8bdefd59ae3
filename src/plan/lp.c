#include "plan/lp.h"

#include <assert.h>
#include <coin/Clp_C_Interface.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

struct es_lp {
    Clp_Simplex *model;
    uint32_t row_count, col_count;
    double *prices; /* [row_count] */
};

/* COIN's word for no bound. */
static const double COIN_INFINITY = 1e30;

static double coin_bound(double bound)
{
    return fmin(fmax(bound, -COIN_INFINITY), COIN_INFINITY);
}

/* The terms by column, as CLP wants them, in arrays of scratch. */
static es_status sort_terms(es_arena *scratch, const es_lp_spec *spec, int **out_starts,
                            int **out_rows, double **out_values, es_error *err)
{
    int *starts = ES_TAKE_ARRAY(scratch, int, (size_t)spec->col_count + 1);
    int *next = ES_TAKE_ARRAY(scratch, int, spec->col_count);
    int *rows = ES_TAKE_ARRAY(scratch, int, spec->term_count);
    double *values = ES_TAKE_ARRAY(scratch, double, spec->term_count);
    if (starts == NULL || next == NULL || rows == NULL || values == NULL)
        return es_arena_full(scratch, "linear program", err);
    for (size_t i = 0; i < spec->term_count; i++) {
        assert(spec->terms[i].col < spec->col_count);
        assert(spec->terms[i].row < spec->row_count);
        starts[spec->terms[i].col + 1]++;
    }
    for (uint32_t c = 0; c < spec->col_count; c++) {
        starts[c + 1] += starts[c];
        next[c] = starts[c];
    }
    for (size_t i = 0; i < spec->term_count; i++) {
        int at = next[spec->terms[i].col]++;
        rows[at] = (int)spec->terms[i].row;
        values[at] = spec->terms[i].value;
    }
    *out_starts = starts;
    *out_rows = rows;
    *out_values = values;
    return ES_OK;
}

static es_status load(es_lp *lp, es_arena *scratch, const es_lp_spec *spec, es_error *err)
{
    int *starts = NULL;
    int *rows = NULL;
    double *values = NULL;
    ES_TRY(sort_terms(scratch, spec, &starts, &rows, &values, err));
    size_t most = spec->row_count > spec->col_count ? spec->row_count : spec->col_count;
    double *bounds = ES_TAKE_ARRAY(scratch, double, 4 * most);
    if (bounds == NULL)
        return es_arena_full(scratch, "linear program", err);
    for (uint32_t c = 0; c < spec->col_count; c++) {
        bounds[c] = coin_bound(spec->lower[c]);
        bounds[most + c] = coin_bound(spec->upper[c]);
    }
    for (uint32_t i = 0; i < spec->row_count; i++) {
        bounds[2 * most + i] = coin_bound(spec->row_lower[i]);
        bounds[3 * most + i] = coin_bound(spec->row_upper[i]);
    }
    Clp_setLogLevel(lp->model, 0);
    Clp_loadProblem(lp->model, (int)spec->col_count, (int)spec->row_count, starts, rows, values,
                    bounds, bounds + most, spec->gain, bounds + 2 * most, bounds + 3 * most);
    Clp_setOptimizationDirection(lp->model, -1.0);
    return ES_OK;
}

es_status es_lp_new(const es_lp_spec *spec, es_lp **out_lp, es_error *err)
{
    static const size_t SCRATCH_BYTES = (size_t)8 << 30;
    if (spec->row_count >= INT_MAX || spec->col_count >= INT_MAX || spec->term_count >= INT_MAX)
        return es_fail(err, ES_ERR_LIMIT, "linear program: more than %d rows, columns or terms",
                       INT_MAX);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES);
    ES_CLEANUP(es_lp_free_p) es_lp *lp = calloc(1, sizeof *lp);
    if (scratch == NULL || lp == NULL)
        return es_fail(err, ES_ERR_NOMEM, "linear program: no memory");
    lp->row_count = spec->row_count;
    lp->col_count = spec->col_count;
    lp->prices = calloc((size_t)spec->row_count + 1, sizeof *lp->prices);
    lp->model = Clp_newModel();
    if (lp->prices == NULL || lp->model == NULL)
        return es_fail(err, ES_ERR_NOMEM, "linear program: no memory");
    ES_TRY(load(lp, scratch, spec, err));
    *out_lp = ES_TAKE(lp);
    return ES_OK;
}

void es_lp_free(es_lp *lp)
{
    if (lp == NULL)
        return;
    if (lp->model != NULL)
        Clp_deleteModel(lp->model);
    free(lp->prices);
    free(lp);
}

void es_lp_free_p(es_lp **lp)
{
    es_lp_free(*lp);
}

void es_lp_set_bounds(es_lp *lp, uint32_t col, double lower, double upper)
{
    assert(col < lp->col_count);
    Clp_columnLower(lp->model)[col] = coin_bound(lower);
    Clp_columnUpper(lp->model)[col] = coin_bound(upper);
}

void es_lp_set_row_bounds(es_lp *lp, uint32_t row, double lower, double upper)
{
    assert(row < lp->row_count);
    Clp_rowLower(lp->model)[row] = coin_bound(lower);
    Clp_rowUpper(lp->model)[row] = coin_bound(upper);
}

es_lp_answer es_lp_solve(es_lp *lp, double time_limit_s)
{
    Clp_setMaximumSeconds(lp->model, time_limit_s);
    (void)Clp_dual(lp->model, 0); /* its answer is the status asked for next */
    if (Clp_isProvenOptimal(lp->model))
        return ES_LP_OPTIMAL;
    if (Clp_isProvenPrimalInfeasible(lp->model))
        return ES_LP_INFEASIBLE;
    return ES_LP_UNKNOWN;
}

double es_lp_objective(const es_lp *lp)
{
    return Clp_objectiveValue(lp->model);
}

const double *es_lp_values(const es_lp *lp)
{
    return Clp_getColSolution(lp->model);
}

const double *es_lp_prices(const es_lp *lp)
{
    const double *prices = Clp_getRowPrice(lp->model);
    for (uint32_t i = 0; i < lp->row_count; i++)
        lp->prices[i] = prices[i];
    return lp->prices;
}
