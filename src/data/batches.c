/* Scaling and batches. */
#include "data/internal.h"

#include <assert.h>
#include <math.h>

static size_t channels_of(const es_dataset *dataset)
{
    return dataset->x.rank >= 2 ? dataset->x.dims[1] : 1;
}

es_status es_scaling_fit(es_arena *arena, const es_dataset *dataset, const es_data_rows *rows,
                         es_scaling *out_scaling, es_error *err)
{
    size_t channels = channels_of(dataset);
    size_t inner = dataset->size / channels;
    size_t count = rows != NULL ? rows->count : dataset->count;
    float *mean = ES_TAKE_ARRAY(arena, float, channels);
    float *factor = ES_TAKE_ARRAY(arena, float, channels);
    float *sample = ES_TAKE_ARRAY(arena, float, dataset->size);
    double *average = ES_TAKE_ARRAY(arena, double, channels);
    double *squares = ES_TAKE_ARRAY(arena, double, channels); /* around the average so far */
    if (mean == NULL || factor == NULL || sample == NULL || average == NULL || squares == NULL)
        return es_arena_full(arena, "scaling", err);
    double seen = 0;
    for (size_t i = 0; i < count; i++) {
        es_dataset_sample(dataset, rows != NULL ? rows->items[i] : i, sample);
        for (size_t c = 0; c < channels; c++) {
            for (size_t k = 0; k < inner; k++) { /* Welford */
                double value = (double)sample[c * inner + k];
                double step = value - average[c];
                average[c] += step / (seen + (double)k + 1);
                squares[c] += step * (value - average[c]);
            }
        }
        seen += (double)inner;
    }
    for (size_t c = 0; c < channels; c++) {
        double deviation = seen > 0 ? sqrt(squares[c] / seen) : 0;
        mean[c] = (float)average[c];
        factor[c] = deviation > 1e-12 * fabs(average[c]) ? (float)(1 / deviation) : 1;
    }
    *out_scaling = (es_scaling){.channel_count = channels, .mean = mean, .factor = factor};
    return ES_OK;
}

void es_scaling_apply(const es_scaling *scaling, size_t sample_size, float *sample)
{
    if (scaling->channel_count == 0)
        return;
    size_t inner = sample_size / scaling->channel_count;
    assert(inner * scaling->channel_count == sample_size);
    for (size_t c = 0; c < scaling->channel_count; c++)
        for (size_t k = 0; k < inner; k++)
            sample[c * inner + k] = (sample[c * inner + k] - scaling->mean[c]) * scaling->factor[c];
}

es_data_batches_opts es_data_batches_opts_default(void)
{
    return (es_data_batches_opts){.batch = 32, .shuffle = true, .seed = 1};
}

es_status es_data_batches_init(es_arena *arena, const es_dataset *dataset, const es_data_rows *rows,
                               es_data_batches_opts opts, es_data_batches *out_batches,
                               es_error *err)
{
    size_t count = rows != NULL ? rows->count : dataset->count;
    if (opts.batch < 1)
        return es_fail(err, ES_ERR_ARG, "batch=0 must be >= 1");
    if (count == 0 || (opts.drop_last && count < opts.batch))
        return es_fail(err, ES_ERR_ARG, "'%s': %zu samples are less than a batch of %zu",
                       dataset->name, count, opts.batch);
    if (opts.scaling.channel_count > 0 && dataset->size % opts.scaling.channel_count != 0)
        return es_fail(err, ES_ERR_ARG, "'%s': scaling of %zu channels, samples of %zu values",
                       dataset->name, opts.scaling.channel_count, dataset->size);
    /* the first order is kept in front of the shuffled one, so that any epoch can be made */
    size_t *order = ES_TAKE_ARRAY(arena, size_t, 2 * count);
    if (order == NULL)
        return es_arena_full(arena, "order of batches", err);
    for (size_t i = 0; i < count; i++)
        order[i] = rows != NULL ? rows->items[i] : i;
    *out_batches =
        (es_data_batches){.dataset = dataset, .opts = opts, .order = order, .row_count = count};
    es_data_batches_seek(out_batches, 0);
    return ES_OK;
}

void es_data_batches_seek(es_data_batches *batches, uint64_t epoch)
{
    size_t count = batches->row_count;
    size_t *now = batches->order + count;
    for (size_t i = 0; i < count; i++)
        now[i] = batches->order[i];
    if (batches->opts.shuffle) {
        es_rng rng = es_rng_make(batches->opts.seed, epoch);
        es_rng_shuffle(&rng, now, count);
    }
    batches->epoch = epoch;
    batches->at = 0;
}

size_t es_data_batches_next(es_data_batches *batches, float *x, uint32_t *labels)
{
    const es_dataset *dataset = batches->dataset;
    size_t left = batches->row_count - batches->at;
    size_t count = left < batches->opts.batch ? left : batches->opts.batch;
    if (count == 0 || (batches->opts.drop_last && count < batches->opts.batch)) {
        es_data_batches_seek(batches, batches->epoch + 1);
        return 0;
    }
    const size_t *now = batches->order + batches->row_count + batches->at;
    for (size_t i = 0; i < count; i++) {
        if (x != NULL) {
            es_dataset_sample(dataset, now[i], x + i * dataset->size);
            es_scaling_apply(&batches->opts.scaling, dataset->size, x + i * dataset->size);
        }
        if (labels != NULL)
            labels[i] = dataset->labels != NULL ? dataset->labels[now[i]] : 0;
    }
    batches->at += count;
    return count;
}
