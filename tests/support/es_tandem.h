/*
 * es_tandem: a row of nodes with links between them, as event mode runs it: for tests against
 * theory and other simulators, and for benchmarks.
 */
#ifndef ES_TANDEM_H
#define ES_TANDEM_H

#include "base/clock.h"
#include "simulate/events.h"

typedef struct es_tandem {
    uint32_t node_count;
    uint32_t servers;
    es_arrivals arrivals;
    double service_s; /* 0: no nodes, only links */
    bool exponential;
    double bits; /* 0: no links */
    double bandwidth_bps;
    double latency_s;
    double energy_j; /* of a visit */
    double idle_w;
    double run_s;
    double warm_up_s;
    bool drain;
    uint64_t seed;
} es_tandem;

/* What the listener adds up. */
typedef struct es_tandem_sums {
    int64_t warm_up_ns;
    double arrived, served, refused, lost, in_flight;
    double counted, latency_s; /* after the warm-up */
    double compute_j;
} es_tandem_sums;

static inline bool es_tandem_arrived(void *context, int64_t now_ns, uint32_t class_id)
{
    (void)now_ns;
    (void)class_id;
    ((es_tandem_sums *)context)->arrived++;
    return true;
}

static inline bool es_tandem_ended(void *context, const es_world *world, const es_request *request,
                                   es_end end, int64_t now_ns)
{
    es_tandem_sums *sums = context;
    (void)world;
    sums->compute_j += request->compute_j;
    sums->refused += end == ES_END_REFUSED;
    sums->lost += end == ES_END_LOST;
    sums->in_flight += end == ES_END_IN_FLIGHT;
    sums->served += end == ES_END_SERVED;
    if (end == ES_END_SERVED && request->arrived_ns >= sums->warm_up_ns) {
        sums->counted++;
        sums->latency_s += es_s_from_ns(now_ns - request->arrived_ns);
    }
    return true;
}

/* The world, ready to run; sums hears what happens (NULL: nobody does). */
static inline es_status es_tandem_make(es_arena *arena, const es_tandem *tandem,
                                       es_tandem_sums *sums, es_world *world, es_error *err)
{
    uint32_t count = tandem->node_count;
    es_world_size size = {
        .nodes = count, .lanes = count, .steps = 2 * count + 1, .ways = 1, .sources = 1};
    ES_TRY(es_world_init(arena, world, size, tandem->run_s, 1, err));
    uint32_t step = 0;
    for (uint32_t v = 0; v < count; v++) {
        world->nodes[v].servers = tandem->servers;
        world->nodes[v].idle_w = tandem->idle_w;
        world->nodes[v].hosts = tandem->idle_w > 0;
        world->lanes[v].bits_per_ns = tandem->bandwidth_bps * 1e-9;
        world->lanes[v].latency_ns = es_ns_from_s(tandem->latency_s);
        if (tandem->bits > 0)
            world->steps[step++] =
                (es_step){.kind = ES_STEP_CROSS, .place = v, .amount = tandem->bits};
        if (tandem->service_s > 0)
            world->steps[step++] = (es_step){.kind = ES_STEP_VISIT,
                                             .place = v,
                                             .draws = tandem->exponential,
                                             .amount = tandem->service_s * 1e9,
                                             .energy_j = tandem->energy_j,
                                             .go_on = 1};
    }
    world->steps[step++] = (es_step){.kind = ES_STEP_END};
    world->step_count = step;
    world->ways[0] = (es_route_way){.upto = 2, .quality = 1, .step_count = step};
    es_source *source = &world->sources[0];
    source->way_count = 1;
    source->stream = es_arrival_stream_make(tandem->arrivals, tandem->seed, 0);
    source->rng = es_rng_make(tandem->seed, 1);
    world->drain = tandem->drain;
    if (sums != NULL) {
        *sums = (es_tandem_sums){.warm_up_ns = es_ns_from_s(tandem->warm_up_s)};
        world->listener =
            (es_listener){.context = sums, .arrived = es_tandem_arrived, .ended = es_tandem_ended};
    }
    return ES_OK;
}

static inline bool es_tandem_conserves(const es_tandem_sums *sums)
{
    double sum = sums->served + sums->refused + sums->lost + sums->in_flight;
    return !(sums->arrived < sum) && !(sums->arrived > sum);
}

#endif
