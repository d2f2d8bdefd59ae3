/* Improvement: drop, add, swap and route again, each move kept only when the whole gets cheaper. */
#include "plan/greedy.h"

#include <math.h>

/* A move must save this part of the cost, or rounding could go round in circles. */
static const double SAVING_MIN = 1e-10;

static bool improved(const es_greedy *greedy)
{
    return greedy->now.cost < greedy->saved.cost - SAVING_MIN * (1.0 + fabs(greedy->saved.cost));
}

static bool time_is_up(const es_greedy *greedy)
{
    return es_deadline_left_s(greedy->deadline) <= 0.0;
}

static bool class_takes(const es_greedy *greedy, uint32_t class_index, uint32_t host)
{
    const es_problem *problem = greedy->problem;
    const es_greedy_class *c = &greedy->now.classes[class_index];
    for (uint32_t i = 0; i < c->part_count; i++) {
        const es_path *path = &problem->paths[c->parts[i].path];
        for (uint32_t k = 0; k < path->stage_count; k++)
            if (problem->stage_hosts[path->stage_first + k] == host)
                return true;
    }
    return false;
}

/* Closes a host, or its whole segment when too few replicas would remain, and moves its users. */
static void force_close(es_greedy *greedy, uint32_t host)
{
    const es_problem *problem = greedy->problem;
    uint32_t s = problem->hosts[host].segment.index;
    bool whole = greedy->now.segment_open[s] <= problem->replicas_min;
    for (uint32_t i = problem->segment_host_first[s]; i < problem->segment_host_first[s + 1]; i++) {
        uint32_t h = problem->segment_hosts[i];
        if (!greedy->now.open[h] || (h != host && !whole))
            continue;
        /* Closed before its users look for another way, which then cannot be this one. */
        bool used = greedy->now.host_users[h] > 0;
        es_greedy_close(greedy, h);
        for (uint32_t r = 0; used && r < problem->class_count; r++) {
            if (!class_takes(greedy, r, h))
                continue;
            es_greedy_release(greedy, r);
            es_greedy_route(greedy, r);
        }
    }
}

static bool drop_pass(es_greedy *greedy)
{
    bool any = false;
    for (uint32_t h = 0; h < greedy->problem->host_count && !time_is_up(greedy); h++) {
        if (!greedy->now.open[h])
            continue;
        es_greedy_save(greedy);
        force_close(greedy, h);
        es_greedy_close_unused(greedy);
        if (improved(greedy))
            any = true;
        else
            es_greedy_restore(greedy);
    }
    return any;
}

/* Frees memory for a host by closing others of its node, those with fewest users first. */
static bool make_room(es_greedy *greedy, uint32_t host)
{
    const es_problem *problem = greedy->problem;
    const es_host *wanted = &problem->hosts[host];
    uint32_t v = wanted->node.index;
    while (!greedy->now.open[host] && greedy->now.memory_left[v] < wanted->memory_bytes) {
        uint32_t victim = ES_INDEX_NONE;
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++) {
            uint32_t h = problem->node_hosts[i];
            if (greedy->now.open[h] && h != host &&
                (victim == ES_INDEX_NONE ||
                 greedy->now.host_users[h] < greedy->now.host_users[victim]))
                victim = h;
        }
        if (victim == ES_INDEX_NONE)
            return false;
        force_close(greedy, victim);
    }
    return true;
}

/* Closes the open host with the fewest users when no more hosts are allowed. */
static bool make_number(es_greedy *greedy, uint32_t host)
{
    const es_problem *problem = greedy->problem;
    while (problem->hosts_max > 0 && !greedy->now.open[host] &&
           greedy->now.hosts_open >= problem->hosts_max) {
        uint32_t victim = ES_INDEX_NONE;
        for (uint32_t h = 0; h < problem->host_count; h++)
            if (greedy->now.open[h] && (victim == ES_INDEX_NONE ||
                                        greedy->now.host_users[h] < greedy->now.host_users[victim]))
                victim = h;
        if (victim == ES_INDEX_NONE)
            return false;
        force_close(greedy, victim);
    }
    return true;
}

