/*
 * A family of models under an energy budget, on this machine: what each costs (measured), what a
 * schedule saves while at most 2 points of accuracy are lost (planned), and what a node saves that
 * is told the variant of every request (executed).
 */
#include "base/log.h"
#include "es_bench.h"
#include "outcome/outcome.h"
#include "runtime/runtime.h"
#include "schedule/schedule.h"
#include "serve/serve.h"

#include <math.h>

enum { VARIANTS = 3, TASKS = 100, STEPS = 14 };
static const char *const path = "examples/03-schedule/family.yaml";
static const double POINTS = 0.02;
static const double HORIZON_S = 10; /* the scenario's slots */

typedef struct family {
    es_arena *arena;
    const es_scenario *scenario; /* with the times measured here */
    const es_profile *profiles[VARIANTS];
    es_bench bench;
} family;

static void need(es_status status, const es_error *err)
{
    if (status == ES_OK)
        return;
    (void)fprintf(stderr, "family: %s\n", es_error_text(err));
    exit(1);
}

/* The row's name is first and second. */
static void tell(family *f, double value, const char *unit, const char *better, const char *first,
                 const char *second)
{
    char *what = es_arena_format(f->arena, "%s%s", first, second);
    if (what == NULL)
        abort();
    es_bench_add(&f->bench, what, value, unit, better, (double)NAN);
}

/* ---- 1. measured ---- */

static void measure(family *f)
{
    es_error err = {0};
    const es_scenario *given = NULL;
    es_runtime *runtime = NULL;
    es_meter *meter = NULL;
    double times_s[VARIANTS];
    need(es_scenario_load(f->arena, path, &given, &err), &err);
    need(es_runtime_new(es_runtime_opts_default(), &runtime, &err), &err);
    need(es_meter_new(f->arena, es_meter_opts_default(), &meter, &err), &err);
    if (given->segment_count != VARIANTS)
        abort();
    for (uint32_t i = 0; i < VARIANTS; i++) {
        es_profile_opts opts = es_profile_opts_default();
        opts.batch_max = 1;
        opts.per_cut = false;
        opts.time_budget_s = 2;
        opts.meter = meter;
        need(
            es_profile_run(f->arena, runtime, given->segments[i].file, opts, &f->profiles[i], &err),
            &err);
        times_s[i] = 1e-3 * f->profiles[i]->latency.ms_p50;
        tell(f, 1e6 * times_s[i], "us", "lower", given->segments[i].name,
             ": one request here, measured");
        const es_profile_energy *energy = &f->profiles[i]->energy;
        if (energy->known) {
            char *text = es_arena_format(f->arena, "%s: its joules above rest, source %s",
                                         given->segments[i].name, energy->source);
            tell(f, 1e6 * energy->energy_j, "uJ", "lower", text, "");
        }
    }
    need(es_scenario_with_host_times(f->arena, given, times_s, &f->scenario, &err), &err);
    es_runtime_free(runtime);
}

/* ---- 2. planned: no hurry ---- */

/* Share of the joules above rest that TASKS tasks can do without, compared with the most accurate
 * variant for all, with a mean quality at most POINTS lower; at variants only. */
static double saving(const es_curve *curve)
{
    static const es_period always[] = {{0, 0, 0}};
    es_tasks_task own[TASKS];
    double best_j = curve->work[curve->point_count - 1];
    double target = curve->quality[curve->point_count - 1] - POINTS;
    for (uint32_t i = 0; i < TASKS; i++)
        own[i] = (es_tasks_task){.deadline_s = 10 * TASKS * best_j};
    es_tasks tasks = {
        .work_unit = "J", .curve_count = 1, .curves = curve, .task_count = TASKS, .tasks = own};
    es_machine machine = {.name = "one", /* a joule is a second is a unit of work */
                          .speed_per_s = 1,
                          .busy_w = 1,
                          .close_s = (double)INFINITY,
                          .period_count = 1,
                          .periods = always};
    es_machines all = {1, &machine};
    double low = 0;
    double high = 1;
    for (int step = 0; step < STEPS; step++) {
        double middle = (low + high) / 2;
        es_schedule_opts opts = es_schedule_opts_default();
        const es_schedule *schedule = NULL;
        es_error err = {0};
        es_arena *arena = es_arena_new((size_t)1 << 30);
        opts.method = ES_SCHEDULE_APPROX;
        opts.discrete = true;
        opts.budgets[ES_BUDGET_ENERGY] = middle * TASKS * best_j;
        need(es_schedule_solve(arena, &tasks, &all, opts, &schedule, &err), &err);
        need(es_schedule_check(&tasks, &all, schedule, &err), &err);
        *(schedule->quality / TASKS >= target ? &high : &low) = middle;
        es_arena_free(arena);
    }
    return 1 - high;
}

