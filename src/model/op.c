/*
 * What shape functions share: inputs, attributes, constant data, outputs, broadcasting.
 */
#include "model/internal.h"

#include <math.h>

static const es_fact nothing = {.kind = ES_MODEL_KIND_UNKNOWN, .rank = -1};

es_status es_op_fail(const es_op *op, es_error *err, const char *format, ...)
{
    (void)op; /* the caller of the shape function prepends the node */
    va_list args;
    va_start(args, format);
    es_status status = es_fail_v(err, ES_ERR_PARSE, format, args);
    va_end(args);
    return status;
}

/* ---- inputs ---- */

bool es_op_has(const es_op *op, size_t index)
{
    return index < op->node->input_count && op->node->inputs[index] != ES_NO_VALUE;
}

const es_fact *es_op_in(const es_op *op, size_t index)
{
    return es_op_has(op, index) ? &op->infer->facts[op->node->inputs[index]] : &nothing;
}

es_dims es_op_dims(const es_op *op, size_t index)
{
    const es_fact *fact = es_op_in(op, index);
    es_dims dims = {.rank = fact->kind == ES_MODEL_KIND_TENSOR ? fact->rank : -1};
    for (int32_t i = 0; i < dims.rank; i++)
        dims.d[i] = fact->dims[i];
    return dims;
}

es_status es_op_need(const es_op *op, size_t count, es_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!es_op_has(op, i))
            return es_op_fail(op, err, "input %zu is missing", i);
    }
    return ES_OK;
}

/* ---- constant data ---- */

static uint64_t raw_at(const Onnx__TensorProto *tensor, size_t index, size_t width)
{
    uint64_t word = 0;
    for (size_t k = 0; k < width; k++)
        word |= (uint64_t)tensor->raw_data.data[index * width + k] << (8 * k);
    return word;
}

static double float_of(uint32_t word)
{
    float f = 0;
    memcpy(&f, &word, sizeof f);
    return (double)f;
}

static es_num raw_num(const Onnx__TensorProto *tensor, size_t index)
{
    es_num num = {0};
    uint64_t word = 0;
    switch (tensor->data_type) {
    case ES_MODEL_FLOAT:
        num.f = float_of((uint32_t)raw_at(tensor, index, 4));
        break;
    case ES_MODEL_DOUBLE:
        word = raw_at(tensor, index, 8);
        memcpy(&num.f, &word, sizeof num.f);
        break;
    case ES_MODEL_INT8:
        num.i = (int64_t)(raw_at(tensor, index, 1) ^ 0x80) - 0x80; /* extends the sign */
        break;
    case ES_MODEL_UINT8:
    case ES_MODEL_BOOL:
        num.i = (int64_t)raw_at(tensor, index, 1);
        break;
    case ES_MODEL_INT16:
        num.i = (int16_t)raw_at(tensor, index, 2);
        break;
    case ES_MODEL_UINT16:
        num.i = (int64_t)raw_at(tensor, index, 2);
        break;
    case ES_MODEL_INT32:
        num.i = (int32_t)raw_at(tensor, index, 4);
        break;
    case ES_MODEL_UINT32:
        num.i = (int64_t)raw_at(tensor, index, 4);
        break;
    default:
        num.i = (int64_t)raw_at(tensor, index, 8);
        break;
    }
    return num;
}

static es_num typed_num(const Onnx__TensorProto *tensor, size_t index)
{
    es_num num = {0};
    switch (tensor->data_type) {
    case ES_MODEL_FLOAT:
        num.f = (double)tensor->float_data[index];
        break;
    case ES_MODEL_DOUBLE:
        num.f = tensor->double_data[index];
        break;
    case ES_MODEL_INT64:
        num.i = tensor->int64_data[index];
        break;
    case ES_MODEL_UINT32:
    case ES_MODEL_UINT64:
        num.i = (int64_t)tensor->uint64_data[index];
        break;
    default:
        num.i = tensor->int32_data[index];
        break;
    }
    return num;
}

