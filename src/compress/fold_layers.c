/*
 * Layers that say the same in fewer: w' = w a, b' = b a + c for what scales and shifts channels
 * behind a convolution (spec 5.1), and what only prepares its input. One pass makes the changes
 * that do not touch each other; passes follow until there is none.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

enum { PASSES_MAX = 64 };

typedef struct folder {
    es_arena *arena;
    es_wiring w;
    es_model_build *build;
    bool *touched; /* by node, in this pass */
    size_t changes;
} folder;

/* The layer gives a y + b instead of y, and its result has the name of what node `by` gave. */
static es_status absorb(folder *f, const es_layer *l, const float *a, const float *b, size_t by,
                        es_error *err)
{
    float *weights = ES_TAKE_ARRAY(f->arena, float, l->count);
    float *biases = ES_TAKE_ARRAY(f->arena, float, l->channels);
    if (weights == NULL || biases == NULL)
        return es_arena_full(f->arena, "weights", err);
    for (size_t i = 0; i < l->count; i++)
        weights[i] = l->weights[i] * a[es_layer_output_at(l, i)];
    for (size_t i = 0; i < l->channels; i++)
        biases[i] = (float)(es_layer_bias(l, i) * (double)a[i] + (double)b[i]);
    const char *weight = es_model_build_fresh(f->build, f->w.values[l->weight].name);
    const char *bias = es_model_build_fresh(
        f->build, es_arena_format(f->arena, "%s_bias", f->w.ops[by].outputs[0]));
    const int64_t bias_dims[1] = {(int64_t)l->channels};
    es_model_build_weight(f->build, weight, ES_MODEL_FLOAT, (size_t)l->shape.tensor.rank,
                          l->shape.tensor.dims, weights, l->count * sizeof *weights);
    es_model_build_weight(f->build, bias, ES_MODEL_FLOAT, 1, bias_dims, biases,
                          l->channels * sizeof *biases);
    es_model_build_set_input(f->build, l->node, 1, weight);
    es_model_build_set_input(f->build, l->node, 2, bias);
    es_model_build_drop_node(f->build, by);
    es_model_build_set_output(f->build, l->node, 0, f->w.ops[by].outputs[0]);
    f->touched[l->node] = f->touched[by] = true;
    f->changes++;
    return ES_OK;
}

/* ---- batch norms ---- */

static es_status fold_batch_norm(folder *f, const es_layer *l, size_t node, es_error *err)
{
    const es_wiring *w = &f->w;
    const float *p[4] = {NULL}; /* scale, shift, mean, variance */
    for (size_t i = 0; i < 4; i++) {
        es_model_weight weight;
        if (!es_wiring_is_weight(w, es_wiring_input(w, node, i + 1)))
            return ES_OK;
        ES_TRY(es_wiring_floats(w, w->inputs[node][i + 1], &weight, &p[i], err));
        if (weight.tensor.elements != (int64_t)l->channels)
            return ES_OK;
    }
    for (size_t k = 1; k < w->ops[node].output_count; k++)
        if (w->ops[node].outputs[k][0] != '\0')
            return ES_OK;
    double epsilon = (double)es_model_attr_float(w->model, node, "epsilon", 1e-5f);
    float *a = ES_TAKE_ARRAY(f->arena, float, l->channels);
    float *b = ES_TAKE_ARRAY(f->arena, float, l->channels);
    if (a == NULL || b == NULL)
        return es_arena_full(f->arena, "batch norm", err);
    for (size_t i = 0; i < l->channels; i++) {
        double factor = (double)p[0][i] / sqrt((double)p[3][i] + epsilon);
        a[i] = (float)factor;
        b[i] = (float)((double)p[1][i] - (double)p[2][i] * factor);
    }
    return absorb(f, l, a, b, node, err);
}

/* ---- factors and additions per channel ---- */

/* One number per channel out of a constant that is spread over y; NULL when it is not of that kind:
 * its only dimension beside ones must be the channels', counted from behind as y's is. */
