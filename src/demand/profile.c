/* The factor on the mean rate as time goes. */
#include "base/clock.h"
#include "demand/demand.h"

#include <math.h>

enum { DIURNAL_STEPS = 96, FLASH_STEPS = 16, FLASH_HALVES = 20 };

const char *const es_popularity_names[ES_POPULARITY_COUNT] = {"fixed", "sliding", "adversarial"};

double es_zipf_share(double exponent, uint32_t rank_count, uint32_t rank)
{
    double sum = 0;
    for (uint32_t i = 0; i < rank_count; i++)
        sum += pow(i + 1.0, -exponent);
    return pow(rank + 1.0, -exponent) / sum;
}

uint32_t es_popularity_rank(const es_rate_profile *profile, double t_s)
{
    uint32_t count = profile->rank_count;
    double period = floor(t_s / profile->period_s);
    if (profile->popularity == ES_POPULARITY_SLIDING)
        return (uint32_t)fmod(profile->rank + fmod(period * profile->shift, count), count);
    if (profile->popularity == ES_POPULARITY_ADVERSARIAL && fmod(period, 2) > 0.5)
        return count - 1 - profile->rank;
    return profile->rank;
}

/* The end of the step of this length that t_s lies in; after t_s also where rounding interferes. */
static double step_end(double t_s, double length_s)
{
    double index = floor(t_s / length_s);
    double end_s = (index + 1) * length_s;
    return end_s > t_s ? end_s : (index + 2) * length_s;
}

static double diurnal(const es_rate_profile *profile, double t_s, double *until_s)
{
    static const double TURN = 6.283185307179586;
    double step_s = profile->period_s / DIURNAL_STEPS;
    *until_s = step_end(t_s, step_s);
    double middle_s = *until_s - step_s / 2;
    return 1 + profile->depth * cos(TURN * (middle_s - profile->peak_s) / profile->period_s);
}

static double flash(const es_rate_profile *profile, double t_s, double *until_s)
{
    double since_s = t_s - profile->start_s;
    double step_s = profile->half_life_s / FLASH_STEPS;
    if (since_s < 0) {
        *until_s = profile->start_s;
        return 1;
    }
    if (since_s >= FLASH_HALVES * profile->half_life_s) {
        *until_s = (double)INFINITY;
        return 1;
    }
    double end_s = step_end(since_s, step_s);
    *until_s = profile->start_s + end_s;
    if (*until_s <= t_s)
        *until_s = t_s + step_s;
    return 1 + profile->factor * exp2((step_s / 2 - end_s) / profile->half_life_s);
}

static size_t series_index(const es_series *series, double t_s)
{
    size_t low = 0;
    size_t high = series->count;
    int64_t when_ns = es_ns_from_s(t_s);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (series->start_ns[middle] <= when_ns)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double from_series(const es_rate_profile *profile, double t_s, double *until_s)
{
    const es_series *series = profile->series;
    double base_s = 0;
    if (profile->period_s > 0)
        base_s = floor(t_s / profile->period_s) * profile->period_s;
    size_t i = series_index(series, t_s - base_s);
    double end_s = (double)INFINITY;
    if (i + 1 < series->count)
        end_s = base_s + es_s_from_ns(series->start_ns[i + 1]);
    if (profile->period_s > 0)
        end_s = fmin(end_s, base_s + profile->period_s);
    *until_s = end_s > t_s ? end_s : t_s + 1e-9 * fmax(1, t_s);
    return series->value[i];
}

double es_rate_profile_factor(const es_rate_profile *profile, double t_s, double *out_until_s)
{
    double until_s = (double)INFINITY;
    double factor = 1;
    switch (profile->kind) {
    case ES_PROFILE_DIURNAL:
        factor = diurnal(profile, t_s, &until_s);
        break;
    case ES_PROFILE_POPULARITY:
        if (profile->popularity != ES_POPULARITY_FIXED)
            until_s = step_end(t_s, profile->period_s);
        factor = pow((profile->rank + 1.0) /
                         (es_popularity_rank(profile, t_s + 1e-9 * profile->period_s) + 1.0),
                     profile->exponent);
        break;
    case ES_PROFILE_FLASH:
        factor = flash(profile, t_s, &until_s);
        break;
    case ES_PROFILE_SERIES:
        factor = from_series(profile, t_s, &until_s);
        break;
    case ES_PROFILE_ON_OFF:
    case ES_PROFILE_COUNT:
        break;
    }
    if (out_until_s != NULL)
        *out_until_s = until_s;
    return factor;
}

double es_series_at(const es_series *series, int64_t when_ns)
{
    return series->value[series_index(series, es_s_from_ns(when_ns))];
}

double es_series_mean(const es_series *series, double from_s, double to_s)
{
    double sum = 0;
    size_t i = series_index(series, from_s);
    for (double t_s = from_s; t_s < to_s; i++) {
        double end_s = to_s;
        if (i + 1 < series->count)
            end_s = fmin(to_s, es_s_from_ns(series->start_ns[i + 1]));
        sum += series->value[i] * (end_s - t_s);
        t_s = end_s;
    }
    return sum / (to_s - from_s);
}
