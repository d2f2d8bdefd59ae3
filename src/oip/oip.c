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
