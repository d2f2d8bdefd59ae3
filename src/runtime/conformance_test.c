/* ONNX's own operator tests: what our model module loads and writes again runs as the original, and
 * so do an edited copy in which every inner value has a new name, and that one with short names. */
#include "base/array.h"
#include "base/file.h"
#include "model/model.h"
#include "runtime/internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tar.h"
#include "runtime/testing/tensor_file.h"

static const size_t archive_cap = (size_t)1 << 30;
static const double relative = 1e-3; /* as the archive's notice says */
static const double absolute = 1e-7;

/* At least so many cases pass; raise it when more operators are supported. */
enum { PASSED_FLOOR = 1100, UPGRADED_FLOOR = 70 };

typedef struct counts {
    size_t total;
    size_t passed;
    size_t refused_by_us;      /* operator not supported, named */
    size_t refused_by_library; /* neither the original nor our copy opens or runs */
    size_t not_carried;        /* strings, sequences, 4-bit and 8-bit floats: opened, not run */
    size_t original_differs;   /* the original differs from the expected output, and so do we */
    size_t wrong;              /* our copy does not do what the original does */
    size_t edited_wrong;       /* the copy with other names does not */
    size_t upgraded, upgraded_wrong; /* copies at opset 13 that pass, and that do not */
    size_t shape_known;              /* outputs whose inferred shape was complete */
    size_t shape_wrong;
} counts;

typedef struct archive {
    tar_file *items;
    size_t count;
    size_t capacity;
} archive;

typedef struct test_case {
    const char *name;
    const tar_file *model;
    const archive *files;
    size_t first; /* files of the case: [first, end) */
    size_t end;
    es_tensor inputs[ES_SESSION_PORTS_MAX];
    size_t input_count;
    es_tensor wanted[ES_SESSION_PORTS_MAX];
    size_t wanted_count;
} test_case;

/* The tensors of input_N.pb or output_N.pb, as many as there are in order. */
static es_status tensors_read(es_arena *arena, const test_case *test, const char *kind,
                              es_tensor *out, size_t *out_count, es_error *err)
{
    *out_count = 0;
    for (size_t n = 0; n < ES_SESSION_PORTS_MAX; n++) {
        char name[300];
        (void)snprintf(name, sizeof name, "%s/test_data_set_0/%s_%zu.pb", test->name, kind, n);
        const tar_file *found = NULL;
        for (size_t i = test->first; i < test->end && found == NULL; i++)
            if (strcmp(test->files->items[i].name, name) == 0)
                found = &test->files->items[i];
        if (found == NULL)
            return ES_OK;
        ES_TRY(tensor_from_pb(arena, found->bytes, found->size, &out[n], err));
        *out_count = n + 1;
    }
    return ES_OK;
}

/* Opens and runs; the outputs are the caller's to release on success. */
static es_status run_bytes(fixture *all, const void *bytes, size_t size, const test_case *test,
                           es_tensor *outputs, size_t *out_count, es_error *err)
{
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    ES_TRY(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, err));
    *out_count = es_session_output_count(session);
    return es_session_run(session, test->inputs, test->input_count, outputs, *out_count, err);
}

static void outputs_done(es_tensor *outputs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        es_tensor_done(&outputs[i]);
}

static size_t differing(const es_tensor *got, const es_tensor *wanted, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        tensor_difference difference;
        wrong += !tensor_compare(&got[i], &wanted[i], relative, absolute, &difference) ||
                 difference.wrong_count > 0;
    }
    return wrong;
}

static bool names_an_operator(es_arena *arena, const es_model *model, const char *text)
{
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    const es_model_analysis *analysis = NULL;
    if (es_model_analyse(arena, model, opts, &analysis, NULL) != ES_OK)
        return false;
    for (size_t i = 0; i < analysis->node_count; i++)
        if (strstr(text, analysis->nodes[i].op) != NULL)
            return true;
    return false;
}

static void shapes_check(const es_model_analysis *analysis, const es_tensor *got, size_t count,
                         const char *name, counts *sum)
{
    for (size_t i = 0; i < count && i < analysis->output_count; i++) {
        const es_model_tensor *told = analysis->outputs[i];
        if (got[i].dtype == ES_DTYPE_NONE || told->rank < 0 || told->elements < 0)
            continue;
        sum->shape_known++;
        bool same = (size_t)told->rank == got[i].rank && (int)told->type == (int)got[i].dtype;
        for (size_t k = 0; same && k < got[i].rank; k++)
            same = told->dims[k] == got[i].dims[k];
        char inferred[96];
        char real[96];
        if (!same)
            print_message("shape differs: %s output %zu '%s': inferred %s, got %s\n", name, i,
                          told->name,
                          es_shape_text((es_dtype)told->type, told->dims, (size_t)told->rank,
                                        inferred, sizeof inferred),
                          es_shape_text(got[i].dtype, got[i].dims, got[i].rank, real, sizeof real));
        sum->shape_wrong += !same;
    }
}

