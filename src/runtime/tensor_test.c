#include "es_test.h"
#include "runtime/runtime.h"

#include <math.h>

static void sizes_of_types(void **state)
{
    (void)state;
    assert_int_equal(es_dtype_size(ES_DTYPE_F32), 4);
    assert_int_equal(es_dtype_size(ES_DTYPE_C128), 16);
    assert_int_equal(es_dtype_size(ES_DTYPE_STRING), 0);
    assert_int_equal(es_dtype_size((es_dtype)99), 0);
    assert_string_equal(es_dtype_name(ES_DTYPE_BF16), "bf16");
    assert_string_equal(es_dtype_name((es_dtype)-1), "none");
}

static void tensors_know_their_size(void **state)
{
    (void)state;
    int64_t dims[3] = {2, 3, 4};
    es_tensor tensor = es_tensor_make(ES_DTYPE_I64, dims, 3, NULL);
    assert_int_equal(es_tensor_count(&tensor), 24);
    assert_int_equal(tensor.size_bytes, 192);
    es_tensor scalar = es_tensor_make(ES_DTYPE_F32, NULL, 0, NULL);
    assert_int_equal(scalar.size_bytes, 4);
    int64_t empty[2] = {0, 5};
    assert_int_equal(es_tensor_make(ES_DTYPE_F32, empty, 2, NULL).size_bytes, 0);
    int64_t huge[3] = {INT64_MAX, INT64_MAX, 2};
    assert_true(es_tensor_make(ES_DTYPE_F32, huge, 3, NULL).size_bytes == SIZE_MAX);
    int64_t minus[1] = {-1};
    assert_true(es_tensor_make(ES_DTYPE_F32, minus, 1, NULL).size_bytes == SIZE_MAX);
    es_tensor_done(&tensor);
    es_tensor_done(NULL);
    assert_null(tensor.owner);
}

static void free_dims_of_ports_are_filled(void **state)
{
    (void)state;
    es_port port = {.name = "x", .dtype = ES_DTYPE_U8, .rank = 3, .dims = {-1, 3, -1}};
    es_tensor tensor = es_port_tensor(&port, 5);
    assert_int_equal(tensor.dims[0], 5);
    assert_int_equal(tensor.dims[1], 3);
    assert_int_equal(tensor.size_bytes, 75);
}

static void softmax_is_safe_for_large_values(void **state)
{
    (void)state;
    float values[3] = {1000, 1000, -1000};
    es_softmax(values, 3);
    assert_true(fabsf(values[0] - 0.5f) < 1e-6f);
    assert_true(values[2] < 1e-30f);
    float one[1] = {-7};
    es_softmax(one, 1);
    assert_true(one[0] == 1.0f);
}

static void confidence_of_logits_and_probabilities(void **state)
{
    (void)state;
    const float logits[4] = {1, 2, 3, 4};
    /* 1 / (1 + e^-1 + e^-2 + e^-3) */
    double expected = 1 / (1 + exp(-1) + exp(-2) + exp(-3));
    assert_true(fabs(es_confidence_max_prob(logits, 4, true) - expected) < 1e-12);
    float copy[4] = {1, 2, 3, 4};
    es_softmax(copy, 4);
    assert_true(fabs(es_confidence_max_prob(copy, 4, false) - expected) < 1e-6);
    const float bad[2] = {1, NAN};
    assert_true(es_confidence_max_prob(bad, 2, true) == 0);
    assert_true(es_confidence_max_prob(bad, 2, false) == 0);
    assert_true(es_confidence_max_prob(NULL, 0, true) == 0);
    const float over[2] = {1.5f, -3};
    assert_true(es_confidence_max_prob(over, 2, false) == 1);
    const float infinite[2] = {INFINITY, 0};
    assert_true(es_confidence_max_prob(infinite, 2, true) == 0);
}

static void argmax_takes_the_first_of_equals_and_no_nan(void **state)
{
    (void)state;
    const float values[4] = {NAN, 2, 5, 5};
    assert_int_equal(es_argmax(values, 4), 2);
    assert_int_equal(es_argmax(values, 1), 0);
    assert_int_equal(es_argmax(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_types),
        cmocka_unit_test(tensors_know_their_size),
        cmocka_unit_test(free_dims_of_ports_are_filled),
        cmocka_unit_test(softmax_is_safe_for_large_values),
        cmocka_unit_test(confidence_of_logits_and_probabilities),
        cmocka_unit_test(argmax_takes_the_first_of_equals_and_no_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
