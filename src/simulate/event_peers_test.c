/* Event mode against two simulators that others wrote, on the same tandems with the same arrivals:
 * SimGrid (libsimgrid-dev) and SimPy (python3-simpy). Each test skips where its peer is absent.
 * Messages have at least a byte: SimGrid 3.32 brings empty ones that overlap too early. */
#include "es_peers.h"
#include "es_test.h"

#include <math.h>

#define AGREE 0.005
#define SIMPY "/usr/bin/python3 -c 'import SimPy' && /usr/bin/python3 "
#define BUSY_W 30.0

static const struct {
    uint32_t nodes, requests;
    double service_s, bits, bandwidth_bps;
} cases[] = {
    {1, 3000, 0.01, 8, 1e8},    /* only queues */
    {3, 3000, 0.01, 8e5, 1e8},  /* links as busy as nodes */
    {10, 2000, 0.01, 1e6, 1e8}, /* the links are the bottleneck */
    {30, 1000, 0.011, 2e5, 1e8},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static es_tandem make_case(size_t i)
{
    es_tandem tandem = {.node_count = cases[i].nodes,
                        .servers = 1,
                        .arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = 80},
                        .service_s = cases[i].service_s,
                        .bits = cases[i].bits,
                        .bandwidth_bps = cases[i].bandwidth_bps,
                        .latency_s = 0.002,
                        .idle_w = 10,
                        .drain = true,
                        .seed = 5 + i};
    tandem.energy_j = (BUSY_W - tandem.idle_w) * tandem.service_s;
    return tandem;
}

/* Exactly the requests that the peers get: the run ends with the last of them. */
static es_peer_answer ours(size_t i)
{
    es_tandem tandem = make_case(i);
    es_tandem_sums sums;
    es_world world;
    es_error err = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    es_arrival_stream stream = es_arrival_stream_make(tandem.arrivals, tandem.seed, 0);
    for (uint32_t k = 0; k < cases[i].requests; k++)
        tandem.run_s = es_s_from_ns(es_arrival_next_ns(&stream) + 1);
    assert_ok_err(es_tandem_make(arena, &tandem, &sums, &world, &err), err);
    assert_ok_err(es_world_run(&world, &err), err);
    assert_true(es_tandem_conserves(&sums));
    assert_true(fabs(sums.served - cases[i].requests) < 0.5);
    es_peer_answer answer = {.end_s = es_s_from_ns(world.last_ns),
                             .latency_s = sums.latency_s / sums.counted,
                             .energy_j = sums.compute_j};
    for (uint32_t v = 0; v < world.node_count; v++) {
        es_node_account(&world, &world.nodes[v]);
        answer.energy_j += world.nodes[v].idle_j;
    }
    return answer;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= AGREE * fabs(b);
}

static bool compare(const char *name, const char *program, bool energy)
{
    for (size_t i = 0; i < CASES; i++) {
        char path[] = "/tmp/estran-peer-XXXXXX";
        es_tandem tandem = make_case(i);
        es_peer_answer peer = {0};
        assert_true(es_peer_write(&tandem, energy ? BUSY_W : 0, cases[i].requests, path));
        bool there = es_peer_ask(program, path, &peer);
        assert_int_equal(unlink(path), 0);
        if (!there)
            return false;
        es_peer_answer own = ours(i);
        print_message("  %2u nodes: end %.6f s, %s %.6f; latency %.9f s, %s %.9f", cases[i].nodes,
                      own.end_s, name, peer.end_s, own.latency_s, name, peer.latency_s);
        print_message(energy ? "; %.3f J, %.3f\n" : "\n", own.energy_j, peer.energy_j);
        assert_true(near(own.end_s, peer.end_s));
        assert_true(near(own.latency_s, peer.latency_s));
        if (energy)
            assert_true(near(own.energy_j, peer.energy_j));
    }
    return true;
}

static void simgrid_agrees(void **state)
{
    (void)state;
#ifdef ES_SIMGRID_PROGRAM
    assert_true(compare("SimGrid", ES_SIMGRID_PROGRAM, true));
#else
    print_message("skipped: SimGrid is not installed (libsimgrid-dev)\n");
    skip();
#endif
}

static void simpy_agrees(void **state)
{
    (void)state;
    if (!compare("SimPy", SIMPY ES_TEST_SOURCE_DIR "/tests/peers/tandem_simpy.py", false)) {
        print_message("skipped: SimPy is not installed (python3-simpy)\n");
        skip();
    }
}

/* Idle watts all the time, and the rest of the watts while busy. */
static void energy_is_the_closed_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        es_tandem tandem = make_case(i);
        es_peer_answer own = ours(i);
        double busy_s = cases[i].requests * cases[i].service_s * cases[i].nodes;
        double joules =
            tandem.idle_w * own.end_s * cases[i].nodes + (BUSY_W - tandem.idle_w) * busy_s;
        assert_true(fabs(own.energy_j - joules) <= 1e-9 * joules);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simgrid_agrees),
        cmocka_unit_test(simpy_agrees),
        cmocka_unit_test(energy_is_the_closed_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
