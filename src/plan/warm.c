/* Planning from a plan that runs: what it lacks has a price, and it is where solvers start. */
#include "plan/internal.h"

#include <math.h>

static es_status mark_hosts(es_arena *arena, es_problem *problem, const es_plan_opts *opts,
                            es_error *err)
{
    const es_plan *old = opts->warm_start;
    es_host *hosts = ES_TAKE_ARRAY(arena, es_host, problem->host_count);
    bool *warm = ES_TAKE_ARRAY(arena, bool, problem->host_count);
    if (hosts == NULL || warm == NULL)
        return es_arena_full(arena, "hosts", err);
    for (uint32_t h = 0; h < problem->host_count; h++)
        hosts[h] = problem->hosts[h];
    for (size_t i = 0; i < old->placement_count; i++) {
        const es_placement *placement = &old->placements[i];
        if (placement->node.index >= problem->node_count)
            continue;
        for (uint32_t k = problem->node_host_first[placement->node.index];
             k < problem->node_host_first[placement->node.index + 1]; k++) {
            uint32_t h = problem->node_hosts[k];
            if (hosts[h].segment.index == placement->segment.index)
                warm[h] = true;
        }
    }
    for (uint32_t h = 0; h < problem->host_count; h++) {
        if (warm[h])
            continue;
        hosts[h].move_per_s = opts->move_price + opts->move_price_per_byte * hosts[h].memory_bytes;
        hosts[h].hosting_per_s += hosts[h].move_per_s;
    }
    problem->hosts = hosts;
    problem->host_warm = warm;
    return ES_OK;
}

es_status es_problem_build_warm(es_arena *arena, const es_scenario *scenario, es_problem_opts paths,
                                const es_plan_opts *opts, es_problem **out_problem, es_error *err)
{
    es_problem *problem;
    ES_TRY(es_problem_build(arena, scenario, paths, &problem, err));
    if (opts->warm_start != NULL)
        ES_TRY(mark_hosts(arena, problem, opts, err));
    *out_problem = problem;
    return ES_OK;
}

/* Replicas, memory and the number of hosts must hold of the hosts themselves. */
static bool hosts_hold(const es_problem *problem)
{
    uint32_t count = 0;
    for (uint32_t v = 0; v < problem->node_count; v++) {
        double bytes = 0.0;
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++) {
            uint32_t h = problem->node_hosts[i];
            if (!problem->host_warm[h])
                continue;
            bytes += problem->hosts[h].memory_bytes;
            count++;
        }
        if (bytes > problem->memory_bytes[v])
            return false;
    }
    for (uint32_t s = 0; s < problem->segment_count && problem->replicas_min > 1; s++) {
        uint32_t replicas = 0;
        for (uint32_t i = problem->segment_host_first[s]; i < problem->segment_host_first[s + 1];
             i++)
            replicas += problem->host_warm[problem->segment_hosts[i]] ? 1 : 0;
        if (replicas > 0 && replicas < problem->replicas_min)
            return false;
    }
    return problem->hosts_max == 0 || count <= problem->hosts_max;
}

es_status es_solve_warm(es_arena *arena, const es_problem *problem, es_solution **out_start,
                        es_error *err)
{
    es_solution *start;
    *out_start = NULL;
    if (problem->host_warm == NULL || !hosts_hold(problem))
        return ES_OK;
    ES_TRY(es_solve_routing(arena, problem, problem->host_warm, &start, err));
    if (start->quality == ES_PLAN_FEASIBLE)
        *out_start = start;
    return ES_OK;
}
