/* The server against clients of every kind, over loopback. */
#include "base/queue.h"
#include "es_test.h"
#include "http/testing/http_peer.h"
#include "internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>

static char answer[PEER_ANSWER_MAX];

typedef struct world {
    es_http_server *server;
    uint16_t port;
    es_queue *kept; /* requests that wait for the test's own answer */
    _Atomic int released, gone;
    size_t taken_bytes;
    _Atomic int supply; /* pieces that the stream may give */
    es_http_request *streaming;
    _Atomic bool stream_begun;
} world;

static void say(es_http_request *request, int status, const char *text)
{
    es_http_answer_send(request, &(es_http_answer){.status = status,
                                                   .content_type = "text/plain",
                                                   .body = text,
                                                   .body_bytes = strlen(text)});
}

static void hello(void *context, es_http_request *request)
{
    (void)context;
    say(request, 200, "hello");
}

static void echo(void *context, es_http_request *request)
{
    size_t size = 0;
    const void *body = es_http_request_body(request, &size);
    (void)context;
    es_http_answer_send(request,
                        &(es_http_answer){.status = 200, .body = body, .body_bytes = size});
}

/* Where the data behind the head lie, and the body. */
static void tell_place(void *context, es_http_request *request)
{
    size_t size = 0;
    char text[256];
    const char *body = es_http_request_body(request, &size);
    const char *head = es_http_request_header(request, "Head-Bytes");
    size_t head_bytes = head != NULL ? strtoul(head, NULL, 10) : 0;
    (void)context;
    (void)snprintf(text, sizeof text, "%zu of %zu: %.*s",
                   (size_t)(uintptr_t)(body + head_bytes) % 16, size, size < 99 ? (int)size : 99,
                   body);
    say(request, 200, text);
}

static void named(void *context, es_http_request *request)
{
    char text[256];
    char query[64] = "-";
    const char *seen = es_http_request_header(request, "X-Thing");
    (void)context;
    (void)es_http_request_query(request, "q", query, sizeof query);
    (void)snprintf(text, sizeof text, "%s|%s|%s|%s", es_http_request_param(request, "model"),
                   es_http_request_param(request, "absent") == NULL ? "none" : "some", query,
                   seen != NULL ? seen : "-");
    say(request, 200, text);
}

static void note_release(void *user)
{
    world *w = user;
    atomic_fetch_add(&w->released, 1);
}

static void note_gone(void *user)
{
    world *w = user;
    atomic_fetch_add(&w->gone, 1);
}

static void keep(void *context, es_http_request *request)
{
    world *w = context;
    es_http_request_set_user(request, w, note_release);
    es_http_request_set_gone(request, note_gone);
    assert_true(es_queue_try_push(w->kept, request));
}

static es_status take(void *context, es_http_request *request, const void *bytes, size_t size,
                      es_error *err)
{
    world *w = context;
    const char *text = bytes;
    (void)request;
    w->taken_bytes += size;
    if (size > 0 && text[0] == '!')
        return es_fail(err, ES_ERR_PARSE, "body: '!' is not wanted");
    return ES_OK;
}

static void taken(void *context, es_http_request *request)
{
    char text[32];
    world *w = context;
    (void)snprintf(text, sizeof text, "%zu", w->taken_bytes);
    say(request, 200, text);
}

static int64_t give_piece(void *context, void *out, size_t room)
{
    world *w = context;
    int left = atomic_load(&w->supply);
    if (left < 0)
        return ES_HTTP_STREAM_END;
    if (left == 0 || room < 4)
        return 0;
    atomic_fetch_sub(&w->supply, 1);
    memcpy(out, "tick", 4);
    return 4;
}

static void stream(void *context, es_http_request *request)
{
    world *w = context;
    w->streaming = request;
    es_http_answer_stream(request, &(es_http_stream){.status = 200,
                                                     .content_type = "text/event-stream",
                                                     .read = give_piece,
                                                     .release = note_release,
                                                     .context = w});
    atomic_store(&w->stream_begun, true);
}

