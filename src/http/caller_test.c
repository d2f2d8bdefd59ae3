/* Many calls at once, against servers and peers of every kind, over loopback. */
#include "base/rng.h"
#include "calling.h"
#include "es_test.h"
#include "http/testing/http_calls.h"
#include "http/testing/http_certificates.h"
#include "http/testing/http_script.h"

#include <netdb.h>

static char folder[] = "/tmp/http_caller_test_XXXXXX";

/* ---- the good case ---- */

static void calls_many_peers_at_once(void **state)
{
    enum { PEERS = 4, EACH = 100 };
    static noted notes[PEERS][EACH];
    static char bodies[PEERS][EACH][32];
    world *worlds[PEERS];
    es_http_peer *peers[PEERS];
    es_http_peer_opts opts = es_http_peer_opts_default();
    (void)state;
    es_http_caller *caller = caller_make(false);
    opts.connections_max = 5;
    for (size_t p = 0; p < PEERS; p++) {
        worlds[p] = world_make(es_http_server_opts_default());
        peers[p] = peer_with(caller, port_of(worlds[p]), opts);
    }
    for (size_t i = 0; i < EACH; i++) {
        for (size_t p = 0; p < PEERS; p++) {
            (void)snprintf(bodies[p][i], sizeof bodies[p][i], "to %zu, call %zu", p, i);
            (void)post(peers[p], &notes[p][i], bodies[p][i]);
        }
    }
    while (es_http_caller_count(caller) > 0)
        (void)sched_yield();
    for (size_t p = 0; p < PEERS; p++) {
        for (size_t i = 0; i < EACH; i++) {
            assert_int_equal(atomic_load(&notes[p][i].times), 1);
            assert_string_equal(notes[p][i].text, bodies[p][i]);
        }
        assert_in_range(es_http_server_stats(worlds[p]->server).connections, 1, 5);
        es_http_peer_unref(peers[p]);
    }
    es_http_caller_free(caller);
    for (size_t p = 0; p < PEERS; p++)
        world_end(worlds[p]);
}

static void keeps_one_connection(void **state)
{
    static char large[1 << 20];
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    es_http_caller *caller = caller_make(true);
    es_http_peer *peer = peer_for(caller, port_of(w));
    memset(large, 'y', sizeof large - 1);
    for (int i = 0; i < 50; i++) {
        noted n = {0};
        (void)post(peer, &n, i % 10 == 9 ? large : i % 10 == 8 ? "" : "small");
        expect_end(caller, &n, ES_HTTP_END_REPLY, i % 10 == 9 ? "yyy" : i % 10 == 8 ? "" : "small");
        assert_int_equal(n.body_bytes, i % 10 == 9 ? sizeof large - 1 : i % 10 == 8 ? 0 : 5);
        assert_int_equal(n.reused, i > 0);
    }
    assert_int_equal(es_http_server_stats(w->server).connections, 1);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    world_end(w);
}

/* One handle serves peers in turn: nothing of one may leak into a call to another. */
static void keeps_peers_apart(void **state)
{
    es_http_peer_opts opts = es_http_peer_opts_default();
    static const es_http_token TOKEN = {"0123456789abcdef", 1};
    const es_http_route route = {
        .method = ES_HTTP_POST, .path = "/echo", .handle = echo, .roles = 1};
    es_http_server_opts guarded = es_http_server_opts_default();
    es_http_server *server = NULL;
    es_error err = {0};
    (void)state;
    guarded.routes = &route;
    guarded.route_count = 1;
    guarded.tokens = &TOKEN;
    guarded.token_count = 1;
    assert_ok_err(es_http_server_init(guarded, &server, &err), err);
    assert_ok_err(es_http_server_start(server, &err), err);
    es_http_caller *caller = caller_make(true);
    es_http_peer *stranger = peer_with(caller, es_http_server_port(server), opts);
    opts.token = TOKEN.text;
    es_http_peer *known = peer_with(caller, es_http_server_port(server), opts);
    for (int i = 0; i < 6; i++) {
        noted n = {0};
        (void)post(i % 2 == 0 ? known : stranger, &n, "x");
        finish(caller, &n);
        assert_int_equal(n.http_status, i % 2 == 0 ? 200 : 401);
    }
    es_http_peer_unref(stranger);
    es_http_peer_unref(known);
    es_http_caller_free(caller);
    es_http_server_done(server);
}

