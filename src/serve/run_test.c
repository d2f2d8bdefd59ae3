/* Real processes on loopback: answers, death, cancellation, refusal, bad models. */
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "world.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int set_up(void **state)
{
    (void)state;
    es_log_level_set(ES_LOG_ERROR);
    es_runtime *runtime = NULL;
    es_error err = {0};
    if (es_runtime_new(es_runtime_opts_default(), &runtime, &err) != ES_OK) {
        print_message("skipped: %s\n", es_error_text(&err));
        skip();
    }
    es_runtime_free(runtime);
    return 0;
}

/* ---- answers ---- */

typedef struct witness {
    const world *w;
    es_session *whole;
    es_session *small;
    size_t count;
    size_t by_stages[4];
    size_t by_routing[WORLD_ROUTES_MAX];
    pid_t pids[8];
    size_t pid_count;
    volatile sig_atomic_t stop;
    double kill_at_s;
    uint32_t victim;
    bool killed;
} witness;

static void draw_input(uint64_t sequence, float out[WORLD_INPUTS])
{
    es_rng rng = es_rng_make(99, sequence);
    for (size_t i = 0; i < WORLD_INPUTS; i++)
        out[i] = (float)(es_rng_normal(&rng) * 0.3);
}

static bool give_input(void *context, es_class_id class_id, uint64_t sequence, void *bytes,
                       size_t size)
{
    (void)context;
    assert_int_equal(class_id.index, 0);
    assert_int_equal(size, WORLD_INPUTS * sizeof(float));
    draw_input(sequence, bytes);
    return true;
}

static void run_local(es_session *session, const float *in, float out[WORLD_CLASSES])
{
    es_error err = {0};
    int64_t in_dims[2] = {1, WORLD_INPUTS};
    int64_t out_dims[2] = {1, WORLD_CLASSES};
    float copy[WORLD_INPUTS];
    memcpy(copy, in, sizeof copy);
    es_tensor input = es_tensor_make(ES_DTYPE_F32, in_dims, 2, copy);
    es_tensor output = es_tensor_make(ES_DTYPE_F32, out_dims, 2, out);
    assert_ok_err(es_session_run(session, &input, 1, &output, 1, &err), err);
}

static void check_answer(void *context, const es_run_answer *answer)
{
    witness *here = context;
    float in[WORLD_INPUTS], whole[WORLD_CLASSES], small[WORLD_CLASSES];
    const es_routing *routing = &here->w->routings[answer->routing];
    const char *name = here->w->scenario->pipelines[routing->pipeline.index].name;
    bool exits =
        strcmp(name, "cascade") == 0 || strcmp(name, "early") == 0 || strcmp(name, "mixed") == 0;
    draw_input(answer->sequence, in);
    run_local(here->whole, in, whole);
    run_local(here->small, in, small);
    bool sure = es_confidence_max_prob(small, WORLD_CLASSES, true) >= 0.6;
    const float *wanted = exits && sure ? small : whole;
    const float *got = answer->output;
    assert_int_equal(answer->output_bytes, sizeof whole);
    for (size_t i = 0; i < WORLD_CLASSES; i++)
        assert_true(fabsf(got[i] - wanted[i]) < 1e-6F);
    if (exits && sure)
        assert_int_equal(answer->stages_run, 1);
    else if (strcmp(name, "mixed") == 0)
        assert_int_equal(answer->stages_run, 3);
    else
        assert_int_equal(answer->stages_run, strcmp(name, "whole") == 0 ? 1 : 2);
    here->count++;
    here->by_stages[answer->stages_run]++;
    here->by_routing[answer->routing]++;
}

static void open_sessions(witness *here, es_runtime **out_runtime)
{
    char path[1024];
    es_error err = {0};
    assert_ok_err(es_runtime_new(es_runtime_opts_default(), out_runtime, &err), err);
    (void)snprintf(path, sizeof path, "%s/whole.onnx", here->w->folder);
    assert_ok_err(
        es_session_open(*out_runtime, path, es_session_opts_default(), &here->whole, &err), err);
    (void)snprintf(path, sizeof path, "%s/small.onnx", here->w->folder);
    assert_ok_err(
        es_session_open(*out_runtime, path, es_session_opts_default(), &here->small, &err), err);
}

