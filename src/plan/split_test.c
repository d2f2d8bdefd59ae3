/* The split against enumeration, against Neurosurgeon's rule, and at its limits. */
#include "base/rng.h"
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

enum { LAYERS = 8, NODES = 4, SEEDS = 300 };

/* A problem with its storage. */
typedef struct instance {
    es_split_problem problem;
    es_split_layer layers[LAYERS];
    double time_s[NODES * LAYERS];
    double energy_j[NODES * LAYERS];
    double memory_bytes[NODES];
    double processors[NODES];
    es_split_hop hops[NODES * NODES];
} instance;

static double drawn(es_rng *rng, double least, double most)
{
    return least + (most - least) * es_rng_double(rng);
}

static es_split_hop draw_hop(es_rng *rng, bool same)
{
    if (same)
        return (es_split_hop){0};
    double bottleneck = 1 / drawn(rng, 1e5, 1e8);
    return (es_split_hop){.latency_s =
                              es_rng_below(rng, 20) == 0 ? (double)INFINITY : drawn(rng, 0, 0.02),
                          .seconds_per_bit = bottleneck * drawn(rng, 1, 2),
                          .bottleneck_seconds_per_bit = bottleneck,
                          .energy_j_per_bit = drawn(rng, 0, 1e-6)};
}

static void draw(instance *out, uint64_t seed)
{
    es_rng rng = es_rng_make(seed, 0);
    size_t layers = 1 + es_rng_below(&rng, LAYERS);
    size_t nodes = 1 + es_rng_below(&rng, NODES);
    bool exits = es_rng_below(&rng, 2) == 0;
    memset(out, 0, sizeof *out);
    for (size_t j = 0; j < layers; j++)
        out->layers[j] = (es_split_layer){
            .memory_bytes = drawn(&rng, 0, 10),
            .output_bytes = drawn(&rng, 0, 5000),
            .survival = exits && es_rng_below(&rng, 2) == 0 ? drawn(&rng, 0, 1) : 1};
    for (size_t k = 0; k < nodes; k++) {
        out->memory_bytes[k] = es_rng_below(&rng, 3) == 0 ? drawn(&rng, 5, 40) : (double)INFINITY;
        out->processors[k] = 1 + (double)es_rng_below(&rng, 4);
        for (size_t j = 0; j < layers; j++) {
            bool cannot = es_rng_below(&rng, 25) == 0;
            out->time_s[k * layers + j] = cannot ? (double)INFINITY : drawn(&rng, 0, 0.05);
            out->energy_j[k * layers + j] = drawn(&rng, 0, 0.05);
        }
        for (size_t to = 0; to < nodes; to++)
            out->hops[k * nodes + to] = draw_hop(&rng, k == to);
    }
    out->problem = (es_split_problem){.layer_count = layers,
                                      .node_count = nodes,
                                      .layers = out->layers,
                                      .time_s = out->time_s,
                                      .energy_j = out->energy_j,
                                      .memory_bytes = out->memory_bytes,
                                      .processors = out->processors,
                                      .hops = out->hops,
                                      .input_bytes = drawn(&rng, 0, 5000),
                                      .answer_bytes = drawn(&rng, 0, 500)};
}

typedef struct cost {
    double latency_s, energy_j, bottleneck_s;
} cost;

/* Layer by layer, as one would by hand; INFINITY latency: forbidden. */
static cost naive(const es_split_problem *p, const uint32_t *node_of)
{
    cost sum = {0};
    double busy[NODES] = {0}, memory[NODES] = {0}, answers[NODES] = {0};
    double arriving = 1, bytes = p->input_bytes;
    size_t at = 0;
    for (size_t j = 0; j < p->layer_count; j++) {
        size_t k = node_of[j];
        if (k != at) {
            const es_split_hop *hop = &p->hops[at * p->node_count + k];
            if (isinf(hop->latency_s))
                return (cost){.latency_s = INFINITY};
            if (arriving > 0)
                sum.latency_s += arriving * (hop->latency_s + 8 * bytes * hop->seconds_per_bit);
            sum.energy_j += arriving * 8 * bytes * hop->energy_j_per_bit;
            sum.bottleneck_s =
                fmax(sum.bottleneck_s, arriving * 8 * bytes * hop->bottleneck_seconds_per_bit);
        }
        at = k;
        bytes = p->layers[j].output_bytes;
        if (isinf(p->time_s[k * p->layer_count + j]))
            return (cost){.latency_s = INFINITY};
        sum.latency_s += arriving * p->time_s[k * p->layer_count + j];
        sum.energy_j += arriving * p->energy_j[k * p->layer_count + j];
        busy[k] += arriving * p->time_s[k * p->layer_count + j];
        memory[k] += p->layers[j].memory_bytes;
        double stay = j + 1 < p->layer_count ? p->layers[j].survival : 0;
        answers[k] += arriving - arriving * stay;
        arriving *= stay;
    }
    for (size_t k = 0; k < p->node_count; k++) {
        const es_split_hop *back = &p->hops[k * p->node_count];
        double bits = 8 * p->answer_bytes;
        if (memory[k] > p->memory_bytes[k])
            return (cost){.latency_s = INFINITY};
        sum.bottleneck_s = fmax(sum.bottleneck_s, busy[k] / p->processors[k]);
        if (answers[k] <= 0 || k == 0)
            continue;
        if (isinf(back->latency_s))
            return (cost){.latency_s = INFINITY};
        sum.latency_s += answers[k] * (back->latency_s + bits * back->seconds_per_bit);
        sum.energy_j += answers[k] * bits * back->energy_j_per_bit;
        sum.bottleneck_s =
            fmax(sum.bottleneck_s, answers[k] * bits * back->bottleneck_seconds_per_bit);
    }
    return sum;
}

