/* Best works when the cell of each task is fixed: cells are apart but for the budgets. */
#include "schedule/internal.h"

#include <math.h>

static const double DUST = 1e-12; /* relative to all work of a task */

typedef struct kept {
    double slope;
    double work;
    uint32_t task; /* index into the cell's tasks */
} kept;

struct es_refit {
    const es_instance *instance;
    kept *heap;        /* [segments] smallest slope on top */
    uint32_t *tasks;   /* [task_count] by cell, then by place */
    uint32_t *first;   /* [cell_count + 1] */
    double *cell_work; /* [task_count] works of one cell's tasks */
    double price_max[ES_BUDGET_COUNT];
};

es_status es_refit_new(es_arena *arena, const es_instance *instance, es_refit **out_refit,
                       es_error *err)
{
    es_refit *refit = ES_TAKE_ONE(arena, es_refit);
    if (refit == NULL)
        return es_arena_full(arena, "refit", err);
    refit->instance = instance;
    refit->heap = ES_TAKE_ARRAY(arena, kept, (size_t)instance->first[instance->task_count] + 1);
    refit->tasks = ES_TAKE_ARRAY(arena, uint32_t, instance->task_count);
    refit->first = ES_TAKE_ARRAY(arena, uint32_t, (size_t)instance->cell_count + 1);
    refit->cell_work = ES_TAKE_ARRAY(arena, double, instance->task_count);
    if (refit->heap == NULL || refit->tasks == NULL || refit->first == NULL ||
        refit->cell_work == NULL)
        return es_arena_full(arena, "refit", err);
    es_instance_price_max(instance, refit->price_max);
    *out_refit = refit;
    return ES_OK;
}

static void push(kept *heap, size_t *count, kept added)
{
    size_t at = (*count)++;
    while (at > 0 && heap[(at - 1) / 2].slope > added.slope) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = added;
}

static void pop(kept *heap, size_t *count)
{
    kept moved = heap[--*count];
    size_t at = 0;
    for (size_t child = 1; child < *count; child = 2 * at + 1) {
        if (child + 1 < *count && heap[child + 1].slope < heap[child].slope)
            child++;
        if (moved.slope <= heap[child].slope)
            break;
        heap[at] = heap[child];
        at = child;
    }
    if (*count > 0)
        heap[at] = moved;
}

/* Keeps the steepest that fit before each deadline; leaves what is kept in the heap. */
static size_t keep_best(es_refit *refit, const es_cell *cell, const uint32_t *tasks, uint32_t count,
                        double cost)
{
    const es_instance *instance = refit->instance;
    size_t heap_count = 0;
    double total = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = tasks[i];
        for (uint32_t s = instance->first[j]; s < instance->first[j + 1]; s++) {
            if (instance->slope[s] <= cost)
                break;
            kept added = {instance->slope[s], instance->length[s], i};
            push(refit->heap, &heap_count, added);
            total += added.work;
        }
        double capacity = cell->speed * es_cell_room_s(cell, instance->deadline[j]);
        while (total > capacity && heap_count > 0) {
            double over = total - capacity;
            if (refit->heap[0].work > over) {
                refit->heap[0].work -= over;
                total = capacity;
            } else {
                total -= refit->heap[0].work;
                pop(refit->heap, &heap_count);
            }
        }
        if (heap_count == 0)
            total = 0.0;
    }
    return heap_count;
}

double es_refit_cell(es_refit *refit, uint32_t cell_index, const uint32_t *tasks, uint32_t count,
                     const double *prices, double *work)
{
    const es_instance *instance = refit->instance;
    const es_cell *cell = &instance->cells[cell_index];
    double cost = es_cell_price(cell, prices) / cell->speed;
    size_t heap_count = keep_best(refit, cell, tasks, count, cost);
    double gain = 0.0;
    if (work != NULL)
        memset(work, 0, count * sizeof *work);
    for (size_t i = 0; i < heap_count; i++) {
        gain += refit->heap[i].work * (refit->heap[i].slope - cost);
        if (work != NULL)
            work[refit->heap[i].task] += refit->heap[i].work;
    }
    if (instance->networked)
        for (uint32_t i = 0; i < count; i++)
            for (int b = 0; b < ES_BUDGET_COUNT; b++)
                gain -= prices[b] * cell->use_per_bit[b] * instance->input_bits[tasks[i]];
    return gain;
}

