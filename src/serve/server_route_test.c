/* Pipelines over node servers in this process: splits, exits, cascades, payloads, partial answers.
 */
#include "base/rng.h"
#include "nodes.h"
#include "route/route.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>

static nodes all;

static int set_up(void **state)
{
    (void)state;
    nodes_begin(&all);
    nodes_write_models(&all);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nodes_end(&all);
    return 0;
}

static void start(size_t count)
{
    nodes_start(&all, count, es_server_opts_default());
    nodes_introduce(&all, 0, 0);
}

static void draw(uint64_t seed, float input[NODES_WIDTH])
{
    es_rng rng = es_rng_make(seed, 0);
    for (size_t i = 0; i < NODES_WIDTH; i++)
        input[i] = (float)es_rng_normal(&rng);
}

static void reference(const char *model, const float *input, float out[NODES_CLASSES])
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s.onnx", all.folder, model);
    nodes_reference(&all, path, input, NODES_WIDTH, out, NODES_CLASSES);
}

static void assert_near(const float *got, const float *wanted, size_t count, double tolerance,
                        const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)wanted[i]) <= tolerance))
            fail_msg("%s: value %zu is %g, wanted %g", what, i, (double)got[i], (double)wanted[i]);
}

/* Follows the route from its first node; gives the answer's tensor of 8 classes. */
static const float *follow(const char *model, const char *route, const float *input,
                           es_http_reply *reply, es_oip_message *message)
{
    size_t count = 0;
    (void)nodes_infer(&all, (size_t)(route[1] - '1'), model, route, input, NODES_WIDTH, NULL, 0,
                      reply);
    const float *got = nodes_answer(&all, reply, &count, message);
    assert_int_equal(count, NODES_CLASSES);
    return got;
}

static int64_t int_param(const es_oip_message *message, const char *name)
{
    const es_oip_param *param = es_oip_param_find(&message->params, name);
    assert_non_null(param);
    assert_int_equal(param->type, ES_DOC_INT);
    return param->as.integer;
}

static const char *text_param(const es_oip_message *message, const char *name)
{
    const es_oip_param *param = es_oip_param_find(&message->params, name);
    assert_non_null(param);
    return param->as.text;
}

/* ---- the same answers however the model is spread ---- */

static void splits_give_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *model, *route, *node;
        int64_t stages;
    } cases[] = {
        {"whole", "n1/whole", "n1", 1},
        {"head", "n1/head, n1/mid, n1/tail", "n1", 3},
        {"head", "n1/head, n2/mid, n2/tail", "n2", 3},
        {"head", "n1/head, n2/mid, n3/tail", "n3", 3},
        {"head", "n2/head, n1/mid, n2/tail", "n2", 3},
        {"exits", "n1/exits, n2/rest", "n2", 2}, /* exits disabled */
        {"exits", "n1/exits;forward=features, n1/rest", "n1", 2},
        {"exits", "n1/exits;exit=1, n2/rest", "n2", 2},
    };
    start(3);
    for (uint64_t seed = 0; seed < 8; seed++) {
        float input[NODES_WIDTH];
        float wanted[NODES_CLASSES];
        draw(seed, input);
        reference("whole", input, wanted);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            es_http_reply reply;
            es_oip_message message;
            const float *got = follow(cases[i].model, cases[i].route, input, &reply, &message);
            assert_near(got, wanted, NODES_CLASSES, 1e-6, cases[i].route);
            assert_string_equal(message.id, "42");
            assert_string_equal(message.tensors[0].name, "y");
            assert_int_equal(int_param(&message, "estran_exit"), cases[i].stages);
            assert_string_equal(text_param(&message, "estran_node"), cases[i].node);
            assert_null(es_http_reply_header(&reply, ES_PARTIAL_HEADER));
        }
    }
}

