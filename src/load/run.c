/* Whole runs: warm-up and measurement; the search for the highest rate. */
#include "internal.h"

#include <math.h>

static es_load_plan plan_of(const es_load *load, double rate_rps)
{
    const es_load_opts *opts = &load->opts;
    return (es_load_plan){.rate_rps = rate_rps > 0 ? rate_rps : opts->rate_rps,
                          .duration_s = opts->duration_s,
                          .duration_s_max = opts->duration_s_max,
                          .query_count_min = opts->query_count_min,
                          .seed_schedule = es_load_seed_schedule(opts->seed),
                          .seed_samples = es_load_seed_samples(opts->seed)};
}

/* The same traffic from other streams, thrown away. */
static es_status warm_up(es_load *load, const es_load_plan *plan, es_error *err)
{
    es_load_plan warming = *plan;
    es_load_tally tally = {.latency = load->warm_latency, .send_delay = load->warm_delay};
    if (load->opts.warm_up_s <= 0)
        return ES_OK;
    warming.warm_up = true;
    warming.stop_when_lost = false;
    warming.duration_s = warming.duration_s_max = load->opts.warm_up_s;
    warming.query_count_min = 0;
    warming.seed_schedule = ~plan->seed_schedule;
    warming.seed_samples = ~plan->seed_samples;
    ES_TRY(es_load_drive(load, &warming, &tally, err));
    return tally.stopped ? es_fail(err, ES_ERR_CANCELLED, "stopped while warming up") : ES_OK;
}

static es_status run_plan(es_load *load, const es_load_plan *plan,
                          const es_load_result **out_result, es_error *err)
{
    es_load_tally tally = {.latency = es_histogram_new(load->arena),
                           .send_delay = es_histogram_new(load->arena)};
    if (tally.latency == NULL || tally.send_delay == NULL)
        return es_arena_full(load->arena, "histograms", err);
    ES_TRY(warm_up(load, plan, err));
    ES_TRY(es_load_drive(load, plan, &tally, err));
    return es_load_conclude(load, plan, &tally, out_result, err);
}

es_status es_load_run(es_load *load, double rate_rps, const es_load_result **out_result,
                      es_error *err)
{
    es_load_plan plan = plan_of(load, rate_rps);
    return run_plan(load, &plan, out_result, err);
}

/* ---- the highest rate ---- */

enum { TRIALS_MAX = 64 };

typedef struct search {
    es_load *load;
    es_load_trial *trials;
    size_t count;
    const es_load_result *best;
    double good_rps, bad_rps; /* 0: none yet */
    bool stopped;
} search;

static es_status try_rate(search *s, double rate_rps, es_error *err)
{
    const es_load_result *result = NULL;
    es_load_plan plan = plan_of(s->load, rate_rps);
    plan.stop_when_lost = true;
    ES_TRY(run_plan(s->load, &plan, &result, err));
    /* An end before the time is no proof that the rate is good. */
    bool good = result->performance_met && result->duration_met;
    s->stopped = result->stopped;
    s->trials[s->count++] =
        (es_load_trial){.rate_rps = rate_rps,
                        .latency_s = es_load_latency(result, result->percentile),
                        .queries = result->queries,
                        .failed = result->failed,
                        .good = good};
    if (s->stopped)
        return ES_OK;
    if (good && rate_rps > s->good_rps) {
        s->good_rps = rate_rps;
        s->best = result;
    } else if (!good && (s->bad_rps <= 0 || rate_rps < s->bad_rps)) {
        s->bad_rps = rate_rps;
    }
    return ES_OK;
}

static double next_rate(const search *s)
{
    if (s->bad_rps <= 0)
        return 2 * s->good_rps;
    if (s->good_rps <= 0)
        return s->bad_rps / 2;
    return sqrt(s->good_rps * s->bad_rps);
}

es_status es_load_find_rate(es_load *load, double precision, es_load_search *out_search,
                            es_error *err)
{
    const double rate_min_rps = 0.01;
    const double rate_max_rps = 1e7;
    search s = {.load = load, .trials = ES_TAKE_ARRAY(load->arena, es_load_trial, TRIALS_MAX)};
    if (load->opts.scenario != ES_LOAD_SERVER || !(precision > 0))
        return es_fail(err, ES_ERR_ARG, "only Server has a rate to find, to a precision > 0");
    if (s.trials == NULL)
        return es_arena_full(load->arena, "trials of a search", err);
    double rate_rps = load->opts.rate_rps;
    while (s.count < TRIALS_MAX && !s.stopped && rate_rps >= rate_min_rps &&
           rate_rps <= rate_max_rps) {
        ES_TRY(try_rate(&s, rate_rps, err));
        if (s.good_rps > 0 && s.bad_rps > 0 && s.bad_rps <= s.good_rps * (1 + precision))
            break;
        rate_rps = next_rate(&s);
    }
    *out_search = (es_load_search){.trials = s.trials, .trial_count = s.count, .best = s.best};
    return ES_OK;
}
