#include "base/rng.h"
#include "base/text.h"
#include "es_test.h"

#include <float.h>
#include <math.h>

static void appends_add_up(void **state)
{
    (void)state;
    es_text text;
    es_text_init(&text, 1 << 20);
    assert_string_equal(es_text_get(&text), "");
    size_t wanted = 0;
    for (int i = 0; i < 5000; i++) {
        es_text_append(&text, "ab");
        es_text_append_n(&text, "cdef", 2);
        es_text_format(&text, "%d", i % 10);
        wanted += 5;
    }
    assert_ok(es_text_status(&text, NULL));
    assert_int_equal(text.size, wanted);
    assert_int_equal(strlen(es_text_get(&text)), wanted);
    assert_memory_equal(es_text_get(&text), "abcd0abcd1abcd2", 15);
    es_text_clear(&text);
    assert_string_equal(es_text_get(&text), "");
    es_text_append(&text, "x");
    assert_string_equal(es_text_get(&text), "x");
    es_text_done(&text);
    es_text_done(&text);
    es_text_done(NULL);
}

static void the_cap_is_remembered_until_cleared(void **state)
{
    (void)state;
    es_error err = {0};
    es_text text;
    es_text_init(&text, 8);
    es_text_append(&text, "1234567"); /* with its terminator exactly 8 */
    assert_ok(es_text_status(&text, &err));
    es_text_append(&text, "8");
    es_text_append(&text, "");
    assert_fails(es_text_status(&text, &err), ES_ERR_NOMEM, err, "8 bytes");
    assert_string_equal(es_text_get(&text), "1234567");
    es_text_clear(&text);
    es_text_format(&text, "%s", "12345678");
    assert_fails(es_text_status(&text, &err), ES_ERR_NOMEM, err, "8 bytes");
    es_text_clear(&text);
    es_text_format(&text, "%s", "1234");
    assert_ok(es_text_status(&text, &err));
    assert_string_equal(es_text_get(&text), "1234");
    es_text_done(&text);
}

static void other_failures_keep_their_name(void **state)
{
    (void)state;
    es_error err = {0};
    es_text text;
    es_text_init(&text, 100);
    text.status = ES_ERR_LIMIT;
    es_text_append(&text, "more");
    assert_fails(es_text_status(&text, &err), ES_ERR_LIMIT, err, "limit");
}

static void reads_back_the_same(double number)
{
    es_text text;
    es_text_init(&text, 100);
    es_text_double(&text, number);
    double back = -1;
    uint64_t bits = 0;
    uint64_t back_bits = 1;
    bool read = es_text_to_double(es_text_get(&text), &back);
    memcpy(&bits, &number, sizeof bits);
    memcpy(&back_bits, &back, sizeof back_bits);
    if (!read || bits != back_bits) /* bits, so that -0.0 counts */
        fail_msg("%a printed as '%s' reads back as %a", number, es_text_get(&text), back);
    es_text_done(&text);
}

static void doubles_read_back_the_same(void **state)
{
    (void)state;
    static const double edges[] = {0.0,
                                   -0.0,
                                   1.0,
                                   0.1,
                                   1.0 / 3,
                                   DBL_MAX,
                                   -DBL_MAX,
                                   DBL_MIN,
                                   DBL_TRUE_MIN,
                                   DBL_EPSILON,
                                   9007199254740993.0,
                                   1e22,
                                   1e23,
                                   5e-324,
                                   123456789012345680.0};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        reads_back_the_same(edges[i]);
    uint64_t seed = es_test_seed(1);
    es_rng rng = es_rng_make(seed, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = es_rng_u64(&rng);
        double number;
        memcpy(&number, &bits, sizeof number);
        if (isfinite(number))
            reads_back_the_same(number);
        reads_back_the_same(es_rng_double(&rng));
    }
}

static void integers_as_printf_would(void **state)
{
    (void)state;
    static const int64_t edges[] = {0, 1, -1, 9, 10, -10, 99, 100, INT64_MAX, INT64_MIN};
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    for (size_t i = 0; i < 2000; i++) {
        char wanted[64];
        int64_t number = i < sizeof edges / sizeof *edges
                             ? edges[i]
                             : (int64_t)(es_rng_u64(&rng) >> (es_rng_u64(&rng) % 64));
        es_text text;
        es_text_init(&text, 100);
        es_text_int(&text, number);
        es_text_append(&text, " ");
        es_text_uint(&text, (uint64_t)number);
        (void)snprintf(wanted, sizeof wanted, "%" PRId64 " %" PRIu64, number, (uint64_t)number);
        assert_string_equal(es_text_get(&text), wanted);
        es_text_done(&text);
    }
}

/* Whether or not there is room already, up to the cap, beyond which nothing is written. */
static void formats_into_any_room(void **state)
{
    (void)state;
    for (size_t before = 0; before < 700; before++) {
        es_text text;
        es_text_init(&text, 600);
        for (size_t i = 0; i < before; i++)
            es_text_append(&text, "a");
        size_t kept = text.size;
        es_text_format(&text, "%s%d", "0123456789", 42);
        bool fits = before + 12 < 600;
        assert_int_equal(text.size, fits ? kept + 12 : kept);
        assert_int_equal(strlen(es_text_get(&text)), text.size);
        assert_int_equal(text.status, fits ? ES_OK : ES_ERR_NOMEM);
        if (fits)
            assert_string_equal(es_text_get(&text) + kept, "012345678942");
        es_text_done(&text);
    }
}

/* The least of 15 to 17 digits that reads back the same, by printing and reading. */
static void by_printf(double number, char out[64])
{
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(out, 64, "%.*g", precision, number);
        if (strtod(out, NULL) == number)
            return;
    }
}

