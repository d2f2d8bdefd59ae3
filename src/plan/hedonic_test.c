/* Association by best responses: stability checked from the definition, potentials, the planner's
 * optimum against enumeration, termination without a potential. */
#include "base/rng.h"
#include "es_test.h"
#include "plan/plan.h"

#include <math.h>

enum { PLAYERS = 60, RESOURCES = 6, SEEDS = 200 };

typedef enum shape { UNIT, PER_RESOURCE, PER_PLAYER, ANY_LOAD, SHAPE_COUNT } shape;

typedef struct instance {
    es_hedonic_game game;
    es_hedonic_resource resources[RESOURCES];
    uint32_t first[PLAYERS + 1];
    uint32_t to[PLAYERS * RESOURCES];
    double value[PLAYERS * RESOURCES];
    double load[PLAYERS * RESOURCES];
    double alone[PLAYERS];
} instance;

static double drawn(es_rng *rng, double least, double most)
{
    return least + (most - least) * es_rng_double(rng);
}

static void draw_choices(instance *out, es_rng *rng, uint32_t players, uint32_t resources,
                         shape loads)
{
    double weight[RESOURCES];
    uint32_t count = 0;
    for (uint32_t g = 0; g < resources; g++)
        weight[g] = drawn(rng, 0.5, 2);
    for (uint32_t i = 0; i < players; i++) {
        double own = drawn(rng, 0.5, 2);
        out->first[i] = count;
        out->alone[i] = drawn(rng, -0.5, 0.2);
        for (uint32_t g = 0; g < resources; g++) {
            if (es_rng_below(rng, 3) == 0)
                continue;
            out->to[count] = g;
            out->value[count] = drawn(rng, 0, 1);
            out->load[count++] = loads == PER_RESOURCE ? weight[g]
                                 : loads == PER_PLAYER ? own
                                                       : drawn(rng, 0.5, 2);
        }
    }
    out->first[players] = count;
}

/* Congestion alone when linear; else with gains from company, curved costs and lost packets. */
static void draw(instance *out, uint64_t seed, uint32_t players, uint32_t resources, shape loads,
                 bool linear)
{
    es_rng rng = es_rng_make(seed, 0);
    bool limited = es_rng_below(&rng, 3) == 0;
    memset(out, 0, sizeof *out);
    for (uint32_t g = 0; g < resources; g++) {
        es_hedonic_resource *r = &out->resources[g];
        r->price = drawn(&rng, 0.01, 0.2);
        r->power = linear ? 1 : drawn(&rng, 0.5, 2);
        r->load_max = limited ? drawn(&rng, 1, 6) : (double)INFINITY;
        if (linear)
            continue;
        r->gain = es_rng_below(&rng, 2) == 0 ? drawn(&rng, 0, 1) : 0;
        r->gain_load = drawn(&rng, 0.5, 5);
        r->loss = es_rng_below(&rng, 2) == 0 ? drawn(&rng, 0, 1) : 0;
    }
    draw_choices(out, &rng, players, resources, loads);
    out->game = (es_hedonic_game){.player_count = players,
                                  .resource_count = resources,
                                  .resources = out->resources,
                                  .first = out->first,
                                  .choice_resource = out->to,
                                  .choice_value = out->value,
                                  .choice_load = loads == UNIT ? NULL : out->load,
                                  .alone = out->alone};
}

/* ---- the definition, written again ---- */

static double net_of(const es_hedonic_resource *r, double load)
{
    double net = -r->price * pow(load, r->power) - r->loss * (1 - exp(-2 * load));
    return r->gain > 0 ? net + r->gain * (1 - exp(-load / r->gain_load)) : net;
}

static uint32_t choice_of(const es_hedonic_game *game, const uint32_t *at, uint32_t player)
{
    for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++)
        if (game->choice_resource[c] == at[player])
            return c;
    return ES_HEDONIC_ALONE;
}

static double load_of(const es_hedonic_game *game, const uint32_t *at, uint32_t resource,
                      uint32_t *out_count)
{
    double load = 0;
    *out_count = 0;
    for (uint32_t i = 0; i < game->player_count; i++) {
        if (at[i] != resource)
            continue;
        load += game->choice_load != NULL ? game->choice_load[choice_of(game, at, i)] : 1;
        ++*out_count;
    }
    return load;
}

