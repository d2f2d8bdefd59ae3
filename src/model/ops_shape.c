/*
 * Operators that make, read or rearrange shapes. Small integer data is followed through them, so
 * that chains such as Shape -> Gather -> Concat -> Reshape give known shapes.
 */
#include "model/internal.h"

/* The same elements under a new shape: data goes along. */
static void keep_data(es_op *op)
{
    size_t count = 0;
    const es_num *data = es_op_data(op, 0, &count);
    if (data != NULL)
        es_op_out_data(op, 0, data, count);
}

es_status es_shape_shape(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    if (in.rank < 0)
        return es_op_out_unknown(op, 0, ES_MODEL_INT64, 1, err);
    int64_t from = es_op_int(op, "start", 0);
    int64_t to = es_op_int(op, "end", in.rank);
    from = from < -in.rank ? 0 : from < 0 ? from + in.rank : from > in.rank ? in.rank : from;
    to = to < -in.rank ? 0 : to < 0 ? to + in.rank : to > in.rank ? in.rank : to;
    int64_t count = to > from ? to - from : 0;
    es_dims out = {.rank = 1, .d = {es_dim_of(count)}};
    ES_TRY(es_op_out(op, 0, ES_MODEL_INT64, &out, err));
    es_num *data = ES_TAKE_ARRAY(op->infer->arena, es_num, (size_t)count);
    if (data == NULL)
        return es_arena_full(op->infer->arena, "shape", err);
    for (int64_t i = 0; i < count; i++)
        data[i] = (es_num){.i = in.d[from + i].v, .symbol = in.d[from + i].symbol};
    es_op_out_data(op, 0, data, (size_t)count);
    return ES_OK;
}

