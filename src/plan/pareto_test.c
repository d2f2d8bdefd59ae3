/* Fronts against brute force over tiny instances. ES_SEED=n replays one seed alone. */
#include "es_test.h"
#include "plan/plan.h"
#include "plan/random_scenario.h"

#include <math.h>

enum { SEED_COUNT = 100, WAYS_MAX = 256, FOUND_MAX = 4096 };

/* One way a class can go. */
typedef struct way {
    es_routing routing;
} way;

/* Every nondominated point, found by trying everything. */
typedef struct brute {
    const es_scenario *scenario;
    const es_measure *measures;
    uint32_t measure_count;
    es_arena *scratch;
    uint32_t way_counts[8];
    way ways[8][WAYS_MAX];
    size_t count;
    double found[FOUND_MAX][3];
} brute;

static es_random_shape shape_of(uint64_t seed)
{
    es_random_shape shape = es_random_shape_default();
    shape.device_count = 1 + (uint32_t)(seed % 2);
    shape.edge_count = 1;
    shape.task_count = seed / 3 % 2 == 0 ? 2 : 1;
    shape.long_count = (uint32_t)(seed / 3 % 2);
    shape.variant_count = shape.long_count == 0 ? 3 : 2;
    shape.tightness = (double)(seed % 4) * 0.3;
    shape.refusal_cost = seed % 5 == 0 ? 3.0 : (double)INFINITY;
    shape.idle_per_j = seed % 2 == 0 ? 0.002 : 0.0;
    return shape;
}

static es_scenario *draw(es_arena *arena, uint64_t seed, es_random_shape shape)
{
    es_scenario *scenario = NULL;
    es_error err = {0};
    assert_ok_err(es_random_scenario(arena, seed, shape, &scenario, &err), err);
    return scenario;
}

/* All nodes for all stages, as an odometer. */
static void list_ways(brute *b, uint32_t class_index)
{
    const es_scenario *scenario = b->scenario;
    const es_class *class = &scenario->classes[class_index];
    uint32_t node_count = es_network_node_count(scenario->network);
    uint32_t first = scenario->task_pipelines[class->task.index];
    for (uint32_t p = first; p < scenario->task_pipelines[class->task.index + 1]; p++) {
        uint32_t tuples = 1;
        for (uint32_t k = 0; k < scenario->pipelines[p].stage_count; k++)
            tuples *= node_count;
        for (uint32_t t = 0; t < tuples; t++) {
            es_routing routing = {.class_id = {class_index}, .pipeline = {p}, .share = 1.0};
            uint32_t rest = t;
            for (uint32_t k = 0; k < scenario->pipelines[p].stage_count; k++) {
                routing.nodes[k] = (es_node_id){rest % node_count};
                rest /= node_count;
            }
            es_price price =
                es_scenario_price(scenario, routing.class_id, routing.pipeline, routing.nodes);
            if (!price.reachable || price.latency_max_s > class->deadline_s ||
                price.quality < class->quality_min)
                continue;
            assert_true(b->way_counts[class_index] < WAYS_MAX);
            b->ways[class_index][b->way_counts[class_index]++].routing = routing;
        }
    }
}

static void add_placement(es_placement *placements, size_t *count, es_node_id node,
                          es_segment_id segment)
{
    size_t at = 0;
    while (at < *count && (placements[at].node.index < node.index ||
                           (placements[at].node.index == node.index &&
                            placements[at].segment.index < segment.index)))
        at++;
    if (at < *count && placements[at].node.index == node.index &&
        placements[at].segment.index == segment.index)
        return;
    for (size_t i = *count; i > at; i--)
        placements[i] = placements[i - 1];
    placements[at] = (es_placement){node, segment};
    (*count)++;
}

