/*
 * compress/early: what exits and bottlenecks share: places where a net is cut, branches that answer
 * early, and from which confidence on an early answer is taken.
 */
#ifndef ES_COMPRESS_EARLY_H
#define ES_COMPRESS_EARLY_H

#include "compress/learn.h"

/* ---- places ---- */

/* A layer through which everything passes. */
typedef struct es_place {
    es_nn_id layer;
    uint64_t macs; /* up to it, itself included */
    size_t values; /* that it gives */
} es_place;

typedef struct es_places {
    es_place *items; /* from input to output */
    size_t count;
    uint64_t macs; /* of the whole net */
} es_places;

/* Of a net with one output. Of places with equal work the one with fewest values, of these the
 * last; none before any work, none after all of it. ES_ERR_UNSUPPORTED when there is none. */
es_status es_places_find(es_arena *arena, const es_nn *nn, es_places *out_places,
                         es_error *err) ES_MUST_CHECK;
/* Any such layer by its name; the nearest name is offered. */
es_status es_places_named(es_arena *arena, const es_nn *nn, const char *name, es_place *out_place,
                          es_error *err) ES_MUST_CHECK;
/* Number of the place, from number first on, whose work is nearest to that share of all. */
size_t es_places_near(const es_places *places, double share, size_t first);

/* ---- branches ---- */

typedef struct es_branch_wish {
    es_nn_shape in;
    size_t classes;
    size_t depth;      /* convolutions (of features: dense layers) before the classifier */
    bool softmax;      /* gives probabilities */
    bool whole;        /* the classifier sees every place, not means over 4 x 4 parts */
    uint64_t macs_max; /* the widest branch within is made */
    uint64_t seed;
} es_branch_wish;

es_status es_branch_make(es_arena *arena, const es_branch_wish *wish, es_nn **out_branch,
                         es_error *err) ES_MUST_CHECK;

/* ---- from which confidence on ---- */

enum { ES_EARLY_LOSSES_MAX = ES_VARIANT_PIPELINES_MAX - 1 };

/* How early answers are judged: options of a step. */
typedef struct es_early_opts {
    double tune; /* share of the samples that is not learnt from */
    const char *loss;
    double target, delta;
} es_early_opts;

/* NOLINTBEGIN(bugprone-macro-parentheses): initialisers */
#define ES_EARLY_OPTIONS(owner, member, loss_standard)                                             \
    {.name = "tune",                                                                               \
     .type = ES_STEP_NUMBER,                                                                       \
     .offset = offsetof(owner, member.tune),                                                       \
     .fallback = "0.1",                                                                            \
     .min = 0.001,                                                                                 \
     .max = 0.9,                                                                                   \
     .help = "share of the samples for temperatures and thresholds, when there is no --tune"},     \
        {.name = "loss",                                                                           \
         .type = ES_STEP_TEXT,                                                                     \
         .offset = offsetof(owner, member.loss),                                                   \
         .fallback = loss_standard,                                                                \
         .help = "accuracy below the model's that thresholds may cost; several with '|' between "  \
                 "give as many pipelines"},                                                        \
        {.name = "target",                                                                         \
         .type = ES_STEP_NUMBER,                                                                   \
         .offset = offsetof(owner, member.target),                                                 \
         .fallback = "0",                                                                          \
         .min = 0,                                                                                 \
         .max = 0.999999,                                                                          \
         .help = "one more pipeline, certified for this accuracy; 0: none"},                       \
    {                                                                                              \
        .name = "delta", .type = ES_STEP_NUMBER, .offset = offsetof(owner, member.delta),          \
        .fallback = "0.05", .min = 1e-6, .max = 0.5,                                               \
        .help = "chance that the certificate is wrong"                                             \
    }

/* NOLINTEND(bugprone-macro-parentheses) */

/* Samples that nothing is learnt from. */
typedef struct es_tune {
    es_dataset set;
    const es_data_rows *rows; /* NULL: all */
    bool given;               /* by the job; else a part of the samples to learn from */
    const uint32_t *labels;   /* [count], of the rows in order */
    size_t count;
    double reference; /* accuracy of the model as given on them */
} es_tune;

/* Takes the job's, or a part of the learner's rows away from it. nn: the model as given. */
es_status es_tune_open(es_learner *learner, es_nn *nn, double share, es_tune *out_tune,
                       es_error *err) ES_MUST_CHECK;

/* Accuracy and scores of every output with as many values as the last one: scores[k] [count,
 * classes], NULL for the others. */
es_status es_tune_scores(es_learner *learner, const es_tune *tune, es_nn *nn,
                         float *scores[ES_NN_OUTPUTS_MAX], double accuracy[ES_NN_OUTPUTS_MAX],
                         es_error *err) ES_MUST_CHECK;

/* Divides the scores of an output by a temperature; its softmax, if any, comes after. */
es_status es_output_temper(es_nn *nn, size_t output, double temperature,
                           es_error *err) ES_MUST_CHECK;

/* What was chosen. Stages are the exits, the net's own output last. */
typedef struct es_early {
    size_t stage_count;
    size_t count, fit_count; /* samples: all; that temperatures were fitted on */
    double accuracy[ES_VARIANT_STAGES_MAX];
    double temperature[ES_VARIANT_STAGES_MAX]; /* 1 where all answers were right, or wrong */
    double ece[ES_VARIANT_STAGES_MAX];   /* with that temperature, of the samples not fitted on */
    double costs[ES_VARIANT_STAGES_MAX]; /* MACs beyond the stage before */
    double reference;
    es_cascade_curve curve;
    double losses[ES_EARLY_LOSSES_MAX];
    es_cascade_point points[ES_VARIANT_PIPELINES_MAX]; /* of each loss, then the certified one */
    const char *suffixes[ES_VARIANT_PIPELINES_MAX];    /* of the pipelines */
    size_t point_count;
    double target, delta; /* target 0: nothing was to be certified */
    es_guarantee guarantee;
} es_early;

/* From scores [count, classes] of each stage; memory in the learner's arena. Temperatures are
 * fitted on one half, certificates on the other one. */
es_status es_early_choose(es_learner *learner, const es_tune *tune, const es_early_opts *opts,
                          float *const *scores, size_t stage_count, size_t classes,
                          const double *costs, es_early *out_early, es_error *err) ES_MUST_CHECK;

/* The pipelines of a variant with as many stages; memory in the arena. */
es_status es_early_pipelines(es_arena *arena, const es_early *early, es_variant *variant,
                             es_error *err) ES_MUST_CHECK;
/* Members of a report: `exits` (tell adds what else is known of one; NULL: nothing), what they were
 * chosen on, the curve, the certificate. */
typedef struct es_early_teller {
    void (*tell)(void *context, size_t stage, es_json *json);
    void *context;
} es_early_teller;
void es_early_report(const es_early *early, const es_tune *tune, const es_early_teller *teller,
                     es_json *json);

/* ---- to a variant ---- */

/* The net as stages: stage k gives outputs[k] and what lies at forwards[k] (the last: nothing). A
 * QUANTISE layer gives its bytes. The variant is `from`-suffix. */
es_status es_early_give(const es_learner *learner, const es_nn *nn, const es_variant *from,
                        const char *suffix, const char *const *answers, const es_nn_id *forwards,
                        size_t stage_count, es_variants *out, es_variant **out_variant,
                        es_error *err) ES_MUST_CHECK;

#endif
