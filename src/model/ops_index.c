/*
 * Operators that pick, reduce, or make tensors from sizes.
 */
#include "model/internal.h"

#include <math.h>

/* Data of a gather along axis 0 of 1-D data. */
static es_status gather_data(es_op *op, es_error *err)
{
    size_t count = 0;
    size_t picks = 0;
    const es_num *data = es_op_in(op, 0)->rank == 1 ? es_op_data(op, 0, &count) : NULL;
    const es_num *index = data != NULL ? es_op_data(op, 1, &picks) : NULL;
    if (index == NULL)
        return ES_OK;
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, picks);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    for (size_t i = 0; i < picks; i++) {
        int64_t at = index[i].i < 0 ? index[i].i + (int64_t)count : index[i].i;
        if (index[i].symbol != 0) {
            result[i] = (es_num){.symbol = -1};
            continue;
        }
        if (at < 0 || at >= (int64_t)count)
            return es_op_fail(op, err, "index %lld is outside [%lld, %lld]", (long long)index[i].i,
                              -(long long)count, (long long)count - 1);
        result[i] = data[at];
    }
    es_op_out_data(op, 0, result, picks);
    return ES_OK;
}

es_status es_shape_gather(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims in = es_op_dims(op, 0);
    es_dims index = es_op_dims(op, 1);
    int32_t type = es_op_in(op, 0)->type;
    if (in.rank < 0 || index.rank < 0)
        return es_op_out_unknown(op, 0, type, -1, err);
    int32_t axis = 0;
    ES_TRY(es_op_axis(op, es_op_int(op, "axis", 0), in.rank, &axis, err));
    es_dims out = {.rank = in.rank - 1 + index.rank};
    if (out.rank > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "rank %d, at most %d is supported", (int)out.rank,
                       ES_RANK_MAX);
    int32_t at = 0;
    for (int32_t i = 0; i < in.rank; i++) {
        for (int32_t k = 0; i == axis && k < index.rank; k++)
            out.d[at++] = index.d[k];
        if (i != axis)
            out.d[at++] = in.d[i];
    }
    ES_TRY(es_op_out(op, 0, type, &out, err));
    return gather_data(op, err);
}

/* The shape of the indices. */
es_status es_shape_gather_elements(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims out = es_op_dims(op, 1);
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_gather_nd(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims in = es_op_dims(op, 0);
    es_dims index = es_op_dims(op, 1);
    int32_t type = es_op_in(op, 0)->type;
    int64_t batch = es_op_int(op, "batch_dims", 0);
    if (in.rank < 0 || index.rank < 1 || !es_dim_known(index.d[index.rank - 1]))
        return es_op_out_unknown(op, 0, type, -1, err);
    int64_t last = index.d[index.rank - 1].v;
    if (batch < 0 || batch > ES_RANK_MAX || last < 0 || last > in.rank - batch)
        return es_op_fail(op, err, "indices of length %lld for rank %d", (long long)last,
                          (int)in.rank);
    es_dims out = {0};
    for (int32_t i = 0; i < index.rank - 1 && out.rank < ES_RANK_MAX; i++)
        out.d[out.rank++] = index.d[i];
    for (int32_t i = (int32_t)(batch + last); i < in.rank && out.rank < ES_RANK_MAX; i++)
        out.d[out.rank++] = in.d[i];
    return es_op_out(op, 0, type, &out, err);
}

/* Truncated; unknown when no int64 holds it. */
static es_dim dim_of_real(double value)
{
    return value > -9.2e18 && value < 9.2e18 ? es_dim_of((int64_t)value) : es_dim_unknown();
}

es_status es_shape_onehot(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    es_dims in = es_op_dims(op, 0);
    int32_t type = es_op_in(op, 2)->type;
    if (in.rank < 0 || in.rank >= ES_RANK_MAX)
        return es_op_out_unknown(op, 0, type, -1, err);
    int32_t axis = 0;
    ES_TRY(es_op_axis(op, es_op_int(op, "axis", -1), in.rank + 1, &axis, err));
    size_t count = 0;
    const es_num *depth = es_op_data(op, 1, &count);
    es_dim size = es_dim_unknown();
    if (depth != NULL && count == 1 && depth->symbol == 0)
        size =
            es_type_is_float(es_op_in(op, 1)->type) ? dim_of_real(depth->f) : es_dim_of(depth->i);
    es_dims out = {.rank = in.rank + 1};
    for (int32_t i = 0, from = 0; i < out.rank; i++)
        out.d[i] = i == axis ? size : in.d[from++];
    return es_op_out(op, 0, type, &out, err);
}

es_status es_shape_nonzero(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims out = es_dims_unknown(2);
    if (in.rank >= 0)
        out.d[0] = es_dim_of(in.rank);
    return es_op_out(op, 0, ES_MODEL_INT64, &out, err);
}

es_status es_shape_topk(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    size_t count = 0;
    const es_num *k = es_op_data(op, 1, &count);
    es_dim size = es_dim_unknown();
    if (es_op_attr(op, "k") != NULL)
        size = es_dim_of(es_op_int(op, "k", 0));
    else if (k != NULL && count == 1)
        size = (es_dim){.v = k->i, .symbol = k->symbol};
    if (out.rank >= 0) {
        int32_t axis = 0;
        ES_TRY(es_op_axis(op, es_op_int(op, "axis", -1), out.rank, &axis, err));
        out.d[axis] = size;
    }
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &out, err));
    return es_op_out(op, 1, ES_MODEL_INT64, &out, err);
}

