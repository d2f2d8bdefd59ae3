/*
 * testing/nets: small nets with every operator, for the gradient check and for holding the
 * backends against each other.
 */
#ifndef ES_TRAIN_TESTING_NETS_H
#define ES_TRAIN_TESTING_NETS_H

#include "es_test.h"
#include "nn/nn.h"

/* One operator each, in several forms. */
typedef struct es_train_case {
    const char *name;
    void (*build)(es_nn *nn); /* from the input on; adds the output */
    size_t rank;
    size_t dims[3];
} es_train_case;

extern const es_train_case es_train_cases[];
extern const size_t es_train_case_count;

/* Values away from kinks; parameters (statistics and factors too) that are none of the defaults. */
es_nn *es_train_case_make(es_arena *arena, const es_train_case *one, uint64_t seed);

/* A net at random: convolutions, norms, activations, pools, adds, concats, several outputs. */
es_nn *es_train_random_net(es_arena *arena, uint64_t seed);

/* count values in -scale..scale */
void es_train_random_values(es_rng *rng, double scale, size_t count, float *out);

#endif
