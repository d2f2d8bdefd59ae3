/* Requests that wait at the driver until they may leave: a heap by time, then by order of coming.
 */
#include "run_internal.h"

static bool before(const es_held *a, const es_held *b)
{
    return a->leaves_ns != b->leaves_ns ? a->leaves_ns < b->leaves_ns : a->number < b->number;
}

static void swap(es_held *a, es_held *b)
{
    es_held kept = *a;
    *a = *b;
    *b = kept;
}

es_status es_hold_push(es_hold *hold, es_arena *arena, int64_t leaves_ns, uint32_t index,
                       es_error *err)
{
    es_held one = {.leaves_ns = leaves_ns, .number = hold->pushed++, .index = index};
    ES_TRY(ES_ARRAY_PUSH(arena, &hold->heap, one, "requests held", err));
    es_held *items = hold->heap.items;
    for (size_t i = hold->heap.count - 1; i > 0 && before(&items[i], &items[(i - 1) / 2]);
         i = (i - 1) / 2)
        swap(&items[i], &items[(i - 1) / 2]);
    return ES_OK;
}

int64_t es_hold_next_ns(const es_hold *hold)
{
    return hold->heap.count > 0 ? hold->heap.items[0].leaves_ns : INT64_MAX;
}

uint32_t es_hold_pop(es_hold *hold)
{
    es_held *items = hold->heap.items;
    uint32_t first = items[0].index;
    size_t count = --hold->heap.count;
    items[0] = items[count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++)
            if (before(&items[child], &items[least]))
                least = child;
        if (least == i)
            return first;
        swap(&items[i], &items[least]);
        i = least;
    }
}
