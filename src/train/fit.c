/* The loop: batches, steps, epochs, the best of them, checkpoints. */
#include "train/fit.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>

es_fit_opts es_fit_opts_default(void)
{
    return (es_fit_opts){.epoch_count = 10,
                         .batch = 64,
                         .optimiser = es_optimiser_opts_default(),
                         .rate = es_rate_opts_default(),
                         .keep_best = true,
                         .seed = 1,
                         .engine = es_train_engine_opts_default(),
                         .checkpoint_epochs = 1};
}

/* ---- values of the net as one row ---- */

typedef struct cursor {
    size_t layer, param;
} cursor;

/* The next parameter that is learned or a running statistic; NULL at the end. */
static const es_nn_param *next_kept(const es_nn *nn, cursor *at)
{
    for (; at->layer < nn->layers.count; at->layer++, at->param = 0) {
        const es_nn_layer *layer = &nn->layers.items[at->layer];
        while (at->param < layer->param_count) {
            const es_nn_param *param = &layer->params[at->param++];
            if (es_train_role_trained(param->role) || param->role == ES_NN_MEAN ||
                param->role == ES_NN_VARIANCE)
                return param;
        }
    }
    return NULL;
}

size_t es_fit_values_count(const es_nn *nn)
{
    size_t count = 0;
    cursor at = {0};
    for (const es_nn_param *param; (param = next_kept(nn, &at)) != NULL;)
        count += param->count;
    return count;
}

void es_fit_values_get(const es_nn *nn, float *out)
{
    cursor at = {0};
    for (const es_nn_param *param; (param = next_kept(nn, &at)) != NULL; out += param->count)
        memcpy(out, param->values, param->count * sizeof *out);
}

void es_fit_values_set(es_nn *nn, const float *from)
{
    cursor at = {0};
    for (const es_nn_param *param; (param = next_kept(nn, &at)) != NULL; from += param->count)
        memcpy(param->values, from, param->count * sizeof *from);
}

static void swap_values(es_nn *nn, float *row)
{
    cursor at = {0};
    for (const es_nn_param *param; (param = next_kept(nn, &at)) != NULL; row += param->count) {
        for (size_t k = 0; k < param->count; k++) {
            float kept = param->values[k];
            param->values[k] = row[k];
            row[k] = kept;
        }
    }
}

/* row = share row + (1 - share) values */
static void average_values(const es_nn *nn, double share, float *row)
{
    cursor at = {0};
    for (const es_nn_param *param; (param = next_kept(nn, &at)) != NULL; row += param->count)
        for (size_t k = 0; k < param->count; k++)
            row[k] = (float)(share * (double)row[k] + (1 - share) * (double)param->values[k]);
}

/* ---- one step ---- */

static double weight_of(const es_fit_opts *opts, size_t outputs, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < outputs; i++)
        sum += opts->output_weights[i];
    return sum > 0 ? opts->output_weights[k] : 1;
}

static double loss_of(es_fit_state *fit, const es_fit_batch *batch, size_t k, double weight)
{
    const float *values = fit->engine->outputs[k];
    size_t size = fit->engine->output_shapes[k].count;
    if (fit->opts->loss == ES_FIT_SQUARES)
        return es_loss_squares(values,
                               es_train_scaled(fit->nn, batch->x, batch->samples, fit->scratch),
                               batch->samples, size, weight, fit->gradients[k]);
    if (batch->targets != NULL)
        return es_loss_soft(values, batch->targets, batch->samples, size, weight,
                            fit->gradients[k]);
    return es_loss_cross_entropy(values, batch->labels, batch->samples, size,
                                 fit->opts->label_smoothing, weight, fit->gradients[k]);
}

static es_status usual_step(es_fit_state *fit, const es_fit_batch *batch, double *out_loss,
                            size_t *out_right, es_error *err)
{
    const es_train_engine *engine = fit->engine;
    size_t last = engine->graph.output_count - 1;
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    double sum = 0;
    ES_TRY(es_train_forward(fit->engine, batch->x, batch->samples, ES_TRAIN_LEARN, err));
    for (size_t k = 0; k <= last; k++) {
        double weight = weight_of(fit->opts, last + 1, k);
        bool counts = fit->opts->loss == ES_FIT_SQUARES ? k == last : es_fit_is_scores(engine, k);
        if (!counts || !(weight > 0))
            continue;
        sum += loss_of(fit, batch, k, weight);
        slopes[k] = fit->gradients[k];
    }
    *out_loss = sum;
    *out_right = fit->opts->loss == ES_FIT_SQUARES
                     ? 0
                     : es_loss_right(engine->outputs[last], batch->labels, batch->samples,
                                     engine->output_shapes[last].count);
    return es_train_backward(fit->engine, slopes, false, err);
}

