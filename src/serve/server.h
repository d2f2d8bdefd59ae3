/*
 * server, private to serve: what the files of the node's server share. An inference is an es_infer
 * from its head to its answer: handler (loop) -> batcher -> done (a replica's thread, or the loop).
 */
#ifndef ES_SERVE_SERVER_H
#define ES_SERVE_SERVER_H

#include "http/http.h"
#include "oip.h"
#include "repository.h"
#include "serve.h"

#include <pthread.h>

typedef enum es_server_phase {
    ES_SERVER_STARTING,
    ES_SERVER_READY,
    ES_SERVER_STOPPING,
    ES_SERVER_PHASE_COUNT
} es_server_phase;

typedef struct es_infer es_infer;

struct es_server {
    es_arena *arena; /* of the options and what lives as long */
    es_server_opts opts;
    es_clock *clock;
    es_runtime *runtime;
    es_repository *repository;
    es_http_server *http;
    _Atomic int phase; /* es_server_phase */
    bool stopped;
    pthread_mutex_t lock;  /* guards all below */
    es_infer *free_infers; /* by next_free */
    size_t free_count;
};

/* ---- server_infer.c ---- */

struct es_infer {
    es_server *server;
    es_infer *next_free;
    es_arena *arena; /* of this request; reset between requests */
    es_http_request *request;
    es_served *served; /* held until the answer is made */
    int64_t start_ns;  /* when the request line had come */
    es_oip_message message;
    es_batch_job job;
    es_text body;   /* of the answer; read by the connection until it is sent */
    es_text stages; /* value of the header Estran-Stages */
};

void es_server_infer(void *context, es_http_request *request); /* handler */
void es_server_infers_free(es_server *server);

/* ---- server_answer.c ---- */

/* The answer's body from the model's outputs. */
es_status es_server_answer_make(es_infer *infer, const es_batch_result *result,
                                int64_t *out_json_size, es_error *err) ES_MUST_CHECK;
/* Do the asked outputs exist? */
es_status es_server_wanted_check(const es_infer *infer, es_error *err) ES_MUST_CHECK;

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

/* ---- helpers of the handlers ---- */

/* The model of the request's path; on failure it has been answered (404, 503) and NULL comes. */
es_served *es_server_model_of(es_server *server, es_http_request *request);
/* Sends text as JSON, and ends it. */
void es_server_send_json(es_http_request *request, int status, es_text *text);

#endif
