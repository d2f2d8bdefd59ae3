/* Prices that give a high bound: the volume algorithm. */
#include "plan/decompose.h"

#include <math.h>

static const double WEIGHT_START = 0.3;
static const double WEIGHT_MIN = 0.05;
static const double FACTOR_MIN = 1e-4;

/* Prices start at the cheapest path; steps are as long as these prices are high. */
static void set_scales(es_ascent *ascent)
{
    const es_layout *layout = ascent->layout;
    const es_problem *problem = layout->problem;
    double total = 0.0;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        double least = layout->refusal[r];
        double span = 0.0;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            least = fmin(least, layout->path_cost[p]);
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (isfinite(layout->path_cost[p]))
                span = fmax(span, layout->path_cost[p] - least);
        if (!isfinite(least))
            least = 0.0; /* no way to serve it: the bound will rise for ever */
        ascent->best.pi[r] = least;
        double size = least > 0.0 ? least : span > 0.0 ? span : 1.0;
        ascent->scale.pi[r] = size * size;
        ascent->scale.kappa[r] = 0.0;
        if (layout->quality_binds[r])
            ascent->scale.kappa[r] = 25.0 * size * size;
        total += size;
    }
    double compute = 0.0;
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (isfinite(problem->compute_s[v]))
            compute += problem->compute_s[v];
    for (uint32_t v = 0; v < problem->node_count; v++) {
        /* In units of a node's capacity, where a class is a part of it. */
        double size = problem->compute_s[v] > 0.0 && isfinite(problem->compute_s[v])
                          ? total / compute / problem->compute_s[v]
                          : 0.0;
        ascent->scale.mu[v] = total / problem->class_count * size;
    }
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        ascent->scale.gamma[i] = total / problem->class_count * total / problem->link_row_count;
    for (uint32_t c = 0; c < layout->cell_count; c++)
        for (uint32_t i = layout->cell_slot_first[c]; i < layout->cell_slot_first[c + 1]; i++)
            ascent->scale.rho[i] = 0.25 * ascent->scale.pi[layout->cell_class[c]];
}

es_status es_ascent_init(es_ascent *ascent, es_arena *arena, const es_layout *layout, es_error *err)
{
    *ascent = (es_ascent){.layout = layout,
                          .bound = -INFINITY,
                          .upper = INFINITY,
                          .target = -INFINITY,
                          .factor = 0.5,
                          .weight = WEIGHT_START};
    ES_TRY(es_multipliers_new(arena, layout, &ascent->best, err));
    ES_TRY(es_multipliers_new(arena, layout, &ascent->trial, err));
    ES_TRY(es_multipliers_new(arena, layout, &ascent->mean, err));
    ES_TRY(es_multipliers_new(arena, layout, &ascent->scale, err));
    ES_TRY(es_relaxed_new(arena, layout, &ascent->answer, err));
    ES_TRY(es_node_room_new(arena, layout, &ascent->room, err));
    ascent->host_mean = ES_TAKE_ARRAY(arena, double, layout->problem->host_count);
    if (ascent->host_mean == NULL)
        return es_arena_full(arena, "ascent", err);
    set_scales(ascent);
    return ES_OK;
}

/* From where on prices must not be negative. */
static size_t signed_count(const es_ascent *ascent)
{
    return ascent->layout->problem->class_count;
}

/* Squared length of the mean slope, without what leads below 0. */
static double mean_length(const es_ascent *ascent)
{
    size_t free_count = signed_count(ascent);
    const double *mean = ascent->mean.all;
    const double *scale = ascent->scale.all;
    const double *best = ascent->best.all;
    double length = 0.0;
    for (size_t i = 0; i < ascent->mean.count; i++)
        if (i < free_count || best[i] > 0.0 || mean[i] > 0.0)
            length += scale[i] * mean[i] * mean[i];
    return length;
}

/* Prices of classes above that of their refusal say nothing more, and drown the rest. */
static void step_from_best(es_ascent *ascent, double step)
{
    size_t free_count = signed_count(ascent);
    const double *mean = ascent->mean.all;
    const double *scale = ascent->scale.all;
    const double *refusal = ascent->layout->refusal;
    for (size_t i = 0; i < ascent->trial.count; i++) {
        double price = ascent->best.all[i] + step * scale[i] * mean[i];
        if (i < free_count)
            ascent->trial.all[i] = fmin(price, refusal[i]);
        else
            ascent->trial.all[i] = fmax(price, 0.0);
    }
}

