#include "base/checked.h"
#include "internal.h"

#include <float.h>
#include <math.h>

/* What a decode walks over. */
typedef struct reader {
    es_arena *arena;
    const unsigned char *binary; /* behind the JSON */
    size_t binary_left;
    const es_oip_spans *spans; /* lists of numbers that the tree does not have; NULL: none */
} reader;

/* Larger JSON is not read a second time, with its numbers in the tree, to say better what is wrong.
 */
enum { AGAIN_BYTES_MAX = 4 << 20 };

/* ---- parameters ---- */

static es_status read_param(const es_doc_member *member, es_oip_param *out, es_error *err)
{
    const es_doc *value = member->value;
    *out = (es_oip_param){.name = member->key, .type = value->type};
    if (value->type == ES_DOC_BOOL)
        out->as.boolean = value->as.boolean;
    else if (value->type == ES_DOC_INT)
        out->as.integer = value->as.integer;
    else if (value->type == ES_DOC_NUMBER)
        out->as.number = value->as.number;
    else if (value->type == ES_DOC_TEXT)
        out->as.text = value->as.text.bytes;
    else
        return es_doc_fail(value, err, "must be a string, a number or a boolean");
    return ES_OK;
}

static es_status read_params(es_arena *arena, const es_doc *owner, es_oip_params *out,
                             es_error *err)
{
    const es_doc *map = NULL;
    ES_TRY(es_doc_get_map(owner, "parameters", &map, err));
    *out = (es_oip_params){0};
    if (map == NULL || map->as.map.count == 0)
        return ES_OK;
    if (map->as.map.count > ES_OIP_PARAMS_MAX)
        return es_doc_fail(map, err, "%zu parameters are more than %d", map->as.map.count,
                           ES_OIP_PARAMS_MAX);
    es_oip_param *items = ES_TAKE_ARRAY(arena, es_oip_param, map->as.map.count);
    if (items == NULL)
        return es_arena_full(arena, "parameters", err);
    for (size_t i = 0; i < map->as.map.count; i++) {
        if (strcmp(map->as.map.members[i].key, "binary_data_size") == 0)
            continue; /* belongs to the transport */
        ES_TRY(read_param(&map->as.map.members[i], &items[out->count], err));
        out->count++;
    }
    out->items = items;
    return ES_OK;
}

/* ---- JSON data ---- */

static es_status store_float(const es_doc *value, es_dtype dtype, unsigned char *to, es_error *err)
{
    double limit = dtype == ES_DTYPE_F32 ? (double)FLT_MAX : DBL_MAX;
    double number = 0;
    ES_TRY(es_doc_expect_number(value, -limit, limit, &number, err));
    float narrow = (float)number;
    if (dtype == ES_DTYPE_F32)
        memcpy(to, &narrow, sizeof narrow);
    else
        memcpy(to, &number, sizeof number);
    return ES_OK;
}

static es_status store_int(const es_doc *value, es_dtype dtype, unsigned char *to, es_error *err)
{
    size_t size = es_dtype_size(dtype);
    bool is_signed = dtype == ES_DTYPE_I8 || dtype == ES_DTYPE_I16 || dtype == ES_DTYPE_I32 ||
                     dtype == ES_DTYPE_I64;
    int64_t max =
        size == 8 ? INT64_MAX : (int64_t)((UINT64_C(1) << (8 * size - (is_signed ? 1 : 0))) - 1);
    int64_t number = 0;
    ES_TRY(es_doc_expect_int(value, is_signed ? -max - 1 : 0, max, &number, err));
    uint64_t bits = (uint64_t)number;
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(bits >> (8 * i));
    return ES_OK;
}

static es_status store_bool(const es_doc *value, unsigned char *to, es_error *err)
{
    int64_t number = 0;
    if (value->type == ES_DOC_BOOL) {
        *to = value->as.boolean;
        return ES_OK;
    }
    ES_TRY(es_doc_expect_int(value, 0, 1, &number, err));
    *to = (unsigned char)number;
    return ES_OK;
}

static es_status store_one(const es_doc *value, es_dtype dtype, unsigned char *to, es_error *err)
{
    if (dtype == ES_DTYPE_F32 || dtype == ES_DTYPE_F64)
        return store_float(value, dtype, to, err);
    if (dtype == ES_DTYPE_BOOL)
        return store_bool(value, to, err);
    return store_int(value, dtype, to, err);
}

/* The scalars of a flat or nested list in order. Nested ones must have the shape's sizes. */
typedef struct walk {
    const es_doc *lists[ES_TENSOR_RANK_MAX];
    size_t next[ES_TENSOR_RANK_MAX];
    size_t depth; /* lists that are open */
    bool nested;
} walk;

