/* Frames: what is written reads back; what is wrong is refused before memory is taken. */
#include "es_test.h"
#include "internal.h"

#include <math.h>
#include <string.h>
#include <sys/socket.h>

static void headers_read_back_and_limits_hold(void **state)
{
    (void)state;
    es_error err = {0};
    uint8_t bytes[ES_FRAME_HEADER_SIZE];
    es_frame_header header;
    es_frame_header_encode((es_frame_header){.type = ES_FRAME_REQUEST, .size = 1192}, bytes);
    assert_ok_err(es_frame_header_decode(bytes, 1000, &header, &err), err);
    assert_int_equal(header.type, ES_FRAME_REQUEST);
    assert_int_equal(header.size, 1192);
    assert_fails(es_frame_header_decode(bytes, 999, &header, &err), ES_ERR_LIMIT, err,
                 "1192 bytes must be 192 to 1191");
    static const es_frame_header wrong[] = {
        {.type = ES_FRAME_REQUEST, .size = 191},
        {.type = ES_FRAME_HELLO, .size = ES_HELLO_SIZE + 1},
        {.type = ES_FRAME_STATS, .size = 0},
        {.type = ES_FRAME_STOP, .size = 1},
        {.type = ES_FRAME_CONFIG, .size = ES_CONFIG_SIZE_MAX + 1},
        {.type = ES_FRAME_READY, .size = UINT32_MAX},
        {.type = ES_FRAME_FAILED, .size = 3},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        es_frame_header_encode(wrong[i], bytes);
        assert_fails(es_frame_header_decode(bytes, 1000, &header, &err), ES_ERR_LIMIT, err,
                     "must be");
    }
    es_frame_header_encode((es_frame_header){.type = ES_FRAME_TYPE_END, .size = 0}, bytes);
    assert_fails(es_frame_header_decode(bytes, 1000, &header, &err), ES_ERR_PARSE, err,
                 "unknown type 9");
    memcpy(bytes, "GET / HTTP/1.1", sizeof bytes);
    assert_fails(es_frame_header_decode(bytes, 1000, &header, &err), ES_ERR_PARSE, err,
                 "wrong first bytes 47455420");
}

static es_request sample_request(void)
{
    es_request request = {
        .id = 0x0123456789abcdef,
        .when_ns = -5,
        .link_bytes = UINT64_MAX,
        .route = 7,
        .destination = 3,
        .payload_bytes = 10,
        .carried_bytes = 4,
        .turn = 0x89abcdef,
        .stage = 2,
        .stages_run = 2,
        .fate = ES_FATE_REFUSED,
    };
    for (size_t k = 0; k < ES_STAGE_COUNT_MAX; k++) {
        request.queue_ns[k] = 100 + k;
        request.service_ns[k] = 200 + k;
    }
    return request;
}

static void requests_read_back(void **state)
{
    (void)state;
    es_error err = {0};
    uint8_t bytes[ES_REQUEST_HEADER_SIZE + 14] = {0};
    uint8_t again[ES_REQUEST_HEADER_SIZE];
    es_request request = sample_request();
    es_request got;
    es_request_encode(&request, bytes);
    assert_int_equal(bytes[0], 0xef); /* little-endian */
    assert_ok_err(es_request_decode(bytes, sizeof bytes, &got, &err), err);
    es_request_encode(&got, again);
    assert_memory_equal(bytes, again, sizeof again);
    assert_int_equal(got.when_ns, -5);
    assert_int_equal(got.service_ns[7], 207);
    assert_int_equal(got.turn, 0x89abcdef);
    assert_fails(es_request_decode(bytes, sizeof bytes - 1, &got, &err), ES_ERR_PARSE, err,
                 "13 bytes of tensors, but announced are 14");
    assert_fails(es_request_decode(bytes, 191, &got, &err), ES_ERR_PARSE, err, "at least 192");
    for (size_t at = 40; at < 64; at++) {
        uint8_t kept = bytes[at];
        if (at >= 44 && at < 48)
            continue; /* any turn will do */
        bytes[at] = 0xff;
        assert_int_equal(es_request_decode(bytes, sizeof bytes, &got, &err), ES_ERR_PARSE);
        bytes[at] = kept;
    }
    assert_ok_err(es_request_decode(bytes, sizeof bytes, &got, &err), err);
}

