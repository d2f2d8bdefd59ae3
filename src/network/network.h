/*
 * network: the places that compute, the links that join them, and the routes between them.
 *
 * Built node by node (or from an imported topology), then sealed: read-only from then on.
 * Reads topology files: GML, GraphML, SNDlib text and XML, node-link JSON. Writes nothing.
 * Units: seconds (_s), bytes, bits per second (_bps), joules (_j), watts (_w), kilometres (_km),
 * degrees (_deg), grams of CO2-equivalent (_gco2e).
 * Threads: a sealed network may be shared; es_routes as told there; no globals.
 * Errors: ES_ERR_ARG (a value out of range), ES_ERR_PARSE (a bad file), ES_ERR_IO, ES_ERR_NOMEM,
 * ES_ERR_LIMIT. An unreachable node is an answer, not an error.
 */
#ifndef ES_NETWORK_NETWORK_H
#define ES_NETWORK_NETWORK_H

#include "base/arena.h"
#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>

/* Numbers of nodes and links, from 0 in the order of adding; they cannot be swapped. */
typedef struct es_node_id {
    uint32_t index;
} es_node_id;

typedef struct es_link_id {
    uint32_t index;
} es_link_id;

#define ES_NODE_NONE ((es_node_id){.index = UINT32_MAX})
#define ES_LINK_NONE ((es_link_id){.index = UINT32_MAX})

static inline bool es_node_is_none(es_node_id id)
{
    return id.index == UINT32_MAX;
}
static inline bool es_link_is_none(es_link_id id)
{
    return id.index == UINT32_MAX;
}

typedef enum es_tier {
    ES_TIER_DEVICE,
    ES_TIER_EDGE,
    ES_TIER_NETWORK,
    ES_TIER_CLOUD,
    ES_TIER_COUNT
} es_tier;

/* "device", "edge", "network", "cloud": the words of documents, indexed by es_tier. */
extern const char *const es_tier_names[ES_TIER_COUNT];

/* The word of a tier; "?" outside the range. */
const char *es_tier_name(es_tier tier);

/* Bounds of what a network takes, wide enough for anything real, narrow enough that no sum over
 * links overflows. */
enum { ES_NETWORK_NAME_MAX = 128 }; /* bytes of a node name */
#define ES_NETWORK_NODE_MAX 10000000u
#define ES_NETWORK_LINK_MAX 100000000u
#define ES_LINK_LATENCY_MAX_S 1e9
#define ES_LINK_BANDWIDTH_MIN_BPS 1e-6
#define ES_LINK_BANDWIDTH_MAX_BPS 1e18
#define ES_LINK_ENERGY_MAX_J_PER_BIT 1e9

/* A place that computes. All numbers finite. */
typedef struct es_node {
    const char *name; /* unique, 1..128 bytes */
    es_tier tier;
    const char *kind;            /* hardware kind, key of the service table; "" or NULL: unknown */
    double processors;           /* servers working in parallel, >= 0; 0: only forwards */
    double utilisation_max;      /* share of the processors that may be kept busy, 0..1 */
    double memory_bytes;         /* for models, >= 0 */
    double idle_w;               /* drawn when on and idle, >= 0 */
    double busy_w;               /* drawn at full load, >= idle_w */
    double slowdown;             /* emulation: times slower than the host, >= 1 */
    const char *carbon_zone;     /* e.g. "FR"; "" or NULL: none */
    double carbon_gco2e_per_kwh; /* of the electricity, >= 0 */
    double latitude_deg;         /* -90..90 when has_position, else ignored and kept as 0 */
    double longitude_deg;        /* -180..180 when has_position, else ignored and kept as 0 */
    bool has_position;
} es_node;

