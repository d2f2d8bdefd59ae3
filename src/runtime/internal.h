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

/* Resident bytes of this process; 0 when not known. */
uint64_t es_memory_resident_bytes(void);

#endif
