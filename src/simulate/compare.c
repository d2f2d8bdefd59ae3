/* Policies on the same sample paths: replications in parallel, paired differences, regret. */
#include "simulate/control.h"

#include <math.h>

enum { BEST_STEPS = 100 };

const char *const es_compare_names[ES_COMPARE_COUNT] = {"cost_per_request",
                                                        "gain_per_request",
                                                        "fraction_gain_per_request",
                                                        "latency_s_mean",
                                                        "latency_s_p95",
                                                        "quality_mean",
                                                        "late_share",
                                                        "refused_share",
                                                        "energy_j_per_request",
                                                        "carbon_gco2e_per_request",
                                                        "objective_per_s",
                                                        "moved_bytes_per_slot",
                                                        "regret"};

/* One policy in one replication. */
typedef struct cell {
    double figures[ES_COMPARE_COUNT];
    double regret[ES_COMPARE_POINTS];
    double fraction_regret[ES_COMPARE_POINTS];
    double psi_regret, psi_bound;
    es_policy_faults faults;
    const es_outcome *outcome;
    es_arena *arena;
    es_status status;
    es_error err;
} cell;

/* The sample path of a replication and the best fixed allocation on it. */
typedef struct path {
    es_arena *arena;
    double *demand;
    double *best_sums; /* [slot] up to and with it, of the best fixed one until then */
    double best_sum, bound_sum, requests;
    es_status status;
    es_error err;
} path;

typedef struct comparing {
    const es_idn *idn;
    es_compare_opts opts;
    size_t cap_bytes;
    uint32_t slot_count;
    uint32_t point_count;
    uint32_t slots[ES_COMPARE_POINTS];
    path *paths; /* [replication] */
    cell *cells; /* [replication][policy] */
} comparing;

static es_status take(es_arena *arena, size_t count, size_t size, void *out, es_error *err)
{
    void *taken = NULL;
    ES_TRY(es_arena_take_or_fail(arena, count, size, "comparison", &taken, err));
    memcpy(out, &taken, sizeof taken);
    return ES_OK;
}

/* ---- sample paths ---- */

static es_status lay_demand(const comparing *own, uint32_t replication, path *out, es_error *err)
{
    const es_idn *idn = own->idn;
    out->arena = es_arena_new(own->cap_bytes);
    if (out->arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "compare: no memory for an arena");
    if (idn->scenario != NULL)
        return es_simulate_demand(out->arena, idn->scenario, own->opts.seed + replication,
                                  own->opts.expected, &out->demand, err);
    ES_TRY(take(out->arena, (size_t)own->slot_count * idn->type_count, sizeof *out->demand,
                &out->demand, err));
    for (uint32_t s = 0; s < own->slot_count; s++)
        es_idn_rec_1_demand(idn, s, own->opts.shift_slots,
                            &out->demand[(size_t)s * idn->type_count]);
    return ES_OK;
}

/* Raises best_sums to what the best fixed allocation of the first `slots` slots would have. */
static es_status try_best(const comparing *own, path *out, uint32_t slots, double *out_bound,
                          es_error *err)
{
    const es_idn *idn = own->idn;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(own->cap_bytes);
    double *best = NULL;
    double gain = 0;
    double sum = 0;
    es_idn_load load;
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "compare: no memory for an arena");
    ES_TRY(take(scratch, idn->item_count, sizeof *best, &best, err));
    ES_TRY(
        es_online_best(scratch, idn, out->demand, slots, BEST_STEPS, best, &gain, out_bound, err));
    ES_TRY(es_idn_load_new(scratch, idn, &load, err));
    for (uint32_t s = 0; s < own->slot_count; s++) {
        es_idn_load_set(&load, &out->demand[(size_t)s * idn->type_count]);
        sum += es_idn_gain(&load, best);
        out->best_sums[s] = fmax(out->best_sums[s], sum);
        if (slots == own->slot_count)
            out->requests += load.total;
    }
    return ES_OK;
}

