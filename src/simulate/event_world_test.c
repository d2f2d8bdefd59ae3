/* Event mode from a document to an outcome: what befalls nodes, links and devices, with numbers
 * worked out by hand; conservation and determinism. */
#include "base/text.h"
#include "es_test.h"
#include "simulate/simulate.h"

#include <math.h>

#define HEAD "format: estran-scenario\nversion: 1\nname: w\n"
#define TASK "tasks: [{name: t, input_bytes: 1000, output_bytes: 0, deadline_ms: 10000}]\n"
#define MODEL                                                                                      \
    "segments: [{name: s, memory_bytes: 500, work_macs: 1000}]\n"                                  \
    "pipelines: [{name: p, task: t, quality: 0.9, stages: [{segment: s}]}]\n"
/* 10 ms on 'a'. */
#define ONE_NODE                                                                                   \
    "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1.0e5, idle_w: 2, busy_w: 12, "       \
    "carbon_gco2e_per_kwh: 360}]\n"

typedef struct ran {
    es_arena *arena;
    const es_scenario *scenario;
    const es_plan *plan;
    es_event_result result;
} ran;

static void ran_free(ran *r)
{
    es_arena_free(r->arena);
}

static ran prepare(const char *text)
{
    ran r = {.arena = es_arena_new((size_t)1 << 30)};
    es_error err = {0};
    assert_ok_err(es_scenario_parse(r.arena, "w.yaml", ES_TEST_BINARY_DIR, text, strlen(text),
                                    false, &r.scenario, &err),
                  err);
    assert_ok_err(es_plan_solve(r.arena, r.scenario, es_plan_opts_default(), &r.plan, &err), err);
    return r;
}

static ran run_with(const char *text, es_event_opts opts)
{
    ran r = prepare(text);
    es_error err = {0};
    assert_ok_err(es_simulate_events(r.arena, r.scenario, r.plan, opts, &r.result, &err), err);
    return r;
}

static ran run(const char *text)
{
    return run_with(text, es_event_opts_default());
}

static void near(double found, double wanted, double tolerance)
{
    if (!(fabs(found - wanted) <= tolerance))
        fail_msg("%.9g is not within %g of %.9g", found, tolerance, wanted);
}

/* Every 20 ms one request of 10 ms: nobody waits. */
static void one_by_one(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(HEAD ONE_NODE TASK MODEL
                "slots: {length_s: 10, count: 3}\n"
                "demand: [{task: t, at: a, rate_rps: 50, arrivals: constant}]\n");
    const es_outcome_row *row = &r.result.outcome->total;
    near(row->arrived, 1500, 1);
    near(row->served + row->in_flight, row->arrived, 0);
    near(row->latency_s_max, 0.01, 2e-9);
    near(row->quality_mean, 0.9, 1e-12);
    near(row->energy_compute_j, row->served * 0.1, 0.1);
    near(r.result.outcome->energy_idle_j, 60, 1e-9);
    near(r.result.outcome->carbon_idle_g, 60 * 360 / 3.6e6, 1e-12);
    near(r.result.outcome->node_uses[1].busy_s, 5, 1e-6);
    near(r.result.outcome->node_uses[0].model_bytes_loaded, 500, 0);
}

/* Requests come every 2 ms, 10 ms each alone. Up to 10 together take 10 ms * (1 + 9 * 0.1) = 19 ms:
 * 10 in 20 ms, 19 ms of work. */
static void batches_keep_up(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(HEAD TASK MODEL
                "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1.0e5, idle_w: 2, "
                "busy_w: 12, utilisation_max: 1, processors: 5}]\n"
                "slots: {length_s: 20, count: 1}\n"
                "demand: [{task: t, at: a, rate_rps: 500, arrivals: constant}]\n"
                "events: {nodes: [{at: a, batch: {max: 10, wait_ms: 1000, growth: 0.1}}]}\n");
    const es_outcome_row *row = &r.result.outcome->total;
    near(row->arrived, 10000, 1);
    /* The first of a batch waits 18 ms for the tenth. */
    near(row->latency_s_max, 0.018 + 0.019, 1e-6);
    near(row->latency_s_mean, 0.009 + 0.019, 1e-5);
    /* Five processors draw 10 W together: a batch takes 19 ms of one, shared by ten. */
    near(row->energy_compute_j / row->served, 0.019 * 2 / 10, 1e-5);
}

