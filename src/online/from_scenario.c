#include "base/array.h"
#include "online/internal.h"

enum { PATH_MAX_NODES = 64, OPTIONS_PER_CLASS_MAX = 20000 };
#define FORBIDDEN_FACTOR                                                                           \
    10 /* a refusal that is forbidden costs so many times the dearest option                       \
        */

typedef ES_ARRAY(es_idn_option) option_array;
typedef ES_ARRAY(es_idn_item) item_array;

typedef struct builder {
    es_arena *arena;
    const es_scenario *scenario;
    uint32_t *item_at; /* [node][segment], ES_INDEX_NONE */
    bool *pinned;      /* [node]: holds every segment that can run there */
    es_node_id path[PATH_MAX_NODES];
    uint32_t path_count;
    option_array options;
    item_array items;
} builder;

static bool can_host(const es_scenario *scenario, es_node_id node, uint32_t segment)
{
    const es_node *one = es_network_node(scenario->network, node);
    return one->processors > 0 && one->utilisation_max > 0 &&
           isfinite(es_scenario_service(scenario, (es_segment_id){segment}, node).time_s) &&
           scenario->segments[segment].memory_bytes <= one->memory_bytes;
}

/* One item for each segment that a node can run and hold; cloud nodes that hold all are pinned. */
static es_status list_items(builder *own, es_error *err)
{
    const es_scenario *scenario = own->scenario;
    uint32_t nodes = es_network_node_count(scenario->network);
    uint32_t segments = scenario->segment_count;
    ES_TRY(es_online_take(own->arena, (size_t)nodes * segments, sizeof *own->item_at, &own->item_at,
                          err));
    ES_TRY(es_online_take(own->arena, nodes, sizeof *own->pinned, &own->pinned, err));
    for (uint32_t v = 0; v < nodes; v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        double all = 0;
        for (uint32_t s = 0; s < segments; s++)
            if (can_host(scenario, (es_node_id){v}, s))
                all += fmax(scenario->segments[s].memory_bytes, 1);
        own->pinned[v] = node->tier == ES_TIER_CLOUD && all <= node->memory_bytes;
        for (uint32_t s = 0; s < segments; s++) {
            own->item_at[(size_t)v * segments + s] = ES_INDEX_NONE;
            if (!can_host(scenario, (es_node_id){v}, s))
                continue;
            own->item_at[(size_t)v * segments + s] = (uint32_t)own->items.count;
            es_idn_item item = {.node = v,
                                .model = s,
                                .copies = 1,
                                .pinned = own->pinned[v],
                                .size_bytes = fmax(scenario->segments[s].memory_bytes, 1)};
            ES_TRY(ES_ARRAY_PUSH(own->arena, &own->items, item, "items", err));
        }
    }
    return ES_OK;
}

/* The nearest cloud node that computes; without one, the node with most memory. */
static es_node_id find_end(const es_scenario *scenario, es_node_id entry)
{
    es_node_id best = entry;
    double nearest = (double)INFINITY;
    double largest = -1;
    bool cloud = false;
    for (uint32_t v = 0; v < es_network_node_count(scenario->network); v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        es_route route;
        if (node->processors <= 0 ||
            !es_routes_get(scenario->routes, entry, (es_node_id){v}, &route))
            continue;
        bool better = node->tier == ES_TIER_CLOUD ? !cloud || route.latency_s < nearest
                                                  : !cloud && node->memory_bytes > largest;
        if (!better)
            continue;
        cloud = node->tier == ES_TIER_CLOUD;
        nearest = route.latency_s;
        largest = node->memory_bytes;
        best = (es_node_id){v};
    }
    return best;
}

