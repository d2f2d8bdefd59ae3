/* All cells at once at fixed prices: one pass by deadline with regret (README, "Fractional"). */
#include "schedule/internal.h"

#include <math.h>

/* An accepted segment offers its work back at its slope. */
typedef struct offer {
    double slope;
    uint32_t segment;
} offer;

struct es_sweep {
    const es_instance *instance;
    uint32_t *levels;     /* [cell_count] cells, cheapest work first */
    double *level_cost;   /* [cell_count] by cell, per work */
    double *level_energy; /* [cell_count] by cell: between equal costs, the thriftier first */
    double *level_used;   /* [cell_count] by cell, work */
    double *taken;        /* [segments] work accepted and not given back */
    offer *heap;          /* smallest slope on top */
    size_t heap_count;
    uint32_t level_first; /* levels before it have nothing left at this deadline */
};

static void heap_push(es_sweep *sweep, offer added)
{
    size_t at = sweep->heap_count++;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (sweep->heap[parent].slope <= added.slope)
            break;
        sweep->heap[at] = sweep->heap[parent];
        at = parent;
    }
    sweep->heap[at] = added;
}

static void heap_pop(es_sweep *sweep)
{
    offer moved = sweep->heap[--sweep->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sweep->heap_count)
            break;
        if (child + 1 < sweep->heap_count &&
            sweep->heap[child + 1].slope < sweep->heap[child].slope)
            child++;
        if (moved.slope <= sweep->heap[child].slope)
            break;
        sweep->heap[at] = sweep->heap[child];
        at = child;
    }
    if (sweep->heap_count > 0)
        sweep->heap[at] = moved;
}

/* Insertion sort: few cells, and nearly in order from one price to the next. */
static void sort_levels(es_sweep *sweep, const double *prices)
{
    const es_instance *instance = sweep->instance;
    for (uint32_t c = 0; c < instance->cell_count; c++)
        sweep->level_cost[c] =
            es_cell_price(&instance->cells[c], prices) / instance->cells[c].speed;
    for (uint32_t i = 1; i < instance->cell_count; i++) {
        uint32_t moved = sweep->levels[i];
        uint32_t at = i;
        for (; at > 0; at--) {
            uint32_t before = sweep->levels[at - 1];
            double difference = sweep->level_cost[before] - sweep->level_cost[moved];
            if (difference == 0.0)
                difference = sweep->level_energy[before] - sweep->level_energy[moved];
            if (difference < 0.0 || (difference == 0.0 && before < moved))
                break;
            sweep->levels[at] = before;
        }
        sweep->levels[at] = moved;
    }
}

/* Work of the cheapest level with any left before deadline; its cost, or INFINITY. */
static double cheapest(es_sweep *sweep, double deadline, double *out_left, uint32_t *out_cell)
{
    const es_instance *instance = sweep->instance;
    for (; sweep->level_first < instance->cell_count; sweep->level_first++) {
        uint32_t c = sweep->levels[sweep->level_first];
        const es_cell *cell = &instance->cells[c];
        double left = cell->speed * es_cell_room_s(cell, deadline) - sweep->level_used[c];
        if (left > 0.0) {
            *out_left = left;
            *out_cell = c;
            return sweep->level_cost[c];
        }
    }
    return (double)INFINITY;
}

/* Segment s wants length at slope: unused supply or what earlier segments give back. */
static void satisfy(es_sweep *sweep, uint32_t s, double deadline)
{
    double slope = sweep->instance->slope[s];
    double want = sweep->instance->length[s];
    while (want > 0.0) {
        double left = 0.0;
        uint32_t c = 0;
        double cost = cheapest(sweep, deadline, &left, &c);
        double back = sweep->heap_count > 0 ? sweep->heap[0].slope : (double)INFINITY;
        if (fmin(cost, back) >= slope)
            break;
        if (cost <= back) {
            double part = fmin(want, left);
            /* All that is left is used up exactly, so that the level is seen as empty. */
            sweep->level_used[c] += part;
            if (part == left)
                sweep->level_first++;
            want -= part;
        } else {
            uint32_t other = sweep->heap[0].segment;
            double part = fmin(want, sweep->taken[other]);
            sweep->taken[other] -= part;
            want -= part;
            if (sweep->taken[other] <= 0.0)
                heap_pop(sweep);
        }
    }
    double got = sweep->instance->length[s] - want;
    sweep->taken[s] = got;
    if (got > 0.0)
        heap_push(sweep, (offer){slope, s});
}

static void add_up(const es_sweep *sweep, double *work, double *busy_s, es_answer *answer)
{
    const es_instance *instance = sweep->instance;
    for (uint32_t j = 0; j < instance->task_count; j++) {
        double sum = 0.0;
        for (uint32_t s = instance->first[j]; s < instance->first[j + 1]; s++) {
            sum += sweep->taken[s];
            answer->gain += sweep->taken[s] * instance->slope[s];
        }
        if (work != NULL)
            work[j] = sum;
    }
    for (uint32_t c = 0; c < instance->cell_count; c++) {
        double busy = sweep->level_used[c] / instance->cells[c].speed;
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            answer->used[b] += busy * instance->cells[c].use_per_s[b];
        if (busy_s != NULL)
            busy_s[c] = busy;
    }
}

static es_status answer(void *context, const double *prices, double *work, double *busy_s,
                        es_answer *out_answer, es_error *err)
{
    (void)err;
    es_sweep *sweep = context;
    const es_instance *instance = sweep->instance;
    sweep->heap_count = 0;
    memset(sweep->level_used, 0, instance->cell_count * sizeof *sweep->level_used);
    sort_levels(sweep, prices);
    for (uint32_t j = 0; j < instance->task_count; j++) {
        sweep->level_first = 0;
        for (uint32_t s = instance->first[j]; s < instance->first[j + 1]; s++)
            satisfy(sweep, s, instance->deadline[j]);
    }
    *out_answer = (es_answer){0};
    add_up(sweep, work, busy_s, out_answer);
    return ES_OK;
}

es_status es_sweep_new(es_arena *arena, const es_instance *instance, es_sweep **out_sweep,
                       es_error *err)
{
    es_sweep *sweep = ES_TAKE_ONE(arena, es_sweep);
    uint32_t segments = instance->first[instance->task_count];
    if (sweep == NULL)
        return es_arena_full(arena, "sweep", err);
    sweep->instance = instance;
    sweep->levels = ES_TAKE_ARRAY(arena, uint32_t, instance->cell_count);
    sweep->level_cost = ES_TAKE_ARRAY(arena, double, instance->cell_count);
    sweep->level_energy = ES_TAKE_ARRAY(arena, double, instance->cell_count);
    sweep->level_used = ES_TAKE_ARRAY(arena, double, instance->cell_count);
    sweep->taken = ES_TAKE_ARRAY(arena, double, segments);
    sweep->heap = ES_TAKE_ARRAY(arena, offer, segments);
    if (sweep->levels == NULL || sweep->level_cost == NULL || sweep->level_energy == NULL ||
        sweep->level_used == NULL || sweep->taken == NULL || sweep->heap == NULL)
        return es_arena_full(arena, "sweep", err);
    for (uint32_t c = 0; c < instance->cell_count; c++) {
        const es_cell *cell = &instance->cells[c];
        sweep->levels[c] = c;
        sweep->level_energy[c] = cell->use_per_s[ES_BUDGET_ENERGY] / cell->speed;
    }
    *out_sweep = sweep;
    return ES_OK;
}

es_oracle es_sweep_oracle(es_sweep *sweep)
{
    return (es_oracle){.context = sweep, .answer = answer};
}
