#include "nn/testing/random_net.h"

#include <assert.h>
#include <stdlib.h>

enum { VALUES_MAX = 500, CHANNELS_MAX = 7 };

typedef struct maker {
    es_nn *nn;
    es_rng rng;
    bool plain;
} maker;

static size_t between(maker *m, size_t least, size_t most)
{
    return least + (size_t)es_rng_below(&m->rng, most - least + 1);
}

static es_nn_shape shape(const maker *m, es_nn_id id)
{
    return m->nn->layers.items[id.index].shape;
}

static es_nn_id add(maker *m, es_nn_layer layer, size_t units)
{
    es_error err = {0};
    es_nn_id id = ES_NN_NONE;
    if (es_nn_add(m->nn, &layer, units, between(m, 0, 1) == 1, &id, &err) != ES_OK) {
        (void)fprintf(stderr, "random net: %s\n", es_error_text(&err));
        abort();
    }
    return id;
}

static es_nn_id plain(maker *m, es_nn_kind kind, es_nn_id x)
{
    return add(m, (es_nn_layer){.kind = kind, .input_count = 1, .inputs = {x}, .rate = 0.25}, 0);
}

static es_nn_id join(maker *m, es_nn_kind kind, es_nn_id a, es_nn_id b)
{
    es_nn_layer layer = {.kind = kind, .input_count = 2, .inputs = {a, b}};
    if (between(m, 0, 3) == 0)
        layer.inputs[layer.input_count++] = a;
    return add(m, layer, 0);
}

/* A convolution that keeps places, or one whose window is drawn too. */
static es_nn_id conv(maker *m, es_nn_id x, size_t units, size_t groups, bool same)
{
    es_nn_shape in = shape(m, x);
    es_nn_layer layer = {.kind = ES_NN_CONV, .input_count = 1, .inputs = {x}, .groups = groups};
    for (size_t i = 0; i + 1 < in.rank; i++) {
        size_t size = in.dims[i + 1];
        size_t half = size > 4 ? between(m, 0, 1) : 0;
        layer.window.dilation[i] = size > 4 ? between(m, 1, 2) : 1;
        layer.window.kernel[i] = 2 * half + 1;
        layer.window.pad_before[i] = layer.window.pad_after[i] = half * layer.window.dilation[i];
        if (same)
            continue;
        layer.window.stride[i] = between(m, 1, 2);
        layer.window.pad_before[i] = between(m, 0, layer.window.pad_before[i]);
    }
    return add(m, layer, units);
}

static es_nn_id pool(maker *m, es_nn_id x)
{
    es_nn_shape in = shape(m, x);
    es_nn_layer layer = {.kind = between(m, 0, 1) == 0 ? ES_NN_MAX_POOL : ES_NN_AVERAGE_POOL,
                         .input_count = 1,
                         .inputs = {x}};
    for (size_t i = 0; i + 1 < in.rank; i++) {
        layer.window.kernel[i] = between(m, 1, in.dims[i + 1] < 3 ? in.dims[i + 1] : 3);
        layer.window.stride[i] = between(m, 1, 2);
        layer.window.pad_before[i] = between(m, 0, layer.window.kernel[i] - 1);
        layer.window.pad_after[i] = between(m, 0, layer.window.kernel[i] - 1);
    }
    return add(m, layer, 0);
}

static es_nn_id upsample(maker *m, es_nn_id x)
{
    es_nn_layer layer = {.kind = ES_NN_UPSAMPLE, .input_count = 1, .inputs = {x}};
    layer.window.stride[0] = between(m, 1, 2);
    layer.window.stride[1] = between(m, 1, 3);
    return add(m, layer, 0);
}

static es_nn_id activation(maker *m, es_nn_id x)
{
    static const es_nn_kind kinds[] = {ES_NN_RELU,    ES_NN_RELU6,  ES_NN_HARD_SWISH,
                                       ES_NN_SIGMOID, ES_NN_TANH,   ES_NN_BATCH_NORM,
                                       ES_NN_SCALE,   ES_NN_DROPOUT};
    return plain(m, kinds[between(m, 0, sizeof kinds / sizeof *kinds - 1)], x);
}

/* x plus a branch of x's shape, or an older layer of that shape. */
static es_nn_id residual(maker *m, es_nn_id x)
{
    es_nn_shape in = shape(m, x);
    es_nn_id other = {(uint32_t)between(m, 0, x.index)};
    if (es_nn_shape_same(in, shape(m, other)) && between(m, 0, 1) == 0)
        return join(m, ES_NN_ADD, x, other);
    es_nn_id branch =
        in.rank > 1 ? conv(m, x, in.dims[0], 1, true)
                    : add(m, (es_nn_layer){.kind = ES_NN_DENSE, .input_count = 1, .inputs = {x}},
                          in.dims[0]);
    return join(m, ES_NN_ADD, x, activation(m, branch));
}

