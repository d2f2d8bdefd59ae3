/*
 * Folding batch norms: w' = w g, b' = beta + (b - mean) g with g = gamma / sqrt(variance + epsilon)
 * per output channel.
 */
#include "nn/internal.h"

#include <math.h>

static void fold_values(es_nn_layer *into, es_nn_layer *norm)
{
    es_nn_param *weight = es_nn_param_of(into, ES_NN_WEIGHT);
    float *bias = es_nn_param_of(into, ES_NN_BIAS)->values;
    const float *gamma = es_nn_param_of(norm, ES_NN_GAMMA)->values;
    const float *beta = es_nn_param_of(norm, ES_NN_BETA)->values;
    const float *mean = es_nn_param_of(norm, ES_NN_MEAN)->values;
    const float *variance = es_nn_param_of(norm, ES_NN_VARIANCE)->values;
    size_t filter = weight->count / weight->dims[0];
    for (size_t c = 0; c < weight->dims[0]; c++) {
        double gain = (double)gamma[c] / sqrt((double)variance[c] + norm->epsilon);
        for (size_t i = c * filter; i < (c + 1) * filter; i++)
            weight->values[i] = (float)((double)weight->values[i] * gain);
        bias[c] = (float)((double)beta[c] + ((double)bias[c] - (double)mean[c]) * gain);
    }
}

es_status es_nn_fold(es_nn *nn, es_error *err)
{
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        es_nn_id into = es_nn_fold_into(nn, (es_nn_id){i});
        if (!es_nn_is(into))
            continue;
        es_nn_layer *norm = &nn->layers.items[i];
        ES_TRY(es_nn_give_bias(nn, &nn->layers.items[into.index], err));
        fold_values(&nn->layers.items[into.index], norm);
        ES_TRY(es_nn_replace(nn, (es_nn_id){i}, into, err));
        nn->layers.items[i].input_count = 0; /* no user of the layer any more; sealing drops it */
    }
    return es_nn_seal(nn, err);
}
