/*
 * Operators that work element by element: shape of the input, or broadcast of the inputs.
 */
#include "model/internal.h"

/* Output 0 like input 0; constant data by the fold in row->arg. */
es_status es_shape_same(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    const es_fact *in = es_op_in(op, 0);
    if (in->kind != ES_MODEL_KIND_TENSOR) {
        if (op->node->output_count > 0)
            op->outs[0] = *in; /* Identity of a sequence, or not known */
        return ES_OK;
    }
    es_dims dims = es_op_dims(op, 0);
    ES_TRY(es_op_out(op, 0, in->type, &dims, err));
    es_fold fold = (es_fold)op->row->arg;
    size_t count = 0;
    const es_num *data = fold != ES_FOLD_NONE ? es_op_data(op, 0, &count) : NULL;
    if (data == NULL)
        return ES_OK;
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, count);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    for (size_t i = 0; i < count; i++)
        result[i] = es_fold_one(fold, data[i], in->type);
    es_op_out_data(op, 0, result, count);
    return ES_OK;
}

/* The shape of input 0 with the element type in row->arg. */
es_status es_shape_same_typed(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims dims = es_op_dims(op, 0);
    return es_op_out(op, 0, op->row->arg, &dims, err);
}

/* Data of two small constants of equal count, or one of them a single element. */
static es_status fold_pair(es_op *op, es_error *err)
{
    size_t a_count = 0;
    size_t b_count = 0;
    es_fold fold = (es_fold)op->row->arg;
    const es_num *a = fold != ES_FOLD_NONE ? es_op_data(op, 0, &a_count) : NULL;
    const es_num *b = a != NULL ? es_op_data(op, 1, &b_count) : NULL;
    if (b == NULL || (a_count != b_count && a_count != 1 && b_count != 1))
        return ES_OK;
    size_t count = a_count == 1 ? b_count : a_count;
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, count);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    int32_t type = es_op_in(op, 0)->type;
    for (size_t i = 0; i < count; i++)
        result[i] = es_fold_two(fold, a[a_count == 1 ? 0 : i], b[b_count == 1 ? 0 : i], type);
    es_op_out_data(op, 0, result, count);
    return ES_OK;
}

/* Before opset 7 the second input broadcast along `axis` to the shape of the first. */
static es_status pair(es_op *op, bool boolean, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims a = es_op_dims(op, 0);
    es_dims b = es_op_dims(op, 1);
    es_dims out = a;
    bool new_rules = op->version >= 7 || op->version == 0 || es_op_attr(op, "broadcast") == NULL;
    if (new_rules)
        ES_TRY(es_dims_broadcast(op, &a, &b, &out, err));
    int32_t type = es_op_in(op, 0)->type;
    if (type == ES_MODEL_UNDEFINED)
        type = es_op_in(op, 1)->type;
    ES_TRY(es_op_out(op, 0, boolean ? (int32_t)ES_MODEL_BOOL : type, &out, err));
    return fold_pair(op, err);
}

/* Two inputs, numpy broadcasting, the type of the first. */
es_status es_shape_broadcast(es_op *op, es_error *err)
{
    return pair(op, false, err);
}

/* The same with booleans out. */
es_status es_shape_compare(es_op *op, es_error *err)
{
    return pair(op, true, err);
}

/* Any number of inputs that broadcast together. */
es_status es_shape_variadic(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    for (size_t i = 1; i < op->node->input_count; i++) {
        es_dims next = es_op_dims(op, i);
        ES_TRY(es_dims_broadcast(op, &out, &next, &out, err));
    }
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &out, err));
    return op->node->input_count == 2 ? fold_pair(op, err) : ES_OK;
}

