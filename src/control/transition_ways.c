/* Ways to serve each class, and the best routes over those that stand. */
#include "control/transition_internal.h"

#define SHARE_TOLERANCE 1e-9

es_status es_mover_take(es_mover *mover, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(mover->arena, count, size, "transition", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

/* ---- listing ---- */

static int by_way(const void *left, const void *right)
{
    const es_way *a = left;
    const es_way *b = right;
    if (a->class_index != b->class_index)
        return a->class_index < b->class_index ? -1 : 1;
    if (a->pipeline.index != b->pipeline.index)
        return a->pipeline.index < b->pipeline.index ? -1 : 1;
    for (uint32_t k = 0; k < ES_STAGE_COUNT_MAX; k++)
        if (a->nodes[k].index != b->nodes[k].index)
            return a->nodes[k].index < b->nodes[k].index ? -1 : 1;
    return 0;
}

static es_status add_way(const es_mover *mover, es_way_array *list, es_way way, es_error *err)
{
    for (uint32_t k = es_way_stages(mover, &way); k < ES_STAGE_COUNT_MAX; k++)
        way.nodes[k] = (es_node_id){0};
    return ES_ARRAY_PUSH(mover->arena, list, way, "ways", err);
}

static es_status check_routing(const es_mover *mover, const es_routing *routing, es_error *err)
{
    const es_scenario *scenario = mover->scenario;
    bool known = routing->class_id.index < mover->class_count &&
                 routing->pipeline.index < scenario->pipeline_count;
    for (uint32_t k = 0; known && k < scenario->pipelines[routing->pipeline.index].stage_count; k++)
        known = routing->nodes[k].index < mover->node_count;
    if (!known)
        return es_fail(err, ES_ERR_ARG, "transition: a routing is not of scenario '%s'",
                       scenario->name);
    return ES_OK;
}

static es_status add_plan(es_mover *mover, es_way_array *list, const es_plan *plan, bool is_next,
                          es_error *err)
{
    for (size_t r = 0; plan != NULL && r < plan->routing_count; r++) {
        const es_routing *routing = &plan->routings[r];
        ES_TRY(check_routing(mover, routing, err));
        es_price price = es_scenario_price(mover->scenario, routing->class_id, routing->pipeline,
                                           routing->nodes);
        es_way way = {.class_index = routing->class_id.index,
                      .pipeline = routing->pipeline,
                      .cost = price.reachable ? price.cost : (double)INFINITY,
                      .now = is_next ? 0 : routing->share,
                      .next = is_next ? routing->share : 0};
        memcpy(way.nodes, routing->nodes, sizeof way.nodes);
        ES_TRY(add_way(mover, list, way, err));
    }
    return ES_OK;
}

static es_status add_idn(es_mover *mover, es_way_array *list, const es_idn *idn, es_error *err)
{
    for (uint32_t t = 0; idn != NULL && t < idn->type_count; t++)
        for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++) {
            const es_idn_option *option = &idn->options[k];
            es_way way = {.class_index = t, .pipeline = option->pipeline, .cost = option->cost};
            if (option->item_count == 0)
                continue;
            memcpy(way.nodes, option->nodes, sizeof way.nodes);
            ES_TRY(add_way(mover, list, way, err));
        }
    return ES_OK;
}

/* Equal ways become one. */
static uint32_t merge(es_way *ways, size_t count)
{
    uint32_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && by_way(&ways[kept - 1], &ways[i]) == 0) {
            ways[kept - 1].now += ways[i].now;
            ways[kept - 1].next += ways[i].next;
            ways[kept - 1].cost = fmin(ways[kept - 1].cost, ways[i].cost);
            continue;
        }
        ways[kept++] = ways[i];
    }
    return kept;
}

/* Counts (pass 0), then lists (pass 1) the classes of each node. */
static void list_classes(es_mover *mover, uint32_t *last_class, int pass)
{
    memset(last_class, 0xff, mover->node_count * sizeof *last_class);
    for (uint32_t c = 0; c < mover->class_count; c++)
        for (uint32_t w = mover->way_first[c]; w < mover->way_first[c + 1]; w++)
            for (uint32_t k = 0; k < es_way_stages(mover, &mover->ways[w]); k++) {
                uint32_t node = mover->ways[w].nodes[k].index;
                if (last_class[node] == c)
                    continue;
                last_class[node] = c;
                if (pass == 0)
                    mover->node_first[node + 2]++;
                else
                    mover->node_classes[mover->node_first[node + 1]++] = c;
            }
}

