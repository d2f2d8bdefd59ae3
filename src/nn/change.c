/*
 * Cutting parts out of a net, and joining nets.
 */
#include "nn/internal.h"

static es_status check_id(const es_nn *nn, es_nn_id id, const char *what, es_error *err)
{
    if (id.index < nn->layers.count)
        return ES_OK;
    return es_fail(err, ES_ERR_ARG, "net '%s': %s is layer %u, there are %zu", nn->name, what,
                   id.index, nn->layers.count);
}

es_status es_nn_replace(es_nn *nn, es_nn_id of, es_nn_id by, es_error *err)
{
    es_nn_set past = {0};
    es_nn_set none = {0};
    ES_TRY(check_id(nn, of, "what to replace", err));
    ES_TRY(check_id(nn, by, "the replacement", err));
    es_nn_set_add(&past, by);
    es_nn_set_close(nn, &past, &none);
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        es_nn_layer *layer = &nn->layers.items[i];
        for (size_t k = 0; !es_nn_set_has(&past, (es_nn_id){i}) && k < layer->input_count; k++) {
            if (layer->inputs[k].index == of.index)
                layer->inputs[k] = by;
        }
    }
    for (size_t i = 0; i < nn->output_count; i++) {
        if (nn->outputs[i].layer.index == of.index)
            nn->outputs[i].layer = by;
    }
    return ES_OK;
}

/* ---- parts ---- */

/* What `to` needs behind `from`; nothing may come from the input past it. */
static es_status between(const es_nn *nn, es_nn_id from, es_nn_id to, es_nn_set *out_set,
                         es_error *err)
{
    es_nn_set set = {0};
    es_nn_set stop = {0};
    ES_TRY(check_id(nn, from, "the start of the part", err));
    ES_TRY(check_id(nn, to, "the end of the part", err));
    es_nn_set_add(&set, to);
    es_nn_set_add(&stop, from);
    es_nn_set_close(nn, &set, &stop);
    const char *begin = es_nn_at(nn, from)->name;
    const char *end = es_nn_at(nn, to)->name;
    if (from.index == to.index)
        return es_fail(err, ES_ERR_ARG, "net '%s': the part from '%s' to itself is empty", nn->name,
                       begin);
    if (from.index != 0 && es_nn_set_has(&set, (es_nn_id){0}))
        return es_fail(err, ES_ERR_ARG,
                       "net '%s': '%s' needs more than '%s': a way from the input "
                       "goes past it",
                       nn->name, end, begin);
    *out_set = set;
    return ES_OK;
}

es_status es_nn_part(es_arena *arena, const es_nn *nn, es_nn_id from, es_nn_id to, es_nn **out_nn,
                     es_error *err)
{
    es_nn_set set = {0};
    es_nn *part = NULL;
    ES_TRY(between(nn, from, to, &set, err));
    const es_nn_layer *begin = es_nn_at(nn, from);
    ES_TRY(es_nn_new(arena, nn->name, begin->name, begin->shape, &part, err));
    part->channels_last = nn->channels_last && from.index == 0;
    es_nn_id *places = ES_TAKE_ARRAY(arena, es_nn_id, nn->layers.count);
    if (places == NULL)
        return es_arena_full(arena, "part of a net", err);
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        es_nn_layer layer = nn->layers.items[i];
        if (i == from.index || !es_nn_set_has(&set, (es_nn_id){i}))
            continue;
        for (size_t k = 0; k < layer.input_count; k++)
            layer.inputs[k] = places[layer.inputs[k].index];
        places[i].index = (uint32_t)part->layers.count;
        ES_TRY(es_nn_push(part, layer, err));
    }
    ES_TRY(es_nn_output_add(part, NULL, places[to.index], err));
    *out_nn = part;
    return ES_OK;
}

/* ---- joining ---- */

static es_status push_part(es_nn *nn, es_nn_id at, const es_nn *part, const char *prefix,
                           es_nn_id *places, es_error *err)
{
    size_t count = part->layers.count; /* part may be nn itself */
    places[0] = at;
    for (uint32_t i = 1; i < count; i++) {
        es_nn_layer layer = part->layers.items[i];
        layer.name = es_arena_format(nn->arena, "%s%s", prefix, layer.name);
        if (layer.name == NULL)
            return es_arena_full(nn->arena, "joined net", err);
        if (es_nn_is(es_nn_find(nn, layer.name)))
            return es_nn_fail(&layer, err, "the name is taken already");
        for (size_t k = 0; k < layer.input_count; k++)
            layer.inputs[k] = places[layer.inputs[k].index];
        places[i].index = (uint32_t)nn->layers.count;
        ES_TRY(es_nn_push(nn, layer, err));
    }
    return ES_OK;
}

es_status es_nn_attach(es_nn *nn, es_nn_id at, const es_nn *part, const char *prefix,
                       es_nn_id *out_last, es_error *err)
{
    char has[ES_NN_SHAPE_TEXT];
    char wants[ES_NN_SHAPE_TEXT];
    ES_TRY(check_id(nn, at, "where to attach", err));
    if (part->output_count == 0)
        return es_fail(err, ES_ERR_ARG, "net '%s' has no output", part->name);
    const es_nn_layer *end = es_nn_at(nn, at);
    es_nn_shape wanted = part->layers.items[0].shape;
    if (!es_nn_shape_same(end->shape, wanted))
        return es_nn_fail(end, err, "it gives {%s}, net '%s' takes {%s}",
                          es_nn_shape_text(end->shape, has), part->name,
                          es_nn_shape_text(wanted, wants));
    es_nn_id *places = ES_TAKE_ARRAY(nn->arena, es_nn_id, part->layers.count);
    if (places == NULL)
        return es_arena_full(nn->arena, "joined net", err);
    size_t before = nn->layers.count;
    es_status status = push_part(nn, at, part, prefix, places, err);
    if (status != ES_OK) {
        nn->layers.count = before;
        return es_within(err, status, "net '%s'", nn->name);
    }
    *out_last = places[part->outputs[part->output_count - 1].layer.index];
    return ES_OK;
}
