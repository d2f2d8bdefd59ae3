/*
 * Descent over nodes: the hosts of one node are chosen anew while all others stay, by the knapsack
 * of the relaxation but against what its classes would pay without it; a few neighbouring nodes are
 * emptied and filled again. Each class takes few paths, the cheapest at the prices of the
 * relaxation that have capacity left; what counts is the true cost. The best routing is left to the
 * caller.
 */
#include "plan/decompose.h"

#include <math.h>

enum { CLASS_GROUPS_MAX = 16, KICK_NODES_MAX = 6, KICK_SWEEPS = 1, PARTS_MAX = 3 };
/* What a class without any way costs: this many times its price. */
static const double LOST = 20.0;
static const double BETTER = 1e-10;
/* Smaller parts of a class are not worth it. */
static const double PART_MIN = 0.02;
/* Of the gains, when a node is filled again. */
static const double NOISE = 0.3;

/* What a class takes: parts of it over paths; what is left is refused. */
typedef struct taking {
    uint32_t count;
    uint32_t paths[PARTS_MAX];
    double shares[PARTS_MAX];
} taking;

/* What a node hosts and its classes take. */
typedef struct node_state {
    bool *on;      /* by host of the node */
    taking *taken; /* by class of the node */
} node_state;

/* Classes in the order in which they may come to a node. */
typedef struct turn_order {
    double density; /* gain per load */
    uint32_t class_index;
} turn_order;

struct es_descent {
    const es_layout *layout;
    es_rng rng;
    double *priced;  /* [path_count] cost at the prices; INFINITY: not for a class as a whole */
    double *refusal; /* [class_count] true cost; large where not allowed */
    bool *on;        /* [host_count] */
    uint32_t *uses;  /* [host_count] classes whose path takes it */
    taking *taken;   /* [class_count] */
    double *load;    /* [node_count] busy seconds per second */
    double *flow;    /* [link_row_count] bits per second */
    double value;    /* true cost per second */
    bool *undecided; /* [node_count] emptied, to be filled again */
    uint32_t *node_class_first; /* [node_count + 1] */
    uint32_t *node_classes;
    es_node_room room;
    double *set_gain;  /* [groups of a node][ES_CLUSTER_SETS] */
    uint8_t *sets;     /* [groups of a node] */
    double *without;   /* [class_max] what classes of the node at hand pay without it, priced */
    turn_order *order; /* [class_max] */
    node_state before;
    node_state kept[KICK_NODES_MAX];
};

/* ---- which classes a node may serve ---- */

static es_status list_node_classes(es_descent *d, es_arena *arena, es_error *err)
{
    const es_layout *layout = d->layout;
    const es_problem *problem = layout->problem;
    uint32_t *mark = ES_TAKE_ARRAY(arena, uint32_t, problem->class_count);
    ES_ARRAY(uint32_t) classes = {0};
    d->node_class_first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)problem->node_count + 1);
    if (mark == NULL || d->node_class_first == NULL)
        return es_arena_full(arena, "descent", err);
    for (uint32_t v = 0; v < problem->node_count; v++) {
        uint32_t first = layout->group_cell_first[layout->node_group_first[v]];
        uint32_t end = layout->group_cell_first[layout->node_group_first[v + 1]];
        for (uint32_t c = first; c < end; c++) {
            uint32_t r = layout->cell_class[c];
            if (mark[r] == v + 1)
                continue;
            mark[r] = v + 1;
            ES_TRY(ES_ARRAY_PUSH(arena, &classes, r, "classes of nodes", err));
        }
        d->node_class_first[v + 1] = (uint32_t)classes.count;
    }
    d->node_classes = classes.items;
    return ES_OK;
}

static es_status take_state(es_arena *arena, uint32_t host_max, uint32_t class_max, node_state *out,
                            es_error *err)
{
    out->on = ES_TAKE_ARRAY(arena, bool, host_max);
    out->taken = ES_TAKE_ARRAY(arena, taking, class_max);
    if (out->on == NULL || out->taken == NULL)
        return es_arena_full(arena, "descent", err);
    return ES_OK;
}

