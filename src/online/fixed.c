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

es_status es_online_best_fixed(es_arena *arena, const es_idn *idn, const double *demand,
                               uint32_t slots, uint32_t steps, double step, es_ascent *out_ascent,
                               double *out_best, double *out_bound, es_error *err)
{
    es_idn_load *loads = NULL;
    double *weights = NULL;
    double *part = NULL;
    size_t count = 0;
    ES_TRY(es_greedy_loads(arena, idn, demand, slots, LOADS_MAX, &loads, &weights, &count, err));
    ES_TRY(es_ascent_new(arena, idn, step, 0.5, out_ascent, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *part, &part, err));
    double best = -(double)INFINITY;
    double bound = (double)INFINITY;
    for (uint32_t n = 0; n < steps; n++) {
        double gain = 0;
        memset(out_ascent->gradient, 0, idn->item_count * sizeof *part);
        for (size_t l = 0; l < count; l++) {
            double cost = es_idn_gradient(&loads[l], out_ascent->hosted, part);
            gain += weights[l] / slots * (loads[l].base_cost - cost);
            for (uint32_t i = 0; i < idn->item_count; i++)
                out_ascent->gradient[i] += weights[l] / slots * part[i];
        }
        if (gain > best) {
            best = gain;
            memcpy(out_best, out_ascent->hosted, idn->item_count * sizeof *out_best);
        }
        bound = fmin(bound, gain + es_online_slack(out_ascent));
        es_ascent_climb(out_ascent);
    }
    *out_bound = bound;
    return ES_OK;
}

static int by_density(const void *left, const void *right)
{
    const double *a = left;
    const double *b = right;
    return (a[0] < b[0]) - (a[0] > b[0]);
}

double es_online_slack(const es_ascent *ascent)
{
    const es_idn *idn = ascent->idn;
    double slack = 0;
    for (uint32_t v = 0; v < idn->node_count; v++) {
        uint32_t from = ascent->first[v];
        uint32_t count = ascent->first[v + 1] - from;
        double(*rows)[2] = malloc((count + 1) * sizeof *rows);
        if (rows == NULL)
            return (double)INFINITY;
        for (uint32_t a = 0; a < count; a++) {
            uint32_t item = ascent->list[from + a];
            rows[a][0] = ascent->gradient[item] / ascent->size[from + a];
            rows[a][1] = ascent->weight[from + a];
            slack -= ascent->gradient[item] * ascent->hosted[item];
        }
        qsort(rows, count, sizeof *rows, by_density);
        double room = ascent->budget[v];
        for (uint32_t a = 0; a < count && room > 0; a++) {
            slack += rows[a][0] * fmin(room, rows[a][1]);
            room -= rows[a][1];
        }
        free(rows);
    }
    return slack;
}

enum { STEP, STEPS, OFFLINE_KEY_COUNT };

es_status es_policy_infida_offline(const es_policy_given *given, const char *options,
                                   es_policy *out_policy, es_error *err)
{
    es_policy_key keys[OFFLINE_KEY_COUNT] = {
        [STEP] = {"step", 6, 1e-6, 1e6}, [STEPS] = {"steps", 300, 1, 1e6}};
    kept *own = NULL;
    es_ascent ascent;
    es_rounder rounder;
    double bound = 0;
    ES_TRY(es_policy_keys("infida-offline", options, keys, OFFLINE_KEY_COUNT, err));
    ES_TRY(make_kept(given, &own, err));
    ES_TRY(es_online_best_fixed(given->arena, given->idn, given->future, given->slot_count,
                                (uint32_t)keys[STEPS].value, keys[STEP].value, &ascent,
                                own->fraction, &bound, err));
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
