/*
 * serve, private to the node: hosted segments, workers, and the loop's state.
 * Threads: everything belongs to the loop thread, but for the queues and atomics of es_workers.
 */
#ifndef ES_SERVE_NODE_INTERNAL_H
#define ES_SERVE_NODE_INTERNAL_H

#include "base/array.h"
#include "base/queue.h"
#include "internal.h"
#include "meter/meter.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- hosted segments ---- */

typedef struct es_node_segment {
    const es_config_segment *config;
    es_session *session;
    es_tensor input; /* type and shape; no data */
    uint32_t output_count;
    es_tensor *outputs;    /* [output_count] type and shape; no data */
    size_t *output_places; /* [output_count] offset in a worker's scratch memory; SIZE_MAX: a free
                              dimension, so the library allocates */
} es_node_segment;

/* One stage of one route, seen from the node that runs it. */
typedef struct es_node_stage {
    const es_node_segment *segment; /* NULL: runs elsewhere */
    uint32_t forward_output;        /* shipped into the next stage of a split */
    uint32_t result_bytes_max;      /* of tensors in the message that leaves this stage */
} es_node_stage;

typedef struct es_node_models {
    es_runtime *runtime;
    uint32_t segment_count;
    es_node_segment *segments;
    es_node_stage *stages; /* [route][ES_STAGE_COUNT_MAX] */
    size_t scratch_bytes;  /* outputs of the largest segment */
} es_node_models;

/* Opens every hosted segment, runs it once, and checks every stage that runs here against it. */
es_status es_node_models_load(es_arena *arena, const es_config *config, es_node_models *out,
                              es_error *err) ES_MUST_CHECK;
void es_node_models_done(es_node_models *models);

/* Memory for the outputs of one run at a time, and the outputs in it. NULL: none left. */
uint8_t *es_node_scratch_new(size_t bytes);
void es_node_outputs_place(const es_node_segment *segment, uint8_t *scratch, es_tensor *outputs);

/* ---- one stage ---- */

typedef struct es_job {
    struct es_job *next;      /* in the free list */
    struct es_job *next_made; /* in the list of all */
    es_message *in;
    es_message *out; /* filled by the worker: the next request or the answer */
    const es_config_route *route;
    const es_node_stage *stage;
    int64_t start_ns;
    int64_t end_ns;
    es_status status;
    es_error err;
} es_job;

/* Processor time of the calling thread. */
int64_t es_thread_cpu_ns(void);

/* Service time of the emulated machine for a run that took cpu_ns here: hold_ns, which stands for
 * hold_ns / slowdown of this machine; what goes beyond (cold caches after waking up, other
 * processes) is this machine's and counts once. slowdown 0: hold_ns alone. */
int64_t es_stage_service_ns(int64_t cpu_ns, int64_t hold_ns, double slowdown);

/* Runs the job's segment on in and writes what follows to out; scratch: models.scratch_bytes,
 * 64-byte aligned. out_cpu_ns: processor time taken. */
es_status es_stage_run(es_job *job, uint8_t *scratch, int64_t *out_cpu_ns,
                       es_error *err) ES_MUST_CHECK;

/* The part of es_stage_run behind the session: leave, or go on. Also the part that is tested alone.
 * outputs: of the segment. */
es_status es_stage_decide(es_job *job, const es_tensor *outputs, es_error *err) ES_MUST_CHECK;

/* ---- workers ---- */

typedef struct es_workers es_workers;

typedef struct es_worker {
    pthread_t thread;
    es_workers *all;
    uint8_t *scratch;
    _Atomic int64_t since_ns; /* start of the job it is on; 0: idle */
} es_worker;

struct es_workers {
    es_queue *waiting;
    es_queue *finished; /* room for every job there can be */
    int event_fd;       /* written after each push to finished */
    double slowdown;
    atomic_bool stop;
    uint32_t count; /* running threads */
    es_worker *items;
};

/* capacity: jobs that may exist at once. */
es_status es_workers_start(es_arena *arena, es_workers *workers, uint32_t count, size_t capacity,
                           size_t scratch_bytes, double slowdown, es_error *err) ES_MUST_CHECK;
