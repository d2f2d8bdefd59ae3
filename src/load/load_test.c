/* The load generator against a server whose times are known. */
#include "es_test.h"
#include "internal.h"
#include "oip/testing/oip_stub.h"

#include <math.h>

static es_load_opts opts_for(const char *url)
{
    es_load_opts opts = es_load_opts_default();
    opts.url = url;
    opts.model = "stub";
    opts.warm_up_s = 0;
    opts.seed = es_test_seed(1);
    return opts;
}

static es_load *load_make(es_load_opts opts)
{
    es_load *load = NULL;
    es_error err = {0};
    assert_ok_err(es_load_new(opts, &load, &err), err);
    return load;
}

static const es_load_result *run(es_load *load)
{
    const es_load_result *result = NULL;
    es_error err = {0};
    assert_ok_err(es_load_run(load, 0, &result, &err), err);
    return result;
}

static void expect_counts(const es_load_result *result)
{
    uint64_t faults = 0;
    assert_int_equal(result->queries, result->answered + result->failed);
    assert_true(fabs(es_histogram_weight(result->latency) - (double)result->answered) < 0.5);
    for (size_t i = 0; i < result->fault_count; i++)
        faults += result->faults[i].count;
    assert_int_equal(faults, result->failed); /* one request per query */
}

/* ---- the schedule ---- */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Kolmogorov and Smirnov: gaps are exponential; and independent of the one before. */
static void draws_poisson_arrivals(void **state)
{
    enum { COUNT = 20000 };
    static double gaps[COUNT];
    const double rate = 250;
    double at_s = 0;
    double product = 0;
    double worst = 0;
    (void)state;
    es_load_schedule schedule = es_load_schedule_make(es_test_seed(7), rate);
    for (size_t i = 0; i < COUNT; i++) {
        double next_s = es_load_schedule_next(&schedule);
        assert_true(next_s > at_s);
        gaps[i] = next_s - at_s;
        at_s = next_s;
    }
    for (size_t i = 1; i < COUNT; i++)
        product += (gaps[i] - 1 / rate) * (gaps[i - 1] - 1 / rate) * rate * rate / COUNT;
    assert_true(fabs(product) < 4 / sqrt(COUNT)); /* the lag-1 correlation, 4 deviations */
    qsort(gaps, COUNT, sizeof gaps[0], by_value);
    for (size_t i = 0; i < COUNT; i++) {
        double share = 1 - exp(-rate * gaps[i]);
        worst = fmax(worst, fmax(share - (double)i / COUNT, (double)(i + 1) / COUNT - share));
    }
    assert_true(worst < 1.95 / sqrt(COUNT)); /* the level 0.001 */
}

/* One seed, two rates: the same arrivals, stretched. */
static void stretches_arrivals(void **state)
{
    (void)state;
    es_load_schedule slow = es_load_schedule_make(3, 10);
    es_load_schedule fast = es_load_schedule_make(3, 40);
    for (int i = 0; i < 100; i++) {
        double slow_s = es_load_schedule_next(&slow);
        assert_true(fabs(slow_s - 4 * es_load_schedule_next(&fast)) < 1e-9 * slow_s);
    }
}

/* ---- the verdict ---- */

/* By adding up terms of the binomial distribution one by one. */
static double at_most(uint64_t count, uint64_t over, double share)
{
    double sum = 0;
    for (uint64_t k = 0; k <= over; k++)
        sum += exp(lgamma((double)count + 1) - lgamma((double)k + 1) -
                   lgamma((double)(count - k) + 1) + (double)k * log(share) +
                   (double)(count - k) * log1p(-share));
    return sum;
}

