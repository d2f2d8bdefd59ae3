/* fit: learns, stops, goes on as if it had not stopped, and says what is wrong. */
#include "base/file.h"
#include "es_test.h"
#include "train/train.h"

#include <math.h>
#include <sys/stat.h>

static es_arena *arena;
static es_error err;

static int start(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)512 << 20);
    err = (es_error){0};
    return arena == NULL;
}

static int stop(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

/* A net with what has a state: batch norm, dropout. */
static es_nn *net_of(const char *words)
{
    const es_doc *doc = NULL;
    es_nn *nn = NULL;
    assert_ok_err(es_doc_parse_yaml(arena, "spec", words, strlen(words), &doc, &err), err);
    assert_ok_err(es_nn_from_spec(arena, doc, 3, &nn, &err), err);
    return nn;
}

static es_nn *small_net(void)
{
    return net_of("{input: [1, 32], layers: [{conv: {units: 8, kernel: 5, stride: 2}}, batch-norm, "
                  "relu, global-pool, {dropout: {rate: 0.1}}, {dense: {units: 6}}]}");
}

static es_dataset signals(size_t count)
{
    es_signals_opts opts = es_signals_opts_default();
    es_dataset set;
    opts.count = count;
    opts.steps = 32;
    assert_ok_err(es_data_make_signals(arena, opts, &set, &err), err);
    return set;
}

static es_fit_opts options(void)
{
    es_fit_opts opts = es_fit_opts_default();
    opts.epoch_count = 4;
    opts.batch = 32;
    opts.engine.thread_count = 1;
    opts.augment.shift = 2;
    opts.augment.noise = 0.05;
    opts.augment.mixup = 0.2;
    opts.average = 0.95;
    return opts;
}

static es_fit_result fit(es_nn *nn, const es_dataset *set, const es_data_rows parts[2],
                         const es_fit_opts *opts)
{
    es_fit_result result = {0};
    assert_ok_err(es_fit(arena, nn, set, parts != NULL ? &parts[0] : NULL,
                         parts != NULL ? &parts[1] : NULL, opts, &result, &err),
                  err);
    return result;
}

static void halves(const es_dataset *set, es_data_rows parts[ES_DATA_PARTS_MAX])
{
    assert_ok_err(es_data_split(arena, set->labels, set->count, (const double[]){0.8, 0.2}, 2, 1,
                                parts, &err),
                  err);
}

/* Every parameter of both, byte by byte. */
static void same_params(const es_nn *a, const es_nn *b)
{
    for (size_t i = 0; i < a->layers.count; i++)
        for (size_t p = 0; p < a->layers.items[i].param_count; p++)
            if (memcmp(a->layers.items[i].params[p].values, b->layers.items[i].params[p].values,
                       a->layers.items[i].params[p].count * sizeof(float)) != 0)
                fail_msg("layer '%s', parameter %zu differs", a->layers.items[i].name, p);
}

static const char *scratch_file(const char *name)
{
    char *folder = es_arena_format(arena, "%s/train", ES_TEST_BINARY_DIR);
    assert_ok_err(es_file_make_folder(folder, &err), err);
    char *path = es_file_join(arena, folder, name);
    (void)unlink(path); /* of an earlier run */
    return path;
}

/* ---- learning ---- */

static void learns_signals(void **state)
{
    (void)state;
    es_dataset set = signals(1200);
    es_data_rows parts[ES_DATA_PARTS_MAX];
    es_fit_opts opts = options();
    halves(&set, parts);
    opts.epoch_count = 25;
    opts.augment = (es_augment_opts){0};
    es_fit_result result = fit(small_net(), &set, parts, &opts);
    assert_int_equal(result.epoch_count, 25);
    assert_int_equal(result.steps, 25 * 30);
    const es_fit_epoch *best = &result.epochs[result.best];
    if (!(best->held_accuracy > 0.8)) /* chance is 1/6 */
        fail_msg("accuracy %g", best->held_accuracy);
    assert_true(best->best);
    for (size_t i = 0; i < result.epoch_count; i++)
        assert_true(result.epochs[i].held_accuracy <= best->held_accuracy);
}

static void autoencoder_learns(void **state)
{
    (void)state;
    es_dataset set = signals(600);
    es_fit_opts opts = options();
    opts.loss = ES_FIT_SQUARES;
    opts.epoch_count = 20;
    opts.augment = (es_augment_opts){0};
    opts.average = 0;
    opts.optimiser.kind = ES_OPTIMISER_ADAM;
    opts.rate.rate = 0.003;
    es_fit_result result =
        fit(net_of("{net: autoencoder, input: [32], units: 32, blocks: 1}"), &set, NULL, &opts);
    double first = result.epochs[0].loss;
    double last = result.epochs[result.epoch_count - 1].loss;
    assert_true(isnan(result.epochs[0].accuracy));
    if (!(last < 0.5 * first))
        fail_msg("loss %g after %g", last, first);
}

/* The best parameters are those that the net ends with. */
static void keeps_the_best(void **state)
{
    (void)state;
    es_dataset set = signals(600);
    es_data_rows parts[ES_DATA_PARTS_MAX];
    es_fit_opts opts = options();
    es_nn *nn = small_net();
    es_train_engine *engine = NULL;
    es_evaluation got;
    halves(&set, parts);
    opts.epoch_count = 6;
    opts.rate.kind = ES_RATE_CONSTANT;
    es_fit_result result = fit(nn, &set, parts, &opts);
    assert_ok_err(es_train_engine_new(nn, es_train_engine_opts_default(), &engine, &err), err);
    assert_ok_err(
        es_train_evaluate(engine, &set, &parts[1], ES_FIT_CROSS_ENTROPY, &got, NULL, &err), err);
    es_train_engine_free(engine);
    assert_float_equal(got.accuracy[0], result.epochs[result.best].held_accuracy, 1e-9);
    assert_float_equal(got.loss[0], result.epochs[result.best].held_loss, 1e-5);
}

static void patience(void **state)
{
    (void)state;
    es_dataset set = signals(300);
    es_data_rows parts[ES_DATA_PARTS_MAX];
    es_fit_opts opts = options();
    halves(&set, parts);
    opts.epoch_count = 60;
    opts.patience = 2;
    opts.average = 0;
    opts.rate.kind = ES_RATE_CONSTANT;
    opts.rate.rate = 1e-7; /* nothing gets better */
    es_fit_result result = fit(small_net(), &set, parts, &opts);
    assert_true(result.early);
    assert_int_equal(result.epoch_count, result.best + 3);
}

/* ---- the same again ---- */

static void same_seed_same_bytes(void **state)
{
    (void)state;
    es_dataset set = signals(300);
    for (es_train_backend backend = ES_TRAIN_PLAIN; backend <= ES_TRAIN_ONEDNN; backend++) {
        for (uint32_t threads = 1; threads <= 2; threads++) {
            es_fit_opts opts = options();
            es_nn *a = small_net();
            es_nn *b = small_net();
            es_fit_result result = {0};
            opts.engine.backend = backend;
            opts.engine.thread_count = threads;
            if (es_fit(arena, a, &set, NULL, NULL, &opts, &result, &err) == ES_ERR_UNAVAILABLE)
                continue; /* no oneDNN */
            (void)fit(b, &set, NULL, &opts);
            same_params(a, b);
            opts.seed = 2;
            (void)fit(b, &set, NULL, &opts);
            assert_true(memcmp(a->layers.items[1].params[0].values,
                               b->layers.items[1].params[0].values, 40 * sizeof(float)) != 0);
        }
    }
}

/* Asks to stop after so many steps. */
typedef struct stopper {
    volatile sig_atomic_t flag;
    size_t left;
} stopper;

static void count_down(void *context, uint64_t epoch, double share, double loss)
{
    stopper *s = context;
    (void)epoch;
    (void)share;
    (void)loss;
    if (s->left > 0)
        s->left--;
    s->flag = s->left == 0;
}

/* Stopped after every few steps, in the middle of epochs and at their ends, each time gone on from
 * the checkpoint with a fresh net: the same bytes as without. */
static void resumes(void **state)
{
    (void)state;
    es_dataset set = signals(300);
    es_data_rows parts[ES_DATA_PARTS_MAX];
    halves(&set, parts);
    for (es_optimiser_kind kind = ES_OPTIMISER_SGD; kind <= ES_OPTIMISER_ADAM; kind++) {
        es_fit_opts opts = options();
        es_nn *whole = small_net();
        es_nn *pieces = NULL;
        opts.optimiser.kind = kind;
        opts.rate.rate = kind == ES_OPTIMISER_SGD ? 0.1 : 0.01;
        es_fit_result wanted = fit(whole, &set, parts, &opts);
        es_fit_result got = {.stopped = true};
        opts.checkpoint = scratch_file("resume.checkpoint");
        for (size_t rounds = 0; got.stopped; rounds++) {
            stopper s = {.left = 3 + rounds % 5};
            assert_true(rounds < 30);
            opts.hooks = (es_fit_hooks){.context = &s, .progress = count_down};
            opts.stop = &s.flag;
            opts.resume = rounds > 0;
            pieces = small_net();
            got = fit(pieces, &set, parts, &opts);
        }
        same_params(whole, pieces);
        assert_int_equal(got.epoch_count, wanted.epoch_count);
        assert_int_equal(got.best, wanted.best);
        for (size_t i = 0; i < wanted.epoch_count; i++) {
            got.epochs[i].seconds = wanted.epochs[i].seconds;
            assert_memory_equal(&got.epochs[i], &wanted.epochs[i], offsetof(es_fit_epoch, best));
        }
    }
}

static void other_settings_are_refused(void **state)
{
    (void)state;
    es_dataset set = signals(200);
    es_fit_opts opts = options();
    es_fit_result result;
    opts.checkpoint = scratch_file("settings.checkpoint");
    opts.resume = true;
    assert_fails(es_fit(arena, small_net(), &set, NULL, NULL, &opts, &result, &err), ES_ERR_IO, err,
                 "settings.checkpoint");
    opts.resume = false;
    (void)fit(small_net(), &set, NULL, &opts);
    opts.resume = true;
    opts.rate.rate = 0.2;
    assert_fails(es_fit(arena, small_net(), &set, NULL, NULL, &opts, &result, &err), ES_ERR_ARG,
                 err, "rate is 0.2 here, 0.1 there");
    opts.rate.rate = 0.1;
    assert_fails(es_fit(arena, net_of("{input: [1, 32], layers: [flatten, {dense: {units: 6}}]}"),
                        &set, NULL, NULL, &opts, &result, &err),
                 ES_ERR_ARG, err, "net is");
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(arena, opts.checkpoint, 1 << 20, &bytes, &size, &err), err);
    bytes[size - 5] ^= 1;
    assert_ok_err(es_file_write(opts.checkpoint, bytes, size, &err), err);
    assert_fails(es_fit(arena, small_net(), &set, NULL, NULL, &opts, &result, &err), ES_ERR_PARSE,
                 err, "damaged");
    assert_ok_err(es_file_write(opts.checkpoint, bytes, size / 2, &err), err);
    assert_fails(es_fit(arena, small_net(), &set, NULL, NULL, &opts, &result, &err), ES_ERR_PARSE,
                 err, "not what it says");
    opts.checkpoint = NULL;
    assert_fails(es_fit(arena, small_net(), &set, NULL, NULL, &opts, &result, &err), ES_ERR_ARG,
                 err, "resume needs a checkpoint");
}

