/* The relaxed problem at given prices: value, choice and slope. */
#include "plan/decompose.h"

#include <math.h>

/* Room for sums in another order: a set that fills the memory to the last byte fits. */
static const double MEMORY_SLACK = 1e-9;
/* What sums may be wrong by, of the size of what is added up: prices can be large. */
static const double ROUNDING = 1e-12;

static size_t multiplier_count(const es_layout *layout)
{
    const es_problem *problem = layout->problem;
    return 2 * (size_t)problem->class_count + problem->node_count + problem->link_row_count +
           layout->slot_count;
}

es_status es_multipliers_new(es_arena *arena, const es_layout *layout, es_multipliers *out,
                             es_error *err)
{
    const es_problem *problem = layout->problem;
    size_t count = multiplier_count(layout);
    double *all = ES_TAKE_ARRAY(arena, double, count);
    if (all == NULL)
        return es_arena_full(arena, "multipliers", err);
    out->count = count;
    out->all = out->pi = all;
    out->mu = out->pi + problem->class_count;
    out->gamma = out->mu + problem->node_count;
    out->kappa = out->gamma + problem->link_row_count;
    out->rho = out->kappa + problem->class_count;
    return ES_OK;
}

es_status es_relaxed_new(es_arena *arena, const es_layout *layout, es_relaxed *out, es_error *err)
{
    const es_problem *problem = layout->problem;
    *out = (es_relaxed){0};
    ES_TRY(es_multipliers_new(arena, layout, &out->slope, err));
    out->reduced = ES_TAKE_ARRAY(arena, double, problem->path_count);
    out->node_value = ES_TAKE_ARRAY(arena, double, problem->node_count);
    out->group_choice = ES_TAKE_ARRAY(arena, uint8_t, layout->group_count);
    if (out->reduced == NULL || out->node_value == NULL || out->group_choice == NULL)
        return es_arena_full(arena, "relaxation", err);
    return ES_OK;
}

es_status es_node_room_new(es_arena *arena, const es_layout *layout, es_node_room *out,
                           es_error *err)
{
    uint32_t group_max = 0;
    for (uint32_t v = 0; v < layout->problem->node_count; v++) {
        uint32_t count = layout->node_group_first[v + 1] - layout->node_group_first[v];
        group_max = count > group_max ? count : group_max;
    }
    size_t item_max = (size_t)group_max * ES_CLUSTER_SETS;
    ES_TRY(es_knapsack_room_new(arena, group_max, &out->knapsack, err));
    out->items = ES_TAKE_ARRAY(arena, es_knapsack_item, item_max);
    out->first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)group_max + 1);
    out->with = ES_TAKE_ARRAY(arena, double, item_max);
    out->without = ES_TAKE_ARRAY(arena, double, group_max);
    if (out->items == NULL || out->first == NULL || out->with == NULL || out->without == NULL)
        return es_arena_full(arena, "knapsack", err);
    return ES_OK;
}

es_status es_node_room_share(es_arena *arena, const es_layout *layout, es_pool *pool,
                             uint32_t lane_count, es_node_room *room, es_error *err)
{
    es_node_room *lanes = ES_TAKE_ARRAY(arena, es_node_room, lane_count);
    if (lanes == NULL)
        return es_arena_full(arena, "knapsack", err);
    for (uint32_t i = 0; i < lane_count; i++)
        ES_TRY(es_node_room_new(arena, layout, &lanes[i], err));
    room->pool = pool;
    room->lane_count = lane_count;
    room->lanes = lanes;
    return ES_OK;
}

void es_price_paths(const es_layout *layout, const es_multipliers *prices, double *reduced)
{
    const es_problem *problem = layout->problem;
    for (uint32_t p = 0; p < problem->path_count; p++) {
        const es_path *path = &problem->paths[p];
        uint32_t r = layout->path_class[p];
        double cost = layout->path_cost[p];
        for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++)
            cost += layout->rate[r] * problem->stage_loads[k] *
                    prices->mu[problem->hosts[problem->stage_hosts[k]].node.index];
        for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
            if (prices->gamma[problem->uses[i].row] > 0.0)
                cost += layout->rate[r] * problem->uses[i].bits /
                        problem->link_bps[problem->uses[i].row] *
                        prices->gamma[problem->uses[i].row];
        if (layout->quality_binds[r])
            cost -= prices->kappa[r] * (path->quality - problem->quality_min[r]);
        reduced[p] = cost;
    }
}

