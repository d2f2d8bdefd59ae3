/* The profile of a model: what it costs on this node, whole, in batches and in segments. */
#include "base/rng.h"
#include "model/model.h"
#include "runtime/internal.h"

#include <sys/stat.h>

/* Shares of the time budget: the figure everybody uses gets most. */
static const double share_whole = 4;
static const double share_batch = 2;
static const size_t scratch_cap_bytes = (size_t)8 << 30;

es_profile_opts es_profile_opts_default(void)
{
    return (es_profile_opts){
        .batch_max = 8,
        .thread_count = 1,
        .warm_up_count = 5,
        .repetitions_min = 200,
        .repetitions_max = 20000,
        .time_budget_s = 10,
        .ci_relative = 0.02,
        .free_dim = 1,
        .seed = 1,
        .per_cut = true,
    };
}

static es_status opts_check(const es_profile_opts *opts, es_error *err)
{
    if (!(opts->time_budget_s > 0 && opts->time_budget_s <= 86400))
        return es_fail(err, ES_ERR_ARG, "time_budget_s=%g must be > 0 and <= 86400",
                       opts->time_budget_s);
    if (!(opts->ci_relative > 0 && opts->ci_relative <= 1))
        return es_fail(err, ES_ERR_ARG, "ci_relative=%g must be > 0 and <= 1", opts->ci_relative);
    if (opts->batch_max < 1 || opts->batch_max > 65536)
        return es_fail(err, ES_ERR_ARG, "batch_max=%u must be in 1..65536", opts->batch_max);
    if (opts->repetitions_min < 1 || opts->repetitions_max < opts->repetitions_min ||
        opts->repetitions_max > 10000000)
        return es_fail(err, ES_ERR_ARG,
                       "repetitions_min=%u, repetitions_max=%u: expected 1 <= min <= max <= 1e7",
                       opts->repetitions_min, opts->repetitions_max);
    for (size_t i = 0; i < opts->dim_count; i++)
        if (opts->dims[i].value < 1)
            return es_fail(err, ES_ERR_ARG, "dim '%s' = %lld must be >= 1", opts->dims[i].name,
                           (long long)opts->dims[i].value);
    if (opts->free_dim < 1)
        return es_fail(err, ES_ERR_ARG, "free_dim=%lld must be >= 1", (long long)opts->free_dim);
    return ES_OK;
}

static void dims_bind(const es_profile_opts *opts, es_port *port)
{
    for (size_t i = 0; i < port->rank; i++)
        for (size_t k = 0; k < opts->dim_count && port->symbols[i] != NULL; k++)
            if (strcmp(port->symbols[i], opts->dims[k].name) == 0)
                port->dims[i] = opts->dims[k].value;
}

/* Inputs with the first dim = batch where it is free. */
static es_status inputs_make(es_profiling *now, es_bench *bench, uint32_t batch, es_error *err)
{
    es_session *session = bench->session;
    for (size_t i = 0; i < session->input_count; i++) {
        es_port port = session->inputs[i];
        dims_bind(&now->opts, &port);
        if (es_dtype_size(port.dtype) == 0)
            return es_fail(err, ES_ERR_UNSUPPORTED,
                           "input %zu '%s': only tensors of numbers can be given", i, port.name);
        if (port.rank > 0 && port.dims[0] < 0)
            port.dims[0] = batch;
        bench->inputs[i] = es_port_tensor(&port, now->opts.free_dim);
        ES_TRY(es_arena_take_or_fail(now->scratch, bench->inputs[i].size_bytes, 1, "input buffer",
                                     &bench->inputs[i].data, err));
        es_rng rng = es_rng_make(now->opts.seed, i);
        es_tensor_fill(&bench->inputs[i], &rng);
    }
    return ES_OK;
}

