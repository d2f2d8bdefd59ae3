#include "base/document.h"
#include "base/file.h"
#include "es_test.h"

#include <fcntl.h>
#include <math.h>
#include <zlib.h>

enum { CAP = 4 << 20 };

static const char city[] = "format: estran-city\n"
                           "version: 1\n"
                           "nodes:\n"
                           "  - {id: a, tier: edge, cores: 3.0}\n"
                           "  - id: b\n"
                           "    teir: cloud\n"
                           "links:\n"
                           "  - latency_ms: -1\n"
                           "    loss: 7.5\n"
                           "    up: yes\n"
                           "    down: true\n"
                           "    half: 2.5\n"
                           "    none: ~\n"
                           "'odd key!': {\"line\\nbreak\": [[x]]}\n";

static int parse_city(void **state)
{
    es_arena *arena = es_arena_new(CAP);
    const es_doc *root = NULL;
    *state = arena;
    return arena == NULL ||
           es_doc_parse_yaml(arena, "city.yaml", city, sizeof city - 1, &root, NULL) != ES_OK;
}

static int free_arena(void **state)
{
    es_arena_free(*state);
    return 0;
}

static const es_doc *root_of(void **state)
{
    const es_doc *root = NULL;
    assert_ok(es_doc_parse_yaml(*state, "city.yaml", city, sizeof city - 1, &root, NULL));
    return root;
}

static const es_doc *item(const es_doc *map, const char *key, size_t i)
{
    const es_doc *list = es_doc_find(map, key);
    assert_non_null(list);
    assert_int_equal(list->type, ES_DOC_LIST);
    assert_true(i < list->as.list.count);
    return list->as.list.items[i];
}

static void members_are_found_by_key(void **state)
{
    const es_doc *root = root_of(state);
    const char *text = NULL;
    double number = 0;
    int64_t whole = 0;
    bool boolean = false;
    const es_doc *list = NULL;
    const es_doc *map = NULL;
    es_error err = {0};
    assert_ok_err(es_doc_need_text(root, "format", &text, &err), err);
    assert_string_equal(text, "estran-city");
    const es_doc *node = item(root, "nodes", 0);
    assert_ok_err(es_doc_need_int(node, "cores", 1, 3, &whole, &err), err); /* 3.0 is whole */
    assert_true(whole == 3);
    assert_ok_err(es_doc_need_number(root, "version", 0, 1, &number, &err), err); /* int is fine */
    assert_true(number > 0.5);
    assert_ok_err(es_doc_need_list(root, "nodes", &list, &err), err);
    assert_ok_err(es_doc_get_map(root, "odd key!", &map, &err), err);
    assert_int_equal(map->type, ES_DOC_MAP);
    const es_doc *link = item(root, "links", 0);
    assert_ok_err(es_doc_get_bool(link, "down", &boolean, &err), err);
    assert_true(boolean);
    assert_null(es_doc_find(root, "none"));
}

static void what_is_missing_or_null_leaves_the_default(void **state)
{
    const es_doc *link = item(root_of(state), "links", 0);
    static const char *const keys[] = {"absent", "none"};
    static const char *const words[] = {"one", "two"};
    for (size_t i = 0; i < 2; i++) {
        const char *text = "kept";
        double number = 7;
        int64_t whole = 7;
        bool boolean = true;
        size_t word = 7;
        const es_doc *doc = link;
        assert_ok(es_doc_get_text(link, keys[i], &text, NULL));
        assert_ok(es_doc_get_number(link, keys[i], 0, 1, &number, NULL));
        assert_ok(es_doc_get_int(link, keys[i], 0, 1, &whole, NULL));
        assert_ok(es_doc_get_bool(link, keys[i], &boolean, NULL));
        assert_ok(es_doc_get_list(link, keys[i], &doc, NULL));
        assert_ok(es_doc_get_map(link, keys[i], &doc, NULL));
        assert_ok(es_doc_get_word(link, keys[i], words, 2, &word, NULL));
        assert_string_equal(text, "kept");
        assert_true(number > 6.5 && whole == 7 && boolean && word == 7 && doc == link);
    }
}

