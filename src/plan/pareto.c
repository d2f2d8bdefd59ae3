/* Fronts: chooses the method, keeps the points that none dominates, writes the document. */
#include "plan/pareto.h"

#include <math.h>

static const char FORMAT[] = "estran-front";
enum { VERSION = 1, POINTS_MIN = 2, POINTS_MAX = 10000 };

es_front_opts es_front_opts_default(void)
{
    return (es_front_opts){.measures = {ES_MEASURE_LATENCY, ES_MEASURE_ENERGY, ES_MEASURE_QUALITY},
                           .measure_count = 3,
                           .method = ES_FRONT_AUTO,
                           .point_count = 20,
                           .exact_paths_max = 200,
                           .plan = es_plan_opts_default()};
}

static es_status check_opts(const es_front_opts *opts, es_error *err)
{
    if (opts->measure_count < 2 || opts->measure_count > ES_FRONT_MEASURES_MAX)
        return es_fail(err, ES_ERR_ARG, "front: %u objectives, must be 2 or 3",
                       (unsigned)opts->measure_count);
    for (uint32_t k = 0; k < opts->measure_count; k++) {
        if ((unsigned)opts->measures[k] >= ES_MEASURE_COUNT)
            return es_fail(err, ES_ERR_ARG, "front: objective %d must be 0..%d",
                           (int)opts->measures[k], ES_MEASURE_COUNT - 1);
        for (uint32_t j = 0; j < k; j++)
            if (opts->measures[j] == opts->measures[k])
                return es_fail(err, ES_ERR_ARG, "front: objective '%s' is given twice",
                               es_measure_names[opts->measures[k]]);
    }
    if ((unsigned)opts->method >= ES_FRONT_METHOD_COUNT)
        return es_fail(err, ES_ERR_ARG, "front: method=%d must be 0..%d", (int)opts->method,
                       ES_FRONT_METHOD_COUNT - 1);
    if (opts->point_count < POINTS_MIN || opts->point_count > POINTS_MAX)
        return es_fail(err, ES_ERR_ARG, "front: point_count=%u must be %d..%d",
                       (unsigned)opts->point_count, POINTS_MIN, POINTS_MAX);
    if (!(opts->plan.time_limit_s > 0.0) || !isfinite(opts->plan.time_limit_s))
        return es_fail(err, ES_ERR_ARG, "front: time_limit_s=%g must be finite and > 0",
                       opts->plan.time_limit_s);
    return ES_OK;
}

static int compare_points(const void *left, const void *right)
{
    const es_front_point *a = left;
    const es_front_point *b = right;
    for (int k = 0; k < ES_FRONT_MEASURES_MAX; k++)
        if (a->values[k] < b->values[k] || a->values[k] > b->values[k])
            return a->values[k] < b->values[k] ? -1 : 1;
    return 0;
}

/* Whether b adds nothing to a: a is as good but for noise, and comes first where both are. */
static bool spares(const es_front_maker *maker, const es_front_point *a, const es_front_point *b)
{
    bool as_good = true;
    bool nearly = true;
    for (uint32_t k = 0; k < maker->opts.measure_count; k++) {
        double noise = 1e-9 * fmax(fabs(a->values[k]), fabs(b->values[k]));
        as_good = as_good && a->values[k] <= b->values[k] + noise;
        nearly = nearly && b->values[k] <= a->values[k] + noise;
    }
    return as_good && (!nearly || a < b);
}

/* A copy of plan in the front's arena, its figures those of the scenario. */
static es_status copy_plan(const es_front_maker *maker, const es_plan *plan, const es_plan **out)
{
    es_arena *arena = maker->arena;
    es_plan *copy = ES_TAKE_ONE(arena, es_plan);
    es_placement *placements = ES_TAKE_ARRAY(arena, es_placement, plan->placement_count);
    es_routing *routings = ES_TAKE_ARRAY(arena, es_routing, plan->routing_count);
    double *refused = ES_TAKE_ARRAY(arena, double, maker->given->class_count);
    if (copy == NULL || placements == NULL || routings == NULL || refused == NULL)
        return es_arena_full(arena, "plan", maker->err);
    if (plan->placement_count > 0)
        memcpy(placements, plan->placements, plan->placement_count * sizeof *placements);
    if (plan->routing_count > 0)
        memcpy(routings, plan->routings, plan->routing_count * sizeof *routings);
    *copy = *plan;
    copy->scenario = maker->given->name;
    copy->quality = ES_PLAN_FEASIBLE;
    copy->placements = placements;
    copy->routings = routings;
    copy->refused_share = refused;
    copy->conflict = NULL;
    copy->objective = es_front_objective(maker->given, plan);
    copy->bound = -(double)INFINITY;
    copy->gap_relative = (double)INFINITY;
    *out = copy;
    return ES_OK;
}

