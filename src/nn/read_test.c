/* ONNX -> net: what we write comes back; what exporters write is understood; the rest is refused.
 */

#include "nn/testing/random_net.h"
#include "test_nn.h"

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

/* A mean over all places and a flatten come back as one layer. */
static bool has_pair(const es_nn *nn)
{
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        if (layer->kind == ES_NN_FLATTEN &&
            nn->layers.items[layer->inputs[0].index].kind == ES_NN_AVERAGE_POOL)
            return true;
    }
    return false;
}

/* Layer by layer, name by name, bit by bit. */
static void what_is_written_comes_back(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    size_t compared = 0;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, false);
        drop_dropouts(nn);
        if (has_pair(nn)) {
            es_arena_free(arena);
            continue;
        }
        compared++;
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
    assert_true(compared > SEEDS / 2);
}

/* ---- what is refused ---- */

typedef struct refusal {
    const char *op;
    const char *second, *third; /* inputs behind x */
    const char *attribute;      /* an integer */
    int64_t value;
    const char *words;
} refusal;

static void set_weights(es_model_build *b)
{
    static const float values[64] = {1, 2, 3};
    es_model_build_weight(b, "w", ES_MODEL_FLOAT, 4, (const int64_t[]){4, 2, 2, 2}, values,
                          32 * sizeof *values);
    es_model_build_weight(b, "matrix", ES_MODEL_FLOAT, 2, (const int64_t[]){32, 2}, values,
                          64 * sizeof *values);
    es_model_build_weight(b, "full", ES_MODEL_FLOAT, 3, (const int64_t[]){2, 4, 4}, values,
                          32 * sizeof *values);
    es_model_build_weight(b, "two", ES_MODEL_FLOAT, 0, NULL, values + 1, sizeof *values);
    es_model_build_weight(b, "split", ES_MODEL_INT64, 1, (const int64_t[]){4},
                          (const int64_t[]){-1, 8, 2, 2}, 4 * sizeof(int64_t));
    es_model_build_weight(b, "axis", ES_MODEL_INT64, 1, (const int64_t[]){1}, (const int64_t[]){1},
                          sizeof(int64_t));
}

static void refuse(const refusal *r)
{
    es_error err = {0};
    es_nn *nn = NULL;
    const es_model *model = NULL;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_model_build *b = es_model_build_new(arena, "graph", 17);
    es_model_build_input(b, "x", ES_MODEL_FLOAT, 4, (const int64_t[]){-1, 2, 4, 4}, NULL);
    es_model_build_output(b, "y", ES_MODEL_FLOAT, 0, NULL, NULL);
    set_weights(b);
    const char *inputs[] = {"x", r->second, r->third, NULL};
    es_model_build_node(b, r->op, NULL, "bad", inputs, (const char *const[]){"y", NULL});
    if (r->attribute != NULL)
        es_model_build_int(b, r->attribute, r->value);
    assert_ok_err(es_model_build_finish(b, &model, &err), err);
    assert_fails(es_nn_from_model(arena, model, &nn, &err), ES_ERR_UNSUPPORTED, err, r->words);
    assert_fails(es_nn_from_model(arena, model, &nn, &err), ES_ERR_UNSUPPORTED, err,
                 "model 'graph': node 'bad' (");
    assert_null(nn);
    es_arena_free(arena);
}

