/* Numbers of tensors: reading and printing without a tree against the general way. */
#include "base/rng.h"
#include "es_test.h"
#include "internal.h"

#include <math.h>

static es_arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)256 << 20);
    return arena == NULL;
}

static int end(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

/* ---- printing ---- */

static void expect_printed(float value)
{
    char got[ES_DECIMAL_SIZE];
    char wanted[ES_DECIMAL_SIZE];
    int precision = 6;
    double back = 0;
    do {
        (void)snprintf(wanted, sizeof wanted, "%.*g", precision, (double)value);
        back = strtod(wanted, NULL);
    } while ((float)back != value && ++precision <= 9);
    size_t size = es_oip_float_print(value, got);
    if (strcmp(got, wanted) != 0 || size != strlen(got))
        fail_msg("%a: got '%s', wanted '%s'", (double)value, got, wanted);
}

static void floats_are_printed_as_printf_does(void **state)
{
    static const float some[] = {0,          -0.0f,     1,        -1,        0.1f,      0.5f,
                                 100000,     999999,    1000000,  9999999,   123456.7f, 1e-5f,
                                 9.9999e-5f, 0.0001f,   1e21f,    1e22f,     3.4e38f,   1e-38f,
                                 1e-45f,     16777216,  16777218, 33554432,  0.3f,      2.0f / 3,
                                 999999.94f, 9.999999f, 1e9f,     123456792, 1e15f,     1e-12f};
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    char text[ES_DECIMAL_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        expect_printed(some[i]);
    for (int i = 0; i < 300000; i++) { /* any bits, and what networks give */
        uint32_t bits = (uint32_t)es_rng_u64(&rng);
        float value = 0;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            expect_printed(value);
        expect_printed((float)(es_rng_double(&rng) * pow(10, (double)es_rng_below(&rng, 12) - 6)));
        expect_printed((float)es_rng_below(&rng, 100000) / 1000);
    }
    assert_int_equal(es_oip_float_print((float)NAN, text), 4);
    assert_string_equal(text, "null");
    assert_int_equal(es_oip_float_print(-(float)INFINITY, text), 4);
}

/* ---- reading ---- */

/* The request with these data, by the fast way or (with a blank key before) the general one. */
static es_status decode(const char *dtype, const char *shape, const char *data, bool general,
                        es_oip_message *out, es_error *err)
{
    /* an escape in the key is seen by the tree alone */
    char *json = es_arena_format(arena,
                                 "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"%s\",\"shape\":%s,"
                                 "\n\"%s\": %s}]}",
                                 dtype, shape, general ? "d\\u0061ta" : "data", data);
    assert_non_null(json);
    return es_oip_decode(arena, ES_OIP_REQUEST, json, strlen(json), ES_OIP_DOUBT, out, err);
}

/* Both ways agree: on the bytes, or on what is wrong but for where it stands. */
static void expect_agreement(const char *dtype, const char *shape, const char *data)
{
    es_oip_message fast = {0};
    es_oip_message general = {0};
    es_error fast_err = {0};
    es_error general_err = {0};
    es_status status = decode(dtype, shape, data, false, &fast, &fast_err);
    es_status wanted = decode(dtype, shape, data, true, &general, &general_err);
    if (status != wanted)
        fail_msg("%s%s %.100s: '%s' and '%s'", dtype, shape, data, es_error_text(&fast_err),
                 es_error_text(&general_err));
    if (status != ES_OK) {
        const char *got = strstr(es_error_text(&fast_err), "inputs[0]");
        const char *text = strstr(es_error_text(&general_err), "inputs[0]");
        if ((got == NULL) != (text == NULL) || (got != NULL && strcmp(got, text) != 0))
            fail_msg("%s%s %.100s: '%s' and '%s'", dtype, shape, data, es_error_text(&fast_err),
                     es_error_text(&general_err));
        return;
    }
    assert_int_equal(fast.tensors[0].size_bytes, general.tensors[0].size_bytes);
    assert_memory_equal(fast.tensors[0].data, general.tensors[0].data, fast.tensors[0].size_bytes);
}

static void edges_are_read_as_the_general_way_does(void **state)
{
    static const char *const rows[][3] = {
        {"FP32", "[3]", "[1, -2.5, 3e2]"},
        {"FP32", "[2,2]", "[[1,2],[3,4]]"},
        {"FP32", "[2,2]", "[1,2,3,4]"},
        {"FP32", "[2,2]", "[[1,2],[3]]"},
        {"FP32", "[2,2]", "[[1,2,3],[4]]"},
        {"FP32", "[2,2]", "[[1,2],3,4]"},
        {"FP32", "[2,2]", "[1,2,[3,4]]"},
        {"FP32", "[2,1,2]", "[[[1,2]],[[3,4]]]"},
        {"FP32", "[2,1,2]", "[[[1],[2]],[[3,4]]]"},
        {"FP32", "[0]", "[]"},
        {"FP32", "[2,0]", "[[],[]]"},
        {"FP32", "[0,2]", "[]"},
        {"FP32", "[2]", "[1]"},
        {"FP32", "[2]", "[1,2,3]"},
        {"FP32", "[1]", "[]"},
        {"FP32", "[]", "[5]"},
        {"FP32", "[]", "[5,6]"},
        {"FP32", "[1]", "[[1]]"},
        {"FP32", "[2]", "[1,]"},
        {"FP32", "[2]", "[,1]"},
        {"FP32", "[2]", "[1 2]"},
        {"FP32", "[1]", "[01]"},
        {"FP32", "[1]", "[1.]"},
        {"FP32", "[1]", "[.5]"},
        {"FP32", "[1]", "[1e]"},
        {"FP32", "[1]", "[1e+]"},
        {"FP32", "[1]", "[+1]"},
        {"FP32", "[1]", "[-]"},
        {"FP32", "[1]", "[--1]"},
        {"FP32", "[1]", "[nan]"},
        {"FP32", "[1]", "[true]"},
        {"FP32", "[1]", "[null]"},
        {"FP32", "[1]", "[\"1\"]"},
        {"FP32", "[1]", "[{}]"},
        {"FP32", "[1]", "[1e39]"},
        {"FP32", "[1]", "[3.4028235e38]"},
        {"FP32", "[1]", "[1e-400]"},
        {"FP32", "[2]", "[-0, 0]"},
        {"FP32", "[1]", "[123456789012345678901234567890]"},
        {"FP32", "[1]", "[0.1000000000000000000000000000000000000000000000000000000000000000001]"},
        {"FP64", "[2]", "[1e308, 5e-324]"},
        {"FP64", "[1]", "[1e309]"},
        {"FP64", "[3]", "[9007199254740993, 1.7976931348623157e308, 0.1]"},
        {"INT8", "[3]", "[-128, 0, 127]"},
        {"INT8", "[1]", "[128]"},
        {"INT8", "[1]", "[-129]"},
        {"INT8", "[2]", "[1.0, 1e1]"},
        {"INT8", "[1]", "[1.5]"},
        {"UINT8", "[2]", "[0, 255]"},
        {"UINT8", "[1]", "[256]"},
        {"UINT8", "[1]", "[-1]"},
        {"UINT8", "[1]", "[-0]"},
        {"INT64", "[2]", "[-9223372036854775808, 9223372036854775807]"},
        {"INT64", "[1]", "[9223372036854775808]"},
        {"UINT64", "[1]", "[9223372036854775807]"},
        {"UINT64", "[1]", "[18446744073709551615]"},
        {"BOOL", "[4]", "[true, false, 1, 0]"},
        {"BOOL", "[1]", "[2]"},
        {"BOOL", "[1]", "[truely]"},
        {"BOOL", "[1]", "[tru]"},
        {"BYTES", "[1]", "[1]"},
        {"BYTES", "[1]", "[\"a\"]"},
        {"FP16", "[1]", "[1]"},
        {"FP32", "[2]", "[ \n1\t,\r\n2 ]"},
        {"FP32", "[1]", "[1"},
        {"FP32", "[1]", "1"},
        {"FP32", "[1]", "[1]]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_agreement(rows[i][0], rows[i][1], rows[i][2]);
}

/* Random numbers, some of them broken by a changed character. */
static void random_lists_are_read_as_the_general_way_does(void **state)
{
    static const char *const dtypes[] = {"FP32", "FP64", "INT32", "UINT8", "INT64", "BOOL"};
    static const char alphabet[] = "0123456789.,-+eE[] tf\n\"";
    es_rng rng = es_rng_make(es_test_seed(2), 0);
    es_text text;
    (void)state;
    es_text_init(&text, 1 << 16);
    for (int round = 0; round < 20000; round++) {
        const char *dtype = dtypes[es_rng_below(&rng, 6)];
        bool nested = es_rng_below(&rng, 2) == 0;
        es_arena_reset(arena);
        es_text_clear(&text);
        es_text_append(&text, nested ? "[[" : "[");
        for (int i = 0; i < 6; i++) {
            if (i > 0)
                es_text_append(&text, nested && i == 3 ? "],[" : ",");
            if (dtype[0] == 'F')
                es_text_format(&text, "%.*g", (int)es_rng_below(&rng, 18),
                               es_rng_normal(&rng) * pow(10, (double)es_rng_below(&rng, 60) - 30));
            else
                es_text_format(&text, "%lld", (long long)es_rng_below(&rng, 300) - 20);
        }
        es_text_append(&text, nested ? "]]" : "]");
        if (es_rng_below(&rng, 2) == 0)
            text.bytes[es_rng_below(&rng, text.size)] =
                alphabet[es_rng_below(&rng, sizeof alphabet - 1)];
        expect_agreement(dtype, "[2,3]", es_text_get(&text));
    }
    es_text_done(&text);
}

static void places_of_mistakes_stay(void **state)
{
    es_oip_message out;
    es_error err = {0};
    (void)state;
    assert_fails(decode("FP32", "[3]", "[1,\n 2, \"x\"]", false, &out, &err), ES_ERR_PARSE, err,
                 "request:3:5: inputs[0].data[2]");
    static const char behind[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1],"
                                 "\"data\":[1]}],\n\"outputs\":[{\"name\":5}]}";
    assert_fails(
        es_oip_decode(arena, ES_OIP_REQUEST, behind, sizeof behind - 1, ES_OIP_DOUBT, &out, &err),
        ES_ERR_PARSE, err, "request:2:20: outputs[0].name");
}

/* Data of other maps are not taken for those of tensors. */
static void only_data_of_tensors_are_taken(void **state)
{
    static const char json[] =
        "{\"data\":[1,2],\"more\":[{\"data\":[3]}],\"inputs\":[{\"inner\":{\"data\":[4]},"
        "\"name\":\"x\",\"data\":[7],\"datatype\":\"INT32\",\"shape\":[1],\"list\":[[5]]},"
        "{\"shape\":[2],\"data\":[8,9],\"datatype\":\"INT32\",\"name\":\"data\"}],"
        "\"parameters\":{\"data\":\"inputs\"}}";
    static const int32_t first = 7;
    static const int32_t second[2] = {8, 9};
    es_oip_message out;
    es_error err = {0};
    (void)state;
    assert_ok_err(
        es_oip_decode(arena, ES_OIP_REQUEST, json, sizeof json - 1, ES_OIP_DOUBT, &out, &err), err);
    assert_memory_equal(out.tensors[0].data, &first, 4);
    assert_memory_equal(out.tensors[1].data, second, 8);
    assert_string_equal(es_oip_param_find(&out.params, "data")->as.text, "inputs");
}

/* Four bytes of memory per value and no tree. */
static void large_lists_take_little_memory(void **state)
{
    enum { COUNT = 1000000 };
    es_text text;
    es_oip_message out;
    es_error err = {0};
    (void)state;
    es_arena *small = es_arena_new((size_t)16 << 20);
    es_text_init(&text, (size_t)8 << 20);
    es_text_format(&text,
                   "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[%d],\"data\":[",
                   COUNT);
    for (int i = 0; i < COUNT; i++)
        es_text_append(&text, i > 0 ? ",0.5" : "0.5");
    es_text_append(&text, "]}]}");
    assert_ok_err(
        es_oip_decode(small, ES_OIP_REQUEST, text.bytes, text.size, ES_OIP_DOUBT, &out, &err), err);
    assert_true(((const float *)out.tensors[0].data)[COUNT - 1] == 0.5f);
    es_text_done(&text);
    es_arena_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_printed_as_printf_does),
        cmocka_unit_test(edges_are_read_as_the_general_way_does),
        cmocka_unit_test(random_lists_are_read_as_the_general_way_does),
        cmocka_unit_test(places_of_mistakes_stay),
        cmocka_unit_test(only_data_of_tensors_are_taken),
        cmocka_unit_test(large_lists_take_little_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
