/* The two backends against each other, and oneDNN against itself: same seed and threads, same
 * bytes. Skipped where oneDNN is not there. */
#include "train/testing/nets.h"
#include "train/train.h"

#include <math.h>

enum { BATCH = 6, RANDOM_NETS = 16 };
static const double TOLERANCE = 2e-4; /* of the largest value compared */

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

static es_train_engine *engine_of(es_nn *nn, es_train_backend backend, uint32_t threads)
{
    es_train_engine *engine = NULL;
    es_train_engine_opts opts = es_train_engine_opts_default();
    opts.batch = BATCH;
    opts.backend = backend;
    opts.thread_count = threads;
    es_status status = es_train_engine_new(nn, opts, &engine, &err);
    if (status == ES_ERR_UNAVAILABLE) {
        print_message("skipped: %s\n", es_error_text(&err));
        skip();
    }
    if (status != ES_OK)
        fail_msg("%s: %s", nn->name, es_error_text(&err));
    return engine;
}

static double largest(const float *values, size_t count)
{
    double top = 0;
    for (size_t i = 0; i < count; i++)
        top = fmax(top, fabs((double)values[i]));
    return top;
}

typedef struct pair {
    es_nn *nns[2];
    es_train_engine *engines[2]; /* plain, oneDNN */
    float *x;
    float *slopes[ES_NN_OUTPUTS_MAX];
} pair;

/* Sums that cancel leave noise of the size of their terms, hence the floor. */
static void same(const pair *p, const char *what, size_t which, const float *got,
                 const float *wanted, size_t count, double floor)
{
    double top = fmax(floor, largest(wanted, count));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)(got[i] - wanted[i])) <= TOLERANCE * top))
            fail_msg("%s: %s %zu [%zu]: oneDNN %.8g, plain %.8g (largest %g)", p->nns[0]->name,
                     what, which, i, (double)got[i], (double)wanted[i], top);
}

static pair make_pair(es_nn *nn, uint64_t seed)
{
    es_rng rng = es_rng_make(seed, 4);
    pair p = {.nns = {nn}};
    assert_ok_err(es_nn_copy(arena, nn, &p.nns[1], &err), err);
    p.engines[1] = engine_of(p.nns[1], ES_TRAIN_ONEDNN, 2);
    p.engines[0] = engine_of(nn, ES_TRAIN_PLAIN, 2);
    size_t size = BATCH * nn->layers.items[0].shape.count;
    p.x = ES_TAKE_ARRAY(arena, float, size);
    es_train_random_values(&rng, 2, size, p.x);
    for (size_t k = 0; k < nn->output_count; k++) {
        size_t count = BATCH * es_train_output_shape(p.engines[0], k).count;
        p.slopes[k] = ES_TAKE_ARRAY(arena, float, count);
        es_train_random_values(&rng, 1, count, p.slopes[k]);
    }
    return p;
}

static void compare_pass(const pair *p, size_t samples, es_train_pass pass)
{
    for (size_t e = 0; e < 2; e++)
        assert_ok_err(es_train_forward(p->engines[e], p->x, samples, pass, &err), err);
    for (size_t k = 0; k < p->nns[0]->output_count; k++)
        same(p, "output", k, es_train_output(p->engines[1], k), es_train_output(p->engines[0], k),
             samples * es_train_output_shape(p->engines[0], k).count, 1e-2);
}

static void compare_gradients(const pair *p, bool add)
{
    for (size_t e = 0; e < 2; e++)
        assert_ok_err(es_train_backward(p->engines[e], (const float *const *)p->slopes, add, &err),
                      err);
    const es_train_params *wanted = es_train_engine_params(p->engines[0]);
    const es_train_params *got = es_train_engine_params(p->engines[1]);
    assert_int_equal(wanted->count, got->count);
    if (wanted->count == 0)
        return;                                                             /* all is frozen */
    double floor = 0.1 * largest(wanted->items[0].gradient, wanted->total); /* close together */
    for (size_t i = 0; i < wanted->count; i++)
        same(p, "gradient", i, got->items[i].gradient, wanted->items[i].gradient,
             wanted->items[i].count, floor);
}

/* Running statistics, that is: nothing else may have changed. */
static void compare_params(const pair *p)
{
    for (size_t i = 0; i < p->nns[0]->layers.count; i++)
        for (size_t k = 0; k < p->nns[0]->layers.items[i].param_count; k++)
            same(p, "parameter", i, p->nns[1]->layers.items[i].params[k].values,
                 p->nns[0]->layers.items[i].params[k].values,
                 p->nns[0]->layers.items[i].params[k].count, 1e-2);
}

