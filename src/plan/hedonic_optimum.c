/*
 * The planner's optimum of an association, to hold the players' partition against.
 *
 * Few players: enumeration. Many: local search on the welfare itself (a player moves when everybody
 * together gains), and a bound with a price m_g on every place at resource g:
 *
 *   welfare <= sum_i max(alone_i, max_c value_c - m_g(c)) + sum_g max_n (f_g(n) + m_g n)
 *
 * for any m, f_g(n) being the most that n members of g can get from their load. Where n net_g(n) is
 * concave the least of this over m is the optimum of the linear relaxation, which has no gap.
 */
#include "plan/hedonic.h"

#include <math.h>

enum { ENUMERATE_MAX = 1 << 18, PASSES_MAX = 200, ROUNDS_MAX = 150 };
#define GAP_ENOUGH 1e-6

/* ---- few players ---- */

static double partitions(const es_hedonic_game *game)
{
    double product = 1;
    for (uint32_t i = 0; i < game->player_count && product <= ENUMERATE_MAX; i++)
        product *= game->first[i + 1] - game->first[i] + (game->alone != NULL ? 1 : 0);
    return product;
}

static bool fits(const es_coalitions *all)
{
    for (uint32_t g = 0; g < all->game->resource_count; g++)
        if (all->count[g] > 0 && !es_coalitions_room(all, g, 0))
            return false;
    return true;
}

/* The next choice of every player, like the digits of a number; false after the last. */
static bool next(const es_hedonic_game *game, uint32_t *choice)
{
    for (uint32_t i = 0; i < game->player_count; i++) {
        uint32_t after = choice[i] == ES_HEDONIC_ALONE ? game->first[i] : choice[i] + 1;
        if (after < game->first[i + 1]) {
            choice[i] = after;
            return true;
        }
        choice[i] = game->alone != NULL ? ES_HEDONIC_ALONE : game->first[i];
    }
    return false;
}

static void enumerate(es_coalitions *all, es_hedonic_optimum *out, uint32_t *out_resource_of)
{
    const es_hedonic_game *game = all->game;
    out->welfare = -INFINITY;
    for (uint32_t i = 0; i < game->player_count; i++)
        all->choice[i] = game->alone != NULL ? ES_HEDONIC_ALONE : game->first[i];
    do {
        es_coalitions_recount(all);
        double welfare = fits(all) ? es_coalitions_welfare(all) : -(double)INFINITY;
        if (welfare > out->welfare) {
            out->welfare = welfare;
            es_coalitions_resources(all, out_resource_of);
        }
    } while (next(game, all->choice));
    out->bound = out->welfare;
    out->exact = true;
}

/* ---- many players: the partition ---- */

/* What all members of a resource get from its load. */
static double together(const es_coalitions *all, uint32_t resource, double count, double load)
{
    return count > 0 ? count * es_hedonic_net(&all->game->resources[resource], load) : 0;
}

/* Gain of everybody together when a player joins or leaves; join is -INFINITY without room. */
typedef struct margins {
    double *join;
    double *leave;
} margins;

static double margin_join(const es_coalitions *all, uint32_t resource, double load)
{
    if (!es_coalitions_room(all, resource, load))
        return -(double)INFINITY;
    double count = all->count[resource];
    return together(all, resource, count + 1, all->load[resource] + load) -
           together(all, resource, count, all->load[resource]);
}

static double margin_leave(const es_coalitions *all, uint32_t resource, double load)
{
    double count = all->count[resource];
    return together(all, resource, count - 1, all->load[resource] - load) -
           together(all, resource, count, all->load[resource]);
}

static void margins_refresh(const es_coalitions *all, margins *at, uint32_t resource)
{
    if (!all->uniform)
        return;
    at->join[resource] = margin_join(all, resource, all->weight[resource]);
    at->leave[resource] =
        all->count[resource] > 0 ? margin_leave(all, resource, all->weight[resource]) : 0;
}