/* Sorts, drops what another point covers, and copies the rest. O(points^2). */
static es_status keep_points(es_front_maker *maker)
{
    es_front_point *points = maker->points.items;
    size_t count = maker->points.count;
    size_t kept = 0;
    if (count > 1)
        qsort(points, count, sizeof *points, compare_points);
    bool *spared = ES_TAKE_ARRAY(maker->work, bool, count);
    es_front_point *out = ES_TAKE_ARRAY(maker->arena, es_front_point, count);
    if (spared == NULL || out == NULL)
        return es_arena_full(maker->arena, "points", maker->err);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count && !spared[i]; j++)
            spared[i] = j != i && !spared[j] && spares(maker, &points[j], &points[i]);
    for (size_t i = 0; i < count; i++)
        if (!spared[i]) {
            out[kept] = points[i];
            ES_TRY(copy_plan(maker, points[i].plan, &out[kept].plan));
            kept++;
        }
    maker->front->points = out;
    maker->front->point_count = kept;
    return ES_OK;
}

/* Why there is no point at all. */
static es_status explain(es_front_maker *maker)
{
    const es_plan *plan;
    es_plan_opts opts = maker->opts.plan;
    double left_s = es_deadline_left_s(&maker->deadline);
    opts.method = ES_PLAN_AUTO;
    opts.time_limit_s = fmax(left_s, 1.0);
    ES_TRY(es_plan_solve(maker->work, maker->scenario, opts, &plan, maker->err));
    const char *text = plan->conflict;
    if (plan->quality != ES_PLAN_INFEASIBLE)
        text = "there are plans, but none in which every class takes one path: try method approx";
    else if (text == NULL)
        text = "no plan serves every class";
    bool refusing = isfinite(maker->given->objective.refusal_cost);
    maker->front->conflict = es_arena_format(maker->arena, "%s%s", text,
                                             refusing ? " (a front does not refuse requests)" : "");
    if (maker->front->conflict == NULL)
        return es_arena_full(maker->arena, "conflict", maker->err);
    return ES_OK;
}

static es_status make(es_front_maker *maker)
{
    es_problem *problem;
    es_front *front = maker->front;
    ES_TRY(es_problem_build(maker->work, maker->scenario, es_problem_opts_default(), &problem,
                            maker->err));
    maker->problem = problem;
    bool exact = maker->opts.method == ES_FRONT_EXACT ||
                 (maker->opts.method == ES_FRONT_AUTO && !problem->truncated &&
                  problem->path_count <= maker->opts.exact_paths_max);
    if (exact && problem->truncated)
        return es_fail(maker->err, ES_ERR_LIMIT,
                       "front: too many ways through the pipelines of several stages for an exact "
                       "front; use method approx");
    front->method = exact ? ES_FRONT_EXACT : ES_FRONT_APPROX;
    if (exact && problem->path_count > 0)
        ES_TRY(es_front_exact(maker));
    else if (exact)
        front->quality = ES_PLAN_INFEASIBLE;
    else
        ES_TRY(es_front_approx(maker));
    ES_TRY(keep_points(maker));
    if (front->point_count > 0 && front->quality != ES_PLAN_OPTIMAL)
        front->quality = ES_PLAN_FEASIBLE;
    if (front->quality == ES_PLAN_INFEASIBLE)
        ES_TRY(explain(maker));
    front->boxes = maker->boxes.items;
    front->box_count = maker->boxes.count;
    front->cuts = maker->cuts.items;
    front->cut_count = maker->cuts.count;
    return es_front_measure(maker->work, front, maker->err);
}

