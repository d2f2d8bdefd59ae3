/* Calls whose end is noted, and a server of ours to call, for tests. */
#ifndef ES_HTTP_CALLS_H
#define ES_HTTP_CALLS_H

#include "base/clock.h"
#include "base/queue.h"
#include "http/http.h"

#include <pthread.h>
#include <stdatomic.h>

/* What one call came to. */
typedef struct noted {
    _Atomic int times;
    es_http_end end;
    es_status status;
    int http_status;
    bool reused;
    size_t body_bytes;
    char text[ES_ERROR_SIZE]; /* the error, or how the body begins */
    pthread_t thread;
} noted;

static inline void note(void *context, const es_http_result *result)
{
    noted *n = context;
    n->end = result->end;
    n->status = result->status;
    n->http_status = result->reply.status;
    n->reused = result->reply.reused;
    n->body_bytes = result->reply.body_bytes;
    n->thread = pthread_self();
    (void)snprintf(n->text, sizeof n->text, "%s",
                   result->status != ES_OK ? es_error_text(result->why)
                                           : (const char *)result->reply.body);
    atomic_fetch_add(&n->times, 1);
}

/* ---- a server of ours ---- */

typedef struct world {
    es_http_server *server;
    es_queue *kept;
} world;

static inline void echo(void *context, es_http_request *request)
{
    size_t size = 0;
    const void *body = es_http_request_body(request, &size);
    (void)context;
    es_http_answer_send(request,
                        &(es_http_answer){.status = 200, .body = body, .body_bytes = size});
}

static inline void keep(void *context, es_http_request *request)
{
    world *w = context;
    assert_true(es_queue_try_push(w->kept, request));
}

static inline world *world_make(es_http_server_opts opts)
{
    world *w = calloc(1, sizeof *w);
    es_error err = {0};
    assert_non_null(w);
    const es_http_route routes[] = {
        {.method = ES_HTTP_POST, .path = "/echo", .handle = echo},
        {.method = ES_HTTP_GET, .path = "/keep", .handle = keep, .context = w},
    };
    assert_ok(es_queue_new(1024, &w->kept, &err));
    opts.routes = routes;
    opts.route_count = 2;
    assert_ok_err(es_http_server_init(opts, &w->server, &err), err);
    assert_ok_err(es_http_server_start(w->server, &err), err);
    return w;
}

static inline void answer_kept(world *w)
{
    es_http_request *left = NULL;
    while ((left = es_queue_try_pop(w->kept)) != NULL)
        es_http_answer_error(left, 500, "to nobody");
}

static inline void world_end(world *w)
{
    answer_kept(w);
    es_http_server_done(w->server);
    answer_kept(w); /* those that were still on their way in */
    es_queue_free(w->kept);
    free(w);
}

static inline uint16_t port_of(const world *w)
{
    return es_http_server_port(w->server);
}

/* ---- calling ---- */

static inline es_http_caller *caller_make(bool by_hand)
{
    es_http_caller_opts opts = es_http_caller_opts_default();
    es_http_caller *caller = NULL;
    es_error err = {0};
    opts.by_hand = by_hand;
    assert_ok_err(es_http_caller_new(opts, &caller, &err), err);
    return caller;
}

static inline es_http_peer *peer_with(es_http_caller *caller, uint16_t port, es_http_peer_opts opts)
{
    char url[64];
    es_http_peer *peer = NULL;
    es_error err = {0};
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u", opts.ca_file != NULL ? "https" : "http",
                   (unsigned)port);
    opts.url = url;
    assert_ok_err(es_http_peer_new(caller, opts, &peer, &err), err);
    return peer;
}

static inline es_http_peer *peer_for(es_http_caller *caller, uint16_t port)
{
    return peer_with(caller, port, es_http_peer_opts_default());
}

static inline es_http_call_id post(es_http_peer *peer, noted *n, const char *body)
{
    es_http_call_id id = {0};
    es_error err = {0};
    es_http_call call = {.method = ES_HTTP_POST,
                         .path = "/echo",
                         .body = body,
                         .body_bytes = strlen(body),
                         .called = note,
                         .context = n};
    assert_ok_err(es_http_call_send(peer, &call, &id, &err), err);
    return id;
}

static inline es_http_call_id get(es_http_peer *peer, noted *n, double timeout_s, bool repeatable)
{
    es_http_call_id id = {0};
    es_error err = {0};
    es_http_call call = {.method = ES_HTTP_GET,
                         .path = "/keep",
                         .timeout_s = timeout_s,
                         .repeatable = repeatable,
                         .called = note,
                         .context = n};
    assert_ok_err(es_http_call_send(peer, &call, &id, &err), err);
    return id;
}

/* By hand, until the call has ended; fails the test after 10 s. */
static inline void finish(es_http_caller *caller, noted *n)
{
    es_clock *clock = es_clock_system();
    int64_t limit_ns = es_clock_now_ns(clock) + 10 * ES_NS_PER_S;
    while (atomic_load(&n->times) == 0 && es_clock_now_ns(clock) < limit_ns)
        es_http_caller_run(caller, limit_ns);
    if (atomic_load(&n->times) != 1)
        fail_msg("the call ended %d times", atomic_load(&n->times));
}

static inline void expect_end(es_http_caller *caller, noted *n, es_http_end end, const char *words)
{
    finish(caller, n);
    if (n->end != end || strstr(n->text, words) == NULL)
        fail_msg("end %d, wanted %d with '%s': %s", (int)n->end, (int)end, words, n->text);
}

#endif
