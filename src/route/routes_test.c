/* Documents of routes, peers and clusters: read, refused, written, made from a plan. */
#include "base/file.h"
#include "es_test.h"
#include "routes.h"

#include <math.h>

static es_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)256 << 20);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

/* clang-format off: documents read better as they are */
#define HEAD "{\"format\": \"estran-routes\", \"version\": 1, \"generation\": 3, \"plan\": \"p\",\n"
#define PEERS                                                                                      \
    "\"peers\": [{\"name\": \"hall\", \"url\": \"http://127.0.0.1:8001\"},"                        \
    "{\"name\": \"cloud\", \"url\": \"https://[::1]:8002\", \"token\": \"t0\","                    \
    " \"latency_ms\": 18.3, \"bandwidth_bps\": 5e7}],\n"
#define FIGURES                                                                                    \
    "\"latency_ms\": 12.3, \"quality\": 0.95, \"energy_j\": 0.01, \"carbon_gco2e\": 1e-6}"
#define SMALL                                                                                      \
    "{\"share\": 0.75, \"route\": \"hall/small;exit=0.8, cloud/large;input=request\"," FIGURES
#define LARGE "{\"share\": 0.2, \"route\": \"cloud/large\", \"latency_ms_p95\": 40.1," FIGURES
#define CLASS(entry)                                                                               \
    "{\"task\": \"look\", \"entry\": \"" entry "\", \"deadline_ms\": 80,"                          \
    " \"refused_share\": 0.05, \"options\": [" SMALL "," LARGE "]}"
#define TASKS                                                                                      \
    "\"tasks\": [{\"name\": \"look\", \"inputs\": [{\"name\": \"x\", \"datatype\": \"FP32\","      \
    " \"shape\": [-1, 512]}], \"outputs\": [{\"name\": \"y\", \"datatype\": \"FP32\","             \
    " \"shape\": [-1, 6]}]}],\n"
#define NONE "{\"task\": \"hear\", \"entry\": \"hall\", \"refused_share\": 1, \"options\": []}"
/* clang-format on */

static const char GOOD[] =
    HEAD PEERS TASKS "\"classes\": [" CLASS("hall") "," CLASS("s-1") "," NONE "]}";

static es_status parse(const char *text, const es_serve_routes **out, es_error *err)
{
    return es_serve_routes_parse(arena, "r.json", text, strlen(text), out, err);
}

static void reads_routes(void **state)
{
    (void)state;
    const es_serve_routes *routes = NULL;
    es_error err = {0};
    assert_ok_err(parse(GOOD, &routes, &err), err);
    assert_int_equal(routes->generation, 3);
    assert_string_equal(routes->plan, "p");
    assert_int_equal(routes->peer_count, 2);
    assert_null(routes->peers[0].token);
    assert_true(isinf(routes->peers[0].bandwidth_bps));
    assert_string_equal(routes->peers[1].token, "t0");
    assert_true(fabs(routes->peers[1].latency_s - 0.0183) < 1e-12);
    assert_int_equal(routes->class_count, 3);
    const es_serve_class *class = &routes->classes[1];
    assert_string_equal(class->task, "look");
    assert_string_equal(class->entry, "s-1");
    assert_true(fabs(class->deadline_s - 0.08) < 1e-12);
    assert_int_equal(class->option_count, 2);
    assert_int_equal(class->options[0].peer, 0);
    assert_int_equal(class->options[0].stage_count, 2);
    assert_true(isnan(class->options[0].latency_s_p95));
    assert_int_equal(class->options[1].peer, 1);
    assert_true(fabs(class->options[1].latency_s_p95 - 0.0401) < 1e-12);
    assert_true(class->options[1].carbon_gco2e == 1e-6);
    assert_true(isinf(routes->classes[2].deadline_s));
    assert_true(routes->classes[2].refused_share == 1);
    assert_int_equal(routes->task_count, 1);
    assert_string_equal(routes->tasks[0].inputs[0].name, "x");
    assert_int_equal(routes->tasks[0].inputs[0].dims[0], -1);
    assert_int_equal(routes->tasks[0].outputs[0].dims[1], 6);
    assert_int_equal(routes->tasks[0].outputs[0].dtype, ES_DTYPE_F32);
}

