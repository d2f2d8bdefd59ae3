/*
 * train: gradients of es_nn nets, and the loops that follow them.
 *
 * An engine is a net made ready to run forwards and backwards at one batch size on one backend.
 * Losses, optimisers, rates and augmentation work on plain arrays; fit puts them together, and
 * takes a step of the caller's where something else is wanted (several widths, several teachers).
 * Reads and writes the parameters of es_nn; values are float32, row-major, samples first.
 * Threads: an engine belongs to one thread and uses thread_count of its own. Same inputs, seed,
 * backend and thread count: same bytes. Errors: ES_ERR_ARG, ES_ERR_UNSUPPORTED, ES_ERR_NOMEM.
 */
#ifndef ES_TRAIN_TRAIN_H
#define ES_TRAIN_TRAIN_H

#include "data/data.h"
#include "nn/nn.h"

/* ---- parameters ---- */

/* One parameter that is trained, with its gradient. */
typedef struct es_train_param {
    es_nn_id layer;
    es_nn_role role;
    size_t param; /* index in the layer's params */
    size_t count;
    float *values;   /* of the net */
    float *gradient; /* of the engine */
} es_train_param;

typedef struct es_train_params {
    es_train_param *items;
    size_t count;
    size_t total; /* values of all */
} es_train_params;

/* ---- engine ---- */

typedef enum es_train_backend {
    ES_TRAIN_AUTO, /* oneDNN where it is found, else plain */
    ES_TRAIN_PLAIN,
    ES_TRAIN_ONEDNN,
    ES_TRAIN_BACKEND_COUNT
} es_train_backend;

extern const char *const es_train_backend_names[ES_TRAIN_BACKEND_COUNT];

typedef struct es_train_engine_opts {
    es_train_backend backend;
    size_t batch;          /* most samples of a pass, >= 1; default 32 */
    uint32_t thread_count; /* 0: one per core; the plain backend uses one; default 0 */
    bool gradients;        /* false: forward only, in less memory; default true */
    bool logits;           /* an output that is a softmax gives what goes into it; default true */
    uint64_t seed;         /* of dropouts; default 1 */
    size_t cap_bytes;      /* of all memory of the engine; default 4 GiB */
} es_train_engine_opts;

es_train_engine_opts es_train_engine_opts_default(void);

typedef struct es_train_engine es_train_engine;

/* Of a sealed net, which is kept until _free and whose layers, shapes and frozen marks must not
 * change; values of parameters may: they are read at each forward. ES_ERR_UNAVAILABLE when oneDNN
 * is asked for and not found. */
es_status es_train_engine_new(es_nn *nn, es_train_engine_opts opts, es_train_engine **out_engine,
                              es_error *err) ES_MUST_CHECK;
void es_train_engine_free(es_train_engine *engine);
void es_train_engine_free_p(es_train_engine **engine);

/* What runs: ES_TRAIN_PLAIN or ES_TRAIN_ONEDNN. */
es_train_backend es_train_engine_backend(const es_train_engine *engine);
uint32_t es_train_engine_thread_count(const es_train_engine *engine);
es_nn *es_train_engine_nn(const es_train_engine *engine);

typedef enum es_train_pass {
    ES_TRAIN_INFER,      /* running statistics, no dropout */
    ES_TRAIN_LEARN,      /* batch statistics, which also move the running ones; dropout */
    ES_TRAIN_STATISTICS, /* as LEARN without dropout, for es_train_statistics_reset */
} es_train_pass;

/* x[samples, input]; 1 <= samples <= batch, LEARN needs 2 where a batch norm works on single
 * values. Kept until the backward. */
es_status es_train_forward(es_train_engine *engine, const float *x, size_t samples,
                           es_train_pass pass, es_error *err) ES_MUST_CHECK;

/* [samples, shape] of the last forward, until the next one. */
const float *es_train_output(const es_train_engine *engine, size_t output);
es_nn_shape es_train_output_shape(const es_train_engine *engine, size_t output);

/* From the gradients of a loss with respect to each output ([samples, shape]; NULL: none) those of
 * the parameters; add: on top of what is there. One backward per forward, which was LEARN or
 * STATISTICS: memory is used again. */
es_status es_train_backward(es_train_engine *engine, const float *const *gradients, bool add,
                            es_error *err) ES_MUST_CHECK;

/* Trained parameters in order of layers, with their gradients; owned by the engine. */
const es_train_params *es_train_engine_params(const es_train_engine *engine);

/* The step that dropouts take their numbers from; LEARN adds one. Set to resume. */
uint64_t es_train_engine_step(const es_train_engine *engine);
void es_train_engine_step_set(es_train_engine *engine, uint64_t step);

/* ---- losses ---- */

/* Each gives weight times the mean over samples, and writes its gradient (NULL: none), [samples,
 * classes] like the scores, which are logits. Sums are in double. labels < classes. O(values). */

/* -sum_c t_c log softmax(z)_c, t = 1 - smoothing for the label + smoothing / classes for all. */
double es_loss_cross_entropy(const float *scores, const uint32_t *labels, size_t samples,
                             size_t classes, double smoothing, double weight, float *gradient);

/* The same against targets [samples, classes], each row adding up to 1: soft labels, mixtures, the
 * widest of several widths. */
double es_loss_soft(const float *scores, const float *targets, size_t samples, size_t classes,
                    double weight, float *gradient);

/* Hinton: alpha T^2 KL(teacher || softmax(z / T)) + (1 - alpha) cross entropy. teacher: softened
 * probabilities, es_loss_soften. alpha in 0..1, temperature > 0; labels may be NULL when alpha = 1.
 */
double es_loss_distil(const float *scores, const float *teacher, const uint32_t *labels,
                      size_t samples, size_t classes, double alpha, double temperature,
                      double weight, float *gradient);

/* out[samples, classes] = mean over teachers of softmax(logits / temperature). */
void es_loss_soften(const float *const *logits, size_t teacher_count, size_t samples,
                    size_t classes, double temperature, float *out);

/* Mean over samples and values of (value - target)^2. */
double es_loss_squares(const float *values, const float *targets, size_t samples, size_t size,
                       double weight, float *gradient);

/* Binary cross entropy of each value against targets in 0..1: mean over samples and values. */
double es_loss_binary(const float *scores, const float *targets, size_t samples, size_t size,
                      double weight, float *gradient);

/* Gatekeeper (Rabanser et al. 2025): alpha cross entropy of samples answered rightly + (1 - alpha)
 * KL(p || uniform) of the others, all divided by the samples. Which are right is not
 * differentiated.
 */
double es_loss_gatekeeper(const float *scores, const uint32_t *labels, size_t samples,
                          size_t classes, double alpha, double weight, float *gradient);

/* How many rows have their largest score (the first of equals) at the label. */
size_t es_loss_right(const float *scores, const uint32_t *labels, size_t samples, size_t classes);

#endif
