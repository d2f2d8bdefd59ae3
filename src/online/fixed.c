/* References that know all demand and keep one allocation, and ones that keep to a tier. */
#include "online/ascent.h"
#include "online/greedy.h"

enum { LOADS_MAX = 64 };

typedef struct kept {
    const es_idn *idn;
    uint32_t *copies;
    double *fraction;
} kept;

static es_status decide_kept(void *given, uint32_t slot, const es_observation *last,
                             uint32_t *hosted, es_error *err)
{
    const kept *own = given;
    (void)last;
    (void)err;
    if (slot == 0)
        memcpy(hosted, own->copies, own->idn->item_count * sizeof *hosted);
    return ES_OK;
}

static const double *fraction_kept(const void *given)
{
    const kept *own = given;
    return own->fraction;
}

static es_status make_kept(const es_policy_given *given, kept **out, es_error *err)
{
    kept *own = NULL;
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    ES_TRY(es_online_take(given->arena, given->idn->item_count, sizeof *own->copies, &own->copies,
                          err));
    ES_TRY(es_online_take(given->arena, given->idn->item_count, sizeof *own->fraction,
                          &own->fraction, err));
    *out = own;
    return ES_OK;
}

es_status es_policy_greedy(const es_policy_given *given, const char *options, es_policy *out_policy,
                           es_error *err)
{
    ES_TRY(es_policy_keys("static-greedy", options, NULL, 0, err));
    kept *own = NULL;
    es_idn_load *loads = NULL;
    double *weights = NULL;
    size_t count = 0;
    ES_TRY(make_kept(given, &own, err));
    ES_TRY(es_greedy_loads(given->arena, given->idn, given->future, given->slot_count, LOADS_MAX,
                           &loads, &weights, &count, err));
    ES_TRY(es_greedy_fill(given->arena, loads, weights, count, NULL, own->fraction, err));
    for (uint32_t i = 0; i < given->idn->item_count; i++)
        own->copies[i] = (uint32_t)(own->fraction[i] + 0.5);
    *out_policy = (es_policy){.name = "static-greedy", .memory = own, .decide = decide_kept};
    return ES_OK;
}

/* ---- INFIDA offline ---- */

es_status es_policy_infida_offline(const es_policy_given *given, const char *options,
                                   es_policy *out_policy, es_error *err)
{
    es_policy_key key = {"steps", 200, 1, 1e6};
    kept *own = NULL;
    es_ascent ascent;
    es_rounder rounder;
    double gain = 0;
    double bound = 0;
    ES_TRY(es_policy_keys("infida-offline", options, &key, 1, err));
    ES_TRY(make_kept(given, &own, err));
    ES_TRY(es_online_best(given->arena, given->idn, given->future, given->slot_count,
                          (uint32_t)key.value, own->fraction, &gain, &bound, err));
    ES_TRY(es_ascent_new(given->arena, given->idn, 1, 0, &ascent, err));
    ES_TRY(es_rounder_new(given->arena, &ascent, given->seed, &rounder, err));
    es_rounder_draw(&rounder, own->fraction, (es_round_opts){0}, 0, 1, own->copies);
    *out_policy = (es_policy){
        .name = "infida-offline", .memory = own, .decide = decide_kept, .fraction = fraction_kept};
    return ES_OK;
}

/* ---- one tier alone ---- */

typedef struct tier_only {
    const es_idn *idn;
    es_arena *scratch;
    bool *allowed; /* [node] */
    es_idn_load load;
    double *mean;
    double *hosted;
    double refresh;
} tier_only;

static es_status decide_tier(void *given, uint32_t slot, const es_observation *last,
                             uint32_t *hosted, es_error *err)
{
    tier_only *own = given;
    if (last == NULL)
        return ES_OK;
    for (uint32_t t = 0; t < own->idn->type_count; t++)
        own->mean[t] += (last->requests[t] - own->mean[t]) / (slot < 8 ? slot : 8);
    if (slot != 1 && slot % (uint32_t)own->refresh != 0)
        return ES_OK;
    double weight = 1;
    es_idn_load_set(&own->load, own->mean);
    es_arena_reset(own->scratch);
    ES_TRY(es_greedy_fill(own->scratch, &own->load, &weight, 1, own->allowed, own->hosted, err));
    for (uint32_t i = 0; i < own->idn->item_count; i++)
        hosted[i] = (uint32_t)(own->hosted[i] + 0.5);
    return ES_OK;
}

static void done_tier(void *given)
{
    tier_only *own = given;
    es_arena_free(own->scratch);
}

static es_status make_tier(const es_policy_given *given, const char *name, es_tier tier,
                           const char *options, es_policy *out_policy, es_error *err)
{
    es_policy_key key = {"refresh", 8, 1, 1e6};
    tier_only *own = NULL;
    const es_idn *idn = given->idn;
    ES_TRY(es_policy_keys(name, options, &key, 1, err));
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    *own = (tier_only){.idn = idn, .refresh = key.value};
    ES_TRY(es_online_take(given->arena, idn->node_count, sizeof *own->allowed, &own->allowed, err));
    ES_TRY(es_online_take(given->arena, idn->type_count, sizeof *own->mean, &own->mean, err));
    ES_TRY(es_online_take(given->arena, idn->item_count, sizeof *own->hosted, &own->hosted, err));
    ES_TRY(es_idn_load_new(given->arena, idn, &own->load, err));
    for (uint32_t v = 0; v < idn->node_count; v++)
        own->allowed[v] = idn->tiers[v] == tier;
    own->scratch = es_arena_new(es_arena_cap_bytes(given->arena));
    if (own->scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "policy '%s': no memory for an arena", name);
    *out_policy =
        (es_policy){.name = name, .memory = own, .decide = decide_tier, .done = done_tier};
    return ES_OK;
}

es_status es_policy_device_only(const es_policy_given *given, const char *options,
                                es_policy *out_policy, es_error *err)
{
    return make_tier(given, "device-only", ES_TIER_DEVICE, options, out_policy, err);
}

es_status es_policy_edge_only(const es_policy_given *given, const char *options,
                              es_policy *out_policy, es_error *err)
{
    return make_tier(given, "edge-only", ES_TIER_EDGE, options, out_policy, err);
}

es_status es_policy_cloud_only(const es_policy_given *given, const char *options,
                               es_policy *out_policy, es_error *err)
{
    return make_tier(given, "cloud-only", ES_TIER_CLOUD, options, out_policy, err);
}
