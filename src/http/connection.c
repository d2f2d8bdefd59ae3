#include "base/checked.h"
#include "internal.h"

#include <sys/socket.h>

/* A refused request with a body up to this is read to its end before it is answered: an answer sent
 * while the client still writes may be lost to a reset. */
static const uint64_t DRAIN_BYTES_MAX = (uint64_t)64 << 20;

/* ---- deadlines ---- */

void es_http_deadline_set(es_http_conn *conn, int64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
    if (deadline_ns < conn->loop->deadline_ns)
        conn->loop->deadline_ns = deadline_ns;
}

/* INT64_MAX (never) when that is too far away: a client says how long its body is. */
static int64_t after(int64_t now_ns, double seconds)
{
    int64_t when_ns = 0;
    return es_int64_add(now_ns, es_ns_from_s(seconds), &when_ns) ? when_ns : INT64_MAX;
}

/* The library has no way to answer before the headers are complete, so this writes to the socket:
 * nothing has been sent for this request yet. */
static void end_late_client(es_http_conn *conn)
{
    static const char LATE[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                               "Content-Type: application/json\r\nContent-Length: 44\r\n\r\n"
                               "{\"error\":\"the request did not come in time\"}";
    atomic_fetch_add(&conn->loop->server->late_receiving,
                     1); /* whoever reads the answer finds it */
    if (conn->loop->server->certificate_pem == NULL)
        (void)send(conn->fd, LATE, sizeof LATE - 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* best effort */
    (void)shutdown(conn->fd, SHUT_RDWR); /* the loop sees the end and cleans up */
}

static void end_overdue(es_http_conn *conn)
{
    es_http_request *request = conn->request;
    conn->deadline_ns = INT64_MAX;
    if (request != NULL && request->phase == ES_HTTP_PHASE_WAIT) {
        if (es_http_request_cancel(request, 504, "no answer in time"))
            atomic_fetch_add(&conn->loop->server->late_answering, 1);
        return;
    }
    end_late_client(conn);
}

void es_http_deadlines_check(es_http_loop *loop, int64_t now_ns)
{
    es_http_conn *next = NULL;
    if (now_ns < loop->deadline_ns)
        return;
    for (es_http_conn *conn = loop->conns; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->deadline_ns <= now_ns)
            end_overdue(conn);
    }
    loop->deadline_ns = INT64_MAX;
    for (es_http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
        if (conn->deadline_ns < loop->deadline_ns)
            loop->deadline_ns = conn->deadline_ns;
    }
}

/* ---- connections come and go ---- */

static void conn_begin(es_http_loop *loop, struct MHD_Connection *mhd, void **socket_context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    es_http_conn *conn = calloc(1, sizeof *conn);
    *socket_context = conn;
    if (conn == NULL || info == NULL)
        return; /* its requests are cut, see es_http_on_target */
    *conn = (es_http_conn){.loop = loop, .mhd = mhd, .fd = info->connect_fd, .next = loop->conns};
    if (loop->conns != NULL)
        loop->conns->previous = conn;
    loop->conns = conn;
    es_http_server *server = loop->server;
    es_http_deadline_set(conn,
                         after(es_clock_now_ns(server->clock), server->opts.receive_timeout_s));
    atomic_fetch_add(&server->connections, 1);
    atomic_fetch_add(&server->connections_open, 1);
}

static void conn_end(es_http_loop *loop, void **socket_context)
{
    es_http_conn *conn = *socket_context;
    *socket_context = NULL;
    if (conn == NULL)
        return;
    if (conn->loop != NULL) {
        if (conn->previous != NULL)
            conn->previous->next = conn->next;
        else
            loop->conns = conn->next;
        if (conn->next != NULL)
            conn->next->previous = conn->previous;
        atomic_fetch_sub(&loop->server->connections_open, 1);
        loop->again = true; /* below the limit the library listens again */
    }
    free(conn);
}

void es_http_on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                           enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        conn_begin(context, mhd, socket_context);
    else
        conn_end(context, socket_context);
}

static es_http_conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* ---- a request's line has come ---- */

