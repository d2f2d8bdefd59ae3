/* From what stands to the goal, step by step. */
#include "control/internal.h"

#define PAUSE_S 0.5 /* after a step that failed, doubled each time */
#define PAUSE_S_MAX 8
#define LOOK_S 0.1 /* while waiting for gateways */
#define DRAIN_S_MIN 1
#define DRAIN_S_MAX 30

static int64_t now_ns(const es_controller *c)
{
    return es_clock_now_ns(c->given.clock);
}

/* ---- planning ---- */

static es_status tell_all(es_controller *c, es_error *err)
{
    es_text text;
    const es_move *move = &c->move;
    es_text_init(&text, ES_DOCUMENT_BYTES_MAX);
    for (size_t i = 0; i < move->transition->step_count; i++) {
        es_transition_tell(move->transition, &c->scenario, i, &text);
        es_text_append(&text, "\n");
    }
    es_status status = es_text_status(&text, err);
    if (status == ES_OK) {
        c->move.told = es_arena_text(move->arena, es_text_get(&text));
        status = c->move.told != NULL ? ES_OK : es_arena_full(move->arena, "steps", err);
    }
    es_text_done(&text);
    return status;
}

es_status es_move_plan(es_controller *c, es_error *err)
{
    es_move *move = &c->move;
    es_transition_given given = {.scenario = &c->scenario,
                                 .idn = c->idn,
                                 .hosted = c->hosted,
                                 .usable = c->cells,
                                 .now = c->force,
                                 .next = c->goal,
                                 .undrained = move->undrained};
    move->transition = NULL;
    move->told = "";
    move->at = 0;
    move->draining = false;
    es_arena_reset(move->arena);
    if (c->goal == NULL)
        return ES_OK;
    es_members_usable(c);
    ES_TRY(es_transition_plan(move->arena, &given, &move->transition, err));
    ES_TRY(tell_all(c, err));
    for (size_t i = 0; i < move->transition->loss_count; i++) {
        const es_step_loss *loss = &move->transition->losses[i];
        const es_class *one = &c->scenario.classes[loss->class_id.index];
        if (loss->all)
            es_log(ES_LOG_WARNING, "controller", "'%s at %s' has no way from step %zu of %zu on",
                   c->scenario.tasks[one->task.index].name,
                   es_network_node(c->scenario.network, one->node)->name, loss->step + 1,
                   move->transition->step_count);
    }
    return ES_OK;
}

/* ---- steps ---- */

static void pause_move(es_controller *c)
{
    es_move *move = &c->move;
    move->failures++;
    move->stale = true;
    move->due_ns = now_ns(c) + es_ns_from_s(move->backoff_s);
    move->backoff_s = fmin(2 * move->backoff_s, PAUSE_S_MAX);
}

static void step_done(es_controller *c, size_t count)
{
    es_move *move = &c->move;
    move->at += count;
    move->failures = 0;
    move->backoff_s = PAUSE_S;
    c->progress_ns = now_ns(c);
    move->due_ns = now_ns(c);
}

static es_status record(es_controller *c, es_error *err)
{
    const es_move *move = &c->move;
    return es_state_step(c->state, (uint32_t)move->at, (uint32_t)move->transition->step_count,
                         move->told, err);
}

static void take_result(es_controller *c, const es_step *step, es_fleet_call *call)
{
    size_t cell = es_cell(c, step->node, step->segment);
    es_member *member = es_member_of_node(c, step->node);
    if (call->status == ES_OK) {
        c->hosted[cell] = step->kind == ES_STEP_LOAD;
        if (step->kind == ES_STEP_LOAD)
            es_members_loaded(c, step->node, step->segment);
        return;
    }
    es_controller_note(c, call->status, &call->err);
    if (call->status == ES_ERR_UNAVAILABLE)
        es_member_missed(c, member, &call->err);
    else if (step->kind == ES_STEP_LOAD)
        es_members_block(c, step->node, step->segment);
    else
        member->probe_ns = now_ns(c); /* it may be gone already: the node knows */
}

/* Loads, or unloads, that follow each other: side by side on different nodes. */
static es_status step_models(es_controller *c, es_error *err)
{
    const es_transition *transition = c->move.transition;
    const es_step *first = &transition->steps[c->move.at];
    size_t count = 0;
    bool failed = false;
    ES_TRY(record(c, err));
    for (; count < c->calls_max && c->move.at + count < transition->step_count &&
           first[count].kind == first->kind;
         count++)
        c->calls[count] =
            (es_fleet_call){.verb = first->kind == ES_STEP_LOAD ? ES_FLEET_LOAD : ES_FLEET_UNLOAD,
                            .process = es_member_of_node(c, first[count].node)->index,
                            .text = c->scenario.segments[first[count].segment.index].name};
    c->given.fleet.call(c->given.fleet.context, c->calls, count);
    for (size_t i = 0; i < count; i++) {
        failed = failed || c->calls[i].status != ES_OK;
        take_result(c, &first[i], &c->calls[i]);
    }
    if (failed)
        pause_move(c);
    else
        step_done(c, count);
    return ES_OK;
}

