/* Against naive models, known values and simulation. */
#include "es_test.h"
#include "quality/quality.h"

#include <math.h>

#define near(got, wanted, tolerance)                                                               \
    do {                                                                                           \
        double got_ = (got);                                                                       \
        double wanted_ = (wanted);                                                                 \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: %.17g, wanted %.17g", #got, got_, wanted_);                              \
    } while (0)

enum { N = 400, C = 5, TRIALS = 300 };
static es_arena *arena;
static es_error err;

static int start(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)512 << 20);
    err = (es_error){0};
    return arena == NULL;
}

static int stop(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

/* ---- intervals ---- */

static double naive_cdf(uint64_t k, uint64_t n, double p)
{
    double sum = 0;
    for (uint64_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) +
                   (double)i * log(p) + (double)(n - i) * log1p(-p));
    return sum;
}

static void tails_against_sums(void **state)
{
    (void)state;
    const double ps[] = {0.001, 0.2, 0.5, 0.93, 0.9999};
    for (uint64_t n = 1; n <= 300; n = 2 * n + 1)
        for (uint64_t k = 0; k < n; k += 1 + n / 9)
            for (size_t i = 0; i < 5; i++)
                near(es_binomial_cdf(k, n, ps[i]), naive_cdf(k, n, ps[i]), 1e-10);
    near(es_chi_square_tail(3.841458820694124, 1), 0.05, 1e-9);
    near(es_chi_square_tail(18.307038053275146, 10), 0.05, 1e-9);
    near(es_chi_square_tail(2, 2), exp(-1), 1e-12);
    es_bounds i = es_bounds_share(0, 10, 0.05);
    near(i.high, 1 - pow(0.025, 0.1), 1e-10);
    i = es_bounds_share(8, 10, 0.05); /* the usual table */
    near(i.low, 0.4439045, 1e-6);
    near(i.high, 0.9747893, 1e-6);
    near(es_bounds_hoeffding(0.5, 200, 0, 1, 0.05).high, 0.5 + sqrt(log(40) / 400), 1e-12);
}

/* ---- scores ---- */

/* Logits whose softmax is the truth, then multiplied: the right temperature is known. */
static void draw_scores(es_rng *rng, double factor, size_t count, float *z, uint32_t *labels)
{
    for (size_t i = 0; i < count; i++) {
        double p[C];
        double sum = 0;
        for (size_t c = 0; c < C; c++) {
            double value = 2 * es_rng_normal(rng);
            z[i * C + c] = (float)(factor * value);
            sum += p[c] = exp(value);
        }
        double at = es_rng_double(rng) * sum;
        labels[i] = 0;
        for (; labels[i] + 1 < C && at >= p[labels[i]]; labels[i]++)
            at -= p[labels[i]];
    }
}

static void temperature_is_found(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    float *z = ES_TAKE_ARRAY(arena, float, MANY *C);
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, MANY);
    const double factors[] = {0.3, 1, 2.5, 8};
    for (size_t i = 0; i < 4; i++) {
        es_rng rng = es_rng_make(i + 1, 0);
        es_temperature fit;
        draw_scores(&rng, factors[i], MANY, z, labels);
        es_scores scores = {.values = z, .count = MANY, .class_count = C};
        assert_ok_err(es_temperature_fit(&scores, labels, &fit, &err), err);
        near(fit.temperature / factors[i], 1, 0.04);
        assert_true(fit.nll_after <= fit.nll_before + 1e-12);
        assert_false(fit.at_bound);
        for (double by = 0.99; by < 1.02; by += 0.02) /* a minimum, to both sides */
            assert_true(es_scores_nll(&scores, labels, fit.temperature * by) > fit.nll_after);
    }
    for (size_t k = 0; k < MANY; k++) { /* all right: no temperature is low enough */
        labels[k] = 0;
        for (size_t c = 0; c < C; c++)
            z[k * C + c] = c == 0 ? 1 : 0;
    }
    es_temperature fit;
    es_scores scores = {.values = z, .count = MANY, .class_count = C};
    assert_ok_err(es_temperature_fit(&scores, labels, &fit, &err), err);
    assert_true(fit.at_bound);
    labels[3] = C;
    assert_fails(es_temperature_fit(&scores, labels, &fit, &err), ES_ERR_ARG, err,
                 "label 5 of sample 4 must be below 5 classes");
    z[7] = (float)NAN;
    assert_fails(es_temperature_fit(&scores, labels, &fit, &err), ES_ERR_ARG, err, "score nan");
}

