/*
 * serve: the world in real time. A node process runs segments; a run starts one process per node of
 * a scenario on loopback, emulates the links in user space, drives real requests and records the
 * outcome.
 *
 * Life of a node: init -> listen -> configured by its controller -> serves -> stop (asked, or its
 * controller's connection ends: no orphan stays). Defaults listen on loopback only.
 * Protocol: src/serve/README.md.
 */
#ifndef ES_SERVE_SERVE_H
#define ES_SERVE_SERVE_H

#include "outcome/outcome.h"

#include <signal.h>

typedef struct es_node_opts {
    const char *name;        /* shown in messages */
    const char *address;     /* default "127.0.0.1" */
    uint16_t port;           /* 0: any; the port is told to out_ready */
    int ready_fd;            /* the line "ready PORT\n" is written here; default 1 */
    const char *ort_library; /* NULL: the default search */
    const char *token;       /* 32 hexadecimal digits that every connection must show; NULL: the
                                environment variable ESTRAN_NODE_TOKEN; unset: none */
    const char *meter_root;  /* where sys and proc are; NULL: the environment variable
                                ESTRAN_METER_ROOT; unset: this machine's */
} es_node_opts;

es_node_opts es_node_opts_default(void);

/* Runs a node until its controller goes, or *stop becomes non-zero. */
es_status es_node_serve(es_node_opts opts, volatile sig_atomic_t *stop,
                        es_error *err) ES_MUST_CHECK;

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
    const char *program;         /* executable that has the verb `node`; required */
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
