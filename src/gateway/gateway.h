/*
 * gateway: clients ask for tasks, it knows who solves them. Takes one of the options that the plan
 * gave a task, sends the request along its route, and passes the answer back, over the Open
 * Inference Protocol.
 *
 * Life: init (routes read, bound, listening) -> start -> stop -> done. It needs nobody but its
 * nodes to go on serving; routes are told by a controller, or lie in a file.
 * docs/reference/gateway.md.
 */
#ifndef ES_GATEWAY_GATEWAY_H
#define ES_GATEWAY_GATEWAY_H

#include "route/route.h"

enum { ES_GATEWAY_LOOPS_MAX = 64 };

typedef struct es_gateway_opts {
    const char *name;        /* default "gateway" */
    const char *version;     /* of the program, told to clients; default "" */
    const char *routes_file; /* its routes are kept there, and followed from there at the start
                                (docs/reference/routes.md); NULL: not kept */
    const char *entry;       /* the node where requests enter that do not say; NULL: none */
    const char *address;     /* default "127.0.0.1" */
    uint16_t port;           /* 0: any; default 8080 */
    uint32_t loop_count;     /* threads, 1..64; default 1 */
    const char *certificate_file, *key_file, *client_ca_file; /* PEM; see es_http_tls */
    const es_http_token *tokens; /* none: open to all who can reach it */
    size_t token_count;
    const char *peer_token; /* shown to nodes whose routes name no other; NULL: none */
    const char *peer_ca_file, *peer_certificate_file, *peer_key_file; /* PEM, towards nodes */
    double timeout_s;         /* for an answer, at most; default 30 */
    double connect_timeout_s; /* to a node; default 1 */
    double retry_share;       /* copies after a failure, per request; 0..1, default 0.1 */
    double retry_rate;        /* and per second; default 1 */
    double hedge_share;       /* copies beside a slow one, per request; 0: none; default 0.02 */
    uint32_t calls_max;       /* requests under way, per loop; default 1024 */
    size_t body_bytes_max;    /* of an inference request; default 64 MiB */
    const char *request_log;  /* JSON lines are appended to this file; NULL: none */
    bool emulate;             /* emulate the links that routes tell peers with; default false */
} es_gateway_opts;

es_gateway_opts es_gateway_opts_default(void);

typedef struct es_gateway es_gateway;

/* Reads the routes file when it is there, binds, listens: clients may connect. Texts and tokens of
 * opts are kept until _done. */
es_status es_gateway_init(es_gateway_opts opts, es_gateway **out_gateway,
                          es_error *err) ES_MUST_CHECK;
uint16_t es_gateway_port(const es_gateway *gateway);
es_status es_gateway_start(es_gateway *gateway, es_error *err) ES_MUST_CHECK;
/* Lets requests under way end for grace_s, then answers 503. */
void es_gateway_stop(es_gateway *gateway, double grace_s);
void es_gateway_done(es_gateway *gateway); /* stops without grace when that was not done */
void es_gateway_done_p(es_gateway **gateway);

#endif
