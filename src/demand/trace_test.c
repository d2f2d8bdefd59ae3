#include "base/clock.h"
#include "demand/demand.h"
#include "es_test.h"

#include <math.h>

static void reads_our_csv(void **state)
{
    (void)state;
    static const char text[] =
        "timestamp_s,class\r\n0,a at x\n0.25,b\n\n0.25,a at x\n7e0,\"c, d\"\n";
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    const es_trace *trace = NULL;
    es_error err = {0};
    assert_ok_err(es_trace_parse(arena, "t.csv", text, sizeof text - 1, ES_TRACE_CSV, &trace, &err),
                  err);
    assert_int_equal(trace->count, 4);
    assert_true(trace->times_ns[1] == ES_NS_PER_S / 4);
    assert_true(trace->times_ns[3] == 7 * ES_NS_PER_S);
    assert_string_equal(trace->classes[0], "a at x");
    assert_string_equal(trace->classes[3], "c, d");
    assert_int_equal(trace->lines[3], 6);
}

static void reads_a_log_of_requests(void **state)
{
    (void)state;
    static const char text[] =
        "{\"time_s\":1764322999.5,\"class\":\"a\",\"outcome\":\"ok\",\"id\":\"say \\\"x\"}\n"
        "{\"time_s\":1764322999.25,\"class\":\"b at x\",\"total_ms\":9}\n";
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    const es_trace *trace = NULL;
    es_error err = {0};
    assert_ok_err(
        es_trace_parse(arena, "t", text, sizeof text - 1, ES_TRACE_REQUESTS, &trace, &err), err);
    assert_int_equal(trace->count, 2);
    assert_true(trace->times_ns[0] == 0);
    assert_true(llabs(trace->times_ns[1] - ES_NS_PER_S / 4) < 1000); /* of a wall clock */
    assert_string_equal(trace->classes[0], "b at x");
    assert_string_equal(trace->classes[1], "a");
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        es_trace_format format;
        const char *text, *words;
    } cases[] = {
        {ES_TRACE_CSV, "", "t:1: the file is empty"},
        {ES_TRACE_CSV, "when,class\n", "t:1: the header must start with 'timestamp_s,class'"},
        {ES_TRACE_CSV, "timestamp_s,class\n5,a\n3,a\n",
         "t:3: out of order: 3.000000000 s comes after 5.000000000 s"},
        {ES_TRACE_CSV, "timestamp_s,class\n-1,a\n", "t:2: timestamp_s=-1 must be in [0, 9e9]"},
        {ES_TRACE_CSV, "timestamp_s,class\nsoon,a\n", "t:2: timestamp_s 'soon' is no number"},
        {ES_TRACE_CSV, "timestamp_s,class\nnan,a\n", "t:2: timestamp_s 'nan' is no number"},
        {ES_TRACE_CSV, "timestamp_s,class\n1\n", "t:2: the class is missing"},
        {ES_TRACE_AZURE_LLM, "TIMESTAMP,ContextTokens,GeneratedTokens\nx,1,2\n",
         "t:2: 'x' is no time"},
        {ES_TRACE_AZURE_LLM, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-01 00:00:00,1,2\n",
         "t:2: '2023-13-01 00:00:00' is no time"},
        {ES_TRACE_MOONCAKE, "{\"timestamp\": 1}\n{\"timestamp\": \"a\"}\n", "t:2: "},
        {ES_TRACE_MOONCAKE, "{\"timestamp\": 5}\n{\"timestamp\": 4}\n", "t:2: out of order"},
        {ES_TRACE_REQUESTS, "{\"time_s\": 1}\n", "t:1: "},
        {ES_TRACE_REQUESTS, "{\"time_s\": -1, \"class\": \"a\"}\n", "t:1: "},
        {ES_TRACE_AZURE_FUNCTIONS, "app,func,end_timestamp,duration\na,b,1\n",
         "t:2: the row has 3 cells, not 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
        const es_trace *trace = NULL;
        es_error err = {0};
        assert_fails(es_trace_parse(arena, "t", cases[i].text, strlen(cases[i].text),
                                    cases[i].format, &trace, &err),
                     ES_ERR_PARSE, err, cases[i].words);
    }
}

