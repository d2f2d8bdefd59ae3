/* Standard nets against their published figures; layers from a document; mistakes with their place.
 */
#include "test_nn.h"

static es_nn *net_of(es_arena *arena, const char *yaml)
{
    es_error err = {0};
    const es_doc *doc = NULL;
    es_nn *nn = NULL;
    assert_ok_err(es_doc_parse_yaml(arena, "net.yaml", yaml, strlen(yaml), &doc, &err), err);
    assert_ok_err(es_nn_from_spec(arena, doc, 1, &nn, &err), err);
    return nn;
}

static size_t count_of(const es_nn *nn, es_nn_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < nn->layers.count; i++)
        count += nn->layers.items[i].kind == kind;
    return count;
}

/* All values, norms in full. */
static size_t values_of(const es_nn *nn, bool statistics)
{
    size_t count = 0;
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        for (size_t p = 0; p < layer->param_count; p++) {
            es_nn_role role = layer->params[p].role;
            if (statistics || (role != ES_NN_MEAN && role != ES_NN_VARIANCE))
                count += layer->params[p].count;
        }
    }
    return count;
}

/* Figures: MobileNetV2's are those of torchvision's model (3504872 trained parameters, 300.8 M
 * MACs); LeNet's follow from its layers; those of MLPerf Tiny are held against its files in
 * read_test.c. */
static void standard_nets_have_their_size(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        uint64_t macs, params;
    } wanted[] = {
        {"{net: lenet}", 416520, 61706},
        {"{net: resnet-8}", 12501632, 77706},
        {"{net: ds-cnn}", 2656768, 22604},
        {"{net: mobilenet-v2}", 300774272, 3504872 - 17056},
        {"{net: mobilenet-v2, width: 0.35, resolution: 128, classes: 1000}", 20220672, 0},
        {"{net: autoencoder}", 264192, 265864},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn_work work = es_nn_work_of(net_of(arena, wanted[i].spec));
        if (work.macs != wanted[i].macs ||
            (wanted[i].params > 0 && work.params != wanted[i].params))
            fail_msg("%s: %" PRIu64 " MACs, %" PRIu64 " parameters", wanted[i].spec, work.macs,
                     work.params);
        es_arena_free(arena);
    }
}

static void mobilenet_as_published(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = net_of(arena, "{net: mobilenet-v2}");
    assert_int_equal(values_of(nn, false), 3504872);
    assert_int_equal(count_of(nn, ES_NN_CONV), 52);
    assert_int_equal(count_of(nn, ES_NN_ADD), 10);
    assert_shape(nn, es_nn_find(nn, "head"), 1280, 7, 7);
    nn = net_of(arena, "{net: mobilenet-v2, input: [3, 32, 32], classes: 10, width: 0.5}");
    assert_shape(nn, es_nn_find(nn, "stem"), 16, 32, 32);
    assert_shape(nn, es_nn_find(nn, "head"), 1280, 4, 4);
    assert_shape(nn, nn->outputs[0].layer, 10);
    es_arena_free(arena);
}

static void the_small_net_is_small(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn_work work = es_nn_work_of(net_of(arena, "{net: cnn}"));
    assert_true(work.params <= 100000);
    assert_true(work.macs >= 5000000 && work.macs <= 12000000);
    es_nn_work half = es_nn_work_of(net_of(arena, "{net: cnn, width: 0.5}"));
    assert_true(half.macs < work.macs / 3 && half.macs > work.macs / 5);
    es_arena_free(arena);
}

static void series_nets(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = net_of(arena, "{net: temporal-cnn, input: [6, 100], classes: 5, dropout: 0.1}");
    assert_shape(nn, es_nn_find(nn, "block4-b"), 32, 100);
    assert_int_equal(nn->layers.items[es_nn_find(nn, "block4-a").index].window.dilation[0], 8);
    assert_int_equal(nn->layers.items[es_nn_find(nn, "block4-a").index].window.pad_before[0], 16);
    assert_int_equal(count_of(nn, ES_NN_DROPOUT), 5);
    nn = net_of(arena, "{net: gru, input: [6, 100], classes: 5, units: 24, blocks: 2}");
    assert_shape(nn, es_nn_find(nn, "gru2"), 24, 100);
    assert_shape(nn, es_nn_find(nn, "last"), 24);
    assert_string_equal(nn->outputs[0].name, "logits");
    es_arena_free(arena);
}

