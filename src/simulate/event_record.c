/* What events write into the outcome, and what intervals need besides. */
#include "base/clock.h"
#include "simulate/event_mode.h"

#include <math.h>

#define ENERGY_TOLERANCE 1e-9

static uint32_t slot_of(const es_event_record *record, int64_t when_ns)
{
    int64_t slot = when_ns / record->world->slot_ns;
    int64_t last = record->scenario->slot_count - 1;
    return (uint32_t)(slot < last ? slot : last);
}

static bool hear(es_event_record *record, es_status status)
{
    return status == ES_OK || (record->error.status = status, false);
}

static bool arrived(void *context, int64_t now_ns, uint32_t class_id)
{
    es_event_record *record = context;
    uint32_t slot = slot_of(record, now_ns);
    record->pending[slot]++;
    return hear(record, es_outcome_arrive(record->recorder, slot, (es_class_id){class_id}, 1,
                                          &record->error));
}

/* Slots are closed in order, once they are over and all their requests have ended. */
static bool close_slots(es_event_record *record)
{
    while (record->next_close < record->ended_slots && record->pending[record->next_close] == 0) {
        if (!hear(record,
                  es_outcome_close_slot(record->recorder, record->next_close, &record->error)))
            return false;
        record->next_close++;
    }
    return true;
}

static void keep_latency(es_event_record *record, const es_request *request, double latency_s,
                         double quality)
{
    double arrived_s = es_s_from_ns(request->arrived_ns);
    double end_s = es_s_from_ns(record->world->end_ns);
    int bin = (int)(arrived_s / end_s * ES_TIME_BINS);
    es_time_bin *into = &record->bins[bin < ES_TIME_BINS ? bin : ES_TIME_BINS - 1];
    es_histogram_add(into->latency, latency_s, 1);
    into->served += 1;
    into->quality += quality;
    into->late += latency_s > record->scenario->classes[request->class_id].deadline_s;
    es_batches_add(&record->batches, arrived_s, latency_s);
}

static bool ended(void *context, const es_world *world, const es_request *request, es_end end,
                  int64_t now_ns)
{
    static const es_fate fates[] = {[ES_END_SERVED] = ES_FATE_SERVED,
                                    [ES_END_REFUSED] = ES_FATE_REFUSED,
                                    [ES_END_LOST] = ES_FATE_FAILED,
                                    [ES_END_IN_FLIGHT] = ES_FATE_IN_FLIGHT};
    es_event_record *record = context;
    uint32_t slot = slot_of(record, request->arrived_ns);
    es_sample sample = {.slot = slot,
                        .class_id = {request->class_id},
                        .fate = fates[end],
                        .weight = 1,
                        .stages_run = request->stages_run,
                        .energy_compute_j = fmax(request->compute_j, 0),
                        .energy_network_j = request->network_j,
                        .carbon_g = request->carbon_g};
    if (end == ES_END_SERVED) {
        const es_route_way *way = &world->ways[request->way];
        sample.latency_s = es_s_from_ns(now_ns - request->arrived_ns);
        sample.pipeline.index = way->pipeline;
        sample.quality = way->quality;
        keep_latency(record, request, sample.latency_s, sample.quality);
    }
    record->compute_j += sample.energy_compute_j;
    record->network_j += sample.energy_network_j;
    if (!hear(record, es_outcome_add(record->recorder, &sample, &record->error)))
        return false;
    record->pending[slot]--;
    return slot == record->next_close ? close_slots(record) : true;
}

static bool slot_ended(void *context, es_world *world, uint32_t slot, int64_t now_ns)
{
    es_event_record *record = context;
    double start_s = record->scenario->slot_s * slot;
    for (uint32_t v = 0; v < world->node_count; v++) {
        es_visit_node *node = &world->nodes[v];
        es_node_account(world, node);
        if (!node->hosts && node->busy_ns == 0)
            continue;
        es_node_use use = {.slot = slot,
                           .node = {v},
                           .busy_s = es_s_from_ns(node->busy_ns),
                           .duration_s = fmax(es_s_from_ns(now_ns) - start_s, 0),
                           .idle_j = node->idle_j,
                           .idle_g = node->idle_g,
                           .has_idle_g = true,
                           .dynamic_j = fmax(node->dynamic_j, 0),
                           .model_bytes_loaded = node->loaded_bytes,
                           .died = node->died};
        record->dynamic_j += use.dynamic_j;
        record->model_bytes += node->loaded_bytes;
        node->busy_ns = 0;
        node->on_ns = 0;
        node->idle_j = node->idle_g = node->dynamic_j = node->loaded_bytes = 0;
        node->died = false;
        if (!hear(record, es_outcome_add_node(record->recorder, &use, &record->error)))
            return false;
    }
    record->ended_slots = slot + 1;
    return close_slots(record);
}

es_status es_event_record_init(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                               const char *label, uint64_t seed, es_world *world,
                               es_event_record *record, es_error *err)
{
    void *pending = NULL;
    *record = (es_event_record){.scenario = scenario, .world = world};
    ES_TRY(es_arena_take_or_fail(arena, scenario->slot_count, sizeof *record->pending, "slots",
                                 &pending, err));
    record->pending = pending;
    ES_TRY(es_batches_init(arena, &record->batches, err));
    for (size_t i = 0; i < ES_TIME_BINS; i++) {
        record->bins[i].latency = es_histogram_new(arena);
        if (record->bins[i].latency == NULL)
            return es_arena_full(arena, "histograms", err);
    }
    world->listener = (es_listener){
        .context = record, .arrived = arrived, .ended = ended, .slot_ended = slot_ended};
    return es_outcome_recorder_new(arena, scenario, plan, label, "simulate", seed,
                                   &record->recorder, err);
}

static es_status same_joules(const char *what, double a, double b, double scale, es_error *err)
{
    if (fabs(a - b) <= ENERGY_TOLERANCE * fmax(scale, 1e-12))
        return ES_OK;
    return es_fail(err, ES_ERR_INTERNAL, "%s: %.12g J by requests, %.12g J where they were spent",
                   what, a, b);
}

es_status es_event_record_check(const es_event_record *record, es_error *err)
{
    const es_world *world = record->world;
    double scale = record->compute_j + record->network_j;
    ES_TRY(same_joules("compute", record->compute_j, world->compute_j, scale, err));
    ES_TRY(same_joules("nodes", record->compute_j, record->dynamic_j, scale, err));
    return same_joules("network", record->network_j, world->network_j, scale, err);
}
