/*
 * Random start of a net's parameters. He et al. 2015: normal, variance 2 / fan in. Glorot and
 * Bengio 2010: uniform within sqrt(6 / (fan in + fan out)). Saxe et al. 2014: orthogonal.
 */
#include "nn/internal.h"

#include <math.h>

enum { FOLLOW_MAX = 16 };

/* FNV-1a: a stream for each name. */
static uint64_t stream_of(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    return hash;
}

static es_nn_id first_user(const es_nn *nn, es_nn_id id)
{
    for (uint32_t i = id.index + 1; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        for (size_t k = 0; k < layer->input_count; k++) {
            if (layer->inputs[k].index == id.index)
                return (es_nn_id){i};
        }
    }
    return ES_NN_NONE;
}

/* Does the first use, past layers that keep the sign, end in a rectifier? */
static bool before_relu(const es_nn *nn, es_nn_id id)
{
    for (size_t i = 0; i < FOLLOW_MAX && es_nn_is(id = first_user(nn, id)); i++) {
        switch ((int)es_nn_at(nn, id)->kind) {
        case ES_NN_RELU:
        case ES_NN_RELU6:
        case ES_NN_HARD_SWISH:
            return true;
        case ES_NN_BATCH_NORM:
        case ES_NN_ADD:
        case ES_NN_CONCAT:
        case ES_NN_DROPOUT:
        case ES_NN_QUANTISE:
        case ES_NN_MAX_POOL:
        case ES_NN_AVERAGE_POOL:
        case ES_NN_UPSAMPLE:
            break;
        default:
            return false;
        }
    }
    return false;
}

static void he_normal(es_nn_param *param, double fan_in, es_rng *rng)
{
    double deviation = sqrt(2 / fan_in);
    for (size_t i = 0; i < param->count; i++)
        param->values[i] = (float)(deviation * es_rng_normal(rng));
}

static void glorot_uniform(es_nn_param *param, double fan_in, double fan_out, es_rng *rng)
{
    double limit = sqrt(6 / (fan_in + fan_out));
    for (size_t i = 0; i < param->count; i++)
        param->values[i] = (float)(limit * (2 * es_rng_double(rng) - 1));
}

static void weights_start(const es_nn *nn, es_nn_id id, es_nn_layer *layer, es_rng *rng)
{
    es_nn_param *weight = &layer->params[0];
    double field = 1;
    for (size_t i = 2; i < weight->rank; i++)
        field *= (double)weight->dims[i];
    double fan_in = (double)weight->dims[1] * field;
    size_t units = weight->dims[0] / (layer->groups > 0 ? layer->groups : 1);
    double fan_out = (double)units * field;
    if (layer->kind == ES_NN_GRU) /* each gate is a matrix of its own */
        glorot_uniform(weight, fan_in, fan_out / 3, rng);
    else if (before_relu(nn, id))
        he_normal(weight, fan_in, rng);
    else
        glorot_uniform(weight, fan_in, fan_out, rng);
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Rows of a square matrix made orthonormal, each from a normal vector; twice is enough (Kahan). */
static void orthogonal(float *matrix, size_t size, es_rng *rng)
{
    for (size_t r = 0; r < size; r++) {
        float *row = matrix + r * size;
        double length = 0;
        while (!(length > 1e-3)) {
            for (size_t i = 0; i < size; i++)
                row[i] = (float)es_rng_normal(rng);
            for (size_t again = 0; again < 2; again++) {
                for (size_t k = 0; k < r; k++) {
                    const float *other = matrix + k * size;
                    double along = dot(row, other, size);
                    for (size_t i = 0; i < size; i++)
                        row[i] = (float)((double)row[i] - along * (double)other[i]);
                }
                length = sqrt(dot(row, row, size));
                for (size_t i = 0; length > 1e-3 && i < size; i++)
                    row[i] = (float)((double)row[i] / length);
            }
        }
    }
}

static void fill(es_nn_param *param, float value)
{
    for (size_t i = 0; i < param->count; i++)
        param->values[i] = value;
}

static void layer_start(const es_nn *nn, es_nn_id id, es_nn_layer *layer, uint64_t seed)
{
    es_rng rng = es_rng_make(seed, stream_of(layer->name));
    for (size_t p = 0; p < layer->param_count; p++) {
        es_nn_param *param = &layer->params[p];
        switch (param->role) {
        case ES_NN_WEIGHT:
            weights_start(nn, id, layer, &rng);
            break;
        case ES_NN_RECURRENT:
            for (size_t gate = 0; gate < 3; gate++)
                orthogonal(param->values + gate * param->dims[1] * param->dims[1], param->dims[1],
                           &rng);
            break;
        case ES_NN_GAMMA:
        case ES_NN_VARIANCE:
            fill(param, 1);
            break;
        case ES_NN_BIAS:
        case ES_NN_BETA:
        case ES_NN_MEAN:
            fill(param, 0);
            break;
        case ES_NN_FACTOR:
        case ES_NN_OFFSET:
        case ES_NN_ROLE_COUNT:
            break;
        }
    }
}

void es_nn_init(es_nn *nn, uint64_t seed)
{
    for (uint32_t i = 0; i < nn->layers.count; i++)
        layer_start(nn, (es_nn_id){i}, &nn->layers.items[i], seed);
}
