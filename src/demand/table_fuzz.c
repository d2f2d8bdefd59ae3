#include "demand/demand.h"

#include <assert.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_trace(const es_trace *trace)
{
    for (size_t i = 0; i < trace->count; i++) {
        assert(trace->times_ns[i] >= 0);
        assert(i == 0 || trace->times_ns[i] >= trace->times_ns[i - 1]);
    }
}

static void check_series(const es_series *series)
{
    assert(series->count > 0);
    assert(series->start_ns[0] == 0);
    for (size_t i = 0; i < series->count; i++) {
        assert(isfinite(series->value[i]));
        assert(series->value[i] >= 0);
        assert(i == 0 || series->start_ns[i] > series->start_ns[i - 1]);
    }
}

/* The first byte chooses the reader; what is read keeps its promises. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new((size_t)32 << 20);
    if (arena == NULL || size == 0) {
        es_arena_free(arena);
        return 0;
    }
    const char *text = (const char *)data + 1;
    uint8_t which = data[0] % (ES_TRACE_FORMAT_COUNT + 2);
    const es_trace *trace = NULL;
    const es_series *series = NULL;
    es_error err = {0};
    if (which < ES_TRACE_FORMAT_COUNT) {
        if (es_trace_parse(arena, "fuzz", text, size - 1, (es_trace_format)which, &trace, &err) ==
            ES_OK)
            check_trace(trace);
    } else if (es_series_parse(arena, "fuzz", text, size - 1,
                               which == ES_TRACE_FORMAT_COUNT ? NULL : "v", data[0] * 10.0, &series,
                               &err) == ES_OK) {
        check_series(series);
    }
    es_arena_free(arena);
    return 0;
}
