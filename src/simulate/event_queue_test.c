#include "es_test.h"
#include "simulate/events.h"

static int in_order(const void *a, const void *b)
{
    const es_event *x = a;
    const es_event *y = b;
    if (x->when_ns != y->when_ns)
        return x->when_ns < y->when_ns ? -1 : 1;
    return (x->what > y->what) - (x->what < y->what);
}

/* Against a sorted array: pushes and pops mixed, with many ties. */
static void comes_out_in_order(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    for (uint64_t seed = 1; seed <= 50; seed++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
        es_rng rng = es_rng_make(es_test_seed(1), seed);
        es_event model[COUNT];
        size_t count = 0;
        es_event_queue queue;
        assert_ok(es_event_queue_init(arena, 1, &queue, NULL));
        int64_t now_ns = 0;
        for (int i = 0; i < COUNT; i++) {
            if (es_rng_below(&rng, 3) > 0 || count == 0) {
                es_event event = {
                    .when_ns = now_ns + (int64_t)es_rng_below(&rng, 20),
                    .what = es_event_what((es_event_kind)es_rng_below(&rng, ES_EVENT_KIND_COUNT),
                                          (uint32_t)es_rng_below(&rng, 3),
                                          (uint32_t)es_rng_below(&rng, 5))};
                es_event_queue_push(&queue, event);
                model[count++] = event;
                continue;
            }
            es_event found;
            qsort(model, count, sizeof model[0], in_order);
            assert_true(es_event_queue_pop(&queue, &found));
            assert_true(found.when_ns == model[0].when_ns);
            assert_true(found.what == model[0].what);
            now_ns = found.when_ns;
            memmove(model, model + 1, --count * sizeof model[0]);
        }
    }
}

static void empty_and_full(void **state)
{
    (void)state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(4096);
    es_event_queue queue;
    es_event event;
    assert_ok(es_event_queue_init(arena, 2, &queue, NULL));
    assert_false(es_event_queue_pop(&queue, &event));
    for (int i = 0; i < 10000 && !queue.full; i++)
        es_event_queue_push(&queue, (es_event){.when_ns = i});
    assert_true(queue.full); /* the arena's cap, not the machine's memory */
    assert_true(es_event_queue_pop(&queue, &event));
    assert_true(event.when_ns == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_out_in_order),
        cmocka_unit_test(empty_and_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