es_status es_shape_where(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    es_dims condition = es_op_dims(op, 0);
    es_dims a = es_op_dims(op, 1);
    es_dims b = es_op_dims(op, 2);
    es_dims out = {0};
    ES_TRY(es_dims_broadcast(op, &a, &b, &out, err));
    ES_TRY(es_dims_broadcast(op, &out, &condition, &out, err));
    ES_TRY(es_op_out(op, 0, es_op_in(op, 1)->type, &out, err));
    size_t counts[3] = {0, 0, 0};
    const es_num *data[3] = {NULL};
    size_t count = 1;
    for (size_t i = 0; i < 3; i++) {
        data[i] = es_op_data(op, i, &counts[i]);
        if (data[i] == NULL)
            return ES_OK;
        count = counts[i] != 1 ? counts[i] : count;
    }
    for (size_t i = 0; i < 3; i++) {
        if (counts[i] != 1 && counts[i] != count)
            return ES_OK;
    }
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, count);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    for (size_t i = 0; i < count; i++) {
        es_num choice = data[0][counts[0] == 1 ? 0 : i];
        size_t from = choice.i != 0 ? 1 : 2;
        result[i] =
            choice.symbol == 0 ? data[from][counts[from] == 1 ? 0 : i] : (es_num){.symbol = -1};
    }
    es_op_out_data(op, 0, result, count);
    return ES_OK;
}

static es_num convert(es_num num, int32_t from, int32_t to)
{
    bool was_real = es_type_is_float(from);
    bool real = es_type_is_float(to);
    if (num.symbol != 0)
        return was_real == real || (!was_real && !real) ? num : (es_num){.symbol = -1};
    if (real && !was_real)
        return (es_num){.f = (double)num.i};
    if (!real && was_real) {
        if (!(num.f > -9.2e18 && num.f < 9.2e18))
            return (es_num){.symbol = -1};
        num.i = (int64_t)num.f;
    }
    if (to == ES_MODEL_BOOL)
        num.i = was_real ? (num.f < 0 || num.f > 0) : num.i != 0;
    return num;
}

static es_status cast_to(es_op *op, int32_t type, es_error *err)
{
    es_dims dims = es_op_dims(op, 0);
    ES_TRY(es_op_out(op, 0, type, &dims, err));
    size_t count = 0;
    const es_num *data = es_op_data(op, 0, &count);
    if (data == NULL || !(es_type_is_float(type) || es_type_is_int(type)))
        return ES_OK;
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, count);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    for (size_t i = 0; i < count; i++)
        result[i] = convert(data[i], es_op_in(op, 0)->type, type);
    es_op_out_data(op, 0, result, count);
    return ES_OK;
}

es_status es_shape_cast(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    const Onnx__AttributeProto *to = es_op_attr(op, "to");
    int32_t type = ES_MODEL_UNDEFINED;
    if (to != NULL && to->has_i) {
        type = (int32_t)to->i;
        if (to->i != type || strcmp(es_model_type_name((es_model_type)type), "UNDEFINED") == 0)
            return es_op_fail(op, err, "attribute 'to' is %lld, no element type", (long long)to->i);
    } else if (to == NULL) {
        return es_op_fail(op, err, "attribute 'to' is missing");
    } else { /* before opset 6 the type was a word */
        for (int32_t i = 1; i < ES_MODEL_TYPE_COUNT; i++) {
            if (es_op_text_is(op, "to", es_model_type_name((es_model_type)i)))
                type = i;
        }
    }
    return cast_to(op, type, err);
}

es_status es_shape_cast_like(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    return cast_to(op, es_op_in(op, 1)->type, err);
}

/* Output 1 is the mask. */
es_status es_shape_dropout(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims dims = es_op_dims(op, 0);
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_out(op, 0, type, &dims, err));
    return es_op_out(op, 1, op->version >= 10 ? (int32_t)ES_MODEL_BOOL : type, &dims, err);
}