static void tells_what_stages_did(void **state)
{
    (void)state;
    float input[NODES_WIDTH] = {0};
    es_http_reply reply;
    es_oip_message message;
    es_serve_visit visits[ES_STAGE_COUNT_MAX];
    uint32_t count = 0;
    es_error err = {0};
    start(3);
    (void)follow("head", "n1/head, n2/mid, n3/tail", input, &reply, &message);
    assert_ok_err(es_serve_visits_decode(all.arena, es_http_reply_header(&reply, ES_STAGES_HEADER),
                                         visits, &count, &err),
                  err);
    assert_int_equal(count, 3);
    static const char *const nodes_wanted[] = {"n1", "n2", "n3"};
    static const char *const models[] = {"head", "mid", "tail"};
    double joules = 0;
    for (uint32_t k = 0; k < count; k++) {
        assert_string_equal(visits[k].node, nodes_wanted[k]);
        assert_string_equal(visits[k].model, models[k]);
        assert_true(visits[k].joules > 0);
        assert_non_null(visits[k].source);
        joules += visits[k].joules;
    }
    assert_true(
        fabs(es_oip_param_find(&message.params, "estran_energy_joules")->as.number / joules - 1) <
        1e-6);
}

static void exits_and_cascades(void **state)
{
    (void)state;
    start(2);
    int left_early = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        float input[NODES_WIDTH];
        float small[NODES_CLASSES];
        float whole[NODES_CLASSES];
        es_http_reply reply;
        es_oip_message message;
        draw(seed, input);
        reference("small", input, small);
        reference("whole", input, whole);
        bool sure = es_stage_confidence(small, NODES_CLASSES) >= 0.9;
        left_early += sure;
        const float *got =
            follow("small", "n1/small;exit=0.9, n2/whole;input=request", input, &reply, &message);
        assert_near(got, sure ? small : whole, NODES_CLASSES, 1e-6, "cascade");
        assert_int_equal(int_param(&message, "estran_exit"), sure ? 1 : 2);
        assert_string_equal(message.tensors[0].name, sure ? "guess" : "y");
        /* The same with both models here, and with the request travelling along a split. */
        got = follow("small", "n2/small;exit=0.9, n2/whole;input=request", input, &reply, &message);
        assert_near(got, sure ? small : whole, NODES_CLASSES, 1e-6, "cascade on one node");
        got = follow("head", "n1/head, n2/rest;exit=1, n1/small;input=request", input, &reply,
                     &message);
        bool certain = es_stage_confidence(whole, NODES_CLASSES) >= 1;
        assert_near(got, certain ? whole : small, NODES_CLASSES, 1e-6, "split, then cascade");
    }
    assert_in_range(left_early, 1, 19);
}

/* Because the route says so, or the model's configuration. */
static void eight_bits_are_near(void **state)
{
    (void)state;
    static const char *const routes[][2] = {{"head", "n1/head;payload=u8, n2/rest"},
                                            {"exits", "n1/exits, n2/rest"}};
    nodes_configure(&all, "exits", "estran_payload", "u8");
    start(2);
    for (size_t i = 0; i < 2; i++) {
        double worst = 0;
        for (uint64_t seed = 0; seed < 10; seed++) {
            float input[NODES_WIDTH];
            float wanted[NODES_CLASSES];
            es_http_reply reply;
            es_oip_message message;
            draw(seed, input);
            reference("whole", input, wanted);
            const float *got = follow(routes[i][0], routes[i][1], input, &reply, &message);
            for (size_t k = 0; k < NODES_CLASSES; k++)
                worst = fmax(worst, fabs((double)got[k] - (double)wanted[k]));
        }
        assert_true(worst < 0.1);  /* a probability, after two layers */
        assert_true(worst > 1e-7); /* it did travel as 8 bits */
    }
}