static double utility(const es_hedonic_game *game, const uint32_t *at, uint32_t player)
{
    uint32_t count = 0;
    if (at[player] == ES_HEDONIC_ALONE)
        return game->alone[player];
    return game->choice_value[choice_of(game, at, player)] +
           net_of(&game->resources[at[player]], load_of(game, at, at[player], &count));
}

static double welfare(const es_hedonic_game *game, const uint32_t *at)
{
    double sum = 0;
    for (uint32_t i = 0; i < game->player_count; i++)
        sum += utility(game, at, i);
    return sum;
}

/* The most that any player gains by one allowed move. */
static double temptation(const es_hedonic_game *game, uint32_t *at, bool consent)
{
    double most = 0;
    for (uint32_t i = 0; i < game->player_count; i++) {
        uint32_t present = at[i];
        double stays = utility(game, at, i);
        if (game->alone != NULL)
            most = fmax(most, game->alone[i] - stays);
        for (uint32_t c = game->first[i]; c < game->first[i + 1]; c++) {
            uint32_t to = game->choice_resource[c];
            uint32_t members = 0, after = 0;
            if (to == present)
                continue;
            double before = load_of(game, at, to, &members);
            at[i] = to;
            double load = load_of(game, at, to, &after);
            bool allowed = load <= game->resources[to].load_max * (1 - 1e-9);
            if (consent && members > 0 &&
                net_of(&game->resources[to], load) < net_of(&game->resources[to], before) + 1e-9)
                allowed = false;
            if (allowed)
                most = fmax(most, utility(game, at, i) - stays);
            at[i] = present;
        }
    }
    return most;
}

static void assert_within_limits(const es_hedonic_game *game, const uint32_t *at)
{
    for (uint32_t g = 0; g < game->resource_count; g++) {
        uint32_t count = 0;
        assert_true(load_of(game, at, g, &count) <= game->resources[g].load_max * (1 + 1e-9));
    }
}

/* ---- tests ---- */

static void test_partitions_are_stable(void **state)
{
    (void)state;
    uint64_t moves = 0;
    for (uint64_t seed = es_test_seed(1), end = seed + SEEDS; seed < end; seed++) {
        for (int round = 0; round < 2 * SHAPE_COUNT; round++) {
            instance given;
            shape loads = (shape)(round % SHAPE_COUNT);
            draw(&given, seed, 2 + (uint32_t)(seed % 40), 1 + (uint32_t)(seed % RESOURCES), loads,
                 round >= SHAPE_COUNT);
            ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
            es_hedonic_opts opts = es_hedonic_opts_default();
            es_hedonic found = {0};
            es_error err = {0};
            uint32_t at[PLAYERS];
            opts.seed = seed;
            opts.stability = seed % 2 == 0 ? ES_HEDONIC_NASH : ES_HEDONIC_INDIVIDUAL;
            assert_ok_err(es_hedonic_solve(arena, &given.game, opts, &found, &err), err);
            memcpy(at, found.resource_of, given.game.player_count * sizeof *at);
            assert_within_limits(&given.game, at);
            assert_true(fabs(found.welfare - welfare(&given.game, at)) < 1e-9);
            if (found.potential != ES_HEDONIC_NONE)
                assert_int_equal(found.unstable_count, 0);
            double tempted = temptation(&given.game, at, opts.stability == ES_HEDONIC_INDIVIDUAL);
            if (found.unstable_count == 0 && tempted > 2e-9)
                fail_msg("seed %" PRIu64 ", round %d: somebody gains %g", seed, round, tempted);
            if (found.unstable_count > 0 && opts.stability == ES_HEDONIC_NASH)
                assert_true(tempted > 0);
            moves += found.move_count;
        }
    }
    assert_true(moves > SEEDS);
}

/* Nash stability asks for more than individual stability. */
static void test_consent_matters(void **state)
{
    (void)state;
    const es_hedonic_resource resources[2] = {{.price = 1, .power = 1, .load_max = INFINITY},
                                              {.price = 1, .power = 1, .load_max = INFINITY}};
    const uint32_t first[] = {0, 2, 4, 6}, to[] = {0, 1, 0, 1, 0, 1};
    const double value[] = {9, 0, 9, 0, 0, 9};
    const uint32_t start[] = {0, 0, 0};
    const es_hedonic_game game = {.player_count = 3,
                                  .resource_count = 2,
                                  .resources = resources,
                                  .first = first,
                                  .choice_resource = to,
                                  .choice_value = value};
    const uint32_t swapped[] = {1, 0, 0};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    es_hedonic found = {0};
    es_error err = {0};
    es_hedonic_opts opts = es_hedonic_opts_default();
    opts.start = start;
    opts.stability = ES_HEDONIC_INDIVIDUAL; /* the third moves to the empty place: nobody objects */
    assert_ok_err(es_hedonic_solve(arena, &game, opts, &found, &err), err);
    assert_int_equal(found.resource_of[2], 1);
    opts.start = swapped; /* now each place has a member who would lose by company */
    assert_ok_err(es_hedonic_solve(arena, &game, opts, &found, &err), err);
    assert_int_equal(found.move_count, 0);
    opts.stability = ES_HEDONIC_NASH;
    assert_ok_err(es_hedonic_solve(arena, &game, opts, &found, &err), err);
    assert_int_equal(found.resource_of[0], 0);
    assert_int_equal(found.resource_of[2], 1);
}