static void confidences_and_losses_against_softmax(void **state)
{
    (void)state;
    float z[N * C];
    float probabilities[N * C];
    uint32_t labels[N];
    uint32_t classes[N];
    double confidence[N];
    double p[C];
    es_rng rng = es_rng_make(5, 0);
    draw_scores(&rng, 1.7, N, z, labels);
    es_scores scores = {.values = z, .count = N, .class_count = C};
    for (int kind = 0; kind < ES_CONFIDENCE_COUNT; kind++) {
        double nll = 0;
        double brier = 0;
        es_scores_decide(&scores, 1.3, (es_confidence)kind, confidence, classes);
        for (size_t i = 0; i < N; i++) {
            double first = 0;
            double second = 0;
            double entropy = 0;
            es_scores_softmax(&scores, i, 1.3, p);
            for (size_t c = 0; c < C; c++) {
                entropy -= p[c] * log(p[c]);
                second = p[c] > first ? first : fmax(second, p[c]);
                first = fmax(first, p[c]);
                brier += (p[c] - (c == labels[i])) * (p[c] - (c == labels[i]));
            }
            nll -= log(p[labels[i]]);
            near(p[classes[i]], first, 0);
            const double wanted[] = {first, 1 - entropy / log(C), first - second};
            near(confidence[i], wanted[kind], 1e-12);
        }
        near(es_scores_nll(&scores, labels, 1.3), nll / N, 1e-12);
        near(es_scores_brier(&scores, labels, 1.3), brier / N, 1e-12);
    }
    for (size_t i = 0; i < N; i++) {
        es_scores_softmax(&scores, i, 1, p);
        for (size_t c = 0; c < C; c++)
            probabilities[i * C + c] = (float)p[c];
    }
    es_scores same = {.values = probabilities, .count = N, .class_count = C, .probabilities = true};
    assert_ok_err(es_scores_check(&same, &err), err);
    assert_true(es_scores_look_like_probabilities(probabilities, N, C));
    assert_false(es_scores_look_like_probabilities(z, N, C));
    near(es_scores_nll(&same, labels, 2), es_scores_nll(&scores, labels, 2), 1e-5);
}

static void draw_answers(es_rng *rng, size_t count, double *confidence, bool *right)
{
    for (size_t i = 0; i < count; i++) {
        confidence[i] = (double)es_rng_below(rng, 41) / 40; /* many equals */
        right[i] = es_rng_double(rng) < 0.2 + 0.7 * confidence[i];
    }
}

static void auroc_and_isotonic_against_naive(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        enum { FEW = 60 };
        es_rng rng = es_rng_make(seed, 0);
        double confidence[FEW];
        bool right[FEW];
        draw_answers(&rng, FEW, confidence, right);
        double pairs = 0;
        double better = 0;
        for (size_t i = 0; i < FEW; i++)
            for (size_t k = 0; k < FEW; k++)
                if (right[i] && !right[k]) {
                    pairs++;
                    better += confidence[i] > confidence[k]   ? 1
                              : confidence[i] < confidence[k] ? 0
                                                              : 0.5;
                }
        double auroc = 0;
        assert_ok_err(es_confidence_auroc(arena, confidence, right, FEW, &auroc, &err), err);
        near(auroc, better / pairs, 1e-12);
        es_isotonic map;
        assert_ok_err(es_isotonic_fit(arena, confidence, right, FEW, &map, &err), err);
        for (size_t i = 0; i < FEW; i++) { /* max over starts of min over ends of the mean */
            double best = 0;
            for (int a = 0; a <= 40; a++) {
                double least = 1;
                for (int b = 40; b >= 0; b--) {
                    double n = 0;
                    double k = 0;
                    for (size_t j = 0; j < FEW; j++)
                        if (confidence[j] >= a / 40.0 && confidence[j] <= b / 40.0) {
                            n++;
                            k += right[j];
                        }
                    if (b / 40.0 >= confidence[i] && n > 0)
                        least = fmin(least, k / n);
                }
                if (a / 40.0 <= confidence[i])
                    best = fmax(best, least);
            }
            near(es_isotonic_apply(&map, confidence[i]), best, 1e-12);
        }
    }
}