static void assert_same_bytes(const es_serve_routes *routes)
{
    es_text first;
    es_text second;
    const es_serve_routes *again = NULL;
    es_error err = {0};
    es_text_init(&first, (size_t)1 << 26);
    es_text_init(&second, (size_t)1 << 26);
    es_serve_routes_write(routes, true, &first);
    assert_ok_err(parse(es_text_get(&first), &again, &err), err);
    es_serve_routes_write(again, true, &second);
    assert_string_equal(es_text_get(&first), es_text_get(&second));
    es_text_done(&first);
    es_text_done(&second);
}

static void writes_the_same_again(void **state)
{
    (void)state;
    const es_serve_routes *routes = NULL;
    es_error err = {0};
    assert_ok_err(parse(GOOD, &routes, &err), err);
    assert_same_bytes(routes);
    es_text shown;
    es_text_init(&shown, 1 << 16);
    es_serve_routes_write(routes, false, &shown);
    assert_null(strstr(es_text_get(&shown), "t0"));
    assert_non_null(strstr(es_text_get(&shown), "\"latency_ms\": 18.3,"));
    es_text_done(&shown);
}

static void refuses_bad_routes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {"", "r.json"},
        {"[]", "r.json:1:1"},
        {"{\"format\": \"estran-plan\", \"version\": 1}", "r.json:1:12: format"},
        {HEAD "\"peers\": [], \"classes\": [], \"colour\": 1}", "unknown key 'colour'"},
        {"{\"format\": \"estran-routes\", \"version\": 1, \"generation\": 0, \"plan\": \"p\", "
         "\"peers\": [], \"classes\": []}",
         "generation"},
        {HEAD "\"peers\": [{\"name\": \"a\", \"url\": \"ftp://a:1\"}], \"classes\": []}",
         "r.json:2:32: peers[0].url: url 'ftp://a:1' must be http://HOST:PORT"},
        {HEAD "\"peers\": [{\"name\": \"a\", \"url\": \"http://a:1/x\"}], \"classes\": []}",
         "must be http://HOST:PORT"},
        {HEAD "\"peers\": [{\"name\": \"a\", \"url\": \"http://u@a:1\"}], \"classes\": []}",
         "must be http://HOST:PORT"},
        {HEAD "\"peers\": [{\"name\": \"\", \"url\": \"http://a:1\"}], \"classes\": []}",
         "peers[0].name: must have 1 to 255 bytes"},
        {HEAD "\"peers\": [{\"name\": \"a\\u0007\", \"url\": \"http://a:1\"}], \"classes\": []}",
         "must not hold control characters"},
        {HEAD "\"peers\": [{\"name\": \"a\", \"url\": \"http://a:1\", \"token\": \"a b\"}], "
              "\"classes\": []}",
         "printing characters without spaces"},
        {HEAD "\"peers\": [{\"name\": \"a\", \"url\": \"http://a:1\"}, {\"name\": \"a\", \"url\": "
              "\"http://b:1\"}], \"classes\": []}",
         "peers[1].name: peer 'a' stands twice"},
        {HEAD PEERS "\"tasks\": [{\"name\": \"t\", \"inputs\": [{\"name\": \"x\", \"datatype\": "
                    "\"FP33\", \"shape\": []}]}], \"classes\": []}",
         "tasks[0].inputs[0].datatype: datatype 'FP33' is not in the protocol"},
        {HEAD PEERS "\"tasks\": [{\"name\": \"t\", \"inputs\": [], \"outputs\": []}, {\"name\": "
                    "\"t\", \"inputs\": [], \"outputs\": []}], \"classes\": []}",
         "tasks[1].name: task 't' stands twice"},
        {HEAD PEERS "\"classes\": [" CLASS("hall") "," CLASS("hall") "]}",
         "classes[1]: task 'look' at 'hall' stands twice"},
        {HEAD PEERS "\"classes\": [{\"task\": \"look\", \"entry\": \"hall\", \"options\": "
                    "[" SMALL "]}]}",
         "shares of task 'look' at 'hall' with what is refused add up to 0.75, must be 1"},
        {HEAD PEERS "\"classes\": [{\"task\": \"look\", \"entry\": \"hall\", \"options\": "
                    "[{\"share\": 0}]}]}",
         "share=0 must be > 0"},
        {HEAD PEERS "\"classes\": [{\"task\": \"look\", \"entry\": \"hall\", \"options\": "
                    "[{\"share\": 1, \"route\": \"hall\"}]}]}",
         "classes[0].options[0].route: Estran-Route: at 5: expected NODE/MODEL"},
        {HEAD PEERS "\"classes\": [{\"task\": \"look\", \"entry\": \"hall\", \"options\": "
                    "[{\"share\": 1, \"route\": \"edge/x\"}]}]}",
         "its first node 'edge' must be one of the peers"},
        {HEAD PEERS "\"classes\": [{\"task\": \"look\", \"entry\": \"hall\", \"options\": "
                    "[{\"share\": 1, \"route\": \"hall/x\", \"latency_ms\": -1}]}]}",
         "latency_ms"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const es_serve_routes *routes = NULL;
        es_error err = {0};
        assert_fails(parse(bad[i].text, &routes, &err), ES_ERR_PARSE, err, bad[i].words);
        assert_null(routes);
    }
}

