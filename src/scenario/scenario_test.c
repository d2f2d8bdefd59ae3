/* A full document, read value by value; defaults; host times. */
#include "es_test.h"
#include "scenario/scenario.h"

#include <math.h>

static const char full[] =
    "format: estran-scenario\n"
    "version: 1\n"
    "name: full\n"
    "description: every key once\n"
    "seed: 42\n"
    "slots: {length_s: 5, count: 4}\n"
    "kinds:\n"
    "  - {name: phone, slowdown: 20, processors: 2, memory_mb: 64, idle_w: 0.5, busy_w: 3}\n"
    "  - {name: server, macs_per_s: 1.0e9, processors: 8, utilisation_max: 0.7,\n"
    "     memory_bytes: 1000000000, idle_w: 100, busy_w: 300}\n"
    "nodes:\n"
    "  - {name: phone-1, tier: device, kind: phone, memory_mb: 8, utilisation_max: 0.5,\n"
    "     carbon_gco2e_per_kwh: 56, carbon_zone: FR, latitude_deg: 48.1, longitude_deg: -1.7}\n"
    "  - {name: phone-2, tier: device, kind: phone, busy_w: 4.5}\n"
    "  - {name: phone-3, tier: device, kind: phone, busy_w: 4.5}\n"
    "  - {name: router, tier: network, processors: 0}\n"
    "  - {name: dc, tier: cloud, kind: server, carbon_gco2e_per_kwh: 300}\n"
    "links:\n"
    "  - {between: [phone-1, router], latency_ms: 4, bandwidth_mbps: 20, energy_nj_per_bit: 20,\n"
    "     availability: 0.99}\n"
    "  - {between: [phone-2, router]}\n"
    "  - {between: [phone-3, router]}\n"
    "  - {from: router, to: dc, latency_ms: 10, bandwidth_mbps: 100}\n"
    "  - {from: dc, to: router, latency_ms: 12, bandwidth_mbps: 1000}\n"
    "routes: {latency_weight: 1, energy_weight: 0.5, reference_bytes: 4096}\n"
    "tasks:\n"
    "  - {name: vibration, input_bytes: 4096, output_bytes: 16, deadline_ms: 100,\n"
    "     quality_min: 0.9, quality_min_each: 0.85}\n"
    "  - {name: sound, input_bytes: 100, output_bytes: 4, samples: s.f32, labels: /l.u8}\n"
    "segments:\n"
    "  - {name: tiny, file: models/tiny.onnx, memory_mb: 0.1, output_bytes: 16,\n"
    "     work_macs: 12000, hosting_cost_per_s: 0.25,\n"
    "     on: [{kind: host, time_ms: 0.05}, {kind: server, time_ms: 2, energy_mj: 5}]}\n"
    "  - {name: big-head, variant: big, memory_bytes: 4000, output_bytes: 512,\n"
    "     on: [{kind: phone, time_ms: 3}]}\n"
    "  - {name: big-tail, variant: big, memory_mb: 1, work_macs: 5000000}\n"
    "  - {name: ear, memory_mb: 1, work_macs: 1000}\n"
    "pipelines:\n"
    "  - {name: ear, task: sound, quality: 0.5, stages: [{segment: ear}]}\n"
    "  - {name: tiny, task: vibration, quality: 0.91, stages: [{segment: tiny}]}\n"
    "  - {name: split, task: vibration, quality: 0.97,\n"
    "     stages: [{segment: big-head}, {segment: big-tail}]}\n"
    "  - {name: cascade, task: vibration, quality: 0.965,\n"
    "     stages: [{segment: tiny, exit_threshold: 0.9, exit_output: 1},\n"
    "              {segment: big-tail, reach: 0.3, input: request}]}\n"
    "demand:\n"
    "  - {task: vibration, at: phone-1, rate_rps: 20, arrivals: constant, deadline_ms: 50,\n"
    "     quality_min: 0.8, quality_min_each: 0.3}\n"
    "  - {task: vibration, at: [phone-2], rate_rps: 2}\n"
    "  - {task: sound, at: {tier: device}, rate_rps: 0.5}\n"
    "objective: {latency_per_s: 2, quality: 0.5, energy_per_j: 0.1, carbon_per_g: 3,\n"
    "            idle_per_j: 0.01, refusal_cost: 7}\n"
    "constraints: {replicas_min: 2, unsplittable: true, hosts_max: 5, energy_budget_w: 40,\n"
    "              carbon_budget_g_per_s: 0.5}\n";

