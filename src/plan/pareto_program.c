/*
 * One program for a whole front: the plan's constraints, and a row per measure whose limit moves.
 *
 * Every class is served in full, so a constant per class can be taken off its paths' values: base.
 * Rows and costs are in units of range, which keeps them within the solver's tolerances.
 */
#include "plan/pareto.h"

#include <math.h>

/* A path's price, from the nodes of its hosts. */
static es_price price_of(const es_problem *problem, uint32_t class_index, const es_path *path)
{
    es_node_id nodes[ES_STAGE_COUNT_MAX];
    for (uint32_t k = 0; k < path->stage_count; k++)
        nodes[k] = problem->hosts[problem->stage_hosts[path->stage_first + k]].node;
    return es_scenario_price(problem->scenario, (es_class_id){class_index}, path->pipeline, nodes);
}

/* The values of a class's paths above the least of them. */
static void value_class(es_front_maker *maker, uint32_t k, uint32_t class_index)
{
    const es_problem *problem = maker->problem;
    es_measure measure = maker->opts.measures[k];
    double rate = es_problem_rate(problem, class_index);
    double least = (double)INFINITY;
    double most = 0.0;
    uint32_t end = problem->class_paths[class_index + 1];
    for (uint32_t p = problem->class_paths[class_index]; p < end; p++) {
        uint32_t col = maker->program.path_cols[p];
        if (col == ES_INDEX_NONE)
            continue;
        es_price price = price_of(problem, class_index, &problem->paths[p]);
        maker->col_values[k][col] = rate * es_measure_of_price(measure, &price);
        least = fmin(least, maker->col_values[k][col]);
    }
    for (uint32_t p = problem->class_paths[class_index]; p < end; p++) {
        uint32_t col = maker->program.path_cols[p];
        if (col == ES_INDEX_NONE)
            continue;
        maker->col_values[k][col] -= least;
        most = fmax(most, maker->col_values[k][col]);
    }
    maker->base[k] += isfinite(least) ? least : 0.0;
    maker->most[k] += most;
}

static es_status value_columns(es_front_maker *maker, uint32_t k)
{
    const es_problem *problem = maker->problem;
    maker->col_values[k] = ES_TAKE_ARRAY(maker->work, double, maker->program.col_cost.count);
    if (maker->col_values[k] == NULL)
        return es_arena_full(maker->work, "measures", maker->err);
    maker->base[k] = 0.0;
    maker->most[k] = 0.0;
    for (uint32_t r = 0; r < problem->class_count; r++)
        value_class(maker, k, r);
    for (uint32_t v = 0; v < problem->node_count; v++) {
        uint32_t col = maker->program.on_cols[v];
        if (col == ES_INDEX_NONE)
            continue;
        maker->col_values[k][col] =
            es_measure_of_node(maker->opts.measures[k], problem->scenario, (es_node_id){v});
        maker->most[k] += maker->col_values[k][col];
    }
    return ES_OK;
}

es_status es_front_program(es_front_maker *maker, bool whole)
{
    es_program *program = &maker->program;
    es_problem counted = *maker->problem;
    counted.idle_per_j = 0.0; /* whether a node is on is asked only where it is measured */
    for (uint32_t k = 0; k < maker->opts.measure_count; k++)
        if (maker->opts.measures[k] == ES_MEASURE_ENERGY ||
            maker->opts.measures[k] == ES_MEASURE_CARBON)
            counted.idle_per_j = 1.0;
    maker->whole = whole;
    ES_TRY(es_program_build(maker->work, &counted, NULL, program, maker->err));
    for (uint32_t p = 0; whole && p < maker->problem->path_count; p++)
        if (program->path_cols[p] != ES_INDEX_NONE)
            program->col_integer.items[program->path_cols[p]] = true;
    maker->term_count = program->terms.count;
    maker->row_first = (uint32_t)program->row_lower.count;
    double range[ES_FRONT_MEASURES_MAX] = {0};
    for (uint32_t k = 0; k < maker->opts.measure_count; k++) {
        ES_TRY(value_columns(maker, k));
        range[k] = maker->most[k];
        ES_TRY(
            ES_ARRAY_PUSH(maker->work, &program->row_lower, -(double)INFINITY, "rows", maker->err));
        ES_TRY(ES_ARRAY_PUSH(maker->work, &program->row_upper, 0.0, "rows", maker->err));
    }
    return es_front_scale(maker, range);
}

