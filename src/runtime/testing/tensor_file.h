/*
 * tensor_file: reads ONNX TensorProto (.pb) and NumPy (.npy) files, fills and compares tensors. For
 * tests and the benchmark.
 */
#ifndef ES_RUNTIME_TESTING_TENSOR_FILE_H
#define ES_RUNTIME_TESTING_TENSOR_FILE_H

#include "runtime/runtime.h"

/* Bytes of a TensorProto into the arena; ES_ERR_UNSUPPORTED for strings and other types that
 * es_tensor does not carry, ES_ERR_PARSE for anything else malformed (such as a SequenceProto). */
es_status tensor_from_pb(es_arena *arena, const void *bytes, size_t size, es_tensor *out,
                         es_error *err) ES_MUST_CHECK;

/* Bytes of a .npy file of float32. */
es_status tensor_from_npy(es_arena *arena, const void *bytes, size_t size, es_tensor *out,
                          es_error *err) ES_MUST_CHECK;

/* Memory for a tensor of the port's type and shape with free dims = 1, zeroed. */
es_status tensor_for_port(es_arena *arena, const es_port *port, es_tensor *out,
                          es_error *err) ES_MUST_CHECK;

/* x[k] = ((k * 7919) % 1009) / 1009 for f32; zero for other types. */
void tensor_fill_reference(es_tensor *tensor);

typedef struct tensor_difference {
    size_t wrong_count; /* elements with |a - b| > absolute + relative * |b|; NaN equals NaN */
    size_t first;       /* index of the first */
    double got, wanted; /* there */
    double worst;       /* largest |a - b| / (absolute + relative * |b|) */
} tensor_difference;

/* False when types or shapes differ; integers and bools compare exactly. */
bool tensor_compare(const es_tensor *got, const es_tensor *wanted, double relative, double absolute,
                    tensor_difference *out);

#endif
