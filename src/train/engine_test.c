/* Engines by their face: passes, outputs, gradients added up, what is refused. */
#include "train/testing/nets.h"
#include "train/train.h"

#include <math.h>

static es_arena *arena;
static es_error err;

static int start(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)256 << 20);
    err = (es_error){0};
    return arena == NULL;
}

static int stop(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

static es_nn *net_of(const char *name)
{
    for (size_t i = 0; i < es_train_case_count; i++)
        if (strcmp(es_train_cases[i].name, name) == 0)
            return es_train_case_make(arena, &es_train_cases[i], 1);
    fail_msg("no case '%s'", name);
    return NULL;
}

static es_train_engine *engine_of(es_nn *nn, size_t batch)
{
    es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = batch;
    assert_ok_err(es_train_engine_new(nn, opts, &engine, &err), err);
    return engine;
}

static float *values(uint64_t seed, size_t count)
{
    es_rng rng = es_rng_make(seed, 0);
    float *out = ES_TAKE_ARRAY(arena, float, count);
    es_train_random_values(&rng, 1, count, out);
    return out;
}

static es_nn_id add(es_nn *nn, es_nn_layer layer, size_t units)
{
    es_nn_id id = ES_NN_NONE;
    layer.input_count = 1;
    assert_ok_err(es_nn_add(nn, &layer, units, true, &id, &err), err);
    return id;
}

/* Two spheres four deviations apart: the best there is answers 97.7 % rightly. */
static void learns_clusters(void **state)
{
    (void)state;
    es_clusters_opts opts = es_clusters_opts_default();
    es_dataset set;
    double best = 0;
    opts.distance = 4;
    opts.size = 3;
    assert_ok_err(es_data_make_clusters(arena, opts, &set, &best, &err), err);
    es_nn *nn = NULL;
    assert_ok_err(es_nn_new(arena, "net", "x", es_nn_shape_of(1, (const size_t[]){3}), &nn, &err),
                  err);
    es_nn_id id = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {{0}}}, 8);
    id = add(nn, (es_nn_layer){.kind = ES_NN_RELU, .inputs = {id}}, 0);
    id = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {id}}, 2);
    id = add(nn, (es_nn_layer){.kind = ES_NN_SOFTMAX, .inputs = {id}}, 0);
    assert_ok_err(es_nn_output_add(nn, "y", id, &err), err);
    es_nn_init(nn, 1);
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = engine_of(nn, set.count);
    float *x = ES_TAKE_ARRAY(arena, float, set.count *set.size);
    float *gradient = ES_TAKE_ARRAY(arena, float, set.count * 2);
    for (size_t i = 0; i < set.count; i++)
        es_dataset_sample(&set, i, x + i * set.size);
    for (size_t step = 0; step < 60; step++) {
        assert_ok_err(es_train_forward(engine, x, set.count, ES_TRAIN_LEARN, &err), err);
        (void)es_loss_cross_entropy(es_train_output(engine, 0), set.labels, set.count, 2, 0, 1,
                                    gradient);
        assert_ok_err(es_train_backward(engine, (const float *const[]){gradient}, false, &err),
                      err);
        const es_train_params *params = es_train_engine_params(engine);
        for (size_t i = 0; i < params->count; i++)
            for (size_t k = 0; k < params->items[i].count; k++)
                params->items[i].values[k] -= 0.5F * params->items[i].gradient[k];
    }
    assert_int_equal(es_train_engine_step(engine), 60);
    assert_ok_err(es_train_forward(engine, x, set.count, ES_TRAIN_INFER, &err), err);
    double accuracy =
        (double)es_loss_right(es_train_output(engine, 0), set.labels, set.count, 2) / 1000;
    if (!(accuracy > best - 0.012))
        fail_msg("accuracy %g, possible %g", accuracy, best);
}

