#include "test_model.h"

typedef struct fixture {
    es_arena *arena;
    es_model_build *b;
} fixture;

static fixture start_at(int64_t opset)
{
    fixture f = {.arena = es_arena_new(TEST_ARENA_BYTES)};
    f.b = es_model_build_new(f.arena, "test", opset);
    assert_non_null(f.b);
    return f;
}

static fixture start(void)
{
    return start_at(17);
}

/* 3 -> 8 channels, 3x3, stride 2, pad 1 on 8x8: 4x4x8 outputs of 27 MACs each. */
static void test_conv(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 3, 8, 8));
    test_weight(f.b, "w", DIMS(8, 3, 3, 3));
    test_weight(f.b, "bias", DIMS(8));
    test_output(f.b, "y");
    es_model_build_node(f.b, "Conv", NULL, "conv", NAMES("x", "w", "bias"), NAMES("y"));
    es_model_build_ints(f.b, "strides", (const int64_t[]){2, 2}, 2);
    es_model_build_ints(f.b, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "y", "1x8x4x4");
    assert_int_equal(a->macs, 4 * 4 * 8 * 27);
    assert_int_equal(a->parameter_count, 8 * 27 + 8);
    assert_int_equal(a->parameter_bytes, 4 * (8 * 27 + 8));
    assert_int_equal(a->nodes[0].input_bytes, 4 * 3 * 64);
    assert_int_equal(a->nodes[0].output_bytes, 4 * 8 * 16);
    assert_int_equal(a->peak_bytes, 4 * (3 * 64 + 8 * 16));
    assert_int_equal(a->unknown_count, 0);
    es_arena_free(f.arena);
}

/* Depthwise: group = channels, so one channel per output; SAME_UPPER keeps ceil(in / stride). */
static void test_conv_group_and_auto_pad(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(2, 6, 7, 7));
    test_weight(f.b, "w", DIMS(6, 1, 3, 3));
    test_output(f.b, "y");
    es_model_build_node(f.b, "Conv", NULL, "", NAMES("x", "w"), NAMES("y"));
    es_model_build_int(f.b, "group", 6);
    es_model_build_ints(f.b, "strides", (const int64_t[]){2, 2}, 2);
    es_model_build_text(f.b, "auto_pad", "SAME_UPPER");
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "y", "2x6x4x4");
    assert_int_equal(a->macs, 2 * 6 * 16 * 9);
    es_arena_free(f.arena);
}

/* Size 2*(5-1) + 3 - 2*1 + 1 = 10; every input element meets C_out/group * 9 weights. */
static void test_conv_transpose(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4, 5, 5));
    test_weight(f.b, "w", DIMS(4, 6, 3, 3));
    test_output(f.b, "y");
    es_model_build_node(f.b, "ConvTranspose", NULL, "", NAMES("x", "w"), NAMES("y"));
    es_model_build_ints(f.b, "strides", (const int64_t[]){2, 2}, 2);
    es_model_build_ints(f.b, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    es_model_build_ints(f.b, "output_padding", (const int64_t[]){1, 1}, 2);
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "y", "1x6x10x10");
    assert_int_equal(a->macs, 4 * 25 * 6 * 9);
    es_arena_free(f.arena);
}

static void test_matrix_products(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(5, 7));
    test_input(f.b, "s", DIMS(3, 1, 5, 4));
    test_weight(f.b, "w", DIMS(9, 7));
    test_weight(f.b, "m", DIMS(2, 4, 6));
    test_output(f.b, "g");
    test_output(f.b, "p");
    test_output(f.b, "e");
    es_model_build_node(f.b, "Gemm", NULL, "gemm", NAMES("x", "w"), NAMES("g"));
    es_model_build_int(f.b, "transB", 1);
    es_model_build_node(f.b, "MatMul", NULL, "matmul", NAMES("s", "m"), NAMES("p"));
    es_model_build_node(f.b, "Einsum", NULL, "einsum", NAMES("x", "w"), NAMES("e"));
    es_model_build_text(f.b, "equation", "bi, oi -> ob");
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "g", "5x9");
    assert_shape(a, "p", "3x2x5x6");
    assert_shape(a, "e", "9x5");
    assert_int_equal(a->nodes[0].macs, 5 * 9 * 7);
    assert_int_equal(a->nodes[1].macs, 3 * 2 * 5 * 6 * 4);
    assert_int_equal(a->nodes[2].macs, 5 * 9 * 7);
    /* w is counted once, at the first node that uses it */
    assert_int_equal(a->nodes[0].parameter_count, 63);
    assert_int_equal(a->nodes[2].parameter_count, 0);
    assert_int_equal(a->parameter_count, 63 + 48);
    es_arena_free(f.arena);
}

