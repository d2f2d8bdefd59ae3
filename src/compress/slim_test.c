/* Slimming: every width's weights are the master's, bit for bit, and every width works. */
#include "base/file.h"
#include "compress/test_learn.h"

#include <stdlib.h>

#define FEW "batch=20,rate=0.05,threads=1"
#define FOLDED                                                                                     \
    "{input: [1, 8, 8], layers: [{conv: {units: 16, kernel: 3, name: c1}}, relu, "                 \
    "{max-pool: {kernel: 2}}, {conv: {units: 16, kernel: 3, name: c2}}, relu, global-pool, "       \
    "{dense: {units: 3, name: logits}}]}"

/* Every value of a narrow net but of norms that are its own lies in the master at the same place,
 * counted along each axis. */
static void check_shared(const es_nn *narrow, const es_nn *master, bool own_norms)
{
    assert_int_equal(narrow->layers.count, master->layers.count);
    for (size_t i = 0; i < narrow->layers.count; i++) {
        const es_nn_layer *layer = &narrow->layers.items[i];
        for (size_t p = 0; p < layer->param_count; p++) {
            const es_nn_param *a = &layer->params[p];
            const es_nn_param *b = &master->layers.items[i].params[p];
            if (a->role == ES_NN_MEAN || a->role == ES_NN_VARIANCE ||
                (own_norms && layer->kind == ES_NN_BATCH_NORM))
                continue;
            size_t columns = a->rank > 1 ? a->dims[1] : 1;
            size_t wide = b->rank > 1 ? b->dims[1] : 1;
            size_t inner = a->count / (a->dims[0] * columns);
            for (size_t row = 0; row < a->dims[0]; row++)
                assert_memory_equal(a->values + row * columns * inner,
                                    b->values + row * wide * inner,
                                    columns * inner * sizeof(float));
        }
    }
}

static void check_widths(test_job *t, const char *recipe, bool own_norms)
{
    es_variants made = test_recipe(t, recipe);
    assert_int_equal(made.count, 3);
    assert_string_equal(made.items[0].name, "m-slim-25");
    assert_string_equal(made.items[2].name, "m-slim-100");
    const es_nn *master = test_nn_of(t, made.items[2].stages[0].model);
    uint64_t macs = 0;
    for (size_t w = 0; w < 3; w++) {
        es_nn *nn = test_nn_of(t, made.items[w].stages[0].model);
        check_shared(nn, master, own_norms);
        assert_true(es_nn_work_of(nn).macs > macs);
        macs = es_nn_work_of(nn).macs;
        assert_true(test_accuracy(t, made.items[w].stages[0].model) > 0.9);
        const es_doc *list = test_report(&made, w, "widths");
        assert_int_equal(list->as.list.count, 3);
        assert_int_equal(es_doc_find(list->as.list.items[w], "macs")->as.integer, macs);
        assert_string_equal(test_report(&made, w, "master")->as.text.bytes, "m-slim-100");
    }
}

static void widths_share_the_masters_values(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 240);
    check_widths(&t, "slim:widths=0.25|0.5|1,start=fresh,epochs=6," FEW, false);
    check_widths(&t, "slim:widths=0.25|0.5|1,start=fresh,between=0,epochs=8,norms=own," FEW, true);
    test_job_done(&t);
}

static void folded_models_get_norms(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, FOLDED, 240);
    es_variants made = test_recipe(&t, "slim:widths=0.5|1,epochs=6,smoothing=0.1,multiple=1," FEW);
    for (size_t w = 0; w < 2; w++)
        assert_true(test_accuracy(&t, made.items[w].stages[0].model) > 0.9);
    test_job_done(&t);
}

/* Norms put in change nothing that the net gives. */
static void added_norms_change_nothing(void **state)
{
    (void)state;
    es_error err = {0};
    test_job t;
    es_learner l;
    es_nn *nn = NULL;
    size_t added = 0;
    test_job_start(&t, FOLDED, 240);
    es_variant from = es_variant_original(&t.job);
    es_learn_opts opts = {.batch = 20, .threads = 1};
    assert_ok_err(es_learner_open(&t.job, "test", &from, opts, &l, &nn, &err), err);
    const float *before = test_scores(&t, nn, 20);
    assert_ok_err(es_norms_add(&l, nn, &added, &err), err);
    assert_int_equal(added, 2); /* not behind the logits */
    const float *after = test_scores(&t, nn, 20);
    for (size_t k = 0; k < 60; k++)
        assert_near(before[k], after[k], 1e-4 * (1 + fabs((double)before[k])));
    for (size_t i = 0; i < nn->layers.count; i++)
        assert_false(nn->layers.items[i].frozen);
    assert_ok_err(es_norms_add(&l, nn, &added, &err), err);
    assert_int_equal(added, 0);
    es_learner_close(&l);
    test_job_done(&t);
}

/* The answers of one file of all widths, as the runtime gives them. */
static void check_switched(test_job *t, const es_variants *made, const char *path)
{
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    es_error err = {0};
    assert_ok_err(es_session_open(t->job.runtime, path, es_session_opts_default(), &session, &err),
                  err);
    assert_int_equal(es_session_input_count(session), 2);
    for (size_t w = 0; w < made->count; w++) {
        const float *wanted = test_scores(t, test_nn_of(t, made->items[w].stages[0].model), 10);
        for (size_t i = 0; i < 10; i++) {
            float x[TEST_SIZE];
            float y[3];
            int64_t width = (int64_t)w;
            es_dataset_sample(&t->set, i, x);
            es_tensor in[] = {
                es_tensor_make(ES_DTYPE_F32, (const int64_t[]){1, 1, TEST_SIDE, TEST_SIDE}, 4, x),
                es_tensor_make(ES_DTYPE_I64, (const int64_t[]){1}, 1, &width)};
            es_tensor out = es_tensor_make(ES_DTYPE_F32, (const int64_t[]){1, 3}, 2, y);
            assert_ok_err(es_session_run(session, in, 2, &out, 1, &err), err);
            for (size_t k = 0; k < 3; k++)
                assert_near(y[k], wanted[i * 3 + k], 1e-4 * (1 + fabs((double)y[k])));
        }
    }
}