/* Every improving move raises an exact potential by the gain, a weighted one by load times gain. */
static void test_potential_rises_by_the_gain(void **state)
{
    (void)state;
    size_t moves = 0;
    for (uint64_t seed = es_test_seed(5000), end = seed + SEEDS; seed < end; seed++) {
        for (int loads = UNIT; loads <= PER_PLAYER; loads++) {
            instance given;
            es_rng rng = es_rng_make(seed, 3);
            uint32_t at[PLAYERS];
            uint32_t players = 3 + (uint32_t)(seed % 10);
            draw(&given, seed, players, 4, (shape)loads, loads == PER_PLAYER);
            for (uint32_t g = 0; g < 4; g++)
                given.resources[g].load_max = INFINITY;
            for (uint32_t i = 0; i < players; i++)
                at[i] = ES_HEDONIC_ALONE;
            for (int step = 0; step < 20; step++) {
                ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
                uint32_t i = (uint32_t)es_rng_below(&rng, players);
                uint32_t c = given.first[i] + (uint32_t)es_rng_below(&rng, 4);
                double before = 0, after = 0;
                es_error err = {0};
                if (c >= given.first[i + 1])
                    continue;
                assert_ok_err(es_hedonic_potential_of(arena, &given.game, at, &before, &err), err);
                double gain = -utility(&given.game, at, i);
                at[i] = given.to[c];
                gain += utility(&given.game, at, i);
                assert_ok_err(es_hedonic_potential_of(arena, &given.game, at, &after, &err), err);
                double factor = loads == PER_PLAYER ? given.load[c] : 1;
                assert_true(fabs(after - before - factor * gain) < 1e-9);
                moves++;
            }
        }
    }
    assert_true(moves > SEEDS);
}

static void test_potential_kind(void **state)
{
    (void)state;
    static const es_hedonic_potential wanted[2][SHAPE_COUNT] = {
        {ES_HEDONIC_EXACT, ES_HEDONIC_EXACT, ES_HEDONIC_NONE, ES_HEDONIC_NONE},
        {ES_HEDONIC_EXACT, ES_HEDONIC_EXACT, ES_HEDONIC_WEIGHTED, ES_HEDONIC_NONE}};
    for (int linear = 0; linear < 2; linear++) {
        for (int loads = 0; loads < SHAPE_COUNT; loads++) {
            instance given;
            es_hedonic_potential kind = ES_HEDONIC_POTENTIAL_COUNT;
            es_error err = {0};
            ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
            draw(&given, 11, 20, 5, (shape)loads, linear == 1);
            assert_ok_err(es_hedonic_potential_kind(arena, &given.game, &kind, &err), err);
            assert_int_equal(kind, wanted[linear][loads]);
        }
    }
}

/* The best of all partitions, one digit per player. */
static double best_welfare(const es_hedonic_game *game)
{
    uint32_t at[PLAYERS], digit[PLAYERS] = {0};
    double best = -INFINITY;
    for (bool more = true; more;) {
        bool fits = true;
        for (uint32_t i = 0; i < game->player_count; i++)
            at[i] = game->first[i] + digit[i] < game->first[i + 1]
                        ? game->choice_resource[game->first[i] + digit[i]]
                        : ES_HEDONIC_ALONE;
        for (uint32_t g = 0; g < game->resource_count; g++) {
            uint32_t count = 0;
            fits = load_of(game, at, g, &count) <= game->resources[g].load_max && fits;
        }
        if (fits)
            best = fmax(best, welfare(game, at));
        more = false;
        for (uint32_t i = 0; i < game->player_count && !more; i++) {
            more = game->first[i] + digit[i] < game->first[i + 1];
            digit[i] = more ? digit[i] + 1 : 0;
        }
    }
    return best;
}

