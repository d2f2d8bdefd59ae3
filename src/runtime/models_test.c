/* Real models: what the model module says of shapes is what comes out, and the values are those
 * that others computed. */
#include "base/file.h"
#include "model/model.h"
#include "runtime/testing/real_models.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tensor_file.h"

static es_model_analyse_opts analyse_opts(void)
{
    static const es_model_binding binding = {.name = "sequence", .value = REAL_SEQUENCE};
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.bindings = &binding;
    opts.binding_count = 1;
    return opts;
}

/* As the notice of the reference outputs suggests. The absolute part is for values near 0: relative
 * to the largest value of the output, and the other library's sigmoid rounds to 1e-7. */
static const double relative = 1e-3;
static const double absolute_of_largest = 1e-4;
static const double absolute_least = 1e-6;
static const size_t file_cap = 64u << 20;

static bool dims_agree(const es_model_tensor *told, const es_port *port)
{
    if (told->rank < 0 || port->rank == 0)
        return true;
    bool same = (size_t)told->rank == port->rank && (int)told->type == (int)port->dtype;
    for (size_t k = 0; same && k < port->rank; k++)
        same = told->dims[k] < 0 || port->dims[k] < 0 || told->dims[k] == port->dims[k];
    return same;
}

static bool shape_is(const es_model_tensor *told, const es_tensor *got)
{
    bool same = (size_t)told->rank == got->rank && (int)told->type == (int)got->dtype;
    for (size_t k = 0; same && k < got->rank; k++)
        same = told->dims[k] == got->dims[k];
    return same;
}

static void inputs_compare(const es_model *model, const es_session *session, const char *name)
{
    assert_int_equal(es_model_input_count(model), es_session_input_count(session));
    assert_int_equal(es_model_output_count(model), es_session_output_count(session));
    for (size_t i = 0; i < es_session_input_count(session); i++) {
        assert_string_equal(es_model_input(model, i)->name, es_session_input(session, i)->name);
        if (!dims_agree(es_model_input(model, i), es_session_input(session, i)))
            fail_msg("%s: input %zu differs", name, i);
    }
}

/* How many outputs' shapes the analysis knew; all that it knew must be right. */
static size_t shapes_compare(const es_model_analysis *analysis, const es_tensor *got, size_t count,
                             const char *name)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        const es_model_tensor *told = analysis->outputs[i];
        if (told->elements < 0 || got[i].dtype == ES_DTYPE_NONE)
            continue;
        if (!shape_is(told, &got[i]))
            fail_msg("%s: output %zu '%s': inferred shape differs from the real one", name, i,
                     told->name);
        known++;
    }
    return known;
}

typedef struct opened {
    const es_model *model; /* NULL: refused, see the error */
    const es_model_analysis *analysis;
    es_session *session; /* NULL: refused */
    es_tensor inputs[ES_SESSION_PORTS_MAX];
    es_tensor outputs[ES_SESSION_PORTS_MAX];
    size_t output_count;
    bool ran;
    es_error model_err;
    es_error run_err;
} opened;

static void open_and_run(fixture *all, const char *path, opened *out)
{
    *out = (opened){.model = NULL};
    if (es_model_load(all->arena, path, es_model_opts_default(), &out->model, &out->model_err) ==
        ES_OK) {
        if (es_model_analyse(all->arena, out->model, analyse_opts(), &out->analysis,
                             &out->model_err) != ES_OK)
            out->model = NULL;
    }
    es_status status = es_session_open(all->runtime, path, es_session_opts_default(), &out->session,
                                       &out->run_err);
    if (status == ES_OK)
        status = real_inputs(all->arena, out->session, out->inputs, &out->run_err);
    if (status == ES_OK) {
        out->output_count = es_session_output_count(out->session);
        status = es_session_run(out->session, out->inputs, es_session_input_count(out->session),
                                out->outputs, out->output_count, &out->run_err);
    }
    out->ran = status == ES_OK;
}

static void opened_done(opened *model)
{
    for (size_t i = 0; i < model->output_count; i++)
        es_tensor_done(&model->outputs[i]);
    es_session_unref(model->session);
}

static void shapes_are_what_comes_out(void **state)
{
    fixture *all = fixture_get(state);
    size_t compared = 0;
    for (size_t m = 0; real_models[m] != NULL; m++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s.onnx", real_models[m]);
        const char *path = es_test_data(name);
        if (path == NULL)
            skip();
        static opened now;
        open_and_run(all, path, &now);
        if (now.session != NULL && now.model != NULL)
            inputs_compare(now.model, now.session, name);
        size_t known = 0;
        if (now.ran && now.model != NULL)
            known = shapes_compare(now.analysis, now.outputs, now.output_count, name);
        compared += known > 0;
        print_message("%-40s %zu of %zu output shapes known%s%s%s%s\n", name, known,
                      now.output_count, now.model == NULL ? "; model: " : "",
                      now.model == NULL ? es_error_text(&now.model_err) : "",
                      now.ran ? "" : "; run: ", now.ran ? "" : es_error_text(&now.run_err));
        opened_done(&now);
    }
    assert_true(compared >= 13);
}

