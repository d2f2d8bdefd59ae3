/* Bottlenecks: bytes that cross, halves that answer as the whole, an early classifier, the choice.
 */
#include "compress/neck.h"
#include "compress/test_learn.h"

#define FEW "batch=20,rate=0.003,distil_rate=0.003,threads=1,samples=60"
#define FEW_TRAIN "batch=20,rate=0.05,threads=1"

static void train_first(test_job *t, size_t count)
{
    test_job_start(t, TEST_CNN, count);
    es_variants trained = test_recipe(t, "finetune:epochs=4," FEW_TRAIN);
    t->job.model = trained.items[0].stages[0].model;
}

static void bytes_cross(void **state)
{
    (void)state;
    test_job t;
    train_first(&t, 240);
    es_variants made = test_recipe(&t, "bottleneck:at=pool1,bytes=8,distil_epochs=4,epochs=4," FEW);
    const es_variant *v = &made.items[0];
    assert_string_equal(v->name, "m-bottleneck");
    assert_int_equal(v->stage_count, 2);
    assert_false(v->stages[0].exit);
    assert_int_equal(v->pipeline_count, 1);
    assert_true(v->pipelines[0].thresholds[0] > 1);
    const es_model_tensor *crosses = es_model_output(v->stages[0].model, 0);
    assert_int_equal(es_model_output_count(v->stages[0].model), 1);
    assert_int_equal(crosses->type, ES_MODEL_UINT8);
    int64_t bytes = 1;
    for (int32_t i = 1; i < crosses->rank; i++)
        bytes *= crosses->dims[i];
    assert_int_equal(bytes, test_number(&made, 0, "payload_bytes"));
    assert_true(bytes <= 8);
    assert_int_equal(es_model_input(v->stages[1].model, 0)->type, ES_MODEL_UINT8);
    assert_string_equal(es_model_op_at(v->stages[1].model, 0).op, "DequantizeLinear");
    size_t nodes = es_model_node_count(v->stages[0].model);
    assert_string_equal(es_model_op_at(v->stages[0].model, nodes - 1).op, "QuantizeLinear");
    assert_int_equal(test_number(&made, 0, "input_values"), 64);
    test_job_done(&t);
}

static void an_early_classifier_leaves(void **state)
{
    (void)state;
    static const char *const ways[] = {"joint", "after"};
    for (size_t i = 0; i < 2; i++) {
        test_job t;
        char recipe[300];
        train_first(&t, 300);
        (void)snprintf(recipe, sizeof recipe,
                       "bottleneck:at=pool2,bytes=16,classifier=%s,distil_epochs=4,epochs=4,tune="
                       "0.3,loss=0.1,%s",
                       ways[i], FEW);
        es_variants made = test_recipe(&t, recipe);
        const es_variant *v = &made.items[0];
        assert_true(v->stages[0].exit);
        assert_string_equal(es_model_output(v->stages[0].model, 0)->name, "exit-1");
        assert_int_equal(es_model_output(v->stages[0].model, 0)->dims[1], 3);
        assert_int_equal(es_model_output(v->stages[0].model, 1)->type, ES_MODEL_UINT8);
        const es_doc *exits = test_report(&made, 0, "exits");
        assert_int_equal(exits->as.list.count, 2);
        double accuracy = 0;
        es_error err = {0};
        assert_ok_err(
            es_doc_need_number(exits->as.list.items[0], "accuracy", 0, 1, &accuracy, &err), err);
        assert_true(accuracy > 0.5);
        const es_variant_pipeline *last = &v->pipelines[v->pipeline_count - 1];
        assert_int_equal(v->pipeline_count, 2);
        assert_string_equal(last->suffix, "-tail");
        assert_true(last->thresholds[0] > 1);
        test_job_done(&t);
    }
}

