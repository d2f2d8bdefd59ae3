/* What is wrong with a dataset for a net, and with options, before any time is spent. */
#include "train/fit.h"

#include <math.h>

bool es_fit_is_scores(const es_train_engine *engine, size_t output)
{
    const es_nn_shape last = engine->output_shapes[engine->graph.output_count - 1];
    const es_nn_shape shape = engine->output_shapes[output];
    return shape.rank == 1 && last.rank == 1 && shape.count == last.count;
}

es_status es_fit_check_input(const es_train_engine *engine, const es_dataset *set, es_error *err)
{
    const es_nn_shape in = engine->nn->layers.items[0].shape;
    char text[ES_NN_SHAPE_TEXT];
    if (set->size != in.count)
        return es_fail(err, ES_ERR_ARG, "'%s' has samples of %zu values, net '%s' takes %s",
                       set->name, set->size, engine->nn->name, es_nn_shape_text(in, text));
    return ES_OK;
}

static es_status check_shapes(const es_train_engine *engine, const es_dataset *set,
                              es_fit_loss loss, es_error *err)
{
    const es_nn_shape out = engine->output_shapes[engine->graph.output_count - 1];
    char text[ES_NN_SHAPE_TEXT];
    ES_TRY(es_fit_check_input(engine, set, err));
    if (loss == ES_FIT_SQUARES && out.count != set->size)
        return es_fail(err, ES_ERR_ARG,
                       "net '%s' gives %zu values, to be compared with its input of %zu",
                       engine->nn->name, out.count, set->size);
    if (loss == ES_FIT_CROSS_ENTROPY && set->labels == NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' has no labels", set->name);
    if (loss == ES_FIT_CROSS_ENTROPY && (out.rank != 1 || out.count < 2))
        return es_fail(err, ES_ERR_ARG,
                       "net '%s' gives %s, expected 2 or more scores, one for each class",
                       engine->nn->name, es_nn_shape_text(out, text));
    return ES_OK;
}

static es_status check_labels(const es_train_engine *engine, const es_dataset *set,
                              const es_data_rows *rows, bool allow_empty, es_error *err)
{
    size_t classes = engine->output_shapes[engine->graph.output_count - 1].count;
    size_t count = rows != NULL ? rows->count : set->count;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(classes * sizeof(size_t) + 4096);
    size_t *counts = arena != NULL ? ES_TAKE_ARRAY(arena, size_t, classes) : NULL;
    if (counts == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory to count %zu classes", classes);
    for (size_t i = 0; i < count; i++) {
        size_t row = rows != NULL ? rows->items[i] : i;
        if (set->labels[row] >= classes)
            return es_fail(err, ES_ERR_ARG,
                           "'%s': label %u of sample %zu, but net '%s' has %zu classes (0 to %zu)",
                           set->name, set->labels[row], row + 1, engine->nn->name, classes,
                           classes - 1);
        counts[set->labels[row]]++;
    }
    for (size_t c = 0; !allow_empty && c < classes; c++)
        if (counts[c] == 0)
            return es_fail(
                err, ES_ERR_ARG,
                "'%s': class %zu has no sample among the %zu to learn from, but net '%s' "
                "has classes 0 to %zu; where that is meant, allow empty classes",
                set->name, c, count, engine->nn->name, classes - 1);
    return ES_OK;
}

es_status es_fit_check(const es_train_engine *engine, const es_dataset *set,
                       const es_data_rows *rows, es_fit_loss loss, bool allow_empty, es_error *err)
{
    ES_TRY(check_shapes(engine, set, loss, err));
    return loss == ES_FIT_CROSS_ENTROPY ? check_labels(engine, set, rows, allow_empty, err) : ES_OK;
}

es_status es_fit_check_opts(const es_fit_opts *opts, es_error *err)
{
    const es_rate_opts *rate = &opts->rate;
    const es_augment_opts *augment = &opts->augment;
    if (opts->epoch_count < 1 || opts->batch < 1)
        return es_fail(err, ES_ERR_ARG, "epoch_count=%u and batch=%zu must be >= 1",
                       opts->epoch_count, opts->batch);
    if (!(opts->label_smoothing >= 0 && opts->label_smoothing < 1))
        return es_fail(err, ES_ERR_ARG, "label_smoothing=%g must be in 0..1",
                       opts->label_smoothing);
    if (!(opts->average >= 0 && opts->average < 1))
        return es_fail(err, ES_ERR_ARG, "average=%g must be in 0..1", opts->average);
    if (!(rate->rate > 0 && isfinite(rate->rate)))
        return es_fail(err, ES_ERR_ARG, "rate=%g must be > 0", rate->rate);
    if (!(rate->warm_up >= 0 && rate->warm_up <= 1 && rate->last >= 0))
        return es_fail(err, ES_ERR_ARG, "warm_up=%g must be in 0..1 and last=%g >= 0",
                       rate->warm_up, rate->last);
    if (!(augment->stretch >= 0 && augment->noise >= 0 && augment->mixup >= 0))
        return es_fail(err, ES_ERR_ARG, "stretch=%g, noise=%g and mixup=%g must be >= 0",
                       augment->stretch, augment->noise, augment->mixup);
    if (opts->resume && opts->checkpoint == NULL)
        return es_fail(err, ES_ERR_ARG, "resume needs a checkpoint");
    return ES_OK;
}
