/* Topologies become networks: latency, bandwidth, names, and what is left out. */
#include "es_test.h"
#include "network/network.h"

#include <math.h>

typedef struct fixture {
    es_arena *arena;
    es_network *network;
    es_topology_opts opts;
    es_topology_report report;
    es_error err;
} fixture;

static int setup(void **state)
{
    static fixture f;
    f = (fixture){.arena = es_arena_new((size_t)64 << 20), .opts = es_topology_opts_default()};
    *state = &f;
    return es_network_new(f.arena, &f.network, &f.err) == ES_OK ? 0 : -1;
}

static int teardown(void **state)
{
    es_arena_free(((fixture *)*state)->arena);
    return 0;
}

/* A and B are 1 degree of latitude apart, C has no position; two nodes share a label. */
static const char text[] =
    "graph [ directed 0\n"
    " node [ id 0 label \"A\" Latitude 50 Longitude 7 ]\n"
    " node [ id 1 label \"B\" Latitude 51 Longitude 7 ]\n"
    " node [ id 2 label \"C\" ]\n"
    " node [ id 3 label \"B\" Latitude 50 Longitude 7 ]\n"
    " edge [ source 0 target 1 ]\n"                         /* by position */
    " edge [ source 0 target 2 ]\n"                         /* by default */
    " edge [ source 1 target 2 dist 400 ]\n"                /* by length */
    " edge [ source 0 target 1 dist 200 LinkSpeedRaw 5 ]\n" /* both known, parallel */
    " edge [ source 2 target 2 ]\n"                         /* left out */
    "]";

static const es_topology *parsed(fixture *f)
{
    const es_topology *t = NULL;
    assert_ok_err(
        es_topology_parse(f->arena, "t", text, sizeof text - 1, ES_TOPOLOGY_AUTO, &t, &f->err),
        f->err);
    return t;
}

static void make(fixture *f)
{
    assert_ok_err(es_network_from_topology(f->network, parsed(f), &f->opts, &f->report, &f->err),
                  f->err);
}

static double latency(const fixture *f, uint32_t link)
{
    return es_network_link(f->network, (es_link_id){.index = link})->latency_s;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12;
}

static const double DEGREE_KM = 3.14159265358979323846 * ES_EARTH_RADIUS_KM / 180.0;

static void latencies_come_from_length_position_or_default(void **state)
{
    fixture *f = *state;
    make(f);
    assert_int_equal(es_network_link_count(f->network), 4);
    assert_true(near(latency(f, 0), DEGREE_KM / 2e5));
    assert_true(near(latency(f, 1), 5e-3));
    assert_true(near(latency(f, 2), 2e-3));
    assert_true(near(latency(f, 3), 1e-3));
    assert_int_equal(f->report.node_count, 4);
    assert_int_equal(f->report.link_count, 4);
    assert_int_equal(f->report.self_loop_count, 1);
    assert_int_equal(f->report.parallel_link_count, 1);
    assert_int_equal(f->report.latency_default_count, 1);
    assert_int_equal(f->report.bandwidth_default_count, 3);
}

static void stretch_lengthens_great_circles_only(void **state)
{
    fixture *f = *state;
    f->opts.stretch = 1.5;
    make(f);
    assert_true(near(latency(f, 0), 1.5 * DEGREE_KM / 2e5));
    assert_true(near(latency(f, 2), 2e-3));
}

static void lengths_of_the_file_can_be_set_aside(void **state)
{
    fixture *f = *state;
    f->opts.length_of_file = false;
    f->opts.bandwidth_of_file = false;
    make(f);
    assert_true(near(latency(f, 3), DEGREE_KM / 2e5));
    assert_true(near(latency(f, 2), 2e-3)); /* still the best that is known */
    assert_int_equal(f->report.bandwidth_default_count, 4);
}

static void unplaced_nodes_can_be_refused(void **state)
{
    fixture *f = *state;
    f->opts.unplaced = ES_TOPOLOGY_UNPLACED_REFUSE;
    assert_fails(es_network_from_topology(f->network, parsed(f), &f->opts, NULL, &f->err),
                 ES_ERR_ARG, f->err,
                 "edges[1] from 'A' to 'C': no length, and 'C' has no position");
}

