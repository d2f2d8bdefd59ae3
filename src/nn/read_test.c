/* ONNX -> net: what we write comes back; what exporters write is understood; the rest is refused.
 */
#include "nn/testing/forward.h"
#include "nn/testing/random_net.h"
#include "test_nn.h"

#include <math.h>

enum { SEEDS = 300 };

static es_nn *read_back(es_arena *arena, const es_model *model)
{
    es_error err = {0};
    es_nn *nn = NULL;
    assert_ok_err(es_nn_from_model(arena, model, &nn, &err), err);
    return nn;
}

static const es_model *written(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    const es_model *model = NULL;
    assert_ok_err(es_nn_to_model(arena, nn, false, &model, &err), err);
    return model;
}

/* Dropouts are not written: take them out of what is expected. */
static void drop_dropouts(es_nn *nn)
{
    es_error err = {0};
    for (uint32_t i = 0; i < nn->layers.count; i++) {
        if (nn->layers.items[i].kind == ES_NN_DROPOUT)
            assert_ok_err(es_nn_replace(nn, (es_nn_id){i}, nn->layers.items[i].inputs[0], &err),
                          err);
    }
    test_seal(nn);
}

static void assert_same_layer(const es_nn *got_nn, const es_nn *wanted_nn, size_t i, uint64_t seed)
{
    const es_nn_layer *got = &got_nn->layers.items[i];
    const es_nn_layer *wanted = &wanted_nn->layers.items[i];
    if (got->kind != wanted->kind || got->input_count != wanted->input_count ||
        !es_nn_shape_same(got->shape, wanted->shape) || got->param_count != wanted->param_count)
        fail_msg("ES_SEED=%" PRIu64 ": layer %zu is %s '%s', expected %s '%s'", seed, i,
                 es_nn_kind_name(got->kind), got->name, es_nn_kind_name(wanted->kind),
                 wanted->name);
    for (size_t k = 0; k < got->input_count; k++)
        assert_int_equal(got->inputs[k].index, wanted->inputs[k].index);
    for (size_t p = 0; p < got->param_count; p++) {
        assert_int_equal(got->params[p].role, wanted->params[p].role);
        assert_int_equal(got->params[p].count, wanted->params[p].count);
        assert_memory_equal(got->params[p].values, wanted->params[p].values,
                            got->params[p].count * sizeof(float));
    }
    for (size_t o = 0; o < wanted_nn->output_count; o++) {
        if (wanted_nn->outputs[o].layer.index == i)
            return; /* called like the output */
    }
    assert_string_equal(got->name, wanted->name);
}

/* Layer by layer, name by name, bit by bit. */
static void what_is_written_comes_back(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, false);
        drop_dropouts(nn);
        es_nn *back = read_back(arena, written(arena, nn));
        assert_int_equal(back->layers.count, nn->layers.count);
        for (size_t i = 0; i < nn->layers.count; i++)
            assert_same_layer(back, nn, i, seed);
        assert_int_equal(back->output_count, nn->output_count);
        for (size_t i = 0; i < nn->output_count; i++) {
            assert_string_equal(back->outputs[i].name, nn->outputs[i].name);
            assert_int_equal(back->outputs[i].layer.index, nn->outputs[i].layer.index);
        }
        es_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
