/* The sockets of a loop's calls in the loop's epoll. They stay registered while their connection
 * rests, so that a call over a kept connection costs no system call for that. */
#include "calling.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct es_http_socket {
    bool ours;               /* made by open, so its end will be told */
    uint32_t wanted, having; /* what the library waits for; what epoll tells */
};

static es_http_socket *find(es_http_sockets *sockets, int fd)
{
    if (fd < 0 || (size_t)fd >= sockets->count || !sockets->items[fd].ours)
        return NULL;
    return &sockets->items[fd];
}

static bool room_for(es_http_sockets *sockets, int fd)
{
    size_t wanted = (size_t)fd + 1;
    if (wanted <= sockets->count)
        return true;
    wanted = wanted < 64 ? 64 : 2 * wanted;
    es_http_socket *more = realloc(sockets->items, wanted * sizeof *more);
    if (more == NULL)
        return false;
    memset(more + sockets->count, 0, (wanted - sockets->count) * sizeof *more);
    sockets->items = more;
    sockets->count = wanted;
    return true;
}

curl_socket_t es_http_sockets_open(void *context, curlsocktype purpose,
                                   struct curl_sockaddr *address)
{
    es_http_sockets *sockets = context;
    (void)purpose; /* there is one only */
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (!room_for(sockets, fd)) {
        (void)close(fd); /* nothing was written to it */
        return CURL_SOCKET_BAD;
    }
    sockets->items[fd] = (es_http_socket){.ours = true};
    return fd;
}

int es_http_sockets_close(void *context, curl_socket_t fd)
{
    es_http_socket *known = find(context, fd);
    if (known != NULL)
        *known = (es_http_socket){0}; /* epoll forgets it by itself */
    return close(fd);
}

static void watch(const es_http_sockets *sockets, int fd, uint32_t events, bool known)
{
    struct epoll_event wanted = {.events = events, .data.u64 = (uint64_t)fd};
    /* If it fails nothing will be told of the socket, and the call's deadline ends it. */
    if (epoll_ctl(sockets->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &wanted) != 0 &&
        errno == EEXIST)
        (void)epoll_ctl(sockets->epoll_fd, EPOLL_CTL_MOD, fd, &wanted);
}

static void unwatch(const es_http_sockets *sockets, int fd)
{
    struct epoll_event ignored = {0};
    (void)epoll_ctl(sockets->epoll_fd, EPOLL_CTL_DEL, fd, &ignored); /* as good as gone */
}

int es_http_sockets_want(CURL *curl, curl_socket_t fd, int what, void *context,
                         void *socket_context)
{
    es_http_sockets *sockets = context;
    es_http_socket *known = find(sockets, fd);
    uint32_t events = 0;
    (void)curl;
    (void)socket_context;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    if (known == NULL) { /* the resolver's, whose end is not told */
        if (what == CURL_POLL_REMOVE)
            unwatch(sockets, fd);
        else
            watch(sockets, fd, events, false);
        return 0;
    }
    known->wanted = events;
    if (events != 0 && events != known->having) {
        watch(sockets, fd, events, known->having != 0);
        known->having = events;
    }
    return 0;
}

int es_http_sockets_event(es_http_sockets *sockets, int fd, uint32_t events)
{
    es_http_socket *known = find(sockets, fd);
    uint32_t wanted = known != NULL ? known->wanted : (uint32_t)(EPOLLIN | EPOLLOUT);
    int mask = 0;
    if (known != NULL && wanted == 0) { /* the other end of a resting connection has gone */
        unwatch(sockets, fd);
        known->having = 0;
        return 0;
    }
    /* An error shows when the library reads or writes, with its reason. */
    if ((wanted & EPOLLIN) != 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        mask |= CURL_CSELECT_IN;
    if ((wanted & EPOLLOUT) != 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        mask |= CURL_CSELECT_OUT;
    return mask;
}

void es_http_sockets_done(es_http_sockets *sockets)
{
    free(sockets->items);
    *sockets = (es_http_sockets){.epoll_fd = -1};
}
