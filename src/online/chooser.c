/* A learner chooses, every few slots, which of several policies' allocations to host. The fluid
 * cost of each one's allocation follows from what was seen, so AdaHedge learns from all; EXP3 and
 * EXP3-IX look at the chosen one alone, as where costs can only be measured. */
#include "online/internal.h"

static const char *const arms[] = {"infida", "olag", "hottest", "edge-only"};
enum { ARMS = sizeof arms / sizeof arms[0] };

typedef struct memory {
    const es_idn *idn;
    es_learner *learner;
    es_policy policies[ARMS];
    uint32_t *hosted[ARMS]; /* what each would host */
    double *whole;          /* [item] */
    es_idn_load load;
    double losses[ARMS]; /* of the running period, per slot: share of the pinned cost */
    uint32_t hold;       /* slots between choices */
    uint32_t chosen;
} memory;

static void judge(memory *own, const es_observation *last)
{
    es_idn_load_set(&own->load, last->requests);
    for (uint32_t a = 0; a < ARMS; a++) {
        for (uint32_t i = 0; i < own->idn->item_count; i++)
            own->whole[i] = own->hosted[a][i];
        if (own->load.base_cost > 0)
            own->losses[a] += es_idn_cost(&own->load, own->whole) / own->load.base_cost / own->hold;
    }
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    if (last != NULL)
        judge(own, last);
    if (slot > 0 && slot % own->hold == 0) {
        es_learner_learn(own->learner, own->losses, NULL);
        memset(own->losses, 0, sizeof own->losses);
    }
    if (slot % own->hold == 0)
        own->chosen = es_learner_choose(own->learner, NULL);
    for (uint32_t a = 0; a < ARMS; a++) {
        ES_TRY(own->policies[a].decide(own->policies[a].memory, slot, last, own->hosted[a], err));
        (void)es_policy_clip(own->idn, own->hosted[a]);
    }
    memcpy(hosted, own->hosted[own->chosen], own->idn->item_count * sizeof *hosted);
    return ES_OK;
}

static void done(void *given)
{
    memory *own = given;
    for (uint32_t a = 0; a < ARMS; a++)
        es_policy_done(&own->policies[a]);
}

static es_status fill(const es_policy_given *given, es_learner_kind kind, memory *own,
                      es_error *err)
{
    uint32_t items = given->idn->item_count;
    es_learner_opts opts = es_learner_opts_default(kind, ARMS);
    opts.seed = given->seed;
    ES_TRY(es_learner_new(given->arena, opts, &own->learner, err));
    ES_TRY(es_idn_load_new(given->arena, given->idn, &own->load, err));
    ES_TRY(es_online_take(given->arena, items, sizeof *own->whole, &own->whole, err));
    for (uint32_t a = 0; a < ARMS; a++) {
        ES_TRY(es_online_take(given->arena, items, sizeof *own->hosted[a], &own->hosted[a], err));
        ES_TRY(es_policy_make(given, arms[a], &own->policies[a], err));
    }
    return ES_OK;
}

static es_status make(const es_policy_given *given, es_learner_kind kind, const char *options,
                      es_policy *out_policy, es_error *err)
{
    es_policy_key key = {"hold", 8, 1, 1e6};
    memory *own = NULL;
    const char *name = es_learner_names[kind];
    ES_TRY(es_policy_keys(name, options, &key, 1, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    own->hold = (uint32_t)key.value;
    es_status status = fill(given, kind, own, err);
    if (status != ES_OK) {
        done(own);
        return status;
    }
    *out_policy = (es_policy){.name = name, .memory = own, .decide = decide, .done = done};
    return ES_OK;
}

es_status es_policy_adahedge(const es_policy_given *given, const char *options,
                             es_policy *out_policy, es_error *err)
{
    return make(given, ES_LEARNER_ADAHEDGE, options, out_policy, err);
}

es_status es_policy_exp3(const es_policy_given *given, const char *options, es_policy *out_policy,
                         es_error *err)
{
    return make(given, ES_LEARNER_EXP3, options, out_policy, err);
}

es_status es_policy_exp3_ix(const es_policy_given *given, const char *options,
                            es_policy *out_policy, es_error *err)
{
    return make(given, ES_LEARNER_EXP3_IX, options, out_policy, err);
}