/* steps * batch * (W + R) */
static void test_lstm(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(10, 2, 8));
    test_weight(f.b, "w", DIMS(1, 16, 8));
    test_weight(f.b, "r", DIMS(1, 16, 4));
    test_output(f.b, "y");
    es_model_build_node(f.b, "LSTM", NULL, "lstm", NAMES("x", "w", "r"), NAMES("y", "h", "c"));
    es_model_build_int(f.b, "hidden_size", 4);
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "y", "10x1x2x4");
    assert_shape(a, "h", "1x2x4");
    assert_shape(a, "c", "1x2x4");
    assert_int_equal(a->macs, 10 * 2 * (16 * 8 + 16 * 4));
    es_arena_free(f.arena);
}

/* Shape -> Gather -> Mul -> Concat -> Reshape, as exporters write a flatten. */
static void test_shape_chain(void **state)
{
    (void)state;
    fixture f = start();
    es_model_build_input(f.b, "x", ES_MODEL_FLOAT, DIMS(-1, 6, 4),
                         (const char *const[]){"batch", NULL, NULL});
    test_ints(f.b, "zero", 1, (const int64_t[]){0});
    test_ints(f.b, "one", 1, (const int64_t[]){1});
    test_ints(f.b, "two", 1, (const int64_t[]){2});
    test_ints(f.b, "rest", 1, (const int64_t[]){-1});
    test_output(f.b, "y");
    es_model_build_node(f.b, "Shape", NULL, "", NAMES("x"), NAMES("s"));
    es_model_build_node(f.b, "Gather", NULL, "", NAMES("s", "zero"), NAMES("n"));
    es_model_build_node(f.b, "Slice", NULL, "", NAMES("s", "one", "two"), NAMES("six"));
    es_model_build_node(f.b, "Div", NULL, "", NAMES("six", "two"), NAMES("three"));
    es_model_build_node(f.b, "Concat", NULL, "", NAMES("n", "three", "rest"), NAMES("to"));
    es_model_build_int(f.b, "axis", 0);
    es_model_build_node(f.b, "Reshape", NULL, "", NAMES("x", "to"), NAMES("y"));
    const es_model *model = test_finish(f.b);
    assert_shape(test_analyse(f.arena, model), "y", "1x3x8");
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    es_model_binding binding = {.name = "batch", .value = 5};
    opts.bindings = &binding;
    opts.binding_count = 1;
    const es_model_analysis *a = NULL;
    es_error err = {0};
    assert_ok_err(es_model_analyse(f.arena, model, opts, &a, &err), err);
    assert_shape(a, "y", "5x3x8");
    opts = es_model_analyse_opts_default();
    opts.free_dim = 0; /* the name of the free dimension comes through */
    assert_ok_err(es_model_analyse(f.arena, model, opts, &a, &err), err);
    assert_shape(a, "y", "?x3x8");
    assert_string_equal(a->outputs[0]->symbols[0], "batch");
    assert_true(a->unknown_count > 0);
    assert_int_equal(a->outputs[0]->bytes, -1);
    es_arena_free(f.arena);
}

/* Axes are an attribute before opset 13 and an input since. */
static void test_axes_by_opset(void **state)
{
    (void)state;
    for (int64_t opset = 12; opset <= 13; opset++) {
        fixture f = start_at(opset);
        test_input(f.b, "x", DIMS(1, 5, 1));
        test_ints(f.b, "axes", 1, (const int64_t[]){2});
        test_output(f.b, "y");
        test_output(f.b, "z");
        bool old = opset < 13;
        es_model_build_node(f.b, "Squeeze", NULL, "", old ? NAMES("x") : NAMES("x", "axes"),
                            NAMES("y"));
        if (old)
            es_model_build_ints(f.b, "axes", (const int64_t[]){2}, 1);
        es_model_build_node(f.b, "ReduceSum", NULL, "", old ? NAMES("x") : NAMES("x", "axes"),
                            NAMES("z"));
        if (old)
            es_model_build_ints(f.b, "axes", (const int64_t[]){2}, 1);
        es_model_build_int(f.b, "keepdims", 0);
        const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
        assert_shape(a, "y", "1x5");
        assert_shape(a, "z", "1x5");
        es_arena_free(f.arena);
    }
}

static void test_pooling(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 2, 7, 7));
    test_output(f.b, "floor");
    test_output(f.b, "ceil");
    test_output(f.b, "all");
    for (int64_t ceil = 0; ceil < 2; ceil++) {
        es_model_build_node(f.b, "MaxPool", NULL, "", NAMES("x"),
                            ceil ? NAMES("ceil") : NAMES("floor"));
        es_model_build_ints(f.b, "kernel_shape", (const int64_t[]){2, 2}, 2);
        es_model_build_ints(f.b, "strides", (const int64_t[]){2, 2}, 2);
        es_model_build_int(f.b, "ceil_mode", ceil);
    }
    es_model_build_node(f.b, "GlobalAveragePool", NULL, "", NAMES("x"), NAMES("all"));
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "floor", "1x2x3x3");
    assert_shape(a, "ceil", "1x2x4x4");
    assert_shape(a, "all", "1x2x1x1");
    assert_int_equal(a->macs, 0);
    assert_int_equal(a->nodes[2].element_ops, 98);
    es_arena_free(f.arena);
}

