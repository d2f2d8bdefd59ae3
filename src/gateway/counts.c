/* What is counted on one loop: classes and series, found by name, never moved, never forgotten, so
 * that counters only rise while routes come and go. */
#include "internal.h"
#include "route/route.h"

#include <assert.h>
#include <math.h>

enum { BUCKET_FIRST_NS = 16384, ROOM_FIRST = 64 };
static const size_t REGISTRY_BYTES_MAX = (size_t)1 << 30;

const char *const es_gateway_outcome_names[ES_GATEWAY_OUTCOME_COUNT] = {
    "answered", "partial", "refused", "wrong", "failed"};

/* ---- latency buckets ---- */

/* Bucket 0 ends at 16384 ns; then each octave has four of equal width. */
uint32_t es_gateway_bucket_of(int64_t latency_ns)
{
    if (latency_ns <= BUCKET_FIRST_NS)
        return 0;
    uint64_t at = (uint64_t)(latency_ns - 1) / (BUCKET_FIRST_NS / 4); /* 4 and more */
    uint32_t octave = 61 - (uint32_t)__builtin_clzll(at);             /* of at / 4 */
    uint32_t bucket = 1 + 4 * octave + (uint32_t)(at >> octave) - 4;
    return bucket < ES_GATEWAY_BUCKETS - 1 ? bucket : ES_GATEWAY_BUCKETS - 1;
}

double es_gateway_bucket_s(uint32_t bucket)
{
    if (bucket == 0)
        return BUCKET_FIRST_NS * 1e-9;
    uint32_t octave = (bucket - 1) / 4;
    uint32_t quarter = (bucket - 1) % 4;
    return ldexp(BUCKET_FIRST_NS * (1 + (quarter + 1) / 4.0), (int)octave) * 1e-9;
}

/* ---- the registry ---- */

es_status es_gateway_registry_init(es_gateway_registry *registry, es_error *err)
{
    *registry = (es_gateway_registry){.arena = es_arena_new(REGISTRY_BYTES_MAX)};
    return registry->arena != NULL ? ES_OK : es_fail(err, ES_ERR_NOMEM, "no memory for counts");
}

void es_gateway_registry_done(es_gateway_registry *registry)
{
    es_arena_free(registry->arena);
    *registry = (es_gateway_registry){0};
}

/* Makes room for one more; the outgrown stays in the arena. Others read only what they were given,
 * never these arrays. */
static es_status grow(es_arena *arena, void ***items, uint32_t **slots, size_t count, size_t *room,
                      es_error *err)
{
    if (count < *room)
        return ES_OK;
    size_t larger = *room > 0 ? 2 * *room : ROOM_FIRST;
    void **moved = ES_TAKE_ARRAY(arena, void *, larger);
    uint32_t *empty = ES_TAKE_ARRAY(arena, uint32_t, 2 * larger);
    if (moved == NULL || empty == NULL)
        return es_arena_full(arena, "counts", err);
    if (count > 0)
        memcpy(moved, *items, count * sizeof *moved);
    *items = moved;
    *slots = empty; /* to be filled again */
    *room = larger;
    return ES_OK;
}

static uint64_t class_hash(const es_gateway_class_counts *class)
{
    return es_serve_hash(class->task, class->entry);
}

static uint64_t series_hash(const es_gateway_series *series)
{
    return es_serve_hash(series->task, series->model) * 31 + es_serve_hash(series->node, "") +
           series->exit;
}

static void put(uint32_t *slots, size_t room, uint64_t hash, size_t index)
{
    size_t mask = 2 * room - 1;
    size_t at = (size_t)hash & mask;
    while (slots[at] != 0)
        at = (at + 1) & mask;
    slots[at] = (uint32_t)index + 1;
}

static es_gateway_class_counts *find_class(const es_gateway_registry *registry, const char *task,
                                           const char *entry)
{
    if (registry->class_room == 0)
        return NULL;
    size_t mask = 2 * registry->class_room - 1;
    size_t at = (size_t)es_serve_hash(task, entry) & mask;
    for (; registry->class_slots[at] != 0; at = (at + 1) & mask) {
        es_gateway_class_counts *class = registry->classes[registry->class_slots[at] - 1];
        if (strcmp(class->task, task) == 0 && strcmp(class->entry, entry) == 0)
            return class;
    }
    return NULL;
}

es_status es_gateway_registry_class(es_gateway_registry *registry, const char *task,
                                    const char *entry, es_gateway_class_counts **out, es_error *err)
{
    es_arena *arena = registry->arena;
    *out = find_class(registry, task, entry);
    if (*out != NULL)
        return ES_OK;
    void **items = (void **)registry->classes;
    size_t room = registry->class_room;
    ES_TRY(grow(arena, &items, &registry->class_slots, registry->class_count, &registry->class_room,
                err));
    registry->classes = (es_gateway_class_counts **)items;
    for (size_t i = 0; registry->class_room != room && i < registry->class_count; i++)
        put(registry->class_slots, registry->class_room, class_hash(registry->classes[i]), i);
    es_gateway_class_counts *class = ES_TAKE_ONE(arena, es_gateway_class_counts);
    if (class == NULL || (class->task = es_arena_text(arena, task)) == NULL ||
        (class->entry = es_arena_text(arena, entry)) == NULL)
        return es_arena_full(arena, "counts", err);
    put(registry->class_slots, registry->class_room, class_hash(class), registry->class_count);
    registry->classes[registry->class_count++] = class;
    *out = class;
    return ES_OK;
}

static es_gateway_series *find_series(const es_gateway_registry *registry,
                                      const es_gateway_series *wanted)
{
    if (registry->series_room == 0)
        return NULL;
    size_t mask = 2 * registry->series_room - 1;
    size_t at = (size_t)series_hash(wanted) & mask;
    for (; registry->series_slots[at] != 0; at = (at + 1) & mask) {
        es_gateway_series *series = registry->series[registry->series_slots[at] - 1];
        if (strcmp(series->task, wanted->task) == 0 && strcmp(series->model, wanted->model) == 0 &&
            strcmp(series->node, wanted->node) == 0 && series->exit == wanted->exit)
            return series;
    }
    return NULL;
}

es_status es_gateway_registry_series(es_gateway_registry *registry, const es_gateway_series *wanted,
                                     es_gateway_series **out, es_error *err)
{
    es_arena *arena = registry->arena;
    *out = find_series(registry, wanted);
    if (*out != NULL)
        return ES_OK;
    void **items = (void **)registry->series;
    size_t room = registry->series_room;
    ES_TRY(grow(arena, &items, &registry->series_slots, registry->series_count,
                &registry->series_room, err));
    registry->series = (es_gateway_series **)items;
    for (size_t i = 0; registry->series_room != room && i < registry->series_count; i++)
        put(registry->series_slots, registry->series_room, series_hash(registry->series[i]), i);
    es_gateway_series *series = ES_TAKE_ONE(arena, es_gateway_series);
    if (series == NULL || (series->task = es_arena_text(arena, wanted->task)) == NULL ||
        (series->model = es_arena_text(arena, wanted->model)) == NULL ||
        (series->node = es_arena_text(arena, wanted->node)) == NULL)
        return es_arena_full(arena, "counts", err);
    series->exit = wanted->exit;
    put(registry->series_slots, registry->series_room, series_hash(series), registry->series_count);
    registry->series[registry->series_count++] = series;
    *out = series;
    return ES_OK;
}
