/* What one would do without this module: whole or fixed works, one task after the other. */
#include "schedule/internal.h"

#include <math.h>

static const double LEVELS[] = {1.0, 0.5, 0.25};

typedef struct state {
    const es_instance *instance;
    double *load_s; /* [cell_count] */
    double used[ES_BUDGET_COUNT];
} state;

static bool affordable(const state *s, uint32_t c, uint32_t j, double work)
{
    const es_cell *cell = &s->instance->cells[c];
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        double use = work / cell->speed * cell->use_per_s[b] +
                     cell->use_per_bit[b] * s->instance->input_bits[j];
        if (s->used[b] + use > s->instance->budget[b])
            return false;
    }
    return true;
}

/* Where work for j fits: earliest end, or least room left behind it. */
static uint32_t find_cell(const state *s, uint32_t j, double work, bool best_fit)
{
    uint32_t best = ES_NOWHERE;
    double best_score = (double)INFINITY;
    for (uint32_t c = 0; c < s->instance->cell_count; c++) {
        const es_cell *cell = &s->instance->cells[c];
        double room = es_cell_room_s(cell, s->instance->deadline[j]);
        double end = s->load_s[c] + work / cell->speed;
        if (end > room || !affordable(s, c, j, work))
            continue;
        double score = best_fit ? room - end : cell->open_s + end;
        if (score < best_score) {
            best = c;
            best_score = score;
        }
    }
    return best;
}

static void run_task(state *s, es_assigned *out, uint32_t j, es_schedule_method method)
{
    size_t levels = method == ES_SCHEDULE_EDF_3 ? sizeof LEVELS / sizeof LEVELS[0] : 1;
    for (size_t i = 0; i < levels; i++) {
        double work = LEVELS[i] * es_instance_work_max(s->instance, j);
        uint32_t c = find_cell(s, j, work, method == ES_SCHEDULE_BEST_FIT);
        if (c == ES_NOWHERE)
            continue;
        const es_cell *cell = &s->instance->cells[c];
        out->cell_of[j] = c;
        out->work[j] = work;
        out->gain += es_instance_gain(s->instance, j, work);
        s->load_s[c] += work / cell->speed;
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            s->used[b] += work / cell->speed * cell->use_per_s[b] +
                          cell->use_per_bit[b] * s->instance->input_bits[j];
        return;
    }
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

/* sequence [task_count]: places in the order in which they run. */
es_status es_baseline_solve(es_arena *arena, const es_instance *instance, es_schedule_method method,
                            es_assigned *out, uint32_t *sequence, es_error *err)
{
    uint32_t n = instance->task_count;
    state s = {.instance = instance, .load_s = ES_TAKE_ARRAY(arena, double, instance->cell_count)};
    uint64_t *keys = ES_TAKE_ARRAY(arena, uint64_t, n);
    *out = (es_assigned){.cell_of = ES_TAKE_ARRAY(arena, uint32_t, n),
                         .work = ES_TAKE_ARRAY(arena, double, n)};
    if (s.load_s == NULL || keys == NULL || out->cell_of == NULL || out->work == NULL)
        return es_arena_full(arena, "baseline", err);
    for (uint32_t j = 0; j < n; j++)
        keys[j] = (method == ES_SCHEDULE_FIFO ? (uint64_t)instance->order[j] << 32 : 0) | j;
    qsort(keys, n, sizeof *keys, by_number);
    for (uint32_t i = 0; i < n; i++) {
        sequence[i] = (uint32_t)(keys[i] & UINT32_MAX);
        out->cell_of[sequence[i]] = ES_NOWHERE;
        run_task(&s, out, sequence[i], method);
    }
    return ES_OK;
}
