/* The configuration beside the model: does it fit, and what it is as JSON once both are known. */
#include "model_config.h"

/* ---- does it fit? ---- */

/* Dims as declared, with the batch in front where there is one. */
static size_t declared_dims(const es_model_config *config, const es_model_config_port *port,
                            int64_t dims[ES_TENSOR_RANK_MAX + 1])
{
    size_t used = 0;
    const int64_t *from = port->reshape_given ? port->reshape : port->dims;
    size_t rank = port->reshape_given ? port->reshape_rank : port->rank;
    if (config->max_batch_size > 0)
        dims[used++] = -1;
    for (size_t i = 0; i < rank; i++)
        dims[used++] = from[i];
    return used;
}

static es_status port_fits(const es_model_config *config, const es_model_config_port *declared,
                           const es_port *port, const char *kind, es_error *err)
{
    int64_t dims[ES_TENSOR_RANK_MAX + 1];
    size_t rank = declared_dims(config, declared, dims);
    if (declared->dtype != ES_DTYPE_NONE && declared->dtype != port->dtype)
        return es_fail(err, ES_ERR_ARG, "%s '%s': data_type %s, but the model has %s", kind,
                       declared->name, es_model_config_dtype_name(declared->dtype),
                       es_model_config_dtype_name(port->dtype));
    if (!declared->dims_given && !declared->reshape_given)
        return ES_OK;
    if (port->rank == 0 && rank > 0)
        return ES_OK; /* the model leaves its shape open */
    if (rank != port->rank)
        return es_fail(err, ES_ERR_ARG, "%s '%s': %zu dims%s, but the model has %zu", kind,
                       declared->name, rank, config->max_batch_size > 0 ? " with the batch" : "",
                       port->rank);
    for (size_t i = 0; i < rank; i++)
        if (port->dims[i] >= 0 && dims[i] >= 0 && dims[i] != port->dims[i])
            return es_fail(err, ES_ERR_ARG, "%s '%s': dims[%zu]=%lld, but the model has %lld", kind,
                           declared->name, i, (long long)dims[i], (long long)port->dims[i]);
    return ES_OK;
}

static const es_port *find_port(const es_session *session, bool is_input, const char *name)
{
    size_t count = is_input ? es_session_input_count(session) : es_session_output_count(session);
    for (size_t i = 0; i < count; i++) {
        const es_port *port =
            is_input ? es_session_input(session, i) : es_session_output(session, i);
        if (strcmp(port->name, name) == 0)
            return port;
    }
    return NULL;
}

static es_status ports_fit(const es_model_config *config, const es_session *session, bool is_input,
                           es_error *err)
{
    const es_model_config_port *ports = is_input ? config->inputs : config->outputs;
    size_t count = is_input ? config->input_count : config->output_count;
    const char *kind = is_input ? "input" : "output";
    for (size_t i = 0; i < count; i++) {
        const es_port *port = find_port(session, is_input, ports[i].name);
        if (port == NULL)
            return es_fail(err, ES_ERR_ARG, "%s '%s' is not one of the model", kind, ports[i].name);
        ES_TRY(port_fits(config, &ports[i], port, kind, err));
    }
    return ES_OK;
}

es_status es_model_config_fits(const es_model_config *config, const es_session *session,
                               es_error *err)
{
    if (config->max_batch_size > 0 && !es_session_first_dims_free(session))
        return es_fail(err, ES_ERR_ARG,
                       "max_batch_size=%u, but the model has an input or output without a free "
                       "first dim",
                       config->max_batch_size);
    ES_TRY(ports_fit(config, session, true, err));
    return ports_fit(config, session, false, err);
}

/* ---- as JSON ---- */

static void write_dims(es_json *json, const char *key, const int64_t *dims, size_t rank)
{
    es_json_key(json, key);
    es_json_list_begin(json);
    for (size_t i = 0; i < rank; i++)
        es_json_int(json, dims[i]);
    es_json_list_end(json);
}

static const es_model_config_port *find_declared(const es_model_config_port *ports, size_t count,
                                                 const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(ports[i].name, name) == 0)
            return &ports[i];
    return NULL;
}

static void write_port(es_json *json, const es_model_config *config, const es_port *port,
                       const es_model_config_port *declared)
{
    const size_t skip = config->max_batch_size > 0 && port->rank > 0 ? 1 : 0;
    es_json_map_begin(json);
    es_json_put_text(json, "name", port->name);
    es_json_put_text(json, "data_type", es_model_config_dtype_name(port->dtype));
    if (declared != NULL && declared->dims_given)
        write_dims(json, "dims", declared->dims, declared->rank);
    else
        write_dims(json, "dims", port->dims + skip, port->rank - skip);
    if (declared != NULL && declared->reshape_given) {
        es_json_key(json, "reshape");
        es_json_map_begin(json);
        write_dims(json, "shape", declared->reshape, declared->reshape_rank);
        es_json_map_end(json);
    }
    if (declared != NULL && declared->label_filename != NULL)
        es_json_put_text(json, "label_filename", declared->label_filename);
    es_json_map_end(json);
}

static void write_ports(es_json *json, const es_model_config *config, const es_session *session)
{
    es_json_key(json, "input");
    es_json_list_begin(json);
    for (size_t i = 0; i < es_session_input_count(session); i++) {
        const es_port *port = es_session_input(session, i);
        write_port(json, config, port,
                   find_declared(config->inputs, config->input_count, port->name));
    }
    es_json_list_end(json);
    es_json_key(json, "output");
    es_json_list_begin(json);
    for (size_t i = 0; i < es_session_output_count(session); i++) {
        const es_port *port = es_session_output(session, i);
        write_port(json, config, port,
                   find_declared(config->outputs, config->output_count, port->name));
    }
    es_json_list_end(json);
}

