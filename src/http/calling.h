/* http, private: what the files of the calling side share. */
#ifndef ES_HTTP_CALLING_H
#define ES_HTTP_CALLING_H

#include "internal.h"

#include <curl/curl.h>

/* ---- peer.c ---- */

typedef struct es_http_transfer es_http_transfer;

/* A peer on one loop: touched there only. */
typedef struct es_http_place {
    _Alignas(64) uint32_t running;
    uint32_t waiting;
    es_http_transfer *first, *last; /* that wait, by next */
} es_http_place;

struct es_http_peer {
    _Atomic uint32_t refs;
    uint64_t serial; /* of its caller; never used again */
    es_http_caller *caller;
    es_arena *arena;
    es_http_peer_opts opts;
    const char *authorization; /* the whole line; NULL: none */
    es_http_place *places;     /* [core_count of the caller] */
};

/* ---- sockets.c ---- */

typedef struct es_http_socket es_http_socket;

typedef struct es_http_sockets {
    int epoll_fd; /* the loop's */
    es_http_socket *items;
    size_t count; /* by descriptor */
} es_http_sockets;

/* What the library calls; context is es_http_sockets. */
curl_socket_t es_http_sockets_open(void *context, curlsocktype purpose,
                                   struct curl_sockaddr *address);
int es_http_sockets_close(void *context, curl_socket_t fd);
int es_http_sockets_want(CURL *curl, curl_socket_t fd, int what, void *context,
                         void *socket_context);
/* What epoll told, in the library's words; 0: not for the library. */
int es_http_sockets_event(es_http_sockets *sockets, int fd, uint32_t events);
void es_http_sockets_done(es_http_sockets *sockets);

/* ---- transfer.c: one call with the library ---- */

typedef enum es_http_transfer_state {
    ES_HTTP_TRANSFER_FREE,
    ES_HTTP_TRANSFER_SENT,    /* in the inbox of its core */
    ES_HTTP_TRANSFER_WAITING, /* for a connection of its peer */
    ES_HTTP_TRANSFER_RUNNING, /* with the library */
    ES_HTTP_TRANSFER_ENDED,   /* the callback is to come */
    ES_HTTP_TRANSFER_STATE_COUNT
} es_http_transfer_state;

/* Storage that keeps what it can from call to call: the library's handle with its options, the
 * request's lines, the reply's headers and body. */
struct es_http_transfer {
    uint32_t index;             /* in its core */
    _Atomic uint32_t next_free; /* index + 1 */
    _Atomic uint64_t id;
    _Atomic uint64_t cancelled_id; /* the latest call that somebody wants to end */
    es_http_transfer_state state;
    es_http_transfer *next;          /* in inbox, waiting or ended */
    es_http_transfer *newer, *older; /* of the core's live ones */
    es_http_core *core;
    es_http_peer *peer;
    CURL *curl;
    uint64_t configured; /* serial of the peer that curl is set up for; 0: none */
    uint64_t url_of;     /* serial of the peer that url is for */
    bool url_changed;
    int64_t deadline_ns;
    double timeout_s;
    /* the request */
    es_http_method method;
    const void *body;
    size_t body_bytes;
    bool repeatable;
    es_http_called *called;
    void *context;
    char *url;
    size_t url_capacity;
    char *text; /* of the lines */
    size_t text_capacity;
    struct curl_slist *lines;
    size_t line_capacity;
    unsigned attempts; /* how often the request has begun to go out */
    /* the reply */
    char *header_text;
    size_t header_capacity, header_used, header_bytes;
    uint32_t name_at[ES_HTTP_HEADERS_MAX], value_at[ES_HTTP_HEADERS_MAX];
    size_t header_count;
    es_http_header headers[ES_HTTP_HEADERS_MAX];
    char *reply_body;
    size_t reply_bytes, reply_capacity;
    es_http_result result;
    es_error why;
    char reason[CURL_ERROR_SIZE];
};

/* Fills the request of a free transfer: on the thread that sends. */
es_status es_http_transfer_fill(es_http_transfer *transfer, const es_http_call *call,
                                es_error *err) ES_MUST_CHECK;
/* Sets the library's handle up; false: no memory. */
bool es_http_transfer_prepare(es_http_transfer *transfer);
/* From what the library said to the result. */
void es_http_transfer_conclude(es_http_transfer *transfer, CURLcode code);
/* The result of a call that ended otherwise. */
void es_http_transfer_fail(es_http_transfer *transfer, es_http_end end, es_status status,
                           const char *format, ...) ES_PRINTF(4, 5);
/* After the callback: forgets the call, keeps what is worth keeping. */
void es_http_transfer_clear(es_http_transfer *transfer);
void es_http_transfer_done(es_http_transfer *transfer);

/* ---- core.c (see also internal.h) ---- */

es_http_sockets *es_http_core_sockets(es_http_core *core);
long es_http_core_rest_s(const es_http_core *core); /* see idle_timeout_s */

/* A free transfer, NULL when calls_max are under way. Any thread, as are the next four. */
es_http_transfer *es_http_core_take(es_http_core *core);
void es_http_core_give_back(es_http_core *core, es_http_transfer *transfer);
/* False: the core has ended. */
bool es_http_core_submit(es_http_core *core, es_http_transfer *transfer);
void es_http_core_cancel(es_http_core *core, uint32_t index, uint64_t id);
size_t es_http_core_count(const es_http_core *core);

/* ---- task.c: what other threads want done here ---- */
typedef struct es_http_tasks {
    _Atomic(es_http_task *) latest;
} es_http_tasks;

es_http_tasks *es_http_core_tasks(es_http_core *core);
es_http_waker *es_http_core_waker(es_http_core *core);
void es_http_tasks_run(es_http_tasks *tasks);
void es_http_tasks_end(es_http_tasks *tasks); /* runs what is left; nothing more comes in */

/* ---- caller.c ---- */

enum { ES_HTTP_INDEX_BITS = 16, ES_HTTP_CORE_BITS = 6 };

struct es_http_caller {
    es_http_caller_opts opts;
    bool borrowed; /* its cores are driven by a server's loops */
    size_t core_count;
    es_http_core **cores;
    _Atomic uint32_t turn;
    _Atomic uint64_t serial; /* of the latest peer */
    /* of a thread of its own, or by hand */
    int epoll_fd;
    es_http_waker *waker;
    pthread_t thread;
    bool thread_runs;
    _Atomic bool ending;
};

/* The core whose loop this thread is; NULL: none of the caller's. */
es_http_core *es_http_caller_core_here(es_http_caller *caller);

void es_http_library_start(void);

#endif