static const float *per_channel(folder *f, const es_layer *l, size_t constant, size_t y)
{
    es_model_weight weight;
    const float *values = NULL;
    const es_wire *wire = &f->w.values[y];
    if (!es_wiring_is_weight(&f->w, constant) || wire->rank < 2 ||
        es_wiring_floats(&f->w, constant, &weight, &values, NULL) != ES_OK)
        return NULL;
    int32_t rank = weight.tensor.rank;
    if (rank > wire->rank ||
        (weight.tensor.elements != 1 && weight.tensor.elements != (int64_t)l->channels))
        return NULL;
    for (int32_t i = 0; i < rank; i++) {
        bool channel = i + wire->rank - rank == 1;
        if (weight.tensor.dims[i] != 1 && !channel)
            return NULL;
    }
    float *all = ES_TAKE_ARRAY(f->arena, float, l->channels);
    for (size_t i = 0; all != NULL && i < l->channels; i++)
        all[i] = values[weight.tensor.elements == 1 ? 0 : i];
    return all;
}

static es_status fold_element(folder *f, const es_layer *l, size_t node, size_t y, bool factor,
                              es_error *err)
{
    const size_t *in = f->w.inputs[node];
    const float *given = per_channel(f, l, in[0] == y ? in[1] : in[0], y);
    float *rest = ES_TAKE_ARRAY(f->arena, float, l->channels);
    if (given == NULL)
        return ES_OK;
    if (rest == NULL)
        return es_arena_full(f->arena, "channels", err);
    for (size_t i = 0; i < l->channels; i++)
        rest[i] = factor ? 0.0f : 1.0f;
    return factor ? absorb(f, l, given, rest, node, err) : absorb(f, l, rest, given, node, err);
}

static es_status fold_behind(folder *f, size_t node, es_error *err)
{
    es_layer l;
    bool found = false;
    ES_TRY(es_layer_read(&f->w, node, &l, &found, err));
    size_t y = f->w.outputs[node][0];
    if (!found || es_wiring_is(&f->w, node, "MatMul") || y == ES_NONE ||
        !es_wiring_private(&f->w, y))
        return ES_OK;
    size_t user = f->w.values[y].uses[0].node;
    if (f->touched[user])
        return ES_OK;
    if (es_wiring_is(&f->w, user, "BatchNormalization") && f->w.values[y].uses[0].input == 0)
        return fold_batch_norm(f, &l, user, err);
    if (es_wiring_is(&f->w, user, "Add"))
        return fold_element(f, &l, user, y, false, err);
    if (es_wiring_is(&f->w, user, "Mul"))
        return fold_element(f, &l, user, y, true, err);
    return ES_OK;
}

/* ---- MatMul + Add ---- */

/* x [rows, K] W [K, N] + b [N] is what Gemm does; its bias can be an integer one. */
static es_status fold_dense(folder *f, size_t node, es_error *err)
{
    const es_wiring *w = &f->w;
    if (!es_wiring_is(w, node, "MatMul") || w->inputs[node][0] == ES_NONE ||
        w->values[w->inputs[node][0]].rank != 2 || !es_wiring_is_weight(w, w->inputs[node][1]) ||
        w->values[w->inputs[node][1]].rank != 2)
        return ES_OK;
    size_t y = w->outputs[node][0];
    if (!es_wiring_private(w, y))
        return ES_OK;
    size_t user = w->values[y].uses[0].node;
    if (f->touched[user] || !es_wiring_is(w, user, "Add"))
        return ES_OK;
    es_layer l = {.channels = (size_t)w->values[w->inputs[node][1]].dims[1]};
    const size_t *in = w->inputs[user];
    const float *biases = per_channel(f, &l, in[0] == y ? in[1] : in[0], y);
    if (biases == NULL)
        return ES_OK;
    const char *bias = es_model_build_fresh(
        f->build, es_arena_format(f->arena, "%s_bias", w->ops[user].outputs[0]));
    es_model_build_weight(f->build, bias, ES_MODEL_FLOAT, 1, (const int64_t[]){(int64_t)l.channels},
                          biases, l.channels * sizeof *biases);
    es_model_build_op(f->build, node, "Gemm");
    es_model_build_set_input(f->build, node, 2, bias);
    es_model_build_drop_node(f->build, user);
    es_model_build_set_output(f->build, node, 0, w->ops[user].outputs[0]);
    f->touched[node] = f->touched[user] = true;
    f->changes++;
    (void)err;
    return ES_OK;
}