static void judges_with_confidence(void **state)
{
    (void)state;
    /* LoadGen: 459 queries for a 99th percentile without any over the target, 44 for a 90th */
    assert_false(es_load_confident(458, 0, 0.99));
    assert_true(es_load_confident(459, 0, 0.99));
    assert_false(es_load_confident(43, 0, 0.9));
    assert_true(es_load_confident(44, 0, 0.9));
    assert_int_equal(es_load_missing(100, 0, 0.99), 359);
    assert_int_equal(es_load_missing(459, 0, 0.99), 0);
    for (uint64_t count = 50; count < 200000; count = count * 3 / 2) {
        for (uint64_t over = 0; over < 1 + count / 50; over += 1 + over / 2) {
            bool wanted = at_most(count, over, 0.01) <= 0.01;
            if (es_load_confident(count, over, 0.99) != wanted)
                fail_msg("%llu of %llu", (unsigned long long)over, (unsigned long long)count);
        }
        uint64_t most = 0;
        if (es_load_over_max(count, 0.99, &most)) {
            assert_true(at_most(count, most, 0.01) <= 0.01);
            assert_true(at_most(count, most + 1, 0.01) > 0.01);
        } else {
            assert_true(at_most(count, 0, 0.01) > 0.01);
        }
    }
    assert_true(es_load_confident(10000000, 98000, 0.99)); /* 0.99^1e7 underflows */
}

/* ---- runs ---- */

/* Half as many connections as are needed for a moment, a stall of one second in the middle: those
 * who came meanwhile have waited, though they could not even be sent. */
static void shows_a_stall(void **state)
{
    oip_stub stub = {.service_s = 0.002};
    char url[64];
    es_clock *clock = es_clock_system();
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.rate_rps = 300;
    opts.duration_s = 3;
    opts.connections = 16;
    opts.query_count_min = 1;
    es_load *load = load_make(opts);
    int64_t from_ns = es_clock_now_ns(clock) + es_ns_from_s(1);
    atomic_store(&stub.stall_to_ns, from_ns + ES_NS_PER_S);
    atomic_store(&stub.stall_from_ns, from_ns);
    const es_load_result *result = run(load);
    expect_counts(result);
    assert_int_equal(result->failed, 0);
    assert_int_equal(atomic_load(&stub.inferences), result->queries + 1); /* and the trial */
    assert_int_equal(atomic_load(&stub.malformed), 0);
    /* A third of all arrivals fall into the stall and wait for the rest of it: the latency that a
     * share q keeps is 1 - 3 (1 - q) seconds from q = 2/3 on. */
    double p50_s = es_load_latency(result, 0.5);
    double p90_s = es_load_latency(result, 0.9);
    double p99_s = es_load_latency(result, 0.99);
    print_message("p50 %.4f s, p90 %.3f s, p99 %.3f s\n", p50_s, p90_s, p99_s);
    assert_true(p50_s < 0.1);
    assert_true(p90_s > 0.5 && p90_s < 1.1);
    assert_true(p99_s > 0.85 && p99_s < 1.4);
    assert_false(result->performance_met);
    assert_false(result->valid);
    es_load_free(load);
    oip_stub_stop(&stub);
}

static void serves_at_a_rate(void **state)
{
    oip_stub stub = {.service_s = 0.001};
    char url[64];
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.rate_rps = 800;
    opts.duration_s = 1;
    opts.warm_up_s = 0.2;
    opts.query_count_min = 700;
    es_load *load = load_make(opts);
    const es_load_result *result = run(load);
    expect_counts(result);
    assert_int_equal(result->failed, 0);
    assert_true(result->scheduled_s >= 1 && result->queries >= 700);
    assert_true(atomic_load(&stub.inferences) > result->queries + 100); /* the warm-up's */
    double rate = (double)result->queries / result->scheduled_s;
    assert_true(fabs(rate - 800) < 4 * 800 / sqrt(800));
    assert_true(es_histogram_min(result->latency) >= 0.001);
    assert_true(result->duration_met && result->queries_met && result->answers_met);
    es_load_free(load);
    oip_stub_stop(&stub);
}

/* One after the other: as many as fit into the time. */
static void streams_single_queries(void **state)
{
    oip_stub stub = {.service_s = 0.005};
    char url[64];
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.scenario = ES_LOAD_SINGLE_STREAM;
    opts.duration_s = 0.5;
    opts.query_count_min = 50;
    es_load *load = load_make(opts);
    const es_load_result *result = run(load);
    expect_counts(result);
    assert_in_range(result->queries, 50, 102);
    assert_int_equal(atomic_load(&stub.rows), result->samples + 1);
    assert_true(result->percentile == 0.9);
    assert_true(es_load_latency(result, 0.9) >= 0.005);
    /* the estimate with confidence lies above the plain one */
    if (result->early_stopping_met)
        assert_true(result->latency_s_early_stopping >= es_load_latency(result, 0.9) * 0.99);
    es_load_free(load);
    oip_stub_stop(&stub);
}