static double value_of(const es_scenario *scenario, es_measure measure, const es_plan *plan)
{
    double value = 0.0;
    for (size_t i = 0; i < plan->routing_count; i++) {
        const es_routing *r = &plan->routings[i];
        es_price price = es_scenario_price(scenario, r->class_id, r->pipeline, r->nodes);
        double rate = scenario->classes[r->class_id.index].arrivals.rate_rps * r->share;
        value += measure == ES_MEASURE_LATENCY   ? rate * price.latency_s
                 : measure == ES_MEASURE_QUALITY ? rate * (1.0 - price.quality)
                 : measure == ES_MEASURE_CARBON
                     ? rate * price.carbon_g
                     : rate * (price.energy_compute_j + price.energy_network_j);
    }
    uint32_t node_count = es_network_node_count(scenario->network);
    for (uint32_t v = 0; v < node_count; v++) {
        bool hosts = false;
        const es_node *node = es_network_node(scenario->network, (es_node_id){v});
        for (size_t i = 0; i < plan->placement_count; i++)
            hosts = hosts || plan->placements[i].node.index == v;
        if (hosts && measure == ES_MEASURE_ENERGY)
            value += node->idle_w;
        if (hosts && measure == ES_MEASURE_CARBON)
            value += node->idle_w * node->carbon_gco2e_per_kwh / 3.6e6;
    }
    return value;
}

static bool covered(const brute *b, const double *values)
{
    for (size_t i = 0; i < b->count; i++) {
        bool covers = true;
        for (uint32_t k = 0; k < b->measure_count; k++)
            covers = covers && b->found[i][k] <= values[k] * (1.0 + 1e-12);
        if (covers)
            return true;
    }
    return false;
}

/* The independent checker decides what is feasible; the plan's figures do not matter to it here. */
static bool feasible(const brute *b, es_plan *plan)
{
    const es_plan_violation *violations;
    size_t count;
    es_error err = {0};
    es_arena_reset(b->scratch);
    plan->objective = 0.0;
    assert_ok_err(es_plan_check(b->scratch, plan, b->scenario, 1e-7, &violations, &count, &err),
                  err);
    for (size_t i = 0; i < count; i++)
        if (strstr(violations[i].text, "objective") == NULL)
            return false;
    return true;
}

static void try_choice(brute *b, const uint32_t *choice)
{
    const es_scenario *scenario = b->scenario;
    es_routing routings[8];
    es_placement placements[64];
    double refused[8] = {0};
    es_plan plan = {.scenario = scenario->name,
                    .method = ES_PLAN_EXACT,
                    .quality = ES_PLAN_FEASIBLE,
                    .bound = -(double)INFINITY,
                    .gap_relative = (double)INFINITY,
                    .placements = placements,
                    .routings = routings,
                    .routing_count = scenario->class_count,
                    .refused_share = refused};
    for (uint32_t r = 0; r < scenario->class_count; r++) {
        routings[r] = b->ways[r][choice[r]].routing;
        const es_pipeline *pipeline = &scenario->pipelines[routings[r].pipeline.index];
        for (uint32_t k = 0; k < pipeline->stage_count; k++)
            add_placement(placements, &plan.placement_count, routings[r].nodes[k],
                          pipeline->stages[k].segment);
    }
    double values[3] = {0};
    for (uint32_t k = 0; k < b->measure_count; k++)
        values[k] = value_of(scenario, b->measures[k], &plan);
    if (covered(b, values) || !feasible(b, &plan))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < b->count; i++) {
        bool beaten = true;
        for (uint32_t k = 0; k < b->measure_count; k++)
            beaten = beaten && values[k] <= b->found[i][k] * (1.0 + 1e-12);
        if (!beaten)
            memmove(b->found[kept++], b->found[i], sizeof b->found[i]);
    }
    assert_true(kept < FOUND_MAX);
    memcpy(b->found[kept], values, sizeof values);
    b->count = kept + 1;
}

static void enumerate(brute *b)
{
    uint32_t choice[8] = {0};
    assert_true(b->scenario->class_count <= 8);
    for (uint32_t r = 0; r < b->scenario->class_count; r++) {
        list_ways(b, r);
        if (b->way_counts[r] == 0)
            return;
    }
    for (uint32_t r = 0; r < b->scenario->class_count;) {
        try_choice(b, choice);
        for (r = 0; r < b->scenario->class_count && ++choice[r] == b->way_counts[r]; r++)
            choice[r] = 0;
    }
}

