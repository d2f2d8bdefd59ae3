#include "runtime/testing/tensor_file.h"

#include "base/checked.h"
#include "data/data.h"

#include <math.h>

/* ---- protobuf wire format ---- */

typedef struct wire {
    const unsigned char *at;
    const unsigned char *end;
} wire;

typedef struct field {
    uint32_t number;
    uint32_t kind; /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;
    wire bytes;
} field;

static bool wire_varint(wire *in, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        unsigned char byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool wire_fixed(wire *in, size_t size, uint64_t *out)
{
    if ((size_t)(in->end - in->at) < size)
        return false;
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out |= (uint64_t)*in->at++ << (8 * i);
    return true;
}

static bool wire_field(wire *in, field *out)
{
    uint64_t tag = 0;
    if (!wire_varint(in, &tag))
        return false;
    *out = (field){.number = (uint32_t)(tag >> 3), .kind = (uint32_t)(tag & 7)};
    if (out->kind == 0)
        return wire_varint(in, &out->value);
    if (out->kind == 1)
        return wire_fixed(in, 8, &out->value);
    if (out->kind == 5)
        return wire_fixed(in, 4, &out->value);
    if (out->kind != 2 || !wire_varint(in, &out->value) ||
        out->value > (uint64_t)(in->end - in->at))
        return false;
    out->bytes = (wire){in->at, in->at + out->value};
    in->at = out->bytes.end;
    return true;
}

/* ---- TensorProto ---- */

enum {
    DIMS = 1,
    TYPE = 2,
    SEGMENT = 3,
    FLOATS = 4,
    INTS = 5,
    STRINGS = 6,
    LONGS = 7,
    RAW = 9,
    DOUBLES = 10,
    ULONGS = 11
};

typedef struct sink {
    unsigned char *data;
    size_t size_bytes;
    size_t used;
    size_t item_size;
} sink;

/* Values arrive as bits in the low bytes; both ONNX and this machine are little-endian. */
static bool sink_put(sink *to, uint64_t bits, size_t size)
{
    size_t keep = size < to->item_size ? size : to->item_size;
    if (to->size_bytes - to->used < to->item_size)
        return false;
    memcpy(to->data + to->used, &bits, keep);
    to->used += to->item_size;
    return true;
}

static bool sink_field(sink *to, const field *from)
{
    size_t fixed = from->number == FLOATS ? 4 : from->number == DOUBLES ? 8 : 0;
    if (from->kind != 2)
        return sink_put(to, from->value, 8);
    wire in = from->bytes;
    while (in.at < in.end) {
        uint64_t bits = 0;
        if (fixed > 0 ? !wire_fixed(&in, fixed, &bits) : !wire_varint(&in, &bits))
            return false;
        /* complex numbers come as two floats each */
        if (fixed > 0 && fixed < to->item_size) {
            if (to->size_bytes - to->used < fixed)
                return false;
            memcpy(to->data + to->used, &bits, fixed);
            to->used += fixed;
        } else if (!sink_put(to, bits, 8)) {
            return false;
        }
    }
    return true;
}

/* Type and dims; unknown fields that a TensorProto never has mean that it is something else. */
static es_status head_read(wire in, es_tensor *out, es_error *err)
{
    uint64_t type = 0;
    int64_t dims[ES_TENSOR_RANK_MAX] = {0};
    size_t rank = 0;
    field next;
    while (in.at < in.end) {
        if (!wire_field(&in, &next))
            return es_fail(err, ES_ERR_PARSE, "not a TensorProto");
        /* a SequenceProto or OptionalProto has a name in field 1, values in field 3 */
        if ((next.number == DIMS || next.number == TYPE || next.number == SEGMENT) &&
            next.kind != 0)
            return es_fail(err, ES_ERR_UNSUPPORTED, "not a TensorProto but a sequence or optional");
        if (next.number == TYPE)
            type = next.value;
        if (next.number != DIMS)
            continue;
        if (rank == ES_TENSOR_RANK_MAX)
            return es_fail(err, ES_ERR_UNSUPPORTED, "more than %d dims", ES_TENSOR_RANK_MAX);
        dims[rank++] = (int64_t)next.value;
    }
    if (type >= ES_DTYPE_COUNT || es_dtype_size((es_dtype)type) == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "element type %u is not carried", (unsigned)type);
    *out = es_tensor_make((es_dtype)type, dims, rank, NULL);
    return ES_OK;
}

es_status tensor_from_pb(es_arena *arena, const void *bytes, size_t size, es_tensor *out,
                         es_error *err)
{
    wire in = {bytes, (const unsigned char *)bytes + size};
    es_tensor tensor;
    ES_TRY(head_read(in, &tensor, err));
    ES_TRY(es_arena_take_or_fail(arena, tensor.size_bytes, 1, "tensor", &tensor.data, err));
    sink to = {tensor.data, tensor.size_bytes, 0, es_dtype_size(tensor.dtype)};
    field next;
    while (in.at < in.end) {
        if (!wire_field(&in, &next))
            return es_fail(err, ES_ERR_PARSE, "TensorProto is cut off");
        bool fits = true;
        if (next.number == RAW && next.kind == 2 && next.value <= tensor.size_bytes) {
            memcpy(tensor.data, next.bytes.at, next.value);
            to.used = next.value;
        } else if (next.number == FLOATS || next.number == INTS || next.number == LONGS ||
                   next.number == DOUBLES || next.number == ULONGS) {
            fits = sink_field(&to, &next);
        }
        if (!fits)
            return es_fail(err, ES_ERR_PARSE, "TensorProto has more data than its dims say");
    }
    if (to.used == 0 && tensor.size_bytes > 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "no data: an empty sequence or optional");
    if (to.used != tensor.size_bytes)
        return es_fail(err, ES_ERR_PARSE, "TensorProto has %zu bytes of data, dims say %zu",
                       to.used, tensor.size_bytes);
    *out = tensor;
    return ES_OK;
}

/* ---- NumPy ---- */

es_status tensor_from_npy(es_arena *arena, const void *bytes, size_t size, es_tensor *out,
                          es_error *err)
{
    es_data_array array;
    int64_t dims[ES_TENSOR_RANK_MAX];
    ES_TRY(es_data_parse_npy(arena, "npy", bytes, size, &array, err));
    if (array.type != ES_DATA_F32 || array.rank > ES_TENSOR_RANK_MAX)
        return es_fail(err, ES_ERR_UNSUPPORTED, "npy of %s, expected f32",
                       es_data_type_name(array.type));
    for (size_t i = 0; i < array.rank; i++)
        dims[i] = (int64_t)array.dims[i];
    es_tensor tensor = es_tensor_make(ES_DTYPE_F32, dims, array.rank, NULL);
    ES_TRY(es_arena_take_or_fail(arena, tensor.size_bytes, 1, "tensor", &tensor.data, err));
    memcpy(tensor.data, array.bytes, tensor.size_bytes);
    *out = tensor;
    return ES_OK;
}

/* ---- filling and comparing ---- */

es_status tensor_for_port(es_arena *arena, const es_port *port, es_tensor *out, es_error *err)
{
    es_tensor tensor = es_port_tensor(port, 1);
    ES_TRY(es_arena_take_or_fail(arena, tensor.size_bytes, 1, "tensor", &tensor.data, err));
    *out = tensor;
    return ES_OK;
}

void tensor_fill_reference(es_tensor *tensor)
{
    if (tensor->dtype != ES_DTYPE_F32)
        return;
    float *values = tensor->data;
    size_t count = es_tensor_count(tensor);
    for (size_t k = 0; k < count; k++)
        values[k] = (float)((double)((k * 7919) % 1009) / 1009.0);
}

static double half_to_double(uint16_t bits, unsigned exponent_bits)
{
    unsigned fraction_bits = 15 - exponent_bits;
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    double fraction = bits & ((1u << fraction_bits) - 1);
    double scale = ldexp(1, -(int)fraction_bits);
    double value;
    if (exponent == (1 << exponent_bits) - 1)
        value = fraction > 0 ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction * scale, 1 - bias);
    else
        value = ldexp(1 + fraction * scale, exponent - bias);
    return bits >> 15 ? -value : value;
}