static es_status reduce_data(es_op *op, es_error *err)
{
    size_t count = 0;
    es_fold fold = (es_fold)op->row->arg;
    const es_num *data =
        fold != ES_FOLD_NONE && es_op_in(op, 0)->rank == 1 ? es_op_data(op, 0, &count) : NULL;
    if (data == NULL || count == 0 || es_fact_elements(&op->outs[0]) != 1)
        return ES_OK;
    es_num *result = ES_TAKE_ONE(op->infer->arena, es_num);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    *result = data[0];
    for (size_t i = 1; i < count; i++)
        *result = es_fold_two(fold, *result, data[i], es_op_in(op, 0)->type);
    es_op_out_data(op, 0, result, 1);
    return ES_OK;
}

/* Axes by attribute or by input 1; none means all, unless noop_with_empty_axes. */
es_status es_shape_reduce(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims axes = {0};
    bool given = false;
    bool known = false;
    bool keep = es_op_int(op, "keepdims", 1) != 0;
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_int_list(op, "axes", 1, &axes, &given, &known, err));
    if (in.rank < 0 || (given && !known))
        return es_op_out_unknown(op, 0, type, keep ? in.rank : -1, err);
    bool gone[ES_RANK_MAX] = {false};
    bool all = axes.rank == 0 && es_op_int(op, "noop_with_empty_axes", 0) == 0;
    for (int32_t i = 0; i < axes.rank; i++) {
        int32_t axis = 0;
        ES_TRY(
            es_op_axis(op, es_dim_known(axes.d[i]) ? axes.d[i].v : INT64_MIN, in.rank, &axis, err));
        gone[axis] = true;
    }
    es_dims out = {0};
    for (int32_t i = 0; i < in.rank; i++) {
        if (!gone[i] && !all)
            out.d[out.rank++] = in.d[i];
        else if (keep)
            out.d[out.rank++] = es_dim_of(1);
    }
    ES_TRY(es_op_out(op, 0, type, &out, err));
    return reduce_data(op, err);
}

