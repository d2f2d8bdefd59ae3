/* Fronts of growing random scenarios: time, points and proven gap of the hypervolume, within
 * SECONDS each: pareto_bench [SECONDS], 10 without. */
#include "es_bench.h"
#include "plan/plan.h"
#include "plan/random_scenario.h"

#include <stdlib.h>

static int bench(es_bench *out, char names[2][96], uint32_t devices, uint32_t measures,
                 double time_limit_s)
{
    es_arena *arena = es_arena_new((size_t)4 << 30);
    es_error err = {0};
    es_scenario *scenario = NULL;
    const es_front *front = NULL;
    es_random_shape shape = es_random_shape_default();
    shape.device_count = devices;
    shape.edge_count = devices / 5 + 1;
    shape.cloud_count = 2;
    shape.task_count = 4;
    shape.variant_count = 5;
    shape.tightness = 0.2;
    es_front_opts opts = es_front_opts_default();
    opts.measure_count = measures;
    opts.plan.time_limit_s = time_limit_s;
    es_status status =
        arena == NULL ? ES_ERR_NOMEM : es_random_scenario(arena, 1, shape, &scenario, &err);
    int64_t start_ns = es_clock_now_ns(es_clock_system());
    if (status == ES_OK)
        status = es_front_solve(arena, scenario, opts, &front, &err);
    if (status == ES_OK) {
        double took_s = es_s_from_ns(es_clock_now_ns(es_clock_system()) - start_ns);
        (void)fprintf(stderr,
                      "%4u devices %u objectives: %-6s %-10s %3zu points %4zu programs %7.2f s "
                      "hypervolume %.4f bound %.4f\n",
                      (unsigned)devices, (unsigned)measures, es_front_method_names[front->method],
                      es_plan_quality_names[front->quality], front->point_count, front->solve_count,
                      took_s, front->hypervolume, front->hypervolume_bound);
        (void)snprintf(names[0], sizeof names[0], "plan: front of %u measures, %u devices: gap",
                       (unsigned)measures, (unsigned)devices);
        (void)snprintf(names[1], sizeof names[1], "plan: front of %u measures, %u devices: wall",
                       (unsigned)measures, (unsigned)devices);
        double gap = front->hypervolume_bound / front->hypervolume - 1.0;
        es_bench_add(out, names[0], 100.0 * gap, "%", "lower", (double)NAN);
        es_bench_add(out, names[1], took_s, "s", "lower", (double)NAN);
    } else
        (void)fprintf(stderr, "%s\n", es_error_text(&err));
    es_arena_free(arena);
    return status == ES_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    double time_limit_s = argc > 1 ? strtod(argv[1], NULL) : 10.0;
    enum { SIZES = 5 };
    static const uint32_t devices[SIZES] = {2, 4, 10, 30, 100};
    static char names[SIZES][2][2][96];
    es_bench out = {0};
    for (size_t i = 0; i < SIZES; i++)
        for (uint32_t measures = 2; measures <= 3; measures++)
            if (bench(&out, names[i][measures - 2], devices[i], measures, time_limit_s) != 0)
                return 1;
    return es_bench_print(&out);
}
