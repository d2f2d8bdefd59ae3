/* Distilling: the loss is Hinton's, the student learns, teachers may be many and labels missing. */
#include "compress/test_learn.h"

#include <stdlib.h>

#define FEW "batch=20,rate=0.05,threads=1"
#define STUDENT "{net: cnn, input: [1, 8, 8], classes: 3, width: 0.25}"

/* A model that knows the set. */
static void teach(test_job *t, const char *spec, size_t count)
{
    test_job_start(t, spec, count);
    es_variants made = test_recipe(t, "finetune:epochs=6," FEW);
    t->job.model = made.items[0].stages[0].model;
    assert_true(test_accuracy(t, t->job.model) > 0.95);
}

static void write_text(char *path, const char *text)
{
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(file);
}

static void a_narrower_student_learns(void **state)
{
    (void)state;
    test_job t;
    teach(&t, TEST_CNN, 240);
    es_variants made = test_recipe(&t, "distil:width=0.5,start=fresh,epochs=6," FEW);
    assert_string_equal(made.items[0].name, "m-distilled");
    assert_true(test_accuracy(&t, made.items[0].stages[0].model) > 0.95);
    int64_t before = es_doc_find(test_report(&made, 0, "before"), "macs")->as.integer;
    int64_t after = es_doc_find(test_report(&made, 0, "after"), "macs")->as.integer;
    assert_true(after * 3 < before);
    assert_int_equal(test_number(&made, 0, "teachers"), 1);
    es_variants sliced = test_recipe(&t, "distil:width=0.5,epochs=0," FEW);
    assert_true(test_accuracy(&t, sliced.items[0].stages[0].model) < 1);
    test_job_done(&t);
}

/* With alpha=0 the teacher says nothing: the same as training alone. */
static void alpha_0_is_training_alone(void **state)
{
    (void)state;
    test_job t;
    teach(&t, TEST_SMALL, 120);
    es_variants made =
        test_recipe(&t, "distil:width=1,start=slice,alpha=0,epochs=2,add_norms=no," FEW);
    es_variants alone = test_recipe(&t, "distil:width=1,epochs=0," FEW "+finetune:epochs=2," FEW);
    const float *a = test_scores(&t, test_nn_of(&t, made.items[0].stages[0].model), 20);
    const float *b = test_scores(&t, test_nn_of(&t, alone.items[0].stages[0].model), 20);
    for (size_t i = 0; i < 60; i++)
        assert_near(a[i], b[i], 1e-3);
    test_job_done(&t);
}

/* A student alike its teacher in all, with alpha=1, has nothing to learn. */
static void a_teacher_cannot_teach_itself(void **state)
{
    (void)state;
    test_job t;
    const char *flat = "{input: [64], layers: [{dense: {units: 16, name: d1}}, relu, "
                       "{dense: {units: 3, name: logits}}]}";
    teach(&t, flat, 120);
    es_variants made = test_recipe(
        &t, "distil:width=1,alpha=1,epochs=2,weight_decay=0,temperature=1,add_norms=no," FEW);
    const es_nn *before = test_nn_of(&t, t.job.model);
    const es_nn *after = test_nn_of(&t, made.items[0].stages[0].model);
    const es_doc *epochs = test_report(&made, 0, "epochs");
    assert_near(es_doc_find(epochs->as.list.items[1], "loss")->as.number, 0, 1e-6);
    const es_nn_param *logits =
        &after->layers.items[es_nn_find(after, "logits").index].params[1]; /* biases: not sorted */
    const es_nn_param *old = &before->layers.items[es_nn_find(before, "logits").index].params[1];
    for (size_t k = 0; k < 3; k++)
        assert_near(logits->values[k], old->values[k], 1e-5);
    test_job_done(&t);
}

static void labels_may_be_missing(void **state)
{
    (void)state;
    test_job t;
    teach(&t, TEST_CNN, 240);
    es_dataset bare = t.set;
    bare.labels = NULL;
    bare.class_count = 0;
    t.job.fit.dataset = &bare;
    es_variants made = test_recipe(&t, "distil:width=0.5,start=fresh,epochs=6," FEW);
    assert_true(test_accuracy(&t, made.items[0].stages[0].model) > 0.95);
    assert_near(test_number(&made, 0, "alpha"), 1, 0);
    test_job_done(&t);
}

static void students_and_teachers_from_files(void **state)
{
    (void)state;
    test_job t;
    es_error err = {0};
    char spec[] = "/tmp/distil_spec_XXXXXX";
    char wrong[] = "/tmp/distil_wrong_XXXXXX";
    char onnx[] = "/tmp/distil_onnx_XXXXXX";
    char recipe[300];
    write_text(spec, STUDENT);
    write_text(wrong, "{net: cnn, input: [1, 8, 8], classes: 4}");
    write_text(onnx, "");
    teach(&t, TEST_CNN, 120);
    assert_ok_err(es_model_write(t.arena, t.job.model, onnx, &err), err);
    (void)snprintf(recipe, sizeof recipe,
                   "distil:student=%s,teachers=%s|%s,mixup=0.2,epochs=4," FEW, spec, onnx, onnx);
    es_variants made = test_recipe(&t, recipe);
    assert_int_equal(test_number(&made, 0, "teachers"), 3);
    assert_true(test_accuracy(&t, made.items[0].stages[0].model) > 0.8);
    (void)snprintf(recipe, sizeof recipe, "distil:student=%s", wrong);
    test_recipe_fails(&t, recipe, ES_ERR_ARG, "the student gives 4, the teachers 3 classes");
    test_recipe_fails(&t, "distil:own=no", ES_ERR_ARG, "no teacher");
    test_recipe_fails(&t, "distil:teachers=/nowhere.onnx", ES_ERR_IO, "teacher '/nowhere.onnx'");
    test_recipe_fails(&t, "distil:student=/nowhere.yaml", ES_ERR_IO, "student");
    assert_int_equal(unlink(spec) + unlink(wrong) + unlink(onnx), 0);
    test_job_done(&t);
}

static void goes_on_where_it_was_stopped(void **state)
{
    (void)state;
    test_goes_on(TEST_CNN, "distil:width=0.5,epochs=3,shift=1,flip=yes," FEW, "distil", 0.4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_narrower_student_learns),
        cmocka_unit_test(alpha_0_is_training_alone),
        cmocka_unit_test(a_teacher_cannot_teach_itself),
        cmocka_unit_test(labels_may_be_missing),
        cmocka_unit_test(students_and_teachers_from_files),
        cmocka_unit_test(goes_on_where_it_was_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