static double element(const es_tensor *tensor, size_t index)
{
    const unsigned char *at =
        (const unsigned char *)tensor->data + index * es_dtype_size(tensor->dtype);
    uint64_t bits = 0;
    float single;
    double number;
    switch (tensor->dtype) {
    case ES_DTYPE_F32:
    case ES_DTYPE_C64:
        memcpy(&single, at, sizeof single);
        return (double)single;
    case ES_DTYPE_F64:
    case ES_DTYPE_C128:
        memcpy(&number, at, sizeof number);
        return number;
    case ES_DTYPE_F16:
        memcpy(&bits, at, 2);
        return half_to_double((uint16_t)bits, 5);
    case ES_DTYPE_BF16:
        memcpy(&bits, at, 2);
        return half_to_double((uint16_t)bits, 8);
    case ES_DTYPE_I8:
        return (double)(int8_t)*at;
    case ES_DTYPE_I16:
        memcpy(&bits, at, 2);
        return (double)(int16_t)bits;
    case ES_DTYPE_I32:
        memcpy(&bits, at, 4);
        return (double)(int32_t)bits;
    case ES_DTYPE_I64:
        memcpy(&bits, at, 8);
        return (double)(int64_t)bits;
    case ES_DTYPE_U8:
    case ES_DTYPE_U16:
    case ES_DTYPE_U32:
    case ES_DTYPE_U64:
    case ES_DTYPE_BOOL:
        memcpy(&bits, at, es_dtype_size(tensor->dtype));
        return (double)bits;
    case ES_DTYPE_NONE:
    case ES_DTYPE_STRING:
    case ES_DTYPE_COUNT:
        break;
    }
    return (double)NAN;
}

static bool is_float(es_dtype dtype)
{
    return dtype == ES_DTYPE_F32 || dtype == ES_DTYPE_F64 || dtype == ES_DTYPE_F16 ||
           dtype == ES_DTYPE_BF16;
}

static double excess(double got, double wanted, double relative, double absolute)
{
    if ((isnan(got) && isnan(wanted)) || got == wanted)
        return 0;
    if (isnan(got) || isnan(wanted) || isinf(got) || isinf(wanted))
        return (double)INFINITY;
    return fabs(got - wanted) / (absolute + relative * fabs(wanted));
}

bool tensor_compare(const es_tensor *got, const es_tensor *wanted, double relative, double absolute,
                    tensor_difference *out)
{
    *out = (tensor_difference){0};
    if (got->dtype != wanted->dtype || got->rank != wanted->rank ||
        memcmp(got->dims, wanted->dims, got->rank * sizeof got->dims[0]) != 0)
        return false;
    size_t size = es_dtype_size(got->dtype);
    size_t count = es_tensor_count(got);
    for (size_t i = 0; i < count; i++) {
        double worse = 0;
        if (is_float(got->dtype))
            worse = excess(element(got, i), element(wanted, i), relative, absolute);
        else if (memcmp((const char *)got->data + i * size, (const char *)wanted->data + i * size,
                        size) != 0)
            worse = (double)INFINITY;
        if (worse > 1 && out->wrong_count++ == 0) {
            out->first = i;
            out->got = element(got, i);
            out->wanted = element(wanted, i);
        }
        out->worst = fmax(out->worst, worse);
    }
    return true;
}