/* Ends at once: holds are cut short, waiting jobs stay in the queues. Waits for the threads. */
void es_workers_stop(es_workers *workers);
void es_workers_done(es_workers *workers); /* after stop; frees queues and scratch memory */

/* ---- turns.c: an order among requests ---- */

typedef struct es_waiting {
    es_message *message;
    int64_t until_ns; /* then it no longer waits for those before it */
} es_waiting;

typedef struct es_turns {
    uint32_t served;              /* the highest turn that was taken */
    ES_ARRAY(es_waiting) waiting; /* the next one last */
} es_turns;

/* The message has a turn > 0 and came at now_ns; on failure it stays the caller's. O(waiting). */
es_status es_turns_add(es_turns *turns, es_arena *arena, es_message *message, int64_t now_ns,
                       es_error *err) ES_MUST_CHECK;
/* The next one whose turn it is, or that has waited long enough, or is late; else NULL. */
es_message *es_turns_take(es_turns *turns, int64_t now_ns);
/* When the next one stops waiting; INT64_MAX: none waits. */
int64_t es_turns_next_ns(const es_turns *turns);

/* ---- the node ---- */

typedef enum es_peer_role {
    ES_PEER_FREE,
    ES_PEER_NEW,     /* no hello yet */
    ES_PEER_CONTROL, /* the run */
    ES_PEER_IN,      /* a neighbour that sends to us */
    ES_PEER_OUT,     /* a neighbour that we send to */
} es_peer_role;

typedef struct es_peer {
    es_conn conn;
    es_peer_role role;
    uint32_t events;       /* what epoll watches */
    es_message_list held;  /* arrived, but not yet due */
    es_link_emulator link; /* OUT */
    uint32_t to;           /* OUT: node index */
} es_peer;

enum { ES_NODE_PEER_MAX = 8192 };

/* Joules of this process; NULL where the machine has no counters. */
typedef struct es_node_meter es_node_meter;

typedef struct es_node_server {
    es_node_opts opts;
    bool token_set;
    uint8_t token[ES_TOKEN_SIZE];
    es_arena *arena;
    es_message_pool pool;
    int listen_fd, epoll_fd, timer_fd;
    uint16_t port;
    uint32_t peer_count;
    es_peer **peers; /* [ES_NODE_PEER_MAX] */
    es_peer *control;
    bool configured, ended;
    es_config config;
    es_peer **links; /* [config.link_count] */
    es_node_models models;
    es_workers workers;
    bool workers_on;
    es_job *jobs_made;
    es_job *jobs_free;
    size_t jobs_out;  /* waiting, running, or finished and not yet collected */
    es_turns turns;   /* not yet waiting for a worker */
    uint64_t busy_ns; /* of finished jobs */
    es_node_meter *meter;
} es_node_server;

/* node_meter.c: looks for counters; reads them now, or when it is time to; fills the answer. */
void es_node_meter_start(es_node_server *node);
void es_node_meter_read(es_node_server *node, bool at_once);
void es_node_meter_tell(const es_node_server *node, es_stats *stats);

/* A message that is at this node now (message->when_ns): runs it, forwards it, or answers. Takes
 * the message over. */
void es_node_deliver(es_node_server *node, es_message *message);
/* Hands to the workers whose turn it is. */
void es_node_serve_turns(es_node_server *node);
/* Takes what the workers have finished. */
void es_node_collect(es_node_server *node);
/* Tells the run that this request ends here. */
void es_node_report(es_node_server *node, const es_request *request, es_fate fate,
                    const char *text);
/* A link to a neighbour broke: what still waits on it has failed. */
void es_node_link_lost(es_node_server *node, es_peer *peer);
/* Watches for what the connection can do next. */
void es_node_watch(es_node_server *node, es_peer *peer);
es_status es_node_peer_new(es_node_server *node, int fd, es_peer_role role, es_peer **out_peer,
                           es_error *err) ES_MUST_CHECK;
void es_node_peer_close(es_node_server *node, es_peer *peer);

#endif
