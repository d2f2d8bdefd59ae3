/* Places: kinds of hardware, nodes and links become a sealed network with all its routes. */
#include "scenario/internal.h"

#include <math.h>

static const char HOST[] = "host";

/* ---- hardware: the keys that kinds and nodes share ---- */

#define HARDWARE_KEYS                                                                              \
    "name", "slowdown", "macs_per_s", "processors", "utilisation_max", "memory_mb",                \
        "memory_bytes", "idle_w", "busy_w"

static es_status read_hardware(const es_doc *map, es_hardware *hardware, es_error *err)
{
    es_hardware *h = hardware;
    ES_TRY(es_doc_get_number(map, "slowdown", 1, ES_SCENARIO_SLOWDOWN_MAX, &h->slowdown, err));
    ES_TRY(es_doc_get_number(map, "macs_per_s", 0, ES_SCENARIO_WORK_MACS_MAX, &h->macs_per_s, err));
    ES_TRY(
        es_doc_get_number(map, "processors", 0, ES_SCENARIO_PROCESSORS_MAX, &h->processors, err));
    ES_TRY(es_doc_get_number(map, "utilisation_max", 0, 1, &h->utilisation_max, err));
    ES_TRY(es_scenario_field_get_memory(map, &h->memory_bytes, err));
    ES_TRY(es_doc_get_number(map, "idle_w", 0, ES_SCENARIO_POWER_W_MAX, &h->idle_w, err));
    ES_TRY(es_doc_get_number(map, "busy_w", 0, ES_SCENARIO_POWER_W_MAX, &h->busy_w, err));
    if (h->busy_w < h->idle_w) { /* false while busy_w is not known */
        const es_doc *place = es_doc_find(map, "busy_w");
        if (place == NULL)
            place = es_doc_find(map, "idle_w");
        return es_doc_fail(place, err, "busy_w %g must be >= idle_w %g", h->busy_w, h->idle_w);
    }
    return ES_OK;
}

/* Dynamic watts of one busy processor. */
static double server_w(const es_hardware *hardware)
{
    double busy_w = isnan(hardware->busy_w) ? hardware->idle_w : hardware->busy_w;
    return (busy_w - hardware->idle_w) / fmax(hardware->processors, 1);
}

static es_row row_of(const es_hardware *hardware, const char *name)
{
    return (es_row){.kind = {.name = name,
                             .macs_per_s = hardware->macs_per_s,
                             .slowdown = hardware->slowdown,
                             .server_w = server_w(hardware)},
                    .base = hardware->base,
                    .runs = hardware->processors > 0};
}

static bool row_same(const es_row *a, const es_row *b)
{
    return a->base == b->base && a->runs == b->runs && !(a->kind.macs_per_s < b->kind.macs_per_s) &&
           !(a->kind.macs_per_s > b->kind.macs_per_s) && !(a->kind.slowdown < b->kind.slowdown) &&
           !(a->kind.slowdown > b->kind.slowdown) && !(a->kind.server_w < b->kind.server_w) &&
           !(a->kind.server_w > b->kind.server_w);
}

/* ---- kinds ---- */

static es_status read_kinds(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(root, "kinds", &list, err));
    size_t count = list == NULL ? 0 : list->as.list.count;
    ES_TRY(es_scenario_names_init(reader->scratch, &reader->kinds, "kind", count, err));
    es_hardware *items = NULL;
    ES_TRY(es_scenario_field_take(reader->scratch, count, sizeof *items, "kinds", &items, err));
    for (size_t i = 0; i < count; i++) {
        const es_doc *map = list->as.list.items[i];
        ES_TRY(ES_DOC_EXPECT_KEYS(map, err, HARDWARE_KEYS));
        const char *name = NULL;
        ES_TRY(es_scenario_names_add(reader->arena, &reader->kinds, map, &name, err));
        if (strcmp(name, HOST) == 0)
            return es_doc_fail(es_doc_find(map, "name"), err,
                               "'host' stands for the machine that estran runs on; "
                               "use a kind with slowdown: 1");
        if (strchr(name, '@') != NULL)
            return es_doc_fail(es_doc_find(map, "name"), err,
                               "the name of a kind holds no '@': estran uses it");
        items[i] = (es_hardware){.base = (uint32_t)i,
                                 .processors = 1,
                                 .utilisation_max = 0.8,
                                 .memory_bytes = (double)NAN,
                                 .busy_w = (double)NAN};
        ES_TRY(read_hardware(map, &items[i], err));
        ES_TRY(
            ES_ARRAY_PUSH(reader->scratch, &reader->rows, row_of(&items[i], name), "kinds", err));
    }
    reader->kind_hardware = items;
    return ES_OK;
}

