/* The batcher: a queue, and replicas that take from it; each has buffers and, as a rule, a thread.
 */
#include "runtime/batch_internal.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>

enum { REPLICAS_MAX = 64, SMOOTHING = 8 };
static const int64_t switch_ns = 20 * ES_NS_PER_US; /* to another thread and back */
static const double rest_runs_max =
    2; /* longer rests tell no more, but for a pause of the machine */

/* Buffers for one run at a time. Threads take whichever is idle, as does one that calls submit. */
typedef struct replica {
    es_batch_runner runner;
    bool ready; /* the runner is there */
    bool busy;
} replica;

struct es_batcher {
    es_session *session;
    es_batcher_opts opts;
    es_clock *clock;
    replica *replicas;
    pthread_t *threads; /* as many as replicas, or none */
    uint32_t thread_count;
    pthread_mutex_t lock; /* guards all below, and busy of the replicas */
    pthread_cond_t work;  /* a job has come, a replica is free, or it is over */
    es_batch_queue queue;
    size_t sleeping;    /* threads that wait for work */
    int64_t at_rest_ns; /* since when nothing runs or waits */
    double rest_ns;     /* smoothed: how long it had rested when jobs came; 0: it was busy */
    bool closed;
    es_batcher_stats stats;
    es_batch_size_stats *sizes; /* [size_count] */
    size_t size_count;
};

/* ---- options ---- */

es_batcher_opts es_batcher_opts_default(void)
{
    es_batcher_opts opts = {
        .replica_count = 1,
        .threads = true,
        .level_count = 1,
        .level_default = 1,
        .buffer_bytes_max = (size_t)256 << 20,
    };
    for (size_t i = 0; i < ES_BATCH_LEVELS_MAX; i++)
        opts.levels[i] = (es_batch_level){.queue_max = 1024, .timeout_override = true};
    return opts;
}

static es_status check_range(const char *name, uint64_t value, uint64_t min, uint64_t max,
                             es_error *err)
{
    if (value < min || value > max)
        return es_fail(err, ES_ERR_ARG, "%s=%llu must be in %llu..%llu", name,
                       (unsigned long long)value, (unsigned long long)min, (unsigned long long)max);
    return ES_OK;
}

static es_status check_levels(const es_batcher_opts *opts, es_error *err)
{
    ES_TRY(check_range("level_count", opts->level_count, 1, ES_BATCH_LEVELS_MAX, err));
    ES_TRY(check_range("level_default", opts->level_default, 1, opts->level_count, err));
    for (size_t i = 0; i < opts->level_count; i++) {
        if (opts->levels[i].queue_max < 1 || opts->levels[i].timeout_ns < 0)
            return es_fail(err, ES_ERR_ARG,
                           "levels[%zu]: queue_max=%u must be >= 1, timeout_ns=%lld >= 0", i,
                           opts->levels[i].queue_max, (long long)opts->levels[i].timeout_ns);
    }
    return ES_OK;
}

static es_status check_opts(const es_session *session, const es_batcher_opts *opts, es_error *err)
{
    ES_TRY(check_range("replica_count", opts->replica_count, 1, REPLICAS_MAX, err));
    ES_TRY(check_range("rows_max", opts->rows_max, 0, ES_BATCH_ROWS_MAX, err));
    ES_TRY(check_range("preferred_count", opts->preferred_count, 0, ES_BATCH_PREFERRED_MAX, err));
    ES_TRY(check_levels(opts, err));
    if (opts->rows_max > 0 && !es_session_first_dims_free(session))
        return es_fail(err, ES_ERR_ARG,
                       "rows_max=%u: the model has an input or output without a free first dim",
                       opts->rows_max);
    if (opts->join && opts->rows_max == 0)
        return es_fail(err, ES_ERR_ARG, "join needs rows_max >= 1");
    if (opts->wait_ns_max < 0 || opts->run_ns_expected < 0)
        return es_fail(err, ES_ERR_ARG, "wait_ns_max=%lld and run_ns_expected=%lld must be >= 0",
                       (long long)opts->wait_ns_max, (long long)opts->run_ns_expected);
    for (size_t i = 0; i < opts->preferred_count; i++) {
        uint32_t before = i > 0 ? opts->preferred[i - 1] : 0;
        if (opts->preferred[i] <= before || opts->preferred[i] > opts->rows_max)
            return es_fail(err, ES_ERR_ARG,
                           "preferred[%zu]=%u must be above %u and at most rows_max=%u", i,
                           opts->preferred[i], before, opts->rows_max);
    }
    return ES_OK;
}

