/* Works at points of the curves only: down, then up again while room and budgets last. */
#include "schedule/internal.h"

#include <math.h>

static const double SLACK = 1e-9; /* relative: a work that ends at a deadline still fits */

typedef struct step {
    double slope;
    uint32_t place;
    uint32_t segment;
} step;

static int by_slope(const void *a, const void *b)
{
    const step *left = a;
    const step *right = b;
    if (left->slope != right->slope)
        return left->slope > right->slope ? -1 : 1;
    return (left->segment > right->segment) - (left->segment < right->segment);
}

/* Tasks of each cell in order of deadlines. */
typedef struct lists {
    uint32_t *first; /* [cell_count + 1] */
    uint32_t *tasks; /* [task_count] */
    uint32_t *place; /* [task_count] index into tasks */
} lists;

static es_status make_lists(es_arena *scratch, const es_instance *instance, const uint32_t *cell_of,
                            lists *out, es_error *err)
{
    out->first = ES_TAKE_ARRAY(scratch, uint32_t, (size_t)instance->cell_count + 2);
    out->tasks = ES_TAKE_ARRAY(scratch, uint32_t, instance->task_count);
    out->place = ES_TAKE_ARRAY(scratch, uint32_t, instance->task_count);
    if (out->first == NULL || out->tasks == NULL || out->place == NULL)
        return es_arena_full(scratch, "points", err);
    for (uint32_t j = 0; j < instance->task_count; j++)
        if (cell_of[j] != ES_NOWHERE)
            out->first[cell_of[j] + 2]++;
    for (uint32_t c = 0; c < instance->cell_count; c++)
        out->first[c + 2] += out->first[c + 1];
    for (uint32_t j = 0; j < instance->task_count; j++)
        if (cell_of[j] != ES_NOWHERE) {
            out->place[j] = out->first[cell_of[j] + 1]++;
            out->tasks[out->place[j]] = j;
        }
    return ES_OK;
}

/* Whether j can have more work: every deadline from its own on still holds. O(tasks of the cell).
 */
static bool fits(const es_instance *instance, const lists *l, const es_assigned *assigned,
                 uint32_t j, double more)
{
    uint32_t c = assigned->cell_of[j];
    const es_cell *cell = &instance->cells[c];
    double sum = more;
    for (uint32_t i = l->first[c]; i < l->first[c + 1]; i++) {
        uint32_t other = l->tasks[i];
        double room = cell->speed * es_cell_room_s(cell, instance->deadline[other]);
        sum += assigned->work[other];
        if (i >= l->place[j] && sum > room * (1.0 + SLACK))
            return false;
    }
    return true;
}

static double go_down(const es_instance *instance, es_assigned *assigned, uint32_t *next,
                      double *used)
{
    double gain = 0.0;
    for (uint32_t j = 0; j < instance->task_count; j++) {
        double work = 0.0;
        uint32_t s = instance->first[j];
        for (; s < instance->first[j + 1]; s++) {
            double more = work + instance->length[s];
            if (assigned->cell_of[j] == ES_NOWHERE || more > assigned->work[j] * (1.0 + SLACK))
                break;
            work = more;
            gain += instance->length[s] * instance->slope[s];
        }
        assigned->work[j] = work;
        next[j] = s;
        if (work <= 0.0)
            continue;
        const es_cell *cell = &instance->cells[assigned->cell_of[j]];
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            used[b] += work / cell->speed * cell->use_per_s[b] +
                       cell->use_per_bit[b] * instance->input_bits[j];
    }
    return gain;
}

/* One more segment for j if it fits; true when taken. */
static bool go_up(const es_instance *instance, const lists *l, es_assigned *assigned,
                  const step *one, double *used)
{
    uint32_t j = one->place;
    double length = instance->length[one->segment];
    const es_cell *cell = &instance->cells[assigned->cell_of[j]];
    double after[ES_BUDGET_COUNT];
    for (int b = 0; b < ES_BUDGET_COUNT; b++) {
        after[b] = used[b] + length / cell->speed * cell->use_per_s[b];
        if (assigned->work[j] <= 0.0)
            after[b] += cell->use_per_bit[b] * instance->input_bits[j];
        if (after[b] > instance->budget[b] * (1.0 + 1e-12))
            return false;
    }
    if (!fits(instance, l, assigned, j, length))
        return false;
    memcpy(used, after, sizeof after);
    assigned->work[j] += length;
    return true;
}

es_status es_discrete_round(es_arena *scratch, const es_instance *instance, es_assigned *assigned,
                            es_error *err)
{
    uint32_t n = instance->task_count;
    uint32_t *next = ES_TAKE_ARRAY(scratch, uint32_t, n);
    step *steps = ES_TAKE_ARRAY(scratch, step, n);
    double used[ES_BUDGET_COUNT] = {0};
    lists l;
    if (next == NULL || steps == NULL)
        return es_arena_full(scratch, "points", err);
    ES_TRY(make_lists(scratch, instance, assigned->cell_of, &l, err));
    double gain = go_down(instance, assigned, next, used);
    bool any = true;
    while (any) { /* each round takes at least one segment */
        uint32_t count = 0;
        any = false;
        for (uint32_t j = 0; j < n; j++)
            if (assigned->cell_of[j] != ES_NOWHERE && next[j] < instance->first[j + 1])
                steps[count++] = (step){instance->slope[next[j]], j, next[j]};
        qsort(steps, count, sizeof *steps, by_slope);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t j = steps[i].place;
            if (!go_up(instance, &l, assigned, &steps[i], used)) {
                next[j] = instance->first[j + 1]; /* nor will it later */
                continue;
            }
            gain += instance->length[steps[i].segment] * steps[i].slope;
            next[j]++;
            any = true;
        }
    }
    assigned->gain = gain;
    return ES_OK;
}
