/* Which way the next request of a class goes: the choice of a gateway (route/choose.h) over the
 * options of the plan, all of whose nodes count as up: a run shows what a plan does, not what a
 * gateway makes of it. */
#include "run_internal.h"

enum { TABLE_BYTES_MAX = 256 << 20 };

static es_status make_class(const es_run *run, es_arena *arena, uint32_t c, es_serve_class *out,
                            es_error *err)
{
    const es_scenario *scenario = run->scenario;
    const es_class *class = &scenario->classes[c];
    const es_run_class *own = &run->classes[c];
    const char *task = scenario->tasks[class->task.index].name;
    es_serve_option *options = ES_TAKE_ARRAY(arena, es_serve_option, own->routing_count);
    if (own->routing_count > ES_SERVE_OPTIONS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "task '%s' has %zu options in one class, at most %d",
                       task, own->routing_count, ES_SERVE_OPTIONS_MAX);
    if (options == NULL)
        return es_arena_full(arena, "options", err);
    double sum = run->plan->refused_share[c];
    for (size_t i = 0; i < own->routing_count; i++) {
        size_t r = own->routing_first + i;
        options[i] = (es_serve_option){.share = run->plan->routings[r].share,
                                       .route = run->ways[r].header,
                                       .stage_count = run->ways[r].stage_count};
        sum += options[i].share;
    }
    *out = (es_serve_class){
        .task = task,
        .entry = es_network_node(scenario->network, class->node)->name,
        .refused_share = sum > 0 ? run->plan->refused_share[c] : 1,
        .option_count = own->routing_count,
        .options = options,
    };
    return ES_OK;
}

static es_status make_table(const es_run *run, es_arena *arena, es_serve_table **out_table,
                            es_error *err)
{
    uint32_t count = run->scenario->class_count;
    es_serve_routes *routes = ES_TAKE_ONE(arena, es_serve_routes);
    es_serve_class *classes = ES_TAKE_ARRAY(arena, es_serve_class, count);
    if (routes == NULL || classes == NULL)
        return es_arena_full(arena, "options", err);
    for (uint32_t c = 0; c < count; c++)
        ES_TRY(make_class(run, arena, c, &classes[c], err));
    *routes = (es_serve_routes){
        .generation = 1, .plan = run->scenario->name, .class_count = count, .classes = classes};
    return es_serve_table_new(arena, routes, out_table, err);
}

es_status es_run_chooser_make(es_run *run, es_error *err)
{
    es_serve_table *table = NULL;
    es_arena *arena = es_arena_new(TABLE_BYTES_MAX);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for options");
    es_status status = make_table(run, arena, &table, err);
    if (status != ES_OK) {
        es_arena_free(arena);
        return status;
    }
    status = es_chooser_new(table, NULL, &run->chooser, err);
    es_serve_table_unref(table); /* the chooser holds it */
    return status;
}

size_t es_run_choose(es_run *run, uint32_t class_id)
{
    static const int64_t any_time_ns = 0; /* no node ever counts as down */
    es_serve_wish wish = es_serve_wish_default();
    es_serve_choice choice = es_choose(run->chooser, class_id, &wish, any_time_ns);
    return choice.kind == ES_SERVE_CHOICE_OPTION
               ? run->classes[class_id].routing_first + choice.option
               : SIZE_MAX;
}
