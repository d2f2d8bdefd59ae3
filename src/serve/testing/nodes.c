#include "nodes.h"

#include "base/file.h"
#include "route/route.h"
#include "tiny_onnx.h"

enum { HIDDEN = 32 };

void nodes_begin(nodes *all)
{
    *all = (nodes){.arena = es_arena_new((size_t)256 << 20)};
    assert_non_null(all->arena);
    (void)snprintf(all->folder, sizeof all->folder, "%s/nodes.%ld.XXXXXX", ES_TEST_BINARY_DIR,
                   (long)getpid());
    assert_non_null(mkdtemp(all->folder));
}

static void write_one(nodes *all, tiny_model *model, const char *name)
{
    char path[1024];
    es_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s.onnx", all->folder, name);
    assert_ok_err(tiny_write(model, path, &err), err);
}

static void layer(tiny_model *model, const char *from, const char *to, int64_t rows,
                  int64_t columns, uint64_t seed)
{
    char inner[64];
    (void)snprintf(inner, sizeof inner, "%s.inner", to);
    tiny_dense(model, from, inner, rows, columns, seed);
    tiny_op(model, "Relu", inner, NULL, to);
}

static void classes(tiny_model *model, const char *from, const char *to, uint64_t seed)
{
    tiny_dense(model, from, "logits", HIDDEN, NODES_CLASSES, seed);
    tiny_op(model, "Softmax", "logits", NULL, to);
}

void nodes_write_models(nodes *all)
{
    tiny_model model;
    tiny_begin(&model);
    tiny_input(&model, "x", NODES_WIDTH);
    layer(&model, "x", "a", NODES_WIDTH, HIDDEN, 1);
    layer(&model, "a", "b", HIDDEN, HIDDEN, 2);
    classes(&model, "b", "y", 3);
    tiny_output(&model, "y", NODES_CLASSES);
    write_one(all, &model, "whole");
    tiny_begin(&model);
    tiny_input(&model, "x", NODES_WIDTH);
    layer(&model, "x", "a", NODES_WIDTH, HIDDEN, 1);
    tiny_output(&model, "a", HIDDEN);
    write_one(all, &model, "head");
    tiny_begin(&model);
    tiny_input(&model, "in", HIDDEN);
    layer(&model, "in", "out", HIDDEN, HIDDEN, 2);
    tiny_output(&model, "out", HIDDEN);
    write_one(all, &model, "mid");
    tiny_begin(&model);
    tiny_input(&model, "b", HIDDEN);
    classes(&model, "b", "y", 3);
    tiny_output(&model, "y", NODES_CLASSES);
    write_one(all, &model, "tail");
    tiny_begin(&model);
    tiny_input(&model, "image", NODES_WIDTH);
    layer(&model, "image", "a", NODES_WIDTH, HIDDEN, 11);
    classes(&model, "a", "guess", 12);
    tiny_output(&model, "guess", NODES_CLASSES);
    write_one(all, &model, "small");
    tiny_begin(&model);
    tiny_input(&model, "x", NODES_WIDTH);
    layer(&model, "x", "features", NODES_WIDTH, HIDDEN, 1);
    classes(&model, "features", "probs", 21);
    tiny_output(&model, "probs", NODES_CLASSES);
    tiny_output(&model, "features", HIDDEN);
    write_one(all, &model, "exits");
    tiny_begin(&model);
    tiny_input(&model, "f", HIDDEN);
    layer(&model, "f", "b", HIDDEN, HIDDEN, 2);
    classes(&model, "b", "y", 3);
    tiny_output(&model, "y", NODES_CLASSES);
    write_one(all, &model, "rest");
}

void nodes_write_copy(nodes *all, const char *name, int64_t width)
{
    tiny_model model;
    tiny_begin(&model);
    tiny_input(&model, "from", width);
    tiny_op(&model, "Identity", "from", NULL, "to");
    tiny_output(&model, "to", width);
    write_one(all, &model, name);
}