es_status es_front_scale(es_front_maker *maker, const double *range)
{
    es_program *program = &maker->program;
    program->terms.count = maker->term_count;
    for (uint32_t k = 0; k < maker->opts.measure_count; k++) {
        double least = 1e-9 * (fabs(maker->base[k]) + maker->most[k]);
        maker->range[k] = range[k] > least ? range[k] : least > 0.0 ? least : 1.0;
        for (uint32_t c = 0; c < (uint32_t)program->col_cost.count; c++) {
            es_term term = {maker->row_first + k, c, maker->col_values[k][c] / maker->range[k]};
            if (term.value > 0.0)
                ES_TRY(ES_ARRAY_PUSH(maker->work, &program->terms, term, "terms", maker->err));
        }
    }
    return ES_OK;
}

/* Each class on the path that has most of it. */
static void make_whole(const es_problem *problem, es_solution *solution)
{
    for (uint32_t r = 0; r < problem->class_count; r++) {
        uint32_t best = problem->class_paths[r];
        for (uint32_t p = best; p < problem->class_paths[r + 1]; p++)
            if (solution->shares[p] > solution->shares[best])
                best = p;
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            solution->shares[p] = p == best ? 1.0 : 0.0;
    }
}

static es_status keep_result(es_front_maker *maker, es_solution *solution,
                             es_front_solve_result *out, es_error *err)
{
    const es_problem *problem = maker->problem;
    if (maker->whole)
        make_whole(problem, solution);
    es_solution_tidy(problem, solution);
    solution->bound = -(double)INFINITY;
    ES_TRY(es_plan_from_solution(maker->work, problem, solution, ES_PLAN_EXACT, 0.0, NULL,
                                 &out->plan, err));
    es_front_values(maker->scenario, maker->opts.measures, maker->opts.measure_count, out->plan,
                    out->values);
    out->solution = solution;
    return ES_OK;
}

es_status es_front_minimise(es_front_maker *maker, const double *weights, const double *limits,
                            double gap_relative, double limit_s, const es_solution *start,
                            es_front_solve_result *out, es_error *err)
{
    es_program *program = &maker->program;
    es_plan_opts opts = maker->opts.plan;
    uint32_t count = maker->opts.measure_count;
    *out = (es_front_solve_result){.quality = ES_PLAN_UNKNOWN, .bound = -(double)INFINITY};
    opts.gap_relative = gap_relative;
    limit_s = fmin(limit_s, es_deadline_left_s(&maker->deadline));
    if (limit_s <= 0.0)
        return ES_OK;
    double size = 0.0;
    for (uint32_t k = 0; k < count; k++) {
        double most = maker->most[k] / maker->range[k];
        double upper = (limits[k] - maker->base[k]) / maker->range[k];
        program->row_upper.items[maker->row_first + k] = fmin(upper, most * 1.001 + 1.0);
        size += weights[k] * fmin(most, 1.0);
    }
    for (size_t c = 0; c < program->col_cost.count; c++) {
        program->col_cost.items[c] = 0.0;
        for (uint32_t k = 0; k < count; k++)
            program->col_cost.items[c] += weights[k] * maker->col_values[k][c] / maker->range[k];
    }
    es_solution *solution;
    es_arena_reset(maker->scratch);
    ES_TRY(es_solution_new(maker->work, maker->problem, &solution, err));
    ES_TRY(es_program_solve(maker->scratch, maker->problem, program, size, &opts, limit_s, start,
                            solution, err));
    maker->front->solve_count++;
    out->quality = solution->quality;
    out->bound = solution->bound;
    if (solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE)
        return keep_result(maker, solution, out, err);
    return ES_OK;
}

