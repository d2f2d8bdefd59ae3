/*
 * test_learn: a small job for tests of steps that train: noisy pictures of 8 x 8, a net for them,
 * recipes run on it.
 */
#ifndef ES_COMPRESS_TEST_LEARN_H
#define ES_COMPRESS_TEST_LEARN_H

#include "compress/learn.h"
#include "es_test.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define assert_near(got, wanted, tolerance)                                                        \
    do {                                                                                           \
        double got_ = (double)(got);                                                               \
        double wanted_ = (double)(wanted);                                                         \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: %.9g, wanted %.9g", #got, got_, wanted_);                                \
    } while (0)

enum { TEST_CAP = 256 * 1000 * 1000, TEST_SIDE = 8, TEST_SIZE = TEST_SIDE * TEST_SIDE };

typedef struct test_job {
    es_arena *arena;
    es_dataset set;
    es_compress_job job;
} test_job;

/* Rows, columns or a chequer of two grey levels, shifted by chance, under noise. */
static inline void test_pictures(es_arena *arena, size_t count, es_dataset *out)
{
    es_rng rng = es_rng_make(17, 0);
    float *x = ES_TAKE_ARRAY(arena, float, count *TEST_SIZE);
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, count);
    assert_non_null(x);
    assert_non_null(labels);
    for (size_t i = 0; i < count; i++) {
        size_t shift = es_rng_below(&rng, 4);
        labels[i] = (uint32_t)(i % 3);
        for (size_t place = 0; place < TEST_SIZE; place++) {
            size_t row = (place / TEST_SIDE + shift) / 2 % 2;
            size_t column = (place % TEST_SIDE + shift) / 2 % 2;
            size_t on = labels[i] == 0 ? row : labels[i] == 1 ? column : row ^ column;
            x[i * TEST_SIZE + place] = (float)((on == 1 ? 1 : -1) + 0.7 * es_rng_normal(&rng));
        }
    }
    *out = (es_dataset){.name = "pictures",
                        .x = {.name = "",
                              .type = ES_DATA_F32,
                              .rank = 4,
                              .dims = {count, 1, TEST_SIDE, TEST_SIDE},
                              .count = count * TEST_SIZE,
                              .bytes = x},
                        .count = count,
                        .size = TEST_SIZE,
                        .labels = labels,
                        .class_count = 3};
}

/* spec: of a net that takes 64 values. count samples of 3 classes. */
static inline void test_job_start(test_job *t, const char *spec, size_t count)
{
    es_error err = {0};
    const es_doc *doc = NULL;
    es_nn *nn = NULL;
    *t = (test_job){.arena = es_arena_new(TEST_CAP)};
    assert_non_null(t->arena);
    test_pictures(t->arena, count, &t->set);
    assert_ok_err(es_doc_parse_yaml(t->arena, "spec", spec, strlen(spec), &doc, &err), err);
    assert_ok_err(es_nn_from_spec(t->arena, doc, 3, &nn, &err), err);
    t->job = (es_compress_job){.arena = t->arena, .name = "m", .seed = 5};
    t->job.fit.dataset = &t->set;
    assert_ok_err(es_nn_to_model(t->arena, nn, false, &t->job.model, &err), err);
}

static inline void test_job_done(test_job *t)
{
    es_arena_free(t->arena);
}

/* Runs a recipe that must succeed. */
static inline es_variants test_recipe(test_job *t, const char *text)
{
    es_error err = {0};
    const es_recipe *recipe = NULL;
    es_variants made = {0};
    assert_ok_err(es_recipe_parse(t->arena, text, &recipe, &err), err);
    assert_ok_err(es_recipe_run(&t->job, recipe, &made, &err), err);
    return made;
}

/* Runs a recipe that must fail with that status and those words. */
static inline void test_recipe_fails(test_job *t, const char *text, es_status status,
                                     const char *words)
{
    es_error err = {0};
    const es_recipe *recipe = NULL;
    es_variants made = {0};
    es_status got = es_recipe_parse(t->arena, text, &recipe, &err);
    if (got == ES_OK)
        got = es_recipe_run(&t->job, recipe, &made, &err);
    assert_fails(got, status, err, words);
    assert_int_equal(made.count, 0);
}

static inline es_nn *test_nn_of(test_job *t, const es_model *model)
{
    es_error err = {0};
    es_nn *nn = NULL;
    assert_ok_err(es_nn_from_model(t->arena, model, &nn, &err), err);
    return nn;
}

