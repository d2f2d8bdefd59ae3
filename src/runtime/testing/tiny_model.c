#include "runtime/testing/tiny_model.h"

#include "model/model.h"

#include <math.h>

static es_status finish(es_arena *arena, es_model_build *build, const void **out_bytes,
                        size_t *out_size, es_error *err)
{
    const es_model *model = NULL;
    ES_TRY(es_model_build_finish(build, &model, err));
    return es_model_bytes(arena, model, out_bytes, out_size, err);
}

es_status tiny_add(es_arena *arena, int64_t batch, const void **out_bytes, size_t *out_size,
                   es_error *err)
{
    static const float addend[4] = {1, 2, 3, 4};
    const int64_t dims[2] = {batch, 4};
    const int64_t addend_dims[1] = {4};
    es_model_build *build = es_model_build_new(arena, "add", 13);
    if (build == NULL)
        return es_arena_full(arena, "model", err);
    es_model_build_input(build, "x", ES_MODEL_FLOAT, 2, dims, NULL);
    es_model_build_weight(build, "w", ES_MODEL_FLOAT, 1, addend_dims, addend, sizeof addend);
    es_model_build_node(build, "Add", NULL, "add", (const char *const[]){"x", "w", NULL},
                        (const char *const[]){"y", NULL});
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 2, dims, NULL);
    return finish(arena, build, out_bytes, out_size, err);
}

/* Every layer has its own, as the library keeps equal weights only once. */
static void weights_fill(float *weights, size_t width, size_t layer)
{
    for (size_t i = 0; i < width * width; i++)
        weights[i] = ((float)((i + layer) * 7919 % 1009) / 1009.0f - 0.5f) / sqrtf((float)width);
}

es_status tiny_layers(es_arena *arena, int64_t batch, size_t width, size_t layer_count,
                      const void **out_bytes, size_t *out_size, es_error *err)
{
    const int64_t dims[2] = {batch, (int64_t)width};
    const int64_t weight_dims[2] = {(int64_t)width, (int64_t)width};
    float *weights = ES_TAKE_ARRAY(arena, float, width *width);
    es_model_build *build = es_model_build_new(arena, "layers", 13);
    if (build == NULL || weights == NULL)
        return es_arena_full(arena, "model", err);
    es_model_build_input(build, "x", ES_MODEL_FLOAT, 2, dims, NULL);
    char from[32] = "x";
    for (size_t i = 0; i < layer_count; i++) {
        bool last = i + 1 == layer_count;
        char weight[32];
        char product[32];
        char to[32];
        (void)snprintf(weight, sizeof weight, "w%zu", i);
        (void)snprintf(product, sizeof product, "p%zu", i);
        (void)snprintf(to, sizeof to, last ? "y" : "h%zu", i);
        weights_fill(weights, width, i);
        es_model_build_weight(build, weight, ES_MODEL_FLOAT, 2, weight_dims, weights,
                              width * width * sizeof *weights);
        es_model_build_node(build, "MatMul", NULL, "", (const char *const[]){from, weight, NULL},
                            (const char *const[]){product, NULL});
        es_model_build_node(build, "Relu", NULL, "", (const char *const[]){product, NULL},
                            (const char *const[]){to, NULL});
        (void)snprintf(from, sizeof from, "%s", to);
    }
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 2, dims, NULL);
    return finish(arena, build, out_bytes, out_size, err);
}
