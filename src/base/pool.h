/*
 * pool: worker threads fed from a bounded queue.
 *
 * Tasks must not wait for each other. es_pool_free waits until every accepted task has run.
 */
#ifndef ES_BASE_POOL_H
#define ES_BASE_POOL_H

#include "base/status.h"

#include <stdbool.h>

typedef struct es_pool es_pool;

/* thread_count 0: one per online core. queue_capacity > 0 tasks may wait. */
es_status es_pool_new(size_t thread_count, size_t queue_capacity, es_pool **out_pool,
                      es_error *err) ES_MUST_CHECK;
void es_pool_free(es_pool *pool);

/* Waits for room; false only when the pool is being freed or memory is out. */
bool es_pool_submit(es_pool *pool, void (*run)(void *context), void *context);

/* False at once when the queue is full. */
bool es_pool_try_submit(es_pool *pool, void (*run)(void *context), void *context);

size_t es_pool_thread_count(const es_pool *pool);

/* Runs run(context, i) for i in [0, count) over the pool's threads and waits for all. The order
 * is free, so write results to slot i and combine them in order afterwards. */
es_status es_pool_for(es_pool *pool, size_t count, void (*run)(void *context, size_t i),
                      void *context, es_error *err) ES_MUST_CHECK;

#endif
