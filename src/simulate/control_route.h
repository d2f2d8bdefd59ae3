/*
 * simulate/control_route: what is hosted and what came, as a plan for one slot.
 */
#ifndef ES_SIMULATE_CONTROL_ROUTE_H
#define ES_SIMULATE_CONTROL_ROUTE_H

#include "simulate/control.h"

typedef struct es_router es_router; /* lives in the arena */

/* idn has a scenario. */
es_status es_router_new(es_arena *arena, const es_idn *idn, es_router **out_router,
                        es_error *err) ES_MUST_CHECK;

/* Requests take hosted options, cheapest first, within each class's pro rata share of the nodes'
 * time; then within what is left, class by class; the rest is refused, or where that is forbidden
 * waits at its cheapest hosted option. The plan lives in arena. */
es_status es_router_plan(es_arena *arena, es_router *router, const double *counts,
                         const uint32_t *hosted, const es_plan **out_plan,
                         es_error *err) ES_MUST_CHECK;

#endif
