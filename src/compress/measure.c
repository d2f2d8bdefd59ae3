/*
 * What a variant is worth here: quality on samples, time beside the original's, joules.
 */
#include "base/file.h"
#include "compress/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_MIN = 20, PAIRS_MAX = 2000, RUNS_OF_A_BLOCK = 4, WARM_UP = 5, CLASSES_MAX = 1 << 20 };

es_measure_opts es_measure_opts_default(void)
{
    return (es_measure_opts){.time_s = 2};
}

es_status es_variants_write(es_arena *arena, es_variant *variants, size_t count, const char *folder,
                            es_error *err)
{
    ES_TRY(es_file_make_folder(folder, err));
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < variants[i].stage_count; s++) {
            es_variant_stage *stage = &variants[i].stages[s];
            const char *name = es_arena_format(arena, "%s%s.onnx", variants[i].name, stage->suffix);
            stage->path = name != NULL ? es_file_join(arena, folder, name) : NULL;
            if (stage->path == NULL)
                return es_arena_full(arena, "path", err);
            ES_TRY(es_model_write(arena, stage->model, stage->path, err));
        }
    return ES_OK;
}

/* ---- quality ---- */

static size_t last_output(const es_session *session)
{
    return es_session_output_count(session) - 1;
}

/* The values of an answer's scores; 0 where the last output is none. */
static size_t class_count(const es_tensor *tensor)
{
    return tensor->dtype == ES_DTYPE_F32 ? es_tensor_count(tensor) : 0;
}

typedef struct trial {
    const es_samples *samples;
    es_session *original, *variant;
    es_feed feed, variant_feed;
    size_t right, same, classed;
    es_noise noise;
    es_arena *arena; /* for scores; NULL: not wanted */
    es_sheet sheet;
} trial;

es_status es_check_label(uint32_t label, size_t sample, size_t classes, es_error *err)
{
    if (label < classes)
        return ES_OK;
    return es_fail(err, ES_ERR_ARG,
                   "label %u of sample %zu, but the model answers with %zu classes (0 to %zu)",
                   label, sample + 1, classes, classes - 1);
}

