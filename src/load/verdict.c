/* From counts to a verdict, by LoadGen's rules. Early stopping: a run of n queries, k of them over
 * the target, proves that at most 1 - p of all queries are, when so few would come with
 * probability at most 1 - c: P(Binomial(n, 1 - p) <= k) <= 1 - c, c = 0.99. */
#include "internal.h"

#include <math.h>

static const double DOUBT = 0.01; /* 1 - c */

/* Walks k = 0, 1, ... through P(X = k), in logarithms since (p)^n underflows. */
typedef struct walk {
    double log_p, log_term, log_odds, sum;
    uint64_t count, k;
} walk;

static walk walk_begin(uint64_t count, double percentile)
{
    walk w = {.log_p = log(percentile), .log_odds = log1p(-percentile) - log(percentile)};
    w.count = count;
    w.log_term = (double)count * w.log_p;
    w.sum = exp(w.log_term);
    return w;
}

static void walk_step(walk *w)
{
    w->log_term += log((double)(w->count - w->k) / (double)(w->k + 1)) + w->log_odds;
    w->k++;
    w->sum += exp(w->log_term);
}

bool es_load_confident(uint64_t count, uint64_t over, double percentile)
{
    if ((double)over >= (1 - percentile) * (double)count) /* then the sum is about a half or more */
        return false;
    walk w = walk_begin(count, percentile);
    while (w.k < over && w.sum <= DOUBT)
        walk_step(&w);
    return w.sum <= DOUBT;
}

bool es_load_over_max(uint64_t count, double percentile, uint64_t *out)
{
    walk w = walk_begin(count, percentile);
    if (count == 0 || w.sum > DOUBT)
        return false;
    while (w.k < count && w.sum <= DOUBT)
        walk_step(&w);
    *out = w.sum > DOUBT ? w.k - 1 : w.k;
    return true;
}

uint64_t es_load_missing(uint64_t count, uint64_t over, double percentile)
{
    uint64_t low = 0;
    uint64_t high = 1;
    if (es_load_confident(count, over, percentile))
        return 0;
    while (high < (uint64_t)1 << 40 && !es_load_confident(count + high, over, percentile)) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (es_load_confident(count + middle, over, percentile))
            high = middle;
        else
            low = middle;
    }
    return high;
}

double es_load_latency(const es_load_result *result, double q)
{
    double rank = q * (double)result->queries;
    if (result->answered == 0 || rank > (double)result->answered)
        return (double)INFINITY;
    return es_histogram_quantile(result->latency, rank / (double)result->answered);
}

/* ---- the result ---- */

static void add_fault(es_load_fault *faults, size_t *count, const char *what, uint64_t times)
{
    if (times > 0)
        faults[(*count)++] = (es_load_fault){.what = what, .count = times};
}

static es_status list_faults(es_load *load, const es_load_tally *tally, es_load_result *result,
                             es_error *err)
{
    static const char *const ENDS[ES_HTTP_END_COUNT] = {
        [ES_HTTP_END_REPLY] = "reply",         [ES_HTTP_END_UNREACHED] = "not reached",
        [ES_HTTP_END_BROKEN] = "broken",       [ES_HTTP_END_LATE] = "timed out",
        [ES_HTTP_END_OVERSIZE] = "too large",  [ES_HTTP_END_CANCELLED] = "cancelled",
        [ES_HTTP_END_REFUSED] = "refused here"};
    size_t count = 1 + ES_HTTP_END_COUNT;
    for (size_t i = 0; i < ES_LOAD_STATUS_MAX; i++)
        count += tally->statuses[i] > 0;
    es_load_fault *faults = ES_TAKE_ARRAY(load->arena, es_load_fault, count);
    if (faults == NULL)
        return es_arena_full(load->arena, "result of a load", err);
    for (size_t i = 0; i < ES_LOAD_STATUS_MAX; i++) {
        const char *what = tally->statuses[i] > 0 ? es_arena_format(load->arena, "%03zu", i) : "";
        if (what == NULL)
            return es_arena_full(load->arena, "result of a load", err);
        add_fault(faults, &result->fault_count, what, tally->statuses[i]);
    }
    for (size_t i = 0; i < ES_HTTP_END_COUNT; i++)
        add_fault(faults, &result->fault_count, ENDS[i], tally->ends[i]);
    add_fault(faults, &result->fault_count, "not sent", tally->unsent);
    result->faults = faults;
    memcpy(result->first_fault, tally->first_fault, sizeof result->first_fault);
    return ES_OK;
}

/* LoadGen's estimate of a percentile with confidence, and how many queries more it would need. */
static void stop_early(es_load_result *result)
{
    uint64_t over = 0;
    double p = result->percentile;
    result->early_stopping_met = true;
    result->latency_s_early_stopping = (double)NAN;
    if (result->scenario == ES_LOAD_OFFLINE)
        return;
    uint64_t counted = result->scenario == ES_LOAD_SERVER ? result->over_target : 1;
    result->early_stopping_missing = es_load_missing(result->queries, counted, p);
    result->early_stopping_met = result->early_stopping_missing == 0;
    if (result->scenario != ES_LOAD_SERVER && result->early_stopping_met &&
        es_load_over_max(result->queries, p, &over) && over > 0)
        result->latency_s_early_stopping =
            es_load_latency(result, (double)(result->queries - over + 1) / (double)result->queries);
}

static void judge(es_load_result *result, const es_load_plan *plan)
{
    double lasted_s =
        result->scenario == ES_LOAD_OFFLINE ? result->last_done_s : result->scheduled_s;
    result->performance_met = result->scenario != ES_LOAD_SERVER ||
                              (result->queries > 0 && es_load_latency(result, result->percentile) <=
                                                          result->latency_target_s);
    result->duration_met = lasted_s >= plan->duration_s;
    result->queries_met = result->queries >= plan->query_count_min;
    result->answers_met = result->failed == 0 && result->answered > 0;
    stop_early(result);
    result->valid = result->performance_met && result->duration_met && result->queries_met &&
                    result->early_stopping_met && result->answers_met;
}

es_status es_load_conclude(es_load *load, const es_load_plan *plan, const es_load_tally *tally,
                           const es_load_result **out_result, es_error *err)
{
    es_load_result *result = ES_TAKE_ONE(load->arena, es_load_result);
    if (result == NULL)
        return es_arena_full(load->arena, "result of a load", err);
    *result = (es_load_result){.scenario = load->opts.scenario,
                               .rate_rps = plan->rate_rps,
                               .percentile = load->opts.percentile,
                               .latency_target_s = load->opts.latency_target_s,
                               .queries = tally->queries,
                               .answered = tally->answered,
                               .failed = tally->failed,
                               .samples = tally->samples,
                               .over_target = tally->over_target,
                               .scheduled_s = tally->scheduled_s,
                               .last_done_s = tally->last_done_s,
                               .latency = tally->latency,
                               .send_delay = tally->send_delay,
                               .stopped = tally->stopped};
    ES_TRY(list_faults(load, tally, result, err));
    ES_TRY(es_histogram_status(tally->latency, err));
    ES_TRY(es_histogram_status(tally->send_delay, err));
    judge(result, plan);
    *out_result = result;
    return ES_OK;
}
