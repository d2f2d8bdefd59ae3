/* A schedule on real node processes: its order and its starts are kept, and so are its deadlines.
 */
#include "base/log.h"
#include "schedule/schedule.h"
#include "world.h"

#include <math.h>

enum { SEED = 3, HORIZON_S = 6, BEHIND_US = 2500 };

/* Urgent requests enter at the board that answers all; patient ones come over a link. Emulated
 * times are far above what the models take here. */
static const char text_of_scenario[] =
    "format: estran-scenario\n"
    "version: 1\n"
    "name: order\n"
    "slots: {length_s: 6, count: 1}\n"
    "kinds:\n"
    "  - {name: thin, processors: 0, memory_mb: 0, idle_w: 0, busy_w: 0}\n"
    "  - {name: board, processors: 1, memory_mb: 10, idle_w: 1, busy_w: 3}\n"
    "nodes:\n"
    "  - {name: far, tier: device, kind: thin, carbon_gco2e_per_kwh: 100}\n"
    "  - {name: hall, tier: edge, kind: board, carbon_gco2e_per_kwh: 100}\n"
    "links:\n"
    "  - {between: [far, hall], latency_ms: 2.5, bandwidth_mbps: 1000, energy_nj_per_bit: 1}\n"
    "tasks:\n"
    "  - {name: urgent, input_bytes: 2048, output_bytes: 24, deadline_ms: 80}\n"
    "  - {name: patient, input_bytes: 2048, output_bytes: 24, deadline_ms: 1200}\n"
    "segments:\n"
    "  - {name: tiny, file: ../01-first-run/models/tiny.onnx, memory_mb: 1,\n"
    "     on: [{kind: board, time_ms: 8}]}\n"
    "  - {name: small, file: ../01-first-run/models/small.onnx, memory_mb: 1,\n"
    "     on: [{kind: board, time_ms: 20}]}\n"
    "  - {name: large, file: ../01-first-run/models/large.onnx, memory_mb: 1,\n"
    "     on: [{kind: board, time_ms: 50}]}\n"
    "pipelines:\n"
    "  - {name: u1, task: urgent, quality: 0.8, stages: [{segment: tiny}]}\n"
    "  - {name: u2, task: urgent, quality: 0.93, stages: [{segment: small}]}\n"
    "  - {name: p1, task: patient, quality: 0.8, stages: [{segment: tiny}]}\n"
    "  - {name: p2, task: patient, quality: 0.93, stages: [{segment: small}]}\n"
    "  - {name: p3, task: patient, quality: 0.96, stages: [{segment: large}]}\n"
    "demand:\n"
    "  - {task: urgent, at: hall, rate_rps: 10, arrivals: poisson}\n"
    "  - {task: patient, at: far, rate_rps: 10, arrivals: poisson}\n";

typedef struct bench {
    es_arena *arena;
    const es_scenario *scenario;
    const es_tasks *tasks;
    const es_machines *machines;
    const es_schedule *schedule;
    es_schedule_execution execution;
    double *started_s; /* [task] measured; NAN: no answer */
    double *latency_s; /* [task] */
} bench;

static void set_up(bench *b)
{
    es_error err = {0};
    es_runtime *runtime = NULL;
    *b = (bench){.arena = es_arena_new((size_t)256 << 20)};
    es_log_level_set(ES_LOG_ERROR);
    if (es_runtime_new(es_runtime_opts_default(), &runtime, &err) != ES_OK) {
        print_message("skipped: %s\n", es_error_text(&err));
        es_arena_free(b->arena);
        skip();
    }
    es_runtime_free(runtime);
    assert_ok_err(es_scenario_parse(b->arena, "order.yaml",
                                    ES_TEST_SOURCE_DIR "/examples/03-schedule", text_of_scenario,
                                    sizeof text_of_scenario - 1, false, &b->scenario, &err),
                  err);
    assert_ok_err(es_schedule_from_scenario(b->arena, b->scenario, NULL, HORIZON_S, SEED, &b->tasks,
                                            &b->machines, &err),
                  err);
    es_online_opts opts = es_online_opts_default();
    es_online_result result;
    opts.schedule.discrete = true;
    assert_ok_err(es_schedule_online(b->arena, b->tasks, b->machines, opts, &result, &err), err);
    b->schedule = result.schedule;
    assert_ok_err(es_schedule_execution_make(b->arena, b->scenario, b->tasks, b->machines,
                                             b->schedule, &b->execution, &err),
                  err);
    b->started_s = ES_TAKE_ARRAY(b->arena, double, b->tasks->task_count);
    b->latency_s = ES_TAKE_ARRAY(b->arena, double, b->tasks->task_count);
    assert_true(b->started_s != NULL && b->latency_s != NULL);
}

