/* The loop of event mode: arrivals, and requests from step to step. */
#include "base/clock.h"
#include "simulate/events.h"

#include <assert.h>
#include <string.h>

/* ---- the pool of requests ---- */

static bool grow_pool(es_world *world)
{
    uint32_t capacity = world->request_capacity * 2;
    if (capacity > world->request_max)
        capacity = world->request_max;
    if (capacity <= world->request_capacity) {
        world->failure = "no more are allowed: more comes than is served";
        return false;
    }
    es_request *requests = ES_TAKE_ARRAY(world->arena, es_request, capacity);
    if (requests == NULL) {
        world->failure = "memory";
        return false;
    }
    memcpy(requests, world->requests, world->request_count * sizeof *requests);
    world->requests = requests;
    world->request_capacity = capacity;
    return true;
}

static uint32_t take_request(es_world *world)
{
    uint32_t index = world->request_free;
    if (index != ES_NONE) {
        world->request_free = world->requests[index].next;
    } else {
        if (world->request_count == world->request_capacity && !grow_pool(world))
            return ES_NONE;
        index = world->request_count++;
        world->requests[index].stamp = 0;
    }
    world->request_live++;
    return index;
}

void es_world_end(es_world *world, uint32_t index, es_end end)
{
    es_request *request = &world->requests[index];
    assert(request->state != ES_REQUEST_FREE);
    const es_listener *listener = &world->listener;
    if (listener->ended != NULL &&
        !listener->ended(listener->context, world, request, end, world->now_ns) &&
        world->failure == NULL)
        world->failure = "the recorder refused a request";
    request->state = ES_REQUEST_FREE;
    request->stamp++;
    request->next = world->request_free;
    world->request_free = index;
    world->request_live--;
    world->last_ns = world->now_ns;
}

/* ---- steps ---- */

void es_world_advance(es_world *world, uint32_t index)
{
    es_request *request = &world->requests[index];
    const es_step *step = &world->steps[request->pc];
    if (step->kind == ES_STEP_END && request->device != ES_NONE && !request->homing &&
        world->handover != NULL) {
        uint32_t place = world->devices[request->device].place;
        uint32_t more = world->handover[(size_t)request->class_id * world->source_count + place];
        if (more != ES_NONE) {
            request->homing = true;
            request->pc = more;
            step = &world->steps[more];
        }
    }
    switch ((es_step_kind)step->kind) {
    case ES_STEP_VISIT:
        es_node_enter(world, step->place, index);
        return;
    case ES_STEP_CROSS:
        es_lane_enter(world, step->place, index);
        return;
    case ES_STEP_END:
        es_world_end(world, index, ES_END_SERVED);
        return;
    }
}

void es_world_move_on(es_world *world, uint32_t index)
{
    es_request *request = &world->requests[index];
    const es_step *step = &world->steps[request->pc];
    request->pc++;
    if (step->kind == ES_STEP_VISIT) {
        request->stages_run++;
        if (step->go_on < 1 &&
            (step->go_on <= 0 ||
             es_rng_double(&world->sources[request->class_id].rng) >= step->go_on))
            request->pc = step->exit_step;
    }
    es_world_advance(world, index);
}

/* ---- arrivals ---- */

static bool way_is_up(const es_world *world, const es_route_way *way)
{
    for (uint32_t i = 0; i < way->step_count; i++) {
        const es_step *step = &world->steps[way->first_step + i];
        if (step->kind == ES_STEP_VISIT && world->nodes[step->place].state == ES_NODE_DOWN)
            return false;
        if (step->kind == ES_STEP_CROSS && world->lanes[step->place].down)
            return false;
    }
    return true;
}

static double way_share(const es_world *world, const es_source *source, uint32_t i)
{
    const es_route_way *ways = &world->ways[source->first_way];
    return i == 0 ? ways[0].upto : ways[i].upto - ways[i - 1].upto;
}

/* Among the ways on which everything works, in proportion to their shares; ES_NONE: there is none.
 */
