/* Synthetic signals, clusters and series. */
#include "data/internal.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

const char *const es_signal_shape_names[ES_SIGNAL_SHAPE_COUNT] = {
    [ES_SIGNAL_SINE] = "sine",   [ES_SIGNAL_SQUARE] = "square", [ES_SIGNAL_SAWTOOTH] = "sawtooth",
    [ES_SIGNAL_CHIRP] = "chirp", [ES_SIGNAL_PULSES] = "pulses", [ES_SIGNAL_NOISE] = "noise",
};

es_signals_opts es_signals_opts_default(void)
{
    return (es_signals_opts){.count = 600, .steps = 128, .noise = 0.3, .seed = 1};
}

/* phase in turns; position 0..1 within the window. */
static double shape_at(es_signal_shape shape, double phase, double position)
{
    double turn = phase - floor(phase);
    switch (shape) {
    case ES_SIGNAL_SINE:
        return sin(2 * PI * turn);
    case ES_SIGNAL_SQUARE:
        return turn < 0.5 ? 1 : -1;
    case ES_SIGNAL_SAWTOOTH:
        return 2 * turn - 1;
    case ES_SIGNAL_CHIRP:
        return sin(2 * PI * phase * (1 + 2 * position));
    case ES_SIGNAL_PULSES:
        return turn < 0.1 ? 1 : 0;
    case ES_SIGNAL_NOISE:
    case ES_SIGNAL_SHAPE_COUNT:
        break;
    }
    return 0;
}

es_status es_data_make_signals(es_arena *arena, es_signals_opts opts, es_dataset *out_dataset,
                               es_error *err)
{
    if (opts.count < 1 || opts.steps < 8 || !(opts.noise >= 0 && isfinite(opts.noise)))
        return es_fail(err, ES_ERR_ARG,
                       "signals: count=%zu must be >= 1, steps=%zu >= 8, noise=%g >= 0", opts.count,
                       opts.steps, opts.noise);
    float *values = NULL;
    es_dataset dataset;
    ES_TRY(es_dataset_take(arena, "signals", 3, (const size_t[]){opts.count, 1, opts.steps},
                           &dataset, &values, err));
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, opts.count);
    if (labels == NULL)
        return es_arena_full(arena, "labels", err);
    for (size_t i = 0; i < opts.count; i++) {
        es_rng rng = es_rng_make(opts.seed, i); /* a longer set starts with the shorter one */
        labels[i] = (uint32_t)(i % ES_SIGNAL_SHAPE_COUNT);
        double turns = 4 + 4 * es_rng_double(&rng); /* in a window */
        double phase = es_rng_double(&rng);
        for (size_t k = 0; k < opts.steps; k++) {
            double position = (double)k / (double)opts.steps;
            double value = shape_at((es_signal_shape)labels[i], phase + turns * position, position);
            values[i * opts.steps + k] = (float)(value + opts.noise * es_rng_normal(&rng));
        }
    }
    dataset.labels = labels;
    dataset.class_count = ES_SIGNAL_SHAPE_COUNT;
    dataset.class_names = es_signal_shape_names;
    *out_dataset = dataset;
    return ES_OK;
}

es_clusters_opts es_clusters_opts_default(void)
{
    return (es_clusters_opts){.count = 1000, .class_count = 2, .size = 2, .distance = 2, .seed = 1};
}

es_status es_data_make_clusters(es_arena *arena, es_clusters_opts opts, es_dataset *out_dataset,
                                double *out_accuracy, es_error *err)
{
    if (opts.count < 1 || opts.class_count < 2 || opts.size < opts.class_count ||
        !(opts.distance > 0 && isfinite(opts.distance)))
        return es_fail(err, ES_ERR_ARG,
                       "clusters: count=%zu must be >= 1, 2 <= class_count=%u <= size=%zu, "
                       "distance=%g > 0",
                       opts.count, opts.class_count, opts.size, opts.distance);
    float *values = NULL;
    es_dataset dataset;
    ES_TRY(es_dataset_take(arena, "clusters", 2, (const size_t[]){opts.count, opts.size}, &dataset,
                           &values, err));
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, opts.count);
    if (labels == NULL)
        return es_arena_full(arena, "labels", err);
    double corner = opts.distance / sqrt(2.0); /* two corners on two axes are distance apart */
    for (size_t i = 0; i < opts.count; i++) {
        es_rng rng = es_rng_make(opts.seed, i);
        labels[i] = (uint32_t)es_rng_below(&rng, opts.class_count);
        for (size_t k = 0; k < opts.size; k++)
            values[i * opts.size + k] =
                (float)(es_rng_normal(&rng) + (k == labels[i] ? corner : 0));
    }
    dataset.labels = labels;
    dataset.class_count = opts.class_count;
    *out_dataset = dataset;
    if (out_accuracy != NULL) /* Phi(x) = erfc(-x / sqrt 2) / 2 */
        *out_accuracy =
            opts.class_count == 2 ? 0.5 * erfc(-opts.distance / 2 / sqrt(2.0)) : (double)NAN;
    return ES_OK;
}

es_series_opts es_series_opts_default(void)
{
    return (es_series_opts){.count = 2000,
                            .period = 100,
                            .noise = 0.1,
                            .bursts = 5,
                            .burst_steps = 10,
                            .burst_height = 3,
                            .seed = 1};
}

es_status es_data_make_series(es_arena *arena, es_series_opts opts, es_dataset *out_dataset,
                              es_error *err)
{
    static const char *const names[] = {"usual", "burst"};
    if (opts.count < 1 || opts.period < 2 || !(opts.noise >= 0 && isfinite(opts.noise)) ||
        !isfinite(opts.drift) || !isfinite(opts.burst_height) ||
        (opts.bursts > 0 && opts.count / opts.bursts < opts.burst_steps))
        return es_fail(err, ES_ERR_ARG,
                       "series: count=%zu must hold %zu bursts of %zu steps, period=%zu >= 2, "
                       "noise=%g >= 0",
                       opts.count, opts.bursts, opts.burst_steps, opts.period, opts.noise);
    float *values = NULL;
    es_dataset dataset;
    ES_TRY(es_dataset_take(arena, "series", 2, (const size_t[]){opts.count, 1}, &dataset, &values,
                           err));
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, opts.count);
    if (labels == NULL)
        return es_arena_full(arena, "labels", err);
    es_rng rng = es_rng_make(opts.seed, 0);
    es_rng places = es_rng_make(opts.seed, 1);
    for (size_t b = 0; b < opts.bursts; b++) { /* each within its own stretch: never overlapping */
        size_t stretch = opts.count / opts.bursts;
        size_t at = b * stretch + es_rng_below(&places, stretch - opts.burst_steps + 1);
        for (size_t k = 0; k < opts.burst_steps; k++)
            labels[at + k] = 1;
    }
    for (size_t i = 0; i < opts.count; i++)
        values[i] = (float)(sin(2 * PI * (double)(i % opts.period) / (double)opts.period) +
                            opts.drift * (double)i + opts.noise * es_rng_normal(&rng) +
                            (labels[i] == 1 ? opts.burst_height : 0));
    dataset.labels = labels;
    dataset.class_count = 2;
    dataset.class_names = names;
    *out_dataset = dataset;
    return ES_OK;
}