/* ---- peers that are not there, or slow ---- */

static void tells_dead_peers(void **state)
{
    noted dead = {0};
    noted good = {0};
    script gone;
    (void)state;
    script_start(&gone, NULL);
    script_stop(&gone);
    world *w = world_make(es_http_server_opts_default());
    es_http_caller *caller = caller_make(true);
    es_http_peer *nobody = peer_for(caller, gone.port);
    es_http_peer *somebody = peer_for(caller, port_of(w));
    (void)post(nobody, &dead, "x");
    (void)post(somebody, &good, "x");
    expect_end(caller, &dead, ES_HTTP_END_UNREACHED, "POST http://127.0.0.1");
    assert_int_equal(dead.status, ES_ERR_UNAVAILABLE);
    expect_end(caller, &good, ES_HTTP_END_REPLY, "x");
    es_http_peer_unref(nobody);
    es_http_peer_unref(somebody);
    es_http_caller_free(caller);
    world_end(w);
}

/* A full queue of the kernel: nobody says no to a new connection, and nobody says yes. */
static void gives_up_connecting(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    es_http_peer_opts opts = es_http_peer_opts_default();
    int fillers[4];
    noted n = {0};
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    es_http_caller *caller = caller_make(true);
    opts.connect_timeout_s = 0.05;
    es_http_peer *peer = peer_with(caller, ntohs(address.sin_port), opts);
    (void)get(peer, &n, 0, true);
    expect_end(caller, &n, ES_HTTP_END_UNREACHED, " after 5"); /* 50 ms, or a few more */
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    for (int i = 0; i < 4; i++)
        (void)close(fillers[i]);
    (void)close(fd);
}

/* The resolver's threads come here instead of the system's: nobody knows any name, and saying so
 * takes a while. */
static _Atomic int asked, told;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    es_clock *clock = es_clock_system();
    (void)node;
    (void)service;
    (void)hints;
    (void)out;
    atomic_fetch_add(&asked, 1);
    es_clock_sleep_until_ns(clock, es_clock_now_ns(clock) + ES_NS_PER_S);
    atomic_fetch_add(&told, 1);
    return EAI_NONAME;
}

/* The call ends by its time limit, and the loop does not wait for the name: others go on. */
static void does_not_wait_for_names(void **state)
{
    noted slow = {0};
    noted good = {0};
    es_http_peer_opts opts = es_http_peer_opts_default();
    es_http_peer *peer = NULL;
    es_error err = {0};
    es_clock *clock = es_clock_system();
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    es_http_caller *caller = caller_make(true);
    es_http_peer *other = peer_for(caller, port_of(w));
    opts.url = "http://slow.test:8000";
    assert_ok_err(es_http_peer_new(caller, opts, &peer, &err), err);
    int64_t start_ns = es_clock_now_ns(clock);
    (void)get(peer, &slow, 0.05, true);
    expect_end(caller, &slow, ES_HTTP_END_LATE, "timed out after 0.05 s");
    (void)post(other, &good, "meanwhile");
    expect_end(caller, &good, ES_HTTP_END_REPLY, "meanwhile");
    assert_true(es_clock_now_ns(clock) - start_ns < 800 * ES_NS_PER_MS);
    es_http_peer_unref(peer);
    es_http_peer_unref(other);
    es_http_caller_free(caller);
    while (atomic_load(&told) < atomic_load(&asked)) /* its thread is not joined */
        (void)sched_yield();
    world_end(w);
}

