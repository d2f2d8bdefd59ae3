/* Datasets from files, real ones where they are there; parts, batches, synthetic data. */
#include "base/file.h"
#include "data/data.h"
#include "es_test.h"

#include <math.h>

/* Both as doubles, so that floats may be given. */
#define near(got, wanted, tolerance)                                                               \
    do {                                                                                           \
        double got_ = (double)(got);                                                               \
        double wanted_ = (double)(wanted);                                                         \
        if (!(fabs(got_ - wanted_) <= (tolerance)))                                                \
            fail_msg("%s: %.17g, wanted %.17g", #got, got_, wanted_);                              \
    } while (0)

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

static char *real(const char *name)
{
    const char *path = es_test_data(name);
    if (path == NULL)
        skip();
    return es_arena_text(arena, path);
}

static es_dataset load(const char *path, const char *labels, es_dataset_opts opts)
{
    es_dataset set = {0};
    assert_ok_err(es_dataset_load(arena, path, labels, opts, &set, &err), err);
    return set;
}

/* ---- real data ---- */

static void mnist_and_fashion(void **state)
{
    (void)state;
    const char *x = real("mnist/t10k-part-images-idx3-ubyte.gz");
    const char *y = real("mnist/t10k-part-labels-idx1-ubyte.gz");
    es_dataset set = load(x, y, es_dataset_opts_default());
    assert_int_equal(set.count, 5000);
    assert_int_equal(set.size, 784);
    assert_int_equal(set.x.rank, 4);
    assert_int_equal(set.x.dims[1], 1);
    assert_int_equal(set.class_count, 10);
    const uint32_t first[] = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9}; /* of MNIST's test set */
    assert_memory_equal(set.labels, first, sizeof first);
    x = real("fashion-mnist/train60k-images-idx3-ubyte.gz");
    y = real("fashion-mnist/train60k-labels-idx1-ubyte.gz");
    set = load(x, y, es_dataset_opts_default());
    assert_int_equal(set.count, 60000);
    size_t counts[10];
    es_dataset_class_counts(&set, counts);
    for (size_t c = 0; c < 10; c++)
        assert_int_equal(counts[c], 6000);
    es_scaling scaling;
    assert_ok_err(es_scaling_fit(arena, &set, NULL, &scaling, &err), err);
    near(scaling.mean[0], 0.2860 * 255, 0.05); /* the usual constants */
    near(1 / (double)scaling.factor[0], 0.3530 * 255, 0.05);
}

static void cifar_records(void **state)
{
    (void)state;
    es_dataset set = load(real("cifar10/test_1000.bin.gz"), NULL, es_dataset_opts_default());
    assert_int_equal(set.count, 1000);
    assert_int_equal(set.size, 3072);
    assert_int_equal(set.class_count, 10);
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(
        es_file_read_gz(arena, real("cifar10/test_1000.bin.gz"), 1 << 23, &bytes, &size, &err),
        err);
    assert_int_equal(set.labels[17], bytes[17 * 3073]);
    float sample[3072];
    es_dataset_sample(&set, 17, sample);
    for (size_t i = 0; i < 3072; i++)
        near(sample[i], (uint8_t)bytes[17 * 3073 + 1 + i], 0);
}

static void arrays_of_others(void **state)
{
    (void)state;
    es_data_array a;
    assert_ok_err(es_data_read_array(arena, real("onnx-reference/mnist-8__Plus214_Output_0.npy"),
                                     NULL, &a, &err),
                  err);
    assert_int_equal(a.type, ES_DATA_F32);
    assert_int_equal(a.count, 10);
    assert_ok_err(es_data_read_array(arena, real("mlperf-tiny-tflite/ic_perf_samples_idxs.npy"),
                                     NULL, &a, &err),
                  err);
    assert_int_equal(a.count, 200);
    static const char *const archives[] = {
        "onnx-deeploy/Autoencoder1D__inputs.npz", "onnx-deeploy/Autoencoder1D__outputs.npz",
        "onnx-deeploy/CCT_FP32_CCT_1_32_32_32__inputs.npz", "onnx-deeploy/CNN_Linear1__inputs.npz",
        "onnx-deeploy/MLPerf_AnomalyDetection__inputs.npz"};
    for (size_t i = 0; i < sizeof archives / sizeof archives[0]; i++) {
        char *bytes = NULL;
        size_t size = 0;
        size_t count = 0;
        es_data_array *all = NULL;
        assert_ok_err(es_file_read(arena, real(archives[i]), 1 << 24, &bytes, &size, &err), err);
        assert_ok_err(
            es_data_parse_npz(arena, archives[i], bytes, size, 1 << 24, &all, &count, &err), err);
        assert_true(count >= 1);
        for (size_t k = 0; k < all[0].count; k++)
            assert_true(isfinite(es_data_at(&all[0], k)));
    }
}

