/* replan follows the grids of the slots that it plans for. */
#include "es_test.h"
#include "online/internal.h"

/* Half of the run clean at the edge, the other half in the cloud; over all slots both are 110. */
static const char text[] =
    "format: estran-scenario\nversion: 1\nslots: {length_s: 10, count: 16}\n"
    "kinds: [{name: box, memory_mb: 100, idle_w: 5, busy_w: 25}]\n"
    "nodes:\n"
    "  - {name: door, tier: device, memory_mb: 0}\n"
    "  - {name: one, tier: edge, kind: box}\n"
    "  - {name: two, tier: edge, kind: box}\n"
    "links: [{between: [door, one], latency_ms: 1}, {between: [one, two], latency_ms: 1}]\n"
    "tasks: [{name: t, input_bytes: 1000, output_bytes: 10}]\n"
    "segments: [{name: m, memory_mb: 10, on: [{kind: box, time_ms: 10}]}]\n"
    "pipelines: [{name: m, task: t, quality: 0.9, stages: [{segment: m}]}]\n"
    "demand: [{task: t, at: door, rate_rps: 20}]\n"
    "objective: {latency_per_s: 1, carbon_per_g: 1.0e+5}\n"
    "events: {nodes: [{at: one, carbon: {file: replan_one.csv}},\n"
    "                 {at: two, carbon: {file: replan_two.csv}}]}\n";

static void write_file(const char *name, const char *bytes)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(bytes, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void grids_of_the_slots_to_come(void **state)
{
    (void)state;
    static const uint32_t wanted[16] = {1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2};
    write_file(ES_TEST_BINARY_DIR "/replan_one.csv", "time,g\n0,20\n80,200\n");
    write_file(ES_TEST_BINARY_DIR "/replan_two.csv", "time,g\n0,200\n80,20\n");
    es_arena *arena = es_arena_new((size_t)256 << 20);
    const es_scenario *scenario = NULL;
    const es_idn *idn = NULL;
    es_policy policy;
    es_error err = {0};
    assert_ok_err(es_scenario_parse(arena, "two.yaml", ES_TEST_BINARY_DIR, text, sizeof text - 1,
                                    false, &scenario, &err),
                  err);
    assert_ok_err(es_idn_from_scenario(arena, scenario, &idn, &err), err);
    es_policy_given given = {.arena = arena, .idn = idn, .seed = 1, .slot_count = 16};
    assert_ok_err(es_policy_make(&given, "replan:every=4", &policy, &err), err);
    uint32_t *hosted = NULL;
    double *requests = NULL;
    assert_ok(es_online_take(arena, idn->item_count, sizeof *hosted, &hosted, NULL));
    assert_ok(es_online_take(arena, idn->type_count, sizeof *requests, &requests, NULL));
    requests[0] = 200;
    es_observation last = {.requests = requests, .hosted = hosted};
    for (uint32_t s = 0; s < 16; s++) {
        assert_ok_err(policy.decide(policy.memory, s, s > 0 ? &last : NULL, hosted, &err), err);
        for (uint32_t v = 1; v <= 2; v++)
            for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++)
                if ((hosted[i] > 0) != (wanted[s] == v))
                    fail_msg("slot %u: node %u has %u copies", s, v, hosted[i]);
    }
    policy.done(policy.memory);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(grids_of_the_slots_to_come)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