static void nodes_are_named_by_label_where_it_is_unique(void **state)
{
    fixture *f = *state;
    make(f);
    assert_int_equal(es_network_node_find(f->network, "A").index, 0);
    assert_int_equal(es_network_node_find(f->network, "B#1").index, 1);
    assert_int_equal(es_network_node_find(f->network, "B#3").index, 3);
    assert_true(es_node_is_none(es_network_node_find(f->network, "B")));
    const es_node *node = es_network_node(f->network, (es_node_id){.index = 1});
    assert_true(node->has_position && near(node->latitude_deg, 51.0));
    assert_int_equal(node->tier, ES_TIER_NETWORK);
}

static void defaults_reach_every_node_and_link(void **state)
{
    fixture *f = *state;
    f->opts.name_by_id = true;
    f->opts.node.tier = ES_TIER_EDGE;
    f->opts.node.processors = 4.0;
    f->opts.link.energy_j_per_bit = 1e-8;
    f->opts.link.availability = 0.99;
    f->opts.link.bandwidth_bps = 3e9;
    es_node first = es_node_default();
    first.name = "before";
    assert_ok_err(es_network_node_add(f->network, &first, NULL, &f->err), f->err);
    make(f);
    assert_int_equal(es_network_node_find(f->network, "0").index, 1); /* numbers move up by one */
    const es_node *node = es_network_node(f->network, (es_node_id){.index = 3});
    assert_string_equal(node->name, "2");
    assert_int_equal(node->tier, ES_TIER_EDGE);
    assert_true(near(node->processors, 4.0));
    const es_link *link = es_network_link(f->network, (es_link_id){.index = 1});
    assert_int_equal(link->from.index, 1);
    assert_int_equal(link->to.index, 3);
    assert_true(near(link->energy_j_per_bit, 1e-8) && near(link->availability, 0.99));
    assert_true(near(link->bandwidth_bps, 3e9));
    link = es_network_link(f->network, (es_link_id){.index = 3});
    assert_true(near(link->bandwidth_bps, 5.0));
}

static void bad_options_are_refused(void **state)
{
    fixture *f = *state;
    f->opts.stretch = 0.9;
    assert_fails(es_network_from_topology(f->network, parsed(f), &f->opts, NULL, &f->err),
                 ES_ERR_ARG, f->err, "stretch=0.9 must be in 1..100");
    f->opts.stretch = (double)NAN;
    assert_fails(es_network_from_topology(f->network, parsed(f), &f->opts, NULL, &f->err),
                 ES_ERR_ARG, f->err, "stretch=");
    f->opts = es_topology_opts_default();
    f->opts.link.bandwidth_bps = 0.0;
    assert_fails(es_network_from_topology(f->network, parsed(f), &f->opts, NULL, &f->err),
                 ES_ERR_ARG, f->err, "bandwidth_bps=0 must be in");
}

static void directed_topologies_give_directed_links(void **state)
{
    fixture *f = *state;
    static const char arrow[] = "graph [ directed 1 node [ id 0 ] node [ id 1 ]\n"
                                "edge [ source 0 target 1 ] edge [ source 1 target 0 ] ]";
    const es_topology *t = NULL;
    assert_ok_err(
        es_topology_parse(f->arena, "t", arrow, sizeof arrow - 1, ES_TOPOLOGY_AUTO, &t, &f->err),
        f->err);
    assert_int_equal(t->multi_edge_count, 0);
    assert_ok_err(es_network_from_topology(f->network, t, &f->opts, &f->report, &f->err), f->err);
    assert_true(es_network_link(f->network, (es_link_id){.index = 0})->directed);
    assert_int_equal(f->report.parallel_link_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(latencies_come_from_length_position_or_default, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stretch_lengthens_great_circles_only, setup, teardown),
        cmocka_unit_test_setup_teardown(lengths_of_the_file_can_be_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(unplaced_nodes_can_be_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nodes_are_named_by_label_where_it_is_unique, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(defaults_reach_every_node_and_link, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_options_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(directed_topologies_give_directed_links, setup, teardown),
    };
    return cmocka_run_group_tests_name("from_topology", tests, NULL, NULL);
}
