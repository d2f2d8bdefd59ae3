/*
 * Node-link JSON, as networkx and topohub write it:
 *   { directed, graph: { name, demands: { from: { to: value } } },
 *     nodes: [ { id, name, pos: [lon, lat] } ], edges | links: [ { source, target, dist } ] }
 * Ids are texts or integers; 5 and "5" are the same node.
 */
#include "network/internal.h"

static es_place place_of(const es_doc *value)
{
    return (es_place){.line = value->line, .column = value->column};
}

static es_status read_id(es_topology_maker *maker, const es_doc *map, const char *key,
                         const char **out, es_error *err)
{
    const es_doc *value = NULL;
    ES_TRY(es_doc_need(map, key, &value, err));
    if (value->type == ES_DOC_TEXT)
        return es_maker_text(maker, value->as.text.bytes, value->as.text.size, out, err);
    if (value->type != ES_DOC_INT)
        return es_doc_fail(value, err, "must be a text or an integer");
    char text[32];
    int size = snprintf(text, sizeof text, "%lld", (long long)value->as.integer);
    return es_maker_text(maker, text, (size_t)size, out, err);
}

/* Takes a member whose name means something, whatever type it has. */
static es_status read_member(es_topology_maker *maker, es_draft *draft, es_attribute attribute,
                             const es_doc_member *member, es_error *err)
{
    const es_doc *value = member->value;
    if (attribute == ES_ATTRIBUTE_NONE || value->type == ES_DOC_NULL)
        return ES_OK;
    if (value->type == ES_DOC_TEXT)
        return es_draft_set(maker, draft, attribute, member->key, value->as.text.bytes,
                            place_of(value), err);
    if (attribute == ES_ATTRIBUTE_LABEL)
        return ES_OK; /* a number is no name for people; the id stands in */
    if (value->type == ES_DOC_INT)
        return es_draft_set_number(maker, draft, attribute, member->key, (double)value->as.integer,
                                   place_of(value), err);
    if (value->type == ES_DOC_NUMBER)
        return es_draft_set_number(maker, draft, attribute, member->key, value->as.number,
                                   place_of(value), err);
    return es_doc_fail(value, err, "must be a number");
}

static es_status read_position(es_topology_maker *maker, es_draft *draft, const es_doc *pos,
                               es_error *err)
{
    ES_TRY(es_doc_expect_list(pos, err));
    if (pos->as.list.count != 2)
        return es_doc_fail(pos, err, "has %zu values, expected [longitude, latitude]",
                           pos->as.list.count);
    if (draft->has_latitude || draft->has_longitude)
        return es_doc_fail(pos, err, "the position is given twice");
    double x = 0.0, y = 0.0;
    ES_TRY(es_doc_expect_number(pos->as.list.items[0], -1e300, 1e300, &x, err));
    ES_TRY(es_doc_expect_number(pos->as.list.items[1], -1e300, 1e300, &y, err));
    es_draft_set_plane(maker, draft, x, y);
    return ES_OK;
}

static es_status read_node(es_topology_maker *maker, const es_doc *value, es_error *err)
{
    ES_TRY(es_doc_expect_map(value, err));
    es_draft draft = {.place = place_of(value)};
    ES_TRY(read_id(maker, value, "id", &draft.id, err));
    for (size_t i = 0; i < value->as.map.count; i++) {
        const es_doc_member *member = &value->as.map.members[i];
        es_attribute attribute = es_attribute_of_node(member->key);
        ES_TRY(read_member(maker, &draft, attribute, member, err));
    }
    const es_doc *pos = es_doc_find(value, "pos");
    if (pos != NULL && pos->type != ES_DOC_NULL)
        ES_TRY(read_position(maker, &draft, pos, err));
    return es_maker_node(maker, &draft, err);
}

static es_status read_edge(es_topology_maker *maker, const es_doc *value, es_error *err)
{
    ES_TRY(es_doc_expect_map(value, err));
    es_draft draft = {.place = place_of(value)};
    ES_TRY(read_id(maker, value, "source", &draft.source, err));
    ES_TRY(read_id(maker, value, "target", &draft.target, err));
    for (size_t i = 0; i < value->as.map.count; i++) {
        const es_doc_member *member = &value->as.map.members[i];
        es_attribute attribute = es_attribute_of_edge(member->key);
        ES_TRY(read_member(maker, &draft, attribute, member, err));
    }
    return es_maker_edge(maker, &draft, err);
}

static es_status read_demands(es_topology_maker *maker, const es_doc *demands, es_error *err)
{
    ES_TRY(es_doc_expect_map(demands, err));
    for (size_t i = 0; i < demands->as.map.count; i++) {
        const es_doc_member *source = &demands->as.map.members[i];
        ES_TRY(es_doc_expect_map(source->value, err));
        for (size_t j = 0; j < source->value->as.map.count; j++) {
            const es_doc_member *target = &source->value->as.map.members[j];
            double value = 0.0;
            ES_TRY(es_doc_expect_number(target->value, 0.0, 1e300, &value, err));
            ES_TRY(es_maker_demand(maker, place_of(target->value), source->key, target->key, value,
                                   0.0, err));
        }
    }
    return ES_OK;
}

static es_status read_graph(es_topology_maker *maker, const es_doc *root, es_error *err)
{
    ES_TRY(es_doc_get_bool(root, "directed", &maker->directed, err));
    const es_doc *graph = NULL;
    ES_TRY(es_doc_get_map(root, "graph", &graph, err));
    if (graph == NULL)
        return ES_OK;
    const es_doc *name = es_doc_find(graph, "name");
    if (name != NULL && name->type == ES_DOC_TEXT)
        ES_TRY(es_maker_text(maker, name->as.text.bytes, name->as.text.size, &maker->name, err));
    const es_doc *demands = es_doc_find(graph, "demands");
    return demands != NULL && demands->type != ES_DOC_NULL ? read_demands(maker, demands, err)
                                                           : ES_OK;
}

es_status es_topology_read_json(es_topology_maker *maker, const char *bytes, size_t size,
                                es_error *err)
{
    const es_doc *root = NULL;
    ES_TRY(es_doc_parse_json(maker->scratch, maker->file, bytes, size, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(read_graph(maker, root, err));
    const es_doc *nodes = NULL;
    ES_TRY(es_doc_need_list(root, "nodes", &nodes, err));
    for (size_t i = 0; i < nodes->as.list.count; i++)
        ES_TRY(read_node(maker, nodes->as.list.items[i], err));
    const es_doc *edges = es_doc_find(root, "edges");
    const es_doc *links = es_doc_find(root, "links");
    if (edges != NULL && links != NULL)
        return es_doc_fail(links, err, "both 'edges' and 'links' are given, expected one of them");
    ES_TRY(es_doc_need_list(root, links != NULL ? "links" : "edges", &edges, err));
    for (size_t i = 0; i < edges->as.list.count; i++)
        ES_TRY(read_edge(maker, edges->as.list.items[i], err));
    return ES_OK;
}
