/* http, private: what the server's files share. */
#ifndef ES_HTTP_INTERNAL_H
#define ES_HTTP_INTERNAL_H

#include "base/clock.h"
#include "http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

enum { ES_HTTP_SEGMENTS_MAX = 16, ES_HTTP_TOKEN_SIZE_MIN = 16, ES_HTTP_TOKEN_SIZE_MAX = 4096 };

/* ---- target.c: paths and queries ---- */

/* First value of name in a query ("a=1&b=2"), decoded. */
bool es_http_query_find(const char *query, const char *name, char *out, size_t room);

typedef struct es_http_match {
    const char *names[ES_HTTP_PARAMS_MAX];
    const char *values[ES_HTTP_PARAMS_MAX]; /* in the caller's scratch */
    size_t count;
} es_http_match;

/* Does pattern fit path (as sent, without query)? scratch[room] takes the decoded parameters. */
bool es_http_path_fits(const char *pattern, const char *path, es_http_match *match, char *scratch,
                       size_t room);

/* Is pattern well-formed? */
es_status es_http_pattern_check(const char *pattern, es_error *err) ES_MUST_CHECK;

/* ---- the server's objects ---- */

typedef struct es_http_loop es_http_loop;
typedef struct es_http_conn es_http_conn;

/* ---- wake.c ---- */
/* Answers that come like a clock's beats, as those of a model at its limit do, are expected awake:
 * to ring for a thread whose processor has gone idle takes the ringing thread 8 us, 6 % of a small
 * model's run. */
typedef struct es_http_rhythm {
    int64_t last_ns, gap_ns;
    uint32_t steady; /* gaps in a row that were alike */
} es_http_rhythm;

void es_http_rhythm_note(es_http_rhythm *rhythm, int64_t beat_ns);
int64_t es_http_rhythm_next(const es_http_rhythm *rhythm); /* INT64_MAX: there is none */

typedef struct es_http_waker {
    _Atomic int refs;
    int fd;                          /* readable: look at the list */
    _Atomic(es_http_request *) head; /* suspended requests that can go on */
    _Atomic bool asleep;             /* the loop: only then it must be rung for */
    _Atomic int64_t pushed_ns;       /* when the last was; of the system's clock */
    es_http_rhythm rhythm;           /* of the pushes; the loop's */
} es_http_waker;

es_http_waker *es_http_waker_new(void); /* NULL: no memory or descriptor */
es_http_waker *es_http_waker_ref(es_http_waker *waker);
void es_http_waker_unref(es_http_waker *waker);
void es_http_waker_ring(es_http_waker *waker);
void es_http_waker_push(es_http_waker *waker, es_http_request *request);
es_http_request *es_http_waker_take_all(es_http_waker *waker); /* by next_awake */
void es_http_waker_hush(es_http_waker *waker);

/* What an event of a loop's epoll is about: one of these, else a socket of its core. */
#define ES_HTTP_TAG_WAKER UINT64_MAX
#define ES_HTTP_TAG_LIBRARY (UINT64_MAX - 1)

struct epoll_event;

bool es_http_epoll_add(int epoll_fd, int fd, uint64_t tag); /* for reading */
/* Events that came until until_ns (INT64_MAX: for ever); 0 also when a signal came. */
int es_http_epoll_wait(int epoll_fd, struct epoll_event *out, int room, int64_t now_ns,
                       int64_t until_ns);
/* The same for the thread of waker, whose list ends it too. */
int es_http_waker_wait(es_http_waker *waker, int epoll_fd, struct epoll_event *out, int room,
                       int64_t now_ns, int64_t until_ns);

/* Who owns a request, and what may still happen to it:
 *   RUNNING    the loop is in it (receiving, or in the handler)
 *   PARKED     the connection is suspended, the handler owes an answer
 *   ANSWERED   an answer is there and the handler has let go
 *   STREAMING  an answer is there, the handler still holds the request
 *   CANCELLED  the server answered itself; the handler has not noticed
 *   ABANDONED  and now it has
 *   GONE       the connection is through with it, the handler is not */
typedef enum es_http_state {
    ES_HTTP_RUNNING,
    ES_HTTP_PARKED,
    ES_HTTP_ANSWERED,
    ES_HTTP_STREAMING,
    ES_HTTP_CANCELLED,
    ES_HTTP_ABANDONED,
    ES_HTTP_GONE,
    ES_HTTP_STATE_COUNT
} es_http_state;

