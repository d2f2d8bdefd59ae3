/*
 * slim: one set of weights that works at several widths (Yu et al. 2019, Yu and Huang 2019).
 *
 * Each step runs the widest and the narrowest net and some in between (the sandwich rule); the
 * widest learns from the labels, the others from what the widest says. Their gradients add up in
 * the widest, the master, whose first channels the others are. Statistics of batch norms are
 * measured for each width afterwards; scales and shifts are the master's too, or, with norms=own,
 * trained for each width alone, while all else stays.
 */
#include "compress/learn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANK_BATCHES = 20, STATISTICS_SAMPLES = 8192 };

typedef struct options {
    const char *widths, *file;
    int64_t multiple, between, own_epochs;
    size_t start, norms;
    double own_rate;
    es_learn_opts learn;
} options;

enum { START_MODEL, START_FRESH };
static const char *const starts[] = {"model", "fresh"};
enum { NORMS_SHARED, NORMS_OWN };
static const char *const norms[] = {"shared", "own"};

static const es_step_option rows[] = {
    {.name = "widths",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, widths),
     .fallback = "0.25|0.5|0.75|1",
     .help = "shares of the channels, with '|' between; the last one is the master"},
    {.name = "multiple",
     .type = ES_STEP_INT,
     .offset = offsetof(options, multiple),
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "channels are one of it; 0: 8 in wide layers, less in narrow ones"},
    {.name = "between",
     .type = ES_STEP_INT,
     .offset = offsetof(options, between),
     .fallback = "2",
     .min = 0,
     .max = 14,
     .help = "widths of a step beside the widest and the narrowest, drawn at random"},
    {.name = "start",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, start),
     .fallback = "model",
     .words = starts,
     .word_count = 2,
     .help = "from the model's values, its most important channels first, or at random"},
    {.name = "norms",
     .type = ES_STEP_WORD,
     .offset = offsetof(options, norms),
     .fallback = "shared",
     .words = norms,
     .word_count = 2,
     .help = "scales and shifts of batch norms: the master's, or each width's own"},
    {.name = "own_epochs",
     .type = ES_STEP_INT,
     .offset = offsetof(options, own_epochs),
     .fallback = "1",
     .min = 1,
     .max = 1000,
     .help = "in which norms=own trains them, after the others"},
    {.name = "own_rate",
     .type = ES_STEP_NUMBER,
     .offset = offsetof(options, own_rate),
     .fallback = "0.01",
     .min = 1e-9,
     .max = 100,
     .help = "of that"},
    {.name = "switch",
     .type = ES_STEP_TEXT,
     .offset = offsetof(options, file),
     .help =
         "write one ONNX file for all widths here: the weights once, and an input that chooses"},
    ES_LEARN_OPTIONS(options, "10", "0.1", "yes"),
};

/* ---- widths ---- */

typedef struct slimmer {
    es_learner *learner;
    const options *options;
    es_nn *master;
    es_nn_groups groups;
    double shares[ES_WIDTHS_MAX]; /* rising; the last is 1 */
    size_t count;                 /* of shares */
    es_width widths[ES_WIDTHS_MAX];
    es_train_engine *engines[ES_WIDTHS_MAX]; /* of widths but the last */
    size_t classes;
    float *soft, *slope; /* [batch, classes] */
} slimmer;

static es_status read_widths(slimmer *s, es_error *err)
{
    char *at = es_arena_text(s->learner->arena, s->options->widths);
    if (at == NULL)
        return es_arena_full(s->learner->arena, "widths", err);
    while (at != NULL) {
        char *next = strchr(at, '|');
        double width = 0;
        if (next != NULL)
            *next++ = '\0';
        if (!es_text_to_double(at, &width) || !(width > 0 && width <= 1))
            return es_fail(err, ES_ERR_ARG, "widths: '%s' must be a number above 0, at most 1", at);
        if (s->count == ES_WIDTHS_MAX)
            return es_fail(err, ES_ERR_LIMIT, "more than %d widths", ES_WIDTHS_MAX);
        if (s->count > 0 && !(width > s->shares[s->count - 1]))
            return es_fail(err, ES_ERR_ARG, "widths=%s must rise", s->options->widths);
        s->shares[s->count++] = width;
        at = next;
    }
    if (s->count < 2 || s->shares[s->count - 1] < 1)
        return es_fail(err, ES_ERR_ARG, "widths=%s must be two or more, the last 1",
                       s->options->widths);
    return ES_OK;
}

