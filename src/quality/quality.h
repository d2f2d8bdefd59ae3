/*
 * quality: how right a classifier is, how well it knows, and when its answer may be taken.
 *
 * Calibration (temperature, isotonic), reliability, thresholds for exits and cascades with a
 * finite-sample guarantee, the whole accuracy-cost curve of a cascade, quality without labels, and
 * drift. Pure functions on arrays: nothing is read, written or drawn but from the es_rng given.
 * Units: probabilities, confidences, accuracies and shares in 0..1; costs in any one unit.
 * Threads: no state; side by side on different data.
 * Errors: ES_ERR_ARG naming what does not fit, ES_ERR_NOMEM. NaN is refused.
 */
#ifndef ES_QUALITY_QUALITY_H
#define ES_QUALITY_QUALITY_H

#include "base/arena.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- intervals ---- */

typedef struct es_bounds {
    double value, low, high; /* low <= value <= high */
} es_bounds;

/* P(X <= k) for X ~ Binomial(n, p); and the chance of a chi-square of that many degrees or more. */
double es_binomial_cdf(uint64_t k, uint64_t n, double p);
double es_chi_square_tail(double value, double degrees);

/* Of a share, k right of n, outside with chance at most delta (both sides together): Clopper and
 * Pearson, exact. n = 0 gives 0..1. */
es_bounds es_bounds_share(uint64_t k, uint64_t n, double delta);

/* Of the mean of n independent values in [low, high]: Hoeffding; and Maurer and Pontil's empirical
 * Bernstein, narrower when they vary little (n >= 2, else low..high). */
es_bounds es_bounds_hoeffding(double mean, uint64_t n, double low, double high, double delta);
es_bounds es_bounds_bernstein(const double *values, size_t n, double low, double high,
                              double delta);

/* ---- scores of a classifier ---- */

/* What a classifier put out for count samples. */
typedef struct es_scores {
    const float *values; /* [count][class_count] */
    size_t count;
    uint32_t class_count; /* >= 2 */
    bool probabilities;   /* values are probabilities, not logits; their logarithms are taken */
} es_scores;

/* ES_OK when every value is finite (probabilities: 0..1, each row adding up to 1 within 1e-2). */
es_status es_scores_check(const es_scores *scores, es_error *err) ES_MUST_CHECK;

/* Whether every row looks like probabilities: within 0..1, sum 1 within 1e-3. */
bool es_scores_look_like_probabilities(const float *values, size_t count, uint32_t class_count);

/* out[0..class_count) = softmax(z / temperature) of one row. */
void es_scores_softmax(const es_scores *scores, size_t row, double temperature, double *out);

typedef enum es_confidence {
    ES_CONFIDENCE_MAX_PROB, /* of the class chosen */
    ES_CONFIDENCE_ENTROPY,  /* 1 - H(p) / ln C */
    ES_CONFIDENCE_MARGIN,   /* best less second best probability */
    ES_CONFIDENCE_COUNT
} es_confidence;
extern const char *const es_confidence_names[ES_CONFIDENCE_COUNT]; /* "max-prob", ... */

/* For each sample how sure (0..1, larger is surer) and which class, the first of equals; each
 * output may be NULL. O(count * class_count). */
void es_scores_decide(const es_scores *scores, double temperature, es_confidence kind,
                      double *confidence, uint32_t *classes);

/* Mean over samples of -ln p(label) and of sum_c (p_c - [c = label])^2. Labels < class_count. */
double es_scores_nll(const es_scores *scores, const uint32_t *labels, double temperature);
double es_scores_brier(const es_scores *scores, const uint32_t *labels, double temperature);

/* Chance that a right answer is surer than a wrong one, ties half; NAN when there are none of one
 * kind. O(n log n); scratch memory from the arena. */
es_status es_confidence_auroc(es_arena *arena, const double *confidence, const bool *right,
                              size_t count, double *out_auroc, es_error *err) ES_MUST_CHECK;

/* ---- calibration ---- */

typedef struct es_temperature {
    double temperature; /* > 0; > 1: the model was too sure */
    double nll_before, nll_after;
    uint32_t step_count;
    bool at_bound; /* the best is outside 1e-4..1e4: all right, or all wrong */
} es_temperature;

/* Minimises the negative log likelihood, convex in 1/T, by Newton's method kept inside a bracket.
 * Never changes which class is chosen. */
es_status es_temperature_fit(const es_scores *scores, const uint32_t *labels,
                             es_temperature *out_temperature, es_error *err) ES_MUST_CHECK;

/* A map from confidence to chance of being right that never falls: level steps, straight between
 * them. */
typedef struct es_isotonic {
    const double *at;    /* [count] rising */
    const double *value; /* [count] not falling, 0..1 */
    size_t count;
} es_isotonic;

