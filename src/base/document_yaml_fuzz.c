#include "base/document.h"

enum { CAP = 32 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads must not crash; what is read is written as JSON, which the JSON reader takes and writes
 * the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(CAP);
    es_text first;
    es_text again;
    es_json json;
    es_error err = {0};
    const es_doc *root = NULL;
    es_text_init(&first, CAP);
    es_text_init(&again, CAP);
    if (es_doc_parse_yaml(arena, "f", (const char *)data, size, &root, &err) != ES_OK) {
        if (strncmp(err.text, "f", 1) != 0 || strchr(err.text, '\n') != NULL)
            abort();
    } else {
        es_json_init(&json, &first, size % 2 == 0);
        es_json_doc(&json, root);
        es_status status =
            es_doc_parse_json(arena, "g", es_text_get(&first), first.size, &root, &err);
        if (es_text_status(&first, NULL) == ES_OK && status != ES_ERR_NOMEM) {
            if (status != ES_OK)
                abort();
            es_json_init(&json, &again, size % 2 == 0);
            es_json_doc(&json, root);
            if (strcmp(es_text_get(&first), es_text_get(&again)) != 0)
                abort();
        }
    }
    es_text_done(&first);
    es_text_done(&again);
    es_arena_free(arena);
    return 0;
}
