/*
 * Check: every stage of every pipeline has a node that can host it, and every class has a pipeline
 * that can serve it.
 *
 * A request goes from its entry over the nodes of its stages and back, so all of them lie in the
 * strongly connected part of the network that holds the entry; within a part all is reachable.
 */
#include "scenario/internal.h"

#include <math.h>

typedef struct es_parts {
    uint32_t *of_node; /* the part's number: its node with the smallest index */
    bool *hosts;       /* [node][segment]: any node of the part numbered `node` can host it */
} es_parts;

static bool can_host(const es_scenario *scenario, uint32_t segment, es_node_id id)
{
    const es_node *node = es_network_node(scenario->network, id);
    return node->processors > 0 && node->utilisation_max > 0 &&
           scenario->segments[segment].memory_bytes <= node->memory_bytes &&
           !isinf(es_scenario_service(scenario, (es_segment_id){.index = segment}, id).time_s);
}

static bool can_reach(const es_scenario *scenario, uint32_t from, uint32_t to)
{
    es_route route;
    return es_routes_get(scenario->routes, (es_node_id){.index = from}, (es_node_id){.index = to},
                         &route);
}

static es_status find_parts(const es_reader *reader, es_parts *parts, es_error *err)
{
    const es_scenario *scenario = reader->scenario;
    uint32_t nodes = es_network_node_count(scenario->network);
    size_t segments = scenario->segment_count;
    ES_TRY(es_scenario_field_take(reader->scratch, nodes, sizeof *parts->of_node,
                                  "parts of the network", &parts->of_node, err));
    ES_TRY(es_scenario_field_take(reader->scratch, nodes * segments, sizeof *parts->hosts,
                                  "parts of the network", &parts->hosts, err));
    for (uint32_t v = 0; v < nodes; v++) {
        uint32_t part = 0;
        while (part < v && (parts->of_node[part] != part || !can_reach(scenario, part, v) ||
                            !can_reach(scenario, v, part)))
            part++;
        parts->of_node[v] = part;
        for (uint32_t s = 0; s < segments; s++)
            parts->hosts[part * segments + s] |= can_host(scenario, s, (es_node_id){.index = v});
    }
    return ES_OK;
}

/* Why no node hosts the segment, in words. */
static const char *why_not(const es_scenario *scenario, uint32_t segment)
{
    uint32_t nodes = es_network_node_count(scenario->network);
    bool runs = false;
    for (uint32_t v = 0; v < nodes && !runs; v++)
        runs = !isinf(es_scenario_service(scenario, (es_segment_id){.index = segment},
                                          (es_node_id){.index = v})
                          .time_s);
    return runs ? "none where it runs has the memory for it"
                : "no node's kind has a time for it (on, slowdown or macs_per_s)";
}

static es_status check_stages(const es_reader *reader, const es_parts *parts, es_error *err)
{
    const es_scenario *scenario = reader->scenario;
    uint32_t nodes = es_network_node_count(scenario->network);
    for (uint32_t p = 0; p < scenario->pipeline_count; p++) {
        const es_pipeline *pipeline = &scenario->pipelines[p];
        for (uint32_t k = 0; k < pipeline->stage_count; k++) {
            uint32_t segment = pipeline->stages[k].segment.index;
            bool found = false;
            for (uint32_t v = 0; v < nodes && !found; v++)
                found = parts->hosts[(size_t)v * scenario->segment_count + segment];
            if (!found)
                return es_doc_fail(reader->pipeline_places[p], err,
                                   "no node can host segment '%s' of pipeline '%s': %s",
                                   scenario->segments[segment].name, pipeline->name,
                                   why_not(scenario, segment));
        }
    }
    return ES_OK;
}

static bool can_serve(const es_scenario *scenario, const es_parts *parts, uint32_t entry,
                      const es_pipeline *pipeline)
{
    const bool *hosts = &parts->hosts[(size_t)parts->of_node[entry] * scenario->segment_count];
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        if (!hosts[pipeline->stages[k].segment.index])
            return false;
    }
    return true;
}

static es_status check_classes(const es_reader *reader, const es_parts *parts, es_error *err)
{
    const es_scenario *scenario = reader->scenario;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        uint32_t task = scenario->classes[c].task.index;
        uint32_t entry = scenario->classes[c].node.index;
        uint32_t p = scenario->task_pipelines[task];
        uint32_t end = scenario->task_pipelines[task + 1];
        while (p < end && !can_serve(scenario, parts, entry, &scenario->pipelines[p]))
            p++;
        if (p == end)
            return es_doc_fail(reader->class_places[c], err,
                               "requests of task '%s' at node '%s' can be served by no pipeline: "
                               "no links lead there and back from nodes that could host one",
                               reader->tasks.items[task], reader->nodes.items[entry]);
    }
    return ES_OK;
}

es_status es_scenario_check(const es_reader *reader, es_error *err)
{
    es_parts parts = {0};
    ES_TRY(find_parts(reader, &parts, err));
    ES_TRY(check_stages(reader, &parts, err));
    return check_classes(reader, &parts, err);
}
