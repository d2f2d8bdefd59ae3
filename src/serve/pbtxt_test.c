/* Protobuf's text format against trees written by hand. */
#include "es_test.h"
#include "model_config.h"

static es_arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = es_arena_new(1 << 24);
    return arena == NULL;
}

static int end(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

/* The text as compact JSON. */
static void expect(const char *words, const char *json)
{
    es_error err = {0};
    const es_doc *root = NULL;
    es_text text;
    es_json writer;
    assert_ok_err(es_pbtxt_parse(arena, "a.pbtxt", words, strlen(words), &root, &err), err);
    es_text_init(&text, 1 << 20);
    es_json_init(&writer, &text, true);
    es_json_doc(&writer, root);
    if (text.size > 0 && text.bytes[text.size - 1] == '\n')
        text.bytes[text.size - 1] = '\0';
    assert_string_equal(es_text_get(&text), json);
    es_text_done(&text);
}

static void expect_failure(const char *words, const char *wanted)
{
    es_error err = {0};
    const es_doc *root = NULL;
    assert_fails(es_pbtxt_parse(arena, "a.pbtxt", words, strlen(words), &root, &err), ES_ERR_PARSE,
                 err, wanted);
}

static void scalars_and_messages(void **state)
{
    (void)state;
    expect("", "{}");
    expect("# nothing\n", "{}");
    expect("name: \"m\" max_batch_size: 8\nok: true a: -1.5 kind: KIND_CPU",
           "{\"name\":\"m\",\"max_batch_size\":8,\"ok\":true,\"a\":-1.5,\"kind\":\"KIND_CPU\"}");
    expect("a { b: 1 c { d: 'x' } } e: { f: 2 } g < h: 3; >",
           "{\"a\":{\"b\":1,\"c\":{\"d\":\"x\"}},\"e\":{\"f\":2},\"g\":{\"h\":3}}");
    expect("t: 'a\\n\\x41\\101' \"b\"", "{\"t\":\"a\\nAAb\"}");
}

static void repeated_fields_are_lists(void **state)
{
    (void)state;
    expect("dims: [ 3, 224, 224 ]", "{\"dims\":[3,224,224]}");
    expect("dims: [ ]", "{\"dims\":[]}");
    expect("dims: [ -1 ]", "{\"dims\":[-1]}");
    expect("d: 1 e: 2 d: 3", "{\"d\":[1,3],\"e\":2}");
    expect("in [ { n: 'a' d: [1] }, { n: 'b' } ] x: 1",
           "{\"in\":[{\"n\":\"a\",\"d\":[1]},{\"n\":\"b\"}],\"x\":1}");
    expect("in { n: 'a' } in { n: 'b' }", "{\"in\":[{\"n\":\"a\"},{\"n\":\"b\"}]}");
    expect("in: [ { a: [ { b: 1 } ] } ]", "{\"in\":[{\"a\":[{\"b\":1}]}]}");
}

static void mistakes_are_placed(void **state)
{
    (void)state;
    expect_failure("a: 1\nb 2", "a.pbtxt:2:3: 'b': ':' or '{' is expected, not '2'");
    expect_failure("a {\n b: 1", "a.pbtxt:2:6: '}' is missing");
    expect_failure("a: [1 2]", "',' or ']' is expected");
    expect_failure("a: [1,]", "a value is expected");
    expect_failure("a: \"x", "does not end");
    expect_failure("a: \"x\ny\"", "does not end on its line");
    expect_failure("a: '\\0'", "NUL");
    expect_failure("a: 12x", "'12x' is no number");
    expect_failure("}", "the name of a field is expected");
    expect_failure("a: '\xff'", "no UTF-8");
    expect_failure("a:", "a value is expected, not the end");
    char deep[400] = "";
    for (size_t i = 0; i < 100; i++)
        memcpy(deep + 2 * i, "a{", 3);
    expect_failure(deep, "levels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_and_messages),
        cmocka_unit_test(repeated_fields_are_lists),
        cmocka_unit_test(mistakes_are_placed),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
