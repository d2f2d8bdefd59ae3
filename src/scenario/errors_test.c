/* Bad documents: each gives one line with place, path, thing, value and expectation. */
#include "es_test.h"
#include "scenario/scenario.h"

/* A good document, one section per line: section i is line i + 1. */
enum { FORMAT, VERSION, KINDS, NODES, LINKS, TASKS, SEGMENTS, PIPELINES, DEMAND, EXTRA, LINES };

static const char *const good[LINES] = {
    [FORMAT] = "format: estran-scenario",
    [VERSION] = "version: 1",
    [KINDS] = ("kinds: [{name: phone, slowdown: 2, memory_mb: 10}, "
               "{name: server, macs_per_s: 1000, memory_mb: 10}]"),
    [NODES] = "nodes: [{name: a, tier: device, kind: phone}, {name: b, tier: edge, kind: server}]",
    [LINKS] = "links: [{between: [a, b]}]",
    [TASKS] = "tasks: [{name: t, input_bytes: 10, output_bytes: 2}]",
    [SEGMENTS] = ("segments: [{name: s, memory_mb: 1, on: [{kind: host, time_ms: 1}]}, "
                  "{name: h, memory_mb: 1, work_macs: 5, output_bytes: 4}]"),
    [PIPELINES] = "pipelines: [{name: p, task: t, quality: 0.9, stages: [{segment: s}]}]",
    [DEMAND] = "demand: [{task: t, at: a, rate_rps: 1}]",
    [EXTRA] = "",
};

/* The line put in place of the good one, and words that the error must hold. */
typedef struct bad_case {
    int line;
    const char *text;
    const char *words;
} bad_case;

static es_status parse_with(es_arena *arena, int line, const char *text, es_error *err)
{
    char bytes[4096];
    size_t size = 0;
    for (int i = 0; i < LINES; i++)
        size +=
            (size_t)snprintf(bytes + size, sizeof bytes - size, "%s\n", i == line ? text : good[i]);
    assert_true(size < sizeof bytes);
    const es_scenario *scenario = NULL;
    es_status status =
        es_scenario_parse(arena, "bad.yaml", NULL, bytes, size, false, &scenario, err);
    assert_true((scenario != NULL) == (status == ES_OK));
    return status;
}

static void check(const bad_case *cases, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        es_arena *arena = es_arena_new((size_t)4 << 20);
        es_error err = {0};
        es_status status = parse_with(arena, cases[i].line, cases[i].text, &err);
        if (status != ES_ERR_PARSE || strstr(es_error_text(&err), cases[i].words) == NULL) {
            print_error("%s\n  got    (%s) %s\n  wanted %s\n", cases[i].text,
                        es_status_text(status), es_error_text(&err), cases[i].words);
            wrong++;
        }
        es_arena_free(arena);
    }
    assert_int_equal(wrong, 0);
}
#define CHECK(cases) check((cases), sizeof(cases) / sizeof *(cases))

static void test_good(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)4 << 20);
    es_error err = {0};
    assert_ok_err(parse_with(arena, EXTRA, "", &err), err);
    es_arena_free(arena);
}

