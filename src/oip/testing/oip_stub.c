#include "oip_stub.h"

#include "base/clock.h"
#include "es_test.h"
#include "oip/oip.h"

/* Two inputs, one of them with a free dimension beside the batch's. */
static const char METADATA[] =
    "{\"name\":\"stub\",\"platform\":\"none\",\"inputs\":["
    "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,4]}],"
    "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,1]}]}";
static const char FREE_METADATA[] =
    "{\"name\":\"free\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,-1]},"
    "{\"name\":\"words\",\"datatype\":\"BYTES\",\"shape\":[2]}],\"outputs\":[]}";

static void tell_metadata(void *context, es_http_request *request)
{
    (void)context;
    const char *model = es_http_request_param(request, "model");
    const char *text = strcmp(model, "stub") == 0   ? METADATA
                       : strcmp(model, "free") == 0 ? FREE_METADATA
                                                    : NULL;
    if (text == NULL)
        es_http_answer_error(request, 404, "no such model");
    else
        es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                       .content_type = "application/json",
                                                       .body = text,
                                                       .body_bytes = strlen(text)});
}

static bool well_formed(es_http_request *request, uint64_t *out_rows)
{
    int64_t json_size = ES_OIP_DOUBT;
    es_oip_message message;
    size_t size = 0;
    const char *value = es_http_request_header(request, ES_OIP_JSON_SIZE_HEADER);
    const void *body = es_http_request_body(request, &size);
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    if (value != NULL && !es_text_to_int64(value, &json_size))
        return false;
    if (es_oip_decode(arena, ES_OIP_REQUEST, body, size, json_size, &message, NULL) != ES_OK)
        return false;
    *out_rows = (uint64_t)message.tensors[0].dims[0];
    return message.tensor_count > 0;
}

static void infer(void *context, es_http_request *request)
{
    oip_stub *stub = context;
    uint64_t rows = 0;
    uint64_t number = atomic_fetch_add(&stub->inferences, 1) + 1;
    if (!well_formed(request, &rows)) {
        atomic_fetch_add(&stub->malformed, 1);
        es_http_answer_error(request, 400, "malformed");
        return;
    }
    atomic_fetch_add(&stub->rows, rows);
    if (stub->fail_every > 0 && number % stub->fail_every == 0) {
        atomic_fetch_add(&stub->failed, 1);
        es_http_answer_error(request, 503, "as it was told");
        return;
    }
    if (!es_queue_try_push(stub->waiting, request))
        es_http_answer_error(request, 503, "full");
}

static void answer(es_http_request *request)
{
    static const char JSON[] =
        "{\"model_name\":\"stub\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
        "\"shape\":[1,1],\"parameters\":{\"binary_data_size\":4}}]}";
    char body[sizeof JSON - 1 + 4];
    char size[16];
    memcpy(body, JSON, sizeof JSON - 1);
    memset(body + sizeof JSON - 1, 0, 4);
    (void)snprintf(size, sizeof size, "%zu", sizeof JSON - 1);
    const es_http_header header = {ES_OIP_JSON_SIZE_HEADER, size};
    es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                   .headers = &header,
                                                   .header_count = 1,
                                                   .body = body,
                                                   .body_bytes = sizeof body});
}

static void *work(void *context)
{
    oip_stub *stub = context;
    es_clock *clock = es_clock_system();
    es_http_request *request = NULL;
    while ((request = es_queue_pop(stub->waiting)) != NULL) {
        int64_t begin_ns = es_http_request_start_ns(request);
        if (stub->serial && begin_ns < stub->free_ns)
            begin_ns = stub->free_ns;
        int64_t ready_ns = begin_ns + es_ns_from_s(stub->service_s);
        stub->free_ns = ready_ns;
        es_clock_sleep_until_ns(clock, ready_ns);
        int64_t now_ns = es_clock_now_ns(clock);
        if (now_ns >= atomic_load(&stub->stall_from_ns) && now_ns < atomic_load(&stub->stall_to_ns))
            es_clock_sleep_until_ns(clock, atomic_load(&stub->stall_to_ns));
        answer(request);
    }
    return NULL;
}

void oip_stub_start(oip_stub *stub, char url[64])
{
    es_error err = {0};
    const es_http_route routes[] = {
        {.method = ES_HTTP_GET, .path = "/v2/models/{model}", .handle = tell_metadata},
        {.method = ES_HTTP_POST,
         .path = "/v2/models/{model}/infer",
         .handle = infer,
         .context = stub},
    };
    es_http_server_opts opts = es_http_server_opts_default();
    opts.routes = routes;
    opts.route_count = 2;
    opts.connections_max = 4096;
    assert_ok(es_queue_new(100000, &stub->waiting, &err));
    assert_int_equal(pthread_create(&stub->worker, NULL, work, stub), 0);
    assert_ok_err(es_http_server_init(opts, &stub->server, &err), err);
    assert_ok_err(es_http_server_start(stub->server, &err), err);
    (void)snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)es_http_server_port(stub->server));
}

void oip_stub_stop(oip_stub *stub)
{
    es_http_server_stop(stub->server, 5);
    es_queue_close(stub->waiting);
    assert_int_equal(pthread_join(stub->worker, NULL), 0);
    es_http_server_done(stub->server);
    es_queue_free(stub->waiting);
}
