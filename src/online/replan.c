/* Every few slots, and when what can be hosted changes, the planner on the rates that were seen
 * since. */
#include "online/internal.h"

enum { EVERY, EXACT, DECOMPOSITION, TIME, WARM, MOVE, MOVE_BYTE, KEY_COUNT };

typedef struct memory {
    const es_idn *idn;
    es_arena *arenas[2]; /* of the plan that stands and of the next */
    uint32_t turn;
    const es_plan *plan; /* NULL: none, or only its placements are known */
    es_placement *placements;
    size_t placement_count; /* that stand: what a warm start takes over */
    es_class *classes;      /* the scenario's, with the rates seen */
    double *sum;            /* [class] requests since the last plan */
    bool *usable;           /* [item] when the last plan was made */
    uint32_t slots;
    uint32_t first_slot;
    double keys[KEY_COUNT];
} memory;

static uint32_t find_item(const es_idn *idn, es_node_id node, es_segment_id segment)
{
    for (uint32_t i = idn->node_first[node.index]; i < idn->node_first[node.index + 1]; i++)
        if (idn->items[i].model == segment.index)
            return i;
    return ES_INDEX_NONE;
}

static bool is_usable(const es_idn *idn, uint32_t item)
{
    return idn->usable == NULL || idn->usable[item];
}

/* Whether anything came or went; remembers how it is now. */
static bool usable_changed(memory *own)
{
    bool changed = false;
    for (uint32_t i = 0; i < own->idn->item_count; i++) {
        bool now = is_usable(own->idn, i);
        changed = changed || own->usable[i] != now;
        own->usable[i] = now;
    }
    return changed;
}

/* What cannot be hosted has no service time: nodes that lack something get a kind of their own. */
static es_status leave_out(const memory *own, es_arena *arena, es_scenario *seen, es_error *err)
{
    const es_idn *idn = own->idn;
    uint32_t segments = seen->segment_count;
    uint32_t most = seen->kind_count + idn->node_count;
    es_service *services = NULL;
    es_kind *kinds = NULL;
    uint32_t *node_kinds = NULL;
    if (idn->usable == NULL)
        return ES_OK;
    ES_TRY(es_online_take(arena, (size_t)most * segments, sizeof *services, &services, err));
    ES_TRY(es_online_take(arena, most, sizeof *kinds, &kinds, err));
    ES_TRY(es_online_take(arena, idn->node_count, sizeof *node_kinds, &node_kinds, err));
    memcpy(services, seen->services, (size_t)seen->kind_count * segments * sizeof *services);
    memcpy(kinds, seen->kinds, seen->kind_count * sizeof *kinds);
    memcpy(node_kinds, seen->node_kinds, idn->node_count * sizeof *node_kinds);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        es_service *row = &services[(size_t)seen->kind_count * segments];
        bool lacks = false;
        memcpy(row, &services[(size_t)node_kinds[v] * segments], segments * sizeof *row);
        for (uint32_t i = idn->node_first[v]; i < idn->node_first[v + 1]; i++) {
            if (idn->usable[i])
                continue;
            row[idn->items[i].model].time_s = (double)INFINITY;
            lacks = true;
        }
        if (!lacks)
            continue;
        kinds[seen->kind_count] = kinds[node_kinds[v]];
        node_kinds[v] = seen->kind_count++;
    }
    seen->services = services;
    seen->kinds = kinds;
    seen->node_kinds = node_kinds;
    return ES_OK;
}

/* A class of which nothing came counts as one request: a plan must have a way for the next. */
static void set_rates(memory *own, es_scenario *seen)
{
    if (own->slots == 0)
        return; /* nothing was seen: the scenario's own rates */
    seen->classes = own->classes;
    for (uint32_t c = 0; c < seen->class_count; c++) {
        own->classes[c].arrivals =
            (es_arrivals){.kind = ES_ARRIVAL_POISSON,
                          .rate_rps = fmax(own->sum[c], 1) / (own->slots * own->idn->slot_s)};
        own->sum[c] = 0;
    }
    own->slots = 0;
}

static es_plan_opts options_of(const memory *own, const es_plan *standing)
{
    es_plan_opts opts = es_plan_opts_default();
    opts.method = own->keys[EXACT] > 0           ? ES_PLAN_EXACT
                  : own->keys[DECOMPOSITION] > 0 ? ES_PLAN_DECOMPOSITION
                                                 : ES_PLAN_GREEDY;
    opts.time_limit_s = own->keys[TIME];
    opts.move_price = own->keys[MOVE];
    opts.move_price_per_byte = own->keys[MOVE_BYTE];
    if (own->keys[WARM] > 0 && standing->placement_count > 0)
        opts.warm_start = standing;
    return opts;
}

static void keep_placements(memory *own, const uint32_t *hosted)
{
    const es_idn *idn = own->idn;
    own->placement_count = 0;
    for (uint32_t i = 0; i < idn->item_count; i++)
        if (hosted[i] > 0 && is_usable(idn, i))
            own->placements[own->placement_count++] =
                (es_placement){.node = {idn->items[i].node}, .segment = {idn->items[i].model}};
}