/* The best of each slot's past would be dear to find for all: those of five lengths stand in. */
static es_status lay_path(const comparing *own, uint32_t replication, path *out, es_error *err)
{
    double bound = 0;
    ES_TRY(lay_demand(own, replication, out, err));
    ES_TRY(take(out->arena, own->slot_count, sizeof *out->best_sums, &out->best_sums, err));
    for (uint32_t part = 16; part >= 1; part /= 2)
        if (part == 1 || own->slot_count / part >= 1)
            ES_TRY(try_best(own, out, own->slot_count / part, &bound, err));
    out->best_sum = out->best_sums[own->slot_count - 1];
    out->bound_sum = fmax(bound * own->slot_count, out->best_sum);
    return ES_OK;
}

static void run_path(void *context, size_t i)
{
    comparing *own = context;
    own->paths[i].status = lay_path(own, (uint32_t)i, &own->paths[i], &own->paths[i].err);
}

/* ---- one policy on one path ---- */

static void measure_outcome(const es_outcome *outcome, double *figures)
{
    const es_outcome_row *total = &outcome->total;
    figures[ES_COMPARE_LATENCY] = total->latency_s_mean;
    figures[ES_COMPARE_P95] = total->latency_s_p95;
    figures[ES_COMPARE_QUALITY] = total->quality_mean;
    figures[ES_COMPARE_OBJECTIVE] = outcome->objective_per_s;
    if (total->arrived > 0) {
        figures[ES_COMPARE_LATE] = total->late / total->arrived;
        figures[ES_COMPARE_REFUSED] = total->refused / total->arrived;
    }
    if (total->served > 0) {
        figures[ES_COMPARE_ENERGY] = outcome->energy_total_j / total->served;
        figures[ES_COMPARE_CARBON] = (total->carbon_g + outcome->carbon_idle_g) / total->served;
    }
}

static void measure(const comparing *own, const path *way, const es_control *control,
                    bool knows_future, cell *out)
{
    double cost = 0;
    double gain = 0;
    double fraction = 0;
    double moved = 0;
    double best = 0;
    uint32_t point = 0;
    for (uint32_t s = 0; s < own->slot_count; s++) {
        cost += control->cost[s];
        gain += control->gain[s];
        moved += control->moved_bytes[s];
        best = way->best_sums[s];
        if (control->fraction_gain != NULL)
            fraction += control->fraction_gain[s];
        if (point < own->point_count && own->slots[point] == s + 1) {
            out->regret[point] = best - gain;
            out->fraction_regret[point] =
                control->fraction_gain != NULL ? best - fraction : (double)NAN;
            point++;
        }
    }
    double requests = control->requests > 0 ? control->requests : (double)NAN;
    double *figures = out->figures;
    for (int f = 0; f < ES_COMPARE_COUNT; f++)
        figures[f] = (double)NAN;
    figures[ES_COMPARE_COST] = cost / requests;
    figures[ES_COMPARE_GAIN] = gain / requests;
    if (control->fraction_gain != NULL)
        figures[ES_COMPARE_FRACTION] = fraction / requests;
    figures[ES_COMPARE_LATENCY] = control->latency_s_mean;
    figures[ES_COMPARE_QUALITY] = control->quality_mean;
    figures[ES_COMPARE_REFUSED] = control->refused_share;
    figures[ES_COMPARE_MOVED] = moved / own->slot_count;
    figures[ES_COMPARE_REGRET] = best - gain;
    if (control->outcome != NULL)
        measure_outcome(control->outcome, figures);
    out->psi_regret = (1 - exp(-1)) * best - gain;
    bool learns = control->fraction_gain != NULL && !knows_future;
    out->psi_bound = learns
                         ? es_online_regret_bound(own->idn, control->gradient_max, own->slot_count)
                         : (double)NAN;
    out->faults = control->faults;
    out->outcome = control->outcome;
}

static void run_cell(void *context, size_t i)
{
    comparing *own = context;
    cell *out = &own->cells[i];
    uint32_t replication = (uint32_t)(i / own->opts.policy_count);
    const path *way = &own->paths[replication];
    es_control control;
    es_control_opts opts = {.policy = own->opts.policies[i % own->opts.policy_count],
                            .seed = own->opts.seed + replication,
                            .clip = own->opts.clip,
                            .late_s = own->opts.late_s,
                            .expected = own->opts.expected};
    out->arena = es_arena_new(own->cap_bytes);
    if (out->arena == NULL)
        out->status = es_fail(&out->err, ES_ERR_NOMEM, "compare: no memory for an arena");
    else
        out->status = es_simulate_control(out->arena, own->idn, way->demand, own->slot_count, opts,
                                          &control, &out->err);
    if (out->status == ES_OK)
        measure(own, way, &control, es_policy_knows_future(opts.policy), out);
    if (replication > 0) { /* the first one's outcome is kept */
        es_arena_free(out->arena);
        out->arena = NULL;
        out->outcome = NULL;
    }
}

