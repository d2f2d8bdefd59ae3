/* Nets that nn writes compute in ONNX Runtime what its plain interpreter says; files of others that
 * it reads and writes again compute what they did. */
#include "nn/testing/forward.h"
#include "nn/testing/random_net.h"
#include "runtime/testing/real_models.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tensor_file.h"

#include <math.h>

enum { BATCH = 3, SEEDS = 100 };

static es_session *open_model(const fixture *all, const es_model *model)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    es_session *session = NULL;
    assert_ok_err(es_model_bytes(all->arena, model, &bytes, &size, &err), err);
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    return session;
}

static es_session *open_net(const fixture *all, const es_nn *nn, bool fold)
{
    es_error err = {0};
    const es_model *model = NULL;
    assert_ok_err(es_nn_to_model(all->arena, nn, fold, &model, &err), err);
    return open_model(all, model);
}

static void assert_output(const es_nn *nn, size_t index, const double *wanted, const es_tensor *got,
                          double tolerance, uint64_t seed)
{
    es_nn_shape shape = nn->layers.items[nn->outputs[index].layer.index].shape;
    const float *values = got->data;
    assert_int_equal(got->rank, shape.rank + 1);
    assert_int_equal(got->dims[0], BATCH);
    assert_int_equal(got->size_bytes, BATCH * shape.count * sizeof *values);
    for (size_t i = 0; i < BATCH * shape.count; i++) {
        if (!(fabs((double)values[i] - wanted[i]) <= tolerance * (1 + fabs(wanted[i]))))
            fail_msg("ES_SEED=%" PRIu64 ": output %zu [%zu] is %.9g, expected %.9g", seed, index, i,
                     (double)values[i], wanted[i]);
    }
}

static void assert_runs_as(const fixture *all, const es_nn *nn, const float *x, bool fold,
                           double tolerance, uint64_t seed)
{
    es_error err = {0};
    int64_t dims[ES_TENSOR_RANK_MAX] = {BATCH};
    es_tensor outputs[ES_NN_OUTPUTS_MAX] = {0};
    es_nn_shape shape = nn->layers.items[0].shape;
    for (size_t i = 0; i < shape.rank; i++)
        dims[i + 1] = (int64_t)shape.dims[i];
    es_tensor input = es_tensor_make(ES_DTYPE_F32, dims, shape.rank + 1, (void *)(uintptr_t)x);
    es_session *session = open_net(all, nn, fold);
    double *const *wanted = nn_forward(all->arena, nn, x, BATCH, false);
    assert_int_equal(es_session_output_count(session), nn->output_count);
    assert_ok_err(es_session_run(session, &input, 1, outputs, nn->output_count, &err), err);
    for (size_t i = 0; i < nn->output_count; i++) {
        assert_string_equal(es_session_output(session, i)->name, nn->outputs[i].name);
        assert_output(nn, i, wanted[nn->outputs[i].layer.index], &outputs[i], tolerance, seed);
        es_tensor_done(&outputs[i]);
    }
    es_session_unref(session);
}

static void random_nets_run_as_interpreted(void **state)
{
    fixture *all = fixture_get(state);
    uint64_t first = es_test_seed(1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        es_arena_reset(all->arena);
        es_nn *nn = nn_random(all->arena, seed, true);
        es_rng rng = es_rng_make(seed, 3);
        float *x = ES_TAKE_ARRAY(all->arena, float, BATCH * nn->layers.items[0].shape.count);
        nn_random_values(&rng, x, BATCH * nn->layers.items[0].shape.count);
        assert_runs_as(all, nn, x, seed % 2 == 0, 1e-4, seed);
    }
}

/* On values that floats hold exactly, halves included, so that rounding must agree bit for bit. */
static void payloads_round_alike(void **state)
{
    fixture *all = fixture_get(state);
    enum { COUNT = 2000 };
    static float x[BATCH * COUNT];
    es_error err = {0};
    es_nn *nn = NULL;
    es_nn_id id = ES_NN_NONE;
    es_nn_layer layer = {.kind = ES_NN_QUANTISE, .input_count = 1};
    for (size_t i = 0; i < BATCH * COUNT; i++)
        x[i] = ((float)i - BATCH * COUNT / 2) / 64;
    assert_ok_err(
        es_nn_new(all->arena, "q", "x", es_nn_shape_of(1, (const size_t[]){COUNT}), &nn, &err),
        err);
    assert_ok_err(es_nn_add(nn, &layer, 0, false, &id, &err), err);
    nn->layers.items[id.index].params[0].values[0] = 0.25F;
    nn->layers.items[id.index].params[1].values[0] = 77;
    assert_ok_err(es_nn_output_add(nn, "y", id, &err), err);
    assert_runs_as(all, nn, x, false, 0, 0);
}

