/* Whole data sets through real models: the accuracy that others measured comes out. */
#include "data/data.h"
#include "runtime/testing/shared.h"

enum { CIFAR_IMAGE = 3072, CLASSES = 10 };

static const char *data_copy(fixture *all, const char *name)
{
    const char *path = es_test_data(name);
    if (path == NULL)
        skip();
    return es_arena_text(all->arena, path);
}

/* Part of the samples whose class the model finds. */
static double accuracy(es_session *session, const es_dataset *set)
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
    double part = accuracy(session, &set);
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
    double part = accuracy(session, &set);
    print_message("mnist-8 on %zu MNIST images: %.2f %%\n", set.count, 100 * part);
    assert_true(part >= 0.980);
    assert_true(part <= 0.986);
    es_session_unref(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet8_on_cifar10),
        cmocka_unit_test(mnist8_on_mnist),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