es_status es_mover_ways(es_mover *mover, es_error *err)
{
    es_way_array list = {0};
    uint32_t *last_class = NULL;
    ES_TRY(add_plan(mover, &list, mover->given->now, false, err));
    ES_TRY(add_plan(mover, &list, mover->given->next, true, err));
    ES_TRY(add_idn(mover, &list, mover->given->idn, err));
    if (list.items == NULL) /* nobody is served, before or after */
        ES_TRY(es_mover_take(mover, 1, sizeof *list.items, &list.items, err));
    qsort(list.items, list.count, sizeof *list.items, by_way);
    uint32_t count = merge(list.items, list.count);
    mover->ways = list.items;
    ES_TRY(es_mover_take(mover, mover->class_count + 1, sizeof(uint32_t), &mover->way_first, err));
    ES_TRY(es_mover_take(mover, mover->node_count + 2, sizeof(uint32_t), &mover->node_first, err));
    ES_TRY(es_mover_take(mover, mover->node_count, sizeof *last_class, &last_class, err));
    for (uint32_t w = 0; w < count; w++) {
        mover->way_first[mover->ways[w].class_index + 1]++;
        mover->ways[w].share = mover->ways[w].now;
    }
    for (uint32_t c = 0; c < mover->class_count; c++)
        mover->way_first[c + 1] += mover->way_first[c];
    list_classes(mover, last_class, 0);
    for (uint32_t v = 0; v < mover->node_count; v++)
        mover->node_first[v + 2] += mover->node_first[v + 1];
    ES_TRY(es_mover_take(mover, mover->node_first[mover->node_count + 1], sizeof(uint32_t),
                         &mover->node_classes, err));
    list_classes(mover, last_class, 1);
    return ES_OK;
}

/* ---- tables ---- */

bool es_way_stands(const es_mover *mover, const es_way *way)
{
    for (uint32_t k = 0; k < es_way_stages(mover, way); k++) {
        size_t at = es_mover_at(mover, way->nodes[k], es_way_segment(mover, way, k));
        if (!mover->hosted[at] || mover->leaving[at])
            return false;
    }
    return true;
}

static double refused_next(const es_mover *mover, uint32_t class_index)
{
    const es_plan *next = mover->given->next;
    return next->refused_share != NULL ? next->refused_share[class_index] : 0;
}

bool es_mover_has_way(const es_mover *mover, uint32_t class_index)
{
    if (refused_next(mover, class_index) >= 1 - SHARE_TOLERANCE)
        return true;
    for (uint32_t w = mover->way_first[class_index]; w < mover->way_first[class_index + 1]; w++)
        if (es_way_stands(mover, &mover->ways[w]))
            return true;
    return false;
}

/* Puts share on the cheapest way that stands; false when there is none. */
static bool fall_back(es_mover *mover, uint32_t class_index, double share)
{
    es_way *best = NULL;
    for (uint32_t w = mover->way_first[class_index]; w < mover->way_first[class_index + 1]; w++) {
        es_way *way = &mover->ways[w];
        if (es_way_stands(mover, way) && (best == NULL || way->cost < best->cost))
            best = way;
    }
    if (best != NULL)
        best->made += share;
    return best != NULL;
}

/* Whether all that a way lacks is on places that cannot be reached: it may still stand. */
static bool is_doubtful(const es_mover *mover, const es_way *way)
{
    bool doubt = false;
    for (uint32_t k = 0; k < es_way_stages(mover, way); k++) {
        size_t at = es_mover_at(mover, way->nodes[k], es_way_segment(mover, way, k));
        bool there = mover->hosted[at] && !mover->leaving[at];
        bool lost = !mover->hosted[at] && mover->given->usable != NULL && !mover->given->usable[at];
        if (!there && !lost)
            return false;
        doubt = doubt || lost;
    }
    return doubt;
}

/* No way stands. Whoever sends the requests may still reach a node that we cannot: ways of before
 * over such nodes stay, since refusing could only make it worse. */