static brute *brute_of(es_arena *arena, const es_scenario *scenario, const es_front_opts *opts)
{
    brute *b = ES_TAKE_ONE(arena, brute);
    assert_non_null(b);
    *b = (brute){.scenario = scenario,
                 .measures = opts->measures,
                 .measure_count = opts->measure_count,
                 .scratch = es_arena_new((size_t)64 << 20)};
    enumerate(b);
    es_arena_free(b->scratch);
    return b;
}

static es_front_opts opts_of(uint64_t seed)
{
    static const es_measure triples[][3] = {
        {ES_MEASURE_LATENCY, ES_MEASURE_ENERGY, ES_MEASURE_QUALITY},
        {ES_MEASURE_CARBON, ES_MEASURE_QUALITY, ES_MEASURE_LATENCY},
        {ES_MEASURE_LATENCY, ES_MEASURE_QUALITY, ES_MEASURE_ENERGY},
    };
    es_front_opts opts = es_front_opts_default();
    memcpy(opts.measures, triples[seed % 3], sizeof opts.measures);
    opts.measure_count = seed % 2 == 0 ? 3 : 2;
    opts.method = ES_FRONT_EXACT;
    return opts;
}

static const es_front *solve(es_arena *arena, const es_scenario *scenario, es_front_opts opts)
{
    const es_front *front = NULL;
    es_error err = {0};
    assert_ok_err(es_front_solve(arena, scenario, opts, &front, &err), err);
    return front;
}

static bool same(const double *a, const double *b, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (fabs(a[k] - b[k]) > 1e-9 * fmax(fabs(a[k]), fabs(b[k])))
            return false;
    return true;
}

static void assert_none_dominated(const es_front *front, uint64_t seed)
{
    for (size_t i = 0; i < front->point_count; i++)
        for (size_t j = 0; j < front->point_count; j++) {
            bool covers = i != j;
            for (uint32_t k = 0; k < front->measure_count; k++)
                covers = covers && front->points[j].values[k] <= front->points[i].values[k];
            if (covers)
                fail_msg("seed %" PRIu64 ": point %zu dominates point %zu", seed, j, i);
        }
}

static void assert_plans_hold(es_arena *arena, const es_scenario *scenario, const es_front *front,
                              uint64_t seed)
{
    for (size_t i = 0; i < front->point_count; i++) {
        const es_plan_violation *violations;
        size_t count;
        es_error err = {0};
        const es_front_point *point = &front->points[i];
        assert_ok_err(es_plan_check(arena, point->plan, scenario, 1e-6, &violations, &count, &err),
                      err);
        if (count > 0)
            fail_msg("seed %" PRIu64 ", point %zu: %s", seed, i, violations[0].text);
        for (uint32_t k = 0; k < front->measure_count; k++) {
            double value = value_of(scenario, front->measures[k], point->plan);
            assert_true(fabs(value - point->values[k]) <= 1e-9 * fabs(value) + 1e-15);
        }
    }
}

static void assert_equals_brute(const es_front *front, const brute *b, uint64_t seed)
{
    for (size_t i = 0; i < b->count; i++) {
        bool there = false;
        for (size_t j = 0; j < front->point_count && !there; j++)
            there = same(b->found[i], front->points[j].values, b->measure_count);
        if (!there)
            fail_msg("seed %" PRIu64 ": point (%.9g, %.9g, %.9g) is missing", seed, b->found[i][0],
                     b->found[i][1], b->found[i][2]);
    }
    if (front->point_count != b->count)
        fail_msg("seed %" PRIu64 ": %zu points, brute force has %zu", seed, front->point_count,
                 b->count);
}

