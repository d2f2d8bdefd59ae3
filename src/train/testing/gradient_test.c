/*
 * Gradients of every operator against central differences. The plain operators are compiled in
 * double here, so that a wrong factor anywhere shows: both agree to six digits.
 */
#include "train/testing/nets.h"

#define ES_TRAIN_REAL double
#include "train/internal.h"

#include <math.h>

enum { SAMPLES = 3, PROBES = 12 };
static const double STEP = 1e-4;
static const double TOLERANCE = 2e-6; /* of the largest gradient of the parameter */

typedef struct bench {
    es_arena *arena;
    es_nn *nn;
    es_train_graph graph;
    es_plain *plain;
    float *x;
    float *weights[ES_NN_OUTPUTS_MAX]; /* the loss is the sum of outputs times these */
} bench;

static size_t output_size(const bench *b, size_t k)
{
    return SAMPLES * b->nn->layers.items[b->graph.outputs[k].index].shape.count;
}

static double loss(bench *b)
{
    double sum = 0;
    es_plain_forward(b->plain, (es_plain_run){.x = b->x,
                                              .samples = SAMPLES,
                                              .training = true,
                                              .dropout = true,
                                              .seed = 5,
                                              .step = 9});
    for (size_t k = 0; k < b->graph.output_count; k++)
        for (size_t i = 0; i < output_size(b, k); i++)
            sum += es_plain_output(b->plain, k)[i] * (double)b->weights[k][i];
    return sum;
}

/* In b's own place: the backend keeps its graph. */
static void prepare(bench *b, const es_train_case *made, uint64_t seed)
{
    es_error err = {0};
    es_rng rng = es_rng_make(seed, 1);
    *b = (bench){.arena = es_arena_new((size_t)64 << 20)};
    b->nn = es_train_case_make(b->arena, made, seed);
    assert_ok_err(es_train_graph_make(b->arena, b->nn, false, &b->graph, &err), err);
    assert_ok_err(es_plain_new(b->arena, b->nn, &b->graph, SAMPLES, true, 2, &b->plain, &err), err);
    size_t count = SAMPLES * b->nn->layers.items[0].shape.count;
    b->x = ES_TAKE_ARRAY(b->arena, float, count);
    es_train_random_values(&rng, 2, count, b->x);
    for (size_t k = 0; k < b->graph.output_count; k++) {
        b->weights[k] = ES_TAKE_ARRAY(b->arena, float, output_size(b, k));
        es_train_random_values(&rng, 1, output_size(b, k), b->weights[k]);
    }
}

/* The slope over what the step became as a float. */
static double slope_at(bench *b, float *value)
{
    float kept = *value;
    float up = (float)((double)kept + STEP);
    float down = (float)((double)kept - STEP);
    *value = up;
    double above = loss(b);
    *value = down;
    double below = loss(b);
    *value = kept;
    return (above - below) / ((double)up - (double)down);
}

static double largest(const es_real *values, size_t count)
{
    double top = 0;
    for (size_t i = 0; i < count; i++)
        top = fmax(top, fabs(values[i]));
    return top;
}

/* Whether the loss bends within the step: a kink lies there and no difference can be taken. */
static bool smooth(bench *b, float *value, double slope)
{
    float kept = *value;
    double here = loss(b);
    *value = (float)((double)kept + STEP);
    double one_sided = (loss(b) - here) / ((double)*value - (double)kept);
    *value = kept;
    return fabs(one_sided - slope) < 0.02 * (1 + fabs(slope));
}

static size_t check_param(bench *b, size_t i, size_t p, es_rng *rng)
{
    es_nn_layer *layer = &b->nn->layers.items[i];
    es_nn_param *param = &layer->params[p];
    const es_real *now = es_plain_gradient(b->plain, (es_nn_id){(uint32_t)i}, p);
    if (now == NULL)
        return 0;
    es_real *gradient = ES_TAKE_ARRAY(b->arena, es_real, param->count);
    memcpy(gradient, now, param->count * sizeof *gradient);
    double top = fmax(largest(gradient, param->count), 1e-3);
    size_t checked = 0;
    for (size_t probe = 0; probe < PROBES; probe++) {
        size_t at = es_rng_below(rng, param->count);
        double slope = slope_at(b, &param->values[at]);
        if (!smooth(b, &param->values[at], slope))
            continue;
        if (!(fabs(slope - gradient[at]) <= TOLERANCE * top))
            fail_msg("%s, layer '%s', param %zu [%zu]: gradient %.10g, difference %.10g",
                     b->nn->name, layer->name, p, at, gradient[at], slope);
        checked++;
    }
    return checked;
}

static void every_operator(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(11);
    for (size_t c = 0; c < es_train_case_count; c++) {
        if (strcmp(es_train_cases[c].name, "quantise") == 0)
            continue; /* straight through by definition: no difference shows it */
        bench b;
        prepare(&b, &es_train_cases[c], seed);
        es_rng rng = es_rng_make(seed, 2);
        size_t checked = 0;
        size_t params = 0;
        for (size_t i = 0; i < b.nn->layers.count; i++) {
            for (size_t p = 0; p < b.nn->layers.items[i].param_count; p++) {
                (void)loss(&b);
                es_plain_backward(b.plain, (const float *const *)b.weights);
                params += es_plain_gradient(b.plain, (es_nn_id){(uint32_t)i}, p) != NULL;
                checked += check_param(&b, i, p, &rng);
            }
        }
        if (params == 0 || checked < params * PROBES * 2 / 3)
            fail_msg("%s: only %zu of %zu probes were smooth", b.nn->name, checked,
                     params * PROBES);
        es_arena_free(b.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_operator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
