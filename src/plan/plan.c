#include "plan/decompose.h"

#include <math.h>

const char *const es_plan_method_names[ES_PLAN_METHOD_COUNT] = {
    "auto",       "exact",     "greedy",       "decomposition", "device-only",
    "cloud-only", "edge-only", "single-split", "best-fit",      "random"};
const char *const es_plan_quality_names[ES_PLAN_QUALITY_COUNT] = {"optimal", "feasible",
                                                                  "infeasible", "unknown"};

es_plan_opts es_plan_opts_default(void)
{
    return (es_plan_opts){.method = ES_PLAN_AUTO,
                          .time_limit_s = 60.0,
                          .gap_relative = 1e-4,
                          .thread_count = 1,
                          .seed = 1,
                          .clock = NULL,
                          .exact_size_max = 2000};
}

static es_status check_opts(const es_plan_opts *opts, es_error *err)
{
    if ((unsigned)opts->method >= ES_PLAN_METHOD_COUNT)
        return es_fail(err, ES_ERR_ARG, "plan: method=%d must be 0..%d", (int)opts->method,
                       ES_PLAN_METHOD_COUNT - 1);
    if (!(opts->time_limit_s > 0.0) || !isfinite(opts->time_limit_s))
        return es_fail(err, ES_ERR_ARG, "plan: time_limit_s=%g must be finite and > 0",
                       opts->time_limit_s);
    if (!(opts->gap_relative >= 0.0) || !(opts->gap_relative < 1.0))
        return es_fail(err, ES_ERR_ARG, "plan: gap_relative=%g must be in [0, 1)",
                       opts->gap_relative);
    if (!(opts->move_price >= 0.0) || !isfinite(opts->move_price))
        return es_fail(err, ES_ERR_ARG, "plan: move_price=%g must be finite and >= 0",
                       opts->move_price);
    if (!(opts->move_price_per_byte >= 0.0) || !isfinite(opts->move_price_per_byte))
        return es_fail(err, ES_ERR_ARG, "plan: move_price_per_byte=%g must be finite and >= 0",
                       opts->move_price_per_byte);
    if (opts->thread_count > 1024)
        return es_fail(err, ES_ERR_ARG, "plan: thread_count=%u must be at most 1024",
                       (unsigned)opts->thread_count);
    return ES_OK;
}

static bool has_plan(const es_solution *solution)
{
    return solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE;
}

/* The plan that runs, where it is the better one. */
static es_status prefer_warm(es_arena *scratch, const es_problem *problem, es_solution **start,
                             es_error *err)
{
    es_solution *warm;
    ES_TRY(es_solve_warm(scratch, problem, &warm, err));
    if (warm == NULL ||
        (has_plan(*start) && es_solution_cost(problem, *start) <= es_solution_cost(problem, warm)))
        return ES_OK;
    warm->bound = (*start)->bound;
    *start = warm;
    return ES_OK;
}

es_status es_solve_exact_warm(es_arena *scratch, const es_problem *problem,
                              const es_plan_opts *opts, const es_deadline *deadline,
                              es_solution **out_solution, es_error *err)
{
    es_solution *start;
    es_solution *exact;
    es_deadline early = *deadline;
    early.end_ns -= es_ns_from_s(es_deadline_left_s(deadline) * 0.75);
    ES_TRY(es_solve_greedy(scratch, problem, opts, &early, &start, err));
    ES_TRY(prefer_warm(scratch, problem, &start, err));
    ES_TRY(es_solve_exact(scratch, problem, opts, deadline, has_plan(start) ? start : NULL, &exact,
                          err));
    double bound = fmax(start->bound, exact->bound);
    bool start_wins = has_plan(start) && (!has_plan(exact) || es_solution_cost(problem, start) <
                                                                  es_solution_cost(problem, exact));
    if (start_wins) {
        *out_solution = start;
        /* A start that satisfies every constraint outweighs a claim that none can. */
        start->bound = exact->quality == ES_PLAN_INFEASIBLE ? start->bound : bound;
        start->quality = ES_PLAN_FEASIBLE;
    } else {
        *out_solution = exact;
        exact->bound = has_plan(exact) ? bound : exact->bound;
    }
    return ES_OK;
}

/* Greedy's plan within a fifth of the time, made better with prices; keeps the better bound. */
static es_status solve_decomposition(es_arena *scratch, const es_problem *problem,
                                     const es_plan_opts *opts, const es_deadline *deadline,
                                     es_solution **out_solution, es_error *err)
{
    es_solution *start;
    es_solution *found;
    es_deadline early = *deadline;
    early.end_ns -= es_ns_from_s(es_deadline_left_s(deadline) * 0.8);
    ES_TRY(es_solve_greedy(scratch, problem, opts, &early, &start, err));
    ES_TRY(prefer_warm(scratch, problem, &start, err));
    ES_TRY(es_solve_decomposition(scratch, problem, opts, deadline, has_plan(start) ? start : NULL,
                                  &found, err));
    if (has_plan(found))
        found->bound = fmax(found->bound, start->bound);
    *out_solution = found;
    return ES_OK;
}