/* Eight samples at once as four requests; a query ends with the last of them. */
static void streams_several_samples(void **state)
{
    oip_stub stub = {.service_s = 0.01, .serial = true};
    char url[64];
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.scenario = ES_LOAD_MULTI_STREAM;
    opts.batch = 2;
    opts.duration_s = 0;
    opts.query_count_min = 10;
    es_load *load = load_make(opts);
    const es_load_result *result = run(load);
    assert_int_equal(result->queries, 10);
    assert_int_equal(result->samples, 80);
    assert_int_equal(atomic_load(&stub.inferences), 41);
    assert_int_equal(atomic_load(&stub.rows), 82);
    assert_true(es_histogram_min(result->latency) >= 0.04);
    es_load_free(load);
    oip_stub_stop(&stub);
}

/* All are due at the start; a serial server of 1 ms gives about a thousand a second. */
static void measures_throughput(void **state)
{
    oip_stub stub = {.service_s = 0.001, .serial = true};
    char url[64];
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.scenario = ES_LOAD_OFFLINE;
    opts.connections = 8;
    opts.duration_s = 0;
    opts.query_count_min = 400;
    es_load *load = load_make(opts);
    const es_load_result *result = run(load);
    expect_counts(result);
    assert_int_equal(result->queries, 400);
    double rate = (double)result->samples / result->last_done_s;
    print_message("%.0f samples/s\n", rate);
    assert_true(rate < 1001);
    assert_true(es_histogram_max(result->latency) <= result->last_done_s * 1.01);
    assert_true(es_load_latency(result, 0.5) > 0.3 * result->last_done_s);
    es_load_free(load);
    oip_stub_stop(&stub);
}

static void counts_faults(void **state)
{
    oip_stub stub = {.service_s = 0, .fail_every = 10};
    char url[64];
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.rate_rps = 2000;
    opts.duration_s = 0;
    opts.query_count_min = 499;
    es_load *load = load_make(opts);
    const es_load_result *result = run(load);
    expect_counts(result);
    assert_int_equal(result->queries, 499);
    assert_int_equal(result->failed, 50);
    assert_int_equal(result->fault_count, 1);
    assert_string_equal(result->faults[0].what, "503");
    assert_non_null(strstr(result->first_fault, "as it was told"));
    assert_false(result->answers_met);
    assert_true(isinf(es_load_latency(result, 0.95)));
    assert_true(isfinite(es_load_latency(result, 0.85)));
    es_load_free(load);
    oip_stub_stop(&stub);
}

/* A server that answers nobody: every query ends by its time limit, the run ends. */
static void ends_though_nobody_answers(void **state)
{
    oip_stub stub = {.service_s = 0};
    char url[64];
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.rate_rps = 1000;
    opts.duration_s = 0.2;
    opts.query_count_min = 1;
    opts.connections = 4;
    opts.timeout_s = 0.3;
    es_load *load = load_make(opts);
    int64_t now_ns = es_clock_now_ns(es_clock_system());
    atomic_store(&stub.stall_to_ns, now_ns + 2 * ES_NS_PER_S);
    atomic_store(&stub.stall_from_ns, now_ns);
    const es_load_result *result = run(load);
    expect_counts(result);
    assert_int_equal(result->answered, 0);
    assert_string_equal(result->faults[0].what, "timed out");
    assert_true(isnan(es_histogram_mean(result->latency)));
    assert_true(result->last_done_s < 1);
    es_load_free(load);
    oip_stub_stop(&stub);
}

