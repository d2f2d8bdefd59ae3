/*
 * Hedonic association by best responses: players move in random order to the coalition they like
 * best, until nobody moves. With a potential every move climbs it, so it ends; without one, each
 * player's history (the sets it has joined) makes it end (Saad et al. 2010, arXiv 1010.4499).
 */
#include "plan/hedonic.h"

#include <math.h>

/* Sets of players that a player has joined, as 64-bit hashes; open addressing, no removal. */
typedef struct history {
    es_arena *arena;
    uint64_t *keys; /* 0: empty */
    size_t capacity;
    size_t count;
} history;

typedef struct dynamics {
    es_coalitions all;
    es_hedonic_opts opts;
    bool remember;
    uint64_t *sets; /* [resource]: exclusive or of the members' hashes */
    history joined;
    double *net_now;  /* [resource]: what members get */
    double *net_join; /* [resource]: what they would get with one more; uniform loads only */
    bool *open;       /* [resource]: room, and consent where asked for; uniform loads only */
} dynamics;

es_hedonic_opts es_hedonic_opts_default(void)
{
    return (es_hedonic_opts){
        .stability = ES_HEDONIC_NASH, .epsilon = 1e-9, .pass_max = 10000, .seed = 1};
}

/* splitmix64's finaliser */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Key of "player joins resource, which then holds set". */
static uint64_t history_key(uint32_t player, uint32_t resource, uint64_t set)
{
    uint64_t key = mix(set ^ mix(((uint64_t)player << 32) | resource));
    return key != 0 ? key : 1;
}

static bool history_has(const history *joined, uint64_t key)
{
    if (joined->capacity == 0)
        return false;
    for (size_t at = key & (joined->capacity - 1); joined->keys[at] != 0;
         at = (at + 1) & (joined->capacity - 1))
        if (joined->keys[at] == key)
            return true;
    return false;
}

static void history_put(history *joined, uint64_t key)
{
    size_t at = key & (joined->capacity - 1);
    while (joined->keys[at] != 0)
        at = (at + 1) & (joined->capacity - 1);
    joined->keys[at] = key;
    joined->count++;
}

static es_status history_add(history *joined, uint64_t key, es_error *err)
{
    if (history_has(joined, key))
        return ES_OK;
    if (2 * (joined->count + 1) > joined->capacity) {
        history larger = {.arena = joined->arena,
                          .capacity = joined->capacity > 0 ? 2 * joined->capacity : 1024};
        larger.keys = ES_TAKE_ARRAY(joined->arena, uint64_t, larger.capacity);
        if (larger.keys == NULL)
            return es_arena_full(joined->arena, "hedonic: history", err);
        for (size_t i = 0; i < joined->capacity; i++)
            if (joined->keys[i] != 0)
                history_put(&larger, joined->keys[i]);
        *joined = larger;
    }
    history_put(joined, key);
    return ES_OK;
}

static uint64_t player_hash(uint32_t player)
{
    return mix(~(uint64_t)player);
}

static uint64_t set_after(const dynamics *now, uint32_t player, uint32_t resource)
{
    uint64_t before = resource == ES_HEDONIC_ALONE ? 0 : now->sets[resource];
    return before ^ player_hash(player);
}

/* What a member gets when load joins, and whether it may. */
static bool may_join(const dynamics *now, uint32_t resource, double load, double *out_net)
{
    if (!es_coalitions_room(&now->all, resource, load))
        return false;
    double net =
        es_hedonic_net(&now->all.game->resources[resource], now->all.load[resource] + load);
    *out_net = net;
    return now->opts.stability == ES_HEDONIC_NASH || now->all.count[resource] == 0 ||
           net >= now->net_now[resource];
}

static void refresh(dynamics *now, uint32_t resource)
{
    const es_hedonic_resource *of = &now->all.game->resources[resource];
    now->net_now[resource] = es_hedonic_net(of, now->all.load[resource]);
    if (now->all.uniform)
        now->open[resource] =
            may_join(now, resource, now->all.weight[resource], &now->net_join[resource]);
}

static void refresh_all(dynamics *now)
{
    es_coalitions_recount(&now->all);
    for (uint32_t g = 0; g < now->all.game->resource_count; g++)
        refresh(now, g);
}

static bool remembered(const dynamics *now, uint32_t player, uint32_t resource)
{
    return now->remember &&
           history_has(&now->joined,
                       history_key(player, resource, set_after(now, player, resource)));
}

