/* What a controller writes down and finds again: plans, routes, counters. */
#include "control/internal.h"

/* ---- plans: what is kept as text is what is followed ---- */

static es_status read_plan(es_controller *c, es_arena *arena, const char *name, const char *text,
                           const es_plan **out, es_error *err)
{
    es_status status = es_plan_parse(arena, name, text, strlen(text), &c->scenario, out, err);
    return es_within(err, status, "state '%s'", c->given.state);
}

es_status es_memory_goal(es_controller *c, const es_plan *plan, es_text *out, es_error *err)
{
    es_arena *arena = c->goal_arenas[1 - c->goal_turn];
    const es_plan *goal = NULL;
    es_plan_write(plan, &c->scenario, out);
    ES_TRY(es_text_status(out, err));
    es_arena_reset(arena);
    ES_TRY(read_plan(c, arena, "target", es_text_get(out), &goal, err));
    c->coming_goal = goal;
    return ES_OK;
}

void es_memory_aimed(es_controller *c)
{
    c->goal = c->coming_goal;
    c->goal_turn = 1 - c->goal_turn;
    c->move.stale = true;
    c->pending = true;
}

static es_status make_routes(es_controller *c, es_arena *arena, const es_plan *plan,
                             const es_serve_routes **out, es_error *err)
{
    return es_serve_routes_make(arena, &c->scenario, plan, c->given.cluster,
                                es_serve_make_opts_default(), out, err);
}

es_status es_memory_force(es_controller *c, const es_plan *table, int64_t above, es_error *err)
{
    es_arena *arena = c->force_arenas[1 - c->force_turn];
    es_text text;
    es_text_init(&text, ES_DOCUMENT_BYTES_MAX);
    es_plan_write(table, &c->scenario, &text);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        status = es_state_generation(c->state, above, &c->coming_generation, err);
    if (status == ES_OK)
        status = es_state_put(c->state, ES_STATE_ROUTES, c->slot, es_text_get(&text), err);
    if (status == ES_OK) {
        es_arena_reset(arena);
        status = read_plan(c, arena, "routes", es_text_get(&text), &c->coming, err);
    }
    if (status == ES_OK)
        status = make_routes(c, arena, c->coming, &c->coming_routes, err);
    es_text_done(&text);
    return status;
}

void es_memory_resumed(es_controller *c)
{
    int64_t now = es_clock_now_ns(c->given.clock);
    for (size_t i = 0; i < c->member_count; i++) {
        es_member *member = &c->members[i];
        if (!member->gateway)
            continue;
        member->behind_ns = member->behind_ns > 0 ? member->behind_ns : now;
        member->retry_ns = now;
    }
}

void es_memory_forced(es_controller *c)
{
    c->force = c->coming;
    c->told_routes = c->coming_routes;
    c->force_turn = 1 - c->force_turn;
    c->generation = c->coming_generation;
    es_memory_resumed(c);
}

/* ---- a cluster that has lost nodes for good ---- */

static bool is_here(const es_controller *c, es_node_id node)
{
    return c->member_of[node.index] > 0;
}

static bool goes_here(const es_controller *c, const es_routing *routing)
{
    for (uint32_t k = 0; k < c->scenario.pipelines[routing->pipeline.index].stage_count; k++)
        if (!is_here(c, routing->nodes[k]))
            return false;
    return true;
}

/* Ways over nodes that the cluster document no longer names are none. */
static es_status leave_out(es_controller *c, es_arena *arena, const es_plan **plan, es_error *err)
{
    es_plan *left = ES_TAKE_ONE(arena, es_plan);
    es_routing *routings = ES_TAKE_ARRAY(arena, es_routing, (*plan)->routing_count);
    double *refused = ES_TAKE_ARRAY(arena, double, c->class_count);
    if (left == NULL || routings == NULL || refused == NULL)
        return es_arena_full(arena, "routes", err);
    *left = **plan;
    left->routing_count = 0;
    memcpy(refused, (*plan)->refused_share, c->class_count * sizeof *refused);
    for (size_t r = 0; r < (*plan)->routing_count; r++) {
        const es_routing *routing = &(*plan)->routings[r];
        if (goes_here(c, routing))
            routings[left->routing_count++] = *routing;
        else
            refused[routing->class_id.index] =
                fmin(refused[routing->class_id.index] + routing->share, 1);
    }
    left->routings = routings;
    left->refused_share = refused;
    *plan = left;
    return ES_OK;
}

