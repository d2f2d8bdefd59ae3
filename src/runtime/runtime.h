/*
 * runtime: runs ONNX models on this node through ONNX Runtime, and measures them (profile).
 *
 * Reads .onnx files and bytes; writes profile documents ("format": "estran-profile") only. The
 * library is found at run time, never linked; nothing of its types shows here.
 * Units: nanoseconds inside, milliseconds (_ms) and bytes (_bytes) in documents.
 * Threads: a runtime and a session may be used by several threads at once; a binding, a profile
 * and a result belong to one thread. es_runtime_new calls setenv: start it before other threads.
 * Errors: ES_ERR_UNAVAILABLE no usable library; ES_ERR_IO / PARSE / UNSUPPORTED opening a model;
 * ES_ERR_ARG inputs that do not fit (the text names the input, what came and what was expected).
 */
#ifndef ES_RUNTIME_RUNTIME_H
#define ES_RUNTIME_RUNTIME_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/document.h"
#include "base/rng.h"
#include "meter/meter.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ES_TENSOR_RANK_MAX = 8,
    ES_SESSION_PORTS_MAX = 128 /* inputs, and outputs, of one session */
};

/* ---- the library ---- */

typedef struct es_runtime es_runtime; /* counted; sessions hold it */

typedef struct es_runtime_opts {
    /* File of the library. NULL: the environment variable ESTRAN_ORT_LIBRARY, else the path found
     * when building, else lib/ beside the program, else the system's search path. */
    const char *library_path;
    /* What the library itself prints on stderr: 0 all .. 3 errors, 4 only what ends the process;
     * default 4, as every error is returned. The first runtime of a process decides. */
    int log_level;
} es_runtime_opts;

es_runtime_opts es_runtime_opts_default(void);

/* Loads the library (the first call costs about 5 ms, later ones little) with its telemetry
 * switched off. Versions below 1.17 and from 1.29 on (they phone home) are refused. The library
 * stays mapped until the process ends. */
es_status es_runtime_new(es_runtime_opts opts, es_runtime **out_runtime,
                         es_error *err) ES_MUST_CHECK;
void es_runtime_free(es_runtime *runtime);    /* sessions still open keep it alive */
void es_runtime_free_p(es_runtime **runtime); /* for ES_CLEANUP */

const char *es_runtime_version(const es_runtime *runtime);      /* e.g. "1.27.0" */
const char *es_runtime_library_path(const es_runtime *runtime); /* the file that was loaded */

/* ---- tensors ---- */

/* Element types; the numbers are ONNX's own (TensorProto.DataType). */
typedef enum es_dtype {
    ES_DTYPE_NONE = 0, /* unknown, or no tensor (sequence, map, optional) */
    ES_DTYPE_F32 = 1,
    ES_DTYPE_U8 = 2,
    ES_DTYPE_I8 = 3,
    ES_DTYPE_U16 = 4,
    ES_DTYPE_I16 = 5,
    ES_DTYPE_I32 = 6,
    ES_DTYPE_I64 = 7,
    ES_DTYPE_STRING = 8, /* size 0: not carried by es_tensor */
    ES_DTYPE_BOOL = 9,
    ES_DTYPE_F16 = 10,
    ES_DTYPE_F64 = 11,
    ES_DTYPE_U32 = 12,
    ES_DTYPE_U64 = 13,
    ES_DTYPE_C64 = 14,
    ES_DTYPE_C128 = 15,
    ES_DTYPE_BF16 = 16,
    ES_DTYPE_COUNT
} es_dtype;

size_t es_dtype_size(es_dtype dtype);      /* bytes of one element; 0 for NONE and STRING */
const char *es_dtype_name(es_dtype dtype); /* "f32", "i64", ...; "none" outside the range */

/* A dense row-major tensor. The memory is the caller's, except after a run with data == NULL as
 * output: then the library owns it until es_tensor_done. */
typedef struct es_tensor {
    es_dtype dtype;
    size_t rank;
    int64_t dims[ES_TENSOR_RANK_MAX]; /* >= 0 */
    void *data;                       /* never written when the tensor is an input */
    size_t size_bytes;                /* of data */
    void *owner;                      /* private; NULL for the caller's memory */
    const es_runtime *runtime;        /* private */
} es_tensor;

