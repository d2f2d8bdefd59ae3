/* Lays a problem out by node, group of hosts and class. */
#include "plan/decompose.h"

#include <math.h>

typedef struct layouter {
    es_arena *arena;
    const es_problem *problem;
    es_layout *layout;
    uint32_t *cell_of; /* [group_count] of the class at hand, where cell_mark says so */
    uint32_t *cell_mark;
    uint32_t *slot_of; /* [host_count] likewise */
    uint32_t *slot_mark;
    ES_ARRAY(uint32_t) cell_group; /* cells and slots as they are met, by class */
    ES_ARRAY(uint32_t) cell_class;
    ES_ARRAY(uint32_t) slot_cell;
    ES_ARRAY(uint32_t) slot_host;
    ES_ARRAY(uint32_t) path_slots;
    uint32_t *path_cell; /* [path_count] of paths of one host */
    es_error *err;
} layouter;

static es_status take_u32(layouter *l, uint32_t **out, size_t count)
{
    *out = ES_TAKE_ARRAY(l->arena, uint32_t, count);
    return *out != NULL ? ES_OK : es_arena_full(l->arena, "layout", l->err);
}

static es_status price_paths(layouter *l)
{
    const es_problem *problem = l->problem;
    es_layout *layout = l->layout;
    layout->path_cost = ES_TAKE_ARRAY(l->arena, double, problem->path_count);
    layout->refusal = ES_TAKE_ARRAY(l->arena, double, problem->class_count);
    layout->rate = ES_TAKE_ARRAY(l->arena, double, problem->class_count);
    layout->quality_binds = ES_TAKE_ARRAY(l->arena, bool, problem->class_count);
    layout->path_long = ES_TAKE_ARRAY(l->arena, bool, problem->path_count);
    if (layout->path_cost == NULL || layout->refusal == NULL || layout->rate == NULL ||
        layout->quality_binds == NULL || layout->path_long == NULL)
        return es_arena_full(l->arena, "layout", l->err);
    ES_TRY(take_u32(l, &layout->path_class, problem->path_count));
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double rate = es_problem_rate(problem, r);
        layout->rate[r] = rate;
        /* A class without requests costs nothing either way, but infinity times 0 is no number. */
        layout->refusal[r] = problem->class_off[r]              ? 0.0
                             : !isfinite(problem->refusal_cost) ? (double)INFINITY
                             : problem->costless                ? 0.0
                                                                : rate * problem->refusal_cost;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            const es_path *path = &problem->paths[p];
            layout->path_class[p] = r;
            layout->path_cost[p] = !es_path_allowed(problem, r, path) ? (double)INFINITY
                                   : problem->costless                ? 0.0
                                                                      : rate * path->cost;
            if (path->quality < problem->quality_min[r])
                layout->quality_binds[r] = true;
            for (uint32_t k = 1; k < path->stage_count; k++)
                if (problem->stage_hosts[path->stage_first + k] !=
                    problem->stage_hosts[path->stage_first])
                    layout->path_long[p] = true;
        }
    }
    return ES_OK;
}

static uint32_t find_root(uint32_t *parent, uint32_t h)
{
    while (parent[h] != h) {
        parent[h] = parent[parent[h]];
        h = parent[h];
    }
    return h;
}

/* Joins hosts of a node that one class may choose between. */
static es_status join_hosts(layouter *l, uint32_t *parent)
{
    const es_problem *problem = l->problem;
    uint32_t *first_here; /* host + 1 of the class at hand, by node */
    uint32_t *mark;
    ES_TRY(take_u32(l, &first_here, problem->node_count));
    ES_TRY(take_u32(l, &mark, problem->node_count));
    for (uint32_t h = 0; h < problem->host_count; h++)
        parent[h] = h;
    for (uint32_t p = 0; p < problem->path_count; p++) {
        uint32_t h = problem->stage_hosts[problem->paths[p].stage_first];
        uint32_t v = problem->hosts[h].node.index;
        uint32_t r = l->layout->path_class[p];
        if (l->layout->path_long[p])
            continue;
        if (mark[v] != r + 1) {
            mark[v] = r + 1;
            first_here[v] = h;
            continue;
        }
        uint32_t a = find_root(parent, first_here[v]);
        uint32_t b = find_root(parent, h);
        parent[a > b ? a : b] = a < b ? a : b;
    }
    return ES_OK;
}

