#include "base/checked.h"
#include "es_test.h"

static void sizes_do_not_wrap(void **state)
{
    (void)state;
    size_t out = 7;
    assert_true(es_size_add(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_false(es_size_add(SIZE_MAX, 1, &out));
    assert_true(es_size_mul(SIZE_MAX / 2, 2, &out));
    assert_true(out == SIZE_MAX - 1);
    assert_false(es_size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(es_size_mul(0, SIZE_MAX, &out));
    assert_true(out == 0);
}

static void int64_does_not_wrap(void **state)
{
    (void)state;
    int64_t out = 7;
    assert_true(es_int64_add(INT64_MAX, INT64_MIN, &out));
    assert_true(out == -1);
    assert_false(es_int64_add(INT64_MAX, 1, &out));
    assert_false(es_int64_add(INT64_MIN, -1, &out));
    assert_false(es_int64_mul(INT64_MIN, -1, &out));
    assert_true(es_int64_mul(INT64_C(3037000499), INT64_C(3037000499), &out));
    assert_true(out == INT64_C(9223372030926249001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_do_not_wrap),
        cmocka_unit_test(int64_does_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
