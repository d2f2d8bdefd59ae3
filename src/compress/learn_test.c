/* What training steps share: samples in any layout, held rows; finetune and gatekeeper. */
#include "compress/test_learn.h"

#define FEW "batch=20,rate=0.05,threads=1"

/* Pictures of two channels, channels first and last, scaled or not. */
typedef struct pictures {
    es_dataset first, last;
} pictures;

static pictures draw(es_arena *arena, size_t count)
{
    pictures p;
    es_rng rng = es_rng_make(3, 3);
    size_t size = (size_t)2 * 6 * 5;
    float *first = ES_TAKE_ARRAY(arena, float, count *size);
    float *last = ES_TAKE_ARRAY(arena, float, count *size);
    uint32_t *labels = ES_TAKE_ARRAY(arena, uint32_t, count);
    for (size_t i = 0; i < count; i++) {
        labels[i] = (uint32_t)(i % 2);
        for (size_t c = 0; c < 2; c++)
            for (size_t place = 0; place < 30; place++) {
                float x = (float)(es_rng_normal(&rng) + (c == labels[i] ? 2 : 0));
                first[i * size + c * 30 + place] = x;
                last[i * size + place * 2 + c] = x;
            }
    }
    p.first = (es_dataset){.name = "pictures",
                           .x = {.type = ES_DATA_F32,
                                 .rank = 4,
                                 .dims = {count, 2, 6, 5},
                                 .count = count * size,
                                 .bytes = first},
                           .count = count,
                           .size = size,
                           .labels = labels,
                           .class_count = 2};
    p.last = p.first;
    p.last.x.bytes = last;
    p.last.x.dims[1] = 6;
    p.last.x.dims[2] = 5;
    p.last.x.dims[3] = 2;
    return p;
}

static const es_model *spec_model(test_job *t, const char *spec, bool last)
{
    es_error err = {0};
    const es_doc *doc = NULL;
    const es_model *model = NULL;
    es_nn *nn = NULL;
    assert_ok_err(es_doc_parse_yaml(t->arena, "spec", spec, strlen(spec), &doc, &err), err);
    assert_ok_err(es_nn_from_spec(t->arena, doc, 3, &nn, &err), err);
    nn->channels_last = last;
    assert_ok_err(es_nn_to_model(t->arena, nn, false, &model, &err), err);
    return model;
}

/* Whatever the layouts of data and model, the training is the same. */
static void layouts_do_not_matter(void **state)
{
    (void)state;
    test_job t;
    static const float mean[] = {1, 1};
    static const float factor[] = {0.5F, 0.25F};
    test_job_start(&t, TEST_CNN, 6);
    pictures p = draw(t.arena, 60);
    const char *spec = "{net: cnn, input: [2, 6, 5], classes: 2, width: 0.25}";
    const es_samples cases[] = {
        {.dataset = &p.first},
        {.dataset = &p.first, .order = ES_SAMPLE_ORDER_CHANNELS_LAST},
        {.dataset = &p.last},
        {.dataset = &p.last, .order = ES_SAMPLE_ORDER_CHANNELS_FIRST},
    };
    static const bool model_last[] = {false, true, true, false};
    const es_nn *wanted = NULL;
    for (int scaled = 0; scaled < 2; scaled++) {
        for (size_t i = 0; i < 4; i++) {
            if (scaled == 1 && i == 2) /* channels are counted where they come first */
                continue;
            t.job.fit = cases[i];
            if (scaled == 1)
                t.job.fit.scaling =
                    (es_scaling){.channel_count = 2, .mean = mean, .factor = factor};
            t.job.model = spec_model(&t, spec, model_last[i]);
            es_variants made = test_recipe(&t, "finetune:epochs=1," FEW);
            const es_nn *nn = test_nn_of(&t, made.items[0].stages[0].model);
            assert_int_equal(nn->channels_last, model_last[i]);
            wanted = i == 0 ? nn : wanted;
            for (size_t l = 0; l < nn->layers.count; l++)
                for (size_t k = 0; k < nn->layers.items[l].param_count; k++)
                    assert_memory_equal(nn->layers.items[l].params[k].values,
                                        wanted->layers.items[l].params[k].values,
                                        nn->layers.items[l].params[k].count * sizeof(float));
        }
    }
    t.job.fit = (es_samples){.dataset = &p.first}; /* mistaken: the channels are not last */
    t.job.model = spec_model(&t, spec, true);
    test_recipe_fails(&t, "finetune:epochs=1," FEW, ES_ERR_ARG, "last dimension is 5");
    test_job_done(&t);
}