static es_status plan_anew(memory *own, uint32_t slot, uint32_t *hosted, es_error *err)
{
    const es_idn *idn = own->idn;
    es_arena *scratch = own->arenas[own->turn];
    es_scenario seen = *idn->scenario;
    es_plan standing = {.scenario = seen.name,
                        .placements = own->placements,
                        .placement_count = own->placement_count};
    const es_plan *plan = NULL;
    double from_s = (own->first_slot + (double)slot) * idn->slot_s;
    es_arena_reset(scratch);
    set_rates(own, &seen);
    ES_TRY(leave_out(own, scratch, &seen, err));
    ES_TRY(es_scenario_carbon_over(scratch, &seen, from_s, from_s + own->keys[EVERY] * idn->slot_s,
                                   err));
    ES_TRY(es_plan_solve(scratch, &seen, options_of(own, &standing), &plan, err));
    if (plan->quality == ES_PLAN_INFEASIBLE || plan->quality == ES_PLAN_UNKNOWN)
        return ES_OK; /* what stands stays */
    own->plan = plan;
    own->turn = 1 - own->turn;
    for (uint32_t i = 0; i < idn->item_count; i++)
        hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
    for (size_t p = 0; p < plan->placement_count; p++) {
        uint32_t item = find_item(idn, plan->placements[p].node, plan->placements[p].segment);
        if (item != ES_INDEX_NONE)
            hosted[item] = idn->items[item].copies;
    }
    keep_placements(own, hosted);
    return ES_OK;
}

/* Takes the last slot in; whether a plan is due. */
static bool learn(memory *own, uint32_t slot, const es_observation *last)
{
    bool changed = usable_changed(own);
    if (last == NULL)
        return true;
    for (uint32_t c = 0; c < own->idn->type_count; c++)
        own->sum[c] += last->requests[c];
    own->slots++;
    return changed || slot % (uint32_t)own->keys[EVERY] == 0;
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    return learn(own, slot, last) ? plan_anew(own, slot, hosted, err) : ES_OK;
}

static es_status recall(void *given, uint32_t slot, const es_observation *last,
                        const uint32_t *hosted, es_error *err)
{
    memory *own = given;
    es_scenario seen = *own->idn->scenario;
    (void)err;
    if (!learn(own, slot, last))
        return ES_OK;
    set_rates(own, &seen);
    keep_placements(own, hosted);
    own->plan = NULL;
    return ES_OK;
}

static const es_plan *plan_of(const void *given)
{
    return ((const memory *)given)->plan;
}

static void done(void *given)
{
    memory *own = given;
    es_arena_free(own->arenas[0]);
    es_arena_free(own->arenas[1]);
}

static es_status take_all(const es_policy_given *given, memory *own, es_error *err)
{
    const es_scenario *scenario = own->idn->scenario;
    uint32_t classes = scenario->class_count;
    uint32_t items = own->idn->item_count;
    ES_TRY(es_online_take(given->arena, classes, sizeof *own->classes, &own->classes, err));
    ES_TRY(es_online_take(given->arena, classes, sizeof *own->sum, &own->sum, err));
    ES_TRY(es_online_take(given->arena, items, sizeof *own->usable, &own->usable, err));
    ES_TRY(es_online_take(given->arena, items, sizeof *own->placements, &own->placements, err));
    memcpy(own->classes, scenario->classes, classes * sizeof *own->classes);
    for (int i = 0; i < 2; i++) {
        own->arenas[i] = es_arena_new(es_arena_cap_bytes(given->arena));
        if (own->arenas[i] == NULL)
            return es_fail(err, ES_ERR_NOMEM, "policy 'replan': no memory for an arena");
    }
    return ES_OK;
}

es_status es_policy_replan(const es_policy_given *given, const char *options, es_policy *out_policy,
                           es_error *err)
{
    es_policy_key keys[KEY_COUNT] = {[EVERY] = {"every", 8, 1, 1e9},
                                     [EXACT] = {"exact", 0, 0, 1},
                                     [DECOMPOSITION] = {"decomposition", 0, 0, 1},
                                     [TIME] = {"time_limit_s", 10, 1e-3, 1e6},
                                     [WARM] = {"warm", 1, 0, 1},
                                     [MOVE] = {"move_price", 0, 0, 1e12},
                                     [MOVE_BYTE] = {"move_price_per_byte", 0, 0, 1e12}};
    memory *own = NULL;
    ES_TRY(es_policy_keys("replan", options, keys, KEY_COUNT, err));
    if (given->idn->scenario == NULL)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "policy 'replan' plans scenarios, and '%s' is not one", given->idn->name);
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    own->idn = given->idn;
    own->first_slot = given->first_slot;
    for (size_t i = 0; i < KEY_COUNT; i++)
        own->keys[i] = keys[i].value;
    es_status status = take_all(given, own, err);
    if (status != ES_OK) {
        done(own);
        return status;
    }
    *out_policy = (es_policy){.name = "replan",
                              .memory = own,
                              .decide = decide,
                              .plan = plan_of,
                              .recall = recall,
                              .done = done};
    return ES_OK;
}