/* ---- hooks ---- */

typedef struct watch {
    size_t steps, epochs;
    float *gradient;
} watch;

static es_status own_step(void *context, es_train_engine *engine, const es_fit_batch *batch,
                          double *out_loss, size_t *out_right, es_error *error)
{
    watch *w = context;
    const float *slopes[] = {w->gradient};
    ES_TRY(es_train_forward(engine, batch->x, batch->samples, ES_TRAIN_LEARN, error));
    *out_loss = es_loss_cross_entropy(es_train_output(engine, 0), batch->labels, batch->samples, 6,
                                      0, 1, w->gradient);
    *out_right = es_loss_right(es_train_output(engine, 0), batch->labels, batch->samples, 6);
    assert_int_equal(batch->step, w->steps);
    w->steps++;
    return es_train_backward(engine, slopes, false, error);
}

static bool two_epochs(void *context, const es_fit_epoch *epoch)
{
    watch *w = context;
    assert_int_equal(epoch->epoch, w->epochs);
    return ++w->epochs < 2;
}

/* A step of the caller's that does the usual gives the usual; an epoch's hook can stop. */
static void hooks(void **state)
{
    (void)state;
    es_dataset set = signals(200);
    es_fit_opts opts = options();
    watch w = {.gradient = ES_TAKE_ARRAY(arena, float, 32 * 6)};
    opts.augment.mixup = 0;
    es_nn *usual = small_net();
    es_nn *own = small_net();
    opts.hooks = (es_fit_hooks){.context = &w, .epoch = two_epochs};
    assert_true(fit(usual, &set, NULL, &opts).stopped);
    w.epochs = 0;
    opts.hooks.step = own_step;
    es_fit_result result = fit(own, &set, NULL, &opts);
    assert_int_equal(result.epoch_count, 2);
    assert_int_equal(w.steps, 12);
    same_params(usual, own);
}

