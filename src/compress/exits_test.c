/* Exits: places, branches within their budget, training, stages that answer as the whole does. */
#include "compress/early.h"
#include "compress/test_learn.h"

#define FEW "batch=20,rate=0.003,threads=1"

static es_nn *cnn(test_job *t)
{
    return test_nn_of(t, t->job.model);
}

/* ---- places ---- */

/* A place is where nothing that is before is used behind: held against a plain search. */
static bool passes_all(const es_nn *nn, uint32_t at)
{
    bool reached[256] = {true};
    for (uint32_t i = 1; i < nn->layers.count; i++) {
        reached[i] = false;
        for (size_t k = 0; k < nn->layers.items[i].input_count; k++) {
            uint32_t from = nn->layers.items[i].inputs[k].index;
            reached[i] = reached[i] || (reached[from] && from != at);
        }
    }
    return !reached[nn->outputs[0].layer.index];
}

static void places_are_where_all_passes(void **state)
{
    (void)state;
    static const char *const specs[] = {
        "{net: cnn, input: [1, 8, 8], classes: 3, width: 0.5}",
        "{net: resnet-8, input: [1, 8, 8], classes: 3, width: 0.5}",
        "{net: mobilenet-v2, input: [1, 8, 8], classes: 3, width: 0.25}",
    };
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        es_error err = {0};
        test_job t;
        es_places places;
        test_job_start(&t, specs[s], 12);
        es_nn *nn = cnn(&t);
        assert_ok_err(es_places_find(t.arena, nn, &places, &err), err);
        assert_true(places.count >= 3);
        assert_int_equal(places.macs, es_nn_work_of(nn).macs);
        uint64_t before = 0;
        for (size_t i = 0; i < places.count; i++) {
            const es_place *p = &places.items[i];
            es_nn *head = NULL;
            assert_true(p->macs > before && p->macs < places.macs);
            before = p->macs;
            assert_true(passes_all(nn, p->layer.index));
            assert_ok_err(es_nn_part(t.arena, nn, (es_nn_id){0}, p->layer, &head, &err), err);
            assert_int_equal(es_nn_work_of(head).macs, p->macs);
        }
        for (uint32_t i = 1; i < nn->layers.count; i++) {
            es_place named;
            const char *name = nn->layers.items[i].name;
            bool is = es_places_named(t.arena, nn, name, &named, NULL) == ES_OK;
            bool ends = i == nn->outputs[0].layer.index;
            assert_int_equal(is, passes_all(nn, i) && !ends && i > 0);
        }
        test_job_done(&t);
    }
}

/* ---- branches ---- */

static void branches_keep_their_budget(void **state)
{
    (void)state;
    es_error err = {0};
    es_arena *arena = es_arena_new(TEST_CAP);
    const es_nn_shape shapes[] = {
        es_nn_shape_of(3, (const size_t[]){16, 28, 28}),
        es_nn_shape_of(3, (const size_t[]){8, 5, 9}), es_nn_shape_of(3, (const size_t[]){64, 1, 1}),
        es_nn_shape_of(2, (const size_t[]){6, 40}), es_nn_shape_of(1, (const size_t[]){50})};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (size_t depth = 0; depth <= 3; depth++) {
            const uint64_t budgets[] = {20000, 100000, 1000000};
            uint64_t before = 0;
            for (size_t b = 0; b < 3; b++) {
                es_branch_wish wish = {.in = shapes[s],
                                       .classes = 10,
                                       .depth = depth,
                                       .macs_max = budgets[b],
                                       .softmax = b == 1,
                                       .seed = 1};
                es_nn *branch = NULL;
                assert_ok_err(es_branch_make(arena, &wish, &branch, &err), err);
                uint64_t macs = es_nn_work_of(branch).macs;
                assert_true(macs <= budgets[b] && macs >= before);
                before = macs;
                es_nn_shape out = branch->layers.items[branch->outputs[0].layer.index].shape;
                assert_true(out.rank == 1 && out.count == 10);
            }
        }
        es_branch_wish wish = {.in = shapes[s], .classes = 10, .depth = 1, .macs_max = 1};
        es_nn *branch = NULL;
        assert_fails(es_branch_make(arena, &wish, &branch, &err), ES_ERR_ARG, err,
                     "even a classifier alone takes");
    }
    es_arena_free(arena);
}

/* ---- the step ---- */