typedef struct fixture {
    es_arena *arena;
    const es_scenario *scenario;
} fixture;

static const es_scenario *parse(es_arena *arena, const char *bytes)
{
    const es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_scenario_parse(arena, "full.yaml", "folder", bytes, strlen(bytes), false,
                                    &scenario, &err),
                  err);
    return scenario;
}

static int set_up(void **state)
{
    static fixture here;
    here.arena = es_arena_new((size_t)16 << 20);
    here.scenario = parse(here.arena, full);
    *state = &here;
    return 0;
}

static int tear_down(void **state)
{
    es_arena_free(((fixture *)*state)->arena);
    return 0;
}

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-12 * (1 + fabs(b)));
}

static void test_head(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    assert_string_equal(s->file, "full.yaml");
    assert_string_equal(s->name, "full");
    assert_string_equal(s->description, "every key once");
    assert_int_equal(s->seed, 42);
    assert_near(s->slot_s, 5);
    assert_int_equal(s->slot_count, 4);
    assert_int_equal(s->replicas_min, 2);
    assert_true(s->unsplittable);
    assert_int_equal(s->hosts_max, 5);
    assert_near(s->energy_w_max, 40);
    assert_near(s->carbon_g_per_s_max, 0.5);
    assert_near(s->objective.latency_per_s, 2);
    assert_near(s->objective.quality, 0.5);
    assert_near(s->objective.energy_per_j, 0.1);
    assert_near(s->objective.carbon_per_g, 3);
    assert_near(s->objective.idle_per_j, 0.01);
    assert_near(s->objective.refusal_cost, 7);
}

static void test_nodes(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    assert_int_equal(es_network_node_count(s->network), 5);
    const es_node *phone = es_network_node(s->network, (es_node_id){0});
    assert_string_equal(phone->name, "phone-1");
    assert_int_equal(phone->tier, ES_TIER_DEVICE);
    assert_string_equal(phone->kind, "phone");
    assert_near(phone->processors, 2);
    assert_near(phone->utilisation_max, 0.5);
    assert_near(phone->memory_bytes, 8e6);
    assert_near(phone->idle_w, 0.5);
    assert_near(phone->busy_w, 3);
    assert_near(phone->slowdown, 20);
    assert_string_equal(phone->carbon_zone, "FR");
    assert_near(phone->carbon_gco2e_per_kwh, 56);
    assert_true(phone->has_position);
    assert_near(phone->latitude_deg, 48.1);
    assert_near(phone->longitude_deg, -1.7);
    const es_node *second = es_network_node(s->network, (es_node_id){1});
    assert_near(second->memory_bytes, 64e6);
    assert_near(second->utilisation_max, 0.8);
    assert_near(second->busy_w, 4.5);
    assert_false(second->has_position);
    const es_node *server = es_network_node(s->network, (es_node_id){4});
    assert_near(server->utilisation_max, 0.7);
    assert_near(server->memory_bytes, 1e9);
    assert_near(server->slowdown, 1);
}

static void test_links_and_routes(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    assert_int_equal(es_network_link_count(s->network), 5);
    const es_link *link = es_network_link(s->network, (es_link_id){0});
    assert_near(link->latency_s, 4e-3);
    assert_near(link->bandwidth_bps, 20e6);
    assert_near(link->energy_j_per_bit, 20e-9);
    assert_near(link->availability, 0.99);
    assert_false(link->directed);
    assert_near(es_network_link(s->network, (es_link_id){1})->bandwidth_bps, 1e9);
    assert_true(es_network_link(s->network, (es_link_id){3})->directed);
    es_route route;
    assert_true(es_routes_get(s->routes, (es_node_id){0}, (es_node_id){4}, &route));
    assert_near(route.latency_s, 14e-3);
    assert_true(es_routes_get(s->routes, (es_node_id){4}, (es_node_id){0}, &route));
    assert_near(route.latency_s, 16e-3);
}

