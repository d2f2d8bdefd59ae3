/* What is hosted and what comes, as a plan for one slot: who is served where. */
#include "online/internal.h"

struct es_router {
    const es_idn *idn;
    double (*busy_s)[ES_STAGE_COUNT_MAX]; /* [option][stage] per request */
    uint32_t *touch_first; /* [class + 1]: nodes that options of a class use, each once */
    uint32_t *touch_node;
    double *allowed_s; /* [touch]: of the node's time, for this class */
    double *room_s;    /* [node] left */
    double *served;    /* [option] */
    double *asking;    /* [node] requests that could use it */
};

static uint32_t stages_of(const es_idn *idn, uint32_t option)
{
    uint32_t pipeline = idn->options[option].pipeline.index;
    return pipeline == ES_INDEX_NONE ? 0 : idn->scenario->pipelines[pipeline].stage_count;
}

static void add_touch(es_router *router, uint32_t class, uint32_t node)
{
    for (uint32_t i = router->touch_first[class]; i < router->touch_first[class + 1]; i++)
        if (router->touch_node[i] == node)
            return;
    router->touch_node[router->touch_first[class + 1]++] = node;
}

es_status es_router_new(es_arena *arena, const es_idn *idn, es_router **out_router, es_error *err)
{
    es_router *router = NULL;
    uint32_t options = idn->type_first[idn->type_count];
    ES_TRY(es_online_take(arena, 1, sizeof *router, &router, err));
    router->idn = idn;
    ES_TRY(es_online_take(arena, options, sizeof *router->busy_s, &router->busy_s, err));
    ES_TRY(es_online_take(arena, idn->type_count + 1, sizeof *router->touch_first,
                          &router->touch_first, err));
    ES_TRY(es_online_take(arena, (size_t)options * ES_STAGE_COUNT_MAX, sizeof *router->touch_node,
                          &router->touch_node, err));
    ES_TRY(es_online_take(arena, (size_t)options * ES_STAGE_COUNT_MAX, sizeof *router->allowed_s,
                          &router->allowed_s, err));
    ES_TRY(es_online_take(arena, idn->node_count, sizeof *router->room_s, &router->room_s, err));
    ES_TRY(es_online_take(arena, idn->node_count, sizeof *router->asking, &router->asking, err));
    ES_TRY(es_online_take(arena, options, sizeof *router->served, &router->served, err));
    for (uint32_t c = 0; c < idn->type_count; c++) {
        router->touch_first[c + 1] = router->touch_first[c];
        for (uint32_t k = idn->type_first[c]; k < idn->type_first[c + 1]; k++) {
            const es_idn_option *option = &idn->options[k];
            if (stages_of(idn, k) == 0)
                continue;
            es_price price =
                es_scenario_price(idn->scenario, (es_class_id){c}, option->pipeline, option->nodes);
            for (uint32_t s = 0; s < stages_of(idn, k); s++) {
                router->busy_s[k][s] = price.compute_s[s];
                add_touch(router, c, option->nodes[s].index);
            }
        }
    }
    *out_router = router;
    return ES_OK;
}

/* Each class's share of the time of the nodes on its way. */
static void allot(es_router *router, const double *counts)
{
    const es_idn *idn = router->idn;
    for (uint32_t v = 0; v < idn->node_count; v++) {
        const es_node *node = es_network_node(idn->scenario->network, (es_node_id){v});
        router->room_s[v] = node->processors * node->utilisation_max * idn->slot_s;
        router->asking[v] = 0;
    }
    for (uint32_t c = 0; c < idn->type_count; c++)
        for (uint32_t i = router->touch_first[c]; i < router->touch_first[c + 1]; i++)
            router->asking[router->touch_node[i]] += counts[c];
    for (uint32_t c = 0; c < idn->type_count; c++)
        for (uint32_t i = router->touch_first[c]; i < router->touch_first[c + 1]; i++) {
            uint32_t node = router->touch_node[i];
            router->allowed_s[i] = router->asking[node] > 0
                                       ? router->room_s[node] * counts[c] / router->asking[node]
                                       : 0;
        }
}

/* Time of a node that a class may still take: its share, or all that is left. */
static double *time_of(es_router *router, uint32_t class, uint32_t node, bool shared)
{
    if (!shared)
        return &router->room_s[node];
    uint32_t i = router->touch_first[class];
    while (router->touch_node[i] != node)
        i++;
    return &router->allowed_s[i];
}

static bool is_hosted(const es_idn *idn, uint32_t option, const uint32_t *hosted)
{
    const es_idn_option *one = &idn->options[option];
    for (uint32_t i = 0; i < one->item_count; i++)
        if (hosted[one->items[i]] == 0)
            return false;
    return one->item_count > 0;
}

