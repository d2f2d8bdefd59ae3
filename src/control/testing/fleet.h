/*
 * fleet: nodes and gateways in memory that processes share, for tests of the controller. They check
 * at every call what must hold of a cluster, count what went wrong, and may fail or kill whoever
 * calls.
 */
#ifndef ES_CONTROL_FLEET_H
#define ES_CONTROL_FLEET_H

#include "control/controller.h"
#include "es_world.h"

enum {
    FLEET_NODES = ES_WORLD_NODES,
    FLEET_GATEWAYS = 2,
    FLEET_MODELS = ES_WORLD_SEGMENTS,
    FLEET_CLASSES = 2,
    FLEET_WAYS = 32
};

/* One way of a class in the routes that a gateway has. */
typedef struct fleet_way {
    uint32_t class_index;
    uint32_t stage_count;
    uint32_t nodes[ES_STAGE_COUNT_MAX], models[ES_STAGE_COUNT_MAX];
    double share;
    char route[96]; /* its text */
} fleet_way;

typedef struct fleet_node {
    bool up;
    int starts;
    bool hosted[FLEET_MODELS];
    bool refuses[FLEET_MODELS]; /* to load it */
    bool knows_peers;
} fleet_node;

typedef struct fleet_gateway {
    bool up;
    bool cut_off; /* not up for the controller, but it serves */
    int starts;
    int64_t start_ns;
    int64_t generation;
    int64_t routed_ns; /* when it took them */
    fleet_way ways[FLEET_WAYS];
    uint32_t way_count;
    fleet_way old[FLEET_WAYS]; /* of the routes before: requests under way */
    uint32_t old_count;
    double refused[FLEET_CLASSES];
    double arrived[FLEET_CLASSES];
} fleet_gateway;

typedef struct fleet {
    es_clock_manual clock;
    int64_t unix_ns; /* is added to the clock */
    uint32_t gateway_count;
    fleet_node nodes[FLEET_NODES];
    fleet_gateway gateways[FLEET_GATEWAYS];
    bool tells_uptime, tells_drained;
    double under_way_s; /* how long requests are under way; 0.1 */
    /* faults */
    uint64_t calls;
    uint64_t kill_before, kill_after; /* this call kills the caller; 0: none does */
    /* what went wrong */
    uint32_t lost;      /* unloads of what requests under way, or to come, need */
    uint32_t overfull;  /* loads beyond a node's memory */
    uint32_t misrouted; /* routes over what is not hosted, or backwards in generations */
    uint32_t changes;   /* loads, unloads, routes that were done */
} fleet;

/* In memory shared with children. */
fleet *fleet_new(uint32_t gateway_count);
void fleet_free(fleet *own);

/* The cluster document, and the interface for es_controller_given. The world is the catalogue. */
const es_cluster *fleet_cluster(fleet *own, es_arena *arena);
es_fleet fleet_interface(fleet *own, es_world *world);

int64_t fleet_unix_ns(void *own); /* unix_context: the fleet */

void fleet_node_stop(fleet *own, uint32_t node);
void fleet_node_start(fleet *own, uint32_t node); /* empty, with a new epoch */
void fleet_gateway_stop(fleet *own, uint32_t gateway);
void fleet_gateway_start(fleet *own, uint32_t gateway); /* with the routes it had on disk */

/* What the gateways route and the nodes host, as a line: equal lines, equal clusters. */
void fleet_describe(const fleet *own, es_text *out);

#endif
