#include "runtime/internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

#include <pthread.h>

static es_session *open_add(fixture *all, int64_t batch)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_session *session = NULL;
    assert_ok_err(tiny_add(all->arena, batch, &bytes, &size, &err), err);
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    return session;
}

static void ports_are_told(void **state)
{
    es_session *session = open_add(fixture_get(state), -1);
    assert_int_equal(es_session_input_count(session), 1);
    assert_int_equal(es_session_output_count(session), 1);
    const es_port *x = es_session_input(session, 0);
    assert_string_equal(x->name, "x");
    assert_int_equal(x->dtype, ES_DTYPE_F32);
    assert_int_equal(x->rank, 2);
    assert_int_equal(x->dims[0], -1);
    assert_int_equal(x->dims[1], 4);
    assert_null(x->symbols[1]);
    assert_string_equal(es_session_output(session, 0)->name, "y");
    es_session_unref(session);
}

static void runs_into_own_and_into_the_callers_memory(void **state)
{
    es_session *session = open_add(fixture_get(state), -1);
    es_error err = {0};
    float in[8] = {10, 20, 30, 40, 50, 60, 70, 80};
    static const float wanted[8] = {11, 22, 33, 44, 51, 62, 73, 84};
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){2, 4}, 2, in);
    es_tensor y = {0};
    assert_ok_err(es_session_run(session, &x, 1, &y, 1, &err), err);
    assert_int_equal(y.rank, 2);
    assert_int_equal(y.dims[0], 2);
    assert_int_equal(y.size_bytes, sizeof wanted);
    assert_memory_equal(y.data, wanted, sizeof wanted);
    es_tensor_done(&y);
    float out[8] = {0};
    es_tensor mine = es_tensor_make(ES_DTYPE_F32, (int64_t[]){2, 4}, 2, out);
    assert_ok_err(es_session_run(session, &x, 1, &mine, 1, &err), err);
    assert_ptr_equal(mine.data, out);
    assert_memory_equal(out, wanted, sizeof wanted);
    es_session_unref(session);
}

static ort table; /* the library's own */

/* A run that failed without memory to say so. */
static OrtStatus *run_lost(OrtSession *session, const OrtRunOptions *options,
                           const char *const *input_names, const OrtValue *const *inputs,
                           size_t input_count, const char *const *output_names, size_t output_count,
                           OrtValue **outputs)
{
    (void)session, (void)options, (void)input_names, (void)inputs, (void)input_count;
    (void)output_names, (void)output_count, (void)outputs;
    return NULL;
}

/* y = x, whatever it is */
static OrtStatus *run_copy(OrtSession *session, const OrtRunOptions *options,
                           const char *const *input_names, const OrtValue *const *inputs,
                           size_t input_count, const char *const *output_names, size_t output_count,
                           OrtValue **outputs)
{
    (void)session, (void)options, (void)input_names, (void)input_count;
    (void)output_names, (void)output_count;
    void *from = NULL;
    void *to = NULL;
    assert_null(table.GetTensorMutableData((OrtValue *)(uintptr_t)inputs[0], &from));
    assert_null(table.GetTensorMutableData(outputs[0], &to));
    memcpy(to, from, 4 * sizeof(float));
    return NULL;
}

static void a_run_that_says_nothing_and_writes_nothing_has_failed(void **state)
{
    fixture *all = fixture_get(state);
    es_session *session = open_add(all, -1);
    es_error err = {0};
    float in[4] = {10, 20, 30, 40};
    float out[4] = {0};
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, in);
    es_tensor own = {0};
    es_tensor mine = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, out);
    table = all->runtime->api;
    all->runtime->api.Run = run_lost;
    assert_int_equal(es_session_run(session, &x, 1, &own, 1, &err), ES_ERR_NOMEM);
    assert_int_equal(es_session_run(session, &x, 1, &mine, 1, &err), ES_ERR_NOMEM);
    /* what is looked for, to know, is a possible result as well */
    all->runtime->api.Run = run_copy;
    for (int byte = 0; byte < 256; byte++) {
        memset(in, byte, sizeof in);
        assert_ok_err(es_session_run(session, &x, 1, &mine, 1, &err), err);
        assert_memory_equal(out, in, sizeof in);
    }
    all->runtime->api = table;
    es_session_unref(session);
}

