/*
 * server, private to serve: what the files of the node's server share. An inference is an es_infer
 * from its head to its answer: handler (loop) -> cache, or batcher -> done (a replica's thread, or
 * the loop) -> answer.
 */
#ifndef ES_SERVE_SERVER_H
#define ES_SERVE_SERVER_H

#include "http/http.h"
#include "joules.h"
#include "machine.h"
#include "oip/oip.h"
#include "repository.h"
#include "response_cache.h"
#include "route/route.h"
#include "serve.h"

#include <pthread.h>

typedef enum es_server_phase {
    ES_SERVER_STARTING,
    ES_SERVER_READY,
    ES_SERVER_STOPPING,
    ES_SERVER_PHASE_COUNT
} es_server_phase;

typedef struct es_infer es_infer;
typedef struct es_infer_route es_infer_route;
typedef struct es_server_expiry es_server_expiry;
typedef struct es_server_peers es_server_peers;
typedef struct es_server_turns es_server_turns;

enum { ES_SERVER_HOPS_MAX = 4096 }; /* requests under way to one peer, per loop */

struct es_server {
    es_arena *arena; /* of the options and what lives as long */
    es_server_opts opts;
    es_clock *clock;
    int64_t start_ns;      /* of clock */
    int64_t start_wall_ns; /* tells a restart to who observes */
    es_runtime *runtime;
    es_repository *repository;
    es_http_server *http;
    es_http_caller *caller;     /* on the server's loops */
    es_server_expiry *expiries; /* [loop_count] */
    es_machine *machine;        /* NULL: processors are not emulated */
    es_server_turns *turns;     /* [loop_count]; with machine */
    es_joules *joules;
    es_response_cache *cache; /* NULL: none */
    es_request_log *log;      /* NULL: none */
    _Atomic int phase;        /* es_server_phase */
    _Atomic uint64_t wrong;   /* requests for models that are not there */
    bool stopped;
    pthread_mutex_t lock;   /* guards all below */
    es_server_peers *peers; /* NULL: none were told yet */
    es_infer *free_infers;  /* by next_free */
    size_t free_count;
};

/* ---- server_infer.c ---- */

enum { ES_TRACEPARENT_SIZE = 56 };

typedef enum es_load_format { ES_LOAD_NONE, ES_LOAD_TEXT, ES_LOAD_JSON } es_load_format;

struct es_infer {
    es_server *server;
    es_infer *next_free;
    es_arena *arena; /* of this request; reset between requests */
    es_http_request *request;
    es_served *served;    /* held until the answer is made */
    int64_t start_ns;     /* when the request line had come */
    int64_t input_ns;     /* reading the body */
    int64_t arrival_ns;   /* emulated: when it was here, which may be a little before it was read */
    int64_t submitted_ns; /* to the batcher */
    es_machine_job processor; /* emulated: what it waits for, or has */
    es_oip_message message;
    es_batch_job job;
    bool caches;                           /* the answer is to be kept */
    es_load_format load_format;            /* asked for in the answer's head */
    char traceparent[ES_TRACEPARENT_SIZE]; /* "": none */
    es_serve_visit visit;                  /* what it cost here */
    uint32_t rows;
    es_infer_route *route; /* in arena; NULL: none */
    es_text rest, path;    /* of the hop to the next node */
    es_text body;          /* of the answer, or of the hop; read until it is sent */
    es_text stages;        /* value of the header Estran-Stages */
};

void es_server_infer(void *context, es_http_request *request); /* handler */
void es_server_infers_free(es_server *server);

/* On with it, to the model's batcher. */
void es_server_infer_hand_over(es_infer *infer);
/* It could not wait or run: err says why; the inference is over. */
void es_server_infer_refuse(es_infer *infer, const es_error *err);

/* For inferences with routes (server_route.h). */

/* Hands the inputs of message to the model's batcher; takes the inference over. Any thread. */
void es_server_infer_submit(es_infer *infer);
/* The model has done its part. */
void es_server_infer_leave(es_infer *infer);
/* And the next one, which is here too, does the next; takes a reference. */
void es_server_infer_move(es_infer *infer, es_served *next);
/* Sends body and stages, with further headers; the inference is over. */
void es_server_infer_answer(es_infer *infer, int64_t json_size, const es_http_header *headers,
                            size_t header_count);
