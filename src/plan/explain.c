/* Why a plan is as it is: for each part of a class the best other way and what stands against it;
 * the limits that are used up, with the shadow prices of the routing over the plan's hosts. */
#include "plan/internal.h"

#include <inttypes.h>
#include <math.h>

/* A limit used to more than this is used up. */
static const double FULL = 1.0 - 1e-6;
static const size_t TEXT_BYTES_MAX = 4096;

typedef struct explainer {
    es_arena *arena;
    es_arena *scratch;
    const es_problem *problem;
    const es_solution *solution;
    const es_plan *plan;
    double *memory_bytes; /* used, per node */
    double *compute_s;
    double *link_bps;
    bool *node_on;
    double energy_w;
    double carbon_g_per_s;
    uint32_t host_count; /* on */
    ES_ARRAY(es_plan_reason) reasons;
    ES_ARRAY(es_plan_limit) limits;
    es_error *err;
} explainer;

/* Adds a share of a class on a path to what is used; a negative one takes it off. */
static void use_path(explainer *e, uint32_t r, uint32_t p, double share)
{
    const es_problem *problem = e->problem;
    const es_path *path = &problem->paths[p];
    double rate = es_problem_rate(problem, r) * share;
    for (uint32_t k = 0; k < path->stage_count; k++)
        e->compute_s[problem->hosts[problem->stage_hosts[path->stage_first + k]].node.index] +=
            rate * problem->stage_loads[path->stage_first + k];
    for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
        e->link_bps[problem->uses[i].row] += rate * problem->uses[i].bits;
    e->energy_w += rate * path->energy_j;
    e->carbon_g_per_s += rate * path->carbon_g;
}

static es_status sum_up(explainer *e)
{
    const es_problem *problem = e->problem;
    e->memory_bytes = ES_TAKE_ARRAY(e->scratch, double, problem->node_count);
    e->compute_s = ES_TAKE_ARRAY(e->scratch, double, problem->node_count);
    e->link_bps = ES_TAKE_ARRAY(e->scratch, double, problem->link_row_count);
    e->node_on = ES_TAKE_ARRAY(e->scratch, bool, problem->node_count);
    if (e->memory_bytes == NULL || e->compute_s == NULL || e->link_bps == NULL ||
        e->node_on == NULL)
        return es_arena_full(e->scratch, "explanation", e->err);
    for (uint32_t h = 0; h < problem->host_count; h++) {
        const es_host *host = &problem->hosts[h];
        if (!e->solution->host_on[h])
            continue;
        e->memory_bytes[host->node.index] += host->memory_bytes;
        e->node_on[host->node.index] = true;
        e->host_count++;
    }
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (e->node_on[v]) {
            e->energy_w += es_problem_idle_w(problem, v);
            e->carbon_g_per_s += es_problem_idle_g_per_s(problem, v);
        }
    for (uint32_t r = 0; r < problem->class_count; r++)
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (e->solution->shares[p] > 0.0)
                use_path(e, r, p, e->solution->shares[p]);
    return ES_OK;
}

/* ---- reasons ---- */

/* What the hosts of a path that are not open would cost per second. */
static double opening_cost(const explainer *e, const es_path *path)
{
    const es_problem *problem = e->problem;
    const uint32_t *hosts = problem->stage_hosts + path->stage_first;
    double cost = 0.0;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        bool host_told = e->solution->host_on[hosts[k]];
        uint32_t v = problem->hosts[hosts[k]].node.index;
        bool node_told = e->node_on[v];
        for (uint32_t j = 0; j < k; j++) {
            host_told = host_told || hosts[j] == hosts[k];
            node_told = node_told || problem->hosts[hosts[j]].node.index == v;
        }
        cost += host_told ? 0.0 : problem->hosts[hosts[k]].hosting_per_s;
        cost += node_told ? 0.0 : es_problem_on_cost(problem, v);
    }
    return cost;
}

