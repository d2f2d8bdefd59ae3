#include "oip.h"

const char ES_OIP_JSON_SIZE_HEADER[] = "Inference-Header-Content-Length";

static const struct {
    const char *name;
    es_dtype dtype;
} DTYPES[] = {
    {"BOOL", ES_DTYPE_BOOL},    {"UINT8", ES_DTYPE_U8},   {"UINT16", ES_DTYPE_U16},
    {"UINT32", ES_DTYPE_U32},   {"UINT64", ES_DTYPE_U64}, {"INT8", ES_DTYPE_I8},
    {"INT16", ES_DTYPE_I16},    {"INT32", ES_DTYPE_I32},  {"INT64", ES_DTYPE_I64},
    {"FP16", ES_DTYPE_F16},     {"FP32", ES_DTYPE_F32},   {"FP64", ES_DTYPE_F64},
    {"BYTES", ES_DTYPE_STRING}, {"BF16", ES_DTYPE_BF16},
};

const char *es_oip_dtype_name(es_dtype dtype)
{
    for (size_t i = 0; i < sizeof DTYPES / sizeof DTYPES[0]; i++) {
        if (DTYPES[i].dtype == dtype)
            return DTYPES[i].name;
    }
    return NULL;
}

es_dtype es_oip_dtype_of(const char *name)
{
    for (size_t i = 0; i < sizeof DTYPES / sizeof DTYPES[0]; i++) {
        if (strcmp(DTYPES[i].name, name) == 0)
            return DTYPES[i].dtype;
    }
    return ES_DTYPE_NONE;
}

const es_oip_param *es_oip_param_find(const es_oip_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++) {
        if (strcmp(params->items[i].name, name) == 0)
            return &params->items[i];
    }
    return NULL;
}

void es_oip_write_port(es_json *json, const es_port *port)
{
    const char *dtype = es_oip_dtype_name(port->dtype);
    es_json_map_begin(json);
    es_json_put_text(json, "name", port->name);
    es_json_put_text(json, "datatype", dtype != NULL ? dtype : "");
    es_json_key(json, "shape");
    es_json_list_begin(json);
    for (size_t i = 0; i < port->rank; i++)
        es_json_int(json, port->dims[i]);
    es_json_list_end(json);
    es_json_map_end(json);
}

es_status es_oip_read_port(const es_doc *doc, es_port *out, es_error *err)
{
    const char *datatype = NULL;
    const es_doc *shape = NULL;
    *out = (es_port){.dtype = ES_DTYPE_NONE};
    ES_TRY(es_doc_need_text(doc, "name", &out->name, err));
    ES_TRY(es_doc_need_text(doc, "datatype", &datatype, err));
    ES_TRY(es_doc_need_list(doc, "shape", &shape, err));
    out->dtype = es_oip_dtype_of(datatype);
    out->rank = shape->as.list.count;
    if (out->rank > ES_TENSOR_RANK_MAX)
        return es_doc_fail(shape, err, "%zu dimensions, at most %d", out->rank, ES_TENSOR_RANK_MAX);
    for (size_t i = 0; i < out->rank; i++)
        ES_TRY(es_doc_expect_int(shape->as.list.items[i], -1, INT64_MAX, &out->dims[i], err));
    return ES_OK;
}

bool es_oip_json_size(const char *value, int64_t *out)
{
    *out = ES_OIP_DOUBT;
    return value == NULL || (es_text_to_int64(value, out) && *out >= 0);
}