static es_status take_node_arrays(es_descent *d, es_arena *arena, es_error *err)
{
    const es_layout *layout = d->layout;
    const es_problem *problem = layout->problem;
    uint32_t group_max = 0;
    uint32_t host_max = 0;
    uint32_t class_max = 0;
    for (uint32_t v = 0; v < problem->node_count; v++) {
        uint32_t groups = layout->node_group_first[v + 1] - layout->node_group_first[v];
        uint32_t hosts = problem->node_host_first[v + 1] - problem->node_host_first[v];
        uint32_t classes = d->node_class_first[v + 1] - d->node_class_first[v];
        group_max = groups > group_max ? groups : group_max;
        host_max = hosts > host_max ? hosts : host_max;
        class_max = classes > class_max ? classes : class_max;
    }
    d->set_gain = ES_TAKE_ARRAY(arena, double, (size_t)group_max *ES_CLUSTER_SETS);
    d->sets = ES_TAKE_ARRAY(arena, uint8_t, group_max);
    d->without = ES_TAKE_ARRAY(arena, double, class_max);
    d->order = ES_TAKE_ARRAY(arena, turn_order, class_max);
    if (d->set_gain == NULL || d->sets == NULL || d->without == NULL || d->order == NULL)
        return es_arena_full(arena, "descent", err);
    ES_TRY(take_state(arena, host_max, class_max, &d->before, err));
    for (int i = 0; i < KICK_NODES_MAX; i++)
        ES_TRY(take_state(arena, host_max, class_max, &d->kept[i], err));
    return ES_OK;
}

es_status es_descent_new(es_arena *arena, const es_layout *layout, uint64_t seed,
                         es_descent **out_descent, es_error *err)
{
    const es_problem *problem = layout->problem;
    es_descent *d = ES_TAKE_ONE(arena, es_descent);
    if (d == NULL)
        return es_arena_full(arena, "descent", err);
    *d = (es_descent){.layout = layout, .rng = es_rng_make(seed, 23)};
    d->priced = ES_TAKE_ARRAY(arena, double, problem->path_count);
    d->refusal = ES_TAKE_ARRAY(arena, double, problem->class_count);
    d->on = ES_TAKE_ARRAY(arena, bool, problem->host_count);
    d->uses = ES_TAKE_ARRAY(arena, uint32_t, problem->host_count);
    d->taken = ES_TAKE_ARRAY(arena, taking, problem->class_count);
    d->load = ES_TAKE_ARRAY(arena, double, problem->node_count);
    d->flow = ES_TAKE_ARRAY(arena, double, problem->link_row_count);
    d->undecided = ES_TAKE_ARRAY(arena, bool, problem->node_count);
    if (d->priced == NULL || d->refusal == NULL || d->on == NULL || d->uses == NULL ||
        d->taken == NULL || d->load == NULL || d->flow == NULL || d->undecided == NULL)
        return es_arena_full(arena, "descent", err);
    ES_TRY(list_node_classes(d, arena, err));
    ES_TRY(take_node_arrays(d, arena, err));
    ES_TRY(es_node_room_new(arena, layout, &d->room, err));
    *out_descent = d;
    return ES_OK;
}

/* ---- what classes take ---- */

/* Adds a part of class r over a path (sign 1) or takes it away (-1). */
static void put_part(es_descent *d, uint32_t r, uint32_t p, double share, double sign)
{
    const es_problem *problem = d->layout->problem;
    const es_path *path = &problem->paths[p];
    double flow = sign * share * d->layout->rate[r];
    d->value += sign * share * d->layout->path_cost[p];
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++) {
        uint32_t h = problem->stage_hosts[k];
        d->uses[h] = sign > 0.0 ? d->uses[h] + 1 : d->uses[h] - 1;
        d->load[problem->hosts[h].node.index] += flow * problem->stage_loads[k];
    }
    for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
        d->flow[problem->uses[i].row] += flow * problem->uses[i].bits;
}

/* Adds or takes away all that class r takes, with its refusal. */
static void put(es_descent *d, uint32_t r, double sign)
{
    const taking *t = &d->taken[r];
    double left = 1.0;
    for (uint32_t i = 0; i < t->count; i++) {
        put_part(d, r, t->paths[i], t->shares[i], sign);
        left -= t->shares[i];
    }
    d->value += sign * left * d->refusal[r];
}