/* ---- files of others ---- */

static const struct {
    const char *file;
    const char *head; /* behind this value no layer kind computes the nodes; NULL: whole */
    size_t layers;
    const char *why; /* where reading the whole fails */
} files[] = {
    {"onnx/mlperf_tiny_resnet8_cifar10.onnx", NULL, 23, NULL},
    {"onnx/mnist-8.onnx", NULL, 9, NULL},
    {"onnx/wonnx_opt-mnist.onnx", NULL, 9, NULL},
    {"onnx/tfl_helloworld_sine.onnx", NULL, 6, NULL},
    {"onnx/stm_mobilenet_v2_0.35_128.onnx", NULL, 108, NULL},
    {"onnx/yunet_s_320_320.onnx", NULL, 83, NULL},
    {"onnx/ultraface_RFB-320.onnx", "314", 71, "node '328' (Reshape)"},
    {"onnx/FastestDet.onnx", "old_x", 13, "node 'Reshape_13' (Reshape)"},
    {"onnx-deeploy/Autoencoder1D__network.onnx", "/decoder/linear/Gemm_output_0", 12,
     "node '/decoder/reshape/Reshape' (Reshape)"},
};

static void assert_same_tensors(const es_tensor *got, const es_tensor *wanted, const char *what)
{
    tensor_difference difference;
    assert_true(tensor_compare(got, wanted, 1e-4, 1e-4, &difference));
    if (difference.wrong_count > 0)
        fail_msg("%s: %zu elements differ, first [%zu]: got %.9g, expected %.9g", what,
                 difference.wrong_count, difference.first, difference.got, difference.wanted);
}

static void run_reference(const fixture *all, es_session *session, es_tensor *outputs)
{
    es_error err = {0};
    es_tensor inputs[ES_SESSION_PORTS_MAX] = {0};
    assert_int_equal(es_session_input_count(session), 1);
    assert_ok_err(real_inputs(all->arena, session, inputs, &err), err);
    assert_ok_err(
        es_session_run(session, inputs, 1, outputs, es_session_output_count(session), &err), err);
    es_session_unref(session);
}

static void assert_reads_and_writes(const fixture *all, const es_model *model, size_t layers,
                                    const char *what)
{
    es_error err = {0};
    es_nn *nn = NULL;
    es_tensor wanted[ES_SESSION_PORTS_MAX] = {0};
    assert_ok_err(es_nn_from_model(all->arena, model, &nn, &err), err);
    if (layers > 0)
        assert_int_equal(nn->layers.count, layers);
    run_reference(all, open_model(all, model), wanted);
    for (int fold = 0; fold < 2; fold++) {
        es_tensor got[ES_SESSION_PORTS_MAX] = {0};
        run_reference(all, open_net(all, nn, fold == 1), got);
        for (size_t i = 0; i < nn->output_count; i++) {
            assert_string_equal(nn->outputs[i].name, es_model_output(model, i)->name);
            assert_same_tensors(&got[i], &wanted[i], what);
            es_tensor_done(&got[i]);
        }
    }
    for (size_t i = 0; i < nn->output_count; i++)
        es_tensor_done(&wanted[i]);
}

static void files_of_others_keep_their_outputs(void **state)
{
    fixture *all = fixture_get(state);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        es_error err = {0};
        const es_model *model = NULL;
        const es_model *const *parts = &model;
        es_nn *nn = NULL;
        const char *path = es_test_data(files[i].file);
        if (path == NULL)
            skip();
        es_arena_reset(all->arena);
        assert_ok_err(es_model_load(all->arena, path, es_model_opts_default(), &model, &err), err);
        if (files[i].head != NULL) {
            assert_fails(es_nn_from_model(all->arena, model, &nn, &err), ES_ERR_UNSUPPORTED, err,
                         files[i].why);
            assert_ok_err(es_model_cut(all->arena, model, &files[i].head, 1, &parts, &err), err);
        }
        assert_reads_and_writes(all, parts[0], files[i].layers, files[i].file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_nets_run_as_interpreted),
        cmocka_unit_test(payloads_round_alike),
        cmocka_unit_test(files_of_others_keep_their_outputs),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
