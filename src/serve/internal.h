/*
 * serve, private: the link emulator, frames, message buffers, connections and processes shared by
 * the node (node_internal.h) and the run (run_internal.h). Protocol: README.md.
 */
#ifndef ES_SERVE_INTERNAL_H
#define ES_SERVE_INTERNAL_H

#include "base/arena.h"
#include "base/clock.h"
#include "outcome/outcome.h"
#include "runtime/runtime.h"
#include "serve/serve.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- frames ---- */

typedef enum es_frame_type {
    ES_FRAME_HELLO = 1, /* first on every connection */
    ES_FRAME_CONFIG,    /* run -> node */
    ES_FRAME_READY,     /* node -> run */
    ES_FRAME_FAILED,    /* node -> run: it cannot serve; a status and a text */
    ES_FRAME_REQUEST,   /* run -> entry node, node -> node */
    ES_FRAME_ANSWER,    /* node -> node, origin node -> run */
    ES_FRAME_STATS,     /* run -> node asks, node -> run answers */
    ES_FRAME_STOP,      /* run -> node */
    ES_FRAME_TYPE_END
} es_frame_type;

enum {
    ES_FRAME_HEADER_SIZE = 12,
    ES_REQUEST_HEADER_SIZE = 192, /* a multiple of 64: tensors behind it stay aligned */
    ES_HELLO_SIZE = 32,
    ES_STATS_SIZE = 40,
    ES_TOKEN_SIZE = 16,
    ES_FAILED_SIZE_MAX = 4 + ES_ERROR_SIZE,
    ES_CONFIG_SIZE_MAX = 64 << 20,
    ES_READY_SIZE_MAX = 1 << 20,
    ES_PAYLOAD_SIZE_MAX = 256 << 20, /* tensors of one message together */
    ES_RUN_NODE_MAX = 256,           /* processes of one run */
    ES_NODE_WORKERS_MAX = 64,
    ES_PROTOCOL_VERSION = 3
};

typedef struct es_frame_header {
    es_frame_type type;
    uint32_t size; /* of the body */
} es_frame_header;

void es_frame_header_encode(es_frame_header header, uint8_t out[ES_FRAME_HEADER_SIZE]);

/* Refuses a wrong magic, an unknown type and a body larger than its type allows: before any
 * memory is taken for it. payload_max bounds the tensors of requests and answers. */
es_status es_frame_header_decode(const uint8_t bytes[ES_FRAME_HEADER_SIZE], size_t payload_max,
                                 es_frame_header *out, es_error *err) ES_MUST_CHECK;

typedef enum es_hello_role { ES_HELLO_CONTROL, ES_HELLO_LINK, ES_HELLO_COUNT } es_hello_role;

typedef struct es_hello {
    es_hello_role role;
    uint32_t from; /* node index of the sender; links only */
    uint8_t token[ES_TOKEN_SIZE];
} es_hello;

void es_hello_encode(const es_hello *hello, uint8_t out[ES_HELLO_SIZE]);
es_status es_hello_decode(const uint8_t *bytes, size_t size, es_hello *out,
                          es_error *err) ES_MUST_CHECK;

/* Head of a request or an answer; payload, then carried, follow it in the frame. */
typedef struct es_request {
    uint64_t id;
    int64_t when_ns;      /* request, answer between nodes: do nothing with it before then;
                             answer to the run: when the origin node had it */
    uint64_t link_bytes;  /* what it counts on emulated links */
    uint32_t route;       /* index in the configured routes */
    uint32_t destination; /* node */
    uint32_t payload_bytes;
    uint32_t carried_bytes; /* the request's own input, for a later stage of a cascade */
    uint32_t turn;          /* in which the destination serves it; 0: when it comes */
    uint8_t stage;          /* to run next; in answers the last one run */
    uint8_t stages_run;
    es_fate fate; /* of answers; the payload of refused and failed ones is a text */
    uint64_t queue_ns[ES_STAGE_COUNT_MAX];
    uint64_t service_ns[ES_STAGE_COUNT_MAX];
} es_request;

void es_request_encode(const es_request *request, uint8_t out[ES_REQUEST_HEADER_SIZE]);
es_status es_request_decode(const uint8_t *bytes, size_t size, es_request *out,
                            es_error *err) ES_MUST_CHECK;