/* The best so far if there is any, else an error; the inference is over. */
void es_server_infer_fail(es_infer *infer, es_served_outcome outcome, int status, const char *text);
/* The inference is over; its request has been answered. */
void es_server_infer_drop(es_infer *infer);

/* ---- server_machine.c: emulated processors stand before all batchers ---- */
/* With emulate: when the inference was sent to be here; waking up a little late is this machine's.
 */
int64_t es_server_machine_arrival_ns(es_infer *infer);
/* With emulate: holds the replica until the emulated machine is through with the batch, and tells
 * when it began and ended. Jobs of one batch have the same end: only the first of them waits. */
int64_t es_server_machine_hold(es_infer *infer, const es_batch_result *result, int64_t *out_end_ns);

es_status es_server_machine_new(es_server *server, es_error *err) ES_MUST_CHECK;
void es_server_machine_close(es_server *server); /* nobody waits for turns; fine without machine */
/* The inference, whose arrival is known, is handed over once a processor is free; taken over. */
void es_server_machine_enter(es_infer *infer);
/* Its processor is free since end_ns, and goes to the next. */
void es_server_machine_leave(es_infer *infer, int64_t end_ns);

/* ---- server_answer.c ---- */

/* The answer's body and the header of stages from the model's outputs and infer->visit. */
es_status es_server_answer_make(es_infer *infer, const es_tensor *outputs, int64_t *out_json_size,
                                es_error *err) ES_MUST_CHECK;
/* Do the asked outputs exist? */
es_status es_server_wanted_check(const es_infer *infer, es_error *err) ES_MUST_CHECK;
/* Best classes of an output as texts, in place of its values; the model is still held. */
es_status es_server_classify(es_infer *infer, size_t output, const es_tensor *from, size_t wanted,
                             es_oip_tensor *to, es_error *err) ES_MUST_CHECK;
/* The value of endpoint-load-metrics, as an Open Request Cost Aggregation report. */
void es_server_load_report(const es_infer *infer, char *out, size_t size);

/* ---- server_expiry.c: deadlines are kept though every replica is busy ---- */
es_status es_server_expiries_new(es_server *server, es_error *err) ES_MUST_CHECK;
/* On a loop: a request of served may have a deadline. */
void es_server_expiry_watch(es_server *server, uint32_t loop, es_served *served);

/* ---- server_peers.c: whom requests may be sent to ---- */
void es_server_peers_put(void *context, es_http_request *request); /* handler */
void es_server_peers_get(void *context, es_http_request *request); /* handler */

/* The peers among which name is, with a reference; NULL: it is none. */
es_server_peers *es_server_peers_find(es_server *server, const char *name, size_t *out_index);
void es_server_peers_unref(es_server_peers *peers);
es_http_peer *es_server_peer_http(const es_server_peers *peers, size_t index);
es_hop_link *es_server_peer_link(const es_server_peers *peers, size_t index);

/* ---- server_models.c: handlers ---- */
void es_server_metadata(void *context, es_http_request *request);
void es_server_live(void *context, es_http_request *request);
void es_server_ready(void *context, es_http_request *request);
void es_server_model_list(void *context, es_http_request *request);
void es_server_model_metadata(void *context, es_http_request *request);
void es_server_model_ready(void *context, es_http_request *request);
void es_server_model_config(void *context, es_http_request *request);
void es_server_model_stats(void *context, es_http_request *request);

/* ---- server_repository.c: handlers ---- */
void es_server_repository_index(void *context, es_http_request *request);
void es_server_repository_load(void *context, es_http_request *request);
void es_server_repository_unload(void *context, es_http_request *request);

/* ---- server_metrics.c, server_page.c, server_observe.c: handlers ---- */
void es_server_metrics(void *context, es_http_request *request);
void es_server_page(void *context, es_http_request *request);
void es_server_observe(void *context, es_http_request *request);

/* ---- helpers of the handlers ---- */

/* The model of the request's path; on failure it has been answered (404, 503) and NULL comes. */
es_served *es_server_model_of(es_server *server, es_http_request *request);

/* All that is served, at one moment. */
typedef struct es_server_listing {
    es_arena *arena;
    es_repository_entry *entries;
    size_t count;
} es_server_listing;

/* False: it has been answered. */
bool es_server_listing_take(es_server *server, es_http_request *request, es_server_listing *out);
void es_server_listing_done(es_server_listing *all);

/* Resident bytes of this process; 0 when not known. */
uint64_t es_server_memory_bytes(void);

#endif
