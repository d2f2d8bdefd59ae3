/* A node in a thread of the test, spoken to frame by frame: who may speak, what it forwards, and
 * when it ends. It hosts nothing, so no inference library is needed. */
#include "es_test.h"
#include "internal.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

static const char token_words[] = "000102030405060708090a0b0c0d0e0f";

static volatile sig_atomic_t stop; /* set in the node's own thread, as a signal does */

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

typedef struct bench {
    pthread_t thread;
    int ready[2];
    uint16_t port;
    es_status status;
    es_error err;
    es_message_pool pool;
    es_conn control;
    int neighbour; /* listens for the node's link */
    uint16_t neighbour_port;
} bench;

static void *serve(void *context)
{
    bench *here = context;
    es_node_opts opts = es_node_opts_default();
    opts.name = "tested";
    opts.ready_fd = here->ready[1];
    opts.token = token_words;
    here->status = es_node_serve(opts, &stop, &here->err);
    return NULL;
}

static es_conn open_conn(bench *here)
{
    es_error err = {0};
    es_conn conn;
    int fd = -1;
    assert_ok_err(es_socket_connect("127.0.0.1", here->port, &fd, &err), err);
    es_conn_init(&conn, fd, &here->pool, 1 << 20, UINT32_MAX);
    return conn;
}

static void say_hello(es_conn *conn, es_hello_role role, uint8_t first)
{
    es_error err = {0};
    uint8_t bytes[ES_HELLO_SIZE];
    es_hello hello = {.role = role};
    for (size_t i = 0; i < ES_TOKEN_SIZE; i++)
        hello.token[i] = (uint8_t)(first + i);
    es_hello_encode(&hello, bytes);
    assert_ok_err(es_conn_send_bytes(conn, ES_FRAME_HELLO, bytes, sizeof bytes, &err), err);
}

/* The next frame, or NULL when the connection ends; waits up to 10 s. */
static es_message *next_frame(es_conn *conn)
{
    for (int i = 0; i < 100; i++) {
        es_message *message = NULL;
        if (es_conn_receive(conn, &message, NULL) != ES_OK)
            return NULL;
        if (message != NULL)
            return message;
        struct pollfd wanted = {.fd = conn->fd, .events = POLLIN};
        (void)poll(&wanted, 1, 100);
    }
    fail_msg("no frame came");
    return NULL;
}

static void set_bench(bench *here)
{
    char line[32] = "";
    es_error err = {0};
    *here = (bench){.status = ES_ERR_INTERNAL, .neighbour = -1};
    stop = 0;
    es_message_pool_init(&here->pool, 16 << 20);
    assert_int_equal(pipe(here->ready), 0);
    assert_int_equal(pthread_create(&here->thread, NULL, serve, here), 0);
    assert_true(read(here->ready[0], line, sizeof line - 1) > 0);
    int64_t port = 0;
    assert_non_null(strchr(line, '\n'));
    *strchr(line, '\n') = '\0';
    assert_true(es_text_to_int64(line + strlen("ready "), &port));
    here->port = (uint16_t)port;
    here->control = open_conn(here);
    assert_ok_err(es_socket_listen("127.0.0.1", 0, &here->neighbour, &here->neighbour_port, &err),
                  err);
}

static void done_bench(bench *here)
{
    es_conn_close(&here->control);
    assert_int_equal(pthread_join(here->thread, NULL), 0);
    assert_int_equal(here->status, ES_OK);
    es_message_pool_done(&here->pool);
    (void)close(here->ready[0]);
    (void)close(here->neighbour);
}

/* Node 0 of two: 20 ms and 1 Mbit/s to the other, which is the test. */
static void configure(bench *here)
{
    es_error err = {0};
    es_config_link link = {.to = 1,
                           .address = "127.0.0.1",
                           .port = here->neighbour_port,
                           .latency_ns = 20 * ES_NS_PER_MS,
                           .bandwidth_bps = 1e6};
    uint32_t hops[] = {ES_INDEX_NONE, 0, ES_INDEX_NONE};
    es_config config = {.node_count = 3,
                        .name = "tested",
                        .ort_library = "",
                        .slowdown = 1,
                        .queue_capacity = 4,
                        .payload_max = 4096,
                        .link_backlog_bytes = 1000,
                        .link_count = 1,
                        .links = &link,
                        .next_hops = hops};
    es_text text;
    es_text_init(&text, 1 << 20);
    es_config_encode(&config, &text);
    assert_ok_err(es_conn_send_bytes(&here->control, ES_FRAME_CONFIG, text.bytes, text.size, &err),
                  err);
    es_text_done(&text);
}

