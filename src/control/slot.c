/* Slot by slot: what came, told to the policy; what it decides, made the goal. */
#include "control/internal.h"

#define CUT_S 1.0   /* a slot lasts at least so long, or a quarter of it, whoever comes or goes */
#define RETRY_S 5.0 /* after the state could not be written, or the policy failed */
#define THINK_LOOK_S 0.02 /* whether the decision is there */
#define SHARE_TOLERANCE 1e-6
enum { REGRET_STEPS = 40 };

static int64_t now_ns(const es_controller *c)
{
    return es_clock_now_ns(c->given.clock);
}

void es_slot_expect(const es_controller *c, uint32_t slot, double *out_requests)
{
    double from_s = (slot % c->scenario.slot_count) * c->scenario.slot_s;
    for (uint32_t k = 0; k < c->class_count; k++)
        out_requests[k] = es_arrivals_count_between(&c->scenario.classes[k].arrivals, from_s,
                                                    from_s + c->scenario.slot_s);
}

/* ---- the policy and its memory ---- */

/* References that know the future take the scenario's word for it. */
static es_status make_decider(es_controller *c, uint32_t first_slot, es_error *err)
{
    uint32_t slots = c->scenario.slot_count;
    es_decider_free(c->decider);
    c->decider = NULL;
    es_arena_reset(c->policy_arena);
    es_policy_given given = {.arena = c->policy_arena,
                             .idn = c->idn,
                             .seed = c->given.seed,
                             .slot_count = slots,
                             .first_slot = first_slot};
    if (es_policy_knows_future(c->given.policy)) {
        double *future = ES_TAKE_ARRAY(c->policy_arena, double, (size_t)slots * c->class_count);
        if (future == NULL)
            return es_arena_full(c->policy_arena, "demand", err);
        for (uint32_t s = 0; s < slots; s++)
            es_slot_expect(c, s, &future[(size_t)s * c->class_count]);
        given.future = future;
    }
    return es_decider_new(&given, c->given.policy, true, &c->decider, err);
}

static es_status count_slot(void *context, const es_state_slot *slot, es_error *err)
{
    es_controller *c = context;
    (void)err;
    c->first_kept = c->kept == 0 ? slot->slot : c->first_kept;
    c->kept++;
    c->next_slot = slot->slot + 1;
    return ES_OK;
}

static void remember(es_controller *c, const es_state_slot *slot, double requests)
{
    c->recent[c->recent_count++ % ES_RECENT] = (es_recent){.slot = slot->slot,
                                                           .elapsed_s = slot->elapsed_s,
                                                           .requests = requests,
                                                           .cost = slot->cost,
                                                           .regret = slot->regret,
                                                           .decision_s = slot->decision_s};
}

static es_status recall_slot(void *context, const es_state_slot *slot, es_error *err)
{
    es_controller *c = context;
    bool same = false;
    for (uint32_t i = 0; i < c->item_count; i++)
        c->copies[i] = slot->hosted[i] ? c->idn->items[i].copies : 0;
    ES_TRY(es_decider_recall(c->decider, slot->usable, c->copies, &same, err));
    c->disagreements += !same;
    memcpy(c->hosted_flags, slot->hosted, c->item_count * sizeof *c->hosted_flags);
    memcpy(c->decided_usable, slot->usable, c->item_count * sizeof *c->decided_usable);
    c->decided = !slot->observed;
    c->slot = slot->slot;
    c->slot_unix_ns = slot->unix_ns;
    c->decision_s = slot->decision_s;
    if (!slot->observed)
        return ES_OK;
    (void)es_decider_observe(c->decider, slot->requests);
    remember(c, slot, es_decider_load(c->decider)->total);
    memcpy(c->last, slot->requests, c->class_count * sizeof *c->last);
    return ES_OK;
}

