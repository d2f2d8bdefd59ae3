/*
 * internal: what the files of runtime share.
 */
#ifndef ES_RUNTIME_INTERNAL_H
#define ES_RUNTIME_INTERNAL_H

#include "runtime/ort.h"
#include "runtime/runtime.h"

#include <stdatomic.h>

struct es_runtime {
    ort api;
    OrtEnv *env;
    OrtMemoryInfo *memory;
    OrtAllocator *allocator; /* the library's; not ours to release */
    int log_level;
    char version[32];
    char *library_path;
    atomic_size_t references;
};

struct es_session {
    es_runtime *runtime;
    OrtSession *session;
    size_t input_count;
    size_t output_count;
    size_t asked_count; /* outputs that are tensors we carry */
    es_port *inputs;
    es_port *outputs;
    const char **input_names;
    const char **asked_names; /* of outputs[asked[i]] */
    size_t *asked;
    es_arena *arena; /* of all of the above */
    atomic_size_t references;
};

es_runtime *es_runtime_ref(es_runtime *runtime);

/* ES_OK for NULL; else releases status and fails with its text on one line, prefixed by what. */
es_status es_ort_check(const es_runtime *runtime, OrtStatus *status, const char *what,
                       es_error *err) ES_MUST_CHECK;

/* The same for a call that makes something: without memory for its status too, the library gives
 * NULL for both, as if all were well. Then fails with ES_ERR_NOMEM. */
es_status es_ort_made(const es_runtime *runtime, OrtStatus *status, const void *made,
                      const char *what, es_error *err) ES_MUST_CHECK;

/* Memory kept back for the objects of the library that was loaded (reserve.c), once per process. */
void es_reserve_start(void *library);
/* Before the library is called: fills up what was used. Fails with ES_ERR_NOMEM, prefixed by what,
 * when no block is left and there is no room for one: then a call could end the process. Threads:
 * any. */
es_status es_reserve_keep(const char *what, es_error *err) ES_MUST_CHECK;

/* Wraps the tensor's memory; it must outlive the value. */
es_status es_tensor_wrap(const es_runtime *runtime, const es_tensor *tensor, OrtValue **out_value,
                         es_error *err) ES_MUST_CHECK;

/* Fail when the tensors do not fit the ports; kind is "input" or "output". */
es_status es_ports_check(const es_port *ports, size_t port_count, const es_tensor *tensors,
                         size_t count, const char *kind, es_error *err) ES_MUST_CHECK;

/* "f32[1x3x?]" for messages. */
const char *es_shape_text(es_dtype dtype, const int64_t *dims, size_t rank, char *text,
                          size_t size);

/* Gives freed memory back to the system, where the C library can. */
void es_memory_trim(void);
/* Resident bytes of this process, now and at the peak since the last reset; 0 when not known. */
uint64_t es_memory_resident_bytes(void);
uint64_t es_memory_peak_bytes(void);
void es_memory_peak_reset(void); /* no effect where the kernel does not offer it */
/* Bytes that this process may still take, by what the machine has, its control groups and its limit
 * on addresses say; UINT64_MAX when nothing says. root: where proc and sys are, "" this machine's.
 */
uint64_t es_memory_room_bytes(const char *root);

/* Names of this machine and its processor, in the arena; never NULL unless the arena is full. */
char *es_host_name(es_arena *arena);
char *es_host_cpu(es_arena *arena);

/* Buffers that a session needs to run, and one that is run again and again. */
typedef struct es_bench {
    es_session *session;
    es_binding *binding;
    es_tensor inputs[ES_SESSION_PORTS_MAX];
    es_tensor outputs[ES_SESSION_PORTS_MAX];
} es_bench;

/* Takes outputs' shapes from one run with inputs, which the caller has filled in, and binds all.
 * Memory from arena; es_bench_done always. */
es_status es_bench_prepare(es_arena *arena, es_bench *bench, es_error *err) ES_MUST_CHECK;
void es_bench_done(es_bench *bench); /* the session stays the caller's */

/* How long and how often to measure. */
typedef struct es_measure_opts {
    es_clock *clock;
    uint32_t warm_up_count;
    size_t repetitions_min;
    size_t repetitions_max;
    double ci_relative;
    int64_t deadline_ns; /* of clock */
    int64_t pause_ns;    /* before each run */
} es_measure_opts;

/* Runs until the interval of the median is tight or a limit is reached. samples_ms has room for
 * repetitions_max and comes out sorted. */
es_status es_measure(es_binding *binding, const es_measure_opts *opts, double *samples_ms,
                     es_profile_latency *out_latency, es_error *err) ES_MUST_CHECK;

/* Fills out from count > 0 samples, which it sorts. */
void es_latency_summarise(double *samples_ms, size_t count, double ci_relative,
                          es_profile_latency *out_latency);

/* State of one profile while it is made. */
typedef struct es_profiling {
    es_arena *arena;   /* of the result */
    es_arena *scratch; /* of buffers, models and samples */
    es_runtime *runtime;
    const char *path;
    es_profile_opts opts;
    es_profile *profile;
    es_profile_segment *segments; /* the profile's, while they are filled */
    double *samples_ms;
    int64_t end_ns;
    double work_done; /* in shares of the time budget */
    double work_total;
} es_profiling;

/* Measures binding within share of what is left of the budget and reports progress. */
es_status es_profiling_measure(es_profiling *now, es_binding *binding, double share,
                               const char *what, es_profile_latency *out_latency,
                               es_error *err) ES_MUST_CHECK;

/* energy.c: joules of one request where there is a meter. */
es_status es_profiling_energy(es_profiling *now, es_binding *binding, es_error *err) ES_MUST_CHECK;

/* Analyses the model and, when asked for, cuts it at every cut point. A model that cannot be
 * analysed leaves the figures 0 and a note. *out_segments NULL: none to measure. */
typedef struct es_model es_model;
es_status es_profiling_analyse(es_profiling *now, const es_model *const **out_segments,
                               es_error *err) ES_MUST_CHECK;

/* Times the segments one after the other, each fed by the one before; whole has the inputs. */
es_status es_profiling_segments(es_profiling *now, const es_model *const *segments,
                                const es_bench *whole, es_error *err) ES_MUST_CHECK;

#endif
