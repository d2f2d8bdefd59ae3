#include "base/rng.h"
#include "es_test.h"
#include "network/network.h"

#include <math.h>

/* cmocka's own comparison works in float. */
#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

enum { NODE_MAX = 24, GRAPH_COUNT = 200 };

/* A random graph with what a naive search needs to know of it. */
typedef struct graph {
    es_arena *arena;
    es_network *network;
    es_routes *routes;
    uint32_t count;
    double weight[NODE_MAX][NODE_MAX]; /* lightest link, INFINITY without */
    bool directed;
} graph;

static double link_weight(const es_link *link, es_routes_weights w)
{
    return w.latency_weight * (link->latency_s + 8.0 * w.reference_bytes / link->bandwidth_bps) +
           w.energy_weight * 8.0 * w.reference_bytes * link->energy_j_per_bit;
}

static void add_link(graph *g, es_rng *rng, es_routes_weights weights, bool coarse)
{
    es_link link = es_link_default();
    link.from.index = (uint32_t)es_rng_below(rng, g->count);
    link.to.index = (uint32_t)es_rng_below(rng, g->count);
    if (link.from.index == link.to.index)
        return;
    link.latency_s = coarse ? (double)es_rng_below(rng, 3) : es_rng_double(rng) * 0.1;
    link.bandwidth_bps = coarse ? 1e9 : 1e5 + es_rng_double(rng) * 1e7;
    link.energy_j_per_bit = coarse ? 0.0 : es_rng_double(rng) * 1e-6;
    link.availability = 0.9 + es_rng_double(rng) * 0.1;
    link.directed = g->directed;
    assert_ok(es_network_link_add(g->network, &link, NULL, NULL));
    double weight = link_weight(&link, weights);
    double *there = &g->weight[link.from.index][link.to.index];
    double *back = &g->weight[link.to.index][link.from.index];
    *there = fmin(*there, weight);
    if (!g->directed)
        *back = fmin(*back, weight);
}

static void make(graph *g, uint64_t seed, es_routes_weights weights)
{
    es_rng rng = es_rng_make(seed, 0);
    *g = (graph){.arena = es_arena_new((size_t)16 << 20)};
    g->count = 1 + (uint32_t)es_rng_below(&rng, NODE_MAX);
    g->directed = es_rng_below(&rng, 2) == 1;
    bool coarse = es_rng_below(&rng, 2) == 1; /* few different weights: many ties */
    for (uint32_t i = 0; i < NODE_MAX; i++)
        for (uint32_t j = 0; j < NODE_MAX; j++)
            g->weight[i][j] = i == j ? 0.0 : (double)INFINITY;
    assert_ok(es_network_new(g->arena, &g->network, NULL));
    char name[16];
    for (uint32_t i = 0; i < g->count; i++) {
        es_node node = es_node_default();
        (void)snprintf(name, sizeof name, "n%u", i);
        node.name = name;
        assert_ok(es_network_node_add(g->network, &node, NULL, NULL));
    }
    uint64_t links = es_rng_below(&rng, 3 * (uint64_t)g->count);
    for (uint64_t i = 0; i < links; i++)
        add_link(g, &rng, weights, coarse);
    assert_ok(es_network_seal(g->network, NULL));
    assert_ok(es_network_routes_new(g->arena, g->network, weights, &g->routes, NULL));
}

static void floyd_warshall(graph *g)
{
    for (uint32_t k = 0; k < g->count; k++)
        for (uint32_t i = 0; i < g->count; i++)
            for (uint32_t j = 0; j < g->count; j++)
                g->weight[i][j] = fmin(g->weight[i][j], g->weight[i][k] + g->weight[k][j]);
}

