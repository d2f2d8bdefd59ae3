/*
 * compress/learn: what the steps that train share: prune, distil, slim, specialise, finetune.
 *
 * A step takes a variant's model as a net, changes and trains it, and gives a model back. Samples
 * are scaled, and have channels first, as nets have them inside whatever the file's layout is.
 */
#ifndef ES_COMPRESS_LEARN_H
#define ES_COMPRESS_LEARN_H

#include "compress/internal.h"
#include "nn/nn.h"
#include "train/train.h"

/* ---- how a step trains ---- */

typedef struct es_learn_opts {
    int64_t epochs; /* 0: no training */
    int64_t batch, shift, erase, threads;
    double rate, weight_decay, smoothing, mixup, average, held;
    size_t optimiser, flip, add_norms, allow_empty;
    const char *checkpoint; /* NULL: none */
} es_learn_opts;

extern const char *const es_learn_no_yes[2];

/* NOLINTBEGIN(bugprone-macro-parentheses): initialisers */
/* Rows of a step's table for its options struct `owner`, whose member `learn` these are. */
#define ES_LEARN_NUMBER(owner, member, standard, least, most, words)                               \
    {                                                                                              \
        .name = #member, .type = ES_STEP_NUMBER, .offset = offsetof(owner, learn.member),          \
        .fallback = standard, .min = least, .max = most, .help = words                             \
    }
#define ES_LEARN_INT(owner, member, standard, least, most, words)                                  \
    {                                                                                              \
        .name = #member, .type = ES_STEP_INT, .offset = offsetof(owner, learn.member),             \
        .fallback = standard, .min = least, .max = most, .help = words                             \
    }
#define ES_LEARN_OPTIONS(owner, epochs_standard, rate_standard, norms_standard)                    \
    ES_LEARN_OPTIONS_BY(owner, epochs_standard, rate_standard, norms_standard, "sgd")