/* Both ran or not: the copy must do as the original does. */
static void outcomes_judge(fixture *all, const test_case *test, const es_model_analysis *analysis,
                           const void *bytes, size_t size, counts *sum)
{
    es_tensor theirs[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    es_tensor ours[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    size_t their_count = 0;
    size_t our_count = 0;
    es_error their_err = {0};
    es_error our_err = {0};
    es_status original = run_bytes(all, test->model->bytes, test->model->size, test, theirs,
                                   &their_count, &their_err);
    es_status copy = run_bytes(all, bytes, size, test, ours, &our_count, &our_err);
    if (original != ES_OK && copy != ES_OK) {
        sum->refused_by_library++;
    } else if (original != ES_OK || copy != ES_OK) {
        print_message("wrong: %s: original '%s', copy '%s'\n", test->name,
                      original == ES_OK ? "runs" : es_error_text(&their_err),
                      copy == ES_OK ? "runs" : es_error_text(&our_err));
        sum->wrong++;
    } else if (our_count != their_count || our_count != test->wanted_count) {
        print_message("wrong: %s: %zu outputs, original %zu, expected %zu\n", test->name, our_count,
                      their_count, test->wanted_count);
        sum->wrong++;
    } else {
        size_t our_wrong = differing(ours, test->wanted, our_count);
        size_t their_wrong = differing(theirs, test->wanted, our_count);
        sum->passed += our_wrong == 0;
        sum->original_differs += our_wrong > 0 && their_wrong > 0;
        sum->wrong += our_wrong > 0 && their_wrong == 0;
        if (our_wrong > 0)
            print_message("%s: %s\n", their_wrong > 0 ? "original differs" : "wrong", test->name);
        shapes_check(analysis, ours, our_count, test->name, sum);
    }
    if (original == ES_OK)
        outputs_done(theirs, their_count);
    if (copy == ES_OK)
        outputs_done(ours, our_count);
}

static bool opens(fixture *all, const void *bytes, size_t size)
{
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    return es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session,
                                 NULL) == ES_OK;
}

/* An edited copy: other names for what the nodes make and for the weights. */
static es_status renamed(es_arena *arena, const es_model *model, const es_model **out_model,
                         es_error *err)
{
    es_model_build *edit = es_model_build_from(arena, model);
    if (edit == NULL)
        return es_arena_full(arena, "model", err);
    for (size_t i = 0; i < es_model_node_count(model); i++) {
        es_model_op op = es_model_op_at(model, i);
        for (size_t k = 0; k < op.output_count; k++)
            if (op.outputs[k][0] != '\0')
                es_model_build_rename(edit, op.outputs[k],
                                      es_model_build_fresh(edit, op.outputs[k]));
    }
    for (size_t i = 0; i < es_model_weight_count(model); i++) {
        const char *name = es_model_weight_at(model, i).tensor.name;
        es_model_build_rename(edit, name, es_model_build_fresh(edit, name));
    }
    return es_model_build_finish(edit, out_model, err);
}

/* A copy at opset 13 does what the original does too. */
static void upgrade_judge(fixture *all, es_arena *arena, const test_case *test,
                          const es_model *model, const es_model_analysis *analysis, counts *sum)
{
    es_error err = {0};
    const es_model *upgraded = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    counts again = {0};
    int64_t opset = es_model_opset_of(model, "");
    if (opset < ES_MODEL_OPSET_OLDEST || opset >= ES_MODEL_OPSET_UPGRADED)
        return;
    if (es_model_upgrade(arena, model, &upgraded, &err) != ES_OK) {
        print_message("not upgraded: %s\n", es_error_text(&err));
        return;
    }
    assert_ok_err(es_model_bytes(arena, upgraded, &bytes, &size, &err), err);
    outcomes_judge(all, test, analysis, bytes, size, &again);
    sum->upgraded += again.passed;
    sum->upgraded_wrong += again.wrong;
}

static void case_run(fixture *all, es_arena *arena, test_case *test, counts *sum)
{
    es_error err = {0};
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    sum->total++;
    es_status status = es_model_parse(arena, test->name, test->model->bytes, test->model->size,
                                      es_model_opts_default(), &model, &err);
    if (status == ES_OK)
        status = es_model_analyse(arena, model, es_model_analyse_opts_default(), &analysis, &err);
    if (status == ES_ERR_UNSUPPORTED &&
        (model == NULL || names_an_operator(arena, model, err.text))) {
        sum->refused_by_us++;
        return;
    }
    if (status == ES_OK)
        status = es_model_bytes(arena, model, &bytes, &size, &err);
    bool theirs = opens(all, test->model->bytes, test->model->size);
    if (status != ES_OK) {
        print_message("%s: %s\n", theirs ? "wrong" : "refused by both", es_error_text(&err));
        sum->wrong += theirs;
        sum->refused_by_library += !theirs;
        return;
    }
    if (opens(all, bytes, size) != theirs) {
        print_message("wrong: %s: only %s opens\n", test->name, theirs ? "original" : "copy");
        sum->wrong++;
        return;
    }
    status = tensors_read(arena, test, "input", test->inputs, &test->input_count, &err);
    if (status == ES_OK)
        status = tensors_read(arena, test, "output", test->wanted, &test->wanted_count, &err);
    if (status == ES_ERR_UNSUPPORTED) {
        sum->not_carried++;
        return;
    }
    if (status != ES_OK)
        fail_msg("%s: %s", test->name, es_error_text(&err));
    outcomes_judge(all, test, analysis, bytes, size, sum);
    const es_model *edited = NULL;
    counts again = {0};
    assert_ok_err(renamed(arena, model, &edited, &err), err);
    assert_ok_err(es_model_bytes(arena, edited, &bytes, &size, &err), err);
    outcomes_judge(all, test, analysis, bytes, size, &again);
    assert_ok_err(es_model_compact(arena, edited, &edited, &err), err);
    assert_ok_err(es_model_bytes(arena, edited, &bytes, &size, &err), err);
    outcomes_judge(all, test, analysis, bytes, size, &again);
    sum->edited_wrong += again.wrong;
    upgrade_judge(all, arena, test, model, analysis, sum);
}

static void archive_read(es_arena *arena, const char *path, archive *out)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read_gz(arena, path, archive_cap, &bytes, &size, &err), err);
    size_t offset = 0;
    tar_file file;
    while (tar_next(bytes, size, &offset, &file))
        assert_ok_err(ES_ARRAY_PUSH(arena, out, file, "files", &err), err);
}

