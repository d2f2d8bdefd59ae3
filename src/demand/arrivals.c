#include "base/clock.h"
#include "demand/demand.h"

#include <math.h>

/* Stream numbers of on/off switches lie far from those of arrivals. */
#define SWITCH_STREAM (UINT64_C(1) << 40)
enum { STEPS_MAX = 100 * 1000 * 1000 }; /* of a profile without one arrival */

const char *const es_arrival_names[ES_ARRIVAL_COUNT] = {"constant", "poisson", "trace"};

static const es_rate_profile *on_off_of(const es_arrivals *arrivals)
{
    for (uint32_t p = 0; p < arrivals->profile_count; p++) {
        if (arrivals->profiles[p].kind == ES_PROFILE_ON_OFF)
            return &arrivals->profiles[p];
    }
    return NULL;
}

/* Product of the factors at t_s and until when it holds. */
static double factor_at(const es_arrivals *arrivals, double t_s, double *out_until_s)
{
    double factor = 1;
    *out_until_s = (double)INFINITY;
    for (uint32_t p = 0; p < arrivals->profile_count; p++) {
        double until_s;
        factor *= es_rate_profile_factor(&arrivals->profiles[p], t_s, &until_s);
        *out_until_s = fmin(*out_until_s, until_s);
    }
    return factor;
}

/* Interval at factor 1. */
static double interval_s(es_arrival_stream *stream)
{
    double rate = stream->arrivals.rate_rps;
    return stream->arrivals.kind == ES_ARRIVAL_POISSON ? es_rng_exponential(&stream->rng, rate)
                                                       : 1 / rate;
}

static void draw_switch(es_arrival_stream *stream, const es_rate_profile *on_off, double now_s)
{
    double mean_s = stream->on ? on_off->on_s : on_off->off_s;
    double stay_s = mean_s > 0 ? es_rng_exponential(&stream->switch_rng, 1 / mean_s) : 0;
    stream->switch_s = now_s + stay_s;
}

/* From t_s on until `work_s` of time at factor 1 has passed: exact, since factors hold between
 * steps. INFINITY: never. */
static double walk(es_arrival_stream *stream, double t_s, double work_s)
{
    const es_arrivals *arrivals = &stream->arrivals;
    const es_rate_profile *on_off = on_off_of(arrivals);
    for (int step = 0; step < STEPS_MAX; step++) {
        double until_s = stream->until_s;
        double factor = stream->factor;
        if (on_off != NULL) {
            until_s = fmin(until_s, stream->switch_s);
            factor *= stream->on ? (on_off->on_s + on_off->off_s) / on_off->on_s : 0;
        }
        if (factor > 0 && t_s + work_s / factor <= until_s)
            return t_s + work_s / factor;
        if (!isfinite(until_s))
            return (double)INFINITY;
        work_s = fmax(work_s - factor * (until_s - t_s), 0);
        t_s = until_s;
        if (on_off != NULL && t_s >= stream->switch_s) {
            stream->on = !stream->on;
            draw_switch(stream, on_off, t_s);
        }
        if (t_s >= stream->until_s)
            stream->factor = factor_at(arrivals, t_s, &stream->until_s);
    }
    return (double)INFINITY;
}

es_arrival_stream es_arrival_stream_make(es_arrivals arrivals, uint64_t seed, uint64_t stream)
{
    es_arrival_stream made = {.arrivals = arrivals, .rng = es_rng_make(seed, stream)};
    if (!(arrivals.rate_rps > 0) || arrivals.kind == ES_ARRIVAL_TRACE) {
        made.next_s = (double)INFINITY;
        return made;
    }
    double first_s = arrivals.kind == ES_ARRIVAL_CONSTANT
                         ? es_rng_double(&made.rng) / arrivals.rate_rps
                         : interval_s(&made);
    made.next_s = first_s;
    if (arrivals.profile_count == 0)
        return made;
    made.factor = factor_at(&arrivals, 0, &made.until_s);
    const es_rate_profile *on_off = on_off_of(&arrivals);
    if (on_off != NULL) {
        made.switch_rng = es_rng_make(seed, SWITCH_STREAM + stream);
        made.on = es_rng_double(&made.switch_rng) * (on_off->on_s + on_off->off_s) < on_off->on_s;
        draw_switch(&made, on_off, 0);
    }
    made.next_s = walk(&made, 0, first_s);
    return made;
}

static int64_t next_of_trace(es_arrival_stream *stream)
{
    if (stream->next >= stream->arrivals.time_count)
        return INT64_MAX;
    return stream->arrivals.times_ns[stream->next++];
}

int64_t es_arrival_next_ns(es_arrival_stream *stream)
{
    if (stream->arrivals.kind == ES_ARRIVAL_TRACE)
        return next_of_trace(stream);
    if (!isfinite(stream->next_s))
        return INT64_MAX;
    int64_t when_ns = es_ns_from_s(stream->next_s);
    double step_s = interval_s(stream);
    if (stream->arrivals.profile_count == 0)
        stream->next_s += step_s;
    else
        stream->next_s = walk(stream, stream->next_s, step_s);
    return when_ns;
}

double es_arrivals_mean_count(const es_arrivals *arrivals, double duration_s)
{
    return arrivals->rate_rps * duration_s;
}

static size_t times_before(const es_arrivals *arrivals, int64_t when_ns)
{
    size_t low = 0;
    size_t high = arrivals->time_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (arrivals->times_ns[middle] < when_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

double es_arrivals_count_between(const es_arrivals *arrivals, double from_s, double to_s)
{
    if (arrivals->kind == ES_ARRIVAL_TRACE)
        return (double)(times_before(arrivals, es_ns_from_s(to_s)) -
                        times_before(arrivals, es_ns_from_s(from_s)));
    double work_s = 0;
    double t_s = from_s;
    for (int step = 0; t_s < to_s && step < STEPS_MAX; step++) {
        double until_s;
        double factor = factor_at(arrivals, t_s, &until_s);
        until_s = fmin(until_s, to_s);
        work_s += factor * (until_s - t_s);
        t_s = until_s;
    }
    return arrivals->rate_rps * work_s;
}

double es_arrivals_scv(const es_arrivals *arrivals)
{
    return arrivals->kind == ES_ARRIVAL_CONSTANT && arrivals->profile_count == 0 ? 0 : 1;
}