es_status es_front_payoff(es_front_maker *maker, double gap_relative, es_plan_quality *out_quality)
{
    uint32_t count = maker->opts.measure_count;
    double worst[ES_FRONT_MEASURES_MAX];
    const double none[ES_FRONT_MEASURES_MAX] = {(double)INFINITY, (double)INFINITY,
                                                (double)INFINITY};
    for (uint32_t k = 0; k < count; k++)
        worst[k] = -(double)INFINITY;
    for (int stage = 0; stage < 2; stage++) {
        double range[ES_FRONT_MEASURES_MAX];
        for (uint32_t k = 0; k < count; k++) {
            double weights[ES_FRONT_MEASURES_MAX] = {0};
            double limits[ES_FRONT_MEASURES_MAX];
            es_front_solve_result result;
            memcpy(limits, none, sizeof limits);
            for (uint32_t j = 0; j < count; j++)
                weights[j] = (j == k) == (stage == 0) ? 1.0 : 0.0;
            if (stage == 1) /* lexicographic: the others, without giving up the first */
                limits[k] = maker->ideal[k] + ES_FRONT_TOLERANCE * maker->range[k];
            ES_TRY(es_front_minimise(maker, weights, limits, gap_relative,
                                     es_deadline_left_s(&maker->deadline), NULL, &result,
                                     maker->err));
            if (stage == 0 && isfinite(result.bound)) {
                double least = fmin(maker->base[k] + maker->range[k] * result.bound,
                                    result.plan != NULL ? result.values[k] : (double)INFINITY);
                ES_TRY(es_front_add_cut(maker, weights, fmax(least, maker->base[k])));
                maker->ideal_bound[k] = fmax(least, maker->base[k]);
            }
            *out_quality = result.quality;
            if (result.plan == NULL)
                return ES_OK;
            if (stage == 0)
                maker->ideal[k] = result.values[k];
            for (uint32_t j = 0; j < count; j++)
                if (stage == 0 || j != k)
                    worst[j] = fmax(worst[j], result.values[j]);
            ES_TRY(es_front_add_point(maker, result.values, result.plan));
        }
        for (uint32_t k = 0; k < count; k++) {
            range[k] = worst[k] - maker->ideal[k];
            maker->payoff_worst[k] = worst[k];
            worst[k] = maker->ideal[k];
        }
        ES_TRY(es_front_scale(maker, range));
    }
    *out_quality = ES_PLAN_OPTIMAL;
    return ES_OK;
}

const es_front_trial *es_front_known(const es_front_maker *maker, const double *limits)
{
    uint32_t others = maker->opts.measure_count - 1;
    for (size_t i = 0; i < maker->trials.count; i++) {
        const es_front_trial *trial = &maker->trials.items[i];
        if (!es_front_covers(limits + 1, trial->limits + 1, others))
            continue; /* it had less room */
        if (trial->result.quality == ES_PLAN_INFEASIBLE ||
            (trial->result.quality == ES_PLAN_OPTIMAL &&
             es_front_covers(trial->result.values + 1, limits + 1, others)))
            return trial;
    }
    return NULL;
}

const es_solution *es_front_start(const es_front_maker *maker, const double *limits)
{
    const es_front_trial *best = NULL;
    for (size_t i = 0; i < maker->trials.count; i++) {
        const es_front_trial *trial = &maker->trials.items[i];
        if (trial->result.solution != NULL &&
            es_front_covers(trial->result.values, limits, maker->opts.measure_count) &&
            (best == NULL || trial->result.values[0] < best->result.values[0]))
            best = trial;
    }
    return best != NULL ? best->result.solution : NULL;
}

es_status es_front_add_point(es_front_maker *maker, const double *values, const es_plan *plan)
{
    es_front_point point = {.plan = plan};
    memcpy(point.values, values, maker->opts.measure_count * sizeof *values);
    return ES_ARRAY_PUSH(maker->work, &maker->points, point, "points", maker->err);
}

es_status es_front_add_box(es_front_maker *maker, const double *limits, double least)
{
    es_front_box box = {{0}};
    memcpy(box.corner, limits, maker->opts.measure_count * sizeof *limits);
    box.corner[0] = least;
    return ES_ARRAY_PUSH(maker->arena, &maker->boxes, box, "boxes", maker->err);
}

es_status es_front_add_cut(es_front_maker *maker, const double *weights, double least)
{
    es_front_cut cut = {.least = least};
    memcpy(cut.weights, weights, maker->opts.measure_count * sizeof *weights);
    return ES_ARRAY_PUSH(maker->arena, &maker->cuts, cut, "cuts", maker->err);
}
