#include "model_config_internal.h"

/* ---- ports ---- */

static es_status read_port(es_arena *arena, const es_doc *map, es_model_config_port *out,
                           es_error *err)
{
    const es_doc *reshape = NULL;
    bool optional = false;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "data_type", "format", "dims", "reshape",
                              "is_shape_tensor", "allow_ragged_batch", "optional", "label_filename",
                              "is_non_linear_format_io"));
    ES_TRY(es_config_get_copy(arena, map, "name", &out->name, err));
    if (out->name == NULL)
        return es_doc_fail(map, err, "name is missing");
    ES_TRY(es_config_get_dtype(map, &out->dtype, err));
    ES_TRY(es_config_read_dims(es_doc_find(map, "dims"), &out->rank, out->dims, err));
    out->dims_given = es_doc_find(map, "dims") != NULL;
    ES_TRY(es_doc_get_map(map, "reshape", &reshape, err));
    out->reshape_given = reshape != NULL;
    if (reshape != NULL) {
        ES_TRY(ES_DOC_EXPECT_KEYS(reshape, err, "shape"));
        ES_TRY(es_config_read_dims(es_doc_find(reshape, "shape"), &out->reshape_rank, out->reshape,
                                   err));
    }
    ES_TRY(es_doc_get_bool(map, "optional", &optional, err));
    if (optional)
        return es_doc_fail(es_doc_find(map, "optional"), err,
                           "inputs of ONNX models are not optional");
    return es_config_get_file(arena, map, "label_filename", &out->label_filename, err);
}

static es_status read_ports(es_arena *arena, const es_doc *root, const char *key,
                            const es_model_config_port **out, size_t *out_count, es_error *err)
{
    es_config_items list;
    es_config_items_of(es_doc_find(root, key), &list);
    if (list.count > ES_SESSION_PORTS_MAX)
        return es_doc_fail(es_doc_find(root, key), err, "%zu ports are more than %d", list.count,
                           ES_SESSION_PORTS_MAX);
    es_model_config_port *ports = ES_TAKE_ARRAY(arena, es_model_config_port, list.count);
    if (ports == NULL)
        return es_arena_full(arena, key, err);
    for (size_t i = 0; i < list.count; i++)
        ES_TRY(read_port(arena, list.at[i], &ports[i], err));
    *out = ports;
    *out_count = list.count;
    return ES_OK;
}

/* ---- versions, replicas ---- */

static es_status read_specific(const es_doc *map, es_model_config *out, es_error *err)
{
    es_config_items list;
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "versions"));
    es_config_items_of(es_doc_find(map, "versions"), &list);
    if (list.count == 0 || list.count > ES_MODEL_CONFIG_VERSIONS_MAX)
        return es_doc_fail(map, err, "%zu versions must be 1 to %d", list.count,
                           ES_MODEL_CONFIG_VERSIONS_MAX);
    for (size_t i = 0; i < list.count; i++)
        ES_TRY(es_config_expect_integer(list.at[i], 1, INT64_MAX, &out->versions[i], err));
    out->version_count = list.count;
    return ES_OK;
}

static es_status read_version_policy(const es_doc *root, es_model_config *out, es_error *err)
{
    const es_doc *policy = NULL;
    const es_doc *which = NULL;
    ES_TRY(es_doc_get_map(root, "version_policy", &policy, err));
    if (policy == NULL)
        return ES_OK;
    ES_TRY(ES_DOC_EXPECT_KEYS(policy, err, "latest", "all", "specific"));
    if (policy->as.map.count != 1)
        return es_doc_fail(policy, err, "one of latest, all and specific is expected");
    ES_TRY(es_doc_get_map(policy, "all", &which, err));
    if (which != NULL)
        out->version_policy = ES_VERSIONS_ALL;
    ES_TRY(es_doc_get_map(policy, "latest", &which, err));
    if (es_doc_find(policy, "latest") != NULL && which != NULL) {
        ES_TRY(ES_DOC_EXPECT_KEYS(which, err, "num_versions"));
        ES_TRY(es_config_get_u32(which, "num_versions", 1, ES_MODEL_CONFIG_VERSIONS_MAX,
                                 &out->num_versions, err));
    }
    if (es_doc_find(policy, "specific") != NULL) {
        out->version_policy = ES_VERSIONS_SPECIFIC;
        ES_TRY(read_specific(es_doc_find(policy, "specific"), out, err));
    }
    return ES_OK;
}