/* Groups: hosts joined, in order of numbers, cut where they would be too many. */
static es_status make_groups(layouter *l)
{
    const es_problem *problem = l->problem;
    es_layout *layout = l->layout;
    uint32_t *parent;
    uint32_t *open_group; /* by root: group + 1 that still takes hosts */
    uint32_t *size;
    ES_TRY(take_u32(l, &parent, problem->host_count));
    ES_TRY(take_u32(l, &open_group, problem->host_count));
    ES_TRY(take_u32(l, &size, (size_t)problem->host_count + 1));
    ES_TRY(take_u32(l, &layout->node_group_first, (size_t)problem->node_count + 1));
    ES_TRY(take_u32(l, &layout->group_host_first, (size_t)problem->host_count + 2));
    ES_TRY(take_u32(l, &layout->group_hosts, problem->host_count));
    ES_TRY(take_u32(l, &layout->host_group, problem->host_count));
    ES_TRY(take_u32(l, &layout->host_position, problem->host_count));
    ES_TRY(join_hosts(l, parent));
    for (uint32_t v = 0; v < problem->node_count; v++) {
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++) {
            uint32_t h = problem->node_hosts[i];
            uint32_t root = find_root(parent, h);
            if (open_group[root] == 0)
                open_group[root] = ++layout->group_count;
            uint32_t g = open_group[root] - 1;
            layout->host_group[h] = g;
            layout->host_position[h] = size[g]++;
            if (size[g] == ES_CLUSTER_HOSTS_MAX)
                open_group[root] = 0;
        }
        layout->node_group_first[v + 1] = layout->group_count;
    }
    for (uint32_t g = 0; g < layout->group_count; g++)
        layout->group_host_first[g + 1] = layout->group_host_first[g] + size[g];
    for (uint32_t h = 0; h < problem->host_count; h++)
        layout->group_hosts[layout->group_host_first[layout->host_group[h]] +
                            layout->host_position[h]] = h;
    return ES_OK;
}

static es_status cell_of_host(layouter *l, uint32_t r, uint32_t h, uint32_t *out_cell)
{
    uint32_t g = l->layout->host_group[h];
    if (l->cell_mark[g] != r + 1) {
        l->cell_mark[g] = r + 1;
        l->cell_of[g] = (uint32_t)l->cell_group.count;
        ES_TRY(ES_ARRAY_PUSH(l->arena, &l->cell_group, g, "cells", l->err));
        ES_TRY(ES_ARRAY_PUSH(l->arena, &l->cell_class, r, "cells", l->err));
    }
    *out_cell = l->cell_of[g];
    return ES_OK;
}

static es_status add_slot(layouter *l, uint32_t r, uint32_t h)
{
    if (l->slot_mark[h] != r + 1) {
        uint32_t cell;
        l->slot_mark[h] = r + 1;
        l->slot_of[h] = (uint32_t)l->slot_cell.count;
        ES_TRY(cell_of_host(l, r, h, &cell));
        ES_TRY(ES_ARRAY_PUSH(l->arena, &l->slot_cell, cell, "slots", l->err));
        ES_TRY(ES_ARRAY_PUSH(l->arena, &l->slot_host, h, "slots", l->err));
    }
    return ES_ARRAY_PUSH(l->arena, &l->path_slots, l->slot_of[h], "slots", l->err);
}

/* The slots of a path, each host once. */
static es_status add_path_slots(layouter *l, uint32_t r, const es_path *path)
{
    const uint32_t *hosts = l->problem->stage_hosts + path->stage_first;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        bool again = false;
        for (uint32_t j = 0; j < k; j++)
            again = again || hosts[j] == hosts[k];
        if (!again)
            ES_TRY(add_slot(l, r, hosts[k]));
    }
    return ES_OK;
}

static es_status meet_cells(layouter *l)
{
    const es_problem *problem = l->problem;
    ES_TRY(take_u32(l, &l->cell_of, l->layout->group_count));
    ES_TRY(take_u32(l, &l->cell_mark, l->layout->group_count));
    ES_TRY(take_u32(l, &l->slot_of, problem->host_count));
    ES_TRY(take_u32(l, &l->slot_mark, problem->host_count));
    ES_TRY(take_u32(l, &l->path_cell, problem->path_count));
    ES_TRY(take_u32(l, &l->layout->path_slot_first, (size_t)problem->path_count + 1));
    for (uint32_t p = 0; p < problem->path_count; p++) {
        uint32_t r = l->layout->path_class[p];
        const es_path *path = &problem->paths[p];
        if (isfinite(l->layout->path_cost[p])) {
            if (l->layout->path_long[p])
                ES_TRY(add_path_slots(l, r, path));
            else
                ES_TRY(
                    cell_of_host(l, r, problem->stage_hosts[path->stage_first], &l->path_cell[p]));
        }
        l->layout->path_slot_first[p + 1] = (uint32_t)l->path_slots.count;
    }
    return ES_OK;
}