/* The largest part of class r, up to 1, that fits beside all else. */
static double share_room(const es_descent *d, uint32_t r, const es_path *path)
{
    const es_problem *problem = d->layout->problem;
    const uint32_t *hosts = problem->stage_hosts + path->stage_first;
    const double *loads = problem->stage_loads + path->stage_first;
    double rate = d->layout->rate[r];
    double room = 1.0;
    for (uint32_t k = 0; k < path->stage_count; k++)
        if (!d->on[hosts[k]])
            return 0.0;
    for (uint32_t k = 0; room > 0.0 && k < path->stage_count; k++) {
        uint32_t v = problem->hosts[hosts[k]].node.index;
        double load = 0.0;
        for (uint32_t j = 0; j < path->stage_count; j++)
            if (problem->hosts[hosts[j]].node.index == v)
                load += rate * loads[j];
        double left = problem->compute_s[v] - d->load[v];
        if (load * room > left)
            room = left / load;
    }
    for (uint32_t i = path->use_first; room > 0.0 && i < path->use_first + path->use_count; i++) {
        double left = problem->link_bps[problem->uses[i].row] - d->flow[problem->uses[i].row];
        if (rate * problem->uses[i].bits * room > left)
            room = left / (rate * problem->uses[i].bits);
    }
    return room > PART_MIN ? room : 0.0;
}

/* Class r, which takes nothing, takes the cheapest paths at the prices that have room. */
static void assign(es_descent *d, uint32_t r)
{
    const es_problem *problem = d->layout->problem;
    taking *t = &d->taken[r];
    double left = 1.0;
    for (t->count = 0; t->count < PARTS_MAX && left > PART_MIN; t->count++) {
        double best = d->refusal[r];
        double share = 0.0;
        uint32_t found = ES_INDEX_NONE;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            if (d->priced[p] >= best)
                continue;
            double room = share_room(d, r, &problem->paths[p]);
            if (room <= 0.0)
                continue;
            best = d->priced[p];
            share = fmin(room, left);
            found = p;
        }
        if (found == ES_INDEX_NONE)
            break;
        t->paths[t->count] = found;
        t->shares[t->count] = share;
        put_part(d, r, found, share, 1.0);
        left -= share;
    }
    d->value += left * d->refusal[r];
}

/* Hosting and idling of a node. */
static double node_cost(const es_descent *d, uint32_t v)
{
    const es_problem *problem = d->layout->problem;
    double cost = 0.0;
    bool any = false;
    for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++) {
        uint32_t h = problem->node_hosts[i];
        if (!d->on[h])
            continue;
        any = true;
        cost += problem->hosts[h].hosting_per_s;
    }
    return cost + (any ? es_problem_on_cost(problem, v) : 0.0);
}

static void set_prices(es_descent *d, const es_multipliers *prices)
{
    const es_layout *layout = d->layout;
    const es_problem *problem = layout->problem;
    es_price_paths(layout, prices, d->priced);
    for (uint32_t r = 0; r < problem->class_count; r++) {
        d->refusal[r] =
            isfinite(layout->refusal[r]) ? layout->refusal[r] : LOST * fabs(prices->pi[r]) + 1.0;
        if (!layout->quality_binds[r])
            continue;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (problem->paths[p].quality < problem->quality_min[r])
                d->priced[p] = INFINITY;
    }
}

void es_descent_start(es_descent *d, const es_multipliers *prices, const es_solution *solution)
{
    const es_problem *problem = d->layout->problem;
    set_prices(d, prices);
    memcpy(d->on, solution->host_on, problem->host_count * sizeof *d->on);
    memset(d->uses, 0, problem->host_count * sizeof *d->uses);
    memset(d->load, 0, problem->node_count * sizeof *d->load);
    memset(d->flow, 0, problem->link_row_count * sizeof *d->flow);
    d->value = 0.0;
    for (uint32_t v = 0; v < problem->node_count; v++)
        d->value += node_cost(d, v);
    /* The paths with the largest shares; capacities hold since they do in the solution. */
    for (uint32_t r = 0; r < problem->class_count; r++) {
        taking *t = &d->taken[r];
        t->count = 0;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (solution->shares[p] > PART_MIN && isfinite(d->priced[p]) && t->count < PARTS_MAX) {
                t->paths[t->count] = p;
                t->shares[t->count++] = solution->shares[p];
            }
        put(d, r, 1.0);
    }
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double left = 1.0;
        for (uint32_t i = 0; i < d->taken[r].count; i++)
            left -= d->taken[r].shares[i];
        if (left <= PART_MIN)
            continue;
        put(d, r, -1.0);
        assign(d, r);
    }
}

