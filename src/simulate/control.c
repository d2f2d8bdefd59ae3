#include "simulate/control.h"

#include "simulate/slots.h"

#include <assert.h>
#include <math.h>

/* A run in progress. */
typedef struct run {
    const es_idn *idn;
    const double *demand;
    uint32_t slot_count;
    es_control_opts opts;
    es_decider *decider;
    uint32_t *before; /* [item] hosted in the slot before */
    double *gradient; /* [item] */
    double *cost, *gain, *fraction_gain, *moved_bytes;
    es_control *control;
    /* with a scenario */
    es_sim sim;
    es_arena *slot_arena;
    double held_per_s; /* hosting and idle cost per second, summed over slots */
} run;

static es_status take(es_arena *arena, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(arena, count, size, "control", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

es_status es_simulate_demand(es_arena *arena, const es_scenario *scenario, uint64_t seed,
                             bool expected, double **out_demand, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(es_arena_cap_bytes(arena));
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "simulate: no memory for an arena");
    es_sim sim = {.scenario = scenario, .opts = {.seed = seed, .expected = expected}};
    double *demand = NULL;
    uint32_t classes = scenario->class_count;
    ES_TRY(take(arena, (size_t)scenario->slot_count * classes, sizeof *demand, &demand, err));
    ES_TRY(es_sim_prepare(scratch, &sim, err));
    for (uint32_t s = 0; s < scenario->slot_count; s++) {
        es_sim_draw(&sim, s);
        memcpy(&demand[(size_t)s * classes], sim.counts, classes * sizeof *demand);
    }
    *out_demand = demand;
    return ES_OK;
}

/* ---- a slot ---- */

static double moved(const run *own)
{
    const uint32_t *hosted = es_decider_hosted(own->decider);
    double bytes = 0;
    for (uint32_t i = 0; i < own->idn->item_count; i++)
        if (hosted[i] > own->before[i])
            bytes += (hosted[i] - own->before[i]) * own->idn->items[i].size_bytes;
    return bytes;
}

static void find_theta(run *own, const double *hosted)
{
    (void)es_idn_gradient(es_decider_load(own->decider), hosted, own->gradient);
    for (uint32_t i = 0; i < own->idn->item_count; i++)
        if (!own->idn->items[i].pinned)
            own->control->gradient_max =
                fmax(own->control->gradient_max, own->gradient[i] / own->idn->items[i].size_bytes);
}

/* The fluid's account; sums into control, to be divided at the end. */
static void account(run *own, uint32_t slot)
{
    es_control *control = own->control;
    const es_policy *policy = es_decider_policy(own->decider);
    const es_idn_load *load = es_decider_load(own->decider);
    es_idn_service service =
        es_decider_observe(own->decider, &own->demand[(size_t)slot * own->idn->type_count]);
    own->cost[slot] = service.cost;
    own->gain[slot] = load->base_cost - service.cost;
    own->moved_bytes[slot] = moved(own);
    control->requests += load->total;
    control->latency_s_mean += service.latency_s;
    control->quality_mean += service.quality;
    control->refused_share += service.refused;
    if (own->fraction_gain != NULL) {
        const double *fraction = policy->fraction(policy->memory);
        own->fraction_gain[slot] = es_idn_gain(load, fraction);
        find_theta(own, fraction);
    }
}

static double held_cost(const run *own)
{
    const es_scenario *scenario = own->idn->scenario;
    const uint32_t *hosted = es_decider_hosted(own->decider);
    double per_s = 0;
    for (uint32_t v = 0; v < own->idn->node_count; v++) {
        bool any = false;
        for (uint32_t i = own->idn->node_first[v]; i < own->idn->node_first[v + 1]; i++) {
            if (hosted[i] == 0)
                continue;
            any = true;
            per_s += scenario->segments[own->idn->items[i].model].hosting_per_s;
        }
        if (any)
            per_s += scenario->objective.idle_per_j *
                     es_network_node(scenario->network, (es_node_id){v})->idle_w;
    }
    return per_s;
}

static es_status play(run *own, uint32_t slot, es_error *err)
{
    const es_plan *plan = NULL;
    const double *requests = es_decider_load(own->decider)->requests;
    assert(own->sim.counts != NULL); /* there is a scenario: prepare_queues ran */
    es_arena_reset(own->slot_arena);
    ES_TRY(es_decider_route(own->slot_arena, own->decider, requests, &plan, err));
    memcpy(own->sim.counts, requests, own->idn->type_count * sizeof *own->sim.counts);
    ES_TRY(es_sim_follow(own->slot_arena, &own->sim, plan, err));
    own->held_per_s += held_cost(own);
    return es_sim_play(&own->sim, slot, err);
}

static es_status run_slots(run *own, es_error *err)
{
    const es_idn *idn = own->idn;
    const es_control_opts *opts = &own->opts;
    for (uint32_t i = 0; i < idn->item_count; i++)
        own->before[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
    for (uint32_t s = 0; s < own->slot_count; s++) {
        const bool *usable = opts->usable != NULL ? opts->usable(opts->context, s) : NULL;
        const uint32_t *hosted = es_decider_hosted(own->decider);
        if (s > 0)
            memcpy(own->before, hosted, idn->item_count * sizeof *own->before);
        ES_TRY(es_decider_decide(own->decider, usable, err));
        if (opts->decided != NULL)
            opts->decided(opts->context, s, hosted);
        account(own, s);
        if (idn->scenario != NULL)
            ES_TRY(play(own, s, err));
    }
    own->control->faults = *es_decider_faults(own->decider);
    return ES_OK;
}

/* ---- start and end ---- */

static es_status prepare(es_arena *arena, es_arena *scratch, run *own, es_error *err)
{
    const es_idn *idn = own->idn;
    uint32_t slots = own->slot_count;
    ES_TRY(take(arena, slots, sizeof *own->cost, &own->cost, err));
    ES_TRY(take(arena, slots, sizeof *own->gain, &own->gain, err));
    ES_TRY(take(arena, slots, sizeof *own->moved_bytes, &own->moved_bytes, err));
    if (es_decider_policy(own->decider)->fraction != NULL)
        ES_TRY(take(arena, slots, sizeof *own->fraction_gain, &own->fraction_gain, err));
    ES_TRY(take(scratch, idn->item_count, sizeof *own->before, &own->before, err));
    return take(scratch, idn->item_count, sizeof *own->gradient, &own->gradient, err);
}

static es_status prepare_queues(es_arena *arena, es_arena *scratch, run *own, es_error *err)
{
    const es_scenario *scenario = own->idn->scenario;
    size_t cells = (size_t)own->idn->node_count * scenario->segment_count;
    own->sim = (es_sim){.scenario = scenario,
                        .opts = {.seed = own->opts.seed, .expected = own->opts.expected}};
    ES_TRY(es_sim_prepare(scratch, &own->sim, err));
    ES_TRY(take(scratch, cells, sizeof *own->sim.held, &own->sim.held, err));
    return es_outcome_recorder_new(arena, scenario, NULL, own->opts.policy, "simulate",
                                   own->opts.seed, &own->sim.recorder, err);
}

/* The recorder knows no plan: hosting and idle cost, as the slots had them, come on top. */
static es_status seal(es_arena *arena, run *own, es_error *err)
{
    es_outcome *copy = NULL;
    const es_outcome *outcome = NULL;
    ES_TRY(es_outcome_seal(own->sim.recorder, &outcome, err));
    ES_TRY(take(arena, 1, sizeof *copy, &copy, err));
    *copy = *outcome;
    copy->objective_per_s += own->held_per_s / own->slot_count;
    own->control->outcome = copy;
    return ES_OK;
}

static es_status run_all(es_arena *arena, es_arena *scratch, run *own, es_error *err)
{
    ES_TRY(prepare(arena, scratch, own, err));
    if (own->idn->scenario != NULL)
        ES_TRY(prepare_queues(arena, scratch, own, err));
    ES_TRY(run_slots(own, err));
    return own->idn->scenario != NULL ? seal(arena, own, err) : ES_OK;
}

es_status es_simulate_control(es_arena *arena, const es_idn *idn, const double *demand,
                              uint32_t slot_count, es_control_opts opts, es_control *out_control,
                              es_error *err)
{
    es_control control = {.slot_count = slot_count};
    run own = {
        .idn = idn, .demand = demand, .slot_count = slot_count, .opts = opts, .control = &control};
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(es_arena_cap_bytes(arena));
    ES_CLEANUP(es_arena_free_p) es_arena *slot_arena = es_arena_new(es_arena_cap_bytes(arena));
    if (scratch == NULL || slot_arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "simulate: no memory for an arena");
    own.slot_arena = slot_arena;
    es_policy_given given = {.arena = scratch,
                             .idn = idn,
                             .seed = opts.seed,
                             .slot_count = slot_count,
                             .first_slot = opts.first_slot,
                             .future = demand,
                             .late_s = opts.late_s};
    ES_CLEANUP(es_decider_free_p) es_decider *decider = NULL;
    ES_TRY(es_decider_new(&given, opts.policy, opts.clip, &decider, err));
    own.decider = decider;
    ES_TRY(run_all(arena, scratch, &own, err));
    double served = control.requests - control.refused_share;
    control.latency_s_mean = served > 0 ? control.latency_s_mean / served : (double)NAN;
    control.quality_mean = served > 0 ? control.quality_mean / served : (double)NAN;
    control.refused_share = control.requests > 0 ? control.refused_share / control.requests : 0;
    control.cost = own.cost;
    control.gain = own.gain;
    control.fraction_gain = own.fraction_gain;
    control.moved_bytes = own.moved_bytes;
    *out_control = control;
    return ES_OK;
}
