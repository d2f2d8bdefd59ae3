/* A first solution: hosts are opened for good, a few at a time, while the prices follow. */
#include "plan/decompose.h"

#include <math.h>

es_dive_opts es_dive_opts_default(void)
{
    return (es_dive_opts){.step_count = 40, .fix_share = 0.1, .factor = 0.02, .weight = 0.1};
}

typedef struct diver {
    const es_problem *problem;
    es_ascent *dive;
    uint8_t *fixing;
    double *memory_left;
    uint32_t *order; /* hosts free, chosen at all */
    uint32_t free_count;
} diver;

typedef struct candidate {
    double mean;
    uint32_t host;
} candidate;

static int compare_candidates(const void *left, const void *right)
{
    const candidate *a = left;
    const candidate *b = right;
    if (a->mean != b->mean)
        return a->mean > b->mean ? -1 : 1;
    return a->host < b->host ? -1 : a->host > b->host;
}

static bool fits(const diver *d, uint32_t h)
{
    const es_host *host = &d->problem->hosts[h];
    return host->memory_bytes <= d->memory_left[host->node.index];
}

/* Free hosts that are chosen now and then, most chosen first; those that do not fit are closed. */
static uint32_t list_candidates(diver *d, candidate *candidates, double *out_sum)
{
    static const double MEAN_MIN = 0.02;
    uint32_t count = 0;
    *out_sum = 0.0;
    for (uint32_t h = 0; h < d->problem->host_count; h++) {
        if (d->fixing[h] != ES_FIX_FREE)
            continue;
        if (!fits(d, h)) {
            d->fixing[h] = ES_FIX_CLOSED;
            continue;
        }
        if (d->dive->host_mean[h] < MEAN_MIN)
            continue;
        candidates[count++] = (candidate){d->dive->host_mean[h], h};
        *out_sum += d->dive->host_mean[h];
    }
    if (count > 1)
        qsort(candidates, count, sizeof *candidates, compare_candidates);
    return count;
}

/* Opens the most chosen: a share of those expected, and all that are nearly always chosen. */
static void fix_some(diver *d, const candidate *candidates, uint32_t count, double want)
{
    static const double SURE = 0.97;
    uint32_t fixed = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t h = candidates[i].host;
        if (candidates[i].mean < SURE && fixed >= 1 && (double)fixed >= want)
            break;
        if (!fits(d, h))
            continue;
        d->fixing[h] = ES_FIX_OPEN;
        d->memory_left[d->problem->hosts[h].node.index] -= d->problem->hosts[h].memory_bytes;
        fixed++;
    }
}

es_status es_dive(es_arena *arena, es_ascent *dive, const es_multipliers *prices, es_dive_opts opts,
                  const es_deadline *deadline, bool *out_open, es_error *err)
{
    const es_problem *problem = dive->layout->problem;
    enum { ROUNDS_MAX = 400 };
    diver d = {.problem = problem, .dive = dive};
    d.fixing = ES_TAKE_ARRAY(arena, uint8_t, problem->host_count);
    d.memory_left = ES_TAKE_ARRAY(arena, double, problem->node_count);
    candidate *candidates = ES_TAKE_ARRAY(arena, candidate, problem->host_count);
    if (d.fixing == NULL || d.memory_left == NULL || candidates == NULL)
        return es_arena_full(arena, "dive", err);
    memcpy(d.memory_left, problem->memory_bytes, problem->node_count * sizeof(double));
    for (uint32_t h = 0; opts.fixing != NULL && h < problem->host_count; h++) {
        d.fixing[h] = opts.fixing[h];
        if (d.fixing[h] == ES_FIX_OPEN)
            d.memory_left[problem->hosts[h].node.index] -= problem->hosts[h].memory_bytes;
    }
    es_ascent_restart(dive, prices, d.fixing, opts.factor, opts.weight);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        double sum;
        (void)es_ascent_run(dive, opts.step_count, 0.0, deadline);
        uint32_t count = list_candidates(&d, candidates, &sum);
        if (count == 0)
            break;
        bool late = es_deadline_left_s(deadline) <= 0.0;
        fix_some(&d, candidates, count, late ? (double)count : opts.fix_share * sum);
        es_ascent_restart(dive, &dive->best, d.fixing, opts.factor, opts.weight);
    }
    for (uint32_t h = 0; h < problem->host_count; h++)
        out_open[h] = d.fixing[h] == ES_FIX_OPEN;
    return ES_OK;
}
