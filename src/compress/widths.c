/*
 * Nets of several widths that hang on one master: each takes the first channels of every group, its
 * values from the master, and gives its gradients back.
 */
#include "compress/learn.h"

#include <assert.h>
#include <math.h>
#include <string.h>

size_t es_width_channels(size_t channels, double width, size_t multiple)
{
    size_t step = es_prune_multiple(multiple, channels);
    size_t count = (size_t)(width * (double)channels / (double)step + 0.5) * step;
    count = count > step ? count : step;
    return count < channels ? count : channels;
}

/* ---- making ---- */

static es_status number_params(es_arena *arena, const es_nn *nn, const size_t **out, es_error *err)
{
    size_t *first = ES_TAKE_ARRAY(arena, size_t, nn->layers.count);
    size_t next = 0;
    if (first == NULL)
        return es_arena_full(arena, "width", err);
    for (size_t i = 0; i < nn->layers.count; i++) {
        first[i] = next;
        next += nn->layers.items[i].param_count;
    }
    *out = first;
    return ES_OK;
}

es_status es_width_make(es_arena *arena, const es_nn *master, const es_nn_groups *groups,
                        double width, size_t multiple, es_width *out_width, es_error *err)
{
    es_width made = {.width = width};
    bool **keep = ES_TAKE_ARRAY(arena, bool *, groups->count);
    made.channels = ES_TAKE_ARRAY(arena, size_t, groups->count);
    if (keep == NULL || made.channels == NULL)
        return es_arena_full(arena, "width", err);
    for (size_t g = 0; g < groups->count; g++) {
        size_t channels = groups->items[g].channels;
        made.channels[g] = channels;
        if (groups->items[g].fixed)
            continue;
        keep[g] = ES_TAKE_ARRAY(arena, bool, channels);
        if (keep[g] == NULL)
            return es_arena_full(arena, "width", err);
        made.channels[g] = es_width_channels(channels, width, multiple);
        for (size_t c = 0; c < made.channels[g]; c++)
            keep[g][c] = true;
    }
    ES_TRY(
        es_nn_keep(arena, master, groups, (const bool *const *)keep, &made.nn, &made.origin, err));
    ES_TRY(number_params(arena, made.nn, &made.first, err));
    *out_width = made;
    return ES_OK;
}

/* ---- values down, gradients up ---- */

static bool is_shared(es_nn_role role)
{
    return role == ES_NN_WEIGHT || role == ES_NN_RECURRENT || role == ES_NN_BIAS ||
           role == ES_NN_GAMMA || role == ES_NN_BETA;
}

void es_width_pull(const es_width *width, const es_nn *master)
{
    for (size_t i = 0; i < width->nn->layers.count; i++) {
        const es_nn_layer *to = &width->nn->layers.items[i];
        for (size_t p = 0; p < to->param_count; p++) {
            const uint32_t *restrict places = width->origin.places[width->first[i] + p];
            const float *restrict from = master->layers.items[i].params[p].values;
            float *restrict values = to->params[p].values;
            for (size_t k = 0; is_shared(to->params[p].role) && k < to->params[p].count; k++)
                values[k] = from[places[k]];
        }
    }
}

void es_width_push(const es_width *width, const es_train_params *gradients,
                   const es_train_params *master)
{
    assert(gradients->count == master->count);
    for (size_t i = 0; i < gradients->count; i++) {
        const es_train_param *from = &gradients->items[i];
        assert(from->layer.index == master->items[i].layer.index);
        const uint32_t *restrict places =
            width->origin.places[width->first[from->layer.index] + from->param];
        float *restrict to = master->items[i].gradient;
        for (size_t k = 0; k < from->count; k++)
            to[places[k]] += from->gradient[k];
    }
}

/* ---- order ---- */

/* Channel c's values along the slice become those of channel order[c]. */
static void sort_slice(es_nn_param *param, const es_nn_slice *slice, const uint32_t *order,
                       size_t channels, float *copy)
{
    size_t outer = 1;
    size_t inner = 1;
    size_t size = param->dims[slice->axis];
    for (size_t i = 0; i < slice->axis; i++)
        outer *= param->dims[i];
    for (size_t i = slice->axis + 1; i < param->rank; i++)
        inner *= param->dims[i];
    memcpy(copy, param->values, param->count * sizeof *copy);
    for (size_t o = 0; o < outer; o++) {
        for (size_t c = 0; c < channels; c++) {
            size_t to = o * size + slice->first + c * slice->stride;
            size_t from = o * size + slice->first + order[c] * slice->stride;
            memcpy(param->values + to * inner, copy + from * inner,
                   slice->span * inner * sizeof *copy);
        }
    }
}

es_status es_width_sort(es_arena *scratch, es_nn *nn, const es_nn_groups *groups,
                        uint32_t *const *order, es_error *err)
{
    size_t most = 0;
    for (size_t i = 0; i < nn->layers.count; i++)
        for (size_t p = 0; p < nn->layers.items[i].param_count; p++)
            most = nn->layers.items[i].params[p].count > most ? nn->layers.items[i].params[p].count
                                                              : most;
    float *copy = ES_TAKE_ARRAY(scratch, float, most);
    if (copy == NULL)
        return es_arena_full(scratch, "copy of a parameter", err);
    for (size_t g = 0; g < groups->count; g++) {
        const es_nn_group *group = &groups->items[g];
        for (size_t i = 0; order[g] != NULL && i < group->slice_count; i++) {
            const es_nn_slice *slice = &group->slices[i];
            sort_slice(&nn->layers.items[slice->layer.index].params[slice->param], slice, order[g],
                       group->channels, copy);
        }
    }
    return ES_OK;
}

es_status es_width_rank(es_learner *learner, es_nn *nn, const es_nn_groups *groups,
                        es_prune_criterion criterion, size_t batch_count, es_error *err)
{
    es_prune_order order;
    double **scores = ES_TAKE_ARRAY(learner->arena, double *, groups->count);
    if (scores == NULL)
        return es_arena_full(learner->arena, "importance", err);
    ES_TRY(es_importance(learner, nn, groups, criterion, batch_count, scores, err));
    ES_TRY(es_prune_order_make(learner->arena, groups, (const double *const *)scores,
                               (es_prune_order_opts){.multiple = 1}, &order, err));
    for (size_t g = 0; g < groups->count; g++) { /* the most important first */
        uint32_t *ranks = order.ranks[g];
        for (size_t i = 0, k = groups->items[g].channels - 1; ranks != NULL && i < k; i++, k--) {
            uint32_t rank = ranks[i];
            ranks[i] = ranks[k];
            ranks[k] = rank;
        }
    }
    es_arena_reset(learner->scratch);
    return es_width_sort(learner->scratch, nn, groups, order.ranks, err);
}
