#include "base/half.h"
#include "base/rng.h"
#include "test_model.h"

#include <math.h>

typedef struct fixture {
    es_arena *arena;
    es_model_build *b;
} fixture;

static fixture start(int64_t opset)
{
    fixture f = {.arena = es_arena_new(TEST_ARENA_BYTES)};
    f.b = es_model_build_new(f.arena, "test", opset);
    assert_non_null(f.b);
    return f;
}

/* The model as its bytes give it back: what was packed must be whole. */
static const es_model *again(es_arena *arena, const es_model *model)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    const es_model *back = NULL;
    assert_ok_err(es_model_bytes(arena, model, &bytes, &size, &err), err);
    assert_ok_err(es_model_parse(arena, "again", bytes, size, es_model_opts_default(), &back, &err),
                  err);
    return back;
}

/* x -> Conv(w, b) -> c -> Relu -> r -> Conv(v) -> y */
static const es_model *two_convs(fixture f)
{
    static const float w[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    test_input(f.b, "x", DIMS(1, 1, 4, 4));
    es_model_build_weight(f.b, "w", ES_MODEL_FLOAT, DIMS(2, 1, 2, 2), w, sizeof w);
    test_weight(f.b, "b", DIMS(2));
    test_weight(f.b, "v", DIMS(3, 2, 1, 1));
    es_model_build_node(f.b, "Conv", NULL, "first", NAMES("x", "w", "b"), NAMES("c"));
    es_model_build_ints(f.b, "pads", (const int64_t[]){1, 1, 0, 0}, 4);
    es_model_build_int(f.b, "group", 1);
    es_model_build_text(f.b, "auto_pad", "NOTSET");
    es_model_build_texts(f.b, "notes", (const char *const[]){"one", ""}, 2);
    es_model_build_node(f.b, "Relu", NULL, "", NAMES("c"), NAMES("r"));
    es_model_build_node(f.b, "Conv", NULL, "second", NAMES("r", "v"), NAMES("y"));
    test_output(f.b, "y");
    return test_finish(f.b);
}

static void test_read_nodes(void **state)
{
    (void)state;
    fixture f = start(17);
    const es_model *model = again(f.arena, two_convs(f));
    es_model_op op = es_model_op_at(model, 0);
    assert_string_equal(op.op, "Conv");
    assert_string_equal(op.domain, "ai.onnx");
    assert_string_equal(op.name, "first");
    assert_int_equal(op.input_count, 3);
    assert_string_equal(op.inputs[1], "w");
    assert_string_equal(op.outputs[0], "c");
    size_t count = 0;
    const int64_t *pads = es_model_attr_ints(model, 0, "pads", &count);
    assert_int_equal(count, 4);
    assert_int_equal(pads[1], 1);
    assert_int_equal(es_model_attr_int(model, 0, "group", 7), 1);
    assert_int_equal(es_model_attr_int(model, 2, "group", 7), 7);
    assert_string_equal(es_model_attr_text(model, 0, "auto_pad", "?"), "NOTSET");
    assert_string_equal(es_model_attr_text(model, 2, "auto_pad", "?"), "?");
    assert_string_equal(es_model_attr_text_at(model, 0, "notes", 0), "one");
    assert_string_equal(es_model_attr_text_at(model, 0, "notes", 1), "");
    assert_null(es_model_attr_text_at(model, 0, "notes", 2));
    assert_null(es_model_attr_text_at(model, 0, "pads", 0));
    assert_true(es_model_attr_float(model, 0, "alpha", 0.5f) == 0.5f);
    assert_null(es_model_attr_ints(model, 2, "pads", &count));
    assert_int_equal(count, 0);
    assert_null(es_model_attr_floats(model, 0, "pads", &count));
    es_model_weight weight;
    assert_false(es_model_attr_tensor(model, 0, "pads", &weight));
    assert_false(es_model_constant(model, "c", &weight));
    assert_false(es_model_constant(model, "nothing", &weight));
    assert_true(es_model_constant(model, "w", &weight));
    assert_int_equal(weight.tensor.elements, 8);
    es_arena_free(f.arena);
}

/* Every element type reads as what was written. */
static void test_read_elements(void **state)
{
    (void)state;
    fixture f = start(17);
    const struct {
        const char *name;
        es_model_type type;
        const void *data;
        size_t size;
        float want[2];
        bool whole;
    } rows[] = {
        {"f32", ES_MODEL_FLOAT, (const float[]){1.5f, -2.0f}, 8, {1.5f, -2.0f}, false},
        {"f64", ES_MODEL_DOUBLE, (const double[]){0.1, -3.0}, 16, {0.1f, -3.0f}, false},
        {"f16", ES_MODEL_FLOAT16, (const uint16_t[]){0x3e00, 0xc000}, 4, {1.5f, -2.0f}, false},
        {"bf16", ES_MODEL_BFLOAT16, (const uint16_t[]){0x3f80, 0xc0a0}, 4, {1.0f, -5.0f}, false},
        {"i8", ES_MODEL_INT8, (const int8_t[]){-128, 127}, 2, {-128.0f, 127.0f}, true},
        {"u8", ES_MODEL_UINT8, (const uint8_t[]){0, 255}, 2, {0.0f, 255.0f}, true},
        {"i16", ES_MODEL_INT16, (const int16_t[]){-300, 300}, 4, {-300.0f, 300.0f}, true},
        {"u16", ES_MODEL_UINT16, (const uint16_t[]){65535, 1}, 4, {65535.0f, 1.0f}, true},
        {"i32", ES_MODEL_INT32, (const int32_t[]){-70000, 5}, 8, {-70000.0f, 5.0f}, true},
        {"u32", ES_MODEL_UINT32, (const uint32_t[]){4000000000u, 5}, 8, {4e9f, 5.0f}, true},
        {"i64", ES_MODEL_INT64, (const int64_t[]){-1, 1 << 20}, 16, {-1.0f, 1048576.0f}, true},
        {"u64", ES_MODEL_UINT64, (const uint64_t[]){1, 2}, 16, {1.0f, 2.0f}, true},
        {"bool", ES_MODEL_BOOL, (const uint8_t[]){1, 0}, 2, {1.0f, 0.0f}, true}};
    enum { ROWS = sizeof rows / sizeof *rows };
    for (size_t i = 0; i < ROWS; i++) { /* an Identity each, so that they are all used */
        char out[16];
        (void)snprintf(out, sizeof out, "%s_out", rows[i].name);
        es_model_build_weight(f.b, rows[i].name, rows[i].type, DIMS(2), rows[i].data, rows[i].size);
        es_model_build_node(f.b, "Identity", NULL, "", NAMES(rows[i].name), NAMES(out));
        es_model_build_output(f.b, out, rows[i].type, 0, NULL, NULL);
    }
    es_model_build_node(f.b, "Constant", NULL, "", (const char *const[]){NULL}, NAMES("seven"));
    es_model_build_tensor(f.b, "value", ES_MODEL_INT64, DIMS(1), (const int64_t[]){7}, 8);
    es_model_build_output(f.b, "seven", ES_MODEL_INT64, 0, NULL, NULL);
    const es_model *model = again(f.arena, test_finish(f.b));
    es_error err = {0};
    es_model_weight weight;
    const float *floats = NULL;
    const int64_t *ints = NULL;
    for (size_t i = 0; i < ROWS; i++) {
        assert_true(es_model_constant(model, rows[i].name, &weight));
        assert_ok_err(es_model_floats(f.arena, &weight, &floats, &err), err);
        for (size_t k = 0; k < 2; k++)
            assert_true(floats[k] == rows[i].want[k]);
        if (!rows[i].whole) {
            assert_fails(es_model_ints(f.arena, &weight, &ints, &err), ES_ERR_UNSUPPORTED, err,
                         "cannot be read as integers");
            continue;
        }
        assert_ok_err(es_model_ints(f.arena, &weight, &ints, &err), err);
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(ints[k], (int64_t)rows[i].want[k]);
    }
    assert_true(es_model_constant(model, "seven", &weight));
    assert_ok_err(es_model_ints(f.arena, &weight, &ints, &err), err);
    assert_int_equal(ints[0], 7);
    es_arena_free(f.arena);
}

/* Conv and Relu replaced by one node; what is not needed any more goes. */
static void test_replace_part(void **state)
{
    (void)state;
    fixture f = start(17);
    const es_model *model = two_convs(f);
    es_error err = {0};
    es_model_build *e = es_model_build_from(f.arena, model);
    assert_non_null(e);
    assert_int_equal(es_model_build_node_count(e), 3);
    const char *name = es_model_build_fresh(e, "c");
    assert_string_equal(name, "c_2");
    test_weight(e, "half", DIMS(1, 2, 4, 4));
    es_model_build_node(e, "Add", NULL, "sum", NAMES("x", "half"), NAMES(name));
    es_model_build_replace(e, "r", name);
    const es_model *edited = NULL;
    assert_ok_err(es_model_build_finish(e, &edited, &err), err);
    assert_int_equal(es_model_node_count(edited), 2);
    assert_string_equal(es_model_op_at(edited, 0).name, "sum"); /* sorted before its user */
    assert_string_equal(es_model_op_at(edited, 1).inputs[0], "c_2");
    assert_int_equal(es_model_weight_count(edited), 2);
    assert_shape(test_analyse(f.arena, again(f.arena, edited)), "y", "1x3x4x4");
    /* the original is as it was */
    assert_int_equal(es_model_node_count(model), 3);
    assert_string_equal(es_model_op_at(model, 2).inputs[0], "r");
    es_arena_free(f.arena);
}

/* Weights, attributes, inputs and outputs of a name that is there are replaced. */
static void test_set(void **state)
{
    (void)state;
    fixture f = start(11);
    const es_model *model = two_convs(f);
    es_error err = {0};
    es_model_build *e = es_model_build_from(f.arena, model);
    es_model_build_domain(e, "ai.onnx", 13);
    test_input(e, "x", DIMS(5, 1, 8, 8));
    test_weight(e, "v", DIMS(4, 2, 1, 1));
    es_model_build_choose(e, 0);
    es_model_build_ints(e, "pads", (const int64_t[]){0, 0, 0, 0}, 4);
    es_model_build_drop_attr(e, "auto_pad");
    es_model_build_choose(e, 2);
    es_model_build_int(e, "group", 1);
    es_model_build_op(e, 1, "Sigmoid");
    es_model_build_set_input(e, 2, 2, "bias");
    test_weight(e, "bias", DIMS(4));
    test_output(e, "r");
    es_model_build_rename(e, "y", "logits");
    es_model_build_rename(e, "w", "kernel");
    es_model_build_rename(e, "x", "image");
    const es_model *edited = NULL;
    assert_ok_err(es_model_build_finish(e, &edited, &err), err);
    edited = again(f.arena, edited);
    assert_int_equal(es_model_opset_of(edited, ""), 13);
    assert_int_equal(es_model_opset_count(edited), 1);
    assert_int_equal(es_model_output_count(edited), 2);
    assert_string_equal(es_model_output(edited, 0)->name, "logits");
    assert_string_equal(es_model_output(edited, 1)->name, "r");
    assert_int_equal(es_model_attr_int(edited, 2, "group", 0), 1);
    assert_string_equal(es_model_attr_text(edited, 0, "auto_pad", "gone"), "gone");
    assert_string_equal(es_model_op_at(edited, 1).op, "Sigmoid");
    assert_string_equal(es_model_op_at(edited, 0).inputs[0], "image");
    assert_string_equal(es_model_op_at(edited, 0).inputs[1], "kernel");
    const es_model_analysis *analysis = test_analyse(f.arena, edited);
    assert_shape(analysis, "image", "5x1x8x8");
    assert_shape(analysis, "r", "5x2x7x7");
    assert_shape(analysis, "logits", "5x4x7x7");
    /* the original's attributes are as they were */
    size_t count = 0;
    assert_int_equal(es_model_attr_ints(model, 0, "pads", &count)[0], 1);
    assert_string_equal(es_model_attr_text(model, 0, "auto_pad", "gone"), "NOTSET");
    assert_int_equal(es_model_opset_of(model, ""), 11);
    es_arena_free(f.arena);
}

static void test_drop(void **state)
{
    (void)state;
    fixture f = start(17);
    const es_model *model = two_convs(f);
    es_error err = {0};
    es_model_build *e = es_model_build_from(f.arena, model);
    test_output(e, "r");
    es_model_build_drop_output(e, "y");
    const es_model *edited = NULL;
    assert_ok_err(es_model_build_finish(e, &edited, &err), err);
    assert_int_equal(es_model_node_count(edited), 2);
    assert_int_equal(es_model_weight_count(edited), 2);

    e = es_model_build_from(f.arena, model);
    es_model_build_drop_node(e, 1);
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_PARSE, err, "'r' is no");

    e = es_model_build_from(f.arena, model);
    es_model_build_drop_node(e, 0); /* with what depends on it */
    es_model_build_drop_node(e, 1);
    es_model_build_drop_weight(e, "w");
    es_model_build_drop_input(e, "x");
    test_input(e, "r", DIMS(1, 2, 3, 3));
    assert_ok_err(es_model_build_finish(e, &edited, &err), err);
    assert_int_equal(es_model_node_count(edited), 1);
    assert_int_equal(es_model_input_count(edited), 1);
    es_arena_free(f.arena);
}