static void stops_when_told(void **state)
{
    oip_stub stub = {.service_s = 0};
    char url[64];
    volatile sig_atomic_t stop = 1;
    const es_load_result *result = NULL;
    es_error err = {0};
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.duration_s = 100;
    opts.stop = &stop;
    es_load *load = load_make(opts);
    assert_ok_err(es_load_run(load, 0, &result, &err), err);
    assert_true(result->stopped);
    assert_false(result->valid);
    es_load_free(load);
    opts.warm_up_s = 1;
    load = load_make(opts);
    assert_fails(es_load_run(load, 0, &result, &err), ES_ERR_CANCELLED, err, "warming up");
    es_load_free(load);
    oip_stub_stop(&stub);
}

/* ---- the search ---- */

/* A serial server of 4 ms can answer 250 a second, and no rate above can be kept for long; below,
 * waits are short (M/D/1: p99 of 100 ms at a load of about 0.93). */
static void finds_the_highest_rate(void **state)
{
    oip_stub stub = {.service_s = 0.004, .serial = true};
    char url[64];
    es_load_search search = {0};
    es_error err = {0};
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.rate_rps = 40;
    opts.duration_s = 1.5;
    opts.query_count_min = 1;
    opts.timeout_s = 1;
    es_load *load = load_make(opts);
    assert_ok_err(es_load_find_rate(load, 0.1, &search, &err), err);
    for (size_t i = 0; i < search.trial_count; i++)
        print_message("%.0f/s: %.1f ms, %s\n", search.trials[i].rate_rps,
                      1e3 * search.trials[i].latency_s, search.trials[i].good ? "good" : "not");
    assert_non_null(search.best);
    assert_true(search.best->rate_rps > 60 && search.best->rate_rps < 290);
    assert_true(search.best->performance_met);
    double highest_good = 0;
    double lowest_bad = INFINITY;
    for (size_t i = 0; i < search.trial_count; i++) {
        double rate = search.trials[i].rate_rps;
        highest_good = search.trials[i].good ? fmax(highest_good, rate) : highest_good;
        lowest_bad = search.trials[i].good ? lowest_bad : fmin(lowest_bad, rate);
    }
    assert_true(highest_good == search.best->rate_rps);
    assert_true(lowest_bad <= highest_good * 1.1 + 1e-9);
    es_load_free(load);
    oip_stub_stop(&stub);
}

/* ---- inputs ---- */

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void makes_requests(void **state)
{
    static const char *const SHAPES[] = {"x=1,3"};
    static const char *const PARAMETERS[] = {"estran_slo_ms=50", "who=me", "ready=true",
                                             "share=0.5"};
    static const float SAMPLES[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    oip_stub stub = {.service_s = 0};
    char url[64];
    es_oip_message message;
    es_error err = {0};
    (void)state;
    oip_stub_start(&stub, url);
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);

    es_load_opts opts = opts_for(url);
    opts.model = "free";
    opts.shapes = SHAPES;
    opts.shape_count = 1;
    opts.parameters = PARAMETERS;
    opts.parameter_count = 4;
    es_load *load = load_make(opts);
    int64_t json_size = strtoll(load->bodies[0].json_size, NULL, 10);
    assert_ok_err(es_oip_decode(arena, ES_OIP_REQUEST, load->bodies[0].bytes, load->bodies[0].size,
                                json_size, &message, &err),
                  err);
    assert_int_equal(message.tensor_count, 2);
    assert_int_equal(message.tensors[0].dims[1], 3);
    assert_int_equal(message.tensors[1].dtype, ES_DTYPE_STRING);
    assert_int_equal(es_oip_param_find(&message.params, "estran_slo_ms")->as.integer, 50);
    assert_string_equal(es_oip_param_find(&message.params, "who")->as.text, "me");
    assert_true(es_oip_param_find(&message.params, "ready")->as.boolean);
    assert_true(message.binary_output);
    es_load_free(load);

    write_file("load_test.f32", SAMPLES, sizeof SAMPLES);
    opts = opts_for(url);
    opts.input = "load_test.f32";
    opts.json_tensors = true;
    load = load_make(opts);
    assert_int_equal(load->body_count, 3);
    assert_null(load->bodies[2].json_size);
    assert_ok_err(es_oip_decode(arena, ES_OIP_REQUEST, load->bodies[2].bytes, load->bodies[2].size,
                                ES_OIP_DOUBT, &message, &err),
                  err);
    assert_memory_equal(message.tensors[0].data, SAMPLES + 8, 16);
    es_load_free(load);
    assert_int_equal(remove("load_test.f32"), 0);
    oip_stub_stop(&stub);
}

