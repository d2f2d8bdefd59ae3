/*
 * Hypervolume: what a set of points dominates below a reference, all smaller is better.
 *
 * Points are turned over first: gain_k = reference_k - point_k > 0, so the volume is that of the
 * union of the boxes [0, gain]. Two dimensions: one sweep over the sorted staircase. Three: a sweep
 * over the third, keeping the staircase of the first two. More: WFG (While, Bradstreet, Barone
 * 2012), the sum over points of what each has that no later one has.
 */
#include "plan/plan.h"

#include <math.h>

enum { DIMENSIONS_MAX = 8 };

typedef struct gain {
    double of[DIMENSIONS_MAX];
} gain;

/* Largest last coordinate first; then the one before, and so on. */
static int compare_last(const void *left, const void *right)
{
    const gain *a = left;
    const gain *b = right;
    for (int k = DIMENSIONS_MAX - 1; k >= 0; k--)
        if (a->of[k] < b->of[k] || a->of[k] > b->of[k])
            return a->of[k] > b->of[k] ? -1 : 1;
    return 0;
}

static double volume_2(gain *gains, size_t count)
{
    double volume = 0.0;
    double widest = 0.0;
    if (count > 1)
        qsort(gains, count, sizeof *gains, compare_last);
    for (size_t i = 0; i < count; i++) {
        widest = fmax(widest, gains[i].of[0]);
        double next = i + 1 < count ? gains[i + 1].of[1] : 0.0;
        volume += widest * (gains[i].of[1] - next);
    }
    return volume;
}

/* Steps of the staircase: [0] falls as [1] rises. */
typedef struct stairs {
    gain *steps; /* by [0], largest first */
    size_t count;
} stairs;

/* Adds a step and tells by how much the area grows. O(steps passed + moved). */
static double add_step(stairs *s, const gain *step)
{
    size_t first = 0; /* the first step no wider than the new one */
    size_t middle;
    for (size_t end = s->count; first < end;) {
        middle = first + (end - first) / 2;
        if (s->steps[middle].of[0] > step->of[0])
            first = middle + 1;
        else
            end = middle;
    }
    double floor_height = first > 0 ? s->steps[first - 1].of[1] : 0.0;
    if (floor_height >= step->of[1] || (first < s->count && s->steps[first].of[0] >= step->of[0] &&
                                        s->steps[first].of[1] >= step->of[1]))
        return 0.0;
    /* The part over each covered step, from the bottom up. */
    double grown = 0.0;
    size_t last = first;
    for (; last < s->count && s->steps[last].of[1] <= step->of[1]; last++) {
        grown += (step->of[0] - s->steps[last].of[0]) * (s->steps[last].of[1] - floor_height);
        floor_height = s->steps[last].of[1];
    }
    double behind = last < s->count ? s->steps[last].of[0] : 0.0;
    grown += (step->of[0] - behind) * (step->of[1] - floor_height);
    gain copy = *step;
    memmove(s->steps + first + 1, s->steps + last, (s->count - last) * sizeof *s->steps);
    s->count = s->count - (last - first) + 1;
    s->steps[first] = copy;
    return grown;
}

/* room: count + 1 gains. */
static double volume_3(gain *gains, size_t count, gain *room)
{
    stairs s = {.steps = room};
    double volume = 0.0;
    double area = 0.0;
    if (count > 1)
        qsort(gains, count, sizeof *gains, compare_last);
    for (size_t i = 0; i < count; i++) {
        area += add_step(&s, &gains[i]);
        double next = i + 1 < count ? gains[i + 1].of[2] : 0.0;
        volume += area * (gains[i].of[2] - next);
    }
    return volume;
}

static bool covers(const gain *a, const gain *b, uint32_t dimensions)
{
    for (uint32_t k = 0; k < dimensions; k++)
        if (a->of[k] < b->of[k])
            return false;
    return true;
}