static void send_request(bench *here, es_frame_type type, es_request request)
{
    es_error err = {0};
    request.payload_bytes = 125;
    es_message *message = es_message_take(&here->pool, type, ES_REQUEST_HEADER_SIZE + 125);
    assert_non_null(message);
    memset(message->bytes + ES_REQUEST_HEADER_SIZE, 'x', 125);
    message->request = request;
    assert_ok_err(es_conn_send(&here->control, message, &err), err);
}

static void expect_answer(bench *here, uint64_t id, es_fate fate, const char *words)
{
    es_message *message = next_frame(&here->control);
    assert_non_null(message);
    assert_int_equal(message->header.type, ES_FRAME_ANSWER);
    assert_int_equal(message->request.id, id);
    assert_int_equal(message->request.fate, fate);
    char text[512] = "";
    memcpy(text, message->bytes + ES_REQUEST_HEADER_SIZE, message->request.payload_bytes);
    if (strstr(text, words) == NULL)
        fail_msg("'%s' does not contain '%s'", text, words);
    es_message_give(&here->pool, message);
}

static void expect_ready(bench *here)
{
    es_message *message = next_frame(&here->control);
    assert_non_null(message);
    assert_int_equal(message->header.type, ES_FRAME_READY);
    es_message_give(&here->pool, message);
}

/* ---- who may speak ---- */

