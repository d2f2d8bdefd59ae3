/*
 * Samples of a dataset as the input of a session.
 */
#include "compress/internal.h"

#include <stdio.h>
#include <string.h>

enum { SHAPE_TEXT = 128 };

const char *const es_sample_order_names[ES_SAMPLE_ORDER_COUNT] = {"keep", "channels-last",
                                                                  "channels-first"};

size_t es_samples_count(const es_samples *samples)
{
    if (samples->dataset == NULL)
        return 0;
    return samples->rows != NULL ? samples->rows->count : samples->dataset->count;
}

/* The shape of one sample after turning. */
typedef struct shape {
    size_t rank;
    int64_t dims[ES_DATA_RANK_MAX];
} shape;

static shape sample_shape(const es_samples *samples)
{
    const es_data_array *x = &samples->dataset->x;
    shape s = {.rank = x->rank - 1};
    for (size_t i = 0; i < s.rank; i++)
        s.dims[i] = (int64_t)x->dims[i + 1];
    if (s.rank < 2 || samples->order == ES_SAMPLE_ORDER_KEEP)
        return s;
    shape turned = {.rank = s.rank};
    size_t step = samples->order == ES_SAMPLE_ORDER_CHANNELS_LAST ? 1 : s.rank - 1;
    for (size_t i = 0; i < s.rank; i++)
        turned.dims[i] = s.dims[(i + step) % s.rank];
    return turned;
}

/* "3 x 32 x 32", free dims as "?". */
static const char *shape_text(const int64_t *dims, size_t rank, char text[SHAPE_TEXT])
{
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rank && size < SHAPE_TEXT - 24; i++) {
        const char *cross = i > 0 ? " x " : "";
        if (dims[i] < 0)
            size += (size_t)snprintf(text + size, SHAPE_TEXT - size, "%s?", cross);
        else
            size += (size_t)snprintf(text + size, SHAPE_TEXT - size, "%s%lld", cross,
                                     (long long)dims[i]);
    }
    return text;
}

static bool fits_exactly(const es_port *port, const shape *s)
{
    bool fits = port->rank == s->rank + 1;
    for (size_t i = 0; fits && i < s->rank; i++)
        fits = port->dims[i + 1] < 0 || port->dims[i + 1] == s->dims[i];
    return fits;
}

/* The same sizes but for ones, in the same order: then the values are, too. */
static bool is_same_order(const es_port *port, const shape *s)
{
    size_t k = 0;
    for (size_t i = 1; i < port->rank; i++) {
        while (k < s->rank && s->dims[k] == 1)
            k++;
        if (port->dims[i] == 1)
            continue;
        if (k == s->rank || s->dims[k++] != port->dims[i])
            return false;
    }
    return true;
}

/* The same sizes in another order: who guesses wrong would get nonsense without an error. */
static bool is_permuted(const es_port *port, const shape *s)
{
    bool used[ES_DATA_RANK_MAX] = {false};
    if (port->rank != s->rank + 1 || is_same_order(port, s))
        return false;
    for (size_t i = 0; i < s->rank; i++) {
        size_t k = 0;
        while (k < s->rank && (used[k] || s->dims[k] != port->dims[i + 1]))
            k++;
        if (k == s->rank)
            return false;
        used[k] = true;
    }
    return true;
}

static es_status fit(const es_port *port, const es_samples *samples, es_tensor *out, es_error *err)
{
    char wanted[SHAPE_TEXT];
    char got[SHAPE_TEXT];
    shape s = sample_shape(samples);
    *out = es_port_tensor(port, 1);
    if (port->dtype != ES_DTYPE_F32)
        return es_fail(err, ES_ERR_UNSUPPORTED, "input '%s' takes %s; samples are floats (f32)",
                       port->name, es_dtype_name(port->dtype));
    bool batch = port->rank == 0 || port->dims[0] <= 1;
    if (batch && fits_exactly(port, &s)) {
        for (size_t i = 0; i < s.rank; i++)
            out->dims[i + 1] = s.dims[i];
        *out = es_tensor_make(ES_DTYPE_F32, out->dims, port->rank, NULL);
        return ES_OK;
    }
    (void)shape_text(port->dims, port->rank, wanted);
    (void)shape_text(s.dims, s.rank, got);
    if (is_permuted(port, &s))
        return es_fail(err, ES_ERR_ARG,
                       "input '%s' is %s, samples of '%s' are %s: the channels stand elsewhere, "
                       "turn them (order channels-last or channels-first)",
                       port->name, wanted, samples->dataset->name, got);
    if (es_tensor_count(out) != samples->dataset->size)
        return es_fail(err, ES_ERR_ARG, "input '%s' is %s, samples of '%s' are %s", port->name,
                       wanted, samples->dataset->name, got);
    return ES_OK;
}

es_status es_feed_init(es_arena *arena, const es_session *session, const es_samples *samples,
                       es_feed *out_feed, es_error *err)
{
    es_feed feed = {.samples = samples};
    size_t size = samples->dataset->size;
    if (es_session_input_count(session) != 1)
        return es_fail(err, ES_ERR_UNSUPPORTED, "the model has %zu inputs; one is supported",
                       es_session_input_count(session));
    ES_TRY(fit(es_session_input(session, 0), samples, &feed.input, err));
    if (samples->scaling.channel_count > 0 && size % samples->scaling.channel_count != 0)
        return es_fail(err, ES_ERR_ARG, "%zu values of a sample are no %zu channels", size,
                       samples->scaling.channel_count);
    feed.input.data = ES_TAKE_ARRAY(arena, float, size);
    feed.turned = ES_TAKE_ARRAY(arena, float, size);
    if (feed.input.data == NULL || feed.turned == NULL)
        return es_arena_full(arena, "input", err);
    *out_feed = feed;
    return ES_OK;
}

/* from [channels][places] to [places][channels]: a transposition. */
static void turn(const float *restrict from, float *restrict to, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            to[c * rows + r] = from[r * columns + c];
}

void es_feed_set(es_feed *feed, size_t index)
{
    const es_samples *samples = feed->samples;
    const es_data_array *x = &samples->dataset->x;
    size_t row = samples->rows != NULL ? samples->rows->items[index] : index;
    size_t size = samples->dataset->size;
    bool turns = samples->order != ES_SAMPLE_ORDER_KEEP && x->rank > 2;
    bool last = samples->order == ES_SAMPLE_ORDER_CHANNELS_LAST;
    float *input = feed->input.data;
    float *first = turns ? feed->turned : input;
    es_dataset_sample(samples->dataset, row, first);
    if (!turns || last) /* channels stand first here */
        es_scaling_apply(&samples->scaling, size, first);
    if (!turns)
        return;
    size_t channels = last ? x->dims[1] : x->dims[x->rank - 1];
    if (last) {
        turn(first, input, channels, size / channels);
    } else {
        turn(first, input, size / channels, channels);
        es_scaling_apply(&samples->scaling, size, input);
    }
}
