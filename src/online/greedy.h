/*
 * online/greedy: the lazy greedy by gain per byte that several policies stand on.
 */
#ifndef ES_ONLINE_GREEDY_H
#define ES_ONLINE_GREEDY_H

#include "online/internal.h"

/* From the pinned items, adds the copy with the largest summed gain per byte over loads[count] that
 * fits, on nodes where allowed[node] (NULL: all), until nothing saves. The mean load of each
 * distinct demand with its weight. hosted[item] is filled. Lazy: stale values are upper bounds
 * where options need one item (submodular). */
es_status es_greedy_fill(es_arena *scratch, const es_idn_load *loads, const double *weights,
                         size_t count, const bool *allowed, double *hosted,
                         es_error *err) ES_MUST_CHECK;

/* The distinct rows of demand[slots][types] as loads with their weights (how often they come), at
 * most max of them: beyond, equal stretches of slots are averaged. */
es_status es_greedy_loads(es_arena *arena, const es_idn *idn, const double *demand, uint32_t slots,
                          uint32_t max, es_idn_load **out_loads, double **out_weights,
                          size_t *out_count, es_error *err) ES_MUST_CHECK;

#endif
