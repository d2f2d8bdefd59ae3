/*
 * Services: time and energy of every segment on every kind.
 *
 * In this order: what was measured on the kind; what was measured on the host, times the kind's
 * slowdown; work over the kind's speed; else it cannot run there. Energy that was not measured is
 * time times the dynamic watts of one busy processor.
 */
#include "scenario/internal.h"

#include <assert.h>
#include <math.h>

static es_service from_time(const es_kind *kind, double time_s)
{
    return (es_service){.time_s = time_s, .energy_j = time_s * kind->server_w};
}

static const es_service never = {.time_s = (double)INFINITY, .energy_j = 0};

/* measured: the entry of the row's kind; host: the host's; NULL: there is none. */
static es_service resolve(const es_row *row, const es_segment *segment, const es_on *measured,
                          const es_on *host)
{
    if (!row->runs)
        return never;
    if (measured != NULL) {
        es_service service = from_time(&row->kind, measured->time_s);
        if (!isnan(measured->energy_j))
            service.energy_j = measured->energy_j;
        return service;
    }
    if (host != NULL && row->kind.slowdown > 0)
        return from_time(&row->kind, host->time_s * row->kind.slowdown);
    if (segment->work_macs > 0 && row->kind.macs_per_s > 0)
        return from_time(&row->kind, segment->work_macs / row->kind.macs_per_s);
    return never;
}

static uint32_t slot_of(const es_reader *reader, const es_on *on)
{
    return on->kind == ES_INDEX_NONE ? reader->kinds.count : on->kind;
}

es_status es_scenario_services_resolve(es_reader *reader, es_error *err)
{
    es_scenario *scenario = reader->scenario;
    size_t segments = scenario->segment_count;
    es_service *services = NULL;
    /* both factors are below 2^32: no overflow */
    ES_TRY(es_scenario_field_take(reader->arena, (size_t)scenario->kind_count * segments,
                                  sizeof *services, "services", &services, err));
    uint32_t kinds = reader->kinds.count;
    const es_on **at = NULL; /* per kind, then the host */
    ES_TRY(es_scenario_field_take(reader->scratch, (size_t)kinds + 1, sizeof(const es_on *),
                                  "services", &at, err));
    size_t first = 0;
    for (size_t s = 0; s < segments; s++) {
        size_t end = first;
        for (; end < reader->on.count && reader->on.items[end].segment == s; end++)
            at[slot_of(reader, &reader->on.items[end])] = &reader->on.items[end];
        for (size_t k = 0; k < scenario->kind_count; k++) {
            const es_row *row = &reader->rows.items[k];
            const es_on *measured = row->base == ES_INDEX_NONE ? NULL : at[row->base];
            services[k * segments + s] = resolve(row, &scenario->segments[s], measured, at[kinds]);
        }
        for (; first < end; first++)
            at[slot_of(reader, &reader->on.items[first])] = NULL;
    }
    scenario->services = services;
    return ES_OK;
}

es_service es_scenario_service(const es_scenario *scenario, es_segment_id segment, es_node_id node)
{
    assert(segment.index < scenario->segment_count);
    size_t kind = scenario->node_kinds[node.index];
    return scenario->services[kind * scenario->segment_count + segment.index];
}

es_status es_scenario_with_host_times(es_arena *arena, const es_scenario *scenario,
                                      const double *host_time_s, const es_scenario **out_scenario,
                                      es_error *err)
{
    size_t segments = scenario->segment_count;
    for (size_t s = 0; s < segments; s++) {
        double time_s = host_time_s[s];
        if (!isnan(time_s) && !(time_s > 0 && time_s <= ES_SCENARIO_TIME_S_MAX))
            return es_fail(err, ES_ERR_ARG,
                           "segment '%s': host time %g s must be > 0 and <= %g, or NaN",
                           scenario->segments[s].name, time_s, ES_SCENARIO_TIME_S_MAX);
    }
    size_t cells = scenario->kind_count * segments;
    es_service *services = NULL;
    es_scenario *copy = NULL;
    ES_TRY(es_scenario_field_take(arena, cells, sizeof *services, "services", &services, err));
    ES_TRY(es_scenario_field_take(arena, 1, sizeof *copy, "a scenario", &copy, err));
    memcpy(services, scenario->services, cells * sizeof *services);
    for (size_t k = 0; k < scenario->kind_count; k++) {
        const es_kind *kind = &scenario->kinds[k];
        for (size_t s = 0; s < segments && kind->slowdown > 0; s++) {
            if (!isnan(host_time_s[s]))
                services[k * segments + s] = from_time(kind, kind->slowdown * host_time_s[s]);
        }
    }
    *copy = *scenario;
    copy->services = services;
    *out_scenario = copy;
    return ES_OK;
}
