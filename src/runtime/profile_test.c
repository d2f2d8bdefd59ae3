#include "base/file.h"
#include "runtime/internal.h"
#include "runtime/testing/shared.h"
#include "runtime/testing/tiny_model.h"

#include <math.h>

/* A clock that moves a little at every look: latencies come out the same in every run. */
typedef struct step_clock {
    es_clock clock;
    int64_t time_ns;
    int64_t step_ns;
} step_clock;

static int64_t step_now(es_clock *clock)
{
    step_clock *own = (step_clock *)clock;
    own->time_ns += own->step_ns;
    return own->time_ns;
}

static step_clock step_clock_make(int64_t step_ns)
{
    return (step_clock){.clock = {.now_ns = step_now}, .step_ns = step_ns};
}

static const char *model_file(fixture *all, int64_t batch, size_t width, size_t layers)
{
    es_error err = {0};
    const void *bytes = NULL;
    size_t size = 0;
    char *path = es_arena_format(all->arena, "%s/runtime-profile.onnx", ES_TEST_BINARY_DIR);
    assert_ok_err(tiny_layers(all->arena, batch, width, layers, &bytes, &size, &err), err);
    assert_ok_err(es_file_write(path, bytes, size, &err), err);
    return path;
}

static void quantiles_of_known_samples(void **state)
{
    (void)state;
    double samples[100];
    for (size_t i = 0; i < 100; i++)
        samples[i] = (double)(100 - i); /* 100, 99, .. 1 */
    es_profile_latency got;
    es_latency_summarise(samples, 100, 0.02, &got);
    assert_int_equal(got.repetitions, 100);
    assert_true(got.ms_min == 1 && got.ms_p50 == 50 && got.ms_p90 == 90);
    assert_true(got.ms_p95 == 95 && got.ms_p99 == 99);
    assert_true(fabs(got.ms_mean - 50.5) < 1e-12);
    /* standard deviation of 1..100 is 29.011; 1.96 * 29.011 / 10 */
    assert_true(fabs(got.ms_mean_ci - 5.6861) < 1e-3);
    /* ranks 40 and 60 (from 0): 50 -+ 9.8 */
    assert_true(got.ms_p50_low == 41 && got.ms_p50_high == 61);
    assert_false(got.tight);
    double one[1] = {7};
    es_latency_summarise(one, 1, 0.02, &got);
    assert_true(got.ms_p50 == 7 && got.ms_p99 == 7 && got.ms_mean_ci == 0);
}

static void profile_has_batches_and_segments(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = model_file(all, -1, 32, 3);
    es_profile_opts opts = es_profile_opts_default();
    step_clock clock = step_clock_make(ES_NS_PER_MS);
    opts.clock = &clock.clock;
    opts.node_kind = "bench";
    const es_profile *profile = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_string_equal(profile->node_kind, "bench");
    assert_string_equal(profile->variant, "runtime-profile");
    assert_string_equal(profile->dtype, "f32");
    assert_int_equal(profile->input_bytes, 128);
    assert_int_equal(profile->output_bytes, 128);
    assert_int_equal(profile->params_bytes, 3 * 32 * 32 * 4);
    assert_int_equal(profile->macs, 3 * 32 * 32);
    /* the clock moves 1 ms between the two looks around a run */
    assert_true(profile->latency.ms_p50 == 1 && profile->latency.tight);
    assert_int_equal(profile->latency.repetitions, 200);
    assert_true(profile->batchable);
    assert_int_equal(profile->batch_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(profile->batches[i].batch, 1u << i);
        assert_true(fabs(profile->batches[i].throughput_rps / (1000.0 * (1u << i)) - 1) < 1e-9);
    }
    /* three products and three activations: cut between any two */
    assert_null(profile->segment_note);
    assert_int_equal(profile->segment_count, 6);
    uint64_t macs = 0;
    uint64_t params = 0;
    for (size_t i = 0; i < 6; i++) {
        macs += profile->segments[i].macs;
        params += profile->segments[i].params_bytes;
        assert_int_equal(profile->segments[i].output_bytes, 128);
        assert_true(profile->segments[i].ms_p50_cumulative == (double)(i + 1));
    }
    assert_string_equal(profile->segments[0].output, "p0");
    assert_string_equal(profile->segments[5].output, "");
    assert_int_equal(macs, profile->macs);
    assert_int_equal(params, profile->params_bytes);
    assert_int_equal(unlink(path), 0);
}

