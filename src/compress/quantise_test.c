/* Quantised models against what the scales allow, and against the float model. */
#include "compress/testing/shared.h"

static es_quantise_opts few_samples(size_t samples)
{
    es_quantise_opts opts = es_quantise_opts_default();
    opts.samples = samples;
    opts.method = ES_RANGE_MINMAX;
    opts.equalise = ES_CHOICE_NO;
    opts.correct = ES_CHOICE_NO;
    opts.reduce = ES_CHOICE_NO;
    return opts;
}

/* ---- one layer: the error is bounded by the scales ---- */

typedef struct layer_case {
    const es_model *model;
    es_dataset set;
    int64_t channels, fan_in;
    bool conv;
} layer_case;

static layer_case draw_layer(fixture *all, es_rng *rng)
{
    layer_case l = {.conv = es_rng_below(rng, 3) > 0};
    int64_t groups = l.conv ? 1 + (int64_t)es_rng_below(rng, 2) : 1;
    int64_t in = 1 + (int64_t)es_rng_below(rng, 5);
    int64_t kernel = 1 + (int64_t)es_rng_below(rng, 3);
    l.channels = groups * (1 + (int64_t)es_rng_below(rng, 20));
    l.fan_in = in * (l.conv ? kernel * kernel : 1);
    es_model_build *b = es_model_build_new(all->arena, "layer", 13);
    bool turned = es_rng_below(rng, 2) == 0;
    if (l.conv) {
        float_input(b, "x", DIMS(1, in * groups, 9, 8));
        l.set = make_samples(all->arena, rng, 8, DIMS(in * groups, 9, 8), es_rng_below(rng, 2));
        random_weight(b, all->arena, rng, "w", DIMS(l.channels, in, kernel, kernel), 1);
    } else {
        float_input(b, "x", DIMS(1, in));
        l.set = make_samples(all->arena, rng, 8, DIMS(in), es_rng_below(rng, 2));
        random_weight(
            b, all->arena, rng, "w", 2,
            turned ? (const int64_t[]){l.channels, in} : (const int64_t[]){in, l.channels}, 1);
    }
    random_weight(b, all->arena, rng, "b", DIMS(l.channels), 1);
    bool biased = es_rng_below(rng, 2) == 0;
    es_model_build_node(b, l.conv ? "Conv" : "Gemm", NULL, "", NAMES("x", "w", biased ? "b" : NULL),
                        NAMES("y"));
    if (l.conv) {
        int64_t stride = 1 + (int64_t)es_rng_below(rng, 2);
        int64_t dilation = 1 + (int64_t)es_rng_below(rng, 2);
        es_model_build_int(b, "group", groups);
        es_model_build_ints(b, "strides", (const int64_t[]){stride, 1}, 2);
        es_model_build_ints(b, "dilations", (const int64_t[]){1, dilation}, 2);
        es_model_build_ints(b, "pads", (const int64_t[]){0, 1, kernel / 2, 1}, 4);
    } else {
        es_model_build_int(b, "transB", turned);
    }
    float_output(b, "y");
    l.model = finish(b);
    return l;
}

typedef struct worst {
    double *of; /* by channel */
    size_t channels;
    bool conv;
} worst;

/* The largest difference in each channel over all samples. */
static void measure_worst(fixture *all, const layer_case *l, const es_model *other, worst *out)
{
    es_error err = {0};
    es_compress_job job = job_of(all, l->model, &l->set);
    const char *name = "y";
    es_probe a;
    es_probe b;
    assert_ok_err(es_probe_open(&job, all->arena, l->model, &job.fit, &name, 1, &a, &err), err);
    assert_ok_err(es_probe_open(&job, all->arena, other, &job.fit, &name, 1, &b, &err), err);
    for (size_t s = 0; s < l->set.count; s++) {
        assert_ok_err(es_probe_run(&a, s, &err), err);
        assert_ok_err(es_probe_run(&b, s, &err), err);
        const float *x = es_probe_value(&a, 0)->data;
        const float *y = es_probe_value(&b, 0)->data;
        size_t count = es_tensor_count(es_probe_value(&a, 0));
        assert_int_equal(es_tensor_count(es_probe_value(&b, 0)), count);
        for (size_t i = 0; i < count; i++) {
            size_t c = out->conv ? i / (count / out->channels) : i % out->channels;
            out->of[c] = fmax(out->of[c], fabs((double)x[i] - (double)y[i]));
        }
    }
    es_probe_close(&a);
    es_probe_close(&b);
}

