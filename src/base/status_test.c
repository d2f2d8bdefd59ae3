#include "base/status.h"
#include "es_test.h"

static void every_status_has_texts_and_codes(void **state)
{
    (void)state;
    for (int i = 0; i < ES_STATUS_COUNT; i++) {
        assert_true(strlen(es_status_text((es_status)i)) > 1);
        assert_in_range(es_status_exit_code((es_status)i), 0, 2);
        assert_in_range(es_status_http((es_status)i), 200, 599);
        assert_int_equal(es_status_exit_code((es_status)i) == 0, i == ES_OK);
        assert_int_equal(es_status_http((es_status)i) == 200, i == ES_OK);
    }
    assert_int_equal(es_status_exit_code(ES_ERR_ARG), 2);
    assert_int_equal(es_status_http(ES_ERR_LIMIT), 413);
    assert_string_equal(es_status_text((es_status)ES_STATUS_COUNT), "unknown status");
    assert_string_equal(es_status_text((es_status)-1), "unknown status");
    assert_int_equal(es_status_exit_code((es_status)99), 1);
    assert_int_equal(es_status_http((es_status)99), 500);
}

static void fail_fills_the_error_and_returns_the_status(void **state)
{
    (void)state;
    es_error err = {0};
    assert_int_equal(es_fail(&err, ES_ERR_ARG, "x=%d must be >= 0", -1), ES_ERR_ARG);
    assert_int_equal(err.status, ES_ERR_ARG);
    assert_string_equal(es_error_text(&err), "x=-1 must be >= 0");
    assert_int_equal(es_fail(NULL, ES_ERR_IO, "nobody listens"), ES_ERR_IO);
}

static void within_prepends_where(void **state)
{
    (void)state;
    es_error err = {0};
    es_fail(&err, ES_ERR_PARSE, "inner");
    assert_int_equal(es_within(&err, ES_ERR_PARSE, "file '%s'", "a"), ES_ERR_PARSE);
    assert_string_equal(es_error_text(&err), "file 'a': inner");
    assert_int_equal(es_within(&err, ES_OK, "never"), ES_OK);
    assert_string_equal(es_error_text(&err), "file 'a': inner");
    assert_int_equal(es_within(NULL, ES_ERR_IO, "nobody"), ES_ERR_IO);
}

static void within_an_empty_error_tells_the_status(void **state)
{
    (void)state;
    es_error err = {0};
    assert_int_equal(es_within(&err, ES_ERR_NOMEM, "plan"), ES_ERR_NOMEM);
    assert_string_equal(es_error_text(&err), "plan: out of memory");
}

static void long_texts_end_in_dots(void **state)
{
    (void)state;
    char words[2 * ES_ERROR_SIZE];
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    es_error err = {0};
    es_fail(&err, ES_ERR_ARG, "%s", words);
    assert_int_equal(strlen(err.text), ES_ERROR_SIZE - 1);
    assert_string_equal(err.text + ES_ERROR_SIZE - 4, "...");
    es_fail(&err, ES_ERR_ARG, "%.*s", ES_ERROR_SIZE - 1, words);
    assert_int_equal(err.text[ES_ERROR_SIZE - 2], 'x'); /* fits exactly: no dots */
    es_within(&err, ES_ERR_ARG, "%s", words);
    assert_string_equal(err.text + ES_ERROR_SIZE - 4, "...");
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        char words[2 * ES_ERROR_SIZE] = "abc";
        size_t size = (size_t)shift;
        for (; size + 3 < sizeof words; size += 3)
            memcpy(words + size, "\xe2\x82\xac", 4); /* euro sign */
        es_error err = {0};
        es_fail(&err, ES_ERR_ARG, "%s", words);
        const char *dots = strstr(err.text, "...");
        assert_non_null(dots);
        assert_int_equal((dots - err.text - shift) % 3, 0);
        assert_string_equal(dots, "...");
    }
}

static void error_text_is_never_null(void **state)
{
    (void)state;
    es_error err = {.status = ES_ERR_CANCELLED};
    assert_string_equal(es_error_text(&err), "cancelled");
    assert_string_equal(es_error_text(NULL), "");
}

static es_status try_twice(es_status first, int *steps)
{
    ES_TRY(first);
    (*steps)++;
    return ES_OK;
}

static void try_returns_at_the_first_failure(void **state)
{
    (void)state;
    int steps = 0;
    assert_int_equal(try_twice(ES_ERR_LIMIT, &steps), ES_ERR_LIMIT);
    assert_int_equal(steps, 0);
    assert_int_equal(try_twice(ES_OK, &steps), ES_OK);
    assert_int_equal(steps, 1);
}

static void take_forgets(void **state)
{
    (void)state;
    int thing = 0;
    int *p = &thing;
    int *q = ES_TAKE(p);
    assert_ptr_equal(q, &thing);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_texts_and_codes),
        cmocka_unit_test(fail_fills_the_error_and_returns_the_status),
        cmocka_unit_test(within_prepends_where),
        cmocka_unit_test(within_an_empty_error_tells_the_status),
        cmocka_unit_test(long_texts_end_in_dots),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(error_text_is_never_null),
        cmocka_unit_test(try_returns_at_the_first_failure),
        cmocka_unit_test(take_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
