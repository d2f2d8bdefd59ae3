/* The section `events`: what event mode knows of nodes and links beyond the plan. */
#include "scenario/internal.h"

#include <math.h>

#define MEAN_S_MAX (ES_SCENARIO_TIME_S_MAX * 100)

es_node_events es_node_events_default(void)
{
    return (es_node_events){.queue_max = UINT32_MAX,
                            .batch_max = 1,
                            .battery_j = (double)INFINITY,
                            .sleep_after_s = (double)INFINITY};
}

/* Mean time to failure and to repair: both or neither. */
static es_status read_failures(const es_doc *map, double *up_s, double *repair_s, es_error *err)
{
    ES_TRY(es_scenario_field_get_positive(map, "failure_mean_s", MEAN_S_MAX, up_s, err));
    ES_TRY(es_scenario_field_get_positive(map, "repair_mean_s", MEAN_S_MAX, repair_s, err));
    if ((*up_s > 0) != (*repair_s > 0))
        return es_doc_fail(map, err, "give failure_mean_s and repair_mean_s, or neither");
    return ES_OK;
}

static es_status read_batches(const es_doc *map, es_node_events *node, es_error *err)
{
    const es_doc *batch = NULL;
    int64_t most = 1;
    node->batch_growth = 1;
    ES_TRY(es_doc_get_map(map, "batch", &batch, err));
    if (batch == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(batch, err, "max", "wait_ms", "growth"));
    ES_TRY(es_doc_need_int(batch, "max", 1, 1000, &most, err));
    ES_TRY(es_scenario_field_get_scaled(batch, "wait_ms", 1e-3, 1e10, &node->batch_wait_s, err));
    ES_TRY(es_doc_get_number(batch, "growth", 0, 1, &node->batch_growth, err));
    node->batch_max = (uint32_t)most;
    return ES_OK;
}

static es_status read_sleep(const es_doc *map, es_node_events *node, es_error *err)
{
    const es_doc *sleep = NULL;
    ES_TRY(es_doc_get_map(map, "sleep", &sleep, err));
    if (sleep == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(sleep, err, "after_s", "power_w", "wake_ms"));
    ES_TRY(es_doc_need_number(sleep, "after_s", 0, MEAN_S_MAX, &node->sleep_after_s, err));
    ES_TRY(es_doc_get_number(sleep, "power_w", 0, ES_SCENARIO_POWER_W_MAX, &node->sleep_w, err));
    return es_scenario_field_get_scaled(sleep, "wake_ms", 1e-3, 1e10, &node->wake_s, err);
}

static es_status read_carbon(es_reader *reader, const es_doc *map, es_node_events *node,
                             es_error *err)
{
    const es_doc *carbon = NULL;
    const char *path = NULL;
    const char *column = NULL;
    double from_s = 0;
    ES_TRY(es_doc_get_map(map, "carbon", &carbon, err));
    if (carbon == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(carbon, err, "file", "column", "from_s"));
    ES_TRY(es_scenario_field_need_path(reader, carbon, &path, err));
    ES_TRY(es_doc_get_text(carbon, "column", &column, err));
    ES_TRY(es_doc_get_number(carbon, "from_s", 0, MEAN_S_MAX, &from_s, err));
    es_status status = es_series_load(reader->arena, path, column, from_s, &node->carbon, err);
    return es_scenario_field_at(es_doc_find(carbon, "file"), status, err);
}

static es_status read_node(es_reader *reader, const es_doc *map, es_node_events *node,
                           es_error *err)
{
    static const char *const services[] = {"constant", "exponential"};
    size_t service = 0;
    int64_t most = UINT32_MAX;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "at", "service", "queue_max", "drop_late", "batch",
                              "failure_mean_s", "repair_mean_s", "battery_j", "sleep", "carbon"));
    ES_TRY(es_doc_get_word(map, "service", services, 2, &service, err));
    node->exponential = service == 1;
    ES_TRY(es_doc_get_int(map, "queue_max", 0, UINT32_MAX, &most, err));
    node->queue_max = (uint32_t)most;
    ES_TRY(es_doc_get_bool(map, "drop_late", &node->drop_late, err));
    ES_TRY(read_batches(map, node, err));
    ES_TRY(read_failures(map, &node->up_s, &node->repair_s, err));
    ES_TRY(es_scenario_field_get_positive(map, "battery_j", ES_SCENARIO_ENERGY_J_MAX,
                                          &node->battery_j, err));
    ES_TRY(read_sleep(map, node, err));
    return read_carbon(reader, map, node, err);
}

static es_status put(const es_doc *place, es_node_events *nodes, bool *taken, uint32_t v,
                     const es_node_events *node, const es_reader *reader, es_error *err)
{
    if (taken[v])
        return es_doc_fail(place, err, "node '%s' came before", reader->nodes.items[v]);
    taken[v] = true;
    nodes[v] = *node;
    return ES_OK;
}