es_status es_shape_size(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims scalar = {.rank = 0};
    ES_TRY(es_op_out(op, 0, ES_MODEL_INT64, &scalar, err));
    int64_t elements = es_fact_elements(es_op_in(op, 0));
    es_num *data = ES_TAKE_ONE(op->infer->arena, es_num);
    if (data == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    *data = (es_num){.i = elements, .symbol = elements < 0 ? -1 : 0};
    es_op_out_data(op, 0, data, 1);
    return ES_OK;
}

/* The dimension -1 takes what is left. Free dimensions cancel when they appear on both sides. */
static es_status fill_in(const es_op *op, const es_dims *in, es_dims *out, int32_t hole,
                         es_error *err)
{
    bool used[ES_RANK_MAX] = {false};
    int64_t have = 1;
    int64_t taken = 1;
    for (int32_t k = 0; k < out->rank; k++) {
        if (k == hole)
            continue;
        if (es_dim_known(out->d[k])) {
            if (!es_int64_mul(taken, out->d[k].v, &taken))
                return es_op_fail(op, err, "new shape has more elements than 64 bits can count");
            continue;
        }
        int32_t match = -1;
        for (int32_t i = 0; i < in->rank && match < 0; i++)
            match = !used[i] && es_dim_same(in->d[i], out->d[k]) ? i : -1;
        if (match < 0)
            return ES_OK; /* stays unknown */
        used[match] = true;
    }
    es_dim rest = es_dim_unknown();
    int32_t left = 0;
    for (int32_t i = 0; i < in->rank; i++) {
        if (used[i])
            continue;
        if (!es_dim_known(in->d[i])) {
            rest = in->d[i];
            left++;
        } else if (!es_int64_mul(have, in->d[i].v, &have)) {
            return es_op_fail(op, err, "input has more elements than 64 bits can count");
        }
    }
    if (left == 0) {
        if (hole < 0 && have != taken)
            return es_op_fail(op, err, "input has %lld elements, new shape %lld", (long long)have,
                              (long long)taken);
        if (hole >= 0 && (taken == 0 ? have != 0 : have % taken != 0))
            return es_op_fail(op, err, "%lld elements do not divide by %lld", (long long)have,
                              (long long)taken);
        if (hole >= 0)
            out->d[hole] = taken != 0 ? es_dim_of(have / taken) : es_dim_unknown();
    } else if (left == 1 && hole >= 0 && have == taken) {
        out->d[hole] = rest;
    }
    return ES_OK;
}

es_status es_shape_reshape(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims out = {0};
    bool given = false;
    bool known = false;
    ES_TRY(es_op_int_list(op, op->version < 5 ? "shape" : NULL, 1, &out, &given, &known, err));
    int32_t type = es_op_in(op, 0)->type;
    if (!given)
        return es_op_fail(op, err, "the new shape is missing");
    if (!known) {
        es_dims shape = es_op_dims(op, 1);
        bool rank_known = shape.rank == 1 && es_dim_known(shape.d[0]);
        if (rank_known && shape.d[0].v > ES_RANK_MAX)
            return es_fail(err, ES_ERR_LIMIT, "new rank %lld, at most %d is supported",
                           (long long)shape.d[0].v, ES_RANK_MAX);
        return es_op_out_unknown(op, 0, type, rank_known ? (int32_t)shape.d[0].v : -1, err);
    }
    bool zero_stays = es_op_int(op, "allowzero", 0) != 0;
    int32_t hole = -1;
    for (int32_t k = 0; k < out.rank; k++) {
        if (!es_dim_known(out.d[k]) || out.d[k].v > 0)
            continue;
        if (out.d[k].v == 0 && !zero_stays) {
            if (in.rank >= 0 && k >= in.rank)
                return es_op_fail(op, err, "0 at place %d copies no dimension of rank %d", (int)k,
                                  (int)in.rank);
            out.d[k] = in.rank >= 0 ? in.d[k] : es_dim_unknown();
        } else if (out.d[k].v == -1 && hole < 0) {
            hole = k;
            out.d[k] = es_dim_unknown();
        } else if (out.d[k].v != 0) {
            return es_op_fail(op, err, "new dimension %d is %lld, must be >= 0, or -1 once", (int)k,
                              (long long)out.d[k].v);
        }
    }
    if (in.rank >= 0)
        ES_TRY(fill_in(op, &in, &out, hole, err));
    ES_TRY(es_op_out(op, 0, type, &out, err));
    keep_data(op);
    return ES_OK;
}

es_status es_shape_flatten(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims out = es_dims_unknown(2);
    if (in.rank >= 0) {
        int64_t axis = es_op_int(op, "axis", 1);
        if (axis < -in.rank || axis > in.rank)
            return es_op_fail(op, err, "axis is %lld, must be in [%d, %d]", (long long)axis,
                              (int)-in.rank, (int)in.rank);
        axis = axis < 0 ? axis + in.rank : axis;
        out.d[0] = out.d[1] = es_dim_of(1);
        for (int32_t i = 0; i < in.rank; i++)
            out.d[i >= axis] = es_dim_mul(out.d[i >= axis], in.d[i]);
    }
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &out, err));
    keep_data(op);
    return ES_OK;
}

/* Axes as flags over rank; duplicates are errors. */
static es_status mark_axes(const es_op *op, const es_dims *axes, int32_t rank, bool *marked,
                           es_error *err)
{
    for (int32_t i = 0; i < axes->rank; i++) {
        int32_t axis = 0;
        if (!es_dim_known(axes->d[i]))
            return es_op_fail(op, err, "axis %d is not constant", (int)i);
        ES_TRY(es_op_axis(op, axes->d[i].v, rank, &axis, err));
        if (marked[axis])
            return es_op_fail(op, err, "axis %d comes twice", (int)axis);
        marked[axis] = true;
    }
    return ES_OK;
}

es_status es_shape_squeeze(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims axes = {0};
    bool given = false;
    bool known = false;
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_int_list(op, "axes", 1, &axes, &given, &known, err));
    if (in.rank < 0 || (given && !known))
        return es_op_out_unknown(op, 0, type, -1, err);
    bool gone[ES_RANK_MAX] = {false};
    ES_TRY(mark_axes(op, &axes, in.rank, gone, err));
    es_dims out = {0};
    for (int32_t i = 0; i < in.rank; i++) {
        if (!given && !es_dim_known(in.d[i]))
            return es_op_out_unknown(op, 0, type, -1, err);
        bool drop = given ? gone[i] : in.d[i].v == 1;
        if (drop && es_dim_known(in.d[i]) && in.d[i].v != 1)
            return es_op_fail(op, err, "dimension %d is %lld, only 1 can be squeezed", (int)i,
                              (long long)in.d[i].v);
        if (!drop)
            out.d[out.rank++] = in.d[i];
    }
    ES_TRY(es_op_out(op, 0, type, &out, err));
    keep_data(op);
    return ES_OK;
}