/* Joins two different nodes. Several links may join the same two. All numbers finite. */
typedef struct es_link {
    es_node_id from, to;
    double latency_s;        /* one way, 0..ES_LINK_LATENCY_MAX_S */
    double bandwidth_bps;    /* bits/s per direction, > 0 (ES_LINK_BANDWIDTH_MIN_BPS.._MAX_BPS) */
    double energy_j_per_bit; /* 0..ES_LINK_ENERGY_MAX_J_PER_BIT */
    double availability;     /* share of time that it works, 0..1; informs, does not weigh routes */
    bool directed;           /* true: from -> to only; false: both ways, each at full bandwidth */
} es_link;

/* A node that only needs a name: device tier, 1 processor fully usable, 0 bytes, 0 W, slowdown 1,
 * texts "", no carbon, no position. */
es_node es_node_default(void);

/* A link that only needs its ends: 0 s, 1e9 bit/s, 0 J, availability 1, both ways. */
es_link es_link_default(void);

/* ---- building and reading a network ---- */

typedef struct es_network es_network; /* lives in the arena given to es_network_new */

/* An empty network. The arena is kept and holds everything; it must outlive the network. */
es_status es_network_new(es_arena *arena, es_network **out_network, es_error *err) ES_MUST_CHECK;

/* Copies *node and its texts. ES_ERR_ARG: `node 'a': busy_w=1 must be >= idle_w=2`, a name that is
 * empty, too long or taken, or a sealed network. O(1) amortised. */
es_status es_network_node_add(es_network *network, const es_node *node, es_node_id *out_id,
                              es_error *err) ES_MUST_CHECK;

/* Copies *link. ES_ERR_ARG: unknown ends, a loop from a node to itself, a number out of range, or a
 * sealed network. out_id may be NULL. O(1) amortised. */
es_status es_network_link_add(es_network *network, const es_link *link, es_link_id *out_id,
                              es_error *err) ES_MUST_CHECK;

/* Checks that there is a node, builds the adjacency, and ends building. Sealing twice is fine.
 * O(nodes + links). */
es_status es_network_seal(es_network *network, es_error *err) ES_MUST_CHECK;
bool es_network_is_sealed(const es_network *network);

uint32_t es_network_node_count(const es_network *network);
uint32_t es_network_link_count(const es_network *network);

/* Borrowed until the network goes, or until the next add while it is being built. The id must be
 * one of this network (asserted). O(1). */
const es_node *es_network_node(const es_network *network, es_node_id id);
const es_link *es_network_link(const es_network *network, es_link_id id);

/* The node of that name, or ES_NODE_NONE. NULL gives NONE. O(1) expected. */
es_node_id es_network_node_find(const es_network *network, const char *name);

/* One way out of a node. */
typedef struct es_hop {
    es_node_id to;
    es_link_id link;
} es_hop;

/* The ways out of a node, in order of link id; an undirected link shows at both ends. The network
 * must be sealed. O(1). */
const es_hop *es_network_hops(const es_network *network, es_node_id id, uint32_t *out_count);

/* ---- routes ---- */

/* What a path costs. Bytes b take latency_s + 8 * b * seconds_per_bit over it. */
typedef struct es_route {
    double latency_s;        /* sum over the links */
    double seconds_per_bit;  /* sum of 1 / bandwidth over the links: store and forward */
    double energy_j_per_bit; /* sum over the links */
    double availability;     /* product over the links */
    uint32_t hop_count;      /* links; 0 when from and to are the same node */
} es_route;

/* Seconds for bytes (>= 0) over a route, one way. */
double es_route_transfer_s(const es_route *route, double bytes);

/*
 * What makes a path short. A link weighs
 *   latency_weight * (latency_s + 8 * reference_bytes / bandwidth_bps)
 *   + energy_weight * 8 * reference_bytes * energy_j_per_bit.
 * Both weights 0: fewest links.
 */
typedef struct es_routes_weights {
    double latency_weight;  /* per second, 0..1e12; default 1 */
    double energy_weight;   /* per joule, 0..1e12; default 0 */
    double reference_bytes; /* of a typical message, 0..1e15; default 1500 */
} es_routes_weights;

es_routes_weights es_routes_weights_default(void);

