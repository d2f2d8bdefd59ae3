/*
 * What a variant of several stages is worth: each stage by itself; for each pipeline, who leaves
 * where on test samples, how right that is, and the time of whole requests beside the original's.
 */
#include "base/clock.h"
#include "compress/internal.h"

#include <math.h>

enum { BLOCK = 16, BLOCKS_MIN = 12, BLOCKS_MAX = 2000, WARM_UP = 2 };

typedef struct trial {
    const es_compress_job *job;
    const es_variant *variant;
    es_session *original;
    size_t original_outputs;
    es_feed feed; /* of the original */
    es_chain chain;
    es_arena *scratch;
    size_t count; /* test samples */
    bool labelled;
    double *confidence[ES_VARIANT_STAGES_MAX]; /* [count]; NULL where nobody leaves */
    bool *right[ES_VARIANT_STAGES_MAX];        /* [count]; all false without labels */
    bool *same[ES_VARIANT_STAGES_MAX];         /* [count] as the original */
    bool scores;                               /* to be written */
    es_sheet sheets[ES_VARIANT_STAGES_MAX];
} trial;

static void trial_done(trial *t)
{
    es_chain_close(&t->chain);
}

static bool answers(const trial *t, size_t stage)
{
    return stage + 1 == t->variant->stage_count || t->variant->stages[stage].exit;
}

/* ---- answers ---- */