static uint32_t choose_up(const es_world *world, const es_source *source, double draw)
{
    double sum = 0;
    for (uint32_t i = 0; i < source->way_count; i++) {
        if (way_is_up(world, &world->ways[source->first_way + i]))
            sum += way_share(world, source, i);
    }
    uint32_t chosen = ES_NONE;
    double target = draw * sum;
    for (uint32_t i = 0; i < source->way_count; i++) {
        if (!way_is_up(world, &world->ways[source->first_way + i]))
            continue;
        chosen = source->first_way + i;
        target -= way_share(world, source, i);
        if (target < 0)
            break;
    }
    return chosen;
}

/* ES_NONE and *out_end: the request ends before it started. */
static uint32_t choose_way(es_world *world, es_source *source, es_end *out_end)
{
    double draw = es_rng_double(&source->rng);
    const es_route_way *ways = &world->ways[source->first_way];
    *out_end = ES_END_REFUSED;
    uint32_t low = 0;
    uint32_t high = source->way_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (draw < ways[middle].upto)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == source->way_count)
        return ES_NONE;
    if (world->down_count == 0 || way_is_up(world, &ways[low]))
        return source->first_way + low;
    *out_end = ES_END_LOST;
    return choose_up(world, source, es_rng_double(&source->rng));
}

static void schedule_arrival(es_world *world, uint32_t class_id)
{
    int64_t next_ns = es_arrival_next_ns(&world->sources[class_id].stream);
    if (next_ns < world->end_ns)
        es_world_schedule(world, next_ns, es_event_what(ES_EVENT_ARRIVE, 0, class_id));
}

static void arrive(es_world *world, uint32_t class_id)
{
    uint32_t device = ES_NONE;
    uint32_t home = class_id;
    schedule_arrival(world, class_id);
    if (world->sources[home].device_count > 0 && !es_device_pick(world, home, &device, &class_id))
        return;
    uint32_t index = take_request(world);
    if (index == ES_NONE)
        return;
    es_source *source = &world->sources[class_id];
    es_request *request = &world->requests[index];
    uint32_t stamp = request->stamp;
    *request = (es_request){.arrived_ns = world->now_ns,
                            .stamp = stamp,
                            .class_id = class_id,
                            .device = device,
                            .mate = ES_NONE,
                            .way = ES_NONE,
                            .state = ES_REQUEST_FLYING};
    if (device != ES_NONE) {
        request->network_j = world->sources[home].device_request_j;
        request->carbon_g = request->network_j * world->nodes[source->node].g_per_j;
        world->network_j += request->network_j;
    }
    const es_listener *listener = &world->listener;
    if (listener->arrived != NULL && !listener->arrived(listener->context, world->now_ns, class_id))
        world->failure = "the recorder refused an arrival";
    es_end end;
    request->way = choose_way(world, source, &end);
    if (request->way == ES_NONE) {
        es_world_end(world, index, end);
        return;
    }
    request->pc = world->ways[request->way].first_step;
    es_world_advance(world, index);
}

/* ---- the loop ---- */

static void end_slot(es_world *world, uint32_t slot)
{
    const es_listener *listener = &world->listener;
    if (listener->slot_ended != NULL &&
        !listener->slot_ended(listener->context, world, slot, world->now_ns))
        world->failure = "the recorder refused a slot";
    if (slot + 2 < world->slot_count) /* the last ends with the run */
        es_world_schedule(world, (slot + 2) * world->slot_ns,
                          es_event_what(ES_EVENT_SLOT, 0, slot + 1));
}

static bool is_current(const es_world *world, uint64_t what)
{
    return (world->requests[(uint32_t)what].stamp & 0xffffffU) == (what >> 32 & 0xffffffU);
}