double es_descent_value(const es_descent *d)
{
    return d->value;
}

const bool *es_descent_hosts(const es_descent *d)
{
    return d->on;
}

/* ---- a node as it is, to come back to ---- */

static void save_node(const es_descent *d, uint32_t v, node_state *out)
{
    const es_problem *problem = d->layout->problem;
    uint32_t first = problem->node_host_first[v];
    for (uint32_t i = first; i < problem->node_host_first[v + 1]; i++)
        out->on[i - first] = d->on[problem->node_hosts[i]];
    first = d->node_class_first[v];
    for (uint32_t i = first; i < d->node_class_first[v + 1]; i++)
        out->taken[i - first] = d->taken[d->node_classes[i]];
}

static void restore_node(es_descent *d, uint32_t v, const node_state *saved)
{
    const es_problem *problem = d->layout->problem;
    uint32_t first = problem->node_host_first[v];
    for (uint32_t i = first; i < problem->node_host_first[v + 1]; i++)
        d->on[problem->node_hosts[i]] = saved->on[i - first];
    first = d->node_class_first[v];
    for (uint32_t i = first; i < d->node_class_first[v + 1]; i++) {
        uint32_t r = d->node_classes[i];
        put(d, r, -1.0);
        d->taken[r] = saved->taken[i - first];
        put(d, r, 1.0);
    }
}

/* ---- one node ---- */

/* What a class could do over the hosts of one group. */
typedef struct choice {
    uint32_t group;
    double cost[ES_CLUSTER_SETS]; /* cheapest with these hosts, all others as they are */
} choice;

typedef struct choices {
    uint32_t count;
    choice items[CLASS_GROUPS_MAX];
} choices;

static choice *choice_of(choices *all, uint32_t group)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (all->items[i].group == group)
            return &all->items[i];
    if (all->count == CLASS_GROUPS_MAX)
        return NULL;
    choice *c = &all->items[all->count++];
    c->group = group;
    for (uint32_t set = 0; set < ES_CLUSTER_SETS; set++)
        c->cost[set] = INFINITY;
    return c;
}

/* A path that is open but for hosts of v: counts for each group it takes of v, where what it takes
 * of other groups is on. */
static void note_path(const es_descent *d, uint32_t v, const es_path *path, double cost,
                      choices *all)
{
    const es_layout *layout = d->layout;
    const es_problem *problem = layout->problem;
    const uint32_t *hosts = problem->stage_hosts + path->stage_first;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        if (problem->hosts[hosts[k]].node.index != v)
            continue;
        uint32_t group = layout->host_group[hosts[k]];
        uint32_t set = 0;
        bool possible = true;
        for (uint32_t j = 0; j < path->stage_count; j++) {
            if (problem->hosts[hosts[j]].node.index != v)
                continue;
            if (layout->host_group[hosts[j]] == group)
                set |= 1u << layout->host_position[hosts[j]];
            else
                possible = possible && d->on[hosts[j]];
        }
        choice *c = possible ? choice_of(all, group) : NULL;
        if (c != NULL)
            c->cost[set] = fmin(c->cost[set], cost);
    }
}

static bool path_uses(const es_problem *problem, uint32_t p, uint32_t v)
{
    const es_path *path = &problem->paths[p];
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++)
        if (problem->hosts[problem->stage_hosts[k]].node.index == v)
            return true;
    return false;
}

/* What class r pays at the prices for what it takes. */
static double priced_cost(const es_descent *d, uint32_t r)
{
    const taking *t = &d->taken[r];
    double cost = d->refusal[r];
    for (uint32_t i = 0; i < t->count; i++)
        cost += t->shares[i] * (d->priced[t->paths[i]] - d->refusal[r]);
    return cost;
}