/* The first limit of nodes that a path over hosts still closed would break. */
static bool blocked_by_hosts(const explainer *e, const es_path *path, es_group *out)
{
    const es_problem *problem = e->problem;
    const uint32_t *hosts = problem->stage_hosts + path->stage_first;
    uint32_t more = 0;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        uint32_t v = problem->hosts[hosts[k]].node.index;
        double bytes = e->memory_bytes[v];
        bool again = false;
        for (uint32_t j = 0; j <= k; j++) {
            bool told = e->solution->host_on[hosts[j]];
            for (uint32_t i = 0; i < j; i++)
                told = told || hosts[i] == hosts[j];
            if (!told && problem->hosts[hosts[j]].node.index == v)
                bytes += problem->hosts[hosts[j]].memory_bytes;
            again = again || (j < k && hosts[j] == hosts[k]);
        }
        more += e->solution->host_on[hosts[k]] || again ? 0 : 1;
        if (bytes > problem->memory_bytes[v]) {
            *out = (es_group){ES_GROUP_MEMORY, v, false};
            return true;
        }
    }
    *out = (es_group){ES_GROUP_HOSTS, 0, false};
    return problem->hosts_max > 0 && more > 0 && e->host_count + more > problem->hosts_max;
}

/* The first limit of rates that is broken now. */
static bool blocked_by_rates(const explainer *e, const es_path *path, es_group *out)
{
    static const double SLACK = 1.0 + 1e-6;
    const es_problem *problem = e->problem;
    for (uint32_t k = 0; k < path->stage_count; k++) {
        uint32_t v = problem->hosts[problem->stage_hosts[path->stage_first + k]].node.index;
        *out = (es_group){ES_GROUP_COMPUTE, v, false};
        if (e->compute_s[v] > SLACK * problem->compute_s[v])
            return true;
    }
    for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++) {
        uint32_t row = problem->uses[i].row;
        *out = (es_group){ES_GROUP_LINK, row, false};
        if (e->link_bps[row] > SLACK * problem->link_bps[row])
            return true;
    }
    *out = (es_group){ES_GROUP_ENERGY, 0, false};
    if (problem->energy_w_max > 0.0 && e->energy_w > SLACK * problem->energy_w_max)
        return true;
    *out = (es_group){ES_GROUP_CARBON, 0, false};
    return problem->carbon_g_per_s_max > 0.0 &&
           e->carbon_g_per_s > SLACK * problem->carbon_g_per_s_max;
}

/* Share that is served, and share times quality. */
static void sum_quality(const explainer *e, uint32_t r, double *served, double *quality)
{
    *served = 0.0;
    *quality = 0.0;
    for (uint32_t p = e->problem->class_paths[r]; p < e->problem->class_paths[r + 1]; p++) {
        *served += e->solution->shares[p];
        *quality += e->solution->shares[p] * e->problem->paths[p].quality;
    }
}

/* What breaks when a share of a class moves from one path (ES_INDEX_NONE: refused) to another. */
static es_status find_limit(explainer *e, uint32_t r, uint32_t from, uint32_t to, double share,
                            const char **out)
{
    const es_problem *problem = e->problem;
    const es_path *path = &problem->paths[to];
    es_group group = {0};
    double served;
    double quality;
    sum_quality(e, r, &served, &quality);
    served += from == ES_INDEX_NONE ? share : 0.0;
    quality +=
        share * (path->quality - (from == ES_INDEX_NONE ? 0.0 : problem->paths[from].quality));
    bool blocked = blocked_by_hosts(e, path, &group);
    if (!blocked && quality < problem->quality_min[r] * served - 1e-9) {
        group = (es_group){ES_GROUP_QUALITY, r, false};
        blocked = true;
    }
    if (!blocked) {
        if (from != ES_INDEX_NONE)
            use_path(e, r, from, -share);
        use_path(e, r, to, share);
        blocked = blocked_by_rates(e, path, &group);
        use_path(e, r, to, -share);
        if (from != ES_INDEX_NONE)
            use_path(e, r, from, share);
    }
    *out = NULL;
    if (!blocked)
        return ES_OK;
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_group_describe(problem, &group, &text);
    ES_TRY(es_text_status(&text, e->err));
    *out = es_arena_text(e->arena, es_text_get(&text));
    return *out != NULL ? ES_OK : es_arena_full(e->arena, "explanation", e->err);
}