static void happen(es_world *world, uint64_t what)
{
    uint32_t number = (uint32_t)what;
    uint32_t stamp = (uint32_t)(what >> 32) & 0xffffffU;
    switch ((es_event_kind)(what >> 56)) {
    case ES_EVENT_SERVED:
        if (is_current(world, what))
            es_node_served(world, number);
        return;
    case ES_EVENT_CROSSED:
        es_lane_check(world, number);
        return;
    case ES_EVENT_DELIVER:
        if (is_current(world, what))
            es_world_move_on(world, number);
        return;
    case ES_EVENT_ARRIVE:
        arrive(world, number);
        return;
    case ES_EVENT_BATCH:
        es_node_start_all(world, number);
        return;
    case ES_EVENT_AWAKE:
        es_node_awake(world, number, stamp);
        return;
    case ES_EVENT_SLEEP:
        es_node_sleep(world, number, stamp);
        return;
    case ES_EVENT_DRAINED:
        es_node_drained(world, number, stamp);
        return;
    case ES_EVENT_FAIL:
        es_node_fail(world, number, false);
        return;
    case ES_EVENT_REPAIR:
        es_node_repair(world, number);
        return;
    case ES_EVENT_LINK_DOWN:
        es_link_fail(world, number);
        return;
    case ES_EVENT_LINK_UP:
        es_link_repair(world, number);
        return;
    case ES_EVENT_MOVE:
        es_device_move(world, number);
        return;
    case ES_EVENT_CARBON:
        es_carbon_change(world);
        return;
    case ES_EVENT_SLOT:
        end_slot(world, number);
        return;
    case ES_EVENT_KIND_COUNT:
        break;
    }
    assert(false);
}

static void start(es_world *world)
{
    for (uint32_t c = 0; c < world->source_count; c++) {
        schedule_arrival(world, c);
        int64_t move_ns = es_device_next_move_ns(world, c);
        if (move_ns <= world->end_ns)
            es_world_schedule(world, move_ns, es_event_what(ES_EVENT_MOVE, 0, c));
    }
    for (uint32_t v = 0; v < world->node_count; v++) {
        if (world->nodes[v].more != NULL)
            es_node_life_start(world, v);
    }
    for (uint32_t l = 0; world->links != NULL && l < world->link_count; l++)
        es_link_life_start(world, l);
    if (world->intensities != NULL)
        es_carbon_change(world);
    if (world->slot_count > 1)
        es_world_schedule(world, world->slot_ns, es_event_what(ES_EVENT_SLOT, 0, 0));
}

/* What is under way when the run ends. */
static void leave_in_flight(es_world *world)
{
    for (uint32_t i = 0; i < world->request_count; i++) {
        if (world->requests[i].state == ES_REQUEST_FREE)
            continue;
        es_node_refund(world, &world->requests[i]);
        es_world_end(world, i, ES_END_IN_FLIGHT);
    }
}

es_status es_world_run(es_world *world, es_error *err)
{
    es_event event;
    start(world);
    while (world->failure == NULL && !world->queue.full &&
           es_event_queue_pop(&world->queue, &event)) {
        if (event.when_ns > world->end_ns && (!world->drain || world->request_live == 0))
            break;
        world->now_ns = event.when_ns;
        world->event_count++;
        happen(world, event.what);
    }
    if (world->failure == NULL && (world->now_ns < world->end_ns || !world->drain))
        world->now_ns = world->end_ns;
    if (world->queue.full || (world->failure != NULL && strcmp(world->failure, "memory") == 0))
        return es_arena_full(world->arena, "events", err);
    int64_t last_ns = world->last_ns;
    if (world->failure == NULL)
        leave_in_flight(world);
    world->last_ns = last_ns;
    if (world->failure == NULL && world->listener.slot_ended != NULL &&
        !world->listener.slot_ended(world->listener.context, world, world->slot_count - 1,
                                    world->now_ns))
        world->failure = "the recorder refused a slot";
    if (world->failure == NULL)
        return ES_OK;
    return es_fail(err, ES_ERR_LIMIT, "events: at %.3f s, with %u requests under way: %s",
                   es_s_from_ns(world->now_ns), world->request_live, world->failure);
}
