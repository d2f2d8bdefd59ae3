#include "base/queue.h"

#include <assert.h>
#include <pthread.h>

struct es_queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    void **items; /* ring of capacity */
    size_t capacity;
    size_t first;
    size_t count;
    bool closed;
};

es_status es_queue_new(size_t capacity, es_queue **out_queue, es_error *err)
{
    assert(capacity > 0);
    es_queue *queue = calloc(1, sizeof *queue);
    void **items = calloc(capacity, sizeof *items);
    if (queue == NULL || items == NULL) {
        free(queue);
        free(items);
        return es_fail(err, ES_ERR_NOMEM, "queue of %zu items: no memory", capacity);
    }
    queue->items = items;
    queue->capacity = capacity;
    /* Default attributes: these cannot fail on Linux. */
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->not_empty, NULL);
    (void)pthread_cond_init(&queue->not_full, NULL);
    *out_queue = queue;
    return ES_OK;
}

void es_queue_free(es_queue *queue)
{
    if (queue == NULL)
        return;
    (void)pthread_mutex_destroy(&queue->lock);
    (void)pthread_cond_destroy(&queue->not_empty);
    (void)pthread_cond_destroy(&queue->not_full);
    free(queue->items);
    free(queue);
}

static void append(es_queue *queue, void *item)
{
    queue->items[(queue->first + queue->count) % queue->capacity] = item;
    queue->count++;
    (void)pthread_cond_signal(&queue->not_empty);
}

static void *take_first(es_queue *queue)
{
    void *item = queue->items[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    (void)pthread_cond_signal(&queue->not_full);
    return item;
}

bool es_queue_try_push(es_queue *queue, void *item)
{
    assert(item != NULL);
    (void)pthread_mutex_lock(&queue->lock);
    bool fits = !queue->closed && queue->count < queue->capacity;
    if (fits)
        append(queue, item);
    (void)pthread_mutex_unlock(&queue->lock);
    return fits;
}

bool es_queue_push(es_queue *queue, void *item)
{
    assert(item != NULL);
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count == queue->capacity)
        (void)pthread_cond_wait(&queue->not_full, &queue->lock);
    bool open = !queue->closed;
    if (open)
        append(queue, item);
    (void)pthread_mutex_unlock(&queue->lock);
    return open;
}

void *es_queue_pop(es_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count == 0)
        (void)pthread_cond_wait(&queue->not_empty, &queue->lock);
    void *item = queue->count > 0 ? take_first(queue) : NULL;
    (void)pthread_mutex_unlock(&queue->lock);
    return item;
}

void *es_queue_try_pop(es_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    void *item = queue->count > 0 ? take_first(queue) : NULL;
    (void)pthread_mutex_unlock(&queue->lock);
    return item;
}

void es_queue_close(es_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    (void)pthread_cond_broadcast(&queue->not_empty);
    (void)pthread_cond_broadcast(&queue->not_full);
    (void)pthread_mutex_unlock(&queue->lock);
}

size_t es_queue_count(es_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    (void)pthread_mutex_unlock(&queue->lock);
    return count;
}