static void test_mistakes(void **state)
{
    (void)state;
    fixture f = start(17);
    const es_model *model = two_convs(f);
    const es_model *edited = NULL;
    es_error err = {0};
    es_model_build *e = es_model_build_from(f.arena, model);
    es_model_build_drop_weight(e, "u");
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_ARG, err, "no weight 'u'");
    e = es_model_build_from(f.arena, model);
    es_model_build_drop_output(e, "c");
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_ARG, err, "no output 'c'");
    e = es_model_build_from(f.arena, model);
    es_model_build_drop_node(e, 2);
    es_model_build_drop_node(e, 2);
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_ARG, err,
                 "node 2 was dropped before");
    e = es_model_build_from(f.arena, model);
    es_model_build_set_input(e, 3, 0, "x");
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_ARG, err, "node 3 does not exist");
    e = es_model_build_from(f.arena, model);
    es_model_build_set_input(e, 1, 2, "x");
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_ARG, err, "of a node that has 1");
    e = es_model_build_from(f.arena, model);
    es_model_build_choose(e, 1);
    es_model_build_drop_attr(e, "alpha");
    assert_fails(es_model_build_finish(e, &edited, &err), ES_ERR_ARG, err, "no attribute 'alpha'");
    es_arena_free(f.arena);
}

