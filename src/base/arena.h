/*
 * arena: memory by life span. Everything taken from an arena goes when the arena goes.
 *
 * Life spans: process, scenario, solve (scratch), request. The arena is always a parameter:
 * the long-lived one first, `scratch` second. A byte cap is fixed at creation; reaching it is
 * ES_ERR_NOMEM with the cap in the text. Foreign resources hang on an arena with a release
 * function, called in reverse order. Threads: one owner at a time.
 */
#ifndef ES_BASE_ARENA_H
#define ES_BASE_ARENA_H

#include "base/status.h"

#include <stdarg.h>
#include <stddef.h>

typedef struct es_arena es_arena;

/* A new arena that hands out at most cap_bytes (> 0). NULL when memory is out. */
es_arena *es_arena_new(size_t cap_bytes);

/* Runs the release functions in reverse order, then frees everything. NULL is fine. */
void es_arena_free(es_arena *arena);
void es_arena_free_p(es_arena **arena); /* for ES_CLEANUP */

/* Like free + new, but keeps the first block: for a scratch arena in a loop. */
void es_arena_reset(es_arena *arena);

/* Zeroed memory for count objects of size bytes, aligned for any type; NULL when the cap or the
 * machine's memory is reached. size or count 0 gives a unique pointer. O(bytes). */
void *es_arena_take(es_arena *arena, size_t count, size_t size) ES_MUST_CHECK;

/* The same as a status: *out is set only on success; the error names `what` and the cap. */
es_status es_arena_take_or_fail(es_arena *arena, size_t count, size_t size, const char *what,
                                void **out, es_error *err) ES_MUST_CHECK;

/* Copies; NULL when the cap is reached. text NULL gives NULL. */
char *es_arena_text(es_arena *arena, const char *text) ES_MUST_CHECK;
char *es_arena_text_n(es_arena *arena, const char *text, size_t size) ES_MUST_CHECK;
char *es_arena_format(es_arena *arena, const char *format, ...) ES_PRINTF(2, 3) ES_MUST_CHECK;

/* Calls release(thing) when the arena is reset or freed. On failure release is called at once,
 * so the thing is never lost. */
es_status es_arena_attach(es_arena *arena, void *thing, void (*release)(void *thing),
                          es_error *err) ES_MUST_CHECK;

/* Bytes handed out so far, and the cap. */
size_t es_arena_used_bytes(const es_arena *arena);
size_t es_arena_cap_bytes(const es_arena *arena);

/* Fails with ES_ERR_NOMEM naming the arena's cap; for callers that got NULL from a take. */
es_status es_arena_full(const es_arena *arena, const char *what, es_error *err);

#define ES_TAKE_ARRAY(arena, type, count) ((type *)es_arena_take((arena), (count), sizeof(type)))
#define ES_TAKE_ONE(arena, type) ((type *)es_arena_take((arena), 1, sizeof(type)))

#endif