static void a_missing_key_is_named_at_its_map(void **state)
{
    const es_doc *node = item(root_of(state), "nodes", 1);
    es_error err = {0};
    const es_doc *doc = NULL;
    const char *text = NULL;
    double number = 7;
    int64_t whole = 7;
    size_t word = 7;
    static const char *const words[] = {"x"};
    const char *wanted = "city.yaml:5:5: nodes[1]: missing key 'tier'";
    assert_fails(es_doc_need(node, "tier", &doc, &err), ES_ERR_PARSE, err, wanted);
    assert_fails(es_doc_need_text(node, "tier", &text, &err), ES_ERR_PARSE, err, wanted);
    assert_fails(es_doc_need_number(node, "tier", 0, 1, &number, &err), ES_ERR_PARSE, err, wanted);
    assert_fails(es_doc_need_int(node, "tier", 0, 1, &whole, &err), ES_ERR_PARSE, err, wanted);
    assert_fails(es_doc_need_list(node, "tier", &doc, &err), ES_ERR_PARSE, err, wanted);
    assert_fails(es_doc_need_map(node, "tier", &doc, &err), ES_ERR_PARSE, err, wanted);
    assert_fails(es_doc_need_word(node, "tier", words, 1, &word, &err), ES_ERR_PARSE, err, wanted);
    assert_true(doc == NULL && text == NULL && number > 6.5 && whole == 7 && word == 7);
    assert_fails(es_doc_need(root_of(state), "units", &doc, &err), ES_ERR_PARSE, err,
                 "city.yaml:1:1: missing key 'units'");
}

static void unknown_keys_offer_the_nearest(void **state)
{
    const es_doc *root = root_of(state);
    es_error err = {0};
    assert_ok_err(ES_DOC_EXPECT_KEYS(item(root, "nodes", 0), &err, "id", "tier", "cores"), err);
    assert_fails(ES_DOC_EXPECT_KEYS(item(root, "nodes", 1), &err, "id", "tier", "cores"),
                 ES_ERR_PARSE, err,
                 "city.yaml:6:5: nodes[1]: unknown key 'teir' (did you mean 'tier'?)");
    assert_fails(ES_DOC_EXPECT_KEYS(item(root, "nodes", 1), &err, "id", "power_w"), ES_ERR_PARSE,
                 err, "unknown key 'teir' (known: id, power_w)");
    assert_fails(ES_DOC_EXPECT_KEYS(es_doc_find(root, "nodes"), &err, "id"), ES_ERR_PARSE, err,
                 "city.yaml:4:3: nodes: expected a map, got a list");
    assert_fails(es_doc_expect_keys(root, NULL, 0, &err), ES_ERR_PARSE, err,
                 "city.yaml:1:1: unknown key 'format' (known: )");
}

static void many_known_keys_are_cut(void **state)
{
    const es_doc *root = root_of(state);
    const char *keys[100];
    for (size_t i = 0; i < 100; i++)
        keys[i] = i % 2 == 0 ? "quite_a_long_key_name" : "another_long_key_name";
    es_error err = {0};
    assert_fails(es_doc_expect_keys(root, keys, 100, &err), ES_ERR_PARSE, err, ", ...)");
    assert_true(strlen(es_error_text(&err)) < 300);
}

static void ranges_are_told(void **state)
{
    const es_doc *link = item(root_of(state), "links", 0);
    double number = 7;
    int64_t whole = 7;
    es_error err = {0};
    double huge = (double)INFINITY;
    assert_fails(es_doc_need_number(link, "latency_ms", 0, huge, &number, &err), ES_ERR_PARSE, err,
                 "city.yaml:8:17: links[0].latency_ms: -1 must be >= 0");
    assert_fails(es_doc_get_number(link, "latency_ms", 0, 1e5, &number, &err), ES_ERR_PARSE, err,
                 "links[0].latency_ms: -1 must be between 0 and 100000");
    assert_fails(es_doc_need_number(link, "loss", -huge, 0.25, &number, &err), ES_ERR_PARSE, err,
                 "city.yaml:9:11: links[0].loss: 7.5 must be <= 0.25");
    assert_fails(es_doc_need_int(link, "latency_ms", 0, INT64_MAX, &whole, &err), ES_ERR_PARSE, err,
                 "-1 must be >= 0");
    assert_fails(es_doc_get_int(link, "latency_ms", INT64_MIN, -2, &whole, &err), ES_ERR_PARSE, err,
                 "-1 must be <= -2");
    assert_fails(es_doc_get_int(link, "latency_ms", 3, 3, &whole, &err), ES_ERR_PARSE, err,
                 "-1 must be 3");
    assert_ok(es_doc_need_number(link, "latency_ms", -1, -1, &number, &err)); /* inclusive */
    assert_true(number < 0 && whole == 7);
}

