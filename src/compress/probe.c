/*
 * Values inside a model, sample by sample: they become the outputs of a copy of it.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

void es_job_progress(const es_compress_job *job, const char *what, double done)
{
    if (job->progress != NULL)
        job->progress(job->progress_context, what, done);
}

es_status es_job_go_on(const es_compress_job *job, es_error *err)
{
    if (job->stop != NULL && *job->stop)
        return es_fail(err, ES_ERR_CANCELLED, "stopped");
    return ES_OK;
}

es_status es_job_open(const es_compress_job *job, es_arena *scratch, const es_model *model,
                      es_session **out_session, es_error *err)
{
    const void *bytes = NULL;
    size_t size = 0;
    ES_TRY(es_model_bytes(scratch, model, &bytes, &size, err));
    return es_session_open_bytes(job->runtime, bytes, size, es_session_opts_default(), out_session,
                                 err);
}

/* ---- one probe ---- */

static bool is_input(const es_model *model, const char *name)
{
    for (size_t i = 0; i < es_model_input_count(model); i++)
        if (strcmp(es_model_input(model, i)->name, name) == 0)
            return true;
    return false;
}

/* A port of the copy for each wanted value, one for those that are wanted twice. */
static size_t choose_ports(const es_model *model, es_probe *p)
{
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        size_t k = 0;
        while (k < i && strcmp(p->wanted[k], p->wanted[i]) != 0)
            k++;
        if (k < i)
            p->ports[i] = p->ports[k];
        else
            p->ports[i] = is_input(model, p->wanted[i]) ? ES_NONE : count++;
    }
    return count;
}

/* A copy whose outputs are the wanted values that are not fed; the old ones when there is none. */
static es_status with_outputs(es_arena *scratch, const es_model *model, es_probe *p,
                              const es_model **out_model, es_error *err)
{
    size_t count = choose_ports(model, p);
    *out_model = model;
    if (count == 0)
        return ES_OK;
    es_model_build *build = es_model_build_from(scratch, model);
    if (build == NULL)
        return es_arena_full(scratch, "model", err);
    for (size_t i = 0; i < es_model_output_count(model); i++)
        es_model_build_drop_output(build, es_model_output(model, i)->name);
    for (size_t i = 0; i < p->count; i++)
        if (p->ports[i] != ES_NONE)
            es_model_build_output(build, p->wanted[i], ES_MODEL_FLOAT, 0, NULL, NULL);
    return es_model_build_finish(build, out_model, err);
}

es_status es_probe_open(const es_compress_job *job, es_arena *scratch, const es_model *model,
                        const es_samples *samples, const char *const *wanted, size_t count,
                        es_probe *out_probe, es_error *err)
{
    const es_model *copy = NULL;
    es_probe p = {.wanted = wanted, .count = count};
    ES_TRY(with_outputs(scratch, model, &p, &copy, err));
    ES_TRY(es_job_open(job, scratch, copy, &p.session, err));
    p.output_count = es_session_output_count(p.session);
    es_status status = p.output_count <= ES_PROBE_MAX
                           ? es_feed_init(scratch, p.session, samples, &p.feed, err)
                           : es_fail(err, ES_ERR_LIMIT, "more than %d outputs", ES_PROBE_MAX);
    if (status != ES_OK) {
        es_session_unref(p.session);
        return status;
    }
    *out_probe = p;
    return ES_OK;
}

static void forget_outputs(es_probe *p)
{
    for (size_t i = 0; i < p->output_count; i++)
        es_tensor_done(&p->outputs[i]);
}

void es_probe_close(es_probe *p)
{
    forget_outputs(p);
    es_session_unref(p->session);
    p->session = NULL;
}

es_status es_probe_run(es_probe *p, size_t sample, es_error *err)
{
    forget_outputs(p);
    es_feed_set(&p->feed, sample);
    return es_session_run(p->session, &p->feed.input, 1, p->outputs, p->output_count, err);
}

const es_tensor *es_probe_value(const es_probe *p, size_t which)
{
    size_t port = p->ports[which];
    return port == ES_NONE ? &p->feed.input : &p->outputs[port];
}

/* ---- many values ---- */

static size_t part_count(size_t first, size_t all)
{
    return all - first < ES_PROBE_MAX ? all - first : ES_PROBE_MAX;
}

