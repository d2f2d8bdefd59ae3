/* Every real topology file, against counts made without the importers. */
#include "base/file.h"
#include "es_test.h"
#include "network/network.h"

#include <dirent.h>
#include <math.h>

/* Lines of text that, after leading space, start with words. */
static uint32_t count_lines(const char *text, const char *words)
{
    uint32_t count = 0;
    size_t size = strlen(words);
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += strspn(line, " \t\r\n");
        count += strncmp(line, words, size) == 0;
    }
    return count;
}

static uint32_t count_words(const char *text, const char *words)
{
    uint32_t count = 0;
    for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words))
        count++;
    return count;
}

/* Lines between "SECTION (" and the line ")". */
static uint32_t count_section(const char *text, const char *section)
{
    char head[64];
    (void)snprintf(head, sizeof head, "\n%s (", section);
    const char *at = strstr(text, head);
    uint32_t count = 0;
    if (at == NULL)
        return 0;
    for (at = strchr(at + 1, '\n'); at != NULL && at[1] != ')'; at = strchr(at + 1, '\n'))
        count += at[1] == ' ';
    return count;
}

/* The first integer behind words. */
static uint32_t number_after(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    return at == NULL ? UINT32_MAX : (uint32_t)strtoul(at + strlen(words), NULL, 10);
}

/* Lines `"to": value` of the demands, which stand before the statistics. The statistics' own count
 * takes some demands in both directions. */
static uint32_t count_demands(const char *text, const char *end)
{
    uint32_t count = 0;
    const char *line = strstr(text, "\"demands\":");
    for (line = strchr(line, '\n'); line != NULL && line < end; line = strchr(line + 1, '\n')) {
        size_t size = strcspn(line + 1, "\n");
        count += line + 1 < end && memchr(line + 1, ':', size) != NULL &&
                 memchr(line + 1, '{', size) == NULL;
    }
    return count;
}

typedef struct counts {
    uint32_t nodes, edges, demands;
} counts;

static counts count_independently(const char *text, es_topology_format format)
{
    switch (format) {
    case ES_TOPOLOGY_GML:
        return (counts){count_lines(text, "node ["), count_lines(text, "edge ["), 0};
    case ES_TOPOLOGY_GRAPHML:
        return (counts){count_words(text, "<node "), count_words(text, "<edge "), 0};
    case ES_TOPOLOGY_SNDLIB:
        return (counts){count_section(text, "NODES"), count_section(text, "LINKS"),
                        count_section(text, "DEMANDS")};
    case ES_TOPOLOGY_SNDLIB_XML:
        return (counts){count_words(text, "<node "), count_words(text, "<link "),
                        count_words(text, "<demand ")};
    case ES_TOPOLOGY_JSON: {
        const char *stats = strstr(text, "\"stats\"");
        return (counts){number_after(stats, "\"nodes\":"), number_after(stats, "\"links\":"),
                        count_demands(text, stats)};
    }
    case ES_TOPOLOGY_AUTO:
    case ES_TOPOLOGY_FORMAT_COUNT:
        break;
    }
    fail_msg("unknown format");
    return (counts){0};
}

static es_topology_format format_by_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (strcmp(dot, ".gml") == 0)
        return ES_TOPOLOGY_GML;
    if (strcmp(dot, ".graphml") == 0)
        return ES_TOPOLOGY_GRAPHML;
    if (strcmp(dot, ".txt") == 0)
        return ES_TOPOLOGY_SNDLIB;
    if (strcmp(dot, ".xml") == 0)
        return ES_TOPOLOGY_SNDLIB_XML;
    return ES_TOPOLOGY_JSON;
}

static void check_sound(const char *path, const es_topology *t)
{
    uint32_t loops = 0;
    for (uint32_t i = 0; i < t->edge_count; i++) {
        assert_true(t->edges[i].a < t->node_count && t->edges[i].b < t->node_count);
        loops += t->edges[i].a == t->edges[i].b;
    }
    assert_int_equal(loops, t->self_loop_count);
    for (uint32_t i = 0; i < t->node_count; i++) {
        const es_topology_node *n = &t->nodes[i];
        assert_true(n->id[0] != '\0' && n->label[0] != '\0');
        if (fabs(n->latitude_deg) > 90.0 || fabs(n->longitude_deg) > 180.0)
            fail_msg("%s: node '%s' is off the globe", path, n->id);
    }
}

