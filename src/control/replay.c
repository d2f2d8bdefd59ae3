/* What a controller decided, played again in the simulator. */
#include "control/internal.h"
#include "simulate/simulate.h"

typedef struct player {
    es_controller *c;
    es_arena *arena;
    uint32_t count;    /* of slots that were observed */
    double *demand;    /* [slot][class] */
    bool *usable;      /* [slot][item] */
    bool *hosted;      /* [slot][item] */
    uint32_t *numbers; /* [slot] of the scenario */
    es_replayed result;
} player;

static es_status take_slot(void *context, const es_state_slot *slot, es_error *err)
{
    player *own = context;
    uint32_t at = own->count;
    (void)err;
    if (!slot->observed)
        return ES_OK;
    memcpy(&own->demand[(size_t)at * own->c->class_count], slot->requests,
           own->c->class_count * sizeof *own->demand);
    memcpy(&own->usable[(size_t)at * own->c->item_count], slot->usable, own->c->item_count);
    memcpy(&own->hosted[(size_t)at * own->c->item_count], slot->hosted, own->c->item_count);
    own->numbers[at] = slot->slot;
    own->count++;
    return ES_OK;
}

static const bool *usable_of(void *context, uint32_t slot)
{
    player *own = context;
    return &own->usable[(size_t)slot * own->c->item_count];
}

static void compare(void *context, uint32_t slot, const uint32_t *hosted)
{
    player *own = context;
    bool same = true;
    for (uint32_t i = 0; i < own->c->item_count; i++)
        same = same && own->hosted[(size_t)slot * own->c->item_count + i] == (hosted[i] > 0);
    own->result.slots++;
    if (same)
        return;
    if (own->result.different++ == 0)
        own->result.first_different = own->numbers[slot];
}

static es_status play(player *own, es_error *err)
{
    es_controller *c = own->c;
    size_t slots = c->kept;
    es_control control;
    own->demand = ES_TAKE_ARRAY(own->arena, double, slots * c->class_count);
    own->usable = ES_TAKE_ARRAY(own->arena, bool, slots * c->item_count);
    own->hosted = ES_TAKE_ARRAY(own->arena, bool, slots * c->item_count);
    own->numbers = ES_TAKE_ARRAY(own->arena, uint32_t, slots);
    if (own->demand == NULL || own->usable == NULL || own->hosted == NULL || own->numbers == NULL)
        return es_arena_full(own->arena, "slots", err);
    ES_TRY(es_state_slots(c->state, take_slot, own, err));
    if (own->count == 0)
        return ES_OK;
    es_control_opts opts = {.policy = c->given.policy,
                            .seed = c->given.seed,
                            .clip = true,
                            .first_slot = c->next_slot - c->kept,
                            .usable = usable_of,
                            .decided = compare,
                            .context = own};
    /* as long as the log is */
    es_scenario scenario = c->scenario;
    es_idn idn = *c->idn;
    scenario.slot_count = own->count;
    idn.scenario = &scenario;
    return es_simulate_control(own->arena, &idn, own->demand, own->count, opts, &control, err);
}

es_status es_controller_replay(const es_controller_given *given, es_replayed *out, es_error *err)
{
    es_controller_given copy = *given;
    ES_CLEANUP(es_controller_free_p) es_controller *c = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    if (es_policy_knows_future(given->policy))
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "policy '%s' knows all demand beforehand: in the simulator that is another "
                       "demand",
                       given->policy);
    copy.dry_run = true;
    ES_TRY(es_controller_new(&copy, &c, err));
    player own = {.c = c, .arena = arena};
    ES_TRY(play(&own, err));
    *out = own.result;
    return ES_OK;
}
