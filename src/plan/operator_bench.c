/* An operator's network from document to checked plan: operator_bench [EDGES]…, 50, 200 and 1000
 * without. Ten request classes per edge site, four pipelines per task, 20 tasks. */
#include "es_bench.h"
#include "plan/operator_scenario.h"
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static double peak_gib(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
    return (double)usage.ru_maxrss / 1048576.0;
}

static bool measure(es_bench *bench, char names[3][96], uint32_t edges)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)4 << 30);
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    const es_plan_violation *violations = NULL;
    size_t violation_count = 0;
    es_error err = {0};
    es_plan_opts opts = es_plan_opts_default();
    opts.thread_count = 2;
    opts.time_limit_s = 120.0;
    opts.gap_relative = 0.01;
    es_operator_shape shape = {
        .edge_count = edges, .classes_each = 10, .task_count = 20, .seed = 1};
    if (arena == NULL || es_operator_scenario(arena, shape, &scenario, &err) != ES_OK) {
        (void)fprintf(stderr, "operator_bench: %s\n", es_error_text(&err));
        return false;
    }
    int64_t start_ns = es_clock_now_ns(es_clock_system());
    es_status status = es_plan_solve(arena, scenario, opts, &plan, &err);
    double took_s = es_s_from_ns(es_clock_now_ns(es_clock_system()) - start_ns);
    if (status == ES_OK)
        status = es_plan_check(arena, plan, scenario, 1e-6, &violations, &violation_count, &err);
    if (status != ES_OK || violation_count > 0) {
        (void)fprintf(stderr, "operator_bench: %s\n",
                      violation_count > 0 ? violations[0].text : es_error_text(&err));
        return false;
    }
    (void)fprintf(stderr, "%u edges: %.6g per second, gap %.3g %%, %.1f s, %.2f GiB\n",
                  (unsigned)edges, plan->objective, 100.0 * plan->gap_relative, took_s, peak_gib());
    (void)snprintf(names[0], sizeof names[0], "plan: scenario of %u edge sites: gap",
                   (unsigned)edges);
    (void)snprintf(names[1], sizeof names[1], "plan: scenario of %u edge sites: wall",
                   (unsigned)edges);
    (void)snprintf(names[2], sizeof names[2], "plan: scenario of %u edge sites: memory",
                   (unsigned)edges);
    es_bench_add(bench, names[0], 100.0 * plan->gap_relative, "%", "lower", 3.0);
    es_bench_add(bench, names[1], took_s, "s", "lower", 120.0);
    es_bench_add(bench, names[2], peak_gib(), "GiB", "lower", 4.0);
    return true;
}

int main(int argc, char **argv)
{
    enum { SIZES_MAX = 8 };
    static char names[SIZES_MAX][3][96];
    uint32_t sizes[SIZES_MAX] = {50, 200, 1000};
    int count = 3;
    es_bench bench = {0};
    for (int i = 1; i < argc && i <= SIZES_MAX; i++) {
        sizes[i - 1] = (uint32_t)strtoul(argv[i], NULL, 10);
        count = i;
    }
    for (int i = 0; i < count; i++)
        if (!measure(&bench, names[i], sizes[i]))
            return 1;
    return es_bench_print(&bench);
}