/* Becomes a network whose links all have a latency and whose routes can be searched. */
static void check_network(es_arena *arena, const char *path, const es_topology *t)
{
    es_error err = {0};
    es_network *network = NULL;
    es_topology_opts opts = es_topology_opts_default();
    es_topology_report report = {0};
    assert_ok_err(es_network_new(arena, &network, &err), err);
    es_status status = es_network_from_topology(network, t, &opts, &report, &err);
    if (status != ES_OK)
        fail_msg("%s: %s", path, es_error_text(&err));
    assert_int_equal(report.link_count + report.self_loop_count, t->edge_count);
    assert_int_equal(es_network_node_count(network), t->node_count);
    assert_ok_err(es_network_seal(network, &err), err);
    es_routes *routes = NULL;
    assert_ok_err(es_network_routes_new(arena, network, es_routes_weights_default(), &routes, &err),
                  err);
    uint32_t reached = 0;
    es_node_id from = {.index = t->edge_count > 0 ? t->edges[0].a : 0};
    for (uint32_t v = 0; v < t->node_count; v++) {
        es_route route;
        reached += es_routes_get(routes, from, (es_node_id){.index = v}, &route);
    }
    assert_true(t->edge_count == 0 || reached > 1);
}

static void check_file(const char *path)
{
    es_error err = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)512 << 20);
    char *text = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(arena, path, ES_TOPOLOGY_BYTES_MAX, &text, &size, &err), err);
    const es_topology *t = NULL;
    if (es_topology_import(arena, path, ES_TOPOLOGY_AUTO, &t, &err) != ES_OK)
        fail_msg("%s", es_error_text(&err));
    assert_int_equal(t->format, format_by_name(path));
    counts wanted = count_independently(text, t->format);
    if (t->node_count != wanted.nodes || t->edge_count != wanted.edges ||
        t->demand_count != wanted.demands)
        fail_msg("%s: %u nodes, %u edges, %u demands; counted %u, %u, %u", path, t->node_count,
                 t->edge_count, t->demand_count, wanted.nodes, wanted.edges, wanted.demands);
    assert_true(t->node_count > 1);
    check_sound(path, t);
    check_network(arena, path, t);
}

static int keep(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && entry->d_name[0] != '.' && strcmp(entry->d_name, "NOTICE.txt") != 0;
}

static void check_folder(const char *name, int file_count)
{
    const char *root = es_test_data(name);
    if (root == NULL)
        skip();
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", root);
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, keep, alphasort);
    assert_int_equal(count, file_count);
    for (int i = 0; i < count; i++) {
        char path[4400];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        check_file(path);
        free(entries[i]);
    }
    free(entries);
}

static void topology_zoo_imports(void **state)
{
    (void)state;
    check_folder("topologyzoo", 60);
}

static void sndlib_imports(void **state)
{
    (void)state;
    check_folder("sndlib", 15);
}

static void topohub_imports(void **state)
{
    (void)state;
    check_folder("topohub", 14);
}

static void sndlib_demand_matrices_import(void **state)
{
    (void)state;
    const char *path =
        es_test_data("traffic-matrices/demandMatrix-abilene-zhang-5min-20040301-0000.xml");
    if (path == NULL)
        skip();
    es_error err = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    const es_topology *t = NULL;
    assert_ok_err(es_topology_import(arena, path, ES_TOPOLOGY_AUTO, &t, &err), err);
    assert_int_equal(t->node_count, 12);
    assert_int_equal(t->edge_count, 0);
    assert_true(t->demand_count > 100);
    assert_true(t->demands[0].rate_bps > t->demands[0].value * 0.99e6);
}

static const es_topology *import(es_arena *arena, const char *name)
{
    es_error err = {0};
    const es_topology *t = NULL;
    const char *path = es_test_data(name);
    if (path == NULL)
        return NULL;
    assert_ok_err(es_topology_import(arena, path, ES_TOPOLOGY_AUTO, &t, &err), err);
    return t;
}

/* Same nodes, positions, and edges, in the same order. Labels only where both have them. */
static void check_same(const es_topology *a, const es_topology *b)
{
    assert_int_equal(a->node_count, b->node_count);
    assert_int_equal(a->edge_count, b->edge_count);
    assert_int_equal(a->demand_count, b->demand_count);
    assert_int_equal(a->self_loop_count, b->self_loop_count);
    assert_int_equal(a->multi_edge_count, b->multi_edge_count);
    assert_int_equal(a->directed, b->directed);
    for (uint32_t i = 0; i < a->node_count; i++) {
        assert_string_equal(a->nodes[i].id, b->nodes[i].id);
        assert_string_equal(a->nodes[i].label, b->nodes[i].label);
        assert_int_equal(a->nodes[i].has_position, b->nodes[i].has_position);
        assert_true(fabs(a->nodes[i].latitude_deg - b->nodes[i].latitude_deg) < 1e-9);
        assert_true(fabs(a->nodes[i].longitude_deg - b->nodes[i].longitude_deg) < 1e-9);
    }
    double bandwidth_a = 0.0, bandwidth_b = 0.0, demand_a = 0.0, demand_b = 0.0;
    for (uint32_t i = 0; i < a->edge_count; i++) {
        bandwidth_a += a->edges[i].bandwidth_bps;
        bandwidth_b += b->edges[i].bandwidth_bps;
    }
    for (uint32_t i = 0; i < a->demand_count; i++) {
        demand_a += a->demands[i].rate_bps;
        demand_b += b->demands[i].rate_bps;
    }
    assert_true(fabs(bandwidth_a - bandwidth_b) <= 1e-9 * bandwidth_a);
    assert_true(fabs(demand_a - demand_b) <= 1e-9 * demand_a);
}