static void keeps_deadlines(void **state)
{
    noted running = {0};
    noted waiting = {0};
    noted next = {0};
    es_http_peer_opts opts = es_http_peer_opts_default();
    es_clock *clock = es_clock_system();
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    es_http_caller *caller = caller_make(true);
    opts.connections_max = 1;
    es_http_peer *peer = peer_with(caller, port_of(w), opts);
    int64_t start_ns = es_clock_now_ns(clock);
    (void)get(peer, &running, 0.1, true);
    (void)get(peer, &waiting, 0.05, true);
    (void)post(peer, &next, "after them");
    expect_end(caller, &waiting, ES_HTTP_END_LATE, "timed out after 0.05 s");
    assert_int_equal(atomic_load(&running.times), 0);
    expect_end(caller, &running, ES_HTTP_END_LATE, "GET http://127.0.0.1");
    int64_t took_ns = es_clock_now_ns(clock) - start_ns;
    assert_true(took_ns >= 100 * ES_NS_PER_MS);
    expect_end(caller, &next, ES_HTTP_END_REPLY, "after them"); /* on a connection of its own */
    assert_false(next.reused);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    world_end(w);
}

/* Of many calls to a slow peer only as many wait as may; other peers are served meanwhile. */
static void bounds_what_waits(void **state)
{
    noted slow[5] = {0};
    noted good = {0};
    es_http_peer_opts opts = es_http_peer_opts_default();
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    world *other = world_make(es_http_server_opts_default());
    es_http_caller *caller = caller_make(true);
    opts.connections_max = 2;
    opts.waiting_max = 2;
    es_http_peer *peer = peer_with(caller, port_of(w), opts);
    es_http_peer *quick = peer_for(caller, port_of(other));
    for (size_t i = 0; i < 5; i++)
        (void)get(peer, &slow[i], 0, true);
    expect_end(caller, &slow[4], ES_HTTP_END_REFUSED, "2 calls wait for one of 2 connections");
    (void)post(quick, &good, "quick");
    expect_end(caller, &good, ES_HTTP_END_REPLY, "quick");
    for (size_t i = 0; i < 4; i++) {
        es_http_request *request = NULL;
        while ((request = es_queue_try_pop(w->kept)) == NULL)
            es_http_caller_run(caller, 0);
        es_http_answer_send(request, &(es_http_answer){.status = 204});
    }
    for (size_t i = 0; i < 4; i++)
        expect_end(caller, &slow[i], ES_HTTP_END_REPLY, "");
    assert_int_equal(es_http_server_stats(w->server).connections, 2);
    es_http_peer_unref(peer);
    es_http_peer_unref(quick);
    es_http_caller_free(caller);
    world_end(w);
    world_end(other);
}

static void bounds_calls(void **state)
{
    noted notes[3] = {0};
    es_http_caller_opts opts = es_http_caller_opts_default();
    es_http_caller *caller = NULL;
    es_error err = {0};
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    opts.calls_max = 2;
    assert_ok_err(es_http_caller_new(opts, &caller, &err), err);
    es_http_peer *peer = peer_for(caller, port_of(w));
    (void)get(peer, &notes[0], 0, true);
    (void)get(peer, &notes[1], 0, true);
    es_http_call third = {.method = ES_HTTP_GET, .path = "/keep", .called = note};
    assert_fails(es_http_call_send(peer, &third, NULL, &err), ES_ERR_UNAVAILABLE, err,
                 "2 calls are under way");
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(atomic_load(&notes[i].times), 1);
        assert_int_equal(notes[i].end, ES_HTTP_END_CANCELLED);
    }
    world_end(w);
}

/* ---- cancelling ---- */

