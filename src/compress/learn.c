/*
 * What steps that train share: a model as a net, samples as nets take them, one training after the
 * other, the net as a variant.
 */
#include "compress/learn.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

enum { REPORT_BYTES = 1 << 22, HOUSEKEEPING_BYTES = 1 << 16 };

const char *const es_learn_no_yes[2] = {"no", "yes"};

/* ---- samples ---- */

/* The dataset has channels last, and that matters. */
static es_status must_turn(const es_samples *samples, const es_nn *nn, bool *out, es_error *err)
{
    const es_data_array *x = &samples->dataset->x;
    es_nn_shape in = nn->layers.items[0].shape;
    bool last = nn->channels_last ? samples->order == ES_SAMPLE_ORDER_KEEP
                                  : samples->order == ES_SAMPLE_ORDER_CHANNELS_FIRST;
    char text[ES_NN_SHAPE_TEXT];
    *out = last && in.rank > 1 && in.dims[0] > 1;
    if (samples->dataset->size != in.count)
        return es_fail(err, ES_ERR_ARG, "'%s' has samples of %zu values, the model takes %s",
                       samples->dataset->name, samples->dataset->size, es_nn_shape_text(in, text));
    if (*out && (x->rank < 2 || x->dims[x->rank - 1] != in.dims[0]))
        return es_fail(err, ES_ERR_ARG,
                       "'%s' has samples whose last dimension is %zu, to be %zu channels",
                       samples->dataset->name, x->rank < 2 ? 1 : x->dims[x->rank - 1], in.dims[0]);
    return ES_OK;
}

/* from [places][channels] to [channels][places] */
static void turn(const float *restrict from, float *restrict to, size_t places, size_t channels)
{
    for (size_t p = 0; p < places; p++)
        for (size_t c = 0; c < channels; c++)
            to[c * places + p] = from[p * channels + c];
}

/* The rows as floats, scaled and channels first. */
static es_status copy_samples(es_arena *arena, const es_samples *samples, const es_nn *nn,
                              bool turns, es_dataset *out, es_error *err)
{
    const es_dataset *from = samples->dataset;
    size_t count = es_samples_count(samples);
    size_t size = from->size;
    size_t channels = nn->layers.items[0].shape.dims[0];
    size_t values = 0;
    bool after = samples->order == ES_SAMPLE_ORDER_CHANNELS_FIRST; /* as es_feed_set does */
    if (!es_size_mul(count, size, &values))
        return es_fail(err, ES_ERR_LIMIT, "'%s' is too large", from->name);
    float *x = ES_TAKE_ARRAY(arena, float, values);
    float *turned = ES_TAKE_ARRAY(arena, float, size);
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, count);
    if (x == NULL || turned == NULL || labels == NULL)
        return es_arena_full(arena, "samples", err);
    for (size_t i = 0; i < count; i++) {
        size_t row = samples->rows != NULL ? samples->rows->items[i] : i;
        float *sample = x + i * size;
        es_dataset_sample(from, row, sample);
        if (!after)
            es_scaling_apply(&samples->scaling, size, sample);
        if (turns) {
            turn(sample, turned, size / channels, channels);
            memcpy(sample, turned, size * sizeof *sample);
        }
        if (after)
            es_scaling_apply(&samples->scaling, size, sample);
        labels[i] = from->labels != NULL ? from->labels[row] : 0;
    }
    *out = *from;
    out->x = (es_data_array){.name = from->x.name,
                             .type = ES_DATA_F32,
                             .rank = 2,
                             .dims = {count, size},
                             .count = values,
                             .bytes = x};
    out->count = count;
    out->labels = from->labels != NULL ? labels : NULL;
    return ES_OK;
}

