/*
 * Copying a net, and bringing one that was changed back into shape: order, shapes, parameters.
 */
#include "nn/internal.h"

#include <assert.h>

es_status es_nn_push(es_nn *nn, es_nn_layer layer, es_error *err)
{
    if (nn->layers.count >= ES_NN_LAYERS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "net '%s': more than %d layers", nn->name,
                       ES_NN_LAYERS_MAX);
    layer.name = es_arena_text(nn->arena, layer.name);
    if (layer.name == NULL)
        return es_arena_full(nn->arena, "copy of a net", err);
    for (size_t p = 0; p < layer.param_count; p++) {
        es_nn_param *param = &layer.params[p];
        float *values = ES_TAKE_ARRAY(nn->arena, float, param->count);
        if (values == NULL)
            return es_arena_full(nn->arena, "copy of a net", err);
        memcpy(values, param->values, param->count * sizeof *values);
        param->values = values;
    }
    return ES_ARRAY_PUSH(nn->arena, &nn->layers, layer, "copy of a net", err);
}

es_status es_nn_copy(es_arena *arena, const es_nn *nn, es_nn **out_nn, es_error *err)
{
    es_nn *copy = ES_TAKE_ONE(arena, es_nn);
    if (copy == NULL || (copy->name = es_arena_text(arena, nn->name)) == NULL)
        return es_arena_full(arena, "copy of a net", err);
    copy->arena = arena;
    copy->channels_last = nn->channels_last;
    for (size_t i = 0; i < nn->layers.count; i++)
        ES_TRY(es_nn_push(copy, nn->layers.items[i], err));
    for (size_t i = 0; i < nn->output_count; i++) {
        ES_TRY(es_nn_output_add(copy, nn->outputs[i].name, nn->outputs[i].layer, err));
        copy->outputs[i].layout = nn->outputs[i].layout;
    }
    *out_nn = copy;
    return ES_OK;
}

/* ---- order ---- */

typedef struct sorter {
    const es_nn *nn;
    uint32_t *place; /* new number of an old layer; UINT32_MAX: none yet */
    uint8_t *begun;  /* its inputs are being placed */
    uint32_t *stack;
    size_t depth;
    uint32_t *order; /* old number by new number */
    uint32_t count;
} sorter;

static bool is_placed(const sorter *s, uint32_t layer)
{
    return s->place[layer] != UINT32_MAX;
}

/* Places layer behind all it needs: depth first, inputs in order, without recursion. */
static es_status place(sorter *s, uint32_t layer, es_error *err)
{
    s->stack[0] = layer;
    s->depth = is_placed(s, layer) ? 0 : 1;
    while (s->depth > 0) {
        uint32_t top = s->stack[s->depth - 1];
        const es_nn_layer *at = &s->nn->layers.items[top];
        size_t k = 0;
        s->begun[top] = 1;
        while (k < at->input_count && is_placed(s, at->inputs[k].index))
            k++;
        if (k == at->input_count) {
            s->place[top] = s->count;
            s->order[s->count++] = top;
            s->depth--;
            continue;
        }
        if (s->begun[at->inputs[k].index])
            return es_nn_fail(at, err, "it needs '%s', which needs it",
                              es_nn_at(s->nn, at->inputs[k])->name);
        s->stack[s->depth++] = at->inputs[k].index;
    }
    return ES_OK;
}

static es_status sort_needed(es_nn *nn, sorter *s, const es_nn_set *needed, es_error *err)
{
    size_t count = nn->layers.count;
    *s = (sorter){.nn = nn,
                  .place = ES_TAKE_ARRAY(nn->arena, uint32_t, count),
                  .begun = ES_TAKE_ARRAY(nn->arena, uint8_t, count),
                  .stack = ES_TAKE_ARRAY(nn->arena, uint32_t, count),
                  .order = ES_TAKE_ARRAY(nn->arena, uint32_t, count)};
    if (s->place == NULL || s->begun == NULL || s->stack == NULL || s->order == NULL)
        return es_arena_full(nn->arena, "layers", err);
    memset(s->place, 0xff, count * sizeof *s->place);
    for (uint32_t i = 0; i < count; i++) {
        if (es_nn_set_has(needed, (es_nn_id){i}))
            ES_TRY(place(s, i, err));
    }
    return ES_OK;
}

/* ---- shapes ---- */

/* The layer's parameters, as they were, must be those its inputs ask for. */
static es_status refit(const es_nn *nn, es_nn_layer *layer, es_error *err)
{
    es_nn_layer fresh = *layer;
    ES_TRY(es_nn_infer(nn, &fresh, es_nn_units_of(layer), es_nn_has_bias(layer), err));
    if (fresh.param_count != layer->param_count)
        return es_nn_fail(layer, err, "%zu parameters, expected %zu", layer->param_count,
                          fresh.param_count);
    for (size_t p = 0; p < layer->param_count; p++) {
        const es_nn_param *has = &layer->params[p];
        const es_nn_param *wanted = &fresh.params[p];
        if (has->role != wanted->role || has->rank != wanted->rank || has->values == NULL)
            return es_nn_fail(layer, err, "parameter %zu is not the one its kind has there", p);
        for (size_t i = 0; i < has->rank; i++) {
            if (has->dims[i] != wanted->dims[i])
                return es_nn_fail(layer, err,
                                  "parameter %zu: dimension %zu is %zu, its input '%s' "
                                  "asks for %zu",
                                  p, i, has->dims[i], es_nn_at(nn, layer->inputs[0])->name,
                                  wanted->dims[i]);
        }
        fresh.params[p].values = has->values;
    }
    *layer = fresh;
    return ES_OK;
}

es_status es_nn_seal(es_nn *nn, es_error *err)
{
    es_nn_set needed = {0};
    es_nn_set none = {0};
    sorter s;
    if (nn->output_count == 0)
        return es_fail(err, ES_ERR_ARG, "net '%s' has no output", nn->name);
    assert(nn->layers.count > 0 && nn->layers.items[0].kind == ES_NN_INPUT);
    es_nn_set_add(&needed, (es_nn_id){0});
    for (size_t i = 0; i < nn->output_count; i++)
        es_nn_set_add(&needed, nn->outputs[i].layer);
    es_nn_set_close(nn, &needed, &none);
    ES_TRY(es_within(err, sort_needed(nn, &s, &needed, err), "net '%s'", nn->name));

    es_nn_layer *sorted = ES_TAKE_ARRAY(nn->arena, es_nn_layer, s.count);
    if (sorted == NULL)
        return es_arena_full(nn->arena, "layers", err);
    es_nn result = *nn;
    result.layers.items = sorted;
    result.layers.count = result.layers.capacity = s.count;
    for (uint32_t i = 0; i < s.count; i++) {
        sorted[i] = nn->layers.items[s.order[i]];
        for (size_t k = 0; k < sorted[i].input_count; k++)
            sorted[i].inputs[k].index = s.place[sorted[i].inputs[k].index];
        ES_TRY(es_within(err, refit(&result, &sorted[i], err), "net '%s'", nn->name));
    }
    for (size_t i = 0; i < nn->output_count; i++)
        result.outputs[i].layer.index = s.place[nn->outputs[i].layer.index];
    *nn = result;
    return ES_OK;
}