bool es_session_first_dims_free(const es_session *session)
{
    if (session->input_count == 0)
        return false;
    for (size_t i = 0; i < session->input_count; i++)
        if (session->inputs[i].rank == 0 || session->inputs[i].dims[0] >= 0)
            return false;
    for (size_t i = 0; i < session->output_count; i++)
        if (session->outputs[i].rank == 0 || session->outputs[i].dims[0] >= 0)
            return false;
    return true;
}

/* ---- one step of a replica; the lock is held at the beginning and at the end ---- */

static void answer_all(es_batch_list *jobs, es_batch_fate fate, int64_t now_ns)
{
    es_error err = {0};
    es_batch_job *job = NULL;
    if (fate == ES_BATCH_EXPIRED)
        (void)es_fail(&err, ES_ERR_UNAVAILABLE, "timeout: the request waited past its deadline");
    else
        (void)es_fail(&err, ES_ERR_CANCELLED, "the model is being unloaded");
    while ((job = es_batch_list_pop(jobs)) != NULL)
        job->done(job, &(es_batch_result){.fate = fate,
                                          .error = &err,
                                          .queue_ns = now_ns - job->own.queued_ns,
                                          .rows = job->own.rows});
}

static bool expire(es_batcher *batcher, int64_t now_ns)
{
    es_batch_list expired = {.first = NULL};
    es_batch_queue_expire(&batcher->queue, now_ns, &expired);
    if (expired.count == 0)
        return false;
    batcher->stats.jobs[ES_BATCH_EXPIRED] += expired.count;
    (void)pthread_mutex_unlock(&batcher->lock);
    answer_all(&expired, ES_BATCH_EXPIRED, now_ns);
    (void)pthread_mutex_lock(&batcher->lock);
    return true;
}

/* Smoothed; a run that was interrupted moves it by little. */
static int64_t expected_after(int64_t expected_ns, int64_t ran_ns)
{
    int64_t most_ns = expected_ns + expected_ns / 2;
    if (expected_ns == 0)
        return ran_ns;
    return expected_ns + ((ran_ns < most_ns ? ran_ns : most_ns) - expected_ns) / SMOOTHING;
}

static void note_run(es_batcher *batcher, const es_batch_ran *ran, uint32_t rows, int64_t queued_ns)
{
    es_batcher_stats *stats = &batcher->stats;
    stats->jobs[ES_BATCH_SERVED] += ran->served;
    stats->jobs[ES_BATCH_FAILED] += ran->failed;
    stats->runs += ran->runs;
    stats->rows += ran->rows;
    stats->parted += ran->parted;
    stats->queue_ns += queued_ns;
    stats->run_ns += ran->run_ns;
    size_t at = rows <= batcher->size_count ? rows - 1 : batcher->size_count - 1;
    es_batch_size_stats *size = &batcher->sizes[ran->parted ? 0 : at];
    size->runs += ran->runs;
    size->gather_ns += ran->gather_ns;
    size->run_ns += ran->run_ns;
    size->scatter_ns += ran->scatter_ns;
    if (ran->runs == 1 && rows == 1)
        stats->run_ns_expected = expected_after(stats->run_ns_expected, ran->run_ns);
}

