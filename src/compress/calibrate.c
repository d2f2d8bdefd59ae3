/*
 * One or two passes over the samples: extremes and means of channels, then histograms.
 */
#include "compress/internal.h"

#include <math.h>
#include <string.h>

typedef struct collector {
    es_calibration *to;
    const size_t *values; /* wanted -> value */
    const size_t *axes;   /* wanted -> axis of the channels, counted from behind; 0: no means */
    bool bins;            /* the second pass */
    uint64_t bad_count;   /* values that are NaN or infinite */
    size_t bad_wanted;
} collector;

static void add_means(const collector *c, size_t which, const es_tensor *tensor)
{
    size_t value = c->values[which];
    size_t axis = c->axes[which];
    if (axis == 0 || axis > tensor->rank)
        return;
    size_t channels = (size_t)tensor->dims[tensor->rank - axis];
    size_t inner = 1;
    for (size_t i = tensor->rank - axis + 1; i < tensor->rank; i++)
        inner *= (size_t)tensor->dims[i];
    if (channels != c->to->mean_counts[value] || inner == 0)
        return;
    const float *x = tensor->data;
    size_t outer = es_tensor_count(tensor) / channels / inner;
    double *means = c->to->means[value];
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < channels; k++) {
            double sum = 0;
            for (size_t i = 0; i < inner; i++)
                sum += (double)*x++;
            means[k] += sum / (double)(inner * outer);
        }
}

static void visit(void *context, size_t which, const es_tensor *tensor)
{
    collector *c = context;
    es_seen *seen = &c->to->seen[c->values[which]];
    size_t count = es_tensor_count(tensor);
    if (tensor->dtype != ES_DTYPE_F32)
        return;
    if (c->bins) {
        es_seen_bins(seen, tensor->data, count);
        return;
    }
    es_seen_extremes(seen, tensor->data, count);
    if (!isfinite(seen->reach) && count > 0) {
        c->bad_count++;
        c->bad_wanted = which;
    }
    add_means(c, which, tensor);
}

/* Channels of a layer's input: dimension 1 for convolutions, the last for products by matrices. */
static es_status want_means(es_arena *arena, const es_regions *r, size_t value, es_calibration *to,
                            size_t *out_axis, es_error *err)
{
    const es_wire *wire = &r->w->values[value];
    for (size_t i = 0; i < wire->use_count; i++) {
        es_region_kind kind = r->nodes[wire->uses[i].node].kind;
        if (wire->uses[i].input != 0 || !es_region_has_weights(kind) || wire->rank < 2)
            continue;
        *out_axis = kind == ES_REGION_CONV ? (size_t)wire->rank - 1 : 1;
        int64_t channels = wire->dims[(size_t)wire->rank - *out_axis];
        if (channels < 1)
            return ES_OK;
        to->mean_counts[value] = (size_t)channels;
        to->means[value] = ES_TAKE_ARRAY(arena, double, (size_t)channels);
        return to->means[value] != NULL ? ES_OK : es_arena_full(arena, "means", err);
    }
    return ES_OK;
}

static es_status prepare(es_arena *arena, const es_regions *r, bool bins, es_calibration *to,
                         const char **names, size_t *values, size_t *axes, es_error *err)
{
    size_t at = 0;
    for (size_t v = 0; v < r->w->value_count; v++) {
        if (!r->values[v].coded)
            continue;
        to->seen[v] = (es_seen){.low = INFINITY, .high = -INFINITY};
        if (bins) {
            to->seen[v].negative = ES_TAKE_ARRAY(arena, uint64_t, ES_HISTOGRAM_BINS);
            to->seen[v].positive = ES_TAKE_ARRAY(arena, uint64_t, ES_HISTOGRAM_BINS);
            if (to->seen[v].negative == NULL || to->seen[v].positive == NULL)
                return es_arena_full(arena, "histograms", err);
        }
        names[at] = r->w->values[v].name;
        values[at] = v;
        ES_TRY(want_means(arena, r, v, to, &axes[at], err));
        at++;
    }
    return ES_OK;
}

es_status es_calibrate_values(const es_compress_job *job, es_arena *arena, es_arena *scratch,
                              const es_regions *r, const es_samples *samples, size_t count,
                              bool bins, es_calibration *out, es_error *err)
{
    size_t all = r->w->value_count;
    es_calibration to = {.seen = ES_TAKE_ARRAY(arena, es_seen, all),
                         .means = ES_TAKE_ARRAY(arena, double *, all),
                         .mean_counts = ES_TAKE_ARRAY(arena, size_t, all)};
    const char **names = ES_TAKE_ARRAY(arena, const char *, r->coded_count);
    size_t *values = ES_TAKE_ARRAY(arena, size_t, r->coded_count);
    size_t *axes = ES_TAKE_ARRAY(arena, size_t, r->coded_count);
    if (to.seen == NULL || to.means == NULL || to.mean_counts == NULL || names == NULL ||
        values == NULL || axes == NULL)
        return es_arena_full(arena, "calibration", err);
    ES_TRY(prepare(arena, r, bins, &to, names, values, axes, err));
    collector c = {.to = &to, .values = values, .axes = axes};
    es_probe_visit see = {.value = visit, .context = &c};
    ES_TRY(es_probe_all(job, scratch, r->w->model, samples, count, names, r->coded_count, see,
                        "ranges", err));
    if (c.bad_count > 0)
        return es_fail(err, ES_ERR_ARG,
                       "'%s' becomes NaN or infinite on the calibration samples: are they scaled "
                       "as the model wants them?",
                       names[c.bad_wanted]);
    for (size_t v = 0; v < all; v++)
        for (size_t k = 0; k < to.mean_counts[v]; k++)
            to.means[v][k] /= (double)count;
    c.bins = true;
    if (bins)
        ES_TRY(es_probe_all(job, scratch, r->w->model, samples, count, names, r->coded_count, see,
                            "histograms", err));
    *out = to;
    return ES_OK;
}
