/* Large scenarios: few tuples first, then those that pay at the prices found. */
#include "plan/decompose.h"

#include <math.h>

enum { ROUNDS = 3 };
static const double ROUNDING = 1e-9;
/* Of the time left, by round: for the solve. */
static const double SOLVE_SHARES[ROUNDS] = {0.3, 0.5, 0.8};

typedef struct wide {
    es_arena *scratch;
    const es_plan_opts *opts;
    const es_deadline *deadline;
    es_problem *problem; /* of best */
    es_solution *best;   /* NULL: none yet */
    double cost;
    double bound;
    es_error *err;
} wide;

static bool has_plan(const es_solution *solution)
{
    return solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE;
}

/* Hosts of the best solution in another layout, with nothing routed yet; NULL: none. */
static es_status carry_over(const wide *w, const es_problem *to, es_solution **out_start)
{
    *out_start = NULL;
    if (w->best == NULL)
        return es_solve_warm(w->scratch, to, out_start, w->err);
    ES_TRY(es_solution_new(w->scratch, to, out_start, w->err));
    (*out_start)->quality = ES_PLAN_FEASIBLE;
    for (uint32_t h = 0; h < w->problem->host_count; h++) {
        if (!w->best->host_on[h])
            continue;
        const es_host *host = &w->problem->hosts[h];
        uint32_t v = host->node.index;
        for (uint32_t i = to->node_host_first[v]; i < to->node_host_first[v + 1]; i++)
            if (to->hosts[to->node_hosts[i]].segment.index == host->segment.index)
                (*out_start)->host_on[to->node_hosts[i]] = true;
    }
    return ES_OK;
}

/* Only these can have other hosts routed anew. */
static bool can_carry(const es_problem *problem)
{
    return problem->replicas_min < 2 && problem->hosts_max == 0 && !problem->unsplittable &&
           !(problem->energy_w_max > 0.0) && !(problem->carbon_g_per_s_max > 0.0);
}

static es_status solve_round(wide *w, es_problem *problem, es_problem_opts lists, double share,
                             es_path_prices *out_prices)
{
    es_deadline part = es_deadline_part(w->deadline, share);
    es_solution *start = NULL;
    es_solution *found;
    es_decompose_memory memory = {0};
    double loss;
    bool complete;
    if (can_carry(problem))
        ES_TRY(carry_over(w, problem, &start));
    ES_TRY(es_solve_decomposition_warm(w->scratch, problem, w->opts, &part, start, NULL, &found,
                                       &memory, NULL, w->err));
    *out_prices = (es_path_prices){.pi = memory.prices,
                                   .mu = memory.prices + problem->class_count,
                                   .kappa = memory.prices + problem->class_count +
                                            problem->node_count + problem->link_row_count};
    ES_TRY(es_problem_rest(w->scratch, problem->scenario, lists, out_prices, w->deadline, &loss,
                           &complete, w->err));
    /* Both are large where the lists do not suffice: what cancels must not count. */
    double rounding = ROUNDING * (fabs(found->bound) + loss);
    if (complete && isfinite(found->bound))
        w->bound = fmax(w->bound, found->bound - loss - rounding);
    double cost = has_plan(found) ? es_solution_cost(problem, found) : (double)INFINITY;
    if (w->best == NULL || cost < w->cost) {
        w->best = found;
        w->cost = cost;
        w->problem = problem;
    }
    return ES_OK;
}

static bool solved(const wide *w)
{
    return has_plan(w->best) &&
           w->cost - w->bound <= w->opts->gap_relative * fmax(fabs(w->cost), 1e-9);
}

es_status es_solve_wide(es_arena *scratch, es_problem_opts lists, const es_plan_opts *opts,
                        const es_deadline *deadline, es_problem **problem,
                        es_solution **out_solution, es_error *err)
{
    wide w = {.scratch = scratch,
              .opts = opts,
              .deadline = deadline,
              .cost = (double)INFINITY,
              .bound = es_problem_relaxed_bound(*problem),
              .err = err};
    es_problem *now = *problem;
    es_path_prices prices;
    for (int round = 0; round < ROUNDS; round++) {
        if (round > 0) {
            lists.prices = prices;
            ES_TRY(es_problem_build_warm(scratch, (*problem)->scenario, lists, opts, &now, err));
        }
        ES_TRY(solve_round(&w, now, lists, SOLVE_SHARES[round], &prices));
        if (solved(&w) || es_deadline_left_s(deadline) <= 0.0)
            break;
    }
    if (has_plan(w.best))
        w.best->quality = solved(&w) ? ES_PLAN_OPTIMAL : ES_PLAN_FEASIBLE;
    w.best->bound = has_plan(w.best) ? fmin(w.bound, w.cost) : w.bound;
    w.problem->truncated = false; /* the bound counts what is left out */
    *problem = w.problem;
    *out_solution = w.best;
    return ES_OK;
}
