/*
 * compress: from one model and some data, variants of it, each measured: quality, latency, joules,
 * bytes, work. ONNX in, ONNX out.
 *
 * A recipe is a row of steps, each with options; a step takes a model and gives variants. Steps are
 * rows of one table (recipe.c), so that parsing, checks and help come from the same place.
 * Life: recipe_parse or recipes_read -> recipe_run -> measure -> write.
 * Writes .onnx files, a variants document ("format": "estran-variants") and a fragment of a
 * scenario. Units stand in names; quality and shares are 0..1.
 * Threads: one owner; runs in one thread. Errors: ES_ERR_ARG what does not fit, ES_ERR_UNSUPPORTED
 * naming operator and node, ES_ERR_CANCELLED when asked to stop, those of runtime and data.
 */
#ifndef ES_COMPRESS_COMPRESS_H
#define ES_COMPRESS_COMPRESS_H

#include "base/arena.h"
#include "base/document.h"
#include "data/data.h"
#include "meter/meter.h"
#include "model/model.h"
#include "quality/quality.h"
#include "runtime/runtime.h"

#include <signal.h>
#include <stdbool.h>

/* ---- samples as a model's input ---- */

typedef enum es_sample_order {
    ES_SAMPLE_ORDER_KEEP,
    ES_SAMPLE_ORDER_CHANNELS_LAST, /* [channels, rows, columns] becomes [rows, columns, channels] */
    ES_SAMPLE_ORDER_CHANNELS_FIRST, /* the other way round */
    ES_SAMPLE_ORDER_COUNT
} es_sample_order;
extern const char *const es_sample_order_names[ES_SAMPLE_ORDER_COUNT];

/* Rows of a dataset, scaled and turned on the way to the model. */
typedef struct es_samples {
    const es_dataset *dataset;
    const es_data_rows *rows; /* NULL: all, in order */
    es_scaling scaling;       /* channels are counted where they come first */
    es_sample_order order;
} es_samples;

size_t es_samples_count(const es_samples *samples);

/* Feeds a session with samples, one at a time. */
typedef struct es_feed {
    const es_samples *samples;
    es_tensor input; /* memory in the arena, batch 1 */
    float *turned;   /* private */
} es_feed;

/* The session must have one input, of floats, whose shape the samples fit: equal, or equal in
 * number where the order of values cannot be mistaken. Else ES_ERR_ARG with both shapes. */
es_status es_feed_init(es_arena *arena, const es_session *session, const es_samples *samples,
                       es_feed *out_feed, es_error *err) ES_MUST_CHECK;

/* Puts sample number index (of the rows) into feed->input. */
void es_feed_set(es_feed *feed, size_t index);

/* ---- the job ---- */

typedef struct es_compress_job {
    es_arena *arena;
    es_runtime *runtime;
    const es_model *model;
    const char *name; /* of the model: variants are called after it */
    es_samples fit;   /* to calibrate and to train */
    es_samples test;  /* to measure; dataset NULL: nothing is measured on samples */
    es_samples tune;  /* for temperatures and thresholds; dataset NULL: a part of fit */
    uint64_t seed;
    void (*progress)(void *context, const char *what, double done); /* NULL: not called */
    void *progress_context;
    const volatile sig_atomic_t *stop; /* set from elsewhere: end soon; NULL: never */
} es_compress_job;

/* Whether samples of the job have shapes that the model takes and labels of classes that it
 * answers with: opens it and runs one sample. ES_ERR_ARG naming file, sample and what would do. */
es_status es_compress_check(const es_compress_job *job, es_error *err) ES_MUST_CHECK;

/* ---- variants ---- */

enum { ES_VARIANT_STAGES_MAX = 8, ES_VARIANT_PIPELINES_MAX = 8 };

/* What a variant consists of: one model, or segments that run one after the other. Each takes what
 * the one before gives last. */
typedef struct es_variant_stage {
    const char *suffix; /* of the file's name: "" or "-1", "-2", ... */
    const es_model *model;
    const char *path; /* where it was written; NULL: nowhere yet */
    bool exit;        /* not the last one: what it gives first are scores that may answer */
} es_variant_stage;

/* One way to use several stages: who is sure enough leaves. */
typedef struct es_variant_pipeline {
    const char *suffix;                       /* of its name, behind the variant's; "": none */
    double thresholds[ES_VARIANT_STAGES_MAX]; /* of the stages with an exit; above 1: nobody leaves
                                                 there */
} es_variant_pipeline;

