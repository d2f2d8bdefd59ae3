/* The fractional answer rounded: each task to one cell, then the best works there. */
#include "schedule/internal.h"

#include <math.h>

static double network_use(const es_instance *instance, uint32_t cell, uint32_t place, int budget)
{
    return instance->cells[cell].use_per_bit[budget] * instance->input_bits[place];
}

/* What running place on cell costs at the relaxation's prices, its work aside. */
static double network_price(const es_instance *instance, const double *prices, uint32_t cell,
                            uint32_t place)
{
    double price = 0.0;
    for (int b = 0; instance->networked && b < ES_BUDGET_COUNT; b++)
        price += prices[b] * network_use(instance, cell, place, b);
    return price;
}

/* In order of deadlines, each task where most of its fractional work fits the profile; what fits
 * nowhere goes where most room is left. */
static void place_tasks(const es_instance *instance, const es_fractional *fractional, double *load,
                        uint32_t *cell_of)
{
    for (uint32_t j = 0; j < instance->task_count; j++) {
        uint32_t best = ES_NOWHERE;
        double best_score = 0.0;
        double best_room = 0.0;
        double best_work = 0.0;
        for (uint32_t c = 0; c < instance->cell_count; c++) {
            const es_cell *cell = &instance->cells[c];
            double room_s = es_cell_room_s(cell, instance->deadline[j]) - load[c];
            double profile_s = fmin(room_s, fractional->busy_s[c] - load[c]);
            double work = fmax(fmin(fractional->work[j], cell->speed * profile_s), 0.0);
            double score = work;
            if (instance->networked)
                score = es_instance_gain(instance, j, work) -
                        network_price(instance, fractional->prices, c, j);
            bool better =
                score > best_score || (score == best_score && room_s > 0.0 && room_s > best_room);
            if (!better)
                continue;
            best = c;
            best_score = score;
            best_room = room_s;
            best_work = work;
        }
        cell_of[j] = best;
        if (best != ES_NOWHERE)
            load[best] += best_work / instance->cells[best].speed;
    }
}

typedef struct charged {
    double worth; /* quality per share of the budgets that its network takes */
    uint32_t place;
} charged;

static int by_worth(const void *a, const void *b)
{
    const charged *left = a;
    const charged *right = b;
    if (left->worth != right->worth)
        return left->worth > right->worth ? -1 : 1;
    return (left->place > right->place) - (left->place < right->place);
}

/* Keeps the tasks whose transfers are worth most while the budgets last for all of them. */
static es_status drop_charged(es_arena *scratch, const es_instance *instance,
                              const es_fractional *fractional, uint32_t *cell_of, es_error *err)
{
    charged *list = ES_TAKE_ARRAY(scratch, charged, instance->task_count);
    if (list == NULL)
        return es_arena_full(scratch, "transfers", err);
    uint32_t count = 0;
    for (uint32_t j = 0; j < instance->task_count; j++) {
        double share = 0.0;
        for (int b = 0; cell_of[j] != ES_NOWHERE && b < ES_BUDGET_COUNT; b++)
            share = fmax(share, network_use(instance, cell_of[j], j, b) / instance->budget[b]);
        if (share > 0.0)
            list[count++] =
                (charged){es_instance_gain(instance, j, fractional->work[j]) / share, j};
    }
    qsort(list, count, sizeof *list, by_worth);
    double used[ES_BUDGET_COUNT] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = list[i].place;
        bool fits = true;
        for (int b = 0; b < ES_BUDGET_COUNT; b++)
            fits = fits &&
                   used[b] + network_use(instance, cell_of[j], j, b) <= instance->budget[b] / 2.0;
        for (int b = 0; fits && b < ES_BUDGET_COUNT; b++)
            used[b] += network_use(instance, cell_of[j], j, b);
        if (!fits)
            cell_of[j] = ES_NOWHERE;
    }
    return ES_OK;
}

es_status es_round_solve(es_arena *arena, const es_instance *instance,
                         const es_fractional *fractional, double gap_relative, es_assigned *out,
                         es_error *err)
{
    es_refit *refit = NULL;
    es_mix mix = {0};
    double *load = ES_TAKE_ARRAY(arena, double, instance->cell_count);
    out->cell_of = ES_TAKE_ARRAY(arena, uint32_t, instance->task_count);
    out->work = ES_TAKE_ARRAY(arena, double, instance->task_count);
    double *busy_s = ES_TAKE_ARRAY(arena, double, instance->cell_count);
    if (load == NULL || out->cell_of == NULL || out->work == NULL || busy_s == NULL)
        return es_arena_full(arena, "rounding", err);
    ES_TRY(es_refit_new(arena, instance, &refit, err));
    place_tasks(instance, fractional, load, out->cell_of);
    ES_TRY(es_refit_solve(refit, arena, out->cell_of, gap_relative, out->work, busy_s, &mix, err));
    if (!isfinite(mix.gain)) {
        ES_TRY(drop_charged(arena, instance, fractional, out->cell_of, err));
        ES_TRY(
            es_refit_solve(refit, arena, out->cell_of, gap_relative, out->work, busy_s, &mix, err));
    }
    bool idle = false;
    for (uint32_t j = 0; instance->networked && j < instance->task_count; j++)
        if (out->work[j] <= 0.0 && out->cell_of[j] != ES_NOWHERE) {
            out->cell_of[j] = ES_NOWHERE; /* no need to send it anywhere */
            idle = true;
        }
    if (idle)
        ES_TRY(
            es_refit_solve(refit, arena, out->cell_of, gap_relative, out->work, busy_s, &mix, err));
    out->gain = mix.gain;
    return ES_OK;
}
