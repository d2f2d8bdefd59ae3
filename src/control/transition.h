/*
 * transition, private to control: from what is hosted and routed now to what a plan wants, in steps
 * that lose no request.
 *
 * Pure: no sockets, no clocks. The order: load before route, route before unload. Where a node
 * cannot hold old and new together, requests are first led around what must go there; a class that
 * would be left without any way is first given a bridge: segments loaded elsewhere for the
 * meantime. A class that has no way even so is told as a loss; its routes over nodes that cannot be
 * reached stay, since whoever sends the requests may reach them.
 * At any time: all stages of all routes in force, and of those that requests under way may still
 * follow, are hosted; no node is asked to hold more than its memory.
 * Steps may be repeated, and planning anew from what then stands goes on where they ended.
 */
#ifndef ES_CONTROL_TRANSITION_H
#define ES_CONTROL_TRANSITION_H

#include "online/online.h"

typedef enum es_step_kind {
    ES_STEP_LOAD,
    ES_STEP_ROUTE,
    ES_STEP_DRAIN, /* wait until what went by earlier routes has been answered */
    ES_STEP_UNLOAD,
    ES_STEP_KIND_COUNT
} es_step_kind;
extern const char *const es_step_names[ES_STEP_KIND_COUNT];

typedef struct es_step {
    es_step_kind kind;
    es_node_id node;       /* load, unload */
    es_segment_id segment; /* load, unload */
    size_t table;          /* route */
} es_step;

/* A class that a route in the middle serves by fewer ways than before and after. */
typedef struct es_step_loss {
    size_t step; /* the route */
    es_class_id class_id;
    bool all; /* no way is left: its requests are refused, or fail, until the next route */
} es_step_loss;

typedef struct es_transition {
    size_t step_count;
    const es_step *steps;
    size_t table_count;
    const es_plan *const *tables; /* routings and refused shares; placements are next's. The last
                                     has next's routings */
    size_t loss_count;
    const es_step_loss *losses; /* by step, then class */
} es_transition;

typedef struct es_transition_given {
    const es_scenario *scenario;
    const es_idn *idn;   /* of the scenario: further ways; NULL: only those of now and next */
    const bool *hosted;  /* [node][segment] now */
    const bool *usable;  /* [node][segment] that can be loaded; NULL: all. What is neither that nor
                            hosted is left out of the steps */
    const es_plan *now;  /* routes in force; NULL: none */
    const es_plan *next; /* placements and routings */
    bool undrained;      /* requests may be under way over anything that is hosted: it is not known
                            that a drain followed the last route */
} es_transition_given;

/* The steps, in arena. O((ways + pending loads) * rounds). ES_ERR_ARG: next does not fit into a
 * node's memory, or routes over what it does not host. */
es_status es_transition_plan(es_arena *arena, const es_transition_given *given,
                             const es_transition **out_transition, es_error *err) ES_MUST_CHECK;

/* A line for people: "load 'small' on 'hall'". */
void es_transition_tell(const es_transition *transition, const es_scenario *scenario, size_t step,
                        es_text *out);

#endif
