/*
 * demand: when requests come, and what changes with the clock.
 *
 * An arrival process is plain data; a stream turns it into arrival times by seed. The same seed
 * and stream number give the same times whatever else is drawn. A process has a mean rate and,
 * where it has one, a profile: the factor on the rate, constant between steps. Trace files are read
 * here too. Units: requests per second (_rps), nanoseconds of simulated or wall time (_ns).
 * Threads: one owner per stream; profiles, series and traces are read-only.
 * Errors of readers: ES_ERR_PARSE and ES_ERR_IO with file:line, ES_ERR_LIMIT, ES_ERR_NOMEM.
 */
#ifndef ES_DEMAND_DEMAND_H
#define ES_DEMAND_DEMAND_H

#include "base/arena.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- series: a value that holds from each start until the next ---- */

typedef struct es_series {
    size_t count;            /* >= 1 */
    const int64_t *start_ns; /* rising; the first is 0 */
    const double *value;     /* finite, >= 0 */
} es_series;

/* Value at when_ns >= 0; the last one holds on. O(log count). */
double es_series_at(const es_series *series, int64_t when_ns);
/* Mean over [from_s, to_s), from_s < to_s. O(log count + steps between). */
double es_series_mean(const es_series *series, double from_s, double to_s);

/* A column of a CSV file with a header as a series. The first column is the time: seconds, or a
 * date as 2023-01-31 12:30:00 (with T, fraction or zone, which is not applied) or 20230131-1230;
 * the first row, or from_s later, is time 0. column: its name, or a prefix that only one has; NULL:
 * the second. An empty cell keeps the value before. Times must rise. */
es_status es_series_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                          const char *column, double from_s, const es_series **out_series,
                          es_error *err) ES_MUST_CHECK;
/* The same from a file, which may be gzipped. */
es_status es_series_load(es_arena *arena, const char *path, const char *column, double from_s,
                         const es_series **out_series, es_error *err) ES_MUST_CHECK;

/* ---- traces: when requests came ---- */

typedef enum es_trace_format {
    ES_TRACE_CSV,             /* header timestamp_s,class */
    ES_TRACE_AZURE_LLM,       /* TIMESTAMP,ContextTokens,GeneratedTokens */
    ES_TRACE_MOONCAKE,        /* JSON lines with timestamp in ms */
    ES_TRACE_ALIBABA_GENAI,   /* gmt_create,... */
    ES_TRACE_AZURE_FUNCTIONS, /* app,func,end_timestamp,duration: sorted by start */
    ES_TRACE_REQUESTS,        /* a node's log: JSON lines with time_s and class; sorted by time */
    ES_TRACE_FORMAT_COUNT
} es_trace_format;
extern const char *const es_trace_format_names[ES_TRACE_FORMAT_COUNT];

typedef struct es_trace {
    const char *name;
    size_t count;
    const int64_t *times_ns;    /* not decreasing; of formats with dates from the first on */
    const uint32_t *lines;      /* where each stands in the file */
    const char *const *classes; /* per request; NULL: the format has none */
} es_trace;

/* `trace.csv:7: timestamp_s=3 comes after 5: times must not fall`. */
es_status es_trace_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                         es_trace_format format, const es_trace **out_trace,
                         es_error *err) ES_MUST_CHECK;
es_status es_trace_load(es_arena *arena, const char *path, es_trace_format format,
                        const es_trace **out_trace, es_error *err) ES_MUST_CHECK;

/* ---- profiles: the factor on the mean rate as time goes ---- */

typedef enum es_rate_profile_kind {
    ES_PROFILE_ON_OFF,     /* on and off for exponential times, by the stream's seed */
    ES_PROFILE_DIURNAL,    /* 1 + depth * sin, in steps of period / 96 */
    ES_PROFILE_POPULARITY, /* share of a Zipf law over ranks, which may change every period */
    ES_PROFILE_FLASH,      /* a crowd comes at once and goes with a half-life */
    ES_PROFILE_SERIES,     /* a table */
    ES_PROFILE_COUNT
} es_rate_profile_kind;

