/* Any bytes as a spec: what is a net can be written as a model that reads back. */
#include "nn/nn.h"

#include <assert.h>

enum { FUZZ_ARENA_BYTES = 32 * 1000 * 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    const es_model *model = NULL;
    es_nn *back = NULL;
    es_status status = es_nn_to_model(arena, nn, true, &model, &err);
    /* A payload may have no scale of bytes, an output the name of the input. */
    assert(status == ES_OK || status == ES_ERR_NOMEM || status == ES_ERR_ARG);
    if (status != ES_OK)
        return;
    status = es_nn_from_model(arena, model, &back, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM);
    assert(status != ES_OK || es_nn_work_of(back).macs == es_nn_work_of(nn).macs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(FUZZ_ARENA_BYTES);
    assert(arena != NULL);
    es_error err = {0};
    const es_doc *doc = NULL;
    es_nn *nn = NULL;
    const char *bytes = (const char *)data;
    if (es_doc_parse_yaml(arena, "fuzz", bytes, size, &doc, &err) == ES_OK) {
        es_status status = es_nn_from_spec(arena, doc, 1, &nn, &err);
        assert(status == ES_OK || err.text[0] != '\0');
        if (status == ES_OK)
            write_and_read(arena, nn);
    }
    es_arena_free(arena);
    return 0;
}
