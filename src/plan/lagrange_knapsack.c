/*
 * The choice of hosts at one node: at most one item per group, largest value within a capacity.
 * A price of the capacity bounds it from above and a choice at that price from below; items that
 * cannot close the difference are left out (Dyer, Kayal and Walker 1984). For the rest, lists of
 * states that no other state beats in weight and value (Nemhauser and Ullmann 1969), one list per
 * group; where a list grows too long, weights are rounded down, which keeps an upper bound.
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

/* The items of a knapsack that may be worth it, and where they come from. */
typedef struct core {
    uint32_t group_count;
    uint32_t *first; /* [group_max + 1] */
    uint32_t *group; /* [group_max] */
    uint32_t *item;  /* [group_max * (ES_CLUSTER_SETS - 1)] */
    es_knapsack_item *items;
    uint32_t *best;  /* [group_max] of core items, at the price at hand; NONE: nothing pays */
    double *gain;    /* [group_max] of that item */
    uint32_t *kept;  /* [group_max] what the best choice found so far takes, by core item */
    double value;    /* of kept */
    double *margin;  /* [group_max] what another choice loses at the price, at least */
    uint32_t *order; /* [group_max] groups by margin, largest first */
} core;

struct es_knapsack_room {
    uint32_t group_max;
    core core;
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
    core *c = &room->core;
    size_t item_max = (size_t)group_max * ES_CLUSTER_SETS;
    c->first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)group_max + 1);
    c->group = ES_TAKE_ARRAY(arena, uint32_t, group_max);
    c->item = ES_TAKE_ARRAY(arena, uint32_t, item_max);
    c->items = ES_TAKE_ARRAY(arena, es_knapsack_item, item_max);
    c->best = ES_TAKE_ARRAY(arena, uint32_t, group_max);
    c->gain = ES_TAKE_ARRAY(arena, double, group_max);
    c->kept = ES_TAKE_ARRAY(arena, uint32_t, group_max);
    c->margin = ES_TAKE_ARRAY(arena, double, group_max);
    c->order = ES_TAKE_ARRAY(arena, uint32_t, group_max);
    if (room->merged == NULL || c->first == NULL || c->group == NULL || c->item == NULL ||
        c->items == NULL || c->best == NULL || c->gain == NULL || c->kept == NULL ||
        c->margin == NULL || c->order == NULL)
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

/* What a state must still promise: value, with price for each weight that is left and tail from
 * the groups to come; these may give tail_value for tail_weight. */
typedef struct promise {
    double price;
    double tail;
    double tail_value;
    double tail_weight;
    double value;
} promise;

static const promise ANY = {.tail = INFINITY, .tail_weight = INFINITY, .value = -INFINITY};

/* Keeps the states that no lighter state matches, of equal weights the best, and that keep the
 * promise. */
static uint32_t drop_dominated(state *states, uint32_t count, double capacity, promise *least)
{
    static const double SLACK = 1e-12;
    uint32_t kept = 0;
    double value = -INFINITY;
    for (uint32_t i = 0; i < count; i++)
        if (states[i].weight + least->tail_weight <= capacity)
            least->value = fmax(least->value, states[i].value + least->tail_value);
    double enough = least->value - SLACK * fabs(least->value);
    for (uint32_t i = 0; i < count; i++) {
        if (states[i].value <= value ||
            states[i].value + least->price * (capacity - states[i].weight) + least->tail < enough)
            continue;
        value = states[i].value;
        if (kept > 0 && states[i].weight <= states[kept - 1].weight)
            kept--;
        states[kept++] = states[i];
    }
    return kept;
}

static void extend(es_knapsack_room *room, const es_knapsack *knapsack, uint32_t group,
                   promise *least, const state_list *before, state_list *after)
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
    count = drop_dominated(room->merged, count, knapsack->capacity, least);
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

