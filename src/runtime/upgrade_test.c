/* Models at opset 13 that were made from older ones do what the older ones do. */
#include "base/rng.h"
#include "model/model.h"
#include "runtime/testing/real_models.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tensor_file.h"

#define NAMES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

enum { OUTPUTS_MAX = 16 };

static void run(fixture *all, const es_model *model, const es_tensor *inputs, size_t input_count,
                es_tensor *outputs)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    assert_ok_err(es_model_bytes(all->arena, model, &bytes, &size, &err), err);
    assert_ok_err(
        es_session_open_bytes(all->runtime, bytes, size, es_session_opts_default(), &session, &err),
        err);
    assert_ok_err(es_session_run(session, inputs, input_count, outputs,
                                 es_session_output_count(session), &err),
                  err);
}

/* Both give the same, to rounding. */
static void compare(fixture *all, const char *name, const es_model *model, const es_tensor *inputs,
                    size_t input_count, const char *gone)
{
    es_error err = {0};
    const es_model *upgraded = NULL;
    assert_ok_err(es_model_upgrade(all->arena, model, &upgraded, &err), err);
    assert_int_equal(es_model_opset_of(upgraded, ""), ES_MODEL_OPSET_UPGRADED);
    for (size_t i = 0; gone != NULL && i < es_model_node_count(upgraded); i++)
        assert_string_not_equal(es_model_op_at(upgraded, i).op, gone);
    es_tensor before[OUTPUTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    es_tensor after[OUTPUTS_MAX] = {{.dtype = ES_DTYPE_NONE}};
    run(all, model, inputs, input_count, before);
    run(all, upgraded, inputs, input_count, after);
    for (size_t i = 0; i < es_model_output_count(model); i++) {
        tensor_difference difference = {0};
        if (!tensor_compare(&after[i], &before[i], 1e-5, 1e-6, &difference) ||
            difference.wrong_count > 0)
            fail_msg("%s: output %zu differs, %zu values", name, i, difference.wrong_count);
        es_tensor_done(&before[i]);
        es_tensor_done(&after[i]);
    }
}

typedef struct old_op {
    const char *name; /* of the case */
    const char *op;
    int64_t opset;
    size_t rank; /* of the input */
    int64_t dims[4];
    void (*attrs)(es_model_build *b);
    const char *extra;  /* second input, or NULL */
    const char *second; /* second output, or NULL */
    const char *gone;   /* operator that must be gone, or NULL */
} old_op;

static void set_axes(es_model_build *b)
{
    es_model_build_ints(b, "axes", (const int64_t[]){1}, 1);
}

static void set_split(es_model_build *b)
{
    es_model_build_int(b, "axis", 1);
    es_model_build_ints(b, "split", (const int64_t[]){1, 2}, 2);
}

static void set_clip(es_model_build *b)
{
    es_model_build_float(b, "min", 0.2f);
    es_model_build_float(b, "max", 0.7f);
}

static void set_clip_max(es_model_build *b)
{
    es_model_build_float(b, "max", 0.5f);
}

static void set_pad(es_model_build *b)
{
    es_model_build_ints(b, "pads", (const int64_t[]){0, 0, 1, 2, 0, 0, 0, 1}, 8);
    es_model_build_float(b, "value", 0.5f);
}

static void set_slice(es_model_build *b)
{
    es_model_build_ints(b, "starts", (const int64_t[]){1, 0}, 2);
    es_model_build_ints(b, "ends", (const int64_t[]){1000, -1}, 2);
    es_model_build_ints(b, "axes", (const int64_t[]){1, 2}, 2);
}

static void set_slice_all(es_model_build *b)
{
    es_model_build_ints(b, "starts", (const int64_t[]){0, 1}, 2);
    es_model_build_ints(b, "ends", (const int64_t[]){2, 2}, 2);
}

static void set_k(es_model_build *b)
{
    es_model_build_int(b, "k", 2);
}

static void set_scales(es_model_build *b)
{
    es_model_build_text(b, "mode", "linear");
    es_model_build_floats(b, "scales", (const float[]){1, 1, 2, 3}, 4);
}

static void set_axis_0(es_model_build *b)
{
    es_model_build_int(b, "axis", 0);
}

static void set_axis_last(es_model_build *b)
{
    es_model_build_int(b, "axis", 3);
}

static void set_norm(es_model_build *b)
{
    es_model_build_int(b, "spatial", 1);
    es_model_build_float(b, "epsilon", 0.01f);
}

static void set_ratio(es_model_build *b)
{
    es_model_build_float(b, "ratio", 0.4f);
}

static void set_nothing(es_model_build *b)
{
    (void)b;
}

static const old_op old_ops[] = {
    {"squeeze", "Squeeze", 11, 4, {2, 1, 4, 5}, set_axes, NULL, NULL, NULL},
    {"unsqueeze", "Unsqueeze", 7, 3, {2, 3, 4}, set_axes, NULL, NULL, NULL},
    {"reduce sum", "ReduceSum", 11, 4, {2, 3, 4, 5}, set_axes, NULL, NULL, NULL},
    {"reduce sum of all", "ReduceSum", 11, 4, {2, 3, 4, 5}, set_nothing, NULL, NULL, NULL},
    {"split", "Split", 11, 3, {2, 3, 4}, set_split, NULL, "y2", NULL},
    {"clip", "Clip", 7, 4, {2, 3, 4, 5}, set_clip, NULL, NULL, NULL},
    {"clip above", "Clip", 10, 4, {2, 3, 4, 5}, set_clip_max, NULL, NULL, NULL},
    {"clip nothing", "Clip", 10, 4, {2, 3, 4, 5}, set_nothing, NULL, NULL, NULL},
    {"pad", "Pad", 10, 4, {1, 2, 3, 4}, set_pad, NULL, NULL, NULL},
    {"slice", "Slice", 9, 4, {2, 3, 4, 5}, set_slice, NULL, NULL, NULL},
    {"slice all axes", "Slice", 9, 4, {2, 3, 4, 5}, set_slice_all, NULL, NULL, NULL},
    {"top k", "TopK", 9, 2, {3, 7, 0, 0}, set_k, NULL, "y2", NULL},
    {"upsample 7", "Upsample", 7, 4, {1, 2, 3, 4}, set_scales, NULL, NULL, "Upsample"},
    {"upsample 9", "Upsample", 9, 4, {1, 2, 3, 4}, set_nothing, "scales", NULL, "Upsample"},
    {"resize 10", "Resize", 10, 4, {1, 2, 3, 4}, set_nothing, "scales", NULL, NULL},
    {"softmax", "Softmax", 11, 4, {2, 3, 4, 5}, set_nothing, NULL, NULL, NULL},
    {"softmax of a row", "Softmax", 11, 2, {2, 30, 0, 0}, set_nothing, NULL, NULL, "Flatten"},
    {"softmax of ones", "Softmax", 9, 4, {2, 30, 1, 1}, set_nothing, NULL, NULL, "Flatten"},
    {"softmax of all", "Softmax", 12, 4, {2, 3, 4, 5}, set_axis_0, NULL, NULL, NULL},
    {"softmax last", "Softmax", 12, 4, {2, 3, 4, 5}, set_axis_last, NULL, NULL, "Flatten"},
    {"log softmax", "LogSoftmax", 7, 3, {2, 3, 4}, set_nothing, NULL, NULL, NULL},
    {"hardmax", "Hardmax", 7, 3, {2, 3, 4}, set_nothing, NULL, NULL, NULL},
    {"batch norm", "BatchNormalization", 7, 4, {2, 3, 4, 5}, set_norm, "norm", NULL, NULL},
    {"dropout", "Dropout", 7, 2, {3, 4, 0, 0}, set_ratio, NULL, NULL, NULL},
    {"scatter", "Scatter", 9, 2, {3, 4, 0, 0}, set_nothing, "scatter", NULL, "Scatter"},
};

static es_model_build *build_old(fixture *all, const old_op *old)
{
    static const float ones[4] = {1, 1, 2, 2};
    static const float norm[3] = {0.5f, 1.5f, 1.0f};
    es_model_build *b = es_model_build_new(all->arena, old->name, old->opset);
    const char *inputs[6] = {"x", old->extra, NULL};
    assert_non_null(b);
    es_model_build_input(b, "x", ES_MODEL_FLOAT, old->rank, old->dims, NULL);
    if (old->extra != NULL && strcmp(old->extra, "scales") == 0)
        es_model_build_weight(b, "scales", ES_MODEL_FLOAT, 1, (const int64_t[]){4}, ones, 16);
    if (old->extra != NULL && strcmp(old->extra, "norm") == 0)
        for (size_t i = 1; i <= 4; i++) {
            static const char *const names[] = {"", "scale", "shift", "mean", "variance"};
            inputs[i] = names[i];
            es_model_build_weight(b, names[i], ES_MODEL_FLOAT, 1, (const int64_t[]){3}, norm, 12);
        }
    if (old->extra != NULL && strcmp(old->extra, "scatter") == 0) {
        inputs[1] = "indices";
        inputs[2] = "updates";
        es_model_build_weight(b, "indices", ES_MODEL_INT64, 2, (const int64_t[]){1, 2},
                              (const int64_t[]){1, 2}, 16);
        es_model_build_weight(b, "updates", ES_MODEL_FLOAT, 2, (const int64_t[]){1, 2}, ones, 8);
    }
    es_model_build_node(b, old->op, NULL, "it", inputs, NAMES("y", old->second));
    old->attrs(b);
    es_model_build_output(b, "y", ES_MODEL_FLOAT, 0, NULL, NULL);
    if (old->second != NULL)
        es_model_build_output(b, old->second,
                              strcmp(old->op, "TopK") == 0 ? ES_MODEL_INT64 : ES_MODEL_FLOAT, 0,
                              NULL, NULL);
    return b;
}

static void each_operator_keeps_its_meaning(void **state)
{
    fixture *all = fixture_get(state);
    for (size_t i = 0; i < sizeof old_ops / sizeof *old_ops; i++) {
        const old_op *old = &old_ops[i];
        es_error err = {0};
        const es_model *model = NULL;
        assert_ok_err(es_model_build_finish(build_old(all, old), &model, &err), err);
        es_tensor x = es_tensor_make(ES_DTYPE_F32, old->dims, old->rank, NULL);
        x.data = es_arena_take(all->arena, x.size_bytes, 1);
        assert_non_null(x.data);
        tensor_fill_reference(&x);
        compare(all, old->name, model, &x, 1, old->gone);
    }
}

static void real_models_keep_their_meaning(void **state)
{
    fixture *all = fixture_get(state);
    for (size_t i = 0; real_models[i] != NULL; i++) {
        char name[100];
        (void)snprintf(name, sizeof name, "%s.onnx", real_models[i]);
        const char *path = es_test_data(name);
        es_error err = {0};
        const es_model *model = NULL;
        es_tensor inputs[ES_SESSION_PORTS_MAX];
        ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
        if (path == NULL || strstr(name, "densenet") != NULL || strstr(name, "resnet50") != NULL ||
            strstr(name, "alexnet") != NULL)
            continue; /* the same operators as the others, and large */
        assert_ok_err(es_model_load(all->arena, path, es_model_opts_default(), &model, &err), err);
        int64_t opset = es_model_opset_of(model, "");
        if (opset < ES_MODEL_OPSET_OLDEST || opset >= ES_MODEL_OPSET_UPGRADED ||
            strstr(name, "randomforest") != NULL) /* gives a sequence of maps */
            continue;
        assert_ok_err(
            es_session_open(all->runtime, path, es_session_opts_default(), &session, &err), err);
        assert_ok_err(real_inputs(all->arena, session, inputs, &err), err);
        compare(all, name, model, inputs, es_session_input_count(session), NULL);
    }
}

static void what_cannot_be_upgraded_says_so(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const es_model *model = NULL;
    const es_model *upgraded = NULL;
    const struct {
        int64_t opset;
        int64_t spatial;
        const char *words;
    } rows[] = {{6, 1, "opset 6: upgrading needs at least 7"},
                {7, 0, "(BatchNormalization): with spatial=0"}};
    for (size_t i = 0; i < 2; i++) {
        old_op old = {"bn",         "BatchNormalization", rows[i].opset, 4,
                      {2, 3, 4, 5}, set_nothing,          "norm",        NULL,
                      NULL};
        es_model_build *b = build_old(all, &old);
        es_model_build_int(b, "spatial", rows[i].spatial);
        assert_ok_err(es_model_build_finish(b, &model, &err), err);
        assert_fails(es_model_upgrade(all->arena, model, &upgraded, &err), ES_ERR_UNSUPPORTED, err,
                     rows[i].words);
    }
    old_op new = {"relu", "Relu", 17, 1, {3, 0, 0, 0}, set_nothing, NULL, NULL, NULL};
    assert_ok_err(es_model_build_finish(build_old(all, &new), &model, &err), err);
    assert_ok_err(es_model_upgrade(all->arena, model, &upgraded, &err), err);
    assert_ptr_equal(model, upgraded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_operator_keeps_its_meaning),
                                       cmocka_unit_test(real_models_keep_their_meaning),
                                       cmocka_unit_test(what_cannot_be_upgraded_says_so)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