/* ---- reliability ---- */

static void ece_by_hand(void **state)
{
    (void)state;
    const double confidence[] = {0.05, 0.1, 0.6, 0.7, 0.9, 1.0};
    const bool right[] = {false, true, true, false, true, true};
    es_reliability_opts opts = es_reliability_opts_default();
    es_reliability r;
    opts.bin_count = 2; /* (0.15 - 1)/6 and (3.2 - 3)/6 */
    assert_ok_err(es_reliability_measure(arena, confidence, right, 6, opts, &r, &err), err);
    near(r.ece.value, (0.85 + 0.2) / 6, 1e-12);
    near(r.mce, 0.425, 1e-12);
    assert_int_equal(r.bins[0].count, 2);
    near(r.accuracy.value, 4.0 / 6, 1e-12);
    opts.equal_mass = true;
    opts.bin_count = 3;
    assert_ok_err(es_reliability_measure(arena, confidence, right, 6, opts, &r, &err), err);
    for (size_t b = 0; b < 3; b++)
        assert_int_equal(r.bins[b].count, 2);
    const double bad[] = {0.5, (double)NAN};
    assert_fails(es_reliability_measure(arena, bad, right, 2, opts, &r, &err), ES_ERR_ARG, err,
                 "confidence nan of sample 2");
}

/* Right with chance c - 0.1: the true ECE is 0.1. And with chance c: chance explains what is seen.
 */
static void ece_interval_covers(void **state)
{
    (void)state;
    es_reliability_opts opts = es_reliability_opts_default();
    opts.resamples = 200;
    size_t covered = 0;
    size_t alarms = 0;
    size_t zero = 0;
    for (uint64_t seed = 1; seed <= TRIALS; seed++) {
        es_rng rng = es_rng_make(seed, 3);
        double confidence[N];
        bool right[N];
        bool fair[N];
        es_reliability r;
        for (size_t i = 0; i < N; i++) {
            confidence[i] = 0.4 + 0.6 * es_rng_double(&rng);
            right[i] = es_rng_double(&rng) < confidence[i] - 0.1;
            fair[i] = es_rng_double(&rng) < confidence[i];
        }
        opts.seed = seed;
        assert_ok_err(es_reliability_measure(arena, confidence, right, N, opts, &r, &err), err);
        covered += r.ece.low <= 0.1 && r.ece.high >= 0.1;
        assert_ok_err(es_reliability_measure(arena, confidence, fair, N, opts, &r, &err), err);
        alarms += r.ece.value > r.ece_chance_high;
        zero += r.ece.low <= 0;
        es_arena_reset(arena);
    }
    print_message("of %d: interval covers ECE 0.1 in %zu, ECE 0 in %zu; false alarms %zu\n", TRIALS,
                  covered, zero, alarms);
    /* 95 % less three standard deviations of so many trials */
    assert_true(covered >= TRIALS * 91 / 100);
    assert_true(zero >= TRIALS * 91 / 100);
    assert_true(alarms <= TRIALS * 9 / 100);
}

/* ---- cascades ---- */

static es_cascade make_cascade(es_rng *rng, size_t stages, size_t count)
{
    es_cascade cascade = {.stage_count = stages, .count = count};
    for (size_t k = 0; k < stages; k++) {
        double *confidence = ES_TAKE_ARRAY(arena, double, count);
        bool *right = ES_TAKE_ARRAY(arena, bool, count);
        for (size_t i = 0; i < count; i++) {
            confidence[i] = (double)es_rng_below(rng, 12) / 11;
            right[i] = es_rng_double(rng) < 0.3 + 0.4 * confidence[i] + 0.1 * (double)k;
        }
        cascade.stages[k] =
            (es_cascade_stage){.confidence = confidence, .right = right, .cost = 1 + 2 * (double)k};
    }
    return cascade;
}