/* What remains of gains[first..count) inside the box of one, without the covered. */
static size_t limit(const gain *gains, size_t first, size_t count, const gain *one,
                    uint32_t dimensions, gain *out)
{
    size_t kept = 0;
    for (size_t i = first; i < count; i++) {
        gain inside = {{0}};
        for (uint32_t k = 0; k < dimensions; k++)
            inside.of[k] = fmin(gains[i].of[k], one->of[k]);
        bool covered = false;
        size_t left = 0;
        for (size_t j = 0; j < kept && !covered; j++)
            covered = covers(&out[j], &inside, dimensions);
        if (covered)
            continue;
        for (size_t j = 0; j < kept; j++)
            if (!covers(&inside, &out[j], dimensions))
                out[left++] = out[j];
        out[left++] = inside;
        kept = left;
    }
    return kept;
}

/* A set whose volume is being summed: one level of WFG. */
typedef struct level {
    gain *gains;
    size_t count;
    size_t at;     /* the point whose exclusive part is being found */
    double volume; /* so far */
} level;

static double box(const gain *one, uint32_t dimensions)
{
    double volume = 1.0;
    for (uint32_t k = 0; k < dimensions; k++)
        volume *= one->of[k];
    return volume;
}

/* The levels are at most as many as points, since each has one fewer than the one above. */
static es_status volume_wfg(es_arena *scratch, gain *gains, size_t count, uint32_t dimensions,
                            double *out_volume, es_error *err)
{
    level *levels = ES_TAKE_ARRAY(scratch, level, count + 1);
    if (levels == NULL)
        return es_arena_full(scratch, "hypervolume", err);
    qsort(gains, count, sizeof *gains, compare_last);
    levels[0] = (level){.gains = gains, .count = count};
    for (size_t depth = 0;;) {
        level *here = &levels[depth];
        if (here->at == here->count) {
            if (depth == 0)
                break;
            double volume = here->volume;
            depth--;
            levels[depth].volume -= volume;
            levels[depth].at++;
            continue;
        }
        const gain *one = &here->gains[here->at];
        here->volume += box(one, dimensions);
        level *below = &levels[depth + 1];
        if (below->gains == NULL) { /* this deep for the first time: room for all there can be */
            below->gains = ES_TAKE_ARRAY(scratch, gain, count - depth);
            if (below->gains == NULL)
                return es_arena_full(scratch, "hypervolume", err);
        }
        below->count = limit(here->gains, here->at + 1, here->count, one, dimensions, below->gains);
        below->at = 0;
        below->volume = 0.0;
        depth++;
    }
    *out_volume = levels[0].volume;
    return ES_OK;
}

es_status es_hypervolume(es_arena *scratch, const double *points, size_t count, uint32_t dimensions,
                         const double *reference, double *out_volume, es_error *err)
{
    if (dimensions < 1 || dimensions > DIMENSIONS_MAX)
        return es_fail(err, ES_ERR_ARG, "hypervolume: dimensions=%u must be 1..%d",
                       (unsigned)dimensions, DIMENSIONS_MAX);
    gain *gains = ES_TAKE_ARRAY(scratch, gain, count + 1);
    gain *room = ES_TAKE_ARRAY(scratch, gain, count + 1);
    if (gains == NULL || room == NULL)
        return es_arena_full(scratch, "hypervolume", err);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool below = true;
        gain one = {{0}};
        for (uint32_t k = 0; k < dimensions; k++) {
            one.of[k] = reference[k] - points[i * dimensions + k];
            if (!isfinite(one.of[k]))
                return es_fail(err, ES_ERR_ARG,
                               "hypervolume: points[%zu][%u]=%g and reference %g must be finite", i,
                               (unsigned)k, points[i * dimensions + k], reference[k]);
            below = below && one.of[k] > 0.0;
        }
        if (below)
            gains[kept++] = one;
    }
    *out_volume = 0.0;
    if (dimensions == 1)
        for (size_t i = 0; i < kept; i++)
            *out_volume = fmax(*out_volume, gains[i].of[0]);
    else if (dimensions == 2)
        *out_volume = volume_2(gains, kept);
    else if (dimensions == 3)
        *out_volume = volume_3(gains, kept, room);
    else if (kept > 0)
        return volume_wfg(scratch, gains, kept, dimensions, out_volume, err);
    return ES_OK;
}
