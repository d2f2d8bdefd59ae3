/* The picture of a front: well-formed, every point in it, the bound where there is one. */
#include "es_test.h"
#include "report/report.h"

#include <math.h>

static es_front front_of(uint32_t count, es_front_point *points, size_t point_count)
{
    es_front front = {.scenario = "a & b",
                      .measure_count = count,
                      .measures = {ES_MEASURE_LATENCY, ES_MEASURE_QUALITY, ES_MEASURE_ENERGY},
                      .quality = ES_PLAN_OPTIMAL,
                      .points = points,
                      .point_count = point_count};
    return front;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

static void test_two_objectives(void **state)
{
    (void)state;
    es_front_point points[] = {{.values = {0.01, 3}}, {.values = {0.02, 2}}, {.values = {0.4, 1}}};
    es_front front = front_of(2, points, 3);
    es_text text;
    es_text_init(&text, 1 << 20);
    es_report_front(&front, &text);
    assert_int_equal(count_of(es_text_get(&text), "<circle"), 3);
    assert_non_null(strstr(es_text_get(&text), "a &amp; b: 3 points"));
    assert_non_null(strstr(es_text_get(&text), "latency, ms/s"));
    assert_non_null(strstr(es_text_get(&text), "quality loss, 1/s"));
    assert_int_equal(count_of(es_text_get(&text), "class=\"bound\""), 0);
    assert_int_equal(count_of(es_text_get(&text), "nan"), 0);
    es_text_clear(&text);
    const es_front_cut cut = {.weights = {1, 0.1}, .least = 0.2};
    front.quality = ES_PLAN_FEASIBLE;
    front.cuts = &cut;
    front.cut_count = 1;
    es_report_front(&front, &text);
    assert_int_equal(count_of(es_text_get(&text), "class=\"bound\""), 1);
    es_text_done(&text);
}

static void test_third_objective_is_colour(void **state)
{
    (void)state;
    es_front_point points[] = {{.values = {1, 3, 7}}, {.values = {2, 2, 5}}, {.values = {3, 1, 6}}};
    es_front front = front_of(3, points, 3);
    es_text text;
    es_text_init(&text, 1 << 20);
    es_report_front(&front, &text);
    assert_int_equal(count_of(es_text_get(&text), "<circle class=\"c0\""), 1);
    assert_int_equal(count_of(es_text_get(&text), "<circle class=\"c8\""), 1);
    assert_int_equal(count_of(es_text_get(&text), "<rect"), 9);
    assert_non_null(strstr(es_text_get(&text), "energy, W"));
    es_text_done(&text);
}

/* 100 requests/s: 2 W are 20 mJ each, a loss of 3 per second 3 %. */
static void test_cases_beside_a_front(void **state)
{
    (void)state;
    es_front_point points[] = {{.values = {2, 3}}, {.values = {4, 1}}};
    es_front front = front_of(2, points, 2);
    front.measures[0] = ES_MEASURE_ENERGY;
    const es_front_case cases[] = {{"near", {0.05, 0.02}}, {"far & away", {1.2, 0.02}}};
    es_text text;
    es_text_init(&text, 1 << 20);
    es_report_front_each(&front, 100, cases, 2, &text);
    assert_int_equal(count_of(es_text_get(&text), "<circle"), 3);
    assert_int_equal(count_of(es_text_get(&text), "<circle class=\"case\""), 1);
    assert_non_null(strstr(es_text_get(&text), "energy per request, mJ: 20.0"));
    assert_non_null(strstr(es_text_get(&text), "quality lost, %: 3.00"));
    assert_non_null(strstr(es_text_get(&text), "near; energy per request, mJ: 50.0"));
    assert_non_null(strstr(es_text_get(&text), "outside: far &amp; away (1200 mJ, 2.00 %)"));
    es_text_done(&text);
}

static void test_one_point_and_none(void **state)
{
    (void)state;
    es_front_point points[] = {{.values = {0, 0, 0}}};
    for (size_t count = 0; count <= 1; count++)
        for (uint32_t measures = 2; measures <= 3; measures++) {
            es_front front = front_of(measures, points, count);
            es_text text;
            es_text_init(&text, 1 << 20);
            es_report_front(&front, &text);
            assert_int_equal(count_of(es_text_get(&text), "<circle"), count);
            assert_int_equal(count_of(es_text_get(&text), "nan"), 0);
            assert_int_equal(count_of(es_text_get(&text), "inf"), 0);
            assert_non_null(strstr(es_text_get(&text), "</svg>"));
            es_text_done(&text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_objectives),
        cmocka_unit_test(test_third_objective_is_colour),
        cmocka_unit_test(test_cases_beside_a_front),
        cmocka_unit_test(test_one_point_and_none),
    };
    return cmocka_run_group_tests_name("front", tests, NULL, NULL);
}
