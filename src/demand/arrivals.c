#include "base/clock.h"
#include "demand/demand.h"

#include <math.h>

const char *const es_arrival_names[ES_ARRIVAL_COUNT] = {"constant", "poisson"};

static double interval_s(es_arrival_stream *stream)
{
    double rate = stream->arrivals.rate_rps;
    return stream->arrivals.kind == ES_ARRIVAL_POISSON ? es_rng_exponential(&stream->rng, rate)
                                                       : 1 / rate;
}

es_arrival_stream es_arrival_stream_make(es_arrivals arrivals, uint64_t seed, uint64_t stream)
{
    es_arrival_stream made = {.arrivals = arrivals, .rng = es_rng_make(seed, stream)};
    if (!(arrivals.rate_rps > 0))
        made.next_s = (double)INFINITY;
    else if (arrivals.kind == ES_ARRIVAL_CONSTANT)
        made.next_s = es_rng_double(&made.rng) / arrivals.rate_rps;
    else
        made.next_s = interval_s(&made);
    return made;
}

int64_t es_arrival_next_ns(es_arrival_stream *stream)
{
    if (!isfinite(stream->next_s))
        return INT64_MAX;
    int64_t when_ns = es_ns_from_s(stream->next_s);
    stream->next_s += interval_s(stream);
    return when_ns;
}

double es_arrivals_mean_count(const es_arrivals *arrivals, double duration_s)
{
    return arrivals->rate_rps * duration_s;
}

double es_arrivals_scv(const es_arrivals *arrivals)
{
    return arrivals->kind == ES_ARRIVAL_POISSON ? 1 : 0;
}