static void common_keys(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = net_of(arena, "net: lenet\n"
                              "name: mine\n"
                              "input: [3, 20, 24]\n"
                              "softmax: true\n"
                              "scale: {factor: [0.5, 0.25, 0.125], offset: -1}\n");
    assert_string_equal(nn->name, "mine");
    assert_string_equal(nn->outputs[0].name, "probabilities");
    es_nn_layer *scale = &nn->layers.items[1];
    assert_int_equal(scale->kind, ES_NN_SCALE);
    assert_true(es_nn_param_of(scale, ES_NN_FACTOR)->values[2] == 0.125F);
    assert_true(es_nn_param_of(scale, ES_NN_OFFSET)->values[2] == -1.0F);
    assert_shape(nn, es_nn_find(nn, "flatten"), 16 * 3 * 4);
    es_arena_free(arena);
}

static const char layers[] = "name: mine\n"
                             "input: [4, 16, 12]\n"
                             "layers:\n"
                             "  - conv: {units: 8, kernel: [3, 5], stride: 2, name: stem}\n"
                             "  - batch-norm: {epsilon: 0.001}\n"
                             "  - relu: {name: a}\n"
                             "  - conv: {units: 8, kernel: 3, groups: 8, bias: false, name: b}\n"
                             "  - hard-swish:\n"
                             "  - add: {from: [a, b], name: sum}\n"
                             "  - max-pool: {kernel: 2}\n"
                             "  - conv: {units: 6, kernel: 1, from: sum, padding: valid, name: c}\n"
                             "  - concat: {from: [sum, c]}\n"
                             "  - upsample: {factor: [2, 1]}\n"
                             "  - quantise: {factor: 0.1, offset: 128}\n"
                             "  - global-pool\n"
                             "  - dense: {units: 5, frozen: true, name: exit}\n"
                             "  - dense: {units: 3, name: y}\n"
                             "outputs: [exit, y]\n";

static void layers_one_by_one(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = net_of(arena, layers);
    assert_shape(nn, es_nn_find(nn, "stem"), 8, 8, 6);
    const es_nn_layer *stem = &nn->layers.items[1];
    assert_int_equal(stem->window.pad_before[0], 0);
    assert_int_equal(stem->window.pad_after[0], 1);
    assert_int_equal(stem->window.pad_before[1], 1);
    assert_int_equal(stem->window.pad_after[1], 2);
    assert_int_equal(stem->param_count, 2);
    assert_int_equal(nn->layers.items[es_nn_find(nn, "b").index].param_count, 1);
    assert_int_equal(nn->output_count, 2);
    assert_string_equal(nn->outputs[0].name, "exit");
    assert_true(nn->layers.items[es_nn_find(nn, "exit").index].frozen);
    assert_int_equal(count_of(nn, ES_NN_MAX_POOL), 0); /* nothing reads it */
    assert_int_equal(count_of(nn, ES_NN_HARD_SWISH), 0);
    assert_true(nn->layers.items[2].epsilon == 0.001);
    es_arena_free(arena);
}

static void causal_and_numbers(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = net_of(arena, "input: [4, 16]\n"
                              "layers:\n"
                              "  - conv: {units: 8, kernel: 3, dilation: 2, padding: causal}\n"
                              "  - gru: {units: 5}\n"
                              "  - average-pool: {kernel: 3, stride: 1, padding: 1}\n"
                              "  - last\n");
    assert_shape(nn, (es_nn_id){1}, 8, 16);
    assert_int_equal(nn->layers.items[1].window.pad_before[0], 4);
    assert_shape(nn, (es_nn_id){3}, 5, 16);
    assert_string_equal(nn->outputs[0].name, "last-4");
    es_arena_free(arena);
}

