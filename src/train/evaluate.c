/* Outputs, loss and accuracy over a dataset; running statistics over batches. */
#include "train/fit.h"

#include <math.h>

const char *const es_fit_loss_names[ES_FIT_LOSS_COUNT] = {
    [ES_FIT_CROSS_ENTROPY] = "cross-entropy", [ES_FIT_SQUARES] = "squares"};

/* Whether the loss of an output means anything. */
static bool counts(const es_train_engine *engine, const es_dataset *set, es_fit_loss loss, size_t k)
{
    if (loss == ES_FIT_SQUARES)
        return k + 1 == engine->graph.output_count;
    return set->labels != NULL && es_fit_is_scores(engine, k);
}

static void count_batch(const es_train_engine *engine, const float *x, const uint32_t *labels,
                        size_t samples, es_fit_loss loss, size_t k, float *scratch,
                        es_evaluation *sums)
{
    size_t size = engine->output_shapes[k].count;
    double weight = (double)samples;
    if (loss == ES_FIT_SQUARES) {
        sums->loss[k] +=
            es_loss_squares(engine->outputs[k], es_train_scaled(engine->nn, x, samples, scratch),
                            samples, size, weight, NULL);
        return;
    }
    sums->loss[k] +=
        es_loss_cross_entropy(engine->outputs[k], labels, samples, size, 0, weight, NULL);
    sums->accuracy[k] += (double)es_loss_right(engine->outputs[k], labels, samples, size);
}

static void finish(const es_train_engine *engine, const es_dataset *set, es_fit_loss loss,
                   es_evaluation *sums)
{
    for (size_t k = 0; k < engine->graph.output_count; k++) {
        bool known = counts(engine, set, loss, k);
        bool right = known && loss == ES_FIT_CROSS_ENTROPY;
        sums->loss[k] = known ? sums->loss[k] / (double)sums->count : (double)NAN;
        sums->accuracy[k] = right ? sums->accuracy[k] / (double)sums->count : (double)NAN;
    }
}

es_status es_train_evaluate(es_train_engine *engine, const es_dataset *set,
                            const es_data_rows *rows, es_fit_loss loss, es_evaluation *out,
                            float *const *outputs, es_error *err)
{
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(engine->opts.cap_bytes);
    es_data_batches batches;
    es_data_batches_opts opts = es_data_batches_opts_default();
    es_evaluation sums = {0};
    if (arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to evaluate");
    ES_TRY(es_fit_check_input(engine, set, err));
    if (counts(engine, set, loss, engine->graph.output_count - 1))
        ES_TRY(es_fit_check(engine, set, rows, loss, true, err));
    opts.batch = engine->opts.batch;
    opts.shuffle = false;
    ES_TRY(es_data_batches_init(arena, set, rows, opts, &batches, err));
    float *x = ES_TAKE_ARRAY(arena, float, opts.batch * set->size);
    float *scratch = ES_TAKE_ARRAY(arena, float, opts.batch * set->size);
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, opts.batch);
    if (x == NULL || scratch == NULL || labels == NULL)
        return es_arena_full(arena, "a batch", err);
    for (size_t n = 0; (n = es_data_batches_next(&batches, x, labels)) > 0;) {
        ES_TRY(es_train_forward(engine, x, n, ES_TRAIN_INFER, err));
        for (size_t k = 0; k < engine->graph.output_count; k++) {
            if (counts(engine, set, loss, k))
                count_batch(engine, x, labels, n, loss, k, scratch, &sums);
            if (outputs != NULL && outputs[k] != NULL)
                memcpy(outputs[k] + sums.count * engine->output_shapes[k].count, engine->outputs[k],
                       n * engine->output_shapes[k].count * sizeof(float));
        }
        sums.count += n;
    }
    finish(engine, set, loss, &sums);
    *out = sums;
    return ES_OK;
}

es_status es_train_statistics_reset(es_train_engine *engine, es_data_batches *batches, size_t count,
                                    es_error *err)
{
    es_nn *nn = engine->nn;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(engine->opts.cap_bytes);
    float *x = arena != NULL
                   ? ES_TAKE_ARRAY(arena, float, batches->opts.batch * batches->dataset->size)
                   : NULL;
    double *momenta = x != NULL ? ES_TAKE_ARRAY(arena, double, nn->layers.count) : NULL;
    es_status status = ES_OK;
    if (momenta == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a batch");
    for (size_t i = 0; i < nn->layers.count; i++)
        momenta[i] = nn->layers.items[i].momentum;
    es_data_batches_seek(batches, batches->epoch);
    for (size_t b = 0; b < count && status == ES_OK; b++) {
        size_t n = es_data_batches_next(batches, x, NULL);
        if (n == 0)
            break; /* the epoch is over */
        for (size_t i = 0; i < nn->layers.count; i++)
            nn->layers.items[i].momentum = (double)b / (double)(b + 1);
        status = es_train_forward(engine, x, n, ES_TRAIN_STATISTICS, err);
    }
    for (size_t i = 0; i < nn->layers.count; i++)
        nn->layers.items[i].momentum = momenta[i];
    return status;
}
