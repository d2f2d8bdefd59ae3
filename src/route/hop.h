/*
 * hop, private to route: what gateways and nodes share when they ask the next process and pass its
 * answer back: time limits, what is kept of a reply, sending it on, emulated links.
 */
#ifndef ES_ROUTE_HOP_H
#define ES_ROUTE_HOP_H

#include "base/arena.h"
#include "http/http.h"
#include "link.h"
#include "routes.h"

#include <pthread.h>

enum { ES_HOP_HEADERS_MAX = 12 };

/* ---- an emulated link to a peer, both ways; any thread ---- */

typedef struct es_hop_link {
    bool emulated;        /* false: messages are there when they are there */
    bool one_way;         /* answers are passed back at once */
    pthread_mutex_t lock; /* guards the emulators */
    es_link_emulator there, back;
} es_hop_link;

/* As the peer was told with; none unless emulate. before: the link that it replaces, whose backlog
 * goes on when the figures are the same; NULL: none. */
void es_hop_link_init(es_hop_link *link, const es_serve_peer *peer, bool emulate,
                      es_hop_link *before);
void es_hop_link_done(es_hop_link *link);
/* Timers and sleeps of this thread become exact (Linux lets them be 50 us late). Cheap. */
void es_hop_be_exact(void);
int64_t es_hop_link_latency_ns(const es_hop_link *link); /* one way; 0: none is emulated */
/* When bytes that leave at leaves_ns, there or back, arrive; 0: nothing is emulated. */
int64_t es_hop_link_due_ns(es_hop_link *link, bool back, int64_t leaves_ns, size_t bytes);

/* What counts on links: the tensors behind the JSON, where the header json_size tells its size,
 * else all of the body. */
size_t es_hop_payload_bytes(size_t body_bytes, const char *json_size);

/* ---- time ---- */

/* How long before the end the next process is to answer. */
int64_t es_hop_margin_ns(int64_t left_ns);
/* Microseconds for the next process, of what is left here: a little less, and the way back
 * (back_ns), so that its answer is here before the time is over. >= 1. */
uint64_t es_hop_timeout_us(int64_t left_ns, int64_t back_ns);

/* ---- replies ---- */

/* An answer that is passed back. */
typedef struct es_hop_reply {
    int status; /* 0: none yet */
    size_t header_count;
    es_http_header headers[ES_HOP_HEADERS_MAX]; /* in the arena it was kept with */
    void *body;                                 /* taken over from the caller; NULL: none */
    size_t body_bytes;
    const char *stages; /* value of Estran-Stages, or NULL */
    const char *failed; /* value of Estran-Failed, or NULL */
    bool partial;
    size_t payload_bytes; /* es_hop_payload_bytes */
    int64_t leaves_ns;    /* emulated: when it left there, by Estran-Due-Ns; 0: not told */
} es_hop_reply;

/* Keeps status, the headers that go back, and the body. */
void es_hop_reply_keep(es_hop_reply *reply, es_arena *arena, const es_http_result *result);
/* One more header; text is borrowed until it is sent. value NULL: nothing. */
void es_hop_reply_put(es_hop_reply *reply, const char *name, const char *value);
/* Answers with it and lets its body go. */
void es_hop_reply_send(es_hop_reply *reply, es_http_request *request);
/* Lets the body go without answering. */
void es_hop_reply_done(es_hop_reply *reply);

#endif
