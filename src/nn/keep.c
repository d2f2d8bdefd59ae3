/*
 * A net with some of its channels: every parameter without what its dropped channels made or read.
 */
#include "nn/internal.h"

#include <assert.h>

typedef struct keeper {
    es_arena *arena;
    const es_nn *nn;
    bool **gone;   /* [parameter * 2 + axis]: indices to drop; NULL: none */
    size_t *first; /* by layer: number of its parameter 0 */
    size_t param_total;
} keeper;

static es_status number_params(keeper *k, es_error *err)
{
    k->first = ES_TAKE_ARRAY(k->arena, size_t, k->nn->layers.count);
    for (size_t i = 0; k->first != NULL && i < k->nn->layers.count; i++) {
        k->first[i] = k->param_total;
        k->param_total += k->nn->layers.items[i].param_count;
    }
    k->gone = ES_TAKE_ARRAY(k->arena, bool *, 2 * k->param_total);
    return k->first != NULL && k->gone != NULL ? ES_OK : es_arena_full(k->arena, "net", err);
}

static es_status drop_channel(keeper *k, const es_nn_slice *slice, size_t channel, es_error *err)
{
    const es_nn_layer *layer = es_nn_at(k->nn, slice->layer);
    assert(slice->param < layer->param_count && slice->axis < 2);
    size_t size = layer->params[slice->param].dims[slice->axis];
    bool **gone = &k->gone[2 * (k->first[slice->layer.index] + slice->param) + slice->axis];
    if (*gone == NULL && (*gone = ES_TAKE_ARRAY(k->arena, bool, size)) == NULL)
        return es_arena_full(k->arena, "net", err);
    size_t begin = slice->first + channel * slice->stride;
    assert(begin + slice->span <= size);
    for (size_t i = 0; i < slice->span; i++)
        (*gone)[begin + i] = true;
    return ES_OK;
}

static es_status drop_from_group(keeper *k, const es_nn_groups *groups, size_t g, const bool *keep,
                                 es_error *err)
{
    const es_nn_group *group = &groups->items[g];
    size_t kept = 0;
    for (size_t c = 0; c < group->channels; c++)
        kept += keep[c];
    const char *name = es_nn_at(k->nn, group->layers[0])->name;
    if (kept < group->channels && group->fixed)
        return es_fail(err, ES_ERR_ARG,
                       "group %zu, of '%s', is fixed: it reaches the input, an output or a softmax",
                       g, name);
    if (kept == 0)
        return es_fail(err, ES_ERR_ARG, "group %zu, of '%s', would lose all of its %zu channels", g,
                       name, group->channels);
    for (size_t c = 0; c < group->channels; c++) {
        for (size_t s = 0; !keep[c] && s < group->slice_count; s++)
            ES_TRY(drop_channel(k, &group->slices[s], c, err));
    }
    return ES_OK;
}

/* Indices that stay along an axis; all when nothing goes. */
static es_status kept_along(keeper *k, size_t param, size_t axis, const es_nn_param *old,
                            size_t **out, size_t *out_count, es_error *err)
{
    size_t size = axis < old->rank ? old->dims[axis] : 1;
    const bool *gone = k->gone[2 * param + axis];
    size_t *kept = ES_TAKE_ARRAY(k->arena, size_t, size);
    size_t count = 0;
    if (kept == NULL)
        return es_arena_full(k->arena, "net", err);
    for (size_t i = 0; i < size; i++) {
        if (gone == NULL || !gone[i])
            kept[count++] = i;
    }
    *out = kept;
    *out_count = count;
    return ES_OK;
}

/* The parameter without what is gone; places (of the new values in the old) are filled in. */
static es_status shrink(keeper *k, size_t number, es_nn_param *param, const uint32_t **out_places,
                        es_error *err)
{
    es_nn_param old = *param;
    size_t *rows = NULL;
    size_t *columns = NULL;
    size_t row_count = 0;
    size_t column_count = 0;
    size_t inner = 1;
    if (old.count > UINT32_MAX)
        return es_fail(err, ES_ERR_LIMIT, "a parameter of %zu values, at most %u", old.count,
                       UINT32_MAX);
    ES_TRY(kept_along(k, number, 0, &old, &rows, &row_count, err));
    ES_TRY(kept_along(k, number, 1, &old, &columns, &column_count, err));
    for (size_t i = 2; i < old.rank; i++)
        inner *= old.dims[i];
    param->count = row_count * column_count * inner;
    param->dims[0] = row_count;
    if (old.rank > 1)
        param->dims[1] = column_count;
    uint32_t *places = ES_TAKE_ARRAY(k->arena, uint32_t, param->count);
    param->values = ES_TAKE_ARRAY(k->arena, float, param->count);
    if (places == NULL || param->values == NULL)
        return es_arena_full(k->arena, "net", err);
    size_t old_columns = old.rank > 1 ? old.dims[1] : 1;
    size_t next = 0;
    for (size_t r = 0; r < row_count; r++)
        for (size_t c = 0; c < column_count; c++)
            for (size_t i = 0; i < inner; i++) {
                size_t place = (rows[r] * old_columns + columns[c]) * inner + i;
                places[next] = (uint32_t)place;
                param->values[next++] = old.values[place];
            }
    *out_places = places;
    return ES_OK;
}

static es_status shrink_all(keeper *k, es_nn *nn, const uint32_t **places, es_error *err)
{
    for (size_t i = 0; i < nn->layers.count; i++) {
        es_nn_layer *layer = &nn->layers.items[i];
        size_t units = es_nn_units_of(layer);
        for (size_t p = 0; p < layer->param_count; p++)
            ES_TRY(shrink(k, k->first[i] + p, &layer->params[p], &places[k->first[i] + p], err));
        if (layer->kind == ES_NN_CONV && layer->groups > 1) /* whole groups went */
            layer->groups = layer->params[0].dims[0] / (units / layer->groups);
    }
    return ES_OK;
}

es_status es_nn_keep(es_arena *arena, const es_nn *nn, const es_nn_groups *groups,
                     const bool *const *keep, es_nn **out_nn, es_nn_origin *out_origin,
                     es_error *err)
{
    keeper k = {.arena = arena, .nn = nn};
    es_nn *smaller = NULL;
    ES_TRY(number_params(&k, err));
    for (size_t g = 0; g < groups->count; g++) {
        if (keep[g] != NULL)
            ES_TRY(drop_from_group(&k, groups, g, keep[g], err));
    }
    const uint32_t **places = ES_TAKE_ARRAY(arena, const uint32_t *, k.param_total);
    if (places == NULL)
        return es_arena_full(arena, "net", err);
    ES_TRY(es_nn_copy(arena, nn, &smaller, err));
    ES_TRY(shrink_all(&k, smaller, places, err));
    ES_TRY(es_nn_seal(smaller, err));
    if (smaller->layers.count != nn->layers.count)
        return es_fail(err, ES_ERR_ARG, "net '%s' is not sealed", nn->name);
    *out_nn = smaller;
    if (out_origin != NULL)
        *out_origin = (es_nn_origin){.places = places, .param_total = k.param_total};
    return ES_OK;
}
