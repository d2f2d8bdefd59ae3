/*
 * hop, private to serve: what gateways and nodes share when they ask the next process and pass its
 * answer back: time limits, what is kept of a reply, sending it on.
 */
#ifndef ES_SERVE_HOP_H
#define ES_SERVE_HOP_H

#include "base/arena.h"
#include "http/http.h"

enum { ES_HOP_HEADERS_MAX = 12 };

/* Microseconds for the next process, of what is left here: a little less, and the way back
 * (back_ns), so that its answer is here before the time is over. >= 1. */
uint64_t es_hop_timeout_us(int64_t left_ns, int64_t back_ns);

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
