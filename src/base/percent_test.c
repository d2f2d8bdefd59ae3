#include "base/percent.h"
#include "base/rng.h"
#include "es_test.h"

static void decodes_escapes(void **state)
{
    char out[16];
    (void)state;
    assert_true(es_percent_decode("a%2Fb%20c", 9, false, out, sizeof out));
    assert_string_equal(out, "a/b c");
    assert_true(es_percent_decode("a+b", 3, true, out, sizeof out));
    assert_string_equal(out, "a b");
    assert_true(es_percent_decode("a+b", 3, false, out, sizeof out));
    assert_string_equal(out, "a+b");
    assert_false(es_percent_decode("%", 1, false, out, sizeof out));
    assert_false(es_percent_decode("%4", 2, false, out, sizeof out));
    assert_false(es_percent_decode("%4g", 3, false, out, sizeof out));
    assert_false(es_percent_decode("%00", 3, false, out, sizeof out));
    assert_false(es_percent_decode("0123456789abcdef", 16, false, out, sizeof out));
    assert_true(es_percent_decode("0123456789abcde", 15, false, out, sizeof out));
}

static void encodes_what_may_not_stand_there(void **state)
{
    (void)state;
    es_text text;
    es_text_init(&text, 1 << 10);
    es_percent_encode(&text, "a/b ;,=\x7f\xc3\xa9-._~Z9");
    assert_string_equal(es_text_get(&text), "a%2Fb%20%3B%2C%3D%7F%C3%A9-._~Z9");
    es_text_done(&text);
}

static void comes_back_the_same(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    es_text text;
    es_text_init(&text, 1 << 10);
    for (int round = 0; round < 200; round++) {
        char words[64];
        char back[64];
        size_t size = (size_t)es_rng_below(&rng, sizeof words);
        for (size_t i = 0; i < size; i++)
            words[i] = (char)(unsigned char)(1 + es_rng_below(&rng, 255));
        words[size] = '\0';
        es_text_clear(&text);
        es_percent_encode(&text, words);
        assert_true(es_percent_decode(es_text_get(&text), text.size, false, back, sizeof back));
        assert_string_equal(back, words);
    }
    es_text_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_escapes),
        cmocka_unit_test(encodes_what_may_not_stand_there),
        cmocka_unit_test(comes_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
