/* The price of a request against numbers worked out by hand on three nodes. */
#include "base/rng.h"
#include "base/text.h"
#include "es_test.h"
#include "scenario/scenario.h"

#include <math.h>

/*
 * a --(10 ms, 1 Mbit/s, 100 nJ/bit)-- b --(1 ms, 10 Mbit/s, 10 nJ/bit)-- c      d alone
 * Carbon: a 100, b 200, c 400 g/kWh. Input 1000 bytes, answer 125 bytes.
 *   a-b: 1000 bytes take 10 + 8 = 18 ms, 125 bytes 10 + 1 = 11 ms, 500 bytes 10 + 4 = 14 ms
 *   a-c: 1000 bytes take 11 + 8.8 = 19.8 ms, 125 bytes 11 + 1.1 = 12.1 ms
 *   b-c: 1000 bytes take 1 + 0.8 = 1.8 ms, 500 bytes 1 + 0.4 = 1.4 ms
 */
static const char three[] =
    "format: estran-scenario\n"
    "version: 1\n"
    "kinds:\n"
    "  - {name: small, memory_mb: 10}\n"
    "  - {name: large, memory_mb: 10}\n"
    "nodes:\n"
    "  - {name: a, tier: device, kind: small, carbon_gco2e_per_kwh: 100}\n"
    "  - {name: b, tier: edge, kind: large, carbon_gco2e_per_kwh: 200}\n"
    "  - {name: c, tier: cloud, kind: large, carbon_gco2e_per_kwh: 400}\n"
    "  - {name: d, tier: cloud, kind: large}\n"
    "links:\n"
    "  - {between: [a, b], latency_ms: 10, bandwidth_mbps: 1, energy_nj_per_bit: 100}\n"
    "  - {between: [b, c], latency_ms: 1, bandwidth_mbps: 10, energy_nj_per_bit: 10}\n"
    "tasks:\n"
    "  - {name: t, input_bytes: 1000, output_bytes: 125}\n"
    "segments:\n"
    "  - {name: one, memory_mb: 1, on: [{kind: small, time_ms: 20, energy_mj: 40},\n"
    "                                   {kind: large, time_ms: 2, energy_mj: 10}]}\n"
    "  - {name: head, memory_mb: 1, output_bytes: 500,\n"
    "     on: [{kind: small, time_ms: 5, energy_mj: 6}, {kind: large, time_ms: 1}]}\n"
    "  - {name: tail, memory_mb: 1, on: [{kind: large, time_ms: 4, energy_mj: 30}]}\n"
    "pipelines:\n"
    "  - {name: plain, task: t, quality: 0.8, stages: [{segment: one}]}\n"
    "  - {name: split, task: t, quality: 0.9, stages: [{segment: head}, {segment: tail}]}\n"
    "  - {name: cascade, task: t, quality: 0.85,\n"
    "     stages: [{segment: one}, {segment: tail, reach: 0.3, input: request}]}\n"
    "demand:\n"
    "  - {task: t, at: a, rate_rps: 1}\n"
    "objective: {latency_per_s: 2, quality: 10, energy_per_j: 3, carbon_per_g: 1000}\n";

enum { A, B, C, D };

typedef struct fixture {
    es_arena *arena;
    const es_scenario *scenario;
} fixture;

static int set_up(void **state)
{
    static fixture here;
    here.arena = es_arena_new((size_t)4 << 20);
    es_error err = {0};
    assert_ok_err(es_scenario_parse(here.arena, "three.yaml", NULL, three, sizeof three - 1, false,
                                    &here.scenario, &err),
                  err);
    *state = &here;
    return 0;
}

static int tear_down(void **state)
{
    es_arena_free(((fixture *)*state)->arena);
    return 0;
}

static es_price price(void **state, const char *pipeline, uint32_t first, uint32_t second)
{
    const es_scenario *s = ((fixture *)*state)->scenario;
    const es_node_id nodes[] = {{.index = first}, {.index = second}};
    return es_scenario_price(s, (es_class_id){0}, es_scenario_pipeline_find(s, pipeline), nodes);
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fabs(b) + 1e-18))
        fail_msg("%.17g is not %.17g", a, b);
}

/* The cost follows from the other figures. */
static void assert_cost(const es_price *p)
{
    assert_near(p->cost, 2 * p->latency_s + 10 * (1 - p->quality) +
                             3 * (p->energy_compute_j + p->energy_network_j) + 1000 * p->carbon_g);
}

static void test_at_the_entry(void **state)
{
    es_price p = price(state, "plain", A, 0);
    assert_true(p.reachable);
    assert_near(p.latency_s, 0.020);
    assert_near(p.latency_max_s, 0.020);
    assert_near(p.compute_s[0], 0.020);
    assert_near(p.energy_compute_j, 0.040);
    assert_near(p.energy_network_j, 0);
    assert_near(p.carbon_g, 0.040 * 100 / 3.6e6);
    assert_near(p.quality, 0.8);
    assert_near(p.cost, 0.04 + 2 + 0.12 + 4.0 / 3.6e3);
}

