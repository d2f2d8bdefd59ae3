#include "plan/plan.h"

enum { CAP = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

/* Reads must not crash; what is read can be checked, and is written the same again and again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(CAP);
    const es_scenario *scenario;
    const es_plan *plan;
    const es_plan *again;
    const es_plan_violation *violations;
    size_t count;
    es_text first;
    es_text second;
    es_error err = {0};
    es_text_init(&first, CAP);
    es_text_init(&second, CAP);
    if (es_scenario_parse(arena, "s", NULL, scenario_text, sizeof scenario_text - 1, false,
                          &scenario, &err) != ES_OK)
        abort();
    if (es_plan_parse(arena, "f", (const char *)data, size, scenario, &plan, &err) == ES_OK) {
        if (es_plan_check(arena, plan, scenario, 1e-6, &violations, &count, &err) != ES_OK)
            abort();
        es_plan_write(plan, scenario, &first);
        if (es_plan_parse(arena, "g", es_text_get(&first), first.size, scenario, &again, &err) !=
            ES_OK)
            abort();
        es_plan_write(again, scenario, &second);
        if (strcmp(es_text_get(&first), es_text_get(&second)) != 0)
            abort();
    }
    es_text_done(&first);
    es_text_done(&second);
    es_arena_free(arena);
    return 0;
}
