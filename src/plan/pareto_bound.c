/*
 * What is proven about the points that were not found, as a hypervolume.
 *
 * Boxes and cuts give a least first measure g for limits on the others, and g falls as the limits
 * widen. So over each cell of a grid in the other measures the volume below the reference is at
 * most (reference - g at the cell's upper corner): the sum is an upper bound of the hypervolume of
 * any set of plans, exact for boxes since their corners are lines of the grid.
 */
#include "plan/pareto.h"

#include <math.h>

enum { LINES_2 = 4096, LINES_3 = 192 };

static double cut_least(const es_front_cut *cut, uint32_t count, const double *limits)
{
    double rest = cut->least;
    for (uint32_t k = 1; k < count; k++)
        if (cut->weights[k] > 0.0)
            rest -= cut->weights[k] * limits[k];
    if (cut->weights[0] > 0.0)
        return rest / cut->weights[0];
    return rest > 0.0 ? (double)INFINITY : -(double)INFINITY;
}

double es_front_least(const es_front *front, const double *limits)
{
    double least = -(double)INFINITY;
    for (size_t i = 0; i < front->cut_count; i++)
        least = fmax(least, cut_least(&front->cuts[i], front->measure_count, limits));
    for (size_t i = 0; i < front->box_count; i++) {
        const es_front_box *box = &front->boxes[i];
        if (box->corner[0] > least &&
            es_front_covers(limits + 1, box->corner + 1, front->measure_count - 1))
            least = box->corner[0];
    }
    return least;
}

/* Lines of the grid along one measure. */
typedef struct lines {
    double *at;
    size_t count;
} lines;

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* The proven least of a measure by itself; -INFINITY: none. */
static double proven_least(const es_front *front, uint32_t k)
{
    double least = -(double)INFINITY;
    for (size_t i = 0; i < front->cut_count; i++) {
        const es_front_cut *cut = &front->cuts[i];
        bool alone = cut->weights[k] > 0.0;
        for (uint32_t j = 0; j < front->measure_count; j++)
            alone = alone && (j == k || cut->weights[j] <= 0.0);
        if (alone)
            least = fmax(least, cut->least / cut->weights[k]);
    }
    return least;
}

static es_status draw_lines(es_arena *scratch, const es_front *front, uint32_t k, double low,
                            lines *out, es_error *err)
{
    size_t even = front->cut_count <= front->measure_count ? 1
                  : front->measure_count == 2              ? LINES_2
                                                           : LINES_3;
    double high = front->reference[k];
    out->at = ES_TAKE_ARRAY(scratch, double, even + 1 + front->box_count);
    if (out->at == NULL)
        return es_arena_full(scratch, "grid", err);
    for (size_t i = 0; i <= even; i++)
        out->at[out->count++] = i == even ? high : low + (high - low) * (double)i / (double)even;
    for (size_t i = 0; i < front->box_count; i++) {
        double corner = front->boxes[i].corner[k];
        if (corner > low && corner < high)
            out->at[out->count++] = corner;
    }
    qsort(out->at, out->count, sizeof *out->at, compare_numbers);
    size_t kept = 1;
    for (size_t i = 1; i < out->count; i++)
        if (out->at[i] > out->at[kept - 1])
            out->at[kept++] = out->at[i];
    out->count = kept;
    return ES_OK;
}

/* Of one row of cells along measure 1, with the third measure up to limits[2]. */
static double row_area(const es_front *front, const lines *along, double low, double *limits)
{
    double area = 0.0;
    for (size_t i = 1; i < along->count; i++) {
        limits[1] = along->at[i];
        double least = fmax(es_front_least(front, limits), low);
        if (least < front->reference[0])
            area += (along->at[i] - along->at[i - 1]) * (front->reference[0] - least);
    }
    return area;
}

static es_status bound_volume(es_arena *scratch, es_front *front, double unit, es_error *err)
{
    double low[ES_FRONT_MEASURES_MAX];
    double limits[ES_FRONT_MEASURES_MAX] = {0};
    lines grid[ES_FRONT_MEASURES_MAX] = {{0}};
    front->hypervolume_bound = (double)INFINITY;
    for (uint32_t k = 0; k < front->measure_count; k++) {
        low[k] = proven_least(front, k);
        if (!isfinite(low[k]))
            return ES_OK;
        low[k] = fmin(low[k], front->ideal[k]);
        if (k > 0)
            ES_TRY(draw_lines(scratch, front, k, low[k], &grid[k], err));
    }
    double volume = 0.0;
    if (front->measure_count == 2)
        volume = row_area(front, &grid[1], low[0], limits);
    for (size_t i = 1; i < grid[2].count; i++) {
        limits[2] = grid[2].at[i];
        volume += (grid[2].at[i] - grid[2].at[i - 1]) * row_area(front, &grid[1], low[0], limits);
    }
    front->hypervolume_bound = fmax(volume / unit, front->hypervolume);
    return ES_OK;
}

es_status es_front_measure(es_arena *scratch, es_front *front, es_error *err)
{
    uint32_t count = front->measure_count;
    double unit = 1.0;
    front->hypervolume_bound = (double)INFINITY;
    if (front->point_count == 0)
        return ES_OK;
    for (uint32_t k = 0; k < count; k++) {
        double worst = front->points[0].values[k];
        front->ideal[k] = worst;
        for (size_t i = 0; i < front->point_count; i++) {
            front->ideal[k] = fmin(front->ideal[k], front->points[i].values[k]);
            worst = fmax(worst, front->points[i].values[k]);
        }
        double range = worst - front->ideal[k];
        if (!(range > 1e-12 * fabs(worst)))
            range = fabs(worst) > 0.0 ? fabs(worst) : 1.0;
        front->reference[k] = front->ideal[k] + 1.1 * range;
        unit *= range;
    }
    double *values = ES_TAKE_ARRAY(scratch, double, front->point_count *count);
    if (values == NULL)
        return es_arena_full(scratch, "front", err);
    for (size_t i = 0; i < front->point_count; i++)
        memcpy(values + i * count, front->points[i].values, count * sizeof *values);
    ES_TRY(es_hypervolume(scratch, values, front->point_count, count, front->reference,
                          &front->hypervolume, err));
    front->hypervolume /= unit;
    return bound_volume(scratch, front, unit, err);
}