static void answers_equal_the_model_run_here(void **state)
{
    (void)state;
    world w;
    es_runtime *runtime = NULL;
    world_make(&w, "demand:\n  - {task: t, at: device, rate_rps: 150}\n");
    witness here = {.w = &w};
    open_sessions(&here, &runtime);
    world_route(&w, "whole", (int[]){CLOUD}, 0.2);
    world_route(&w, "split", (int[]){DEVICE, CLOUD}, 0.2);
    world_route(&w, "early", (int[]){DEVICE, EDGE}, 0.2);
    world_route(&w, "cascade", (int[]){DEVICE, CLOUD}, 0.2);
    world_route(&w, "mixed", (int[]){DEVICE, EDGE, CLOUD}, 0.2);
    es_run_opts opts = world_opts();
    opts.input = give_input;
    opts.answered = check_answer;
    opts.context = &here;
    opts.queue_capacity = 4096;
    const es_outcome *outcome = world_run(&w, opts);
    assert_true(outcome->total.arrived > 90);
    assert_true(outcome->total.served == outcome->total.arrived);
    assert_int_equal(here.count, (size_t)outcome->total.served);
    assert_true(here.by_stages[1] > 0 && here.by_stages[2] > 0 && here.by_stages[3] > 0);
    for (size_t r = 0; r < w.plan.routing_count; r++) /* shares are kept within one request */
        assert_true(fabs((double)here.by_routing[r] - 0.2 * (double)here.count) <= 3);
    assert_true(outcome->total.energy_compute_j > 0 && outcome->total.energy_network_j > 0 &&
                outcome->total.carbon_g > 0);
    es_session_unref(here.whole);
    es_session_unref(here.small);
    es_runtime_free(runtime);
    world_done(&w);
}

static void drawn_inputs_and_a_refusing_plan(void **state)
{
    (void)state;
    world w;
    world_make(&w, NULL);
    world_route(&w, "whole", (int[]){DEVICE}, 0.75);
    w.refused_share[0] = 0.25;
    es_run_opts opts = world_opts();
    opts.label = "some";
    const es_outcome *outcome = world_run(&w, opts);
    assert_string_equal(outcome->label, "some");
    assert_string_equal(outcome->source, "run");
    assert_int_equal(outcome->seed, 7);
    assert_true(fabs(outcome->total.arrived - 50) <= 1);
    assert_true(fabs(outcome->total.refused - 0.25 * outcome->total.arrived) <= 1);
    assert_true(outcome->total.served + outcome->total.refused == outcome->total.arrived);
    assert_true(outcome->total.energy_network_j == 0);
    assert_true(outcome->total.latency_s_p50 < 0.02);
    /* idle is counted where something is hosted */
    assert_true(fabs(outcome->node_uses[DEVICE].idle_j - 0.5) < 1e-9);
    assert_true(outcome->node_uses[EDGE].idle_j == 0);
    assert_true(outcome->node_uses[DEVICE].busy_s > 0);
    world_done(&w);
}