/* Nodes that differ from their kind in watts share one kind of their own; so does the router. */
static void test_kinds(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    assert_int_equal(s->kind_count, 4);
    assert_string_equal(s->kinds[0].name, "phone");
    assert_string_equal(s->kinds[1].name, "server");
    assert_string_equal(s->kinds[2].name, "phone@phone-2");
    assert_string_equal(s->kinds[3].name, "@router");
    const uint32_t wanted[] = {0, 2, 2, 3, 1};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(s->node_kinds[i], wanted[i]);
    assert_near(s->kinds[0].server_w, 1.25);
    assert_near(s->kinds[2].server_w, 2);
}

static void test_services(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    const es_segment_id tiny = es_scenario_segment_find(s, "tiny");
    const es_segment_id head = es_scenario_segment_find(s, "big-head");
    const es_segment_id tail = es_scenario_segment_find(s, "big-tail");
    const es_node_id phone = {0}, second = {1}, router = {3}, server = {4};
    es_service service = es_scenario_service(s, tiny, phone); /* host x slowdown */
    assert_near(service.time_s, 0.05e-3 * 20);
    assert_near(service.energy_j, 1e-3 * 1.25);
    service = es_scenario_service(s, tiny, second); /* the same time, its own watts */
    assert_near(service.time_s, 1e-3);
    assert_near(service.energy_j, 2e-3);
    service = es_scenario_service(s, tiny, server); /* measured */
    assert_near(service.time_s, 2e-3);
    assert_near(service.energy_j, 5e-3);
    service = es_scenario_service(s, head, second); /* measured on the base kind */
    assert_near(service.time_s, 3e-3);
    assert_near(service.energy_j, 6e-3);
    service = es_scenario_service(s, tail, server); /* work over speed */
    assert_near(service.time_s, 5e-3);
    assert_near(service.energy_j, 5e-3 * 25);
    assert_true(isinf(es_scenario_service(s, head, server).time_s));
    assert_true(isinf(es_scenario_service(s, tail, phone).time_s));
    assert_true(isinf(es_scenario_service(s, tiny, router).time_s));
}

static void test_catalogue(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    assert_int_equal(s->task_count, 2);
    assert_near(s->tasks[0].input_bytes, 4096);
    assert_near(s->tasks[0].output_bytes, 16);
    assert_near(s->tasks[0].deadline_s, 0.1);
    assert_near(s->tasks[0].quality_min, 0.9);
    assert_true(isinf(s->tasks[1].deadline_s));
    assert_near(s->tasks[1].quality_min, 0);
    assert_null(s->tasks[0].samples_file);
    assert_null(s->tasks[0].labels_file);
    assert_string_equal(s->tasks[1].samples_file, "folder/s.f32");
    assert_string_equal(s->tasks[1].labels_file, "/l.u8");

    assert_int_equal(s->segment_count, 4);
    assert_string_equal(s->segments[0].variant, "tiny");
    assert_string_equal(s->segments[0].file, "folder/models/tiny.onnx");
    assert_near(s->segments[0].memory_bytes, 1e5);
    assert_near(s->segments[0].hosting_per_s, 0.25);
    assert_near(s->segments[0].work_macs, 12000);
    assert_string_equal(s->segments[1].variant, "big");
    assert_null(s->segments[1].file);
    assert_near(s->segments[1].memory_bytes, 4000);
    assert_near(s->segments[2].output_bytes, 16); /* the task's */
}