/* The data of a small tensor of a type that inference computes with; NULL otherwise. */
static const es_num *data_of(es_op *op, const Onnx__TensorProto *tensor, size_t *out_count)
{
    int64_t elements = es_tensor_elements(tensor);
    bool computable = es_type_is_int(tensor->data_type) || tensor->data_type == ES_MODEL_FLOAT ||
                      tensor->data_type == ES_MODEL_DOUBLE;
    if (elements > ES_DATA_MAX || !computable)
        return NULL;
    es_num *data = ES_TAKE_ARRAY(op->infer->arena, es_num, (size_t)elements);
    if (data == NULL)
        return NULL; /* a full arena fails at the next shape */
    bool raw = tensor->has_raw_data && tensor->raw_data.len > 0;
    for (size_t i = 0; i < (size_t)elements; i++)
        data[i] = raw ? raw_num(tensor, i) : typed_num(tensor, i);
    *out_count = (size_t)elements;
    return data;
}

const es_num *es_op_data(es_op *op, size_t index, size_t *out_count)
{
    if (!es_op_has(op, index))
        return NULL;
    es_fact *fact = &op->infer->facts[op->node->inputs[index]];
    if (fact->data == NULL && fact->tensor != NULL) {
        fact->data = data_of(op, fact->tensor, &fact->data_count);
        fact->tensor = NULL;
    }
    *out_count = fact->data_count;
    return fact->data;
}

/* ---- attributes ---- */

const Onnx__AttributeProto *es_op_attr(const es_op *op, const char *name)
{
    for (size_t i = 0; i < op->node->proto->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = op->node->proto->attribute[i];
        if (attribute->name != NULL && strcmp(attribute->name, name) == 0)
            return attribute;
    }
    return NULL;
}

int64_t es_op_int(const es_op *op, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *attribute = es_op_attr(op, name);
    return attribute != NULL && attribute->has_i ? attribute->i : fallback;
}

double es_op_float(const es_op *op, const char *name, double fallback)
{
    const Onnx__AttributeProto *attribute = es_op_attr(op, name);
    return attribute != NULL && attribute->has_f ? (double)attribute->f : fallback;
}

bool es_op_text_is(const es_op *op, const char *name, const char *text)
{
    const Onnx__AttributeProto *attribute = es_op_attr(op, name);
    size_t size = strlen(text);
    if (attribute == NULL || !attribute->has_s)
        return size == 0;
    return attribute->s.len == size && memcmp(attribute->s.data, text, size) == 0;
}

size_t es_op_ints(const es_op *op, const char *name, const int64_t **out)
{
    const Onnx__AttributeProto *attribute = es_op_attr(op, name);
    if (attribute == NULL)
        return 0;
    *out = attribute->ints;
    return attribute->n_ints;
}

es_status es_op_int_list(es_op *op, const char *attr, size_t input, es_dims *out, bool *out_given,
                         bool *out_known, es_error *err)
{
    *out = (es_dims){0};
    *out_given = *out_known = false;
    const Onnx__AttributeProto *attribute = attr != NULL ? es_op_attr(op, attr) : NULL;
    if (attribute != NULL) {
        if (attribute->n_ints > ES_RANK_MAX)
            return es_op_fail(op, err, "%s has %zu entries, at most %d are supported", attr,
                              attribute->n_ints, ES_RANK_MAX);
        *out_given = *out_known = true;
        out->rank = (int32_t)attribute->n_ints;
        for (size_t i = 0; i < attribute->n_ints; i++)
            out->d[i] = es_dim_of(attribute->ints[i]);
        return ES_OK;
    }
    if (!es_op_has(op, input))
        return ES_OK;
    *out_given = true;
    size_t count = 0;
    const es_num *data = es_op_data(op, input, &count);
    const es_fact *fact = es_op_in(op, input);
    if (data == NULL || !es_type_is_int(fact->type))
        return ES_OK;
    if (count > ES_RANK_MAX)
        return es_op_fail(op, err, "input %zu has %zu entries, at most %d are supported", input,
                          count, ES_RANK_MAX);
    *out_known = true;
    out->rank = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        out->d[i] = (es_dim){.v = data[i].i, .symbol = data[i].symbol};
    return ES_OK;
}

