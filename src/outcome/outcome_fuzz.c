#include "outcome/outcome.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever loads must write and load again, to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_error err = {0};
    const es_outcome *outcome = NULL;
    es_arena *arena = es_arena_new((size_t)32 << 20);
    if (arena != NULL &&
        es_outcome_parse(arena, "fuzz", (const char *)data, size, &outcome, &err) == ES_OK) {
        es_text first;
        es_text second;
        es_text_init(&first, (size_t)32 << 20);
        es_text_init(&second, (size_t)32 << 20);
        es_outcome_write(outcome, &first);
        const es_outcome *again = NULL;
        if (es_text_status(&first, &err) == ES_OK &&
            es_outcome_parse(arena, "again", first.bytes, first.size, &again, &err) == ES_OK) {
            es_outcome_write(again, &second);
            assert(es_text_status(&second, &err) != ES_OK ||
                   strcmp(es_text_get(&first), es_text_get(&second)) == 0);
        } else {
            assert(err.status == ES_ERR_NOMEM);
        }
        es_text_done(&first);
        es_text_done(&second);
    }
    es_arena_free(arena);
    return 0;
}
