/*
 * A neck: an encoder to few channels at fewer places, 8 bits of each, and a decoder. In closed
 * form: with z = E x, E taken over squares of s x s places, and D z the same at each of them, the
 * least sum of squares |x - D z|^2 is that of the principal axes of the squares' means. Codes are
 * scaled to variance 1, so that one scale of 8 bits fits all.
 */
#include "compress/neck.h"

#include <math.h>
#include <string.h>

enum { RANGE_CUT = 2000 /* of so many codes one may lie beyond either end */ };

/* ---- what the place gives ---- */

static es_status open_part(es_learner *l, const es_nn *nn, es_nn_id at, es_train_engine **out,
                           es_error *err)
{
    es_nn *head = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = (size_t)l->opts.batch;
    opts.thread_count = (uint32_t)l->opts.threads;
    opts.gradients = false;
    opts.logits = false;
    ES_TRY(es_nn_part(l->scratch, nn, (es_nn_id){0}, at, &head, err));
    return es_train_engine_new(head, opts, out, err);
}

typedef es_status (*visit)(void *context, const float *values, size_t samples, es_error *err);

/* What layer `at` gives for the first samples to learn from, batch by batch. */
static es_status look(es_learner *l, const es_nn *nn, es_nn_id at, size_t limit, visit each,
                      void *context, es_error *err)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    size_t all = l->rows != NULL ? l->rows->count : l->set.count;
    size_t batch = (size_t)l->opts.batch;
    size_t count = limit < all ? limit : all;
    ES_TRY(open_part(l, nn, at, &engine, err));
    float *x = ES_TAKE_ARRAY(l->scratch, float, batch * l->set.size);
    if (x == NULL)
        return es_arena_full(l->scratch, "a batch", err);
    for (size_t first = 0; first < count; first += batch) {
        size_t samples = count - first < batch ? count - first : batch;
        for (size_t i = 0; i < samples; i++)
            es_dataset_sample(&l->set, l->rows != NULL ? l->rows->items[first + i] : first + i,
                              x + i * l->set.size);
        ES_TRY(es_train_forward(engine, x, samples, ES_TRAIN_INFER, err));
        ES_TRY(each(context, es_train_output(engine, 0), samples, err));
        ES_TRY(es_job_go_on(l->job, err));
    }
    return ES_OK;
}

/* ---- means over squares, and their axes ---- */

typedef struct squares {
    es_nn_shape shape;
    size_t stride, rows, columns; /* of the squares; series have one row */
    es_pca *pca;
    double *vector;
    double total;    /* sum over values of x^2 */
    double first;    /* sum of (mean of a square)^2 times its places: what means keep */
    double *channel; /* [channels] sums of x */
    uint64_t places; /* seen */
} squares;

static es_status add_squares(void *context, const float *values, size_t samples, es_error *err)
{
    squares *s = context;
    size_t channels = s->shape.dims[0];
    size_t height = s->shape.rank == 3 ? s->shape.dims[1] : 1;
    size_t width = s->shape.count / channels / height;
    size_t down = s->shape.rank == 3 ? s->stride : 1;
    double share = 1.0 / (double)(down * (s->shape.rank > 1 ? s->stride : 1));
    (void)err;
    for (size_t i = 0; i < samples * s->rows * s->columns; i++) {
        size_t sample = i / (s->rows * s->columns);
        size_t row = i / s->columns % s->rows;
        size_t column = i % s->columns;
        for (size_t c = 0; c < channels; c++) {
            const float *plane = values + (sample * channels + c) * height * width;
            double sum = 0;
            for (size_t y = row * down; y < (row + 1) * down; y++)
                for (size_t x = column * (width / s->columns);
                     x < (column + 1) * (width / s->columns); x++) {
                    sum += (double)plane[y * width + x];
                    s->total += (double)plane[y * width + x] * (double)plane[y * width + x];
                }
            s->channel[c] += sum;
            s->vector[c] = sum * share;
            s->first += s->vector[c] * s->vector[c] / share;
        }
        es_pca_add(s->pca, s->vector);
        s->places += (uint64_t)(1 / share + 0.5);
    }
    return ES_OK;
}

/* Share of the variance of all values that the neck keeps. */
static double kept_share(const squares *s, size_t channels)
{
    double mean_square = 0;
    double kept = 0;
    double of_means = 0;
    for (size_t c = 0; c < s->shape.dims[0]; c++) {
        double mean = s->channel[c] / (double)s->places;
        mean_square += mean * mean * (double)s->places;
        of_means += s->pca->values[c];
        kept += c < channels ? s->pca->values[c] : 0;
    }
    double variance = s->total - mean_square;
    double between = s->first - mean_square; /* of squares' means, counted at each place */
    if (!(variance > 0) || !(of_means > 0))
        return 1;
    return between / variance * (kept / of_means);
}

