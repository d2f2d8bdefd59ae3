/* Gain, supergradient and messages: the vectors of spec §1 and random networks. */
#include "es_world.h"
#include "online/internal.h"

enum { INSTANCES = 10000 };

/* One type, three options of one item each on one node; the last is pinned and takes all. */
static const es_idn *vector_idn(es_arena *arena)
{
    static const char *const names[] = {"one", "two", "three"};
    static const es_tier tiers[] = {ES_TIER_CLOUD};
    static const double budgets[] = {3};
    static const es_idn_item items[] = {{.copies = 1, .size_bytes = 1},
                                        {.model = 1, .copies = 1, .size_bytes = 1},
                                        {.model = 2, .copies = 1, .size_bytes = 1, .pinned = true}};
    static es_idn_option options[3];
    static const uint32_t first[] = {0, 3};
    static const double costs[] = {1, 3, 10};
    for (uint32_t k = 0; k < 3; k++)
        options[k] = (es_idn_option){.cost = costs[k],
                                     .capacity = k == 0   ? 4
                                                 : k == 1 ? 5
                                                          : (double)INFINITY,
                                     .group = ES_INDEX_NONE,
                                     .item_count = 1,
                                     .items = {k}};
    es_idn given = {.name = "vector",
                    .slot_s = 1,
                    .node_count = 1,
                    .node_names = names,
                    .tiers = tiers,
                    .budget_bytes = budgets,
                    .model_count = 3,
                    .model_names = names,
                    .item_count = 3,
                    .items = items,
                    .type_count = 1,
                    .type_names = names,
                    .type_first = first,
                    .options = options};
    const es_idn *idn = NULL;
    es_error err = {0};
    assert_ok_err(es_idn_new(arena, &given, &idn, &err), err);
    return idn;
}

static void vector_of_the_specification(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    const es_idn *idn = vector_idn(arena);
    es_idn_load load;
    double g[3];
    assert_ok(es_idn_load_new(arena, idn, &load, NULL));
    es_idn_load_set(&load, (double[]){10});
    assert_near(load.base_cost, 100, 1e-12);
    assert_near(es_idn_cost(&load, (double[]){1, 1, 1}), 29, 1e-12);
    assert_near(es_idn_gain(&load, (double[]){1, 1, 1}), 71, 1e-12);
    assert_near(es_idn_gain(&load, (double[]){0.5, 0.5, 1}), 35.5, 1e-12);
    assert_near(es_idn_gradient(&load, (double[]){0.5, 0.5, 1}, g), 64.5, 1e-12);
    assert_near(g[0], 36, 1e-12);
    assert_near(g[1], 35, 1e-12);
    assert_near(g[2], 0, 1e-12);
    (void)es_idn_gradient(&load, (double[]){1, 1, 1}, g);
    assert_near(g[0], 36, 1e-12);
    assert_near(g[1], 35, 1e-12);
    es_idn_service served = es_idn_serve(&load, (double[]){1, 1, 1}, NULL);
    assert_near(served.cost, 29, 1e-12);
    es_arena_free(arena);
}

static double draw_hosted(es_rng *rng, const es_idn *idn, bool whole, double *hosted)
{
    es_idn_pinned(idn, hosted);
    for (uint32_t i = 0; i < idn->item_count; i++)
        if (!idn->items[i].pinned)
            hosted[i] = whole ? (double)es_rng_below(rng, idn->items[i].copies + 1)
                              : idn->items[i].copies * es_rng_double(rng);
    return 0;
}

/* The telescoped form: sum of steps times what is served at or below them. */
static double naive_gain(const es_idn_load *load, const double *hosted, const double *pinned)
{
    const es_idn *idn = load->idn;
    double gain = 0;
    for (uint32_t t = 0; t < idn->type_count; t++) {
        double sum = 0;
        double base = 0;
        double r = load->requests[t];
        for (uint32_t k = idn->type_first[t]; k + 1 < idn->type_first[t + 1]; k++) {
            double group = 0;
            for (uint32_t i = idn->group_first[idn->groups[k]];
                 i < idn->group_first[idn->groups[k] + 1]; i++)
                group += load->requests[idn->group_types[i]];
            double lambda = r > 0 ? fmin(r, idn->capacities[k] * r / group) : 0;
            sum += es_idn_hosted_of(idn, k, hosted) * lambda;
            base += es_idn_hosted_of(idn, k, pinned) * lambda;
            gain += (idn->costs[k + 1] - idn->costs[k]) * (fmin(r, sum) - fmin(r, base));
        }
    }
    return gain;
}

