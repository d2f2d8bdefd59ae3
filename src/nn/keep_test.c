/* A net with fewer channels computes what the whole one does with the others' parameters at 0. */
#include "nn/testing/forward.h"
#include "nn/testing/random_net.h"
#include "test_nn.h"

#include <math.h>

enum { SEEDS = 300, BATCH = 2 };

static const es_nn_id input = {0};

typedef struct pruned {
    es_nn_groups groups;
    bool **keep;
    size_t dropped;
} pruned;

/* Of each group that may lose channels at least one stays. */
static pruned draw(es_arena *arena, const es_nn *nn, es_rng *rng)
{
    es_error err = {0};
    pruned p = {0};
    assert_ok_err(es_nn_groups_find(arena, nn, &p.groups, &err), err);
    p.keep = ES_TAKE_ARRAY(arena, bool *, p.groups.count);
    for (size_t g = 0; g < p.groups.count; g++) {
        const es_nn_group *group = &p.groups.items[g];
        if (es_rng_below(rng, 4) == 0)
            continue; /* NULL: all stay */
        p.keep[g] = ES_TAKE_ARRAY(arena, bool, group->channels);
        for (size_t c = 0; c < group->channels; c++) {
            p.keep[g][c] = group->fixed || es_rng_below(rng, 2) == 0;
            p.dropped += !p.keep[g][c];
        }
        size_t one = (size_t)es_rng_below(rng, group->channels);
        p.dropped -= !p.keep[g][one];
        p.keep[g][one] = true;
    }
    return p;
}

static void zero_slice(es_nn_layer *layer, const es_nn_slice *slice, size_t channel)
{
    es_nn_param *param = &layer->params[slice->param];
    size_t inner = 1;
    for (size_t i = slice->axis + 1; i < param->rank; i++)
        inner *= param->dims[i];
    size_t size = param->dims[slice->axis];
    size_t begin = slice->first + channel * slice->stride;
    for (size_t outer = 0; outer < param->count / (size * inner); outer++)
        for (size_t k = begin; k < begin + slice->span; k++)
            memset(param->values + (outer * size + k) * inner, 0, inner * sizeof(float));
}

static void zero_dropped(es_nn *nn, const pruned *p)
{
    for (size_t g = 0; g < p->groups.count; g++) {
        const es_nn_group *group = &p->groups.items[g];
        for (size_t c = 0; p->keep[g] != NULL && c < group->channels; c++)
            for (size_t s = 0; !p->keep[g][c] && s < group->slice_count; s++)
                zero_slice(&nn->layers.items[group->slices[s].layer.index], &group->slices[s], c);
    }
}

static void assert_same_outputs(es_arena *arena, const es_nn *got, const es_nn *wanted, es_rng *rng,
                                uint64_t seed)
{
    size_t size = BATCH * wanted->layers.items[0].shape.count;
    float *x = ES_TAKE_ARRAY(arena, float, size);
    nn_random_values(rng, x, size);
    double *const *a = nn_forward(arena, got, x, BATCH, false);
    double *const *b = nn_forward(arena, wanted, x, BATCH, false);
    for (size_t o = 0; o < wanted->output_count; o++) {
        es_nn_id id = wanted->outputs[o].layer;
        for (size_t i = 0; i < BATCH * wanted->layers.items[id.index].shape.count; i++) {
            double one = a[got->outputs[o].layer.index][i];
            double other = b[id.index][i];
            if (!(fabs(one - other) <= 1e-9 * (1 + fabs(other))))
                fail_msg("ES_SEED=%" PRIu64 ": output %zu [%zu] is %.12g, expected %.12g", seed, o,
                         i, one, other);
        }
    }
}

