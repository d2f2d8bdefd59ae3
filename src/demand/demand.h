/*
 * demand: when requests come.
 *
 * An arrival process is plain data; a stream turns it into arrival times by seed. The same seed
 * and stream number give the same times whatever else is drawn. Units: requests per second (_rps),
 * nanoseconds of simulated or wall time (_ns). Threads: one owner per stream.
 */
#ifndef ES_DEMAND_DEMAND_H
#define ES_DEMAND_DEMAND_H

#include "base/rng.h"
#include "base/status.h"

#include <stdint.h>

typedef enum es_arrival_kind {
    ES_ARRIVAL_CONSTANT, /* evenly spaced, the first after a random part of one interval */
    ES_ARRIVAL_POISSON,  /* independent exponential intervals */
    ES_ARRIVAL_COUNT
} es_arrival_kind;

/* "constant", "poisson": the words in documents. */
extern const char *const es_arrival_names[ES_ARRIVAL_COUNT];

typedef struct es_arrivals {
    es_arrival_kind kind;
    double rate_rps; /* long-run mean, >= 0, finite */
} es_arrivals;

typedef struct es_arrival_stream {
    es_arrivals arrivals;
    es_rng rng;
    double next_s; /* offset of the next arrival from the start, in seconds */
} es_arrival_stream;

/* Stream number `stream` of `seed`, starting at time 0. rate 0: it never comes. */
es_arrival_stream es_arrival_stream_make(es_arrivals arrivals, uint64_t seed, uint64_t stream);

/* Time of the next arrival, not decreasing; INT64_MAX when there is none. O(1). */
int64_t es_arrival_next_ns(es_arrival_stream *stream);

/* Requests expected in a period of duration_s >= 0 seconds. */
double es_arrivals_mean_count(const es_arrivals *arrivals, double duration_s);

/* Squared coefficient of variation of the intervals (0 constant, 1 Poisson): the c_a^2 of queueing
 * formulas. */
double es_arrivals_scv(const es_arrivals *arrivals);

#endif
