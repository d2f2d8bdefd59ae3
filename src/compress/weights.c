/*
 * Weights of one layer: symmetric codes with a scale per output channel, the integer bias, and its
 * correction by what rounding the weights shifts on average.
 */
#include "compress/internal.h"

#include <assert.h>
#include <float.h>
#include <math.h>

/* Headroom for products in the 32-bit sum beside the bias. */
static const double bias_max = (double)(1 << 30);

/* scale = max |w| / limit, but large enough for the bias to fit in 32 bits. A channel without
 * weights takes the smallest of the others, so that its bias is fine enough. */
static void find_scales(const es_layer *l, int32_t limit, float input_scale, float *scales)
{
    float least = INFINITY;
    for (size_t i = 0; i < l->count; i++) {
        size_t c = es_layer_output_at(l, i);
        scales[c] = fmaxf(scales[c], fabsf(l->weights[i]));
    }
    for (size_t c = 0; c < l->channels; c++) {
        scales[c] /= (float)limit;
        if (scales[c] >= FLT_MIN)
            least = fminf(least, scales[c]);
    }
    for (size_t c = 0; c < l->channels; c++) {
        if (!(scales[c] >= FLT_MIN))
            scales[c] = isfinite(least) ? least : 1;
        double needed = fabs(es_layer_bias(l, c)) / ((double)input_scale * bias_max);
        scales[c] = fmaxf(scales[c], (float)needed);
    }
}

static void code_weights(const es_layer *l, int32_t limit, es_coded_weights *out)
{
    double signal = 0;
    double noise = 0;
    for (size_t i = 0; i < l->count; i++) {
        es_affine affine = {
            .scale = out->scales[es_layer_output_at(l, i)], .low = -limit, .high = limit};
        int32_t code = es_affine_code(affine, l->weights[i]);
        double error = (double)es_affine_value(affine, code) - (double)l->weights[i];
        out->codes[i] = (int8_t)code;
        signal += (double)l->weights[i] * (double)l->weights[i];
        noise += error * error;
    }
    out->sqnr_db = noise > 0 ? 10 * log10(signal / noise) : (double)INFINITY;
}

/* What rounding adds to each output on average: sum of (w' - w) E[x]. */
static es_status find_shifts(es_arena *arena, const es_layer *l, const es_coded_weights *coded,
                             const double *means, double **out, es_error *err)
{
    double *shifts = ES_TAKE_ARRAY(arena, double, l->channels);
    if (shifts == NULL)
        return es_arena_full(arena, "bias correction", err);
    for (size_t i = 0; means != NULL && i < l->count; i++) {
        size_t c = es_layer_output_at(l, i);
        double error = (double)coded->codes[i] * (double)coded->scales[c] - (double)l->weights[i];
        shifts[c] += error * means[es_layer_input_at(l, i)];
    }
    *out = shifts;
    return ES_OK;
}

es_status es_weights_code(es_arena *arena, const es_layer *l, int32_t limit, float input_scale,
                          bool has_bias, const double *means, es_coded_weights *out_weights,
                          es_error *err)
{
    double *shifts = NULL;
    es_coded_weights coded = {.codes = ES_TAKE_ARRAY(arena, int8_t, l->count),
                              .scales = ES_TAKE_ARRAY(arena, float, l->channels)};
    if (coded.codes == NULL || coded.scales == NULL)
        return es_arena_full(arena, "weights", err);
    find_scales(l, limit, input_scale, coded.scales);
    code_weights(l, limit, &coded);
    ES_TRY(find_shifts(arena, l, &coded, means, &shifts, err));
    assert(shifts != NULL);
    if (has_bias && (l->biases != NULL || means != NULL)) {
        coded.bias = ES_TAKE_ARRAY(arena, int32_t, l->channels);
        if (coded.bias == NULL)
            return es_arena_full(arena, "biases", err);
    }
    for (size_t c = 0; coded.bias != NULL && c < l->channels; c++) {
        double step = (double)input_scale * (double)coded.scales[c];
        double code = nearbyint((es_layer_bias(l, c) - shifts[c]) / step);
        coded.bias[c] = (int32_t)fmin(fmax(code, INT32_MIN), INT32_MAX);
    }
    *out_weights = coded;
    return ES_OK;
}
