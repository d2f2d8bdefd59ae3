/*
 * online/ascent: mirror ascent on the fractional state, and its coupled rounding.
 */
#ifndef ES_ONLINE_ASCENT_H
#define ES_ONLINE_ASCENT_H

#include "online/internal.h"

/* Arrays over the free items: not pinned, used by some option, not too large; grouped by node. */
typedef struct es_ascent {
    const es_idn *idn;
    double step;  /* exponent of the steepest item; over steps^decay */
    double decay; /* 0: constant, 0.5: what the bound wants */
    double theta; /* largest |gradient| / size so far */
    uint64_t steps;
    uint32_t *list;   /* item of each */
    uint32_t *first;  /* [node_count + 1] */
    double *copies;   /* that fit */
    double *y, *h;    /* per copy */
    double *size;     /* bytes of a copy */
    double *weight;   /* of all copies */
    double *budget;   /* [node] */
    double *hosted;   /* [item]: copies, fractional */
    double *gradient; /* [item]: to be filled before climbing */
} es_ascent;

es_status es_ascent_new(es_arena *arena, const es_idn *idn, double step, double decay,
                        es_ascent *out_ascent, es_error *err) ES_MUST_CHECK;
/* One step by gradient. */
void es_ascent_climb(es_ascent *ascent);
/* hosted from y. */
void es_ascent_spread(es_ascent *ascent);

/* A fixed order and fixed uniforms for each node. */
typedef struct es_rounder {
    const es_ascent *ascent; /* its lists; what is rounded is given */
    uint32_t *order;         /* within the node */
    double *uniform;         /* one more per node */
    double *u, *scratch;
    uint32_t *copies;
} es_rounder;

es_status es_rounder_new(es_arena *arena, const es_ascent *ascent, uint64_t seed,
                         es_rounder *out_rounder, es_error *err) ES_MUST_CHECK;
/* hosted[item] of the nodes from, from + step, ...: whole copies with mean fraction[item], pinned
 * ones included. */
void es_rounder_draw(es_rounder *rounder, const double *fraction, es_round_opts opts, uint32_t from,
                     uint32_t step, uint32_t *hosted);

/* max over the knapsacks of <gradient, z - hosted>: no allocation gains more than this above.
 * rows[item_count]: scratch. */
double es_online_slack(const es_ascent *ascent, double (*rows)[2]);

#endif