/* A tensor over the caller's memory; size_bytes is computed (saturates at SIZE_MAX on overflow,
 * which every run refuses). rank <= ES_TENSOR_RANK_MAX. */
es_tensor es_tensor_make(es_dtype dtype, const int64_t *dims, size_t rank, void *data);

/* Product of dims (1 for rank 0); SIZE_MAX on overflow or a negative dim. */
size_t es_tensor_count(const es_tensor *tensor);

/* Floats in [0, 1), bytes 0 or 1, all others 0. */
void es_tensor_fill(es_tensor *tensor, es_rng *rng);

/* Gives back memory that a run allocated; the caller's memory is left alone. Zeroes the tensor. */
void es_tensor_done(es_tensor *tensor);

/* ---- sessions ---- */

typedef struct es_session es_session; /* one loaded model; counted, shared by threads */

typedef enum es_session_optimise {
    ES_SESSION_OPTIMISE_NONE,
    ES_SESSION_OPTIMISE_BASIC,
    ES_SESSION_OPTIMISE_EXTENDED,
    ES_SESSION_OPTIMISE_ALL,
    ES_SESSION_OPTIMISE_COUNT
} es_session_optimise;

typedef struct es_session_opts {
    uint32_t thread_count;        /* inside one run, >= 1; default 1 */
    bool spinning;                /* waiting threads burn the processor; default false */
    bool arena;                   /* the library keeps run memory for the next run; default true */
    es_session_optimise optimise; /* default ALL */
} es_session_opts;

es_session_opts es_session_opts_default(void);

/* One input or output. */
typedef struct es_port {
    const char *name;
    es_dtype dtype; /* NONE: not a tensor */
    size_t rank;    /* 0: a scalar, or a shape that the model leaves open altogether */
    int64_t dims[ES_TENSOR_RANK_MAX];        /* -1: free */
    const char *symbols[ES_TENSOR_RANK_MAX]; /* name of a free dim, e.g. "batch"; else NULL */
} es_port;

/* path: external weights are looked for beside it. bytes: borrowed for the call only. */
es_status es_session_open(es_runtime *runtime, const char *path, es_session_opts opts,
                          es_session **out_session, es_error *err) ES_MUST_CHECK;
es_status es_session_open_bytes(es_runtime *runtime, const void *bytes, size_t size,
                                es_session_opts opts, es_session **out_session,
                                es_error *err) ES_MUST_CHECK;

es_session *es_session_ref(es_session *session);
/* The last one unloads the model and gives its memory back to the system. */
void es_session_unref(es_session *session);
void es_session_unref_p(es_session **session); /* for ES_CLEANUP */

size_t es_session_input_count(const es_session *session);
size_t es_session_output_count(const es_session *session);
const es_port *es_session_input(const es_session *session, size_t index);  /* index < count */
const es_port *es_session_output(const es_session *session, size_t index); /* index < count */

/* A tensor of the port's type and shape with every free dim set to free_dim and no data. */
es_tensor es_port_tensor(const es_port *port, int64_t free_dim);

/*
 * Runs once. inputs and outputs are in the session's order and complete. outputs[i].data == NULL:
 * the library allocates, and the caller calls es_tensor_done; else outputs[i] must have the dtype,
 * shape and memory of what comes out. Outputs that are no tensors are left out (dtype NONE).
 * On failure no output is left to release. Nothing is allocated on our side.
 */
es_status es_session_run(es_session *session, const es_tensor *inputs, size_t input_count,
                         es_tensor *outputs, size_t output_count, es_error *err) ES_MUST_CHECK;

/* ---- bound runs: the same buffers again and again ---- */

typedef struct es_binding es_binding; /* holds the session; belongs to one thread */

/* All inputs and outputs with the caller's memory, kept until es_binding_free. */
es_status es_binding_new(es_session *session, const es_tensor *inputs, size_t input_count,
                         const es_tensor *outputs, size_t output_count, es_binding **out_binding,
                         es_error *err) ES_MUST_CHECK;
void es_binding_free(es_binding *binding);
void es_binding_free_p(es_binding **binding); /* for ES_CLEANUP */

