/* Thresholds with a guarantee: exact binomial tests in a fixed order. */
#include "quality/internal.h"

#include <math.h>

enum { PATH_STEPS = 640, STARTS = 16 };

/* 1 - 2^(-k/16): finer the surer. 2^-40 is below what a float can tell from 1. */
static double threshold_at(size_t k)
{
    return 1 - exp2(-(double)k / 16);
}

es_status es_guarantee_path_fixed(es_arena *arena, size_t stage_count, const double **out_path,
                                  size_t *out_count, es_error *err)
{
    size_t width = stage_count > 1 ? stage_count - 1 : 1;
    size_t count = PATH_STEPS + 2;
    double *path = ES_TAKE_ARRAY(arena, double, count *width);
    if (path == NULL)
        return es_arena_full(arena, "thresholds", err);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < width; k++)
            path[i * width + k] = i == 0 ? (double)INFINITY : threshold_at(PATH_STEPS + 1 - i);
    *out_path = path;
    *out_count = count;
    return ES_OK;
}

es_status es_guarantee_path_curve(es_arena *arena, const es_cascade_curve *curve,
                                  size_t stage_count, const double **out_path, size_t *out_count,
                                  es_error *err)
{
    size_t width = stage_count > 1 ? stage_count - 1 : 1;
    double *path = ES_TAKE_ARRAY(arena, double, (curve->count + 1) * width);
    if (path == NULL)
        return es_arena_full(arena, "thresholds", err);
    for (size_t k = 0; k < width; k++)
        path[k] = (double)INFINITY;
    for (size_t i = 0; i < curve->count; i++)
        for (size_t k = 0; k < width; k++)
            path[(i + 1) * width + k] = curve->points[curve->count - 1 - i].thresholds[k];
    *out_path = path;
    *out_count = curve->count + 1;
    return ES_OK;
}

static es_status check(double target, double delta, size_t count, es_error *err)
{
    if (!(target > 0 && target < 1) || !(delta > 0 && delta < 1) || count < 1)
        return es_fail(err, ES_ERR_ARG,
                       "target=%g and delta=%g must be in (0, 1), and of %zu samples there must be "
                       "one",
                       target, delta, count);
    return ES_OK;
}

/* Chance of right or more of count when the accuracy is just the target. */
static double p_value(size_t right, size_t count, double target)
{
    return right == 0 ? 1 : 1 - es_binomial_cdf(right - 1, count, target);
}

es_status es_guarantee_cascade(const es_cascade *cascade, const double *path, size_t path_count,
                               double target, double delta, es_guarantee *out_guarantee,
                               es_error *err)
{
    ES_TRY(check(target, delta, cascade->count, err));
    size_t width = cascade->stage_count > 1 ? cascade->stage_count - 1 : 1;
    es_guarantee out = {0};
    for (size_t i = 0; i < path_count; i++) {
        es_cascade_point point;
        es_cascade_evaluate(cascade, path + i * width, &point);
        out.tested++;
        if (p_value(point.right, cascade->count, target) > delta)
            break;
        if (!out.found || point.cost < out.point.cost)
            out.point = point;
        out.found = true;
    }
    if (out.found) /* one-sided: all of delta below */
        out.accuracy_low = es_bounds_share(out.point.right, cascade->count, 2 * delta).low;
    *out_guarantee = out;
    return ES_OK;
}

es_status es_guarantee_selective(const double *confidence, const bool *right, size_t count,
                                 double target, double delta, es_selective *out_selective,
                                 es_error *err)
{
    ES_TRY(check(target, delta, count, err));
    size_t accepted[PATH_STEPS + 1] = {0};
    size_t rights[PATH_STEPS + 1] = {0};
    for (size_t k = 0; k <= PATH_STEPS; k++) {
        double threshold = threshold_at(k);
        for (size_t i = 0; i < count; i++) {
            accepted[k] += confidence[i] >= threshold;
            rights[k] += confidence[i] >= threshold && right[i];
        }
    }
    es_selective out = {0};
    size_t best = PATH_STEPS + 1;
    /* each start walks down on its own, to the first failure, at delta / STARTS */
    for (size_t start = 1; start <= STARTS; start++) {
        for (size_t k = start * (PATH_STEPS / 4) / STARTS + 1; k-- > 0;) {
            if (p_value(rights[k], accepted[k], target) > delta / STARTS)
                break;
            best = k < best ? k : best;
        }
    }
    if (best <= PATH_STEPS) {
        out = (es_selective){.found = true,
                             .threshold = threshold_at(best),
                             .accepted = accepted[best],
                             .right = rights[best]};
        out.accuracy_low =
            es_bounds_share(out.right, out.accepted, fmin(2 * delta / STARTS, 1)).low;
    }
    *out_selective = out;
    return ES_OK;
}
