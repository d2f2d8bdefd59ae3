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
    assert_ok_err(es_doc_parse_yaml(*state, "t.yaml", text, strlen(text), &root, &err), err);
    return root;
}

/* The value that a plain or quoted scalar gives, by way of `v: text`. */
static const es_doc *scalar(void **state, const char *text)
{
    char line[600];
    (void)snprintf(line, sizeof line, "v: %s\n", text);
    return es_doc_find(parse(state, line), "v");
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    static const struct {
        const char *text;
        es_doc_type type;
        double number; /* of an INT or a NUMBER; 1 for true */
    } cases[] = {
        {"null", ES_DOC_NULL, 0},
        {"Null", ES_DOC_NULL, 0},
        {"NULL", ES_DOC_NULL, 0},
        {"~", ES_DOC_NULL, 0},
        {"", ES_DOC_NULL, 0},
        {"nULL", ES_DOC_TEXT, 0},
        {"true", ES_DOC_BOOL, 1},
        {"True", ES_DOC_BOOL, 1},
        {"TRUE", ES_DOC_BOOL, 1},
        {"false", ES_DOC_BOOL, 0},
        {"FALSE", ES_DOC_BOOL, 0},
        {"yes", ES_DOC_TEXT, 0},
        {"no", ES_DOC_TEXT, 0},
        {"on", ES_DOC_TEXT, 0},
        {"y", ES_DOC_TEXT, 0},
        {"0", ES_DOC_INT, 0},
        {"-12", ES_DOC_INT, -12},
        {"+12", ES_DOC_INT, 12},
        {"007", ES_DOC_INT, 7},
        {"0x1F", ES_DOC_INT, 31},
        {"0o17", ES_DOC_INT, 15},
        {"0b1", ES_DOC_TEXT, 0},
        {"0x", ES_DOC_TEXT, 0},
        {"0o8", ES_DOC_TEXT, 0},
        {"-0x1", ES_DOC_TEXT, 0},
        {"0xfffffffffffffffff", ES_DOC_NUMBER, 0x1p68},
        {"0o7777777777777777777777", ES_DOC_NUMBER, 0x1p66},
        {"1e3", ES_DOC_NUMBER, 1000},
        {"1E+3", ES_DOC_NUMBER, 1000},
        {"1.", ES_DOC_NUMBER, 1},
        {".5", ES_DOC_NUMBER, 0.5},
        {"-.5e-1", ES_DOC_NUMBER, -0.05},
        {"3.0", ES_DOC_NUMBER, 3},
        {"9223372036854775807", ES_DOC_INT, 0x1p63},
        {"9223372036854775808", ES_DOC_NUMBER, 0x1p63},
        {"-9223372036854775808", ES_DOC_INT, -0x1p63},
        {"-9223372036854775809", ES_DOC_NUMBER, -0x1p63},
        {"1_000", ES_DOC_TEXT, 0},
        {"1e", ES_DOC_TEXT, 0},
        {"1e+", ES_DOC_TEXT, 0},
        {".", ES_DOC_TEXT, 0},
        {"+", ES_DOC_TEXT, 0},
        {"1.2.3", ES_DOC_TEXT, 0},
        {"12:30:45", ES_DOC_TEXT, 0},
        {"2024-01-31", ES_DOC_TEXT, 0},
        {"inf", ES_DOC_TEXT, 0},
        {"nan", ES_DOC_TEXT, 0},
        {".e5", ES_DOC_TEXT, 0},
        {"'12'", ES_DOC_TEXT, 0},
        {"\"true\"", ES_DOC_TEXT, 0},
        {"! 12", ES_DOC_TEXT, 0},
        {"! []", ES_DOC_LIST, 0},
        {"! {}", ES_DOC_MAP, 0},
        {"!!str 12", ES_DOC_TEXT, 0},
        {"!!int '12'", ES_DOC_INT, 12},
        {"!!float 12", ES_DOC_NUMBER, 12},
        {"!!bool true", ES_DOC_BOOL, 1},
        {"!!null ''", ES_DOC_NULL, 0},
        {"!!seq []", ES_DOC_LIST, 0},
        {"!!map {}", ES_DOC_MAP, 0},
        {"|\n  text", ES_DOC_TEXT, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const es_doc *value = scalar(state, cases[i].text);
        if (value->type != cases[i].type)
            fail_msg("'%s' has type %d, wanted %d", cases[i].text, (int)value->type,
                     (int)cases[i].type);
        double number = value->type == ES_DOC_INT      ? (double)value->as.integer
                        : value->type == ES_DOC_NUMBER ? value->as.number
                        : value->type == ES_DOC_BOOL   ? (double)value->as.boolean
                                                       : 0;
        if (number < cases[i].number || number > cases[i].number)
            fail_msg("'%s' is %.17g, wanted %.17g", cases[i].text, number, cases[i].number);
    }
}

static void texts_keep_their_bytes(void **state)
{
    assert_string_equal(scalar(state, "'it''s'")->as.text.bytes, "it's");
    assert_string_equal(scalar(state, "\"a\\tb\\u00e9\\n\"")->as.text.bytes, "a\tb\xc3\xa9\n");
    assert_string_equal(scalar(state, "|\n  one\n  two\n")->as.text.bytes, "one\ntwo\n");
    assert_string_equal(scalar(state, "1_000")->as.text.bytes, "1_000");
    const es_doc *empty = scalar(state, "''");
    assert_int_equal(empty->type, ES_DOC_TEXT);
    assert_int_equal(empty->as.text.size, 0);
    assert_string_equal(empty->as.text.bytes, "");
}

static void assert_place(const es_doc *value, uint32_t line, uint32_t column)
{
    assert_int_equal(value->line, line);
    assert_int_equal(value->column, column);
    assert_string_equal(value->file, "t.yaml");
}

static void every_value_knows_its_place_and_parent(void **state)
{
    const es_doc *root = parse(state, "# head\n"
                                      "nodes:\n"
                                      "  - id: a\n"
                                      "    m\xc3\xa9: [1, {x: 2}]\n"
                                      "  - ~\n"
                                      "last: end\n");
    assert_place(root, 2, 1);
    assert_null(root->parent);
    assert_null(root->key);
    const es_doc *nodes = es_doc_find(root, "nodes");
    assert_place(nodes, 3, 3);
    assert_ptr_equal(nodes->parent, root);
    assert_string_equal(nodes->key, "nodes");
    const es_doc *first = nodes->as.list.items[0];
    assert_place(first, 3, 5);
    assert_null(first->key);
    const es_doc *list = es_doc_find(first, "m\xc3\xa9");
    assert_place(list, 4, 9); /* columns count characters */
    assert_int_equal(list->index, 1);
    const es_doc *x = es_doc_find(list->as.list.items[1], "x");
    assert_place(x, 4, 17);
    assert_int_equal(nodes->as.list.items[1]->index, 1);
    assert_place(nodes->as.list.items[1], 5, 5);
    assert_int_equal(root->as.map.members[1].line, 6);
    assert_int_equal(root->as.map.members[1].column, 1);
    assert_place(es_doc_find(root, "last"), 6, 7);
}

static void aliases_become_copies(void **state)
{
    const es_doc *root = parse(state, "a: &x {k: [1, {}], l: &y t}\n"
                                      "b: *x\n"
                                      "c: [*y, *y]\n"
                                      "d: &x 5\n"
                                      "e: *x\n");
    const es_doc *a = es_doc_find(root, "a");
    const es_doc *b = es_doc_find(root, "b");
    assert_ptr_not_equal(a, b);
    assert_string_equal(b->key, "b");
    assert_ptr_equal(b->parent, root);
    assert_int_equal(b->index, 1);
    assert_int_equal(b->as.map.count, 2);
    const es_doc *list = es_doc_find(b, "k");
    assert_ptr_equal(list->parent, b);
    assert_int_equal(list->as.list.count, 2);
    assert_true(list->as.list.items[0]->as.integer == 1);
    assert_int_equal(list->as.list.items[1]->type, ES_DOC_MAP);
    assert_int_equal(list->line, 1); /* where it is written */
    assert_int_equal(b->as.map.members[1].column, 20);
    const es_doc *c = es_doc_find(root, "c");
    assert_string_equal(c->as.list.items[1]->as.text.bytes, "t");
    assert_int_equal(c->as.list.items[1]->index, 1);
    assert_null(c->as.list.items[1]->key);
    assert_true(es_doc_find(root, "e")->as.integer == 5); /* the last anchor of a name */
}

static void documents_may_be_marked_and_commented(void **state)
{
    assert_true(es_doc_find(parse(state, "%YAML 1.1\n---\n# c\na: 1\n...\n# d\n"), "a") != NULL);
    assert_int_equal(parse(state, "\xef\xbb\xbf"
                                  "a: 1")
                         ->type,
                     ES_DOC_MAP);
    assert_int_equal(parse(state, "---\n")->type, ES_DOC_NULL);
    assert_int_equal(parse(state, "{\"json\": [1, \"x\"]}")->type, ES_DOC_MAP);
    const es_doc *crlf = parse(state, "a: 1\r\nb: 2\r\n");
    assert_int_equal(es_doc_find(crlf, "b")->line, 2);
}

typedef struct bad_case {
    const char *text;
    size_t size; /* 0: up to the NUL */
    const char *words;
} bad_case;

static void bad_input_is_named_with_its_place(void **state)
{
    static const bad_case cases[] = {
        {"", 0, "t.yaml:1:1: the document is empty"},
        {"# only this\n", 0, "t.yaml:1:1: the document is empty"},
        {"a: 1\n---\nb: 2\n", 0, "t.yaml:2:1: a second document starts here"},
        {"a: 1\nb: {c: 1,\n d: 2, c: 3}\n", 0,
         "t.yaml:3:8: b: duplicate key 'c' on line 3 (first on line 2)"},
        {"a: 1\na: 1\n", 0, "t.yaml:2:1: duplicate key 'a' on line 2 (first on line 1)"},
        {"x: [{\"a\": 1, 'a': 2}]\n", 0, "t.yaml:1:14: x[0]: duplicate key 'a'"},
        {"1: a\n", 0, "t.yaml:1:1: a key must be a text: write '1' in quotes"},
        {"true: a\n", 0, "t.yaml:1:1: a key must be a text"},
        {"~: a\n", 0, "t.yaml:1:1: a key must be a text"},
        {"?\n: a\n", 0, "a key must be a text"},
        {"[a]: b\n", 0, "t.yaml:1:1: a key must be a text, not a list"},
        {"? {a: b}\n: c\n", 0, "t.yaml:1:3: a key must be a text, not a map"},
        {"a: &x t\n*x : b\n", 0, "t.yaml:2:1: a key must be a text, not the alias '*x'"},
        {"&k a: 1\n", 0, "t.yaml:1:1: an anchor on a key ('a')"},
        {"a: &b {c: 1}\nd:\n  <<: *b\n", 0, "t.yaml:3:3: d: merge keys ('<<') are not supported"},
        {"a: .inf\n", 0, "t.yaml:1:4: .inf is not a finite number"},
        {"a: [1, -.INF]\n", 0, "t.yaml:1:8: a: -.INF is not a finite number"},
        {"a: .NaN\n", 0, "t.yaml:1:4: .NaN is not a finite number"},
        {"a: 1e999\n", 0, "t.yaml:1:4: number 1e999 is out of range"},
        {"a: !point 1\n", 0, "t.yaml:1:4: tag '!point' is unknown"},
        {"a: !!int x\n", 0, "t.yaml:1:4: tag 'tag:yaml.org,2002:int' is unknown or does not fit"},
        {"a: !!set {}\n", 0, "tag 'tag:yaml.org,2002:set'"},
        {"a: !!map []\n", 0, "does not fit"},
        {"a: !!binary aGk=\n", 0, "does not fit"},
        {"a: *none\n", 0, "t.yaml:1:4: alias '*none' has no anchor '&none' before it"},
        {"a: &x [1, *x]\n", 0, "t.yaml:1:11: a: alias '*x' stands inside its own anchor"},
        {"a: \"x\\0y\"\n", 0, "t.yaml:1:4: a text must not hold a NUL"},
        {"\"x\\0y\": 1\n", 0, "t.yaml:1:1: a key must not hold a NUL"},
        {"a: x\0y\n", 7, "t.yaml:1:5: control characters are not allowed"},
        {"a: 1\nb: \xff\n", 0, "t.yaml:2:4: invalid leading UTF-8 octet"},
        {"a: \xc3\n", 0, "t.yaml:1:5: invalid trailing UTF-8 octet"},
        {"a: \xed\xa0\x80\n", 0, "t.yaml:1:4: invalid"}, /* half of a surrogate pair */
        {"a: \xc0\x80\n", 0, "t.yaml:1:4: invalid"},     /* overlong */
        {"a: [1, 2\nb: 3\n", 0, "t.yaml:2:2: did not find expected ',' or ']'"},
        {"a: 'open\n", 0, "found unexpected end of stream"},
        {"a:\n\t- 1\n", 0, "t.yaml:2:1: found character that cannot start any token"},
        {"a: b: c\n", 0, "t.yaml:1:5: mapping values are not allowed"},
        {"a: 1\n b: 2\n", 0, "t.yaml:2:3: mapping values are not allowed"},
        {"- a\nb: 1\n", 0, "t.yaml:2:1: did not find expected '-' indicator"},
        {"a: @x\n", 0, "t.yaml:1:4: found character that cannot start any token"},
        {"%YAML 2.0\n---\na: 1\n", 0, "incompatible YAML document"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        es_error err = {0};
        const es_doc *root = NULL;
        size_t size = cases[i].size > 0 ? cases[i].size : strlen(cases[i].text);
        es_status status = es_doc_parse_yaml(*state, "t.yaml", cases[i].text, size, &root, &err);
        if (status != ES_ERR_PARSE)
            fail_msg("'%s': %s (%s)", cases[i].text, es_status_text(status), es_error_text(&err));
        if (strstr(es_error_text(&err), cases[i].words) == NULL)
            fail_msg("'%s': '%s' does not contain '%s'", cases[i].text, es_error_text(&err),
                     cases[i].words);
        assert_int_equal(strncmp(es_error_text(&err), "t.yaml:", 7), 0);
        assert_null(strchr(es_error_text(&err), '\n'));
        assert_null(root);
    }
}

static void depth_is_bounded(void **state)
{
    char text[3000];
    for (int depth = ES_DOC_DEPTH_MAX; depth < 1000;
         depth = depth == ES_DOC_DEPTH_MAX ? depth + 1 : depth * 7) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        es_error err = {0};
        const es_doc *root = NULL;
        es_status status =
            es_doc_parse_yaml(*state, "t.yaml", text, 2 * (size_t)depth, &root, &err);
        assert_int_equal(status, depth == ES_DOC_DEPTH_MAX ? ES_OK : ES_ERR_LIMIT);
        if (status != ES_OK)
            assert_non_null(strstr(es_error_text(&err), "t.yaml:1:65: "));
    }
}

/* An alias may not reach deeper than what is written out. */
static void depth_counts_through_aliases(void **state)
{
    char text[4000];
    size_t used = (size_t)snprintf(text, sizeof text, "a: &x ");
    memset(text + used, '[', 40);
    memset(text + used + 40, ']', 40);
    used += 80;
    used += (size_t)snprintf(text + used, sizeof text - used, "\nb: ");
    memset(text + used, '[', 40);
    used += 40;
    used += (size_t)snprintf(text + used, sizeof text - used, "*x");
    memset(text + used, ']', 40);
    used += 40;
    es_error err = {0};
    const es_doc *root = NULL;
    assert_fails(es_doc_parse_yaml(*state, "t.yaml", text, used, &root, &err), ES_ERR_LIMIT, err,
                 "nested more than 64 deep");
}

static void billion_laughs_end_at_the_cap(void **state)
{
    char text[2000];
    size_t used = (size_t)snprintf(text, sizeof text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s*a%d", k > 0 ? ", " : "",
                                     i - 1);
        used += (size_t)snprintf(text + used, sizeof text - used, "]\n");
    }
    es_error err = {0};
    const es_doc *root = NULL;
    assert_fails(es_doc_parse_yaml(*state, "t.yaml", text, used, &root, &err), ES_ERR_NOMEM, err,
                 "t.yaml: no memory left");
    assert_null(root);
}

