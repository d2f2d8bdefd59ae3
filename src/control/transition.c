/* The order of loads, routes and unloads. */
#include "control/transition_internal.h"

const char *const es_step_names[ES_STEP_KIND_COUNT] = {"load", "route", "drain", "unload"};

/* ---- steps ---- */

static double bytes_of(const es_mover *mover, uint32_t segment)
{
    return mover->scenario->segments[segment].memory_bytes;
}

static es_status step_load(es_mover *mover, es_node_id node, es_segment_id segment, es_error *err)
{
    es_step step = {.kind = ES_STEP_LOAD, .node = node, .segment = segment};
    mover->hosted[es_mover_at(mover, node, segment)] = true;
    mover->room_bytes[node.index] -= bytes_of(mover, segment.index);
    return ES_ARRAY_PUSH(mover->arena, &mover->steps, step, "steps", err);
}

static bool is_missing(const es_mover *mover, uint32_t node, uint32_t segment)
{
    size_t at = (size_t)node * mover->segment_count + segment;
    return mover->wanted[at] && !mover->hosted[at];
}

static bool is_extra(const es_mover *mover, uint32_t node, uint32_t segment)
{
    size_t at = (size_t)node * mover->segment_count + segment;
    return mover->hosted[at] && !mover->wanted[at];
}

static bool fits(const es_mover *mover, uint32_t node, double bytes)
{
    const es_node *one = es_network_node(mover->scenario->network, (es_node_id){node});
    return bytes <= mover->room_bytes[node] + 1e-9 * one->memory_bytes;
}

/* Loads what is missing and fits; whether something is left that does not. */
static es_status load_what_fits(es_mover *mover, bool *out_left, es_error *err)
{
    *out_left = false;
    for (uint32_t v = 0; v < mover->node_count; v++)
        for (uint32_t s = 0; s < mover->segment_count; s++) {
            if (!is_missing(mover, v, s))
                continue;
            if (fits(mover, v, bytes_of(mover, s)))
                ES_TRY(step_load(mover, (es_node_id){v}, (es_segment_id){s}, err));
            else
                *out_left = true;
        }
    return ES_OK;
}

/* Fewer ways than before, and not yet all those to come. */
static bool loses(const es_mover *mover, uint32_t class_index)
{
    bool lost = false;
    bool lacks = false;
    for (uint32_t w = mover->way_first[class_index]; w < mover->way_first[class_index + 1]; w++) {
        const es_way *way = &mover->ways[w];
        lost = lost || (way->share > 0 && way->made <= 0);
        lacks = lacks || (way->next > 0 && way->made <= 0);
    }
    return lost && lacks;
}

static es_status note_losses(es_mover *mover, es_error *err)
{
    for (uint32_t c = 0; c < mover->class_count; c++) {
        bool all = !es_mover_has_way(mover, c);
        es_step_loss loss = {.step = mover->steps.count, .class_id = {c}, .all = all};
        if (all || loses(mover, c))
            ES_TRY(ES_ARRAY_PUSH(mover->arena, &mover->losses, loss, "losses", err));
    }
    return ES_OK;
}

/* Routes over what stands, when they differ from those in force. */
static es_status step_route(es_mover *mover, es_error *err)
{
    const es_plan *table = NULL;
    if (!es_mover_make(mover))
        return ES_OK;
    ES_TRY(note_losses(mover, err));
    es_step step = {.kind = ES_STEP_ROUTE, .table = mover->tables.count};
    ES_TRY(es_mover_follow(mover, &table, err));
    ES_TRY(ES_ARRAY_PUSH(mover->arena, &mover->steps, step, "steps", err));
    return ES_ARRAY_PUSH(mover->arena, &mover->tables, table, "tables", err);
}

