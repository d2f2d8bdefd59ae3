/* The hop to the next node: the request is parked, the answer is passed back as it comes; when none
 * comes in time, or a failure, the best answer so far stands in for it. */
#include "base/clock.h"
#include "base/percent.h"
#include "server_route.h"

#include <assert.h>

enum { HEADERS_MAX = 10 };
static const double HOP_TIMEOUT_S = 30; /* of requests without a deadline */

static int64_t now_of(const es_infer *infer)
{
    return es_clock_now_ns(infer->server->clock);
}

/* ---- emulated links ---- */

bool es_server_hop_hold(es_infer *infer, void (*then)(es_http_timer *timer))
{
    es_infer_route *route = infer->route;
    if (route->due_ns <= now_of(infer))
        return false;
    es_hop_be_exact();
    route->timer = (es_http_timer){.fire = then, .context = infer};
    return es_http_timer_set(infer->server->caller, &route->timer, route->due_ns);
}

/* ---- the answer ---- */

/* Lets go of what the hop held. */
static void end_hop(es_infer *infer)
{
    es_infer_route *route = infer->route;
    es_server_peers_unref(route->peers);
    route->peers = NULL;
}

static void answer_error(es_http_request *request, int status, const char *failed, const char *text)
{
    es_http_header headers[2];
    size_t count = 0;
    es_text body;
    es_json json;
    es_text_init(&body, 8192);
    es_json_init(&json, &body, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "error", text);
    es_json_map_end(&json);
    if (failed != NULL)
        headers[count++] = (es_http_header){.name = ES_FAILED_HEADER, .value = failed};
    if (status == 503)
        headers[count++] = (es_http_header){.name = "Retry-After", .value = "1"};
    es_http_answer_send(request, &(es_http_answer){.status = status,
                                                   .content_type = "application/json",
                                                   .headers = headers,
                                                   .header_count = count,
                                                   .body = es_text_get(&body),
                                                   .body_bytes = body.size});
    es_text_done(&body);
}

/* What became of a request is not an answer: the best so far, else an error. */
static void fail(es_infer *infer, int status, const char *failed, const char *text)
{
    es_http_request *request = infer->request;
    end_hop(infer);
    if (es_server_route_stand_in(infer, failed))
        return;
    answer_error(request, status, failed, text);
    es_server_infer_drop(infer);
}

static void pass_back(es_infer *infer)
{
    es_infer_route *route = infer->route;
    es_http_request *request = infer->request;
    es_hop_reply reply = route->reply;
    end_hop(infer);
    if (infer->server->opts.emulate) {
        (void)snprintf(route->due_text, sizeof route->due_text, "%lld", (long long)route->ready_ns);
        es_hop_reply_put(&reply, ES_DUE_HEADER, route->due_text);
    }
    es_hop_reply_send(&reply, request); /* copies the headers, which live in the arena */
    es_server_infer_drop(infer);
}

static void on_arrival(es_http_timer *timer)
{
    pass_back(timer->context);
}

/* The answer is sent back over the link; it is here when the link has brought it. */
static bool travels(es_infer *infer)
{
    es_infer_route *route = infer->route;
    if (!infer->server->opts.emulate)
        return false;
    route->ready_ns = route->reply.leaves_ns > 0 ? route->reply.leaves_ns : now_of(infer);
    es_hop_link *link = es_server_peer_link(route->peers, route->peer);
    if (link->one_way)
        return false;
    route->due_ns = es_hop_link_due_ns(link, true, route->ready_ns, route->reply.payload_bytes);
    if (route->due_ns == 0)
        return false;
    route->ready_ns = route->due_ns;
    return es_server_hop_hold(infer, on_arrival);
}

static const char *failed_text(es_infer *infer, bool late)
{
    es_text *text = &infer->path; /* its call has ended */
    es_text_clear(text);
    es_percent_encode(text, infer->route->request.route.stages[1].node);
    es_text_append(text, late ? ";late" : "");
    return es_text_get(text);
}