static void refuses_what_cannot_be(void **state)
{
    static const char *const BAD_SHAPE[] = {"x=1,a"};
    static const char *const BAD_PARAMETER[] = {"alone"};
    oip_stub stub = {.service_s = 0};
    char url[64];
    es_load *load = NULL;
    es_error err = {0};
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.model = "absent";
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_UNAVAILABLE, err, "status 404");
    opts.model = "free";
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_ARG, err,
                 "input 'x': dimension 1 is free; give its shape");
    opts.shapes = BAD_SHAPE;
    opts.shape_count = 1;
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_ARG, err, "shape '1,a'");
    opts.shape_count = 0;
    opts.batch = 2;
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_ARG, err, "give its shape");
    opts = opts_for(url);
    opts.parameters = BAD_PARAMETER;
    opts.parameter_count = 1;
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_ARG, err, "parameter 'alone'");
    opts.parameter_count = 0;
    opts.input = "/nowhere/x.f32";
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_IO, err, "/nowhere/x.f32");
    opts.input = NULL;
    opts.rate_rps = 0;
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_ARG, err, "rate_rps=0");
    opts.rate_rps = 1;
    opts.model = "a/b";
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_ARG, err, "model");
    opts = opts_for("http://127.0.0.1:9");
    assert_fails(es_load_new(opts, &load, &err), ES_ERR_UNAVAILABLE, err, "127.0.0.1:9");
    assert_null(load);
    oip_stub_stop(&stub);
}

static void writes_text_and_document(void **state)
{
    oip_stub stub = {.service_s = 0.001};
    char url[64];
    const es_doc *document = NULL;
    es_error err = {0};
    (void)state;
    oip_stub_start(&stub, url);
    es_load_opts opts = opts_for(url);
    opts.rate_rps = 1000;
    opts.duration_s = 0.1;
    opts.query_count_min = 500;
    es_load *load = load_make(opts);
    const es_load_result *result = run(load);
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, 1 << 20);
    es_load_write_text(load, result, &text);
    static const char *const LINES[] = {"\nScenario : Server\n",
                                        "\nScheduled samples per second : ",
                                        "\nResult is : ",
                                        "\n  Performance constraints satisfied : ",
                                        "\n  Min duration satisfied : Yes\n",
                                        "\n  Min queries satisfied : Yes\n",
                                        "\n  Early stopping satisfied: ",
                                        "\n99.00 percentile latency (ns)   : "};
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++)
        if (strstr(es_text_get(&text), LINES[i]) == NULL)
            fail_msg("no '%s' in: %s", LINES[i], es_text_get(&text));
    es_text_clear(&text);
    es_load_write_json(load, result, NULL, &text);
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    assert_ok_err(es_doc_parse_json(arena, "load", text.bytes, text.size, &document, &err), err);
    assert_ok_err(es_doc_expect_format(document, "estran-load", 1, &err), err);
    int64_t queries = 0;
    assert_ok_err(es_doc_need_int(document, "queries", 500, 1000, &queries, &err), err);
    assert_int_equal(queries, result->queries);
    es_load_free(load);
    oip_stub_stop(&stub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_poisson_arrivals),
        cmocka_unit_test(stretches_arrivals),
        cmocka_unit_test(judges_with_confidence),
        cmocka_unit_test(shows_a_stall),
        cmocka_unit_test(serves_at_a_rate),
        cmocka_unit_test(streams_single_queries),
        cmocka_unit_test(streams_several_samples),
        cmocka_unit_test(measures_throughput),
        cmocka_unit_test(counts_faults),
        cmocka_unit_test(ends_though_nobody_answers),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(finds_the_highest_rate),
        cmocka_unit_test(makes_requests),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(writes_text_and_document),
    };
    cmocka_set_test_filter(getenv("ES_TEST_FILTER")); /* NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
