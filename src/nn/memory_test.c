/* Whatever the arena's cap, a call is done or says that memory is out, and what it made is whole.
 */
#include "nn/testing/random_net.h"
#include "test_nn.h"

static bool is_done(es_status status)
{
    assert_true(status == ES_OK || status == ES_ERR_NOMEM);
    return status == ES_OK;
}

static bool write_and_read(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    const es_model *model = NULL;
    es_nn *back = NULL;
    if (!is_done(es_nn_to_model(arena, nn, true, &model, &err)) ||
        !is_done(es_nn_from_model(arena, model, &back, &err)))
        return false;
    assert_int_equal(es_nn_work_of(back).macs, es_nn_work_of(nn).macs);
    return true;
}

static bool prune(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    es_nn_groups groups = {0};
    es_nn *smaller = NULL;
    if (!is_done(es_nn_groups_find(arena, nn, &groups, &err)))
        return false;
    const bool **keep = ES_TAKE_ARRAY(arena, const bool *, groups.count);
    if (keep == NULL || !is_done(es_nn_keep(arena, nn, &groups, keep, &smaller, NULL, &err)))
        return false;
    assert_int_equal(es_nn_work_of(smaller).params, es_nn_work_of(nn).params);
    return true;
}

static bool change(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    es_nn *copy = NULL;
    es_nn *part = NULL;
    es_nn_id last = ES_NN_NONE;
    es_nn_id end = nn->outputs[nn->output_count - 1].layer;
    if (!is_done(es_nn_copy(arena, nn, &copy, &err)) ||
        !is_done(es_nn_part(arena, nn, (es_nn_id){0}, end, &part, &err)) ||
        !is_done(es_nn_attach(copy, (es_nn_id){0}, part, "again.", &last, &err)) ||
        !is_done(es_nn_exit_add(copy, "exit-again", last, &err)))
        return false;
    return is_done(es_nn_fold(copy, &err));
}

static void any_cap_is_told(void **state)
{
    (void)state;
    static bool (*const calls[])(es_arena *, const es_nn *) = {write_and_read, prune, change};
    es_arena *own = es_arena_new(TEST_ARENA_BYTES);
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + 20; seed++) {
        es_arena_reset(own);
        const es_nn *nn = nn_random(own, seed, false);
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            bool done = false;
            size_t failed = 0;
            for (size_t cap = 500; !done; cap = cap * 21 / 20, failed++) {
                es_arena *arena = es_arena_new(cap);
                assert_true(cap < TEST_ARENA_BYTES);
                done = calls[i](arena, nn);
                es_arena_free(arena);
            }
            assert_true(failed > 10);
        }
    }
    es_arena_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_cap_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
