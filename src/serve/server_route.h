/*
 * server_route, private to the node's server: an inference that has a route. Its es_infer stays the
 * same from the head to the answer, over stages here and the hop to the next node.
 */
#ifndef ES_SERVE_SERVER_ROUTE_H
#define ES_SERVE_SERVER_ROUTE_H

#include "route/route.h"
#include "server.h"

enum { ES_SERVER_DIGITS_SIZE = 24 };

struct es_infer_route {
    es_pipeline_headers headers; /* texts in the inference's arena */
    const char *tracestate;      /* NULL: none */
    int64_t timeout_us;          /* of the head; -1: none */
    int64_t due_ns;              /* emulated: the request is not here before; 0: it is */
    int64_t turn;                /* emulated: see es_machine_job; 0: none */
    int64_t ready_ns;            /* emulated: when the latest stage ended */
    es_pipeline_request request;
    bool has_partial;
    es_oip_message partial; /* what goes back if what follows fails */
    const char *partial_stages;
    /* the hop */
    es_server_peers *peers; /* held while it lasts */
    size_t peer;
    es_hop_reply reply;  /* while an emulated link brings it */
    es_http_timer timer; /* of emulated links */
    char due_text[ES_SERVER_DIGITS_SIZE];
};

/* Reads the headers of a route when the request has one (else infer->route stays NULL): within the
 * handler. */
es_status es_server_route_head(es_infer *infer, es_error *err) ES_MUST_CHECK;
/* Has it a route that its sender may not set? */
bool es_server_route_is_forbidden(const es_infer *infer);
/* After the message was decoded: its tensors become those of this stage. */
es_status es_server_route_begin(es_infer *infer, es_error *err) ES_MUST_CHECK;
/* The model has run: answers, goes on here, or sends on. Takes the inference over. */
void es_server_route_step(es_infer *infer, const es_tensor *tensors);
/* Answers with the best so far, if there is any; then the inference is over. failed: value of
 * Estran-Failed, or NULL. */
bool es_server_route_stand_in(es_infer *infer, const char *failed);

/* ---- server_hop.c ---- */

/* Sends what comes out of this stage to the next node; what it answers goes back. Takes the
 * inference over. */
void es_server_hop_send(es_infer *infer, const es_pipeline_step *step,
                        const es_pipeline_outputs *outputs);
/* Emulated links: goes on with the inference when the request has arrived; true: it waits. On the
 * loop. */
bool es_server_hop_hold(es_infer *infer, void (*then)(es_http_timer *timer));

#endif
