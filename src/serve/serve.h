/*
 * serve: the world in real time. A node is a server of the Open Inference Protocol over a folder of
 * models; a run starts one node process per node of a scenario on loopback, links and slower
 * machines emulated, drives real requests and records the outcome.
 *
 * Defaults listen on loopback only. Threads: a server has its own; its object belongs to one, as a
 * run does. Units: seconds, bytes, joules. How it works: README.md, node.md.
 */
#ifndef ES_SERVE_SERVE_H
#define ES_SERVE_SERVE_H

#include "outcome/outcome.h"
#include "route/route.h"

#include <signal.h>

/* ---- a node: a server of the Open Inference Protocol v2 ---- */

typedef struct es_server_opts {
    const char *name;        /* of the node; default "node" */
    const char *version;     /* of the program, told to clients; default "" */
    const char *repository;  /* folder of models; required */
    const char *const *load; /* models to load at the start; none: all */
    size_t load_count;
    const char *address;     /* default "127.0.0.1" */
    uint16_t port;           /* 0: any; default 8000 */
    uint32_t loop_count;     /* threads that speak HTTP; default 1 */
    const char *ort_library; /* NULL: the default search */
    const char *certificate_file, *key_file, *client_ca_file; /* PEM; see es_http_tls */
    const es_http_token *tokens; /* none: open to all who can reach it */
    size_t token_count;
    uint32_t replica_count; /* of models that do not say; default 1 */
    uint32_t thread_count;  /* inside one run; default 1 */
    uint32_t batch_max;     /* rows joined for models that do not say; 0, 1: none; default 8 */
    uint32_t queue_max;     /* requests that wait per model and priority; default 1024 */
    double inline_us_max;   /* runs that take no longer may go on the thread that reads the request,
                               while requests are few; default 300 */
    size_t body_bytes_max;  /* of an inference request; default 64 MiB */
    size_t load_bytes_max;  /* of a load request with files; default 512 MiB */
    const char *peer_token; /* shown to peers that were told with no other; NULL: none */
    const char *peer_ca_file, *peer_certificate_file, *peer_key_file; /* PEM, towards peers */
    bool emulate;    /* emulate links to peers and a slower machine; default false */
    double slowdown; /* with emulate: how many times slower than this machine, >= 1; default 1 */
    uint32_t processors; /* with emulate: runs of all models at the same time, which wait in one
                            queue of queue_max; 0: each model for itself; default 0 */
    uint32_t connections_max; /* default 1024 */
    size_t cache_bytes;       /* of the response cache; 0: none; default 0 */
    bool cache_all;           /* models that do not say are cached too; default false */
    const char *request_log;  /* JSON lines are appended to this file; NULL: none */
    bool metrics_nv;          /* /metrics has Triton's names too; default false */
    const char *meter_root;   /* where sys and proc are; NULL: this machine's */
    double idle_w, busy_w;    /* declared power of the node; both 0: a generic figure */
    double carbon_g_per_kwh;  /* of the grid; NAN: grams are not told; default NAN */
} es_server_opts;

es_server_opts es_server_opts_default(void);

typedef struct es_server es_server;

/* Reads the folder, binds, listens: clients may connect. Nothing is loaded yet. */
es_status es_server_init(es_server_opts opts, es_server **out_server, es_error *err) ES_MUST_CHECK;
uint16_t es_server_port(const es_server *server);

/* Answers (not ready), loads the models, then is ready. A model that cannot be loaded is logged,
 * told in the index, and counted in *out_failed (may be NULL). */
es_status es_server_start(es_server *server, size_t *out_failed, es_error *err) ES_MUST_CHECK;

/* No longer ready; lets requests under way end for grace_s, then answers 503; unloads. */
void es_server_stop(es_server *server, double grace_s);
void es_server_done(es_server *server); /* stops without grace when that was not done */
void es_server_done_p(es_server **server);

/* One served request, told as it comes back. Borrowed for the call. */
typedef struct es_run_answer {
    es_class_id class_id;
    uint64_t sequence; /* of the recorded requests of the class, from 0 */
    size_t routing;    /* index in the plan */
    double latency_s;
    uint32_t stages_run;
    const double *service_s; /* [stages_run] time at each stage's node */
    const double *queue_s;   /* [stages_run] time waited there */
    const void *output;      /* the answer's tensor */
    size_t output_bytes;
} es_run_answer;

typedef struct es_run_turn {
    double
        leaves_s;  /* its origin, in seconds from time 0; before its arrival, NAN: at its arrival */
    uint32_t turn; /* 1, 2, ... among those whose first stage runs on one node, which serves them in
                      this order however they reach it (one that is lost holds the next up for 50
                      ms); 0: as it comes */
} es_run_turn;

typedef struct es_run_opts {
    const char *program;         /* executable that has the verb `node`: estran; required */
    const char *label;           /* of the outcome; default "plan" */
    const char *ort_library;     /* NULL: the default search */
    uint64_t seed;               /* 0: the scenario's */
    double duration_s;           /* 0: the scenario's slots */
    double warm_up_s;            /* requests before time 0 that are not recorded; default 0.5 */
    volatile sig_atomic_t *stop; /* set by Ctrl-C; may be NULL */
    void (*progress)(void *context, double done_s, double total_s, uint64_t answered,
                     uint64_t failed);
    void *progress_context;
    uint32_t queue_capacity; /* requests that may wait at each node; default 1024 */
    double grace_s;          /* after the last arrival, for what is under way; default 2 */
    double start_timeout_s;  /* for all nodes to be ready; default 60 */
    /* Fills the input of a recorded request; false: leave it to the seed. NULL: all by seed. */
    bool (*input)(void *context, es_class_id class_id, uint64_t sequence, void *bytes,
                  size_t size_bytes);
    /* The index in the plan of the routing (of this class) that a recorded request takes: so a node
     * is told the width, or any variant that it hosts, request by request. SIZE_MAX: refused. NULL:
     * by the plan's shares, as requests of the warm-up always go. */
    size_t (*route)(void *context, es_class_id class_id, uint64_t sequence);
    /* When and in which order recorded requests are served. Latency counts from the arrival. NULL:
     * as they arrive. */
    es_run_turn (*turn)(void *context, es_class_id class_id, uint64_t sequence);
    void (*answered)(void *context, const es_run_answer *answer); /* may be NULL */
    void (*started)(void *context, es_node_id node, int64_t pid); /* may be NULL */
    void *context;                                                /* of the five */
} es_run_opts;

es_run_opts es_run_opts_default(void);

/*
 * Starts the processes, drives the demand open loop (arrivals by seed, not held back by slow
 * answers), stops every process, seals the outcome. A node that dies is reported in the outcome
 * (died, failed counts) and does not end the run. Needs files on all segments that the plan hosts.
 * Cancelled by *stop: ES_ERR_CANCELLED after every process is gone.
 */
es_status es_run_plan(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                      es_run_opts opts, const es_outcome **out_outcome,
                      es_error *err) ES_MUST_CHECK;

#endif