static void test_head(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {FORMAT, "format: estran-plan", "bad.yaml:1:9: format: "},
        {FORMAT, "", "format"},
        {VERSION, "version: 2", "bad.yaml:2:10: version: "},
        {VERSION, "", "version"},
        {EXTRA, "sedd: 1", "bad.yaml:10:1: "},
        {EXTRA, "sedd: 1", "seed"},
        {EXTRA, "seed: -1", "bad.yaml:10:7: seed: "},
        {EXTRA, "seed: 1.5", "bad.yaml:10:7: seed: "},
        {EXTRA, "name: [x]", "bad.yaml:10:7: name: "},
        {EXTRA, "slots: {length_s: 0}", "bad.yaml:10:19: slots.length_s: 0 must be > 0"},
        {EXTRA, "slots: {count: 0}", "bad.yaml:10:16: slots.count: "},
        {EXTRA, "slots: {lenght_s: 1}", "length_s"},
        {EXTRA, "slots: 5", "bad.yaml:10:8: slots: "},
        {EXTRA, "routes: {energy_weight: -1}", "bad.yaml:10:25: routes.energy_weight: "},
        {EXTRA, "objective: {quality: -1}", "bad.yaml:10:22: objective.quality: "},
        {EXTRA, "objective: {latency_per_ms: 1}", "latency_per_s"},
        {EXTRA, "objective: {refusal_cost: .inf}", "bad.yaml:10:"},
        {EXTRA, "constraints: {replicas_min: 0}", "bad.yaml:10:29: constraints.replicas_min: "},
        {EXTRA, "constraints: {replicas_min: 3}",
         "constraints.replicas_min: 3 must be <= 2, the number of nodes"},
        {EXTRA, "constraints: {hosts_max: 0}", "bad.yaml:10:26: constraints.hosts_max: "},
        {EXTRA, "constraints: {replicas_min: 2, hosts_max: 1}",
         "constraints.hosts_max: 1 must be >= 2, which replicas_min asks of one segment"},
        {EXTRA, "constraints: {unsplittable: 1}", "constraints.unsplittable: "},
        {EXTRA, "constraints: {energy_budget_w: 0}", "constraints.energy_budget_w: 0 must be > 0"},
        {EXTRA, "constraints: {energy_budget_w: .nan}", ".nan is not a finite number"},
        {EXTRA, "constraints: {carbon_budget_g_per_s: -1}", "constraints.carbon_budget_g_per_s: "},
        {EXTRA, "constraints: {energy_budget_j: 1}", "did you mean 'energy_budget_w'"},
        {TASKS, "tasks: [{name: t, input_bytes: 10, output_bytes: 2, quality_min_each: 1.5}]",
         "quality_min_each"},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: 1, quality_min_each: -1}]",
         "demand[0].quality_min_each"},
    };
    CHECK(cases);
}

static void test_kinds(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {KINDS, "kinds: 3", "bad.yaml:3:8: kinds: "},
        {KINDS, "kinds: [3]", "bad.yaml:3:9: kinds[0]: "},
        {KINDS, "kinds: [{slowdown: 2}]", "name"},
        {KINDS, "kinds: [{name: '', slowdown: 2}]",
         "bad.yaml:3:16: kinds[0].name: the name of a kind has 1 to 128 bytes, not 0"},
        {KINDS, "kinds: [{name: \"a\\tb\"}]", "control characters"},
        {KINDS, "kinds: [{name: host}]", "'host' stands for the machine that estran runs on"},
        {KINDS, "kinds: [{name: a@b}]", "'@'"},
        {KINDS, "kinds: [{name: x}, {name: x}]",
         "bad.yaml:3:27: kinds[1].name: kind 'x' is already defined in line 3"},
        {KINDS, "kinds: [{name: x, slowdwn: 1}]", "slowdown"},
        {KINDS, "kinds: [{name: x, slowdown: 0.5}]", "bad.yaml:3:29: kinds[0].slowdown: 0.5"},
        {KINDS, "kinds: [{name: x, processors: -1}]", "bad.yaml:3:31: kinds[0].processors: -1"},
        {KINDS, "kinds: [{name: x, processors: 1.0e300}]", "kinds[0].processors: "},
        {KINDS, "kinds: [{name: x, memory_mb: .nan}]", "bad.yaml:3:"},
        {KINDS, "kinds: [{name: x, memory_mb: 1, memory_bytes: 5}]",
         "bad.yaml:3:47: kinds[0].memory_bytes: give memory_mb or memory_bytes, not both"},
        {KINDS, "kinds: [{name: x, idle_w: 2, busy_w: 1}]",
         "bad.yaml:3:38: kinds[0].busy_w: busy_w 1 must be >= idle_w 2"},
        {KINDS, "kinds: [{name: x, utilisation_max: 1.5}]", "kinds[0].utilisation_max: 1.5"},
        {KINDS, "kinds: [{name: x, macs_per_s: lots}]", "kinds[0].macs_per_s: "},
    };
    CHECK(cases);
}

