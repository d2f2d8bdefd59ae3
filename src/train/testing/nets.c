#include "train/testing/nets.h"

static const es_nn_id input = {0};

static es_nn_id add(es_nn *nn, es_nn_layer layer, size_t units, bool bias)
{
    es_error err = {0};
    es_nn_id id = ES_NN_NONE;
    if (layer.input_count == 0)
        layer.input_count = 1;
    assert_ok_err(es_nn_add(nn, &layer, units, bias, &id, &err), err);
    return id;
}

static es_nn_id one(es_nn *nn, es_nn_kind kind, es_nn_id from)
{
    return add(nn, (es_nn_layer){.kind = kind, .inputs = {from}}, 0, false);
}

static es_nn_id two(es_nn *nn, es_nn_kind kind, es_nn_id a, es_nn_id b)
{
    return add(nn, (es_nn_layer){.kind = kind, .input_count = 2, .inputs = {a, b}}, 0, false);
}

static void out(es_nn *nn, es_nn_id id)
{
    es_error err = {0};
    assert_ok_err(es_nn_output_add(nn, NULL, id, &err), err);
}

static es_nn_layer window(es_nn_kind kind, es_nn_id from, size_t kernel, size_t stride, size_t pad)
{
    return (es_nn_layer){.kind = kind,
                         .inputs = {from},
                         .window = {.kernel = {kernel, kernel},
                                    .stride = {stride, stride},
                                    .pad_before = {pad, pad},
                                    .pad_after = {pad, pad}}};
}

static void conv(es_nn *nn)
{
    out(nn, add(nn, window(ES_NN_CONV, input, 3, 1, 1), 5, true));
}

static void conv_uneven(es_nn *nn)
{
    es_nn_layer layer = {.kind = ES_NN_CONV,
                         .inputs = {input},
                         .window = {.kernel = {3, 2},
                                    .stride = {2, 1},
                                    .dilation = {1, 2},
                                    .pad_before = {0, 2},
                                    .pad_after = {1, 0}}};
    out(nn, add(nn, layer, 4, false));
}

static void conv_groups(es_nn *nn)
{
    es_nn_layer layer = window(ES_NN_CONV, input, 3, 2, 1);
    layer.groups = 2;
    out(nn, add(nn, layer, 6, true));
}

static void conv_depthwise(es_nn *nn)
{
    es_nn_layer layer = window(ES_NN_CONV, input, 3, 1, 1);
    layer.groups = 4;
    es_nn_id id = add(nn, layer, 4, false);
    out(nn, add(nn, window(ES_NN_CONV, id, 1, 1, 0), 3, true));
}

static void conv_series(es_nn *nn)
{
    es_nn_layer layer = {.kind = ES_NN_CONV,
                         .inputs = {input},
                         .window = {.kernel = {3}, .dilation = {2}, .pad_before = {4}}};
    out(nn, add(nn, layer, 5, true));
}

static void dense(es_nn *nn)
{
    es_nn_id flat = one(nn, ES_NN_FLATTEN, input);
    es_nn_id id = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {flat}}, 7, true);
    out(nn, add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {id}}, 3, false));
}

/* A norm behind a convolution, so that its gradient goes somewhere. */
static es_nn_id normed(es_nn *nn)
{
    return one(nn, ES_NN_BATCH_NORM, add(nn, window(ES_NN_CONV, input, 1, 1, 0), 3, false));
}

static void norm(es_nn *nn)
{
    out(nn, normed(nn));
}

static void norm_series(es_nn *nn)
{
    out(nn,
        one(nn, ES_NN_BATCH_NORM,
            add(nn, (es_nn_layer){.kind = ES_NN_CONV, .inputs = {input}, .window = {.kernel = {1}}},
                3, false)));
}

static void norm_features(es_nn *nn)
{
    es_nn_id id = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {input}}, 5, true);
    out(nn, one(nn, ES_NN_BATCH_NORM, id));
}

static void norm_frozen(es_nn *nn)
{
    es_nn_id id = normed(nn);
    nn->layers.items[id.index].frozen = true;
    out(nn, id);
}