typedef enum es_popularity {
    ES_POPULARITY_FIXED,       /* ranks never change */
    ES_POPULARITY_SLIDING,     /* ranks are shifted cyclically by `shift` every period */
    ES_POPULARITY_ADVERSARIAL, /* what was least popular becomes most popular every period */
    ES_POPULARITY_COUNT
} es_popularity;
extern const char *const es_popularity_names[ES_POPULARITY_COUNT];

typedef struct es_rate_profile {
    es_rate_profile_kind kind;
    double on_s, off_s; /* means; on_s > 0, off_s >= 0 */
    double period_s;    /* > 0 */
    double depth;       /* of the swing, 0..1 */
    double peak_s;      /* when within the period it is highest */
    es_popularity popularity;
    double exponent;         /* of Zipf's law, >= 0 */
    uint32_t rank;           /* at the start, from 0 */
    uint32_t rank_count;     /* >= 1 */
    uint32_t shift;          /* ranks per period */
    double start_s;          /* of the flash crowd */
    double factor;           /* at its start, on top of 1 */
    double half_life_s;      /* > 0 */
    const es_series *series; /* factors; repeated after period_s when that is > 0 */
} es_rate_profile;

/* Factor at t_s >= 0 and, in out_until_s (may be NULL), until when it holds (> t_s, perhaps
 * INFINITY). Of an on/off profile: its mean, 1. */
double es_rate_profile_factor(const es_rate_profile *profile, double t_s, double *out_until_s);

/* Share of rank `rank` (from 0) among rank_count under Zipf's law. O(rank_count). */
double es_zipf_share(double exponent, uint32_t rank_count, uint32_t rank);

/* Rank at t_s of what had `rank` at 0. */
uint32_t es_popularity_rank(const es_rate_profile *profile, double t_s);

/* ---- arrivals ---- */

typedef enum es_arrival_kind {
    ES_ARRIVAL_CONSTANT, /* evenly spaced, the first after a random part of one interval */
    ES_ARRIVAL_POISSON,  /* independent exponential intervals */
    ES_ARRIVAL_TRACE,    /* at the times of a table */
    ES_ARRIVAL_COUNT
} es_arrival_kind;

/* "constant", "poisson", "trace": the words in documents. */
extern const char *const es_arrival_names[ES_ARRIVAL_COUNT];

enum { ES_PROFILES_MAX = 4 };

typedef struct es_arrivals {
    es_arrival_kind kind;
    double rate_rps; /* long-run mean, >= 0, finite; of a trace: over its length */
    uint32_t profile_count;
    const es_rate_profile *profiles; /* [profile_count], their factors multiply */
    size_t time_count;               /* of a trace */
    const int64_t *times_ns;         /* not decreasing, >= 0 */
} es_arrivals;

typedef struct es_arrival_stream {
    es_arrivals arrivals;
    es_rng rng;
    double next_s; /* offset of the next arrival from the start, in seconds */
    size_t next;   /* of a trace */
    double factor; /* of the deterministic profiles, until until_s */
    double until_s;
    bool on; /* of an on/off profile, until switch_s */
    double switch_s;
    es_rng switch_rng;
} es_arrival_stream;

/* Stream number `stream` of `seed`, starting at time 0. rate 0: it never comes. */
es_arrival_stream es_arrival_stream_make(es_arrivals arrivals, uint64_t seed, uint64_t stream);

/* Time of the next arrival, not decreasing; INT64_MAX when there is none. O(1), and O(1) per step
 * of a profile that passes meanwhile. */
int64_t es_arrival_next_ns(es_arrival_stream *stream);

/* Requests expected in a period of duration_s >= 0 seconds at the mean rate. */
double es_arrivals_mean_count(const es_arrivals *arrivals, double duration_s);

/* Requests expected in [from_s, to_s), profiles and all; of a trace the very count. */
double es_arrivals_count_between(const es_arrivals *arrivals, double from_s, double to_s);

/* Squared coefficient of variation of the intervals (0 constant, 1 Poisson): the c_a^2 of queueing
 * formulas. Profiles and traces count as Poisson. */
double es_arrivals_scv(const es_arrivals *arrivals);

#endif