typedef struct es_variant {
    const char *name;   /* model name and what was done: "resnet8-int8" */
    const char *recipe; /* in full, with the options that were taken; "" for the model as given */
    size_t stage_count;
    es_variant_stage stages[ES_VARIANT_STAGES_MAX];
    size_t pipeline_count; /* of several stages, >= 1 */
    es_variant_pipeline pipelines[ES_VARIANT_PIPELINES_MAX];
    const es_doc *report; /* what the last step tells, a map; NULL: nothing */
    bool needs_speed;     /* worth having only where it is measured faster than the original */
} es_variant;

typedef struct es_variants {
    es_variant *items;
    size_t count;
    size_t capacity;
} es_variants;

/* ---- recipes ---- */

typedef struct es_recipe es_recipe; /* lives in the arena */

/* "quantise", "quantise:method=entropy,samples=256", "step:a=1+step:b=2": steps run from left to
 * right, each on every variant that the one before gave. "name=..." says what the variants are
 * called, else they are after the model and the steps. */
es_status es_recipe_parse(es_arena *arena, const char *text, const es_recipe **out_recipe,
                          es_error *err) ES_MUST_CHECK;

/* From a file ("format": "estran-recipes"), see docs/reference/compress.md. */
es_status es_recipes_read(es_arena *arena, const char *path, const es_recipe *const **out_recipes,
                          size_t *out_count, es_error *err) ES_MUST_CHECK;

const char *es_recipe_text(const es_recipe *recipe); /* in full, as es_recipe_parse reads it */

/* Steps and their options, for people. */
void es_recipe_help(es_text *out);

/* The job's model as a variant, to measure the others against. */
es_variant es_variant_original(const es_compress_job *job);

/* Runs the steps on job->model; variants are appended. */
es_status es_recipe_run(const es_compress_job *job, const es_recipe *recipe, es_variants *variants,
                        es_error *err) ES_MUST_CHECK;

/* ---- quantising, also by itself ---- */

typedef enum es_quantise_form {
    ES_QUANTISE_INT8, /* static, in QDQ form: integer kernels */
    ES_QUANTISE_FP16, /* weights in half precision, turned to floats when the model is loaded */
    ES_QUANTISE_FORM_COUNT
} es_quantise_form;

/* How the range of an activation is found from samples (spec: energy-and-compression 5.2). */
typedef enum es_range_method {
    ES_RANGE_AUTO, /* each of the others; the one whose outputs are nearest to the float model's */
    ES_RANGE_MINMAX,
    ES_RANGE_PERCENTILE,
    ES_RANGE_ENTROPY,
    ES_RANGE_MSE,
    ES_RANGE_METHOD_COUNT
} es_range_method;
extern const char *const es_range_method_names[ES_RANGE_METHOD_COUNT];

typedef enum es_choice { ES_CHOICE_AUTO, ES_CHOICE_YES, ES_CHOICE_NO, ES_CHOICE_COUNT } es_choice;

typedef struct es_quantise_opts {
    es_quantise_form form;   /* default INT8 */
    es_range_method method;  /* default AUTO */
    size_t samples;          /* to calibrate with, 1..; drawn by the job's seed; default 256 */
    double percentile;       /* of |x| that is kept, for PERCENTILE, 50..100; default 99.999 */
    bool signed_activations; /* symmetric s8 instead of asymmetric u8; default false */
    es_choice equalise;      /* cross-layer equalisation; AUTO: when nearer; default AUTO */
    es_choice correct;       /* bias correction; AUTO: when nearer; default AUTO */
    es_choice reduce;        /* 7-bit weights; AUTO: where this processor's 16-bit sums could
                                saturate (x86 without VNNI); default AUTO */
    const char *skip;        /* names of nodes or operators that stay float, with '|'; NULL: none */
} es_quantise_opts;

es_quantise_opts es_quantise_opts_default(void);

/* One layer of the report. */
typedef struct es_quantise_layer {
    const char *node, *op, *output;
    bool quantised;
    const char *why_not; /* NULL when quantised */
    double low, high;    /* range of the output that is represented; NAN: not quantised */
    double scale;        /* NAN: not quantised */
    int32_t zero_point;
    double weight_sqnr_db; /* NAN: no weights */
    double output_sqnr_db; /* measured on samples; NAN: not quantised */
} es_quantise_layer;

