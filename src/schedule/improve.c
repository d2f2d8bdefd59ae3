/* Local search on the cells of tasks: moves and swaps. */
#include "schedule/internal.h"

#include <math.h>

/* Refits of a whole instance are affordable for about this many neighbours. */
static const size_t WHOLE_NEIGHBOURS_MAX = 3000;
static const size_t STARTS_NEIGHBOURS_MAX = 200; /* and several starts for so many */
/* Segments looked at by priced gains, in total: about two seconds. */
static const double PRICED_SEGMENTS_MAX = 5e7;
static const double GAIN_MIN = 1e-10; /* relative; smaller is noise */
static const double ENOUGH = 1e-5;    /* relative distance to the bound that ends the search */

typedef struct state {
    const es_instance *instance;
    es_refit *refit;
    es_arena *scratch;
    es_assigned *best;
    const es_limit *limit;
    double bound;
    double gap;
    es_error *err;
    /* priced: */
    double prices[ES_BUDGET_COUNT];
    uint32_t *trial; /* [task_count] */
    double segments_left;
} state;

static size_t neighbours_of(const es_instance *instance)
{
    size_t n = instance->task_count;
    return n * (n / 2 + instance->cell_count);
}

static bool is_over(const state *s)
{
    return s->best->gain >= s->bound * (1.0 - ENOUGH) || es_limit_left_s(s->limit) <= 0.0;
}

static es_status try_cells(state *s, uint32_t *cell_of, bool *out_better)
{
    es_mix mix = {0};
    ES_TRY(es_refit_solve(s->refit, s->scratch, cell_of, s->gap, NULL, NULL, &mix, s->err));
    *out_better = mix.gain > s->best->gain + GAIN_MIN * fabs(s->bound);
    if (*out_better)
        s->best->gain = mix.gain;
    return ES_OK;
}

/* Moves of j to every other cell (or nowhere), and swaps with later tasks; keeps the first that
 * helps. */
static es_status try_task(state *s, uint32_t j, bool *out_any)
{
    const es_instance *instance = s->instance;
    uint32_t *cell_of = s->best->cell_of;
    bool better = false;
    for (uint32_t i = 0; i <= instance->cell_count; i++) {
        uint32_t c = i < instance->cell_count ? i : ES_NOWHERE;
        uint32_t before = cell_of[j];
        if (c == before || (c == ES_NOWHERE && !instance->networked))
            continue;
        cell_of[j] = c;
        ES_TRY(try_cells(s, cell_of, &better));
        *out_any = *out_any || better;
        if (!better)
            cell_of[j] = before;
    }
    for (uint32_t i = j + 1; i < instance->task_count; i++) {
        if (cell_of[i] == cell_of[j])
            continue;
        uint32_t swap = cell_of[i];
        cell_of[i] = cell_of[j];
        cell_of[j] = swap;
        ES_TRY(try_cells(s, cell_of, &better));
        *out_any = *out_any || better;
        if (!better) {
            swap = cell_of[i];
            cell_of[i] = cell_of[j];
            cell_of[j] = swap;
        }
    }
    return ES_OK;
}

static es_status climb(state *s)
{
    enum { ROUNDS_MAX = 50 };
    bool any = true;
    for (int round = 0; round < ROUNDS_MAX && any && !is_over(s); round++) {
        any = false;
        for (uint32_t j = 0; j < s->instance->task_count && !is_over(s); j++)
            ES_TRY(try_task(s, j, &any));
    }
    return ES_OK;
}

/* From where the rounding left off, then from everything on one cell, for each cell: far apart, so
 * that they seldom end in the same valley. */
static es_status search_whole(state *s)
{
    const es_instance *instance = s->instance;
    ES_TRY(climb(s));
    if (neighbours_of(instance) > STARTS_NEIGHBOURS_MAX)
        return ES_OK;
    uint32_t *best = ES_TAKE_ARRAY(s->scratch, uint32_t, instance->task_count);
    if (best == NULL)
        return es_arena_full(s->scratch, "local search", s->err);
    memcpy(best, s->best->cell_of, instance->task_count * sizeof *best);
    double best_gain = s->best->gain;
    for (uint32_t c = 0; c < instance->cell_count && !is_over(s); c++) {
        for (uint32_t j = 0; j < instance->task_count; j++)
            s->best->cell_of[j] = c;
        s->best->gain = -(double)INFINITY;
        bool better;
        ES_TRY(try_cells(s, s->best->cell_of, &better));
        ES_TRY(climb(s));
        if (s->best->gain > best_gain) {
            best_gain = s->best->gain;
            memcpy(best, s->best->cell_of, instance->task_count * sizeof *best);
        }
    }
    memcpy(s->best->cell_of, best, instance->task_count * sizeof *best);
    s->best->gain = best_gain;
    return ES_OK;
}

/* Tasks of cell c, with one left out and one put in (ES_NOWHERE: none), in order. */
static uint32_t list_cell(state *s, uint32_t c, uint32_t without, uint32_t with)
{
    uint32_t count = 0;
    for (uint32_t j = 0; j < s->instance->task_count; j++)
        if ((s->best->cell_of[j] == c && j != without) || j == with)
            s->trial[count++] = j;
    return count;
}

static double cell_gain(state *s, uint32_t c, uint32_t without, uint32_t with)
{
    uint32_t count = list_cell(s, c, without, with);
    s->segments_left -= s->instance->task_count / 16.0 + count;
    return es_refit_cell(s->refit, c, s->trial, count, s->prices, NULL);
}

