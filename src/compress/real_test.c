/* Real models on real data: what quantising costs them. */
#include "compress/testing/shared.h"

static const es_model *load(fixture *all, const char *name)
{
    char file[100];
    es_error err = {0};
    const es_model *model = NULL;
    (void)snprintf(file, sizeof file, "onnx/%s.onnx", name);
    const char *path = es_test_data(file);
    if (path == NULL)
        return NULL;
    assert_ok_err(es_model_load(all->arena, path, es_model_opts_default(), &model, &err), err);
    return model;
}

static bool load_data(fixture *all, const char *file, const char *labels, es_dataset *out)
{
    es_error err = {0};
    char label_path[4096];
    const char *path = labels != NULL ? es_test_data(labels) : NULL;
    if (labels != NULL && path == NULL)
        return false;
    (void)snprintf(label_path, sizeof label_path, "%s", path != NULL ? path : "");
    path = es_test_data(file);
    if (path == NULL)
        return false;
    assert_ok_err(es_dataset_load(all->arena, path, labels != NULL ? label_path : NULL,
                                  es_dataset_opts_default(), out, &err),
                  err);
    return true;
}

static size_t bytes_of(fixture *all, const es_model *model)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_model_bytes(all->arena, model, &bytes, &size, &err), err);
    return size;
}

/* Answers that are right. */
static size_t right_answers(fixture *all, const es_model *model, const es_samples *samples)
{
    es_error err = {0};
    es_compress_job job = job_of(all, model, samples->dataset);
    const char *name = es_model_output(model, 0)->name;
    es_probe p;
    size_t right = 0;
    assert_ok_err(es_probe_open(&job, all->arena, model, samples, &name, 1, &p, &err), err);
    for (size_t i = 0; i < samples->dataset->count; i++) {
        assert_ok_err(es_probe_run(&p, i, &err), err);
        const es_tensor *scores = es_probe_value(&p, 0);
        right += es_argmax(scores->data, es_tensor_count(scores)) == samples->dataset->labels[i];
    }
    es_probe_close(&p);
    return right;
}

static void classifiers_lose_little(void **state)
{
    fixture *all = fixture_get(state);
    const struct {
        const char *model, *fit, *fit_labels, *test, *test_labels;
        size_t right;     /* of the float model */
        double bytes_max; /* of the float file's */
    } rows[] = {{"mlperf_tiny_resnet8_cifar10", "cifar10/train_5000.bin.gz", NULL,
                 "cifar10/test_1000.bin.gz", NULL, 751, 0.30},
                {"mnist-8", "mnist/t10k-part-images-idx3-ubyte.gz",
                 "mnist/t10k-part-labels-idx1-ubyte.gz", "mnist/t10k-part-images-idx3-ubyte.gz",
                 "mnist/t10k-part-labels-idx1-ubyte.gz", 0, 0.45}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        es_error err = {0};
        es_dataset fit;
        es_dataset test;
        const es_model *model = load(all, rows[i].model);
        if (model == NULL || !load_data(all, rows[i].fit, rows[i].fit_labels, &fit) ||
            !load_data(all, rows[i].test, rows[i].test_labels, &test))
            skip();
        es_compress_job job = job_of(all, model, &fit);
        es_samples samples = {.dataset = &test};
        const es_model *quantised = NULL;
        es_quantise_report report;
        assert_ok_err(es_quantise(&job, es_quantise_opts_default(), &quantised, &report, &err),
                      err);
        size_t before = right_answers(all, model, &samples);
        size_t after = right_answers(all, quantised, &samples);
        size_t size = bytes_of(all, model);
        size_t small = bytes_of(all, quantised);
        print_message("%s: %zu of %zu right, %zu in int8 (%s%s%s); %zu bytes, %zu in int8\n",
                      rows[i].model, before, test.count, after,
                      es_range_method_names[report.method], report.equalised ? ", equalised" : "",
                      report.corrected ? ", corrected" : "", size, small);
        if (rows[i].right > 0)
            assert_int_equal(before, rows[i].right);
        assert_true((double)after >= (double)before - 0.005 * (double)test.count);
        assert_true((double)small <= rows[i].bytes_max * (double)size);
    }
}

/* Small images of the shared data, made as large as a detector wants them. */
static es_dataset enlarge(fixture *all, const es_dataset *from, size_t count, size_t rows,
                          size_t columns)
{
    es_dataset set = *from;
    uint8_t *to = ES_TAKE_ARRAY(all->arena, uint8_t, count * 3 * rows * columns);
    assert_non_null(to);
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            for (size_t y = 0; y < rows; y++)
                for (size_t x = 0; x < columns; x++) {
                    size_t place = (i * 3 + c) * 1024 + y * 32 / rows * 32 + x * 32 / columns;
                    to[at++] = (uint8_t)es_data_at(&from->x, place);
                }
    set.count = count;
    set.labels = NULL;
    set.size = 3 * rows * columns;
    set.x.dims[0] = count;
    set.x.dims[2] = rows;
    set.x.dims[3] = columns;
    set.x.count = at;
    set.x.bytes = to;
    return set;
}

static void others_stay_near(void **state)
{
    fixture *all = fixture_get(state);
    const struct {
        const char *model;
        size_t rows, columns;
        float mean, factor;
        double noise_max; /* over signal, mean over the outputs */
    } models[] = {{"stm_mobilenet_v2_0.35_128", 128, 128, 127.5f, 1 / 127.5f, 0.05},
                  {"ultraface_RFB-320", 240, 320, 127, 1 / 128.0f, 0.01},
                  {"yunet_s_320_320", 320, 320, 0, 1, 0.05},
                  {"FastestDet", 352, 352, 0, 1 / 255.0f, 0.05}};
    es_dataset images;
    if (!load_data(all, "cifar10/test_1000.bin.gz", NULL, &images))
        skip();
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        es_error err = {0};
        const es_model *model = load(all, models[i].model);
        if (model == NULL)
            skip();
        es_dataset set = enlarge(all, &images, 12, models[i].rows, models[i].columns);
        es_compress_job job = job_of(all, model, &set);
        job.fit.scaling =
            (es_scaling){.channel_count = 1, .mean = &models[i].mean, .factor = &models[i].factor};
        es_quantise_opts opts = es_quantise_opts_default();
        opts.samples = 12;
        opts.method = ES_RANGE_MSE;
        opts.equalise = ES_CHOICE_NO;
        const es_model *quantised = NULL;
        es_quantise_report report;
        assert_ok_err(es_quantise(&job, opts, &quantised, &report, &err), err);
        size_t layers = 0;
        for (size_t l = 0; l < report.layer_count; l++)
            layers += report.layers[l].quantised;
        print_message("%s: noise %.5f, %zu of %zu nodes in int8, %.2f of the bytes\n",
                      models[i].model, report.noise, layers, report.layer_count,
                      (double)bytes_of(all, quantised) / (double)bytes_of(all, model));
        assert_true(report.noise < models[i].noise_max);
        assert_int_equal(es_model_output_count(quantised), es_model_output_count(model));
        es_arena_reset(all->scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(classifiers_lose_little),
                                       cmocka_unit_test(others_stay_near)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