static void labels_tell_the_quality(void **state)
{
    (void)state;
    world w;
    es_runtime *runtime = NULL;
    es_error err = {0};
    char path[1024];
    float samples[WORLD_SAMPLES][WORLD_INPUTS];
    uint8_t labels[WORLD_SAMPLES];
    world_make(&w, "demand:\n  - {task: known, at: device, rate_rps: 100, arrivals: constant}\n");
    witness here = {.w = &w};
    open_sessions(&here, &runtime);
    for (size_t i = 0; i < WORLD_SAMPLES; i++) {
        float out[WORLD_CLASSES];
        draw_input(i, samples[i]);
        run_local(here.whole, samples[i], out);
        labels[i] = (uint8_t)(es_argmax(out, WORLD_CLASSES) + (i < 3)); /* three wrong ones */
    }
    (void)snprintf(path, sizeof path, "%s/samples.f32", w.folder);
    assert_ok_err(es_file_write(path, samples, sizeof samples, &err), err);
    (void)snprintf(path, sizeof path, "%s/labels.u8", w.folder);
    assert_ok_err(es_file_write(path, labels, sizeof labels, &err), err);
    world_route(&w, "known", (int[]){DEVICE}, 1);
    const es_outcome *outcome = world_run(&w, world_opts());
    assert_true(outcome->total.served >= 98);
    assert_true(fabs(outcome->total.quality_mean - 0.7) < 0.02);
    es_run_opts opts = world_opts();
    assert_ok_err(es_file_write(path, labels, sizeof labels - 1, &err), err);
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), ES_ERR_PARSE, err,
                 "9 bytes must be one for each of 10 samples");
    (void)snprintf(path, sizeof path, "%s/samples.f32", w.folder);
    assert_ok_err(es_file_write(path, samples, 300, &err), err);
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), ES_ERR_PARSE, err,
                 "300 bytes must be a positive multiple of input_bytes=256");
    es_session_unref(here.whole);
    es_session_unref(here.small);
    es_runtime_free(runtime);
    world_done(&w);
}

/* ---- ends ---- */

static void note_start(void *context, es_node_id node, int64_t pid)
{
    witness *here = context;
    here->pids[node.index] = (pid_t)pid;
    here->pid_count++;
}

static void no_child_left(const witness *here, size_t count)
{
    assert_int_equal(here->pid_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(here->pids[i] > 0);
        assert_int_equal(kill(here->pids[i], 0), -1);
        assert_int_equal(errno, ESRCH);
    }
}

static void act_on_progress(void *context, double done_s, double total_s, uint64_t answered,
                            uint64_t failed)
{
    witness *here = context;
    (void)total_s;
    (void)answered;
    (void)failed;
    if (done_s < here->kill_at_s || here->killed)
        return;
    here->killed = true;
    if (here->pids[here->victim] > 0 && here->stop == 0)
        assert_int_equal(kill(here->pids[here->victim], SIGKILL), 0);
}

static void a_dead_node_fails_its_requests_only(void **state)
{
    (void)state;
    world w;
    world_make(&w, "demand:\n  - {task: t, at: device, rate_rps: 100, arrivals: constant}\n");
    world_route(&w, "whole", (int[]){DEVICE}, 0.5);
    world_route(&w, "whole", (int[]){CLOUD}, 0.5);
    witness here = {.w = &w, .kill_at_s = 0.5, .victim = CLOUD};
    es_run_opts opts = world_opts();
    opts.started = note_start;
    opts.context = &here;
    opts.progress = act_on_progress;
    opts.progress_context = &here;
    const es_outcome *outcome = world_run(&w, opts);
    const es_outcome_row *total = &outcome->total;
    assert_true(here.killed);
    assert_true(total->failed >= 10 && total->failed <= 30); /* the cloud's half after 0.5 s */
    assert_true(total->in_flight == 0 && total->refused == 0);
    assert_true(total->served + total->failed == total->arrived);
    assert_false(outcome->node_uses[DEVICE].died);
    assert_true(outcome->node_uses[3 + CLOUD].died);
    assert_false(outcome->node_uses[CLOUD].died); /* it still lived in the first slot */
    no_child_left(&here, 3);
    world_done(&w);
}

/* The edge hosts nothing, but lies on the way to the cloud. */
static void a_dead_node_on_the_way_fails_what_passes_it(void **state)
{
    (void)state;
    world w;
    world_make(&w, "demand:\n  - {task: t, at: device, rate_rps: 100, arrivals: constant}\n");
    world_route(&w, "whole", (int[]){DEVICE}, 0.5);
    world_route(&w, "whole", (int[]){CLOUD}, 0.5);
    witness here = {.w = &w, .kill_at_s = 0.5, .victim = EDGE};
    es_run_opts opts = world_opts();
    opts.started = note_start;
    opts.context = &here;
    opts.progress = act_on_progress;
    opts.progress_context = &here;
    const es_outcome *outcome = world_run(&w, opts);
    const es_outcome_row *total = &outcome->total;
    assert_true(here.killed);
    /* the cloud's half from when it is noticed, a tenth of a second later at most */
    assert_true(total->failed >= 10 && total->failed <= 30);
    assert_true(total->served + total->failed == total->arrived);
    assert_true(outcome->node_uses[3 + EDGE].died);
    world_done(&w);
}

