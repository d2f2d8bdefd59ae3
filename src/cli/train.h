/*
 * train: what the files of the verb share: a training, and how it is told.
 */
#ifndef ES_CLI_TRAIN_H
#define ES_CLI_TRAIN_H

#include "cli/cli.h"
#include "meter/meter.h"
#include "quality/quality.h"
#include "train/train.h"

typedef struct es_train_told {
    es_cli *cli;
    const char *source; /* the file trained from */
    const char *data;
    const es_nn *nn;
    size_t sample_count, learned_count, held_count;
    const es_fit_opts *opts;
    const es_fit_result *result;
    bool scaled; /* by a layer fitted here */
    bool tested;
    const char *test;
    es_evaluation test_figures;
    es_bounds test_accuracy; /* exact, 95 % */
    bool metered;
    es_meter_figure energy;
} es_train_told;

/* The document estran-training (docs/reference/train.md). */
void es_train_document(const es_train_told *told, es_text *out);
/* For people: what came out. */
void es_train_table(const es_train_told *told, es_text *out);
/* A page with the curves; a picture of them. */
es_status es_train_page(const es_train_told *told, es_text *out, es_error *err) ES_MUST_CHECK;
es_status es_train_picture(const es_train_told *told, es_text *out, es_error *err) ES_MUST_CHECK;

#endif