static void test_optimum_equals_enumeration(void **state)
{
    (void)state;
    for (uint64_t seed = es_test_seed(100), end = seed + SEEDS; seed < end; seed++) {
        instance given;
        es_hedonic found = {0};
        es_hedonic_optimum best = {0};
        es_error err = {0};
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
        draw(&given, seed, 1 + (uint32_t)(seed % 5), 1 + (uint32_t)(seed % 4),
             (shape)(seed % SHAPE_COUNT), seed % 3 == 0);
        assert_ok_err(es_hedonic_solve(arena, &given.game, es_hedonic_opts_default(), &found, &err),
                      err);
        assert_ok_err(es_hedonic_optimum_of(arena, &given.game, &found, &best, &err), err);
        assert_true(best.exact);
        assert_true(fabs(best.welfare - best_welfare(&given.game)) < 1e-9);
        assert_true(fabs(best.welfare - welfare(&given.game, best.resource_of)) < 1e-9);
        assert_true(es_hedonic_anarchy(found.welfare, best.welfare) >= 1 - 1e-12);
    }
}

/* The same game with players that have but one choice added is too large to enumerate, and its
 * optimum is still known: they take choices of their own at a place of their own. */
static void test_bound_holds_when_not_enumerated(void **state)
{
    (void)state;
    size_t exact = 0;
    for (uint64_t seed = es_test_seed(300), end = seed + 60; seed < end; seed++) {
        instance given;
        es_hedonic found = {0};
        es_hedonic_optimum best = {0};
        es_error err = {0};
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
        draw(&given, seed, 5, 4, (shape)(seed % SHAPE_COUNT), seed % 2 == 0);
        double known = best_welfare(&given.game);
        uint32_t count = given.first[5];
        for (uint32_t i = 5; i < PLAYERS; i++) {
            given.to[count] = 4;
            given.value[count] = 0.3;
            given.load[count++] = 1;
            given.first[i + 1] = count;
            given.alone[i] = 0;
            known += 0.3;
        }
        given.resources[4] = (es_hedonic_resource){.load_max = INFINITY};
        given.game.resource_count = 5;
        given.game.player_count = PLAYERS;
        assert_ok_err(es_hedonic_solve(arena, &given.game, es_hedonic_opts_default(), &found, &err),
                      err);
        assert_ok_err(es_hedonic_optimum_of(arena, &given.game, &found, &best, &err), err);
        assert_true(best.bound >= known - 1e-9);
        assert_true(best.welfare <= known + 1e-9);
        assert_true(best.welfare >= found.welfare - 1e-9);
        assert_true(fabs(best.welfare - welfare(&given.game, best.resource_of)) < 1e-9);
        exact += best.exact;
    }
    assert_true(exact < 60);
}

/* Concave games of equal loads have no gap: the bound meets the welfare. */
static void test_bound_is_tight_for_congestion(void **state)
{
    (void)state;
    for (uint64_t seed = es_test_seed(700), end = seed + 30; seed < end; seed++) {
        instance given;
        es_hedonic found = {0};
        es_hedonic_optimum best = {0};
        es_error err = {0};
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
        draw(&given, seed, PLAYERS, RESOURCES, UNIT, true);
        assert_ok_err(es_hedonic_solve(arena, &given.game, es_hedonic_opts_default(), &found, &err),
                      err);
        assert_ok_err(es_hedonic_optimum_of(arena, &given.game, &found, &best, &err), err);
        if (best.bound - best.welfare > 0.03 * fabs(best.welfare))
            fail_msg("seed %" PRIu64 ": %g..%g", seed, best.welfare, best.bound);
    }
}

static void test_same_seed_same_partition(void **state)
{
    (void)state;
    instance given;
    es_hedonic a = {0}, b = {0};
    es_error err = {0};
    es_hedonic_opts opts = es_hedonic_opts_default();
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
    draw(&given, 42, PLAYERS, RESOURCES, ANY_LOAD, false);
    assert_ok_err(es_hedonic_solve(arena, &given.game, opts, &a, &err), err);
    assert_ok_err(es_hedonic_solve(arena, &given.game, opts, &b, &err), err);
    assert_memory_equal(a.resource_of, b.resource_of, PLAYERS * sizeof *a.resource_of);
    assert_true(a.welfare == b.welfare && a.move_count == b.move_count);
}

