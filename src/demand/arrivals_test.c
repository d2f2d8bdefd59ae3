#include "base/clock.h"
#include "demand/demand.h"
#include "es_test.h"

static size_t count_until(es_arrivals arrivals, uint64_t seed, double duration_s)
{
    es_arrival_stream stream = es_arrival_stream_make(arrivals, seed, 3);
    size_t count = 0;
    int64_t last_ns = 0;
    for (;;) {
        int64_t when_ns = es_arrival_next_ns(&stream);
        assert_true(when_ns >= last_ns);
        last_ns = when_ns;
        if (when_ns > es_ns_from_s(duration_s))
            return count;
        count++;
    }
}

static void constant_is_evenly_spaced(void **state)
{
    (void)state;
    es_arrivals arrivals = {.kind = ES_ARRIVAL_CONSTANT, .rate_rps = 4};
    es_arrival_stream stream = es_arrival_stream_make(arrivals, 1, 0);
    int64_t first_ns = es_arrival_next_ns(&stream);
    assert_true(first_ns >= 0 && first_ns < ES_NS_PER_S / 4);
    for (int i = 1; i < 1000; i++) {
        int64_t expected_ns = first_ns + i * (ES_NS_PER_S / 4);
        assert_true(llabs(es_arrival_next_ns(&stream) - expected_ns) <= 2);
    }
}

static void poisson_has_its_rate(void **state)
{
    (void)state;
    es_arrivals arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = 50};
    double total = 0;
    double squares = 0;
    enum { RUNS = 400 };
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        double count = (double)count_until(arrivals, seed, 10);
        total += count;
        squares += count * count;
    }
    double mean = total / RUNS;
    double variance = squares / RUNS - mean * mean;
    /* Mean 500 with a standard error of 1.1; the variance of a Poisson count equals its mean. */
    assert_true(mean > 495 && mean < 505);
    assert_true(variance > 400 && variance < 610);
}

static void rate_zero_never_comes(void **state)
{
    (void)state;
    for (int kind = 0; kind < ES_ARRIVAL_COUNT; kind++) {
        es_arrival_stream stream = es_arrival_stream_make(
            (es_arrivals){.kind = (es_arrival_kind)kind, .rate_rps = 0}, 1, 0);
        assert_true(es_arrival_next_ns(&stream) == INT64_MAX);
        assert_true(es_arrival_next_ns(&stream) == INT64_MAX);
    }
}

static void same_seed_same_times(void **state)
{
    (void)state;
    es_arrivals arrivals = {.kind = ES_ARRIVAL_POISSON, .rate_rps = 7};
    es_arrival_stream a = es_arrival_stream_make(arrivals, 9, 2);
    es_arrival_stream b = es_arrival_stream_make(arrivals, 9, 2);
    es_arrival_stream other = es_arrival_stream_make(arrivals, 9, 3);
    int equal = 0;
    for (int i = 0; i < 100; i++) {
        int64_t when_ns = es_arrival_next_ns(&a);
        assert_true(when_ns == es_arrival_next_ns(&b));
        equal += when_ns == es_arrival_next_ns(&other);
    }
    assert_true(equal < 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_is_evenly_spaced),
        cmocka_unit_test(poisson_has_its_rate),
        cmocka_unit_test(rate_zero_never_comes),
        cmocka_unit_test(same_seed_same_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