static void errors_of_a_layer_are_bounded_by_its_scales(void **state)
{
    fixture *all = fixture_get(state);
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + 80; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_error err = {0};
        es_arena_reset(all->arena);
        layer_case l = draw_layer(all, &rng);
        es_compress_job job = job_of(all, l.model, &l.set);
        const es_model *quantised = NULL;
        es_quantise_report report;
        assert_ok_err(es_quantise(&job, few_samples(8), &quantised, &report, &err), err);
        double low = 0;
        double high = 0;
        const float *x = l.set.x.bytes;
        for (size_t i = 0; i < l.set.x.count; i++) {
            low = fmin(low, (double)x[i]);
            high = fmax(high, (double)x[i]);
        }
        double s_x = (double)es_affine_u8(low, high).scale;
        double x_max = fmax(-low, high) + s_x;
        double s_y = l.conv ? report.layers[0].scale : 0;
        es_wiring w;
        es_layer layer;
        bool found = false;
        assert_ok_err(es_wiring_make(all->arena, l.model, &w, &err), err);
        assert_ok_err(es_layer_read(&w, 0, &layer, &found, &err), err);
        worst got = {.of = ES_TAKE_ARRAY(all->arena, double, (size_t)l.channels),
                     .channels = (size_t)l.channels,
                     .conv = l.conv};
        assert_non_null(got.of);
        measure_worst(all, &l, quantised, &got);
        for (size_t c = 0; c < got.channels; c++) {
            double sum = 0;
            double largest = 0;
            for (size_t i = 0; i < layer.count; i++) {
                double weight = fabs((double)layer.weights[i]);
                if (es_layer_output_at(&layer, i) != c)
                    continue;
                sum += weight;
                largest = fmax(largest, weight);
            }
            double s_w = largest / 127;
            /* the zero point of x is rounded, so its ends may miss by a whole step */
            double bound = s_x * sum + 0.5 * s_w * (double)l.fan_in * x_max + 0.5 * s_x * s_w +
                           1.001 * s_y + 1e-4;
            if (got.of[c] > bound)
                fail_msg("seed %" PRIu64 " channel %zu: error %g, bound %g", seed, c, got.of[c],
                         bound);
        }
    }
}

/* ---- nets of everything ---- */

typedef struct net {
    es_model_build *b;
    es_arena *arena;
    es_rng *rng;
    char at[24]; /* the value that the next operator takes */
    int64_t channels, rows;
    int number;
} net;

static const char *value_name(net *n)
{
    return es_arena_format(n->arena, "v%d", n->number++);
}

static void step_to(net *n, const char *name)
{
    (void)snprintf(n->at, sizeof n->at, "%s", name);
}

static const char *add_conv(net *n, const char *from, int64_t channels, int64_t kernel,
                            int64_t groups)
{
    const char *y = value_name(n);
    const char *w = es_arena_format(n->arena, "w%d", n->number);
    const char *bias = es_arena_format(n->arena, "b%d", n->number);
    int64_t in = n->channels / groups;
    random_weight(n->b, n->arena, n->rng, w, DIMS(channels, in, kernel, kernel),
                  1 / sqrt((double)(in * kernel * kernel)));
    random_weight(n->b, n->arena, n->rng, bias, DIMS(channels), 0.2);
    es_model_build_node(n->b, "Conv", NULL, y, NAMES(from, w, bias), NAMES(y));
    es_model_build_int(n->b, "group", groups);
    es_model_build_ints(n->b, "pads",
                        (const int64_t[]){kernel / 2, kernel / 2, kernel / 2, kernel / 2}, 4);
    return y;
}