static void fixed_batch_is_not_batchable(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = model_file(all, 1, 16, 1);
    es_profile_opts opts = es_profile_opts_default();
    opts.per_cut = false;
    opts.time_budget_s = 0.2;
    const es_profile *profile = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_false(profile->batchable);
    assert_int_equal(profile->batch_count, 1);
    assert_int_equal(profile->segment_count, 0);
    assert_string_equal(profile->segment_note, "not asked for");
    assert_true(profile->latency.ms_min > 0);
    assert_true(profile->latency.ms_min <= profile->latency.ms_p50);
    assert_true(profile->latency.ms_p50 <= profile->latency.ms_p99);
    assert_int_equal(unlink(path), 0);
}

/* With latencies that never agree, the budget ends the measurement. */
static int64_t jumpy_now(es_clock *clock)
{
    step_clock *own = (step_clock *)clock;
    own->step_ns = own->step_ns * 5 % 1000003;
    own->time_ns += own->step_ns * 1000;
    return own->time_ns;
}

static void budget_ends_what_never_gets_tight(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = model_file(all, 1, 16, 1);
    step_clock clock = step_clock_make(1);
    clock.clock.now_ns = jumpy_now;
    es_profile_opts opts = es_profile_opts_default();
    opts.clock = &clock.clock;
    opts.ci_relative = 1e-6;
    opts.time_budget_s = 300;
    opts.per_cut = false;
    const es_profile *profile = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_false(profile->latency.tight);
    /* two looks of half a second on average for each run */
    assert_in_range(profile->latency.repetitions, 200, 400);
    opts.repetitions_min = 20;
    opts.repetitions_max = 50;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_int_equal(profile->latency.repetitions, 50);
    opts.time_budget_s = 1e-6; /* over before it begins */
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_int_equal(profile->latency.repetitions, 3);
    assert_int_equal(unlink(path), 0);
}

typedef struct progress_seen {
    size_t calls;
    double last;
    bool backwards;
} progress_seen;

static void progress_note(void *context, const char *what, double done)
{
    progress_seen *seen = context;
    seen->calls++;
    seen->backwards |= done < seen->last || what == NULL;
    seen->last = done;
}

static void progress_ends_at_one(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = model_file(all, -1, 16, 2);
    step_clock clock = step_clock_make(ES_NS_PER_MS);
    progress_seen seen = {0};
    es_profile_opts opts = es_profile_opts_default();
    opts.clock = &clock.clock;
    opts.progress = progress_note;
    opts.progress_context = &seen;
    const es_profile *profile = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_true(seen.calls >= 6);
    assert_false(seen.backwards);
    assert_true(seen.last == 1);
    assert_int_equal(unlink(path), 0);
}

static void document_reads_back(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = model_file(all, -1, 16, 2);
    step_clock clock = step_clock_make(ES_NS_PER_MS);
    es_profile_opts opts = es_profile_opts_default();
    opts.clock = &clock.clock;
    const es_profile *profile = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    es_text text;
    es_text_init(&text, 1 << 20);
    es_json json;
    es_json_init(&json, &text, false);
    es_profile_write_json(profile, &json);
    assert_ok_err(es_text_status(&text, &err), err);
    const es_doc *root = NULL;
    assert_ok_err(es_doc_parse_json(all->arena, "profile", text.bytes, text.size, &root, &err),
                  err);
    assert_ok_err(es_doc_expect_format(root, "estran-profile", 1, &err), err);
    double p50 = 0;
    assert_ok_err(es_doc_need_number(root, "latency_ms_p50", 0, 1e9, &p50, &err), err);
    assert_true(p50 == 1);
    const es_doc *list = NULL;
    assert_ok_err(es_doc_need_list(root, "segments", &list, &err), err);
    assert_int_equal(list->as.list.count, 4);
    assert_ok_err(es_doc_need_list(root, "batches", &list, &err), err);
    assert_int_equal(list->as.list.count, 4);
    es_text_done(&text);
    assert_int_equal(unlink(path), 0);
}

