/*
 * real_models: the models of the shared real data, and running one with the reference input.
 */
#ifndef ES_RUNTIME_TESTING_REAL_MODELS_H
#define ES_RUNTIME_TESTING_REAL_MODELS_H

#include "runtime/runtime.h"

/* folder/stem of every model of onnx/ and onnx-light/; NULL ends the list. */
extern const char *const real_models[];

/* Inputs with memory in the arena, free dims = 1, filled with tensor_fill_reference. */
es_status real_inputs(es_arena *arena, const es_session *session, es_tensor *out_inputs,
                      es_error *err) ES_MUST_CHECK;

#endif
