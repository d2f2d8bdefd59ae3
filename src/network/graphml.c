/*
 * GraphML: <graphml> { <key id for attr.name/> } <graph edgedefault> { <node id>, <edge source
 * target>, each with <data key> }. One graph; no graphs inside nodes, no hyperedges.
 */
#include "network/xml.h"

/* What the values of a declared key mean. */
typedef struct key {
    const char *name; /* attr.name, or the id when there is none */
    es_attribute of_node, of_edge;
    bool is_graph_name;
} key;

typedef struct graphml {
    es_topology_maker *maker;
    ES_ARRAY(key) keys;
    es_network_names key_ids;
    es_draft draft;  /* of the open node or edge */
    const key *data; /* of the open <data> */
    bool seen_graph;
} graphml;

/* Whether a key declared for `domain` (NULL: any) concerns `thing`. */
static bool is_for(const char *domain, const char *thing)
{
    return domain == NULL || strcmp(domain, "all") == 0 || strcmp(domain, thing) == 0;
}

static es_status read_key(graphml *g, es_xml *xml, const char *const *attributes, es_error *err)
{
    ES_TRY(es_xml_expect_parent(xml, "key", "graphml", err));
    const char *id = NULL;
    ES_TRY(es_xml_need_attribute(xml, "key", attributes, "id", &id, err));
    if (es_network_names_find(&g->key_ids, id) != UINT32_MAX)
        return es_maker_fail(g->maker, xml->place, err, "key id '%.64s' is declared twice", id);
    key added = {.name = id};
    const char *name = es_xml_attribute(attributes, "attr.name");
    if (name != NULL)
        ES_TRY(es_maker_text(g->maker, name, strlen(name), &added.name, err));
    const char *domain = es_xml_attribute(attributes, "for");
    added.of_node = is_for(domain, "node") ? es_attribute_of_node(added.name) : ES_ATTRIBUTE_NONE;
    added.of_edge = is_for(domain, "edge") ? es_attribute_of_edge(added.name) : ES_ATTRIBUTE_NONE;
    added.is_graph_name =
        is_for(domain, "graph") && es_attribute_of_node(added.name) == ES_ATTRIBUTE_LABEL;
    ES_TRY(es_network_names_add(&g->key_ids, g->maker->scratch, id, (uint32_t)g->keys.count, err));
    return ES_ARRAY_PUSH(g->maker->scratch, &g->keys, added, "keys of a topology", err);
}

static es_status read_direction(graphml *g, es_xml *xml, const char *value, bool *out,
                                es_error *err)
{
    *out = value != NULL && strcmp(value, "directed") == 0;
    if (*out || (value != NULL && strcmp(value, "undirected") == 0))
        return ES_OK;
    return es_maker_fail(g->maker, xml->place, err,
                         "<graph> has edgedefault='%.32s', expected 'directed' or 'undirected'",
                         value != NULL ? value : "");
}

static es_status read_graph(graphml *g, es_xml *xml, const char *const *attributes, es_error *err)
{
    ES_TRY(es_xml_expect_parent(xml, "graph", "graphml", err));
    if (g->seen_graph)
        return es_maker_fail(g->maker, xml->place, err, "a second <graph>; expected one in a file");
    g->seen_graph = true;
    return read_direction(g, xml, es_xml_attribute(attributes, "edgedefault"), &g->maker->directed,
                          err);
}

static es_status open_node(graphml *g, es_xml *xml, const char *const *attributes, es_error *err)
{
    ES_TRY(es_xml_expect_parent(xml, "node", "graph", err));
    g->draft = (es_draft){.place = xml->place};
    return es_xml_need_attribute(xml, "node", attributes, "id", &g->draft.id, err);
}

static es_status open_edge(graphml *g, es_xml *xml, const char *const *attributes, es_error *err)
{
    ES_TRY(es_xml_expect_parent(xml, "edge", "graph", err));
    g->draft = (es_draft){.place = xml->place};
    const char *directed = es_xml_attribute(attributes, "directed");
    if (directed != NULL && strcmp(directed, g->maker->directed ? "true" : "false") != 0)
        return es_maker_fail(
            g->maker, xml->place, err,
            "edge has directed='%.16s' in %s graph; mixed graphs are not supported", directed,
            g->maker->directed ? "a directed" : "an undirected");
    ES_TRY(es_xml_need_attribute(xml, "edge", attributes, "source", &g->draft.source, err));
    return es_xml_need_attribute(xml, "edge", attributes, "target", &g->draft.target, err);
}

