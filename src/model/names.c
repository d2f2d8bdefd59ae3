#include "model/internal.h"

static uint64_t hash_of(const char *name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, then mixed */
    for (const char *at = name; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * 1099511628211u;
    hash ^= hash >> 32;
    return hash * 0x9e3779b97f4a7c15u >> 16;
}

static size_t place_of(const es_names *names, const char *name)
{
    size_t mask = names->capacity - 1;
    size_t at = (size_t)hash_of(name) & mask;
    while (names->keys[at] != NULL && strcmp(names->keys[at], name) != 0)
        at = (at + 1) & mask;
    return at;
}

uint32_t es_names_find(const es_names *names, const char *name)
{
    if (names->capacity == 0)
        return ES_NO_VALUE;
    size_t at = place_of(names, name);
    return names->keys[at] != NULL ? names->numbers[at] : ES_NO_VALUE;
}

static es_status grow(es_arena *arena, es_names *names, es_error *err)
{
    es_names bigger = {.capacity = names->capacity == 0 ? 64 : names->capacity * 2,
                       .count = names->count};
    bigger.keys = ES_TAKE_ARRAY(arena, const char *, bigger.capacity);
    bigger.numbers = ES_TAKE_ARRAY(arena, uint32_t, bigger.capacity);
    if (bigger.keys == NULL || bigger.numbers == NULL)
        return es_arena_full(arena, "index of names", err);
    for (size_t i = 0; i < names->capacity; i++) {
        if (names->keys[i] == NULL)
            continue;
        size_t at = place_of(&bigger, names->keys[i]);
        bigger.keys[at] = names->keys[i];
        bigger.numbers[at] = names->numbers[i];
    }
    *names = bigger;
    return ES_OK;
}

es_status es_names_add(es_arena *arena, es_names *names, const char *name, uint32_t number,
                       es_error *err)
{
    if ((names->count + 1) * 2 > names->capacity)
        ES_TRY(grow(arena, names, err));
    size_t at = place_of(names, name);
    names->keys[at] = name;
    names->numbers[at] = number;
    names->count++;
    return ES_OK;
}
