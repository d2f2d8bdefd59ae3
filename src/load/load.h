/*
 * load: drives any server of the Open Inference Protocol, open loop, and says how it kept up: the
 * four scenarios of MLPerf LoadGen, by its rules. What `estran bench-serve` runs.
 *
 * Life: new (asks the server what it wants) -> run or find_rate, as often as wanted -> write ->
 * free. One thread, a caller driven by hand; docs/reference/bench-serve.md.
 */
#ifndef ES_LOAD_LOAD_H
#define ES_LOAD_LOAD_H

#include "base/text.h"
#include "outcome/outcome.h"

#include <signal.h>

/* MLPerf LoadGen's, by its names. */
typedef enum es_load_scenario {
    ES_LOAD_SINGLE_STREAM, /* one query at a time: latency */
    ES_LOAD_MULTI_STREAM,  /* the same, several samples at once: latency of the last of them */
    ES_LOAD_SERVER,        /* arrivals by a Poisson process, held back by nothing */
    ES_LOAD_OFFLINE,       /* everything at once: samples per second */
    ES_LOAD_SCENARIO_COUNT
} es_load_scenario;

extern const char *const es_load_scenario_names[ES_LOAD_SCENARIO_COUNT]; /* "SingleStream", ... */

typedef struct es_load_opts {
    const char *url;                                   /* "http://HOST:PORT"; required */
    const char *model;                                 /* required */
    const char *model_version;                         /* NULL: the server's choice */
    const char *token;                                 /* bearer token; NULL: none */
    const char *ca_file, *certificate_file, *key_file; /* PEM; see es_http_peer_opts */
    es_load_scenario scenario;                         /* default SERVER */
    double rate_rps;      /* queries per second of SERVER, > 0; default 10 */
    uint32_t connections; /* requests on the wire at once, 1..16384; default 64 */
    uint32_t batch;       /* samples per request: rows of the free first dimension; default 1 */
    uint32_t samples_per_query; /* of MULTI_STREAM, a multiple of batch; default 8 */
    double duration_s;          /* at least; default 10, as LoadGen */
    uint64_t query_count_min;   /* at least; default 100, as LoadGen */
    double duration_s_max;      /* no query is sent later; 0: none; default 0 */
    double warm_up_s;           /* of the same traffic, not counted; default 1 */
    double percentile;          /* of the latency that counts, in (0, 1); 0: 0.9 for SINGLE_STREAM,
                                   else 0.99, as LoadGen */
    double latency_target_s;    /* of SERVER; default 0.1, as LoadGen */
    double timeout_s;           /* of a request; default 10 */
    uint64_t seed;              /* 0: LoadGen's */
    const char *input; /* samples: .npy with the input's type or floats, else their bytes one
                          after the other; NULL: drawn by seed */
    const char *const *shapes; /* "NAME=1,3,224,224" where metadata leaves dimensions free */
    size_t shape_count;
    const char *const *parameters; /* "NAME=VALUE" of each request */
    size_t parameter_count;
    bool json_tensors;           /* instead of binary ones */
    volatile sig_atomic_t *stop; /* ends the run early; may be NULL */
    void (*progress)(void *context, const char *what, double done); /* done in [0, 1] */
    void *progress_context;
} es_load_opts;

es_load_opts es_load_opts_default(void);

typedef struct es_load es_load;

/* Asks the server for the model's metadata, makes the requests, sends one and looks at its answer.
 * ES_ERR_ARG also for a model that needs a shape, or has not the input's. Strings are copied. */
es_status es_load_new(es_load_opts opts, es_load **out_load, es_error *err) ES_MUST_CHECK;
void es_load_free(es_load *load);
void es_load_free_p(es_load **load); /* for ES_CLEANUP */

/* Requests that came to no answer with status 200. */
typedef struct es_load_fault {
    const char *what; /* "503", "timed out", "not reached", "broken", "refused here" */
    uint64_t count;
} es_load_fault;

/* Latencies run from when a query was to be sent, however late it was: what a stalled server makes
 * its clients wait is counted for all of them. */
typedef struct es_load_result {
    es_load_scenario scenario;
    double rate_rps; /* asked; SERVER */
    double percentile, latency_target_s;
    uint64_t queries; /* sent or due: answered + failed */
    uint64_t answered, failed;
    uint64_t samples;                /* of the answered */
    uint64_t over_target;            /* failed, or later than latency_target_s; SERVER */
    double scheduled_s;              /* from the start to when the last query was due */
    double last_done_s;              /* from the start to the end of the last query */
    const es_histogram *latency;     /* of the answered queries */
    const es_histogram *send_delay;  /* how late queries were handed over; SERVER */
    double latency_s_early_stopping; /* latency at percentile with 99 % confidence; NAN: too few
                                        queries, or another scenario */
    uint64_t early_stopping_missing; /* queries that more would be needed */
    const es_load_fault *faults;
    size_t fault_count;
    char first_fault[ES_ERROR_SIZE]; /* its text; empty: none */
    bool stopped;                    /* by stop */
    bool valid;                      /* all of these: */
    bool performance_met, duration_met, queries_met, early_stopping_met, answers_met;
} es_load_result;

/* Warms up, then drives; results live until the load is freed. rate_rps 0: the options'. Failing
 * requests are counted, not errors. ES_ERR_CANCELLED: stopped before anything was counted. */
es_status es_load_run(es_load *load, double rate_rps, const es_load_result **out_result,
                      es_error *err) ES_MUST_CHECK;

/* Latency that the share q of all queries kept, failed ones as if they took for ever (INFINITY). */
double es_load_latency(const es_load_result *result, double q);

typedef struct es_load_trial {
    double rate_rps;
    double latency_s; /* at the percentile */
    uint64_t queries, failed;
    bool good; /* the target was kept */
} es_load_trial;

typedef struct es_load_search {
    const es_load_trial *trials; /* in order */
    size_t trial_count;
    const es_load_result *best; /* of the highest good rate; NULL: none was good */
} es_load_search;

/* The highest rate of SERVER whose latency keeps the target: doubles from rate_rps, then halves the
 * interval until its ends are within precision (ratio - 1, > 0). Each trial runs as es_load_run but
 * ends early once it cannot be good; all trials have the same arrivals, stretched. */
es_status es_load_find_rate(es_load *load, double precision, es_load_search *out_search,
                            es_error *err) ES_MUST_CHECK;

/* Text with the keys of LoadGen's summary ("Result is : VALID"), and a document
 * (docs/reference/bench-serve.md). search may be NULL. */
void es_load_write_text(const es_load *load, const es_load_result *result, es_text *out);
void es_load_write_json(const es_load *load, const es_load_result *result,
                        const es_load_search *search, es_text *out);

#endif
