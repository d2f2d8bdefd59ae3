/*
 * response_cache, private to serve: answers of models to inputs that were seen before, byte for
 * byte. Least recently used ones go when room is needed. The whole key is kept and compared, so an
 * answer is never that of another input.
 *
 * Any thread. O(bytes of the inputs) per call.
 */
#ifndef ES_SERVE_RESPONSE_CACHE_H
#define ES_SERVE_RESPONSE_CACHE_H

#include "runtime/runtime.h"

typedef struct es_response_cache es_response_cache;

/* bytes_max > 0 of inputs and outputs together. */
es_status es_response_cache_new(size_t bytes_max, es_response_cache **out_cache,
                                es_error *err) ES_MUST_CHECK;
void es_response_cache_free(es_response_cache *cache);

/* model: a number that no other loaded version has. True: out_outputs[count] are copies in arena.
 */
bool es_response_cache_find(es_response_cache *cache, uint64_t model, const es_tensor *inputs,
                            size_t input_count, es_arena *arena, es_tensor *out_outputs,
                            size_t output_count);

/* Copies. What is larger than a quarter of the room is not kept. */
void es_response_cache_put(es_response_cache *cache, uint64_t model, const es_tensor *inputs,
                           size_t input_count, const es_tensor *outputs, size_t output_count);

typedef struct es_response_cache_stats {
    uint64_t entries, bytes, evictions;
} es_response_cache_stats;

void es_response_cache_stats_get(es_response_cache *cache, es_response_cache_stats *out);

#endif