static void cancels(void **state)
{
    noted running = {0};
    noted waiting = {0};
    noted good = {0};
    es_http_peer_opts opts = es_http_peer_opts_default();
    (void)state;
    world *w = world_make(es_http_server_opts_default());
    es_http_caller *caller = caller_make(true);
    opts.connections_max = 1;
    es_http_peer *peer = peer_with(caller, port_of(w), opts);
    es_http_call_id first = get(peer, &running, 0, true);
    es_http_call_id second = get(peer, &waiting, 0, true);
    es_http_call_cancel(caller, second);
    expect_end(caller, &waiting, ES_HTTP_END_CANCELLED, "/keep: cancelled");
    assert_int_equal(waiting.status, ES_ERR_CANCELLED);
    es_http_call_cancel(caller, first);
    expect_end(caller, &running, ES_HTTP_END_CANCELLED, "cancelled");
    es_http_call_id third = post(peer, &good, "x");
    es_http_call_cancel(caller, first); /* ended; its place is another call's now */
    es_http_call_cancel(caller, (es_http_call_id){0});
    es_http_call_cancel(caller, (es_http_call_id){UINT64_MAX});
    expect_end(caller, &good, ES_HTTP_END_REPLY, "x");
    es_http_call_cancel(caller, third);
    es_http_caller_run(caller, 0);
    assert_int_equal(atomic_load(&good.times), 1);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    world_end(w);
}

/* ---- replies that are not whole, or too large ---- */

static void send_bad(int fd, int number)
{
    static const char *const REPLIES[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", /* and an end */
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", /* and a reset */
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n"
        "0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567890123\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    if (!script_read(fd))
        return;
    (void)peer_send(fd, REPLIES[number]);
    if (number == 1) {
        char seen;
        script_reset(fd);
        /* the client reads first; then the reset must not overtake */
        (void)recv(fd, &seen, 1, MSG_PEEK | MSG_DONTWAIT);
    }
    if (number == 4) /* the client leaves first: it knows enough */
        (void)script_read(fd);
}

static void tells_bad_replies(void **state)
{
    static const struct {
        es_http_end end;
        const char *words;
    } ROWS[] = {
        {ES_HTTP_END_BROKEN, "POST http://"}, {ES_HTTP_END_BROKEN, "POST http://"},
        {ES_HTTP_END_BROKEN, "POST http://"}, {ES_HTTP_END_BROKEN, "POST http://"},
        {ES_HTTP_END_OVERSIZE, "than 100"},   {ES_HTTP_END_OVERSIZE, "than 100"},
        {ES_HTTP_END_BROKEN, "POST http://"},
    };
    es_http_peer_opts opts = es_http_peer_opts_default();
    script bad;
    (void)state;
    script_start(&bad, send_bad);
    es_http_caller *caller = caller_make(true);
    opts.body_bytes_max = 100;
    opts.timeout_s = 5;
    es_http_peer *peer = peer_with(caller, bad.port, opts);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        noted n = {0};
        (void)post(peer, &n, "abc");
        expect_end(caller, &n, ROWS[i].end, ROWS[i].words);
        assert_int_equal(n.status,
                         n.end == ES_HTTP_END_OVERSIZE ? ES_ERR_LIMIT : ES_ERR_UNAVAILABLE);
    }
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    script_stop(&bad);
}

static void send_many_headers(int fd, int number)
{
    char line[64];
    if (!script_read(fd))
        return;
    (void)peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    for (int i = 0; i < 200; i++) {
        (void)snprintf(line, sizeof line, "X-%d: %s\r\n", i, number == 0 ? "" : "0123456789");
        (void)peer_send(fd, line);
    }
    (void)peer_send(fd, "\r\n");
}

static void bounds_headers(void **state)
{
    es_http_peer_opts opts = es_http_peer_opts_default();
    noted lines = {0};
    noted bytes = {0};
    script bad;
    (void)state;
    script_start(&bad, send_many_headers);
    es_http_caller *caller = caller_make(true);
    es_http_peer *peer = peer_with(caller, bad.port, opts);
    (void)post(peer, &lines, "");
    expect_end(caller, &lines, ES_HTTP_END_OVERSIZE, "lines of headers are more than 64");
    es_http_peer_unref(peer);
    opts.header_bytes_max = 500;
    peer = peer_with(caller, bad.port, opts);
    (void)post(peer, &bytes, "");
    expect_end(caller, &bytes, ES_HTTP_END_OVERSIZE, "bytes of headers are more than 500");
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    script_stop(&bad);
}