static void peers_alone(void **state)
{
    (void)state;
    static const char TEXT[] = "{\"peers\": [{\"name\": \"b\", \"url\": \"http://b:80\"}]}";
    const es_serve_peer *peers = NULL;
    size_t count = 0;
    es_error err = {0};
    assert_ok_err(es_serve_peers_parse(arena, "p", TEXT, strlen(TEXT), &peers, &count, &err), err);
    assert_int_equal(count, 1);
    assert_string_equal(peers[0].url, "http://b:80");
    es_text text;
    es_text_init(&text, 1 << 12);
    es_serve_peers_write(peers, count, true, &text);
    assert_string_equal(es_text_get(&text), "{\n  \"peers\": [\n    {\n      \"name\": \"b\",\n"
                                            "      \"url\": \"http://b:80\"\n    }\n  ]\n}\n");
    assert_fails(es_serve_peers_parse(arena, "p", "{\"peer\": []}", 12, &peers, &count, &err),
                 ES_ERR_PARSE, err, "did you mean 'peers'?");
    es_text_done(&text);
}

/* ---- cluster and what is made of a plan ---- */

static const es_scenario *first_run(void)
{
    const es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_scenario_load(arena, ES_TEST_SOURCE_DIR "/examples/01-first-run/scenario.yaml",
                                   &scenario, &err),
                  err);
    return scenario;
}

static const char CLUSTER[] =
    "format: estran-cluster\nversion: 1\nnodes:\n"
    "  - {name: sensor-1, url: 'http://127.0.0.1:9001'}\n"
    "  - {name: sensor-2, url: 'http://127.0.0.1:9002'}\n"
    "  - {name: sensor-3, url: 'http://127.0.0.1:9003'}\n"
    "  - {name: hall, url: 'http://127.0.0.1:9004'}\n"
    "  - {name: cloud, url: 'http://127.0.0.1:9005'}\n"
    "gateways:\n  - {name: g-1, url: 'http://127.0.0.1:9101', entry: sensor-1}\n"
    "  - {name: all, url: 'http://127.0.0.1:9102'}\n"
    "controller: {url: 'http://127.0.0.1:9201'}\n";

static const es_cluster *cluster_of(const es_scenario *scenario)
{
    const es_cluster *cluster = NULL;
    es_error err = {0};
    assert_ok_err(es_cluster_parse(arena, "c.yaml", "", CLUSTER, strlen(CLUSTER), false, scenario,
                                   &cluster, &err),
                  err);
    return cluster;
}

