#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 64,
    CLASS_SHIFT = 8, /* the smallest buffers have 256 bytes */
    KEPT_BYTES_MAX = 64 << 20
};

void es_message_pool_init(es_message_pool *pool, size_t cap_bytes)
{
    *pool = (es_message_pool){.cap_bytes = cap_bytes};
}

void es_message_pool_done(es_message_pool *pool)
{
    for (size_t i = 0; i < ES_MESSAGE_CLASS_COUNT; i++) {
        while (pool->free[i] != NULL) {
            es_message *message = pool->free[i];
            pool->free[i] = message->next;
            free(message);
        }
    }
    assert(pool->used_bytes == 0);
    *pool = (es_message_pool){0};
}

es_message *es_message_take(es_message_pool *pool, es_frame_type type, size_t size)
{
    uint32_t class = 0;
    while (class + 1 < ES_MESSAGE_CLASS_COUNT - CLASS_SHIFT &&
           ((size_t)1 << (class + CLASS_SHIFT)) < size)
        class ++;
    size_t capacity = (size_t)1 << (class + CLASS_SHIFT);
    if (capacity < size || pool->used_bytes > pool->cap_bytes ||
        pool->cap_bytes - pool->used_bytes < capacity)
        return NULL;
    es_message *message = pool->free[class];
    if (message != NULL) {
        pool->free[class] = message->next;
        pool->kept_bytes -= capacity;
    } else {
        size_t head = (sizeof *message + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        message = aligned_alloc(ALIGNMENT, head + capacity);
        if (message == NULL)
            return NULL;
        message->bytes = (uint8_t *)message + head;
    }
    pool->used_bytes += capacity;
    message->next = NULL;
    message->capacity = capacity;
    message->size_class = class;
    message->header = (es_frame_header){.type = type, .size = (uint32_t)size};
    message->request = (es_request){0};
    return message;
}

void es_message_give(es_message_pool *pool, es_message *message)
{
    if (message == NULL)
        return;
    assert(pool->used_bytes >= message->capacity);
    pool->used_bytes -= message->capacity;
    if (pool->kept_bytes + message->capacity > KEPT_BYTES_MAX) {
        free(message);
        return;
    }
    pool->kept_bytes += message->capacity;
    message->next = pool->free[message->size_class];
    pool->free[message->size_class] = message;
}

void es_message_list_push(es_message_list *list, es_message *message)
{
    message->next = NULL;
    if (list->last != NULL)
        list->last->next = message;
    else
        list->first = message;
    list->last = message;
    list->count++;
    list->bytes += message->header.size;
}

es_message *es_message_list_pop(es_message_list *list)
{
    es_message *message = list->first;
    if (message == NULL)
        return NULL;
    list->first = message->next;
    if (list->first == NULL)
        list->last = NULL;
    list->count--;
    list->bytes -= message->header.size;
    message->next = NULL;
    return message;
}

void es_message_list_clear(es_message_list *list, es_message_pool *pool)
{
    while (list->first != NULL)
        es_message_give(pool, es_message_list_pop(list));
}
