/* A schedule as nodes are told it: every request finds the node and the variant it was given. */
#include "es_test.h"
#include "schedule/schedule.h"

#include <math.h>

static const char scenario_text[] =
    "format: estran-scenario\n"
    "version: 1\n"
    "name: two\n"
    "slots: {length_s: 1, count: 4}\n"
    "kinds:\n"
    "  - {name: slow, processors: 1, memory_mb: 10, idle_w: 1, busy_w: 3}\n"
    "  - {name: fast, processors: 2, memory_mb: 10, idle_w: 5, busy_w: 50}\n"
    "nodes:\n"
    "  - {name: a, tier: device, kind: slow, carbon_gco2e_per_kwh: 100}\n"
    "  - {name: b, tier: edge, kind: fast, carbon_gco2e_per_kwh: 100}\n"
    "links:\n"
    "  - {between: [a, b], latency_ms: 1, bandwidth_mbps: 100, energy_nj_per_bit: 1}\n"
    "tasks:\n"
    "  - {name: t, input_bytes: 100, output_bytes: 10, deadline_ms: 400}\n"
    "  - {name: u, input_bytes: 100, output_bytes: 10, deadline_ms: 300}\n"
    "segments:\n"
    "  - {name: s1, memory_mb: 1, on: [{kind: slow, time_ms: 10}, {kind: fast, time_ms: 2}]}\n"
    "  - {name: s2, memory_mb: 1, on: [{kind: slow, time_ms: 40}, {kind: fast, time_ms: 8}]}\n"
    "  - {name: s3, memory_mb: 1, on: [{kind: slow, time_ms: 160}, {kind: fast, time_ms: 32}]}\n"
    "pipelines:\n"
    "  - {name: t1, task: t, quality: 0.6, stages: [{segment: s1}]}\n"
    "  - {name: t2, task: t, quality: 0.8, stages: [{segment: s2}]}\n"
    "  - {name: t3, task: t, quality: 0.9, stages: [{segment: s3}]}\n"
    "  - {name: u1, task: u, quality: 0.5, stages: [{segment: s1}]}\n"
    "  - {name: u2, task: u, quality: 0.7, stages: [{segment: s2}]}\n"
    "demand:\n"
    "  - {task: t, at: a, rate_rps: 12, arrivals: poisson}\n"
    "  - {task: u, at: b, rate_rps: 8, arrivals: poisson}\n";

typedef struct given {
    es_arena *arena;
    const es_scenario *scenario;
    const es_tasks *tasks;
    const es_machines *machines;
    es_online_result result;
} given;

static void make(given *g, bool discrete, double share)
{
    es_error err = {0};
    es_online_opts opts = es_online_opts_default();
    double full[ES_BUDGET_COUNT], idle[ES_BUDGET_COUNT];
    *g = (given){.arena = es_arena_new((size_t)64 << 20)};
    assert_ok_err(es_scenario_parse(g->arena, "two.yaml", ".", scenario_text,
                                    sizeof scenario_text - 1, false, &g->scenario, &err),
                  err);
    assert_ok_err(es_schedule_from_scenario(g->arena, g->scenario, NULL, 4, es_test_seed(3),
                                            &g->tasks, &g->machines, &err),
                  err);
    assert_ok_err(es_schedule_full_use(g->tasks, g->machines, full, idle, &err), err);
    opts.schedule.discrete = discrete;
    opts.schedule.budgets[ES_BUDGET_ENERGY] =
        idle[ES_BUDGET_ENERGY] + share * (full[ES_BUDGET_ENERGY] - idle[ES_BUDGET_ENERGY]);
    assert_ok_err(es_schedule_online(g->arena, g->tasks, g->machines, opts, &g->result, &err), err);
}

static bool hosts(const es_plan *plan, uint32_t node, uint32_t segment)
{
    bool found = false;
    for (size_t i = 0; i < plan->placement_count; i++)
        found = found || (plan->placements[i].node.index == node &&
                          plan->placements[i].segment.index == segment);
    return found;
}

static void check_request(const given *g, const es_schedule_execution *x, uint32_t i)
{
    const es_schedule_entry *entry = &g->result.schedule->entries[i];
    if (x->routings[i] == SIZE_MAX) {
        assert_true(entry->work <= 0);
        return;
    }
    assert_true(x->routings[i] < x->plan->routing_count);
    const es_routing *routing = &x->plan->routings[x->routings[i]];
    const es_pipeline *pipeline = &g->scenario->pipelines[routing->pipeline.index];
    const es_class *class_ = &g->scenario->classes[routing->class_id.index];
    const es_node *node = es_network_node(g->scenario->network, routing->nodes[0]);
    assert_int_equal(pipeline->task.index, class_->task.index);
    assert_true(fabs(pipeline->quality - entry->quality) < 1e-9);
    /* machines of a node with several processors are named after it */
    assert_int_equal(strncmp(g->machines->machines[entry->machine].name, node->name, 1), 0);
    assert_true(i >= x->first_task[routing->class_id.index] &&
                i < x->first_task[routing->class_id.index + 1]);
    assert_true(hosts(x->plan, routing->nodes[0].index, pipeline->stages[0].segment.index));
}