static void frozen_between(es_nn *nn)
{
    es_nn_id a = add(nn, window(ES_NN_CONV, input, 3, 1, 1), 4, true);
    es_nn_id b = add(nn, window(ES_NN_CONV, a, 3, 1, 1), 4, true);
    nn->layers.items[b.index].frozen = true;
    out(nn, add(nn, window(ES_NN_CONV, b, 3, 1, 1), 2, true));
}

static void scale(es_nn *nn)
{
    es_nn_id a = one(nn, ES_NN_SCALE, input);
    es_nn_id b = add(nn, window(ES_NN_CONV, a, 3, 1, 1), 3, true);
    out(nn, one(nn, ES_NN_SCALE, b));
}

#define ACTIVATION(name, KIND)                                                                     \
    static void name(es_nn *nn)                                                                    \
    {                                                                                              \
        out(nn, one(nn, KIND, normed(nn)));                                                        \
        out(nn, one(nn, KIND, add(nn, window(ES_NN_CONV, input, 3, 1, 1), 2, true)));              \
    }
ACTIVATION(relu, ES_NN_RELU)
ACTIVATION(relu6, ES_NN_RELU6)
ACTIVATION(hard_swish, ES_NN_HARD_SWISH)
ACTIVATION(sigmoid, ES_NN_SIGMOID)
ACTIVATION(tangent, ES_NN_TANH)
ACTIVATION(softmax, ES_NN_SOFTMAX)
ACTIVATION(global_pool, ES_NN_GLOBAL_POOL)

static void max_pool(es_nn *nn)
{
    out(nn, add(nn, window(ES_NN_MAX_POOL, normed(nn), 3, 2, 1), 0, false));
}

static void max_pool_series(es_nn *nn)
{
    es_nn_layer first = {.kind = ES_NN_CONV, .inputs = {input}, .window = {.kernel = {1}}};
    es_nn_id id = add(nn, first, 4, true);
    out(nn, add(nn, window(ES_NN_MAX_POOL, id, 2, 2, 0), 0, false));
}

static void average_pool(es_nn *nn)
{
    es_nn_layer layer = window(ES_NN_AVERAGE_POOL, normed(nn), 3, 2, 1);
    layer.window.pad_after[1] = 0;
    out(nn, add(nn, layer, 0, false));
}

static void global_pool_series(es_nn *nn)
{
    es_nn_layer first = {.kind = ES_NN_CONV, .inputs = {input}, .window = {.kernel = {3}}};
    out(nn, one(nn, ES_NN_GLOBAL_POOL, add(nn, first, 4, true)));
}

static void residual(es_nn *nn)
{
    es_nn_id a = add(nn, window(ES_NN_CONV, input, 3, 1, 1), 4, true);
    es_nn_id b = one(nn, ES_NN_RELU, one(nn, ES_NN_BATCH_NORM, a));
    es_nn_id c = add(nn, window(ES_NN_CONV, b, 3, 1, 1), 4, false);
    out(nn, one(nn, ES_NN_RELU, two(nn, ES_NN_ADD, c, a)));
    out(nn, two(nn, ES_NN_ADD, b, b));
}

static void concat(es_nn *nn)
{
    es_nn_id a = add(nn, window(ES_NN_CONV, input, 3, 1, 1), 3, true);
    es_nn_id b = add(nn, window(ES_NN_CONV, input, 1, 1, 0), 18, false);
    es_nn_id c = two(nn, ES_NN_CONCAT, b, a);
    out(nn, add(nn, window(ES_NN_CONV, c, 1, 1, 0), 2, true));
    out(nn, two(nn, ES_NN_CONCAT, a, a));
}

static void dropout(es_nn *nn)
{
    es_nn_layer layer = {.kind = ES_NN_DROPOUT, .inputs = {normed(nn)}, .rate = 0.4};
    out(nn, add(nn, layer, 0, false));
}

static void upsample(es_nn *nn)
{
    es_nn_layer layer = {
        .kind = ES_NN_UPSAMPLE, .inputs = {normed(nn)}, .window = {.stride = {2, 3}}};
    out(nn, add(nn, layer, 0, false));
}

static void gru(es_nn *nn)
{
    es_nn_id a = add(nn, (es_nn_layer){.kind = ES_NN_GRU, .inputs = {input}}, 4, true);
    es_nn_id b = add(nn, (es_nn_layer){.kind = ES_NN_GRU, .inputs = {a}}, 3, true);
    out(nn, one(nn, ES_NN_LAST, b));
    out(nn, a);
}

