#include "base/array.h"
#include "es_test.h"

static es_status fill(es_arena *arena, size_t count, size_t *out_count, es_error *err)
{
    ES_ARRAY(size_t) numbers = {0};
    for (size_t i = 0; i < count; i++) {
        ES_TRY(ES_ARRAY_PUSH(arena, &numbers, i * i, "numbers", err));
        *out_count = numbers.count;
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(numbers.items[i], i * i);
    return ES_OK;
}

static void pushes_keep_what_was_there(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(1 << 20);
    size_t count = 0;
    assert_ok_err(fill(arena, 10000, &count, &err), err);
    assert_int_equal(count, 10000);
    es_arena_free(arena);
}

static void a_full_arena_is_an_error_that_names_the_array(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(1000);
    size_t count = 0;
    assert_fails(fill(arena, 10000, &count, &err), ES_ERR_NOMEM, err, "numbers");
    assert_int_equal(count, 64); /* 8 + 16 + 32 + 64 items fit, 128 more do not */
    es_arena_free(arena);
}

static void capacities_that_wrap_are_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(1000);
    void *items = NULL;
    size_t capacity = SIZE_MAX / 2 + 1;
    assert_fails(es_array_grow(arena, &items, capacity, &capacity, 1, "items", &err), ES_ERR_NOMEM,
                 err, "items");
    assert_null(items);
    es_arena_free(arena);
}

typedef struct point {
    double x;
    double y;
} point;

static void structs_fit_too(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(1 << 16);
    ES_ARRAY(point) points = {0};
    for (int i = 0; i < 100; i++)
        assert_ok(ES_ARRAY_PUSH(arena, &points, ((point){i, -i}), "points", NULL));
    assert_int_equal(points.count, 100);
    assert_true(points.items[99].y < -98.5);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_keep_what_was_there),
        cmocka_unit_test(a_full_arena_is_an_error_that_names_the_array),
        cmocka_unit_test(capacities_that_wrap_are_refused),
        cmocka_unit_test(structs_fit_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