/* Every combination of thresholds tried; no point of the curve is beaten, none is missing. */
static void sweep_against_all_thresholds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        size_t stages = 2 + seed % 3;
        es_cascade cascade = make_cascade(&rng, stages, 5 + es_rng_below(&rng, 40));
        es_cascade_curve curve;
        assert_ok_err(es_cascade_sweep(arena, &cascade, 0, &curve, &err), err);
        assert_true(curve.exact);
        size_t total = 1;
        for (size_t k = 0; k + 1 < stages; k++)
            total *= 13;
        size_t best[64] = {0}; /* right answers at each point's cost or less */
        for (size_t c = 0; c < total; c++) {
            double thresholds[ES_CASCADE_STAGES_MAX];
            for (size_t k = 0, rest = c; k + 1 < stages; k++, rest /= 13)
                thresholds[k] = rest % 13 == 12 ? (double)INFINITY : (double)(rest % 13) / 11;
            es_cascade_point point;
            es_cascade_evaluate(&cascade, thresholds, &point);
            bool matched = false;
            for (size_t i = 0; i < curve.count; i++) {
                matched = matched || (curve.points[i].right >= point.right &&
                                      curve.points[i].cost <= point.cost);
                if (point.cost <= curve.points[i].cost && point.right > best[i])
                    best[i] = point.right;
            }
            assert_true(matched);
        }
        for (size_t i = 0; i < curve.count; i++) {
            es_cascade_point again;
            es_cascade_evaluate(&cascade, curve.points[i].thresholds, &again);
            assert_int_equal(again.right, curve.points[i].right);
            near(again.cost, curve.points[i].cost, 0);
            assert_int_equal(best[i], curve.points[i].right);
            assert_true(i == 0 || curve.points[i].cost > curve.points[i - 1].cost);
            assert_true(i == 0 || curve.points[i].right > curve.points[i - 1].right);
        }
        assert_ok_err(es_cascade_sweep(arena, &cascade, 1, &curve, &err), err);
        assert_true(stages == 2 || !curve.exact);
        assert_true(curve.count >= 1);
        es_arena_reset(arena);
    }
}

/* ---- the guarantee ---- */

/* A world whose accuracy at any threshold is known: the small model is right with chance c, c
 * uniform; the large with 0.9. So acc(t) = 0.9 t + (1 - t^2) / 2. */
static double world_accuracy(double t)
{
    return t > 1 ? 0.9 : 0.9 * t + (1 - t * t) / 2;
}

static void guarantee_holds_in_simulation(void **state)
{
    (void)state;
    enum { SAMPLES = 600, RUNS = 2000 };
    const double delta = 0.1;
    size_t broken = 0;
    size_t found = 0;
    size_t selective_broken = 0;
    size_t selective_found = 0;
    const double *path = NULL;
    size_t path_count = 0;
    es_arena *kept = es_arena_new(1 << 20);
    assert_ok_err(es_guarantee_path_fixed(kept, 2, &path, &path_count, &err), err);
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        es_rng rng = es_rng_make(seed, 7);
        double confidence[SAMPLES];
        bool small[SAMPLES];
        bool large[SAMPLES];
        for (size_t i = 0; i < SAMPLES; i++) {
            confidence[i] = es_rng_double(&rng);
            small[i] = es_rng_double(&rng) < confidence[i];
            large[i] = es_rng_double(&rng) < 0.9;
        }
        es_cascade cascade = {.stage_count = 2,
                              .count = SAMPLES,
                              .stages = {{confidence, small, 1}, {NULL, large, 10}}};
        es_guarantee g;
        assert_ok_err(es_guarantee_cascade(&cascade, path, path_count, 0.85, delta, &g, &err), err);
        found += g.found;
        broken += g.found && world_accuracy(g.point.thresholds[0]) < 0.85;
        es_selective s; /* right among accepted: (1 + t) / 2 */
        assert_ok_err(es_guarantee_selective(confidence, small, SAMPLES, 0.85, delta, &s, &err),
                      err);
        selective_found += s.found;
        selective_broken += s.found && (1 + s.threshold) / 2 < 0.85;
    }
    es_arena_free(kept);
    print_message("of %d: cascade found %zu, broken %zu; selective found %zu, broken %zu\n", RUNS,
                  found, broken, selective_found, selective_broken);
    double allowed = delta * RUNS + 3 * sqrt(delta * (1 - delta) * RUNS);
    assert_true((double)broken <= allowed);
    assert_true((double)selective_broken <= allowed);
    assert_true(found > RUNS * 9 / 10); /* and it is worth something */
    assert_true(selective_found > RUNS / 2);
}

