#include "plan/internal.h"

es_status es_plan_explain(es_arena *arena, const es_scenario *scenario, const es_plan_opts *opts,
                          es_path_nodes nodes, const es_deadline *deadline,
                          const char **out_conflict, es_error *err)
{
    (void)scenario;
    (void)opts;
    (void)nodes;
    (void)deadline;
    *out_conflict = es_arena_text(arena, "no plan");
    return *out_conflict == NULL ? es_arena_full(arena, "conflict", err) : ES_OK;
}
