/* Codes, scales and biases of layers against plain loops. */
#include "compress/testing/shared.h"

typedef struct drawn {
    const es_model *model;
    es_wiring w;
    es_layer layer;
    size_t groups;
} drawn;

/* One Conv (grouped by chance) or Gemm. */
static drawn draw(es_arena *arena, es_rng *rng)
{
    es_error err = {0};
    drawn d = {.groups = 1};
    bool conv = es_rng_below(rng, 2) == 0;
    int64_t in = 1 + (int64_t)es_rng_below(rng, 3);
    int64_t out = 1 + (int64_t)es_rng_below(rng, 4);
    bool turned = es_rng_below(rng, 2) == 0;
    es_model_build *b = es_model_build_new(arena, "layer", 13);
    if (conv) {
        d.groups = 1 + (size_t)es_rng_below(rng, 3);
        out *= (int64_t)d.groups;
        float_input(b, "x", DIMS(1, in * (int64_t)d.groups, 4, 4));
        random_weight(b, arena, rng, "w", DIMS(out, in, 2, 2), 1);
    } else {
        float_input(b, "x", DIMS(1, in));
        random_weight(b, arena, rng, "w", 2,
                      turned ? (const int64_t[]){out, in} : (const int64_t[]){in, out}, 1);
    }
    random_weight(b, arena, rng, "b", DIMS(out), 3);
    es_model_build_node(b, conv ? "Conv" : "Gemm", NULL, "", NAMES("x", "w", "b"), NAMES("y"));
    es_model_build_int(b, conv ? "group" : "transB", conv ? (int64_t)d.groups : turned);
    float_output(b, "y");
    d.model = finish(b);
    bool found = false;
    assert_ok_err(es_wiring_make(arena, d.model, &d.w, &err), err);
    assert_ok_err(es_layer_read(&d.w, 0, &d.layer, &found, &err), err);
    assert_true(found);
    return d;
}

static void codes_are_those_of_each_channel(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)64 << 20);
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + 200; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_arena_reset(arena);
        es_error err = {0};
        drawn d = draw(arena, &rng);
        const es_layer *l = &d.layer;
        int32_t limit = seed % 2 == 0 ? 127 : 63;
        float input_scale = 0.01f;
        double means[16];
        for (size_t i = 0; i < l->inputs; i++)
            means[i] = es_rng_normal(&rng);
        es_coded_weights coded;
        assert_ok_err(es_weights_code(arena, l, limit, input_scale, true, means, &coded, &err),
                      err);
        for (size_t c = 0; c < l->channels; c++) {
            double largest = 0;
            double shift = 0;
            for (size_t i = 0; i < l->count; i++) {
                if (es_layer_output_at(l, i) != c)
                    continue;
                double back = (double)coded.codes[i] * (double)coded.scales[c];
                largest = fmax(largest, fabs((double)l->weights[i]));
                shift += (back - (double)l->weights[i]) * means[es_layer_input_at(l, i)];
                assert_true(abs(coded.codes[i]) <= limit);
                assert_true(fabs(back - (double)l->weights[i]) <=
                            0.50001 * (double)coded.scales[c]);
            }
            assert_true(fabs((double)coded.scales[c] - largest / limit) < 1e-6);
            double step = (double)input_scale * (double)coded.scales[c];
            double bias = (double)coded.bias[c] * step;
            if (fabs(bias - (es_layer_bias(l, c) - shift)) > 0.51 * step)
                fail_msg("seed %" PRIu64 ": bias %g, wanted %g - %g", seed, bias,
                         es_layer_bias(l, c), shift);
        }
    }
    es_arena_free(arena);
}

/* Which input a weight is multiplied with, against the definition of each operator. */
static void inputs_are_those_of_the_group(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)64 << 20);
    for (uint64_t seed = 1; seed < 200; seed++) {
        es_rng rng = es_rng_make(seed, 1);
        es_arena_reset(arena);
        drawn d = draw(arena, &rng);
        const es_layer *l = &d.layer;
        const int64_t *dims = l->shape.tensor.dims;
        bool conv = es_wiring_is(&d.w, 0, "Conv");
        bool turned = es_model_attr_int(d.model, 0, "transB", 0) != 0;
        for (size_t i = 0; i < l->count; i++) {
            size_t out = 0;
            size_t in = 0;
            if (conv) {
                out = i / (size_t)(dims[1] * dims[2] * dims[3]);
                size_t per_group = (size_t)dims[0] / d.groups;
                in = out / per_group * (size_t)dims[1] +
                     i / (size_t)(dims[2] * dims[3]) % (size_t)dims[1];
            } else {
                out = turned ? i / (size_t)dims[1] : i % (size_t)dims[1];
                in = turned ? i % (size_t)dims[1] : i / (size_t)dims[1];
            }
            assert_int_equal(es_layer_output_at(l, i), out);
            assert_int_equal(es_layer_input_at(l, i), in);
        }
    }
    es_arena_free(arena);
}

/* A bias far larger than what the scales reach makes the scale larger, not the bias wrong; a
 * channel of zeros has a scale that its bias can be told in. */
static void biases_fit(void **state)
{
    (void)state;
    es_arena *arena = es_arena_new((size_t)64 << 20);
    es_error err = {0};
    es_model_build *b = es_model_build_new(arena, "layer", 13);
    const float w[4] = {1e-6f, 2e-6f, 0, 0};
    const float bias[2] = {50, 0.3f};
    float_input(b, "x", DIMS(1, 2));
    es_model_build_weight(b, "w", ES_MODEL_FLOAT, DIMS(2, 2), w, sizeof w);
    es_model_build_weight(b, "b", ES_MODEL_FLOAT, DIMS(2), bias, sizeof bias);
    es_model_build_node(b, "Gemm", NULL, "", NAMES("x", "w", "b"), NAMES("y"));
    es_model_build_int(b, "transB", 1);
    float_output(b, "y");
    es_wiring wiring;
    es_layer layer;
    bool found = false;
    es_coded_weights coded;
    const es_model *model = finish(b);
    assert_ok_err(es_wiring_make(arena, model, &wiring, &err), err);
    assert_ok_err(es_layer_read(&wiring, 0, &layer, &found, &err), err);
    assert_ok_err(es_weights_code(arena, &layer, 127, 1e-4f, true, NULL, &coded, &err), err);
    for (size_t c = 0; c < 2; c++) {
        double back = (double)coded.bias[c] * 1e-4 * (double)coded.scales[c];
        assert_true(fabs(back - (double)bias[c]) < 1e-3 * (double)bias[c]);
    }
    es_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes_are_those_of_each_channel),
                                       cmocka_unit_test(inputs_are_those_of_the_group),
                                       cmocka_unit_test(biases_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
