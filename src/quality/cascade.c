/* Cascades: what thresholds come to, and all choices worth having. */
#include "quality/internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double WORK_MAX = 2e8;

static void price(const es_cascade *cascade, es_cascade_point *point)
{
    point->cost = 0;
    for (size_t k = 0; k < cascade->stage_count; k++)
        point->cost += cascade->stages[k].cost * (double)point->reached[k];
    point->cost /= (double)cascade->count;
    point->accuracy = (double)point->right / (double)cascade->count;
}

void es_cascade_evaluate(const es_cascade *cascade, const double *thresholds,
                         es_cascade_point *out_point)
{
    es_cascade_point point = {0};
    size_t last = cascade->stage_count - 1;
    assert(cascade->stage_count >= 1 && cascade->stage_count <= ES_CASCADE_STAGES_MAX);
    for (size_t k = 0; k < last; k++)
        point.thresholds[k] = thresholds[k];
    for (size_t i = 0; i < cascade->count; i++) {
        size_t k = 0;
        for (; k < last && !(cascade->stages[k].confidence[i] >= thresholds[k]); k++)
            point.reached[k]++;
        point.reached[k]++;
        point.right += cascade->stages[k].right[i];
    }
    price(cascade, &point);
    *out_point = point;
}

/* ---- the sweep ---- */

/* Of all points with a number of right answers the cheapest is kept, in best[right]. */
typedef struct sweep {
    const es_cascade *cascade;
    es_cascade_point *best;                    /* [count + 1]; cost < 0: none yet */
    es_ranked *ranked;                         /* of the last stage that may stop, rising */
    const double *grid[ES_CASCADE_STAGES_MAX]; /* thresholds to try, rising; INFINITY last */
    size_t grid_count[ES_CASCADE_STAGES_MAX];
    bool *passed; /* [count] reached the last stage that may stop */
} sweep;

static void offer(sweep *s, es_cascade_point *point)
{
    price(s->cascade, point);
    es_cascade_point *old = &s->best[point->right];
    if (old->cost < 0 || point->cost < old->cost)
        *old = *point;
}

/* All thresholds of stage k = stage_count - 2 for those that reach it, from never stopping down. */
static void sweep_last(sweep *s, es_cascade_point point)
{
    const es_cascade *cascade = s->cascade;
    size_t k = cascade->stage_count - 2;
    const bool *here = cascade->stages[k].right;
    const bool *next = cascade->stages[k + 1].right;
    for (size_t i = 0; i < cascade->count; i++)
        if (s->passed[i])
            point.right += next[i];
    point.reached[k + 1] = point.reached[k];
    point.thresholds[k] = (double)INFINITY;
    offer(s, &point);
    for (size_t i = cascade->count; i-- > 0;) {
        size_t row = s->ranked[i].row;
        if (s->passed[row]) {
            point.right += here[row];
            point.right -= next[row];
            point.reached[k + 1]--;
        }
        point.thresholds[k] = s->ranked[i].confidence;
        if (i == 0 || s->ranked[i - 1].confidence < point.thresholds[k])
            offer(s, &point); /* behind the last of equals */
    }
}

/* Thresholds of the stages before, one digit each of a counter. */
static void sweep_all(sweep *s)
{
    const es_cascade *cascade = s->cascade;
    size_t outer = cascade->stage_count - 2;
    size_t digits[ES_CASCADE_STAGES_MAX] = {0};
    for (;;) {
        es_cascade_point point = {0};
        for (size_t k = 0; k < outer; k++)
            point.thresholds[k] = s->grid[k][digits[k]];
        for (size_t i = 0; i < cascade->count; i++) {
            size_t k = 0;
            for (; k < outer && cascade->stages[k].confidence[i] < point.thresholds[k]; k++)
                point.reached[k]++;
            point.reached[k]++;
            s->passed[i] = k == outer;
            point.right += k < outer && cascade->stages[k].right[i];
        }
        sweep_last(s, point);
        size_t k = 0;
        for (; k < outer && ++digits[k] == s->grid_count[k]; k++)
            digits[k] = 0;
        if (k == outer)
            return;
    }
}