static world *world_make(const es_http_server_opts *wanted)
{
    static const es_http_token TOKENS[] = {{"client-0123456789", 1}, {"control-0123456789", 2}};
    world *w = calloc(1, sizeof *w);
    es_error err = {0};
    assert_non_null(w);
    assert_ok(es_queue_new(1024, &w->kept, &err));
    const es_http_route routes[] = {
        {.method = ES_HTTP_GET, .path = "/hello", .handle = hello},
        {.method = ES_HTTP_POST, .path = "/echo", .handle = echo},
        {.method = ES_HTTP_POST, .path = "/small", .handle = echo, .body_bytes_max = 8},
        {.method = ES_HTTP_POST,
         .path = "/place",
         .handle = tell_place,
         .head_size_header = "Head-Bytes"},
        {.method = ES_HTTP_GET, .path = "/models/{model}/x", .handle = named},
        {.method = ES_HTTP_GET, .path = "/keep", .handle = keep, .context = w},
        {.method = ES_HTTP_POST, .path = "/take", .take = take, .handle = taken, .context = w},
        {.method = ES_HTTP_GET, .path = "/stream", .handle = stream, .context = w},
        {.method = ES_HTTP_DELETE, .path = "/hello", .handle = hello, .roles = 2},
    };
    es_http_server_opts opts = wanted != NULL ? *wanted : es_http_server_opts_default();
    opts.routes = routes;
    opts.route_count = sizeof routes / sizeof routes[0];
    opts.tokens = TOKENS;
    opts.token_count = 2;
    assert_ok_err(es_http_server_init(opts, &w->server, &err), err);
    w->port = es_http_server_port(w->server);
    assert_ok_err(es_http_server_start(w->server, &err), err);
    return w;
}

static void world_end(world *w)
{
    es_http_server_stop(w->server, 0);
    assert_int_equal(es_http_server_stats(w->server).body_bytes, 0);
    assert_int_equal(es_http_server_stats(w->server).connections_open, 0);
    es_http_server_done(w->server);
    es_queue_free(w->kept);
    free(w);
}

static int ask(const world *w, const char *request)
{
    return peer_ask(w->port, request, answer, sizeof answer);
}

#define expect(status, words)                                                                      \
    do {                                                                                           \
        int expect_got_ = (status);                                                                \
        if (expect_got_ == 0 || strstr(answer, (words)) == NULL)                                   \
            fail_msg("status %d, no '%s' in: %s", expect_got_, (words), answer);                   \
    } while (0)