static void test_equals_brute_force(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(0);
    uint64_t end = getenv("ES_SEED") != NULL ? first + 1 : SEED_COUNT;
    size_t fronts = 0;
    size_t points = 0;
    size_t largest = 0;
    size_t solved = 0;
    size_t reused = 0;
    for (uint64_t seed = first; seed < end; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = draw(arena, seed, shape_of(seed));
        es_front_opts opts = opts_of(seed);
        const brute *b = brute_of(arena, scenario, &opts);
        const es_front *front = solve(arena, scenario, opts);
        if (front->quality != (b->count > 0 ? ES_PLAN_OPTIMAL : ES_PLAN_INFEASIBLE))
            fail_msg("seed %" PRIu64 ": %s, brute force has %zu points", seed,
                     es_plan_quality_names[front->quality], b->count);
        assert_true((front->conflict != NULL) == (b->count == 0));
        assert_equals_brute(front, b, seed);
        assert_none_dominated(front, seed);
        assert_plans_hold(arena, scenario, front, seed);
        if (b->count > 0 && !(front->hypervolume_bound <= front->hypervolume * (1.0 + 1e-4) + 1e-9))
            fail_msg("seed %" PRIu64 ": hypervolume %.9g, bound %.9g", seed, front->hypervolume,
                     front->hypervolume_bound);
        fronts += b->count > 0 ? 1 : 0;
        points += b->count;
        largest = b->count > largest ? b->count : largest;
        solved += front->solve_count;
        reused += front->reuse_count;
        es_arena_free(arena);
    }
    print_message("%zu fronts, %zu points, largest %zu; %zu programs solved, %zu known\n", fronts,
                  points, largest, solved, reused);
    assert_true(getenv("ES_SEED") != NULL || (fronts >= 60 && largest >= 10));
}

/* The same measure alone by the planner, whole classes, is the end of the front. */
static void test_ends_are_single_optima(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_scenario *scenario = draw(arena, seed, shape_of(seed));
        es_front_opts opts = es_front_opts_default();
        opts.method = ES_FRONT_EXACT;
        const es_front *front = solve(arena, scenario, opts);
        es_scenario single = *scenario;
        es_segment *segments = ES_TAKE_ARRAY(arena, es_segment, scenario->segment_count);
        for (uint32_t s = 0; s < scenario->segment_count; s++) {
            segments[s] = scenario->segments[s];
            segments[s].hosting_per_s = 0.0;
        }
        single.segments = segments;
        single.unsplittable = true;
        for (uint32_t k = 0; k < 3 && front->point_count > 0; k++) {
            const es_plan *plan = NULL;
            es_error err = {0};
            es_plan_opts plan_opts = es_plan_opts_default();
            plan_opts.method = ES_PLAN_EXACT;
            plan_opts.gap_relative = 0.0;
            single.objective = (es_objective){.refusal_cost = (double)INFINITY,
                                              .latency_per_s = k == 0 ? 1.0 : 0.0,
                                              .energy_per_j = k == 1 ? 1.0 : 0.0,
                                              .idle_per_j = k == 1 ? 1.0 : 0.0,
                                              .quality = k == 2 ? 1.0 : 0.0};
            assert_ok_err(es_plan_solve(arena, &single, plan_opts, &plan, &err), err);
            if (fabs(plan->objective - front->ideal[k]) > 1e-6 * fabs(plan->objective))
                fail_msg("seed %" PRIu64 ": best %s is %.9g, the front's %.9g", seed,
                         es_measure_names[k], plan->objective, front->ideal[k]);
            compared++;
        }
        es_arena_free(arena);
    }
    assert_true(compared >= 60);
}

static void assert_proofs_hold(es_arena *arena, const es_front *front, const brute *b,
                               uint64_t seed)
{
    double values[3 * FOUND_MAX];
    for (size_t i = 0; i < b->count; i++) {
        const double *found = b->found[i];
        double least = es_front_least(front, found);
        if (least > found[0] * (1.0 + 1e-6) + 1e-12)
            fail_msg("seed %" PRIu64 ": %.9g is claimed to be the least where %.9g is possible",
                     seed, least, found[0]);
        for (uint32_t k = 0; k < b->measure_count; k++)
            values[i * b->measure_count + k] = found[k];
    }
    double volume = 0.0;
    double unit = 1.0;
    es_error err = {0};
    assert_ok_err(
        es_hypervolume(arena, values, b->count, b->measure_count, front->reference, &volume, &err),
        err);
    for (uint32_t k = 0; k < b->measure_count; k++)
        unit *= (front->reference[k] - front->ideal[k]) / 1.1;
    if (!(volume / unit <= front->hypervolume_bound * (1.0 + 1e-6)))
        fail_msg("seed %" PRIu64 ": hypervolume bound %.9g, but there is %.9g", seed,
                 front->hypervolume_bound, volume / unit);
}