/* Cuts the rows into those to learn from and those that choose the best epoch. */
static es_status hold_out(es_learner *l, es_error *err)
{
    double shares[] = {1 - l->opts.held, l->opts.held};
    es_data_rows parts[ES_DATA_PARTS_MAX];
    size_t count = l->rows != NULL ? l->rows->count : l->set.count;
    uint32_t *labels = ES_TAKE_ARRAY(l->arena, uint32_t, count);
    es_data_rows *kept = ES_TAKE_ARRAY(l->arena, es_data_rows, 2);
    if (labels == NULL || kept == NULL)
        return es_arena_full(l->arena, "rows", err);
    for (size_t i = 0; i < count && l->set.labels != NULL; i++)
        labels[i] = l->set.labels[l->rows != NULL ? l->rows->items[i] : i];
    ES_TRY(es_data_split(l->arena, l->set.labels != NULL ? labels : NULL, count, shares, 2,
                         l->job->seed, parts, err));
    for (size_t p = 0; p < 2; p++) {
        size_t *items = ES_TAKE_ARRAY(l->arena, size_t, parts[p].count);
        if (items == NULL)
            return es_arena_full(l->arena, "rows", err);
        for (size_t i = 0; i < parts[p].count; i++)
            items[i] = l->rows != NULL ? l->rows->items[parts[p].items[i]] : parts[p].items[i];
        kept[p] = (es_data_rows){.items = items, .count = parts[p].count};
    }
    l->rows = &kept[0];
    l->held = &kept[1];
    return ES_OK;
}

es_status es_learner_data(es_learner *learner, const es_samples *samples, const es_nn *nn,
                          es_error *err)
{
    bool turns = false;
    ES_TRY(must_turn(samples, nn, &turns, err));
    learner->held = NULL;
    if (turns || samples->scaling.channel_count > 0) {
        ES_TRY(copy_samples(learner->arena, samples, nn, turns, &learner->set, err));
        learner->rows = NULL;
    } else {
        learner->set = *samples->dataset;
        learner->rows = samples->rows;
    }
    return learner->opts.held > 0 ? hold_out(learner, err) : ES_OK;
}

/* ---- start and end ---- */

es_status es_learner_open(const es_compress_job *job, const char *step, const es_variant *from,
                          es_learn_opts opts, es_learner *out_learner, es_nn **out_nn,
                          es_error *err)
{
    size_t cap = es_arena_cap_bytes(job->arena);
    size_t added = 0;
    es_nn *nn = NULL;
    *out_learner =
        (es_learner){.job = job, .step = step, .opts = opts, .allow_empty = opts.allow_empty == 1};
    if (from->stage_count != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED, "%s works on one model, not on %zu segments", step,
                       from->stage_count);
    if (job->fit.dataset == NULL)
        return es_fail(err, ES_ERR_ARG, "%s needs samples to learn from", step);
    out_learner->arena = es_arena_new(cap);
    out_learner->scratch = es_arena_new(cap);
    if (out_learner->arena == NULL || out_learner->scratch == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a step");
    ES_TRY(es_nn_from_model(out_learner->arena, from->stages[0].model, &nn, err));
    ES_TRY(es_learner_data(out_learner, &job->fit, nn, err));
    if (opts.add_norms == 1 && opts.epochs > 0)
        ES_TRY(es_norms_add(out_learner, nn, &added, err));
    out_learner->norms_added = added > 0;
    *out_nn = nn;
    return ES_OK;
}

void es_learner_close(es_learner *learner)
{
    es_arena_free(learner->arena);
    es_arena_free(learner->scratch);
}

es_status es_learner_give(const es_learner *learner, const es_nn *nn, const es_variant *from,
                          const char *suffix, es_variants *out, es_variant **out_variant,
                          es_error *err)
{
    const es_model *model = NULL;
    ES_TRY(es_nn_to_model(learner->job->arena, nn, learner->norms_added, &model, err));
    return es_variant_add(learner->job, from, suffix, model, out, out_variant, err);
}

/* ---- training ---- */

es_fit_opts es_learner_fit_opts(const es_learner *learner, int64_t epochs)
{
    const es_learn_opts *from = &learner->opts;
    es_fit_opts opts = es_fit_opts_default();
    opts.epoch_count = (uint32_t)epochs;
    opts.batch = (size_t)from->batch;
    opts.label_smoothing = from->smoothing;
    opts.optimiser.kind = (es_optimiser_kind)from->optimiser;
    opts.optimiser.weight_decay = from->weight_decay;
    opts.rate.rate = from->rate;
    opts.augment.shift = (size_t)from->shift;
    opts.augment.flip = from->flip == 1;
    opts.augment.erase = (size_t)from->erase;
    opts.augment.mixup = from->mixup;
    opts.average = from->average;
    opts.engine.thread_count = (uint32_t)from->threads;
    opts.allow_empty = learner->allow_empty;
    opts.seed = learner->job->seed;
    opts.stop = learner->job->stop;
    return opts;
}

/* What fit's hooks know. */
typedef struct watcher {
    const es_learner *learner;
    const char *what;
    int64_t epochs;
} watcher;

static void watch(void *context, uint64_t epoch, double share, double loss)
{
    const watcher *w = context;
    (void)loss;
    es_job_progress(w->learner->job, w->what, ((double)epoch + share) / (double)w->epochs);
}

/* A step gets its own context, progress ours: both pass through this one. */
typedef struct relay {
    watcher watcher; /* first: progress takes the same pointer */
    es_learn_step step;
    void *context;
} relay;

static es_status relay_step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                            double *out_loss, size_t *out_right, es_error *err)
{
    relay *r = context;
    return r->step(r->context, engine, batch, out_loss, out_right, err);
}

