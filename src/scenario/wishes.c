/* Wishes: slots and seed, demand, objective and constraints. */
#include "scenario/internal.h"

#include <math.h>

/* ---- demand ---- */

/* A class and the value that asked for it. */
typedef struct es_asked_class {
    es_class item;
    const es_doc *place;
} es_asked_class;

typedef struct es_demand_reader {
    es_reader *reader;
    ES_ARRAY(es_asked_class) classes;
    bool *taken; /* [task][node] */
} es_demand_reader;

static es_status add_class(es_demand_reader *demand, const es_doc *place, const es_class *entry,
                           uint32_t node, es_error *err)
{
    es_reader *reader = demand->reader;
    bool *taken = &demand->taken[(size_t)entry->task.index * reader->nodes.count + node];
    if (*taken)
        return es_doc_fail(place, err, "task '%s' already has demand at node '%s'",
                           reader->tasks.items[entry->task.index], reader->nodes.items[node]);
    *taken = true;
    es_asked_class asked = {.item = *entry, .place = place};
    asked.item.node.index = node;
    return ES_ARRAY_PUSH(reader->scratch, &demand->classes, asked, "demand", err);
}

static es_status add_tier(es_demand_reader *demand, const es_doc *at, const es_class *entry,
                          es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(at, err, "tier"));
    size_t tier = 0;
    ES_TRY(es_doc_need_word(at, "tier", es_tier_names, ES_TIER_COUNT, &tier, err));
    size_t before = demand->classes.count;
    const es_network *network = demand->reader->scenario->network;
    for (uint32_t v = 0; v < demand->reader->nodes.count; v++) {
        if (es_network_node(network, (es_node_id){.index = v})->tier == (es_tier)tier)
            ES_TRY(add_class(demand, at, entry, v, err));
    }
    if (demand->classes.count == before)
        return es_doc_fail(es_doc_find(at, "tier"), err, "no node has tier '%s'",
                           es_tier_names[tier]);
    return ES_OK;
}

static es_status add_at(es_demand_reader *demand, const es_doc *at, const es_class *entry,
                        es_error *err)
{
    if (at->type == ES_DOC_MAP)
        return add_tier(demand, at, entry, err);
    if (at->type != ES_DOC_LIST && at->type != ES_DOC_TEXT)
        return es_doc_fail(at, err, "must be a node, a list of nodes, or {tier: ...}");
    const es_doc *const *items = at->type == ES_DOC_LIST ? at->as.list.items : &at;
    size_t count = at->type == ES_DOC_LIST ? at->as.list.count : 1;
    if (count == 0)
        return es_doc_fail(at, err, "the list needs at least one item");
    for (size_t i = 0; i < count; i++) {
        uint32_t node = 0;
        ES_TRY(es_scenario_names_expect(&demand->reader->nodes, items[i], &node, err));
        ES_TRY(add_class(demand, items[i], entry, node, err));
    }
    return ES_OK;
}

static es_status read_entry(es_demand_reader *demand, const es_doc *map, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "task", "at", "rate_rps", "arrivals", "deadline_ms",
                              "quality_min", "quality_min_each"));
    es_class entry = {.arrivals = {.kind = ES_ARRIVAL_POISSON},
                      .devices = {.battery_j = (double)INFINITY}};
    ES_TRY(es_scenario_names_need(&demand->reader->tasks, map, "task", &entry.task.index, err));
    const es_task *task = &demand->reader->scenario->tasks[entry.task.index];
    ES_TRY(es_scenario_field_need_positive(map, "rate_rps", ES_SCENARIO_RATE_RPS_MAX,
                                           &entry.arrivals.rate_rps, err));
    size_t kind = ES_ARRIVAL_POISSON;
    ES_TRY(es_doc_get_word(map, "arrivals", es_arrival_names, ES_ARRIVAL_COUNT, &kind, err));
    entry.arrivals.kind = (es_arrival_kind)kind;
    double deadline_ms = task->deadline_s * 1e3;
    ES_TRY(es_scenario_field_get_positive(map, "deadline_ms", ES_SCENARIO_TIME_S_MAX * 1e3,
                                          &deadline_ms, err));
    entry.deadline_s =
        es_doc_find(map, "deadline_ms") == NULL ? task->deadline_s : deadline_ms / 1e3;
    entry.quality_min = task->quality_min;
    ES_TRY(es_doc_get_number(map, "quality_min", 0, 1, &entry.quality_min, err));
    entry.quality_min_each = task->quality_min_each;
    ES_TRY(es_doc_get_number(map, "quality_min_each", 0, 1, &entry.quality_min_each, err));
    const es_doc *at = NULL;
    ES_TRY(es_doc_need(map, "at", &at, err));
    return add_at(demand, at, &entry, err);
}

