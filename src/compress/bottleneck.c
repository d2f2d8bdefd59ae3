/*
 * bottleneck: a net in two halves with few bytes between (GHND, BottleFit; Matsubara et al.):
 * closed form first, then head distillation, then fine-tuning; with an early classifier on the
 * bytes themselves if asked (Castellano et al. 2022).
 */
#include "compress/neck.h"

typedef struct options {
    const char *at;
    int64_t bytes, stride, before, behind, samples, trial, taps, distil_epochs, classifier_epochs;
    double early, slack, distil_rate, alpha, temperature, classifier_weight;
    size_t encoder, classifier;
    es_early_opts tuning;
    es_learn_opts learn;
} options;

enum { ENCODER_FREE, ENCODER_FROZEN };
static const char *const encoders[] = {"free", "frozen"};
enum { CLASSIFIER_NO, CLASSIFIER_JOINT, CLASSIFIER_AFTER };
static const char *const classifiers[] = {"no", "joint", "after"};

static const es_step_option rows[] = {
    {.name = "at",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, at),
     .help = "layer (ONNX value) behind which the model is cut; else chosen"},
    {.name = "bytes",
     .type = ES_STEP_INT,
     .offset = offsetof(options, bytes),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "that may cross; 0: an eighth of the input's values"},
    {.name = "early",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, early),
     .fallback = "0.5",
     .min = 0.001,
     .max = 1,
     .help = "share of the MACs before the cut at most, when it is chosen"},
    {.name = "stride",
     .type = ES_STEP_INT,
     .offset = offsetof(options, stride),
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "side of the squares whose means are coded; 0: chosen"},
    {.name = "before",
     .type = ES_STEP_INT,
     .offset = offsetof(options, before),
     .fallback = "0",
     .min = 0,
     .max = 8,
     .help = "convolutions before the encoder"},
    {.name = "behind",
     .type = ES_STEP_INT,
     .offset = offsetof(options, behind),
     .fallback = "1",
     .min = 0,
     .max = 8,
     .help = "convolutions behind the decoder"},
    {.name = "samples",
     .type = ES_STEP_INT,
     .offset = offsetof(options, samples),
     .fallback = "2000",
     .min = 2,
     .max = 1e6,
     .help = "that axes and ranges are found from"},
    {.name = "trial",
     .type = ES_STEP_INT,
     .offset = offsetof(options, trial),
     .fallback = "4000",
     .min = 0,
     .max = 1e6,
     .help = "samples that each place is tried on when the cut is chosen, 4 times; 0: untrained"},
    {.name = "slack",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, slack),
     .fallback = "0.01",
     .min = 0,
     .max = 1,
     .help = "share of answers that an earlier cut may change more than the best, when tried"},
    {.name = "taps",
     .type = ES_STEP_INT,
     .offset = offsetof(options, taps),
     .fallback = "2",
     .min = 0,
     .max = 8,
     .help = "places behind the cut where the inside is to look like the model's, beside the cut"},
    {.name = "distil_epochs",
     .type = ES_STEP_INT,
     .offset = offsetof(options, distil_epochs),
     .fallback = "5",
     .min = 0,
     .max = 100000,
     .help = "in which head, encoder and decoder learn that"},
    {.name = "distil_rate",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, distil_rate),
     .fallback = "0.001",
     .min = 1e-9,
     .max = 100,
     .help = "of learning then"},
    {.name = "encoder",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, encoder),
     .fallback = "free",
     .words = encoders,
     .word_count = 2,
     .help = "whether head and encoder learn on in the epochs behind, for right answers"},
    {.name = "alpha",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, alpha),
     .fallback = "0.5",
     .min = 0,
     .max = 1,
     .help = "weight of the model's answers there; the labels have the rest"},
    {.name = "temperature",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, temperature),
     .fallback = "3",
     .min = 0.1,
     .max = 100,
     .help = "that softens the model's answers"},
    {.name = "classifier",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, classifier),
     .fallback = "no",
     .words = classifiers,
     .word_count = 3,
     .help = "an early answer from the bytes themselves, learnt together with all, or after"},
    {.name = "classifier_weight",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, classifier_weight),
     .fallback = "0.5",
     .min = 1e-6,
     .max = 1e6,
     .help = "of its loss, together"},
    {.name = "classifier_epochs",
     .type = ES_STEP_INT,
     .offset = offsetof(options, classifier_epochs),
     .fallback = "3",
     .min = 0,
     .max = 100000,
     .help = "of it alone, after"},
    ES_EARLY_OPTIONS(options, tuning, "0.01"),
    ES_LEARN_OPTIONS_BY(options, "8", "0.001", "yes", "adam"),
};