static void strangers_are_shown_out(void **state)
{
    (void)state;
    bench here;
    set_bench(&here);
    es_conn stranger = open_conn(&here);
    say_hello(&stranger, ES_HELLO_CONTROL, 1); /* wrong token */
    assert_null(next_frame(&stranger));
    es_conn_close(&stranger);
    stranger = open_conn(&here);
    assert_true(write(stranger.fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    assert_null(next_frame(&stranger));
    es_conn_close(&stranger);
    stranger = open_conn(&here);
    es_error err = {0};
    assert_ok_err(es_conn_send_bytes(&stranger, ES_FRAME_STOP, NULL, 0, &err), err);
    assert_null(next_frame(&stranger)); /* no hello yet */
    es_conn_close(&stranger);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    configure(&here);
    expect_ready(&here);
    stranger = open_conn(&here);
    say_hello(&stranger, ES_HELLO_CONTROL, 0); /* there is one already */
    assert_null(next_frame(&stranger));
    es_conn_close(&stranger);
    done_bench(&here);
}

static void a_broken_configuration_is_told(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    es_error told = {0};
    set_bench(&here);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    assert_ok_err(es_conn_send_bytes(&here.control, ES_FRAME_CONFIG, "nonsense", 8, &err), err);
    es_message *message = next_frame(&here.control);
    assert_non_null(message);
    assert_int_equal(message->header.type, ES_FRAME_FAILED);
    assert_ok_err(es_failed_decode(message->bytes, message->header.size, &told, &err), err);
    assert_int_equal(told.status, ES_ERR_PARSE);
    assert_non_null(strstr(told.text, "configuration: node out of range"));
    es_message_give(&here.pool, message);
    done_bench(&here);
}

static void a_request_before_the_configuration_ends_it(void **state)
{
    (void)state;
    bench here;
    set_bench(&here);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    send_request(&here, ES_FRAME_REQUEST, (es_request){.id = 1});
    assert_null(next_frame(&here.control));
    done_bench(&here);
}

static void stop_and_signals_end_it(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    set_bench(&here);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    assert_ok_err(es_conn_send_bytes(&here.control, ES_FRAME_STOP, NULL, 0, &err), err);
    assert_null(next_frame(&here.control));
    done_bench(&here);
    set_bench(&here);
    assert_int_equal(pthread_kill(here.thread, SIGUSR1), 0);
    assert_null(next_frame(&here.control));
    done_bench(&here);
}

/* ---- traffic ---- */

static es_conn accept_link(bench *here)
{
    es_conn link;
    struct pollfd wanted = {.fd = here->neighbour, .events = POLLIN};
    assert_int_equal(poll(&wanted, 1, 10000), 1);
    int fd = es_socket_accept(here->neighbour);
    assert_true(fd >= 0);
    es_conn_init(&link, fd, &here->pool, 1 << 20, UINT32_MAX);
    es_message *message = next_frame(&link);
    assert_non_null(message);
    assert_int_equal(message->header.type, ES_FRAME_HELLO);
    es_message_give(&here->pool, message);
    return link;
}

static void messages_go_where_they_belong(void **state)
{
    (void)state;
    bench here;
    set_bench(&here);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    configure(&here);
    expect_ready(&here);
    es_conn link = accept_link(&here);
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    /* 125 bytes at 1 Mbit/s leave in 1 ms each and arrive 20 ms later */
    for (uint64_t id = 1; id <= 3; id++)
        send_request(
            &here, ES_FRAME_REQUEST,
            (es_request){.id = id, .destination = 1, .link_bytes = 125, .when_ns = now_ns + 1000});
    for (uint64_t id = 1; id <= 3; id++) {
        es_message *message = next_frame(&link);
        assert_non_null(message);
        assert_int_equal(message->request.id, id);
        assert_int_equal(message->request.when_ns,
                         now_ns + 1000 + (20 + (int64_t)id) * ES_NS_PER_MS);
        assert_int_equal(message->bytes[ES_REQUEST_HEADER_SIZE + 124], 'x');
        es_message_give(&here.pool, message);
    }
    send_request(&here, ES_FRAME_REQUEST,
                 (es_request){.id = 4, .destination = 1, .link_bytes = 1000, .when_ns = now_ns});
    expect_answer(&here, 4, ES_FATE_REFUSED, "too much is waiting on the link");
    send_request(&here, ES_FRAME_REQUEST, (es_request){.id = 5, .destination = 2});
    expect_answer(&here, 5, ES_FATE_FAILED, "no way");
    send_request(&here, ES_FRAME_REQUEST, (es_request){.id = 6, .destination = 77});
    expect_answer(&here, 6, ES_FATE_FAILED, "destination");
    send_request(&here, ES_FRAME_REQUEST, (es_request){.id = 7, .destination = 0});
    expect_answer(&here, 7, ES_FATE_FAILED, "route or the stage is unknown");
    es_conn_close(&link);
    done_bench(&here);
}

static void answers_are_held_until_they_are_due(void **state)
{
    (void)state;
    bench here;
    set_bench(&here);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    configure(&here);
    expect_ready(&here);
    es_conn in = open_conn(&here);
    say_hello(&in, ES_HELLO_LINK, 0);
    es_error err = {0};
    int64_t due_ns = es_clock_now_ns(es_clock_system()) + 50 * ES_NS_PER_MS;
    es_message *message = es_message_take(&here.pool, ES_FRAME_ANSWER, ES_REQUEST_HEADER_SIZE);
    message->request = (es_request){.id = 9, .when_ns = due_ns};
    assert_ok_err(es_conn_send(&in, message, &err), err);
    es_conn_close(&in); /* what was sent still arrives */
    message = next_frame(&here.control);
    assert_non_null(message);
    assert_int_equal(message->request.id, 9);
    assert_true(message->request.when_ns >= due_ns);
    assert_true(es_clock_now_ns(es_clock_system()) >= due_ns);
    es_message_give(&here.pool, message);
    done_bench(&here);
}

static void a_lost_neighbour_fails_what_goes_there(void **state)
{
    (void)state;
    bench here;
    set_bench(&here);
    say_hello(&here.control, ES_HELLO_CONTROL, 0);
    configure(&here);
    expect_ready(&here);
    es_conn link = accept_link(&here);
    es_conn_close(&link);
    for (uint64_t id = 1; id <= 5; id++) { /* the first may still be taken by the socket */
        (void)poll(NULL, 0, 20);
        send_request(&here, ES_FRAME_REQUEST, (es_request){.id = id, .destination = 1});
    }
    es_message *message = NULL;
    uint64_t last = 0;
    while (last < 5 && (message = next_frame(&here.control)) != NULL) {
        assert_int_equal(message->request.fate, ES_FATE_FAILED);
        last = message->request.id;
        es_message_give(&here.pool, message);
    }
    assert_int_equal(last, 5);
    done_bench(&here);
}

static void bad_options_are_told(void **state)
{
    (void)state;
    es_error err = {0};
    es_node_opts opts = es_node_opts_default();
    opts.token = "0123";
    assert_fails(es_node_serve(opts, NULL, &err), ES_ERR_ARG, err, "32 hexadecimal digits");
    opts = es_node_opts_default();
    opts.address = "somewhere";
    assert_fails(es_node_serve(opts, NULL, &err), ES_ERR_ARG, err, "numeric IPv4 or IPv6");
    opts.address = "192.0.2.1"; /* of documentation: nobody's */
    assert_fails(es_node_serve(opts, NULL, &err), ES_ERR_IO, err, "cannot listen on 192.0.2.1");
    opts = es_node_opts_default();
    opts.ready_fd = 999;
    assert_fails(es_node_serve(opts, NULL, &err), ES_ERR_IO, err, "descriptor 999");
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGUSR1, &action, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_are_shown_out),
        cmocka_unit_test(a_broken_configuration_is_told),
        cmocka_unit_test(a_request_before_the_configuration_ends_it),
        cmocka_unit_test(stop_and_signals_end_it),
        cmocka_unit_test(messages_go_where_they_belong),
        cmocka_unit_test(answers_are_held_until_they_are_due),
        cmocka_unit_test(a_lost_neighbour_fails_what_goes_there),
        cmocka_unit_test(bad_options_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
