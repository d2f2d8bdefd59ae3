/* Necks: principal axes, the closed form is the best of its kind, and what a net makes of it. */
#include "compress/neck.h"
#include "compress/test_learn.h"

/* ---- axes ---- */

static void axes_are_eigenvectors(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new(TEST_CAP);
    for (uint64_t seed = es_test_seed(1), end = seed + 20; seed < end; seed++) {
        enum { COUNT = 200 };
        es_error err = {0};
        es_rng rng = es_rng_make(seed, 0);
        size_t n = 1 + es_rng_below(&rng, 12);
        double x[COUNT][12];
        double mix[12][12];
        es_pca pca;
        assert_ok_err(es_pca_init(arena, n, &pca, &err), err);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < n; k++)
                mix[i][k] = es_rng_normal(&rng);
        for (size_t s = 0; s < COUNT; s++) {
            double z[12];
            for (size_t k = 0; k < n; k++) /* the last directions hardly vary */
                z[k] = es_rng_normal(&rng) / (double)(1 + k * k);
            for (size_t i = 0; i < n; i++) {
                x[s][i] = (double)i;
                for (size_t k = 0; k < n; k++)
                    x[s][i] += mix[i][k] * z[k];
            }
            es_pca_add(&pca, x[s]);
        }
        es_pca_solve(&pca);
        double trace = 0;
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            const double *axis = pca.axes + i * n;
            double along = 0;
            for (size_t k = 0; k < n; k++) {
                double dot = 0;
                for (size_t j = 0; j < n; j++)
                    dot += axis[j] * pca.axes[k * n + j];
                assert_near(dot, i == k, 1e-9);
            }
            for (size_t s = 0; s < COUNT; s++) {
                double part = 0;
                for (size_t j = 0; j < n; j++)
                    part += axis[j] * (x[s][j] - pca.mean[j]);
                along += part * part / COUNT;
            }
            assert_near(pca.values[i], along, 1e-8 * (1 + along));
            assert_true(i == 0 || pca.values[i] <= pca.values[i - 1]);
            for (size_t s = 0; s < COUNT; s++)
                trace += (x[s][i] - pca.mean[i]) * (x[s][i] - pca.mean[i]) / COUNT;
            sum += pca.values[i];
        }
        assert_near(sum, trace, 1e-8 * (1 + trace));
    }
    es_arena_free(arena);
}

/* ---- necks ---- */

static void open_learner(test_job *t, es_learner *l, es_nn **out_nn)
{
    es_error err = {0};
    es_variant from = es_variant_original(&t->job);
    es_learn_opts opts = {.epochs = 1, .batch = 30, .threads = 1, .rate = 0.01};
    assert_ok_err(es_learner_open(&t->job, "test", &from, opts, l, out_nn, &err), err);
}

/* What layer `name` gives for the first samples, without 8 bits if asked. */
static const float *inside(test_job *t, const es_nn *nn, const char *name, size_t count)
{
    es_error err = {0};
    es_nn *part = NULL;
    assert_ok_err(es_nn_part(t->arena, nn, (es_nn_id){0}, es_nn_find(nn, name), &part, &err), err);
    return test_scores(t, part, count);
}

static void without_bytes(es_nn *nn)
{
    es_nn_layer *payload = &nn->layers.items[es_nn_find(nn, ES_NECK_PAYLOAD).index];
    payload->kind = ES_NN_SCALE; /* factor 1, offset 0, as the bytes' before they are measured */
    es_error err = {0};
    es_nn_layer scale = {.kind = ES_NN_SCALE, .input_count = 1, .inputs = {payload->inputs[0]}};
    es_nn_id made = ES_NN_NONE;
    assert_ok_err(es_nn_add(nn, &scale, 0, false, &made, &err), err);
    assert_ok_err(es_nn_replace(nn, es_nn_find(nn, ES_NECK_PAYLOAD), made, &err), err);
    assert_ok_err(es_nn_seal(nn, &err), err);
}