static es_status answer(void *context, const double *prices, double *work, double *busy_s,
                        es_answer *out_answer, es_error *err)
{
    (void)err;
    es_refit *refit = context;
    const es_instance *instance = refit->instance;
    *out_answer = (es_answer){0};
    if (work != NULL)
        memset(work, 0, instance->task_count * sizeof *work);
    for (uint32_t c = 0; c < instance->cell_count; c++) {
        const es_cell *cell = &instance->cells[c];
        const uint32_t *tasks = refit->tasks + refit->first[c];
        uint32_t count = refit->first[c + 1] - refit->first[c];
        double cost = es_cell_price(cell, prices) / cell->speed;
        size_t heap_count = keep_best(refit, cell, tasks, count, cost);
        double total = 0.0;
        for (size_t i = 0; i < heap_count; i++) {
            const kept *one = &refit->heap[i];
            total += one->work;
            out_answer->gain += one->work * one->slope;
            if (work != NULL)
                work[tasks[one->task]] += one->work;
        }
        double busy = total / cell->speed;
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            out_answer->used[b] += busy * cell->use_per_s[b];
        if (busy_s != NULL)
            busy_s[c] = busy;
    }
    return ES_OK;
}

static void list_tasks(es_refit *refit, const uint32_t *cell_of)
{
    const es_instance *instance = refit->instance;
    memset(refit->first, 0, ((size_t)instance->cell_count + 1) * sizeof *refit->first);
    for (uint32_t j = 0; j < instance->task_count; j++)
        if (cell_of[j] != ES_NOWHERE)
            refit->first[cell_of[j] + 1]++;
    for (uint32_t c = 0; c < instance->cell_count; c++)
        refit->first[c + 1] += refit->first[c];
    for (uint32_t j = 0; j < instance->task_count; j++)
        if (cell_of[j] != ES_NOWHERE)
            refit->tasks[refit->first[cell_of[j]]++] = j;
    for (uint32_t c = instance->cell_count; c > 0; c--)
        refit->first[c] = refit->first[c - 1];
    refit->first[0] = 0;
}

es_status es_refit_solve(es_refit *refit, es_arena *scratch, const uint32_t *cell_of,
                         double gap_relative, double *work, double *busy_s, es_mix *out_mix,
                         es_error *err)
{
    const es_instance *instance = refit->instance;
    double budget[ES_BUDGET_COUNT];
    memcpy(budget, instance->budget, sizeof budget);
    for (uint32_t j = 0; instance->networked && j < instance->task_count; j++)
        if (cell_of[j] != ES_NOWHERE)
            for (int b = 0; b < ES_BUDGET_COUNT; b++)
                budget[b] -= instance->cells[cell_of[j]].use_per_bit[b] * instance->input_bits[j];
    *out_mix = (es_mix){.gain = -(double)INFINITY, .bound = -(double)INFINITY};
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        if (budget[b] < -1e-9 * instance->budget[b])
            return ES_OK;
        budget[b] = fmax(budget[b], 0.0);
    }
    list_tasks(refit, cell_of);
    es_oracle oracle = {.context = refit, .answer = answer};
    ES_TRY(es_prices_search(&oracle, budget, refit->price_max, gap_relative, out_mix, err));
    if (work == NULL)
        return ES_OK;
    ES_TRY(es_mix_expand(scratch, &oracle, out_mix, instance->task_count, instance->cell_count,
                         work, busy_s, err));
    for (uint32_t j = 0; j < instance->task_count; j++)
        if (work[j] < DUST * es_instance_work_max(instance, j))
            work[j] = 0.0; /* what rounding left of a task that gets nothing */
    return ES_OK;
}