es_status es_op_axis(const es_op *op, int64_t axis, int32_t rank, int32_t *out, es_error *err)
{
    if (axis < -(int64_t)rank || axis >= rank)
        return es_op_fail(op, err, "axis is %lld, must be in [%d, %d] for rank %d", (long long)axis,
                          (int)-rank, (int)rank - 1, (int)rank);
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return ES_OK;
}

/* ---- outputs ---- */

es_status es_op_out(es_op *op, size_t index, int32_t type, const es_dims *dims, es_error *err)
{
    if (index >= op->node->output_count)
        return ES_OK;
    es_fact *fact = &op->outs[index];
    *fact = (es_fact){.kind = ES_MODEL_KIND_TENSOR, .type = type, .rank = dims->rank, .set = true};
    if (dims->rank < 0)
        return ES_OK;
    if (dims->rank > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "output %zu has rank %d, at most %d is supported", index,
                       (int)dims->rank, ES_RANK_MAX);
    es_dim *copy = ES_TAKE_ARRAY(op->infer->arena, es_dim, (size_t)dims->rank);
    if (copy == NULL)
        return es_arena_full(op->infer->arena, "shape", err);
    int64_t elements = 1;
    for (int32_t i = 0; i < dims->rank; i++) {
        copy[i] = dims->d[i];
        if (!es_dim_known(copy[i]))
            continue;
        if (copy[i].v < 0)
            return es_op_fail(op, err, "output %zu: dimension %d would be %lld", index, (int)i,
                              (long long)copy[i].v);
        if (!es_int64_mul(elements, copy[i].v > 0 ? copy[i].v : 1, &elements) ||
            elements > INT64_MAX / 16)
            return es_fail(err, ES_ERR_LIMIT, "output %zu: more elements than 60 bits can count",
                           index);
    }
    fact->dims = copy;
    return ES_OK;
}

es_status es_op_out_unknown(es_op *op, size_t index, int32_t type, int32_t rank, es_error *err)
{
    es_dims dims = es_dims_unknown(rank);
    return es_op_out(op, index, type, &dims, err);
}

void es_op_out_data(es_op *op, size_t index, const es_num *data, size_t count)
{
    if (index >= op->node->output_count || count > ES_DATA_MAX)
        return;
    es_fact *fact = &op->outs[index];
    if (es_fact_elements(fact) != (int64_t)count)
        return;
    fact->data = data;
    fact->data_count = count;
}

void es_dims_strides(const es_dims *dims, int64_t *out_strides)
{
    int64_t stride = 1;
    for (int32_t i = dims->rank; i-- > 0;) {
        out_strides[i] = stride;
        if (!es_dim_known(dims->d[i]) || !es_int64_mul(stride, dims->d[i].v, &stride))
            stride = 0;
    }
}

es_status es_op_out_view(es_op *op, int64_t offset, const int64_t *strides, es_error *err)
{
    size_t count = 0;
    const es_num *data = es_op_data(op, 0, &count);
    const es_fact *out = &op->outs[0];
    int64_t elements = es_fact_elements(out);
    if (data == NULL || elements < 0 || elements > ES_DATA_MAX)
        return ES_OK;
    es_num *result = ES_TAKE_ARRAY(op->infer->arena, es_num, (size_t)elements);
    if (result == NULL)
        return es_arena_full(op->infer->arena, "constant", err);
    int64_t at[ES_RANK_MAX] = {0};
    for (int64_t i = 0; i < elements; i++) {
        int64_t from = offset;
        for (int32_t k = 0; k < out->rank; k++)
            from += at[k] * strides[k];
        if (from < 0 || (uint64_t)from >= count)
            return ES_OK;
        result[i] = data[from];
        for (int32_t k = out->rank; k-- > 0 && ++at[k] == out->dims[k].v;)
            at[k] = 0;
    }
    es_op_out_data(op, 0, result, (size_t)elements);
    return ES_OK;
}