es_status es_shape_arg(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    bool keep = es_op_int(op, "keepdims", 1) != 0;
    if (in.rank < 0)
        return es_op_out_unknown(op, 0, ES_MODEL_INT64, -1, err);
    int32_t axis = 0;
    ES_TRY(es_op_axis(op, es_op_int(op, "axis", 0), in.rank, &axis, err));
    es_dims out = {0};
    for (int32_t i = 0; i < in.rank; i++) {
        if (i != axis)
            out.d[out.rank++] = in.d[i];
        else if (keep)
            out.d[out.rank++] = es_dim_of(1);
    }
    return es_op_out(op, 0, ES_MODEL_INT64, &out, err);
}

es_status es_shape_constant(es_op *op, es_error *err)
{
    const Onnx__AttributeProto *value = es_op_attr(op, "value");
    if (value != NULL && value->t != NULL)
        return op->node->output_count > 0 ? es_fact_tensor(op->infer, value->t, &op->outs[0], err)
                                          : ES_OK;
    for (size_t i = 0; i < op->node->proto->n_attribute; i++) {
        const Onnx__AttributeProto *a = op->node->proto->attribute[i];
        const char *name = a->name;
        bool list = name[0] != '\0' && name[strlen(name) - 1] == 's';
        size_t count = !list ? 1 : a->n_ints + a->n_floats + a->n_strings;
        es_dims dims = {.rank = list ? 1 : 0, .d = {es_dim_of((int64_t)count)}};
        es_num *data = count <= ES_DATA_MAX ? ES_TAKE_ARRAY(op->infer->arena, es_num, count) : NULL;
        if (strcmp(name, "value_int") == 0 || strcmp(name, "value_ints") == 0) {
            ES_TRY(es_op_out(op, 0, ES_MODEL_INT64, &dims, err));
            for (size_t k = 0; data != NULL && k < count && (!list || k < a->n_ints); k++)
                data[k].i = list ? a->ints[k] : a->i;
        } else if (strcmp(name, "value_float") == 0 || strcmp(name, "value_floats") == 0) {
            ES_TRY(es_op_out(op, 0, ES_MODEL_FLOAT, &dims, err));
            for (size_t k = 0; data != NULL && k < count && (!list || k < a->n_floats); k++)
                data[k].f = (double)(list ? a->floats[k] : a->f);
        } else if (strcmp(name, "value_string") == 0 || strcmp(name, "value_strings") == 0) {
            return es_op_out(op, 0, ES_MODEL_STRING, &dims, err);
        } else if (strcmp(name, "sparse_value") == 0 && a->sparse_tensor != NULL) {
            es_dims sparse = {.rank = (int32_t)a->sparse_tensor->n_dims};
            if (sparse.rank > ES_RANK_MAX || a->sparse_tensor->values == NULL)
                return es_op_fail(op, err, "sparse value has no values or too many dimensions");
            for (int32_t k = 0; k < sparse.rank; k++)
                sparse.d[k] = es_dim_of(a->sparse_tensor->dims[k]);
            return es_op_out(op, 0, a->sparse_tensor->values->data_type, &sparse, err);
        } else {
            continue;
        }
        if (data != NULL)
            es_op_out_data(op, 0, data, count);
        return ES_OK;
    }
    return es_op_fail(op, err, "attribute 'value' is missing");
}

