/* The partition in the making: checks, loads, moves. */
#include "base/rng.h"
#include "plan/hedonic.h"

#include <math.h>

enum { SINGLES_MAX = 1 << 16, RUN = 64 };

double es_hedonic_net(const es_hedonic_resource *resource, double load)
{
    double net = 0;
    if (resource->gain > 0)
        net += resource->gain * -expm1(-load / resource->gain_load);
    if (resource->price > 0)
        net -= resource->price * (resource->power == 1 ? load : pow(load, resource->power));
    if (resource->loss > 0)
        net -= resource->loss * -expm1(-2 * load);
    return net;
}

static es_status check_resources(const es_hedonic_game *game, es_error *err)
{
    for (uint32_t g = 0; g < game->resource_count; g++) {
        const es_hedonic_resource *r = &game->resources[g];
        if (!(r->gain >= 0 && r->price >= 0 && r->loss >= 0 && isfinite(r->gain) &&
              isfinite(r->price) && isfinite(r->loss)))
            return es_fail(err, ES_ERR_ARG,
                           "hedonic: resources[%u]: gain=%g, price=%g, loss=%g must be >= 0", g,
                           r->gain, r->price, r->loss);
        if ((r->gain > 0 && !(r->gain_load > 0)) || (r->price > 0 && !(r->power > 0)))
            return es_fail(err, ES_ERR_ARG,
                           "hedonic: resources[%u]: gain_load=%g and power=%g must be > 0", g,
                           r->gain_load, r->power);
        if (!(r->load_max >= 0))
            return es_fail(err, ES_ERR_ARG, "hedonic: resources[%u]: load_max=%g must be >= 0", g,
                           r->load_max);
    }
    return ES_OK;
}

static es_status check_player(const es_hedonic_game *game, uint32_t i, es_error *err)
{
    uint32_t first = game->first[i];
    uint32_t end = game->first[i + 1];
    if (end < first || end == ES_HEDONIC_ALONE)
        return es_fail(err, ES_ERR_ARG, "hedonic: players[%u]: choices %u..%u must not fall", i,
                       first, end);
    if (end == first && game->alone == NULL)
        return es_fail(err, ES_ERR_ARG, "hedonic: players[%u] has no choice and may not stay alone",
                       i);
    if (game->alone != NULL && !isfinite(game->alone[i]))
        return es_fail(err, ES_ERR_ARG, "hedonic: players[%u]: alone=%g must be finite", i,
                       game->alone[i]);
    for (uint32_t c = first; c < end; c++) {
        double load = game->choice_load != NULL ? game->choice_load[c] : 1;
        if (game->choice_resource[c] >= game->resource_count)
            return es_fail(err, ES_ERR_ARG, "hedonic: choices[%u]: resource %u of %u", c,
                           game->choice_resource[c], game->resource_count);
        for (uint32_t before = first; before < c; before++)
            if (game->choice_resource[before] == game->choice_resource[c])
                return es_fail(err, ES_ERR_ARG, "hedonic: players[%u]: resource %u comes twice", i,
                               game->choice_resource[c]);
        if (!isfinite(game->choice_value[c]) || !(load > 0) || !isfinite(load))
            return es_fail(err, ES_ERR_ARG,
                           "hedonic: choices[%u]: value=%g must be finite and load=%g > 0", c,
                           game->choice_value[c], load);
    }
    return ES_OK;
}

static es_status check(const es_hedonic_game *game, es_error *err)
{
    if (game->player_count < 1 || game->player_count == UINT32_MAX)
        return es_fail(err, ES_ERR_ARG, "hedonic: %u players, must be at least 1",
                       game->player_count);
    ES_TRY(check_resources(game, err));
    for (uint32_t i = 0; i < game->player_count; i++)
        ES_TRY(check_player(game, i, err));
    return ES_OK;
}

static bool find_weights(const es_hedonic_game *game, double *weight)
{
    for (uint32_t c = game->first[0]; c < game->first[game->player_count]; c++) {
        double *known = &weight[game->choice_resource[c]];
        double load = game->choice_load != NULL ? game->choice_load[c] : 1;
        if (*known == 0)
            *known = load;
        else if (*known != load)
            return false;
    }
    return true;
}

bool es_coalitions_room(const es_coalitions *all, uint32_t resource, double load)
{
    double most = all->game->resources[resource].load_max;
    return all->load[resource] + load <= most * (1 + 1e-12);
}

static void join(es_coalitions *all, uint32_t player, uint32_t choice)
{
    all->choice[player] = choice;
    if (choice == ES_HEDONIC_ALONE)
        return;
    uint32_t resource = all->game->choice_resource[choice];
    all->count[resource]++;
    if (all->uniform)
        all->load[resource] = all->count[resource] * all->weight[resource];
    else
        all->load[resource] += es_choice_load(all, choice);
}

static void leave(es_coalitions *all, uint32_t player)
{
    uint32_t choice = all->choice[player];
    if (choice == ES_HEDONIC_ALONE)
        return;
    uint32_t resource = all->game->choice_resource[choice];
    all->count[resource]--;
    if (all->uniform)
        all->load[resource] = all->count[resource] * all->weight[resource];
    else
        all->load[resource] -= es_choice_load(all, choice);
}

