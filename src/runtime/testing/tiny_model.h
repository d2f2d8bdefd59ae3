/*
 * tiny_model: small models made on the spot, and the runtime that tests share. For tests and the
 * benchmark.
 */
#ifndef ES_RUNTIME_TESTING_TINY_MODEL_H
#define ES_RUNTIME_TESTING_TINY_MODEL_H

#include "runtime/runtime.h"

/* y = x + [1, 2, 3, 4]; x is f32[batch x 4] with batch = -1 for a free one. */
es_status tiny_add(es_arena *arena, int64_t batch, const void **out_bytes, size_t *out_size,
                   es_error *err) ES_MUST_CHECK;

/* y = relu(x . w0) . w1 ..., layer_count layers of width x width weights: big on purpose. */
es_status tiny_layers(es_arena *arena, int64_t batch, size_t width, size_t layer_count,
                      const void **out_bytes, size_t *out_size, es_error *err) ES_MUST_CHECK;

#endif