static void bad_options_and_files_are_refused(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const es_profile *profile = NULL;
    es_profile_opts opts = es_profile_opts_default();
    assert_fails(es_profile_run(all->arena, all->runtime, "no.onnx", opts, &profile, &err),
                 ES_ERR_IO, err, "no.onnx");
    opts.time_budget_s = (double)NAN;
    assert_fails(es_profile_run(all->arena, all->runtime, "no.onnx", opts, &profile, &err),
                 ES_ERR_ARG, err, "time_budget_s=nan");
    opts = es_profile_opts_default();
    opts.batch_max = 0;
    assert_fails(es_profile_run(all->arena, all->runtime, "no.onnx", opts, &profile, &err),
                 ES_ERR_ARG, err, "batch_max=0");
    opts = es_profile_opts_default();
    opts.repetitions_max = 5;
    assert_fails(es_profile_run(all->arena, all->runtime, "no.onnx", opts, &profile, &err),
                 ES_ERR_ARG, err, "repetitions_max=5");
    assert_null(profile);
}

static void named_dims_are_bound(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = es_test_data("onnx/silero_vad_16k_op15.onnx");
    if (path == NULL)
        skip();
    const es_profile_dim dims[2] = {{"sequence", 576}, {"batch", 2}};
    es_profile_opts opts = es_profile_opts_default();
    opts.time_budget_s = 0.5;
    const es_profile *profile = NULL;
    /* one sample is too short for its padding */
    assert_int_not_equal(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err),
                         ES_OK);
    assert_non_null(strstr(err.text, "Pad"));
    opts.dims = dims;
    opts.dim_count = 2;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    /* input 2 x 576 and state 2 x 2 x 128 floats, and the rate */
    assert_int_equal(profile->input_bytes, 4 * (2 * 576 + 2 * 2 * 128) + 8);
    assert_false(profile->batchable);
    assert_string_equal(profile->dtype, "f32");
    const es_profile_dim zero = {"sequence", 0};
    opts.dims = &zero;
    opts.dim_count = 1;
    assert_fails(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), ES_ERR_ARG,
                 err, "dim 'sequence' = 0 must be >= 1");
}

/* Real models: the segments together take about as long as the whole. */
static void real_model_in_segments(void **state)
{
    fixture *all = fixture_get(state);
    es_error err = {0};
    const char *path = es_test_data("onnx/mlperf_tiny_resnet8_cifar10.onnx");
    if (path == NULL)
        skip();
    es_profile_opts opts = es_profile_opts_default();
    opts.time_budget_s = 2;
    const es_profile *profile = NULL;
    assert_ok_err(es_profile_run(all->arena, all->runtime, path, opts, &profile, &err), err);
    assert_true(profile->segment_count > 4);
    const es_profile_segment *last = &profile->segments[profile->segment_count - 1];
    print_message("ResNet-8: whole %.3f ms, %zu segments together %.3f ms, peak %.1f MB\n",
                  profile->latency.ms_p50, profile->segment_count, last->ms_p50_cumulative,
                  (double)profile->memory_bytes_peak / 1e6);
    /* cuts lose fusions, so the sum may be dearer; loose, for loaded machines */
    assert_true(last->ms_p50_cumulative > 0.4 * profile->latency.ms_p50);
    assert_true(last->ms_p50_cumulative < 6 * profile->latency.ms_p50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_of_known_samples),
        cmocka_unit_test(profile_has_batches_and_segments),
        cmocka_unit_test(fixed_batch_is_not_batchable),
        cmocka_unit_test(budget_ends_what_never_gets_tight),
        cmocka_unit_test(progress_ends_at_one),
        cmocka_unit_test(document_reads_back),
        cmocka_unit_test(bad_options_and_files_are_refused),
        cmocka_unit_test(named_dims_are_bound),
        cmocka_unit_test(real_model_in_segments),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
