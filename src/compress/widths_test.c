/* Widths: values of the master bit for bit, gradients back where they belong, order of channels. */
#include "compress/test_learn.h"
#include "nn/testing/forward.h"
#include "nn/testing/random_net.h"

#include <math.h>

static es_nn *random_net(es_arena *arena, uint64_t seed, es_nn_groups *groups)
{
    es_error err = {0};
    es_nn *nn = nn_random(arena, seed, true);
    assert_ok_err(es_nn_groups_find(arena, nn, groups, &err), err);
    return nn;
}

static void widths_hold_the_masters_values(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        es_error err = {0};
        es_nn_groups groups;
        es_width width;
        es_arena *arena = es_arena_new(TEST_CAP);
        es_rng rng = es_rng_make(i, 1);
        es_nn *master = random_net(arena, es_test_seed(i), &groups);
        double share = 0.2 + 0.8 * es_rng_double(&rng);
        assert_ok_err(es_width_make(arena, master, &groups, share, 1, &width, &err), err);
        for (size_t l = 0; l < master->layers.count; l++) /* the master learns on */
            for (size_t p = 0; p < master->layers.items[l].param_count; p++)
                nn_random_values(&rng, master->layers.items[l].params[p].values,
                                 master->layers.items[l].params[p].count);
        es_width_pull(&width, master);
        for (size_t l = 0; l < width.nn->layers.count; l++) {
            const es_nn_layer *layer = &width.nn->layers.items[l];
            assert_string_equal(layer->name, master->layers.items[l].name);
            for (size_t p = 0; p < layer->param_count; p++) {
                const uint32_t *places = width.origin.places[width.first[l] + p];
                bool own = layer->params[p].role == ES_NN_MEAN ||
                           layer->params[p].role == ES_NN_VARIANCE ||
                           layer->params[p].role == ES_NN_FACTOR ||
                           layer->params[p].role == ES_NN_OFFSET;
                for (size_t k = 0; !own && k < layer->params[p].count; k++)
                    assert_memory_equal(&layer->params[p].values[k],
                                        &master->layers.items[l].params[p].values[places[k]],
                                        sizeof(float));
            }
        }
        es_arena_free(arena);
    }
}

/* The narrow net computes what the master does whose other channels nobody reads. */
static void dropped(es_nn *nn, const es_nn_groups *groups, double share)
{
    for (size_t g = 0; g < groups->count; g++) {
        const es_nn_group *group = &groups->items[g];
        size_t count =
            group->fixed ? group->channels : es_width_channels(group->channels, share, 1);
        for (size_t s = 0; s < group->slice_count; s++) {
            const es_nn_slice *slice = &group->slices[s];
            es_nn_param *param = &nn->layers.items[slice->layer.index].params[slice->param];
            if (slice->axis == 0) /* what makes a channel may stay */
                continue;
            size_t inner = param->count / (param->dims[0] * param->dims[1]);
            for (size_t c = count; c < group->channels; c++)
                for (size_t row = 0; row < param->dims[0]; row++)
                    memset(param->values +
                               (row * param->dims[1] + slice->first + c * slice->stride) * inner,
                           0, slice->span * inner * sizeof(float));
        }
    }
}

static void narrow_nets_are_masters_with_unread_channels(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        es_error err = {0};
        es_nn_groups groups;
        es_width width;
        es_arena *arena = es_arena_new(TEST_CAP);
        es_rng rng = es_rng_make(i, 2);
        es_nn *master = random_net(arena, es_test_seed(i), &groups);
        double share = 0.2 + 0.8 * es_rng_double(&rng);
        size_t size = master->layers.items[0].shape.count;
        float *x = ES_TAKE_ARRAY(arena, float, 2 * size);
        nn_random_values(&rng, x, 2 * size);
        assert_ok_err(es_width_make(arena, master, &groups, share, 1, &width, &err), err);
        dropped(master, &groups, share);
        double *const *wide = nn_forward(arena, master, x, 2, false);
        double *const *narrow = nn_forward(arena, width.nn, x, 2, false);
        for (size_t k = 0; k < master->output_count; k++) {
            uint32_t at = master->outputs[k].layer.index;
            for (size_t v = 0; v < 2 * master->layers.items[at].shape.count; v++)
                assert_near(wide[at][v], narrow[at][v], 1e-9 * (1 + fabs(wide[at][v])));
        }
        es_arena_free(arena);
    }
}