/* The part of a path's gain that is due to v: all of it, unless it takes other nodes that are still
 * undecided; then by memory. 0: it does not take v, or cannot be taken. */
static double part_of_node(const es_descent *d, uint32_t v, const es_path *path)
{
    const es_problem *problem = d->layout->problem;
    double here = 0.0;
    double total = 0.0;
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++) {
        uint32_t h = problem->stage_hosts[k];
        uint32_t at = problem->hosts[h].node.index;
        double bytes = problem->hosts[h].memory_bytes + 1e-9;
        if (at != v && !d->on[h] && !d->undecided[at])
            return 0.0;
        if (at == v)
            here += bytes;
        if (at == v || !d->on[h])
            total += bytes;
    }
    return here > 0.0 ? here / total : 0.0;
}

/* Gains of the groups of v by what class r saves against doing without v, which it returns. */
static double add_class(es_descent *d, uint32_t v, uint32_t r)
{
    const es_layout *layout = d->layout;
    const es_problem *problem = layout->problem;
    choices all;
    all.count = 0;
    double without = priced_cost(d, r);
    bool elsewhere = without < d->refusal[r];
    for (uint32_t p = problem->class_paths[r]; !elsewhere && p < problem->class_paths[r + 1]; p++)
        if (d->priced[p] < without && !path_uses(problem, p, v) &&
            share_room(d, r, &problem->paths[p]) > 0.0)
            without = d->priced[p];
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        double part = 0.0;
        if (d->priced[p] < without)
            part = part_of_node(d, v, &problem->paths[p]);
        if (part > 0.0)
            note_path(d, v, &problem->paths[p], without - part * (without - d->priced[p]), &all);
    }
    for (uint32_t i = 0; i < all.count; i++) {
        choice *c = &all.items[i];
        double *gain =
            d->set_gain + (size_t)(c->group - layout->node_group_first[v]) * ES_CLUSTER_SETS;
        for (uint32_t set = 1; set < ES_CLUSTER_SETS; set++) {
            for (uint32_t j = 0; j < ES_CLUSTER_HOSTS_MAX; j++)
                if ((set >> j & 1) != 0)
                    c->cost[set] = fmin(c->cost[set], c->cost[set & ~(1u << j)]);
            if (c->cost[set] < without)
                gain[set] += without - c->cost[set];
        }
    }
    return without;
}

/* The hosts of v that gain most within its memory: d->sets. */
static void choose_sets(es_descent *d, uint32_t v, double noise)
{
    const es_layout *layout = d->layout;
    const es_problem *problem = layout->problem;
    uint32_t first = layout->node_group_first[v];
    uint32_t count = layout->node_group_first[v + 1] - first;
    uint32_t item_count = 0;
    double total = 0.0;
    d->room.first[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t begin = layout->group_host_first[first + i];
        uint32_t size = layout->group_host_first[first + i + 1] - begin;
        double factor = noise > 0.0 ? 1.0 + noise * (2.0 * es_rng_double(&d->rng) - 1.0) : 1.0;
        for (uint32_t set = 1; set < 1u << size; set++) {
            es_knapsack_item item = {.value =
                                         factor * d->set_gain[(size_t)i * ES_CLUSTER_SETS + set],
                                     .set = (uint8_t)set};
            for (uint32_t j = 0; j < size; j++)
                if ((set >> j & 1) != 0) {
                    const es_host *host = &problem->hosts[layout->group_hosts[begin + j]];
                    item.weight += host->memory_bytes;
                    item.value -= host->hosting_per_s;
                }
            if (item.value <= 0.0)
                continue;
            d->room.items[item_count++] = item;
            total += item.weight;
        }
        d->room.first[i + 1] = item_count;
    }
    const es_knapsack knapsack = {.group_count = count,
                                  .first = d->room.first,
                                  .items = d->room.items,
                                  .capacity = fmin(problem->memory_bytes[v], total)};
    (void)es_knapsack_solve(d->room.knapsack, &knapsack, d->sets);
}