/* The best choice worth moving to, or the present one. */
static uint32_t respond(const dynamics *now, uint32_t player)
{
    const es_hedonic_game *game = now->all.game;
    uint32_t present = now->all.choice[player];
    bool alone = present == ES_HEDONIC_ALONE;
    uint32_t best = present;
    double best_utility =
        now->opts.epsilon +
        (alone ? game->alone[player]
               : game->choice_value[present] + now->net_now[game->choice_resource[present]]);
    for (uint32_t c = game->first[player]; c < game->first[player + 1]; c++) {
        uint32_t resource = game->choice_resource[c];
        double net = 0;
        if (c == present)
            continue;
        if (now->all.uniform ? !now->open[resource]
                             : !may_join(now, resource, es_choice_load(&now->all, c), &net))
            continue;
        double utility = game->choice_value[c] + (now->all.uniform ? now->net_join[resource] : net);
        if (utility > best_utility && !remembered(now, player, resource)) {
            best = c;
            best_utility = utility;
        }
    }
    if (!alone && game->alone != NULL && game->alone[player] > best_utility &&
        !remembered(now, player, ES_HEDONIC_ALONE))
        best = ES_HEDONIC_ALONE;
    return best;
}

static uint32_t resource_at(const dynamics *now, uint32_t choice)
{
    return choice == ES_HEDONIC_ALONE ? ES_HEDONIC_ALONE : now->all.game->choice_resource[choice];
}

static es_status move(dynamics *now, uint32_t player, uint32_t choice, es_error *err)
{
    uint32_t from = resource_at(now, now->all.choice[player]);
    uint32_t to = resource_at(now, choice);
    if (now->remember)
        ES_TRY(history_add(&now->joined, history_key(player, to, set_after(now, player, to)), err));
    es_coalitions_move(&now->all, player, choice);
    if (from != ES_HEDONIC_ALONE) {
        now->sets[from] ^= player_hash(player);
        refresh(now, from);
    }
    if (to != ES_HEDONIC_ALONE) {
        now->sets[to] ^= player_hash(player);
        refresh(now, to);
    }
    return ES_OK;
}

/* Everybody has joined the set it starts in. */
static es_status remember_start(dynamics *now, es_error *err)
{
    uint32_t count = now->all.game->player_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t resource = resource_at(now, now->all.choice[i]);
        if (resource != ES_HEDONIC_ALONE)
            now->sets[resource] ^= player_hash(i);
    }
    for (uint32_t i = 0; i < count && now->remember; i++) {
        uint32_t resource = resource_at(now, now->all.choice[i]);
        uint64_t set = resource == ES_HEDONIC_ALONE ? player_hash(i) : now->sets[resource];
        ES_TRY(history_add(&now->joined, history_key(i, resource, set), err));
    }
    return ES_OK;
}

static es_status run(dynamics *now, uint32_t *order, es_hedonic *out, es_error *err)
{
    uint32_t count = now->all.game->player_count;
    bool moved = true;
    while (moved && out->pass_count < now->opts.pass_max) {
        moved = false;
        refresh_all(now);
        es_hedonic_shuffle(now->opts.seed, out->pass_count, order, count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t choice = respond(now, order[i]);
            if (choice == now->all.choice[order[i]])
                continue;
            ES_TRY(move(now, order[i], choice, err));
            out->move_count++;
            moved = true;
        }
        out->pass_count++;
    }
    return ES_OK;
}

static es_hedonic_potential kind_of(const es_coalitions *all)
{
    const es_hedonic_game *game = all->game;
    if (all->uniform)
        return ES_HEDONIC_EXACT;
    for (uint32_t g = 0; g < game->resource_count; g++) {
        const es_hedonic_resource *r = &game->resources[g];
        if (r->gain > 0 || r->loss > 0 || (r->price > 0 && r->power != 1))
            return ES_HEDONIC_NONE;
    }
    for (uint32_t i = 0; i < game->player_count; i++)
        for (uint32_t c = game->first[i] + 1; c < game->first[i + 1]; c++)
            if (es_choice_load(all, c) != es_choice_load(all, game->first[i]))
                return ES_HEDONIC_NONE;
    return ES_HEDONIC_WEIGHTED;
}