typedef enum es_http_flow { ES_HTTP_FLOWING, ES_HTTP_DRY, ES_HTTP_WOKEN } es_http_flow;

typedef enum es_http_phase {
    ES_HTTP_PHASE_HEAD,  /* the request line has come */
    ES_HTTP_PHASE_BODY,  /* the headers have come and were accepted */
    ES_HTTP_PHASE_DRAIN, /* refused; the body is thrown away before the answer */
    ES_HTTP_PHASE_WAIT,  /* with the handler */
    ES_HTTP_PHASE_SEND,
    ES_HTTP_PHASE_COUNT
} es_http_phase;

struct es_http_request {
    es_http_loop *loop; /* not to be touched by the handler's side once CANCELLED or GONE */
    es_http_conn *conn;
    struct MHD_Connection *mhd;
    const es_http_route *route;
    es_http_request *next_free, *next_awake;
    es_http_waker *waker;
    bool suspended; /* the loop's, as is gone_seen */
    bool gone_seen;
    _Atomic bool gone; /* the client, as far as is known */
    _Atomic int state; /* es_http_state */
    _Atomic int flow;  /* es_http_flow, of a streamed answer */
    _Atomic bool cut;  /* a streamed answer is to fail at its next read */
    es_http_phase phase;
    es_http_method method;
    uint32_t roles;
    int64_t start_ns;
    char *target; /* path, NUL, query */
    size_t target_capacity;
    const char *query; /* in target, or "" */
    bool target_too_long;
    char *scratch; /* decoded parameters */
    es_http_match match;
    unsigned char *body; /* begins behind body_shift bytes */
    size_t body_shift, body_bytes;
    size_t body_capacity;
    size_t body_booked; /* counted in the server's sum */
    size_t body_max;
    int refusal_status; /* of PHASE_DRAIN */
    es_error refusal;
    uint64_t drained_bytes;
    struct MHD_Response *response; /* the handler's; the loop looks once ANSWERED or STREAMING */
    struct MHD_Response *own_response; /* the server's own */
    unsigned response_status, own_status;
    void *user;
    void (*user_release)(void *user);
    void (*user_gone)(void *user);
};

struct es_http_conn {
    es_http_conn *next, *previous;
    es_http_loop *loop;
    struct MHD_Connection *mhd;
    es_http_request *request; /* from its line to its end; NULL between */
    int fd;
    int64_t deadline_ns; /* INT64_MAX: none */
    bool certificate_good;
};

struct es_http_loop {
    es_http_server *server;
    struct MHD_Daemon *daemon;
    int epoll_fd;           /* the library's, the waker's, and the sockets of calls */
    es_http_core *core;     /* calls of this loop; NULL: none */
    pthread_t thread, self; /* self: the loop's own word, once begun */
    bool thread_runs;
    _Atomic bool begun;
    es_http_waker *waker;
    bool again; /* something was resumed that the library has not looked at yet */
    size_t suspended_count;
    int listen_fd; /* its own copy; -1 once the daemon has it */
    es_http_conn *conns;
    int64_t deadline_ns; /* no connection has an earlier one */
    es_http_request *free_requests;
    size_t free_count;
    int64_t now_ns;     /* when this turn began */
    int64_t look_at_ns; /* when to look next for clients that have gone */
    struct pollfd *look;
    es_http_conn **look_conns;
    size_t look_capacity;
    bool quiet;            /* listens no more */
    bool refusing;         /* past the grace: no handler is called */
    es_error *start_error; /* where the library's complaints go while starting */
};

struct es_http_server {
    es_arena *arena;
    es_http_server_opts opts;
    es_clock *clock;
    char *certificate_pem, *key_pem, *ca_pem;
    int listen_fd;
    uint16_t port;
    es_http_loop *loops;
    es_http_caller *caller; /* NULL: none */
    bool started, stopped;
    _Atomic int64_t stop_at_ns; /* INT64_MAX: not stopping */
    _Atomic uint64_t connections, connections_open, requests, handled, refused, late_receiving,
        late_answering, gone, bodies;
};

/* ---- loop.c ---- */
es_status es_http_loop_init(es_http_loop *loop, es_http_server *server,
                            es_error *err) ES_MUST_CHECK;