static void keep_target(es_http_request *request, const char *uri)
{
    size_t size = strlen(uri);
    request->target_too_long = size > request->loop->server->opts.target_bytes_max;
    if (request->target_too_long)
        size = 0;
    memcpy(request->target, uri, size);
    request->target[size] = '\0';
    char *query = strchr(request->target, '?');
    request->query = request->target + size;
    if (query != NULL) {
        *query = '\0';
        request->query = query + 1;
    }
}

void *es_http_on_target(void *context, const char *uri, struct MHD_Connection *mhd)
{
    es_http_loop *loop = context;
    es_http_conn *conn = conn_of(mhd);
    if (conn == NULL || conn->loop == NULL)
        return NULL;
    es_http_request *request = es_http_request_take(loop);
    if (request == NULL)
        return NULL;
    request->loop = loop;
    request->conn = conn;
    request->mhd = mhd;
    request->start_ns = es_clock_now_ns(loop->server->clock);
    keep_target(request, uri);
    conn->request = request;
    es_http_deadline_set(conn, after(request->start_ns, loop->server->opts.receive_timeout_s));
    atomic_fetch_add(&loop->server->requests, 1);
    return request;
}

void es_http_on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                          enum MHD_RequestTerminationCode why)
{
    es_http_loop *loop = context;
    es_http_request *request = *request_context;
    (void)mhd;
    (void)why; /* an aborted request ends as any other */
    *request_context = NULL;
    if (request == NULL)
        return;
    request->conn->request = NULL;
    es_http_gone_soon(loop, ES_NS_PER_S);
    const es_http_server_opts *opts = &loop->server->opts;
    es_http_deadline_set(request->conn, after(es_clock_now_ns(loop->server->clock),
                                              opts->idle_timeout_s + opts->receive_timeout_s));
    es_http_request_ended(request);
}

/* ---- answers to the library ---- */

static bool server_stops(const es_http_loop *loop)
{
    return atomic_load(&loop->server->stop_at_ns) != INT64_MAX;
}

static enum MHD_Result queue(es_http_request *request, struct MHD_Response *response,
                             unsigned status)
{
    request->phase = ES_HTTP_PHASE_SEND;
    es_http_deadline_set(request->conn, INT64_MAX);
    if (response == NULL)
        return MHD_NO; /* out of memory: the connection is cut */
    if (server_stops(request->loop))
        (void)MHD_add_response_header(response, "Connection", "close"); /* best effort */
    return MHD_queue_response(request->mhd, status, response);
}

static enum MHD_Result queue_refusal(es_http_request *request)
{
    struct MHD_Response *response =
        es_http_error_response(request->refusal_status, es_error_text(&request->refusal));
    char allowed[ES_HTTP_ALLOWED_SIZE];
    if (response != NULL && request->refusal_status == 405) {
        es_http_allowed(request, allowed);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allowed);
    }
    atomic_fetch_add(&request->loop->server->refused, 1);
    enum MHD_Result result = queue(request, response, (unsigned)request->refusal_status);
    if (response != NULL)
        MHD_destroy_response(response);
    return result;
}

/* After the handler's or the server's answer is there. */
static enum MHD_Result queue_answer(es_http_request *request)
{
    int state = atomic_load(&request->state);
    if (state == ES_HTTP_CANCELLED || state == ES_HTTP_ABANDONED) {
        atomic_fetch_add(&request->loop->server->refused, 1);
        return queue(request, request->own_response, request->own_status);
    }
    return queue(request, request->response, request->response_status);
}

static enum MHD_Result call_handler(es_http_request *request)
{
    es_http_loop *loop = request->loop;
    int running = ES_HTTP_RUNNING;
    if (loop->refusing) {
        request->refusal_status = 503;
        (void)es_fail(&request->refusal, ES_ERR_UNAVAILABLE, "the server is stopping");
        return queue_refusal(request);
    }
    request->phase = ES_HTTP_PHASE_WAIT;
    double limit_s = loop->server->opts.answer_timeout_s;
    es_http_deadline_set(request->conn, limit_s > 0
                                            ? after(es_clock_now_ns(loop->server->clock), limit_s)
                                            : INT64_MAX);
    atomic_fetch_add(&loop->server->handled, 1);
    request->route->handle(request->route->context, request);
    if (atomic_load(&request->state) != ES_HTTP_RUNNING)
        return queue_answer(request);
    es_http_request_suspend(request);
    if (!atomic_compare_exchange_strong(&request->state, &running, ES_HTTP_PARKED))
        es_http_request_resume(request); /* answered meanwhile; comes back as WAIT */
    return MHD_YES;
}