/* Adds to set_gain what a cell gains for each set of the group's hosts. */
static void add_cell(const es_layout *layout, const es_multipliers *prices, const es_relaxed *at,
                     uint32_t c, double *set_gain, uint32_t set_count)
{
    double single[ES_CLUSTER_HOSTS_MAX] = {0};
    double slot[ES_CLUSTER_HOSTS_MAX] = {0};
    double best[ES_CLUSTER_SETS];
    double sum[ES_CLUSTER_SETS];
    double pi = prices->pi[layout->cell_class[c]];
    for (uint32_t i = layout->cell_path_first[c]; i < layout->cell_path_first[c + 1]; i++) {
        double gain = pi - at->reduced[layout->cell_paths[i].path];
        uint32_t j = layout->cell_paths[i].position;
        single[j] = gain > single[j] ? gain : single[j];
    }
    for (uint32_t i = layout->cell_slot_first[c]; i < layout->cell_slot_first[c + 1]; i++)
        slot[layout->slot_position[i]] += prices->rho[i];
    best[0] = sum[0] = 0.0;
    for (uint32_t set = 1; set < set_count; set++) {
        uint32_t low = (uint32_t)__builtin_ctz(set);
        uint32_t rest = set & (set - 1);
        best[set] = single[low] > best[rest] ? single[low] : best[rest];
        sum[set] = sum[rest] + slot[low];
        set_gain[set] += best[set] > sum[set] ? best[set] : sum[set];
    }
}

/* What may be chosen in a group: sets between those fixed open and those not fixed closed. */
typedef struct group_sets {
    uint32_t set_count;
    uint32_t must;
    uint32_t may;
    double weight[ES_CLUSTER_SETS];
    double gain[ES_CLUSTER_SETS];
} group_sets;

static void value_group(const es_layout *layout, const es_multipliers *prices,
                        const uint8_t *fixing, const es_relaxed *at, uint32_t g, group_sets *out)
{
    const es_host *hosts = layout->problem->hosts;
    uint32_t first = layout->group_host_first[g];
    uint32_t size = layout->group_host_first[g + 1] - first;
    *out = (group_sets){.set_count = 1u << size};
    for (uint32_t j = 0; j < size; j++) {
        uint32_t h = layout->group_hosts[first + j];
        uint8_t fix = fixing != NULL ? fixing[h] : ES_FIX_FREE;
        out->must |= (fix == ES_FIX_OPEN ? 1u : 0u) << j;
        out->may |= (fix != ES_FIX_CLOSED ? 1u : 0u) << j;
    }
    if (out->may == 0)
        return;
    for (uint32_t c = layout->group_cell_first[g]; c < layout->group_cell_first[g + 1]; c++)
        add_cell(layout, prices, at, c, out->gain, out->set_count);
    for (uint32_t set = 1; set < out->set_count; set++)
        for (uint32_t j = 0; j < size; j++)
            if ((set >> j & 1) != 0) {
                const es_host *host = &hosts[layout->group_hosts[first + j]];
                out->weight[set] += host->memory_bytes;
                out->gain[set] -= layout->problem->costless ? 0.0 : host->hosting_per_s;
            }
}

typedef struct node_case {
    es_knapsack knapsack;
    double base_value; /* of hosts fixed open */
    bool must;         /* there are some */
} node_case;

static void make_node_case(const es_layout *layout, const es_multipliers *prices,
                           const uint8_t *fixing, const es_relaxed *at, uint32_t v,
                           es_node_room *room, node_case *out)
{
    uint32_t first = layout->node_group_first[v];
    uint32_t count = layout->node_group_first[v + 1] - first;
    uint32_t item_count = 0;
    double total = 0.0;
    double capacity = layout->problem->memory_bytes[v] * (1.0 + MEMORY_SLACK);
    *out = (node_case){0};
    room->first[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        group_sets sets;
        value_group(layout, prices, fixing, at, first + i, &sets);
        out->base_value += sets.gain[sets.must];
        out->must = out->must || sets.must != 0;
        capacity -= sets.weight[sets.must];
        for (uint32_t set = 1; set < sets.set_count; set++) {
            if (set == sets.must || (set & sets.must) != sets.must || (set & ~sets.may) != 0)
                continue;
            room->items[item_count++] =
                (es_knapsack_item){.weight = sets.weight[set] - sets.weight[sets.must],
                                   .value = sets.gain[set] - sets.gain[sets.must],
                                   .set = (uint8_t)set};
            total += sets.weight[set];
        }
        room->first[i + 1] = item_count;
    }
    out->knapsack = (es_knapsack){.group_count = count,
                                  .first = room->first,
                                  .items = room->items,
                                  .capacity = fmin(capacity, total)};
}

