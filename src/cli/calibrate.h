/*
 * calibrate: what the files of the verb share: stages of a cascade with the scores of every sample,
 * what is found about them, and how it is told.
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
    bool unlabelled; /* labels are neither needed nor read */
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
    const uint32_t *labels; /* NULL: none */
    bool limited;           /* --limit: files of scores may be longer */
} es_calibrate_stages;

/* Runs every .onnx over the samples; reads other files as scores. Outputs of a model that are as
 * long as its last one are its exits, in order. */
es_status es_calibrate_read(es_cli *cli, const es_calibrate_input *input, const char *const *files,
                            size_t file_count, es_calibrate_stages *out,
                            es_error *err) ES_MUST_CHECK;

/* ---- a stream without labels, beside what the labelled samples showed ---- */

/* What is known of a stage from labelled samples that did not fit its temperature. */
typedef struct es_calibrate_known {
    double temperature;
    const double *confidence; /* [count] largest probability */
    const bool *right;        /* [count] */
    const uint64_t *classes;  /* [class_count] answers of each class */
    size_t count;
    double accuracy;
} es_calibrate_known;

typedef struct es_calibrate_watch {
    es_bounds by_confidence, by_threshold; /* accuracy on the stream, two ways */
    bool asked;                            /* the last stage was asked about some of it */
    es_agreement agreement;
    es_class_drift drift; /* of the classes answered */
    double alarm_level;   /* of the confidence's fall, exceeded by chance with delta */
    double fall;          /* the largest seen */
    bool alarm;
    size_t alarm_at; /* sample of the stream, from 1 */
} es_calibrate_watch;

typedef struct es_calibrate_watch_opts {
    double ask;   /* share of the stream that the last stage is asked about, 0..1 */
    double delta; /* of each interval and alarm */
    uint64_t seed;
} es_calibrate_watch_opts;

/* out[stream->count]; known[k] belongs to stream stage k. */
es_status es_calibrate_watch_stream(es_arena *arena, const es_calibrate_stages *stream,
                                    const es_calibrate_known *known, es_calibrate_watch_opts opts,
                                    es_calibrate_watch *out, es_error *err) ES_MUST_CHECK;

/* ---- what is found, and telling it ---- */

typedef struct es_calibrate_options {
    const char *data, *labels, *label_column;
    double scale;
    int64_t limit;
    double fit_share;
    size_t confidence;
    double target;
    double delta;
    int64_t bins;
    const char *costs;
    const char *output;
    const char *svg;
    const char *catalogue, *task;
    es_cli_texts stream;
    double ask;
    const char *ort_library;
} es_calibrate_options;

/* What is found about one stage, all on the samples not used to fit. */
typedef struct es_calibrate_finding {
    es_temperature temperature;
    es_reliability before, after;
    double nll_before, nll_after, brier_after, auroc;
    es_selective selective;
    es_calibrate_watch watch;
} es_calibrate_finding;

typedef struct es_calibration {
    es_cli *cli;
    const es_calibrate_options *chosen;
    es_calibrate_stages all;
    es_data_rows fit, held;
    es_calibrate_finding findings[ES_CASCADE_STAGES_MAX];
    const char *cost_unit;
    double costs[ES_CASCADE_STAGES_MAX];
    es_cascade_curve curve;
    es_guarantee guarantee;
    es_calibrate_known known[ES_CASCADE_STAGES_MAX]; /* for the stream */
    size_t stream_count;                             /* samples; 0: no stream */
} es_calibration;

/* Whether --catalogue can be written from what was asked: models one by one, a target, a task. */
es_status es_calibrate_catalogue_check(const es_calibrate_options *chosen, const char *const *files,
                                       size_t file_count, es_error *err) ES_MUST_CHECK;
/* A part of a scenario: the cascade of segments that are called as the models, with the thresholds
 * that were certified. ES_ERR_UNAVAILABLE when none were. */
es_status es_calibrate_catalogue(const es_calibration *c, const char *const *files, es_text *out,
                                 es_error *err) ES_MUST_CHECK;

/* As tables on a terminal; as the document of docs/reference/calibrate.md. */
void es_calibrate_show(const es_calibration *c, es_text *out);
void es_calibrate_write(const es_calibration *c, es_text *out);

#endif