static void gradients_add_up(void **state)
{
    (void)state;
    es_nn *nn = net_of("exits");
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = engine_of(nn, 4);
    const es_train_params *params = es_train_engine_params(engine);
    float *x = values(1, 4 * nn->layers.items[0].shape.count);
    const float *one[ES_NN_OUTPUTS_MAX] = {0};
    const float *other[ES_NN_OUTPUTS_MAX] = {0};
    one[0] = values(2, 4 * es_train_output_shape(engine, 0).count);
    other[1] = values(3, 4 * es_train_output_shape(engine, 1).count);
    const float *both[ES_NN_OUTPUTS_MAX] = {one[0], other[1]};
    float *sum = ES_TAKE_ARRAY(arena, float, params->total);
    assert_ok_err(es_train_forward(engine, x, 4, ES_TRAIN_LEARN, &err), err);
    assert_ok_err(es_train_backward(engine, both, false, &err), err);
    memcpy(sum, params->items[0].gradient, params->total * sizeof *sum); /* close together */
    assert_ok_err(es_train_forward(engine, x, 4, ES_TRAIN_LEARN, &err), err);
    assert_ok_err(es_train_backward(engine, one, false, &err), err);
    assert_ok_err(es_train_forward(engine, x, 4, ES_TRAIN_LEARN, &err), err);
    assert_ok_err(es_train_backward(engine, other, true, &err), err);
    for (size_t i = 0; i < params->total; i++)
        if (!(fabs((double)(params->items[0].gradient[i] - sum[i])) < 1e-5))
            fail_msg("gradient %zu: %g, wanted %g", i, (double)params->items[0].gradient[i],
                     (double)sum[i]);
}

/* A smaller pass gives what the same samples give in a larger one. */
static void smaller_passes(void **state)
{
    (void)state;
    es_nn *nn = net_of("residual");
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = engine_of(nn, 5);
    size_t size = nn->layers.items[0].shape.count;
    size_t out = es_train_output_shape(engine, 0).count;
    float *x = values(1, 5 * size);
    float *whole = ES_TAKE_ARRAY(arena, float, 5 * out);
    assert_ok_err(es_train_forward(engine, x, 5, ES_TRAIN_INFER, &err), err);
    memcpy(whole, es_train_output(engine, 0), 5 * out * sizeof *whole);
    assert_ok_err(es_train_forward(engine, x + 2 * size, 3, ES_TRAIN_INFER, &err), err);
    for (size_t i = 0; i < 3 * out; i++)
        if (!(fabs((double)(es_train_output(engine, 0)[i] - whole[2 * out + i])) < 1e-5))
            fail_msg("output %zu differs", i);
}

static void running_statistics(void **state)
{
    (void)state;
    es_nn *nn = net_of("norm");
    es_nn_layer *norm = &nn->layers.items[2];
    float *mean = es_nn_param_of(norm, ES_NN_MEAN)->values;
    float before = mean[0];
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = engine_of(nn, 4);
    float *x = values(1, 4 * nn->layers.items[0].shape.count);
    assert_ok_err(es_train_forward(engine, x, 4, ES_TRAIN_INFER, &err), err);
    assert_true(mean[0] == before);
    norm->momentum = 0; /* all that is kept is the batch's */
    assert_ok_err(es_train_forward(engine, x, 4, ES_TRAIN_LEARN, &err), err);
    float batch = mean[0];
    assert_true(batch != before);
    mean[0] = before;
    norm->momentum = 0.75;
    assert_ok_err(es_train_forward(engine, x, 4, ES_TRAIN_STATISTICS, &err), err);
    if (!(fabs((double)(mean[0] - (0.75F * before + 0.25F * batch))) < 1e-6))
        fail_msg("running mean %g", (double)mean[0]);
    norm->frozen = true;
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *frozen = engine_of(nn, 4);
    before = mean[0];
    assert_ok_err(es_train_forward(frozen, x, 4, ES_TRAIN_LEARN, &err), err);
    assert_true(mean[0] == before);
    assert_int_equal(es_train_engine_params(frozen)->count, 1); /* the convolution's weight */
}

