#include "simulate/events.h"

#include <string.h>

enum { CHILDREN = 4 };

static inline bool before(const es_event *a, const es_event *b)
{
    return a->when_ns < b->when_ns || (a->when_ns == b->when_ns && a->what < b->what);
}

es_status es_event_queue_init(es_arena *arena, size_t capacity, es_event_queue *queue,
                              es_error *err)
{
    void *items = NULL;
    ES_TRY(es_arena_take_or_fail(arena, capacity, sizeof(es_event), "event queue", &items, err));
    *queue = (es_event_queue){.arena = arena, .items = items, .capacity = capacity};
    return ES_OK;
}

static bool grow(es_event_queue *queue)
{
    es_event *items = ES_TAKE_ARRAY(queue->arena, es_event, queue->capacity * 2);
    if (items == NULL)
        return false;
    memcpy(items, queue->items, queue->count * sizeof *items);
    queue->items = items;
    queue->capacity *= 2;
    return true;
}

void es_event_queue_push(es_event_queue *queue, es_event event)
{
    if (queue->count == queue->capacity && !grow(queue)) {
        queue->full = true;
        return;
    }
    es_event *items = queue->items;
    size_t i = queue->count++;
    while (i > 0) {
        size_t parent = (i - 1) / CHILDREN;
        if (!before(&event, &items[parent]))
            break;
        items[i] = items[parent];
        i = parent;
    }
    items[i] = event;
}

static size_t least_child(const es_event *items, size_t first, size_t count)
{
    size_t least = first;
    size_t end = first + CHILDREN < count ? first + CHILDREN : count;
    for (size_t c = first + 1; c < end; c++) {
        if (before(&items[c], &items[least]))
            least = c;
    }
    return least;
}

bool es_event_queue_pop(es_event_queue *queue, es_event *out_event)
{
    if (queue->count == 0)
        return false;
    es_event *items = queue->items;
    *out_event = items[0];
    size_t count = --queue->count;
    es_event last = items[count];
    size_t i = 0;
    for (size_t first = 1; first < count; first = i * CHILDREN + 1) {
        size_t child = least_child(items, first, count);
        if (!before(&items[child], &last))
            break;
        items[i] = items[child];
        i = child;
    }
    if (count > 0)
        items[i] = last;
    return true;
}
