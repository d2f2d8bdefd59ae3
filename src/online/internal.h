/*
 * online/internal: what the policies share.
 */
#ifndef ES_ONLINE_INTERNAL_H
#define ES_ONLINE_INTERNAL_H

#include "base/rng.h"
#include "online/online.h"

#include <math.h>

#define ES_ONLINE_FLOOR 1e-9 /* of y: a component at 0 could never grow back */

/* Inline, unlike fmin and fmax: no argument is NaN here. */
static inline double es_least(double a, double b)
{
    return a < b ? a : b;
}
static inline double es_most(double a, double b)
{
    return a > b ? a : b;
}

/* An array in arena, zeroed; out is the address of a pointer. */
es_status es_online_take(es_arena *arena, size_t count, size_t size, void *out,
                         es_error *err) ES_MUST_CHECK;

/* Least hosted of the items that option needs; a refusal has infinitely many. */
static inline double es_idn_hosted_of(const es_idn *idn, uint32_t option, const double *hosted)
{
    const es_idn_option *one = &idn->options[option];
    double least = one->item_count > 0 ? hosted[one->items[0]] : (double)INFINITY;
    for (uint32_t i = 1; i < one->item_count; i++)
        least = fmin(least, hosted[one->items[i]]);
    return least;
}

/* Pinned items at all their copies, the others at 0. */
void es_idn_pinned(const es_idn *idn, double *hosted);

/* Memory of a node that pinned items leave. */
double es_idn_free_bytes(const es_idn *idn, uint32_t node);

/* ---- load.c ---- */

double es_idn_type_cost(const es_idn_load *load, uint32_t type, const double *hosted);

/* The item of option (one that has any) that limits it; the first of equals. */
uint32_t es_idn_scarcest(const es_idn *idn, uint32_t option, const double *hosted);

/* ---- policy.c ---- */

/* A key that a policy knows, with what the user gave. */
typedef struct es_policy_key {
    const char *name;
    double value; /* in: the default */
    double min, max;
} es_policy_key;

/* Options behind the name of a spec (":refresh=8:step=5"). */
es_status es_policy_keys(const char *name, const char *options, es_policy_key *keys, size_t count,
                         es_error *err) ES_MUST_CHECK;

typedef es_status es_policy_maker(const es_policy_given *given, const char *options,
                                  es_policy *out_policy, es_error *err);
es_policy_maker es_policy_infida, es_policy_infida_offline, es_policy_olag, es_policy_greedy,
    es_policy_replan, es_policy_lru, es_policy_lfu, es_policy_random, es_policy_device_only,
    es_policy_edge_only, es_policy_cloud_only, es_policy_process, es_policy_hottest,
    es_policy_adahedge, es_policy_exp3, es_policy_exp3_ix;

#endif
