/* Folding, equalising and halving keep what a model computes. */
#include "compress/testing/shared.h"

static const double same = 1e-10; /* noise over signal of float arithmetic */

/* x -> Conv -> BatchNorm -> Relu -> [Pad] -> depthwise Conv -> Add(per channel) -> Mul(per channel)
 * -> Relu -> pool of all -> Flatten -> MatMul -> Add: everything that folds, by chance. */
static const es_model *draw_net(fixture *all, es_rng *rng, int64_t opset, size_t *foldable)
{
    es_arena *a = all->arena;
    int64_t in = 1 + (int64_t)es_rng_below(rng, 4);
    int64_t mid = 2 + (int64_t)es_rng_below(rng, 6);
    int64_t out = 2 + (int64_t)es_rng_below(rng, 5);
    es_model_build *b = es_model_build_new(a, "net", opset);
    *foldable = 0;
    float_input(b, "x", DIMS(1, in, 8, 8));
    random_weight(b, a, rng, "w1", DIMS(mid, in, 3, 3), 0.3);
    random_weight(b, a, rng, "b1", DIMS(mid), 0.1);
    bool biased = es_rng_below(rng, 2) == 0;
    es_model_build_node(b, "Conv", NULL, "", NAMES("x", "w1", biased ? "b1" : ""), NAMES("c1"));
    es_model_build_ints(b, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    const char *at = "c1";
    if (es_rng_below(rng, 3) > 0) {
        random_weight(b, a, rng, "gamma", DIMS(mid), 1);
        random_weight(b, a, rng, "beta", DIMS(mid), 0.5);
        random_weight(b, a, rng, "mean", DIMS(mid), 0.5);
        float variance[16];
        for (int64_t i = 0; i < mid; i++)
            variance[i] = (float)(0.2 + es_rng_double(rng));
        es_model_build_weight(b, "variance", ES_MODEL_FLOAT, DIMS(mid), variance,
                              (size_t)mid * sizeof(float));
        es_model_build_node(b, "BatchNormalization", NULL, "",
                            NAMES(at, "gamma", "beta", "mean", "variance"), NAMES("n1"));
        es_model_build_float(b, "epsilon", 1e-3f);
        at = "n1";
        *foldable += 1;
    }
    es_model_build_node(b, "Relu", NULL, "", NAMES(at), NAMES("r1"));
    at = "r1";
    if (es_rng_below(rng, 2) == 0) {
        const int64_t pads[8] = {0, 0, 0, 1, 0, 0, 1, 0};
        es_model_build_weight(b, "pads", ES_MODEL_INT64, DIMS(8), pads, sizeof pads);
        es_model_build_node(b, "Pad", NULL, "", NAMES(at, "pads"), NAMES("p1"));
        at = "p1";
        *foldable += 1;
    }
    random_weight(b, a, rng, "w2", DIMS(mid, 1, 3, 3), 0.4);
    es_model_build_node(b, "Conv", NULL, "", NAMES(at, "w2"), NAMES("c2"));
    es_model_build_int(b, "group", mid);
    random_weight(b, a, rng, "shift", DIMS(mid, 1, 1), 0.5);
    random_weight(b, a, rng, "factor", DIMS(1, mid, 1, 1), 1);
    es_model_build_node(b, "Add", NULL, "", NAMES("shift", "c2"), NAMES("a2"));
    es_model_build_node(b, "Mul", NULL, "", NAMES("a2", "factor"), NAMES("m2"));
    *foldable += 2;
    es_model_build_node(b, "Identity", NULL, "", NAMES("m2"), NAMES("i2"));
    es_model_build_node(b, "Relu", NULL, "", NAMES("i2"), NAMES("r2"));
    es_model_build_node(b, "GlobalAveragePool", NULL, "", NAMES("r2"), NAMES("g2"));
    es_model_build_node(b, "Flatten", NULL, "", NAMES("g2"), NAMES("f2"));
    random_weight(b, a, rng, "w3", DIMS(mid, out), 0.5);
    random_weight(b, a, rng, "b3", DIMS(1, out), 0.5);
    es_model_build_node(b, "MatMul", NULL, "", NAMES("f2", "w3"), NAMES("d3"));
    es_model_build_node(b, "Add", NULL, "", NAMES("d3", "b3"), NAMES("y"));
    *foldable += 2; /* with the identity */
    float_output(b, "y");
    return finish(b);
}

static void folded_nets_compute_the_same(void **state)
{
    fixture *all = fixture_get(state);
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + 60; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_arena_reset(all->arena);
        size_t foldable = 0;
        const es_model *model = draw_net(all, &rng, 13, &foldable);
        const es_model *folded = NULL;
        es_error err = {0};
        assert_ok_err(es_fold_layers(all->arena, model, &folded, &err), err);
        const es_model_tensor *x = es_model_input(model, 0);
        es_dataset set = make_samples(all->arena, &rng, 3, 3, x->dims + 1, false);
        double noise = noise_between(all, model, folded, &set);
        if (!(noise < same) || es_model_node_count(model) - es_model_node_count(folded) != foldable)
            fail_msg("seed %" PRIu64 ": noise %g, %zu nodes of %zu, %zu fold", seed, noise,
                     es_model_node_count(folded), es_model_node_count(model), foldable);
    }
}

