/* Decomposition: prices for the bound, a core program or dives for a solution, then descent and
 * neighbourhoods. */
#include "plan/decompose.h"

#include <math.h>

enum {
    STEPS_MAX = 20000,
    CORE_HOSTS_MAX = 400,
    CORE_PATHS_MAX = 6000,
    DIVE_MAX = 4,
    SHARE_NODES_MIN = 200
};
/* Of the time left: for the first ascent, for dives. */
static const double ASCENT_SHARE = 0.35;
static const double DIVE_SHARE = 0.6;
static const size_t SCRATCH_BYTES = (size_t)6 << 30;

typedef struct solver {
    es_arena *arena;   /* of the result */
    es_arena *scratch; /* of the solve */
    const es_problem *problem;
    const es_plan_opts *opts;
    const es_deadline *deadline;
    es_layout layout;
    es_ascent ascent;
    es_pool *pool;
    es_solution *best; /* NULL: none yet */
    double cost;       /* of best */
    int64_t start_ns;
    es_decompose_trace trace;
    es_error *err;
} solver;

static double elapsed_s(const solver *s)
{
    return es_s_from_ns(es_clock_now_ns(s->deadline->clock) - s->start_ns);
}

static bool solved(const solver *s)
{
    return s->best != NULL &&
           s->cost - s->ascent.bound <= s->opts->gap_relative * fmax(fabs(s->cost), 1e-9);
}

/* Whether parts can be solved without regard to the rest. */
static bool falls_apart(const es_problem *problem)
{
    return problem->replicas_min < 2 && problem->hosts_max == 0 && !problem->unsplittable &&
           !(problem->energy_w_max > 0.0) && !(problem->carbon_g_per_s_max > 0.0);
}

static bool has_solution(const es_solution *solution)
{
    return solution->quality == ES_PLAN_OPTIMAL || solution->quality == ES_PLAN_FEASIBLE;
}

/* Keeps a solution of the whole when it is the best so far. */
static es_status offer(solver *s, const es_solution *found)
{
    const es_problem *problem = s->problem;
    if (!has_solution(found))
        return ES_OK;
    double cost = es_solution_cost(problem, found);
    if (s->best != NULL && cost >= s->cost)
        return ES_OK;
    if (s->best == NULL) {
        ES_TRY(es_solution_new(s->arena, problem, &s->best, s->err));
        s->trace.first_s = elapsed_s(s);
        s->trace.first_cost = cost;
    }
    memcpy(s->best->host_on, found->host_on, problem->host_count * sizeof(bool));
    memcpy(s->best->shares, found->shares, problem->path_count * sizeof(double));
    memcpy(s->best->refused, found->refused, problem->class_count * sizeof(double));
    s->best->quality = ES_PLAN_FEASIBLE;
    es_solution_tidy(problem, s->best);
    s->cost = es_solution_cost(problem, s->best);
    s->ascent.upper = s->cost;
    return ES_OK;
}

/* The best routing over the hosts of an earlier solution, for the demand of today. */
static es_status offer_start(solver *s, const es_solution *start)
{
    es_solution *routed;
    if (start == NULL)
        return ES_OK;
    if (!falls_apart(s->problem))
        return offer(s, start);
    ES_TRY(es_solve_routing(s->scratch, s->problem, start->host_on, &routed, s->err));
    return offer(s, routed);
}

/* Prices of classes per request: times their rates (up) or over them. */
static void scale_prices(const es_layout *layout, es_multipliers *prices, bool up)
{
    for (uint32_t r = 0; r < layout->problem->class_count; r++)
        if (layout->rate[r] > 0.0)
            prices->pi[r] *= up ? layout->rate[r] : 1.0 / layout->rate[r];
    for (uint32_t c = 0; c < layout->cell_count; c++)
        for (uint32_t i = layout->cell_slot_first[c]; i < layout->cell_slot_first[c + 1]; i++) {
            double rate = layout->rate[layout->cell_class[c]];
            if (rate > 0.0)
                prices->rho[i] *= up ? rate : 1.0 / rate;
        }
}

