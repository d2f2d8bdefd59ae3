/*
 * serve, private to the run: child processes, their folders, inputs, the driver's state.
 * Threads: one owner.
 */
#ifndef ES_SERVE_RUN_INTERNAL_H
#define ES_SERVE_RUN_INTERNAL_H

#include "base/array.h"
#include "base/clock.h"
#include "http/http.h"
#include "machine.h"
#include "outcome/outcome.h"
#include "route/route.h"
#include "runtime/runtime.h"
#include "serve.h"

#include <sys/types.h>

enum {
    ES_RUN_NODE_MAX = 256,          /* processes of one run */
    ES_RUN_PAYLOAD_MAX = 256 << 20, /* bytes of tensors in one message */
    ES_RUN_PROCESSORS_MAX = 64,     /* that are emulated of one node */
    ES_RUN_INPUT_VARIANTS = 8,
    ES_RUN_SOURCE_SIZE = 32,
    ES_RUN_TOKEN_SIZE = 33 /* hexadecimal, with its end */
};

/* ---- process.c: child processes ---- */

typedef struct es_child {
    pid_t pid; /* 0: none, or reaped */
    int ready_fd;
    uint16_t port;
    int wait_status; /* of waitpid, once reaped */
} es_child;

enum { ES_CHILD_WORDS_MAX = 32 };

/* The program runs with words[] (behind its own name; "--ready-fd 3" is added), dies with this
 * thread (Linux), does not see the terminal's Ctrl-C, and writes its stdout to stderr. */
es_status es_child_start(const char *program, const char *const *words, size_t count, es_child *out,
                         es_error *err) ES_MUST_CHECK;
/* Waits for its line "ready PORT". */
es_status es_child_await_ready(es_child *child, int64_t deadline_ns,
                               const volatile sig_atomic_t *stop, es_error *err) ES_MUST_CHECK;
/* True when it is gone (and then reaped), waiting up to wait_ms. */
bool es_child_reap(es_child *child, int wait_ms);
/* Asks all to end, insists after grace_ms, and reaps them. */
void es_children_end(es_child *const *children, size_t count, int grace_ms);
/* "exited with status 1", "was ended by signal 9" */
const char *es_child_end_text(const es_child *child, char *out, size_t size);

/* ---- the run ---- */

/* A segment at a node: a model of its repository. Ports are told by the node. */
typedef struct es_run_model {
    uint32_t segment;
    const char *file; /* absolute */
    size_t input_count, output_count;
    es_port *inputs, *outputs;
} es_run_model;

typedef struct es_run_node {
    const char *name;
    es_child child;
    char url[64];
    es_http_peer *http;
    bool dead; /* before it was told to stop */
    int64_t died_ns;
    uint32_t processors; /* that are emulated */
    uint32_t model_count;
    es_run_model *models;
    double *busy_s;   /* [boundary] since the start; NAN: not told */
    double *energy_j; /* [boundary] by counters, since the start; NAN: not told */
    char energy_source[ES_RUN_SOURCE_SIZE];
    uint32_t told; /* boundaries answered */
} es_run_node;

typedef struct es_run_stage {
    uint32_t segment;
    uint32_t node;
    es_stage_input input;
    uint32_t exit_output;
    double exit_threshold;
    uint32_t input_bytes;
} es_run_stage;

/* A routing of the plan. */
typedef struct es_run_way {
    uint32_t origin;       /* node where requests enter and answers go */
    uint64_t output_bytes; /* counted on links for an answer */
    uint32_t stage_count;
    es_run_stage stages[ES_STAGE_COUNT_MAX];
    uint64_t *touches[ES_STAGE_COUNT_MAX]; /* [node / 64] nodes that a request passes which leaves
                                              behind this stage, and its answer */
    const char *header;                    /* Estran-Route */
    const char *path;                      /* of its requests */
} es_run_way;

/* What requests of one task carry: its samples, or tensors of one type drawn by seed. */
typedef struct es_run_inputs {
    uint32_t task;
    es_dtype dtype; /* drawn ones */
    size_t size_bytes;
    size_t count;
    const uint8_t *bytes;  /* [count][size_bytes] */
    const uint8_t *labels; /* [count] index of the right class; NULL: not known */
} es_run_inputs;

typedef struct es_run es_run;

typedef struct es_run_pending {
    es_run *run;
    uint32_t index;
    bool used;
    bool recorded; /* not part of the warm-up */
    uint32_t class_id;
    uint32_t slot;
    size_t routing;
    uint64_t sequence;
    int64_t arrival_ns; /* intended */
    int64_t leaves_ns;  /* its origin: arrival_ns or later */
    uint32_t turn;      /* 0: none */
    es_text body;
} es_run_pending;

/* ---- hold.c: requests that may not leave yet ---- */

typedef struct es_held {
    int64_t leaves_ns;
    uint64_t number; /* in order of coming: decides between equal times */
    uint32_t index;  /* of the request */
} es_held;

typedef struct es_hold {
    ES_ARRAY(es_held) heap;
    uint64_t pushed;
} es_hold;

