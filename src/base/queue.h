/*
 * queue: a bounded queue of pointers between threads. When full it says so: no growing backlog.
 */
#ifndef ES_BASE_QUEUE_H
#define ES_BASE_QUEUE_H

#include "base/status.h"

#include <stdbool.h>

typedef struct es_queue es_queue;

/* capacity > 0 items. */
es_status es_queue_new(size_t capacity, es_queue **out_queue, es_error *err) ES_MUST_CHECK;
void es_queue_free(es_queue *queue); /* no thread may still use it; items are not freed */

/* False at once when the queue is full or closed. item must not be NULL. */
bool es_queue_try_push(es_queue *queue, void *item);

/* Waits for room; false when the queue is closed. */
bool es_queue_push(es_queue *queue, void *item);

/* Waits for an item; NULL when the queue is closed and empty. */
void *es_queue_pop(es_queue *queue);

/* An item, or NULL at once when there is none. */
void *es_queue_try_pop(es_queue *queue);

/* No more pushes; waiting poppers get what is left, then NULL. */
void es_queue_close(es_queue *queue);

size_t es_queue_count(es_queue *queue);

#endif