/* ---- mistakes ---- */

static void fit_fails(es_nn *nn, const es_dataset *set, const es_fit_opts *opts, es_status status,
                      const char *words)
{
    es_fit_result result;
    assert_fails(es_fit(arena, nn, set, NULL, NULL, opts, &result, &err), status, err, words);
}

static void mistakes(void **state)
{
    (void)state;
    es_dataset set = signals(200);
    es_fit_opts opts = options();
    opts.rate.rate = 1e30;
    fit_fails(small_net(), &set, &opts, ES_ERR_LIMIT, "epoch 1, step ");
    assert_non_null(strstr(es_error_text(&err), "take a lower rate than 1e+30"));
    opts = options();
    fit_fails(net_of("{net: cnn, input: [1, 8, 8], classes: 6}"), &set, &opts, ES_ERR_ARG,
              "samples of 32 values, net 'cnn' takes 1 x 8 x 8");
    fit_fails(net_of("{input: [1, 32], layers: [flatten, {dense: {units: 5}}]}"), &set, &opts,
              ES_ERR_ARG, "label 5 of sample 6, but net");
    fit_fails(net_of("{input: [1, 32], layers: [flatten, {dense: {units: 7}}]}"), &set, &opts,
              ES_ERR_ARG, "class 6 has no sample among the 200");
    opts.allow_empty = true;
    opts.epoch_count = 1;
    (void)fit(net_of("{input: [1, 32], layers: [flatten, {dense: {units: 7}}]}"), &set, NULL,
              &opts);
    opts.batch = 201;
    fit_fails(small_net(), &set, &opts, ES_ERR_ARG, "200 samples are less than a batch of 201");
    opts = options();
    es_dataset bare = set;
    bare.labels = NULL;
    fit_fails(small_net(), &bare, &opts, ES_ERR_ARG, "has no labels");
    opts.loss = ES_FIT_SQUARES;
    fit_fails(small_net(), &set, &opts, ES_ERR_ARG, "gives 6 values");
    opts = options();
    opts.epoch_count = 0;
    fit_fails(small_net(), &set, &opts, ES_ERR_ARG, "epoch_count=0");
    opts = options();
    opts.label_smoothing = 1;
    fit_fails(small_net(), &set, &opts, ES_ERR_ARG, "label_smoothing=1");
    es_nn *frozen = small_net();
    for (size_t i = 0; i < frozen->layers.count; i++)
        frozen->layers.items[i].frozen = true;
    opts = options();
    fit_fails(frozen, &set, &opts, ES_ERR_ARG, "no layer is trained");
}

