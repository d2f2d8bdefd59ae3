/* The node's server in this process: its answers equal the library's own, for real models, in every
 * form of the protocol, also when requests are joined. */
#include "base/clock.h"
#include "es_test.h"
#include "http/http.h"
#include "oip/oip.h"
#include "runtime/testing/real_models.h"
#include "runtime/testing/tensor_file.h"
#include "serve.h"

#include <pthread.h>

typedef struct world {
    es_arena *arena;
    es_runtime *runtime; /* NULL where the library is absent: the tests then skip */
} world;

static int begin(void **state)
{
    static world only;
    es_error err = {0};
    only.arena = es_arena_new((size_t)2 << 30);
    if (es_runtime_new(es_runtime_opts_default(), &only.runtime, &err) != ES_OK)
        print_message("skipped: %s\n", es_error_text(&err));
    *state = &only;
    return only.arena == NULL;
}

static int end(void **state)
{
    world *only = *state;
    es_runtime_free(only->runtime);
    es_arena_free(only->arena);
    return 0;
}

static world *world_of(void **state)
{
    world *only = *state;
    if (only->runtime == NULL)
        skip();
    es_arena_reset(only->arena);
    return only;
}

static es_server *serve(const char *folder, const char *const *names, size_t count)
{
    es_error err = {0};
    es_server *server = NULL;
    es_server_opts opts = es_server_opts_default();
    size_t failed = 0;
    opts.repository = folder;
    opts.port = 0;
    opts.load = names;
    opts.load_count = count;
    assert_ok_err(es_server_init(opts, &server, &err), err);
    assert_ok_err(es_server_start(server, &failed, &err), err);
    assert_int_equal(failed, 0);
    return server;
}

static es_http_client *client_of(const es_server *server)
{
    char url[64];
    es_error err = {0};
    es_http_client *client = NULL;
    es_http_peer_opts opts = es_http_peer_opts_default();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", es_server_port(server));
    opts.url = url;
    assert_ok_err(es_http_client_new(opts, &client, &err), err);
    return client;
}

/* ---- one inference over HTTP ---- */

typedef enum form { JSON, BINARY, RAW, FORM_COUNT } form;

static es_oip_tensor to_oip(const char *name, const es_tensor *tensor, bool binary)
{
    es_oip_tensor out = {.name = name,
                         .dtype = tensor->dtype,
                         .rank = tensor->rank,
                         .data = tensor->data,
                         .size_bytes = tensor->size_bytes,
                         .binary = binary};
    memcpy(out.dims, tensor->dims, sizeof out.dims);
    return out;
}

static void encode(const es_session *session, const es_tensor *inputs, form how, es_text *body,
                   int64_t *out_json_size)
{
    es_error err = {0};
    es_oip_tensor tensors[ES_SESSION_PORTS_MAX];
    const es_oip_param wish = {
        .name = "binary_data_output", .type = ES_DOC_BOOL, .as.boolean = true};
    es_oip_message message = {.id = "7", .tensors = tensors};
    message.tensor_count = es_session_input_count(session);
    if (how == BINARY)
        message.params = (es_oip_params){.items = &wish, .count = 1};
    for (size_t i = 0; i < message.tensor_count; i++)
        tensors[i] = to_oip(es_session_input(session, i)->name, &inputs[i], how == BINARY);
    if (how == RAW) {
        es_text_append_n(body, inputs[0].data, inputs[0].size_bytes);
        *out_json_size = 0;
        return;
    }
    assert_ok_err(es_oip_encode(ES_OIP_REQUEST, &message, body, out_json_size, &err), err);
}

static void infer(es_http_client *client, es_arena *arena, const char *model,
                  const es_session *session, const es_tensor *inputs, form how, es_oip_message *out)
{
    es_error err = {0};
    es_text body;
    char path[256];
    char digits[24];
    int64_t json_size = 0;
    es_http_reply reply;
    es_text_init(&body, (size_t)256 << 20);
    encode(session, inputs, how, &body, &json_size);
    (void)snprintf(path, sizeof path, "/v2/models/%s/infer", model);
    (void)snprintf(digits, sizeof digits, "%lld", (long long)json_size);
    const es_http_header header = {ES_OIP_JSON_SIZE_HEADER, digits};
    const es_http_call call = {.method = ES_HTTP_POST,
                               .path = path,
                               .headers = &header,
                               .header_count = json_size == ES_OIP_DOUBT ? 0 : 1,
                               .body = body.bytes,
                               .body_bytes = body.size};
    assert_ok_err(es_http_client_call(client, arena, &call, NULL, &reply, &err), err);
    if (reply.status != 200)
        fail_msg("%s: %d %.*s", model, reply.status, (int)reply.body_bytes,
                 (const char *)reply.body);
    const char *size = es_http_reply_header(&reply, ES_OIP_JSON_SIZE_HEADER);
    assert_int_equal(size == NULL, how == JSON);
    json_size = ES_OIP_DOUBT;
    assert_true(size == NULL || es_text_to_int64(size, &json_size));
    assert_ok_err(
        es_oip_decode(arena, ES_OIP_ANSWER, reply.body, reply.body_bytes, json_size, out, &err),
        err);
    assert_string_equal(out->model_name, model);
    assert_true(how == RAW || strcmp(out->id, "7") == 0);
    es_text_done(&body);
}