static void assert_origin(const es_nn *smaller, const es_nn *nn, const es_nn_origin *origin)
{
    size_t number = 0;
    for (size_t i = 0; i < smaller->layers.count; i++) {
        const es_nn_layer *layer = &smaller->layers.items[i];
        assert_string_equal(layer->name, nn->layers.items[i].name);
        for (size_t p = 0; p < layer->param_count; p++, number++) {
            const es_nn_param *old = &nn->layers.items[i].params[p];
            for (size_t k = 0; k < layer->params[p].count; k++) {
                uint32_t place = origin->places[number][k];
                assert_true(place < old->count);
                assert_true(k == 0 || place > origin->places[number][k - 1]);
                assert_true(layer->params[p].values[k] == old->values[place]);
            }
        }
    }
    assert_int_equal(number, origin->param_total);
}

/* Prunes at random; the net is left with zeros where the smaller one has nothing. */
static es_nn *prune_and_compare(es_arena *arena, es_nn *nn, es_rng *rng, size_t *dropped,
                                uint64_t seed)
{
    es_error err = {0};
    es_nn *smaller = NULL;
    es_nn_origin origin = {0};
    pruned p = draw(arena, nn, rng);
    assert_ok_err(
        es_nn_keep(arena, nn, &p.groups, (const bool *const *)p.keep, &smaller, &origin, &err),
        err);
    assert_origin(smaller, nn, &origin);
    es_nn_work before = es_nn_work_of(nn);
    es_nn_work after = es_nn_work_of(smaller);
    assert_true(p.dropped == 0 || after.params < before.params);
    assert_true(after.macs <= before.macs);
    zero_dropped(nn, &p);
    assert_same_outputs(arena, smaller, nn, rng, seed);
    *dropped += p.dropped;
    return smaller;
}

/* Twice over: what is left is a net like any other, perhaps with a convolution of one group now. */
static void dropping_is_zeroing(void **state)
{
    (void)state;
    uint64_t first = es_test_seed(1);
    size_t dropped[2] = {0};
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_error err = {0};
        const es_model *model = NULL;
        es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
        es_nn *nn = nn_random(arena, seed, false);
        es_rng rng = es_rng_make(seed, 7);
        nn = prune_and_compare(arena, nn, &rng, &dropped[0], seed);
        nn = prune_and_compare(arena, nn, &rng, &dropped[1], seed);
        assert_ok_err(es_nn_to_model(arena, nn, true, &model, &err), err);
        es_arena_free(arena);
    }
    assert_true(dropped[0] > SEEDS);
    assert_true(dropped[1] > SEEDS / 2);
}

static void what_must_stay_stays(void **state)
{
    (void)state;
    es_error err = {0};
    es_nn *smaller = NULL;
    es_nn_groups groups = {0};
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(3));
    test_output(nn, "y", test_dense(nn, "b", test_dense(nn, "a", input, 2), 2));
    test_seal(nn);
    assert_ok_err(es_nn_groups_find(arena, nn, &groups, &err), err);
    const bool none[3] = {false};
    const bool one[3] = {true};
    const bool *keep[3] = {one, NULL, NULL};
    assert_int_equal(groups.count, 3);
    assert_fails(es_nn_keep(arena, nn, &groups, keep, &smaller, NULL, &err), ES_ERR_ARG, err,
                 "group 0, of 'x', is fixed");
    keep[0] = NULL;
    keep[1] = none;
    assert_fails(es_nn_keep(arena, nn, &groups, keep, &smaller, NULL, &err), ES_ERR_ARG, err,
                 "group 1, of 'a', would lose all of its 2 channels");
    keep[2] = one;
    keep[1] = one;
    assert_fails(es_nn_keep(arena, nn, &groups, keep, &smaller, NULL, &err), ES_ERR_ARG, err,
                 "group 2, of 'b', is fixed");
    assert_null(smaller);
    keep[2] = NULL;
    assert_ok_err(es_nn_keep(arena, nn, &groups, keep, &smaller, NULL, &err), err);
    assert_shape(smaller, es_nn_find(smaller, "a"), 1);
    assert_int_equal(es_nn_work_of(smaller).macs, 3 + 2);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropping_is_zeroing),
        cmocka_unit_test(what_must_stay_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