/* Random numbers come from the seed and the step alone, so that nothing of them must be kept. */
static void augment(es_fit_state *fit, es_fit_batch *batch)
{
    const es_augment_opts *opts = &fit->opts->augment;
    const es_nn_shape shape = fit->nn->layers.items[0].shape;
    es_rng rng = es_rng_make(fit->opts->seed ^ UINT64_C(0x61756764656e74), batch->step);
    es_augment(opts, shape, &rng, batch->samples, fit->x, fit->scratch);
    if (opts->mixup > 0 && batch->labels != NULL) {
        size_t classes = fit->engine->output_shapes[fit->engine->graph.output_count - 1].count;
        es_augment_mixup(opts->mixup, &rng, batch->samples, shape.count, classes, fit->labels,
                         fit->x, fit->targets, fit->scratch);
        batch->targets = fit->targets;
    }
}

static es_status check_finite(const es_fit_state *fit, const char *what, double value,
                              es_error *err)
{
    uint64_t step = fit->step % fit->steps_per_epoch;
    if (isfinite(value))
        return ES_OK;
    return es_fail(err, ES_ERR_LIMIT,
                   "epoch %zu, step %" PRIu64 ": %s is %s: take a lower rate than %g, clip "
                   "gradients, or look for values out of range in '%s'",
                   fit->epoch_count + 1, step + 1, what, isnan(value) ? "not a number" : "infinite",
                   fit->opts->rate.rate, fit->set->name);
}

static double share_of(const es_fit_state *fit, uint64_t step)
{
    return ((double)step + 0.5) / (double)(fit->steps_per_epoch * fit->opts->epoch_count);
}

static es_status one_step(es_fit_state *fit, size_t samples, es_error *err)
{
    const es_fit_hooks *hooks = &fit->opts->hooks;
    es_fit_batch batch = {.x = fit->x,
                          .labels = fit->set->labels != NULL ? fit->labels : NULL,
                          .samples = samples,
                          .epoch = fit->epoch_count,
                          .step = fit->step};
    double loss = 0;
    size_t right = 0;
    augment(fit, &batch);
    es_train_engine_step_set(fit->engine, fit->step);
    ES_TRY(hooks->step != NULL
               ? hooks->step(hooks->context, fit->engine, &batch, &loss, &right, err)
               : usual_step(fit, &batch, &loss, &right, err));
    ES_TRY(check_finite(fit, "the loss", loss, err));
    double length =
        es_optimiser_step(&fit->optimiser, es_rate_at(&fit->opts->rate, share_of(fit, fit->step)));
    ES_TRY(check_finite(fit, "the length of the gradients", length, err));
    if (fit->average != NULL) /* at first over what there is */
        average_values(fit->nn,
                       fmin(fit->opts->average, (double)(fit->step + 1) / (double)(fit->step + 10)),
                       fit->average);
    fit->loss_sum += loss * (double)samples;
    fit->right += right;
    fit->seen += samples;
    fit->step++;
    return ES_OK;
}

/* ---- epochs ---- */

static bool stop_asked(const es_fit_state *fit)
{
    return fit->opts->stop != NULL && *fit->opts->stop != 0;
}

/* The rest of the epoch, or until asked to stop; *out_whole: it is over. */
static es_status run_epoch(es_fit_state *fit, bool *out_whole, es_error *err)
{
    es_clock *clock = es_clock_system();
    double before_s = fit->epoch_s;
    int64_t start_ns = es_clock_now_ns(clock);
    size_t samples = 0;
    bool stopped = false;
    while (!stopped && (samples = es_data_batches_next(&fit->batches, fit->x, fit->labels)) > 0) {
        ES_TRY(one_step(fit, samples, err));
        fit->epoch_s = before_s + es_s_from_ns(es_clock_now_ns(clock) - start_ns);
        if (fit->opts->hooks.progress != NULL)
            fit->opts->hooks.progress(fit->opts->hooks.context, fit->epoch_count,
                                      (double)(fit->step % fit->steps_per_epoch) /
                                          (double)fit->steps_per_epoch,
                                      fit->loss_sum / (double)fit->seen);
        stopped = stop_asked(fit) && fit->step % fit->steps_per_epoch != 0;
    }
    *out_whole = !stopped;
    return ES_OK;
}

static bool better(const es_fit_epoch *a, const es_fit_epoch *b)
{
    if (isfinite(a->held_accuracy) && a->held_accuracy != b->held_accuracy)
        return a->held_accuracy > b->held_accuracy;
    return a->held_loss < b->held_loss;
}

