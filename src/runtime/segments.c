/* Segments of a profile: the model cut at every cut point, each segment timed once. Times of head
 * and tail at any cut are sums of these, so n cuts cost n + 1 measurements, not n^2. */
#include "model/model.h"
#include "runtime/internal.h"

static const double share_segments = 4; /* of all segments together */

static void note_set(es_profiling *now, const char *text)
{
    now->profile->segment_note = es_arena_text(now->arena, text);
}

/* The type that most bytes of the weights have, or fallback. Wide integers are shapes and biases.
 */
static const char *dominant_type(const es_model *model, const char *fallback)
{
    static const es_dtype types[] = {ES_DTYPE_F32, ES_DTYPE_F16, ES_DTYPE_BF16,
                                     ES_DTYPE_I8,  ES_DTYPE_U8,  ES_DTYPE_F64};
    uint64_t bytes[ES_DTYPE_COUNT] = {0};
    size_t count = es_model_weight_count(model);
    for (size_t i = 0; i < count; i++) {
        es_model_weight weight = es_model_weight_at(model, i);
        size_t type = (size_t)weight.tensor.type;
        if (type < ES_DTYPE_COUNT && weight.tensor.bytes > 0)
            bytes[type] += (uint64_t)weight.tensor.bytes;
    }
    es_dtype best = ES_DTYPE_NONE;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (bytes[types[i]] > bytes[best])
            best = types[i];
    return best != ES_DTYPE_NONE ? es_dtype_name(best) : fallback;
}

/* What the profile takes from the cut points: figures of each segment but its time. */
static es_status segments_describe(es_profiling *now, const es_model_cut_list *cuts,
                                   const es_model_analysis *analysis, es_error *err)
{
    es_profile *profile = now->profile;
    es_profile_segment *segments = ES_TAKE_ARRAY(now->arena, es_profile_segment, cuts->count + 1);
    if (segments == NULL)
        return es_arena_full(now->arena, "segments", err);
    uint64_t macs_before = 0;
    uint64_t params_before = 0;
    for (size_t i = 0; i <= cuts->count; i++) {
        bool last = i == cuts->count;
        uint64_t macs = (uint64_t)(last ? analysis->macs : cuts->points[i].macs_before);
        uint64_t params =
            (uint64_t)(last ? analysis->parameter_bytes : cuts->points[i].parameter_bytes_before);
        segments[i].output = es_arena_text(now->arena, last ? "" : cuts->points[i].tensor->name);
        if (segments[i].output == NULL)
            return es_arena_full(now->arena, "segment name", err);
        segments[i].macs = macs > macs_before ? macs - macs_before : 0;
        segments[i].params_bytes = params > params_before ? params - params_before : 0;
        macs_before = macs;
        params_before = params;
    }
    now->segments = segments;
    profile->segments = segments;
    profile->segment_count = cuts->count + 1;
    return ES_OK;
}

static es_status model_cut(es_profiling *now, const es_model *model,
                           const es_model_analysis *analysis, const es_model *const **out_segments,
                           es_error *err)
{
    es_model_cut_list cuts;
    ES_TRY(es_model_cut_points(now->scratch, model, analysis, &cuts, err));
    if (cuts.count == 0) {
        note_set(now, "the model has no cut point");
        return ES_OK;
    }
    const char **names = ES_TAKE_ARRAY(now->scratch, const char *, cuts.count);
    if (names == NULL)
        return es_arena_full(now->scratch, "cut points", err);
    for (size_t i = 0; i < cuts.count; i++)
        names[i] = cuts.points[i].tensor->name;
    ES_TRY(es_model_cut(now->scratch, model, names, cuts.count, out_segments, err));
    return segments_describe(now, &cuts, analysis, err);
}

es_status es_profiling_analyse(es_profiling *now, const es_model *const **out_segments,
                               es_error *err)
{
    es_profile *profile = now->profile;
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.free_dim = now->opts.free_dim;
    es_model_binding *bindings = ES_TAKE_ARRAY(now->scratch, es_model_binding, now->opts.dim_count);
    if (bindings == NULL)
        return es_arena_full(now->scratch, "dims", err);
    for (size_t i = 0; i < now->opts.dim_count; i++)
        bindings[i] = (es_model_binding){now->opts.dims[i].name, now->opts.dims[i].value};
    opts.bindings = bindings;
    opts.binding_count = now->opts.dim_count;
    es_error reason = {.status = ES_OK};
    es_status status =
        es_model_load(now->scratch, now->path, es_model_opts_default(), &model, &reason);
    if (status == ES_OK) {
        profile->dtype = dominant_type(model, profile->dtype);
        status = es_model_analyse(now->scratch, model, opts, &analysis, &reason);
    }
    if (status == ES_OK) {
        profile->macs = (uint64_t)analysis->macs;
        profile->params_bytes = (uint64_t)analysis->parameter_bytes;
        if (now->opts.per_cut)
            status = model_cut(now, model, analysis, out_segments, &reason);
        else
            note_set(now, "not asked for");
    }
    if (status == ES_ERR_NOMEM)
        return es_fail(err, status, "%s", es_error_text(&reason));
    if (status != ES_OK) /* it runs all the same: say what is missing */
        note_set(now, es_error_text(&reason));
    return ES_OK;
}

/* Opens and times one segment, fed by what the one before put out. */
static es_status segment_measure(es_profiling *now, const es_model *segment, size_t index,
                                 es_bench *bench, es_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_model_bytes(now->scratch, segment, &bytes, &size, err));
    es_session_opts opts = es_session_opts_default();
    opts.thread_count = now->opts.thread_count;
    ES_TRY(es_session_open_bytes(now->runtime, bytes, size, opts, &bench->session, err));
    ES_TRY(es_bench_prepare(now->scratch, bench, err));
    es_profile *profile = now->profile;
    char what[64];
    (void)snprintf(what, sizeof what, "segment %zu of %zu", index + 1, profile->segment_count);
    es_profile_segment *out = &now->segments[index];
    ES_TRY(es_profiling_measure(now, bench->binding,
                                share_segments / (double)profile->segment_count, what,
                                &out->latency, err));
    out->ms_p50_cumulative =
        out->latency.ms_p50 + (index > 0 ? now->segments[index - 1].ms_p50_cumulative : 0);
    for (size_t i = 0; i < bench->session->output_count; i++)
        out->output_bytes += bench->outputs[i].size_bytes;
    return ES_OK;
}

es_status es_profiling_segments(es_profiling *now, const es_model *const *segments,
                                const es_bench *whole, es_error *err)
{
    es_tensor *carried = ES_TAKE_ARRAY(now->scratch, es_tensor, ES_SESSION_PORTS_MAX);
    if (carried == NULL)
        return es_arena_full(now->scratch, "segments", err);
    memcpy(carried, whole->inputs, sizeof whole->inputs);
    for (size_t k = 0; k < now->profile->segment_count; k++) {
        es_bench bench = {.session = NULL};
        memcpy(bench.inputs, carried, sizeof bench.inputs);
        es_status status = segment_measure(now, segments[k], k, &bench, err);
        memcpy(carried, bench.outputs, sizeof bench.outputs);
        es_bench_done(&bench);
        es_session_unref(bench.session);
        ES_TRY(es_within(err, status, "segment %zu", k));
    }
    return ES_OK;
}
