#include "es_world.h"
#include "simulate/internal.h"

/* count visits in duration 1 s, mean service, its scv, arrivals' scv. */
static es_load load_of(double rate, double mean_s, double service_scv, double arrival_scv)
{
    return (es_load){.count = rate,
                     .work_s = rate * mean_s,
                     .squares = rate * mean_s * mean_s * (1 + service_scv),
                     .variation = rate * arrival_scv};
}

static void erlang_c_meets_known_values(void **state)
{
    (void)state;
    assert_near(es_erlang_c(1, 0.7), 0.7, 1e-12);
    assert_near(es_erlang_c(2, 1.0), 1.0 / 3, 1e-12);    /* 2 rho^2 / (1 + rho) */
    assert_near(es_erlang_c(5, 4.0), 0.554112554, 1e-9); /* textbook value */
    assert_near(es_erlang_c(10, 8.0), 0.409180, 1e-6);
    assert_near(es_erlang_c(1000, 0), 0, 0);
}

/* By definition: p0 from the sum over states. */
static void erlang_c_is_the_sum_over_states(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 12; c++) {
        for (int i = 0; i < 5; i++) {
            double rho = 0.1 + 0.2 * i;
            double a = c * rho;
            double term = 1;
            double sum = 0;
            for (uint32_t k = 0; k < c; k++) {
                sum += term;
                term *= a / (k + 1);
            }
            double wanted = term / (1 - rho) / (sum + term / (1 - rho));
            assert_near(es_erlang_c(c, a), wanted, 1e-12);
        }
    }
}

static void closed_forms_hold(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        double rho = 0.05 + 0.1 * i;
        es_load load = load_of(100 * rho, 0.01, 1, 1); /* M/M/1: rho tau / (1 - rho) */
        assert_near(es_queue_wait(&load, 1, 1).mean_s, rho * 0.01 / (1 - rho), 1e-12);
        load = load_of(100 * rho, 0.01, 0, 1); /* M/D/1: half of it */
        assert_near(es_queue_wait(&load, 1, 1).mean_s, rho * 0.01 / (1 - rho) / 2, 1e-12);
        load = load_of(400 * rho, 0.01, 1, 1); /* M/M/4: C / (c mu - lambda) */
        assert_near(es_queue_wait(&load, 4, 1).mean_s, es_erlang_c(4, 4 * rho) / (400 - 400 * rho),
                    1e-12);
        load = load_of(100 * rho, 0.01, 0, 0); /* D/D/1 */
        assert_near(es_queue_wait(&load, 1, 1).mean_s, 0, 1e-15);
    }
    assert_near(es_queue_wait(&(es_load){0}, 1, 1).mean_s, 0, 0);
}

/* Pollaczek-Khinchine for a mixture of two service times. */
static void mixtures_follow_pollaczek_khinchine(void **state)
{
    (void)state;
    es_load load = {.count = 30, .variation = 30};
    load.work_s = 20 * 0.01 + 10 * 0.05;
    load.squares = 20 * 0.01 * 0.01 + 10 * 0.05 * 0.05;
    double wanted = load.squares / (2 * (1 - load.work_s)); /* lambda E[S^2] / 2 (1 - rho) */
    assert_near(es_queue_wait(&load, 1, 1).mean_s, wanted, 1e-12);
}

static void strata_keep_mean_and_quantiles(void **state)
{
    (void)state;
    es_wait wait = {.mean_s = 0.09, .share = 0.9}; /* M/M/1 at 0.9: P(W > t) = 0.9 exp(-10 t) */
    es_strata strata = es_strata_of_wait(wait);
    assert_near(es_strata_mean(&strata), 0.09, 1e-12);
    double before = 0;
    for (size_t i = 0; i < ES_STRATA; i++) {
        assert_true(strata.value_s[i] >= before);
        before = strata.value_s[i];
    }
    for (size_t i = 0; i < ES_STRATA; i++) {
        double middle = (es_strata_edges[i] + es_strata_edges[i + 1]) / 2;
        if (fabs(middle - 0.95) < 1e-9)
            assert_near(strata.value_s[i], 0.1 * log(0.9 / 0.05), 1e-3);
        if (fabs(middle - 0.99) < 1e-9)
            assert_near(strata.value_s[i], 0.1 * log(0.9 / 0.01), 5e-3);
    }
    es_strata none = es_strata_of_wait((es_wait){0});
    assert_near(es_strata_mean(&none), 0, 0);
}

