/* What the node tells about itself and its models. */
#include "base/clock.h"
#include "server.h"

enum { TEXT_BYTES_MAX = 64 << 20, INDEX_BYTES_MAX = 64 << 20 };

es_served *es_server_model_of(es_server *server, es_http_request *request)
{
    const char *name = es_http_request_param(request, "model");
    const char *version = es_http_request_param(request, "version");
    es_served *served = NULL;
    es_error err = {0};
    es_found found = es_repository_find(server->repository, name, version, &served);
    if (found != ES_FOUND)
        atomic_fetch_add(&server->wrong, 1);
    switch (found) {
    case ES_FOUND:
        return served;
    case ES_FOUND_NO_MODEL:
        (void)es_fail(&err, ES_ERR_ARG, "model '%.255s' is not known", name);
        es_http_answer_error(request, 404, es_error_text(&err));
        return NULL;
    case ES_FOUND_NO_VERSION:
        (void)es_fail(&err, ES_ERR_ARG, "model '%.255s' has no version '%.32s'", name, version);
        es_http_answer_error(request, 404, es_error_text(&err));
        return NULL;
    case ES_FOUND_NOT_READY:
        break;
    }
    (void)es_fail(&err, ES_ERR_UNAVAILABLE, "model '%.255s' is not ready", name);
    es_http_answer_error(request, 503, es_error_text(&err));
    return NULL;
}

/* ---- the node ---- */

static const char *const EXTENSIONS[] = {
    "binary_tensor_data", "classification", "model_configuration", "model_repository",
    "schedule_policy",    "statistics",     "parameters",
};

void es_server_metadata(void *context, es_http_request *request)
{
    const es_server *server = context;
    es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_oip_write_server(&text, "estran", server->opts.version, EXTENSIONS,
                        sizeof EXTENSIONS / sizeof *EXTENSIONS);
    es_http_answer_json(request, 200, &text);
}

static void send_flag(es_http_request *request, const char *name, bool value, int status)
{
    es_text text;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_text_format(&text, "{\"%s\":%s}", name, value ? "true" : "false");
    es_http_answer_json(request, status, &text);
}

void es_server_live(void *context, es_http_request *request)
{
    (void)context;
    send_flag(request, "live", true, 200);
}

void es_server_ready(void *context, es_http_request *request)
{
    es_server *server = context;
    bool ready = atomic_load(&server->phase) == ES_SERVER_READY;
    send_flag(request, "ready", ready, ready ? 200 : 503);
}

/* ---- models ---- */

bool es_server_listing_take(es_server *server, es_http_request *request, es_server_listing *out)
{
    es_error err = {0};
    *out = (es_server_listing){.arena = es_arena_new(INDEX_BYTES_MAX)};
    es_status status = out->arena == NULL ? es_fail(&err, ES_ERR_NOMEM, "out of memory")
                                          : es_repository_index(server->repository, out->arena,
                                                                &out->entries, &out->count, &err);
    if (status != ES_OK) {
        es_arena_free(out->arena);
        es_http_answer_fail(request, &err);
    }
    return status == ES_OK;
}

void es_server_listing_done(es_server_listing *all)
{
    es_repository_index_done(all->entries, all->count);
    es_arena_free(all->arena);
}

void es_server_model_list(void *context, es_http_request *request)
{
    es_server_listing all;
    es_text text;
    es_json json;
    const char *before = "";
    if (!es_server_listing_take(context, request, &all))
        return;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_key(&json, "models");
    es_json_list_begin(&json);
    for (size_t i = 0; i < all.count; i++) {
        if (all.entries[i].served == NULL || strcmp(all.entries[i].name, before) == 0)
            continue;
        before = all.entries[i].name;
        es_json_text(&json, before);
    }
    es_json_list_end(&json);
    es_json_map_end(&json);
    es_server_listing_done(&all);
    es_http_answer_json(request, 200, &text);
}

static void write_port(es_json *json, const es_port *port)
{
    if (es_oip_dtype_name(port->dtype) != NULL)
        es_oip_write_port(json, port);
}

/* Versions that are ready, of the same model. */
static void write_versions(es_json *json, const es_server_listing *all, const char *name)
{
    es_json_key(json, "versions");
    es_json_list_begin(json);
    for (size_t i = 0; i < all->count; i++)
        if (all->entries[i].served != NULL && strcmp(all->entries[i].name, name) == 0)
            es_json_text(json, all->entries[i].served->version_text);
    es_json_list_end(json);
}

void es_server_model_metadata(void *context, es_http_request *request)
{
    es_server *server = context;
    es_server_listing all;
    es_text text;
    es_json json;
    es_served *served = es_server_model_of(server, request);
    if (served == NULL)
        return;
    if (!es_server_listing_take(server, request, &all)) {
        es_served_unref(served);
        return;
    }
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", served->name);
    write_versions(&json, &all, served->name);
    es_json_put_text(&json, "platform", "onnx_onnxv1");
    es_json_key(&json, "inputs");
    es_json_list_begin(&json);
    for (size_t i = 0; i < es_session_input_count(served->session); i++)
        write_port(&json, &served->inputs[i].face);
    es_json_list_end(&json);
    es_json_key(&json, "outputs");
    es_json_list_begin(&json);
    for (size_t i = 0; i < es_session_output_count(served->session); i++)
        write_port(&json, &served->outputs[i].face);
    es_json_list_end(&json);
    es_json_map_end(&json);
    es_server_listing_done(&all);
    es_served_unref(served);
    es_http_answer_json(request, 200, &text);
}