static void reads_a_cluster(void **state)
{
    (void)state;
    const es_cluster *cluster = cluster_of(first_run());
    assert_int_equal(cluster->node_count, 5);
    assert_int_equal(cluster->gateway_count, 2);
    assert_string_equal(es_cluster_gateway(cluster, "g-1")->entry, "sensor-1");
    assert_null(es_cluster_gateway(cluster, "all")->entry);
    assert_null(es_cluster_gateway(cluster, "g-2"));
    assert_string_equal(es_cluster_node(cluster, "hall")->url, "http://127.0.0.1:9004");
    assert_string_equal(cluster->controller->url, "http://127.0.0.1:9201");
}

static void tokens_come_from_files(void **state)
{
    (void)state;
    static const char TEXT[] = "format: estran-cluster\nversion: 1\nnodes:\n  - {name: a, url: "
                               "'http://a:1', token_file: routes_test.token, ca_file: ca.pem}\n";
    const es_cluster *cluster = NULL;
    es_error err = {0};
    const char *path = ES_TEST_BINARY_DIR "/routes_test.token";
    assert_ok_err(es_file_write(path, "secret\n", 7, &err), err);
    assert_ok_err(es_cluster_parse(arena, "c", ES_TEST_BINARY_DIR, TEXT, strlen(TEXT), false, NULL,
                                   &cluster, &err),
                  err);
    assert_string_equal(cluster->nodes[0].token, "secret");
    assert_string_equal(cluster->nodes[0].ca_file, ES_TEST_BINARY_DIR "/ca.pem");
    assert_ok_err(es_file_write(path, "two words\n", 10, &err), err);
    assert_fails(es_cluster_parse(arena, "c", ES_TEST_BINARY_DIR, TEXT, strlen(TEXT), false, NULL,
                                  &cluster, &err),
                 ES_ERR_PARSE, err, "must hold one line");
    (void)unlink(path); /* left behind, it would only be clutter */
    assert_fails(es_cluster_parse(arena, "c", ES_TEST_BINARY_DIR, TEXT, strlen(TEXT), false, NULL,
                                  &cluster, &err),
                 ES_ERR_PARSE, err, "nodes[0].token_file: cannot open");
}

static void refuses_bad_clusters(void **state)
{
    (void)state;
#define C "format: estran-cluster\nversion: 1\n"
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {C, "missing key 'nodes'"},
        {C "nodes: [{name: hall, url: 'http://a:1', port: 3}]", "unknown key 'port'"},
        {C "nodes: [{name: hal, url: 'http://a:1'}]",
         "c:3:16: nodes[0].name: node 'hal' is not in scenario 'first-run'; did you mean 'hall'?"},
        {C "nodes: [{name: hall, url: 'http://a:1'}, {name: hall, url: 'http://b:1'}]",
         "nodes[1].name: 'hall' stands twice"},
        {C "nodes: []\ngateways: [{name: g, url: 'http://a:1', entry: moon}]",
         "gateways[0].entry: node 'moon' is not in scenario"},
        {C "nodes: []\ncontroller: {name: c}", "controller: unknown key 'name'"},
    };
#undef C
    const es_scenario *scenario = first_run();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const es_cluster *cluster = NULL;
        es_error err = {0};
        assert_fails(es_cluster_parse(arena, "c", "", bad[i].text, strlen(bad[i].text), false,
                                      scenario, &cluster, &err),
                     ES_ERR_PARSE, err, bad[i].words);
        assert_null(cluster);
    }
}

static const es_plan *plan_of(const es_scenario *scenario)
{
    const es_plan *plan = NULL;
    es_error err = {0};
    assert_ok_err(es_plan_solve(arena, scenario, es_plan_opts_default(), &plan, &err), err);
    return plan;
}

