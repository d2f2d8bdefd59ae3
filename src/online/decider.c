/* A policy slot by slot: what it is told, what becomes of its answer. */
#include "online/internal.h"

struct es_decider {
    es_idn idn;         /* given's, with its own capacities and usable */
    double *capacities; /* [option]; 0 where an item cannot be hosted */
    const double *given_capacities;
    bool *usable; /* [item] */
    bool clip;
    es_policy policy;
    es_idn_load load;
    uint32_t slot;     /* to be decided next */
    uint32_t *asked;   /* [item] by the policy, clipped */
    uint32_t *before;  /* [item] */
    uint32_t *hosted;  /* [item] asked and usable */
    double *whole;     /* [item] hosted as numbers */
    double cost;       /* of the slot observed last */
    es_router *router; /* NULL: no scenario */
    es_policy_faults faults;
};

static es_status take_all(es_arena *arena, es_decider *own, es_error *err)
{
    const es_idn *idn = &own->idn;
    uint32_t options = idn->type_first[idn->type_count];
    ES_TRY(es_online_take(arena, options, sizeof *own->capacities, &own->capacities, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->usable, &own->usable, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->asked, &own->asked, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->before, &own->before, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->hosted, &own->hosted, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own->whole, &own->whole, err));
    memcpy(own->capacities, idn->capacities, options * sizeof *own->capacities);
    for (uint32_t i = 0; i < idn->item_count; i++)
        own->asked[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
    return ES_OK;
}

es_status es_decider_new(const es_policy_given *given, const char *spec, bool clip,
                         es_decider **out_decider, es_error *err)
{
    es_decider *own = NULL;
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = *given->idn;
    own->clip = clip;
    own->given_capacities = given->idn->capacities;
    ES_TRY(take_all(given->arena, own, err));
    own->idn.capacities = own->capacities;
    ES_TRY(es_idn_load_new(given->arena, &own->idn, &own->load, err));
    if (own->idn.scenario != NULL)
        ES_TRY(es_router_new(given->arena, &own->idn, &own->router, err));
    es_policy_given mine = *given;
    mine.idn = &own->idn;
    ES_TRY(es_policy_make(&mine, spec, &own->policy, err));
    *out_decider = own;
    return ES_OK;
}

void es_decider_free(es_decider *decider)
{
    if (decider != NULL)
        es_policy_done(&decider->policy);
}

void es_decider_free_p(es_decider **decider)
{
    es_decider_free(*decider);
    *decider = NULL;
}

/* ---- what can be hosted ---- */

static bool needs_unusable(const es_idn *idn, const es_idn_option *option)
{
    for (uint32_t i = 0; i < option->item_count; i++)
        if (!idn->usable[option->items[i]])
            return true;
    return false;
}

/* The last option of a type keeps its capacity: policies count on it to take what is left. */
static void set_usable(es_decider *own, const bool *usable)
{
    es_idn *idn = &own->idn;
    bool all = true;
    for (uint32_t i = 0; i < idn->item_count; i++)
        all = all && (usable == NULL || usable[i]);
    if (all && idn->usable == NULL)
        return;
    idn->usable = all ? NULL : own->usable;
    for (uint32_t i = 0; i < idn->item_count; i++)
        own->usable[i] = all || usable[i];
    for (uint32_t t = 0; t < idn->type_count; t++)
        for (uint32_t k = idn->type_first[t]; k + 1 < idn->type_first[t + 1]; k++)
            own->capacities[k] =
                all || !needs_unusable(idn, &idn->options[k]) ? own->given_capacities[k] : 0;
}

static void stand(es_decider *own)
{
    for (uint32_t i = 0; i < own->idn.item_count; i++)
        own->hosted[i] = own->idn.usable == NULL || own->usable[i] ? own->asked[i] : 0;
}

/* ---- decisions ---- */

static void note(es_policy_faults *faults, const char *text)
{
    if (faults->first[0] == '\0')
        (void)snprintf(faults->first, sizeof faults->first, "%.150s", text);
}

static es_status ask(es_decider *own, const es_observation *last, es_error *err)
{
    es_policy_faults *faults = &own->faults;
    es_error why = {0};
    memcpy(own->before, own->asked, own->idn.item_count * sizeof *own->before);
    es_status status = own->policy.decide(own->policy.memory, own->slot, last, own->asked, &why);
    if (status != ES_OK) {
        if (!own->clip)
            return es_fail(err, status, "slot %u: %s", own->slot, es_error_text(&why));
        faults->bad_answers++;
        note(faults, es_error_text(&why));
        memcpy(own->asked, own->before, own->idn.item_count * sizeof *own->asked);
    }
    es_policy_violations found = es_policy_clip(&own->idn, own->asked);
    if (found.over_copies + found.over_budget == 0)
        return ES_OK;
    es_fail(&why, ES_ERR_ARG,
            "slot %u: policy '%s': %llu nodes over their memory, %llu items with "
            "more copies than they have",
            own->slot, own->policy.name, (unsigned long long)found.over_budget,
            (unsigned long long)found.over_copies);
    if (!own->clip)
        return es_fail(err, ES_ERR_ARG, "%s", es_error_text(&why));
    faults->over_copies += found.over_copies;
    faults->over_budget += found.over_budget;
    note(faults, es_error_text(&why));
    return ES_OK;
}

/* Told: hosted is known, for policies that only need to remember. */
static es_status advance(es_decider *own, const bool *usable, const uint32_t *told, es_error *err)
{
    es_observation last = {.slot = own->slot - 1,
                           .requests = own->load.requests,
                           .hosted = own->hosted,
                           .cost = own->cost};
    const es_observation *seen = own->slot > 0 ? &last : NULL;
    set_usable(own, usable);
    if (told != NULL && own->policy.recall != NULL) {
        ES_TRY(own->policy.recall(own->policy.memory, own->slot, seen, told, err));
        memcpy(own->asked, told, own->idn.item_count * sizeof *own->asked);
        (void)es_policy_clip(&own->idn, own->asked);
    } else {
        ES_TRY(ask(own, seen, err));
    }
    stand(own);
    own->slot++;
    return ES_OK;
}

es_status es_decider_decide(es_decider *decider, const bool *usable, es_error *err)
{
    return advance(decider, usable, NULL, err);
}

es_status es_decider_recall(es_decider *decider, const bool *usable, const uint32_t *hosted,
                            bool *out_same, es_error *err)
{
    ES_TRY(advance(decider, usable, hosted, err));
    *out_same =
        memcmp(decider->hosted, hosted, decider->idn.item_count * sizeof *decider->hosted) == 0;
    return ES_OK;
}

es_idn_service es_decider_observe(es_decider *decider, const double *requests)
{
    es_idn_load_set(&decider->load, requests);
    for (uint32_t i = 0; i < decider->idn.item_count; i++)
        decider->whole[i] = decider->hosted[i];
    es_idn_service service = es_idn_serve(&decider->load, decider->whole, NULL);
    decider->cost = service.cost;
    return service;
}

/* ---- what came of it ---- */

const uint32_t *es_decider_hosted(const es_decider *decider)
{
    return decider->hosted;
}

uint32_t es_decider_next(const es_decider *decider)
{
    return decider->slot;
}

const es_idn_load *es_decider_load(const es_decider *decider)
{
    return &decider->load;
}

const es_policy *es_decider_policy(const es_decider *decider)
{
    return &decider->policy;
}

const es_policy_faults *es_decider_faults(const es_decider *decider)
{
    return &decider->faults;
}

static bool is_hosted(const es_decider *own, es_placement placement)
{
    const es_idn *idn = &own->idn;
    if (placement.node.index >= idn->node_count)
        return false;
    for (uint32_t i = idn->node_first[placement.node.index];
         i < idn->node_first[placement.node.index + 1]; i++)
        if (idn->items[i].model == placement.segment.index)
            return own->hosted[i] > 0;
    return false;
}

const es_plan *es_decider_plan(const es_decider *decider)
{
    if (decider->policy.plan == NULL)
        return NULL;
    const es_plan *plan = decider->policy.plan(decider->policy.memory);
    for (size_t i = 0; plan != NULL && i < plan->placement_count; i++)
        if (!is_hosted(decider, plan->placements[i]))
            return NULL;
    return plan;
}

es_status es_decider_route(es_arena *arena, const es_decider *decider, const double *counts,
                           const es_plan **out_plan, es_error *err)
{
    const es_idn *idn = &decider->idn;
    const es_plan *own = es_decider_plan(decider);
    if (own == NULL)
        return es_router_plan(arena, decider->router, counts, decider->hosted, out_plan, err);
    es_plan *plan = NULL;
    es_placement *placements = NULL;
    ES_TRY(es_online_take(arena, 1, sizeof *plan, &plan, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *placements, &placements, err));
    *plan = *own;
    plan->placements = placements;
    plan->placement_count = 0;
    for (uint32_t i = 0; i < idn->item_count; i++)
        if (decider->hosted[i] > 0)
            placements[plan->placement_count++] =
                (es_placement){.node = {idn->items[i].node}, .segment = {idn->items[i].model}};
    *out_plan = plan;
    return ES_OK;
}
