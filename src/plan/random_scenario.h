/*
 * random_scenario: instances by seed, for tests and benches. Built as structs, not through a file.
 */
#ifndef ES_PLAN_RANDOM_SCENARIO_H
#define ES_PLAN_RANDOM_SCENARIO_H

#include "scenario/scenario.h"

typedef struct es_random_shape {
    uint32_t device_count; /* >= 1; every one enters requests */
    uint32_t edge_count;
    uint32_t cloud_count;
    uint32_t task_count;    /* >= 1 */
    uint32_t variant_count; /* per task: pipelines of one stage, >= 1 */
    uint32_t long_count;    /* per task: pipelines of two or three stages over own segments */
    double tightness;       /* 0: capacities never bind; 1: they bind hard */
    double refusal_cost;    /* INFINITY: not allowed */
    double idle_per_j;      /* 0: idling is free */
    double hosting_per_s;   /* largest hosting price */
    uint32_t replicas_min;  /* >= 1 */
    bool deadlines;         /* some classes have one */
    bool least_quality;     /* some classes have one */
} es_random_shape;

es_random_shape es_random_shape_default(void);

es_status es_random_scenario(es_arena *arena, uint64_t seed, es_random_shape shape,
                             es_scenario **out_scenario, es_error *err) ES_MUST_CHECK;

#endif