/* Unloads what is leaving, after a drain where requests may still be on their way to it. */
static es_status step_unload(es_mover *mover, es_error *err)
{
    size_t cells = (size_t)mover->node_count * mover->segment_count;
    bool drain = false;
    for (size_t i = 0; i < cells; i++)
        drain = drain || (mover->leaving[i] && mover->used[i]);
    if (drain) {
        es_step step = {.kind = ES_STEP_DRAIN};
        ES_TRY(ES_ARRAY_PUSH(mover->arena, &mover->steps, step, "steps", err));
        es_mover_drained(mover);
    }
    for (size_t i = 0; i < cells; i++) {
        if (!mover->leaving[i])
            continue;
        uint32_t node = (uint32_t)(i / mover->segment_count);
        uint32_t segment = (uint32_t)(i % mover->segment_count);
        es_step step = {.kind = ES_STEP_UNLOAD, .node = {node}, .segment = {segment}};
        ES_TRY(ES_ARRAY_PUSH(mover->arena, &mover->steps, step, "steps", err));
        mover->leaving[i] = false;
        mover->hosted[i] = false;
        mover->room_bytes[node] += bytes_of(mover, segment);
    }
    return ES_OK;
}

/* ---- where old and new do not fit together ---- */

static bool is_used(const es_mover *mover, uint32_t node, uint32_t segment)
{
    return mover->used[(size_t)node * mover->segment_count + segment];
}

/* The extra to go first: unused, then the largest. ES_INDEX_NONE: none is left. */
static uint32_t next_victim(const es_mover *mover, uint32_t node)
{
    uint32_t best = ES_INDEX_NONE;
    for (uint32_t s = 0; s < mover->segment_count; s++) {
        if (!is_extra(mover, node, s) || mover->leaving[(size_t)node * mover->segment_count + s])
            continue;
        bool better =
            best == ES_INDEX_NONE || (is_used(mover, node, s) != is_used(mover, node, best)
                                          ? !is_used(mover, node, s)
                                          : bytes_of(mover, s) > bytes_of(mover, best));
        if (better)
            best = s;
    }
    return best;
}

/* Marks what must leave a node so that bytes more fit; false: not even all extras are enough. */
static bool mark_victims(es_mover *mover, uint32_t node, double bytes)
{
    bool *leaving = &mover->leaving[(size_t)node * mover->segment_count];
    double freed = 0;
    while (!fits(mover, node, bytes - freed)) {
        uint32_t victim = next_victim(mover, node);
        if (victim == ES_INDEX_NONE)
            return false;
        leaving[victim] = true;
        freed += bytes_of(mover, victim);
    }
    for (uint32_t s = 0; s < mover->segment_count; s++)
        if (leaving[s] && fits(mover, node, bytes - freed + bytes_of(mover, s))) {
            leaving[s] = false;
            freed -= bytes_of(mover, s);
        }
    return true;
}

static void unmark(es_mover *mover, uint32_t node)
{
    memset(&mover->leaving[(size_t)node * mover->segment_count], 0,
           mover->segment_count * sizeof *mover->leaving);
}

static double missing_bytes(const es_mover *mover, uint32_t node)
{
    double bytes = 0;
    for (uint32_t s = 0; s < mover->segment_count; s++)
        bytes += is_missing(mover, node, s) ? bytes_of(mover, s) : 0;
    return bytes;
}

static uint32_t count_stranded(const es_mover *mover, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = mover->node_first[node]; i < mover->node_first[node + 1]; i++)
        count += !es_mover_has_way(mover, mover->node_classes[i]);
    return count;
}

/* Makes room for all that a node misses, else for one segment, without leaving a class no way. */
static bool make_room(es_mover *mover, uint32_t node, uint32_t stranded_before)
{
    if (mark_victims(mover, node, missing_bytes(mover, node)) &&
        count_stranded(mover, node) <= stranded_before)
        return true;
    unmark(mover, node);
    for (uint32_t s = 0; s < mover->segment_count; s++) {
        if (!is_missing(mover, node, s))
            continue;
        if (mark_victims(mover, node, bytes_of(mover, s)) &&
            count_stranded(mover, node) <= stranded_before)
            return true;
        unmark(mover, node);
    }
    return false;
}

/* ---- bridges ---- */

typedef struct bridge {
    es_node_id nodes[ES_STAGE_COUNT_MAX];
    es_segment_id segments[ES_STAGE_COUNT_MAX];
    uint32_t count;
} bridge;

static bool can_load(const es_mover *mover, size_t at)
{
    return mover->given->usable == NULL || mover->given->usable[at];
}