static void prints_as_printf(double number)
{
    char wanted[64];
    es_text text;
    es_text_init(&text, 100);
    by_printf(number, wanted);
    es_text_double(&text, number);
    assert_string_equal(es_text_get(&text), wanted);
    es_text_done(&text);
}

static void doubles_print_as_printf_does(void **state)
{
    (void)state;
    static const double edges[] = {1e-7,
                                   9.9999999999999999e-8,
                                   1e-5,
                                   1e-4,
                                   0.00099999999999999999,
                                   1,
                                   10,
                                   1e14,
                                   1e15,
                                   999999999999999.9,
                                   1e16,
                                   123456789012345.0,
                                   0.1,
                                   1 / 3.0,
                                   0.30000000000000004,
                                   5e-324};
    es_rng rng = es_rng_make(es_test_seed(1), 1);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        prints_as_printf(edges[i]);
        prints_as_printf(-edges[i]);
    }
    for (size_t i = 0; i < 50000; i++) {
        double any = (es_rng_double(&rng) - 0.5) * pow(10, es_rng_double(&rng) * 40 - 20);
        double few = round(any * 1e6) / 1e6;
        prints_as_printf(any);
        prints_as_printf(few);
    }
}

static void doubles_print_short(void **state)
{
    (void)state;
    es_text text;
    es_text_init(&text, 1000);
    es_text_double(&text, 0.1);
    es_text_append(&text, " ");
    es_text_double(&text, 3.0);
    es_text_append(&text, " ");
    es_text_double(&text, (double)NAN);
    es_text_append(&text, " ");
    es_text_double(&text, -(double)INFINITY);
    assert_string_equal(es_text_get(&text), "0.1 3 null null");
    es_text_done(&text);
}

static void numbers_are_whole_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     " 1",  "1 ",    "1x",  "x",   "nan",    "inf", "-inf",
                                      "+inf", "--1", "1e999", "-",   "+",   ".",      "1,5", "0x",
                                      "- 1",  "1e",  "\t1",   "1\n", "NaN", "-1e999", "1 2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double number = 7;
        if (es_text_to_double(bad[i], &number))
            fail_msg("'%s' was read as %g", bad[i], number);
        assert_true(number > 6.5 && number < 7.5);
    }
    double number = 0;
    assert_true(es_text_to_double("-1.5e3", &number));
    assert_true(number > -1500.1 && number < -1499.9);
    assert_true(es_text_to_double(".5", &number));
    assert_true(es_text_to_double("+2", &number));
    assert_false(es_text_to_double(NULL, &number));
}

static void integers_know_their_range(void **state)
{
    (void)state;
    int64_t number = 7;
    assert_true(es_text_to_int64("-9223372036854775808", &number));
    assert_true(number == INT64_MIN);
    assert_true(es_text_to_int64("9223372036854775807", &number));
    assert_true(number == INT64_MAX);
    assert_false(es_text_to_int64("9223372036854775808", &number));
    assert_false(es_text_to_int64("1.0", &number));
    assert_false(es_text_to_int64("1e3", &number));
    assert_false(es_text_to_int64(" 1", &number));
    assert_false(es_text_to_int64("", &number));
    assert_false(es_text_to_int64(NULL, &number));
    assert_true(number == INT64_MAX);
    uint64_t natural = 7;
    assert_true(es_text_to_uint64("18446744073709551615", &natural));
    assert_true(natural == UINT64_MAX);
    assert_false(es_text_to_uint64("18446744073709551616", &natural));
    assert_false(es_text_to_uint64("-1", &natural));
    assert_false(es_text_to_uint64("", &natural));
}

static void nearest_words_are_near(void **state)
{
    (void)state;
    static const char *const keys[] = {"tier", "latency_ms", "bandwidth_mbps", "latency_us", "id"};
    enum { COUNT = sizeof keys / sizeof *keys };
    assert_string_equal(es_text_nearest("teir", keys, COUNT), "tier"); /* swap is one step */
    assert_string_equal(es_text_nearest("tie", keys, COUNT), "tier");
    assert_string_equal(es_text_nearest("latency_m", keys, COUNT), "latency_ms");
    assert_string_equal(es_text_nearest("latency_sm", keys, COUNT), "latency_ms");
    assert_null(es_text_nearest("completely", keys, COUNT));
    assert_null(es_text_nearest("x", keys, 0));
}

static void nearest_takes_the_first_of_equals(void **state)
{
    (void)state;
    static const char *const keys[] = {"abcx", "abcy"};
    assert_string_equal(es_text_nearest("abcz", keys, 2), "abcx");
    static const char *const better[] = {"abcdxx", "abcdex"};
    assert_string_equal(es_text_nearest("abcdef", better, 2), "abcdex");
}

static void nearest_bears_long_words(void **state)
{
    (void)state;
    char word[500];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    const char *const keys[] = {word, "a"};
    assert_null(es_text_nearest(word, keys, 2));
    word[64] = '\0';
    assert_string_equal(es_text_nearest(word, keys, 2), word);
    assert_string_equal(es_text_nearest("b", keys, 2), "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_add_up),
        cmocka_unit_test(the_cap_is_remembered_until_cleared),
        cmocka_unit_test(other_failures_keep_their_name),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(doubles_print_as_printf_does),
        cmocka_unit_test(doubles_print_short),
        cmocka_unit_test(integers_as_printf_would),
        cmocka_unit_test(formats_into_any_room),
        cmocka_unit_test(numbers_are_whole_texts),
        cmocka_unit_test(integers_know_their_range),
        cmocka_unit_test(nearest_words_are_near),
        cmocka_unit_test(nearest_takes_the_first_of_equals),
        cmocka_unit_test(nearest_bears_long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
