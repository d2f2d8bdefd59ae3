/* Centralised, federated and consensus learning: formulas by hand, break-even, random identities.
 */
#include "base/rng.h"
#include "es_test.h"
#include "footprint/footprint.h"

#include <math.h>

#define assert_close(got, wanted, tolerance)                                                       \
    do {                                                                                           \
        double got_ = (got);                                                                       \
        double wanted_ = (wanted);                                                                 \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: got %.12g, wanted %.12g", #got, got_, wanted_);                          \
    } while (0)

static es_learning sample(void)
{
    return (es_learning){.server_j = 1000,
                         .device_j = 3,
                         .pue = 1.5,
                         .devices = 10,
                         .active = 4,
                         .neighbours = 2,
                         .rounds_central = 20,
                         .rounds_federated = 30,
                         .rounds_consensus = 50,
                         .aggregation = 0.1,
                         .model_bits = 1e5,
                         .data_bits = 1e9,
                         .uploads = 2,
                         .uplink_bit_j = 1e4,
                         .downlink_bit_j = 2e4,
                         .sidelink_bit_j = 5e4,
                         .sleep_j = 0.5,
                         .server_g_kwh = 400,
                         .device_g_kwh = 50};
}

static void test_by_hand(void **state)
{
    (void)state;
    es_learning l = sample();
    es_error err = {0};
    assert_ok_err(es_learning_check(&l, &err), err);
    es_learning_cost central = es_learning_central(&l);
    assert_close(central.compute_j, 1.5 * 20 * 1000, 1e-9);
    assert_close(central.network_j, 2 * 1e9 / 1e4, 1e-9);
    assert_close(central.carbon_g, (30000.0 * 400 + 200000.0 * 50) / 3.6e6, 1e-9);
    es_learning_cost federated = es_learning_federated(&l);
    assert_close(federated.compute_j, 1.5 * 0.1 * 30 * 1000 + 30 * (4 * 3 + 6 * 0.5), 1e-9);
    assert_close(federated.network_j, 30 * (4 * 1e5 / 1e4 + 1.5 * 10 * 1e5 / 2e4), 1e-9);
    assert_close(federated.server_part_j, 4500 + 30 * 75, 1e-9);
    assert_close(federated.carbon_g, (6750.0 * 400 + (450 + 1200) * 50.0) / 3.6e6, 1e-9);
    es_learning_cost consensus = es_learning_consensus(&l);
    assert_close(consensus.total_j, 50 * (15 + 4 * 2 * 1e5 / 5e4), 1e-9);
    assert_close(consensus.server_part_j, 0, 0);
    l.sidelink_bit_j = 0; /* relayed: e = 1/EE_UL + PUE/EE_DL */
    consensus = es_learning_consensus(&l);
    assert_close(consensus.network_j, 50 * 4 * 2 * 1e5 * (1 / 1e4 + 1.5 / 2e4), 1e-9);
}

/* The closed inequality for identical devices, all active, links all alike. */
static void test_break_even_closed_form(void **state)
{
    (void)state;
    es_learning l = sample();
    l.active = l.devices;
    l.downlink_bit_j = l.uplink_bit_j;
    l.device_j = 200;
    bool below = false;
    double at = es_learning_break_even(&l, false, &below);
    double k = l.devices;
    double bits = l.uploads * l.data_bits - l.rounds_federated * k * l.model_bits * (1 + l.pue);
    double compute = l.pue * l.aggregation * l.rounds_federated * l.server_j +
                     l.rounds_federated * k * l.device_j - l.pue * l.rounds_central * l.server_j;
    assert_true(compute > 0 && bits > 0 && below);
    assert_close(at, bits / compute, 1e-9 * at);
    double ratio = l.uploads * l.data_bits / (l.rounds_federated * k * l.model_bits * (1 + l.pue));
    assert_close(es_learning_traffic_ratio(&l), ratio, 1e-9 * ratio);
}

static void test_never_and_always(void **state)
{
    (void)state;
    es_learning l = sample();
    bool below = false;
    l.device_j = 0;
    l.sleep_j = 0;
    assert_true(isinf(es_learning_break_even(&l, false, &below)) && below);
    l.device_j = 1e9;
    l.data_bits = 0;
    assert_true(es_learning_break_even(&l, false, &below) == 0);
    l.device_j = 0; /* less computing but more traffic: good links favour it */
    assert_true(es_learning_break_even(&l, false, &below) > 0 && !below);
}

/* At the break-even both cost the same, on either side the one that is said to be cheaper is. */
static void test_break_even_holds(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(es_test_seed(11), 0);
    int crossed = 0;
    for (int round = 0; round < 500; round++) {
        es_learning l = sample();
        l.device_j = (int)es_rng_below(&rng, 2000);
        l.model_bits = 1e3 * (1 + (int)es_rng_below(&rng, 100000));
        l.data_bits = 1e5 * (1 + (int)es_rng_below(&rng, 100000));
        l.rounds_federated = 1 + (int)es_rng_below(&rng, 200);
        l.rounds_consensus = 1 + (int)es_rng_below(&rng, 200);
        if ((int)es_rng_below(&rng, 2) == 0)
            l.sidelink_bit_j = 0;
        bool consensus = (int)es_rng_below(&rng, 2) == 0;
        bool below = false;
        double at = es_learning_break_even(&l, consensus, &below);
        if (!(at > 0) || isinf(at))
            continue;
        crossed++;
        static const double sides[] = {0.5, 1, 2};
        for (int side = 0; side < 3; side++) {
            es_learning scaled = l;
            double x = at / l.uplink_bit_j * sides[side];
            scaled.uplink_bit_j *= x;
            scaled.downlink_bit_j *= x;
            scaled.sidelink_bit_j *= x;
            double central = es_learning_central(&scaled).total_j;
            double other = consensus ? es_learning_consensus(&scaled).total_j
                                     : es_learning_federated(&scaled).total_j;
            if (side == 1)
                assert_close(other / central, 1, 1e-9);
            else
                assert_true((other < central) == ((side == 0) == below));
        }
    }
    assert_true(crossed > 50);
}

static void test_check(void **state)
{
    (void)state;
    es_error err = {0};
    es_learning l = es_learning_default();
    assert_ok_err(es_learning_check(&l, &err), err);
    l.active = 31;
    assert_fails(es_learning_check(&l, &err), ES_ERR_ARG, err, "active=31 must be <= devices=30");
    l = es_learning_default();
    l.pue = 0.5;
    assert_fails(es_learning_check(&l, &err), ES_ERR_ARG, err, "pue=0.5 must be >= 1");
    l = es_learning_default();
    l.uplink_bit_j = 0;
    assert_fails(es_learning_check(&l, &err), ES_ERR_ARG, err, "uplink_bit_j=0");
    l = es_learning_default();
    l.neighbours = 30;
    assert_fails(es_learning_check(&l, &err), ES_ERR_ARG, err, "neighbours=30");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_break_even_closed_form),
        cmocka_unit_test(test_never_and_always),
        cmocka_unit_test(test_break_even_holds),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