es_status es_neck_fit(es_learner *learner, const es_nn *nn, es_neck_size size, size_t samples,
                      es_neck_axes *out_axes, es_error *err)
{
    es_nn_shape shape = nn->layers.items[size.at.index].shape;
    squares s = {.shape = shape, .stride = size.stride, .pca = &out_axes->pca};
    s.rows = shape.rank == 3 ? shape.dims[1] / size.stride : 1;
    s.columns = shape.rank > 1 ? shape.dims[shape.rank - 1] / size.stride : 1;
    *out_axes = (es_neck_axes){.size = size};
    ES_TRY(es_pca_init(learner->arena, shape.dims[0], &out_axes->pca, err));
    es_arena_reset(learner->scratch);
    s.vector = ES_TAKE_ARRAY(learner->arena, double, shape.dims[0]);
    s.channel = ES_TAKE_ARRAY(learner->arena, double, shape.dims[0]);
    if (s.vector == NULL || s.channel == NULL)
        return es_arena_full(learner->arena, "principal axes", err);
    ES_TRY(look(learner, nn, size.at, samples, add_squares, &s, err));
    es_pca_solve(&out_axes->pca);
    out_axes->kept = kept_share(&s, size.channels);
    return ES_OK;
}

/* ---- layers ---- */

typedef struct maker {
    es_nn *nn;
    es_nn_id at;
    es_status status;
    es_error *err;
} maker;

static es_nn_layer *add(maker *m, es_nn_layer layer, size_t units, bool bias)
{
    static es_nn_layer none; /* of a failed step; nobody reads it */
    if (m->status != ES_OK)
        return &none;
    layer.input_count = 1;
    layer.inputs[0] = m->at;
    m->status = es_nn_add(m->nn, &layer, units, bias, &m->at, m->err);
    return m->status == ES_OK ? &m->nn->layers.items[m->at.index] : &none;
}

static void set_windows(es_nn_layer *layer, size_t rank, size_t kernel, size_t stride, size_t pad)
{
    for (size_t i = 0; i + 1 < rank; i++) {
        layer->window.kernel[i] = kernel;
        layer->window.stride[i] = stride;
        layer->window.pad_before[i] = layer->window.pad_after[i] = pad;
    }
}

static float *values_of(es_nn_layer *layer, es_nn_role role)
{
    return es_nn_param_of(layer, role)->values;
}

/* Each code: (axis . mean over the square - axis . mean) / deviation. */
static void add_encoder(maker *m, const es_neck_axes *axes)
{
    const es_pca *pca = &axes->pca;
    size_t rank = m->nn->layers.items[0].shape.rank;
    es_nn_layer layer = {.kind = rank > 1 ? ES_NN_CONV : ES_NN_DENSE, .name = "code"};
    set_windows(&layer, rank, axes->size.stride, axes->size.stride, 0);
    es_nn_layer *made = add(m, layer, axes->size.channels, true);
    if (m->status != ES_OK)
        return;
    es_nn_param *weight = es_nn_param_of(made, ES_NN_WEIGHT);
    float *bias = values_of(made, ES_NN_BIAS);
    size_t places = weight->count / weight->dims[0] / pca->size;
    for (size_t k = 0; k < axes->size.channels; k++) {
        double scale = 1 / sqrt(fmax(pca->values[k], 1e-12));
        double shift = 0;
        for (size_t c = 0; c < pca->size; c++) {
            double entry = pca->axes[k * pca->size + c] * scale;
            shift += entry * pca->mean[c];
            for (size_t p = 0; p < places; p++)
                weight->values[(k * pca->size + c) * places + p] = (float)(entry / (double)places);
        }
        bias[k] = (float)-shift;
    }
}

static void add_bytes(maker *m)
{
    (void)add(m, (es_nn_layer){.kind = ES_NN_QUANTISE, .name = "payload"}, 0, false);
}

/* mean + sum over codes of axis * deviation * code */
static void add_decoder(maker *m, const es_neck_axes *axes)
{
    const es_pca *pca = &axes->pca;
    size_t rank = m->nn->layers.items[0].shape.rank;
    es_nn_layer layer = {.kind = rank > 1 ? ES_NN_CONV : ES_NN_DENSE, .name = "decode"};
    set_windows(&layer, rank, 1, 1, 0);
    es_nn_layer *made = add(m, layer, pca->size, true);
    if (m->status != ES_OK)
        return;
    float *weight = values_of(made, ES_NN_WEIGHT);
    float *bias = values_of(made, ES_NN_BIAS);
    for (size_t c = 0; c < pca->size; c++) {
        for (size_t k = 0; k < axes->size.channels; k++)
            weight[c * axes->size.channels + k] =
                (float)(pca->axes[k * pca->size + c] * sqrt(pca->values[k]));
        bias[c] = (float)pca->mean[c];
    }
    es_nn_layer up = {.kind = ES_NN_UPSAMPLE, .name = "spread"};
    for (size_t i = 0; i + 1 < rank; i++)
        up.window.stride[i] = axes->size.stride;
    if (rank > 1 && axes->size.stride > 1)
        (void)add(m, up, 0, false);
}