/* By the averaged parameters, where there are some; those are kept when they are the best. */
static es_status judge(es_fit_state *fit, es_fit_epoch *epoch, es_error *err)
{
    es_evaluation got;
    size_t last = fit->engine->graph.output_count - 1;
    if (fit->average != NULL)
        swap_values(fit->nn, fit->average);
    if (fit->held != NULL) {
        ES_TRY(
            es_train_evaluate(fit->engine, fit->set, fit->held, fit->opts->loss, &got, NULL, err));
        epoch->held_loss = got.loss[last];
        epoch->held_accuracy = got.accuracy[last];
    }
    epoch->best =
        fit->held == NULL || fit->epoch_count == 0 || better(epoch, &fit->epochs[fit->best_at]);
    if (epoch->best && fit->best != NULL)
        es_fit_values_get(fit->nn, fit->best);
    if (fit->average != NULL)
        swap_values(fit->nn, fit->average);
    return ES_OK;
}

static es_status end_epoch(es_fit_state *fit, es_error *err)
{
    es_fit_epoch epoch = {.epoch = fit->epoch_count,
                          .rate = es_rate_at(&fit->opts->rate, share_of(fit, fit->step - 1)),
                          .loss = fit->loss_sum / (double)fit->seen,
                          .accuracy = fit->opts->loss == ES_FIT_CROSS_ENTROPY
                                          ? (double)fit->right / (double)fit->seen
                                          : (double)NAN,
                          .held_loss = (double)NAN,
                          .held_accuracy = (double)NAN,
                          .seconds = fit->epoch_s};
    ES_TRY(judge(fit, &epoch, err));
    if (epoch.best)
        fit->best_at = fit->epoch_count;
    fit->epochs[fit->epoch_count++] = epoch;
    fit->total_s += fit->epoch_s;
    fit->loss_sum = fit->epoch_s = 0;
    fit->right = fit->seen = 0;
    return ES_OK;
}

static bool patience_out(const es_fit_state *fit)
{
    return fit->opts->patience > 0 && fit->held != NULL && fit->epoch_count > 0 &&
           fit->epoch_count - 1 - fit->best_at >= fit->opts->patience;
}

static es_status loop(es_fit_state *fit, es_fit_result *result, es_error *err)
{
    const es_fit_opts *opts = fit->opts;
    while (fit->epoch_count < opts->epoch_count && !patience_out(fit) && !result->stopped) {
        bool whole = false;
        ES_TRY(run_epoch(fit, &whole, err));
        if (whole)
            ES_TRY(end_epoch(fit, err));
        result->stopped = !whole || stop_asked(fit);
        if (whole && opts->hooks.epoch != NULL &&
            !opts->hooks.epoch(opts->hooks.context, &fit->epochs[fit->epoch_count - 1]))
            result->stopped = true;
        bool due = opts->checkpoint_epochs > 0 && fit->epoch_count % opts->checkpoint_epochs == 0;
        bool done = fit->epoch_count == opts->epoch_count || patience_out(fit);
        if (opts->checkpoint != NULL && (due || done || result->stopped))
            ES_TRY(es_fit_checkpoint_write(fit, opts->checkpoint, err));
    }
    result->early = fit->epoch_count < opts->epoch_count && patience_out(fit);
    return ES_OK;
}

/* ---- start and end ---- */

static es_status take_buffers(es_fit_state *fit, es_error *err)
{
    es_arena *arena = fit->arena;
    const es_train_engine *engine = fit->engine;
    size_t classes = engine->output_shapes[engine->graph.output_count - 1].count;
    size_t batch = fit->opts->batch;
    bool mixup = fit->opts->augment.mixup > 0;
    bool whole = mixup || fit->opts->loss == ES_FIT_SQUARES;
    fit->value_count = es_fit_values_count(fit->nn);
    fit->x = ES_TAKE_ARRAY(arena, float, batch * fit->set->size);
    fit->scratch = ES_TAKE_ARRAY(arena, float, (whole ? batch : 1) * fit->set->size);
    fit->targets = ES_TAKE_ARRAY(arena, float, mixup ? batch *classes : 1);
    fit->labels = ES_TAKE_ARRAY(arena, uint32_t, batch);
    fit->epochs = ES_TAKE_ARRAY(arena, es_fit_epoch, fit->opts->epoch_count);
    if (fit->x == NULL || fit->scratch == NULL || fit->targets == NULL || fit->labels == NULL ||
        fit->epochs == NULL)
        return es_arena_full(arena, "a batch", err);
    for (size_t k = 0; k < engine->graph.output_count; k++) {
        fit->gradients[k] = ES_TAKE_ARRAY(arena, float, batch * engine->output_shapes[k].count);
        if (fit->gradients[k] == NULL)
            return es_arena_full(arena, "gradients", err);
    }
    if (fit->held != NULL && fit->opts->keep_best)
        fit->best = ES_TAKE_ARRAY(arena, float, fit->value_count);
    if (fit->opts->average > 0)
        fit->average = ES_TAKE_ARRAY(arena, float, fit->value_count);
    if ((fit->held != NULL && fit->opts->keep_best && fit->best == NULL) ||
        (fit->opts->average > 0 && fit->average == NULL))
        return es_arena_full(arena, "copies of the parameters", err);
    if (fit->average != NULL)
        es_fit_values_get(fit->nn, fit->average);
    return ES_OK;
}

