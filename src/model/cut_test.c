#include "base/file.h"
#include "base/rng.h"
#include "test_model.h"

typedef struct fixture {
    es_arena *arena;
    es_model_build *b;
} fixture;

static fixture start(void)
{
    fixture f = {.arena = es_arena_new(TEST_ARENA_BYTES)};
    f.b = es_model_build_new(f.arena, "test", 17);
    assert_non_null(f.b);
    return f;
}

static es_model_cut_list points_of(es_arena *arena, const es_model *model)
{
    es_error err = {0};
    es_model_cut_list list = {0};
    assert_ok_err(es_model_cut_points(arena, model, test_analyse(arena, model), &list, &err), err);
    return list;
}

static void assert_points(es_model_cut_list list, const char *const *names)
{
    size_t count = 0;
    for (; names[count] != NULL; count++) {
        assert_true(count < list.count);
        assert_string_equal(list.points[count].tensor->name, names[count]);
    }
    assert_int_equal(list.count, count);
}

static void relu(fixture f, const char *in, const char *out)
{
    es_model_build_node(f.b, "Relu", NULL, out, NAMES(in), NAMES(out));
}

static void test_chain(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_weight(f.b, "w1", DIMS(4, 6));
    test_weight(f.b, "w2", DIMS(6, 2));
    test_output(f.b, "y");
    es_model_build_node(f.b, "MatMul", NULL, "one", NAMES("x", "w1"), NAMES("a"));
    relu(f, "a", "b");
    es_model_build_node(f.b, "MatMul", NULL, "two", NAMES("b", "w2"), NAMES("y"));
    const es_model *model = test_finish(f.b);
    es_model_cut_list list = points_of(f.arena, model);
    assert_points(list, NAMES("a", "b"));
    assert_int_equal(list.points[1].tensor->bytes, 24);
    assert_int_equal(list.points[1].node_index, 1);
    assert_int_equal(list.points[1].macs_before, 24);
    assert_int_equal(list.points[1].macs_after, 12);
    assert_int_equal(list.points[1].parameter_count_before, 24);
    assert_int_equal(list.points[1].parameter_count_after, 12);
    assert_int_equal(list.points[1].parameter_bytes_after, 48);

    const es_model *const *segments = NULL;
    es_error err = {0};
    assert_ok_err(es_model_cut(f.arena, model, NAMES("b", "a"), 2, &segments, &err), err);
    assert_int_equal(es_model_node_count(segments[0]), 1);
    assert_int_equal(es_model_node_count(segments[1]), 1);
    assert_int_equal(es_model_weight_count(segments[0]), 1);
    assert_int_equal(es_model_weight_count(segments[1]), 0);
    assert_string_equal(es_model_input(segments[0], 0)->name, "x");
    assert_string_equal(es_model_output(segments[0], 0)->name, "a");
    assert_string_equal(es_model_input(segments[1], 0)->name, "a");
    assert_string_equal(es_model_input(segments[2], 0)->name, "b");
    assert_string_equal(test_shape(es_model_input(segments[2], 0)), "1x6");
    assert_string_equal(es_model_output(segments[2], 0)->name, "y");
    assert_int_equal(test_analyse(f.arena, segments[2])->macs, 12);
    es_arena_free(f.arena);
}

/* Nothing inside the block cuts; its input and its sum do. */
static void test_residual(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_output(f.b, "y");
    relu(f, "x", "a");
    relu(f, "a", "b");
    relu(f, "b", "c");
    es_model_build_node(f.b, "Add", NULL, "sum", NAMES("a", "c"), NAMES("d"));
    relu(f, "d", "y");
    assert_points(points_of(f.arena, test_finish(f.b)), NAMES("a", "d"));
    es_arena_free(f.arena);
}

/* The input comes in again at the end: only what lies behind that cuts. */
static void test_skip_from_input(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_output(f.b, "y");
    relu(f, "x", "a");
    relu(f, "a", "b");
    es_model_build_node(f.b, "Add", NULL, "sum", NAMES("x", "b"), NAMES("c"));
    relu(f, "c", "y");
    assert_points(points_of(f.arena, test_finish(f.b)), NAMES("c"));
    es_arena_free(f.arena);
}

