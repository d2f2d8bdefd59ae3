/*
 * A certified approximation for scenarios too large for the exact front; shares as in plan.
 *
 * First weighted sums, each solved by whatever method plan takes at that size: its proven bound is
 * a half-space that no plan leaves. Then, where the program is small enough for branch and cut,
 * limits on a grid (AUGMECON2: a small price on the other measures, bypass, early exit), which also
 * find points that no weighted sum has; their bounds are boxes that no plan enters.
 */
#include "plan/pareto.h"

#include <math.h>

static const double SOLVE_GAP = 1e-4;    /* good enough for a point; the bound says the rest */
static const double AUGMENT = 1e-3;      /* of AUGMECON2, per range of the first measure */
static const double WEIGHT_LEAST = 1e-3; /* so that no measure is left to chance */

/* Each round doubles the weights and limits per measure. */
enum { ROUNDS_MAX = 16 };

/* The scenario with other weights, in which hosting is free. */
static es_status weigh(es_front_maker *maker, const double *weights, const es_scenario **out,
                       es_error *err)
{
    const es_scenario *given = maker->scenario;
    es_scenario *copy = ES_TAKE_ONE(maker->scratch, es_scenario);
    es_segment *segments = ES_TAKE_ARRAY(maker->scratch, es_segment, given->segment_count);
    if (copy == NULL || segments == NULL)
        return es_arena_full(maker->scratch, "scenario", err);
    for (uint32_t s = 0; s < given->segment_count; s++) {
        segments[s] = given->segments[s];
        segments[s].hosting_per_s = 0.0;
    }
    *copy = *given;
    copy->segments = segments;
    copy->objective = (es_objective){.refusal_cost = (double)INFINITY};
    for (uint32_t k = 0; k < maker->opts.measure_count; k++)
        switch (maker->opts.measures[k]) {
        case ES_MEASURE_LATENCY:
            copy->objective.latency_per_s = weights[k];
            break;
        case ES_MEASURE_ENERGY:
            copy->objective.energy_per_j = weights[k];
            copy->objective.idle_per_j = weights[k];
            break;
        case ES_MEASURE_QUALITY:
            copy->objective.quality = weights[k];
            break;
        case ES_MEASURE_CARBON: /* that of idling is left out, so bounds hold */
            copy->objective.carbon_per_g = weights[k];
            break;
        case ES_MEASURE_COUNT:
            break;
        }
    *out = copy;
    return ES_OK;
}

/* A copy of plan in arena. */
static es_status keep_plan(es_front_maker *maker, const es_plan *plan, const es_plan **out)
{
    es_plan *copy = ES_TAKE_ONE(maker->work, es_plan);
    es_placement *placements = ES_TAKE_ARRAY(maker->work, es_placement, plan->placement_count);
    es_routing *routings = ES_TAKE_ARRAY(maker->work, es_routing, plan->routing_count);
    double *refused = ES_TAKE_ARRAY(maker->work, double, maker->scenario->class_count);
    if (copy == NULL || placements == NULL || routings == NULL || refused == NULL)
        return es_arena_full(maker->work, "plan", maker->err);
    if (plan->placement_count > 0)
        memcpy(placements, plan->placements, plan->placement_count * sizeof *placements);
    if (plan->routing_count > 0)
        memcpy(routings, plan->routings, plan->routing_count * sizeof *routings);
    *copy = *plan;
    copy->placements = placements;
    copy->routings = routings;
    copy->refused_share = refused;
    copy->conflict = NULL;
    copy->scenario = maker->given->name;
    *out = copy;
    return ES_OK;
}

/* One weighted sum of raw weights: a point and a cut. */
static es_status solve_sum(es_front_maker *maker, const double *weights, double limit_s,
                           es_front_solve_result *out)
{
    const es_scenario *scenario = NULL;
    const es_plan *plan = NULL;
    *out = (es_front_solve_result){.quality = ES_PLAN_UNKNOWN, .bound = -(double)INFINITY};
    limit_s = fmin(limit_s, es_deadline_left_s(&maker->deadline));
    if (limit_s <= 0.0)
        return ES_OK;
    es_plan_opts opts = maker->opts.plan;
    opts.method = ES_PLAN_AUTO;
    opts.time_limit_s = limit_s;
    opts.gap_relative = SOLVE_GAP;
    es_arena_reset(maker->scratch);
    ES_TRY(weigh(maker, weights, &scenario, maker->err));
    ES_TRY(es_plan_solve(maker->scratch, scenario, opts, &plan, maker->err));
    maker->front->solve_count++;
    out->quality = plan->quality;
    out->bound = plan->bound;
    if (plan->quality == ES_PLAN_INFEASIBLE)
        return ES_OK;
    if (isfinite(plan->bound))
        ES_TRY(es_front_add_cut(maker, weights, fmax(plan->bound, 0.0)));
    if (plan->quality == ES_PLAN_UNKNOWN)
        return ES_OK;
    ES_TRY(keep_plan(maker, plan, &out->plan));
    es_front_values(maker->scenario, maker->opts.measures, maker->opts.measure_count, out->plan,
                    out->values);
    return es_front_add_point(maker, out->values, out->plan);
}

