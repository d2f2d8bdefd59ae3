/* The tables of event mode from a scenario and a plan. */
#include "base/array.h"
#include "base/clock.h"
#include "simulate/event_mode.h"

#include <math.h>
#include <string.h>

#define J_PER_KWH 3.6e6
#define LIFE_STREAM (UINT64_C(1) << 41)   /* random streams: failures */
#define LINK_STREAM (UINT64_C(1) << 42)   /* of links */
#define SOURCE_STREAM (UINT64_C(1) << 43) /* ways, exits, service times */
#define DEVICE_STREAM (UINT64_C(1) << 44)
enum { HOPS_MAX = 4096, HANDOVER_MAX = 4096, REQUEST_START = 1024 };

static es_status take(es_arena *arena, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(arena, count, size, "events", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

es_status es_world_init(es_arena *arena, es_world *world, es_world_size size, double run_s,
                        uint32_t slot_count, es_error *err)
{
    *world = (es_world){.arena = arena,
                        .end_ns = es_ns_from_s(run_s),
                        .slot_ns = es_ns_from_s(run_s / slot_count),
                        .slot_count = slot_count,
                        .node_count = size.nodes,
                        .lane_count = size.lanes,
                        .link_count = size.links,
                        .step_count = size.steps,
                        .way_count = size.ways,
                        .source_count = size.sources,
                        .device_count = size.devices,
                        .request_free = ES_NONE,
                        .request_max = UINT32_C(1) << 24,
                        .request_capacity = REQUEST_START};
    ES_TRY(es_event_queue_init(arena, REQUEST_START, &world->queue, err));
    ES_TRY(take(arena, size.nodes, sizeof *world->nodes, &world->nodes, err));
    ES_TRY(take(arena, size.lanes, sizeof *world->lanes, &world->lanes, err));
    ES_TRY(take(arena, size.links, sizeof *world->links, &world->links, err));
    ES_TRY(take(arena, size.steps, sizeof *world->steps, &world->steps, err));
    ES_TRY(take(arena, size.ways, sizeof *world->ways, &world->ways, err));
    ES_TRY(take(arena, size.sources, sizeof *world->sources, &world->sources, err));
    ES_TRY(take(arena, size.devices, sizeof *world->devices, &world->devices, err));
    ES_TRY(take(arena, REQUEST_START, sizeof *world->requests, &world->requests, err));
    for (uint32_t v = 0; v < size.nodes; v++) {
        es_visit_node *node = &world->nodes[v];
        *node = (es_visit_node){.servers = 1, .waiting_max = UINT32_MAX};
        for (uint32_t p = 0; p < ES_PRIORITIES; p++)
            node->head[p] = node->tail[p] = ES_NONE;
    }
    for (uint32_t l = 0; l < size.lanes; l++)
        world->lanes[l] = (es_lane){.bits_per_ns = 1, .next_ns = INT64_MAX};
    for (uint32_t l = 0; l < size.links; l++)
        world->links[l].lanes[0] = world->links[l].lanes[1] = ES_NONE;
    for (uint32_t c = 0; c < size.sources; c++)
        world->sources[c].deadline_ns = INT64_MAX;
    return ES_OK;
}

typedef struct builder {
    es_world *world;
    const es_scenario *scenario;
    const es_plan *plan;
    const es_sim_path *paths; /* in the order of the plan's routings */
    ES_ARRAY(es_step) steps;
} builder;

/* ---- nodes and links ---- */

static es_status build_more(es_world *world, uint32_t v, const es_node_events *events,
                            uint64_t seed, es_error *err)
{
    es_node_more *more = NULL;
    ES_TRY(take(world->arena, 1, sizeof *more, &more, err));
    *more = (es_node_more){
        .batch_max = events->batch_max,
        .batch_wait_ns = es_ns_from_s(events->batch_wait_s),
        .batch_event_ns = -1,
        .batch_growth = events->batch_growth,
        .drop_late = events->drop_late,
        .up_s = events->up_s,
        .repair_s = events->repair_s,
        .has_battery = isfinite(events->battery_j),
        .battery_j = events->battery_j,
        .sleep_after_ns =
            isfinite(events->sleep_after_s) ? es_ns_from_s(events->sleep_after_s) : -1,
        .sleep_w = events->sleep_w,
        .wake_ns = es_ns_from_s(events->wake_s),
        .serving = ES_NONE,
        .rng = es_rng_make(seed, LIFE_STREAM + v),
    };
    world->nodes[v].more = more;
    return ES_OK;
}

static bool is_plain(const es_node_events *events)
{
    return events->batch_max == 1 && !events->drop_late && events->up_s <= 0 &&
           !isfinite(events->battery_j) && !isfinite(events->sleep_after_s);
}

static es_status build_nodes(builder *b, uint64_t seed, es_error *err)
{
    es_world *world = b->world;
    bool has_series = false;
    for (uint32_t v = 0; v < world->node_count; v++) {
        const es_node *given = es_network_node(b->scenario->network, (es_node_id){v});
        es_visit_node *node = &world->nodes[v];
        node->servers = (uint32_t)fmin(fmax(round(given->processors), 1), 1e6);
        node->idle_w = given->idle_w;
        node->g_per_j = given->carbon_gco2e_per_kwh / J_PER_KWH;
        if (b->scenario->node_events == NULL)
            continue;
        const es_node_events *events = &b->scenario->node_events[v];
        node->waiting_max = events->queue_max;
        has_series = has_series || events->carbon != NULL;
        if (!is_plain(events))
            ES_TRY(build_more(world, v, events, seed, err));
    }
    for (size_t i = 0; i < b->plan->placement_count; i++) {
        es_placement placement = b->plan->placements[i];
        if (placement.node.index >= world->node_count ||
            placement.segment.index >= b->scenario->segment_count)
            return es_fail(err, ES_ERR_ARG, "plan: placements[%zu] is not in the scenario", i);
        es_visit_node *node = &world->nodes[placement.node.index];
        double bytes = b->scenario->segments[placement.segment.index].memory_bytes;
        node->hosts = true;
        node->loaded_bytes += bytes;
        if (node->more != NULL)
            node->more->loaded_bytes += bytes;
    }
    if (!has_series)
        return ES_OK;
    ES_TRY(take(world->arena, world->node_count, sizeof *world->intensities, &world->intensities,
                err));
    for (uint32_t v = 0; v < world->node_count; v++)
        world->intensities[v].series = b->scenario->node_events[v].carbon;
    return ES_OK;
}

static void build_links(builder *b, uint64_t seed)
{
    es_world *world = b->world;
    for (uint32_t l = 0; l < world->link_count; l++) {
        const es_link *given = es_network_link(b->scenario->network, (es_link_id){l});
        es_link_more *link = &world->links[l];
        for (uint32_t d = 0; d < 2; d++) {
            es_lane *lane = &world->lanes[2 * l + d];
            lane->bits_per_ns = given->bandwidth_bps * 1e-9;
            lane->latency_ns = es_ns_from_s(given->latency_s);
            lane->sender = d == 0 ? given->from.index : given->to.index;
            link->lanes[d] = d == 1 && given->directed ? ES_NONE : 2 * l + d;
        }
        if (b->scenario->link_events != NULL) {
            link->up_s = b->scenario->link_events[l].up_s;
            link->repair_s = b->scenario->link_events[l].repair_s;
        }
        link->rng = es_rng_make(seed, LINK_STREAM + l);
    }
}

/* ---- steps ---- */

static es_status add_step(builder *b, es_step step, es_error *err)
{
    return ES_ARRAY_PUSH(b->world->arena, &b->steps, step, "events", err);
}

/* The links from one node to another; the joules of each count at the mean grid of the two ends. */
static es_status add_transfer(builder *b, uint32_t from, uint32_t to, double bytes, es_error *err)
{
    const es_network *network = b->scenario->network;
    es_link_id links[HOPS_MAX];
    uint32_t count = 0;
    if (from == to)
        return ES_OK;
    if (!es_routes_path(b->scenario->routes, (es_node_id){from}, (es_node_id){to}, links, HOPS_MAX,
                        &count) ||
        count > HOPS_MAX)
        return es_fail(err, ES_ERR_ARG, "no way of at most %d links from node '%s' to '%s'",
                       HOPS_MAX, es_network_node(network, (es_node_id){from})->name,
                       es_network_node(network, (es_node_id){to})->name);
    double g_per_j = (b->world->nodes[from].g_per_j + b->world->nodes[to].g_per_j) / 2;
    uint32_t here = from;
    for (uint32_t i = 0; i < count; i++) {
        const es_link *link = es_network_link(network, links[i]);
        bool forth = link->from.index == here;
        es_step step = {.kind = ES_STEP_CROSS,
                        .place = 2 * links[i].index + (forth ? 0 : 1),
                        .from = from,
                        .to = to,
                        .amount = 8 * bytes,
                        .energy_j = 8 * bytes * link->energy_j_per_bit};
        step.carbon_g = step.energy_j * g_per_j;
        ES_TRY(add_step(b, step, err));
        here = forth ? link->to.index : link->from.index;
    }
    return ES_OK;
}

static es_status add_stage(builder *b, const es_routing *routing, const es_sim_step *given,
                           uint32_t k, es_error *err)
{
    const es_pipeline *pipeline = &b->scenario->pipelines[routing->pipeline.index];
    const es_stage *stage = &pipeline->stages[k];
    uint32_t entry = b->scenario->classes[routing->class_id.index].node.index;
    uint32_t before = k == 0 ? entry : routing->nodes[k - 1].index;
    uint32_t here = routing->nodes[k].index;
    bool last = k + 1 == pipeline->stage_count;
    ES_TRY(add_transfer(b, before, here, stage->input_bytes, err));
    es_step visit = {.kind = ES_STEP_VISIT,
                     .stage = (uint8_t)k,
                     .draws = b->scenario->node_events != NULL &&
                              b->scenario->node_events[here].exponential,
                     .place = here,
                     .model = stage->segment.index,
                     .amount = given->service_s * 1e9,
                     .energy_j = given->compute_j,
                     .carbon_g = given->compute_j * b->world->nodes[here].g_per_j,
                     .go_on = last ? 0 : pipeline->stages[k + 1].reach / stage->reach};
    b->world->nodes[here].hosts = true;
    return add_step(b, visit, err);
}

static es_status add_way(builder *b, size_t i, es_error *err)
{
    const es_routing *routing = &b->plan->routings[i];
    const es_pipeline *pipeline = &b->scenario->pipelines[routing->pipeline.index];
    uint32_t entry = b->scenario->classes[routing->class_id.index].node.index;
    double answer = b->scenario->tasks[pipeline->task.index].output_bytes;
    es_route_way *way = &b->world->ways[i];
    way->first_step = (uint32_t)b->steps.count;
    way->class_id = routing->class_id.index;
    way->pipeline = routing->pipeline.index;
    way->quality = pipeline->quality;
    size_t visits[ES_STAGE_COUNT_MAX] = {0};
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        ES_TRY(add_stage(b, routing, &b->paths[i].steps[k], k, err));
        visits[k] = b->steps.count - 1;
    }
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        b->steps.items[visits[k]].exit_step = (uint32_t)b->steps.count;
        ES_TRY(add_transfer(b, routing->nodes[k].index, entry, answer, err));
        ES_TRY(add_step(b, (es_step){.kind = ES_STEP_END}, err));
    }
    way->step_count = (uint32_t)b->steps.count - way->first_step;
    return ES_OK;
}