typedef struct es_stats {
    uint64_t tag;            /* copied from the question */
    uint64_t busy_ns;        /* summed over workers since the start */
    uint64_t waiting;        /* requests in the queue */
    uint64_t energy_uj;      /* of the process since the start, above rest, by counters */
    uint64_t energy_sources; /* bit per es_meter_source; 0: no counters */
} es_stats;

void es_stats_encode(const es_stats *stats, uint8_t out[ES_STATS_SIZE]);
es_status es_stats_decode(const uint8_t *bytes, size_t size, es_stats *out,
                          es_error *err) ES_MUST_CHECK;

/* status and text <-> bytes; returns the size used. */
size_t es_failed_encode(es_status status, const char *text, uint8_t out[ES_FAILED_SIZE_MAX]);
es_status es_failed_decode(const uint8_t *bytes, size_t size, es_error *out,
                           es_error *err) ES_MUST_CHECK;

/* Little-endian writing into a text and checked reading: used for the configuration. */
typedef struct es_cursor {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    bool broken; /* read past the end, or a text that is no text: everything after reads as 0 */
} es_cursor;

uint64_t es_cursor_uint(es_cursor *cursor, size_t byte_count); /* byte_count <= 8 */
double es_cursor_double(es_cursor *cursor);
/* A copy, terminated; NULL when broken, longer than size_max, or the arena is full. */
const char *es_cursor_text(es_cursor *cursor, es_arena *arena, size_t size_max);
void es_put_uint(es_text *out, uint64_t value, size_t byte_count);
void es_put_double(es_text *out, double value);
void es_put_text(es_text *out, const char *text);

/* ---- configuration of a node ---- */

typedef struct es_config_link {
    uint32_t to; /* node index */
    const char *address;
    uint16_t port;
    int64_t latency_ns;
    double bandwidth_bps;
} es_config_link;

typedef struct es_config_segment {
    uint32_t segment; /* index in the scenario */
    const char *name;
    const char *file;
    int64_t hold_ns; /* the scenario's service time on this hardware, >= 0 */
} es_config_segment;

typedef struct es_config_stage {
    uint32_t segment;
    uint32_t node;
    es_stage_input input;
    uint32_t exit_output;
    double exit_threshold;
    uint32_t input_bytes;
} es_config_stage;

typedef struct es_config_route {
    uint32_t origin;       /* node where requests enter and answers go */
    uint64_t output_bytes; /* counted on links for an answer */
    uint32_t stage_count;
    es_config_stage stages[ES_STAGE_COUNT_MAX];
} es_config_route;

typedef struct es_config {
    uint32_t node; /* index of the receiver */
    uint32_t node_count;
    const char *name;
    const char *ort_library; /* "": the default search */
    uint32_t workers;
    double slowdown; /* of the node's kind against the host, >= 1; 0: not told */
    uint32_t queue_capacity;
    uint32_t payload_max;      /* bytes of tensors in one message */
    double link_backlog_bytes; /* more waiting than this on a link: requests are refused */
    uint32_t link_count;
    es_config_link *links;
    uint32_t *next_hops; /* [node_count] index into links; ES_INDEX_NONE: none */
    uint32_t segment_count;
    es_config_segment *segments;
    uint32_t route_count;
    es_config_route *routes;
} es_config;

void es_config_encode(const es_config *config, es_text *out);
/* Everything is range-checked; the result lives in arena. */
es_status es_config_decode(es_arena *arena, const uint8_t *bytes, size_t size, es_config *out,
                           es_error *err) ES_MUST_CHECK;

/* What a node says when it is ready: the type of each hosted segment's input, in order. */
void es_ready_encode(const es_dtype *dtypes, uint32_t count, es_text *out);
es_status es_ready_decode(const uint8_t *bytes, size_t size, es_dtype *out_dtypes, uint32_t count,
                          es_error *err) ES_MUST_CHECK;

/* ---- messages: pooled buffers, one frame each ---- */

typedef struct es_message es_message;
struct es_message {
    es_message *next; /* in a list */
    size_t capacity;
    es_frame_header header;
    es_request request; /* of request and answer frames: decoded; encoded again when sent */
    int64_t when_ns;
    uint8_t *bytes; /* 64-byte aligned, [header.size] */
    uint32_t size_class;
};