static es_status walk_open(walk *at, const es_oip_tensor *tensor, const es_doc *list, es_error *err)
{
    const es_doc *const *items = list->as.list.items;
    size_t count = list->as.list.count;
    if (at->depth == 0)
        at->nested = tensor->rank > 1 && count > 0 && items[0]->type == ES_DOC_LIST;
    if (at->nested && (at->depth == tensor->rank || (int64_t)count != tensor->dims[at->depth]))
        return es_doc_fail(list, err, "a list of %zu does not fit the shape", count);
    at->lists[at->depth] = list;
    at->next[at->depth++] = 0;
    return ES_OK;
}

/* *out NULL at the end. */
static es_status walk_next(walk *at, const es_oip_tensor *tensor, const es_doc **out, es_error *err)
{
    *out = NULL;
    while (at->depth > 0) {
        const es_doc *list = at->lists[at->depth - 1];
        size_t index = at->next[at->depth - 1]++;
        if (index == list->as.list.count) {
            at->depth--;
            continue;
        }
        const es_doc *value = list->as.list.items[index];
        bool is_list = value->type == ES_DOC_LIST;
        if (is_list != (at->nested && at->depth < tensor->rank))
            return es_doc_fail(value, err,
                               is_list ? "a list where a value was expected"
                                       : "a value where a list was expected");
        if (!is_list) {
            *out = value;
            return ES_OK;
        }
        ES_TRY(walk_open(at, tensor, value, err));
    }
    return ES_OK;
}

