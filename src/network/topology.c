#include "base/file.h"
#include "network/internal.h"

const char *const es_topology_format_names[ES_TOPOLOGY_FORMAT_COUNT] = {
    "auto", "gml", "graphml", "sndlib", "sndlib-xml", "json"};

/* Trees and lists of an importer; a document tree is larger than its file. */
static const size_t SCRATCH_BYTES_MAX = (size_t)4 << 30;

typedef es_status reader(es_topology_maker *maker, const char *bytes, size_t size, es_error *err);

static reader *const readers[ES_TOPOLOGY_FORMAT_COUNT] = {
    [ES_TOPOLOGY_GML] = es_topology_read_gml,
    [ES_TOPOLOGY_GRAPHML] = es_topology_read_graphml,
    [ES_TOPOLOGY_SNDLIB] = es_topology_read_sndlib,
    [ES_TOPOLOGY_SNDLIB_XML] = es_topology_read_sndlib_xml,
    [ES_TOPOLOGY_JSON] = es_topology_read_json,
};

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Of XML, the name of the root element tells: the first '<' that is no declaration or comment. */
static es_topology_format format_of_xml(const char *text)
{
    for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at + 1, '<')) {
        if (starts(at, "<!--")) {
            at = strstr(at, "-->");
            if (at == NULL)
                break;
            continue;
        }
        if (at[1] == '?' || at[1] == '!')
            continue;
        size_t size = strcspn(at + 1, " \t\r\n/>");
        const char *name = at + 1;
        const char *colon = memchr(name, ':', size);
        if (colon != NULL) {
            size -= (size_t)(colon + 1 - name);
            name = colon + 1;
        }
        if (size == 7 && strncmp(name, "graphml", 7) == 0)
            return ES_TOPOLOGY_GRAPHML;
        if (size == 7 && strncmp(name, "network", 7) == 0)
            return ES_TOPOLOGY_SNDLIB_XML;
        break;
    }
    return ES_TOPOLOGY_AUTO;
}

