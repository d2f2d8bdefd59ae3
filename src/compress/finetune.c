/*
 * finetune: the model's training goes on; gatekeeper: with a loss that keeps confidence for right
 * answers (Rabanser et al. 2025), for a small model in front of a larger one.
 */
#include "compress/learn.h"

#include <string.h>

typedef struct options {
    double alpha; /* of gatekeeper */
    es_learn_opts learn;
} options;

static const es_step_option finetune_rows[] = {ES_LEARN_OPTIONS(options, "5", "0.02", "no")};

static const es_step_option gatekeeper_rows[] = {
    {.name = "alpha",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, alpha),
     .fallback = "0.3",
     .min = 0,
     .max = 1,
     .help = "weight of right answers; the rest makes wrong ones unsure"},
    ES_LEARN_OPTIONS(options, "3", "0.01", "no"),
};

typedef struct tuner {
    double alpha;
    float *slopes[ES_NN_OUTPUTS_MAX]; /* [batch, classes] */
} tuner;

static es_status gatekeeper_step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                                 double *out_loss, size_t *out_right, es_error *err)
{
    const tuner *t = context;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    size_t outputs = es_train_engine_nn(engine)->output_count;
    size_t classes = es_train_output_shape(engine, outputs - 1).count;
    double loss = 0;
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    for (size_t k = 0; k < outputs; k++) {
        if (!es_learn_is_scores(engine, k))
            continue;
        loss += es_loss_gatekeeper(es_train_output(engine, k), batch->labels, batch->samples,
                                   classes, t->alpha, 1, t->slopes[k]);
        slopes[k] = t->slopes[k];
    }
    *out_loss = loss;
    *out_right =
        es_loss_right(es_train_output(engine, outputs - 1), batch->labels, batch->samples, classes);
    return es_train_backward(engine, slopes, false, err);
}

static es_status take_slopes(const es_learner *l, const es_nn *nn, tuner *t, es_error *err)
{
    for (size_t k = 0; k < nn->output_count; k++) {
        size_t size = nn->layers.items[nn->outputs[k].layer.index].shape.count;
        t->slopes[k] = ES_TAKE_ARRAY(l->arena, float, (size_t)l->opts.batch *size);
        if (t->slopes[k] == NULL)
            return es_arena_full(l->arena, "gradients", err);
    }
    return ES_OK;
}

static es_status tune(const es_compress_job *job, const options *o, const char *step,
                      const char *suffix, bool gatekeeper, const es_variant *from, es_variants *out,
                      es_error *err)
{
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(es_learn_report_done) es_learn_report report = {.text = {.bytes = NULL}};
    tuner t = {.alpha = o->alpha};
    es_variant *made = NULL;
    es_nn *nn = NULL;
    ES_TRY(es_learner_open(job, step, from, o->learn, &learner, &nn, err));
    if (gatekeeper)
        ES_TRY(take_slopes(&learner, nn, &t, err));
    ES_TRY(es_learner_fit(&learner, nn, "", o->learn.epochs, gatekeeper ? gatekeeper_step : NULL,
                          &t, err));
    ES_TRY(es_learner_give(&learner, nn, from, suffix, out, &made, err));
    es_learn_report_begin(&report, &learner, NULL, nn);
    if (gatekeeper)
        es_json_put_number(&report.json, "alpha", o->alpha);
    return es_learn_report_end(&report, job->arena, &made->report, err);
}

static es_status run_finetune(const es_compress_job *job, const void *given, const es_variant *from,
                              es_variants *out, es_error *err)
{
    return tune(job, given, "finetune", "tuned", false, from, out, err);
}

static es_status run_gatekeeper(const es_compress_job *job, const void *given,
                                const es_variant *from, es_variants *out, es_error *err)
{
    return tune(job, given, "gatekeeper", "gatekeeper", true, from, out, err);
}

const es_step_kind es_step_finetune = {
    .name = "finetune",
    .help = "the model's training goes on",
    .options = finetune_rows,
    .option_count = sizeof finetune_rows / sizeof finetune_rows[0],
    .options_size = sizeof(options),
    .run = run_finetune,
};

const es_step_kind es_step_gatekeeper = {
    .name = "gatekeeper",
    .help = "goes on so that wrong answers come out unsure: for the small model of a cascade",
    .options = gatekeeper_rows,
    .option_count = sizeof gatekeeper_rows / sizeof gatekeeper_rows[0],
    .options_size = sizeof(options),
    .run = run_gatekeeper,
};