static const char *add_unary(net *n, const char *op, const char *from)
{
    const char *y = value_name(n);
    es_model_build_node(n->b, op, NULL, y, NAMES(from), NAMES(y));
    return y;
}

static const char *add_binary(net *n, const char *op, const char *a, const char *b)
{
    const char *y = value_name(n);
    es_model_build_node(n->b, op, NULL, y, NAMES(a, b), NAMES(y));
    return y;
}

/* A block with a branch, or an operator that is between quantised and float. */
static void grow(net *n)
{
    const char *x = es_arena_text(n->arena, n->at);
    const char *y = NULL;
    switch (es_rng_below(n->rng, 9)) {
    case 0: /* residual */
        y = add_conv(n, x, n->channels, 3, 1);
        y = add_unary(n, "Relu", add_binary(n, "Add", x, y));
        break;
    case 1: /* two branches side by side */
        y = add_unary(n, "Relu", add_conv(n, x, 4, 3, 1));
        y = add_binary(n, "Concat", y, add_conv(n, x, 6, 1, 1));
        es_model_build_int(n->b, "axis", 1);
        n->channels = 10;
        break;
    case 2: /* depthwise, then pointwise */
        y = add_unary(n, "Relu", add_conv(n, x, n->channels, 3, n->channels));
        y = add_conv(n, y, 8, 1, 1);
        n->channels = 8;
        break;
    case 3: /* squeeze and excite */
        y = add_unary(n, "Sigmoid",
                      add_conv(n, add_unary(n, "GlobalAveragePool", x), n->channels, 1, 1));
        y = add_binary(n, "Mul", x, y);
        break;
    case 4:
        y = add_unary(n, n->rows > 2 ? "MaxPool" : "Relu", x);
        if (n->rows > 2) {
            es_model_build_ints(n->b, "kernel_shape", (const int64_t[]){2, 2}, 2);
            es_model_build_ints(n->b, "strides", (const int64_t[]){2, 2}, 2);
            n->rows /= 2;
        }
        break;
    case 5: /* no integer kernel */
        y = add_unary(n, "HardSigmoid", x);
        y = add_binary(n, "Mul", x, y);
        break;
    case 6: /* there and back */
        y = add_unary(n, "Transpose", x);
        es_model_build_ints(n->b, "perm", (const int64_t[]){0, 1, 3, 2}, 4);
        y = add_conv(n, y, n->channels, 1, 1);
        break;
    case 7: { /* a constant beside the activation */
        const char *c = es_arena_format(n->arena, "c%d", n->number);
        random_weight(n->b, n->arena, n->rng, c, DIMS(1, n->channels, 1, 1), 1);
        y = add_binary(n, "Mul", add_unary(n, "Relu", add_conv(n, x, n->channels, 3, 1)), c);
        break;
    }
    default: /* both halves of the channels, swapped */
        if (n->channels % 2 == 0) {
            const char *a = value_name(n);
            const char *c = value_name(n);
            es_model_build_node(n->b, "Split", NULL, a, NAMES(x), NAMES(a, c));
            es_model_build_int(n->b, "axis", 1);
            y = add_binary(n, "Concat", c, a);
            es_model_build_int(n->b, "axis", 1);
        } else {
            y = add_unary(n, "LeakyRelu", x);
        }
        break;
    }
    step_to(n, y);
}

static const es_model *draw_net(fixture *all, es_rng *rng, es_dataset *set)
{
    net n = {.b = es_model_build_new(all->arena, "net", 13),
             .arena = all->arena,
             .rng = rng,
             .at = "x",
             .channels = 3,
             .rows = 8};
    float_input(n.b, "x", DIMS(1, 3, 8, 8));
    step_to(&n, add_unary(&n, "Relu", add_conv(&n, "x", 8, 3, 1)));
    n.channels = 8;
    for (size_t depth = 2 + (size_t)es_rng_below(rng, 5); depth > 0; depth--)
        grow(&n);
    int64_t wide = n.channels;
    step_to(&n, add_unary(&n, "GlobalAveragePool", n.at));
    step_to(&n, add_unary(&n, "Flatten", n.at));
    random_weight(n.b, all->arena, rng, "w_end", DIMS(wide, 5), 1);
    random_weight(n.b, all->arena, rng, "b_end", DIMS(5), 0.1);
    const char *d = add_binary(&n, "MatMul", n.at, "w_end");
    es_model_build_node(n.b, "Add", NULL, "", NAMES(d, "b_end"), NAMES("y"));
    float_output(n.b, "y");
    *set = make_samples(all->arena, rng, 12, DIMS(3, 8, 8), false);
    return finish(n.b);
}

