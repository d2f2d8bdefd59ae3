/* What a load has to say: LoadGen's keys for people and scripts that know them, a document for
 * others. */
#include "internal.h"

#include <math.h>

static const double SHARES[] = {0.5, 0.9, 0.95, 0.97, 0.99, 0.999};
enum { SHARE_COUNT = sizeof SHARES / sizeof SHARES[0] };

static void heading(es_text *out, const char *text)
{
    static const char RULE[] = "================================================\n";
    es_text_format(out, "%s%s\n%s", RULE, text, RULE);
}

static const char *yes_no(bool met)
{
    return met ? "Yes" : "NO";
}

static void nanoseconds(es_text *out, double seconds)
{
    if (isfinite(seconds))
        es_text_format(out, "%lld\n", (long long)es_ns_from_s(seconds));
    else
        es_text_append(out, "none\n");
}

static double per_second(double count, double seconds)
{
    return seconds > 0 ? count / seconds : 0;
}

/* A rate holds one less than its marks: the last one opens an interval that is not counted. */
static double rate_of(double count, double seconds)
{
    return per_second(count > 1 ? count - 1 : 0, seconds);
}

/* ---- text ---- */

static void write_metric(const es_load_result *result, es_text *out)
{
    switch (result->scenario) {
    case ES_LOAD_SERVER:
        es_text_format(out, "Scheduled samples per second : %.2f\n",
                       rate_of((double)result->queries, result->scheduled_s));
        return;
    case ES_LOAD_OFFLINE:
        es_text_format(out, "Samples per second: %.6g\n",
                       per_second((double)result->samples, result->last_done_s));
        return;
    case ES_LOAD_SINGLE_STREAM:
    case ES_LOAD_MULTI_STREAM:
    case ES_LOAD_SCENARIO_COUNT:
        break;
    }
    es_text_format(out, "%.0fth percentile latency (ns) : ", 100 * result->percentile);
    nanoseconds(out, es_load_latency(result, result->percentile));
}

static void write_verdict(const es_load_result *result, es_text *out)
{
    es_text_format(out, "Result is : %s\n", result->valid ? "VALID" : "INVALID");
    if (result->scenario == ES_LOAD_SERVER)
        es_text_format(out, "  Performance constraints satisfied : %s\n",
                       yes_no(result->performance_met));
    es_text_format(out, "  Min duration satisfied : %s\n", yes_no(result->duration_met));
    es_text_format(out, "  Min queries satisfied : %s\n", yes_no(result->queries_met));
    es_text_format(out, "  Early stopping satisfied: %s\n", yes_no(result->early_stopping_met));
    es_text_format(out, "  All queries answered : %s\n", yes_no(result->answers_met));
    if (result->early_stopping_missing > 0)
        es_text_format(out,
                       "Early Stopping Result:\n * %llu more queries in time would be needed\n",
                       (unsigned long long)result->early_stopping_missing);
    else if (isfinite(result->latency_s_early_stopping))
        es_text_format(out, "Early Stopping Result:\n * %.0fth percentile estimate: %lld\n",
                       100 * result->percentile,
                       (long long)es_ns_from_s(result->latency_s_early_stopping));
}

static void write_stats(const es_load_result *result, es_text *out)
{
    if (result->scenario == ES_LOAD_SERVER)
        es_text_format(out, "Completed samples per second    : %.2f\n",
                       rate_of((double)result->answered, result->last_done_s));
    es_text_append(out, "Min latency (ns)                : ");
    nanoseconds(out, es_histogram_min(result->latency));
    es_text_append(out, "Max latency (ns)                : ");
    nanoseconds(out, result->failed > 0 ? (double)INFINITY : es_histogram_max(result->latency));
    es_text_append(out, "Mean latency (ns)               : ");
    nanoseconds(out, result->failed > 0 ? (double)INFINITY : es_histogram_mean(result->latency));
    for (size_t i = 0; i < SHARE_COUNT; i++) {
        es_text_format(out, "%.2f percentile latency (ns)   : ", 100 * SHARES[i]);
        nanoseconds(out, es_load_latency(result, SHARES[i]));
    }
    es_text_format(out, "Queries                         : %llu\n",
                   (unsigned long long)result->queries);
    es_text_format(out, "Failed queries                  : %llu\n",
                   (unsigned long long)result->failed);
    for (size_t i = 0; i < result->fault_count; i++)
        es_text_format(out, "  requests with %-16s: %llu\n", result->faults[i].what,
                       (unsigned long long)result->faults[i].count);
    if (result->first_fault[0] != '\0')
        es_text_format(out, "  the first: %s\n", result->first_fault);
    if (result->scenario == ES_LOAD_SERVER) {
        es_text_append(out, "99.00 percentile send delay (ns): ");
        nanoseconds(out, es_histogram_quantile(result->send_delay, 0.99));
    }
}

void es_load_write_text(const es_load *load, const es_load_result *result, es_text *out)
{
    heading(out, "Results Summary (LoadGen's scenarios; no MLPerf submission)");
    es_text_format(out, "SUT name : %s %s\nScenario : %s\nMode     : PerformanceOnly\n",
                   load->opts.url, load->opts.model, es_load_scenario_names[result->scenario]);
    write_metric(result, out);
    write_verdict(result, out);
    es_text_append(out, "\n");
    heading(out, "Additional Stats");
    write_stats(result, out);
}