/* Grouped transposed convolutions have their channels elsewhere. */
static void transposed_convolutions_take_batch_norms(void **state)
{
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(es_test_seed(2), 0);
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 4, 5, 5));
    random_weight(b, all->arena, &rng, "w", DIMS(4, 3, 2, 2), 0.5);
    es_model_build_node(b, "ConvTranspose", NULL, "", NAMES("x", "w"), NAMES("c"));
    es_model_build_int(b, "group", 2);
    const float numbers[6] = {1, 2, 0.5f, 1, 3, 0.25f};
    es_model_build_weight(b, "n", ES_MODEL_FLOAT, DIMS(6), numbers, sizeof numbers);
    es_model_build_node(b, "BatchNormalization", NULL, "", NAMES("c", "n", "n", "n", "n"),
                        NAMES("y"));
    float_output(b, "y");
    const es_model *model = finish(b);
    const es_model *folded = NULL;
    es_error err = {0};
    assert_ok_err(es_fold_layers(all->arena, model, &folded, &err), err);
    assert_int_equal(es_model_node_count(folded), 1);
    es_dataset set = make_samples(all->arena, &rng, 3, DIMS(4, 5, 5), false);
    assert_true(noise_between(all, model, folded, &set) < same);
}

/* What only looks as if it folded stays. */
static void what_others_see_is_left_alone(void **state)
{
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(es_test_seed(3), 0);
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 2, 4, 4));
    random_weight(b, all->arena, &rng, "w", DIMS(4, 2, 1, 1), 0.5);
    random_weight(b, all->arena, &rng, "places", DIMS(1, 1, 4, 4), 0.5); /* not per channel */
    random_weight(b, all->arena, &rng, "s", DIMS(4, 1, 1), 0.5);
    es_model_build_node(b, "Conv", NULL, "", NAMES("x", "w"), NAMES("c"));
    es_model_build_node(b, "Add", NULL, "", NAMES("c", "places"), NAMES("a"));
    es_model_build_node(b, "Conv", NULL, "", NAMES("x", "w"), NAMES("d"));
    es_model_build_node(b, "Add", NULL, "", NAMES("d", "s"), NAMES("e")); /* d goes out too */
    es_model_build_node(b, "Mul", NULL, "", NAMES("a", "e"), NAMES("y"));
    float_output(b, "y");
    float_output(b, "d");
    const es_model *model = finish(b);
    const es_model *folded = NULL;
    es_error err = {0};
    assert_ok_err(es_fold_layers(all->arena, model, &folded, &err), err);
    assert_int_equal(es_model_node_count(folded), 5);
}

