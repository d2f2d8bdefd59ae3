/* The model repository over HTTP: index, load, unload. */
#include "base/base64.h"
#include "server.h"

enum { TEXT_BYTES_MAX = 64 << 20, FILES_MAX = 64 };

/* ---- index ---- */

/* {"ready": true} asks for those that are ready; no body is fine. */
static es_status read_index_request(es_arena *arena, es_http_request *request, bool *out_ready,
                                    es_error *err)
{
    size_t size = 0;
    const es_doc *root = NULL;
    const char *body = es_http_request_body(request, &size);
    *out_ready = false;
    if (size == 0)
        return ES_OK;
    ES_TRY(es_doc_parse_json(arena, "request", body, size, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    return es_doc_get_bool(root, "ready", out_ready, err);
}

static void write_entry(es_json *json, const es_repository_entry *entry)
{
    char version[ES_SERVED_VERSION_SIZE];
    es_json_map_begin(json);
    es_json_put_text(json, "name", entry->name);
    if (entry->version > 0) {
        (void)snprintf(version, sizeof version, "%lld", (long long)entry->version);
        es_json_put_text(json, "version", version);
    }
    es_json_put_text(json, "state", es_model_state_names[entry->state]);
    es_json_put_text(json, "reason", entry->reason);
    es_json_map_end(json);
}

void es_server_repository_index(void *context, es_http_request *request)
{
    es_server *server = context;
    es_error err = {0};
    es_repository_entry *entries = NULL;
    size_t count = 0;
    bool only_ready = false;
    es_text text;
    es_json json;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)64 << 20);
    es_status status = arena != NULL ? read_index_request(arena, request, &only_ready, &err)
                                     : es_fail(&err, ES_ERR_NOMEM, "out of memory");
    if (status == ES_OK)
        status = es_repository_index(server->repository, arena, &entries, &count, &err);
    if (status != ES_OK) {
        es_http_answer_fail(request, &err);
        return;
    }
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_list_begin(&json);
    for (size_t i = 0; i < count; i++)
        if (!only_ready || entries[i].state == ES_MODEL_READY)
            write_entry(&json, &entries[i]);
    es_json_list_end(&json);
    es_repository_index_done(entries, count);
    es_http_answer_json(request, 200, &text);
}

/* ---- load and unload ---- */

typedef struct asked {
    es_http_request *request;
    const char *name; /* in the change's arena */
    const char *verb; /* "load", "unload" */
} asked;

/* On the repository's thread. */
static void on_changed(void *context, es_status status, const es_error *err)
{
    asked *what = context;
    es_text text;
    es_json json;
    if (status != ES_OK) {
        es_http_answer_error(what->request, es_status_http(status), es_error_text(err));
        return;
    }
    es_text_init(&text, TEXT_BYTES_MAX);
    es_json_init(&json, &text, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "name", what->name);
    es_json_put_bool(&json, what->verb, true);
    es_json_map_end(&json);
    es_http_answer_json(what->request, 200, &text);
}

/* "file:1/model.onnx" */
static es_status read_file(es_arena *arena, const es_doc_member *member, es_repository_file *out,
                           es_error *err)
{
    static const char prefix[] = "file:";
    const char *at = member->key + sizeof prefix - 1;
    const char *slash = strchr(at, '/');
    const char *text = NULL;
    void *bytes = NULL;
    char digits[ES_SERVED_VERSION_SIZE] = "";
    if (slash != NULL && (size_t)(slash - at) < sizeof digits)
        memcpy(digits, at, (size_t)(slash - at));
    if (!es_text_to_int64(digits, &out->version) || out->version < 1 ||
        strcmp(slash + 1, "model.onnx") != 0)
        return es_doc_fail(member->value, err, "only file:VERSION/model.onnx can be given");
    ES_TRY(es_doc_expect_text(member->value, &text, err));
    es_status status =
        es_base64_decode(arena, text, member->value->as.text.size, &bytes, &out->size, err);
    out->bytes = bytes;
    return es_within(err, status, "parameters.%.64s", member->key);
}

static es_status read_files(es_repository_change *change, const es_doc *params, es_error *err)
{
    es_repository_file *files = ES_TAKE_ARRAY(change->arena, es_repository_file, FILES_MAX);
    if (files == NULL)
        return es_arena_full(change->arena, "files", err);
    for (size_t i = 0; i < params->as.map.count; i++) {
        const es_doc_member *member = &params->as.map.members[i];
        if (strncmp(member->key, "file:", 5) != 0)
            continue;
        if (change->file_count == FILES_MAX)
            return es_doc_fail(member->value, err, "more than %d files", FILES_MAX);
        ES_TRY(read_file(change->arena, member, &files[change->file_count], err));
        for (size_t k = 0; k < change->file_count; k++)
            if (files[k].version == files[change->file_count].version)
                return es_doc_fail(member->value, err, "the version is there twice");
        change->file_count++;
    }
    change->files = files;
    if (change->file_count > 0 && change->config == NULL)
        return es_doc_fail(params, err, "config is missing: files come with one");
    return ES_OK;
}

static es_status read_change(es_repository_change *change, es_http_request *request, es_error *err)
{
    size_t size = 0;
    const es_doc *root = NULL;
    const es_doc *params = NULL;
    const char *body = es_http_request_body(request, &size);
    if (size == 0)
        return ES_OK;
    ES_TRY(es_doc_parse_json(change->arena, "request", body, size, &root, err));
    ES_TRY(es_doc_expect_map(root, err));
    ES_TRY(es_doc_get_map(root, "parameters", &params, err));
    if (params == NULL)
        return ES_OK;
    if (change->unload) {
        bool ignored = false; /* no model here depends on another one */
        return es_doc_get_bool(params, "unload_dependents", &ignored, err);
    }
    ES_TRY(es_doc_get_text(params, "config", &change->config, err));
    return read_files(change, params, err);
}

static void change_model(es_server *server, es_http_request *request, bool unload)
{
    es_error err = {0};
    es_arena *arena = es_arena_new(4 * server->opts.load_bytes_max + ((size_t)16 << 20));
    es_repository_change *change = arena != NULL ? ES_TAKE_ONE(arena, es_repository_change) : NULL;
    asked *what = change != NULL ? ES_TAKE_ONE(arena, asked) : NULL;
    es_status status = ES_ERR_NOMEM;
    if (what == NULL) {
        (void)es_fail(&err, ES_ERR_NOMEM, "out of memory");
    } else {
        *what = (asked){.request = request,
                        .name = es_arena_text(arena, es_http_request_param(request, "model")),
                        .verb = unload ? "unload" : "load"};
        *change = (es_repository_change){.arena = arena,
                                         .unload = unload,
                                         .name = what->name,
                                         .done = on_changed,
                                         .context = what};
        status = what->name != NULL ? read_change(change, request, &err)
                                    : es_arena_full(arena, "request", &err);
        if (status == ES_OK)
            status = es_repository_submit(server->repository, change, &err);
    }
    if (status == ES_OK)
        return;
    es_arena_free(arena);
    es_http_answer_fail(request, &err);
}

void es_server_repository_load(void *context, es_http_request *request)
{
    change_model(context, request, false);
}

void es_server_repository_unload(void *context, es_http_request *request)
{
    change_model(context, request, true);
}