static void series_of_watches(void **state)
{
    (void)state;
    es_dataset_opts opts = es_dataset_opts_default();
    opts.window = 50;
    opts.stride = 25;
    opts.leave_out = "timestamp";
    es_dataset set = load(real("sp-sw-har/s01_01_sp.csv.gz"), NULL, opts);
    assert_int_equal(set.x.rank, 3);
    assert_int_equal(set.x.dims[1], 6);
    assert_int_equal(set.x.dims[2], 50);
    assert_string_equal(set.class_names[0], "SEATED");
    float sample[300];
    es_dataset_sample(&set, 0, sample);
    near(sample[0], -4.160221099853516, 1e-6);   /* x_acc of row 1 */
    near(sample[1], -4.184149265289307, 1e-6);   /* of row 2 */
    near(sample[50], -1.1829516887664795, 1e-6); /* y_acc of row 1 */
    opts = es_dataset_opts_default();
    set = load(real("imu-fusion/sensor_data.csv.gz"), NULL, opts);
    assert_int_equal(set.size, 10);
    assert_null(set.labels);
}

static void intrusions_with_words(void **state)
{
    (void)state;
    es_dataset_opts opts = es_dataset_opts_default();
    opts.label = "42";
    opts.leave_out = "43";
    es_dataset set = load(real("nsl-kdd/KDDTest-21.txt.gz"), NULL, opts);
    assert_int_equal(set.count, 11850);
    assert_string_equal(set.class_names[0], "guess_passwd");
    float first[ES_DATA_COLUMNS_MAX];
    es_dataset_sample(&set, 0, first);
    double words = 0;
    for (size_t i = 1; i <= 3; i++) /* tcp, udp, icmp: exactly one */
        words += (double)first[i];
    near(first[0], 13, 0);
    near(words, 1, 0);
    opts.one_hot = false;
    assert_fails(es_dataset_load(arena, real("nsl-kdd/KDDTest-21.txt.gz"), NULL, opts, &set, &err),
                 ES_ERR_ARG, err, "column 'column 2' has words ('tcp')");
}

/* ---- files made here ---- */

static const char *put(const char *name, const void *bytes, size_t size)
{
    char *path = es_arena_format(arena, "%s/data_dataset_test_%s", ES_TEST_BINARY_DIR, name);
    assert_ok_err(es_file_write(path, bytes, size, &err), err);
    return path;
}

static void bare_floats_and_bytes(void **state)
{
    (void)state;
    const float values[] = {1, 2, 3, 4, 5, 6};
    const char *x = put("a.f32", values, sizeof values);
    const char *y = put("a.u8", "\0\2", 2);
    es_dataset set = load(x, y, es_dataset_opts_default());
    assert_int_equal(set.count, 2);
    assert_int_equal(set.size, 3);
    assert_int_equal(set.class_count, 3);
    assert_fails(es_dataset_load(arena, x, NULL, es_dataset_opts_default(), &set, &err), ES_ERR_ARG,
                 err, "need labels");
    y = put("a.u8", "\0\0\0\0", 4);
    assert_fails(es_dataset_load(arena, x, y, es_dataset_opts_default(), &set, &err), ES_ERR_PARSE,
                 err, "cannot be cut into 4 samples");
    const float holes[] = {1, 2, (float)NAN, 4};
    x = put("a.f32", holes, sizeof holes);
    y = put("a.u8", "\0\0", 2);
    assert_fails(es_dataset_load(arena, x, y, es_dataset_opts_default(), &set, &err), ES_ERR_PARSE,
                 err, "value 1 of sample 2 is nan");
}

static void labels_that_do_not_fit(void **state)
{
    (void)state;
    es_dataset set = {0};
    const char *x = put("b.csv", "a,b\n1,2\n3,4\n5,6\n", 16);
    const char *y = put("b_labels.csv", "0\n1\n", 4);
    es_dataset_opts opts = es_dataset_opts_default();
    assert_fails(es_dataset_load(arena, x, y, opts, &set, &err), ES_ERR_PARSE, err,
                 "2 labels for the 3 samples");
    y = put("b_labels.csv", "0\n-1\n2\n", 7);
    assert_fails(es_dataset_load(arena, x, y, opts, &set, &err), ES_ERR_PARSE, err,
                 "label -1 of sample 2 must be a whole number");
    y = put("b_labels.csv", "cat\ndog\ncat\n", 12);
    opts.head = ES_DATA_HEAD_NO;
    assert_fails(es_dataset_load(arena, x, y, opts, &set, &err), ES_ERR_PARSE, err,
                 "3 labels for the 4 samples"); /* the head of b.csv counted as well */
    const char *z = put("c.csv", "1,2\n3,4\n5,6\n", 12);
    set = load(z, y, opts);
    assert_int_equal(set.labels[2], 0);
    assert_string_equal(set.class_names[1], "dog");
    opts.limit = 2;
    assert_int_equal(load(z, y, opts).count, 2);
    assert_fails(es_dataset_load(arena, put("d.csv", "a,b\n1,\n", 7), NULL,
                                 es_dataset_opts_default(), &set, &err),
                 ES_ERR_PARSE, err, "row 1 has no number in column 'b'");
    assert_fails(es_dataset_load(arena, "no/such/file", NULL, opts, &set, &err), ES_ERR_IO, err,
                 "no/such/file");
}

