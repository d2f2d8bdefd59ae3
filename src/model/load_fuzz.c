/*
 * Any bytes: parse, analyse, list cut points, cut at all of them, write and read again, read
 * weights and attributes, edit. What was accepted once must be accepted again, and the segments of
 * an analysed model must parse.
 */
#include "model/model.h"

#include <assert.h>
#include <string.h>

enum { FUZZ_ARENA_BYTES = 16 * 1000 * 1000, FUZZ_CUTS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void cut_everywhere(es_arena *arena, const es_model *model,
                           const es_model_analysis *analysis)
{
    es_error err;
    es_model_cut_list list = {0};
    const es_model *const *segments = NULL;
    const char *names[FUZZ_CUTS_MAX];
    if (es_model_cut_points(arena, model, analysis, &list, &err) != ES_OK)
        return;
    size_t count = list.count < FUZZ_CUTS_MAX ? list.count : FUZZ_CUTS_MAX;
    for (size_t i = 0; i < count; i++)
        names[i] = list.points[i].tensor->name;
    es_status status = es_model_cut(arena, model, names, count, &segments, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM || status == ES_ERR_UNSUPPORTED);
}

static void write_and_read(es_arena *arena, const es_model *model)
{
    es_error err;
    const void *bytes = NULL;
    size_t size = 0;
    const es_model *back = NULL;
    if (es_model_bytes(arena, model, &bytes, &size, &err) != ES_OK)
        return;
    es_arena *other = es_arena_new((size_t)4 * FUZZ_ARENA_BYTES);
    assert(other != NULL);
    es_status status =
        es_model_parse(other, "again", bytes, size, es_model_opts_default(), &back, &err);
    assert(status == ES_OK);
    assert(es_model_node_count(back) == es_model_node_count(model));
    es_arena_free(other);
}

/* Binding every free dimension gives a model that is as sound as the first. */
static void bind_all(es_arena *arena, const es_model *model)
{
    es_error err;
    const es_model *bound = NULL;
    const es_model_analysis *analysis = NULL;
    es_model_binding two = {.name = NULL, .value = 2};
    if (es_model_bind(arena, model, &two, 1, &bound, &err) != ES_OK)
        return;
    es_status status =
        es_model_analyse(arena, bound, es_model_analyse_opts_default(), &analysis, &err);
    assert(status == ES_OK || err.text[0] != '\0');
}

static void read_all(es_arena *arena, const es_model *model)
{
    es_error err;
    const float *floats = NULL;
    const int64_t *ints = NULL;
    for (size_t i = 0; i < es_model_weight_count(model); i++) {
        es_model_weight weight = es_model_weight_at(model, i);
        if (es_model_floats(arena, &weight, &floats, &err) == ES_OK &&
            es_model_ints(arena, &weight, &ints, &err) == ES_OK && weight.tensor.elements > 0)
            assert(floats[0] == (float)ints[0] || weight.tensor.type == ES_MODEL_UINT64);
    }
    for (size_t i = 0; i < es_model_node_count(model); i++)
        (void)strlen(es_model_attr_text(model, i, "auto_pad", ""));
}

/* A copy with another name for each node's outputs is as sound as the model. */
static void edit_all(es_arena *arena, const es_model *model)
{
    es_error err;
    const es_model *edited = NULL;
    es_model_build *edit = es_model_build_from(arena, model);
    if (edit == NULL)
        return;
    for (size_t i = 0; i < es_model_node_count(model) && i < FUZZ_CUTS_MAX; i++) {
        es_model_op op = es_model_op_at(model, i);
        for (size_t k = 0; k < op.output_count && k < FUZZ_CUTS_MAX; k++)
            if (op.outputs[k][0] != '\0')
                es_model_build_rename(edit, op.outputs[k],
                                      es_model_build_fresh(edit, op.outputs[k]));
    }
    es_status status = es_model_build_finish(edit, &edited, &err);
    assert(status == ES_OK || status == ES_ERR_NOMEM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    es_arena *arena = es_arena_new(FUZZ_ARENA_BYTES);
    assert(arena != NULL);
    es_error err;
    const es_model *model = NULL;
    const es_model_analysis *analysis = NULL;
    if (es_model_parse(arena, "fuzz", data, size, es_model_opts_default(), &model, &err) == ES_OK) {
        write_and_read(arena, model);
        bind_all(arena, model);
        read_all(arena, model);
        edit_all(arena, model);
        es_model_analyse_opts opts = es_model_analyse_opts_default();
        opts.unknown_allowed = size % 2 == 0;
        opts.free_dim = (int64_t)(size % 3);
        if (es_model_analyse(arena, model, opts, &analysis, &err) == ES_OK)
            cut_everywhere(arena, model, analysis);
    }
    es_arena_free(arena);
    return 0;
}
