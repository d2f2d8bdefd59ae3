/* Stages give what the whole gives; measuring counts who leaves where. */
#include "compress/testing/shared.h"
#include "nn/nn.h"

enum { CLASSES = 3, SAMPLES = 60 };

/* An early answer beside r1, bytes through q, and the rest. */
static const char net[] = "name: t\n"
                          "input: [2, 8, 8]\n"
                          "layers:\n"
                          "  - conv: {units: 4, kernel: 3, name: c1}\n"
                          "  - batch-norm: {name: n1}\n"
                          "  - relu: {name: r1}\n"
                          "  - conv: {from: r1, units: 5, kernel: 3, stride: 2, name: e1}\n"
                          "  - global-pool: {name: e2}\n"
                          "  - dense: {units: 3, name: early}\n"
                          "  - quantise: {from: r1, factor: 0.02, offset: 3, name: q}\n"
                          "  - max-pool: {kernel: 2, name: p}\n"
                          "  - conv: {units: 6, kernel: 3, name: c2}\n"
                          "  - relu: {name: r2}\n"
                          "  - conv: {units: 6, kernel: 3, name: c3}\n"
                          "  - add: {from: [r2, c3], name: sum}\n"
                          "  - global-pool: {name: g}\n"
                          "  - dense: {units: 3, name: logits}\n"
                          "outputs: [early, logits]\n";

static const es_model *whole_of(fixture *all, uint64_t seed)
{
    es_error err = {0};
    const es_doc *doc = NULL;
    es_nn *nn = NULL;
    const es_model *model = NULL;
    assert_ok_err(es_doc_parse_yaml(all->arena, "net", net, strlen(net), &doc, &err), err);
    assert_ok_err(es_nn_from_spec(all->arena, doc, seed, &nn, &err), err);
    assert_ok_err(es_nn_to_model(all->arena, nn, seed % 2 == 0, &model, &err), err);
    return model;
}

static es_variant variant_of(fixture *all, const es_model *whole, const es_stage_end *ends,
                             size_t count)
{
    static const char *const suffixes[] = {"-1", "-2", "-3"};
    es_error err = {0};
    const es_model *stages[ES_VARIANT_STAGES_MAX] = {NULL};
    es_variant v = {.name = "staged",
                    .recipe = "by hand",
                    .stage_count = count,
                    .pipeline_count = 1,
                    .pipelines = {{.suffix = "", .thresholds = {2, 2, 2}}}};
    assert_ok_err(es_stages_cut(all->arena, whole, ends, count, stages, &err), err);
    for (size_t k = 0; k < count; k++)
        v.stages[k] = (es_variant_stage){
            .suffix = suffixes[k], .model = stages[k], .exit = ends[k].answer != NULL};
    return v;
}

static es_dataset labelled_samples(fixture *all, uint64_t seed)
{
    es_rng rng = es_rng_make(seed, 0);
    es_dataset set = make_samples(all->arena, &rng, SAMPLES, DIMS(2, 8, 8), false);
    uint32_t *labels = ES_TAKE_ARRAY(all->arena, uint32_t, SAMPLES);
    assert_non_null(labels);
    for (size_t i = 0; i < SAMPLES; i++)
        labels[i] = (uint32_t)es_rng_below(&rng, CLASSES);
    set.labels = labels;
    set.class_count = CLASSES;
    return set;
}

static void assert_near(double a, double b, double within)
{
    assert_true(fabs(a - b) <= within);
}

static void assert_same_values(const es_tensor *a, const es_tensor *b)
{
    const float *x = a->data;
    const float *y = b->data;
    assert_int_equal(es_tensor_count(a), es_tensor_count(b));
    for (size_t i = 0; i < es_tensor_count(a); i++)
        assert_true(fabsf(x[i] - y[i]) <= 1e-4F * (1 + fabsf(x[i])));
}