static void write_versions(es_json *json, const es_model_config *config)
{
    es_json_key(json, "version_policy");
    es_json_map_begin(json);
    if (config->version_policy == ES_VERSIONS_SPECIFIC) {
        es_json_key(json, "specific");
        es_json_map_begin(json);
        write_dims(json, "versions", config->versions, config->version_count);
        es_json_map_end(json);
    } else if (config->version_policy == ES_VERSIONS_ALL) {
        es_json_key(json, "all");
        es_json_map_begin(json);
        es_json_map_end(json);
    } else {
        es_json_key(json, "latest");
        es_json_map_begin(json);
        es_json_put_int(json, "num_versions", config->num_versions);
        es_json_map_end(json);
    }
    es_json_map_end(json);
}

static void write_policy(es_json *json, const es_batch_level *level)
{
    es_json_map_begin(json);
    es_json_put_text(json, "timeout_action", level->delay_late ? "DELAY" : "REJECT");
    es_json_put_int(json, "default_timeout_microseconds", level->timeout_ns / ES_NS_PER_US);
    es_json_put_bool(json, "allow_timeout_override", level->timeout_override);
    es_json_put_int(json, "max_queue_size", level->queue_max);
    es_json_map_end(json);
}

static void write_batching(es_json *json, const es_model_config *config)
{
    int64_t sizes[ES_BATCH_PREFERRED_MAX];
    for (size_t i = 0; i < config->preferred_count; i++)
        sizes[i] = config->preferred[i];
    es_json_key(json, "dynamic_batching");
    es_json_map_begin(json);
    write_dims(json, "preferred_batch_size", sizes, config->preferred_count);
    es_json_put_int(json, "max_queue_delay_microseconds", config->max_queue_delay_us);
    es_json_put_bool(json, "preserve_ordering", config->preserve_ordering);
    es_json_put_int(json, "priority_levels", config->priority_levels);
    es_json_put_int(json, "default_priority_level", config->default_priority_level);
    es_json_key(json, "default_queue_policy");
    write_policy(json, &config->levels[0]);
    es_json_key(json, "priority_queue_policy");
    es_json_map_begin(json);
    for (uint32_t i = 0; i < config->priority_levels; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%u", i + 1);
        es_json_key(json, key);
        write_policy(json, &config->levels[i]);
    }
    es_json_map_end(json);
    es_json_map_end(json);
}

static void write_pairs(es_json *json, const char *name, const es_model_config_pair *pairs,
                        size_t count, bool wrapped)
{
    es_json_key(json, name);
    es_json_map_begin(json);
    for (size_t i = 0; i < count; i++) {
        es_json_key(json, pairs[i].key);
        if (wrapped) {
            es_json_map_begin(json);
            es_json_put_text(json, "string_value", pairs[i].value);
            es_json_map_end(json);
        } else {
            es_json_text(json, pairs[i].value);
        }
    }
    es_json_map_end(json);
}

static void write_warmup_inputs(es_json *json, const es_model_config_warmup *warmup)
{
    es_json_key(json, "inputs");
    es_json_map_begin(json);
    for (size_t i = 0; i < warmup->input_count; i++) {
        const es_model_config_warmup_input *input = &warmup->inputs[i];
        es_json_key(json, input->name);
        es_json_map_begin(json);
        es_json_put_text(json, "data_type", es_model_config_dtype_name(input->dtype));
        write_dims(json, "dims", input->dims, input->rank);
        if (input->data == ES_WARMUP_FILE)
            es_json_put_text(json, "input_data_file", input->file);
        else
            es_json_put_bool(json, input->data == ES_WARMUP_ZERO ? "zero_data" : "random_data",
                             true);
        es_json_map_end(json);
    }
    es_json_map_end(json);
}

static void write_warmups(es_json *json, const es_model_config *config)
{
    es_json_key(json, "model_warmup");
    es_json_list_begin(json);
    for (size_t i = 0; i < config->warmup_count; i++) {
        es_json_map_begin(json);
        es_json_put_text(json, "name", config->warmups[i].name);
        es_json_put_int(json, "batch_size", config->warmups[i].batch_size);
        write_warmup_inputs(json, &config->warmups[i]);
        es_json_put_int(json, "count", config->warmups[i].count);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

void es_model_config_write(es_json *json, const char *name, const es_model_config *config,
                           const es_session *session)
{
    es_json_map_begin(json);
    es_json_put_text(json, "name", name);
    es_json_put_text(json, "platform", "onnx_onnxv1");
    es_json_put_text(json, "backend", config->backend != NULL ? config->backend : "onnxruntime");
    write_versions(json, config);
    es_json_put_int(json, "max_batch_size", config->max_batch_size);
    write_ports(json, config, session);
    es_json_key(json, "instance_group");
    es_json_list_begin(json);
    es_json_map_begin(json);
    es_json_put_text(json, "name", name);
    es_json_put_text(json, "kind", "KIND_CPU");
    es_json_put_int(json, "count", config->replica_count);
    es_json_map_end(json);
    es_json_list_end(json);
    if (config->default_model_filename != NULL)
        es_json_put_text(json, "default_model_filename", config->default_model_filename);
    if (config->batching)
        write_batching(json, config);
    if (config->warmup_count > 0)
        write_warmups(json, config);
    es_json_key(json, "response_cache");
    es_json_map_begin(json);
    es_json_put_bool(json, "enable", config->cache);
    es_json_map_end(json);
    write_pairs(json, "parameters", config->parameters, config->parameter_count, true);
    if (config->metric_tag_count > 0)
        write_pairs(json, "metric_tags", config->metric_tags, config->metric_tag_count, false);
    es_json_map_end(json);
}