/* The path runs from `from` to `to`, and its sums are the route. */
static void check_path(graph *g, es_node_id from, es_node_id to, es_routes_weights weights)
{
    es_route route = {0};
    assert_true(es_routes_get(g->routes, from, to, &route));
    es_link_id links[NODE_MAX];
    uint32_t count = 0;
    assert_true(es_routes_path(g->routes, from, to, links, NODE_MAX, &count));
    assert_int_equal(count, route.hop_count);
    es_route sum = {.availability = 1.0};
    double weight = 0.0;
    uint32_t node = from.index;
    for (uint32_t i = 0; i < count; i++) {
        const es_link *link = es_network_link(g->network, links[i]);
        assert_true(link->from.index == node || (!link->directed && link->to.index == node));
        node = link->from.index == node ? link->to.index : link->from.index;
        sum.latency_s += link->latency_s;
        sum.seconds_per_bit += 1.0 / link->bandwidth_bps;
        sum.energy_j_per_bit += link->energy_j_per_bit;
        sum.availability *= link->availability;
        weight += link_weight(link, weights);
    }
    assert_int_equal(node, to.index);
    assert_true(fabs(sum.latency_s - route.latency_s) <= 1e-15);
    assert_true(fabs(sum.seconds_per_bit - route.seconds_per_bit) <= 1e-15);
    assert_true(fabs(sum.energy_j_per_bit - route.energy_j_per_bit) <= 1e-15);
    assert_true(fabs(sum.availability - route.availability) <= 1e-15);
    double claimed = -1.0;
    assert_true(es_routes_weight(g->routes, from, to, &claimed));
    assert_true(fabs(weight - claimed) <= 1e-12 * (1.0 + weight));
}

static void check_graph(graph *g, uint64_t seed, es_routes_weights weights)
{
    floyd_warshall(g);
    for (uint32_t i = 0; i < g->count; i++)
        for (uint32_t j = 0; j < g->count; j++) {
            es_node_id from = {.index = i}, to = {.index = j};
            double naive = g->weight[i][j];
            double found = -1.0, back = -1.0;
            bool reached = es_routes_weight(g->routes, from, to, &found);
            if (reached != isfinite(naive))
                fail_msg("seed %" PRIu64 ": %u to %u reached=%d", seed, i, j, reached);
            if (!reached)
                continue;
            if (fabs(found - naive) > 1e-12 * (1.0 + naive))
                fail_msg("seed %" PRIu64 ": %u to %u weighs %.17g, not %.17g", seed, i, j, found,
                         naive);
            check_path(g, from, to, weights);
            if (!g->directed) {
                assert_true(es_routes_weight(g->routes, to, from, &back));
                assert_true(fabs(found - back) <= 1e-12 * (1.0 + found));
            }
        }
}

static void random_graphs_agree_with_floyd_warshall(void **state)
{
    (void)state;
    const es_routes_weights all[] = {
        {.latency_weight = 1.0, .reference_bytes = 1500.0},
        {.energy_weight = 1.0, .reference_bytes = 1500.0},
        {.latency_weight = 1.0, .energy_weight = 20.0, .reference_bytes = 1e5},
        {.latency_weight = 0.0},
    };
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + GRAPH_COUNT; seed++) {
        es_routes_weights weights = all[seed % (sizeof all / sizeof all[0])];
        graph g;
        make(&g, seed, weights);
        check_graph(&g, seed, weights);
        es_arena_free(g.arena);
    }
}

static bool same_route(const es_route *a, const es_route *b)
{
    return memcmp(&a->latency_s, &b->latency_s, sizeof a->latency_s) == 0 &&
           memcmp(&a->seconds_per_bit, &b->seconds_per_bit, sizeof a->seconds_per_bit) == 0 &&
           memcmp(&a->availability, &b->availability, sizeof a->availability) == 0 &&
           a->hop_count == b->hop_count;
}

static void threads_and_laziness_change_nothing(void **state)
{
    (void)state;
    es_pool *pool = NULL;
    assert_ok(es_pool_new(3, 16, &pool, NULL));
    uint64_t first = es_test_seed(1000);
    for (uint64_t seed = first; seed < first + 30; seed++) {
        graph g;
        make(&g, seed, es_routes_weights_default());
        es_routes *pooled = NULL, *at_once = NULL;
        es_routes_weights weights = es_routes_weights_default();
        assert_ok(es_network_routes_new(g.arena, g.network, weights, &pooled, NULL));
        assert_ok(es_network_routes_new(g.arena, g.network, weights, &at_once, NULL));
        assert_ok(es_routes_from(pooled, (es_node_id){.index = 0}, NULL)); /* one before the rest */
        assert_ok(es_routes_all(pooled, pool, NULL));
        assert_ok(es_routes_all(at_once, NULL, NULL));
        assert_ok(es_routes_all(at_once, NULL, NULL));
        for (uint32_t i = 0; i < g.count * g.count; i++) {
            es_node_id from = {.index = i / g.count}, to = {.index = i % g.count};
            es_route a = {0}, b = {0}, c = {0};
            bool reached = es_routes_get(g.routes, from, to, &a);
            assert_int_equal(reached, es_routes_get(pooled, from, to, &b));
            assert_int_equal(reached, es_routes_get(at_once, from, to, &c));
            assert_true(same_route(&a, &b) && same_route(&a, &c));
        }
        es_arena_free(g.arena);
    }
    es_pool_free(pool);
}

