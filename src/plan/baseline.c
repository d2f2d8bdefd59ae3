/* Baselines are there to be measured, so they give a plan wherever the segments fit and run. Wishes
 * that cannot all be met are taken up one by one, as long as there is still a plan. */
#include "plan/internal.h"

#include <math.h>
#include <string.h>

static const size_t TEXT_BYTES_MAX = (size_t)1 << 20;
static const double CHECK_TOLERANCE = 1e-6;
enum { NAMED_MAX = 8 };

typedef struct baseline {
    es_arena *scratch;
    const es_problem *problem;
    const es_plan_opts *opts;
    const es_deadline *deadline;
    es_groups groups;
    es_error *err;
} baseline;

static bool is_wish(es_group_kind kind)
{
    return kind != ES_GROUP_MEMORY && kind != ES_GROUP_CLASS;
}

static es_status possible(baseline *b, bool *out_possible)
{
    es_plan_quality quality = ES_PLAN_UNKNOWN;
    ES_TRY(es_groups_try(b->problem, &b->groups, b->opts, b->deadline, &quality, b->err));
    *out_possible = quality == ES_PLAN_FEASIBLE;
    return ES_OK;
}

/* Takes groups [first, end) up again; together when that works, else each that still can. */
static es_status take_up(baseline *b, size_t first, size_t end)
{
    bool good = false;
    for (size_t i = first; i < end; i++)
        b->groups.all.items[i].off = false;
    ES_TRY(possible(b, &good));
    if (good)
        return ES_OK;
    for (size_t i = first; i < end; i++)
        b->groups.all.items[i].off = true;
    for (size_t i = first; end - first > 1 && i < end; i++) {
        b->groups.all.items[i].off = false;
        ES_TRY(possible(b, &good));
        b->groups.all.items[i].off = !good;
    }
    return ES_OK;
}

/* Deadlines first, then qualities, compute, links, replicas: what a user sees comes first. */
static es_status choose_groups(baseline *b, bool *out_possible)
{
    static const es_group_kind order[] = {
        ES_GROUP_DEADLINE, ES_GROUP_QUALITY_EACH, ES_GROUP_QUALITY, ES_GROUP_COMPUTE,
        ES_GROUP_LINK,     ES_GROUP_ENERGY,       ES_GROUP_CARBON,  ES_GROUP_REPLICAS,
        ES_GROUP_HOSTS,    ES_GROUP_WHOLE};
    ES_TRY(possible(b, out_possible));
    if (*out_possible)
        return ES_OK;
    for (size_t i = 0; i < b->groups.all.count; i++)
        b->groups.all.items[i].off = is_wish(b->groups.all.items[i].kind);
    ES_TRY(possible(b, out_possible));
    for (size_t k = 0; *out_possible && k < sizeof order / sizeof *order; k++) {
        size_t first = 0;
        while (first < b->groups.all.count && b->groups.all.items[first].kind != order[k])
            first++;
        size_t end = first;
        while (end < b->groups.all.count && b->groups.all.items[end].kind == order[k])
            end++;
        if (end > first)
            ES_TRY(take_up(b, first, end));
    }
    return ES_OK;
}

/* What stands behind "class 'a'" of "class 'a': quality …", else the whole. */
static const char *what_of(const es_plan_violation *violation)
{
    const char *what = strstr(violation->text, "': ");
    return what != NULL ? what + 1 : violation->text;
}

/* Those that say the same of several things say it once: "class 'a', class 'b': quality …". */
static void tell_violations(const es_plan_violation *violations, size_t count, es_text *out)
{
    const char *before = "";
    for (size_t i = 0; i < count; i++) {
        const char *what = what_of(&violations[i]);
        bool told = false;
        for (size_t k = 0; k < i && !told; k++)
            told = strcmp(what_of(&violations[k]), what) == 0;
        if (told)
            continue;
        es_text_append(out, before);
        before = "; ";
        for (size_t k = i; k < count; k++) {
            const char *same = what_of(&violations[k]);
            if (strcmp(same, what) == 0)
                es_text_format(out, "%s%.*s", k > i ? ", " : "", (int)(same - violations[k].text),
                               violations[k].text);
        }
        es_text_append(out, what);
    }
}

