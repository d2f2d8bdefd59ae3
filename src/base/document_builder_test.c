#include "base/document_internal.h"
#include "base/rng.h"
#include "es_test.h"

#include <math.h>

enum { CAP = 8 << 20, TREE_COUNT = 200 };

/* ---- random trees: written, read by both readers, compared ---- */

static void random_text(es_rng *rng, char *out, size_t size)
{
    static const char *const parts[] = {"a",        "Z9",
                                        "null",     " ",
                                        "\n",       "\t",
                                        "\"",       "\\",
                                        "\x7f",     "\x01",
                                        ": ",       "# ",
                                        "- ",       "'",
                                        "\xc3\xa9", "~",
                                        "true",     "1e3",
                                        "0x1f",     "&",
                                        "*",        "\xf0\x9f\x98\x80",
                                        "{",        "]",
                                        ",",        "<<",
                                        "",         "|"};
    size_t used = 0;
    out[0] = '\0';
    for (uint64_t i = es_rng_below(rng, 5); i > 0; i--) {
        const char *part = parts[es_rng_below(rng, sizeof parts / sizeof *parts)];
        used += (size_t)snprintf(out + used, size - used, "%s", part);
    }
}

static double random_number(es_rng *rng)
{
    for (;;) {
        uint64_t bits = es_rng_u64(rng);
        double number;
        memcpy(&number, &bits, sizeof number);
        if (isfinite(number))
            return es_rng_below(rng, 2) == 0 ? number : floor(es_rng_double(rng) * 1000) / 8;
    }
}

static void random_scalar(es_rng *rng, es_json *json)
{
    char text[200];
    switch (es_rng_below(rng, 5)) {
    case 0:
        es_json_null(json);
        return;
    case 1:
        es_json_bool(json, es_rng_below(rng, 2) == 0);
        return;
    case 2:
        es_json_int(json, (int64_t)(es_rng_u64(rng) >> es_rng_below(rng, 64)));
        return;
    case 3:
        es_json_number(json, random_number(rng));
        return;
    default:
        random_text(rng, text, sizeof text);
        es_json_text(json, text);
    }
}

/* A random tree as JSON; keys end in a number, so that they differ. */
static void random_tree(es_rng *rng, es_json *json, int size)
{
    int open = 0;
    do {
        if (open > 0 && json->closers[open - 1] == '}') {
            char key[220];
            random_text(rng, key, 200);
            size_t used = strlen(key);
            (void)snprintf(key + used, sizeof key - used, "%d", size);
            es_json_key(json, key);
        }
        uint64_t kind = open < 12 ? es_rng_below(rng, 4) : 3;
        if (kind == 0)
            es_json_map_begin(json);
        else if (kind == 1)
            es_json_list_begin(json);
        else
            random_scalar(rng, json);
        open = json->depth;
        while (open > 0 && (size <= 0 || es_rng_below(rng, 4) == 0)) {
            if (json->closers[open - 1] == '}')
                es_json_map_end(json);
            else
                es_json_list_end(json);
            open = json->depth;
        }
        size--;
    } while (open > 0);
}

static void random_trees_survive_writing_and_reading(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    for (uint64_t k = 0; k < TREE_COUNT; k++) {
        es_rng rng = es_rng_make(seed + k, 0);
        es_arena *arena = es_arena_new(CAP);
        es_text first;
        es_text again;
        es_json json;
        es_text_init(&first, CAP);
        es_text_init(&again, CAP);
        es_json_init(&json, &first, k % 2 == 0);
        random_tree(&rng, &json, 1 + (int)es_rng_below(&rng, 300));
        assert_ok(es_text_status(&first, NULL));
        const es_doc *roots[2] = {NULL, NULL};
        es_error err = {0};
        if (es_doc_parse_json(arena, "r", es_text_get(&first), first.size, &roots[0], &err) !=
            ES_OK)
            fail_msg("ES_SEED=%" PRIu64 ": %s\n%s", seed + k, es_error_text(&err),
                     es_text_get(&first));
        bool yaml_too = strchr(es_text_get(&first), '\x7f') == NULL; /* YAML does not allow DEL */
        if (yaml_too && es_doc_parse_yaml(arena, "r", es_text_get(&first), first.size, &roots[1],
                                          &err) != ES_OK)
            fail_msg("ES_SEED=%" PRIu64 ": %s\n%s", seed + k, es_error_text(&err),
                     es_text_get(&first));
        for (int i = 0; i < 1 + yaml_too; i++) {
            es_text_clear(&again);
            es_json_init(&json, &again, k % 2 == 0);
            es_json_doc(&json, roots[i]);
            if (strcmp(es_text_get(&first), es_text_get(&again)) != 0)
                fail_msg("ES_SEED=%" PRIu64 " (reader %d):\n%s\n%s", seed + k, i,
                         es_text_get(&first), es_text_get(&again));
        }
        es_text_done(&first);
        es_text_done(&again);
        es_arena_free(arena);
    }
}

