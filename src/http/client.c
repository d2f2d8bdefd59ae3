/* One call at a time: a caller driven by the thread that waits. */
#include "calling.h"

struct es_http_client {
    es_http_caller *caller;
    es_http_peer *peer;
};

/* What the waiting thread gets. */
typedef struct outcome {
    es_arena *arena;
    es_http_reply *reply;
    es_error *err;
    bool ended;
    es_status status;
} outcome;

es_status es_http_client_new(es_http_peer_opts opts, es_http_client **out_client, es_error *err)
{
    es_http_caller_opts caller_opts = es_http_caller_opts_default();
    caller_opts.by_hand = true;
    caller_opts.calls_max = 1;
    caller_opts.connections_max = 1;
    ES_CLEANUP(es_http_client_free_p) es_http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for an HTTP client");
    ES_TRY(es_http_caller_new(caller_opts, &client->caller, err));
    ES_TRY(es_http_peer_new(client->caller, opts, &client->peer, err));
    *out_client = ES_TAKE(client);
    return ES_OK;
}

void es_http_client_free(es_http_client *client)
{
    if (client == NULL)
        return;
    es_http_peer_unref(client->peer);
    es_http_caller_free(client->caller);
    free(client);
}

void es_http_client_free_p(es_http_client **client)
{
    es_http_client_free(*client);
}

static es_status copy_headers(es_arena *arena, es_http_reply *reply, es_error *err)
{
    es_http_header *headers = ES_TAKE_ARRAY(arena, es_http_header, reply->header_count);
    if (headers == NULL)
        return es_arena_full(arena, "headers of a reply", err);
    for (size_t i = 0; i < reply->header_count; i++) {
        headers[i] = (es_http_header){.name = es_arena_text(arena, reply->headers[i].name),
                                      .value = es_arena_text(arena, reply->headers[i].value)};
        if (headers[i].name == NULL || headers[i].value == NULL)
            return es_arena_full(arena, "headers of a reply", err);
    }
    reply->headers = headers;
    return ES_OK;
}

static es_status copy_reply(const outcome *got, const es_http_result *result)
{
    es_http_reply reply = result->reply;
    ES_TRY(copy_headers(got->arena, &reply, got->err));
    void *body = es_http_result_keep_body(result);
    if (body != NULL)
        ES_TRY(es_arena_attach(got->arena, body, es_http_body_free, got->err));
    else
        reply.body = "";
    *got->reply = reply;
    return ES_OK;
}

static void on_called(void *context, const es_http_result *result)
{
    outcome *got = context;
    got->ended = true;
    got->status = result->status;
    if (result->status == ES_OK)
        got->status = copy_reply(got, result);
    else
        (void)es_fail(got->err, result->status, "%s", es_error_text(result->why));
}

es_status es_http_client_call(es_http_client *client, es_arena *arena, const es_http_call *call,
                              volatile sig_atomic_t *stop, es_http_reply *out_reply, es_error *err)
{
    const int64_t look_ns = 50 * ES_NS_PER_MS;
    outcome got = {.arena = arena, .reply = out_reply, .err = err};
    es_http_call sent = *call;
    es_http_call_id id = {0};
    sent.called = on_called;
    sent.context = &got;
    ES_TRY(es_http_call_send(client->peer, &sent, &id, err));
    while (!got.ended) {
        int64_t until_ns = INT64_MAX;
        if (stop != NULL && *stop != 0)
            es_http_call_cancel(client->caller, id);
        if (stop != NULL)
            until_ns = es_clock_now_ns(es_clock_system()) + look_ns;
        es_http_caller_run(client->caller, until_ns);
    }
    return got.status;
}
