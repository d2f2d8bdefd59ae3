/*
 * es_world: a small scenario built by hand, for tests above scenario that must not depend on its
 * loader: a phone, an edge box and a cloud; one task served by a tiny model, a large model, a split
 * and a cascade. Every number is a member to change before es_world_seal.
 */
#ifndef ES_WORLD_H
#define ES_WORLD_H

#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

/* cmocka's own comparison is of floats: too coarse. tolerance is absolute. */
#define assert_near(got, wanted, tolerance)                                                        \
    do {                                                                                           \
        double es_got_ = (got);                                                                    \
        double es_wanted_ = (wanted);                                                              \
        if (!(fabs(es_got_ - es_wanted_) <= (tolerance)))                                          \
            fail_msg("%s: got %.12g, wanted %.12g", #got, es_got_, es_wanted_);                    \
    } while (0)

enum { ES_WORLD_PHONE, ES_WORLD_EDGE, ES_WORLD_CLOUD, ES_WORLD_NODES };
enum { ES_WORLD_TINY, ES_WORLD_LARGE, ES_WORLD_HEAD, ES_WORLD_TAIL, ES_WORLD_SEGMENTS };
enum {
    ES_WORLD_P_TINY,
    ES_WORLD_P_LARGE,
    ES_WORLD_P_SPLIT,
    ES_WORLD_P_CASCADE,
    ES_WORLD_PIPELINES
};

typedef struct es_world {
    es_arena *arena;
    es_node nodes[ES_WORLD_NODES];
    es_link links[2]; /* phone - edge, edge - cloud */
    es_task task;
    es_segment segments[ES_WORLD_SEGMENTS];
    es_kind kinds[ES_WORLD_NODES];
    uint32_t node_kinds[ES_WORLD_NODES];
    es_service services[ES_WORLD_NODES][ES_WORLD_SEGMENTS];
    es_stage stages[ES_WORLD_PIPELINES][2];
    es_pipeline pipelines[ES_WORLD_PIPELINES];
    uint32_t task_pipelines[2];
    es_class classes[2];
    es_scenario scenario;
    es_placement placements[8];
    es_routing routings[8];
    double refused_share[2];
    es_plan plan;
} es_world;

static inline void es_world_init(es_world *world)
{
    *world = (es_world){.arena = es_arena_new((size_t)256 << 20)};
    assert_non_null(world->arena);
    static const char *const names[] = {"phone", "edge box", "cloud"};
    static const es_tier tiers[] = {ES_TIER_DEVICE, ES_TIER_EDGE, ES_TIER_CLOUD};
    static const double processors[] = {1, 2, 8};
    static const double times[ES_WORLD_NODES][ES_WORLD_SEGMENTS] = {
        {0.010, 0.200, 0.004, 0.180}, {0.004, 0.050, 0.002, 0.045}, {0.001, 0.010, 0.0005, 0.009}};
    for (uint32_t v = 0; v < ES_WORLD_NODES; v++) {
        world->nodes[v] = es_node_default();
        world->nodes[v].name = names[v];
        world->nodes[v].tier = tiers[v];
        world->nodes[v].processors = processors[v];
        world->nodes[v].memory_bytes = 1e9;
        world->nodes[v].idle_w = 1 + 10 * v;
        world->nodes[v].busy_w = 5 + 50 * v;
        world->nodes[v].carbon_gco2e_per_kwh = 100 * (v + 1);
        world->kinds[v].name = names[v];
        world->node_kinds[v] = v;
        for (int s = 0; s < ES_WORLD_SEGMENTS; s++)
            world->services[v][s] =
                (es_service){.time_s = times[v][s], .energy_j = times[v][s] * (4 + 40 * v)};
    }
    for (uint32_t e = 0; e < 2; e++) {
        world->links[e] = es_link_default();
        world->links[e].from.index = e;
        world->links[e].to.index = e + 1;
        world->links[e].latency_s = e == 0 ? 0.005 : 0.020;
        world->links[e].bandwidth_bps = e == 0 ? 50e6 : 1e9;
        world->links[e].energy_j_per_bit = e == 0 ? 1e-7 : 1e-8;
    }
    world->task =
        (es_task){.name = "detect", .input_bytes = 10000, .output_bytes = 100, .deadline_s = 0.150};
    static const char *const segment_names[] = {"tiny", "large", "large-head", "large-tail"};
    for (int s = 0; s < ES_WORLD_SEGMENTS; s++)
        world->segments[s] = (es_segment){.name = segment_names[s],
                                          .variant = segment_names[s],
                                          .memory_bytes = 1e6,
                                          .output_bytes = 2000};
    static const char *const pipeline_names[] = {"tiny", "large", "split", "cascade"};
    static const double qualities[] = {0.7, 0.9, 0.9, 0.85};
    static const uint32_t first[] = {ES_WORLD_TINY, ES_WORLD_LARGE, ES_WORLD_HEAD, ES_WORLD_TINY};
    static const uint32_t second[] = {0, 0, ES_WORLD_TAIL, ES_WORLD_LARGE};
    for (int p = 0; p < ES_WORLD_PIPELINES; p++) {
        world->stages[p][0] = (es_stage){
            .segment = {first[p]}, .reach = 1, .input_bytes = 10000, .exit_threshold = 2};
        world->stages[p][1] = (es_stage){.segment = {second[p]},
                                         .reach = p == ES_WORLD_P_CASCADE ? 0.3 : 1,
                                         .input_bytes = p == ES_WORLD_P_CASCADE ? 10000 : 2000,
                                         .exit_threshold = 2};
        world->pipelines[p] = (es_pipeline){.name = pipeline_names[p],
                                            .quality = qualities[p],
                                            .stage_count = p >= ES_WORLD_P_SPLIT ? 2 : 1,
                                            .stages = world->stages[p]};
    }
    world->task_pipelines[1] = ES_WORLD_PIPELINES;
    for (uint32_t c = 0; c < 2; c++)
        world->classes[c] = (es_class){.node = {c},
                                       .arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = 20},
                                       .deadline_s = 0.150};
    world->scenario = (es_scenario){
        .file = "world.yaml",
        .name = "world",
        .seed = 7,
        .slot_s = 10,
        .slot_count = 12,
        .kind_count = ES_WORLD_NODES,
        .kinds = world->kinds,
        .node_kinds = world->node_kinds,
        .task_count = 1,
        .tasks = &world->task,
        .segment_count = ES_WORLD_SEGMENTS,
        .segments = world->segments,
        .services = &world->services[0][0],
        .pipeline_count = ES_WORLD_PIPELINES,
        .pipelines = world->pipelines,
        .task_pipelines = world->task_pipelines,
        .class_count = 2,
        .classes = world->classes,
        .objective = {.latency_per_s = 1,
                      .quality = 1,
                      .energy_per_j = 0.1,
                      .refusal_cost = (double)INFINITY},
        .replicas_min = 1,
    };
    world->plan = (es_plan){.scenario = "world",
                            .quality = ES_PLAN_OPTIMAL,
                            .objective = 1,
                            .bound = 1,
                            .placements = world->placements,
                            .routings = world->routings,
                            .refused_share = world->refused_share};
}

