/* The checker must catch every kind of mistake: good plans are spoilt in one way each. */
#include "es_test.h"
#include "plan/plan.h"
#include "plan/random_scenario.h"

#include <math.h>

enum { SEED_COUNT = 40 };

/* A plan that may be changed. */
typedef struct copy {
    es_arena *arena;
    es_scenario *scenario;
    es_plan plan;
    es_placement *placements;
    es_routing *routings;
    double *refused;
} copy;

/* Spoils the copy; false when this plan has nothing of the kind to spoil. words: what the checker
 * must say. */
typedef struct mutation {
    const char *what;
    bool (*spoil)(copy *c);
    const char *words;
} mutation;

static bool routing_over_pipeline_of(const copy *c, size_t i, uint32_t stages)
{
    return c->scenario->pipelines[c->routings[i].pipeline.index].stage_count >= stages;
}

static bool lose_placement(copy *c)
{
    /* Not a spare replica: one that a share takes. */
    const es_routing *w = &c->routings[0];
    es_segment_id segment = c->scenario->pipelines[w->pipeline.index].stages[0].segment;
    for (size_t i = 0; i < c->plan.placement_count; i++)
        if (c->placements[i].node.index == w->nodes[0].index &&
            c->placements[i].segment.index == segment.index) {
            c->placements[i] = c->placements[--c->plan.placement_count];
            return true;
        }
    return false;
}

static bool double_placement(copy *c)
{
    c->placements[c->plan.placement_count++] = c->placements[0];
    return true;
}

static bool unknown_placement(copy *c)
{
    c->placements[0].segment.index = c->scenario->segment_count;
    return true;
}

static bool fill_memory(copy *c)
{
    /* Segments of the first host become too large for any node. */
    es_segment *segments = ES_TAKE_ARRAY(c->arena, es_segment, c->scenario->segment_count);
    assert_non_null(segments);
    memcpy(segments, c->scenario->segments, c->scenario->segment_count * sizeof *segments);
    segments[c->placements[0].segment.index].memory_bytes = 1e12;
    c->scenario->segments = segments;
    return true;
}

static bool host_what_cannot_run(copy *c)
{
    size_t count = (size_t)c->scenario->kind_count * c->scenario->segment_count;
    es_service *services = ES_TAKE_ARRAY(c->arena, es_service, count);
    assert_non_null(services);
    memcpy(services, c->scenario->services, count * sizeof *services);
    for (uint32_t k = 0; k < c->scenario->kind_count; k++)
        services[(size_t)k * c->scenario->segment_count + c->placements[0].segment.index].time_s =
            (double)INFINITY;
    c->scenario->services = services;
    return true;
}

static es_class *own_classes(copy *c)
{
    es_class *classes = ES_TAKE_ARRAY(c->arena, es_class, c->scenario->class_count);
    assert_non_null(classes);
    memcpy(classes, c->scenario->classes, c->scenario->class_count * sizeof *classes);
    c->scenario->classes = classes;
    return classes;
}

static bool more_requests(copy *c)
{
    own_classes(c)[c->routings[0].class_id.index].arrivals.rate_rps *= 1e6;
    return true;
}

static bool sharper_deadline(copy *c)
{
    own_classes(c)[c->routings[0].class_id.index].deadline_s = 1e-6;
    return true;
}

static bool higher_quality(copy *c)
{
    own_classes(c)[c->routings[0].class_id.index].quality_min = 0.999;
    return true;
}

static bool more_replicas(copy *c)
{
    c->scenario->replicas_min = 100;
    return true;
}

static bool lose_share(copy *c)
{
    c->routings[0].share *= 0.99;
    return true;
}

static bool too_much_share(copy *c)
{
    c->routings[0].share = 1.5;
    return true;
}

static bool negative_share(copy *c)
{
    c->routings[0].share = -c->routings[0].share;
    return true;
}

static bool not_a_share(copy *c)
{
    c->routings[0].share = (double)NAN;
    return true;
}

static bool lose_routing(copy *c)
{
    c->routings[0] = c->routings[--c->plan.routing_count];
    return true;
}

static bool other_task(copy *c)
{
    if (c->scenario->task_count < 2)
        return false;
    uint32_t task = c->scenario->classes[c->routings[0].class_id.index].task.index;
    uint32_t other = (task + 1) % c->scenario->task_count;
    c->routings[0].pipeline.index = c->scenario->task_pipelines[other];
    return true;
}

static bool unknown_node(copy *c)
{
    c->routings[0].nodes[0].index = 1000;
    return true;
}

static bool swapped_nodes(copy *c)
{
    for (size_t i = 0; i < c->plan.routing_count; i++) {
        es_node_id *nodes = c->routings[i].nodes;
        if (!routing_over_pipeline_of(c, i, 2) || nodes[0].index == nodes[1].index)
            continue;
        es_node_id swap = nodes[0];
        nodes[0] = nodes[1];
        nodes[1] = swap;
        return true;
    }
    return false;
}

static bool forbidden_refusal(copy *c)
{
    if (isfinite(c->scenario->objective.refusal_cost))
        return false;
    c->refused[0] = 0.25;
    return true;
}

static bool negative_refusal(copy *c)
{
    c->refused[0] = -0.25;
    return true;
}

static bool better_objective(copy *c)
{
    c->plan.objective *= 0.999;
    return true;
}

static bool bound_above(copy *c)
{
    c->plan.bound = c->plan.objective * 1.01;
    return true;
}