static void every_case_runs_as_the_original(void **state)
{
    fixture *all = fixture_get(state);
    const char *path = es_test_data("onnx-conformance/onnx_backend_tests.tar.gz");
    if (path == NULL)
        skip();
    archive files = {0};
    archive_read(all->arena, path, &files);
    es_arena *arena = es_arena_new((size_t)1 << 30);
    assert_non_null(arena);
    counts sum = {0};
    const char *only = getenv("ES_CASE"); /* one case, for looking closer */
    for (size_t i = 0; i < files.count; i++) {
        char name[260];
        (void)snprintf(name, sizeof name, "%s", files.items[i].name);
        char *slash = strstr(name, "/model.onnx");
        if (slash == NULL)
            continue;
        *slash = '\0';
        if (only != NULL && strcmp(only, name) != 0)
            continue;
        static test_case test;
        test = (test_case){.name = name, .model = &files.items[i], .files = &files, .first = i + 1};
        for (test.end = test.first; test.end < files.count; test.end++)
            if (strncmp(files.items[test.end].name, name, strlen(name)) != 0 ||
                files.items[test.end].name[strlen(name)] != '/')
                break;
        case_run(all, arena, &test, &sum);
        es_arena_reset(arena);
    }
    es_arena_free(arena);
    print_message(
        "cases %zu: passed %zu, refused by us %zu, refused by the library %zu, not "
        "carried %zu, original differs %zu, wrong %zu, edited %zu; upgraded %zu, wrong %zu; "
        "shapes inferred %zu, wrong %zu\n",
        sum.total, sum.passed, sum.refused_by_us, sum.refused_by_library, sum.not_carried,
        sum.original_differs, sum.wrong, sum.edited_wrong, sum.upgraded, sum.upgraded_wrong,
        sum.shape_known, sum.shape_wrong);
    assert_int_equal(sum.wrong, 0);
    assert_int_equal(sum.edited_wrong, 0);
    assert_int_equal(sum.upgraded_wrong, 0);
    assert_true(only != NULL || sum.upgraded >= UPGRADED_FLOOR);
    assert_int_equal(sum.shape_wrong, 0);
    assert_true(only != NULL || sum.passed >= PASSED_FLOOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_runs_as_the_original)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