/* ---- memory ---- */

static const char sample[] =
    "{\"format\": \"x\", \"long\": \"a text of some length, longer than a few words, \\u00e9\", "
    "\"list\": [1, 2.5, true, null, [], {}, [[[\"deep\"]]]], "
    "\"map\": {\"a\": {\"b\": {\"c\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}}, \"d\": 1}, "
    "\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,"
    "\"k10\":10,\"k11\":11,\"k12\":12,\"k13\":13,\"k14\":14,\"k15\":15,\"k16\":16,\"k17\":17}";

typedef es_status parse_function(es_arena *arena, const char *name, const char *bytes, size_t size,
                                 const es_doc **out_root, es_error *err);

static void every_cap_is_success_or_no_memory(parse_function *parse, const char *text)
{
    size_t refused = 0;
    bool fits = false;
    for (size_t cap = 1; !fits && cap < 100000; cap += 8) {
        es_arena *arena = es_arena_new(cap);
        const es_doc *root = NULL;
        es_error err = {0};
        es_status status = parse(arena, "name.yaml", text, strlen(text), &root, &err);
        fits = status == ES_OK;
        if (!fits) {
            assert_int_equal(status, ES_ERR_NOMEM);
            assert_null(root);
            assert_non_null(strstr(es_error_text(&err), "no memory"));
            refused++;
        } else {
            assert_non_null(root);
            assert_true(es_arena_used_bytes(arena) + 16 > cap - 8); /* the cap was the reason */
        }
        es_arena_free(arena);
    }
    assert_true(fits);
    assert_true(refused > 100);
}

static void too_small_arenas_are_refused_everywhere(void **state)
{
    (void)state;
    every_cap_is_success_or_no_memory(es_doc_parse_json, sample);
    every_cap_is_success_or_no_memory(es_doc_parse_yaml, sample);
    every_cap_is_success_or_no_memory(
        es_doc_parse_yaml, "a: &x [1, {k: text}, &y other]\nb: *x\nc: [*y, *x, *x, *x]\n"
                           "d: [[1, 2, 3, 4], *x, *x, *x, *x, *x, *x, *x, *x, *x, *x]\n");
}

static void values_are_counted(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(CAP);
    es_error err = {0};
    es_doc_builder builder;
    assert_ok(es_doc_builder_init(&builder, arena, "many.json", &err));
    es_doc list = {.type = ES_DOC_LIST, .line = 1, .column = 1};
    es_doc null = {.type = ES_DOC_NULL, .line = 2, .column = 3};
    assert_ok(es_doc_builder_add(&builder, list, NULL, &err));
    assert_int_equal(builder.value_count, 1);
    builder.value_count = ES_DOC_VALUES_MAX - 1;
    assert_ok(es_doc_builder_add(&builder, null, NULL, &err));
    assert_fails(es_doc_builder_add(&builder, null, NULL, &err), ES_ERR_LIMIT, err,
                 "many.json:2:3: more than 20000000 values");
    es_doc_builder_done(&builder);
    es_arena_free(arena);
}

static void numbers_come_from_digits(void **state)
{
    (void)state;
    es_doc value = {.type = ES_DOC_NULL};
    assert_true(es_doc_number_from("12junk", 2, &value)); /* only size bytes */
    assert_int_equal(value.type, ES_DOC_INT);
    assert_true(value.as.integer == 12);
    char huge[402] = "0x";
    memset(huge + 2, 'f', 398);
    assert_false(es_doc_number_from(huge, 400, &value)); /* overflows a double */
    assert_true(es_doc_number_from(huge, 200, &value));
    memset(huge, '0', 401);
    assert_true(es_doc_number_from(huge, 400, &value));
    assert_false(es_doc_number_from(huge, 401, &value));
}

static void utf8_is_strict(void **state)
{
    (void)state;
    assert_int_equal(es_doc_utf8_size("a", 1), 1);
    assert_int_equal(es_doc_utf8_size("\xc3\xa9", 2), 2);
    assert_int_equal(es_doc_utf8_size("\xc3\xa9", 1), 0);
    assert_int_equal(es_doc_utf8_size("\xe2\x82\xac", 3), 3);
    assert_int_equal(es_doc_utf8_size("\xf0\x90\x80\x80", 4), 4);
    assert_int_equal(es_doc_utf8_size("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(es_doc_utf8_size("\x80", 1), 0);
    assert_int_equal(es_doc_utf8_size("\xe2"
                                      "a\xac",
                                      3),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees_survive_writing_and_reading),
        cmocka_unit_test(too_small_arenas_are_refused_everywhere),
        cmocka_unit_test(values_are_counted),
        cmocka_unit_test(numbers_come_from_digits),
        cmocka_unit_test(utf8_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
