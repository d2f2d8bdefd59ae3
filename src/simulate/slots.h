/*
 * simulate/slots: slot mode taken apart, so that a plan may change from slot to slot.
 */
#ifndef ES_SIMULATE_SLOTS_H
#define ES_SIMULATE_SLOTS_H

#include "simulate/internal.h"

typedef struct es_sim {
    const es_scenario *scenario;
    const es_plan *plan;
    es_simulate_opts opts;
    double end_s;
    double horizon_s; /* over which chance may build up a queue */
    const es_sim_path *paths;
    double *refused;
    es_arrival_stream *streams; /* per class */
    int64_t *next_ns;
    es_rng *rngs;
    double *counts;  /* arrivals of the slot per class */
    double *g_per_j; /* of the slot per node; NULL: no grid changes, the paths hold the grams */
    es_sim_node *nodes;
    bool *hosts;
    bool *held; /* [node][segment] hosted in the slot before; NULL: the plan never changes */
    es_outcome_recorder *recorder;
} es_sim;

/* scratch holds what lasts as long as the run; sim->scenario and opts are set. */
es_status es_sim_prepare(es_arena *scratch, es_sim *sim, es_error *err) ES_MUST_CHECK;

/* Draws the arrivals of a slot into sim->counts: slots in order, each once. */
void es_sim_draw(es_sim *sim, uint32_t slot);

/* The plan from now on; its paths go to arena. Needs es_sim_prepare. */
es_status es_sim_follow(es_arena *arena, es_sim *sim, const es_plan *plan,
                        es_error *err) ES_MUST_CHECK;

/* Plays a slot whose arrivals were drawn. */
es_status es_sim_play(es_sim *sim, uint32_t slot, es_error *err) ES_MUST_CHECK;

#endif
