/* Event mode: replications in parallel, warm-up, intervals. */
#include "base/clock.h"
#include "base/pool.h"
#include "simulate/event_mode.h"

#include <math.h>

#define SLOT_S_MIN 1e-6
#define RUN_S_MAX 4e9
#define ROUNDING 1e-12
#define REPLICATION_STREAM (UINT64_C(1) << 45)
enum { REPLICATIONS_MAX = 10000 };

const char *const es_measures[ES_MEASURES] = {
    "latency_s_mean", "latency_s_p50", "latency_s_p90",     "latency_s_p95",    "latency_s_p99",
    "quality_mean",   "late_share",    "arrived",           "served",           "refused",
    "failed",         "in_flight",     "energy_compute_j",  "energy_network_j", "energy_idle_j",
    "energy_total_j", "carbon_g",      "model_bytes_loaded"};

es_event_opts es_event_opts_default(void)
{
    return (es_event_opts){.label = "plan",
                           .replication_count = 1,
                           .thread_count = 1,
                           .warm_up_s = (double)NAN,
                           .request_max = UINT32_C(1) << 22};
}

typedef struct replication {
    double measures[ES_MEASURES];
    double warm_up_s;
    uint64_t event_count;
    int64_t last_ns;
    es_status status;
    es_error error;
} es_replication;

typedef struct job {
    es_arena *arena; /* of the first; the others have their own */
    const es_scenario *scenario;
    const es_plan *plan;
    es_event_opts opts;
    es_replication *items;
    const es_outcome *outcome; /* of the first */
} es_event_job;

static double find_warm_up(const es_event_record *record, double given_s)
{
    if (!isnan(given_s))
        return given_s;
    const es_batches *batches = &record->batches;
    size_t d = es_warm_up_mser(batches->mean, batches->count);
    return d > 0 ? batches->start_s[d] : 0;
}

/* Of the bins that begin after the warm-up; NAN when nobody was served there. */
static es_status measure_latency(const es_event_record *record, es_arena *arena, double warm_up_s,
                                 double *measures, es_error *err)
{
    es_histogram *all = es_histogram_new(arena);
    double end_s = es_s_from_ns(record->world->end_ns);
    double served = 0;
    double quality = 0;
    double late = 0;
    if (all == NULL)
        return es_arena_full(arena, "histograms", err);
    for (size_t i = 0; i < ES_TIME_BINS; i++) {
        const es_time_bin *bin = &record->bins[i];
        ES_TRY(es_histogram_status(bin->latency, err));
        if ((double)i * end_s / ES_TIME_BINS < warm_up_s)
            continue;
        es_histogram_merge(all, bin->latency);
        served += bin->served;
        quality += bin->quality;
        late += bin->late;
    }
    measures[0] = es_histogram_mean(all);
    measures[1] = es_histogram_quantile(all, 0.50);
    measures[2] = es_histogram_quantile(all, 0.90);
    measures[3] = es_histogram_quantile(all, 0.95);
    measures[4] = es_histogram_quantile(all, 0.99);
    measures[5] = served > 0 ? quality / served : (double)NAN;
    measures[6] = served > 0 ? late / served : (double)NAN;
    return es_histogram_status(all, err);
}

static void measure_totals(const es_outcome *outcome, const es_event_record *record,
                           double *measures)
{
    measures[7] = outcome->total.arrived;
    measures[8] = outcome->total.served;
    measures[9] = outcome->total.refused;
    measures[10] = outcome->total.failed;
    measures[11] = outcome->total.in_flight;
    measures[12] = outcome->total.energy_compute_j;
    measures[13] = outcome->total.energy_network_j;
    measures[14] = outcome->energy_idle_j;
    measures[15] = outcome->energy_total_j;
    measures[16] = outcome->total.carbon_g + outcome->carbon_idle_g;
    measures[17] = record->model_bytes;
}

/* The first replication has the seed itself, so that it is the run one gets without replications.
 */
static uint64_t seed_of(uint64_t seed, size_t i)
{
    if (i == 0)
        return seed;
    es_rng rng = es_rng_make(seed, REPLICATION_STREAM + i);
    return es_rng_u64(&rng);
}

static es_status run_one(const es_event_job *job, size_t i, es_arena *arena, es_arena *scratch,
                         const es_outcome **out_outcome, es_error *err)
{
    es_replication *item = &job->items[i];
    uint64_t seed = seed_of(job->opts.seed, i);
    es_world *world = NULL;
    es_event_record record;
    ES_TRY(es_world_build(scratch, job->scenario, job->plan, &job->opts, seed, &world, err));
    ES_TRY(es_event_record_init(arena, job->scenario, job->plan, job->opts.label, seed, world,
                                &record, err));
    es_status status = es_world_run(world, err);
    if (record.error.status != ES_OK) {
        if (err != NULL)
            *err = record.error;
        return record.error.status;
    }
    ES_TRY(status);
    ES_TRY(es_event_record_check(&record, err));
    ES_TRY(es_outcome_seal(record.recorder, out_outcome, err));
    item->warm_up_s = find_warm_up(&record, job->opts.warm_up_s);
    item->event_count = world->event_count;
    item->last_ns = world->last_ns;
    measure_totals(*out_outcome, &record, item->measures);
    return measure_latency(&record, scratch, item->warm_up_s, item->measures, err);
}

