/* Against published vectors: Semtech's formula computed by hand for EU868 at 125 kHz. */
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

static void test_airtime_equals_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t factor, payload;
        double airtime_ms, energy_mj;
    } vectors[] = {
        {7, 51, 118.0, 17.1}, {12, 51, 2793.5, 406}, {7, 20, 71.9, 10.4},
        {9, 20, 246.8, 35.8}, {10, 20, 452.6, 65.7}, {12, 20, 1810, 263},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        es_lora lora = es_lora_default(vectors[i].factor, vectors[i].payload);
        es_error err = {0};
        assert_ok_err(es_lora_check(&lora, &err), err);
        double airtime_ms = 1e3 * es_lora_airtime_s(&lora);
        assert_true(fabs(airtime_ms - vectors[i].airtime_ms) <= 6e-4 * vectors[i].airtime_ms);
        double energy_mj = lora.transmit_w * airtime_ms;
        assert_true(fabs(energy_mj - vectors[i].energy_mj) <= 5e-3 * vectors[i].energy_mj);
    }
}

static void test_duty_cycle(void **state)
{
    (void)state;
    es_lora fast = es_lora_default(7, 51);
    es_lora slow = es_lora_default(12, 51);
    assert_true(fabs(es_lora_silence_s(&fast) + es_lora_airtime_s(&fast) - 11.8) < 0.01);
    assert_true(fabs(es_lora_silence_s(&slow) + es_lora_airtime_s(&slow) - 279.35) < 0.01);
    assert_true(fabs(es_lora_bytes_per_day(&fast) - 373e3) < 1e3);
    assert_true(fabs(es_lora_bytes_per_day(&slow) - 15.8e3) < 0.1e3);
    fast.duty_max = 1;
    assert_true(es_lora_silence_s(&fast) == 0);
}

static void test_aloha(void **state)
{
    (void)state;
    assert_true(es_lora_aloha_success(0, 0.01) == 1);
    assert_true(fabs(es_lora_aloha_success(50, 0.01) - exp(-1)) < 1e-15);
}

static void test_header_and_rate_count(void **state)
{
    (void)state;
    es_lora plain = es_lora_default(8, 30);
    es_lora other = plain;
    other.implicit_header = true;
    assert_true(es_lora_airtime_s(&other) < es_lora_airtime_s(&plain));
    other = plain;
    other.coding_rate = 4;
    assert_true(es_lora_airtime_s(&other) > es_lora_airtime_s(&plain));
    other = plain;
    other.bandwidth_hz = 250e3;
    assert_true(fabs(2 * es_lora_airtime_s(&other) - es_lora_airtime_s(&plain)) < 1e-12);
}

static void test_link(void **state)
{
    (void)state;
    es_lora lora = es_lora_default(7, 51);
    es_link link = es_lora_link(&lora, 10);
    assert_true(link.directed);
    assert_true(fabs(link.latency_s - 0.118) < 1e-4);
    assert_true(fabs(link.bandwidth_bps * 86400 / 8 - es_lora_bytes_per_day(&lora)) < 1e-6);
    assert_true(fabs(link.energy_j_per_bit - 42e-6) < 0.5e-6);
    assert_true(fabs(link.availability - exp(-0.2)) < 1e-15);
}

static void test_bad_input(void **state)
{
    (void)state;
    es_error err = {0};
    es_lora lora = es_lora_default(13, 10);
    assert_fails(es_lora_check(&lora, &err), ES_ERR_ARG, err, "spreading_factor=13 must be 7..12");
    lora = es_lora_default(12, 52);
    assert_fails(es_lora_check(&lora, &err), ES_ERR_ARG, err, "payload_bytes=52 must be 1..51");
    lora = es_lora_default(9, 115);
    assert_ok_err(es_lora_check(&lora, &err), err);
    lora.duty_max = 0;
    assert_fails(es_lora_check(&lora, &err), ES_ERR_ARG, err, "duty_max=0");
    lora = es_lora_default(7, 10);
    lora.coding_rate = 5;
    assert_fails(es_lora_check(&lora, &err), ES_ERR_ARG, err, "coding_rate=5");
    lora = es_lora_default(7, 10);
    lora.bandwidth_hz = NAN;
    assert_fails(es_lora_check(&lora, &err), ES_ERR_ARG, err, "bandwidth_hz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_airtime_equals_vectors),
        cmocka_unit_test(test_duty_cycle),
        cmocka_unit_test(test_aloha),
        cmocka_unit_test(test_header_and_rate_count),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
