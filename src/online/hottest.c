/* A policy to start from: hosts what saved most in the last slot, per byte. */
#include "online/internal.h"

typedef struct memory {
    const es_idn *idn;
    es_idn_load load;
    double *gradient; /* [item] */
    double *pinned;   /* [item] */
} memory;

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    const es_idn *idn = own->idn;
    (void)slot;
    (void)err;
    if (last == NULL)
        return ES_OK; /* nothing was seen yet: hosted stays as it is */
    es_idn_load_set(&own->load, last->requests);
    (void)es_idn_gradient(&own->load, own->pinned, own->gradient);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        double room = es_idn_free_bytes(idn, v);
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++)
            hosted[i] = 0; /* pinned ones come back by themselves */
        for (uint32_t best = 0; best != ES_INDEX_NONE;) {
            best = ES_INDEX_NONE;
            for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++)
                if (hosted[i] == 0 && own->gradient[i] > 0 && idn->items[i].size_bytes <= room &&
                    (best == ES_INDEX_NONE || own->gradient[i] * idn->items[best].size_bytes >
                                                  own->gradient[best] * idn->items[i].size_bytes))
                    best = i;
            if (best != ES_INDEX_NONE) {
                hosted[best] = 1;
                room -= idn->items[best].size_bytes;
            }
        }
    }
    return ES_OK;
}

es_status es_policy_hottest(const es_policy_given *given, const char *options,
                            es_policy *out_policy, es_error *err)
{
    memory *own = NULL;
    size_t items = given->idn->item_count;
    ES_TRY(es_policy_keys("hottest", options, NULL, 0, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    ES_TRY(es_online_take(given->arena, items, sizeof *own->gradient, &own->gradient, err));
    ES_TRY(es_online_take(given->arena, items, sizeof *own->pinned, &own->pinned, err));
    es_idn_pinned(own->idn, own->pinned);
    ES_TRY(es_idn_load_new(given->arena, own->idn, &own->load, err));
    *out_policy = (es_policy){.name = "hottest", .memory = own, .decide = decide};
    return ES_OK;
}
