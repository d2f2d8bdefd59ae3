/* Fuzz: what a node or gateway answers to a look is taken whole or refused by name. */
#include "control/controller.h"

#include <assert.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    es_arena *arena = es_arena_new((size_t)64 << 20);
    assert(arena != NULL);
    for (int kind = 0; kind < 3; kind++) {
        es_fleet_seen seen = {.uptime_s = (double)NAN};
        es_error err = {0};
        const char *text = (const char *)bytes;
        es_status status =
            kind == 2 ? es_fleet_read_models(arena, "fuzz", text, size, &seen, &err)
                      : es_fleet_read_observe(arena, "fuzz", text, size, kind == 1, &seen, &err);
        assert(status == ES_OK || err.text[0] != '\0');
        if (status != ES_OK)
            continue;
        assert(kind == 2 || seen.epoch != NULL);
        for (size_t i = 0; i < seen.model_count; i++)
            assert(seen.models[i] != NULL);
        for (size_t i = 0; i < seen.class_count; i++)
            assert(seen.classes[i].task != NULL && seen.classes[i].arrived >= 0);
    }
    es_arena_free(arena);
    return 0;
}