typedef struct es_quantise_report {
    es_range_method method; /* that was taken */
    bool equalised, corrected, reduced;
    size_t samples;
    double noise; /* mean over outputs of sum (y - y')^2 / sum y^2, on samples */
    size_t layer_count;
    const es_quantise_layer *layers; /* in the order of execution */
} es_quantise_report;

/* One quantised model. The report may be NULL. */
es_status es_quantise(const es_compress_job *job, es_quantise_opts opts, const es_model **out_model,
                      es_quantise_report *out_report, es_error *err) ES_MUST_CHECK;

/* ---- writing and measuring ---- */

/* Each stage of each variant to folder/<name><suffix>.onnx; sets its path. */
es_status es_variants_write(es_arena *arena, es_variant *variants, size_t count, const char *folder,
                            es_error *err) ES_MUST_CHECK;

/* A stage of a variant with several. */
typedef struct es_stage_measure {
    uint64_t file_bytes;
    int64_t macs, parameter_count; /* -1: not known */
    size_t forward_bytes;          /* that go into the next stage; 0: the last one */
    double accuracy; /* of its answers on all test samples; NAN: it gives none, or no labels */
    es_profile_latency latency;
    es_profile_energy energy;
} es_stage_measure;

/* A pipeline of such a variant, on the test samples. */
typedef struct es_pipeline_measure {
    es_bounds quality;                   /* accuracy, exact interval at 95 % */
    double agreement;                    /* share of samples with the original's class */
    double reach[ES_VARIANT_STAGES_MAX]; /* share of samples that come to each stage */
    double macs;                         /* of a request, mean; NAN: not known */
    double latency_ms;                   /* sum of reach * median of the stage */
    double energy_j;                     /* likewise; NAN: not known */
    es_bounds speed; /* the original's time over this one's, the same requests in turn; 95 % */
} es_pipeline_measure;

/* Of a variant with several stages the figures are those of its first pipeline, files and
 * parameters added up; latency and energy are then known by stage only. */
typedef struct es_variant_measure {
    uint64_t file_bytes;
    int64_t macs, parameter_count; /* -1: not known */
    size_t test_count;             /* samples it was tried on */
    bool labelled;                 /* they had labels: quality is known */
    es_bounds quality;             /* accuracy, exact interval at 95 % */
    double agreement;              /* share of them with the original's class; NAN: no classes */
    double output_sqnr_db;         /* of outputs against the original's; INFINITY: the same */
    es_profile_latency latency;    /* of one request here, one thread */
    es_bounds speed;               /* the original's time over this one's, paired; 95 % */
    es_profile_energy energy;
    const char *energy_note; /* why energy is not known; NULL when it is */
    bool offered;            /* belongs in a catalogue for this kind of node */
    const char *why_not;     /* NULL when offered */
    const char *node;        /* this machine, in words */
    es_stage_measure stages[ES_VARIANT_STAGES_MAX];
    es_pipeline_measure pipelines[ES_VARIANT_PIPELINES_MAX];
} es_variant_measure;

typedef struct es_measure_opts {
    double time_s; /* for the latency of one variant, and again for its pairs, > 0; default 2 */
    bool all;      /* offer also what is not faster; default false */
    bool scores; /* write those of all test samples beside each file that answers, NAME.scores.npy;
                    default false */
    es_meter *meter; /* NULL: joules are not measured */
} es_measure_opts;

es_measure_opts es_measure_opts_default(void);

/* Measures written variants; variants[0] is the original, of one stage. Answers are the classes of
 * the last output; of several stages, those of the stage where a sample leaves. Pairs: runs of the
 * original and of the variant in turn, so that what slows the machine slows both. */
es_status es_variants_measure(const es_compress_job *job, const es_variant *variants, size_t count,
                              es_measure_opts opts, es_variant_measure *out_measures,
                              es_error *err) ES_MUST_CHECK;

/* ---- telling ---- */

typedef struct es_variants_told {
    const es_variant *variants;
    const es_variant_measure *measures;
    size_t count;
    const char *task; /* name in the catalogue */
    const char *kind; /* of node: a kind of the scenario, or "host" */
    const char *data; /* what quality was measured on, in words */
} es_variants_told;

/* The variants document, a map. */
void es_variants_document(const es_variants_told *told, es_json *json);
/* A part of a scenario, to be included: its lists `segments` and `pipelines`, in YAML, of the
 * variants offered. */
void es_variants_catalogue(const es_variants_told *told, es_text *out);

#endif