static es_status begin(es_fit_state *fit, const es_data_rows *rows, es_error *err)
{
    const es_fit_opts *opts = fit->opts;
    es_data_batches_opts batches = es_data_batches_opts_default();
    es_train_engine_opts engine = opts->engine;
    ES_TRY(es_fit_check_opts(opts, err));
    engine.batch = opts->batch;
    engine.seed = opts->seed;
    engine.gradients = engine.logits = true;
    ES_TRY(es_train_engine_new(fit->nn, engine, &fit->engine, err));
    if (fit->engine->params.count == 0)
        return es_fail(err, ES_ERR_ARG, "net '%s': no layer is trained", fit->nn->name);
    ES_TRY(es_fit_check(fit->engine, fit->set, rows, opts->loss, opts->allow_empty, err));
    if (fit->held != NULL)
        ES_TRY(es_fit_check(fit->engine, fit->set, fit->held, opts->loss, true, err));
    batches.batch = opts->batch;
    batches.seed = opts->seed;
    batches.drop_last = true;
    ES_TRY(es_data_batches_init(fit->arena, fit->set, rows, batches, &fit->batches, err));
    fit->steps_per_epoch = fit->row_count / opts->batch;
    ES_TRY(take_buffers(fit, err));
    ES_TRY(
        es_optimiser_init(fit->arena, &fit->engine->params, opts->optimiser, &fit->optimiser, err));
    if (opts->resume)
        ES_TRY(es_fit_checkpoint_read(fit, opts->checkpoint, err));
    es_data_batches_seek(&fit->batches, fit->epoch_count);
    fit->batches.at = (size_t)(fit->step % fit->steps_per_epoch) * opts->batch;
    return ES_OK;
}

static es_status finish(es_arena *arena, es_fit_state *fit, es_fit_result *result, es_error *err)
{
    if (fit->best != NULL && fit->epoch_count > 0)
        es_fit_values_set(fit->nn, fit->best);
    else if (fit->average != NULL)
        es_fit_values_set(fit->nn, fit->average);
    result->epochs = ES_TAKE_ARRAY(arena, es_fit_epoch, fit->epoch_count);
    if (result->epochs == NULL)
        return es_arena_full(arena, "epochs", err);
    memcpy(result->epochs, fit->epochs, fit->epoch_count * sizeof *fit->epochs);
    result->epoch_count = fit->epoch_count;
    result->best = fit->best_at;
    result->seconds = fit->total_s + fit->epoch_s;
    result->steps = fit->step;
    result->backend = es_train_engine_backend(fit->engine);
    result->thread_count = es_train_engine_thread_count(fit->engine);
    return ES_OK;
}

static uint64_t hash_rows(const es_data_rows *rows)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; rows != NULL && i < rows->count; i++)
        hash = (hash ^ rows->items[i]) * UINT64_C(0x100000001b3);
    return hash;
}

es_status es_fit(es_arena *arena, es_nn *nn, const es_dataset *set, const es_data_rows *rows,
                 const es_data_rows *held, const es_fit_opts *opts, es_fit_result *out_result,
                 es_error *err)
{
    es_fit_result result = {0};
    ES_CLEANUP(es_arena_free_p) es_arena *own = es_arena_new(opts->engine.cap_bytes);
    if (own == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to train");
    es_fit_state fit = {.arena = own,
                        .nn = nn,
                        .set = set,
                        .held = held,
                        .row_count = rows != NULL ? rows->count : set->count,
                        .rows_hash = hash_rows(rows) ^ hash_rows(held),
                        .opts = opts};
    es_status status = begin(&fit, rows, err);
    if (status == ES_OK)
        status = loop(&fit, &result, err);
    if (status == ES_OK)
        status = finish(arena, &fit, &result, err);
    es_train_engine_free(fit.engine);
    if (status == ES_OK)
        *out_result = result;
    return status;
}
