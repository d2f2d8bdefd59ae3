#include "network/internal.h"

#include <math.h>

/* Bits per second above which a figure cannot be right; the limit of a link. */
static const double BANDWIDTH_MAX_BPS = ES_LINK_BANDWIDTH_MAX_BPS;

/* Longer than any cable; keeps latency within the limit of a link. */
static const double LENGTH_MAX_KM = 1e9;

es_status es_maker_fail(const es_topology_maker *maker, es_place place, es_error *err,
                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    es_status status = es_fail_v(err, ES_ERR_PARSE, format, args);
    va_end(args);
    if (place.column > 0)
        return es_within(err, status, "%s:%zu:%zu", maker->file, place.line, place.column);
    return es_within(err, status, "%s:%zu", maker->file, place.line);
}

es_status es_maker_text(es_topology_maker *maker, const char *text, size_t size, const char **out,
                        es_error *err)
{
    const char *copy = es_arena_text_n(maker->arena, text, size);
    if (copy == NULL)
        return es_arena_full(maker->arena, "texts of a topology", err);
    *out = copy;
    return ES_OK;
}

es_status es_maker_number(const es_topology_maker *maker, const char *text, const char *what,
                          es_place place, double *out, es_error *err)
{
    if (es_text_to_double(text, out))
        return ES_OK;
    return es_maker_fail(maker, place, err, "%s='%.64s' must be a finite number", what, text);
}

static bool is_one_of(const char *name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, words[i]) == 0)
            return true;
    return false;
}

