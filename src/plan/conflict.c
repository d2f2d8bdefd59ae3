/* Why there is no plan. First each class alone, then a deletion filter: constraint groups are let
 * go as long as there is still no plan; those left cannot hold together, and without any one of
 * them they could. */
#include "plan/internal.h"

#include <inttypes.h>
#include <math.h>

static const size_t TEXT_BYTES_MAX = (size_t)1 << 20;
enum { NAMED_MAX = 8 };

typedef struct filter {
    const es_problem *problem;
    const es_plan_opts *opts;
    es_deadline deadline;
    es_groups groups;
    bool complete; /* every try was answered */
    es_error *err;
} filter;

/* Lets groups [first, end) go; takes them back when that makes a plan possible. */
static es_status let_go(filter *f, size_t first, size_t end)
{
    es_plan_quality quality = ES_PLAN_UNKNOWN;
    bool any = false;
    for (size_t i = first; i < end; i++)
        any = any || !f->groups.all.items[i].off;
    if (!any)
        return ES_OK;
    if (es_deadline_left_s(&f->deadline) <= 0.0) {
        f->complete = false;
        return ES_OK;
    }
    for (size_t i = first; i < end; i++)
        f->groups.all.items[i].off = true;
    ES_TRY(es_groups_try(f->problem, &f->groups, f->opts, &f->deadline, &quality, f->err));
    if (quality == ES_PLAN_INFEASIBLE)
        return ES_OK;
    f->complete = f->complete && quality != ES_PLAN_UNKNOWN;
    for (size_t i = first; i < end; i++)
        f->groups.all.items[i].off = false;
    return ES_OK;
}

/* Within [first, end), in pieces of halving size down to single groups. */
static es_status let_go_pieces(filter *f, size_t first, size_t end)
{
    for (size_t piece = end - first; piece > 0; piece /= 2)
        for (size_t at = first; at < end; at += piece) {
            size_t stop = at + piece < end ? at + piece : end;
            /* A piece taken back whole above holds something; only its parts are tried again. */
            bool untouched = true;
            for (size_t i = at; i < stop; i++)
                untouched = untouched && !f->groups.all.items[i].off;
            if (untouched)
                ES_TRY(let_go(f, at, stop));
        }
    return ES_OK;
}

static es_status run_filter(filter *f)
{
    size_t count = f->groups.all.count;
    const es_group *all = f->groups.all.items;
    for (size_t first = 0; first < count;) {
        size_t end = first;
        while (end < count && all[end].kind == all[first].kind)
            end++;
        if (all[first].kind != ES_GROUP_CLASS)
            ES_TRY(let_go(f, first, end));
        first = end;
    }
    /* Classes before capacities: the fewer classes are left, the faster the rest. */
    for (int classes = 1; classes >= 0; classes--)
        for (size_t first = 0; first < count;) {
            size_t end = first;
            while (end < count && all[end].kind == all[first].kind)
                end++;
            if ((all[first].kind == ES_GROUP_CLASS) == (classes == 1))
                ES_TRY(let_go_pieces(f, first, end));
            first = end;
        }
    return ES_OK;
}

static void write_groups(const filter *f, es_text *text)
{
    size_t named = 0;
    size_t count = 0;
    for (size_t i = 0; i < f->groups.all.count; i++)
        count += f->groups.all.items[i].off ? 0 : 1;
    es_text_append(text,
                   f->complete ? "cannot hold together: " : "among these there is a conflict: ");
    for (size_t back = f->groups.all.count; back > 0; back--) {
        const es_group *group = &f->groups.all.items[back - 1];
        if (group->off)
            continue;
        if (named == NAMED_MAX) {
            es_text_format(text, "; and %zu more", count - named);
            return;
        }
        es_text_append(text, named++ > 0 ? "; " : "");
        es_group_describe(f->problem, group, text);
    }
}

