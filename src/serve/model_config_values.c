#include "model_config_internal.h"

/* ---- one value or a list of them; digits in quotes (protobuf's JSON writes int64 so) ---- */

/* value NULL: none. `out` must outlive what is read. */
void es_config_items_of(const es_doc *value, es_config_items *out)
{
    *out = (es_config_items){.single = value};
    if (value == NULL || value->type == ES_DOC_NULL)
        return;
    if (value->type == ES_DOC_LIST) {
        out->at = value->as.list.items;
        out->count = value->as.list.count;
        return;
    }
    out->at = &out->single;
    out->count = 1;
}

es_status es_config_expect_integer(const es_doc *value, int64_t min, int64_t max, int64_t *out,
                                   es_error *err)
{
    int64_t number = 0;
    if (value->type != ES_DOC_TEXT || !es_text_to_int64(value->as.text.bytes, &number))
        return es_doc_expect_int(value, min, max, out, err);
    if (number < min || number > max)
        return es_doc_fail(value, err, "%lld must be in %lld..%lld", (long long)number,
                           (long long)min, (long long)max);
    *out = number;
    return ES_OK;
}

es_status es_config_get_integer(const es_doc *map, const char *key, int64_t min, int64_t max,
                                int64_t *out, es_error *err)
{
    const es_doc *value = es_doc_find(map, key);
    return value == NULL || value->type == ES_DOC_NULL
               ? ES_OK
               : es_config_expect_integer(value, min, max, out, err);
}

es_status es_config_get_u32(const es_doc *map, const char *key, uint32_t min, uint32_t max,
                            uint32_t *out, es_error *err)
{
    int64_t number = *out;
    ES_TRY(es_config_get_integer(map, key, min, max, &number, err));
    *out = (uint32_t)number;
    return ES_OK;
}

es_status es_config_get_copy(es_arena *arena, const es_doc *map, const char *key, const char **out,
                             es_error *err)
{
    const char *text = NULL;
    ES_TRY(es_doc_get_text(map, key, &text, err));
    if (text == NULL || *text == '\0')
        return ES_OK;
    *out = es_arena_text(arena, text);
    return *out != NULL ? ES_OK : es_arena_full(arena, key, err);
}

es_status es_config_get_file(es_arena *arena, const es_doc *map, const char *key, const char **out,
                             es_error *err)
{
    ES_TRY(es_config_get_copy(arena, map, key, out, err));
    if (*out != NULL && ((*out)[0] == '/' || strstr(*out, "..") != NULL))
        return es_doc_fail(es_doc_find(map, key), err, "'%.64s' must be a file below the model",
                           *out);
    return ES_OK;
}

static const struct {
    const char *name;
    es_dtype dtype;
} DATA_TYPES[] = {
    {"TYPE_BOOL", ES_DTYPE_BOOL},     {"TYPE_UINT8", ES_DTYPE_U8},   {"TYPE_UINT16", ES_DTYPE_U16},
    {"TYPE_UINT32", ES_DTYPE_U32},    {"TYPE_UINT64", ES_DTYPE_U64}, {"TYPE_INT8", ES_DTYPE_I8},
    {"TYPE_INT16", ES_DTYPE_I16},     {"TYPE_INT32", ES_DTYPE_I32},  {"TYPE_INT64", ES_DTYPE_I64},
    {"TYPE_FP16", ES_DTYPE_F16},      {"TYPE_FP32", ES_DTYPE_F32},   {"TYPE_FP64", ES_DTYPE_F64},
    {"TYPE_STRING", ES_DTYPE_STRING}, {"TYPE_BF16", ES_DTYPE_BF16},
};
enum { DATA_TYPE_COUNT = sizeof DATA_TYPES / sizeof DATA_TYPES[0] };

const char *es_model_config_dtype_name(es_dtype dtype)
{
    for (size_t i = 0; i < DATA_TYPE_COUNT; i++)
        if (DATA_TYPES[i].dtype == dtype)
            return DATA_TYPES[i].name;
    return "TYPE_INVALID";
}

es_status es_config_get_dtype(const es_doc *map, es_dtype *out, es_error *err)
{
    const char *words[DATA_TYPE_COUNT];
    size_t index = DATA_TYPE_COUNT;
    for (size_t i = 0; i < DATA_TYPE_COUNT; i++)
        words[i] = DATA_TYPES[i].name;
    ES_TRY(es_doc_get_word(map, "data_type", words, DATA_TYPE_COUNT, &index, err));
    if (index < DATA_TYPE_COUNT)
        *out = DATA_TYPES[index].dtype;
    return ES_OK;
}

es_status es_config_read_dims(const es_doc *value, size_t *out_rank,
                              int64_t out_dims[ES_TENSOR_RANK_MAX], es_error *err)
{
    es_config_items list;
    es_config_items_of(value, &list);
    if (list.count > ES_TENSOR_RANK_MAX)
        return es_doc_fail(value, err, "%zu dims are more than %d", list.count, ES_TENSOR_RANK_MAX);
    for (size_t i = 0; i < list.count; i++)
        ES_TRY(es_config_expect_integer(list.at[i], -1, INT64_MAX, &out_dims[i], err));
    *out_rank = list.count;
    return ES_OK;
}