static es_status open_data(graphml *g, es_xml *xml, const char *const *attributes, es_error *err)
{
    const char *id = es_xml_attribute(attributes, "key");
    uint32_t found = es_network_names_find(&g->key_ids, id);
    if (found == UINT32_MAX)
        return es_maker_fail(g->maker, xml->place, err,
                             "<data> has key='%.64s', which no <key> declares",
                             id != NULL ? id : "");
    g->data = &g->keys.items[found];
    const char *parent = es_xml_parent(xml);
    xml->wants_text = (strcmp(parent, "node") == 0 && g->data->of_node != ES_ATTRIBUTE_NONE) ||
                      (strcmp(parent, "edge") == 0 && g->data->of_edge != ES_ATTRIBUTE_NONE) ||
                      (strcmp(parent, "graph") == 0 && g->data->is_graph_name);
    return ES_OK;
}

static es_status start(void *context, es_xml *xml, const char *name, const char *const *attributes,
                       es_error *err)
{
    graphml *g = context;
    if (xml->depth == 1 && strcmp(name, "graphml") != 0)
        return es_maker_fail(g->maker, xml->place, err, "root is <%.32s>, expected <graphml>",
                             name);
    if (strcmp(name, "key") == 0)
        return read_key(g, xml, attributes, err);
    if (strcmp(name, "graph") == 0)
        return read_graph(g, xml, attributes, err);
    if (strcmp(name, "node") == 0)
        return open_node(g, xml, attributes, err);
    if (strcmp(name, "edge") == 0)
        return open_edge(g, xml, attributes, err);
    if (strcmp(name, "data") == 0)
        return open_data(g, xml, attributes, err);
    if (strcmp(name, "hyperedge") == 0)
        return es_maker_fail(g->maker, xml->place, err, "<hyperedge> is not supported");
    const key *last = g->keys.count > 0 ? &g->keys.items[g->keys.count - 1] : NULL;
    if (strcmp(name, "default") == 0 && last != NULL && strcmp(es_xml_parent(xml), "key") == 0 &&
        (last->of_node != ES_ATTRIBUTE_NONE || last->of_edge != ES_ATTRIBUTE_NONE))
        return es_maker_fail(g->maker, xml->place, err,
                             "<default> of key '%.64s' is not supported, give it at each element",
                             last->name);
    return ES_OK;
}

static es_status close_data(graphml *g, es_xml *xml, const char *text, es_error *err)
{
    const char *parent = es_xml_parent(xml);
    if (strcmp(parent, "graph") == 0) {
        if (!g->data->is_graph_name || g->maker->name[0] != '\0')
            return ES_OK;
        return es_maker_text(g->maker, text, strlen(text), &g->maker->name, err);
    }
    es_attribute attribute = ES_ATTRIBUTE_NONE;
    if (strcmp(parent, "node") == 0)
        attribute = g->data->of_node;
    else if (strcmp(parent, "edge") == 0)
        attribute = g->data->of_edge;
    return es_draft_set(g->maker, &g->draft, attribute, g->data->name, text, xml->place, err);
}

static es_status end(void *context, es_xml *xml, const char *name, const char *text, es_error *err)
{
    graphml *g = context;
    if (strcmp(name, "data") == 0)
        return close_data(g, xml, text, err);
    if (strcmp(name, "node") == 0)
        return es_maker_node(g->maker, &g->draft, err);
    if (strcmp(name, "edge") == 0)
        return es_maker_edge(g->maker, &g->draft, err);
    return ES_OK;
}

es_status es_topology_read_graphml(es_topology_maker *maker, const char *bytes, size_t size,
                                   es_error *err)
{
    graphml g = {.maker = maker};
    return es_xml_walk(maker, bytes, size, start, end, &g, err);
}
