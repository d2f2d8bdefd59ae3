/*
 * Cross-layer equalisation: W1_i / s_i, b1_i / s_i, s_i W2_:i with s_i = sqrt(r1_i / r2_i), where
 * r1_i and r2_i are the largest weights that make and use channel i. Relu and pooling let positive
 * factors pass.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

enum { ROUNDS_MAX = 50 };
static const double settled = 1e-3;   /* all factors within 1 +- this: done */
static const double factor_max = 1e4; /* in one round; a nearly dead channel is left near it */

typedef struct share { /* a layer whose weights change */
    es_layer layer;
    float *weights;
    float *biases; /* NULL: none */
    bool paired;
} share;

typedef struct pair {
    size_t first, second; /* in shares */
} pair;

typedef struct equaliser {
    es_arena *arena;
    es_wiring w;
    es_model_build *build;
    share *shares;
    size_t share_count;
    size_t *share_of; /* by node; ES_NONE: none */
    ES_ARRAY(pair) pairs;
    double *made, *used; /* scratch: r1, r2 */
} equaliser;

static bool lets_factors_pass(const es_wiring *w, size_t node)
{
    static const char *const ops[] = {"Relu", "LeakyRelu", "MaxPool", "AveragePool",
                                      "GlobalAveragePool"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (es_wiring_is(w, node, ops[i]))
            return true;
    return false;
}

/* Clip(0, c), which the second layer can do without. */
static bool is_relu_with_top(const es_wiring *w, size_t node)
{
    es_model_weight weight;
    const float *low = NULL;
    return es_wiring_is(w, node, "Clip") && w->ops[node].input_count > 1 &&
           w->inputs[node][1] != ES_NONE &&
           es_wiring_floats(w, w->inputs[node][1], &weight, &low, NULL) == ES_OK &&
           weight.tensor.elements == 1 && low[0] == 0.0f;
}

/* From a layer along private values to the next; ES_NONE when something else comes. */
static size_t next_layer(const equaliser *e, size_t node)
{
    for (size_t steps = 0; steps < e->w.node_count; steps++) {
        size_t y = e->w.outputs[node][0];
        if (y == ES_NONE || !es_wiring_private(&e->w, y) || e->w.values[y].uses[0].input != 0)
            return ES_NONE;
        node = e->w.values[y].uses[0].node;
        if (e->share_of[node] != ES_NONE)
            return node;
        if (!lets_factors_pass(&e->w, node) && !is_relu_with_top(&e->w, node))
            return ES_NONE;
    }
    return ES_NONE;
}

static es_status take_share(equaliser *e, size_t node, es_error *err)
{
    es_layer l;
    bool found = false;
    e->share_of[node] = ES_NONE;
    ES_TRY(es_layer_read(&e->w, node, &l, &found, err));
    if (!found || l.transposed || es_wiring_is(&e->w, node, "MatMul") ||
        (l.biases != NULL && l.bias_count != l.channels))
        return ES_OK;
    share *s = &e->shares[e->share_count];
    *s = (share){.layer = l, .weights = ES_TAKE_ARRAY(e->arena, float, l.count)};
    if (l.biases != NULL)
        s->biases = ES_TAKE_ARRAY(e->arena, float, l.channels);
    if (s->weights == NULL || (l.biases != NULL && s->biases == NULL))
        return es_arena_full(e->arena, "weights", err);
    memcpy(s->weights, l.weights, l.count * sizeof *l.weights);
    if (l.biases != NULL)
        memcpy(s->biases, l.biases, l.channels * sizeof *l.biases);
    e->share_of[node] = e->share_count++;
    return ES_OK;
}

/* The largest change of a factor away from 1. */
static double equalise_pair(equaliser *e, const pair *p)
{
    share *first = &e->shares[p->first];
    share *second = &e->shares[p->second];
    size_t channels = first->layer.channels;
    double change = 0;
    memset(e->made, 0, channels * sizeof *e->made);
    memset(e->used, 0, channels * sizeof *e->used);
    for (size_t i = 0; i < first->layer.count; i++) {
        double *made = &e->made[es_layer_output_at(&first->layer, i)];
        *made = fmax(*made, fabs((double)first->weights[i]));
    }
    for (size_t i = 0; i < second->layer.count; i++) {
        double *used = &e->used[es_layer_input_at(&second->layer, i)];
        *used = fmax(*used, fabs((double)second->weights[i]));
    }
    double *factors = e->made;
    for (size_t c = 0; c < channels; c++) {
        bool alive = e->made[c] > 0 && e->used[c] > 0;
        double s = alive ? sqrt(e->made[c] / e->used[c]) : 1;
        factors[c] = fmin(fmax(s, 1 / factor_max), factor_max);
        change = fmax(change, fabs(factors[c] - 1));
    }
    for (size_t i = 0; i < first->layer.count; i++)
        first->weights[i] =
            (float)((double)first->weights[i] / factors[es_layer_output_at(&first->layer, i)]);
    for (size_t c = 0; first->biases != NULL && c < channels; c++)
        first->biases[c] = (float)((double)first->biases[c] / factors[c]);
    for (size_t i = 0; i < second->layer.count; i++)
        second->weights[i] =
            (float)((double)second->weights[i] * factors[es_layer_input_at(&second->layer, i)]);
    return change;
}

static es_status find_pairs(equaliser *e, es_error *err)
{
    size_t widest = 0;
    for (size_t n = 0; n < e->w.node_count; n++)
        ES_TRY(take_share(e, n, err));
    for (size_t n = 0; n < e->w.node_count; n++) {
        size_t next = e->share_of[n] != ES_NONE ? next_layer(e, n) : ES_NONE;
        if (next == ES_NONE)
            continue;
        pair p = {.first = e->share_of[n], .second = e->share_of[next]};
        size_t channels = e->shares[p.first].layer.channels;
        if (channels != e->shares[p.second].layer.inputs)
            continue; /* flattened in between */
        widest = channels > widest ? channels : widest;
        e->shares[p.first].paired = e->shares[p.second].paired = true;
        ES_TRY(ES_ARRAY_PUSH(e->arena, &e->pairs, p, "pairs", err));
    }
    e->made = ES_TAKE_ARRAY(e->arena, double, widest);
    e->used = ES_TAKE_ARRAY(e->arena, double, widest);
    return e->made != NULL && e->used != NULL ? ES_OK : es_arena_full(e->arena, "pairs", err);
}

/* Weights with other numbers, and Clips between the layers of a pair as Relu. */
static void write_pairs(equaliser *e)
{
    for (size_t i = 0; i < e->share_count; i++) {
        const share *s = &e->shares[i];
        const es_layer *l = &s->layer;
        if (!s->paired)
            continue;
        const char *name = es_model_build_fresh(e->build, e->w.values[l->weight].name);
        es_model_build_weight(e->build, name, ES_MODEL_FLOAT, (size_t)l->shape.tensor.rank,
                              l->shape.tensor.dims, s->weights, l->count * sizeof *s->weights);
        es_model_build_set_input(e->build, l->node, 1, name);
        if (s->biases == NULL)
            continue;
        name = es_model_build_fresh(e->build, e->w.values[l->bias].name);
        es_model_build_weight(e->build, name, ES_MODEL_FLOAT, 1,
                              (const int64_t[]){(int64_t)l->channels}, s->biases,
                              l->channels * sizeof *s->biases);
        es_model_build_set_input(e->build, l->node, 2, name);
    }
    for (size_t i = 0; i < e->pairs.count; i++) {
        size_t node = e->shares[e->pairs.items[i].first].layer.node;
        size_t end = e->shares[e->pairs.items[i].second].layer.node;
        while (node != end) {
            node = e->w.values[e->w.outputs[node][0]].uses[0].node;
            if (!is_relu_with_top(&e->w, node))
                continue;
            const es_model_op *op = &e->w.ops[node];
            es_model_build_drop_node(e->build, node);
            es_model_build_node(e->build, "Relu", NULL, op->name,
                                (const char *[]){op->inputs[0], NULL},
                                (const char *[]){op->outputs[0], NULL});
        }
    }
}

es_status es_equalise(es_arena *arena, const es_model *model, const es_model **out_model,
                      size_t *out_pairs, es_error *err)
{
    equaliser e = {.arena = arena};
    ES_TRY(es_wiring_make(arena, model, &e.w, err));
    e.build = es_model_build_from(arena, model);
    e.shares = ES_TAKE_ARRAY(arena, share, e.w.node_count);
    e.share_of = ES_TAKE_ARRAY(arena, size_t, e.w.node_count);
    if (e.build == NULL || e.shares == NULL || e.share_of == NULL)
        return es_arena_full(arena, "equalisation", err);
    ES_TRY(find_pairs(&e, err));
    *out_pairs = e.pairs.count;
    *out_model = model;
    if (e.pairs.count == 0)
        return ES_OK;
    double change = 1;
    for (size_t round = 0; round < ROUNDS_MAX && change > settled; round++) {
        change = 0;
        for (size_t i = 0; i < e.pairs.count; i++)
            change = fmax(change, equalise_pair(&e, &e.pairs.items[i]));
    }
    write_pairs(&e);
    return es_model_build_finish(e.build, out_model, err);
}