/* Gradients of a width land in the master where the values came from, on top of what is there. */
static void gradients_go_back_where_values_come_from(void **state)
{
    (void)state;
    es_error err = {0};
    test_job t;
    es_nn_groups groups;
    es_width width;
    es_train_engine *wide = NULL;
    es_train_engine *narrow = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    float slope[10 * 3];
    test_job_start(&t, TEST_CNN, 10);
    es_nn *master = test_nn_of(&t, t.job.model);
    es_rng rng = es_rng_make(4, 4);
    float *x = ES_TAKE_ARRAY(t.arena, float, 10 * t.set.size);
    es_data_floats(&t.set.x, 0, 10 * t.set.size, x);
    nn_random_values(&rng, slope, 30);
    assert_ok_err(es_nn_groups_find(t.arena, master, &groups, &err), err);
    assert_ok_err(es_width_make(t.arena, master, &groups, 0.5, 4, &width, &err), err);
    opts.batch = 10;
    opts.backend = ES_TRAIN_PLAIN;
    assert_ok_err(es_train_engine_new(master, opts, &wide, &err), err);
    assert_ok_err(es_train_engine_new(width.nn, opts, &narrow, &err), err);
    for (int i = 0; i < 2; i++) {
        es_train_engine *engine = i == 0 ? wide : narrow;
        assert_ok_err(es_train_forward(engine, x, 10, ES_TRAIN_LEARN, &err), err);
        assert_ok_err(es_train_backward(engine, (const float *[]){slope}, false, &err), err);
    }
    const es_train_params *up = es_train_engine_params(wide);
    const es_train_params *down = es_train_engine_params(narrow);
    float *before = ES_TAKE_ARRAY(t.arena, float, up->total);
    memcpy(before, up->items[0].gradient, up->total * sizeof *before);
    es_width_push(&width, down, up);
    size_t added = 0;
    for (size_t i = 0; i < up->count; i++) {
        const es_train_param *to = &up->items[i];
        const uint32_t *places = width.origin.places[width.first[to->layer.index] + to->param];
        float *sums = ES_TAKE_ARRAY(t.arena, float, to->count);
        memcpy(sums, before + (to->gradient - up->items[0].gradient), to->count * sizeof *sums);
        for (size_t k = 0; k < down->items[i].count; k++, added++)
            sums[places[k]] += down->items[i].gradient[k];
        assert_memory_equal(sums, to->gradient, to->count * sizeof *sums);
    }
    assert_int_equal(added, down->total);
    assert_true(down->total < up->total / 2);
    es_train_engine_free(wide);
    es_train_engine_free(narrow);
    test_job_done(&t);
}

static void sorting_channels_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        es_error err = {0};
        es_nn_groups groups;
        es_nn *sorted = NULL;
        es_arena *arena = es_arena_new(TEST_CAP);
        es_rng rng = es_rng_make(i, 3);
        es_nn *nn = random_net(arena, es_test_seed(i), &groups);
        uint32_t **order = ES_TAKE_ARRAY(arena, uint32_t *, groups.count);
        size_t size = nn->layers.items[0].shape.count;
        float *x = ES_TAKE_ARRAY(arena, float, 2 * size);
        nn_random_values(&rng, x, 2 * size);
        for (size_t g = 0; g < groups.count; g++) {
            size_t channels = groups.items[g].channels;
            size_t *mixed = ES_TAKE_ARRAY(arena, size_t, channels);
            if (groups.items[g].fixed)
                continue;
            order[g] = ES_TAKE_ARRAY(arena, uint32_t, channels);
            for (size_t c = 0; c < channels; c++)
                mixed[c] = c;
            es_rng_shuffle(&rng, mixed, channels);
            for (size_t c = 0; c < channels; c++)
                order[g][c] = (uint32_t)mixed[c];
        }
        assert_ok_err(es_nn_copy(arena, nn, &sorted, &err), err);
        assert_ok_err(es_width_sort(arena, sorted, &groups, order, &err), err);
        double *const *before = nn_forward(arena, nn, x, 2, false);
        double *const *after = nn_forward(arena, sorted, x, 2, false);
        for (size_t k = 0; k < nn->output_count; k++) {
            uint32_t at = nn->outputs[k].layer.index;
            for (size_t v = 0; v < 2 * nn->layers.items[at].shape.count; v++)
                assert_near(before[at][v], after[at][v], 1e-9 * (1 + fabs(before[at][v])));
        }
        es_arena_free(arena);
    }
}

static void ranking_brings_the_important_ones_first(void **state)
{
    (void)state;
    es_error err = {0};
    test_job t;
    es_learner l;
    es_nn *nn = NULL;
    es_nn_groups groups;
    test_job_start(&t, TEST_SMALL, 60);
    es_variant from = es_variant_original(&t.job);
    es_learn_opts opts = {.batch = 20, .threads = 1};
    assert_ok_err(es_learner_open(&t.job, "test", &from, opts, &l, &nn, &err), err);
    const float *before = test_scores(&t, nn, 5);
    assert_ok_err(es_nn_groups_find(l.arena, nn, &groups, &err), err);
    assert_ok_err(es_width_rank(&l, nn, &groups, ES_PRUNE_BY_L2, 0, &err), err);
    double **scores = ES_TAKE_ARRAY(l.arena, double *, groups.count);
    assert_ok_err(es_importance(&l, nn, &groups, ES_PRUNE_BY_L2, 0, scores, &err), err);
    for (size_t g = 0; g < groups.count; g++)
        for (size_t c = 1; scores[g] != NULL && c < groups.items[g].channels; c++)
            assert_true(scores[g][c - 1] >= scores[g][c]);
    const float *after = test_scores(&t, nn, 5);
    for (size_t k = 0; k < 15; k++)
        assert_near((double)before[k], (double)after[k], 1e-4);
    es_learner_close(&l);
    test_job_done(&t);
}

static void channels_of_a_width(void **state)
{
    (void)state;
    assert_int_equal(es_width_channels(64, 0.5, 8), 32);
    assert_int_equal(es_width_channels(40, 0.25, 8), 8);
    assert_int_equal(es_width_channels(40, 0.3, 8), 16);
    assert_int_equal(es_width_channels(16, 0.01, 4), 4);
    assert_int_equal(es_width_channels(6, 0.9, 8), 6);
    assert_int_equal(es_width_channels(7, 1, 2), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_hold_the_masters_values),
        cmocka_unit_test(narrow_nets_are_masters_with_unread_channels),
        cmocka_unit_test(gradients_go_back_where_values_come_from),
        cmocka_unit_test(sorting_channels_changes_nothing),
        cmocka_unit_test(ranking_brings_the_important_ones_first),
        cmocka_unit_test(channels_of_a_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
