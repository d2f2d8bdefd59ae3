/*
 * http: an HTTP/1.1 server and client with TLS. Nothing about models.
 *
 * Server: init (binds) -> start -> stop (graceful) -> done. One event loop per thread; a handler
 * runs on it and must not block: it answers at once, or keeps the request and answers later from
 * any thread. Everything a client sends is bounded before memory is taken, and in time.
 * Caller: many calls under way to many peers over kept connections, on a thread of its own, on a
 * server's loops, or by hand. Client: one call at a time; blocks.
 * Units: bytes, seconds (_s). Threads: a server object belongs to one thread; a request may be
 * handed to another thread; calls may be sent from any; a client belongs to one at a time.
 * Errors: ES_ERR_ARG options, ES_ERR_IO files and sockets, ES_ERR_UNAVAILABLE the peer,
 * ES_ERR_LIMIT an answer too large, ES_ERR_CANCELLED by the caller.
 */
#ifndef ES_HTTP_HTTP_H
#define ES_HTTP_HTTP_H

#include "base/arena.h"
#include "base/text.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum { ES_HTTP_PARAMS_MAX = 4, ES_HTTP_ROUTES_MAX = 128, ES_HTTP_HEADERS_MAX = 64 };

typedef enum es_http_method {
    ES_HTTP_GET, /* also answers HEAD */
    ES_HTTP_POST,
    ES_HTTP_PUT,
    ES_HTTP_DELETE,
    ES_HTTP_PATCH,
    ES_HTTP_METHOD_COUNT
} es_http_method;

const char *es_http_method_name(es_http_method method); /* "GET", ... */

typedef struct es_http_header {
    const char *name;
    const char *value; /* no CR, LF */
} es_http_header;

/* ---- server: routes ---- */

typedef struct es_http_server es_http_server;
typedef struct es_http_request es_http_request;

/* Called on the loop when the whole request has come. Must see to it that the request is answered
 * exactly once, now or later. */
typedef void es_http_handle(void *context, es_http_request *request);

/* Called on the loop for each piece of a body that is not collected. A failure is answered as an
 * error once the rest has been read and thrown away; the handler is not called then. */
typedef es_status es_http_take(void *context, es_http_request *request, const void *bytes,
                               size_t size, es_error *err);

typedef struct es_http_route {
    es_http_method method;
    /* Segments; "{name}" takes one whole segment, not empty: "/v2/models/{model}/infer". Of
     * several routes that fit, the first wins. A slash at the end of a request's path is ignored.
     */
    const char *path;
    es_http_handle *handle;
    es_http_take *take; /* NULL: the body is collected in memory */
    void *context;
    size_t body_bytes_max; /* 0: the server's */
    uint32_t roles;        /* bits; a token with one of them is needed. 0: open to all */
    /* A header whose number says how many bytes of the body come before the data: these then lie at
     * a multiple of 16 in memory, and need not be copied to be used. NULL: the body does. */
    const char *head_size_header;
} es_http_route;

/* ---- server: options ---- */

typedef struct es_http_token {
    const char *text; /* what follows "Bearer "; at least 16 characters */
    uint32_t roles;   /* bits that it grants */
} es_http_token;

/* PEM files. All NULL: no TLS. TLS is 1.2 and 1.3. */
typedef struct es_http_tls {
    const char *certificate_file; /* with the chain */
    const char *key_file;
    const char *client_ca_file; /* not NULL: a client must show a certificate signed by these */
} es_http_tls;