/* An output in the middle has to be delivered, so nothing from there on cuts. */
static void test_early_output(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_output(f.b, "early");
    test_output(f.b, "y");
    relu(f, "x", "a");
    relu(f, "a", "early");
    relu(f, "a", "b");
    relu(f, "b", "y");
    assert_points(points_of(f.arena, test_finish(f.b)), NAMES("a"));
    es_arena_free(f.arena);
}

/* A second input late, a dead branch, and a node with two used outputs. */
static void test_odd_graphs(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_input(f.b, "late", DIMS(1, 2));
    test_output(f.b, "y");
    relu(f, "x", "a");
    relu(f, "a", "dead");
    es_model_build_node(f.b, "Split", NULL, "split", NAMES("a"), NAMES("left", "right"));
    es_model_build_int(f.b, "axis", 1);
    es_model_build_node(f.b, "Add", NULL, "sum", NAMES("left", "right"), NAMES("s"));
    es_model_build_node(f.b, "Mul", NULL, "mul", NAMES("s", "late"), NAMES("m"));
    relu(f, "m", "y");
    const es_model *model = test_finish(f.b);
    assert_points(points_of(f.arena, model), NAMES("m"));
    const es_model *const *segments = NULL;
    es_error err = {0};
    assert_ok_err(es_model_cut(f.arena, model, NAMES("m"), 1, &segments, &err), err);
    assert_int_equal(es_model_input_count(segments[0]), 2);
    assert_int_equal(es_model_node_count(segments[0]), 4); /* without the dead branch */
    es_arena_free(f.arena);
}

/* A weight and a constant node used on both sides go to both and count on both. */
static void test_shared_constants(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_weight(f.b, "w", DIMS(4));
    test_ints(f.b, "shape", 1, (const int64_t[]){4});
    test_output(f.b, "y");
    es_model_build_node(f.b, "ConstantOfShape", NULL, "fill", NAMES("shape"), NAMES("k"));
    es_model_build_node(f.b, "Add", NULL, "a1", NAMES("x", "w"), NAMES("a"));
    es_model_build_node(f.b, "Mul", NULL, "m1", NAMES("a", "k"), NAMES("b"));
    es_model_build_node(f.b, "Add", NULL, "a2", NAMES("b", "w"), NAMES("c"));
    es_model_build_node(f.b, "Mul", NULL, "m2", NAMES("c", "k"), NAMES("y"));
    const es_model *model = test_finish(f.b);
    es_model_cut_list list = points_of(f.arena, model);
    assert_points(list, NAMES("a", "b", "c"));
    assert_int_equal(list.points[1].parameter_count_before, 8);
    assert_int_equal(list.points[1].parameter_count_after, 8);
    assert_int_equal(list.points[2].parameter_count_after, 4);
    const es_model *const *segments = NULL;
    es_error err = {0};
    assert_ok_err(es_model_cut(f.arena, model, NAMES("b"), 1, &segments, &err), err);
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(es_model_node_count(segments[k]), 3);
        assert_int_equal(es_model_weight_count(segments[k]), 2);
        assert_int_equal(test_analyse(f.arena, segments[k])->parameter_count, 8);
    }
    es_arena_free(f.arena);
}

/* The shape of a tensor before the cut, used behind it, is written down as numbers; the free
 * dimension stays free. */
static void test_shape_across_cut(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(2, 6));
    test_output(f.b, "y");
    es_model_build_node(f.b, "Shape", NULL, "", NAMES("x"), NAMES("s"));
    relu(f, "x", "a");
    es_model_build_node(f.b, "Flatten", NULL, "flat", NAMES("a"), NAMES("b"));
    es_model_build_int(f.b, "axis", 0);
    es_model_build_node(f.b, "Reshape", NULL, "", NAMES("b", "s"), NAMES("y"));
    const es_model *model = test_finish(f.b);
    assert_points(points_of(f.arena, model), NAMES("a", "b"));
    const es_model *const *segments = NULL;
    es_error err = {0};
    assert_ok_err(es_model_cut(f.arena, model, NAMES("b"), 1, &segments, &err), err);
    assert_int_equal(es_model_weight_count(segments[1]), 1);
    es_model_weight numbers = es_model_weight_at(segments[1], 0);
    assert_string_equal(numbers.tensor.name, "s");
    assert_memory_equal(numbers.data, ((const int64_t[]){2, 6}), 16);
    assert_shape(test_analyse(f.arena, segments[1]), "y", "2x6");

    fixture g = start();
    es_model_build_input(g.b, "x", ES_MODEL_FLOAT, DIMS(-1, 6), (const char *const[]){"n", NULL});
    test_output(g.b, "y");
    es_model_build_node(g.b, "Shape", NULL, "", NAMES("x"), NAMES("s"));
    relu(g, "x", "a");
    relu(g, "a", "b");
    es_model_build_node(g.b, "Reshape", NULL, "", NAMES("b", "s"), NAMES("c"));
    relu(g, "c", "y");
    model = test_finish(g.b);
    assert_points(points_of(g.arena, model), NAMES("c"));
    assert_ok_err(es_model_cut(g.arena, model, NAMES("c"), 1, &segments, &err), err);
    assert_int_equal(es_model_input(segments[1], 0)->dims[0], -1);
    assert_string_equal(es_model_input(segments[1], 0)->symbols[0], "n");
    es_arena_free(g.arena);
    es_arena_free(f.arena);
}

