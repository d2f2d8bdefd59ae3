/* Building by hand: shapes, parameters, figures, and what is refused. */
#include "test_nn.h"

static const es_nn_id input = {0};

static void shapes_of_every_kind(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 32, 20));
    es_nn_id conv = test_conv(nn, "c", input, 8, 3, 2);
    assert_shape(nn, conv, 8, 16, 10);
    es_nn_layer depthwise = test_window(ES_NN_CONV, conv, 5, 1);
    depthwise.groups = 8;
    depthwise.window.dilation[0] = 2;
    es_nn_id deep = test_add(nn, depthwise, 16, true);
    assert_shape(nn, deep, 16, 12, 10);
    const es_nn_layer *layer = &nn->layers.items[deep.index];
    assert_int_equal(layer->param_count, 2);
    assert_int_equal(layer->params[0].dims[1], 1);
    assert_int_equal(layer->params[0].count, 16 * 25);
    assert_shape(nn, test_plain(nn, ES_NN_BATCH_NORM, deep), 16, 12, 10);
    es_nn_layer pool = test_window(ES_NN_MAX_POOL, deep, 2, 2);
    pool.window.pad_before[0] = pool.window.pad_before[1] = 0;
    assert_shape(nn, test_add(nn, pool, 0, false), 16, 6, 5);
    assert_shape(nn, test_plain(nn, ES_NN_GLOBAL_POOL, deep), 16);
    assert_shape(nn, test_two(nn, ES_NN_ADD, conv, conv), 8, 16, 10);
    assert_shape(nn, test_two(nn, ES_NN_CONCAT, conv, conv), 16, 16, 10);
    es_nn_layer up = {.kind = ES_NN_UPSAMPLE, .input_count = 1, .inputs = {conv}};
    up.window.stride[0] = 2;
    up.window.stride[1] = 3;
    assert_shape(nn, test_add(nn, up, 0, false), 8, 32, 30);
    es_nn_id flat = test_plain(nn, ES_NN_FLATTEN, conv);
    assert_shape(nn, flat, 1280);
    assert_shape(nn, test_dense(nn, "d", flat, 10), 10);
    assert_shape(nn, test_plain(nn, ES_NN_SOFTMAX, flat), 1280);
    es_arena_free(arena);
}

static void shapes_of_series(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(6, 50));
    es_nn_layer causal = {.kind = ES_NN_CONV,
                          .input_count = 1,
                          .inputs = {input},
                          .window = {.kernel = {3}, .dilation = {4}, .pad_before = {8}}};
    es_nn_id conv = test_add(nn, causal, 12, true);
    assert_shape(nn, conv, 12, 50);
    assert_int_equal(nn->layers.items[conv.index].params[0].rank, 3);
    es_nn_id gru =
        test_add(nn, (es_nn_layer){.kind = ES_NN_GRU, .input_count = 1, .inputs = {conv}}, 7, true);
    assert_shape(nn, gru, 7, 50);
    es_nn_layer *layer = &nn->layers.items[gru.index];
    assert_int_equal(es_nn_param_of(layer, ES_NN_WEIGHT)->count, 21 * 12);
    assert_int_equal(es_nn_param_of(layer, ES_NN_RECURRENT)->count, 21 * 7);
    assert_int_equal(es_nn_param_of(layer, ES_NN_BIAS)->count, 42);
    assert_null(es_nn_param_of(layer, ES_NN_GAMMA));
    assert_shape(nn, test_plain(nn, ES_NN_LAST, gru), 7);
    assert_int_equal(es_nn_layer_work(nn, gru).macs, 50 * (21 * 12 + 21 * 7));
    es_arena_free(arena);
}

