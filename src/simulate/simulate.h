/*
 * simulate: the world in virtual time. Reads a scenario and a plan, gives an outcome.
 *
 * Slot mode: per slot and class the fluid of arrivals takes the plan's routing; latency is
 * transfer, service and the expected wait at each node (M/G/c by Allen and Cunneen,
 * src/simulate/README.md); arrivals per slot are drawn by seed for random processes. Same scenario,
 * plan and seed: same bytes, whatever the thread count.
 */
#ifndef ES_SIMULATE_SIMULATE_H
#define ES_SIMULATE_SIMULATE_H

#include "outcome/outcome.h"

typedef struct es_simulate_opts {
    const char *label; /* of the outcome; default "plan" */
    uint64_t seed;     /* 0: the scenario's; default 0 */
    bool expected;     /* take mean arrivals instead of drawing them; default false */
    double overhead_s; /* per stage, added to service: the server's own work; default 0 */
} es_simulate_opts;

es_simulate_opts es_simulate_opts_default(void);

/* The outcome lives in arena. Cost: O(slots * routings * stages). */
es_status es_simulate_slots(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                            es_simulate_opts opts, const es_outcome **out_outcome,
                            es_error *err) ES_MUST_CHECK;

#endif
