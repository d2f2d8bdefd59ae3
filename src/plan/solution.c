#include "plan/internal.h"

#include <math.h>

es_status es_solution_new(es_arena *arena, const es_problem *problem, es_solution **out_solution,
                          es_error *err)
{
    es_solution *solution = ES_TAKE_ONE(arena, es_solution);
    if (solution == NULL)
        return es_arena_full(arena, "solution", err);
    solution->quality = ES_PLAN_UNKNOWN;
    solution->bound = -(double)INFINITY;
    solution->host_on = ES_TAKE_ARRAY(arena, bool, problem->host_count);
    solution->host_used = ES_TAKE_ARRAY(arena, bool, problem->host_count);
    solution->shares = ES_TAKE_ARRAY(arena, double, problem->path_count);
    solution->refused = ES_TAKE_ARRAY(arena, double, problem->class_count);
    if (solution->host_on == NULL || solution->host_used == NULL || solution->shares == NULL ||
        solution->refused == NULL)
        return es_arena_full(arena, "solution", err);
    *out_solution = solution;
    return ES_OK;
}

static bool hosts_on(const es_problem *problem, const es_solution *solution, const es_path *path)
{
    for (uint32_t k = 0; k < path->stage_count; k++)
        if (!solution->host_on[problem->stage_hosts[path->stage_first + k]])
            return false;
    return true;
}

/* A class that may not split goes the way that most of it goes. */
static void make_whole(const es_problem *problem, es_solution *solution, uint32_t r)
{
    uint32_t first = problem->class_paths[r];
    uint32_t end = problem->class_paths[r + 1];
    uint32_t best = end;
    double most = solution->refused[r];
    for (uint32_t p = first; p < end; p++) {
        if (solution->shares[p] <= most)
            continue;
        most = solution->shares[p];
        best = p;
    }
    if (most <= 0.0)
        return;
    for (uint32_t p = first; p < end; p++)
        solution->shares[p] = p == best ? 1.0 : 0.0;
    solution->refused[r] = best == end ? 1.0 : 0.0;
}

static void tidy_class(const es_problem *problem, es_solution *solution, uint32_t r)
{
    bool may_refuse = isfinite(problem->refusal_cost) || problem->class_off[r];
    if (solution->refused[r] < ES_PLAN_SHARE_MIN || !may_refuse)
        solution->refused[r] = 0.0;
    double sum = solution->refused[r];
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        if (solution->shares[p] < ES_PLAN_SHARE_MIN ||
            !hosts_on(problem, solution, &problem->paths[p]))
            solution->shares[p] = 0.0;
        sum += solution->shares[p];
    }
    if (problem->unsplittable) {
        make_whole(problem, solution, r);
        return;
    }
    if (sum <= 0.0 || sum == 1.0)
        return;
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
        solution->shares[p] /= sum;
    solution->refused[r] /= sum;
}

/* Closes hosts no share takes, but keeps replicas_min of every segment in use. */
static void close_unused(const es_problem *problem, es_solution *solution)
{
    for (uint32_t s = 0; s < problem->segment_count; s++) {
        uint32_t first = problem->segment_host_first[s];
        uint32_t end = problem->segment_host_first[s + 1];
        uint32_t used = 0;
        for (uint32_t i = first; i < end; i++)
            used += solution->host_used[problem->segment_hosts[i]] ? 1 : 0;
        for (uint32_t i = first; i < end; i++) {
            uint32_t h = problem->segment_hosts[i];
            if (!solution->host_on[h] || solution->host_used[h])
                continue;
            if (used > 0 && used < problem->replicas_min)
                used++;
            else
                solution->host_on[h] = false;
        }
    }
}

void es_solution_tidy(const es_problem *problem, es_solution *solution)
{
    for (uint32_t r = 0; r < problem->class_count; r++)
        tidy_class(problem, solution, r);
    memset(solution->host_used, 0, problem->host_count * sizeof *solution->host_used);
    for (uint32_t p = 0; p < problem->path_count; p++)
        for (uint32_t k = 0; solution->shares[p] > 0.0 && k < problem->paths[p].stage_count; k++)
            solution->host_used[problem->stage_hosts[problem->paths[p].stage_first + k]] = true;
    close_unused(problem, solution);
}

double es_solution_cost(const es_problem *problem, const es_solution *solution)
{
    double cost = 0.0;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double rate = es_problem_rate(problem, r);
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (solution->shares[p] > 0.0)
                cost += rate * solution->shares[p] * problem->paths[p].cost;
        if (solution->refused[r] > 0.0 && !problem->class_off[r])
            cost += rate * solution->refused[r] * problem->refusal_cost;
    }
    for (uint32_t v = 0; v < problem->node_count; v++) {
        bool on = false;
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++) {
            uint32_t h = problem->node_hosts[i];
            if (solution->host_on[h])
                cost += problem->hosts[h].hosting_per_s;
            on = on || solution->host_on[h];
        }
        if (on)
            cost += es_problem_on_cost(problem, v);
    }
    return cost;
}