enum { ES_MESSAGE_CLASS_COUNT = 32 };

/* Free buffers by size class. One owner. */
typedef struct es_message_pool {
    es_message *free[ES_MESSAGE_CLASS_COUNT];
    size_t used_bytes; /* in messages handed out */
    size_t cap_bytes;
    size_t kept_bytes; /* in free buffers */
} es_message_pool;

void es_message_pool_init(es_message_pool *pool, size_t cap_bytes);
void es_message_pool_done(es_message_pool *pool); /* messages handed out must be back */
/* A message for a body of size bytes, or NULL when the cap or the memory is reached. */
es_message *es_message_take(es_message_pool *pool, es_frame_type type, size_t size);
void es_message_give(es_message_pool *pool, es_message *message); /* NULL is fine */

typedef struct es_message_list {
    es_message *first;
    es_message *last;
    size_t count;
    size_t bytes;
} es_message_list;

void es_message_list_push(es_message_list *list, es_message *message);
es_message *es_message_list_pop(es_message_list *list); /* NULL when empty */
void es_message_list_clear(es_message_list *list, es_message_pool *pool);

/* ---- connections: framed, non-blocking ---- */

typedef struct es_conn {
    int fd; /* -1: closed */
    es_message_pool *pool;
    size_t payload_max;
    uint32_t types; /* bit set of the frame types that may come in */
    bool starved;   /* the pool was empty: reading waits until memory is back */
    bool wants_write;
    uint8_t head[ES_FRAME_HEADER_SIZE];
    size_t head_size;
    es_message *incoming;
    size_t incoming_size;
    es_message_list outgoing;
    uint8_t out_head[ES_FRAME_HEADER_SIZE];
    size_t out_sent; /* bytes of the first outgoing frame, header included */
} es_conn;

#define ES_FRAME_BIT(type) (UINT32_C(1) << (type))

void es_conn_init(es_conn *conn, int fd, es_message_pool *pool, size_t payload_max, uint32_t types);
void es_conn_close(es_conn *conn); /* gives its messages back; fine when closed */

/* The next whole message; NULL in *out_message when there is none yet. ES_ERR_UNAVAILABLE: the
 * other side has closed; ES_ERR_PARSE: it speaks nonsense. */
es_status es_conn_receive(es_conn *conn, es_message **out_message, es_error *err) ES_MUST_CHECK;

/* Queues message (taken over in any case) and sends what the socket takes. */
es_status es_conn_send(es_conn *conn, es_message *message, es_error *err) ES_MUST_CHECK;
/* Sends what waits; wants_write says whether something still does. */
es_status es_conn_flush(es_conn *conn, es_error *err) ES_MUST_CHECK;

/* A frame whose body is these bytes. */
es_status es_conn_send_bytes(es_conn *conn, es_frame_type type, const void *bytes, size_t size,
                             es_error *err) ES_MUST_CHECK;

/* ---- sockets and timers ---- */

/* address is a numeric IPv4 or IPv6 address. Non-blocking, close on exec. */
es_status es_socket_listen(const char *address, uint16_t port, int *out_fd, uint16_t *out_port,
                           es_error *err) ES_MUST_CHECK;
/* Connects, blocking (loopback: at once), then makes it non-blocking. */
es_status es_socket_connect(const char *address, uint16_t port, int *out_fd,
                            es_error *err) ES_MUST_CHECK;
/* A connection waiting at listen_fd, or -1. */
int es_socket_accept(int listen_fd);

/* epoll interest in fd; data comes back with the event. */
es_status es_poll_add(int epoll_fd, int fd, uint32_t events, uint64_t data,
                      es_error *err) ES_MUST_CHECK;
void es_poll_change(int epoll_fd, int fd, uint32_t events, uint64_t data);

/* A timer on the monotonic clock, and setting it to a moment (past ones fire at once;
 * INT64_MAX: never). */
es_status es_timer_new(int *out_fd, es_error *err) ES_MUST_CHECK;
void es_timer_set(int fd, int64_t when_ns);
void es_timer_clear(int fd); /* after it fired */

#endif