static void every_cap(void **state)
{
    (void)state;
    es_dataset set = signals(100);
    es_data_rows parts[ES_DATA_PARTS_MAX];
    es_fit_result result;
    es_status status = ES_ERR_NOMEM;
    size_t refused = 0;
    halves(&set, parts);
    for (size_t cap = 1024; status == ES_ERR_NOMEM; cap += cap / 4, refused++) {
        es_fit_opts opts = options();
        opts.epoch_count = 1;
        opts.engine.cap_bytes = cap;
        opts.checkpoint = scratch_file("cap.checkpoint");
        status = es_fit(arena, small_net(), &set, &parts[0], &parts[1], &opts, &result, &err);
    }
    assert_ok_err(status, err);
    assert_true(refused > 5);
}

/* ---- statistics ---- */

/* Over batches that make up the set, the mean is that of the set. */
static void statistics_anew(void **state)
{
    (void)state;
    es_dataset set = signals(300);
    es_nn *nn = small_net();
    es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    es_data_batches batches;
    es_data_batches_opts in_order = es_data_batches_opts_default();
    float *mean = es_nn_param_of(&nn->layers.items[2], ES_NN_MEAN)->values;
    opts.batch = 300;
    opts.gradients = false; /* not needed */
    in_order.batch = 100;
    assert_ok_err(es_train_engine_new(nn, opts, &engine, &err), err);
    assert_ok_err(es_data_batches_init(arena, &set, NULL, in_order, &batches, &err), err);
    assert_ok_err(es_train_statistics_reset(engine, &batches, 3, &err), err);
    float parts = mean[0];
    in_order.batch = 300;
    assert_ok_err(es_data_batches_init(arena, &set, NULL, in_order, &batches, &err), err);
    mean[0] = 99;
    assert_ok_err(es_train_statistics_reset(engine, &batches, 1, &err), err);
    es_train_engine_free(engine);
    assert_float_equal(mean[0], parts, 1e-5);
    assert_true(nn->layers.items[2].momentum > 0.5); /* as it was */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(learns_signals),
        TEST(autoencoder_learns),
        TEST(keeps_the_best),
        TEST(patience),
        TEST(same_seed_same_bytes),
        TEST(resumes),
        TEST(other_settings_are_refused),
        TEST(hooks),
        TEST(mistakes),
        TEST(every_cap),
        TEST(statistics_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
