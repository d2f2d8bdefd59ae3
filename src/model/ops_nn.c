/*
 * Convolutions, pooling, matrix products, recurrent layers: shapes and multiply-accumulates.
 */
#include "model/internal.h"

typedef struct window {
    int32_t axes; /* spatial axes */
    int64_t kernel[ES_RANK_MAX];
    int64_t stride[ES_RANK_MAX];
    int64_t dilation[ES_RANK_MAX];
    int64_t pad[2 * ES_RANK_MAX]; /* begins, then ends */
    bool same_upper;
    bool same_lower;
    bool valid;
    bool ceil;
} window;

static es_status window_list(const es_op *op, const char *name, int32_t count, int64_t min,
                             int64_t *out, es_error *err)
{
    const int64_t *values = NULL;
    size_t given = es_op_ints(op, name, &values);
    if (given == 0)
        return ES_OK;
    if (given != (size_t)count)
        return es_op_fail(op, err, "%s has %zu entries, expected %d", name, given, (int)count);
    for (int32_t i = 0; i < count; i++) {
        if (values[i] < min || values[i] > INT32_MAX)
            return es_op_fail(op, err, "%s[%d] is %lld, must be in [%lld, %d]", name, (int)i,
                              (long long)values[i], (long long)min, INT32_MAX);
        out[i] = values[i];
    }
    return ES_OK;
}

/* kernel is filled in with what the weights say (0 where not known) before. */
static es_status read_window(const es_op *op, int32_t axes, window *w, es_error *err)
{
    w->axes = axes;
    for (int32_t i = 0; i < axes; i++)
        w->stride[i] = w->dilation[i] = 1;
    int64_t from_weights[ES_RANK_MAX];
    memcpy(from_weights, w->kernel, sizeof from_weights);
    ES_TRY(window_list(op, "kernel_shape", axes, 1, w->kernel, err));
    for (int32_t i = 0; i < axes; i++) {
        if (from_weights[i] > 0 && w->kernel[i] != from_weights[i])
            return es_op_fail(op, err, "kernel_shape[%d] is %lld, the weights have %lld", (int)i,
                              (long long)w->kernel[i], (long long)from_weights[i]);
    }
    ES_TRY(window_list(op, "strides", axes, 1, w->stride, err));
    ES_TRY(window_list(op, "dilations", axes, 1, w->dilation, err));
    ES_TRY(window_list(op, "pads", 2 * axes, -INT32_MAX, w->pad, err));
    w->same_upper = es_op_text_is(op, "auto_pad", "SAME_UPPER");
    w->same_lower = es_op_text_is(op, "auto_pad", "SAME_LOWER");
    w->valid = es_op_text_is(op, "auto_pad", "VALID");
    w->ceil = es_op_int(op, "ceil_mode", 0) != 0;
    if (w->same_upper || w->same_lower || w->valid)
        memset(w->pad, 0, sizeof w->pad);
    else if (!es_op_text_is(op, "auto_pad", "") && !es_op_text_is(op, "auto_pad", "NOTSET"))
        return es_op_fail(op, err, "auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID");
    return ES_OK;
}