/* first_task and arrivals are those of the streams that a run draws its requests from. */
static void check_order(const given *g, const es_schedule_execution *x)
{
    for (uint32_t c = 0; c < g->scenario->class_count; c++) {
        es_arrival_stream stream =
            es_arrival_stream_make(g->scenario->classes[c].arrivals, es_test_seed(3), c);
        for (uint32_t i = x->first_task[c]; i < x->first_task[c + 1]; i++)
            assert_true(fabs(g->tasks->tasks[i].arrival_s -
                             es_s_from_ns(es_arrival_next_ns(&stream))) < 1e-12);
        assert_true(es_s_from_ns(es_arrival_next_ns(&stream)) >= 4);
    }
    assert_int_equal(x->first_task[g->scenario->class_count], g->tasks->task_count);
}

/* Turns number the starts on a node; who leaves then is there in time, in order, and not early. */
static void check_turns(const given *g, const es_schedule_execution *x)
{
    const double over_s = 1e-3 + 8 * 100 / 1e8; /* the link, one way */
    for (uint32_t i = 0; i < g->tasks->task_count; i++) {
        if (x->routings[i] == SIZE_MAX) {
            assert_true(isnan(x->leaves_s[i]) && x->turns[i] == 0);
            continue;
        }
        const es_routing *routing = &x->plan->routings[x->routings[i]];
        uint32_t node = routing->nodes[0].index;
        double way_s =
            node == g->scenario->classes[routing->class_id.index].node.index ? 0 : over_s;
        double start_s = g->result.schedule->entries[i].start_s;
        assert_true(x->leaves_s[i] >= g->tasks->tasks[i].arrival_s - 1e-12);
        assert_true(x->leaves_s[i] + way_s >= start_s - 1e-12);
        assert_true(x->turns[i] >= 1);
        uint32_t before = 0;
        bool late = false; /* someone before it could not be there in time */
        for (uint32_t k = 0; k < g->tasks->task_count; k++) {
            if (x->routings[k] == SIZE_MAX ||
                x->plan->routings[x->routings[k]].nodes[0].index != node ||
                x->turns[k] > x->turns[i])
                continue;
            before++;
            assert_true(g->result.schedule->entries[k].start_s <= start_s);
            late = late || x->leaves_s[k] <= g->tasks->tasks[k].arrival_s + 1e-12;
        }
        assert_int_equal(before, x->turns[i]); /* itself among them: 1 to n, each once */
        assert_true(late || x->leaves_s[i] + way_s <= start_s + 1e-12);
    }
}

static void test_every_request_finds_its_way(void **state)
{
    (void)state;
    const double shares[] = {1, 0.1, 0.02, 0};
    for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
        given g;
        es_error err = {0};
        es_schedule_execution x;
        make(&g, true, shares[s]);
        assert_ok_err(es_schedule_execution_make(g.arena, g.scenario, g.tasks, g.machines,
                                                 g.result.schedule, &x, &err),
                      err);
        for (uint32_t i = 0; i < g.tasks->task_count; i++)
            check_request(&g, &x, i);
        check_order(&g, &x);
        check_turns(&g, &x);
        for (uint32_t c = 0; c < g.scenario->class_count; c++) {
            double sum = x.plan->refused_share[c];
            for (size_t r = 0; r < x.plan->routing_count; r++) {
                const es_routing *routing = &x.plan->routings[r];
                sum += routing->class_id.index == c ? routing->share : 0;
                assert_true(r == 0 || routing[-1].class_id.index <= routing->class_id.index);
            }
            assert_true(fabs(sum - 1) < 1e-12);
        }
        assert_true(shares[s] > 0 ? x.plan->routing_count >= 2 : x.plan->routing_count == 0);
        es_arena_free(g.arena);
    }
}

static void test_between_variants(void **state)
{
    (void)state;
    given g;
    es_error err = {0};
    es_schedule_execution x;
    make(&g, false, 0.05);
    assert_fails(es_schedule_execution_make(g.arena, g.scenario, g.tasks, g.machines,
                                            g.result.schedule, &x, &err),
                 ES_ERR_ARG, err, "which no variant has (a discrete schedule is needed)");
    es_arena_free(g.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_request_finds_its_way),
        cmocka_unit_test(test_between_variants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
