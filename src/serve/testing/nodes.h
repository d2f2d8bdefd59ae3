/*
 * nodes: node servers in this process with small models, and a client that asks them, for tests and
 * benchmarks of pipelines.
 */
#ifndef ES_SERVE_NODES_H
#define ES_SERVE_NODES_H

#include "es_test.h"
#include "http/http.h"
#include "oip/oip.h"
#include "serve/serve.h"

enum { NODES_MAX = 3, NODES_WIDTH = 64, NODES_CLASSES = 8 };

typedef struct nodes {
    es_arena *arena;
    char folder[512];
    size_t count;
    es_server *servers[NODES_MAX]; /* named n1, n2, n3 */
    char urls[NODES_MAX][64];
    es_http_client *clients[NODES_MAX];
    bool one_way; /* of emulated links */
} nodes;

/* A folder for models. */
void nodes_begin(nodes *all);
/* Models, f32[1, 64] -> f32[1, 8]: `whole`, the same cut in three as `head`, `mid`, `tail` (their
 * inputs and outputs are named differently); `small`, another one; `exits` with the outputs probs
 * and features, which `rest` takes. Written into the folder that all nodes serve. */
void nodes_write_models(nodes *all);
/* Copies its input to its output: f32[1, width], named as `name`. */
void nodes_write_copy(nodes *all, const char *name, int64_t width);
/* Gives a model that was written a parameter in its configuration. Once, before it is started. */
void nodes_configure(nodes *all, const char *name, const char *key, const char *value);
/* Starts n1 .. n<count>. */
void nodes_start(nodes *all, size_t count, es_server_opts opts);
/* Tells each all the others, with a link of these figures (0: none). */
void nodes_introduce(nodes *all, double latency_ms, double bandwidth_bps);
void nodes_stop_one(nodes *all, size_t index);
void nodes_end(nodes *all);

/* A request of one tensor with a route (NULL: none) to node `index`; further headers. The reply
 * lives in the arena. */
int nodes_infer(nodes *all, size_t index, const char *model, const char *route, const float *input,
                size_t count, const es_http_header *headers, size_t header_count,
                es_http_reply *reply);
/* The same with any tensor. */
int nodes_infer_tensor(nodes *all, size_t index, const char *model, const char *route,
                       const es_oip_tensor *tensor, const es_http_header *headers,
                       size_t header_count, es_http_reply *reply);
/* The only tensor of an answer. */
const float *nodes_answer(nodes *all, const es_http_reply *reply, size_t *out_count,
                          es_oip_message *out_message);
int nodes_call(nodes *all, size_t index, es_http_method method, const char *path, const char *body,
               es_http_reply *reply);

/* What ONNX Runtime alone makes of it. */
void nodes_reference(nodes *all, const char *path, const float *input, size_t count, float *out,
                     size_t out_count);

#endif