/* Random chains with side branches, edited without a change: the same nodes, and figures. */
static void test_no_change(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + 100; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        fixture f = start(17);
        char names[20][24] = {"x"};
        size_t count = 1;
        test_input(f.b, "x", DIMS(2, 3));
        while (count < 3 + es_rng_below(&rng, 16)) {
            (void)snprintf(names[count], sizeof names[count], "v%zu", count);
            const char *a = names[es_rng_below(&rng, count)];
            const char *b = names[count - 1];
            es_model_build_node(f.b, es_rng_below(&rng, 2) ? "Add" : "Mul", NULL, "", NAMES(a, b),
                                NAMES(names[count]));
            count++;
        }
        test_output(f.b, names[count - 1]);
        const es_model *model = test_finish(f.b);
        const es_model *edited = NULL;
        es_error err = {0};
        assert_ok_err(es_model_build_finish(es_model_build_from(f.arena, model), &edited, &err),
                      err);
        edited = again(f.arena, edited);
        if (es_model_node_count(edited) != es_model_node_count(model))
            fail_msg("seed %" PRIu64, seed); /* the last node needs all before it */
        for (size_t i = 0; i < es_model_node_count(model); i++) {
            assert_string_equal(es_model_op_at(edited, i).op, es_model_op_at(model, i).op);
            assert_string_equal(es_model_op_at(edited, i).inputs[0],
                                es_model_op_at(model, i).inputs[0]);
        }
        es_arena_free(f.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_nodes),   cmocka_unit_test(test_read_elements),
        cmocka_unit_test(test_replace_part), cmocka_unit_test(test_set),
        cmocka_unit_test(test_drop),         cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_no_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