/* A batch that never fills starts when its first has waited long enough. */
static void batches_do_not_wait_for_ever(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(HEAD ONE_NODE TASK MODEL
                "slots: {length_s: 100, count: 1}\n"
                "demand: [{task: t, at: a, rate_rps: 10, arrivals: constant}]\n"
                "events: {nodes: [{at: a, batch: {max: 10, wait_ms: 5}}]}\n");
    near(r.result.outcome->total.latency_s_mean, 0.015, 1e-8);
}

/* Down a share of the time: that share of the requests is lost. */
static void failures_lose_their_share(void **state)
{
    (void)state;
    es_event_opts opts = es_event_opts_default();
    opts.replication_count = 20;
    ES_CLEANUP(ran_free)
    ran r = run_with(HEAD ONE_NODE TASK MODEL
                     "slots: {length_s: 100, count: 20}\n"
                     "demand: [{task: t, at: a, rate_rps: 10}]\n"
                     "events: {nodes: [{at: a, failure_mean_s: 30, repair_mean_s: 10}]}\n",
                     opts);
    const es_outcome *outcome = r.result.outcome;
    double failed = 0;
    double arrived = 0;
    double loaded = 0;
    for (size_t i = 0; i < outcome->interval_count; i++) {
        const es_interval *interval = &outcome->intervals[i];
        failed = strcmp(interval->measure, "failed") == 0 ? interval->mean : failed;
        arrived = strcmp(interval->measure, "arrived") == 0 ? interval->mean : arrived;
        loaded = strcmp(interval->measure, "model_bytes_loaded") == 0 ? interval->mean : loaded;
    }
    near(failed / arrived, 0.25, 0.02);
    near(loaded, 500 * (1 + 2000 / 40.0), 2500); /* once more after every repair */
    assert_true(outcome->node_uses[0].died || outcome->node_uses[1].died);
}

/* The link to the only host works half of the time. */
static void links_fail_too(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(HEAD TASK MODEL
                "nodes:\n"
                "  - {name: d, tier: device, processors: 0}\n"
                "  - {name: a, tier: edge, memory_mb: 1, macs_per_s: 1.0e5}\n"
                "links: [{between: [d, a], latency_ms: 1, bandwidth_mbps: 10}]\n"
                "slots: {length_s: 1000, count: 20}\n"
                "demand: [{task: t, at: d, rate_rps: 5}]\n"
                "events: {links: [{between: [a, d], failure_mean_s: 20, repair_mean_s: 20}]}\n");
    const es_outcome_row *row = &r.result.outcome->total;
    near(row->failed / row->arrived, 0.5, 0.05);
    near(row->latency_s_mean, 0.001 + 0.0008 + 0.01 + 0.001, 0.002);
}

/* A request every second: 10 ms of work, 90 ms awake after it, then asleep, and 20 ms to wake. */
static void sleeps_and_wakes(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(HEAD ONE_NODE TASK MODEL
                "slots: {length_s: 1000, count: 1}\n"
                "demand: [{task: t, at: a, rate_rps: 1, arrivals: constant}]\n"
                "events: {nodes: [{at: a, sleep: {after_s: 0.09, power_w: 0.1, wake_ms: 20}}]}\n");
    const es_outcome *outcome = r.result.outcome;
    near(outcome->total.latency_s_mean, 0.03, 1e-8);
    near(outcome->energy_idle_j, 1000 * (0.12 * 2 + 0.88 * 0.1), 2.5);
}