static void compare(es_nn *nn, uint64_t seed)
{
    pair p = make_pair(nn, seed);
    compare_pass(&p, BATCH, ES_TRAIN_LEARN);
    compare_gradients(&p, false);
    compare_pass(&p, BATCH, ES_TRAIN_INFER);
    compare_pass(&p, BATCH - 2, ES_TRAIN_LEARN); /* a last batch */
    compare_gradients(&p, true);
    compare_pass(&p, BATCH - 2, ES_TRAIN_STATISTICS);
    compare_pass(&p, 1, ES_TRAIN_INFER);
    compare_pass(&p, BATCH, ES_TRAIN_LEARN);
    compare_gradients(&p, false);
    compare_params(&p);
    es_train_engine_free(p.engines[0]);
    es_train_engine_free(p.engines[1]);
}

static void every_operator(void **state)
{
    (void)state;
    for (size_t c = 0; c < es_train_case_count; c++)
        compare(es_train_case_make(arena, &es_train_cases[c], es_test_seed(5)), es_test_seed(5));
}

static void random_nets(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(100);
    for (size_t i = 0; i < RANDOM_NETS; i++) {
        es_nn *nn = es_train_random_net(arena, seed + i);
        nn->name =
            es_arena_format(arena, "random net, ES_SEED=%llu", (unsigned long long)(seed + i));
        compare(nn, seed + i);
    }
}

/* With ReLUs made smooth: rounding moves values across a kink, and then gradients differ by a
 * percent where both are right. */
static void standard_nets(void **state)
{
    (void)state;
    static const char *const specs[] = {
        "{net: lenet, softmax: true}",
        "{net: cnn, input: [1, 12, 12], width: 0.25}",
        "{net: resnet-8, input: [3, 16, 16], width: 0.5}",
        "{net: ds-cnn, input: [1, 20, 10], width: 0.25}",
        "{net: mobilenet-v2, input: [3, 16, 16], width: 0.25, classes: 10}",
        "{net: autoencoder, units: 32}",
        "{net: temporal-cnn, input: [4, 40], classes: 5, units: 8, dropout: 0.1}",
        "{net: gru, input: [5, 20], classes: 3, units: 12, blocks: 2}",
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        const es_doc *spec = NULL;
        es_nn *nn = NULL;
        assert_ok_err(es_doc_parse_yaml(arena, "spec", specs[i], strlen(specs[i]), &spec, &err),
                      err);
        assert_ok_err(es_nn_from_spec(arena, spec, 9, &nn, &err), err);
        for (size_t l = 0; l < nn->layers.count; l++)
            if (nn->layers.items[l].kind == ES_NN_RELU || nn->layers.items[l].kind == ES_NN_RELU6)
                nn->layers.items[l].kind = ES_NN_TANH;
        compare(nn, 9);
    }
}

/* Some steps with the gradients added to the parameters; threads split the work, never its sums. */
static float *walk(const es_nn *nn, uint32_t threads, size_t *out_total)
{
    es_nn *copy = NULL;
    es_rng rng = es_rng_make(8, 0);
    assert_ok_err(es_nn_copy(arena, nn, &copy, &err), err);
    ES_CLEANUP(es_train_engine_free_p)
    es_train_engine *engine = engine_of(copy, ES_TRAIN_ONEDNN, threads);
    const es_train_params *params = es_train_engine_params(engine);
    const float *slopes[ES_NN_OUTPUTS_MAX] = {0};
    float *x = ES_TAKE_ARRAY(arena, float, BATCH * nn->layers.items[0].shape.count);
    for (size_t step = 0; step < 5; step++) {
        es_train_random_values(&rng, 1, BATCH * nn->layers.items[0].shape.count, x);
        assert_ok_err(es_train_forward(engine, x, BATCH, ES_TRAIN_LEARN, &err), err);
        for (size_t k = 0; k < nn->output_count; k++)
            slopes[k] = es_train_output(engine, k);
        assert_ok_err(es_train_backward(engine, slopes, false, &err), err);
        for (size_t i = 0; i < params->count; i++)
            for (size_t k = 0; k < params->items[i].count; k++)
                params->items[i].values[k] -= 1e-3F * params->items[i].gradient[k];
    }
    float *out = ES_TAKE_ARRAY(arena, float, params->total);
    float *at = out;
    for (size_t i = 0; i < params->count; at += params->items[i++].count)
        memcpy(at, params->items[i].values, params->items[i].count * sizeof *at);
    *out_total = params->total;
    return out;
}

static void same_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (uint32_t threads = 1; threads <= 2; threads++) {
            size_t total = 0;
            es_nn *nn = es_train_random_net(arena, seed);
            float *first = walk(nn, threads, &total);
            assert_memory_equal(first, walk(nn, threads, &total), total * sizeof *first);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_operator, start, stop),
        cmocka_unit_test_setup_teardown(random_nets, start, stop),
        cmocka_unit_test_setup_teardown(standard_nets, start, stop),
        cmocka_unit_test_setup_teardown(same_bytes, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