static void stop_on_progress(void *context, double done_s, double total_s, uint64_t answered,
                             uint64_t failed)
{
    witness *here = context;
    (void)total_s;
    (void)answered;
    (void)failed;
    if (done_s >= 0.2)
        here->stop = 1;
}

static void stopping_leaves_no_child(void **state)
{
    (void)state;
    world w;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    world_make(&w, NULL);
    world_route(&w, "whole", (int[]){EDGE}, 1);
    witness here = {.w = &w};
    es_run_opts opts = world_opts();
    opts.started = note_start;
    opts.context = &here;
    opts.progress = stop_on_progress;
    opts.progress_context = &here;
    opts.stop = &here.stop;
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), ES_ERR_CANCELLED,
                 err, "stopped");
    assert_null(outcome);
    no_child_left(&here, 3);
    world_done(&w);
}

/* Gone, or waiting for whoever inherited it to look. */
static bool is_gone(pid_t pid)
{
    char path[64];
    char line[512] = "";
    if (kill(pid, 0) != 0)
        return true;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return true;
    bool read_it = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    const char *name_end = strrchr(line, ')');
    return !read_it || (name_end != NULL && name_end[1] == ' ' && name_end[2] == 'Z');
}

static void tell_pid(void *context, es_node_id node, int64_t pid)
{
    (void)node;
    pid_t found = (pid_t)pid;
    if (write(*(const int *)context, &found, sizeof found) != sizeof found)
        _exit(1);
}

static void a_killed_run_leaves_no_child(void **state)
{
    (void)state;
    world w;
    int ends[2];
    pid_t pids[3];
    char command[1024];
    world_make(&w, NULL);
    world_route(&w, "whole", (int[]){CLOUD}, 1);
    (void)snprintf(command, sizeof command, "%s/left", w.folder);
    assert_int_equal(mkdir(command, 0700), 0);
    assert_int_equal(setenv("TMPDIR", command, 1), 0); /* of the killed one, which tidies nothing */
    assert_int_equal(pipe(ends), 0);
    pid_t run = fork();
    if (run == 0) {
        es_run_opts opts = world_opts();
        const es_outcome *outcome = NULL;
        opts.started = tell_pid;
        opts.context = &ends[1];
        _exit(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, NULL) == ES_OK ? 0 : 1);
    }
    assert_true(run > 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(read(ends[0], &pids[i], sizeof pids[i]), sizeof pids[i]);
    assert_int_equal(kill(run, SIGKILL), 0);
    assert_int_equal(waitpid(run, NULL, 0), run);
    for (size_t i = 0; i < 3; i++) {
        for (int tries = 0; tries < 500 && !is_gone(pids[i]); tries++)
            (void)poll(NULL, 0, 10);
        assert_true(is_gone(pids[i]));
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)unsetenv("TMPDIR");
    (void)snprintf(command, sizeof command, "rm -rf '%s/left'", w.folder);
    assert_int_equal(system(command), 0);
    world_done(&w);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    world w;
    world_make(&w, "demand:\n  - {task: t, at: edge, rate_rps: 200, arrivals: constant}\n");
    world_route(&w, "whole", (int[]){EDGE}, 1); /* 1 processor, 20 ms each: 50 per second */
    es_run_opts opts = world_opts();
    opts.queue_capacity = 2;
    const es_outcome *outcome = world_run(&w, opts);
    const es_outcome_row *total = &outcome->total;
    assert_true(total->failed == 0 && total->in_flight == 0);
    assert_true(total->served >= 30 && total->served <= 56);
    assert_true(total->refused >= 140);
    assert_true(total->latency_s_p50 < 0.1); /* at most one running and two waiting before it */
    assert_true(fabs(outcome->node_uses[EDGE].busy_s - 0.5) < 0.1);
    world_done(&w);
}

/* ---- mistakes ---- */

