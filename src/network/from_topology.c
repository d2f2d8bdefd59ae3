#include "network/internal.h"

es_topology_opts es_topology_opts_default(void)
{
    es_topology_opts opts = {.node = es_node_default(),
                             .link = es_link_default(),
                             .stretch = 1.0,
                             .length_of_file = true,
                             .bandwidth_of_file = true,
                             .unplaced = ES_TOPOLOGY_UNPLACED_DEFAULT};
    opts.node.tier = ES_TIER_NETWORK;
    opts.node.processors = 0.0;
    opts.link.latency_s = 5e-3;
    opts.link.bandwidth_bps = 1e10;
    return opts;
}

/* Which labels stand alone: counts by first appearance. */
static es_status count_labels(es_arena *scratch, const es_topology *topology, bool *is_unique,
                              es_error *err)
{
    es_network_names labels = {0};
    for (uint32_t i = 0; i < topology->node_count; i++) {
        const char *label = topology->nodes[i].label;
        uint32_t first = es_network_names_find(&labels, label);
        is_unique[i] = first == UINT32_MAX;
        if (first != UINT32_MAX)
            is_unique[first] = false;
        else
            ES_TRY(es_network_names_add(&labels, scratch, label, i, err));
    }
    return ES_OK;
}

/* The label when it stands alone and fits, else "label#id", else the id. */
static const char *name_of(es_arena *scratch, const es_topology_node *node, bool is_unique,
                           bool by_id)
{
    if (by_id || strlen(node->label) > ES_NETWORK_NAME_MAX)
        return node->id;
    if (is_unique)
        return node->label;
    if (strlen(node->label) + 1 + strlen(node->id) > ES_NETWORK_NAME_MAX)
        return node->id;
    return es_arena_format(scratch, "%s#%s", node->label, node->id);
}

static es_status add_nodes(es_network *network, const es_topology *topology,
                           const es_topology_opts *opts, es_arena *scratch, es_error *err)
{
    bool *is_unique = ES_TAKE_ARRAY(scratch, bool, topology->node_count);
    if (is_unique == NULL)
        return es_arena_full(scratch, "labels of a topology", err);
    ES_TRY(count_labels(scratch, topology, is_unique, err));
    for (uint32_t i = 0; i < topology->node_count; i++) {
        const es_topology_node *from = &topology->nodes[i];
        es_node node = opts->node;
        node.name = name_of(scratch, from, is_unique[i], opts->name_by_id);
        if (node.name == NULL)
            return es_arena_full(scratch, "names of a topology", err);
        node.has_position = from->has_position;
        node.latitude_deg = from->latitude_deg;
        node.longitude_deg = from->longitude_deg;
        ES_TRY(es_network_node_add(network, &node, NULL, err));
    }
    return ES_OK;
}

/* From the file's length, else from the two positions, else the default or an error. */
static es_status latency_of(const es_topology *topology, uint32_t number,
                            const es_topology_opts *opts, double *out_s, bool *out_is_default,
                            es_error *err)
{
    const es_topology_edge *edge = &topology->edges[number];
    const es_topology_node *a = &topology->nodes[edge->a];
    const es_topology_node *b = &topology->nodes[edge->b];
    *out_is_default = false;
    bool has_positions = a->has_position && b->has_position;
    if (edge->has_length && (opts->length_of_file || !has_positions)) {
        *out_s = es_fibre_latency_s(edge->length_km, 1.0);
    } else if (has_positions) {
        double km =
            es_distance_km(a->latitude_deg, a->longitude_deg, b->latitude_deg, b->longitude_deg);
        *out_s = es_fibre_latency_s(km, opts->stretch);
    } else if (opts->unplaced == ES_TOPOLOGY_UNPLACED_REFUSE) {
        return es_fail(err, ES_ERR_ARG,
                       "edges[%u] from '%s' to '%s': no length, and '%s' has no position", number,
                       a->label, b->label, a->has_position ? b->label : a->label);
    } else {
        *out_s = opts->link.latency_s;
        *out_is_default = true;
    }
    return ES_OK;
}

static es_status add_links(es_network *network, const es_topology *topology,
                           const es_topology_opts *opts, uint32_t first, es_topology_report *report,
                           es_error *err)
{
    for (uint32_t i = 0; i < topology->edge_count; i++) {
        const es_topology_edge *edge = &topology->edges[i];
        if (edge->a == edge->b)
            continue;
        es_link link = opts->link;
        link.from = (es_node_id){.index = first + edge->a};
        link.to = (es_node_id){.index = first + edge->b};
        link.directed = topology->directed;
        bool is_default = false;
        ES_TRY(latency_of(topology, i, opts, &link.latency_s, &is_default, err));
        report->latency_default_count += is_default;
        if (opts->bandwidth_of_file && edge->bandwidth_bps > 0.0)
            link.bandwidth_bps = edge->bandwidth_bps;
        else
            report->bandwidth_default_count++;
        ES_TRY(es_network_link_add(network, &link, NULL, err));
        report->link_count++;
    }
    return ES_OK;
}

es_status es_network_from_topology(es_network *network, const es_topology *topology,
                                   const es_topology_opts *opts, es_topology_report *out_report,
                                   es_error *err)
{
    if (!(opts->stretch >= 1.0 && opts->stretch <= 100.0))
        return es_fail(err, ES_ERR_ARG, "topology '%s': stretch=%g must be in 1..100",
                       topology->name, opts->stretch);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)4 << 30);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "topology '%s': no memory", topology->name);
    uint32_t first = (uint32_t)network->nodes.count;
    es_topology_report report = {.node_count = topology->node_count,
                                 .self_loop_count = topology->self_loop_count,
                                 .parallel_link_count = topology->multi_edge_count};
    es_status status = add_nodes(network, topology, opts, scratch, err);
    if (status == ES_OK)
        status = add_links(network, topology, opts, first, &report, err);
    if (status != ES_OK)
        return es_within(err, status, "topology '%s'", topology->name);
    if (out_report != NULL)
        *out_report = report;
    return ES_OK;
}
