/* Whole data sets through real models: the accuracy that others measured comes out. */
#include "data/data.h"
#include "quality/quality.h"
#include "runtime/testing/shared.h"

enum { CIFAR_IMAGE = 3072, CLASSES = 10 };

static const char *data_copy(fixture *all, const char *name)
{
    const char *path = es_test_data(name);
    if (path == NULL)
        skip();
    return es_arena_text(all->arena, path);
}

/* Part of the samples whose class the model finds; all its scores into kept unless NULL. */
static double accuracy(es_session *session, const es_dataset *set, float *kept)
{
    es_error err = {0};
    static float in[CIFAR_IMAGE];
    float out[CLASSES];
    es_tensor x = es_port_tensor(es_session_input(session, 0), 1);
    es_tensor y = es_port_tensor(es_session_output(session, 0), 1);
    x.data = in;
    y.data = out;
    assert_int_equal(x.size_bytes, set->size * sizeof *in);
    assert_true(x.size_bytes <= sizeof in);
    assert_int_equal(y.size_bytes, sizeof out);
    es_binding *binding = NULL;
    assert_ok_err(es_binding_new(session, &x, 1, &y, 1, &binding, &err), err);
    size_t right = 0;
    for (size_t i = 0; i < set->count; i++) {
        es_dataset_sample(set, i, in);
        assert_ok_err(es_binding_run(binding, &err), err);
        right += es_argmax(out, CLASSES) == set->labels[i];
        if (kept != NULL)
            memcpy(kept + i * CLASSES, out, sizeof out);
    }
    es_binding_free(binding);
    return (double)right / (double)set->count;
}

static es_session *open_model(fixture *all, const char *name)
{
    es_error err = {0};
    es_session *session = NULL;
    assert_ok_err(es_session_open(all->runtime, data_copy(all, name), es_session_opts_default(),
                                  &session, &err),
                  err);
    return session;
}

static void resnet8_on_cifar10(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_dataset set;
    const char *path = data_copy(all, "cifar10/test_1000.bin.gz");
    es_session *session = open_model(all, "onnx/mlperf_tiny_resnet8_cifar10.onnx");
    assert_ok_err(es_dataset_load(all->arena, path, NULL, es_dataset_opts_default(), &set, &err),
                  err);
    assert_int_equal(set.count, 1000);
    double part = accuracy(session, &set, NULL);
    print_message("ResNet-8 on 1000 CIFAR-10 records: %.1f %%\n", 100 * part);
    assert_true(part >= 0.748);
    assert_true(part <= 0.754);
    es_session_unref(session);
}

static void mnist8_on_mnist(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_dataset set;
    const char *images = data_copy(all, "mnist/t10k-part-images-idx3-ubyte.gz");
    const char *labels = data_copy(all, "mnist/t10k-part-labels-idx1-ubyte.gz");
    es_session *session = open_model(all, "onnx/mnist-8.onnx");
    assert_ok_err(
        es_dataset_load(all->arena, images, labels, es_dataset_opts_default(), &set, &err), err);
    double part = accuracy(session, &set, NULL);
    print_message("mnist-8 on %zu MNIST images: %.2f %%\n", set.count, 100 * part);
    assert_true(part >= 0.980);
    assert_true(part <= 0.986);
    es_session_unref(session);
}

/* 200 times, 1000 images choose the confidence from which 99 % of answers are right; what all
 * images say of it fails no more often than promised. */
static void thresholds_keep_their_promise(void **state)
{
    enum { SPLITS = 200 };
    const double target = 0.99;
    const double delta = 0.1;
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_dataset set;
    const char *images = data_copy(all, "mnist/t10k-part-images-idx3-ubyte.gz");
    const char *labels = data_copy(all, "mnist/t10k-part-labels-idx1-ubyte.gz");
    es_session *session = open_model(all, "onnx/mnist-8.onnx");
    assert_ok_err(
        es_dataset_load(all->arena, images, labels, es_dataset_opts_default(), &set, &err), err);
    float *values = ES_TAKE_ARRAY(all->arena, float, set.count *CLASSES);
    double *confidence = ES_TAKE_ARRAY(all->arena, double, set.count);
    uint32_t *classes = ES_TAKE_ARRAY(all->arena, uint32_t, set.count);
    (void)accuracy(session, &set, values);
    es_scores scores = {.values = values, .count = set.count, .class_count = CLASSES};
    es_scores_decide(&scores, 368.5, ES_CONFIDENCE_MAX_PROB, confidence, classes);
    size_t found = 0;
    size_t broken = 0;
    for (uint64_t seed = 1; seed <= SPLITS; seed++) {
        es_data_rows parts[ES_DATA_PARTS_MAX];
        static double some[1000];
        static bool right[1000];
        assert_ok_err(
            es_data_split(all->arena, NULL, set.count, (double[]){0.2}, 1, seed, parts, &err), err);
        for (size_t i = 0; i < parts[0].count; i++) {
            some[i] = confidence[parts[0].items[i]];
            right[i] = classes[parts[0].items[i]] == set.labels[parts[0].items[i]];
        }
        es_selective chosen;
        assert_ok_err(es_guarantee_selective(some, right, 1000, target, delta, &chosen, &err), err);
        double accepted = 0;
        double good = 0;
        for (size_t i = 0; i < set.count; i++) {
            accepted += confidence[i] >= chosen.threshold;
            good += confidence[i] >= chosen.threshold && classes[i] == set.labels[i];
        }
        found += chosen.found;
        broken += chosen.found && good < target * accepted;
    }
    print_message("of %d splits a threshold for 99 %% in %zu, broken in %zu (promised: %.0f)\n",
                  SPLITS, found, broken, delta * SPLITS);
    assert_true(found > SPLITS / 2); /* a promise never given is worth nothing */
    assert_true((double)broken <= delta * SPLITS);
    es_session_unref(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet8_on_cifar10),
        cmocka_unit_test(mnist8_on_mnist),
        cmocka_unit_test(thresholds_keep_their_promise),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