/* One measure by itself; *out_quality becomes FEASIBLE when there is a plan, INFEASIBLE when there
 * can be none. */
static es_status solve_end(es_front_maker *maker, uint32_t k, double limit_s,
                           es_plan_quality *out_quality)
{
    double weights[ES_FRONT_MEASURES_MAX] = {0};
    es_front_solve_result result;
    weights[k] = 1.0;
    ES_TRY(solve_sum(maker, weights, limit_s, &result));
    if (result.quality == ES_PLAN_INFEASIBLE)
        *out_quality = ES_PLAN_INFEASIBLE;
    if (result.plan == NULL)
        return ES_OK;
    *out_quality = ES_PLAN_FEASIBLE;
    for (uint32_t j = 0; j < maker->opts.measure_count; j++) {
        maker->ideal[j] = fmin(maker->ideal[j], result.values[j]);
        maker->payoff_worst[j] = fmax(maker->payoff_worst[j], result.values[j]);
    }
    return ES_OK;
}

/* Every measure by itself: ideals, and ranges from what the others are then. */
static es_status solve_ends(es_front_maker *maker, double each_s, double *range,
                            es_plan_quality *out_quality)
{
    uint32_t count = maker->opts.measure_count;
    *out_quality = ES_PLAN_UNKNOWN;
    for (uint32_t k = 0; k < count; k++) {
        maker->ideal[k] = (double)INFINITY;
        maker->payoff_worst[k] = -(double)INFINITY;
    }
    for (uint32_t k = 0; k < count; k++) {
        ES_TRY(solve_end(maker, k, each_s, out_quality));
        if (*out_quality == ES_PLAN_INFEASIBLE)
            return ES_OK;
    }
    /* Nothing yet: any plan is worth more time than a good one. */
    if (*out_quality == ES_PLAN_UNKNOWN) {
        ES_TRY(solve_end(maker, 0, 0.75 * es_deadline_left_s(&maker->deadline), out_quality));
        if (*out_quality != ES_PLAN_FEASIBLE)
            return ES_OK;
    }
    for (uint32_t k = 0; k < count; k++) {
        range[k] = maker->payoff_worst[k] - maker->ideal[k];
        if (!(range[k] > 1e-9 * fabs(maker->ideal[k])))
            range[k] = fmax(fabs(maker->ideal[k]), 1e-12);
    }
    return ES_OK;
}

/* Weights in halves of those of the round before: the first round has all, the later ones what is
 * new. */
static bool is_new(uint32_t round, const uint32_t *parts)
{
    return round == 0 || parts[0] % 2 != 0 || parts[1] % 2 != 0 || parts[2] % 2 != 0;
}

/* Weights on a lattice of the simplex, steps of 1 / height. */
static es_status solve_lattice(es_front_maker *maker, uint32_t round, uint32_t height,
                               double share_s, const double *range)
{
    uint32_t count = maker->opts.measure_count;
    double total = count == 2 ? height + 1.0 : (height + 1.0) * (height + 2.0) / 2.0;
    double end_s = es_deadline_left_s(&maker->deadline) - share_s;
    for (uint32_t a = 0; a <= height; a++)
        for (uint32_t b = count == 2 ? height - a : 0; b <= height - a; b++, total -= 1.0) {
            const uint32_t parts[ES_FRONT_MEASURES_MAX] = {a, b, height - a - b};
            double weights[ES_FRONT_MEASURES_MAX] = {0};
            es_front_solve_result result;
            if (!is_new(round, parts))
                continue;
            for (uint32_t k = 0; k < count; k++)
                weights[k] = fmax((double)parts[k] / (double)height, WEIGHT_LEAST) / range[k];
            double left_s = es_deadline_left_s(&maker->deadline) - end_s;
            if (left_s <= 0.0)
                return ES_OK;
            ES_TRY(solve_sum(maker, weights, left_s / fmax(total, 1.0), &result));
        }
    return ES_OK;
}

