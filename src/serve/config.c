#include "internal.h"

#include <math.h>
#include <string.h>

enum {
    NAME_SIZE_MAX = 4096, /* names, addresses, paths */
    LINK_MAX = 4096,
    SEGMENT_MAX = 65536,
    ROUTE_MAX = 1 << 20,
    QUEUE_MAX = 1 << 24
};

static void put_routes(const es_config *config, es_text *out)
{
    es_put_uint(out, config->route_count, 4);
    for (uint32_t r = 0; r < config->route_count; r++) {
        const es_config_route *route = &config->routes[r];
        es_put_uint(out, route->origin, 4);
        es_put_uint(out, route->output_bytes, 8);
        es_put_uint(out, route->stage_count, 4);
        for (uint32_t k = 0; k < route->stage_count; k++) {
            const es_config_stage *stage = &route->stages[k];
            es_put_uint(out, stage->segment, 4);
            es_put_uint(out, stage->node, 4);
            es_put_uint(out, (uint64_t)stage->input, 4);
            es_put_uint(out, stage->exit_output, 4);
            es_put_double(out, stage->exit_threshold);
            es_put_uint(out, stage->input_bytes, 4);
        }
    }
}

void es_config_encode(const es_config *config, es_text *out)
{
    es_put_uint(out, config->node, 4);
    es_put_uint(out, config->node_count, 4);
    es_put_text(out, config->name);
    es_put_text(out, config->ort_library);
    es_put_uint(out, config->workers, 4);
    es_put_double(out, config->slowdown);
    es_put_uint(out, config->queue_capacity, 4);
    es_put_uint(out, config->payload_max, 4);
    es_put_double(out, config->link_backlog_bytes);
    es_put_uint(out, config->link_count, 4);
    for (uint32_t i = 0; i < config->link_count; i++) {
        const es_config_link *link = &config->links[i];
        es_put_uint(out, link->to, 4);
        es_put_text(out, link->address);
        es_put_uint(out, link->port, 2);
        es_put_uint(out, (uint64_t)link->latency_ns, 8);
        es_put_double(out, link->bandwidth_bps);
    }
    for (uint32_t i = 0; i < config->node_count; i++)
        es_put_uint(out, config->next_hops[i], 4);
    es_put_uint(out, config->segment_count, 4);
    for (uint32_t i = 0; i < config->segment_count; i++) {
        es_put_uint(out, config->segments[i].segment, 4);
        es_put_text(out, config->segments[i].name);
        es_put_text(out, config->segments[i].file);
        es_put_uint(out, (uint64_t)config->segments[i].hold_ns, 8);
    }
    put_routes(config, out);
}

static es_status out_of_range(es_error *err, const char *what)
{
    return es_fail(err, ES_ERR_PARSE, "configuration: %s out of range", what);
}

/* A count that the rest of the bytes can hold, each item taking at least item_size of them: so
 * no memory is taken for what was only announced. */
static es_status get_count(es_cursor *cursor, uint32_t max, size_t item_size, const char *what,
                           uint32_t *out, es_error *err)
{
    uint64_t count = es_cursor_uint(cursor, 4);
    if (cursor->broken || count > max || count > (cursor->size - cursor->at) / item_size)
        return out_of_range(err, what);
    *out = (uint32_t)count;
    return ES_OK;
}

static es_status get_links(es_arena *arena, es_cursor *cursor, es_config *config, es_error *err)
{
    ES_TRY(get_count(cursor, LINK_MAX, 26, "number of links", &config->link_count, err));
    config->links = ES_TAKE_ARRAY(arena, es_config_link, config->link_count);
    if (config->links == NULL)
        return es_arena_full(arena, "links of the configuration", err);
    for (uint32_t i = 0; i < config->link_count; i++) {
        es_config_link *link = &config->links[i];
        link->to = (uint32_t)es_cursor_uint(cursor, 4);
        link->address = es_cursor_text(cursor, arena, NAME_SIZE_MAX);
        link->port = (uint16_t)es_cursor_uint(cursor, 2);
        link->latency_ns = (int64_t)es_cursor_uint(cursor, 8);
        link->bandwidth_bps = es_cursor_double(cursor);
        if (cursor->broken || link->to >= config->node_count || link->latency_ns < 0 ||
            !(link->bandwidth_bps > 0) || !isfinite(link->bandwidth_bps))
            return out_of_range(err, "link");
    }
    return ES_OK;
}

static es_status get_hops(es_arena *arena, es_cursor *cursor, es_config *config, es_error *err)
{
    config->next_hops = ES_TAKE_ARRAY(arena, uint32_t, config->node_count);
    if (config->next_hops == NULL)
        return es_arena_full(arena, "next hops of the configuration", err);
    for (uint32_t i = 0; i < config->node_count; i++) {
        config->next_hops[i] = (uint32_t)es_cursor_uint(cursor, 4);
        if (cursor->broken ||
            (config->next_hops[i] >= config->link_count && config->next_hops[i] != ES_INDEX_NONE))
            return out_of_range(err, "next hop");
    }
    return ES_OK;
}

static es_status get_segments(es_arena *arena, es_cursor *cursor, es_config *config, es_error *err)
{
    ES_TRY(get_count(cursor, SEGMENT_MAX, 20, "number of segments", &config->segment_count, err));
    config->segments = ES_TAKE_ARRAY(arena, es_config_segment, config->segment_count);
    if (config->segments == NULL)
        return es_arena_full(arena, "segments of the configuration", err);
    for (uint32_t i = 0; i < config->segment_count; i++) {
        es_config_segment *segment = &config->segments[i];
        segment->segment = (uint32_t)es_cursor_uint(cursor, 4);
        segment->name = es_cursor_text(cursor, arena, NAME_SIZE_MAX);
        segment->file = es_cursor_text(cursor, arena, NAME_SIZE_MAX);
        segment->hold_ns = (int64_t)es_cursor_uint(cursor, 8);
        if (cursor->broken || segment->hold_ns < 0)
            return out_of_range(err, "segment");
    }
    return ES_OK;
}