/* An error of the next node; where it says that another one failed, that goes on. */
static void take_error(es_infer *infer, const es_http_result *result)
{
    es_infer_route *route = infer->route;
    char text[ES_ERROR_SIZE];
    const char *failed = es_http_reply_header(&result->reply, ES_FAILED_HEADER);
    failed = es_arena_text(infer->arena, failed);
    (void)snprintf(text, sizeof text, "node '%s' answered %d: %.300s",
                   route->request.route.stages[1].node, result->reply.status,
                   result->reply.body_bytes > 0 ? (const char *)result->reply.body : "");
    int status = result->reply.status == 504 ? 504 : result->reply.status >= 500 ? 503 : 500;
    fail(infer, status, failed, text);
}

static void on_reply(void *context, const es_http_result *result)
{
    es_infer *infer = context;
    char text[ES_ERROR_SIZE];
    if (result->end == ES_HTTP_END_REPLY && result->reply.status == 200) {
        es_hop_reply_keep(&infer->route->reply, infer->arena, result);
        if (!travels(infer))
            pass_back(infer);
        return;
    }
    if (result->end == ES_HTTP_END_REPLY) {
        take_error(infer, result);
        return;
    }
    bool late = result->end == ES_HTTP_END_LATE;
    bool theirs = late || result->end == ES_HTTP_END_UNREACHED || result->end == ES_HTTP_END_BROKEN;
    (void)snprintf(text, sizeof text, "%.500s", es_error_text(result->why));
    fail(infer, late ? 504 : 503, theirs ? failed_text(infer, late) : NULL, text);
}

/* ---- the request ---- */

static void put(es_http_header *headers, size_t *count, const char *name, const char *value)
{
    if (value != NULL)
        headers[(*count)++] = (es_http_header){.name = name, .value = value};
}

static size_t tensor_bytes(const es_oip_message *message)
{
    size_t bytes = 0;
    for (size_t i = 0; i < message->tensor_count; i++)
        bytes += message->tensors[i].size_bytes;
    return bytes;
}

/* What is left of the request's time; the hop's own limit without one. */
static int64_t left_ns(const es_infer *infer)
{
    if (infer->job.deadline_ns == 0)
        return es_ns_from_s(HOP_TIMEOUT_S);
    return infer->job.deadline_ns - now_of(infer);
}

static es_status make_texts(es_infer *infer, const es_oip_message *next, int64_t *out_json_size,
                            es_error *err)
{
    es_infer_route *route = infer->route;
    const es_pipeline_request *request = &route->request;
    es_text_clear(&infer->rest);
    es_serve_route_encode(&request->route, 1, &infer->rest);
    ES_TRY(es_text_status(&infer->rest, err));
    es_text_clear(&infer->path);
    es_text_append(&infer->path, "/v2/models/");
    es_percent_encode(&infer->path, request->route.stages[1].model);
    es_text_append(&infer->path, "/infer");
    ES_TRY(es_text_status(&infer->path, err));
    es_text_clear(&infer->stages);
    for (uint32_t k = 0; k < request->visit_count; k++)
        es_serve_visit_append(&infer->stages, &request->visits[k]);
    ES_TRY(es_text_status(&infer->stages, err));
    es_text_clear(&infer->body);
    return es_oip_encode(ES_OIP_REQUEST, next, &infer->body, out_json_size, err);
}

static es_status find_peer(es_infer *infer, es_error *err)
{
    es_infer_route *route = infer->route;
    const char *node = route->request.route.stages[1].node;
    route->peers = es_server_peers_find(infer->server, node, &route->peer);
    return route->peers != NULL
               ? ES_OK
               : es_fail(err, ES_ERR_UNAVAILABLE, "node '%s' is none of the peers of '%s'", node,
                         infer->server->opts.name);
}