es_status es_dim_merge(const es_op *op, es_dim a, es_dim b, const char *what, es_dim *out,
                       es_error *err)
{
    if (es_dim_known(a) && es_dim_known(b) && a.v != b.v)
        return es_op_fail(op, err, "%s: %lld does not match %lld", what, (long long)a.v,
                          (long long)b.v);
    bool first = es_dim_known(a) || (!es_dim_known(b) && a.symbol > 0);
    *out = first ? a : b;
    return ES_OK;
}

es_status es_dims_broadcast(const es_op *op, const es_dims *a, const es_dims *b, es_dims *out,
                            es_error *err)
{
    if (a->rank < 0 || b->rank < 0) {
        *out = es_dims_unknown(-1);
        return ES_OK;
    }
    int32_t rank = a->rank > b->rank ? a->rank : b->rank;
    es_dims result = {.rank = rank};
    for (int32_t i = 0; i < rank; i++) {
        int32_t from_a = i - (rank - a->rank);
        int32_t from_b = i - (rank - b->rank);
        es_dim x = from_a >= 0 ? a->d[from_a] : es_dim_of(1);
        es_dim y = from_b >= 0 ? b->d[from_b] : es_dim_of(1);
        if (es_dim_known(x) && x.v == 1)
            result.d[i] = y;
        else if ((es_dim_known(y) && y.v == 1) || es_dim_same(x, y))
            result.d[i] = x;
        else if (es_dim_known(x) && es_dim_known(y))
            return es_op_fail(op, err, "shapes do not broadcast: dimension %lld against %lld",
                              (long long)x.v, (long long)y.v);
        else /* one of them is known and not 1: the other is 1 or the same */
            result.d[i] = es_dim_known(x) ? x : es_dim_known(y) ? y : es_dim_unknown();
    }
    *out = result;
    return ES_OK;
}

es_status es_op_set_macs(es_op *op, const int64_t *factors, size_t count, es_error *err)
{
    int64_t product = 1;
    op->macs = -1;
    for (size_t i = 0; i < count; i++) {
        if (factors[i] < 0)
            return ES_OK;
        if (factors[i] == 0) {
            op->macs = 0;
            return ES_OK;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!es_int64_mul(product, factors[i], &product) || product > INT64_MAX / 16)
            return es_fail(err, ES_ERR_LIMIT, "more multiply-accumulates than 60 bits can count");
    }
    op->macs = product;
    return ES_OK;
}

/* ---- arithmetic of inference ---- */

static es_num unknown_num(void)
{
    return (es_num){.symbol = -1};
}

es_num es_fold_one(es_fold fold, es_num a, int32_t type)
{
    bool real = es_type_is_float(type);
    if (fold == ES_FOLD_COPY)
        return a;
    if (a.symbol != 0)
        return real || fold == ES_FOLD_NONE                    ? unknown_num()
               : fold == ES_FOLD_FLOOR || fold == ES_FOLD_CEIL ? a
                                                               : unknown_num();
    es_num r = a;
    if (fold == ES_FOLD_ABS) {
        r.f = fabs(a.f);
        r.i = a.i < 0 && a.i != INT64_MIN ? -a.i : a.i;
    } else if (fold == ES_FOLD_NEG) {
        r.f = -a.f;
        r.i = a.i != INT64_MIN ? -a.i : a.i;
    } else if (fold == ES_FOLD_FLOOR) {
        r.f = floor(a.f);
    } else if (fold == ES_FOLD_CEIL) {
        r.f = ceil(a.f);
    } else if (fold == ES_FOLD_ROUND) {
        r.f = nearbyint(a.f);
    } else if (fold == ES_FOLD_SQRT) {
        r.f = sqrt(a.f);
    } else if (fold == ES_FOLD_NOT) {
        r.i = a.i == 0;
    } else {
        return unknown_num();
    }
    return r;
}

