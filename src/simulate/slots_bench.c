/* Slot mode: the example with a measured catalogue over a day of minutes. Run from the project's
 * root. */
#include "es_bench.h"
#include "simulate/simulate.h"

static const char EXAMPLE[] = "examples/02-measured-catalogue/scenario.yaml";
enum { SLOTS = 1440, ROUNDS = 5 };

typedef struct world {
    es_scenario scenario;
    const es_plan *plan;
} world;

static bool simulate(void *context)
{
    world *given = context;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)2 << 30);
    const es_outcome *outcome = NULL;
    return arena != NULL && es_simulate_slots(arena, &given->scenario, given->plan,
                                              es_simulate_opts_default(), &outcome, NULL) == ES_OK;
}

int main(void)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)1 << 30);
    const es_scenario *scenario = NULL;
    world given = {0};
    es_error err = {0};
    es_status status = es_scenario_load(arena, EXAMPLE, &scenario, &err);
    if (status == ES_OK)
        status = es_plan_solve(arena, scenario, es_plan_opts_default(), &given.plan, &err);
    if (status != ES_OK) {
        (void)fprintf(stderr, "slots_bench: %s\n", es_error_text(&err));
        return 1;
    }
    given.scenario = *scenario;
    given.scenario.slot_count = SLOTS;
    es_bench_job job = {.what = "slot mode", .run = simulate, .context = &given};
    if (!es_bench_time(&job, 1, ROUNDS))
        return 1;
    es_bench bench = {0};
    es_bench_add(&bench, "simulate: example 02, 1440 slots", job.median_s, "s", "lower",
                 (double)NAN);
    es_bench_add(&bench, "simulate: slots x classes per second",
                 SLOTS * (double)scenario->class_count / job.median_s, "1/s", "higher",
                 (double)NAN);
    return es_bench_print(&bench);
}