static void makes_routes_of_a_plan(void **state)
{
    (void)state;
    const es_scenario *scenario = first_run();
    const es_plan *plan = plan_of(scenario);
    const es_cluster *cluster = cluster_of(scenario);
    const es_serve_routes *routes = NULL;
    es_error err = {0};
    es_serve_make_opts opts = es_serve_make_opts_default();
    assert_ok_err(es_serve_routes_make(arena, scenario, plan, cluster, opts, &routes, &err), err);
    assert_int_equal(routes->class_count, 3);
    assert_same_bytes(routes);
    assert_int_equal(routes->task_count, 0);
    opts.models = true;
    opts.entry = "sensor-1";
    opts.generation = 7;
    opts.emulate = true;
    assert_ok_err(es_serve_routes_make(arena, scenario, plan, cluster, opts, &routes, &err), err);
    assert_int_equal(routes->generation, 7);
    assert_int_equal(routes->class_count, 1);
    assert_string_equal(routes->classes[0].entry, "sensor-1");
    assert_true(fabs(routes->classes[0].deadline_s - 0.08) < 1e-12);
    double sum = routes->classes[0].refused_share;
    for (size_t i = 0; i < routes->classes[0].option_count; i++) {
        es_serve_route route;
        assert_ok_err(
            es_serve_route_decode(arena, routes->classes[0].options[i].route, &route, &err), err);
        sum += routes->classes[0].options[i].share;
        assert_string_equal(route.stages[0].node,
                            routes->peers[routes->classes[0].options[i].peer].name);
    }
    assert_true(fabs(sum - 1) < 1e-6);
    assert_int_equal(routes->task_count, 1);
    assert_string_equal(routes->tasks[0].name, "condition");
    assert_int_equal(routes->tasks[0].input_count, 1);
    assert_int_equal(routes->tasks[0].inputs[0].dtype, ES_DTYPE_F32);
    assert_int_equal(routes->tasks[0].outputs[0].dims[routes->tasks[0].outputs[0].rank - 1], 6);
    assert_same_bytes(routes);
}

/* A cascade sensor-1 -> hall -> cloud by hand: names, exits, inputs, and links to emulate. */
static void follows_stages_and_links(void **state)
{
    (void)state;
    const es_scenario *scenario = first_run();
    es_pipeline_id cascade = es_scenario_pipeline_find(scenario, "small+large");
    es_node_id sensor = es_network_node_find(scenario->network, "sensor-1");
    es_node_id hall = es_network_node_find(scenario->network, "hall");
    const es_routing routing = {
        .class_id = {0}, .pipeline = cascade, .nodes = {sensor, hall}, .share = 1};
    const double p95_s = 0.02;
    const double refused[3] = {0, 1, 1};
    const es_plan plan = {.quality = ES_PLAN_FEASIBLE,
                          .routing_count = 1,
                          .routings = &routing,
                          .refused_share = refused};
    const es_cluster *cluster = cluster_of(scenario);
    const es_serve_routes *routes = NULL;
    const es_serve_peer *peers = NULL;
    size_t count = 9;
    es_error err = {0};
    es_serve_make_opts opts = es_serve_make_opts_default();
    opts.latency_s_p95 = &p95_s;
    opts.emulate = true;
    assert_ok_err(es_serve_routes_make(arena, scenario, &plan, cluster, opts, &routes, &err), err);
    assert_int_equal(routes->peer_count, 1);
    assert_string_equal(routes->peers[0].name, "sensor-1");
    es_serve_route route;
    assert_ok_err(es_serve_route_decode(arena, routes->classes[0].options[0].route, &route, &err),
                  err);
    assert_int_equal(route.stage_count, 2);
    assert_string_equal(route.stages[0].model, "small");
    assert_true(route.stages[0].exit ==
                scenario->pipelines[cascade.index].stages[0].exit_threshold);
    assert_string_equal(route.stages[1].node, "hall");
    assert_string_equal(route.stages[1].model, "large");
    assert_true(strstr(routes->classes[0].options[0].route, ";input=request") != NULL);
    assert_true(routes->classes[0].options[0].latency_s_p95 == p95_s);
    assert_int_equal(routes->classes[1].option_count, 0);
    assert_ok_err(
        es_serve_peers_make(arena, scenario, &plan, cluster, sensor, opts, &peers, &count, &err),
        err);
    assert_int_equal(count, 1);
    assert_string_equal(peers[0].name, "hall");
    assert_true(fabs(peers[0].latency_s - 3e-3) < 1e-12);
    assert_true(fabs(peers[0].bandwidth_bps - 4e6) < 1);
    assert_ok_err(
        es_serve_peers_make(arena, scenario, &plan, cluster, hall, opts, &peers, &count, &err),
        err);
    assert_int_equal(count, 0);
}

