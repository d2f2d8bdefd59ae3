#include "simulate/internal.h"

#include <assert.h>
#include <math.h>

static es_strata shifted(es_strata strata, double shift_s)
{
    for (size_t i = 0; i < ES_STRATA; i++)
        strata.value_s[i] += shift_s;
    return strata;
}

/* Share of the slot's visits, the last ones, whose turn would come after the end of the run: they
 * come evenly, and find a backlog that goes evenly from first_s to last_s. */
static double unfinished_share(double start_s, double slot_s, double end_s, double first_s,
                               double last_s)
{
    double turn_first_s = start_s + first_s;
    double turn_last_s = start_s + slot_s + last_s;
    if (turn_last_s <= end_s)
        return 0;
    if (turn_first_s >= end_s)
        return 1;
    return (turn_last_s - end_s) / (turn_last_s - turn_first_s);
}

static void step_settled(es_sim_node *node, double slot_s, double horizon_s)
{
    es_wait wait = es_queue_wait(&node->load, node->servers, slot_s);
    wait.mean_s =
        fmin(wait.mean_s, es_queue_wait_bound(&node->load, node->servers, slot_s, horizon_s));
    node->waits = wait.mean_s > 0;
    node->wait = es_strata_of_wait(wait);
    node->done_s = node->load.work_s;
    node->done_j = node->load.energy_j;
}

static void step_backlogged(es_sim_node *node, double start_s, double slot_s, double end_s,
                            double horizon_s)
{
    double capacity_s = node->servers * slot_s;
    double due_s = node->backlog_s + node->load.work_s;
    double after_s = fmax(due_s - capacity_s, 0);
    double first_s = node->backlog_s / node->servers;
    double last_s = after_s / node->servers;
    double chance_s = es_queue_wait_bound(&node->load, node->servers, slot_s, horizon_s);
    const es_strata none = {{0}};
    if (after_s > 0) {
        node->unfinished = unfinished_share(start_s, slot_s, end_s, first_s, last_s);
        double served_last_s = first_s + (last_s - first_s) * (1 - node->unfinished);
        node->wait = shifted(es_strata_of_backlog(first_s, served_last_s, 1, &none), chance_s);
    } else {
        double free_s = capacity_s - node->load.work_s; /* > 0 unless both are 0 */
        double drained = free_s > 0 ? fmin(node->backlog_s / free_s, 1) : 1;
        es_strata settled = none;
        if (free_s > 0) {
            es_wait wait = es_queue_wait(&node->load, node->servers, slot_s);
            wait.mean_s = fmin(wait.mean_s, chance_s);
            settled = es_strata_of_wait(wait);
        }
        node->wait = es_strata_of_backlog(first_s, 0, drained, &settled);
    }
    node->waits = true;
    double done = due_s > 0 ? (due_s - after_s) / due_s : 1;
    node->done_s = due_s - after_s;
    node->done_j = done * (node->backlog_j + node->load.energy_j);
    node->backlog_j = (1 - done) * (node->backlog_j + node->load.energy_j);
    node->backlog_s = after_s;
}

void es_sim_node_step(es_sim_node *node, double start_s, double slot_s, double end_s,
                      double horizon_s)
{
    assert(node->servers >= 1);
    node->unfinished = 0;
    if (node->backlog_s <= 0 && node->load.work_s < node->servers * slot_s)
        step_settled(node, slot_s, horizon_s);
    else
        step_backlogged(node, start_s, slot_s, end_s, horizon_s);
    node->load = (es_load){0};
}
