/* Cutting real models at every cut point and chaining the parts gives what the whole gives. */
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

/* Without the library's graph optimiser the same kernels run on the same values: bit for bit the
 * same. With it, fusions across a cut are lost and sums round differently. */
static const double relative_optimised = 1e-4;
static const double absolute_optimised = 1e-6;

typedef struct part {
    es_session *session;
    es_tensor outputs[ES_SESSION_PORTS_MAX];
    size_t output_count;
} part;

static void part_run(fixture *all, es_arena *arena, const es_model *model,
                     es_session_optimise optimise, const es_tensor *inputs, size_t input_count,
                     part *out)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_session_opts opts = es_session_opts_default();
    opts.optimise = optimise;
    *out = (part){.session = NULL};
    assert_ok_err(es_model_bytes(arena, model, &bytes, &size, &err), err);
    assert_ok_err(es_session_open_bytes(all->runtime, bytes, size, opts, &out->session, &err), err);
    out->output_count = es_session_output_count(out->session);
    assert_ok_err(
        es_session_run(out->session, inputs, input_count, out->outputs, out->output_count, &err),
        err);
}

static void part_done(part *own)
{
    for (size_t i = 0; i < own->output_count; i++)
        es_tensor_done(&own->outputs[i]);
    es_session_unref(own->session);
}

/* Runs the segments one after the other; the last one's outputs come out. */
static void chain_run(fixture *all, es_arena *arena, const es_model *const *segments, size_t count,
                      es_session_optimise optimise, const es_tensor *inputs, size_t input_count,
                      part *out)
{
    static part parts[2];
    for (size_t k = 0; k < count; k++) {
        part *now = &parts[k & 1];
        const part *before = &parts[(k + 1) & 1];
        part_run(all, arena, segments[k], optimise, k == 0 ? inputs : before->outputs,
                 k == 0 ? input_count : before->output_count, now);
        if (k > 0)
            part_done(&parts[(k + 1) & 1]);
    }
    *out = parts[(count - 1) & 1];
}

static void same_outputs(const part *got, const part *wanted, bool bitwise, const char *what)
{
    assert_int_equal(got->output_count, wanted->output_count);
    for (size_t i = 0; i < got->output_count; i++) {
        tensor_difference difference;
        if (!tensor_compare(&got->outputs[i], &wanted->outputs[i], bitwise ? 0 : relative_optimised,
                            bitwise ? 0 : absolute_optimised, &difference))
            fail_msg("%s: output %zu: type or shape differs", what, i);
        if (difference.wrong_count > 0)
            fail_msg("%s: output %zu: %zu elements differ, first [%zu]: got %.9g, expected %.9g",
                     what, i, difference.wrong_count, difference.first, difference.got,
                     difference.wanted);
    }
}

/* One cut at each point, and all cuts at once. Answers the number of cut points. */
static size_t model_cut_everywhere(fixture *all, const es_model *model,
                                   const es_model_cut_list *cuts, const char *name)
{
    es_error err = {0};
    es_arena *arena = es_arena_new((size_t)2 << 30);
    const char **names = ES_TAKE_ARRAY(all->arena, const char *, cuts->count);
    static es_tensor inputs[ES_SESSION_PORTS_MAX];
    static part plain;
    static part chained;
    const es_model *const *segments = NULL;
    es_session *session = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_model_bytes(all->arena, model, &bytes, &size, &err), err);
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    size_t input_count = es_session_input_count(session);
    assert_ok_err(real_inputs(all->arena, session, inputs, &err), err);
    es_session_unref(session);

    part_run(all, arena, model, ES_SESSION_OPTIMISE_NONE, inputs, input_count, &plain);
    for (size_t i = 0; i < cuts->count; i++) {
        char what[512];
        names[i] = cuts->points[i].tensor->name;
        (void)snprintf(what, sizeof what, "%s cut at '%s'", name, names[i]);
        es_arena_reset(arena);
        assert_ok_err(es_model_cut(arena, model, &names[i], 1, &segments, &err), err);
        chain_run(all, arena, segments, 2, ES_SESSION_OPTIMISE_NONE, inputs, input_count, &chained);
        same_outputs(&chained, &plain, true, what);
        part_done(&chained);
    }
    es_arena_reset(arena);
    assert_ok_err(es_model_cut(arena, model, names, cuts->count, &segments, &err), err);
    chain_run(all, arena, segments, cuts->count + 1, ES_SESSION_OPTIMISE_NONE, inputs, input_count,
              &chained);
    same_outputs(&chained, &plain, true, "cut everywhere");
    part_done(&chained);
    part_done(&plain);
    part_run(all, arena, model, ES_SESSION_OPTIMISE_ALL, inputs, input_count, &plain);
    chain_run(all, arena, segments, cuts->count + 1, ES_SESSION_OPTIMISE_ALL, inputs, input_count,
              &chained);
    same_outputs(&chained, &plain, false, "cut everywhere, optimised");
    part_done(&chained);
    part_done(&plain);
    es_arena_free(arena);
    return cuts->count;
}

/* Only what the library runs at all can be compared. */
static bool library_runs(fixture *all, const char *path)
{
    es_session *session = NULL;
    static es_tensor inputs[ES_SESSION_PORTS_MAX];
    static es_tensor outputs[ES_SESSION_PORTS_MAX];
    es_status status =
        es_session_open(all->runtime, path, es_session_opts_default(), &session, NULL);
    if (status != ES_OK)
        return false;
    status = real_inputs(all->arena, session, inputs, NULL);
    if (status == ES_OK)
        status = es_session_run(session, inputs, es_session_input_count(session), outputs,
                                es_session_output_count(session), NULL);
    for (size_t i = 0; status == ES_OK && i < es_session_output_count(session); i++)
        es_tensor_done(&outputs[i]);
    es_session_unref(session);
    return status == ES_OK;
}

static void every_cut_of_every_model(void **state)
{
    fixture *all = fixture_get(state);
    size_t models = 0;
    size_t cut_total = 0;
    const char *only = getenv("ES_CASE");
    for (size_t m = 0; real_models[m] != NULL; m++) {
        if (only != NULL && strcmp(only, real_models[m]) != 0)
            continue;
        es_error err = {0};
        char name[128];
        (void)snprintf(name, sizeof name, "%s.onnx", real_models[m]);
        const char *path = es_test_data(name);
        if (path == NULL)
            skip();
        const es_model *model = NULL;
        const es_model_analysis *analysis = NULL;
        es_model_cut_list cuts = {0};
        es_status status = es_model_load(all->arena, path, es_model_opts_default(), &model, &err);
        if (status == ES_OK)
            status = es_model_analyse(all->arena, model, analyse_opts(), &analysis, &err);
        if (status == ES_OK)
            status = es_model_cut_points(all->arena, model, analysis, &cuts, &err);
        if (status != ES_OK || !library_runs(all, path)) {
            print_message("%-40s not compared: %s\n", name,
                          status != ES_OK ? es_error_text(&err) : "the library does not run it");
            continue;
        }
        size_t count = cuts.count > 0 ? model_cut_everywhere(all, model, &cuts, name) : 0;
        print_message("%-40s %zu cut points\n", name, count);
        models += count > 0;
        cut_total += count;
    }
    print_message("%zu models, %zu cuts\n", models, cut_total);
    assert_true(only != NULL || models >= 12);
    assert_true(only != NULL || cut_total >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_cut_of_every_model)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
