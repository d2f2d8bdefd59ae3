/* Whole data sets through real models: the accuracy that others measured comes out. */
#include "base/file.h"
#include "runtime/testing/shared.h"

enum { CIFAR_IMAGE = 3072, CIFAR_RECORD = 1 + CIFAR_IMAGE, MNIST_IMAGE = 784, CLASSES = 10 };
static const size_t file_cap = 64u << 20;

static const char *data_copy(fixture *all, const char *name)
{
    const char *path = es_test_data(name);
    if (path == NULL)
        skip();
    return es_arena_text(all->arena, path);
}

/* Part of images of bytes whose class the model finds. label_of and image_of are strides. */
static double accuracy(es_session *session, const unsigned char *images, size_t image_stride,
                       const unsigned char *labels, size_t label_stride, size_t count)
{
    es_error err = {0};
    static float in[CIFAR_IMAGE];
    float out[CLASSES];
    es_tensor x = es_port_tensor(es_session_input(session, 0), 1);
    es_tensor y = es_port_tensor(es_session_output(session, 0), 1);
    x.data = in;
    y.data = out;
    assert_true(x.size_bytes <= sizeof in);
    assert_int_equal(y.size_bytes, sizeof out);
    es_binding *binding = NULL;
    assert_ok_err(es_binding_new(session, &x, 1, &y, 1, &binding, &err), err);
    size_t right = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < es_tensor_count(&x); k++)
            in[k] = images[i * image_stride + k];
        assert_ok_err(es_binding_run(binding, &err), err);
        right += es_argmax(out, CLASSES) == labels[i * label_stride];
    }
    es_binding_free(binding);
    return (double)right / (double)count;
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
    const char *path = data_copy(all, "cifar10/test_1000.bin.gz");
    es_session *session = open_model(all, "onnx/mlperf_tiny_resnet8_cifar10.onnx");
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read_gz(all->arena, path, file_cap, &bytes, &size, &err), err);
    assert_int_equal(size, 1000 * CIFAR_RECORD);
    const unsigned char *records = (const unsigned char *)bytes;
    double part = accuracy(session, records + 1, CIFAR_RECORD, records, CIFAR_RECORD, 1000);
    print_message("ResNet-8 on 1000 CIFAR-10 records: %.1f %%\n", 100 * part);
    assert_true(part >= 0.748);
    assert_true(part <= 0.754);
    es_session_unref(session);
}

static void mnist8_on_mnist(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *image_path = data_copy(all, "mnist/t10k-part-images-idx3-ubyte.gz");
    const char *label_path = data_copy(all, "mnist/t10k-part-labels-idx1-ubyte.gz");
    es_session *session = open_model(all, "onnx/mnist-8.onnx");
    char *images = NULL;
    char *labels = NULL;
    size_t image_size = 0;
    size_t label_size = 0;
    assert_ok_err(es_file_read_gz(all->arena, image_path, file_cap, &images, &image_size, &err),
                  err);
    assert_ok_err(es_file_read_gz(all->arena, label_path, file_cap, &labels, &label_size, &err),
                  err);
    size_t count = label_size - 8; /* headers: 16 bytes for images, 8 for labels */
    assert_int_equal(image_size, 16 + count * MNIST_IMAGE);
    double part = accuracy(session, (const unsigned char *)images + 16, MNIST_IMAGE,
                           (const unsigned char *)labels + 8, 1, count);
    print_message("mnist-8 on %zu MNIST images: %.2f %%\n", count, 100 * part);
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