static void answers_by_route(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    assert_int_equal(ask(w, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    expect(200, "\r\n\r\nhello");
    assert_int_equal(ask(w, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"), 200);
    expect(200, "\r\n\r\nabc");
    assert_int_equal(ask(w, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
                     200);
    expect(200, "\r\n\r\nabcde");
    assert_int_equal(ask(w, "GET /models/r%2Fn/x?p=1&q=a+b%21 HTTP/1.1\r\nHost: a\r\n"
                            "x-thing: yes\r\n\r\n"),
                     200);
    expect(200, "r/n|none|a b!|yes");
    assert_int_equal(ask(w, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"),
                     200);
    expect(200, "\r\n\r\n5");
    assert_int_equal(es_http_server_stats(w->server).handled, 5);
    world_end(w);
}

/* Memory of requests is used again, with other heads, known sizes and chunks. */
static void data_behind_a_head_are_aligned(void **state)
{
    static char chunk[70000];
    static char request[80000];
    char wanted[128];
    (void)state;
    world *w = world_make(NULL);
    memset(chunk, 'a', sizeof chunk - 1);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(request, sizeof request,
                       "POST /place HTTP/1.1\r\nHost: a\r\nHead-Bytes: %d\r\n"
                       "Content-Length: 50\r\n\r\n%050d",
                       i, i);
        assert_int_equal(ask(w, request), 200);
        (void)snprintf(wanted, sizeof wanted, "\r\n\r\n0 of 50: %050d", i);
        expect(200, wanted);
        (void)snprintf(request, sizeof request,
                       "POST /place HTTP/1.1\r\nHost: a\r\nHead-Bytes: %d\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n%zx\r\n%s\r\n0\r\n\r\n",
                       i, strlen(chunk), chunk);
        assert_int_equal(ask(w, request), 200);
        expect(200, "\r\n\r\n0 of 70004: helloaaa");
    }
    for (const char *const *head =
             (const char *const[]){"-1", "x", "99999999999999999999999", "", NULL};
         *head != NULL; head++) {
        (void)snprintf(request, sizeof request,
                       "POST /place HTTP/1.1\r\nHost: a\r\nHead-Bytes: %s\r\n"
                       "Content-Length: 3\r\n\r\nabc",
                       *head);
        assert_int_equal(ask(w, request), 200);
        expect(200, "of 3: abc");
    }
    world_end(w);
}

static void refuses_with_reason(void **state)
{
    static const struct {
        const char *request, *words;
        int status;
    } ROWS[] = {
        {"GET /absent HTTP/1.1\r\nHost: a\r\n\r\n", "nothing is at '/absent'", 404},
        {"PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "Allow: GET, HEAD, DELETE",
         405},
        {"BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n", "is not allowed", 405},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789",
         "a body of 9 bytes is larger than 8", 413},
        {"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "6\r\n123456\r\n6\r\n123456\r\n0\r\n\r\n",
         "larger than 8", 413},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", "99999999999",
         413},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n\r\n",
         "999999999999999999", 413},
        {"POST /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
         "larger than 8", 413},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
         "one Content-Length", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         "one Content-Length", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "is not 'chunked'",
         501},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
         "Content-Encoding 'gzip'", 415},
        {"DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n", "a bearer token is needed", 401},
        {"DELETE /hello HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong-0123456789\r\n\r\n",
         "not known", 401},
        {"DELETE /hello HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer client-0123456789\r\n\r\n",
         "does not allow", 403},
        {"DELETE /hello HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer control-0123456789\r\n\r\n",
         "hello", 200},
        {"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n!x", "'!' is not wanted", 400},
    };
    (void)state;
    world *w = world_make(NULL);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        int status = ask(w, ROWS[i].request);
        if (status != ROWS[i].status || strstr(answer, ROWS[i].words) == NULL)
            fail_msg("%s -> %d, wanted %d with '%s': %s", ROWS[i].request, status, ROWS[i].status,
                     ROWS[i].words, answer);
        if (status != 200 && strstr(answer, "{\"error\":\"") == NULL)
            fail_msg("%s: no JSON error: %s", ROWS[i].request, answer);
    }
    world_end(w);
}

static void refuses_long_heads(void **state)
{
    static char request[80000];
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    opts.target_bytes_max = 100;
    opts.header_bytes_max = 2000;
    world *w = world_make(&opts);
    (void)snprintf(request, sizeof request, "GET /%0200d HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    assert_int_equal(ask(w, request), 414);
    expect(414, "longer than 100 bytes");
    (void)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\nHost: a\r\nX: %02000d\r\n\r\n",
                   1);
    assert_int_equal(ask(w, request), 431);
    expect(431, "more than 2000");
    /* Past the connection's whole memory the library answers itself. */
    (void)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\nHost: a\r\nX: %070000d\r\n\r\n",
                   1);
    int status = ask(w, request);
    assert_true(status == 431 || status == 413 || status == 0);
    world_end(w);
}