/* What a way lacks, where that can be loaded beside all that is there; not on `node`, whose room is
 * spoken for. */
static bool try_bridge(const es_mover *mover, const es_way *way, uint32_t node, bridge *out)
{
    bridge found = {0};
    for (uint32_t k = 0; k < es_way_stages(mover, way); k++) {
        es_segment_id segment = es_way_segment(mover, way, k);
        size_t at = es_mover_at(mover, way->nodes[k], segment);
        double bytes = bytes_of(mover, segment.index);
        bool known = false;
        if (mover->leaving[at])
            return false;
        if (mover->hosted[at])
            continue;
        for (uint32_t i = 0; i < found.count; i++) {
            if (found.nodes[i].index != way->nodes[k].index)
                continue;
            known = known || found.segments[i].index == segment.index;
            bytes += bytes_of(mover, found.segments[i].index);
        }
        if (known)
            continue;
        if (way->nodes[k].index == node || !can_load(mover, at) ||
            !fits(mover, way->nodes[k].index, bytes))
            return false;
        found.nodes[found.count] = way->nodes[k];
        found.segments[found.count++] = segment;
    }
    *out = found;
    return true;
}

/* Loads what the cheapest way lacks that can be completed. */
static es_status build_bridge(es_mover *mover, uint32_t class_index, uint32_t node, es_error *err)
{
    bridge best = {0};
    double least = 0;
    for (uint32_t w = mover->way_first[class_index]; w < mover->way_first[class_index + 1]; w++) {
        bridge found;
        if (!try_bridge(mover, &mover->ways[w], node, &found) ||
            (best.count > 0 && mover->ways[w].cost >= least))
            continue;
        best = found;
        least = mover->ways[w].cost;
    }
    for (uint32_t i = 0; i < best.count; i++)
        ES_TRY(step_load(mover, best.nodes[i], best.segments[i], err));
    return ES_OK;
}

/* How many classes stay without a way though bridges be built for the others: each alone, so an
 * estimate where they compete for room. */
static uint32_t count_hopeless(const es_mover *mover, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = mover->node_first[node]; i < mover->node_first[node + 1]; i++) {
        uint32_t c = mover->node_classes[i];
        bool hope = es_mover_has_way(mover, c);
        for (uint32_t w = mover->way_first[c]; w < mover->way_first[c + 1] && !hope; w++) {
            bridge found;
            hope = try_bridge(mover, &mover->ways[w], node, &found);
        }
        count += !hope;
    }
    return count;
}

/* One segment of one node, where that hurts least, with bridges for those it would leave alone. */
static es_status make_room_with_bridges(es_mover *mover, es_error *err)
{
    uint32_t node = ES_INDEX_NONE, segment = 0, least = UINT32_MAX;
    for (uint32_t v = 0; v < mover->node_count && least > 0; v++)
        for (uint32_t s = 0; s < mover->segment_count && least > 0; s++) {
            if (!is_missing(mover, v, s))
                continue;
            bool room = mark_victims(mover, v, bytes_of(mover, s));
            uint32_t hopeless = room ? count_hopeless(mover, v) : UINT32_MAX;
            unmark(mover, v);
            if (hopeless >= least)
                continue;
            node = v;
            segment = s;
            least = hopeless;
        }
    if (node == ES_INDEX_NONE)
        return es_fail(err, ES_ERR_ARG, "transition: a node has no room for what the plan wants");
    (void)mark_victims(mover, node, bytes_of(mover, segment)); /* it could, above */
    for (uint32_t i = mover->node_first[node]; i < mover->node_first[node + 1]; i++)
        if (!es_mover_has_way(mover, mover->node_classes[i]))
            ES_TRY(build_bridge(mover, mover->node_classes[i], node, err));
    return ES_OK;
}

/* Leads requests around, unloads, so that at least one more segment fits. */
static es_status exchange(es_mover *mover, es_error *err)
{
    bool any = false;
    for (uint32_t v = 0; v < mover->node_count; v++) {
        if (missing_bytes(mover, v) <= 0 || fits(mover, v, missing_bytes(mover, v)))
            continue;
        any = make_room(mover, v, count_stranded(mover, v)) || any;
    }
    if (!any)
        ES_TRY(make_room_with_bridges(mover, err));
    ES_TRY(step_route(mover, err));
    return step_unload(mover, err);
}