/* ---- document ---- */

static void put_ms(es_json *json, const char *key, double seconds)
{
    es_json_put_number(json, key, 1e3 * seconds); /* infinite: null */
}

static void write_latency(const es_load_result *result, es_json *json)
{
    char name[16];
    es_json_key(json, "latency_ms");
    es_json_map_begin(json);
    put_ms(json, "min", es_histogram_min(result->latency));
    put_ms(json, "mean", es_histogram_mean(result->latency));
    for (size_t i = 0; i < SHARE_COUNT; i++) {
        (void)snprintf(name, sizeof name, "p%g", 100 * SHARES[i]);
        put_ms(json, name, es_load_latency(result, SHARES[i]));
    }
    put_ms(json, "max", es_histogram_max(result->latency));
    es_json_map_end(json);
}

static void write_settings(const es_load *load, const es_load_result *result, es_json *json)
{
    const es_load_opts *opts = &load->opts;
    es_json_put_text(json, "url", opts->url);
    es_json_put_text(json, "model", opts->model);
    es_json_put_text(json, "scenario", es_load_scenario_names[result->scenario]);
    if (result->scenario == ES_LOAD_SERVER) {
        es_json_put_number(json, "rate_rps", result->rate_rps);
        put_ms(json, "latency_target_ms", result->latency_target_s);
    }
    if (result->scenario == ES_LOAD_MULTI_STREAM)
        es_json_put_int(json, "samples_per_query", opts->samples_per_query);
    es_json_put_number(json, "percentile", 100 * result->percentile);
    es_json_put_int(json, "connections", opts->connections);
    es_json_put_int(json, "batch", opts->batch);
    es_json_put_int(json, "input_bytes", (int64_t)load->input_bytes);
    es_json_put_int(json, "inputs", (int64_t)load->body_count);
    es_json_put_bool(json, "binary", !opts->json_tensors);
    es_json_put_int(json, "seed", (int64_t)opts->seed);
}

static void write_counts(const es_load_result *result, es_json *json)
{
    es_json_put_int(json, "queries", (int64_t)result->queries);
    es_json_put_int(json, "answered", (int64_t)result->answered);
    es_json_put_int(json, "failed", (int64_t)result->failed);
    es_json_put_int(json, "samples", (int64_t)result->samples);
    if (result->scenario == ES_LOAD_SERVER) {
        es_json_put_int(json, "over_target", (int64_t)result->over_target);
        es_json_put_number(json, "scheduled_rps",
                           rate_of((double)result->queries, result->scheduled_s));
        es_json_put_number(json, "completed_rps",
                           rate_of((double)result->answered, result->last_done_s));
        put_ms(json, "send_delay_p99_ms", es_histogram_quantile(result->send_delay, 0.99));
    }
    es_json_put_number(json, "samples_per_s",
                       per_second((double)result->samples, result->last_done_s));
    es_json_put_number(json, "duration_s", result->last_done_s);
    es_json_key(json, "errors");
    es_json_map_begin(json);
    for (size_t i = 0; i < result->fault_count; i++)
        es_json_put_int(json, result->faults[i].what, (int64_t)result->faults[i].count);
    es_json_map_end(json);
    es_json_put_text(json, "first_error",
                     result->first_fault[0] != '\0' ? result->first_fault : NULL);
}

static void write_json_verdict(const es_load_result *result, es_json *json)
{
    es_json_put_text(json, "result", result->valid ? "VALID" : "INVALID");
    es_json_key(json, "satisfied");
    es_json_map_begin(json);
    es_json_put_bool(json, "performance", result->performance_met);
    es_json_put_bool(json, "duration", result->duration_met);
    es_json_put_bool(json, "queries", result->queries_met);
    es_json_put_bool(json, "early_stopping", result->early_stopping_met);
    es_json_put_bool(json, "answers", result->answers_met);
    es_json_map_end(json);
    put_ms(json, "early_stopping_latency_ms", result->latency_s_early_stopping);
    es_json_put_int(json, "early_stopping_missing", (int64_t)result->early_stopping_missing);
}

static void write_search(const es_load_search *search, es_json *json)
{
    es_json_put_number(json, "highest_rate_rps",
                       search->best != NULL ? search->best->rate_rps : (double)NAN);
    es_json_key(json, "trials");
    es_json_list_begin(json);
    for (size_t i = 0; i < search->trial_count; i++) {
        const es_load_trial *trial = &search->trials[i];
        es_json_map_begin(json);
        es_json_put_number(json, "rate_rps", trial->rate_rps);
        put_ms(json, "latency_ms", trial->latency_s);
        es_json_put_int(json, "queries", (int64_t)trial->queries);
        es_json_put_int(json, "failed", (int64_t)trial->failed);
        es_json_put_bool(json, "good", trial->good);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_load_write_json(const es_load *load, const es_load_result *result,
                        const es_load_search *search, es_text *out)
{
    es_json json;
    es_json_init(&json, out, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-load");
    es_json_put_int(&json, "version", 1);
    write_settings(load, result, &json);
    write_json_verdict(result, &json);
    write_latency(result, &json);
    write_counts(result, &json);
    if (search != NULL)
        write_search(search, &json);
    es_json_map_end(&json);
}
