/*
 * random_net: small nets of every kind of layer, wired at random, for property tests.
 */
#ifndef ES_NN_TESTING_RANDOM_NET_H
#define ES_NN_TESTING_RANDOM_NET_H

#include "nn/nn.h"

/* A sealed net with residuals, concats, grouped and depthwise convolutions, norms, pools, flatten
 * or global pool, perhaps a GRU, perhaps an exit. Parameters, running statistics too, are random.
 * The same seed gives the same net. plain: without kinds that have no gradient (quantise). */
es_nn *nn_random(es_arena *arena, uint64_t seed, bool plain);

/* Fills values with normal numbers. */
void nn_random_values(es_rng *rng, float *values, size_t count);

#endif