/* As many codes as channels at every place: nothing is lost but by 8 bits. */
static void whole_necks_change_nothing(void **state)
{
    (void)state;
    static const char *const places[] = {"r1", "p1", "c2", "g"};
    test_job t;
    test_job_start(&t, TEST_SMALL, 90);
    for (size_t i = 0; i < 4; i++) {
        es_error err = {0};
        ES_CLEANUP(es_learner_close) es_learner l;
        es_nn *model = NULL;
        es_nn *nn = NULL;
        const char *last = NULL;
        es_neck_axes axes;
        open_learner(&t, &l, &model);
        es_neck_size size = {.at = es_nn_find(model, places[i]), .stride = 1, .channels = 16};
        assert_ok_err(es_neck_fit(&l, model, size, 90, &axes, &err), err);
        assert_near(axes.kept, 1, 1e-9);
        assert_ok_err(es_nn_copy(t.arena, model, &nn, &err), err);
        assert_ok_err(es_neck_insert(nn, &axes, (es_neck_layers){1, 2}, &last, &err), err);
        assert_ok_err(es_neck_range(&l, nn, 90, &err), err);
        const float *before = test_scores(&t, model, 30);
        const float *after = test_scores(&t, nn, 30);
        for (size_t k = 0; k < 90; k++)
            assert_near(after[k], before[k], 0.05 * (1 + fabs((double)before[k])));
        without_bytes(nn);
        const float *exact = test_scores(&t, nn, 30);
        for (size_t k = 0; k < 90; k++)
            assert_near(exact[k], before[k], 1e-3 * (1 + fabs((double)before[k])));
    }
    test_job_done(&t);
}

/* Share of the variance at a layer that a neck behind it gives again, counted over places. */
static double kept_by(test_job *t, const es_nn *model, const es_nn *nn, const char *at,
                      const char *last, size_t count)
{
    size_t size = model->layers.items[es_nn_find(model, at).index].shape.count;
    size_t channels = model->layers.items[es_nn_find(model, at).index].shape.dims[0];
    const float *x = inside(t, model, at, count);
    const float *y = inside(t, nn, last, count);
    double noise = 0;
    double variance = 0;
    for (size_t c = 0; c < channels; c++) {
        size_t places = size / channels;
        double mean = 0;
        for (size_t s = 0; s < count; s++)
            for (size_t p = 0; p < places; p++)
                mean += (double)x[s * size + c * places + p] / (double)(count * places);
        for (size_t s = 0; s < count; s++)
            for (size_t p = 0; p < places; p++) {
                double value = (double)x[s * size + c * places + p];
                double again = (double)y[s * size + c * places + p];
                noise += (value - again) * (value - again);
                variance += (value - mean) * (value - mean);
            }
    }
    return 1 - noise / variance;
}

/* The closed form keeps what it says, and no other codes of that form keep more. */
static void closed_form_is_best(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_SMALL, 60);
    for (size_t stride = 1; stride <= 4; stride *= 2) {
        es_error err = {0};
        ES_CLEANUP(es_learner_close) es_learner l;
        es_nn *model = NULL;
        es_nn *nn = NULL;
        const char *last = NULL;
        es_neck_axes axes;
        open_learner(&t, &l, &model);
        es_neck_size size = {.at = es_nn_find(model, "c2"), .stride = stride, .channels = 3};
        assert_ok_err(es_neck_fit(&l, model, size, 60, &axes, &err), err);
        assert_true(axes.kept > 0 && axes.kept < 1);
        assert_ok_err(es_nn_copy(t.arena, model, &nn, &err), err);
        assert_ok_err(es_neck_insert(nn, &axes, (es_neck_layers){0, 0}, &last, &err), err);
        without_bytes(nn);
        double kept = kept_by(&t, model, nn, "c2", last, 60);
        assert_near(kept, axes.kept, 1e-4);
        es_rng rng = es_rng_make(stride, 0);
        for (size_t i = 0; i < 20; i++) {
            es_nn *other = NULL;
            assert_ok_err(es_nn_copy(t.arena, nn, &other, &err), err);
            es_nn_layer *code = &other->layers.items[es_nn_find(other, "neck-code").index];
            es_nn_layer *decode = &other->layers.items[es_nn_find(other, "neck-decode").index];
            for (size_t k = 0; k < code->params[0].count; k++)
                code->params[0].values[k] += (float)(0.02 * es_rng_normal(&rng));
            for (size_t k = 0; k < decode->params[0].count; k++)
                decode->params[0].values[k] += (float)(0.02 * es_rng_normal(&rng));
            assert_true(kept_by(&t, model, other, "c2", last, 60) <= kept + 1e-6);
        }
    }
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_eigenvectors),
        cmocka_unit_test(whole_necks_change_nothing),
        cmocka_unit_test(closed_form_is_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