/* Sets of hosts fixed open, where the knapsack chose nothing. */
static void fill_must(const es_layout *layout, const uint8_t *fixing, uint32_t v, uint8_t *choice)
{
    if (fixing == NULL)
        return;
    for (uint32_t g = layout->node_group_first[v]; g < layout->node_group_first[v + 1]; g++)
        for (uint32_t i = layout->group_host_first[g];
             choice[g] == 0 && i < layout->group_host_first[g + 1]; i++)
            if (fixing[layout->group_hosts[i]] == ES_FIX_OPEN) {
                uint32_t set = 0;
                for (uint32_t j = i; j < layout->group_host_first[g + 1]; j++)
                    if (fixing[layout->group_hosts[j]] == ES_FIX_OPEN)
                        set |= 1u << layout->host_position[layout->group_hosts[j]];
                choice[g] = (uint8_t)set;
            }
}

static void solve_node(const es_layout *layout, const es_multipliers *prices, const uint8_t *fixing,
                       uint32_t v, es_node_room *room, es_relaxed *out)
{
    node_case c;
    uint8_t *choice = out->group_choice + layout->node_group_first[v];
    make_node_case(layout, prices, fixing, out, v, room, &c);
    double on_cost = layout->problem->costless ? 0.0 : es_problem_on_cost(layout->problem, v);
    double value = c.base_value - on_cost;
    if (c.knapsack.group_count > 0)
        value += es_knapsack_solve(room->knapsack, &c.knapsack, choice);
    fill_must(layout, fixing, v, out->group_choice);
    if (value < 0.0 && !c.must) {
        value = 0.0;
        memset(choice, 0, c.knapsack.group_count);
    }
    out->node_value[v] = value;
}

typedef struct node_share {
    const es_layout *layout;
    const es_multipliers *prices;
    const uint8_t *fixing;
    es_node_room *room;
    es_relaxed *out;
} node_share;

static void solve_share(void *context, size_t i)
{
    const node_share *share = context;
    size_t count = share->layout->problem->node_count;
    size_t lanes = share->room->lane_count;
    for (size_t v = i * count / lanes; v < (i + 1) * count / lanes; v++)
        solve_node(share->layout, share->prices, share->fixing, (uint32_t)v, &share->room->lanes[i],
                   share->out);
}

static void solve_nodes(const es_layout *layout, const es_multipliers *prices,
                        const uint8_t *fixing, es_node_room *room, es_relaxed *out)
{
    node_share share = {layout, prices, fixing, room, out};
    if (room->lane_count > 1 &&
        es_pool_for(room->pool, room->lane_count, solve_share, &share, NULL) == ES_OK)
        return;
    for (uint32_t v = 0; v < layout->problem->node_count; v++)
        solve_node(layout, prices, fixing, v, room, out);
}

static void add_use(const es_layout *layout, uint32_t p, double share, es_multipliers *slope)
{
    const es_problem *problem = layout->problem;
    const es_path *path = &problem->paths[p];
    uint32_t r = layout->path_class[p];
    slope->pi[r] -= share;
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++)
        slope->mu[problem->hosts[problem->stage_hosts[k]].node.index] +=
            share * layout->rate[r] * problem->stage_loads[k];
    for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
        if (isfinite(problem->link_bps[problem->uses[i].row]))
            slope->gamma[problem->uses[i].row] += share * layout->rate[r] * problem->uses[i].bits /
                                                  problem->link_bps[problem->uses[i].row];
    if (layout->quality_binds[r])
        slope->kappa[r] -= share * (path->quality - problem->quality_min[r]);
    for (uint32_t i = layout->path_slot_first[p]; i < layout->path_slot_first[p + 1]; i++)
        slope->rho[layout->path_slots[i]] += share;
}

/* What a cell does under the chosen set of its group. */
static void follow_cell(const es_layout *layout, const es_multipliers *prices, uint32_t c,
                        uint32_t set, es_relaxed *out)
{
    double best = 0.0;
    double sum = 0.0;
    uint32_t taken = ES_INDEX_NONE;
    double pi = prices->pi[layout->cell_class[c]];
    for (uint32_t i = layout->cell_path_first[c]; i < layout->cell_path_first[c + 1]; i++) {
        double gain = pi - out->reduced[layout->cell_paths[i].path];
        if ((set >> layout->cell_paths[i].position & 1) != 0 && gain > best) {
            best = gain;
            taken = layout->cell_paths[i].path;
        }
    }
    for (uint32_t i = layout->cell_slot_first[c]; i < layout->cell_slot_first[c + 1]; i++)
        if ((set >> layout->slot_position[i] & 1) != 0)
            sum += prices->rho[i];
    if (best > sum) {
        add_use(layout, taken, 1.0, &out->slope);
        return;
    }
    for (uint32_t i = layout->cell_slot_first[c]; i < layout->cell_slot_first[c + 1]; i++)
        if ((set >> layout->slot_position[i] & 1) != 0)
            out->slope.rho[i] -= 1.0;
}

