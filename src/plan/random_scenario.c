#include "plan/random_scenario.h"

#include "base/array.h"

#include <math.h>

/* An instance being drawn. Kinds are the tiers: 0 device, 1 edge, 2 cloud. */
typedef struct drawer {
    es_arena *arena;
    es_rng rng;
    es_random_shape shape;
    es_scenario *scenario;
    es_network *network;
    uint32_t node_count;
    ES_ARRAY(es_segment) segments;
    ES_ARRAY(es_pipeline) pipelines;
    es_error *err;
} drawer;

enum { KIND_COUNT = 3 };

es_random_shape es_random_shape_default(void)
{
    return (es_random_shape){.device_count = 3,
                             .edge_count = 2,
                             .cloud_count = 1,
                             .task_count = 2,
                             .variant_count = 3,
                             .long_count = 1,
                             .tightness = 0.5,
                             .refusal_cost = (double)INFINITY,
                             .idle_per_j = 0.001,
                             .hosting_per_s = 0.2,
                             .replicas_min = 1,
                             .deadlines = true,
                             .least_quality = true};
}

static double between(drawer *d, double low, double high)
{
    return low + (high - low) * es_rng_double(&d->rng);
}

static const char *name(drawer *d, const char *word, uint32_t number)
{
    return es_arena_format(d->arena, "%s-%u", word, (unsigned)number);
}

static es_status draw_node(drawer *d, es_tier tier, uint32_t number)
{
    static const double processors[] = {1, 4, 0, 32};
    static const double memory_mb[] = {12, 60, 0, 1000};
    double loose = d->shape.tightness > 0.0 ? 1.0 / d->shape.tightness : 1e6;
    es_node node = es_node_default();
    node.name = name(d, es_tier_names[tier], number);
    node.tier = tier;
    node.processors = processors[tier] * fmax(1.0, loose * 0.5);
    node.utilisation_max = between(d, 0.5, 0.9);
    node.memory_bytes = floor(memory_mb[tier] * 1e6 * between(d, 0.6, 1.4) * loose);
    node.idle_w = between(d, 0.5, 2.0) * processors[tier];
    node.busy_w = node.idle_w * 3.0;
    node.carbon_gco2e_per_kwh = between(d, 30.0, 500.0);
    if (node.name == NULL)
        return es_arena_full(d->arena, "names", d->err);
    es_node_id id;
    ES_TRY(es_network_node_add(d->network, &node, &id, d->err));
    return ES_OK;
}

static es_status draw_link(drawer *d, uint32_t from, uint32_t to, double latency_s, double bps)
{
    es_link link = es_link_default();
    double loose = d->shape.tightness > 0.0 ? fmax(1.0, 0.5 / d->shape.tightness) : 1e4;
    link.from = (es_node_id){from};
    link.to = (es_node_id){to};
    link.latency_s = latency_s * between(d, 0.5, 1.5);
    link.bandwidth_bps = bps * between(d, 0.5, 1.5) * loose;
    link.energy_j_per_bit = between(d, 1e-9, 5e-8);
    return es_network_link_add(d->network, &link, NULL, d->err);
}

/* Devices hang on edges (or clouds), edges on each other in a ring and on every cloud. */
static es_status draw_network(drawer *d)
{
    const es_random_shape *s = &d->shape;
    es_routes *routes;
    ES_TRY(es_network_new(d->arena, &d->network, d->err));
    for (uint32_t i = 0; i < s->device_count; i++)
        ES_TRY(draw_node(d, ES_TIER_DEVICE, i));
    for (uint32_t i = 0; i < s->edge_count; i++)
        ES_TRY(draw_node(d, ES_TIER_EDGE, i));
    for (uint32_t i = 0; i < s->cloud_count; i++)
        ES_TRY(draw_node(d, ES_TIER_CLOUD, i));
    uint32_t first_edge = s->device_count;
    uint32_t first_cloud = first_edge + s->edge_count;
    d->node_count = first_cloud + s->cloud_count;
    uint32_t above = s->edge_count > 0 ? s->edge_count : s->cloud_count;
    for (uint32_t i = 0; i < s->device_count && above > 0; i++)
        ES_TRY(draw_link(d, i, first_edge + (uint32_t)es_rng_below(&d->rng, above), 0.004, 4e6));
    for (uint32_t i = 0; i + 1 < s->edge_count; i++)
        ES_TRY(draw_link(d, first_edge + i, first_edge + i + 1, 0.005, 5e7));
    for (uint32_t i = 0; i < s->edge_count; i++)
        for (uint32_t j = 0; j < s->cloud_count; j++)
            ES_TRY(draw_link(d, first_edge + i, first_cloud + j, 0.02, 5e7));
    ES_TRY(es_network_seal(d->network, d->err));
    ES_TRY(
        es_network_routes_new(d->arena, d->network, es_routes_weights_default(), &routes, d->err));
    ES_TRY(es_routes_all(routes, NULL, d->err));
    d->scenario->network = d->network;
    d->scenario->routes = routes;
    uint32_t *kinds = ES_TAKE_ARRAY(d->arena, uint32_t, d->node_count);
    if (kinds == NULL)
        return es_arena_full(d->arena, "kinds", d->err);
    for (uint32_t v = 0; v < d->node_count; v++)
        kinds[v] = v < first_edge ? 0 : v < first_cloud ? 1 : 2;
    d->scenario->node_kinds = kinds;
    return ES_OK;
}