static void chains_give_what_the_whole_gives(void **state)
{
    fixture *all = fixture_get(state);
    const es_stage_end two[] = {{"early", "r1"}, {"logits", NULL}};
    const es_stage_end bytes[] = {{"early", "q.bytes"}, {"logits", NULL}};
    const es_stage_end three[] = {{"early", "q.bytes"}, {NULL, "r2"}, {"logits", NULL}};
    const struct {
        const es_stage_end *ends;
        size_t count;
        size_t forward; /* bytes out of the first */
    } rows[] = {{two, 2, 4 * 64 * 4}, {bytes, 2, 4 * 64}, {three, 2 + 1, 4 * 64}};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        const es_model *whole = whole_of(all, seed);
        es_dataset set = labelled_samples(all, seed);
        es_compress_job job = job_of(all, whole, &set);
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            es_error err = {0};
            const char *const wanted[] = {"early", "logits"};
            es_variant v = variant_of(all, whole, rows[r].ends, rows[r].count);
            ES_CLEANUP(es_probe_close) es_probe probe = {0};
            ES_CLEANUP(es_chain_close) es_chain chain = {0};
            size_t ran = 0;
            assert_ok_err(
                es_probe_open(&job, all->scratch, whole, &job.fit, wanted, 2, &probe, &err), err);
            assert_ok_err(es_chain_open(&job, all->scratch, &v, &job.fit, &chain, &err), err);
            for (size_t i = 0; i < 10; i++) {
                assert_ok_err(es_probe_run(&probe, i, &err), err);
                assert_ok_err(es_chain_run(&chain, i, NULL, &ran, &err), err);
                assert_int_equal(ran, rows[r].count);
                assert_same_values(es_probe_value(&probe, 0), es_chain_answer(&chain, 0));
                assert_same_values(es_probe_value(&probe, 1), es_chain_answer(&chain, ran - 1));
            }
            const es_tensor *forward = &chain.outputs[0][1];
            assert_int_equal(forward->size_bytes, rows[r].forward);
        }
    }
}

static void stages_need_nothing_of_before(void **state)
{
    fixture *all = fixture_get(state);
    const es_model *whole = whole_of(all, 1);
    const es_stage_end ends[] = {{"early", "r1"}, {"logits", NULL}};
    es_variant v = variant_of(all, whole, ends, 2);
    int64_t macs[3];
    int64_t params[3];
    es_measure_work(all->scratch, whole, &macs[0], &params[0]);
    es_measure_work(all->scratch, v.stages[0].model, &macs[1], &params[1]);
    es_measure_work(all->scratch, v.stages[1].model, &macs[2], &params[2]);
    assert_true(macs[1] > 0);
    assert_int_equal(macs[0], macs[1] + macs[2]);
    assert_int_equal(es_model_input_count(v.stages[1].model), 1);
    assert_string_equal(es_model_input(v.stages[1].model, 0)->name, "r1");
}