static void put_u32(unsigned char *to, size_t value)
{
    for (size_t i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

/* Bytes that the values take; counts them. */
static es_status measure(const es_oip_tensor *tensor, const es_doc *data, size_t *out_count,
                         size_t *out_bytes, es_error *err)
{
    walk at = {.depth = 0};
    const es_doc *value = NULL;
    size_t each = es_dtype_size(tensor->dtype);
    *out_count = *out_bytes = 0;
    ES_TRY(walk_open(&at, tensor, data, err));
    for (;;) {
        ES_TRY(walk_next(&at, tensor, &value, err));
        if (value == NULL)
            return ES_OK;
        const char *text = NULL;
        if (tensor->dtype == ES_DTYPE_STRING) {
            ES_TRY(es_doc_expect_text(value, &text, err));
            each = 4 + value->as.text.size; /* of a text that is in memory */
        }
        *out_bytes += each;
        ++*out_count;
    }
}

/* The numbers of a span, which the tree shows as an empty list. */
static es_status read_span(reader *from, const es_doc *data, es_oip_span span, size_t count,
                           es_oip_tensor *tensor, es_error *err)
{
    size_t given = 0;
    size_t each = es_dtype_size(tensor->dtype);
    if (count <= span.size) { /* each value takes a character: memory is bounded by the body */
        void *values = NULL;
        ES_TRY(es_arena_take_or_fail(from->arena, count, each, "tensor", &values, err));
        tensor->data = values;
        tensor->size_bytes = count * each;
        if (es_oip_numbers_read(span, tensor, count, values, &given))
            return ES_OK;
    }
    return es_doc_fail(data, err, "value %zu is no %s, or the list does not have the shape's %zu",
                       given, es_oip_dtype_name(tensor->dtype), count);
}

static es_status read_json_data(reader *from, const es_doc *owner, size_t count,
                                es_oip_tensor *tensor, es_error *err)
{
    const es_doc *data = NULL;
    const es_doc *value = NULL;
    size_t given = 0;
    walk at = {.depth = 0};
    ES_TRY(es_doc_need_list(owner, "data", &data, err));
    if (tensor->dtype == ES_DTYPE_F16 || tensor->dtype == ES_DTYPE_BF16)
        return es_doc_fail(data, err, "%s travels as binary only",
                           es_oip_dtype_name(tensor->dtype));
    if (from->spans != NULL && owner->index < from->spans->count &&
        from->spans->items[owner->index].size > 0) {
        if (tensor->dtype == ES_DTYPE_STRING)
            return es_doc_fail(data, err, "BYTES are texts");
        return read_span(from, data, from->spans->items[owner->index], count, tensor, err);
    }
    ES_TRY(measure(tensor, data, &given, &tensor->size_bytes, err));
    if (given != count)
        return es_doc_fail(data, err, "%zu values do not fit the shape, which has %zu", given,
                           count);
    unsigned char *to = ES_TAKE_ARRAY(from->arena, unsigned char, tensor->size_bytes);
    if (to == NULL)
        return es_arena_full(from->arena, "tensor", err);
    tensor->data = to;
    ES_TRY(walk_open(&at, tensor, data, err));
    for (size_t i = 0; i < count; i++) {
        ES_TRY(walk_next(&at, tensor, &value, err));
        if (tensor->dtype != ES_DTYPE_STRING) {
            ES_TRY(store_one(value, tensor->dtype, to, err));
            to += es_dtype_size(tensor->dtype);
            continue;
        }
        put_u32(to, value->as.text.size);
        memcpy(to + 4, value->as.text.bytes, value->as.text.size);
        to += 4 + value->as.text.size;
    }
    return ES_OK;
}

/* ---- binary data ---- */

/* Do the length-prefixed elements fill the bytes exactly? */
static bool strings_fit(const unsigned char *bytes, size_t size, size_t count)
{
    for (; count > 0; count--) {
        if (size < 4)
            return false;
        size_t length = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 |
                        (size_t)bytes[3] << 24;
        if (length > size - 4)
            return false;
        bytes += 4 + length;
        size -= 4 + length;
    }
    return size == 0;
}

static es_status take_binary(reader *from, es_oip_tensor *tensor, size_t size, es_error *err)
{
    size_t each = es_dtype_size(tensor->dtype);
    tensor->data = from->binary;
    tensor->size_bytes = size;
    tensor->binary = true;
    if (each > 1 && (uintptr_t)from->binary % each != 0) {
        void *copy = es_arena_take(from->arena, size, 1);
        if (copy == NULL)
            return es_arena_full(from->arena, "tensor", err);
        tensor->data = memcpy(copy, from->binary, size);
    }
    from->binary += size;
    from->binary_left -= size;
    return ES_OK;
}

static es_status read_binary_data(reader *from, const es_doc *owner, const es_doc *size_value,
                                  size_t count, es_oip_tensor *tensor, es_error *err)
{
    int64_t size = 0;
    size_t wanted = 0;
    ES_TRY(es_doc_expect_int(size_value, 0, INT64_MAX, &size, err));
    if (es_doc_find(owner, "data") != NULL)
        return es_doc_fail(owner, err, "has both data and binary_data_size");
    if ((uint64_t)size > from->binary_left)
        return es_doc_fail(size_value, err, "%lld bytes, but %zu are left behind the JSON",
                           (long long)size, from->binary_left);
    if (tensor->dtype == ES_DTYPE_STRING) {
        if (!strings_fit(from->binary, (size_t)size, count))
            return es_doc_fail(size_value, err, "the bytes do not hold %zu BYTES elements", count);
    } else if (!es_size_mul(count, es_dtype_size(tensor->dtype), &wanted) ||
               wanted != (size_t)size) {
        return es_doc_fail(size_value, err, "%lld bytes do not fit the shape, which has %zu",
                           (long long)size, wanted);
    }
    return take_binary(from, tensor, (size_t)size, err);
}

/* ---- tensors ---- */

static es_status read_shape(const es_doc *owner, es_oip_tensor *out, size_t *out_count,
                            es_error *err)
{
    const es_doc *shape = NULL;
    ES_TRY(es_doc_need_list(owner, "shape", &shape, err));
    out->rank = shape->as.list.count;
    if (out->rank > ES_TENSOR_RANK_MAX)
        return es_doc_fail(shape, err, "%zu dimensions are more than %d", out->rank,
                           ES_TENSOR_RANK_MAX);
    *out_count = 1;
    for (size_t i = 0; i < out->rank; i++) {
        const es_doc *dim = shape->as.list.items[i];
        ES_TRY(es_doc_expect_int(dim, 0, INT64_MAX, &out->dims[i], err));
        if (!es_size_mul(*out_count, (size_t)out->dims[i], out_count))
            return es_doc_fail(dim, err, "the shape has too many elements");
    }
    return ES_OK;
}

static es_status read_tensor(reader *from, const es_doc *owner, es_oip_tensor *out, es_error *err)
{
    const char *dtype = NULL;
    const es_doc *params = NULL;
    const es_doc *size = NULL;
    size_t count = 0;
    ES_TRY(es_doc_expect_map(owner, err));
    ES_TRY(es_doc_need_text(owner, "name", &out->name, err));
    ES_TRY(es_doc_need_text(owner, "datatype", &dtype, err));
    out->dtype = es_oip_dtype_of(dtype);
    if (out->dtype == ES_DTYPE_NONE)
        return es_doc_fail(es_doc_find(owner, "datatype"), err,
                           "'%.32s' is not a datatype (FP32, INT64, BYTES, ...)", dtype);
    ES_TRY(read_shape(owner, out, &count, err));
    ES_TRY(read_params(from->arena, owner, &out->params, err));
    ES_TRY(es_doc_get_map(owner, "parameters", &params, err));
    if (params != NULL)
        size = es_doc_find(params, "binary_data_size");
    if (size != NULL)
        return read_binary_data(from, owner, size, count, out, err);
    return read_json_data(from, owner, count, out, err);
}

static es_status read_tensors(reader *from, const es_doc *root, const char *key,
                              es_oip_message *out, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_need_list(root, key, &list, err));
    size_t count = list->as.list.count;
    if (count > ES_OIP_TENSORS_MAX)
        return es_doc_fail(list, err, "%zu tensors are more than %d", count, ES_OIP_TENSORS_MAX);
    es_oip_tensor *tensors = ES_TAKE_ARRAY(from->arena, es_oip_tensor, count);
    if (tensors == NULL)
        return es_arena_full(from->arena, "tensors", err);
    for (size_t i = 0; i < count; i++) {
        const es_doc *item = list->as.list.items[i];
        ES_TRY(read_tensor(from, item, &tensors[i], err));
        for (size_t k = 0; k < i; k++) {
            if (strcmp(tensors[k].name, tensors[i].name) == 0)
                return es_doc_fail(item, err, "'%.64s' is there twice", tensors[i].name);
        }
    }
    if (from->binary_left > 0)
        return es_doc_fail(root, err, "%zu bytes behind the JSON belong to no tensor",
                           from->binary_left);
    out->tensors = tensors;
    out->tensor_count = count;
    return ES_OK;
}

/* ---- what is asked for ---- */

static es_status read_one_wanted(es_arena *arena, const es_doc *owner, es_oip_wanted *out,
                                 es_error *err)
{
    const es_doc *params = NULL;
    bool binary = false;
    ES_TRY(es_doc_expect_map(owner, err));
    *out = (es_oip_wanted){.binary = ES_OIP_DOUBT};
    ES_TRY(es_doc_need_text(owner, "name", &out->name, err));
    ES_TRY(read_params(arena, owner, &out->params, err));
    ES_TRY(es_doc_get_map(owner, "parameters", &params, err));
    if (params == NULL)
        return ES_OK;
    ES_TRY(es_doc_get_bool(params, "binary_data", &binary, err));
    if (es_doc_find(params, "binary_data") != NULL)
        out->binary = binary;
    return es_doc_get_int(params, "classification", 1, INT32_MAX, &out->classification, err);
}

static es_status read_wanted(es_arena *arena, const es_doc *root, es_oip_message *out,
                             es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_doc_get_list(root, "outputs", &list, err));
    size_t count = list == NULL ? 0 : list->as.list.count;
    if (count > ES_OIP_TENSORS_MAX)
        return es_doc_fail(list, err, "%zu outputs are more than %d", count, ES_OIP_TENSORS_MAX);
    es_oip_wanted *wanted = ES_TAKE_ARRAY(arena, es_oip_wanted, count);
    if (wanted == NULL)
        return es_arena_full(arena, "outputs", err);
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_one_wanted(arena, list->as.list.items[i], &wanted[i], err));
    out->wanted = wanted;
    out->wanted_count = count;
    return ES_OK;
}

