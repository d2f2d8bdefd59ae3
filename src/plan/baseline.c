#include "plan/internal.h"

es_status es_solve_baseline(es_arena *arena, es_arena *scratch, const es_scenario *scenario,
                            const es_plan_opts *opts, const es_deadline *deadline,
                            const es_plan **out_plan, es_error *err)
{
    (void)arena;
    (void)scratch;
    (void)scenario;
    (void)opts;
    (void)deadline;
    (void)out_plan;
    return es_fail(err, ES_ERR_UNSUPPORTED, "plan: baselines are not there yet");
}
