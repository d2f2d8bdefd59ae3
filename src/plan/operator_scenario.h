/*
 * operator_scenario: an operator's network as a scenario document, for tests and benches: a box at
 * every edge site, one rack per ten of them, one cloud per 250; tasks with a large, a middle and a
 * small model and a cascade of the small and the large one.
 */
#ifndef ES_PLAN_OPERATOR_SCENARIO_H
#define ES_PLAN_OPERATOR_SCENARIO_H

#include "scenario/scenario.h"

typedef struct es_operator_shape {
    uint32_t edge_count;   /* >= 3 */
    uint32_t classes_each; /* tasks asked for at every edge site; <= task_count */
    uint32_t task_count;   /* >= 1 */
    uint64_t seed;
} es_operator_shape;

/* ES_ERR_NOMEM and what es_scenario_parse says. Same shape: same scenario. */
es_status es_operator_scenario(es_arena *arena, es_operator_shape shape,
                               const es_scenario **out_scenario, es_error *err) ES_MUST_CHECK;

#endif
