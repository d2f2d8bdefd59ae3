/* The cache against a naive list of everything that was put, and its bound. */
#include "base/rng.h"
#include "es_test.h"
#include "response_cache.h"

enum { KEYS = 40, WIDTH = 8 };

static es_tensor one_of(float *values, int64_t width)
{
    return es_tensor_make(ES_DTYPE_F32, (int64_t[]){1, width}, 2, values);
}

static void answers_are_those_of_the_same_input(void **state)
{
    es_response_cache *cache = NULL;
    es_error err = {0};
    es_arena *arena = es_arena_new(1 << 24);
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    static float x[KEYS][WIDTH];
    static float y[KEYS][2];
    bool there[KEYS] = {false};
    (void)state;
    assert_ok_err(es_response_cache_new(1 << 20, &cache, &err), err);
    for (size_t k = 0; k < KEYS; k++) /* few values, so that keys differ little */
        for (size_t i = 0; i < WIDTH; i++)
            x[k][i] = (float)es_rng_below(&rng, 2) + (i == 0 ? (float)k : 0);
    for (int round = 0; round < 500; round++) {
        size_t k = es_rng_below(&rng, KEYS);
        es_tensor in = one_of(x[k], WIDTH);
        es_tensor out = {.dtype = ES_DTYPE_NONE};
        bool found = es_response_cache_find(cache, k % 3, &in, 1, arena, &out, 1);
        assert_int_equal(found, there[k]);
        if (found) {
            assert_int_equal(out.size_bytes, sizeof y[k]);
            assert_memory_equal(out.data, y[k], sizeof y[k]);
            assert_int_equal(out.dims[1], 2);
        }
        assert_false(es_response_cache_find(cache, 7, &in, 1, arena, &out, 1)); /* another model */
        y[k][0] = there[k] ? y[k][0] : (float)round;
        es_tensor answer = one_of(y[k], 2);
        es_response_cache_put(cache, k % 3, &in, 1, &answer, 1);
        there[k] = true;
    }
    es_tensor wide = one_of(x[0], WIDTH);
    wide.dims[0] = WIDTH;
    wide.dims[1] = 1; /* the same bytes in another shape */
    es_tensor out;
    assert_false(es_response_cache_find(cache, 0, &wide, 1, arena, &out, 1));
    es_response_cache_free(cache);
    es_arena_free(arena);
}

static void room_is_bounded_and_the_oldest_go(void **state)
{
    enum { ROOM = 20000, COUNT = 200 };
    es_response_cache *cache = NULL;
    es_response_cache_stats stats;
    es_arena *arena = es_arena_new(1 << 24);
    static float x[COUNT][64];
    es_tensor out;
    (void)state;
    assert_ok(es_response_cache_new(ROOM, &cache, NULL));
    for (size_t k = 0; k < COUNT; k++) {
        x[k][0] = (float)k;
        es_tensor in = one_of(x[k], 64);
        es_response_cache_put(cache, 1, &in, 1, &in, 1);
        es_tensor first = one_of(x[0], 64);
        assert_true(es_response_cache_find(cache, 1, &first, 1, arena, &out, 1)); /* used: stays */
        es_response_cache_stats_get(cache, &stats);
        assert_true(stats.bytes <= ROOM);
    }
    assert_true(stats.evictions > 0);
    assert_int_equal(stats.entries + stats.evictions, COUNT);
    es_tensor second = one_of(x[1], 64);
    es_tensor last = one_of(x[COUNT - 1], 64);
    assert_false(es_response_cache_find(cache, 1, &second, 1, arena, &out, 1));
    assert_true(es_response_cache_find(cache, 1, &last, 1, arena, &out, 1));
    static float large[ROOM / 4];
    es_tensor big = one_of(large, ROOM / 4);
    es_response_cache_put(cache, 1, &big, 1, &big, 1);
    assert_false(es_response_cache_find(cache, 1, &big, 1, arena, &out, 1));
    es_response_cache_free(cache);
    es_response_cache_free(NULL);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_the_same_input),
        cmocka_unit_test(room_is_bounded_and_the_oldest_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
