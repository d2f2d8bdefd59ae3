/* Real models cut in two and in three, spread over one, two and three nodes: the answer is what
 * ONNX Runtime alone makes of the whole model. */
#include "base/rng.h"
#include "model/model.h"
#include "nodes.h"

#include <math.h>

static const char *const STEMS[] = {"mlperf_tiny_resnet8_cifar10", "mnist-8",
                                    "stm_mobilenet_v2_0.35_128", "tfl_helloworld_sine",
                                    "wonnx_opt-mnist"};
enum { MODELS = sizeof STEMS / sizeof *STEMS, INPUTS = 3, ROUTES = 6 };

/* With the graph optimiser fusions across a cut are lost and sums round differently: as in
 * src/runtime/cut_test.c. */
static const double RELATIVE = 1e-4, ABSOLUTE = 1e-6;

static nodes all;
static es_runtime *runtime;

static int set_up(void **state)
{
    es_error err = {0};
    (void)state;
    nodes_begin(&all);
    if (es_runtime_new(es_runtime_opts_default(), &runtime, &err) != ES_OK) {
        print_message("skipped: %s\n", es_error_text(&err));
        skip();
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    es_runtime_free(runtime);
    nodes_end(&all);
    return 0;
}

static void write_model(const es_model *model, const char *stem, const char *part)
{
    char path[1024];
    es_error err = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)256 << 20);
    (void)snprintf(path, sizeof path, "%s/%s%s.onnx", all.folder, stem, part);
    assert_ok_err(es_model_write(scratch, model, path, &err), err);
}

/* `stem`, and its parts stem-a1, -a2 (one cut) and stem-b1, -b2, -b3 (two). */
static void cut(es_arena *arena, const char *path, const char *stem)
{
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    const es_model *const *parts = NULL;
    es_model_cut_list cuts;
    es_error err = {0};
    assert_ok_err(es_model_load(arena, path, es_model_opts_default(), &model, &err), err);
    assert_ok_err(es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, &err),
                  err);
    assert_ok_err(es_model_cut_points(arena, model, analysis, &cuts, &err), err);
    assert_true(cuts.count >= 2);
    write_model(model, stem, "");
    const char *names[2] = {cuts.points[cuts.count / 2].tensor->name};
    assert_ok_err(es_model_cut(arena, model, names, 1, &parts, &err), err);
    write_model(parts[0], stem, "-a1");
    write_model(parts[1], stem, "-a2");
    names[0] = cuts.points[cuts.count / 3].tensor->name;
    names[1] = cuts.points[cuts.count / 3 + (cuts.count + 1) / 3].tensor->name;
    assert_ok_err(es_model_cut(arena, model, names, 2, &parts, &err), err);
    write_model(parts[0], stem, "-b1");
    write_model(parts[1], stem, "-b2");
    write_model(parts[2], stem, "-b3");
}

static void compare(const es_tensor *wanted, const es_oip_message *got, const char *route)
{
    const float *a = wanted->data;
    const float *b = got->tensors[0].data;
    size_t count = wanted->size_bytes / sizeof *a;
    double scale = 0;
    assert_int_equal(wanted->dtype, ES_DTYPE_F32);
    assert_int_equal(got->tensors[0].size_bytes, wanted->size_bytes);
    assert_int_equal(got->tensors[0].rank, wanted->rank);
    assert_memory_equal(got->tensors[0].dims, wanted->dims, wanted->rank * sizeof *wanted->dims);
    for (size_t i = 0; i < count; i++)
        scale = fmax(scale, fabs((double)a[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= ABSOLUTE + RELATIVE * scale))
            fail_msg("%s: value %zu is %g, ONNX Runtime alone says %g", route, i, (double)b[i],
                     (double)a[i]);
}

/* Every "%s" becomes the stem. */
static void format_stem(char *out, size_t size, const char *pattern, const char *stem)
{
    size_t used = 0;
    out[0] = '\0';
    while (*pattern != '\0' && used + 1 < size) {
        if (strncmp(pattern, "%s", 2) == 0) {
            used += (size_t)snprintf(out + used, size - used, "%s", stem);
            pattern += 2;
        } else {
            out[used++] = *pattern++;
            out[used] = '\0';
        }
    }
}

static void ask_all_routes(const char *stem, const es_port *port, const es_tensor *input,
                           const es_tensor *wanted)
{
    static const char *const routes[ROUTES][2] = {
        {"%s", "n1/%s"},
        {"%s-a1", "n1/%s-a1, n1/%s-a2"},
        {"%s-a1", "n1/%s-a1, n2/%s-a2"},
        {"%s-b1", "n1/%s-b1, n2/%s-b2, n1/%s-b3"},
        {"%s-b1", "n1/%s-b1, n2/%s-b2, n3/%s-b3"},
        {"%s-b1", "n1/%s-b1;exit-output=0, n2/%s-b2;forward=0, n3/%s-b3"},
    };
    for (size_t i = 0; i < ROUTES; i++) {
        char model[256];
        char route[1024];
        es_http_reply reply;
        es_oip_message message;
        size_t count = 0;
        es_oip_tensor tensor = {.name = port->name,
                                .dtype = input->dtype,
                                .rank = input->rank,
                                .data = input->data,
                                .size_bytes = input->size_bytes,
                                .binary = true};
        memcpy(tensor.dims, input->dims, sizeof tensor.dims);
        format_stem(model, sizeof model, routes[i][0], stem);
        format_stem(route, sizeof route, routes[i][1], stem);
        (void)nodes_infer_tensor(&all, 0, model, route, &tensor, NULL, 0, &reply);
        (void)nodes_answer(&all, &reply, &count, &message);
        compare(wanted, &message, route);
    }
}

static void ask_model(es_arena *arena, const char *stem)
{
    char path[1024];
    es_error err = {0};
    es_session *session = NULL;
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    (void)snprintf(path, sizeof path, "%s/%s.onnx", all.folder, stem);
    assert_ok_err(es_session_open(runtime, path, es_session_opts_default(), &session, &err), err);
    const es_port *port = es_session_input(session, 0);
    for (int k = 0; k < INPUTS; k++) {
        es_tensor input = es_port_tensor(port, 1);
        es_tensor output = {0};
        input.data = es_arena_take(arena, input.size_bytes, 1);
        assert_non_null(input.data);
        es_tensor_fill(&input, &rng);
        assert_ok_err(es_session_run(session, &input, 1, &output, 1, &err), err);
        ask_all_routes(stem, port, &input, &output);
        es_tensor_done(&output);
    }
    es_session_unref(session);
}

static void splits_are_what_the_whole_is(void **state)
{
    (void)state;
    size_t found = 0;
    const char *stems[MODELS];
    for (size_t i = 0; i < MODELS; i++) {
        char name[256];
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
        (void)snprintf(name, sizeof name, "onnx/%s.onnx", STEMS[i]);
        const char *path = es_test_data(name);
        if (path == NULL)
            continue;
        cut(arena, path, STEMS[i]);
        stems[found++] = STEMS[i];
    }
    if (found == 0)
        skip();
    nodes_start(&all, 3, es_server_opts_default());
    nodes_introduce(&all, 0, 0);
    for (size_t i = 0; i < found; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
        ask_model(arena, stems[i]);
    }
    print_message("%zu models, %d inputs, %d routes each\n", found, INPUTS, ROUTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(splits_are_what_the_whole_is, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