/* The nodes of the route, from the entry on. */
static void lay_path(builder *own, es_node_id entry)
{
    const es_scenario *scenario = own->scenario;
    es_link_id links[PATH_MAX_NODES];
    uint32_t count = 0;
    own->path[0] = entry;
    own->path_count = 1;
    es_node_id end = find_end(scenario, entry);
    if (end.index == entry.index ||
        !es_routes_path(scenario->routes, entry, end, links, PATH_MAX_NODES - 1, &count))
        return;
    es_node_id at = entry;
    for (uint32_t l = 0; l < count && l < PATH_MAX_NODES - 1; l++) {
        const es_link *link = es_network_link(scenario->network, links[l]);
        at = link->from.index == at.index ? link->to : link->from;
        own->path[own->path_count++] = at;
    }
}

static void add_item(es_idn_option *option, uint32_t item)
{
    for (uint32_t i = 0; i < option->item_count; i++)
        if (option->items[i] == item)
            return;
    option->items[option->item_count++] = item;
}

/* Requests per slot that the nodes' time allows, and the node that limits them. */
static void limit(const es_scenario *scenario, const es_pipeline *pipeline, const es_price *price,
                  es_idn_option *option)
{
    option->capacity = (double)INFINITY;
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        double busy_s = 0;
        for (uint32_t j = 0; j < pipeline->stage_count; j++)
            if (option->nodes[j].index == option->nodes[k].index)
                busy_s += price->compute_s[j];
        const es_node *node = es_network_node(scenario->network, option->nodes[k]);
        double most = busy_s > 0
                          ? node->processors * node->utilisation_max * scenario->slot_s / busy_s
                          : (double)INFINITY;
        if (most < option->capacity || k == 0) {
            option->capacity = most;
            option->group = option->nodes[k].index;
        }
    }
}

/* The pipeline over path[places[k]]. */
static es_status try_option(builder *own, uint32_t class, uint32_t p, const uint32_t *places,
                            es_error *err)
{
    const es_scenario *scenario = own->scenario;
    const es_pipeline *pipeline = &scenario->pipelines[p];
    es_idn_option option = {.pipeline = {p}, .hop = places[pipeline->stage_count - 1]};
    for (uint32_t k = 0; k < pipeline->stage_count; k++) {
        es_node_id node = own->path[places[k]];
        uint32_t segment = pipeline->stages[k].segment.index;
        uint32_t item = own->item_at[(size_t)node.index * scenario->segment_count + segment];
        if (item == ES_INDEX_NONE)
            return ES_OK;
        option.nodes[k] = node;
        add_item(&option, item);
    }
    const es_class *one = &scenario->classes[class];
    es_price price =
        es_scenario_price(scenario, (es_class_id){class}, (es_pipeline_id){p}, option.nodes);
    if (!price.reachable || price.latency_max_s > one->deadline_s ||
        price.quality < one->quality_min_each)
        return ES_OK;
    option.cost = fmax(price.cost, 0);
    option.latency_s = price.latency_s;
    option.quality = price.quality;
    limit(scenario, pipeline, &price, &option);
    return ES_ARRAY_PUSH(own->arena, &own->options, option, "options", err);
}

/* All ways to lay the stages on the path without going back. */
static es_status add_pipeline(builder *own, uint32_t class, uint32_t p, size_t first, es_error *err)
{
    uint32_t places[ES_STAGE_COUNT_MAX] = {0};
    uint32_t stages = own->scenario->pipelines[p].stage_count;
    for (;;) {
        ES_TRY(try_option(own, class, p, places, err));
        if (own->options.count - first > OPTIONS_PER_CLASS_MAX)
            return es_fail(err, ES_ERR_LIMIT, "class %u has more than %d ways to be served", class,
                           OPTIONS_PER_CLASS_MAX);
        uint32_t k = stages;
        while (k > 0 && places[k - 1] + 1 >= own->path_count)
            k--;
        if (k == 0)
            return ES_OK;
        uint32_t next = places[k - 1] + 1;
        for (uint32_t j = k - 1; j < stages; j++)
            places[j] = next;
    }
}