/* Layers of kernel 3 that begin as doing nothing: rectifiers change nothing that is positive. */
static void add_refinement(maker *m, const char *stem, size_t count, bool positive)
{
    for (size_t i = 0; i < count; i++) {
        char name[32];
        size_t rank = m->nn->layers.items[0].shape.rank;
        es_nn_layer layer = {.kind = rank > 1 ? ES_NN_CONV : ES_NN_DENSE, .name = name};
        (void)snprintf(name, sizeof name, "%s-%zu", stem, i + 1);
        set_windows(&layer, rank, 3, 1, 1);
        size_t channels = m->nn->layers.items[0].shape.dims[0];
        es_nn_layer *made = add(m, layer, channels, true);
        if (m->status != ES_OK)
            return;
        es_nn_param *weight = es_nn_param_of(made, ES_NN_WEIGHT);
        size_t places = weight->count / channels / channels;
        for (size_t c = 0; c < channels; c++)
            weight->values[(c * channels + c) * places + places / 2] = 1;
        if (positive)
            (void)add(m, (es_nn_layer){.kind = ES_NN_RELU}, 0, false);
    }
}

/* Whether a layer gives nothing below 0. */
static bool is_positive(const es_nn *nn, es_nn_id at)
{
    for (size_t i = 0; i < nn->layers.count; i++) {
        const es_nn_layer *layer = &nn->layers.items[at.index];
        switch ((int)layer->kind) {
        case ES_NN_RELU:
        case ES_NN_RELU6:
        case ES_NN_SIGMOID:
        case ES_NN_SOFTMAX:
            return true;
        case ES_NN_MAX_POOL:
        case ES_NN_AVERAGE_POOL:
        case ES_NN_GLOBAL_POOL:
        case ES_NN_FLATTEN:
        case ES_NN_UPSAMPLE:
        case ES_NN_DROPOUT:
        case ES_NN_LAST:
            at = layer->inputs[0];
            break;
        default:
            return false;
        }
    }
    return false;
}

es_status es_neck_insert(es_nn *nn, const es_neck_axes *axes, es_neck_layers layers,
                         const char **out_last, es_error *err)
{
    es_nn_id at = axes->size.at;
    es_nn *neck = NULL;
    es_nn_id last = ES_NN_NONE;
    ES_TRY(es_nn_new(nn->arena, "neck", "neck-in", nn->layers.items[at.index].shape, &neck, err));
    maker m = {.nn = neck, .at = {0}, .status = ES_OK, .err = err};
    bool positive = is_positive(nn, at);
    add_refinement(&m, "before", positive ? layers.before : 0, true);
    add_encoder(&m, axes);
    add_bytes(&m);
    add_decoder(&m, axes);
    if (positive && layers.behind == 0)
        (void)add(&m, (es_nn_layer){.kind = ES_NN_RELU}, 0, false);
    add_refinement(&m, "behind", layers.behind, positive);
    ES_TRY(m.status);
    ES_TRY(es_nn_output_add(neck, NULL, m.at, err));
    ES_TRY(es_nn_attach(nn, at, neck, ES_NECK_PREFIX, &last, err));
    ES_TRY(es_nn_replace(nn, at, last, err));
    *out_last = nn->layers.items[last.index].name;
    return es_nn_seal(nn, err);
}

/* ---- range of the 8 bits ---- */

typedef struct range {
    float *values;
    size_t count, size; /* collected; of one sample */
} range;

static es_status collect(void *context, const float *values, size_t samples, es_error *err)
{
    range *r = context;
    (void)err;
    memcpy(r->values + r->count, values, samples * r->size * sizeof *values);
    r->count += samples * r->size;
    return ES_OK;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

es_status es_neck_range(es_learner *learner, es_nn *nn, size_t samples, es_error *err)
{
    es_nn_id code = es_nn_find(nn, ES_NECK_PREFIX "code");
    es_nn_layer *payload = &nn->layers.items[es_nn_find(nn, ES_NECK_PAYLOAD).index];
    range r = {.size = nn->layers.items[code.index].shape.count};
    size_t all = learner->rows != NULL ? learner->rows->count : learner->set.count;
    size_t count = samples < all ? samples : all;
    es_arena_reset(learner->scratch);
    r.values = ES_TAKE_ARRAY(learner->scratch, float, count *r.size);
    if (r.values == NULL)
        return es_arena_full(learner->scratch, "codes", err);
    ES_TRY(look(learner, nn, code, count, collect, &r, err));
    qsort(r.values, r.count, sizeof *r.values, by_value);
    size_t cut = r.count / RANGE_CUT;
    double low = fmin((double)r.values[cut], 0);
    double high = fmax((double)r.values[r.count - 1 - cut], low + 1e-6);
    double factor = (high - low) / 255;
    values_of(payload, ES_NN_FACTOR)[0] = (float)factor;
    values_of(payload, ES_NN_OFFSET)[0] = (float)fmin(fmax(round(-low / factor), 0), 255);
    return ES_OK;
}
