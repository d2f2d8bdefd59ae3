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

#include <signal.h>

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
    uint32_t thread_count; /* 0: one per core; default 0 */
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
    ES_TRAIN_STATISTICS, /* as LEARN without dropout */
} es_train_pass;

/* x[samples, input]; 1 <= samples <= batch. x is kept until the backward. The first pass of a kind
 * and number of samples makes its plan, later ones take no memory. */
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

/* ---- scaling of raw inputs ---- */

/* Puts a fixed layer behind the input, so that the net takes values as the data has them; seals. */
es_status es_train_scale_input(es_nn *nn, const es_scaling *scaling, es_error *err) ES_MUST_CHECK;
/* And one behind the last output that undoes it: for nets that rebuild their input. */
es_status es_train_scale_output(es_nn *nn, const es_scaling *scaling, es_error *err) ES_MUST_CHECK;
/* Whether the net begins with such a layer. */
bool es_train_has_scale(const es_nn *nn);

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

/* ---- optimisers ---- */

typedef enum es_optimiser_kind {
    ES_OPTIMISER_SGD,   /* v = m v + g; w -= rate v, or rate (g + m v) with Nesterov */
    ES_OPTIMISER_ADAM,  /* Kingma and Ba 2015, with bias correction; decay is added to g */
    ES_OPTIMISER_ADAMW, /* Loshchilov and Hutter 2019: w -= rate decay w beside it */
    ES_OPTIMISER_COUNT
} es_optimiser_kind;

extern const char *const es_optimiser_names[ES_OPTIMISER_COUNT];

typedef struct es_optimiser_opts {
    es_optimiser_kind kind; /* default SGD */
    double momentum;        /* of SGD, 0..1; default 0.9 */
    bool nesterov;          /* default true */
    double beta1, beta2;    /* of Adam; default 0.9, 0.999 */
    double epsilon;         /* of Adam; default 1e-8 */
    double weight_decay;    /* >= 0; default 0; of weights, not of biases and batch norms */
    bool decay_all;         /* of those too; default false */
    double clip_norm;       /* all gradients together are at most that long; 0: any; default 0 */
} es_optimiser_opts;

es_optimiser_opts es_optimiser_opts_default(void);

typedef struct es_optimiser {
    es_optimiser_opts opts;
    const es_train_params *params; /* kept until the arena goes */
    uint64_t step;                 /* taken so far */
    float *first, *second;         /* [params->total] moments; second NULL for SGD */
} es_optimiser;

es_status es_optimiser_init(es_arena *arena, const es_train_params *params, es_optimiser_opts opts,
                            es_optimiser *out_optimiser, es_error *err) ES_MUST_CHECK;

/* Changes the values by their gradients; rate > 0. Gives the length of all gradients together
 * before clipping. O(params->total). */
double es_optimiser_step(es_optimiser *optimiser, double rate);

/* ---- rates ---- */

typedef enum es_rate_kind {
    ES_RATE_CONSTANT,
    ES_RATE_STEP,   /* times `drop` at each of the shares */
    ES_RATE_COSINE, /* half a cosine down to the last */
    ES_RATE_LINEAR, /* a line down to the last */
    ES_RATE_COUNT
} es_rate_kind;

extern const char *const es_rate_names[ES_RATE_COUNT];

typedef struct es_rate_opts {
    es_rate_kind kind; /* default COSINE */
    double rate;       /* > 0; default 0.1 */
    double last;       /* share of rate at the end; default 0 */
    double warm_up;    /* share of the training in which it climbs to rate; default 0.05 */
    double drop;       /* default 0.1 */
    double shares[4];  /* of the training, rising, 0: none; default 0.5, 0.75 */
} es_rate_opts;

es_rate_opts es_rate_opts_default(void);

/* At a share 0..1 of the training. */
double es_rate_at(const es_rate_opts *opts, double share);

/* ---- augmentation ---- */

typedef struct es_augment_opts {
    size_t shift;   /* moved by up to that many places along each axis, filled; default 0 */
    bool flip;      /* columns mirrored, half of the time; default false */
    size_t erase;   /* side of a square (length of a stretch) filled at a random place; default 0 */
    double stretch; /* all values times 1 - stretch to 1 + stretch; default 0 */
    double noise;   /* standard deviation of what is added, in units of the data; default 0 */
    double mixup;   /* alpha of Zhang et al. 2018, with soft labels; default 0 */
    float fill;     /* default 0 */
} es_augment_opts;

/* In place, each sample by itself; mixup is not done here. scratch[shape.count]. O(values). */
void es_augment(const es_augment_opts *opts, es_nn_shape shape, es_rng *rng, size_t samples,
                float *x, float *scratch);

/* Each sample and the next of a turn become share x + (1 - share) y, share from Beta(alpha, alpha);
 * targets[samples, classes] are mixed alike. scratch[samples * size]. */
void es_augment_mixup(double alpha, es_rng *rng, size_t samples, size_t size, size_t classes,
                      const uint32_t *labels, float *x, float *targets, float *scratch);