static void windows_over_a_change_are_left_out(void **state)
{
    (void)state;
    const char *x = put("w.csv", "v,label\n1,0\n2,0\n3,0\n4,1\n5,1\n6,1\n", 32);
    es_dataset_opts opts = es_dataset_opts_default();
    opts.window = 2;
    opts.stride = 1;
    es_dataset set = load(x, NULL, opts);
    assert_int_equal(set.count, 4); /* 12 23 45 56 */
    const float wanted[] = {1, 2, 2, 3, 4, 5, 5, 6};
    assert_memory_equal(set.x.bytes, wanted, sizeof wanted);
    assert_int_equal(set.labels[1], 0);
    assert_int_equal(set.labels[2], 1);
    opts.window = 7;
    assert_fails(es_dataset_load(arena, x, NULL, opts, &set, &err), ES_ERR_ARG, err,
                 "6 rows are less than a window of 7");
}

/* ---- parts and batches ---- */

/* Disjoint, complete, and each class in its share to within one; the same again by the same seed.
 */
static void parts_keep_the_classes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        es_rng rng = es_rng_make(seed, 9);
        size_t count = 30 + es_rng_below(&rng, 400);
        uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, count);
        size_t of_class[4] = {0};
        for (size_t i = 0; i < count; i++)
            of_class[labels[i] = (uint32_t)(es_rng_below(&rng, 10) % 4)]++;
        const double shares[] = {0.5, 0.2, 0.3};
        es_data_rows parts[ES_DATA_PARTS_MAX];
        es_data_rows again[ES_DATA_PARTS_MAX];
        assert_ok_err(es_data_split(arena, labels, count, shares, 3, seed, parts, &err), err);
        assert_ok_err(es_data_split(arena, labels, count, shares, 3, seed, again, &err), err);
        bool *seen = ES_TAKE_ARRAY(arena, bool, count);
        size_t total = 0;
        for (size_t p = 0; p < 3; p++) {
            size_t here[4] = {0};
            assert_int_equal(parts[p].count, again[p].count);
            assert_memory_equal(parts[p].items, again[p].items, parts[p].count * sizeof(size_t));
            for (size_t i = 0; i < parts[p].count; i++, total++) {
                assert_false(seen[parts[p].items[i]]);
                seen[parts[p].items[i]] = true;
                here[labels[parts[p].items[i]]]++;
            }
            for (size_t c = 0; c < 4; c++)
                assert_true(fabs((double)here[c] - shares[p] * (double)of_class[c]) <= 1);
        }
        assert_int_equal(total, count);
    }
}

static void parts_that_cannot_be(void **state)
{
    (void)state;
    es_data_rows parts[ES_DATA_PARTS_MAX];
    assert_fails(es_data_split(arena, NULL, 10, (double[]){0.8, 0.3}, 2, 1, parts, &err),
                 ES_ERR_ARG, err, "add up to 1.1");
    assert_fails(es_data_split(arena, NULL, 10, (double[]){0.5, 0}, 2, 1, parts, &err), ES_ERR_ARG,
                 err, "share 0 of part 2");
    assert_fails(es_data_split(arena, NULL, 10, (double[]){0.9, 0.01}, 2, 1, parts, &err),
                 ES_ERR_ARG, err, "a share of 0.01 leaves part 2 of 10 samples empty");
}

static void batches_hold_every_row_once(void **state)
{
    (void)state;
    es_clusters_opts made = es_clusters_opts_default();
    made.count = 103;
    es_dataset set;
    assert_ok_err(es_data_make_clusters(arena, made, &set, NULL, &err), err);
    es_data_batches_opts opts = es_data_batches_opts_default();
    opts.batch = 10;
    es_data_batches b;
    assert_ok_err(es_data_batches_init(arena, &set, NULL, opts, &b, &err), err);
    float x[20];
    uint32_t y[10];
    double sums[3] = {0};
    float third[2] = {0};
    for (size_t epoch = 0; epoch < 3; epoch++) {
        size_t seen = 0;
        for (size_t n; (n = es_data_batches_next(&b, x, y)) > 0; seen += n) {
            if (epoch == 2 && seen == 0)
                memcpy(third, x, sizeof third);
            for (size_t i = 0; i < 2 * n; i++)
                sums[epoch] += (double)x[i];
        }
        assert_int_equal(seen, 103);
    }
    near(sums[0], sums[2], 1e-9);
    es_data_batches_seek(&b, 2);
    assert_int_equal(es_data_batches_next(&b, x, y), 10);
    assert_memory_equal(x, third, sizeof third);
    opts.drop_last = true;
    assert_ok_err(es_data_batches_init(arena, &set, NULL, opts, &b, &err), err);
    size_t full = 0;
    while (es_data_batches_next(&b, NULL, NULL) > 0)
        full++;
    assert_int_equal(full, 10);
    opts.batch = 200;
    assert_fails(es_data_batches_init(arena, &set, NULL, opts, &b, &err), ES_ERR_ARG, err,
                 "103 samples are less than a batch of 200");
}