static void test_bad_cuts(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_output(f.b, "y");
    relu(f, "x", "hidden1");
    relu(f, "hidden1", "hidden2");
    relu(f, "hidden2", "y");
    const es_model *model = test_finish(f.b);
    const es_model *const *segments = NULL;
    es_error err = {0};
    assert_fails(es_model_cut(f.arena, model, NAMES("hiden2"), 1, &segments, &err), ES_ERR_ARG, err,
                 "'hiden2' is no tensor of the model; did you mean 'hidden2'?");
    assert_fails(es_model_cut(f.arena, model, NAMES("y"), 1, &segments, &err), ES_ERR_ARG, err,
                 "'y' is no cut point of the model, which has 2");
    assert_fails(es_model_cut(f.arena, model, NAMES("hidden1", "hidden1"), 2, &segments, &err),
                 ES_ERR_ARG, err, "'hidden1' is given twice");
    assert_null(segments);
    es_arena_free(f.arena);
}

static void test_write_segments(void **state)
{
    (void)state;
    fixture f = start();
    test_input(f.b, "x", DIMS(1, 4));
    test_output(f.b, "y");
    relu(f, "x", "a");
    relu(f, "a", "y");
    const es_model *model = test_finish(f.b);
    const es_model *const *segments = NULL;
    const char *const *paths = NULL;
    es_error err = {0};
    assert_ok_err(es_model_cut(f.arena, model, NAMES("a"), 1, &segments, &err), err);
    const char *stem = ES_TEST_BINARY_DIR "/model_cut_test";
    assert_ok_err(es_model_write_segments(f.arena, segments, 2, stem, &paths, &err), err);
    const es_model *back = NULL;
    assert_string_equal(paths[1], ES_TEST_BINARY_DIR "/model_cut_test.seg1.onnx");
    assert_ok_err(es_model_load(f.arena, paths[1], es_model_opts_default(), &back, &err), err);
    assert_string_equal(es_model_input(back, 0)->name, "a");
    for (size_t k = 0; k < 2; k++)
        assert_int_equal(remove(paths[k]), 0);
    /* the second name is a folder: the first file does not stay */
    assert_ok_err(es_file_make_folder(ES_TEST_BINARY_DIR "/model_cut_test.seg1.onnx/x", &err), err);
    assert_int_not_equal(es_model_write_segments(f.arena, segments, 2, stem, &paths, &err), ES_OK);
    assert_false(es_file_exists(ES_TEST_BINARY_DIR "/model_cut_test.seg0.onnx"));
    assert_int_equal(rmdir(ES_TEST_BINARY_DIR "/model_cut_test.seg1.onnx/x"), 0);
    assert_int_equal(rmdir(ES_TEST_BINARY_DIR "/model_cut_test.seg1.onnx"), 0);
    es_arena_free(f.arena);
}

/* ---- property: the sweep against removal ---- */

enum { NODES_MAX = 24, SEEDS = 300 };

typedef struct random_graph {
    size_t inputs, nodes;
    size_t from[NODES_MAX][2]; /* values: inputs first, then nodes */
    bool output[NODES_MAX];
} random_graph;

