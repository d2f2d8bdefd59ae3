/*
 * forward: what a net computes, in plain loops over doubles; the oracle that faster code and
 * changed nets are held against. Slow, and meant to be read.
 */
#ifndef ES_NN_TESTING_FORWARD_H
#define ES_NN_TESTING_FORWARD_H

#include "nn/nn.h"

/* Values of every layer of a sealed net, [layer][sample * shape.count + i], in the arena. input:
 * [batch * count of layer 0], channels first. training: batch norms use the statistics of the batch
 * (variance divided by the number of values) unless frozen. Dropout passes everything. NULL when
 * the arena is full. */
double *const *nn_forward(es_arena *arena, const es_nn *nn, const float *input, size_t batch,
                          bool training);

#endif