/* ---- nodes ---- */

/* The row of the service table for this hardware: its kind's, or one of its own, shared by nodes
 * that differ from the kind in the same way. */
static es_status row_for(es_reader *reader, const es_hardware *hardware, const char *node,
                         uint32_t *out_row, es_error *err)
{
    es_row row = row_of(hardware, NULL);
    if (hardware->base != ES_INDEX_NONE && row_same(&row, &reader->rows.items[hardware->base])) {
        *out_row = hardware->base;
        return ES_OK;
    }
    for (size_t i = reader->kinds.count; i < reader->rows.count; i++) {
        if (row_same(&row, &reader->rows.items[i])) {
            *out_row = (uint32_t)i;
            return ES_OK;
        }
    }
    const char *base = hardware->base == ES_INDEX_NONE ? "" : reader->kinds.items[hardware->base];
    row.kind.name = es_arena_format(reader->arena, "%s@%s", base, node);
    if (row.kind.name == NULL)
        return es_arena_full(reader->arena, "kinds", err);
    *out_row = (uint32_t)reader->rows.count;
    return ES_ARRAY_PUSH(reader->scratch, &reader->rows, row, "kinds", err);
}

static es_status read_position(const es_doc *map, es_node *node, es_error *err)
{
    node->latitude_deg = (double)NAN;
    node->longitude_deg = (double)NAN;
    ES_TRY(es_doc_get_number(map, "latitude_deg", -90, 90, &node->latitude_deg, err));
    ES_TRY(es_doc_get_number(map, "longitude_deg", -180, 180, &node->longitude_deg, err));
    if (isnan(node->latitude_deg) != isnan(node->longitude_deg))
        return es_doc_fail(map, err, "give latitude_deg and longitude_deg, or neither");
    node->has_position = !isnan(node->latitude_deg);
    if (!node->has_position)
        node->latitude_deg = node->longitude_deg = 0;
    return ES_OK;
}

static es_status read_node_hardware(es_reader *reader, const es_doc *map, es_hardware *hardware,
                                    es_error *err)
{
    *hardware = (es_hardware){.base = ES_INDEX_NONE,
                              .processors = 1,
                              .utilisation_max = 0.8,
                              .memory_bytes = (double)NAN,
                              .busy_w = (double)NAN};
    const es_doc *kind = es_doc_find(map, "kind");
    if (kind != NULL && kind->type == ES_DOC_TEXT && strcmp(kind->as.text.bytes, HOST) == 0)
        return es_doc_fail(kind, err, "'host' is no kind of a node; use a kind with slowdown: 1");
    if (kind != NULL && kind->type != ES_DOC_NULL) {
        uint32_t base = 0;
        ES_TRY(es_scenario_names_expect(&reader->kinds, kind, &base, err));
        *hardware = reader->kind_hardware[base];
    }
    ES_TRY(read_hardware(map, hardware, err));
    if (isnan(hardware->memory_bytes)) {
        if (hardware->processors > 0)
            return es_doc_fail(map, err,
                               "memory_mb (or memory_bytes) is missing, here and in the kind");
        hardware->memory_bytes = 0;
    }
    if (isnan(hardware->busy_w))
        hardware->busy_w = hardware->idle_w;
    return ES_OK;
}

static es_status read_node(es_reader *reader, es_network *network, const es_doc *map,
                           uint32_t *out_row, es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, HARDWARE_KEYS, "tier", "kind", "carbon_gco2e_per_kwh",
                              "carbon_zone", "latitude_deg", "longitude_deg"));
    es_node node = es_node_default();
    ES_TRY(es_scenario_names_add(reader->arena, &reader->nodes, map, &node.name, err));
    size_t tier = 0;
    ES_TRY(es_doc_need_word(map, "tier", es_tier_names, ES_TIER_COUNT, &tier, err));
    node.tier = (es_tier)tier;
    es_hardware hardware;
    ES_TRY(read_node_hardware(reader, map, &hardware, err));
    node.kind = hardware.base == ES_INDEX_NONE ? "" : reader->kinds.items[hardware.base];
    node.processors = hardware.processors;
    node.utilisation_max = hardware.utilisation_max;
    node.memory_bytes = hardware.memory_bytes;
    node.idle_w = hardware.idle_w;
    node.busy_w = hardware.busy_w;
    node.slowdown = fmax(hardware.slowdown, 1);
    node.carbon_zone = "";
    ES_TRY(es_doc_get_text(map, "carbon_zone", &node.carbon_zone, err));
    ES_TRY(es_doc_get_number(map, "carbon_gco2e_per_kwh", 0, ES_SCENARIO_CARBON_MAX,
                             &node.carbon_gco2e_per_kwh, err));
    ES_TRY(read_position(map, &node, err));
    ES_TRY(row_for(reader, &hardware, node.name, out_row, err));
    es_node_id id;
    return es_scenario_field_at(map, es_network_node_add(network, &node, &id, err), err);
}

