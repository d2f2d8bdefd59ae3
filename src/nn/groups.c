/*
 * Dependency groups. Every output channel of every layer is an element; elements that must be kept
 * or dropped together are united, and sets alike in all but their place become one group.
 */
#include "nn/internal.h"

#include <assert.h>

/* Channels [first + c * stride, + span) of a layer's output for channel c of a group. */
typedef struct run {
    es_nn_id layer;
    size_t first, stride, span;
} run;

typedef ES_ARRAY(run) run_list;

typedef struct finder {
    es_arena *arena;
    const es_nn *nn;
    size_t *offsets;  /* by layer: number of its channel 0 */
    uint32_t *parent; /* by element: union-find */
    bool *fixed;      /* by element, of roots */
    size_t count;     /* elements */
    uint32_t *set;    /* by element: number of its set, in order of the first element */
    size_t set_count;
    uint32_t *order; /* elements, set by set */
    size_t *begin;   /* by set: where it begins in order; one more at the end */
    ES_ARRAY(es_nn_group) groups;
} finder;

/* ---- sets ---- */

static uint32_t root(finder *f, uint32_t element)
{
    while (f->parent[element] != element) {
        f->parent[element] = f->parent[f->parent[element]];
        element = f->parent[element];
    }
    return element;
}

/* The smaller number stays root, so that sets do not depend on the order of unions. */
static void unite(finder *f, size_t a, size_t b)
{
    uint32_t one = root(f, (uint32_t)a);
    uint32_t other = root(f, (uint32_t)b);
    uint32_t low = one < other ? one : other;
    uint32_t high = one < other ? other : one;
    f->parent[high] = low;
    f->fixed[low] = f->fixed[low] || f->fixed[high];
}

static void fix_layer(finder *f, es_nn_id id)
{
    size_t channels = es_nn_at(f->nn, id)->shape.dims[0];
    for (size_t c = 0; c < channels; c++)
        f->fixed[root(f, (uint32_t)(f->offsets[id.index] + c))] = true;
}

/* Whole groups of a convolution: their inputs and outputs are one. */
static void unite_conv(finder *f, es_nn_id id)
{
    const es_nn_layer *layer = es_nn_at(f->nn, id);
    if (layer->groups == 1)
        return;
    size_t in = f->offsets[layer->inputs[0].index];
    size_t out = f->offsets[id.index];
    size_t a = es_nn_at(f->nn, layer->inputs[0])->shape.dims[0] / layer->groups;
    size_t b = layer->shape.dims[0] / layer->groups;
    for (size_t g = 0; g < layer->groups; g++) {
        for (size_t c = 0; c < a; c++)
            unite(f, out + g * b, in + g * a + c);
        for (size_t c = 1; c < b; c++)
            unite(f, out + g * b, out + g * b + c);
    }
}

/* Output channel c is input channel c / places of input number k, whose channel 0 is output channel
 * `first`. */
static void unite_input(finder *f, es_nn_id id, size_t k, size_t first, size_t places)
{
    es_nn_id from = es_nn_at(f->nn, id)->inputs[k];
    size_t channels = es_nn_at(f->nn, from)->shape.dims[0];
    for (size_t c = 0; c < channels * places; c++)
        unite(f, f->offsets[id.index] + first + c, f->offsets[from.index] + c / places);
}

static void unite_layer(finder *f, es_nn_id id)
{
    const es_nn_layer *layer = es_nn_at(f->nn, id);
    size_t first = 0;
    switch (layer->kind) {
    case ES_NN_INPUT:
        fix_layer(f, id);
        break;
    case ES_NN_CONV:
        unite_conv(f, id);
        break;
    case ES_NN_DENSE:
    case ES_NN_GRU:
        break;
    case ES_NN_CONCAT:
        for (size_t k = 0; k < layer->input_count; k++) {
            unite_input(f, id, k, first, 1);
            first += es_nn_at(f->nn, layer->inputs[k])->shape.dims[0];
        }
        break;
    case ES_NN_FLATTEN: {
        es_nn_shape in = es_nn_at(f->nn, layer->inputs[0])->shape;
        unite_input(f, id, 0, 0, in.count / in.dims[0]);
        break;
    }
    case ES_NN_SOFTMAX: /* what is dropped would change the others */
        unite_input(f, id, 0, 0, 1);
        fix_layer(f, id);
        break;
    case ES_NN_BATCH_NORM:
    case ES_NN_SCALE:
    case ES_NN_RELU:
    case ES_NN_RELU6:
    case ES_NN_HARD_SWISH:
    case ES_NN_SIGMOID:
    case ES_NN_TANH:
    case ES_NN_MAX_POOL:
    case ES_NN_AVERAGE_POOL:
    case ES_NN_GLOBAL_POOL:
    case ES_NN_ADD:
    case ES_NN_DROPOUT:
    case ES_NN_UPSAMPLE:
    case ES_NN_LAST:
    case ES_NN_QUANTISE:
        for (size_t k = 0; k < layer->input_count; k++)
            unite_input(f, id, k, 0, 1);
        break;
    case ES_NN_KIND_COUNT:
        assert(false);
    }
}

