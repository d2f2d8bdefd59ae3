/* Emulated links and machines hold what they promise: 0.3 ms of latency, 3 % of bandwidth. What two
 * processes cost on this machine is measured beside and taken off. */
#include "nodes.h"
#include "route/route.h"

#include <math.h>

enum { ROUNDS = 40, NARROW = 2500, WIDE = 27500 };

/* Instrumented builds take longer; they check the order of magnitude. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const double TOLERANCE_S = 5e-3;
#else
static const double TOLERANCE_S = 0.3e-3;
#endif

static nodes all;

static int set_up(void **state)
{
    es_server_opts opts = es_server_opts_default();
    (void)state;
    opts.emulate = true;
    nodes_begin(&all);
    nodes_write_copy(&all, "narrow", NARROW);
    nodes_write_copy(&all, "wide", WIDE);
    nodes_write_copy(&all, "slow", NARROW);
    nodes_configure(&all, "slow", "estran_service_us", "5000");
    nodes_start(&all, 3, opts);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nodes_end(&all);
    return 0;
}

static double took_s(const char *model, const char *route, size_t width)
{
    static float input[WIDE];
    es_clock *clock = es_clock_system();
    const es_http_header timeout = {ES_TIMEOUT_HEADER, "20000000"};
    es_http_reply reply;
    int64_t start_ns = es_clock_now_ns(clock);
    if (nodes_infer(&all, 0, model, route, input, width, &timeout, 1, &reply) != 200)
        fail_msg("%s: %s", route, (const char *)reply.body);
    double seconds = es_s_from_ns(es_clock_now_ns(clock) - start_ns);
    assert_null(es_http_reply_header(&reply, ES_PARTIAL_HEADER));
    es_arena_reset(all.arena);
    return seconds;
}

/* The least of several: whatever else the machine does only adds. Rests before each, as processes
 * rest while a message is on its way: a rested processor is slower. */
static double least_s(const char *model, const char *route, size_t width, double rest_s)
{
    es_clock *clock = es_clock_system();
    double least = took_s(model, route, width);
    for (size_t i = 0; i < ROUNDS; i++) {
        es_clock_sleep_until_ns(clock, es_clock_now_ns(clock) + es_ns_from_s(rest_s));
        double seconds = took_s(model, route, width);
        least = seconds < least ? seconds : least;
    }
    return least;
}

/* What was measured is what was promised and at most what this machine costs without links. */
static void assert_within(const char *what, double got_s, double promised_s, double machine_s,
                          double tolerance_s)
{
    print_message("%s: %.3f ms; promised %.3f, the machine %.3f\n", what, got_s * 1e3,
                  promised_s * 1e3, machine_s * 1e3);
    if (got_s < promised_s || got_s > promised_s + machine_s + tolerance_s)
        fail_msg("%s: %.3f ms must be %.3f to %.3f", what, got_s * 1e3, promised_s * 1e3,
                 (promised_s + machine_s + tolerance_s) * 1e3);
}

static void links_have_their_latency(void **state)
{
    (void)state;
    static const char TWO[] = "n1/narrow, n2/narrow";
    static const char THREE[] = "n1/narrow, n2/narrow, n3/narrow";
    nodes_introduce(&all, 0, 0);
    double bare_two_s = least_s("narrow", TWO, NARROW, 0.005);
    double bare_three_s = least_s("narrow", THREE, NARROW, 0.005);
    nodes_introduce(&all, 5, 0);
    assert_within("one link, there and back", least_s("narrow", TWO, NARROW, 0), 0.010, bare_two_s,
                  TOLERANCE_S);
    assert_within("two links", least_s("narrow", THREE, NARROW, 0), 0.020, bare_three_s,
                  TOLERANCE_S);
}

static void links_have_their_bandwidth(void **state)
{
    (void)state;
    static const char ROUTE[] = "n1/wide, n2/wide";
    const double promised_s = 2 * (0.001 + WIDE * 4 * 8 / 32e6);
    nodes_introduce(&all, 0, 0);
    double bare_s = least_s("wide", ROUTE, WIDE, 0.005);
    nodes_introduce(&all, 1, 32e6);
    assert_within("110 kB, there and back", least_s("wide", ROUTE, WIDE, 0), promised_s, bare_s,
                  TOLERANCE_S + 0.03 * (promised_s - 0.002));
}

/* Messages leave one after the other: the last of five has waited for four. */
static void links_are_shared(void **state)
{
    (void)state;
    enum { MESSAGES = 5 };
    const double one_s = WIDE * 4 * 8 / 32e6;
    es_hop_link link;
    const es_serve_peer peer = {.latency_s = 0.001, .bandwidth_bps = 32e6};
    es_hop_link_init(&link, &peer, true, NULL);
    int64_t last_ns = 0;
    for (int i = 0; i < MESSAGES; i++)
        last_ns = es_hop_link_due_ns(&link, false, ES_NS_PER_S, WIDE * 4);
    assert_true(fabs(es_s_from_ns(last_ns) - 1 - 0.001 - MESSAGES * one_s) < 1e-6);
    assert_true(fabs(es_s_from_ns(es_hop_link_due_ns(&link, true, ES_NS_PER_S, 0)) - 1.001) < 1e-6);
    /* Told again with the same figures, what is under way is still under way; with others not. */
    es_hop_link again;
    es_hop_link_init(&again, &peer, true, &link);
    assert_true(es_hop_link_due_ns(&again, false, ES_NS_PER_S, 0) == last_ns);
    es_hop_link_done(&again);
    const es_serve_peer other = {.latency_s = 0.002, .bandwidth_bps = 32e6};
    es_hop_link_init(&again, &other, true, &link);
    assert_true(es_hop_link_due_ns(&again, false, ES_NS_PER_S, 0) ==
                ES_NS_PER_S + 2 * ES_NS_PER_MS);
    es_hop_link_done(&again);
    es_hop_link_init(&again, &peer, false, &link);
    assert_int_equal(es_hop_link_due_ns(&again, false, ES_NS_PER_S, 5), 0);
    es_hop_link_done(&again);
    es_hop_link_done(&link);
}

static void machines_have_their_speed(void **state)
{
    (void)state;
    nodes_introduce(&all, 0, 0);
    double bare_s = least_s("narrow", "n1/narrow", NARROW, 0.005);
    assert_within("a run of 5 ms", least_s("slow", "n1/slow", NARROW, 0), 0.005, bare_s,
                  TOLERANCE_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_have_their_latency, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_have_their_bandwidth, set_up, tear_down),
        cmocka_unit_test(links_are_shared),
        cmocka_unit_test_setup_teardown(machines_have_their_speed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
