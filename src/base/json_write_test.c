#include "base/document.h"
#include "es_test.h"

#include <math.h>

enum { CAP = 1 << 20 };

static int begin(void **state)
{
    es_text *text = malloc(sizeof *text);
    if (text == NULL)
        return 1;
    es_text_init(text, CAP);
    *state = text;
    return 0;
}

static int finish(void **state)
{
    es_text_done(*state);
    free(*state);
    return 0;
}

static void write_sample(es_json *json)
{
    es_json_map_begin(json);
    es_json_put_text(json, "name", "a");
    es_json_put_number(json, "latency_ms", 0.1);
    es_json_put_int(json, "count", INT64_MIN);
    es_json_put_bool(json, "ok", true);
    es_json_key(json, "list");
    es_json_list_begin(json);
    es_json_int(json, 1);
    es_json_null(json);
    es_json_map_begin(json);
    es_json_map_end(json);
    es_json_list_begin(json);
    es_json_list_end(json);
    es_json_list_end(json);
    es_json_put_text(json, "none", NULL);
    es_json_map_end(json);
}

static void the_canonical_form_is_indented(void **state)
{
    es_json json;
    es_json_init(&json, *state, false);
    write_sample(&json);
    assert_string_equal(es_text_get(*state), "{\n"
                                             "  \"name\": \"a\",\n"
                                             "  \"latency_ms\": 0.1,\n"
                                             "  \"count\": -9223372036854775808,\n"
                                             "  \"ok\": true,\n"
                                             "  \"list\": [\n"
                                             "    1,\n"
                                             "    null,\n"
                                             "    {},\n"
                                             "    []\n"
                                             "  ],\n"
                                             "  \"none\": null\n"
                                             "}\n");
}

static void the_compact_form_is_one_line_each(void **state)
{
    es_json json;
    es_json_init(&json, *state, true);
    write_sample(&json);
    es_json_list_begin(&json); /* JSON lines: the next value follows */
    es_json_list_end(&json);
    es_json_bool(&json, false);
    assert_string_equal(es_text_get(*state),
                        "{\"name\":\"a\",\"latency_ms\":0.1,\"count\":-9223372036854775808,"
                        "\"ok\":true,\"list\":[1,null,{},[]],\"none\":null}\n[]\nfalse\n");
}

static void texts_are_escaped(void **state)
{
    es_json json;
    es_json_init(&json, *state, true);
    es_json_text(&json, "\"\\/\b\f\n\r\t\x01\x1f\x7f caf\xc3\xa9 \xf0\x9f\x98\x80");
    assert_string_equal(es_text_get(*state), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f "
                                             "caf\xc3\xa9 \xf0\x9f\x98\x80\"\n");
    es_text_clear(*state);
    es_json_map_begin(&json);
    es_json_put_int(&json, "a\"b\n", 1);
    es_json_map_end(&json);
    assert_string_equal(es_text_get(*state), "{\"a\\\"b\\n\":1}\n");
    es_text_clear(*state);
    es_json_quoted(*state, "a: \"b\"\n");
    assert_string_equal(es_text_get(*state), "\"a: \\\"b\\\"\\n\"");
}

#define BAD "\xef\xbf\xbd"