es_status es_shape_unsqueeze(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims axes = {0};
    bool given = false;
    bool known = false;
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_int_list(op, "axes", 1, &axes, &given, &known, err));
    if (!given)
        return es_op_fail(op, err, "axes are missing");
    if (in.rank < 0 || !known)
        return es_op_out_unknown(op, 0, type, -1, err);
    int32_t rank = in.rank + axes.rank;
    if (rank > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "rank %d, at most %d is supported", (int)rank,
                       ES_RANK_MAX);
    bool added[ES_RANK_MAX] = {false};
    ES_TRY(mark_axes(op, &axes, rank, added, err));
    es_dims out = {.rank = rank};
    for (int32_t i = 0, from = 0; i < rank; i++)
        out.d[i] = added[i] ? es_dim_of(1) : in.d[from++];
    ES_TRY(es_op_out(op, 0, type, &out, err));
    keep_data(op);
    return ES_OK;
}

es_status es_shape_transpose(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims out = {.rank = in.rank};
    const int64_t *order = NULL;
    size_t count = es_op_ints(op, "perm", &order);
    if (in.rank >= 0 && count > 0 && count != (size_t)in.rank)
        return es_op_fail(op, err, "perm has %zu entries for rank %d", count, (int)in.rank);
    bool seen[ES_RANK_MAX] = {false};
    int64_t from_strides[ES_RANK_MAX] = {0};
    int64_t strides[ES_RANK_MAX] = {0};
    es_dims_strides(&in, from_strides);
    for (int32_t i = 0; i < in.rank; i++) {
        int32_t from = in.rank - 1 - i;
        if (count > 0)
            ES_TRY(es_op_axis(op, order[i], in.rank, &from, err));
        if (seen[from])
            return es_op_fail(op, err, "perm names axis %d twice", (int)from);
        seen[from] = true;
        out.d[i] = in.d[from];
        strides[i] = from_strides[from];
    }
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &out, err));
    return es_op_out_view(op, 0, strides, err);
}

/* Data of 1-D inputs joined; nothing when one of them is not known. */
static es_status join_data(es_op *op, es_error *err)
{
    ES_ARRAY(es_num) all = {0};
    for (size_t i = 0; i < op->node->input_count; i++) {
        size_t count = 0;
        const es_num *data = es_op_data(op, i, &count);
        es_dims dims = es_op_dims(op, i);
        if (dims.rank != 1 || !es_dim_known(dims.d[0]) || dims.d[0].v > ES_DATA_MAX ||
            (data == NULL && dims.d[0].v > 0 && !es_type_is_int(es_op_in(op, i)->type)))
            return ES_OK;
        for (size_t k = 0; k < (size_t)dims.d[0].v; k++) {
            es_num num = data != NULL ? data[k] : (es_num){.symbol = -1};
            ES_TRY(ES_ARRAY_PUSH(op->infer->arena, &all, num, "constant", err));
            if (all.count > ES_DATA_MAX)
                return ES_OK;
        }
    }
    es_op_out_data(op, 0, all.items, all.count);
    return ES_OK;
}

