/*
 * One file for all widths: weights stand in it once, and a second input, "width", says how much of
 * them is used. Every weight is cut when the model runs; of batch norms, which each width has its
 * own, the values are picked from rows with those of all. So sizes inside follow an input, which
 * runtimes can do for convolutions and matrices, but not for grouped convolutions, whose number of
 * groups is written down, nor for recurrent layers.
 */
#include "compress/learn.h"

#include <string.h>

enum { STRETCHES_MAX = 64 };
static const char input_name[] = "width";

typedef struct switcher {
    es_arena *arena;
    const es_width *widths;
    size_t count;
    const es_nn *master; /* with norms */
    const es_nn_groups *groups;
    es_model_build *build;
    const char **channels; /* by group: value [1], how many of its channels; NULL: not asked yet */
    const char *axes[2];   /* values [1]: 0 and 1 */
} switcher;

/* A part of an axis that belongs to one group, span places per channel. */
typedef struct stretch {
    size_t first, span, size, group;
} stretch;

/* ---- pieces of the graph ---- */

static const char *integers(switcher *s, const char *stem, const int64_t *values, size_t count)
{
    const char *name = es_model_build_fresh(s->build, stem);
    es_model_build_weight(s->build, name, ES_MODEL_INT64, 1, (const int64_t[]){(int64_t)count},
                          values, count * sizeof *values);
    return name;
}

static const char *integer(switcher *s, const char *stem, size_t value)
{
    return integers(s, stem, (const int64_t[]){(int64_t)value}, 1);
}

static const char *node(switcher *s, const char *op, const char *stem, const char *const *inputs)
{
    const char *name = es_model_build_fresh(s->build, stem);
    es_model_build_node(s->build, op, NULL, name, inputs, (const char *const[]){name, NULL});
    return name;
}

#define NODE(s, op, stem, ...) node((s), (op), (stem), (const char *const[]){__VA_ARGS__, NULL})

/* The entry of a table[count] for the width that is asked for. */
static const char *pick(switcher *s, const char *stem, const int64_t *table)
{
    return NODE(s, "Gather", stem, integers(s, "table", table, s->count), input_name);
}

static const char *slice(switcher *s, const char *value, const char *start, const char *end,
                         const char *axes)
{
    return NODE(s, "Slice", "part", value, start, end, axes);
}

static const char *channels_of(switcher *s, size_t group)
{
    int64_t table[ES_WIDTHS_MAX];
    for (size_t w = 0; w < s->count; w++)
        table[w] = (int64_t)s->widths[w].channels[group];
    if (s->channels[group] == NULL)
        s->channels[group] = pick(s, "channels", table);
    return s->channels[group];
}

/* Where the channels that are used end on the axis. */
static const char *end_of(switcher *s, const stretch *at)
{
    const char *end = channels_of(s, at->group);
    if (at->span != 1)
        end = NODE(s, "Mul", "size", end, integer(s, "span", at->span));
    if (at->first != 0)
        end = NODE(s, "Add", "end", end, integer(s, "first", at->first));
    return end;
}

/* ---- what is the master's ---- */

/* Stretches of a parameter's axis, from its start to its end. */
static es_status find_stretches(const switcher *s, uint32_t layer, size_t param, size_t axis,
                                stretch out[STRETCHES_MAX], size_t *out_count, es_error *err)
{
    size_t count = 0;
    for (size_t g = 0; g < s->groups->count; g++) {
        const es_nn_group *group = &s->groups->items[g];
        for (size_t i = 0; !group->fixed && i < group->slice_count; i++) {
            const es_nn_slice *at = &group->slices[i];
            if (at->layer.index != layer || at->param != param || at->axis != axis)
                continue;
            if (count == STRETCHES_MAX || (at->stride != at->span && group->channels > 1))
                return es_fail(err, ES_ERR_UNSUPPORTED,
                               "layer '%s': its channels lie too scattered to be cut while running",
                               s->master->layers.items[layer].name);
            stretch made = {.first = at->first,
                            .span = at->span,
                            .size = at->span * group->channels,
                            .group = g};
            size_t k = count++;
            for (; k > 0 && out[k - 1].first > made.first; k--)
                out[k] = out[k - 1];
            out[k] = made;
        }
    }
    *out_count = count;
    return ES_OK;
}

/* *value becomes what the width uses of it along an axis whose parts belong to several groups. */
static void cut_parts(switcher *s, const stretch *parts, size_t count, size_t size, size_t axis,
                      const char **value)
{
    const char *pieces[2 * STRETCHES_MAX + 2] = {NULL};
    size_t made = 0;
    size_t at = 0;
    for (size_t i = 0; i <= count; i++) {
        size_t next = i < count ? parts[i].first : size;
        if (next > at) /* belongs to a fixed group: all of it */
            pieces[made++] =
                slice(s, *value, integer(s, "from", at), integer(s, "to", next), s->axes[axis]);
        if (i == count)
            break;
        pieces[made++] =
            slice(s, *value, integer(s, "from", next), end_of(s, &parts[i]), s->axes[axis]);
        at = next + parts[i].size;
    }
    *value = node(s, "Concat", "parts", pieces);
    es_model_build_int(s->build, "axis", (int64_t)axis);
}

/* *value, a parameter of the master, becomes what the width uses of it. Axes that belong to one
 * group each are cut at once: every cut is a copy. */