/* What is not HTTP: some 4xx or a closed connection, then the server still serves. */
static void survives_garbage(void **state)
{
    static const char *const GARBAGE[] = {
        "\r\n\r\n\r\n",
        "\x16\x03\x01\x02",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/9.9\r\n\r\n",
        "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\nx",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "GET /%00%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://other/hello HTTP/1.1\r\nHost: a\r\n\r\n",
        "{\"json\": true}\n",
        "GET /hello HTTP/1.1\r\n : x\r\n\r\n",
    };
    (void)state;
    es_http_server_opts opts = es_http_server_opts_default();
    opts.idle_timeout_s = 1; /* of kept connections whose client has half-closed */
    opts.receive_timeout_s = 0.5;
    world *w = world_make(&opts);
    for (size_t i = 0; i < sizeof GARBAGE / sizeof GARBAGE[0]; i++) {
        int fd = peer_connect(w->port);
        (void)peer_send(fd, GARBAGE[i]);
        (void)shutdown(fd, SHUT_WR);
        (void)peer_read_all(fd, answer, sizeof answer);
        (void)close(fd);
        long status = strlen(answer) > 12 ? strtol(answer + 9, NULL, 10) : 0;
        bool may_serve =
            strncmp(GARBAGE[i], "GET", 3) == 0 && !strstr(GARBAGE[i], "Content-Length");
        if (status != 0 && (status < 400 || status > 505) && !may_serve)
            fail_msg("%s -> %s", GARBAGE[i], answer);
        assert_int_equal(ask(w, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    }
    world_end(w);
}

static void keeps_connections_alive(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    int fd = peer_connect(w->port);
    for (int i = 0; i < 100; i++) {
        /* a refusal in between does not end it */
        const char *request = i % 10 == 5 ? "GET /absent HTTP/1.1\r\nHost: a\r\n\r\n"
                                          : "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_true(peer_send(fd, request));
        assert_int_equal(peer_read_one(fd, answer, sizeof answer), i % 10 == 5 ? 404 : 200);
    }
    assert_int_equal(es_http_server_stats(w->server).connections, 1);
    /* Pipelined: two requests at once, garbage behind them. */
    assert_true(peer_send(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
                              "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02\x03\r\n\r\n"));
    (void)shutdown(fd, SHUT_WR);
    (void)peer_read_all(fd, answer, sizeof answer);
    const char *first = strstr(answer, "\r\n\r\nhello");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "\r\n\r\nhello"));
    (void)close(fd);
    world_end(w);
}

