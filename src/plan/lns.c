/*
 * Large neighbourhoods: the hosts of some nodes are decided anew, all others stay. Each part is a
 * problem of its own, solved by prices and a dive or, where small, exactly.
 */
#include "plan/decompose.h"

#include <math.h>

enum { LANE_MAX = 16, EXACT_NODES = 9 };
static const double EXACT_S_MAX = 2.0;
static const size_t LANE_BYTES = (size_t)1 << 30;

/* One neighbourhood in the hands of a thread. */
typedef struct lane {
    const es_lns *lns;
    const es_solution *now;
    uint8_t *parts; /* [host_count] */
    es_arena *arena;
    es_sub sub;
    es_solution *found; /* NULL: nothing better */
    double saving;
    bool exact;
    es_status status;
    es_error err;
} lane;

es_status es_lns_init(es_lns *lns, es_arena *arena, const es_layout *layout,
                      const es_multipliers *prices, const es_relaxed *answer,
                      const es_plan_opts *opts, const es_deadline *deadline, es_pool *pool,
                      es_error *err)
{
    static const double WORTH = 0.25; /* of a class's price */
    const es_problem *problem = layout->problem;
    *lns = (es_lns){.layout = layout,
                    .prices = prices,
                    .answer = answer,
                    .opts = opts,
                    .deadline = deadline,
                    .pool = pool,
                    .lane_count = pool != NULL ? opts->thread_count : 1,
                    .rng = es_rng_make(opts->seed, 17),
                    .node_count = 30};
    if (lns->lane_count > LANE_MAX)
        lns->lane_count = LANE_MAX;
    if (lns->lane_count < 1)
        lns->lane_count = 1;
    lns->path_in = ES_TAKE_ARRAY(arena, bool, problem->path_count);
    lns->blame = ES_TAKE_ARRAY(arena, double, problem->node_count);
    lns->visits = ES_TAKE_ARRAY(arena, uint32_t, problem->node_count);
    if (lns->path_in == NULL || lns->blame == NULL || lns->visits == NULL)
        return es_arena_full(arena, "neighbourhoods", err);
    for (uint32_t p = 0; p < problem->path_count; p++) {
        double pi = prices->pi[layout->path_class[p]];
        lns->path_in[p] = answer->reduced[p] - pi <= WORTH * fabs(pi);
    }
    return ES_OK;
}

/* What a path earns at its hosts' nodes by the prices. */
static void credit_path(es_lns *lns, uint32_t p, double share)
{
    const es_problem *problem = lns->layout->problem;
    const es_path *path = &problem->paths[p];
    uint32_t r = lns->layout->path_class[p];
    for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++) {
        uint32_t v = problem->hosts[problem->stage_hosts[k]].node.index;
        lns->blame[v] -=
            share * lns->prices->mu[v] * lns->layout->rate[r] * problem->stage_loads[k];
    }
    if (!lns->layout->path_long[p]) {
        uint32_t v = problem->hosts[problem->stage_hosts[path->stage_first]].node.index;
        lns->blame[v] -= share * (lns->prices->pi[r] - lns->answer->reduced[p]);
        return;
    }
    for (uint32_t i = lns->layout->path_slot_first[p]; i < lns->layout->path_slot_first[p + 1];
         i++) {
        uint32_t slot = lns->layout->path_slots[i];
        uint32_t v = problem->hosts[lns->layout->slot_host[slot]].node.index;
        lns->blame[v] -= share * lns->prices->rho[slot];
    }
}

/* A refusal is the fault of the nodes that could have served. */
static void blame_refusal(es_lns *lns, uint32_t r, double share)
{
    const es_problem *problem = lns->layout->problem;
    uint32_t first = problem->class_paths[r];
    uint32_t end = problem->class_paths[r + 1];
    double beyond = share * (lns->layout->refusal[r] - lns->prices->pi[r]);
    for (uint32_t p = first; isfinite(beyond) && p < end; p++) {
        const es_path *path = &problem->paths[p];
        for (uint32_t k = 0; k < path->stage_count; k++) {
            uint32_t h = problem->stage_hosts[path->stage_first + k];
            lns->blame[problem->hosts[h].node.index] +=
                beyond / path->stage_count / (double)(end - first);
        }
    }
}