es_status es_front_solve(es_arena *arena, const es_scenario *scenario, es_front_opts opts,
                         const es_front **out_front, es_error *err)
{
    ES_TRY(check_opts(&opts, err));
    if (opts.plan.clock == NULL)
        opts.plan.clock = es_clock_system();
    ES_CLEANUP(es_arena_free_p) es_arena *work = es_arena_new(ES_PLAN_SCRATCH_BYTES);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_PLAN_SCRATCH_BYTES);
    es_front *front = ES_TAKE_ONE(arena, es_front);
    if (work == NULL || scratch == NULL || front == NULL)
        return es_fail(err, ES_ERR_NOMEM, "front: no memory to solve in");
    es_scenario serving = *scenario;
    serving.objective.refusal_cost = (double)INFINITY;
    es_front_maker maker = {.arena = arena,
                            .scratch = scratch,
                            .work = work,
                            .given = scenario,
                            .scenario = &serving,
                            .opts = opts,
                            .deadline = {opts.plan.clock, es_clock_now_ns(opts.plan.clock) +
                                                              es_ns_from_s(opts.plan.time_limit_s)},
                            .front = front,
                            .err = err};
    *front = (es_front){.scenario = scenario->name,
                        .measure_count = opts.measure_count,
                        .quality = ES_PLAN_UNKNOWN};
    memcpy(front->measures, opts.measures, sizeof front->measures);
    ES_TRY(make(&maker));
    *out_front = front;
    return ES_OK;
}

/* ---- the document ---- */

static void write_measures(es_json *json, const es_front *front)
{
    es_json_key(json, "objectives");
    es_json_list_begin(json);
    for (uint32_t k = 0; k < front->measure_count; k++) {
        es_json_map_begin(json);
        es_json_put_text(json, "name", es_measure_names[front->measures[k]]);
        es_json_put_text(json, "unit", es_measure_units[front->measures[k]]);
        bool any = front->point_count > 0;
        es_json_put_number(json, "ideal", any ? front->ideal[k] : (double)NAN);
        es_json_put_number(json, "reference", any ? front->reference[k] : (double)NAN);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void write_numbers(es_json *json, const char *key, const double *numbers, uint32_t count)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (uint32_t k = 0; k < count; k++)
        es_json_number(json, numbers[k]);
    es_json_list_end(json);
}

static void write_proofs(es_json *json, const es_front *front)
{
    es_json_key(json, "boxes");
    es_json_list_begin(json);
    for (size_t i = 0; i < front->box_count; i++) {
        es_json_map_begin(json);
        write_numbers(json, "corner", front->boxes[i].corner, front->measure_count);
        es_json_map_end(json);
    }
    es_json_list_end(json);
    es_json_key(json, "cuts");
    es_json_list_begin(json);
    for (size_t i = 0; i < front->cut_count; i++) {
        es_json_map_begin(json);
        write_numbers(json, "weights", front->cuts[i].weights, front->measure_count);
        es_json_put_number(json, "least", front->cuts[i].least);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_front_write(const es_front *front, const es_scenario *scenario, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", FORMAT);
    es_json_put_int(&json, "version", VERSION);
    es_json_put_text(&json, "scenario", front->scenario);
    es_json_put_text(&json, "method", es_front_method_names[front->method]);
    es_json_put_text(&json, "quality", es_plan_quality_names[front->quality]);
    es_json_put_text(&json, "conflict", front->conflict);
    write_measures(&json, front);
    bool any = front->point_count > 0;
    es_json_put_number(&json, "hypervolume", any ? front->hypervolume : (double)NAN);
    es_json_put_number(&json, "hypervolume_bound", any ? front->hypervolume_bound : (double)NAN);
    es_json_put_int(&json, "solved", (int64_t)front->solve_count);
    es_json_put_int(&json, "reused", (int64_t)front->reuse_count);
    es_json_key(&json, "points");
    es_json_list_begin(&json);
    for (size_t i = 0; i < front->point_count; i++) {
        es_json_map_begin(&json);
        write_numbers(&json, "values", front->points[i].values, front->measure_count);
        es_json_key(&json, "plan");
        es_plan_put(&json, front->points[i].plan, scenario);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    write_proofs(&json, front);
    es_json_map_end(&json);
}