/* 2 W from 100 J, and 0.1 J for each of 10 requests per second: 3 W, dead after 33.3 s. */
static void battery_runs_out(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(HEAD ONE_NODE TASK MODEL
                "slots: {length_s: 10, count: 10}\n"
                "demand: [{task: t, at: a, rate_rps: 10, arrivals: constant}]\n"
                "events: {nodes: [{at: a, battery_j: 100}]}\n");
    const es_outcome *outcome = r.result.outcome;
    near(outcome->total.served, 333, 2);
    near(outcome->total.failed, outcome->total.arrived - outcome->total.served, 0);
    near(outcome->energy_total_j, 100, 0.2);
    assert_true(outcome->node_uses[3].died);
    assert_false(outcome->node_uses[2].died);
}

/* Two classes, load 0.9: the urgent hardly wait (Cobham's formula for M/D/1 with two classes). */
static void urgent_first(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r =
        run(HEAD "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1.0e5, "
                 "utilisation_max: 1}]\n"
                 "tasks: [{name: t, input_bytes: 0, output_bytes: 0}, {name: u, input_bytes: 0, "
                 "output_bytes: 0}]\n"
                 "segments: [{name: s, memory_bytes: 500, work_macs: 1000}]\n"
                 "pipelines: [{name: p, task: t, quality: 0.9, stages: [{segment: s}]}, "
                 "{name: q, task: u, quality: 0.9, stages: [{segment: s}]}]\n"
                 "slots: {length_s: 1000, count: 10}\n"
                 "demand: [{task: t, at: a, rate_rps: 30, priority: 1}, "
                 "{task: u, at: a, rate_rps: 60, priority: 0}]\n");
    double residual_s = 90 * 0.01 * 0.01 / 2;
    const es_outcome_row *rows = r.result.outcome->class_rows;
    near(rows[1].latency_s_mean, 0.01 + residual_s / (1 - 0.6), 0.0003);
    near(rows[0].latency_s_mean, 0.01 + residual_s / ((1 - 0.6) * (1 - 0.9)), 0.012);
}

static void full_queues_refuse_and_late_are_dropped(void **state)
{
    (void)state;
    /* 200 come per second, 100 are served. */
#define FLOOD                                                                                      \
    HEAD ONE_NODE MODEL "objective: {refusal_cost: 1000}\n"                                        \
                        "tasks: [{name: t, input_bytes: 0, output_bytes: 0, deadline_ms: 50}]\n"   \
                        "slots: {length_s: 100, count: 1}\n"
    ran r = prepare(FLOOD "demand: [{task: t, at: a, rate_rps: 50, arrivals: constant}]\n"
                          "events: {nodes: [{at: a, queue_max: 3, drop_late: true}]}\n");
    es_class *class = ES_TAKE_ONE(r.arena, es_class);
    es_scenario *changed = ES_TAKE_ONE(r.arena, es_scenario);
    es_node_events *events = ES_TAKE_ONE(r.arena, es_node_events);
    *class = r.scenario->classes[0];
    class->arrivals.rate_rps = 200;
    *changed = *r.scenario;
    *events = r.scenario->node_events[0];
    changed->classes = class;
    changed->node_events = events;
    es_error err = {0};
    assert_ok_err(
        es_simulate_events(r.arena, changed, r.plan, es_event_opts_default(), &r.result, &err),
        err);
    near(r.result.outcome->total.refused, 10000, 10);
    near(r.result.outcome->total.latency_s_max, 0.04, 0.0051);
    events->queue_max = UINT32_MAX;
    assert_ok_err(
        es_simulate_events(r.arena, changed, r.plan, es_event_opts_default(), &r.result, &err),
        err);
    near(r.result.outcome->total.refused, 0, 0);
    near(r.result.outcome->total.failed, 10000, 20);
    near(r.result.outcome->total.latency_s_max, 0.06, 0.0051); /* began before the deadline */
    es_event_opts few = es_event_opts_default();
    events->drop_late = false;
    few.request_max = 1000;
    assert_fails(es_simulate_events(r.arena, changed, r.plan, few, &r.result, &err), ES_ERR_LIMIT,
                 err, "with 1000 requests under way: no more are allowed");
    ran_free(&r);
}

