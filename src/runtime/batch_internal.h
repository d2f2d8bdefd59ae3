/*
 * batch_internal: the parts of the batcher: who runs next (queue), and one run (run).
 */
#ifndef ES_RUNTIME_BATCH_INTERNAL_H
#define ES_RUNTIME_BATCH_INTERNAL_H

#include "runtime/internal.h"

/* ---- batch_queue.c: who runs next. No threads, no clock: the time comes in. ---- */

typedef struct es_batch_list {
    es_batch_job *first, *last;
    size_t count;
} es_batch_list;

void es_batch_list_push(es_batch_list *list, es_batch_job *job);
es_batch_job *es_batch_list_pop(es_batch_list *list); /* NULL when empty */

typedef struct es_batch_queue {
    es_batcher_opts opts;
    size_t input_count;
    es_batch_list waiting[ES_BATCH_LEVELS_MAX];
    es_batch_list late[ES_BATCH_LEVELS_MAX]; /* delayed: past their timeout */
    size_t count;                            /* of all */
    int64_t deadline_ns;                     /* no waiting job has an earlier one */
    int64_t last_put_ns;
    double gap_ns; /* between jobs, smoothed; infinite before the second */
} es_batch_queue;

void es_batch_queue_init(es_batch_queue *queue, es_batcher_opts opts, size_t input_count);

/* False when the level is full. Fills job->own but for rows. */
bool es_batch_queue_put(es_batch_queue *queue, es_batch_job *job, int64_t now_ns);

/* Moves what is overdue to expired, or to the late ones. */
void es_batch_queue_expire(es_batch_queue *queue, int64_t now_ns, es_batch_list *expired);

/* The jobs to run together now. Empty: none; look again at *out_wake_ns. After expire. */
void es_batch_queue_take(es_batch_queue *queue, int64_t now_ns, es_batch_list *out_jobs,
                         uint32_t *out_rows, int64_t *out_wake_ns);

/* Everything. */
void es_batch_queue_clear(es_batch_queue *queue, es_batch_list *out_jobs);

/* ---- batch_run.c: runs jobs side by side in buffers of its own ---- */

typedef struct es_batch_runner {
    es_session *session;
    uint32_t rows_max; /* 0: jobs run alone, and outputs have whatever shape comes */
    unsigned char *memory;
    es_tensor inputs[ES_SESSION_PORTS_MAX];  /* data NULL: sized when it is needed */
    es_tensor outputs[ES_SESSION_PORTS_MAX]; /* data NULL: the library's memory */
    size_t grown_bytes[ES_SESSION_PORTS_MAX];
    size_t buffer_bytes_max;
    bool cpu_time;      /* to be told */
    bool outputs_known; /* a run has shown that the model keeps the shapes it declares */
} es_batch_runner;

es_status es_batch_runner_init(es_batch_runner *runner, es_session *session, uint32_t rows_max,
                               size_t buffer_bytes_max, es_error *err) ES_MUST_CHECK;
void es_batch_runner_done(es_batch_runner *runner);

typedef struct es_batch_ran {
    uint64_t runs;
    int64_t gather_ns, run_ns, scatter_ns;
    uint64_t served, failed, rows; /* jobs; rows of served ones */
    bool parted;
} es_batch_ran;

/* Runs the jobs together (each alone when that fails) and calls done for each. */
void es_batch_runner_run(es_batch_runner *runner, es_clock *clock, es_batch_list *jobs,
                         uint32_t rows, int64_t start_ns, es_batch_ran *out);

#endif
