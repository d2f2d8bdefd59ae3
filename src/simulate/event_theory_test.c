/* Event mode against what queueing theory says: means over replications lie within their
 * intervals. */
#include "es_tandem.h"
#include "es_test.h"
#include "simulate/event_mode.h"

#include <math.h>

enum { REPLICATIONS = 20, REQUESTS = 20000 };
#define RATE_RPS 80.0
#define SERVICE_S 0.01 /* load 0.8 */

typedef void (*change)(es_world *world);

typedef struct measured {
    double latency_s, ci95;
    double refused_share;
} measured;

static measured measure(es_tandem tandem, change after)
{
    double means[REPLICATIONS];
    double sum = 0;
    double refused = 0;
    double arrived = 0;
    tandem.run_s = REQUESTS / tandem.arrivals.rate_rps;
    tandem.warm_up_s = tandem.run_s / 10;
    for (uint64_t i = 0; i < REPLICATIONS; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
        es_world world;
        es_tandem_sums sums;
        es_error err = {0};
        tandem.seed = es_test_seed(11) + 1000 * i;
        assert_ok_err(es_tandem_make(arena, &tandem, &sums, &world, &err), err);
        if (after != NULL)
            after(&world);
        assert_ok_err(es_world_run(&world, &err), err);
        assert_true(es_tandem_conserves(&sums));
        means[i] = sums.latency_s / sums.counted;
        sum += means[i];
        refused += sums.refused;
        arrived += sums.arrived;
    }
    return (measured){.latency_s = sum / REPLICATIONS,
                      .ci95 = es_mean_ci95(means, REPLICATIONS),
                      .refused_share = refused / arrived};
}

static void agree(const char *what, measured found, double theory_s)
{
    print_message("  %-28s %.6f +- %.6f s, theory %.6f s\n", what, found.latency_s, found.ci95,
                  theory_s);
    assert_true(found.ci95 < 0.05 * theory_s);
    assert_true(fabs(found.latency_s - theory_s) <= found.ci95);
}

static es_tandem one_node(void)
{
    return (es_tandem){.node_count = 1,
                       .servers = 1,
                       .arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = RATE_RPS},
                       .service_s = SERVICE_S,
                       .exponential = true};
}

static void mm1(void **state)
{
    (void)state;
    agree("M/M/1", measure(one_node(), NULL), 1 / (1 / SERVICE_S - RATE_RPS));
}

static void mmc(void **state)
{
    (void)state;
    for (uint32_t servers = 2; servers <= 16; servers *= 2) {
        es_tandem tandem = one_node();
        tandem.servers = servers;
        tandem.arrivals.rate_rps = RATE_RPS * servers;
        double load = 0.8 * servers;
        double theory_s = SERVICE_S + es_erlang_c(servers, load) * SERVICE_S / (servers - load);
        agree("M/M/c", measure(tandem, NULL), theory_s);
    }
}

static void md1(void **state)
{
    (void)state;
    es_tandem tandem = one_node();
    tandem.exponential = false;
    agree("M/D/1", measure(tandem, NULL), SERVICE_S + 0.8 * SERVICE_S / (2 * 0.2));
}

/* Burke: what leaves an M/M/1 queue is Poisson. */
static void tandem_of_mm1(void **state)
{
    (void)state;
    es_tandem tandem = one_node();
    tandem.node_count = 5;
    agree("tandem of 5 M/M/1", measure(tandem, NULL), 5 / (1 / SERVICE_S - RATE_RPS));
}

/* Mean sojourn under processor sharing is size / (1 - load), whatever the law of the sizes. */
static void sharing_of_a_link(void **state)
{
    (void)state;
    es_tandem tandem = one_node();
    tandem.service_s = 0;
    tandem.bits = 1e6;
    tandem.bandwidth_bps = 1e8;
    tandem.latency_s = 0.005;
    agree("M/D/1 processor sharing", measure(tandem, NULL), 0.01 / (1 - 0.8) + 0.005);
}

/* Two ways, of 0.5 and 1.5 megabit, over the same link. */
static void add_second_way(es_world *world)
{
    static const double bits[] = {5e5, 1.5e6};
    for (uint32_t w = 0; w < 2; w++) {
        world->steps[2 * w] = (es_step){.kind = ES_STEP_CROSS, .amount = bits[w]};
        world->steps[2 * w + 1] = (es_step){.kind = ES_STEP_END};
        world->ways[w] = (es_route_way){
            .first_step = 2 * w, .upto = w == 0 ? 0.5 : 2, .quality = 1, .step_count = 2};
    }
    world->step_count = 4;
    world->way_count = 2;
    world->sources[0].way_count = 2;
}

/* Insensitive: sizes of 0.5 and 1.5 megabit, half of each, have the mean of 1 megabit. */
static void sharing_is_insensitive(void **state)
{
    (void)state;
    double means[REPLICATIONS];
    double sum = 0;
    for (uint64_t i = 0; i < REPLICATIONS; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
        es_tandem tandem = one_node();
        es_tandem_sums sums;
        es_world world;
        es_error err = {0};
        tandem.node_count = 2; /* room for the second way */
        tandem.service_s = 0;
        tandem.bits = 1e6;
        tandem.bandwidth_bps = 1e8;
        tandem.run_s = REQUESTS / RATE_RPS;
        tandem.warm_up_s = tandem.run_s / 10;
        tandem.seed = es_test_seed(3) + i;
        assert_ok_err(es_tandem_make(arena, &tandem, &sums, &world, &err), err);
        es_route_way ways[2];
        world.ways = ways;
        add_second_way(&world);
        assert_ok_err(es_world_run(&world, &err), err);
        means[i] = sums.latency_s / sums.counted;
        sum += means[i];
    }
    measured found = {.latency_s = sum / REPLICATIONS, .ci95 = es_mean_ci95(means, REPLICATIONS)};
    agree("M/G/1 processor sharing", found, 0.01 / (1 - 0.8));
}

static void nobody_waits(es_world *world)
{
    world->nodes[0].waiting_max = 0;
}

/* Erlang's loss formula. */
static void bounded_queue_refuses(void **state)
{
    (void)state;
    es_tandem tandem = one_node();
    tandem.servers = 4;
    tandem.arrivals.rate_rps = 400; /* 4 offered */
    measured found = measure(tandem, nobody_waits);
    double blocked = 1;
    for (int k = 1; k <= 4; k++)
        blocked = 4 * blocked / (k + 4 * blocked);
    print_message("  M/M/4/4 refuses %.4f, theory %.4f\n", found.refused_share, blocked);
    assert_true(fabs(found.refused_share - blocked) < 0.01 * blocked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mm1),
        cmocka_unit_test(mmc),
        cmocka_unit_test(md1),
        cmocka_unit_test(tandem_of_mm1),
        cmocka_unit_test(sharing_of_a_link),
        cmocka_unit_test(sharing_is_insensitive),
        cmocka_unit_test(bounded_queue_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