/* ---- head, body, end ---- */

static void refuse(es_http_request *request, int status)
{
    request->phase = ES_HTTP_PHASE_DRAIN;
    request->refusal_status = status;
    es_http_body_unbook(request);
}

static bool expects_continue(const es_http_request *request)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) !=
           NULL;
}

static enum MHD_Result on_head(es_http_request *request, const char *method)
{
    uint64_t length = 0;
    bool chunked = false;
    const es_http_server_opts *opts = &request->loop->server->opts;
    int status = es_http_head_check(request, method, &length, &chunked, &request->refusal);
    request->phase = ES_HTTP_PHASE_BODY;
    es_http_deadline_set(request->conn,
                         after(request->start_ns,
                               opts->receive_timeout_s + (double)length / opts->receive_rate_min));
    if (status == 0)
        return MHD_YES;
    refuse(request, status);
    bool unclear = status == 400 || status == 501; /* nobody knows where the body ends */
    if (unclear || length > DRAIN_BYTES_MAX || expects_continue(request))
        return queue_refusal(request); /* early: the library closes the connection after it */
    return MHD_YES;
}

static void collect(es_http_request *request, const char *bytes, size_t size)
{
    size_t total = request->body_bytes + size; /* both are below body_max or came in one read */
    if (total > request->body_max) {
        (void)es_fail(&request->refusal, ES_ERR_LIMIT, "the body is larger than %zu bytes",
                      request->body_max);
        refuse(request, 413);
        return;
    }
    if (total > request->body_capacity || total > request->body_booked) {
        size_t wanted = total < 8192 ? 16384 : 2 * total;
        if (wanted > request->body_max)
            wanted = request->body_max;
        if (!es_http_body_reserve(request, wanted < total ? total : wanted)) {
            (void)es_fail(&request->refusal, ES_ERR_NOMEM, "no room for the body now");
            refuse(request, 503);
            return;
        }
    }
    memcpy(request->body + request->body_shift + request->body_bytes, bytes, size);
    request->body_bytes = total;
}

static void hand_on(es_http_request *request, const char *bytes, size_t size)
{
    request->body_bytes += size;
    if (request->body_bytes > request->body_max) {
        (void)es_fail(&request->refusal, ES_ERR_LIMIT, "the body is larger than %zu bytes",
                      request->body_max);
        refuse(request, 413);
        return;
    }
    es_status status =
        request->route->take(request->route->context, request, bytes, size, &request->refusal);
    if (status != ES_OK)
        refuse(request, es_status_http(status));
}

static enum MHD_Result on_piece(es_http_request *request, const char *bytes, size_t size)
{
    if (request->phase == ES_HTTP_PHASE_BODY && request->route->take != NULL)
        hand_on(request, bytes, size);
    else if (request->phase == ES_HTTP_PHASE_BODY)
        collect(request, bytes, size);
    if (request->phase == ES_HTTP_PHASE_DRAIN) {
        request->drained_bytes += size;
        if (request->drained_bytes > 2 * DRAIN_BYTES_MAX)
            return MHD_NO;
    }
    return MHD_YES;
}

enum MHD_Result es_http_on_access(void *context, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    es_http_request *request = *request_context;
    (void)context;
    (void)mhd;
    (void)url;
    (void)version;
    if (request == NULL)
        return MHD_NO;
    if (request->phase == ES_HTTP_PHASE_HEAD)
        return on_head(request, method);
    if (*upload_size > 0) {
        size_t size = *upload_size;
        *upload_size = 0;
        return on_piece(request, upload, size);
    }
    if (request->phase == ES_HTTP_PHASE_DRAIN)
        return queue_refusal(request);
    if (request->phase == ES_HTTP_PHASE_BODY)
        return call_handler(request);
    return queue_answer(request);
}