static void test_one_stage_away(void **state)
{
    es_price p = price(state, "plain", C, 0);
    assert_near(p.latency_s, 0.0198 + 0.002 + 0.0121);
    assert_near(p.latency_max_s, 0.0339);
    assert_near(p.energy_compute_j, 0.010);
    assert_near(p.energy_network_j, 8 * 1125 * 110e-9);
    assert_near(p.carbon_g, (0.010 * 400 + 8 * 1125 * 110e-9 * 250) / 3.6e6);
    assert_cost(&p);
}

static void test_split(void **state)
{
    es_price p = price(state, "split", A, B);
    assert_near(p.latency_s, 0.005 + 0.014 + 0.004 + 0.011);
    assert_near(p.latency_max_s, 0.034);
    assert_near(p.compute_s[0], 0.005);
    assert_near(p.compute_s[1], 0.004);
    assert_near(p.energy_compute_j, 0.036);
    assert_near(p.energy_network_j, 8 * 625 * 100e-9);
    assert_near(p.carbon_g, (0.006 * 100 + 0.030 * 200 + 8 * 625 * 100e-9 * 150) / 3.6e6);
    assert_cost(&p);

    p = price(state, "split", B, C); /* nothing at the entry; energy of head on b is unknown: 0 */
    assert_near(p.latency_s, 0.018 + 0.001 + 0.0014 + 0.004 + 0.0121);
    assert_near(p.energy_compute_j, 0.030);
    assert_near(p.energy_network_j, 8 * (1000 * 100e-9 + 500 * 10e-9 + 125 * 110e-9));
    assert_near(p.carbon_g,
                (0.030 * 400 + 8 * (1000 * 100e-9 * 150 + 500 * 10e-9 * 300 + 125 * 110e-9 * 250)) /
                    3.6e6);
}

static void test_same_node_ships_nothing(void **state)
{
    es_price p = price(state, "split", B, B);
    assert_near(p.latency_s, 0.018 + 0.001 + 0.004 + 0.011);
    assert_near(p.energy_network_j, 8 * 1125 * 100e-9);
}

static void test_cascade(void **state)
{
    es_price p = price(state, "cascade", A, B);
    assert_near(p.latency_s, 0.020 + 0.3 * (0.018 + 0.004 + 0.011));
    assert_near(p.latency_max_s, 0.020 + 0.018 + 0.004 + 0.011);
    assert_near(p.compute_s[0], 0.020);
    assert_near(p.compute_s[1], 0.0012);
    assert_near(p.energy_compute_j, 0.040 + 0.3 * 0.030);
    assert_near(p.energy_network_j, 0.3 * 8 * 1125 * 100e-9);
    assert_near(p.carbon_g, (0.040 * 100 + 0.3 * (0.030 * 200 + 8 * 1125 * 100e-9 * 150)) / 3.6e6);
    assert_cost(&p);

    /* the first stage away: 0.7 of the answers return from b, 0.3 from c */
    p = price(state, "cascade", B, C);
    assert_near(p.latency_s, 0.018 + 0.002 + 0.7 * 0.011 + 0.3 * (0.0018 + 0.004 + 0.0121));
    assert_near(p.latency_max_s, 0.018 + 0.002 + 0.0018 + 0.004 + 0.0121);
    assert_near(p.energy_network_j,
                8 * (1000 * 100e-9 + 0.7 * 125 * 100e-9 + 0.3 * (1000 * 10e-9 + 125 * 110e-9)));
}

static void test_unreachable(void **state)
{
    const es_price away = price(state, "plain", D, 0);    /* no route */
    const es_price unable = price(state, "split", A, A);  /* tail has no time on small */
    const es_price later = price(state, "cascade", A, D); /* no route to the second stage */
    assert_false(away.reachable);
    assert_false(unable.reachable);
    assert_false(later.reachable);
    assert_near(later.latency_s, 0);
    assert_near(later.cost, 0);
    assert_near(later.compute_s[0], 0);
}

/* ---- property: the price is the mean over the stages where a request may leave ---- */

enum { RANDOM_NODES = 5 };

static double uniform(es_rng *rng, double low, double high)
{
    return low + (high - low) * es_rng_double(rng);
}