/* ---- all of it ---- */

static es_status check_memory(const es_mover *mover, es_error *err)
{
    for (uint32_t v = 0; v < mover->node_count; v++) {
        const es_node *node = es_network_node(mover->scenario->network, (es_node_id){v});
        double bytes = 0;
        for (uint32_t s = 0; s < mover->segment_count; s++)
            if (mover->wanted[(size_t)v * mover->segment_count + s])
                bytes += bytes_of(mover, s);
        if (bytes > node->memory_bytes * (1 + 1e-9))
            return es_fail(err, ES_ERR_ARG,
                           "transition: the plan wants %g bytes on node '%s' of %g", bytes,
                           node->name, node->memory_bytes);
    }
    return ES_OK;
}

/* Routings lead over placements only. */
static es_status check_routings(es_mover *mover, es_error *err)
{
    const es_plan *next = mover->given->next;
    bool *placed = NULL;
    ES_TRY(es_mover_take(mover, (size_t)mover->node_count * mover->segment_count, sizeof *placed,
                         &placed, err));
    for (size_t p = 0; p < next->placement_count; p++)
        placed[es_mover_at(mover, next->placements[p].node, next->placements[p].segment)] = true;
    for (size_t r = 0; r < next->routing_count; r++) {
        const es_routing *routing = &next->routings[r];
        const es_pipeline *pipeline = &mover->scenario->pipelines[routing->pipeline.index];
        for (uint32_t k = 0; k < pipeline->stage_count; k++)
            if (!placed[es_mover_at(mover, routing->nodes[k], pipeline->stages[k].segment)])
                return es_fail(err, ES_ERR_ARG,
                               "transition: the plan routes '%s' over '%s' on node '%s', which it "
                               "does not place there",
                               pipeline->name,
                               mover->scenario->segments[pipeline->stages[k].segment.index].name,
                               es_network_node(mover->scenario->network, routing->nodes[k])->name);
    }
    return ES_OK;
}

static es_status want(es_mover *mover, es_error *err)
{
    const es_plan *next = mover->given->next;
    for (size_t p = 0; p < next->placement_count; p++) {
        es_placement placement = next->placements[p];
        if (placement.node.index >= mover->node_count ||
            placement.segment.index >= mover->segment_count)
            return es_fail(err, ES_ERR_ARG, "transition: placements[%zu] is not of scenario '%s'",
                           p, mover->scenario->name);
        size_t at = es_mover_at(mover, placement.node, placement.segment);
        mover->wanted[at] = mover->hosted[at] || can_load(mover, at);
    }
    return ES_OK;
}

static es_status start(es_mover *mover, es_arena *arena, const es_transition_given *given,
                       es_error *err)
{
    const es_scenario *scenario = given->scenario;
    *mover = (es_mover){.arena = arena,
                        .given = given,
                        .scenario = scenario,
                        .node_count = es_network_node_count(scenario->network),
                        .segment_count = scenario->segment_count,
                        .class_count = scenario->class_count,
                        .routed = given->now != NULL};
    size_t cells = (size_t)mover->node_count * mover->segment_count;
    ES_TRY(es_mover_take(mover, cells, sizeof(bool), &mover->hosted, err));
    ES_TRY(es_mover_take(mover, cells, sizeof(bool), &mover->wanted, err));
    ES_TRY(es_mover_take(mover, cells, sizeof(bool), &mover->leaving, err));
    ES_TRY(es_mover_take(mover, cells, sizeof(bool), &mover->used, err));
    ES_TRY(es_mover_take(mover, mover->node_count, sizeof(double), &mover->room_bytes, err));
    ES_TRY(es_mover_take(mover, mover->class_count, sizeof(double), &mover->refused, err));
    ES_TRY(es_mover_take(mover, mover->class_count, sizeof(double), &mover->made_refused, err));
    memcpy(mover->hosted, given->hosted, cells * sizeof(bool));
    if (given->now != NULL && given->now->refused_share != NULL)
        memcpy(mover->refused, given->now->refused_share, mover->class_count * sizeof(double));
    for (uint32_t v = 0; v < mover->node_count; v++) {
        mover->room_bytes[v] = es_network_node(scenario->network, (es_node_id){v})->memory_bytes;
        for (uint32_t s = 0; s < mover->segment_count; s++)
            if (mover->hosted[(size_t)v * mover->segment_count + s])
                mover->room_bytes[v] -= bytes_of(mover, s);
    }
    ES_TRY(want(mover, err));
    ES_TRY(es_mover_ways(mover, err));
    if (given->undrained)
        memcpy(mover->used, mover->hosted, cells * sizeof(bool));
    else
        es_mover_drained(mover);
    return ES_OK;
}

