/*
 * distil: a smaller net learns from the answers of one or several teachers (Hinton et al. 2015).
 */
#include "compress/learn.h"

#include <assert.h>
#include <string.h>

enum { SPEC_BYTES = 1 << 20, RANK_BATCHES = 20 };

typedef struct options {
    const char *student, *teachers;
    double width, alpha, temperature;
    int64_t multiple;
    size_t start, own;
    es_learn_opts learn;
} options;

enum { START_SLICE, START_FRESH };
static const char *const starts[] = {"slice", "fresh"};

static const es_step_option rows[] = {
    {.name = "student",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, student),
     .help = "a net's document (docs/reference/net.md); else the model made narrower"},
    {.name = "width",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, width),
     .fallback = "0.5",
     .min = 0.01,
     .max = 1,
     .help = "share of the channels of a student made from the model"},
    {.name = "multiple",
     .type = ES_STEP_INT,
     .offset = offsetof(options, multiple),
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "its channels are one of it; 0: 8 in wide layers, less in narrow ones"},
    {.name = "start",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, start),
     .fallback = "slice",
     .words = starts,
     .word_count = 2,
     .help = "such a student begins with the model's most important channels, or at random"},
    {.name = "own",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, own),
     .fallback = "yes",
     .words = es_learn_no_yes,
     .word_count = 2,
     .help = "the model itself is a teacher"},
    {.name = "teachers",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, teachers),
     .help = "ONNX files of more teachers, with '|' between"},
    {.name = "alpha",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, alpha),
     .fallback = "0.7",
     .min = 0,
     .max = 1,
     .help = "weight of the teachers; the labels have the rest"},
    {.name = "temperature",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, temperature),
     .fallback = "4",
     .min = 0.1,
     .max = 100,
     .help = "that softens answers"},
    ES_LEARN_OPTIONS(options, "10", "0.1", "yes"),
};

/* ---- student ---- */

static es_status narrower(es_learner *l, const options *o, const es_nn *model, es_nn **out,
                          es_error *err)
{
    es_nn_groups groups;
    es_width width;
    es_nn *sorted = NULL;
    ES_TRY(es_nn_copy(l->arena, model, &sorted, err));
    ES_TRY(es_nn_groups_find(l->arena, sorted, &groups, err));
    ES_TRY(es_width_rank(l, sorted, &groups, ES_PRUNE_BY_TAYLOR, RANK_BATCHES, err));
    ES_TRY(es_width_make(l->arena, sorted, &groups, o->width, (size_t)o->multiple, &width, err));
    if (o->start == START_FRESH)
        es_nn_init(width.nn, l->job->seed);
    *out = width.nn;
    return ES_OK;
}

static es_status make_student(es_learner *l, const options *o, const es_nn *model, es_nn **out,
                              es_error *err)
{
    const es_doc *spec = NULL;
    if (o->student == NULL)
        return narrower(l, o, model, out, err);
    ES_TRY(es_doc_read(l->arena, o->student, SPEC_BYTES, &spec, err));
    return es_nn_from_spec(l->arena, spec, l->job->seed, out, err);
}

/* ---- a step ---- */

typedef struct distiller {
    const options *options;
    es_teachers teachers;
    float *soft;             /* [batch, classes] of the teachers */
    float *slope, *slope_of; /* [batch, classes]: in all, of the labels alone */
    double alpha;            /* 1 where the labels are the teachers' own */
} distiller;

/* alpha T^2 KL + (1 - alpha) cross entropy, of labels or of a mixture of them. */
static double loss_of(distiller *d, const float *scores, const es_fit_batch *batch)
{
    double temperature = d->options->temperature;
    size_t classes = d->teachers.classes;
    if (batch->targets == NULL)
        return es_loss_distil(scores, d->soft, batch->labels, batch->samples, classes, d->alpha,
                              temperature, 1, d->slope);
    double loss = es_loss_distil(scores, d->soft, NULL, batch->samples, classes, 1, temperature,
                                 d->alpha, d->slope);
    loss +=
        es_loss_soft(scores, batch->targets, batch->samples, classes, 1 - d->alpha, d->slope_of);
    for (size_t i = 0; i < batch->samples * classes; i++)
        d->slope[i] += d->slope_of[i];
    return loss;
}