/* Serves up to `left` requests of a class; what stays unserved. */
static double serve(es_router *router, uint32_t class, double left, const uint32_t *hosted,
                    bool shared)
{
    const es_idn *idn = router->idn;
    for (uint32_t k = idn->type_first[class]; k < idn->type_first[class + 1] && left > 0; k++) {
        const es_idn_option *option = &idn->options[k];
        if (!is_hosted(idn, k, hosted))
            continue;
        double most = left;
        for (uint32_t s = 0; s < stages_of(idn, k); s++) {
            double busy_s = 0;
            for (uint32_t j = 0; j < stages_of(idn, k); j++)
                if (option->nodes[j].index == option->nodes[s].index)
                    busy_s += router->busy_s[k][j];
            if (busy_s > 0)
                most = fmin(most, *time_of(router, class, option->nodes[s].index, shared) / busy_s);
        }
        if (most <= 1e-9 * left)
            continue;
        for (uint32_t s = 0; s < stages_of(idn, k); s++) {
            double used_s = most * router->busy_s[k][s];
            uint32_t node = option->nodes[s].index;
            if (shared)
                *time_of(router, class, node, true) -= used_s;
            router->room_s[node] = fmax(router->room_s[node] - used_s, 0);
        }
        router->served[k] += most;
        left -= most;
    }
    return left > 0 ? left : 0;
}

/* Refusing is forbidden: the cheapest hosted way takes the rest and queues. */
static double overload(es_router *router, uint32_t class, double left, const uint32_t *hosted)
{
    const es_idn *idn = router->idn;
    for (uint32_t k = idn->type_first[class]; k < idn->type_first[class + 1]; k++) {
        if (!is_hosted(idn, k, hosted))
            continue;
        router->served[k] += left;
        return 0;
    }
    return left;
}

static es_status write_plan(es_arena *arena, const es_router *router, const double *counts,
                            const uint32_t *hosted, es_plan *plan, es_error *err)
{
    const es_idn *idn = router->idn;
    es_placement *placements = NULL;
    es_routing *routings = NULL;
    double *refused = NULL;
    uint32_t options = idn->type_first[idn->type_count];
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *placements, &placements, err));
    ES_TRY(es_online_take(arena, options, sizeof *routings, &routings, err));
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *refused, &refused, err));
    for (uint32_t i = 0; i < idn->item_count; i++)
        if (hosted[i] > 0)
            placements[plan->placement_count++] =
                (es_placement){.node = {idn->items[i].node}, .segment = {idn->items[i].model}};
    for (uint32_t c = 0; c < idn->type_count; c++) {
        double sum = 0;
        for (uint32_t k = idn->type_first[c]; k < idn->type_first[c + 1]; k++)
            sum += router->served[k];
        refused[c] = counts[c] > 0 ? fmin(fmax(1 - sum / counts[c], 0), 1) : 1;
        if (refused[c] < 1e-9)
            refused[c] = 0;
        for (uint32_t k = idn->type_first[c]; k < idn->type_first[c + 1]; k++) {
            if (router->served[k] <= 0)
                continue;
            es_routing *routing = &routings[plan->routing_count++];
            *routing = (es_routing){.class_id = {c},
                                    .pipeline = idn->options[k].pipeline,
                                    .share = router->served[k] / sum * (1 - refused[c])};
            memcpy(routing->nodes, idn->options[k].nodes, sizeof routing->nodes);
        }
    }
    plan->placements = placements;
    plan->routings = routings;
    plan->refused_share = refused;
    return ES_OK;
}

es_status es_router_plan(es_arena *arena, es_router *router, const double *counts,
                         const uint32_t *hosted, const es_plan **out_plan, es_error *err)
{
    const es_idn *idn = router->idn;
    bool forbidden = !isfinite(idn->scenario->objective.refusal_cost);
    double *left = NULL;
    es_plan *plan = NULL;
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *left, &left, err));
    ES_TRY(es_online_take(arena, 1, sizeof *plan, &plan, err));
    memset(router->served, 0, idn->type_first[idn->type_count] * sizeof *router->served);
    allot(router, counts);
    for (uint32_t c = 0; c < idn->type_count; c++)
        left[c] = serve(router, c, counts[c], hosted, true);
    for (uint32_t c = 0; c < idn->type_count; c++) {
        if (left[c] > 0)
            left[c] = serve(router, c, left[c], hosted, false);
        if (left[c] > 0 && forbidden)
            left[c] = overload(router, c, left[c], hosted);
    }
    *plan = (es_plan){.scenario = idn->scenario->name,
                      .method = ES_PLAN_GREEDY,
                      .quality = ES_PLAN_FEASIBLE,
                      .bound = -(double)INFINITY,
                      .gap_relative = (double)INFINITY};
    ES_TRY(write_plan(arena, router, counts, hosted, plan, err));
    *out_plan = plan;
    return ES_OK;
}
