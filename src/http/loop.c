/* One thread, one daemon of libmicrohttpd driven from outside: so time limits, stopping and the
 * library's own work happen in one place and need no lock. */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static ES_PRINTF(2, 0) void keep_complaint(void *context, const char *format, va_list args)
{
    es_http_loop *loop = context;
    if (loop->start_error != NULL) /* later ones are about single clients */
        (void)es_fail_v(loop->start_error, ES_ERR_IO, format, args);
}

static struct MHD_Daemon *daemon_start(es_http_loop *loop)
{
    es_http_server *server = loop->server;
    const es_http_server_opts *opts = &server->opts;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[5];
    size_t count = 0;
    /* Room for the request's head, the answer's head, and reading ahead in a body. */
    size_t memory = opts->header_bytes_max + opts->target_bytes_max + (size_t)48 * 1024;
    if (server->certificate_pem != NULL) {
        flags |= MHD_USE_TLS;
        tls[count++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, server->certificate_pem};
        tls[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, server->key_pem};
        tls[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                               (void *)(uintptr_t)ES_HTTP_TLS_PRIORITY};
        if (server->ca_pem != NULL)
            tls[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, server->ca_pem};
    }
    tls[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(
        flags, 0, NULL, NULL, es_http_on_access, loop, MHD_OPTION_EXTERNAL_LOGGER, keep_complaint,
        loop, MHD_OPTION_LISTEN_SOCKET, loop->listen_fd, MHD_OPTION_NOTIFY_CONNECTION,
        es_http_on_connection, loop, MHD_OPTION_NOTIFY_COMPLETED, es_http_on_completed, loop,
        MHD_OPTION_URI_LOG_CALLBACK, es_http_on_target, loop, MHD_OPTION_CONNECTION_LIMIT,
        (opts->connections_max + opts->loop_count - 1) / opts->loop_count,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(opts->idle_timeout_s + 0.999), MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/* ---- stopping ---- */

/* True when the loop may end. */
static bool stop_step(es_http_loop *loop, int64_t now_ns)
{
    int64_t stop_at_ns = atomic_load(&loop->server->stop_at_ns);
    if (!loop->quiet) {
        MHD_socket listening = MHD_quiesce_daemon(loop->daemon);
        if (listening != MHD_INVALID_SOCKET)
            (void)close(listening); /* a copy; nothing was written to it */
        loop->quiet = true;
    }
    for (es_http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
        if (conn->request == NULL)
            (void)shutdown(conn->fd, SHUT_RDWR); /* fails when the client has gone: as good */
    }
    /* What a thread is just handing over is waited for: the library does not stop with it. */
    if (loop->conns == NULL || (now_ns > stop_at_ns + ES_NS_PER_S && loop->suspended_count == 0))
        return true;
    if (now_ns >= stop_at_ns && !loop->refusing) {
        loop->refusing = true;
        for (es_http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
            es_http_request *request = conn->request;
            if (request != NULL && request->phase >= ES_HTTP_PHASE_WAIT)
                (void)es_http_request_cancel(request, 503, "the server is stopping");
            else
                (void)shutdown(conn->fd, SHUT_RDWR);
        }
    }
    return false;
}

/* ---- the loop ---- */

static int wait_ms(es_http_loop *loop, int64_t now_ns)
{
    enum { STOPPING_MS = 10 };
    MHD_UNSIGNED_LONG_LONG library_ms = 0;
    int64_t wait = INT_MAX;
    if (loop->again)
        return 0;
    if (MHD_get_timeout(loop->daemon, &library_ms) == MHD_YES && library_ms < INT_MAX)
        wait = (int64_t)library_ms;
    if (loop->deadline_ns != INT64_MAX) {
        int64_t left_ns = loop->deadline_ns - now_ns;
        int64_t left_ms = left_ns <= 0 ? 0 : (left_ns + ES_NS_PER_MS - 1) / ES_NS_PER_MS;
        wait = left_ms < wait ? left_ms : wait;
    }
    if (loop->quiet && wait > STOPPING_MS)
        wait = STOPPING_MS;
    return (int)wait;
}

static void resume_awake(es_http_loop *loop)
{
    es_http_request *next = NULL;
    for (es_http_request *request = es_http_waker_take_all(loop->waker); request != NULL;
         request = next) {
        next = request->next_awake;
        es_http_request_resume(request);
    }
}

static void *run(void *context)
{
    es_http_loop *loop = context;
    es_clock *clock = loop->server->clock;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd watched[2] = {{.fd = info->epoll_fd, .events = POLLIN},
                                {.fd = loop->waker->fd, .events = POLLIN}};
    bool ended = false;
    while (!ended) {
        int64_t now_ns = es_clock_now_ns(clock);
        int ready = poll(watched, 2, wait_ms(loop, now_ns));
        if (ready > 0 && (watched[1].revents & POLLIN) != 0)
            es_http_waker_hush(loop->waker);
        resume_awake(loop);
        loop->again = false;
        (void)MHD_run(loop->daemon); /* fails only for a daemon of another mode */
        now_ns = es_clock_now_ns(clock);
        es_http_deadlines_check(loop, now_ns);
        if (atomic_load(&loop->server->stop_at_ns) != INT64_MAX)
            ended = stop_step(loop, now_ns);
    }
    /* What was resumed must be seen by the library, else it refuses to stop. */
    (void)MHD_run(loop->daemon);
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    return NULL;
}

/* ---- life ---- */

es_status es_http_loop_init(es_http_loop *loop, es_http_server *server, es_error *err)
{
    *loop = (es_http_loop){.server = server, .listen_fd = -1, .deadline_ns = INT64_MAX};
    loop->waker = es_http_waker_new();
    if (loop->waker == NULL)
        return es_fail(err, ES_ERR_IO, "cannot make an event descriptor: errno %d", errno);
    return ES_OK;
}

es_status es_http_loop_start(es_http_loop *loop, es_error *err)
{
    es_error why = {0};
    loop->listen_fd = dup(loop->server->listen_fd);
    if (loop->listen_fd < 0)
        return es_fail(err, ES_ERR_IO, "cannot duplicate the listening socket: errno %d", errno);
    loop->start_error = &why;
    loop->daemon = daemon_start(loop);
    loop->start_error = NULL;
    if (loop->daemon == NULL)
        return es_fail(err, ES_ERR_IO, "the HTTP library does not start: %s", es_error_text(&why));
    loop->listen_fd = -1; /* the daemon's now */
    if (pthread_create(&loop->thread, NULL, run, loop) != 0) {
        MHD_stop_daemon(loop->daemon);
        loop->daemon = NULL;
        return es_fail(err, ES_ERR_NOMEM, "cannot start a thread for the HTTP server");
    }
    loop->thread_runs = true;
    return ES_OK;
}

void es_http_loop_done(es_http_loop *loop)
{
    if (loop->thread_runs)
        (void)pthread_join(loop->thread, NULL); /* fails only for a thread that is not ours */
    loop->thread_runs = false;
    if (loop->listen_fd >= 0)
        (void)close(loop->listen_fd); /* nothing was written to it */
    loop->listen_fd = -1;
    es_http_waker_unref(loop->waker);
    loop->waker = NULL;
    while (loop->free_requests != NULL) {
        es_http_request *request = loop->free_requests;
        loop->free_requests = request->next_free;
        es_http_request_destroy(request);
    }
}
