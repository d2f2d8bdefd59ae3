/* Graphs as exporters write them, read as nets and written again, compute what they did. */
#include "base/rng.h"
#include "nn/nn.h"
#include "runtime/testing/real_models.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tensor_file.h"

#define DIMS(...)                                                                                  \
    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[])                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* A graph under construction; weights are random. */
typedef struct graph {
    const fixture *all;
    es_model_build *b;
    es_rng rng;
} graph;

static graph start(void **state, int64_t opset, size_t rank, const int64_t *dims)
{
    graph g = {.all = fixture_get(state), .rng = es_rng_make(1, 1)};
    g.b = es_model_build_new(g.all->arena, "graph", opset);
    assert_non_null(g.b);
    es_model_build_input(g.b, "x", ES_MODEL_FLOAT, rank, dims, (const char *const[4]){"batch"});
    es_model_build_output(g.b, "y", ES_MODEL_FLOAT, 0, NULL, NULL);
    return g;
}

static void weight(graph *g, const char *name, size_t rank, const int64_t *dims)
{
    float values[4096];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= (size_t)dims[i];
    assert_true(count <= 4096);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(0.3 * es_rng_normal(&g->rng));
    es_model_build_weight(g->b, name, ES_MODEL_FLOAT, rank, dims, values, count * sizeof *values);
}

static void number(graph *g, const char *name, float value)
{
    es_model_build_weight(g->b, name, ES_MODEL_FLOAT, 0, NULL, &value, sizeof value);
}

static void ints(graph *g, const char *name, size_t count, const int64_t *values)
{
    es_model_build_weight(g->b, name, ES_MODEL_INT64, 1, (const int64_t[]){(int64_t)count}, values,
                          count * sizeof *values);
}

static void node(graph *g, const char *op, const char *out, const char *a, const char *b,
                 const char *c)
{
    const char *inputs[] = {a, b, c, NULL};
    es_model_build_node(g->b, op, NULL, out, inputs, (const char *const[]){out, NULL});
}

static void list(graph *g, const char *name, size_t count, const int64_t *values)
{
    es_model_build_ints(g->b, name, values, count);
}

static void conv(graph *g, const char *out, const char *in, const char *w, size_t kernel)
{
    node(g, "Conv", out, in, w, NULL);
    es_model_build_text(g->b, "auto_pad", "SAME_UPPER");
    list(g, "kernel_shape", 2, (const int64_t[]){(int64_t)kernel, (int64_t)kernel});
}

/* ---- running both ---- */

static void run(const graph *g, const es_model *model, es_tensor *out)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_session *session = NULL;
    es_tensor input = {0};
    assert_ok_err(es_model_bytes(g->all->arena, model, &bytes, &size, &err), err);
    assert_ok_err(es_session_open_bytes(g->all->runtime, bytes, size, es_session_opts_default(),
                                        &session, &err),
                  err);
    assert_ok_err(real_inputs(g->all->arena, session, &input, &err), err);
    float *x = input.data;
    for (size_t i = 0; i < input.size_bytes / sizeof *x; i++)
        x[i] = 4 * x[i] - 2; /* both signs */
    assert_ok_err(es_session_run(session, &input, 1, out, 1, &err), err);
    es_session_unref(session);
}

static es_nn *finish(graph *g)
{
    es_error err = {0};
    const es_model *model = NULL;
    const es_model *back = NULL;
    es_nn *nn = NULL;
    es_tensor wanted = {0};
    assert_ok_err(es_model_build_finish(g->b, &model, &err), err);
    assert_ok_err(es_nn_from_model(g->all->arena, model, &nn, &err), err);
    run(g, model, &wanted);
    for (int fold = 0; fold < 2; fold++) {
        es_tensor got = {0};
        tensor_difference difference;
        assert_ok_err(es_nn_to_model(g->all->arena, nn, fold == 1, &back, &err), err);
        run(g, back, &got);
        assert_true(tensor_compare(&got, &wanted, 1e-4, 1e-5, &difference));
        if (difference.wrong_count > 0)
            fail_msg("[%zu]: got %.9g, expected %.9g", difference.first, difference.got,
                     difference.wanted);
        es_tensor_done(&got);
    }
    es_tensor_done(&wanted);
    return nn;
}

