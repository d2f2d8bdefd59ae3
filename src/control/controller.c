/* The loop's body and its life. */
#include "control/internal.h"

enum { ARENA_BYTES = 1 << 30, CALLS_MAX = 4096, SLOTS_MAX = 2048, SLOTS_MIN = 16 };

es_controller_given es_controller_given_default(void)
{
    return (es_controller_given){
        .policy = "replan", .probe_s = 1, .patience_s = 30, .slots_max = SLOTS_MAX};
}

void es_controller_note(es_controller *c, es_status status, const es_error *err)
{
    if (status == ES_OK) {
        c->trouble[0] = '\0';
        c->said[0] = '\0';
        return;
    }
    (void)snprintf(c->trouble, sizeof c->trouble, "%s", es_error_text(err));
    if (strcmp(c->said, c->trouble) == 0)
        return;
    (void)snprintf(c->said, sizeof c->said, "%s", c->trouble);
    es_log(ES_LOG_WARNING, "controller", "%s", c->trouble);
}

/* ---- life ---- */

static es_status take(es_controller *c, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(c->arena, count, size, "controller", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

static es_status take_reading(es_controller *c, es_reading *reading, es_error *err)
{
    reading->uptime_s = (double)NAN;
    ES_TRY(take(c, c->class_count, sizeof(double), &reading->arrived, err));
    ES_TRY(take(c, c->class_count, sizeof(double), &reading->answered, err));
    ES_TRY(take(c, c->class_count, sizeof(double), &reading->quality, err));
    for (uint32_t k = 0; k < c->class_count; k++)
        reading->quality[k] = (double)NAN;
    return ES_OK;
}

static es_status take_all(es_controller *c, es_error *err)
{
    size_t cells = (size_t)c->node_count * c->segment_count;
    size_t gateways = c->given.cluster->gateway_count;
    ES_TRY(es_members_init(c, err));
    c->calls_max = c->member_count > CALLS_MAX ? c->member_count : CALLS_MAX;
    ES_TRY(take(c, c->calls_max, sizeof *c->calls, &c->calls, err));
    ES_TRY(take(c, gateways, sizeof *c->texts, &c->texts, err));
    ES_TRY(take(c, cells, sizeof *c->hosted, &c->hosted, err));
    ES_TRY(take(c, cells, sizeof *c->cells, &c->cells, err));
    ES_TRY(take(c, c->item_count, sizeof *c->blocks, &c->blocks, err));
    ES_TRY(take(c, c->item_count, sizeof *c->usable, &c->usable, err));
    ES_TRY(take(c, c->item_count, sizeof *c->decided_usable, &c->decided_usable, err));
    ES_TRY(take(c, c->item_count, sizeof *c->hosted_flags, &c->hosted_flags, err));
    ES_TRY(take(c, c->item_count, sizeof *c->copies, &c->copies, err));
    ES_TRY(take(c, c->item_count, sizeof *c->best, &c->best, err));
    ES_TRY(take(c, c->class_count, sizeof *c->requests, &c->requests, err));
    ES_TRY(take(c, c->class_count, sizeof *c->last, &c->last, err));
    ES_TRY(take_reading(c, &c->fresh, err));
    for (size_t g = 0; g < gateways; g++) {
        es_text_init(&c->texts[g], ES_SERVE_DOCUMENT_BYTES_MAX);
        ES_TRY(take_reading(c, &c->readings[g], err));
    }
    es_arena **arenas[] = {&c->policy_arena,    &c->goal_arenas[0],  &c->goal_arenas[1],
                           &c->force_arenas[0], &c->force_arenas[1], &c->move.arena};
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++) {
        *arenas[i] = es_arena_new(ARENA_BYTES);
        if (*arenas[i] == NULL)
            return es_fail(err, ES_ERR_NOMEM, "controller: no memory for an arena");
    }
    return ES_OK;
}

/* Whose the numbers in the state are: classes and places by name, in order. */
static uint64_t layout_of(const es_controller *c)
{
    uint64_t layout = 0;
    for (uint32_t k = 0; k < c->class_count; k++)
        layout = es_state_layout(layout, c->idn->type_names[k]);
    for (uint32_t i = 0; i < c->item_count; i++) {
        layout = es_state_layout(layout, c->idn->node_names[c->idn->items[i].node]);
        layout = es_state_layout(layout, c->idn->model_names[c->idn->items[i].model]);
    }
    return layout;
}

static es_status open_state(es_controller *c, es_error *err)
{
    es_state_opts opts = es_state_opts_default();
    opts.path = c->given.state;
    opts.scenario = c->scenario.name;
    opts.policy = c->given.policy;
    opts.seed = c->given.seed;
    opts.slot_s = c->scenario.slot_s;
    opts.class_count = c->class_count;
    opts.item_count = c->item_count;
    opts.layout = layout_of(c);
    opts.copy = c->given.dry_run;
    ES_TRY(es_state_open(opts, &c->state, err));
    ES_TRY(es_memory_load(c, err));
    ES_TRY(es_memory_readings_get(c, err));
    return es_slot_recall(c, err);
}

/* Goes on with the slot that was running, by the wall clock: no clock of ours was. What it says is
 * held within a slot, and back is no time at all. */
static void resume_time(es_controller *c)
{
    int64_t now = es_clock_now_ns(c->given.clock);
    int64_t slot_ns = es_ns_from_s(c->scenario.slot_s);
    int64_t away_ns = 0;
    if (c->kept > 0)
        away_ns = c->given.unix_ns(c->given.unix_context) - c->slot_unix_ns;
    if (away_ns < 0)
        away_ns = 0;
    c->anchor_ns = now - (int64_t)c->slot * slot_ns - away_ns;
    c->slot_start_ns = now - (away_ns < slot_ns ? away_ns : slot_ns);
    c->slot_end_ns = c->slot_start_ns + slot_ns;
}

static es_status check_given(const es_controller_given *given, es_error *err)
{
    if (!(given->probe_s > 0 && given->probe_s <= 3600))
        return es_fail(err, ES_ERR_ARG, "probe_s=%g must be in (0, 3600]", given->probe_s);
    if (!(given->patience_s >= 0 && given->patience_s <= 86400))
        return es_fail(err, ES_ERR_ARG, "patience_s=%g must be in [0, 86400]", given->patience_s);
    if (!(given->drain_s >= 0 && given->drain_s <= 3600))
        return es_fail(err, ES_ERR_ARG, "drain_s=%g must be in [0, 3600]", given->drain_s);
    if (given->slots_max < SLOTS_MIN)
        return es_fail(err, ES_ERR_ARG, "slots_max=%u must be >= %d", given->slots_max, SLOTS_MIN);
    return ES_OK;
}

static es_status start(es_controller *c, es_error *err)
{
    if (c->given.seed == 0)
        c->given.seed = c->scenario.seed;
    c->node_count = es_network_node_count(c->scenario.network);
    c->segment_count = c->scenario.segment_count;
    c->class_count = c->scenario.class_count;
    ES_TRY(es_idn_from_scenario(c->arena, &c->scenario, &c->idn, err));
    c->item_count = c->idn->item_count;
    ES_TRY(take_all(c, err));
    ES_TRY(es_memory_tasks(c, err));
    ES_TRY(open_state(c, err));
    resume_time(c);
    c->move.stale = true;
    c->move.undrained = true; /* nobody knows */
    if (c->force != NULL)
        es_memory_resumed(c);
    return ES_OK;
}

es_status es_controller_new(const es_controller_given *given, es_controller **out_controller,
                            es_error *err)
{
    ES_TRY(check_given(given, err));
    es_arena *arena = es_arena_new(ARENA_BYTES);
    es_controller *c = arena != NULL ? ES_TAKE_ONE(arena, es_controller) : NULL;
    if (c == NULL) {
        es_arena_free(arena);
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    }
    c->given = *given;
    c->arena = arena;
    c->scenario = *given->scenario;
    es_status status = start(c, err);
    if (status != ES_OK) {
        es_controller_free(c);
        return status;
    }
    *out_controller = c;
    return ES_OK;
}

void es_controller_free(es_controller *c)
{
    if (c == NULL)
        return;
    es_decider_free(c->decider);
    es_state_close(c->state);
    for (size_t g = 0; c->texts != NULL && g < c->given.cluster->gateway_count; g++)
        es_text_done(&c->texts[g]);
    es_arena_free(c->policy_arena);
    es_arena_free(c->goal_arenas[0]);
    es_arena_free(c->goal_arenas[1]);
    es_arena_free(c->force_arenas[0]);
    es_arena_free(c->force_arenas[1]);
    es_arena_free(c->move.arena);
    es_arena_free(c->arena);
}

void es_controller_free_p(es_controller **controller)
{
    es_controller_free(*controller);
    *controller = NULL;
}

/* ---- the loop's body ---- */

/* Steps come before decisions: routes leave a node that is gone before the policy thinks. */
es_status es_controller_tick(es_controller *c, int64_t *out_next_ns, es_error *err)
{
    es_members_probe(c);
    ES_TRY(es_move_advance(c, err));
    if (!c->given.dry_run)
        es_members_catch_up(c);
    ES_TRY(es_slot_advance(c, err));
    int64_t next = es_members_next_ns(c);
    int64_t slot = es_slot_next_ns(c);
    int64_t move = es_move_next_ns(c);
    next = slot < next ? slot : next;
    *out_next_ns = move < next ? move : next;
    return ES_OK;
}

bool es_controller_is_settled(const es_controller *c)
{
    for (size_t i = 0; i < c->member_count; i++)
        if (!c->members[i].known || c->members[i].behind_ns > 0)
            return false;
    const es_move *move = &c->move;
    bool done = move->transition == NULL || move->at == move->transition->step_count;
    return c->goal != NULL && c->decided && !c->cut && !c->pending && !move->stale && done;
}

bool es_controller_has_decided(const es_controller *c)
{
    return c->decision_count > 0;
}

es_status es_controller_steps(es_controller *c, es_text *out, es_error *err)
{
    ES_TRY(es_move_plan(c, err));
    c->move.stale = true;
    es_text_append(out, c->move.told);
    return ES_OK;
}