/*
 * The shortest path for every pair of nodes, computed per source when first asked for, and kept:
 * 48 bytes per source asked for and node. Equal weights: fewer links, then the smaller number of
 * the node before, then the smaller link number; so the answer depends on nothing else.
 * Threads: one owner while sources are still being computed; after es_routes_all, or once
 * es_routes_from was called for every source that will be asked for, all calls only read.
 */
typedef struct es_routes es_routes; /* lives in the arena given to es_network_routes_new */

/* The network must be sealed (ES_ERR_ARG) and, like the arena, must outlive the routes. O(nodes +
 * links); nothing is searched yet. */
es_status es_network_routes_new(es_arena *arena, const es_network *network,
                                es_routes_weights weights, es_routes **out_routes,
                                es_error *err) ES_MUST_CHECK;

/* Computes one source now (nothing when done before). O((nodes + links) log nodes). */
es_status es_routes_from(es_routes *routes, es_node_id from, es_error *err) ES_MUST_CHECK;

/* Computes every source, over the threads of pool or, with NULL, in this one; the same result. */
es_status es_routes_all(es_routes *routes, es_pool *pool, es_error *err) ES_MUST_CHECK;

/* False, and *out_route untouched, when `to` cannot be reached from `from`. The same node: zero
 * seconds, joules and links, availability 1. O(1) once the source is computed. When memory for a
 * new source is out the answer is false too and es_routes_status tells; es_routes_from or _all
 * first makes that impossible. */
bool es_routes_get(es_routes *routes, es_node_id from, es_node_id to, es_route *out_route);

/* The links of that path in order, at most `max` of them (links may be NULL when max is 0);
 * *out_count is the whole number, also when it is above max. False when unreachable. O(links of
 * the path). */
bool es_routes_path(es_routes *routes, es_node_id from, es_node_id to, es_link_id *links,
                    uint32_t max, uint32_t *out_count);

/* The weight of the path; the rules of es_routes_get. */
bool es_routes_weight(es_routes *routes, es_node_id from, es_node_id to, double *out_weight);

/* ES_OK, or why an earlier es_routes_get could not compute its source. */
es_status es_routes_status(const es_routes *routes, es_error *err) ES_MUST_CHECK;

/* ---- distance and latency ---- */

#define ES_EARTH_RADIUS_KM 6371.0088  /* mean radius, IUGG */
#define ES_FIBRE_SPEED_KM_PER_S 2.0e5 /* light in glass, about c / 1.5 */

/* Great circle by the haversine formula; any finite degrees. */
double es_distance_km(double latitude_a_deg, double longitude_a_deg, double latitude_b_deg,
                      double longitude_b_deg);

/* length_km (>= 0) times stretch (>= 1) over the speed of light in fibre. */
double es_fibre_latency_s(double length_km, double stretch);

/* ---- topologies: what a file says, before it becomes a network ---- */

typedef struct es_topology_node {
    const char *id;       /* as in the file, unique, never empty */
    const char *label;    /* for people; the id when the file has none; may repeat */
    double latitude_deg;  /* -90..90 when has_position, else 0 */
    double longitude_deg; /* -180..180 when has_position, else 0 */
    bool has_position;
} es_topology_node;

typedef struct es_topology_edge {
    uint32_t a, b;        /* numbers of nodes; a == b in a self-loop */
    double bandwidth_bps; /* 0: not in the file */
    double length_km;     /* valid when has_length, else 0 */
    bool has_length;
} es_topology_edge;

typedef struct es_topology_demand {
    uint32_t from, to; /* numbers of nodes */
    double value;      /* as in the file, >= 0 */
    double rate_bps;   /* value in bits per second; 0 when the file names no unit */
} es_topology_demand;

typedef enum es_topology_format {
    ES_TOPOLOGY_AUTO, /* by the first bytes of the file, not by its name */
    ES_TOPOLOGY_GML,
    ES_TOPOLOGY_GRAPHML,
    ES_TOPOLOGY_SNDLIB, /* native text */
    ES_TOPOLOGY_SNDLIB_XML,
    ES_TOPOLOGY_JSON, /* node-link, as networkx and topohub write it */
    ES_TOPOLOGY_FORMAT_COUNT
} es_topology_format;

