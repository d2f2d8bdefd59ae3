/* A decider is its policy, less what cannot be hosted; and a log recalls it. */
#include "base/rng.h"
#include "es_world.h"
#include "online/internal.h"

enum { SLOTS = 24 };

static const char *const specs[] = {
    "infida", "olag",       "replan:every=3",      "lru",      "lfu",  "hottest",
    "random", "cloud-only", "edge-only:refresh=3", "adahedge", "exp3", "exp3-ix"};
enum { SPEC_COUNT = sizeof specs / sizeof specs[0] };

static const es_idn *world_idn(es_world *world)
{
    const es_idn *idn = NULL;
    es_error err = {0};
    es_world_init(world);
    world->nodes[ES_WORLD_PHONE].memory_bytes = 1.5e6;
    world->nodes[ES_WORLD_EDGE].memory_bytes = 2.5e6;
    es_world_seal(world);
    assert_ok_err(es_idn_from_scenario(world->arena, &world->scenario, &idn, &err), err);
    return idn;
}

static es_decider *make(es_arena *arena, const es_idn *idn, const char *spec)
{
    es_decider *decider = NULL;
    es_error err = {0};
    es_policy_given given = {.arena = arena, .idn = idn, .seed = 5, .slot_count = SLOTS};
    assert_ok_err(es_decider_new(&given, spec, false, &decider, &err), err);
    return decider;
}

static void draw_requests(const es_idn *idn, uint32_t slot, double *out_requests)
{
    for (uint32_t t = 0; t < idn->type_count; t++) {
        es_rng rng = es_rng_make(slot, t);
        out_requests[t] = es_rng_below(&rng, 4) == 0 ? 0 : (double)es_rng_below(&rng, 400);
    }
}

/* Most slots: everything; else a third of the items is out. */
static const bool *draw_usable(const es_idn *idn, uint32_t slot, bool *usable)
{
    es_rng rng = es_rng_make(slot / 4, 77);
    if (slot / 4 % 2 == 0)
        return NULL;
    for (uint32_t i = 0; i < idn->item_count; i++)
        usable[i] = es_rng_below(&rng, 3) > 0;
    return usable;
}

typedef struct log_of {
    uint32_t *hosted; /* [slot][item] */
    double requests[64];
    bool usable[256];
} log_of;

static void play(es_decider *decider, const es_idn *idn, uint32_t from, uint32_t to, bool drop,
                 log_of *log)
{
    es_error err = {0};
    for (uint32_t s = from; s < to; s++) {
        const bool *usable = drop ? draw_usable(idn, s, log->usable) : NULL;
        assert_int_equal(es_decider_next(decider), s);
        assert_ok_err(es_decider_decide(decider, usable, &err), err);
        memcpy(&log->hosted[s * idn->item_count], es_decider_hosted(decider),
               idn->item_count * sizeof *log->hosted);
        for (uint32_t i = 0; usable != NULL && i < idn->item_count; i++)
            assert_true(usable[i] || es_decider_hosted(decider)[i] == 0);
        draw_requests(idn, s, log->requests);
        (void)es_decider_observe(decider, log->requests);
    }
}

static void same_as_the_policy_alone(void **state)
{
    (void)state;
    for (size_t p = 0; p < SPEC_COUNT; p++) {
        es_world world;
        const es_idn *idn = world_idn(&world);
        log_of log = {.hosted = ES_TAKE_ARRAY(world.arena, uint32_t, SLOTS * idn->item_count)};
        es_policy policy;
        es_idn_load load;
        es_error err = {0};
        uint32_t hosted[64] = {0};
        double whole[64];
        assert_true(idn->item_count <= 64 && idn->type_count <= 64);
        es_policy_given given = {.arena = world.arena, .idn = idn, .seed = 5, .slot_count = SLOTS};
        assert_ok_err(es_policy_make(&given, specs[p], &policy, &err), err);
        assert_ok(es_idn_load_new(world.arena, idn, &load, NULL));
        es_decider *decider = make(world.arena, idn, specs[p]);
        play(decider, idn, 0, SLOTS, false, &log);
        for (uint32_t i = 0; i < idn->item_count; i++)
            hosted[i] = idn->items[i].pinned ? idn->items[i].copies : 0;
        es_observation last = {.requests = load.requests, .hosted = hosted};
        for (uint32_t s = 0; s < SLOTS; s++) {
            assert_ok_err(policy.decide(policy.memory, s, s > 0 ? &last : NULL, hosted, &err), err);
            (void)es_policy_clip(idn, hosted);
            if (memcmp(hosted, &log.hosted[s * idn->item_count],
                       idn->item_count * sizeof *hosted) != 0)
                fail_msg("%s: slot %u differs", specs[p], s);
            draw_requests(idn, s, log.requests);
            es_idn_load_set(&load, log.requests);
            for (uint32_t i = 0; i < idn->item_count; i++)
                whole[i] = hosted[i];
            last.slot = s;
            last.cost = es_idn_serve(&load, whole, NULL).cost;
        }
        es_policy_done(&policy);
        es_decider_free(decider);
        es_world_done(&world);
    }
}