typedef struct es_http_server_opts {
    const char *address; /* IPv4 or IPv6, numeric; default "127.0.0.1" */
    uint16_t port;       /* 0: any; see es_http_server_port; default 0 */
    uint32_t loop_count; /* threads with an event loop each, 1..64; default 1 */
    const es_http_route *routes;
    size_t route_count;
    const es_http_token *tokens; /* none: routes are open whatever their roles */
    size_t token_count;
    es_http_tls tls;
    uint32_t connections_max; /* more wait in the kernel's queue; default 1024 */
    size_t target_bytes_max;  /* of path and query; more: 414; default 4096 */
    size_t header_bytes_max;  /* more: 431; default 16 KiB */
    size_t body_bytes_max;    /* more: 413; default 64 MiB */
    size_t bodies_bytes_max;  /* of all requests under way; more: 503; default 512 MiB */
    double idle_timeout_s;    /* silence, or an answer that is not read; default 60 */
    double receive_timeout_s; /* for a whole request to come, plus its size / receive_rate; more:
                                 408 and the connection ends; default 20 */
    double receive_rate_min;  /* bytes/s a body must come with; default 65536 */
    double answer_timeout_s;  /* for a handler to answer; more: 504; 0: for ever; default 0 */
} es_http_server_opts;

es_http_server_opts es_http_server_opts_default(void);

/* ---- server: life ---- */

/* Checks the options, copies them, reads the TLS files, binds and listens: clients may connect and
 * wait. Strings are copied; contexts are kept until _done. */
es_status es_http_server_init(es_http_server_opts opts, es_http_server **out_server,
                              es_error *err) ES_MUST_CHECK;

/* The port that is listened on. */
uint16_t es_http_server_port(const es_http_server *server);

/* Starts the loops. Once. */
es_status es_http_server_start(es_http_server *server, es_error *err) ES_MUST_CHECK;

/* Closes the listening socket and idle connections at once, lets requests under way end (their
 * answers say `Connection: close`), and after grace_s answers what is left with 503 and closes.
 * Returns when no handler runs and none will be called again. Requests that a handler still keeps
 * stay valid until it answers them; such answers go nowhere. */
void es_http_server_stop(es_http_server *server, double grace_s);

/* Stops without grace when that was not done. NULL is fine. */
void es_http_server_done(es_http_server *server);
void es_http_server_done_p(es_http_server **server); /* for ES_CLEANUP */

typedef struct es_http_stats {
    uint64_t connections;         /* accepted so far */
    uint64_t connections_open;    /* now */
    uint64_t requests;            /* whose request line has come */
    uint64_t handled;             /* given to a handler */
    uint64_t refused;             /* answered by the server itself, 4xx and 5xx */
    uint64_t timed_out_receiving; /* 408 */
    uint64_t timed_out_answering; /* 504 */
    uint64_t gone;                /* while their request was with the handler or streamed */
    uint64_t body_bytes;          /* held now */
} es_http_stats;

/* Any thread, while the server lives. */
es_http_stats es_http_server_stats(const es_http_server *server);

/* ---- server: a request. Until it is answered: */

es_http_method es_http_request_method(const es_http_request *request);
const char *es_http_request_path(const es_http_request *request); /* as sent, without query */
/* What "{name}" took, percent-decoded; NULL when the route has no such name. */
const char *es_http_request_param(const es_http_request *request, const char *name);
/* The first value of name in the query, percent-decoded ('+' is a space); false when it is absent,
 * malformed or does not fit. */
bool es_http_request_query(const es_http_request *request, const char *name, char *out,
                           size_t room);
/* The collected body; *out_size 0 when there is none. Aligned for any type. */
const void *es_http_request_body(const es_http_request *request, size_t *out_size);
/* The loop that it is on: 0 .. loop_count - 1. */
uint32_t es_http_request_loop(const es_http_request *request);
/* When the request line had come, by the machine's monotonic clock. */
int64_t es_http_request_start_ns(const es_http_request *request);
/* Roles of the token shown; 0 without. */
uint32_t es_http_request_roles(const es_http_request *request);
/* Something of the caller's that goes with the request; release (may be NULL) is called once, when
 * the request ends in whatever way. */
void es_http_request_set_user(es_http_request *request, void *user, void (*release)(void *user));
void *es_http_request_user(const es_http_request *request);

/* Has the client gone? Looked at about ten times a second; false until then. A client that closes
 * its side and still waits for the answer looks the same as one that has gone; it gets what is
 * sent. Until the request is answered. */