/* Nodes n0.. and links given as pairs; the latency of each is its third number. */
static void build(graph *g, uint32_t nodes, const double (*links)[3], size_t count)
{
    *g = (graph){.arena = es_arena_new((size_t)1 << 20), .count = nodes};
    assert_ok(es_network_new(g->arena, &g->network, NULL));
    char name[16];
    for (uint32_t i = 0; i < nodes; i++) {
        es_node node = es_node_default();
        (void)snprintf(name, sizeof name, "n%u", i);
        node.name = name;
        assert_ok(es_network_node_add(g->network, &node, NULL, NULL));
    }
    for (size_t i = 0; i < count; i++) {
        es_link link = es_link_default();
        link.from.index = (uint32_t)links[i][0];
        link.to.index = (uint32_t)links[i][1];
        link.latency_s = links[i][2];
        assert_ok(es_network_link_add(g->network, &link, NULL, NULL));
    }
    assert_ok(es_network_seal(g->network, NULL));
    es_routes_weights weights = {.latency_weight = 1.0};
    assert_ok(es_network_routes_new(g->arena, g->network, weights, &g->routes, NULL));
}

static void expect_path(graph *g, uint32_t from, uint32_t to, const uint32_t *wanted,
                        uint32_t wanted_count)
{
    es_link_id links[8];
    uint32_t count = 0;
    es_node_id a = {.index = from}, b = {.index = to};
    assert_true(es_routes_path(g->routes, a, b, links, 8, &count));
    assert_int_equal(count, wanted_count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(links[i].index, wanted[i]);
}

static void ties_go_to_fewer_links_then_smaller_numbers(void **state)
{
    (void)state;
    graph g;
    /* 0 to 3: over 1 or 2 (equal), or 4, 5 (equal but longer) */
    const double square[][3] = {{0, 4, 0.0}, {4, 5, 1.0}, {5, 3, 1.0}, {0, 2, 1.0},
                                {2, 3, 1.0}, {0, 1, 1.0}, {1, 3, 1.0}};
    build(&g, 6, square, 7);
    expect_path(&g, 0, 3, (const uint32_t[]){5, 6}, 2);
    es_arena_free(g.arena);
    /* three links side by side: the smallest number of the fastest */
    const double parallel[][3] = {{0, 1, 2.0}, {1, 0, 1.0}, {0, 1, 1.0}};
    build(&g, 2, parallel, 3);
    expect_path(&g, 0, 1, (const uint32_t[]){1}, 1);
    expect_path(&g, 1, 0, (const uint32_t[]){1}, 1);
    es_arena_free(g.arena);
    /* a detour that costs nothing is not taken */
    const double free_detour[][3] = {{0, 1, 0.0}, {1, 2, 0.0}, {0, 2, 0.0}};
    build(&g, 3, free_detour, 3);
    expect_path(&g, 0, 2, (const uint32_t[]){2}, 1);
    es_arena_free(g.arena);
}

static void a_short_array_gets_the_first_links(void **state)
{
    (void)state;
    graph g;
    const double line[][3] = {{0, 1, 1.0}, {1, 2, 1.0}, {2, 3, 1.0}};
    build(&g, 4, line, 3);
    es_link_id links[2] = {ES_LINK_NONE, ES_LINK_NONE};
    uint32_t count = 0;
    es_node_id from = {.index = 0}, to = {.index = 3};
    assert_true(es_routes_path(g.routes, from, to, links, 1, &count));
    assert_int_equal(count, 3);
    assert_int_equal(links[0].index, 0);
    assert_true(es_link_is_none(links[1]));
    assert_true(es_routes_path(g.routes, from, to, NULL, 0, &count));
    assert_int_equal(count, 3);
    es_arena_free(g.arena);
}

static void the_same_node_and_no_path(void **state)
{
    (void)state;
    graph g;
    const double line[][3] = {{0, 1, 1.0}};
    build(&g, 3, line, 1);
    es_node_id a = {.index = 0}, c = {.index = 2};
    es_route route = {.hop_count = 99};
    assert_false(es_routes_get(g.routes, a, c, &route));
    assert_int_equal(route.hop_count, 99); /* untouched */
    uint32_t count = 99;
    assert_false(es_routes_path(g.routes, c, a, NULL, 0, &count));
    assert_true(es_routes_get(g.routes, c, c, &route));
    assert_int_equal(route.hop_count, 0);
    assert_true(route.latency_s <= 0.0 && route.availability >= 1.0);
    assert_near(es_route_transfer_s(&route, 1e9), 0.0, 0.0);
    assert_true(es_routes_path(g.routes, c, c, NULL, 0, &count));
    assert_int_equal(count, 0);
    assert_ok(es_routes_status(g.routes, NULL));
    es_arena_free(g.arena);
}

static void transfer_stores_and_forwards(void **state)
{
    (void)state;
    graph g;
    const double line[][3] = {{0, 1, 0.010}, {1, 2, 0.020}};
    build(&g, 3, line, 2); /* 1e9 bit/s each */
    es_route route = {0};
    assert_true(
        es_routes_get(g.routes, (es_node_id){.index = 0}, (es_node_id){.index = 2}, &route));
    assert_near(es_route_transfer_s(&route, 0.0), 0.030, 1e-15);
    assert_near(es_route_transfer_s(&route, 125e6), 0.030 + 2.0, 1e-12);
    es_arena_free(g.arena);
}

static void bad_weights_and_open_networks_are_refused(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 20);
    es_error err = {0};
    es_network *network = NULL;
    es_routes *routes = NULL;
    es_routes_weights weights = es_routes_weights_default();
    es_node node = es_node_default();
    node.name = "a";
    assert_ok(es_network_new(arena, &network, &err));
    assert_ok(es_network_node_add(network, &node, NULL, &err));
    assert_fails(es_network_routes_new(arena, network, weights, &routes, &err), ES_ERR_ARG, err,
                 "must be sealed");
    assert_ok(es_network_seal(network, &err));
    weights.latency_weight = -1.0;
    assert_fails(es_network_routes_new(arena, network, weights, &routes, &err), ES_ERR_ARG, err,
                 "latency_weight=-1 must be in 0..1e+12");
    weights = es_routes_weights_default();
    weights.energy_weight = (double)NAN;
    assert_fails(es_network_routes_new(arena, network, weights, &routes, &err), ES_ERR_ARG, err,
                 "energy_weight=");
    weights = es_routes_weights_default();
    weights.reference_bytes = (double)INFINITY;
    assert_fails(es_network_routes_new(arena, network, weights, &routes, &err), ES_ERR_ARG, err,
                 "reference_bytes=inf");
    assert_null(routes);
}