/* row->arg 1: QLinearConcat, whose tensors are inputs 2, 5, 8, ... */
es_status es_shape_concat(es_op *op, es_error *err)
{
    size_t first = op->row->arg == 1 ? 2 : 0;
    size_t step = op->row->arg == 1 ? 3 : 1;
    ES_TRY(es_op_need(op, first + 1, err));
    es_dims out = es_op_dims(op, first);
    int32_t type = es_op_in(op, op->row->arg == 1 ? 1 : 0)->type;
    int32_t axis = 0;
    bool axis_set = false;
    for (size_t i = first; i < op->node->input_count; i += step) {
        es_dims next = es_op_dims(op, i);
        if (next.rank < 0)
            return es_op_out_unknown(op, 0, type, -1, err);
        if (!axis_set)
            ES_TRY(es_op_axis(op, es_op_int(op, "axis", 1), next.rank, &axis, err));
        axis_set = true;
        if (next.rank != out.rank)
            return es_op_fail(op, err, "input %zu has rank %d, input %zu has %d", i, (int)next.rank,
                              first, (int)out.rank);
        for (int32_t k = 0; k < out.rank && i > first; k++) {
            if (k != axis) {
                ES_TRY(es_dim_merge(op, out.d[k], next.d[k], "concatenated dimension", &out.d[k],
                                    err));
                continue;
            }
            bool known = es_dim_known(out.d[k]) && es_dim_known(next.d[k]);
            int64_t sum = 0;
            if (known && !es_int64_add(out.d[k].v, next.d[k].v, &sum))
                return es_op_fail(op, err, "dimension too large");
            out.d[k] = known ? es_dim_of(sum) : es_dim_unknown();
        }
    }
    ES_TRY(es_op_out(op, 0, type, &out, err));
    return op->row->arg == 0 ? join_data(op, err) : ES_OK;
}

es_status es_shape_split(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    int32_t type = es_op_in(op, 0)->type;
    size_t parts = op->node->output_count;
    int32_t axis = 0;
    if (in.rank >= 0)
        ES_TRY(es_op_axis(op, es_op_int(op, "axis", 0), in.rank, &axis, err));
    size_t given = 0;
    const int64_t *sizes = NULL;
    size_t data_count = 0;
    const es_num *data = es_op_data(op, 1, &data_count);
    given = es_op_ints(op, "split", &sizes);
    bool listed = given > 0 || data != NULL;
    size_t listed_count = given > 0 ? given : data_count;
    if (listed && listed_count != parts)
        return es_op_fail(op, err, "%zu sizes for %zu outputs", listed_count, parts);
    size_t offset = 0;
    size_t from_count = 0;
    const es_num *from = in.rank == 1 ? es_op_data(op, 0, &from_count) : NULL;
    for (size_t k = 0; k < parts; k++) {
        es_dims out = in;
        es_dim size = es_dim_unknown();
        if (given > 0)
            size = es_dim_of(sizes[k]);
        else if (data != NULL)
            size = (es_dim){.v = data[k].i, .symbol = data[k].symbol};
        else if (in.rank > 0 && es_dim_known(in.d[axis]) && !es_op_has(op, 1)) {
            int64_t each = (in.d[axis].v + (int64_t)parts - 1) / (int64_t)parts;
            int64_t left = in.d[axis].v - each * (int64_t)k;
            size = es_dim_of(left < 0 ? 0 : left < each ? left : each);
        }
        if (in.rank > 0)
            out.d[axis] = size;
        ES_TRY(es_op_out(op, k, type, &out, err));
        if (from == NULL || !es_dim_known(size) || size.v < 0 ||
            (uint64_t)size.v > from_count - offset)
            continue;
        es_op_out_data(op, k, from + offset, (size_t)size.v);
        offset += (size_t)size.v;
    }
    return ES_OK;
}

/* ---- slice ---- */

enum { STARTS, ENDS, AXES, STEPS, SLICE_LISTS };

typedef struct slice {
    es_dims list[SLICE_LISTS];
    bool given[SLICE_LISTS];
    bool known[SLICE_LISTS];
    int32_t count; /* sliced axes */
} slice;

/* Elements that [start, end) with step takes of size, as numpy does. */
static int64_t slice_count(int64_t size, int64_t start, int64_t end, int64_t step,
                           int64_t *out_start)
{
    start = start < 0 ? (start < -size ? -1 : start + size) : start;
    end = end < 0 ? (end < -size ? -1 : end + size) : end;
    if (step > 0) {
        start = start < 0 ? 0 : start > size ? size : start;
        end = end < 0 ? 0 : end > size ? size : end;
        *out_start = start;
        return end > start ? (end - start - 1) / step + 1 : 0;
    }
    start = start >= size ? size - 1 : start;
    end = end >= size ? size - 1 : end;
    *out_start = start;
    return start > end ? (start - end - 1) / -(step == INT64_MIN ? -INT64_MAX : step) + 1 : 0;
}

