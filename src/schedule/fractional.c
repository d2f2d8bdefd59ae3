/* The fractional relaxation: by prices, by linear program, and the naive profile. */
#include "schedule/internal.h"

#include <math.h>

static es_status take_out(es_arena *arena, const es_instance *instance, es_fractional *out,
                          es_error *err)
{
    *out = (es_fractional){
        .bound = (double)INFINITY,
        .work = ES_TAKE_ARRAY(arena, double, instance->task_count),
        .busy_s = ES_TAKE_ARRAY(arena, double, instance->cell_count),
    };
    if (out->work == NULL || out->busy_s == NULL)
        return es_arena_full(arena, "relaxation", err);
    return ES_OK;
}

/* Best works for the profile in out->busy_s; ties go to the earlier deadline. */
static es_status fill_profile(es_arena *arena, const es_instance *instance, es_fractional *out,
                              es_error *err)
{
    double *capacity = ES_TAKE_ARRAY(arena, double, instance->task_count);
    if (capacity == NULL)
        return es_arena_full(arena, "profile", err);
    for (uint32_t k = 0; k < instance->task_count; k++)
        for (uint32_t c = 0; c < instance->cell_count; c++)
            capacity[k] +=
                instance->cells[c].speed *
                fmin(out->busy_s[c], es_cell_room_s(&instance->cells[c], instance->deadline[k]));
    return es_greedy_solve(arena, instance, capacity, out->work, &out->gain, err);
}

es_status es_fractional_solve(es_arena *arena, const es_instance *instance, double gap_relative,
                              es_fractional *out, es_error *err)
{
    static const double CERTIFIED = 1e-6; /* what the linear program need not improve */
    static const uint32_t LP_TASKS_MAX = 1000;
    static const uint32_t LP_CELLS_MAX = 1000;
    static const double LP_TIME_S = 60.0;
    es_sweep *sweep = NULL;
    es_mix mix = {0};
    double price_max[ES_BUDGET_COUNT];
    ES_TRY(take_out(arena, instance, out, err));
    ES_TRY(es_sweep_new(arena, instance, &sweep, err));
    es_oracle oracle = es_sweep_oracle(sweep);
    es_instance_price_max(instance, price_max);
    ES_TRY(es_prices_search(&oracle, instance->budget, price_max, gap_relative, &mix, err));
    ES_TRY(es_mix_expand(arena, &oracle, &mix, instance->task_count, instance->cell_count,
                         out->work, out->busy_s, err));
    ES_TRY(fill_profile(arena, instance, out, err));
    out->bound = fmax(mix.bound, out->gain);
    memcpy(out->prices, mix.best_prices, sizeof out->prices);
    bool certified = out->bound - out->gain <= fmax(CERTIFIED, gap_relative) * fabs(out->bound);
    if (certified || instance->task_count > LP_TASKS_MAX || instance->cell_count > LP_CELLS_MAX)
        return ES_OK;
    es_fractional exact;
    ES_TRY(es_fractional_lp(arena, instance, LP_TIME_S, &exact, err));
    if (!isnan(exact.gain)) {
        memcpy(exact.prices, out->prices, sizeof exact.prices);
        exact.by_lp = true;
        *out = exact;
    }
    return ES_OK;
}

/* Columns: segments, then busy seconds u_kc of cell c before deadline k, then T_c. */
typedef struct layout {
    uint32_t n, m, segments;
    ES_ARRAY(es_lp_term) terms;
    double *gain, *lower, *upper, *row_lower, *row_upper;
} layout;

static es_status fill(es_arena *arena, const es_instance *instance, layout *l, es_error *err)
{
    uint32_t n = l->n;
    uint32_t m = l->m;
    for (uint32_t s = 0; s < l->segments; s++) {
        l->gain[s] = instance->slope[s];
        l->upper[s] = instance->length[s];
    }
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t c = 0; c < m; c++) {
            const es_cell *cell = &instance->cells[c];
            uint32_t col = l->segments + k * m + c;
            uint32_t row = n + k * m + c; /* u_kc <= T_c */
            l->upper[col] = es_cell_room_s(cell, instance->deadline[k]);
            es_lp_term supply = {k, col, -cell->speed};
            es_lp_term own = {row, col, 1.0};
            es_lp_term total = {row, l->segments + n * m + c, -1.0};
            ES_TRY(ES_ARRAY_PUSH(arena, &l->terms, supply, "terms", err));
            ES_TRY(ES_ARRAY_PUSH(arena, &l->terms, own, "terms", err));
            ES_TRY(ES_ARRAY_PUSH(arena, &l->terms, total, "terms", err));
        }
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t s = instance->first[j]; s < instance->first[j + 1]; s++)
            for (uint32_t k = j; k < n; k++) {
                es_lp_term demand = {k, s, 1.0};
                ES_TRY(ES_ARRAY_PUSH(arena, &l->terms, demand, "terms", err));
            }
    for (uint32_t c = 0; c < m; c++) {
        uint32_t col = l->segments + n * m + c;
        l->upper[col] = instance->cells[c].close_s - instance->cells[c].open_s;
        for (uint32_t b = 0; b < ES_BUDGET_COUNT; b++) {
            es_lp_term use = {n + n * m + b, col, instance->cells[c].use_per_s[b]};
            ES_TRY(ES_ARRAY_PUSH(arena, &l->terms, use, "terms", err));
        }
    }
    uint32_t rows = n + n * m + ES_BUDGET_COUNT;
    for (uint32_t i = 0; i < rows; i++)
        l->row_lower[i] = -(double)INFINITY;
    memcpy(l->row_upper + n + n * m, instance->budget, sizeof instance->budget);
    return ES_OK;
}

