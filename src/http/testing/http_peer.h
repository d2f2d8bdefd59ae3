/* A client that can misbehave: bytes over a socket, for tests. */
#ifndef ES_HTTP_PEER_H
#define ES_HTTP_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PEER_ANSWER_MAX = 1 << 20 };

static inline int peer_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = 10};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* False when the server has closed. */
static inline bool peer_send_n(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

static inline bool peer_send(int fd, const char *text)
{
    return peer_send_n(fd, text, strlen(text));
}

/* Everything until the server closes; terminated. Fails the test after 10 s of silence. */
static inline size_t peer_read_all(int fd, char *out, size_t room)
{
    size_t used = 0;
    for (;;) {
        ssize_t got = recv(fd, out + used, room - 1 - used, 0);
        if (got < 0 && errno == ECONNRESET)
            got = 0;
        if (got < 0)
            fail_msg("the server neither answered nor closed");
        if (got == 0)
            break;
        used += (size_t)got;
        if (used + 1 == room)
            fail_msg("the answer is too long");
    }
    out[used] = '\0';
    return used;
}

/* One answer with Content-Length; terminated. Returns its status, 0 when the server closed. */
static inline int peer_read_one(int fd, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (;;) {
        const char *end = strstr(out, "\r\n\r\n");
        const char *length = strstr(out, "Content-Length: ");
        if (end != NULL && length != NULL &&
            used >= (size_t)(end + 4 - out) + strtoul(length + 16, NULL, 10))
            break;
        ssize_t got = recv(fd, out + used, room - 1 - used, 0);
        if (got < 0 && errno == ECONNRESET)
            return 0;
        if (got < 0)
            fail_msg("no whole answer within 10 s (errno %d): '%s'", errno, out);
        if (got == 0)
            return 0;
        used += (size_t)got;
        out[used] = '\0';
    }
    return (int)strtol(out + 9, NULL, 10);
}

/* The status of what the server says to these bytes, then the connection closes. */
static inline int peer_ask(uint16_t port, const char *request, char *out, size_t room)
{
    int fd = peer_connect(port);
    (void)peer_send(fd, request);
    int status = peer_read_one(fd, out, room);
    (void)close(fd);
    return status;
}

#endif
