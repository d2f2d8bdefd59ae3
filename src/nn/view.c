/*
 * Views: how the dimensions of an ONNX value are made of a layer's axes.
 */
#include "nn/read.h"

static void take(es_nn_dim *part, uint8_t axis, const es_nn_shape *shape)
{
    if (axis == ES_NN_BATCH_AXIS || shape->dims[axis] != 1)
        part->axes[part->count++] = axis;
}

es_nn_view es_nn_view_plain(es_nn_id layer, es_nn_shape shape)
{
    es_nn_view view = {.layer = layer, .rank = shape.rank + 1};
    take(&view.parts[0], ES_NN_BATCH_AXIS, &shape);
    for (size_t i = 0; i < shape.rank; i++)
        take(&view.parts[i + 1], (uint8_t)i, &shape);
    return view;
}

es_nn_view es_nn_view_last(es_nn_id layer, es_nn_shape shape)
{
    es_nn_view view = {.layer = layer, .rank = shape.rank + 1};
    take(&view.parts[0], ES_NN_BATCH_AXIS, &shape);
    for (size_t i = 1; i < shape.rank; i++)
        take(&view.parts[i], (uint8_t)i, &shape);
    take(&view.parts[shape.rank], 0, &shape);
    return view;
}

static bool part_same(const es_nn_dim *a, const es_nn_dim *b)
{
    return a->count == b->count && memcmp(a->axes, b->axes, a->count) == 0;
}

bool es_nn_dim_is(const es_nn_dim *part, uint8_t axis)
{
    return part->count == 1 && part->axes[0] == axis;
}

bool es_nn_view_same(const es_nn_view *a, const es_nn_view *b)
{
    for (size_t i = 0; a->rank == b->rank && i < a->rank; i++) {
        if (!part_same(&a->parts[i], &b->parts[i]))
            return false;
    }
    return a->rank == b->rank;
}

bool es_nn_view_is_plain(const es_nn_view *view, es_nn_shape shape)
{
    es_nn_view plain = es_nn_view_plain(view->layer, shape);
    return es_nn_view_same(view, &plain);
}

bool es_nn_view_is_flat(const es_nn_view *view, es_nn_shape shape, bool *out_natural)
{
    if (view->rank != 2 || !es_nn_dim_is(&view->parts[0], ES_NN_BATCH_AXIS))
        return false;
    es_nn_dim natural = {0};
    for (size_t i = 0; i < shape.rank; i++)
        take(&natural, (uint8_t)i, &shape);
    *out_natural = part_same(&view->parts[1], &natural);
    return view->parts[1].count == natural.count;
}

bool es_nn_view_is_channels(const es_nn_view *view, es_nn_shape shape, size_t dim)
{
    return shape.dims[0] == 1 ? view->parts[dim].count == 0 : es_nn_dim_is(&view->parts[dim], 0);
}

bool es_nn_view_reshape(es_nn_view *view, es_nn_shape shape, size_t batch, size_t rank,
                        const int64_t *dims)
{
    es_nn_view made = {.layer = view->layer, .rank = rank};
    es_nn_dim all = {0}; /* every axis once, in the order of the values */
    size_t next = 0;
    if (rank > ES_NN_VIEW_RANK_MAX)
        return false;
    for (size_t i = 0; i < view->rank; i++)
        for (size_t k = 0; k < view->parts[i].count; k++)
            all.axes[all.count++] = view->parts[i].axes[k];
    for (size_t i = 0; i < rank; i++) {
        es_nn_dim *part = &made.parts[i];
        size_t size = 1;
        while (next < all.count) {
            uint8_t axis = all.axes[next];
            size_t grown = 0;
            if (axis == ES_NN_BATCH_AXIS) { /* stands alone, also when its size is 1 */
                if (part->count > 0 || dims[i] != (int64_t)batch)
                    break;
                part->axes[part->count++] = axis;
                size = batch;
                next++;
                break;
            }
            if (!es_size_mul(size, shape.dims[axis], &grown) || grown > (size_t)dims[i])
                break;
            size = grown;
            part->axes[part->count++] = axis;
            next++;
        }
        if (dims[i] < 1 || size != (size_t)dims[i])
            return false;
    }
    if (next < all.count)
        return false;
    *view = made;
    return true;
}

bool es_nn_view_transpose(es_nn_view *view, const int64_t *perm, size_t count)
{
    es_nn_view made = *view;
    unsigned seen = 0;
    if (count != 0 && count != view->rank)
        return false;
    for (size_t i = 0; i < view->rank; i++) {
        int64_t from = count > 0 ? perm[i] : (int64_t)(view->rank - 1 - i);
        if (from < 0 || from >= (int64_t)view->rank || (seen >> from & 1) != 0)
            return false;
        seen |= 1u << from;
        made.parts[i] = view->parts[from];
    }
    *view = made;
    return true;
}

bool es_nn_view_squeeze(es_nn_view *view, size_t dim)
{
    if (dim >= view->rank || view->parts[dim].count > 0)
        return false;
    view->rank--;
    memmove(&view->parts[dim], &view->parts[dim + 1], (view->rank - dim) * sizeof *view->parts);
    return true;
}

bool es_nn_view_unsqueeze(es_nn_view *view, size_t dim)
{
    if (dim > view->rank || view->rank == ES_NN_VIEW_RANK_MAX)
        return false;
    memmove(&view->parts[dim + 1], &view->parts[dim], (view->rank - dim) * sizeof *view->parts);
    view->parts[dim] = (es_nn_dim){0};
    view->rank++;
    return true;
}
