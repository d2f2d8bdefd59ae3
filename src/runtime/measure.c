/* Latencies: run until the interval of the median is tight, then tell the quantiles. */
#include "runtime/internal.h"

#include <assert.h>
#include <math.h>

/* Runs that are made even when the time is up: the least that has a median with neighbours. */
enum { LATE_REPETITIONS = 3 };

static const double normal_95 = 1.959963984540054; /* two-sided 95 % of the normal distribution */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The smallest sample with at least part of all samples at or below it. */
static double quantile(const double *sorted, size_t count, double part)
{
    double rank = ceil(part * (double)count);
    size_t index = rank < 1 ? 0 : (size_t)rank - 1;
    return sorted[index < count ? index : count - 1];
}

void es_latency_summarise(double *samples_ms, size_t count, double ci_relative,
                          es_profile_latency *out_latency)
{
    assert(count > 0);
    double mean = 0;
    for (size_t i = 0; i < count; i++)
        mean += samples_ms[i] / (double)count;
    double variance = 0;
    for (size_t i = 0; i < count; i++)
        variance += (samples_ms[i] - mean) * (samples_ms[i] - mean);
    variance = count > 1 ? variance / (double)(count - 1) : 0;
    qsort(samples_ms, count, sizeof *samples_ms, by_value);
    /* The ranks between which the median lies with 95 %, by the binomial's normal limit. */
    double half = normal_95 * sqrt((double)count) / 2;
    double low = floor((double)count / 2 - half);
    double high = ceil((double)count / 2 + half);
    size_t low_index = low < 0 ? 0 : (size_t)low;
    size_t high_index = high >= (double)count ? count - 1 : (size_t)high;
    *out_latency = (es_profile_latency){
        .repetitions = count,
        .ms_min = samples_ms[0],
        .ms_mean = mean,
        .ms_p50 = quantile(samples_ms, count, 0.50),
        .ms_p90 = quantile(samples_ms, count, 0.90),
        .ms_p95 = quantile(samples_ms, count, 0.95),
        .ms_p99 = quantile(samples_ms, count, 0.99),
        .ms_mean_ci = normal_95 * sqrt(variance / (double)count),
        .ms_p50_low = samples_ms[low_index],
        .ms_p50_high = samples_ms[high_index],
    };
    double width = (out_latency->ms_p50_high - out_latency->ms_p50_low) / 2;
    out_latency->tight = width <= ci_relative * out_latency->ms_p50;
}

es_status es_measure(es_binding *binding, const es_measure_opts *opts, double *samples_ms,
                     es_profile_latency *out_latency, es_error *err)
{
    for (uint32_t i = 0; i < opts->warm_up_count; i++) {
        ES_TRY(es_binding_run(binding, err));
        if (es_clock_now_ns(opts->clock) >= opts->deadline_ns)
            break;
    }
    size_t count = 0;
    size_t look_at = opts->repetitions_min; /* looking sorts, so it happens ever more rarely */
    int64_t before = es_clock_now_ns(opts->clock);
    while (true) {
        if (opts->pause_ns > 0) {
            es_clock_sleep_until_ns(opts->clock, before + opts->pause_ns);
            before = es_clock_now_ns(opts->clock);
        }
        ES_TRY(es_binding_run(binding, err));
        int64_t after = es_clock_now_ns(opts->clock);
        samples_ms[count++] = (double)(after - before) / (double)ES_NS_PER_MS;
        bool last = count >= opts->repetitions_max ||
                    (count >= LATE_REPETITIONS && after >= opts->deadline_ns);
        if (count >= look_at || last) {
            es_latency_summarise(samples_ms, count, opts->ci_relative, out_latency);
            if (last || out_latency->tight)
                return ES_OK;
            look_at = count + count / 2 + 1;
        }
        before = es_clock_now_ns(opts->clock);
    }
}

es_status es_bench_prepare(es_arena *arena, es_bench *bench, es_error *err)
{
    es_session *session = bench->session;
    es_tensor probe[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    ES_TRY(es_session_run(session, bench->inputs, session->input_count, probe,
                          session->output_count, err));
    es_status status = ES_OK;
    for (size_t i = 0; i < session->output_count; i++) {
        bench->outputs[i] = es_tensor_make(probe[i].dtype, probe[i].dims, probe[i].rank, NULL);
        if (status == ES_OK && probe[i].dtype != ES_DTYPE_NONE)
            status = es_arena_take_or_fail(arena, bench->outputs[i].size_bytes, 1, "output buffer",
                                           &bench->outputs[i].data, err);
        es_tensor_done(&probe[i]);
    }
    ES_TRY(status);
    return es_binding_new(session, bench->inputs, session->input_count, bench->outputs,
                          session->output_count, &bench->binding, err);
}

void es_bench_done(es_bench *bench)
{
    es_binding_free(bench->binding);
    bench->binding = NULL;
}