es_status es_profiling_measure(es_profiling *now, es_binding *binding, double share,
                               const char *what, es_profile_latency *out_latency, es_error *err)
{
    es_profile_opts *opts = &now->opts;
    int64_t time_ns = es_clock_now_ns(opts->clock);
    double left_ns = time_ns < now->end_ns ? (double)(now->end_ns - time_ns) : 0;
    double part = share / (now->work_total - now->work_done);
    if (opts->progress != NULL)
        opts->progress(opts->progress_context, what, now->work_done / now->work_total);
    es_measure_opts measure = {
        .clock = opts->clock,
        .warm_up_count = opts->warm_up_count,
        .repetitions_min = opts->repetitions_min,
        .repetitions_max = opts->repetitions_max,
        .ci_relative = opts->ci_relative,
        .deadline_ns = time_ns + (int64_t)(left_ns * (part < 1 ? part : 1)),
        .pause_ns = es_ns_from_s(opts->pause_s),
    };
    ES_TRY(es_within(err, es_measure(binding, &measure, now->samples_ms, out_latency, err),
                     "measuring %s", what));
    now->work_done += share;
    return ES_OK;
}

static bool first_dims_free(const es_profile_opts *opts, const es_port *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        es_port port = ports[i];
        dims_bind(opts, &port);
        if (port.dtype != ES_DTYPE_NONE && (port.rank == 0 || port.dims[0] >= 0))
            return false;
    }
    return true;
}

static uint64_t bytes_total(const es_tensor *tensors, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += tensors[i].size_bytes;
    return bytes;
}

/* One larger batch; its buffers go when it is measured. */
static es_status batch_measure(es_profiling *now, es_session *session, es_profile_batch *out_batch,
                               es_error *err)
{
    es_bench bench = {.session = session};
    char what[32];
    (void)snprintf(what, sizeof what, "batch %u", out_batch->batch);
    es_status status = inputs_make(now, &bench, out_batch->batch, err);
    if (status == ES_OK)
        status = es_bench_prepare(now->scratch, &bench, err);
    if (status == ES_OK)
        status =
            es_profiling_measure(now, bench.binding, share_batch, what, &out_batch->latency, err);
    es_bench_done(&bench);
    return status;
}

static void batch_rate(es_profile_batch *batch)
{
    double mean_s = batch->latency.ms_mean / 1000;
    batch->throughput_rps = mean_s > 0 ? batch->batch / mean_s : 0;
}

/* Batch 1 is the whole model's latency; the others follow as far as they run. A model that says
 * that its batch is free but does not run with 2 is not batchable. */
static es_status batches_measure(es_profiling *now, es_session *session, es_error *err)
{
    es_profile *profile = now->profile;
    es_profile_batch *batches = ES_TAKE_ARRAY(now->arena, es_profile_batch, 32);
    if (batches == NULL)
        return es_arena_full(now->arena, "batches", err);
    batches[0] = (es_profile_batch){.batch = 1, .latency = profile->latency};
    batch_rate(&batches[0]);
    profile->batches = batches;
    profile->batch_count = 1;
    for (uint32_t batch = 2; batch <= now->opts.batch_max && profile->batchable; batch *= 2) {
        es_profile_batch *next = &batches[profile->batch_count];
        *next = (es_profile_batch){.batch = batch};
        es_error reason = {.status = ES_OK};
        es_status status = batch_measure(now, session, next, &reason);
        if (status == ES_ERR_NOMEM)
            return es_fail(err, status, "batch %u: %s", batch, es_error_text(&reason));
        if (status != ES_OK)
            profile->batchable = profile->batch_count > 1;
        if (status != ES_OK)
            break;
        batch_rate(next);
        profile->batch_count++;
    }
    return ES_OK;
}

static size_t batch_steps(const es_profile_opts *opts)
{
    size_t steps = 0;
    for (uint32_t batch = 2; batch <= opts->batch_max; batch *= 2)
        steps++;
    return steps;
}

