/* The plan document: what is written reads back as the same bytes; every mistake says where. */
#include "base/file.h"
#include "es_test.h"
#include "plan/plan.h"
#include "plan/random_scenario.h"

#include <math.h>

static const char scenario_text[] =
    "format: estran-scenario\nversion: 1\nname: two\nslots: {length_s: 1, count: 1}\n"
    "kinds:\n  - {name: c, processors: 4, memory_mb: 1000}\n"
    "nodes:\n  - {name: phone, tier: device, kind: c}\n  - {name: dc, tier: cloud, kind: c}\n"
    "links:\n  - {between: [phone, dc], latency_ms: 5, bandwidth_mbps: 8}\n"
    "tasks:\n  - {name: look, input_bytes: 1000, output_bytes: 10}\n"
    "  - {name: hear, input_bytes: 10, output_bytes: 10}\n"
    "segments:\n"
    "  - {name: head, memory_mb: 5, output_bytes: 100, on: [{kind: c, time_ms: 10}]}\n"
    "  - {name: tail, memory_mb: 5, on: [{kind: c, time_ms: 20}]}\n"
    "  - {name: ear, memory_mb: 5, on: [{kind: c, time_ms: 1}]}\n"
    "pipelines:\n"
    "  - {name: split, task: look, quality: 0.7, stages: [{segment: head}, {segment: tail}]}\n"
    "  - {name: ear, task: hear, quality: 0.9, stages: [{segment: ear}]}\n"
    "demand:\n  - {task: look, at: phone, rate_rps: 10}\n"
    "  - {task: hear, at: phone, rate_rps: 1}\n"
    "objective: {latency_per_s: 1, quality: 1, refusal_cost: 9}\n";

/* A good plan of it. */
#define HEAD                                                                                       \
    "{\"format\": \"estran-plan\", \"version\": 1, \"scenario\": \"two\",\n"                       \
    "\"method\": \"exact\", \"quality\": \"feasible\", \"objective_per_s\": 3,\n"                  \
    "\"bound_per_s\": null, \"gap_relative\": null, \"conflict\": null,\n"
#define PLACEMENTS                                                                                 \
    "\"placements\": [{\"node\": \"phone\", \"segments\": [\"head\", \"ear\"]},\n"                 \
    " {\"node\": \"dc\", \"segments\": [\"tail\"]}],\n"
#define LOOK                                                                                       \
    "{\"task\": \"look\", \"at\": \"phone\", \"pipeline\": \"split\", \"nodes\": [\"phone\", "     \
    "\"dc\"], \"share\": 1}"
#define HEAR                                                                                       \
    "{\"task\": \"hear\", \"at\": \"phone\", \"pipeline\": \"ear\", \"nodes\": [\"phone\"], "      \
    "\"share\": 0.75}"
#define REFUSED "\"refused\": [{\"task\": \"hear\", \"at\": \"phone\", \"share\": 0.25}]}"
static const char good[] = HEAD PLACEMENTS "\"routing\": [" LOOK ",\n" HEAR "],\n" REFUSED;

static es_arena *arena;
static const es_scenario *scenario;

