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

/* ---- a node as a server of the Open Inference Protocol v2 ---- */

/* Bits of what a bearer token may do. */
enum {
    ES_SERVER_CLIENT = 1,     /* infer, look */
    ES_SERVER_NODE = 2,       /* and set routes */
    ES_SERVER_GATEWAY = 4,    /* the same */
    ES_SERVER_CONTROLLER = 8, /* and load, unload, name peers */
};

typedef struct es_server_token {
    const char *text; /* at least 16 characters */
    uint32_t roles;
} es_server_token;

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
    const es_server_token *tokens; /* none: open to all who can reach it */
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

/* ---- a controller ---- */

typedef struct es_controller_opts {
    const es_scenario *scenario; /* required */
    const char *cluster;         /* path of the document; required */
    const char *state;           /* path of its SQLite file; required */
    const char *policy;          /* es_policy_make; default "replan" */
    uint64_t seed;               /* 0: the scenario's */
    double slot_s;               /* 0: the scenario's */
    double probe_s;              /* between looks at a process that answers; default 1 */
    double patience_s;           /* a gateway that does not answer holds back unloading; 30 */
    double drain_s;              /* where gateways do not tell; 0: the longest deadline */
    bool emulate;                /* tell peers the scenario's links */
    bool once;                   /* end when what was decided is in force */
    bool dry_run;                /* decide, tell the steps, change nothing */
    bool json;                   /* what dry_run and replay tell, as JSON */
    bool replay;                 /* hold what the state tells against the simulator, and end */
    const char *address;         /* of its own page; default "127.0.0.1" */
    uint16_t port;               /* 0: any; default 8090 */
    const char *certificate_file, *key_file, *client_ca_file; /* PEM; see es_http_tls */
    const es_server_token *tokens;
    size_t token_count;
    const char *peer_certificate_file, *peer_key_file; /* shown to nodes and gateways */
    void (*ready)(void *context, uint16_t port);       /* listening; may be NULL */
    void *context;
    volatile sig_atomic_t *stop;
} es_controller_opts;

es_controller_opts es_controller_opts_default(void);

/* Runs a controller until *stop becomes non-zero, or as once, dry_run and replay say; what these
 * have to tell is appended to out. ES_ERR_UNAVAILABLE: once, and the cluster did not let it;
 * ES_ERR_INTERNAL: the simulator decided otherwise. */
es_status es_controller_serve(es_controller_opts opts, es_text *out, es_error *err) ES_MUST_CHECK;

/* ---- a gateway: clients ask for tasks, it knows who solves them ---- */

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
    const es_server_token *tokens; /* none: open to all who can reach it */
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

/* ---- load: drives any server of the Open Inference Protocol, and says how it kept up ---- */

/* MLPerf LoadGen's, by its names. */
typedef enum es_load_scenario {
    ES_LOAD_SINGLE_STREAM, /* one query at a time: latency */
    ES_LOAD_MULTI_STREAM,  /* the same, several samples at once: latency of the last of them */
    ES_LOAD_SERVER,        /* arrivals by a Poisson process, held back by nothing */
    ES_LOAD_OFFLINE,       /* everything at once: samples per second */
    ES_LOAD_SCENARIO_COUNT
} es_load_scenario;

extern const char *const es_load_scenario_names[ES_LOAD_SCENARIO_COUNT]; /* "SingleStream", ... */

typedef struct es_load_opts {
    const char *url;                                   /* "http://HOST:PORT"; required */
    const char *model;                                 /* required */
    const char *model_version;                         /* NULL: the server's choice */
    const char *token;                                 /* bearer token; NULL: none */
    const char *ca_file, *certificate_file, *key_file; /* PEM; see es_http_peer_opts */
    es_load_scenario scenario;                         /* default SERVER */
    double rate_rps;      /* queries per second of SERVER, > 0; default 10 */
    uint32_t connections; /* requests on the wire at once, 1..16384; default 64 */
    uint32_t batch;       /* samples per request: rows of the free first dimension; default 1 */
    uint32_t samples_per_query; /* of MULTI_STREAM, a multiple of batch; default 8 */
    double duration_s;          /* at least; default 10, as LoadGen */
    uint64_t query_count_min;   /* at least; default 100, as LoadGen */
    double duration_s_max;      /* no query is sent later; 0: none; default 0 */
    double warm_up_s;           /* of the same traffic, not counted; default 1 */
    double percentile;          /* of the latency that counts, in (0, 1); 0: 0.9 for SINGLE_STREAM,
                                   else 0.99, as LoadGen */
    double latency_target_s;    /* of SERVER; default 0.1, as LoadGen */
    double timeout_s;           /* of a request; default 10 */
    uint64_t seed;              /* 0: LoadGen's */
    const char *input; /* samples: .npy with the input's type or floats, else their bytes one
                          after the other; NULL: drawn by seed */
    const char *const *shapes; /* "NAME=1,3,224,224" where metadata leaves dimensions free */
    size_t shape_count;
    const char *const *parameters; /* "NAME=VALUE" of each request */
    size_t parameter_count;
    bool json_tensors;           /* instead of binary ones */
    volatile sig_atomic_t *stop; /* ends the run early; may be NULL */
    void (*progress)(void *context, const char *what, double done); /* done in [0, 1] */
    void *progress_context;
} es_load_opts;

