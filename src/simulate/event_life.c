/* What befalls nodes and links in event mode: failures and repairs, batteries, sleep. */
#include "base/clock.h"
#include "simulate/events.h"

#include <math.h>

static int64_t after_ns(const es_world *world, es_rng *rng, double mean_s)
{
    double delay_s = fmin(es_rng_exponential(rng, 1 / mean_s), 4e9);
    return world->now_ns + es_ns_from_s(delay_s);
}

/* ---- nodes ---- */

static void watch_battery(es_world *world, uint32_t v)
{
    es_visit_node *node = &world->nodes[v];
    es_node_more *more = node->more;
    double watts = node->state == ES_NODE_ASLEEP ? more->sleep_w : node->idle_w;
    more->battery_stamp++;
    if (!more->has_battery || node->state == ES_NODE_DOWN || !node->hosts || watts <= 0)
        return;
    double left_s = fmin(fmax(more->battery_j, 0) / watts, 4e9);
    es_world_schedule(world, world->now_ns + (int64_t)ceil(left_s * 1e9),
                      es_event_what(ES_EVENT_DRAINED, more->battery_stamp, v));
}

void es_node_life_start(es_world *world, uint32_t v)
{
    es_node_more *more = world->nodes[v].more;
    if (more->up_s > 0)
        es_world_schedule(world, after_ns(world, &more->rng, more->up_s),
                          es_event_what(ES_EVENT_FAIL, 0, v));
    watch_battery(world, v);
    es_node_idle(world, v);
}

static void lose(es_world *world, uint32_t first)
{
    for (uint32_t i = first; i != ES_NONE;) {
        uint32_t next = world->requests[i].mate;
        es_node_refund(world, &world->requests[i]);
        es_world_end(world, i, ES_END_LOST);
        i = next;
    }
}

static void lose_all(es_world *world, es_visit_node *node)
{
    for (uint32_t p = 0; p < ES_PRIORITY_COUNT; p++) {
        for (uint32_t i = node->head[p]; i != ES_NONE;) {
            uint32_t next = world->requests[i].next;
            es_world_end(world, i, ES_END_LOST);
            i = next;
        }
        node->head[p] = node->tail[p] = ES_NONE;
    }
    for (uint32_t i = node->more->serving; i != ES_NONE;) {
        uint32_t next = world->requests[i].next;
        lose(world, i);
        i = next;
    }
    node->more->serving = ES_NONE;
    node->waiting = 0;
    node->busy = 0;
}

void es_node_fail(es_world *world, uint32_t v, bool for_good)
{
    es_visit_node *node = &world->nodes[v];
    es_node_more *more = node->more;
    if (node->state == ES_NODE_DOWN)
        return;
    es_node_account(world, node);
    node->state = ES_NODE_DOWN;
    node->died = true;
    world->down_count++;
    more->sleep_stamp++;
    more->battery_stamp++;
    lose_all(world, node);
    if (!for_good)
        es_world_schedule(world, after_ns(world, &more->rng, more->repair_s),
                          es_event_what(ES_EVENT_REPAIR, 0, v));
}

void es_node_repair(es_world *world, uint32_t v)
{
    es_visit_node *node = &world->nodes[v];
    es_node_more *more = node->more;
    es_node_account(world, node);
    node->state = ES_NODE_ON;
    node->loaded_bytes += more->loaded_bytes;
    world->down_count--;
    es_world_schedule(world, after_ns(world, &more->rng, more->up_s),
                      es_event_what(ES_EVENT_FAIL, 0, v));
    watch_battery(world, v);
    es_node_idle(world, v);
}

/* ---- sleep ---- */

void es_node_idle(es_world *world, uint32_t v)
{
    es_node_more *more = world->nodes[v].more;
    if (more->sleep_after_ns < 0)
        return;
    more->sleep_stamp++;
    es_world_schedule(world, world->now_ns + more->sleep_after_ns,
                      es_event_what(ES_EVENT_SLEEP, more->sleep_stamp, v));
}

void es_node_sleep(es_world *world, uint32_t v, uint32_t stamp)
{
    es_visit_node *node = &world->nodes[v];
    if ((node->more->sleep_stamp & 0xffffffU) != stamp || node->state != ES_NODE_ON ||
        node->busy > 0 || node->waiting > 0)
        return;
    es_node_account(world, node);
    node->state = ES_NODE_ASLEEP;
    watch_battery(world, v);
}

void es_node_wake(es_world *world, uint32_t v)
{
    es_visit_node *node = &world->nodes[v];
    es_node_account(world, node);
    node->state = ES_NODE_WAKING;
    node->more->sleep_stamp++;
    watch_battery(world, v);
    es_world_schedule(world, world->now_ns + node->more->wake_ns,
                      es_event_what(ES_EVENT_AWAKE, node->more->sleep_stamp, v));
}

void es_node_awake(es_world *world, uint32_t v, uint32_t stamp)
{
    es_visit_node *node = &world->nodes[v];
    if ((node->more->sleep_stamp & 0xffffffU) != stamp || node->state != ES_NODE_WAKING)
        return;
    es_node_account(world, node);
    node->state = ES_NODE_ON;
    es_node_start_all(world, v);
}

/* ---- batteries ---- */

void es_node_drain(es_world *world, uint32_t v, double joules)
{
    es_visit_node *node = &world->nodes[v];
    if (node->state == ES_NODE_DOWN)
        return;
    es_node_account(world, node);
    node->more->battery_j -= joules;
    if (node->more->battery_j <= 0)
        es_node_fail(world, v, true);
    else
        watch_battery(world, v);
}

void es_node_drained(es_world *world, uint32_t v, uint32_t stamp)
{
    es_visit_node *node = &world->nodes[v];
    if ((node->more->battery_stamp & 0xffffffU) != stamp || node->state == ES_NODE_DOWN)
        return;
    es_node_account(world, node);
    if (node->more->battery_j <= 1e-9 * fmax(node->idle_w, node->more->sleep_w))
        es_node_fail(world, v, true);
    else
        watch_battery(world, v);
}

/* ---- links ---- */

void es_link_life_start(es_world *world, uint32_t l)
{
    es_link_more *link = &world->links[l];
    if (link->up_s > 0)
        es_world_schedule(world, after_ns(world, &link->rng, link->up_s),
                          es_event_what(ES_EVENT_LINK_DOWN, 0, l));
}

void es_link_fail(es_world *world, uint32_t l)
{
    es_link_more *link = &world->links[l];
    for (int d = 0; d < 2; d++) {
        if (link->lanes[d] == ES_NONE)
            continue;
        world->lanes[link->lanes[d]].down = true;
        world->down_count++;
        es_lane_fail_all(world, link->lanes[d]);
    }
    es_world_schedule(world, after_ns(world, &link->rng, link->repair_s),
                      es_event_what(ES_EVENT_LINK_UP, 0, l));
}

void es_link_repair(es_world *world, uint32_t l)
{
    es_link_more *link = &world->links[l];
    for (int d = 0; d < 2; d++) {
        if (link->lanes[d] == ES_NONE)
            continue;
        world->lanes[link->lanes[d]].down = false;
        world->down_count--;
    }
    es_link_life_start(world, l);
}