/* Refusal and longer paths of a class, at most one of them; what that costs beyond pi. */
static double solve_class(const es_layout *layout, const es_multipliers *prices,
                          const uint8_t *fixing, uint32_t r, es_relaxed *out)
{
    double *reduced = out->reduced;
    es_multipliers *slope = &out->slope;
    const es_problem *problem = layout->problem;
    double best = 0.0;
    uint32_t taken = ES_INDEX_NONE;
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        if (!layout->path_long[p])
            continue;
        bool closed = false;
        for (uint32_t i = layout->path_slot_first[p]; i < layout->path_slot_first[p + 1]; i++) {
            uint32_t slot = layout->path_slots[i];
            reduced[p] += prices->rho[slot];
            closed = closed || (fixing != NULL && fixing[layout->slot_host[slot]] == ES_FIX_CLOSED);
        }
        if (!closed && reduced[p] - prices->pi[r] < best) {
            best = reduced[p] - prices->pi[r];
            taken = p;
        }
    }
    slope->pi[r] = 1.0;
    if (layout->refusal[r] - prices->pi[r] < best) {
        slope->pi[r] = 0.0;
        return layout->refusal[r] - prices->pi[r];
    }
    if (taken != ES_INDEX_NONE)
        add_use(layout, taken, 1.0, slope);
    return best;
}

void es_relaxed_solve(const es_layout *layout, const es_multipliers *prices, const uint8_t *fixing,
                      es_node_room *room, es_relaxed *out)
{
    const es_problem *problem = layout->problem;
    double value = 0.0;
    double size = 0.0; /* of what is added up */
    memset(out->slope.all, 0, out->slope.count * sizeof *out->slope.all);
    es_price_paths(layout, prices, out->reduced);
    /* Classes first: they set the slope of pi, which nodes then take from. */
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double beyond = solve_class(layout, prices, fixing, r, out);
        value += prices->pi[r] + beyond;
        size += fabs(prices->pi[r]) + fabs(beyond) + prices->kappa[r];
    }
    solve_nodes(layout, prices, fixing, room, out);
    for (uint32_t v = 0; v < problem->node_count; v++) {
        value -= out->node_value[v];
        size += fabs(out->node_value[v]);
        for (uint32_t g = layout->node_group_first[v]; g < layout->node_group_first[v + 1]; g++)
            for (uint32_t c = layout->group_cell_first[g];
                 out->group_choice[g] != 0 && c < layout->group_cell_first[g + 1]; c++)
                follow_cell(layout, prices, c, out->group_choice[g], out);
        if (!isfinite(problem->compute_s[v])) {
            out->slope.mu[v] = 0.0;
            continue;
        }
        value -= prices->mu[v] * problem->compute_s[v];
        size += prices->mu[v] * problem->compute_s[v];
        out->slope.mu[v] -= problem->compute_s[v];
    }
    for (uint32_t i = 0; i < problem->link_row_count; i++) {
        if (!isfinite(problem->link_bps[i]))
            continue;
        value -= prices->gamma[i];
        size += prices->gamma[i];
        out->slope.gamma[i] -= 1.0;
    }
    out->value = value - ROUNDING * size;
}

void es_relaxed_probe(const es_layout *layout, const es_multipliers *prices, const uint8_t *fixing,
                      const es_relaxed *at, es_node_room *room, double *out_open,
                      double *out_closed)
{
    for (uint32_t v = 0; v < layout->problem->node_count; v++) {
        node_case c;
        make_node_case(layout, prices, fixing, at, v, room, &c);
        if (c.knapsack.group_count == 0)
            continue;
        es_knapsack_each(room->knapsack, &c.knapsack, room->with, room->without);
        double on_cost = layout->problem->costless ? 0.0 : es_problem_on_cost(layout->problem, v);
        double off = c.must ? -(double)INFINITY : 0.0; /* the node without any host */
        double rest = at->value + at->node_value[v];   /* the bound without this node */
        for (uint32_t i = 0; i < c.knapsack.group_count; i++) {
            uint32_t g = layout->node_group_first[v] + i;
            for (uint32_t q = layout->group_host_first[g]; q < layout->group_host_first[g + 1];
                 q++) {
                uint32_t h = layout->group_hosts[q];
                double in = -INFINITY;
                double out = room->without[i];
                for (uint32_t k = room->first[i]; k < room->first[i + 1]; k++) {
                    if ((room->items[k].set >> layout->host_position[h] & 1) != 0)
                        in = fmax(in, room->with[k]);
                    else
                        out = fmax(out, room->with[k]);
                }
                if (fixing != NULL && fixing[h] == ES_FIX_OPEN)
                    in = fmax(in, room->without[i]), out = -INFINITY;
                out_open[h] = rest - (in + c.base_value - on_cost);
                out_closed[h] = rest - fmax(off, out + c.base_value - on_cost);
            }
        }
    }
}