/* Opens a bundle, by force where memory is short, and sees what it is worth. */
static bool try_bundle(es_greedy *greedy, uint32_t bundle)
{
    const es_problem *problem = greedy->problem;
    uint32_t first = greedy->bundles.paths[greedy->bundles.first[bundle]];
    const es_path *path = &problem->paths[first];
    es_greedy_save(greedy);
    for (uint32_t k = 0; k < path->stage_count; k++)
        if (!make_room(greedy, problem->stage_hosts[path->stage_first + k]) ||
            !make_number(greedy, problem->stage_hosts[path->stage_first + k]) ||
            !es_greedy_open(greedy, problem->stage_hosts[path->stage_first + k])) {
            es_greedy_restore(greedy);
            return false;
        }
    /* Room made for one stage may have closed another's host. */
    if (es_greedy_open_path(greedy, first)) {
        es_greedy_use(greedy, bundle);
        es_greedy_close_unused(greedy);
        if (improved(greedy))
            return true;
    }
    es_greedy_restore(greedy);
    return false;
}

/* Bundles that promise something before hosting is paid for; a swap may pay what an addition
 * does not, so the price of the hosts is forgiven here. */
static bool add_pass(es_greedy *greedy)
{
    bool any = false;
    for (uint32_t b = 0; b < greedy->bundles.count && !time_is_up(greedy); b++) {
        double ignored;
        if (es_greedy_estimate(greedy, b, &ignored) > 0.0 && try_bundle(greedy, b))
            any = true;
    }
    return any;
}

/* Opens a bundle and then closes each host on the same nodes' tier that lost by it: a swap. */
static bool swap_once(es_greedy *greedy, uint32_t bundle, uint32_t victim)
{
    uint32_t first = greedy->bundles.paths[greedy->bundles.first[bundle]];
    es_greedy_save(greedy);
    force_close(greedy, victim);
    if (es_greedy_open_path(greedy, first)) {
        const es_problem *problem = greedy->problem;
        es_greedy_use(greedy, bundle);
        es_greedy_close_unused(greedy);
        (void)problem;
        if (improved(greedy))
            return true;
    }
    es_greedy_restore(greedy);
    return false;
}

/* For every open host, the bundles that its users could take instead. */
static bool swap_pass(es_greedy *greedy)
{
    const es_problem *problem = greedy->problem;
    enum { TRIES_PER_CLASS = 4 };
    bool any = false;
    for (uint32_t h = 0; h < problem->host_count; h++)
        for (uint32_t r = 0; r < problem->class_count && greedy->now.open[h]; r++) {
            if (time_is_up(greedy))
                return any;
            if (!class_takes(greedy, r, h))
                continue;
            int tries = 0;
            for (uint32_t p = problem->class_paths[r];
                 p < problem->class_paths[r + 1] && tries < TRIES_PER_CLASS; p++) {
                bool closed = false;
                const es_path *path = &problem->paths[p];
                for (uint32_t k = 0; k < path->stage_count; k++)
                    closed =
                        closed || !greedy->now.open[problem->stage_hosts[path->stage_first + k]];
                if (!closed)
                    continue;
                tries++;
                if (swap_once(greedy, greedy->bundles.of_path[p], h)) {
                    any = true;
                    break;
                }
            }
        }
    return any;
}

/* Takes each class off and puts it back: room freed since may suit it better. */
static bool route_pass(es_greedy *greedy)
{
    bool any = false;
    for (uint32_t r = 0; r < greedy->problem->class_count && !time_is_up(greedy); r++) {
        es_greedy_save(greedy);
        es_greedy_release(greedy, r);
        es_greedy_route(greedy, r);
        if (improved(greedy))
            any = true;
        else
            es_greedy_restore(greedy);
    }
    return any;
}

es_status es_greedy_improve(es_greedy *greedy, es_arena *arena, es_error *err)
{
    enum { ROUNDS_MAX = 50 };
    (void)arena;
    (void)err;
    es_greedy_close_unused(greedy);
    for (int round = 0; round < ROUNDS_MAX && !time_is_up(greedy); round++) {
        bool any = drop_pass(greedy);
        any = add_pass(greedy) || any;
        any = route_pass(greedy) || any;
        any = swap_pass(greedy) || any;
        if (!any)
            break;
    }
    return ES_OK;
}