static es_status run_original(trial *t, size_t sample, size_t *out_class, size_t *out_classes,
                              es_error *err)
{
    es_tensor outputs[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    es_feed_set(&t->feed, sample);
    ES_TRY(es_session_run(t->original, &t->feed.input, 1, outputs, t->original_outputs, err));
    const es_tensor *last = &outputs[t->original_outputs - 1];
    *out_classes = last->dtype == ES_DTYPE_F32 ? es_tensor_count(last) : 0;
    *out_class = *out_classes > 0 ? es_argmax(last->data, *out_classes) : 0;
    for (size_t o = 0; o < t->original_outputs; o++)
        es_tensor_done(&outputs[o]);
    return ES_OK;
}

static es_status try_sample(trial *t, size_t sample, es_error *err)
{
    const es_samples *samples = &t->job->test;
    size_t row = samples->rows != NULL ? samples->rows->items[sample] : sample;
    size_t class = 0;
    size_t classes = 0;
    size_t ran = 0;
    ES_TRY(run_original(t, sample, &class, &classes, err));
    ES_TRY(es_chain_run(&t->chain, sample, NULL, &ran, err));
    for (size_t k = 0; k < t->variant->stage_count; k++) {
        if (!answers(t, k))
            continue;
        const es_tensor *answer = es_chain_answer(&t->chain, k);
        if (answer->dtype != ES_DTYPE_F32 || es_tensor_count(answer) != classes || classes < 2)
            return es_fail(err, ES_ERR_UNSUPPORTED,
                           "stage %zu answers with %zu scores, the original with %zu", k + 1,
                           es_tensor_count(answer), classes);
        if (t->scores)
            ES_TRY(es_sheet_put(t->scratch, &t->sheets[k], t->count, sample, answer, err));
        size_t said = es_argmax(answer->data, classes);
        t->confidence[k][sample] = es_answer_confidence(answer);
        t->same[k][sample] = said == class;
        if (t->labelled) {
            ES_TRY(es_check_label(samples->dataset->labels[row], sample, classes, err));
            t->right[k][sample] = said == samples->dataset->labels[row];
        }
    }
    return ES_OK;
}

static es_status collect(trial *t, es_error *err)
{
    for (size_t k = 0; k < t->variant->stage_count; k++) {
        t->confidence[k] = ES_TAKE_ARRAY(t->scratch, double, t->count);
        t->right[k] = ES_TAKE_ARRAY(t->scratch, bool, t->count);
        t->same[k] = ES_TAKE_ARRAY(t->scratch, bool, t->count);
        if (t->confidence[k] == NULL || t->right[k] == NULL || t->same[k] == NULL)
            return es_arena_full(t->scratch, "answers", err);
    }
    for (size_t i = 0; i < t->count; i++) {
        ES_TRY(try_sample(t, i, err));
        es_job_progress(t->job, "quality", (double)(i + 1) / (double)t->count);
        ES_TRY(es_job_go_on(t->job, err));
    }
    for (size_t k = 0; k < t->variant->stage_count; k++)
        if (t->sheets[k].values != NULL)
            ES_TRY(es_sheet_write(t->scratch, &t->sheets[k], t->variant->stages[k].path, err));
    return ES_OK;
}

/* ---- stages ---- */

static double share_of(const bool *set, size_t count)
{
    size_t true_count = 0;
    for (size_t i = 0; i < count; i++)
        true_count += set[i];
    return (double)true_count / (double)count;
}

static es_status measure_stage(trial *t, size_t k, es_measure_opts opts, es_variant_measure *out,
                               es_error *err)
{
    const es_variant_stage *stage = &t->variant->stages[k];
    es_stage_measure *m = &out->stages[k];
    es_file_profile found;
    ES_TRY(es_measure_file(t->job, stage->path, opts, &found, err));
    es_measure_work(t->scratch, stage->model, &m->macs, &m->parameter_count);
    m->file_bytes = found.file_bytes;
    m->latency = found.latency;
    m->energy = found.energy;
    m->accuracy = t->labelled && answers(t, k) ? share_of(t->right[k], t->count) : (double)NAN;
    if (k + 1 < t->variant->stage_count) {
        const es_session *session = t->chain.sessions[k];
        size_t last = es_session_output_count(session) - 1;
        m->forward_bytes = es_port_tensor(es_session_output(session, last), 1).size_bytes;
    }
    out->file_bytes += m->file_bytes;
    out->parameter_count = m->parameter_count < 0 || out->parameter_count < 0
                               ? -1
                               : out->parameter_count + m->parameter_count;
    out->energy_note = found.energy_note;
    out->node = found.node;
    return ES_OK;
}

/* ---- pipelines ---- */

/* Who would leave where, of answers that are right or (same) the original's. */
static es_cascade_point leave(const trial *t, const es_variant_pipeline *pipeline, bool same)
{
    es_cascade cascade = {.count = t->count};
    es_cascade_point point;
    double thresholds[ES_VARIANT_STAGES_MAX];
    for (size_t k = 0; k < t->variant->stage_count; k++) {
        if (!answers(t, k))
            continue;
        thresholds[cascade.stage_count] = pipeline->thresholds[k];
        cascade.stages[cascade.stage_count++] = (es_cascade_stage){
            .confidence = t->confidence[k], .right = same ? t->same[k] : t->right[k]};
    }
    es_cascade_evaluate(&cascade, thresholds, &point);
    return point;
}

static void measure_pipeline(const trial *t, const es_variant_pipeline *pipeline,
                             const es_variant_measure *all, es_pipeline_measure *out)
{
    es_cascade_point point = leave(t, pipeline, false);
    size_t answer = 0; /* number of the next stage that answers */
    out->agreement = leave(t, pipeline, true).accuracy;
    if (t->labelled)
        out->quality = es_bounds_share(point.right, t->count, 0.05);
    out->macs = out->latency_ms = out->energy_j = 0;
    for (size_t k = 0; k < t->variant->stage_count; k++) {
        const es_stage_measure *stage = &all->stages[k];
        double reach = (double)point.reached[answer] / (double)t->count;
        out->reach[k] = reach;
        out->macs += stage->macs >= 0 ? reach * (double)stage->macs : (double)NAN;
        out->latency_ms += reach * stage->latency.ms_p50;
        out->energy_j += stage->energy.known ? reach * stage->energy.energy_j : (double)NAN;
        answer += answers(t, k);
    }
}

/* ---- speed ---- */

/* A block of samples through both; processor seconds of each: by the wall the scheduler's turns on
 * a busy machine could always fall on the same one of the two. */
static es_status time_block(trial *t, const double *thresholds, size_t first, double *out_original,
                            double *out_variant, es_error *err)
{
    size_t ignored = 0;
    int64_t start = es_clock_thread_ns();
    for (size_t i = 0; i < BLOCK; i++)
        ES_TRY(run_original(t, (first + i) % t->count, &ignored, &ignored, err));
    int64_t middle = es_clock_thread_ns();
    for (size_t i = 0; i < BLOCK; i++)
        ES_TRY(es_chain_run(&t->chain, (first + i) % t->count, thresholds, &ignored, err));
    *out_original = 1e-9 * (double)(middle - start);
    *out_variant = 1e-9 * (double)(es_clock_thread_ns() - middle);
    return ES_OK;
}

/* Blocks are of different samples, so that each leaves where it leaves. */
static es_status measure_speed(trial *t, const double *thresholds, double time_s, es_bounds *out,
                               es_error *err)
{
    double *ratios = ES_TAKE_ARRAY(t->scratch, double, BLOCKS_MAX);
    double original = 0;
    double variant = 0;
    double spent = 0;
    size_t blocks = 0;
    if (ratios == NULL)
        return es_arena_full(t->scratch, "blocks", err);
    for (size_t i = 0; i < WARM_UP; i++)
        ES_TRY(time_block(t, thresholds, 0, &original, &variant, err));
    while (blocks < BLOCKS_MAX && (blocks < BLOCKS_MIN || spent < time_s)) {
        ES_TRY(time_block(t, thresholds, blocks * BLOCK % t->count, &original, &variant, err));
        ratios[blocks++] = original / variant;
        spent += original + variant;
        es_job_progress(t->job, "speed", fmin(spent / time_s, 1));
        ES_TRY(es_job_go_on(t->job, err));
    }
    *out = es_median_of(ratios, blocks);
    return ES_OK;
}

/* ---- a variant ---- */

static es_status open(trial *t, es_error *err)
{
    const es_samples *samples = &t->job->test;
    t->count = es_samples_count(samples);
    if (t->count == 0)
        return es_fail(err, ES_ERR_ARG, "needs samples to test where requests leave");
    t->labelled = samples->dataset->labels != NULL;
    t->original_outputs = es_session_output_count(t->original);
    ES_TRY(es_feed_init(t->scratch, t->original, samples, &t->feed, err));
    ES_TRY(es_chain_open(t->job, t->scratch, t->variant, samples, &t->chain, err));
    return collect(t, err);
}

/* The figures of the whole are those of the first pipeline. */
static void sum_up(const trial *t, es_variant_measure *out)
{
    const es_pipeline_measure *first = &out->pipelines[0];
    out->test_count = t->count;
    out->labelled = t->labelled;
    out->quality = first->quality;
    out->agreement = first->agreement;
    out->output_sqnr_db = (double)NAN;
    out->macs = isnan(first->macs) ? -1 : (int64_t)llround(first->macs);
    out->speed = first->speed;
    out->offered = true;
}

es_status es_measure_stages(const es_compress_job *job, es_arena *scratch, es_session *original,
                            const es_variant *variant, es_measure_opts opts,
                            es_variant_measure *out, es_error *err)
{
    ES_CLEANUP(trial_done)
    trial t = {.job = job,
               .variant = variant,
               .original = original,
               .scratch = scratch,
               .scores = opts.scores};
    *out = (es_variant_measure){.macs = -1};
    ES_TRY(open(&t, err));
    for (size_t k = 0; k < variant->stage_count; k++)
        ES_TRY(es_within(err, measure_stage(&t, k, opts, out, err), "stage %zu", k + 1));
    for (size_t p = 0; p < variant->pipeline_count; p++) {
        measure_pipeline(&t, &variant->pipelines[p], out, &out->pipelines[p]);
        ES_TRY(measure_speed(&t, variant->pipelines[p].thresholds, opts.time_s,
                             &out->pipelines[p].speed, err));
    }
    sum_up(&t, out);
    return ES_OK;
}