/* ---- sources ---- */

static bool are_peers(const es_class *a, const es_class *b)
{
    return a->task.index == b->task.index && a->devices.count > 0 && b->devices.count > 0 &&
           a->devices.move_per_s > 0 && b->devices.move_per_s > 0;
}

/* Answers follow a device that moved: from the node where it asked to where it is. */
static es_status build_handover(builder *b, es_error *err)
{
    es_world *world = b->world;
    const es_class *classes = b->scenario->classes;
    uint32_t count = world->source_count;
    uint32_t *peers = NULL;
    uint32_t *table = NULL;
    size_t pair_count = 0;
    for (uint32_t c = 0; c < count; c++) {
        for (uint32_t d = 0; d < count; d++)
            pair_count += are_peers(&classes[c], &classes[d]);
    }
    if (pair_count == 0)
        return ES_OK;
    if (count > HANDOVER_MAX)
        return es_fail(err, ES_ERR_LIMIT, "devices that move need at most %d classes, not %u",
                       HANDOVER_MAX, count);
    ES_TRY(take(world->arena, pair_count, sizeof *peers, &peers, err));
    ES_TRY(take(world->arena, (size_t)count * count, sizeof *table, &table, err));
    uint32_t used = 0;
    for (uint32_t c = 0; c < count; c++) {
        world->sources[c].first_peer = used;
        for (uint32_t d = 0; d < count; d++) {
            table[(size_t)c * count + d] = ES_NONE;
            if (!are_peers(&classes[c], &classes[d]))
                continue;
            peers[used++] = d;
            if (c == d)
                continue;
            table[(size_t)c * count + d] = (uint32_t)b->steps.count;
            ES_TRY(add_transfer(b, classes[c].node.index, classes[d].node.index,
                                b->scenario->tasks[classes[c].task.index].output_bytes, err));
            ES_TRY(add_step(b, (es_step){.kind = ES_STEP_END}, err));
        }
        world->sources[c].peer_count = used - world->sources[c].first_peer;
    }
    world->peers = peers;
    world->handover = table;
    return ES_OK;
}

