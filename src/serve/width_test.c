/* One node hosts a slimmable model at three widths; every request is told which. */
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "model/model.h"
#include "world.h"

#include <math.h>

enum { HIDDEN = 4096, WIDTHS = 3, PERIOD = 5, REFUSED = 4 };
static const int64_t widths[WIDTHS] = {HIDDEN / 16, HIDDEN / 4, HIDDEN};
/* Consecutive requests name another width, but for the fifth, which is sent away. */
static const size_t order[PERIOD] = {2, 0, 1, 0, REFUSED};

static const char text_of_scenario[] =
    "format: estran-scenario\n"
    "version: 1\n"
    "name: widths\n"
    "slots: {length_s: 1, count: 1}\n"
    "kinds:\n"
    "  - {name: host-like, slowdown: 1, processors: 1, memory_mb: 100, idle_w: 1, busy_w: 5}\n"
    "nodes:\n"
    "  - {name: only, tier: device, kind: host-like, carbon_gco2e_per_kwh: 100}\n"
    "tasks:\n"
    "  - {name: t, input_bytes: 256, output_bytes: 32}\n"
    "segments:\n"
    "  - {name: narrow, file: width-0.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.001}]}\n"
    "  - {name: middle, file: width-1.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.001}]}\n"
    "  - {name: full, file: width-2.onnx, memory_mb: 1, on: [{kind: host, time_ms: 0.001}]}\n"
    "pipelines:\n"
    "  - {name: narrow, task: t, quality: 0.5, stages: [{segment: narrow}]}\n"
    "  - {name: middle, task: t, quality: 0.7, stages: [{segment: middle}]}\n"
    "  - {name: full, task: t, quality: 0.9, stages: [{segment: full}]}\n"
    "demand:\n"
    "  - {task: t, at: only, rate_rps: 100, arrivals: constant}\n";

/* The first `width` hidden units of one network: what a slimmable model is at that width. */
static void write_width(const char *path, int64_t width)
{
    static float first[WORLD_INPUTS * HIDDEN], second[HIDDEN * WORLD_CLASSES];
    es_rng rng = es_rng_make(5, 0);
    for (int64_t h = 0; h < HIDDEN; h++) {
        for (int64_t i = 0; i < WORLD_INPUTS; i++) {
            float value = (float)(es_rng_normal(&rng) * 0.1);
            if (h < width)
                first[i * width + h] = value;
        }
        for (int64_t k = 0; k < WORLD_CLASSES; k++)
            second[h * WORLD_CLASSES + k] = (float)(es_rng_normal(&rng) * 0.1);
    }
    es_error err = {0};
    const es_model *model = NULL;
    es_arena *arena = es_arena_new(64 << 20);
    es_model_build *build = es_model_build_new(arena, "width", 13);
    es_model_build_input(build, "x", ES_MODEL_FLOAT, 2, (const int64_t[]){1, WORLD_INPUTS}, NULL);
    es_model_build_weight(build, "a", ES_MODEL_FLOAT, 2, (const int64_t[]){WORLD_INPUTS, width},
                          first, (size_t)(WORLD_INPUTS * width) * sizeof first[0]);
    es_model_build_weight(build, "b", ES_MODEL_FLOAT, 2, (const int64_t[]){width, WORLD_CLASSES},
                          second, (size_t)(width * WORLD_CLASSES) * sizeof second[0]);
    es_model_build_node(build, "MatMul", NULL, "n1", (const char *const[]){"x", "a", NULL},
                        (const char *const[]){"h", NULL});
    es_model_build_node(build, "Relu", NULL, "n2", (const char *const[]){"h", NULL},
                        (const char *const[]){"r", NULL});
    es_model_build_node(build, "MatMul", NULL, "n3", (const char *const[]){"r", "b", NULL},
                        (const char *const[]){"y", NULL});
    es_model_build_output(build, "y", ES_MODEL_FLOAT, 2, (const int64_t[]){1, WORLD_CLASSES}, NULL);
    assert_ok_err(es_model_build_finish(build, &model, &err), err);
    assert_ok_err(es_model_write(arena, model, path, &err), err);
    es_arena_free(arena);
}

typedef struct bench {
    es_arena *arena;
    char folder[512];
    const es_scenario *scenario;
    es_routing routings[WIDTHS];
    es_placement placements[WIDTHS];
    double refused_share[1];
    es_plan plan;
    es_runtime *runtime;
    es_session *alone[WIDTHS];
    size_t wrong_from;
    size_t counts[WIDTHS];
    size_t differ; /* answers that another width would have given differently */
    es_histogram *latency[WIDTHS];
    es_histogram *service[WIDTHS];
} bench;

static void path_of(const bench *here, int width, char out[1024])
{
    (void)snprintf(out, 1024, "%s/width-%d.onnx", here->folder, width);
}

static void done_bench(bench *here)
{
    char path[1024];
    for (int i = 0; i < WIDTHS; i++) {
        es_session_unref(here->alone[i]);
        path_of(here, i, path);
        (void)remove(path);
    }
    (void)rmdir(here->folder);
    es_runtime_free(here->runtime);
    es_arena_free(here->arena);
}