static double largest(const es_tensor *tensor)
{
    double most = 0;
    const float *values = tensor->data;
    for (size_t i = 0; i < es_tensor_count(tensor); i++)
        most = values[i] > (float)most ? (double)values[i] : most;
    return most;
}

static void output_compare(const es_tensor *got, const es_tensor *wanted, const char *name)
{
    es_tensor flat = *wanted; /* the reference drops or adds leading ones now and then */
    assert_int_equal(es_tensor_count(got), es_tensor_count(wanted));
    flat.rank = got->rank;
    memcpy(flat.dims, got->dims, sizeof flat.dims);
    tensor_difference difference;
    double absolute = absolute_of_largest * largest(wanted) + absolute_least;
    assert_true(tensor_compare(got, &flat, relative, absolute, &difference));
    print_message("%-55s worst %.3f of the tolerance\n", name, difference.worst);
    if (difference.wrong_count > 0)
        fail_msg("%s: %zu elements differ, first [%zu]: got %g, expected %g", name,
                 difference.wrong_count, difference.first, difference.got, difference.wanted);
}

/* "gpu_0/softmax_1" is in the file "..__gpu_0_softmax_1.npy". */
static void reference_name(char *out, size_t size, const char *model, const char *output)
{
    const char *stem = strchr(model, '/') + 1;
    (void)snprintf(out, size, "onnx-reference/%s__%s.npy", stem, output);
    for (char *c = out + strlen("onnx-reference/"); *c != '\0'; c++)
        if (*c == '/')
            *c = '_';
}

static void values_are_the_reference(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    size_t compared = 0;
    for (size_t m = 0; real_models[m] != NULL; m++) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s.onnx", real_models[m]);
        const char *path = es_test_data(name);
        if (path == NULL)
            skip();
        static opened now;
        open_and_run(all, path, &now);
        for (size_t i = 0; now.ran && i < now.output_count; i++) {
            reference_name(name, sizeof name, real_models[m],
                           es_session_output(now.session, i)->name);
            char file[4096];
            const char *root = es_test_data("onnx-reference");
            if (root == NULL)
                skip();
            (void)snprintf(file, sizeof file, "%s%s", root, strchr(name, '/'));
            if (!es_file_exists(file))
                continue;
            char *bytes = NULL;
            size_t size = 0;
            es_tensor wanted;
            assert_ok_err(es_file_read(all->arena, file, file_cap, &bytes, &size, &err), err);
            assert_ok_err(tensor_from_npy(all->arena, bytes, size, &wanted, &err), err);
            output_compare(&now.outputs[i], &wanted, name);
            compared++;
        }
        opened_done(&now);
    }
    assert_int_equal(compared, 22);
}

static void light_models_give_the_official_output(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    size_t compared = 0;
    for (size_t m = 0; real_models[m] != NULL; m++) {
        if (strncmp(real_models[m], "onnx-light/", 11) != 0)
            continue;
        char name[256];
        (void)snprintf(name, sizeof name, "%s.onnx", real_models[m]);
        const char *path = es_test_data(name);
        if (path == NULL)
            skip();
        es_session *session = NULL;
        assert_ok_err(
            es_session_open(all->runtime, path, es_session_opts_default(), &session, &err), err);
        es_tensor x;
        es_tensor y = {.dtype = ES_DTYPE_NONE};
        assert_ok_err(tensor_for_port(all->arena, es_session_input(session, 0), &x, &err), err);
        size_t count = es_tensor_count(&x);
        for (size_t k = 0; k < count; k++)
            ((float *)x.data)[k] = (float)((double)k / (double)count);
        assert_ok_err(es_session_run(session, &x, 1, &y, 1, &err), err);
        (void)snprintf(name, sizeof name, "%s_output_0.pb", real_models[m]);
        path = es_test_data(name);
        assert_non_null(path);
        char *bytes = NULL;
        size_t size = 0;
        es_tensor wanted;
        assert_ok_err(es_file_read(all->arena, path, file_cap, &bytes, &size, &err), err);
        assert_ok_err(tensor_from_pb(all->arena, bytes, size, &wanted, &err), err);
        output_compare(&y, &wanted, name);
        es_tensor_done(&y);
        es_session_unref(session);
        compared++;
    }
    assert_int_equal(compared, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_what_comes_out),
        cmocka_unit_test(values_are_the_reference),
        cmocka_unit_test(light_models_give_the_official_output),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