/* ---- kept connections that end ---- */

/* The first connections read a second request and end without a word; later ones answer. */
static int faithless_count;

static void be_faithless(int fd, int number)
{
    for (int i = 0; script_read(fd); i++) {
        if (i == 1 && number < faithless_count)
            return;
        if (i == 0 && number > 0 && number < faithless_count)
            return;
        (void)peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    }
}

static void repeats_once_and_only_what_may_be(void **state)
{
    (void)state;
    for (int row = 0; row < 3; row++) {
        bool repeatable = row > 0;
        noted first = {0};
        noted second = {0};
        script bad;
        faithless_count = row == 2 ? 2 : 1;
        script_start(&bad, be_faithless);
        es_http_caller *caller = caller_make(true);
        es_http_peer *peer = peer_for(caller, bad.port);
        (void)get(peer, &first, 0, repeatable);
        expect_end(caller, &first, ES_HTTP_END_REPLY, "hi");
        (void)get(peer, &second, 0, repeatable);
        if (row == 0)
            expect_end(caller, &second, ES_HTTP_END_BROKEN, "is not repeatable");
        else if (row == 1)
            expect_end(caller, &second, ES_HTTP_END_REPLY, "hi");
        else
            expect_end(caller, &second, ES_HTTP_END_BROKEN, "/keep: ");
        es_http_peer_unref(peer);
        es_http_caller_free(caller);
        script_stop(&bad);
        assert_in_range(atomic_load(&bad.connections), row == 0 ? 1 : 2, 2);
    }
}