#define CITY                                                                                       \
    HEAD "tasks: [{name: t, input_bytes: 1000, output_bytes: 1000}]\n" MODEL "nodes:\n"            \
         "  - {name: g, tier: edge, memory_mb: 1, macs_per_s: 1.0e6}\n"                            \
         "  - {name: h, tier: edge, memory_mb: 1, macs_per_s: 1.0e6}\n"                            \
         "links: [{between: [g, h], latency_ms: 50, bandwidth_mbps: 1000, "                        \
         "energy_nj_per_bit: 10}]\n"                                                               \
         "slots: {length_s: 100, count: 10}\n"

/* Devices ask 0.02 J each time from 1 J: 50 requests, then no more. */
static void devices_die(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(CITY "demand: [{task: t, at: g, rate_rps: 10, devices: {count: 20, battery_j: 1, "
                     "request_mj: 20}}]\n");
    near(r.result.outcome->total.arrived, 20 * 50, 0);
    near(r.result.outcome->total.energy_network_j, 20 * 1.0, 1e-9);
}

/* Devices move all the time: half ask at the other gateway, and some answers must follow. */
static void devices_move(void **state)
{
    (void)state;
    ES_CLEANUP(ran_free)
    ran r = run(CITY "demand: [{task: t, at: [g, h], rate_rps: 20, devices: {count: 100, "
                     "moves_per_hour: 36000}}]\n");
    const es_outcome *outcome = r.result.outcome;
    near(outcome->class_rows[0].arrived, 20000, 600);
    near(outcome->class_rows[1].arrived, 20000, 600);
    /* Moves come at 10 per second; 1 ms of service: about 1 % move meanwhile. */
    double moved = outcome->total.energy_network_j / (8000 * 10e-9);
    near(moved / outcome->total.served, 0.01, 0.004);
    near(outcome->total.latency_s_max, 0.051, 0.01);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* 100 g per kWh for 50 s, then 300: idle joules are even, so their grams are the mean. */
static void carbon_follows_the_clock(void **state)
{
    (void)state;
    write_file(ES_TEST_BINARY_DIR "/grid.csv", "time,g\n0,100\n50,300\n");
    ES_CLEANUP(ran_free)
    ran r = run(HEAD ONE_NODE TASK MODEL
                "slots: {length_s: 10, count: 10}\n"
                "demand: [{task: t, at: a, rate_rps: 20, arrivals: constant}]\n"
                "events: {nodes: [{at: a, carbon: {file: grid.csv, column: g}}]}\n");
    const es_outcome *outcome = r.result.outcome;
    near(outcome->carbon_idle_g, 200 * 200 / 3.6e6, 1e-9);
    near(outcome->total.carbon_g, outcome->total.energy_compute_j * 200 / 3.6e6, 1e-5);
    near(outcome->rows[0].carbon_g * 3, outcome->rows[9].carbon_g, 5e-5);
}

static void traces_are_followed(void **state)
{
    (void)state;
    write_file(ES_TEST_BINARY_DIR "/requests.csv",
               "timestamp_s,class\n1,t at g\n2,t at h\n2,t at g\n500,t at h\n2000,t at g\n");
    ES_CLEANUP(ran_free)
    ran r = run(CITY "demand: [{task: t, at: [g, h], arrivals: trace, trace: {file: "
                     "requests.csv}}]\n");
    near(r.result.outcome->class_rows[0].arrived, 2, 0);
    near(r.result.outcome->class_rows[1].arrived, 2, 0);
    near(r.scenario->classes[0].arrivals.rate_rps, 2 / 1000.0, 1e-12);
}

static void bad_traces_are_refused(void **state)
{
    (void)state;
    static const char text[] = CITY "demand: [{task: t, at: [g, h], arrivals: trace, trace: "
                                    "{file: bad.csv}}]\n";
    static const char *const cases[][2] = {
        {"timestamp_s,class\n1,t at g\n2,t at h\n3,v at g\n", "bad.csv:4: class 'v at g' is not"},
        {"timestamp_s,class\n3,t\n2,t\n", "bad.csv:3: out of order"},
        {"timestamp_s,class\n-3,t\n", "bad.csv:2: timestamp_s=-3"},
        {"timestamp_s,class\n5000,t\n", "no request of 't at g' comes in the 1000 s of the run"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = NULL;
        es_error err = {0};
        write_file(ES_TEST_BINARY_DIR "/bad.csv", cases[i][0]);
        assert_fails(es_scenario_parse(arena, "w.yaml", ES_TEST_BINARY_DIR, text, sizeof text - 1,
                                       false, &scenario, &err),
                     ES_ERR_PARSE, err, cases[i][1]);
    }
}

/* Everything at once. */
#define ALL                                                                                        \
    CITY "demand: [{task: t, at: [g, h], rate_rps: 100, profile: [{kind: diurnal, period_s: "      \
         "500}, {kind: on-off, on_s: 5, off_s: 2}], devices: {count: 1000, battery_j: 5, "         \
         "request_mj: 20, moves_per_hour: 60}}]\n"                                                 \
         "events:\n"                                                                               \
         "  nodes:\n"                                                                              \
         "    - {at: g, service: exponential, queue_max: 2, drop_late: true, batch: {max: 4, "     \
         "wait_ms: 2, growth: 0.5}, failure_mean_s: 50, repair_mean_s: 5}\n"                       \
         "    - {at: h, sleep: {after_s: 0.01, power_w: 0.1, wake_ms: 5}, failure_mean_s: 200, "   \
         "repair_mean_s: 20}\n"                                                                    \
         "  links: [{between: [g, h], failure_mean_s: 100, repair_mean_s: 10}]\n"

static void same_bytes_whatever_the_threads(void **state)
{
    (void)state;
    es_text texts[3];
    for (uint32_t t = 0; t < 3; t++) {
        es_event_opts opts = es_event_opts_default();
        opts.replication_count = 4;
        opts.thread_count = t < 2 ? 1 + 3 * t : 1;
        opts.seed = t < 2 ? 7 : 8;
        ran r = run_with(ALL, opts);
        es_text_init(&texts[t], 1 << 24);
        es_outcome_write(r.result.outcome, &texts[t]);
        ran_free(&r);
    }
    assert_string_equal(es_text_get(&texts[0]), es_text_get(&texts[1]));
    assert_string_not_equal(es_text_get(&texts[0]), es_text_get(&texts[2]));
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    const es_outcome *loaded = NULL;
    es_error err = {0};
    assert_ok_err(
        es_outcome_parse(arena, "o", es_text_get(&texts[0]), texts[0].size, &loaded, &err), err);
    es_text again;
    es_text_init(&again, 1 << 24);
    es_outcome_write(loaded, &again);
    assert_string_equal(es_text_get(&again), es_text_get(&texts[0]));
    es_text_done(&again);
    for (int t = 0; t < 3; t++)
        es_text_done(&texts[t]);
}

/* Conservation of requests and joules is checked inside every run; here for many seeds, with
 * something of every fate. */
static void everything_is_conserved(void **state)
{
    (void)state;
    double served = 0;
    double refused = 0;
    double failed = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        es_event_opts opts = es_event_opts_default();
        opts.seed = es_test_seed(0) + seed;
        ES_CLEANUP(ran_free) ran r = run_with(ALL, opts);
        const es_outcome_row *row = &r.result.outcome->total;
        served += row->served;
        refused += row->refused;
        failed += row->failed;
        near(row->served + row->refused + row->failed + row->in_flight, row->arrived, 0);
        near(r.result.outcome->energy_total_j,
             row->energy_compute_j + row->energy_network_j + r.result.outcome->energy_idle_j, 0);
    }
    assert_true(served > 0 && failed > 0 && refused > 0);
}

/* Every cap on memory up to one that suffices: an error that says so, and nothing else. */
static void small_arenas_fail_cleanly(void **state)
{
    (void)state;
    ran r = prepare(ALL);
    bool done = false;
    int failures = 0;
    for (size_t cap = 1 << 12; !done; cap += cap / 4) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(cap);
        es_error err = {0};
        assert_true(cap < (size_t)1 << 32);
        es_status status =
            es_simulate_events(arena, r.scenario, r.plan, es_event_opts_default(), &r.result, &err);
        done = status == ES_OK;
        if (!done && status != ES_ERR_NOMEM)
            fail_msg("cap %zu: %s", cap, es_error_text(&err));
        failures += !done;
    }
    assert_true(failures > 5);
    ran_free(&r);
}