static es_status go_on(const es_compress_job *job, const char *what, size_t first, size_t part,
                       size_t all, size_t sample, size_t samples, es_error *err)
{
    double done = (double)first + (double)part * (double)sample / (double)samples;
    es_job_progress(job, what, done / (double)all);
    return es_job_go_on(job, err);
}

es_status es_probe_all(const es_compress_job *job, es_arena *scratch, const es_model *model,
                       const es_samples *samples, size_t count, const char *const *wanted,
                       size_t wanted_count, es_probe_visit visit, const char *what, es_error *err)
{
    for (size_t first = 0; first < wanted_count; first += ES_PROBE_MAX) {
        size_t part = part_count(first, wanted_count);
        es_arena_reset(scratch);
        ES_CLEANUP(es_probe_close) es_probe p = {0};
        ES_TRY(es_probe_open(job, scratch, model, samples, wanted + first, part, &p, err));
        for (size_t s = 0; s < count; s++) {
            ES_TRY(es_probe_run(&p, s, err));
            for (size_t i = 0; i < part; i++)
                visit.value(visit.context, first + i, es_probe_value(&p, i));
            ES_TRY(go_on(job, what, first, part, wanted_count, s, count, err));
        }
    }
    es_job_progress(job, what, 1);
    return ES_OK;
}

void es_noise_add(es_noise *to, const es_tensor *a, const es_tensor *b)
{
    size_t count = es_tensor_count(a);
    if (a->dtype != ES_DTYPE_F32 || b->dtype != ES_DTYPE_F32 || es_tensor_count(b) != count)
        return;
    const float *x = a->data;
    const float *y = b->data;
    for (size_t i = 0; i < count; i++) {
        double error = (double)x[i] - (double)y[i];
        to->signal += (double)x[i] * (double)x[i];
        to->noise += error * error;
    }
}

es_status es_probe_compare(const es_compress_job *job, es_arena *scratch, const es_model *model,
                           const char *const *wanted, const es_model *other,
                           const char *const *other_wanted, size_t wanted_count,
                           const es_samples *samples, size_t count, es_noise *out_noise,
                           const char *what, es_error *err)
{
    for (size_t i = 0; i < wanted_count; i++)
        out_noise[i] = (es_noise){.signal = 0};
    for (size_t first = 0; first < wanted_count; first += ES_PROBE_MAX) {
        size_t part = part_count(first, wanted_count);
        es_arena_reset(scratch);
        ES_CLEANUP(es_probe_close) es_probe a = {0};
        ES_CLEANUP(es_probe_close) es_probe b = {0};
        ES_TRY(es_probe_open(job, scratch, model, samples, wanted + first, part, &a, err));
        ES_TRY(es_probe_open(job, scratch, other, samples, other_wanted + first, part, &b, err));
        for (size_t s = 0; s < count; s++) {
            ES_TRY(es_probe_run(&a, s, err));
            ES_TRY(es_probe_run(&b, s, err));
            for (size_t i = 0; i < part; i++)
                es_noise_add(&out_noise[first + i], es_probe_value(&a, i), es_probe_value(&b, i));
            ES_TRY(go_on(job, what, first, part, wanted_count, s, count, err));
        }
    }
    es_job_progress(job, what, 1);
    return ES_OK;
}

double es_noise_db(es_noise noise)
{
    return noise.noise > 0 ? 10 * log10(noise.signal / noise.noise) : (double)INFINITY;
}

es_status es_outputs_noise(const es_compress_job *job, es_arena *scratch, const es_model *model,
                           const es_model *other, const es_samples *samples, size_t count,
                           const char *what, double *out_noise, es_error *err)
{
    const char *names[ES_PROBE_MAX];
    const char *other_names[ES_PROBE_MAX];
    es_noise noise[ES_PROBE_MAX];
    size_t at = 0;
    for (size_t i = 0; i < es_model_output_count(model) && at < ES_PROBE_MAX; i++) {
        if (es_model_output(model, i)->type != ES_MODEL_FLOAT)
            continue;
        names[at] = es_model_output(model, i)->name;
        other_names[at++] = es_model_output(other, i)->name;
    }
    if (at == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "the model has no output of 32-bit floats");
    ES_TRY(es_probe_compare(job, scratch, model, names, other, other_names, at, samples, count,
                            noise, what, err));
    double sum = 0;
    for (size_t i = 0; i < at; i++)
        sum += noise[i].signal > 0 ? noise[i].noise / noise[i].signal : noise[i].noise;
    *out_noise = sum / (double)at;
    return ES_OK;
}
