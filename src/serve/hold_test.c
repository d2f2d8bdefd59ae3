/* The heap of held requests against a sorted list. */
#include "base/rng.h"
#include "es_test.h"
#include "serve/run_internal.h"

enum { COUNT = 200, SEEDS = 200 };

/* The place of the least by (time, number), of those that are there. */
static size_t least_of(const es_held *items, const bool *there, size_t count)
{
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        if (there[i] && (least == SIZE_MAX || items[i].leaves_ns < items[least].leaves_ns))
            least = i;
    return least;
}

static void test_order(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_arena *arena = es_arena_new((size_t)1 << 20);
        es_hold hold = {0};
        es_held all[COUNT];
        bool there[COUNT] = {false};
        size_t pushed = 0;
        size_t left = 0;
        while (pushed < COUNT || left > 0) {
            bool push = pushed < COUNT && (left == 0 || es_rng_u64(&rng) % 5 < 3);
            if (push) {
                int64_t when_ns = (int64_t)(es_rng_u64(&rng) % 50); /* many at the same time */
                all[pushed] = (es_held){.leaves_ns = when_ns};
                there[pushed] = true;
                assert_ok(es_hold_push(&hold, arena, when_ns, (uint32_t)pushed++, NULL));
                left++;
                continue;
            }
            size_t wanted = least_of(all, there, pushed);
            assert_int_equal(es_hold_next_ns(&hold), all[wanted].leaves_ns);
            size_t got = es_hold_pop(&hold);
            if (got != wanted)
                fail_msg("seed %" PRIu64 ": %zu instead of %zu", seed, got, wanted);
            there[got] = false;
            left--;
        }
        assert_true(es_hold_next_ns(&hold) == INT64_MAX);
        es_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
