/* The order in which channels go: multiples, floors, global and local, at random. */
#include "compress/test_learn.h"

#include <math.h>

enum { GROUPS_MAX = 6, CHANNELS_MAX = 70 };

typedef struct world {
    es_arena *arena;
    es_nn_group groups[GROUPS_MAX];
    es_nn_groups all;
    const double *scores[GROUPS_MAX];
} world;

static void start(world *w, es_rng *rng)
{
    *w = (world){.arena = es_arena_new(1 << 22)};
    w->all = (es_nn_groups){.items = w->groups, .count = 1 + es_rng_below(rng, GROUPS_MAX)};
    for (size_t g = 0; g < w->all.count; g++) {
        size_t channels = 1 + es_rng_below(rng, CHANNELS_MAX);
        double *scores = ES_TAKE_ARRAY(w->arena, double, channels);
        w->groups[g] = (es_nn_group){.channels = channels, .fixed = es_rng_below(rng, 5) == 0};
        for (size_t c = 0; c < channels; c++) /* with ties */
            scores[c] = (double)es_rng_below(rng, 20);
        w->scores[g] = w->groups[g].fixed ? NULL : scores;
    }
}

static size_t kept(const es_prune_order *order, size_t g)
{
    size_t count = 0;
    for (size_t c = 0; c < order->groups->items[g].channels; c++)
        count += order->keep[g][c];
    return count;
}

/* What holds of any order, after any number of blocks. */
static void check(const world *w, es_prune_order *order, es_prune_order_opts opts, size_t gone)
{
    double gone_highest = -1;
    es_prune_keep(order, gone);
    for (size_t g = 0; g < w->all.count; g++) {
        size_t channels = w->groups[g].channels;
        if (w->groups[g].fixed) {
            assert_null(order->keep[g]);
            continue;
        }
        size_t multiple = es_prune_multiple(opts.multiple, channels);
        size_t left = kept(order, g);
        assert_true(left >= 1);
        assert_true((double)left >= opts.least * (double)channels - 1e-9);
        assert_true(left == channels || left % multiple == 0);
        for (size_t a = 0; a < channels; a++) /* none stays that is worth less than one that goes */
            for (size_t b = 0; b < channels; b++)
                assert_false(order->keep[g][a] && !order->keep[g][b] &&
                             w->scores[g][a] < w->scores[g][b]);
    }
    for (size_t b = 0; b < gone; b++) { /* keys rise */
        assert_true(order->blocks[b].key >= gone_highest);
        gone_highest = order->blocks[b].key;
    }
}

static void orders_hold_at_random(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 300; i++) {
        world w;
        es_error err = {0};
        es_prune_order order;
        uint64_t seed = es_test_seed(i);
        es_rng rng = es_rng_make(seed, 0);
        start(&w, &rng);
        es_prune_order_opts opts = {.multiple = es_rng_below(&rng, 10),
                                    .least = es_rng_double(&rng),
                                    .local = es_rng_below(&rng, 2) == 1};
        assert_ok_err(es_prune_order_make(w.arena, &w.all, w.scores, opts, &order, &err), err);
        for (size_t gone = 0; gone <= order.block_count; gone++)
            check(&w, &order, opts, gone);
        es_arena_free(w.arena);
    }
}

static void local_takes_the_same_share(void **state)
{
    (void)state;
    es_error err = {0};
    es_prune_order order;
    es_arena *arena = es_arena_new(1 << 20);
    es_nn_group groups[] = {{.channels = 40}, {.channels = 80}};
    es_nn_groups all = {.items = groups, .count = 2};
    double small[40];
    double large[80];
    for (size_t c = 0; c < 40; c++)
        small[c] = 1000 + (double)c;
    for (size_t c = 0; c < 80; c++)
        large[c] = (double)c;
    const double *scores[] = {small, large};
    es_prune_order_opts opts = {.multiple = 4, .local = true};
    assert_ok_err(es_prune_order_make(arena, &all, scores, opts, &order, &err), err);
    es_prune_keep(&order, 15);
    assert_int_equal(kept(&order, 0), 20);
    assert_int_equal(kept(&order, 1), 40);
    opts.local = false; /* all of the large group's blocks are worth less */
    assert_ok_err(es_prune_order_make(arena, &all, scores, opts, &order, &err), err);
    es_prune_keep(&order, 19);
    assert_int_equal(kept(&order, 0), 40);
    assert_int_equal(kept(&order, 1), 4);
    es_arena_free(arena);
}

static void multiples_go_by_size(void **state)
{
    (void)state;
    assert_int_equal(es_prune_multiple(0, 64), 8);
    assert_int_equal(es_prune_multiple(0, 32), 8);
    assert_int_equal(es_prune_multiple(0, 16), 4);
    assert_int_equal(es_prune_multiple(0, 3), 1);
    assert_int_equal(es_prune_multiple(5, 3), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_hold_at_random),
        cmocka_unit_test(local_takes_the_same_share),
        cmocka_unit_test(multiples_go_by_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
