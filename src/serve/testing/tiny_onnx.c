#include "tiny_onnx.h"

#include "base/rng.h"

enum { OPSET = 13, ARENA_BYTES = 64 << 20, WEIGHTS_MAX = 1 << 20 };

void tiny_begin(tiny_model *model)
{
    model->arena = es_arena_new(ARENA_BYTES);
    model->build = model->arena != NULL ? es_model_build_new(model->arena, "tiny", OPSET) : NULL;
    if (model->build == NULL)
        abort(); /* a test without memory has nothing to tell */
}

void tiny_input(tiny_model *model, const char *name, int64_t width)
{
    es_model_build_input(model->build, name, ES_MODEL_FLOAT, 2, (const int64_t[]){1, width}, NULL);
}

void tiny_output(tiny_model *model, const char *name, int64_t width)
{
    es_model_build_output(model->build, name, ES_MODEL_FLOAT, 2, (const int64_t[]){1, width}, NULL);
}

void tiny_op(tiny_model *model, const char *op, const char *from, const char *from2, const char *to)
{
    es_model_build_node(model->build, op, NULL, to, (const char *const[]){from, from2, NULL},
                        (const char *const[]){to, NULL});
}

static void weights(tiny_model *model, const char *name, int64_t rows, int64_t columns,
                    uint64_t seed)
{
    static float values[WEIGHTS_MAX];
    es_rng rng = es_rng_make(seed, 0);
    size_t count = (size_t)(rows * columns);
    for (size_t i = 0; i < count && i < WEIGHTS_MAX; i++)
        values[i] = (float)(es_rng_normal(&rng) * 0.5);
    es_model_build_weight(model->build, name, ES_MODEL_FLOAT, 2, (const int64_t[]){rows, columns},
                          values, count * sizeof values[0]);
}

void tiny_dense(tiny_model *model, const char *from, const char *to, int64_t rows, int64_t columns,
                uint64_t seed)
{
    char matrix[64], bias[64], product[64];
    (void)snprintf(matrix, sizeof matrix, "%s.matrix", to);
    (void)snprintf(bias, sizeof bias, "%s.bias", to);
    (void)snprintf(product, sizeof product, "%s.product", to);
    weights(model, matrix, rows, columns, seed);
    weights(model, bias, 1, columns, seed + 1000);
    tiny_op(model, "MatMul", from, matrix, product);
    tiny_op(model, "Add", product, bias, to);
}

es_status tiny_write(tiny_model *model, const char *path, es_error *err)
{
    const es_model *made = NULL;
    es_status status = es_model_build_finish(model->build, &made, err);
    if (status == ES_OK)
        status = es_model_write(model->arena, made, path, err);
    es_arena_free(model->arena);
    *model = (tiny_model){0};
    return status;
}