static es_status make_widths(slimmer *s, es_error *err)
{
    es_arena *arena = s->learner->arena;
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = (size_t)s->learner->opts.batch;
    opts.thread_count = (uint32_t)s->learner->opts.threads;
    opts.seed = s->learner->job->seed;
    for (size_t w = 0; w < s->count; w++)
        ES_TRY(es_width_make(arena, s->master, &s->groups, s->shares[w],
                             (size_t)s->options->multiple, &s->widths[w], err));
    for (size_t w = 0; w + 1 < s->count; w++) {
        if (es_nn_work_of(s->widths[w].nn).macs == es_nn_work_of(s->widths[w + 1].nn).macs)
            return es_fail(err, ES_ERR_ARG,
                           "widths %g and %g are the same net: take others, or a "
                           "smaller multiple",
                           s->shares[w], s->shares[w + 1]);
        ES_TRY(es_train_engine_new(s->widths[w].nn, opts, &s->engines[w], err));
    }
    return ES_OK;
}

static es_status check_classes(slimmer *s, es_error *err)
{
    const es_nn_output *last = &s->master->outputs[s->master->output_count - 1];
    es_nn_shape shape = s->master->layers.items[last->layer.index].shape;
    char text[ES_NN_SHAPE_TEXT];
    if (shape.rank != 1 || shape.count < 2)
        return es_fail(err, ES_ERR_UNSUPPORTED, "the model gives %s, to be scores of classes",
                       es_nn_shape_text(shape, text));
    s->classes = shape.count;
    return ES_OK;
}

/* The master, its channels in order, with norms; the widths. */
static es_status prepare(slimmer *s, es_error *err)
{
    es_learner *l = s->learner;
    size_t values = 0;
    ES_TRY(read_widths(s, err));
    ES_TRY(check_classes(s, err));
    ES_TRY(es_nn_groups_find(l->arena, s->master, &s->groups, err));
    if (s->options->start == START_FRESH)
        es_nn_init(s->master, l->job->seed);
    else
        ES_TRY(es_width_rank(l, s->master, &s->groups, ES_PRUNE_BY_TAYLOR, RANK_BATCHES, err));
    ES_TRY(make_widths(s, err));
    values = (size_t)l->opts.batch * s->classes;
    s->soft = ES_TAKE_ARRAY(l->arena, float, values);
    s->slope = ES_TAKE_ARRAY(l->arena, float, values);
    return s->soft != NULL && s->slope != NULL ? ES_OK : es_arena_full(l->arena, "a batch", err);
}

/* ---- a step ---- */

/* What the widest learns from: labels, or a mixture. Its answers become soft. */
static es_status learn_widest(slimmer *s, es_train_engine *engine, const es_fit_batch *batch,
                              double *out_loss, size_t *out_right, es_error *err)
{
    size_t last = s->master->output_count - 1;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    const float *scores = es_train_output(engine, last);
    if (batch->targets != NULL)
        *out_loss = es_loss_soft(scores, batch->targets, batch->samples, s->classes, 1, s->slope);
    else
        *out_loss = es_loss_cross_entropy(scores, batch->labels, batch->samples, s->classes,
                                          s->learner->opts.smoothing, 1, s->slope);
    *out_right = es_loss_right(scores, batch->labels, batch->samples, s->classes);
    es_loss_soften(&scores, 1, batch->samples, s->classes, 1, s->soft);
    slopes[last] = s->slope;
    return es_train_backward(engine, slopes, false, err);
}

