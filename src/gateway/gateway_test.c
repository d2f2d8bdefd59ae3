/* A gateway between a client and stand-ins for nodes, all in this process over loopback. */
#include "base/file.h"
#include "base/log.h"
#include "es_test.h"
#include "internal.h"
#include "route/route.h"

/* ---- stand-ins for nodes ---- */

typedef enum manner {
    ECHO,  /* 200 with the body as it came */
    KEEP,  /* answers only when told to */
    STATUS /* an error of status `status` */
} manner;

typedef struct node {
    es_http_server *server;
    char url[64];
    _Atomic int manner;
    _Atomic int status;
    _Atomic uint32_t asked;
    es_queue *kept;
    const char *partial, *failed; /* headers of its answers; NULL: none */
    pthread_mutex_t lock;         /* guards what follows: of the latest request */
    char path[256], route[512], task[128], timeout[32], unmet[64], json_size[32], trace[128];
} node;

static void copy_header(es_http_request *request, const char *name, char *out, size_t size)
{
    const char *value = es_http_request_header(request, name);
    (void)snprintf(out, size, "%s", value != NULL ? value : "");
}

static void answer_ok(node *n, es_http_request *request)
{
    es_http_header headers[4];
    size_t count = 0;
    size_t size = 0;
    char stages[256];
    const void *body = es_http_request_body(request, &size);
    (void)snprintf(stages, sizeof stages, "%.*s;queue=3;compute=40;joules=0.5;source=model",
                   (int)strcspn(n->route, ";,"), n->route);
    headers[count++] = (es_http_header){ES_STAGES_HEADER, stages};
    if (n->json_size[0] != '\0')
        headers[count++] = (es_http_header){ES_OIP_JSON_SIZE_HEADER, n->json_size};
    if (n->partial != NULL)
        headers[count++] = (es_http_header){ES_PARTIAL_HEADER, n->partial};
    if (n->failed != NULL)
        headers[count++] = (es_http_header){ES_FAILED_HEADER, n->failed};
    es_http_answer_send(request, &(es_http_answer){.status = 200,
                                                   .content_type = "application/octet-stream",
                                                   .headers = headers,
                                                   .header_count = count,
                                                   .body = body,
                                                   .body_bytes = size});
}

static void on_infer(void *context, es_http_request *request)
{
    node *n = context;
    (void)pthread_mutex_lock(&n->lock);
    (void)snprintf(n->path, sizeof n->path, "%s", es_http_request_path(request));
    copy_header(request, ES_ROUTE_HEADER, n->route, sizeof n->route);
    copy_header(request, ES_TASK_HEADER, n->task, sizeof n->task);
    copy_header(request, ES_TIMEOUT_HEADER, n->timeout, sizeof n->timeout);
    copy_header(request, ES_UNMET_HEADER, n->unmet, sizeof n->unmet);
    copy_header(request, ES_OIP_JSON_SIZE_HEADER, n->json_size, sizeof n->json_size);
    copy_header(request, "traceparent", n->trace, sizeof n->trace);
    (void)pthread_mutex_unlock(&n->lock);
    atomic_fetch_add(&n->asked, 1);
    if (atomic_load(&n->manner) == ECHO)
        answer_ok(n, request);
    else if (atomic_load(&n->manner) == STATUS)
        es_http_answer_error(request, atomic_load(&n->status), "in a bad mood");
    else if (!es_queue_try_push(n->kept, request))
        es_http_answer_error(request, 503, "full");
}

static void node_start(node *n)
{
    const es_http_route route = {.method = ES_HTTP_POST,
                                 .path = "/v2/models/{model}/infer",
                                 .handle = on_infer,
                                 .context = n};
    es_http_server_opts opts = es_http_server_opts_default();
    es_error err = {0};
    *n = (node){.manner = ECHO};
    (void)pthread_mutex_init(&n->lock, NULL);
    assert_ok_err(es_queue_new(1024, &n->kept, &err), err);
    opts.routes = &route;
    opts.route_count = 1;
    assert_ok_err(es_http_server_init(opts, &n->server, &err), err);
    assert_ok_err(es_http_server_start(n->server, &err), err);
    (void)snprintf(n->url, sizeof n->url, "http://127.0.0.1:%u", es_http_server_port(n->server));
}

static void node_stop(node *n)
{
    for (;;) {
        es_http_request *request = es_queue_try_pop(n->kept);
        if (request == NULL)
            break;
        es_http_answer_error(request, 500, "it is over");
    }
    es_http_server_done(n->server);
    n->server = NULL;
}