/* Output size of axis i: floor or ceil of (in + pads - extent) / stride + 1. */
static es_status slide(const es_op *op, const window *w, int32_t i, es_dim in, es_dim *out,
                       es_error *err)
{
    *out = es_dim_unknown();
    if (!es_dim_known(in) || w->kernel[i] == 0)
        return ES_OK;
    if (w->same_upper || w->same_lower) {
        *out = es_dim_of((in.v + w->stride[i] - 1) / w->stride[i]);
        return ES_OK;
    }
    int64_t extent = (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t padded = in.v + w->pad[i] + w->pad[i + w->axes];
    int64_t room = padded - extent;
    if (room < 0)
        return es_op_fail(op, err,
                          "spatial axis %d: kernel reaches over %lld, padded input is %lld", (int)i,
                          (long long)extent, (long long)padded);
    int64_t steps = room / w->stride[i];
    /* With ceil_mode a last window may start inside the input or its left padding only. */
    if (w->ceil && room % w->stride[i] != 0 && (steps + 1) * w->stride[i] < in.v + w->pad[i])
        steps++;
    *out = es_dim_of(steps + 1);
    return ES_OK;
}

/* Where X and W are: Conv, ConvInteger, FusedConv 0 and 1; QLinearConv 0 and 3 (row->arg 1). */
static size_t weights_at(const es_op *op)
{
    return op->row->arg == 1 ? 3 : 1;
}

es_status es_shape_conv(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, weights_at(op) + 1, err));
    es_dims x = es_op_dims(op, 0);
    es_dims w = es_op_dims(op, weights_at(op));
    int32_t type = es_op_in(op, 0)->type;
    if (op->row->arg == 1)
        type = es_op_in(op, 7)->type;
    else if (op->row->arg == 2)
        type = ES_MODEL_INT32;
    int32_t rank = x.rank >= 0 ? x.rank : w.rank;
    if (rank < 0)
        return es_op_out_unknown(op, 0, type, -1, err);
    if (rank < 3 || (w.rank >= 0 && w.rank != rank))
        return es_op_fail(op, err, "input has rank %d, weights %d: must be equal and >= 3",
                          (int)x.rank, (int)w.rank);
    window win = {0};
    for (int32_t i = 2; i < w.rank; i++)
        win.kernel[i - 2] = es_dim_known(w.d[i]) ? w.d[i].v : 0;
    ES_TRY(read_window(op, rank - 2, &win, err));
    int64_t group = es_op_int(op, "group", 1);
    if (group < 1)
        return es_op_fail(op, err, "group is %lld, must be >= 1", (long long)group);
    es_dims out = es_dims_unknown(rank);
    if (w.rank > 0) {
        out.d[1] = w.d[0];
        if (es_dim_known(w.d[0]) && w.d[0].v % group != 0)
            return es_op_fail(op, err, "%lld output channels do not divide by group %lld",
                              (long long)w.d[0].v, (long long)group);
        int64_t channels = 0;
        if (x.rank > 0 && es_dim_known(w.d[1]) && es_dim_known(x.d[1]) &&
            (!es_int64_mul(w.d[1].v, group, &channels) || channels != x.d[1].v))
            return es_op_fail(op, err,
                              "input has %lld channels, weights take %lld in each of %lld groups",
                              (long long)x.d[1].v, (long long)w.d[1].v, (long long)group);
    }
    if (x.rank > 0)
        out.d[0] = x.d[0];
    for (int32_t i = 2; i < x.rank; i++)
        ES_TRY(slide(op, &win, i - 2, x.d[i], &out.d[i], err));
    return es_op_out(op, 0, type, &out, err);
}

/* Elements of fact, or -1. */
static int64_t product_from(const es_fact *fact, int32_t from)
{
    int64_t product = 1;
    if (fact->rank < from)
        return -1;
    for (int32_t i = from; i < fact->rank; i++) {
        if (!es_dim_known(fact->dims[i]) || !es_int64_mul(product, fact->dims[i].v, &product))
            return -1;
    }
    return product;
}

/* outputs * (C_in / group) * kernel, the last two being the weights without axis 0 */
es_status es_macs_conv(es_op *op, es_error *err)
{
    int64_t factors[2] = {es_fact_elements(&op->outs[0]),
                          product_from(es_op_in(op, weights_at(op)), 1)};
    return es_op_set_macs(op, factors, 2, err);
}