/* sensor-1 to the cloud goes by the hall: 3 + 18 ms, 4 Mbit/s before 50; a peer says so and reads
 * back as it was written. */
static void ways_of_several_links_are_one_link(void **state)
{
    (void)state;
    const es_scenario *scenario = first_run();
    es_node_id sensor = es_network_node_find(scenario->network, "sensor-1");
    es_node_id cloud = es_network_node_find(scenario->network, "cloud");
    es_serve_peer peer = {.name = "cloud", .url = "http://127.0.0.1:1", .one_way = true};
    const es_serve_peer *read = NULL;
    size_t count = 0;
    es_error err = {0};
    es_text text;
    assert_true(es_serve_peer_link(scenario, sensor, cloud, &peer));
    assert_true(fabs(peer.latency_s - 21e-3) < 1e-12);
    assert_true(fabs(peer.bandwidth_bps - 4e6) < 1e-3);
    assert_true(fabs(peer.relay_s_per_bit - 1 / 50e6) < 1e-18);
    es_text_init(&text, 4096);
    es_serve_peers_write(&peer, 1, true, &text);
    assert_ok_err(
        es_serve_peers_parse(arena, "p", es_text_get(&text), text.size, &read, &count, &err), err);
    es_text_done(&text);
    assert_int_equal(count, 1);
    assert_true(read[0].one_way && read[0].latency_s == peer.latency_s &&
                read[0].bandwidth_bps == peer.bandwidth_bps &&
                read[0].relay_s_per_bit == peer.relay_s_per_bit);
    assert_true(es_serve_peer_link(scenario, sensor, sensor, &peer));
    assert_true(peer.latency_s == 0 && isinf(peer.bandwidth_bps) && peer.relay_s_per_bit == 0);
}

static void says_what_the_cluster_lacks(void **state)
{
    (void)state;
    const es_scenario *scenario = first_run();
    const es_plan *plan = plan_of(scenario);
    const es_cluster empty = {.file = "c.yaml"};
    const es_serve_routes *routes = NULL;
    es_error err = {0};
    es_serve_make_opts opts = es_serve_make_opts_default();
    assert_fails(es_serve_routes_make(arena, scenario, plan, &empty, opts, &routes, &err),
                 ES_ERR_ARG, err, "which is not in cluster 'c.yaml'");
    opts.entry = "moon";
    assert_fails(es_serve_routes_make(arena, scenario, plan, &empty, opts, &routes, &err),
                 ES_ERR_ARG, err, "entry 'moon' must be a node of scenario 'first-run'");
    const es_plan none = {.quality = ES_PLAN_INFEASIBLE};
    assert_fails(es_serve_routes_make(arena, scenario, &none, &empty, es_serve_make_opts_default(),
                                      &routes, &err),
                 ES_ERR_ARG, err, "the plan is infeasible");
    assert_null(routes);
}

/* Memory that runs out anywhere is an error, never a crash. */
static void survives_small_arenas(void **state)
{
    (void)state;
    bool done = false;
    for (size_t cap = 64; cap < ((size_t)1 << 20) && !done; cap += cap / 8) {
        es_arena *small = es_arena_new(cap);
        const es_serve_routes *routes = NULL;
        es_status status =
            es_serve_routes_parse(small, "r.json", GOOD, strlen(GOOD), &routes, NULL);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        done = status == ES_OK;
        es_arena_free(small);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_routes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_the_same_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_routes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(peers_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_a_cluster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_come_from_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_clusters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(makes_routes_of_a_plan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follows_stages_and_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ways_of_several_links_are_one_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_the_cluster_lacks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_small_arenas, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
