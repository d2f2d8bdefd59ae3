/* Nets as ONNX: the model module infers the shapes and work we counted; names stay. */
#include "nn/testing/random_net.h"
#include "test_nn.h"

enum { SEEDS = 200 };

static const es_nn_id input = {0};

static const es_model *written(es_arena *arena, const es_nn *nn, bool fold)
{
    es_error err = {0};
    const es_model *model = NULL;
    assert_ok_err(es_nn_to_model(arena, nn, fold, &model, &err), err);
    return model;
}

static const es_model_analysis *analysed(es_arena *arena, const es_model *model)
{
    es_error err = {0};
    const es_model_analysis *analysis = NULL;
    assert_ok_err(es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, &err),
                  err);
    return analysis;
}

static void assert_value(const es_model_analysis *analysis, const es_nn_layer *layer)
{
    const es_model_tensor *value = es_model_analysis_find(analysis, layer->name);
    if (value == NULL) /* outputs have their own name, dropouts none */
        return;
    assert_int_equal(value->rank, layer->shape.rank + 1);
    for (size_t d = 0; d < layer->shape.rank; d++)
        assert_int_equal(value->dims[d + 1], layer->shape.dims[d]);
}

static void the_model_agrees_on_shapes_and_work(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, false);
        const es_model_analysis *analysis = analysed(arena, written(arena, nn, false));
        assert_int_equal(analysis->unknown_count, 0);
        assert_int_equal(analysis->macs, es_nn_work_of(nn).macs);
        for (size_t i = 0; i < nn->layers.count; i++)
            assert_value(analysis, &nn->layers.items[i]);
        const es_model_analysis *folded = analysed(arena, written(arena, nn, true));
        assert_int_equal(folded->unknown_count, 0);
        assert_int_equal(folded->macs, analysis->macs);
        assert_true(folded->node_count <= analysis->node_count);
        es_arena_free(arena);
    }
}

/* Outputs on one layer, on the input, and with another layer's name. */
static void awkward_names(void **state)
{
    (void)state;
    es_error err = {0};
    const es_model *model = NULL;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3));
    es_nn_id a = test_dense(nn, "a", input, 2);
    es_nn_id clash = test_dense(nn, "b.weight", a, 2);
    es_nn_id b = test_dense(nn, "b", clash, 2);
    test_output(nn, "copy", input);
    test_output(nn, "a", b);
    test_output(nn, "again", b);
    model = written(arena, nn, false);
    assert_int_equal(es_model_output_count(model), 3);
    assert_string_equal(es_model_output(model, 1)->name, "a");
    assert_int_equal(es_model_node_count(model), 5);
    const es_model_analysis *analysis = analysed(arena, model);
    assert_non_null(es_model_analysis_find(analysis, "a.value"));
    assert_non_null(es_model_analysis_find(analysis, "b.weight_"));
    test_output(nn, "x", b);
    assert_fails(es_nn_to_model(arena, nn, false, &model, &err), ES_ERR_ARG, err,
                 "output 'x' has the name of the input");
    es_arena_free(arena);
}

static void channels_last_is_a_transpose_in_the_file(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3, 8, 10));
    nn->channels_last = true;
    es_nn_id drop = test_plain(nn, ES_NN_DROPOUT, input);
    test_output(nn, "y", test_conv(nn, "c", drop, 4, 3, 1));
    const es_model *model = written(arena, nn, true);
    const es_model_tensor *x = es_model_input(model, 0);
    assert_int_equal(x->rank, 4);
    assert_string_equal(x->symbols[0], "batch");
    assert_int_equal(x->dims[1], 8);
    assert_int_equal(x->dims[2], 10);
    assert_int_equal(x->dims[3], 3);
    assert_int_equal(es_model_node_count(model), 2);
    assert_int_equal(es_model_output(model, 0)->dims[1], 4);
    assert_int_equal(es_model_opset_of(model, ""), 17);
    es_arena_free(arena);
}

static void a_payload_needs_a_scale_of_bytes(void **state)
{
    (void)state;
    es_error err = {0};
    const es_model *model = NULL;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3));
    es_nn_id q = test_plain(nn, ES_NN_QUANTISE, input);
    test_output(nn, "y", q);
    es_nn_layer *layer = &nn->layers.items[q.index];
    layer->params[1].values[0] = 12.5F;
    assert_fails(es_nn_to_model(arena, nn, false, &model, &err), ES_ERR_ARG, err,
                 "factor 1 and offset 12.5");
    layer->params[1].values[0] = 12;
    layer->params[0].values[0] = 0;
    assert_fails(es_nn_to_model(arena, nn, false, &model, &err), ES_ERR_ARG, err, "factor 0");
    layer->params[0].values[0] = 0.5F;
    assert_non_null(written(arena, nn, false));
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_agrees_on_shapes_and_work),
        cmocka_unit_test(awkward_names),
        cmocka_unit_test(channels_last_is_a_transpose_in_the_file),
        cmocka_unit_test(a_payload_needs_a_scale_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
