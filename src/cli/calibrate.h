/*
 * calibrate: what the files of the verb share: stages of a cascade with the scores of every sample.
 */
#ifndef ES_CLI_CALIBRATE_H
#define ES_CLI_CALIBRATE_H

#include "cli/cli.h"
#include "data/data.h"
#include "quality/quality.h"

typedef struct es_calibrate_input {
    const char *data, *labels; /* NULL: none given */
    const char *label_column;
    double scale; /* of every value, before the model */
    int64_t limit;
    const char *ort_library;
} es_calibrate_input;

/* One exit of a model, or one model. */
typedef struct es_calibrate_stage {
    const char *name;
    es_scores scores;
    double cost; /* multiply-accumulates; NAN when not known */
} es_calibrate_stage;

typedef struct es_calibrate_stages {
    es_calibrate_stage items[ES_CASCADE_STAGES_MAX];
    size_t count;
    size_t sample_count;
    const uint32_t *labels;
    bool limited; /* --limit: files of scores may be longer */
} es_calibrate_stages;

/* Runs every .onnx over the samples; reads other files as scores. Outputs of a model that are as
 * long as its last one are its exits, in order. */
es_status es_calibrate_read(es_cli *cli, const es_calibrate_input *input, const char *const *files,
                            size_t file_count, es_calibrate_stages *out,
                            es_error *err) ES_MUST_CHECK;

#endif