static void test_nodes(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {NODES, "", "nodes"},
        {NODES, "nodes: []", "bad.yaml:4:8: nodes: the list needs at least one item"},
        {NODES, "nodes: [{name: a, tier: device, kind: phnoe}]",
         "bad.yaml:4:39: nodes[0].kind: no kind is called 'phnoe'; did you mean 'phone'?"},
        {NODES, "nodes: [{name: a, tier: device, kind: host}]", "'host' is no kind of a node"},
        {NODES, "nodes: [{name: a, tier: fog, kind: phone}]", "bad.yaml:4:25: nodes[0].tier: "},
        {NODES, "nodes: [{name: a, kind: phone}]", "tier"},
        {NODES, "nodes: [{name: a, tier: edge, kind: phone}, {name: a, tier: edge}]",
         "nodes[1].name: node 'a' is already defined in line 4"},
        {NODES, "nodes: [{name: a, tier: edge}]", "memory_mb (or memory_bytes) is missing"},
        {NODES, "nodes: [{name: a, tier: edge, kind: phone, idle_w: 3, busy_w: 2}]",
         "nodes[0].busy_w: busy_w 2 must be >= idle_w 3"},
        {NODES, "nodes: [{name: a, tier: edge, kind: phone, latitude_deg: 3}]",
         "bad.yaml:4:9: nodes[0]: give latitude_deg and longitude_deg, or neither"},
        {NODES, "nodes: [{name: a, tier: edge, kind: phone, latitude_deg: 91}]",
         "nodes[0].latitude_deg: 91"},
        {NODES, "nodes: [{name: a, tier: edge, kind: phone, carbon_gco2e_per_kwh: -5}]",
         "nodes[0].carbon_gco2e_per_kwh: -5"},
        {NODES, "nodes: [{name: a, tier: edge, kind: phone, carbon_gco2_per_kwh: 5}]",
         "carbon_gco2e_per_kwh"},
    };
    CHECK(cases);
}

static void test_links(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {LINKS, "links: [{between: [a, edge]}]",
         "bad.yaml:5:23: links[0].between[1]: no node is called 'edge'"},
        {LINKS, "links: [{between: [a, a]}]", "links[0]: the link joins node 'a' to itself"},
        {LINKS, "links: [{between: [a]}]", "links[0].between: between joins 2 nodes, not 1"},
        {LINKS, "links: [{latency_ms: 1}]", "between: [node, node] is missing"},
        {LINKS, "links: [{from: a}]", "to"},
        {LINKS, "links: [{between: [a, b], from: a, to: b}]", "not both"},
        {LINKS, "links: [{between: [a, b], latency_ms: -1}]",
         "bad.yaml:5:39: links[0].latency_ms: -1"},
        {LINKS, "links: [{between: [a, b], bandwidth_mbps: 0}]",
         "bad.yaml:5:43: links[0].bandwidth_mbps: 0 must be > 0"},
        {LINKS, "links: [{between: [a, b], bandwidth_mbps: 1.0e-9}]", "must be >= 1e-06"},
        {LINKS, "links: [{between: [a, b], bandwidth_mbps: fast}]", "links[0].bandwidth_mbps: "},
        {LINKS, "links: [{between: [a, b], energy_nj_per_bit: 1.0e12}]",
         "links[0].energy_nj_per_bit: 1e+12 must be between 0 and 1e+09"},
        {LINKS, "links: [{between: [a, b], availability: 2}]", "links[0].availability: 2"},
        {LINKS, "links: [{between: [a, b], latency: 2}]", "latency_ms"},
    };
    CHECK(cases);
}

static void test_tasks_and_segments(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {TASKS, "tasks: []", "bad.yaml:6:8: tasks: "},
        {TASKS, "tasks: [{name: t, input_bytes: 2, output_bytes: 2, labels: l.u8}]",
         "bad.yaml:6:60: tasks[0].labels: labels without samples"},
        {TASKS, "tasks: [{name: t, output_bytes: 2}]", "input_bytes"},
        {TASKS, "tasks: [{name: t, input_bytes: -2, output_bytes: 2}]", "tasks[0].input_bytes: -2"},
        {TASKS, "tasks: [{name: t, input_bytes: 2, output_bytes: 2, deadline_ms: 0}]",
         "tasks[0].deadline_ms: 0 must be > 0"},
        {TASKS, "tasks: [{name: t, input_bytes: 2, output_bytes: 2, quality_min: 90}]",
         "tasks[0].quality_min: 90"},
        {TASKS,
         "tasks: [{name: t, input_bytes: 10, output_bytes: 2}, "
         "{name: u, input_bytes: 1, output_bytes: 1}]",
         "bad.yaml:6:54: tasks[1]: task 'u' has no pipeline"},
        {SEGMENTS, "segments: []", "bad.yaml:7:11: segments: "},
        {SEGMENTS, "segments: [{name: s}]",
         "bad.yaml:7:12: segments[0]: memory_mb (or memory_bytes) is missing"},
        {SEGMENTS, "segments: [{name: s, file: no-such.onnx}]", "there is no file 'no-such.onnx'"},
        {SEGMENTS, "segments: [{name: s, memory_mb: -1}]", "segments[0].memory_mb: -1"},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1, file: ''}]", "segments[0].file: "},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1, work_macs: -1}]", "work_macs: -1"},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1, on: [{kind: phne, time_ms: 1}]}]",
         "bad.yaml:7:48: segments[0].on[0].kind: no kind is called 'phne'; did you mean 'phone'?"},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1, on: [{kind: phone}]}]", "time_ms"},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1, on: [{kind: phone, time_ms: 0}]}]",
         "segments[0].on[0].time_ms: 0 must be > 0"},
        {SEGMENTS,
         "segments: [{name: s, memory_mb: 1, on: [{kind: host, time_ms: 1, energy_mj: 1}]}]",
         "energy of the host says nothing about a node"},
        {SEGMENTS,
         "segments: [{name: s, memory_mb: 1, on: [{kind: host, time_ms: 1}, "
         "{kind: host, time_ms: 2}]}]",
         "segments[0].on[1].kind: kind 'host' already has a time in this segment"},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1}, {name: s, memory_mb: 1}]",
         "segments[1].name: segment 's' is already defined"},
    };
    CHECK(cases);
}