/* Reads the bound inputs as they are now and fills the bound outputs. No allocation by us. */
es_status es_binding_run(es_binding *binding, es_error *err) ES_MUST_CHECK;

/* ---- batcher: one model's requests from many threads, joined where that is allowed ---- */

typedef struct es_batcher es_batcher;     /* holds the session; used by any thread */
typedef struct es_batch_job es_batch_job; /* one request; the caller's memory */

enum { ES_BATCH_LEVELS_MAX = 8, ES_BATCH_PREFERRED_MAX = 8, ES_BATCH_ROWS_MAX = 1024 };

typedef enum es_batch_fate {
    ES_BATCH_SERVED,
    ES_BATCH_EXPIRED,   /* its deadline passed while it waited; it did not run */
    ES_BATCH_FAILED,    /* the library refused it */
    ES_BATCH_CANCELLED, /* the batcher was freed while it waited */
    ES_BATCH_FATE_COUNT
} es_batch_fate;

typedef struct es_batch_result {
    es_batch_fate fate;
    const es_tensor *outputs; /* of SERVED, in the session's order; slices of the batch's buffers,
                                 gone when done returns */
    const es_error *error;    /* of all others */
    int64_t queue_ns;         /* waited */
    int64_t gather_ns;        /* of the whole batch: putting inputs side by side */
    int64_t run_ns;           /* of the whole batch */
    int64_t cpu_ns;           /* of run_ns, what this thread computed; 0: was not asked for */
    uint32_t rows;            /* of this job, >= 1 */
    uint32_t batch_rows;      /* of all that ran together */
} es_batch_result;

/* Kept until done is called: exactly once for each job that was taken, from whatever thread. */
struct es_batch_job {
    const es_tensor *inputs; /* complete, in the session's order */
    uint32_t priority;       /* 1 highest .. level_count; 0 or beyond: the default level */
    int64_t deadline_ns;     /* of the batcher's clock; 0: the level's timeout, or none */
    void (*done)(es_batch_job *job, const es_batch_result *result);
    void *context;
    struct { /* private */
        es_batch_job *next;
        int64_t queued_ns, deadline_ns;
        uint32_t level, rows;
    } own;
};

/* What holds for the requests of one priority. */
typedef struct es_batch_level {
    uint32_t queue_max;    /* more waiting ones are refused, >= 1; default 1024 */
    int64_t timeout_ns;    /* longest wait; 0: none; default 0 */
    bool timeout_override; /* a job's earlier deadline holds; default true */
    bool delay_late;       /* past its timeout a job is not answered but let run when no other one
                              waits; default false */
} es_batch_level;

typedef struct es_batcher_opts {
    es_clock *clock; /* NULL: the system's; another one only with replicas that own no thread */
    uint32_t replica_count; /* runs at the same time, 1..64; default 1 */
    bool threads;           /* each replica has a thread; else see es_batcher_turn; default true */
    uint32_t rows_max;   /* in one run, along the first dim; 0: that dim is no batch and every job
                            counts as one row; default 0 */
    bool join;           /* jobs of like shape are run together; needs rows_max; default false */
    int64_t wait_ns_max; /* how long the first of a batch may wait for more while a replica is
                            idle. Nobody waits when, as requests came of late, no other one is
                            expected in what is left of it; default 0 */
    uint32_t preferred[ES_BATCH_PREFERRED_MAX]; /* rows worth having, ascending; beyond the largest
                                                   that fits the rest waits for the next run */
    size_t preferred_count;                     /* default 0 */
    uint32_t level_count;                       /* 1..ES_BATCH_LEVELS_MAX; default 1 */
    uint32_t level_default;                     /* from 1; default 1 */
    es_batch_level levels[ES_BATCH_LEVELS_MAX];
    size_t buffer_bytes_max; /* of one replica's batches; larger ones are split; default 256 MiB */
    int64_t run_ns_expected; /* of a single run, until some were seen; 0: not known; default 0 */
    bool cpu_time;           /* tell cpu_ns with results; default false */
} es_batcher_opts;

es_batcher_opts es_batcher_opts_default(void);