/* Scores of the last output for the first count samples. */
static inline const float *test_scores(test_job *t, es_nn *nn, size_t count)
{
    ES_CLEANUP(es_train_engine_free_p) es_train_engine *engine = NULL;
    es_error err = {0};
    es_train_engine_opts opts = es_train_engine_opts_default();
    float *x = ES_TAKE_ARRAY(t->arena, float, count * t->set.size);
    opts.batch = count;
    opts.backend = ES_TRAIN_PLAIN;
    opts.gradients = false;
    assert_non_null(x);
    es_data_floats(&t->set.x, 0, count * t->set.size, x);
    assert_ok_err(es_train_engine_new(nn, opts, &engine, &err), err);
    assert_ok_err(es_train_forward(engine, x, count, ES_TRAIN_INFER, &err), err);
    size_t size = es_train_output_shape(engine, nn->output_count - 1).count;
    float *scores = ES_TAKE_ARRAY(t->arena, float, count *size);
    assert_non_null(scores);
    memcpy(scores, es_train_output(engine, nn->output_count - 1), count * size * sizeof *scores);
    return scores;
}

static inline double test_accuracy(test_job *t, const es_model *model)
{
    es_nn *nn = test_nn_of(t, model);
    const float *scores = test_scores(t, nn, t->set.count);
    return (double)es_loss_right(scores, t->set.labels, t->set.count, 3) / (double)t->set.count;
}

static inline const es_doc *test_report(const es_variants *made, size_t variant, const char *key)
{
    assert_true(variant < made->count);
    assert_non_null(made->items[variant].report);
    return es_doc_find(made->items[variant].report, key);
}

/* A number of a report, whole or not. */
static inline double test_number(const es_variants *made, size_t variant, const char *key)
{
    const es_doc *value = test_report(made, variant, key);
    assert_non_null(value);
    return value->type == ES_DOC_INT ? (double)value->as.integer : value->as.number;
}

/* ---- stopping ---- */

typedef struct test_stopper {
    volatile sig_atomic_t stop;
    const char *what;
    double when;
} test_stopper;

static inline void test_stop_when(void *context, const char *what, double done)
{
    test_stopper *s = context;
    if (strcmp(what, s->what) == 0 && done >= s->when)
        s->stop = 1;
}

static inline void test_same_models(test_job *t, const es_variants *a, const es_variants *b)
{
    es_error err = {0};
    const void *bytes[2];
    size_t sizes[2];
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const es_model *models[] = {a->items[i].stages[0].model, b->items[i].stages[0].model};
        for (size_t k = 0; k < 2; k++)
            assert_ok_err(es_model_bytes(t->arena, models[k], &bytes[k], &sizes[k], &err), err);
        assert_int_equal(sizes[0], sizes[1]);
        assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    }
}

/* Stopped when progress of `what` is that far, and started again with its checkpoint, the recipe
 * gives the same models as without a stop. */
static inline void test_goes_on(const char *spec, const char *recipe, const char *what, double when)
{
    test_job t;
    char folder[] = "/tmp/test_learn_XXXXXX";
    char stoppable[512];
    test_stopper s = {.what = what, .when = when};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(stoppable, sizeof stoppable, "%s,checkpoint=%s/it", recipe, folder);
    test_job_start(&t, spec, 120);
    es_variants whole = test_recipe(&t, recipe);
    t.job.stop = &s.stop;
    t.job.progress = test_stop_when;
    t.job.progress_context = &s;
    test_recipe_fails(&t, stoppable, ES_ERR_CANCELLED, "goes on from /tmp/test_learn_");
    s.stop = 0;
    t.job.stop = NULL;
    t.job.progress = NULL;
    es_variants made = test_recipe(&t, stoppable);
    test_same_models(&t, &whole, &made);
    made = test_recipe(&t, stoppable); /* all is there already */
    test_same_models(&t, &whole, &made);
    DIR *files = opendir(folder);
    assert_non_null(files);
    for (const struct dirent *file = readdir(files); file != NULL; file = readdir(files))
        if (file->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(files), file->d_name, 0), 0);
    (void)closedir(files);
    assert_int_equal(rmdir(folder), 0);
    test_job_done(&t);
}

#define TEST_CNN "{net: cnn, input: [1, 8, 8], classes: 3}"
#define TEST_SMALL                                                                                 \
    "{name: small, input: [1, 8, 8], layers: [{conv: {units: 16, kernel: 3, name: c1}}, "          \
    "{batch-norm: {name: n1}}, {relu: {name: r1}}, {max-pool: {kernel: 2, name: p1}}, "            \
    "{conv: {units: 16, kernel: 3, name: c2}}, {relu: {name: r2}}, {global-pool: {name: g}}, "     \
    "{dense: {units: 3, name: logits}}]}"

#endif