static void answers_half_closed_clients(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    int fd = peer_connect(w->port);
    assert_true(peer_send(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                              "Content-Length: 4\r\n\r\nhalf"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    (void)peer_read_all(fd, answer, sizeof answer);
    expect(200, "\r\n\r\nhalf");
    (void)close(fd);
    /* the same while the handler thinks */
    fd = peer_connect(w->port);
    assert_true(peer_send(fd, "GET /keep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    say(es_queue_pop(w->kept), 200, "after thought");
    (void)peer_read_all(fd, answer, sizeof answer);
    expect(200, "after thought");
    (void)close(fd);
    world_end(w);
}

static void survives_aborted_clients(void **state)
{
    struct linger hard = {.l_onoff = 1};
    (void)state;
    world *w = world_make(NULL);
    for (int i = 0; i < 20; i++) {
        int fd = peer_connect(w->port);
        const char *part = i % 2 == 0
                               ? "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nx"
                               : "POST /echo HTTP/1.1\r\nHos";
        assert_true(peer_send(fd, part));
        if (i % 3 == 0) /* a reset instead of an end */
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        (void)close(fd);
    }
    /* one goes while its request is with the handler */
    int fd = peer_connect(w->port);
    assert_true(peer_send(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"));
    es_http_request *request = es_queue_pop(w->kept);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    (void)close(fd);
    say(request, 200, "to nobody");
    assert_int_equal(ask(w, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    world_end(w);
}

/* Closed, or reset, while the request is with its handler: told once, and the answer may still be
 * given. A client that only closes its own side looks the same and is answered. */
static void notices_clients_that_go(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    for (int way = 0; way < 3; way++) {
        struct linger hard = {.l_onoff = way == 1};
        int fd = peer_connect(w->port);
        assert_true(peer_send(fd, "GET /keep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        es_http_request *request = es_queue_pop(w->kept);
        assert_false(es_http_request_gone(request));
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        if (way == 2)
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        else
            (void)close(fd);
        while (atomic_load(&w->gone) != way + 1)
            (void)sched_yield();
        assert_true(es_http_request_gone(request));
        say(request, 200, "still here?");
        if (way == 2) {
            (void)peer_read_all(fd, answer, sizeof answer);
            expect(200, "still here?");
            (void)close(fd);
        }
    }
    assert_int_equal(es_http_server_stats(w->server).gone, 3);
    world_end(w);
}

/* A streamed answer that is dry ends with its reader. */
static void ends_streams_without_reader(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    int fd = peer_connect(w->port);
    assert_true(peer_send(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
    while (!atomic_load(&w->stream_begun))
        (void)sched_yield();
    (void)close(fd);
    while (atomic_load(&w->released) == 0) /* of the stream */
        (void)sched_yield();
    es_http_request_release(w->streaming);
    world_end(w);
}

/* The end came in the packet of the request: the library alone would wait for the idle timeout. */
static void ends_kept_connections_of_half_closed_clients(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    int on = 1;
    int fd = peer_connect(w->port);
    /* corked, the request leaves with the end */
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0);
    assert_true(peer_send(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    (void)peer_read_all(fd, answer, sizeof answer); /* fails after 10 s; the timeout is 60 */
    expect(200, "\r\n\r\nhello");
    (void)close(fd);
    world_end(w);
}

static void ends_slow_clients(void **state)
{
    static const char *const SLOW[] = {
        "",
        "GET /hel",
        "GET /hello HTTP/1.1\r\nHost: a\r\nX-A", /* slow heads */
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST /absent HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
    };
    enum { SLOW_COUNT = sizeof SLOW / sizeof SLOW[0] };
    int fds[SLOW_COUNT];
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    opts.receive_timeout_s = 0.2;
    world *w = world_make(&opts);
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        fds[i] = peer_connect(w->port);
        assert_true(peer_send(fds[i], SLOW[i]));
    }
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        (void)peer_read_all(fds[i], answer, sizeof answer);
        expect(408, "408 Request Timeout");
        expect(408, "{\"error\":\"the request did not come in time\"}");
        (void)close(fds[i]);
    }
    assert_int_equal(es_http_server_stats(w->server).timed_out_receiving, SLOW_COUNT);
    /* Steady drops do not buy more time. */
    int fd = peer_connect(w->port);
    es_clock *clock = es_clock_system();
    int64_t start_ns = es_clock_now_ns(clock);
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    while (poll(&watched, 1, 10) == 0 && peer_send(fd, "x"))
        assert_true(es_clock_now_ns(clock) - start_ns < 5 * ES_NS_PER_S);
    (void)close(fd);
    world_end(w);
}

static void ends_slow_handlers(void **state)
{
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    opts.answer_timeout_s = 0.05;
    world *w = world_make(&opts);
    assert_int_equal(ask(w, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"), 504);
    expect(504, "no answer in time");
    es_http_request *request = es_queue_pop(w->kept);
    assert_int_equal(atomic_load(&w->released), 0); /* still the handler's */
    say(request, 200, "late");
    assert_int_equal(es_http_server_stats(w->server).timed_out_answering, 1);
    world_end(w);
}

static void bounds_bodies_together(void **state)
{
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    opts.bodies_bytes_max = 100;
    world *w = world_make(&opts);
    int fd = peer_connect(w->port);
    assert_true(peer_send(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 80\r\n\r\nabc"));
    while (es_http_server_stats(w->server).body_bytes != 80)
        assert_int_equal(ask(w, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(ask(w, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n"
                            "012345678901234567890123456789"),
                     503);
    expect(503, "Retry-After: 1");
    (void)close(fd);
    while (es_http_server_stats(w->server).body_bytes != 0)
        assert_int_equal(ask(w, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(ask(w, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"), 200);
    world_end(w);
}

static void streams_answers(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    int fd = peer_connect(w->port);
    assert_true(peer_send(fd, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    while (!atomic_load(&w->stream_begun))
        (void)sched_yield();
    for (int i = 0; i < 50; i++) {
        atomic_fetch_add(&w->supply, 1);
        es_http_request_wake(w->streaming);
        size_t used = 0;
        while (used < 4 || memcmp(answer + used - 4, "k\r\n", 3) == 0 ||
               strstr(answer, "tick\r\n") == NULL) {
            ssize_t got = recv(fd, answer + used, sizeof answer - used - 1, 0);
            assert_true(got > 0);
            used += (size_t)got;
            answer[used] = '\0';
            if (strstr(answer, "tick\r\n") != NULL)
                break;
        }
    }
    atomic_store(&w->supply, -1);
    es_http_request_wake(w->streaming);
    es_http_request_release(w->streaming);
    (void)peer_read_all(fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "0\r\n\r\n"));
    (void)close(fd);
    assert_int_equal(ask(w, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(atomic_load(&w->released), 1);
    world_end(w);
}

static void serves_many_connections(void **state)
{
    enum { MANY = 300 };
    static int fds[MANY];
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    opts.loop_count = 2;
    world *w = world_make(&opts);
    for (int i = 0; i < MANY; i++) {
        fds[i] = peer_connect(w->port);
        assert_true(peer_send(fds[i], "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for (int i = 0; i < MANY; i++)
        say(es_queue_pop(w->kept), 200, "each");
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(peer_read_one(fds[i], answer, sizeof answer), 200);
        (void)close(fds[i]);
    }
    assert_int_equal(es_http_server_stats(w->server).handled, MANY);
    world_end(w);
}

/* More than connections_max wait in the kernel until another one ends. */
static void bounds_connections(void **state)
{
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    opts.connections_max = 2;
    world *w = world_make(&opts);
    int first = peer_connect(w->port);
    int second = peer_connect(w->port);
    assert_true(peer_send(first, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(peer_send(second, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(peer_read_one(first, answer, sizeof answer), 200);
    assert_int_equal(peer_read_one(second, answer, sizeof answer), 200);
    int third = peer_connect(w->port);
    struct pollfd watched = {.fd = third, .events = POLLIN};
    assert_true(peer_send(third, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(poll(&watched, 1, 50), 0);
    assert_int_equal(es_http_server_stats(w->server).connections_open, 2);
    (void)close(first);
    assert_int_equal(peer_read_one(third, answer, sizeof answer), 200);
    (void)close(second);
    (void)close(third);
    world_end(w);
}

/* ---- stopping ---- */

typedef struct stopper {
    world *w;
    double grace_s;
} stopper;

static void *stop_it(void *context)
{
    stopper *given = context;
    es_http_server_stop(given->w->server, given->grace_s);
    return NULL;
}

static void stops_gracefully(void **state)
{
    pthread_t thread;
    (void)state;
    world *w = world_make(NULL);
    stopper given = {w, 30};
    int busy = peer_connect(w->port);
    int idle = peer_connect(w->port);
    assert_true(peer_send(idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(peer_read_one(idle, answer, sizeof answer), 200);
    assert_true(peer_send(busy, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"));
    es_http_request *request = es_queue_pop(w->kept);
    assert_int_equal(pthread_create(&thread, NULL, stop_it, &given), 0);
    assert_int_equal(peer_read_all(idle, answer, sizeof answer), 0); /* closed at once */
    say(request, 200, "last words");
    (void)peer_read_all(busy, answer, sizeof answer);
    expect(200, "last words");
    expect(200, "Connection: close");
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(busy);
    (void)close(idle);
    world_end(w);
}

static void stops_after_the_grace(void **state)
{
    (void)state;
    world *w = world_make(NULL);
    int kept = peer_connect(w->port);
    int streamed = peer_connect(w->port);
    int half = peer_connect(w->port);
    assert_true(peer_send(half, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"));
    assert_true(peer_send(streamed, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
    while (!atomic_load(&w->stream_begun))
        (void)sched_yield();
    assert_true(peer_send(kept, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"));
    es_http_request *request = es_queue_pop(w->kept);
    es_http_server_stop(w->server, 0.05);
    (void)peer_read_all(kept, answer, sizeof answer);
    expect(503, "503 Service Unavailable");
    expect(503, "the server is stopping");
    (void)peer_read_all(streamed, answer, sizeof answer);
    assert_null(strstr(answer, "0\r\n\r\n")); /* cut, and seen to be cut */
    (void)peer_read_all(half, answer, sizeof answer);
    es_http_request_wake(w->streaming); /* both still belong to the handlers */
    es_http_request_release(w->streaming);
    assert_int_equal(atomic_load(&w->released), 1); /* of the stream */
    say(request, 200, "too late");
    assert_int_equal(atomic_load(&w->released), 2);
    (void)close(kept);
    (void)close(streamed);
    (void)close(half);
    world_end(w);
}

/* Answers race with the end of the grace: each request ends in exactly one of both. */
static void races_answers_with_stop(void **state)
{
    enum { ROUNDS = 20, EACH = 16 };
    pthread_t thread;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int fds[EACH];
        es_http_request *requests[EACH];
        world *w = world_make(NULL);
        stopper given = {w, 0.001 * (round % 4)};
        for (int i = 0; i < EACH; i++) {
            fds[i] = peer_connect(w->port);
            assert_true(peer_send(fds[i], "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"));
            requests[i] = es_queue_pop(w->kept);
        }
        assert_int_equal(pthread_create(&thread, NULL, stop_it, &given), 0);
        for (int i = 0; i < EACH; i++)
            say(requests[i], 200, "in time?");
        assert_int_equal(pthread_join(thread, NULL), 0);
        for (int i = 0; i < EACH; i++) {
            (void)peer_read_all(fds[i], answer, sizeof answer);
            assert_true(strstr(answer, " 200 ") != NULL || strstr(answer, " 503 ") != NULL);
            assert_null(strstr(answer + 10, "HTTP/1.1"));
            (void)close(fds[i]);
        }
        assert_int_equal(atomic_load(&w->released), EACH);
        world_end(w);
    }
}

static void checks_options(void **state)
{
    const es_http_route good = {.method = ES_HTTP_GET, .path = "/", .handle = hello};
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_server *server = NULL;
    es_error err = {0};
    (void)state;
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_ARG, err, "routes=0");
    opts.routes = &good;
    opts.route_count = 1;
    opts.address = "localhost";
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_ARG, err, "in digits");
    opts.address = "192.0.2.1";
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_IO, err,
                 "cannot listen on 192.0.2.1");
    opts.address = "127.0.0.1";
    const es_http_token weak = {.text = "short"};
    opts.tokens = &weak;
    opts.token_count = 1;
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_ARG, err, "tokens[0]: 5");
    opts.token_count = 0;
    opts.tls.certificate_file = "/nowhere/c.pem";
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_ARG, err, "both");
    opts.tls.key_file = "/nowhere/k.pem";
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_IO, err, "/nowhere/c.pem");
    opts.tls = (es_http_tls){0};
    opts.receive_timeout_s = -1;
    assert_fails(es_http_server_init(opts, &server, &err), ES_ERR_ARG, err, "receive_timeout_s=-1");
    opts.receive_timeout_s = 1;
    assert_null(server);
    assert_ok_err(es_http_server_init(opts, &server, &err), err);
    opts.port = es_http_server_port(server);
    es_http_server *second = NULL;
    assert_fails(es_http_server_init(opts, &second, &err), ES_ERR_IO, err, "in use");
    es_http_server_done(server); /* never started */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_by_route),
        cmocka_unit_test(refuses_with_reason),
        cmocka_unit_test(refuses_long_heads),
        cmocka_unit_test(survives_garbage),
        cmocka_unit_test(keeps_connections_alive),
        cmocka_unit_test(answers_half_closed_clients),
        cmocka_unit_test(survives_aborted_clients),
        cmocka_unit_test(notices_clients_that_go),
        cmocka_unit_test(ends_streams_without_reader),
        cmocka_unit_test(ends_kept_connections_of_half_closed_clients),
        cmocka_unit_test(ends_slow_clients),
        cmocka_unit_test(ends_slow_handlers),
        cmocka_unit_test(bounds_bodies_together),
        cmocka_unit_test(streams_answers),
        cmocka_unit_test(serves_many_connections),
        cmocka_unit_test(data_behind_a_head_are_aligned),
        cmocka_unit_test(bounds_connections),
        cmocka_unit_test(stops_gracefully),
        cmocka_unit_test(stops_after_the_grace),
        cmocka_unit_test(races_answers_with_stop),
        cmocka_unit_test(checks_options),
    };
    cmocka_set_test_filter(getenv("ES_TEST_FILTER")); /* NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