/* Size without output_shape: stride*(in-1) + output_padding + extent - pads. */
es_status es_shape_conv_transpose(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims x = es_op_dims(op, 0);
    es_dims w = es_op_dims(op, 1);
    int32_t type = es_op_in(op, 0)->type;
    int32_t rank = x.rank >= 0 ? x.rank : w.rank;
    if (rank < 0)
        return es_op_out_unknown(op, 0, type, -1, err);
    if (rank < 3 || (w.rank >= 0 && w.rank != rank))
        return es_op_fail(op, err, "input has rank %d, weights %d: must be equal and >= 3",
                          (int)x.rank, (int)w.rank);
    window win = {0};
    for (int32_t i = 2; i < w.rank; i++)
        win.kernel[i - 2] = es_dim_known(w.d[i]) ? w.d[i].v : 0;
    ES_TRY(read_window(op, rank - 2, &win, err));
    int64_t more[ES_RANK_MAX] = {0};
    ES_TRY(window_list(op, "output_padding", rank - 2, 0, more, err));
    int64_t group = es_op_int(op, "group", 1);
    const int64_t *shape = NULL;
    size_t shape_count = es_op_ints(op, "output_shape", &shape);
    if (group < 1 ||
        (shape_count != 0 && shape_count != (size_t)rank - 2 && shape_count != (size_t)rank))
        return es_op_fail(op, err, "group is %lld, output_shape has %zu entries", (long long)group,
                          shape_count);
    es_dims out = es_dims_unknown(rank);
    if (x.rank > 0) {
        out.d[0] = x.d[0];
        if (w.rank > 0 && es_dim_known(x.d[1]) && es_dim_known(w.d[0]) && x.d[1].v != w.d[0].v)
            return es_op_fail(op, err, "input has %lld channels, weights take %lld",
                              (long long)x.d[1].v, (long long)w.d[0].v);
    }
    if (w.rank > 0)
        out.d[1] = es_dim_mul(w.d[1], es_dim_of(group));
    for (int32_t i = 0; i < rank - 2; i++) {
        if (shape_count > 0) {
            out.d[i + 2] = es_dim_of(shape[shape_count == (size_t)rank ? i + 2 : i]);
            continue;
        }
        if (x.rank < 0 || !es_dim_known(x.d[i + 2]) || win.kernel[i] == 0 ||
            x.d[i + 2].v > INT32_MAX)
            continue;
        if (win.same_upper || win.same_lower) {
            out.d[i + 2] = es_dim_of(x.d[i + 2].v * win.stride[i]);
            continue;
        }
        int64_t size = win.stride[i] * (x.d[i + 2].v - 1) + more[i] +
                       (win.kernel[i] - 1) * win.dilation[i] + 1 - win.pad[i] -
                       win.pad[i + rank - 2];
        out.d[i + 2] = es_dim_of(size);
    }
    return es_op_out(op, 0, type, &out, err);
}

/* inputs * (C_out / group) * kernel: every input element meets every weight of its channel */
es_status es_macs_conv_transpose(es_op *op, es_error *err)
{
    int64_t factors[2] = {es_fact_elements(es_op_in(op, 0)), product_from(es_op_in(op, 1), 1)};
    return es_op_set_macs(op, factors, 2, err);
}

/* row->arg: 0 keeps the type, 1 has QLinear's zero point at 4. Output 1 is indices. */
es_status es_shape_pool(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims x = es_op_dims(op, 0);
    int32_t type = es_op_in(op, 0)->type;
    es_dims out = x;
    if (x.rank >= 0) {
        bool last = op->row->arg == 1 && es_op_int(op, "channels_last", 0) != 0;
        int32_t first = last ? 1 : 2;
        window win = {0};
        if (x.rank < 3)
            return es_op_fail(op, err, "rank %d, must be >= 3", (int)x.rank);
        if (es_op_attr(op, "kernel_shape") == NULL)
            return es_op_fail(op, err, "kernel_shape is missing");
        ES_TRY(read_window(op, x.rank - 2, &win, err));
        for (int32_t i = 0; i < win.axes; i++)
            ES_TRY(slide(op, &win, i, x.d[i + first], &out.d[i + first], err));
    }
    ES_TRY(es_op_out(op, 0, type, &out, err));
    return es_op_out(op, 1, ES_MODEL_INT64, &out, err);
}

