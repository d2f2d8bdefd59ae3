#include "base/document.h"
#include "es_test.h"

enum { CAP = 4 << 20 };

static int make_arena(void **state)
{
    *state = es_arena_new(CAP);
    return *state == NULL;
}

static int free_arena(void **state)
{
    es_arena_free(*state);
    return 0;
}

static const es_doc *parse(void **state, const char *text)
{
    es_error err = {0};
    const es_doc *root = NULL;
    assert_ok_err(es_doc_parse_json(*state, "t.json", text, strlen(text), &root, &err), err);
    return root;
}

static void scalars_have_their_types(void **state)
{
    assert_int_equal(parse(state, "null")->type, ES_DOC_NULL);
    assert_true(parse(state, " true ")->as.boolean);
    assert_false(parse(state, "false")->as.boolean);
    assert_true(parse(state, "-12")->as.integer == -12);
    assert_true(parse(state, "9223372036854775807")->as.integer == INT64_MAX);
    assert_true(parse(state, "-9223372036854775808")->as.integer == INT64_MIN);
    assert_true(parse(state, "0")->type == ES_DOC_INT);
    const es_doc *large = parse(state, "18446744073709551616");
    assert_int_equal(large->type, ES_DOC_NUMBER);
    assert_true(large->as.number > 1.8e19 && large->as.number < 1.9e19);
    const es_doc *number = parse(state, "-2.50e+1");
    assert_int_equal(number->type, ES_DOC_NUMBER);
    assert_true(number->as.number > -25.1 && number->as.number < -24.9);
    assert_int_equal(parse(state, "1e0")->type, ES_DOC_NUMBER);
    assert_int_equal(parse(state, "1E-5")->type, ES_DOC_NUMBER);
    assert_int_equal(parse(state, "-0")->type, ES_DOC_NUMBER); /* an int has no such zero */
}