static size_t count_of(const es_nn *nn, es_nn_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < nn->layers.count; i++)
        count += nn->layers.items[i].kind == kind;
    return count;
}

/* ---- as TensorFlow's exporter writes ---- */

/* Channels last outside, first around convolutions; features in the outer order. */
static void channels_last_flattened(void **state)
{
    graph g = start(state, 13, DIMS(-1, 6, 5, 3));
    weight(&g, "w", DIMS(4, 3, 3, 3));
    weight(&g, "m", DIMS(6 * 5 * 4, 7));
    weight(&g, "b", DIMS(7));
    ints(&g, "flat", DIMS(-1, 6 * 5 * 4));
    number(&g, "half", 0.5F);
    node(&g, "Mul", "s", "x", "half", NULL);
    node(&g, "Transpose", "t", "s", NULL, NULL);
    list(&g, "perm", DIMS(0, 3, 1, 2));
    conv(&g, "c", "t", "w", 3);
    node(&g, "Transpose", "u", "c", NULL, NULL);
    list(&g, "perm", DIMS(0, 2, 3, 1));
    node(&g, "Relu", "r", "u", NULL, NULL);
    node(&g, "Reshape", "f", "r", "flat", NULL);
    node(&g, "MatMul", "d", "f", "m", NULL);
    node(&g, "Add", "e", "b", "d", NULL);
    node(&g, "Softmax", "y", "e", NULL, NULL);
    const es_nn *nn = finish(&g);
    assert_true(nn->channels_last);
    assert_int_equal(nn->layers.items[0].shape.dims[0], 3);
    assert_int_equal(nn->layers.count, 7);
}

/* One channel: the exporter reshapes instead of transposing. Sums, means and outputs channels last.
 */
static void channels_last_to_the_end(void **state)
{
    graph g = start(state, 11, DIMS(-1, 6, 4, 1));
    weight(&g, "w", DIMS(4, 1, 3, 3));
    weight(&g, "v", DIMS(4, 4, 1, 1));
    weight(&g, "k", DIMS(1, 1, 1, 4));
    ints(&g, "first", DIMS(-1, 1, 6, 4));
    node(&g, "Reshape", "t", "x", "first", NULL);
    conv(&g, "c", "t", "w", 3);
    node(&g, "Transpose", "u", "c", NULL, NULL);
    list(&g, "perm", DIMS(0, 2, 3, 1));
    node(&g, "Add", "a", "u", "k", NULL);
    node(&g, "Transpose", "d", "a", NULL, NULL);
    list(&g, "perm", DIMS(0, 3, 1, 2));
    conv(&g, "e", "d", "v", 1);
    node(&g, "Transpose", "f", "e", NULL, NULL);
    list(&g, "perm", DIMS(0, 2, 3, 1));
    node(&g, "Add", "h", "a", "f", NULL);
    node(&g, "Concat", "i", "h", "f", "a");
    es_model_build_int(g.b, "axis", 3);
    node(&g, "Sigmoid", "y", "i", NULL, NULL);
    const es_nn *nn = finish(&g);
    assert_true(nn->channels_last);
    assert_int_equal(nn->outputs[0].layout, ES_NN_CHANNELS_LAST);
    assert_int_equal(count_of(nn, ES_NN_SCALE), 0); /* the constant became the bias */
}

static void channels_last_mean(void **state)
{
    graph g = start(state, 13, DIMS(-1, 6, 5, 3));
    weight(&g, "w", DIMS(4, 3, 3, 3));
    weight(&g, "m", DIMS(4, 3));
    node(&g, "Transpose", "t", "x", NULL, NULL);
    list(&g, "perm", DIMS(0, 3, 1, 2));
    conv(&g, "c", "t", "w", 3);
    node(&g, "Transpose", "u", "c", NULL, NULL);
    list(&g, "perm", DIMS(0, 2, 3, 1));
    node(&g, "ReduceMean", "a", "u", NULL, NULL);
    list(&g, "axes", DIMS(1, 2));
    es_model_build_int(g.b, "keepdims", 0);
    node(&g, "MatMul", "y", "a", "m", NULL);
    assert_int_equal(count_of(finish(&g), ES_NN_GLOBAL_POOL), 1);
}