static void names_are_made_and_unique(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(4));
    es_nn_layer relu = {.kind = ES_NN_RELU, .input_count = 1, .name = "relu-2"};
    (void)test_add(nn, relu, 0, false);
    es_nn_id made = test_plain(nn, ES_NN_RELU, input);
    assert_string_equal(nn->layers.items[made.index].name, "relu-3");
    assert_int_equal(es_nn_find(nn, "relu-3").index, made.index);
    assert_false(es_nn_is(es_nn_find(nn, "relu")));
    assert_fails(es_nn_add(nn, &relu, 0, false, NULL, &err), ES_ERR_ARG, err,
                 "layer 'relu-2' (relu): the name is taken already");
    es_arena_free(arena);
}

static void add_fails(es_nn *nn, es_nn_layer layer, size_t units, const char *words)
{
    es_error err = {0};
    size_t before = nn->layers.count;
    layer.input_count = layer.input_count > 0 ? layer.input_count : 1;
    layer.name = "bad";
    assert_fails(es_nn_add(nn, &layer, units, true, NULL, &err), ES_ERR_ARG, err, words);
    assert_int_equal(nn->layers.count, before);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(6, 8, 8));
    es_nn_layer conv = test_window(ES_NN_CONV, input, 3, 1);
    add_fails(nn, (es_nn_layer){.kind = ES_NN_DENSE}, 3,
              "layer 'bad' (dense): its input is {6 x 8 x 8}, expected {features}");
    add_fails(nn, conv, 0, "0 units");
    conv.groups = 4;
    add_fails(nn, conv, 8, "4 groups, which must divide 6 input and 8 output channels");
    conv.groups = 1;
    conv.window.kernel[0] = 40;
    add_fails(nn, conv, 8, "a window reaches over 40 places, its padded input has 10");
    conv.window.kernel[0] = 0;
    add_fails(nn, conv, 8, "kernel 0");
    conv.window.kernel[0] = SIZE_MAX;
    add_fails(nn, conv, 8, "kernel 1844");
    es_nn_layer pool = test_window(ES_NN_MAX_POOL, input, 2, 2);
    pool.window.pad_after[1] = 2;
    add_fails(nn, pool, 0, "padding 1 and 2 must be below the kernel, 2");
    pool.window.pad_after[1] = 1;
    pool.window.dilation[0] = 2;
    add_fails(nn, pool, 0, "dilation 2, must be 1");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_ADD}, 0, "1 inputs, expected 2 or more");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_RELU, .input_count = 2}, 0, "2 inputs, expected 1");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_RELU, .input_count = 9}, 0, "at most 8");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_RELU, .inputs = {{7}}}, 0, "input 0 is layer 7");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_INPUT}, 0, "one input");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_DROPOUT, .rate = 1}, 0, "rate 1");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_BATCH_NORM, .epsilon = -1}, 0, "epsilon -1");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_LAST}, 0, "expected {channels, steps}");
    es_nn_id half = test_conv(nn, "half", input, 6, 3, 2);
    add_fails(nn, (es_nn_layer){.kind = ES_NN_ADD, .input_count = 2, .inputs = {input, half}}, 0,
              "'x' is {6 x 8 x 8} and 'half' is {6 x 4 x 4}, must be the same");
    add_fails(nn, (es_nn_layer){.kind = ES_NN_CONCAT, .input_count = 2, .inputs = {input, half}}, 0,
              "may differ in channels only");
    es_arena_free(arena);
}

static void sizes_that_wrap_are_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_nn *nn = NULL;
    es_arena *arena = es_arena_new(1000 * 1000);
    es_nn_shape huge = {.rank = 3, .dims = {(size_t)1 << 30, (size_t)1 << 30, (size_t)1 << 30}};
    assert_fails(es_nn_new(arena, "n", "x", huge, &nn, &err), ES_ERR_ARG, err,
                 "net 'n': layer 'x' (input): more values than can be counted");
    assert_fails(es_nn_new(arena, "n", "x", (es_nn_shape){0}, &nn, &err), ES_ERR_ARG, err,
                 "0 dimensions");
    assert_null(nn);
    nn = test_net(arena, SHAPE((size_t)1 << 40));
    es_nn_layer dense = {.kind = ES_NN_DENSE, .input_count = 1};
    assert_fails(es_nn_add(nn, &dense, 1 << 24, false, NULL, &err), ES_ERR_ARG, err,
                 "more parameters than can be counted");
    assert_fails(es_nn_add(nn, &dense, 1 << 20, false, NULL, &err), ES_ERR_NOMEM, err, "");
    es_arena_free(arena);
}