/* The policy has its slot 0 where that makes its next slot the scenario's next. */
es_status es_slot_recall(es_controller *c, es_error *err)
{
    uint32_t floor_slot = c->next_slot;
    c->kept = 0;
    c->recent_count = 0;
    c->disagreements = 0;
    c->decided = false;
    es_slot_expect(c, 0, c->last);
    ES_TRY(es_state_slots(c->state, count_slot, c, err));
    c->next_slot = c->next_slot > floor_slot ? c->next_slot : floor_slot;
    ES_TRY(make_decider(c, c->next_slot - c->kept, err));
    ES_TRY(es_state_slots(c->state, recall_slot, c, err));
    if (c->disagreements > 0)
        es_log(ES_LOG_WARNING, "controller",
               "policy '%s' would have decided otherwise in %u of %u slots that the state holds",
               c->given.policy, c->disagreements, c->kept);
    return ES_OK;
}

/* ---- what came ---- */

static uint32_t class_of(const es_controller *c, const char *task, const char *entry)
{
    for (uint32_t k = 0; k < c->class_count; k++) {
        const es_class *one = &c->scenario.classes[k];
        if (strcmp(c->scenario.tasks[one->task.index].name, task) == 0 &&
            strcmp(es_network_node(c->scenario.network, one->node)->name, entry) == 0)
            return k;
    }
    return ES_INDEX_NONE;
}

/* Mean expected quality of the ways that were taken; NAN: none, or none that is known. */
static double quality_of(const es_controller *c, uint32_t k, const es_fleet_class *seen)
{
    const es_serve_class *told = c->told_routes != NULL ? &c->told_routes->classes[k] : NULL;
    double sum = 0;
    double weight = 0;
    for (size_t i = 0; told != NULL && i < seen->option_count; i++)
        for (size_t o = 0; o < told->option_count; o++) {
            if (strcmp(told->options[o].route, seen->options[i].route) != 0)
                continue;
            sum += seen->options[i].taken * told->options[o].quality;
            weight += seen->options[i].taken;
        }
    return weight > 0 ? sum / weight : (double)NAN;
}

static void take_seen(es_controller *c, const es_fleet_seen *seen)
{
    es_reading *fresh = &c->fresh;
    (void)snprintf(fresh->epoch, sizeof fresh->epoch, "%s", seen->epoch != NULL ? seen->epoch : "");
    fresh->known = true;
    fresh->uptime_s = seen->uptime_s;
    fresh->when_ns = now_ns(c);
    memset(fresh->arrived, 0, c->class_count * sizeof *fresh->arrived);
    memset(fresh->answered, 0, c->class_count * sizeof *fresh->answered);
    for (size_t i = 0; i < seen->class_count; i++) {
        uint32_t k = class_of(c, seen->classes[i].task, seen->classes[i].entry);
        if (k == ES_INDEX_NONE)
            continue;
        fresh->arrived[k] += seen->classes[i].arrived;
        fresh->answered[k] += seen->classes[i].answered + seen->classes[i].partial;
        fresh->quality[k] = quality_of(c, k, &seen->classes[i]);
    }
}

/* Over how long the difference of two readings came; 0: not known. Since `restarted`: all of it. */
static double elapsed_s(const es_reading *before, const es_reading *fresh, bool restarted)
{
    if (restarted)
        return isfinite(fresh->uptime_s) ? fresh->uptime_s : 0;
    if (isfinite(fresh->uptime_s) && isfinite(before->uptime_s))
        return fmax(fresh->uptime_s - before->uptime_s, 0);
    return before->when_ns > 0 ? es_s_from_ns(fresh->when_ns - before->when_ns) : 0;
}

static void swap_readings(es_reading *left, es_reading *right)
{
    es_reading kept = *left;
    *left = *right;
    *right = kept;
}

/* Adds what came at a gateway since it was asked last; more than a slot's is taken for one slot.
 * Gives the seconds that this covers. */
static double add_gateway(es_controller *c, const es_fleet_call *call)
{
    es_reading *before = &c->readings[call->process];
    take_seen(c, call->seen);
    const es_reading *fresh = &c->fresh;
    bool restarted = !before->known || strcmp(before->epoch, fresh->epoch) != 0;
    double covered_s = elapsed_s(before, fresh, restarted);
    double scale = covered_s > c->scenario.slot_s ? c->scenario.slot_s / covered_s : 1;
    for (uint32_t k = 0; k < c->class_count && covered_s > 0; k++)
        c->requests[k] += scale * fmax(fresh->arrived[k] - (restarted ? 0 : before->arrived[k]), 0);
    swap_readings(before, &c->fresh);
    return covered_s;
}

