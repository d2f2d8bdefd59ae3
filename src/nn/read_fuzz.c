/*
 * Any bytes as a model: what reads as a net is written, and comes back with as many layers, the
 * same work and the same parameters.
 */
#include "nn/nn.h"

#include <assert.h>

enum { FUZZ_ARENA_BYTES = 32 * 1000 * 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(es_arena *arena, const es_nn *nn)
{
    es_error err = {0};
    const es_model *model = NULL;
    es_nn *back = NULL;
    es_status status = es_nn_to_model(arena, nn, false, &model, &err);
    if (status != ES_OK) { /* an output may have the name of the input */
        assert(status == ES_ERR_NOMEM || status == ES_ERR_ARG);
        return;
    }
    status = es_nn_from_model(arena, model, &back, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM);
    if (status != ES_OK)
        return;
    assert(es_nn_work_of(back).macs == es_nn_work_of(nn).macs);
    assert(back->output_count == nn->output_count);
    status = es_nn_fold(back, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM);
}

/* Every other channel, where channels may go. */
static es_nn *prune(es_arena *arena, es_nn *nn)
{
    es_error err = {0};
    es_nn_groups groups = {0};
    es_status status = es_nn_groups_find(arena, nn, &groups, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM || status == ES_ERR_LIMIT);
    if (status != ES_OK)
        return nn;
    const bool **keep = ES_TAKE_ARRAY(arena, const bool *, groups.count);
    for (size_t g = 0; keep != NULL && g < groups.count; g++) {
        bool *mask = ES_TAKE_ARRAY(arena, bool, groups.items[g].channels);
        for (size_t c = 0; mask != NULL && c < groups.items[g].channels; c++)
            mask[c] = groups.items[g].fixed || c % 2 == 0;
        keep[g] = mask;
    }
    if (keep == NULL)
        return nn;
    status = es_nn_keep(arena, nn, &groups, keep, &nn, NULL, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM);
    return nn;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(FUZZ_ARENA_BYTES);
    assert(arena != NULL);
    es_error err = {0};
    const es_model *model = NULL;
    es_nn *nn = NULL;
    if (es_model_parse(arena, "fuzz", data, size, es_model_opts_default(), &model, &err) == ES_OK) {
        if (es_nn_from_model(arena, model, &nn, &err) == ES_OK)
            write_and_read(arena, prune(arena, nn));
        else
            assert(err.text[0] != '\0');
    }
    es_arena_free(arena);
    return 0;
}