static es_status step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                      double *out_loss, size_t *out_right, es_error *err)
{
    distiller *d = context;
    size_t last = es_train_engine_nn(engine)->output_count - 1;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    ES_TRY(es_teachers_ask(&d->teachers, batch->x, batch->samples, d->options->temperature, d->soft,
                           err));
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    const float *scores = es_train_output(engine, last);
    *out_loss = loss_of(d, scores, batch);
    *out_right = es_loss_right(scores, batch->labels, batch->samples, d->teachers.classes);
    slopes[last] = d->slope;
    return es_train_backward(engine, slopes, false, err);
}

/* ---- the step of a recipe ---- */

static es_status check_student(const es_nn *student, size_t classes, es_error *err)
{
    assert(student != NULL);
    const es_nn_output *last = &student->outputs[student->output_count - 1];
    es_nn_shape shape = student->layers.items[last->layer.index].shape;
    char text[ES_NN_SHAPE_TEXT];
    if (shape.rank == 1 && shape.count == classes)
        return ES_OK;
    return es_fail(err, ES_ERR_ARG, "the student gives %s, the teachers %zu classes",
                   es_nn_shape_text(shape, text), classes);
}

static es_status start(es_learner *l, distiller *d, es_error *err)
{
    size_t values = (size_t)l->opts.batch * d->teachers.classes;
    d->alpha = l->set.labels != NULL ? d->options->alpha : 1;
    if (l->set.labels == NULL)
        ES_TRY(es_teachers_label(&d->teachers, l, err));
    d->soft = ES_TAKE_ARRAY(l->arena, float, values);
    d->slope = ES_TAKE_ARRAY(l->arena, float, values);
    d->slope_of = ES_TAKE_ARRAY(l->arena, float, values);
    if (d->soft == NULL || d->slope == NULL || d->slope_of == NULL)
        return es_arena_full(l->arena, "a batch", err);
    return ES_OK;
}

static es_status tell(const es_learner *l, const distiller *d, const es_nn *model,
                      const es_nn *student, const es_doc **out, es_error *err)
{
    ES_CLEANUP(es_learn_report_done) es_learn_report report;
    es_learn_report_begin(&report, l, model, student);
    es_json_put_int(&report.json, "teachers", (int64_t)d->teachers.count);
    es_json_put_number(&report.json, "alpha", d->alpha);
    es_json_put_number(&report.json, "temperature", d->options->temperature);
    return es_learn_report_end(&report, l->job->arena, out, err);
}

static void distiller_done(distiller *d)
{
    es_teachers_close(&d->teachers);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *o = given;
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(distiller_done) distiller d = {.options = o};
    es_variant *made = NULL;
    es_nn *model = NULL;
    es_nn *student = NULL;
    ES_TRY(es_learner_open(job, "distil", from, o->learn, &learner, &model, err));
    ES_TRY(es_teachers_open(&learner, o->own == 1 ? model : NULL, o->teachers, &d.teachers, err));
    ES_TRY(start(&learner, &d, err));
    ES_TRY(es_within(err, make_student(&learner, o, model, &student, err), "student"));
    ES_TRY(check_student(student, d.teachers.classes, err));
    ES_TRY(es_learner_fit(&learner, student, "", o->learn.epochs, step, &d, err));
    ES_TRY(es_learner_give(&learner, student, from, "distilled", out, &made, err));
    return tell(&learner, &d, model, student, &made->report, err);
}

const es_step_kind es_step_distil = {
    .name = "distil",
    .help = "a smaller net learns from the answers of the model and others",
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