#define PIPELINE(stages) "pipelines: [{name: p, task: t, quality: 0.9, stages: " stages "}]"

static void test_pipelines(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {PIPELINES, "pipelines: []", "bad.yaml:8:12: pipelines: "},
        {PIPELINES, "pipelines: [{name: p, task: u, quality: 1, stages: [{segment: s}]}]",
         "bad.yaml:8:29: pipelines[0].task: no task is called 'u'"},
        {PIPELINES, "pipelines: [{name: p, task: t, quality: 91, stages: [{segment: s}]}]",
         "pipelines[0].quality: 91"},
        {PIPELINES, "pipelines: [{name: p, task: t, stages: [{segment: s}]}]", "quality"},
        {PIPELINES, PIPELINE("[]"), "pipelines[0].stages: the list needs at least one item"},
        {PIPELINES, PIPELINE("[{segment: z}]"),
         "pipelines[0].stages[0].segment: no segment is called 'z'"},
        {PIPELINES, PIPELINE("[{segment: s, reach: 0.5}]"),
         "bad.yaml:8:75: pipelines[0].stages[0].reach: 0.5 must be 1"},
        {PIPELINES, PIPELINE("[{segment: h}, {segment: s, reach: 1.5}]"),
         "pipelines[0].stages[1].reach: 1.5"},
        {PIPELINES, PIPELINE("[{segment: h}, {segment: s, reach: 0}]"),
         "pipelines[0].stages[1].reach: 0 must be > 0"},
        {PIPELINES, PIPELINE("[{segment: h}, {segment: h, reach: 0.2}, {segment: s, reach: 0.3}]"),
         "pipelines[0].stages[2].reach: 0.3"},
        {PIPELINES, PIPELINE("[{segment: h}, {segment: h, reach: 0.2}, {segment: s, reach: 0.3}]"),
         "must be <= 0.2"},
        {PIPELINES, PIPELINE("[{segment: h, exit_threshold: 0.5}, {segment: s}]"),
         "pipelines[0].stages[1]: reach is missing"},
        {PIPELINES, PIPELINE("[{segment: s, exit_threshold: 0.5}]"),
         "the last stage has no later one"},
        {PIPELINES, PIPELINE("[{segment: s, exit_threshold: 1.5}]"),
         "pipelines[0].stages[0].exit_threshold: 1.5"},
        {PIPELINES, PIPELINE("[{segment: s, input: previous}]"), "the first stage has no previous"},
        {PIPELINES, PIPELINE("[{segment: h}, {segment: s, input: request-}]"), "request"},
        {PIPELINES, PIPELINE("[{segment: s}, {segment: s}]"),
         "segment 's' needs output_bytes: this stage takes its output"},
        {PIPELINES, PIPELINE("[{segment: h}]"),
         "segment 'h' puts out 4 bytes (output_bytes) where task 't' answers with 2"},
        {PIPELINES,
         PIPELINE("[{segment: h}, {segment: h}, {segment: h}, {segment: h}, {segment: h}, "
                  "{segment: h}, {segment: h}, {segment: h}, {segment: s}]"),
         "pipelines[0].stages: 9 stages are more than the 8"},
        {PIPELINES,
         "pipelines: [{name: p, task: t, quality: 1, stages: [{segment: s}]}, "
         "{name: p, task: t, quality: 1, stages: [{segment: s}]}]",
         "pipelines[1].name: pipeline 'p' is already defined"},
        /* what no node can host */
        {SEGMENTS, "segments: [{name: s, memory_mb: 11, on: [{kind: host, time_ms: 1}]}]",
         "bad.yaml:8:13: pipelines[0]: no node can host segment 's' of pipeline 'p': "
         "none where it runs has the memory for it"},
        {SEGMENTS, "segments: [{name: s, memory_mb: 1}]", "no node's kind has a time for it"},
    };
    CHECK(cases);
}