/* Its steps are so fine that they do not show, but the range cuts. */
static void quantise(es_nn *nn)
{
    out(nn, one(nn, ES_NN_QUANTISE, normed(nn)));
}

/* Nothing between the input and what wants it in another shape. */
static void flatten_first(es_nn *nn)
{
    es_nn_id flat = one(nn, ES_NN_FLATTEN, input);
    es_nn_id a = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {flat}}, 4, true);
    es_nn_id b = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {a}}, 24, true);
    out(nn, two(nn, ES_NN_ADD, flat, b));
}

static void exits(es_nn *nn)
{
    es_nn_id a = one(nn, ES_NN_RELU, add(nn, window(ES_NN_CONV, input, 3, 1, 1), 4, true));
    es_nn_id early = one(nn, ES_NN_GLOBAL_POOL, a);
    out(nn, add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {early}}, 3, true));
    es_nn_id b = one(nn, ES_NN_RELU, add(nn, window(ES_NN_CONV, a, 3, 2, 1), 6, true));
    es_nn_id flat = one(nn, ES_NN_FLATTEN, b);
    out(nn, add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {flat}}, 3, true));
    out(nn, a);
}

const es_train_case es_train_cases[] = {
    {"conv", conv, 3, {4, 6, 5}},
    {"conv_uneven", conv_uneven, 3, {3, 7, 6}},
    {"conv_groups", conv_groups, 3, {4, 6, 5}},
    {"conv_depthwise", conv_depthwise, 3, {4, 5, 5}},
    {"conv_series", conv_series, 2, {3, 11}},
    {"dense", dense, 3, {2, 3, 2}},
    {"norm", norm, 3, {2, 4, 3}},
    {"norm_series", norm_series, 2, {3, 7}},
    {"norm_features", norm_features, 1, {6}},
    {"norm_frozen", norm_frozen, 3, {2, 4, 3}},
    {"frozen_between", frozen_between, 3, {3, 4, 4}},
    {"scale", scale, 3, {2, 4, 3}},
    {"relu", relu, 3, {2, 4, 3}},
    {"relu6", relu6, 3, {2, 4, 3}},
    {"hard_swish", hard_swish, 3, {2, 4, 3}},
    {"sigmoid", sigmoid, 3, {2, 4, 3}},
    {"tanh", tangent, 3, {2, 4, 3}},
    {"softmax", softmax, 3, {2, 4, 3}},
    {"global_pool", global_pool, 3, {2, 4, 3}},
    {"global_pool_series", global_pool_series, 2, {2, 9}},
    {"max_pool", max_pool, 3, {2, 7, 6}},
    {"max_pool_series", max_pool_series, 2, {2, 8}},
    {"average_pool", average_pool, 3, {2, 6, 7}},
    {"residual", residual, 3, {3, 5, 4}},
    {"concat", concat, 3, {3, 4, 4}},
    {"dropout", dropout, 3, {2, 4, 3}},
    {"upsample", upsample, 3, {2, 3, 2}},
    {"gru", gru, 2, {3, 5}},
    {"quantise", quantise, 3, {2, 4, 3}},
    {"flatten_first", flatten_first, 3, {2, 4, 3}},
    {"exits", exits, 3, {2, 6, 6}},
};
const size_t es_train_case_count = sizeof es_train_cases / sizeof es_train_cases[0];

void es_train_random_values(es_rng *rng, double scale, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(scale * (2 * es_rng_double(rng) - 1));
}

static void random_params(es_nn *nn, es_rng *rng)
{
    for (size_t i = 0; i < nn->layers.count; i++) {
        es_nn_layer *layer = &nn->layers.items[i];
        for (size_t p = 0; p < layer->param_count; p++) {
            es_nn_param *param = &layer->params[p];
            bool positive = param->role == ES_NN_GAMMA || param->role == ES_NN_VARIANCE ||
                            param->role == ES_NN_FACTOR;
            es_train_random_values(rng, 0.5, param->count, param->values);
            for (size_t k = 0; positive && k < param->count; k++)
                param->values[k] += 1.2F;
            if (layer->kind == ES_NN_QUANTISE)
                param->values[0] = param->role == ES_NN_FACTOR ? 0.005F : 120;
        }
    }
}