static void node_done(node *n)
{
    node_stop(n);
    es_queue_free(n->kept);
    (void)pthread_mutex_destroy(&n->lock);
}

/* ---- a gateway and a client ---- */

typedef struct world {
    node a, b;
    es_gateway *gateway;
    es_gateway_opts opts;
    es_http_client *client;
    es_arena *arena;
    char file[256];
} world;

static void connect_client(world *w)
{
    es_http_peer_opts peer = es_http_peer_opts_default();
    char url[64];
    es_error err = {0};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", es_gateway_port(w->gateway));
    peer.url = url;
    assert_ok_err(es_http_client_new(peer, &w->client, &err), err);
}

static void gateway_start(world *w)
{
    es_error err = {0};
    assert_ok_err(es_gateway_init(w->opts, &w->gateway, &err), err);
    assert_ok_err(es_gateway_start(w->gateway, &err), err);
    connect_client(w);
}

static void gateway_end(world *w)
{
    es_http_client_free(w->client);
    es_gateway_done(w->gateway);
    w->client = NULL;
    w->gateway = NULL;
}

static world *world_new(void)
{
    static world w;
    w = (world){.opts = es_gateway_opts_default()};
    w.arena = es_arena_new((size_t)64 << 20);
    assert_non_null(w.arena);
    node_start(&w.a);
    node_start(&w.b);
    (void)snprintf(w.file, sizeof w.file, "%s/gateway_test.%ld.json", ES_TEST_BINARY_DIR,
                   (long)getpid());
    (void)unlink(w.file); /* of an earlier run */
    w.opts.port = 0;
    w.opts.routes_file = w.file;
    w.opts.version = "test";
    return &w;
}

static void world_end(world *w)
{
    gateway_end(w);
    node_done(&w->a);
    node_done(&w->b);
    es_arena_free(w->arena);
    (void)unlink(w->file); /* left behind, it would only be clutter */
}

static int call(world *w, es_http_method method, const char *path, const es_http_header *headers,
                size_t header_count, const char *body, size_t size, es_http_reply *reply)
{
    es_error err = {0};
    es_http_call to = {.method = method,
                       .path = path,
                       .headers = headers,
                       .header_count = header_count,
                       .body = body,
                       .body_bytes = size,
                       .timeout_s = 20};
    assert_ok_err(es_http_client_call(w->client, w->arena, &to, NULL, reply, &err), err);
    return reply->status;
}

static int get(world *w, const char *path, es_http_reply *reply)
{
    return call(w, ES_HTTP_GET, path, NULL, 0, NULL, 0, reply);
}

static int infer(world *w, const char *task, const char *body, es_http_reply *reply)
{
    char path[256];
    (void)snprintf(path, sizeof path, "/v2/models/%s/infer", task);
    return call(w, ES_HTTP_POST, path, NULL, 0, body, strlen(body), reply);
}

#define FIGURES "\"energy_j\": 0.5, \"carbon_gco2e\": 0.001}"

/* look at a: 0.75 small on node a, 0.25 a cascade from b; hear at a and b. */
static const char *routes_of(world *w, int generation)
{
    return es_arena_format(
        w->arena,
        "{\"format\": \"estran-routes\", \"version\": 1, \"generation\": %d, \"plan\": \"p\","
        "\"peers\": [{\"name\": \"a\", \"url\": \"%s\"}, {\"name\": \"b\", \"url\": \"%s\"}],"
        "\"tasks\": [{\"name\": \"look\", \"inputs\": [{\"name\": \"x\", \"datatype\": \"FP32\","
        " \"shape\": [-1, 4]}], \"outputs\": [{\"name\": \"y\", \"datatype\": \"FP32\", \"shape\":"
        " [-1, 3]}]}], \"classes\": ["
        "{\"task\": \"look\", \"entry\": \"a\", \"options\": ["
        "{\"share\": 0.75, \"route\": \"a/small\", \"latency_ms\": 5, \"quality\": 0.8, " FIGURES
        ",{\"share\": 0.25, \"route\": \"b/la%%20rge;exit=0.8, c/huge;input=request\","
        " \"latency_ms\": 50, \"quality\": 0.9, " FIGURES "]},"
        "{\"task\": \"hear\", \"entry\": \"a\", \"options\": [{\"share\": 1, \"route\": \"a/ear\","
        " \"latency_ms\": 5, \"quality\": 0.8, " FIGURES "]},"
        "{\"task\": \"hear\", \"entry\": \"b\", \"refused_share\": 1, \"options\": []}]}",
        generation, w->a.url, w->b.url);
}