/* x(4) -> a(4) -> b(4), c = a + b: while b runs, a and b live (x is gone); while c runs, all three.
 */
static void test_peak(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 10));
    test_output(f.b, "c");
    es_model_build_node(f.b, "Relu", NULL, "first", NAMES("x"), NAMES("a"));
    es_model_build_node(f.b, "Relu", NULL, "second", NAMES("a"), NAMES("b"));
    es_model_build_node(f.b, "Add", NULL, "third", NAMES("a", "b"), NAMES("c"));
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_int_equal(a->nodes[0].live_bytes, 80);
    assert_int_equal(a->nodes[1].live_bytes, 80);
    assert_int_equal(a->nodes[2].live_bytes, 120);
    assert_int_equal(a->peak_bytes, 120);
    assert_int_equal(a->peak_node, 2);
    assert_int_equal(a->element_ops, 30);
    es_arena_free(f.arena);
}

/* Weights made by ConstantOfShape count as weights, not as work. */
static void test_constant_nodes(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 20));
    test_ints(f.b, "shape", 2, (const int64_t[]){20, 30});
    test_output(f.b, "y");
    es_model_build_node(f.b, "ConstantOfShape", NULL, "fill", NAMES("shape"), NAMES("w"));
    es_model_build_node(f.b, "MatMul", NULL, "", NAMES("x", "w"), NAMES("y"));
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_true(a->nodes[0].constant);
    assert_false(a->nodes[1].constant);
    assert_int_equal(a->parameter_count, 600);
    assert_int_equal(a->stored_count, 2);
    assert_int_equal(a->macs, 600);
    assert_int_equal(a->peak_bytes, 4 * (20 + 30));
    es_arena_free(f.arena);
}

/* Data-dependent shapes stay unknown, and say so; nothing fails. */
static void test_unknown_shapes(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(4, 4));
    es_model_build_output(f.b, "y", ES_MODEL_INT64, 0, NULL, NULL);
    es_model_build_node(f.b, "NonZero", NULL, "where", NAMES("x"), NAMES("y"));
    const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
    assert_shape(a, "y", "2x?");
    assert_int_equal(a->unknown_count, 1);
    assert_string_equal(a->unknown_first, "where");
    es_arena_free(f.arena);
}

static void expect_error(fixture f, es_status status, const char *words)
{
    es_error err = {0};
    const es_model *model = test_finish(f.b);
    const es_model_analysis *a = NULL;
    assert_fails(es_model_analyse(f.arena, model, es_model_analyse_opts_default(), &a, &err),
                 status, err, words);
    assert_null(a);
    es_arena_free(f.arena);
}

static void test_contradictions(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4, 8, 8));
    test_weight(f.b, "w", DIMS(8, 3, 3, 3));
    test_output(f.b, "y");
    es_model_build_node(f.b, "Conv", NULL, "conv1", NAMES("x", "w"), NAMES("y"));
    expect_error(f, ES_ERR_PARSE, "node 0 'conv1' (Conv): input has 4 channels, weights take 3");
    f = start();
    test_input(f.b, "x", DIMS(2, 3));
    test_input(f.b, "z", DIMS(2, 4));
    test_output(f.b, "y");
    es_model_build_node(f.b, "Add", NULL, "sum", NAMES("x", "z"), NAMES("y"));
    expect_error(f, ES_ERR_PARSE, "dimension 3 against 4");
    f = start();
    test_input(f.b, "x", DIMS(2, 3));
    test_ints(f.b, "to", 2, (const int64_t[]){4, -1});
    test_output(f.b, "y");
    es_model_build_node(f.b, "Reshape", NULL, "fold", NAMES("x", "to"), NAMES("y"));
    expect_error(f, ES_ERR_PARSE, "6 elements do not divide by 4");
    f = start();
    test_input(f.b, "x", DIMS(2, 3));
    test_output(f.b, "y");
    es_model_build_node(f.b, "Softmaxx", NULL, "typo", NAMES("x"), NAMES("y"));
    expect_error(f, ES_ERR_UNSUPPORTED, "operator Softmaxx of domain ai.onnx is not known");
    f = start();
    test_input(f.b, "x", DIMS(1, 2));
    test_ints(f.b, "to", 3, (const int64_t[]){1 << 30, 1 << 30, 1 << 30});
    test_output(f.b, "y");
    es_model_build_node(f.b, "ConstantOfShape", NULL, "bomb", NAMES("to"), NAMES("big"));
    es_model_build_node(f.b, "Add", NULL, "", NAMES("x", "big"), NAMES("y"));
    expect_error(f, ES_ERR_LIMIT, "node 0 'bomb'");
    f = start();
    test_input(f.b, "x", DIMS(1, 2, 3, 3));
    test_output(f.b, "y");
    es_model_build_node(f.b, "MaxPool", NULL, "pool", NAMES("x"), NAMES("y"));
    es_model_build_ints(f.b, "kernel_shape", (const int64_t[]){5, 5}, 2);
    expect_error(f, ES_ERR_PARSE, "kernel reaches over 5, padded input is 3");
}