/* The curve's seconds replaced by what the profile found in joules. */
static bool by_joules(const family *f, const es_curve *seconds, double *work, es_curve *out)
{
    *out = *seconds;
    out->work = work;
    if (seconds->point_count != VARIANTS + 1)
        return false; /* a variant is not on the hull */
    work[0] = 0;
    for (uint32_t i = 0; i < VARIANTS; i++) {
        work[i + 1] = f->profiles[i]->energy.energy_j;
        if (!f->profiles[i]->energy.known || work[i + 1] <= work[i])
            return false;
    }
    return true;
}

/* ---- 3. executed: requests with deadlines on a running node ---- */

typedef struct run {
    const es_schedule_execution *execution;
    es_histogram *latency[VARIANTS];
    const es_scenario *scenario;
} run;

static size_t route(void *context, es_class_id class_id, uint64_t sequence)
{
    const run *r = context;
    const es_schedule_execution *x = r->execution;
    uint64_t task = x->first_task[class_id.index] + sequence;
    return task < x->first_task[class_id.index + 1] ? x->routings[task] : SIZE_MAX;
}

static es_run_turn turn(void *context, es_class_id class_id, uint64_t sequence)
{
    const run *r = context;
    const es_schedule_execution *x = r->execution;
    uint64_t task = x->first_task[class_id.index] + sequence;
    if (task >= x->first_task[class_id.index + 1])
        return (es_run_turn){(double)NAN, 0};
    return (es_run_turn){x->leaves_s[task], x->turns[task]};
}

static void answered(void *context, const es_run_answer *answer)
{
    const run *r = context;
    const es_routing *routing = &r->execution->plan->routings[answer->routing];
    const es_pipeline *pipeline = &r->scenario->pipelines[routing->pipeline.index];
    es_histogram_add(r->latency[pipeline->stages[0].segment.index], answer->latency_s, 1);
}

/* Plans online with this share of the energy above rest, at variants only. */
static const es_schedule *plan(es_arena *arena, const es_tasks *tasks, const es_machines *machines,
                               double share)
{
    es_online_opts opts = es_online_opts_default();
    es_online_result result;
    es_error err = {0};
    double full[ES_BUDGET_COUNT], idle[ES_BUDGET_COUNT];
    opts.schedule.discrete = true;
    need(es_schedule_full_use(tasks, machines, full, idle, &err), &err);
    opts.schedule.budgets[ES_BUDGET_ENERGY] =
        idle[ES_BUDGET_ENERGY] + share * (full[ES_BUDGET_ENERGY] - idle[ES_BUDGET_ENERGY]);
    need(es_schedule_online(arena, tasks, machines, opts, &result, &err), &err);
    return result.schedule;
}

/* The least share, to a thousandth, that loses at most POINTS against no limit. */
static double least_share(const es_tasks *tasks, const es_machines *machines, double target)
{
    double low = 0;
    double high = 1;
    while (high - low > 1e-3) {
        double middle = (low + high) / 2;
        es_arena *arena = es_arena_new((size_t)1 << 30);
        double quality = plan(arena, tasks, machines, middle)->quality;
        *(quality / tasks->task_count >= target ? &high : &low) = middle;
        es_arena_free(arena);
    }
    return high;
}