/* ---- over replications ---- */

static es_interval interval(const double *values, size_t count, const char *name)
{
    double mean = 0;
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        mean += values[i] / (double)count;
        largest = fmax(largest, fabs(values[i]));
    }
    double ci95 = es_mean_ci95(values, count);
    if (ci95 < 1e-12 * largest)
        ci95 = 0; /* equal but for the order of sums */
    return (es_interval){.measure = name, .mean = mean, .ci95 = ci95};
}

static void add_faults(es_policy_faults *into, const es_policy_faults *from)
{
    into->over_copies += from->over_copies;
    into->over_budget += from->over_budget;
    into->bad_answers += from->bad_answers;
    if (into->first[0] == '\0')
        memcpy(into->first, from->first, sizeof into->first);
}

static const cell *cell_at(const comparing *own, uint32_t replication, size_t policy)
{
    return &own->cells[replication * own->opts.policy_count + policy];
}

static double slope_of(const comparing *own, const double *regret)
{
    double x[ES_COMPARE_POINTS];
    for (uint32_t p = 0; p < own->point_count; p++)
        x[p] = own->slots[p];
    return es_online_slope(x, regret, own->point_count);
}

static es_status sum_row(const comparing *own, size_t policy, double *values, double *others,
                         es_compare_row *row)
{
    uint32_t count = own->opts.replication_count;
    row->policy = own->opts.policies[policy];
    row->knows_future = es_policy_knows_future(row->policy);
    for (int f = 0; f < ES_COMPARE_COUNT; f++) {
        for (uint32_t r = 0; r < count; r++) {
            values[r] = cell_at(own, r, policy)->figures[f];
            others[r] = values[r] - cell_at(own, r, 0)->figures[f];
        }
        row->figures[f] = interval(values, count, es_compare_names[f]);
        row->differences[f] = interval(others, count, es_compare_names[f]);
    }
    for (uint32_t p = 0; p < own->point_count; p++) {
        for (uint32_t r = 0; r < count; r++) {
            values[r] = cell_at(own, r, policy)->regret[p];
            others[r] = cell_at(own, r, policy)->fraction_regret[p];
        }
        es_interval played = interval(values, count, "regret");
        row->regret[p] = played.mean;
        row->regret_ci95[p] = played.ci95;
        row->fraction_regret[p] = interval(others, count, "regret").mean;
    }
    row->slope = slope_of(own, row->regret);
    row->fraction_slope = slope_of(own, row->fraction_regret);
    for (uint32_t r = 0; r < count; r++) {
        row->psi_regret += cell_at(own, r, policy)->psi_regret / count;
        row->psi_regret_bound += cell_at(own, r, policy)->psi_bound / count;
        add_faults(&row->faults, &cell_at(own, r, policy)->faults);
    }
    return ES_OK;
}

/* An outcome lives in its own arena, which now hangs on the result's. */
static void release_arena(void *arena)
{
    es_arena_free(arena);
}

static es_status sum_up(es_arena *arena, comparing *own, const es_comparison **out, es_error *err)
{
    es_comparison *result = NULL;
    es_compare_row *rows = NULL;
    double *values = NULL;
    double *others = NULL;
    uint32_t count = own->opts.replication_count;
    ES_TRY(take(arena, 1, sizeof *result, &result, err));
    ES_TRY(take(arena, own->opts.policy_count, sizeof *rows, &rows, err));
    ES_TRY(take(arena, count, sizeof *values, &values, err));
    ES_TRY(take(arena, count, sizeof *others, &others, err));
    *result = (es_comparison){.name = own->idn->name,
                              .cost_unit = own->idn->cost_unit,
                              .seed = own->opts.seed,
                              .slot_count = own->slot_count,
                              .slot_s = own->idn->slot_s,
                              .replication_count = count,
                              .point_count = own->point_count,
                              .row_count = own->opts.policy_count,
                              .rows = rows};
    memcpy(result->slots, own->slots, sizeof result->slots);
    for (uint32_t r = 0; r < count; r++) {
        result->best_gain += own->paths[r].best_sum / own->paths[r].requests / count;
        result->best_gain_bound += own->paths[r].bound_sum / own->paths[r].requests / count;
    }
    for (size_t p = 0; p < own->opts.policy_count; p++) {
        ES_TRY(sum_row(own, p, values, others, &rows[p]));
        cell *first = &own->cells[p];
        rows[p].outcome = first->outcome;
        es_arena *theirs = first->arena;
        first->arena = NULL;
        ES_TRY(es_arena_attach(arena, theirs, release_arena, err));
    }
    *out = result;
    return ES_OK;
}

