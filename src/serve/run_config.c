#include "run_internal.h"

#include <math.h>
#include <string.h>

/* More than this waiting on an emulated link: requests are refused. */
#define LINK_BACKLOG_BYTES (64.0 * 1024 * 1024)

static es_status whole_bytes(double bytes, const char *what, uint64_t *out, es_error *err)
{
    if (!(bytes >= 0) || bytes > ES_PAYLOAD_SIZE_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s=%g must be 0 to %d to be sent for real", what, bytes,
                       ES_PAYLOAD_SIZE_MAX);
    if (bytes != floor(bytes))
        return es_fail(err, ES_ERR_ARG, "%s=%.17g must be a whole number to be sent for real", what,
                       bytes);
    *out = (uint64_t)bytes;
    return ES_OK;
}

static es_status fill_route(es_run *run, size_t r, es_error *err)
{
    const es_scenario *scenario = run->scenario;
    const es_routing *routing = &run->plan->routings[r];
    if (routing->class_id.index >= scenario->class_count ||
        routing->pipeline.index >= scenario->pipeline_count)
        return es_fail(err, ES_ERR_ARG, "routing %zu: class or pipeline is not in the scenario", r);
    const es_class *class = &scenario->classes[routing->class_id.index];
    const es_pipeline *pipeline = &scenario->pipelines[routing->pipeline.index];
    es_config_route *route = &run->routes[r];
    route->origin = class->node.index;
    route->stage_count = pipeline->stage_count;
    ES_TRY(es_within(err,
                     whole_bytes(ceil(scenario->tasks[pipeline->task.index].output_bytes),
                                 "output_bytes", &route->output_bytes, err),
                     "task '%s'", scenario->tasks[pipeline->task.index].name));
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        const es_stage *stage = &pipeline->stages[k];
        uint64_t input_bytes = 0;
        if (routing->nodes[k].index >= run->node_count)
            return es_fail(err, ES_ERR_ARG, "routing %zu: node %u is not in the scenario", r,
                           routing->nodes[k].index);
        ES_TRY(es_within(err, whole_bytes(stage->input_bytes, "input_bytes", &input_bytes, err),
                         "pipeline '%s', stage %u", pipeline->name, k + 1));
        route->stages[k] =
            (es_config_stage){.segment = stage->segment.index,
                              .node = routing->nodes[k].index,
                              .input = k == 0 ? ES_STAGE_INPUT_REQUEST : stage->input,
                              .exit_output = stage->exit_output,
                              .exit_threshold = stage->exit_threshold,
                              .input_bytes = (uint32_t)input_bytes};
    }
    return ES_OK;
}

/* Links out of a node, and the first of them on the way to every other. */
static es_status fill_links(es_run *run, uint32_t v, es_error *err)
{
    const es_network *network = run->scenario->network;
    es_config *config = &run->nodes[v].config;
    const es_hop *hops = es_network_hops(network, (es_node_id){v}, &config->link_count);
    config->links = ES_TAKE_ARRAY(run->arena, es_config_link, config->link_count);
    config->next_hops = ES_TAKE_ARRAY(run->arena, uint32_t, run->node_count);
    if (config->links == NULL || config->next_hops == NULL)
        return es_arena_full(run->arena, "links of a node", err);
    for (uint32_t i = 0; i < config->link_count; i++) {
        const es_link *link = es_network_link(network, hops[i].link);
        config->links[i] = (es_config_link){.to = hops[i].to.index,
                                            .address = "127.0.0.1",
                                            .latency_ns = es_ns_from_s(link->latency_s),
                                            .bandwidth_bps = link->bandwidth_bps};
    }
    for (uint32_t to = 0; to < run->node_count; to++) {
        es_link_id first = ES_LINK_NONE;
        uint32_t length = 0;
        config->next_hops[to] = ES_INDEX_NONE;
        if (to == v || !es_routes_path(run->scenario->routes, (es_node_id){v}, (es_node_id){to},
                                       &first, 1, &length))
            continue;
        for (uint32_t i = 0; i < config->link_count; i++) {
            if (hops[i].link.index == first.index)
                config->next_hops[to] = i;
        }
    }
    return ES_OK;
}

static es_status host(es_run *run, uint32_t v, uint32_t s, es_error *err)
{
    const es_scenario *scenario = run->scenario;
    const es_segment *segment = &scenario->segments[s];
    es_config *config = &run->nodes[v].config;
    if (segment->file == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "segment '%s' has no model file, and a run needs one for what the plan "
                       "hosts",
                       segment->name);
    double time_s = es_scenario_service(scenario, (es_segment_id){s}, (es_node_id){v}).time_s;
    config->segments[config->segment_count++] = (es_config_segment){
        .segment = s,
        .name = segment->name,
        .file = segment->file,
        .hold_ns = isfinite(time_s) ? es_ns_from_s(time_s) : 0,
    };
    return ES_OK;
}

