/* Greedy by slope on nested capacities: optimal for one machine (README, "One machine"). */
#include "schedule/internal.h"

#include <math.h>

/* A tree over differences of slack: slack[k] is the sum of leaves 0..k. */
typedef struct tree {
    size_t leaf_count; /* a power of two */
    double *sum;       /* [2 * leaf_count], node i has children 2i and 2i + 1 */
    double *least;     /* least prefix sum of the node's leaves, at least one leaf */
} tree;

static void pull(tree *t, size_t node)
{
    size_t left = 2 * node;
    double over = t->sum[left] + t->least[left + 1];
    t->sum[node] = t->sum[left] + t->sum[left + 1];
    t->least[node] = over < t->least[left] ? over : t->least[left];
}

static es_status tree_init(es_arena *scratch, tree *t, const double *slack, size_t count,
                           es_error *err)
{
    t->leaf_count = 1;
    while (t->leaf_count < count)
        t->leaf_count *= 2;
    t->sum = ES_TAKE_ARRAY(scratch, double, 2 * t->leaf_count);
    t->least = ES_TAKE_ARRAY(scratch, double, 2 * t->leaf_count);
    if (t->sum == NULL || t->least == NULL)
        return es_arena_full(scratch, "tree", err);
    for (size_t k = 0; k < t->leaf_count; k++) {
        t->sum[t->leaf_count + k] = k < count ? slack[k] - (k > 0 ? slack[k - 1] : 0.0) : 0.0;
        t->least[t->leaf_count + k] = t->sum[t->leaf_count + k];
    }
    for (size_t node = t->leaf_count - 1; node >= 1; node--)
        pull(t, node);
    return ES_OK;
}

/* Least slack at or after leaf: one walk up collects what lies left of it and right of it. */
static double least_from(const tree *t, size_t leaf)
{
    size_t node = t->leaf_count + leaf;
    double least = t->least[node]; /* counted from where node starts */
    for (; node > 1; node /= 2) {
        if (node % 2 == 0) {
            double over = t->sum[node] + t->least[node + 1];
            least = over < least ? over : least;
        } else {
            least += t->sum[node - 1];
        }
    }
    return least;
}

/* How many leaves there are up to the last whose slack is at most level. */
static size_t count_tight(const tree *t, double level)
{
    if (t->least[1] > level)
        return 0;
    size_t node = 1;
    double before = 0.0;
    while (node < t->leaf_count) {
        size_t right = 2 * node + 1;
        double over = before + t->sum[right - 1];
        if (over + t->least[right] <= level) {
            before = over;
            node = right;
        } else {
            node = right - 1;
        }
    }
    return node - t->leaf_count + 1;
}

static void take(tree *t, size_t leaf, double amount)
{
    size_t node = t->leaf_count + leaf;
    t->sum[node] -= amount;
    t->least[node] -= amount;
    for (node /= 2; node >= 1; node /= 2)
        pull(t, node);
}

typedef struct item {
    uint64_t key; /* falls with the slope */
    uint32_t task, segment;
} item;

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, PASSES = 6 };

/* Least significant digit first, stable: ties stay in the order of deadlines. */
static item *sort_items(item *items, item *other, size_t count)
{
    for (int pass = 0; pass < PASSES; pass++) {
        size_t places[DIGITS] = {0};
        int shift = pass * DIGIT_BITS;
        for (size_t i = 0; i < count; i++)
            places[(items[i].key >> shift) % DIGITS]++;
        size_t next = 0;
        bool same = false;
        for (size_t d = 0; d < DIGITS; d++) {
            size_t here = places[d];
            same = same || here == count;
            places[d] = next;
            next += here;
        }
        if (same) /* all in one bucket */
            continue;
        for (size_t i = 0; i < count; i++)
            other[places[(items[i].key >> shift) % DIGITS]++] = items[i];
        item *swap = items;
        items = other;
        other = swap;
    }
    return items;
}

/* Slopes are >= 0, so their bits order as they do. */
static uint64_t key_of(double slope)
{
    uint64_t bits;
    memcpy(&bits, &slope, sizeof bits);
    return ~bits;
}

static es_status list_items(es_arena *scratch, const es_instance *instance, item **out_items,
                            size_t *out_count, es_error *err)
{
    size_t most = instance->first[instance->task_count];
    item *items = ES_TAKE_ARRAY(scratch, item, most);
    item *other = ES_TAKE_ARRAY(scratch, item, most);
    if (items == NULL || other == NULL)
        return es_arena_full(scratch, "segments", err);
    size_t count = 0;
    for (uint32_t j = 0; j < instance->task_count; j++)
        for (uint32_t s = instance->first[j]; s < instance->first[j + 1]; s++)
            if (instance->slope[s] > 0.0)
                items[count++] = (item){key_of(instance->slope[s]), j, s};
    *out_items = sort_items(items, other, count);
    *out_count = count;
    return ES_OK;
}

es_status es_greedy_solve(es_arena *scratch, const es_instance *instance, const double *capacity,
                          double *work, double *out_gain, es_error *err)
{
    tree t;
    item *items = NULL;
    size_t count = 0;
    memset(work, 0, instance->task_count * sizeof *work);
    *out_gain = 0.0;
    if (instance->task_count == 0)
        return ES_OK;
    ES_TRY(tree_init(scratch, &t, capacity, instance->task_count, err));
    ES_TRY(list_items(scratch, instance, &items, &count, err));
    double tight = 1e-14 * fmax(capacity[instance->task_count - 1], 0.0);
    size_t dead = 0; /* tasks before this one sit under a tight prefix */
    for (size_t i = 0; i < count; i++) {
        uint32_t j = items[i].task;
        if (j < dead)
            continue;
        double room = least_from(&t, j);
        double length = instance->length[items[i].segment];
        double amount = room < length ? room : length;
        if (amount > tight) {
            take(&t, j, amount);
            work[j] += amount;
            *out_gain += amount * instance->slope[items[i].segment];
        }
        if (room <= length + tight) {
            dead = count_tight(&t, tight);
            if (dead >= instance->task_count) /* leaves behind the tasks repeat the last slack */
                break;
        }
    }
    return ES_OK;
}
