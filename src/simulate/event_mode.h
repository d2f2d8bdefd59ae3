/*
 * simulate/event_mode: from a scenario and a plan to events, and from events to an outcome.
 */
#ifndef ES_SIMULATE_EVENT_MODE_H
#define ES_SIMULATE_EVENT_MODE_H

#include "simulate/events.h"
#include "simulate/internal.h"

/* ---- event_build.c ---- */

/* Errors as es_sim_paths, ES_ERR_LIMIT, ES_ERR_NOMEM. The world keeps scenario and plan. */
es_status es_world_build(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                         const es_event_opts *opts, uint64_t seed, es_world **out_world,
                         es_error *err) ES_MUST_CHECK;

/* ---- warmup.c ---- */

/* A series too long to keep: means of batches of `size` values, doubled when the room is used up.
 */
enum { ES_BATCHES_MAX = 1 << 18, ES_BATCH_FIRST = 5 };
typedef struct es_batches {
    double *mean;
    double *start_s; /* when the first value of each batch belongs to */
    size_t count;
    size_t size; /* values per batch */
    double sum;  /* of the one being filled */
    double sum_start_s;
    size_t filled;
} es_batches;

es_status es_batches_init(es_arena *arena, es_batches *batches, es_error *err) ES_MUST_CHECK;
void es_batches_add(es_batches *batches, double when_s, double value);

/* MSER-5 (White 1997): leaves out the first d batches, d at most half of them, such that the
 * squared standard error of the mean of the rest is least. Gives d. O(count). */
size_t es_warm_up_mser(const double *values, size_t count);

/* ---- event_record.c ---- */

enum { ES_TIME_BINS = 64 };

/* What one bin of the run, by time of arrival, adds up to. */
typedef struct es_time_bin {
    es_histogram *latency;
    double served, late, quality;
} es_time_bin;

typedef struct es_event_record {
    const es_scenario *scenario;
    es_outcome_recorder *recorder;
    es_world *world;
    es_batches batches;
    es_time_bin bins[ES_TIME_BINS];
    uint64_t *pending; /* [slot] requests without a fate */
    uint32_t next_close;
    uint32_t ended_slots;
    double compute_j, network_j; /* over all samples: held against the world's */
    double dynamic_j;            /* over all nodes */
    double model_bytes;
    es_error error;
} es_event_record;

es_status es_event_record_init(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                               const char *label, uint64_t seed, es_world *world,
                               es_event_record *record, es_error *err) ES_MUST_CHECK;

/* Joules by requests, by nodes and by the world must be the same: ES_ERR_INTERNAL. */
es_status es_event_record_check(const es_event_record *record, es_error *err) ES_MUST_CHECK;

/* ---- event.c ---- */

/* What a replication adds to the intervals, by es_measures. */
enum { ES_MEASURES = 18 };
extern const char *const es_measures[ES_MEASURES];

#endif
