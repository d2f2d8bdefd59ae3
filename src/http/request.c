#include "base/checked.h"
#include "base/document.h"
#include "internal.h"

#include <assert.h>

enum { KEPT_BODY_BYTES_MAX = 1 << 20, KEPT_REQUESTS_MAX = 256 };

/* ---- life ---- */

static es_http_request *request_new(const es_http_server *server, es_http_waker *waker)
{
    es_http_request *request = calloc(1, sizeof *request);
    size_t capacity = server->opts.target_bytes_max + 2;
    if (request == NULL)
        return NULL;
    request->target = malloc(capacity);
    request->scratch = malloc(capacity);
    request->target_capacity = capacity;
    request->waker = es_http_waker_ref(waker);
    if (request->target == NULL || request->scratch == NULL) {
        es_http_request_destroy(request);
        return NULL;
    }
    return request;
}

void es_http_request_destroy(es_http_request *request)
{
    if (request == NULL)
        return;
    free(request->target);
    free(request->scratch);
    free(request->body);
    es_http_waker_unref(request->waker);
    free(request);
}

es_http_request *es_http_request_take(es_http_loop *loop)
{
    es_http_request *request = loop->free_requests;
    if (request == NULL)
        return request_new(loop->server, loop->waker);
    loop->free_requests = request->next_free;
    loop->free_count--;
    es_http_request kept = *request; /* what is worth keeping is its memory */
    *request = (es_http_request){.target = kept.target,
                                 .target_capacity = kept.target_capacity,
                                 .scratch = kept.scratch,
                                 .waker = kept.waker,
                                 .body = kept.body,
                                 .body_capacity = kept.body_capacity};
    return request;
}

static void call_user_release(es_http_request *request)
{
    if (request->user_release != NULL)
        request->user_release(request->user);
    request->user_release = NULL;
}

static void recycle(es_http_loop *loop, es_http_request *request)
{
    if (loop->free_count >= KEPT_REQUESTS_MAX) {
        es_http_request_destroy(request);
        return;
    }
    if (request->body_capacity > KEPT_BODY_BYTES_MAX) {
        free(request->body);
        request->body = NULL;
        request->body_capacity = 0;
    }
    request->next_free = loop->free_requests;
    loop->free_requests = request;
    loop->free_count++;
}

void es_http_body_unbook(es_http_request *request)
{
    if (request->body_booked > 0)
        atomic_fetch_sub(&request->loop->server->bodies, request->body_booked);
    request->body_booked = 0;
}

void es_http_request_ended(es_http_request *request)
{
    es_http_loop *loop = request->loop;
    es_http_body_unbook(request);
    if (request->own_response != NULL)
        MHD_destroy_response(request->own_response);
    request->own_response = NULL;
    /* From STREAMING to ANSWERED the handler may go at any time; once GONE it may free. */
    int seen = atomic_load(&request->state);
    struct MHD_Response *response = NULL;
    if (seen == ES_HTTP_ANSWERED || seen == ES_HTTP_STREAMING)
        response = request->response;
    int was = atomic_exchange(&request->state, ES_HTTP_GONE);
    if (response != NULL)
        MHD_destroy_response(response);
    if (was == ES_HTTP_CANCELLED || was == ES_HTTP_STREAMING)
        return; /* the handler's side destroys it */
    call_user_release(request);
    recycle(loop, request);
}

void es_http_request_suspend(es_http_request *request)
{
    request->suspended = true;
    request->loop->suspended_count++;
    es_http_gone_soon(request->loop, ES_HTTP_LOOK_BUSY_NS);
    MHD_suspend_connection(request->mhd);
}

void es_http_request_resume(es_http_request *request)
{
    assert(request->suspended);
    request->suspended = false;
    request->loop->suspended_count--;
    request->loop->again = true;
    MHD_resume_connection(request->mhd);
}

bool es_http_body_reserve(es_http_request *request, size_t bytes)
{
    es_http_server *server = request->loop->server;
    if (bytes > request->body_booked) {
        uint64_t more = bytes - request->body_booked;
        uint64_t before = atomic_fetch_add(&server->bodies, more);
        request->body_booked = bytes;
        if (before + more > server->opts.bodies_bytes_max) {
            es_http_body_unbook(request);
            return false;
        }
    }
    if (bytes <= request->body_capacity)
        return true;
    unsigned char *larger = realloc(request->body, ES_HTTP_BODY_ALIGN + bytes);
    if (larger == NULL)
        return false;
    request->body = larger;
    request->body_capacity = bytes;
    return true;
}

/* ---- what a handler sees ---- */

es_http_method es_http_request_method(const es_http_request *request)
{
    return request->method;
}

const char *es_http_request_path(const es_http_request *request)
{
    return request->target;
}