static void mistakes_have_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *words;
    } bad[] = {
        {"[1, 2]", "net.yaml:1:1: "},
        {"{net: resnet-9}", "resnet-8"},
        {"{net: lenet, code: 3}", "net.yaml:1:14: unknown key 'code'"},
        {"{net: lenet, width: 0}", "width"},
        {"{net: lenet, input: [1, 3, 3]}", "net.yaml:1:1: layer 'conv2' (conv): a window reaches"},
        {"{net: lenet, input: [1, 3, 3, 3]}", "net.yaml:1:21: input: 4 numbers"},
        {"{net: lenet, input: [1, 0, 3]}", "net.yaml:1:25: input[1]"},
        {"{net: gru, classes: 4}", "'input' is missing"},
        {"{net: gru, input: [3, 9]}", "'classes' is missing"},
        {"{net: lenet, scale: {factor: [1, 2]}}",
         "net.yaml:1:30: scale.factor: 2 numbers, expected 1"},
        {"{layers: [relu]}", "'input' is missing"},
        {"{input: [3], layers: []}", "net.yaml:1:22: layers: a net needs a layer"},
        {"{input: [3], layers: [rely]}", "net.yaml:1:23: layers[0]: unknown kind of layer 'rely', "
                                         "did you mean 'relu'?"},
        {"{input: [3], layers: [{dense: {unit: 3}}]}", "units"},
        {"{input: [3], layers: [{dense: {}}]}", "units"},
        {"{input: [3], layers: [{relu: {}, tanh: {}}]}", "net.yaml:1:23: layers[0]: expected"},
        {"{input: [3], layers: [{relu: {from: z}}]}", "layers[0].relu.from: no layer 'z' stands"},
        {"{input: [3], layers: [add]}", "layers[0]: layer 'add-1' (add): 1 inputs, expected 2"},
        {"{input: [3], layers: [{conv: {units: 2, kernel: 3}}]}",
         "net.yaml:1:30: layers[0].conv: layer 'conv-1' (conv): its input is {3}"},
        {"{input: [3, 4], layers: [{conv: {units: 2}}]}", "kernel"},
        {"{input: [3, 4], layers: [{conv: {units: 2, kernel: [1, 2]}}]}", "2 numbers, expected 1"},
        {"{input: [3, 4], layers: [{conv: {units: 2, kernel: 3, padding: sane}}]}", "same"},
        {"{input: [3], layers: [relu], outputs: [y]}", "net.yaml:1:40: outputs[0]: no layer 'y'"},
        {"{input: [3], layers: [relu], outputs: []}", "a net needs an output"},
        {"{input: [3], layers: [relu], outputs: [relu-1, relu-1]}", "taken already"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        es_error err = {0};
        const es_doc *doc = NULL;
        es_nn *nn = NULL;
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        assert_ok_err(
            es_doc_parse_yaml(arena, "net.yaml", bad[i].yaml, strlen(bad[i].yaml), &doc, &err),
            err);
        assert_fails(es_nn_from_spec(arena, doc, 1, &nn, &err), ES_ERR_PARSE, err, bad[i].words);
        assert_null(nn);
        es_arena_free(arena);
    }
}

static void a_full_arena_says_so(void **state)
{
    (void)state;
    static const char yaml[] = "{net: mobilenet-v2}";
    for (size_t cap = 20000; cap < 20000000; cap = cap * 3 / 2) {
        es_error err = {0};
        const es_doc *doc = NULL;
        es_nn *nn = NULL;
        es_arena *arena = es_arena_new(cap);
        assert_ok_err(es_doc_parse_yaml(arena, "n", yaml, strlen(yaml), &doc, &err), err);
        es_status status = es_nn_from_spec(arena, doc, 1, &nn, &err);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        assert_true(cap < 1000000 ? status == ES_ERR_NOMEM : true);
        es_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_nets_have_their_size),
        cmocka_unit_test(mobilenet_as_published),
        cmocka_unit_test(the_small_net_is_small),
        cmocka_unit_test(series_nets),
        cmocka_unit_test(common_keys),
        cmocka_unit_test(layers_one_by_one),
        cmocka_unit_test(causal_and_numbers),
        cmocka_unit_test(mistakes_have_their_place),
        cmocka_unit_test(a_full_arena_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
