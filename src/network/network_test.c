#include "es_test.h"
#include "network/network.h"

#include <math.h>

/* cmocka's own comparison works in float. */
#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

typedef struct fixture {
    es_arena *arena;
    es_network *network;
    es_error err;
} fixture;

static int setup(void **state)
{
    static fixture f;
    f = (fixture){.arena = es_arena_new((size_t)16 << 20)};
    *state = &f;
    return es_network_new(f.arena, &f.network, &f.err) == ES_OK ? 0 : -1;
}

static int teardown(void **state)
{
    es_arena_free(((fixture *)*state)->arena);
    return 0;
}

static es_node named(const char *name)
{
    es_node node = es_node_default();
    node.name = name;
    return node;
}

static es_node_id add(fixture *f, const char *name)
{
    es_node node = named(name);
    es_node_id id = ES_NODE_NONE;
    assert_ok_err(es_network_node_add(f->network, &node, &id, &f->err), f->err);
    return id;
}

static es_link between(es_node_id from, es_node_id to)
{
    es_link link = es_link_default();
    link.from = from;
    link.to = to;
    return link;
}

static void tiers_have_the_words_of_documents(void **state)
{
    (void)state;
    assert_string_equal(es_tier_name(ES_TIER_DEVICE), "device");
    assert_string_equal(es_tier_name(ES_TIER_CLOUD), "cloud");
    assert_string_equal(es_tier_names[ES_TIER_EDGE], "edge");
    assert_string_equal(es_tier_name(ES_TIER_COUNT), "?");
}

static void nodes_are_copied_and_found_by_name(void **state)
{
    fixture *f = *state;
    char name[] = "camera";
    es_node node = named(name);
    node.kind = NULL;
    node.latitude_deg = 12.0; /* ignored without has_position */
    es_node_id id = ES_NODE_NONE;
    assert_ok_err(es_network_node_add(f->network, &node, &id, &f->err), f->err);
    name[0] = 'X';
    assert_int_equal(id.index, 0);
    const es_node *kept = es_network_node(f->network, id);
    assert_string_equal(kept->name, "camera");
    assert_string_equal(kept->kind, "");
    assert_true(kept->latitude_deg < 1.0);
    assert_int_equal(es_network_node_find(f->network, "camera").index, 0);
    assert_true(es_node_is_none(es_network_node_find(f->network, "Xamera")));
    assert_true(es_node_is_none(es_network_node_find(f->network, NULL)));
}

static void many_names_are_all_found(void **state)
{
    fixture *f = *state;
    char name[32];
    for (uint32_t i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "node-%u", i);
        assert_int_equal(add(f, name).index, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "node-%u", i);
        assert_int_equal(es_network_node_find(f->network, name).index, i);
    }
    assert_true(es_node_is_none(es_network_node_find(f->network, "node-5000")));
}