static void run_jobs(es_batcher *batcher, replica *taken, es_batch_list *jobs, uint32_t rows,
                     int64_t now_ns)
{
    es_batch_ran ran;
    int64_t queued_ns = 0;
    const size_t count = jobs->count;
    taken->busy = true;
    batcher->stats.running += count;
    (void)pthread_mutex_unlock(&batcher->lock);
    for (const es_batch_job *job = jobs->first; job != NULL; job = job->own.next)
        queued_ns += now_ns - job->own.queued_ns;
    es_batch_runner_run(&taken->runner, batcher->clock, jobs, rows, now_ns, &ran);
    (void)pthread_mutex_lock(&batcher->lock);
    taken->busy = false;
    batcher->stats.running -= count;
    note_run(batcher, &ran, rows, queued_ns);
    if (batcher->stats.running == 0 && batcher->queue.count == 0)
        batcher->at_rest_ns = es_clock_now_ns(batcher->clock);
}

static replica *idle_replica(es_batcher *batcher)
{
    for (uint32_t i = 0; i < batcher->opts.replica_count; i++)
        if (!batcher->replicas[i].busy)
            return &batcher->replicas[i];
    return NULL;
}

static bool step(es_batcher *batcher, int64_t *out_wake_ns)
{
    es_batch_list jobs;
    uint32_t rows = 0;
    *out_wake_ns = INT64_MAX;
    if (batcher->queue.count == 0)
        return false;
    int64_t now_ns = es_clock_now_ns(batcher->clock);
    bool did = expire(batcher, now_ns);
    if (did) /* it let go of the lock: younger jobs may have come */
        now_ns = es_clock_now_ns(batcher->clock);
    replica *idle = idle_replica(batcher);
    if (batcher->closed || idle == NULL) /* whoever ends a run looks again */
        return did;
    es_batch_queue_take(&batcher->queue, now_ns, &jobs, &rows, out_wake_ns);
    if (jobs.count == 0)
        return did;
    run_jobs(batcher, idle, &jobs, rows, now_ns);
    return true;
}

bool es_batcher_turn(es_batcher *batcher, int64_t *out_wake_ns)
{
    (void)pthread_mutex_lock(&batcher->lock);
    bool did = step(batcher, out_wake_ns);
    (void)pthread_mutex_unlock(&batcher->lock);
    return did;
}

int64_t es_batcher_expire(es_batcher *batcher)
{
    (void)pthread_mutex_lock(&batcher->lock);
    if (batcher->queue.count > 0)
        (void)expire(batcher, es_clock_now_ns(batcher->clock));
    int64_t next_ns = batcher->queue.deadline_ns;
    (void)pthread_mutex_unlock(&batcher->lock);
    return next_ns;
}

/* ---- threads ---- */

static void sleep_until(es_batcher *batcher, int64_t wake_ns)
{
    struct timespec when = {.tv_sec = (time_t)(wake_ns / ES_NS_PER_S),
                            .tv_nsec = (long)(wake_ns % ES_NS_PER_S)};
    batcher->sleeping++;
    if (wake_ns == INT64_MAX)
        (void)pthread_cond_wait(&batcher->work, &batcher->lock);
    else /* late or early, the step looks itself */
        (void)pthread_cond_timedwait(&batcher->work, &batcher->lock, &when);
    batcher->sleeping--;
}

static void *work(void *context)
{
    es_batcher *batcher = context;
    int64_t wake_ns = INT64_MAX;
    (void)pthread_mutex_lock(&batcher->lock);
    while (!batcher->closed)
        if (!step(batcher, &wake_ns))
            sleep_until(batcher, wake_ns);
    (void)pthread_mutex_unlock(&batcher->lock);
    return NULL;
}