static uint32_t best_for_all(const es_coalitions *all, const margins *at, uint32_t player,
                             double epsilon)
{
    const es_hedonic_game *game = all->game;
    uint32_t present = all->choice[player];
    uint32_t best = present;
    double staying = 0;
    if (present == ES_HEDONIC_ALONE) {
        staying = game->alone[player];
    } else {
        uint32_t resource = game->choice_resource[present];
        staying = game->choice_value[present] -
                  (all->uniform ? at->leave[resource]
                                : margin_leave(all, resource, es_choice_load(all, present)));
    }
    double most = staying + epsilon;
    for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++) {
        uint32_t resource = game->choice_resource[c];
        if (c == present)
            continue;
        double gain = game->choice_value[c] +
                      (all->uniform ? at->join[resource]
                                    : margin_join(all, resource, es_choice_load(all, c)));
        if (gain > most) {
            most = gain;
            best = c;
        }
    }
    if (present != ES_HEDONIC_ALONE && game->alone != NULL && game->alone[player] > most)
        best = ES_HEDONIC_ALONE;
    return best;
}

static es_status improve(es_arena *arena, es_coalitions *all, es_error *err)
{
    const es_hedonic_game *game = all->game;
    margins at = {.join = ES_TAKE_ARRAY(arena, double, game->resource_count),
                  .leave = ES_TAKE_ARRAY(arena, double, game->resource_count)};
    uint32_t *order = ES_TAKE_ARRAY(arena, uint32_t, game->player_count);
    if (at.join == NULL || at.leave == NULL || order == NULL)
        return es_arena_full(arena, "hedonic: optimum", err);
    bool moved = true;
    for (uint32_t pass = 0; moved && pass < PASSES_MAX; pass++) {
        moved = false;
        es_coalitions_recount(all);
        for (uint32_t g = 0; g < game->resource_count; g++)
            margins_refresh(all, &at, g);
        es_hedonic_shuffle(1, pass, order, game->player_count);
        for (uint32_t i = 0; i < game->player_count; i++) {
            uint32_t before = all->choice[order[i]];
            uint32_t after = best_for_all(all, &at, order[i], 1e-12);
            if (after == before)
                continue;
            es_coalitions_move(all, order[i], after);
            if (before != ES_HEDONIC_ALONE)
                margins_refresh(all, &at, game->choice_resource[before]);
            if (after != ES_HEDONIC_ALONE)
                margins_refresh(all, &at, game->choice_resource[after]);
            moved = true;
        }
    }
    return ES_OK;
}

/* ---- many players: the bound ---- */

typedef struct dual {
    const es_hedonic_game *game;
    const uint32_t *start; /* [resource + 1] into most, whose entry n is at start[g] + n */
    const double *most;    /* f_g(n), n = 0 .. candidates of g; -INFINITY where load_max forbids */
    double *price;         /* m_g */
    double *slope;         /* of the bound in m_g */
} dual;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* f_g for candidates with sorted loads: n members weigh between the n lightest and n heaviest. */
static void fill_most(const es_hedonic_resource *resource, const double *loads, size_t count,
                      double *most)
{
    es_hedonic_resource gain = *resource;
    es_hedonic_resource cost = *resource;
    double light = 0;
    double heavy = 0;
    gain.price = gain.loss = 0;
    cost.gain = 0;
    most[0] = 0;
    for (size_t n = 1; n <= count; n++) {
        light += loads[n - 1];
        heavy += loads[count - n];
        double load = fmin(heavy, resource->load_max * (1 + 1e-12));
        most[n] = light > resource->load_max * (1 + 1e-9)
                      ? -(double)INFINITY
                      : (double)n * (es_hedonic_net(&gain, load) + es_hedonic_net(&cost, light));
    }
}

static es_status dual_init(es_arena *arena, dual *now, const es_coalitions *all, es_error *err)
{
    const es_hedonic_game *game = all->game;
    size_t choices = game->first[game->player_count] - game->first[0];
    uint32_t *start = ES_TAKE_ARRAY(arena, uint32_t, (size_t)game->resource_count + 1);
    uint32_t *fill = ES_TAKE_ARRAY(arena, uint32_t, game->resource_count);
    double *loads = ES_TAKE_ARRAY(arena, double, choices + game->resource_count);
    double *most = ES_TAKE_ARRAY(arena, double, choices + game->resource_count);
    *now = (dual){.game = game,
                  .start = start,
                  .most = most,
                  .price = ES_TAKE_ARRAY(arena, double, game->resource_count),
                  .slope = ES_TAKE_ARRAY(arena, double, game->resource_count)};
    if (start == NULL || fill == NULL || loads == NULL || most == NULL || now->price == NULL ||
        now->slope == NULL)
        return es_arena_full(arena, "hedonic: bound", err);
    uint32_t first = game->first[0];
    uint32_t end = game->first[game->player_count];
    for (uint32_t c = first; c < end; c++)
        start[game->choice_resource[c] + 1]++;
    for (uint32_t g = 0; g < game->resource_count; g++)
        start[g + 1] += start[g] + 1;
    for (uint32_t c = first; c < end; c++) {
        uint32_t g = game->choice_resource[c];
        loads[start[g] + fill[g]++] = es_choice_load(all, c);
    }
    for (uint32_t g = 0; g < game->resource_count; g++) {
        if (!all->uniform)
            qsort(&loads[start[g]], fill[g], sizeof *loads, by_size);
        fill_most(&game->resources[g], &loads[start[g]], fill[g], &most[start[g]]);
    }
    return ES_OK;
}

