/*
 * placement_instance: benchmark instances of hosting and routing as problems, for tests and
 * benches. The files state nodes, hosting (binaries) and the options of each class; a class's cost
 * of refusal becomes its rate, so that refusing costs 1 per request.
 */
#ifndef ES_PLAN_PLACEMENT_INSTANCE_H
#define ES_PLAN_PLACEMENT_INSTANCE_H

#include "plan/internal.h"

typedef struct es_placement_instance {
    es_problem *problem;
    double lp_bound; /* as the file says; NAN: it does not */
    double optimum;
    double cut_bound;
    double best_known;
} es_placement_instance;

/* Errors: ES_ERR_IO, ES_ERR_PARSE with the place in the file. */
es_status es_placement_instance_load(es_arena *arena, const char *path,
                                     es_placement_instance *out_instance,
                                     es_error *err) ES_MUST_CHECK;

#endif