static void small_frames_read_back(void **state)
{
    (void)state;
    es_error err = {0};
    es_error told = {0};
    uint8_t bytes[ES_FAILED_SIZE_MAX];
    es_hello hello = {.role = ES_HELLO_LINK, .from = 9, .token = "0123456789abcde"};
    es_hello got;
    es_hello_encode(&hello, bytes);
    assert_ok_err(es_hello_decode(bytes, ES_HELLO_SIZE, &got, &err), err);
    assert_memory_equal(&got, &hello, sizeof hello);
    bytes[0] = 1;
    assert_fails(es_hello_decode(bytes, ES_HELLO_SIZE, &got, &err), ES_ERR_UNSUPPORTED, err,
                 "protocol version 1 must be 3");
    assert_fails(es_hello_decode(bytes, 3, &got, &err), ES_ERR_PARSE, err, "must be 32");
    es_stats stats = {.tag = 1, .busy_ns = 2, .waiting = 3, .energy_uj = 4, .energy_sources = 5};
    es_stats other;
    es_stats_encode(&stats, bytes);
    assert_ok_err(es_stats_decode(bytes, ES_STATS_SIZE, &other, &err), err);
    assert_memory_equal(&stats, &other, sizeof stats);
    size_t size = es_failed_encode(ES_ERR_NOMEM, "no room", bytes);
    assert_ok_err(es_failed_decode(bytes, size, &told, &err), err);
    assert_int_equal(told.status, ES_ERR_NOMEM);
    assert_string_equal(told.text, "no room");
    bytes[0] = 0;
    assert_fails(es_failed_decode(bytes, size, &told, &err), ES_ERR_PARSE, err, "status 0 is none");
}

/* ---- configurations ---- */

static const es_config *sample_config(void)
{
    static es_config_link links[] = {{.to = 1,
                                      .address = "127.0.0.1",
                                      .port = 4711,
                                      .latency_ns = 5000000,
                                      .bandwidth_bps = 2e6}};
    static uint32_t hops[] = {ES_INDEX_NONE, 0};
    static es_config_segment segments[] = {
        {.segment = 4, .name = "s", .file = "s.onnx", .hold_ns = 7}};
    static es_config_route routes[] = {{.origin = 0,
                                        .output_bytes = 32,
                                        .stage_count = 2,
                                        .stages = {{.segment = 4,
                                                    .node = 0,
                                                    .input = ES_STAGE_INPUT_REQUEST,
                                                    .exit_threshold = 0.5,
                                                    .input_bytes = 256},
                                                   {.segment = 5,
                                                    .node = 1,
                                                    .input = ES_STAGE_INPUT_PREVIOUS,
                                                    .exit_output = 1,
                                                    .exit_threshold = 2,
                                                    .input_bytes = 128}}}};
    static const es_config config = {.node = 0,
                                     .node_count = 2,
                                     .name = "here",
                                     .ort_library = "",
                                     .workers = 3,
                                     .slowdown = 2.5,
                                     .queue_capacity = 16,
                                     .payload_max = 4096,
                                     .link_backlog_bytes = 1e6,
                                     .link_count = 1,
                                     .links = links,
                                     .next_hops = hops,
                                     .segment_count = 1,
                                     .segments = segments,
                                     .route_count = 1,
                                     .routes = routes};
    return &config;
}