/* A path along the curve of other samples keeps the promise as well; three stages. */
static void guarantee_along_another_curve(void **state)
{
    (void)state;
    enum { SAMPLES = 300, RUNS = 200, MANY = 20000 };
    const double delta = 0.1;
    size_t broken = 0;
    size_t found = 0;
    es_rng rng = es_rng_make(99, 0);
    es_arena *kept = arena;
    es_cascade truth = make_cascade(&rng, 3, MANY);
    arena = es_arena_new((size_t)256 << 20);
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        es_rng here = es_rng_make(seed, 1);
        es_cascade tuned = make_cascade(&here, 3, SAMPLES);
        es_cascade tested = make_cascade(&here, 3, SAMPLES);
        es_cascade_curve curve;
        const double *path = NULL;
        size_t count = 0;
        es_guarantee g;
        assert_ok_err(es_cascade_sweep(arena, &tuned, 0, &curve, &err), err);
        assert_ok_err(es_guarantee_path_curve(arena, &curve, 3, &path, &count, &err), err);
        assert_ok_err(es_guarantee_cascade(&tested, path, count, 0.64, delta, &g, &err), err);
        if (g.found) {
            es_cascade_point real;
            es_cascade_evaluate(&truth, g.point.thresholds, &real);
            found++;
            broken += real.accuracy < 0.64 - 0.01; /* the truth itself is drawn: sd 0.0034 */
        }
        es_arena_reset(arena);
    }
    es_arena_free(arena);
    arena = kept;
    print_message("of %d: found %zu, broken %zu\n", RUNS, found, broken);
    assert_true(found > 0);
    assert_true((double)broken <= delta * RUNS + 3 * sqrt(delta * (1 - delta) * RUNS));
}

static void guarantee_that_cannot_be(void **state)
{
    (void)state;
    const bool right[] = {true, true, false, true};
    const double confidence[] = {1, 1, 1, 1};
    es_cascade cascade = {
        .stage_count = 2, .count = 4, .stages = {{confidence, right, 1}, {NULL, right, 2}}};
    const double *path = NULL;
    size_t count = 0;
    es_guarantee g;
    assert_ok_err(es_guarantee_path_fixed(arena, 2, &path, &count, &err), err);
    assert_ok_err(es_guarantee_cascade(&cascade, path, count, 0.9, 0.05, &g, &err), err);
    assert_false(g.found);
    assert_int_equal(g.tested, 1);
    assert_fails(es_guarantee_cascade(&cascade, path, count, 1.2, 0.05, &g, &err), ES_ERR_ARG, err,
                 "target=1.2");
    near(es_cascade_rule(10, 0.9, 2), 0.7, 1e-12);
}

/* ---- without labels ---- */

