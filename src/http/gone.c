/* Clients that go while nobody reads from them: their request is with its handler, a streamed
 * answer is dry, or they closed in the packet of their last request. The library does not see it,
 * so now and then all such sockets are looked at, with one system call. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "internal.h"

#include <poll.h>
#include <sys/socket.h>

static const int64_t LOOK_IDLE_NS = ES_NS_PER_S;

static bool nobody_reads(const es_http_conn *conn)
{
    return conn->request == NULL || (conn->request->suspended && !conn->request->gone_seen);
}

static bool room_for(es_http_loop *loop, size_t count)
{
    if (count <= loop->look_capacity)
        return true;
    struct pollfd *fds = realloc(loop->look, 2 * count * sizeof *fds);
    if (fds != NULL)
        loop->look = fds;
    es_http_conn **conns = realloc(loop->look_conns, 2 * count * sizeof(es_http_conn *));
    if (conns != NULL)
        loop->look_conns = conns;
    if (fds == NULL || conns == NULL)
        return false; /* then not this time */
    loop->look_capacity = 2 * count;
    return true;
}

static void tell(es_http_conn *conn)
{
    char next;
    es_http_request *request = conn->request;
    if (request == NULL) {
        if (recv(conn->fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) /* not a last request's */
            (void)shutdown(conn->fd, SHUT_RDWR); /* the library sees this end and cleans up */
        return;
    }
    atomic_fetch_add(&conn->loop->server->gone, 1);
    request->gone_seen = true;
    atomic_store(&request->gone, true);
    if (request->phase == ES_HTTP_PHASE_SEND) /* a stream: nobody takes what it would give */
        (void)es_http_request_cancel(request, 503, "the client has gone");
    else if (request->user_gone != NULL && atomic_load(&request->state) == ES_HTTP_PARKED)
        request->user_gone(request->user);
}

void es_http_gone_check(es_http_loop *loop, int64_t now_ns)
{
    size_t count = 0;
    if (now_ns < loop->look_at_ns)
        return;
    for (const es_http_conn *conn = loop->conns; conn != NULL; conn = conn->next)
        count += nobody_reads(conn);
    loop->look_at_ns = loop->conns == NULL         ? INT64_MAX
                       : loop->suspended_count > 0 ? now_ns + ES_HTTP_LOOK_BUSY_NS
                                                   : now_ns + LOOK_IDLE_NS;
    if (count == 0 || !room_for(loop, count))
        return;
    count = 0;
    for (es_http_conn *conn = loop->conns; conn != NULL; conn = conn->next) {
        if (!nobody_reads(conn))
            continue;
        loop->look[count] = (struct pollfd){.fd = conn->fd, .events = POLLRDHUP};
        loop->look_conns[count++] = conn; /* stays: the library alone ends it */
    }
    if (poll(loop->look, count, 0) <= 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (loop->look[i].revents != 0 && nobody_reads(loop->look_conns[i]))
            tell(loop->look_conns[i]);
    }
}

void es_http_gone_soon(es_http_loop *loop, int64_t wait_ns)
{
    if (loop->look_at_ns > loop->now_ns + wait_ns)
        loop->look_at_ns = loop->now_ns + wait_ns;
}