/* One chases the other: no stable partition exists, and history ends it. */
static void test_history_ends_a_chase(void **state)
{
    (void)state;
    /* The light player loves company (gain at the load of both), the heavy one is crowded out. */
    const es_hedonic_resource resource = {
        .gain = 10, .gain_load = 3, .price = 0.006, .power = 4, .load_max = INFINITY};
    const es_hedonic_resource resources[2] = {resource, resource};
    const uint32_t first[] = {0, 2, 4}, to[] = {0, 1, 0, 1};
    const double value[] = {0, 0, 0, 0}, load[] = {1, 1, 4, 4};
    const es_hedonic_game game = {.player_count = 2,
                                  .resource_count = 2,
                                  .resources = resources,
                                  .first = first,
                                  .choice_resource = to,
                                  .choice_value = value,
                                  .choice_load = load};
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
    es_hedonic found = {0};
    es_error err = {0};
    es_hedonic_opts opts = es_hedonic_opts_default();
    double light_alone = net_of(&resource, 1), heavy_alone = net_of(&resource, 4);
    double both = net_of(&resource, 5);
    assert_true(light_alone < both && both < heavy_alone);
    assert_ok_err(es_hedonic_solve(arena, &game, opts, &found, &err), err);
    assert_int_equal(found.potential, ES_HEDONIC_NONE);
    assert_true(found.pass_count < 20);
    assert_int_equal(found.unstable_count, 1);
    opts.stability = ES_HEDONIC_INDIVIDUAL; /* the heavy one does not consent */
    const uint32_t apart[] = {0, 1};
    opts.start = apart;
    assert_ok_err(es_hedonic_solve(arena, &game, opts, &found, &err), err);
    assert_int_equal(found.unstable_count, 0);
    assert_int_equal(found.move_count, 0);
}

static void test_anarchy(void **state)
{
    (void)state;
    assert_true(es_hedonic_anarchy(2, 3) == 1.5);
    assert_true(es_hedonic_anarchy(-3, -2) == 1.5);
    assert_true(es_hedonic_anarchy(0, 0) == 1);
    assert_true(isinf(es_hedonic_anarchy(-1, 2)));
}

static void test_bad_input(void **state)
{
    (void)state;
    instance given;
    es_hedonic found = {0};
    es_error err = {0};
    es_hedonic_opts opts = es_hedonic_opts_default();
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 22);
    draw(&given, 3, 10, 4, UNIT, true);
    given.value[2] = NAN;
    assert_fails(es_hedonic_solve(arena, &given.game, opts, &found, &err), ES_ERR_ARG, err,
                 "choices[2]: value=");
    draw(&given, 3, 10, 4, UNIT, true);
    given.to[given.first[1]] = 9;
    assert_fails(es_hedonic_solve(arena, &given.game, opts, &found, &err), ES_ERR_ARG, err,
                 "resource 9 of 4");
    draw(&given, 3, 10, 4, ANY_LOAD, true);
    given.load[0] = 0;
    assert_fails(es_hedonic_solve(arena, &given.game, opts, &found, &err), ES_ERR_ARG, err,
                 "load=0 > 0");
    draw(&given, 3, 10, 4, UNIT, true);
    given.resources[1].power = 0;
    assert_fails(es_hedonic_solve(arena, &given.game, opts, &found, &err), ES_ERR_ARG, err,
                 "resources[1]");
    draw(&given, 3, 10, 4, UNIT, true);
    for (uint32_t g = 0; g < 4; g++)
        given.resources[g].load_max = 1;
    given.game.alone = NULL;
    assert_fails(es_hedonic_solve(arena, &given.game, opts, &found, &err), ES_ERR_ARG, err,
                 "no choice has room left");
    opts.epsilon = 0;
    assert_fails(es_hedonic_solve(arena, &given.game, opts, &found, &err), ES_ERR_ARG, err,
                 "epsilon=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partitions_are_stable),
        cmocka_unit_test(test_consent_matters),
        cmocka_unit_test(test_potential_rises_by_the_gain),
        cmocka_unit_test(test_potential_kind),
        cmocka_unit_test(test_optimum_equals_enumeration),
        cmocka_unit_test(test_bound_holds_when_not_enumerated),
        cmocka_unit_test(test_bound_is_tight_for_congestion),
        cmocka_unit_test(test_same_seed_same_partition),
        cmocka_unit_test(test_history_ends_a_chase),
        cmocka_unit_test(test_anarchy),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
