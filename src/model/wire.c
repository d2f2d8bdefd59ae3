/*
 * protobuf-c unpacks by recursion and answers only "no". This walk over the same bytes, with a
 * stack of its own, bounds the nesting and says which field breaks where.
 */
#include "model/internal.h"

typedef struct level {
    const ProtobufCMessageDescriptor *type;
    const char *field; /* by which it was entered */
    size_t end;
} level;

typedef struct walk {
    const uint8_t *bytes;
    size_t at;
    level levels[ES_WIRE_DEPTH_MAX];
    size_t depth;
} walk;

static es_status broken(const walk *w, es_error *err, const char *field, const char *why)
{
    const level *top = &w->levels[w->depth - 1];
    return es_fail(err, ES_ERR_PARSE, "byte %zu: %s.%s: %s", w->at, top->type->short_name, field,
                   why);
}

static bool varint(walk *w, size_t end, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && w->at < end; shift += 7) {
        uint8_t byte = w->bytes[w->at++];
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool is_message(const ProtobufCFieldDescriptor *field)
{
    return field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* One field of length-delimited type: skipped, or entered when it is a message. */
static es_status delimited(walk *w, const ProtobufCFieldDescriptor *field, const char *name,
                           es_error *err)
{
    size_t end = w->levels[w->depth - 1].end;
    uint64_t size = 0;
    if (!varint(w, end, &size))
        return broken(w, err, name, "length is cut off or too long");
    if (size > end - w->at)
        return broken(w, err, name,
                      "is longer than what is left: the file is truncated or damaged");
    if (!is_message(field)) {
        w->at += (size_t)size;
        return ES_OK;
    }
    if (w->depth == ES_WIRE_DEPTH_MAX)
        return es_fail(err, ES_ERR_LIMIT, "byte %zu: messages nested more than %d deep", w->at,
                       ES_WIRE_DEPTH_MAX);
    w->levels[w->depth++] =
        (level){.type = field->descriptor, .field = name, .end = w->at + (size_t)size};
    return ES_OK;
}

static es_status one_field(walk *w, es_error *err)
{
    const level *top = &w->levels[w->depth - 1];
    size_t end = top->end;
    uint64_t tag = 0;
    if (!varint(w, end, &tag))
        return broken(w, err, "?", "field tag is cut off or too long");
    uint64_t number = tag >> 3;
    if (number == 0 || number > 536870911)
        return broken(w, err, "?", "field number out of range: not an ONNX file");
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(top->type, (unsigned)number);
    const char *name = field != NULL ? field->name : "unknown field";
    uint64_t ignored = 0;
    switch (tag & 7) {
    case 0:
        return varint(w, end, &ignored) ? ES_OK : broken(w, err, name, "number is cut off");
    case 1:
    case 5: {
        size_t size = (tag & 7) == 1 ? 8 : 4;
        if (size > end - w->at)
            return broken(w, err, name, "is cut off");
        w->at += size;
        return ES_OK;
    }
    case 2:
        return delimited(w, field, name, err);
    default:
        return broken(w, err, name, "unknown wire type: not an ONNX file");
    }
}

es_status es_wire_check(const uint8_t *bytes, size_t size, es_error *err)
{
    walk w = {.bytes = bytes, .depth = 1};
    w.levels[0] = (level){.type = &onnx__model_proto__descriptor, .field = "", .end = size};
    while (w.depth > 0) {
        if (w.at == w.levels[w.depth - 1].end)
            w.depth--;
        else
            ES_TRY(one_field(&w, err));
    }
    return ES_OK;
}