/* An average over all places is a global one; a Relu behind a MaxPool goes before it. */
static void pools_are_put_right(void **state)
{
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(es_test_seed(7), 0);
    es_error err = {0};
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 2, 8, 6));
    random_weight(b, all->arena, &rng, "w", DIMS(4, 2, 1, 1), 0.5);
    es_model_build_node(b, "Conv", NULL, "", NAMES("x", "w"), NAMES("c"));
    es_model_build_node(b, "MaxPool", NULL, "", NAMES("c"), NAMES("m"));
    es_model_build_ints(b, "kernel_shape", (const int64_t[]){3, 3}, 2);
    es_model_build_ints(b, "strides", (const int64_t[]){2, 2}, 2);
    es_model_build_ints(b, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    es_model_build_node(b, "Relu", NULL, "", NAMES("m"), NAMES("r"));
    es_model_build_node(b, "AveragePool", NULL, "", NAMES("r"), NAMES("y"));
    es_model_build_ints(b, "kernel_shape", (const int64_t[]){4, 3}, 2);
    float_output(b, "y");
    const es_model *model = finish(b);
    const es_model *folded = NULL;
    assert_ok_err(es_fold_layers(all->arena, model, &folded, &err), err);
    static const char *const wanted[] = {"Conv", "Relu", "MaxPool", "GlobalAveragePool"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(es_model_op_at(folded, i).op, wanted[i]);
    es_dataset set = make_samples(all->arena, &rng, 3, DIMS(2, 8, 6), false);
    assert_true(noise_between(all, model, folded, &set) < same);
}

/* Constant parts are computed once: a kernel made by operators, a shape, a Constant node. */
static void constants_become_weights(void **state)
{
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(es_test_seed(4), 0);
    es_error err = {0};
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 8));
    random_weight(b, all->arena, &rng, "flat", DIMS(24), 0.5);
    es_model_build_node(b, "Constant", NULL, "", (const char *const[]){NULL}, NAMES("shape"));
    es_model_build_tensor(b, "value", ES_MODEL_INT64, DIMS(2), (const int64_t[]){8, 3}, 16);
    es_model_build_node(b, "Reshape", NULL, "", NAMES("flat", "shape"), NAMES("w"));
    es_model_build_node(b, "Add", NULL, "", NAMES("w", "w"), NAMES("w2"));
    es_model_build_node(b, "MatMul", NULL, "", NAMES("x", "w2"), NAMES("y"));
    float_output(b, "y");
    const es_model *model = finish(b);
    const es_model *folded = NULL;
    assert_ok_err(es_fold_constants(all->arena, all->runtime, model, &folded, &err), err);
    assert_int_equal(es_model_node_count(folded), 1);
    assert_int_equal(es_model_weight_count(folded), 1);
    es_dataset set = make_samples(all->arena, &rng, 3, DIMS(8), false);
    assert_true(noise_between(all, model, folded, &set) < same);
    const es_model *again = NULL;
    assert_ok_err(es_fold_constants(all->arena, all->runtime, folded, &again, &err), err);
    assert_ptr_equal(again, folded);
}

/* Conv -> Relu -> Conv -> Relu -> depthwise -> pool -> 1x1 Conv with channels of very different
 * size: equal afterwards, and the same function. */
