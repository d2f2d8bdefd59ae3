/* The start of parameters: moments, orthogonality, independence of neighbours. */
#include "test_nn.h"

#include <math.h>

static const es_nn_id input = {0};

static void moments(const es_nn_param *param, double *out_mean, double *out_variance,
                    double *out_max)
{
    double sum = 0;
    double squares = 0;
    *out_max = 0;
    for (size_t i = 0; i < param->count; i++) {
        sum += (double)param->values[i];
        squares += (double)param->values[i] * (double)param->values[i];
        *out_max = fmax(*out_max, fabs((double)param->values[i]));
    }
    *out_mean = sum / (double)param->count;
    *out_variance = squares / (double)param->count - *out_mean * *out_mean;
}

static void weights_have_their_variance(void **state)
{
    (void)state;
    double mean = 0;
    double variance = 0;
    double max = 0;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(32, 8, 8));
    es_nn_id he = test_conv(nn, "he", input, 64, 3, 1);
    es_nn_id glorot = test_conv(
        nn, "glorot", test_plain(nn, ES_NN_RELU, test_plain(nn, ES_NN_BATCH_NORM, he)), 128, 3, 1);
    test_output(nn, "y", glorot);
    es_nn_init(nn, 7);
    moments(&nn->layers.items[he.index].params[0], &mean, &variance, &max);
    assert_true(fabs(mean) < 0.002);
    assert_true(fabs(variance / (2.0 / (32 * 9)) - 1) < 0.05);
    moments(&nn->layers.items[glorot.index].params[0], &mean, &variance, &max);
    double limit = sqrt(6.0 / (64 * 9 + 128 * 9));
    assert_true(fabs(mean) < 0.002);
    assert_true(max <= limit && max > 0.99 * limit);
    assert_true(fabs(variance / (limit * limit / 3) - 1) < 0.05);
    es_arena_free(arena);
}

static void recurrent_rows_are_orthonormal(void **state)
{
    (void)state;
    enum { UNITS = 24 };
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(5, 9));
    es_nn_layer gru = {.kind = ES_NN_GRU, .input_count = 1};
    es_nn_id id = test_add(nn, gru, UNITS, true);
    es_nn_init(nn, 1);
    const float *values = es_nn_param_of(&nn->layers.items[id.index], ES_NN_RECURRENT)->values;
    for (size_t gate = 0; gate < 3; gate++) {
        const float *matrix = values + gate * UNITS * UNITS;
        for (size_t a = 0; a < UNITS; a++) {
            for (size_t b = 0; b < UNITS; b++) {
                double sum = 0;
                for (size_t i = 0; i < UNITS; i++)
                    sum += (double)matrix[a * UNITS + i] * (double)matrix[b * UNITS + i];
                assert_true(fabs(sum - (a == b)) < 1e-5);
            }
        }
    }
    es_arena_free(arena);
}

/* The same layer starts the same in another net; another seed starts it anew. */
static void a_start_does_not_depend_on_neighbours(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *one = test_net(arena, SHAPE(8));
    es_nn_id a = test_dense(one, "same", input, 16);
    es_nn *two = test_net(arena, SHAPE(8));
    es_nn_id b = test_dense(two, "same", test_dense(two, "before", input, 8), 16);
    es_nn_init(one, 3);
    es_nn_init(two, 3);
    const es_nn_param *left = &one->layers.items[a.index].params[0];
    const es_nn_param *right = &two->layers.items[b.index].params[0];
    assert_memory_equal(left->values, right->values, left->count * sizeof(float));
    es_nn_init(two, 4);
    assert_memory_not_equal(left->values, right->values, left->count * sizeof(float));
    es_arena_free(arena);
}

static void fixed_values_stay(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_ARENA_BYTES);
    es_nn *nn = test_net(arena, SHAPE(2, 4, 4));
    es_nn_id scale = test_plain(nn, ES_NN_SCALE, input);
    es_nn_id norm = test_plain(nn, ES_NN_BATCH_NORM, scale);
    es_nn_layer *layer = &nn->layers.items[scale.index];
    assert_true(es_nn_param_of(layer, ES_NN_FACTOR)->values[1] == 1.0F);
    es_nn_param_of(layer, ES_NN_FACTOR)->values[1] = 0.5F;
    es_nn_param_of(&nn->layers.items[norm.index], ES_NN_MEAN)->values[0] = 9;
    es_nn_init(nn, 3);
    assert_true(es_nn_param_of(layer, ES_NN_FACTOR)->values[1] == 0.5F);
    layer = &nn->layers.items[norm.index];
    assert_true(es_nn_param_of(layer, ES_NN_MEAN)->values[0] == 0.0F);
    assert_true(es_nn_param_of(layer, ES_NN_GAMMA)->values[0] == 1.0F);
    assert_true(es_nn_param_of(layer, ES_NN_VARIANCE)->values[1] == 1.0F);
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_have_their_variance),
        cmocka_unit_test(recurrent_rows_are_orthonormal),
        cmocka_unit_test(a_start_does_not_depend_on_neighbours),
        cmocka_unit_test(fixed_values_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