/* ---- padding ---- */

/* Zero padding of rows and columns before a convolution that pads by numbers. */
static es_status fold_pad(folder *f, size_t node, es_error *err)
{
    const es_wiring *w = &f->w;
    es_model_weight pads;
    es_model_weight value;
    const int64_t *p = NULL;
    const float *zero = NULL;
    if (!es_wiring_is(w, node, "Pad") || es_wiring_input(w, node, 1) == ES_NONE ||
        w->ops[node].input_count > 3 || !es_wiring_private(w, w->outputs[node][0]) ||
        strcmp(es_model_attr_text(w->model, node, "mode", "constant"), "constant") != 0 ||
        !es_model_constant(w->model, w->ops[node].inputs[1], &pads))
        return ES_OK;
    if (es_wiring_input(w, node, 2) != ES_NONE) {
        if (!es_wiring_is_weight(w, w->inputs[node][2]))
            return ES_OK;
        ES_TRY(es_wiring_floats(w, w->inputs[node][2], &value, &zero, err));
        if (value.tensor.elements != 1 || zero[0] != 0.0f)
            return ES_OK;
    }
    es_wire_use use = w->values[w->outputs[node][0]].uses[0];
    if (!es_wiring_is(w, use.node, "Conv") || use.input != 0 || f->touched[use.node] ||
        strcmp(es_model_attr_text(w->model, use.node, "auto_pad", "NOTSET"), "NOTSET") != 0)
        return ES_OK;
    ES_TRY(es_model_ints(f->arena, &pads, &p, err));
    size_t rank = (size_t)pads.tensor.elements / 2;
    size_t count = 0;
    const int64_t *own = es_model_attr_ints(w->model, use.node, "pads", &count);
    int64_t sum[2 * ES_DATA_RANK_MAX];
    if (rank < 3 || rank > ES_DATA_RANK_MAX || (own != NULL && count != 2 * (rank - 2)))
        return ES_OK;
    for (size_t i = 0; i < 2 * rank; i++) {
        size_t axis = i % rank;
        if (p[i] < 0 || (axis < 2 && p[i] != 0))
            return ES_OK;
        size_t at = axis - 2 + (i < rank ? 0 : rank - 2);
        if (axis >= 2)
            sum[at] = p[i] + (own != NULL ? own[at] : 0);
    }
    es_model_build_choose(f->build, use.node);
    es_model_build_ints(f->build, "pads", sum, 2 * (rank - 2));
    es_model_build_set_input(f->build, use.node, 0, w->ops[node].inputs[0]);
    f->touched[node] = f->touched[use.node] = true;
    f->changes++;
    return ES_OK;
}

/* ---- pooling ---- */

