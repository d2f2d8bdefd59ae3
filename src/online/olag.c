/* Online load-aware greedy, by node. No text with the update was found: this is a reconstruction
 * (spec §1.6); what a request costs without this node is taken to be its repository's cost. */
#include "online/internal.h"

enum { KEEP, KEY_COUNT };

typedef struct memory {
    const es_idn *idn;
    es_idn_load load;
    double keep;      /* of the past, per slot */
    double *mean;     /* [type] decayed requests */
    double *residual; /* [type] not yet served by this node's picks */
    double *worth;    /* [item] */
} memory;

/* What one copy of each item of the node would save on what is still open. */
static void weigh(memory *own, uint32_t node)
{
    const es_idn *idn = own->idn;
    for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++)
        own->worth[i] = 0;
    for (uint32_t t = 0; t < idn->type_count; t++) {
        uint32_t last = idn->type_first[t + 1] - 1;
        if (own->residual[t] <= 0)
            continue;
        for (uint32_t k = idn->type_first[t]; k < last; k++) {
            uint32_t item = idn->main_item[k];
            if (item != ES_INDEX_NONE && idn->items[item].node == node)
                own->worth[item] += fmin(own->residual[t], es_idn_load_capacity(&own->load, t, k)) *
                                    (idn->costs[last] - idn->costs[k]);
        }
    }
}

static void discount(memory *own, uint32_t item)
{
    const es_idn *idn = own->idn;
    for (uint32_t u = idn->use_first[item]; u < idn->use_first[item + 1]; u++) {
        uint32_t t = idn->use_types[u];
        for (uint32_t k = idn->type_first[t]; k + 1 < idn->type_first[t + 1]; k++)
            if (idn->main_item[k] == item)
                own->residual[t] -= fmin(own->residual[t], es_idn_load_capacity(&own->load, t, k));
    }
}

static void refill(memory *own, uint32_t node, uint32_t *hosted)
{
    const es_idn *idn = own->idn;
    double room = es_idn_free_bytes(idn, node) * (1 + 1e-12);
    for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++)
        hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
    memcpy(own->residual, own->load.requests, idn->type_count * sizeof *own->residual);
    for (;;) {
        uint32_t best = ES_INDEX_NONE;
        double density = 0;
        weigh(own, node);
        for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++) {
            const es_idn_item *item = &idn->items[i];
            if (item->pinned || hosted[i] >= item->copies || item->size_bytes > room ||
                own->worth[i] <= density * item->size_bytes)
                continue;
            best = i;
            density = own->worth[i] / item->size_bytes;
        }
        if (best == ES_INDEX_NONE)
            return;
        hosted[best]++;
        room -= idn->items[best].size_bytes;
        discount(own, best);
    }
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    (void)slot;
    (void)err;
    if (last == NULL)
        return ES_OK;
    for (uint32_t t = 0; t < own->idn->type_count; t++)
        own->mean[t] = own->keep * own->mean[t] + last->requests[t];
    double slots = own->keep < 1 ? 1 / (1 - own->keep) : last->slot + 1.0;
    for (uint32_t t = 0; t < own->idn->type_count; t++)
        own->residual[t] = own->mean[t] / slots;
    es_idn_load_set(&own->load, own->residual);
    for (uint32_t v = 0; v < own->idn->node_count; v++)
        if (isfinite(own->idn->budget_bytes[v]))
            refill(own, v, hosted);
    return ES_OK;
}

es_status es_policy_olag(const es_policy_given *given, const char *options, es_policy *out_policy,
                         es_error *err)
{
    es_policy_key keys[KEY_COUNT] = {[KEEP] = {"keep", 0.9, 0, 1}};
    memory *own = NULL;
    const es_idn *idn = given->idn;
    ES_TRY(es_policy_keys("olag", options, keys, KEY_COUNT, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = idn;
    own->keep = keys[KEEP].value;
    ES_TRY(es_online_take(given->arena, idn->type_count, sizeof *own->mean, &own->mean, err));
    ES_TRY(
        es_online_take(given->arena, idn->type_count, sizeof *own->residual, &own->residual, err));
    ES_TRY(es_online_take(given->arena, idn->item_count, sizeof *own->worth, &own->worth, err));
    ES_TRY(es_idn_load_new(given->arena, idn, &own->load, err));
    *out_policy = (es_policy){.name = "olag", .memory = own, .decide = decide};
    return ES_OK;
}