/* The cheapest other path of the part, hosts to open included. */
static es_status add_reason(explainer *e, uint32_t r, uint32_t from, double share, size_t routing)
{
    const es_problem *problem = e->problem;
    double rate = es_problem_rate(problem, r) * share;
    double now = from == ES_INDEX_NONE ? problem->refusal_cost : problem->paths[from].cost;
    uint32_t best = ES_INDEX_NONE;
    double best_extra = (double)INFINITY;
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        const es_path *path = &problem->paths[p];
        double extra = rate * (path->cost - now);
        if (p == from || !es_path_allowed(problem, r, path) || extra >= best_extra)
            continue;
        extra += opening_cost(e, path);
        if (extra >= best_extra)
            continue;
        best = p;
        best_extra = extra;
    }
    es_plan_reason reason = {.routing = routing,
                             .class_id = {r},
                             .pipeline = {ES_INDEX_NONE},
                             .extra_per_s = best_extra};
    if (best != ES_INDEX_NONE) {
        const es_path *path = &problem->paths[best];
        reason.pipeline = path->pipeline;
        for (uint32_t k = 0; k < path->stage_count; k++)
            reason.nodes[k] = problem->hosts[problem->stage_hosts[path->stage_first + k]].node;
        ES_TRY(find_limit(e, r, from, best, share, &reason.limit));
    }
    return ES_ARRAY_PUSH(e->arena, &e->reasons, reason, "reasons", e->err);
}

/* The path of a routing. */
static uint32_t path_of(const es_problem *problem, const es_routing *way)
{
    uint32_t r = way->class_id.index;
    for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
        const es_path *path = &problem->paths[p];
        bool same = path->pipeline.index == way->pipeline.index;
        for (uint32_t k = 0; same && k < path->stage_count; k++)
            same = problem->hosts[problem->stage_hosts[path->stage_first + k]].node.index ==
                   way->nodes[k].index;
        if (same)
            return p;
    }
    return ES_INDEX_NONE;
}

static es_status list_reasons(explainer *e)
{
    size_t i = 0;
    for (uint32_t r = 0; r < e->problem->class_count; r++) {
        for (; i < e->plan->routing_count && e->plan->routings[i].class_id.index == r; i++) {
            uint32_t p = path_of(e->problem, &e->plan->routings[i]);
            if (p != ES_INDEX_NONE)
                ES_TRY(add_reason(e, r, p, e->plan->routings[i].share, i));
        }
        if (e->plan->refused_share[r] > 0.0)
            ES_TRY(add_reason(e, r, ES_INDEX_NONE, e->plan->refused_share[r], ES_PLAN_REFUSED));
    }
    return ES_OK;
}

/* ---- limits ---- */

static es_status add_limit(explainer *e, es_group_kind kind, uint32_t index, double used,
                           double price_per_s)
{
    es_group group = {kind, index, false};
    es_plan_limit limit = {.used = used,
                           .price_per_s = price_per_s,
                           .step = kind == ES_GROUP_QUALITY ? "0.01 less" : "1 % more"};
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_group_describe(e->problem, &group, &text);
    ES_TRY(es_text_status(&text, e->err));
    limit.what = es_arena_text(e->arena, es_text_get(&text));
    if (limit.what == NULL)
        return es_arena_full(e->arena, "explanation", e->err);
    return ES_ARRAY_PUSH(e->arena, &e->limits, limit, "limits", e->err);
}

