/* Links in event mode: transfers under way share the bandwidth of their direction evenly
 * (processor sharing), by virtual time: level is what each of them all along has got. */
#include "simulate/events.h"

#include <math.h>
#include <string.h>

#define FAR_NS 4e18

static bool before(const es_lane_item *a, const es_lane_item *b)
{
    if (a->level < b->level)
        return true;
    return !(a->level > b->level) && a->order < b->order;
}

static bool push(es_world *world, es_lane *lane, es_lane_item item)
{
    if (lane->count == lane->capacity) {
        uint32_t capacity = lane->capacity == 0 ? 4 : lane->capacity * 2;
        es_lane_item *items = ES_TAKE_ARRAY(world->arena, es_lane_item, capacity);
        if (items == NULL) {
            world->failure = "memory";
            return false;
        }
        if (lane->count > 0)
            memcpy(items, lane->items, lane->count * sizeof *items);
        lane->items = items;
        lane->capacity = capacity;
    }
    uint32_t i = lane->count++;
    while (i > 0 && before(&item, &lane->items[(i - 1) / 2])) {
        lane->items[i] = lane->items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    lane->items[i] = item;
    return true;
}

static uint32_t pop(es_lane *lane)
{
    es_lane_item *items = lane->items;
    uint32_t first = items[0].request;
    es_lane_item last = items[--lane->count];
    uint32_t i = 0;
    for (uint32_t child = 1; child < lane->count; child = 2 * i + 1) {
        if (child + 1 < lane->count && before(&items[child + 1], &items[child]))
            child++;
        if (!before(&items[child], &last))
            break;
        items[i] = items[child];
        i = child;
    }
    items[i] = last;
    return first;
}

static void catch_up(const es_world *world, es_lane *lane)
{
    if (lane->count == 0)
        lane->level = 0;
    else
        lane->level += (double)(world->now_ns - lane->since_ns) * lane->bits_per_ns / lane->count;
    lane->since_ns = world->now_ns;
}

/* An event that comes too early does no harm: the check schedules the next. */
static void schedule(es_world *world, uint32_t number)
{
    es_lane *lane = &world->lanes[number];
    double left_ns = ceil((lane->items[0].level - lane->level) * lane->count / lane->bits_per_ns);
    int64_t next_ns = world->now_ns + (int64_t)fmin(fmax(left_ns, 0), FAR_NS);
    if (next_ns >= lane->next_ns)
        return;
    lane->next_ns = next_ns;
    es_world_schedule(world, next_ns, es_event_what(ES_EVENT_CROSSED, 0, number));
}

static void deliver(es_world *world, const es_lane *lane, uint32_t index)
{
    es_request *request = &world->requests[index];
    request->state = ES_REQUEST_FLYING;
    es_world_schedule(world, world->now_ns + lane->latency_ns,
                      es_event_what(ES_EVENT_DELIVER, request->stamp, index));
}

void es_lane_enter(es_world *world, uint32_t number, uint32_t index)
{
    es_lane *lane = &world->lanes[number];
    es_request *request = &world->requests[index];
    const es_step *step = &world->steps[request->pc];
    if (lane->down) {
        es_world_end(world, index, ES_END_LOST);
        return;
    }
    request->network_j += step->energy_j;
    request->carbon_g += step->carbon_g;
    world->network_j += step->energy_j;
    const es_node_more *sender = world->nodes[lane->sender].more;
    if (sender != NULL && sender->has_battery)
        es_node_drain(world, lane->sender, step->energy_j);
    if (step->amount <= 0) {
        deliver(world, lane, index);
        return;
    }
    catch_up(world, lane);
    es_lane_item item = {
        .level = lane->level + step->amount, .order = lane->order++, .request = index};
    request->state = ES_REQUEST_CROSSING;
    if (push(world, lane, item))
        schedule(world, number);
}

void es_lane_check(es_world *world, uint32_t number)
{
    es_lane *lane = &world->lanes[number];
    if (world->now_ns != lane->next_ns)
        return;
    lane->next_ns = INT64_MAX;
    catch_up(world, lane);
    while (lane->count > 0) {
        double rounding = 1e-2 * lane->bits_per_ns / lane->count + 1e-12 * lane->level;
        if (lane->items[0].level > lane->level + rounding)
            break;
        uint32_t index = pop(lane);
        if (lane->latency_ns > 0)
            deliver(world, lane, index);
        else
            es_world_move_on(world, index);
    }
    if (lane->count > 0)
        schedule(world, number);
}

void es_lane_fail_all(es_world *world, uint32_t number)
{
    es_lane *lane = &world->lanes[number];
    while (lane->count > 0)
        es_world_end(world, pop(lane), ES_END_LOST);
    lane->next_ns = INT64_MAX;
}