static void binding_reads_inputs_anew(void **state)
{
    es_session *session = open_add(fixture_get(state), 1);
    es_error err = {0};
    float in[4] = {0, 0, 0, 0};
    float out[4] = {0};
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, in);
    es_tensor y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, out);
    es_binding *binding = NULL;
    assert_ok_err(es_binding_new(session, &x, 1, &y, 1, &binding, &err), err);
    es_session_unref(session); /* the binding holds it */
    for (int i = 0; i < 3; i++) {
        in[0] = (float)i;
        assert_ok_err(es_binding_run(binding, &err), err);
        assert_true(out[0] == (float)(i + 1));
        assert_true(out[3] == 4.0f);
    }
    es_binding_free(binding);
    es_binding_free(NULL);
}

static void wrong_inputs_are_named(void **state)
{
    es_session *session = open_add(fixture_get(state), -1);
    es_error err = {0};
    float in[8] = {0};
    es_tensor good = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, in);
    es_tensor y = {0};
    es_tensor two[2] = {good, good};
    assert_fails(es_session_run(session, two, 2, &y, 1, &err), ES_ERR_ARG, err,
                 "got 2 inputs, expected 1");
    assert_fails(es_session_run(session, &good, 1, &y, 0, &err), ES_ERR_ARG, err,
                 "got 0 outputs, expected 1");
    es_tensor bad = es_tensor_make(ES_DTYPE_I32, (int64_t[]){1, 4}, 2, in);
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err,
                 "input 0 'x': got i32[1x4], expected f32[?x4]");
    bad = es_tensor_make(ES_DTYPE_F32, (int64_t[]){2, 3}, 2, in);
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err,
                 "got f32[2x3], expected f32[?x4]");
    bad = es_tensor_make(ES_DTYPE_F32, (int64_t[]){4}, 1, in);
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err, "f32[4]");
    bad = good;
    bad.size_bytes = 12;
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err,
                 "got 12 bytes, expected 16");
    bad = good;
    bad.data = NULL;
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err, "data is NULL");
    bad = good;
    bad.dims[0] = -1;
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err, "overflows");
    bad = good;
    bad.rank = 9;
    assert_fails(es_session_run(session, &bad, 1, &y, 1, &err), ES_ERR_ARG, err, "rank=9");
    assert_null(y.data);
    es_session_unref(session);
}

static void wrong_outputs_are_named(void **state)
{
    es_session *session = open_add(fixture_get(state), -1);
    es_error err = {0};
    float memory[8] = {0};
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, memory);
    es_tensor y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 5}, 2, memory);
    assert_fails(es_session_run(session, &x, 1, &y, 1, &err), ES_ERR_ARG, err,
                 "output 0 'y': got f32[1x5], expected f32[?x4]");
    /* only the run itself finds out that the free dim differs */
    y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){2, 4}, 2, memory);
    assert_int_not_equal(es_session_run(session, &x, 1, &y, 1, &err), ES_OK);
    assert_non_null(strstr(err.text, "ONNX Runtime"));
    assert_non_null(strstr(err.text, "has shape {2,4} but the computed output shape"));
    assert_null(strstr(err.text, "onnxruntime_src"));
    es_tensor none = {0};
    es_binding *binding = NULL;
    assert_fails(es_binding_new(session, &x, 1, &none, 1, &binding, &err), ES_ERR_ARG, err,
                 "output 'y': a binding needs");
    es_session_unref(session);
}

