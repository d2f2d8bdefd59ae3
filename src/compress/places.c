/*
 * Where a net can be cut or answer early: layers through which everything passes.
 */
#include "compress/early.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* By layer: the last layer that uses it; outputs use theirs at the end. Layers are in order. */
static void last_uses(const es_nn *nn, uint32_t *uses)
{
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        uses[i] = i;
        for (size_t k = 0; k < layer->input_count; k++)
            uses[layer->inputs[k].index] = i;
    }
    for (size_t k = 0; k < nn->output_count; k++)
        uses[nn->outputs[k].layer.index] = (uint32_t)nn->layers.count;
}

/* Of equal work the one with fewer values, or the later one. */
static void keep_better(es_places *places, es_place place)
{
    assert(places->items != NULL);
    es_place *before = places->count > 0 ? &places->items[places->count - 1] : NULL;
    if (before == NULL || before->macs != place.macs)
        places->items[places->count++] = place;
    else if (place.values <= before->values)
        *before = place;
}

static es_status find(es_arena *arena, const es_nn *nn, bool all, es_places *out, es_error *err)
{
    uint32_t *uses = ES_TAKE_ARRAY(arena, uint32_t, nn->layers.count);
    es_places places = {.items = ES_TAKE_ARRAY(arena, es_place, nn->layers.count),
                        .macs = es_nn_work_of(nn).macs};
    uint32_t furthest = 0; /* use of what came before the layer */
    uint64_t macs = 0;
    if (uses == NULL || places.items == NULL)
        return es_arena_full(arena, "places", err);
    last_uses(nn, uses);
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        es_place place = {.layer = {i}, .values = nn->layers.items[i].shape.count};
        macs += es_nn_layer_work(nn, place.layer).macs;
        place.macs = macs;
        if (i > 0 && furthest <= i && macs > 0 && macs < places.macs) {
            if (all)
                places.items[places.count++] = place;
            else
                keep_better(&places, place);
        }
        furthest = uses[i] > furthest ? uses[i] : furthest;
    }
    *out = places;
    return ES_OK;
}

static es_status check(const es_nn *nn, es_error *err)
{
    if (nn->output_count == 1)
        return ES_OK;
    return es_fail(err, ES_ERR_UNSUPPORTED, "the model has %zu outputs; one is supported",
                   nn->output_count);
}

es_status es_places_find(es_arena *arena, const es_nn *nn, es_places *out_places, es_error *err)
{
    es_places places = {0};
    ES_TRY(check(nn, err));
    ES_TRY(find(arena, nn, false, &places, err));
    if (places.count == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "the model has no place between input and output where everything passes");
    *out_places = places;
    return ES_OK;
}

es_status es_places_named(es_arena *arena, const es_nn *nn, const char *name, es_place *out_place,
                          es_error *err)
{
    es_places places = {0};
    ES_TRY(check(nn, err));
    ES_TRY(find(arena, nn, true, &places, err));
    const char **names = ES_TAKE_ARRAY(arena, const char *, places.count);
    if (names == NULL)
        return es_arena_full(arena, "places", err);
    for (size_t i = 0; i < places.count; i++) {
        const char *layer = nn->layers.items[places.items[i].layer.index].name;
        names[i] = layer;
        if (strcmp(layer, name) == 0) {
            *out_place = places.items[i];
            return ES_OK;
        }
    }
    const char *why = es_nn_is(es_nn_find(nn, name)) ? "is no place where everything passes"
                                                     : "is no layer of the model";
    const char *near = es_text_nearest(name, names, places.count);
    if (near != NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' %s; did you mean '%s'?", name, why, near);
    return es_fail(err, ES_ERR_ARG, "'%s' %s; there are %zu such places%s%s", name, why,
                   places.count, places.count > 0 ? ", the first is " : "",
                   places.count > 0 ? names[0] : "");
}

size_t es_places_near(const es_places *places, double share, size_t first)
{
    size_t best = first;
    double wanted = share * (double)places->macs;
    for (size_t i = first; i < places->count; i++)
        if (fabs((double)places->items[i].macs - wanted) <
            fabs((double)places->items[best].macs - wanted))
            best = i;
    return best;
}