/* Requests of the slot. What is not covered, since the slot was cut or a gateway does not answer,
 * came as in the slot before. */
static double observe_gateways(es_controller *c)
{
    size_t count = 0;
    double covered_s = 0;
    memset(c->requests, 0, c->class_count * sizeof *c->requests);
    for (size_t i = c->given.cluster->node_count; i < c->member_count; i++)
        if (c->members[i].up)
            c->calls[count++] = (es_fleet_call){
                .verb = ES_FLEET_OBSERVE, .gateway = true, .process = c->members[i].index};
    if (count > 0)
        c->given.fleet.call(c->given.fleet.context, c->calls, count);
    for (size_t i = 0; i < count; i++)
        if (c->calls[i].status == ES_OK)
            covered_s = fmax(covered_s, add_gateway(c, &c->calls[i]));
    double missing = 1 - fmin(covered_s / c->scenario.slot_s, 1);
    for (uint32_t k = 0; k < c->class_count; k++)
        c->requests[k] += missing * c->last[k];
    return covered_s;
}

/* Without gateways the scenario's demand is all that is known. */
static double observe(es_controller *c)
{
    if (c->given.cluster->gateway_count > 0)
        return observe_gateways(c);
    es_slot_expect(c, c->slot, c->requests);
    return c->scenario.slot_s;
}

/* What the best allocation would have saved in this slot, beyond what the decided one did. */
static es_status find_regret(es_controller *c, double cost, double *out, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)1 << 30);
    const es_idn_load *load = es_decider_load(c->decider);
    double gain = 0;
    double bound = 0;
    *out = 0;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    if (load->total <= 0)
        return ES_OK;
    ES_TRY(es_online_best(scratch, load->idn, c->requests, 1, REGRET_STEPS, c->best, &gain, &bound,
                          err));
    *out = fmax(gain - (load->base_cost - cost), 0);
    return ES_OK;
}

static es_status end_slot(es_controller *c, es_error *err)
{
    es_state_slot row = {
        .slot = c->slot, .observed = true, .requests = c->requests, .decision_s = c->decision_s};
    row.elapsed_s = observe(c);
    row.cost = es_decider_observe(c->decider, c->requests).cost;
    ES_TRY(find_regret(c, row.cost, &row.regret, err));
    ES_TRY(es_state_begin(c->state, err));
    ES_TRY(es_state_observe(c->state, &row, err));
    ES_TRY(es_memory_readings_put(c, err));
    ES_TRY(es_state_commit(c->state, err));
    memcpy(c->last, c->requests, c->class_count * sizeof *c->last);
    c->totals.slots++;
    c->totals.cost += row.cost;
    c->totals.regret += row.regret;
    c->totals.requests += es_decider_load(c->decider)->total;
    remember(c, &row, es_decider_load(c->decider)->total);
    c->decided = false;
    return ES_OK;
}

/* ---- what is decided ---- */

static bool same_plan(const es_controller *c, const es_plan *a, const es_plan *b)
{
    if (a == NULL || a->placement_count != b->placement_count ||
        a->routing_count != b->routing_count)
        return false;
    for (size_t i = 0; i < a->placement_count; i++)
        if (a->placements[i].node.index != b->placements[i].node.index ||
            a->placements[i].segment.index != b->placements[i].segment.index)
            return false;
    for (size_t i = 0; i < a->routing_count; i++) {
        const es_routing *one = &a->routings[i];
        const es_routing *other = &b->routings[i];
        bool same = one->class_id.index == other->class_id.index &&
                    one->pipeline.index == other->pipeline.index &&
                    fabs(one->share - other->share) <= SHARE_TOLERANCE;
        for (uint32_t k = 0; same && k < c->scenario.pipelines[one->pipeline.index].stage_count;
             k++)
            same = one->nodes[k].index == other->nodes[k].index;
        if (!same)
            return false;
    }
    for (uint32_t k = 0; k < c->class_count; k++)
        if (fabs(a->refused_share[k] - b->refused_share[k]) > SHARE_TOLERANCE)
            return false;
    return true;
}