static void build_source(builder *b, uint32_t c, uint64_t seed, uint32_t *next_device)
{
    es_world *world = b->world;
    const es_class *given = &b->scenario->classes[c];
    es_source *source = &world->sources[c];
    source->stream = es_arrival_stream_make(given->arrivals, seed, c);
    source->rng = es_rng_make(seed, SOURCE_STREAM + c);
    source->device_rng = es_rng_make(seed, DEVICE_STREAM + c);
    source->node = given->node.index;
    source->priority = given->priority;
    source->deadline_ns = isfinite(given->deadline_s) ? es_ns_from_s(given->deadline_s) : INT64_MAX;
    source->first_device = *next_device;
    source->device_count = given->devices.count;
    source->device_battery_j = given->devices.battery_j;
    source->device_idle_w = given->devices.idle_w;
    source->device_request_j = given->devices.request_j;
    source->move_rate = given->devices.move_per_s;
    for (uint32_t i = 0; i < given->devices.count; i++)
        world->devices[(*next_device)++].place = c;
}

/* Routings are sorted by class. */
static es_status build_ways(builder *b, es_error *err)
{
    es_world *world = b->world;
    uint32_t before = ES_NONE;
    double sum = 0;
    for (uint32_t i = 0; i < world->way_count; i++) {
        ES_TRY(add_way(b, i, err));
        uint32_t c = world->ways[i].class_id;
        if (c != before) {
            if (world->sources[c].way_count > 0)
                return es_fail(err, ES_ERR_ARG, "plan: routings[%u] are not in order of class", i);
            world->sources[c].first_way = i;
            sum = 0;
        }
        world->sources[c].way_count++;
        sum += b->paths[i].share;
        world->ways[i].upto = sum;
        before = c;
    }
    for (uint32_t c = 0; c < world->source_count; c++) { /* rounding must refuse nobody */
        const es_source *source = &world->sources[c];
        if (source->way_count > 0 && world->refused[c] <= 0)
            world->ways[source->first_way + source->way_count - 1].upto = 2;
    }
    return ES_OK;
}

