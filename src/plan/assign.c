/* Baselines that put one class after the other as a whole: where it fits tightest, or at random. */
#include "base/rng.h"
#include "plan/internal.h"

#include <math.h>

typedef struct assigner {
    const es_problem *problem;
    es_solution *solution;
    double *memory_left;
    double *compute_left;
    double *link_left;
    uint32_t *order; /* of classes */
    double *loads;   /* per class: busy seconds per second of its cheapest path */
    es_rng rng;
    bool random;
} assigner;

/* The least room that a path would leave on its nodes, as a share of what they have, after hosting
 * what it needs; below 0: it does not fit. */
static double room_after(const assigner *a, uint32_t r, const es_path *path, bool memory_only)
{
    const es_problem *problem = a->problem;
    const uint32_t *hosts = problem->stage_hosts + path->stage_first;
    double rate = es_problem_rate(problem, r);
    double least = 1.0;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        uint32_t v = problem->hosts[hosts[k]].node.index;
        double load = 0.0;
        double bytes = 0.0;
        for (uint32_t j = 0; j < path->stage_count; j++) {
            bool told = a->solution->host_on[hosts[j]];
            for (uint32_t i = 0; i < j; i++)
                told = told || hosts[i] == hosts[j];
            if (problem->hosts[hosts[j]].node.index != v)
                continue;
            load += rate * problem->stage_loads[path->stage_first + j];
            bytes += told ? 0.0 : problem->hosts[hosts[j]].memory_bytes;
        }
        if (bytes > a->memory_left[v])
            return -1.0;
        if (!memory_only)
            least = fmin(least, (a->compute_left[v] - load) / problem->compute_s[v]);
    }
    for (uint32_t i = path->use_first; !memory_only && i < path->use_first + path->use_count; i++)
        if (rate * problem->uses[i].bits > a->link_left[problem->uses[i].row])
            return -1.0;
    return least;
}

static bool is_wanted(const assigner *a, uint32_t r, const es_path *path)
{
    return es_path_allowed(a->problem, r, path) && path->quality >= a->problem->quality_min[r];
}

/* The path that a class takes; ES_INDEX_NONE: none fits. */
static uint32_t choose_path(assigner *a, uint32_t r)
{
    uint32_t best = ES_INDEX_NONE;
    double best_room = (double)INFINITY;
    uint64_t seen = 0;
    for (uint32_t p = a->problem->class_paths[r]; p < a->problem->class_paths[r + 1]; p++) {
        const es_path *path = &a->problem->paths[p];
        double room = is_wanted(a, r, path) ? room_after(a, r, path, false) : -1.0;
        if (room < 0.0)
            continue;
        seen++;
        /* The k-th that fits replaces the choice with probability 1/k. */
        bool better = a->random ? es_rng_below(&a->rng, seen) == 0 : room < best_room;
        if (!better)
            continue;
        best = p;
        best_room = room;
    }
    return best;
}

/* Where nothing fits and refusing is not allowed: the cheapest that fits the memory. */
static uint32_t force_path(const assigner *a, uint32_t r)
{
    for (uint32_t p = a->problem->class_paths[r]; p < a->problem->class_paths[r + 1]; p++)
        if (room_after(a, r, &a->problem->paths[p], true) >= 0.0)
            return p;
    return ES_INDEX_NONE;
}

static void take_path(assigner *a, uint32_t r, uint32_t p)
{
    const es_problem *problem = a->problem;
    const es_path *path = &problem->paths[p];
    double rate = es_problem_rate(problem, r);
    a->solution->shares[p] = 1.0;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        uint32_t h = problem->stage_hosts[path->stage_first + k];
        uint32_t v = problem->hosts[h].node.index;
        if (!a->solution->host_on[h])
            a->memory_left[v] -= problem->hosts[h].memory_bytes;
        a->solution->host_on[h] = true;
        a->compute_left[v] -= rate * problem->stage_loads[path->stage_first + k];
    }
    for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
        a->link_left[problem->uses[i].row] -= rate * problem->uses[i].bits;
}

