/* Caches of models that know nothing of costs beyond which model a task would take at a node: its
 * cheapest there. LRU keeps the ones asked for last (within a slot: most), LFU most so far. */
#include "online/internal.h"

typedef struct memory {
    const es_idn *idn;
    bool recent; /* LRU */
    double *score;
} memory;

typedef struct entry {
    double score;
    uint32_t item;
} entry;

static int by_score(const void *left, const void *right)
{
    const entry *a = left;
    const entry *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static void ask(memory *own, const es_observation *last)
{
    const es_idn *idn = own->idn;
    for (uint32_t i = 0; own->recent && i < idn->item_count; i++)
        own->score[i] *= 1e-6; /* any request of this slot is later than all before */
    for (uint32_t t = 0; t < idn->type_count; t++) {
        uint32_t seen[64];
        uint32_t seen_count = 0;
        for (uint32_t k = idn->type_first[t];
             last->requests[t] > 0 && k < idn->type_first[t + 1] && seen_count < 64; k++) {
            uint32_t item = idn->main_item[k];
            bool known = item == ES_INDEX_NONE;
            for (uint32_t i = 0; i < seen_count && !known; i++)
                known = seen[i] == idn->items[item].node;
            if (known)
                continue;
            seen[seen_count++] = idn->items[item].node;
            own->score[item] += last->requests[t];
        }
    }
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    const es_idn *idn = own->idn;
    (void)slot;
    if (last == NULL)
        return ES_OK;
    ask(own, last);
    entry *entries = malloc((idn->item_count + 1) * sizeof *entries);
    if (entries == NULL)
        return es_fail(err, ES_ERR_NOMEM, "policy: no memory for %u items", idn->item_count);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        double room = es_idn_free_bytes(idn, v) * (1 + 1e-12);
        uint32_t count = 0;
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++) {
            hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
            if (!idn->items[i].pinned && own->score[i] > 0)
                entries[count++] = (entry){.score = own->score[i], .item = i};
        }
        qsort(entries, count, sizeof *entries, by_score);
        for (uint32_t e = 0; e < count; e++) {
            double size = idn->items[entries[e].item].size_bytes;
            if (size > room)
                continue;
            hosted[entries[e].item] = 1;
            room -= size;
        }
    }
    free(entries);
    return ES_OK;
}

static es_status make(const es_policy_given *given, const char *name, bool recent,
                      const char *options, es_policy *out_policy, es_error *err)
{
    memory *own = NULL;
    ES_TRY(es_policy_keys(name, options, NULL, 0, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    own->recent = recent;
    ES_TRY(
        es_online_take(given->arena, given->idn->item_count, sizeof *own->score, &own->score, err));
    *out_policy = (es_policy){.name = name, .memory = own, .decide = decide};
    return ES_OK;
}

es_status es_policy_lru(const es_policy_given *given, const char *options, es_policy *out_policy,
                        es_error *err)
{
    return make(given, "lru", true, options, out_policy, err);
}

es_status es_policy_lfu(const es_policy_given *given, const char *options, es_policy *out_policy,
                        es_error *err)
{
    return make(given, "lfu", false, options, out_policy, err);
}

/* ---- random ---- */

typedef struct drawn {
    const es_idn *idn;
    es_rng rng;
    double every; /* slots; 0: once */
} drawn;

static es_status decide_drawn(void *given, uint32_t slot, const es_observation *last,
                              uint32_t *hosted, es_error *err)
{
    drawn *own = given;
    const es_idn *idn = own->idn;
    (void)last;
    if (slot != 0 && (own->every <= 0 || slot % (uint32_t)own->every != 0))
        return ES_OK;
    size_t *order = malloc((idn->item_count + 1) * sizeof *order);
    if (order == NULL)
        return es_fail(err, ES_ERR_NOMEM, "policy: no memory for %u items", idn->item_count);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        double room = es_idn_free_bytes(idn, v) * (1 + 1e-12);
        size_t count = 0;
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++) {
            hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
            if (!idn->items[i].pinned && idn->use_first[i] < idn->use_first[i + 1])
                order[count++] = i;
        }
        es_rng_shuffle(&own->rng, order, count);
        for (size_t e = 0; e < count; e++) {
            double size = idn->items[order[e]].size_bytes;
            if (size > room)
                continue;
            hosted[order[e]] = 1;
            room -= size;
        }
    }
    free(order);
    return ES_OK;
}

es_status es_policy_random(const es_policy_given *given, const char *options, es_policy *out_policy,
                           es_error *err)
{
    es_policy_key key = {"every", 0, 0, 1e9};
    drawn *own = NULL;
    ES_TRY(es_policy_keys("random", options, &key, 1, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    *own = (drawn){.idn = given->idn, .rng = es_rng_make(given->seed, 0), .every = key.value};
    *out_policy = (es_policy){.name = "random", .memory = own, .decide = decide_drawn};
    return ES_OK;
}