static es_num fold_real(es_fold fold, double a, double b)
{
    es_num r = {0};
    switch ((int)fold) {
    case ES_FOLD_ADD:
    case ES_FOLD_SUM:
        r.f = a + b;
        break;
    case ES_FOLD_SUB:
        r.f = a - b;
        break;
    case ES_FOLD_MUL:
    case ES_FOLD_PROD:
        r.f = a * b;
        break;
    case ES_FOLD_DIV:
        if (b == 0.0)
            return unknown_num();
        r.f = a / b;
        break;
    case ES_FOLD_POW:
        r.f = pow(a, b);
        break;
    case ES_FOLD_MIN:
        r.f = fmin(a, b);
        break;
    case ES_FOLD_MAX:
        r.f = fmax(a, b);
        break;
    case ES_FOLD_EQUAL:
        r.i = a >= b && a <= b;
        break;
    case ES_FOLD_LESS:
        r.i = a < b;
        break;
    case ES_FOLD_GREATER:
        r.i = a > b;
        break;
    case ES_FOLD_LESS_EQUAL:
        r.i = a <= b;
        break;
    case ES_FOLD_GREATER_EQUAL:
        r.i = a >= b;
        break;
    default:
        return unknown_num();
    }
    return r;
}

static bool power(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t result = 1;
    if (exponent < 0 || exponent > 64)
        return false;
    for (int64_t i = 0; i < exponent; i++) {
        if (!es_int64_mul(result, base, &result))
            return false;
    }
    *out = result;
    return true;
}

static es_num fold_int(es_fold fold, int64_t a, int64_t b)
{
    es_num r = {0};
    bool ok = true;
    switch ((int)fold) {
    case ES_FOLD_ADD:
    case ES_FOLD_SUM:
        ok = es_int64_add(a, b, &r.i);
        break;
    case ES_FOLD_SUB:
        ok = b != INT64_MIN && es_int64_add(a, -b, &r.i);
        break;
    case ES_FOLD_MUL:
    case ES_FOLD_PROD:
        ok = es_int64_mul(a, b, &r.i);
        break;
    case ES_FOLD_DIV: /* C's truncation is ONNX's */
        ok = b != 0 && !(a == INT64_MIN && b == -1);
        r.i = ok ? a / b : 0;
        break;
    case ES_FOLD_MOD: /* the sign of the divisor */
        ok = b != 0 && b != -1;
        r.i = ok ? a % b : 0;
        if (r.i != 0 && (r.i < 0) != (b < 0))
            r.i += b;
        ok = ok || b == -1;
        break;
    case ES_FOLD_POW:
        ok = power(a, b, &r.i);
        break;
    case ES_FOLD_MIN:
        r.i = a < b ? a : b;
        break;
    case ES_FOLD_MAX:
        r.i = a > b ? a : b;
        break;
    case ES_FOLD_AND:
        r.i = a != 0 && b != 0;
        break;
    case ES_FOLD_OR:
        r.i = a != 0 || b != 0;
        break;
    case ES_FOLD_XOR:
        r.i = (a != 0) != (b != 0);
        break;
    case ES_FOLD_EQUAL:
        r.i = a == b;
        break;
    case ES_FOLD_LESS:
        r.i = a < b;
        break;
    case ES_FOLD_GREATER:
        r.i = a > b;
        break;
    case ES_FOLD_LESS_EQUAL:
        r.i = a <= b;
        break;
    case ES_FOLD_GREATER_EQUAL:
        r.i = a >= b;
        break;
    default:
        ok = false;
    }
    return ok ? r : unknown_num();
}

es_num es_fold_two(es_fold fold, es_num a, es_num b, int32_t type)
{
    bool real = es_type_is_float(type);
    if (!real && a.symbol > 0 && b.symbol == 0) { /* x * 1, x + 0, x / 1 */
        bool unit = (fold == ES_FOLD_MUL || fold == ES_FOLD_DIV) && b.i == 1;
        bool zero = (fold == ES_FOLD_ADD || fold == ES_FOLD_SUB) && b.i == 0;
        return unit || zero ? a : unknown_num();
    }
    if (!real && b.symbol > 0 && a.symbol == 0) {
        bool unit = fold == ES_FOLD_MUL && a.i == 1;
        bool zero = fold == ES_FOLD_ADD && a.i == 0;
        return unit || zero ? b : unknown_num();
    }
    if (a.symbol != 0 || b.symbol != 0)
        return unknown_num();
    return real ? fold_real(fold, a.f, b.f) : fold_int(fold, a.i, b.i);
}