static es_status add_classes(builder *own, uint32_t *first, es_error *err)
{
    const es_scenario *scenario = own->scenario;
    for (uint32_t c = 0; c < scenario->class_count; c++) {
        uint32_t task = scenario->classes[c].task.index;
        size_t from = own->options.count;
        lay_path(own, scenario->classes[c].node);
        for (uint32_t p = scenario->task_pipelines[task]; p < scenario->task_pipelines[task + 1];
             p++)
            ES_TRY(add_pipeline(own, c, p, from, err));
        double refusal = scenario->objective.refusal_cost;
        double dearest = 0;
        for (size_t k = from; k < own->options.count; k++)
            dearest = fmax(dearest, own->options.items[k].cost);
        es_idn_option refuse = {.cost = isfinite(refusal) ? refusal
                                                          : fmax(FORBIDDEN_FACTOR * dearest, 1),
                                .capacity = (double)INFINITY,
                                .group = ES_INDEX_NONE,
                                .pipeline = {ES_INDEX_NONE}};
        ES_TRY(ES_ARRAY_PUSH(own->arena, &own->options, refuse, "options", err));
        first[c + 1] = (uint32_t)own->options.count;
    }
    return ES_OK;
}

static es_status name_all(builder *own, es_idn *idn, es_error *err)
{
    const es_scenario *scenario = own->scenario;
    const char **nodes = NULL;
    const char **models = NULL;
    const char **types = NULL;
    es_tier *tiers = NULL;
    double *budgets = NULL;
    ES_TRY(es_online_take(own->arena, idn->node_count, sizeof *nodes, &nodes, err));
    ES_TRY(es_online_take(own->arena, idn->node_count, sizeof *tiers, &tiers, err));
    ES_TRY(es_online_take(own->arena, idn->node_count, sizeof *budgets, &budgets, err));
    ES_TRY(es_online_take(own->arena, idn->model_count, sizeof *models, &models, err));
    ES_TRY(es_online_take(own->arena, idn->type_count, sizeof *types, &types, err));
    for (uint32_t v = 0; v < idn->node_count; v++) {
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        nodes[v] = node->name;
        tiers[v] = node->tier;
        budgets[v] = node->memory_bytes;
    }
    for (uint32_t s = 0; s < idn->model_count; s++)
        models[s] = scenario->segments[s].name;
    for (uint32_t c = 0; c < idn->type_count; c++) {
        const es_class *one = &scenario->classes[c];
        types[c] = es_arena_format(own->arena, "%s at %s", scenario->tasks[one->task.index].name,
                                   nodes[one->node.index]);
        if (types[c] == NULL)
            return es_arena_full(own->arena, "names", err);
    }
    idn->node_names = nodes;
    idn->tiers = tiers;
    idn->budget_bytes = budgets;
    idn->model_names = models;
    idn->type_names = types;
    return ES_OK;
}

es_status es_idn_from_scenario(es_arena *arena, const es_scenario *scenario, const es_idn **out_idn,
                               es_error *err)
{
    builder own = {.arena = arena, .scenario = scenario};
    uint32_t *first = NULL;
    uint32_t nodes = es_network_node_count(scenario->network);
    es_idn idn = {.name = scenario->name,
                  .cost_unit = "objective",
                  .scenario = scenario,
                  .slot_s = scenario->slot_s,
                  .node_count = nodes,
                  .model_count = scenario->segment_count,
                  .type_count = scenario->class_count,
                  .group_count = nodes};
    ES_TRY(es_online_take(arena, scenario->class_count + 1, sizeof *first, &first, err));
    ES_TRY(list_items(&own, err));
    ES_TRY(add_classes(&own, first, err));
    ES_TRY(name_all(&own, &idn, err));
    idn.item_count = (uint32_t)own.items.count;
    idn.items = own.items.items;
    idn.options = own.options.items;
    idn.type_first = first;
    return es_idn_new(arena, &idn, out_idn, err);
}