static int put_routes(world *w, const char *document, es_http_reply *reply)
{
    return call(w, ES_HTTP_PUT, "/estran/v1/routes", NULL, 0, document, strlen(document), reply);
}

static world *world_with_routes(void)
{
    world *w = world_new();
    es_http_reply reply;
    w->opts.hedge_share = 0; /* a slow machine must not add to what nodes are asked */
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    return w;
}

static void assert_has(const es_http_reply *reply, const char *words)
{
    if (strstr(reply->body, words) == NULL)
        fail_msg("'%s' does not contain '%s'", (const char *)reply->body, words);
}

/* Counts of a class by the observe document. */
static int64_t observed(world *w, const char *task, const char *entry, const char *key)
{
    es_http_reply reply;
    const es_doc *root = NULL;
    const es_doc *classes = NULL;
    es_error err = {0};
    int64_t value = -1;
    assert_int_equal(get(w, "/estran/v1/observe", &reply), 200);
    assert_ok_err(es_doc_parse_json(w->arena, "o", reply.body, reply.body_bytes, &root, &err), err);
    assert_ok_err(es_doc_need_list(root, "classes", &classes, &err), err);
    for (size_t i = 0; i < classes->as.list.count; i++) {
        const char *task_here = NULL;
        const char *entry_here = NULL;
        const es_doc *map = classes->as.list.items[i];
        assert_ok_err(es_doc_need_text(map, "task", &task_here, &err), err);
        assert_ok_err(es_doc_need_text(map, "entry", &entry_here, &err), err);
        if (strcmp(task, task_here) == 0 && strcmp(entry, entry_here) == 0)
            assert_ok_err(es_doc_need_int(map, key, 0, INT64_MAX, &value, &err), err);
    }
    return value;
}

/* Every accepted request has one end. */
static void assert_adds_up(world *w, const char *task, const char *entry)
{
    int64_t ends = 0;
    for (size_t i = 0; i < ES_GATEWAY_OUTCOME_COUNT; i++)
        ends += observed(w, task, entry, es_gateway_outcome_names[i]);
    assert_int_equal(observed(w, task, entry, "arrived"), ends);
}

/* ---- tests ---- */