static void gml_and_graphml_agree(void **state)
{
    (void)state;
    static const char *const names[] = {"Aarnet",    "Abilene",    "Colt",        "Deltacom",
                                        "Geant2012", "Garr201201", "Renater2010", "Kdl",
                                        "Nsfnet",    "Ntt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
        char path[64];
        (void)snprintf(path, sizeof path, "topologyzoo/%s.gml", names[i]);
        const es_topology *gml = import(arena, path);
        (void)snprintf(path, sizeof path, "topologyzoo/%s.graphml", names[i]);
        const es_topology *graphml = import(arena, path);
        if (gml == NULL || graphml == NULL)
            skip();
        assert_string_equal(gml->name, graphml->name);
        check_same(gml, graphml);
    }
}

static void sndlib_text_and_xml_agree(void **state)
{
    (void)state;
    static const char *const names[] = {"abilene", "geant", "polska"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
        char path[64];
        (void)snprintf(path, sizeof path, "sndlib/%s.txt", names[i]);
        const es_topology *text = import(arena, path);
        (void)snprintf(path, sizeof path, "sndlib/%s.xml", names[i]);
        const es_topology *xml = import(arena, path);
        if (text == NULL || xml == NULL)
            skip();
        assert_string_equal(text->name, names[i]);
        check_same(text, xml);
        assert_true(text->edges[0].bandwidth_bps >= 0.0);
    }
}

/* Lengths that topohub computed from the same coordinates agree with ours. */
static void distances_agree_with_topohub(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    const es_topology *t = import(arena, "topohub/sndlib_germany50.json");
    if (t == NULL)
        skip();
    for (uint32_t i = 0; i < t->edge_count; i++) {
        const es_topology_node *a = &t->nodes[t->edges[i].a], *b = &t->nodes[t->edges[i].b];
        double km =
            es_distance_km(a->latitude_deg, a->longitude_deg, b->latitude_deg, b->longitude_deg);
        assert_true(t->edges[i].has_length);
        if (fabs(km - t->edges[i].length_km) > 0.02 * km + 1.0)
            fail_msg("%s to %s: %g km, the file says %g", a->label, b->label, km,
                     t->edges[i].length_km);
    }
}

static void drawings_have_no_positions(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    const es_topology *plane = import(arena, "topohub/gabriel_10_0.json");
    const es_topology *pixels = import(arena, "sndlib/di-yuan.txt");
    const es_topology *globe = import(arena, "sndlib/germany50.txt");
    if (plane == NULL || pixels == NULL || globe == NULL)
        skip();
    assert_false(plane->positions_are_degrees);
    assert_false(plane->nodes[0].has_position);
    assert_true(plane->edges[0].has_length);
    assert_false(pixels->positions_are_degrees);
    assert_false(pixels->nodes[3].has_position);
    assert_true(globe->positions_are_degrees);
    assert_true(globe->nodes[0].has_position);
}

/* Cut at every fiftieth: refused with a place, or (SNDlib text between sections) taken as it is. */
static void cut_real_files_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"topologyzoo/Abilene.gml", "topologyzoo/Abilene.graphml",
                                        "sndlib/abilene.txt", "sndlib/abilene.xml",
                                        "topohub/topozoo_Abilene.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
        const char *path = es_test_data(names[i]);
        if (path == NULL)
            skip();
        es_error err = {0};
        char *text = NULL;
        size_t size = 0;
        assert_ok_err(es_file_read(arena, path, ES_TOPOLOGY_BYTES_MAX, &text, &size, &err), err);
        es_topology_format format = format_by_name(names[i]);
        for (size_t part = 0; part < 50; part++) {
            const es_topology *t = NULL;
            es_status status =
                es_topology_parse(arena, "cut", text, size * part / 50, format, &t, &err);
            if (status == ES_OK && format == ES_TOPOLOGY_SNDLIB)
                continue;
            if (status != ES_ERR_PARSE || strstr(es_error_text(&err), "cut:") == NULL)
                fail_msg("%s cut at %zu/50: %s", names[i], part, es_error_text(&err));
            assert_null(t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topology_zoo_imports),
        cmocka_unit_test(sndlib_imports),
        cmocka_unit_test(topohub_imports),
        cmocka_unit_test(sndlib_demand_matrices_import),
        cmocka_unit_test(gml_and_graphml_agree),
        cmocka_unit_test(sndlib_text_and_xml_agree),
        cmocka_unit_test(distances_agree_with_topohub),
        cmocka_unit_test(cut_real_files_are_refused),
        cmocka_unit_test(drawings_have_no_positions),
    };
    return cmocka_run_group_tests_name("topology_data", tests, NULL, NULL);
}