/* The gap by node: what its best choice would gain at the prices, less what it gains now. */
static void set_blame(es_lns *lns, const es_solution *now)
{
    const es_problem *problem = lns->layout->problem;
    double sum = 0.0;
    for (uint32_t v = 0; v < problem->node_count; v++) {
        double compute = isfinite(problem->compute_s[v]) ? problem->compute_s[v] : 0.0;
        lns->blame[v] = lns->answer->node_value[v] + lns->prices->mu[v] * compute;
    }
    for (uint32_t h = 0; h < problem->host_count; h++)
        if (now->host_on[h])
            lns->blame[problem->hosts[h].node.index] += problem->hosts[h].hosting_per_s;
    for (uint32_t p = 0; p < problem->path_count; p++)
        if (now->shares[p] > 0.0)
            credit_path(lns, p, now->shares[p]);
    for (uint32_t r = 0; r < problem->class_count; r++)
        if (now->refused[r] > 0.0)
            blame_refusal(lns, r, now->refused[r]);
    for (uint32_t v = 0; v < problem->node_count; v++) {
        lns->blame[v] = fmax(lns->blame[v], 0.0);
        sum += lns->blame[v];
    }
    for (uint32_t v = 0; v < problem->node_count; v++)
        lns->blame[v] =
            (lns->blame[v] + 0.1 * sum / problem->node_count + 1e-12) / (1.0 + lns->visits[v]);
}

static uint32_t draw_seed(es_lns *lns, const bool *taken)
{
    uint32_t count = lns->layout->problem->node_count;
    double total = 0.0;
    uint32_t last = ES_INDEX_NONE;
    for (uint32_t v = 0; v < count; v++)
        total += taken[v] ? 0.0 : lns->blame[v];
    double at = es_rng_double(&lns->rng) * total;
    for (uint32_t v = 0; v < count; v++) {
        if (taken[v])
            continue;
        last = v;
        at -= lns->blame[v];
        if (at <= 0.0)
            break;
    }
    return last;
}

/* Every class that may use node v speaks for the other nodes it may use. */
static void spread_scores(const es_lns *lns, uint32_t v, double *score)
{
    const es_layout *layout = lns->layout;
    const es_problem *problem = layout->problem;
    for (uint32_t c = layout->group_cell_first[layout->node_group_first[v]];
         c < layout->group_cell_first[layout->node_group_first[v + 1]]; c++) {
        uint32_t r = layout->cell_class[c];
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++) {
            if (!lns->path_in[p])
                continue;
            const es_path *path = &problem->paths[p];
            for (uint32_t k = 0; k < path->stage_count; k++)
                score[problem->hosts[problem->stage_hosts[path->stage_first + k]].node.index] +=
                    1.0;
        }
    }
}

/* Grows a neighbourhood from a seed over nodes that share classes; false: no node is left. */
static bool grow(es_lns *lns, uint32_t size, bool *taken, double *score, bool *inside)
{
    uint32_t count = lns->layout->problem->node_count;
    memset(score, 0, count * sizeof *score);
    memset(inside, 0, count * sizeof *inside);
    uint32_t v = draw_seed(lns, taken);
    if (v == ES_INDEX_NONE)
        return false;
    for (uint32_t i = 0; v != ES_INDEX_NONE && i < size; i++) {
        inside[v] = taken[v] = true;
        lns->visits[v] += i == 0 ? 1 : 0;
        spread_scores(lns, v, score);
        double best = 0.0;
        v = ES_INDEX_NONE;
        for (uint32_t w = 0; w < count; w++) {
            double value = taken[w] ? 0.0 : score[w] * (0.5 + es_rng_double(&lns->rng));
            if (value > best) {
                best = value;
                v = w;
            }
        }
    }
    return true;
}

static es_status solve_by_prices(lane *l, double before, es_solution **out, es_error *err)
{
    static const double SAVING_MIN = 1e-7;
    es_arena *arena = l->arena;
    const es_problem *part = &l->sub.problem;
    es_layout layout;
    es_ascent ascent;
    es_multipliers first;
    bool *open = ES_TAKE_ARRAY(arena, bool, part->host_count);
    uint8_t *fixing = ES_TAKE_ARRAY(arena, uint8_t, part->host_count);
    *out = NULL;
    if (open == NULL || fixing == NULL)
        return es_arena_full(arena, "neighbourhood", err);
    ES_TRY(es_layout_build(arena, part, &layout, err));
    ES_TRY(es_ascent_init(&ascent, arena, &layout, err));
    ES_TRY(es_multipliers_new(arena, &layout, &first, err));
    for (uint32_t h = 0; h < part->host_count; h++)
        fixing[h] = l->parts[l->sub.hosts[h]] == ES_HOST_HELD ? ES_FIX_OPEN : ES_FIX_FREE;
    es_sub_prices(&l->sub, l->lns->layout, l->lns->prices, &layout, &first);
    es_ascent_restart(&ascent, &first, fixing, 0.3, 0.2);
    ascent.upper = before;
    (void)es_ascent_run(&ascent, 300, SAVING_MIN, l->lns->deadline);
    if (ascent.bound >= before - SAVING_MIN * fabs(before))
        return ES_OK;
    memcpy(first.all, ascent.best.all, first.count * sizeof(double));
    ascent.upper = INFINITY;
    es_dive_opts opts = es_dive_opts_default();
    opts.fixing = fixing;
    opts.fix_share = 0.1;
    opts.step_count = 20;
    ES_TRY(es_dive(arena, &ascent, &first, opts, l->lns->deadline, open, err));
    return es_solve_routing(arena, part, open, out, err);
}