/* An average over all rows and columns is a global one, for which runtimes have a kernel. */
static void fold_pool(folder *f, size_t node)
{
    const es_wiring *w = &f->w;
    size_t x = w->inputs[node][0];
    size_t count = 0;
    size_t pad_count = 0;
    if (!es_wiring_is(w, node, "AveragePool") || x == ES_NONE || w->values[x].rank < 3)
        return;
    const es_wire *wire = &w->values[x];
    const int64_t *kernel = es_model_attr_ints(w->model, node, "kernel_shape", &count);
    const int64_t *pads = es_model_attr_ints(w->model, node, "pads", &pad_count);
    const char *pad = es_model_attr_text(w->model, node, "auto_pad", "NOTSET");
    if (count != (size_t)wire->rank - 2 || strncmp(pad, "SAME", 4) == 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (kernel[i] != wire->dims[i + 2])
            return;
    for (size_t i = 0; i < pad_count; i++)
        if (pads[i] != 0)
            return;
    es_model_build_drop_node(f->build, node);
    es_model_build_node(f->build, "GlobalAveragePool", NULL, w->ops[node].name,
                        (const char *[]){w->values[x].name, NULL},
                        (const char *[]){w->ops[node].outputs[0], NULL});
    f->touched[node] = true;
    f->changes++;
}

/* Layer, MaxPool, Relu as layer, Relu, MaxPool: the same, and the Relu can be a range. */
static void fold_late_relu(folder *f, size_t node)
{
    const es_wiring *w = &f->w;
    size_t y = w->outputs[node][0];
    size_t x = w->inputs[node][0];
    if (!es_wiring_is(w, node, "MaxPool") || w->ops[node].output_count > 1 ||
        !es_wiring_private(w, y) || x == ES_NONE || !es_wiring_private(w, x) ||
        w->values[x].maker == ES_NONE)
        return;
    size_t relu = w->values[y].uses[0].node;
    if (!es_wiring_is(w, relu, "Relu") || f->touched[relu])
        return;
    const char *between = es_model_build_fresh(f->build, w->values[y].name);
    es_model_build_set_input(f->build, relu, 0, w->values[x].name);
    es_model_build_set_input(f->build, node, 0, between);
    es_model_build_set_output(f->build, node, 0, w->ops[relu].outputs[0]);
    es_model_build_set_output(f->build, relu, 0, between);
    f->touched[node] = f->touched[relu] = true;
    f->changes++;
}

/* ---- identities ---- */

static bool is_identity(const es_wiring *w, size_t node)
{
    if (es_wiring_is(w, node, "Identity"))
        return true;
    if (!es_wiring_is(w, node, "Dropout"))
        return false;
    size_t mask = w->ops[node].output_count > 1 ? w->outputs[node][1] : ES_NONE;
    size_t training = es_wiring_input(w, node, 2);
    return training == ES_NONE &&
           (mask == ES_NONE || (w->values[mask].use_count == 0 && !w->values[mask].is_output));
}

static void fold_identity(folder *f, size_t node)
{
    size_t y = f->w.outputs[node][0];
    size_t x = f->w.inputs[node][0];
    if (!is_identity(&f->w, node) || y == ES_NONE || x == ES_NONE || f->w.values[y].is_output)
        return;
    size_t maker = f->w.values[x].maker;
    if (maker != ES_NONE && f->touched[maker]) /* it may be on its way out itself */
        return;
    es_model_build_replace(f->build, f->w.values[y].name, f->w.values[x].name);
    f->touched[node] = true;
    for (size_t i = 0; i < f->w.values[y].use_count; i++)
        f->touched[f->w.values[y].uses[i].node] = true;
    f->changes++;
}

/* ---- passes ---- */

static es_status pass(es_arena *arena, const es_model *model, const es_model **out_model,
                      size_t *out_changes, es_error *err)
{
    folder f = {.arena = arena};
    ES_TRY(es_wiring_make(arena, model, &f.w, err));
    f.build = es_model_build_from(arena, model);
    f.touched = ES_TAKE_ARRAY(arena, bool, f.w.node_count);
    if (f.build == NULL || f.touched == NULL)
        return es_arena_full(arena, "model", err);
    for (size_t n = 0; n < f.w.node_count; n++) {
        if (f.w.ops[n].input_count == 0 || f.w.ops[n].output_count == 0)
            continue;
        if (!f.touched[n])
            fold_identity(&f, n);
        if (!f.touched[n])
            fold_pool(&f, n);
        if (!f.touched[n])
            fold_late_relu(&f, n);
        if (!f.touched[n])
            ES_TRY(fold_pad(&f, n, err));
        if (!f.touched[n])
            ES_TRY(fold_behind(&f, n, err));
        if (!f.touched[n])
            ES_TRY(fold_dense(&f, n, err));
    }
    *out_changes = f.changes;
    return es_model_build_finish(f.build, out_model, err);
}

es_status es_fold_layers(es_arena *arena, const es_model *model, const es_model **out_model,
                         es_error *err)
{
    size_t changes = 1;
    for (size_t i = 0; i < PASSES_MAX && changes > 0; i++)
        ES_TRY(pass(arena, model, &model, &changes, err));
    *out_model = model;
    return ES_OK;
}
