/*
 * Building a net by hand, and looking things up in it.
 */
#include "base/text.h"
#include "nn/internal.h"

#include <assert.h>

static const char *const kind_names[ES_NN_KIND_COUNT] = {
    [ES_NN_INPUT] = "input",
    [ES_NN_CONV] = "conv",
    [ES_NN_DENSE] = "dense",
    [ES_NN_BATCH_NORM] = "batch-norm",
    [ES_NN_SCALE] = "scale",
    [ES_NN_RELU] = "relu",
    [ES_NN_RELU6] = "relu6",
    [ES_NN_HARD_SWISH] = "hard-swish",
    [ES_NN_SIGMOID] = "sigmoid",
    [ES_NN_TANH] = "tanh",
    [ES_NN_MAX_POOL] = "max-pool",
    [ES_NN_AVERAGE_POOL] = "average-pool",
    [ES_NN_GLOBAL_POOL] = "global-pool",
    [ES_NN_ADD] = "add",
    [ES_NN_CONCAT] = "concat",
    [ES_NN_FLATTEN] = "flatten",
    [ES_NN_DROPOUT] = "dropout",
    [ES_NN_UPSAMPLE] = "upsample",
    [ES_NN_GRU] = "gru",
    [ES_NN_LAST] = "last",
    [ES_NN_QUANTISE] = "quantise",
    [ES_NN_SOFTMAX] = "softmax",
};

const char *es_nn_kind_name(es_nn_kind kind)
{
    return (unsigned)kind < ES_NN_KIND_COUNT ? kind_names[kind] : "unknown";
}

es_status es_nn_fail(const es_nn_layer *layer, es_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)es_fail_v(err, ES_ERR_ARG, format, args);
    va_end(args);
    (void)es_within(err, ES_ERR_ARG, "layer '%s' (%s)", layer->name,
                    es_nn_kind_name(layer->kind)); /* as it is */
    return ES_ERR_ARG;
}

es_nn_param *es_nn_param_of(es_nn_layer *layer, es_nn_role role)
{
    for (size_t i = 0; i < layer->param_count; i++) {
        if (layer->params[i].role == role)
            return &layer->params[i];
    }
    return NULL;
}

es_nn_id es_nn_find(const es_nn *nn, const char *name)
{
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        if (strcmp(nn->layers.items[i].name, name) == 0)
            return (es_nn_id){i};
    }
    return ES_NN_NONE;
}

es_status es_nn_new(es_arena *arena, const char *name, const char *input, es_nn_shape shape,
                    es_nn **out_nn, es_error *err)
{
    es_nn *nn = ES_TAKE_ONE(arena, es_nn);
    es_nn_layer layer = {.kind = ES_NN_INPUT, .name = es_arena_text(arena, input), .shape = shape};
    if (nn != NULL)
        nn->name = es_arena_text(arena, name);
    if (nn == NULL || nn->name == NULL || layer.name == NULL)
        return es_arena_full(arena, "net", err);
    nn->arena = arena;
    ES_TRY(es_within(err, es_nn_infer(nn, &layer, 0, false, err), "net '%s'", name));
    ES_TRY(ES_ARRAY_PUSH(arena, &nn->layers, layer, "layers", err));
    *out_nn = nn;
    return ES_OK;
}

/* "conv-3", the first number from the count on that is free. */
static es_status make_name(es_nn *nn, es_nn_layer *layer, es_error *err)
{
    for (size_t number = nn->layers.count;; number++) {
        char *name = es_arena_format(nn->arena, "%s-%zu", es_nn_kind_name(layer->kind), number);
        if (name == NULL)
            return es_arena_full(nn->arena, "layers", err);
        if (!es_nn_is(es_nn_find(nn, name))) {
            layer->name = name;
            return ES_OK;
        }
    }
}