/* The next rising sequence of nodes; false after the last. */
static bool next(uint32_t *node_of, size_t layers, size_t nodes)
{
    for (size_t j = layers; j-- > 0;) {
        if (node_of[j] + 1 < nodes) {
            uint32_t node = node_of[j] + 1;
            for (size_t rest = j; rest < layers; rest++)
                node_of[rest] = node;
            return true;
        }
    }
    return false;
}

static double pick(es_split_objective objective, cost of)
{
    if (objective == ES_SPLIT_ENERGY)
        return of.energy_j;
    return objective == ES_SPLIT_THROUGHPUT ? of.bottleneck_s : of.latency_s;
}

static double enumerate(const es_split_problem *p, es_split_objective objective, double cap)
{
    uint32_t node_of[LAYERS] = {0};
    double least = INFINITY;
    do {
        cost of = naive(p, node_of);
        if (!isinf(of.latency_s) && of.bottleneck_s <= cap)
            least = fmin(least, pick(objective, of));
    } while (next(node_of, p->layer_count, p->node_count));
    return least;
}

static void assert_close(double a, double b)
{
    if (!(fabs(a - b) <= 1e-10 * fmax(1e-6, fabs(b))))
        fail_msg("%.17g differs from %.17g", a, b);
}

static void test_equals_enumeration(void **state)
{
    (void)state;
    size_t feasible = 0, split_up = 0;
    for (uint64_t seed = es_test_seed(1), end = seed + SEEDS; seed < end; seed++) {
        instance drawn_instance;
        draw(&drawn_instance, seed);
        const es_split_problem *p = &drawn_instance.problem;
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
        for (int o = 0; o < ES_SPLIT_OBJECTIVE_COUNT; o++) {
            es_split_opts opts = es_split_opts_default();
            es_error err = {0};
            es_split split = {0};
            opts.objective = (es_split_objective)o;
            assert_ok_err(es_split_solve(arena, p, opts, &split, &err), err);
            double wanted = enumerate(p, opts.objective, INFINITY);
            if (split.feasible != !isinf(wanted))
                fail_msg("seed %" PRIu64 ": feasible %d, least %g", seed, split.feasible, wanted);
            if (!split.feasible)
                continue;
            cost of = naive(p, split.node_of);
            assert_close(split.latency_s, of.latency_s);
            assert_close(split.energy_j, of.energy_j);
            assert_close(split.bottleneck_s, of.bottleneck_s);
            assert_close(pick(opts.objective, of), wanted);
            feasible++;
            split_up += split.segment_count > 1;
            if (opts.objective == ES_SPLIT_THROUGHPUT)
                assert_close(split.latency_s,
                             enumerate(p, ES_SPLIT_LATENCY, split.bottleneck_s * (1 + 1e-12)));
        }
    }
    assert_true(feasible > SEEDS);
    assert_true(split_up > SEEDS / 10);
}

