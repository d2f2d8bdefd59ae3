/*
 * Descent over nodes: the hosts of one node are chosen anew while all others stay, by the knapsack
 * of the relaxation but against what its classes would pay without it; a few neighbouring nodes are
 * emptied and filled again. Each class takes few paths, the cheapest at the prices of the
 * relaxation that have capacity left; what counts is the true cost. The best routing is left to the
 * caller.
 */
#include "plan/descent.h"

#include <math.h>

enum { CLASS_GROUPS_MAX = 16, KICK_SWEEPS = 1 };
static const double BETTER = 1e-10;
/* Of the gains, when a node is filled again. */
static const double NOISE = 0.3;

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
    const es_taking *t = &d->taken[r];
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
            es_descent_room(d, r, &problem->paths[p]) > 0.0)
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
    const es_turn_order *a = left;
    const es_turn_order *b = right;
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
            d->order[count++] = (es_turn_order){density, r};
    }
    if (count > 1)
        qsort(d->order, count, sizeof *d->order, compare_turns);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = d->order[i].class_index;
        es_descent_put(d, r, -1.0);
        es_descent_assign(d, r);
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
        es_descent_put(d, r, -1.0);
        d->taken[r].count = 0;
        es_descent_put(d, r, 1.0);
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
    es_descent_save(d, v, &d->before);
    d->value -= es_descent_node_cost(d, v);
    send_away(d, v);
    choose_node(d, v, 0.0);
    drop_unused(d, v);
    d->value += es_descent_node_cost(d, v);
    if (d->value < value - BETTER * fabs(value))
        return true;
    es_descent_restore(d, v, &d->before);
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
    uint32_t want = 2 + (uint32_t)es_rng_below(&d->rng, ES_KICK_NODES_MAX - 1);
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
    d->value -= es_descent_node_cost(d, v);
    send_away(d, v);
    memset(d->sets, 0, layout->node_group_first[v + 1] - layout->node_group_first[v]);
    turn(d, v);
    d->undecided[v] = true;
}

bool es_descent_kick(es_descent *d, double temperature)
{
    uint32_t nodes[ES_KICK_NODES_MAX];
    uint32_t count = draw_nodes(d, nodes);
    double value = d->value;
    es_node_state saved[ES_KICK_NODES_MAX];
    if (count == 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        saved[i] = d->kept[i];
        es_descent_save(d, nodes[i], &saved[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        empty_node(d, nodes[i]);
    /* Filled in another order than drawn. */
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)es_rng_below(&d->rng, i + 1);
        uint32_t v = nodes[i];
        es_node_state s = saved[i];
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
        d->value += es_descent_node_cost(d, nodes[i]);
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
        es_descent_restore(d, nodes[i], &saved[i]);
    d->value = value;
    return false;
}
