/*
 * Tensors as the file stores them: is the data there and of the right size; external data.
 */
#include "base/file.h"
#include "base/text.h"
#include "model/internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    uint32_t bits;
} types[ES_MODEL_TYPE_COUNT] = {
#define X(type, number, width) [number] = {#type, width},
    ES_MODEL_TYPE_MAP(X)
#undef X
};

const char *es_model_type_name(es_model_type type)
{
    bool known = (unsigned)type < ES_MODEL_TYPE_COUNT && types[type].name != NULL;
    return known ? types[type].name : "UNDEFINED";
}

uint32_t es_model_type_bits(es_model_type type)
{
    return (unsigned)type < ES_MODEL_TYPE_COUNT ? types[type].bits : 0;
}

bool es_type_bytes(int32_t type, int64_t elements, int64_t *out_bytes)
{
    int64_t bits = (int64_t)es_model_type_bits((es_model_type)type);
    int64_t all = 0;
    if (bits == 0 || elements < 0)
        return false;
    if (bits >= 8)
        return es_int64_mul(elements, bits / 8, out_bytes);
    if (!es_int64_mul(elements, bits, &all) || !es_int64_add(all, 7, &all))
        return false;
    *out_bytes = all / 8;
    return true;
}

bool es_type_is_float(int32_t type)
{
    switch (type) {
    case ES_MODEL_FLOAT:
    case ES_MODEL_DOUBLE:
    case ES_MODEL_FLOAT16:
    case ES_MODEL_BFLOAT16:
        return true;
    default:
        return false;
    }
}

bool es_type_is_int(int32_t type)
{
    switch (type) {
    case ES_MODEL_INT8:
    case ES_MODEL_INT16:
    case ES_MODEL_INT32:
    case ES_MODEL_INT64:
    case ES_MODEL_UINT8:
    case ES_MODEL_UINT16:
    case ES_MODEL_UINT32:
    case ES_MODEL_UINT64:
    case ES_MODEL_BOOL:
        return true;
    default:
        return false;
    }
}

/* ---- sizes ---- */

static const char *name_of(const Onnx__TensorProto *tensor)
{
    return tensor->name != NULL ? tensor->name : "";
}

int64_t es_tensor_elements(const Onnx__TensorProto *tensor)
{
    int64_t elements = 1;
    for (size_t i = 0; i < tensor->n_dims; i++)
        elements *= tensor->dims[i];
    return elements;
}

int64_t es_tensor_bytes(const Onnx__TensorProto *tensor)
{
    int64_t bytes = 0;
    if (es_type_bytes(tensor->data_type, es_tensor_elements(tensor), &bytes))
        return bytes;
    for (size_t i = 0; i < tensor->n_string_data; i++)
        bytes += (int64_t)tensor->string_data[i].len;
    return bytes;
}

static es_status check_dims(const Onnx__TensorProto *tensor, es_error *err)
{
    if (tensor->n_dims > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "tensor '%s': %zu dimensions, at most %d are supported",
                       name_of(tensor), tensor->n_dims, ES_RANK_MAX);
    int64_t elements = 1;
    int64_t bytes = 0;
    bool empty = false;
    for (size_t i = 0; i < tensor->n_dims; i++) {
        if (tensor->dims[i] < 0)
            return es_fail(err, ES_ERR_PARSE, "tensor '%s': dimension %zu is %lld, must be >= 0",
                           name_of(tensor), i, (long long)tensor->dims[i]);
        empty = empty || tensor->dims[i] == 0;
        if (!empty && !es_int64_mul(elements, tensor->dims[i], &elements))
            return es_fail(err, ES_ERR_LIMIT, "tensor '%s': more elements than 64 bits can count",
                           name_of(tensor));
    }
    /* An empty tensor may still have huge other dims, whose product must not be taken. */
    for (size_t i = 0; empty && i < tensor->n_dims; i++) {
        if (!es_int64_mul(elements, tensor->dims[i] == 0 ? 1 : tensor->dims[i], &elements))
            return es_fail(err, ES_ERR_LIMIT, "tensor '%s': more elements than 64 bits can count",
                           name_of(tensor));
    }
    if (es_model_type_bits((es_model_type)tensor->data_type) != 0 &&
        !es_type_bytes(tensor->data_type, elements, &bytes))
        return es_fail(err, ES_ERR_LIMIT, "tensor '%s': more bytes than 64 bits can count",
                       name_of(tensor));
    return ES_OK;
}