/* Whether routes in force lead over what is not there: a node was lost. */
static bool is_broken(const es_mover *mover)
{
    for (uint32_t w = 0; w < mover->way_first[mover->class_count]; w++)
        if (mover->ways[w].share > 0 && !es_way_stands(mover, &mover->ways[w]))
            return true;
    return false;
}

static es_status move_all(es_mover *mover, es_error *err)
{
    bool left = false;
    if (is_broken(mover))
        ES_TRY(step_route(mover, err));
    ES_TRY(load_what_fits(mover, &left, err));
    while (left) {
        ES_TRY(exchange(mover, err));
        ES_TRY(load_what_fits(mover, &left, err));
    }
    ES_TRY(step_route(mover, err));
    for (uint32_t v = 0; v < mover->node_count; v++)
        for (uint32_t s = 0; s < mover->segment_count; s++)
            mover->leaving[(size_t)v * mover->segment_count + s] = is_extra(mover, v, s);
    for (uint32_t w = 0; w < mover->way_first[mover->class_count]; w++)
        for (uint32_t k = 0; mover->ways[w].share > 0 && k < es_way_stages(mover, &mover->ways[w]);
             k++) /* a way in need, since what the plan wants could not be had */
            mover->leaving[es_mover_at(mover, mover->ways[w].nodes[k],
                                       es_way_segment(mover, &mover->ways[w], k))] = false;
    return step_unload(mover, err);
}

es_status es_transition_plan(es_arena *arena, const es_transition_given *given,
                             const es_transition **out_transition, es_error *err)
{
    es_mover mover;
    es_transition *made = NULL;
    ES_TRY(start(&mover, arena, given, err));
    ES_TRY(check_memory(&mover, err));
    ES_TRY(check_routings(&mover, err));
    ES_TRY(move_all(&mover, err));
    ES_TRY(es_mover_take(&mover, 1, sizeof *made, &made, err));
    *made = (es_transition){.step_count = mover.steps.count,
                            .steps = mover.steps.items,
                            .table_count = mover.tables.count,
                            .tables = mover.tables.items,
                            .loss_count = mover.losses.count,
                            .losses = mover.losses.items};
    *out_transition = made;
    return ES_OK;
}

void es_transition_tell(const es_transition *transition, const es_scenario *scenario, size_t step,
                        es_text *out)
{
    const es_step *one = &transition->steps[step];
    switch (one->kind) {
    case ES_STEP_LOAD:
    case ES_STEP_UNLOAD:
        es_text_format(out, "%s '%s' on '%s'", es_step_names[one->kind],
                       scenario->segments[one->segment.index].name,
                       es_network_node(scenario->network, one->node)->name);
        break;
    case ES_STEP_ROUTE:
        es_text_format(out, "route %zu of %zu", one->table + 1, transition->table_count);
        break;
    case ES_STEP_DRAIN:
        es_text_append(out, "drain");
        break;
    case ES_STEP_KIND_COUNT:
        break;
    }
    for (size_t i = 0; i < transition->loss_count; i++) {
        const es_step_loss *loss = &transition->losses[i];
        if (loss->step != step)
            continue;
        const es_class *class_ = &scenario->classes[loss->class_id.index];
        es_text_format(out, "; '%s at %s' %s", scenario->tasks[class_->task.index].name,
                       es_network_node(scenario->network, class_->node)->name,
                       loss->all ? "has no way meanwhile" : "has fewer ways meanwhile");
    }
}
