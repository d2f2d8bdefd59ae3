#include "base/arena.h"
#include "es_test.h"

#include <stdalign.h>

enum { CAP = 1 << 20 };

static int make_arena(void **state)
{
    *state = es_arena_new(CAP);
    return *state == NULL;
}

static int free_arena(void **state)
{
    es_arena_free(*state);
    return 0;
}

static void memory_is_zeroed_aligned_and_separate(void **state)
{
    unsigned char *before = NULL;
    for (size_t size = 1; size < 3000; size += 13) {
        unsigned char *taken = es_arena_take(*state, size, 1);
        assert_non_null(taken);
        assert_int_equal((uintptr_t)taken % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(taken[i], 0);
        memset(taken, 0xff, size);
        if (before != NULL)
            assert_int_equal(before[0], 0xff);
        before = taken;
    }
}

static void nothing_still_has_its_own_place(void **state)
{
    void *a = es_arena_take(*state, 0, 8);
    void *b = es_arena_take(*state, 8, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
}

static void the_cap_holds_to_the_byte(void **state)
{
    (void)state;
    const size_t unit = alignof(max_align_t);
    es_arena *arena = es_arena_new(10 * unit);
    assert_int_equal(es_arena_cap_bytes(arena), 10 * unit);
    assert_non_null(es_arena_take(arena, 9 * unit, 1));
    assert_null(es_arena_take(arena, unit + 1, 1));
    assert_non_null(es_arena_take(arena, 1, 1)); /* a refusal does not break it */
    assert_int_equal(es_arena_used_bytes(arena), 10 * unit);
    assert_null(es_arena_take(arena, 1, 1));
    es_arena_free(arena);
}

static void sizes_that_wrap_are_refused(void **state)
{
    assert_null(es_arena_take(*state, SIZE_MAX, 1));
    assert_null(es_arena_take(*state, SIZE_MAX / 2, 3));
    assert_null(es_arena_text_n(*state, "x", SIZE_MAX));
    assert_int_equal(es_arena_used_bytes(*state), 0);
}

static void a_full_arena_says_what_and_the_cap(void **state)
{
    es_error err = {0};
    void *out = state;
    assert_fails(es_arena_take_or_fail(*state, CAP, 2, "links", &out, &err), ES_ERR_NOMEM, err,
                 "links");
    assert_non_null(strstr(es_error_text(&err), "1048576"));
    assert_ptr_equal(out, state);
    assert_ok_err(es_arena_take_or_fail(*state, 4, 2, "links", &out, &err), err);
    assert_ptr_not_equal(out, state);
}

static void texts_are_copied(void **state)
{
    char words[] = "hello";
    char *copy = es_arena_text(*state, words);
    words[0] = 'j';
    assert_string_equal(copy, "hello");
    assert_null(es_arena_text(*state, NULL));
    assert_null(es_arena_text_n(*state, NULL, 3));
    assert_string_equal(es_arena_text_n(*state, "hello", 2), "he");
    assert_string_equal(es_arena_text_n(*state, "", 0), "");
    assert_string_equal(es_arena_format(*state, "%s-%d", "n", 42), "n-42");
    es_arena *tiny = es_arena_new(16);
    assert_null(es_arena_text(tiny, "longer than sixteen bytes"));
    assert_null(es_arena_format(tiny, "%s", "longer than sixteen bytes"));
    es_arena_free(tiny);
}

typedef struct journal {
    int order[8];
    int count;
} journal;

typedef struct resource {
    journal *journal;
    int number;
} resource;

static void release(void *thing)
{
    resource *which = thing;
    which->journal->order[which->journal->count++] = which->number;
}

static void attachments_go_in_reverse_order(void **state)
{
    (void)state;
    journal seen = {.count = 0};
    resource resources[3] = {{&seen, 0}, {&seen, 1}, {&seen, 2}};
    es_arena *arena = es_arena_new(CAP);
    for (int i = 0; i < 3; i++)
        assert_ok(es_arena_attach(arena, &resources[i], release, NULL));
    assert_int_equal(seen.count, 0);
    es_arena_free(arena);
    assert_int_equal(seen.count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen.order[i], 2 - i);
}

static void reset_releases_once_and_zeroes(void **state)
{
    journal seen = {.count = 0};
    resource one = {&seen, 7};
    unsigned char *first = es_arena_take(*state, 1000, 1);
    memset(first, 0xff, 1000);
    assert_non_null(
        es_arena_take(*state, (size_t)200 * 1024, 1)); /* a second block, freed by reset */
    assert_ok(es_arena_attach(*state, &one, release, NULL));
    es_arena_reset(*state);
    assert_int_equal(seen.count, 1);
    assert_int_equal(es_arena_used_bytes(*state), 0);
    unsigned char *again = es_arena_take(*state, 1000, 1);
    assert_ptr_equal(again, first);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(again[i], 0);
    es_arena_reset(*state);
    assert_int_equal(seen.count, 1);
}

static void a_thing_that_cannot_be_attached_is_released_at_once(void **state)
{
    (void)state;
    journal seen = {.count = 0};
    resource one = {&seen, 1};
    es_error err = {0};
    es_arena *arena = es_arena_new(1);
    assert_fails(es_arena_attach(arena, &one, release, &err), ES_ERR_NOMEM, err, "attachment");
    assert_int_equal(seen.count, 1);
    es_arena_free(arena);
    assert_int_equal(seen.count, 1);
}

static void free_takes_null_and_forgets(void **state)
{
    (void)state;
    es_arena_free(NULL);
    es_arena *arena = es_arena_new(1);
    es_arena_free_p(&arena);
    assert_null(arena);
    es_arena_free_p(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_zeroed_aligned_and_separate, make_arena,
                                        free_arena),
        cmocka_unit_test_setup_teardown(nothing_still_has_its_own_place, make_arena, free_arena),
        cmocka_unit_test(the_cap_holds_to_the_byte),
        cmocka_unit_test_setup_teardown(sizes_that_wrap_are_refused, make_arena, free_arena),
        cmocka_unit_test_setup_teardown(a_full_arena_says_what_and_the_cap, make_arena, free_arena),
        cmocka_unit_test_setup_teardown(texts_are_copied, make_arena, free_arena),
        cmocka_unit_test(attachments_go_in_reverse_order),
        cmocka_unit_test_setup_teardown(reset_releases_once_and_zeroes, make_arena, free_arena),
        cmocka_unit_test(a_thing_that_cannot_be_attached_is_released_at_once),
        cmocka_unit_test(free_takes_null_and_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