static void start_prices(solver *s, const es_decompose_memory *warm)
{
    if (warm == NULL || warm->prices == NULL || warm->count != s->ascent.best.count ||
        warm->class_count != s->problem->class_count || warm->node_count != s->problem->node_count)
        return;
    memcpy(s->ascent.best.all, warm->prices, warm->count * sizeof(double));
    scale_prices(&s->layout, &s->ascent.best, true);
    s->ascent.factor = 0.05;
    s->ascent.weight = 0.1;
}

/* The best routing over the hosts that a descent has come to. */
static es_status offer_hosts(solver *s, const bool *host_on)
{
    es_solution *routed;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(SCRATCH_BYTES);
    if (arena == NULL)
        return es_fail(s->err, ES_ERR_NOMEM, "plan: no memory for a routing");
    ES_TRY(es_solve_routing(arena, s->problem, host_on, &routed, s->err));
    return offer(s, routed);
}

/* Node by node, then a few nodes at a time, until that brings little. */
static es_status descend(solver *s)
{
    enum { EPOCHS = 1000, KICKS = 2000, DULL_MAX = 2, SWEEPS = 10 };
    static const double HEAT = 0.005; /* of what a class pays */
    static const double LITTLE = 1e-4;
    es_descent *descent;
    int dull = 0;
    ES_TRY(es_descent_new(s->scratch, &s->layout, s->opts->seed, &descent, s->err));
    es_descent_start(descent, &s->ascent.best, s->best);
    es_descent_sweep(descent, SWEEPS);
    ES_TRY(offer_hosts(s, es_descent_hosts(descent)));
    double heat = HEAT * s->cost / s->problem->class_count;
    for (int epoch = 0; epoch < EPOCHS && dull < DULL_MAX && !solved(s); epoch++) {
        double before = s->cost;
        for (int i = 0; i < KICKS && es_deadline_left_s(s->deadline) > 0.0; i++)
            (void)es_descent_kick(descent, heat);
        ES_TRY(offer_hosts(s, es_descent_hosts(descent)));
        dull = before - s->cost < LITTLE * fabs(before) ? dull + 1 : 0;
    }
    return ES_OK;
}

/* What is worth a look: hosts by their mean, paths by what they miss of their class's price. */
typedef struct core_kind {
    double mean_min;
    double worth;
} core_kind;

/* Whether that makes a program of a small size, and which. */
static bool choose_core(const solver *s, core_kind kind, uint8_t *parts, bool *path_in)
{
    const es_problem *problem = s->problem;
    uint32_t hosts = 0;
    uint32_t paths = 0;
    for (uint32_t h = 0; h < problem->host_count; h++) {
        bool in =
            s->ascent.host_mean[h] > kind.mean_min || (s->best != NULL && s->best->host_on[h]);
        parts[h] = in ? ES_HOST_FREE : ES_HOST_OUT;
        hosts += in ? 1 : 0;
    }
    for (uint32_t p = 0; p < problem->path_count; p++) {
        double pi = s->ascent.best.pi[s->layout.path_class[p]];
        path_in[p] = s->ascent.answer.reduced[p] - pi <= kind.worth * fabs(pi);
        bool there = path_in[p];
        for (uint32_t k = 0; there && k < problem->paths[p].stage_count; k++)
            there = parts[problem->stage_hosts[problem->paths[p].stage_first + k]] == ES_HOST_FREE;
        paths += there ? 1 : 0;
    }
    return hosts <= CORE_HOSTS_MAX && paths <= CORE_PATHS_MAX;
}