static void bad_names_are_refused(void **state)
{
    fixture *f = *state;
    (void)add(f, "a");
    char lengthy[ES_NETWORK_NAME_MAX + 2];
    memset(lengthy, 'n', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    es_node node = named("");
    assert_fails(es_network_node_add(f->network, &node, NULL, &f->err), ES_ERR_ARG, f->err,
                 "nodes[1]: name is empty");
    node.name = NULL;
    assert_fails(es_network_node_add(f->network, &node, NULL, &f->err), ES_ERR_ARG, f->err,
                 "name is empty");
    node.name = "a";
    assert_fails(es_network_node_add(f->network, &node, NULL, &f->err), ES_ERR_ARG, f->err,
                 "name 'a' is already that of nodes[0]");
    node.name = lengthy;
    assert_fails(es_network_node_add(f->network, &node, NULL, &f->err), ES_ERR_ARG, f->err,
                 "129 bytes, at most 128");
    lengthy[ES_NETWORK_NAME_MAX] = '\0';
    assert_ok_err(es_network_node_add(f->network, &node, NULL, &f->err), f->err);
    assert_int_equal(es_network_node_count(f->network), 2);
}

/* Sets one field of a default node and expects the refusal to name it. */
#define REFUSES_NODE(f, field, bad)                                                                \
    do {                                                                                           \
        es_node wrong = named("wrong");                                                            \
        wrong.has_position = true;                                                                 \
        wrong.field = (bad);                                                                       \
        assert_fails(es_network_node_add((f)->network, &wrong, NULL, &(f)->err), ES_ERR_ARG,       \
                     (f)->err, "node 'wrong': " #field "=");                                       \
        assert_true(es_node_is_none(es_network_node_find((f)->network, "wrong")));                 \
    } while (0)

static void numbers_out_of_range_are_refused(void **state)
{
    fixture *f = *state;
    REFUSES_NODE(f, processors, -1.0);
    REFUSES_NODE(f, processors, (double)INFINITY);
    REFUSES_NODE(f, utilisation_max, 1.01);
    REFUSES_NODE(f, utilisation_max, -0.01);
    REFUSES_NODE(f, memory_bytes, (double)NAN);
    REFUSES_NODE(f, idle_w, -1.0);
    REFUSES_NODE(f, busy_w, -1.0);
    REFUSES_NODE(f, slowdown, 0.99);
    REFUSES_NODE(f, carbon_gco2e_per_kwh, -1.0);
    REFUSES_NODE(f, latitude_deg, 90.5);
    REFUSES_NODE(f, longitude_deg, -181.0);
    REFUSES_NODE(f, tier, ES_TIER_COUNT);
    es_node node = named("hot");
    node.idle_w = 2.0;
    node.busy_w = 1.0;
    assert_fails(es_network_node_add(f->network, &node, NULL, &f->err), ES_ERR_ARG, f->err,
                 "node 'hot': busy_w=1 must be >= idle_w=2");
}

#define REFUSES_LINK(f, a, b, field, bad)                                                          \
    do {                                                                                           \
        es_link wrong = between((a), (b));                                                         \
        wrong.field = (bad);                                                                       \
        assert_fails(es_network_link_add((f)->network, &wrong, NULL, &(f)->err), ES_ERR_ARG,       \
                     (f)->err, "links[0] ('a' to 'b'): " #field "=");                              \
        assert_int_equal(es_network_link_count((f)->network), 0);                                  \
    } while (0)

static void bad_links_are_refused(void **state)
{
    fixture *f = *state;
    es_node_id a = add(f, "a"), b = add(f, "b");
    REFUSES_LINK(f, a, b, bandwidth_bps, 0.0);
    REFUSES_LINK(f, a, b, bandwidth_bps, -5.0);
    REFUSES_LINK(f, a, b, bandwidth_bps, (double)INFINITY);
    REFUSES_LINK(f, a, b, bandwidth_bps, (double)NAN);
    REFUSES_LINK(f, a, b, latency_s, -1e-9);
    REFUSES_LINK(f, a, b, latency_s, (double)NAN);
    REFUSES_LINK(f, a, b, energy_j_per_bit, -1.0);
    REFUSES_LINK(f, a, b, availability, 1.5);
    es_link link = between(a, a);
    assert_fails(es_network_link_add(f->network, &link, NULL, &f->err), ES_ERR_ARG, f->err,
                 "from and to are both 'a'");
    link = between(a, (es_node_id){.index = 7});
    assert_fails(es_network_link_add(f->network, &link, NULL, &f->err), ES_ERR_ARG, f->err,
                 "to=7 must be one of the 2 nodes");
    link = between(ES_NODE_NONE, a);
    assert_fails(es_network_link_add(f->network, &link, NULL, &f->err), ES_ERR_ARG, f->err,
                 "from=4294967295");
}

static void hops_show_each_link_where_it_leaves(void **state)
{
    fixture *f = *state;
    es_node_id a = add(f, "a"), b = add(f, "b"), c = add(f, "c");
    es_link ab = between(a, b), bc = between(b, c), ba = between(b, a);
    bc.directed = true;
    assert_ok_err(es_network_link_add(f->network, &ab, NULL, &f->err), f->err);
    assert_ok_err(es_network_link_add(f->network, &bc, NULL, &f->err), f->err);
    assert_ok_err(es_network_link_add(f->network, &ba, NULL, &f->err), f->err);
    assert_false(es_network_is_sealed(f->network));
    assert_ok_err(es_network_seal(f->network, &f->err), f->err);
    assert_ok_err(es_network_seal(f->network, &f->err), f->err);
    assert_true(es_network_is_sealed(f->network));
    uint32_t count = 0;
    const es_hop *hops = es_network_hops(f->network, b, &count);
    assert_int_equal(count, 3);
    assert_int_equal(hops[0].to.index, a.index);
    assert_int_equal(hops[0].link.index, 0);
    assert_int_equal(hops[1].to.index, c.index);
    assert_int_equal(hops[2].link.index, 2);
    (void)es_network_hops(f->network, c, &count);
    assert_int_equal(count, 0);
    assert_true(es_network_link(f->network, hops[1].link)->directed);
}

static void a_sealed_network_takes_no_more(void **state)
{
    fixture *f = *state;
    assert_fails(es_network_seal(f->network, &f->err), ES_ERR_ARG, f->err, "has no nodes");
    es_node_id a = add(f, "a"), b = add(f, "b");
    assert_ok_err(es_network_seal(f->network, &f->err), f->err);
    es_node node = named("late");
    es_link link = between(a, b);
    assert_fails(es_network_node_add(f->network, &node, NULL, &f->err), ES_ERR_ARG, f->err,
                 "sealed");
    assert_fails(es_network_link_add(f->network, &link, NULL, &f->err), ES_ERR_ARG, f->err,
                 "sealed");
}

static void a_full_arena_is_an_error_not_a_crash(void **state)
{
    (void)state;
    bool was_full = false;
    for (size_t cap = 64; cap < 100000 && !was_full; cap += cap / 8) {
        es_error err = {0};
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(cap);
        es_network *network = NULL;
        es_status status = es_network_new(arena, &network, &err);
        char name[16];
        for (int i = 0; i < 100 && status == ES_OK; i++) {
            (void)snprintf(name, sizeof name, "n%d", i);
            es_node node = named(name);
            status = es_network_node_add(network, &node, NULL, &err);
        }
        if (status == ES_OK)
            was_full = true; /* large enough at last */
        else
            assert_int_equal(status, ES_ERR_NOMEM);
    }
    assert_true(was_full);
}

static void distances_are_those_of_the_globe(void **state)
{
    (void)state;
    /* a quarter of a meridian is pi R / 2; opposite points are pi R apart */
    double quarter = 3.14159265358979323846 * ES_EARTH_RADIUS_KM / 2.0;
    assert_near(es_distance_km(0, 0, 90, 0), quarter, 1e-6);
    assert_near(es_distance_km(0, 0, 0, 180), 2 * quarter, 1e-6);
    assert_near(es_distance_km(10, 20, -10, -160), 2 * quarter, 1e-3); /* asin is steep there */
    assert_near(es_distance_km(48.8566, 2.3522, 48.8566, 2.3522), 0.0, 1e-12);
    /* Paris to New York by the angle between the two vectors */
    assert_near(es_distance_km(48.8566, 2.3522, 40.7128, -74.0060), 5837.248967, 1e-5);
    /* across the date line is near */
    assert_near(es_distance_km(0, 179.5, 0, -179.5), quarter / 90.0, 1e-6);
    assert_near(es_fibre_latency_s(200.0, 1.0), 1e-3, 1e-15);
    assert_near(es_fibre_latency_s(200.0, 1.5), 1.5e-3, 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_have_the_words_of_documents),
        cmocka_unit_test_setup_teardown(nodes_are_copied_and_found_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(many_names_are_all_found, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_names_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_out_of_range_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_links_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(hops_show_each_link_where_it_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealed_network_takes_no_more, setup, teardown),
        cmocka_unit_test(a_full_arena_is_an_error_not_a_crash),
        cmocka_unit_test(distances_are_those_of_the_globe),
    };
    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