/* Best fit takes the heaviest first, random any order. */
static void sort_classes(assigner *a)
{
    uint32_t count = a->problem->class_count;
    for (uint32_t i = 0; i < count; i++)
        a->order[i] = i;
    for (uint32_t i = count; a->random && i > 1; i--) {
        uint32_t j = (uint32_t)es_rng_below(&a->rng, i);
        uint32_t swap = a->order[i - 1];
        a->order[i - 1] = a->order[j];
        a->order[j] = swap;
    }
    /* Heap sort would not keep ties in order; shell sort by (load, number) does not need to. */
    for (uint32_t gap = count / 2; !a->random && gap > 0; gap /= 2)
        for (uint32_t i = gap; i < count; i++) {
            uint32_t moved = a->order[i];
            uint32_t j = i;
            for (; j >= gap; j -= gap) {
                uint32_t other = a->order[j - gap];
                bool before = a->loads[moved] > a->loads[other] ||
                              (!(a->loads[moved] < a->loads[other]) && moved < other);
                if (!before)
                    break;
                a->order[j] = other;
            }
            a->order[j] = moved;
        }
}

static void sum_loads(assigner *a)
{
    const es_problem *problem = a->problem;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        if (problem->class_paths[r] == problem->class_paths[r + 1])
            continue;
        const es_path *path = &problem->paths[problem->class_paths[r]];
        for (uint32_t k = 0; k < path->stage_count; k++)
            a->loads[r] +=
                es_problem_rate(problem, r) * problem->stage_loads[path->stage_first + k];
    }
}

es_status es_solve_assign(es_arena *arena, const es_problem *problem, const es_plan_opts *opts,
                          es_solution **out_solution, es_error *err)
{
    assigner a = {.problem = problem,
                  .rng = es_rng_make(opts->seed, 0),
                  .random = opts->method == ES_PLAN_RANDOM};
    ES_TRY(es_solution_new(arena, problem, &a.solution, err));
    a.memory_left = ES_TAKE_ARRAY(arena, double, problem->node_count);
    a.compute_left = ES_TAKE_ARRAY(arena, double, problem->node_count);
    a.link_left = ES_TAKE_ARRAY(arena, double, problem->link_row_count);
    a.order = ES_TAKE_ARRAY(arena, uint32_t, problem->class_count);
    a.loads = ES_TAKE_ARRAY(arena, double, problem->class_count);
    if (a.memory_left == NULL || a.compute_left == NULL || a.link_left == NULL || a.order == NULL ||
        a.loads == NULL)
        return es_arena_full(arena, "assignment", err);
    memcpy(a.memory_left, problem->memory_bytes, problem->node_count * sizeof(double));
    memcpy(a.compute_left, problem->compute_s, problem->node_count * sizeof(double));
    if (problem->link_row_count > 0)
        memcpy(a.link_left, problem->link_bps, problem->link_row_count * sizeof(double));
    sum_loads(&a);
    sort_classes(&a);
    a.solution->quality = ES_PLAN_FEASIBLE;
    for (uint32_t i = 0; i < problem->class_count; i++) {
        uint32_t r = a.order[i];
        uint32_t p = choose_path(&a, r);
        if (p == ES_INDEX_NONE && !isfinite(problem->refusal_cost))
            p = force_path(&a, r);
        if (p != ES_INDEX_NONE)
            take_path(&a, r, p);
        else if (isfinite(problem->refusal_cost))
            a.solution->refused[r] = 1.0;
        else
            a.solution->quality = ES_PLAN_UNKNOWN;
    }
    if (a.solution->quality == ES_PLAN_FEASIBLE)
        es_solution_tidy(problem, a.solution);
    *out_solution = a.solution;
    return ES_OK;
}
