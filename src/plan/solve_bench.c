/* Plans for generated instances: greedy and exact, small and medium, and greedy alone on large. */
#include "es_bench.h"
#include "plan/plan.h"
#include "plan/random_scenario.h"

enum { ROUNDS = 3 };

typedef struct job {
    const es_scenario *scenario;
    es_plan_method method;
    double objective; /* of the last run */
    double gap_relative;
} job;

static bool solve(void *context)
{
    job *given = context;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    const es_plan *plan = NULL;
    es_plan_opts opts = es_plan_opts_default();
    es_error err = {0};
    opts.method = given->method;
    opts.time_limit_s = 20.0;
    opts.gap_relative = 1e-3;
    if (arena == NULL || es_plan_solve(arena, given->scenario, opts, &plan, &err) != ES_OK) {
        (void)fprintf(stderr, "solve_bench: %s\n", es_error_text(&err));
        return false;
    }
    given->objective = plan->objective;
    given->gap_relative = plan->gap_relative;
    return isfinite(plan->objective);
}

static const es_scenario *draw(es_arena *arena, uint32_t devices, uint32_t edges, uint32_t clouds)
{
    es_random_shape shape = es_random_shape_default();
    es_scenario *scenario = NULL;
    es_error err = {0};
    shape.device_count = devices;
    shape.edge_count = edges;
    shape.cloud_count = clouds;
    shape.refusal_cost = 3.0;
    if (es_random_scenario(arena, 7, shape, &scenario, &err) != ES_OK)
        (void)fprintf(stderr, "solve_bench: %s\n", es_error_text(&err));
    return scenario;
}

int main(void)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    const es_scenario *small = draw(arena, 4, 2, 1);
    const es_scenario *medium = draw(arena, 12, 4, 2);
    const es_scenario *large = draw(arena, 50, 8, 2);
    if (small == NULL || medium == NULL || large == NULL)
        return 1;
    job jobs[] = {{.scenario = small, .method = ES_PLAN_GREEDY},
                  {.scenario = small, .method = ES_PLAN_EXACT},
                  {.scenario = medium, .method = ES_PLAN_GREEDY},
                  {.scenario = medium, .method = ES_PLAN_EXACT},
                  {.scenario = large, .method = ES_PLAN_GREEDY}};
    static const char *const names[] = {
        "plan: greedy, 8 classes, 7 nodes", "plan: exact to 0.1 %, 8 classes, 7 nodes",
        "plan: greedy, 24 classes, 18 nodes", "plan: exact to 0.1 %, 24 classes, 18 nodes",
        "plan: greedy, 100 classes, 60 nodes"};
    enum { JOBS = sizeof jobs / sizeof *jobs };
    es_bench_job timed[JOBS];
    for (size_t i = 0; i < JOBS; i++)
        timed[i] = (es_bench_job){.what = names[i], .run = solve, .context = &jobs[i]};
    if (!es_bench_time(timed, JOBS, ROUNDS))
        return 1;
    es_bench bench = {0};
    for (size_t i = 0; i < JOBS; i++) {
        es_bench_add(&bench, names[i], timed[i].median_s * 1e3, "ms", "lower", (double)NAN);
        (void)fprintf(stderr, "%-45s %10.2f ms  objective %.6g, gap %.3g\n", names[i],
                      timed[i].median_s * 1e3, jobs[i].objective, jobs[i].gap_relative);
    }
    es_bench_add(&bench, "plan: greedy above exact, 8 classes",
                 100.0 * (jobs[0].objective / jobs[1].objective - 1.0), "%", "lower", 5.0);
    es_bench_add(&bench, "plan: greedy above exact, 24 classes",
                 100.0 * (jobs[2].objective / jobs[3].objective - 1.0), "%", "lower", 5.0);
    return es_bench_print(&bench);
}
