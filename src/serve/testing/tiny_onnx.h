/*
 * tiny_onnx: small ONNX models for tests: operators of opset 13, weights by seed.
 */
#ifndef ES_SERVE_TESTING_TINY_ONNX_H
#define ES_SERVE_TESTING_TINY_ONNX_H

#include "model/model.h"

typedef struct tiny_model {
    es_arena *arena;
    es_model_build *build;
} tiny_model;

void tiny_begin(tiny_model *model);
/* f32[1, width] ports. */
void tiny_input(tiny_model *model, const char *name, int64_t width);
void tiny_output(tiny_model *model, const char *name, int64_t width);
/* to = from * W + b with W[rows, columns] drawn by seed. */
void tiny_dense(tiny_model *model, const char *from, const char *to, int64_t rows, int64_t columns,
                uint64_t seed);
/* Relu, Softmax, ...; from2 NULL: one input. */
void tiny_op(tiny_model *model, const char *op, const char *from, const char *from2,
             const char *to);
/* Writes the model to a file and frees it. */
es_status tiny_write(tiny_model *model, const char *path, es_error *err) ES_MUST_CHECK;

#endif