typedef struct loss {
    double value;
    uint32_t place;
} loss;

static int by_loss(const void *a, const void *b)
{
    const loss *left = a;
    const loss *right = b;
    if (left->value != right->value)
        return left->value > right->value ? -1 : 1;
    return (left->place > right->place) - (left->place < right->place);
}

/* One pass over the tasks that lost most against the relaxation: each to the cell that gains most
 * at the present prices. */
static bool move_losers(state *s, const loss *losses, double *cell_gains)
{
    const es_instance *instance = s->instance;
    bool any = false;
    for (uint32_t i = 0; i < instance->task_count && s->segments_left > 0.0; i++) {
        uint32_t j = losses[i].place;
        uint32_t from = s->best->cell_of[j];
        if (losses[i].value <= 0.0 || es_limit_left_s(s->limit) <= 0.0)
            break;
        double without = from == ES_NOWHERE ? 0.0 : cell_gain(s, from, j, ES_NOWHERE);
        double lost = from == ES_NOWHERE ? 0.0 : cell_gains[from] - without;
        uint32_t best = ES_NOWHERE;
        double best_gain = lost + GAIN_MIN * fabs(s->bound);
        double best_value = 0.0;
        for (uint32_t c = 0; c < instance->cell_count; c++) {
            if (c == from || es_cell_room_s(&instance->cells[c], instance->deadline[j]) <= 0.0)
                continue;
            double value = cell_gain(s, c, ES_NOWHERE, j);
            if (value - cell_gains[c] > best_gain) {
                best = c;
                best_gain = value - cell_gains[c];
                best_value = value;
            }
        }
        if (best == ES_NOWHERE)
            continue;
        s->best->cell_of[j] = best;
        cell_gains[best] = best_value;
        if (from != ES_NOWHERE)
            cell_gains[from] = without;
        any = true;
    }
    return any;
}

static es_status search_priced(state *s, const es_fractional *fractional)
{
    enum { ROUNDS_MAX = 10 };
    const es_instance *instance = s->instance;
    loss *losses = ES_TAKE_ARRAY(s->scratch, loss, instance->task_count);
    double *cell_gains = ES_TAKE_ARRAY(s->scratch, double, instance->cell_count);
    double *work = ES_TAKE_ARRAY(s->scratch, double, instance->task_count);
    double *busy_s = ES_TAKE_ARRAY(s->scratch, double, instance->cell_count);
    uint32_t *kept = ES_TAKE_ARRAY(s->scratch, uint32_t, instance->task_count);
    s->trial = ES_TAKE_ARRAY(s->scratch, uint32_t, instance->task_count);
    if (losses == NULL || cell_gains == NULL || work == NULL || busy_s == NULL || kept == NULL ||
        s->trial == NULL)
        return es_arena_full(s->scratch, "local search", s->err);
    memcpy(kept, s->best->cell_of, instance->task_count * sizeof *kept);
    memcpy(work, s->best->work, instance->task_count * sizeof *work);
    for (int round = 0; round < ROUNDS_MAX && s->segments_left > 0.0 && !is_over(s); round++) {
        for (uint32_t j = 0; j < instance->task_count; j++)
            losses[j] = (loss){es_instance_gain(instance, j, fractional->work[j]) -
                                   es_instance_gain(instance, j, work[j]),
                               j};
        qsort(losses, instance->task_count, sizeof *losses, by_loss);
        for (uint32_t c = 0; c < instance->cell_count; c++)
            cell_gains[c] = cell_gain(s, c, ES_NOWHERE, ES_NOWHERE);
        bool any = move_losers(s, losses, cell_gains);
        es_mix mix = {0};
        ES_TRY(es_refit_solve(s->refit, s->scratch, s->best->cell_of, s->gap, work, busy_s, &mix,
                              s->err));
        memcpy(s->prices, mix.best_prices, sizeof s->prices);
        if (mix.gain > s->best->gain) {
            s->best->gain = mix.gain;
            memcpy(kept, s->best->cell_of, instance->task_count * sizeof *kept);
        } else {
            any = false;
        }
        if (!any)
            break;
    }
    memcpy(s->best->cell_of, kept, instance->task_count * sizeof *kept);
    return ES_OK;
}

es_status es_improve_run(const es_instance *instance, const es_fractional *fractional,
                         double gap_relative, const es_limit *limit, es_assigned *assigned,
                         es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_SCHEDULE_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "schedule: no memory for the local search");
    state s = {.instance = instance,
               .scratch = scratch,
               .best = assigned,
               .limit = limit,
               .bound = fractional->bound,
               .gap = gap_relative,
               .err = err,
               .segments_left = PRICED_SEGMENTS_MAX};
    double before = assigned->gain;
    memcpy(s.prices, fractional->prices, sizeof s.prices);
    ES_TRY(es_refit_new(scratch, instance, &s.refit, err));
    if (neighbours_of(instance) <= WHOLE_NEIGHBOURS_MAX)
        ES_TRY(search_whole(&s));
    else
        ES_TRY(search_priced(&s, fractional));
    if (assigned->gain <= before)
        return ES_OK;
    es_mix mix = {0};
    double *busy_s = ES_TAKE_ARRAY(scratch, double, instance->cell_count);
    if (busy_s == NULL)
        return es_arena_full(scratch, "local search", err);
    ES_TRY(es_refit_solve(s.refit, scratch, assigned->cell_of, gap_relative, assigned->work, busy_s,
                          &mix, err));
    assigned->gain = mix.gain;
    return ES_OK;
}