/* Pool adjacent violators: the least squares fit. O(n log n). */
es_status es_isotonic_fit(es_arena *arena, const double *confidence, const bool *right,
                          size_t count, es_isotonic *out_isotonic, es_error *err) ES_MUST_CHECK;
double es_isotonic_apply(const es_isotonic *isotonic, double confidence); /* O(log count) */

/* ---- reliability ---- */

enum { ES_RELIABILITY_BINS_MAX = 100 };

typedef struct es_reliability_bin {
    double low, high; /* confidence: low < c <= high, the first from 0 */
    size_t count;
    double confidence;  /* mean; NAN when empty */
    es_bounds accuracy; /* exact interval at 1 - delta; 0..1 when empty */
} es_reliability_bin;

typedef struct es_reliability {
    size_t count;
    size_t bin_count;
    es_reliability_bin bins[ES_RELIABILITY_BINS_MAX];
    double confidence;  /* mean over all */
    es_bounds accuracy; /* of all, exact */
    es_bounds
        ece;    /* sum n_b/n |accuracy_b - confidence_b|, interval at 1 - delta, holds near 0 too */
    double mce; /* largest gap of a bin that is not empty */
    /* The ECE that a perfectly calibrated model would show with as many samples: mean, and the
     * value it exceeds with chance delta. An ece above that is miscalibration, not chance. */
    double ece_chance, ece_chance_high;
} es_reliability;

typedef struct es_reliability_opts {
    size_t bin_count;   /* 1..ES_RELIABILITY_BINS_MAX; default 15 */
    bool equal_mass;    /* as many samples in each bin; default false: equal widths */
    double delta;       /* default 0.05 */
    uint32_t resamples; /* of the bootstrap, >= 1; default 1000 */
    uint64_t seed;      /* default 1 */
} es_reliability_opts;

es_reliability_opts es_reliability_opts_default(void);

/* O(n log n + resamples * n). */
es_status es_reliability_measure(es_arena *scratch, const double *confidence, const bool *right,
                                 size_t count, es_reliability_opts opts,
                                 es_reliability *out_reliability, es_error *err) ES_MUST_CHECK;

/* ---- cascades: exits of one model, or models in a row ---- */

enum { ES_CASCADE_STAGES_MAX = 8 };

/* What each stage would answer to each of the same samples. A sample stops at the first stage k
 * with confidence >= threshold[k]; the last stage answers always. */
typedef struct es_cascade_stage {
    const double *confidence; /* [count]; not looked at for the last stage, may be NULL there */
    const bool *right;        /* [count] */
    double cost;              /* of reaching this stage, beyond those before it; >= 0 */
} es_cascade_stage;

typedef struct es_cascade {
    es_cascade_stage stages[ES_CASCADE_STAGES_MAX];
    size_t stage_count; /* >= 1 */
    size_t count;       /* samples, >= 1 */
} es_cascade;

typedef struct es_cascade_point {
    double thresholds[ES_CASCADE_STAGES_MAX]; /* of all stages but the last; INFINITY: never stop */
    size_t reached[ES_CASCADE_STAGES_MAX];    /* samples that come to each stage; [0] = count */
    size_t right;                             /* samples answered rightly */
    double accuracy, cost;                    /* per sample */
} es_cascade_point;

/* What given thresholds come to. O(count * stages). */
void es_cascade_evaluate(const es_cascade *cascade, const double *thresholds,
                         es_cascade_point *out_point);

typedef struct es_cascade_curve {
    const es_cascade_point *points; /* by rising cost and strictly rising accuracy */
    size_t count;
    bool exact; /* every choice of thresholds was looked at; else the first ones on a grid */
} es_cascade_curve;

/* All choices of thresholds that no other beats in both accuracy and cost. Two stages: one sorted
 * pass, O(n log n). More: that pass for every choice of the earlier thresholds; exact while that
 * takes at most work_max steps (0: 2e8), else from quantiles of those thresholds. */
es_status es_cascade_sweep(es_arena *arena, const es_cascade *cascade, double work_max,
                           es_cascade_curve *out_curve, es_error *err) ES_MUST_CHECK;

/* The threshold of the exact rule: hand on when value * (p_next - confidence) > cost_next, with
 * calibrated confidence; value of a right answer > 0 in units of cost. */
double es_cascade_rule(double value, double p_next, double cost_next);

/* ---- thresholds with a guarantee ---- */

typedef struct es_guarantee {
    bool found;             /* false: not even the safest choice could be certified */
    es_cascade_point point; /* of the cheapest certified choice, on the given samples */
    size_t tested;          /* choices looked at, one after the other */
    double accuracy_low;    /* exact lower bound of its accuracy at 1 - delta, for itself alone */
} es_guarantee;

