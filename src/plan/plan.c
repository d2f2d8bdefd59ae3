#include "plan/internal.h"

#include <math.h>

const char *const es_plan_method_names[ES_PLAN_METHOD_COUNT] = {"auto", "exact", "greedy",
                                                                "device-only", "cloud-only"};
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
                          .exact_size_max = 20000};
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
    if (opts->thread_count > 1024)
        return es_fail(err, ES_ERR_ARG, "plan: thread_count=%u must be at most 1024",
                       (unsigned)opts->thread_count);
    return ES_OK;
}

static bool has_plan(const es_solution *solution)
{
    return solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE;
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

static es_status solve_in(es_arena *arena, es_arena *scratch, const es_scenario *scenario,
                          const es_plan_opts *opts, const es_deadline *deadline,
                          const es_plan **out_plan, es_error *err)
{
    es_problem *problem;
    es_solution *solution;
    const char *conflict = NULL;
    if (opts->method == ES_PLAN_DEVICE_ONLY || opts->method == ES_PLAN_CLOUD_ONLY)
        return es_solve_baseline(arena, scratch, scenario, opts, deadline, out_plan, err);
    ES_TRY(es_problem_build(scratch, scenario, es_problem_opts_default(), &problem, err));
    bool exact = opts->method == ES_PLAN_EXACT ||
                 (opts->method == ES_PLAN_AUTO && problem->path_count <= opts->exact_size_max);
    if (exact)
        ES_TRY(es_solve_exact_warm(scratch, problem, opts, deadline, &solution, err));
    else
        ES_TRY(es_solve_greedy(scratch, problem, opts, deadline, &solution, err));
    weaken_truncated(problem, solution);
    if (solution->quality == ES_PLAN_INFEASIBLE)
        ES_TRY(
            es_plan_explain(scratch, scenario, opts, ES_PATH_NODES_ANY, deadline, &conflict, err));
    return es_plan_from_solution(arena, problem, solution, exact ? ES_PLAN_EXACT : ES_PLAN_GREEDY,
                                 opts->gap_relative, conflict, out_plan, err);
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