es_status es_shape_constant_of_shape(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    const Onnx__AttributeProto *value = es_op_attr(op, "value");
    bool filled = value != NULL && value->t != NULL;
    int32_t type = filled ? value->t->data_type : (int32_t)ES_MODEL_FLOAT;
    es_dims dims = {0};
    bool given = false;
    bool known = false;
    ES_TRY(es_op_int_list(op, NULL, 0, &dims, &given, &known, err));
    if (!known) {
        es_dims shape = es_op_dims(op, 0);
        bool rank_known = shape.rank == 1 && es_dim_known(shape.d[0]);
        bool fits = rank_known && shape.d[0].v <= ES_RANK_MAX;
        return es_op_out_unknown(op, 0, type, fits ? (int32_t)shape.d[0].v : -1, err);
    }
    ES_TRY(es_op_out(op, 0, type, &dims, err));
    int64_t elements = es_fact_elements(&op->outs[0]);
    if (elements < 0 || elements > ES_DATA_MAX || !es_type_is_int(type))
        return ES_OK;
    es_num *data = ES_TAKE_ARRAY(op->infer->arena, es_num, (size_t)elements);
    if (data == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    es_num fill = {0};
    if (filled) {
        const Onnx__TensorProto *t = value->t;
        if (es_tensor_elements(t) != 1)
            return es_op_fail(op, err, "attribute 'value' must have one element");
        if (t->data_type == ES_MODEL_INT64)
            fill.i = t->n_int64_data > 0 ? t->int64_data[0] : 0;
        else if (t->n_int32_data > 0)
            fill.i = t->int32_data[0];
        bool raw = t->has_raw_data && t->raw_data.len > 0;
        size_t width = raw ? t->raw_data.len : 0;
        uint64_t word = 0;
        for (size_t k = 0; k < width && k < 8; k++)
            word |= (uint64_t)t->raw_data.data[k] << (8 * k);
        if (raw && width < 8 && (t->raw_data.data[width - 1] & 0x80) != 0 &&
            (t->data_type == ES_MODEL_INT32 || t->data_type == ES_MODEL_INT16 ||
             t->data_type == ES_MODEL_INT8))
            word |= ~(uint64_t)0 << (8 * width);
        if (raw)
            fill.i = (int64_t)word;
    }
    for (int64_t i = 0; i < elements; i++)
        data[i] = fill;
    es_op_out_data(op, 0, data, (size_t)elements);
    return ES_OK;
}

es_status es_shape_range(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    int32_t type = es_op_in(op, 0)->type;
    const es_num *part[3] = {NULL};
    size_t counts[3] = {0};
    es_dims out = es_dims_unknown(1);
    bool known = true;
    for (size_t i = 0; i < 3; i++) {
        part[i] = es_op_data(op, i, &counts[i]);
        known = known && part[i] != NULL && counts[i] == 1 && part[i]->symbol == 0;
    }
    if (!known)
        return es_op_out(op, 0, type, &out, err);
    bool real = es_type_is_float(type);
    double from = real ? part[0]->f : (double)part[0]->i;
    double to = real ? part[1]->f : (double)part[1]->i;
    double step = real ? part[2]->f : (double)part[2]->i;
    double count = ceil((to - from) / step);
    if (!(count < 1e15)) /* a step of 0 gives infinity or NaN */
        return es_op_fail(op, err, "step of 0, or too many elements");
    out.d[0] = es_dim_of(count > 0 ? (int64_t)count : 0);
    ES_TRY(es_op_out(op, 0, type, &out, err));
    if (real || out.d[0].v > ES_DATA_MAX)
        return ES_OK;
    es_num *data = ES_TAKE_ARRAY(op->infer->arena, es_num, (size_t)out.d[0].v);
    if (data == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    for (int64_t i = 0; i < out.d[0].v; i++)
        data[i].i = (int64_t)((uint64_t)part[0]->i + (uint64_t)i * (uint64_t)part[2]->i);
    es_op_out_data(op, 0, data, (size_t)out.d[0].v);
    return ES_OK;
}

es_status es_shape_random(es_op *op, es_error *err)
{
    const int64_t *shape = NULL;
    size_t rank = es_op_ints(op, "shape", &shape);
    if (rank > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "rank %zu, at most %d is supported", rank, ES_RANK_MAX);
    es_dims out = {.rank = (int32_t)rank};
    for (size_t i = 0; i < rank; i++)
        out.d[i] = es_dim_of(shape[i]);
    return es_op_out(op, 0, (int32_t)es_op_int(op, "dtype", ES_MODEL_FLOAT), &out, err);
}

/* row->arg 1: depth to space, 0: space to depth. */
es_status es_shape_depth_space(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    int64_t block = es_op_int(op, "blocksize", 0);
    if (block < 1 || block > 65536)
        return es_op_fail(op, err, "blocksize is %lld, must be in [1, 65536]", (long long)block);
    es_dims out = es_dims_unknown(4);
    if (in.rank >= 0 && in.rank != 4)
        return es_op_fail(op, err, "rank %d, must be 4", (int)in.rank);
    if (in.rank == 4) {
        out.d[0] = in.d[0];
        for (int32_t i = 1; i < 4; i++) {
            int64_t by = i == 1 ? block * block : block;
            bool up = (i == 1) != (op->row->arg == 1);
            if (up)
                out.d[i] = es_dim_mul(in.d[i], es_dim_of(by));
            else if (es_dim_known(in.d[i]) && in.d[i].v % by != 0)
                return es_op_fail(op, err, "dimension %d, %lld, does not divide by %lld", (int)i,
                                  (long long)in.d[i].v, (long long)by);
            else if (es_dim_known(in.d[i]))
                out.d[i] = es_dim_of(in.d[i].v / by);
        }
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

/* keep_aspect_ratio_policy picks one scale for all axes. */
static double one_scale(const es_op *op, const es_dims *in, const int32_t *axes,
                        const es_num *sizes, size_t count)
{
    bool larger = es_op_text_is(op, "keep_aspect_ratio_policy", "not_smaller");
    double best = 0;
    for (size_t k = 0; k < count; k++) {
        double scale = (double)sizes[k].i / (double)in->d[axes[k]].v;
        if (k == 0 || (larger ? scale > best : scale < best))
            best = scale;
    }
    return best;
}

/* Resize (scales at 2, sizes at 3; before opset 11 scales at 1) and Upsample (attribute or 1). */
es_status es_shape_resize(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims in = es_op_dims(op, 0);
    es_dims out = es_dims_unknown(in.rank);
    int32_t type = es_op_in(op, 0)->type;
    bool late = op->row->arg == 0 && op->version >= 11;
    const int64_t *axis_list = NULL;
    size_t axis_count = es_op_ints(op, "axes", &axis_list);
    if (in.rank < 0)
        return es_op_out(op, 0, type, &out, err);
    size_t wanted = axis_count > 0 ? axis_count : (size_t)in.rank;
    int32_t axes[ES_RANK_MAX] = {0};
    if (wanted > ES_RANK_MAX)
        return es_op_fail(op, err, "%zu axes for rank %d", wanted, (int)in.rank);
    for (size_t k = 0; k < wanted; k++) {
        axes[k] = (int32_t)k;
        if (axis_count > 0)
            ES_TRY(es_op_axis(op, axis_list[k], in.rank, &axes[k], err));
    }
    if (axis_count > 0)
        out = in;
    size_t sizes_count = 0;
    size_t scales_count = 0;
    const es_num *sizes = late ? es_op_data(op, 3, &sizes_count) : NULL;
    const es_num *scales = es_op_data(op, late ? 2 : 1, &scales_count);
    const Onnx__AttributeProto *fixed = es_op_attr(op, "scales");
    if (sizes != NULL && sizes_count > 0) {
        if (sizes_count != wanted)
            return es_op_fail(op, err, "%zu sizes for %zu axes", sizes_count, wanted);
        bool keep = !es_op_text_is(op, "keep_aspect_ratio_policy", "") &&
                    !es_op_text_is(op, "keep_aspect_ratio_policy", "stretch");
        for (size_t k = 0; k < wanted; k++)
            out.d[axes[k]] = (es_dim){.v = sizes[k].i, .symbol = sizes[k].symbol};
        for (size_t k = 0; keep && k < wanted; k++) {
            if (!es_dim_known(in.d[axes[k]]) || in.d[axes[k]].v == 0 || sizes[k].symbol != 0)
                return es_op_out_unknown(op, 0, type, in.rank, err);
        }
        double scale = keep ? one_scale(op, &in, axes, sizes, wanted) : 1.0;
        for (size_t k = 0; keep && k < wanted && scale < 1e9 && scale > 0; k++)
            out.d[axes[k]] = dim_of_real(floor(scale * (double)in.d[axes[k]].v + 0.5));
        return es_op_out(op, 0, type, &out, err);
    }
    size_t count = fixed != NULL ? fixed->n_floats : scales_count;
    if ((fixed == NULL && scales == NULL) || count == 0 || (late && es_op_has(op, 3))) {
        for (size_t k = 0; k < wanted; k++)
            out.d[axes[k]] = es_dim_unknown();
        return es_op_out(op, 0, type, &out, err);
    }
    if (count != wanted)
        return es_op_fail(op, err, "%zu scales for %zu axes", count, wanted);
    for (size_t k = 0; k < wanted; k++) {
        double scale = fixed != NULL ? (double)fixed->floats[k] : scales[k].f;
        bool known = fixed != NULL || scales[k].symbol == 0;
        es_dim dim = in.d[axes[k]];
        out.d[axes[k]] = es_dim_unknown();
        if (known && !(scale > 0 && scale < 1e9))
            return es_op_fail(op, err, "scale %g of axis %d, must be > 0", scale, (int)axes[k]);
        if (known && scale >= 1.0 && scale <= 1.0)
            out.d[axes[k]] = dim;
        else if (known && es_dim_known(dim) && dim.v < INT32_MAX)
            out.d[axes[k]] = dim_of_real(floor((double)dim.v * scale));
    }
    return es_op_out(op, 0, type, &out, err);
}

es_status es_shape_compress(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    if (es_op_attr(op, "axis") == NULL)
        return es_op_out_unknown(op, 0, es_op_in(op, 0)->type, 1, err);
    if (out.rank >= 0) {
        int32_t axis = 0;
        ES_TRY(es_op_axis(op, es_op_int(op, "axis", 0), out.rank, &axis, err));
        out.d[axis] = es_dim_unknown();
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_unique(es_op *op, es_error *err)
{
    ES_TRY(es_shape_compress(op, err)); /* the same rule; input 1 is not there */
    for (size_t i = 1; i < 4; i++)
        ES_TRY(es_op_out_unknown(op, i, ES_MODEL_INT64, 1, err));
    return ES_OK;
}

es_status es_shape_multinomial(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    if (out.rank == 2)
        out.d[1] = es_dim_of(es_op_int(op, "sample_size", 1));
    return es_op_out(op, 0, (int32_t)es_op_int(op, "dtype", ES_MODEL_INT32), &out, err);
}

/* Drops the last two axes. */
es_status es_shape_det(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    if (out.rank >= 0 && out.rank < 2)
        return es_op_fail(op, err, "rank %d, must be >= 2", (int)out.rank);
    out.rank = out.rank >= 0 ? out.rank - 2 : -1;
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_crop_pad(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims out = es_op_dims(op, 0);
    es_dims sizes = {0};
    bool given = false;
    bool known = false;
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_int_list(op, NULL, 1, &sizes, &given, &known, err));
    const int64_t *axes = NULL;
    size_t axis_count = es_op_ints(op, "axes", &axes);
    if (out.rank < 0 || !known)
        return es_op_out_unknown(op, 0, type, out.rank, err);
    if (sizes.rank != (axis_count > 0 ? (int32_t)axis_count : out.rank))
        return es_op_fail(op, err, "%d sizes for rank %d", (int)sizes.rank, (int)out.rank);
    for (int32_t k = 0; k < sizes.rank; k++) {
        int32_t axis = k;
        if (axis_count > 0)
            ES_TRY(es_op_axis(op, axes[k], out.rank, &axis, err));
        out.d[axis] = sizes.d[k];
    }
    return es_op_out(op, 0, type, &out, err);
}