/*
 * With chance >= 1 - delta over the drawing of the samples, the accuracy of the chosen thresholds
 * on new ones of the same kind is >= target. Choices are tested in the order given, safest first,
 * each with an exact binomial test at delta, until one fails; so none of them costs confidence. The
 * path ([path_count][stage_count - 1]) must not depend on these samples' labels or confidences.
 */
es_status es_guarantee_cascade(const es_cascade *cascade, const double *path, size_t path_count,
                               double target, double delta, es_guarantee *out_guarantee,
                               es_error *err) ES_MUST_CHECK;

/* A path that depends on no sample: the same threshold at every stage, from never stopping through
 * 1 - 2^(-k/16) down to 0. */
es_status es_guarantee_path_fixed(es_arena *arena, size_t stage_count, const double **out_path,
                                  size_t *out_count, es_error *err) ES_MUST_CHECK;

/* A path along a curve made from *other* samples, from its most accurate point to its cheapest;
 * never stopping comes first. */
es_status es_guarantee_path_curve(es_arena *arena, const es_cascade_curve *curve,
                                  size_t stage_count, const double **out_path, size_t *out_count,
                                  es_error *err) ES_MUST_CHECK;

typedef struct es_selective {
    bool found;
    double threshold;
    size_t accepted, right; /* of the given samples */
    double accuracy_low;
} es_selective;

/* The smallest threshold for which, with chance >= 1 - delta, at least target of the answers taken
 * (confidence >= threshold) are right. Thresholds of the fixed path, tested from several starts at
 * once, each with its part of delta. */
es_status es_guarantee_selective(const double *confidence, const bool *right, size_t count,
                                 double target, double delta, es_selective *out_selective,
                                 es_error *err) ES_MUST_CHECK;

/* ---- quality without labels ---- */

/* Mean calibrated confidence. The interval is for the chance of sampling only: where the inputs
 * have drifted from those of the calibration the mean is too high. */
es_bounds es_quality_by_confidence(const double *confidence, size_t count, double delta);

/* Thresholded confidence: fit finds the threshold below which as many samples lie as are wrong;
 * afterwards the share at or above it tells the accuracy. */
es_status es_quality_threshold_fit(es_arena *scratch, const double *confidence, const bool *right,
                                   size_t count, double *out_threshold,
                                   es_error *err) ES_MUST_CHECK;
es_bounds es_quality_by_threshold(const double *confidence, size_t count, double threshold,
                                  double delta);

/* Agreement with a stronger model, asked about a sample of the traffic. */
typedef struct es_agreement {
    es_bounds disagreement; /* share of all traffic */
    es_bounds accuracy;     /* value: the middle; low..high holds whatever the errors have in
                                 common: 1 - error is within disagreement +- stronger_error */
    size_t asked;
} es_agreement;

/* rates[i] in (0, 1]: chance that sample i was sent (NULL: one rate for all); differs[i] is looked
 * at where asked[i] only. Weighted by 1/rate; the interval is exact with one rate, empirical
 * Bernstein else. */
es_status es_quality_by_agreement(es_arena *scratch, const double *rates, const bool *asked,
                                  const bool *differs, size_t count, double stronger_error,
                                  double delta, es_agreement *out_agreement,
                                  es_error *err) ES_MUST_CHECK;

/* Rates in proportion to sqrt(1 - confidence), clamped to low..1, with mean budget: where a
 * difference is likely, ask more. 0 < low <= budget <= 1. */
es_status es_agreement_rates(const double *confidence, size_t count, double budget, double low,
                             double *out_rates, es_error *err) ES_MUST_CHECK;

/* ---- drift ---- */

/* Page and Hinkley's test: the mean of a stream fell (or rose) by more than slack for long. */
typedef struct es_page_hinkley {
    double slack;     /* change that is tolerated, >= 0 */
    double threshold; /* alarm when the sum passes it, > 0 */
    double warm_up;   /* samples before an alarm can be given */
    bool rising;      /* watch for a rise instead of a fall */
    /* state, zero at first */
    uint64_t count;
    double mean, sum, extreme;
} es_page_hinkley;

/* Takes one value; true while the alarm stands. */
bool es_page_hinkley_add(es_page_hinkley *test, double value);

typedef struct es_class_drift {
    double divergence; /* KL(window || reference), nats */
    double statistic;  /* G of the two-sample test */
    double p_value;    /* that chance alone does it */
} es_class_drift;

/* Whether a window's classes are distributed as the reference's. Counts [class_count]; classes
 * that neither has are left out. */
es_status es_class_drift_measure(const uint64_t *reference, const uint64_t *window,
                                 uint32_t class_count, es_class_drift *out_drift,
                                 es_error *err) ES_MUST_CHECK;

#endif