/* Turns the hosts of v to d->sets. */
static void turn(es_descent *d, uint32_t v)
{
    const es_layout *layout = d->layout;
    uint32_t first = layout->node_group_first[v];
    for (uint32_t g = first; g < layout->node_group_first[v + 1]; g++)
        for (uint32_t i = layout->group_host_first[g]; i < layout->group_host_first[g + 1]; i++)
            d->on[layout->group_hosts[i]] =
                (d->sets[g - first] >> layout->host_position[layout->group_hosts[i]] & 1) != 0;
}

static int compare_turns(const void *left, const void *right)
{
    const turn_order *a = left;
    const turn_order *b = right;
    if (a->density != b->density)
        return a->density > b->density ? -1 : 1;
    return a->class_index < b->class_index ? -1 : a->class_index > b->class_index;
}

/* What class r gains over v per busy second of v; below 0: it does not come. */
static double density_at(const es_descent *d, uint32_t v, uint32_t r, double without)
{
    const es_problem *problem = d->layout->problem;
    double best = 0.0;
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        const es_path *path = &problem->paths[p];
        const uint32_t *hosts = problem->stage_hosts + path->stage_first;
        bool open = d->priced[p] < without;
        double load = 0.0;
        for (uint32_t k = 0; open && k < path->stage_count; k++) {
            open = d->on[hosts[k]];
            if (problem->hosts[hosts[k]].node.index == v)
                load += problem->stage_loads[path->stage_first + k] * d->layout->rate[r];
        }
        if (open && load > 0.0)
            best = fmax(best, (without - d->priced[p]) / load);
    }
    return best;
}

/* Lets classes come to v, those with the largest gain per load first. */
static void fill_node(es_descent *d, uint32_t v)
{
    uint32_t first = d->node_class_first[v];
    uint32_t count = 0;
    for (uint32_t i = first; i < d->node_class_first[v + 1]; i++) {
        uint32_t r = d->node_classes[i];
        double density = density_at(d, v, r, d->without[i - first]);
        if (density > 0.0 || d->taken[r].count == 0)
            d->order[count++] = (turn_order){density, r};
    }
    if (count > 1)
        qsort(d->order, count, sizeof *d->order, compare_turns);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = d->order[i].class_index;
        put(d, r, -1.0);
        assign(d, r);
    }
}

static void drop_unused(es_descent *d, uint32_t v)
{
    const es_problem *problem = d->layout->problem;
    for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++) {
        uint32_t h = problem->node_hosts[i];
        d->on[h] = d->on[h] && d->uses[h] > 0;
    }
}

/* Classes that take v in part are refused for now. */
static void send_away(es_descent *d, uint32_t v)
{
    for (uint32_t i = d->node_class_first[v]; i < d->node_class_first[v + 1]; i++) {
        uint32_t r = d->node_classes[i];
        bool here = false;
        for (uint32_t k = 0; k < d->taken[r].count; k++)
            here = here || path_uses(d->layout->problem, d->taken[r].paths[k], v);
        if (!here)
            continue;
        put(d, r, -1.0);
        d->taken[r].count = 0;
        put(d, r, 1.0);
    }
}

/* The hosts of v, which serves nobody now, and who takes them. Value without v's hosting. */
static void choose_node(es_descent *d, uint32_t v, double noise)
{
    const es_layout *layout = d->layout;
    uint32_t count = layout->node_group_first[v + 1] - layout->node_group_first[v];
    uint32_t first = d->node_class_first[v];
    memset(d->set_gain, 0, (size_t)count * ES_CLUSTER_SETS * sizeof *d->set_gain);
    for (uint32_t i = first; i < d->node_class_first[v + 1]; i++)
        d->without[i - first] = add_class(d, v, d->node_classes[i]);
    choose_sets(d, v, noise);
    turn(d, v);
    fill_node(d, v);
}

/* Chooses the hosts of v anew; true: that was better. */
static bool improve_node(es_descent *d, uint32_t v)
{
    double value = d->value;
    if (d->node_class_first[v + 1] == d->node_class_first[v])
        return false;
    save_node(d, v, &d->before);
    d->value -= node_cost(d, v);
    send_away(d, v);
    choose_node(d, v, 0.0);
    drop_unused(d, v);
    d->value += node_cost(d, v);
    if (d->value < value - BETTER * fabs(value))
        return true;
    restore_node(d, v, &d->before);
    d->value = value;
    return false;
}

