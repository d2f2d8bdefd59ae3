/* Variants measured and told: what is offered, and what the documents say. */
#include "base/file.h"
#include "compress/testing/shared.h"

static const char *const folder = ES_TEST_BINARY_DIR "/compress_measure_test";

/* y = x W as often as asked: the same answers, more or less slowly. */
static const es_model *repeated(fixture *all, size_t times)
{
    es_rng rng = es_rng_make(1, 0);
    es_model_build *b = es_model_build_new(all->arena, "net", 13);
    float_input(b, "x", DIMS(1, 200));
    random_weight(b, all->arena, &rng, "w", DIMS(200, 4), 0.1);
    random_weight(b, all->arena, &rng, "big", DIMS(200, 200), 0.1);
    const char *slow = "x";
    for (size_t i = 0; i < times; i++) { /* work that changes nothing: max(x, tiny y) */
        const char *m = es_arena_format(all->arena, "m%zu", i);
        es_model_build_node(b, "MatMul", NULL, "", NAMES(slow, "big"), NAMES(m));
        slow = m;
    }
    const float nothing = 0;
    es_model_build_weight(b, "zero", ES_MODEL_FLOAT, 0, NULL, &nothing, sizeof nothing);
    es_model_build_node(b, "Mul", NULL, "", NAMES(slow, "zero"), NAMES("none"));
    es_model_build_node(b, "Add", NULL, "", NAMES("x", "none"), NAMES("same"));
    es_model_build_node(b, "MatMul", NULL, "", NAMES("same", "w"), NAMES("y"));
    float_output(b, "y");
    return finish(b);
}

/* Labels are the model's own answers, but for every fourth. */
static void label(fixture *all, es_dataset *set, const es_model *model)
{
    es_error err = {0};
    es_compress_job job = job_of(all, model, set);
    const char *name = "y";
    es_probe p;
    uint32_t *labels = ES_TAKE_ARRAY(all->arena, uint32_t, set->count);
    assert_non_null(labels);
    assert_ok_err(es_probe_open(&job, all->arena, model, &job.fit, &name, 1, &p, &err), err);
    for (size_t i = 0; i < set->count; i++) {
        assert_ok_err(es_probe_run(&p, i, &err), err);
        uint32_t answer = (uint32_t)es_argmax(es_probe_value(&p, 0)->data, 4);
        labels[i] = i % 4 == 0 ? (answer + 1) % 4 : answer;
    }
    es_probe_close(&p);
    set->labels = labels;
    set->class_count = 4;
}

static void remove_files(const es_variant *variants, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)unlink(variants[i].stages[0].path);
    (void)rmdir(folder);
}

static void slower_variants_are_not_offered(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(2, 0);
    es_dataset set = make_samples(all->arena, &rng, 40, DIMS(200), false);
    const es_model *model = repeated(all, 8);
    label(all, &set, model);
    es_compress_job job = job_of(all, model, &set);
    es_variant variants[3] = {es_variant_original(&job), es_variant_original(&job),
                              es_variant_original(&job)};
    variants[1].name = "slow \"one\"";
    variants[1].stages[0].model = repeated(all, 80);
    variants[2].name = "fast";
    variants[2].stages[0].model = repeated(all, 1);
    for (size_t i = 1; i < 3; i++) {
        variants[i].recipe = "by hand";
        variants[i].needs_speed = true;
    }
    es_variant_measure m[3];
    es_measure_opts opts = es_measure_opts_default();
    opts.time_s = 0.02;
    assert_ok_err(es_variants_write(all->arena, variants, 3, folder, &err), err);
    assert_ok_err(es_variants_measure(&job, variants, 3, opts, m, &err), err);
    assert_true(m[0].offered && m[2].offered && !m[1].offered);
    assert_non_null(strstr(m[1].why_not, "not faster here: 0."));
    assert_true(m[1].speed.high < 1 && m[2].speed.low > 1);
    for (size_t i = 0; i < 3; i++) {
        assert_true(m[i].labelled);
        assert_true(m[i].quality.value == 0.75);
        assert_true(m[i].quality.low < 0.75 && m[i].quality.high > 0.75);
        assert_true(m[i].agreement == 1.0);
        assert_int_equal(m[i].test_count, 40);
        assert_true(m[i].latency.ms_p50 > 0);
        assert_false(m[i].energy.known);
    }
    assert_int_equal(m[1].macs, 80 * 40000 + 800);
    es_variants_told told = {.variants = variants,
                             .measures = m,
                             .count = 3,
                             .task = "task",
                             .kind = "host",
                             .data = "made"};
    es_text text;
    es_text_init(&text, 1 << 20);
    es_variants_catalogue(&told, &text);
    assert_non_null(strstr(es_text_get(&text), "# slow \"one\" is left out: not faster here"));
    assert_non_null(strstr(es_text_get(&text), "{name: \"fast\", task: \"task\", quality: 0.7500"));
    const es_doc *root = NULL;
    assert_ok_err(
        es_doc_parse_yaml(all->arena, "catalogue", es_text_get(&text), text.size, &root, &err),
        err);
    assert_int_equal(es_doc_find(root, "segments")->as.list.count, 2);
    assert_int_equal(es_doc_find(root, "pipelines")->as.list.count, 2);

    opts.all = true;
    assert_ok_err(es_variants_measure(&job, variants, 3, opts, m, &err), err);
    assert_true(m[1].offered);
    es_text_clear(&text);
    es_variants_catalogue(&told, &text);
    assert_ok_err(
        es_doc_parse_yaml(all->arena, "catalogue", es_text_get(&text), text.size, &root, &err),
        err);
    const es_doc *second = es_doc_find(root, "segments")->as.list.items[1];
    const char *name = NULL;
    assert_ok_err(es_doc_need_text(second, "name", &name, &err), err);
    assert_string_equal(name, "slow \"one\"");
    es_json json;
    es_text_clear(&text);
    es_json_init(&json, &text, false);
    es_variants_document(&told, &json);
    assert_ok_err(
        es_doc_parse_json(all->arena, "variants", es_text_get(&text), text.size, &root, &err), err);
    assert_ok_err(es_doc_expect_format(root, "estran-variants", 1, &err), err);
    assert_int_equal(es_doc_find(root, "variants")->as.list.count, 3);
    es_text_done(&text);
    remove_files(variants, 3);
}

static void labels_that_do_not_fit_are_told(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    es_rng rng = es_rng_make(2, 0);
    es_dataset set = make_samples(all->arena, &rng, 5, DIMS(200), false);
    const uint32_t labels[5] = {0, 1, 2, 4, 0};
    set.labels = labels;
    set.class_count = 5;
    es_compress_job job = job_of(all, repeated(all, 1), &set);
    es_variant variant = es_variant_original(&job);
    es_variant_measure m;
    assert_ok_err(es_variants_write(all->arena, &variant, 1, folder, &err), err);
    assert_fails(es_variants_measure(&job, &variant, 1, es_measure_opts_default(), &m, &err),
                 ES_ERR_ARG, err,
                 "label 4 of sample 4, but the model answers with 4 classes (0 to 3)");
    remove_files(&variant, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(slower_variants_are_not_offered),
                                       cmocka_unit_test(labels_that_do_not_fit_are_told)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