static int set_up(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)64 << 20);
    es_error err = {0};
    if (es_scenario_parse(arena, "two.yaml", NULL, scenario_text, strlen(scenario_text), false,
                          &scenario, &err) != ES_OK) {
        print_message("%s\n", es_error_text(&err));
        return 1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

static void test_reads(void **state)
{
    (void)state;
    const es_plan *plan;
    es_error err = {0};
    assert_ok_err(es_plan_parse(arena, "p.json", good, strlen(good), scenario, &plan, &err), err);
    assert_string_equal(plan->scenario, "two");
    assert_int_equal(plan->method, ES_PLAN_EXACT);
    assert_int_equal(plan->quality, ES_PLAN_FEASIBLE);
    assert_true(plan->objective == 3.0);
    assert_true(isinf(plan->bound) && plan->bound < 0);
    assert_true(isinf(plan->gap_relative) && plan->gap_relative > 0);
    assert_null(plan->conflict);
    assert_int_equal(plan->placement_count, 3);
    assert_int_equal(plan->placements[2].node.index, 1);
    assert_int_equal(plan->routing_count, 2);
    assert_int_equal(plan->routings[0].nodes[1].index, 1);
    assert_true(plan->routings[1].share == 0.75);
    assert_true(plan->refused_share[1] == 0.25);
    assert_true(plan->refused_share[0] == 0.0);
}

static void write_out(const es_plan *plan, const es_scenario *of, es_text *text)
{
    es_error err = {0};
    es_text_init(text, (size_t)16 << 20);
    es_plan_write(plan, of, text);
    assert_ok_err(es_text_status(text, &err), err);
}

/* Write, load, write: the same bytes, through a file too. */
static void assert_same_bytes(const es_plan *plan, const es_scenario *of)
{
    es_text first;
    es_text second;
    const es_plan *again;
    es_error err = {0};
    write_out(plan, of, &first);
    const char *path = es_arena_format(arena, "%s/plan_document_test.%ld.json", ES_TEST_BINARY_DIR,
                                       (long)getpid());
    assert_non_null(path);
    assert_ok_err(es_file_write(path, first.bytes, first.size, &err), err);
    assert_ok_err(es_plan_load(arena, path, of, &again, &err), err);
    (void)unlink(path); /* left behind, it would only be clutter */
    write_out(again, of, &second);
    assert_string_equal(es_text_get(&first), es_text_get(&second));
    es_text_done(&first);
    es_text_done(&second);
}

static void test_round_trip(void **state)
{
    (void)state;
    const es_plan *plan;
    es_error err = {0};
    assert_ok_err(es_plan_parse(arena, "p.json", good, strlen(good), scenario, &plan, &err), err);
    assert_same_bytes(plan, scenario);
}

static void test_round_trip_of_solved(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        es_random_shape shape = es_random_shape_default();
        es_scenario *random;
        const es_plan *plan;
        es_error err = {0};
        es_plan_opts opts = es_plan_opts_default();
        shape.refusal_cost = seed % 2 == 0 ? 1.0 : (double)INFINITY;
        shape.tightness = 0.9;
        opts.method = seed % 3 == 0 ? ES_PLAN_DEVICE_ONLY : ES_PLAN_GREEDY;
        assert_ok_err(es_random_scenario(arena, seed, shape, &random, &err), err);
        assert_ok_err(es_plan_solve(arena, random, opts, &plan, &err), err);
        assert_same_bytes(plan, random);
    }
}

static void test_infeasible_round_trip(void **state)
{
    (void)state;
    static const char text[] =
        "{\"format\": \"estran-plan\", \"version\": 1, \"scenario\": \"two\", \"method\": "
        "\"exact\", \"quality\": \"infeasible\", \"objective_per_s\": null, \"bound_per_s\": null, "
        "\"gap_relative\": null, \"conflict\": \"because\", \"placements\": [], \"routing\": [], "
        "\"refused\": []}";
    const es_plan *plan;
    es_error err = {0};
    assert_ok_err(es_plan_parse(arena, "p.json", text, strlen(text), scenario, &plan, &err), err);
    assert_int_equal(plan->quality, ES_PLAN_INFEASIBLE);
    assert_true(isinf(plan->objective));
    assert_string_equal(plan->conflict, "because");
    assert_same_bytes(plan, scenario);
}

