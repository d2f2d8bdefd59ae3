/* Threads that wake a loop: nothing is lost, whether it sleeps, is about to, or waits for a beat.
 */
#include "base/rng.h"
#include "es_test.h"
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PUSHERS = 2, PUSHES = 3000 };

static void a_rhythm_is_told_after_some_beats(void **state)
{
    (void)state;
    es_http_rhythm rhythm = {.last_ns = 0};
    int64_t now_ns = ES_NS_PER_S;
    assert_true(es_http_rhythm_next(&rhythm) == INT64_MAX);
    for (int i = 0; i < 8; i++) {
        now_ns += 130000 + (i % 3) * 2000;
        es_http_rhythm_note(&rhythm, now_ns);
    }
    int64_t ahead_ns = es_http_rhythm_next(&rhythm) - now_ns;
    assert_true(ahead_ns > 128000 && ahead_ns < 136000);
    now_ns += 200000; /* one that is late */
    es_http_rhythm_note(&rhythm, now_ns);
    assert_true(es_http_rhythm_next(&rhythm) == INT64_MAX);
}

static void no_rhythm_that_would_spin_all_the_time_or_is_not_worth_it(void **state)
{
    (void)state;
    static const int64_t gaps_ns[] = {5000, 30000, 5 * ES_NS_PER_MS, ES_NS_PER_S};
    for (size_t i = 0; i < sizeof gaps_ns / sizeof gaps_ns[0]; i++) {
        es_http_rhythm rhythm = {.last_ns = 0};
        for (int64_t k = 1; k < 20; k++)
            es_http_rhythm_note(&rhythm, k * gaps_ns[i]);
        assert_true(es_http_rhythm_next(&rhythm) == INT64_MAX);
    }
}

/* ---- threads ---- */

typedef struct pusher {
    es_http_waker *waker;
    es_http_request *requests;
    int64_t gap_ns; /* 0: at random */
    uint64_t seed;
} pusher;

static void *push(void *context)
{
    pusher *own = context;
    es_clock *clock = es_clock_system();
    es_rng rng = es_rng_make(own->seed, 0);
    int64_t at_ns = es_clock_now_ns(clock);
    for (size_t i = 0; i < PUSHES; i++) {
        at_ns += own->gap_ns > 0 ? own->gap_ns : (int64_t)es_rng_below(&rng, 60000);
        while (es_clock_now_ns(clock) < at_ns)
            ; /* a model runs */
        es_http_waker_push(own->waker, &own->requests[i]);
    }
    return NULL;
}

/* Each push of all threads comes to the loop; it never sleeps through one. */
static void receive_all(size_t pushers, int64_t gap_ns)
{
    pusher given[PUSHERS];
    pthread_t threads[PUSHERS];
    es_http_waker *waker = es_http_waker_new();
    es_clock *clock = es_clock_system();
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;
    size_t came = 0;
    assert_non_null(waker);
    assert_true(es_http_epoll_add(epoll_fd, waker->fd, ES_HTTP_TAG_WAKER));
    for (size_t i = 0; i < pushers; i++) {
        given[i] = (pusher){.waker = waker, .gap_ns = gap_ns, .seed = i + 1};
        given[i].requests = calloc(PUSHES, sizeof *given[i].requests);
        assert_non_null(given[i].requests);
        assert_int_equal(pthread_create(&threads[i], NULL, push, &given[i]), 0);
    }
    while (came < pushers * PUSHES) {
        int64_t now_ns = es_clock_now_ns(clock);
        if (es_http_waker_wait(waker, epoll_fd, &event, 1, now_ns, now_ns + 20 * ES_NS_PER_S) > 0)
            es_http_waker_hush(waker);
        assert_true(es_clock_now_ns(clock) < now_ns + 10 * ES_NS_PER_S); /* a lost one: 20 s */
        for (es_http_request *request = es_http_waker_take_all(waker); request != NULL;
             request = request->next_awake)
            came++;
    }
    for (size_t i = 0; i < pushers; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        free(given[i].requests);
    }
    assert_int_equal(came, pushers * PUSHES);
    (void)close(epoll_fd);
    es_http_waker_unref(waker);
}

static void nothing_is_lost(void **state)
{
    (void)state;
    receive_all(1, 0);
    receive_all(PUSHERS, 0);
    receive_all(1, 60000);
    receive_all(PUSHERS, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rhythm_is_told_after_some_beats),
        cmocka_unit_test(no_rhythm_that_would_spin_all_the_time_or_is_not_worth_it),
        cmocka_unit_test(nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