/* A row of the routing's linear program: told when it is full or has a price. */
static es_status tell_row(explainer *e, const es_row_tag *tag, double dual)
{
    const es_problem *problem = e->problem;
    uint32_t i = tag->index;
    double price = 0.01 * fabs(dual);
    es_group_kind kind;
    double used;
    double served;
    switch (tag->kind) {
    case ES_ROW_QUALITY:
        kind = ES_GROUP_QUALITY;
        sum_quality(e, i, &served, &used);
        used = used > 0.0 ? problem->quality_min[i] * served / used : 0.0;
        break;
    case ES_ROW_COMPUTE:
        kind = ES_GROUP_COMPUTE;
        used = e->compute_s[i] / problem->compute_s[i];
        break;
    case ES_ROW_LINK:
        kind = ES_GROUP_LINK;
        used = e->link_bps[i] / problem->link_bps[i];
        break;
    case ES_ROW_ENERGY:
        kind = ES_GROUP_ENERGY;
        used = e->energy_w / problem->energy_w_max;
        break;
    case ES_ROW_CARBON:
        kind = ES_GROUP_CARBON;
        used = e->carbon_g_per_s / problem->carbon_g_per_s_max;
        break;
    case ES_ROW_CLASS:
    case ES_ROW_MEMORY:
    case ES_ROW_ON:
    case ES_ROW_COVER:
    case ES_ROW_USED:
    case ES_ROW_REPLICAS:
    case ES_ROW_HOSTS:
    case ES_ROW_KIND_COUNT:
    default:
        return ES_OK;
    }
    return used >= FULL ? add_limit(e, kind, i, used, price) : ES_OK;
}

/* Memory that has no room for the smallest segment that paths would take there. */
static es_status tell_memory(explainer *e)
{
    const es_problem *problem = e->problem;
    for (uint32_t v = 0; v < problem->node_count; v++) {
        double smallest = (double)INFINITY;
        for (uint32_t i = problem->node_host_first[v]; i < problem->node_host_first[v + 1]; i++)
            if (!e->solution->host_on[problem->node_hosts[i]])
                smallest = fmin(smallest, problem->hosts[problem->node_hosts[i]].memory_bytes);
        if (isfinite(smallest) && e->memory_bytes[v] + smallest > problem->memory_bytes[v])
            ES_TRY(add_limit(e, ES_GROUP_MEMORY, v, e->memory_bytes[v] / problem->memory_bytes[v],
                             (double)NAN));
    }
    if (problem->hosts_max > 0 && e->host_count >= problem->hosts_max)
        ES_TRY(add_limit(e, ES_GROUP_HOSTS, 0, 1.0, (double)NAN));
    return ES_OK;
}

static es_status list_limits(explainer *e)
{
    es_solution *routed;
    es_program program = {0};
    double *prices = NULL;
    ES_TRY(es_solve_routing_priced(e->scratch, e->problem, e->solution->host_on, &routed, &program,
                                   &prices, e->err));
    for (size_t i = 0; prices != NULL && i < program.row_lower.count; i++)
        ES_TRY(tell_row(e, &program.row_tags.items[i], prices[i]));
    return tell_memory(e);
}

es_status es_plan_make_explanation(es_arena *arena, es_arena *scratch, const es_problem *problem,
                                   const es_solution *solution, const es_plan *plan,
                                   const es_plan_explanation **out_explanation, es_error *err)
{
    explainer e = {.arena = arena,
                   .scratch = scratch,
                   .problem = problem,
                   .solution = solution,
                   .plan = plan,
                   .err = err};
    es_plan_explanation *explanation = ES_TAKE_ONE(arena, es_plan_explanation);
    if (explanation == NULL)
        return es_arena_full(arena, "explanation", err);
    ES_TRY(sum_up(&e));
    ES_TRY(list_reasons(&e));
    ES_TRY(list_limits(&e));
    *explanation = (es_plan_explanation){.reason_count = e.reasons.count,
                                         .reasons = e.reasons.items,
                                         .limit_count = e.limits.count,
                                         .limits = e.limits.items};
    *out_explanation = explanation;
    return ES_OK;
}