es_status es_shape_global_pool(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    bool last = op->row->arg == 1 && es_op_int(op, "channels_last", 0) != 0;
    for (int32_t i = last ? 1 : 2; i < out.rank - (last ? 1 : 0); i++)
        out.d[i] = es_dim_of(1);
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

/* ---- recurrent layers ---- */

/* X [T,B,I] (layout 1: [B,T,I]), W [D,G*H,I], R [D,G*H,H]; row->arg is G, the gates. */
es_status es_shape_rnn(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    es_dims x = es_op_dims(op, 0);
    es_dims r = es_op_dims(op, 2);
    if ((x.rank >= 0 && x.rank != 3) || (r.rank >= 0 && r.rank != 3))
        return es_op_fail(op, err, "input has rank %d, recurrent weights %d: both must be 3",
                          (int)x.rank, (int)r.rank);
    es_dim hidden = r.rank == 3 ? r.d[2] : es_dim_unknown();
    if (es_op_attr(op, "hidden_size") != NULL)
        ES_TRY(es_dim_merge(op, hidden, es_dim_of(es_op_int(op, "hidden_size", 0)), "hidden_size",
                            &hidden, err));
    es_dim directions = es_dim_of(es_op_text_is(op, "direction", "bidirectional") ? 2 : 1);
    bool batch_first = es_op_int(op, "layout", 0) != 0;
    es_dim steps = x.rank == 3 ? x.d[batch_first] : es_dim_unknown();
    es_dim batch = x.rank == 3 ? x.d[!batch_first] : es_dim_unknown();
    int32_t type = es_op_in(op, 0)->type;
    es_dims all = {.rank = 4, .d = {steps, directions, batch, hidden}};
    es_dims last = {.rank = 3, .d = {directions, batch, hidden}};
    if (batch_first) {
        all = (es_dims){.rank = 4, .d = {batch, steps, directions, hidden}};
        last = (es_dims){.rank = 3, .d = {batch, directions, hidden}};
    }
    ES_TRY(es_op_out(op, 0, type, &all, err));
    ES_TRY(es_op_out(op, 1, type, &last, err));
    return es_op_out(op, 2, type, &last, err);
}

/* steps * batch * (elements of W + elements of R) */
es_status es_macs_rnn(es_op *op, es_error *err)
{
    es_dims x = es_op_dims(op, 0);
    int64_t w = es_fact_elements(es_op_in(op, 1));
    int64_t r = es_fact_elements(es_op_in(op, 2));
    int64_t sum = 0;
    if (x.rank != 3 || !es_dim_known(x.d[0]) || !es_dim_known(x.d[1]) || w < 0 || r < 0 ||
        !es_int64_add(w, r, &sum))
        return ES_OK;
    int64_t factors[3] = {x.d[0].v, x.d[1].v, sum};
    return es_op_set_macs(op, factors, 3, err);
}

/* ---- matrix products ---- */

/* A' [M,K] * B' [K,N]; row->arg 1: QGemm, B at 3, type of the output zero point at 8 */
es_status es_shape_gemm(es_op *op, es_error *err)
{
    size_t at = op->row->arg == 1 ? 3 : 1;
    ES_TRY(es_op_need(op, at + 1, err));
    es_dims a = es_op_dims(op, 0);
    es_dims b = es_op_dims(op, at);
    bool a_turned = es_op_int(op, "transA", 0) != 0;
    bool b_turned = es_op_int(op, "transB", 0) != 0;
    es_dims out = es_dims_unknown(2);
    if ((a.rank >= 0 && a.rank != 2) || (b.rank >= 0 && b.rank != 2))
        return es_op_fail(op, err, "A has rank %d, B %d: both must be 2", (int)a.rank, (int)b.rank);
    if (a.rank == 2)
        out.d[0] = a.d[a_turned];
    if (b.rank == 2)
        out.d[1] = b.d[!b_turned];
    es_dim ignored;
    if (a.rank == 2 && b.rank == 2)
        ES_TRY(es_dim_merge(op, a.d[!a_turned], b.d[b_turned], "inner dimension", &ignored, err));
    int32_t type = es_op_in(op, 0)->type;
    if (op->row->arg == 1)
        type = es_op_has(op, 8) ? es_op_in(op, 8)->type : (int32_t)ES_MODEL_FLOAT;
    return es_op_out(op, 0, type, &out, err);
}

/* outputs * K */
es_status es_macs_gemm(es_op *op, es_error *err)
{
    es_dims a = es_op_dims(op, 0);
    bool a_turned = es_op_int(op, "transA", 0) != 0;
    if (a.rank != 2 || !es_dim_known(a.d[!a_turned]))
        return ES_OK;
    int64_t factors[2] = {es_fact_elements(&op->outs[0]), a.d[!a_turned].v};
    return es_op_set_macs(op, factors, 2, err);
}

static void turn_last(es_dims *dims)
{
    if (dims->rank >= 2) {
        es_dim swap = dims->d[dims->rank - 1];
        dims->d[dims->rank - 1] = dims->d[dims->rank - 2];
        dims->d[dims->rank - 2] = swap;
    }
}

/* numpy's matmul. row->arg: 1 MatMulInteger, 2 QLinearMatMul (B at 3, zero point at 7), 3 float
 * out, 4 FusedMatMul with transA and transB */
es_status es_shape_matmul(es_op *op, es_error *err)
{
    size_t at = op->row->arg == 2 ? 3 : 1;
    ES_TRY(es_op_need(op, at + 1, err));
    es_dims a = es_op_dims(op, 0);
    es_dims b = es_op_dims(op, at);
    int32_t type = es_op_in(op, 0)->type;
    type = op->row->arg == 1   ? (int32_t)ES_MODEL_INT32
           : op->row->arg == 2 ? es_op_in(op, 7)->type
           : op->row->arg == 3 ? (int32_t)ES_MODEL_FLOAT
                               : type;
    if (op->row->arg == 4 && es_op_int(op, "transA", 0) != 0)
        turn_last(&a);
    if (op->row->arg == 4 && es_op_int(op, "transB", 0) != 0)
        turn_last(&b);
    if (a.rank < 0 || b.rank < 0)
        return es_op_out_unknown(op, 0, type, -1, err);
    if (a.rank == 0 || b.rank == 0)
        return es_op_fail(op, err, "a scalar cannot be multiplied as a matrix");
    bool a_row = a.rank == 1;
    bool b_column = b.rank == 1;
    es_dim rows = a_row ? es_dim_of(1) : a.d[a.rank - 2];
    es_dim columns = b_column ? es_dim_of(1) : b.d[b.rank - 1];
    es_dim ignored;
    ES_TRY(es_dim_merge(op, a.d[a.rank - 1], b.d[b_column ? 0 : b.rank - 2], "inner dimension",
                        &ignored, err));
    a.rank = a_row ? 0 : a.rank - 2;
    b.rank = b_column ? 0 : b.rank - 2;
    es_dims out = {0};
    ES_TRY(es_dims_broadcast(op, &a, &b, &out, err));
    if (!a_row)
        out.d[out.rank++] = rows;
    if (!b_column)
        out.d[out.rank++] = columns;
    return es_op_out(op, 0, type, &out, err);
}

/* outputs * K, K the last axis of A (the one before when FusedMatMul turns it) */
es_status es_macs_matmul(es_op *op, es_error *err)
{
    es_dims a = es_op_dims(op, 0);
    if (op->row->arg == 4 && es_op_int(op, "transA", 0) != 0)
        turn_last(&a);
    if (a.rank < 1 || !es_dim_known(a.d[a.rank - 1]))
        return ES_OK;
    int64_t factors[2] = {es_fact_elements(&op->outs[0]), a.d[a.rank - 1].v};
    return es_op_set_macs(op, factors, 2, err);
}