/* first[k + 1] counts key k: turns counts into places; place[i] of item i, in order of keys. */
static void sort_places(const uint32_t *keys, uint32_t count, uint32_t *first, uint32_t key_count,
                        uint32_t *place, uint32_t *next)
{
    for (uint32_t i = 0; i < count; i++)
        first[keys[i] + 1]++;
    for (uint32_t k = 0; k < key_count; k++)
        first[k + 1] += first[k];
    memcpy(next, first, key_count * sizeof *next);
    for (uint32_t i = 0; i < count; i++)
        place[i] = next[keys[i]]++;
}

/* Cells and slots renumbered by group and by cell. */
static es_status order_slots(layouter *l, const uint32_t *cell_place)
{
    es_layout *layout = l->layout;
    uint32_t *place;
    uint32_t *next;
    layout->slot_count = (uint32_t)l->slot_cell.count;
    ES_TRY(take_u32(l, &layout->cell_slot_first, (size_t)layout->cell_count + 1));
    ES_TRY(take_u32(l, &layout->slot_position, layout->slot_count));
    ES_TRY(take_u32(l, &layout->slot_host, layout->slot_count));
    ES_TRY(take_u32(l, &place, layout->slot_count));
    ES_TRY(take_u32(l, &next, layout->cell_count));
    for (uint32_t i = 0; i < layout->slot_count; i++)
        l->slot_cell.items[i] = cell_place[l->slot_cell.items[i]];
    sort_places(l->slot_cell.items, layout->slot_count, layout->cell_slot_first, layout->cell_count,
                place, next);
    for (uint32_t i = 0; i < layout->slot_count; i++) {
        layout->slot_host[place[i]] = l->slot_host.items[i];
        layout->slot_position[place[i]] = layout->host_position[l->slot_host.items[i]];
    }
    layout->path_slots = l->path_slots.items;
    for (size_t i = 0; i < l->path_slots.count; i++)
        layout->path_slots[i] = place[layout->path_slots[i]];
    return ES_OK;
}

static es_status order_cells(layouter *l)
{
    const es_problem *problem = l->problem;
    es_layout *layout = l->layout;
    uint32_t *place;
    uint32_t *next;
    layout->cell_count = (uint32_t)l->cell_group.count;
    uint32_t most =
        layout->cell_count > layout->group_count ? layout->cell_count : layout->group_count;
    ES_TRY(take_u32(l, &place, layout->cell_count));
    ES_TRY(take_u32(l, &next, most));
    ES_TRY(take_u32(l, &layout->group_cell_first, (size_t)layout->group_count + 1));
    ES_TRY(take_u32(l, &layout->cell_class, layout->cell_count));
    ES_TRY(take_u32(l, &layout->cell_path_first, (size_t)layout->cell_count + 1));
    sort_places(l->cell_group.items, layout->cell_count, layout->group_cell_first,
                layout->group_count, place, next);
    for (uint32_t c = 0; c < layout->cell_count; c++)
        layout->cell_class[place[c]] = l->cell_class.items[c];
    layout->cell_paths = ES_TAKE_ARRAY(l->arena, es_cell_path, problem->path_count);
    if (layout->cell_paths == NULL)
        return es_arena_full(l->arena, "layout", l->err);
    for (uint32_t p = 0; p < problem->path_count; p++)
        if (!layout->path_long[p] && isfinite(layout->path_cost[p]))
            layout->cell_path_first[place[l->path_cell[p]] + 1]++;
    for (uint32_t c = 0; c < layout->cell_count; c++)
        layout->cell_path_first[c + 1] += layout->cell_path_first[c];
    memcpy(next, layout->cell_path_first, layout->cell_count * sizeof *next);
    for (uint32_t p = 0; p < problem->path_count; p++) {
        if (layout->path_long[p] || !isfinite(layout->path_cost[p]))
            continue;
        uint32_t h = problem->stage_hosts[problem->paths[p].stage_first];
        layout->cell_paths[next[place[l->path_cell[p]]]++] =
            (es_cell_path){p, layout->host_position[h]};
    }
    return order_slots(l, place);
}

es_status es_layout_build(es_arena *arena, const es_problem *problem, es_layout *out_layout,
                          es_error *err)
{
    *out_layout = (es_layout){.problem = problem};
    layouter l = {.arena = arena, .problem = problem, .layout = out_layout, .err = err};
    ES_TRY(price_paths(&l));
    ES_TRY(make_groups(&l));
    ES_TRY(meet_cells(&l));
    return order_cells(&l);
}
