/*
 * testing/chain: LeNet's training step written straight in oneDNN's interface, as one would for
 * this net alone: what the engine's generality is measured against.
 */
#ifndef ES_TRAIN_TESTING_CHAIN_H
#define ES_TRAIN_TESTING_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct es_chain es_chain;

/* For the benchmark's life; NULL where oneDNN is not there. x [batch, 1, 28, 28] and labels are
 * kept. Ends the program when oneDNN refuses something. */
es_chain *es_chain_new(const float *x, const uint32_t *labels, size_t batch, uint32_t threads);
bool es_chain_step(es_chain *chain);

#endif