/* What one class cannot have whatever the others do; false when nothing is wrong with it alone. */
static bool explain_class(const es_problem *problem, uint32_t r, bool with_wishes, es_text *text)
{
    const es_class *class_ = &problem->scenario->classes[r];
    double quality_in_time = -(double)INFINITY;
    double quality_each = class_->quality_min_each;
    bool fits = false;
    bool in_time = false;
    bool oversize_in_time = false;
    double fastest_s = (double)INFINITY;
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        const es_path *path = &problem->paths[p];
        bool path_fits = true;
        for (uint32_t k = 0; k < path->stage_count; k++) {
            const es_host *host = &problem->hosts[problem->stage_hosts[path->stage_first + k]];
            path_fits = path_fits && host->memory_bytes <= problem->memory_bytes[host->node.index];
        }
        fits = fits || path_fits;
        in_time = in_time || (path_fits && !path->late);
        oversize_in_time = oversize_in_time || (!path_fits && !path->late);
        if (path_fits)
            fastest_s = fmin(fastest_s, path->latency_max_s);
        if (path_fits && !path->late)
            quality_in_time = fmax(quality_in_time, path->quality);
    }
    if (fits && (!with_wishes || (in_time && quality_in_time >= class_->quality_min &&
                                  quality_in_time >= quality_each)))
        return false;
    es_text_append(text, "class ");
    es_class_describe(problem, r, text);
    if (problem->class_paths[r + 1] == problem->class_paths[r])
        es_text_append(text, ": no pipeline of its task can run on nodes that it reaches");
    else if (!fits)
        es_text_append(text, ": no pipeline of its task fits the memory of nodes that can run it");
    else if (!in_time)
        es_text_format(text, ": deadline %.6g ms, the fastest way%s takes %.6g ms",
                       class_->deadline_s * 1e3,
                       oversize_in_time ? " that fits the nodes' memory" : "", fastest_s * 1e3);
    else if (quality_in_time < quality_each)
        es_text_format(text,
                       ": least quality of each request %.6g, the best pipeline in time has %.6g",
                       quality_each, quality_in_time);
    else
        es_text_format(text, ": least quality %.6g, the best pipeline in time has %.6g",
                       class_->quality_min, quality_in_time);
    return true;
}

static bool explain_alone(const es_problem *problem, bool with_wishes, es_text *text)
{
    uint32_t more = 0;
    bool found = false;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        es_text other;
        if (!found) {
            found = explain_class(problem, r, with_wishes, text);
            continue;
        }
        es_text_init(&other, TEXT_BYTES_MAX);
        more += explain_class(problem, r, with_wishes, &other) ? 1 : 0;
        es_text_done(&other);
    }
    if (more > 0)
        es_text_format(text, " (and %" PRIu32 " more classes alone)", more);
    return found;
}

static es_status explain(es_arena *scratch, const es_scenario *scenario, const es_plan_opts *opts,
                         es_path_nodes nodes, const es_deadline *deadline, es_text *text,
                         es_error *err)
{
    es_problem_opts build = es_problem_opts_default();
    es_problem *problem;
    build.nodes = nodes;
    build.keep_late = true;
    build.keep_oversize = true;
    ES_TRY(es_problem_build(scratch, scenario, build, &problem, err));
    if (explain_alone(problem, nodes == ES_PATH_NODES_ANY, text))
        return ES_OK;
    filter f = {.problem = problem,
                .opts = opts,
                .deadline = *deadline,
                .complete = !problem->truncated,
                .err = err};
    /* The answer took its time already; the reason may take a quarter more. */
    int64_t least_ns = es_clock_now_ns(opts->clock) + es_ns_from_s(opts->time_limit_s * 0.25);
    if (f.deadline.end_ns < least_ns)
        f.deadline.end_ns = least_ns;
    ES_TRY(es_groups_list(scratch, problem, &f.groups, err));
    ES_TRY(run_filter(&f));
    write_groups(&f, text);
    return ES_OK;
}

es_status es_plan_explain(es_arena *arena, const es_scenario *scenario, const es_plan_opts *opts,
                          es_path_nodes nodes, const es_deadline *deadline,
                          const char **out_conflict, es_error *err)
{
    ES_CLEANUP(es_text_done) es_text text;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(ES_PLAN_SCRATCH_BYTES);
    es_text_init(&text, TEXT_BYTES_MAX);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory to look for conflicts");
    ES_TRY(explain(scratch, scenario, opts, nodes, deadline, &text, err));
    ES_TRY(es_text_status(&text, err));
    *out_conflict = es_arena_text(arena, es_text_get(&text));
    return *out_conflict == NULL ? es_arena_full(arena, "conflict", err) : ES_OK;
}