static int compare_placements(const void *left, const void *right)
{
    const es_placement *a = left;
    const es_placement *b = right;
    if (a->node.index != b->node.index)
        return a->node.index < b->node.index ? -1 : 1;
    return a->segment.index < b->segment.index ? -1 : a->segment.index > b->segment.index;
}

static int compare_routings(const void *left, const void *right)
{
    const es_routing *a = left;
    const es_routing *b = right;
    if (a->class_id.index != b->class_id.index)
        return a->class_id.index < b->class_id.index ? -1 : 1;
    if (a->pipeline.index != b->pipeline.index)
        return a->pipeline.index < b->pipeline.index ? -1 : 1;
    for (int k = 0; k < ES_STAGE_COUNT_MAX; k++)
        if (a->nodes[k].index != b->nodes[k].index)
            return a->nodes[k].index < b->nodes[k].index ? -1 : 1;
    return 0;
}

void es_plan_sort(es_placement *placements, size_t placement_count, es_routing *routings,
                  size_t routing_count)
{
    if (placement_count > 1)
        qsort(placements, placement_count, sizeof *placements, compare_placements);
    if (routing_count > 1)
        qsort(routings, routing_count, sizeof *routings, compare_routings);
}

static es_status fill_plan(es_arena *arena, const es_problem *problem, const es_solution *solution,
                           es_plan *plan, es_error *err)
{
    size_t placement_count = 0;
    size_t routing_count = 0;
    for (uint32_t h = 0; h < problem->host_count; h++)
        placement_count += solution->host_on[h] ? 1 : 0;
    for (uint32_t p = 0; p < problem->path_count; p++)
        routing_count += solution->shares[p] > 0.0 ? 1 : 0;
    es_placement *placements = ES_TAKE_ARRAY(arena, es_placement, placement_count);
    es_routing *routings = ES_TAKE_ARRAY(arena, es_routing, routing_count);
    double *refused = ES_TAKE_ARRAY(arena, double, problem->class_count);
    if (placements == NULL || routings == NULL || refused == NULL)
        return es_arena_full(arena, "plan", err);
    size_t at = 0;
    for (uint32_t h = 0; h < problem->host_count; h++)
        if (solution->host_on[h])
            placements[at++] = (es_placement){problem->hosts[h].node, problem->hosts[h].segment};
    at = 0;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        refused[r] = solution->refused[r];
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            if (solution->shares[p] <= 0.0)
                continue;
            es_routing *routing = &routings[at++];
            *routing = (es_routing){
                .class_id = {r}, .pipeline = path->pipeline, .share = solution->shares[p]};
            for (uint32_t k = 0; k < path->stage_count; k++)
                routing->nodes[k] =
                    problem->hosts[problem->stage_hosts[path->stage_first + k]].node;
        }
    }
    es_plan_sort(placements, placement_count, routings, routing_count);
    plan->placement_count = placement_count;
    plan->placements = placements;
    plan->routing_count = routing_count;
    plan->routings = routings;
    plan->refused_share = refused;
    return ES_OK;
}

es_status es_plan_from_solution(es_arena *arena, const es_problem *problem,
                                const es_solution *solution, es_plan_method method,
                                double gap_relative, const char *conflict, const es_plan **out_plan,
                                es_error *err)
{
    es_plan *plan = ES_TAKE_ONE(arena, es_plan);
    double *refused = ES_TAKE_ARRAY(arena, double, problem->class_count);
    if (plan == NULL || refused == NULL)
        return es_arena_full(arena, "plan", err);
    *plan = (es_plan){.method = method,
                      .quality = solution->quality,
                      .objective = (double)INFINITY,
                      .bound = solution->bound,
                      .gap_relative = (double)INFINITY,
                      .refused_share = refused};
    plan->scenario = es_arena_text(arena, problem->scenario->name);
    plan->conflict = es_arena_text(arena, conflict);
    if ((plan->scenario == NULL && problem->scenario->name != NULL) ||
        (plan->conflict == NULL && conflict != NULL))
        return es_arena_full(arena, "plan", err);
    if (plan->quality == ES_PLAN_OPTIMAL || plan->quality == ES_PLAN_FEASIBLE) {
        ES_TRY(fill_plan(arena, problem, solution, plan, err));
        plan->objective = es_solution_cost(problem, solution);
        plan->bound = fmin(plan->bound, plan->objective);
        for (uint32_t h = 0; problem->host_warm != NULL && h < problem->host_count; h++)
            if (solution->host_on[h] && !problem->host_warm[h]) {
                plan->move_count++;
                plan->move_cost_per_s += problem->hosts[h].move_per_s;
            }
        if (isfinite(plan->bound))
            plan->gap_relative =
                (plan->objective - plan->bound) / fmax(fabs(plan->objective), 1e-9);
        if (plan->gap_relative <= gap_relative * (1.0 + 1e-9) + 1e-15)
            plan->quality = ES_PLAN_OPTIMAL;
        else
            plan->quality = ES_PLAN_FEASIBLE;
    }
    *out_plan = plan;
    return ES_OK;
}
