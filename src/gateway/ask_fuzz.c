/* What a client may put into a request's JSON, as the gateway reads it. Whatever is found to be the
 * parameters must lie within the text. */
#include "internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *params = NULL;
    size_t params_size = 0;
    es_gateway_ask ask;
    es_arena *arena = es_arena_new(1 << 22);
    char *exact = malloc(size > 0 ? size : 1); /* so that reading past the end is seen */
    if (arena != NULL && exact != NULL) {
        memcpy(exact, data, size);
        if (es_gateway_find_params(exact, size, &params, &params_size)) {
            assert(params >= exact);
            assert(params_size <= size - (size_t)(params - exact));
        }
        if (es_gateway_ask_read(arena, exact, size, &ask, NULL) == ES_OK) {
            assert(ask.wish.latency_s_max >= 0);
            assert(ask.wish.quality_min >= 0 && ask.wish.quality_min <= 1);
            assert(ask.timeout_us >= 0);
        }
    }
    free(exact);
    es_arena_free(arena);
    return 0;
}
