/* Latency and bandwidth of emulated links, measured over real processes: medians, so that a busy
 * machine does not matter much. */
#include "base/log.h"
#include "world.h"

#include <math.h>
#include <string.h>

enum { TIMES_MAX = 4096, SEED = 7 };                  /* as world_opts has it */
static const double BACK_S = 15e-3 + 8 * 32 * 0.6e-6; /* from the cloud to the device */

typedef struct times {
    double network_s[TIMES_MAX]; /* latency without service and queues */
    double latency_s[TIMES_MAX];
    double told_s[TIMES_MAX];  /* when the answer was told, by the clock */
    double there_s[TIMES_MAX]; /* latency without the way back: then it left its node */
    uint64_t sequence[TIMES_MAX];
    size_t count;
    double time_0_s; /* of the run, by the clock */
} times;

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

static void note(void *context, const es_run_answer *answer)
{
    times *all = context;
    if (all->count == TIMES_MAX)
        return;
    double rest_s = answer->latency_s;
    all->told_s[all->count] = es_s_from_ns(es_clock_now_ns(es_clock_system()));
    all->there_s[all->count] = answer->latency_s - BACK_S;
    all->sequence[all->count] = answer->sequence;
    for (uint32_t k = 0; k < answer->stages_run; k++)
        rest_s -= answer->service_s[k] + answer->queue_s[k];
    all->network_s[all->count] = rest_s;
    all->latency_s[all->count++] = answer->latency_s;
}

static void note_time(void *context, double done_s, double total_s, uint64_t answered,
                      uint64_t failed)
{
    times *all = context;
    (void)answered;
    (void)failed;
    if (done_s > 0 && done_s < total_s)
        all->time_0_s = es_s_from_ns(es_clock_now_ns(es_clock_system())) - done_s;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double quantile(double *values, size_t count, double q)
{
    assert_true(count > 0);
    qsort(values, count, sizeof *values, compare);
    return values[(size_t)(q * (double)(count - 1))];
}

/* Instrumented builds and strained machines take longer; they check the order of magnitude. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const double latency_tolerance_s = 5e-3, told_tolerance_s = 10e-3;
#else
static const double latency_tolerance_s = 0.3e-3, told_tolerance_s = 1e-3;
#endif

/* Times are computed from what was due; that it really happened then, the clock tells: the answers
 * were here when they had left their node, and what two processes need to pass them on. */
static void really_happened(const world *w, times *all)
{
    es_arrival_stream stream = es_arrival_stream_make(w->scenario->classes[0].arrivals, SEED, 0);
    double arrival_s[TIMES_MAX];
    double off_s[TIMES_MAX];
    for (size_t i = 0; i < TIMES_MAX; i++)
        arrival_s[i] = es_s_from_ns(es_arrival_next_ns(&stream));
    assert_true(all->time_0_s > 0);
    for (size_t i = 0; i < all->count; i++)
        off_s[i] = all->told_s[i] - all->time_0_s - arrival_s[all->sequence[i]] - all->there_s[i];
    double middle_s = quantile(off_s, all->count, 0.5);
    print_message("answers were told %.3f ms (median) after they had left\n", middle_s * 1e3);
    assert_true(middle_s > -0.05e-3 && middle_s < told_tolerance_s);
}

/* device - edge: 5 ms and 2 Mbit/s; edge - cloud: 10 ms and 10 Mbit/s; 256 bytes there, 32 back:
 * 30 ms + 8 * 256 * (0.5 + 0.1) us + 8 * 32 * 0.6 us. */
static void latency_is_that_of_the_links(void **state)
{
    (void)state;
    world w;
    times all = {.count = 0};
    world_make(&w, "demand:\n  - {task: t, at: device, rate_rps: 200, arrivals: constant}\n");
    world_route(&w, "whole", (int[]){CLOUD}, 1);
    es_run_opts opts = world_opts();
    opts.answered = note;
    opts.context = &all;
    opts.progress = note_time;
    opts.progress_context = &all;
    const es_outcome *outcome = world_run(&w, opts);
    assert_true(outcome->total.served == outcome->total.arrived);
    double wanted_s = 30e-3 + 8 * (256 + 32) * 0.6e-6;
    double off_s = quantile(all.network_s, all.count, 0.5) - wanted_s;
    print_message("network: median %.3f ms off %.3f ms\n", off_s * 1e3, wanted_s * 1e3);
    assert_true(off_s > -latency_tolerance_s && off_s < latency_tolerance_s);
    really_happened(&w, &all);
    world_done(&w);
}

/* 2000 requests of 2048 bits per second are more than the 2 Mbit/s that leave the device: each
 * leaves 1.024 ms after the one before, though they come every 0.5 ms. */
static void bandwidth_is_that_of_the_slowest_link(void **state)
{
    (void)state;
    world w;
    times all = {.count = 0};
    world_make(&w, "demand:\n  - {task: t, at: device, rate_rps: 2000, arrivals: constant}\n");
    world_route(&w, "whole", (int[]){CLOUD}, 1);
    es_run_opts opts = world_opts();
    opts.answered = note;
    opts.context = &all;
    opts.warm_up_s = 0;
    opts.grace_s = 3;
    opts.queue_capacity = 4096;
    const es_outcome *outcome = world_run(&w, opts);
    assert_true(outcome->total.served == outcome->total.arrived);
    /* So latencies rise by 0.524 ms from one to the next: from the middle of the first quarter to
     * the middle of the last. */
    size_t n = all.count;
    assert_true(n > 1900);
    double first_s = 0, last_s = 0;
    double part[TIMES_MAX / 4];
    size_t quarter = n / 4;
    for (size_t i = 0; i < quarter; i++)
        part[i] = all.latency_s[i];
    first_s = quantile(part, quarter, 0.5);
    for (size_t i = 0; i < quarter; i++)
        part[i] = all.latency_s[n - quarter + i];
    last_s = quantile(part, quarter, 0.5);
    double per_request_s = (last_s - first_s) / (double)(n - quarter) + 1.0 / 2000;
    double bandwidth = 8 * 256 / per_request_s;
    print_message("bandwidth: %.4f Mbit/s of 2\n", bandwidth * 1e-6);
    assert_true(fabs(bandwidth / 2e6 - 1) < 0.03);
    world_done(&w);
}

/* A kind without a slowdown takes the scenario's time: 20 ms at the edge, 5 ms away. */
static void service_takes_the_time_of_the_scenario(void **state)
{
    (void)state;
    world w;
    times all = {.count = 0};
    world_make(&w, "demand:\n  - {task: t, at: device, rate_rps: 20, arrivals: constant}\n");
    world_route(&w, "whole", (int[]){EDGE}, 1);
    es_run_opts opts = world_opts();
    opts.answered = note;
    opts.context = &all;
    (void)world_run(&w, opts);
    double wanted_s = 20e-3 + 10e-3 + 8 * (256 + 32) * 0.5e-6;
    double off_s = quantile(all.latency_s, all.count, 0.5) - wanted_s;
    print_message("latency: median %.3f ms off %.3f ms\n", off_s * 1e3, wanted_s * 1e3);
    assert_true(off_s > -latency_tolerance_s && off_s < 2 * latency_tolerance_s);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(latency_is_that_of_the_links, set_up),
        cmocka_unit_test_setup(bandwidth_is_that_of_the_slowest_link, set_up),
        cmocka_unit_test_setup(service_takes_the_time_of_the_scenario, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