/* Takes buffers and starts the threads. ES_ERR_ARG: options, or rows_max for a session whose ports
 * have no free first dim. */
es_status es_batcher_new(es_session *session, es_batcher_opts opts, es_batcher **out_batcher,
                         es_error *err) ES_MUST_CHECK;

/* Jobs that wait are CANCELLED, running ones end; returns when no done will be called any more.
 * Not from within done. */
void es_batcher_free(es_batcher *batcher);

/*
 * Takes the job, or fails without calling done: ES_ERR_ARG inputs that do not fit,
 * ES_ERR_UNAVAILABLE the queue of its level is full. No allocation in the steady state. O(inputs).
 * here_ns_max: when a replica is idle and nobody waits, a job whose run is expected to take no
 * longer may run, and done be called, on this thread before this returns. That saves two thread
 * switches; where jobs follow so close that reading the next one should overlap with running this
 * one, only runs that are shorter than a switch are kept here. 0: never.
 */
es_status es_batcher_submit(es_batcher *batcher, es_batch_job *job, int64_t here_ns_max,
                            es_error *err) ES_MUST_CHECK;

/* Answers what is overdue though every replica is busy; the next deadline, INT64_MAX: none. */
int64_t es_batcher_expire(es_batcher *batcher);

/* One step on this thread, for batchers without threads: answers what is overdue, then runs at
 * most one batch. False when there was nothing to do; then *out_wake_ns says when to look again,
 * unless a job comes (INT64_MAX: not before). */
bool es_batcher_turn(es_batcher *batcher, int64_t *out_wake_ns);

typedef struct es_batch_size_stats {
    uint64_t runs;
    int64_t gather_ns, run_ns, scatter_ns; /* scatter: in done */
} es_batch_size_stats;

typedef struct es_batcher_stats {
    uint64_t jobs[ES_BATCH_FATE_COUNT];
    uint64_t refused; /* the queue was full */
    uint64_t runs;
    uint64_t rows;             /* of jobs that were served */
    uint64_t parted;           /* batches that failed together and were run one by one */
    int64_t queue_ns, run_ns;  /* summed over jobs, and over runs */
    uint64_t waiting, running; /* jobs, now */
    int64_t run_ns_expected;   /* of the next single run, by the last ones; 0: not known */
} es_batcher_stats;

/* Numbers of one moment; sizes[i] is of runs with i + 1 rows (the last one: of that and more), at
 * most size_count are filled in. sizes may be NULL. */
void es_batcher_stats_get(es_batcher *batcher, es_batcher_stats *out, es_batch_size_stats *sizes,
                          size_t size_count);

/* Has the first dim of every input and output no fixed size? */
bool es_session_first_dims_free(const es_session *session);

/* May requests be joined along the first dim? Runs two unlike random rows alone and together:
 * *out_apart is false when they see each other (a sequence, a scale taken over the batch), when
 * the model does not run so, or when another dim is free and 1 does not do. */
es_status es_session_rows_apart(es_session *session, bool *out_apart, es_error *err) ES_MUST_CHECK;

/* ---- confidence of a classifier's output, for exits and cascades ---- */

/* In place; safe for large values. count > 0. */
void es_softmax(float *values, size_t count);

/* The largest probability, in [0, 1]: of softmax(values) with is_logits, else of the values as
 * they are (clamped). NaN anywhere, or count 0, gives 0: never confident. */
double es_confidence_max_prob(const float *values, size_t count, bool is_logits);

/* Index of the largest value, the first of equals; 0 when count is 0. NaN is never the largest. */
size_t es_argmax(const float *values, size_t count);

/* ---- profile: what a model costs on this node ---- */

typedef struct es_profile_dim {
    const char *name; /* e.g. "sequence" */
    int64_t value;    /* >= 1 */
} es_profile_dim;