/* With another standard optimiser. */
#define ES_LEARN_OPTIONS_BY(owner, epochs_standard, rate_standard, norms_standard,                 \
                            optimiser_standard)                                                    \
    ES_LEARN_INT(owner, epochs, epochs_standard, 0, 100000, "of training; 0: none"),               \
        ES_LEARN_NUMBER(owner, rate, rate_standard, 1e-9, 100, "of learning at its height"),       \
        ES_LEARN_INT(owner, batch, "128", 2, 65536, "samples of a step"),                          \
        {.name = "optimiser",                                                                      \
         .type = ES_STEP_WORD,                                                                     \
         .offset = offsetof(owner, learn.optimiser),                                               \
         .fallback = optimiser_standard,                                                           \
         .words = es_optimiser_names,                                                              \
         .word_count = ES_OPTIMISER_COUNT,                                                         \
         .help = "sgd with Nesterov's momentum 0.9, adam or adamw"},                               \
        ES_LEARN_NUMBER(owner, weight_decay, "5e-4", 0, 1, "of weights"),                          \
        ES_LEARN_NUMBER(owner, smoothing, "0", 0, 0.9, "of labels"),                               \
        ES_LEARN_INT(owner, shift, "0", 0, 1024, "samples are moved by up to that many places"),   \
        {.name = "flip",                                                                           \
         .type = ES_STEP_WORD,                                                                     \
         .offset = offsetof(owner, learn.flip),                                                    \
         .fallback = "no",                                                                         \
         .words = es_learn_no_yes,                                                                 \
         .word_count = 2,                                                                          \
         .help = "half of the samples are mirrored"},                                              \
        ES_LEARN_INT(owner, erase, "0", 0, 1024, "side of a square of samples that is blanked"),   \
        ES_LEARN_NUMBER(owner, mixup, "0", 0, 10, "alpha of mixtures of two samples"),             \
        ES_LEARN_NUMBER(owner, average, "0", 0, 0.999999,                                          \
                        "share kept per step in a mean of the parameters; 0: none"),               \
        ES_LEARN_NUMBER(owner, held, "0", 0, 0.9,                                                  \
                        "share of the samples that chooses the best epoch; 0: the last one"),      \
        {.name = "allow_empty",                                                                    \
         .type = ES_STEP_WORD,                                                                     \
         .offset = offsetof(owner, learn.allow_empty),                                             \
         .fallback = "no",                                                                         \
         .words = es_learn_no_yes,                                                                 \
         .word_count = 2,                                                                          \
         .help = "classes of the model may be without samples"},                                   \
        {.name = "add_norms",                                                                      \
         .type = ES_STEP_WORD,                                                                     \
         .offset = offsetof(owner, learn.add_norms),                                               \
         .fallback = norms_standard,                                                               \
         .words = es_learn_no_yes,                                                                 \
         .word_count = 2,                                                                          \
         .help = "batch norms for the training where files have none, folded away again"},         \
        ES_LEARN_INT(owner, threads, "0", 0, 1024, "0: one per core"),                             \
    {                                                                                              \
        .name = "checkpoint", .type = ES_STEP_TEXT, .offset = offsetof(owner, learn.checkpoint),   \
        .help = "file to go on from when it is there, and to write"                                \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

/* ---- a step at work ---- */

typedef struct es_learner {
    const es_compress_job *job;
    const char *step;  /* its name */
    es_arena *arena;   /* of the step: goes with it */
    es_arena *scratch; /* for short; reset by whoever uses it */
    es_learn_opts opts;
    es_dataset set; /* channels first, scaled */
    const es_data_rows *rows, *held;
    bool norms_added; /* to be folded away again */
    bool allow_empty; /* classes without samples */
    double seconds;   /* of training so far */
    ES_ARRAY(es_fit_epoch) curve;
} es_learner;

/* For a variant of one model, which becomes *out_nn (with batch norms put in, when asked for and
 * there will be epochs), and the job's samples to fit. For ES_CLEANUP of close; out_learner is
 * zeroed first. */
es_status es_learner_open(const es_compress_job *job, const char *step, const es_variant *from,
                          es_learn_opts opts, es_learner *out_learner, es_nn **out_nn,
                          es_error *err) ES_MUST_CHECK;
void es_learner_close(es_learner *learner);

/* Other samples than the job's from here on; they lie in the arena given (kept). nn: their shape.
 */
es_status es_learner_data(es_learner *learner, const es_samples *samples, const es_nn *nn,
                          es_error *err) ES_MUST_CHECK;

/* The options of a training of that many epochs of these samples; seed: of the job. */
es_fit_opts es_learner_fit_opts(const es_learner *learner, int64_t epochs);

/* Trains and adds to the curve; 0 epochs: nothing. part ("" or "round 2") tells trainings of a step
 * apart, also in names of checkpoints. step: instead of the usual one, or NULL; see es_fit_hooks.
 * ES_ERR_CANCELLED when the job is to end. */
typedef es_status (*es_learn_step)(void *context, es_train_engine *engine,
                                   const es_fit_batch *batch, double *out_loss, size_t *out_right,
                                   es_error *err);
es_status es_learner_fit(es_learner *learner, es_nn *nn, const char *part, int64_t epochs,
                         es_learn_step step, void *context, es_error *err) ES_MUST_CHECK;

/* Accuracy of the last output over rows (NULL: all) of a set, at most limit (0: all) of them. */
es_status es_learner_accuracy(es_learner *learner, es_nn *nn, const es_dataset *set,
                              const es_data_rows *rows, size_t limit, double *out_accuracy,
                              es_error *err) ES_MUST_CHECK;

/* Batches of the samples to fit. */
es_status es_learner_batches(es_learner *learner, es_data_batches *out_batches,
                             es_error *err) ES_MUST_CHECK;

/* The net as a variant `from`-suffix. */
es_status es_learner_give(const es_learner *learner, const es_nn *nn, const es_variant *from,
                          const char *suffix, es_variants *out, es_variant **out_variant,
                          es_error *err) ES_MUST_CHECK;

/* A report begins with step, macs and params before and after, training; the step adds its own and
 * ends it. before NULL: none. */
typedef struct es_learn_report {
    es_text text;
    es_json json;
} es_learn_report;
void es_learn_report_begin(es_learn_report *report, const es_learner *learner, const es_nn *before,
                           const es_nn *after);
es_status es_learn_report_end(es_learn_report *report, es_arena *arena, const es_doc **out_doc,
                              es_error *err) ES_MUST_CHECK;
void es_learn_report_done(es_learn_report *report); /* for ES_CLEANUP */

/* Outputs of the engine's net that are scores of as many classes as the last one has. */
bool es_learn_is_scores(const es_train_engine *engine, size_t output);

/* ---- importance of channels (spec 5.4) ---- */

typedef enum es_prune_criterion {
    ES_PRUNE_BY_TAYLOR, /* |sum of w dL/dw|, mean over batches: what the loss is without */
    ES_PRUNE_BY_L1,     /* sum of |w| */
    ES_PRUNE_BY_L2,     /* sum of w^2 */
    ES_PRUNE_BY_NORM,   /* |gamma| of batch norms */
    ES_PRUNE_BY_LAMP,   /* w^2 over the sum of those that are not smaller */
    ES_PRUNE_BY_RANDOM, /* to compare with */
    ES_PRUNE_BY_COUNT
} es_prune_criterion;
extern const char *const es_prune_criterion_names[ES_PRUNE_BY_COUNT];

/* scores[group][channel], >= 0: means over the members of a group (a layer's output or input side),
 * divided by the group's mean but for LAMP; all 0 where a group has no parameters. NULL for fixed
 * groups. batches: only of TAYLOR, that many are read. O(params) (per batch). */
es_status es_importance(es_learner *learner, const es_nn *nn, const es_nn_groups *groups,
                        es_prune_criterion criterion, size_t batch_count, double **out_scores,
                        es_error *err) ES_MUST_CHECK;

/* Sum over channel c of a slice of what term makes of value and gradient; gradient may be NULL. */
double es_slice_sum(const es_nn_param *param, const es_nn_slice *slice, size_t channel,
                    const float *gradient, double (*term)(double value, double gradient));

/* ---- order in which channels go ---- */

/* Some channels of one group that go together. */
typedef struct es_prune_block {
    uint32_t group, first, count; /* [first, + count) of the group's ranks */
    double key;
} es_prune_block;

typedef struct es_prune_order {
    const es_nn_groups *groups;
    uint32_t *const *ranks; /* [group] channels, the least important first; NULL: fixed */
    es_prune_block *blocks; /* in the order in which they go */
    size_t block_count;
    bool **keep; /* [group]; NULL: fixed. Set by es_prune_keep */
} es_prune_order;

typedef struct es_prune_order_opts {
    size_t multiple; /* what is left of a group is one of it; 0: by the group's size, 8 or less */
    double least;    /* share of each group that stays, 0..1 */
    bool local;      /* the same share from each group, instead of the least important of all */
} es_prune_order_opts;

size_t es_prune_multiple(size_t multiple, size_t channels);

es_status es_prune_order_make(es_arena *arena, const es_nn_groups *groups,
                              const double *const *scores, es_prune_order_opts opts,
                              es_prune_order *out_order, es_error *err) ES_MUST_CHECK;

/* order->keep without the first `gone` blocks. */
void es_prune_keep(es_prune_order *order, size_t gone);

/* ---- widths ---- */

/* A net of the first channels of each group of a master, whose values it takes. */
typedef struct es_width {
    double width;     /* share of the channels */
    size_t *channels; /* [group] kept */
    es_nn *nn;
    es_nn_origin origin;
    const size_t *first; /* by layer: number of its parameter 0 in origin */
} es_width;

/* Channels in each group: width of them, to the nearest multiple and not below it. */
size_t es_width_channels(size_t channels, double width, size_t multiple);
es_status es_width_make(es_arena *arena, const es_nn *master, const es_nn_groups *groups,
                        double width, size_t multiple, es_width *out_width,
                        es_error *err) ES_MUST_CHECK;

/* Trained values of the master into the width's net. O(its params). */
void es_width_pull(const es_width *width, const es_nn *master);
/* Gradients of the width's engine onto those of the master's; the same layers are trained. */
void es_width_push(const es_width *width, const es_train_params *gradients,
                   const es_train_params *master);

/* Channels of each group in that order from now on; the net computes the same. order[group], NULL:
 * as they are. */
es_status es_width_sort(es_arena *scratch, es_nn *nn, const es_nn_groups *groups,
                        uint32_t *const *order, es_error *err) ES_MUST_CHECK;

/* The most important channels first, by es_importance. */
es_status es_width_rank(es_learner *learner, es_nn *nn, const es_nn_groups *groups,
                        es_prune_criterion criterion, size_t batch_count,
                        es_error *err) ES_MUST_CHECK;

/* All widths in one ONNX file: the master's weights once, and an input "width", [1] of int64, that
 * says which of widths[count] to be; sealed and trained, each with its statistics, the last one the
 * master itself. ES_ERR_UNSUPPORTED names a layer whose size cannot be told while running. */
enum { ES_WIDTHS_MAX = 16 };
es_status es_widths_switch(es_arena *arena, const es_width *widths, size_t count,
                           const es_nn_groups *groups, const es_model **out_model,
                           es_error *err) ES_MUST_CHECK;

/* ---- batch norms ---- */

/* A batch norm behind each convolution and dense layer that has none and is no output, so set that
 * the net computes the same (statistics are measured on samples). *out_count: added. */
es_status es_norms_add(es_learner *learner, es_nn *nn, size_t *out_count,
                       es_error *err) ES_MUST_CHECK;

/* Running statistics anew over samples, at most limit. */
es_status es_norms_measure(es_learner *learner, es_train_engine *engine, size_t limit,
                           es_error *err) ES_MUST_CHECK;

/* ---- teachers ---- */

enum { ES_TEACHERS_MAX = 8 };

typedef struct es_teachers {
    es_train_engine *engines[ES_TEACHERS_MAX];
    size_t count, classes;
} es_teachers;

/* own (NULL: not) and the nets of files with '|' between (NULL: none); at least one. */
es_status es_teachers_open(es_learner *learner, es_nn *own, const char *files,
                           es_teachers *out_teachers, es_error *err) ES_MUST_CHECK;
void es_teachers_close(es_teachers *teachers); /* for ES_CLEANUP; zeroed is fine */

/* Labels for a set without: what the teachers together say. */
es_status es_teachers_label(es_teachers *teachers, es_learner *learner,
                            es_error *err) ES_MUST_CHECK;

/* out[samples, classes]: mean of their softened probabilities. */
es_status es_teachers_ask(es_teachers *teachers, const float *x, size_t samples, double temperature,
                          float *out, es_error *err) ES_MUST_CHECK;

#endif