static void check_goal(es_controller *c)
{
    for (size_t i = 0; c->goal != NULL && i < c->goal->placement_count; i++)
        if (!is_here(c, c->goal->placements[i].node)) {
            c->goal = NULL; /* soon there is another */
            c->pending = false;
        }
}

es_status es_memory_load(es_controller *c, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)1 << 30);
    const char *plan = NULL;
    const char *target = NULL;
    const char *routes = NULL;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    ES_TRY(es_state_get(c->state, ES_STATE_PLAN, scratch, &plan, NULL, err));
    ES_TRY(es_state_get(c->state, ES_STATE_TARGET, scratch, &target, NULL, err));
    ES_TRY(es_state_get(c->state, ES_STATE_ROUTES, scratch, &routes, NULL, err));
    ES_TRY(es_state_generation_last(c->state, &c->generation, err));
    c->pending = target != NULL;
    if (target != NULL)
        ES_TRY(read_plan(c, c->goal_arenas[0], "target", target, &c->goal, err));
    else if (plan != NULL)
        ES_TRY(read_plan(c, c->goal_arenas[0], "plan", plan, &c->goal, err));
    check_goal(c);
    if (routes != NULL) {
        ES_TRY(read_plan(c, c->force_arenas[0], "routes", routes, &c->force, err));
        ES_TRY(leave_out(c, c->force_arenas[0], &c->force, err));
        ES_TRY(make_routes(c, c->force_arenas[0], c->force, &c->told_routes, err));
    }
    return es_state_totals_get(c->state, &c->totals, err);
}

/* ---- what tasks take and give: the same whatever plan is in force ---- */

static const es_idn_option *first_way(const es_controller *c, uint32_t k)
{
    const es_idn_option *best = NULL;
    for (uint32_t o = c->idn->type_first[k]; o < c->idn->type_first[k + 1]; o++) {
        const es_idn_option *option = &c->idn->options[o];
        bool here = option->item_count > 0;
        for (uint32_t i = 0; i < option->item_count && here; i++)
            here = is_here(c, (es_node_id){c->idn->items[option->items[i]].node});
        if (here && (best == NULL || option->pipeline.index < best->pipeline.index))
            best = option;
    }
    return best;
}

/* A plan of one way for each task, over its first pipeline that can be had. */
static es_status plan_tasks(es_controller *c, es_plan *plan, es_error *err)
{
    es_routing *routings = ES_TAKE_ARRAY(c->arena, es_routing, c->class_count);
    double *refused = ES_TAKE_ARRAY(c->arena, double, c->class_count);
    bool *known = ES_TAKE_ARRAY(c->arena, bool, c->scenario.task_count);
    if (routings == NULL || refused == NULL || known == NULL)
        return es_arena_full(c->arena, "tasks", err);
    *plan = (es_plan){.scenario = c->scenario.name, .quality = ES_PLAN_FEASIBLE};
    for (uint32_t k = 0; k < c->class_count; k++) {
        const es_idn_option *option = first_way(c, k);
        uint32_t task = c->scenario.classes[k].task.index;
        refused[k] = 1;
        if (option == NULL || known[task])
            continue;
        known[task] = true;
        refused[k] = 0;
        es_routing *routing = &routings[plan->routing_count++];
        *routing = (es_routing){.class_id = {k}, .pipeline = option->pipeline, .share = 1};
        memcpy(routing->nodes, option->nodes, sizeof routing->nodes);
    }
    plan->routings = routings;
    plan->refused_share = refused;
    return ES_OK;
}

