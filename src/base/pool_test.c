#include "base/pool.h"
#include "es_test.h"

#include <pthread.h>
#include <stdatomic.h>

static void add_one(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static void free_waits_for_every_accepted_task(void **state)
{
    (void)state;
    for (size_t thread_count = 1; thread_count <= 4; thread_count++) {
        es_pool *pool = NULL;
        atomic_int done = 0;
        assert_ok(es_pool_new(thread_count, 8, &pool, NULL));
        assert_int_equal(es_pool_thread_count(pool), thread_count);
        for (int i = 0; i < 1000; i++)
            assert_true(es_pool_submit(pool, add_one, &done));
        es_pool_free(pool);
        assert_int_equal(atomic_load(&done), 1000);
    }
    es_pool_free(NULL);
}

static void thread_counts_are_checked(void **state)
{
    (void)state;
    es_error err = {0};
    es_pool *pool = NULL;
    assert_fails(es_pool_new(257, 1, &pool, &err), ES_ERR_ARG, err, "thread_count=257");
    assert_null(pool);
    assert_ok_err(es_pool_new(0, 1, &pool, &err), err);
    assert_true(es_pool_thread_count(pool) >= 1);
    es_pool_free(pool);
}

typedef struct gate {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    int waiting;
    bool open;
} gate;

static void wait_at_gate(void *context)
{
    gate *at = context;
    (void)pthread_mutex_lock(&at->lock);
    at->waiting++;
    (void)pthread_cond_broadcast(&at->changed);
    while (!at->open)
        (void)pthread_cond_wait(&at->changed, &at->lock);
    (void)pthread_mutex_unlock(&at->lock);
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    gate at = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    atomic_int done = 0;
    es_pool *pool = NULL;
    assert_ok(es_pool_new(1, 2, &pool, NULL));
    assert_true(es_pool_try_submit(pool, wait_at_gate, &at));
    (void)pthread_mutex_lock(&at.lock);
    while (at.waiting == 0) /* the one worker is busy and the queue empty */
        (void)pthread_cond_wait(&at.changed, &at.lock);
    (void)pthread_mutex_unlock(&at.lock);
    assert_true(es_pool_try_submit(pool, add_one, &done));
    assert_true(es_pool_try_submit(pool, add_one, &done));
    assert_false(es_pool_try_submit(pool, add_one, &done));
    (void)pthread_mutex_lock(&at.lock);
    at.open = true;
    (void)pthread_cond_broadcast(&at.changed);
    (void)pthread_mutex_unlock(&at.lock);
    es_pool_free(pool);
    assert_int_equal(atomic_load(&done), 2);
}

static void count_slot(void *context, size_t i)
{
    ((int *)context)[i]++;
}

static void for_runs_each_index_once_and_waits(void **state)
{
    (void)state;
    static int slots[10000];
    static const size_t counts[] = {0, 1, 2, 3, 100, 10000};
    es_pool *pool = NULL;
    assert_ok(es_pool_new(3, 1, &pool, NULL));
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        memset(slots, 0, sizeof slots);
        es_error err = {0};
        assert_ok_err(es_pool_for(pool, counts[k], count_slot, slots, &err), err);
        for (size_t i = 0; i < 10000; i++)
            assert_int_equal(slots[i], i < counts[k]);
    }
    es_pool_free(pool);
}

typedef struct caller {
    es_pool *pool;
    int slots[2000];
    es_status status;
} caller;

static void *call_for(void *context)
{
    caller *self = context;
    for (int round = 0; round < 20 && self->status == ES_OK; round++)
        self->status = es_pool_for(self->pool, 2000, count_slot, self->slots, NULL);
    return NULL;
}

static void several_threads_may_share_a_pool(void **state)
{
    (void)state;
    static caller callers[3];
    pthread_t threads[3];
    es_pool *pool = NULL;
    assert_ok(es_pool_new(2, 1, &pool, NULL));
    for (size_t i = 0; i < 3; i++) {
        callers[i].pool = pool;
        assert_int_equal(pthread_create(&threads[i], NULL, call_for, &callers[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_ok(callers[i].status);
        for (size_t k = 0; k < 2000; k++)
            assert_int_equal(callers[i].slots[k], 20);
    }
    es_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_waits_for_every_accepted_task),
        cmocka_unit_test(thread_counts_are_checked),
        cmocka_unit_test(a_full_queue_refuses_at_once),
        cmocka_unit_test(for_runs_each_index_once_and_waits),
        cmocka_unit_test(several_threads_may_share_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
