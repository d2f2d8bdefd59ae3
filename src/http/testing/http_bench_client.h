/* What the benchmarks' clients share: whole requests over blocking sockets on loopback. */
#ifndef ES_HTTP_BENCH_CLIENT_H
#define ES_HTTP_BENCH_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return fd;
}

static inline bool send_all(int fd, const char *bytes, size_t size)
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

/* Answers are small enough to come in one piece on loopback. */
static inline bool read_answer(int fd)
{
    char bytes[2048];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    return got > 12 && memcmp(bytes, "HTTP/1.1 200", 12) == 0;
}

#endif