static es_status try_sample(trial *t, size_t sample, es_error *err)
{
    es_tensor a[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    es_tensor b[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    size_t count = es_session_output_count(t->original);
    es_feed_set(&t->feed, sample);
    es_feed_set(&t->variant_feed, sample);
    ES_TRY(es_session_run(t->original, &t->feed.input, 1, a, count, err));
    es_status status = es_session_run(t->variant, &t->variant_feed.input, 1, b, count, err);
    if (status == ES_OK) {
        const es_tensor *x = &a[last_output(t->original)];
        const es_tensor *y = &b[last_output(t->variant)];
        size_t classes = class_count(y);
        for (size_t o = 0; o < count; o++)
            es_noise_add(&t->noise, &a[o], &b[o]);
        if (classes >= 2 && class_count(x) == classes) {
            const es_samples *s = t->samples;
            size_t answer = es_argmax(y->data, classes);
            size_t row = s->rows != NULL ? s->rows->items[sample] : sample;
            if (t->arena != NULL)
                status = es_sheet_put(t->arena, &t->sheet, es_samples_count(s), sample, y, err);
            t->classed++;
            t->same += answer == es_argmax(x->data, classes);
            if (status == ES_OK && s->dataset->labels != NULL) {
                status = es_check_label(s->dataset->labels[row], sample, classes, err);
                t->right += answer == s->dataset->labels[row];
            }
        }
    }
    for (size_t o = 0; o < count; o++) {
        es_tensor_done(&a[o]);
        es_tensor_done(&b[o]);
    }
    return status;
}

static es_status measure_quality(const es_compress_job *job, es_arena *scratch,
                                 es_session *original, es_session *variant,
                                 const char *scores_beside, es_variant_measure *out, es_error *err)
{
    trial t = {.samples = &job->test, .original = original, .variant = variant};
    t.arena = scores_beside != NULL ? scratch : NULL;
    size_t count = es_samples_count(&job->test);
    out->agreement = out->output_sqnr_db = (double)NAN;
    if (count == 0)
        return ES_OK;
    if (es_session_output_count(original) != es_session_output_count(variant))
        return es_fail(err, ES_ERR_UNSUPPORTED, "has %zu outputs, the original %zu",
                       es_session_output_count(variant), es_session_output_count(original));
    ES_TRY(es_feed_init(scratch, original, t.samples, &t.feed, err));
    ES_TRY(es_feed_init(scratch, variant, t.samples, &t.variant_feed, err));
    for (size_t i = 0; i < count; i++) {
        ES_TRY(try_sample(&t, i, err));
        es_job_progress(job, "quality", (double)i / (double)count);
        ES_TRY(es_job_go_on(job, err));
    }
    es_job_progress(job, "quality", 1);
    out->test_count = count;
    out->output_sqnr_db = es_noise_db(t.noise);
    if (t.classed == count) {
        out->agreement = (double)t.same / (double)count;
        out->labelled = job->test.dataset->labels != NULL;
    }
    if (out->labelled)
        out->quality = es_bounds_share(t.right, count, 0.05);
    if (t.sheet.values != NULL)
        return es_sheet_write(scratch, &t.sheet, scores_beside, err);
    return ES_OK;
}

/* ---- speed ---- */

typedef struct runner {
    es_tensor input;
    es_tensor outputs[ES_SESSION_PORTS_MAX];
    es_binding *binding;
} runner;

static void runner_done(runner *r)
{
    es_binding_free(r->binding);
}

/* Bound to memory of its own; the input is a test sample, else the middle of 0..1. */
static es_status runner_start(const es_compress_job *job, es_arena *scratch, es_session *session,
                              runner *r, es_error *err)
{
    const es_samples *samples = job->test.dataset != NULL ? &job->test : &job->fit;
    es_feed feed;
    size_t count = es_session_output_count(session);
    ES_TRY(es_feed_init(scratch, session, samples, &feed, err));
    es_feed_set(&feed, 0);
    r->input = feed.input;
    ES_TRY(es_session_run(session, &r->input, 1, r->outputs, count, err));
    for (size_t o = 0; o < count; o++) { /* shapes as they came, in memory that stays */
        es_tensor made =
            es_tensor_make(r->outputs[o].dtype, r->outputs[o].dims, r->outputs[o].rank, NULL);
        made.data = es_arena_take(scratch, 1, made.size_bytes > 0 ? made.size_bytes : 1);
        es_tensor_done(&r->outputs[o]);
        r->outputs[o] = made;
        if (made.data == NULL)
            return es_arena_full(scratch, "outputs", err);
    }
    return es_binding_new(session, &r->input, 1, r->outputs, count, &r->binding, err);
}

static es_status run_block(runner *r, double *out_s, es_error *err)
{
    int64_t start = es_clock_thread_ns();
    for (size_t i = 0; i < RUNS_OF_A_BLOCK; i++)
        ES_TRY(es_binding_run(r->binding, err));
    *out_s = 1e-9 * (double)(es_clock_thread_ns() - start);
    return ES_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Ranks n/2 -+ 0.98 sqrt n. */
es_bounds es_median_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    double middle = ((double)count - 1) / 2;
    double reach = 0.98 * sqrt((double)count);
    size_t low = (size_t)fmax(floor(middle - reach), 0);
    size_t high = (size_t)fmin(ceil(middle + reach), (double)count - 1);
    return (es_bounds){.value = values[count / 2], .low = values[low], .high = values[high]};
}

es_status es_measure_speed(const es_compress_job *job, es_arena *scratch, es_session *original,
                           es_session *variant, double time_s, es_bounds *out, es_error *err)
{
    ES_CLEANUP(runner_done) runner a = {.binding = NULL};
    ES_CLEANUP(runner_done) runner b = {.binding = NULL};
    double *ratios = ES_TAKE_ARRAY(scratch, double, PAIRS_MAX);
    if (ratios == NULL)
        return es_arena_full(scratch, "pairs", err);
    ES_TRY(runner_start(job, scratch, original, &a, err));
    ES_TRY(runner_start(job, scratch, variant, &b, err));
    double spent = 0;
    size_t pairs = 0;
    double first = 0;
    double second = 0;
    for (size_t i = 0; i < WARM_UP; i++) {
        ES_TRY(run_block(&a, &first, err));
        ES_TRY(run_block(&b, &second, err));
    }
    while (pairs < PAIRS_MAX && (pairs < PAIRS_MIN || spent < time_s)) {
        ES_TRY(run_block(&a, &first, err));
        ES_TRY(run_block(&b, &second, err));
        ratios[pairs++] = first / second;
        spent += first + second;
        es_job_progress(job, "speed", fmin(spent / time_s, 1));
        ES_TRY(es_job_go_on(job, err));
    }
    es_job_progress(job, "speed", 1);
    *out = es_median_of(ratios, pairs);
    return ES_OK;
}

/* ---- one variant ---- */

es_status es_measure_file(const es_compress_job *job, const char *path, es_measure_opts opts,
                          es_file_profile *out, es_error *err)
{
    const es_profile *found = NULL;
    es_profile_opts how = es_profile_opts_default();
    how.batch_max = 1;
    how.time_budget_s = opts.time_s;
    how.per_cut = false;
    how.meter = opts.meter;
    how.seed = job->seed;
    how.progress = job->progress;
    how.progress_context = job->progress_context;
    ES_TRY(es_profile_run(job->arena, job->runtime, path, how, &found, err));
    *out = (es_file_profile){.file_bytes = found->file_bytes,
                             .latency = found->latency,
                             .energy = found->energy,
                             .energy_note = found->energy_note};
    out->node = es_arena_format(job->arena, "%s, ONNX Runtime %s, 1 thread", found->cpu,
                                found->runtime_version);
    return out->node != NULL ? ES_OK : es_arena_full(job->arena, "measures", err);
}

static es_status profile(const es_compress_job *job, const es_variant *variant,
                         es_measure_opts opts, es_variant_measure *out, es_error *err)
{
    es_file_profile found;
    ES_TRY(es_measure_file(job, variant->stages[0].path, opts, &found, err));
    out->file_bytes = found.file_bytes;
    out->latency = found.latency;
    out->energy = found.energy;
    out->energy_note = found.energy_note;
    out->node = found.node;
    return ES_OK;
}

void es_measure_work(es_arena *scratch, const es_model *model, int64_t *out_macs,
                     int64_t *out_params)
{
    const es_model_analysis *analysis = NULL;
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    bool known = es_model_analyse(scratch, model, opts, &analysis, NULL) == ES_OK &&
                 analysis->unknown_count == 0;
    *out_macs = known ? analysis->macs : -1;
    *out_params = known ? analysis->stored_count : -1;
}

static es_status judge(const es_compress_job *job, const es_variant *variant, bool all,
                       es_variant_measure *m, es_error *err)
{
    m->offered = true;
    if (!variant->needs_speed || m->speed.low > 1 || all)
        return ES_OK;
    m->offered = false;
    m->why_not =
        es_arena_format(job->arena, "not faster here: %.2f times the original (%.2f to %.2f)",
                        m->speed.value, m->speed.low, m->speed.high);
    return m->why_not != NULL ? ES_OK : es_arena_full(job->arena, "measures", err);
}

static es_status measure_one(const es_compress_job *job, es_arena *scratch, es_session *original,
                             const es_variant *variant, es_measure_opts opts,
                             es_variant_measure *out, es_error *err)
{
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    *out = (es_variant_measure){.speed = {.value = 1, .low = 1, .high = 1}};
    if (variant->stage_count > 1)
        return es_measure_stages(job, scratch, original, variant, opts, out, err);
    ES_TRY(es_job_open(job, scratch, variant->stages[0].model, &session, err));
    ES_TRY(measure_quality(job, scratch, original, session,
                           opts.scores ? variant->stages[0].path : NULL, out, err));
    ES_TRY(profile(job, variant, opts, out, err));
    if (variant->recipe[0] != '\0')
        ES_TRY(es_measure_speed(job, scratch, original, session, opts.time_s, &out->speed, err));
    es_measure_work(scratch, variant->stages[0].model, &out->macs, &out->parameter_count);
    return judge(job, variant, opts.all, out, err);
}

es_status es_variants_measure(const es_compress_job *job, const es_variant *variants, size_t count,
                              es_measure_opts opts, es_variant_measure *out_measures, es_error *err)
{
    size_t cap = es_arena_cap_bytes(job->arena);
    ES_CLEANUP(es_arena_free_p) es_arena *scratch = es_arena_new(cap);
    ES_CLEANUP(es_arena_free_p) es_arena *kept = es_arena_new(cap);
    ES_CLEANUP(es_session_unref_p) es_session *original = NULL;
    if (scratch == NULL || kept == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to measure in");
    ES_TRY(es_job_open(job, kept, variants[0].stages[0].model, &original, err));
    for (size_t i = 0; i < count; i++) {
        es_arena_reset(scratch);
        ES_TRY(es_within(
            err, measure_one(job, scratch, original, &variants[i], opts, &out_measures[i], err),
            "variant '%s'", variants[i].name));
    }
    return ES_OK;
}