/* Solves what the means point to, exactly. */
static es_status solve_core(solver *s, core_kind kind)
{
    const es_problem *problem = s->problem;
    uint8_t *parts = ES_TAKE_ARRAY(s->scratch, uint8_t, problem->host_count);
    bool *path_in = ES_TAKE_ARRAY(s->scratch, bool, problem->path_count);
    if (parts == NULL || path_in == NULL)
        return es_arena_full(s->scratch, "core", s->err);
    if (!choose_core(s, kind, parts, path_in))
        return ES_OK;
    es_sub sub;
    es_solution *found;
    es_solution *whole;
    es_deadline deadline = es_deadline_part(s->deadline, DIVE_SHARE);
    es_plan_opts opts = *s->opts;
    opts.gap_relative = fmin(1e-5, 0.1 * opts.gap_relative);
    ES_TRY(es_sub_build(s->scratch, problem, parts, path_in, NULL, &sub, s->err));
    ES_TRY(es_solve_exact(s->scratch, &sub.problem, &opts, &deadline, NULL, &found, s->err));
    if (!has_solution(found))
        return ES_OK;
    ES_TRY(es_solution_new(s->scratch, problem, &whole, s->err));
    es_sub_put(&sub, parts, found, whole);
    whole->quality = ES_PLAN_FEASIBLE;
    ES_TRY(offer(s, whole));
    s->trace.core_solved = solved(s);
    return ES_OK;
}

/* One dive in the hands of a thread. */
typedef struct dive_lane {
    const solver *s;
    es_dive_opts opts;
    es_arena *arena;
    es_deadline deadline;
    es_solution *found;
    es_status status;
    es_error err;
} dive_lane;

static es_status dive_once(dive_lane *l, es_error *err)
{
    const es_layout *layout = &l->s->layout;
    es_ascent dive;
    bool *open = ES_TAKE_ARRAY(l->arena, bool, layout->problem->host_count);
    if (open == NULL)
        return es_arena_full(l->arena, "dive", err);
    ES_TRY(es_ascent_init(&dive, l->arena, layout, err));
    memcpy(dive.host_mean, l->s->ascent.host_mean,
           layout->problem->host_count * sizeof *dive.host_mean);
    memcpy(dive.mean.all, l->s->ascent.mean.all, dive.mean.count * sizeof *dive.mean.all);
    dive.step_count = 1;
    ES_TRY(es_dive(l->arena, &dive, &l->s->ascent.best, l->opts, &l->deadline, open, err));
    return es_solve_routing(l->arena, layout->problem, open, &l->found, err);
}

static void run_dive(void *context, size_t i)
{
    dive_lane *l = &((dive_lane *)context)[i];
    l->status = dive_once(l, &l->err);
}

static es_status dive_all(solver *s)
{
    static const struct {
        double fix_share, factor, weight;
    } kinds[DIVE_MAX] = {{0.1, 0.02, 0.1}, {0.05, 0.02, 0.1}, {0.1, 0.005, 0.1}, {0.05, 0.02, 0.2}};
    dive_lane lanes[DIVE_MAX] = {0};
    /* As many steps as the time allows over the rounds that a dive takes. */
    double step_s = s->trace.bound_s / (double)(s->ascent.step_count + 1);
    double room_s = DIVE_SHARE * fmax(es_deadline_left_s(s->deadline), 0.0);
    double steps = fmin(40.0, fmax(4.0, room_s / (1.5 * step_s + 1e-9) / 60.0));
    uint32_t count = s->opts->thread_count < DIVE_MAX ? s->opts->thread_count : DIVE_MAX;
    es_status status = ES_OK;
    for (uint32_t i = 0; i < count; i++) {
        lanes[i].s = s;
        lanes[i].opts = es_dive_opts_default();
        lanes[i].opts.step_count = (uint32_t)steps;
        lanes[i].opts.fix_share = kinds[i].fix_share;
        lanes[i].opts.factor = kinds[i].factor;
        lanes[i].opts.weight = kinds[i].weight;
        lanes[i].deadline = es_deadline_part(s->deadline, DIVE_SHARE);
        lanes[i].arena = es_arena_new(SCRATCH_BYTES);
        if (lanes[i].arena == NULL)
            status = es_fail(s->err, ES_ERR_NOMEM, "plan: no memory for a dive");
    }
    if (status == ES_OK && s->pool != NULL)
        status = es_pool_for(s->pool, count, run_dive, lanes, s->err);
    else if (status == ES_OK)
        run_dive(lanes, 0);
    for (uint32_t i = 0; status == ES_OK && i < count; i++) {
        status = lanes[i].status;
        if (status != ES_OK && s->err != NULL)
            *s->err = lanes[i].err;
        else if (status == ES_OK)
            status = offer(s, lanes[i].found);
    }
    for (uint32_t i = 0; i < count; i++)
        es_arena_free(lanes[i].arena);
    return status;
}