es_load_opts es_load_opts_default(void);

typedef struct es_load es_load;

/* Asks the server for the model's metadata, makes the requests, sends one and looks at its answer.
 * ES_ERR_ARG also for a model that needs a shape, or has not the input's. Strings are copied. */
es_status es_load_new(es_load_opts opts, es_load **out_load, es_error *err) ES_MUST_CHECK;
void es_load_free(es_load *load);
void es_load_free_p(es_load **load); /* for ES_CLEANUP */

/* Requests that came to no answer with status 200. */
typedef struct es_load_fault {
    const char *what; /* "503", "timed out", "not reached", "broken", "refused here" */
    uint64_t count;
} es_load_fault;

/* Latencies run from when a query was to be sent, however late it was: what a stalled server makes
 * its clients wait is counted for all of them. */
typedef struct es_load_result {
    es_load_scenario scenario;
    double rate_rps; /* asked; SERVER */
    double percentile, latency_target_s;
    uint64_t queries; /* sent or due: answered + failed */
    uint64_t answered, failed;
    uint64_t samples;                /* of the answered */
    uint64_t over_target;            /* failed, or later than latency_target_s; SERVER */
    double scheduled_s;              /* from the start to when the last query was due */
    double last_done_s;              /* from the start to the end of the last query */
    const es_histogram *latency;     /* of the answered queries */
    const es_histogram *send_delay;  /* how late queries were handed over; SERVER */
    double latency_s_early_stopping; /* latency at percentile with 99 % confidence; NAN: too few
                                        queries, or another scenario */
    uint64_t early_stopping_missing; /* queries that more would be needed */
    const es_load_fault *faults;
    size_t fault_count;
    char first_fault[ES_ERROR_SIZE]; /* its text; empty: none */
    bool stopped;                    /* by stop */
    bool valid;                      /* all of these: */
    bool performance_met, duration_met, queries_met, early_stopping_met, answers_met;
} es_load_result;

/* Warms up, then drives; results live until the load is freed. rate_rps 0: the options'. Failing
 * requests are counted, not errors. ES_ERR_CANCELLED: stopped before anything was counted. */
es_status es_load_run(es_load *load, double rate_rps, const es_load_result **out_result,
                      es_error *err) ES_MUST_CHECK;

/* Latency that the share q of all queries kept, failed ones as if they took for ever (INFINITY). */
double es_load_latency(const es_load_result *result, double q);

typedef struct es_load_trial {
    double rate_rps;
    double latency_s; /* at the percentile */
    uint64_t queries, failed;
    bool good; /* the target was kept */
} es_load_trial;

typedef struct es_load_search {
    const es_load_trial *trials; /* in order */
    size_t trial_count;
    const es_load_result *best; /* of the highest good rate; NULL: none was good */
} es_load_search;

/* The highest rate of SERVER whose latency keeps the target: doubles from rate_rps, then halves the
 * interval until its ends are within precision (ratio - 1, > 0). Each trial runs as es_load_run but
 * ends early once it cannot be good; all trials have the same arrivals, stretched. */
es_status es_load_find_rate(es_load *load, double precision, es_load_search *out_search,
                            es_error *err) ES_MUST_CHECK;

/* Text with the keys of LoadGen's summary ("Result is : VALID"), and a document
 * (docs/reference/bench-serve.md). search may be NULL. */
void es_load_write_text(const es_load *load, const es_load_result *result, es_text *out);
void es_load_write_json(const es_load *load, const es_load_result *result,
                        const es_load_search *search, es_text *out);

#endif
