/* Importance against what it says it is: sums by hand, and the loss without a channel. */
#include "compress/test_learn.h"
#include "nn/testing/random_net.h"

#include <math.h>

typedef struct bench {
    test_job job;
    es_learner learner;
    es_nn *nn;
    es_nn_groups groups;
    double **scores;
} bench;

static void start(bench *b, const char *spec, size_t count, int64_t batch)
{
    es_error err = {0};
    test_job_start(&b->job, spec, count);
    es_variant from = es_variant_original(&b->job.job);
    es_learn_opts opts = {.batch = batch, .threads = 1};
    assert_ok_err(es_learner_open(&b->job.job, "test", &from, opts, &b->learner, &b->nn, &err),
                  err);
    assert_ok_err(es_nn_groups_find(b->learner.arena, b->nn, &b->groups, &err), err);
    b->scores = ES_TAKE_ARRAY(b->learner.arena, double *, b->groups.count);
}

static void done(bench *b)
{
    es_learner_close(&b->learner);
    test_job_done(&b->job);
}

static void score(bench *b, es_prune_criterion criterion, size_t batches)
{
    es_error err = {0};
    assert_ok_err(
        es_importance(&b->learner, b->nn, &b->groups, criterion, batches, b->scores, &err), err);
}

static size_t group_of(const bench *b, const char *layer)
{
    uint32_t wanted = es_nn_find(b->nn, layer).index;
    for (size_t g = 0; g < b->groups.count; g++)
        for (size_t i = 0; i < b->groups.items[g].layer_count; i++)
            if (b->groups.items[g].layers[i].index == wanted)
                return g;
    fail_msg("no group of '%s'", layer);
    return 0;
}

static es_nn_layer *layer_of(const bench *b, const char *name)
{
    return &b->nn->layers.items[es_nn_find(b->nn, name).index];
}

/* Sum of f over row c and over column c of the weights of two layers. */
static double by_hand(const bench *b, const char *makes, const char *reads, size_t c, bool squares)
{
    const es_nn_param *a = &layer_of(b, makes)->params[0];
    const es_nn_param *r = &layer_of(b, reads)->params[0];
    size_t row = a->count / a->dims[0];
    size_t inner = r->count / (r->dims[0] * r->dims[1]);
    double sum = 0;
    for (size_t k = 0; k < row; k++) {
        double w = (double)a->values[c * row + k];
        sum += squares ? w * w : fabs(w);
    }
    for (size_t o = 0; o < r->dims[0]; o++) {
        for (size_t k = 0; k < inner; k++) {
            double w = (double)r->values[(o * r->dims[1] + c) * inner + k];
            sum += squares ? w * w : fabs(w);
        }
    }
    return sum;
}

static void norms_are_sums_over_rows_and_columns(void **state)
{
    (void)state;
    bench b;
    start(&b, TEST_SMALL, 60, 20);
    size_t g = group_of(&b, "c2"); /* no batch norm between c2 and logits */
    double sums[16];
    double total = 0;
    for (int squares = 0; squares < 2; squares++) {
        score(&b, squares == 1 ? ES_PRUNE_BY_L2 : ES_PRUNE_BY_L1, 0);
        total = 0;
        for (size_t c = 0; c < 16; c++)
            total += sums[c] = by_hand(&b, "c2", "logits", c, squares == 1);
        for (size_t c = 0; c < 16; c++)
            assert_near(b.scores[g][c], 16 * sums[c] / total, 1e-9);
    }
    score(&b, ES_PRUNE_BY_LAMP, 0);
    for (size_t c = 0; c < 16; c++) {
        double larger = 0;
        for (size_t k = 0; k < 16; k++)
            larger += sums[k] >= sums[c] ? sums[k] : 0;
        assert_near(b.scores[g][c], sums[c] / larger, 1e-9);
    }
    assert_null(b.scores[group_of(&b, "logits")]); /* an output stays */
    done(&b);
}

static void norm_takes_gammas_and_asks_for_them(void **state)
{
    (void)state;
    es_error err = {0};
    bench b;
    start(&b, TEST_CNN, 60, 20);
    size_t g = group_of(&b, "stem");
    es_nn_layer *norm = layer_of(&b, "stem-norm");
    for (size_t c = 0; c < norm->shape.dims[0]; c++)
        es_nn_param_of(norm, ES_NN_GAMMA)->values[c] = c % 2 == 0 ? -2.0F : 1.0F;
    score(&b, ES_PRUNE_BY_NORM, 0);
    assert_near(b.scores[g][0], 4.0 / 3, 1e-9);
    assert_near(b.scores[g][1], 2.0 / 3, 1e-9);
    done(&b);
    start(&b, TEST_SMALL, 60, 20);
    assert_fails(es_importance(&b.learner, b.nn, &b.groups, ES_PRUNE_BY_NORM, 0, b.scores, &err),
                 ES_ERR_ARG, err, "'c2' have no batch norm");
    done(&b);
}

