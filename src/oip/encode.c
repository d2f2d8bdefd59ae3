#include "base/checked.h"
#include "internal.h"

static size_t count_of(const es_oip_tensor *tensor)
{
    es_tensor plain = es_tensor_make(ES_DTYPE_U8, tensor->dims, tensor->rank, NULL);
    return es_tensor_count(&plain);
}

static size_t u32_at(const unsigned char *bytes)
{
    return (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 |
           (size_t)bytes[3] << 24;
}

/* ---- checks before anything is written ---- */

static es_status check_strings(const es_oip_tensor *tensor, size_t count, es_error *err)
{
    const unsigned char *at = tensor->data;
    size_t left = tensor->size_bytes;
    for (size_t i = 0; i < count; i++) {
        if (left < 4 || u32_at(at) > left - 4)
            return es_fail(err, ES_ERR_ARG, "tensor '%s': element %zu ends behind its %zu bytes",
                           tensor->name, i, tensor->size_bytes);
        size_t size = 4 + u32_at(at);
        if (!tensor->binary && memchr(at + 4, 0, size - 4) != NULL)
            return es_fail(err, ES_ERR_ARG, "tensor '%s': a NUL byte travels as binary only",
                           tensor->name);
        at += size;
        left -= size;
    }
    return left == 0
               ? ES_OK
               : es_fail(err, ES_ERR_ARG, "tensor '%s': %zu bytes too many", tensor->name, left);
}

static es_status check_tensor(const es_oip_tensor *tensor, es_error *err)
{
    size_t count = count_of(tensor);
    size_t bytes = 0;
    const char *dtype = es_oip_dtype_name(tensor->dtype);
    if (dtype == NULL)
        return es_fail(err, ES_ERR_ARG, "tensor '%s': type %s is not in the protocol", tensor->name,
                       es_dtype_name(tensor->dtype));
    if (!tensor->binary && (tensor->dtype == ES_DTYPE_F16 || tensor->dtype == ES_DTYPE_BF16))
        return es_fail(err, ES_ERR_ARG, "tensor '%s': %s travels as binary only", tensor->name,
                       dtype);
    if (tensor->dtype == ES_DTYPE_STRING)
        return check_strings(tensor, count, err);
    if (!es_size_mul(count, es_dtype_size(tensor->dtype), &bytes) || bytes != tensor->size_bytes)
        return es_fail(err, ES_ERR_ARG, "tensor '%s': %zu bytes do not fit its shape", tensor->name,
                       tensor->size_bytes);
    return ES_OK;
}

/* ---- values ---- */

static void write_int(es_text *text, es_dtype dtype, const unsigned char *at)
{
    size_t size = es_dtype_size(dtype);
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++)
        bits |= (uint64_t)at[i] << (8 * i);
    bool is_signed = dtype == ES_DTYPE_I8 || dtype == ES_DTYPE_I16 || dtype == ES_DTYPE_I32 ||
                     dtype == ES_DTYPE_I64;
    if (is_signed && size < 8 && (bits >> (8 * size - 1)) != 0)
        bits |= ~UINT64_C(0) << (8 * size);
    if (is_signed)
        es_text_int(text, (int64_t)bits);
    else
        es_text_uint(text, bits);
}

static void write_one(es_text *text, es_dtype dtype, const unsigned char *at)
{
    char digits[ES_DECIMAL_SIZE];
    float narrow = 0;
    double wide = 0;
    if (dtype == ES_DTYPE_F32) {
        memcpy(&narrow, at, sizeof narrow);
        es_text_append_n(text, digits, es_oip_float_print(narrow, digits));
    } else if (dtype == ES_DTYPE_F64) {
        memcpy(&wide, at, sizeof wide);
        es_text_double(text, wide);
    } else if (dtype == ES_DTYPE_BOOL) {
        es_text_append(text, *at != 0 ? "true" : "false");
    } else {
        write_int(text, dtype, at);
    }
}

static void write_data(es_text *text, const es_oip_tensor *tensor)
{
    const unsigned char *at = tensor->data;
    size_t count = count_of(tensor);
    size_t each = es_dtype_size(tensor->dtype);
    es_text_append(text, ",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            es_text_append(text, ",");
        if (tensor->dtype == ES_DTYPE_STRING) {
            es_json_quoted_n(text, (const char *)at + 4, u32_at(at));
            at += 4 + u32_at(at);
        } else {
            write_one(text, tensor->dtype, at);
            at += each;
        }
    }
    es_text_append(text, "]");
}

/* ---- JSON ---- */

static void write_key(es_text *text, const char *key, const char *value)
{
    es_text_append(text, "\"");
    es_text_append(text, key);
    es_text_append(text, "\":");
    es_json_quoted(text, value);
}