/* Prices again, now that a solution says where to aim. */
static void refine_bound(solver *s, uint32_t step_max)
{
    es_deadline deadline = es_deadline_part(s->deadline, ASCENT_SHARE);
    s->ascent.factor = fmax(s->ascent.factor, 0.02);
    (void)es_ascent_run(&s->ascent, step_max, s->opts->gap_relative, &deadline);
    es_relaxed_solve(&s->layout, &s->ascent.best, NULL, &s->ascent.room, &s->ascent.answer);
}

static es_status improve(solver *s)
{
    es_lns lns;
    if (s->best == NULL || !falls_apart(s->problem))
        return ES_OK;
    ES_TRY(es_lns_init(&lns, s->scratch, &s->layout, &s->ascent.best, &s->ascent.answer, s->opts,
                       s->deadline, s->pool, s->err));
    uint32_t dull_max = 40 + 2 * s->problem->node_count / lns.node_count;
    for (uint32_t round = 0; !solved(s) && es_deadline_left_s(s->deadline) > 0.0; round++) {
        ES_TRY(es_lns_round(&lns, s->best, &s->cost, round % 2 == 1 || s->layout.slot_count > 0,
                            s->err));
        if (lns.dull > dull_max)
            break;
    }
    s->ascent.upper = s->cost;
    s->trace.neighbourhoods = lns.tried;
    s->trace.neighbourhoods_won = lns.won;
    return ES_OK;
}

static es_status remember(solver *s, es_decompose_memory *out)
{
    if (out == NULL)
        return ES_OK;
    double *prices = ES_TAKE_ARRAY(s->arena, double, s->ascent.best.count);
    if (prices == NULL)
        return es_arena_full(s->arena, "prices", s->err);
    /* The solve is done: its prices may be changed. */
    scale_prices(&s->layout, &s->ascent.best, false);
    memcpy(prices, s->ascent.best.all, s->ascent.best.count * sizeof *prices);
    *out = (es_decompose_memory){.class_count = s->problem->class_count,
                                 .node_count = s->problem->node_count,
                                 .count = s->ascent.best.count,
                                 .prices = prices};
    return ES_OK;
}

/* Until a hundred steps bring no more than a part of the gap that is allowed. */
static void ascend(solver *s, const es_deadline *deadline)
{
    enum { CHUNK = 100 };
    static const double PART = 0.1;
    double before = -INFINITY;
    for (uint32_t i = 0; i < STEPS_MAX / CHUNK; i++) {
        bool more = es_ascent_run(&s->ascent, CHUNK, s->opts->gap_relative, deadline);
        double bound = s->ascent.bound;
        if (!more || bound - before < PART * s->opts->gap_relative * fabs(bound))
            break;
        before = bound;
    }
}

/* Greedy, beside the ascent: what is needed where dives may leave classes unserved. */
typedef struct beside {
    solver *s;
    es_arena *arena;
    es_deadline deadline;
    es_solution *found;
    es_status status;
    es_error err;
} beside;

static void run_beside(void *context, size_t i)
{
    beside *b = context;
    if (i == 0)
        ascend(b->s, &b->deadline);
    else
        b->status =
            es_solve_greedy(b->arena, b->s->problem, b->s->opts, &b->deadline, &b->found, &b->err);
}

static es_status first_phase(solver *s)
{
    beside b = {.s = s, .deadline = es_deadline_part(s->deadline, ASCENT_SHARE)};
    bool greedy =
        s->best == NULL && (!falls_apart(s->problem) || !isfinite(s->problem->refusal_cost));
    if (!greedy) {
        if (s->pool != NULL && s->problem->node_count >= SHARE_NODES_MIN)
            ES_TRY(es_node_room_share(s->scratch, &s->layout, s->pool, s->opts->thread_count,
                                      &s->ascent.room, s->err));
        run_beside(&b, 0);
        return ES_OK;
    }
    b.arena = es_arena_new(SCRATCH_BYTES);
    if (b.arena == NULL)
        return es_fail(s->err, ES_ERR_NOMEM, "plan: no memory for a first solution");
    es_status status = ES_OK;
    if (s->pool != NULL)
        status = es_pool_for(s->pool, 2, run_beside, &b, s->err);
    else {
        run_beside(&b, 0);
        b.deadline = es_deadline_part(s->deadline, ASCENT_SHARE);
        run_beside(&b, 1);
    }
    if (status == ES_OK && b.status != ES_OK) {
        status = b.status;
        if (s->err != NULL)
            *s->err = b.err;
    }
    if (status == ES_OK)
        status = offer(s, b.found);
    es_arena_free(b.arena);
    return status;
}

