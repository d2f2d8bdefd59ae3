/* How other threads tell a loop that a request can go on. Only the loop touches the library; the
 * waker outlives it, since a thread may still be on its way out when the loop has ended. */
#include "internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

es_http_waker *es_http_waker_new(void)
{
    es_http_waker *waker = calloc(1, sizeof *waker);
    if (waker == NULL)
        return NULL;
    waker->refs = 1;
    waker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waker->fd < 0) {
        free(waker);
        return NULL;
    }
    return waker;
}

es_http_waker *es_http_waker_ref(es_http_waker *waker)
{
    atomic_fetch_add(&waker->refs, 1);
    return waker;
}

void es_http_waker_unref(es_http_waker *waker)
{
    if (waker == NULL || atomic_fetch_sub(&waker->refs, 1) != 1)
        return;
    (void)close(waker->fd); /* nothing is lost with it */
    free(waker);
}

void es_http_waker_ring(es_http_waker *waker)
{
    uint64_t one = 1;
    (void)!write(waker->fd, &one, sizeof one); /* full means rung */
}

void es_http_waker_push(es_http_waker *waker, es_http_request *request)
{
    es_http_request *head = atomic_load(&waker->head);
    do {
        request->next_awake = head;
    } while (!atomic_compare_exchange_weak(&waker->head, &head, request));
    /* The loop says that it sleeps, then looks at the list; here it is the other way round. */
    if (head != NULL)
        return; /* whoever found it empty rings for all behind */
    atomic_store(&waker->pushed_ns, es_clock_now_ns(es_clock_system()));
    if (atomic_exchange(&waker->asleep, false))
        es_http_waker_ring(waker);
}

es_http_request *es_http_waker_take_all(es_http_waker *waker)
{
    es_http_request *head = atomic_exchange(&waker->head, NULL);
    if (head != NULL)
        es_http_rhythm_note(&waker->rhythm, atomic_load(&waker->pushed_ns));
    return head;
}

void es_http_waker_hush(es_http_waker *waker)
{
    uint64_t ignored = 0;
    (void)!read(waker->fd, &ignored, sizeof ignored); /* empty is fine */
}

/* ---- waiting ---- */

bool es_http_epoll_add(int epoll_fd, int fd, uint64_t tag)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = tag};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &wanted) == 0;
}

int es_http_epoll_wait(int epoll_fd, struct epoll_event *out, int room, int64_t now_ns,
                       int64_t until_ns)
{
    const int64_t wait_max_ns = 3600 * ES_NS_PER_S;
    int64_t wait_ns = until_ns <= now_ns ? 0 : until_ns - now_ns;
    if (until_ns == INT64_MAX || wait_ns > wait_max_ns)
        wait_ns = wait_max_ns;
    struct timespec wait = {.tv_sec = wait_ns / ES_NS_PER_S, .tv_nsec = wait_ns % ES_NS_PER_S};
    int count = epoll_pwait2(epoll_fd, out, room, &wait, NULL);
    if (count < 0 && errno == ENOSYS) /* before Linux 5.11 */
        count = epoll_wait(epoll_fd, out, room, (int)((wait_ns + ES_NS_PER_MS - 1) / ES_NS_PER_MS));
    return count < 0 ? 0 : count;
}

/* ---- rhythm ---- */

enum {
    MARGIN_NS = 12000,    /* awake so long before a beat and after it */
    GAP_NS_MAX = 1000000, /* beside longer runs a ring is nothing */
    STEADY_MIN = 4,
};

void es_http_rhythm_note(es_http_rhythm *rhythm, int64_t beat_ns)
{
    int64_t gap_ns = beat_ns - rhythm->last_ns;
    int64_t off_ns = gap_ns - rhythm->gap_ns;
    bool alike = off_ns > -MARGIN_NS && off_ns < MARGIN_NS;
    rhythm->last_ns = beat_ns;
    rhythm->steady = alike ? rhythm->steady + 1 : 0;
    rhythm->gap_ns = alike ? rhythm->gap_ns + off_ns / 4 : gap_ns;
}

int64_t es_http_rhythm_next(const es_http_rhythm *rhythm)
{
    bool is_one = rhythm->steady >= STEADY_MIN && rhythm->gap_ns > 3 * MARGIN_NS &&
                  rhythm->gap_ns < GAP_NS_MAX;
    return is_one ? rhythm->last_ns + rhythm->gap_ns : INT64_MAX;
}

static bool has(const es_http_waker *waker)
{
    return atomic_load(&waker->head) != NULL;
}

static int sleep_until(es_http_waker *waker, int epoll_fd, struct epoll_event *out, int room,
                       int64_t now_ns, int64_t until_ns)
{
    atomic_store(&waker->asleep, true);
    int count = es_http_epoll_wait(epoll_fd, out, room, now_ns, has(waker) ? now_ns : until_ns);
    atomic_store(&waker->asleep, false);
    return count;
}

int es_http_waker_wait(es_http_waker *waker, int epoll_fd, struct epoll_event *out, int room,
                       int64_t now_ns, int64_t until_ns)
{
    es_clock *clock = es_clock_system(); /* now_ns and until_ns may be of another */
    int64_t beat_ns = es_http_rhythm_next(&waker->rhythm);
    int64_t ahead_ns = beat_ns == INT64_MAX ? INT64_MAX : beat_ns - es_clock_now_ns(clock);
    if (until_ns <= now_ns || ahead_ns < -MARGIN_NS || ahead_ns >= until_ns - now_ns)
        return sleep_until(waker, epoll_fd, out, room, now_ns, until_ns);
    int count = 0;
    if (ahead_ns > MARGIN_NS)
        count = sleep_until(waker, epoll_fd, out, room, now_ns, now_ns + ahead_ns - MARGIN_NS);
    while (count == 0 && !has(waker) && es_clock_now_ns(clock) < beat_ns + MARGIN_NS)
        count = es_http_epoll_wait(epoll_fd, out, room, 0, 0);
    return count;
}