static void what_no_layer_computes_is_refused(void **state)
{
    (void)state;
    static const refusal refusals[] = {
        {"Erf", NULL, NULL, NULL, 0, "no kind of layer computes this operator"},
        {"Conv", "x", NULL, NULL, 0, "input 'x' must be constant floats"},
        {"Mul", "x", NULL, NULL, 0, "one of its inputs must be constant"},
        {"Add", "full", NULL, NULL, 0, "one value per channel"},
        {"Clip", "two", NULL, NULL, 0, "only 0 to 6 and 0 up"},
        {"Reshape", "split", NULL, NULL, 0, "splits a dimension"},
        {"Softmax", NULL, NULL, "axis", 2, "must be its channels"},
        {"Concat", "x", NULL, "axis", 2, "along the channels"},
        {"Concat", "x", NULL, "axis", 0, "along the channels"},
        {"ReduceMean", NULL, NULL, NULL, 0, "over rows and columns"},
        {"HardSigmoid", NULL, NULL, NULL, 0, "expected 1/6 and 0.5"},
        {"Dropout", "two", NULL, NULL, 0, "rate 2"},
        {"Gather", "axis", NULL, "axis", 1, "only the last step"},
        {"QuantizeLinear", "two", NULL, NULL, 0, "zero point of UINT8"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        refuse(&refusals[i]);
}

static void inputs_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        es_model_type type;
        size_t rank, count;
        int64_t dims[5];
        const char *words;
    } bad[] = {
        {ES_MODEL_FLOAT, 2, 2, {-1, 4}, "2 inputs, expected one"},
        {ES_MODEL_DOUBLE, 2, 1, {-1, 4}, "input 'x0' is DOUBLE of rank 2, expected FLOAT"},
        {ES_MODEL_FLOAT, 1, 1, {4}, "of rank 1"},
        {ES_MODEL_FLOAT, 5, 1, {1, 1, 1, 1, 4}, "of rank 5"},
        {ES_MODEL_FLOAT, 4, 1, {-1, 3, -1, 4}, "input 'x0': dimension 2 is free"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        es_error err = {0};
        es_nn *nn = NULL;
        const es_model *model = NULL;
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_model_build *b = es_model_build_new(arena, "graph", 17);
        for (size_t k = 0; k < bad[i].count; k++)
            es_model_build_input(b, k == 0 ? "x0" : "x1", bad[i].type, bad[i].rank, bad[i].dims,
                                 NULL);
        es_model_build_output(b, "y", bad[i].type, 0, NULL, NULL);
        es_model_build_node(b, "Relu", NULL, "r", (const char *const[]){"x0", NULL},
                            (const char *const[]){"y", NULL});
        assert_ok_err(es_model_build_finish(b, &model, &err), err);
        assert_fails(es_nn_from_model(arena, model, &nn, &err), ES_ERR_UNSUPPORTED, err,
                     bad[i].words);
        es_arena_free(arena);
    }
}

/* The nets of the spec are those of the files. */
static void standard_nets_are_those_of_files(void **state)
{
    (void)state;
    static const struct {
        const char *file, *spec;
    } pairs[] = {
        {"onnx/mlperf_tiny_resnet8_cifar10.onnx", "{net: resnet-8}"},
        {"onnx/stm_mobilenet_v2_0.35_128.onnx",
         "{net: mobilenet-v2, width: 0.35, resolution: 128, classes: 5}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        es_error err = {0};
        const es_model *model = NULL;
        const es_doc *doc = NULL;
        es_nn *nn = NULL;
        const char *path = es_test_data(pairs[i].file);
        if (path == NULL)
            skip();
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        assert_ok_err(es_model_load(arena, path, es_model_opts_default(), &model, &err), err);
        es_nn_work file = es_nn_work_of(read_back(arena, model));
        assert_ok_err(
            es_doc_parse_yaml(arena, "n", pairs[i].spec, strlen(pairs[i].spec), &doc, &err), err);
        assert_ok_err(es_nn_from_spec(arena, doc, 1, &nn, &err), err);
        es_nn_work spec = es_nn_work_of(nn);
        print_message("%s: %" PRIu64 " MACs, %" PRIu64 " parameters; spec %" PRIu64 ", %" PRIu64
                      "\n",
                      pairs[i].file, file.macs, file.params, spec.macs, spec.params);
        assert_int_equal(spec.macs, file.macs);
        assert_int_equal(spec.params, file.params);
        es_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(what_no_layer_computes_is_refused),
        cmocka_unit_test(inputs_that_do_not_fit_are_refused),
        cmocka_unit_test(standard_nets_are_those_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