static void reads_series(void **state)
{
    (void)state;
    static const char text[] = "time,a->b,a->c\n"
                               "20040301-2355,1,5\n20040302-0000,,6\n20040302-0005,3,7\n";
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new(1 << 20);
    const es_series *series = NULL;
    es_error err = {0};
    assert_ok_err(es_series_parse(arena, "s", text, sizeof text - 1, "a->b", 0, &series, &err),
                  err);
    assert_int_equal(series->count, 3);
    assert_true(series->start_ns[1] == 300 * ES_NS_PER_S);
    assert_true(fabs(series->value[1] - 1) < 1e-12); /* an empty cell keeps the value */
    assert_ok_err(es_series_parse(arena, "s", text, sizeof text - 1, "a->c", 400, &series, &err),
                  err);
    assert_int_equal(series->count, 2);
    assert_true(series->start_ns[1] == 200 * ES_NS_PER_S);
    assert_true(fabs(series->value[0] - 6) < 1e-12);
    assert_fails(es_series_parse(arena, "s", text, sizeof text - 1, "a->", 0, &series, &err),
                 ES_ERR_PARSE, err, "s:1: more than one is meant by column 'a->'");
    assert_fails(es_series_parse(arena, "s", text, sizeof text - 1, "x", 0, &series, &err),
                 ES_ERR_PARSE, err, "s:1: there is no column 'x'");
    static const char falls[] = "time,v\n5,1\n5,2\n";
    assert_fails(es_series_parse(arena, "s", falls, sizeof falls - 1, NULL, 0, &series, &err),
                 ES_ERR_PARSE, err, "s:3: times must rise: 5 s comes after 5 s");
    static const char negative[] = "time,v\n5,-1\n";
    assert_fails(es_series_parse(arena, "s", negative, sizeof negative - 1, NULL, 0, &series, &err),
                 ES_ERR_PARSE, err, "s:2: -1 must be in");
}

/* ---- real files ---- */

static void real_trace(const char *name, es_trace_format format, size_t count, double span_s)
{
    const char *path = es_test_data(name);
    if (path == NULL)
        skip();
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
    const es_trace *trace = NULL;
    es_error err = {0};
    assert_ok_err(es_trace_load(arena, path, format, &trace, &err), err);
    double found_s = es_s_from_ns(trace->times_ns[trace->count - 1] - trace->times_ns[0]);
    print_message("  %s: %zu requests in %.3f s\n", name, trace->count, found_s);
    assert_int_equal(trace->count, count);
    assert_true(fabs(found_s - span_s) < 1);
}

static void real_traces(void **state)
{
    (void)state;
    real_trace("azure-llm-2023/AzureLLMInferenceTrace_conv.csv.gz", ES_TRACE_AZURE_LLM, 19366,
               3501.722);
    real_trace("mooncake/conversation_trace.jsonl.gz", ES_TRACE_MOONCAKE, 12031, 3536.999);
    real_trace("alibaba-genai-2026/lora_request_trace.csv.gz", ES_TRACE_ALIBABA_GENAI, 26823,
               1989367);
    real_trace("azure-functions/Azure2021_200.csv", ES_TRACE_AZURE_FUNCTIONS, 199, 1200.013);
}

static void real_series(void **state)
{
    (void)state;
    static const struct {
        const char *file, *column;
        size_t least;
        double step_s, low, high; /* of the mean */
    } cases[] = {
        {"carbon-electricitymaps/DE-LU_2023.csv.gz",
         "Carbon Intensity gCO\xe2\x82\x82"
         "eq/kWh (direct)",
         8760, 3600, 200, 500},
        {"carbon-eu-2020/fr_ci.csv.gz", "Carbon Intensity", 10000, 1800, 20, 100},
        {"carbon-us-2022/CISO.csv.gz", "avg_CI", 8000, 3600, 100, 500},
        {"traffic-matrices/abilene-5min-first.csv.gz", "ATLAng->CHINng", 100, 300, 1, 100},
        {"traffic-matrices/geant-15min-first.csv.gz", NULL, 50, 900, 0, 1e6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = es_test_data(cases[i].file);
        if (path == NULL)
            skip();
        ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)256 << 20);
        const es_series *series = NULL;
        es_error err = {0};
        assert_ok_err(es_series_load(arena, path, cases[i].column, 0, &series, &err), err);
        double end_s = es_s_from_ns(series->start_ns[series->count - 1]);
        double mean = es_series_mean(series, 0, end_s);
        print_message("  %s: %zu values, mean %.4g\n", cases[i].file, series->count, mean);
        assert_true(series->count >= cases[i].least);
        assert_true(series->start_ns[1] == es_ns_from_s(cases[i].step_s));
        assert_true(mean >= cases[i].low && mean <= cases[i].high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_our_csv), cmocka_unit_test(reads_a_log_of_requests),
        cmocka_unit_test(refuses),       cmocka_unit_test(reads_series),
        cmocka_unit_test(real_traces),   cmocka_unit_test(real_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
