/* What a descent knows: hosts, what classes take of them, and how full all is. */
#include "plan/descent.h"

#include <math.h>

/* What a class without any way costs: this many times its price. */
static const double LOST = 20.0;
/* Smaller parts of a class are not worth it. */
static const double PART_MIN = 0.02;

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

static es_status take_state(es_arena *arena, uint32_t host_max, uint32_t class_max,
                            es_node_state *out, es_error *err)
{
    out->on = ES_TAKE_ARRAY(arena, bool, host_max);
    out->taken = ES_TAKE_ARRAY(arena, es_taking, class_max);
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
    d->order = ES_TAKE_ARRAY(arena, es_turn_order, class_max);
    if (d->set_gain == NULL || d->sets == NULL || d->without == NULL || d->order == NULL)
        return es_arena_full(arena, "descent", err);
    ES_TRY(take_state(arena, host_max, class_max, &d->before, err));
    for (int i = 0; i < ES_KICK_NODES_MAX; i++)
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
    d->taken = ES_TAKE_ARRAY(arena, es_taking, problem->class_count);
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

void es_descent_put(es_descent *d, uint32_t r, double sign)
{
    const es_taking *t = &d->taken[r];
    double left = 1.0;
    for (uint32_t i = 0; i < t->count; i++) {
        put_part(d, r, t->paths[i], t->shares[i], sign);
        left -= t->shares[i];
    }
    d->value += sign * left * d->refusal[r];
}

double es_descent_room(const es_descent *d, uint32_t r, const es_path *path)
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

void es_descent_assign(es_descent *d, uint32_t r)
{
    const es_problem *problem = d->layout->problem;
    es_taking *t = &d->taken[r];
    double left = 1.0;
    for (t->count = 0; t->count < ES_PARTS_MAX && left > PART_MIN; t->count++) {
        double best = d->refusal[r];
        double share = 0.0;
        uint32_t found = ES_INDEX_NONE;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            if (d->priced[p] >= best)
                continue;
            double room = es_descent_room(d, r, &problem->paths[p]);
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

double es_descent_node_cost(const es_descent *d, uint32_t v)
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
        d->value += es_descent_node_cost(d, v);
    /* The paths with the largest shares; capacities hold since they do in the solution. */
    for (uint32_t r = 0; r < problem->class_count; r++) {
        es_taking *t = &d->taken[r];
        t->count = 0;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (solution->shares[p] > PART_MIN && isfinite(d->priced[p]) &&
                t->count < ES_PARTS_MAX) {
                t->paths[t->count] = p;
                t->shares[t->count++] = solution->shares[p];
            }
        es_descent_put(d, r, 1.0);
    }
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double left = 1.0;
        for (uint32_t i = 0; i < d->taken[r].count; i++)
            left -= d->taken[r].shares[i];
        if (left <= PART_MIN)
            continue;
        es_descent_put(d, r, -1.0);
        es_descent_assign(d, r);
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

void es_descent_save(const es_descent *d, uint32_t v, es_node_state *out)
{
    const es_problem *problem = d->layout->problem;
    uint32_t first = problem->node_host_first[v];
    for (uint32_t i = first; i < problem->node_host_first[v + 1]; i++)
        out->on[i - first] = d->on[problem->node_hosts[i]];
    first = d->node_class_first[v];
    for (uint32_t i = first; i < d->node_class_first[v + 1]; i++)
        out->taken[i - first] = d->taken[d->node_classes[i]];
}

void es_descent_restore(es_descent *d, uint32_t v, const es_node_state *saved)
{
    const es_problem *problem = d->layout->problem;
    uint32_t first = problem->node_host_first[v];
    for (uint32_t i = first; i < problem->node_host_first[v + 1]; i++)
        d->on[problem->node_hosts[i]] = saved->on[i - first];
    first = d->node_class_first[v];
    for (uint32_t i = first; i < d->node_class_first[v + 1]; i++) {
        uint32_t r = d->node_classes[i];
        es_descent_put(d, r, -1.0);
        d->taken[r] = saved->taken[i - first];
        es_descent_put(d, r, 1.0);
    }
}
