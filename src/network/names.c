#include "network/internal.h"

#include <assert.h>

enum { CAPACITY_FIRST = 64 };

/* FNV-1a with a final mix, so that the low bits may be used as they are. */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        h = (h ^ *c) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 32);
}

/* Where text is, or where it would go. */
static es_name_slot *slot_of(const es_network_names *names, const char *text)
{
    size_t mask = names->capacity - 1;
    size_t at = (size_t)hash(text) & mask;
    while (names->slots[at].text != NULL && strcmp(names->slots[at].text, text) != 0)
        at = (at + 1) & mask;
    return &names->slots[at];
}

static es_status grow(es_network_names *names, es_arena *arena, es_error *err)
{
    es_network_names larger = {.capacity =
                                   names->capacity == 0 ? CAPACITY_FIRST : names->capacity * 2,
                               .count = names->count};
    larger.slots = ES_TAKE_ARRAY(arena, es_name_slot, larger.capacity);
    if (larger.slots == NULL)
        return es_arena_full(arena, "names of nodes", err);
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].text != NULL)
            *slot_of(&larger, names->slots[i].text) = names->slots[i];
    *names = larger;
    return ES_OK;
}

es_status es_network_names_add(es_network_names *names, es_arena *arena, const char *text,
                               uint32_t index, es_error *err)
{
    if (names->count * 2 >= names->capacity)
        ES_TRY(grow(names, arena, err));
    es_name_slot *slot = slot_of(names, text);
    assert(slot->text == NULL);
    *slot = (es_name_slot){.text = text, .index = index};
    names->count++;
    return ES_OK;
}

uint32_t es_network_names_find(const es_network_names *names, const char *text)
{
    if (names->capacity == 0 || text == NULL)
        return UINT32_MAX;
    const es_name_slot *slot = slot_of(names, text);
    return slot->text == NULL ? UINT32_MAX : slot->index;
}
