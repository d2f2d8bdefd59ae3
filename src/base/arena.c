#include "base/arena.h"

#include "base/checked.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>

enum { BLOCK_SIZE_MIN = 64 * 1024 };

typedef struct block {
    struct block *next;
    size_t size; /* of the space behind the header */
    size_t used;
    alignas(max_align_t) unsigned char space[];
} block;

typedef struct attachment {
    struct attachment *next;
    void *thing;
    void (*release)(void *thing);
} attachment;

struct es_arena {
    block *blocks; /* newest first; the newest is the one filled */
    attachment *attachments;
    size_t cap_bytes;
    size_t used_bytes;
};

es_arena *es_arena_new(size_t cap_bytes)
{
    assert(cap_bytes > 0);
    es_arena *arena = calloc(1, sizeof *arena);
    if (arena != NULL)
        arena->cap_bytes = cap_bytes;
    return arena;
}

static void release_all(es_arena *arena)
{
    while (arena->attachments != NULL) {
        attachment *first = arena->attachments;
        arena->attachments = first->next;
        first->release(first->thing);
    }
}

void es_arena_free(es_arena *arena)
{
    if (arena == NULL)
        return;
    release_all(arena);
    while (arena->blocks != NULL) {
        block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    free(arena);
}

void es_arena_free_p(es_arena **arena)
{
    es_arena_free(*arena);
    *arena = NULL;
}

void es_arena_reset(es_arena *arena)
{
    release_all(arena);
    while (arena->blocks != NULL && arena->blocks->next != NULL) {
        block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    if (arena->blocks != NULL) {
        memset(arena->blocks->space, 0, arena->blocks->used);
        arena->blocks->used = 0;
    }
    arena->used_bytes = 0;
}

/* Adds a block with room for size bytes; calloc gives zero pages for free when it is large. */
static block *add_block(es_arena *arena, size_t size)
{
    size_t room = size > BLOCK_SIZE_MIN ? size : BLOCK_SIZE_MIN;
    size_t total;
    if (!es_size_add(room, sizeof(block), &total))
        return NULL;
    block *added = calloc(1, total);
    if (added == NULL)
        return NULL;
    added->size = room;
    added->next = arena->blocks;
    arena->blocks = added;
    return added;
}

void *es_arena_take(es_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!es_size_mul(count, size, &bytes))
        return NULL;
    if (bytes == 0)
        bytes = 1;
    size_t padded;
    if (!es_size_add(bytes, alignof(max_align_t) - 1, &padded))
        return NULL;
    padded -= padded % alignof(max_align_t);
    if (padded > arena->cap_bytes - arena->used_bytes)
        return NULL;
    block *current = arena->blocks;
    if (current == NULL || current->size - current->used < padded) {
        current = add_block(arena, padded);
        if (current == NULL)
            return NULL;
    }
    void *start = current->space + current->used;
    current->used += padded;
    arena->used_bytes += padded;
    return start;
}

es_status es_arena_full(const es_arena *arena, const char *what, es_error *err)
{
    return es_fail(err, ES_ERR_NOMEM, "%s: no memory left (used %zu of the cap of %zu bytes)", what,
                   arena->used_bytes, arena->cap_bytes);
}

es_status es_arena_take_or_fail(es_arena *arena, size_t count, size_t size, const char *what,
                                void **out, es_error *err)
{
    void *taken = es_arena_take(arena, count, size);
    if (taken == NULL)
        return es_arena_full(arena, what, err);
    *out = taken;
    return ES_OK;
}

char *es_arena_text_n(es_arena *arena, const char *text, size_t size)
{
    if (text == NULL || size == SIZE_MAX)
        return NULL;
    char *copy = es_arena_take(arena, size + 1, 1);
    if (copy != NULL && size > 0)
        memcpy(copy, text, size);
    return copy;
}

char *es_arena_text(es_arena *arena, const char *text)
{
    return text == NULL ? NULL : es_arena_text_n(arena, text, strlen(text));
}

char *es_arena_format(es_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = size < 0 ? NULL : es_arena_take(arena, (size_t)size + 1, 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)size + 1, format, again); /* size was just measured */
    va_end(again);
    return text;
}

es_status es_arena_attach(es_arena *arena, void *thing, void (*release)(void *thing), es_error *err)
{
    attachment *added = ES_TAKE_ONE(arena, attachment);
    if (added == NULL) {
        release(thing);
        return es_arena_full(arena, "attachment", err);
    }
    *added = (attachment){.next = arena->attachments, .thing = thing, .release = release};
    arena->attachments = added;
    return ES_OK;
}

size_t es_arena_used_bytes(const es_arena *arena)
{
    return arena->used_bytes;
}

size_t es_arena_cap_bytes(const es_arena *arena)
{
    return arena->cap_bytes;
}