static void names_answers_as_asked(void **state)
{
    (void)state;
    float input[NODES_WIDTH] = {1, 2};
    const es_http_header headers[] = {
        {ES_TASK_HEADER, "look;output=classes"},
        {ES_UNMET_HEADER, "latency"},
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
    es_http_reply reply;
    es_oip_message message;
    size_t count = 0;
    start(2);
    (void)nodes_infer(&all, 0, "head", "n1/head, n2/rest", input, NODES_WIDTH, headers, 3, &reply);
    (void)nodes_answer(&all, &reply, &count, &message);
    assert_string_equal(message.model_name, "look");
    assert_string_equal(message.tensors[0].name, "classes");
    assert_string_equal(text_param(&message, "estran_unmet"), "latency");
    assert_string_equal(es_http_reply_header(&reply, "traceparent"), headers[2].value);
}

/* ---- what goes wrong ---- */

static void expect_error(size_t index, const char *model, const char *route, int status,
                         const char *words, const char *failed)
{
    float input[NODES_WIDTH] = {0};
    es_http_reply reply;
    int got = nodes_infer(&all, index, model, route, input, NODES_WIDTH, NULL, 0, &reply);
    if (got != status || strstr(reply.body, words) == NULL)
        fail_msg("%s: %d %s", route, got, (const char *)reply.body);
    const char *header = es_http_reply_header(&reply, ES_FAILED_HEADER);
    if (failed == NULL)
        assert_null(header);
    else
        assert_string_equal(header, failed);
}

static void refuses_what_is_not_its_own(void **state)
{
    (void)state;
    start(2);
    expect_error(0, "head", "n2/head, n1/rest", 400, "its first stage is for node 'n2'", NULL);
    expect_error(0, "mid", "n1/head, n2/rest", 400, "its first stage is for model 'head'", NULL);
    expect_error(0, "head", "n1/head, n1", 400, "Estran-Route: at 12", NULL);
    expect_error(0, "head", "n1/head, n9/rest", 503, "node 'n9' is none of the peers of 'n1'",
                 NULL);
    expect_error(0, "head", "n1/head, n1/none", 503, "model 'none' is not ready", NULL);
    expect_error(0, "head", "n1/head, n2/none", 500, "node 'n2' answered 404", NULL);
    expect_error(0, "head", "n1/head;forward=colour, n2/rest", 400, "forward=colour is none", NULL);
    expect_error(0, "head", "n1/head, n2/whole", 500, "node 'n2' answered 400", NULL);
}

static void a_dead_node_is_told(void **state)
{
    (void)state;
    float input[NODES_WIDTH];
    float small[NODES_CLASSES];
    es_http_reply reply;
    es_oip_message message;
    draw(1, input);
    reference("small", input, small);
    start(3);
    nodes_stop_one(&all, 2);
    expect_error(0, "head", "n1/head, n3/rest", 503, "", "n3");
    expect_error(0, "head", "n1/head, n2/mid, n3/tail", 503, "node 'n2' answered 503", "n3");
    const float *got =
        follow("small", "n1/small;exit=1, n2/head;input=request, n3/rest", input, &reply, &message);
    assert_near(got, small, NODES_CLASSES, 1e-6, "partial");
    assert_string_equal(es_http_reply_header(&reply, ES_PARTIAL_HEADER), "1");
    assert_string_equal(es_http_reply_header(&reply, ES_FAILED_HEADER), "n3");
    assert_true(es_oip_param_find(&message.params, "estran_partial")->as.boolean);
    assert_int_equal(int_param(&message, "estran_exit"), 1);
}

/* The second stage takes a second; there are 150 ms: what the first one found goes back in time. */
static void the_best_so_far_goes_back_in_time(void **state)
{
    (void)state;
    float input[NODES_WIDTH];
    float small[NODES_CLASSES];
    es_http_reply reply;
    es_oip_message message;
    size_t count = 0;
    es_server_opts opts = es_server_opts_default();
    static const char *const routes[] = {"n1/small;exit=1, n2/slow;input=request",
                                         "n1/small;exit=1, n1/slow;input=request"};
    static const char *const failed[] = {"n2;late", NULL};
    const es_http_header header = {ES_TIMEOUT_HEADER, "150000"};
    opts.emulate = true;
    draw(1, input);
    reference("small", input, small);
    nodes_write_copy(&all, "slow", NODES_WIDTH);
    nodes_configure(&all, "slow", "estran_service_us", "1000000");
    nodes_start(&all, 2, opts);
    nodes_introduce(&all, 0, 0);
    for (size_t i = 0; i < 2; i++) {
        es_clock *clock = es_clock_system();
        int64_t start_ns = es_clock_now_ns(clock);
        (void)nodes_infer(&all, 0, "small", routes[i], input, NODES_WIDTH, &header, 1, &reply);
        int64_t took_ns = es_clock_now_ns(clock) - start_ns;
        const float *got = nodes_answer(&all, &reply, &count, &message);
        assert_near(got, small, NODES_CLASSES, 1e-6, "partial");
        assert_string_equal(es_http_reply_header(&reply, ES_PARTIAL_HEADER), "1");
        if (failed[i] != NULL)
            assert_string_equal(es_http_reply_header(&reply, ES_FAILED_HEADER), failed[i]);
        /* Another node is waited for; here it is known beforehand. */
        assert_in_range(took_ns, i == 0 ? 100 * ES_NS_PER_MS : 0, 600 * ES_NS_PER_MS);
    }
}

static void tokens_say_who_may_set_routes(void **state)
{
    (void)state;
    static const es_http_token tokens[] = {{.text = "client-0123456789", .roles = ES_SERVER_CLIENT},
                                           {.text = "node-0123456789ab", .roles = ES_SERVER_NODE}};
    static const struct {
        const char *value;
        int status;
    } cases[] = {{"Bearer client-0123456789", 403}, {"Bearer node-0123456789ab", 200}};
    float input[NODES_WIDTH] = {0};
    es_http_reply reply;
    es_server_opts opts = es_server_opts_default();
    opts.tokens = tokens;
    opts.token_count = 2;
    nodes_start(&all, 1, opts);
    for (size_t i = 0; i < 2; i++) {
        const es_http_header header = {"Authorization", cases[i].value};
        assert_int_equal(nodes_infer(&all, 0, "head", "n1/head, n1/rest", input, NODES_WIDTH,
                                     &header, 1, &reply),
                         cases[i].status);
        assert_int_equal(
            nodes_infer(&all, 0, "whole", NULL, input, NODES_WIDTH, &header, 1, &reply), 200);
    }
    assert_int_equal(nodes_call(&all, 0, ES_HTTP_PUT, "/estran/v1/peers", "{}", &reply), 401);
}

static void takes_peers_whole(void **state)
{
    (void)state;
    es_http_reply reply;
    nodes_start(&all, 1, es_server_opts_default());
    static const char PATH[] = "/estran/v1/peers";
    assert_int_equal(nodes_call(&all, 0, ES_HTTP_GET, PATH, NULL, &reply), 200);
    assert_non_null(strstr(reply.body, "\"peers\": []"));
    static const char GOOD[] =
        "{\"peers\":[{\"name\":\"n2\",\"url\":\"http://127.0.0.1:1\",\"token\":\"secret\"}]}";
    assert_int_equal(nodes_call(&all, 0, ES_HTTP_PUT, PATH, GOOD, &reply), 200);
    assert_string_equal(reply.body, "{\"peers\":1}");
    assert_int_equal(nodes_call(&all, 0, ES_HTTP_PUT, PATH,
                                "{\"peers\":[{\"name\":\"n3\",\"url\":\"ftp://x\"}]}", &reply),
                     400);
    assert_non_null(strstr(reply.body, "peers:1:30: peers[0].url:"));
    assert_int_equal(nodes_call(&all, 0, ES_HTTP_GET, PATH, NULL, &reply), 200);
    assert_non_null(strstr(reply.body, "\"n2\""));
    assert_null(strstr(reply.body, "secret"));
}

/* ---- many at once: every request has its own answer ---- */

typedef struct many {
    _Atomic uint32_t ended, wrong;
    uint32_t sent;
} many;

typedef struct one {
    many *all;
    float wanted[NODES_CLASSES];
    es_text body;
    char digits[24];
} one;

static void check_one(void *context, const es_http_result *result)
{
    one *o = context;
    const char *size = es_http_reply_header(&result->reply, ES_OIP_JSON_SIZE_HEADER);
    int64_t json_size = 0;
    float got[NODES_CLASSES];
    bool good = result->end == ES_HTTP_END_REPLY && result->reply.status == 200 && size != NULL &&
                es_text_to_int64(size, &json_size) &&
                result->reply.body_bytes == (size_t)json_size + sizeof got;
    if (good) {
        memcpy(got, (const char *)result->reply.body + json_size, sizeof got);
        for (size_t i = 0; i < NODES_CLASSES; i++)
            good = good && fabsf(got[i] - o->wanted[i]) < 1e-5F;
    }
    if (!good)
        atomic_fetch_add(&o->all->wrong, 1);
    atomic_fetch_add(&o->all->ended, 1);
}

static void fill_one(one *o, many *m, const float *input)
{
    int64_t json_size = 0;
    const es_oip_param binary = {
        .name = "binary_data_output", .type = ES_DOC_BOOL, .as.boolean = true};
    es_oip_tensor tensor = {.name = "image",
                            .dtype = ES_DTYPE_F32,
                            .rank = 2,
                            .dims = {1, NODES_WIDTH},
                            .data = input,
                            .size_bytes = NODES_WIDTH * sizeof *input,
                            .binary = true};
    es_oip_message message = {
        .params = {.items = &binary, .count = 1}, .tensors = &tensor, .tensor_count = 1};
    o->all = m;
    es_text_init(&o->body, 1 << 16);
    assert_ok(es_oip_encode(ES_OIP_REQUEST, &message, &o->body, &json_size, NULL));
    (void)snprintf(o->digits, sizeof o->digits, "%lld", (long long)json_size);
}

static void answers_do_not_mix(void **state)
{
    (void)state;
    enum { KINDS = 16, REQUESTS = 2000, SIDE_BY_SIDE = 48 };
    static one ones[KINDS];
    many m = {0};
    es_error err = {0};
    es_http_caller *caller = NULL;
    es_http_peer *peer = NULL;
    es_http_peer_opts to = es_http_peer_opts_default();
    start(3);
    for (uint64_t i = 0; i < KINDS; i++) {
        float input[NODES_WIDTH];
        float small[NODES_CLASSES];
        draw(i, input);
        reference("small", input, small);
        reference("whole", input, ones[i].wanted);
        if (es_stage_confidence(small, NODES_CLASSES) >= 0.9)
            memcpy(ones[i].wanted, small, sizeof small);
        fill_one(&ones[i], &m, input);
    }
    to.url = all.urls[0];
    assert_ok_err(es_http_caller_new(es_http_caller_opts_default(), &caller, &err), err);
    assert_ok_err(es_http_peer_new(caller, to, &peer, &err), err);
    for (; m.sent < REQUESTS; m.sent++) {
        one *o = &ones[m.sent % KINDS];
        const es_http_header headers[] = {
            {ES_ROUTE_HEADER, "n1/small;exit=0.9, n2/head;input=request, n3/mid, n1/tail"},
            {ES_OIP_JSON_SIZE_HEADER, o->digits}};
        es_http_call call = {.method = ES_HTTP_POST,
                             .path = "/v2/models/small/infer",
                             .headers = headers,
                             .header_count = 2,
                             .body = es_text_get(&o->body),
                             .body_bytes = o->body.size,
                             .called = check_one,
                             .context = o};
        while (m.sent - atomic_load(&m.ended) >= SIDE_BY_SIDE)
            (void)sched_yield();
        assert_ok_err(es_http_call_send(peer, &call, NULL, &err), err);
    }
    while (atomic_load(&m.ended) < m.sent)
        (void)sched_yield();
    assert_int_equal(m.wrong, 0);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    for (size_t i = 0; i < KINDS; i++)
        es_text_done(&ones[i].body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(splits_give_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_what_stages_did, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exits_and_cascades, set_up, tear_down),
        cmocka_unit_test_setup_teardown(eight_bits_are_near, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_answers_as_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_not_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_node_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_best_so_far_goes_back_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_say_who_may_set_routes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_peers_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_do_not_mix, set_up, tear_down),
    };
    cmocka_set_test_filter(getenv("ES_TEST_FILTER")); /* NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
