/*
 * Real models against onnx_index.csv (made by the ONNX project's own tools), and published work.
 */
#include "base/file.h"
#include "base/text.h"
#include "test_model.h"

enum { COLUMNS = 9, FILE_MAX = 10 * 1000 * 1000 };
enum { FILE_NAME, BYTES, IR, OPSETS, NODES, PARAMS, INPUTS, OUTPUTS, OPS };

typedef struct row {
    char *cells[COLUMNS]; /* the tenth column is free text and may hold commas */
} row;

static bool next_row(char **at, row *out)
{
    if (**at == '\0')
        return false;
    char *end = strchr(*at, '\n');
    char *line = *at;
    *at = end != NULL ? end + 1 : line + strlen(line);
    if (end != NULL)
        *end = '\0';
    for (size_t i = 0; i < COLUMNS; i++) {
        out->cells[i] = line;
        line = strchr(line, ',');
        assert_non_null(line);
        *line++ = '\0';
    }
    return true;
}

static int64_t number_in(const char *cell)
{
    int64_t number = -1;
    assert_true(es_text_to_int64(cell, &number));
    return number;
}

/* "name:FLOAT[1x3xbatch] | ...", as the index writes it. */
static void describe(es_text *text, const es_model_tensor *tensor)
{
    es_text_format(text, "%s:", tensor->name);
    if (tensor->kind != ES_MODEL_KIND_TENSOR) {
        es_text_append(text, "sequence_type");
        return;
    }
    es_text_format(text, "%s[", es_model_type_name(tensor->type));
    for (int32_t i = 0; i < tensor->rank; i++) {
        es_text_append(text, i > 0 ? "x" : "");
        if (tensor->dims[i] >= 0)
            es_text_format(text, "%" PRId64, tensor->dims[i]);
        else
            es_text_append(text, tensor->symbols[i] != NULL ? tensor->symbols[i] : "?");
    }
    es_text_append(text, "]");
}

static void check_declared(const es_model *model, const row *r)
{
    es_text text;
    es_text_init(&text, 1000 * 1000);
    for (size_t i = 0; i < es_model_input_count(model); i++) {
        es_text_append(&text, i > 0 ? " | " : "");
        describe(&text, es_model_input(model, i));
    }
    assert_string_equal(es_text_get(&text), r->cells[INPUTS]);
    es_text_clear(&text);
    for (size_t i = 0; i < es_model_output_count(model); i++) {
        es_text_append(&text, i > 0 ? " | " : "");
        describe(&text, es_model_output(model, i));
    }
    assert_string_equal(es_text_get(&text), r->cells[OUTPUTS]);
    es_text_clear(&text);
    for (size_t i = 0; i < es_model_opset_count(model); i++)
        es_text_format(&text, "%s%s:%" PRId64, i > 0 ? ";" : "", es_model_opset_at(model, i).domain,
                       es_model_opset_at(model, i).version);
    assert_string_equal(es_text_get(&text), r->cells[OPSETS]);
    es_text_done(&text);
}

/* silero's convolutions need more than one sample of input. */
static es_model_analyse_opts opts_for(const char *file)
{
    static const es_model_binding sequence = {.name = "sequence", .value = 512};
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    if (strstr(file, "silero") != NULL) {
        opts.bindings = &sequence;
        opts.binding_count = 1;
    }
    return opts;
}

/* What is inferred agrees with what is declared. */
static void check_inferred(const es_model *model, const es_model_analysis *a)
{
    for (size_t i = 0; i < a->output_count; i++) {
        const es_model_tensor *declared = es_model_output(model, i);
        assert_int_equal(a->outputs[i]->kind, declared->kind);
        if (declared->kind != ES_MODEL_KIND_TENSOR)
            continue;
        assert_int_equal(a->outputs[i]->type, declared->type);
        assert_int_equal(a->outputs[i]->rank, declared->rank);
        for (int32_t k = 0; k < declared->rank; k++) {
            assert_true(a->outputs[i]->dims[k] >= 0);
            assert_true(declared->dims[k] < 0 || declared->dims[k] == a->outputs[i]->dims[k]);
        }
    }
}

