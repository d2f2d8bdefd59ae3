/* Losses: gradients against differences, values against what is known. */
#include "es_test.h"
#include "train/train.h"

#include <math.h>

enum { SAMPLES = 5, CLASSES = 4, VALUES = SAMPLES * CLASSES };

typedef struct given {
    float scores[VALUES], soft[VALUES], free[VALUES];
    uint32_t labels[SAMPLES];
} given;

static given make(uint64_t seed)
{
    given g;
    es_rng rng = es_rng_make(seed, 0);
    for (size_t i = 0; i < VALUES; i++) {
        g.scores[i] = (float)(2 * es_rng_normal(&rng));
        g.free[i] = (float)es_rng_double(&rng);
    }
    for (size_t i = 0; i < SAMPLES; i++)
        g.labels[i] = (uint32_t)es_rng_below(&rng, CLASSES);
    const float *logits[] = {g.free};
    es_loss_soften(logits, 1, SAMPLES, CLASSES, 0.7, g.soft);
    return g;
}

typedef double (*loss_fn)(const given *g, float *gradient);

static double plain(const given *g, float *gradient)
{
    return es_loss_cross_entropy(g->scores, g->labels, SAMPLES, CLASSES, 0, 1, gradient);
}

static double smooth(const given *g, float *gradient)
{
    return es_loss_cross_entropy(g->scores, g->labels, SAMPLES, CLASSES, 0.2, 0.3, gradient);
}

static double soft(const given *g, float *gradient)
{
    return es_loss_soft(g->scores, g->soft, SAMPLES, CLASSES, 1.5, gradient);
}

static double distil(const given *g, float *gradient)
{
    return es_loss_distil(g->scores, g->soft, g->labels, SAMPLES, CLASSES, 0.7, 4, 1, gradient);
}

static double distil_only(const given *g, float *gradient)
{
    return es_loss_distil(g->scores, g->soft, NULL, SAMPLES, CLASSES, 1, 2, 2, gradient);
}

static double squares(const given *g, float *gradient)
{
    return es_loss_squares(g->scores, g->free, SAMPLES, CLASSES, 2, gradient);
}

static double binary(const given *g, float *gradient)
{
    return es_loss_binary(g->scores, g->free, SAMPLES, CLASSES, 1, gradient);
}

static double gatekeeper(const given *g, float *gradient)
{
    return es_loss_gatekeeper(g->scores, g->labels, SAMPLES, CLASSES, 0.3, 1, gradient);
}

static void gradients(void **state)
{
    (void)state;
    const loss_fn losses[] = {plain,       smooth,  soft,   distil,
                              distil_only, squares, binary, gatekeeper};
    for (size_t k = 0; k < sizeof losses / sizeof losses[0]; k++) {
        given g = make(es_test_seed(3) + k);
        float gradient[VALUES];
        (void)losses[k](&g, gradient);
        for (size_t i = 0; i < VALUES; i++) {
            float kept = g.scores[i];
            float up = kept + 1e-3F;
            float down = kept - 1e-3F;
            g.scores[i] = up;
            double above = losses[k](&g, NULL);
            g.scores[i] = down;
            double slope = (above - losses[k](&g, NULL)) / ((double)up - (double)down);
            g.scores[i] = kept;
            if (!(fabs(slope - (double)gradient[i]) < 2e-6))
                fail_msg("loss %zu [%zu]: gradient %.8g, difference %.8g", k, i,
                         (double)gradient[i], slope);
        }
    }
}

static void near(double got, double wanted)
{
    if (!(fabs(got - wanted) < 1e-6))
        fail_msg("%.9g, wanted %.9g", got, wanted);
}

static void known_values(void **state)
{
    (void)state;
    const float even[CLASSES] = {1, 1, 1, 1};
    const float sure[CLASSES] = {200, 0, -500, 0};
    const uint32_t first = 0;
    const uint32_t third = 2;
    near(es_loss_cross_entropy(even, &third, 1, CLASSES, 0, 1, NULL), log(4));
    near(es_loss_cross_entropy(even, &third, 1, CLASSES, 0.3, 2, NULL), 2 * log(4));
    near(es_loss_cross_entropy(sure, &first, 1, CLASSES, 0, 1, NULL), 0);
    near(es_loss_cross_entropy(sure, &third, 1, CLASSES, 0, 1, NULL), 700); /* nothing overflows */
    near(es_loss_gatekeeper(sure, &third, 1, CLASSES, 0, 1, NULL), log(4));
    near(es_loss_gatekeeper(even, &third, 1, CLASSES, 0, 1, NULL), 0);
    near(es_loss_gatekeeper(even, &first, 1, CLASSES, 0.25, 1, NULL), 0.25 * log(4));
    near(es_loss_binary((const float[]){-800, 800}, (const float[]){0, 1}, 1, 2, 1, NULL), 0);
    near(es_loss_binary((const float[]){0}, (const float[]){0.5F}, 1, 1, 1, NULL), log(2));
    near(es_loss_squares(even, (const float[]){1, 3, 1, 1}, 1, 4, 1, NULL), 1);
    const float likely[CLASSES] = {0.25F, 0.25F, 0.25F, 0.25F};
    near(es_loss_distil(even, likely, &first, 1, CLASSES, 1, 3, 1, NULL), 0);
    assert_int_equal(es_loss_right(sure, &first, 1, CLASSES), 1);
    assert_int_equal(es_loss_right(sure, &third, 1, CLASSES), 0);
    assert_int_equal(es_loss_right(even, &first, 1, CLASSES), 1); /* the first of equals */
}

/* The mean of two teachers; a hotter temperature is flatter; T^2 keeps the gradient's scale. */
static void teachers(void **state)
{
    (void)state;
    const float a[] = {2, 0};
    const float b[] = {0, 2};
    const float *both[] = {a, b};
    float out[2];
    es_loss_soften(both, 2, 1, 2, 1, out);
    near((double)out[0], 0.5);
    es_loss_soften(both, 1, 1, 2, 2, out);
    near((double)out[0], 1 / (1 + exp(-1)));
    const float scores[] = {0.3F, -0.1F};
    float hot[2], hotter[2];
    es_loss_soften(both, 1, 1, 2, 50, out);
    (void)es_loss_distil(scores, out, NULL, 1, 2, 1, 50, 1, hot);
    es_loss_soften(both, 1, 1, 2, 100, out);
    (void)es_loss_distil(scores, out, NULL, 1, 2, 1, 100, 1, hotter);
    if (!(fabs((double)(hot[0] / hotter[0]) - 1) < 0.02))
        fail_msg("gradients %g and %g should be alike", (double)hot[0], (double)hotter[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(known_values),
                                       cmocka_unit_test(teachers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