static void answer_once(int fd, int number)
{
    (void)number;
    if (script_read(fd))
        (void)peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

/* The end of a resting connection is seen before a call is sent over it, however often. */
static void sees_that_a_kept_connection_has_ended(void **state)
{
    script once;
    (void)state;
    script_start(&once, answer_once);
    es_http_caller *caller = caller_make(true);
    es_http_peer *peer = peer_for(caller, once.port);
    for (int i = 0; i < 10; i++) {
        noted n = {0};
        es_clock *clock = es_clock_system();
        (void)get(peer, &n, 0, false);
        expect_end(caller, &n, ES_HTTP_END_REPLY, "hi");
        /* until its end has come over loopback */
        while (i == 0 && atomic_load(&once.connections) < 1)
            (void)sched_yield();
        es_http_caller_run(caller, es_clock_now_ns(clock) + 20 * ES_NS_PER_MS);
    }
    assert_int_equal(atomic_load(&once.connections), 10);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
    script_stop(&once);
}

/* ---- TLS ---- */

static void speaks_tls(void **state)
{
    certificate authority, stranger, server_pair, client_pair;
    es_http_server_opts opts = es_http_server_opts_default();
    (void)state;
    assert_non_null(mkdtemp(folder));
    certificate_make(&authority, folder, "authority", NULL);
    certificate_make(&stranger, folder, "stranger", NULL);
    certificate_make(&server_pair, folder, "server", &authority);
    certificate_make(&client_pair, folder, "client", &authority);
    opts.tls.certificate_file = server_pair.certificate_file;
    opts.tls.key_file = server_pair.key_file;
    opts.tls.client_ca_file = authority.certificate_file;
    world *w = world_make(opts);
    es_http_caller *caller = caller_make(true);
    es_http_peer_opts shown = es_http_peer_opts_default();
    shown.ca_file = authority.certificate_file;
    es_http_peer_opts anonymous = shown;
    es_http_peer_opts fooled = shown;
    fooled.ca_file = stranger.certificate_file;
    shown.certificate_file = client_pair.certificate_file;
    shown.key_file = client_pair.key_file;
    es_http_peer_opts wrong = shown;
    wrong.certificate_file = "/nowhere/c.pem";
    es_http_peer *peers[] = {
        peer_with(caller, port_of(w), shown), peer_with(caller, port_of(w), anonymous),
        peer_with(caller, port_of(w), fooled), peer_with(caller, port_of(w), wrong)};
    /* in turns, so that no connection of one is taken for another */
    for (int i = 0; i < 8; i++) {
        noted n = {0};
        (void)post(peers[i % 4], &n, "secret");
        finish(caller, &n);
        if (i % 4 == 0)
            assert_string_equal(n.text, "secret");
        else if (i % 4 == 1)
            assert_int_equal(n.http_status, 403);
        else
            assert_int_equal(n.end, ES_HTTP_END_UNREACHED);
        assert_int_equal(n.reused, i % 4 < 2 && i >= 4);
    }
    for (int i = 0; i < 4; i++)
        es_http_peer_unref(peers[i]);
    es_http_caller_free(caller);
    world_end(w);
    certificate *all[] = {&authority, &stranger, &server_pair, &client_pair};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        certificate_done(all[i]);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- from many threads, ended in every way ---- */

enum { STORM_THREADS = 4, STORM_EACH = 250 };

typedef struct storm {
    es_http_caller *caller;
    es_http_peer **peers;
    uint64_t seed;
    noted notes[STORM_EACH];
    size_t sent;
} storm;

static void *rage(void *context)
{
    storm *s = context;
    es_rng rng = es_rng_make(s->seed, 0);
    es_http_call_id ids[STORM_EACH] = {0};
    for (size_t i = 0; i < STORM_EACH; i++) {
        bool kept = es_rng_below(&rng, 2) == 0;
        es_http_call call = {.method = kept ? ES_HTTP_GET : ES_HTTP_POST,
                             .path = kept ? "/keep" : "/echo",
                             .body = kept ? NULL : "storm",
                             .body_bytes = kept ? 0 : 5,
                             .timeout_s = 0.001 * (double)(1 + es_rng_below(&rng, 30)),
                             .repeatable = es_rng_below(&rng, 2) == 0,
                             .called = note,
                             .context = &s->notes[s->sent]};
        if (es_http_call_send(s->peers[es_rng_below(&rng, 3)], &call, &ids[s->sent], NULL) == ES_OK)
            s->sent++;
        if (s->sent > 0 && es_rng_below(&rng, 3) == 0)
            es_http_call_cancel(s->caller, ids[es_rng_below(&rng, s->sent)]);
    }
    return NULL;
}

static void ends_every_call_once(void **state)
{
    uint64_t seed = es_test_seed(1);
    es_http_caller_opts opts = es_http_caller_opts_default();
    es_http_peer_opts narrow = es_http_peer_opts_default();
    es_error err = {0};
    (void)state;
    print_message("ES_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < 3; round++) {
        pthread_t threads[STORM_THREADS];
        storm *storms = calloc(STORM_THREADS, sizeof *storms);
        world *w = world_make(es_http_server_opts_default());
        es_http_caller *caller = NULL;
        assert_non_null(storms);
        opts.calls_max = 200;
        assert_ok_err(es_http_caller_new(opts, &caller, &err), err);
        narrow.connections_max = 3;
        narrow.waiting_max = 30;
        es_http_peer *peers[] = {peer_for(caller, port_of(w)),
                                 peer_with(caller, port_of(w), narrow), peer_for(caller, 9)};
        for (size_t t = 0; t < STORM_THREADS; t++) {
            storms[t].caller = caller;
            storms[t].peers = peers;
            storms[t].seed = seed + (uint64_t)round * STORM_THREADS + t;
            assert_int_equal(pthread_create(&threads[t], NULL, rage, &storms[t]), 0);
        }
        for (size_t t = 0; t < STORM_THREADS; t++)
            assert_int_equal(pthread_join(threads[t], NULL), 0);
        for (size_t i = 0; i < 3; i++)
            es_http_peer_unref(peers[i]);
        if (round > 0) /* the first time its end cuts what is under way */
            while (es_http_caller_count(caller) > 0)
                (void)sched_yield();
        es_http_caller_free(caller);
        for (size_t t = 0; t < STORM_THREADS; t++) {
            for (size_t i = 0; i < STORM_EACH; i++)
                assert_int_equal(atomic_load(&storms[t].notes[i].times), i < storms[t].sent);
        }
        free(storms);
        world_end(w);
    }
}

/* ---- options and calls that are wrong ---- */

static void checks_options(void **state)
{
    es_http_caller_opts opts = es_http_caller_opts_default();
    es_http_caller *caller = NULL;
    es_http_peer *peer = NULL;
    es_error err = {0};
    (void)state;
    opts.calls_max = 0;
    assert_fails(es_http_caller_new(opts, &caller, &err), ES_ERR_ARG, err, "calls_max=0");
    opts.calls_max = 1;
    opts.idle_timeout_s = 0;
    assert_fails(es_http_caller_new(opts, &caller, &err), ES_ERR_ARG, err, "idle_timeout_s=0");
    assert_null(caller);
    caller = caller_make(true);
    es_http_peer_opts peer_opts = es_http_peer_opts_default();
    static const char *const URLS[] = {NULL, "x", "http://", "http://a/b", "http://u@h", "ftp://h"};
    for (size_t i = 0; i < sizeof URLS / sizeof URLS[0]; i++) {
        peer_opts.url = URLS[i];
        assert_fails(es_http_peer_new(caller, peer_opts, &peer, &err), ES_ERR_ARG, err, "url '");
    }
    peer_opts.url = "http://127.0.0.1:9";
    peer_opts.connections_max = 0;
    assert_fails(es_http_peer_new(caller, peer_opts, &peer, &err), ES_ERR_ARG, err,
                 "connections_max=0");
    peer = peer_for(caller, 9);
    es_http_call call = {.method = ES_HTTP_GET, .path = "/a", .called = note};
    es_http_call bad = call;
    bad.path = "a";
    assert_fails(es_http_call_send(peer, &bad, NULL, &err), ES_ERR_ARG, err, "path 'a'");
    bad.path = "/a b";
    assert_fails(es_http_call_send(peer, &bad, NULL, &err), ES_ERR_ARG, err, "path '/a b'");
    bad = call;
    bad.called = NULL;
    assert_fails(es_http_call_send(peer, &bad, NULL, &err), ES_ERR_ARG, err, "callback");
    bad = call;
    bad.timeout_s = -1;
    assert_fails(es_http_call_send(peer, &bad, NULL, &err), ES_ERR_ARG, err, "timeout_s=-1");
    const es_http_header split = {"X", "a\r\nY: b"};
    bad = call;
    bad.headers = &split;
    bad.header_count = 1;
    assert_fails(es_http_call_send(peer, &bad, NULL, &err), ES_ERR_ARG, err, "headers[0]");
    bad.header_count = ES_HTTP_HEADERS_MAX + 1;
    assert_fails(es_http_call_send(peer, &bad, NULL, &err), ES_ERR_ARG, err, "65 headers");
    assert_int_equal(es_http_caller_count(caller), 0);
    es_http_peer_unref(peer);
    es_http_caller_free(caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_many_peers_at_once),
        cmocka_unit_test(keeps_one_connection),
        cmocka_unit_test(keeps_peers_apart),
        cmocka_unit_test(tells_dead_peers),
        cmocka_unit_test(gives_up_connecting),
        cmocka_unit_test(does_not_wait_for_names),
        cmocka_unit_test(keeps_deadlines),
        cmocka_unit_test(bounds_what_waits),
        cmocka_unit_test(bounds_calls),
        cmocka_unit_test(cancels),
        cmocka_unit_test(tells_bad_replies),
        cmocka_unit_test(bounds_headers),
        cmocka_unit_test(repeats_once_and_only_what_may_be),
        cmocka_unit_test(sees_that_a_kept_connection_has_ended),
        cmocka_unit_test(speaks_tls),
        cmocka_unit_test(ends_every_call_once),
        cmocka_unit_test(checks_options),
    };
    cmocka_set_test_filter(getenv("ES_TEST_FILTER")); /* NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
