/* Specialising: the trunk stays bit for bit, the head learns what the node meets. */
#include "compress/test_learn.h"

#include <stdlib.h>

#define FEW "batch=20,rate=0.05,threads=1"

static void teach(test_job *t, size_t count)
{
    test_job_start(t, TEST_CNN, count);
    es_variants made = test_recipe(t, "finetune:epochs=6," FEW);
    t->job.model = made.items[0].stages[0].model;
}

/* Layers whose values differ. */
static size_t changed(test_job *t, const es_model *a, const es_model *b, const char *allowed)
{
    const es_nn *before = test_nn_of(t, a);
    const es_nn *after = test_nn_of(t, b);
    size_t count = 0;
    assert_int_equal(before->layers.count, after->layers.count);
    for (size_t i = 0; i < before->layers.count; i++) {
        const es_nn_layer *layer = &before->layers.items[i];
        for (size_t p = 0; p < layer->param_count; p++) {
            if (memcmp(layer->params[p].values, after->layers.items[i].params[p].values,
                       layer->params[p].count * sizeof(float)) == 0)
                continue;
            count++;
            assert_non_null(strstr(allowed, layer->name));
        }
    }
    return count;
}

static void the_trunk_stays(void **state)
{
    (void)state;
    test_job t;
    teach(&t, 240);
    es_variants made = test_recipe(&t, "specialise:epochs=3,name=hall," FEW);
    assert_string_equal(made.items[0].name, "m-hall");
    assert_int_equal(changed(&t, t.job.model, made.items[0].stages[0].model, "logits"), 2);
    made = test_recipe(&t, "specialise:from=block3-a-norm,epochs=2," FEW);
    assert_true(changed(&t, t.job.model, made.items[0].stages[0].model,
                        "block3-b block3-b-norm logits") >= 4);
    test_recipe_fails(&t, "specialise:from=nowhere", ES_ERR_ARG, "from=nowhere is no layer");
    test_job_done(&t);
}

/* A node whose classes are others by name: 0 and 1 are exchanged, and the third is not met. */
static void a_nodes_own_data(void **state)
{
    (void)state;
    test_job t;
    teach(&t, 240);
    uint32_t *labels = ES_TAKE_ARRAY(t.arena, uint32_t, t.set.count);
    for (size_t i = 0; i < t.set.count; i++)
        labels[i] = t.set.labels[i] < 2 ? 1 - t.set.labels[i] : 2;
    es_dataset own = t.set;
    own.labels = labels;
    t.job.fit.dataset = &own;
    es_variants made = test_recipe(&t, "specialise:classes=0|1,fresh=yes,held=0.25,epochs=30," FEW);
    assert_true(test_number(&made, 0, "accuracy_before") < 0.1);
    assert_true(test_number(&made, 0, "accuracy_after") > 0.9);
    assert_string_equal(test_report(&made, 0, "accuracy_on")->as.text.bytes, "held");
    assert_int_equal(test_number(&made, 0, "samples"), 120);
    es_nn *nn = test_nn_of(&t, made.items[0].stages[0].model);
    assert_int_equal(nn->layers.items[nn->outputs[0].layer.index].shape.count, 3);
    test_recipe_fails(&t, "specialise:classes=3", ES_ERR_ARG, "'3' must be a number from 0 to 2");
    test_recipe_fails(&t, "specialise:classes=one", ES_ERR_ARG, "'one' must be a number");
    test_job_done(&t);
}

static void data_from_a_file(void **state)
{
    (void)state;
    test_job t;
    es_error err = {0};
    char x[] = "/tmp/specialise_x_XXXXXX";
    char y[] = "/tmp/specialise_y_XXXXXX";
    char recipe[200];
    teach(&t, 240);
    es_data_array labels = {.type = ES_DATA_U32,
                            .rank = 1,
                            .dims = {t.set.count},
                            .count = t.set.count,
                            .bytes = t.set.labels};
    (void)close(mkstemp(x));
    (void)close(mkstemp(y));
    assert_ok_err(es_data_write_npy(x, &t.set.x, &err), err);
    assert_ok_err(es_data_write_npy(y, &labels, &err), err);
    es_variants inside = test_recipe(&t, "specialise:epochs=2," FEW);
    (void)snprintf(recipe, sizeof recipe, "specialise:data=%s,labels=%s,epochs=2," FEW, x, y);
    es_variants made = test_recipe(&t, recipe);
    assert_int_equal(
        changed(&t, inside.items[0].stages[0].model, made.items[0].stages[0].model, ""), 0);
    assert_int_equal(unlink(x) + unlink(y), 0);
    test_recipe_fails(&t, recipe, ES_ERR_IO, "cannot open");
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trunk_stays),
        cmocka_unit_test(a_nodes_own_data),
        cmocka_unit_test(data_from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
