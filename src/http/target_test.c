#include "es_test.h"
#include "internal.h"

static void matches_whole_paths(void **state)
{
    es_http_match match;
    char scratch[64];
    (void)state;
    static const char PATTERN[] = "/v2/models/{model}/versions/{version}/infer";
    assert_true(es_http_path_fits(PATTERN, "/v2/models/a%20b/versions/1/infer", &match, scratch,
                                  sizeof scratch));
    assert_int_equal(match.count, 2);
    assert_string_equal(match.values[0], "a b");
    assert_string_equal(match.values[1], "1");
    static const char *const OTHERS[] = {
        "/v2/models//versions/1/infer",
        "/v2/models/a/versions/1",
        "/v2/models/a/versions/1/infer/more",
        "/v2/models/a/versions/1/inferx",
        "/v2/models/a%/versions/1/infer",
        "",
        "*",
        "http://host/v2",
        "//v2/models",
        "/v2/models/a/versions/1/infer//",
    };
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++)
        assert_false(es_http_path_fits(PATTERN, OTHERS[i], &match, scratch, sizeof scratch));
    assert_true(es_http_path_fits("/v2", "/v2/", &match, scratch, sizeof scratch));
    assert_true(es_http_path_fits("/", "/", &match, scratch, sizeof scratch));
    assert_false(es_http_path_fits("/{a}", "/toolong", &match, scratch, 4));
}

static void finds_query_values(void **state)
{
    char out[16];
    (void)state;
    assert_true(es_http_query_find("a=1&bb=2+%33&c", "bb", out, sizeof out));
    assert_string_equal(out, "2 3");
    assert_true(es_http_query_find("a=1&bb=2&c", "c", out, sizeof out));
    assert_string_equal(out, "");
    assert_true(es_http_query_find("a=1&a=2", "a", out, sizeof out));
    assert_string_equal(out, "1");
    assert_false(es_http_query_find("ab=1&ba=2", "a", out, sizeof out));
    assert_false(es_http_query_find("", "a", out, sizeof out));
    assert_false(es_http_query_find("a=%zz", "a", out, sizeof out));
}

static void checks_patterns(void **state)
{
    es_error err = {0};
    (void)state;
    assert_ok(es_http_pattern_check("/v2/{a}/b", &err));
    assert_fails(es_http_pattern_check("v2", &err), ES_ERR_ARG, err, "must begin with '/'");
    assert_fails(es_http_pattern_check("/{a", &err), ES_ERR_ARG, err, "'{' without");
    assert_fails(es_http_pattern_check("/{}", &err), ES_ERR_ARG, err, "'{' without");
    assert_fails(es_http_pattern_check("/{a}/{b}/{c}/{d}/{e}", &err), ES_ERR_ARG, err, "4 names");
}

static void knows_bearers(void **state)
{
    static const es_http_token TOKENS[] = {{"0123456789abcdef", 1}, {"fedcba9876543210", 6}};
    (void)state;
    assert_int_equal(es_http_bearer_roles("Bearer 0123456789abcdef", TOKENS, 2), 1);
    assert_int_equal(es_http_bearer_roles("bearer  fedcba9876543210", TOKENS, 2), 6);
    assert_int_equal(es_http_bearer_roles("Bearer 0123456789abcde", TOKENS, 2), 0);
    assert_int_equal(es_http_bearer_roles("Bearer 0123456789abcdef0", TOKENS, 2), 0);
    assert_int_equal(es_http_bearer_roles("Bearer ", TOKENS, 2), 0);
    assert_int_equal(es_http_bearer_roles("Basic 0123456789abcdef", TOKENS, 2), 0);
    assert_int_equal(es_http_bearer_roles(NULL, TOKENS, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_whole_paths),
        cmocka_unit_test(finds_query_values),
        cmocka_unit_test(checks_patterns),
        cmocka_unit_test(knows_bearers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
