/* A stream without labels: how right the stages still are, and whether something has changed. */
#include "cli/calibrate.h"

#include <math.h>

enum { NULL_STREAMS = 400, WARM_UP = 20 };

typedef struct watcher {
    es_arena *arena;
    const es_calibrate_stages *stream;
    es_calibrate_watch_opts opts;
    double *confidence;     /* of the stage looked at */
    uint32_t *classes;      /* its answers */
    uint32_t *last_classes; /* those of the last stage */
} watcher;

/* Largest fall of the mean that Page and Hinkley's sum shows; the reference counts as seen. */
static double largest_fall(const es_calibrate_known *known, double mean, double slack,
                           const double *values, es_rng *draw, size_t count, double level,
                           size_t *out_at)
{
    es_page_hinkley test = {
        .slack = slack, .threshold = level, .count = known->count, .mean = mean};
    double fall = 0;
    for (size_t i = 0; i < count; i++) {
        double value =
            draw != NULL ? known->confidence[es_rng_below(draw, known->count)] : values[i];
        bool alarm = es_page_hinkley_add(&test, value);
        fall = fmax(fall, test.sum - test.extreme);
        if (alarm && out_at != NULL && *out_at == 0)
            *out_at = i + 1;
    }
    return fall;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of as many values drawn from the labelled samples as there are: its chance error counts too. */
static double drawn_mean(const es_calibrate_known *known, es_rng *draw)
{
    double mean = 0;
    for (size_t i = 0; i < known->count; i++)
        mean += known->confidence[es_rng_below(draw, known->count)] / (double)known->count;
    return mean;
}

/* The level is what a stream drawn from the labelled samples exceeds with chance delta. */
static es_status watch_fall(const watcher *w, const es_calibrate_known *known, size_t k,
                            es_calibrate_watch *out, es_error *err)
{
    double *falls = ES_TAKE_ARRAY(w->arena, double, NULL_STREAMS);
    if (falls == NULL)
        return es_arena_full(w->arena, "streams", err);
    double mean = 0;
    double square = 0;
    for (size_t i = 0; i < known->count; i++) {
        mean += known->confidence[i] / (double)known->count;
        square += known->confidence[i] * known->confidence[i] / (double)known->count;
    }
    double slack = 0.1 * sqrt(fmax(square - mean * mean, 0));
    es_rng draw = es_rng_make(w->opts.seed, k);
    for (size_t i = 0; i < NULL_STREAMS; i++)
        falls[i] = largest_fall(known, drawn_mean(known, &draw), slack, NULL, &draw,
                                w->stream->sample_count, (double)INFINITY, NULL);
    qsort(falls, NULL_STREAMS, sizeof *falls, by_value);
    size_t place = (size_t)ceil((1 - w->opts.delta) * NULL_STREAMS);
    out->alarm_level = falls[place < NULL_STREAMS ? place : NULL_STREAMS - 1];
    out->fall = largest_fall(known, mean, slack, w->confidence, NULL, w->stream->sample_count,
                             out->alarm_level, &out->alarm_at);
    out->alarm = out->alarm_at > 0;
    return ES_OK;
}

static es_status watch_classes(const watcher *w, const es_calibrate_known *known, size_t k,
                               es_calibrate_watch *out, es_error *err)
{
    uint32_t class_count = w->stream->items[k].scores.class_count;
    uint64_t *seen = ES_TAKE_ARRAY(w->arena, uint64_t, class_count);
    if (seen == NULL)
        return es_arena_full(w->arena, "classes", err);
    for (size_t i = 0; i < w->stream->sample_count; i++)
        seen[w->classes[i]]++;
    return es_class_drift_measure(known->classes, seen, class_count, &out->drift, err);
}

static es_status ask_last(const watcher *w, const es_calibrate_known *known, size_t k,
                          es_calibrate_watch *out, es_error *err)
{
    size_t count = w->stream->sample_count;
    size_t last = w->stream->count - 1;
    out->asked = k < last && w->opts.ask > 0;
    if (!out->asked)
        return ES_OK;
    bool *asked = ES_TAKE_ARRAY(w->arena, bool, count);
    bool *differs = ES_TAKE_ARRAY(w->arena, bool, count);
    if (asked == NULL || differs == NULL)
        return es_arena_full(w->arena, "questions", err);
    es_rng draw = es_rng_make(w->opts.seed, ES_CASCADE_STAGES_MAX + k);
    for (size_t i = 0; i < count; i++) {
        asked[i] = es_rng_double(&draw) < w->opts.ask;
        differs[i] = w->classes[i] != w->last_classes[i];
    }
    return es_quality_by_agreement(w->arena, NULL, asked, differs, count, 1 - known[last].accuracy,
                                   w->opts.delta, &out->agreement, err);
}

static es_status watch_stage(const watcher *w, const es_calibrate_known *known, size_t k,
                             es_calibrate_watch *out, es_error *err)
{
    const es_calibrate_known *own = &known[k];
    size_t count = w->stream->sample_count;
    double threshold = 0;
    es_scores_decide(&w->stream->items[k].scores, own->temperature, ES_CONFIDENCE_MAX_PROB,
                     w->confidence, w->classes);
    out->by_confidence = es_quality_by_confidence(w->confidence, count, w->opts.delta);
    ES_TRY(es_quality_threshold_fit(w->arena, own->confidence, own->right, own->count, &threshold,
                                    err));
    out->by_threshold = es_quality_by_threshold(w->confidence, count, threshold, w->opts.delta);
    ES_TRY(watch_classes(w, own, k, out, err));
    ES_TRY(watch_fall(w, own, k, out, err));
    return ask_last(w, known, k, out, err);
}

es_status es_calibrate_watch_stream(es_arena *arena, const es_calibrate_stages *stream,
                                    const es_calibrate_known *known, es_calibrate_watch_opts opts,
                                    es_calibrate_watch *out, es_error *err)
{
    size_t count = stream->sample_count;
    size_t last = stream->count - 1;
    watcher w = {
        .arena = arena,
        .stream = stream,
        .opts = opts,
        .confidence = ES_TAKE_ARRAY(arena, double, count),
        .classes = ES_TAKE_ARRAY(arena, uint32_t, count),
        .last_classes = ES_TAKE_ARRAY(arena, uint32_t, count),
    };
    if (w.confidence == NULL || w.classes == NULL || w.last_classes == NULL)
        return es_arena_full(arena, "stream", err);
    if (count < WARM_UP)
        return es_fail(err, ES_ERR_ARG, "the stream has %zu samples, must have at least %d", count,
                       WARM_UP);
    es_scores_decide(&stream->items[last].scores, known[last].temperature, ES_CONFIDENCE_MAX_PROB,
                     w.confidence, w.last_classes);
    for (size_t k = 0; k < stream->count; k++)
        ES_TRY(
            es_within(err, watch_stage(&w, known, k, &out[k], err), "%s", stream->items[k].name));
    return ES_OK;
}
