#include "base/pool.h"

#include "base/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { THREAD_COUNT_MAX = 256 };

typedef struct job {
    void (*run)(void *context);
    void *context;
} job;

struct es_pool {
    es_queue *queue;
    size_t thread_count;
    pthread_t threads[THREAD_COUNT_MAX];
};

static void *work(void *context)
{
    es_pool *pool = context;
    for (job *next = es_queue_pop(pool->queue); next != NULL; next = es_queue_pop(pool->queue)) {
        next->run(next->context);
        free(next);
    }
    return NULL;
}

es_status es_pool_new(size_t thread_count, size_t queue_capacity, es_pool **out_pool, es_error *err)
{
    if (thread_count == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        thread_count = online > 0 ? (size_t)online : 1;
    }
    if (thread_count > THREAD_COUNT_MAX)
        return es_fail(err, ES_ERR_ARG, "pool: thread_count=%zu must be <= %d", thread_count,
                       THREAD_COUNT_MAX);
    es_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return es_fail(err, ES_ERR_NOMEM, "pool: no memory");
    es_status status = es_queue_new(queue_capacity, &pool->queue, err);
    while (status == ES_OK && pool->thread_count < thread_count) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, work, pool) != 0)
            status = es_fail(err, ES_ERR_UNAVAILABLE, "pool: cannot start thread %zu of %zu",
                             pool->thread_count + 1, thread_count);
        else
            pool->thread_count++;
    }
    if (status != ES_OK) {
        es_pool_free(pool);
        return status;
    }
    *out_pool = pool;
    return ES_OK;
}

void es_pool_free(es_pool *pool)
{
    if (pool == NULL)
        return;
    if (pool->queue != NULL)
        es_queue_close(pool->queue);
    for (size_t i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    es_queue_free(pool->queue);
    free(pool);
}

static bool submit(es_pool *pool, bool wait, void (*run)(void *context), void *context)
{
    job *added = malloc(sizeof *added);
    if (added == NULL)
        return false;
    *added = (job){.run = run, .context = context};
    bool accepted =
        wait ? es_queue_push(pool->queue, added) : es_queue_try_push(pool->queue, added);
    if (!accepted)
        free(added);
    return accepted;
}

bool es_pool_submit(es_pool *pool, void (*run)(void *context), void *context)
{
    return submit(pool, true, run, context);
}

bool es_pool_try_submit(es_pool *pool, void (*run)(void *context), void *context)
{
    return submit(pool, false, run, context);
}

size_t es_pool_thread_count(const es_pool *pool)
{
    return pool->thread_count;
}

typedef struct loop {
    void (*run)(void *context, size_t i);
    void *context;
    size_t count;
    atomic_size_t next;
    pthread_mutex_t lock; /* guards active */
    pthread_cond_t idle;
    size_t active;
} loop;

static void run_loop(void *context)
{
    loop *shared = context;
    for (size_t i = atomic_fetch_add(&shared->next, 1); i < shared->count;
         i = atomic_fetch_add(&shared->next, 1))
        shared->run(shared->context, i);
    (void)pthread_mutex_lock(&shared->lock);
    shared->active--;
    (void)pthread_cond_signal(&shared->idle);
    (void)pthread_mutex_unlock(&shared->lock);
}

es_status es_pool_for(es_pool *pool, size_t count, void (*run)(void *context, size_t i),
                      void *context, es_error *err)
{
    loop shared = {.run = run, .context = context, .count = count};
    atomic_init(&shared.next, 0);
    (void)pthread_mutex_init(&shared.lock, NULL);
    (void)pthread_cond_init(&shared.idle, NULL);
    size_t wanted = count < pool->thread_count ? count : pool->thread_count;
    size_t started = 0;
    for (; started < wanted; started++) {
        (void)pthread_mutex_lock(&shared.lock);
        shared.active++;
        (void)pthread_mutex_unlock(&shared.lock);
        if (!es_pool_submit(pool, run_loop, &shared)) {
            (void)pthread_mutex_lock(&shared.lock);
            shared.active--;
            (void)pthread_mutex_unlock(&shared.lock);
            break;
        }
    }
    (void)pthread_mutex_lock(&shared.lock);
    while (shared.active > 0)
        (void)pthread_cond_wait(&shared.idle, &shared.lock);
    (void)pthread_mutex_unlock(&shared.lock);
    (void)pthread_cond_destroy(&shared.idle);
    (void)pthread_mutex_destroy(&shared.lock);
    if (wanted > 0 && started == 0)
        return es_fail(err, ES_ERR_NOMEM, "pool: no task could be queued");
    return ES_OK;
}