/* "ignores: …" from what the checker says against the plan; NULL when nothing. */
static es_status tell_ignored(baseline *b, es_arena *arena, const es_plan *plan,
                              const char **out_text)
{
    const es_plan_violation *violations;
    size_t count;
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    *out_text = NULL;
    ES_TRY(es_plan_check(b->scratch, plan, b->problem->scenario, CHECK_TOLERANCE, &violations,
                         &count, b->err));
    if (count == 0)
        return ES_OK;
    es_text_append(&text, "ignores: ");
    tell_violations(violations, count < NAMED_MAX ? count : NAMED_MAX, &text);
    if (count > NAMED_MAX)
        es_text_format(&text, "; and %zu more", count - NAMED_MAX);
    ES_TRY(es_text_status(&text, b->err));
    *out_text = es_arena_text(arena, es_text_get(&text));
    return *out_text == NULL ? es_arena_full(arena, "conflict", b->err) : ES_OK;
}

/* The plan of a solution, with what it ignores. */
static es_status finish(baseline *b, es_arena *arena, const es_problem *problem,
                        es_solution *solution, const es_plan **out_plan)
{
    const es_plan *plan;
    const char *ignored;
    /* A bound over these paths alone says nothing about other plans. */
    solution->bound = -(double)INFINITY;
    ES_TRY(es_plan_from_solution(b->scratch, problem, solution, b->opts->method, 0.0, NULL, &plan,
                                 b->err));
    ES_TRY(tell_ignored(b, b->scratch, plan, &ignored));
    return es_plan_from_solution(arena, problem, solution, b->opts->method, 0.0, ignored, out_plan,
                                 b->err);
}

static es_status solve_chosen(baseline *b, es_arena *arena, const es_plan **out_plan)
{
    es_problem *problem;
    es_solution *solution;
    ES_TRY(es_groups_apply(b->scratch, b->problem, &b->groups, &problem, b->err));
    ES_TRY(es_solve_exact_warm(b->scratch, problem, b->opts, b->deadline, &solution, b->err));
    return finish(b, arena, problem, solution, out_plan);
}

/* A plan of no quality: infeasible with the reason when that is proven. */
static es_status finish_none(baseline *b, es_arena *arena, es_path_nodes nodes, bool proven,
                             const es_plan **out_plan)
{
    const char *conflict = NULL;
    es_solution *none;
    ES_TRY(es_solution_new(b->scratch, b->problem, &none, b->err));
    none->quality =
        proven && es_deadline_left_s(b->deadline) > 0.0 ? ES_PLAN_INFEASIBLE : ES_PLAN_UNKNOWN;
    if (proven)
        ES_TRY(es_plan_explain(b->scratch, b->problem->scenario, b->opts, nodes, b->deadline,
                               &conflict, b->err));
    return es_plan_from_solution(arena, b->problem, none, b->opts->method, 0.0, conflict, out_plan,
                                 b->err);
}

static es_status solve_assigned(baseline *b, es_arena *arena, const es_plan **out_plan)
{
    es_solution *solution;
    ES_TRY(es_solve_assign(b->scratch, b->problem, b->opts, &solution, b->err));
    if (solution->quality != ES_PLAN_FEASIBLE)
        return finish_none(b, arena, ES_PATH_NODES_ANY, false, out_plan);
    return finish(b, arena, b->problem, solution, out_plan);
}

static es_path_nodes nodes_of(es_plan_method method)
{
    return method == ES_PLAN_DEVICE_ONLY    ? ES_PATH_NODES_ENTRY
           : method == ES_PLAN_CLOUD_ONLY   ? ES_PATH_NODES_CLOUD
           : method == ES_PLAN_EDGE_ONLY    ? ES_PATH_NODES_EDGE
           : method == ES_PLAN_SINGLE_SPLIT ? ES_PATH_NODES_SPLIT
                                            : ES_PATH_NODES_ANY;
}

bool es_plan_method_is_baseline(es_plan_method method)
{
    return nodes_of(method) != ES_PATH_NODES_ANY || method == ES_PLAN_BEST_FIT ||
           method == ES_PLAN_RANDOM;
}

es_status es_solve_baseline(es_arena *arena, es_arena *scratch, const es_scenario *scenario,
                            const es_plan_opts *opts, const es_deadline *deadline,
                            const es_plan **out_plan, es_error *err)
{
    es_problem_opts build = es_problem_opts_default();
    es_problem *problem;
    bool good;
    build.nodes = nodes_of(opts->method);
    build.keep_late = true;
    ES_TRY(es_problem_build(scratch, scenario, build, &problem, err));
    baseline b = {
        .scratch = scratch, .problem = problem, .opts = opts, .deadline = deadline, .err = err};
    if (opts->method == ES_PLAN_BEST_FIT || opts->method == ES_PLAN_RANDOM)
        return solve_assigned(&b, arena, out_plan);
    ES_TRY(es_groups_list(scratch, problem, &b.groups, err));
    ES_TRY(choose_groups(&b, &good));
    if (good)
        return solve_chosen(&b, arena, out_plan);
    return finish_none(&b, arena, build.nodes, true, out_plan);
}