typedef struct es_profile_opts {
    es_clock *clock;          /* NULL: the system's; default NULL */
    const char *node_kind;    /* name of this kind of node in the catalogue; NULL: host name */
    const char *variant;      /* name of the variant; NULL: the file's name without .onnx */
    uint32_t batch_max;       /* batches 1, 2, 4 .. batch_max; default 8 */
    uint32_t thread_count;    /* >= 1; default 1 */
    uint32_t warm_up_count;   /* runs before measuring; default 5 */
    uint32_t repetitions_min; /* unless time is up; default 200 */
    uint32_t repetitions_max; /* default 20000 */
    double time_budget_s;     /* of the whole profile, > 0; default 10 */
    double ci_relative;       /* stop when half the 95 % interval of the median / median <= this;
                                 default 0.02 */
    double pause_s; /* idle before each run, 0..1: with a pause, what a lone request meets,
                       whose caches have gone cold; default 0: back to back */
    /* Values of free dims: by name, then free_dim (>= 1, default 1) for all but the batch. */
    const es_profile_dim *dims;
    size_t dim_count; /* default 0 */
    int64_t free_dim;
    uint64_t seed;   /* of the inputs: floats in [0, 1), bytes 0 or 1, else 0; default 1 */
    bool per_cut;    /* measure the segments between cut points; default true */
    es_meter *meter; /* measures joules, in up to 4.5 s more; NULL: nobody does; default NULL */
    /* Called now and then with the part done, 0..1; NULL: not called. */
    void (*progress)(void *context, const char *what, double done);
    void *progress_context;
} es_profile_opts;

es_profile_opts es_profile_opts_default(void);

/* Latencies of one thing measured again and again. */
typedef struct es_profile_latency {
    size_t repetitions;
    double ms_min, ms_mean, ms_p50, ms_p90, ms_p95, ms_p99;
    double ms_mean_ci;              /* half width of the 95 % interval of the mean */
    double ms_p50_low, ms_p50_high; /* 95 % interval of the median (order statistics) */
    bool tight;                     /* ci_relative was reached within the budget */
} es_profile_latency;

typedef struct es_profile_batch {
    uint32_t batch;
    es_profile_latency latency; /* of one run with the whole batch */
    double throughput_rps;      /* batch / mean */
} es_profile_batch;

/* The part of the model between two neighbouring cut points. */
typedef struct es_profile_segment {
    const char *output; /* tensor it ends in; "" at the end of the model */
    es_profile_latency latency;
    double ms_p50_cumulative; /* of this segment and all before it, summed */
    uint64_t output_bytes;    /* to ship when the model is cut behind this segment */
    uint64_t params_bytes;
    uint64_t macs;
} es_profile_segment;

/* Of one request, above what the node uses at rest, as this process's share. */
typedef struct es_profile_energy {
    bool known;
    double energy_j, low_j, high_j; /* of one request; > 0 */
    double rest_w;                  /* of the node before */
    double covered_s;               /* measured under load */
    uint64_t runs;
    const char *source;   /* "rapl", "rapl+nvml", ..., "model" */
    const char *method;   /* "counter", "polled", "model" */
    const char *boundary; /* what was measured and what not, in words */
} es_profile_energy;

typedef struct es_profile {
    const char *node_kind, *cpu, *runtime_version, *variant, *path, *dtype;
    uint32_t thread_count;
    uint64_t file_bytes, input_bytes, output_bytes, params_bytes, macs;
    /* Growth of the process's resident memory: at its peak while loading and running, and what
     * stays while the session is open; 0 when not known. */
    uint64_t memory_bytes_peak, memory_bytes;
    double load_ms; /* opening the session */
    es_profile_latency latency;
    es_profile_energy energy;
    const char *energy_note; /* why energy is not known; NULL when it is */
    bool batchable;          /* the first dim of every input and output is free */
    const es_profile_batch *batches;
    size_t batch_count;
    const es_profile_segment *segments; /* cut points + 1; none when not asked for */
    size_t segment_count;
    const char *segment_note; /* why there are no segments; NULL when there are */
} es_profile;

/* Loads, warms up and measures path within opts.time_budget_s (loading not counted; 3 runs of each
 * thing are made in any case). The profile lives in arena. */
es_status es_profile_run(es_arena *arena, es_runtime *runtime, const char *path,
                         es_profile_opts opts, const es_profile **out_profile,
                         es_error *err) ES_MUST_CHECK;

/* One JSON map: a catalogue entry. */
void es_profile_write_json(const es_profile *profile, es_json *json);

#endif