/* Loads the model, noting time and memory, and measures it whole and in batches. */
static es_status whole_measure(es_profiling *now, es_session *session, es_bench *bench,
                               uint64_t memory_before, es_error *err)
{
    es_profile *profile = now->profile;
    ES_TRY(inputs_make(now, bench, 1, err));
    ES_TRY(es_bench_prepare(now->scratch, bench, err));
    profile->batchable = session->input_count > 0 &&
                         first_dims_free(&now->opts, session->inputs, session->input_count) &&
                         first_dims_free(&now->opts, session->outputs, session->output_count);
    if (session->input_count > 0) /* until the weights tell more */
        profile->dtype = es_dtype_name(session->inputs[0].dtype);
    profile->input_bytes = bytes_total(bench->inputs, session->input_count);
    profile->output_bytes = bytes_total(bench->outputs, session->output_count);
    uint64_t peak = es_memory_peak_bytes();
    uint64_t resident = es_memory_resident_bytes();
    profile->memory_bytes_peak = peak > memory_before ? peak - memory_before : 0;
    profile->memory_bytes = resident > memory_before ? resident - memory_before : 0;
    if (profile->batchable)
        now->work_total += share_batch * (double)batch_steps(&now->opts);
    ES_TRY(
        es_profiling_measure(now, bench->binding, share_whole, "latency", &profile->latency, err));
    ES_TRY(es_profiling_energy(now, bench->binding, err));
    return batches_measure(now, session, err);
}

static es_status names_fill(es_profiling *now, es_error *err)
{
    es_profile *profile = now->profile;
    es_arena *arena = now->arena;
    profile->path = es_arena_text(arena, now->path);
    profile->node_kind = now->opts.node_kind != NULL ? es_arena_text(arena, now->opts.node_kind)
                                                     : es_host_name(arena);
    profile->cpu = es_host_cpu(arena);
    profile->runtime_version = es_arena_text(arena, es_runtime_version(now->runtime));
    profile->variant = now->opts.variant != NULL ? es_arena_text(arena, now->opts.variant)
                                                 : es_model_file_name(arena, now->path);
    profile->dtype = "none";
    profile->thread_count = now->opts.thread_count;
    if (profile->path == NULL || profile->node_kind == NULL || profile->cpu == NULL ||
        profile->runtime_version == NULL || profile->variant == NULL)
        return es_arena_full(arena, "profile", err);
    struct stat facts;
    if (stat(now->path, &facts) == 0)
        profile->file_bytes = (uint64_t)facts.st_size;
    return ES_OK;
}

static es_status profile_fill(es_profiling *now, es_error *err)
{
    es_profile_opts *opts = &now->opts;
    ES_TRY(names_fill(now, err));
    now->samples_ms = ES_TAKE_ARRAY(now->scratch, double, opts->repetitions_max);
    if (now->samples_ms == NULL)
        return es_arena_full(now->scratch, "samples", err);
    es_session_opts session_opts = es_session_opts_default();
    session_opts.thread_count = opts->thread_count;
    es_memory_trim();
    es_memory_peak_reset();
    uint64_t memory_before = es_memory_resident_bytes();
    int64_t before_ns = es_clock_now_ns(opts->clock);
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    ES_TRY(es_session_open(now->runtime, now->path, session_opts, &session, err));
    now->profile->load_ms =
        (double)(es_clock_now_ns(opts->clock) - before_ns) / (double)ES_NS_PER_MS;

    ES_CLEANUP(es_bench_done) es_bench bench = {.session = session};
    const es_model *const *segments = NULL;
    now->end_ns = es_clock_now_ns(opts->clock) + es_ns_from_s(opts->time_budget_s);
    now->work_total = share_whole + (opts->per_cut ? share_whole : 0);
    ES_TRY(es_within(err, whole_measure(now, session, &bench, memory_before, err), "model '%s'",
                     now->path));
    ES_TRY(es_profiling_analyse(now, &segments, err));
    if (segments != NULL)
        ES_TRY(es_within(err, es_profiling_segments(now, segments, &bench, err), "model '%s'",
                         now->path));
    if (opts->progress != NULL)
        opts->progress(opts->progress_context, "done", 1);
    return ES_OK;
}

es_status es_profile_run(es_arena *arena, es_runtime *runtime, const char *path,
                         es_profile_opts opts, const es_profile **out_profile, es_error *err)
{
    ES_TRY(opts_check(&opts, err));
    if (opts.clock == NULL)
        opts.clock = es_clock_system();
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(scratch_cap_bytes);
    es_profile *profile = ES_TAKE_ONE(arena, es_profile);
    if (scratch == NULL || profile == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a profile");
    es_profiling now = {.arena = arena,
                        .scratch = scratch,
                        .runtime = runtime,
                        .path = path,
                        .opts = opts,
                        .profile = profile};
    ES_TRY(profile_fill(&now, err));
    *out_profile = profile;
    return ES_OK;
}