/* The plan behind the decision: the policy's own; when it has none of its own, by what came last,
 * of every class at least one request, so that each has a way. NULL: as before. */
static es_status plan_of(es_controller *c, es_arena *scratch, bool changed, const es_plan **out,
                         es_error *err)
{
    const es_policy *policy = es_decider_policy(c->decider);
    *out = es_decider_plan(c->decider);
    if (*out != NULL || (policy->plan != NULL && !changed && c->goal != NULL))
        return ES_OK;
    for (uint32_t k = 0; k < c->class_count; k++)
        c->requests[k] = fmax(c->last[k], 1);
    return es_decider_route(scratch, c->decider, c->requests, out, err);
}

const double es_decision_ends_s[ES_DECISION_BUCKETS] = {1e-4, 3.16e-4, 1e-3, 3.16e-3, 0.01, 0.0316,
                                                        0.1,  0.316,   1,    3.16,    10,   31.6};

static void count_decision(es_controller *c, double seconds)
{
    uint32_t bucket = 0;
    while (bucket < ES_DECISION_BUCKETS && seconds > es_decision_ends_s[bucket])
        bucket++;
    c->decisions[bucket]++;
    c->decision_count++;
    c->decision_s_sum += seconds;
}

static es_status write_decision(es_controller *c, const es_state_slot *row, const char *target,
                                es_error *err)
{
    ES_TRY(es_state_begin(c->state, err));
    ES_TRY(es_state_decide(c->state, row, err));
    if (target != NULL)
        ES_TRY(es_state_put(c->state, ES_STATE_TARGET, row->slot, target, err));
    return es_state_commit(c->state, err);
}

static es_status aim(es_controller *c, es_state_slot *row, bool changed, es_text *text,
                     es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)1 << 30);
    const es_plan *plan = NULL;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    ES_TRY(plan_of(c, scratch, changed, &plan, err));
    bool new_goal = plan != NULL && !same_plan(c, c->goal, plan);
    if (new_goal)
        ES_TRY(es_memory_goal(c, plan, text, err));
    ES_TRY(write_decision(c, row, new_goal ? es_text_get(text) : NULL, err));
    if (new_goal)
        es_memory_aimed(c);
    return ES_OK;
}

/* Numbers follow the time where slots were missed, never back. */
static void number_slot(es_controller *c)
{
    double passed = es_s_from_ns(now_ns(c) - c->anchor_ns) / c->scenario.slot_s;
    uint32_t by_time = passed > 0 && passed < UINT32_MAX ? (uint32_t)passed : 0;
    if (by_time > c->next_slot)
        c->next_slot = by_time;
}

/* Slots begun early, since who is there had changed, are longer until the time has caught up. */
static void time_slot(es_controller *c)
{
    int64_t slot_ns = es_ns_from_s(c->scenario.slot_s);
    int64_t boundary_ns = c->anchor_ns + ((int64_t)c->slot + 1) * slot_ns;
    c->slot_start_ns = now_ns(c);
    c->slot_end_ns = c->slot_start_ns + slot_ns;
    if (boundary_ns > c->slot_end_ns)
        c->slot_end_ns =
            boundary_ns < c->slot_end_ns + slot_ns ? boundary_ns : c->slot_end_ns + slot_ns;
}

/* On the pool's thread, where there is one: until it is done the decider is its own. */
static void think(void *context)
{
    es_controller *c = context;
    c->think_err = (es_error){0};
    c->think_status = es_decider_decide(c->decider, c->decided_usable, &c->think_err);
    atomic_store(&c->thought, true);
}

static void begin_decision(es_controller *c)
{
    es_members_usable(c);
    memcpy(c->decided_usable, c->usable, c->item_count * sizeof *c->decided_usable);
    c->think_from_ns = now_ns(c);
    c->thinking = true;
    atomic_store(&c->thought, false);
    if (c->given.pool == NULL || !es_pool_try_submit(c->given.pool, think, c))
        think(c);
}