/* From MODEL.onnx to MODEL/1/model.onnx with a configuration. */
void nodes_configure(nodes *all, const char *name, const char *key, const char *value)
{
    char from[1024];
    char to[1024];
    es_error err = {0};
    (void)snprintf(to, sizeof to, "%s/%s/1", all->folder, name);
    assert_ok_err(es_file_make_folder(to, &err), err);
    (void)snprintf(from, sizeof from, "%s/%s.onnx", all->folder, name);
    (void)snprintf(to, sizeof to, "%s/%s/1/model.onnx", all->folder, name);
    assert_int_equal(rename(from, to), 0);
    const char *text = es_arena_format(
        all->arena, "parameters { key: \"%s\" value { string_value: \"%s\" } }\n", key, value);
    assert_non_null(text);
    (void)snprintf(to, sizeof to, "%s/%s/config.pbtxt", all->folder, name);
    assert_ok_err(es_file_write(to, text, strlen(text), &err), err);
}

void nodes_start(nodes *all, size_t count, es_server_opts opts)
{
    static const char *const names[NODES_MAX] = {"n1", "n2", "n3"};
    es_error err = {0};
    opts.repository = all->folder;
    opts.port = 0;
    for (; all->count < count; all->count++) {
        size_t failed = 0;
        size_t i = all->count;
        es_http_peer_opts to = es_http_peer_opts_default();
        opts.name = names[i];
        assert_ok_err(es_server_init(opts, &all->servers[i], &err), err);
        assert_ok_err(es_server_start(all->servers[i], &failed, &err), err);
        assert_int_equal(failed, 0);
        (void)snprintf(all->urls[i], sizeof all->urls[i], "http://127.0.0.1:%u",
                       es_server_port(all->servers[i]));
        to.url = all->urls[i];
        assert_ok_err(es_http_client_new(to, &all->clients[i], &err), err);
    }
}

int nodes_call(nodes *all, size_t index, es_http_method method, const char *path, const char *body,
               es_http_reply *reply)
{
    es_error err = {0};
    es_http_call call = {.method = method,
                         .path = path,
                         .body = body,
                         .body_bytes = body != NULL ? strlen(body) : 0};
    assert_ok_err(es_http_client_call(all->clients[index], all->arena, &call, NULL, reply, &err),
                  err);
    return reply->status;
}

void nodes_introduce(nodes *all, double latency_ms, double bandwidth_bps)
{
    static const char *const names[NODES_MAX] = {"n1", "n2", "n3"};
    for (size_t i = 0; i < all->count; i++) {
        es_serve_peer peers[NODES_MAX];
        es_http_reply reply;
        es_text text;
        size_t count = 0;
        for (size_t k = 0; k < all->count; k++)
            if (k != i)
                peers[count++] = (es_serve_peer){
                    .name = names[k],
                    .one_way = all->one_way,
                    .url = all->urls[k],
                    .latency_s = latency_ms / 1e3,
                    .bandwidth_bps = bandwidth_bps > 0 ? bandwidth_bps : (double)__builtin_inf()};
        es_text_init(&text, 1 << 16);
        es_serve_peers_write(peers, count, true, &text);
        if (nodes_call(all, i, ES_HTTP_PUT, "/estran/v1/peers", es_text_get(&text), &reply) != 200)
            fail_msg("%s", (const char *)reply.body);
        es_text_done(&text);
    }
}

void nodes_stop_one(nodes *all, size_t index)
{
    es_server_done(all->servers[index]);
    all->servers[index] = NULL;
}

void nodes_end(nodes *all)
{
    char command[1024];
    for (size_t i = 0; i < all->count; i++) {
        es_http_client_free(all->clients[i]);
        es_server_done(all->servers[i]);
    }
    es_arena_free(all->arena);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", all->folder);
    assert_int_equal(system(command), 0);
}

