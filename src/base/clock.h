/*
 * clock: time as an argument. A test or a simulator hands in a clock that it moves itself.
 *
 * Nanoseconds since an arbitrary start, never going back. Threads: the system clock may be
 * shared; a manual clock belongs to one thread.
 */
#ifndef ES_BASE_CLOCK_H
#define ES_BASE_CLOCK_H

#include <stdint.h>

#define ES_NS_PER_S INT64_C(1000000000)
#define ES_NS_PER_MS INT64_C(1000000)
#define ES_NS_PER_US INT64_C(1000)

typedef struct es_clock es_clock;
struct es_clock {
    int64_t (*now_ns)(es_clock *clock);
    void (*sleep_until_ns)(es_clock *clock, int64_t when_ns); /* returns at once when it is past */
};

/* The machine's monotonic clock. */
es_clock *es_clock_system(void);

/* A clock that stands still until told: sleeping moves it. */
typedef struct es_clock_manual {
    es_clock clock; /* hand &manual.clock to whoever wants an es_clock * */
    int64_t time_ns;
} es_clock_manual;

void es_clock_manual_init(es_clock_manual *manual, int64_t start_ns);

int64_t es_clock_now_ns(es_clock *clock);
int64_t es_clock_thread_ns(void); /* processor time that the calling thread has used */
void es_clock_sleep_until_ns(es_clock *clock, int64_t when_ns);

/* Seconds to nanoseconds, rounded to nearest, clamped to the range of int64_t. */
int64_t es_ns_from_s(double seconds);
double es_s_from_ns(int64_t time_ns);

#endif