/* A node, a list of nodes, or {tier: ...}, as in demand. */
static es_status put_at(const es_reader *reader, const es_doc *map, es_node_events *nodes,
                        bool *taken, const es_node_events *node, es_error *err)
{
    const es_doc *at = NULL;
    ES_TRY(es_doc_need(map, "at", &at, err));
    if (at->type == ES_DOC_MAP) {
        size_t tier = 0;
        ES_TRY(ES_DOC_EXPECT_KEYS(at, err, "tier"));
        ES_TRY(es_doc_need_word(at, "tier", es_tier_names, ES_TIER_COUNT, &tier, err));
        for (uint32_t v = 0; v < reader->nodes.count; v++) {
            if (es_network_node(reader->scenario->network, (es_node_id){v})->tier == (es_tier)tier)
                ES_TRY(put(at, nodes, taken, v, node, reader, err));
        }
        return ES_OK;
    }
    if (at->type != ES_DOC_LIST && at->type != ES_DOC_TEXT)
        return es_doc_fail(at, err, "must be a node, a list of nodes, or {tier: ...}");
    const es_doc *const *items = at->type == ES_DOC_LIST ? at->as.list.items : &at;
    size_t count = at->type == ES_DOC_LIST ? at->as.list.count : 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t v = 0;
        ES_TRY(es_scenario_names_expect(&reader->nodes, items[i], &v, err));
        ES_TRY(put(items[i], nodes, taken, v, node, reader, err));
    }
    return ES_OK;
}

static es_status read_nodes(es_reader *reader, const es_doc *list, es_error *err)
{
    es_node_events *nodes = NULL;
    bool *taken = NULL;
    uint32_t count = reader->nodes.count;
    ES_TRY(es_scenario_field_take(reader->arena, count, sizeof *nodes, "events", &nodes, err));
    ES_TRY(es_scenario_field_take(reader->scratch, count, sizeof *taken, "events", &taken, err));
    for (uint32_t v = 0; v < count; v++)
        nodes[v] = es_node_events_default();
    for (size_t i = 0; i < list->as.list.count; i++) {
        const es_doc *map = list->as.list.items[i];
        es_node_events node = es_node_events_default();
        ES_TRY(read_node(reader, map, &node, err));
        ES_TRY(put_at(reader, map, nodes, taken, &node, err));
    }
    reader->scenario->node_events = nodes;
    return ES_OK;
}

/* Every link that joins the two, in either order. */
static es_status read_link(const es_reader *reader, const es_doc *map, es_link_events *links,
                           es_error *err)
{
    const es_doc *between = NULL;
    uint32_t ends[2] = {0};
    es_link_events events = {0};
    bool found = false;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "between", "failure_mean_s", "repair_mean_s"));
    ES_TRY(es_doc_need_list(map, "between", &between, err));
    if (between->as.list.count != 2)
        return es_doc_fail(between, err, "between joins 2 nodes, not %zu", between->as.list.count);
    for (size_t i = 0; i < 2; i++)
        ES_TRY(es_scenario_names_expect(&reader->nodes, between->as.list.items[i], &ends[i], err));
    ES_TRY(read_failures(map, &events.up_s, &events.repair_s, err));
    for (uint32_t l = 0; l < es_network_link_count(reader->scenario->network); l++) {
        const es_link *link = es_network_link(reader->scenario->network, (es_link_id){l});
        if ((link->from.index == ends[0] && link->to.index == ends[1]) ||
            (link->from.index == ends[1] && link->to.index == ends[0])) {
            links[l] = events;
            found = true;
        }
    }
    return found ? ES_OK
                 : es_doc_fail(between, err, "no link joins '%s' and '%s'",
                               reader->nodes.items[ends[0]], reader->nodes.items[ends[1]]);
}

es_status es_scenario_read_events(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *map = NULL;
    const es_doc *nodes = NULL;
    const es_doc *links = NULL;
    ES_TRY(es_doc_get_map(root, "events", &map, err));
    if (map == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "nodes", "links"));
    ES_TRY(es_doc_get_list(map, "nodes", &nodes, err));
    ES_TRY(es_doc_get_list(map, "links", &links, err));
    if (nodes != NULL)
        ES_TRY(read_nodes(reader, nodes, err));
    if (links == NULL)
        return ES_OK;
    es_link_events *events = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, es_network_link_count(reader->scenario->network),
                                  sizeof *events, "events", &events, err));
    for (size_t i = 0; i < links->as.list.count; i++)
        ES_TRY(read_link(reader, links->as.list.items[i], events, err));
    reader->scenario->link_events = events;
    return ES_OK;
}