bool es_http_request_gone(const es_http_request *request);
/* Within the handler: gone(user) is called on the loop, at most once, when the client goes while
 * the request is with the handler; perhaps while another thread is answering, so what it touches
 * must live until the release of user. It may answer. */
void es_http_request_set_gone(es_http_request *request, void (*gone)(void *user));

/* Only within the handler (the headers go when a stopping server closes the connection): the first
 * value of a header, any casing; NULL when absent. */
const char *es_http_request_header(const es_http_request *request, const char *name);

/* ---- server: answers. Any thread, once per request; the request is not to be touched after. ----
 */

typedef struct es_http_answer {
    int status;
    const char *content_type; /* NULL: none */
    const es_http_header *headers;
    size_t header_count;
    const void *body;
    size_t body_bytes;
    /* NULL: the body is copied. Else it is kept, and release(release_context) is called once it is
     * no longer needed, on any thread. */
    void (*release)(void *release_context);
    void *release_context;
    bool close; /* the connection ends after it */
} es_http_answer;

void es_http_answer_send(es_http_request *request, const es_http_answer *answer);

/* All of text, which is done then; a text that did not come about is told as the error it is. */
void es_http_answer_text(es_http_request *request, int status, const char *content_type,
                         es_text *text);
void es_http_answer_json(es_http_request *request, int status, es_text *text);

/* {"error": text}; 503 comes with Retry-After: 1. */
void es_http_answer_error(es_http_request *request, int status, const char *text);
/* The same with the status of es_status_http. */
void es_http_answer_fail(es_http_request *request, const es_error *err);

enum { ES_HTTP_STREAM_END = -1, ES_HTTP_STREAM_FAILED = -2 };

/* A body as it comes (chunked). read is called on the loop and gives how many bytes it wrote to
 * out (at most room), 0 for none yet (then it is called again after es_http_request_wake), END, or
 * FAILED (the connection is cut, so that the client sees a broken answer). */
typedef struct es_http_stream {
    int status;
    const char *content_type;
    const es_http_header *headers;
    size_t header_count;
    int64_t (*read)(void *context, void *out, size_t room);
    void (*release)(void *context); /* when read will not be called again; may be NULL */
    void *context;
} es_http_stream;

/* Unlike the others, the request stays valid for _wake until _release. */
void es_http_answer_stream(es_http_request *request, const es_http_stream *stream);
void es_http_request_wake(es_http_request *request);
void es_http_request_release(es_http_request *request);

/* ---- bearer tokens ---- */

/* Roles of the token in an Authorization value ("Bearer TOKEN"); 0 when it is none of tokens. Time
 * does not depend on where a wrong token differs. */
uint32_t es_http_bearer_roles(const char *authorization, const es_http_token *tokens, size_t count);

/* ---- calling: a peer is a server to be called ---- */

typedef struct es_http_caller es_http_caller;
typedef struct es_http_peer es_http_peer;
typedef struct es_http_core es_http_core; /* private */

typedef struct es_http_peer_opts {
    const char *url;              /* "http://host:port" or "https://..."; required; no path */
    const char *ca_file;          /* PEM, whom to trust; NULL: the system's */
    const char *certificate_file; /* PEM, shown to the server; NULL: none */
    const char *key_file;
    const char *token;        /* sent as a bearer token; NULL: none */
    double connect_timeout_s; /* default 5 */
    double timeout_s;         /* of a call that gives none; default 30 */
    size_t header_bytes_max;  /* of a reply; default 64 KiB */
    size_t body_bytes_max;    /* of a reply; default 64 MiB */
    uint32_t connections_max; /* calls under way at once, per loop, 1..65536; default 64 */
    uint32_t waiting_max;     /* calls that may wait for one of these; default 256 */
} es_http_peer_opts;

es_http_peer_opts es_http_peer_opts_default(void);

typedef struct es_http_call_id {
    uint64_t value; /* 0: none; never used again */
} es_http_call_id;

typedef struct es_http_result es_http_result;

/* Called on the caller's loop, exactly once for every accepted call. Must not block; may send
 * other calls and answer requests. The result is valid until it returns. */