/* ---- evaluation ---- */

typedef struct es_evaluation {
    size_t count;
    double loss[ES_NN_OUTPUTS_MAX];     /* cross entropy without smoothing, or squares */
    double accuracy[ES_NN_OUTPUTS_MAX]; /* NAN for squares */
} es_evaluation;

typedef enum es_fit_loss {
    ES_FIT_CROSS_ENTROPY, /* of every output that has as many values as there are classes */
    ES_FIT_SQUARES,       /* of the last output against the input, scaled where the net begins with
                             a scaling: autoencoders */
    ES_FIT_LOSS_COUNT
} es_fit_loss;

extern const char *const es_fit_loss_names[ES_FIT_LOSS_COUNT];

/* Over rows (NULL: all), in batches of the engine. outputs[k] (the array or any may be NULL) gets
 * [rows, shape]. */
es_status es_train_evaluate(es_train_engine *engine, const es_dataset *set,
                            const es_data_rows *rows, es_fit_loss loss, es_evaluation *out,
                            float *const *outputs, es_error *err) ES_MUST_CHECK;

/* Running statistics anew, as the plain mean over that many batches: after changing widths or
 * weights. Batches are taken from the start of an epoch. */
es_status es_train_statistics_reset(es_train_engine *engine, es_data_batches *batches, size_t count,
                                    es_error *err) ES_MUST_CHECK;

/* ---- fit ---- */

typedef struct es_fit_batch {
    const float *x;         /* [samples, input], augmented */
    const uint32_t *labels; /* NULL: the set has none */
    const float *targets;   /* [samples, classes], with mixup; else NULL */
    size_t samples;
    uint64_t epoch, step; /* from 0; step over all epochs */
} es_fit_batch;

typedef struct es_fit_epoch {
    uint64_t epoch;                  /* from 0 */
    double rate;                     /* at its end */
    double loss, accuracy;           /* of the training batches as they went by */
    double held_loss, held_accuracy; /* of the last output; NAN: none held */
    double seconds;                  /* training alone */
    bool best;
} es_fit_epoch;

typedef struct es_fit_hooks {
    void *context;
    /* Instead of forward, loss and backward: leaves the gradients in the engine's parameters and
     * gives the loss and the right answers of the last output (may be 0). NULL: the usual step. */
    es_status (*step)(void *context, es_train_engine *engine, const es_fit_batch *batch,
                      double *out_loss, size_t *out_right, es_error *err);
    void (*progress)(void *context, uint64_t epoch, double share, double loss); /* at times */
    /* After each; false stops the training there. */
    bool (*epoch)(void *context, const es_fit_epoch *epoch);
} es_fit_hooks;

typedef struct es_fit_opts {
    uint32_t epoch_count;   /* >= 1; default 10 */
    size_t batch;           /* default 64; what is over at the end of an epoch is left out */
    es_fit_loss loss;       /* default cross entropy */
    double label_smoothing; /* 0..1; default 0 */
    double output_weights[ES_NN_OUTPUTS_MAX]; /* of the losses; 0 in all: 1 each */
    es_optimiser_opts optimiser;
    es_rate_opts rate;
    es_augment_opts augment;
    double average;    /* exponential mean of the parameters, share kept per step; 0: none */
    uint32_t patience; /* epochs without a better one before it stops; 0: never; default 0 */
    bool keep_best;    /* end with the parameters of the best epoch, by held rows; default true */
    bool allow_empty;  /* classes of the net without samples; default false */
    uint64_t seed;     /* default 1 */
    es_train_engine_opts engine;       /* batch and seed are set from those above */
    const char *checkpoint;            /* file, or NULL: none */
    uint32_t checkpoint_epochs;        /* between writing it; default 1 */
    bool resume;                       /* from the checkpoint, which must be there; default false */
    const volatile sig_atomic_t *stop; /* not 0: write the checkpoint and stop; may be NULL */
    es_fit_hooks hooks;
} es_fit_opts;

es_fit_opts es_fit_opts_default(void);

typedef struct es_fit_result {
    es_fit_epoch *epochs;
    size_t epoch_count;
    size_t best;    /* index; the last when nothing is held */
    bool stopped;   /* by the flag or a hook */
    bool early;     /* patience ran out */
    double seconds; /* training alone */
    uint64_t steps;
    es_train_backend backend;
    uint32_t thread_count;
} es_fit_result;

/* Trains nn's parameters on rows (NULL: all) and watches held (NULL: none). The result lies in the
 * arena. Interrupted and resumed gives the same bytes as not interrupted. Errors: a loss that is no
 * number names epoch and step; shapes that differ, labels that the net has no class for, classes
 * without samples, fewer rows than a batch; ES_ERR_PARSE for a checkpoint of other settings. */
es_status es_fit(es_arena *arena, es_nn *nn, const es_dataset *set, const es_data_rows *rows,
                 const es_data_rows *held, const es_fit_opts *opts, es_fit_result *out_result,
                 es_error *err) ES_MUST_CHECK;

#endif