static double member(const es_doc *list, size_t i, const char *key)
{
    double value = (double)NAN;
    es_error err = {0};
    assert_ok_err(es_doc_need_number(list->as.list.items[i], key, -1e18, 1e18, &value, &err), err);
    return value;
}

static void stages_are_made_and_told(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 400);
    es_variants trained = test_recipe(&t, "finetune:epochs=3," FEW);
    t.job.model = trained.items[0].stages[0].model;
    es_variants made =
        test_recipe(&t, "exits:shares=0.1|0.5,epochs=6,tune=0.3,loss=0|0.02,target=0.8," FEW);
    const es_variant *v = &made.items[0];
    assert_string_equal(v->name, "m-exits");
    assert_int_equal(v->stage_count, 3);
    assert_true(v->stages[0].exit && v->stages[1].exit && !v->stages[2].exit);
    assert_string_equal(v->stages[1].suffix, "-2");
    assert_int_equal(v->pipeline_count, 3);
    assert_string_equal(v->pipelines[0].suffix, "-0pt");
    assert_string_equal(v->pipelines[1].suffix, "-2pt");
    assert_string_equal(v->pipelines[2].suffix, "-certified");

    const es_doc *exits = test_report(&made, 0, "exits");
    assert_int_equal(exits->as.list.count, 3);
    uint64_t all = es_nn_work_of(cnn(&t)).macs;
    double total = 0;
    for (size_t k = 0; k < 3; k++) {
        int64_t macs = 0;
        int64_t params = 0;
        es_measure_work(t.arena, v->stages[k].model, &macs, &params);
        assert_int_equal(member(exits, k, "macs"), macs);
        total += (double)macs;
        assert_true(member(exits, k, "accuracy") > 0.8);
        assert_true(member(exits, k, "temperature") > 0);
        if (k == 2)
            break;
        assert_true(member(exits, k, "branch_macs") <=
                    0.3 * (k == 0
                               ? member(exits, 1, "macs_before") - member(exits, 0, "macs_before")
                               : (double)all - member(exits, 1, "macs_before")));
        total -= member(exits, k, "branch_macs");
    }
    assert_near(total, (double)all, 0.5);
    const es_doc *curve = test_report(&made, 0, "curve");
    assert_true(curve->as.list.count >= 1);
    for (size_t i = 1; i < curve->as.list.count; i++) {
        assert_true(member(curve, i, "macs") > member(curve, i - 1, "macs"));
        assert_true(member(curve, i, "accuracy") > member(curve, i - 1, "accuracy"));
    }
    assert_int_equal(test_number(&made, 0, "tune_samples"), 120);
    es_variants again =
        test_recipe(&t, "exits:shares=0.1|0.5,epochs=6,tune=0.3,loss=0|0.02,target=0.8," FEW);
    for (size_t p = 0; p < 3; p++)
        for (size_t k = 0; k < 2; k++)
            assert_true(again.items[0].pipelines[p].thresholds[k] == v->pipelines[p].thresholds[k]);
    const float *a = test_scores(&t, test_nn_of(&t, v->stages[0].model), 20);
    const float *b = test_scores(&t, test_nn_of(&t, again.items[0].stages[0].model), 20);
    assert_memory_equal(a, b, 20 * 3 * sizeof *a);
    test_job_done(&t);
}

/* A frozen model answers at its end what it answered before, but for the temperature. */
static void frozen_models_stay(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 200);
    es_variants made = test_recipe(&t, "exits:at=pool1,train=frozen,epochs=2,tune=0.3," FEW);
    const es_variant *v = &made.items[0];
    assert_int_equal(v->stage_count, 2);
    double temperature = member(test_report(&made, 0, "exits"), 1, "temperature");
    es_nn *first = test_nn_of(&t, v->stages[0].model);
    es_nn *second = test_nn_of(&t, v->stages[1].model);
    assert_string_equal(first->outputs[0].name, "exit-1");
    /* the stages as one net again */
    es_error err = {0};
    es_nn_id last = ES_NN_NONE;
    assert_ok_err(es_nn_attach(first, first->outputs[1].layer, second, "then-", &last, &err), err);
    first->output_count = 0;
    assert_ok_err(es_nn_output_add(first, NULL, last, &err), err);
    assert_ok_err(es_nn_seal(first, &err), err);
    const float *now = test_scores(&t, first, 30);
    const float *before = test_scores(&t, cnn(&t), 30);
    for (size_t i = 0; i < 90; i++)
        assert_near((double)now[i] * temperature, before[i], 1e-3 * (1 + fabs((double)before[i])));
    test_job_done(&t);
}

