#include "base/queue.h"
#include "es_test.h"

#include <pthread.h>

static void items_come_in_order_and_the_bound_holds(void **state)
{
    (void)state;
    es_queue *queue = NULL;
    assert_ok(es_queue_new(3, &queue, NULL));
    int items[8];
    assert_null(es_queue_try_pop(queue));
    for (int round = 0; round < 5; round++) { /* goes round the ring */
        assert_true(es_queue_try_push(queue, &items[0]));
        assert_true(es_queue_push(queue, &items[1]));
        assert_true(es_queue_try_push(queue, &items[2]));
        assert_false(es_queue_try_push(queue, &items[3]));
        assert_int_equal(es_queue_count(queue), 3);
        assert_ptr_equal(es_queue_pop(queue), &items[0]);
        assert_ptr_equal(es_queue_try_pop(queue), &items[1]);
        assert_true(es_queue_try_push(queue, &items[4]));
        assert_ptr_equal(es_queue_pop(queue), &items[2]);
        assert_ptr_equal(es_queue_pop(queue), &items[4]);
        assert_int_equal(es_queue_count(queue), 0);
    }
    es_queue_free(queue);
    es_queue_free(NULL);
}

static void a_closed_queue_gives_what_is_left(void **state)
{
    (void)state;
    es_queue *queue = NULL;
    assert_ok(es_queue_new(2, &queue, NULL));
    int item;
    assert_true(es_queue_push(queue, &item));
    es_queue_close(queue);
    es_queue_close(queue);
    assert_false(es_queue_push(queue, &item));
    assert_false(es_queue_try_push(queue, &item));
    assert_ptr_equal(es_queue_pop(queue), &item);
    assert_null(es_queue_pop(queue));
    assert_null(es_queue_try_pop(queue));
    es_queue_free(queue);
}

enum { PRODUCERS = 3, CONSUMERS = 3, PER_PRODUCER = 5000, ALL = PRODUCERS * PER_PRODUCER };

typedef struct shared {
    es_queue *queue;
    int seen[ALL]; /* each item is touched by whoever popped it */
} shared;

typedef struct producer {
    shared *shared;
    int first;
} producer;

static void *produce(void *context)
{
    const producer *self = context;
    for (int i = 0; i < PER_PRODUCER; i++)
        if (!es_queue_push(self->shared->queue, &self->shared->seen[self->first + i]))
            return context; /* a failure */
    return NULL;
}

static void *consume(void *context)
{
    const shared *common = context;
    for (int *item = es_queue_pop(common->queue); item != NULL; item = es_queue_pop(common->queue))
        (*item)++;
    return NULL;
}

static void every_item_arrives_once(void **state)
{
    (void)state;
    static shared common;
    assert_ok(es_queue_new(4, &common.queue, NULL));
    pthread_t producers[PRODUCERS];
    pthread_t consumers[CONSUMERS];
    producer starts[PRODUCERS];
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, &common), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        starts[i] = (producer){&common, i * PER_PRODUCER};
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &starts[i]), 0);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(producers[i], &failed), 0);
        assert_null(failed);
    }
    es_queue_close(common.queue);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_join(consumers[i], NULL), 0);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(common.seen[i], 1);
    es_queue_free(common.queue);
}

static void *push_one(void *context)
{
    return es_queue_push(context, context) ? context : NULL;
}

static void *pop_one(void *context)
{
    return es_queue_pop(context);
}

/* Whether the thread was already waiting or comes later, the answer is the same. */
static void close_wakes_those_who_wait(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        es_queue *full = NULL;
        es_queue *empty = NULL;
        assert_ok(es_queue_new(1, &full, NULL));
        assert_ok(es_queue_new(1, &empty, NULL));
        assert_true(es_queue_push(full, full));
        pthread_t pushers[2];
        pthread_t poppers[2];
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&pushers[i], NULL, push_one, full), 0);
            assert_int_equal(pthread_create(&poppers[i], NULL, pop_one, empty), 0);
        }
        es_queue_close(full);
        es_queue_close(empty);
        for (int i = 0; i < 2; i++) {
            void *answer = full;
            assert_int_equal(pthread_join(pushers[i], &answer), 0);
            assert_null(answer);
            answer = full;
            assert_int_equal(pthread_join(poppers[i], &answer), 0);
            assert_null(answer);
        }
        assert_int_equal(es_queue_count(full), 1);
        es_queue_free(full);
        es_queue_free(empty);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_and_the_bound_holds),
        cmocka_unit_test(a_closed_queue_gives_what_is_left),
        cmocka_unit_test(every_item_arrives_once),
        cmocka_unit_test(close_wakes_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
