#include "cli/schedule_execute.h"

#include "serve/serve.h"

#include <math.h>

typedef struct follower {
    const es_cli *cli;
    es_schedule_execution execution;
    es_execution_variant *variants;
} follower;

static size_t route(void *context, es_class_id class_id, uint64_t sequence)
{
    const follower *f = context;
    uint64_t task = f->execution.first_task[class_id.index] + sequence;
    if (task >= f->execution.first_task[class_id.index + 1])
        return SIZE_MAX;
    size_t routing = f->execution.routings[task];
    if (routing != SIZE_MAX)
        f->variants[routing].requests += 1;
    return routing;
}

static es_run_turn turn(void *context, es_class_id class_id, uint64_t sequence)
{
    const follower *f = context;
    const es_schedule_execution *x = &f->execution;
    uint64_t task = x->first_task[class_id.index] + sequence;
    if (task >= x->first_task[class_id.index + 1])
        return (es_run_turn){(double)NAN, 0};
    return (es_run_turn){x->leaves_s[task], x->turns[task]};
}

/* Behind the last arrival: until the schedule ends, and as long again as a run waits. */
static double grace_s(const es_schedule *schedule, double horizon_s, double usual_s)
{
    double end_s = horizon_s;
    for (uint32_t i = 0; i < schedule->task_count; i++)
        end_s = fmax(end_s, schedule->entries[i].end_s); /* NAN: it does not run */
    return end_s - horizon_s + usual_s;
}

static void answered(void *context, const es_run_answer *answer)
{
    const follower *f = context;
    es_histogram_add(f->variants[answer->routing].latency, answer->latency_s, 1);
}

static void show_progress(void *context, double done_s, double total_s, uint64_t answers,
                          uint64_t failed)
{
    const es_cli *cli = context;
    char what[96];
    (void)snprintf(what, sizeof what, "running: %llu answers, %llu failed",
                   (unsigned long long)answers, (unsigned long long)failed);
    es_cli_progress(cli, what, total_s > 0 && done_s < total_s ? done_s / total_s : 0.999);
}

es_status es_cli_schedule_execute(es_cli *cli, const es_scenario *scenario, double horizon_s,
                                  uint64_t seed, const es_tasks *tasks, const es_machines *machines,
                                  const es_schedule *schedule, es_execution_told *out,
                                  es_error *err)
{
    follower f = {.cli = cli};
    double slots_s = scenario->slot_s * scenario->slot_count;
    if (horizon_s > slots_s)
        return es_fail(err, ES_ERR_ARG,
                       "--execute: --horizon=%g must be at most the scenario's slots, %g s",
                       horizon_s, slots_s);
    ES_TRY(es_schedule_execution_make(cli->arena, scenario, tasks, machines, schedule, &f.execution,
                                      err));
    size_t count = f.execution.plan->routing_count;
    f.variants = ES_TAKE_ARRAY(cli->arena, es_execution_variant, count);
    if (f.variants == NULL)
        return es_arena_full(cli->arena, "variants", err);
    for (size_t r = 0; r < count; r++) {
        const es_routing *routing = &f.execution.plan->routings[r];
        f.variants[r] = (es_execution_variant){
            .variant = scenario->pipelines[routing->pipeline.index].name,
            .node = es_network_node(scenario->network, routing->nodes[0])->name,
            .origin =
                es_network_node(scenario->network, scenario->classes[routing->class_id.index].node)
                    ->name,
            .latency = es_histogram_new(cli->arena)};
        if (f.variants[r].latency == NULL)
            return es_arena_full(cli->arena, "latencies", err);
    }
    es_run_opts opts = es_run_opts_default();
    opts.program = cli->program;
    opts.label = "schedule";
    opts.seed = seed;
    opts.duration_s = horizon_s;
    opts.stop = cli->stop;
    opts.progress = show_progress;
    opts.progress_context = cli;
    opts.grace_s = grace_s(schedule, horizon_s, opts.grace_s);
    opts.route = route;
    opts.turn = turn;
    opts.answered = answered;
    opts.context = &f;
    out->variants = f.variants;
    out->variant_count = count;
    es_status status =
        es_run_plan(cli->arena, scenario, f.execution.plan, opts, &out->outcome, err);
    es_cli_progress(cli, "", 1);
    return es_within(err, status, "--execute");
}

void es_cli_schedule_executed(es_cli *cli, const es_execution_told *told,
                              const es_schedule *schedule, es_text *text)
{
    const es_outcome_row *total = &told->outcome->total;
    double answered_quality = total->served > 0 ? total->quality_mean * total->served : 0;
    double promised_j = schedule->used[ES_BUDGET_ENERGY] - schedule->used_idle[ES_BUDGET_ENERGY];
    es_text_format(text, "\nexecuted: %.0f of %.0f requests answered, %.0f late, %.0f failed\n",
                   total->served, total->arrived, total->late, total->failed);
    es_text_format(text, "mean quality %.4g, promised %.4g; %.4g J of computing, promised %.4g\n",
                   total->arrived > 0 ? answered_quality / total->arrived : 0,
                   schedule->task_count > 0 ? schedule->quality / schedule->task_count : 0,
                   total->energy_compute_j, promised_j);
    es_cli_table table = {.arena = cli->arena, .columns = 6};
    static const char *const head[] = {"variant", "node", "of", "requests", "latency p50", "p95"};
    for (size_t i = 0; i < 6; i++)
        es_cli_cell(&table, "%s", head[i]);
    for (size_t r = 0; r < told->variant_count; r++) {
        const es_execution_variant *one = &told->variants[r];
        es_cli_cell(&table, "%s", one->variant);
        es_cli_cell(&table, "%s", one->node);
        es_cli_cell(&table, "%s", one->origin);
        es_cli_cell(&table, "%.0f", one->requests);
        for (int k = 0; k < 2; k++) {
            double value_s = es_histogram_quantile(one->latency, k == 0 ? 0.5 : 0.95);
            es_text cell;
            es_text_init(&cell, 64);
            if (isnan(value_s))
                es_text_append(&cell, "-");
            else
                es_cli_seconds(&cell, value_s);
            es_cli_cell(&table, "%s", es_text_get(&cell));
            es_text_done(&cell);
        }
    }
    es_cli_table_print(&table, text);
}