static void bad_utf8_becomes_the_replacement_character(void **state)
{
    static const char *const cases[][2] = {
        {"\xff", BAD},
        {"a\x80z", "a" BAD "z"},
        {"\xc3", BAD},                         /* cut */
        {"\xe2\x82", BAD BAD},                 /* cut */
        {"\xc0\x80", BAD BAD},                 /* overlong */
        {"\xe0\x80\x80", BAD BAD BAD},         /* overlong */
        {"\xed\xa0\x80", BAD BAD BAD},         /* surrogate */
        {"\xf4\x90\x80\x80", BAD BAD BAD BAD}, /* above U+10FFFF */
        {"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
        {"\xf8\x88", BAD BAD},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xc3\"", BAD "\\\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        es_json json;
        es_json_init(&json, *state, true);
        es_json_text(&json, cases[i][0]);
        char wanted[100];
        (void)snprintf(wanted, sizeof wanted, "\"%s\"\n", cases[i][1]);
        assert_string_equal(es_text_get(*state), wanted);
        es_text_clear(*state);
    }
}

static void numbers_are_finite_or_null(void **state)
{
    es_json json;
    es_json_init(&json, *state, true);
    es_json_list_begin(&json);
    es_json_number(&json, (double)NAN);
    es_json_number(&json, (double)INFINITY);
    es_json_number(&json, 3);
    es_json_number(&json, -0.0);
    es_json_number(&json, 1e300);
    es_json_list_end(&json);
    assert_string_equal(es_text_get(*state), "[null,null,3,-0,1e+300]\n");
}

static void a_full_text_fails_without_harm(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 200; cap++) {
        es_text text;
        es_text_init(&text, cap);
        es_json json;
        es_json_init(&json, &text, cap % 2 == 0);
        write_sample(&json);
        es_status status = es_text_status(&text, NULL);
        assert_true(status == ES_ERR_NOMEM || status == ES_OK);
        assert_true(text.size < cap);
        assert_int_equal(json.depth, 0);
        es_text_done(&text);
    }
}

static const es_doc *nested(es_arena *arena, int depth)
{
    char text[2 * ES_DOC_DEPTH_MAX];
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    const es_doc *root = NULL;
    assert_ok(es_doc_parse_json(arena, "n", text, 2 * (size_t)depth, &root, NULL));
    return root;
}

static void the_deepest_tree_is_written(void **state)
{
    es_arena *arena = es_arena_new(CAP);
    es_json json;
    es_json_init(&json, *state, true);
    es_json_doc(&json, nested(arena, ES_DOC_DEPTH_MAX));
    assert_ok(es_text_status(*state, NULL));
    assert_int_equal(strlen(es_text_get(*state)), 2 * ES_DOC_DEPTH_MAX + 1);
    es_arena_free(arena);
}

static void a_tree_too_deep_for_its_place_is_a_limit(void **state)
{
    es_error err = {0};
    es_arena *arena = es_arena_new(CAP);
    es_json json;
    es_json_init(&json, *state, true);
    es_json_map_begin(&json);
    es_json_key(&json, "inside");
    es_json_doc(&json, nested(arena, ES_DOC_DEPTH_MAX));
    es_json_map_end(&json);
    assert_int_equal(json.depth, 0);
    assert_fails(es_text_status(*state, &err), ES_ERR_LIMIT, err, "limit");
    es_arena_free(arena);
}

static void parts_of_a_tree_are_written_alone(void **state)
{
    es_arena *arena = es_arena_new(CAP);
    const char *source = "{a: {b: [1, {c: x}], d: 2}, e: 3}";
    const es_doc *root = NULL;
    assert_ok(es_doc_parse_yaml(arena, "p", source, strlen(source), &root, NULL));
    es_json json;
    es_json_init(&json, *state, true);
    const es_doc *a = es_doc_find(root, "a");
    es_json_doc(&json, es_doc_find(a, "b"));
    es_json_doc(&json, a);
    es_json_doc(&json, es_doc_find(root, "e"));
    assert_string_equal(es_text_get(*state), "[1,{\"c\":\"x\"}]\n"
                                             "{\"b\":[1,{\"c\":\"x\"}],\"d\":2}\n"
                                             "3\n");
    es_arena_free(arena);
}

#define WITH_TEXT(test) cmocka_unit_test_setup_teardown(test, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TEXT(the_canonical_form_is_indented),
        WITH_TEXT(the_compact_form_is_one_line_each),
        WITH_TEXT(texts_are_escaped),
        WITH_TEXT(bad_utf8_becomes_the_replacement_character),
        WITH_TEXT(numbers_are_finite_or_null),
        cmocka_unit_test(a_full_text_fails_without_harm),
        WITH_TEXT(the_deepest_tree_is_written),
        WITH_TEXT(a_tree_too_deep_for_its_place_is_a_limit),
        WITH_TEXT(parts_of_a_tree_are_written_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
