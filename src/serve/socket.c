#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { BACKLOG = 512 };

typedef union any_address {
    struct sockaddr base;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} any_address;

static es_status parse_address(const char *address, uint16_t port, any_address *out,
                               socklen_t *out_size, es_error *err)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, address, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        *out_size = sizeof out->v4;
        return ES_OK;
    }
    if (inet_pton(AF_INET6, address, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *out_size = sizeof out->v6;
        return ES_OK;
    }
    return es_fail(err, ES_ERR_ARG, "address '%s' must be a numeric IPv4 or IPv6 address", address);
}

static bool prepare(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* only slower without */
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static es_status open_socket(const any_address *where, int *out_fd, es_error *err)
{
    int fd = socket(where->base.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return es_fail(err, ES_ERR_IO, "cannot make a socket: %s", strerror(errno));
    *out_fd = fd;
    return ES_OK;
}

static es_status give_up(int fd, const char *what, const char *address, uint16_t port,
                         es_error *err)
{
    int reason = errno;
    (void)close(fd); /* the first error is the one to tell */
    return es_fail(err, ES_ERR_IO, "cannot %s %s port %u: %s", what, address, port,
                   strerror(reason));
}

es_status es_socket_listen(const char *address, uint16_t port, int *out_fd, uint16_t *out_port,
                           es_error *err)
{
    any_address where;
    socklen_t size = 0;
    int fd = -1;
    int one = 1;
    ES_TRY(parse_address(address, port, &where, &size, err));
    ES_TRY(open_socket(&where, &fd, err));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* bind tells */
    if (bind(fd, &where.base, size) != 0 || listen(fd, BACKLOG) != 0 || !prepare(fd) ||
        getsockname(fd, &where.base, &size) != 0)
        return give_up(fd, "listen on", address, port, err);
    *out_port = ntohs(where.base.sa_family == AF_INET ? where.v4.sin_port : where.v6.sin6_port);
    *out_fd = fd;
    return ES_OK;
}

es_status es_socket_connect(const char *address, uint16_t port, int *out_fd, es_error *err)
{
    any_address where;
    socklen_t size = 0;
    int fd = -1;
    ES_TRY(parse_address(address, port, &where, &size, err));
    ES_TRY(open_socket(&where, &fd, err));
    if (connect(fd, &where.base, size) != 0 || !prepare(fd))
        return give_up(fd, "connect to", address, port, err);
    *out_fd = fd;
    return ES_OK;
}

int es_socket_accept(int listen_fd)
{
    int fd = accept(listen_fd, NULL, NULL);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || !prepare(fd)) {
        (void)close(fd); /* as if it had never come */
        return -1;
    }
    return fd;
}

es_status es_poll_add(int epoll_fd, int fd, uint32_t events, uint64_t data, es_error *err)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return es_fail(err, ES_ERR_IO, "cannot watch a connection: %s", strerror(errno));
    return ES_OK;
}

void es_poll_change(int epoll_fd, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event); /* fails only on our own mistakes */
}

es_status es_timer_new(int *out_fd, es_error *err)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0)
        return es_fail(err, ES_ERR_IO, "cannot make a timer: %s", strerror(errno));
    *out_fd = fd;
    return ES_OK;
}

void es_timer_set(int fd, int64_t when_ns)
{
    struct itimerspec when = {0};
    if (when_ns != INT64_MAX) {
        int64_t at_ns = when_ns > 0 ? when_ns : 1; /* 0 would switch it off */
        when.it_value.tv_sec = (time_t)(at_ns / ES_NS_PER_S);
        when.it_value.tv_nsec = (long)(at_ns % ES_NS_PER_S);
    }
    (void)timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL); /* the values are in range */
}

void es_timer_clear(int fd)
{
    uint64_t count = 0;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* nothing there: someone else was faster */
}