/* Grouped by task in the order of tasks, and within a task in the order of the document. */
static void test_pipelines(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    const char *const wanted[] = {"tiny", "split", "cascade", "ear"};
    assert_int_equal(s->pipeline_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(s->pipelines[i].name, wanted[i]);
    assert_int_equal(s->task_pipelines[0], 0);
    assert_int_equal(s->task_pipelines[1], 3);
    assert_int_equal(s->task_pipelines[2], 4);
    assert_int_equal(es_scenario_pipeline_find(s, "cascade").index, 2);
    assert_int_equal(es_scenario_pipeline_find(s, "none").index, ES_INDEX_NONE);
    assert_int_equal(es_scenario_task_find(s, "sound").index, 1);
    assert_int_equal(es_scenario_task_find(s, "").index, ES_INDEX_NONE);
    assert_int_equal(es_scenario_segment_find(s, "none").index, ES_INDEX_NONE);

    const es_stage *split = s->pipelines[1].stages;
    assert_int_equal(split[0].input, ES_STAGE_INPUT_REQUEST);
    assert_near(split[0].input_bytes, 4096);
    assert_near(split[0].exit_threshold, 2);
    assert_int_equal(split[1].input, ES_STAGE_INPUT_PREVIOUS);
    assert_near(split[1].input_bytes, 512);
    assert_near(split[1].reach, 1);
    const es_stage *cascade = s->pipelines[2].stages;
    assert_near(cascade[0].exit_threshold, 0.9);
    assert_int_equal(cascade[0].exit_output, 1);
    assert_int_equal(cascade[1].input, ES_STAGE_INPUT_REQUEST);
    assert_near(cascade[1].input_bytes, 4096);
    assert_near(cascade[1].reach, 0.3);
}

static void test_demand(void **state)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    assert_int_equal(s->class_count, 5);
    assert_int_equal(s->classes[0].arrivals.kind, ES_ARRIVAL_CONSTANT);
    assert_near(s->classes[0].arrivals.rate_rps, 20);
    assert_near(s->classes[0].deadline_s, 0.05);
    assert_near(s->classes[0].quality_min, 0.8);
    assert_near(s->classes[0].quality_min_each, 0.3);
    assert_near(s->classes[1].quality_min_each, 0.85);
    assert_int_equal(s->classes[1].node.index, 1);
    assert_int_equal(s->classes[1].arrivals.kind, ES_ARRIVAL_POISSON);
    assert_near(s->classes[1].deadline_s, 0.1);
    assert_near(s->classes[1].quality_min, 0.9);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(s->classes[2 + i].task.index, 1);
        assert_int_equal(s->classes[2 + i].node.index, i);
        assert_true(isinf(s->classes[2 + i].deadline_s));
    }
}

static const char least[] = "format: estran-scenario\n"
                            "version: 1\n"
                            "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1000}]\n"
                            "tasks: [{name: t, input_bytes: 1, output_bytes: 1}]\n"
                            "segments: [{name: s, memory_mb: 1, work_macs: 1}]\n"
                            "pipelines: [{name: p, task: t, quality: 1, stages: [{segment: s}]}]\n"
                            "demand: [{task: t, at: a, rate_rps: 1}]\n";

static void test_defaults(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    const es_scenario *s = parse(arena, least);
    assert_string_equal(s->name, "full.yaml");
    assert_string_equal(s->description, "");
    assert_int_equal(s->seed, 1);
    assert_near(s->slot_s, 10);
    assert_int_equal(s->slot_count, 1);
    assert_int_equal(s->replicas_min, 1);
    assert_false(s->unsplittable);
    assert_int_equal(s->hosts_max, 0);
    assert_near(s->energy_w_max, 0);
    assert_near(s->carbon_g_per_s_max, 0);
    assert_near(s->objective.latency_per_s, 1);
    assert_near(s->objective.quality, 1);
    assert_near(s->objective.energy_per_j, 0);
    assert_near(s->objective.carbon_per_g, 0);
    assert_near(s->objective.idle_per_j, 0);
    assert_true(isinf(s->objective.refusal_cost));
    const es_node *node = es_network_node(s->network, (es_node_id){0});
    assert_near(node->processors, 1);
    assert_near(node->utilisation_max, 0.8);
    assert_near(node->idle_w, 0);
    assert_near(node->busy_w, 0);
    assert_near(es_scenario_service(s, (es_segment_id){0}, (es_node_id){0}).time_s, 1e-3);
    es_arena_free(arena);
}