void es_server_model_ready(void *context, es_http_request *request)
{
    es_server *server = context;
    es_served *served = NULL;
    es_text text;
    es_json json;
    const char *name = es_http_request_param(request, "model");
    es_found found = es_repository_find(server->repository, name,
                                        es_http_request_param(request, "version"), &served);
    if (found == ES_FOUND_NO_MODEL || found == ES_FOUND_NO_VERSION) {
        (void)es_server_model_of(server, request); /* says which of the two */
        return;
    }
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", name);
    es_json_put_bool(&json, "ready", found == ES_FOUND);
    es_json_map_end(&json);
    if (found == ES_FOUND)
        es_served_unref(served);
    es_http_answer_json(request, found == ES_FOUND ? 200 : 503, &text);
}

void es_server_model_config(void *context, es_http_request *request)
{
    es_text text;
    es_json json;
    es_served *served = es_server_model_of(context, request);
    if (served == NULL)
        return;
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_model_config_write(&json, served->name, &served->config, served->session);
    es_served_unref(served);
    es_http_answer_json(request, 200, &text);
}

/* ---- statistics ---- */

static void put_duration(es_json *json, const char *key, uint64_t count, int64_t ns)
{
    es_json_key(json, key);
    es_json_map_begin(json);
    es_json_put_int(json, "count", (int64_t)count);
    es_json_put_int(json, "ns", ns);
    es_json_map_end(json);
}

static void put_counted(es_json *json, const char *key, const es_served_duration *duration)
{
    put_duration(json, key, atomic_load(&duration->count), atomic_load(&duration->ns));
}

static void put_inference_stats(es_json *json, const es_served_counts *counts)
{
    uint64_t failed = 0;
    int64_t failed_ns = 0;
    for (size_t i = ES_SERVED_OK + 1; i < ES_SERVED_OUTCOME_COUNT; i++) {
        failed += atomic_load(&counts->outcomes[i].count);
        failed_ns += atomic_load(&counts->outcomes[i].ns);
    }
    es_json_key(json, "inference_stats");
    es_json_map_begin(json);
    put_counted(json, "success", &counts->outcomes[ES_SERVED_OK]);
    put_duration(json, "fail", failed, failed_ns);
    put_counted(json, "queue", &counts->queue);
    put_counted(json, "compute_input", &counts->input);
    put_counted(json, "compute_infer", &counts->infer);
    put_counted(json, "compute_output", &counts->output);
    put_counted(json, "cache_hit", &counts->cache_hit);
    put_counted(json, "cache_miss", &counts->cache_miss);
    es_json_map_end(json);
}

static void put_batch_stats(es_json *json, const es_batch_size_stats *sizes, size_t count)
{
    es_json_key(json, "batch_stats");
    es_json_list_begin(json);
    for (size_t i = 0; i < count; i++) {
        if (sizes[i].runs == 0)
            continue;
        es_json_map_begin(json);
        es_json_put_int(json, "batch_size", (int64_t)i + 1);
        put_duration(json, "compute_input", sizes[i].runs, sizes[i].gather_ns);
        put_duration(json, "compute_infer", sizes[i].runs, sizes[i].run_ns);
        put_duration(json, "compute_output", sizes[i].runs, sizes[i].scatter_ns);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void put_stats(es_json *json, es_served *served)
{
    static es_batch_size_stats none;
    es_batcher_stats stats;
    size_t count = served->config.max_batch_size > 0 ? served->config.max_batch_size : 1;
    es_batch_size_stats *sizes = calloc(count, sizeof *sizes);
    es_batcher_stats_get(served->batcher, &stats, sizes, sizes != NULL ? count : 0);
    es_json_map_begin(json);
    es_json_put_text(json, "name", served->name);
    es_json_put_text(json, "version", served->version_text);
    es_json_put_int(json, "last_inference", atomic_load(&served->counts.last_ms));
    es_json_put_int(json, "inference_count", (int64_t)stats.rows);
    es_json_put_int(json, "execution_count", (int64_t)stats.runs);
    put_inference_stats(json, &served->counts);
    put_batch_stats(json, sizes != NULL ? sizes : &none, sizes != NULL ? count : 0);
    es_json_key(json, "memory_usage");
    es_json_list_begin(json);
    es_json_map_begin(json);
    es_json_put_text(json, "type", "CPU");
    es_json_put_int(json, "id", 0);
    es_json_put_int(json, "byte_size", (int64_t)served->file_bytes);
    es_json_map_end(json);
    es_json_list_end(json);
    es_json_key(json, "response_stats");
    es_json_map_begin(json);
    es_json_map_end(json);
    es_json_map_end(json);
    free(sizes);
}

void es_server_model_stats(void *context, es_http_request *request)
{
    es_server *server = context;
    const char *name = es_http_request_param(request, "model");
    const char *version = es_http_request_param(request, "version");
    es_served *one = NULL;
    es_server_listing all;
    es_text text;
    es_json json;
    if (name != NULL && (one = es_server_model_of(server, request)) == NULL)
        return;
    if (!es_server_listing_take(server, request, &all)) {
        es_served_unref(one);
        return;
    }
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_key(&json, "model_stats");
    es_json_list_begin(&json);
    for (size_t i = 0; i < all.count; i++)
        if (all.entries[i].served != NULL &&
            (name == NULL || strcmp(all.entries[i].name, name) == 0) &&
            (version == NULL || all.entries[i].served == one))
            put_stats(&json, all.entries[i].served);
    es_json_list_end(&json);
    es_json_map_end(&json);
    es_server_listing_done(&all);
    es_served_unref(one);
    es_http_answer_json(request, 200, &text);
}
