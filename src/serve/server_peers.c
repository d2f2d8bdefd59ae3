/* Whom a node may send requests to: told by the controller, sealed, counted, swapped as a whole.
 * Requests hold the ones they were sent by. */
#include "base/clock.h"
#include "route/route.h"
#include "server.h"

#include <math.h>

enum { PEERS_BYTES_MAX = 64 << 20 };

typedef struct es_server_peer {
    es_http_peer *http;
    es_hop_link link;
} es_server_peer;

struct es_server_peers {
    _Atomic size_t references;
    es_arena *arena;
    size_t count;
    const es_serve_peer *given;
    es_server_peer *peers; /* [count] */
};

/* ---- life ---- */

void es_server_peers_unref(es_server_peers *peers)
{
    if (peers == NULL || atomic_fetch_sub(&peers->references, 1) != 1)
        return;
    for (size_t i = 0; peers->peers != NULL && i < peers->count; i++) {
        es_http_peer_unref(peers->peers[i].http);
        es_hop_link_done(&peers->peers[i].link);
    }
    es_arena_free(peers->arena);
    free(peers);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* As it was told before: its connections are kept. */
static es_server_peer *known(const es_server_peers *before, const es_serve_peer *wanted)
{
    for (size_t i = 0; before != NULL && i < before->count; i++) {
        const es_serve_peer *peer = &before->given[i];
        if (same_text(peer->name, wanted->name) && same_text(peer->url, wanted->url) &&
            same_text(peer->token, wanted->token))
            return &before->peers[i];
    }
    return NULL;
}

static es_status make_http(es_server *server, const es_serve_peer *given, es_http_peer **out,
                           es_error *err)
{
    es_http_peer_opts opts = es_http_peer_opts_default();
    opts.url = given->url;
    opts.token = given->token != NULL ? given->token : server->opts.peer_token;
    opts.ca_file = server->opts.peer_ca_file;
    opts.certificate_file = server->opts.peer_certificate_file;
    opts.key_file = server->opts.peer_key_file;
    opts.connect_timeout_s = 1;
    opts.connections_max = ES_SERVER_HOPS_MAX;
    opts.waiting_max = ES_SERVER_HOPS_MAX;
    return es_within(err, es_http_peer_new(server->caller, opts, out, err), "peer '%s'",
                     given->name);
}

static es_status make_peer(es_server *server, const es_server_peers *before,
                           const es_serve_peer *given, es_server_peer *out, es_error *err)
{
    es_server_peer *old = known(before, given);
    es_hop_link_init(&out->link, given, server->opts.emulate, old != NULL ? &old->link : NULL);
    if (old == NULL)
        return make_http(server, given, &out->http, err);
    out->http = es_http_peer_ref(old->http);
    return ES_OK;
}

static es_status fill(es_server *server, es_server_peers *peers, const es_server_peers *before,
                      const void *body, size_t size, es_error *err)
{
    size_t count = 0;
    if (peers->arena == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for peers");
    ES_TRY(es_serve_peers_parse(peers->arena, "peers", body != NULL ? body : "", size,
                                &peers->given, &count, err));
    peers->peers = ES_TAKE_ARRAY(peers->arena, es_server_peer, count);
    if (peers->peers == NULL)
        return es_arena_full(peers->arena, "peers", err);
    for (; peers->count < count; peers->count++) {
        es_status status = make_peer(server, before, &peers->given[peers->count],
                                     &peers->peers[peers->count], err);
        if (status != ES_OK) {
            peers->count++; /* its lock is there */
            return status;
        }
    }
    return ES_OK;
}

static es_server_peers *take_reference(es_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    es_server_peers *peers = server->peers;
    if (peers != NULL)
        atomic_fetch_add(&peers->references, 1);
    (void)pthread_mutex_unlock(&server->lock);
    return peers;
}

void es_server_peers_put(void *context, es_http_request *request)
{
    es_server *server = context;
    es_error err = {0};
    size_t size = 0;
    const void *body = es_http_request_body(request, &size);
    es_server_peers *before = take_reference(server);
    es_server_peers *peers = calloc(1, sizeof *peers);
    es_status status = ES_ERR_NOMEM;
    if (peers != NULL) {
        atomic_init(&peers->references, 1);
        peers->arena = es_arena_new(PEERS_BYTES_MAX);
        status = fill(server, peers, before, body, size, &err);
    }
    es_server_peers_unref(before);
    if (status != ES_OK) {
        es_server_peers_unref(peers);
        es_http_answer_error(request, es_status_http(status), es_error_text(&err));
        return;
    }
    (void)pthread_mutex_lock(&server->lock);
    es_server_peers *old = server->peers;
    server->peers = peers;
    (void)pthread_mutex_unlock(&server->lock);
    es_server_peers_unref(old);
    es_text text;
    es_text_init(&text, 64);
    es_text_format(&text, "{\"peers\":%zu}", peers->count);
    es_http_answer_json(request, 200, &text);
}

void es_server_peers_get(void *context, es_http_request *request)
{
    es_server *server = context;
    es_server_peers *peers = take_reference(server);
    es_text text;
    es_text_init(&text, PEERS_BYTES_MAX);
    es_serve_peers_write(peers != NULL ? peers->given : NULL, peers != NULL ? peers->count : 0,
                         false, &text);
    es_server_peers_unref(peers);
    es_http_answer_json(request, 200, &text);
}

/* ---- for requests ---- */

es_server_peers *es_server_peers_find(es_server *server, const char *name, size_t *out_index)
{
    es_server_peers *peers = take_reference(server);
    for (size_t i = 0; peers != NULL && i < peers->count; i++)
        if (strcmp(peers->given[i].name, name) == 0) {
            *out_index = i;
            return peers;
        }
    es_server_peers_unref(peers);
    return NULL;
}

es_http_peer *es_server_peer_http(const es_server_peers *peers, size_t index)
{
    return peers->peers[index].http;
}

es_hop_link *es_server_peer_link(const es_server_peers *peers, size_t index)
{
    return &peers->peers[index].link;
}