/* A ring of nodes with one-way links of random cost, and one pipeline of random stages. */
static void write_random(es_rng *rng, uint32_t stages, es_text *text)
{
    es_text_append(text, "format: estran-scenario\nversion: 1\nnodes:\n");
    for (int v = 0; v < RANDOM_NODES; v++)
        es_text_format(text,
                       "  - {name: n%d, tier: edge, memory_mb: 9, macs_per_s: %.3f, idle_w: 1, "
                       "busy_w: %.3f, processors: %d, carbon_gco2e_per_kwh: %.3f}\n",
                       v, uniform(rng, 1e3, 1e6), uniform(rng, 1, 9), 1 + v, uniform(rng, 0, 900));
    es_text_append(text, "links:\n");
    for (int v = 0; v < RANDOM_NODES; v++)
        es_text_format(text,
                       "  - {from: n%d, to: n%d, latency_ms: %.3f, bandwidth_mbps: %.3f, "
                       "energy_nj_per_bit: %.3f}\n",
                       v, (v + 1) % RANDOM_NODES, uniform(rng, 0, 50), uniform(rng, 0.1, 100),
                       uniform(rng, 0, 500));
    es_text_append(text, "tasks: [{name: t, input_bytes: 7000, output_bytes: 300}]\nsegments:\n");
    for (uint32_t k = 0; k < stages; k++)
        es_text_format(text, "  - {name: s%u, memory_mb: 1, work_macs: %.0f, output_bytes: %s}\n",
                       (unsigned)k, uniform(rng, 1, 1e5), k + 1 < stages ? "900" : "300");
    es_text_append(text, "pipelines:\n  - {name: p, task: t, quality: 0.5, stages: [");
    double reach = 1;
    for (uint32_t k = 0; k < stages; k++) {
        es_text_format(text, "%s{segment: s%u, reach: %.6f}", k == 0 ? "" : ", ", (unsigned)k,
                       reach);
        if (es_rng_double(rng) < 0.7)
            reach *= uniform(rng, 0.1, 1);
    }
    es_text_append(text, "]}\ndemand: [{task: t, at: n0, rate_rps: 1}]\n");
}

/* Time, joules and grams of a request that leaves after stage `last`. */
static void walk(const es_scenario *s, const es_node_id *at, uint32_t last, double sums[3])
{
    const es_pipeline *p = &s->pipelines[0];
    es_node_id here = s->classes[0].node;
    sums[0] = sums[1] = sums[2] = 0;
    for (uint32_t step = 0; step <= last + 1; step++) {
        es_node_id next = step <= last ? at[step] : s->classes[0].node;
        double bytes = step > last ? 300 : step == 0 ? 7000 : 900;
        while (here.index != next.index) { /* around the ring, link by link */
            const es_link *link = es_network_link(s->network, (es_link_id){.index = here.index});
            sums[0] += link->latency_s + 8 * bytes / link->bandwidth_bps;
            sums[1] += 8 * bytes * link->energy_j_per_bit;
            here = link->to;
        }
        if (step > last)
            break;
        const es_node *node = es_network_node(s->network, next);
        double time_s = s->segments[p->stages[step].segment.index].work_macs /
                        s->kinds[s->node_kinds[next.index]].macs_per_s;
        double energy_j = time_s * (node->busy_w - node->idle_w) / node->processors;
        sums[0] += time_s;
        sums[1] += energy_j;
        sums[2] += energy_j * node->carbon_gco2e_per_kwh / 3.6e6;
    }
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    for (uint64_t round = 0; round < 200; round++) {
        es_rng rng = es_rng_make(seed, round);
        uint32_t stages = 1 + (uint32_t)(round % ES_STAGE_COUNT_MAX);
        es_text text;
        es_text_init(&text, (size_t)1 << 20);
        write_random(&rng, stages, &text);
        es_arena *arena = es_arena_new((size_t)4 << 20);
        const es_scenario *s = NULL;
        es_error err = {0};
        assert_ok_err(es_scenario_parse(arena, "random.yaml", NULL, es_text_get(&text), text.size,
                                        false, &s, &err),
                      err);
        es_node_id at[ES_STAGE_COUNT_MAX];
        for (uint32_t k = 0; k < stages; k++)
            at[k].index = (uint32_t)uniform(&rng, 0, RANDOM_NODES);
        double latency_s = 0;
        double energy_j = 0;
        double compute_g = 0;
        double sums[3] = {0};
        for (uint32_t k = 0; k < stages; k++) {
            const es_stage *stage = &s->pipelines[0].stages[k];
            double leaves = stage->reach - (k + 1 < stages ? stage[1].reach : 0);
            walk(s, at, k, sums);
            latency_s += leaves * sums[0];
            energy_j += leaves * sums[1];
            compute_g += leaves * sums[2];
        }
        es_price p = es_scenario_price(s, (es_class_id){0}, (es_pipeline_id){0}, at);
        if (!p.reachable || fabs(p.latency_s - latency_s) > 1e-9 * latency_s ||
            fabs(p.latency_max_s - sums[0]) > 1e-9 * sums[0] ||
            fabs(p.energy_compute_j + p.energy_network_j - energy_j) > 1e-9 * energy_j ||
            p.carbon_g < compute_g * (1 - 1e-9))
            fail_msg("ES_SEED=%" PRIu64 " round %" PRIu64 ": %.17g s, wanted %.17g", seed, round,
                     p.latency_s, latency_s);
        es_arena_free(arena);
        es_text_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_the_entry), cmocka_unit_test(test_one_stage_away),
        cmocka_unit_test(test_split),        cmocka_unit_test(test_same_node_ships_nothing),
        cmocka_unit_test(test_cascade),      cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