/* O(log n), as es_hold_pop. */
es_status es_hold_push(es_hold *hold, es_arena *arena, int64_t leaves_ns, uint32_t index,
                       es_error *err) ES_MUST_CHECK;
int64_t es_hold_next_ns(const es_hold *hold); /* INT64_MAX: none */
uint32_t es_hold_pop(es_hold *hold);          /* the index of the next; there must be one */

typedef struct es_run_class {
    size_t routing_first, routing_count;
    uint64_t sequence;
    es_arrival_stream arrivals;
    es_arrival_stream warm_up;
    int64_t next_ns; /* offset from time 0 of the next arrival */
    bool warming;
} es_run_class;

struct es_run {
    es_arena *arena;
    const es_scenario *scenario;
    const es_plan *plan;
    es_run_opts opts;
    uint64_t seed;
    double duration_s;
    uint32_t node_count;
    es_run_node *nodes;
    es_run_class *classes;
    es_run_way *ways;             /* [plan->routing_count] */
    es_link_emulator **links;     /* [from][to] between origins and others; NULL: not used yet */
    const es_run_inputs **inputs; /* [routing] */
    const char *folder;           /* of repositories, until the nodes have read them; NULL: none */
    char own_token[ES_RUN_TOKEN_SIZE], peer_token[ES_RUN_TOKEN_SIZE];
    es_http_caller *caller;
    es_chooser *chooser;
    es_arena *scratch; /* of one reply */
    es_status status;  /* of what cannot go on; err has the text */
    es_error *err;
    ES_ARRAY(es_run_pending *) pending;
    ES_ARRAY(uint32_t) pending_free;
    size_t pending_count; /* in use */
    size_t body_bytes;    /* of requests under way */
    es_hold hold;         /* of pending, what has not left its origin */
    es_outcome_recorder *recorder;
    int64_t time_0_ns, last_ns;
    uint32_t boundary_count; /* ends of slots, and time 0 */
    uint32_t boundary_next;
    uint64_t answered, failed;
    int64_t progress_ns, looked_ns;
    bool failure_told;
};

bool es_run_cancelled(const es_run *run);

/* run_config.c: checks the plan against what a run needs; fills nodes[].models and ways. */
es_status es_run_configure(es_run *run, es_error *err) ES_MUST_CHECK;

/* run_folder.c: model repositories and tokens, where nodes find them at their start. */
es_status es_run_folder_make(es_run *run, es_error *err) ES_MUST_CHECK;
const char *es_run_folder_of(const es_run *run, uint32_t node); /* NULL: arena full */
const char *es_run_folder_tokens(const es_run *run);            /* NULL: arena full */
void es_run_folder_remove(es_run *run);                         /* fine without one */

/* run_nodes.c: starts the processes, asks for their models, tells them their peers. */
es_status es_run_nodes_start(es_run *run, es_error *err) ES_MUST_CHECK;
/* Looks whether the node is still there; waits up to wait_ms for it to be gone. */
void es_run_node_look(es_run *run, uint32_t node, int wait_ms);

/* run_models.c: holds what nodes say of their models against the stages, completes ways[]. */
es_status es_run_models_check(es_run *run, es_error *err) ES_MUST_CHECK;
/* The model of a stage. */
const es_run_model *es_run_model_of(const es_run *run, const es_run_stage *stage);

/* run_inputs.c: draws or reads the inputs; needs the models' ports. */
es_status es_run_inputs_make(es_run *run, es_error *err) ES_MUST_CHECK;

/* run_choose.c: the gateway's choice among the plan's options. */
es_status es_run_chooser_make(es_run *run, es_error *err) ES_MUST_CHECK;
/* The routing that a request of the class takes; SIZE_MAX: refused. */
size_t es_run_choose(es_run *run, uint32_t class_id);

/* run_drive.c: requests from -warm_up to duration, answers, statistics. */
es_status es_run_drive(es_run *run, es_error *err) ES_MUST_CHECK;
/* The request has its fate: recorded once. */
void es_run_pending_end(es_run *run, es_run_pending *pending, es_sample *sample);

/* run_request.c: from the origin to the first stage's node, and back. */
void es_run_send(es_run *run, es_run_pending *pending);
/* Do all nodes on this way still live, or did until before_ns? */
bool es_run_way_lives(const es_run *run, size_t routing, uint32_t stages_run, int64_t before_ns);

/* run_record.c */

/* Watts above idle of one processor that runs this segment. */
double es_run_power_w(const es_scenario *scenario, uint32_t segment, uint32_t node);
/* Joules and grams of one request after its stages_run stages of service_s. */
void es_run_account(const es_run *run, size_t routing, uint32_t stages_run, const double *service_s,
                    es_sample *sample);
/* Asks all nodes what they have used up to a boundary. */
void es_run_ask_stats(es_run *run, uint32_t boundary);
bool es_run_stats_complete(const es_run *run);
/* Node uses of every slot into the recorder. */
es_status es_run_record_nodes(es_run *run, es_error *err) ES_MUST_CHECK;

#endif