es_status es_fractional_lp(es_arena *arena, const es_instance *instance, double time_limit_s,
                           es_fractional *out, es_error *err)
{
    layout l = {.n = instance->task_count,
                .m = instance->cell_count,
                .segments = instance->first[instance->task_count]};
    size_t cols = l.segments + (size_t)l.n * l.m + l.m;
    size_t rows = l.n + (size_t)l.n * l.m + ES_BUDGET_COUNT;
    if (cols >= UINT32_MAX || rows >= UINT32_MAX)
        return es_fail(err, ES_ERR_LIMIT, "schedule: the linear program is too large");
    l.gain = ES_TAKE_ARRAY(arena, double, cols);
    l.lower = ES_TAKE_ARRAY(arena, double, cols);
    l.upper = ES_TAKE_ARRAY(arena, double, cols);
    l.row_lower = ES_TAKE_ARRAY(arena, double, rows);
    l.row_upper = ES_TAKE_ARRAY(arena, double, rows);
    if (l.gain == NULL || l.lower == NULL || l.upper == NULL || l.row_lower == NULL ||
        l.row_upper == NULL)
        return es_arena_full(arena, "linear program", err);
    ES_TRY(take_out(arena, instance, out, err));
    ES_TRY(fill(arena, instance, &l, err));
    es_lp_spec spec = {.row_count = (uint32_t)rows,
                       .col_count = (uint32_t)cols,
                       .gain = l.gain,
                       .lower = l.lower,
                       .upper = l.upper,
                       .row_lower = l.row_lower,
                       .row_upper = l.row_upper,
                       .term_count = l.terms.count,
                       .terms = l.terms.items};
    ES_CLEANUP(es_lp_free_p) es_lp *lp = NULL;
    ES_TRY(es_lp_new(&spec, &lp, err));
    out->gain = (double)NAN;
    if (es_lp_solve(lp, time_limit_s) != ES_LP_OPTIMAL)
        return ES_OK;
    const double *values = es_lp_values(lp);
    out->gain = es_lp_objective(lp);
    out->bound = out->gain;
    for (uint32_t j = 0; j < l.n; j++)
        for (uint32_t s = instance->first[j]; s < instance->first[j + 1]; s++)
            out->work[j] += values[s];
    for (uint32_t c = 0; c < l.m; c++)
        out->busy_s[c] = values[l.segments + l.n * l.m + c];
    return ES_OK;
}

es_status es_fractional_naive(es_arena *arena, const es_instance *instance, es_fractional *out,
                              es_error *err)
{
    ES_TRY(take_out(arena, instance, out, err));
    double left[ES_BUDGET_COUNT];
    memcpy(left, instance->budget, sizeof left);
    bool *done = ES_TAKE_ARRAY(arena, bool, instance->cell_count);
    if (done == NULL)
        return es_arena_full(arena, "profile", err);
    for (uint32_t round = 0; round < instance->cell_count; round++) {
        uint32_t best = ES_NOWHERE;
        for (uint32_t c = 0; c < instance->cell_count; c++)
            if (!done[c] &&
                (best == ES_NOWHERE ||
                 instance->cells[c].speed * instance->cells[best].use_per_s[ES_BUDGET_ENERGY] >
                     instance->cells[best].speed * instance->cells[c].use_per_s[ES_BUDGET_ENERGY]))
                best = c;
        const es_cell *cell = &instance->cells[best];
        double busy = cell->close_s - cell->open_s;
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            if (cell->use_per_s[b] > 0.0)
                busy = fmin(busy, left[b] / cell->use_per_s[b]);
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            left[b] = fmax(left[b] - busy * cell->use_per_s[b], 0.0);
        out->busy_s[best] = busy;
        done[best] = true;
    }
    return fill_profile(arena, instance, out, err);
}
