#include "es_test.h"
#include "exposition.h"

#include <math.h>

static void families_samples_and_escapes(void **state)
{
    es_text out;
    (void)state;
    es_text_init(&out, 1 << 16);
    es_exposition_family(&out, "a_total", "counter", "one \\ two\nlines");
    es_exposition_sample(&out, "a_total", NULL, 0, 3);
    const es_exposition_label labels[] = {{"model", "say \"hi\"\\\n"}, {"v", "1"}};
    es_exposition_sample(&out, "a_total", labels, 2, 0.25);
    es_exposition_sample(&out, "a_total", labels + 1, 1, (double)INFINITY);
    es_exposition_sample(&out, "a_total", labels + 1, 1, (double)NAN);
    assert_string_equal(es_text_get(&out), "# HELP a_total one \\\\ two\\nlines\n"
                                           "# TYPE a_total counter\n"
                                           "a_total 3\n"
                                           "a_total{model=\"say \\\"hi\\\"\\\\\\n\",v=\"1\"} 0.25\n"
                                           "a_total{v=\"1\"} +Inf\n"
                                           "a_total{v=\"1\"} NaN\n");
    es_text_done(&out);
}

static void histograms_are_cumulative(void **state)
{
    es_text out;
    const double ends[] = {0.001, 0.1};
    const uint64_t counts[] = {2, 0, 5};
    const es_exposition_label label = {"m", "x"};
    (void)state;
    es_text_init(&out, 1 << 16);
    es_exposition_histogram(&out, "h_seconds", &label, 1, ends, counts, 2, 1.5);
    assert_string_equal(es_text_get(&out), "h_seconds_bucket{m=\"x\",le=\"0.001\"} 2\n"
                                           "h_seconds_bucket{m=\"x\",le=\"0.1\"} 2\n"
                                           "h_seconds_bucket{m=\"x\",le=\"+Inf\"} 7\n"
                                           "h_seconds_sum{m=\"x\"} 1.5\n"
                                           "h_seconds_count{m=\"x\"} 7\n");
    es_text_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_samples_and_escapes),
        cmocka_unit_test(histograms_are_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