/* Signals are for the program's own thread. */
static es_status threads_start(es_batcher *batcher, es_error *err)
{
    sigset_t all;
    sigset_t before;
    int failed = 0;
    (void)sigfillset(&all); /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (batcher->thread_count < batcher->opts.replica_count && failed == 0) {
        failed = pthread_create(&batcher->threads[batcher->thread_count], NULL, work, batcher);
        batcher->thread_count += failed == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 ? ES_OK
                       : es_fail(err, ES_ERR_NOMEM, "cannot start a replica: error %d", failed);
}

/* ---- jobs ---- */

static es_status job_check(const es_batcher *batcher, es_batch_job *job, es_error *err)
{
    const es_session *session = batcher->session;
    uint32_t rows_max = batcher->opts.rows_max;
    ES_TRY(es_ports_check(session->inputs, session->input_count, job->inputs, session->input_count,
                          "input", err));
    job->own.rows = 1;
    if (rows_max == 0)
        return ES_OK;
    int64_t rows = job->inputs[0].dims[0];
    if (rows < 1 || rows > (int64_t)rows_max)
        return es_fail(err, ES_ERR_ARG, "input '%s': %lld rows must be in 1..%u",
                       session->inputs[0].name, (long long)rows, rows_max);
    for (size_t i = 1; i < session->input_count; i++)
        if (job->inputs[i].dims[0] != rows)
            return es_fail(err, ES_ERR_ARG, "input '%s': %lld rows, but '%s' has %lld",
                           session->inputs[i].name, (long long)job->inputs[i].dims[0],
                           session->inputs[0].name, (long long)rows);
    job->own.rows = (uint32_t)rows;
    return ES_OK;
}

/* Before the job is put. */
static void note_rest(es_batcher *batcher, int64_t now_ns)
{
    bool at_rest = batcher->stats.running == 0 && batcher->queue.count == 0;
    double most_ns = rest_runs_max * (double)batcher->stats.run_ns_expected;
    double rested_ns = at_rest ? fmin((double)(now_ns - batcher->at_rest_ns), most_ns) : 0;
    batcher->rest_ns += (rested_ns - batcher->rest_ns) / SMOOTHING;
}

/* Jobs that had waited in sockets while one ran here come right behind it: elsewhere, it overlaps
 * with reading them, and they can be joined. Half a run is more than reading takes. */
static bool better_here(const es_batcher *batcher, int64_t here_ns_max)
{
    int64_t run_ns = batcher->stats.run_ns_expected;
    if (run_ns == 0 || run_ns > here_ns_max)
        return false;
    return run_ns <= switch_ns || batcher->rest_ns >= (double)run_ns / 2;
}

es_status es_batcher_submit(es_batcher *batcher, es_batch_job *job, int64_t here_ns_max,
                            es_error *err)
{
    ES_TRY(job_check(batcher, job, err));
    (void)pthread_mutex_lock(&batcher->lock);
    int64_t now_ns = es_clock_now_ns(batcher->clock);
    bool alone = batcher->queue.count == 0;
    note_rest(batcher, now_ns);
    if (batcher->closed || !es_batch_queue_put(&batcher->queue, job, now_ns)) {
        batcher->stats.refused++;
        (void)pthread_mutex_unlock(&batcher->lock);
        return es_fail(err, ES_ERR_UNAVAILABLE, "the queue is full");
    }
    int64_t wake_ns = 0; /* of no use here: a sleeping thread finds out itself */
    if (alone && better_here(batcher, here_ns_max))
        (void)step(batcher, &wake_ns);
    if (batcher->queue.count > 0 && batcher->sleeping > 0)
        (void)pthread_cond_signal(&batcher->work);
    (void)pthread_mutex_unlock(&batcher->lock);
    return ES_OK;
}

void es_batcher_stats_get(es_batcher *batcher, es_batcher_stats *out, es_batch_size_stats *sizes,
                          size_t size_count)
{
    (void)pthread_mutex_lock(&batcher->lock);
    *out = batcher->stats;
    out->waiting = batcher->queue.count;
    for (size_t i = 0; sizes != NULL && i < size_count; i++)
        sizes[i] = i < batcher->size_count ? batcher->sizes[i] : (es_batch_size_stats){.runs = 0};
    (void)pthread_mutex_unlock(&batcher->lock);
}

/* ---- life ---- */

static es_status lock_init(es_batcher *batcher, es_error *err)
{
    pthread_condattr_t attributes;
    /* deadlines are on the monotonic clock */
    if (pthread_condattr_init(&attributes) != 0 ||
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&batcher->work, &attributes) != 0)
        return es_fail(err, ES_ERR_INTERNAL, "cannot make a condition variable");
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&batcher->lock, NULL); /* default attributes cannot fail on Linux */
    return ES_OK;
}