static void set_bench(bench *here)
{
    es_error err = {0};
    char path[1024];
    *here = (bench){.arena = es_arena_new((size_t)64 << 20), .wrong_from = SIZE_MAX};
    es_log_level_set(ES_LOG_ERROR);
    if (es_runtime_new(es_runtime_opts_default(), &here->runtime, &err) != ES_OK) {
        print_message("skipped: %s\n", es_error_text(&err));
        es_arena_free(here->arena);
        skip();
    }
    (void)snprintf(here->folder, sizeof here->folder, "%s/width-test-%ld", ES_TEST_BINARY_DIR,
                   (long)getpid());
    assert_ok_err(es_file_make_folder(here->folder, &err), err);
    for (int i = 0; i < WIDTHS; i++) {
        path_of(here, i, path);
        write_width(path, widths[i]);
        assert_ok_err(
            es_session_open(here->runtime, path, es_session_opts_default(), &here->alone[i], &err),
            err);
        here->latency[i] = es_histogram_new(here->arena);
        here->service[i] = es_histogram_new(here->arena);
        assert_true(here->latency[i] != NULL && here->service[i] != NULL);
        here->routings[i] = (es_routing){.pipeline = {(uint32_t)i}, .share = i == 0 ? 1 : 0};
        here->placements[i] = (es_placement){{0}, {(uint32_t)i}};
    }
    assert_ok_err(es_scenario_parse(here->arena, "widths.yaml", here->folder, text_of_scenario,
                                    strlen(text_of_scenario), false, &here->scenario, &err),
                  err);
    here->plan = (es_plan){.scenario = here->scenario->name,
                           .quality = ES_PLAN_FEASIBLE,
                           .placements = here->placements,
                           .placement_count = WIDTHS,
                           .routings = here->routings,
                           .routing_count = WIDTHS,
                           .refused_share = here->refused_share};
}

static void draw_input(uint64_t sequence, float out[WORLD_INPUTS])
{
    es_rng rng = es_rng_make(99, sequence);
    for (size_t i = 0; i < WORLD_INPUTS; i++)
        out[i] = (float)es_rng_normal(&rng);
}

static bool give_input(void *context, es_class_id class_id, uint64_t sequence, void *bytes,
                       size_t size)
{
    (void)context;
    (void)class_id;
    assert_int_equal(size, WORLD_INPUTS * sizeof(float));
    draw_input(sequence, bytes);
    return true;
}

static size_t name_width(void *context, es_class_id class_id, uint64_t sequence)
{
    const bench *here = context;
    assert_int_equal(class_id.index, 0);
    if (sequence >= here->wrong_from)
        return WIDTHS;
    size_t width = order[sequence % PERIOD];
    return width == REFUSED ? SIZE_MAX : width;
}

static void run_alone(bench *here, size_t width, uint64_t sequence, float out[WORLD_CLASSES])
{
    es_error err = {0};
    float in[WORLD_INPUTS];
    draw_input(sequence, in);
    es_tensor input = es_tensor_make(ES_DTYPE_F32, (const int64_t[]){1, WORLD_INPUTS}, 2, in);
    es_tensor output = es_tensor_make(ES_DTYPE_F32, (const int64_t[]){1, WORLD_CLASSES}, 2, out);
    assert_ok_err(es_session_run(here->alone[width], &input, 1, &output, 1, &err), err);
}

static bool same(const float *a, const float *b)
{
    bool equal = true;
    for (size_t i = 0; i < WORLD_CLASSES; i++)
        equal = equal && fabsf(a[i] - b[i]) < 1e-5F;
    return equal;
}

static void check_answer(void *context, const es_run_answer *answer)
{
    bench *here = context;
    float wanted[WORLD_CLASSES], other[WORLD_CLASSES];
    size_t width = order[answer->sequence % PERIOD];
    assert_int_equal(answer->routing, width);
    assert_int_equal(answer->stages_run, 1);
    assert_int_equal(answer->output_bytes, sizeof wanted);
    run_alone(here, width, answer->sequence, wanted);
    run_alone(here, (width + 1) % WIDTHS, answer->sequence, other);
    assert_true(same(answer->output, wanted));
    here->differ += !same(answer->output, other);
    here->counts[width]++;
    es_histogram_add(here->latency[width], answer->latency_s, 1);
    es_histogram_add(here->service[width], answer->service_s[0], 1);
}

static es_run_opts opts_of(bench *here)
{
    es_run_opts opts = world_opts();
    opts.input = give_input;
    opts.route = name_width;
    opts.answered = check_answer;
    opts.context = here;
    return opts;
}

static void each_request_is_told_its_width(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    set_bench(&here);
    assert_ok_err(
        es_run_plan(here.arena, here.scenario, &here.plan, opts_of(&here), &outcome, &err), err);
    world_conserves(outcome);
    size_t served = here.counts[0] + here.counts[1] + here.counts[2];
    assert_true(outcome->total.arrived >= 99 && outcome->total.failed == 0);
    assert_true(fabs(outcome->total.refused - outcome->total.arrived / PERIOD) <= 1);
    assert_true(outcome->total.served == (double)served);
    assert_true(here.differ == served); /* so that the right answer tells the width */
    assert_true(here.counts[0] >= 38 && here.counts[1] >= 19 && here.counts[2] >= 19);
    for (int i = 0; i < WIDTHS; i++)
        print_message("width %lld of %d: %zu answers, service p50 %.1f us, latency p50 %.1f us\n",
                      (long long)widths[i], HIDDEN, here.counts[i],
                      1e6 * es_histogram_quantile(here.service[i], 0.5),
                      1e6 * es_histogram_quantile(here.latency[i], 0.5));
    /* 16 times the work takes longer. */
    assert_true(es_histogram_quantile(here.service[2], 0.5) >
                es_histogram_quantile(here.service[0], 0.5));
    done_bench(&here);
}

static void a_width_that_is_not_there_is_told(void **state)
{
    (void)state;
    bench here;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    set_bench(&here);
    here.wrong_from = 10;
    assert_fails(es_run_plan(here.arena, here.scenario, &here.plan, opts_of(&here), &outcome, &err),
                 ES_ERR_ARG, err,
                 "request 10 of class 0 is sent along routing 3, must be one of its 3");
    assert_null(outcome);
    done_bench(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_is_told_its_width),
        cmocka_unit_test(a_width_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
