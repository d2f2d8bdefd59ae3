/*
 * load, private to load: what the files of the load generator share. One thread: a caller driven
 * by hand, so that sending in time and receiving need no handover.
 */
#ifndef ES_LOAD_INTERNAL_H
#define ES_LOAD_INTERNAL_H

#include "base/document.h"
#include "base/rng.h"
#include "http/http.h"
#include "load.h"
#include "oip/oip.h"

enum { ES_LOAD_OUTSTANDING_MAX = 20000, ES_LOAD_STATUS_MAX = 600 };

/* A whole request, made before the run. */
typedef struct es_load_body {
    const void *bytes;
    size_t size;
    const char *json_size; /* value of Inference-Header-Content-Length; NULL: all is JSON */
} es_load_body;

struct es_load {
    es_arena *arena; /* options, bodies, results */
    es_load_opts opts;
    es_http_caller *caller;
    es_http_peer *peer;
    const char *model_path; /* "/v2/models/M[/versions/V]" */
    const char *infer_path;
    const es_load_body *bodies;
    size_t body_count;
    size_t input_bytes;                      /* of the tensors of one request */
    es_histogram *warm_latency, *warm_delay; /* of what is not counted */
};

/* ---- load.c ---- */

/* One call, waited for: fails unless the reply's status is 200. The reply's body lives in arena. */
es_status es_load_ask(es_load *load, es_arena *arena, const es_http_call *call,
                      es_http_reply *out_reply, es_error *err) ES_MUST_CHECK;

/* ---- inputs.c ---- */

/* The call that asks for inference with body; header is for its use and lives as long. */
es_http_call es_load_call(const es_load *load, const es_load_body *body, es_http_header *header);

/* Fills bodies from the model's metadata and the options. */
es_status es_load_inputs_make(es_load *load, const es_doc *metadata, es_error *err) ES_MUST_CHECK;

/* ---- schedule.c ---- */

/* Arrivals of a Poisson process. The gaps of one seed are the same at every rate, stretched. */
typedef struct es_load_schedule {
    es_rng rng;
    double rate_rps, at_s;
} es_load_schedule;

es_load_schedule es_load_schedule_make(uint64_t seed, double rate_rps);
double es_load_schedule_next(es_load_schedule *schedule); /* seconds from the start; ascending */

/* LoadGen's seeds where none is given. */
uint64_t es_load_seed_schedule(uint64_t seed);
uint64_t es_load_seed_samples(uint64_t seed);

/* ---- drive.c ---- */

typedef struct es_load_tally {
    uint64_t queries, answered, failed, samples, over_target, unsent;
    uint64_t statuses[ES_LOAD_STATUS_MAX]; /* of replies that are not 200 */
    uint64_t ends[ES_HTTP_END_COUNT];      /* of calls without reply */
    double scheduled_s, last_done_s;
    es_histogram *latency, *send_delay;
    char first_fault[ES_ERROR_SIZE];
    bool stopped, hopeless;
} es_load_tally;

typedef struct es_load_plan {
    double rate_rps;
    double duration_s, duration_s_max;
    uint64_t query_count_min;
    uint64_t seed_schedule, seed_samples;
    bool warm_up;        /* said in progress */
    bool stop_when_lost; /* ends when more are over the target than may be */
} es_load_plan;

/* Sends what the scenario wants and waits for the end of all of it. */
es_status es_load_drive(es_load *load, const es_load_plan *plan, es_load_tally *tally,
                        es_error *err) ES_MUST_CHECK;

/* ---- verdict.c ---- */

/* Is it with 99 % confidence true that at most 1 - percentile of all queries are over the target,
 * when `over` of `count` were? */
bool es_load_confident(uint64_t count, uint64_t over, double percentile);
/* Queries that must be added, all in time, until it is. */
uint64_t es_load_missing(uint64_t count, uint64_t over, double percentile);
/* The largest `over` of which es_load_confident is true; false: count is too small for 0. */
bool es_load_over_max(uint64_t count, double percentile, uint64_t *out);

es_status es_load_conclude(es_load *load, const es_load_plan *plan, const es_load_tally *tally,
                           const es_load_result **out_result, es_error *err) ES_MUST_CHECK;

#endif
