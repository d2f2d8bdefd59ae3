#include "plan/operator_scenario.h"

#include "base/rng.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>

static double between(es_rng *rng, double low, double high)
{
    return low + (high - low) * es_rng_double(rng);
}

static void put_network(es_text *text, es_rng *rng, uint32_t edges)
{
    uint32_t racks = edges >= 10 ? edges / 10 : 1;
    uint32_t clouds = edges >= 250 ? edges / 250 : 1;
    es_text_append(
        text,
        "format: estran-scenario\nversion: 1\nname: operator\nslots: {length_s: 10, count: 1}\n"
        "kinds:\n"
        "  - {name: box, processors: 2, memory_mb: 400, idle_w: 3, busy_w: 10}\n"
        "  - {name: rack, processors: 16, memory_mb: 3000, idle_w: 60, busy_w: 200}\n"
        "  - {name: server, processors: 400, memory_mb: 40000, idle_w: 900, busy_w: 4000}\n"
        "nodes:\n");
    for (uint32_t i = 0; i < clouds; i++)
        es_text_format(text, "  - {name: c%" PRIu32 ", tier: cloud, kind: server}\n", i);
    for (uint32_t i = 0; i < racks; i++)
        es_text_format(text, "  - {name: a%" PRIu32 ", tier: network, kind: rack}\n", i);
    for (uint32_t i = 0; i < edges; i++)
        es_text_format(text, "  - {name: e%" PRIu32 ", tier: edge, kind: box}\n", i);
    es_text_append(text, "links:\n");
    for (uint32_t i = 0; i < racks; i++)
        es_text_format(text,
                       "  - {between: [a%" PRIu32 ", c%" PRIu32 "], latency_ms: %.2f, "
                       "bandwidth_mbps: 10000, energy_nj_per_bit: 20}\n",
                       i, i % clouds, between(rng, 8, 20));
    for (uint32_t i = 0; racks > 2 && i < racks; i++)
        es_text_format(text,
                       "  - {between: [a%" PRIu32 ", a%" PRIu32 "], latency_ms: %.2f, "
                       "bandwidth_mbps: 10000, energy_nj_per_bit: 20}\n",
                       i, (i + 1) % racks, between(rng, 2, 5));
    for (uint32_t i = 0; i < edges; i++)
        es_text_format(text,
                       "  - {between: [e%" PRIu32 ", a%" PRIu32 "], latency_ms: %.2f, "
                       "bandwidth_mbps: 1000, energy_nj_per_bit: 50}\n",
                       i, i % racks, between(rng, 1, 4));
}

static void put_models(es_text *text, es_rng *rng, uint32_t tasks)
{
    static const double DEADLINES_MS[3] = {30, 60, 120};
    static const char *const SIZES[3] = {"l", "m", "s"};
    static const double PARTS[3] = {1.0, 0.55, 0.3};
    static const double QUALITIES[3] = {0.95, 0.92, 0.87};
    es_text_append(text, "tasks:\n");
    for (uint32_t t = 0; t < tasks; t++)
        es_text_format(text,
                       "  - {name: t%" PRIu32 ", input_bytes: 20000, output_bytes: 200, "
                       "deadline_ms: %g}\n",
                       t, DEADLINES_MS[es_rng_below(rng, 3)]);
    es_text_append(text, "segments:\n");
    for (uint32_t t = 0; t < tasks; t++) {
        double bytes = between(rng, 110e6, 240e6);
        double ms = between(rng, 10, 40);
        for (int k = 0; k < 3; k++)
            es_text_format(text,
                           "  - {name: t%" PRIu32 "%s, memory_bytes: %.0f, on: [{kind: box, "
                           "time_ms: %.3f}, {kind: rack, time_ms: %.3f}, {kind: server, "
                           "time_ms: %.3f}]}\n",
                           t, SIZES[k], bytes * PARTS[k], ms * PARTS[k], ms * PARTS[k] / 2,
                           ms * PARTS[k] / 4);
    }
    es_text_append(text, "pipelines:\n");
    for (uint32_t t = 0; t < tasks; t++) {
        for (int k = 0; k < 3; k++)
            es_text_format(text,
                           "  - {name: p%" PRIu32 "%s, task: t%" PRIu32
                           ", quality: %g, stages: [{segment: t%" PRIu32 "%s}]}\n",
                           t, SIZES[k], t, QUALITIES[k], t, SIZES[k]);
        es_text_format(text,
                       "  - {name: q%" PRIu32 ", task: t%" PRIu32
                       ", quality: 0.94, stages: [{segment: t%" PRIu32 "s}, {segment: t%" PRIu32
                       "l, reach: 0.4, input: request}]}\n",
                       t, t, t, t);
    }
}

/* Every site asks for some tasks, from one drawn on. */
static void put_demand(es_text *text, es_rng *rng, es_operator_shape shape)
{
    es_text_append(text, "demand:\n");
    for (uint32_t e = 0; e < shape.edge_count; e++) {
        uint32_t first = (uint32_t)es_rng_below(rng, shape.task_count);
        for (uint32_t i = 0; i < shape.classes_each; i++)
            es_text_format(text, "  - {task: t%" PRIu32 ", at: e%" PRIu32 ", rate_rps: %.3f}\n",
                           (first + i) % shape.task_count, e, exp(between(rng, -1.0, 1.5)));
    }
    es_text_append(text, "objective: {latency_per_s: 10, quality: 5, energy_per_j: 0.01, "
                         "refusal_cost: 20}\n");
}

es_status es_operator_scenario(es_arena *arena, es_operator_shape shape,
                               const es_scenario **out_scenario, es_error *err)
{
    es_rng rng = es_rng_make(shape.seed, 31);
    es_text text;
    es_text_init(&text, (size_t)64 << 20);
    put_network(&text, &rng, shape.edge_count);
    put_models(&text, &rng, shape.task_count);
    put_demand(&text, &rng, shape);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        status = es_scenario_parse(arena, "operator.yaml", NULL, es_text_get(&text), text.size,
                                   false, out_scenario, err);
    es_text_done(&text);
    return status;
}