static es_status step_route(es_controller *c, es_error *err)
{
    es_move *move = &c->move;
    const es_step *step = &move->transition->steps[move->at];
    ES_TRY(es_state_begin(c->state, err));
    ES_TRY(es_memory_force(c, move->transition->tables[step->table], c->generation, err));
    ES_TRY(record(c, err));
    ES_TRY(es_state_commit(c->state, err));
    es_memory_forced(c);
    move->undrained = true;
    step_done(c, 1);
    return ES_OK;
}

static double drain_s(const es_controller *c)
{
    double longest_s = DRAIN_S_MIN;
    if (c->given.drain_s > 0)
        return c->given.drain_s;
    for (uint32_t k = 0; k < c->class_count; k++)
        longest_s = fmax(longest_s, c->scenario.classes[k].deadline_s);
    return fmin(longest_s, DRAIN_S_MAX);
}

/* Every gateway that answers has said so since the drain began. */
static bool all_drained(const es_controller *c)
{
    for (size_t i = c->given.cluster->node_count; i < c->member_count; i++) {
        const es_member *member = &c->members[i];
        if (!member->up || !member->tells_drained || !member->drained ||
            member->seen_ns <= c->move.drain_from_ns)
            return false;
    }
    return c->given.cluster->gateway_count > 0;
}

static es_status step_drain(es_controller *c, es_error *err)
{
    es_move *move = &c->move;
    if (!move->draining) {
        ES_TRY(record(c, err));
        move->draining = true;
        move->drain_from_ns = now_ns(c);
    }
    int64_t end_ns = move->drain_from_ns + es_ns_from_s(drain_s(c));
    if (now_ns(c) < end_ns && !all_drained(c)) {
        int64_t look_ns = now_ns(c) + es_ns_from_s(LOOK_S);
        move->due_ns = look_ns < end_ns ? look_ns : end_ns;
        return ES_OK;
    }
    move->draining = false;
    move->undrained = false;
    step_done(c, 1);
    return ES_OK;
}

/* What follows a route waits until gateways have it. */
static es_status step(es_controller *c, es_error *err)
{
    es_move *move = &c->move;
    es_step_kind kind = move->transition->steps[move->at].kind;
    bool behind = es_members_behind(c);
    if (behind && (kind == ES_STEP_DRAIN || kind == ES_STEP_UNLOAD)) {
        move->due_ns = now_ns(c) + es_ns_from_s(LOOK_S);
        return ES_OK;
    }
    if (kind == ES_STEP_ROUTE)
        return step_route(c, err);
    return kind == ES_STEP_DRAIN ? step_drain(c, err) : step_models(c, err);
}

static es_status finish(es_controller *c, es_error *err)
{
    es_text text;
    es_text_init(&text, ES_DOCUMENT_BYTES_MAX);
    es_plan_write(c->goal, &c->scenario, &text);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        status = es_state_begin(c->state, err);
    if (status == ES_OK)
        status = es_state_put(c->state, ES_STATE_PLAN, c->slot, es_text_get(&text), err);
    if (status == ES_OK)
        status = es_state_put(c->state, ES_STATE_TARGET, c->slot, NULL, err);
    if (status == ES_OK)
        status = es_state_commit(c->state, err);
    es_text_done(&text);
    ES_TRY(status);
    c->pending = false;
    c->transitions++;
    es_log(ES_LOG_INFO, "controller", "plan of slot %u is in force, routes of generation %lld",
           c->slot, (long long)c->generation);
    return ES_OK;
}

static bool is_done(const es_move *move)
{
    return move->transition == NULL || move->at == move->transition->step_count;
}

static es_status advance(es_controller *c, es_error *err)
{
    es_move *move = &c->move;
    if (move->stale) {
        ES_TRY(es_move_plan(c, err));
        move->stale = false;
    }
    if (c->goal == NULL)
        return ES_OK;
    if (is_done(move))
        return c->pending && !es_members_behind(c) ? finish(c, err) : ES_OK;
    return step(c, err);
}

/* Where the state cannot be written nothing is changed in the cluster either. */
es_status es_move_advance(es_controller *c, es_error *err)
{
    es_error why = {0};
    if (c->given.dry_run || now_ns(c) < c->move.due_ns)
        return ES_OK;
    es_status status = advance(c, &why);
    if (status == ES_OK)
        return ES_OK;
    es_controller_note(c, status, &why);
    pause_move(c);
    return status == ES_ERR_NOMEM ? es_fail(err, status, "%s", es_error_text(&why)) : ES_OK;
}

int64_t es_move_next_ns(const es_controller *c)
{
    const es_move *move = &c->move;
    if (c->given.dry_run)
        return INT64_MAX;
    if (move->stale || !is_done(move))
        return move->due_ns;
    if (c->pending && !es_members_behind(c))
        return move->due_ns;
    return INT64_MAX;
}