static void expect_failure(const char *demand, const char *pipeline, int node, es_status status,
                           const char *words)
{
    world w;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    world_make(&w, demand);
    world_route(&w, pipeline, &node, 1);
    witness here = {.w = &w};
    es_run_opts opts = world_opts();
    opts.started = note_start;
    opts.context = &here;
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), status, err,
                 words);
    assert_null(outcome);
    no_child_left(&here, here.pid_count);
    world_done(&w);
}

static void bad_models_are_told(void **state)
{
    (void)state;
    const char *wrong = "demand:\n  - {task: wrong, at: device, rate_rps: 5}\n";
    expect_failure(wrong, "wrong", CLOUD, ES_ERR_ARG, "node 'cloud': segment 'whole': model '");
    expect_failure(wrong, "wrong", CLOUD, ES_ERR_ARG,
                   "takes 256 bytes (input 'x', f32[1,64]), but the scenario's input_bytes for it "
                   "are 200");
    expect_failure(NULL, "two", DEVICE, ES_ERR_UNSUPPORTED, "has 2 inputs");
    expect_failure(NULL, "absent", DEVICE, ES_ERR_IO, "segment 'absent'");
    expect_failure(NULL, "none", DEVICE, ES_ERR_ARG, "segment 'none' has no model file");
}

static void bad_programs_and_options_are_told(void **state)
{
    (void)state;
    world w;
    es_error err = {0};
    const es_outcome *outcome = NULL;
    world_make(&w, NULL);
    world_route(&w, "whole", (int[]){DEVICE}, 1);
    es_run_opts opts = world_opts();
    opts.program = "/nowhere/estran";
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), ES_ERR_IO, err,
                 "cannot run '/nowhere/estran'");
    opts.program = "/bin/true";
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err),
                 ES_ERR_UNAVAILABLE, err, "exited with status 0 before it was ready");
    opts.program = "/bin/echo"; /* says something else, to us on its stderr */
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err),
                 ES_ERR_UNAVAILABLE, err, "before it was ready");
    opts = world_opts();
    opts.duration_s = 1.5;
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), ES_ERR_ARG, err,
                 "duration_s=1.5 must be 0 to 1");
    opts = world_opts();
    opts.ort_library = "/nowhere/libonnxruntime.so";
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err),
                 ES_ERR_UNAVAILABLE, err, "node 'device': ");
    opts = world_opts();
    opts.program = NULL;
    assert_fails(es_run_plan(w.arena, w.scenario, &w.plan, opts, &outcome, &err), ES_ERR_ARG, err,
                 "program");
    world_done(&w);
}

static void a_shorter_run_ends_sooner(void **state)
{
    (void)state;
    world w;
    world_make(&w, NULL);
    world_route(&w, "whole", (int[]){DEVICE}, 1);
    es_run_opts opts = world_opts();
    opts.duration_s = 0.25;
    opts.warm_up_s = 0;
    const es_outcome *outcome = world_run(&w, opts);
    assert_true(fabs(outcome->total.arrived - 12.5) <= 1);
    assert_true(outcome->total.served == outcome->total.arrived);
    assert_true(fabs(outcome->node_uses[DEVICE].duration_s - 0.25) < 1e-9);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_equal_the_model_run_here, set_up),
        cmocka_unit_test_setup(drawn_inputs_and_a_refusing_plan, set_up),
        cmocka_unit_test_setup(a_dead_node_fails_its_requests_only, set_up),
        cmocka_unit_test_setup(a_dead_node_on_the_way_fails_what_passes_it, set_up),
        cmocka_unit_test_setup(stopping_leaves_no_child, set_up),
        cmocka_unit_test_setup(labels_tell_the_quality, set_up),
        cmocka_unit_test_setup(a_killed_run_leaves_no_child, set_up),
        cmocka_unit_test_setup(a_full_queue_refuses, set_up),
        cmocka_unit_test_setup(bad_models_are_told, set_up),
        cmocka_unit_test_setup(bad_programs_and_options_are_told, set_up),
        cmocka_unit_test_setup(a_shorter_run_ends_sooner, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
