/* A scenario in several files: lists join, paths hold where they stand, mistakes name their file.
 */
#include "base/file.h"
#include "es_test.h"
#include "scenario/scenario.h"

#define FOLDER ES_TEST_BINARY_DIR "/scenario_include_test"

static const char head[] = "format: estran-scenario\nversion: 1\n";
static const char network[] = "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1000}]\n";
static const char catalogue[] =
    "segments: [{name: s, file: s.onnx, memory_mb: 0.1, work_macs: 10}]\n"
    "pipelines: [{name: p, task: t, quality: 0.9, stages: [{segment: s}]}]\n";
static const char own[] =
    "include: [network.yaml, models/catalogue.yaml]\n"
    "tasks: [{name: t, input_bytes: 10, output_bytes: 2, samples: x.f32}]\n"
    "segments: [{name: mine, file: mine.onnx, memory_mb: 0.1, work_macs: 10}]\n"
    "pipelines: [{name: q, task: t, quality: 0.8, stages: [{segment: mine}]}]\n"
    "demand: [{task: t, at: a, rate_rps: 1}]\n";

static void put(const char *path, const char *first, const char *second)
{
    char bytes[2048];
    es_error err = {0};
    int size = snprintf(bytes, sizeof bytes, "%s%s", first, second);
    assert_in_range(size, 0, sizeof bytes - 1);
    assert_ok_err(es_file_write(path, bytes, (size_t)size, &err), err);
}

/* The files as they should be; tests then spoil one. */
static int set_up(void **state)
{
    es_error err = {0};
    assert_ok_err(es_file_make_folder(FOLDER "/models", &err), err);
    put(FOLDER "/network.yaml", head, network);
    put(FOLDER "/models/catalogue.yaml", head, catalogue);
    put(FOLDER "/scenario.yaml", head, own);
    *state = es_arena_new((size_t)8 << 20);
    return *state == NULL;
}

static int tear_down(void **state)
{
    es_arena_free(*state);
    return 0;
}

static es_status load(es_arena *arena, const es_scenario **out, es_error *err)
{
    return es_scenario_load(arena, FOLDER "/scenario.yaml", out, err);
}

static void lists_join(void **state)
{
    const es_scenario *s = NULL;
    es_error err = {0};
    assert_ok_err(load(*state, &s, &err), err);
    assert_string_equal(s->file, FOLDER "/scenario.yaml");
    assert_int_equal(es_network_node_count(s->network), 1);
    assert_int_equal(s->segment_count, 2); /* what is included comes first */
    assert_string_equal(s->segments[0].name, "s");
    assert_string_equal(s->segments[0].file, FOLDER "/models/s.onnx");
    assert_string_equal(s->segments[1].name, "mine");
    assert_string_equal(s->segments[1].file, FOLDER "/mine.onnx");
    assert_string_equal(s->tasks[0].samples_file, FOLDER "/x.f32");
    assert_int_equal(s->pipeline_count, 2);
    assert_string_equal(s->pipelines[0].name, "p");
    assert_string_equal(s->pipelines[1].name, "q");
}

static void an_empty_list_includes_nothing(void **state)
{
    const es_scenario *s = NULL;
    es_error err = {0};
    put(FOLDER "/scenario.yaml", head, "include: []\n");
    assert_fails(load(*state, &s, &err), ES_ERR_PARSE, err, "missing key 'nodes'");
}

/* What is put instead of the network, and what is said. */
static void mistakes_in_a_part(void **state)
{
    static const struct {
        const char *head, *text, *words;
    } cases[] = {
        {"version: 1\n", network, "network.yaml:1:1: missing key 'format'"},
        {"format: estran-plan\nversion: 1\n", network, "network.yaml:1:9: format: 'estran-plan'"},
        {head, "nodes: {a: 1}\n", "network.yaml:3:8: nodes: expected a list"},
        {head, "nods: []\n", "did you mean 'nodes'"},
        {head, "objective: {quality: 1}\n", "network.yaml:3:12: objective: an included file holds"},
        {head, "include: [x.yaml]\n", "network.yaml:3:10: include: an included file includes no"},
        {head, "nodes: [{name: a, tier: sky}]\n", "network.yaml:3:25: nodes[0].tier: 'sky'"},
        {head, "nodes: [{name: a, tier: edge, memory_mb: 1}]\nsegments: [{name: mine}]\n",
         "memory_mb (or memory_bytes) is missing"},
        {head,
         "nodes: [{name: a, tier: edge, memory_mb: 1}]\nsegments: [{name: s, memory_mb: 1}]\n",
         "/models/catalogue.yaml:3:19: segments[0].name: segment 's' is already defined in "},
        {"", "", "network.yaml"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const es_scenario *s = NULL;
        es_error err = {0};
        put(FOLDER "/network.yaml", cases[i].head, cases[i].text);
        assert_fails(load(*state, &s, &err), ES_ERR_PARSE, err, cases[i].words);
        assert_null(s);
    }
}

static void mistakes_in_naming_a_part(void **state)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"include: [gone.yaml]\n", "scenario.yaml:3:11: include[0]: "},
        {"include: [gone.yaml]\n", "gone.yaml"},
        {"include: models/catalogue.yaml\n", "scenario.yaml:3:10: include: expected a list"},
        {"include: [network.yaml, 7]\n", "scenario.yaml:3:25: include[1]: expected a text"},
        {"include: ['']\n", "'' must be the name of a file"},
        {"include: [-]\n", "'-' must be the name of a file"},
        {"include: [scenario.yaml]\n", "scenario.yaml:3:10: include: an included file includes no"},
        {"include: [network.yaml, network.yaml]\n", "include[1]: 'network.yaml' is included twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const es_scenario *s = NULL;
        es_error err = {0};
        put(FOLDER "/scenario.yaml", head, cases[i].line);
        assert_fails(load(*state, &s, &err), ES_ERR_PARSE, err, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lists_join, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_list_includes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_in_a_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_in_naming_a_part, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