es_status es_http_loop_start(es_http_loop *loop, es_error *err) ES_MUST_CHECK;
void es_http_loop_done(es_http_loop *loop); /* joins */

/* Is this the loop's own thread? Any thread may ask. */
bool es_http_loop_is_here(const es_http_loop *loop);

/* ---- timer.c: a heap of timers, the earliest first ---- */
typedef struct es_http_timers {
    es_http_timer **items;
    size_t count, capacity;
} es_http_timers;

int64_t es_http_timers_due_ns(const es_http_timers *timers); /* INT64_MAX: none */
/* Fires what is due by now_ns, each once, also when it is set again meanwhile. */
void es_http_timers_fire(es_http_timers *timers, int64_t now_ns);
void es_http_timers_done(es_http_timers *timers); /* none may be set */

/* ---- core.c: the calls of one loop, whose thread alone may use it but for what calling.h says.
 * Begin; then for each turn of the loop: events, one step, wait until due; at the end close, which
 * ends every call. ---- */
es_status es_http_core_new(const es_http_caller_opts *opts, uint32_t number, int epoll_fd,
                           es_http_waker *waker, es_http_core **out_core,
                           es_error *err) ES_MUST_CHECK;
void es_http_core_free(es_http_core *core); /* closes first when that was not done */
void es_http_core_begin(es_http_core *core);
bool es_http_core_is_here(const es_http_core *core); /* any thread */
void es_http_core_event(es_http_core *core, int fd, uint32_t events);
void es_http_core_step(es_http_core *core);
int64_t es_http_core_due_ns(const es_http_core *core); /* INT64_MAX: only events matter */
void es_http_core_close(es_http_core *core);
es_http_timers *es_http_core_timers(es_http_core *core);
bool es_http_core_is_closed(const es_http_core *core);

/* ---- connection.c: what the library calls ---- */
void es_http_on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                           enum MHD_ConnectionNotificationCode what);
void *es_http_on_target(void *context, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result es_http_on_access(void *context, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context);
void es_http_on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                          enum MHD_RequestTerminationCode why);
/* Ends what is overdue and gives the next deadline. */
void es_http_deadlines_check(es_http_loop *loop, int64_t now_ns);
void es_http_deadline_set(es_http_conn *conn, int64_t deadline_ns);

/* ---- gone.c: clients that go unseen by the library ---- */
#define ES_HTTP_LOOK_BUSY_NS (100 * ES_NS_PER_MS)
void es_http_gone_check(es_http_loop *loop, int64_t now_ns);
void es_http_gone_soon(es_http_loop *loop, int64_t wait_ns); /* looks at the latest then */

/* ---- accept.c: may this request come in? ---- */

/* Looks at line and headers; on refusal gives the HTTP status and fills err. */
int es_http_head_check(es_http_request *request, const char *method, uint64_t *out_length,
                       bool *out_chunked, es_error *err);

enum { ES_HTTP_ALLOWED_SIZE = 64, ES_HTTP_BODY_ALIGN = 16 };

/* The methods that the request's path knows, for an Allow header. */
void es_http_allowed(es_http_request *request, char out[ES_HTTP_ALLOWED_SIZE]);

/* ---- request.c ---- */
void es_http_request_suspend(es_http_request *request); /* on the loop, as is resume */
void es_http_request_resume(es_http_request *request);
es_http_request *es_http_request_take(es_http_loop *loop); /* NULL: out of memory */
void es_http_request_ended(es_http_request *request);      /* by the connection */
void es_http_request_destroy(es_http_request *request);
/* Answers in the handler's place when it still owes one; true when it did. On the loop. */
bool es_http_request_cancel(es_http_request *request, int status, const char *text);
struct MHD_Response *es_http_error_response(int status, const char *text);
bool es_http_body_reserve(es_http_request *request, size_t bytes); /* counts and allocates */
void es_http_body_unbook(es_http_request *request);

/* ---- tls.c ---- */
es_status es_http_tls_read(es_http_server *server, es_error *err) ES_MUST_CHECK;
/* Did the client show a certificate that the CA signed? */
bool es_http_tls_client_good(struct MHD_Connection *mhd);

extern const char ES_HTTP_TLS_PRIORITY[];

#endif