/* What is proven about the paths that were kept says nothing about those left out. */
static void weaken_truncated(const es_problem *problem, es_solution *solution)
{
    if (!problem->truncated)
        return;
    solution->bound = es_problem_relaxed_bound(problem);
    if (solution->quality == ES_PLAN_OPTIMAL)
        solution->quality = ES_PLAN_FEASIBLE;
    if (solution->quality == ES_PLAN_INFEASIBLE)
        solution->quality = ES_PLAN_UNKNOWN;
}

static es_status explain(es_arena *arena, es_arena *scratch, const es_problem *problem,
                         const es_solution *solution, const es_plan **plan, es_error *err)
{
    es_plan *explained = ES_TAKE_ONE(arena, es_plan);
    if (explained == NULL)
        return es_arena_full(arena, "plan", err);
    *explained = **plan;
    ES_TRY(es_plan_make_explanation(arena, scratch, problem, solution, *plan,
                                    &explained->explanation, err));
    *plan = explained;
    return ES_OK;
}

es_status es_plan_write_mps(const es_scenario *scenario, es_plan_opts opts, es_text *out,
                            es_error *err)
{
    es_problem *problem;
    ES_TRY(check_opts(&opts, err));
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_PLAN_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory to lay out");
    ES_TRY(
        es_problem_build_warm(scratch, scenario, es_problem_opts_default(), &opts, &problem, err));
    return es_problem_write_mps(scratch, problem, out, err);
}

/* The decomposition knows no limits over all nodes, so that exact goes further with those. */
static es_plan_method choose_method(const es_problem *problem, const es_plan_opts *opts)
{
    bool joined = problem->unsplittable || problem->hosts_max > 0 || problem->replicas_min > 1 ||
                  problem->energy_w_max > 0.0 || problem->carbon_g_per_s_max > 0.0;
    size_t most = joined ? 10 * opts->exact_size_max : opts->exact_size_max;
    return problem->path_count <= most ? ES_PLAN_EXACT : ES_PLAN_DECOMPOSITION;
}

static es_status solve_in(es_arena *arena, es_arena *scratch, const es_scenario *scenario,
                          const es_plan_opts *opts, const es_deadline *deadline,
                          const es_plan **out_plan, es_error *err)
{
    es_problem *problem;
    es_solution *solution;
    const char *conflict = NULL;
    if (es_plan_method_is_baseline(opts->method))
        return es_solve_baseline(arena, scratch, scenario, opts, deadline, out_plan, err);
    ES_TRY(
        es_problem_build_warm(scratch, scenario, es_problem_opts_default(), opts, &problem, err));
    es_plan_method method = opts->method;
    if (method == ES_PLAN_AUTO)
        method = choose_method(problem, opts);
    if (method == ES_PLAN_EXACT)
        ES_TRY(es_solve_exact_warm(scratch, problem, opts, deadline, &solution, err));
    else if (method == ES_PLAN_DECOMPOSITION && problem->truncated)
        ES_TRY(es_solve_wide(scratch, es_problem_opts_default(), opts, deadline, &problem,
                             &solution, err));
    else if (method == ES_PLAN_DECOMPOSITION)
        ES_TRY(solve_decomposition(scratch, problem, opts, deadline, &solution, err));
    else
        ES_TRY(es_solve_greedy(scratch, problem, opts, deadline, &solution, err));
    if (method == ES_PLAN_GREEDY)
        ES_TRY(prefer_warm(scratch, problem, &solution, err));
    weaken_truncated(problem, solution);
    if (solution->quality == ES_PLAN_INFEASIBLE)
        ES_TRY(
            es_plan_explain(scratch, scenario, opts, ES_PATH_NODES_ANY, deadline, &conflict, err));
    ES_TRY(es_plan_from_solution(arena, problem, solution, method, opts->gap_relative, conflict,
                                 out_plan, err));
    return opts->explain && has_plan(solution)
               ? explain(arena, scratch, problem, solution, out_plan, err)
               : ES_OK;
}

es_status es_plan_solve(es_arena *arena, const es_scenario *scenario, es_plan_opts opts,
                        const es_plan **out_plan, es_error *err)
{
    ES_TRY(check_opts(&opts, err));
    if (opts.clock == NULL)
        opts.clock = es_clock_system();
    es_deadline deadline = {opts.clock,
                            es_clock_now_ns(opts.clock) + es_ns_from_s(opts.time_limit_s)};
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_PLAN_SCRATCH_BYTES);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory to solve in");
    return solve_in(arena, scratch, scenario, &opts, &deadline, out_plan, err);
}