static es_status read_instances(const es_doc *root, es_model_config *out, es_error *err)
{
    static const char *const kinds[] = {"KIND_AUTO", "KIND_CPU", "KIND_MODEL", "KIND_GPU"};
    es_config_items list;
    es_config_items_of(es_doc_find(root, "instance_group"), &list);
    for (size_t i = 0; i < list.count; i++) {
        size_t kind = 0;
        uint32_t count = 1;
        ES_TRY(ES_DOC_EXPECT_KEYS(list.at[i], err, "name", "kind", "count", "rate_limiter", "gpus",
                                  "secondary_devices", "profile", "passive", "host_policy"));
        ES_TRY(es_doc_get_word(list.at[i], "kind", kinds, 4, &kind, err));
        if (kind == 3)
            return es_doc_fail(es_doc_find(list.at[i], "kind"), err,
                               "KIND_GPU: models run on processors here (KIND_CPU)");
        ES_TRY(
            es_config_get_u32(list.at[i], "count", 1, ES_MODEL_CONFIG_REPLICAS_MAX, &count, err));
        out->replica_count += count;
    }
    if (out->replica_count > ES_MODEL_CONFIG_REPLICAS_MAX)
        return es_doc_fail(es_doc_find(root, "instance_group"), err,
                           "%u instances are more than %d", out->replica_count,
                           ES_MODEL_CONFIG_REPLICAS_MAX);
    return ES_OK;
}

/* ---- pairs of texts ---- */

/* A value is a text, or {string_value: text}; numbers and booleans are taken as they are written.
 */
static es_status pair_value(es_arena *arena, const es_doc *value, const char **out, es_error *err)
{
    if (value->type == ES_DOC_MAP) {
        ES_TRY(ES_DOC_EXPECT_KEYS(value, err, "string_value"));
        ES_TRY(es_doc_need(value, "string_value", &value, err));
    }
    if (value->type == ES_DOC_TEXT)
        *out = es_arena_text(arena, value->as.text.bytes);
    else if (value->type == ES_DOC_INT)
        *out = es_arena_format(arena, "%lld", (long long)value->as.integer);
    else if (value->type == ES_DOC_NUMBER)
        *out = es_arena_format(arena, "%.17g", value->as.number);
    else if (value->type == ES_DOC_BOOL)
        *out = es_arena_text(arena, value->as.boolean ? "true" : "false");
    else
        return es_doc_fail(value, err, "must be a text");
    return *out != NULL ? ES_OK : es_arena_full(arena, "parameters", err);
}

static es_status read_pairs(es_arena *arena, const es_doc *root, const char *name,
                            const es_model_config_pair **out, size_t *out_count, es_error *err)
{
    const es_doc *value = es_doc_find(root, name);
    es_config_items list;
    es_config_items_of(value, &list);
    bool is_plain = value != NULL && value->type == ES_DOC_MAP &&
                    (es_doc_find(value, "key") == NULL || es_doc_find(value, "value") == NULL);
    size_t count = is_plain ? value->as.map.count : list.count;
    if (count > ES_MODEL_CONFIG_PAIRS_MAX)
        return es_doc_fail(value, err, "%zu are more than %d", count, ES_MODEL_CONFIG_PAIRS_MAX);
    es_model_config_pair *pairs = ES_TAKE_ARRAY(arena, es_model_config_pair, count);
    if (pairs == NULL)
        return es_arena_full(arena, name, err);
    for (size_t i = 0; i < count; i++) {
        const char *key = is_plain ? value->as.map.members[i].key : NULL;
        const es_doc *one = is_plain ? value->as.map.members[i].value : NULL;
        if (!is_plain) {
            ES_TRY(ES_DOC_EXPECT_KEYS(list.at[i], err, "key", "value"));
            ES_TRY(es_doc_need_text(list.at[i], "key", &key, err));
            ES_TRY(es_doc_need(list.at[i], "value", &one, err));
        }
        pairs[i].key = es_arena_text(arena, key);
        if (pairs[i].key == NULL)
            return es_arena_full(arena, name, err);
        ES_TRY(pair_value(arena, one, &pairs[i].value, err));
    }
    *out = pairs;
    *out_count = count;
    return ES_OK;
}

/* ---- the whole ---- */

/* Known to others, of no use here. */
static const char *const UNUSED[] = {
    "runtime",
    "optimization",
    "cc_model_filenames",
    "model_operations",
    "model_repository_agents",
    "model_metrics",
};
enum { UNUSED_COUNT = sizeof UNUSED / sizeof UNUSED[0] };

static es_status note_ignored(es_arena *arena, const es_doc *root, es_model_config *out,
                              es_error *err)
{
    const char **names = ES_TAKE_ARRAY(arena, const char *, UNUSED_COUNT);
    if (names == NULL)
        return es_arena_full(arena, "configuration", err);
    for (size_t i = 0; i < UNUSED_COUNT; i++)
        if (es_doc_find(root, UNUSED[i]) != NULL)
            names[out->ignored_count++] = UNUSED[i];
    out->ignored = names;
    return ES_OK;
}

static es_status refuse_unsupported(const es_doc *root, es_error *err)
{
    static const char *const others[] = {"sequence_batching", "ensemble_scheduling", "batch_input",
                                         "batch_output"};
    const es_doc *policy = NULL;
    bool decoupled = false;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (es_doc_find(root, others[i]) != NULL)
            return es_fail(err, ES_ERR_UNSUPPORTED, "%s is not offered (routes join models)",
                           others[i]);
    ES_TRY(es_doc_get_map(root, "model_transaction_policy", &policy, err));
    if (policy != NULL)
        ES_TRY(es_doc_get_bool(policy, "decoupled", &decoupled, err));
    if (decoupled)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "model_transaction_policy: decoupled is not offered");
    return ES_OK;
}