static void test_json(void **state)
{
    (void)state;
    static const char json[] =
        "{\"format\":\"estran-scenario\",\"version\":1,\"name\":\"j\",\n"
        "\"nodes\":[{\"name\":\"a\",\"tier\":\"edge\",\"memory_mb\":1,\"macs_per_s\":1000}],\n"
        "\"tasks\":[{\"name\":\"t\",\"input_bytes\":1,\"output_bytes\":1}],\n"
        "\"segments\":[{\"name\":\"s\",\"memory_mb\":1,\"work_macs\":1}],\n"
        "\"pipelines\":[{\"name\":\"p\",\"task\":\"t\",\"quality\":1,"
        "\"stages\":[{\"segment\":\"s\"}]}],\n"
        "\"demand\":[{\"task\":\"t\",\"at\":\"a\",\"rate_rps\":1}]}\n";
    es_arena *arena = es_arena_new((size_t)1 << 20);
    const es_scenario *s = NULL;
    es_error err = {0};
    assert_ok_err(es_scenario_parse(arena, "x.json", NULL, json, strlen(json), true, &s, &err),
                  err);
    assert_string_equal(s->name, "j");
    es_arena_free(arena);
}

static void test_host_times(void **state)
{
    const fixture *here = *state;
    const es_scenario *s = here->scenario;
    const es_scenario *changed = NULL;
    es_error err = {0};
    const double times[] = {0.1e-3, (double)NAN, 1e-3, (double)NAN};
    assert_ok_err(es_scenario_with_host_times(here->arena, s, times, &changed, &err), err);
    const es_segment_id tiny = {0}, head = {1}, tail = {2};
    const es_node_id phone = {0}, second = {1}, router = {3}, server = {4};
    assert_near(es_scenario_service(changed, tiny, phone).time_s, 2e-3);
    assert_near(es_scenario_service(changed, tiny, phone).energy_j, 2.5e-3);
    assert_near(es_scenario_service(changed, tiny, second).energy_j, 4e-3);
    assert_near(es_scenario_service(changed, tiny, server).time_s, 2e-3); /* has no slowdown */
    assert_near(es_scenario_service(changed, head, phone).time_s, 3e-3);  /* NaN: as it was */
    assert_near(es_scenario_service(changed, tail, phone).time_s, 20e-3); /* had none before */
    assert_true(isinf(es_scenario_service(changed, tiny, router).time_s));
    assert_near(es_scenario_service(s, tiny, phone).time_s, 1e-3); /* the original stays */
    assert_ptr_equal(changed->network, s->network);

    const double wrong[][4] = {{0, (double)NAN, (double)NAN, (double)NAN},
                               {(double)NAN, -1, (double)NAN, (double)NAN},
                               {(double)NAN, (double)NAN, (double)INFINITY, (double)NAN}};
    for (size_t i = 0; i < 3; i++)
        assert_fails(es_scenario_with_host_times(here->arena, s, wrong[i], &changed, &err),
                     ES_ERR_ARG, err, "must be > 0");
}

/* Every amount of memory gives a clean answer: the scenario, or out of memory. */
static void test_cap_sweep(void **state)
{
    (void)state;
    bool done = false;
    size_t failed = 0;
    for (size_t cap = 1; !done && cap < (size_t)4 << 20; cap += 1 + cap / 16) {
        es_arena *arena = es_arena_new(cap);
        const es_scenario *scenario = NULL;
        es_error err = {0};
        es_status status = es_scenario_parse(arena, "full.yaml", NULL, full, sizeof full - 1, false,
                                             &scenario, &err);
        done = status == ES_OK;
        failed += !done;
        if (!done) {
            assert_int_equal(status, ES_ERR_NOMEM);
            assert_null(scenario);
        }
        es_arena_free(arena);
    }
    assert_true(done);
    assert_true(failed > 20);
}

