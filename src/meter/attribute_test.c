/* Conservation: parts never exceed the whole, and the residue is what is left. */
#include "base/rng.h"
#include "meter/testing/tree.h"

#include <math.h>

enum { PARTS_MAX = 40, SEEDS = 200 };

static double draw(es_rng *rng, double most)
{
    uint64_t kind = es_rng_u64(rng) % 5;
    return kind == 0   ? 0
           : kind == 1 ? most * 1e-12 * es_rng_double(rng)
                       : most * es_rng_double(rng);
}

static void check_split(uint64_t seed, double energy_j, double idle_j, es_meter_idle policy,
                        const es_meter_share *shares, size_t count, const es_meter_share *residue)
{
    double active = residue->active_j;
    double idle = residue->idle_j;
    bool sound = residue->active_j >= 0 && residue->idle_j >= 0 && residue->busy_s >= 0;
    for (size_t i = 0; i < count; i++) {
        sound = sound && shares[i].active_j >= 0 && shares[i].idle_j >= 0;
        active += shares[i].active_j;
        idle += shares[i].idle_j;
        if (policy == ES_METER_IDLE_NONE)
            sound = sound && shares[i].idle_j == 0;
    }
    double slack = 1e-12 * (1 + energy_j);
    if (!sound || fabs(active + idle - energy_j) > slack || fabs(idle - idle_j) > slack)
        fail_msg("seed %" PRIu64 ": %zu parts, policy %s: %.17g of %.17g J", seed, count,
                 es_meter_idle_name(policy), active + idle, energy_j);
}

/* Processes of random sizes; models within them; requests within those. */
static void test_conservation(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_meter_share shares[PARTS_MAX] = {{.busy_s = 0}};
        size_t count = es_rng_u64(&rng) % (PARTS_MAX + 1);
        double energy_j = draw(&rng, 1e4);
        double idle_j = fmin(energy_j, energy_j * draw(&rng, 1));
        double sum_s = 0;
        for (size_t i = 0; i < count; i++) {
            shares[i].busy_s = draw(&rng, 10);
            sum_s += shares[i].busy_s;
        }
        double busy_s = sum_s * draw(&rng, 2); /* less than the parts, or more */
        es_meter_idle policy = (es_meter_idle)(seed % ES_METER_IDLE_COUNT);
        es_meter_share residue = {.busy_s = -1};
        es_error err = {0};
        assert_ok_err(
            es_meter_split(energy_j, idle_j, busy_s, policy, shares, count, &residue, &err), err);
        check_split(seed, energy_j, idle_j, policy, shares, count, &residue);
        if (count == 0)
            continue;
        es_meter_share inner[3] = {{.busy_s = draw(&rng, 1)}, {.busy_s = draw(&rng, 1)}};
        double part_j = shares[0].active_j + shares[0].idle_j;
        assert_ok_err(es_meter_split(part_j, shares[0].idle_j, shares[0].busy_s, policy, inner, 3,
                                     &residue, &err),
                      err);
        check_split(seed, part_j, shares[0].idle_j, policy, inner, 3, &residue);
    }
}

static void test_by_hand(void **state)
{
    (void)state;
    es_meter_share shares[] = {{.busy_s = 1}, {.busy_s = 2}};
    es_meter_share residue;
    assert_ok(es_meter_split(100, 40, 10, ES_METER_IDLE_NONE, shares, 2, &residue, NULL));
    assert_near(shares[0].active_j, 6, 1e-12);
    assert_near(shares[1].active_j, 12, 1e-12);
    assert_near(residue.active_j, 42, 1e-12);
    assert_near(residue.idle_j, 40, 1e-12);
    assert_ok(es_meter_split(100, 40, 10, ES_METER_IDLE_EQUAL, shares, 2, &residue, NULL));
    assert_near(shares[0].idle_j, 20, 1e-12);
    assert_near(residue.idle_j, 0, 1e-12);
    assert_ok(es_meter_split(100, 40, 10, ES_METER_IDLE_USE, shares, 2, &residue, NULL));
    assert_near(shares[1].idle_j, 8, 1e-12);
    assert_near(residue.idle_j, 28, 1e-12);
}

/* scaphandre #163: the processes' times add up to more than the node's. They share what there is.
 */
static void test_more_parts_than_node(void **state)
{
    (void)state;
    es_meter_share shares[] = {{.busy_s = 6}, {.busy_s = 6}};
    es_meter_share residue;
    assert_ok(es_meter_split(30, 0, 8, ES_METER_IDLE_NONE, shares, 2, &residue, NULL));
    assert_near(shares[0].active_j + shares[1].active_j, 30, 1e-12);
    assert_near(residue.active_j, 0, 1e-12);
}

static void test_idle(void **state)
{
    (void)state;
    assert_near(es_meter_idle_j(100, 2, 0.25, (double)NAN), 75, 1e-12);
    assert_near(es_meter_idle_j(100, 2, 0.25, 20), 40, 1e-12);
    assert_near(es_meter_idle_j(100, 2, 0.25, 80), 100, 1e-12); /* never more than there is */
    assert_near(es_meter_idle_j(100, 2, 3, (double)NAN), 0, 1e-12);
}

static void test_errors(void **state)
{
    (void)state;
    es_error err = {0};
    es_meter_share shares[] = {{.busy_s = 1}, {.busy_s = -2}};
    es_meter_share residue;
    assert_fails(es_meter_split(1, 0, 1, ES_METER_IDLE_NONE, shares, 2, &residue, &err), ES_ERR_ARG,
                 err, "shares[1]: busy_s=-2 must be");
    assert_fails(es_meter_split(1, 2, 1, ES_METER_IDLE_NONE, shares, 1, &residue, &err), ES_ERR_ARG,
                 err, "energy_j=1, idle_j=2");
    assert_fails(es_meter_split(1, 0, (double)NAN, ES_METER_IDLE_NONE, shares, 1, &residue, &err),
                 ES_ERR_ARG, err, "busy_s");
}

static void test_processor_times(void **state)
{
    tree *now = *state;
    es_error err = {0};
    double busy_s = 0;
    double all_s = 0;
    double per_s = (double)sysconf(_SC_CLK_TCK);
    tree_write(now, "proc/stat", "cpu  100 20 30 400 50 6 7 800 9 10");
    assert_ok_err(es_meter_cpu_node(now->root, &busy_s, &all_s, &err), err);
    assert_near(busy_s * per_s, 163, 1e-9); /* neither waiting nor stolen */
    assert_near(all_s * per_s, 613, 1e-9);
    tree_write(now, "proc/42/stat", "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20");
    assert_ok_err(es_meter_cpu_process(now->root, 42, &busy_s, &err), err);
    assert_near(busy_s * per_s, 300, 1e-9);
    assert_fails(es_meter_cpu_process(now->root, 43, &busy_s, &err), ES_ERR_UNAVAILABLE, err,
                 "there is no process 43");
    tree_write(now, "proc/stat", "intr 1 2 3");
    assert_fails(es_meter_cpu_node(now->root, &busy_s, &all_s, &err), ES_ERR_PARSE, err,
                 "does not start with");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conservation),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_more_parts_than_node),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_errors),
        TREE_TEST(test_processor_times),
    };
    return cmocka_run_group_tests_name("meter.attribute", tests, NULL, NULL);
}