static es_status read_kind(es_arena *arena, const es_doc *root, es_model_config *out, es_error *err)
{
    ES_TRY(es_config_get_copy(arena, root, "platform", &out->platform, err));
    ES_TRY(es_config_get_copy(arena, root, "backend", &out->backend, err));
    if (out->platform != NULL && strcmp(out->platform, "onnxruntime_onnx") != 0 &&
        strcmp(out->platform, "onnx_onnxv1") != 0)
        return es_fail(err, ES_ERR_UNSUPPORTED,
                       "platform '%.64s' is not offered, only onnxruntime_onnx", out->platform);
    if (out->backend != NULL && strcmp(out->backend, "onnxruntime") != 0 &&
        strcmp(out->backend, "estran") != 0)
        return es_fail(err, ES_ERR_UNSUPPORTED, "backend '%.64s' is not offered, only onnxruntime",
                       out->backend);
    return ES_OK;
}

es_model_config es_model_config_default(void)
{
    es_model_config config = {.num_versions = 1};
    for (size_t i = 0; i < ES_BATCH_LEVELS_MAX; i++)
        config.levels[i] = (es_batch_level){.timeout_override = true};
    return config;
}

es_status es_model_config_read(es_arena *arena, const es_doc *root, es_model_config *out,
                               es_error *err)
{
    es_model_config config = es_model_config_default();
    const es_doc *cache = NULL;
    ES_TRY(ES_DOC_EXPECT_KEYS(
        root, err, "name", "platform", "backend", "runtime", "version_policy", "max_batch_size",
        "input", "output", "batch_input", "batch_output", "optimization", "dynamic_batching",
        "sequence_batching", "ensemble_scheduling", "instance_group", "default_model_filename",
        "cc_model_filenames", "metric_tags", "parameters", "model_warmup", "model_operations",
        "model_transaction_policy", "model_repository_agents", "response_cache", "model_metrics"));
    ES_TRY(refuse_unsupported(root, err));
    ES_TRY(note_ignored(arena, root, &config, err));
    ES_TRY(es_config_get_copy(arena, root, "name", &config.name, err));
    ES_TRY(read_kind(arena, root, &config, err));
    ES_TRY(es_config_get_file(arena, root, "default_model_filename", &config.default_model_filename,
                              err));
    config.max_batch_size_given = es_doc_find(root, "max_batch_size") != NULL;
    ES_TRY(es_config_get_u32(root, "max_batch_size", 0, ES_BATCH_ROWS_MAX, &config.max_batch_size,
                             err));
    ES_TRY(read_ports(arena, root, "input", &config.inputs, &config.input_count, err));
    ES_TRY(read_ports(arena, root, "output", &config.outputs, &config.output_count, err));
    ES_TRY(read_version_policy(root, &config, err));
    ES_TRY(read_instances(root, &config, err));
    ES_TRY(es_config_read_batching(root, &config, err));
    ES_TRY(es_config_read_warmups(arena, root, &config, err));
    ES_TRY(es_doc_get_map(root, "response_cache", &cache, err));
    if (cache != NULL) {
        config.cache_given = true;
        ES_TRY(ES_DOC_EXPECT_KEYS(cache, err, "enable"));
        ES_TRY(es_doc_get_bool(cache, "enable", &config.cache, err));
    }
    ES_TRY(read_pairs(arena, root, "parameters", &config.parameters, &config.parameter_count, err));
    ES_TRY(
        read_pairs(arena, root, "metric_tags", &config.metric_tags, &config.metric_tag_count, err));
    *out = config;
    return ES_OK;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t size = strlen(name);
    size_t tail = strlen(ending);
    return size >= tail && strcmp(name + size - tail, ending) == 0;
}

es_status es_model_config_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                                es_model_config *out, es_error *err)
{
    const es_doc *root = NULL;
    if (size > ES_MODEL_CONFIG_BYTES_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: %zu bytes are more than %d", name, size,
                       ES_MODEL_CONFIG_BYTES_MAX);
    if (ends_with(name, ".pbtxt"))
        ES_TRY(es_pbtxt_parse(arena, name, bytes, size, &root, err));
    else if (ends_with(name, ".json"))
        ES_TRY(es_doc_parse_json(arena, name, bytes, size, &root, err));
    else
        ES_TRY(es_doc_parse_yaml(arena, name, bytes, size, &root, err));
    return es_model_config_read(arena, root, out, err);
}

const char *es_model_config_parameter(const es_model_config *config, const char *key)
{
    for (size_t i = 0; i < config->parameter_count; i++)
        if (strcmp(config->parameters[i].key, key) == 0)
            return config->parameters[i].value;
    return NULL;
}