static void test_bad_documents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {"", "p.json"},
        {"[]", "p.json:1:1"},
        {"{\"format\": \"estran-scenario\"}", "p.json:1:"},
        {"{\"format\": \"estran-plan\", \"version\": 9}", "p.json:1:"},
        {HEAD PLACEMENTS REFUSED, "p.json:1:1: missing key 'routing'"},
        {HEAD "\"colour\": 1, " PLACEMENTS "\"routing\": [" LOOK "," HEAR "], " REFUSED,
         "p.json:4:1: unknown key 'colour'"},
        {"{\"format\": \"estran-plan\", \"version\": 1, \"scenario\": \"three\"}",
         "scenario: plan of scenario 'three', but the scenario given is 'two'"},
        {HEAD "\"placements\": [{\"node\": \"phome\", \"segments\": [\"ear\"]}], \"routing\": [], "
              "\"refused\": []}",
         "p.json:4:25: placements[0].node: node 'phome' is not in scenario 'two'; did you mean "
         "'phone'?"},
        {HEAD "\"placements\": [{\"node\": \"dc\", \"segments\": [\"tial\"]}], \"routing\": [], "
              "\"refused\": []}",
         "placements[0].segments[0]: segment 'tial' is not in scenario 'two'; did you mean "
         "'tail'?"},
        {HEAD "\"placements\": [{\"node\": \"dc\", \"segments\": [\"tail\", \"tail\"]}], "
              "\"routing\": [], \"refused\": []}",
         "segment 'tail' is listed twice"},
        {HEAD "\"placements\": [{\"node\": \"dc\", \"segments\": []}], \"routing\": [], "
              "\"refused\": []}",
         "must name at least one segment"},
        {HEAD "\"placements\": [{\"node\": \"dc\", \"segments\": [\"tail\"]}, {\"node\": \"dc\", "
              "\"segments\": [\"ear\"]}], \"routing\": [], \"refused\": []}",
         "node 'dc' is listed twice"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"lok\", \"at\": \"phone\"}], " REFUSED,
         "task 'lok' is not in scenario 'two'; did you mean 'look'?"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"look\", \"at\": \"dc\"}], " REFUSED,
         "scenario 'two' has no requests of task 'look' at node 'dc'"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"look\", \"at\": \"phone\", \"pipeline\": "
                         "\"ear\"}], " REFUSED,
         "pipeline 'ear' does not solve task 'look'"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"look\", \"at\": \"phone\", \"pipeline\": "
                         "\"spilt\"}], " REFUSED,
         "did you mean 'split'?"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"look\", \"at\": \"phone\", \"pipeline\": "
                         "\"split\", \"nodes\": [\"dc\"], \"share\": 1}], " REFUSED,
         "1 nodes for pipeline 'split', which has 2 stages"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"look\", \"at\": \"phone\", \"pipeline\": "
                         "\"split\", \"nodes\": [\"dc\", \"dc\"], \"share\": 0}], " REFUSED,
         "share=0 must be > 0"},
        {HEAD PLACEMENTS "\"routing\": [{\"task\": \"look\", \"at\": \"phone\", \"pipeline\": "
                         "\"split\", \"nodes\": [\"dc\", \"dc\"], \"share\": 1.5}], " REFUSED,
         "routing[0].share"},
        {HEAD PLACEMENTS "\"routing\": [" LOOK "," LOOK "," HEAR "], " REFUSED,
         "pipeline 'split' over the same nodes stands twice"},
        {HEAD PLACEMENTS "\"routing\": [" LOOK "], " REFUSED,
         "shares of task 'hear' at node 'phone' with what is refused add up to 0.25, must be 1"},
        {HEAD PLACEMENTS "\"routing\": [" LOOK "," HEAR "], \"refused\": [{\"task\": \"hear\", "
                         "\"at\": \"phone\", \"share\": 0.2}, {\"task\": \"hear\", \"at\": "
                         "\"phone\", \"share\": 0.05}]}",
         "the same requests are listed twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const es_plan *plan = NULL;
        es_error err = {0};
        assert_fails(
            es_plan_parse(arena, "p.json", bad[i].text, strlen(bad[i].text), scenario, &plan, &err),
            ES_ERR_PARSE, err, bad[i].words);
        assert_null(plan);
    }
}

static void test_missing_file(void **state)
{
    (void)state;
    const es_plan *plan;
    es_error err = {0};
    assert_fails(es_plan_load(arena, "/nowhere/plan.json", scenario, &plan, &err), ES_ERR_IO, err,
                 "/nowhere/plan.json");
}

/* Memory that runs out anywhere is an error, never a crash. */
static void test_small_arenas(void **state)
{
    (void)state;
    bool done = false;
    for (size_t cap = 64; cap < ((size_t)1 << 20) && !done; cap += cap / 8) {
        es_arena *small = es_arena_new(cap);
        const es_plan *plan = NULL;
        es_error err = {0};
        es_status status =
            es_plan_parse(small, "p.json", good, strlen(good), scenario, &plan, &err);
        assert_true(status == ES_OK || status == ES_ERR_NOMEM);
        done = status == ES_OK;
        es_arena_free(small);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_trip_of_solved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_infeasible_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_arenas, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