/* Whatever only moves codes has the same scale in and out. */
static void check_moves(const es_model *model)
{
    es_error err = {0};
    es_wiring w;
    es_arena *arena = es_arena_new((size_t)64 << 20);
    static const char *const moves[] = {"MaxPool", "Transpose", "Flatten", "Split"};
    assert_ok_err(es_wiring_make(arena, model, &w, &err), err);
    for (size_t n = 0; n < w.node_count; n++) {
        bool move = false;
        for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
            move = move || es_wiring_is(&w, n, moves[i]);
        size_t before = move ? w.values[w.inputs[n][0]].maker : ES_NONE;
        if (!es_wiring_is(&w, before, "DequantizeLinear"))
            continue;
        const es_wire *y = &w.values[w.outputs[n][0]];
        for (size_t i = 0; i < y->use_count; i++) {
            size_t after = y->uses[i].node;
            if (es_wiring_is(&w, after, "QuantizeLinear"))
                assert_string_equal(w.ops[after].inputs[1], w.ops[before].inputs[1]);
        }
    }
    es_arena_free(arena);
}

static void nets_stay_near(void **state)
{
    fixture *all = fixture_get(state);
    uint64_t first = es_test_seed(1);
    double sum = 0;
    size_t quantised_count = 0;
    for (uint64_t seed = first; seed < first + 60; seed++) {
        es_rng rng = es_rng_make(seed, 0);
        es_error err = {0};
        es_arena_reset(all->arena);
        es_dataset set;
        const es_model *model = draw_net(all, &rng, &set);
        const es_model *quantised = NULL;
        es_quantise_report report;
        es_compress_job job = job_of(all, model, &set);
        es_quantise_opts opts = few_samples(12);
        opts.signed_activations = seed % 4 == 3;
        opts.equalise = seed % 3 == 0 ? ES_CHOICE_YES : ES_CHOICE_NO;
        opts.correct = seed % 2 == 0 ? ES_CHOICE_YES : ES_CHOICE_NO;
        assert_ok_err(es_quantise(&job, opts, &quantised, &report, &err), err);
        check_moves(quantised);
        double noise = noise_between(all, model, quantised, &set);
        if (!(noise < 0.02)) /* 17 dB */
            fail_msg("seed %" PRIu64 ": noise %g", seed, noise);
        for (size_t i = 0; i < report.layer_count; i++) {
            const es_quantise_layer *l = &report.layers[i];
            quantised_count += l->quantised;
            assert_true(l->quantised == (l->why_not == NULL));
            if (strcmp(l->op, "Conv") == 0 && !(l->output_sqnr_db > 12 && l->weight_sqnr_db > 30))
                fail_msg("seed %" PRIu64 ": layer '%s' %g dB, weights %g dB", seed, l->output,
                         l->output_sqnr_db, l->weight_sqnr_db);
        }
        sum += noise;
    }
    print_message("mean noise %.5f, %zu layers quantised\n", sum / 60, quantised_count);
    assert_true(quantised_count > 400);
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(5, 0);
    es_dataset set;
    const es_model *model = draw_net(all, &rng, &set);
    es_compress_job job = job_of(all, model, &set);
    es_quantise_opts opts = es_quantise_opts_default();
    opts.samples = 6;
    const void *bytes[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    for (size_t i = 0; i < 2; i++) {
        const es_model *quantised = NULL;
        assert_ok_err(es_quantise(&job, opts, &quantised, NULL, &err), err);
        assert_ok_err(es_model_bytes(all->arena, quantised, &bytes[i], &sizes[i], &err), err);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
}

/* ---- choices ---- */

/* x -> Conv -> Clip(0, 6) -> Conv -> y, with the output of the first going out too. */
static const es_model *two_convs(fixture *all, es_rng *rng, bool both_out)
{
    es_model_build *b = es_model_build_new(all->arena, "two", 13);
    const float low = 0;
    const float high = 6;
    float_input(b, "x", DIMS(1, 3, 6, 6));
    random_weight(b, all->arena, rng, "w1", DIMS(8, 3, 3, 3), 1);
    random_weight(b, all->arena, rng, "w2", DIMS(4, 8, 1, 1), 1);
    es_model_build_weight(b, "low", ES_MODEL_FLOAT, 0, NULL, &low, sizeof low);
    es_model_build_weight(b, "high", ES_MODEL_FLOAT, 0, NULL, &high, sizeof high);
    es_model_build_node(b, "Conv", NULL, "one", NAMES("x", "w1"), NAMES("c1"));
    es_model_build_node(b, "Clip", NULL, "clip", NAMES("c1", "low", "high"), NAMES("r1"));
    es_model_build_node(b, "Conv", NULL, "two", NAMES("r1", "w2"), NAMES("y"));
    if (both_out)
        float_output(b, "r1");
    float_output(b, "y");
    return finish(b);
}

static void clips_become_ranges(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(1, 0);
    es_dataset set = make_samples(all->arena, &rng, 20, DIMS(3, 6, 6), false);
    for (int i = 0; i < 4; i++) {
        bool is_signed = i >= 2;
        const es_model *model = two_convs(all, &rng, i % 2 == 1);
        const es_model *quantised = NULL;
        es_quantise_report report;
        es_compress_job job = job_of(all, model, &set);
        es_quantise_opts opts = few_samples(20);
        opts.signed_activations = is_signed;
        assert_ok_err(es_quantise(&job, opts, &quantised, &report, &err), err);
        assert_int_equal(count_ops(quantised, "Clip"), is_signed ? 1 : 0);
        assert_int_equal(count_ops(quantised, "QuantizeLinear"), 3);
        assert_true(fabs(report.layers[1].high - 6) < 1e-5);
        assert_true(report.layers[1].low == (is_signed ? -report.layers[1].high : 0.0));
        assert_int_equal(es_model_output_count(quantised), es_model_output_count(model));
        assert_string_equal(es_model_output(quantised, 0)->name, es_model_output(model, 0)->name);
        assert_true(noise_between(all, model, quantised, &set) < 1e-3);
    }
}

static void weights_can_be_reduced(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(2, 0);
    es_dataset set = make_samples(all->arena, &rng, 20, DIMS(3, 6, 6), false);
    es_compress_job job = job_of(all, two_convs(all, &rng, false), &set);
    es_quantise_opts opts = few_samples(20);
    for (int i = 0; i < 2; i++) {
        const es_model *quantised = NULL;
        es_quantise_report report;
        int64_t largest = 0;
        opts.reduce = i == 0 ? ES_CHOICE_NO : ES_CHOICE_YES;
        assert_ok_err(es_quantise(&job, opts, &quantised, &report, &err), err);
        assert_int_equal(report.reduced, i == 1);
        for (size_t k = 0; k < es_model_weight_count(quantised); k++) {
            es_model_weight weight = es_model_weight_at(quantised, k);
            const int64_t *codes = NULL;
            if (weight.tensor.type != ES_MODEL_INT8)
                continue;
            assert_ok_err(es_model_ints(all->arena, &weight, &codes, &err), err);
            for (int64_t c = 0; c < weight.tensor.elements; c++)
                largest = llabs(codes[c]) > largest ? llabs(codes[c]) : largest;
        }
        assert_int_equal(largest, i == 0 ? 127 : 63);
    }
}

static void what_is_skipped_stays_float(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(3, 0);
    es_dataset set = make_samples(all->arena, &rng, 20, DIMS(3, 6, 6), false);
    es_compress_job job = job_of(all, two_convs(all, &rng, false), &set);
    es_quantise_opts opts = few_samples(20);
    const es_model *quantised = NULL;
    es_quantise_report report;
    opts.skip = "two";
    assert_ok_err(es_quantise(&job, opts, &quantised, &report, &err), err);
    assert_true(report.layers[0].quantised);
    assert_false(report.layers[2].quantised);
    assert_string_equal(report.layers[2].why_not, "skipped as asked");
    opts.skip = "three";
    assert_fails(es_quantise(&job, opts, &quantised, &report, &err), ES_ERR_ARG, err,
                 "skip 'three': no node has that name");
    opts.skip = "one|two";
    assert_fails(es_quantise(&job, opts, &quantised, &report, &err), ES_ERR_UNSUPPORTED, err,
                 "nothing to quantise");
}

/* Bias correction brings the mean of the output back; equalisation helps uneven channels. */
static void corrections_help(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(4, 0);
    es_dataset set = make_samples(all->arena, &rng, 64, DIMS(4, 6, 6), true); /* mean 1/2 */
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 4, 6, 6));
    float w1[8 * 4 * 9];
    for (size_t i = 0; i < sizeof w1 / sizeof *w1; i++) /* one weight that spoils the scale */
        w1[i] = (float)(0.02 * es_rng_normal(&rng) + (i % 36 == 0 ? 3 : 0));
    es_model_build_weight(b, "w1", ES_MODEL_FLOAT, DIMS(8, 4, 3, 3), w1, sizeof w1);
    es_model_build_node(b, "Conv", NULL, "", NAMES("x", "w1"), NAMES("y"));
    float_output(b, "y");
    es_compress_job job = job_of(all, finish(b), &set);
    es_quantise_opts opts = few_samples(64);
    double noise[2];
    for (int i = 0; i < 2; i++) {
        const es_model *quantised = NULL;
        es_quantise_report report;
        opts.correct = i == 0 ? ES_CHOICE_NO : ES_CHOICE_YES;
        assert_ok_err(es_quantise(&job, opts, &quantised, &report, &err), err);
        assert_int_equal(report.corrected, i == 1);
        noise[i] = noise_between(all, job.model, quantised, &set);
    }
    assert_true(noise[1] < 0.8 * noise[0]);
}

