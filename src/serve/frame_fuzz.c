/* Everything that comes over a socket: the first byte chooses the decoder; what is accepted must
 * read back the same. */
#include "internal.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_config(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(1 << 22);
    es_config config;
    if (arena != NULL && es_config_decode(arena, data, size, &config, NULL) == ES_OK) {
        es_text text;
        es_text_init(&text, 1 << 22);
        es_config_encode(&config, &text);
        if (es_text_status(&text, NULL) == ES_OK)
            assert(text.size == size && memcmp(text.bytes, data, size) == 0);
        es_text_done(&text);
    }
    es_arena_free(arena);
}

static void fuzz_small(uint8_t kind, const uint8_t *data, size_t size)
{
    es_request request;
    es_hello hello;
    es_stats stats;
    es_error told = {0};
    es_dtype dtypes[8];
    uint8_t bytes[ES_FAILED_SIZE_MAX];
    if (kind == ES_FRAME_REQUEST && es_request_decode(data, size, &request, NULL) == ES_OK) {
        es_request_encode(&request, bytes);
        assert(memcmp(bytes, data, ES_REQUEST_HEADER_SIZE) == 0);
    } else if (kind == ES_FRAME_HELLO && es_hello_decode(data, size, &hello, NULL) == ES_OK) {
        es_hello_encode(&hello, bytes);
        assert(memcmp(bytes, data, ES_HELLO_SIZE) == 0);
    } else if (kind == ES_FRAME_STATS && es_stats_decode(data, size, &stats, NULL) == ES_OK) {
        es_stats_encode(&stats, bytes);
        assert(memcmp(bytes, data, ES_STATS_SIZE) == 0);
    } else if (kind == ES_FRAME_FAILED && es_failed_decode(data, size, &told, NULL) == ES_OK) {
        assert(strlen(told.text) < ES_ERROR_SIZE);
    } else if (kind == ES_FRAME_READY && es_ready_decode(data, size, dtypes, 8, NULL) == ES_OK) {
        assert(size == 36);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_frame_header header;
    uint8_t bytes[ES_FRAME_HEADER_SIZE];
    if (size == 0)
        return 0;
    if (data[0] == 0 && size > ES_FRAME_HEADER_SIZE &&
        es_frame_header_decode(data + 1, 1 << 20, &header, NULL) == ES_OK) {
        es_frame_header_encode(header, bytes);
        assert(memcmp(bytes, data + 1, sizeof bytes) == 0);
    } else if (data[0] == ES_FRAME_CONFIG) {
        fuzz_config(data + 1, size - 1);
    } else {
        fuzz_small(data[0], data + 1, size - 1);
    }
    return 0;
}
