/*
 * real_models: the models of the shared real data, and running one with the reference input.
 */
#ifndef ES_RUNTIME_TESTING_REAL_MODELS_H
#define ES_RUNTIME_TESTING_REAL_MODELS_H

#include "runtime/runtime.h"

/* folder/stem of every model of onnx/ and onnx-light/; NULL ends the list. */
extern const char *const real_models[];

/* How the free dims of the real models are bound: sequence = 576 (the speech model reads 512
 * samples behind 64 of context), all others 1. */
enum { REAL_SEQUENCE = 576 };

/* Inputs with memory in the arena and free dims as above, filled with tensor_fill_reference; an
 * i64 scalar is a sampling rate, 16000. */
es_status real_inputs(es_arena *arena, const es_session *session, es_tensor *out_inputs,
                      es_error *err) ES_MUST_CHECK;

#endif