/* The weight of the new answer that makes the mean slope shortest, within limits. */
static double best_weight(const es_ascent *ascent)
{
    const double *mean = ascent->mean.all;
    const double *slope = ascent->answer.slope.all;
    const double *scale = ascent->scale.all;
    double across = 0.0;
    double length = 0.0;
    for (size_t i = 0; i < ascent->mean.count; i++) {
        double difference = slope[i] - mean[i];
        across -= scale[i] * mean[i] * difference;
        length += scale[i] * difference * difference;
    }
    double weight = length > 0.0 ? across / length : ascent->weight;
    return fmin(fmax(weight, ascent->weight / 10.0), ascent->weight);
}

static void mix(es_ascent *ascent, double weight)
{
    const es_layout *layout = ascent->layout;
    for (size_t i = 0; i < ascent->mean.count; i++)
        ascent->mean.all[i] += weight * (ascent->answer.slope.all[i] - ascent->mean.all[i]);
    for (uint32_t h = 0; h < layout->problem->host_count; h++) {
        uint8_t set = ascent->answer.group_choice[layout->host_group[h]];
        double chosen = (double)(set >> layout->host_position[h] & 1);
        ascent->host_mean[h] += weight * (chosen - ascent->host_mean[h]);
    }
}

static double inner(const es_ascent *ascent)
{
    double sum = 0.0;
    for (size_t i = 0; i < ascent->mean.count; i++)
        sum += ascent->scale.all[i] * ascent->mean.all[i] * ascent->answer.slope.all[i];
    return sum;
}

/* Longer steps after agreement, shorter after failures in a row. */
static void adapt(es_ascent *ascent, bool better, double agreement)
{
    enum { DULL_MAX = 10 };
    if (better) {
        ascent->dull = 0;
        if (agreement > 0.0)
            ascent->factor = fmin(2.0, ascent->factor * 1.1);
        return;
    }
    if (++ascent->dull < DULL_MAX)
        return;
    ascent->dull = 0;
    ascent->factor *= 0.8;
    ascent->weight = fmax(WEIGHT_MIN, ascent->weight * 0.95);
}

static double aim(es_ascent *ascent)
{
    if (isfinite(ascent->upper))
        return ascent->upper;
    double near = fabs(ascent->bound) * 0.01;
    if (!isfinite(ascent->target) || ascent->bound + near > ascent->target)
        ascent->target = ascent->bound + 2.0 * near + 1e-9;
    return ascent->target;
}

static void first_step(es_ascent *ascent)
{
    es_relaxed_solve(ascent->layout, &ascent->best, ascent->fixing, &ascent->room, &ascent->answer);
    ascent->bound = fmax(ascent->bound, ascent->answer.value);
    mix(ascent, ascent->step_count == 0 ? 1.0 : ascent->weight);
    ascent->step_count++;
    ascent->restarted = false;
}

void es_ascent_restart(es_ascent *ascent, const es_multipliers *prices, const uint8_t *fixing,
                       double factor, double weight)
{
    if (prices != &ascent->best)
        memcpy(ascent->best.all, prices->all, prices->count * sizeof(double));
    ascent->fixing = fixing;
    ascent->factor = factor;
    ascent->weight = weight;
    ascent->dull = 0;
    ascent->target = -INFINITY;
    ascent->bound = -INFINITY;
    ascent->restarted = true;
}

bool es_ascent_run(es_ascent *ascent, uint32_t step_max, double gap_relative,
                   const es_deadline *deadline)
{
    if (ascent->step_count == 0 || ascent->restarted)
        first_step(ascent);
    for (uint32_t i = 0; i < step_max; i++) {
        double room = aim(ascent) - ascent->bound;
        double length = mean_length(ascent);
        if (isfinite(ascent->upper) && room <= gap_relative * fabs(ascent->upper))
            return false;
        if (length <= 0.0 || ascent->factor < FACTOR_MIN || es_deadline_left_s(deadline) <= 0.0)
            return false;
        step_from_best(ascent, ascent->factor * room / length);
        es_relaxed_solve(ascent->layout, &ascent->trial, ascent->fixing, &ascent->room,
                         &ascent->answer);
        ascent->step_count++;
        double agreement = inner(ascent);
        bool better = ascent->answer.value > ascent->bound;
        mix(ascent, best_weight(ascent));
        if (better) {
            ascent->bound = ascent->answer.value;
            memcpy(ascent->best.all, ascent->trial.all, ascent->best.count * sizeof(double));
        }
        adapt(ascent, better, agreement);
    }
    return true;
}