static es_nn_id branches(maker *m, es_nn_id x)
{
    es_nn_id left = between(m, 0, 2) == 0 ? x : conv(m, x, between(m, 1, 3), 1, true);
    es_nn_id right = conv(m, x, between(m, 1, 3), 1, true);
    return join(m, ES_NN_CONCAT, left, right);
}

/* Depthwise with one or two filters per channel, or two groups. */
static es_nn_id grouped(maker *m, es_nn_id x)
{
    size_t channels = shape(m, x).dims[0];
    if (channels % 2 == 0 && between(m, 0, 1) == 0)
        return conv(m, x, 2 * between(m, 1, 3), 2, between(m, 0, 1) == 0);
    return conv(m, x, channels * between(m, 1, channels <= CHANNELS_MAX ? 2 : 1), channels,
                between(m, 0, 1) == 0);
}

static es_nn_id step(maker *m, es_nn_id x)
{
    es_nn_shape in = shape(m, x);
    if (in.count > VALUES_MAX)
        return conv(m, x, between(m, 1, 3), 1, false);
    switch (between(m, 0, 9)) {
    case 0:
        return residual(m, x);
    case 1:
        return branches(m, x);
    case 2:
        return grouped(m, x);
    case 3:
        return pool(m, x);
    case 4:
        return upsample(m, x);
    case 5:
        return m->plain ? activation(m, x) : plain(m, ES_NN_QUANTISE, x);
    case 6:
        if (in.rank == 2)
            return add(m, (es_nn_layer){.kind = ES_NN_GRU, .input_count = 1, .inputs = {x}},
                       between(m, 1, 5));
        return conv(m, x, between(m, 1, CHANNELS_MAX), 1, false);
    case 7:
    case 8:
        return conv(m, x, between(m, 1, CHANNELS_MAX), 1, false);
    default:
        return activation(m, x);
    }
}

static es_nn_id features(maker *m, es_nn_id x)
{
    size_t rank = shape(m, x).rank;
    if (rank == 1)
        return x;
    size_t way = between(m, 0, rank == 2 ? 2 : 1);
    return plain(m, way == 0 ? ES_NN_FLATTEN : way == 1 ? ES_NN_GLOBAL_POOL : ES_NN_LAST, x);
}

static es_nn_id head(maker *m, es_nn_id x)
{
    es_nn_layer dense = {.kind = ES_NN_DENSE, .input_count = 1, .inputs = {features(m, x)}};
    if (between(m, 0, 1) == 0) {
        es_nn_id hidden = activation(m, add(m, dense, between(m, 2, 6)));
        dense.inputs[0] = between(m, 0, 1) == 0 ? residual(m, hidden) : hidden;
    }
    es_nn_id out = add(m, dense, between(m, 2, 4));
    return between(m, 0, 2) == 0 ? plain(m, ES_NN_SOFTMAX, out) : out;
}

void nn_random_values(es_rng *rng, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)es_rng_normal(rng);
}

static void fill(maker *m, es_nn_layer *layer)
{
    for (size_t p = 0; p < layer->param_count; p++) {
        es_nn_param *param = &layer->params[p];
        nn_random_values(&m->rng, param->values, param->count);
        for (size_t i = 0; i < param->count; i++) {
            if (param->role == ES_NN_VARIANCE)
                param->values[i] = 0.5F + param->values[i] * param->values[i];
            else if (param->role == ES_NN_WEIGHT || param->role == ES_NN_RECURRENT)
                param->values[i] *= 0.5F; /* values stay of order one */
            else if (layer->kind == ES_NN_QUANTISE)
                param->values[i] = param->role == ES_NN_FACTOR ? 0.0625F : 100;
        }
    }
}

static es_nn_shape random_shape(maker *m)
{
    size_t dims[3] = {between(m, 1, 5), between(m, 4, 9), between(m, 4, 9)};
    return es_nn_shape_of(between(m, 0, 2) == 0 ? 2 : 3, dims);
}

es_nn *nn_random(es_arena *arena, uint64_t seed, bool plain_only)
{
    es_error err = {0};
    maker m = {.rng = es_rng_make(seed, 0), .plain = plain_only};
    es_status status = es_nn_new(arena, "random", "x", random_shape(&m), &m.nn, &err);
    assert(status == ES_OK);
    es_nn_id x = {0};
    es_nn_id early = ES_NN_NONE;
    for (size_t left = between(&m, 3, 12); left > 0; left--) {
        x = step(&m, x);
        if (between(&m, 0, 9) == 0)
            early = x;
    }
    status = es_nn_output_add(m.nn, "y", head(&m, x), &err);
    assert(status == ES_OK);
    if (es_nn_is(early))
        status = es_nn_exit_add(m.nn, "exit", head(&m, early), &err);
    assert(status == ES_OK);
    status = es_nn_seal(m.nn, &err);
    assert(status == ES_OK);
    for (size_t i = 0; i < m.nn->layers.count; i++)
        fill(&m, &m.nn->layers.items[i]);
    return m.nn;
}