/* Gateways can do without: what cannot be read is only told. */
es_status es_memory_tasks(es_controller *c, es_error *err)
{
    es_plan plan;
    es_error why = {0};
    es_serve_make_opts opts = es_serve_make_opts_default();
    bool files = false;
    for (uint32_t s = 0; s < c->segment_count; s++)
        files = files || c->scenario.segments[s].file != NULL;
    if (!files)
        return ES_OK;
    ES_TRY(plan_tasks(c, &plan, err));
    opts.models = true;
    if (es_serve_routes_make(c->arena, &c->scenario, &plan, c->given.cluster, opts, &c->task_routes,
                             &why) == ES_OK)
        return ES_OK;
    c->task_routes = NULL;
    es_log(ES_LOG_WARNING, "controller", "gateways are not told what tasks take and give: %s",
           es_error_text(&why));
    return ES_OK;
}

/* ---- counters ---- */

static es_status write_reading(es_controller *c, const es_reading *reading, const char *process,
                               es_error *err)
{
    es_json json;
    es_text text;
    es_text_init(&text, ES_DOCUMENT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "epoch", reading->epoch);
    es_json_put_number(&json, "uptime_s", reading->uptime_s);
    es_json_key(&json, "arrived");
    es_json_list_begin(&json);
    for (uint32_t k = 0; k < c->class_count; k++)
        es_json_number(&json, reading->arrived[k]);
    es_json_list_end(&json);
    es_json_map_end(&json);
    es_status status = es_text_status(&text, err);
    if (status == ES_OK)
        status = es_state_counter_put(c->state, process, es_text_get(&text), err);
    es_text_done(&text);
    return status;
}

es_status es_memory_readings_put(es_controller *c, es_error *err)
{
    for (size_t g = 0; g < c->given.cluster->gateway_count; g++)
        if (c->readings[g].known)
            ES_TRY(write_reading(c, &c->readings[g], c->given.cluster->gateways[g].name, err));
    return ES_OK;
}

static es_status read_reading(es_controller *c, const char *name, const char *text,
                              es_arena *scratch, es_reading *out, es_error *err)
{
    const es_doc *root = NULL;
    const es_doc *arrived = NULL;
    const char *epoch = "";
    ES_TRY(es_doc_parse_json(scratch, name, text, strlen(text), &root, err));
    ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "epoch", "uptime_s", "arrived"));
    ES_TRY(es_doc_need_text(root, "epoch", &epoch, err));
    out->uptime_s = (double)NAN;
    ES_TRY(es_doc_get_number(root, "uptime_s", 0, 1e18, &out->uptime_s, err));
    ES_TRY(es_doc_need_list(root, "arrived", &arrived, err));
    if (arrived->as.list.count != c->class_count)
        return es_doc_fail(arrived, err, "must have %u numbers", c->class_count);
    for (uint32_t k = 0; k < c->class_count; k++)
        ES_TRY(es_doc_expect_number(arrived->as.list.items[k], 0, 1e18, &out->arrived[k], err));
    (void)snprintf(out->epoch, sizeof out->epoch, "%s", epoch);
    out->when_ns = 0;
    out->known = true;
    return ES_OK;
}

es_status es_memory_readings_get(es_controller *c, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new((size_t)64 << 20);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "controller: no memory");
    for (size_t g = 0; g < c->given.cluster->gateway_count; g++) {
        const char *name = c->given.cluster->gateways[g].name;
        const char *text = NULL;
        es_arena_reset(scratch);
        ES_TRY(es_state_counter_get(c->state, name, scratch, &text, err));
        if (text != NULL)
            ES_TRY(es_within(err, read_reading(c, name, text, scratch, &c->readings[g], err),
                             "state '%s'", c->given.state));
    }
    return ES_OK;
}