/* Loss of the first batch in the order that the learner reads them. */
static double loss_with(bench *b, es_nn *nn, size_t batch)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_error err = {0};
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_data_batches batches;
    float x[TEST_SIZE * 20];
    uint32_t labels[20];
    es_nn *copy = NULL;
    opts.batch = batch;
    opts.backend = ES_TRAIN_PLAIN;
    assert_ok_err(es_nn_copy(b->job.arena, nn, &copy, &err), err);
    assert_ok_err(es_train_engine_new(copy, opts, &engine, &err), err);
    assert_ok_err(es_learner_batches(&b->learner, &batches, &err), err);
    size_t n = es_data_batches_next(&batches, x, labels);
    assert_ok_err(es_train_forward(engine, x, n, ES_TRAIN_STATISTICS, &err), err);
    return es_loss_cross_entropy(es_train_output(engine, 0), labels, n, 3, 0, 1, NULL);
}

/* d loss / d a where channel c of c2's output (which nothing normalises) is made a times as large,
 * and of the columns that read it. */
static double slope_of(bench *b, const char *layer, size_t axis, size_t c)
{
    double losses[2];
    for (int side = 0; side < 2; side++) {
        es_nn *nn = NULL;
        es_error err = {0};
        float factor = side == 0 ? 0.99F : 1.01F;
        assert_ok_err(es_nn_copy(b->job.arena, b->nn, &nn, &err), err);
        es_nn_layer *at = &nn->layers.items[es_nn_find(nn, layer).index];
        es_nn_param *w = &at->params[0];
        size_t inner = w->count / (w->dims[0] * w->dims[1]);
        for (size_t k = 0; k < w->count; k++)
            if ((axis == 0 ? k / (inner * w->dims[1]) : k / inner % w->dims[1]) == c)
                w->values[k] *= factor;
        if (axis == 0)
            es_nn_param_of(at, ES_NN_BIAS)->values[c] *= factor;
        losses[side] = loss_with(b, nn, 20);
    }
    return (losses[1] - losses[0]) / 0.02;
}

static void taylor_is_what_the_loss_says(void **state)
{
    (void)state;
    bench b;
    start(&b, TEST_SMALL, 60, 20);
    es_rng rng = es_rng_make(9, 0);
    nn_random_values(&rng, es_nn_param_of(layer_of(&b, "c2"), ES_NN_BIAS)->values, 16);
    size_t g = group_of(&b, "c2");
    double wanted[16];
    double total = 0;
    score(&b, ES_PRUNE_BY_TAYLOR, 1);
    for (size_t c = 0; c < 16; c++)
        total += wanted[c] = fabs(slope_of(&b, "c2", 0, c)) + fabs(slope_of(&b, "logits", 1, c));
    for (size_t c = 0; c < 16; c++)
        assert_near(b.scores[g][c], 16 * wanted[c] / total, 0.03);
    done(&b);
}

static void same_scores_again_and_by_seed(void **state)
{
    (void)state;
    bench b;
    double first[ES_PRUNE_BY_COUNT][16];
    start(&b, TEST_SMALL, 60, 20);
    size_t g = group_of(&b, "c2");
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k < ES_PRUNE_BY_COUNT; k++) {
            if (k == ES_PRUNE_BY_NORM)
                continue;
            score(&b, (es_prune_criterion)k, 3);
            if (round == 0)
                memcpy(first[k], b.scores[g], sizeof first[k]);
            else
                assert_memory_equal(first[k], b.scores[g], sizeof first[k]);
        }
    }
    b.job.job.seed = 6;
    score(&b, ES_PRUNE_BY_RANDOM, 0);
    assert_memory_not_equal(first[ES_PRUNE_BY_RANDOM], b.scores[g], sizeof first[0]);
    done(&b);
}

static void taylor_needs_labels(void **state)
{
    (void)state;
    es_error err = {0};
    bench b;
    start(&b, TEST_SMALL, 60, 20);
    b.learner.set.labels = NULL;
    assert_fails(es_importance(&b.learner, b.nn, &b.groups, ES_PRUNE_BY_TAYLOR, 1, b.scores, &err),
                 ES_ERR_ARG, err, "needs labels");
    b.learner.set.labels = b.job.set.labels;
    b.learner.set.class_count = 4;
    assert_fails(es_importance(&b.learner, b.nn, &b.groups, ES_PRUNE_BY_TAYLOR, 1, b.scores, &err),
                 ES_ERR_ARG, err, "has labels up to 3, the model 3 classes (0 to 2)");
    done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_sums_over_rows_and_columns),
        cmocka_unit_test(norm_takes_gammas_and_asks_for_them),
        cmocka_unit_test(taylor_is_what_the_loss_says),
        cmocka_unit_test(same_scores_again_and_by_seed),
        cmocka_unit_test(taylor_needs_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