static random_graph draw(es_rng *rng)
{
    random_graph g = {.inputs = 1 + (size_t)es_rng_below(rng, 2),
                      .nodes = 2 + (size_t)es_rng_below(rng, NODES_MAX - 2)};
    uint64_t reach = 1 + es_rng_below(rng, 4); /* how far back edges go: short gives many cuts */
    for (size_t i = 0; i < g.nodes; i++) {
        for (size_t k = 0; k < 2; k++) {
            uint64_t back = 1 + es_rng_below(rng, reach);
            size_t at = g.inputs + i;
            g.from[i][k] = back > at ? 0 : at - (size_t)back;
        }
        g.output[i] = i + 1 == g.nodes || es_rng_below(rng, 20) == 0;
    }
    return g;
}

/* Removing value t: does any output still hear from an input? */
static bool separates(const random_graph *g, size_t t)
{
    bool heard[2 + NODES_MAX] = {false};
    for (size_t i = 0; i < g->inputs; i++)
        heard[i] = true;
    for (size_t i = 0; i < g->nodes; i++) {
        size_t v = g->inputs + i;
        heard[v] = v != t && (heard[g->from[i][0]] || heard[g->from[i][1]]);
        if (heard[v] && g->output[i])
            return false;
    }
    return !g->output[t - g->inputs];
}

/* Does an output depend on t at all? (A dead tensor separates nothing by itself.) */
static bool matters(const random_graph *g, size_t t)
{
    bool from_t[2 + NODES_MAX] = {false};
    from_t[t] = true;
    for (size_t i = t + 1 - g->inputs; i < g->nodes; i++) {
        size_t v = g->inputs + i;
        from_t[v] = from_t[g->from[i][0]] || from_t[g->from[i][1]];
        if (from_t[v] && g->output[i])
            return true;
    }
    return false;
}

static const es_model *build_random(fixture f, const random_graph *g, char names[][24])
{
    for (size_t v = 0; v < g->inputs + g->nodes; v++)
        (void)snprintf(names[v], 24, "v%zu", v);
    for (size_t i = 0; i < g->inputs; i++)
        test_input(f.b, names[i], DIMS(1, 3));
    for (size_t i = 0; i < g->nodes; i++) {
        const char *out = names[g->inputs + i];
        es_model_build_node(f.b, "Add", NULL, out,
                            NAMES(names[g->from[i][0]], names[g->from[i][1]]), NAMES(out));
        if (g->output[i])
            test_output(f.b, out);
    }
    return test_finish(f.b);
}

static void check_segments(fixture f, const es_model *model, es_model_cut_list list)
{
    const char *names[NODES_MAX];
    es_error err = {0};
    const es_model *const *segments = NULL;
    for (size_t i = 0; i < list.count; i++)
        names[i] = list.points[i].tensor->name;
    assert_ok_err(es_model_cut(f.arena, model, names, list.count, &segments, &err), err);
    for (size_t k = 0; k <= list.count; k++) {
        (void)test_analyse(f.arena, segments[k]);
        if (k > 0)
            assert_int_equal(es_model_input_count(segments[k]), 1);
        if (k < list.count)
            assert_int_equal(es_model_output_count(segments[k]), 1);
    }
}

static void test_property_removal(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    size_t total = 0;
    for (uint64_t n = 0; n < SEEDS; n++) {
        es_rng rng = es_rng_make(seed, n);
        random_graph g = draw(&rng);
        fixture f = start();
        char names[2 + NODES_MAX][24];
        const es_model *model = build_random(f, &g, names);
        es_model_cut_list list = points_of(f.arena, model);
        size_t at = 0;
        for (size_t t = g.inputs; t < g.inputs + g.nodes; t++) {
            bool wanted = separates(&g, t) && matters(&g, t);
            bool found = at < list.count && strcmp(list.points[at].tensor->name, names[t]) == 0;
            if (wanted != found)
                fail_msg("seed %" PRIu64 " graph %" PRIu64 ": '%s' should%s be a cut point", seed,
                         n, names[t], wanted ? "" : " not");
            at += found;
        }
        assert_int_equal(at, list.count);
        check_segments(f, model, list);
        total += list.count;
        es_arena_free(f.arena);
    }
    assert_true(total > SEEDS / 2); /* the property was not met in vain */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_skip_from_input),
        cmocka_unit_test(test_early_output),
        cmocka_unit_test(test_odd_graphs),
        cmocka_unit_test(test_shared_constants),
        cmocka_unit_test(test_shape_across_cut),
        cmocka_unit_test(test_bad_cuts),
        cmocka_unit_test(test_write_segments),
        cmocka_unit_test(test_property_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