static void scaling_gives_mean_0_and_variance_1(void **state)
{
    (void)state;
    es_signals_opts made = es_signals_opts_default();
    es_dataset set;
    assert_ok_err(es_data_make_signals(arena, made, &set, &err), err);
    es_data_batches_opts opts = es_data_batches_opts_default();
    assert_ok_err(es_scaling_fit(arena, &set, NULL, &opts.scaling, &err), err);
    assert_int_equal(opts.scaling.channel_count, 1);
    es_data_batches b;
    assert_ok_err(es_data_batches_init(arena, &set, NULL, opts, &b, &err), err);
    float *x = ES_TAKE_ARRAY(arena, float, opts.batch *set.size);
    double sum = 0;
    double squares = 0;
    double count = 0;
    for (size_t n; (n = es_data_batches_next(&b, x, NULL)) > 0;)
        for (size_t i = 0; i < n * set.size; i++, count++) {
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
        }
    near(sum / count, 0, 1e-5);
    near(squares / count, 1, 1e-4);
}

/* ---- synthetic data ---- */

/* The nearest corner is the best rule: it is as right as the generator says. */
static void clusters_are_as_hard_as_said(void **state)
{
    (void)state;
    es_clusters_opts opts = es_clusters_opts_default();
    opts.count = 40000;
    opts.size = 5;
    opts.distance = 1.5;
    es_dataset set;
    double best = 0;
    assert_ok_err(es_data_make_clusters(arena, opts, &set, &best, &err), err);
    near(best, 0.7733726, 1e-6); /* Phi(0.75) */
    size_t right = 0;
    float sample[5];
    for (size_t i = 0; i < set.count; i++) {
        es_dataset_sample(&set, i, sample);
        right += (sample[1] > sample[0]) == (set.labels[i] == 1);
    }
    near((double)right / (double)set.count, best, 4 * 0.0021);
}

static void signals_and_series(void **state)
{
    (void)state;
    es_dataset set;
    es_dataset more;
    es_signals_opts opts = es_signals_opts_default();
    opts.count = 12;
    assert_ok_err(es_data_make_signals(arena, opts, &set, &err), err);
    opts.count = 60;
    assert_ok_err(es_data_make_signals(arena, opts, &more, &err), err);
    assert_memory_equal(set.x.bytes, more.x.bytes, set.x.count * sizeof(float));
    assert_string_equal(set.class_names[set.labels[7]], "square");
    opts.noise = -1;
    assert_fails(es_data_make_signals(arena, opts, &set, &err), ES_ERR_ARG, err, "noise=-1");
    es_series_opts series = es_series_opts_default();
    assert_ok_err(es_data_make_series(arena, series, &set, &err), err);
    size_t counts[2];
    es_dataset_class_counts(&set, counts);
    assert_int_equal(counts[1], 50);
    double usual = 0;
    double burst = 0;
    for (size_t i = 0; i < set.count; i++) {
        double value = es_data_at(&set.x, i) - sin(2 * 3.14159265358979 * (double)(i % 100) / 100);
        *(set.labels[i] == 1 ? &burst : &usual) += value;
    }
    near(burst / 50, 3, 0.1);
    near(usual / 1950, 0, 0.02);
    series.bursts = 300;
    assert_fails(es_data_make_series(arena, series, &set, &err), ES_ERR_ARG, err,
                 "must hold 300 bursts");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mnist_and_fashion),
        TEST(cifar_records),
        TEST(arrays_of_others),
        TEST(series_of_watches),
        TEST(intrusions_with_words),
        TEST(bare_floats_and_bytes),
        TEST(labels_that_do_not_fit),
        TEST(windows_over_a_change_are_left_out),
        TEST(parts_keep_the_classes),
        TEST(parts_that_cannot_be),
        TEST(batches_hold_every_row_once),
        TEST(scaling_gives_mean_0_and_variance_1),
        TEST(clusters_are_as_hard_as_said),
        TEST(signals_and_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