/* One program of the grid, unless a trial with wider limits tells its answer. */
static es_status try_grid(es_front_maker *maker, const double *limits, double limit_s,
                          es_plan_quality *out_quality)
{
    uint32_t count = maker->opts.measure_count;
    const double weights[ES_FRONT_MEASURES_MAX] = {1.0, AUGMENT, AUGMENT / 10};
    const es_front_trial *known = es_front_known(maker, limits);
    if (known != NULL) {
        *out_quality = known->result.quality;
        maker->front->reuse_count++;
        return ES_OK;
    }
    es_front_trial trial;
    memcpy(trial.limits, limits, sizeof trial.limits);
    ES_TRY(es_front_minimise(maker, weights, limits, SOLVE_GAP, limit_s,
                             es_front_start(maker, limits), &trial.result, maker->err));
    *out_quality = trial.result.quality;
    if (trial.result.quality == ES_PLAN_INFEASIBLE)
        ES_TRY(es_front_add_box(maker, limits, (double)INFINITY));
    else if (isfinite(trial.result.bound)) {
        /* The price on the others is at most that of their limits. */
        double least = trial.result.bound;
        for (uint32_t k = 1; k < count; k++)
            least -= weights[k] * (limits[k] - maker->base[k]) / maker->range[k];
        ES_TRY(es_front_add_box(maker, limits, maker->base[0] + maker->range[0] * least));
    }
    if (trial.result.plan != NULL)
        ES_TRY(es_front_add_point(maker, trial.result.values, trial.result.plan));
    return ES_ARRAY_PUSH(maker->work, &maker->trials, trial, "trials", maker->err);
}

/* Limits from wide to narrow, the second measure innermost. */
static es_status solve_grid(es_front_maker *maker, uint32_t steps, double share_s)
{
    uint32_t count = maker->opts.measure_count;
    uint32_t outer = count == 2 ? 1 : steps;
    uint32_t left = outer * steps;
    double end_s = es_deadline_left_s(&maker->deadline) - share_s;
    for (uint32_t i = 0; i < outer; i++) {
        double limits[ES_FRONT_MEASURES_MAX] = {(double)INFINITY, 0.0, (double)INFINITY};
        if (count == 3)
            limits[2] = maker->payoff_worst[2] -
                        (double)i / steps * (maker->payoff_worst[2] - maker->ideal[2]);
        for (uint32_t j = 0; j < steps; j++, left--) {
            es_plan_quality quality;
            double left_s = es_deadline_left_s(&maker->deadline) - end_s;
            if (left_s <= 0.0)
                return ES_OK;
            limits[1] = maker->payoff_worst[1] -
                        (double)j / steps * (maker->payoff_worst[1] - maker->ideal[1]);
            ES_TRY(try_grid(maker, limits, 2.0 * left_s / (double)left, &quality));
            if (quality == ES_PLAN_INFEASIBLE) { /* so are all narrower ones */
                maker->front->reuse_count += steps - 1 - j;
                left -= steps - 1 - j;
                left--;
                break;
            }
        }
    }
    return ES_OK;
}

/* Points that no other covers. O(points^2). */
static size_t count_efficient(const es_front_maker *maker)
{
    size_t efficient = 0;
    for (size_t i = 0; i < maker->points.count; i++) {
        bool covered = false;
        for (size_t j = 0; j < maker->points.count && !covered; j++) {
            const double *a = maker->points.items[j].values;
            const double *b = maker->points.items[i].values;
            covered = j != i && es_front_covers(a, b, maker->opts.measure_count) &&
                      (j < i || !es_front_covers(b, a, maker->opts.measure_count));
        }
        efficient += covered ? 0 : 1;
    }
    return efficient;
}

es_status es_front_approx(es_front_maker *maker)
{
    uint32_t count = maker->opts.measure_count;
    double range[ES_FRONT_MEASURES_MAX];
    bool grid = !maker->problem->truncated && maker->problem->path_count > 0 &&
                maker->problem->path_count <= maker->opts.plan.exact_size_max;
    double total_s = es_deadline_left_s(&maker->deadline);
    ES_TRY(solve_ends(maker, 0.25 * total_s / count, range, &maker->front->quality));
    if (maker->front->quality != ES_PLAN_FEASIBLE)
        return ES_OK;
    if (grid) {
        ES_TRY(es_front_program(maker, maker->given->unsplittable));
        ES_TRY(es_front_scale(maker, range));
    }
    /* Coarse first, so that a short time is spread over all of the front. */
    double finest =
        count == 2 ? 4.0 * maker->opts.point_count : 8.0 * sqrt(maker->opts.point_count);
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        uint32_t height = 2u << round;
        double left_s = es_deadline_left_s(&maker->deadline);
        if (left_s <= 0.0 || height > finest ||
            (4.0 * height > finest && count_efficient(maker) >= maker->opts.point_count))
            break;
        ES_TRY(solve_lattice(maker, round, height, grid ? 0.4 * left_s : 0.7 * left_s, range));
        if (grid)
            ES_TRY(solve_grid(maker, height, 0.4 * left_s));
    }
    return ES_OK;
}
