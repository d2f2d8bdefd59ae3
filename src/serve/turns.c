/*
 * Requests that have a turn wait here for those before them, however the network delays them.
 * Leaving at the right time is not enough: requests that enter elsewhere overtake when a process is
 * slow. Waiting at the driver for the answer before would idle the node for a way there and back.
 */
#include "node_internal.h"

#include <string.h>

/* One that was lost on its way holds the others up this long, once. */
#define PATIENCE_NS (50 * ES_NS_PER_MS)

es_status es_turns_add(es_turns *turns, es_arena *arena, es_message *message, int64_t now_ns,
                       es_error *err)
{
    es_waiting one = {message, now_ns + PATIENCE_NS};
    ES_TRY(ES_ARRAY_PUSH(arena, &turns->waiting, one, "requests in turn", err));
    es_waiting *items = turns->waiting.items;
    size_t at = turns->waiting.count - 1;
    for (; at > 0 && items[at - 1].message->request.turn < message->request.turn; at--)
        items[at] = items[at - 1];
    items[at] = one;
    return ES_OK;
}

int64_t es_turns_next_ns(const es_turns *turns)
{
    size_t count = turns->waiting.count;
    return count > 0 ? turns->waiting.items[count - 1].until_ns : INT64_MAX;
}

es_message *es_turns_take(es_turns *turns, int64_t now_ns)
{
    if (turns->waiting.count == 0)
        return NULL;
    const es_waiting *first = &turns->waiting.items[turns->waiting.count - 1];
    uint32_t turn = first->message->request.turn;
    if (turn > turns->served + 1 && now_ns < first->until_ns)
        return NULL;
    turns->waiting.count--;
    turns->served = turn > turns->served ? turn : turns->served;
    return first->message;
}