/* A segment of about so much work (1 is a mid-sized model). */
static es_status draw_segment(drawer *d, double work, uint32_t *out)
{
    uint32_t number = (uint32_t)d->segments.count;
    es_segment segment = {.name = name(d, "segment", number),
                          .memory_bytes = floor(8e6 * work * between(d, 0.7, 1.3)),
                          .output_bytes = floor(between(d, 500, 20000)),
                          .work_macs = 1e8 * work,
                          .hosting_per_s = between(d, 0.0, d->shape.hosting_per_s)};
    segment.variant = segment.name;
    if (segment.name == NULL)
        return es_arena_full(d->arena, "names", d->err);
    *out = number;
    return ES_ARRAY_PUSH(d->arena, &d->segments, segment, "segments", d->err);
}

static es_status draw_pipeline(drawer *d, uint32_t task, uint32_t stage_count, double work,
                               double quality, double input_bytes)
{
    es_stage *stages = ES_TAKE_ARRAY(d->arena, es_stage, stage_count);
    if (stages == NULL)
        return es_arena_full(d->arena, "stages", d->err);
    bool split = es_rng_below(&d->rng, 2) == 0;
    double reach = 1.0;
    for (uint32_t k = 0; k < stage_count; k++) {
        ES_TRY(draw_segment(d, work / stage_count * (split ? 1.0 : 1.0 + k),
                            &stages[k].segment.index));
        stages[k].reach = reach;
        stages[k].input = k > 0 && split ? ES_STAGE_INPUT_PREVIOUS : ES_STAGE_INPUT_REQUEST;
        stages[k].input_bytes = k > 0 && split
                                    ? d->segments.items[stages[k - 1].segment.index].output_bytes
                                    : input_bytes;
        stages[k].exit_threshold = split ? 2.0 : 0.8;
        reach = split ? 1.0 : reach * between(d, 0.2, 0.6);
    }
    uint32_t number = (uint32_t)d->pipelines.count;
    es_pipeline pipeline = {.name = name(d, "pipeline", number),
                            .task = {task},
                            .quality = quality,
                            .stage_count = stage_count,
                            .stages = stages};
    if (pipeline.name == NULL)
        return es_arena_full(d->arena, "names", d->err);
    return ES_ARRAY_PUSH(d->arena, &d->pipelines, pipeline, "pipelines", d->err);
}

static es_status draw_tasks(drawer *d)
{
    const es_random_shape *s = &d->shape;
    es_task *tasks = ES_TAKE_ARRAY(d->arena, es_task, s->task_count);
    uint32_t *first = ES_TAKE_ARRAY(d->arena, uint32_t, (size_t)s->task_count + 1);
    if (tasks == NULL || first == NULL)
        return es_arena_full(d->arena, "tasks", d->err);
    for (uint32_t t = 0; t < s->task_count; t++) {
        tasks[t] = (es_task){.name = name(d, "task", t),
                             .input_bytes = floor(between(d, 2000, 60000)),
                             .output_bytes = floor(between(d, 20, 500)),
                             .deadline_s = (double)INFINITY};
        if (tasks[t].name == NULL)
            return es_arena_full(d->arena, "names", d->err);
        for (uint32_t i = 0; i < s->variant_count; i++)
            ES_TRY(draw_pipeline(d, t, 1, pow(3.0, (double)i - 1.0),
                                 fmin(0.98, 0.7 + 0.08 * i + between(d, 0.0, 0.05)),
                                 tasks[t].input_bytes));
        for (uint32_t i = 0; i < s->long_count; i++)
            ES_TRY(draw_pipeline(d, t, 2 + (uint32_t)es_rng_below(&d->rng, 2), 2.0,
                                 between(d, 0.8, 0.95), tasks[t].input_bytes));
        first[t + 1] = (uint32_t)d->pipelines.count;
    }
    d->scenario->task_count = s->task_count;
    d->scenario->tasks = tasks;
    d->scenario->task_pipelines = first;
    return ES_OK;
}

