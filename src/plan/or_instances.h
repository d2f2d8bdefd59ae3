/*
 * or_instances: published instances of operational research, stated as scenarios; for tests and
 * benches.
 *
 * Facility location: customers enter requests, one segment may be hosted at each facility; the
 * cost of serving is the energy of the link, the fixed cost the idle power of the node, the
 * capacity its compute. Generalised assignment: a segment per item that takes time and energy on
 * each agent. p-median: the graph is the network, distance is latency, hosts_max is p.
 */
#ifndef ES_PLAN_OR_INSTANCES_H
#define ES_PLAN_OR_INSTANCES_H

#include "scenario/scenario.h"

typedef enum es_or_set {
    ES_OR_UFL,          /* or-cap, capacities ignored */
    ES_OR_CFL,          /* or-cap, with capacities, a customer may be split */
    ES_OR_CFL_ORLIB,    /* or-sscflp-orlib, a customer may be split: its optimum is above ours */
    ES_OR_SSCFLP,       /* or-sscflp, single source */
    ES_OR_SSCFLP_ORLIB, /* or-sscflp-orlib, single source */
    ES_OR_GAP,          /* or-gap */
    ES_OR_PMED,         /* or-pmed */
    ES_OR_SET_COUNT
} es_or_set;
extern const char *const es_or_set_names[ES_OR_SET_COUNT];
extern const char *const es_or_set_folders[ES_OR_SET_COUNT];

typedef struct es_or_instance {
    es_scenario *scenario;
    double known_low;  /* no solution costs less; the optimum where known_high is the same */
    double known_high; /* a solution costs this; INFINITY: not known */
    double tolerance;  /* relative, of the figures as they are printed */
} es_or_instance;

/* folder is that of the set; name a file in it without .txt and .gz. */
es_status es_or_load(es_arena *arena, es_or_set set, const char *folder, const char *name,
                     es_or_instance *out_instance, es_error *err) ES_MUST_CHECK;

/* The names of all instances of a set in a folder, sorted; those with less data first. */
es_status es_or_list(es_arena *arena, es_or_set set, const char *folder,
                     const char *const **out_names, size_t *out_count, es_error *err) ES_MUST_CHECK;

#endif
