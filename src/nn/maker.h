/*
 * maker: adding layer upon layer, for nets from a spec. The first failure stays, told with its
 * place in the document.
 */
#ifndef ES_NN_MAKER_H
#define ES_NN_MAKER_H

#include "nn/internal.h"

typedef struct es_nn_maker {
    es_nn *nn;
    const es_doc *place; /* whose file, line and column errors name */
    es_nn_id at;         /* the layer added last */
    es_status status;
    es_error *err;
} es_nn_maker;

/* What standard nets ask for. */
typedef struct es_nn_wishes {
    size_t classes;
    double width;   /* of channels */
    double dropout; /* before the classifier */
    bool softmax;
    size_t units;  /* of a hidden layer or block */
    size_t blocks; /* or layers */
    size_t code;   /* of an autoencoder */
    size_t kernel;
} es_nn_wishes;

/* Each adds behind `at`, which becomes the new layer; nothing once something failed. */
void es_nn_make(es_nn_maker *m, es_nn_layer layer, size_t units, bool bias);
void es_nn_make_plain(es_nn_maker *m, es_nn_kind kind, const char *name);
void es_nn_make_dense(es_nn_maker *m, const char *name, size_t units, bool bias);
void es_nn_make_dropout(es_nn_maker *m, const char *name, double rate); /* rate 0: none */
void es_nn_make_add(es_nn_maker *m, const char *name, es_nn_id other);
void es_nn_make_max_pool(es_nn_maker *m, const char *name, size_t kernel);
/* Dropout, dense "logits", perhaps softmax "probabilities". */
void es_nn_make_classifier(es_nn_maker *m, const es_nn_wishes *w);

/* A convolution padded the same, with a batch norm NAME-norm and an activation NAME-ACT. */
typedef struct es_nn_block {
    const char *name;
    size_t units;
    size_t kernel[2]; /* kernel[1] 0: as kernel[0] */
    size_t stride;    /* 0: 1 */
    size_t dilation;  /* 0: 1 */
    bool depthwise;   /* units then those of the input */
    bool causal;      /* padded before only */
    es_nn_kind act;   /* ES_NN_INPUT: none */
} es_nn_block;
void es_nn_make_block(es_nn_maker *m, es_nn_block block);

es_nn_shape es_nn_made_shape(const es_nn_maker *m); /* of `at` */

/* channels * width to the nearest multiple of step, at least step, never below 90 % of it. */
size_t es_nn_channels(double channels, double width, size_t step);

/* "PREFIXnumberSUFFIX" in the net's arena. */
const char *es_nn_make_name(es_nn_maker *m, const char *prefix, size_t number, const char *suffix);

void es_nn_net_lenet(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_resnet_8(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_ds_cnn(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_mobilenet_v2(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_cnn(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_autoencoder(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_temporal_cnn(es_nn_maker *m, const es_nn_wishes *w);
void es_nn_net_gru(es_nn_maker *m, const es_nn_wishes *w);

/* The layers and outputs of a map with `layers`; its input is made already. */
es_status es_nn_spec_layers(es_nn_maker *m, const es_doc *spec, es_error *err) ES_MUST_CHECK;
/* Adds a scale behind `at` from a map {factor: ..., offset: ...}: a number, or one per channel. */
es_status es_nn_spec_scale(es_nn_maker *m, const es_doc *map, const char *name,
                           es_error *err) ES_MUST_CHECK;

#endif
