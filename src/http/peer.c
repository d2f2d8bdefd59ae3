#include "calling.h"

static const uint32_t CALLS_MAX = 65536;

es_http_peer_opts es_http_peer_opts_default(void)
{
    return (es_http_peer_opts){.connect_timeout_s = 5,
                               .timeout_s = 30,
                               .header_bytes_max = (size_t)64 << 10,
                               .body_bytes_max = (size_t)64 << 20,
                               .connections_max = 64,
                               .waiting_max = 256};
}

static es_status check_opts(const es_http_peer_opts *opts, es_error *err)
{
    const char *url = opts->url;
    const char *host = url == NULL ? NULL : strstr(url, "://");
    if (host == NULL || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        host[3] == '\0' || strpbrk(host + 3, "/?#@ \r\n") != NULL)
        return es_fail(err, ES_ERR_ARG, "url '%s' must be http://HOST:PORT or https://HOST:PORT",
                       url == NULL ? "" : url);
    if (!(opts->connect_timeout_s > 0 && opts->connect_timeout_s <= 86400) ||
        !(opts->timeout_s > 0 && opts->timeout_s <= 86400))
        return es_fail(err, ES_ERR_ARG,
                       "connect_timeout_s=%g and timeout_s=%g must be in (0, 86400]",
                       opts->connect_timeout_s, opts->timeout_s);
    if (opts->connections_max < 1 || opts->connections_max > CALLS_MAX)
        return es_fail(err, ES_ERR_ARG, "connections_max=%u must be in [1, %u]",
                       opts->connections_max, CALLS_MAX);
    if ((opts->certificate_file == NULL) != (opts->key_file == NULL))
        return es_fail(err, ES_ERR_ARG, "certificate_file and key_file go together");
    if (opts->token != NULL && strpbrk(opts->token, "\r\n") != NULL)
        return es_fail(err, ES_ERR_ARG, "the token must be one line");
    return ES_OK;
}

static es_status copy_opts(es_http_peer *peer, const es_http_peer_opts *opts, es_error *err)
{
    peer->opts = *opts;
    const char **texts[] = {&peer->opts.url, &peer->opts.ca_file, &peer->opts.certificate_file,
                            &peer->opts.key_file, &peer->opts.token};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (*texts[i] != NULL && (*texts[i] = es_arena_text(peer->arena, *texts[i])) == NULL)
            return es_arena_full(peer->arena, "peer options", err);
    }
    if (opts->token == NULL)
        return ES_OK;
    peer->authorization = es_arena_format(peer->arena, "Authorization: Bearer %s", opts->token);
    return peer->authorization != NULL ? ES_OK : es_arena_full(peer->arena, "peer options", err);
}

static void unref_p(es_http_peer **peer)
{
    es_http_peer_unref(*peer);
}

es_status es_http_peer_new(es_http_caller *caller, es_http_peer_opts opts, es_http_peer **out_peer,
                           es_error *err)
{
    enum { OPTIONS_BYTES_MAX = 1 << 20 };
    ES_TRY(check_opts(&opts, err));
    ES_CLEANUP(unref_p) es_http_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for peer '%s'", opts.url);
    peer->refs = 1;
    peer->caller = caller;
    peer->serial = atomic_fetch_add(&caller->serial, 1) + 1;
    peer->arena = es_arena_new(OPTIONS_BYTES_MAX);
    size_t size = caller->core_count * sizeof *peer->places;
    peer->places = aligned_alloc(_Alignof(es_http_place), size);
    if (peer->arena == NULL || peer->places == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for peer '%s'", opts.url);
    memset(peer->places, 0, size);
    ES_TRY(copy_opts(peer, &opts, err));
    *out_peer = ES_TAKE(peer);
    return ES_OK;
}

es_http_peer *es_http_peer_ref(es_http_peer *peer)
{
    atomic_fetch_add(&peer->refs, 1);
    return peer;
}

void es_http_peer_unref(es_http_peer *peer)
{
    if (peer == NULL || atomic_fetch_sub(&peer->refs, 1) != 1)
        return;
    es_arena_free(peer->arena);
    free(peer->places);
    free(peer);
}
