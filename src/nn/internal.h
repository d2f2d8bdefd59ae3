/*
 * nn, inside: what a layer gives and which parameters it has, and which layers a layer needs.
 */
#ifndef ES_NN_INTERNAL_H
#define ES_NN_INTERNAL_H

#include "base/checked.h"
#include "nn/nn.h"

#include <string.h>

/* "layer 'c1' (conv): ..." */
es_status es_nn_fail(const es_nn_layer *layer, es_error *err, const char *format, ...)
    ES_PRINTF(3, 4);

/* Sets shape and the parameters' roles and dims (not their values) from kind, inputs, window,
 * groups, units and bias; defaults are filled in. The inputs' shapes must be known. */
es_status es_nn_infer(const es_nn *nn, es_nn_layer *layer, size_t units, bool bias,
                      es_error *err) ES_MUST_CHECK;

/* Appends a layer as it is; its name and parameter values are copied. */
es_status es_nn_push(es_nn *nn, es_nn_layer layer, es_error *err) ES_MUST_CHECK;

/* Zeroed values for the parameters es_nn_infer named (gamma, variance, factor: ones). */
es_status es_nn_params_take(es_arena *arena, es_nn_layer *layer, es_error *err) ES_MUST_CHECK;

/* Padding so that ceil(in / stride) places come out, the odd one behind. dim from 0. */
void es_nn_pad_same(es_nn_window *window, size_t dim, size_t in);
/* A zeroed bias, unless there is one. */
es_status es_nn_give_bias(es_nn *nn, es_nn_layer *layer, es_error *err) ES_MUST_CHECK;

/* units and bias that es_nn_infer needs, read back from the layer's parameters. */
size_t es_nn_units_of(const es_nn_layer *layer);
bool es_nn_has_bias(const es_nn_layer *layer);

static inline const es_nn_layer *es_nn_at(const es_nn *nn, es_nn_id id)
{
    return &nn->layers.items[id.index];
}

/* A set of layers. */
typedef struct es_nn_set {
    uint64_t bits[ES_NN_LAYERS_MAX / 64];
} es_nn_set;
static inline bool es_nn_set_has(const es_nn_set *set, es_nn_id id)
{
    return (set->bits[id.index / 64] >> (id.index % 64) & 1) != 0;
}
static inline void es_nn_set_add(es_nn_set *set, es_nn_id id)
{
    set->bits[id.index / 64] |= (uint64_t)1 << (id.index % 64);
}
/* Adds all that the members need, in any order of layers; does not go past members of stop. */
void es_nn_set_close(const es_nn *nn, es_nn_set *set, const es_nn_set *stop);

/* How many inputs of layers name this layer, and how many outputs. O(layers). */
size_t es_nn_uses(const es_nn *nn, es_nn_id id);
/* The convolution or dense layer that a batch norm folds into, or ES_NN_NONE. O(layers). */
es_nn_id es_nn_fold_into(const es_nn *nn, es_nn_id norm);

#endif
