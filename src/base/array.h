/*
 * array: { items, count, capacity } for any element type, growing inside an arena.
 *
 *     ES_ARRAY(int) numbers = {0};
 *     ES_TRY(ES_ARRAY_PUSH(arena, &numbers, 7, "numbers", err));
 *
 * Growth doubles, so a push is O(1) amortised; outgrown storage stays in the arena until it goes.
 */
#ifndef ES_BASE_ARRAY_H
#define ES_BASE_ARRAY_H

#include "base/arena.h"

#define ES_ARRAY(type)                                                                             \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
        size_t capacity;                                                                           \
    }

/* Makes room for one more item; used by ES_ARRAY_PUSH. */
es_status es_array_grow(es_arena *arena, void **items, size_t count, size_t *capacity, size_t size,
                        const char *what, es_error *err) ES_MUST_CHECK;

/* Appends value; what names the array in the error. Evaluates to es_status. */
#define ES_ARRAY_PUSH(arena, array, value, what, err)                                              \
    __extension__({                                                                                \
        void *es_items_ = (array)->items;                                                          \
        es_status es_pushed_ =                                                                     \
            es_array_grow((arena), &es_items_, (array)->count, &(array)->capacity,                 \
                          sizeof *(array)->items, (what), (err));                                  \
        if (es_pushed_ == ES_OK) {                                                                 \
            (array)->items = es_items_;                                                            \
            (array)->items[(array)->count++] = (value);                                            \
        }                                                                                          \
        es_pushed_;                                                                                \
    })

#endif