static es_status run_phases(solver *s, const es_solution *start, const es_decompose_memory *warm)
{
    ES_TRY(es_layout_build(s->scratch, s->problem, &s->layout, s->err));
    ES_TRY(es_ascent_init(&s->ascent, s->scratch, &s->layout, s->err));
    start_prices(s, warm);
    ES_TRY(offer_start(s, start));
    ES_TRY(first_phase(s));
    s->trace.bound_s = elapsed_s(s);
    if (solved(s))
        return ES_OK;
    es_relaxed_solve(&s->layout, &s->ascent.best, NULL, &s->ascent.room, &s->ascent.answer);
    static const core_kind cores[] = {{0.05, 0.07}, {0.005, 0.2}};
    for (size_t i = 0; i < 2 && falls_apart(s->problem) && !solved(s); i++)
        ES_TRY(solve_core(s, cores[i]));
    bool dive = !(s->best != NULL && warm != NULL);
    if (!solved(s) && falls_apart(s->problem) && (s->best == NULL || dive))
        ES_TRY(dive_all(s));
    if (!solved(s) && s->best != NULL && falls_apart(s->problem))
        ES_TRY(descend(s));
    if (!solved(s) && s->best != NULL)
        refine_bound(s, 600);
    return improve(s);
}

static es_status finish(solver *s, es_solution **out_solution)
{
    if (s->best == NULL)
        ES_TRY(es_solution_new(s->arena, s->problem, &s->best, s->err));
    s->best->bound = s->ascent.bound;
    if (has_solution(s->best))
        s->best->bound = fmin(s->best->bound, s->cost);
    if (!has_solution(s->best))
        s->best->quality = ES_PLAN_UNKNOWN;
    else
        s->best->quality = solved(s) ? ES_PLAN_OPTIMAL : ES_PLAN_FEASIBLE;
    *out_solution = s->best;
    return ES_OK;
}

es_status es_solve_decomposition_warm(es_arena *arena, const es_problem *problem,
                                      const es_plan_opts *opts, const es_deadline *deadline,
                                      const es_solution *start, const es_decompose_memory *warm,
                                      es_solution **out_solution, es_decompose_memory *out_memory,
                                      es_decompose_trace *out_trace, es_error *err)
{
    solver s = {.arena = arena,
                .problem = problem,
                .opts = opts,
                .deadline = deadline,
                .cost = INFINITY,
                .start_ns = es_clock_now_ns(deadline->clock),
                .err = err};
    s.scratch = es_arena_new(SCRATCH_BYTES);
    if (s.scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "plan: no memory to solve in");
    es_status status = ES_OK;
    if (opts->thread_count > 1)
        status = es_pool_new(opts->thread_count, 64, &s.pool, err);
    if (status == ES_OK)
        status = run_phases(&s, start, warm);
    if (status == ES_OK)
        status = finish(&s, out_solution);
    if (status == ES_OK)
        status = remember(&s, out_memory);
    s.trace.step_count = s.ascent.step_count;
    if (out_trace != NULL)
        *out_trace = s.trace;
    es_pool_free(s.pool);
    es_arena_free(s.scratch);
    return status;
}

es_status es_solve_decomposition(es_arena *arena, const es_problem *problem,
                                 const es_plan_opts *opts, const es_deadline *deadline,
                                 const es_solution *start, es_solution **out_solution,
                                 es_error *err)
{
    return es_solve_decomposition_warm(arena, problem, opts, deadline, start, NULL, out_solution,
                                       NULL, NULL, err);
}