static void configurations_read_back(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(1 << 20);
    es_text text, again;
    es_config got;
    es_text_init(&text, 1 << 20);
    es_text_init(&again, 1 << 20);
    es_config_encode(sample_config(), &text);
    const uint8_t *bytes = (const uint8_t *)es_text_get(&text);
    assert_ok_err(es_config_decode(arena, bytes, text.size, &got, &err), err);
    es_config_encode(&got, &again);
    assert_int_equal(text.size, again.size);
    assert_memory_equal(text.bytes, again.bytes, text.size);
    assert_string_equal(got.segments[0].file, "s.onnx");
    assert_true(got.routes[0].stages[1].exit_threshold == 2);
    /* cut short anywhere: refused */
    for (size_t size = 0; size < text.size; size++)
        assert_int_equal(es_config_decode(arena, bytes, size, &got, &err), ES_ERR_PARSE);
    es_text_append_n(&text, "x", 1);
    assert_fails(
        es_config_decode(arena, (const uint8_t *)es_text_get(&text), text.size, &got, &err),
        ES_ERR_PARSE, err, "1 bytes too many");
    es_text_done(&text);
    es_text_done(&again);
    es_arena_free(arena);
}

static void expect_refused(const es_config *config, const char *words)
{
    es_error err = {0};
    es_arena *arena = es_arena_new(1 << 20);
    es_text text;
    es_config got;
    es_text_init(&text, 1 << 20);
    es_config_encode(config, &text);
    assert_fails(
        es_config_decode(arena, (const uint8_t *)es_text_get(&text), text.size, &got, &err),
        ES_ERR_PARSE, err, words);
    es_text_done(&text);
    es_arena_free(arena);
}

static void configurations_out_of_range_are_refused(void **state)
{
    (void)state;
    es_config config = *sample_config();
    config.node = 2;
    expect_refused(&config, "node out of range");
    config = *sample_config();
    config.slowdown = (double)NAN;
    expect_refused(&config, "slowdown");
    config.slowdown = 0.5;
    expect_refused(&config, "slowdown");
    config = *sample_config();
    config.workers = ES_NODE_WORKERS_MAX + 1;
    expect_refused(&config, "workers");
    config = *sample_config();
    config.queue_capacity = 0;
    expect_refused(&config, "queue capacity");
    config = *sample_config();
    uint32_t hops[] = {1, 0};
    config.next_hops = hops;
    expect_refused(&config, "next hop");
    config = *sample_config();
    es_config_link link = config.links[0];
    link.bandwidth_bps = 0;
    config.links = &link;
    expect_refused(&config, "link");
    config = *sample_config();
    es_config_route route = config.routes[0];
    route.stages[1].node = 2;
    config.routes = &route;
    expect_refused(&config, "stage");
    route = sample_config()->routes[0];
    route.stages[0].input_bytes = 4097;
    expect_refused(&config, "stage");
}

static void a_count_alone_takes_no_memory(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(4096);
    es_text text;
    es_config got;
    es_config config = *sample_config();
    config.route_count = 0;
    es_text_init(&text, 1 << 20);
    es_config_encode(&config, &text);
    memset(text.bytes + text.size - 4, 0x0f, 4); /* 252645135 routes */
    assert_fails(
        es_config_decode(arena, (const uint8_t *)es_text_get(&text), text.size, &got, &err),
        ES_ERR_PARSE, err, "number of routes");
    es_text_done(&text);
    es_arena_free(arena);
}

static void ready_reads_back(void **state)
{
    (void)state;
    es_error err = {0};
    es_text text;
    es_dtype dtypes[2] = {ES_DTYPE_F32, ES_DTYPE_U8};
    es_dtype got[2];
    es_text_init(&text, 1024);
    es_ready_encode(dtypes, 2, &text);
    const uint8_t *bytes = (const uint8_t *)es_text_get(&text);
    assert_ok_err(es_ready_decode(bytes, text.size, got, 2, &err), err);
    assert_memory_equal(got, dtypes, sizeof got);
    assert_fails(es_ready_decode(bytes, text.size, got, 1, &err), ES_ERR_PARSE, err, "must be 1");
    text.bytes[4] = 99;
    assert_fails(es_ready_decode(bytes, text.size, got, 2, &err), ES_ERR_PARSE, err, "type 99");
    es_text_done(&text);
}

/* ---- connections ---- */

typedef struct pair {
    es_message_pool pool;
    es_conn a;
    es_conn b;
} pair;