static es_status read_nodes(es_reader *reader, es_network *network, const es_doc *root,
                            es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(root, "nodes", &list, err));
    size_t count = list->as.list.count;
    ES_TRY(es_scenario_names_init(reader->scratch, &reader->nodes, "node", count, err));
    uint32_t *rows = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, count, sizeof *rows, "nodes", &rows, err));
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_node(reader, network, list->as.list.items[i], &rows[i], err));
    reader->scenario->node_kinds = rows;

    es_kind *kinds = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, reader->rows.count, sizeof *kinds, "kinds", &kinds,
                                  err));
    for (size_t i = 0; i < reader->rows.count; i++)
        kinds[i] = reader->rows.items[i].kind;
    reader->scenario->kinds = kinds;
    reader->scenario->kind_count = (uint32_t)reader->rows.count;
    return ES_OK;
}

/* ---- links ---- */

static es_status read_ends(const es_reader *reader, const es_doc *map, es_link *link, es_error *err)
{
    const es_doc *between = NULL;
    ES_TRY(es_doc_get_list(map, "between", &between, err));
    link->directed = between == NULL;
    if (between != NULL) {
        if (es_doc_find(map, "from") != NULL || es_doc_find(map, "to") != NULL)
            return es_doc_fail(map, err, "give between, or from and to, not both");
        if (between->as.list.count != 2)
            return es_doc_fail(between, err, "between joins 2 nodes, not %zu",
                               between->as.list.count);
        const es_doc *const *ends = between->as.list.items;
        ES_TRY(es_scenario_names_expect(&reader->nodes, ends[0], &link->from.index, err));
        ES_TRY(es_scenario_names_expect(&reader->nodes, ends[1], &link->to.index, err));
    } else if (es_doc_find(map, "from") == NULL && es_doc_find(map, "to") == NULL) {
        return es_doc_fail(map, err, "between: [node, node] is missing (or from and to)");
    } else {
        ES_TRY(es_scenario_names_need(&reader->nodes, map, "from", &link->from.index, err));
        ES_TRY(es_scenario_names_need(&reader->nodes, map, "to", &link->to.index, err));
    }
    if (link->from.index == link->to.index)
        return es_doc_fail(map, err, "the link joins node '%s' to itself",
                           reader->nodes.items[link->from.index]);
    return ES_OK;
}

static es_status read_link(const es_reader *reader, es_network *network, const es_doc *map,
                           es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "between", "from", "to", "latency_ms", "bandwidth_mbps",
                              "energy_nj_per_bit", "availability"));
    es_link link = es_link_default();
    ES_TRY(read_ends(reader, map, &link, err));
    ES_TRY(es_scenario_field_get_scaled(map, "latency_ms", 1e-3, ES_SCENARIO_TIME_S_MAX * 1e3,
                                        &link.latency_s, err));
    double bandwidth_mbps = link.bandwidth_bps / 1e6;
    ES_TRY(es_scenario_field_get_positive(map, "bandwidth_mbps", 1e9, &bandwidth_mbps, err));
    if (bandwidth_mbps < 1e-6)
        return es_doc_fail(es_doc_find(map, "bandwidth_mbps"), err, "%g must be >= 1e-06 (1 bit/s)",
                           bandwidth_mbps);
    link.bandwidth_bps = bandwidth_mbps * 1e6;
    ES_TRY(es_scenario_field_get_scaled(map, "energy_nj_per_bit", 1e-9, 1e9, &link.energy_j_per_bit,
                                        err));
    ES_TRY(es_doc_get_number(map, "availability", 0, 1, &link.availability, err));
    return es_scenario_field_at(map, es_network_link_add(network, &link, NULL, err), err);
}

static es_status read_links(const es_reader *reader, es_network *network, const es_doc *root,
                            es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(root, "links", &list, err));
    for (size_t i = 0; list != NULL && i < list->as.list.count; i++)
        ES_TRY(read_link(reader, network, list->as.list.items[i], err));
    return ES_OK;
}

es_status es_scenario_read_places(es_reader *reader, const es_doc *root, es_error *err)
{
    es_network *network = NULL;
    ES_TRY(es_network_new(reader->arena, &network, err));
    ES_TRY(read_kinds(reader, root, err));
    ES_TRY(read_nodes(reader, network, root, err));
    ES_TRY(read_links(reader, network, root, err));
    ES_TRY(es_network_seal(network, err));
    reader->scenario->network = network;
    return ES_OK;
}
