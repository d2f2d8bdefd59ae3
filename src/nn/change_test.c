/* Folding, parts, joins and replacements compute what they should, by the plain interpreter. */
#include "nn/testing/forward.h"
#include "nn/testing/random_net.h"
#include "test_nn.h"

#include <math.h>

enum { BATCH = 2, SEEDS = 200 };

static const es_nn_id input = {0};

static const double *run(es_arena *arena, const es_nn *nn, const float *x, size_t output)
{
    double *const *values = nn_forward(arena, nn, x, BATCH, false);
    assert_non_null(values);
    return values[nn->outputs[output].layer.index];
}

static void assert_close(const double *got, const double *wanted, size_t count, double tolerance,
                         uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        if (!(fabs(got[i] - wanted[i]) <= tolerance * (1 + fabs(wanted[i]))))
            fail_msg("ES_SEED=%" PRIu64 ": value %zu is %.9g, expected %.9g", seed, i, got[i],
                     wanted[i]);
    }
}

static void assert_same_outputs(es_arena *arena, const es_nn *got, const es_nn *wanted,
                                double tolerance, uint64_t seed)
{
    es_rng rng = es_rng_make(seed, 9);
    size_t size = BATCH * wanted->layers.items[0].shape.count;
    float *x = ES_TAKE_ARRAY(arena, float, size);
    nn_random_values(&rng, x, size);
    assert_int_equal(got->output_count, wanted->output_count);
    for (size_t i = 0; i < wanted->output_count; i++) {
        size_t count = BATCH * wanted->layers.items[wanted->outputs[i].layer.index].shape.count;
        assert_close(run(arena, got, x, i), run(arena, wanted, x, i), count, tolerance, seed);
    }
}

/* Quantisation turns a rounding error into a step; so plain nets, or a wide tolerance. */
static void folding_keeps_the_outputs(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    size_t folded_count = 0;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_error err = {0};
        es_nn *folded = NULL;
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, true);
        assert_ok_err(es_nn_copy(arena, nn, &folded, &err), err);
        uint64_t params = es_nn_work_of(nn).params;
        assert_ok_err(es_nn_fold(folded, &err), err);
        folded_count += folded->layers.count < nn->layers.count;
        assert_same_outputs(arena, folded, nn, 1e-5, seed);
        size_t left = 0;
        for (size_t i = 0; i < folded->layers.count; i++)
            for (size_t p = 0; p < folded->layers.items[i].param_count; p++)
                left += folded->layers.items[i].params[p].count;
        assert_int_equal(params, left); /* what the figures promised */
        es_arena_free(arena);
    }
    assert_true(folded_count > SEEDS / 20);
}

/* Head and tail at every layer that alone joins them chain to the whole. */
static void parts_chain_to_the_whole(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    size_t cut_count = 0;
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, false);
        es_nn_id end = nn->outputs[nn->output_count - 1].layer;
        es_rng rng = es_rng_make(seed, 5);
        es_nn_id at = {1 + (uint32_t)es_rng_below(&rng, end.index)};
        es_error err = {0};
        es_nn *head = NULL;
        es_nn *tail = NULL;
        if (at.index == end.index || es_nn_part(arena, nn, at, end, &tail, &err) != ES_OK) {
            es_arena_free(arena);
            continue;
        }
        cut_count++;
        assert_ok_err(es_nn_part(arena, nn, input, at, &head, &err), err);
        assert_string_equal(tail->layers.items[0].name, nn->layers.items[at.index].name);
        es_nn_id last = ES_NN_NONE;
        assert_ok_err(es_nn_attach(head, head->outputs[0].layer, tail, "t.", &last, &err), err);
        head->output_count = 0;
        test_output(head, "y", last);
        test_seal(head);
        size_t size = BATCH * nn->layers.items[0].shape.count;
        float *x = ES_TAKE_ARRAY(arena, float, size);
        nn_random_values(&rng, x, size);
        assert_close(run(arena, head, x, 0), run(arena, nn, x, nn->output_count - 1),
                     BATCH * nn->layers.items[end.index].shape.count, 0, seed);
        es_arena_free(arena);
    }
    assert_true(cut_count > SEEDS / 4);
}

