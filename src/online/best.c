/* The best fixed allocation in hindsight, by mirror ascent on the mean gain. */
#include "online/ascent.h"
#include "online/greedy.h"

enum { STEPS_COUNT = 3 };
static const double step_sizes[STEPS_COUNT] = {0.75, 6, 48};

static int by_density(const void *left, const void *right)
{
    const double *a = left;
    const double *b = right;
    return (a[0] < b[0]) - (a[0] > b[0]);
}

double es_online_slack(const es_ascent *ascent, double (*rows)[2])
{
    const es_idn *idn = ascent->idn;
    double slack = 0;
    for (uint32_t v = 0; v < idn->node_count; v++) {
        uint32_t from = ascent->first[v];
        uint32_t count = ascent->first[v + 1] - from;
        for (uint32_t a = 0; a < count; a++) {
            uint32_t item = ascent->list[from + a];
            rows[a][0] = ascent->gradient[item] / ascent->size[from + a];
            rows[a][1] = ascent->weight[from + a];
            slack -= ascent->gradient[item] * ascent->hosted[item];
        }
        qsort(rows, count, sizeof *rows, by_density);
        double room = ascent->budget[v];
        for (uint32_t a = 0; a < count && room > 0; a++) {
            slack += rows[a][0] * fmin(room, rows[a][1]);
            room -= rows[a][1];
        }
    }
    return slack;
}

typedef struct search {
    const es_idn *idn;
    const es_idn_load *loads;
    const double *weights; /* of a slot */
    size_t count;
    double *part;
    double (*rows)[2];
    double *best;
    double best_gain, bound;
} search;

static void climb(search *own, es_ascent *ascent, uint32_t steps)
{
    size_t bytes = own->idn->item_count * sizeof *own->part;
    for (uint32_t n = 0; n < steps; n++) {
        double gain = 0;
        memset(ascent->gradient, 0, bytes);
        for (size_t l = 0; l < own->count; l++) {
            double cost = es_idn_gradient(&own->loads[l], ascent->hosted, own->part);
            gain += own->weights[l] * (own->loads[l].base_cost - cost);
            for (uint32_t i = 0; i < own->idn->item_count; i++)
                ascent->gradient[i] += own->weights[l] * own->part[i];
        }
        if (gain > own->best_gain) {
            own->best_gain = gain;
            memcpy(own->best, ascent->hosted, bytes);
        }
        own->bound = fmin(own->bound, gain + es_online_slack(ascent, own->rows));
        es_ascent_climb(ascent);
    }
}

es_status es_online_best(es_arena *arena, const es_idn *idn, const double *demand, uint32_t slots,
                         uint32_t steps, double *out_best, double *out_gain, double *out_bound,
                         es_error *err)
{
    enum { LOADS_MAX = 64 };
    es_idn_load *loads = NULL;
    double *weights = NULL;
    search own = {
        .idn = idn, .best = out_best, .best_gain = -(double)INFINITY, .bound = (double)INFINITY};
    ES_TRY(
        es_greedy_loads(arena, idn, demand, slots, LOADS_MAX, &loads, &weights, &own.count, err));
    for (size_t l = 0; l < own.count; l++)
        weights[l] /= slots;
    own.loads = loads;
    own.weights = weights;
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own.part, &own.part, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *own.rows, &own.rows, err));
    for (size_t s = 0; s < STEPS_COUNT; s++) {
        es_ascent ascent;
        ES_TRY(es_ascent_new(arena, idn, step_sizes[s], 0.5, &ascent, err));
        climb(&own, &ascent, steps);
    }
    *out_gain = own.best_gain;
    *out_bound = own.bound;
    return ES_OK;
}