static const es_outcome *execute(family *f, const es_tasks *tasks, const es_machines *machines,
                                 const es_schedule *schedule, run *r)
{
    es_schedule_execution execution;
    es_error err = {0};
    es_run_opts opts = es_run_opts_default();
    const es_outcome *outcome = NULL;
    need(es_schedule_execution_make(f->arena, f->scenario, tasks, machines, schedule, &execution,
                                    &err),
         &err);
    *r = (run){.execution = &execution, .scenario = f->scenario};
    for (uint32_t i = 0; i < VARIANTS; i++)
        if ((r->latency[i] = es_histogram_new(f->arena)) == NULL)
            abort();
    opts.program = ESTRAN_PROGRAM;
    opts.route = route;
    opts.turn = turn;
    opts.answered = answered;
    opts.context = r;
    need(es_run_plan(f->arena, f->scenario, execution.plan, opts, &outcome, &err), &err);
    r->execution = NULL;
    return outcome;
}

static double above_rest_j(const es_schedule *schedule)
{
    return schedule->used[ES_BUDGET_ENERGY] - schedule->used_idle[ES_BUDGET_ENERGY];
}

static void compare(family *f, const es_tasks *tasks, const es_machines *machines)
{
    run r;
    const es_schedule *all = plan(f->arena, tasks, machines, 1);
    double share = least_share(tasks, machines, all->quality / tasks->task_count - POINTS);
    const es_schedule *less = plan(f->arena, tasks, machines, share);
    tell(f, 100 * (1 - above_rest_j(less) / above_rest_j(all)), "%", "higher",
         "requests with deadlines, online: joules saved at 2 points lost, ", "promised");
    tell(f, 100 * (all->quality - less->quality) / tasks->task_count, "points", "lower",
         "requests with deadlines, online: points lost, ", "promised");
    const es_outcome *before = execute(f, tasks, machines, all, &r);
    const es_outcome *after = execute(f, tasks, machines, less, &r);
    tell(f, 100 * (1 - after->total.energy_compute_j / before->total.energy_compute_j), "%",
         "higher", "the same on a running node: joules saved, ",
         "seconds measured x declared watts");
    tell(f, 100 * (before->total.quality_mean - after->total.quality_mean), "points", "lower",
         "the same on a running node: points lost, ", "by labels");
    tell(f, after->total.served, "", "higher", "the same on a running node: ", "answers");
    tell(f, after->total.arrived - after->total.served, "", "lower",
         "the same on a running node: ", "without an answer");
    tell(f, after->total.late, "", "lower",
         "the same on a running node: ", "answers behind the deadline");
    for (uint32_t i = 0; i < VARIANTS; i++) {
        tell(f, es_histogram_weight(r.latency[i]), "", "higher", f->scenario->segments[i].name,
             ": requests that were told to take it");
        if (es_histogram_weight(r.latency[i]) > 0)
            tell(f, 1e3 * es_histogram_quantile(r.latency[i], 0.5), "ms", "lower",
                 f->scenario->segments[i].name, ": their latency, median");
    }
}

int main(void)
{
    family f = {.arena = es_arena_new((size_t)2 << 30)};
    es_error err = {0};
    const es_tasks *tasks = NULL;
    const es_machines *machines = NULL;
    if (f.arena == NULL)
        abort();
    es_log_level_set(ES_LOG_ERROR);
    measure(&f);
    need(es_schedule_from_scenario(f.arena, f.scenario, NULL, HORIZON_S, f.scenario->seed, &tasks,
                                   &machines, &err),
         &err);
    tell(&f, 100 * saving(&tasks->curves[0]), "%", "higher",
         "no deadlines: joules saved at 2 points lost, ", "seconds measured x declared watts");
    double work[VARIANTS + 1];
    es_curve joules;
    if (by_joules(&f, &tasks->curves[0], work, &joules))
        tell(&f, 100 * saving(&joules), "%", "higher",
             "no deadlines: the same by the profile's joules, source ",
             f.profiles[0]->energy.source);
    compare(&f, tasks, machines);
    int status = es_bench_print(&f.bench);
    es_arena_free(f.arena);
    return status;
}