typedef void es_http_called(void *context, const es_http_result *result);

typedef struct es_http_call {
    es_http_method method;
    const char *path; /* begins with '/', percent-encoded */
    const es_http_header *headers;
    size_t header_count;
    const void *body; /* not copied: borrowed until the call has ended */
    size_t body_bytes;
    double timeout_s; /* from sending to the end of the reply, waiting included; 0: the peer's */
    bool repeatable;  /* may be sent once more when a kept connection turns out dead before a byte
                         of the reply has come */
    es_http_called *called; /* of es_http_call_send */
    void *context;
} es_http_call;

typedef struct es_http_reply {
    int status; /* any HTTP status is a reply, not an error */
    const es_http_header *headers;
    size_t header_count;
    const void *body; /* a terminator behind it; aligned for any type */
    size_t body_bytes;
    bool reused; /* the connection was there already */
} es_http_reply;

typedef enum es_http_end {
    ES_HTTP_END_REPLY,     /* a whole reply, of any HTTP status: the only ES_OK */
    ES_HTTP_END_UNREACHED, /* no connection: the server has seen nothing of the call */
    ES_HTTP_END_BROKEN,    /* it may have seen it; the connection ended or did not speak HTTP */
    ES_HTTP_END_LATE,      /* the time was over */
    ES_HTTP_END_OVERSIZE,  /* the reply is larger than allowed */
    ES_HTTP_END_CANCELLED, /* by es_http_call_cancel, or the caller ended */
    ES_HTTP_END_REFUSED,   /* by ourselves: too many calls wait for this peer, or no memory */
    ES_HTTP_END_COUNT
} es_http_end;

struct es_http_result {
    es_http_end end;
    es_status status;    /* UNAVAILABLE, LIMIT, CANCELLED, NOMEM; ARG: the peer's TLS files */
    const es_error *why; /* names method and address; empty with a reply */
    es_http_reply reply; /* zeros without one */
    void *own;           /* the module's */
};

/* Takes the reply's body over, which then stays where it is until es_http_body_free: with both an
 * answer can pass it on uncopied. NULL when there is none. Once per result. */
void *es_http_result_keep_body(const es_http_result *result);
void es_http_body_free(void *kept);

/* ---- caller: many calls at once, to many peers, on one loop per thread ---- */

typedef struct es_http_caller_opts {
    bool by_hand;             /* no thread of its own: es_http_caller_run does the work */
    uint32_t calls_max;       /* under way and waiting, per loop, 1..65536; default 1024 */
    uint32_t connections_max; /* to all peers, per loop, at rest or not; above, the longest at rest
                                 is closed. 1..65536; default 256 */
    double idle_timeout_s;    /* a connection that has rested longer is not used again; below what
                                 servers allow; default 50 */
} es_http_caller_opts;

es_http_caller_opts es_http_caller_opts_default(void);

/* With a thread of its own, or by hand. */
es_status es_http_caller_new(es_http_caller_opts opts, es_http_caller **out_caller,
                             es_error *err) ES_MUST_CHECK;
/* Ends what is under way (CANCELLED), waits for the callbacks. Not from a callback; NULL is fine.
 */
void es_http_caller_free(es_http_caller *caller);
void es_http_caller_free_p(es_http_caller **caller); /* for ES_CLEANUP */

/* A caller on the server's own loops: a call that a handler sends runs on the handler's loop, and
 * so does its callback: no thread is switched. Between init and start of the server, once; it
 * belongs to the server. When the server stops, calls left after the grace end CANCELLED. by_hand
 * is ignored. */
es_status es_http_server_caller(es_http_server *server, es_http_caller_opts opts,
                                es_http_caller **out_caller, es_error *err) ES_MUST_CHECK;

/* By hand: waits until something happens, at most until until_ns of the machine's monotonic clock
 * (in the past: does not wait), does what is due, calls callbacks. One thread at a time. */
void es_http_caller_run(es_http_caller *caller, int64_t until_ns);