const char *es_http_request_param(const es_http_request *request, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < request->match.count; i++) {
        const char *known = request->match.names[i];
        if (strncmp(known, name, size) == 0 && known[size] == '}')
            return request->match.values[i];
    }
    return NULL;
}

bool es_http_request_query(const es_http_request *request, const char *name, char *out, size_t room)
{
    return es_http_query_find(request->query, name, out, room);
}

const void *es_http_request_body(const es_http_request *request, size_t *out_size)
{
    *out_size = request->body_bytes;
    return request->body != NULL ? request->body + request->body_shift : NULL;
}

uint32_t es_http_request_loop(const es_http_request *request)
{
    return (uint32_t)(request->loop - request->loop->server->loops);
}

int64_t es_http_request_start_ns(const es_http_request *request)
{
    return request->start_ns;
}

uint32_t es_http_request_roles(const es_http_request *request)
{
    return request->roles;
}

void es_http_request_set_user(es_http_request *request, void *user, void (*release)(void *user))
{
    request->user = user;
    request->user_release = release;
}

void es_http_request_set_gone(es_http_request *request, void (*gone)(void *user))
{
    request->user_gone = gone;
}

bool es_http_request_gone(const es_http_request *request)
{
    return atomic_load(&request->gone);
}

void *es_http_request_user(const es_http_request *request)
{
    return request->user;
}

const char *es_http_request_header(const es_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

/* ---- answers ---- */

/* The library refuses what would break the head, and fails without memory; it does not say which.
 */
static es_status add_header(struct MHD_Response *response, const char *name, const char *value,
                            es_error *err)
{
    if (MHD_add_response_header(response, name, value) == MHD_YES)
        return ES_OK;
    if (value[0] == '\0' || strpbrk(value, "\t\r\n") != NULL)
        return es_fail(err, ES_ERR_INTERNAL, "header '%s' of the answer cannot be sent", name);
    return es_fail(err, ES_ERR_NOMEM, "no memory for header '%s' of the answer", name);
}

static es_status add_headers(struct MHD_Response *response, const char *content_type,
                             const es_http_header *headers, size_t count, bool close, es_error *err)
{
    if (content_type != NULL)
        ES_TRY(add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type, err));
    for (size_t i = 0; i < count; i++)
        ES_TRY(add_header(response, headers[i].name, headers[i].value, err));
    return close ? add_header(response, "Connection", "close", err) : ES_OK;
}

struct MHD_Response *es_http_error_response(int status, const char *text)
{
    es_text body;
    es_json json;
    es_text_init(&body, 8192);
    es_json_init(&json, &body, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "error", text);
    es_json_map_end(&json);
    const char *bytes = es_text_get(&body);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(bytes), (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    es_text_done(&body);
    if (response == NULL)
        return NULL;
    /* If a header does not fit in memory the answer goes without it. */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    if (status == 503)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (status == 401)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    return response;
}

static void handler_frees(es_http_request *request)
{
    call_user_release(request);
    es_http_request_destroy(request);
}

/* A suspended request goes on. */
static void wake(es_http_waker *waker, es_http_request *request)
{
    if (es_http_loop_is_here(request->loop))
        es_http_request_resume(request);
    else
        es_http_waker_push(waker, request);
}

/* Gives the answer to the connection; the state becomes ANSWERED or STREAMING. When the server has
 * been quicker the answer goes nowhere. */
static void give(es_http_request *request, struct MHD_Response *response, int status, int after)
{
    es_http_waker *waker = es_http_waker_ref(request->waker);
    int was = atomic_load(&request->state);
    /* The loop reads these two only after it has seen the new state. */
    request->response = response;
    request->response_status = (unsigned)status;
    while (was == ES_HTTP_RUNNING || was == ES_HTTP_PARKED) {
        if (!atomic_compare_exchange_weak(&request->state, &was, after))
            continue;
        if (was == ES_HTTP_PARKED) /* it stays there until the loop has seen it */
            wake(waker, request);
        es_http_waker_unref(waker);
        return;
    }
    es_http_waker_unref(waker);
    if (response != NULL)
        MHD_destroy_response(response);
    if (after == ES_HTTP_ANSWERED)
        es_http_request_release(request);
}

void es_http_request_release(es_http_request *request)
{
    int was = atomic_load(&request->state);
    for (;;) {
        if (was == ES_HTTP_GONE) {
            handler_frees(request);
            return;
        }
        int next = was == ES_HTTP_CANCELLED ? ES_HTTP_ABANDONED : ES_HTTP_ANSWERED;
        if (atomic_compare_exchange_weak(&request->state, &was, next))
            return;
    }
}

static void give_error(es_http_request *request, int status, const char *text)
{
    give(request, es_http_error_response(status, text), status, ES_HTTP_ANSWERED);
}

void es_http_answer_error(es_http_request *request, int status, const char *text)
{
    give_error(request, status, text);
}

void es_http_answer_fail(es_http_request *request, const es_error *err)
{
    give_error(request, es_status_http(err->status), es_error_text(err));
}

static struct MHD_Response *response_from(const es_http_answer *answer)
{
    void *body = (void *)(uintptr_t)answer->body; /* the library only reads it */
    if (answer->release == NULL)
        return MHD_create_response_from_buffer(answer->body_bytes, body, MHD_RESPMEM_MUST_COPY);
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        answer->body_bytes, body, answer->release, answer->release_context);
    if (response == NULL)
        answer->release(answer->release_context);
    return response;
}