static void open_pair(pair *two, size_t cap_bytes)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    es_message_pool_init(&two->pool, cap_bytes);
    es_conn_init(&two->a, fds[0], &two->pool, 1 << 20, 0);
    es_conn_init(&two->b, fds[1], &two->pool, 1 << 20,
                 ES_FRAME_BIT(ES_FRAME_REQUEST) | ES_FRAME_BIT(ES_FRAME_STOP));
}

static void close_pair(pair *two)
{
    es_conn_close(&two->a);
    es_conn_close(&two->b);
    es_message_pool_done(&two->pool); /* asserts that all came back */
}

static void big_frames_come_in_parts(void **state)
{
    (void)state;
    pair two;
    es_error err = {0};
    open_pair(&two, 64 << 20);
    enum { COUNT = 5, SIZE = 700000 };
    for (uint64_t i = 0; i < COUNT; i++) {
        es_message *message =
            es_message_take(&two.pool, ES_FRAME_REQUEST, ES_REQUEST_HEADER_SIZE + SIZE);
        assert_non_null(message);
        assert_int_equal((uintptr_t)message->bytes % 64, 0);
        message->request = (es_request){.id = i, .payload_bytes = SIZE};
        memset(message->bytes + ES_REQUEST_HEADER_SIZE, (int)i, SIZE);
        assert_ok_err(es_conn_send(&two.a, message, &err), err);
    }
    assert_true(two.a.wants_write); /* more than a socket takes */
    uint64_t seen = 0;
    while (seen < COUNT) {
        es_message *message = NULL;
        assert_ok_err(es_conn_receive(&two.b, &message, &err), err);
        assert_ok_err(es_conn_flush(&two.a, &err), err);
        if (message == NULL)
            continue;
        assert_int_equal(message->request.id, seen);
        assert_int_equal(message->bytes[ES_REQUEST_HEADER_SIZE + SIZE - 1], seen);
        es_message_give(&two.pool, message);
        seen++;
    }
    assert_false(two.a.wants_write);
    es_message *none = NULL;
    es_conn_close(&two.a);
    assert_fails(es_conn_receive(&two.b, &none, &err), ES_ERR_UNAVAILABLE, err, "closed");
    close_pair(&two);
}

static void an_empty_pool_makes_it_wait(void **state)
{
    (void)state;
    pair two;
    es_error err = {0};
    es_message *message = NULL;
    open_pair(&two, 256);
    assert_ok_err(es_conn_send_bytes(&two.a, ES_FRAME_STOP, NULL, 0, &err), err);
    es_message *all = es_message_take(&two.pool, ES_FRAME_STOP, 0);
    assert_non_null(all);
    assert_null(es_message_take(&two.pool, ES_FRAME_STOP, 0));
    assert_ok_err(es_conn_receive(&two.b, &message, &err), err);
    assert_null(message);
    assert_true(two.b.starved);
    es_message_give(&two.pool, all);
    assert_ok_err(es_conn_receive(&two.b, &message, &err), err);
    assert_non_null(message);
    assert_false(two.b.starved);
    es_message_give(&two.pool, message);
    close_pair(&two);
}

static void frames_that_do_not_belong_are_refused(void **state)
{
    (void)state;
    pair two;
    es_error err = {0};
    es_message *message = NULL;
    open_pair(&two, 1 << 20);
    uint8_t hello[ES_HELLO_SIZE] = {0};
    assert_ok_err(es_conn_send_bytes(&two.a, ES_FRAME_HELLO, hello, sizeof hello, &err), err);
    assert_fails(es_conn_receive(&two.b, &message, &err), ES_ERR_PARSE, err,
                 "does not belong here");
    close_pair(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_read_back_and_limits_hold),
        cmocka_unit_test(requests_read_back),
        cmocka_unit_test(small_frames_read_back),
        cmocka_unit_test(configurations_read_back),
        cmocka_unit_test(configurations_out_of_range_are_refused),
        cmocka_unit_test(a_count_alone_takes_no_memory),
        cmocka_unit_test(ready_reads_back),
        cmocka_unit_test(big_frames_come_in_parts),
        cmocka_unit_test(an_empty_pool_makes_it_wait),
        cmocka_unit_test(frames_that_do_not_belong_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