/* Items that gain and fit. */
static void gather(core *c, const es_knapsack *knapsack)
{
    uint32_t count = 0;
    c->group_count = 0;
    c->first[0] = 0;
    for (uint32_t g = 0; g < knapsack->group_count; g++) {
        uint32_t before = count;
        for (uint32_t i = knapsack->first[g]; i < knapsack->first[g + 1]; i++)
            if (knapsack->items[i].value > 0.0 && knapsack->items[i].weight <= knapsack->capacity) {
                c->item[count] = i;
                c->items[count++] = knapsack->items[i];
            }
        if (count == before)
            continue;
        c->group[c->group_count++] = g;
        c->first[c->group_count] = count;
    }
}

/* What each group takes at a price per weight. Sums of value and weight; the bound. */
typedef struct priced {
    double bound;
    double value;
    double weight;
} priced;

static priced choose_at(core *c, double price, double capacity)
{
    priced sum = {.bound = price * capacity};
    for (uint32_t g = 0; g < c->group_count; g++) {
        double gain = 0.0;
        uint32_t best = ES_INDEX_NONE;
        for (uint32_t i = c->first[g]; i < c->first[g + 1]; i++) {
            double left = c->items[i].value - price * c->items[i].weight;
            if (left > gain) {
                gain = left;
                best = i;
            }
        }
        c->best[g] = best;
        c->gain[g] = gain;
        sum.bound += gain;
        sum.value += best != ES_INDEX_NONE ? c->items[best].value : 0.0;
        sum.weight += best != ES_INDEX_NONE ? c->items[best].weight : 0.0;
    }
    return sum;
}

/* Keeps the choice at hand, filled up where there is room, when it is the best so far. */
static void keep_choice(core *c, priced sum, double capacity)
{
    double room = capacity - sum.weight;
    for (uint32_t g = 0; g < c->group_count; g++)
        for (uint32_t i = c->first[g]; i < c->first[g + 1]; i++) {
            uint32_t now = c->best[g];
            double value = now != ES_INDEX_NONE ? c->items[now].value : 0.0;
            double weight = now != ES_INDEX_NONE ? c->items[now].weight : 0.0;
            if (c->items[i].value <= value || c->items[i].weight - weight > room)
                continue;
            room -= c->items[i].weight - weight;
            sum.value += c->items[i].value - value;
            c->best[g] = i;
        }
    if (sum.value <= c->value)
        return;
    c->value = sum.value;
    memcpy(c->kept, c->best, c->group_count * sizeof *c->kept);
}

/* A price of the capacity with a low bound, by bisection; false: all that gains fits. */
static bool find_price(core *c, double capacity, double *out_price)
{
    enum { ROUNDS = 12 };
    double high = 0.0;
    double low = 0.0;
    double best = 0.0;
    priced sum = choose_at(c, 0.0, capacity);
    double bound = sum.bound;
    c->value = 0.0;
    for (uint32_t g = 0; g < c->group_count; g++)
        c->kept[g] = ES_INDEX_NONE;
    if (sum.weight <= capacity) {
        keep_choice(c, sum, capacity);
        return false;
    }
    for (uint32_t i = 0; i < c->first[c->group_count]; i++)
        if (c->items[i].value > high * c->items[i].weight)
            high = c->items[i].weight > 0.0 ? c->items[i].value / c->items[i].weight : high;
    for (int round = 0; round < ROUNDS; round++) {
        double price = 0.5 * (low + high);
        sum = choose_at(c, price, capacity);
        if (sum.bound < bound) {
            bound = sum.bound;
            best = price;
        }
        if (sum.weight <= capacity) {
            high = price;
            keep_choice(c, sum, capacity);
        } else
            low = price;
    }
    *out_price = best;
    return true;
}

/* Leaves out items that cannot lead above the choice that is kept; kept items may go, too. */
static void reduce(core *c, double price, double capacity)
{
    static const double SLACK = 1e-12;
    priced sum = choose_at(c, price, capacity);
    double spare = sum.bound - c->value + SLACK * sum.bound;
    uint32_t count = 0;
    uint32_t groups = 0;
    uint32_t begin = 0;
    for (uint32_t g = 0; g < c->group_count; g++) {
        uint32_t before = count;
        uint32_t end = c->first[g + 1];
        for (uint32_t i = begin; i < end; i++)
            if (c->gain[g] - (c->items[i].value - price * c->items[i].weight) <= spare) {
                c->item[count] = c->item[i];
                c->items[count++] = c->items[i];
            }
        begin = end;
        if (count == before)
            continue;
        c->group[groups] = c->group[g];
        c->gain[groups++] = c->gain[g];
        c->first[groups] = count;
    }
    c->group_count = groups;
}