static es_status dynamics_init(es_arena *arena, dynamics *now, es_hedonic_potential kind,
                               es_error *err)
{
    size_t count = now->all.game->resource_count;
    now->remember = now->opts.history || kind == ES_HEDONIC_NONE;
    now->joined.arena = arena;
    now->sets = ES_TAKE_ARRAY(arena, uint64_t, count);
    now->net_now = ES_TAKE_ARRAY(arena, double, count);
    now->net_join = ES_TAKE_ARRAY(arena, double, count);
    now->open = ES_TAKE_ARRAY(arena, bool, count);
    if (now->sets == NULL || now->net_now == NULL || now->net_join == NULL || now->open == NULL)
        return es_arena_full(arena, "hedonic", err);
    return remember_start(now, err);
}

es_status es_hedonic_solve(es_arena *arena, const es_hedonic_game *game, es_hedonic_opts opts,
                           es_hedonic *out_partition, es_error *err)
{
    dynamics now = {.opts = opts};
    if (!(opts.epsilon > 0) || opts.pass_max < 1 ||
        (unsigned)opts.stability >= ES_HEDONIC_STABILITY_COUNT)
        return es_fail(err, ES_ERR_ARG,
                       "hedonic: epsilon=%g must be > 0, pass_max=%u >= 1, stability=%d 0 or 1",
                       opts.epsilon, opts.pass_max, (int)opts.stability);
    ES_TRY(es_coalitions_init(arena, game, opts.start, &now.all, err));
    es_hedonic out = {.potential = kind_of(&now.all)};
    ES_TRY(dynamics_init(arena, &now, out.potential, err));
    uint32_t *order = ES_TAKE_ARRAY(arena, uint32_t, game->player_count);
    uint32_t *resource_of = ES_TAKE_ARRAY(arena, uint32_t, game->player_count);
    if (order == NULL || resource_of == NULL)
        return es_arena_full(arena, "hedonic", err);
    ES_TRY(run(&now, order, &out, err));
    now.remember = false; /* history may forbid a move, but does not make it less attractive */
    refresh_all(&now);
    for (uint32_t i = 0; i < game->player_count; i++)
        out.unstable_count += respond(&now, i) != now.all.choice[i];
    es_coalitions_resources(&now.all, resource_of);
    out.resource_of = resource_of;
    out.welfare = es_coalitions_welfare(&now.all);
    *out_partition = out;
    return ES_OK;
}

es_status es_hedonic_potential_kind(es_arena *scratch, const es_hedonic_game *game,
                                    es_hedonic_potential *out_kind, es_error *err)
{
    es_coalitions all = {0};
    ES_TRY(es_coalitions_init(scratch, game, NULL, &all, err));
    *out_kind = kind_of(&all);
    return ES_OK;
}

/* Rosenthal's: what the members of g would have got, had they come one after the other. */
static double exact_potential(const es_coalitions *all, uint32_t resource)
{
    double sum = 0;
    for (uint32_t m = 1; m <= all->count[resource]; m++)
        sum += es_hedonic_net(&all->game->resources[resource], m * all->weight[resource]);
    return sum;
}

es_status es_hedonic_potential_of(es_arena *scratch, const es_hedonic_game *game,
                                  const uint32_t *resource_of, double *out_potential, es_error *err)
{
    es_coalitions all = {0};
    ES_TRY(es_coalitions_init(scratch, game, resource_of, &all, err));
    es_hedonic_potential kind = kind_of(&all);
    double potential = kind == ES_HEDONIC_NONE ? (double)NAN : 0;
    for (uint32_t i = 0; i < game->player_count; i++) {
        uint32_t c = all.choice[i];
        uint32_t any = c != ES_HEDONIC_ALONE ? c : game->first[i];
        double value = c != ES_HEDONIC_ALONE ? game->choice_value[c] : game->alone[i];
        /* A player without choices never moves: any weight will do. */
        double load = any < game->first[i + 1] ? es_choice_load(&all, any) : 1;
        if (kind != ES_HEDONIC_WEIGHTED)
            load = 1;
        potential += load * value;
        if (kind == ES_HEDONIC_WEIGHTED && c != ES_HEDONIC_ALONE)
            potential -= game->resources[game->choice_resource[c]].price * load * load / 2;
    }
    for (uint32_t g = 0; g < game->resource_count; g++) {
        if (kind == ES_HEDONIC_EXACT)
            potential += exact_potential(&all, g);
        else if (kind == ES_HEDONIC_WEIGHTED)
            potential -= game->resources[g].price * all.load[g] * all.load[g] / 2;
    }
    *out_potential = potential;
    return ES_OK;
}
