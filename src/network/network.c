#include "network/internal.h"

#include <assert.h>
#include <math.h>

const char *const es_tier_names[ES_TIER_COUNT] = {"device", "edge", "network", "cloud"};

const char *es_tier_name(es_tier tier)
{
    return (unsigned)tier < ES_TIER_COUNT ? es_tier_names[tier] : "?";
}

es_node es_node_default(void)
{
    return (es_node){.name = "",
                     .tier = ES_TIER_DEVICE,
                     .kind = "",
                     .processors = 1.0,
                     .utilisation_max = 1.0,
                     .slowdown = 1.0,
                     .carbon_zone = ""};
}

es_link es_link_default(void)
{
    return (es_link){
        .from = ES_NODE_NONE, .to = ES_NODE_NONE, .bandwidth_bps = 1e9, .availability = 1.0};
}

es_status es_network_new(es_arena *arena, es_network **out_network, es_error *err)
{
    es_network *network = ES_TAKE_ONE(arena, es_network);
    if (network == NULL)
        return es_arena_full(arena, "a network", err);
    network->arena = arena;
    *out_network = network;
    return ES_OK;
}

/* A number of a node or link and what it must be; NaN fails every comparison. */
typedef struct range {
    const char *field;
    double value;
    double min, max;
} range;

/* The first value outside its range, or NULL. */
static const range *first_outside(const range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(ranges[i].value >= ranges[i].min && ranges[i].value <= ranges[i].max))
            return &ranges[i];
    return NULL;
}

/* The largest finite double stands for "any finite number": infinity is above it. */
static const double FINITE = 1.7976931348623157e308;

static es_status check_node_numbers(const es_node *node, es_error *err)
{
    double latitude = node->has_position ? node->latitude_deg : 0.0;
    double longitude = node->has_position ? node->longitude_deg : 0.0;
    const range ranges[] = {
        {"processors", node->processors, 0.0, FINITE},
        {"utilisation_max", node->utilisation_max, 0.0, 1.0},
        {"memory_bytes", node->memory_bytes, 0.0, FINITE},
        {"idle_w", node->idle_w, 0.0, FINITE},
        {"busy_w", node->busy_w, 0.0, FINITE},
        {"slowdown", node->slowdown, 1.0, FINITE},
        {"carbon_gco2e_per_kwh", node->carbon_gco2e_per_kwh, 0.0, FINITE},
        {"latitude_deg", latitude, -90.0, 90.0},
        {"longitude_deg", longitude, -180.0, 180.0},
    };
    const range *bad = first_outside(ranges, sizeof ranges / sizeof ranges[0]);
    if (bad != NULL && bad->max == FINITE)
        return es_fail(err, ES_ERR_ARG, "node '%s': %s=%g must be finite and >= %g", node->name,
                       bad->field, bad->value, bad->min);
    if (bad != NULL)
        return es_fail(err, ES_ERR_ARG, "node '%s': %s=%g must be in %g..%g", node->name,
                       bad->field, bad->value, bad->min, bad->max);
    if (node->busy_w < node->idle_w)
        return es_fail(err, ES_ERR_ARG, "node '%s': busy_w=%g must be >= idle_w=%g", node->name,
                       node->busy_w, node->idle_w);
    return ES_OK;
}

static es_status check_node(const es_network *network, const es_node *node, es_error *err)
{
    size_t number = network->nodes.count;
    if (network->sealed)
        return es_fail(err, ES_ERR_ARG, "nodes[%zu]: the network is sealed", number);
    if (number >= ES_NETWORK_NODE_MAX)
        return es_fail(err, ES_ERR_LIMIT, "nodes[%zu]: a network has at most %u nodes", number,
                       ES_NETWORK_NODE_MAX);
    if (node->name == NULL || node->name[0] == '\0')
        return es_fail(err, ES_ERR_ARG, "nodes[%zu]: name is empty", number);
    size_t size = strlen(node->name);
    if (size > ES_NETWORK_NAME_MAX)
        return es_fail(err, ES_ERR_ARG, "nodes[%zu]: name '%.32s...' has %zu bytes, at most %d",
                       number, node->name, size, ES_NETWORK_NAME_MAX);
    uint32_t twin = es_network_names_find(&network->names, node->name);
    if (twin != UINT32_MAX)
        return es_fail(err, ES_ERR_ARG, "nodes[%zu]: name '%s' is already that of nodes[%u]",
                       number, node->name, twin);
    if ((unsigned)node->tier >= ES_TIER_COUNT)
        return es_fail(err, ES_ERR_ARG, "node '%s': tier=%u must be below %d", node->name,
                       (unsigned)node->tier, ES_TIER_COUNT);
    return check_node_numbers(node, err);
}

es_status es_network_node_add(es_network *network, const es_node *node, es_node_id *out_id,
                              es_error *err)
{
    ES_TRY(check_node(network, node, err));
    es_node copy = *node;
    copy.name = es_arena_text(network->arena, node->name);
    copy.kind = es_arena_text(network->arena, node->kind != NULL ? node->kind : "");
    copy.carbon_zone =
        es_arena_text(network->arena, node->carbon_zone != NULL ? node->carbon_zone : "");
    if (copy.name == NULL || copy.kind == NULL || copy.carbon_zone == NULL)
        return es_arena_full(network->arena, "texts of a node", err);
    if (!node->has_position)
        copy.latitude_deg = copy.longitude_deg = 0.0;
    uint32_t index = (uint32_t)network->nodes.count;
    ES_TRY(es_network_names_add(&network->names, network->arena, copy.name, index, err));
    ES_TRY(ES_ARRAY_PUSH(network->arena, &network->nodes, copy, "nodes", err));
    if (out_id != NULL)
        *out_id = (es_node_id){.index = index};
    return ES_OK;
}