es_status es_world_build(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                         const es_event_opts *opts, uint64_t seed, es_world **out_world,
                         es_error *err)
{
    es_world *world = ES_TAKE_ONE(arena, es_world);
    if (world == NULL)
        return es_arena_full(arena, "events", err);
    builder b = {.world = world, .scenario = scenario, .plan = plan};
    double *refused = NULL;
    ES_TRY(es_sim_paths(arena, scenario, plan, opts->overhead_s, &b.paths, &refused, err));
    uint64_t device_count = 0;
    for (uint32_t c = 0; c < scenario->class_count; c++)
        device_count += scenario->classes[c].devices.count;
    if (device_count >= ES_NONE)
        return es_fail(err, ES_ERR_LIMIT, "%llu devices are more than 2^32 - 2",
                       (unsigned long long)device_count);
    uint32_t link_count = es_network_link_count(scenario->network);
    es_world_size size = {.nodes = es_network_node_count(scenario->network),
                          .lanes = 2 * link_count,
                          .links = link_count,
                          .ways = (uint32_t)plan->routing_count,
                          .sources = scenario->class_count,
                          .devices = (uint32_t)device_count};
    ES_TRY(es_world_init(arena, world, size, scenario->slot_s * scenario->slot_count,
                         scenario->slot_count, err));
    world->refused = refused;
    world->drain = opts->drain;
    world->request_max = opts->request_max;
    if (world->request_capacity > opts->request_max)
        world->request_capacity = opts->request_max;
    ES_TRY(build_nodes(&b, seed, err));
    build_links(&b, seed);
    uint32_t next_device = 0;
    for (uint32_t c = 0; c < scenario->class_count; c++)
        build_source(&b, c, seed, &next_device);
    ES_TRY(build_ways(&b, err));
    ES_TRY(build_handover(&b, err));
    world->steps = b.steps.items;
    world->step_count = (uint32_t)b.steps.count;
    *out_world = world;
    return ES_OK;
}