/* Every output that the protocol can carry, bit by bit. */
static void expect_same(const es_session *session, const es_tensor *wanted,
                        const es_oip_message *got)
{
    size_t seen = 0;
    for (size_t i = 0; i < es_session_output_count(session); i++) {
        if (es_oip_dtype_name(wanted[i].dtype) == NULL)
            continue;
        const es_oip_tensor *tensor = &got->tensors[seen++];
        assert_string_equal(tensor->name, es_session_output(session, i)->name);
        assert_int_equal(tensor->dtype, wanted[i].dtype);
        assert_int_equal(tensor->rank, wanted[i].rank);
        assert_memory_equal(tensor->dims, wanted[i].dims, wanted[i].rank * sizeof(int64_t));
        assert_int_equal(tensor->size_bytes, wanted[i].size_bytes);
        assert_memory_equal(tensor->data, wanted[i].data, wanted[i].size_bytes);
    }
    assert_int_equal(seen, got->tensor_count);
}

static void check_model(world *w, es_http_client *client, const char *folder, const char *name)
{
    es_error err = {0};
    char path[4200];
    es_session *session = NULL;
    es_tensor inputs[ES_SESSION_PORTS_MAX];
    es_tensor outputs[ES_SESSION_PORTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    es_arena_reset(w->arena);
    (void)snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
    assert_ok_err(es_session_open(w->runtime, path, es_session_opts_default(), &session, &err),
                  err);
    assert_ok_err(real_inputs(w->arena, session, inputs, &err), err);
    assert_ok_err(es_session_run(session, inputs, es_session_input_count(session), outputs,
                                 es_session_output_count(session), &err),
                  err);
    for (int how = JSON; how < FORM_COUNT; how++) {
        es_oip_message got;
        if (how == RAW && es_session_input_count(session) != 1)
            continue;
        infer(client, w->arena, name, session, inputs, (form)how, &got);
        expect_same(session, outputs, &got);
    }
    for (size_t i = 0; i < es_session_output_count(session); i++)
        es_tensor_done(&outputs[i]);
    es_session_unref(session);
}

static void answers_equal_the_librarys_own(void **state)
{
    world *w = world_of(state);
    static const char *const names[] = {
        "mlperf_tiny_resnet8_cifar10",
        "mnist-8",
        "silero_vad_16k_op15",
        "dtln_model_1",
        "sklearn_randomforest",
        "wonnx_opt-mnist",
        "tfl_helloworld_sine",
        "stm_mobilenet_v2_0.35_128",
        "FastestDet",
        "ultraface_RFB-320",
        "yunet_s_320_320",
    };
    const size_t count = sizeof names / sizeof names[0];
    const char *found = es_test_data("onnx");
    if (found == NULL)
        skip();
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", found);
    es_server *server = serve(folder, names, count);
    es_http_client *client = client_of(server);
    for (size_t i = 0; i < count; i++)
        check_model(w, client, folder, names[i]);
    es_http_client_free(client);
    es_server_stop(server, 1);
    es_server_done(server);
}

/* ---- joined ---- */

enum { CLIENTS = 4, EACH = 12 };

typedef struct asker {
    const es_server *server;
    es_session *session;
    uint64_t stream;
    double worst; /* difference to the lone answer, of the largest value */
} asker;

static void *ask(void *context)
{
    asker *own = context;
    es_arena *arena = es_arena_new((size_t)256 << 20);
    es_http_client *client = client_of(own->server);
    es_rng rng = es_rng_make(es_test_seed(1), own->stream);
    for (int i = 0; i < EACH; i++) {
        es_error err = {0};
        es_oip_message got;
        es_tensor wanted = {.dtype = ES_DTYPE_NONE};
        es_arena_reset(arena);
        es_tensor input = es_port_tensor(es_session_input(own->session, 0), 1 + i % 3);
        input.data = es_arena_take(arena, input.size_bytes, 1);
        assert_non_null(input.data);
        es_tensor_fill(&input, &rng);
        infer(client, arena, "stm_mobilenet_v2_0.35_128", own->session, &input, BINARY, &got);
        assert_ok_err(es_session_run(own->session, &input, 1, &wanted, 1, &err), err);
        es_tensor answer =
            es_tensor_make(got.tensors[0].dtype, got.tensors[0].dims, got.tensors[0].rank,
                           (void *)(uintptr_t)got.tensors[0].data);
        tensor_difference found;
        assert_true(tensor_compare(&answer, &wanted, 1e-4, 1e-5, &found));
        own->worst = found.worst > own->worst ? found.worst : own->worst;
        es_tensor_done(&wanted);
    }
    es_http_client_free(client);
    es_arena_free(arena);
    return NULL;
}

static void read_stats(world *w, es_http_client *client, int64_t *rows, int64_t *runs)
{
    es_error err = {0};
    es_http_reply reply;
    const es_http_call call = {.method = ES_HTTP_GET, .path = "/v2/models/stats"};
    const es_doc *root = NULL;
    const es_doc *stats = NULL;
    assert_ok_err(es_http_client_call(client, w->arena, &call, NULL, &reply, &err), err);
    assert_ok(es_doc_parse_json(w->arena, "stats", reply.body, reply.body_bytes, &root, NULL));
    assert_ok(es_doc_need_list(root, "model_stats", &stats, NULL));
    const es_doc *model = stats->as.list.items[0];
    assert_ok(es_doc_need_int(model, "inference_count", 0, INT64_MAX, rows, NULL));
    assert_ok(es_doc_need_int(model, "execution_count", 0, INT64_MAX, runs, NULL));
}

static void joined_answers_equal_lone_ones(void **state)
{
    world *w = world_of(state);
    static const char *const name = "stm_mobilenet_v2_0.35_128";
    asker askers[CLIENTS];
    pthread_t threads[CLIENTS];
    char path[4200];
    char folder[4096];
    es_error err = {0};
    es_session *session = NULL;
    const char *found = es_test_data("onnx");
    if (found == NULL)
        skip();
    (void)snprintf(folder, sizeof folder, "%s", found);
    (void)snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
    assert_ok_err(es_session_open(w->runtime, path, es_session_opts_default(), &session, &err),
                  err);
    es_server *server = serve(folder, &name, 1);
    for (size_t i = 0; i < CLIENTS; i++) {
        askers[i] = (asker){.server = server, .session = session, .stream = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(askers[i].worst <= 1);
    }
    es_http_client *client = client_of(server);
    int64_t rows = 0;
    int64_t runs = 0;
    for (int i = 0; i < 200 && rows < CLIENTS * EACH * 2; i++) { /* counted behind the answer */
        if (i > 0)
            es_clock_sleep_until_ns(es_clock_system(),
                                    es_clock_now_ns(es_clock_system()) + 10 * ES_NS_PER_MS);
        read_stats(w, client, &rows, &runs);
    }
    assert_int_equal(rows, CLIENTS * EACH * 2); /* 1, 2, 3 rows in turn */
    assert_true(runs < CLIENTS * EACH);         /* some were joined */
    es_http_client_free(client);
    es_server_done(server);
    es_session_unref(session);
}

/* ---- options ---- */

static void wrong_options_are_named(void **state)
{
    es_error err = {0};
    es_server *server = NULL;
    (void)state;
    es_server_opts opts = es_server_opts_default();
    assert_fails(es_server_init(opts, &server, &err), ES_ERR_ARG, err, "repository");
    opts.repository = "/nowhere";
    opts.name = "";
    assert_fails(es_server_init(opts, &server, &err), ES_ERR_ARG, err, "name");
    opts.name = "n";
    opts.replica_count = 0;
    assert_fails(es_server_init(opts, &server, &err), ES_ERR_ARG, err, "replica_count=0");
    opts.replica_count = 1;
    opts.batch_max = 5000;
    assert_fails(es_server_init(opts, &server, &err), ES_ERR_ARG, err, "batch_max=5000");
    opts.batch_max = 8;
    opts.queue_max = 0;
    assert_fails(es_server_init(opts, &server, &err), ES_ERR_ARG, err, "queue_max=0");
    opts.queue_max = 1;
    opts.carbon_g_per_kwh = -1;
    assert_fails(es_server_init(opts, &server, &err), ES_ERR_ARG, err, "carbon_g_per_kwh=-1");
    es_server_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_equal_the_librarys_own),
        cmocka_unit_test(joined_answers_equal_lone_ones),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