static void test_demand(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {DEMAND, "demand: []", "bad.yaml:9:9: demand: "},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: 0}]",
         "bad.yaml:9:37: demand[0].rate_rps: 0 must be > 0"},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: -3}]", "demand[0].rate_rps: -3"},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: 1.0e12}]", "demand[0].rate_rps: "},
        {DEMAND, "demand: [{task: t, at: a}]", "rate_rps"},
        {DEMAND, "demand: [{task: tt, at: a, rate_rps: 1}]",
         "demand[0].task: no task is called 'tt'; did you mean 't'?"},
        {DEMAND, "demand: [{task: t, at: z9, rate_rps: 1}]",
         "demand[0].at: no node is called 'z9'"},
        {DEMAND, "demand: [{task: t, rate_rps: 1}]", "at"},
        {DEMAND, "demand: [{task: t, at: 7, rate_rps: 1}]", "demand[0].at: must be a node"},
        {DEMAND, "demand: [{task: t, at: [], rate_rps: 1}]", "demand[0].at: the list needs"},
        {DEMAND, "demand: [{task: t, at: {tier: cloud}, rate_rps: 1}]",
         "demand[0].at.tier: no node has tier 'cloud'"},
        {DEMAND, "demand: [{task: t, at: {kind: phone}, rate_rps: 1}]", "demand[0].at"},
        {DEMAND, "demand: [{task: t, at: [a, a], rate_rps: 1}]",
         "demand[0].at[1]: task 't' already has demand at node 'a'"},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: 1, arrivals: poison}]", "poisson"},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: 1, deadline_ms: 0}]",
         "demand[0].deadline_ms: 0 must be > 0"},
        {DEMAND, "demand: [{task: t, at: a, rate_rps: 1, quality_min: 2}]",
         "demand[0].quality_min: 2"},
        {LINKS, "demand: []", "demand"}, /* the key is there twice */
    };
    CHECK(cases);
}

#define ENTRY "demand: [{task: t, at: a, rate_rps: 1, "

static void test_demand_over_time(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {DEMAND, ENTRY "profile: [{kind: weekly}]}]", "demand[0].profile[0].kind: "},
        {DEMAND, ENTRY "profile: [{kind: on-off, on_s: 1}]}]",
         "demand[0].profile[0]: missing key 'off_s'"},
        {DEMAND, ENTRY "profile: [{kind: on-off, on_s: 1, off_s: 0}]}]",
         "demand[0].profile[0].off_s: 0 must be > 0"},
        {DEMAND, ENTRY "profile: [{kind: diurnal, depth: 2}]}]",
         "demand[0].profile[0].depth: 2 must be between 0 and 1"},
        {DEMAND, ENTRY "profile: [{kind: diurnal, start_s: 2}]}]",
         "demand[0].profile[0]: unknown key 'start_s'"},
        {DEMAND, ENTRY "profile: [{kind: popularity}]}]", "popularity is a key of the entry"},
        {DEMAND,
         ENTRY "profile: [{kind: on-off, on_s: 1, off_s: 1}, {kind: on-off, on_s: 1, off_s: 1}]}]",
         "demand[0].profile[1]: there is an on-off profile already"},
        {DEMAND, ENTRY "profile: [{kind: series, file: '-'}]}]", "standard input is no table file"},
        {DEMAND, ENTRY "popularity: {exponent: 1}}]", "popularity: needs a list of tasks"},
        {DEMAND, "demand: [{task: [t], at: a, rate_rps: 1}]", "missing key 'popularity'"},
        {DEMAND, "demand: [{task: [t, x], at: a, rate_rps: 1, popularity: {}}]",
         "demand[0].task[1]: no task is called 'x'"},
        {DEMAND, "demand: [{task: [t], at: a, rate_rps: 1, popularity: {change: slides}}]",
         "'slides' must be one of fixed, sliding"},
        {DEMAND, ENTRY "priority: 4}]", "demand[0].priority: 4 must be between 0 and 3"},
        {DEMAND, ENTRY "arrivals: constant, devices: {count: 3}}]", "arrivals must be poisson"},
        {DEMAND, ENTRY "devices: {count: 0}}]", "demand[0].devices.count: 0 must be between 1"},
        {DEMAND, ENTRY "devices: {count: 1, battery_j: -1}}]", "demand[0].devices.battery_j: -1"},
        {DEMAND, ENTRY "trace: {file: x}}]", "demand[0].trace: needs arrivals: trace"},
        {DEMAND, "demand: [{task: t, at: a, arrivals: trace}]", "needs trace: {file: ...}"},
        {DEMAND, ENTRY "arrivals: trace, trace: {file: x}}]", "a trace says itself when"},
    };
    CHECK(cases);
}

