/* Calls on the loops of a server: a gateway's hop. */
#include "es_test.h"
#include "http/testing/http_calls.h"
#include "http/testing/http_peer.h"

typedef struct hop {
    es_http_server *server;
    es_http_caller *caller;
    es_http_peer *peer;
    _Atomic int called, cancelled, elsewhere;
} hop;

typedef struct crossing {
    hop *over;
    es_http_request *request;
    pthread_t thread;
} crossing;

static void pass_on(void *context, const es_http_result *result)
{
    crossing *c = context;
    atomic_fetch_add(&c->over->called, 1);
    if (result->end == ES_HTTP_END_CANCELLED)
        atomic_fetch_add(&c->over->cancelled, 1);
    if (pthread_equal(c->thread, pthread_self()) == 0)
        atomic_fetch_add(&c->over->elsewhere, 1);
    if (result->status != ES_OK)
        es_http_answer_fail(c->request, result->why);
    else
        es_http_answer_send(c->request,
                            &(es_http_answer){.status = result->reply.status,
                                              .body = result->reply.body,
                                              .body_bytes = result->reply.body_bytes,
                                              .release = es_http_body_free,
                                              .release_context = es_http_result_keep_body(result)});
    free(c);
}

static void send_on(void *context, es_http_request *request)
{
    crossing *c = calloc(1, sizeof *c);
    hop *h = context;
    es_error err = {0};
    assert_non_null(c);
    *c = (crossing){.over = h, .request = request, .thread = pthread_self()};
    es_http_call call = {.method = es_http_request_method(request),
                         .path = es_http_request_path(request),
                         .repeatable = true,
                         .called = pass_on,
                         .context = c};
    call.body = es_http_request_body(request, &call.body_bytes);
    if (es_http_call_send(h->peer, &call, NULL, &err) != ES_OK) {
        es_http_answer_fail(request, &err);
        free(c);
    }
}

static void hop_make(hop *h, uint16_t to, uint32_t loop_count)
{
    const es_http_route routes[] = {
        {.method = ES_HTTP_POST, .path = "/echo", .handle = send_on, .context = h},
        {.method = ES_HTTP_GET, .path = "/keep", .handle = send_on, .context = h},
    };
    es_http_server_opts opts = es_http_server_opts_default();
    es_error err = {0};
    opts.routes = routes;
    opts.route_count = 2;
    opts.loop_count = loop_count;
    assert_ok_err(es_http_server_init(opts, &h->server, &err), err);
    assert_ok_err(es_http_server_caller(h->server, es_http_caller_opts_default(), &h->caller, &err),
                  err);
    h->peer = peer_for(h->caller, to);
    assert_ok_err(es_http_server_start(h->server, &err), err);
}

static void hop_end(hop *h)
{
    es_http_server_done(h->server);
    es_http_peer_unref(h->peer);
}

static void hops_on_the_servers_loop(void **state)
{
    enum { CLIENTS = 20, EACH = 20 };
    static char answer[PEER_ANSWER_MAX];
    int fds[CLIENTS];
    hop h = {0};
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    hop_make(&h, port_of(w), 2);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = peer_connect(es_http_server_port(h.server));
    for (int round = 0; round < EACH; round++) {
        char request[128];
        for (int i = 0; i < CLIENTS; i++) {
            (void)snprintf(request, sizeof request,
                           "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n%04d%04d",
                           round, i);
            assert_true(peer_send(fds[i], request));
        }
        for (int i = 0; i < CLIENTS; i++) {
            (void)snprintf(request, sizeof request, "\r\n\r\n%04d%04d", round, i);
            assert_int_equal(peer_read_one(fds[i], answer, sizeof answer), 200);
            if (strstr(answer, request) == NULL)
                fail_msg("no '%s' in: %s", request, answer);
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        (void)close(fds[i]);
    assert_int_equal(atomic_load(&h.called), CLIENTS * EACH);
    assert_int_equal(atomic_load(&h.elsewhere), 0);
    /* From outside the calls go to the loops in turn. */
    noted n[2] = {0};
    (void)post(h.peer, &n[0], "outside");
    (void)post(h.peer, &n[1], "outside");
    while (atomic_load(&n[0].times) + atomic_load(&n[1].times) < 2)
        (void)sched_yield();
    assert_string_equal(n[0].text, "outside");
    assert_false(pthread_equal(n[0].thread, n[1].thread));
    hop_end(&h);
    world_end(w);
}

static void stops_with_calls_under_way(void **state)
{
    static char answer[PEER_ANSWER_MAX];
    hop h = {0};
    noted n = {0};
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    hop_make(&h, port_of(w), 1);
    int fd = peer_connect(es_http_server_port(h.server));
    assert_true(peer_send(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"));
    es_http_request *request = es_queue_pop(w->kept); /* the call is under way */
    (void)get(h.peer, &n, 0, true);
    es_http_request *other = es_queue_pop(w->kept);
    es_http_server_stop(h.server, 0.05);
    (void)peer_read_all(fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "503 Service Unavailable"));
    assert_int_equal(atomic_load(&h.called), 1);
    assert_int_equal(atomic_load(&h.cancelled), 1);
    assert_int_equal(atomic_load(&n.times), 1);
    assert_int_equal(n.end, ES_HTTP_END_CANCELLED);
    es_http_call late = {.method = ES_HTTP_GET, .path = "/keep", .called = note, .context = &n};
    es_error err = {0};
    assert_fails(es_http_call_send(h.peer, &late, NULL, &err), ES_ERR_UNAVAILABLE, err, "ended");
    es_http_answer_error(request, 500, "to nobody");
    es_http_answer_error(other, 500, "to nobody");
    (void)close(fd);
    hop_end(&h);
    world_end(w);
}

/* Never started: what was sent still ends. */
static void ends_calls_of_a_server_that_never_ran(void **state)
{
    const es_http_route route = {.method = ES_HTTP_POST, .path = "/echo", .handle = echo};
    es_http_server_opts opts = es_http_server_opts_default();
    es_http_server *server = NULL;
    es_http_caller *caller = NULL;
    es_http_caller *second = NULL;
    es_error err = {0};
    noted n = {0};
    (void)state;
    opts.routes = &route;
    opts.route_count = 1;
    assert_ok_err(es_http_server_init(opts, &server, &err), err);
    assert_ok_err(es_http_server_caller(server, es_http_caller_opts_default(), &caller, &err), err);
    assert_fails(es_http_server_caller(server, es_http_caller_opts_default(), &second, &err),
                 ES_ERR_ARG, err, "one caller");
    es_http_peer *peer = peer_for(caller, 9);
    (void)post(peer, &n, "x");
    es_http_peer_unref(peer);
    es_http_server_done(server);
    assert_int_equal(atomic_load(&n.times), 1);
    assert_int_equal(n.end, ES_HTTP_END_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hops_on_the_servers_loop),
        cmocka_unit_test(stops_with_calls_under_way),
        cmocka_unit_test(ends_calls_of_a_server_that_never_ran),
    };
    cmocka_set_test_filter(getenv("ES_TEST_FILTER")); /* NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