/* ES_TOPOLOGY_AUTO when nothing fits. */
static es_topology_format format_of(const char *text)
{
    if (starts(text, "\xef\xbb\xbf"))
        text += 3;
    text += strspn(text, " \t\r\n");
    if (starts(text, "?SNDlib"))
        return ES_TOPOLOGY_SNDLIB;
    if (text[0] == '{')
        return ES_TOPOLOGY_JSON;
    if (text[0] == '<')
        return format_of_xml(text);
    if (text[0] == '#' || (text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z'))
        return ES_TOPOLOGY_GML;
    return ES_TOPOLOGY_AUTO;
}

/* The number of a node named in an edge or demand. */
static es_status resolve(const es_topology_maker *maker, const es_pending *pending,
                         const char *what, const char *id, uint32_t *out, es_error *err)
{
    *out = es_network_names_find(&maker->ids, id);
    if (*out != UINT32_MAX)
        return ES_OK;
    return es_maker_fail(maker, pending->place, err,
                         "%s names node '%s', which is not among the %zu nodes of the file", what,
                         id, maker->nodes.count);
}

static es_status finish_edges(const es_topology_maker *maker, es_topology *topology, es_error *err)
{
    topology->edge_count = (uint32_t)maker->edges.count;
    topology->edges = ES_TAKE_ARRAY(maker->arena, es_topology_edge, maker->edges.count);
    if (topology->edges == NULL)
        return es_arena_full(maker->arena, "edges of a topology", err);
    for (size_t i = 0; i < maker->edges.count; i++) {
        const es_pending *pending = &maker->edges.items[i];
        es_topology_edge *edge = &topology->edges[i];
        *edge = (es_topology_edge){.bandwidth_bps = pending->first,
                                   .has_length = pending->second >= 0.0,
                                   .length_km = pending->second >= 0.0 ? pending->second : 0.0};
        ES_TRY(resolve(maker, pending, "edge", pending->from, &edge->a, err));
        ES_TRY(resolve(maker, pending, "edge", pending->to, &edge->b, err));
    }
    return ES_OK;
}

static es_status finish_demands(const es_topology_maker *maker, es_topology *topology,
                                es_error *err)
{
    topology->demand_count = (uint32_t)maker->demands.count;
    topology->demands = ES_TAKE_ARRAY(maker->arena, es_topology_demand, maker->demands.count);
    if (topology->demands == NULL)
        return es_arena_full(maker->arena, "demands of a topology", err);
    for (size_t i = 0; i < maker->demands.count; i++) {
        const es_pending *pending = &maker->demands.items[i];
        es_topology_demand *demand = &topology->demands[i];
        *demand = (es_topology_demand){.value = pending->first, .rate_bps = pending->second};
        ES_TRY(resolve(maker, pending, "demand", pending->from, &demand->from, err));
        ES_TRY(resolve(maker, pending, "demand", pending->to, &demand->to, err));
    }
    return ES_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Repeats stand side by side once the pairs are sorted; undirected pairs are put in order. */
static es_status count_repeats(const es_topology_maker *maker, es_topology *topology, es_error *err)
{
    uint64_t *keys = ES_TAKE_ARRAY(maker->scratch, uint64_t, topology->edge_count);
    if (keys == NULL)
        return es_arena_full(maker->scratch, "pairs of edges", err);
    size_t count = 0;
    for (uint32_t i = 0; i < topology->edge_count; i++) {
        uint64_t a = topology->edges[i].a, b = topology->edges[i].b;
        if (a == b)
            topology->self_loop_count++;
        else
            keys[count++] = topology->directed || a < b ? a << 32 | b : b << 32 | a;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count; i++)
        topology->multi_edge_count += keys[i] == keys[i - 1];
    return ES_OK;
}

/* A file whose coordinates are on a drawing plane has no positions at all. */
static void drop_plane(es_topology_maker *maker)
{
    for (size_t i = 0; maker->is_plane && i < maker->nodes.count; i++) {
        es_topology_node *node = &maker->nodes.items[i];
        node->has_position = false;
        node->latitude_deg = node->longitude_deg = 0.0;
    }
}

static es_status finish(es_topology_maker *maker, es_topology_format format,
                        const es_topology **out_topology, es_error *err)
{
    if (maker->nodes.count == 0)
        return es_fail(err, ES_ERR_PARSE, "%s: has no nodes (read as %s)", maker->file,
                       es_topology_format_names[format]);
    es_topology *topology = ES_TAKE_ONE(maker->arena, es_topology);
    if (topology == NULL)
        return es_arena_full(maker->arena, "a topology", err);
    drop_plane(maker);
    *topology = (es_topology){.name = maker->name,
                              .format = format,
                              .directed = maker->directed,
                              .positions_are_degrees = !maker->is_plane,
                              .node_count = (uint32_t)maker->nodes.count,
                              .nodes = maker->nodes.items};
    ES_TRY(finish_edges(maker, topology, err));
    ES_TRY(finish_demands(maker, topology, err));
    ES_TRY(count_repeats(maker, topology, err));
    *out_topology = topology;
    return ES_OK;
}

/* bytes[size] is '\0'. */
static es_status parse(es_arena *arena, es_arena *scratch, const char *name, const char *bytes,
                       size_t size, es_topology_format format, const es_topology **out_topology,
                       es_error *err)
{
    const char *nul = memchr(bytes, '\0', size);
    if (nul != NULL)
        return es_fail(err, ES_ERR_PARSE, "%s: byte %zu is NUL, not a text file", name,
                       (size_t)(nul - bytes));
    if (format == ES_TOPOLOGY_AUTO)
        format = format_of(bytes);
    if ((unsigned)format >= ES_TOPOLOGY_FORMAT_COUNT)
        return es_fail(err, ES_ERR_ARG, "%s: topology format %u is unknown", name,
                       (unsigned)format);
    if (format == ES_TOPOLOGY_AUTO)
        return es_fail(err, ES_ERR_PARSE,
                       "%s:1: not a topology: expected GML ('graph ['), GraphML (<graphml>), "
                       "SNDlib ('?SNDlib' or <network>) or node-link JSON ('{')",
                       name);
    es_topology_maker maker = {.arena = arena, .scratch = scratch, .file = name, .name = ""};
    ES_TRY(readers[format](&maker, bytes, size, err));
    return finish(&maker, format, out_topology, err);
}

es_status es_topology_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                            es_topology_format format, const es_topology **out_topology,
                            es_error *err)
{
    if (size > ES_TOPOLOGY_BYTES_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: %zu bytes, a topology has at most %zu", name, size,
                       ES_TOPOLOGY_BYTES_MAX);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory", name);
    const char *copy = es_arena_text_n(scratch, bytes, size);
    if (copy == NULL)
        return es_arena_full(scratch, "bytes of a topology", err);
    return parse(arena, scratch, name, copy, size, format, out_topology, err);
}

es_status es_topology_import(es_arena *arena, const char *path, es_topology_format format,
                             const es_topology **out_topology, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(SCRATCH_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory", path);
    char *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_file_read(scratch, path, ES_TOPOLOGY_BYTES_MAX, &bytes, &size, err));
    return parse(arena, scratch, path, bytes, size, format, out_topology, err);
}
