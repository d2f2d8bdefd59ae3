#include "base/half.h"
#include "base/rng.h"
#include "es_test.h"

#include <math.h>
#include <string.h>

static void test_known(void **state)
{
    (void)state;
    static const struct {
        uint16_t bits;
        float value;
    } rows[] = {{0x0000, 0.0f},
                {0x3c00, 1.0f},
                {0xc000, -2.0f},
                {0x7bff, ES_HALF_MAX},
                {0x0400, 6.103515625e-05f},
                {0x0001, 5.9604645e-08f},
                {0x03ff, 6.0975552e-05f},
                {0x7c00, INFINITY},
                {0xfc00, -INFINITY},
                {0x3555, 0.33325195f}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(es_half_to_float(rows[i].bits) == rows[i].value);
        assert_int_equal(es_half_from_float(rows[i].value), rows[i].bits);
    }
    assert_true(isnan(es_half_to_float(0x7e01)));
    assert_int_equal(es_half_from_float(NAN), 0x7e00);
    assert_true(es_bfloat_to_float(0x3f80) == 1.0f);
    assert_true(es_bfloat_to_float(0xc0a0) == -5.0f);
}

/* Every half survives the way to float and back. */
static void test_all_return(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        float value = es_half_to_float((uint16_t)bits);
        if (!isnan(value))
            assert_int_equal(es_half_from_float(value), bits);
    }
}

/* Rounding against the definition: the nearest half, the even one of two. */
static void test_nearest(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(5), 0);
    for (int round = 0; round < 20000; round++) {
        float value = ldexpf((float)es_rng_double(&rng), (int)es_rng_below(&rng, 44) - 28);
        uint16_t got = es_half_from_float(value);
        float below = got > 0 ? es_half_to_float((uint16_t)(got - 1)) : 0.0f;
        float here = es_half_to_float(got);
        float above = es_half_to_float((uint16_t)(got + 1));
        double error = fabs((double)here - (double)value);
        assert_true(error <= fabs((double)value - (double)below) || got == 0);
        assert_true(isinf(here) || error <= fabs((double)above - (double)value));
    }
    /* halfway between 1 and the next, and between the next two */
    assert_int_equal(es_half_from_float(1.0f + 0x1p-11f), 0x3c00);
    assert_int_equal(es_half_from_float(1.0f + 0x3p-11f), 0x3c02);
    assert_int_equal(es_half_from_float(65519.99f), 0x7bff);
    assert_int_equal(es_half_from_float(65520.0f), 0x7c00);
    assert_int_equal(es_half_from_float(0x1p-25f), 0x0000);
    assert_int_equal(es_half_from_float(0x1.8p-24f), 0x0002);
    assert_int_equal(es_half_from_float(-0x1p-15f), 0x8200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known),
                                       cmocka_unit_test(test_all_return),
                                       cmocka_unit_test(test_nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
