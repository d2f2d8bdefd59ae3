/*
 * Any text as a recipe: what is accepted is told in full, and that text gives itself again.
 */
#include "compress/compress.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(1 << 20);
    assert(arena != NULL);
    es_error err;
    const es_recipe *recipe = NULL;
    const es_recipe *again = NULL;
    char *text = es_arena_text_n(arena, (const char *)data, size < 4096 ? size : 4096);
    if (text != NULL && es_recipe_parse(arena, text, &recipe, &err) == ES_OK) {
        es_status status = es_recipe_parse(arena, es_recipe_text(recipe), &again, &err);
        assert(status == ES_OK);
        assert(strcmp(es_recipe_text(again), es_recipe_text(recipe)) == 0);
    }
    es_arena_free(arena);
    return 0;
}