static void passes_requests_on(void **state)
{
    (void)state;
    static const char BODY[] = "{\"inputs\":[{\"name\":\"x\",\"data\":[\"]}\\\"\"]}],"
                               "\"parameters\":{\"timeout\":500000}}\0\1\2";
    world *w = world_with_routes();
    es_http_reply reply;
    char size[16];
    (void)snprintf(size, sizeof size, "%zu", sizeof BODY - 4);
    const es_http_header headers[] = {
        {ES_OIP_JSON_SIZE_HEADER, size},
        {"Content-Type", "application/octet-stream"},
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
    assert_int_equal(
        call(w, ES_HTTP_POST, "/v2/models/look/infer", headers, 3, BODY, sizeof BODY - 1, &reply),
        200);
    assert_int_equal(reply.body_bytes, sizeof BODY - 1);
    assert_memory_equal(reply.body, BODY, sizeof BODY - 1);
    assert_string_equal(es_http_reply_header(&reply, "Content-Type"), "application/octet-stream");
    assert_string_equal(es_http_reply_header(&reply, ES_OIP_JSON_SIZE_HEADER), size);
    assert_string_equal(es_http_reply_header(&reply, ES_STAGES_HEADER),
                        "a/small;queue=3;compute=40;joules=0.5;source=model");
    assert_null(es_http_reply_header(&reply, ES_UNMET_HEADER));
    assert_string_equal(w->a.path, "/v2/models/small/infer");
    assert_string_equal(w->a.route, "a/small");
    assert_string_equal(w->a.task, "look;output=y");
    assert_string_equal(w->a.trace, headers[2].value);
    int64_t left_us = 0;
    assert_true(es_text_to_int64(w->a.timeout, &left_us));
    assert_in_range(left_us, 400000, 490000);
    world_end(w);
}

static void follows_shares(void **state)
{
    (void)state;
    world *w = world_with_routes();
    es_http_reply reply;
    for (int i = 0; i < 40; i++)
        assert_int_equal(infer(w, "look", "{}", &reply), 200);
    assert_int_equal(w->a.asked, 30);
    assert_int_equal(w->b.asked, 10);
    assert_string_equal(w->b.path, "/v2/models/la%20rge/infer");
    assert_string_equal(w->b.route, "b/la%20rge;exit=0.8, c/huge;input=request");
    assert_int_equal(observed(w, "look", "a", "answered"), 40);
    assert_adds_up(w, "look", "a");
    world_end(w);
}

static void finds_classes(void **state)
{
    (void)state;
    world *w = world_with_routes();
    es_http_reply reply;
    assert_int_equal(infer(w, "smell", "{}", &reply), 404);
    assert_has(&reply, "task 'smell' is not known");
    assert_int_equal(infer(w, "hear", "{}", &reply), 400);
    assert_has(&reply, "enters at several nodes");
    assert_int_equal(infer(w, "hear", "{\"parameters\":{\"estran_entry\":\"a\"}}", &reply), 200);
    assert_int_equal(infer(w, "hear", "{\"parameters\":{\"estran_entry\":\"c\"}}", &reply), 404);
    assert_has(&reply, "task 'hear' at 'c' is not known");
    assert_int_equal(infer(w, "hear", "{\"parameters\":{\"estran_entry\":\"b\"}}", &reply), 503);
    assert_has(&reply, "the plan refuses this request");
    assert_int_equal(observed(w, "hear", "b", "refused"), 1);
    world_end(w);
}

static void heeds_wishes(void **state)
{
    (void)state;
    world *w = world_with_routes();
    es_http_reply reply;
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            infer(w, "look", "{\"parameters\":{\"estran_min_accuracy\":0.85}}", &reply), 200);
    assert_int_equal(w->b.asked, 4);
    assert_null(es_http_reply_header(&reply, ES_UNMET_HEADER));
    static const char TOO_GOOD[] =
        "{\"parameters\":{\"estran_min_accuracy\":0.95,\"estran_max_energy_j\":0.1}}";
    assert_int_equal(infer(w, "look", TOO_GOOD, &reply), 200);
    assert_string_equal(es_http_reply_header(&reply, ES_UNMET_HEADER), "accuracy+energy");
    assert_string_equal(w->b.unmet, "accuracy+energy");
    assert_int_equal(observed(w, "look", "a", "unmet"), 1);
    static const char STRICT[] =
        "{\"parameters\":{\"estran_min_accuracy\":0.95,\"estran_strict\":true}}";
    assert_int_equal(infer(w, "look", STRICT, &reply), 422);
    static const char *const bad[][2] = {
        {"{\"parameters\":{\"estran_min_accuracy\":2}}", "estran_min_accuracy"},
        {"{\"parameters\":{\"estran_slo_ms\":\"soon\"}}", "estran_slo_ms"},
        {"{\"parameters\":{\"timeout\":-1}}", "timeout"},
        {"{\"parameters\":[]}", "parameters"},
        {"{\"parameters\":{\"timeout\":1,}}", "parameters"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(infer(w, "look", bad[i][0], &reply), 400);
        assert_has(&reply, bad[i][1]);
    }
    assert_adds_up(w, "look", "a");
    world_end(w);
}

static void tells_about_tasks(void **state)
{
    (void)state;
    world *w = world_new();
    es_http_reply reply;
    w->opts.hedge_share = 0; /* a slow machine must not add copies */
    gateway_start(w);
    assert_int_equal(get(w, "/v2/health/live", &reply), 200);
    assert_int_equal(get(w, "/v2/health/ready", &reply), 503);
    assert_has(&reply, "{\"ready\":false}");
    assert_int_equal(get(w, "/v2/models/look", &reply), 503);
    assert_int_equal(get(w, "/estran/v1/routes", &reply), 404);
    assert_int_equal(infer(w, "look", "{}", &reply), 503);
    assert_has(&reply, "no routes yet");
    assert_int_equal(get(w, "/", &reply), 200);
    assert_has(&reply, "No routes yet");
    assert_int_equal(get(w, "/metrics", &reply), 200);
    assert_int_equal(get(w, "/estran/v1/observe", &reply), 200);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    assert_has(&reply, "{\"generation\":1,\"kept\":true}");
    assert_int_equal(get(w, "/v2/health/ready", &reply), 200);
    assert_int_equal(get(w, "/v2", &reply), 200);
    assert_has(&reply, "\"name\":\"estran-gateway\"");
    assert_int_equal(get(w, "/v2/models", &reply), 200);
    assert_has(&reply, "{\"models\":[\"look\",\"hear\"]}");
    assert_int_equal(get(w, "/v2/models/look", &reply), 200);
    assert_has(&reply, "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,4]}]");
    assert_int_equal(get(w, "/v2/models/hear", &reply), 200);
    assert_has(&reply, "\"inputs\":[],\"outputs\":[]");
    assert_int_equal(get(w, "/v2/models/look/ready", &reply), 200);
    assert_int_equal(get(w, "/v2/models/smell/ready", &reply), 404);
    assert_int_equal(infer(w, "look", "{}", &reply), 200);
    assert_int_equal(get(w, "/metrics", &reply), 200);
    assert_string_equal(es_http_reply_header(&reply, "Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    assert_has(&reply, "estran_inference_requests_total{model=\"look\",variant=\"small\","
                       "node=\"a\",exit=\"1\",outcome=\"answered\"} 1\n");
    assert_has(&reply, "estran_inference_duration_seconds_count{model=\"look\"} 1\n");
    assert_has(&reply, "estran_energy_joules_total{source=\"model\"} 0.5\n");
    assert_has(&reply, "estran_routes_generation 1\n");
    assert_int_equal(get(w, "/", &reply), 200);
    assert_has(&reply, "b/la%20rge;exit=0.8, c/huge;input=request");
    world_end(w);
}

static void takes_routes_whole_and_in_order(void **state)
{
    (void)state;
    world *w = world_with_routes();
    es_http_reply reply;
    assert_int_equal(put_routes(w, routes_of(w, 7), &reply), 200);
    assert_int_equal(put_routes(w, routes_of(w, 6), &reply), 409);
    assert_has(&reply, "generation=6 is older than 7, which is followed");
    assert_int_equal(put_routes(w, routes_of(w, 7), &reply), 200);
    assert_int_equal(put_routes(w, "{\"format\": \"estran-routes\"}", &reply), 400);
    assert_has(&reply, "routes:1:1: missing key 'version'");
    assert_int_equal(put_routes(w, "", &reply), 400);
    assert_int_equal(get(w, "/estran/v1/routes", &reply), 200);
    assert_has(&reply, "\"generation\": 7,");
    assert_int_equal(infer(w, "look", "{}", &reply), 200);
    /* Started again, without being told. */
    gateway_end(w);
    gateway_start(w);
    assert_int_equal(get(w, "/v2/health/ready", &reply), 200);
    assert_int_equal(infer(w, "look", "{}", &reply), 200);
    assert_int_equal(put_routes(w, routes_of(w, 6), &reply), 409);
    world_end(w);
}

static void follows_though_the_disk_refuses(void **state)
{
    (void)state;
    world *w = world_new();
    es_http_reply reply;
    w->opts.routes_file = "/nowhere/routes.json";
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    assert_has(&reply, "\"kept\":false,\"warning\":\"");
    assert_int_equal(infer(w, "look", "{}", &reply), 200);
    world_end(w);
}

static void refuses_a_bad_file(void **state)
{
    (void)state;
    world *w = world_new();
    es_error err = {0};
    assert_ok_err(es_file_write(w->file, "{]", 2, &err), err);
    assert_fails(es_gateway_init(w->opts, &w->gateway, &err), ES_ERR_PARSE, err, "gateway_test.");
    world_end(w);
}

static void goes_round_a_node_that_is_down(void **state)
{
    (void)state;
    world *w = world_with_routes();
    es_http_reply reply;
    node_stop(&w->a);
    for (int i = 0; i < 20; i++)
        assert_int_equal(infer(w, "look", "{}", &reply), 200);
    /* One request found out; the others went round; now and then one looks again. */
    assert_int_equal(w->b.asked, 20);
    assert_in_range(observed(w, "look", "a", "retried"), 1, 4);
    assert_int_equal(observed(w, "look", "a", "answered"), 20);
    /* Where nobody else could, it is an error, and it is counted. */
    assert_int_equal(infer(w, "hear", "{\"parameters\":{\"estran_entry\":\"a\"}}", &reply), 503);
    assert_int_equal(observed(w, "hear", "a", "failed"), 1);
    world_end(w);
}

static void tries_another_when_a_node_errs(void **state)
{
    (void)state;
    static const int again[] = {404, 500, 503, 504};
    world *w = world_with_routes();
    es_http_reply reply;
    atomic_store(&w->a.manner, STATUS);
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        atomic_store(&w->a.status, again[i]);
        assert_int_equal(infer(w, "look", "{}", &reply), 200);
    }
    assert_int_equal(observed(w, "look", "a", "answered"), 4);
    /* What is wrong with the request is wrong everywhere. */
    uint32_t asked = w->b.asked;
    atomic_store(&w->a.status, 400);
    atomic_store(&w->b.manner, STATUS);
    atomic_store(&w->b.status, 400);
    assert_int_equal(infer(w, "look", "{}", &reply), 400);
    assert_has(&reply, "in a bad mood");
    assert_in_range(w->b.asked, asked, asked + 1);
    assert_int_equal(observed(w, "look", "a", "wrong"), 1);
    /* All of them fail: one error, in their words. */
    atomic_store(&w->a.status, 500);
    atomic_store(&w->b.status, 500);
    assert_int_equal(infer(w, "look", "{}", &reply), 500);
    assert_has(&reply, "a node answered 500:");
    assert_adds_up(w, "look", "a");
    world_end(w);
}

static void retries_within_its_budget(void **state)
{
    (void)state;
    world *w = world_new();
    es_http_reply reply;
    w->opts.hedge_share = 0; /* a slow machine must not add copies */
    w->opts.retry_share = 0;
    w->opts.retry_rate = 0;
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    atomic_store(&w->a.manner, STATUS);
    atomic_store(&w->a.status, 500);
    int good = 0;
    for (int i = 0; i < 80; i++)
        good += infer(w, "look", "{}", &reply) == 200;
    /* 20 go to b anyway; of the 60 at a 10 may be sent once more. */
    assert_int_equal(good, 30);
    assert_int_equal(observed(w, "look", "a", "retried"), 10);
    assert_int_equal(observed(w, "look", "a", "failed"), 50);
    world_end(w);
}

static void hedges_what_is_slow(void **state)
{
    (void)state;
    world *w = world_new();
    es_http_reply reply;
    w->opts.hedge_share = 1;
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    atomic_store(&w->a.manner, KEEP);
    for (int i = 0; i < 8; i++)
        assert_int_equal(infer(w, "look", "{}", &reply), 200);
    assert_int_equal(w->b.asked, 8);
    assert_int_equal(w->a.asked, 6);
    assert_int_equal(observed(w, "look", "a", "hedged"), 6);
    assert_int_equal(observed(w, "look", "a", "answered"), 8);
    assert_adds_up(w, "look", "a");
    world_end(w);
}

static void gives_up_in_time(void **state)
{
    (void)state;
    world *w = world_new();
    es_http_reply reply;
    w->opts.hedge_share = 0;
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    atomic_store(&w->a.manner, KEEP);
    atomic_store(&w->b.manner, KEEP);
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    assert_int_equal(infer(w, "look", "{\"parameters\":{\"estran_slo_ms\":60}}", &reply), 504);
    int64_t waited_ns = es_clock_now_ns(clock) - start_ns;
    assert_in_range(waited_ns, 55 * ES_NS_PER_MS, 2000 * ES_NS_PER_MS);
    assert_int_equal(infer(w, "look", "{\"parameters\":{\"timeout\":30000}}", &reply), 504);
    assert_int_equal(observed(w, "look", "a", "failed"), 2);
    world_end(w);
}

static void passes_partial_answers(void **state)
{
    (void)state;
    world *w = world_with_routes();
    es_http_reply reply;
    w->b.partial = "1";
    w->b.failed = "c";
    static const char GOOD[] = "{\"parameters\":{\"estran_min_accuracy\":0.85}}";
    assert_int_equal(infer(w, "look", GOOD, &reply), 200);
    assert_string_equal(es_http_reply_header(&reply, ES_PARTIAL_HEADER), "1");
    assert_string_equal(es_http_reply_header(&reply, ES_FAILED_HEADER), "c");
    assert_int_equal(observed(w, "look", "a", "partial"), 1);
    /* Its way leads over c, which failed: for a while the other option, though not as wished. */
    assert_int_equal(infer(w, "look", GOOD, &reply), 200);
    assert_string_equal(es_http_reply_header(&reply, ES_UNMET_HEADER), "accuracy");
    assert_adds_up(w, "look", "a");
    world_end(w);
}

static void needs_tokens(void **state)
{
    (void)state;
    static const es_http_token tokens[] = {
        {.text = "client-0123456789", .roles = ES_SERVER_CLIENT},
        {.text = "control-0123456789", .roles = ES_SERVER_CONTROLLER}};
    static const es_http_header client = {"Authorization", "Bearer client-0123456789"};
    static const es_http_header control = {"Authorization", "Bearer control-0123456789"};
    world *w = world_new();
    es_http_reply reply;
    const char *document = routes_of(w, 1);
    size_t size = strlen(document);
    w->opts.tokens = tokens;
    w->opts.token_count = 2;
    gateway_start(w);
    static const char PUT[] = "/estran/v1/routes";
    assert_int_equal(call(w, ES_HTTP_PUT, PUT, NULL, 0, document, size, &reply), 401);
    assert_int_equal(call(w, ES_HTTP_PUT, PUT, &client, 1, document, size, &reply), 403);
    assert_int_equal(call(w, ES_HTTP_PUT, PUT, &control, 1, document, size, &reply), 200);
    static const char PATH[] = "/v2/models/look/infer";
    assert_int_equal(call(w, ES_HTTP_POST, PATH, NULL, 0, "{}", 2, &reply), 401);
    assert_int_equal(call(w, ES_HTTP_POST, PATH, &client, 1, "{}", 2, &reply), 200);
    world_end(w);
}

/* ---- many at once ---- */

typedef struct many {
    _Atomic uint32_t ended, good;
} many;

static void count_end(void *context, const es_http_result *result)
{
    many *m = context;
    if (result->end == ES_HTTP_END_REPLY && result->reply.status == 200)
        atomic_fetch_add(&m->good, 1);
    atomic_fetch_add(&m->ended, 1);
}

/* Requests go on while the routes change again and again, on two loops: none fails, each has one
 * answer, and all that were sent are counted. */
static void changes_routes_under_load(void **state)
{
    (void)state;
    enum { REQUESTS = 3000, SIDE_BY_SIDE = 16 };
    world *w = world_new();
    es_http_reply reply;
    w->opts.loop_count = 2;
    w->opts.hedge_share = 0; /* a slow machine must not add to what nodes are asked */
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    es_error err = {0};
    es_http_caller *caller = NULL;
    es_http_peer *peer = NULL;
    many m = {0};
    char url[64];
    es_http_peer_opts to = es_http_peer_opts_default();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", es_gateway_port(w->gateway));
    to.url = url;
    assert_ok_err(es_http_caller_new(es_http_caller_opts_default(), &caller, &err), err);
    assert_ok_err(es_http_peer_new(caller, to, &peer, &err), err);
    es_http_call request = {.method = ES_HTTP_POST,
                            .path = "/v2/models/look/infer",
                            .body = "{}",
                            .body_bytes = 2,
                            .called = count_end,
                            .context = &m};
    uint32_t sent = 0;
    for (int generation = 2; sent < REQUESTS; generation++) {
        for (int i = 0; i < 200 && sent < REQUESTS; i++, sent++) {
            while (sent - atomic_load(&m.ended) >= SIDE_BY_SIDE)
                (void)sched_yield();
            assert_ok_err(es_http_call_send(peer, &request, NULL, &err), err);
        }
        assert_int_equal(put_routes(w, routes_of(w, generation), &reply), 200);
    }
    while (atomic_load(&m.ended) < sent)
        (void)sched_yield();
    assert_int_equal(m.good, REQUESTS);
    assert_int_equal(w->a.asked + w->b.asked, REQUESTS);
    assert_int_equal(observed(w, "look", "a", "arrived"), REQUESTS);
    assert_int_equal(observed(w, "look", "a", "answered"), REQUESTS);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    world_end(w);
}

/* Requests under way end on the routes that they began with, which are told as draining. */
static void drains_old_routes(void **state)
{
    (void)state;
    world *w = world_new();
    es_http_reply reply;
    w->opts.hedge_share = 0;
    gateway_start(w);
    assert_int_equal(put_routes(w, routes_of(w, 1), &reply), 200);
    atomic_store(&w->a.manner, KEEP);
    es_error err = {0};
    es_http_caller *caller = NULL;
    es_http_peer *peer = NULL;
    many m = {0};
    char url[64];
    es_http_peer_opts to = es_http_peer_opts_default();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", es_gateway_port(w->gateway));
    to.url = url;
    assert_ok_err(es_http_caller_new(es_http_caller_opts_default(), &caller, &err), err);
    assert_ok_err(es_http_peer_new(caller, to, &peer, &err), err);
    es_http_call request = {.method = ES_HTTP_POST,
                            .path = "/v2/models/hear/infer",
                            .body = "{\"parameters\":{\"estran_entry\":\"a\"}}",
                            .body_bytes = 35,
                            .called = count_end,
                            .context = &m};
    assert_ok_err(es_http_call_send(peer, &request, NULL, &err), err);
    es_http_request *kept = es_queue_pop(w->a.kept);
    assert_int_equal(put_routes(w, routes_of(w, 2), &reply), 200);
    assert_int_equal(get(w, "/estran/v1/observe", &reply), 200);
    assert_has(&reply, "\"generation\":2,");
    assert_has(&reply, "\"draining\":[{\"generation\":1,\"under_way\":1}]");
    answer_ok(&w->a, kept);
    while (atomic_load(&m.ended) < 1)
        (void)sched_yield();
    assert_int_equal(m.good, 1);
    assert_int_equal(get(w, "/estran/v1/observe", &reply), 200);
    assert_has(&reply, "\"draining\":[]");
    assert_int_equal(observed(w, "hear", "a", "answered"), 1);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    world_end(w);
}

/* ---- parts ---- */

static void buckets_hold_what_they_say(void **state)
{
    (void)state;
    for (int64_t ns = 1; ns < 200 * ES_NS_PER_S; ns += 1 + ns / 37) {
        uint32_t bucket = es_gateway_bucket_of(ns);
        double s = es_s_from_ns(ns);
        assert_true(bucket == ES_GATEWAY_BUCKETS - 1 || s <= es_gateway_bucket_s(bucket) * 1.0001);
        assert_true(bucket == 0 || s > es_gateway_bucket_s(bucket - 1) * 0.9999);
    }
    assert_int_equal(es_gateway_bucket_of(0), 0);
    assert_int_equal(es_gateway_bucket_of(INT64_MAX), ES_GATEWAY_BUCKETS - 1);
}

static void finds_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *params; /* NULL: none */
    } cases[] = {
        {"{\"parameters\":{\"a\":1}}", "{\"a\":1}"},
        {" { \"id\" : \"}\\\\\" , \"parameters\" : [1,{}] , \"x\":2}", "[1,{}] "},
        {"{\"inputs\":[{\"parameters\":{\"b\":2}}],\"parameters\":null}", "null"},
        {"{\"inputs\":[{\"parameters\":{\"b\":2}}]}", NULL},
        {"{\"x\":\"\\\"parameters\\\":1\"}", NULL},
        {"{\"parameters\":{\"a\":1}", NULL}, /* the node will see that the end is missing */
        {"{\"parameters\":{\"a\":1", NULL},
        {"{\"parameters\"", NULL},
        {"[]", NULL},
        {"", NULL},
        {"{", NULL},
        {"{}", NULL},
        {"{\"a", NULL},
        {"{\"a\\\"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = NULL;
        size_t size = 0;
        bool any = es_gateway_find_params(cases[i].json, strlen(cases[i].json), &found, &size);
        if (any != (cases[i].params != NULL))
            fail_msg("%s: found %d", cases[i].json, any);
        if (any) {
            assert_int_equal(size, strlen(cases[i].params));
            assert_memory_equal(found, cases[i].params, size);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_requests_on),
        cmocka_unit_test(follows_shares),
        cmocka_unit_test(finds_classes),
        cmocka_unit_test(heeds_wishes),
        cmocka_unit_test(tells_about_tasks),
        cmocka_unit_test(takes_routes_whole_and_in_order),
        cmocka_unit_test(follows_though_the_disk_refuses),
        cmocka_unit_test(refuses_a_bad_file),
        cmocka_unit_test(goes_round_a_node_that_is_down),
        cmocka_unit_test(tries_another_when_a_node_errs),
        cmocka_unit_test(retries_within_its_budget),
        cmocka_unit_test(hedges_what_is_slow),
        cmocka_unit_test(gives_up_in_time),
        cmocka_unit_test(passes_partial_answers),
        cmocka_unit_test(needs_tokens),
        cmocka_unit_test(changes_routes_under_load),
        cmocka_unit_test(drains_old_routes),
        cmocka_unit_test(buckets_hold_what_they_say),
        cmocka_unit_test(finds_parameters),
    };
    es_log_level_set(ES_LOG_ERROR);
    cmocka_set_test_filter(getenv("ES_TEST_FILTER")); /* NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