static void identities_hold_on_random_networks(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    es_arena *arena = es_arena_new((size_t)4 << 20);
    for (uint64_t n = 0; n < INSTANCES; n++) {
        const es_idn *idn = NULL;
        es_idn_load load;
        es_error err = {0};
        double u[32];
        double z[32];
        double g[32];
        double told[32];
        double requests[8];
        es_rng rng = es_rng_make(seed + n, 1);
        es_arena_reset(arena);
        assert_ok_err(es_idn_random(arena, seed + n, &idn, &err), err);
        assert_ok(es_idn_load_new(arena, idn, &load, NULL));
        for (uint32_t t = 0; t < idn->type_count; t++)
            requests[t] = es_rng_below(&rng, 5) == 0 ? 0 : 50 * es_rng_double(&rng);
        es_idn_load_set(&load, requests);
        (void)draw_hosted(&rng, idn, n % 2 == 0, u);
        (void)draw_hosted(&rng, idn, n % 3 == 0, z);
        double gain = es_idn_gain(&load, u);
        double tolerance = 1e-9 * (1 + load.base_cost);
        if (!(fabs(gain - naive_gain(&load, u, load.pinned)) <= tolerance) || gain < -tolerance)
            fail_msg("seed %llu: gain identity", (unsigned long long)(seed + n));
        assert_near(es_idn_serve(&load, u, NULL).cost, es_idn_cost(&load, u), tolerance);
        assert_near(load.base_cost - es_idn_gradient(&load, u, g), gain, tolerance);
        double above = gain;
        for (uint32_t i = 0; i < idn->item_count; i++)
            above += g[i] * (z[i] - u[i]);
        if (es_idn_gain(&load, z) > above + tolerance)
            fail_msg("seed %llu: supergradient", (unsigned long long)(seed + n));
        (void)es_idn_exchange(&load, u, told);
        for (uint32_t i = 0; i < idn->item_count; i++)
            if (!(fabs(told[i] - g[i]) <= tolerance))
                fail_msg("seed %llu: item %u: %g by messages, %g", (unsigned long long)(seed + n),
                         i, told[i], g[i]);
    }
    es_arena_free(arena);
}

/* A message need not go further than what can still matter. */
static void messages_stop_early(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)256 << 20);
    const es_idn *idn = NULL;
    es_idn_load load;
    double *hosted = NULL;
    double *g = NULL;
    double *requests = NULL;
    assert_ok(es_idn_rec_1(arena, 0, &idn, NULL));
    assert_ok(es_idn_load_new(arena, idn, &load, NULL));
    assert_ok(es_online_take(arena, idn->item_count, sizeof *hosted, &hosted, NULL));
    assert_ok(es_online_take(arena, idn->item_count, sizeof *g, &g, NULL));
    assert_ok(es_online_take(arena, idn->type_count, sizeof *requests, &requests, NULL));
    es_idn_rec_1_demand(idn, 0, 0, requests);
    es_idn_load_set(&load, requests);
    es_idn_pinned(idn, hosted);
    es_idn_messages far = es_idn_exchange(&load, hosted, g);
    for (uint32_t i = 0; i < idn->item_count; i++)
        hosted[i] = idn->items[i].copies;
    es_idn_messages near = es_idn_exchange(&load, hosted, g);
    assert_near(far.messages, 480 * 2 * 4, 0); /* to the cloud and back */
    assert_true(near.messages < far.messages / 2);
    assert_true(near.entries < far.entries);
    es_arena_free(arena);
}

static void bad_networks_are_named(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)1 << 20);
    es_idn bad = *vector_idn(arena);
    es_idn_option options[3];
    const es_idn *idn = NULL;
    es_error err = {0};
    memcpy(options, bad.options, sizeof options);
    bad.options = options;
    bad.group_count = 0;
    options[0].cost = (double)NAN;
    assert_fails(es_idn_new(arena, &bad, &idn, &err), ES_ERR_ARG, err, "options[0].cost=nan");
    options[0].cost = 1;
    options[2].capacity = 7;
    assert_fails(es_idn_new(arena, &bad, &idn, &err), ES_ERR_ARG, err, "type 'one': no option");
    assert_fails(es_idn_rec_1(arena, -1, &idn, &err), ES_ERR_ARG, err, "alpha=-1");
    es_arena_free(arena);
}

/* phone - edge - cloud; the cloud holds all four segments. */
static void scenarios_become_networks(void **state)
{
    (void)state;
    es_world world;
    const es_idn *idn = NULL;
    es_error err = {0};
    es_world_init(&world);
    world.nodes[ES_WORLD_PHONE].memory_bytes = 1e6;
    es_world_seal(&world);
    assert_ok_err(es_idn_from_scenario(world.arena, &world.scenario, &idn, &err), err);
    assert_int_equal(idn->type_count, 2);
    assert_int_equal(idn->item_count, 12);
    uint32_t pinned = 0;
    for (uint32_t i = 0; i < idn->item_count; i++)
        pinned += idn->items[i].pinned;
    assert_int_equal(pinned, 4);
    for (uint32_t t = 0; t < 2; t++) {
        const es_idn_option *last = &idn->options[idn->type_first[t + 1] - 1];
        assert_int_equal(last->item_count, 0); /* the cloud's capacity is finite */
        for (uint32_t k = idn->type_first[t]; k + 1 < idn->type_first[t + 1]; k++) {
            const es_idn_option *option = &idn->options[k];
            es_price price = es_scenario_price(&world.scenario, (es_class_id){t}, option->pipeline,
                                               option->nodes);
            assert_near(option->cost, price.cost, 1e-12);
            assert_true(price.latency_max_s <= 0.150);
            assert_true(option->nodes[0].index >= t); /* never away from the cloud */
        }
    }
    es_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_of_the_specification),
        cmocka_unit_test(identities_hold_on_random_networks),
        cmocka_unit_test(messages_stop_early),
        cmocka_unit_test(bad_networks_are_named),
        cmocka_unit_test(scenarios_become_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
