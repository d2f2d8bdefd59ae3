/*
 * transition_internal: ways and tables of a transition (transition_ways.c), and its order
 * (transition.c).
 */
#ifndef ES_CONTROL_TRANSITION_INTERNAL_H
#define ES_CONTROL_TRANSITION_INTERNAL_H

#include "base/array.h"
#include "control/transition.h"

#include <math.h>

/* A pipeline over nodes that may serve a class. */
typedef struct es_way {
    uint32_t class_index;
    es_pipeline_id pipeline;
    es_node_id nodes[ES_STAGE_COUNT_MAX];
    double cost;  /* per request; INFINITY: unknown */
    double now;   /* share in the routes that were in force at the start */
    double next;  /* share in the routes wanted */
    double share; /* in the routes in force */
    double made;  /* in the table that is being made */
} es_way;

typedef ES_ARRAY(es_way) es_way_array;
typedef ES_ARRAY(es_step) es_step_array;
typedef ES_ARRAY(const es_plan *) es_table_array;
typedef ES_ARRAY(es_step_loss) es_loss_array;

typedef struct es_mover {
    es_arena *arena;
    const es_transition_given *given;
    const es_scenario *scenario;
    uint32_t node_count, segment_count, class_count;
    es_way *ways;         /* by class */
    uint32_t *way_first;  /* [class + 1] */
    uint32_t *node_first; /* [node + 1]: classes with a way over a node, each once */
    uint32_t *node_classes;
    bool *hosted;         /* [node][segment] as the steps so far leave it */
    bool *wanted;         /* [node][segment] */
    bool *leaving;        /* [node][segment] to be unloaded next */
    bool *used;           /* [node][segment] by routes in force since the last drain */
    double *room_bytes;   /* [node] */
    double *refused;      /* [class] in force */
    double *made_refused; /* [class] */
    bool routed;          /* routes are in force */
    es_step_array steps;
    es_table_array tables;
    es_loss_array losses;
} es_mover;

static inline size_t es_mover_at(const es_mover *mover, es_node_id node, es_segment_id segment)
{
    return (size_t)node.index * mover->segment_count + segment.index;
}

static inline es_segment_id es_way_segment(const es_mover *mover, const es_way *way, uint32_t stage)
{
    return mover->scenario->pipelines[way->pipeline.index].stages[stage].segment;
}

static inline uint32_t es_way_stages(const es_mover *mover, const es_way *way)
{
    return mover->scenario->pipelines[way->pipeline.index].stage_count;
}

es_status es_mover_take(es_mover *mover, size_t count, size_t size, void *out,
                        es_error *err) ES_MUST_CHECK;

/* Ways from the plans and the idn, and which classes each node serves. */
es_status es_mover_ways(es_mover *mover, es_error *err) ES_MUST_CHECK;

/* All stages hosted and none leaving. */
bool es_way_stands(const es_mover *mover, const es_way *way);

/* Whether a class that is not wholly refused has a way that stands. */
bool es_mover_has_way(const es_mover *mover, uint32_t class_index);

/* Fills made and made_refused with the best that stands; whether it differs from what is in force.
 * O(ways). */
bool es_mover_make(es_mover *mover);

/* Only what the routes in force lead over is used now. */
void es_mover_drained(es_mover *mover);

/* What was made, as a plan; it is then in force. */
es_status es_mover_follow(es_mover *mover, const es_plan **out_plan, es_error *err) ES_MUST_CHECK;

#endif