static es_status read_demand(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(root, "demand", &list, err));
    es_demand_reader demand = {.reader = reader};
    /* both factors are below 2^30: names.c */
    ES_TRY(es_scenario_field_take(reader->scratch,
                                  (size_t)reader->tasks.count * reader->nodes.count,
                                  sizeof *demand.taken, "demand", &demand.taken, err));
    for (size_t i = 0; i < list->as.list.count; i++)
        ES_TRY(read_entry(&demand, list->as.list.items[i], err));
    es_class *classes = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, demand.classes.count, sizeof *classes, "demand",
                                  &classes, err));
    ES_TRY(es_scenario_field_take(reader->scratch, demand.classes.count, sizeof(const es_doc *),
                                  "demand", &reader->class_places, err));
    for (size_t i = 0; i < demand.classes.count; i++) {
        classes[i] = demand.classes.items[i].item;
        reader->class_places[i] = demand.classes.items[i].place;
    }
    reader->scenario->classes = classes;
    reader->scenario->class_count = (uint32_t)demand.classes.count;
    return ES_OK;
}

/* ---- the rest ---- */

static es_status read_slots(es_scenario *scenario, const es_doc *root, es_error *err)
{
    scenario->slot_s = 10;
    scenario->slot_count = 1;
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(root, "slots", &map, err));
    if (map == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "length_s", "count"));
    ES_TRY(es_scenario_field_get_positive(map, "length_s", ES_SCENARIO_TIME_S_MAX,
                                          &scenario->slot_s, err));
    int64_t count = 1;
    ES_TRY(es_doc_get_int(map, "count", 1, INT64_C(1000000), &count, err));
    scenario->slot_count = (uint32_t)count;
    return ES_OK;
}

static es_status read_objective(es_objective *objective, const es_doc *root, es_error *err)
{
    *objective = (es_objective){.latency_per_s = 1, .quality = 1, .refusal_cost = (double)INFINITY};
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(root, "objective", &map, err));
    if (map == NULL)
        return ES_OK;
    const struct {
        const char *key;
        double *out;
    } weights[] = {
        {"latency_per_s", &objective->latency_per_s}, {"quality", &objective->quality},
        {"energy_per_j", &objective->energy_per_j},   {"carbon_per_g", &objective->carbon_per_g},
        {"idle_per_j", &objective->idle_per_j},       {"refusal_cost", &objective->refusal_cost},
    };
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "latency_per_s", "quality", "energy_per_j", "carbon_per_g",
                              "idle_per_j", "refusal_cost"));
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        ES_TRY(
            es_doc_get_number(map, weights[i].key, 0, ES_SCENARIO_WEIGHT_MAX, weights[i].out, err));
    return ES_OK;
}

/* At least as many as replicas ask for, at most every segment on every node. */
static es_status read_hosts_max(es_scenario *scenario, const es_doc *map, es_error *err)
{
    int64_t hosts = 0;
    ES_TRY(es_doc_get_int(map, "hosts_max", 1, UINT32_MAX, &hosts, err));
    if (hosts > 0 && hosts < scenario->replicas_min)
        return es_doc_fail(es_doc_find(map, "hosts_max"), err,
                           "%lld must be >= %u, which replicas_min asks of one segment",
                           (long long)hosts, (unsigned)scenario->replicas_min);
    scenario->hosts_max = (uint32_t)hosts;
    return ES_OK;
}

static es_status read_constraints(es_scenario *scenario, const es_doc *root, es_error *err)
{
    scenario->replicas_min = 1;
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(root, "constraints", &map, err));
    if (map == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "replicas_min", "unsplittable", "hosts_max",
                              "energy_budget_w", "carbon_budget_g_per_s"));
    int64_t replicas = 1;
    ES_TRY(es_doc_get_int(map, "replicas_min", 1, UINT32_MAX, &replicas, err));
    uint32_t nodes = es_network_node_count(scenario->network);
    if (replicas > nodes)
        return es_doc_fail(es_doc_find(map, "replicas_min"), err,
                           "%lld must be <= %u, the number of nodes", (long long)replicas,
                           (unsigned)nodes);
    scenario->replicas_min = (uint32_t)replicas;
    ES_TRY(es_doc_get_bool(map, "unsplittable", &scenario->unsplittable, err));
    ES_TRY(es_scenario_field_get_positive(map, "energy_budget_w", ES_SCENARIO_POWER_W_MAX,
                                          &scenario->energy_w_max, err));
    ES_TRY(es_scenario_field_get_positive(map, "carbon_budget_g_per_s", ES_SCENARIO_CARBON_MAX,
                                          &scenario->carbon_g_per_s_max, err));
    return read_hosts_max(scenario, map, err);
}

es_status es_scenario_read_wishes(es_reader *reader, const es_doc *root, es_error *err)
{
    es_scenario *scenario = reader->scenario;
    int64_t seed = 1;
    ES_TRY(es_doc_get_int(root, "seed", 0, INT64_MAX, &seed, err));
    scenario->seed = (uint64_t)seed;
    ES_TRY(read_slots(scenario, root, err));
    ES_TRY(read_demand(reader, root, err));
    ES_TRY(read_objective(&scenario->objective, root, err));
    return read_constraints(scenario, root, err);
}