#define IS_ONE_OF(name, ...)                                                                       \
    is_one_of((name), (const char *const[]){__VA_ARGS__},                                          \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

es_attribute es_attribute_of_node(const char *name)
{
    if (IS_ONE_OF(name, "label", "name"))
        return ES_ATTRIBUTE_LABEL;
    if (IS_ONE_OF(name, "Latitude", "latitude", "lat"))
        return ES_ATTRIBUTE_LATITUDE;
    if (IS_ONE_OF(name, "Longitude", "longitude", "lon"))
        return ES_ATTRIBUTE_LONGITUDE;
    return ES_ATTRIBUTE_NONE;
}

es_attribute es_attribute_of_edge(const char *name)
{
    if (IS_ONE_OF(name, "LinkSpeedRaw", "bandwidth_bps"))
        return ES_ATTRIBUTE_BANDWIDTH;
    if (IS_ONE_OF(name, "dist", "length_km"))
        return ES_ATTRIBUTE_LENGTH;
    return ES_ATTRIBUTE_NONE;
}

/* The first value counts as new; a second one of the same meaning is refused. */
static es_status set_once(es_topology_maker *maker, bool *has, double *field, const char *name,
                          double number, double min, double max, es_place place, es_error *err)
{
    if (*has)
        return es_maker_fail(maker, place, err, "%s is given twice", name);
    if (!(number >= min && number <= max))
        return es_maker_fail(maker, place, err, "%s=%g must be in %g..%g", name, number, min, max);
    *has = true;
    *field = number;
    return ES_OK;
}

es_status es_draft_set_number(es_topology_maker *maker, es_draft *draft, es_attribute attribute,
                              const char *name, double number, es_place place, es_error *err)
{
    switch (attribute) {
    case ES_ATTRIBUTE_LATITUDE:
        return set_once(maker, &draft->has_latitude, &draft->latitude_deg, name, number, -90.0,
                        90.0, place, err);
    case ES_ATTRIBUTE_LONGITUDE:
        return set_once(maker, &draft->has_longitude, &draft->longitude_deg, name, number, -180.0,
                        180.0, place, err);
    case ES_ATTRIBUTE_BANDWIDTH:
        return set_once(maker, &draft->has_bandwidth, &draft->bandwidth_bps, name, number, 0.0,
                        BANDWIDTH_MAX_BPS, place, err);
    case ES_ATTRIBUTE_LENGTH:
        return set_once(maker, &draft->has_length, &draft->length_km, name, number, 0.0,
                        LENGTH_MAX_KM, place, err);
    case ES_ATTRIBUTE_NONE:
    case ES_ATTRIBUTE_LABEL:
        break;
    }
    return ES_OK;
}

es_status es_draft_set(es_topology_maker *maker, es_draft *draft, es_attribute attribute,
                       const char *name, const char *text, es_place place, es_error *err)
{
    if (attribute == ES_ATTRIBUTE_NONE)
        return ES_OK;
    if (attribute == ES_ATTRIBUTE_LABEL) {
        if (draft->label != NULL || text[0] == '\0')
            return ES_OK; /* GML lists and "name" beside "label" repeat it; the first counts */
        return es_maker_text(maker, text, strlen(text), &draft->label, err);
    }
    double number = 0.0;
    ES_TRY(es_maker_number(maker, text, name, place, &number, err));
    return es_draft_set_number(maker, draft, attribute, name, number, place, err);
}

void es_draft_set_plane(es_topology_maker *maker, es_draft *draft, double x, double y)
{
    draft->has_latitude = draft->has_longitude = true;
    draft->longitude_deg = x;
    draft->latitude_deg = y;
    if (fabs(x) > 180.0 || fabs(y) > 90.0)
        maker->is_plane = true;
}

es_status es_maker_node(es_topology_maker *maker, const es_draft *draft, es_error *err)
{
    if (draft->id == NULL || draft->id[0] == '\0')
        return es_maker_fail(maker, draft->place, err, "node has no id");
    if (strlen(draft->id) > ES_TOPOLOGY_ID_MAX)
        return es_maker_fail(maker, draft->place, err,
                             "id of node '%.32s...' has %zu bytes, at "
                             "most %d",
                             draft->id, strlen(draft->id), ES_TOPOLOGY_ID_MAX);
    if (es_network_names_find(&maker->ids, draft->id) != UINT32_MAX)
        return es_maker_fail(maker, draft->place, err, "node id '%s' is given twice", draft->id);
    if (draft->has_latitude != draft->has_longitude)
        return es_maker_fail(maker, draft->place, err, "node '%s' has a %s but no %s", draft->id,
                             draft->has_latitude ? "latitude" : "longitude",
                             draft->has_latitude ? "longitude" : "latitude");
    if (maker->nodes.count >= ES_NETWORK_NODE_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: more than %u nodes", maker->file,
                       ES_NETWORK_NODE_MAX);
    es_topology_node node = {.id = draft->id,
                             .label = draft->label != NULL ? draft->label : draft->id,
                             .has_position = draft->has_latitude,
                             .latitude_deg = draft->latitude_deg,
                             .longitude_deg = draft->longitude_deg};
    uint32_t index = (uint32_t)maker->nodes.count;
    ES_TRY(es_network_names_add(&maker->ids, maker->scratch, draft->id, index, err));
    return ES_ARRAY_PUSH(maker->arena, &maker->nodes, node, "nodes of a topology", err);
}

es_status es_maker_edge(es_topology_maker *maker, const es_draft *draft, es_error *err)
{
    if (draft->source == NULL || draft->target == NULL)
        return es_maker_fail(maker, draft->place, err, "edge has no %s",
                             draft->source == NULL ? "source" : "target");
    if (maker->edges.count >= ES_NETWORK_LINK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: more than %u edges", maker->file,
                       ES_NETWORK_LINK_MAX);
    es_pending edge = {.place = draft->place,
                       .from = draft->source,
                       .to = draft->target,
                       .first = draft->bandwidth_bps,
                       .second = draft->has_length ? draft->length_km : -1.0};
    return ES_ARRAY_PUSH(maker->scratch, &maker->edges, edge, "edges of a topology", err);
}

es_status es_maker_demand(es_topology_maker *maker, es_place place, const char *from,
                          const char *to, double value, double rate_bps, es_error *err)
{
    if (!(value >= 0.0) || !isfinite(rate_bps))
        return es_maker_fail(maker, place, err, "demand value %g must be finite and >= 0", value);
    if (maker->demands.count >= ES_NETWORK_LINK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: more than %u demands", maker->file,
                       ES_NETWORK_LINK_MAX);
    es_pending demand = {
        .place = place, .from = from, .to = to, .first = value, .second = rate_bps};
    return ES_ARRAY_PUSH(maker->scratch, &maker->demands, demand, "demands of a topology", err);
}

double es_sndlib_unit_bps(const char *unit)
{
    static const struct {
        const char *name;
        double bps;
    } units[] = {{"BITPERSEC", 1.0}, {"KBITPERSEC", 1e3}, {"MBITPERSEC", 1e6}, {"GBITPERSEC", 1e9}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].bps;
    return 0.0;
}

double es_sndlib_capacity(double installed, double module_smallest)
{
    return installed > 0.0 || module_smallest <= 0.0 ? installed : module_smallest;
}

es_status es_maker_scale(es_topology_maker *maker, double unit_bps, es_error *err)
{
    for (size_t i = 0; i < maker->edges.count; i++) {
        es_pending *edge = &maker->edges.items[i];
        edge->first *= unit_bps;
        if (edge->first > BANDWIDTH_MAX_BPS)
            return es_maker_fail(maker, edge->place, err, "capacity of %g bit/s is above %g",
                                 edge->first, BANDWIDTH_MAX_BPS);
    }
    for (size_t i = 0; i < maker->demands.count; i++) {
        es_pending *demand = &maker->demands.items[i];
        demand->second *= unit_bps;
        if (!isfinite(demand->second))
            return es_maker_fail(maker, demand->place, err, "demand value %g is too large",
                                 demand->first);
    }
    return ES_OK;
}