static void test_unknown_allowed(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(2, 3));
    test_output(f.b, "y");
    es_model_build_domain(f.b, "my.own", 1);
    es_model_build_node(f.b, "Magic", "my.own", "", NAMES("x"), NAMES("m"));
    es_model_build_node(f.b, "Relu", NULL, "", NAMES("m"), NAMES("y"));
    const es_model *model = test_finish(f.b);
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    const es_model_analysis *a = NULL;
    es_error err = {0};
    assert_ok_err(es_model_analyse(f.arena, model, opts, &a, &err), err);
    assert_shape(a, "m", "none");
    assert_int_equal(a->unknown_count, 2);
    opts.free_dim = -1;
    assert_fails(es_model_analyse(f.arena, model, opts, &a, &err), ES_ERR_ARG, err,
                 "free_dim=-1 must be >= 0");
    es_arena_free(f.arena);
}

/* A bound copy has no free dimension left and gives the same figures as binding in analysis. */
static void test_bind(void **state)
{
    (void)state;
    fixture f = start();
    es_model_build_input(f.b, "x", ES_MODEL_FLOAT, DIMS(-1, 4), (const char *const[]){"n", NULL});
    test_weight(f.b, "w", DIMS(4, 5));
    es_model_build_output(f.b, "y", ES_MODEL_FLOAT, DIMS(-1, 5), (const char *const[]){"n", NULL});
    es_model_build_node(f.b, "MatMul", NULL, "", NAMES("x", "w"), NAMES("y"));
    const es_model *model = test_finish(f.b);
    const es_model *bound = NULL;
    es_error err = {0};
    es_model_binding three = {.name = "n", .value = 3};
    assert_ok_err(es_model_bind(f.arena, model, &three, 1, &bound, &err), err);
    assert_int_equal(es_model_input(bound, 0)->dims[0], 3);
    assert_int_equal(es_model_output(bound, 0)->dims[0], 3);
    assert_int_equal(es_model_input(model, 0)->dims[0], -1);
    assert_string_equal(es_model_input(model, 0)->symbols[0], "n");
    assert_int_equal(test_analyse(f.arena, bound)->macs, 3 * 4 * 5);
    three.name = "m";
    assert_fails(es_model_bind(f.arena, model, &three, 1, &bound, &err), ES_ERR_ARG, err,
                 "no input has a free dimension 'm'");
    three.value = 0;
    assert_fails(es_model_bind(f.arena, model, &three, 1, &bound, &err), ES_ERR_ARG, err,
                 "must be >= 1");
    es_arena_free(f.arena);
}

/* A depth that no int64 holds leaves the dimension unknown; one that fits counts. */
static void test_onehot_depth_as_real(void **state)
{
    (void)state;
    for (int huge = 0; huge < 2; huge++) {
        fixture f = start();
        const float depth = huge != 0 ? 3e38F : 5;
        const float values[] = {0, 1};
        test_input(f.b, "x", DIMS(2));
        es_model_build_weight(f.b, "depth", ES_MODEL_FLOAT, 0, NULL, &depth, sizeof depth);
        es_model_build_weight(f.b, "values", ES_MODEL_FLOAT, 1, (const int64_t[]){2}, values,
                              sizeof values);
        test_output(f.b, "y");
        es_model_build_node(f.b, "OneHot", NULL, "", NAMES("x", "depth", "values"), NAMES("y"));
        const es_model_analysis *a = test_analyse(f.arena, test_finish(f.b));
        assert_shape(a, "y", huge != 0 ? "2x?" : "2x5");
        es_arena_free(f.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_group_and_auto_pad),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_matrix_products),
        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_shape_chain),
        cmocka_unit_test(test_axes_by_opset),
        cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_constant_nodes),
        cmocka_unit_test(test_unknown_shapes),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_unknown_allowed),
        cmocka_unit_test(test_bind),
        cmocka_unit_test(test_onehot_depth_as_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
