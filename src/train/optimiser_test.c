/* Optimisers against another program's numbers; rates; what augmentation does and does not. */
#include "es_test.h"
#include "train/train.h"

#include <math.h>

static es_arena *arena;
static es_error err;

static int start(void **state)
{
    (void)state;
    arena = es_arena_new((size_t)16 << 20);
    err = (es_error){0};
    return arena == NULL;
}

static int stop(void **state)
{
    (void)state;
    es_arena_free(arena);
    return 0;
}

static void near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance))
        fail_msg("%.9g, wanted %.9g", got, wanted);
}

/* ---- optimisers ---- */

enum { VALUES = 3, STEPS = 4 };

static void walk(es_optimiser_opts opts, double rate, es_nn_role role, float values[VALUES])
{
    static const float gradients[STEPS][VALUES] = {
        {0.5F, -0.25F, 1}, {-0.1F, 0.3F, 0.2F}, {0.05F, 0.4F, -0.6F}, {0.2F, -0.2F, 0.1F}};
    float gradient[VALUES];
    es_train_param param = {.role = role, .count = VALUES, .values = values, .gradient = gradient};
    es_train_params params = {.items = &param, .count = 1, .total = VALUES};
    es_optimiser optimiser;
    assert_ok_err(es_optimiser_init(arena, &params, opts, &optimiser, &err), err);
    for (size_t i = 0; i < STEPS; i++) {
        memcpy(gradient, gradients[i], sizeof gradient);
        (void)es_optimiser_step(&optimiser, rate);
    }
    assert_int_equal(optimiser.step, STEPS);
}