void es_descent_sweep(es_descent *d, uint32_t sweep_max)
{
    const es_problem *problem = d->layout->problem;
    bool better = true;
    for (uint32_t sweep = 0; better && sweep < sweep_max; sweep++) {
        better = false;
        for (uint32_t v = 0; v < problem->node_count; v++)
            better = improve_node(d, v) || better;
    }
}

/* ---- a few nodes together ---- */

/* A node of another host of a path over some node of those taken. */
static uint32_t draw_neighbour(es_descent *d, uint32_t v)
{
    const es_problem *problem = d->layout->problem;
    uint32_t classes = d->node_class_first[v + 1] - d->node_class_first[v];
    if (classes == 0)
        return v;
    uint32_t r = d->node_classes[d->node_class_first[v] + es_rng_below(&d->rng, classes)];
    uint32_t paths = problem->class_paths[r + 1] - problem->class_paths[r];
    const es_path *path =
        &problem->paths[problem->class_paths[r] + (uint32_t)es_rng_below(&d->rng, paths)];
    uint32_t k = (uint32_t)es_rng_below(&d->rng, path->stage_count);
    return problem->hosts[problem->stage_hosts[path->stage_first + k]].node.index;
}

static uint32_t draw_nodes(es_descent *d, uint32_t *nodes)
{
    enum { TRIES = 24 };
    const es_problem *problem = d->layout->problem;
    uint32_t want = 2 + (uint32_t)es_rng_below(&d->rng, KICK_NODES_MAX - 1);
    uint32_t count = 1;
    nodes[0] = (uint32_t)es_rng_below(&d->rng, problem->node_count);
    for (int i = 0; i < TRIES && count < want; i++) {
        uint32_t v = draw_neighbour(d, nodes[es_rng_below(&d->rng, count)]);
        bool taken = !isfinite(problem->memory_bytes[v]);
        for (uint32_t j = 0; j < count; j++)
            taken = taken || nodes[j] == v;
        if (!taken)
            nodes[count++] = v;
    }
    return isfinite(problem->memory_bytes[nodes[0]]) ? count : 0;
}

/* Closes all of v; its classes go where they can. */
static void empty_node(es_descent *d, uint32_t v)
{
    const es_layout *layout = d->layout;
    d->value -= node_cost(d, v);
    send_away(d, v);
    memset(d->sets, 0, layout->node_group_first[v + 1] - layout->node_group_first[v]);
    turn(d, v);
    d->undecided[v] = true;
}

bool es_descent_kick(es_descent *d, double temperature)
{
    uint32_t nodes[KICK_NODES_MAX];
    uint32_t count = draw_nodes(d, nodes);
    double value = d->value;
    node_state saved[KICK_NODES_MAX];
    if (count == 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        saved[i] = d->kept[i];
        save_node(d, nodes[i], &saved[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        empty_node(d, nodes[i]);
    /* Filled in another order than drawn. */
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)es_rng_below(&d->rng, i + 1);
        uint32_t v = nodes[i];
        node_state s = saved[i];
        nodes[i] = nodes[j];
        saved[i] = saved[j];
        nodes[j] = v;
        saved[j] = s;
    }
    for (uint32_t i = 0; i < count; i++) {
        d->undecided[nodes[i]] = false;
        choose_node(d, nodes[i], NOISE);
    }
    for (uint32_t i = 0; i < count; i++) {
        drop_unused(d, nodes[i]);
        d->value += node_cost(d, nodes[i]);
    }
    for (uint32_t sweep = 0; sweep < KICK_SWEEPS; sweep++)
        for (uint32_t i = 0; i < count; i++)
            (void)improve_node(d, nodes[i]);
    double limit = value - BETTER * fabs(value);
    if (temperature > 0.0)
        limit = value - temperature * log(1.0 - es_rng_double(&d->rng));
    if (d->value < limit)
        return true;
    for (uint32_t i = 0; i < count; i++)
        restore_node(d, nodes[i], &saved[i]);
    d->value = value;
    return false;
}
