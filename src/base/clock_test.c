#include "base/clock.h"
#include "es_test.h"

#include <math.h>

static void a_manual_clock_stands_still_until_told(void **state)
{
    (void)state;
    es_clock_manual manual;
    es_clock_manual_init(&manual, 5);
    es_clock *clock = &manual.clock;
    assert_true(es_clock_now_ns(clock) == 5);
    assert_true(es_clock_now_ns(clock) == 5);
    manual.time_ns = 7;
    assert_true(es_clock_now_ns(clock) == 7);
    es_clock_sleep_until_ns(clock, 100);
    assert_true(es_clock_now_ns(clock) == 100);
    es_clock_sleep_until_ns(clock, 50); /* past: returns at once, never back */
    assert_true(es_clock_now_ns(clock) == 100);
}

static void the_system_clock_never_goes_back(void **state)
{
    (void)state;
    es_clock *clock = es_clock_system();
    int64_t before = es_clock_now_ns(clock);
    for (int i = 0; i < 1000; i++) {
        int64_t now = es_clock_now_ns(clock);
        assert_true(now >= before);
        before = now;
    }
    es_clock_sleep_until_ns(clock, before - ES_NS_PER_S);
    es_clock_sleep_until_ns(clock, -1);
    int64_t soon = es_clock_now_ns(clock) + 100 * ES_NS_PER_US;
    es_clock_sleep_until_ns(clock, soon);
    assert_true(es_clock_now_ns(clock) >= soon);
}

static void seconds_round_to_the_nearest_nanosecond(void **state)
{
    (void)state;
    assert_true(es_ns_from_s(0) == 0);
    assert_true(es_ns_from_s(1.5) == 1500 * ES_NS_PER_MS);
    assert_true(es_ns_from_s(1.6e-9) == 2);
    assert_true(es_ns_from_s(-1.6e-9) == -2);
    assert_true(es_ns_from_s(0.1) == 100 * ES_NS_PER_MS);
    assert_true(es_ns_from_s(1e300) == INT64_MAX);
    assert_true(es_ns_from_s(-1e300) == INT64_MIN);
    assert_true(es_ns_from_s((double)INFINITY) == INT64_MAX);
    assert_true(es_ns_from_s(-(double)INFINITY) == INT64_MIN);
    for (int64_t ns = 1; ns < INT64_C(1000000000000); ns = ns * 7 + 3)
        assert_true(es_ns_from_s(es_s_from_ns(ns)) == ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manual_clock_stands_still_until_told),
        cmocka_unit_test(the_system_clock_never_goes_back),
        cmocka_unit_test(seconds_round_to_the_nearest_nanosecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
