/*
 * train/fit: what fit, its checks and its checkpoints share.
 */
#ifndef ES_TRAIN_FIT_H
#define ES_TRAIN_FIT_H

#include "train/internal.h"

/* The output's values are scores of the classes that the last output has. */
bool es_fit_is_scores(const es_train_engine *engine, size_t output);

/* Shapes, labels, classes: whether the set can be learned by the net. */
es_status es_fit_check(const es_train_engine *engine, const es_dataset *set,
                       const es_data_rows *rows, es_fit_loss loss, bool allow_empty,
                       es_error *err) ES_MUST_CHECK;

/* The samples fit the net's input. */
es_status es_fit_check_input(const es_train_engine *engine, const es_dataset *set,
                             es_error *err) ES_MUST_CHECK;
/* Ranges of options. */
es_status es_fit_check_opts(const es_fit_opts *opts, es_error *err) ES_MUST_CHECK;

/* A training at work. All that decides how it goes on is below `kept`, and in a checkpoint. */
typedef struct es_fit_state {
    es_arena *arena;
    es_nn *nn;
    const es_dataset *set;
    const es_data_rows *held;
    size_t row_count;
    uint64_t rows_hash;
    const es_fit_opts *opts;
    es_train_engine *engine;
    es_data_batches batches;
    float *x, *scratch, *targets, *gradients[ES_NN_OUTPUTS_MAX];
    uint32_t *labels;
    uint64_t steps_per_epoch;
    size_t value_count; /* of all parameters but factors and offsets */
    /* kept: */
    es_optimiser optimiser;
    float *best, *average;       /* [value_count], or NULL */
    uint64_t step;               /* over all epochs */
    double loss_sum;             /* of this epoch so far */
    uint64_t right, seen;        /* likewise */
    double epoch_s, total_s;     /* of this epoch, of those before */
    es_fit_epoch *epochs;        /* [epoch_count] */
    size_t epoch_count, best_at; /* done; the best of them */
} es_fit_state;

/* All values of the net, in order of layers and parameters, out of it and into it. */
void es_fit_values_get(const es_nn *nn, float *out);
void es_fit_values_set(es_nn *nn, const float *from);
size_t es_fit_values_count(const es_nn *nn);

/* checkpoint.c: whole file, replaced at once; read only into a state of the same settings. */
es_status es_fit_checkpoint_write(const es_fit_state *fit, const char *path,
                                  es_error *err) ES_MUST_CHECK;
es_status es_fit_checkpoint_read(es_fit_state *fit, const char *path, es_error *err) ES_MUST_CHECK;
/* The same from bytes; name stands for the file. */
es_status es_fit_checkpoint_parse(es_fit_state *fit, const char *name, const char *bytes,
                                  size_t size, es_error *err) ES_MUST_CHECK;

#endif