static void test_load(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    const es_scenario *s = NULL;
    es_error err = {0};
    assert_fails(es_scenario_load(arena, "no/such/file.yaml", &s, &err), ES_ERR_IO, err,
                 "no/such/file.yaml");
    const char *path = ES_TEST_BINARY_DIR "/scenario_load_test.yaml";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "%s", least);
    (void)fclose(file);
    assert_ok_err(es_scenario_load(arena, path, &s, &err), err);
    assert_string_equal(s->file, path);
    assert_int_equal(s->class_count, 1);
    es_arena_free(arena);
    assert_int_equal(unlink(path), 0);
}

/* Memory that is not said is the size of the model file. */
static void test_memory_of_file(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    const char *path = ES_TEST_BINARY_DIR "/scenario_memory_test.onnx";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "%0100d", 0);
    (void)fclose(file);
    static const char text[] =
        "format: estran-scenario\n"
        "version: 1\n"
        "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1000}]\n"
        "tasks: [{name: t, input_bytes: 1, output_bytes: 1}]\n"
        "segments: [{name: s, file: scenario_memory_test.onnx, work_macs: 1}]\n"
        "pipelines: [{name: p, task: t, quality: 1, stages: [{segment: s}]}]\n"
        "demand: [{task: t, at: a, rate_rps: 1}]\n";
    const es_scenario *s = NULL;
    es_error err = {0};
    assert_ok_err(
        es_scenario_parse(arena, "x.yaml", ES_TEST_BINARY_DIR, text, strlen(text), false, &s, &err),
        err);
    assert_near(s->segments[0].memory_bytes, 100);
    assert_int_equal(unlink(path), 0);
    assert_fails(
        es_scenario_parse(arena, "x.yaml", ES_TEST_BINARY_DIR, text, strlen(text), false, &s, &err),
        ES_ERR_PARSE, err, "x.yaml:5:28: segments[0].file: memory_mb (or memory_bytes)");
    es_arena_free(arena);
}

/* The shipped example loads, and one price of it is what its figures say. */
static void test_example(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)16 << 20);
    const es_scenario *s = NULL;
    es_error err = {0};
    assert_ok_err(
        es_scenario_load(arena, ES_TEST_SOURCE_DIR "/examples/02-measured-catalogue/scenario.yaml",
                         &s, &err),
        err);
    assert_int_equal(es_network_node_count(s->network), 17);
    assert_int_equal(es_network_link_count(s->network), 22);
    assert_int_equal(s->segment_count, 12);
    assert_int_equal(s->pipeline_count, 24);
    assert_int_equal(s->class_count, 10);
    /* identify from Lisbon in Paris: over the radio, Spain and back, in one batch of 64 */
    const es_node_id paris = es_network_node_find(s->network, "fr");
    es_class_id class_id = {.index = 5};
    assert_string_equal(es_network_node(s->network, s->classes[5].node)->name, "camera-pt");
    const es_pipeline_id pipeline = es_scenario_pipeline_find(s, "identify-convnext_large");
    es_price price = es_scenario_price(s, class_id, pipeline, &paris);
    assert_true(price.reachable);
    double links_s = 8e-3 + 2.512e-3 + 5.262e-3;
    double bits_s = 8 * 60100.0 * (1 / 20e6 + 2 / 10e9);
    assert_near(price.latency_s, 2 * links_s + bits_s + 91.341e-3);
    assert_near(price.energy_compute_j, 91.341e-3 * 350 / 64);
    assert_near(price.energy_network_j, 8 * 60100.0 * 520e-9);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),       cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_kinds),      cmocka_unit_test(test_links_and_routes),
        cmocka_unit_test(test_services),   cmocka_unit_test(test_catalogue),
        cmocka_unit_test(test_pipelines),  cmocka_unit_test(test_demand),
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_host_times), cmocka_unit_test(test_cap_sweep),
        cmocka_unit_test(test_load),       cmocka_unit_test(test_memory_of_file),
        cmocka_unit_test(test_example),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