static void bad_files_and_options_are_refused(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_session *session = NULL;
    es_session_opts opts = es_session_opts_default();
    assert_fails(es_session_open(all->runtime, "no/such.onnx", opts, &session, &err), ES_ERR_IO,
                 err, "cannot read model 'no/such.onnx': No such file");
    assert_fails(
        es_session_open(all->runtime, ES_TEST_SOURCE_DIR "/CMakeLists.txt", opts, &session, &err),
        ES_ERR_PARSE, err, "CMakeLists.txt");
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(tiny_add(all->arena, 1, &bytes, &size, &err), err);
    assert_fails(es_session_open_bytes(all->runtime, bytes, 0, opts, &session, &err), ES_ERR_PARSE,
                 err, "0 bytes");
    /* cut anywhere: an error or, when only optional parts are missing, a session; never a crash */
    size_t refused = 0;
    for (size_t cut = 1; cut < size; cut++) {
        es_status status = es_session_open_bytes(all->runtime, bytes, cut, opts, &session, &err);
        refused += status != ES_OK;
        if (status == ES_OK)
            es_session_unref(session);
        else
            assert_null(strchr(err.text, '\n'));
        session = NULL;
    }
    assert_true(refused > size / 2);
    opts.thread_count = 0;
    assert_fails(es_session_open_bytes(all->runtime, bytes, size, opts, &session, &err), ES_ERR_ARG,
                 err, "thread_count=0");
    opts = es_session_opts_default();
    opts.optimise = ES_SESSION_OPTIMISE_COUNT;
    assert_fails(es_session_open_bytes(all->runtime, bytes, size, opts, &session, &err), ES_ERR_ARG,
                 err, "optimise=4");
    assert_null(session);
    es_session_unref(NULL);
}

static void every_option_gives_the_same_result(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(tiny_add(all->arena, 1, &bytes, &size, &err), err);
    for (int k = 0; k < 16; k++) {
        es_session_opts opts = {.thread_count = 1 + (k & 1),
                                .spinning = k & 2,
                                .arena = k & 4,
                                .optimise = k & 8 ? ES_SESSION_OPTIMISE_NONE
                                                  : ES_SESSION_OPTIMISE_EXTENDED};
        es_session *session = NULL;
        assert_ok_err(es_session_open_bytes(all->runtime, bytes, size, opts, &session, &err), err);
        float in[4] = {1, 1, 1, 1};
        float out[4] = {0};
        es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, in);
        es_tensor y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, 4}, 2, out);
        assert_ok_err(es_session_run(session, &x, 1, &y, 1, &err), err);
        assert_true(out[3] == 5.0f);
        es_session_unref(session);
    }
}

/* ---- one session, several threads ---- */

enum { THREADS = 4, RUNS_PER_THREAD = 500, WIDTH = 64 };

typedef struct worker {
    es_session *session;
    float scale;
    float first[WIDTH];
    size_t different;
    es_status status;
} worker;

static void *work(void *context)
{
    worker *own = context;
    float in[WIDTH];
    float out[WIDTH];
    for (size_t i = 0; i < WIDTH; i++)
        in[i] = own->scale * (float)(i % 7);
    es_tensor x = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, WIDTH}, 2, in);
    for (size_t run = 0; run < RUNS_PER_THREAD && own->status == ES_OK; run++) {
        es_tensor y = es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, WIDTH}, 2, out);
        own->status = es_session_run(own->session, &x, 1, &y, 1, NULL);
        if (run == 0)
            memcpy(own->first, out, sizeof out);
        own->different += memcmp(own->first, out, sizeof out) != 0;
    }
    es_session_unref(own->session);
    return NULL;
}

static void threads_share_one_session(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_session *session = NULL;
    assert_ok_err(tiny_layers(all->arena, 1, WIDTH, 3, &bytes, &size, &err), err);
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    static worker workers[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.session = es_session_ref(session), .scale = (float)(i + 1)};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    es_session_unref(session); /* the last thread to finish unloads it */
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].status, ES_OK);
        assert_int_equal(workers[i].different, 0);
        /* relu layers without bias scale with their input, up to rounding */
        float wanted = workers[0].first[5] * workers[i].scale;
        assert_true(workers[i].first[5] <= wanted * 1.0001f + 1e-6f);
        assert_true(workers[i].first[5] >= wanted * 0.9999f - 1e-6f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_are_told),
        cmocka_unit_test(runs_into_own_and_into_the_callers_memory),
        cmocka_unit_test(a_run_that_says_nothing_and_writes_nothing_has_failed),
        cmocka_unit_test(binding_reads_inputs_anew),
        cmocka_unit_test(wrong_inputs_are_named),
        cmocka_unit_test(wrong_outputs_are_named),
        cmocka_unit_test(bad_files_and_options_are_refused),
        cmocka_unit_test(every_option_gives_the_same_result),
        cmocka_unit_test(threads_share_one_session),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
