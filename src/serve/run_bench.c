/* Prediction against reality: the first example as its quickstart runs it, measured over what the
 * simulator predicts. Of several runs the median: whatever else the machine does only adds. */
#include "base/log.h"
#include "es_bench.h"
#include "runtime/runtime.h"
#include "serve/serve.h"
#include "simulate/simulate.h"

enum { RUNS = 3 };
static const char *const path = "examples/01-first-run/scenario.yaml";
static const double MEAN_TARGET = 1.10, P95_TARGET = 1.20;

static void need(es_status status, const es_error *err)
{
    if (status == ES_OK)
        return;
    (void)fprintf(stderr, "run: %s\n", es_error_text(err));
    exit(1);
}

/* The scenario with the times that its models take here. */
static const es_scenario *measure(es_arena *arena)
{
    es_error err = {0};
    const es_scenario *given = NULL;
    const es_scenario *timed = NULL;
    es_runtime *runtime = NULL;
    need(es_scenario_load(arena, path, &given, &err), &err);
    need(es_runtime_new(es_runtime_opts_default(), &runtime, &err), &err);
    double *times_s = ES_TAKE_ARRAY(arena, double, given->segment_count);
    if (times_s == NULL)
        abort();
    for (uint32_t i = 0; i < given->segment_count; i++) {
        es_profile_opts opts = es_profile_opts_default();
        const es_profile *profile = NULL;
        opts.batch_max = 1;
        opts.per_cut = false;
        opts.time_budget_s = 0.5;
        need(es_profile_run(arena, runtime, given->segments[i].file, opts, &profile, &err), &err);
        times_s[i] = 1e-3 * profile->latency.ms_p50;
    }
    need(es_scenario_with_host_times(arena, given, times_s, &timed, &err), &err);
    es_runtime_free(runtime);
    return timed;
}

static void play(es_arena *arena, double *out_mean, double *out_p95)
{
    es_error err = {0};
    const es_plan *plan = NULL;
    const es_outcome *predicted = NULL;
    const es_outcome *measured = NULL;
    es_run_opts opts = es_run_opts_default();
    const es_scenario *scenario = measure(arena);
    need(es_plan_solve(arena, scenario, es_plan_opts_default(), &plan, &err), &err);
    need(es_simulate_slots(arena, scenario, plan, es_simulate_opts_default(), &predicted, &err),
         &err);
    opts.program = ESTRAN_PROGRAM;
    need(es_run_plan(arena, scenario, plan, opts, &measured, &err), &err);
    *out_mean = measured->total.latency_s_mean / predicted->total.latency_s_mean;
    *out_p95 = measured->total.latency_s_p95 / predicted->total.latency_s_p95;
}

int main(void)
{
    double mean[RUNS];
    double p95[RUNS];
    es_bench bench = {.count = 0};
    es_log_level_set(ES_LOG_ERROR);
    for (int i = 0; i < RUNS; i++) {
        es_arena *arena = es_arena_new((size_t)2 << 30);
        if (arena == NULL)
            abort();
        play(arena, &mean[i], &p95[i]);
        es_arena_free(arena);
    }
    es_bench_add(&bench, "quickstart: mean latency, measured over predicted",
                 es_bench_median(mean, RUNS), "ratio", "lower", MEAN_TARGET);
    es_bench_add(&bench, "quickstart: p95 latency, measured over predicted",
                 es_bench_median(p95, RUNS), "ratio", "lower", P95_TARGET);
    return es_bench_print(&bench);
}