static void a_part_that_needs_more_is_refused(void **state)
{
    (void)state;
    es_error err = {0};
    es_nn *part = NULL;
    es_nn_id last = ES_NN_NONE;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(4));
    es_nn_id a = test_dense(nn, "a", input, 4);
    es_nn_id b = test_dense(nn, "b", a, 4);
    es_nn_id sum = test_two(nn, ES_NN_ADD, a, b);
    es_nn_id end = test_dense(nn, "end", sum, 3);
    test_output(nn, "y", end);
    assert_fails(es_nn_part(arena, nn, b, end, &part, &err), ES_ERR_ARG, err,
                 "net 'test': 'end' needs more than 'b'");
    assert_fails(es_nn_part(arena, nn, end, a, &part, &err), ES_ERR_ARG, err, "needs more");
    assert_fails(es_nn_part(arena, nn, a, a, &part, &err), ES_ERR_ARG, err, "is empty");
    assert_fails(es_nn_part(arena, nn, a, (es_nn_id){99}, &part, &err), ES_ERR_ARG, err,
                 "layer 99");
    assert_null(part);
    assert_ok_err(es_nn_part(arena, nn, a, end, &part, &err), err);
    assert_int_equal(part->layers.count, 4);
    assert_fails(es_nn_attach(nn, end, part, "again.", &last, &err), ES_ERR_ARG, err,
                 "it gives {3}, net 'test' takes {4}");
    assert_fails(es_nn_attach(nn, a, part, "", &last, &err), ES_ERR_ARG, err, "taken already");
    assert_int_equal(nn->layers.count, 5);
    nn->outputs[0].layer = b; /* behind itself: part and net are one */
    assert_ok_err(es_nn_attach(nn, b, nn, "twice.", &last, &err), err);
    assert_int_equal(nn->layers.count, 9);
    assert_string_equal(nn->layers.items[last.index].name, "twice.b");
    es_arena_free(arena);
}

/* A scaling put behind the input, and a block exchanged for another. */
static void replacements(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3));
    es_nn_id a = test_dense(nn, "a", input, 2);
    test_output(nn, "y", a);
    es_nn_init(nn, 1);
    es_nn_id scale = test_plain(nn, ES_NN_SCALE, input);
    nn->layers.items[scale.index].params[1].values[1] = 3;
    assert_ok_err(es_nn_replace(nn, input, scale, &err), err);
    assert_int_equal(nn->layers.items[scale.index].inputs[0].index, 0);
    assert_int_equal(nn->layers.items[a.index].inputs[0].index, scale.index);
    test_seal(nn);
    assert_int_equal(es_nn_find(nn, "a").index, 2);
    const float x[BATCH * 3] = {1, 2, 3, 4, 5, 6};
    const float *w = nn->layers.items[2].params[0].values;
    double wanted = (double)w[0] + 5 * (double)w[1] + 3 * (double)w[2];
    assert_close(run(arena, nn, x, 0), &wanted, 1, 1e-6, 1);

    es_nn_id other = test_plain(nn, ES_NN_TANH, test_dense(nn, "b", es_nn_find(nn, "scale-2"), 5));
    assert_ok_err(es_nn_replace(nn, es_nn_find(nn, "a"), other, &err), err);
    test_seal(nn);
    assert_shape(nn, nn->outputs[0].layer, 5);
    assert_false(es_nn_is(es_nn_find(nn, "a")));
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_keeps_the_outputs),
        cmocka_unit_test(parts_chain_to_the_whole),
        cmocka_unit_test(a_part_that_needs_more_is_refused),
        cmocka_unit_test(replacements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
