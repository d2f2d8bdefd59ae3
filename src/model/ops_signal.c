/*
 * Einsum, attention, signal, vision and loss operators.
 */
#include "model/internal.h"

/* ---- einsum ---- */

enum { LETTERS = 128, TERMS_MAX = 8 };

typedef struct einsum {
    es_dim sizes[LETTERS];
    bool seen[LETTERS];
    char output[ES_RANK_MAX + 1];
    int32_t output_rank;
    bool understood; /* no ellipsis */
} einsum;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Explicit output, or the letters that come once, sorted. */
static void implicit_output(einsum *e, const int *times)
{
    e->output_rank = 0;
    for (int c = 0; c < LETTERS; c++) {
        if (times[c] == 1 && e->output_rank < ES_RANK_MAX)
            e->output[e->output_rank++] = (char)c;
    }
}

static es_status read_einsum(const es_op *op, einsum *e, es_error *err)
{
    const Onnx__AttributeProto *equation = es_op_attr(op, "equation");
    if (equation == NULL || !equation->has_s)
        return es_op_fail(op, err, "attribute 'equation' is missing");
    int times[LETTERS] = {0};
    size_t term = 0;
    int32_t axis = 0;
    bool output = false;
    e->understood = true;
    es_dims in = es_op_dims(op, 0);
    for (size_t i = 0; i < equation->s.len; i++) {
        char c = (char)equation->s.data[i];
        if (c == ' ')
            continue;
        if (c == '.') {
            e->understood = false;
            return ES_OK;
        }
        bool arrow = c == '-' && i + 1 < equation->s.len && equation->s.data[i + 1] == '>';
        if ((c == ',' || arrow) && !output) {
            if (in.rank >= 0 && axis != in.rank)
                return es_op_fail(op, err, "term %zu has %d letters, input has rank %d", term,
                                  (int)axis, (int)in.rank);
            axis = 0;
            output = arrow;
            i += arrow;
            in = es_op_dims(op, ++term);
            continue;
        }
        if (!is_letter(c) || (output && (!e->seen[(int)c] || e->output_rank == ES_RANK_MAX)) ||
            axis == ES_RANK_MAX)
            return es_op_fail(op, err, "equation has '%c' at place %zu", c, i);
        if (output) {
            e->output[e->output_rank++] = c;
            continue;
        }
        es_dim dim = axis < in.rank ? in.d[axis] : es_dim_unknown();
        if (in.rank >= 0 && axis >= in.rank)
            return es_op_fail(op, err, "term %zu has more letters than input has dimensions", term);
        axis++;
        times[(int)c]++;
        bool one = e->seen[(int)c] && es_dim_known(dim) && dim.v == 1;
        bool was_one = e->seen[(int)c] && es_dim_known(e->sizes[(int)c]) && e->sizes[(int)c].v == 1;
        if (!e->seen[(int)c] || was_one)
            e->sizes[(int)c] = dim;
        else if (!one)
            ES_TRY(
                es_dim_merge(op, e->sizes[(int)c], dim, "repeated letter", &e->sizes[(int)c], err));
        e->seen[(int)c] = true;
    }
    if (!output)
        implicit_output(e, times);
    return ES_OK;
}

es_status es_shape_einsum(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    einsum e = {.understood = false};
    ES_TRY(read_einsum(op, &e, err));
    int32_t type = es_op_in(op, 0)->type;
    if (!e.understood)
        return es_op_out_unknown(op, 0, type, -1, err);
    es_dims out = {.rank = e.output_rank};
    for (int32_t i = 0; i < e.output_rank; i++)
        out.d[i] = e.sizes[(int)e.output[i]];
    return es_op_out(op, 0, type, &out, err);
}

/* product of the sizes of all letters; 0 with a single input */
es_status es_macs_einsum(es_op *op, es_error *err)
{
    einsum e = {.understood = false};
    ES_TRY(read_einsum(op, &e, err));
    int64_t factors[LETTERS];
    size_t count = 0;
    if (!e.understood)
        return ES_OK;
    if (op->node->input_count < 2) {
        op->macs = 0;
        return ES_OK;
    }
    for (int c = 0; c < LETTERS; c++) {
        if (e.seen[c])
            factors[count++] = es_dim_known(e.sizes[c]) ? e.sizes[c].v : -1;
    }
    return es_op_set_macs(op, factors, count, err);
}

/* ---- attention (opset 23) ---- */