static void refusals(void **state)
{
    fixture *all = fixture_get(state);
    const es_model *whole = whole_of(all, 1);
    const es_model *stages[2];
    const struct {
        es_stage_end ends[2];
        const char *words;
    } rows[] = {
        {{{"early", "r9"}, {"logits", NULL}}, "stage 1: 'r9' is no value"},
        {{{"early", "x"}, {"logits", NULL}}, "'x' is no value"},
        {{{"early", "input"}, {"logits", NULL}}, "stage 2: 'input' is not made by a node"},
        {{{"early", "c3"}, {"logits", NULL}}, "stage 2: "}, /* r2 goes past it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        es_error err = {0};
        assert_int_not_equal(es_stages_cut(all->arena, whole, rows[i].ends, 2, stages, &err),
                             ES_OK);
        assert_non_null(strstr(es_error_text(&err), rows[i].words));
    }
}

/* A confidence of the first answers that some of the samples reach. */
static double middle_confidence(fixture *all, const es_compress_job *job, const es_variant *v)
{
    es_error err = {0};
    ES_CLEANUP(es_chain_close) es_chain chain = {0};
    double least = 1;
    double most = 0;
    assert_ok_err(es_chain_open(job, all->scratch, v, &job->test, &chain, &err), err);
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t ran = 0;
        assert_ok_err(es_chain_run(&chain, i, NULL, &ran, &err), err);
        least = fmin(least, es_answer_confidence(es_chain_answer(&chain, 0)));
        most = fmax(most, es_answer_confidence(es_chain_answer(&chain, 0)));
    }
    return (least + most) / 2;
}

/* Leaves really spare the later stages: counted by running the chain with thresholds. */
static void measures_count_who_leaves(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const es_model *whole = whole_of(all, 3);
    es_dataset set = labelled_samples(all, 3);
    es_compress_job job = job_of(all, whole, &set);
    const es_stage_end ends[] = {{"early", "q.bytes"}, {NULL, "r2"}, {"logits", NULL}};
    es_variant variants[2] = {es_variant_original(&job), variant_of(all, whole, ends, 3)};
    variants[1].pipeline_count = 2;
    double threshold = middle_confidence(all, &job, &variants[1]);
    variants[1].pipelines[1] =
        (es_variant_pipeline){.suffix = "-sure", .thresholds = {threshold, 2, 2}};
    es_variant_measure measures[2];
    es_measure_opts opts = es_measure_opts_default();
    opts.time_s = 0.02;
    const char *folder = ES_TEST_BINARY_DIR "/stages-test";
    assert_ok_err(es_variants_write(all->arena, variants, 2, folder, &err), err);
    assert_ok_err(es_variants_measure(&job, variants, 2, opts, measures, &err), err);

    ES_CLEANUP(es_chain_close) es_chain chain = {0};
    assert_ok_err(es_chain_open(&job, all->scratch, &variants[1], &job.test, &chain, &err), err);
    size_t stayed = 0;
    size_t right = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t ran = 0;
        assert_ok_err(es_chain_run(&chain, i, variants[1].pipelines[1].thresholds, &ran, &err),
                      err);
        const es_tensor *answer = es_chain_answer(&chain, ran - 1);
        stayed += ran == 3;
        assert_true(ran == 1 || ran == 3);
        right += es_argmax(answer->data, CLASSES) == set.labels[i];
    }
    const es_variant_measure *m = &measures[1];
    const es_pipeline_measure *never = &m->pipelines[0];
    const es_pipeline_measure *sure = &m->pipelines[1];
    assert_true(stayed > 0 && stayed < SAMPLES);
    assert_near(sure->reach[0], 1, 1e-15);
    assert_near(sure->reach[1], (double)stayed / SAMPLES, 1e-12);
    assert_near(sure->reach[2], (double)stayed / SAMPLES, 1e-12);
    assert_near(sure->quality.value, (double)right / SAMPLES, 1e-12);
    assert_near(never->reach[2], 1, 1e-15);
    assert_near(never->quality.value, measures[0].quality.value, 1e-12);
    assert_near(never->agreement, 1, 1e-15);
    assert_int_equal(m->stages[0].forward_bytes, 4 * 64);
    assert_int_equal(m->stages[2].forward_bytes, 0);
    double macs = 0;
    for (size_t k = 0; k < 3; k++)
        macs += sure->reach[k] * (double)m->stages[k].macs;
    assert_near(sure->macs, macs, 1e-6);
    assert_true(isnan(m->stages[1].accuracy) && m->stages[0].accuracy >= 0);

    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, 1 << 20);
    es_variants_told told = {.variants = variants,
                             .measures = measures,
                             .count = 2,
                             .task = "t",
                             .kind = "host",
                             .data = "made"};
    es_variants_catalogue(&told, &text);
    const char *yaml = es_text_get(&text);
    assert_non_null(strstr(yaml, "  - name: \"staged-1\"\n    variant: \"staged\""));
    assert_non_null(strstr(yaml, "output_bytes: 256"));
    assert_non_null(strstr(yaml, "  - name: \"staged-sure\"\n"));
    assert_non_null(strstr(yaml, "{segment: \"staged-1\", exit_threshold: 0."));
    const es_doc *doc = NULL;
    assert_ok_err(es_doc_parse_yaml(all->arena, "fragment", yaml, strlen(yaml), &doc, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_give_what_the_whole_gives),
        cmocka_unit_test(stages_need_nothing_of_before),
        cmocka_unit_test(refusals),
        cmocka_unit_test(measures_count_who_leaves),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