static void anchors_are_bounded(void **state)
{
    es_text text;
    es_text_init(&text, 1 << 20);
    for (int i = 0; i < 1001; i++)
        es_text_format(&text, "- &a%d %d\n", i, i);
    es_error err = {0};
    const es_doc *root = NULL;
    assert_fails(es_doc_parse_yaml(*state, "t.yaml", es_text_get(&text), text.size, &root, &err),
                 ES_ERR_LIMIT, err, "t.yaml:1001:3: more than 1000 anchors");
    es_text_done(&text);
}

static void duplicates_are_found_among_many_keys(void **state)
{
    es_text text;
    es_text_init(&text, 1 << 20);
    for (int i = 0; i < 1000; i++)
        es_text_format(&text, "k%d: %d\n", i * 7919 % 1000, i);
    es_error err = {0};
    const es_doc *root = NULL;
    assert_ok_err(es_doc_parse_yaml(*state, "t.yaml", es_text_get(&text), text.size, &root, &err),
                  err);
    assert_int_equal(root->as.map.count, 1000);
    assert_string_equal(root->as.map.members[1].key, "k919"); /* the order of the file */
    es_text_append(&text, "k500: 0\nk3: 0\n");
    assert_fails(es_doc_parse_yaml(*state, "t.yaml", es_text_get(&text), text.size, &root, &err),
                 ES_ERR_PARSE, err, "t.yaml:1001:1: duplicate key 'k500' on line 1001 (first on");
    es_text_done(&text);
}

#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, make_arena, free_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(plain_scalars_follow_the_core_schema),
        WITH_ARENA(texts_keep_their_bytes),
        WITH_ARENA(every_value_knows_its_place_and_parent),
        WITH_ARENA(aliases_become_copies),
        WITH_ARENA(documents_may_be_marked_and_commented),
        WITH_ARENA(bad_input_is_named_with_its_place),
        WITH_ARENA(depth_is_bounded),
        WITH_ARENA(depth_counts_through_aliases),
        WITH_ARENA(billion_laughs_end_at_the_cap),
        WITH_ARENA(anchors_are_bounded),
        WITH_ARENA(duplicates_are_found_among_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