static void run_in_pool(void *context, size_t i)
{
    es_event_job *job = context;
    es_replication *item = &job->items[i];
    size_t cap_bytes = es_arena_cap_bytes(job->arena);
    const es_outcome *outcome = NULL;
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(cap_bytes);
    ES_CLEANUP(es_arena_free_p) es_arena *own = i == 0 ? NULL : es_arena_new(cap_bytes);
    if (scratch == NULL || (i > 0 && own == NULL)) {
        item->status = es_fail(&item->error, ES_ERR_NOMEM, "simulate: no memory for an arena");
        return;
    }
    item->status = run_one(job, i, i == 0 ? job->arena : own, scratch, &outcome, &item->error);
    if (i == 0)
        job->outcome = outcome;
}

static es_status run_all(es_event_job *job, es_error *err)
{
    size_t count = job->opts.replication_count;
    if (count == 1 || job->opts.thread_count == 1) {
        for (size_t i = 0; i < count; i++)
            run_in_pool(job, i);
    } else {
        es_pool *pool = NULL;
        ES_TRY(es_pool_new(job->opts.thread_count, count, &pool, err));
        es_status status = es_pool_for(pool, count, run_in_pool, job, err);
        es_pool_free(pool);
        ES_TRY(status);
    }
    for (size_t i = 0; i < count; i++) {
        if (job->items[i].status != ES_OK && err != NULL)
            *err = job->items[i].error;
        ES_TRY(job->items[i].status);
    }
    return ES_OK;
}

/* Over replications; a measure that some replication does not have is left out of its mean. */
static es_status make_intervals(const es_event_job *job, const es_interval **out_items,
                                es_error *err)
{
    size_t count = job->opts.replication_count;
    void *items = NULL;
    void *scratch = NULL;
    ES_TRY(es_arena_take_or_fail(job->arena, ES_MEASURES, sizeof(es_interval), "intervals", &items,
                                 err));
    ES_TRY(es_arena_take_or_fail(job->arena, count, sizeof(double), "intervals", &scratch, err));
    es_interval *intervals = items;
    double *values = scratch;
    for (size_t m = 0; m < ES_MEASURES; m++) {
        size_t known = 0;
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            double value = job->items[i].measures[m];
            if (isnan(value))
                continue;
            values[known++] = value;
            sum += value;
        }
        double mean = known > 0 ? sum / (double)known : (double)NAN;
        double ci95 = es_mean_ci95(values, known);
        if (ci95 < ROUNDING * fabs(mean)) /* all the same */
            ci95 = 0;
        intervals[m] = (es_interval){.measure = es_measures[m], .mean = mean, .ci95 = ci95};
    }
    *out_items = intervals;
    return ES_OK;
}

/* What fits nanoseconds in 64 bits, with as much again behind it. */
static es_status check_time(const es_scenario *scenario, es_error *err)
{
    double run_s = scenario->slot_s * scenario->slot_count;
    if (!(scenario->slot_s >= SLOT_S_MIN))
        return es_fail(err, ES_ERR_ARG, "slots.length_s=%g must be >= %g for events",
                       scenario->slot_s, SLOT_S_MIN);
    if (!(run_s <= RUN_S_MAX))
        return es_fail(err, ES_ERR_ARG, "a run of %g s is longer than %g s", run_s, RUN_S_MAX);
    return ES_OK;
}

static es_status check_opts(const es_event_opts *opts, es_error *err)
{
    if (!(isfinite(opts->overhead_s) && opts->overhead_s >= 0))
        return es_fail(err, ES_ERR_ARG, "overhead_s=%g must be finite and >= 0", opts->overhead_s);
    if (opts->replication_count < 1 || opts->replication_count > REPLICATIONS_MAX)
        return es_fail(err, ES_ERR_ARG, "replications=%u must be in [1, %d]",
                       opts->replication_count, REPLICATIONS_MAX);
    if (opts->warm_up_s < 0 || isinf(opts->warm_up_s))
        return es_fail(err, ES_ERR_ARG, "warm_up_s=%g must be finite and >= 0", opts->warm_up_s);
    if (opts->request_max < 1)
        return es_fail(err, ES_ERR_ARG, "request_max=0 must be >= 1");
    return ES_OK;
}

es_status es_simulate_events(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                             es_event_opts opts, es_event_result *out_result, es_error *err)
{
    ES_TRY(check_opts(&opts, err));
    ES_TRY(check_time(scenario, err));
    if (opts.seed == 0)
        opts.seed = scenario->seed;
    void *items = NULL;
    ES_TRY(es_arena_take_or_fail(arena, opts.replication_count, sizeof(es_replication),
                                 "replications", &items, err));
    es_event_job job = {
        .arena = arena, .scenario = scenario, .plan = plan, .opts = opts, .items = items};
    const es_interval *intervals = NULL;
    ES_TRY(run_all(&job, err));
    ES_TRY(make_intervals(&job, &intervals, err));
    es_outcome *outcome = ES_TAKE_ONE(arena, es_outcome);
    if (outcome == NULL)
        return es_arena_full(arena, "outcome", err);
    *outcome = *job.outcome;
    outcome->replication_count = opts.replication_count;
    outcome->interval_count = ES_MEASURES;
    outcome->intervals = intervals;
    *out_result = (es_event_result){.outcome = outcome};
    for (size_t i = 0; i < opts.replication_count; i++) {
        out_result->event_count += job.items[i].event_count;
        out_result->warm_up_s += job.items[i].warm_up_s / opts.replication_count;
    }
    out_result->end_s = es_s_from_ns(job.items[0].last_ns);
    return ES_OK;
}