static void keep_doubtful(es_mover *mover, uint32_t class_index)
{
    double kept = 0;
    for (uint32_t w = mover->way_first[class_index]; w < mover->way_first[class_index + 1]; w++) {
        es_way *way = &mover->ways[w];
        way->made = is_doubtful(mover, way) ? way->now : 0;
        kept += way->made;
    }
    mover->made_refused[class_index] = fmax(1 - kept, 0);
}

/* Wanted ways that stand take their shares; what is missing goes by the ways of before that still
 * stand, else by the wanted ones, else by the cheapest. */
static void make_class(es_mover *mover, uint32_t class_index)
{
    es_way *ways = &mover->ways[mover->way_first[class_index]];
    uint32_t count = mover->way_first[class_index + 1] - mover->way_first[class_index];
    double total = 0, stands = 0, before = 0;
    mover->made_refused[class_index] = refused_next(mover, class_index);
    for (uint32_t w = 0; w < count; w++) {
        bool standing = es_way_stands(mover, &ways[w]);
        ways[w].made = standing ? ways[w].next : 0;
        total += ways[w].next;
        stands += ways[w].made;
        before += standing ? ways[w].now : 0;
    }
    double missing = total - stands;
    if (total <= SHARE_TOLERANCE && before <= 0)
        keep_doubtful(mover, class_index);
    if (missing <= SHARE_TOLERANCE)
        return;
    if (before > 0) {
        for (uint32_t w = 0; w < count; w++)
            if (es_way_stands(mover, &ways[w]))
                ways[w].made += missing * ways[w].now / before;
    } else if (stands > 0) {
        for (uint32_t w = 0; w < count; w++)
            ways[w].made *= total / stands;
    } else if (!fall_back(mover, class_index, total)) {
        keep_doubtful(mover, class_index);
    }
}

bool es_mover_make(es_mover *mover)
{
    bool differs = !mover->routed;
    for (uint32_t c = 0; c < mover->class_count; c++) {
        make_class(mover, c);
        differs = differs || fabs(mover->made_refused[c] - mover->refused[c]) > SHARE_TOLERANCE;
        for (uint32_t w = mover->way_first[c]; w < mover->way_first[c + 1] && !differs; w++)
            differs = fabs(mover->ways[w].made - mover->ways[w].share) > SHARE_TOLERANCE;
    }
    return differs;
}

/* Marks what the routes in force use. */
static void mark_used(es_mover *mover)
{
    for (uint32_t w = 0; w < mover->way_first[mover->class_count]; w++)
        for (uint32_t k = 0; mover->ways[w].share > 0 && k < es_way_stages(mover, &mover->ways[w]);
             k++)
            mover->used[es_mover_at(mover, mover->ways[w].nodes[k],
                                    es_way_segment(mover, &mover->ways[w], k))] = true;
}

void es_mover_drained(es_mover *mover)
{
    memset(mover->used, 0, (size_t)mover->node_count * mover->segment_count * sizeof *mover->used);
    mark_used(mover);
}

es_status es_mover_follow(es_mover *mover, const es_plan **out_plan, es_error *err)
{
    es_plan *plan = NULL;
    es_routing *routings = NULL;
    double *refused = NULL;
    uint32_t count = mover->way_first[mover->class_count];
    ES_TRY(es_mover_take(mover, 1, sizeof *plan, &plan, err));
    ES_TRY(es_mover_take(mover, count, sizeof *routings, &routings, err));
    ES_TRY(es_mover_take(mover, mover->class_count, sizeof *refused, &refused, err));
    *plan = *mover->given->next;
    plan->routing_count = 0;
    plan->explanation = NULL;
    for (uint32_t w = 0; w < count; w++) {
        es_way *way = &mover->ways[w];
        way->share = way->made > SHARE_TOLERANCE ? way->made : 0;
        if (way->share <= 0)
            continue;
        es_routing *routing = &routings[plan->routing_count++];
        *routing = (es_routing){.class_id = {way->class_index},
                                .pipeline = way->pipeline,
                                .share = fmin(way->share, 1)};
        memcpy(routing->nodes, way->nodes, sizeof routing->nodes);
    }
    memcpy(refused, mover->made_refused, mover->class_count * sizeof *refused);
    memcpy(mover->refused, mover->made_refused, mover->class_count * sizeof *refused);
    plan->routings = routings;
    plan->refused_share = refused;
    mover->routed = true;
    mark_used(mover);
    *out_plan = plan;
    return ES_OK;
}
