/*
 * Weights in half precision. They are stored as such and cast when the model runs; runtimes do that
 * once, while loading. A graph of half-precision operators would be smaller in memory too, but
 * ONNX Runtime has next to none for processors and would cast around each of them.
 */
#include "base/half.h"
#include "compress/internal.h"

#include <math.h>

enum { WORTH_ELEMENTS = 16 }; /* below, a Cast costs more bytes than it saves */

static es_status halve(es_arena *arena, es_model_build *build, const es_model_weight *weight,
                       es_error *err)
{
    const float *x = NULL;
    size_t count = (size_t)weight->tensor.elements;
    ES_TRY(es_model_floats(arena, weight, &x, err));
    uint16_t *halves = ES_TAKE_ARRAY(arena, uint16_t, count);
    if (halves == NULL)
        return es_arena_full(arena, "weights", err);
    for (size_t i = 0; i < count; i++) {
        if (fabsf(x[i]) > ES_HALF_MAX)
            return es_fail(err, ES_ERR_UNSUPPORTED,
                           "weight '%s' has %g, half precision reaches to %g", weight->tensor.name,
                           (double)x[i], (double)ES_HALF_MAX);
        halves[i] = es_half_from_float(x[i]);
    }
    const char *name = es_arena_format(arena, "%s_fp16", weight->tensor.name);
    if (name == NULL)
        return es_arena_full(arena, "weights", err);
    name = es_model_build_fresh(build, name);
    es_model_build_drop_weight(build, weight->tensor.name);
    es_model_build_weight(build, name, ES_MODEL_FLOAT16, (size_t)weight->tensor.rank,
                          weight->tensor.dims, halves, count * sizeof *halves);
    es_model_build_node(build, "Cast", NULL, name, (const char *[]){name, NULL},
                        (const char *[]){weight->tensor.name, NULL});
    es_model_build_int(build, "to", ES_MODEL_FLOAT);
    return ES_OK;
}

es_status es_half_weights(es_arena *arena, const es_model *model, const es_model **out_model,
                          es_error *err)
{
    size_t halved = 0;
    es_model_build *build = es_model_build_from(arena, model);
    if (build == NULL)
        return es_arena_full(arena, "model", err);
    for (size_t i = 0; i < es_model_weight_count(model); i++) {
        es_model_weight weight = es_model_weight_at(model, i);
        if (weight.tensor.type != ES_MODEL_FLOAT || weight.tensor.elements < WORTH_ELEMENTS)
            continue;
        ES_TRY(halve(arena, build, &weight, err));
        halved++;
    }
    if (halved == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "the model has no weights of 32-bit floats");
    return es_model_build_finish(build, out_model, err);
}
