/* Copies share nothing; sealing drops, sorts, and refuses what does not fit. */
#include "test_nn.h"

static const es_nn_id input = {0};

static void a_copy_shares_nothing(void **state)
{
    (void)state;
    es_error err = {0};
    es_nn *copy = NULL;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_arena *other = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(8));
    nn->channels_last = true;
    es_nn_id dense = test_dense(nn, "d", input, 16);
    test_output(nn, "y", dense);
    es_nn_init(nn, 1);
    float first = nn->layers.items[dense.index].params[0].values[0];
    assert_ok_err(es_nn_copy(other, nn, &copy, &err), err);
    nn->layers.items[dense.index].params[0].values[0] = 99;
    es_arena_free(arena);
    assert_true(copy->layers.items[dense.index].params[0].values[0] == first);
    assert_string_equal(copy->layers.items[1].name, "d");
    assert_string_equal(copy->outputs[0].name, "y");
    assert_true(copy->channels_last);
    es_arena_free(other);
}

static void what_no_output_needs_goes(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(8));
    (void)test_dense(nn, "unused", input, 3);
    es_nn_id a = test_dense(nn, "a", input, 4);
    (void)test_dense(nn, "after", a, 5);
    test_output(nn, "y", a);
    test_seal(nn);
    assert_int_equal(nn->layers.count, 2);
    assert_string_equal(nn->layers.items[1].name, "a");
    assert_int_equal(nn->outputs[0].layer.index, 1);
    es_arena_free(arena);
}

/* a takes its input from a later layer, as after a replacement. */
static void order_is_restored(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(8));
    es_nn_id a = test_dense(nn, "a", input, 4);
    es_nn_id b = test_plain(nn, ES_NN_RELU, a);
    es_nn_id late = test_plain(nn, ES_NN_TANH, test_plain(nn, ES_NN_SIGMOID, input));
    test_output(nn, "y", b);
    nn->layers.items[a.index].inputs[0] = late;
    assert_int_equal(es_nn_work_of(nn).macs, 32);
    test_seal(nn);
    assert_int_equal(nn->layers.count, 5);
    for (uint32_t i = 1; i < nn->layers.count; i++)
        assert_true(nn->layers.items[i].inputs[0].index < i);
    assert_string_equal(nn->layers.items[3].name, "a");
    assert_int_equal(nn->outputs[0].layer.index, 4);
    es_arena_free(arena);
}

static void a_loop_is_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(8));
    es_nn_id a = test_plain(nn, ES_NN_RELU, input);
    es_nn_id b = test_two(nn, ES_NN_ADD, a, input);
    test_output(nn, "y", b);
    nn->layers.items[a.index].inputs[0] = b;
    assert_fails(es_nn_seal(nn, &err), ES_ERR_ARG, err, "which needs it");
    es_arena_free(arena);
}

/* Changing what a layer reads changes shapes behind it, and parameters may no longer fit. */
static void shapes_follow_and_parameters_must_fit(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 8, 8));
    es_nn_id c = test_conv(nn, "c", input, 4, 3, 1);
    es_nn_id up = test_add(
        nn, (es_nn_layer){.kind = ES_NN_UPSAMPLE, .input_count = 1, .window = {.stride = {2, 2}}},
        0, false);
    es_nn_id relu = test_plain(nn, ES_NN_RELU, c);
    test_output(nn, "y", relu);
    nn->layers.items[c.index].inputs[0] = up;
    test_seal(nn);
    assert_shape(nn, nn->outputs[0].layer, 4, 16, 16);
    nn->layers.items[es_nn_find(nn, "c").index].params[0].dims[1] = 2;
    assert_fails(es_nn_seal(nn, &err), ES_ERR_ARG, err,
                 "layer 'c' (conv): parameter 0: dimension 1 is 2");
    nn->output_count = 0;
    assert_fails(es_nn_seal(nn, &err), ES_ERR_ARG, err, "net 'test' has no output");
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_shares_nothing),
        cmocka_unit_test(what_no_output_needs_goes),
        cmocka_unit_test(order_is_restored),
        cmocka_unit_test(a_loop_is_refused),
        cmocka_unit_test(shapes_follow_and_parameters_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