/* ---- training ---- */

typedef struct bottleneck {
    const options *options;
    es_nn *model; /* as given */
    es_neck_choice choice;
    es_necked necked;
} bottleneck;

/* First the inside, with the tail as it is; then answers. */
static es_status train(es_learner *l, bottleneck *b, es_error *err)
{
    const options *o = b->options;
    bool after = o->classifier == CLASSIFIER_AFTER;
    double early = o->classifier == CLASSIFIER_JOINT ? o->classifier_weight : 0;
    const es_necked_training distil = {.epochs = o->distil_epochs,
                                       .rate = o->distil_rate,
                                       .mimic = 1,
                                       .early = early,
                                       .alpha = o->alpha,
                                       .temperature = o->temperature,
                                       .frozen = {.tail = true, .classifier = after}};
    const es_necked_training tune = {
        .epochs = o->learn.epochs,
        .rate = o->learn.rate,
        .early = early,
        .answer = 1,
        .alpha = o->alpha,
        .temperature = o->temperature,
        .frozen = {.head = o->encoder == ENCODER_FROZEN, .classifier = after}};
    const es_necked_training alone = {.epochs = o->classifier_epochs,
                                      .rate = o->learn.rate,
                                      .early = 1,
                                      .alpha = o->alpha,
                                      .temperature = o->temperature,
                                      .frozen = {.head = true, .decoder = true, .tail = true}};
    ES_TRY(es_necked_learn(l, &b->necked, "distil", &distil, err));
    if (o->distil_epochs > 0) /* codes have moved */
        ES_TRY(es_neck_range(l, b->necked.nn, (size_t)o->samples, err));
    ES_TRY(es_necked_learn(l, &b->necked, "tune", &tune, err));
    return after ? es_necked_learn(l, &b->necked, "classifier", &alone, err) : ES_OK;
}

static es_status prepare(es_learner *l, bottleneck *b, es_error *err)
{
    const options *o = b->options;
    size_t input = b->model->layers.items[0].shape.count;
    const es_neck_wish wish = {.bytes = o->bytes > 0 ? (size_t)o->bytes : input / 8,
                               .stride = (size_t)o->stride,
                               .early = o->early,
                               .layers = {(size_t)o->before, (size_t)o->behind},
                               .samples = (size_t)o->samples,
                               .trial = (size_t)o->trial,
                               .trial_rate = o->distil_rate,
                               .slack = o->slack};
    ES_TRY(es_neck_choose(l, b->model, o->at, &wish, &b->choice, err));
    const es_neck_build build = {.axes = &b->choice.chosen->axes,
                                 .layers = wish.layers,
                                 .taps = (size_t)o->taps,
                                 .samples = wish.samples,
                                 .early = o->classifier != CLASSIFIER_NO};
    return es_necked_open(l, b->model, &build, &b->necked, err);
}

/* ---- what comes out ---- */