static void bad_options(void **state)
{
    (void)state;
    ran r = prepare(ALL);
    es_error err = {0};
    es_event_opts opts = es_event_opts_default();
    opts.replication_count = 0;
    assert_fails(es_simulate_events(r.arena, r.scenario, r.plan, opts, &r.result, &err), ES_ERR_ARG,
                 err, "replications=0 must be in [1, 10000]");
    opts = es_event_opts_default();
    opts.warm_up_s = -1;
    assert_fails(es_simulate_events(r.arena, r.scenario, r.plan, opts, &r.result, &err), ES_ERR_ARG,
                 err, "warm_up_s=-1 must be finite and >= 0");
    es_scenario *changed = ES_TAKE_ONE(r.arena, es_scenario);
    *changed = *r.scenario;
    changed->slot_s = 1e-9;
    opts = es_event_opts_default();
    assert_fails(es_simulate_events(r.arena, changed, r.plan, opts, &r.result, &err), ES_ERR_ARG,
                 err, "slots.length_s=1e-09 must be >= 1e-06");
    changed->slot_s = 1e7;
    changed->slot_count = 1000000;
    assert_fails(es_simulate_events(r.arena, changed, r.plan, opts, &r.result, &err), ES_ERR_ARG,
                 err, "a run of 1e+13 s is longer than 4e+09 s");
    ran_free(&r);
}