/* "auto", "gml", "graphml", "sndlib", "sndlib-xml", "json", indexed by es_topology_format. */
extern const char *const es_topology_format_names[ES_TOPOLOGY_FORMAT_COUNT];

typedef struct es_topology {
    const char *name; /* from the file; "" when it has none */
    es_topology_format format;
    bool directed;              /* true: edges go from a to b only */
    bool positions_are_degrees; /* false: the file's coordinates are not on the globe; dropped */
    es_topology_node *nodes;
    uint32_t node_count;
    es_topology_edge *edges; /* every edge of the file, self-loops and repeats too */
    uint32_t edge_count;
    es_topology_demand *demands;
    uint32_t demand_count;
    uint32_t self_loop_count;  /* edges with a == b */
    uint32_t multi_edge_count; /* edges that join two nodes already joined by an earlier one */
} es_topology;

#define ES_TOPOLOGY_BYTES_MAX ((size_t)256 << 20) /* of a file */

/* Reads a file, "-" is standard input. Errors name file:line, with the column where it helps:
 * ES_ERR_PARSE, ES_ERR_IO, ES_ERR_LIMIT (too large), ES_ERR_NOMEM. Everything lives in the arena.
 * O(size), plus O(edges log edges) to find repeats. */
es_status es_topology_import(es_arena *arena, const char *path, es_topology_format format,
                             const es_topology **out_topology, es_error *err) ES_MUST_CHECK;

/* The same from memory; name stands for the file in errors. bytes need no terminator. */
es_status es_topology_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                            es_topology_format format, const es_topology **out_topology,
                            es_error *err) ES_MUST_CHECK;

typedef enum es_topology_unplaced {
    ES_TOPOLOGY_UNPLACED_REFUSE,  /* a link with no length and an end with no position: an error */
    ES_TOPOLOGY_UNPLACED_DEFAULT, /* such a link gets link.latency_s */
    ES_TOPOLOGY_UNPLACED_COUNT
} es_topology_unplaced;

typedef struct es_topology_opts {
    es_node node;        /* of every node, but for name and position; default es_node_default with
                            tier network and 0 processors */
    es_link link;        /* of every link: energy and availability; latency_s where a link has no
                            length (default 5e-3) and bandwidth_bps where the file has none (1e10) */
    double stretch;      /* fibre length over great circle, 1..100; default 1.0, the lower bound
                            (real fibre follows roads: 1.2 to 2); lengths of the file are taken as
                            they are */
    bool length_of_file; /* prefer the file's lengths over coordinates; default true */
    bool bandwidth_of_file; /* use the file's bandwidths; default true */
    bool name_by_id;        /* nodes are named by id; default false: by label where it is unique,
                               else by "label#id" */
    es_topology_unplaced unplaced; /* default ES_TOPOLOGY_UNPLACED_DEFAULT */
} es_topology_opts;

es_topology_opts es_topology_opts_default(void);

/* What became of the topology. */
typedef struct es_topology_report {
    uint32_t node_count;              /* added */
    uint32_t link_count;              /* added; parallel links are kept */
    uint32_t self_loop_count;         /* left out */
    uint32_t parallel_link_count;     /* among the added, those beside an earlier one */
    uint32_t latency_default_count;   /* links that got the default latency */
    uint32_t bandwidth_default_count; /* links that got the default bandwidth */
} es_topology_report;

/* Adds the topology's nodes and links, in its order, to a network that is not sealed yet. Node i
 * of the topology becomes the node with number (node count before) + i. out_report may be NULL.
 * On failure the network is half-filled and of no use. */
es_status es_network_from_topology(es_network *network, const es_topology *topology,
                                   const es_topology_opts *opts, es_topology_report *out_report,
                                   es_error *err) ES_MUST_CHECK;

#endif