static void test_throughput_floor_and_front(void **state)
{
    (void)state;
    for (uint64_t seed = es_test_seed(1000), end = seed + SEEDS; seed < end; seed++) {
        instance drawn_instance;
        draw(&drawn_instance, seed);
        const es_split_problem *p = &drawn_instance.problem;
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
        const es_split *front = NULL;
        size_t count = 0;
        es_error err = {0};
        assert_ok_err(es_split_front(arena, p, 1000, &front, &count, &err), err);
        for (size_t i = 0; i < count; i++) {
            assert_close(front[i].latency_s,
                         enumerate(p, ES_SPLIT_LATENCY, front[i].bottleneck_s * (1 + 1e-12)));
            if (i > 0) {
                assert_true(front[i].latency_s > front[i - 1].latency_s);
                assert_true(front[i].bottleneck_s < front[i - 1].bottleneck_s);
            }
        }
        /* Every split is beaten or equalled by a point of the front. */
        uint32_t node_of[LAYERS] = {0};
        do {
            cost of = naive(p, node_of);
            bool covered = isinf(of.latency_s);
            for (size_t i = 0; i < count && !covered; i++)
                covered = front[i].latency_s <= of.latency_s * (1 + 1e-9) &&
                          front[i].bottleneck_s <= of.bottleneck_s * (1 + 1e-9);
            assert_true(covered);
        } while (next(node_of, p->layer_count, p->node_count));
        if (count == 0)
            continue;
        es_split_opts opts = es_split_opts_default();
        es_split split = {0};
        opts.bottleneck_s_max = front[count - 1].bottleneck_s * 0.99;
        assert_ok_err(es_split_solve(arena, p, opts, &split, &err), err);
        assert_int_equal(split.feasible, front[count - 1].bottleneck_s <= 0);
    }
}

/* Two nodes, no exits, free way back: argmin over the cut j of sum t1 + D_j / BW + sum t2. */
static void test_equals_neurosurgeon(void **state)
{
    (void)state;
    for (uint64_t seed = es_test_seed(2000), end = seed + SEEDS; seed < end; seed++) {
        es_rng rng = es_rng_make(seed, 1);
        instance given;
        memset(&given, 0, sizeof given);
        size_t layers = 1 + es_rng_below(&rng, LAYERS);
        double seconds_per_byte = 1 / drawn(&rng, 1e3, 1e6);
        for (size_t j = 0; j < layers; j++) {
            given.layers[j] =
                (es_split_layer){.output_bytes = drawn(&rng, 10, 5000), .survival = 1};
            given.time_s[j] = drawn(&rng, 0, 0.05);
            given.time_s[layers + j] = given.time_s[j] * drawn(&rng, 0.02, 1);
        }
        given.hops[1].seconds_per_bit = seconds_per_byte / 8;
        given.memory_bytes[0] = given.memory_bytes[1] = INFINITY;
        given.processors[0] = given.processors[1] = 1;
        given.problem = (es_split_problem){.layer_count = layers,
                                           .node_count = 2,
                                           .layers = given.layers,
                                           .time_s = given.time_s,
                                           .energy_j = given.energy_j,
                                           .memory_bytes = given.memory_bytes,
                                           .processors = given.processors,
                                           .hops = given.hops,
                                           .input_bytes = drawn(&rng, 10, 5000)};
        double least = INFINITY;
        size_t cut = 0;
        for (size_t j = 0; j <= layers; j++) {
            double time_s = 0;
            for (size_t i = 0; i < layers; i++)
                time_s += given.time_s[i < j ? i : layers + i];
            if (j < layers)
                time_s += seconds_per_byte *
                          (j > 0 ? given.layers[j - 1].output_bytes : given.problem.input_bytes);
            if (time_s < least) {
                least = time_s;
                cut = j;
            }
        }
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
        es_split split = {0};
        es_error err = {0};
        assert_ok_err(es_split_solve(arena, &given.problem, es_split_opts_default(), &split, &err),
                      err);
        assert_close(split.latency_s, least);
        for (size_t j = 0; j < layers; j++)
            assert_int_equal(split.node_of[j], j < cut ? 0 : 1);
    }
}

static void set_bandwidth(instance *given, double bps, double latency_s)
{
    size_t nodes = given->problem.node_count;
    for (size_t i = 0; i < nodes * nodes; i++)
        if (i % (nodes + 1) != 0)
            given->hops[i] = (es_split_hop){.latency_s = latency_s,
                                            .seconds_per_bit = 1 / bps,
                                            .bottleneck_seconds_per_bit = 1 / bps};
}