/* The bound at the present prices; fills slope. */
static double dual_value(dual *now)
{
    const es_hedonic_game *game = now->game;
    double value = 0;
    for (uint32_t g = 0; g < game->resource_count; g++) {
        const double *most = &now->most[now->start[g]];
        size_t count = now->start[g + 1] - now->start[g];
        size_t best = 0;
        double highest = 0;
        for (size_t n = 1; n < count; n++) {
            double with = most[n] + now->price[g] * (double)n;
            best = with > highest ? n : best;
            highest = with > highest ? with : highest;
        }
        value += highest;
        now->slope[g] = (double)best;
    }
    for (uint32_t i = 0; i < game->player_count; i++) {
        uint32_t best = ES_HEDONIC_ALONE;
        double highest = game->alone != NULL ? game->alone[i] : -(double)INFINITY;
        for (uint32_t c = game->first[i]; c < game->first[i + 1]; c++) {
            double with = game->choice_value[c] - now->price[game->choice_resource[c]];
            best = with > highest ? c : best;
            highest = with > highest ? with : highest;
        }
        value += highest;
        if (best != ES_HEDONIC_ALONE)
            now->slope[game->choice_resource[best]] -= 1;
    }
    return value;
}

/* Every price follows the sign of its own slope, faster while that stays the same (Rprop,
 * Riedmiller and Braun 1993): each round's value is a bound, the least of them is kept. */
static es_status upper_bound(es_arena *arena, dual *now, double welfare, double *out_bound,
                             es_error *err)
{
    uint32_t count = now->game->resource_count;
    double *step = ES_TAKE_ARRAY(arena, double, count);
    double *before = ES_TAKE_ARRAY(arena, double, count);
    double *kept = ES_TAKE_ARRAY(arena, double, count);
    if (step == NULL || before == NULL || kept == NULL)
        return es_arena_full(arena, "hedonic: bound", err);
    double least = INFINITY;
    for (uint32_t g = 0; g < count; g++)
        step[g] = 1e-3 * fmax(fabs(welfare) / now->game->player_count, fabs(now->price[g]));
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        double value = dual_value(now);
        if (value < least)
            memcpy(kept, now->price, count * sizeof *kept);
        least = fmin(least, value);
        if (least - welfare <= GAP_ENOUGH * fabs(welfare))
            break;
        for (uint32_t g = 0; g < count; g++) {
            double turn = now->slope[g] * before[g];
            step[g] *= turn > 0 ? 1.3 : turn < 0 ? 0.5 : 1;
            before[g] = now->slope[g];
            if (now->slope[g] != 0)
                now->price[g] -= copysign(step[g], now->slope[g]);
        }
    }
    memcpy(now->price, kept, count * sizeof *kept);
    *out_bound = least;
    return ES_OK;
}

/* A player and how much it loses, at the bound's prices, when its best choice is full. */
typedef struct regret {
    double loss;
    uint32_t player;
} regret;

static int by_loss(const void *a, const void *b)
{
    const regret *x = a;
    const regret *y = b;
    if (x->loss != y->loss)
        return x->loss > y->loss ? -1 : 1;
    return x->player < y->player ? -1 : x->player > y->player;
}

static regret regret_of(const dual *now, uint32_t player)
{
    const es_hedonic_game *game = now->game;
    double best = game->alone != NULL ? game->alone[player] : -(double)INFINITY;
    double second = -(double)INFINITY;
    for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++) {
        double with = game->choice_value[c] - now->price[game->choice_resource[c]];
        second = fmax(second, fmin(with, best));
        best = fmax(best, with);
    }
    return (regret){.loss = best - second, .player = player};
}

