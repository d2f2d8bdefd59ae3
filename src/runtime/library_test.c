#include "es_test.h"
#include "runtime/runtime.h"

/* The library is absent on machines where set-up did not run: the tests of sessions then skip. */
static void loads_and_loads_again(void **state)
{
    (void)state;
    es_error err = {0};
    es_runtime *first = NULL;
    es_status status = es_runtime_new(es_runtime_opts_default(), &first, &err);
    if (status == ES_ERR_UNAVAILABLE)
        skip();
    assert_ok_err(status, err);
    unsigned long minor = strtoul(es_runtime_version(first) + 2, NULL, 10);
    assert_in_range(minor, 17, 28);
    assert_true(strlen(es_runtime_library_path(first)) > 0);
    es_runtime *second = NULL;
    assert_ok_err(es_runtime_new(es_runtime_opts_default(), &second, &err), err);
    es_runtime_free(first);
    es_runtime_free(second);
    es_runtime *third = NULL;
    assert_ok_err(es_runtime_new(es_runtime_opts_default(), &third, &err), err);
    assert_string_equal(getenv("ORT_DISABLE_TELEMETRY"), "1");
    es_runtime_free(third);
    es_runtime_free(NULL);
}

static void absent_library_says_what_to_do(void **state)
{
    (void)state;
    es_error err = {0};
    es_runtime *runtime = NULL;
    es_runtime_opts opts = es_runtime_opts_default();
    opts.library_path = ES_TEST_BINARY_DIR "/no-such-library.so";
    assert_fails(es_runtime_new(opts, &runtime, &err), ES_ERR_UNAVAILABLE, err, "make setup");
    assert_null(strchr(err.text, '\n'));
    assert_null(runtime);
    assert_int_equal(setenv("ESTRAN_ORT_LIBRARY", "/nowhere/lib.so", 1), 0);
    assert_fails(es_runtime_new(es_runtime_opts_default(), &runtime, &err), ES_ERR_UNAVAILABLE, err,
                 "/nowhere/lib.so");
    assert_int_equal(unsetenv("ESTRAN_ORT_LIBRARY"), 0);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_runtime *runtime = NULL;
    es_runtime_opts opts = es_runtime_opts_default();
    opts.library_path = ES_TEST_SOURCE_DIR "/CMakeLists.txt";
    assert_fails(es_runtime_new(opts, &runtime, &err), ES_ERR_UNAVAILABLE, err, "CMakeLists.txt");
    opts.library_path = "libm.so.6";
    assert_fails(es_runtime_new(opts, &runtime, &err), ES_ERR_UNAVAILABLE, err, "OrtGetApiBase");
    opts.log_level = 9;
    assert_fails(es_runtime_new(opts, &runtime, &err), ES_ERR_ARG, err, "log_level=9");
}

static void versions_that_phone_home_or_are_too_old_are_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_runtime *runtime = NULL;
    es_runtime_opts opts = es_runtime_opts_default();
    opts.library_path = ES_FAKE_ORT;
    static const struct {
        const char *version;
        const char *words;
    } cases[] = {{"1.29.0", "telemetry"}, {"1.30.0", "telemetry"},
                 {"2.0.0", "telemetry"},  {"1.16.3", "wanted 1.17"},
                 {"0.9", "wanted 1.17"},  {"1", "wanted 1.17"},
                 {"", "wanted 1.17"},     {"1.20.1", "version 17 of its table"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(setenv("FAKE_ORT_VERSION", cases[i].version, 1), 0);
        assert_fails(es_runtime_new(opts, &runtime, &err), ES_ERR_UNAVAILABLE, err, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_loads_again),
        cmocka_unit_test(absent_library_says_what_to_do),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(versions_that_phone_home_or_are_too_old_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