static es_status find_sets(finder *f, es_error *err)
{
    size_t layers = f->nn->layers.count;
    f->offsets = ES_TAKE_ARRAY(f->arena, size_t, layers);
    if (f->offsets == NULL)
        return es_arena_full(f->arena, "groups", err);
    for (size_t i = 0; i < layers; i++) {
        f->offsets[i] = f->count;
        if (!es_size_add(f->count, f->nn->layers.items[i].shape.dims[0], &f->count) ||
            f->count >= UINT32_MAX)
            return es_fail(err, ES_ERR_LIMIT, "net '%s': more channels than can be counted",
                           f->nn->name);
    }
    f->parent = ES_TAKE_ARRAY(f->arena, uint32_t, f->count);
    f->set = ES_TAKE_ARRAY(f->arena, uint32_t, f->count);
    f->order = ES_TAKE_ARRAY(f->arena, uint32_t, f->count);
    f->begin = ES_TAKE_ARRAY(f->arena, size_t, f->count + 2);
    f->fixed = ES_TAKE_ARRAY(f->arena, bool, f->count);
    if (f->parent == NULL || f->set == NULL || f->order == NULL || f->begin == NULL ||
        f->fixed == NULL)
        return es_arena_full(f->arena, "groups", err);
    for (uint32_t i = 0; i < f->count; i++)
        f->parent[i] = i;
    for (uint32_t i = 0; i < layers; i++)
        unite_layer(f, (es_nn_id){i});
    for (size_t i = 0; i < f->nn->output_count; i++)
        fix_layer(f, f->nn->outputs[i].layer);
    return ES_OK;
}

/* Elements set by set, both in order (a counting sort). */
static void sort_sets(finder *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t top = root(f, i);
        f->set[i] = top == i ? (uint32_t)f->set_count++ : f->set[top];
        f->begin[f->set[i] + 2]++;
    }
    for (size_t s = 0; s < f->set_count; s++)
        f->begin[s + 2] += f->begin[s + 1];
    for (uint32_t i = 0; i < f->count; i++)
        f->order[f->begin[f->set[i] + 1]++] = i;
}

/* ---- groups ---- */

static es_status runs_of_set(finder *f, size_t set, run_list *runs, es_error *err)
{
    uint32_t layer = 0;
    runs->count = 0;
    for (size_t i = f->begin[set]; i < f->begin[set + 1]; i++) {
        size_t element = f->order[i];
        while (layer + 1 < f->nn->layers.count && f->offsets[layer + 1] <= element)
            layer++;
        size_t channel = element - f->offsets[layer];
        run *last = runs->count > 0 ? &runs->items[runs->count - 1] : NULL;
        if (last != NULL && last->layer.index == layer && last->first + last->span == channel) {
            last->span++;
            continue;
        }
        run fresh = {.layer = {layer}, .first = channel, .span = 1};
        ES_TRY(ES_ARRAY_PUSH(f->arena, runs, fresh, "groups", err));
    }
    return ES_OK;
}

/* Does the set follow as channel number `channels` of the group? Its strides are known from the
 * second on. */
static bool follows(run_list *group, size_t channels, const run_list *set)
{
    if (group->count != set->count)
        return false;
    for (size_t i = 0; i < set->count; i++) {
        const run *g = &group->items[i];
        const run *s = &set->items[i];
        if (g->layer.index != s->layer.index || g->span != s->span || s->first < g->first + g->span)
            return false;
        if (channels > 1 && s->first != g->first + channels * g->stride)
            return false;
    }
    for (size_t i = 0; channels == 1 && i < set->count; i++)
        group->items[i].stride = set->items[i].first - group->items[i].first;
    return true;
}