static es_status read_request_params(const es_doc *root, es_oip_message *out, es_error *err)
{
    const es_doc *params = NULL;
    ES_TRY(es_doc_get_map(root, "parameters", &params, err));
    if (params == NULL)
        return ES_OK;
    ES_TRY(es_doc_get_bool(params, "binary_data_output", &out->binary_output, err));
    ES_TRY(es_doc_get_int(params, "priority", 0, INT64_MAX, &out->priority, err));
    return es_doc_get_int(params, "timeout", 0, INT64_MAX, &out->timeout_us, err);
}

/* ---- messages ---- */

/* doc: the JSON as the tree is to see it. */
static es_status read_message(reader *from, bool is_request, const char *doc, size_t json,
                              es_oip_message *out, es_error *err)
{
    const es_doc *root = NULL;
    es_oip_message message = {0};
    es_arena *arena = from->arena;
    ES_TRY(es_doc_parse_json(arena, is_request ? "request" : "answer", doc, json, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_get_text(root, "id", &message.id, err));
    ES_TRY(read_params(arena, root, &message.params, err));
    if (is_request) {
        ES_TRY(read_request_params(root, &message, err));
        ES_TRY(read_wanted(arena, root, &message, err));
    } else {
        ES_TRY(es_doc_need_text(root, "model_name", &message.model_name, err));
        ES_TRY(es_doc_get_text(root, "model_version", &message.model_version, err));
    }
    ES_TRY(read_tensors(from, root, is_request ? "inputs" : "outputs", &message, err));
    *out = message;
    return ES_OK;
}

es_status es_oip_decode(es_arena *arena, es_oip_kind kind, const void *body, size_t size,
                        int64_t json_size, es_oip_message *out, es_error *err)
{
    const bool is_request = kind == ES_OIP_REQUEST;
    size_t json = json_size == ES_OIP_DOUBT ? size : (size_t)json_size;
    es_oip_spans spans;
    if (json_size == 0 || json_size < ES_OIP_DOUBT || json > size)
        return es_fail(err, ES_ERR_ARG, "%s: %lld must be from 1 to the %zu bytes of the body",
                       ES_OIP_JSON_SIZE_HEADER, (long long)json_size, size);
    char *blanked = es_arena_take(arena, json, 1);
    if (blanked == NULL)
        return es_arena_full(arena, "message", err);
    es_oip_spans_find(body, json, is_request ? "inputs" : "outputs", blanked, &spans);
    reader from = {.arena = arena,
                   .binary = (const unsigned char *)body + json,
                   .binary_left = size - json,
                   .spans = &spans};
    es_status status = read_message(&from, is_request, blanked, json, out, err);
    if (status == ES_OK || spans.count == 0 || json > AGAIN_BYTES_MAX)
        return status;
    from = (reader){
        .arena = arena, .binary = (const unsigned char *)body + json, .binary_left = size - json};
    return read_message(&from, is_request, body, json, out, err);
}

/* ---- raw binary requests ---- */

static es_status raw_shape(const es_port *port, size_t size, es_oip_tensor *tensor, es_error *err)
{
    size_t known = es_dtype_size(port->dtype);
    size_t free_at = SIZE_MAX;
    for (size_t i = 0; i < port->rank; i++) {
        if (i == 0 && port->dims[i] < 0) { /* the batch, of one */
            tensor->dims[i] = 1;
        } else if (port->dims[i] < 0) {
            if (free_at != SIZE_MAX)
                return es_fail(err, ES_ERR_ARG,
                               "input '%s' has several free dimensions: send its shape",
                               port->name);
            free_at = i;
        } else {
            tensor->dims[i] = port->dims[i];
            if (!es_size_mul(known, (size_t)port->dims[i], &known))
                return es_fail(err, ES_ERR_ARG, "input '%s' is too large", port->name);
        }
    }
    if (free_at != SIZE_MAX && known > 0 && size % known == 0) {
        tensor->dims[free_at] = (int64_t)(size / known);
        return ES_OK;
    }
    if (free_at != SIZE_MAX || known != size)
        return es_fail(err, ES_ERR_ARG,
                       "a body of %zu bytes does not fit input '%s', which has %zu", size,
                       port->name, known);
    return ES_OK;
}

es_status es_oip_raw_decode(es_arena *arena, const es_port *port, const void *body, size_t size,
                            es_oip_message *out, es_error *err)
{
    es_oip_tensor *tensor = ES_TAKE_ONE(arena, es_oip_tensor);
    reader from = {.arena = arena, .binary = body, .binary_left = size};
    if (tensor == NULL)
        return es_arena_full(arena, "tensor", err);
    if (es_oip_dtype_name(port->dtype) == NULL)
        return es_fail(err, ES_ERR_ARG, "input '%s' is no tensor of the protocol", port->name);
    tensor->name = port->name;
    tensor->dtype = port->dtype;
    tensor->rank = port->rank;
    if (port->dtype == ES_DTYPE_STRING) {
        if (size > UINT32_MAX)
            return es_fail(err, ES_ERR_ARG, "a BYTES element of %zu bytes is too large", size);
        unsigned char *element = ES_TAKE_ARRAY(arena, unsigned char, size + 4);
        if (element == NULL)
            return es_arena_full(arena, "tensor", err);
        put_u32(element, size);
        if (size > 0)
            memcpy(element + 4, body, size);
        for (size_t i = 0; i < port->rank; i++)
            tensor->dims[i] = 1;
        tensor->data = element;
        tensor->size_bytes = size + 4;
        tensor->binary = true;
    } else {
        ES_TRY(raw_shape(port, size, tensor, err));
        ES_TRY(take_binary(&from, tensor, size, err));
    }
    *out = (es_oip_message){.tensors = tensor, .tensor_count = 1, .binary_output = true};
    return ES_OK;
}