static es_status get_stage(es_cursor *cursor, const es_config *config, es_config_stage *stage,
                           es_error *err)
{
    stage->segment = (uint32_t)es_cursor_uint(cursor, 4);
    stage->node = (uint32_t)es_cursor_uint(cursor, 4);
    uint64_t input = es_cursor_uint(cursor, 4);
    stage->exit_output = (uint32_t)es_cursor_uint(cursor, 4);
    stage->exit_threshold = es_cursor_double(cursor);
    stage->input_bytes = (uint32_t)es_cursor_uint(cursor, 4);
    if (cursor->broken || stage->node >= config->node_count || input >= ES_STAGE_INPUT_COUNT ||
        stage->exit_output >= ES_SESSION_PORTS_MAX || isnan(stage->exit_threshold) ||
        stage->input_bytes > config->payload_max)
        return out_of_range(err, "stage");
    stage->input = (es_stage_input)input;
    return ES_OK;
}

static es_status get_routes(es_arena *arena, es_cursor *cursor, es_config *config, es_error *err)
{
    ES_TRY(get_count(cursor, ROUTE_MAX, 44, "number of routes", &config->route_count, err));
    config->routes = ES_TAKE_ARRAY(arena, es_config_route, config->route_count);
    if (config->routes == NULL)
        return es_arena_full(arena, "routes of the configuration", err);
    for (uint32_t r = 0; r < config->route_count; r++) {
        es_config_route *route = &config->routes[r];
        route->origin = (uint32_t)es_cursor_uint(cursor, 4);
        route->output_bytes = es_cursor_uint(cursor, 8);
        route->stage_count = (uint32_t)es_cursor_uint(cursor, 4);
        if (cursor->broken || route->origin >= config->node_count || route->stage_count == 0 ||
            route->stage_count > ES_STAGE_COUNT_MAX)
            return out_of_range(err, "route");
        for (uint32_t k = 0; k < route->stage_count; k++)
            ES_TRY(get_stage(cursor, config, &route->stages[k], err));
    }
    return ES_OK;
}

es_status es_config_decode(es_arena *arena, const uint8_t *bytes, size_t size, es_config *out,
                           es_error *err)
{
    es_cursor cursor = {.bytes = bytes, .size = size};
    es_config config = {0};
    config.node = (uint32_t)es_cursor_uint(&cursor, 4);
    config.node_count = (uint32_t)es_cursor_uint(&cursor, 4);
    config.name = es_cursor_text(&cursor, arena, NAME_SIZE_MAX);
    config.ort_library = es_cursor_text(&cursor, arena, NAME_SIZE_MAX);
    config.workers = (uint32_t)es_cursor_uint(&cursor, 4);
    config.slowdown = es_cursor_double(&cursor);
    config.queue_capacity = (uint32_t)es_cursor_uint(&cursor, 4);
    config.payload_max = (uint32_t)es_cursor_uint(&cursor, 4);
    config.link_backlog_bytes = es_cursor_double(&cursor);
    if (cursor.broken || config.node_count > ES_RUN_NODE_MAX || config.node >= config.node_count)
        return out_of_range(err, "node");
    if (config.workers > ES_NODE_WORKERS_MAX)
        return out_of_range(err, "number of workers");
    if (!(config.slowdown >= 1 || config.slowdown <= 0) || !(config.slowdown >= 0) ||
        !isfinite(config.slowdown))
        return out_of_range(err, "slowdown");
    if (config.queue_capacity == 0 || config.queue_capacity > QUEUE_MAX)
        return out_of_range(err, "queue capacity");
    if (config.payload_max > ES_PAYLOAD_SIZE_MAX)
        return out_of_range(err, "largest payload");
    if (!(config.link_backlog_bytes >= 0))
        return out_of_range(err, "link backlog");
    ES_TRY(get_links(arena, &cursor, &config, err));
    ES_TRY(get_hops(arena, &cursor, &config, err));
    ES_TRY(get_segments(arena, &cursor, &config, err));
    ES_TRY(get_routes(arena, &cursor, &config, err));
    if (cursor.at != size)
        return es_fail(err, ES_ERR_PARSE, "configuration: %zu bytes too many", size - cursor.at);
    *out = config;
    return ES_OK;
}

void es_ready_encode(const es_dtype *dtypes, uint32_t count, es_text *out)
{
    es_put_uint(out, count, 4);
    for (uint32_t i = 0; i < count; i++)
        es_put_uint(out, (uint64_t)dtypes[i], 4);
}

es_status es_ready_decode(const uint8_t *bytes, size_t size, es_dtype *out_dtypes, uint32_t count,
                          es_error *err)
{
    es_cursor cursor = {.bytes = bytes, .size = size};
    uint64_t said = es_cursor_uint(&cursor, 4);
    if (cursor.broken || said != count || size != 4 + 4 * (size_t)count)
        return es_fail(err, ES_ERR_PARSE, "ready: %llu segments must be %u",
                       (unsigned long long)said, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t dtype = es_cursor_uint(&cursor, 4);
        if (dtype >= ES_DTYPE_COUNT)
            return es_fail(err, ES_ERR_PARSE, "ready: type %llu is unknown",
                           (unsigned long long)dtype);
        out_dtypes[i] = (es_dtype)dtype;
    }
    return ES_OK;
}
