/*
 * family: problems of any size by seed, for benches and tests, with pipelines of one to three
 * stages. *Flat*: nodes of three sizes on a square, classes are served by the nodes nearest to
 * them. *Tiers*: nine in ten nodes are edge sites where classes enter, most of the others
 * aggregation sites, one in 250 a cloud; stages go from the edge towards the cloud.
 */
#ifndef ES_PLAN_FAMILY_H
#define ES_PLAN_FAMILY_H

#include "plan/internal.h"

typedef enum es_family_form {
    ES_FAMILY_FLAT,
    ES_FAMILY_TIERS,
    ES_FAMILY_FORM_COUNT
} es_family_form;

typedef struct es_family {
    es_family_form form;
    uint32_t node_count;    /* >= 1 */
    uint32_t variant_count; /* pipelines in all, >= 1; five per task */
    uint32_t class_count;   /* >= 1 */
    uint32_t stage_max;     /* 1..3: stages of the longest pipeline */
    double tightness;       /* of memory and compute: 1 as in p300-tight, 0.6 mild */
    double changed_share;   /* of the classes whose demand differs from that of the seed, 0..1 */
} es_family;

/* Flat, 300 nodes, 30 variants, 1500 classes, up to 3 stages, tightness 1, no change. */
es_family es_family_default(void);

/* Same seed: same problem on every machine. */
es_status es_family_make(es_arena *arena, uint64_t seed, es_family family, es_problem **out_problem,
                         es_error *err) ES_MUST_CHECK;

#endif
