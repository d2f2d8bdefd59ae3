#include "node_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NAP_NS (20 * ES_NS_PER_MS) /* a hold looks for the end of the node this often */

/* Keeps the processor busy, as the slower machine would be, until then. */
static void hold_until(es_workers *workers, es_clock *clock, int64_t when_ns)
{
    for (;;) {
        int64_t now_ns = es_clock_now_ns(clock);
        if (now_ns >= when_ns || atomic_load(&workers->stop))
            return;
        es_clock_sleep_until_ns(clock, when_ns - now_ns > NAP_NS ? now_ns + NAP_NS : when_ns);
    }
}

static void run_job(es_worker *worker, es_clock *clock, es_job *job)
{
    es_workers *workers = worker->all;
    int64_t cpu_ns = 0;
    job->start_ns = es_clock_now_ns(clock);
    atomic_store(&worker->since_ns, job->start_ns);
    job->status = es_stage_run(job, worker->scratch, &cpu_ns, &job->err);
    const es_node_segment *segment = job->stage->segment;
    int64_t wanted_ns = es_stage_service_ns(cpu_ns, segment->config->hold_ns, workers->slowdown);
    job->end_ns = es_clock_now_ns(clock);
    if (wanted_ns > job->end_ns - job->start_ns) {
        job->end_ns = job->start_ns + wanted_ns;
        hold_until(workers, clock, job->end_ns);
    }
    uint32_t k = job->in->request.stage;
    job->out->request.service_ns[k] = (uint64_t)(job->end_ns - job->start_ns);
    int64_t waited_ns = job->start_ns - job->in->when_ns;
    job->out->request.queue_ns[k] = waited_ns > 0 ? (uint64_t)waited_ns : 0;
    atomic_store(&worker->since_ns, 0);
}

static void *work(void *context)
{
    es_worker *worker = context;
    es_workers *workers = worker->all;
    es_clock *clock = es_clock_system();
    es_job *job = NULL;
    while ((job = es_queue_pop(workers->waiting)) != NULL && !atomic_load(&workers->stop)) {
        run_job(worker, clock, job);
        bool pushed = es_queue_try_push(workers->finished, job);
        assert(pushed); /* it has room for every job */
        (void)pushed;
        uint64_t one = 1;
        ssize_t written = write(workers->event_fd, &one, sizeof one);
        (void)written; /* full means that a wake-up is waiting already */
    }
    return NULL;
}

/* Signals are for the loop thread. */
static es_status start_thread(es_worker *worker, es_error *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, NULL, work, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return es_fail(err, ES_ERR_NOMEM, "cannot start a worker: %s", strerror(failed));
    return ES_OK;
}

es_status es_workers_start(es_arena *arena, es_workers *workers, uint32_t count, size_t capacity,
                           size_t scratch_bytes, double slowdown, es_error *err)
{
    *workers = (es_workers){.event_fd = -1, .slowdown = slowdown};
    atomic_init(&workers->stop, false);
    workers->items = ES_TAKE_ARRAY(arena, es_worker, count);
    if (workers->items == NULL)
        return es_arena_full(arena, "workers", err);
    ES_TRY(es_queue_new(capacity, &workers->waiting, err));
    ES_TRY(es_queue_new(capacity, &workers->finished, err));
    workers->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (workers->event_fd < 0)
        return es_fail(err, ES_ERR_IO, "cannot make an event: %s", strerror(errno));
    for (uint32_t i = 0; i < count; i++) {
        es_worker *worker = &workers->items[i];
        worker->all = workers;
        atomic_init(&worker->since_ns, 0);
        worker->scratch = es_node_scratch_new(scratch_bytes);
        if (worker->scratch == NULL)
            return es_fail(err, ES_ERR_NOMEM, "no memory for %zu bytes of outputs", scratch_bytes);
        es_status status = start_thread(worker, err);
        if (status != ES_OK) {
            free(worker->scratch);
            return status;
        }
        workers->count = i + 1;
    }
    return ES_OK;
}

void es_workers_stop(es_workers *workers)
{
    atomic_store(&workers->stop, true);
    if (workers->waiting != NULL)
        es_queue_close(workers->waiting);
    for (uint32_t i = 0; i < workers->count; i++)
        (void)pthread_join(workers->items[i].thread, NULL); /* ours, joinable */
}

void es_workers_done(es_workers *workers)
{
    for (uint32_t i = 0; i < workers->count; i++)
        free(workers->items[i].scratch);
    es_queue_free(workers->waiting);
    es_queue_free(workers->finished);
    if (workers->event_fd > 0)
        (void)close(workers->event_fd); /* nothing to do about it */
    *workers = (es_workers){.event_fd = -1};
}