es_nn *es_train_case_make(es_arena *arena, const es_train_case *made, uint64_t seed)
{
    es_error err = {0};
    es_nn *nn = NULL;
    es_rng rng = es_rng_make(seed, 7);
    assert_ok_err(
        es_nn_new(arena, made->name, "x", es_nn_shape_of(made->rank, made->dims), &nn, &err), err);
    made->build(nn);
    random_params(nn, &rng);
    return nn;
}

/* ---- at random ---- */

static es_nn_id random_layer(es_nn *nn, es_rng *rng, es_nn_id from)
{
    const es_nn_shape shape = nn->layers.items[from.index].shape;
    es_nn_layer layer = window(ES_NN_CONV, from, 1 + 2 * es_rng_below(rng, 2), 1, 0);
    size_t widths[] = {3, 8, 16, 20, 32};
    layer.window.pad_before[0] = layer.window.pad_before[1] = layer.window.kernel[0] / 2;
    layer.window.pad_after[0] = layer.window.pad_after[1] = layer.window.kernel[0] / 2;
    switch (es_rng_below(rng, 12)) {
    case 0:
    case 1:
        layer.window.stride[0] = layer.window.stride[1] = 1 + es_rng_below(rng, 2);
        return add(nn, layer, widths[es_rng_below(rng, 5)], es_rng_below(rng, 2) == 0);
    case 2:
        layer.groups = shape.dims[0];
        return add(nn, layer, shape.dims[0], false);
    case 3:
    case 4:
        return one(nn, ES_NN_BATCH_NORM, from);
    case 5:
        return one(nn, ES_NN_RELU, one(nn, ES_NN_BATCH_NORM, from));
    case 6:
        return one(nn, es_rng_below(rng, 2) == 0 ? ES_NN_RELU : ES_NN_RELU6, from);
    case 7:
        return one(nn, ES_NN_HARD_SWISH, from);
    case 8:
        layer =
            window(es_rng_below(rng, 2) == 0 ? ES_NN_MAX_POOL : ES_NN_AVERAGE_POOL, from, 2, 1, 0);
        return shape.dims[1] > 2 && shape.dims[2] > 2 ? add(nn, layer, 0, false) : from;
    case 9:
        layer = window(ES_NN_CONV, from, 3, 1, 1);
        return two(nn, ES_NN_ADD, from, add(nn, layer, shape.dims[0], true));
    case 10:
        return two(nn, ES_NN_CONCAT, from, add(nn, layer, widths[es_rng_below(rng, 5)], false));
    default:
        return add(nn, (es_nn_layer){.kind = ES_NN_DROPOUT, .inputs = {from}, .rate = 0.3}, 0,
                   false);
    }
}

es_nn *es_train_random_net(es_arena *arena, uint64_t seed)
{
    es_error err = {0};
    es_nn *nn = NULL;
    es_rng rng = es_rng_make(seed, 3);
    const size_t dims[] = {1 + 2 * es_rng_below(&rng, 2), 7 + es_rng_below(&rng, 4), 8};
    assert_ok_err(es_nn_new(arena, "random", "x", es_nn_shape_of(3, dims), &nn, &err), err);
    es_nn_id last = add(nn, window(ES_NN_CONV, input, 3, 1, 1), 8, true);
    size_t depth = 3 + es_rng_below(&rng, 6);
    for (size_t i = 0; i < depth; i++) {
        last = random_layer(nn, &rng, last);
        if (es_rng_below(&rng, 5) == 0 && nn->output_count < 3)
            out(nn, add(nn, window(ES_NN_CONV, last, 1, 1, 0), 2, true));
        if (es_rng_below(&rng, 8) == 0)
            nn->layers.items[last.index].frozen = true;
    }
    es_nn_id flat = one(nn, es_rng_below(&rng, 2) == 0 ? ES_NN_FLATTEN : ES_NN_GLOBAL_POOL, last);
    out(nn, add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {flat}}, 10, true));
    es_nn_init(nn, seed);
    return nn;
}