static es_status solve_exactly(lane *l, es_solution **out, es_error *err)
{
    es_solution *start;
    es_plan_opts opts = *l->lns->opts;
    es_deadline deadline = *l->lns->deadline;
    int64_t end_ns = es_clock_now_ns(deadline.clock) + es_ns_from_s(EXACT_S_MAX);
    deadline.end_ns = deadline.end_ns < end_ns ? deadline.end_ns : end_ns;
    opts.thread_count = 1;
    opts.gap_relative = 1e-5;
    ES_TRY(es_solution_new(l->arena, &l->sub.problem, &start, err));
    es_sub_take(&l->sub, l->now, start);
    return es_solve_exact(l->arena, &l->sub.problem, &opts, &deadline, start, out, err);
}

static es_status solve_lane(lane *l, es_error *err)
{
    static const double SAVING_MIN = 1e-9;
    const es_problem *problem = l->lns->layout->problem;
    es_solution *before;
    ES_TRY(es_sub_build(l->arena, problem, l->parts, l->lns->path_in, l->now, &l->sub, err));
    if (l->sub.problem.path_count == 0)
        return ES_OK;
    ES_TRY(es_solution_new(l->arena, &l->sub.problem, &before, err));
    es_sub_take(&l->sub, l->now, before);
    double cost = es_solution_cost(&l->sub.problem, before);
    es_solution *found = NULL;
    if (l->exact)
        ES_TRY(solve_exactly(l, &found, err));
    else
        ES_TRY(solve_by_prices(l, cost, &found, err));
    if (found == NULL || (found->quality != ES_PLAN_FEASIBLE && found->quality != ES_PLAN_OPTIMAL))
        return ES_OK;
    l->saving = cost - es_solution_cost(&l->sub.problem, found);
    if (l->saving > SAVING_MIN * fabs(cost))
        l->found = found;
    return ES_OK;
}

static void run_lane(void *context, size_t i)
{
    lane *l = &((lane *)context)[i];
    l->status = solve_lane(l, &l->err);
}

/* Whether the solution keeps within compute and links. */
static bool within_capacities(const es_layout *layout, const es_solution *solution, double *compute,
                              double *link)
{
    static const double SLACK = 1e-7;
    const es_problem *problem = layout->problem;
    memset(compute, 0, problem->node_count * sizeof *compute);
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        link[i] = 0.0;
    for (uint32_t p = 0; p < problem->path_count; p++) {
        const es_path *path = &problem->paths[p];
        double flow = solution->shares[p] * layout->rate[layout->path_class[p]];
        if (flow <= 0.0)
            continue;
        for (uint32_t k = path->stage_first; k < path->stage_first + path->stage_count; k++)
            compute[problem->hosts[problem->stage_hosts[k]].node.index] +=
                flow * problem->stage_loads[k];
        for (uint32_t i = path->use_first; i < path->use_first + path->use_count; i++)
            link[problem->uses[i].row] += flow * problem->uses[i].bits;
    }
    for (uint32_t v = 0; v < problem->node_count; v++)
        if (compute[v] > problem->compute_s[v] * (1.0 + SLACK))
            return false;
    for (uint32_t i = 0; i < problem->link_row_count; i++)
        if (link[i] > problem->link_bps[i] * (1.0 + SLACK))
            return false;
    return true;
}

static void copy_solution(const es_problem *problem, const es_solution *from, es_solution *to)
{
    memcpy(to->host_on, from->host_on, problem->host_count * sizeof *to->host_on);
    memcpy(to->shares, from->shares, problem->path_count * sizeof *to->shares);
    memcpy(to->refused, from->refused, problem->class_count * sizeof *to->refused);
}

