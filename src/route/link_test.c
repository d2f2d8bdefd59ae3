/* The link emulator against numbers worked out by hand, and against a naive model. */
#include "base/clock.h"
#include "base/rng.h"
#include "es_test.h"
#include "link.h"

#include <math.h>

#define MS ES_NS_PER_MS

static void bytes_leave_one_after_the_other(void **state)
{
    (void)state;
    es_clock_manual manual;
    es_clock_manual_init(&manual, 5 * MS);
    /* 8 Mbit/s: one byte per microsecond; 10 ms away */
    es_link_emulator link = es_link_emulator_make(10 * MS, 8e6, 0);
    int64_t now = es_clock_now_ns(&manual.clock);
    assert_int_equal(es_link_emulator_enqueue(&link, now, 1000), 5 * MS + 1 * MS + 10 * MS);
    assert_int_equal(es_link_emulator_enqueue(&link, now, 2000), 5 * MS + 3 * MS + 10 * MS);
    es_clock_sleep_until_ns(&manual.clock, 7 * MS); /* the second one is half way out */
    now = es_clock_now_ns(&manual.clock);
    assert_int_equal(es_link_emulator_enqueue(&link, now, 500), 8 * MS + MS / 2 + 10 * MS);
    es_clock_sleep_until_ns(&manual.clock, 100 * MS); /* idle: it starts afresh */
    now = es_clock_now_ns(&manual.clock);
    assert_int_equal(es_link_emulator_enqueue(&link, now, 0), 110 * MS);
}

static void nothing_drifts(void **state)
{
    (void)state;
    /* 3 bytes per second: a byte takes a third of a second, no whole number of nanoseconds */
    es_link_emulator link = es_link_emulator_make(0, 24, 0);
    int64_t last = 0;
    for (int i = 0; i < 3000; i++)
        last = es_link_emulator_enqueue(&link, 0, 1);
    assert_true(llabs(last - 1000 * ES_NS_PER_S) <= 1);
}

static void extremes_saturate(void **state)
{
    (void)state;
    es_link_emulator slow = es_link_emulator_make(INT64_MAX, 1e-6, 0);
    int64_t first = es_link_emulator_enqueue(&slow, INT64_MAX / 8, 1e15);
    int64_t second = es_link_emulator_enqueue(&slow, INT64_MAX / 8, 1e15);
    assert_true(first > INT64_MAX / 8 && second >= first);
    es_link_emulator fast = es_link_emulator_make(0, 1e18, 0);
    assert_int_equal(es_link_emulator_enqueue(&fast, 7, 1e6), 7);
    assert_int_equal(es_link_emulator_enqueue(&fast, -5, 1e6), 7); /* time does not go back */
}

/* 2 and 10 Mbit/s behind each other, both emulated, against the two as one: the same for messages
 * of one size; of other sizes nothing overtakes. */
static void links_behind_each_other_are_one(void **state)
{
    (void)state;
    es_link_emulator first = es_link_emulator_make(5 * MS, 2e6, 0);
    es_link_emulator second = es_link_emulator_make(10 * MS, 10e6, 0);
    es_link_emulator both = es_link_emulator_make(15 * MS, 2e6, 1 / 10e6);
    es_rng rng = es_rng_make(es_test_seed(1), 0);
    int64_t now = 0;
    for (int i = 0; i < 1000; i++) {
        now += (int64_t)(es_rng_u64(&rng) % (2 * MS));
        int64_t middle = es_link_emulator_enqueue(&first, now, 256);
        int64_t end = es_link_emulator_enqueue(&second, middle, 256);
        assert_true(llabs(es_link_emulator_enqueue(&both, now, 256) - end) <= 2);
    }
    int64_t large = es_link_emulator_enqueue(&both, now, 1e6);
    assert_true(es_link_emulator_enqueue(&both, now, 1) >= large);
}

/* Deliveries never overtake, keep the bandwidth over any busy period, and come no earlier than
 * latency and size allow. */
static void random_traffic_keeps_the_rules(void **state)
{
    (void)state;
    uint64_t seed = es_test_seed(1);
    for (uint64_t s = seed; s < seed + 200; s++) {
        es_rng rng = es_rng_make(s, 0);
        double bandwidth = pow(10, 3 + 7 * es_rng_double(&rng));
        int64_t latency = (int64_t)es_rng_below(&rng, 50 * (uint64_t)MS);
        es_link_emulator link = es_link_emulator_make(latency, bandwidth, 0);
        int64_t now = 0;
        int64_t before = 0;
        double free_s = 0; /* naive */
        for (int i = 0; i < 200; i++) {
            now += (int64_t)es_rng_below(&rng, 20 * (uint64_t)MS);
            double bytes = floor(es_rng_double(&rng) * 1e5);
            int64_t due = es_link_emulator_enqueue(&link, now, bytes);
            free_s = fmax(free_s, (double)now * 1e-9) + 8 * bytes / bandwidth;
            if (due < before || due < now + latency ||
                fabs((double)(due - latency) * 1e-9 - free_s) > 1e-9 * (1 + free_s))
                fail_msg("seed %llu, message %d", (unsigned long long)s, i);
            before = due;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_leave_one_after_the_other),
        cmocka_unit_test(nothing_drifts),
        cmocka_unit_test(extremes_saturate),
        cmocka_unit_test(links_behind_each_other_are_one),
        cmocka_unit_test(random_traffic_keeps_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
