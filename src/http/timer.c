/* Timers of a loop: a binary heap by time; equal times in any order. */
#include "calling.h"

#include <assert.h>

static bool before(const es_http_timer *a, const es_http_timer *b)
{
    return a->own.when_ns < b->own.when_ns;
}

static void put(es_http_timers *timers, size_t index, es_http_timer *timer)
{
    timers->items[index] = timer;
    timer->own.place = index + 1;
}

/* Moves timer from index to where it belongs. */
static void settle(es_http_timers *timers, size_t index, es_http_timer *timer)
{
    while (index > 0 && before(timer, timers->items[(index - 1) / 2])) {
        put(timers, index, timers->items[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && before(timers->items[child + 1], timers->items[child]))
            child++;
        if (!before(timers->items[child], timer))
            break;
        put(timers, index, timers->items[child]);
        index = child;
    }
    put(timers, index, timer);
}

static void take_out(es_http_timers *timers, es_http_timer *timer)
{
    size_t index = timer->own.place - 1;
    assert(timers->items[index] == timer);
    es_http_timer *last = timers->items[--timers->count];
    timer->own.place = 0;
    if (last != timer)
        settle(timers, index, last);
}

int64_t es_http_timers_due_ns(const es_http_timers *timers)
{
    return timers->count > 0 ? timers->items[0]->own.when_ns : INT64_MAX;
}

void es_http_timers_fire(es_http_timers *timers, int64_t now_ns)
{
    /* One that is set again for a time in the past waits for the next turn: the loop goes round. */
    for (size_t left = timers->count; left > 0 && es_http_timers_due_ns(timers) <= now_ns; left--) {
        es_http_timer *timer = timers->items[0];
        take_out(timers, timer);
        timer->fire(timer);
    }
}

void es_http_timers_done(es_http_timers *timers)
{
    assert(timers->count == 0);
    free(timers->items);
    *timers = (es_http_timers){0};
}

static bool reserve(es_http_timers *timers)
{
    if (timers->count < timers->capacity)
        return true;
    size_t capacity = timers->capacity > 0 ? 2 * timers->capacity : 64;
    es_http_timer **items = realloc(timers->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    timers->items = items;
    timers->capacity = capacity;
    return true;
}

bool es_http_timer_set(es_http_caller *caller, es_http_timer *timer, int64_t when_ns)
{
    es_http_core *core = es_http_caller_core_here(caller);
    assert(core != NULL);
    es_http_timers *timers = es_http_core_timers(core);
    if (es_http_core_is_closed(core)) {
        es_http_timer_clear(timer);
        timer->fire(timer);
        return true;
    }
    if (timer->own.place != 0) {
        assert(timer->own.core == core);
        timer->own.when_ns = when_ns;
        settle(timers, timer->own.place - 1, timer);
        return true;
    }
    if (!reserve(timers))
        return false;
    timer->own.core = core;
    timer->own.when_ns = when_ns;
    settle(timers, timers->count++, timer);
    return true;
}

void es_http_timer_clear(es_http_timer *timer)
{
    if (timer->own.place == 0)
        return;
    assert(es_http_core_is_here(timer->own.core));
    take_out(es_http_core_timers(timer->own.core), timer);
}

bool es_http_timer_is_set(const es_http_timer *timer)
{
    return timer->own.place != 0;
}
