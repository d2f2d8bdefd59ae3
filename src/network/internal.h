/*
 * network, private: the table of names, how a network lies in memory, and what importers share.
 */
#ifndef ES_NETWORK_INTERNAL_H
#define ES_NETWORK_INTERNAL_H

#include "base/array.h"
#include "base/document.h"
#include "network/network.h"

/* ---- names: text -> number, open addressing, inside an arena ---- */

typedef struct es_name_slot {
    const char *text; /* NULL: free */
    uint32_t index;
} es_name_slot;

typedef struct es_network_names {
    es_name_slot *slots;
    size_t capacity; /* 0 or a power of two, at most half full */
    size_t count;
} es_network_names;

/* text is borrowed until the arena goes. The caller has looked that it is not there yet. */
es_status es_network_names_add(es_network_names *names, es_arena *arena, const char *text,
                               uint32_t index, es_error *err) ES_MUST_CHECK;

/* UINT32_MAX when it is not there. */
uint32_t es_network_names_find(const es_network_names *names, const char *text);

/* ---- network ---- */

typedef ES_ARRAY(es_node) es_node_array;
typedef ES_ARRAY(es_link) es_link_array;

struct es_network {
    es_arena *arena;
    es_node_array nodes;
    es_link_array links;
    es_network_names names;
    bool sealed;
    uint32_t
        *hop_starts; /* node_count + 1; the ways out of node v are hops[starts[v]..starts[v+1]) */
    es_hop *hops;
};

/* ---- importers ---- */

enum {
    ES_TOPOLOGY_DEPTH_MAX = 64,              /* nested lists or elements */
    ES_TOPOLOGY_WORD_MAX = 64 * 1024,        /* bytes of one value that is looked at */
    ES_TOPOLOGY_ID_MAX = ES_NETWORK_NAME_MAX /* bytes of a node id */
};

/* A place in the file; column 0: not known. */
typedef struct es_place {
    size_t line;
    size_t column;
} es_place;

/* A node or an edge while its parts are being read; nothing is borrowed. */
typedef struct es_draft {
    es_place place;
    const char *id; /* of a node; NULL: not seen */
    const char *label;
    bool has_latitude, has_longitude;
    double latitude_deg, longitude_deg;
    const char *source, *target; /* of an edge; NULL: not seen */
    bool has_bandwidth, has_length;
    double bandwidth_bps, length_km;
} es_draft;

/* Ends by name: resolved when the file is at its end, since edges may come before nodes. */
typedef struct es_pending {
    es_place place;
    const char *from, *to;
    double first, second; /* edge: bandwidth, length (< 0: none); demand: value, rate */
} es_pending;

typedef ES_ARRAY(es_topology_node) es_topology_node_array;
typedef ES_ARRAY(es_pending) es_pending_array;

/* What an importer fills. */
typedef struct es_topology_maker {
    es_arena *arena;   /* of the result */
    es_arena *scratch; /* gone after the import */
    const char *file;  /* for errors */
    const char *name;  /* "" until the importer knows */
    bool directed;
    bool is_plane; /* some coordinates are x, y on a drawing, not degrees */
    es_topology_node_array nodes;
    es_pending_array edges;
    es_pending_array demands;
    es_network_names ids;
} es_topology_maker;

/* ES_ERR_PARSE with `file:line: ` or `file:line:column: ` before the text. */
es_status es_maker_fail(const es_topology_maker *maker, es_place place, es_error *err,
                        const char *format, ...) ES_PRINTF(4, 5);

/* A copy in the result's arena, or ES_ERR_NOMEM. */
es_status es_maker_text(es_topology_maker *maker, const char *text, size_t size, const char **out,
                        es_error *err) ES_MUST_CHECK;

/* What attribute names of any of the formats mean. */
typedef enum es_attribute {
    ES_ATTRIBUTE_NONE, /* of no interest */
    ES_ATTRIBUTE_LABEL,
    ES_ATTRIBUTE_LATITUDE,
    ES_ATTRIBUTE_LONGITUDE,
    ES_ATTRIBUTE_BANDWIDTH,
    ES_ATTRIBUTE_LENGTH
} es_attribute;

es_attribute es_attribute_of_node(const char *name);
es_attribute es_attribute_of_edge(const char *name);

/* Sets an attribute of the draft from the file's text; checks number, sign and range; a second
 * value for the same attribute is an error. name is how the file calls it. */
es_status es_draft_set(es_topology_maker *maker, es_draft *draft, es_attribute attribute,
                       const char *name, const char *text, es_place place,
                       es_error *err) ES_MUST_CHECK;

/* The same for a number. */
es_status es_draft_set_number(es_topology_maker *maker, es_draft *draft, es_attribute attribute,
                              const char *name, double number, es_place place,
                              es_error *err) ES_MUST_CHECK;

/* Sets the position from coordinates that may be degrees (x east, y north) or places on a drawing:
 * one pair outside the globe makes the whole file a drawing. */
void es_draft_set_plane(es_topology_maker *maker, es_draft *draft, double x, double y);

/* Takes a whole draft: the node must have an id, the edge both ends. */
es_status es_maker_node(es_topology_maker *maker, const es_draft *draft,
                        es_error *err) ES_MUST_CHECK;
es_status es_maker_edge(es_topology_maker *maker, const es_draft *draft,
                        es_error *err) ES_MUST_CHECK;

/* value and rate_bps finite and >= 0. */
es_status es_maker_demand(es_topology_maker *maker, es_place place, const char *from,
                          const char *to, double value, double rate_bps,
                          es_error *err) ES_MUST_CHECK;

/* A finite number of the file, or an error that names `what`. */
es_status es_maker_number(const es_topology_maker *maker, const char *text, const char *what,
                          es_place place, double *out, es_error *err) ES_MUST_CHECK;

/* Bits per second of an SNDlib unit; 0 when it is not known. */
double es_sndlib_unit_bps(const char *unit);

/* Bandwidths and demand rates were taken in that unit: makes them bits per second, 0 when the unit
 * is not known (0). */
es_status es_maker_scale(es_topology_maker *maker, double unit_bps, es_error *err) ES_MUST_CHECK;

/* The bandwidth of an SNDlib link: what is installed; where nothing is, the smallest module that
 * could be. */
double es_sndlib_capacity(double installed, double module_smallest);

/* The readers: bytes are terminated and hold no NUL. */
es_status es_topology_read_gml(es_topology_maker *maker, const char *bytes, size_t size,
                               es_error *err) ES_MUST_CHECK;
es_status es_topology_read_graphml(es_topology_maker *maker, const char *bytes, size_t size,
                                   es_error *err) ES_MUST_CHECK;
es_status es_topology_read_sndlib(es_topology_maker *maker, const char *bytes, size_t size,
                                  es_error *err) ES_MUST_CHECK;
es_status es_topology_read_sndlib_xml(es_topology_maker *maker, const char *bytes, size_t size,
                                      es_error *err) ES_MUST_CHECK;
es_status es_topology_read_json(es_topology_maker *maker, const char *bytes, size_t size,
                                es_error *err) ES_MUST_CHECK;

#endif