static void equalised_nets_compute_the_same(void **state)
{
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(es_test_seed(5), 0);
    es_error err = {0};
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float sizes[4] = {0.01f, 1, 30, 0};
    float w1[4 * 2 * 9];
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 18; k++)
            w1[i * 18 + k] = sizes[i] * (float)es_rng_normal(&rng);
    float_input(b, "x", DIMS(1, 2, 6, 6));
    es_model_build_weight(b, "w1", ES_MODEL_FLOAT, DIMS(4, 2, 3, 3), w1, sizeof w1);
    random_weight(b, all->arena, &rng, "b1", DIMS(4), 0.1);
    random_weight(b, all->arena, &rng, "w2", DIMS(4, 1, 1, 1), 1);
    random_weight(b, all->arena, &rng, "w3", DIMS(3, 4, 2, 2), 1);
    es_model_build_node(b, "Conv", NULL, "", NAMES("x", "w1", "b1"), NAMES("c1"));
    es_model_build_node(b, "Relu", NULL, "", NAMES("c1"), NAMES("r1"));
    es_model_build_node(b, "Conv", NULL, "", NAMES("r1", "w2"), NAMES("c2"));
    es_model_build_int(b, "group", 4);
    es_model_build_node(b, "MaxPool", NULL, "", NAMES("c2"), NAMES("p2"));
    es_model_build_ints(b, "kernel_shape", (const int64_t[]){2, 2}, 2);
    es_model_build_node(b, "Conv", NULL, "", NAMES("p2", "w3"), NAMES("y"));
    float_output(b, "y");
    const es_model *model = finish(b);
    const es_model *equal = NULL;
    size_t pairs = 0;
    assert_ok_err(es_equalise(all->arena, model, &equal, &pairs, &err), err);
    assert_int_equal(pairs, 2);
    es_dataset set = make_samples(all->arena, &rng, 5, DIMS(2, 6, 6), false);
    assert_true(noise_between(all, model, equal, &set) < same);
    es_wiring w;
    es_layer first;
    es_layer second;
    bool found = false;
    assert_ok_err(es_wiring_make(all->arena, equal, &w, &err), err);
    assert_ok_err(es_layer_read(&w, 0, &first, &found, &err), err);
    assert_ok_err(es_layer_read(&w, 2, &second, &found, &err), err);
    for (size_t c = 0; c < 3; c++) { /* the fourth channel is dead */
        double made = 0;
        for (size_t i = 0; i < first.count; i++)
            if (es_layer_output_at(&first, i) == c)
                made = fmax(made, fabs((double)first.weights[i]));
        assert_true(fabs(made / fabs((double)second.weights[c]) - 1) < 0.05);
    }
}

static void half_weights_are_half_as_large(void **state)
{
    fixture *all = fixture_get(state);
    es_rng rng = es_rng_make(es_test_seed(6), 0);
    es_error err = {0};
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 64));
    random_weight(b, all->arena, &rng, "w", DIMS(64, 200), 0.5);
    random_weight(b, all->arena, &rng, "few", DIMS(1), 0.5);
    es_model_build_node(b, "MatMul", NULL, "", NAMES("x", "w"), NAMES("m"));
    es_model_build_node(b, "Add", NULL, "", NAMES("m", "few"), NAMES("y"));
    float_output(b, "y");
    const es_model *model = finish(b);
    const es_model *half = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    size_t half_size = 0;
    assert_ok_err(es_half_weights(all->arena, model, &half, &err), err);
    assert_ok_err(es_model_bytes(all->arena, model, &bytes, &size, &err), err);
    assert_ok_err(es_model_bytes(all->arena, half, &bytes, &half_size, &err), err);
    assert_true((double)half_size < 0.52 * (double)size);
    assert_int_equal(count_ops(half, "Cast"), 1);
    es_dataset set = make_samples(all->arena, &rng, 5, DIMS(64), false);
    assert_true(noise_between(all, model, half, &set) < 1e-6);

    b = es_model_build_new(all->arena, "net", 13);
    const float large[20] = {1, 2, 70000};
    float_input(b, "x", DIMS(1, 20));
    es_model_build_weight(b, "w", ES_MODEL_FLOAT, DIMS(20), large, sizeof large);
    es_model_build_node(b, "Mul", NULL, "", NAMES("x", "w"), NAMES("y"));
    float_output(b, "y");
    assert_fails(es_half_weights(all->arena, finish(b), &half, &err), ES_ERR_UNSUPPORTED, err,
                 "'w' has 70000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(folded_nets_compute_the_same),
                                       cmocka_unit_test(transposed_convolutions_take_batch_norms),
                                       cmocka_unit_test(what_others_see_is_left_alone),
                                       cmocka_unit_test(pools_are_put_right),
                                       cmocka_unit_test(constants_become_weights),
                                       cmocka_unit_test(equalised_nets_compute_the_same),
                                       cmocka_unit_test(half_weights_are_half_as_large)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
