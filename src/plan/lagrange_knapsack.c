/*
 * The choice of hosts at one node: at most one item per group, largest value within a capacity.
 * Lists of states that no other state beats in weight and value (Nemhauser and Ullmann 1969), one
 * list per group; where a list grows too long, weights are rounded down, which keeps an upper
 * bound.
 */
#include "plan/decompose.h"

#include <math.h>

enum { STATES_MAX = 256 };

typedef struct state {
    double weight;
    double value;
    uint32_t from; /* state of the list before */
    uint32_t item; /* index + 1; 0: none of the group */
} state;

typedef struct state_list {
    uint32_t count;
    state *states; /* by weight, values rising */
} state_list;

struct es_knapsack_room {
    uint32_t group_max;
    state_list *forward;  /* [group_max + 1] after the first g groups */
    state_list *backward; /* [group_max + 1] of groups g and up */
    state *merged;
};

static es_status lists_new(es_arena *arena, uint32_t count, state_list **out, es_error *err)
{
    state_list *lists = ES_TAKE_ARRAY(arena, state_list, count);
    if (lists == NULL)
        return es_arena_full(arena, "knapsack", err);
    for (uint32_t i = 0; i < count; i++) {
        lists[i].states = ES_TAKE_ARRAY(arena, state, STATES_MAX + 1);
        if (lists[i].states == NULL)
            return es_arena_full(arena, "knapsack", err);
    }
    *out = lists;
    return ES_OK;
}

es_status es_knapsack_room_new(es_arena *arena, uint32_t group_max, es_knapsack_room **out_room,
                               es_error *err)
{
    es_knapsack_room *room = ES_TAKE_ONE(arena, es_knapsack_room);
    if (room == NULL)
        return es_arena_full(arena, "knapsack", err);
    room->group_max = group_max;
    ES_TRY(lists_new(arena, group_max + 1, &room->forward, err));
    ES_TRY(lists_new(arena, group_max + 1, &room->backward, err));
    room->merged = ES_TAKE_ARRAY(arena, state, (STATES_MAX + 1) * (ES_CLUSTER_SETS + 1));
    if (room->merged == NULL)
        return es_arena_full(arena, "knapsack", err);
    *out_room = room;
    return ES_OK;
}

/* Adds to merged (sorted, count) the states of list shifted by an item: merges from behind. */
static uint32_t merge_item(state *merged, uint32_t count, const state_list *list,
                           const es_knapsack_item *item, uint32_t item_index, double capacity)
{
    uint32_t fitting = list->count;
    while (fitting > 0 && list->states[fitting - 1].weight + item->weight > capacity)
        fitting--;
    uint32_t total = count + fitting;
    uint32_t a = count;
    uint32_t b = fitting;
    for (uint32_t at = total; b > 0; at--) {
        double weight = list->states[b - 1].weight + item->weight;
        if (a > 0 && merged[a - 1].weight > weight) {
            merged[at - 1] = merged[a - 1];
            a--;
        } else {
            merged[at - 1] = (state){.weight = weight,
                                     .value = list->states[b - 1].value + item->value,
                                     .from = b - 1,
                                     .item = item_index + 1};
            b--;
        }
    }
    return total;
}

/* Keeps the states that no lighter state matches; of equal weights the best. */
static uint32_t drop_dominated(state *states, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && states[i].value <= states[kept - 1].value)
            continue;
        if (kept > 0 && states[i].weight <= states[kept - 1].weight)
            kept--;
        states[kept++] = states[i];
    }
    return kept;
}

/* Where too many: one state per slice of the capacity, the lightest weight with the best value. */
static uint32_t coarsen(state *states, uint32_t count, double capacity)
{
    uint32_t kept = 0;
    double slice = capacity / (STATES_MAX - 1);
    double slice_end = -1.0;
    for (uint32_t i = 0; i < count; i++) {
        if (states[i].weight <= slice_end) {
            double weight = states[kept - 1].weight;
            states[kept - 1] = states[i];
            states[kept - 1].weight = weight;
            continue;
        }
        slice_end = slice * (floor(states[i].weight / slice) + 1.0);
        states[kept++] = states[i];
    }
    return kept;
}

static void extend(es_knapsack_room *room, const es_knapsack *knapsack, uint32_t group,
                   const state_list *before, state_list *after)
{
    uint32_t count = before->count;
    for (uint32_t i = 0; i < count; i++) {
        room->merged[i] = before->states[i];
        room->merged[i].from = i;
        room->merged[i].item = 0;
    }
    for (uint32_t i = knapsack->first[group]; i < knapsack->first[group + 1]; i++)
        if (knapsack->items[i].value > 0.0) {
            count =
                merge_item(room->merged, count, before, &knapsack->items[i], i, knapsack->capacity);
        }
    count = drop_dominated(room->merged, count);
    if (count > STATES_MAX)
        count = coarsen(room->merged, count, knapsack->capacity);
    memcpy(after->states, room->merged, count * sizeof *after->states);
    after->count = count;
}

static void start_list(state_list *list)
{
    list->count = 1;
    list->states[0] = (state){0};
}

double es_knapsack_solve(es_knapsack_room *room, const es_knapsack *knapsack, uint8_t *out_sets)
{
    start_list(&room->forward[0]);
    for (uint32_t g = 0; g < knapsack->group_count; g++)
        extend(room, knapsack, g, &room->forward[g], &room->forward[g + 1]);
    uint32_t at = room->forward[knapsack->group_count].count - 1;
    double value = room->forward[knapsack->group_count].states[at].value;
    for (uint32_t g = knapsack->group_count; g > 0; g--) {
        const state *s = &room->forward[g].states[at];
        out_sets[g - 1] = s->item > 0 ? knapsack->items[s->item - 1].set : 0;
        at = s->from;
    }
    return value;
}

/* Best pair of states, one of each list, within room. */
static double best_pair(const state_list *a, const state_list *b, double room)
{
    double best = -INFINITY;
    uint32_t j = b->count;
    for (uint32_t i = 0; i < a->count && a->states[i].weight <= room; i++) {
        while (j > 0 && a->states[i].weight + b->states[j - 1].weight > room)
            j--;
        if (j == 0)
            break;
        best = fmax(best, a->states[i].value + b->states[j - 1].value);
    }
    return best;
}

void es_knapsack_each(es_knapsack_room *room, const es_knapsack *knapsack, double *out_with,
                      double *out_without)
{
    uint32_t count = knapsack->group_count;
    /* A bit of room for sums taken in another order. */
    double slack = 1e-12 * knapsack->capacity;
    start_list(&room->forward[0]);
    start_list(&room->backward[count]);
    for (uint32_t g = 0; g < count; g++)
        extend(room, knapsack, g, &room->forward[g], &room->forward[g + 1]);
    for (uint32_t g = count; g > 0; g--)
        extend(room, knapsack, g - 1, &room->backward[g], &room->backward[g - 1]);
    for (uint32_t g = 0; g < count; g++) {
        const state_list *a = &room->forward[g];
        const state_list *b = &room->backward[g + 1];
        out_without[g] = best_pair(a, b, knapsack->capacity + slack);
        for (uint32_t i = knapsack->first[g]; i < knapsack->first[g + 1]; i++)
            out_with[i] = knapsack->items[i].value +
                          best_pair(a, b, knapsack->capacity + slack - knapsack->items[i].weight);
    }
}
