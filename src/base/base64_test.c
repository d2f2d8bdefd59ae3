#include "base/base64.h"
#include "es_test.h"

static void expect(const char *text, const char *wanted)
{
    es_error err = {0};
    es_arena *arena = es_arena_new(1 << 20);
    void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_base64_decode(arena, text, strlen(text), &bytes, &size, &err), err);
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(bytes, wanted, size);
    es_arena_free(arena);
}

static void expect_failure(const char *text, const char *words)
{
    es_error err = {0};
    es_arena *arena = es_arena_new(1 << 20);
    void *bytes = NULL;
    size_t size = 0;
    assert_fails(es_base64_decode(arena, text, strlen(text), &bytes, &size, &err), ES_ERR_PARSE,
                 err, words);
    es_arena_free(arena);
}

/* RFC 4648, section 10. */
static void vectors_of_the_standard(void **state)
{
    (void)state;
    expect("", "");
    expect("Zg==", "f");
    expect("Zm8=", "fo");
    expect("Zm9v", "foo");
    expect("Zm9vYg==", "foob");
    expect("Zm9vYmE=", "fooba");
    expect("Zm9vYmFy", "foobar");
    expect("Zm9v\r\nYmFy\n", "foobar");
    expect("Zm9vYg", "foob"); /* the padding may be left out */
    expect("//++", "\xff\xff\xbe");
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    expect_failure("Zm9v!mFy", "character 4");
    expect_failure("Zm9vY", "cut off");
    expect_failure("Zg=", "cut off");
    expect_failure("Zg==Zg==", "character 4");
    expect_failure("=", "character 0");
    expect_failure("Zg===", "character 4");
    expect_failure("Zm-_", "character 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_the_standard),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