static es_status fill_segments(es_run *run, uint32_t v, es_error *err)
{
    const es_plan *plan = run->plan;
    const es_node *node = es_network_node(run->scenario->network, (es_node_id){v});
    es_config *config = &run->nodes[v].config;
    size_t count = 0;
    for (size_t i = 0; i < plan->placement_count; i++)
        count += plan->placements[i].node.index == v;
    config->segments = ES_TAKE_ARRAY(run->arena, es_config_segment, count);
    run->nodes[v].dtypes = ES_TAKE_ARRAY(run->arena, es_dtype, count);
    if (config->segments == NULL || run->nodes[v].dtypes == NULL)
        return es_arena_full(run->arena, "segments of a node", err);
    for (size_t i = 0; i < plan->placement_count; i++) {
        if (plan->placements[i].node.index == v)
            ES_TRY(host(run, v, plan->placements[i].segment.index, err));
    }
    double workers = ceil(node->processors);
    run->nodes[v].hosts = count > 0;
    config->workers =
        count == 0 ? 0 : (uint32_t)(workers > ES_NODE_WORKERS_MAX ? ES_NODE_WORKERS_MAX : workers);
    return ES_OK;
}

static void fill_node(es_run *run, uint32_t v)
{
    const es_node *node = es_network_node(run->scenario->network, (es_node_id){v});
    const es_kind *kind = &run->scenario->kinds[run->scenario->node_kinds[v]];
    es_config *config = &run->nodes[v].config;
    config->node = v;
    config->node_count = run->node_count;
    config->name = node->name;
    config->ort_library = run->opts.ort_library != NULL ? run->opts.ort_library : "";
    config->slowdown = kind->slowdown;
    config->queue_capacity = run->opts.queue_capacity;
    config->payload_max = ES_PAYLOAD_SIZE_MAX;
    config->link_backlog_bytes = LINK_BACKLOG_BYTES;
    config->route_count = (uint32_t)run->plan->routing_count;
    config->routes = run->routes;
}

/* Marks the nodes between from and to, both included; false when there is no way. */
static bool mark_way(const es_run *run, uint32_t from, uint32_t to, uint64_t *bits)
{
    uint32_t at = from;
    for (uint32_t steps = 0; steps <= run->node_count; steps++) {
        bits[at / 64] |= UINT64_C(1) << (at % 64);
        if (at == to)
            return true;
        uint32_t hop = run->nodes[at].config.next_hops[to];
        if (hop == ES_INDEX_NONE)
            return false;
        at = run->nodes[at].config.links[hop].to;
    }
    return false;
}

static es_status mark_ways(es_run *run, size_t r, es_error *err)
{
    const es_config_route *route = &run->routes[r];
    size_t words = (run->node_count + 63) / 64;
    uint64_t *bits = run->touches + r * words;
    uint32_t before = route->origin;
    for (uint32_t k = 0; k < route->stage_count; k++) {
        uint32_t here = route->stages[k].node;
        if (!mark_way(run, before, here, bits) || !mark_way(run, here, route->origin, bits))
            return es_fail(err, ES_ERR_ARG, "routing %zu: there is no way between '%s' and '%s'", r,
                           run->nodes[before].config.name, run->nodes[here].config.name);
        before = here;
    }
    return ES_OK;
}

es_status es_run_configure(es_run *run, es_error *err)
{
    const es_plan *plan = run->plan;
    run->nodes = ES_TAKE_ARRAY(run->arena, es_run_node, run->node_count);
    run->routes = ES_TAKE_ARRAY(run->arena, es_config_route, plan->routing_count);
    run->touches =
        ES_TAKE_ARRAY(run->arena, uint64_t, plan->routing_count * ((run->node_count + 63) / 64));
    if (run->nodes == NULL || run->routes == NULL || run->touches == NULL)
        return es_arena_full(run->arena, "nodes of the run", err);
    for (uint32_t v = 0; v < run->node_count; v++) {
        run->nodes[v].conn.fd = -1;
        run->nodes[v].child.ready_fd = -1;
    }
    for (size_t i = 0; i < plan->placement_count; i++) {
        if (plan->placements[i].node.index >= run->node_count ||
            plan->placements[i].segment.index >= run->scenario->segment_count)
            return es_fail(err, ES_ERR_ARG, "placement %zu is not of this scenario", i);
    }
    for (size_t r = 0; r < plan->routing_count; r++)
        ES_TRY(fill_route(run, r, err));
    for (uint32_t v = 0; v < run->node_count; v++)
        fill_node(run, v);
    for (uint32_t v = 0; v < run->node_count; v++) {
        ES_TRY(fill_links(run, v, err));
        ES_TRY(es_within(err, fill_segments(run, v, err), "node '%s'", run->nodes[v].config.name));
    }
    for (size_t r = 0; r < plan->routing_count; r++)
        ES_TRY(mark_ways(run, r, err));
    return ES_OK;
}
