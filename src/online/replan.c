/* Every few slots, the planner on the rates that were seen since. */
#include "online/internal.h"

enum { EVERY, EXACT, TIME, KEY_COUNT };

typedef struct memory {
    const es_idn *idn;
    es_arena *scratch;
    es_class *classes; /* the scenario's, with the rates seen */
    double *sum;       /* [class] requests since the last plan */
    uint32_t slots;
    double keys[KEY_COUNT];
} memory;

static uint32_t find_item(const es_idn *idn, es_node_id node, es_segment_id segment)
{
    for (uint32_t i = idn->node_first[node.index]; i < idn->node_first[node.index + 1]; i++)
        if (idn->items[i].model == segment.index)
            return i;
    return ES_INDEX_NONE;
}

/* slots 0: nothing was seen, the scenario's own rates. Grids are those of the slots to come. */
static es_status plan_anew(memory *own, uint32_t slot, uint32_t *hosted, es_error *err)
{
    const es_idn *idn = own->idn;
    es_scenario seen = *idn->scenario;
    if (own->slots > 0)
        seen.classes = own->classes;
    for (uint32_t c = 0; own->slots > 0 && c < seen.class_count; c++) {
        own->classes[c].arrivals = (es_arrivals){
            .kind = ES_ARRIVAL_POISSON, .rate_rps = own->sum[c] / (own->slots * idn->slot_s)};
        own->sum[c] = 0;
    }
    own->slots = 0;
    es_plan_opts opts = es_plan_opts_default();
    opts.method = own->keys[EXACT] > 0 ? ES_PLAN_EXACT : ES_PLAN_GREEDY;
    opts.time_limit_s = own->keys[TIME];
    const es_plan *plan = NULL;
    es_arena_reset(own->scratch);
    ES_TRY(es_scenario_carbon_over(own->scratch, &seen, slot * idn->slot_s,
                                   (slot + own->keys[EVERY]) * idn->slot_s, err));
    ES_TRY(es_plan_solve(own->scratch, &seen, opts, &plan, err));
    if (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN)
        return ES_OK; /* what stands stays */
    for (uint32_t i = 0; i < idn->item_count; i++)
        hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
    for (size_t p = 0; p < plan->placement_count; p++) {
        uint32_t item = find_item(idn, plan->placements[p].node, plan->placements[p].segment);
        if (item != ES_INDEX_NONE)
            hosted[item] = idn->items[item].copies;
    }
    return ES_OK;
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    if (last == NULL)
        return plan_anew(own, slot, hosted, err);
    for (uint32_t c = 0; c < own->idn->type_count; c++)
        own->sum[c] += last->requests[c];
    own->slots++;
    if (slot % (uint32_t)own->keys[EVERY] != 0)
        return ES_OK;
    return plan_anew(own, slot, hosted, err);
}

static void done(void *given)
{
    memory *own = given;
    es_arena_free(own->scratch);
}

es_status es_policy_replan(const es_policy_given *given, const char *options, es_policy *out_policy,
                           es_error *err)
{
    es_policy_key keys[KEY_COUNT] = {[EVERY] = {"every", 8, 1, 1e9},
                                     [EXACT] = {"exact", 0, 0, 1},
                                     [TIME] = {"time_limit_s", 10, 1e-3, 1e6}};
    memory *own = NULL;
    const es_scenario *scenario = given->idn->scenario;
    ES_TRY(es_policy_keys("replan", options, keys, KEY_COUNT, err));
    if (scenario == NULL)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "policy 'replan' plans scenarios, and '%s' is not one", given->idn->name);
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    for (size_t i = 0; i < KEY_COUNT; i++)
        own->keys[i] = keys[i].value;
    ES_TRY(es_online_take(given->arena, scenario->class_count, sizeof *own->classes, &own->classes,
                          err));
    ES_TRY(es_online_take(given->arena, scenario->class_count, sizeof *own->sum, &own->sum, err));
    memcpy(own->classes, scenario->classes, scenario->class_count * sizeof *own->classes);
    own->scratch = es_arena_new(es_arena_cap_bytes(given->arena));
    if (own->scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "policy 'replan': no memory for an arena");
    *out_policy = (es_policy){.name = "replan", .memory = own, .decide = decide, .done = done};
    return ES_OK;
}