static void set_margins(core *c, double price)
{
    for (uint32_t g = 0; g < c->group_count; g++) {
        c->margin[g] = c->best[g] != ES_INDEX_NONE ? c->gain[g] : (double)INFINITY;
        for (uint32_t i = c->first[g]; i < c->first[g + 1]; i++)
            if (i != c->best[g])
                c->margin[g] =
                    fmin(c->margin[g], c->gain[g] - c->items[i].value + price * c->items[i].weight);
        uint32_t at = g;
        for (; at > 0 && c->margin[c->order[at - 1]] < c->margin[g]; at--)
            c->order[at] = c->order[at - 1];
        c->order[at] = g;
    }
}

/* A choice above the one that is kept, by lists; false: there is none. */
static bool beat_kept(es_knapsack_room *room, double price, double capacity)
{
    core *c = &room->core;
    const es_knapsack rest = {c->group_count, c->first, c->items, capacity};
    reduce(c, price, capacity);
    priced sum = choose_at(c, price, capacity);
    promise least = {.price = price,
                     .tail = sum.bound - price * capacity,
                     .tail_value = sum.value,
                     .tail_weight = sum.weight,
                     .value = c->value};
    set_margins(c, price);
    start_list(&room->forward[0]);
    for (uint32_t k = 0; k < c->group_count; k++) {
        uint32_t g = c->order[k];
        bool pays = c->best[g] != ES_INDEX_NONE;
        least.tail -= c->gain[g];
        least.tail_value -= pays ? c->items[c->best[g]].value : 0.0;
        least.tail_weight -= pays ? c->items[c->best[g]].weight : 0.0;
        extend(room, &rest, g, &least, &room->forward[k], &room->forward[k + 1]);
    }
    const state_list *last = &room->forward[c->group_count];
    return last->count > 0 && last->states[last->count - 1].value > c->value;
}

double es_knapsack_solve(es_knapsack_room *room, const es_knapsack *knapsack, uint8_t *out_sets)
{
    core *c = &room->core;
    double price = 0.0;
    memset(out_sets, 0, knapsack->group_count * sizeof *out_sets);
    gather(c, knapsack);
    bool tight = find_price(c, knapsack->capacity, &price);
    for (uint32_t g = 0; g < c->group_count; g++)
        if (c->kept[g] != ES_INDEX_NONE)
            out_sets[c->group[g]] = c->items[c->kept[g]].set;
    if (!tight || !beat_kept(room, price, knapsack->capacity))
        return c->value;
    memset(out_sets, 0, knapsack->group_count * sizeof *out_sets);
    const state_list *last = &room->forward[c->group_count];
    uint32_t at = last->count - 1;
    double value = last->states[at].value;
    for (uint32_t k = c->group_count; k > 0; k--) {
        const state *s = &room->forward[k].states[at];
        out_sets[c->group[c->order[k - 1]]] = s->item > 0 ? c->items[s->item - 1].set : 0;
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
    promise any = ANY;
    uint32_t count = knapsack->group_count;
    /* A bit of room for sums taken in another order. */
    double slack = 1e-12 * knapsack->capacity;
    start_list(&room->forward[0]);
    start_list(&room->backward[count]);
    for (uint32_t g = 0; g < count; g++)
        extend(room, knapsack, g, &any, &room->forward[g], &room->forward[g + 1]);
    for (uint32_t g = count; g > 0; g--)
        extend(room, knapsack, g - 1, &any, &room->backward[g], &room->backward[g - 1]);
    for (uint32_t g = 0; g < count; g++) {
        const state_list *a = &room->forward[g];
        const state_list *b = &room->backward[g + 1];
        out_without[g] = best_pair(a, b, knapsack->capacity + slack);
        for (uint32_t i = knapsack->first[g]; i < knapsack->first[g + 1]; i++)
            out_with[i] = knapsack->items[i].value +
                          best_pair(a, b, knapsack->capacity + slack - knapsack->items[i].weight);
    }
}