/* What PyTorch 1.13 gives in double precision for the same gradients. */
static void known_optimisers(void **state)
{
    (void)state;
    es_optimiser_opts plain = es_optimiser_opts_default();
    es_optimiser_opts nesterov = es_optimiser_opts_default();
    es_optimiser_opts adam = es_optimiser_opts_default();
    plain.nesterov = false;
    nesterov.weight_decay = 0.01;
    adam.kind = ES_OPTIMISER_ADAM;
    adam.weight_decay = 0.1;
    es_optimiser_opts adamw = adam;
    adamw.kind = ES_OPTIMISER_ADAMW;
    const struct {
        es_optimiser_opts opts;
        double rate, wanted[VALUES];
    } cases[] = {
        {plain, 0.1, {0.825650000, -2.051325000, 0.205900000}},
        {nesterov, 0.1, {0.766909471, -2.047029308, 0.161282611}},
        {adam, 0.01, {0.969399169, -1.979978698, 0.476058181}},
        {adamw, 0.01, {0.970793846, -1.990969688, 0.475703707}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        float values[VALUES] = {1, -2, 0.5F};
        walk(cases[c].opts, cases[c].rate, ES_NN_WEIGHT, values);
        for (size_t i = 0; i < VALUES; i++)
            near((double)values[i], cases[c].wanted[i], 5e-7);
    }
}

static void decay_spares_biases(void **state)
{
    (void)state;
    es_optimiser_opts opts = es_optimiser_opts_default();
    float without[VALUES] = {1, -2, 0.5F};
    float with[VALUES] = {1, -2, 0.5F};
    float all[VALUES] = {1, -2, 0.5F};
    walk(opts, 0.1, ES_NN_BETA, without);
    opts.weight_decay = 0.1;
    walk(opts, 0.1, ES_NN_BETA, with);
    assert_memory_equal(with, without, sizeof with);
    opts.decay_all = true;
    walk(opts, 0.1, ES_NN_BETA, all);
    assert_true(all[0] < with[0]);
}

static void clipping(void **state)
{
    (void)state;
    es_optimiser_opts opts = es_optimiser_opts_default();
    float values[2] = {0, 0};
    float gradient[2] = {3, 4};
    es_train_param param = {
        .role = ES_NN_WEIGHT, .count = 2, .values = values, .gradient = gradient};
    es_train_params params = {.items = &param, .count = 1, .total = 2};
    es_optimiser optimiser;
    opts.momentum = 0;
    opts.clip_norm = 1;
    assert_ok_err(es_optimiser_init(arena, &params, opts, &optimiser, &err), err);
    near(es_optimiser_step(&optimiser, 1), 5, 1e-9);
    near((double)values[0], -0.6, 1e-6);
    near((double)values[1], -0.8, 1e-6);
    gradient[0] = NAN;
    assert_true(isnan(es_optimiser_step(&optimiser, 1)));
    opts.momentum = 1;
    assert_fails(es_optimiser_init(arena, &params, opts, &optimiser, &err), ES_ERR_ARG, err,
                 "momentum=1");
}

/* ---- rates ---- */

static void rates(void **state)
{
    (void)state;
    es_rate_opts opts = es_rate_opts_default();
    opts.rate = 2;
    opts.warm_up = 0.2;
    near(es_rate_at(&opts, 0.1), 1, 1e-12);
    near(es_rate_at(&opts, 0.2), 2, 1e-12);
    near(es_rate_at(&opts, 0.6), 1, 1e-12); /* half of the cosine */
    near(es_rate_at(&opts, 1), 0, 1e-12);
    opts.last = 0.5;
    near(es_rate_at(&opts, 0.6), 1.5, 1e-12);
    opts.kind = ES_RATE_LINEAR;
    near(es_rate_at(&opts, 0.4), 1.75, 1e-12);
    near(es_rate_at(&opts, 1), 1, 1e-12);
    opts.kind = ES_RATE_CONSTANT;
    near(es_rate_at(&opts, 0.99), 2, 1e-12);
    opts.kind = ES_RATE_STEP;
    near(es_rate_at(&opts, 0.49), 2, 1e-12);
    near(es_rate_at(&opts, 0.5), 0.2, 1e-12);
    near(es_rate_at(&opts, 0.9), 0.02, 1e-12);
}

/* ---- augmentation ---- */

static const es_nn_shape image = {.rank = 3, .dims = {1, 3, 4}, .count = 12};

static void fill_image(float *x)
{
    for (size_t i = 0; i < 12; i++)
        x[i] = (float)(i + 1);
}

/* Every result is the image moved or mirrored, with 0 where nothing was; all moves come up. */
static void shift_and_flip(void **state)
{
    (void)state;
    es_augment_opts opts = {.shift = 1, .flip = true};
    es_rng rng = es_rng_make(1, 0);
    bool met[3][3][2] = {0};
    float x[12], scratch[12];
    for (size_t trial = 0; trial < 500; trial++) {
        fill_image(x);
        es_augment(&opts, image, &rng, 1, x, scratch);
        size_t matches = 0;
        for (int down = -1; down <= 1; down++)
            for (int right = -1; right <= 1; right++)
                for (int mirror = 0; mirror <= 1; mirror++) {
                    bool same = true;
                    for (int r = 0; r < 3; r++)
                        for (int c = 0; c < 4; c++) {
                            int row = r + down;
                            int column = (mirror ? 3 - c : c) + right;
                            bool inside = row >= 0 && row < 3 && column >= 0 && column < 4;
                            float wanted = inside ? (float)(row * 4 + column + 1) : 0;
                            same = same && x[r * 4 + c] == wanted;
                        }
                    matches += same;
                    met[down + 1][right + 1][mirror] |= same;
                }
        assert_int_equal(matches, 1);
    }
    for (size_t i = 0; i < 18; i++)
        assert_true(((bool *)met)[i]);
}

static void erase_noise_stretch(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(2, 0);
    float x[12], scratch[12];
    size_t erased = 0;
    double squares = 0;
    for (size_t trial = 0; trial < 400; trial++) {
        fill_image(x);
        es_augment(&(es_augment_opts){.erase = 2, .fill = -1}, image, &rng, 1, x, scratch);
        for (size_t i = 0; i < 12; i++) {
            assert_true(x[i] == -1 || x[i] == (float)(i + 1));
            erased += x[i] == -1;
        }
        fill_image(x);
        es_augment(&(es_augment_opts){.noise = 0.5}, image, &rng, 1, x, scratch);
        for (size_t i = 0; i < 12; i++)
            squares += pow((double)x[i] - (double)(i + 1), 2);
        fill_image(x);
        es_augment(&(es_augment_opts){.stretch = 0.25}, image, &rng, 1, x, scratch);
        assert_true(x[0] >= 0.75F);
        assert_true(x[0] <= 1.25F);
        near((double)(x[11] / x[0]), 12, 1e-4);
    }
    assert_true(erased > 400);
    assert_true(erased <= 1600);
    near(sqrt(squares / 4800), 0.5, 0.03);
}

static void mixup(void **state)
{
    (void)state;
    es_rng rng = es_rng_make(3, 0);
    const uint32_t labels[2] = {0, 2};
    float x[4], targets[6], scratch[4];
    double sum = 0;
    double spread = 0;
    for (size_t trial = 0; trial < 4000; trial++) {
        const float given[4] = {1, 1, 0, 0};
        memcpy(x, given, sizeof x);
        es_augment_mixup(0.4, &rng, 2, 2, 3, labels, x, targets, scratch);
        near((double)targets[0], (double)x[0], 1e-6);
        near((double)(targets[0] + targets[2]), 1, 1e-6);
        near((double)(x[0] + x[2]), 1, 1e-6);
        assert_true(targets[1] == 0);
        sum += (double)x[0];
        spread += pow((double)x[0] - 0.5, 2);
    }
    near(sum / 4000, 0.5, 0.03);
    near(spread / 4000, 1 / (4 * (2 * 0.4 + 1)), 0.01); /* variance of Beta(0.4, 0.4) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_optimisers, start, stop),
        cmocka_unit_test_setup_teardown(decay_spares_biases, start, stop),
        cmocka_unit_test_setup_teardown(clipping, start, stop),
        cmocka_unit_test(rates),
        cmocka_unit_test(shift_and_flip),
        cmocka_unit_test(erase_noise_stretch),
        cmocka_unit_test(mixup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
