/* A server that can misbehave, for tests: a thread that hands each accepted connection to a script.
 */
#ifndef ES_HTTP_SCRIPT_H
#define ES_HTTP_SCRIPT_H

#include "http/testing/http_peer.h"

#include <pthread.h>
#include <stdatomic.h>

/* number: of the connection, from 0. The connection is closed when it returns. */
typedef void script_run(int fd, int number);

typedef struct script {
    int listen_fd;
    uint16_t port;
    script_run *run;
    pthread_t thread;
    _Atomic int connections;
} script;

static inline void *script_serve(void *context)
{
    script *s = context;
    for (;;) {
        int fd = accept(s->listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        s->run(fd, atomic_fetch_add(&s->connections, 1));
        (void)close(fd);
    }
}

static inline void script_start(script *s, script_run *run)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->run = run;
    atomic_store(&s->connections, 0);
    s->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->listen_fd >= 0);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listen_fd, 64), 0);
    assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&address, &size), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, script_serve, s), 0);
}

static inline void script_stop(script *s)
{
    (void)shutdown(s->listen_fd, SHUT_RDWR); /* accept returns */
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->listen_fd);
}

/* Reads one request with its body (Content-Length); false when the client has closed. */
static inline bool script_read(int fd)
{
    static _Thread_local char text[1 << 16];
    size_t used = 0;
    for (;;) {
        ssize_t got = recv(fd, text + used, sizeof text - 1 - used, 0);
        if (got <= 0)
            return false;
        used += (size_t)got;
        text[used] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        size_t body = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
        if (end != NULL && used >= (size_t)(end + 4 - text) + body)
            return true;
    }
}

/* The other end sees a reset instead of an end. */
static inline void script_reset(int fd)
{
    struct linger hard = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

#endif