static size_t bytes_of_file(es_arena *arena, const char *path)
{
    es_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok_err(es_file_read(arena, path, TEST_CAP / 4, &bytes, &size, &err), err);
    return size;
}

static void one_file_switches(void **state)
{
    static const char *const specs[] = {
        TEST_CNN, FOLDED,
        "{input: [1, 8, 8], layers: [{conv: {units: 8, kernel: 3, name: a}}, {relu: {name: ra}}, "
        "{conv: {units: 8, kernel: 3, name: b, from: input}}, {concat: {from: [ra, b, input], "
        "name: "
        "all}}, {conv: {units: 16, kernel: 3, stride: 2, name: c}}, relu, flatten, {dense: {units: "
        "16, name: d}}, relu, {dense: {units: 3, name: logits}}]}"};
    (void)state;
    es_error err = {0};
    es_runtime *runtime = NULL;
    if (es_runtime_new(es_runtime_opts_default(), &runtime, &err) != ES_OK) {
        print_message("skipped: %s\n", es_error_text(&err));
        skip();
    }
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        test_job t;
        char path[] = "/tmp/slim_test_XXXXXX";
        char recipe[200];
        (void)close(mkstemp(path));
        (void)snprintf(recipe, sizeof recipe,
                       "slim:widths=0.25|0.5|1,multiple=1,epochs=1,norms=%s,switch=%s," FEW,
                       i == 1 ? "own" : "shared", path);
        test_job_start(&t, specs[i], 60);
        t.job.runtime = runtime;
        es_variants made = test_recipe(&t, recipe);
        check_switched(&t, &made, path);
        if (i == 0) { /* hardly more than the widest alone */
            const void *bytes = NULL;
            size_t widest = 0;
            assert_ok_err(
                es_model_bytes(t.arena, made.items[2].stages[0].model, &bytes, &widest, &err), err);
            assert_true((double)bytes_of_file(t.arena, path) < 1.1 * (double)widest);
            es_variants coded =
                test_recipe(&t, "net=slim:widths=0.5|1,epochs=1," FEW "+quantise:samples=32");
            assert_int_equal(coded.count, 2);
            assert_string_equal(coded.items[0].name, "net-slim-50-int8");
        }
        assert_int_equal(unlink(path), 0);
        test_job_done(&t);
    }
    es_runtime_free(runtime);
}

static void what_cannot_switch_is_told(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t,
                   "{input: [1, 8, 8], layers: [{conv: {units: 8, kernel: 3, name: a}}, {conv: "
                   "{units: 8, groups: 8, kernel: 3, name: depth}}, relu, global-pool, {dense: "
                   "{units: 3, name: logits}}]}",
                   60);
    test_recipe_fails(&t, "slim:widths=0.5|1,epochs=0,switch=/tmp/never.onnx," FEW,
                      ES_ERR_UNSUPPORTED, "layer 'depth' (grouped conv): its size cannot");
    test_job_done(&t);
}

static void the_same_again(void **state)
{
    (void)state;
    test_job t;
    const char *recipe = "slim:widths=0.25|0.5|0.75|1,between=1,epochs=2,norms=own," FEW;
    test_job_start(&t, TEST_CNN, 120);
    es_variants first = test_recipe(&t, recipe);
    es_variants again = test_recipe(&t, recipe);
    test_same_models(&t, &first, &again);
    test_job_done(&t);
}

static void goes_on_where_it_was_stopped(void **state)
{
    (void)state;
    const char *recipe = "slim:widths=0.5|1,epochs=3,norms=own,average=0.9,mixup=0.2," FEW;
    test_goes_on(TEST_CNN, recipe, "slim", 0.5);
    test_goes_on(TEST_CNN, recipe, "slim norms-0.5", 0.5);
}

static void widths_must_make_sense(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 120);
    test_recipe_fails(&t, "slim:widths=0.5", ES_ERR_ARG, "two or more, the last 1");
    test_recipe_fails(&t, "slim:widths=0.5|0.7", ES_ERR_ARG, "two or more, the last 1");
    test_recipe_fails(&t, "slim:widths=1|0.5", ES_ERR_ARG, "must rise");
    test_recipe_fails(&t, "slim:widths=0|1", ES_ERR_ARG, "'0' must be a number above 0");
    test_recipe_fails(&t, "slim:widths=half|1", ES_ERR_ARG, "'half' must be a number");
    test_recipe_fails(&t, "slim:widths=0.5|0.51|1,batch=20", ES_ERR_ARG,
                      "widths 0.5 and 0.51 are the same net");
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_share_the_masters_values),
        cmocka_unit_test(folded_models_get_norms),
        cmocka_unit_test(added_norms_change_nothing),
        cmocka_unit_test(one_file_switches),
        cmocka_unit_test(what_cannot_switch_is_told),
        cmocka_unit_test(the_same_again),
        cmocka_unit_test(goes_on_where_it_was_stopped),
        cmocka_unit_test(widths_must_make_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