static es_status cut(switcher *s, uint32_t layer, size_t param, const char **value, es_error *err)
{
    const es_nn_param *whole = &s->master->layers.items[layer].params[param];
    stretch parts[2][STRETCHES_MAX];
    size_t counts[2] = {0, 0};
    const char *ends[2 + 1] = {NULL};
    int64_t axes[2];
    size_t simple = 0;
    for (size_t a = 0; a < 2 && a < whole->rank; a++) {
        ES_TRY(find_stretches(s, layer, param, a, parts[a], &counts[a], err));
        if (counts[a] == 1 && parts[a][0].size == whole->dims[a]) {
            axes[simple] = (int64_t)a;
            ends[simple++] = end_of(s, &parts[a][0]);
        } else if (counts[a] > 0) {
            cut_parts(s, parts[a], counts[a], whole->dims[a], a, value);
        }
    }
    if (simple == 0)
        return ES_OK;
    const char *end = ends[0];
    if (simple == 2) {
        end = node(s, "Concat", "ends", ends);
        es_model_build_int(s->build, "axis", 0);
    }
    *value = slice(s, *value, integers(s, "zeros", (const int64_t[]){0, 0}, simple), end,
                   integers(s, "axes", axes, simple));
    return ES_OK;
}

/* ---- what each width has of its own ---- */

/* A batch norm: rows with the values of all widths, of which the width's own are taken. */
static es_status switch_norm(switcher *s, uint32_t layer, size_t at, es_error *err)
{
    int64_t starts[ES_WIDTHS_MAX];
    int64_t ends[ES_WIDTHS_MAX];
    int64_t total = 0;
    for (size_t w = 0; w < s->count; w++) {
        starts[w] = total;
        total += (int64_t)s->widths[w].nn->layers.items[layer].params[0].count;
        ends[w] = total;
    }
    const char *start = pick(s, "start", starts);
    const char *end = pick(s, "stop", ends);
    for (size_t p = 0; p < 4; p++) {
        float *row = ES_TAKE_ARRAY(s->arena, float, (size_t)total);
        if (row == NULL)
            return es_arena_full(s->arena, "values of widths", err);
        for (size_t w = 0; w < s->count; w++) {
            const es_nn_param *own = &s->widths[w].nn->layers.items[layer].params[p];
            memcpy(row + starts[w], own->values, own->count * sizeof *row);
        }
        const char *name = es_model_build_fresh(s->build, "rows");
        es_model_build_weight(s->build, name, ES_MODEL_FLOAT, 1, &total, row,
                              (size_t)total * sizeof *row);
        es_model_build_set_input(s->build, at, 1 + p, slice(s, name, start, end, s->axes[0]));
    }
    return ES_OK;
}

/* ---- layers ---- */

static es_status find_node(const es_model *model, const char *name, size_t *out, es_error *err)
{
    for (size_t i = 0; i < es_model_node_count(model); i++) {
        if (strcmp(es_model_op_at(model, i).name, name) != 0)
            continue;
        *out = i;
        return ES_OK;
    }
    return es_fail(err, ES_ERR_INTERNAL, "no node '%s'", name);
}

static bool is_cut(const switcher *s, uint32_t layer)
{
    for (size_t g = 0; g < s->groups->count; g++) {
        const es_nn_group *group = &s->groups->items[g];
        for (size_t i = 0; !group->fixed && i < group->slice_count; i++)
            if (group->slices[i].layer.index == layer)
                return true;
    }
    return false;
}

static es_status switch_layer(switcher *s, const es_model *model, uint32_t layer, es_error *err)
{
    const es_nn_layer *whole = &s->master->layers.items[layer];
    size_t at = 0;
    bool conv = whole->kind == ES_NN_CONV && whole->groups == 1;
    if (!conv && whole->kind != ES_NN_DENSE && whole->kind != ES_NN_BATCH_NORM)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "layer '%s' (%s%s): its size cannot follow an input", whole->name,
                       whole->kind == ES_NN_CONV ? "grouped " : "", es_nn_kind_name(whole->kind));
    ES_TRY(find_node(model, whole->name, &at, err));
    if (whole->kind == ES_NN_BATCH_NORM)
        return switch_norm(s, layer, at, err);
    for (size_t p = 0; p < whole->param_count; p++) {
        const char *value = es_model_op_at(model, at).inputs[1 + p];
        ES_TRY(cut(s, layer, p, &value, err));
        es_model_build_set_input(s->build, at, 1 + p, value);
    }
    return ES_OK;
}

es_status es_widths_switch(es_arena *arena, const es_width *widths, size_t count,
                           const es_nn_groups *groups, const es_model **out_model, es_error *err)
{
    switcher s = {.arena = arena,
                  .widths = widths,
                  .count = count,
                  .master = widths[count - 1].nn,
                  .groups = groups};
    const es_model *model = NULL;
    s.channels = ES_TAKE_ARRAY(arena, const char *, groups->count);
    if (s.channels == NULL)
        return es_arena_full(arena, "groups", err);
    if (es_nn_is(es_nn_find(s.master, input_name)))
        return es_fail(err, ES_ERR_ARG, "a layer is called '%s', as the input is to be",
                       input_name);
    ES_TRY(es_nn_to_model(arena, s.master, false, &model, err));
    s.build = es_model_build_from(arena, model);
    if (s.build == NULL)
        return es_arena_full(arena, "model", err);
    es_model_build_input(s.build, input_name, ES_MODEL_INT64, 1, (const int64_t[]){1}, NULL);
    for (size_t a = 0; a < 2; a++)
        s.axes[a] = integer(&s, "axis", a);
    for (uint32_t i = 0; i < s.master->layers.count; i++)
        if (is_cut(&s, i))
            ES_TRY(switch_layer(&s, model, i, err));
    return es_model_build_finish(s.build, out_model, err);
}