static es_status copy_name(es_nn *nn, es_nn_layer *layer, es_error *err)
{
    if (layer->name == NULL)
        return make_name(nn, layer, err);
    if (layer->name[0] == '\0')
        return es_fail(err, ES_ERR_ARG, "layer %zu has an empty name", nn->layers.count);
    if (es_nn_is(es_nn_find(nn, layer->name)))
        return es_nn_fail(layer, err, "the name is taken already");
    layer->name = es_arena_text(nn->arena, layer->name);
    return layer->name != NULL ? ES_OK : es_arena_full(nn->arena, "layers", err);
}

static es_status check_inputs(const es_nn *nn, const es_nn_layer *layer, es_error *err)
{
    if (layer->input_count > ES_NN_INPUTS_MAX)
        return es_nn_fail(layer, err, "%zu inputs, at most %d are supported", layer->input_count,
                          ES_NN_INPUTS_MAX);
    for (size_t i = 0; i < layer->input_count; i++) {
        if (layer->inputs[i].index >= nn->layers.count)
            return es_nn_fail(layer, err, "input %zu is layer %u, there are %zu", i,
                              layer->inputs[i].index, nn->layers.count);
    }
    return ES_OK;
}

es_status es_nn_add(es_nn *nn, const es_nn_layer *layer, size_t units, bool bias, es_nn_id *out_id,
                    es_error *err)
{
    es_nn_layer added = *layer;
    if (nn->layers.count >= ES_NN_LAYERS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "net '%s': more than %d layers", nn->name,
                       ES_NN_LAYERS_MAX);
    ES_TRY(copy_name(nn, &added, err));
    ES_TRY(check_inputs(nn, &added, err));
    if (added.kind == ES_NN_INPUT)
        return es_nn_fail(&added, err, "a net has one input, its first layer");
    ES_TRY(es_nn_infer(nn, &added, units, bias, err));
    ES_TRY(es_nn_params_take(nn->arena, &added, err));
    ES_TRY(ES_ARRAY_PUSH(nn->arena, &nn->layers, added, "layers", err));
    if (out_id != NULL)
        *out_id = (es_nn_id){(uint32_t)(nn->layers.count - 1)};
    return ES_OK;
}

static es_status insert_output(es_nn *nn, size_t at, const char *name, es_nn_id layer,
                               es_error *err)
{
    if (layer.index >= nn->layers.count)
        return es_fail(err, ES_ERR_ARG, "output '%s': layer %u, there are %zu",
                       name != NULL ? name : "", layer.index, nn->layers.count);
    if (name == NULL)
        name = es_nn_at(nn, layer)->name;
    if (nn->output_count >= ES_NN_OUTPUTS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "output '%s': a net has at most %d outputs", name,
                       ES_NN_OUTPUTS_MAX);
    for (size_t i = 0; i < nn->output_count; i++) {
        if (strcmp(nn->outputs[i].name, name) == 0)
            return es_fail(err, ES_ERR_ARG, "output '%s': the name is taken already", name);
    }
    char *copy = es_arena_text(nn->arena, name);
    if (copy == NULL)
        return es_arena_full(nn->arena, "outputs", err);
    memmove(&nn->outputs[at + 1], &nn->outputs[at], (nn->output_count - at) * sizeof *nn->outputs);
    nn->outputs[at] = (es_nn_output){.name = copy, .layer = layer};
    nn->output_count++;
    return ES_OK;
}

es_status es_nn_output_add(es_nn *nn, const char *name, es_nn_id layer, es_error *err)
{
    return insert_output(nn, nn->output_count, name, layer, err);
}

es_status es_nn_exit_add(es_nn *nn, const char *name, es_nn_id layer, es_error *err)
{
    if (nn->output_count == 0)
        return es_fail(err, ES_ERR_ARG,
                       "net '%s' has no output of its own, before which an exit "
                       "could stand",
                       nn->name);
    return insert_output(nn, nn->output_count - 1, name, layer, err);
}
