/* Runs to be made before the first request: model_warmup. */
#include "model_config_internal.h"

static es_status read_warmup_input(es_arena *arena, const es_doc *map, const char *name,
                                   es_model_config_warmup_input *out, es_error *err)
{
    bool zero = false;
    bool random = false;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "data_type", "dims", "zero_data", "random_data",
                              "input_data_file"));
    out->name = es_arena_text(arena, name);
    if (out->name == NULL)
        return es_arena_full(arena, "warm-up", err);
    ES_TRY(es_config_get_dtype(map, &out->dtype, err));
    ES_TRY(es_config_read_dims(es_doc_find(map, "dims"), &out->rank, out->dims, err));
    ES_TRY(es_doc_get_bool(map, "zero_data", &zero, err));
    ES_TRY(es_doc_get_bool(map, "random_data", &random, err));
    ES_TRY(es_config_get_file(arena, map, "input_data_file", &out->file, err));
    if (zero + random + (out->file != NULL) != 1)
        return es_doc_fail(map, err,
                           "one of zero_data, random_data and input_data_file is expected");
    out->data = zero ? ES_WARMUP_ZERO : random ? ES_WARMUP_RANDOM : ES_WARMUP_FILE;
    return ES_OK;
}

static es_status read_warmup_inputs(es_arena *arena, const es_doc *value,
                                    es_model_config_warmup *out, es_error *err)
{
    es_config_items list;
    bool is_plain = value != NULL && value->type == ES_DOC_MAP && es_doc_find(value, "key") == NULL;
    es_config_items_of(value, &list);
    out->input_count = is_plain ? value->as.map.count : list.count;
    if (out->input_count > ES_SESSION_PORTS_MAX)
        return es_doc_fail(value, err, "%zu inputs are more than %d", out->input_count,
                           ES_SESSION_PORTS_MAX);
    es_model_config_warmup_input *inputs =
        ES_TAKE_ARRAY(arena, es_model_config_warmup_input, out->input_count);
    if (inputs == NULL)
        return es_arena_full(arena, "warm-up", err);
    for (size_t i = 0; i < out->input_count; i++) {
        const char *name = is_plain ? value->as.map.members[i].key : NULL;
        const es_doc *input = is_plain ? value->as.map.members[i].value : NULL;
        if (!is_plain) {
            ES_TRY(es_doc_need_text(list.at[i], "key", &name, err));
            ES_TRY(es_doc_need_map(list.at[i], "value", &input, err));
        }
        ES_TRY(read_warmup_input(arena, input, name, &inputs[i], err));
    }
    out->inputs = inputs;
    return ES_OK;
}

es_status es_config_read_warmups(es_arena *arena, const es_doc *root, es_model_config *out,
                                 es_error *err)
{
    es_config_items list;
    es_config_items_of(es_doc_find(root, "model_warmup"), &list);
    if (list.count > ES_MODEL_CONFIG_WARMUPS_MAX)
        return es_doc_fail(es_doc_find(root, "model_warmup"), err, "%zu are more than %d",
                           list.count, ES_MODEL_CONFIG_WARMUPS_MAX);
    es_model_config_warmup *warmups = ES_TAKE_ARRAY(arena, es_model_config_warmup, list.count);
    if (warmups == NULL)
        return es_arena_full(arena, "warm-up", err);
    for (size_t i = 0; i < list.count; i++) {
        const es_doc *map = list.at[i];
        ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "batch_size", "inputs", "count"));
        warmups[i].count = 1;
        ES_TRY(es_config_get_copy(arena, map, "name", &warmups[i].name, err));
        ES_TRY(es_config_get_u32(map, "batch_size", 0, ES_BATCH_ROWS_MAX, &warmups[i].batch_size,
                                 err));
        ES_TRY(es_config_get_u32(map, "count", 0, 10000, &warmups[i].count, err));
        warmups[i].count = warmups[i].count == 0 ? 1 : warmups[i].count; /* protobuf's default */
        ES_TRY(read_warmup_inputs(arena, es_doc_find(map, "inputs"), &warmups[i], err));
    }
    out->warmups = warmups;
    out->warmup_count = list.count;
    return ES_OK;
}