/* The sum of two independent exponentials is Erlang-2: 0.95 quantile 4.74386 means. */
static void sums_are_convolutions(void **state)
{
    (void)state;
    es_strata one = es_strata_of_wait((es_wait){.mean_s = 1, .share = 1});
    es_strata two = es_strata_sum(&one, &one);
    assert_near(es_strata_mean(&two), 2, 1e-9);
    for (size_t i = 0; i < ES_STRATA; i++) {
        double middle = (es_strata_edges[i] + es_strata_edges[i + 1]) / 2;
        if (fabs(middle - 0.95) < 1e-9)
            assert_near(two.value_s[i], 4.74386, 0.1);
        if (fabs(middle - 0.5) < 1e-9)
            assert_near(two.value_s[i], 1.67835, 0.05);
    }
}

static void backlog_grows_and_drains(void **state)
{
    (void)state;
    es_sim_node node = {.servers = 2};
    node.load = load_of(100, 0.3, 0, 0); /* 30 s of work in a slot of 10 s for 2 servers */
    es_sim_node_step(&node, 0, 10, 100, 10);
    assert_near(node.backlog_s, 10, 1e-12);
    assert_near(node.done_s, 20, 1e-12);
    assert_near(es_strata_mean(&node.wait), 2.5, 1e-9); /* half the growth over both servers */
    assert_near(node.unfinished, 0, 0);
    node.load = load_of(100, 0.1, 0, 0); /* 10 s of work: all drained at the end of the slot */
    es_sim_node_step(&node, 10, 10, 100, 10);
    assert_near(node.backlog_s, 0, 1e-12);
    assert_near(es_strata_mean(&node.wait), 2.5, 1e-9);
    es_sim_node_step(&node, 20, 10, 100, 10);
    assert_false(node.waits);
    assert_near(node.done_s, 0, 0);
    /* drained in half the slot: mean wait 5 / 2 * 1 / 2 */
    node.backlog_s = 10;
    node.backlog_j = 4;
    node.load = (es_load){0};
    es_sim_node_step(&node, 30, 10, 100, 10);
    assert_near(es_strata_mean(&node.wait), 1.25, 1e-9);
    assert_near(node.done_j, 4, 1e-12);
}

static void what_cannot_finish_is_counted(void **state)
{
    (void)state;
    es_sim_node node = {.servers = 1};
    node.load = load_of(10, 2, 0, 0); /* 20 s of work in the last slot of 10 s */
    node.load.energy_j = 8;
    es_sim_node_step(&node, 90, 10, 100, 10);
    assert_near(node.unfinished, 0.5, 1e-12);
    assert_near(es_strata_mean(&node.wait), 2.5, 1e-9); /* of the first half: waits 0 to 5 s */
    assert_near(node.done_j, 4, 1e-12);
    assert_near(node.backlog_j, 4, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(erlang_c_meets_known_values),
        cmocka_unit_test(erlang_c_is_the_sum_over_states),
        cmocka_unit_test(closed_forms_hold),
        cmocka_unit_test(mixtures_follow_pollaczek_khinchine),
        cmocka_unit_test(strata_keep_mean_and_quantiles),
        cmocka_unit_test(sums_are_convolutions),
        cmocka_unit_test(backlog_grows_and_drains),
        cmocka_unit_test(what_cannot_finish_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