/* Distinct confidences of a stage, thinned to at most most of them; INFINITY last. */
static es_status make_grid(es_arena *arena, const es_cascade *cascade, size_t stage, size_t most,
                           sweep *s, bool *exact, es_error *err)
{
    es_ranked *ranked = NULL;
    ES_TRY(es_rank(arena, cascade->stages[stage].confidence, cascade->count, &ranked, err));
    double *grid = ES_TAKE_ARRAY(arena, double, cascade->count + 1);
    if (grid == NULL)
        return es_arena_full(arena, "thresholds", err);
    size_t distinct = 0;
    for (size_t i = 0; i < cascade->count; i++)
        if (i == 0 || ranked[i].confidence > ranked[i - 1].confidence)
            grid[distinct++] = ranked[i].confidence;
    size_t kept = distinct;
    if (distinct + 1 > most) {
        *exact = false;
        kept = most - 1;
        for (size_t i = 0; i < kept; i++)
            grid[i] = grid[i * distinct / kept];
    }
    grid[kept] = (double)INFINITY;
    s->grid[stage] = grid;
    s->grid_count[stage] = kept + 1;
    return ES_OK;
}

/* By rising cost those with more right answers than any cheaper one: from the best down. */
static es_status collect(es_arena *arena, sweep *s, es_cascade_curve *out, es_error *err)
{
    size_t most = s->cascade->count;
    es_cascade_point *points = ES_TAKE_ARRAY(arena, es_cascade_point, most + 1);
    if (points == NULL)
        return es_arena_full(arena, "curve", err);
    size_t count = 0;
    double cheapest = (double)INFINITY;
    for (size_t right = most + 1; right-- > 0;) {
        if (s->best[right].cost >= 0 && s->best[right].cost < cheapest) {
            cheapest = s->best[right].cost;
            points[count++] = s->best[right];
        }
    }
    for (size_t i = 0; i < count / 2; i++) {
        es_cascade_point swap = points[i];
        points[i] = points[count - 1 - i];
        points[count - 1 - i] = swap;
    }
    out->points = points;
    out->count = count;
    return ES_OK;
}

static es_status check(const es_cascade *cascade, es_error *err)
{
    if (cascade->stage_count < 1 || cascade->stage_count > ES_CASCADE_STAGES_MAX ||
        cascade->count < 1)
        return es_fail(err, ES_ERR_ARG,
                       "a cascade of %zu stages and %zu samples must have 1..%d, "
                       ">= 1",
                       cascade->stage_count, cascade->count, ES_CASCADE_STAGES_MAX);
    for (size_t k = 0; k < cascade->stage_count; k++)
        if (!(cascade->stages[k].cost >= 0 && isfinite(cascade->stages[k].cost)))
            return es_fail(err, ES_ERR_ARG, "cost %g of stage %zu must be finite and >= 0",
                           cascade->stages[k].cost, k + 1);
    return ES_OK;
}

es_status es_cascade_sweep(es_arena *arena, const es_cascade *cascade, double work_max,
                           es_cascade_curve *out_curve, es_error *err)
{
    ES_TRY(check(cascade, err));
    sweep s = {.cascade = cascade,
               .best = ES_TAKE_ARRAY(arena, es_cascade_point, cascade->count + 1),
               .passed = ES_TAKE_ARRAY(arena, bool, cascade->count)};
    if (s.best == NULL || s.passed == NULL)
        return es_arena_full(arena, "curve", err);
    for (size_t i = 0; i <= cascade->count; i++)
        s.best[i].cost = -1;
    es_cascade_curve curve = {.exact = true};
    if (cascade->stage_count == 1) {
        es_cascade_point only;
        es_cascade_evaluate(cascade, NULL, &only);
        offer(&s, &only);
    } else {
        size_t outer = cascade->stage_count - 2;
        double work = (work_max > 0 ? work_max : WORK_MAX) / (double)cascade->count;
        double each = outer > 0 ? floor(pow(work, 1.0 / (double)outer)) : 1;
        each = fmin(fmax(each, 2), (double)cascade->count + 1);
        for (size_t k = 0; k < outer; k++)
            ES_TRY(make_grid(arena, cascade, k, (size_t)each, &s, &curve.exact, err));
        ES_TRY(es_rank(arena, cascade->stages[outer].confidence, cascade->count, &s.ranked, err));
        sweep_all(&s);
    }
    ES_TRY(collect(arena, &s, &curve, err));
    *out_curve = curve;
    return ES_OK;
}

double es_cascade_rule(double value, double p_next, double cost_next)
{
    assert(value > 0);
    return p_next - cost_next / value;
}