static void same_analysis(const es_model_analysis *a, const es_model_analysis *b)
{
    assert_int_equal(a->node_count, b->node_count);
    assert_int_equal(a->macs, b->macs);
    assert_int_equal(a->element_ops, b->element_ops);
    assert_int_equal(a->parameter_count, b->parameter_count);
    assert_int_equal(a->parameter_bytes, b->parameter_bytes);
    assert_int_equal(a->stored_count, b->stored_count);
    assert_int_equal(a->peak_bytes, b->peak_bytes);
    assert_int_equal(a->peak_node, b->peak_node);
    for (size_t i = 0; i < a->node_count; i++) {
        assert_string_equal(a->nodes[i].name, b->nodes[i].name);
        assert_int_equal(a->nodes[i].macs, b->nodes[i].macs);
        assert_int_equal(a->nodes[i].live_bytes, b->nodes[i].live_bytes);
        for (size_t k = 0; k < a->nodes[i].output_count; k++) {
            if (a->nodes[i].outputs[k] != NULL)
                assert_int_equal(a->nodes[i].outputs[k]->bytes, b->nodes[i].outputs[k]->bytes);
        }
    }
}

/* Cut everywhere: the segments' work adds up to the whole, and each is a sound model. */
static void check_cuts(es_arena *arena, const es_model *model, const es_model_analysis *a,
                       es_model_analyse_opts opts)
{
    es_error err = {0};
    es_model_cut_list list = {0};
    assert_ok_err(es_model_cut_points(arena, model, a, &list, &err), err);
    const char **names = ES_TAKE_ARRAY(arena, const char *, list.count);
    assert_non_null(names);
    for (size_t i = 0; i < list.count; i++) {
        names[i] = list.points[i].tensor->name;
        assert_int_equal(list.points[i].macs_before + list.points[i].macs_after, a->macs);
        assert_true(list.points[i].parameter_count_before + list.points[i].parameter_count_after >=
                    a->parameter_count);
    }
    const es_model *const *segments = NULL;
    assert_ok_err(es_model_cut(arena, model, names, list.count, &segments, &err), err);
    int64_t macs = 0;
    for (size_t k = 0; k <= list.count; k++) {
        const es_model_analysis *part = NULL;
        assert_ok_err(es_model_analyse(arena, segments[k], opts, &part, &err), err);
        macs += part->macs;
        const char *in = es_model_input(segments[k], 0)->name;
        assert_true(k == 0 || strcmp(in, names[k - 1]) == 0);
        assert_int_equal(part->unknown_count > 0, k == list.count && a->unknown_count > 0);
    }
    assert_int_equal(macs, a->macs);
}

static void check_model(const row *r, const char *path, size_t *analysed)
{
    es_arena *arena = es_arena_new((size_t)256 * 1000 * 1000);
    es_error err = {0};
    const es_model *model = NULL;
    const es_model *back = NULL;
    const es_model_analysis *a = NULL;
    const es_model_analysis *b = NULL;
    assert_ok_err(es_model_load(arena, path, es_model_opts_default(), &model, &err), err);
    assert_int_equal(es_model_node_count(model), number_in(r->cells[NODES]));
    assert_int_equal(es_model_ir_version(model), number_in(r->cells[IR]));
    check_declared(model, r);
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_model_bytes(arena, model, &bytes, &size, &err), err);
    assert_ok_err(es_model_parse(arena, path, bytes, size, es_model_opts_default(), &back, &err),
                  err);
    check_declared(back, r);
    es_model_analyse_opts opts = opts_for(path);
    if (strstr(r->cells[OPS], "RequantShift") != NULL) {
        assert_fails(es_model_analyse(arena, model, opts, &a, &err), ES_ERR_UNSUPPORTED, err,
                     "operator RequantShift of domain ");
        es_arena_free(arena);
        return;
    }
    assert_ok_err(es_model_analyse(arena, model, opts, &a, &err), err);
    assert_int_equal(a->stored_count, number_in(r->cells[PARAMS]));
    check_inferred(model, a);
    assert_ok_err(es_model_analyse(arena, back, opts, &b, &err), err);
    same_analysis(a, b);
    check_cuts(arena, model, a, opts);
    ++*analysed;
    es_arena_free(arena);
}

