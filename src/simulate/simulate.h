/*
 * simulate: the world in virtual time. Reads a scenario and a plan, gives an outcome.
 *
 * Event mode: every request an entity through queues, batches, links with shared bandwidth, exits,
 * failures, sleep and batteries (key `events` of the scenario); intervals from replications.
 * Slot mode: per slot and class the fluid of arrivals takes the plan's routing; latency is
 * transfer, service and the expected wait at each node (M/G/c by Allen and Cunneen,
 * src/simulate/README.md); arrivals per slot are drawn by seed for random processes. Same scenario,
 * plan and seed: same bytes, whatever the thread count.
 */
#ifndef ES_SIMULATE_SIMULATE_H
#define ES_SIMULATE_SIMULATE_H

#include "outcome/outcome.h"
#include "simulate/control.h"

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

/* ---- event mode ---- */

typedef struct es_event_opts {
    const char *label;          /* of the outcome; default "plan" */
    uint64_t seed;              /* 0: the scenario's; default 0. The first replication has it */
    uint32_t replication_count; /* 1..10000; default 1 */
    uint32_t thread_count;      /* 0: one per core; changes no byte; default 1 */
    double warm_up_s;           /* left out of latency, quality and lateness in the intervals; NAN,
                                   the default: found by MSER-5 (README.md) */
    double overhead_s;          /* per stage, added to service; default 0 */
    uint32_t request_max;       /* under way at one time, else ES_ERR_LIMIT; default 2^22 */
    bool drain;                 /* go on after the last slot until nothing is left; default false */
} es_event_opts;

es_event_opts es_event_opts_default(void);

typedef struct es_event_result {
    const es_outcome *outcome; /* of the first replication, with intervals over all */
    uint64_t event_count;      /* over all replications */
    double warm_up_s;          /* mean over replications */
    double end_s;              /* when the last request of the first replication ended */
} es_event_result;

/* Checks in every replication: arrivals against fates (es_outcome_seal), and joules by requests
 * against joules where they were spent: ES_ERR_INTERNAL. Other errors: ES_ERR_ARG, ES_ERR_LIMIT
 * (too many requests under way: overload), ES_ERR_NOMEM. Cost: O(log n) per event with n under way.
 */
es_status es_simulate_events(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                             es_event_opts opts, es_event_result *out_result,
                             es_error *err) ES_MUST_CHECK;

#endif
