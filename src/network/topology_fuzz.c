/* The first byte chooses the format, the rest is the file. What is accepted becomes a network. */
#include "network/network.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(es_arena *arena, const es_topology *topology)
{
    for (uint32_t i = 0; i < topology->edge_count; i++)
        assert(topology->edges[i].a < topology->node_count &&
               topology->edges[i].b < topology->node_count);
    for (uint32_t i = 0; i < topology->demand_count; i++)
        assert(topology->demands[i].from < topology->node_count &&
               topology->demands[i].to < topology->node_count);
    es_network *network = NULL;
    es_topology_opts opts = es_topology_opts_default();
    opts.name_by_id = topology->node_count % 2 == 1;
    if (es_network_new(arena, &network, NULL) != ES_OK ||
        es_network_from_topology(network, topology, &opts, NULL, NULL) != ES_OK)
        return;
    es_routes *routes = NULL;
    if (es_network_seal(network, NULL) != ES_OK ||
        es_network_routes_new(arena, network, es_routes_weights_default(), &routes, NULL) != ES_OK)
        return;
    es_route route;
    es_node_id first = {.index = 0}, last = {.index = topology->node_count - 1};
    if (es_routes_get(routes, first, last, &route))
        assert(route.latency_s >= 0.0 && route.hop_count < topology->node_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)16 << 20);
    if (arena == NULL)
        return 0;
    es_topology_format format = (es_topology_format)(data[0] % ES_TOPOLOGY_FORMAT_COUNT);
    const es_topology *topology = NULL;
    es_error err = {0};
    es_status status =
        es_topology_parse(arena, "fuzz", (const char *)data + 1, size - 1, format, &topology, &err);
    if (status == ES_OK)
        check(arena, topology);
    else
        assert(topology == NULL && err.text[0] != '\0');
    return 0;
}
