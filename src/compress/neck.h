/*
 * compress/neck: few bytes between the two halves of a net: encoder, 8 bits, decoder, from
 * principal axes of what lies there.
 */
#ifndef ES_COMPRESS_NECK_H
#define ES_COMPRESS_NECK_H

#include "compress/early.h"
#include "compress/pca.h"

#define ES_NECK_PREFIX "neck-"
#define ES_NECK_PAYLOAD ES_NECK_PREFIX "payload" /* the QUANTISE layer: what crosses */

typedef struct es_neck_size {
    es_nn_id at;     /* of the net without neck */
    size_t stride;   /* divides rows and columns (steps); of features 1 */
    size_t channels; /* of the code, 1..channels there */
} es_neck_size;

typedef struct es_neck_axes {
    es_neck_size size;
    es_pca pca;  /* of means over squares of stride x stride places */
    double kept; /* share of the variance there that comes out again, without 8 bits */
} es_neck_axes;

/* From the first `samples` of the samples to learn from. scratch is reset. */
es_status es_neck_fit(es_learner *learner, const es_nn *nn, es_neck_size size, size_t samples,
                      es_neck_axes *out_axes, es_error *err) ES_MUST_CHECK;

/* Convolutions of kernel 3 before the encoder (where values are not negative) and behind the
 * decoder, which begin as doing nothing. */
typedef struct es_neck_layers {
    size_t before, behind;
} es_neck_layers;

/* Puts the neck behind size.at: encoder, payload, decoder, and such layers around them; *out_last
 * is the name of the last. Numbers of layers change. The payload's range is still to be measured.
 */
es_status es_neck_insert(es_nn *nn, const es_neck_axes *axes, es_neck_layers layers,
                         const char **out_last, es_error *err) ES_MUST_CHECK;

/* Sets scale and zero of the payload by the codes of the first samples: all but one of 2000 at
 * either end lie inside. scratch is reset. */
es_status es_neck_range(es_learner *learner, es_nn *nn, size_t samples,
                        es_error *err) ES_MUST_CHECK;

/* ---- a net with a neck, beside the whole net ---- */

typedef struct es_neck_build {
    const es_neck_axes *axes;
    es_neck_layers layers;
    size_t taps;    /* behind the cut, beside that at it */
    size_t samples; /* that the payload's range is found from */
    bool early;     /* a linear classifier on the payload */
} es_neck_build;

typedef struct es_necked {
    es_nn *nn;       /* outputs: taps, then the early classifier "exit-1" if any, then the scores */
    es_nn *teacher;  /* the whole net; outputs: the same taps, the scores */
    const char *out; /* layer where the neck ends */
    size_t tap_count, classes;
    bool softmax, early;
    double weights[ES_NN_OUTPUTS_MAX]; /* of taps: 1 / mean square of what the teacher gives */
    es_train_engine *engine;           /* private, like the rest: of the teacher */
    float *slopes[ES_NN_OUTPUTS_MAX];
    float *soft, *slope_of;
} es_necked;

es_status es_necked_open(es_learner *learner, const es_nn *model, const es_neck_build *build,
                         es_necked *out_necked, es_error *err) ES_MUST_CHECK;
void es_necked_close(es_necked *necked); /* for ES_CLEANUP; zeroed is fine */

/* Which parts do not learn. */
typedef struct es_neck_frozen {
    bool head; /* up to the payload */
    bool decoder, tail, classifier;
} es_neck_frozen;

/* Loss: mimic * sum over taps of weighted mean squares + early * loss of the early classifier +
 * answer * loss of the scores; these losses are alpha T^2 KL to the whole net + (1 - alpha) cross
 * entropy. A weight of 0 leaves its part out. */
typedef struct es_necked_training {
    int64_t epochs;
    double rate, mimic, early, answer, alpha, temperature;
    es_neck_frozen frozen;
} es_necked_training;

es_status es_necked_learn(es_learner *learner, es_necked *necked, const char *part,
                          const es_necked_training *how, es_error *err) ES_MUST_CHECK;

/* Only what answers stays an output. */
es_status es_necked_finish(es_necked *necked, es_error *err) ES_MUST_CHECK;

/* ---- where ---- */

enum { ES_NECK_CANDIDATES_MAX = 64 };

typedef struct es_neck_wish {
    size_t bytes;  /* that may cross */
    size_t stride; /* 0: any */
    double early;  /* share of the MACs before the cut at most */
    es_neck_layers layers;
    size_t samples; /* for axes and range */
    size_t trial;   /* samples that each place is trained on in short; 0: none */
    double trial_rate;
    double slack; /* agreement below the best of all places that an earlier one may have */
} es_neck_wish;

typedef struct es_neck_candidate {
    es_place place;
    const char *name;
    double macs_share;
    es_neck_axes axes;
    size_t bytes;
    double untrained, agreement; /* share of samples answered as by the model; after the trial */
} es_neck_candidate;

typedef struct es_neck_choice {
    es_neck_candidate items[ES_NECK_CANDIDATES_MAX]; /* from input to output */
    size_t count;
    const es_neck_candidate *chosen; /* one of them */
} es_neck_choice;

/* At each place (at: NULL, or the only one) the stride that keeps most of the variance; of several
 * places that within slack of the best agreement whose bytes * macs_share is least. */
es_status es_neck_choose(es_learner *learner, es_nn *model, const char *at,
                         const es_neck_wish *wish, es_neck_choice *out_choice,
                         es_error *err) ES_MUST_CHECK;

#endif
