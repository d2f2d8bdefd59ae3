/*
 * Teachers: nets whose softened answers a student learns from, one or several together.
 */
#include "compress/learn.h"

#include <string.h>

static es_status open_one(es_learner *l, es_nn *nn, es_teachers *t, es_error *err)
{
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = (size_t)l->opts.batch;
    opts.thread_count = (uint32_t)l->opts.threads;
    opts.gradients = false;
    if (t->count == ES_TEACHERS_MAX)
        return es_fail(err, ES_ERR_LIMIT, "more than %d teachers", ES_TEACHERS_MAX);
    ES_TRY(es_train_engine_new(nn, opts, &t->engines[t->count], err));
    const es_train_engine *engine = t->engines[t->count++];
    es_nn_shape shape = es_train_output_shape(engine, nn->output_count - 1);
    char text[ES_NN_SHAPE_TEXT];
    if (shape.rank != 1 || shape.count < 2)
        return es_fail(err, ES_ERR_UNSUPPORTED, "its last output is %s, to be scores of classes",
                       es_nn_shape_text(shape, text));
    if (t->classes != 0 && shape.count != t->classes)
        return es_fail(err, ES_ERR_ARG, "has %zu classes, the teachers before it %zu", shape.count,
                       t->classes);
    if (nn->layers.items[0].shape.count != l->set.size)
        return es_fail(err, ES_ERR_ARG, "takes %s, samples have %zu values",
                       es_nn_shape_text(nn->layers.items[0].shape, text), l->set.size);
    t->classes = shape.count;
    return ES_OK;
}

static es_status open_file(es_learner *l, const char *path, es_teachers *t, es_error *err)
{
    const es_model *model = NULL;
    es_nn *nn = NULL;
    ES_TRY(es_model_load(l->arena, path, es_model_opts_default(), &model, err));
    ES_TRY(es_nn_from_model(l->arena, model, &nn, err));
    return open_one(l, nn, t, err);
}

es_status es_teachers_open(es_learner *learner, es_nn *own, const char *files,
                           es_teachers *out_teachers, es_error *err)
{
    *out_teachers = (es_teachers){.count = 0};
    if (own != NULL)
        ES_TRY(es_within(err, open_one(learner, own, out_teachers, err), "teacher"));
    char *at = files != NULL ? es_arena_text(learner->arena, files) : NULL;
    if (files != NULL && at == NULL)
        return es_arena_full(learner->arena, "teachers", err);
    while (at != NULL) {
        char *next = strchr(at, '|');
        if (next != NULL)
            *next++ = '\0';
        ES_TRY(es_within(err, open_file(learner, at, out_teachers, err), "teacher '%s'", at));
        at = next;
    }
    if (out_teachers->count == 0)
        return es_fail(err, ES_ERR_ARG, "no teacher: give teachers=FILE.onnx, or own=yes");
    return ES_OK;
}

void es_teachers_close(es_teachers *teachers)
{
    for (size_t i = 0; i < teachers->count; i++)
        es_train_engine_free(teachers->engines[i]);
    teachers->count = 0;
}

es_status es_teachers_ask(es_teachers *teachers, const float *x, size_t samples, double temperature,
                          float *out, es_error *err)
{
    const float *logits[ES_TEACHERS_MAX] = {0};
    for (size_t i = 0; i < teachers->count; i++) {
        es_train_engine *engine = teachers->engines[i];
        ES_TRY(es_train_forward(engine, x, samples, ES_TRAIN_INFER, err));
        logits[i] = es_train_output(engine, es_train_engine_nn(engine)->output_count - 1);
    }
    es_loss_soften(logits, teachers->count, samples, teachers->classes, temperature, out);
    return ES_OK;
}

static uint32_t largest(const float *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        best = values[i] > values[best] ? i : best;
    return (uint32_t)best;
}

es_status es_teachers_label(es_teachers *teachers, es_learner *learner, es_error *err)
{
    es_dataset *set = &learner->set;
    size_t batch = (size_t)learner->opts.batch;
    size_t classes = teachers->classes;
    uint32_t *labels = ES_TAKE_ARRAY(learner->arena, uint32_t, set->count);
    es_arena_reset(learner->scratch);
    float *x = ES_TAKE_ARRAY(learner->scratch, float, batch * set->size);
    float *said = ES_TAKE_ARRAY(learner->scratch, float, batch *classes);
    if (labels == NULL || x == NULL || said == NULL)
        return es_arena_full(learner->scratch, "labels", err);
    for (size_t first = 0; first < set->count; first += batch) {
        size_t n = set->count - first < batch ? set->count - first : batch;
        es_data_floats(&set->x, first * set->size, n * set->size, x);
        ES_TRY(es_teachers_ask(teachers, x, n, 1, said, err));
        for (size_t i = 0; i < n; i++)
            labels[first + i] = largest(said + i * classes, classes);
        es_job_progress(learner->job, "teachers", (double)(first + n) / (double)set->count);
        ES_TRY(es_job_go_on(learner->job, err));
    }
    set->labels = labels;
    set->class_count = (uint32_t)classes;
    set->class_names = NULL;
    learner->allow_empty = true;
    return ES_OK;
}