static void put_candidates(const es_neck_choice *choice, es_json *json)
{
    es_json_key(json, "candidates");
    es_json_list_begin(json);
    for (size_t i = 0; i < choice->count; i++) {
        const es_neck_candidate *c = &choice->items[i];
        es_json_map_begin(json);
        es_json_put_text(json, "at", c->name);
        es_json_put_number(json, "macs_share", c->macs_share);
        es_json_put_int(json, "stride", (int64_t)c->axes.size.stride);
        es_json_put_int(json, "channels", (int64_t)c->axes.size.channels);
        es_json_put_int(json, "bytes", (int64_t)c->bytes);
        es_json_put_number(json, "variance_kept", c->axes.kept);
        if (choice->count > 1) {
            es_json_put_number(json, "agreement_untrained", c->untrained);
            es_json_put_number(json, "agreement", c->agreement);
        }
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_neck(const bottleneck *b, es_json *json)
{
    const es_neck_candidate *c = b->choice.chosen;
    es_json_put_text(json, "at", c->name);
    es_json_put_int(json, "stride", (int64_t)c->axes.size.stride);
    es_json_put_int(json, "channels", (int64_t)c->axes.size.channels);
    es_json_put_int(json, "payload_bytes", (int64_t)c->bytes);
    es_json_put_int(json, "input_values", (int64_t)b->model->layers.items[0].shape.count);
    put_candidates(&b->choice, json);
}

/* Stages: the head with the encoder, and an early answer if there is one; the tail. */
static es_status give(es_learner *l, const es_nn *nn, const es_variant *from, es_variants *out,
                      es_variant **made, es_error *err)
{
    const char *answers[] = {nn->output_count == 2 ? nn->outputs[0].name : NULL,
                             nn->outputs[nn->output_count - 1].name};
    const es_nn_id forwards[] = {es_nn_find(nn, ES_NECK_PAYLOAD), ES_NN_NONE};
    return es_early_give(l, nn, from, "bottleneck", answers, forwards, 2, out, made, err);
}

static es_status judge(es_learner *l, const es_tune *tune, bottleneck *b, es_early *early,
                       es_error *err)
{
    float *scores[ES_NN_OUTPUTS_MAX];
    double accuracy[ES_NN_OUTPUTS_MAX];
    es_nn *nn = b->necked.nn;
    const double costs[] = {(double)es_nn_macs_between(nn, SIZE_MAX, 0),
                            (double)es_nn_macs_between(nn, 0, 1)};
    ES_TRY(es_tune_scores(l, tune, nn, scores, accuracy, err));
    ES_TRY(es_early_choose(l, tune, &b->options->tuning, scores, 2, b->necked.classes, costs, early,
                           err));
    for (size_t k = 0; k < 2; k++)
        ES_TRY(es_output_temper(nn, k, early->temperature[k], err));
    return ES_OK;
}

/* Those chosen, and one that always asks the tail. */
static es_status add_pipelines(const es_compress_job *job, const es_early *early, es_variant *made,
                               es_error *err)
{
    es_variant_pipeline tail = made->pipelines[0]; /* as given: nobody leaves */
    tail.suffix = "-tail";
    ES_TRY(es_early_pipelines(job->arena, early, made, err));
    if (made->pipeline_count < ES_VARIANT_PIPELINES_MAX)
        made->pipelines[made->pipeline_count++] = tail;
    return ES_OK;
}

static void bottleneck_done(bottleneck *b)
{
    es_necked_close(&b->necked);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *o = given;
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(es_learn_report_done) es_learn_report report = {.text = {0}};
    ES_CLEANUP(bottleneck_done) bottleneck b = {.options = o};
    bool classified = o->classifier != CLASSIFIER_NO;
    es_tune tune;
    es_early early;
    es_variant *made = NULL;
    ES_TRY(es_learner_open(job, "bottleneck", from, o->learn, &learner, &b.model, err));
    if (classified)
        ES_TRY(es_tune_open(&learner, b.model, o->tuning.tune, &tune, err));
    ES_TRY(prepare(&learner, &b, err));
    ES_TRY(train(&learner, &b, err));
    ES_TRY(es_necked_finish(&b.necked, err));
    if (classified)
        ES_TRY(judge(&learner, &tune, &b, &early, err));
    ES_TRY(give(&learner, b.necked.nn, from, out, &made, err));
    if (classified)
        ES_TRY(add_pipelines(job, &early, made, err));
    es_learn_report_begin(&report, &learner, b.model, b.necked.nn);
    put_neck(&b, &report.json);
    if (classified)
        es_early_report(&early, &tune, NULL, &report.json);
    return es_learn_report_end(&report, job->arena, &made->report, err);
}

const es_step_kind es_step_bottleneck = {
    .name = "bottleneck",
    .help = "two halves with few bytes between, 8 bits a value; an early answer from them if asked",
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