/* A series with channels last into a GRU; its last step by a slice. */
static void series_channels_last(void **state)
{
    graph g = start(state, 13, DIMS(-1, 9, 4));
    weight(&g, "w", DIMS(1, 18, 4));
    weight(&g, "r", DIMS(1, 18, 6));
    weight(&g, "b", DIMS(1, 36));
    ints(&g, "one", DIMS(1));
    ints(&g, "starts", DIMS(0, -1, 0));
    ints(&g, "ends", DIMS(INT64_MAX, INT64_MAX, INT64_MAX));
    ints(&g, "axes", DIMS(0, 1, 2));
    ints(&g, "steps", DIMS(1, 1, 1));
    node(&g, "Transpose", "t", "x", NULL, NULL);
    list(&g, "perm", DIMS(1, 0, 2));
    es_model_build_node(g.b, "GRU", NULL, "g", (const char *const[]){"t", "w", "r", "b", NULL},
                        (const char *const[]){"all", NULL});
    es_model_build_int(g.b, "hidden_size", 6);
    es_model_build_int(g.b, "linear_before_reset", 1);
    es_model_build_texts(g.b, "activations", (const char *const[]){"Sigmoid", "Tanh"}, 2);
    node(&g, "Squeeze", "s", "all", "one", NULL);
    node(&g, "Transpose", "u", "s", NULL, NULL);
    list(&g, "perm", DIMS(1, 0, 2));
    es_model_build_node(g.b, "Slice", NULL, "l",
                        (const char *const[]){"u", "starts", "ends", "axes", "steps", NULL},
                        (const char *const[]){"l", NULL});
    node(&g, "Squeeze", "y", "l", "one", NULL);
    const es_nn *nn = finish(&g);
    assert_true(nn->channels_last);
    assert_int_equal(nn->layers.count, 3);
}

/* ---- as others do ---- */

/* The last state by Y_h, from zeros that were spread over the batch. */
static void last_state(void **state)
{
    graph g = start(state, 13, DIMS(-1, 4, 9));
    weight(&g, "w", DIMS(1, 18, 4));
    weight(&g, "r", DIMS(1, 18, 6));
    ints(&g, "shape", DIMS(1, 1, 6));
    ints(&g, "zero", DIMS(0));
    node(&g, "Transpose", "t", "x", NULL, NULL);
    list(&g, "perm", DIMS(2, 0, 1));
    node(&g, "ConstantOfShape", "h", "shape", NULL, NULL);
    es_model_build_node(g.b, "GRU", NULL, "g",
                        (const char *const[]){"t", "w", "r", "", "", "h", NULL},
                        (const char *const[]){"", "end", NULL});
    es_model_build_int(g.b, "hidden_size", 6);
    es_model_build_int(g.b, "linear_before_reset", 1);
    node(&g, "Squeeze", "y", "end", "zero", NULL);
    const es_nn *nn = finish(&g);
    assert_int_equal(nn->layers.count, 3);
    assert_int_equal(count_of(nn, ES_NN_LAST), 1);
}

/* Weights transposed and reshaped in the graph, biases of one row, constants on either side. */
static void constants_of_all_forms(void **state)
{
    graph g = start(state, 13, DIMS(-1, 3, 4, 4));
    weight(&g, "c1", DIMS(3, 1, 1));
    weight(&g, "c2", DIMS(1, 3, 1, 1));
    weight(&g, "w", DIMS(8, 2, 12));
    weight(&g, "v", DIMS(8, 5));
    weight(&g, "b", DIMS(1, 5));
    number(&g, "two", 2);
    ints(&g, "matrix", DIMS(8, 48));
    ints(&g, "more", DIMS(8, 2, 24));
    node(&g, "Sub", "a", "x", "c1", NULL);
    node(&g, "Div", "d", "a", "two", NULL);
    node(&g, "Sub", "e", "c2", "d", NULL);
    node(&g, "Mul", "f", "c2", "e", NULL);
    node(&g, "Add", "h", "f", "c1", NULL); /* one layer with the product before */
    node(&g, "Flatten", "i", "h", NULL, NULL);
    weight(&g, "big", DIMS(8, 4, 12));
    node(&g, "Reshape", "bm", "big", "matrix", NULL);
    node(&g, "Transpose", "bt", "bm", NULL, NULL);
    node(&g, "MatMul", "j", "i", "bt", NULL);
    node(&g, "Tanh", "k", "j", NULL, NULL);
    node(&g, "Gemm", "y", "k", "v", "b");
    const es_nn *nn = finish(&g);
    assert_int_equal(count_of(nn, ES_NN_SCALE), 4);
    assert_int_equal(count_of(nn, ES_NN_DENSE), 2);
}