static es_status replicas_start(es_batcher *batcher, es_error *err)
{
    const es_batcher_opts *opts = &batcher->opts;
    batcher->replicas = calloc(opts->replica_count, sizeof *batcher->replicas);
    batcher->sizes = calloc(batcher->size_count, sizeof *batcher->sizes);
    batcher->threads = calloc(opts->replica_count, sizeof *batcher->threads);
    if (batcher->replicas == NULL || batcher->sizes == NULL || batcher->threads == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for %u replicas", opts->replica_count);
    for (uint32_t i = 0; i < opts->replica_count; i++) {
        ES_TRY(es_batch_runner_init(&batcher->replicas[i].runner, batcher->session, opts->rows_max,
                                    opts->buffer_bytes_max, err));
        batcher->replicas[i].runner.cpu_time = opts->cpu_time;
        batcher->replicas[i].ready = true;
    }
    return opts->threads ? threads_start(batcher, err) : ES_OK;
}

es_status es_batcher_new(es_session *session, es_batcher_opts opts, es_batcher **out_batcher,
                         es_error *err)
{
    ES_TRY(check_opts(session, &opts, err));
    es_batcher *batcher = calloc(1, sizeof *batcher);
    if (batcher == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a batcher");
    es_status status = lock_init(batcher, err);
    if (status != ES_OK) {
        free(batcher);
        return status;
    }
    batcher->session = es_session_ref(session);
    batcher->opts = opts;
    batcher->clock = opts.clock != NULL ? opts.clock : es_clock_system();
    es_batch_queue_init(&batcher->queue, opts, session->input_count);
    batcher->stats.run_ns_expected = opts.run_ns_expected;
    batcher->at_rest_ns = es_clock_now_ns(batcher->clock);
    batcher->size_count = opts.rows_max > 0 ? opts.rows_max : 1;
    status = replicas_start(batcher, err);
    if (status != ES_OK) {
        es_batcher_free(batcher);
        return status;
    }
    *out_batcher = batcher;
    return ES_OK;
}

static void cancel_waiting(es_batcher *batcher)
{
    es_batch_list jobs = {.first = NULL};
    (void)pthread_mutex_lock(&batcher->lock);
    batcher->closed = true;
    es_batch_queue_clear(&batcher->queue, &jobs);
    batcher->stats.jobs[ES_BATCH_CANCELLED] += jobs.count;
    (void)pthread_cond_broadcast(&batcher->work);
    (void)pthread_mutex_unlock(&batcher->lock);
    answer_all(&jobs, ES_BATCH_CANCELLED, es_clock_now_ns(batcher->clock));
}

void es_batcher_free(es_batcher *batcher)
{
    if (batcher == NULL)
        return;
    cancel_waiting(batcher);
    for (uint32_t i = 0; i < batcher->thread_count; i++)
        (void)pthread_join(batcher->threads[i], NULL); /* ours, joinable */
    for (uint32_t i = 0; batcher->replicas != NULL && i < batcher->opts.replica_count; i++)
        if (batcher->replicas[i].ready)
            es_batch_runner_done(&batcher->replicas[i].runner);
    free(batcher->threads);
    free(batcher->replicas);
    free(batcher->sizes);
    (void)pthread_cond_destroy(&batcher->work);
    (void)pthread_mutex_destroy(&batcher->lock);
    es_session_unref(batcher->session);
    free(batcher);
}