typedef struct heads {
    es_dim batch, query_heads, value_heads, query_length, total, key_size, value_size;
} heads;

static es_dim div_dim(es_dim a, int64_t b)
{
    return es_dim_known(a) && b > 0 && a.v % b == 0 ? es_dim_of(a.v / b) : es_dim_unknown();
}

static bool read_heads(const es_op *op, heads *h)
{
    es_dims q = es_op_dims(op, 0);
    es_dims k = es_op_dims(op, 1);
    es_dims v = es_op_dims(op, 2);
    if (q.rank != k.rank || q.rank != v.rank || (q.rank != 3 && q.rank != 4))
        return false;
    h->batch = q.d[0];
    if (q.rank == 4) {
        h->query_heads = q.d[1];
        h->value_heads = v.d[1];
        h->key_size = k.d[3];
        h->value_size = v.d[3];
        h->query_length = q.d[2];
        h->total = k.d[2];
    } else {
        int64_t query_heads = es_op_int(op, "q_num_heads", 0);
        int64_t value_heads = es_op_int(op, "kv_num_heads", 0);
        h->query_heads = query_heads > 0 ? es_dim_of(query_heads) : es_dim_unknown();
        h->value_heads = value_heads > 0 ? es_dim_of(value_heads) : es_dim_unknown();
        h->key_size = div_dim(k.d[2], value_heads);
        h->value_size = div_dim(v.d[2], value_heads);
        h->query_length = q.d[1];
        h->total = k.d[1];
    }
    es_dims past = es_op_dims(op, 4);
    int64_t total = 0;
    if (past.rank == 4 && es_dim_known(past.d[2]) && es_dim_known(h->total) &&
        es_int64_add(past.d[2].v, h->total.v, &total))
        h->total = es_dim_of(total);
    else if (es_op_has(op, 4))
        h->total = es_dim_unknown();
    return true;
}

es_status es_shape_attention(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    heads h;
    es_dims q = es_op_dims(op, 0);
    int32_t type = es_op_in(op, 0)->type;
    if (!read_heads(op, &h)) {
        for (size_t i = 0; i < 4; i++)
            ES_TRY(es_op_out_unknown(op, i, type, i == 0 ? q.rank : 4, err));
        return ES_OK;
    }
    es_dims y = {.rank = 4, .d = {h.batch, h.query_heads, h.query_length, h.value_size}};
    if (q.rank == 3)
        y = (es_dims){.rank = 3,
                      .d = {h.batch, h.query_length, es_dim_mul(h.query_heads, h.value_size)}};
    es_dims key = {.rank = 4, .d = {h.batch, h.value_heads, h.total, h.key_size}};
    es_dims value = {.rank = 4, .d = {h.batch, h.value_heads, h.total, h.value_size}};
    es_dims score = {.rank = 4, .d = {h.batch, h.query_heads, h.query_length, h.total}};
    ES_TRY(es_op_out(op, 0, type, &y, err));
    ES_TRY(es_op_out(op, 1, type, &key, err));
    ES_TRY(es_op_out(op, 2, type, &value, err));
    return es_op_out(op, 3, type, &score, err);
}

static int64_t value_of(es_dim dim)
{
    return es_dim_known(dim) ? dim.v : -1;
}

/* batch * heads * query length * total length * (key size + value size) */
es_status es_macs_attention(es_op *op, es_error *err)
{
    heads h;
    int64_t sizes = 0;
    if (!read_heads(op, &h) || !es_dim_known(h.key_size) || !es_dim_known(h.value_size) ||
        !es_int64_add(h.key_size.v, h.value_size.v, &sizes))
        return ES_OK;
    int64_t factors[5] = {value_of(h.batch), value_of(h.query_heads), value_of(h.query_length),
                          value_of(h.total), sizes};
    return es_op_set_macs(op, factors, 5, err);
}

/* ---- signal ---- */

/* One constant integer, or unknown. */
static es_dim number_at(es_op *op, size_t index)
{
    size_t count = 0;
    const es_num *data = es_op_data(op, index, &count);
    if (data == NULL || count != 1 || data->symbol != 0 || data->i < 0)
        return es_dim_unknown();
    return es_dim_of(data->i);
}

es_status es_shape_window(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = {.rank = 1, .d = {number_at(op, 0)}};
    return es_op_out(op, 0, (int32_t)es_op_int(op, "output_datatype", ES_MODEL_FLOAT), &out, err);
}

