#include "response_cache.h"

#include "base/checked.h"

#include <pthread.h>

enum { BUCKETS = 4096, ALIGN = 16, SHARE_OF_ROOM = 4 };

/* key: tensors of the inputs as bytes. Behind it, aligned: the outputs' descriptions and data. */
typedef struct entry entry;
struct entry {
    entry *chain;         /* of the bucket */
    entry *newer, *older; /* by last use */
    uint64_t hash, model;
    size_t key_bytes, bytes;
    size_t output_count;
    unsigned char *key;
    es_tensor *outputs; /* data: inside the entry */
};

struct es_response_cache {
    size_t bytes_max;
    pthread_mutex_t lock; /* guards all below */
    entry *buckets[BUCKETS];
    entry *newest, *oldest;
    es_response_cache_stats stats;
};

/* ---- keys ---- */

static size_t head_bytes(const es_tensor *tensor)
{
    return (2 + tensor->rank) * sizeof(int64_t);
}

static bool key_size(const es_tensor *inputs, size_t count, size_t *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++)
        if (!es_size_add(*out, head_bytes(&inputs[i]), out) ||
            !es_size_add(*out, inputs[i].size_bytes, out))
            return false;
    return true;
}

static void put_head(const es_tensor *tensor, int64_t out[2 + ES_TENSOR_RANK_MAX])
{
    out[0] = (int64_t)tensor->dtype;
    out[1] = (int64_t)tensor->rank;
    for (size_t i = 0; i < tensor->rank; i++)
        out[2 + i] = tensor->dims[i];
}

/* FNV-1a by words: it spreads, and the whole key is compared anyhow. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word = 0;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    for (; size > 0; at++, size--)
        hash = (hash ^ *at) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_of(uint64_t model, const es_tensor *inputs, size_t count)
{
    int64_t head[2 + ES_TENSOR_RANK_MAX];
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ model * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < count; i++) {
        put_head(&inputs[i], head);
        hash = mix(hash, head, head_bytes(&inputs[i]));
        hash = mix(hash, inputs[i].data, inputs[i].size_bytes);
    }
    return hash ^ hash >> 32;
}

static void key_write(unsigned char *to, const es_tensor *inputs, size_t count)
{
    int64_t head[2 + ES_TENSOR_RANK_MAX];
    for (size_t i = 0; i < count; i++) {
        put_head(&inputs[i], head);
        memcpy(to, head, head_bytes(&inputs[i]));
        to += head_bytes(&inputs[i]);
        if (inputs[i].size_bytes > 0)
            memcpy(to, inputs[i].data, inputs[i].size_bytes);
        to += inputs[i].size_bytes;
    }
}

static bool key_equals(const entry *known, const es_tensor *inputs, size_t count)
{
    int64_t head[2 + ES_TENSOR_RANK_MAX];
    const unsigned char *at = known->key;
    size_t size = 0;
    if (!key_size(inputs, count, &size) || size != known->key_bytes)
        return false;
    for (size_t i = 0; i < count; i++) {
        put_head(&inputs[i], head);
        size_t head_size = head_bytes(&inputs[i]);
        if ((size_t)(known->key + known->key_bytes - at) < head_size + inputs[i].size_bytes ||
            memcmp(at, head, head_size) != 0 ||
            (inputs[i].size_bytes > 0 &&
             memcmp(at + head_size, inputs[i].data, inputs[i].size_bytes) != 0))
            return false;
        at += head_size + inputs[i].size_bytes;
    }
    return true;
}

/* ---- lists; the lock is held ---- */

static void unlink_use(es_response_cache *cache, entry *one)
{
    if (one->newer != NULL)
        one->newer->older = one->older;
    else
        cache->newest = one->older;
    if (one->older != NULL)
        one->older->newer = one->newer;
    else
        cache->oldest = one->newer;
}

static void link_use(es_response_cache *cache, entry *one)
{
    one->newer = NULL;
    one->older = cache->newest;
    if (cache->newest != NULL)
        cache->newest->newer = one;
    else
        cache->oldest = one;
    cache->newest = one;
}

static entry *look_up(es_response_cache *cache, uint64_t hash, uint64_t model,
                      const es_tensor *inputs, size_t count)
{
    entry *one = cache->buckets[hash % BUCKETS];
    while (one != NULL &&
           (one->hash != hash || one->model != model || !key_equals(one, inputs, count)))
        one = one->chain;
    return one;
}

static void evict_oldest(es_response_cache *cache)
{
    entry *gone = cache->oldest;
    entry **at = &cache->buckets[gone->hash % BUCKETS];
    while (*at != gone)
        at = &(*at)->chain;
    *at = gone->chain;
    unlink_use(cache, gone);
    cache->stats.bytes -= gone->bytes;
    cache->stats.entries--;
    cache->stats.evictions++;
    free(gone);
}