static void outputs_and_exits(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(4));
    assert_fails(es_nn_exit_add(nn, "e", input, &err), ES_ERR_ARG, err, "no output of its own");
    es_nn_id a = test_dense(nn, "a", input, 5);
    es_nn_id early = test_dense(nn, "early", a, 2);
    es_nn_id b = test_dense(nn, "b", a, 6);
    es_nn_id middle = test_dense(nn, "middle", b, 2);
    es_nn_id last = test_dense(nn, "last", b, 3);
    test_output(nn, NULL, last);
    assert_ok_err(es_nn_exit_add(nn, "exit1", early, &err), err);
    assert_ok_err(es_nn_exit_add(nn, "exit2", middle, &err), err);
    assert_string_equal(nn->outputs[0].name, "exit1");
    assert_string_equal(nn->outputs[1].name, "exit2");
    assert_string_equal(nn->outputs[2].name, "last");
    assert_fails(es_nn_output_add(nn, "last", a, &err), ES_ERR_ARG, err, "taken already");
    assert_fails(es_nn_output_add(nn, "z", (es_nn_id){9}, &err), ES_ERR_ARG, err, "layer 9");

    assert_int_equal(es_nn_macs_between(nn, SIZE_MAX, 0), 4 * 5 + 5 * 2);
    assert_int_equal(es_nn_macs_between(nn, 0, 1), 5 * 6 + 6 * 2);
    assert_int_equal(es_nn_macs_between(nn, 1, 2), 6 * 3);
    assert_int_equal(es_nn_macs_between(nn, 0, 2), 5 * 6 + 6 * 3);
    assert_int_equal(es_nn_macs_between(nn, SIZE_MAX, 2), 4 * 5 + 5 * 6 + 6 * 3);
    assert_int_equal(es_nn_work_of(nn).macs, 20 + 10 + 30 + 12 + 18);
    assert_int_equal(es_nn_work_of(nn).params, 20 + 5 + 10 + 2 + 30 + 6 + 12 + 2 + 18 + 3);
    es_arena_free(arena);
}

/* A norm behind a convolution without bias counts as the bias it becomes; elsewhere in full. */
static void params_are_those_of_the_folded_net(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(2, 4, 4));
    es_nn_id conv = test_conv(nn, "c", input, 8, 3, 1);
    es_nn_id norm = test_plain(nn, ES_NN_BATCH_NORM, conv);
    es_nn_id relu = test_plain(nn, ES_NN_RELU, norm);
    es_nn_id late = test_plain(nn, ES_NN_BATCH_NORM, relu);
    test_output(nn, "y", late);
    assert_int_equal(es_nn_layer_work(nn, conv).params, 8 * 2 * 9);
    assert_int_equal(es_nn_layer_work(nn, conv).macs, 8 * 16 * 2 * 9);
    assert_int_equal(es_nn_layer_work(nn, norm).params, 8);
    assert_int_equal(es_nn_layer_work(nn, late).params, 32);
    test_output(nn, "raw", conv); /* now the convolution has another user */
    assert_int_equal(es_nn_layer_work(nn, norm).params, 32);
    assert_int_equal(es_nn_work_of(nn).param_bytes, 4 * (144 + 32 + 32));
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_of_every_kind),
        cmocka_unit_test(shapes_of_series),
        cmocka_unit_test(names_are_made_and_unique),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(sizes_that_wrap_are_refused),
        cmocka_unit_test(outputs_and_exits),
        cmocka_unit_test(params_are_those_of_the_folded_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