/* The checkpoint's name, and whether it is there already. */
static es_status name_checkpoint(es_learner *l, const char *part, es_fit_opts *opts, es_error *err)
{
    if (l->opts.checkpoint == NULL)
        return ES_OK;
    opts->checkpoint = part[0] == '\0'
                           ? l->opts.checkpoint
                           : es_arena_format(l->arena, "%s.%s", l->opts.checkpoint, part);
    if (opts->checkpoint == NULL)
        return es_arena_full(l->arena, "checkpoint", err);
    opts->resume = es_file_exists(opts->checkpoint);
    return ES_OK;
}

es_status es_learner_fit(es_learner *learner, es_nn *nn, const char *part, int64_t epochs,
                         es_learn_step step, void *context, es_error *err)
{
    es_fit_result result = {0};
    es_fit_opts opts = es_learner_fit_opts(learner, epochs);
    const char *what =
        es_arena_format(learner->arena, "%s%s%s", learner->step, part[0] != '\0' ? " " : "", part);
    relay r = {.watcher = {.learner = learner, .what = what, .epochs = epochs},
               .step = step,
               .context = context};
    if (epochs == 0)
        return ES_OK;
    if (what == NULL)
        return es_arena_full(learner->arena, "training", err);
    ES_TRY(name_checkpoint(learner, part, &opts, err));
    opts.hooks =
        (es_fit_hooks){.context = &r, .step = step != NULL ? relay_step : NULL, .progress = watch};
    ES_TRY(es_within(err,
                     es_fit(learner->arena, nn, &learner->set, learner->rows, learner->held, &opts,
                            &result, err),
                     "%s", what));
    for (size_t e = 0; e < result.epoch_count; e++)
        ES_TRY(ES_ARRAY_PUSH(learner->arena, &learner->curve, result.epochs[e], "curve", err));
    learner->seconds += result.seconds;
    if (result.stopped)
        return es_fail(err, ES_ERR_CANCELLED, "%s was asked to stop in epoch %zu%s%s", what,
                       result.epoch_count + 1, opts.checkpoint != NULL ? "; goes on from " : "",
                       opts.checkpoint != NULL ? opts.checkpoint : "");
    es_job_progress(learner->job, what, 1);
    return ES_OK;
}

/* ---- looking ---- */