static void rows_and_held_rows(void **state)
{
    (void)state;
    es_error err = {0};
    test_job t;
    es_learner l;
    es_nn *nn = NULL;
    size_t items[90];
    bool seen[240] = {false};
    test_job_start(&t, TEST_CNN, 240);
    for (size_t i = 0; i < 90; i++)
        items[i] = 2 * i;
    es_data_rows rows = {.items = items, .count = 90};
    t.job.fit.rows = &rows;
    es_variant from = es_variant_original(&t.job);
    es_learn_opts opts = {.batch = 20, .held = 0.2};
    assert_ok_err(es_learner_open(&t.job, "test", &from, opts, &l, &nn, &err), err);
    assert_int_equal(l.rows->count, 72);
    assert_int_equal(l.held->count, 18);
    for (size_t i = 0; i < 90; i++) {
        size_t row = i < 72 ? l.rows->items[i] : l.held->items[i - 72];
        assert_true(row % 2 == 0 && row < 180 && !seen[row]);
        seen[row] = true;
    }
    es_learner_close(&l);
    es_variants made = test_recipe(&t, "finetune:epochs=2,held=0.2," FEW);
    const es_doc *epoch = test_report(&made, 0, "epochs")->as.list.items[1];
    assert_non_null(es_doc_find(epoch, "held_accuracy"));
    test_job_done(&t);
}

static void segments_and_strange_models_are_refused(void **state)
{
    (void)state;
    test_job t;
    es_error err = {0};
    es_variants made = {0};
    es_learner l;
    es_nn *nn = NULL;
    (void)made;
    test_job_start(&t, TEST_CNN, 60);
    es_variant two = es_variant_original(&t.job);
    two.stage_count = 2;
    assert_fails(
        es_learner_open(&t.job, "prune", &two, (es_learn_opts){.batch = 20}, &l, &nn, &err),
        ES_ERR_UNSUPPORTED, err, "prune works on one model, not on 2 segments");
    es_learner_close(&l);
    t.job.fit.dataset = NULL;
    test_recipe_fails(&t, "finetune", ES_ERR_ARG, "needs samples");
    test_job_done(&t);
}

/* Mean largest probability of the answers that are right, or wrong. */
static double sureness(test_job *t, const es_model *model, bool right)
{
    const float *scores = test_scores(t, test_nn_of(t, model), t->set.count);
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < t->set.count; i++) {
        bool is_right = es_loss_right(scores + i * 3, t->set.labels + i, 1, 3) == 1;
        if (is_right != right)
            continue;
        sum += es_confidence_max_prob(scores + i * 3, 3, true);
        count++;
    }
    return count > 0 ? sum / (double)count : (double)NAN;
}

static void gatekeepers_are_unsure_where_they_are_wrong(void **state)
{
    (void)state;
    test_job t;
    test_job_start(&t, "{net: cnn, input: [1, 8, 8], classes: 3, width: 0.25}", 300);
    uint32_t *labels = ES_TAKE_ARRAY(t.arena, uint32_t, t.set.count);
    es_rng rng = es_rng_make(1, 1);
    for (size_t i = 0; i < t.set.count; i++) /* a third of them can be known by heart only */
        labels[i] = es_rng_below(&rng, 3) == 0 ? (uint32_t)es_rng_below(&rng, 3) : t.set.labels[i];
    t.set.labels = labels;
    es_variants base = test_recipe(&t, "finetune:epochs=4," FEW);
    t.job.model = base.items[0].stages[0].model;
    es_variants tuned = test_recipe(&t, "finetune:epochs=4," FEW);
    es_variants kept = test_recipe(&t, "gatekeeper:alpha=0.1,epochs=4," FEW);
    assert_string_equal(kept.items[0].name, "m-gatekeeper");
    double plain = sureness(&t, tuned.items[0].stages[0].model, false);
    double careful = sureness(&t, kept.items[0].stages[0].model, false);
    assert_true(careful < 0.9 * plain);
    assert_near(test_number(&kept, 0, "alpha"), 0.1, 0);
    test_job_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_do_not_matter),
        cmocka_unit_test(rows_and_held_rows),
        cmocka_unit_test(segments_and_strange_models_are_refused),
        cmocka_unit_test(gatekeepers_are_unsure_where_they_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