static void test_limits_of_bandwidth(void **state)
{
    (void)state;
    for (uint64_t seed = es_test_seed(3000), end = seed + 100; seed < end; seed++) {
        instance given;
        draw(&given, seed);
        es_split_problem *p = &given.problem;
        es_rng rng = es_rng_make(seed, 2);
        double fastest = 0;
        for (size_t j = 0; j < p->layer_count; j++) {
            given.layers[j].survival = 1;
            given.layers[j].output_bytes += 1;
        }
        p->input_bytes += 1;
        /* The fastest node of each layer is a later one each time: a split can have them all. */
        for (size_t k = 0; k < p->node_count; k++) {
            given.memory_bytes[k] = INFINITY;
            for (size_t j = 0; j < p->layer_count; j++)
                given.time_s[k * p->layer_count + j] =
                    drawn(&rng, 0.001, 0.01) + (k == j * p->node_count / p->layer_count ? 0 : 0.02);
        }
        for (size_t j = 0; j < p->layer_count; j++) {
            double least = INFINITY;
            for (size_t k = 0; k < p->node_count; k++)
                least = fmin(least, given.time_s[k * p->layer_count + j]);
            fastest += least;
        }
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
        es_split split = {0};
        es_error err = {0};
        set_bandwidth(&given, 1e-3, 0);
        assert_ok_err(es_split_solve(arena, p, es_split_opts_default(), &split, &err), err);
        for (size_t j = 0; j < p->layer_count; j++)
            assert_int_equal(split.node_of[j], 0);
        assert_true(split.shipped_bytes == 0);
        set_bandwidth(&given, 1e18, 0);
        assert_ok_err(es_split_solve(arena, p, es_split_opts_default(), &split, &err), err);
        assert_close(split.latency_s, fastest);
    }
}

static void test_memory_is_cumulative(void **state)
{
    (void)state;
    es_split_layer layers[2] = {{.memory_bytes = 6, .output_bytes = 1, .survival = 1},
                                {.memory_bytes = 6, .survival = 1}};
    double time_s[4] = {1, 1, 5, 5}, energy_j[4] = {0}, memory[2] = {10, 10};
    double processors[2] = {1, 1};
    es_split_hop hops[4];
    memset(hops, 0, sizeof hops);
    hops[1].latency_s = hops[2].latency_s = 1;
    es_split_problem problem = {.layer_count = 2,
                                .node_count = 2,
                                .layers = layers,
                                .time_s = time_s,
                                .energy_j = energy_j,
                                .memory_bytes = memory,
                                .processors = processors,
                                .hops = hops};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    es_split split = {0};
    es_error err = {0};
    assert_ok_err(es_split_solve(arena, &problem, es_split_opts_default(), &split, &err), err);
    assert_int_equal(split.segment_count, 2);
    assert_close(split.latency_s, 1 + 1 + 5 + 1);
    memory[1] = 5;
    assert_ok_err(es_split_solve(arena, &problem, es_split_opts_default(), &split, &err), err);
    assert_false(split.feasible);
    memory[0] = 12;
    assert_ok_err(es_split_solve(arena, &problem, es_split_opts_default(), &split, &err), err);
    assert_int_equal(split.segment_count, 1);
    es_split_opts opts = es_split_opts_default();
    opts.nodes_allowed = 2;
    assert_ok_err(es_split_solve(arena, &problem, opts, &split, &err), err);
    assert_false(split.feasible);
}

static void test_bad_input(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    instance given;
    es_split split = {0};
    es_error err = {0};
    es_split_opts opts = es_split_opts_default();
    draw(&given, 7);
    given.layers[0].survival = 1.5;
    assert_fails(es_split_solve(arena, &given.problem, opts, &split, &err), ES_ERR_ARG, err,
                 "layers[0]: survival=1.5 must be 0..1");
    draw(&given, 7);
    given.time_s[0] = NAN;
    assert_fails(es_split_solve(arena, &given.problem, opts, &split, &err), ES_ERR_ARG, err,
                 "nodes[0], layers[0]");
    draw(&given, 7);
    given.processors[0] = 0;
    assert_fails(es_split_solve(arena, &given.problem, opts, &split, &err), ES_ERR_ARG, err,
                 "processors=0");
    draw(&given, 7);
    given.hops[0].latency_s = -1;
    assert_fails(es_split_solve(arena, &given.problem, opts, &split, &err), ES_ERR_ARG, err,
                 "hop 0 to 0");
    draw(&given, 7);
    given.problem.node_count = ES_SPLIT_NODES_MAX + 1;
    assert_fails(es_split_solve(arena, &given.problem, opts, &split, &err), ES_ERR_ARG, err,
                 "17 nodes");
    draw(&given, 7);
    given.problem.layer_count = 0;
    assert_fails(es_split_solve(arena, &given.problem, opts, &split, &err), ES_ERR_ARG, err,
                 "0 layers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_enumeration),
        cmocka_unit_test(test_throughput_floor_and_front),
        cmocka_unit_test(test_equals_neurosurgeon),
        cmocka_unit_test(test_limits_of_bandwidth),
        cmocka_unit_test(test_memory_is_cumulative),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