void es_http_answer_send(es_http_request *request, const es_http_answer *answer)
{
    struct MHD_Response *response = response_from(answer);
    es_error err = {0};
    if (response != NULL && add_headers(response, answer->content_type, answer->headers,
                                        answer->header_count, answer->close, &err) != ES_OK) {
        MHD_destroy_response(response);
        es_http_answer_fail(request, &err);
        return;
    }
    give(request, response, answer->status, ES_HTTP_ANSWERED);
}

void es_http_answer_text(es_http_request *request, int status, const char *content_type,
                         es_text *text)
{
    es_error err = {0};
    if (es_text_status(text, &err) != ES_OK)
        es_http_answer_fail(request, &err);
    else
        es_http_answer_send(request, &(es_http_answer){.status = status,
                                                       .content_type = content_type,
                                                       .body = es_text_get(text),
                                                       .body_bytes = text->size});
    es_text_done(text);
}

void es_http_answer_json(es_http_request *request, int status, es_text *text)
{
    es_http_answer_text(request, status, "application/json", text);
}

bool es_http_request_cancel(es_http_request *request, int status, const char *text)
{
    int was = ES_HTTP_PARKED;
    if (atomic_load(&request->state) == ES_HTTP_STREAMING ||
        (atomic_load(&request->state) == ES_HTTP_ANSWERED &&
         request->phase == ES_HTTP_PHASE_SEND)) {
        atomic_store(&request->cut, true);
        if (atomic_exchange(&request->flow, ES_HTTP_WOKEN) == ES_HTTP_DRY)
            es_http_request_resume(request);
        return false;
    }
    if (request->own_response == NULL)
        request->own_response = es_http_error_response(status, text);
    if (!atomic_compare_exchange_strong(&request->state, &was, ES_HTTP_CANCELLED))
        return false;
    request->own_status = (unsigned)status;
    es_http_request_resume(request);
    return true;
}

/* ---- streamed answers ---- */

/* Lives as long as the library's response, which outlives the request. */
typedef struct stream_box {
    es_http_stream stream;
    es_http_request *request;
} stream_box;

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room)
{
    stream_box *box = context;
    es_http_request *request = box->request;
    int flowing = ES_HTTP_FLOWING;
    (void)position; /* read in order */
    atomic_store(&request->flow, ES_HTTP_FLOWING);
    if (atomic_load(&request->cut))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    int64_t got = box->stream.read(box->stream.context, out, room);
    if (got > 0)
        return (ssize_t)got;
    if (got < 0)
        return got == ES_HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
                                         : MHD_CONTENT_READER_END_WITH_ERROR;
    es_http_request_suspend(request);
    if (!atomic_compare_exchange_strong(&request->flow, &flowing, ES_HTTP_DRY))
        es_http_request_resume(request); /* woken meanwhile */
    return 0;
}

static void free_stream(void *context)
{
    stream_box *box = context;
    if (box->stream.release != NULL)
        box->stream.release(box->stream.context);
    free(box);
}

void es_http_answer_stream(es_http_request *request, const es_http_stream *stream)
{
    enum { BLOCK_BYTES = 16 * 1024 };
    stream_box *box = malloc(sizeof *box);
    struct MHD_Response *response = NULL;
    if (box != NULL) {
        *box = (stream_box){.stream = *stream, .request = request};
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream,
                                                     box, free_stream);
        if (response == NULL)
            free_stream(box);
    } else if (stream->release != NULL) {
        stream->release(stream->context);
    }
    es_error err = {0};
    if (response != NULL && add_headers(response, stream->content_type, stream->headers,
                                        stream->header_count, false, &err) != ES_OK) {
        MHD_destroy_response(response);
        int status = es_status_http(err.status);
        give(request, es_http_error_response(status, es_error_text(&err)), status,
             ES_HTTP_STREAMING);
        return;
    }
    give(request, response, stream->status, ES_HTTP_STREAMING);
}

void es_http_request_wake(es_http_request *request)
{
    es_http_waker *waker = es_http_waker_ref(request->waker);
    if (atomic_exchange(&request->flow, ES_HTTP_WOKEN) == ES_HTTP_DRY)
        wake(waker, request);
    es_http_waker_unref(waker);
}