void es_coalitions_move(es_coalitions *all, uint32_t player, uint32_t choice)
{
    leave(all, player);
    join(all, player, choice);
}

void es_coalitions_recount(es_coalitions *all)
{
    const es_hedonic_game *game = all->game;
    memset(all->count, 0, game->resource_count * sizeof *all->count);
    memset(all->load, 0, game->resource_count * sizeof *all->load);
    for (uint32_t i = 0; i < game->player_count; i++)
        join(all, i, all->choice[i]);
}

static es_status place_given(es_coalitions *all, uint32_t player, uint32_t wanted, es_error *err)
{
    const es_hedonic_game *game = all->game;
    uint32_t choice = ES_HEDONIC_ALONE;
    for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++)
        if (game->choice_resource[c] == wanted)
            choice = c;
    if (choice == ES_HEDONIC_ALONE && (wanted != ES_HEDONIC_ALONE || game->alone == NULL))
        return es_fail(err, ES_ERR_ARG, "hedonic: start[%u]=%u is no choice of that player", player,
                       wanted);
    if (choice != ES_HEDONIC_ALONE && !es_coalitions_room(all, wanted, es_choice_load(all, choice)))
        return es_fail(err, ES_ERR_ARG, "hedonic: start[%u]=%u: load_max=%g is exceeded", player,
                       wanted, game->resources[wanted].load_max);
    join(all, player, choice);
    return ES_OK;
}

static es_status place_best(es_coalitions *all, uint32_t player, es_error *err)
{
    const es_hedonic_game *game = all->game;
    uint32_t choice = ES_HEDONIC_ALONE;
    for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++)
        if (es_coalitions_room(all, game->choice_resource[c], es_choice_load(all, c)) &&
            (choice == ES_HEDONIC_ALONE || game->choice_value[c] > game->choice_value[choice]))
            choice = c;
    if (choice == ES_HEDONIC_ALONE && game->alone == NULL)
        return es_fail(err, ES_ERR_ARG,
                       "hedonic: players[%u]: no choice has room left and it may not stay alone",
                       player);
    join(all, player, choice);
    return ES_OK;
}

es_status es_coalitions_init(es_arena *arena, const es_hedonic_game *game, const uint32_t *start,
                             es_coalitions *out, es_error *err)
{
    ES_TRY(check(game, err));
    double *weight = ES_TAKE_ARRAY(arena, double, game->resource_count);
    es_coalitions all = {.game = game,
                         .weight = weight,
                         .choice = ES_TAKE_ARRAY(arena, uint32_t, game->player_count),
                         .count = ES_TAKE_ARRAY(arena, uint32_t, game->resource_count),
                         .load = ES_TAKE_ARRAY(arena, double, game->resource_count)};
    if (weight == NULL || all.choice == NULL || all.count == NULL || all.load == NULL)
        return es_arena_full(arena, "hedonic", err);
    all.uniform = find_weights(game, weight);
    for (uint32_t i = 0; i < game->player_count; i++) {
        if (start != NULL)
            ES_TRY(place_given(&all, i, start[i], err));
        else
            ES_TRY(place_best(&all, i, err));
    }
    *out = all;
    return ES_OK;
}

double es_coalitions_welfare(const es_coalitions *all)
{
    const es_hedonic_game *game = all->game;
    double welfare = 0;
    for (uint32_t i = 0; i < game->player_count; i++)
        welfare += all->choice[i] == ES_HEDONIC_ALONE ? game->alone[i]
                                                      : game->choice_value[all->choice[i]];
    for (uint32_t g = 0; g < game->resource_count; g++)
        if (all->count[g] > 0)
            welfare += all->count[g] * es_hedonic_net(&game->resources[g], all->load[g]);
    return welfare;
}

void es_coalitions_resources(const es_coalitions *all, uint32_t *out_resource_of)
{
    for (uint32_t i = 0; i < all->game->player_count; i++)
        out_resource_of[i] = all->choice[i] == ES_HEDONIC_ALONE
                                 ? ES_HEDONIC_ALONE
                                 : all->game->choice_resource[all->choice[i]];
}

void es_hedonic_shuffle(uint64_t seed, uint64_t pass, uint32_t *order, uint32_t player_count)
{
    es_rng rng = es_rng_make(seed, pass);
    uint32_t run = player_count > SINGLES_MAX ? RUN : 1;
    uint32_t runs = (player_count + run - 1) / run;
    /* Starts of runs are shuffled at the end of order, then spread out from its beginning: run i is
     * written at or before the place from which it was read. */
    uint32_t *starts = order + (player_count - runs);
    for (uint32_t i = 0; i < runs; i++)
        starts[i] = i * run;
    for (uint32_t i = runs; i-- > 1;) {
        uint32_t other = (uint32_t)es_rng_below(&rng, (uint64_t)i + 1);
        uint32_t swap = starts[i];
        starts[i] = starts[other];
        starts[other] = swap;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t start = starts[i];
        for (uint32_t j = 0; j < run && j < player_count - start; j++)
            order[at++] = start + j;
    }
}