/* How many entries the typed field of this element type has, and should have. */
static size_t typed_count(const Onnx__TensorProto *tensor, int64_t elements, int64_t *out_wanted)
{
    *out_wanted = elements;
    switch (tensor->data_type) {
    case ES_MODEL_COMPLEX64:
        *out_wanted = 2 * elements;
        return tensor->n_float_data;
    case ES_MODEL_FLOAT:
        return tensor->n_float_data;
    case ES_MODEL_COMPLEX128:
        *out_wanted = 2 * elements;
        return tensor->n_double_data;
    case ES_MODEL_DOUBLE:
        return tensor->n_double_data;
    case ES_MODEL_INT64:
        return tensor->n_int64_data;
    case ES_MODEL_UINT32:
    case ES_MODEL_UINT64:
        return tensor->n_uint64_data;
    case ES_MODEL_STRING:
        return tensor->n_string_data;
    case ES_MODEL_UINT4:
    case ES_MODEL_INT4:
    case ES_MODEL_FLOAT4E2M1:
        *out_wanted = elements / 2 + elements % 2;
        return tensor->n_int32_data;
    case ES_MODEL_UINT2:
    case ES_MODEL_INT2:
        *out_wanted = elements / 4 + (elements % 4 != 0);
        return tensor->n_int32_data;
    default:
        return tensor->n_int32_data;
    }
}

es_status es_tensor_check(const Onnx__TensorProto *tensor, es_error *err)
{
    es_model_type type = (es_model_type)tensor->data_type;
    if (!tensor->has_data_type || strcmp(es_model_type_name(type), "UNDEFINED") == 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "tensor '%s': element type %d is not known",
                       name_of(tensor), (int)tensor->data_type);
    if (tensor->segment != NULL)
        return es_fail(err, ES_ERR_UNSUPPORTED, "tensor '%s': stored in segments", name_of(tensor));
    ES_TRY(check_dims(tensor, err));
    int64_t elements = es_tensor_elements(tensor);
    int64_t wanted = 0;
    size_t typed = typed_count(tensor, elements, &wanted);
    if (tensor->has_raw_data && (tensor->raw_data.len > 0 || typed == 0)) {
        if (type == ES_MODEL_STRING)
            return es_fail(err, ES_ERR_PARSE, "tensor '%s': strings cannot be raw data",
                           name_of(tensor));
        if (typed > 0)
            return es_fail(err, ES_ERR_PARSE, "tensor '%s': has both raw and typed data",
                           name_of(tensor));
        int64_t bytes = es_tensor_bytes(tensor);
        if ((uint64_t)bytes != tensor->raw_data.len)
            return es_fail(err, ES_ERR_PARSE,
                           "tensor '%s': %zu bytes of data, its %lld elements of %s need %lld",
                           name_of(tensor), tensor->raw_data.len, (long long)elements,
                           es_model_type_name(type), (long long)bytes);
        return ES_OK;
    }
    if ((uint64_t)wanted != typed)
        return es_fail(err, ES_ERR_PARSE, "tensor '%s': %zu values of %s data, expected %lld",
                       name_of(tensor), typed, es_model_type_name(type), (long long)wanted);
    return ES_OK;
}

/* ---- external data ---- */

typedef struct bring {
    es_arena *arena;
    const char *folder;
    size_t left_bytes;
    const char *location; /* of the open file */
    int file;
    size_t file_size;
} bring;

/* Relative, and inside the folder: no component is "..". */
static bool is_inside(const char *location)
{
    if (location[0] == '\0' || location[0] == '/' || strchr(location, '\\') != NULL)
        return false;
    for (const char *at = location; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
            return false;
    }
    return true;
}

