/* One thread, one daemon of libmicrohttpd driven from outside: so time limits, stopping and the
 * library's own work happen in one place and need no lock. */
#include "internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_AHEAD_BYTES = 44 * 1024 };

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
    /* Room for the request's head, the answer's head, and reading ahead in a body. The library
     * wipes all of it for every request. */
    size_t memory = opts->header_bytes_max + opts->target_bytes_max + (size_t)READ_AHEAD_BYTES;
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

/* When the library wants to run though nothing comes; 0: now. */
static int64_t library_due_ns(es_http_loop *loop, int64_t now_ns)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    if (loop->again)
        return 0;
    if (MHD_get_timeout(loop->daemon, &wait_ms) != MHD_YES || wait_ms > INT32_MAX)
        return INT64_MAX;
    return wait_ms == 0 ? 0 : now_ns + (int64_t)wait_ms * ES_NS_PER_MS;
}

static int64_t due_ns(const es_http_loop *loop, int64_t library_ns, int64_t now_ns)
{
    int64_t due = library_ns < loop->deadline_ns ? library_ns : loop->deadline_ns;
    if (loop->look_at_ns < due)
        due = loop->look_at_ns;
    int64_t stopping_ns = now_ns + 10 * ES_NS_PER_MS;
    if (loop->core != NULL && es_http_core_due_ns(loop->core) < due)
        due = es_http_core_due_ns(loop->core);
    return loop->quiet && due > stopping_ns ? stopping_ns : due;
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

/* True when the library has something to read or accept. */
static bool take_events(es_http_loop *loop, const struct epoll_event *events, int count)
{
    bool library = false;
    for (int i = 0; i < count; i++) {
        uint64_t tag = events[i].data.u64;
        if (tag == ES_HTTP_TAG_LIBRARY)
            library = true;
        else if (tag == ES_HTTP_TAG_WAKER)
            es_http_waker_hush(loop->waker);
        else
            es_http_core_event(loop->core, (int)tag, events[i].events);
    }
    return library;
}

/* Handlers send calls, the callbacks of calls answer requests: so each has a turn after the other.
 */
static void turn(es_http_loop *loop)
{
    enum { EVENTS_MAX = 64 };
    struct epoll_event events[EVENTS_MAX];
    es_clock *clock = loop->server->clock;
    int64_t now_ns = es_clock_now_ns(clock);
    int64_t library_ns = library_due_ns(loop, now_ns);
    loop->now_ns = now_ns;
    int count = es_http_waker_wait(loop->waker, loop->epoll_fd, events, EVENTS_MAX, now_ns,
                                   due_ns(loop, library_ns, now_ns));
    bool library = take_events(loop, events, count);
    resume_awake(loop);
    if (loop->core != NULL)
        es_http_core_step(loop->core);
    if (library || loop->again || library_ns == 0 || library_ns <= es_clock_now_ns(clock)) {
        loop->again = false;
        (void)MHD_run(loop->daemon); /* fails only for a daemon of another mode */
        if (loop->core != NULL)
            es_http_core_step(loop->core);
    }
}

static void *run(void *context)
{
    es_http_loop *loop = context;
    bool ended = false;
    loop->self = pthread_self();
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* a beat is not waited for 50 us late */
    atomic_store(&loop->begun, true);
    if (loop->core != NULL)
        es_http_core_begin(loop->core);
    while (!ended) {
        turn(loop);
        int64_t now_ns = es_clock_now_ns(loop->server->clock);
        es_http_deadlines_check(loop, now_ns);
        es_http_gone_check(loop, now_ns);
        if (atomic_load(&loop->server->stop_at_ns) != INT64_MAX)
            ended = stop_step(loop, now_ns);
    }
    if (loop->core != NULL)
        es_http_core_close(loop->core);
    /* What was resumed must be seen by the library, else it refuses to stop. */
    (void)MHD_run(loop->daemon);
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    return NULL;
}

bool es_http_loop_is_here(const es_http_loop *loop)
{
    return atomic_load(&loop->begun) && pthread_equal(loop->self, pthread_self()) != 0;
}

/* ---- life ---- */

es_status es_http_loop_init(es_http_loop *loop, es_http_server *server, es_error *err)
{
    *loop = (es_http_loop){.server = server,
                           .listen_fd = -1,
                           .epoll_fd = -1,
                           .deadline_ns = INT64_MAX,
                           .look_at_ns = INT64_MAX};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->waker = es_http_waker_new();
    if (loop->epoll_fd < 0 || loop->waker == NULL ||
        !es_http_epoll_add(loop->epoll_fd, loop->waker->fd, ES_HTTP_TAG_WAKER))
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
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!es_http_epoll_add(loop->epoll_fd, info->epoll_fd, ES_HTTP_TAG_LIBRARY)) {
        MHD_stop_daemon(loop->daemon);
        loop->daemon = NULL;
        return es_fail(err, ES_ERR_IO, "cannot watch the HTTP library: errno %d", errno);
    }
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
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd); /* nothing is lost with it */
    loop->epoll_fd = -1;
    es_http_waker_unref(loop->waker);
    loop->waker = NULL;
    free(loop->look);
    free(loop->look_conns);
    loop->look = NULL;
    loop->look_conns = NULL;
    while (loop->free_requests != NULL) {
        es_http_request *request = loop->free_requests;
        loop->free_requests = request->next_free;
        es_http_request_destroy(request);
    }
}