/* A product whose sum comes later, and a sum that a convolution takes as its bias only when nobody
 * else sees it. */
static void shared_values_keep_their_own(void **state)
{
    graph g = start(state, 13, DIMS(-1, 2, 5, 5));
    weight(&g, "w", DIMS(2, 2, 3, 3));
    weight(&g, "b", DIMS(2, 1, 1));
    conv(&g, "c", "x", "w", 3);
    node(&g, "Add", "a", "c", "b", NULL);
    node(&g, "Add", "y", "c", "a", NULL);
    assert_int_equal(count_of(finish(&g), ES_NN_SCALE), 1);
}

static void windows_of_all_forms(void **state)
{
    graph g = start(state, 11, DIMS(-1, 4, 11, 9));
    weight(&g, "w", DIMS(8, 2, 3, 3));
    ints(&g, "pads", DIMS(0, 0, 1, 0, 0, 0, 0, 2));
    node(&g, "Pad", "p", "x", "pads", NULL);
    node(&g, "Conv", "c", "p", "w", NULL);
    list(&g, "dilations", DIMS(2, 1));
    list(&g, "pads", DIMS(1, 1, 2, 0));
    es_model_build_int(g.b, "group", 2);
    node(&g, "MaxPool", "m", "c", NULL, NULL);
    list(&g, "kernel_shape", DIMS(2, 2));
    list(&g, "strides", DIMS(2, 2));
    es_model_build_int(g.b, "ceil_mode", 1);
    node(&g, "AveragePool", "a", "m", NULL, NULL);
    list(&g, "kernel_shape", DIMS(3, 3));
    es_model_build_text(g.b, "auto_pad", "SAME_LOWER");
    list(&g, "strides", DIMS(2, 2));
    node(&g, "HardSigmoid", "s", "a", NULL, NULL);
    es_model_build_float(g.b, "alpha", 1.0F / 6);
    node(&g, "Mul", "h", "a", "s", NULL);
    node(&g, "Sum", "y", "h", "a", "h");
    const es_nn *nn = finish(&g);
    assert_int_equal(count_of(nn, ES_NN_HARD_SWISH), 1);
    assert_int_equal(nn->layers.items[1].window.pad_before[0], 2);
    assert_int_equal(nn->layers.items[1].window.pad_after[1], 2);
}

/* Each way of taking the nearest that means places / factor. */
static void upsamples_of_all_forms(void **state)
{
    static const struct {
        const char *place, *nearest;
        int64_t opset;
        float factor;
    } ways[] = {{"asymmetric", "floor", 13, 3},
                {"asymmetric", "round_prefer_floor", 13, 2},
                {"half_pixel", "round_prefer_floor", 13, 3},
                {"pytorch_half_pixel", "round_prefer_ceil", 13, 2},
                {"tf_half_pixel_for_nn", "floor", 11, 3}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        graph g = start(state, ways[i].opset, DIMS(-1, 2, 5, 4));
        const float scales[] = {1, 1, ways[i].factor, 2};
        es_model_build_weight(g.b, "scales", ES_MODEL_FLOAT, DIMS(4), scales, sizeof scales);
        es_model_build_weight(g.b, "roi", ES_MODEL_FLOAT, DIMS(0), scales, 0);
        node(&g, "Resize", "y", "x", "roi", "scales");
        es_model_build_text(g.b, "mode", "nearest");
        es_model_build_text(g.b, "coordinate_transformation_mode", ways[i].place);
        es_model_build_text(g.b, "nearest_mode", ways[i].nearest);
        assert_int_equal(count_of(finish(&g), ES_NN_UPSAMPLE), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_last_flattened),
        cmocka_unit_test(channels_last_to_the_end),
        cmocka_unit_test(channels_last_mean),
        cmocka_unit_test(series_channels_last),
        cmocka_unit_test(last_state),
        cmocka_unit_test(constants_of_all_forms),
        cmocka_unit_test(shared_values_keep_their_own),
        cmocka_unit_test(windows_of_all_forms),
        cmocka_unit_test(upsamples_of_all_forms),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
