#include "base/document.h"

#include <jansson.h>

enum { CAP = 32 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads must not crash; what is read, written and read again is written the same; and jansson
 * must be of the same mind, but for what the face says is refused. */
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
    es_status status = es_doc_parse_json(arena, "f", (const char *)data, size, &root, &err);
    json_t *other =
        json_loadb((const char *)data, size,
                   JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    if (status == ES_OK && other == NULL)
        abort();
    bool has_nul = size > 0 && memchr(data, '\0', size) != NULL; /* jansson takes it for the end */
    if (status == ES_ERR_PARSE && other != NULL && !has_nul &&
        strstr(err.text, "out of range") == NULL)
        abort();
    json_decref(other);
    if (status == ES_OK) {
        es_json_init(&json, &first, size % 2 == 0);
        es_json_doc(&json, root);
        if (es_text_status(&first, NULL) != ES_OK ||
            es_doc_parse_json(arena, "g", es_text_get(&first), first.size, &root, &err) != ES_OK)
            abort();
        es_json_init(&json, &again, size % 2 == 0);
        es_json_doc(&json, root);
        if (strcmp(es_text_get(&first), es_text_get(&again)) != 0)
            abort();
    } else if (strncmp(err.text, "f", 1) != 0 || strchr(err.text, '\n') != NULL) {
        abort();
    }
    es_text_done(&first);
    es_text_done(&again);
    es_arena_free(arena);
    return 0;
}