static es_status learn_width(slimmer *s, size_t w, es_train_engine *master,
                             const es_fit_batch *batch, es_error *err)
{
    es_train_engine *engine = s->engines[w];
    size_t last = s->master->output_count - 1;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    es_width_pull(&s->widths[w], s->master);
    es_train_engine_step_set(engine, batch->step);
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    (void)es_loss_soft(es_train_output(engine, last), s->soft, batch->samples, s->classes, 1,
                       s->slope);
    slopes[last] = s->slope;
    ES_TRY(es_train_backward(engine, slopes, false, err));
    es_width_push(&s->widths[w], es_train_engine_params(engine), es_train_engine_params(master));
    return ES_OK;
}

/* Widths 1 .. count - 2 in an order of chance, that of the step alone. */
static void draw(const slimmer *s, uint64_t step, size_t chosen[ES_WIDTHS_MAX])
{
    es_rng rng = es_rng_make(s->learner->job->seed ^ UINT64_C(0x736c696d), step);
    for (size_t w = 1; w + 1 < s->count; w++)
        chosen[w - 1] = w;
    es_rng_shuffle(&rng, chosen, s->count - 2);
}

static es_status step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                      double *out_loss, size_t *out_right, es_error *err)
{
    slimmer *s = context;
    size_t chosen[ES_WIDTHS_MAX] = {0};
    size_t middle = s->count - 2;
    ES_TRY(learn_widest(s, engine, batch, out_loss, out_right, err));
    draw(s, batch->step, chosen);
    for (size_t i = 0; i < middle && i < (size_t)s->options->between; i++)
        ES_TRY(learn_width(s, chosen[i], engine, batch, err));
    return learn_width(s, 0, engine, batch, err);
}

/* ---- each width's own ---- */

static void freeze_all_but_norms(es_nn *nn)
{
    for (size_t i = 0; i < nn->layers.count; i++)
        nn->layers.items[i].frozen = nn->layers.items[i].kind != ES_NN_BATCH_NORM;
}

static es_status train_own(slimmer *s, size_t w, es_error *err)
{
    char part[32];
    es_learner *l = s->learner;
    double rate = l->opts.rate;
    (void)snprintf(part, sizeof part, "norms-%g", s->shares[w]);
    freeze_all_but_norms(s->widths[w].nn);
    l->opts.rate = s->options->own_rate;
    es_status status =
        es_learner_fit(l, s->widths[w].nn, part, s->options->own_epochs, NULL, NULL, err);
    l->opts.rate = rate;
    return status;
}

static es_status finish(slimmer *s, size_t w, es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_nn *nn = s->widths[w].nn;
    opts.batch = (size_t)s->learner->opts.batch;
    opts.thread_count = (uint32_t)s->learner->opts.threads;
    es_train_engine_free(s->engines[w]); /* frozen marks may change now */
    s->engines[w] = NULL;
    es_width_pull(&s->widths[w], s->master);
    if (s->options->norms == NORMS_OWN && w + 1 < s->count)
        ES_TRY(train_own(s, w, err));
    ES_TRY(es_train_engine_new(nn, opts, &engine, err));
    return es_norms_measure(s->learner, engine, STATISTICS_SAMPLES, err);
}

/* ---- the report ---- */

static const char *suffix_of(const slimmer *s, size_t w)
{
    return es_arena_format(s->learner->job->arena, "slim-%g", 100 * s->shares[w]);
}

/* Which of a width's values are the master's: all but those of its norms that are its own. */
static void put_shared(const slimmer *s, size_t w, es_json *json)
{
    const es_nn *nn = s->widths[w].nn;
    size_t shared = 0;
    size_t own = 0;
    bool own_norms = s->options->norms == NORMS_OWN && w + 1 < s->count;
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[i];
        for (size_t p = 0; p < layer->param_count; p++) {
            es_nn_role role = layer->params[p].role;
            bool is_own = role == ES_NN_MEAN || role == ES_NN_VARIANCE ||
                          (own_norms && layer->kind == ES_NN_BATCH_NORM);
            *(is_own ? &own : &shared) += layer->params[p].count;
        }
    }
    es_json_put_int(json, "values_of_master", (int64_t)shared);
    es_json_put_int(json, "values_of_its_own", (int64_t)own);
}