/* Load 0.9 from an empty start: latency after the warm-up is above that of the whole run. */
static void warm_up_is_left_out(void **state)
{
    (void)state;
    static const char text[] = HEAD
        "nodes: [{name: a, tier: edge, memory_mb: 1, macs_per_s: 1.0e5, utilisation_max: 1}]\n" TASK
            MODEL "slots: {length_s: 640, count: 1}\n"
        "demand: [{task: t, at: a, rate_rps: 90}]\n"
        "events: {nodes: [{at: a, service: exponential}]}\n";
    double means[2];
    for (int i = 0; i < 2; i++) {
        es_event_opts opts = es_event_opts_default();
        opts.replication_count = 100;
        opts.warm_up_s = i == 0 ? 0 : 100;
        ES_CLEANUP(ran_free) ran r = run_with(text, opts);
        near(r.result.warm_up_s, opts.warm_up_s, 1e-9);
        means[i] = r.result.outcome->intervals[0].mean;
        assert_string_equal(r.result.outcome->intervals[0].measure, "latency_s_mean");
        if (i == 1) /* M/M/1: 1 / (100 - 90) */
            near(means[1], 0.1, r.result.outcome->intervals[0].ci95);
    }
    assert_true(means[0] < means[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_by_one),
        cmocka_unit_test(batches_keep_up),
        cmocka_unit_test(batches_do_not_wait_for_ever),
        cmocka_unit_test(failures_lose_their_share),
        cmocka_unit_test(links_fail_too),
        cmocka_unit_test(sleeps_and_wakes),
        cmocka_unit_test(battery_runs_out),
        cmocka_unit_test(urgent_first),
        cmocka_unit_test(full_queues_refuse_and_late_are_dropped),
        cmocka_unit_test(devices_die),
        cmocka_unit_test(devices_move),
        cmocka_unit_test(carbon_follows_the_clock),
        cmocka_unit_test(traces_are_followed),
        cmocka_unit_test(bad_traces_are_refused),
        cmocka_unit_test(same_bytes_whatever_the_threads),
        cmocka_unit_test(everything_is_conserved),
        cmocka_unit_test(small_arenas_fail_cleanly),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(warm_up_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
