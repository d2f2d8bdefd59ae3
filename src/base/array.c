#include "base/array.h"

#include "base/checked.h"

enum { CAPACITY_FIRST = 8 };

es_status es_array_grow(es_arena *arena, void **items, size_t count, size_t *capacity, size_t size,
                        const char *what, es_error *err)
{
    if (count < *capacity)
        return ES_OK;
    size_t wanted = CAPACITY_FIRST;
    if (*capacity > 0 && !es_size_mul(*capacity, 2, &wanted))
        return es_fail(err, ES_ERR_NOMEM, "%s: more than %zu items", what, *capacity);
    void *grown = es_arena_take(arena, wanted, size);
    if (grown == NULL)
        return es_arena_full(arena, what, err);
    if (count > 0)
        memcpy(grown, *items, count * size);
    *items = grown;
    *capacity = wanted;
    return ES_OK;
}