/* count stays -1 when not even the number of sliced axes is known. */
static es_status read_slice(es_op *op, const es_dims *in, slice *s, es_error *err)
{
    static const char *const names[SLICE_LISTS] = {"starts", "ends", "axes", "steps"};
    for (size_t k = 0; k < SLICE_LISTS; k++)
        ES_TRY(es_op_int_list(op, names[k], k + 1, &s->list[k], &s->given[k], &s->known[k], err));
    if (!s->given[STARTS] || !s->given[ENDS])
        return es_op_fail(op, err, "starts or ends are missing");
    es_dims at = es_op_dims(op, 1);
    s->count = -1;
    if (s->given[AXES])
        s->count = s->known[AXES] ? s->list[AXES].rank : -1;
    else if (s->known[STARTS] || s->known[ENDS])
        s->count = s->known[STARTS] ? s->list[STARTS].rank : s->list[ENDS].rank;
    else if (at.rank == 1 && es_dim_known(at.d[0]) && at.d[0].v <= in->rank)
        s->count = (int32_t)at.d[0].v;
    for (size_t k = 0; k < SLICE_LISTS && s->count >= 0; k++) {
        if (s->known[k] && s->list[k].rank != s->count)
            return es_op_fail(op, err, "%s has %d entries, expected %d", names[k],
                              (int)s->list[k].rank, (int)s->count);
    }
    if (!s->given[AXES] && in->rank >= 0 && s->count > in->rank)
        return es_op_fail(op, err, "%d starts for rank %d", (int)s->count, (int)in->rank);
    return ES_OK;
}

/* The k-th sliced axis: its dimension afterwards, and where and how it steps. */
static es_status slice_axis(const es_op *op, const slice *s, int32_t k, es_dim in, es_dim *out,
                            int64_t *start, int64_t *step, es_error *err)
{
    bool sure = s->known[STARTS] && s->known[ENDS] && es_dim_known(s->list[STARTS].d[k]) &&
                (!s->given[STEPS] || (s->known[STEPS] && es_dim_known(s->list[STEPS].d[k])));
    *step = sure && s->given[STEPS] ? s->list[STEPS].d[k].v : 1;
    *start = 0;
    *out = es_dim_unknown();
    if (!sure)
        return ES_OK;
    if (*step == 0)
        return es_op_fail(op, err, "step %d is 0", (int)k);
    es_dim end = s->list[ENDS].d[k];
    bool from_start = *step == 1 && s->list[STARTS].d[k].v == 0;
    bool to_end = es_dim_known(end) ? end.v >= INT32_MAX : es_dim_same(end, in);
    if (from_start && to_end)
        *out = in;
    else if (es_dim_known(end) && es_dim_known(in))
        *out = es_dim_of(slice_count(in.v, s->list[STARTS].d[k].v, end.v, *step, start));
    return ES_OK;
}

es_status es_shape_slice(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    slice s = {.count = 0};
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(read_slice(op, &in, &s, err));
    if (in.rank < 0 || s.count < 0)
        return es_op_out_unknown(op, 0, type, in.rank, err);
    es_dims out = in;
    int64_t strides[ES_RANK_MAX] = {0};
    int64_t offset = 0;
    es_dims_strides(&in, strides);
    bool countable = es_fact_elements(es_op_in(op, 0)) >= 0;
    for (int32_t k = 0; k < s.count; k++) {
        int32_t axis = k;
        if (s.given[AXES])
            ES_TRY(es_op_axis(op, es_dim_known(s.list[AXES].d[k]) ? s.list[AXES].d[k].v : INT64_MIN,
                              in.rank, &axis, err));
        int64_t start = 0;
        int64_t step = 1;
        ES_TRY(slice_axis(op, &s, k, in.d[axis], &out.d[axis], &start, &step, err));
        bool single = es_dim_known(out.d[axis]) && out.d[axis].v <= 1;
        offset += countable ? start * strides[axis] : 0;
        strides[axis] = single ? 0 : countable ? strides[axis] * step : 0;
    }
    ES_TRY(es_op_out(op, 0, type, &out, err));
    return countable ? es_op_out_view(op, offset, strides, err) : ES_OK;
}