static void wrong_types_are_told(void **state)
{
    const es_doc *root = root_of(state);
    const es_doc *link = item(root, "links", 0);
    const es_doc *doc = NULL;
    const char *text = NULL;
    double number = 7;
    int64_t whole = 7;
    bool boolean = true;
    es_error err = {0};
    assert_fails(es_doc_need_number(root, "format", 0, 1, &number, &err), ES_ERR_PARSE, err,
                 "city.yaml:1:9: format: expected a number, got text 'estran-city'");
    assert_fails(es_doc_need_list(root, "odd key!", &doc, &err), ES_ERR_PARSE, err,
                 "['odd key!']: expected a list, got a map");
    assert_fails(es_doc_get_list(root, "format", &doc, &err), ES_ERR_PARSE, err, "expected a list");
    assert_fails(es_doc_need_map(root, "nodes", &doc, &err), ES_ERR_PARSE, err,
                 "nodes: expected a map, got a list");
    assert_fails(es_doc_get_map(link, "down", &doc, &err), ES_ERR_PARSE, err,
                 "links[0].down: expected a map, got true");
    assert_fails(es_doc_need_text(root, "version", &text, &err), ES_ERR_PARSE, err,
                 "version: expected a text, got 1");
    assert_fails(es_doc_need_text(link, "none", &text, &err), ES_ERR_PARSE, err,
                 "links[0].none: expected a text, got null");
    assert_fails(es_doc_get_text(link, "half", &text, &err), ES_ERR_PARSE, err, "got 2.5");
    assert_fails(es_doc_need_int(link, "half", 0, 9, &whole, &err), ES_ERR_PARSE, err,
                 "links[0].half: expected a whole number, got 2.5");
    assert_fails(es_doc_get_bool(link, "up", &boolean, &err), ES_ERR_PARSE, err,
                 "links[0].up: expected true or false, got text 'yes'");
    assert_fails(es_doc_expect_list(root, &err), ES_ERR_PARSE, err,
                 "city.yaml:1:1: expected a list, got a map");
    assert_fails(es_doc_need_text(es_doc_find(root, "nodes"), "id", &text, &err), ES_ERR_PARSE, err,
                 "nodes: expected a map, got a list");
    assert_fails(es_doc_get_text(es_doc_find(root, "nodes"), "id", &text, &err), ES_ERR_PARSE, err,
                 "nodes: expected a map, got a list");
    assert_true(doc == NULL && text == NULL && number > 6.5 && whole == 7 && boolean);
}