/* Everybody takes what is best at the bound's prices and has room, those with most to lose first.
 * False when somebody finds no place. */
static bool place_by_price(const dual *now, const regret *order, es_coalitions *all)
{
    const es_hedonic_game *game = now->game;
    for (uint32_t i = 0; i < game->player_count; i++)
        all->choice[i] = ES_HEDONIC_ALONE;
    memset(all->count, 0, game->resource_count * sizeof *all->count);
    memset(all->load, 0, game->resource_count * sizeof *all->load);
    for (uint32_t i = 0; i < game->player_count; i++) {
        uint32_t player = order[i].player;
        uint32_t best = ES_HEDONIC_ALONE;
        double most = game->alone != NULL ? game->alone[player] : -(double)INFINITY;
        for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++) {
            uint32_t resource = game->choice_resource[c];
            double with = game->choice_value[c] - now->price[resource];
            if (with > most && es_coalitions_room(all, resource, es_choice_load(all, c))) {
                most = with;
                best = c;
            }
        }
        if (best == ES_HEDONIC_ALONE && game->alone == NULL)
            return false;
        es_coalitions_move(all, player, best);
    }
    return true;
}

/* A second partition, from the prices of the bound; out keeps the better one. */
static es_status improve_by_price(es_arena *arena, const dual *now, es_coalitions *all,
                                  es_hedonic_optimum *out, uint32_t *out_resource_of, es_error *err)
{
    uint32_t count = now->game->player_count;
    regret *order = ES_TAKE_ARRAY(arena, regret, count);
    if (order == NULL)
        return es_arena_full(arena, "hedonic: optimum", err);
    for (uint32_t i = 0; i < count; i++)
        order[i] = regret_of(now, i);
    qsort(order, count, sizeof *order, by_loss);
    if (!place_by_price(now, order, all))
        return ES_OK;
    ES_TRY(improve(arena, all, err));
    es_coalitions_recount(all);
    double welfare = es_coalitions_welfare(all);
    if (welfare > out->welfare) {
        out->welfare = welfare;
        es_coalitions_resources(all, out_resource_of);
    }
    return ES_OK;
}

es_status es_hedonic_optimum_of(es_arena *arena, const es_hedonic_game *game,
                                const es_hedonic *partition, es_hedonic_optimum *out_optimum,
                                es_error *err)
{
    es_coalitions all = {0};
    es_hedonic_optimum out = {0};
    ES_TRY(es_coalitions_init(arena, game, partition->resource_of, &all, err));
    uint32_t *resource_of = ES_TAKE_ARRAY(arena, uint32_t, game->player_count);
    if (resource_of == NULL)
        return es_arena_full(arena, "hedonic: optimum", err);
    out.resource_of = resource_of;
    if (partitions(game) <= ENUMERATE_MAX) {
        enumerate(&all, &out, resource_of);
        *out_optimum = out;
        return ES_OK;
    }
    dual now = {0};
    ES_TRY(improve(arena, &all, err));
    es_coalitions_recount(&all);
    out.welfare = es_coalitions_welfare(&all);
    es_coalitions_resources(&all, resource_of);
    ES_TRY(dual_init(arena, &now, &all, err));
    /* A place costs what one member more costs the others; exactly so at the optimum. */
    for (uint32_t g = 0; g < game->resource_count; g++) {
        double load = all.count[g] > 0 ? all.load[g] / all.count[g] : 0;
        now.price[g] = all.count[g] > 0 ? margin_leave(&all, g, load) : 0;
    }
    ES_TRY(upper_bound(arena, &now, out.welfare, &out.bound, err));
    if (out.bound - out.welfare > GAP_ENOUGH * fabs(out.welfare))
        ES_TRY(improve_by_price(arena, &now, &all, &out, resource_of, err));
    double rounding = 1e-9 * fmax(1, fabs(out.welfare));
    out.exact = out.bound <= out.welfare + rounding;
    out.bound = fmax(out.bound, out.welfare);
    *out_optimum = out;
    return ES_OK;
}

double es_hedonic_anarchy(double welfare, double optimum)
{
    if (welfare == optimum)
        return 1;
    if (welfare > 0 && optimum > 0)
        return optimum / welfare;
    if (welfare < 0 && optimum < 0)
        return welfare / optimum;
    return INFINITY;
}