es_status es_shape_pad(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims axes = {0};
    bool axes_given = false;
    bool axes_known = false;
    int32_t type = es_op_in(op, 0)->type;
    const int64_t *listed = NULL;
    size_t count = es_op_ints(op, op->version < 2 ? "paddings" : "pads", &listed);
    const es_num *data = count == 0 ? es_op_data(op, 1, &count) : NULL;
    ES_TRY(es_op_int_list(op, NULL, 3, &axes, &axes_given, &axes_known, err));
    if (in.rank < 0 || (listed == NULL && data == NULL) || (axes_given && !axes_known))
        return es_op_out_unknown(op, 0, type, in.rank, err);
    int32_t padded = axes_given ? axes.rank : in.rank;
    if (count != 2 * (size_t)padded)
        return es_op_fail(op, err, "%zu pads for %d axes, expected two for each", count,
                          (int)padded);
    es_dims out = in;
    for (int32_t k = 0; k < padded; k++) {
        int32_t axis = k;
        if (axes_given)
            ES_TRY(es_op_axis(op, es_dim_known(axes.d[k]) ? axes.d[k].v : INT64_MIN, in.rank, &axis,
                              err));
        int64_t sides[2] = {0, 0};
        bool known = true;
        for (int32_t s = 0; s < 2; s++) {
            int32_t at = k + s * padded;
            sides[s] = listed != NULL ? listed[at] : data[at].i;
            known = known && (listed != NULL || data[at].symbol == 0);
        }
        int64_t size = 0;
        if (known && sides[0] == 0 && sides[1] == 0)
            continue;
        if (!known || !es_dim_known(in.d[axis])) {
            out.d[axis] = es_dim_unknown();
            continue;
        }
        if (!es_int64_add(in.d[axis].v, sides[0], &size) || !es_int64_add(size, sides[1], &size))
            return es_op_fail(op, err, "padded dimension %d is too large", (int)axis);
        out.d[axis] = es_dim_of(size);
    }
    return es_op_out(op, 0, type, &out, err);
}

es_status es_shape_tile(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims in = es_op_dims(op, 0);
    es_dims times = {0};
    bool given = false;
    bool known = false;
    int32_t type = es_op_in(op, 0)->type;
    if (op->version < 6)
        return es_op_out_unknown(op, 0, type, in.rank, err);
    ES_TRY(es_op_int_list(op, NULL, 1, &times, &given, &known, err));
    if (in.rank < 0 || !known)
        return es_op_out_unknown(op, 0, type, in.rank, err);
    if (times.rank != in.rank)
        return es_op_fail(op, err, "%d repeats for rank %d", (int)times.rank, (int)in.rank);
    for (int32_t i = 0; i < in.rank; i++)
        in.d[i] = es_dim_mul(in.d[i], times.d[i]);
    return es_op_out(op, 0, type, &in, err);
}

es_status es_shape_expand(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims in = es_op_dims(op, 0);
    es_dims to = {0};
    bool given = false;
    bool known = false;
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_int_list(op, NULL, 1, &to, &given, &known, err));
    if (in.rank < 0 || !known)
        return es_op_out_unknown(op, 0, type, -1, err);
    es_dims out = {0};
    ES_TRY(es_dims_broadcast(op, &in, &to, &out, err));
    ES_TRY(es_op_out(op, 0, type, &out, err));
    size_t count = 0;
    const es_num *data = es_op_data(op, 0, &count);
    int64_t elements = es_fact_elements(&op->outs[0]);
    if (data == NULL || count != 1 || elements < 0 || elements > ES_DATA_MAX)
        return ES_OK;
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, (size_t)elements);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    for (int64_t i = 0; i < elements; i++)
        result[i] = data[0];
    es_op_out_data(op, 0, result, (size_t)elements);
    return ES_OK;
}