static bool other_gap(copy *c)
{
    if (!isfinite(c->plan.bound))
        return false;
    c->plan.gap_relative += 0.01;
    return true;
}

static bool claims_infeasible(copy *c)
{
    c->plan.quality = ES_PLAN_INFEASIBLE;
    return true;
}

static bool dearer_hosting(copy *c)
{
    es_segment *segments = ES_TAKE_ARRAY(c->arena, es_segment, c->scenario->segment_count);
    assert_non_null(segments);
    memcpy(segments, c->scenario->segments, c->scenario->segment_count * sizeof *segments);
    segments[c->placements[0].segment.index].hosting_per_s += 1.0;
    c->scenario->segments = segments;
    return true;
}

static bool dearer_idle(copy *c)
{
    c->scenario->objective.idle_per_j += 1.0;
    return true;
}

static bool dearer_carbon(copy *c)
{
    c->scenario->objective.carbon_per_g += 1000.0;
    return true;
}

static const mutation mutations[] = {
    {"lose a placement", lose_placement, "does not host"},
    {"place twice", double_placement, "twice"},
    {"unknown segment", unknown_placement, "no such node or segment"},
    {"memory", fill_memory, "memory"},
    {"cannot run", host_what_cannot_run, "cannot run segment"},
    {"compute or links", more_requests, " of "},
    {"deadline", sharper_deadline, "deadline"},
    {"least quality", higher_quality, "average quality"},
    {"replicas", more_replicas, "replicas_min"},
    {"lose a share", lose_share, "shares add up to"},
    {"too much", too_much_share, "must be in (0, 1]"},
    {"negative share", negative_share, "must be in (0, 1]"},
    {"not a number", not_a_share, "must be in (0, 1]"},
    {"lose a routing", lose_routing, "shares add up to"},
    {"other task", other_task, "does not solve task"},
    {"unknown node", unknown_node, "no such node"},
    {"swapped nodes", swapped_nodes, ""},
    {"refusal", forbidden_refusal, "not allowed"},
    {"negative refusal", negative_refusal, "refused share"},
    {"objective", better_objective, "objective"},
    {"bound", bound_above, "bound"},
    {"gap", other_gap, "gap"},
    {"infeasible", claims_infeasible, "quality 'infeasible'"},
    {"hosting", dearer_hosting, "objective"},
    {"idle", dearer_idle, "objective"},
    {"carbon", dearer_carbon, "objective"},
};
enum { MUTATION_COUNT = sizeof mutations / sizeof *mutations };

static copy copy_plan(es_arena *arena, const es_plan *plan, const es_scenario *scenario)
{
    copy c = {.arena = arena, .plan = *plan};
    c.scenario = ES_TAKE_ONE(arena, es_scenario);
    c.placements = ES_TAKE_ARRAY(arena, es_placement, plan->placement_count + 1);
    c.routings = ES_TAKE_ARRAY(arena, es_routing, plan->routing_count);
    c.refused = ES_TAKE_ARRAY(arena, double, scenario->class_count);
    assert_true(c.scenario != NULL && c.placements != NULL && c.routings != NULL &&
                c.refused != NULL);
    *c.scenario = *scenario;
    memcpy(c.placements, plan->placements, plan->placement_count * sizeof *c.placements);
    memcpy(c.routings, plan->routings, plan->routing_count * sizeof *c.routings);
    memcpy(c.refused, plan->refused_share, scenario->class_count * sizeof *c.refused);
    return c;
}

static void check(copy *c, const es_plan_violation **out_found, size_t *out_count)
{
    es_error err = {0};
    c->plan.placements = c->placements;
    c->plan.routings = c->routings;
    c->plan.refused_share = c->refused;
    assert_ok_err(es_plan_check(c->arena, &c->plan, c->scenario, 1e-6, out_found, out_count, &err),
                  err);
}

static void test_every_mutation_is_caught(void **state)
{
    (void)state;
    int caught[MUTATION_COUNT] = {0};
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        es_arena *arena = es_arena_new((size_t)64 << 20);
        es_random_shape shape = es_random_shape_default();
        es_scenario *scenario;
        const es_plan *plan;
        es_error err = {0};
        es_plan_opts opts = es_plan_opts_default();
        shape.refusal_cost = seed % 3 == 0 ? 3.0 : (double)INFINITY;
        shape.long_count = 2;
        opts.method = ES_PLAN_GREEDY;
        assert_ok_err(es_random_scenario(arena, seed, shape, &scenario, &err), err);
        assert_ok_err(es_plan_solve(arena, scenario, opts, &plan, &err), err);
        for (int m = 0; plan->routing_count > 0 && m < MUTATION_COUNT; m++) {
            copy c = copy_plan(arena, plan, scenario);
            const es_plan_violation *found;
            size_t count;
            check(&c, &found, &count);
            assert_int_equal(count, 0);
            if (!mutations[m].spoil(&c))
                continue;
            check(&c, &found, &count);
            bool said = false;
            for (size_t i = 0; i < count; i++)
                said = said || strstr(found[i].text, mutations[m].words) != NULL;
            if (!said)
                fail_msg("seed %" PRIu64 ": '%s' not caught (%zu others, first: %s)", seed,
                         mutations[m].what, count, count > 0 ? found[0].text : "");
            caught[m]++;
        }
        es_arena_free(arena);
    }
    for (int m = 0; m < MUTATION_COUNT; m++)
        if (caught[m] < 3)
            fail_msg("'%s' was tried %d times only", mutations[m].what, caught[m]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mutation_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