static void test_index(void **state)
{
    (void)state;
    const char *index = es_test_data("onnx/onnx_index.csv");
    if (index == NULL)
        skip();
    es_arena *arena = es_arena_new(1000 * 1000);
    es_error err = {0};
    char *text = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(arena, index, FILE_MAX, &text, &size, &err), err);
    row r;
    assert_true(next_row(&text, &r)); /* the heading */
    size_t rows = 0;
    size_t analysed = 0;
    while (next_row(&text, &r)) {
        const char *path = es_test_data(r.cells[FILE_NAME]);
        assert_non_null(path);
        print_message("%s\n", r.cells[FILE_NAME]);
        check_model(&r, path, &analysed);
        rows++;
    }
    assert_true(rows >= 20);
    assert_int_equal(analysed, rows - 5); /* five of onnx-deeploy use RequantShift */
    es_arena_free(arena);
}

/* MACs counted by hand or published; within one percent of the published round figure. */
static void test_known_work(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        double macs, tolerance;
    } known[] = {
        {"onnx/mlperf_tiny_resnet8_cifar10.onnx", 12501632, 0}, /* MLPerf Tiny: 12.5 M */
        {"onnx/mnist-8.onnx", 28 * 28 * 8 * 25 + 14 * 14 * 16 * 8 * 25 + 2560, 0},
        {"onnx/tfl_helloworld_sine.onnx", 16 + 256 + 16, 0},
        {"onnx-light/light_resnet50.onnx", 4.09e9, 0.01}, /* He et al. 2015: 3.8 GFLOPs, v1.5 4.1 */
        {"onnx-light/light_densenet121.onnx", 2.83e9, 0.01},
        {"onnx-light/light_bvlc_alexnet.onnx", 654.56e6, 0.001}, /* with its grouped layers */
        {"onnx-light/light_squeezenet.onnx", 349.15e6, 0.001},
    };
    if (es_test_data("onnx") == NULL || es_test_data("onnx-light") == NULL)
        skip();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        es_arena *arena = es_arena_new((size_t)64 * 1000 * 1000);
        es_error err = {0};
        const es_model *model = NULL;
        const char *path = es_test_data(known[i].file);
        assert_non_null(path);
        assert_ok_err(es_model_load(arena, path, es_model_opts_default(), &model, &err), err);
        double macs = (double)test_analyse(arena, model)->macs;
        double off = macs / known[i].macs - 1;
        if (off > known[i].tolerance || off < -known[i].tolerance)
            fail_msg("%s: %.0f MACs, known %.0f", known[i].file, macs, known[i].macs);
        es_arena_free(arena);
    }
}

/* Every prefix of a real file is refused with a text; the whole of it is accepted. */
static void test_prefixes(void **state)
{
    (void)state;
    const char *path = es_test_data("onnx/tfl_helloworld_sine.onnx");
    if (path == NULL)
        skip();
    es_arena *file = es_arena_new(1000 * 1000);
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(file, path, FILE_MAX, &bytes, &size, &err), err);
    es_arena *arena = es_arena_new(1000 * 1000);
    const es_model_analysis *whole = NULL;
    const es_model *model = NULL;
    es_model_opts opts = es_model_opts_default();
    assert_ok_err(es_model_parse(arena, "m", bytes, size, opts, &model, &err), err);
    int64_t macs = test_analyse(arena, model)->macs;
    size_t sound = 0;
    for (size_t cut = 0; cut < size; cut++) {
        es_arena_reset(arena);
        err.text[0] = '\0';
        es_status status = es_model_parse(arena, "m", bytes, cut, opts, &model, &err);
        if (status != ES_OK) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        sound++; /* cut between the last fields of the model: what is there is whole */
        status = es_model_analyse(arena, model, es_model_analyse_opts_default(), &whole, &err);
        assert_true(status != ES_OK || whole->macs == macs);
    }
    assert_true(sound < 8);
    es_arena_free(arena);
    es_arena_free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_known_work),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