/* X, scale, B, mean, var: the last four are one number per channel, axis 1. */
es_status es_shape_batchnorm(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 5, err));
    es_dims x = es_op_dims(op, 0);
    es_dim channels = x.rank >= 2 ? x.d[1] : x.rank == 1 ? es_dim_of(1) : es_dim_unknown();
    for (size_t i = 1; i < 5; i++) {
        es_dims one = es_op_dims(op, i);
        if (one.rank >= 0 && one.rank != 1)
            return es_op_fail(op, err, "input %zu has rank %d, must be 1", i, (int)one.rank);
        if (one.rank == 1)
            ES_TRY(es_dim_merge(op, channels, one.d[0], "channels", &channels, err));
    }
    if (x.rank >= 2)
        x.d[1] = channels;
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &x, err));
    es_dims per_channel = {.rank = 1, .d = {channels}};
    for (size_t i = 1; i < op->node->output_count; i++)
        ES_TRY(es_op_out(op, i, es_op_in(op, i < 3 ? i + 2 : i)->type, &per_channel, err));
    return ES_OK;
}

/* Outputs 1 and 2, mean and inverse deviation, have 1 in the normalised axes. */
es_status es_shape_layernorm(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims dims = es_op_dims(op, 0);
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &dims, err));
    int32_t axis = 0;
    if (dims.rank > 0) {
        ES_TRY(es_op_axis(op, es_op_int(op, "axis", -1), dims.rank, &axis, err));
        for (int32_t i = axis; i < dims.rank; i++)
            dims.d[i] = es_dim_of(1);
    }
    int32_t stash = (int32_t)es_op_int(op, "stash_type", ES_MODEL_FLOAT);
    ES_TRY(es_op_out(op, 1, stash, &dims, err));
    return es_op_out(op, 2, stash, &dims, err);
}

/* Output 0 = skip + input normalised; the sum may come out as output 3. */
es_status es_shape_skip_norm(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims dims = es_op_dims(op, 0);
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_out(op, 0, type, &dims, err));
    ES_TRY(es_op_out_unknown(op, 1, ES_MODEL_FLOAT, dims.rank, err));
    ES_TRY(es_op_out_unknown(op, 2, ES_MODEL_FLOAT, dims.rank, err));
    return es_op_out(op, 3, type, &dims, err);
}

/* The shape of input 0; the type from attribute dtype, else that of the input. */
es_status es_shape_like(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims dims = es_op_dims(op, 0);
    return es_op_out(op, 0, (int32_t)es_op_int(op, "dtype", es_op_in(op, 0)->type), &dims, err);
}

/* Type of the zero point, else attribute output_dtype, else UINT8. Also the QLinear* operators that
 * keep a shape; row->arg is then the place of the output zero point, 0 meaning 2. */
es_status es_shape_quantize(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims dims = es_op_dims(op, 0);
    size_t zero = op->row->arg > 0 ? (size_t)op->row->arg : 2;
    int32_t type = (int32_t)es_op_int(op, "output_dtype", 0);
    if (es_op_has(op, zero))
        type = es_op_in(op, zero)->type;
    else if (type == 0)
        type = op->row->arg > 0 ? es_op_in(op, 0)->type : (int32_t)ES_MODEL_UINT8;
    if (op->row->arg == 7) { /* QLinearAdd and the like: A at 0, B at 3 */
        es_dims b = es_op_dims(op, 3);
        ES_TRY(es_dims_broadcast(op, &dims, &b, &dims, err));
    }
    return es_op_out(op, 0, type, &dims, err);
}

es_status es_shape_dequantize(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims dims = es_op_dims(op, 0);
    int64_t type = es_op_int(op, "output_dtype", 0);
    return es_op_out(op, 0, type != 0 ? (int32_t)type : es_op_in(op, 1)->type, &dims, err);
}

es_status es_shape_dynamic_quantize(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims dims = es_op_dims(op, 0);
    es_dims scalar = {.rank = 0};
    ES_TRY(es_op_out(op, 0, ES_MODEL_UINT8, &dims, err));
    ES_TRY(es_op_out(op, 1, ES_MODEL_FLOAT, &scalar, err));
    return es_op_out(op, 2, ES_MODEL_UINT8, &scalar, err);
}

/* A scalar of the type in row->arg (0: that of the input). */
es_status es_shape_scalar(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims scalar = {.rank = 0};
    int32_t type = op->row->arg != 0 ? op->row->arg : es_op_in(op, 0)->type;
    return es_op_out(op, 0, type, &scalar, err);
}
