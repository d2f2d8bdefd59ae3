/*
 * serve, private to the run: child processes, their configuration, inputs, the driver's state.
 * Threads: one owner.
 */
#ifndef ES_SERVE_RUN_INTERNAL_H
#define ES_SERVE_RUN_INTERNAL_H

#include "base/array.h"
#include "internal.h"

/* ---- child processes ---- */

typedef struct es_child {
    pid_t pid; /* 0: none, or reaped */
    int ready_fd;
    uint16_t port;
    int wait_status; /* of waitpid, once reaped */
} es_child;

typedef struct es_child_opts {
    const char *program;
    const char *name;
    const char *token;       /* hexadecimal; handed over in the environment */
    const char *ort_library; /* or NULL */
} es_child_opts;

/* The child dies with this thread (Linux), does not see the terminal's Ctrl-C, and writes its
 * stdout to stderr. */
es_status es_child_start(es_child_opts opts, es_child *out, es_error *err) ES_MUST_CHECK;
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

typedef struct es_run_node {
    es_child child;
    es_conn conn;
    uint32_t events; /* what epoll watches */
    bool connected;
    bool ready;
    bool dead; /* before it was told to stop */
    int64_t died_ns;
    es_config config;
    es_dtype *dtypes; /* [config.segment_count] of inputs */
    double *busy_s;   /* [boundary] since the start; NAN: not told */
    double *energy_j; /* [boundary] by counters, since the start; NAN: not told */
    uint32_t energy_sources;
    uint32_t told; /* boundaries answered */
    bool hosts;    /* any segment */
} es_run_node;

/* What requests of one task carry: its samples, or tensors of one type drawn by seed. */
typedef struct es_run_inputs {
    uint32_t task;
    es_dtype dtype; /* drawn ones */
    size_t size_bytes;
    size_t count;
    const uint8_t *bytes;  /* [count][size_bytes] */
    const uint8_t *labels; /* [count] index of the right class; NULL: not known */
} es_run_inputs;

enum { ES_RUN_INPUT_VARIANTS = 8 };

typedef struct es_run_pending {
    bool used;
    bool recorded; /* not part of the warm-up */
    uint32_t generation;
    uint32_t class_id;
    uint32_t slot;
    size_t routing;
    uint64_t sequence;
    int64_t arrival_ns; /* intended */
    int64_t leaves_ns;  /* its origin: arrival_ns or later */
    uint32_t turn;      /* 0: none */
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

/* Which way the next request of a class goes: the option furthest behind its share. */
typedef struct es_run_class {
    size_t routing_first, routing_count;
    uint64_t drawn;
    uint64_t refused;
    uint64_t *taken; /* [routing_count] */
    uint64_t sequence;
    es_arrival_stream arrivals;
    es_arrival_stream warm_up;
    int64_t next_ns; /* offset from time 0 of the next arrival */
    bool warming;
} es_run_class;

typedef struct es_run {
    es_arena *arena;
    const es_scenario *scenario;
    const es_plan *plan;
    es_run_opts opts;
    uint64_t seed;
    double duration_s;
    uint32_t node_count;
    es_run_node *nodes;
    es_run_class *classes;
    es_config_route *routes;      /* [plan->routing_count] */
    uint64_t *touches;            /* [routing][node / 64] nodes that a request may pass */
    const es_run_inputs **inputs; /* [routing] */
    es_message_pool pool;
    int epoll_fd, timer_fd;
    uint8_t token[ES_TOKEN_SIZE];
    es_status status; /* of a node that cannot serve; err has the text */
    es_error *err;
    ES_ARRAY(es_run_pending) pending;
    ES_ARRAY(uint32_t) pending_free;
    size_t pending_count; /* in use */
    es_hold hold;         /* of these, what has not left its origin */
    es_outcome_recorder *recorder;
    int64_t time_0_ns;
    uint32_t boundary_count; /* ends of slots, and time 0 */
    uint32_t boundary_next;
    uint64_t answered, failed;
    int64_t progress_ns;
    bool failure_told;
} es_run;

/* Checks the plan against what a run needs and fills nodes[].config, routes and touches; ports of
 * links are filled later. */
es_status es_run_configure(es_run *run, es_error *err) ES_MUST_CHECK;

/* Draws the inputs; needs nodes[].dtypes. */
es_status es_run_inputs_make(es_run *run, es_error *err) ES_MUST_CHECK;

/* Handles what comes in until then at the latest; returns after one round of events. */
es_status es_run_wait(es_run *run, int64_t until_ns, es_error *err) ES_MUST_CHECK;
void es_run_watch(es_run *run, uint32_t node);
bool es_run_cancelled(const es_run *run);

/* Requests from -warm_up to duration, answers, statistics. */
es_status es_run_drive(es_run *run, es_error *err) ES_MUST_CHECK;
/* An answer has come in from a node. Takes no ownership. */
void es_run_answer_in(es_run *run, const es_message *message);
void es_run_stats_in(es_run *run, uint32_t node, const es_message *message);
void es_run_node_died(es_run *run, uint32_t node);

/* Watts above idle of one processor that runs this segment. */
double es_run_power_w(const es_scenario *scenario, uint32_t segment, uint32_t node);
/* Joules and grams of one request after its stages_run stages. */
void es_run_account(const es_run *run, size_t routing, const es_request *answer, es_sample *sample);
/* Node uses of every slot into the recorder. */
es_status es_run_record_nodes(es_run *run, es_error *err) ES_MUST_CHECK;

#endif
