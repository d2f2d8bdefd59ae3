/*
 * The exact front by epsilon-constraints.
 *
 * Two measures: least first measure, then least second among those, then the second must become
 * smaller; and so on until nothing is left. Three: such a pass for a limit on the third, which then
 * falls below the largest third of the pass: a point not found yet is covered in the first two by
 * one of the pass, so its third is smaller than that one's (Özlen and Azizoğlu 2009). Programs
 * whose answer follows from one with wider limits are not solved: the bypass and early exit of
 * AUGMECON2 (Mavrotas and Florios 2013), for limits that need not lie on a grid.
 */
#include "plan/pareto.h"

#include <math.h>

/* Beyond this many programs something is wrong with the tolerances. */
enum { SOLVES_MAX = 200000, TIGHTEN_MAX = 8 };

/* Least first measure within limits, then least others; tightens where the solver's tolerances let
 * a limit be passed. */
static es_status solve_twice(es_front_maker *maker, const double *limits,
                             es_front_solve_result *out)
{
    uint32_t count = maker->opts.measure_count;
    const double first[ES_FRONT_MEASURES_MAX] = {1.0, 0.0, 0.0};
    const double others[ES_FRONT_MEASURES_MAX] = {0.0, 1.0, 1.0};
    double asked[ES_FRONT_MEASURES_MAX];
    memcpy(asked, limits, sizeof asked);
    for (int round = 0; round < TIGHTEN_MAX; round++) {
        es_front_solve_result second;
        bool within = true;
        double left_s = es_deadline_left_s(&maker->deadline);
        ES_TRY(es_front_minimise(maker, first, asked, 0.0, left_s, es_front_start(maker, asked),
                                 out, maker->err));
        if (out->quality != ES_PLAN_OPTIMAL)
            return ES_OK;
        double bounded[ES_FRONT_MEASURES_MAX];
        memcpy(bounded, asked, sizeof bounded);
        bounded[0] = out->values[0] + 1e-3 * ES_FRONT_TOLERANCE * maker->range[0];
        ES_TRY(es_front_minimise(maker, others, bounded, 0.0, left_s, out->solution, &second,
                                 maker->err));
        if (second.quality != ES_PLAN_OPTIMAL && second.quality != ES_PLAN_INFEASIBLE) {
            out->quality = ES_PLAN_FEASIBLE; /* out of time */
            return ES_OK;
        }
        /* Without a second answer the first stands: it does exist. */
        if (second.plan != NULL &&
            second.values[0] <= out->values[0] + ES_FRONT_TOLERANCE * maker->range[0]) {
            double least = out->values[0];
            *out = second;
            out->bound = (least - maker->base[0]) / maker->range[0];
        }
        for (uint32_t k = 1; k < count; k++) {
            double slack = 0.5 * ES_FRONT_TOLERANCE * maker->range[k];
            if (out->values[k] > limits[k] + slack) {
                asked[k] -= ES_FRONT_TOLERANCE * maker->range[k];
                within = false;
            }
        }
        if (within)
            return ES_OK;
    }
    out->quality = ES_PLAN_UNKNOWN;
    return ES_OK;
}

/* The answer for limits, known or solved; recorded as point, box and trial. */
static es_status try_limits(es_front_maker *maker, const double *limits, es_front_solve_result *out)
{
    const es_front_trial *known = es_front_known(maker, limits);
    if (known != NULL) {
        *out = known->result;
        maker->front->reuse_count++;
        return ES_OK;
    }
    ES_TRY(solve_twice(maker, limits, out));
    if (out->quality == ES_PLAN_OPTIMAL)
        ES_TRY(es_front_add_box(
            maker, limits, fmin(maker->base[0] + maker->range[0] * out->bound, out->values[0])));
    if (out->quality == ES_PLAN_INFEASIBLE)
        ES_TRY(es_front_add_box(maker, limits, (double)INFINITY));
    if (out->plan != NULL)
        ES_TRY(es_front_add_point(maker, out->values, out->plan));
    es_front_trial trial = {.result = *out};
    memcpy(trial.limits, limits, sizeof trial.limits);
    return ES_ARRAY_PUSH(maker->work, &maker->trials, trial, "trials", maker->err);
}

/* All points within limits[2] as the first two measures see them. *out_worst: the largest third
 * measure among them, -INFINITY when there is none. *out_done: false when time ran out. */
static es_status pass(es_front_maker *maker, const double *limits, double *out_worst,
                      bool *out_done)
{
    double here[ES_FRONT_MEASURES_MAX];
    memcpy(here, limits, sizeof here);
    *out_worst = -(double)INFINITY;
    *out_done = false;
    while (maker->front->solve_count < SOLVES_MAX) {
        es_front_solve_result result;
        ES_TRY(try_limits(maker, here, &result));
        if (result.quality == ES_PLAN_INFEASIBLE) {
            *out_done = true;
            return ES_OK;
        }
        if (result.quality != ES_PLAN_OPTIMAL)
            return ES_OK;
        *out_worst = fmax(*out_worst, result.values[2]);
        here[1] = result.values[1] - ES_FRONT_TOLERANCE * maker->range[1];
        if (here[1] < maker->ideal_bound[1]) {
            *out_done = true;
            return ES_OK;
        }
    }
    return ES_OK;
}

/* Every point is among the trials, and those are efficient, not only weakly so. */
static es_status keep_trials(es_front_maker *maker)
{
    maker->points.count = 0;
    for (size_t i = 0; i < maker->trials.count; i++) {
        const es_front_solve_result *result = &maker->trials.items[i].result;
        if (result->plan != NULL)
            ES_TRY(es_front_add_point(maker, result->values, result->plan));
    }
    return ES_OK;
}

es_status es_front_exact(es_front_maker *maker)
{
    es_plan_quality *quality = &maker->front->quality;
    double limits[ES_FRONT_MEASURES_MAX] = {(double)INFINITY, (double)INFINITY, (double)INFINITY};
    ES_TRY(es_front_program(maker, true));
    ES_TRY(es_front_payoff(maker, 0.0, quality));
    if (*quality != ES_PLAN_OPTIMAL)
        return ES_OK;
    *quality = ES_PLAN_FEASIBLE;
    for (;;) {
        double worst;
        bool done;
        ES_TRY(pass(maker, limits, &worst, &done));
        if (!done)
            return ES_OK;
        limits[2] = worst - ES_FRONT_TOLERANCE * maker->range[2];
        if (maker->opts.measure_count == 2 || limits[2] < maker->ideal_bound[2] ||
            !isfinite(worst)) {
            *quality = ES_PLAN_OPTIMAL;
            return keep_trials(maker);
        }
    }
}