es_status es_shape_dft(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = es_op_dims(op, 0);
    bool one_sided = es_op_int(op, "onesided", 0) != 0;
    bool inverse = es_op_int(op, "inverse", 0) != 0;
    if (out.rank >= 2) {
        es_dim axis_dim = number_at(op, 2);
        size_t count = 0;
        const es_num *given = es_op_data(op, 2, &count);
        int64_t axis = op->version >= 20 ? -2 : es_op_int(op, "axis", 1);
        if (op->version >= 20 && es_op_has(op, 2) && given != NULL && count == 1)
            axis = given->i;
        else if (es_op_has(op, 2) && !es_dim_known(axis_dim))
            return es_op_out_unknown(op, 0, es_op_in(op, 0)->type, out.rank, err);
        int32_t at = 0;
        ES_TRY(es_op_axis(op, axis, out.rank, &at, err));
        if (es_op_has(op, 1))
            out.d[at] = number_at(op, 1);
        if (one_sided && !inverse && es_dim_known(out.d[at]))
            out.d[at] = es_dim_of(out.d[at].v / 2 + 1);
        else if (one_sided && !es_op_has(op, 1) && es_dim_known(out.d[at]))
            out.d[at] = es_dim_of((out.d[at].v - 1) * 2);
        out.d[out.rank - 1] = es_dim_of(one_sided && inverse ? 1 : 2);
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

/* outputs * log2 of the transform's length, rounded up (a fast transform) */
es_status es_macs_dft(es_op *op, es_error *err)
{
    int64_t elements = es_fact_elements(es_op_in(op, 0));
    int64_t steps = 0;
    for (int64_t n = 1; elements >= 0 && n < elements && n < INT64_MAX / 2; n *= 2)
        steps++;
    int64_t factors[2] = {es_fact_elements(&op->outs[0]), elements >= 0 ? steps : -1};
    return es_op_set_macs(op, factors, 2, err);
}

es_status es_shape_stft(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims signal = es_op_dims(op, 0);
    es_dims shape = es_op_dims(op, 2);
    es_dim step = number_at(op, 1);
    es_dim frame = es_op_has(op, 3)  ? number_at(op, 3)
                   : shape.rank == 1 ? shape.d[0]
                                     : es_dim_unknown();
    es_dims out = es_dims_unknown(4);
    out.d[3] = es_dim_of(2);
    if (signal.rank >= 2) {
        out.d[0] = signal.d[0];
        if (es_dim_known(signal.d[1]) && es_dim_known(frame) && es_dim_known(step) && step.v > 0 &&
            signal.d[1].v >= frame.v)
            out.d[1] = es_dim_of((signal.d[1].v - frame.v) / step.v + 1);
    }
    if (es_dim_known(frame))
        out.d[2] = es_dim_of(es_op_int(op, "onesided", 1) != 0 ? frame.v / 2 + 1 : frame.v);
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_mel(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dim length = number_at(op, 1);
    es_dims out = {.rank = 2, .d = {es_dim_unknown(), number_at(op, 0)}};
    if (es_dim_known(length))
        out.d[0] = es_dim_of(length.v / 2 + 1);
    return es_op_out(op, 0, (int32_t)es_op_int(op, "output_datatype", ES_MODEL_FLOAT), &out, err);
}

/* ---- vision ---- */

es_status es_shape_nms(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims out = {.rank = 2, .d = {es_dim_unknown(), es_dim_of(3)}};
    return es_op_out(op, 0, ES_MODEL_INT64, &out, err);
}

/* row->arg 1: MaxRoiPool with pooled_shape; 0: RoiAlign */
es_status es_shape_roi(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims x = es_op_dims(op, 0);
    es_dims rois = es_op_dims(op, 1);
    es_dims out = es_dims_unknown(4);
    const int64_t *pooled = NULL;
    size_t count = es_op_ints(op, "pooled_shape", &pooled);
    out.d[0] = rois.rank == 2 ? rois.d[0] : es_dim_unknown();
    out.d[1] = x.rank == 4 ? x.d[1] : es_dim_unknown();
    if (op->row->arg == 0) {
        out.d[2] = es_dim_of(es_op_int(op, "output_height", 1));
        out.d[3] = es_dim_of(es_op_int(op, "output_width", 1));
    } else if (count == 2) {
        out.d[2] = es_dim_of(pooled[0]);
        out.d[3] = es_dim_of(pooled[1]);
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_unpool(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims x = es_op_dims(op, 0);
    es_dims out = es_dims_unknown(x.rank);
    bool given = false;
    bool known = false;
    es_dims listed = {0};
    ES_TRY(es_op_int_list(op, NULL, 2, &listed, &given, &known, err));
    const int64_t *kernel = NULL;
    const int64_t *stride = NULL;
    const int64_t *pads = NULL;
    size_t kernels = es_op_ints(op, "kernel_shape", &kernel);
    size_t strides = es_op_ints(op, "strides", &stride);
    size_t pad_count = es_op_ints(op, "pads", &pads);
    if (given && known && listed.rank == x.rank)
        out = listed;
    else if (!given && x.rank >= 3 && kernels == (size_t)x.rank - 2) {
        out.d[0] = x.d[0];
        out.d[1] = x.d[1];
        for (size_t i = 0; i < kernels; i++) {
            es_dim in = x.d[i + 2];
            int64_t by = strides == kernels ? stride[i] : 1;
            int64_t cut = pad_count == 2 * kernels ? pads[i] + pads[i + kernels] : 0;
            if (es_dim_known(in) && in.v < INT32_MAX && by > 0 && by < INT32_MAX &&
                kernel[i] < INT32_MAX && cut < INT32_MAX && cut >= 0)
                out.d[i + 2] = es_dim_of((in.v - 1) * by + kernel[i] - cut);
        }
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_grid(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims x = es_op_dims(op, 0);
    es_dims grid = es_op_dims(op, 1);
    es_dims out = es_dims_unknown(x.rank >= 0 ? x.rank : grid.rank);
    for (int32_t i = 0; i < out.rank; i++) {
        if (i < 2 && x.rank >= 0)
            out.d[i] = x.d[i];
        else if (i >= 2 && grid.rank == out.rank)
            out.d[i] = grid.d[i - 1];
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_affine_grid(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims size = {0};
    bool given = false;
    bool known = false;
    int32_t type = es_op_in(op, 0)->type;
    ES_TRY(es_op_int_list(op, NULL, 1, &size, &given, &known, err));
    if (!known || size.rank < 3)
        return es_op_out_unknown(op, 0, type, -1, err);
    es_dims out = {.rank = size.rank};
    out.d[0] = size.d[0];
    for (int32_t i = 2; i < size.rank; i++)
        out.d[i - 1] = size.d[i];
    out.d[size.rank - 1] = es_dim_of(size.rank - 2);
    return es_op_out(op, 0, type, &out, err);
}

es_status es_shape_col2im(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    es_dims x = es_op_dims(op, 0);
    es_dims image = {0};
    es_dims block = {0};
    bool given = false;
    bool image_known = false;
    bool block_known = false;
    int64_t size = 0;
    ES_TRY(es_op_int_list(op, NULL, 1, &image, &given, &image_known, err));
    ES_TRY(es_op_int_list(op, NULL, 2, &block, &given, &block_known, err));
    if (!image_known || x.rank != 3 || image.rank > ES_RANK_MAX - 2)
        return es_op_out_unknown(op, 0, es_op_in(op, 0)->type, -1, err);
    es_dims out = es_dims_unknown(image.rank + 2);
    out.d[0] = x.d[0];
    if (block_known && es_dims_product(&block, 0, block.rank, &size))
        out.d[1] = div_dim(x.d[1], size);
    for (int32_t i = 0; i < image.rank; i++)
        out.d[i + 2] = image.d[i];
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

/* X, W, offset: the spatial axes are those of the offset. */
es_status es_shape_deform(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 3, err));
    es_dims x = es_op_dims(op, 0);
    es_dims w = es_op_dims(op, 1);
    es_dims offset = es_op_dims(op, 2);
    es_dims out = es_dims_unknown(x.rank);
    if (offset.rank == x.rank)
        out = offset;
    if (x.rank >= 2 && w.rank >= 1) {
        out.d[0] = x.d[0];
        out.d[1] = w.d[0];
    }
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

/* as a convolution */
es_status es_macs_deform(es_op *op, es_error *err)
{
    return es_macs_conv(op, err);
}

/* ---- losses ---- */

es_status es_shape_loss(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 2, err));
    es_dims x = es_op_dims(op, 0);
    es_dims out = {.rank = 0};
    if (es_op_text_is(op, "reduction", "none"))
        out = es_op_dims(op, 1);
    ES_TRY(es_op_out(op, 0, es_op_in(op, 0)->type, &out, err));
    return es_op_out(op, 1, es_op_in(op, 0)->type, &x, err);
}