/* A new decider that recalls the first half of a log goes on as the old one did. */
static void a_log_recalls_it(void **state)
{
    (void)state;
    for (size_t p = 0; p < SPEC_COUNT; p++) {
        es_world world;
        const es_idn *idn = world_idn(&world);
        uint32_t items = idn->item_count;
        log_of log = {.hosted = ES_TAKE_ARRAY(world.arena, uint32_t, SLOTS * items)};
        log_of again = {.hosted = ES_TAKE_ARRAY(world.arena, uint32_t, SLOTS * items)};
        es_error err = {0};
        es_decider *first = make(world.arena, idn, specs[p]);
        es_decider *second = make(world.arena, idn, specs[p]);
        play(first, idn, 0, SLOTS, true, &log);
        for (uint32_t s = 0; s < SLOTS / 2; s++) {
            bool same = false;
            const bool *usable = draw_usable(idn, s, again.usable);
            assert_ok_err(es_decider_recall(second, usable, &log.hosted[s * items], &same, &err),
                          err);
            assert_true(same);
            draw_requests(idn, s, again.requests);
            (void)es_decider_observe(second, again.requests);
        }
        play(second, idn, SLOTS / 2, SLOTS, true, &again);
        if (memcmp(&log.hosted[SLOTS / 2 * items], &again.hosted[SLOTS / 2 * items],
                   SLOTS / 2 * items * sizeof *log.hosted) != 0)
            fail_msg("%s goes on differently", specs[p]);
        es_decider_free(first);
        es_decider_free(second);
        es_world_done(&world);
    }
}

/* What is gone comes back: capacities are as given once everything can be hosted again. */
static void policies_work_around_what_is_gone(void **state)
{
    (void)state;
    es_world world;
    const es_idn *idn = world_idn(&world);
    es_decider *decider = make(world.arena, idn, "replan:every=100");
    bool usable[64];
    double requests[2] = {200, 200};
    const es_plan *plan = NULL;
    es_error err = {0};
    double before[64];
    assert_ok_err(es_decider_decide(decider, NULL, &err), err);
    (void)es_decider_observe(decider, requests);
    memcpy(before, es_decider_load(decider)->idn->capacities,
           idn->type_first[idn->type_count] * sizeof *before);
    for (uint32_t i = 0; i < idn->item_count; i++)
        usable[i] = idn->items[i].node != ES_WORLD_EDGE;
    /* not due before slot 100, but a node is gone */
    assert_ok_err(es_decider_decide(decider, usable, &err), err);
    assert_non_null(es_decider_plan(decider));
    assert_ok_err(es_decider_route(world.arena, decider, requests, &plan, &err), err);
    assert_true(plan->routing_count > 0);
    for (size_t r = 0; r < plan->routing_count; r++)
        for (uint32_t k = 0;
             k < world.scenario.pipelines[plan->routings[r].pipeline.index].stage_count; k++)
            assert_int_not_equal(plan->routings[r].nodes[k].index, ES_WORLD_EDGE);
    for (size_t i = 0; i < plan->placement_count; i++)
        assert_int_not_equal(plan->placements[i].node.index, ES_WORLD_EDGE);
    (void)es_decider_observe(decider, requests);
    const es_plan *without = es_decider_plan(decider);
    assert_ok_err(es_decider_decide(decider, NULL, &err), err);
    assert_ptr_not_equal(es_decider_plan(decider), without);
    assert_memory_equal(before, es_decider_load(decider)->idn->capacities,
                        idn->type_first[idn->type_count] * sizeof *before);
    es_decider_free(decider);
    es_world_done(&world);
}

/* Of a class that is silent too, the next request must find a way. */
static void silent_classes_keep_a_way(void **state)
{
    (void)state;
    es_world world;
    const es_idn *idn = world_idn(&world);
    es_decider *decider = make(world.arena, idn, "replan:every=1");
    double requests[2] = {300, 0};
    double share = 0;
    es_error err = {0};
    for (uint32_t s = 0; s < 3; s++) {
        assert_ok_err(es_decider_decide(decider, NULL, &err), err);
        (void)es_decider_observe(decider, requests);
    }
    const es_plan *plan = es_decider_plan(decider);
    assert_non_null(plan);
    for (size_t r = 0; r < plan->routing_count; r++)
        share += plan->routings[r].class_id.index == 1 ? plan->routings[r].share : 0;
    assert_near(share, 1, 1e-6);
    es_decider_free(decider);
    es_world_done(&world);
}

/* A policy without a plan: hosted options, cheapest first. */
static void without_a_plan_the_router_decides(void **state)
{
    (void)state;
    es_world world;
    const es_idn *idn = world_idn(&world);
    es_decider *decider = make(world.arena, idn, "hottest");
    double requests[2] = {100, 50};
    const es_plan *plan = NULL;
    es_error err = {0};
    for (uint32_t s = 0; s < 2; s++) {
        assert_ok_err(es_decider_decide(decider, NULL, &err), err);
        (void)es_decider_observe(decider, requests);
    }
    assert_null(es_decider_plan(decider));
    assert_ok_err(es_decider_route(world.arena, decider, requests, &plan, &err), err);
    double share[2] = {0};
    for (size_t r = 0; r < plan->routing_count; r++)
        share[plan->routings[r].class_id.index] += plan->routings[r].share;
    for (int c = 0; c < 2; c++)
        assert_near(share[c] + plan->refused_share[c], 1, 1e-9);
    es_decider_free(decider);
    es_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_policy_alone),
        cmocka_unit_test(a_log_recalls_it),
        cmocka_unit_test(policies_work_around_what_is_gone),
        cmocka_unit_test(silent_classes_keep_a_way),
        cmocka_unit_test(without_a_plan_the_router_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