/* ---- finding ---- */

static bool copy_out(const entry *one, es_arena *arena, es_tensor *out, size_t count)
{
    if (one->output_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        out[i] = one->outputs[i];
        if (out[i].size_bytes == 0)
            continue;
        out[i].data = es_arena_take(arena, out[i].size_bytes, 1);
        if (out[i].data == NULL)
            return false;
        memcpy(out[i].data, one->outputs[i].data, out[i].size_bytes);
    }
    return true;
}

bool es_response_cache_find(es_response_cache *cache, uint64_t model, const es_tensor *inputs,
                            size_t input_count, es_arena *arena, es_tensor *out_outputs,
                            size_t output_count)
{
    uint64_t hash = hash_of(model, inputs, input_count);
    (void)pthread_mutex_lock(&cache->lock);
    entry *one = look_up(cache, hash, model, inputs, input_count);
    bool found = one != NULL && copy_out(one, arena, out_outputs, output_count);
    if (found) {
        unlink_use(cache, one);
        link_use(cache, one);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return found;
}

/* ---- putting ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* NULL: too large, or no memory. */
static entry *entry_make(const es_response_cache *cache, const es_tensor *inputs,
                         size_t input_count, const es_tensor *outputs, size_t output_count)
{
    size_t key_bytes = 0;
    if (!key_size(inputs, input_count, &key_bytes) || key_bytes > cache->bytes_max)
        return NULL;
    size_t head = aligned(sizeof(entry)) + aligned(output_count * sizeof(es_tensor));
    size_t bytes = head + aligned(key_bytes);
    for (size_t i = 0; i < output_count; i++)
        if (!es_size_add(bytes, aligned(outputs[i].size_bytes), &bytes))
            return NULL;
    if (bytes > cache->bytes_max / SHARE_OF_ROOM)
        return NULL;
    unsigned char *memory = malloc(bytes);
    if (memory == NULL)
        return NULL;
    entry *one = (entry *)(void *)memory;
    *one = (entry){.key_bytes = key_bytes, .bytes = bytes, .output_count = output_count};
    one->outputs = (es_tensor *)(void *)(memory + aligned(sizeof(entry)));
    one->key = memory + head;
    key_write(one->key, inputs, input_count);
    unsigned char *at = one->key + aligned(key_bytes);
    for (size_t i = 0; i < output_count; i++) {
        one->outputs[i] = outputs[i];
        one->outputs[i].owner = NULL;
        one->outputs[i].runtime = NULL;
        one->outputs[i].data = outputs[i].size_bytes > 0 ? at : NULL;
        if (outputs[i].size_bytes > 0)
            memcpy(at, outputs[i].data, outputs[i].size_bytes);
        at += aligned(outputs[i].size_bytes);
    }
    return one;
}

void es_response_cache_put(es_response_cache *cache, uint64_t model, const es_tensor *inputs,
                           size_t input_count, const es_tensor *outputs, size_t output_count)
{
    entry *one = entry_make(cache, inputs, input_count, outputs, output_count);
    if (one == NULL)
        return;
    one->model = model;
    one->hash = hash_of(model, inputs, input_count);
    (void)pthread_mutex_lock(&cache->lock);
    if (look_up(cache, one->hash, model, inputs, input_count) != NULL) { /* another was quicker */
        (void)pthread_mutex_unlock(&cache->lock);
        free(one);
        return;
    }
    while (cache->oldest != NULL && cache->stats.bytes + one->bytes > cache->bytes_max)
        evict_oldest(cache);
    one->chain = cache->buckets[one->hash % BUCKETS];
    cache->buckets[one->hash % BUCKETS] = one;
    link_use(cache, one);
    cache->stats.bytes += one->bytes;
    cache->stats.entries++;
    (void)pthread_mutex_unlock(&cache->lock);
}

void es_response_cache_stats_get(es_response_cache *cache, es_response_cache_stats *out)
{
    (void)pthread_mutex_lock(&cache->lock);
    *out = cache->stats;
    (void)pthread_mutex_unlock(&cache->lock);
}

/* ---- life ---- */

es_status es_response_cache_new(size_t bytes_max, es_response_cache **out_cache, es_error *err)
{
    es_response_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return es_fail(err, ES_ERR_NOMEM, "no memory for a response cache");
    cache->bytes_max = bytes_max;
    (void)pthread_mutex_init(&cache->lock, NULL); /* default attributes cannot fail on Linux */
    *out_cache = cache;
    return ES_OK;
}

void es_response_cache_free(es_response_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->oldest != NULL)
        evict_oldest(cache);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}