/* Puts the lanes' findings in, in order; one that does not go with those before is dropped. */
static es_status merge_lanes(es_lns *lns, es_arena *arena, const lane *lanes, uint32_t count,
                             es_solution *now, double *cost, es_error *err)
{
    const es_problem *problem = lns->layout->problem;
    es_solution *trial;
    bool *changed = ES_TAKE_ARRAY(arena, bool, problem->class_count);
    double *compute = ES_TAKE_ARRAY(arena, double, problem->node_count);
    double *link = ES_TAKE_ARRAY(arena, double, problem->link_row_count);
    if (changed == NULL || compute == NULL || link == NULL)
        return es_arena_full(arena, "neighbourhoods", err);
    ES_TRY(es_solution_new(arena, problem, &trial, err));
    for (uint32_t i = 0; i < count; i++) {
        const lane *l = &lanes[i];
        bool clash = l->found == NULL;
        lns->tried++;
        lns->dull++;
        for (uint32_t r = 0; !clash && r < problem->class_count; r++)
            clash = changed[r] && l->sub.class_in[r];
        if (clash)
            continue;
        copy_solution(problem, now, trial);
        es_sub_put(&l->sub, l->parts, l->found, trial);
        es_solution_tidy(problem, trial);
        double trial_cost = es_solution_cost(problem, trial);
        if (trial_cost >= *cost || !within_capacities(lns->layout, trial, compute, link))
            continue;
        copy_solution(problem, trial, now);
        *cost = trial_cost;
        lns->won++;
        lns->dull = 0;
        for (uint32_t r = 0; r < problem->class_count; r++)
            changed[r] = changed[r] || l->sub.class_in[r];
    }
    return ES_OK;
}

static es_status prepare_lanes(es_lns *lns, es_arena *arena, const es_solution *now, bool exact,
                               lane *lanes, uint32_t *out_count, es_error *err)
{
    const es_problem *problem = lns->layout->problem;
    bool *taken = ES_TAKE_ARRAY(arena, bool, problem->node_count);
    bool *inside = ES_TAKE_ARRAY(arena, bool, problem->node_count);
    double *score = ES_TAKE_ARRAY(arena, double, problem->node_count);
    if (taken == NULL || inside == NULL || score == NULL)
        return es_arena_full(arena, "neighbourhoods", err);
    set_blame(lns, now);
    *out_count = 0;
    while (*out_count < lns->lane_count) {
        lane *l = &lanes[*out_count];
        /* The library of the exact solver is not safe for two threads. */
        bool exactly = exact && *out_count == 0;
        if (!grow(lns, exactly ? EXACT_NODES : lns->node_count, taken, score, inside))
            break;
        *l = (lane){.lns = lns, .now = now, .exact = exactly, .err = {0}};
        l->parts = ES_TAKE_ARRAY(arena, uint8_t, problem->host_count);
        l->arena = es_arena_new(LANE_BYTES);
        if (l->arena == NULL || l->parts == NULL)
            return es_arena_full(arena, "neighbourhoods", err);
        (*out_count)++;
        for (uint32_t h = 0; h < problem->host_count; h++)
            l->parts[h] = inside[problem->hosts[h].node.index] ? ES_HOST_FREE
                          : now->host_on[h]                    ? ES_HOST_HELD
                                                               : ES_HOST_OUT;
    }
    return ES_OK;
}

es_status es_lns_round(es_lns *lns, es_solution *now, double *cost, bool exact, es_error *err)
{
    lane lanes[LANE_MAX] = {0};
    uint32_t count = 0;
    es_arena *arena = es_arena_new(LANE_BYTES);
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory for neighbourhoods");
    es_status status = prepare_lanes(lns, arena, now, exact, lanes, &count, err);
    if (status == ES_OK && lns->pool != NULL && count > 1)
        status = es_pool_for(lns->pool, count, run_lane, lanes, err);
    else if (status == ES_OK)
        for (uint32_t i = 0; i < count; i++)
            run_lane(lanes, i);
    for (uint32_t i = 0; status == ES_OK && i < count; i++)
        if (lanes[i].status != ES_OK) {
            status = lanes[i].status;
            if (err != NULL)
                *err = lanes[i].err;
        }
    if (status == ES_OK)
        status = merge_lanes(lns, arena, lanes, count, now, cost, err);
    for (uint32_t i = 0; i < LANE_MAX; i++)
        es_arena_free(lanes[i].arena);
    es_arena_free(arena);
    return status;
}