static void test_events(void **state)
{
    (void)state;
    const bad_case cases[] = {
        {EXTRA, "events: 5", "events: "},
        {EXTRA, "events: {node: []}", "did you mean 'nodes'?"},
        {EXTRA, "events: {nodes: [{queue_max: 1}]}", "events.nodes[0]: missing key 'at'"},
        {EXTRA, "events: {nodes: [{at: z9}]}", "no node is called 'z9'"},
        {EXTRA, "events: {nodes: [{at: a}, {at: [b, a]}]}",
         "events.nodes[1].at[1]: node 'a' came before"},
        {EXTRA, "events: {nodes: [{at: a, queue_max: -1}]}", "queue_max: -1 must be between 0"},
        {EXTRA, "events: {nodes: [{at: a, service: normal}]}", "events.nodes[0].service: "},
        {EXTRA, "events: {nodes: [{at: a, failure_mean_s: 5}]}",
         "events.nodes[0]: give failure_mean_s and repair_mean_s, or neither"},
        {EXTRA, "events: {nodes: [{at: a, batch: {wait_ms: 5}}]}", "batch: missing key 'max'"},
        {EXTRA, "events: {nodes: [{at: a, batch: {max: 5, growth: 2}}]}",
         "growth: 2 must be between 0 and 1"},
        {EXTRA, "events: {nodes: [{at: a, battery_j: 0}]}", "battery_j: 0 must be > 0"},
        {EXTRA, "events: {nodes: [{at: a, sleep: {wake_ms: 5}}]}", "sleep: missing key 'after_s'"},
        {EXTRA, "events: {nodes: [{at: a, carbon: {file: no-such.csv}}]}",
         "carbon.file: cannot open 'no-such.csv'"},
        {EXTRA, "events: {links: [{between: [a]}]}", "between joins 2 nodes, not 1"},
        {EXTRA, "events: {links: [{between: [a, a]}]}", "no link joins 'a' and 'a'"},
    };
    CHECK(cases);
}

/* Nodes that no pipeline can be reached from: only a can run s. */
static void test_cut_off(void **state)
{
    (void)state;
    const char *const links[] = {"", "links: []", "links: [{from: a, to: b}]",
                                 "links: [{from: b, to: a}]"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        es_arena *arena = es_arena_new((size_t)4 << 20);
        char bytes[4096];
        size_t size = 0;
        for (int line = 0; line < LINES; line++) {
            const char *given = line == LINKS    ? links[i]
                                : line == DEMAND ? "demand: [{task: t, at: b, rate_rps: 1}]"
                                                 : good[line];
            size += (size_t)snprintf(bytes + size, sizeof bytes - size, "%s\n", given);
        }
        const es_scenario *scenario = NULL;
        es_error err = {0};
        assert_fails(
            es_scenario_parse(arena, "bad.yaml", NULL, bytes, size, false, &scenario, &err),
            ES_ERR_PARSE, err,
            "bad.yaml:9:24: demand[0].at: requests of task 't' at node 'b' can be served by no "
            "pipeline");
        es_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_head),
        cmocka_unit_test(test_kinds),     cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_links),     cmocka_unit_test(test_tasks_and_segments),
        cmocka_unit_test(test_pipelines), cmocka_unit_test(test_demand),
        cmocka_unit_test(test_cut_off),   cmocka_unit_test(test_demand_over_time),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