static void write_params(es_text *text, const es_oip_params *params, int64_t binary_size)
{
    const char *comma = "";
    if (params->count == 0 && binary_size < 0)
        return;
    es_text_append(text, ",\"parameters\":{");
    for (size_t i = 0; i < params->count; i++) {
        const es_oip_param *param = &params->items[i];
        es_text_append(text, comma);
        es_json_quoted(text, param->name);
        es_text_append(text, ":");
        if (param->type == ES_DOC_BOOL)
            es_text_append(text, param->as.boolean ? "true" : "false");
        else if (param->type == ES_DOC_INT)
            es_text_int(text, param->as.integer);
        else if (param->type == ES_DOC_NUMBER)
            es_text_double(text, param->as.number);
        else
            es_json_quoted(text, param->as.text);
        comma = ",";
    }
    if (binary_size >= 0) {
        es_text_append(text, comma);
        es_text_append(text, "\"binary_data_size\":");
        es_text_int(text, binary_size);
    }
    es_text_append(text, "}");
}

static void write_tensor(es_text *text, const es_oip_tensor *tensor)
{
    es_text_append(text, "{");
    write_key(text, "name", tensor->name);
    es_text_append(text, ",");
    write_key(text, "datatype", es_oip_dtype_name(tensor->dtype));
    es_text_append(text, ",\"shape\":[");
    for (size_t i = 0; i < tensor->rank; i++) {
        es_text_append(text, i > 0 ? "," : "");
        es_text_int(text, tensor->dims[i]);
    }
    es_text_append(text, "]");
    write_params(text, &tensor->params, tensor->binary ? (int64_t)tensor->size_bytes : -1);
    if (!tensor->binary)
        write_data(text, tensor);
    es_text_append(text, "}");
}

static void write_wanted(es_text *text, const es_oip_message *message)
{
    if (message->wanted_count == 0)
        return;
    es_text_append(text, ",\"outputs\":[");
    for (size_t i = 0; i < message->wanted_count; i++) {
        es_text_append(text, i > 0 ? ",{" : "{");
        write_key(text, "name", message->wanted[i].name);
        write_params(text, &message->wanted[i].params, -1); /* binary_data is among them */
        es_text_append(text, "}");
    }
    es_text_append(text, "]");
}

static void write_json(es_text *text, es_oip_kind kind, const es_oip_message *message)
{
    size_t start = text->size;
    es_text_append(text, "{");
    if (kind == ES_OIP_ANSWER) {
        write_key(text, "model_name", message->model_name);
        if (message->model_version != NULL) {
            es_text_append(text, ",");
            write_key(text, "model_version", message->model_version);
        }
    }
    if (message->id != NULL) {
        es_text_append(text, text->size > start + 1 ? "," : "");
        write_key(text, "id", message->id);
    }
    es_text_append(text, text->size > start + 1 ? "," : "");
    es_text_append(text, kind == ES_OIP_ANSWER ? "\"outputs\":[" : "\"inputs\":[");
    for (size_t i = 0; i < message->tensor_count; i++) {
        es_text_append(text, i > 0 ? "," : "");
        write_tensor(text, &message->tensors[i]);
    }
    es_text_append(text, "]");
    write_params(text, &message->params, -1);
    if (kind == ES_OIP_REQUEST)
        write_wanted(text, message);
    es_text_append(text, "}");
}

es_status es_oip_encode(es_oip_kind kind, const es_oip_message *message, es_text *text,
                        int64_t *out_json_size, es_error *err)
{
    size_t start = text->size;
    bool any_binary = false;
    for (size_t i = 0; i < message->tensor_count; i++) {
        ES_TRY(check_tensor(&message->tensors[i], err));
        any_binary |= message->tensors[i].binary;
    }
    write_json(text, kind, message);
    size_t json_size = text->size - start;
    for (size_t i = 0; i < message->tensor_count; i++) {
        const es_oip_tensor *tensor = &message->tensors[i];
        if (tensor->binary && tensor->size_bytes > 0)
            es_text_append_n(text, tensor->data, tensor->size_bytes);
    }
    ES_TRY(es_text_status(text, err));
    *out_json_size = any_binary ? (int64_t)json_size : ES_OIP_DOUBT;
    return ES_OK;
}

void es_oip_write_server(es_text *out, const char *name, const char *version,
                         const char *const *extensions, size_t extension_count)
{
    es_json json;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", name);
    es_json_put_text(&json, "version", version);
    es_json_key(&json, "extensions");
    es_json_list_begin(&json);
    for (size_t i = 0; i < extension_count; i++)
        es_json_text(&json, extensions[i]);
    es_json_list_end(&json);
    es_json_map_end(&json);
}