/* Times by work over the kind's speed; some segments do not run on some kinds. */
static es_status draw_services(drawer *d)
{
    static const double macs_per_s[KIND_COUNT] = {2e9, 2e10, 1e11};
    static const double watts[KIND_COUNT] = {2, 15, 60};
    static const char *const names[KIND_COUNT] = {"phone", "box", "server"};
    size_t count = d->segments.count;
    es_kind *kinds = ES_TAKE_ARRAY(d->arena, es_kind, KIND_COUNT);
    es_service *services = ES_TAKE_ARRAY(d->arena, es_service, KIND_COUNT * count);
    if (kinds == NULL || services == NULL)
        return es_arena_full(d->arena, "services", d->err);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        kinds[k] = (es_kind){.name = names[k], .macs_per_s = macs_per_s[k]};
        for (size_t i = 0; i < count; i++) {
            double time_s = d->segments.items[i].work_macs / macs_per_s[k] * between(d, 0.8, 1.2);
            bool runs = k > 0 || es_rng_below(&d->rng, 10) > 0;
            services[k * count + i] =
                (es_service){runs ? time_s : (double)INFINITY, runs ? time_s * watts[k] : 0.0};
        }
    }
    d->scenario->kind_count = KIND_COUNT;
    d->scenario->kinds = kinds;
    d->scenario->services = services;
    return ES_OK;
}

static es_status draw_classes(drawer *d)
{
    const es_random_shape *s = &d->shape;
    uint32_t count = s->device_count * s->task_count;
    es_class *classes = ES_TAKE_ARRAY(d->arena, es_class, count);
    if (classes == NULL)
        return es_arena_full(d->arena, "classes", d->err);
    for (uint32_t i = 0; i < count; i++) {
        es_class *c = &classes[i];
        *c = (es_class){.task = {i % s->task_count},
                        .node = {i / s->task_count},
                        .arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = between(d, 0.5, 12.0)},
                        .deadline_s = (double)INFINITY};
        if (s->deadlines && es_rng_below(&d->rng, 2) == 0)
            c->deadline_s = between(d, 0.06, 0.4);
        if (s->least_quality && es_rng_below(&d->rng, 3) == 0)
            c->quality_min = between(d, 0.7, 0.85);
    }
    d->scenario->class_count = count;
    d->scenario->classes = classes;
    return ES_OK;
}

es_status es_random_scenario(es_arena *arena, uint64_t seed, es_random_shape shape,
                             es_scenario **out_scenario, es_error *err)
{
    drawer d = {.arena = arena, .rng = es_rng_make(seed, 0), .shape = shape, .err = err};
    d.scenario = ES_TAKE_ONE(arena, es_scenario);
    if (d.scenario == NULL)
        return es_arena_full(arena, "scenario", err);
    *d.scenario = (es_scenario){.file = "random",
                                .name = "random",
                                .description = "",
                                .seed = seed,
                                .slot_s = 1.0,
                                .slot_count = 1,
                                .objective = {.latency_per_s = 10.0,
                                              .quality = 2.0,
                                              .energy_per_j = 0.5,
                                              .carbon_per_g = 0.1,
                                              .idle_per_j = shape.idle_per_j,
                                              .refusal_cost = shape.refusal_cost},
                                .replicas_min = shape.replicas_min};
    ES_TRY(draw_network(&d));
    ES_TRY(draw_tasks(&d));
    d.scenario->segment_count = (uint32_t)d.segments.count;
    d.scenario->segments = d.segments.items;
    d.scenario->pipeline_count = (uint32_t)d.pipelines.count;
    d.scenario->pipelines = d.pipelines.items;
    ES_TRY(draw_services(&d));
    ES_TRY(draw_classes(&d));
    *out_scenario = d.scenario;
    return ES_OK;
}