static void test_approximation_is_certified(void **state)
{
    (void)state;
    int fronts = 0;
    double gaps = 0.0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = draw(arena, seed, shape_of(seed));
        es_front_opts opts = opts_of(seed);
        opts.method = ES_FRONT_APPROX;
        opts.point_count = 10;
        const brute *b = brute_of(arena, scenario, &opts);
        const es_front *front = solve(arena, scenario, opts);
        assert_none_dominated(front, seed);
        assert_plans_hold(arena, scenario, front, seed);
        if (b->count > 0) {
            assert_true(front->point_count > 0);
            assert_proofs_hold(arena, front, b, seed);
            gaps += 1.0 - front->hypervolume / front->hypervolume_bound;
            fronts++;
        }
        es_arena_free(arena);
    }
    print_message("hypervolume gap: mean %.3f %% over %d fronts\n", 100.0 * gaps / fronts, fronts);
    assert_true(fronts >= 25);
}

static void test_stopped_exact_is_certified(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        const es_scenario *scenario = draw(arena, seed, shape_of(seed));
        es_front_opts opts = opts_of(seed);
        opts.plan.time_limit_s = 0.01 + 0.01 * (double)seed;
        const brute *b = brute_of(arena, scenario, &opts);
        const es_front *front = solve(arena, scenario, opts);
        assert_none_dominated(front, seed);
        assert_plans_hold(arena, scenario, front, seed);
        assert_true(front->point_count > 0 || front->quality != ES_PLAN_FEASIBLE);
        if (b->count > 0 && front->point_count > 0)
            assert_proofs_hold(arena, front, b, seed);
        es_arena_free(arena);
    }
}

static void test_same_bytes(void **state)
{
    (void)state;
    es_text texts[2];
    for (int method = ES_FRONT_EXACT; method <= ES_FRONT_APPROX; method++) {
        for (int i = 0; i < 2; i++) {
            es_arena *arena = es_arena_new((size_t)64 << 20);
            const es_scenario *scenario = draw(arena, 4, shape_of(4));
            es_front_opts opts = opts_of(4);
            opts.method = (es_front_method)method;
            es_text_init(&texts[i], (size_t)16 << 20);
            es_front_write(solve(arena, scenario, opts), scenario, &texts[i]);
            es_arena_free(arena);
        }
        assert_true(texts[0].size > 1000);
        assert_string_equal(es_text_get(&texts[0]), es_text_get(&texts[1]));
        es_text_done(&texts[0]);
        es_text_done(&texts[1]);
    }
}

static void test_options_are_checked(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)64 << 20);
    const es_scenario *scenario = draw(arena, 1, shape_of(1));
    const es_front *front = NULL;
    es_error err = {0};
    es_front_opts opts = es_front_opts_default();
    opts.measure_count = 1;
    assert_fails(es_front_solve(arena, scenario, opts, &front, &err), ES_ERR_ARG, err,
                 "1 objectives, must be 2 or 3");
    opts = es_front_opts_default();
    opts.measures[1] = opts.measures[0];
    assert_fails(es_front_solve(arena, scenario, opts, &front, &err), ES_ERR_ARG, err,
                 "objective 'latency' is given twice");
    opts = es_front_opts_default();
    opts.point_count = 1;
    assert_fails(es_front_solve(arena, scenario, opts, &front, &err), ES_ERR_ARG, err,
                 "point_count=1 must be 2..10000");
    opts = es_front_opts_default();
    opts.plan.time_limit_s = (double)NAN;
    assert_fails(es_front_solve(arena, scenario, opts, &front, &err), ES_ERR_ARG, err,
                 "time_limit_s=nan");
    assert_null(front);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_brute_force),
        cmocka_unit_test(test_ends_are_single_optima),
        cmocka_unit_test(test_approximation_is_certified),
        cmocka_unit_test(test_stopped_exact_is_certified),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_options_are_checked),
    };
    return cmocka_run_group_tests_name("pareto", tests, NULL, NULL);
}