static es_status first_rows(es_arena *arena, const es_dataset *set, const es_data_rows *rows,
                            size_t limit, es_data_rows *out, es_error *err)
{
    size_t all = rows != NULL ? rows->count : set->count;
    size_t count = limit > 0 && limit < all ? limit : all;
    size_t *items = ES_TAKE_ARRAY(arena, size_t, count);
    if (items == NULL)
        return es_arena_full(arena, "rows", err);
    for (size_t i = 0; i < count; i++)
        items[i] = rows != NULL ? rows->items[i] : i;
    *out = (es_data_rows){.items = items, .count = count};
    return ES_OK;
}

es_status es_learner_accuracy(es_learner *learner, es_nn *nn, const es_dataset *set,
                              const es_data_rows *rows, size_t limit, double *out_accuracy,
                              es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_data_rows some;
    es_evaluation got;
    opts.batch = (size_t)learner->opts.batch;
    opts.thread_count = (uint32_t)learner->opts.threads;
    opts.gradients = false;
    ES_TRY(first_rows(learner->scratch, set, rows, limit, &some, err));
    ES_TRY(es_train_engine_new(nn, opts, &engine, err));
    ES_TRY(es_train_evaluate(engine, set, &some, ES_FIT_CROSS_ENTROPY, &got, NULL, err));
    *out_accuracy = got.accuracy[nn->output_count - 1];
    return ES_OK;
}

es_status es_learner_batches(es_learner *learner, es_data_batches *out_batches, es_error *err)
{
    es_data_batches_opts opts = es_data_batches_opts_default();
    opts.batch = (size_t)learner->opts.batch;
    opts.seed = learner->job->seed;
    opts.drop_last = true;
    return es_data_batches_init(learner->arena, &learner->set, learner->rows, opts, out_batches,
                                err);
}

bool es_learn_is_scores(const es_train_engine *engine, size_t output)
{
    es_nn_shape last = es_train_output_shape(engine, es_train_engine_nn(engine)->output_count - 1);
    es_nn_shape shape = es_train_output_shape(engine, output);
    return shape.rank == 1 && last.rank == 1 && shape.count == last.count;
}

/* ---- reports ---- */

static void put_work(es_json *json, const char *key, const es_nn *nn)
{
    es_nn_work work = es_nn_work_of(nn);
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_int(json, "macs", (int64_t)work.macs);
    es_json_put_int(json, "params", (int64_t)work.params);
    es_json_map_end(json);
}

static void put_epoch(es_json *json, const es_fit_epoch *epoch)
{
    es_json_map_begin(json);
    es_json_put_number(json, "rate", epoch->rate);
    es_json_put_number(json, "loss", epoch->loss);
    if (isfinite(epoch->accuracy))
        es_json_put_number(json, "accuracy", epoch->accuracy);
    if (isfinite(epoch->held_accuracy))
        es_json_put_number(json, "held_accuracy", epoch->held_accuracy);
    es_json_map_end(json);
}

void es_learn_report_begin(es_learn_report *report, const es_learner *learner, const es_nn *before,
                           const es_nn *after)
{
    es_json *json = &report->json;
    es_text_init(&report->text, REPORT_BYTES);
    es_json_init(json, &report->text, true);
    es_json_map_begin(json);
    es_json_put_text(json, "step", learner->step);
    if (before != NULL)
        put_work(json, "before", before);
    put_work(json, "after", after);
    es_json_put_number(json, "training_s", learner->seconds);
    es_json_key(json, "epochs");
    es_json_list_begin(json);
    for (size_t e = 0; e < learner->curve.count; e++)
        put_epoch(json, &learner->curve.items[e]);
    es_json_list_end(json);
}

es_status es_learn_report_end(es_learn_report *report, es_arena *arena, const es_doc **out_doc,
                              es_error *err)
{
    es_json_map_end(&report->json);
    ES_TRY(es_text_status(&report->text, err));
    char *bytes = es_arena_text(arena, es_text_get(&report->text));
    if (bytes == NULL)
        return es_arena_full(arena, "report", err);
    return es_doc_parse_json(arena, "report", bytes, strlen(bytes), out_doc, err);
}

void es_learn_report_done(es_learn_report *report)
{
    es_text_done(&report->text);
}
