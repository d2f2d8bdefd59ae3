/* Turns at a node: any order of coming leaves in the right one; what is lost is not waited for
 * forever. */
#include "base/rng.h"
#include "es_test.h"
#include "serve/node_internal.h"

enum { COUNT = 60, SEEDS = 200, MS = 1000000 };

typedef struct desk {
    es_arena *arena;
    es_turns turns;
    es_message messages[COUNT + 1]; /* by turn */
} desk;

static void open_desk(desk *d)
{
    *d = (desk){.arena = es_arena_new((size_t)1 << 20)};
    for (uint32_t i = 0; i <= COUNT; i++)
        d->messages[i].request.turn = i;
}

static void come(desk *d, uint32_t turn, int64_t now_ns)
{
    assert_ok(es_turns_add(&d->turns, d->arena, &d->messages[turn], now_ns, NULL));
}

/* Their turns in the order in which they are taken now; ends with 0. */
static void take_all(desk *d, int64_t now_ns, uint32_t out[COUNT + 1])
{
    es_message *message = NULL;
    size_t count = 0;
    while ((message = es_turns_take(&d->turns, now_ns)) != NULL)
        out[count++] = message->request.turn;
    out[count] = 0;
}

static void test_any_order(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        uint32_t order[COUNT];
        uint32_t served = 0;
        desk d;
        open_desk(&d);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t k = (uint32_t)(es_rng_u64(&rng) % (i + 1));
            order[i] = order[k];
            order[k] = i + 1;
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t taken[COUNT + 1];
            come(&d, order[i], i);
            take_all(&d, i, taken);
            for (size_t t = 0; taken[t] != 0; t++)
                if (taken[t] != ++served)
                    fail_msg("seed %" PRIu64 ": turn %u behind %u", seed, taken[t], served - 1);
        }
        assert_int_equal(served, COUNT);
        assert_true(es_turns_next_ns(&d.turns) == INT64_MAX);
        es_arena_free(d.arena);
    }
}

/* 1 comes; 2 and 4 are lost; 3 and 5 wait 50 ms in all, not each; 4 comes late after all. */
static void test_lost(void **state)
{
    (void)state;
    uint32_t taken[COUNT + 1];
    desk d;
    open_desk(&d);
    come(&d, 1, 0);
    come(&d, 3, 10 * MS);
    come(&d, 5, 10 * MS);
    take_all(&d, 59 * MS, taken);
    assert_int_equal(taken[0], 1);
    assert_int_equal(taken[1], 0);
    assert_true(es_turns_next_ns(&d.turns) == 60 * MS);
    take_all(&d, 60 * MS, taken);
    assert_int_equal(taken[0], 3);
    assert_int_equal(taken[1], 5);
    assert_int_equal(taken[2], 0);
    come(&d, 4, 70 * MS);
    come(&d, 6, 70 * MS);
    take_all(&d, 70 * MS, taken);
    assert_int_equal(taken[0], 4);
    assert_int_equal(taken[1], 6);
    es_arena_free(d.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order),
                                       cmocka_unit_test(test_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
