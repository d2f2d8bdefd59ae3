/*
 * served, private to serve: one loaded version of a model: its session, its batcher, and what it
 * has done. Counted: a request holds it until it is answered, so that unloading drops none.
 *
 * Everything but the counts is read-only once made. Counts are added from any thread.
 */
#ifndef ES_SERVE_SERVED_H
#define ES_SERVE_SERVED_H

#include "model_config.h"

#include <stdatomic.h>

enum { ES_SERVED_BUCKETS = 16, ES_SERVED_VERSION_SIZE = 24 };

/* Upper ends of the histograms' buckets, seconds; the last bucket is beyond. */
extern const double ES_SERVED_BUCKETS_S[ES_SERVED_BUCKETS];

typedef enum es_served_outcome {
    ES_SERVED_OK,
    ES_SERVED_REJECTED, /* the queue was full, or the deadline passed in it */
    ES_SERVED_CANCELLED,
    ES_SERVED_WRONG, /* the request did not fit the model */
    ES_SERVED_FAILED,
    ES_SERVED_OUTCOME_COUNT
} es_served_outcome;

extern const char *const es_served_outcome_names[ES_SERVED_OUTCOME_COUNT];

typedef struct es_served_duration {
    _Atomic uint64_t count;
    _Atomic int64_t ns;
} es_served_duration;

typedef struct es_served_histogram {
    _Atomic uint64_t buckets[ES_SERVED_BUCKETS + 1];
    _Atomic int64_t ns;
} es_served_histogram;

typedef struct es_served_counts {
    es_served_duration outcomes[ES_SERVED_OUTCOME_COUNT]; /* from the head's coming to the answer */
    es_served_duration queue, input, infer, output, cache_hit, cache_miss;
    _Atomic int64_t last_ms; /* wall clock of the last inference; 0: none */
    es_served_histogram total, queued;
    _Atomic int64_t energy_model_pj;   /* of answers, by the model; picojoules */
    _Atomic int64_t energy_counted_pj; /* by counters */
    _Atomic int64_t pending;           /* requests under way */
} es_served_counts;

typedef struct es_served_labels {
    const char *const *items; /* by class index; may be empty */
    size_t count;
} es_served_labels;

/* What clients see of an input or output. */
typedef struct es_served_port {
    es_port face;  /* the session's, but for a shape that the configuration gives */
    bool reshaped; /* that shape is another one than the session's */
} es_served_port;

typedef struct es_served es_served;
struct es_served {
    es_arena *arena; /* of all below */
    const char *name;
    int64_t version;
    char version_text[ES_SERVED_VERSION_SIZE];
    uint64_t number;        /* no other loaded version has it */
    es_model_config config; /* completed: max_batch_size, replicas, queue bounds */
    es_session *session;
    es_batcher *batcher;
    es_served_port *inputs, *outputs;
    es_served_labels *labels; /* [outputs] */
    double quality;           /* config parameter estran_quality, 0..1; NAN: not told */
    bool payload_u8;    /* config parameter estran_payload is u8: what goes on to a next node goes
                           as 8 bits, as if the route said so */
    int64_t service_ns; /* config parameter estran_service_us: of a run on the emulated machine;
                           0: not told */
    uint32_t thread_count; /* of a run */
    int64_t load_ns;
    uint64_t file_bytes;
    int64_t here_ns_max; /* see es_batcher_submit */
    bool has_timeouts;   /* requests may expire though they do not ask for it */
    es_served_counts counts;
    _Atomic size_t references;
    void (*retire)(void *context, es_served *served); /* when the last one has gone */
    void *retire_context;
    es_served *next_retired; /* the repository's */
};

/* What a node gives models that do not say it themselves. */
typedef struct es_served_defaults {
    uint32_t replica_count; /* >= 1 */
    uint32_t thread_count;  /* inside a run, >= 1 */
    uint32_t batch_max; /* rows of models that can be batched and do not say; 0, 1: no batches */
    uint32_t queue_max; /* >= 1 */
    bool cache;
    int64_t here_ns_max; /* runs no longer than this may go on the loop's own thread */
    bool cpu_time;       /* results of the batcher tell processor time, where it is known */
} es_served_defaults;

es_served_defaults es_served_defaults_default(void);

typedef struct es_served_source {
    const char *name;
    int64_t version;
    uint64_t number;
    const char *folder; /* of the model: labels and warm-up data; NULL: none */
    const char *path;   /* of the model's file; NULL: from bytes */
    const void *bytes;  /* borrowed for the call */
    size_t size;
    const es_model_config *config; /* lives in arena */
} es_served_source;

/* Opens, checks, warms up. Takes arena over, also on failure. With one reference. */
es_status es_served_new(es_arena *arena, es_runtime *runtime, const es_served_source *source,
                        const es_served_defaults *defaults, es_served **out_served,
                        es_error *err) ES_MUST_CHECK;
/* Ends the batcher and gives the memory back; nobody may hold it. Not from within a batch. */
void es_served_free(es_served *served);

es_served *es_served_ref(es_served *served);
/* The last one calls retire, which sees to it that it is freed on a thread that may wait. */
void es_served_unref(es_served *served);

void es_served_count(es_served_duration *duration, int64_t ns);
void es_served_observe(es_served_histogram *histogram, int64_t ns);

/* ---- warmup.c: runs before the first request, so that it meets no cold session ---- */

/* model_warmup of the configuration, or one run with zeros. *out_run_ns: of the fastest of a few
 * single runs after that; 0 when a free dim other than the batch leaves the shape open. */
es_status es_served_warm_up(es_served *served, const char *folder, int64_t *out_run_ns,
                            es_error *err) ES_MUST_CHECK;

#endif
