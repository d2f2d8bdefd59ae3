/* Wishes: slots and seed, objective and constraints. */
#include "scenario/internal.h"

#include <math.h>

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
    ES_TRY(es_scenario_read_demand(reader, root, err));
    ES_TRY(read_objective(&scenario->objective, root, err));
    return read_constraints(scenario, root, err);
}
