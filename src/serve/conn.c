#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void es_conn_init(es_conn *conn, int fd, es_message_pool *pool, size_t payload_max, uint32_t types)
{
    *conn = (es_conn){.fd = fd, .pool = pool, .payload_max = payload_max, .types = types};
}

void es_conn_close(es_conn *conn)
{
    if (conn->pool == NULL || conn->fd < 0)
        return;
    (void)close(conn->fd); /* nothing to do about it */
    conn->fd = -1;
    conn->wants_write = false;
    es_message_give(conn->pool, conn->incoming);
    conn->incoming = NULL;
    es_message_list_clear(&conn->outgoing, conn->pool);
}

/* Reads at most size bytes; 0 in *out_got when there are none yet. */
static es_status read_some(es_conn *conn, void *bytes, size_t size, size_t *out_got, es_error *err)
{
    *out_got = 0;
    for (;;) {
        ssize_t got = recv(conn->fd, bytes, size, 0);
        if (got > 0) {
            *out_got = (size_t)got;
            return ES_OK;
        }
        if (got == 0)
            return es_fail(err, ES_ERR_UNAVAILABLE, "the other side has closed the connection");
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return ES_OK;
        if (errno != EINTR)
            return es_fail(err, ES_ERR_UNAVAILABLE, "cannot read from the connection: %s",
                           strerror(errno));
    }
}

/* The header is complete: makes room for the body. */
static es_status begin_body(es_conn *conn, es_error *err)
{
    es_frame_header header;
    ES_TRY(es_frame_header_decode(conn->head, conn->payload_max, &header, err));
    if ((conn->types & ES_FRAME_BIT(header.type)) == 0)
        return es_fail(err, ES_ERR_PARSE, "frame of type %d does not belong here",
                       (int)header.type);
    conn->incoming = es_message_take(conn->pool, header.type, header.size);
    conn->starved = conn->incoming == NULL;
    conn->incoming_size = 0;
    return ES_OK;
}

static es_status end_body(es_conn *conn, es_message **out_message, es_error *err)
{
    es_message *message = conn->incoming;
    es_frame_type type = message->header.type;
    conn->incoming = NULL;
    conn->head_size = 0;
    if (type == ES_FRAME_REQUEST || type == ES_FRAME_ANSWER) {
        es_status status =
            es_request_decode(message->bytes, message->header.size, &message->request, err);
        if (status != ES_OK) {
            es_message_give(conn->pool, message);
            return status;
        }
    }
    *out_message = message;
    return ES_OK;
}

es_status es_conn_receive(es_conn *conn, es_message **out_message, es_error *err)
{
    *out_message = NULL;
    size_t got = 0;
    while (conn->head_size < ES_FRAME_HEADER_SIZE) {
        ES_TRY(read_some(conn, conn->head + conn->head_size, ES_FRAME_HEADER_SIZE - conn->head_size,
                         &got, err));
        if (got == 0)
            return ES_OK;
        conn->head_size += got;
    }
    if (conn->incoming == NULL)
        ES_TRY(begin_body(conn, err));
    if (conn->incoming == NULL)
        return ES_OK; /* starved */
    while (conn->incoming_size < conn->incoming->header.size) {
        ES_TRY(read_some(conn, conn->incoming->bytes + conn->incoming_size,
                         conn->incoming->header.size - conn->incoming_size, &got, err));
        if (got == 0)
            return ES_OK;
        conn->incoming_size += got;
    }
    return end_body(conn, out_message, err);
}

/* Makes the first outgoing message ready: its head, and a request's state into its body. */
static void begin_send(es_conn *conn)
{
    es_message *message = conn->outgoing.first;
    es_frame_header_encode(message->header, conn->out_head);
    if (message->header.type == ES_FRAME_REQUEST || message->header.type == ES_FRAME_ANSWER)
        es_request_encode(&message->request, message->bytes);
}

es_status es_conn_flush(es_conn *conn, es_error *err)
{
    while (conn->fd >= 0 && conn->outgoing.first != NULL) {
        es_message *message = conn->outgoing.first;
        if (conn->out_sent == 0)
            begin_send(conn);
        size_t whole = ES_FRAME_HEADER_SIZE + (size_t)message->header.size;
        size_t skip = conn->out_sent;
        size_t body = skip > ES_FRAME_HEADER_SIZE ? skip - ES_FRAME_HEADER_SIZE : 0;
        size_t head = skip < ES_FRAME_HEADER_SIZE ? skip : ES_FRAME_HEADER_SIZE;
        struct iovec parts[2] = {
            {.iov_base = conn->out_head + head, .iov_len = ES_FRAME_HEADER_SIZE - head},
            {.iov_base = message->bytes + body, .iov_len = message->header.size - body},
        };
        struct msghdr wanted = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(conn->fd, &wanted, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (sent < 0)
            return es_fail(err, ES_ERR_UNAVAILABLE, "cannot write to the connection: %s",
                           strerror(errno));
        conn->out_sent += (size_t)sent;
        if (conn->out_sent < whole)
            continue;
        conn->out_sent = 0;
        es_message_give(conn->pool, es_message_list_pop(&conn->outgoing));
    }
    conn->wants_write = conn->fd >= 0 && conn->outgoing.first != NULL;
    return ES_OK;
}

es_status es_conn_send(es_conn *conn, es_message *message, es_error *err)
{
    if (conn->fd < 0) {
        es_message_give(conn->pool, message);
        return es_fail(err, ES_ERR_UNAVAILABLE, "the connection is closed");
    }
    es_message_list_push(&conn->outgoing, message);
    return conn->wants_write ? ES_OK : es_conn_flush(conn, err);
}

es_status es_conn_send_bytes(es_conn *conn, es_frame_type type, const void *bytes, size_t size,
                             es_error *err)
{
    es_message *message = es_message_take(conn->pool, type, size);
    if (message == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a frame of %zu bytes (cap %zu)", size,
                       conn->pool->cap_bytes);
    if (size > 0)
        memcpy(message->bytes, bytes, size);
    return es_conn_send(conn, message, err);
}