typedef ES_ARRAY(es_nn_slice) slice_list;

static es_status add_slice(finder *f, slice_list *slices, es_nn_id layer, size_t param,
                           uint32_t axis, size_t first, const run *r, es_error *err)
{
    es_nn_slice slice = {.layer = layer,
                         .param = (uint32_t)param,
                         .axis = axis,
                         .first = first + r->first,
                         .stride = r->stride,
                         .span = r->span};
    return ES_ARRAY_PUSH(f->arena, slices, slice, "groups", err);
}

/* Where a layer's own parameters follow its output channels. */
static es_status own_slices(finder *f, const run *r, slice_list *slices, es_error *err)
{
    const es_nn_layer *layer = es_nn_at(f->nn, r->layer);
    size_t units = layer->shape.dims[0];
    for (size_t p = 0; p < layer->param_count; p++) {
        if (layer->kind == ES_NN_QUANTISE) /* one scale for all */
            continue;
        size_t repeats =
            layer->params[p].dims[0] / units; /* gates of a GRU lie one below the other */
        for (size_t k = 0; k < repeats; k++)
            ES_TRY(add_slice(f, slices, r->layer, p, 0, k * units, r, err));
        if (layer->params[p].role == ES_NN_RECURRENT)
            ES_TRY(add_slice(f, slices, r->layer, p, 1, 0, r, err));
    }
    return ES_OK;
}

/* Weights that read those channels: their columns. */
static es_status user_slices(finder *f, const run *r, slice_list *slices, es_error *err)
{
    for (uint32_t i = r->layer.index + 1; i < f->nn->layers.count; i++) {
        const es_nn_layer *layer = &f->nn->layers.items[i];
        bool reads = layer->kind == ES_NN_DENSE || layer->kind == ES_NN_GRU ||
                     (layer->kind == ES_NN_CONV && layer->groups == 1);
        if (reads && layer->inputs[0].index == r->layer.index)
            ES_TRY(add_slice(f, slices, (es_nn_id){i}, 0, 1, 0, r, err));
    }
    return ES_OK;
}

static es_status add_group(finder *f, const run_list *runs, size_t channels, bool fixed,
                           es_error *err)
{
    slice_list slices = {0};
    es_nn_id *layers = ES_TAKE_ARRAY(f->arena, es_nn_id, runs->count);
    es_nn_group group = {.channels = channels, .fixed = fixed, .layers = layers};
    if (layers == NULL)
        return es_arena_full(f->arena, "groups", err);
    for (size_t i = 0; i < runs->count; i++) {
        run r = runs->items[i];
        r.stride = channels > 1 ? r.stride : r.span;
        if (i == 0 || runs->items[i - 1].layer.index != r.layer.index)
            layers[group.layer_count++] = r.layer;
        ES_TRY(own_slices(f, &r, &slices, err));
        ES_TRY(user_slices(f, &r, &slices, err));
    }
    group.slices = slices.items;
    group.slice_count = slices.count;
    return ES_ARRAY_PUSH(f->arena, &f->groups, group, "groups", err);
}

es_status es_nn_groups_find(es_arena *arena, const es_nn *nn, es_nn_groups *out_groups,
                            es_error *err)
{
    finder f = {.arena = arena, .nn = nn};
    run_list group = {0};
    run_list set = {0};
    size_t channels = 0;
    bool fixed = false;
    ES_TRY(find_sets(&f, err));
    sort_sets(&f);
    for (size_t s = 0; s < f.set_count; s++) {
        bool is_fixed = f.fixed[root(&f, f.order[f.begin[s]])];
        ES_TRY(runs_of_set(&f, s, &set, err));
        if (channels > 0 && is_fixed == fixed && follows(&group, channels, &set)) {
            channels++;
            continue;
        }
        if (channels > 0)
            ES_TRY(add_group(&f, &group, channels, fixed, err));
        run_list other = group; /* its memory serves again */
        group = set;
        set = other;
        channels = 1;
        fixed = is_fixed;
    }
    ES_TRY(add_group(&f, &group, channels, fixed, err));
    *out_groups = (es_nn_groups){.items = f.groups.items, .count = f.groups.count};
    return ES_OK;
}