static void teachers_differ(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_SMALL, 120);
    static const char *const recipes[] = {"exits:count=1,epochs=1,teacher=none,weights=1|0.3," FEW,
                                          "exits:count=1,epochs=1,teacher=final," FEW,
                                          "exits:count=1,epochs=1,teacher=model," FEW,
                                          "exits:count=1,epochs=1,mixup=0.2," FEW};
    const float *scores[4];
    for (size_t i = 0; i < 4; i++) {
        es_variants made = test_recipe(&t, recipes[i]);
        es_nn *nn = test_nn_of(&t, made.items[0].stages[0].model);
        nn->output_count = 1; /* the answer, not what goes on */
        scores[i] = test_scores(&t, nn, 10);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(scores[i], scores[k], 30 * sizeof(float));
    }
    test_job_done(&t);
}

static void probabilities_stay_probabilities(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, "{net: cnn, input: [1, 8, 8], classes: 3, softmax: true, width: 0.5}", 120);
    es_variants made = test_recipe(&t, "exits:count=1,epochs=1," FEW);
    for (size_t k = 0; k < 2; k++) {
        es_nn *nn = test_nn_of(&t, made.items[0].stages[k].model);
        es_nn_id id = nn->outputs[0].layer;
        assert_int_equal(nn->layers.items[id.index].kind, ES_NN_SOFTMAX);
    }
    test_job_done(&t);
}

static void own_samples_to_tune(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_SMALL, 120);
    es_dataset tune;
    test_pictures(t.arena, 90, &tune);
    t.job.tune.dataset = &tune;
    es_variants made = test_recipe(&t, "exits:count=1,epochs=1," FEW);
    assert_int_equal(test_number(&made, 0, "tune_samples"), 90);
    assert_true(test_report(&made, 0, "tune_given")->as.boolean);
    test_job_done(&t);
}

static void refusals(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_CNN, 60);
    const struct {
        const char *recipe, *words;
        es_status status;
    } rows[] = {
        {"exits:at=pool9", "'pool9' is no layer of the model; did you mean 'pool", ES_ERR_ARG},
        {"exits:at=block1-b", "is no place where everything passes", ES_ERR_ARG},
        {"exits:at=pool2|pool1", "'pool1' must come behind 'pool2'", ES_ERR_ARG},
        {"exits:shares=0.5|0.2", "shares: 0.2 must be above 0.5", ES_ERR_ARG},
        {"exits:shares=1.5", "must be a number between 0 and 1", ES_ERR_ARG},
        {"exits:weights=1|2", "weights: '1|2', must be 3 numbers", ES_ERR_ARG},
        {"exits:weights=1|2|-3", "must be 3 numbers >= 0", ES_ERR_ARG},
        {"exits:loss=a,epochs=0", "loss: 'a' must be a number", ES_ERR_ARG},
        {"exits:cost=0.001", "even a classifier alone takes", ES_ERR_ARG},
        {"exits+exits", "exits works on one model, not on 3 segments", ES_ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *recipe = rows[i].recipe;
        if (strcmp(recipe, "exits+exits") == 0)
            recipe = "exits:epochs=0," FEW "+exits:epochs=0," FEW;
        test_recipe_fails(&t, recipe, rows[i].status, rows[i].words);
    }
    t.set.labels = NULL;
    test_recipe_fails(&t, "exits", ES_ERR_ARG, "'pictures' has no labels");
    test_job_done(&t);
    test_job_start(&t, "{net: autoencoder, input: [64]}", 60);
    test_recipe_fails(&t, "exits", ES_ERR_ARG, "");
    test_job_done(&t);
}

static void stops_when_asked(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, TEST_SMALL, 60);
    static const volatile sig_atomic_t now = 1;
    t.job.stop = &now;
    test_recipe_fails(&t, "exits:count=1,epochs=3," FEW, ES_ERR_CANCELLED, "stop");
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_where_all_passes),
        cmocka_unit_test(branches_keep_their_budget),
        cmocka_unit_test(stages_are_made_and_told),
        cmocka_unit_test(frozen_models_stay),
        cmocka_unit_test(teachers_differ),
        cmocka_unit_test(probabilities_stay_probabilities),
        cmocka_unit_test(own_samples_to_tune),
        cmocka_unit_test(refusals),
        cmocka_unit_test(stops_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