static void texts_are_decoded(void **state)
{
    assert_string_equal(parse(state, "\"plain\"")->as.text.bytes, "plain");
    assert_int_equal(parse(state, "\"\"")->as.text.size, 0);
    const es_doc *text = parse(state, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\x7f\"");
    assert_string_equal(text->as.text.bytes, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\x7f");
    assert_int_equal(text->as.text.size, strlen(text->as.text.bytes));
    assert_string_equal(parse(state, "\"caf\xc3\xa9\"")->as.text.bytes, "caf\xc3\xa9");
    assert_string_equal(parse(state, "{\"\\u0061\": 1}")->as.map.members[0].key, "a");
    assert_string_equal(parse(state, "{\"\": 1}")->as.map.members[0].key, "");
}

static void every_value_knows_its_place_and_parent(void **state)
{
    const es_doc *root = parse(state, "{\"caf\xc3\xa9\": [1,\n"
                                      "\t{\"b\": null, \"c\": []}],\r\n"
                                      " \"d\" : {} }\n");
    assert_int_equal(root->line, 1);
    assert_int_equal(root->column, 1);
    const es_doc *list = root->as.map.members[0].value;
    assert_int_equal(root->as.map.members[0].column, 2);
    assert_int_equal(list->column, 10); /* columns count characters */
    assert_int_equal(list->as.list.items[0]->column, 11);
    const es_doc *map = list->as.list.items[1];
    assert_int_equal(map->line, 2);
    assert_int_equal(map->column, 2);
    assert_int_equal(map->as.map.members[1].column, 14);
    const es_doc *c = es_doc_find(map, "c");
    assert_int_equal(c->column, 19);
    assert_int_equal(c->index, 1);
    assert_ptr_equal(c->parent, map);
    assert_ptr_equal(map->parent, list);
    assert_string_equal(c->key, "c");
    const es_doc *d = es_doc_find(root, "d");
    assert_int_equal(d->line, 3);
    assert_int_equal(d->column, 8);
    assert_string_equal(d->file, "t.json");
}

typedef struct bad_case {
    const char *text;
    size_t size; /* 0: up to the NUL */
    const char *words;
} bad_case;

static void bad_input_is_named_with_its_place(void **state)
{
    static const bad_case cases[] = {
        {"", 0, "t.json:1:1: the document is empty"},
        {" \n ", 0, "t.json:1:1: the document is empty"},
        {"{\"a\": 1,\n \"b\": {\"c\": 1,\n \"c\": 2}}", 0,
         "t.json:3:2: b: duplicate key 'c' on line 3 (first on line 2)"},
        {"{\"a\":1,\"\\u0061\":2}", 0, "t.json:1:8: duplicate key 'a'"},
        {"[1,]", 0, "t.json:1:4: expected a value, got ']'"},
        {"[,1]", 0, "t.json:1:2: expected a value, got ','"},
        {"[1 2]", 0, "t.json:1:4: expected ',' or ']', got '2'"},
        {"[1", 0, "t.json:1:3: expected ',' or ']', but the file ends"},
        {"[", 0, "t.json:1:2: expected a value, but the file ends"},
        {"[1}", 0, "t.json:1:3: expected ',' or ']', got '}'"},
        {"{\"a\":1]", 0, "t.json:1:7: expected ',' or '}', got ']'"},
        {"{a: 1}", 0, "t.json:1:2: expected a key in quotes, got 'a'"},
        {"{'a': 1}", 0, "expected a key in quotes, got '''"},
        {"{1: 1}", 0, "expected a key in quotes"},
        {"{\"a\" 1}", 0, "t.json:1:6: expected ':' after the key, got '1'"},
        {"{\"a\":}", 0, "t.json:1:6: expected a value, got '}'"},
        {"{\"a\":1,}", 0, "t.json:1:8: expected a key in quotes, got '}'"},
        {"{\"a\"", 0, "expected ':' after the key, but the file ends"},
        {"1 2", 0, "t.json:1:3: expected the end of the file, got '2'"},
        {"{} x", 0, "expected the end of the file, got 'x'"},
        {"]", 0, "t.json:1:1: expected a value"},
        {"tru", 0, "t.json:1:1: expected a value, got 'tru' (texts need quotes)"},
        {"NaN", 0, "expected a value, got 'NaN'"},
        {"Infinity", 0, "got 'Infinity'"},
        {"True", 0, "got 'True'"},
        {"-Infinity", 0, "t.json:1:2: expected a digit"},
        {"[1, 01]", 0, "t.json:1:5: a number must not start with a needless 0"},
        {"1.", 0, "t.json:1:3: expected a digit after '.', but the file ends"},
        {".5", 0, "expected a value"},
        {"+1", 0, "expected a value"},
        {"1e", 0, "expected a digit of the exponent"},
        {"1e999", 0, "t.json:1:1: number 1e999 is out of range"},
        {"0x10", 0, "expected the end of the file"},
        {"\"open", 0, "t.json:1:1: the text that starts here has no end quote"},
        {"\"open\\", 0, "no end quote"},
        {"\"open\\\"", 0, "no end quote"},
        {"\"a\nb\"", 0, "t.json:1:3: control character 0x0a in a text"},
        {"\"a\\\nb\"", 0, "control character 0x0a"},
        {"\"\\x41\"", 0, "t.json:1:1: text \"\\x41\": invalid escape"},
        {"\"\\ud800\"", 0, "invalid Unicode"},
        {"\"\\u12\"", 0, "invalid escape"},
        {"\"\\u0000\"", 0, "t.json:1:1: a text must not hold a NUL"},
        {"{\"\\u0000\":1}", 0, "t.json:1:2: a key must not hold a NUL"},
        {"\"\0\"", 3, "control character 0x00"},
        {"1\0", 2, "expected the end of the file, got '?'"},
        {"\"\xff\"", 0, "t.json:1:1: text \"?\": unable to decode byte 0xff"},
        {"\"\xc0\x80\"", 0, "unable to decode byte 0xc0"},
        {"\"\xed\xa0\x80\"", 0, "unable to decode byte 0xed"},
        {"\xff", 0, "t.json:1:1: expected a value, got '?'"},
        {"\xef\xbb\xbf{}", 0, "t.json:1:1: expected a value"},
        {"// no\n1", 0, "expected a value, got '/'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        es_error err = {0};
        const es_doc *root = NULL;
        size_t size = cases[i].size > 0 ? cases[i].size : strlen(cases[i].text);
        /* an exact copy on the heap, so that reading past the end is seen */
        char *copy = malloc(size > 0 ? size : 1);
        assert_non_null(copy);
        memcpy(copy, cases[i].text, size);
        es_status status = es_doc_parse_json(*state, "t.json", copy, size, &root, &err);
        free(copy);
        if (status != ES_ERR_PARSE)
            fail_msg("'%s': %s (%s)", cases[i].text, es_status_text(status), es_error_text(&err));
        if (strstr(es_error_text(&err), cases[i].words) == NULL)
            fail_msg("'%s': '%s' does not contain '%s'", cases[i].text, es_error_text(&err),
                     cases[i].words);
        assert_int_equal(strncmp(es_error_text(&err), "t.json:", 7), 0);
        assert_null(strchr(es_error_text(&err), '\n'));
        assert_null(root);
    }
}

static void depth_is_bounded(void **state)
{
    static char text[400000];
    static const size_t depths[] = {ES_DOC_DEPTH_MAX, ES_DOC_DEPTH_MAX + 1, 200000};
    for (size_t i = 0; i < 3; i++) {
        memset(text, '[', depths[i]);
        memset(text + depths[i], ']', depths[i]);
        es_error err = {0};
        const es_doc *root = NULL;
        es_status status = es_doc_parse_json(*state, "t.json", text, 2 * depths[i], &root, &err);
        assert_int_equal(status, i == 0 ? ES_OK : ES_ERR_LIMIT);
        if (status != ES_OK)
            assert_non_null(strstr(es_error_text(&err), "t.json:1:65: "));
    }
}

static void long_numbers_are_refused_not_cut(void **state)
{
    char digits[500];
    memset(digits, '1', sizeof digits);
    es_error err = {0};
    const es_doc *root = NULL;
    assert_fails(es_doc_parse_json(*state, "t.json", digits, sizeof digits, &root, &err),
                 ES_ERR_PARSE, err, "out of range");
    assert_ok_err(es_doc_parse_json(*state, "t.json", digits, 300, &root, &err), err);
    assert_int_equal(root->type, ES_DOC_NUMBER);
}

#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, make_arena, free_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(scalars_have_their_types),
        WITH_ARENA(texts_are_decoded),
        WITH_ARENA(every_value_knows_its_place_and_parent),
        WITH_ARENA(bad_input_is_named_with_its_place),
        WITH_ARENA(depth_is_bounded),
        WITH_ARENA(long_numbers_are_refused_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