static void put_widths(const slimmer *s, es_json *json)
{
    es_json_key(json, "widths");
    es_json_list_begin(json);
    for (size_t w = 0; w < s->count; w++) {
        es_nn_work work = es_nn_work_of(s->widths[w].nn);
        es_json_map_begin(json);
        es_json_put_number(json, "width", s->shares[w]);
        es_json_put_text(json, "suffix", suffix_of(s, w));
        es_json_put_int(json, "macs", (int64_t)work.macs);
        es_json_put_int(json, "params", (int64_t)work.params);
        put_shared(s, w, json);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

/* What a width takes of the master's file: the first channels of each layer. */
static void put_channels(const slimmer *s, size_t w, es_json *json)
{
    const es_nn *nn = s->widths[w].nn;
    es_json_key(json, "channels");
    es_json_map_begin(json);
    for (size_t i = 0; i < nn->layers.count; i++)
        if (nn->layers.items[i].param_count > 0)
            es_json_put_int(json, nn->layers.items[i].name,
                            (int64_t)nn->layers.items[i].shape.dims[0]);
    es_json_map_end(json);
}

static es_status give(slimmer *s, size_t w, const es_variant *from, es_variants *out, es_error *err)
{
    ES_CLEANUP(es_learn_report_done) es_learn_report report;
    es_arena *arena = s->learner->job->arena;
    const char *suffix = suffix_of(s, w);
    const char *master =
        es_arena_format(arena, "%s-slim-%g", from->name, 100 * s->shares[s->count - 1]);
    es_variant *made = NULL;
    es_learn_report_begin(&report, s->learner, s->master, s->widths[w].nn);
    if (suffix == NULL || master == NULL)
        return es_arena_full(arena, "variant", err);
    es_json_put_number(&report.json, "width", s->shares[w]);
    es_json_put_text(&report.json, "master", master);
    put_channels(s, w, &report.json);
    put_widths(s, &report.json);
    ES_TRY(es_learner_give(s->learner, s->widths[w].nn, from, suffix, out, &made, err));
    return es_learn_report_end(&report, arena, &made->report, err);
}

static es_status write_switch(slimmer *s, es_error *err)
{
    const es_model *model = NULL;
    es_arena *arena = s->learner->arena;
    ES_TRY(es_within(err, es_widths_switch(arena, s->widths, s->count, &s->groups, &model, err),
                     "switch"));
    es_arena_reset(s->learner->scratch);
    return es_model_write(s->learner->scratch, model, s->options->file, err);
}

/* ---- the step of a recipe ---- */

static void slimmer_done(slimmer *s)
{
    for (size_t w = 0; w < s->count; w++)
        es_train_engine_free(s->engines[w]);
}

static es_status run(const es_compress_job *job, const void *given, const es_variant *from,
                     es_variants *out, es_error *err)
{
    const options *o = given;
    ES_CLEANUP(es_learner_close) es_learner learner;
    ES_CLEANUP(slimmer_done) slimmer s = {.learner = &learner, .options = o};
    ES_TRY(es_learner_open(job, "slim", from, o->learn, &learner, &s.master, err));
    learner.norms_added = false; /* they stay: folded into weights, these would be shared no more */
    ES_TRY(es_within(err, prepare(&s, err), "slim"));
    ES_TRY(es_learner_fit(&learner, s.master, "", o->learn.epochs, step, &s, err));
    for (size_t w = 0; w < s.count; w++) {
        ES_TRY(finish(&s, w, err));
        es_job_progress(job, "slim statistics", (double)(w + 1) / (double)s.count);
        ES_TRY(es_job_go_on(job, err));
    }
    for (size_t w = 0; w < s.count; w++)
        ES_TRY(give(&s, w, from, out, err));
    return o->file != NULL ? write_switch(&s, err) : ES_OK;
}

const es_step_kind es_step_slim = {
    .name = "slim",
    .help = "one set of weights that works at several widths: a variant for each",
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
