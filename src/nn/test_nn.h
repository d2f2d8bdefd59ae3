/*
 * test_nn: short ways to build nets in tests.
 */
#ifndef ES_NN_TEST_NN_H
#define ES_NN_TEST_NN_H

#include "es_test.h"
#include "nn/nn.h"

enum { TEST_ARENA_BYTES = 256 * 1000 * 1000 };

#define SHAPE(...)                                                                                 \
    es_nn_shape_of(sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t),                         \
                   (const size_t[]){__VA_ARGS__})

#define assert_shape(nn, id, ...)                                                                  \
    do {                                                                                           \
        es_nn_id id_ = (id); /* first: it may add layers */                                        \
        char got_[ES_NN_SHAPE_TEXT], wanted_[ES_NN_SHAPE_TEXT];                                    \
        assert_string_equal(es_nn_shape_text((nn)->layers.items[id_.index].shape, got_),           \
                            es_nn_shape_text(SHAPE(__VA_ARGS__), wanted_));                        \
    } while (0)

static inline es_nn *test_net(es_arena *arena, es_nn_shape shape)
{
    es_error err = {0};
    es_nn *nn = NULL;
    assert_ok_err(es_nn_new(arena, "test", "x", shape, &nn, &err), err);
    return nn;
}

static inline es_nn_id test_add(es_nn *nn, es_nn_layer layer, size_t units, bool bias)
{
    es_error err = {0};
    es_nn_id id = ES_NN_NONE;
    assert_ok_err(es_nn_add(nn, &layer, units, bias, &id, &err), err);
    return id;
}

/* A layer without parameters of its own making: relu, batch norm, flatten, ... */
static inline es_nn_id test_plain(es_nn *nn, es_nn_kind kind, es_nn_id input)
{
    return test_add(nn, (es_nn_layer){.kind = kind, .input_count = 1, .inputs = {input}}, 0, false);
}

static inline es_nn_id test_two(es_nn *nn, es_nn_kind kind, es_nn_id a, es_nn_id b)
{
    return test_add(nn, (es_nn_layer){.kind = kind, .input_count = 2, .inputs = {a, b}}, 0, false);
}

/* Square kernel, padded to keep rows and columns at stride 1. */
static inline es_nn_layer test_window(es_nn_kind kind, es_nn_id input, size_t kernel, size_t stride)
{
    size_t pad = kernel / 2;
    return (es_nn_layer){.kind = kind,
                         .input_count = 1,
                         .inputs = {input},
                         .window = {.kernel = {kernel, kernel},
                                    .stride = {stride, stride},
                                    .pad_before = {pad, pad},
                                    .pad_after = {pad, pad}}};
}

static inline es_nn_id test_conv(es_nn *nn, const char *name, es_nn_id input, size_t units,
                                 size_t kernel, size_t stride)
{
    es_nn_layer layer = test_window(ES_NN_CONV, input, kernel, stride);
    layer.name = name;
    return test_add(nn, layer, units, false);
}

static inline es_nn_id test_dense(es_nn *nn, const char *name, es_nn_id input, size_t units)
{
    return test_add(
        nn, (es_nn_layer){.kind = ES_NN_DENSE, .name = name, .input_count = 1, .inputs = {input}},
        units, true);
}

static inline void test_output(es_nn *nn, const char *name, es_nn_id id)
{
    es_error err = {0};
    assert_ok_err(es_nn_output_add(nn, name, id, &err), err);
}

static inline void test_seal(es_nn *nn)
{
    es_error err = {0};
    assert_ok_err(es_nn_seal(nn, &err), err);
}

#endif
