/*
 * online/repair: local search on a whole allocation under a load, with a limit on what is moved.
 */
#ifndef ES_ONLINE_REPAIR_H
#define ES_ONLINE_REPAIR_H

#include "online/internal.h"

typedef struct es_repair es_repair; /* lives in the arena */

es_status es_repair_new(es_arena *arena, const es_idn *idn, es_repair **out_repair,
                        es_error *err) ES_MUST_CHECK;

/*
 * Improves hosted[item] (whole copies, feasible) for load on the nodes from, from + step, ...
 * proposal (may be NULL) is another allocation whose nodes are taken whole where that is better.
 * A move must save at least least_share of the load's cost, and all moves together bring at most
 * move_bytes of items that hosted lacked. Returns the bytes brought.
 */
double es_repair_run(es_repair *repair, const es_idn_load *load, double *hosted,
                     const uint32_t *proposal, uint32_t from, uint32_t step, double least_share,
                     double move_bytes);

#endif
