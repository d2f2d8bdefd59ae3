#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <time.h>

static int64_t system_now_ns(es_clock *clock)
{
    (void)clock;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return (int64_t)now.tv_sec * ES_NS_PER_S + now.tv_nsec;
}

static void system_sleep_until_ns(es_clock *clock, int64_t when_ns)
{
    (void)clock;
    struct timespec when = {.tv_sec = (time_t)(when_ns / ES_NS_PER_S),
                            .tv_nsec = (long)(when_ns % ES_NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {
    }
}

es_clock *es_clock_system(void)
{
    static es_clock clock = {.now_ns = system_now_ns, .sleep_until_ns = system_sleep_until_ns};
    return &clock;
}

int64_t es_clock_thread_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used); /* cannot fail with this clock */
    return (int64_t)used.tv_sec * ES_NS_PER_S + used.tv_nsec;
}

static int64_t manual_now_ns(es_clock *clock)
{
    return ((es_clock_manual *)clock)->time_ns;
}

static void manual_sleep_until_ns(es_clock *clock, int64_t when_ns)
{
    es_clock_manual *manual = (es_clock_manual *)clock;
    if (when_ns > manual->time_ns)
        manual->time_ns = when_ns;
}

void es_clock_manual_init(es_clock_manual *manual, int64_t start_ns)
{
    *manual = (es_clock_manual){
        .clock = {.now_ns = manual_now_ns, .sleep_until_ns = manual_sleep_until_ns},
        .time_ns = start_ns,
    };
}

int64_t es_clock_now_ns(es_clock *clock)
{
    return clock->now_ns(clock);
}

void es_clock_sleep_until_ns(es_clock *clock, int64_t when_ns)
{
    clock->sleep_until_ns(clock, when_ns);
}

int64_t es_ns_from_s(double seconds)
{
    double ns = seconds * 1e9;
    if (!(ns > -9.2e18))
        return INT64_MIN;
    if (!(ns < 9.2e18))
        return INT64_MAX;
    return (int64_t)llround(ns);
}

double es_s_from_ns(int64_t time_ns)
{
    return (double)time_ns * 1e-9;
}