static es_status check_link(const es_network *network, const es_link *link, es_error *err)
{
    size_t number = network->links.count;
    size_t nodes = network->nodes.count;
    if (network->sealed)
        return es_fail(err, ES_ERR_ARG, "links[%zu]: the network is sealed", number);
    if (number >= ES_NETWORK_LINK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "links[%zu]: a network has at most %u links", number,
                       ES_NETWORK_LINK_MAX);
    if (link->from.index >= nodes || link->to.index >= nodes)
        return es_fail(err, ES_ERR_ARG, "links[%zu]: %s=%u must be one of the %zu nodes", number,
                       link->from.index >= nodes ? "from" : "to",
                       link->from.index >= nodes ? link->from.index : link->to.index, nodes);
    const char *from = network->nodes.items[link->from.index].name;
    if (link->from.index == link->to.index)
        return es_fail(err, ES_ERR_ARG, "links[%zu]: from and to are both '%s', must differ",
                       number, from);
    const range ranges[] = {
        {"latency_s", link->latency_s, 0.0, ES_LINK_LATENCY_MAX_S},
        {"bandwidth_bps", link->bandwidth_bps, ES_LINK_BANDWIDTH_MIN_BPS,
         ES_LINK_BANDWIDTH_MAX_BPS},
        {"energy_j_per_bit", link->energy_j_per_bit, 0.0, ES_LINK_ENERGY_MAX_J_PER_BIT},
        {"availability", link->availability, 0.0, 1.0},
    };
    const range *bad = first_outside(ranges, sizeof ranges / sizeof ranges[0]);
    if (bad != NULL)
        return es_fail(err, ES_ERR_ARG, "links[%zu] ('%s' to '%s'): %s=%g must be in %g..%g",
                       number, from, network->nodes.items[link->to.index].name, bad->field,
                       bad->value, bad->min, bad->max);
    return ES_OK;
}

es_status es_network_link_add(es_network *network, const es_link *link, es_link_id *out_id,
                              es_error *err)
{
    ES_TRY(check_link(network, link, err));
    uint32_t index = (uint32_t)network->links.count;
    ES_TRY(ES_ARRAY_PUSH(network->arena, &network->links, *link, "links", err));
    if (out_id != NULL)
        *out_id = (es_link_id){.index = index};
    return ES_OK;
}

/* Counting sort of the links by the node they leave; keeps the order of link ids. */
static void fill_hops(es_network *network, uint32_t *next)
{
    uint32_t *starts = network->hop_starts;
    for (size_t i = 0; i < network->links.count; i++) {
        const es_link *link = &network->links.items[i];
        starts[link->from.index + 1]++;
        if (!link->directed)
            starts[link->to.index + 1]++;
    }
    for (size_t v = 0; v < network->nodes.count; v++) {
        starts[v + 1] += starts[v];
        next[v] = starts[v];
    }
    for (size_t i = 0; i < network->links.count; i++) {
        const es_link *link = &network->links.items[i];
        es_link_id id = {.index = (uint32_t)i};
        network->hops[next[link->from.index]++] = (es_hop){.to = link->to, .link = id};
        if (!link->directed)
            network->hops[next[link->to.index]++] = (es_hop){.to = link->from, .link = id};
    }
}

es_status es_network_seal(es_network *network, es_error *err)
{
    if (network->sealed)
        return ES_OK;
    if (network->nodes.count == 0)
        return es_fail(err, ES_ERR_ARG, "network: has no nodes, needs at least one");
    network->hop_starts = ES_TAKE_ARRAY(network->arena, uint32_t, network->nodes.count + 1);
    network->hops = ES_TAKE_ARRAY(network->arena, es_hop, network->links.count * 2);
    uint32_t *next = ES_TAKE_ARRAY(network->arena, uint32_t, network->nodes.count);
    if (network->hop_starts == NULL || network->hops == NULL || next == NULL)
        return es_arena_full(network->arena, "adjacency of a network", err);
    fill_hops(network, next);
    network->sealed = true;
    return ES_OK;
}

bool es_network_is_sealed(const es_network *network)
{
    return network->sealed;
}

uint32_t es_network_node_count(const es_network *network)
{
    return (uint32_t)network->nodes.count;
}

uint32_t es_network_link_count(const es_network *network)
{
    return (uint32_t)network->links.count;
}

const es_node *es_network_node(const es_network *network, es_node_id id)
{
    assert(id.index < network->nodes.count);
    return &network->nodes.items[id.index];
}

const es_link *es_network_link(const es_network *network, es_link_id id)
{
    assert(id.index < network->links.count);
    return &network->links.items[id.index];
}

es_node_id es_network_node_find(const es_network *network, const char *name)
{
    return (es_node_id){.index = es_network_names_find(&network->names, name)};
}

const es_hop *es_network_hops(const es_network *network, es_node_id id, uint32_t *out_count)
{
    assert(network->sealed);
    assert(id.index < network->nodes.count);
    *out_count = network->hop_starts[id.index + 1] - network->hop_starts[id.index];
    return network->hops + network->hop_starts[id.index];
}