/* Slots where regret is shown: all when they are few, else spread evenly in the logarithm. */
static void lay_points(comparing *own)
{
    uint32_t last = 0;
    for (uint32_t p = 0; p < ES_COMPARE_POINTS; p++) {
        double share = (double)p / (ES_COMPARE_POINTS - 1);
        uint32_t slot = (uint32_t)llround(pow(own->slot_count, share));
        if (slot > own->slot_count)
            slot = own->slot_count;
        if (slot > last)
            own->slots[own->point_count++] = slot;
        last = slot > last ? slot : last;
    }
}

static es_status first_failure(const comparing *own, bool cells, es_error *err)
{
    size_t count = own->opts.replication_count * (cells ? own->opts.policy_count : 1);
    for (size_t i = 0; i < count; i++) {
        es_status status = cells ? own->cells[i].status : own->paths[i].status;
        if (status == ES_OK)
            continue;
        const es_error *why = cells ? &own->cells[i].err : &own->paths[i].err;
        return cells ? es_fail(err, status, "policy '%s': %s",
                               own->opts.policies[i % own->opts.policy_count], es_error_text(why))
                     : es_fail(err, status, "%s", es_error_text(why));
    }
    return ES_OK;
}

static es_status run_all(es_arena *arena, comparing *own, const es_comparison **out, es_error *err)
{
    es_pool *pool = NULL;
    size_t cells = own->opts.replication_count * own->opts.policy_count;
    ES_TRY(es_pool_new(own->opts.thread_count, 64, &pool, err));
    es_status status = es_pool_for(pool, own->opts.replication_count, run_path, own, err);
    if (status == ES_OK)
        status = first_failure(own, false, err);
    if (status == ES_OK)
        status = es_pool_for(pool, cells, run_cell, own, err);
    es_pool_free(pool);
    ES_TRY(status);
    ES_TRY(first_failure(own, true, err));
    return sum_up(arena, own, out, err);
}

es_status es_compare_run(es_arena *arena, const es_idn *idn, es_compare_opts opts,
                         const es_comparison **out_comparison, es_error *err)
{
    comparing own = {.idn = idn, .opts = opts, .cap_bytes = es_arena_cap_bytes(arena)};
    own.slot_count = idn->scenario != NULL ? idn->scenario->slot_count : opts.slot_count;
    if (own.slot_count == 0)
        return es_fail(err, ES_ERR_ARG, "compare: slot_count=0 must be >= 1");
    if (opts.replication_count == 0)
        return es_fail(err, ES_ERR_ARG, "compare: replication_count=0 must be >= 1");
    if (opts.policy_count == 0 || opts.policy_count > ES_COMPARE_POLICIES_MAX)
        return es_fail(err, ES_ERR_ARG, "compare: %zu policies, there must be 1..%d",
                       opts.policy_count, ES_COMPARE_POLICIES_MAX);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(own.cap_bytes);
    if (scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "compare: no memory for an arena");
    size_t cells = opts.replication_count * opts.policy_count;
    ES_TRY(take(scratch, opts.replication_count, sizeof *own.paths, &own.paths, err));
    ES_TRY(take(scratch, cells, sizeof *own.cells, &own.cells, err));
    lay_points(&own);
    es_status status = run_all(arena, &own, out_comparison, err);
    for (uint32_t r = 0; r < opts.replication_count; r++)
        es_arena_free(own.paths[r].arena);
    for (size_t i = 0; i < cells; i++)
        es_arena_free(own.cells[i].arena);
    return status;
}
