/*
 * SNDlib XML: <network> with <meta>, <networkStructure> of <nodes> and <links>, and <demands>.
 */
#include "network/xml.h"

typedef struct sndlib {
    es_topology_maker *maker;
    es_draft draft; /* of the open node, link or demand */
    bool has_x, has_y;
    double x, y;
    bool is_geographical; /* coordinates are longitude, latitude for sure */
    double installed, module_smallest;
    double demand, routing_unit;
    bool has_demand;
    double unit_bps;
} sndlib;

static es_status open_thing(sndlib *s, es_xml *xml, const char *name, const char *list,
                            const char *const *attributes, es_error *err)
{
    ES_TRY(es_xml_expect_parent(xml, name, list, err));
    s->draft = (es_draft){.place = xml->place};
    s->has_x = s->has_y = s->has_demand = false;
    s->installed = s->module_smallest = 0.0;
    s->routing_unit = 1.0;
    const char *id = NULL;
    ES_TRY(es_xml_need_attribute(xml, name, attributes, "id", &id, err));
    if (strcmp(name, "node") == 0)
        s->draft.id = id;
    return ES_OK;
}

static es_status start(void *context, es_xml *xml, const char *name, const char *const *attributes,
                       es_error *err)
{
    sndlib *s = context;
    if (xml->depth == 1 && strcmp(name, "network") != 0)
        return es_maker_fail(s->maker, xml->place, err, "root is <%.32s>, expected <network>",
                             name);
    if (strcmp(name, "node") == 0)
        return open_thing(s, xml, name, "nodes", attributes, err);
    if (strcmp(name, "link") == 0)
        return open_thing(s, xml, name, "links", attributes, err);
    if (strcmp(name, "demand") == 0)
        return open_thing(s, xml, name, "demands", attributes, err);
    if (strcmp(name, "nodes") == 0) {
        const char *type = es_xml_attribute(attributes, "coordinatesType");
        s->is_geographical = type != NULL && strcmp(type, "geographical") == 0;
        if (type != NULL && strcmp(type, "pixel") == 0)
            s->maker->is_plane = true;
    }
    xml->wants_text = true; /* everything else is small values */
    return ES_OK;
}

static es_status close_node(sndlib *s, es_xml *xml, es_error *err)
{
    if (s->has_x != s->has_y)
        return es_maker_fail(s->maker, xml->place, err, "node '%.64s' has <%c> but no <%c>",
                             s->draft.id, s->has_x ? 'x' : 'y', s->has_x ? 'y' : 'x');
    if (s->has_x && s->is_geographical) {
        ES_TRY(es_draft_set_number(s->maker, &s->draft, ES_ATTRIBUTE_LONGITUDE, "x", s->x,
                                   xml->place, err));
        ES_TRY(es_draft_set_number(s->maker, &s->draft, ES_ATTRIBUTE_LATITUDE, "y", s->y,
                                   xml->place, err));
    } else if (s->has_x) {
        es_draft_set_plane(s->maker, &s->draft, s->x, s->y);
    }
    return es_maker_node(s->maker, &s->draft, err);
}

static es_status close_link(sndlib *s, es_xml *xml, es_error *err)
{
    ES_TRY(es_draft_set_number(s->maker, &s->draft, ES_ATTRIBUTE_BANDWIDTH, "capacity",
                               es_sndlib_capacity(s->installed, s->module_smallest), xml->place,
                               err));
    return es_maker_edge(s->maker, &s->draft, err);
}

static es_status close_demand(sndlib *s, es_xml *xml, es_error *err)
{
    if (s->draft.source == NULL || s->draft.target == NULL || !s->has_demand)
        return es_maker_fail(s->maker, xml->place, err, "<demand> has no <%s>",
                             s->draft.source == NULL   ? "source"
                             : s->draft.target == NULL ? "target"
                                                       : "demandValue");
    return es_maker_demand(s->maker, s->draft.place, s->draft.source, s->draft.target, s->demand,
                           s->demand * s->routing_unit, err);
}

static es_status read_end(sndlib *s, es_xml *xml, const char *name, const char *text,
                          const char **out, es_error *err)
{
    if (*out != NULL)
        return es_maker_fail(s->maker, xml->place, err, "<%s> is given twice", name);
    return es_maker_text(s->maker, text, strlen(text), out, err);
}

static es_status read_capacity(sndlib *s, es_xml *xml, const char *text, es_error *err)
{
    double capacity = 0.0;
    ES_TRY(es_maker_number(s->maker, text, "capacity", xml->place, &capacity, err));
    if (capacity < 0.0)
        return es_maker_fail(s->maker, xml->place, err, "capacity=%g must be >= 0", capacity);
    if (strcmp(es_xml_parent(xml), "preInstalledModule") == 0)
        s->installed += capacity;
    else if (capacity > 0.0 && (s->module_smallest <= 0.0 || capacity < s->module_smallest))
        s->module_smallest = capacity;
    return ES_OK;
}

/* The values inside a node, link or demand. */
static es_status read_value(sndlib *s, es_xml *xml, const char *name, const char *text,
                            es_error *err)
{
    bool in_link = strcmp(es_xml_parent(xml), "link") == 0;
    bool in_demand = strcmp(es_xml_parent(xml), "demand") == 0;
    if ((in_link || in_demand) && strcmp(name, "source") == 0)
        return read_end(s, xml, name, text, &s->draft.source, err);
    if ((in_link || in_demand) && strcmp(name, "target") == 0)
        return read_end(s, xml, name, text, &s->draft.target, err);
    if (in_demand && strcmp(name, "demandValue") == 0) {
        s->has_demand = true;
        return es_maker_number(s->maker, text, name, xml->place, &s->demand, err);
    }
    if (in_demand && strcmp(name, "routingUnit") == 0) {
        ES_TRY(es_maker_number(s->maker, text, name, xml->place, &s->routing_unit, err));
        if (s->routing_unit < 0.0)
            return es_maker_fail(s->maker, xml->place, err, "routingUnit=%g must be >= 0",
                                 s->routing_unit);
    }
    return ES_OK;
}

static es_status end(void *context, es_xml *xml, const char *name, const char *text, es_error *err)
{
    sndlib *s = context;
    const char *parent = es_xml_parent(xml);
    if (strcmp(name, "node") == 0)
        return close_node(s, xml, err);
    if (strcmp(name, "link") == 0)
        return close_link(s, xml, err);
    if (strcmp(name, "demand") == 0)
        return close_demand(s, xml, err);
    if (strcmp(name, "x") == 0 && strcmp(parent, "coordinates") == 0) {
        s->has_x = true;
        return es_maker_number(s->maker, text, "x", xml->place, &s->x, err);
    }
    if (strcmp(name, "y") == 0 && strcmp(parent, "coordinates") == 0) {
        s->has_y = true;
        return es_maker_number(s->maker, text, "y", xml->place, &s->y, err);
    }
    if (strcmp(name, "capacity") == 0)
        return read_capacity(s, xml, text, err);
    if (strcmp(name, "unit") == 0 && strcmp(parent, "meta") == 0)
        s->unit_bps = es_sndlib_unit_bps(text);
    return read_value(s, xml, name, text, err);
}

es_status es_topology_read_sndlib_xml(es_topology_maker *maker, const char *bytes, size_t size,
                                      es_error *err)
{
    sndlib s = {.maker = maker};
    ES_TRY(es_xml_walk(maker, bytes, size, start, end, &s, err));
    return es_maker_scale(maker, s.unit_bps, err);
}