/* Appends a routing; second is ignored by pipelines of one stage. Placements follow: sorted, since
 * routings are few, by insertion. */
static inline void es_world_route(es_world *world, uint32_t class, uint32_t pipeline,
                                  uint32_t first, uint32_t second, double share)
{
    es_routing *routing = &world->routings[world->plan.routing_count++];
    *routing = (es_routing){
        .class_id = {class}, .pipeline = {pipeline}, .nodes = {{first}, {second}}, .share = share};
    for (uint32_t k = 0; k < world->pipelines[pipeline].stage_count; k++) {
        es_placement placement = {.node = routing->nodes[k],
                                  .segment = world->stages[pipeline][k].segment};
        size_t at = 0;
        bool there = false;
        for (size_t i = 0; i < world->plan.placement_count; i++) {
            es_placement other = world->placements[i];
            there = there || (other.node.index == placement.node.index &&
                              other.segment.index == placement.segment.index);
            if (other.node.index < placement.node.index ||
                (other.node.index == placement.node.index &&
                 other.segment.index < placement.segment.index))
                at = i + 1;
        }
        if (there)
            continue;
        for (size_t i = world->plan.placement_count; i > at; i--)
            world->placements[i] = world->placements[i - 1];
        world->placements[at] = placement;
        world->plan.placement_count++;
    }
}

static inline void es_world_seal(es_world *world)
{
    es_error err = {0};
    es_network *network = NULL;
    es_routes *routes = NULL;
    assert_ok_err(es_network_new(world->arena, &network, &err), err);
    for (int v = 0; v < ES_WORLD_NODES; v++)
        assert_ok_err(es_network_node_add(network, &world->nodes[v], NULL, &err), err);
    for (int e = 0; e < 2; e++)
        assert_ok_err(es_network_link_add(network, &world->links[e], NULL, &err), err);
    assert_ok_err(es_network_seal(network, &err), err);
    assert_ok_err(
        es_network_routes_new(world->arena, network, es_routes_weights_default(), &routes, &err),
        err);
    assert_ok_err(es_routes_all(routes, NULL, &err), err);
    world->scenario.network = network;
    world->scenario.routes = routes;
}

static inline void es_world_done(es_world *world)
{
    es_arena_free(world->arena);
}

#endif