static void agreement_covers(void **state)
{
    (void)state;
    size_t missed = 0;
    size_t weighted_missed = 0;
    for (uint64_t seed = 1; seed <= TRIALS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        enum { MANY = 2000 };
        double confidence[MANY];
        double rates[MANY];
        bool differs[MANY];
        bool asked[MANY];
        bool evenly[MANY];
        for (size_t i = 0; i < MANY; i++) {
            confidence[i] = es_rng_double(&rng);
            differs[i] = es_rng_double(&rng) < 0.4 * (1 - confidence[i]); /* 0.2 of all */
        }
        assert_ok_err(es_agreement_rates(confidence, MANY, 0.3, 0.05, rates, &err), err);
        double mean = 0;
        for (size_t i = 0; i < MANY; i++) {
            mean += rates[i] / MANY;
            asked[i] = es_rng_double(&rng) < rates[i];
            evenly[i] = es_rng_double(&rng) < 0.3;
        }
        near(mean, 0.3, 1e-9);
        es_agreement a;
        assert_ok_err(
            es_quality_by_agreement(arena, NULL, evenly, differs, MANY, 0.02, 0.1, &a, &err), err);
        missed += a.disagreement.low > 0.2 || a.disagreement.high < 0.2;
        near(a.accuracy.low, fmax(0, 1 - a.disagreement.high - 0.02), 1e-12);
        assert_ok_err(
            es_quality_by_agreement(arena, rates, asked, differs, MANY, 0.02, 0.1, &a, &err), err);
        weighted_missed += a.disagreement.low > 0.2 || a.disagreement.high < 0.2;
        es_arena_reset(arena);
    }
    print_message("agreement missed %zu even, %zu weighted of %d at delta 0.1\n", missed,
                  weighted_missed, TRIALS);
    assert_true(missed <= TRIALS * 15 / 100);
    assert_true(weighted_missed <= TRIALS * 15 / 100);
}

static void confidence_tells_the_accuracy(void **state)
{
    (void)state;
    enum { MANY = 4000 };
    es_rng rng = es_rng_make(4, 0);
    double confidence[MANY];
    bool right[MANY];
    double threshold = 0;
    double accuracy = 0;
    for (size_t i = 0; i < MANY; i++) {
        confidence[i] = es_rng_double(&rng);
        right[i] = es_rng_double(&rng) < confidence[i];
        accuracy += right[i] / (double)MANY;
    }
    es_bounds mean = es_quality_by_confidence(confidence, MANY, 0.05);
    assert_true(mean.low < accuracy && accuracy < mean.high);
    assert_true(mean.high - mean.low < 0.06);
    assert_ok_err(es_quality_threshold_fit(arena, confidence, right, MANY, &threshold, &err), err);
    near(es_quality_by_threshold(confidence, MANY, threshold, 0.05).value, accuracy, 1e-9);
}

static void drift_is_noticed_and_chance_is_not(void **state)
{
    (void)state;
    size_t false_alarms = 0;
    size_t noticed = 0;
    size_t chance = 0;
    for (uint64_t seed = 1; seed <= TRIALS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_page_hinkley still = {.slack = 0.02, .threshold = 5, .warm_up = 100};
        es_page_hinkley falls = still;
        bool early = false;
        bool late = false;
        for (size_t i = 0; i < 2000; i++) {
            double value = 0.9 + 0.1 * es_rng_normal(&rng);
            early = es_page_hinkley_add(&still, value) || early;
            late = es_page_hinkley_add(&falls, value - (i >= 1000 ? 0.1 : 0)) || late;
        }
        false_alarms += early;
        noticed += late;
        uint64_t reference[6] = {0};
        uint64_t window[6] = {0};
        for (size_t i = 0; i < 3000; i++)
            (i < 2000 ? reference : window)[es_rng_below(&rng, 5)]++;
        es_class_drift drift;
        assert_ok_err(es_class_drift_measure(reference, window, 6, &drift, &err), err);
        chance += drift.p_value < 0.05;
    }
    assert_true(false_alarms <= TRIALS / 50);
    assert_int_equal(noticed, TRIALS);
    assert_in_range(chance, TRIALS / 100, TRIALS * 9 / 100);
    es_class_drift drift;
    assert_ok_err(
        es_class_drift_measure((uint64_t[]){50, 50}, (uint64_t[]){90, 10}, 2, &drift, &err), err);
    near(drift.divergence, 0.9 * log(1.8) + 0.1 * log(0.2), 1e-12);
    assert_true(drift.p_value < 1e-8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tails_against_sums),
        TEST(temperature_is_found),
        TEST(confidences_and_losses_against_softmax),
        TEST(auroc_and_isotonic_against_naive),
        TEST(ece_by_hand),
        TEST(ece_interval_covers),
        TEST(sweep_against_all_thresholds),
        TEST(guarantee_holds_in_simulation),
        TEST(guarantee_along_another_curve),
        TEST(guarantee_that_cannot_be),
        TEST(agreement_covers),
        TEST(confidence_tells_the_accuracy),
        TEST(drift_is_noticed_and_chance_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