int nodes_infer(nodes *all, size_t index, const char *model, const char *route, const float *input,
                size_t count, const es_http_header *headers, size_t header_count,
                es_http_reply *reply)
{
    const es_oip_tensor tensor = {.name = strcmp(model, "small") == 0 ? "image" : "x",
                                  .dtype = ES_DTYPE_F32,
                                  .rank = 2,
                                  .dims = {1, (int64_t)count},
                                  .data = input,
                                  .size_bytes = count * sizeof *input,
                                  .binary = true};
    return nodes_infer_tensor(all, index, model, route, &tensor, headers, header_count, reply);
}

int nodes_infer_tensor(nodes *all, size_t index, const char *model, const char *route,
                       const es_oip_tensor *tensor, const es_http_header *headers,
                       size_t header_count, es_http_reply *reply)
{
    enum { HEADERS_MAX = 12 };
    es_http_header to[HEADERS_MAX];
    size_t used = 0;
    char path[256];
    char digits[24];
    int64_t json_size = 0;
    es_error err = {0};
    es_text body;
    const es_oip_param binary = {
        .name = "binary_data_output", .type = ES_DOC_BOOL, .as.boolean = true};
    es_oip_message message = {
        .id = "42", .params = {.items = &binary, .count = 1}, .tensors = tensor, .tensor_count = 1};
    es_text_init(&body, (size_t)64 << 20);
    assert_ok_err(es_oip_encode(ES_OIP_REQUEST, &message, &body, &json_size, &err), err);
    (void)snprintf(path, sizeof path, "/v2/models/%s/infer", model);
    (void)snprintf(digits, sizeof digits, "%lld", (long long)json_size);
    to[used++] = (es_http_header){ES_OIP_JSON_SIZE_HEADER, digits};
    if (route != NULL)
        to[used++] = (es_http_header){ES_ROUTE_HEADER, route};
    for (size_t i = 0; i < header_count; i++)
        to[used++] = headers[i];
    es_http_call call = {.method = ES_HTTP_POST,
                         .path = path,
                         .headers = to,
                         .header_count = used,
                         .body = es_text_get(&body),
                         .body_bytes = body.size};
    assert_ok_err(es_http_client_call(all->clients[index], all->arena, &call, NULL, reply, &err),
                  err);
    es_text_done(&body);
    return reply->status;
}

const float *nodes_answer(nodes *all, const es_http_reply *reply, size_t *out_count,
                          es_oip_message *out_message)
{
    es_error err = {0};
    int64_t json_size = ES_OIP_DOUBT;
    const char *size = es_http_reply_header(reply, ES_OIP_JSON_SIZE_HEADER);
    if (reply->status != 200)
        fail_msg("%d: %s", reply->status, (const char *)reply->body);
    assert_true(size == NULL || es_text_to_int64(size, &json_size));
    assert_ok_err(es_oip_decode(all->arena, ES_OIP_ANSWER, reply->body, reply->body_bytes,
                                json_size, out_message, &err),
                  err);
    assert_int_equal(out_message->tensor_count, 1);
    *out_count = out_message->tensors[0].size_bytes / sizeof(float);
    return out_message->tensors[0].data;
}

void nodes_reference(nodes *all, const char *path, const float *input, size_t count, float *out,
                     size_t out_count)
{
    es_error err = {0};
    es_runtime *runtime = NULL;
    es_session *session = NULL;
    es_tensor output = {0};
    const int64_t dims[2] = {1, (int64_t)count};
    (void)all;
    assert_ok_err(es_runtime_new(es_runtime_opts_default(), &runtime, &err), err);
    assert_ok_err(es_session_open(runtime, path, es_session_opts_default(), &session, &err), err);
    es_tensor in = es_tensor_make(ES_DTYPE_F32, dims, 2, (void *)(uintptr_t)input); /* only read */
    assert_ok_err(es_session_run(session, &in, 1, &output, 1, &err), err);
    assert_int_equal(output.size_bytes, out_count * sizeof *out);
    memcpy(out, output.data, output.size_bytes);
    es_tensor_done(&output);
    es_session_unref(session);
    es_runtime_free(runtime);
}