static uint32_t task_of(const bench *b, es_class_id class_id, uint64_t sequence)
{
    uint64_t task = b->execution.first_task[class_id.index] + sequence;
    return task < b->execution.first_task[class_id.index + 1] ? (uint32_t)task : UINT32_MAX;
}

static size_t route(void *context, es_class_id class_id, uint64_t sequence)
{
    const bench *b = context;
    uint32_t task = task_of(b, class_id, sequence);
    return task != UINT32_MAX ? b->execution.routings[task] : SIZE_MAX;
}

static es_run_turn turn(void *context, es_class_id class_id, uint64_t sequence)
{
    const bench *b = context;
    uint32_t task = task_of(b, class_id, sequence);
    if (task == UINT32_MAX)
        return (es_run_turn){(double)NAN, 0};
    return (es_run_turn){b->execution.leaves_s[task], b->execution.turns[task]};
}

static void answered(void *context, const es_run_answer *answer)
{
    const bench *b = context;
    uint32_t task = task_of(b, answer->class_id, answer->sequence);
    double back_s = answer->class_id.index == 1 ? 1e-6 * BEHIND_US : 0;
    b->latency_s[task] = answer->latency_s;
    b->started_s[task] =
        b->tasks->tasks[task].arrival_s + answer->latency_s - back_s - answer->service_s[0];
}

typedef struct figures {
    uint32_t run, answered, late, swapped, early;
    double quality; /* in time, over all that arrived */
} figures;

/* The way back is not the board's: an answer is in time when the board is through in time. */
static bool in_time(const bench *b, uint32_t task)
{
    double back_s = b->tasks->tasks[task].class_id.index == 1 ? 1e-6 * BEHIND_US : 0;
    return b->tasks->tasks[task].arrival_s + b->latency_s[task] - back_s <=
           b->tasks->tasks[task].deadline_s;
}

static figures execute(bench *b, bool gate)
{
    es_error err = {0};
    es_run_opts opts = world_opts();
    const es_outcome *outcome = NULL;
    figures f = {0};
    uint32_t count = b->tasks->task_count;
    opts.seed = SEED;
    opts.duration_s = HORIZON_S;
    opts.route = route;
    opts.turn = gate ? turn : NULL;
    opts.answered = answered;
    opts.context = b;
    for (uint32_t i = 0; i < count; i++)
        b->started_s[i] = (double)NAN;
    assert_ok_err(es_run_plan(b->arena, b->scenario, b->execution.plan, opts, &outcome, &err), err);
    world_conserves(outcome);
    assert_int_equal(outcome->total.arrived, count);
    for (uint32_t i = 0; i < count; i++) {
        const es_schedule_entry *one = &b->schedule->entries[i];
        f.run += one->work > 0;
        if (isnan(b->started_s[i]))
            continue;
        f.answered++;
        f.late += !in_time(b, i);
        f.early += b->started_s[i] < one->start_s - 1e-4;
        f.quality += in_time(b, i) ? one->quality / count : 0;
        for (uint32_t k = 0; k < count; k++) /* planned before i, started behind it */
            f.swapped +=
                b->schedule->entries[k].start_s < one->start_s && b->started_s[k] > b->started_s[i];
    }
    print_message("%s: %u of %u answered, %u late, %u started early, %u pairs in another order, "
                  "mean quality in time %.4f\n",
                  gate ? "released by the schedule" : "released on arrival", f.answered, f.run,
                  f.late, f.early, f.swapped, f.quality);
    return f;
}

static void the_order_is_the_schedules(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    print_message("planned: mean quality %.4f\n", b.schedule->quality / b.tasks->task_count);
    figures before = execute(&b, false);
    figures after = execute(&b, true);
    assert_true(before.swapped > 10); /* so that there is something to keep */
    assert_int_equal(after.answered, after.run);
    assert_int_equal(after.swapped, 0);
    assert_int_equal(after.early, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they take their own time */
    assert_true(after.late <= before.late);
#endif
    es_arena_free(b.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_order_is_the_schedules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