static const char *entry_of(const Onnx__TensorProto *tensor, const char *key)
{
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = tensor->external_data[i];
        if (entry->key != NULL && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}

static es_status open_external(bring *b, const char *location, es_error *err)
{
    if (b->location != NULL && strcmp(b->location, location) == 0)
        return ES_OK;
    if (b->file >= 0)
        (void)close(b->file); /* was only read */
    b->location = NULL;
    b->file = -1;
    char *path = es_file_join(b->arena, b->folder, location);
    if (path == NULL)
        return es_arena_full(b->arena, "path of external data", err);
    b->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (b->file < 0 || fstat(b->file, &info) != 0 || !S_ISREG(info.st_mode))
        return es_fail(err, ES_ERR_IO, "external data '%s' is not a readable file", path);
    b->file_size = (size_t)info.st_size;
    b->location = location;
    return ES_OK;
}

static es_status number_of(const Onnx__TensorProto *tensor, const char *key, uint64_t *out,
                           es_error *err)
{
    const char *text = entry_of(tensor, key);
    if (text == NULL || es_text_to_uint64(text, out))
        return ES_OK;
    return es_fail(err, ES_ERR_PARSE, "external %s '%s' is not a number >= 0", key, text);
}

static es_status read_external(bring *b, Onnx__TensorProto *tensor, es_error *err)
{
    const char *location = entry_of(tensor, "location");
    if (location == NULL)
        return es_fail(err, ES_ERR_PARSE, "external data without location");
    if (b->folder == NULL)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "data is in the file '%s', but no folder for external data was given",
                       location);
    if (!is_inside(location))
        return es_fail(err, ES_ERR_PARSE,
                       "external data '%s' must be a relative path inside the model's folder",
                       location);
    if (tensor->data_type == ES_MODEL_STRING)
        return es_fail(err, ES_ERR_UNSUPPORTED, "strings in external data");
    int64_t bytes = 0;
    ES_TRY(check_dims(tensor, err));
    if (!es_type_bytes(tensor->data_type, es_tensor_elements(tensor), &bytes))
        return es_fail(err, ES_ERR_UNSUPPORTED, "element type %d is not known",
                       (int)tensor->data_type);
    ES_TRY(open_external(b, location, err));
    uint64_t offset = 0;
    uint64_t length = (uint64_t)bytes;
    ES_TRY(number_of(tensor, "offset", &offset, err));
    ES_TRY(number_of(tensor, "length", &length, err));
    if (length != (uint64_t)bytes)
        return es_fail(err, ES_ERR_PARSE, "external length is %llu, dims need %lld bytes",
                       (unsigned long long)length, (long long)bytes);
    if (offset > b->file_size || length > b->file_size - offset)
        return es_fail(
            err, ES_ERR_PARSE, "external data at %llu, %llu bytes, lies outside '%s' of %zu bytes",
            (unsigned long long)offset, (unsigned long long)length, location, b->file_size);
    if (length > b->left_bytes)
        return es_fail(err, ES_ERR_LIMIT, "external data is larger than the cap");
    b->left_bytes -= (size_t)length;
    uint8_t *data = es_arena_take(b->arena, (size_t)length, 1);
    if (data == NULL)
        return es_arena_full(b->arena, "external data", err);
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(b->file, data + done, (size_t)length - done, (off_t)(offset + done));
        if (got <= 0)
            return es_fail(err, ES_ERR_IO, "cannot read external data '%s'", location);
        done += (size_t)got;
    }
    tensor->raw_data = (ProtobufCBinaryData){.len = (size_t)length, .data = data};
    tensor->has_raw_data = 1;
    tensor->n_external_data = 0;
    tensor->external_data = NULL;
    tensor->has_data_location = 0;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    return ES_OK;
}

static es_status bring_tensor(bring *b, Onnx__TensorProto *tensor, es_error *err)
{
    if (tensor == NULL || !tensor->has_data_location ||
        tensor->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return ES_OK;
    return es_within(err, read_external(b, tensor, err), "tensor '%s'", name_of(tensor));
}

static es_status bring_graph(bring *b, const Onnx__GraphProto *graph, es_error *err);

/* Recursion is bounded by ES_WIRE_DEPTH_MAX. */
static es_status bring_nodes(bring *b, Onnx__NodeProto *const *nodes, size_t count, es_error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            const Onnx__AttributeProto *attribute = nodes[i]->attribute[k];
            ES_TRY(bring_tensor(b, attribute->t, err));
            for (size_t t = 0; t < attribute->n_tensors; t++)
                ES_TRY(bring_tensor(b, attribute->tensors[t], err));
            if (attribute->g != NULL)
                ES_TRY(bring_graph(b, attribute->g, err));
            for (size_t g = 0; g < attribute->n_graphs; g++)
                ES_TRY(bring_graph(b, attribute->graphs[g], err));
        }
    }
    return ES_OK;
}

static es_status bring_graph(bring *b, const Onnx__GraphProto *graph, es_error *err)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        ES_TRY(bring_tensor(b, graph->initializer[i], err));
    for (size_t i = 0; i < graph->n_sparse_initializer; i++) {
        ES_TRY(bring_tensor(b, graph->sparse_initializer[i]->values, err));
        ES_TRY(bring_tensor(b, graph->sparse_initializer[i]->indices, err));
    }
    return bring_nodes(b, graph->node, graph->n_node, err);
}

es_status es_tensors_bring_in(es_arena *arena, Onnx__ModelProto *proto, const char *folder,
                              size_t size_max, es_error *err)
{
    bring b = {.arena = arena, .folder = folder, .left_bytes = size_max, .file = -1};
    es_status status = ES_OK;
    if (proto->graph != NULL)
        status = bring_graph(&b, proto->graph, err);
    for (size_t i = 0; status == ES_OK && i < proto->n_functions; i++)
        status = bring_nodes(&b, proto->functions[i]->node, proto->functions[i]->n_node, err);
    if (b.file >= 0)
        (void)close(b.file); /* was only read */
    return status;
}
