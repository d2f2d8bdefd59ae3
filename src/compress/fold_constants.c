/*
 * Constant parts become weights. They are computed by the runtime, as a model without inputs whose
 * outputs are the constant values that the rest uses; so every operator that can run can be folded.
 */
#include "compress/internal.h"

#include <string.h>

enum { AT_ONCE = ES_SESSION_PORTS_MAX / 2 };

typedef struct frontier {
    const es_model_tensor *tensor;
    size_t maker;
} frontier;

typedef ES_ARRAY(frontier) frontiers;

static bool is_used_outside(const es_wiring *w, const es_model_analysis *analysis, size_t value)
{
    const es_wire *wire = &w->values[value];
    bool outside = wire->is_output;
    for (size_t i = 0; i < wire->use_count; i++)
        outside = outside || !analysis->nodes[wire->uses[i].node].constant;
    return outside;
}

static es_status find_frontier(const es_wiring *w, const es_model_analysis *analysis,
                               frontiers *out, es_error *err)
{
    for (size_t n = 0; n < w->node_count; n++) {
        const es_model_node *node = &analysis->nodes[n];
        for (size_t k = 0; node->constant && k < node->output_count; k++) {
            size_t v = w->outputs[n][k];
            frontier f = {.tensor = node->outputs[k], .maker = n};
            if (v == ES_NONE || !is_used_outside(w, analysis, v))
                continue;
            if (f.tensor->kind != ES_MODEL_KIND_TENSOR || es_model_type_bits(f.tensor->type) < 8)
                continue; /* strings and sequences stay as they are */
            ES_TRY(ES_ARRAY_PUSH(w->arena, out, f, "constants", err));
        }
    }
    return ES_OK;
}

/* A model that gives the frontier's values [0, count) and needs nothing. */
static es_status constants_model(const es_wiring *w, const frontier *wanted, size_t count,
                                 const es_model **out_model, es_error *err)
{
    es_model_build *build = es_model_build_from(w->arena, w->model);
    if (build == NULL)
        return es_arena_full(w->arena, "model", err);
    for (size_t i = 0; i < es_model_output_count(w->model); i++)
        es_model_build_drop_output(build, es_model_output(w->model, i)->name);
    for (size_t i = 0; i < es_model_input_count(w->model); i++)
        es_model_build_drop_input(build, es_model_input(w->model, i)->name);
    for (size_t i = 0; i < count; i++)
        es_model_build_output(build, wanted[i].tensor->name, wanted[i].tensor->type, 0, NULL, NULL);
    return es_model_build_finish(build, out_model, err);
}

static es_status compute(const es_wiring *w, es_runtime *runtime, const frontier *wanted,
                         size_t count, es_model_build *into, es_error *err)
{
    const es_model *model = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    es_tensor outputs[AT_ONCE] = {{.dtype = ES_DTYPE_NONE}};
    ES_CLEANUP(es_session_unref_p) es_session *session = NULL;
    ES_TRY(constants_model(w, wanted, count, &model, err));
    ES_TRY(es_model_bytes(w->arena, model, &bytes, &size, err));
    ES_TRY(es_session_open_bytes(runtime, bytes, size, es_session_opts_default(), &session, err));
    ES_TRY(es_session_run(session, NULL, 0, outputs, count, err));
    for (size_t i = 0; i < count; i++) {
        es_model_build_weight(into, wanted[i].tensor->name, (es_model_type)outputs[i].dtype,
                              outputs[i].rank, outputs[i].dims, outputs[i].data,
                              outputs[i].size_bytes);
        es_tensor_done(&outputs[i]);
    }
    return ES_OK;
}

static es_status fold(es_arena *arena, es_runtime *runtime, const es_model *model,
                      const es_model **out_model, es_error *err)
{
    es_wiring w;
    frontiers wanted = {0};
    const es_model_analysis *analysis = NULL;
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    opts.free_dim = 0;
    ES_TRY(es_wiring_make(arena, model, &w, err));
    ES_TRY(es_model_analyse(arena, model, opts, &analysis, err));
    ES_TRY(find_frontier(&w, analysis, &wanted, err));
    if (wanted.count == 0) {
        *out_model = model;
        return ES_OK;
    }
    es_model_build *build = es_model_build_from(arena, model);
    bool *dropped = ES_TAKE_ARRAY(arena, bool, w.node_count);
    if (build == NULL || dropped == NULL)
        return es_arena_full(arena, "model", err);
    for (size_t i = 0; i < wanted.count; i += AT_ONCE) {
        size_t count = wanted.count - i < AT_ONCE ? wanted.count - i : AT_ONCE;
        ES_TRY(compute(&w, runtime, wanted.items + i, count, build, err));
    }
    for (size_t i = 0; i < wanted.count; i++) {
        size_t maker = wanted.items[i].maker;
        if (!dropped[maker])
            es_model_build_drop_node(build, maker);
        dropped[maker] = true;
    }
    return es_model_build_finish(build, out_model, err);
}

es_status es_fold_constants(es_arena *arena, es_runtime *runtime, const es_model *model,
                            const es_model **out_model, es_error *err)
{
    return es_within(err, fold(arena, runtime, model, out_model, err), "constant parts of '%s'",
                     es_model_name(model));
}