static void mistakes_are_told(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(6, 0);
    const es_model *quantised = NULL;
    es_dataset set = make_samples(all->arena, &rng, 4, DIMS(3, 6, 6), false);
    es_compress_job job = job_of(all, two_convs(all, &rng, false), &set);
    assert_fails(es_quantise(&job, few_samples(5), &quantised, NULL, &err), ES_ERR_ARG, err,
                 "5 samples to calibrate with, but only 4 are there");
    float *values = ES_TAKE_ARRAY(all->arena, float, set.x.count);
    assert_non_null(values);
    memcpy(values, set.x.bytes, set.x.count * sizeof *values);
    values[7] = (float)NAN;
    set.x.bytes = values;
    assert_fails(es_quantise(&job, few_samples(4), &quantised, NULL, &err), ES_ERR_ARG, err,
                 "becomes NaN or infinite on the calibration samples");
    es_dataset wrong = make_samples(all->arena, &rng, 4, DIMS(3, 6, 7), false);
    job.fit.dataset = &wrong;
    assert_fails(es_quantise(&job, few_samples(4), &quantised, NULL, &err), ES_ERR_ARG, err,
                 "is 1 x 3 x 6 x 6, samples of 'made' are 3 x 6 x 7");
    es_model_build *b = es_model_build_new(all->arena, "old", 5);
    float_input(b, "x", DIMS(1, 4));
    es_model_build_node(b, "Relu", NULL, "", NAMES("x"), NAMES("y"));
    float_output(b, "y");
    job.model = finish(b);
    assert_fails(es_quantise(&job, few_samples(4), &quantised, NULL, &err), ES_ERR_UNSUPPORTED, err,
                 "opset 5: upgrading needs at least 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_a_layer_are_bounded_by_its_scales),
        cmocka_unit_test(nets_stay_near),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(clips_become_ranges),
        cmocka_unit_test(weights_can_be_reduced),
        cmocka_unit_test(what_is_skipped_stays_float),
        cmocka_unit_test(corrections_help),
        cmocka_unit_test(mistakes_are_told)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
