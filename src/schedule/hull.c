/* Curves: the upper concave hull, and whether points are one. */
#include "schedule/documents.h"

#include <math.h>

/* Relative bend that rounding of written numbers explains. */
static const double BEND = 1e-9;

void es_curve_hull(uint32_t point_count, const double *work, const double *quality, bool *keep,
                   uint32_t *out_kept, double *out_lost)
{
    uint32_t kept = 0;
    memset(keep, 0, point_count * sizeof *keep);
    /* keep as a stack of indices would need memory: the last two kept are found by walking back. */
    for (uint32_t i = 0; i < point_count; i++) {
        uint32_t last = ES_HULL_NONE;
        for (uint32_t k = i; k > 0 && last == ES_HULL_NONE; k--)
            if (keep[k - 1])
                last = k - 1;
        if (last != ES_HULL_NONE && quality[i] <= quality[last])
            continue;
        while (last != ES_HULL_NONE) {
            uint32_t before = ES_HULL_NONE;
            for (uint32_t k = last; k > 0 && before == ES_HULL_NONE; k--)
                if (keep[k - 1])
                    before = k - 1;
            if (before == ES_HULL_NONE)
                break;
            double old = (quality[last] - quality[before]) / (work[last] - work[before]);
            double new = (quality[i] - quality[last]) / (work[i] - work[last]);
            if (new <= old *(1.0 + BEND))
                break;
            keep[last] = false;
            kept--;
            last = before;
        }
        keep[i] = true;
        kept++;
    }
    *out_kept = kept;
    *out_lost = 0.0;
    for (uint32_t i = 0, left = 0; i < point_count; i++) {
        if (keep[i]) {
            left = i;
            continue;
        }
        double height = quality[left];
        for (uint32_t right = i + 1; right < point_count; right++)
            if (keep[right]) {
                height += (quality[right] - quality[left]) * (work[i] - work[left]) /
                          (work[right] - work[left]);
                break;
            }
        *out_lost = fmax(*out_lost, height - quality[i]);
    }
}

static es_status check_points(const char *name, uint32_t count, const double *work,
                              const double *quality, es_error *err)
{
    if (count == 0)
        return es_fail(err, ES_ERR_PARSE, "curve '%s' has no point", name);
    if (work[0] != 0.0)
        return es_fail(err, ES_ERR_PARSE,
                       "curve '%s' starts at work %g: give the quality without work (guessing) as "
                       "a first point with work 0",
                       name, work[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (!(isfinite(work[i]) && isfinite(quality[i]) && quality[i] >= 0.0))
            return es_fail(err, ES_ERR_PARSE,
                           "curve '%s' point %u: quality %g must be finite and >= 0", name, i,
                           quality[i]);
        if (i > 0 && !(work[i] > work[i - 1]))
            return es_fail(err, ES_ERR_PARSE,
                           "curve '%s' point %u: work %g must be more than the %g before it", name,
                           i, work[i], work[i - 1]);
    }
    return ES_OK;
}

es_status es_curve_make(es_arena *arena, const char *name, uint32_t count, const double *work,
                        const double *quality, bool hull, es_curve *out, es_text *note,
                        es_error *err)
{
    ES_TRY(check_points(name, count, work, quality, err));
    bool *keep = ES_TAKE_ARRAY(arena, bool, count);
    double *own_work = ES_TAKE_ARRAY(arena, double, count);
    double *own_quality = ES_TAKE_ARRAY(arena, double, count);
    if (keep == NULL || own_work == NULL || own_quality == NULL)
        return es_arena_full(arena, "curves", err);
    uint32_t kept;
    double lost;
    es_curve_hull(count, work, quality, keep, &kept, &lost);
    bool loses = lost > 0.0; /* points of more work for the same quality are no loss */
    if (loses && !hull)
        return es_fail(err, ES_ERR_PARSE,
                       "curve '%s' is not concave and rising: with --hull %u of its %u points are "
                       "left out, the lowest of them %.4g under the hull",
                       name, count - kept, count, lost);
    if (loses)
        es_text_format(note, "%scurve '%s': %u of %u points left out, at most %.4g under the hull",
                       note->size > 0 ? "; " : "", name, count - kept, count, lost);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++)
        if (keep[i]) {
            own_work[at] = work[i];
            own_quality[at++] = quality[i];
        }
    *out = (es_curve){.name = name, .point_count = kept, .work = own_work, .quality = own_quality};
    return ES_OK;
}