static void whole_numbers_fit_int64(void **state)
{
    static const struct {
        const char *text;
        bool fits;
    } cases[] = {
        {"1e3", true},
        {"-9223372036854775808.0", true},
        {"9223372036854775808", false},
        {"1e19", false},
        {"-1e19", false},
        {"-0.0", true},
        {"0.5", false},
        {"4503599627370495.5", false},
        {"9.2e18", true},
        {"1e-300", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const es_doc *root = NULL;
        int64_t whole = 7;
        assert_ok(
            es_doc_parse_yaml(*state, "n", cases[i].text, strlen(cases[i].text), &root, NULL));
        es_status status = es_doc_expect_int(root, INT64_MIN, INT64_MAX, &whole, NULL);
        if ((status == ES_OK) != cases[i].fits)
            fail_msg("%s: %s", cases[i].text, es_status_text(status));
    }
}

static void words_are_indices(void **state)
{
    static const char *const tiers[] = {"device", "edge", "network", "cloud"};
    static const char *const formats[] = {"estran-citi", "estran-land"};
    const es_doc *root = root_of(state);
    size_t word = 7;
    es_error err = {0};
    assert_ok_err(es_doc_need_word(item(root, "nodes", 0), "tier", tiers, 4, &word, &err), err);
    assert_int_equal(word, 1);
    assert_fails(es_doc_need_word(item(root, "nodes", 0), "id", tiers, 4, &word, &err),
                 ES_ERR_PARSE, err,
                 "city.yaml:4:10: nodes[0].id: 'a' must be one of device, edge, network, cloud");
    assert_null(strstr(es_error_text(&err), "did you mean"));
    assert_fails(es_doc_get_word(root, "format", formats, 2, &word, &err), ES_ERR_PARSE, err,
                 "(did you mean 'estran-citi'?)");
    assert_fails(es_doc_get_word(root, "version", formats, 2, &word, &err), ES_ERR_PARSE, err,
                 "version: expected a text, got 1");
    assert_int_equal(word, 1);
}

static es_status expect_format(void **state, const char *text, es_error *err)
{
    const es_doc *root = NULL;
    assert_ok(es_doc_parse_yaml(*state, "f", text, strlen(text), &root, NULL));
    return es_doc_expect_format(root, "estran-plan", 2, err);
}

static void formats_and_versions_are_checked(void **state)
{
    es_error err = {0};
    assert_ok_err(expect_format(state, "{format: estran-plan, version: 1}", &err), err);
    assert_ok_err(expect_format(state, "{format: estran-plan, version: 2}", &err), err);
    assert_fails(expect_format(state, "{format: estran-plan, version: 3}", &err), ES_ERR_PARSE, err,
                 "version: 3 is newer than this program reads (1 to 2)");
    assert_fails(expect_format(state, "{format: estran-plan, version: 0}", &err), ES_ERR_PARSE, err,
                 "version: 0 must be >= 1");
    assert_fails(expect_format(state, "{format: estran-plan}", &err), ES_ERR_PARSE, err,
                 "missing key 'version'");
    assert_fails(expect_format(state, "{format: estran-city, version: 1}", &err), ES_ERR_PARSE, err,
                 "format: 'estran-city' must be 'estran-plan'");
    assert_fails(expect_format(state, "{version: 1}", &err), ES_ERR_PARSE, err,
                 "missing key 'format'");
    assert_fails(expect_format(state, "[]", &err), ES_ERR_PARSE, err, "expected a map");
}

static void odd_keys_stay_on_one_line(void **state)
{
    const es_doc *root = root_of(state);
    const es_doc *x = item(es_doc_find(root, "odd key!"), "line\nbreak", 0)->as.list.items[0];
    es_error err = {0};
    assert_fails(es_doc_fail(x, &err, "bad %d", 7), ES_ERR_PARSE, err,
                 "city.yaml:14:31: ['odd key!']['line?break'][0][0]: bad 7");
    assert_int_equal(es_doc_fail(x, NULL, "nobody listens"), ES_ERR_PARSE);
}

static void deep_paths_keep_their_end(void **state)
{
    char text[8192];
    size_t used = 0;
    for (int i = 0; i < 60; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "{a_rather_long_key_%d: ", i);
    memset(text + used, '}', 60);
    const es_doc *root = NULL;
    es_error err = {0};
    assert_ok_err(es_doc_parse_yaml(*state, "deep", text, used + 60, &root, &err), err);
    for (int i = 0; i < 60; i++)
        root = root->as.map.members[0].value;
    assert_fails(es_doc_fail(root, &err, "bad"), ES_ERR_PARSE, err, "a_rather_long_key_59: bad");
    assert_non_null(strstr(es_error_text(&err), ": ...."));
}

static void long_texts_are_cut_in_messages(void **state)
{
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    const es_doc *root = NULL;
    es_error err = {0};
    double number = 0;
    assert_ok_err(es_doc_parse_yaml(*state, "long", text, strlen(text), &root, &err), err);
    assert_fails(es_doc_expect_number(root, 0, 1, &number, &err), ES_ERR_PARSE, err,
                 "\xc3\xa9...'");
    assert_true(strlen(es_error_text(&err)) < 150);
}

static void values_made_by_a_program_have_no_place(void **state)
{
    (void)state;
    es_doc value = {.type = ES_DOC_BOOL};
    es_error err = {0};
    assert_fails(es_doc_expect_list(&value, &err), ES_ERR_PARSE, err, "expected a list, got false");
    assert_int_equal(strncmp(es_error_text(&err), "expected", 8), 0);
}

#define FOLDER ES_TEST_BINARY_DIR "/base_document_test"

static void write_file(const char *path, const char *text)
{
    es_error err = {0};
    assert_ok_err(es_file_write(path, text, strlen(text), &err), err);
}

static void files_are_read_by_their_name(void **state)
{
    es_error err = {0};
    const es_doc *root = NULL;
    assert_ok_err(es_file_make_folder(FOLDER, &err), err);
    write_file(FOLDER "/a.yaml", "a: [1, 2]\n");
    write_file(FOLDER "/a.json", "{\"a\": [1, 2]}\n");
    write_file(FOLDER "/bad.json", "a: [1, 2]\n");
    gzFile packed = gzopen(FOLDER "/a.json.gz", "wb");
    assert_int_equal(gzputs(packed, "{\"a\": 00}"), 9);
    assert_int_equal(gzclose(packed), Z_OK);
    assert_ok_err(es_doc_read(*state, FOLDER "/a.yaml", 100, &root, &err), err);
    assert_int_equal(es_doc_find(root, "a")->as.list.count, 2);
    assert_string_equal(root->file, FOLDER "/a.yaml");
    assert_ok_err(es_doc_read(*state, FOLDER "/a.json", 100, &root, &err), err);
    assert_int_equal(es_doc_find(root, "a")->as.list.count, 2);
    assert_fails(es_doc_read(*state, FOLDER "/bad.json", 100, &root, &err), ES_ERR_PARSE, err,
                 "bad.json:1:1: expected a value, got 'a'");
    assert_fails(es_doc_read(*state, FOLDER "/a.json.gz", 100, &root, &err), ES_ERR_PARSE, err,
                 "needless 0"); /* as JSON: YAML would take it */
    assert_fails(es_doc_read(*state, FOLDER "/a.yaml", 3, &root, &err), ES_ERR_LIMIT, err,
                 "limit of 3 bytes");
    assert_fails(es_doc_read(*state, FOLDER "/none", 100, &root, &err), ES_ERR_IO, err,
                 "No such file");
    assert_fails(es_doc_read(*state, FOLDER, 100, &root, &err), ES_ERR_IO, err, "folder");
    int kept = dup(STDIN_FILENO);
    int descriptor = open(FOLDER "/a.yaml", O_RDONLY);
    assert_true(dup2(descriptor, STDIN_FILENO) >= 0);
    es_status status = es_doc_read(*state, "-", 100, &root, &err);
    (void)close(descriptor);
    if (kept >= 0)
        (void)dup2(kept, STDIN_FILENO);
    (void)close(kept);
    assert_ok(status);
    assert_string_equal(root->file, "stdin");
    static const char *const names[] = {"/a.yaml", "/a.json", "/bad.json", "/a.json.gz", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s%s", FOLDER, names[i]);
        assert_int_equal(remove(path), 0);
    }
}

#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, parse_city, free_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(members_are_found_by_key),
        WITH_ARENA(what_is_missing_or_null_leaves_the_default),
        WITH_ARENA(a_missing_key_is_named_at_its_map),
        WITH_ARENA(unknown_keys_offer_the_nearest),
        WITH_ARENA(many_known_keys_are_cut),
        WITH_ARENA(ranges_are_told),
        WITH_ARENA(wrong_types_are_told),
        WITH_ARENA(whole_numbers_fit_int64),
        WITH_ARENA(words_are_indices),
        WITH_ARENA(formats_and_versions_are_checked),
        WITH_ARENA(odd_keys_stay_on_one_line),
        WITH_ARENA(deep_paths_keep_their_end),
        WITH_ARENA(long_texts_are_cut_in_messages),
        WITH_ARENA(values_made_by_a_program_have_no_place),
        WITH_ARENA(files_are_read_by_their_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