/* Numbers as texts, while the headers are copied. */
typedef struct digits {
    char json_size[ES_SERVER_DIGITS_SIZE], timeout[ES_SERVER_DIGITS_SIZE];
} digits;

static size_t put_headers(es_infer *infer, int64_t json_size, int64_t due_ns, int64_t timeout_us,
                          digits *texts, es_http_header *headers)
{
    es_infer_route *route = infer->route;
    size_t count = 0;
    (void)snprintf(texts->json_size, sizeof texts->json_size, "%lld", (long long)json_size);
    (void)snprintf(texts->timeout, sizeof texts->timeout, "%lld", (long long)timeout_us);
    (void)snprintf(route->due_text, sizeof route->due_text, "%lld", (long long)due_ns);
    put(headers, &count, ES_ROUTE_HEADER, es_text_get(&infer->rest));
    put(headers, &count, ES_STAGES_HEADER, es_text_get(&infer->stages));
    put(headers, &count, ES_TASK_HEADER, route->headers.task);
    put(headers, &count, ES_UNMET_HEADER, route->headers.unmet);
    put(headers, &count, ES_TIMEOUT_HEADER, texts->timeout);
    put(headers, &count, ES_DUE_HEADER, due_ns > 0 ? route->due_text : NULL);
    put(headers, &count, ES_OIP_JSON_SIZE_HEADER,
        json_size != ES_OIP_DOUBT ? texts->json_size : NULL);
    put(headers, &count, "traceparent", infer->traceparent[0] != '\0' ? infer->traceparent : NULL);
    put(headers, &count, "tracestate", route->tracestate);
    assert(count <= HEADERS_MAX);
    return count;
}

static es_status send(es_infer *infer, const es_oip_message *next, es_error *err)
{
    es_infer_route *route = infer->route;
    es_http_header headers[HEADERS_MAX];
    digits texts;
    int64_t json_size = 0;
    int64_t left = left_ns(infer);
    ES_TRY(find_peer(infer, err));
    ES_TRY(make_texts(infer, next, &json_size, err));
    if (left <= 0)
        return es_fail(err, ES_ERR_CANCELLED, "the time for an answer is over");
    es_hop_link *link = es_server_peer_link(route->peers, route->peer);
    int64_t leaves_ns = route->ready_ns > 0 ? route->ready_ns : now_of(infer);
    int64_t due_ns = es_hop_link_due_ns(link, false, leaves_ns, tensor_bytes(next));
    uint64_t timeout_us = es_hop_timeout_us(left, es_hop_link_latency_ns(link));
    es_http_call call = {.method = ES_HTTP_POST,
                         .path = es_text_get(&infer->path),
                         .headers = headers,
                         .body = es_text_get(&infer->body),
                         .body_bytes = infer->body.size,
                         .timeout_s = es_s_from_ns(left),
                         .repeatable = true,
                         .called = on_reply,
                         .context = infer};
    call.header_count = put_headers(infer, json_size, due_ns, (int64_t)timeout_us, &texts, headers);
    return es_http_call_send(es_server_peer_http(route->peers, route->peer), &call, NULL, err);
}

void es_server_hop_send(es_infer *infer, const es_pipeline_step *step,
                        const es_pipeline_outputs *outputs)
{
    es_oip_message next;
    es_error err = {0};
    es_status status =
        es_pipeline_next(infer->arena, &infer->route->request, step, outputs, &next, &err);
    if (status == ES_OK)
        es_server_infer_leave(infer); /* the model has done its part: it may be unloaded */
    else {
        es_server_infer_fail(infer, ES_SERVED_WRONG, es_status_http(status), es_error_text(&err));
        return;
    }
    status = send(infer, &next, &err);
    if (status != ES_OK)
        fail(infer, status == ES_ERR_CANCELLED ? 504 : es_status_http(status), NULL,
             es_error_text(&err));
}