static void memory_that_is_out_is_told_apart_from_unreachable(void **state)
{
    (void)state;
    graph g;
    const double line[][3] = {{0, 1, 1.0}};
    build(&g, 20, line, 1);
    /* room for the routes object, not for a source of 20 * 48 bytes */
    ES_CLEANUP(es_arena_free_p) es_arena *small = es_arena_new(900);
    es_routes *routes = NULL;
    es_error err = {0};
    assert_ok_err(
        es_network_routes_new(small, g.network, es_routes_weights_default(), &routes, &err), err);
    es_route route;
    assert_false(es_routes_get(routes, (es_node_id){.index = 0}, (es_node_id){.index = 1}, &route));
    assert_fails(es_routes_status(routes, &err), ES_ERR_NOMEM, err, "routes of a source");
    assert_fails(es_routes_all(routes, NULL, &err), ES_ERR_NOMEM, err, "routes of");
    es_arena_free(g.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_agree_with_floyd_warshall),
        cmocka_unit_test(threads_and_laziness_change_nothing),
        cmocka_unit_test(ties_go_to_fewer_links_then_smaller_numbers),
        cmocka_unit_test(a_short_array_gets_the_first_links),
        cmocka_unit_test(the_same_node_and_no_path),
        cmocka_unit_test(transfer_stores_and_forwards),
        cmocka_unit_test(bad_weights_and_open_networks_are_refused),
        cmocka_unit_test(memory_that_is_out_is_told_apart_from_unreachable),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