static es_status end_decision(es_controller *c, es_error *err)
{
    es_text text;
    c->thinking = false;
    if (c->think_status != ES_OK)
        return es_fail(err, c->think_status, "%s", es_error_text(&c->think_err));
    const uint32_t *copies = es_decider_hosted(c->decider);
    bool changed = false;
    for (uint32_t i = 0; i < c->item_count; i++) {
        changed = changed || c->hosted_flags[i] != (copies[i] > 0);
        c->hosted_flags[i] = copies[i] > 0;
    }
    es_state_slot row = {.slot = c->next_slot,
                         .unix_ns = c->given.unix_ns(c->given.unix_context),
                         .usable = c->decided_usable,
                         .hosted = c->hosted_flags,
                         .decision_s = es_s_from_ns(now_ns(c) - c->think_from_ns)};
    es_text_init(&text, ES_DOCUMENT_BYTES_MAX);
    es_status status = aim(c, &row, changed, &text, err);
    es_text_done(&text);
    ES_TRY(status);
    count_decision(c, row.decision_s);
    c->decision_s = row.decision_s;
    c->first_kept = c->kept == 0 ? row.slot : c->first_kept;
    c->kept++;
    c->slot = row.slot;
    c->next_slot = row.slot + 1;
    c->decided = true;
    c->cut = false;
    if (c->progress_ns == 0)
        c->progress_ns = now_ns(c);
    time_slot(c);
    return ES_OK;
}

/* The policy forgets with the state: it is told anew what is kept, as after a restart. */
static es_status forget(es_controller *c, es_error *err)
{
    ES_TRY(es_state_forget(c->state, c->next_slot - c->given.slots_max / 2, err));
    return es_slot_recall(c, err);
}

static bool is_over(const es_controller *c)
{
    double least_s = fmin(CUT_S, c->scenario.slot_s / 4);
    return now_ns(c) >= c->slot_end_ns ||
           (c->cut && now_ns(c) - c->slot_start_ns >= es_ns_from_s(least_s));
}

static bool all_known(const es_controller *c)
{
    for (size_t i = 0; i < c->member_count; i++)
        if (!c->members[i].known)
            return false;
    return true;
}

static es_status step_slot(es_controller *c, es_error *err)
{
    if (c->decided)
        ES_TRY(end_slot(c, err));
    uint32_t planned = c->next_slot;
    number_slot(c);
    if (c->kept > c->given.slots_max)
        ES_TRY(forget(c, err));
    else if (c->next_slot != planned)
        ES_TRY(es_slot_recall(c, err));
    begin_decision(c);
    return ES_OK;
}

/* After a failure nothing is changed: the policy is told the state again, and asked again. */
es_status es_slot_advance(es_controller *c, es_error *err)
{
    if (!all_known(c))
        return ES_OK;
    es_members_usable(c);
    c->cut = c->decided && memcmp(c->usable, c->decided_usable, c->item_count) != 0;
    if (!c->thinking && (now_ns(c) < c->retry_ns || (c->decided && !is_over(c))))
        return ES_OK;
    es_error why = {0};
    es_status status = c->thinking ? ES_OK : step_slot(c, &why);
    if (status == ES_OK && !atomic_load(&c->thought))
        return ES_OK;
    if (status == ES_OK)
        status = end_decision(c, &why);
    es_controller_note(c, status, &why);
    c->retry_ns = 0;
    if (status == ES_OK)
        return ES_OK;
    c->retry_ns = now_ns(c) + es_ns_from_s(RETRY_S);
    int64_t start_ns = c->slot_start_ns;
    status = es_slot_recall(c, &why);
    if (status == ES_OK)
        status = es_memory_readings_get(c, &why);
    c->slot_start_ns = start_ns;
    return status == ES_ERR_NOMEM ? es_fail(err, status, "%s", es_error_text(&why)) : ES_OK;
}

int64_t es_slot_next_ns(const es_controller *c)
{
    if (c->thinking)
        return now_ns(c) + es_ns_from_s(THINK_LOOK_S);
    if (c->retry_ns > 0)
        return c->retry_ns;
    if (!c->decided)
        return all_known(c) ? now_ns(c) : INT64_MAX;
    if (!c->cut)
        return c->slot_end_ns;
    int64_t cut_ns = c->slot_start_ns + es_ns_from_s(fmin(CUT_S, c->scenario.slot_s / 4));
    return cut_ns < c->slot_end_ns ? cut_ns : c->slot_end_ns;
}