static void quantise_passes_inside(void **state)
{
    (void)state;
    es_nn *nn = NULL;
    assert_ok_err(es_nn_new(arena, "net", "x", es_nn_shape_of(1, (const size_t[]){1}), &nn, &err),
                  err);
    es_nn_id id = add(nn, (es_nn_layer){.kind = ES_NN_DENSE, .inputs = {{0}}}, 1);
    id = add(nn, (es_nn_layer){.kind = ES_NN_QUANTISE, .inputs = {id}}, 0);
    assert_ok_err(es_nn_output_add(nn, "y", id, &err), err);
    nn->layers.items[1].params[0].values[0] = 1;
    es_nn_param_of(&nn->layers.items[id.index], ES_NN_FACTOR)->values[0] = 0.5F;
    es_nn_param_of(&nn->layers.items[id.index], ES_NN_OFFSET)->values[0] = 10;
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = engine_of(nn, 1);
    const struct {
        float x, y, slope;
    } cases[] = {
        {0.9F, 1, 0.9F}, {-5, -5, -5}, {-5.3F, -5, 0}, {200, 122.5F, 0}, {0.25F, 0, 0.25F}};
    const float *slope[] = {(const float[]){1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok_err(es_train_forward(engine, &cases[i].x, 1, ES_TRAIN_LEARN, &err), err);
        assert_float_equal(es_train_output(engine, 0)[0], cases[i].y, 1e-6);
        assert_ok_err(es_train_backward(engine, slope, false, &err), err);
        assert_float_equal(es_train_engine_params(engine)->items[0].gradient[0], cases[i].slope,
                           1e-6);
    }
}

static void mistakes(void **state)
{
    (void)state;
    es_nn *nn = net_of("dense");
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_train_engine *engine = NULL;
    opts.batch = 0;
    assert_fails(es_train_engine_new(nn, opts, &engine, &err), ES_ERR_ARG, err, "batch=0");
    opts.batch = 1 << 20;
    opts.cap_bytes = 1 << 20;
    assert_fails(es_train_engine_new(nn, opts, &engine, &err), ES_ERR_NOMEM, err, "1048576");
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *good = engine_of(nn, 2);
    assert_fails(es_train_forward(good, values(1, 100), 3, ES_TRAIN_INFER, &err), ES_ERR_ARG, err,
                 "3 samples in a pass, must be 1 to 2");
    nn->output_count = 0;
    opts = es_train_engine_opts_default();
    assert_fails(es_train_engine_new(nn, opts, &engine, &err), ES_ERR_ARG, err, "an output");
}

/* However little memory there is: an error that says so, and nothing left behind. */
static void every_cap(void **state)
{
    (void)state;
    for (es_train_backend backend = ES_TRAIN_PLAIN; backend <= ES_TRAIN_ONEDNN; backend++) {
        size_t refused = 0;
        es_status status = ES_ERR_NOMEM;
        for (size_t cap = 1024; status == ES_ERR_NOMEM; cap += cap / 4) {
            es_train_engine_opts opts = es_train_engine_opts_default();
            es_train_engine *engine = NULL;
            opts.backend = backend;
            opts.cap_bytes = cap;
            opts.thread_count = 1;
            status = es_train_engine_new(net_of("concat"), opts, &engine, &err);
            refused += status == ES_ERR_NOMEM;
            es_train_engine_free(engine);
        }
        if (status == ES_ERR_UNAVAILABLE)
            continue; /* no oneDNN */
        assert_int_equal(status, ES_OK);
        assert_true(refused > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(learns_clusters, start, stop),
        cmocka_unit_test_setup_teardown(gradients_add_up, start, stop),
        cmocka_unit_test_setup_teardown(smaller_passes, start, stop),
        cmocka_unit_test_setup_teardown(running_statistics, start, stop),
        cmocka_unit_test_setup_teardown(quantise_passes_inside, start, stop),
        cmocka_unit_test_setup_teardown(mistakes, start, stop),
        cmocka_unit_test_setup_teardown(every_cap, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
