/*
 * A model with exits as stages: each is what its outputs need behind the tensor that comes in. An
 * exit's branch stays in the stage that ends where it hangs, so who leaves there needs no more.
 */
#include "compress/internal.h"

#include <assert.h>
#include <string.h>

/* Number of the node that makes a value; ES_NONE: none does. */
static size_t maker_of(const es_model *model, const char *value)
{
    for (size_t i = 0; i < es_model_node_count(model); i++) {
        es_model_op op = es_model_op_at(model, i);
        for (size_t k = 0; k < op.output_count; k++)
            if (strcmp(op.outputs[k], value) == 0)
                return i;
    }
    return ES_NONE;
}

typedef struct cutter {
    es_arena *arena;
    const es_model *model;
    const es_model_analysis *analysis; /* free dimensions stay free */
} cutter;

static es_status find(const cutter *c, const char *name, const es_model_tensor **out, es_error *err)
{
    const es_model_tensor *tensor = es_model_analysis_find(c->analysis, name);
    if (tensor == NULL || tensor->rank < 0)
        return es_fail(err, ES_ERR_ARG, "'%s' is no value of '%s' with a known shape", name,
                       es_model_name(c->model));
    *out = tensor;
    return ES_OK;
}

/* The tensor that comes in instead of the model's inputs. */
static es_status enter(const cutter *c, es_model_build *build, const char *name, es_error *err)
{
    const es_model_tensor *tensor = NULL;
    size_t maker = maker_of(c->model, name);
    ES_TRY(find(c, name, &tensor, err));
    assert(tensor != NULL);
    if (maker == ES_NONE)
        return es_fail(err, ES_ERR_ARG, "'%s' is not made by a node of '%s'", name,
                       es_model_name(c->model));
    es_model_build_drop_node(build, maker);
    for (size_t i = 0; i < es_model_input_count(c->model); i++)
        es_model_build_drop_input(build, es_model_input(c->model, i)->name);
    es_model_build_input(build, name, tensor->type, (size_t)tensor->rank, tensor->dims,
                         tensor->symbols);
    return ES_OK;
}

static es_status give(const cutter *c, es_model_build *build, const char *name, es_error *err)
{
    const es_model_tensor *tensor = NULL;
    if (name == NULL)
        return ES_OK;
    ES_TRY(find(c, name, &tensor, err));
    assert(tensor != NULL);
    es_model_build_output(build, name, tensor->type, (size_t)tensor->rank, tensor->dims,
                          tensor->symbols);
    return ES_OK;
}

static es_status cut_one(const cutter *c, const char *from, const es_stage_end *end,
                         const es_model **out, es_error *err)
{
    es_model_build *build = es_model_build_from(c->arena, c->model);
    if (build == NULL)
        return es_arena_full(c->arena, "stage", err);
    for (size_t i = 0; i < es_model_output_count(c->model); i++)
        es_model_build_drop_output(build, es_model_output(c->model, i)->name);
    if (from != NULL)
        ES_TRY(enter(c, build, from, err));
    ES_TRY(give(c, build, end->answer, err));
    ES_TRY(give(c, build, end->forward, err));
    return es_model_build_finish(build, out, err);
}

es_status es_stages_cut(es_arena *arena, const es_model *model, const es_stage_end *ends,
                        size_t count, const es_model **out_stages, es_error *err)
{
    cutter c = {.arena = arena, .model = model};
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.free_dim = 0;
    ES_TRY(es_model_analyse(arena, model, opts, &c.analysis, err));
    for (size_t k = 0; k < count; k++)
        ES_TRY(es_within(
            err, cut_one(&c, k > 0 ? ends[k - 1].forward : NULL, &ends[k], &out_stages[k], err),
            "stage %zu", k + 1));
    return ES_OK;
}