/* With the encoder frozen, fine-tuning leaves the device's part as head distillation made it. */
static void a_frozen_encoder_stays(void **state)
{
    (void)state;
    test_job t;
    train_first(&t, 120);
    const char *const recipes[] = {
        "bottleneck:at=pool1,bytes=8,distil_epochs=1,epochs=0,encoder=frozen," FEW,
        "bottleneck:at=pool1,bytes=8,distil_epochs=1,epochs=2,encoder=frozen," FEW,
        "bottleneck:at=pool1,bytes=8,distil_epochs=1,epochs=2,encoder=free," FEW};
    const void *bytes[3];
    size_t sizes[3];
    for (size_t i = 0; i < 3; i++) {
        es_error err = {0};
        es_variants made = test_recipe(&t, recipes[i]);
        assert_ok_err(
            es_model_bytes(t.arena, made.items[0].stages[0].model, &bytes[i], &sizes[i], &err),
            err);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    assert_memory_not_equal(bytes[1], bytes[2], sizes[1] < sizes[2] ? sizes[1] : sizes[2]);
    test_job_done(&t);
}

static void cuts_are_chosen(void **state)
{
    (void)state;
    test_job t;
    train_first(&t, 200);
    es_variants made = test_recipe(
        &t, "bottleneck:early=0.8,trial=100,bytes=8,slack=1,distil_epochs=0,epochs=0," FEW);
    const es_doc *candidates = test_report(&made, 0, "candidates");
    assert_true(candidates->as.list.count >= 3);
    double least = (double)INFINITY;
    const char *least_name = "";
    for (size_t i = 0; i < candidates->as.list.count; i++) {
        const es_doc *c = candidates->as.list.items[i];
        es_error err = {0};
        double share = 0;
        double bytes = 0;
        double agreement = 0;
        const char *name = NULL;
        assert_ok_err(es_doc_need_number(c, "macs_share", 0, 0.8, &share, &err), err);
        assert_ok_err(es_doc_need_number(c, "bytes", 1, 8, &bytes, &err), err);
        assert_ok_err(es_doc_need_number(c, "agreement", 0, 1, &agreement, &err), err);
        assert_ok_err(es_doc_need_text(c, "at", &name, &err), err);
        if (share * bytes < least)
            least_name = name;
        least = fmin(least, share * bytes);
    }
    const es_doc *at = test_report(&made, 0, "at");
    assert_string_equal(at->as.text.bytes, least_name); /* with so much slack the least product */
    test_job_done(&t);
}

static void same_seed_same_bytes(void **state)
{
    (void)state;
    test_job t;
    train_first(&t, 120);
    const void *bytes[2];
    size_t sizes[2];
    for (size_t i = 0; i < 2; i++) {
        es_error err = {0};
        es_variants made = test_recipe(&t, "bottleneck:early=0.8,trial=60,classifier=joint,tune=0."
                                           "3,distil_epochs=1,epochs=1," FEW);
        assert_ok_err(
            es_model_bytes(t.arena, made.items[0].stages[1].model, &bytes[i], &sizes[i], &err),
            err);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    test_job_done(&t);
}

static void refusals(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 60);
    const struct {
        const char *recipe, *words;
    } rows[] = {
        {"bottleneck:at=pool7", "at: 'pool7' is no layer of the model; did you mean 'pool"},
        {"bottleneck:at=pool1,stride=3", "no cut behind pool1 fits 8 bytes with that stride"},
        {"bottleneck:early=0.001", "no cut fits 8 bytes"},
        {"bottleneck:classifier=maybe", "'maybe' is not known"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        test_recipe_fails(&t, rows[i].recipe, ES_ERR_ARG, rows[i].words);
    t.set.labels = NULL;
    test_recipe_fails(&t, "bottleneck:at=pool1," FEW, ES_ERR_ARG, "has no labels to learn from");
    test_job_done(&t);
    test_job_start(&t, "{net: autoencoder, input: [64]}", 60);
    test_recipe_fails(&t, "bottleneck:bytes=8", ES_ERR_ARG, "");
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_cross),
        cmocka_unit_test(an_early_classifier_leaves),
        cmocka_unit_test(a_frozen_encoder_stays),
        cmocka_unit_test(cuts_are_chosen),
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