/* Options are checked and copied; TLS files are read when a connection is made. Any thread. */
es_status es_http_peer_new(es_http_caller *caller, es_http_peer_opts opts, es_http_peer **out_peer,
                           es_error *err) ES_MUST_CHECK;
es_http_peer *es_http_peer_ref(es_http_peer *peer);
/* Calls under way go on. Not needed before the caller's end; may come after it. NULL is fine. */
void es_http_peer_unref(es_http_peer *peer);

/* Any thread. From a loop of the caller the call starts there, else on the loops in turn. Copies
 * path and headers. ES_ERR_ARG a malformed call, ES_ERR_UNAVAILABLE calls_max are under way or the
 * caller has ended: then called is not called. out_id may be NULL. */
es_status es_http_call_send(es_http_peer *peer, const es_http_call *call, es_http_call_id *out_id,
                            es_error *err) ES_MUST_CHECK;

/* The call ends soon, CANCELLED unless it had ended; its callback comes as always. Any thread; an
 * id whose call has ended is fine. */
void es_http_call_cancel(es_http_caller *caller, es_http_call_id id);

/* Is this thread one of the caller's loops? Any thread may ask. */
bool es_http_caller_is_here(es_http_caller *caller);

/* Calls under way and waiting now. */
size_t es_http_caller_count(const es_http_caller *caller);

/* ---- timers on a caller's loops: later, on the same thread ---- */

typedef struct es_http_timer es_http_timer;

/* The caller's own memory, zeroed at first. */
struct es_http_timer {
    void (*fire)(es_http_timer *timer); /* on the loop; may send, answer, set and clear timers */
    void *context;
    struct { /* private */
        es_http_core *core;
        size_t place; /* 1 + index in the heap; 0: not set */
        int64_t when_ns;
    } own;
};

/* Fires once at when_ns of the machine's monotonic clock (in the past: in the next turn), about 0.1
 * ms late where the machine is idle. One that is set already is moved. Only on a loop of caller (a
 * handler, a callback, a timer), and always on the same one for one timer. When the loop ends, what
 * is set fires at once, so that whoever waits is not forgotten. O(log timers). False, and nothing
 * is set: no memory. */
bool es_http_timer_set(es_http_caller *caller, es_http_timer *timer, int64_t when_ns) ES_MUST_CHECK;
void es_http_timer_clear(es_http_timer *timer); /* not set: fine */
bool es_http_timer_is_set(const es_http_timer *timer);

typedef struct es_http_task es_http_task;

/* Something to do on a loop; the caller's own memory. */
struct es_http_task {
    void (*run)(es_http_task *task);
    void *context;
    es_http_task *next; /* private */
};

/* Runs once, soon, on loop `number` of caller (its own thread: 0), after what was posted before it
 * from the same thread. Any thread. What waits when the loop ends runs then. False: it has ended,
 * and run will not be called. */
bool es_http_task_post(es_http_caller *caller, uint32_t number, es_http_task *task) ES_MUST_CHECK;

/* ---- client: one call at a time, over one kept connection; blocks ---- */

typedef struct es_http_client es_http_client;

/* Connects with the first call. Proxies of the environment are not used, redirections not
 * followed; certificate and host name of an https server are always checked. */
es_status es_http_client_new(es_http_peer_opts opts, es_http_client **out_client,
                             es_error *err) ES_MUST_CHECK;
void es_http_client_free(es_http_client *client);
void es_http_client_free_p(es_http_client **client); /* for ES_CLEANUP */

/* Sends and waits for the whole reply, which lives in arena. stop (may be NULL): non-zero ends the
 * call; looked at twenty times a second. */
es_status es_http_client_call(es_http_client *client, es_arena *arena, const es_http_call *call,
                              volatile sig_atomic_t *stop, es_http_reply *out_reply,
                              es_error *err) ES_MUST_CHECK;

/* First value of a header of the reply, any casing; NULL when absent. */
const char *es_http_reply_header(const es_http_reply *reply, const char *name);

#endif
