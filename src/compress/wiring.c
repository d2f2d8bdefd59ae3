/*
 * Values of a graph by number, with their makers and uses: what every rewriting asks for.
 */
#include "compress/internal.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const es_wire *)a)->name, ((const es_wire *)b)->name);
}

size_t es_wiring_find(const es_wiring *wiring, const char *name)
{
    es_wire wanted = {.name = name};
    if (wiring->value_count == 0)
        return ES_NONE;
    const es_wire *found =
        bsearch(&wanted, wiring->values, wiring->value_count, sizeof wanted, by_name);
    return found != NULL ? (size_t)(found - wiring->values) : ES_NONE;
}

/* Every value once: inputs, weights and what nodes make. */
static es_status list_values(es_wiring *w, es_error *err)
{
    const es_model *model = w->model;
    size_t count = es_model_input_count(model) + es_model_weight_count(model);
    for (size_t n = 0; n < w->node_count; n++)
        count += w->ops[n].output_count;
    w->values = ES_TAKE_ARRAY(w->arena, es_wire, count);
    if (w->values == NULL)
        return es_arena_full(w->arena, "values", err);
    size_t at = 0;
    for (size_t i = 0; i < es_model_input_count(model); i++)
        w->values[at++] = (es_wire){
            .name = es_model_input(model, i)->name, .maker = ES_NONE, .is_input = true, .rank = -1};
    for (size_t i = 0; i < es_model_weight_count(model); i++)
        w->values[at++] = (es_wire){.name = es_model_weight_at(model, i).tensor.name,
                                    .maker = ES_NONE,
                                    .constant = true,
                                    .rank = -1};
    for (size_t n = 0; n < w->node_count; n++)
        for (size_t k = 0; k < w->ops[n].output_count; k++)
            if (w->ops[n].outputs[k][0] != '\0')
                w->values[at++] = (es_wire){.name = w->ops[n].outputs[k], .maker = n, .rank = -1};
    w->value_count = at;
    qsort(w->values, at, sizeof *w->values, by_name);
    return ES_OK;
}

static es_status number_ports(es_wiring *w, const char *const *names, size_t count,
                              size_t **out_numbers, es_error *err)
{
    *out_numbers = ES_TAKE_ARRAY(w->arena, size_t, count);
    if (*out_numbers == NULL)
        return es_arena_full(w->arena, "values", err);
    for (size_t k = 0; k < count; k++)
        (*out_numbers)[k] = names[k][0] != '\0' ? es_wiring_find(w, names[k]) : ES_NONE;
    return ES_OK;
}

/* Calls count the uses first, then fill them in. */
static void note_uses(es_wiring *w, bool fill)
{
    for (size_t n = 0; n < w->node_count; n++) {
        size_t all = w->ops[n].input_count + w->ops[n].captured_count;
        for (size_t k = 0; k < all; k++) {
            bool captured = k >= w->ops[n].input_count;
            size_t v = captured ? es_wiring_find(w, w->ops[n].captured[k - w->ops[n].input_count])
                                : w->inputs[n][k];
            if (v == ES_NONE)
                continue;
            if (fill)
                w->values[v].uses[w->values[v].use_count] =
                    (es_wire_use){.node = n, .input = captured ? ES_NONE : k};
            w->values[v].use_count++;
        }
    }
}

static es_status find_uses(es_wiring *w, es_error *err)
{
    note_uses(w, false);
    for (size_t v = 0; v < w->value_count; v++) {
        w->values[v].uses = ES_TAKE_ARRAY(w->arena, es_wire_use, w->values[v].use_count);
        if (w->values[v].uses == NULL)
            return es_arena_full(w->arena, "uses", err);
        w->values[v].use_count = 0;
    }
    note_uses(w, true);
    return ES_OK;
}

static void know_shape(es_wiring *w, const es_model_tensor *tensor)
{
    size_t v = tensor != NULL && tensor->name != NULL ? es_wiring_find(w, tensor->name) : ES_NONE;
    if (v == ES_NONE)
        return;
    w->values[v].floating = tensor->kind == ES_MODEL_KIND_TENSOR && tensor->type == ES_MODEL_FLOAT;
    w->values[v].rank = tensor->rank;
    w->values[v].dims = tensor->dims;
}

static es_status find_shapes(es_wiring *w, es_error *err)
{
    const es_model_analysis *analysis = NULL;
    es_model_analyse_opts opts = es_model_analyse_opts_default();
    opts.unknown_allowed = true;
    opts.free_dim = 0;
    ES_TRY(es_model_analyse(w->arena, w->model, opts, &analysis, err));
    for (size_t i = 0; i < analysis->input_count; i++)
        know_shape(w, analysis->inputs[i]);
    for (size_t n = 0; n < analysis->node_count; n++)
        for (size_t k = 0; k < analysis->nodes[n].output_count; k++)
            know_shape(w, analysis->nodes[n].outputs[k]);
    for (size_t v = 0; v < w->value_count; v++) {
        es_model_weight weight;
        if (!es_model_constant(w->model, w->values[v].name, &weight))
            continue;
        w->values[v].constant = true;
        w->values[v].floating = weight.tensor.type == ES_MODEL_FLOAT;
        w->values[v].rank = weight.tensor.rank;
        w->values[v].dims = weight.tensor.dims;
    }
    return ES_OK;
}

es_status es_wiring_make(es_arena *arena, const es_model *model, es_wiring *out, es_error *err)
{
    es_wiring w = {.arena = arena, .model = model, .node_count = es_model_node_count(model)};
    w.ops = ES_TAKE_ARRAY(arena, es_model_op, w.node_count);
    w.inputs = ES_TAKE_ARRAY(arena, size_t *, w.node_count);
    w.outputs = ES_TAKE_ARRAY(arena, size_t *, w.node_count);
    if (w.ops == NULL || w.inputs == NULL || w.outputs == NULL)
        return es_arena_full(arena, "nodes", err);
    for (size_t n = 0; n < w.node_count; n++)
        w.ops[n] = es_model_op_at(model, n);
    ES_TRY(list_values(&w, err));
    for (size_t n = 0; n < w.node_count; n++) {
        ES_TRY(number_ports(&w, w.ops[n].inputs, w.ops[n].input_count, &w.inputs[n], err));
        ES_TRY(number_ports(&w, w.ops[n].outputs, w.ops[n].output_count, &w.outputs[n], err));
    }
    for (size_t i = 0; i < es_model_output_count(model); i++)
        w.values[es_wiring_find(&w, es_model_output(model, i)->name)].is_output = true;
    ES_TRY(find_uses(&w, err));
    ES_TRY(find_shapes(&w, err));
    *out = w;
    return ES_OK;
}

bool es_wiring_is(const es_wiring *w, size_t node, const char *op)
{
    return node != ES_NONE && strcmp(w->ops[node].op, op) == 0 &&
           strcmp(w->ops[node].domain, "ai.onnx") == 0;
}

bool es_wiring_private(const es_wiring *w, size_t value)
{
    const es_wire *wire = &w->values[value];
    return wire->use_count == 1 && wire->uses[0].input != ES_NONE && !wire->is_output;
}

es_status es_wiring_floats(const es_wiring *w, size_t value, es_model_weight *out_weight,
                           const float **out_floats, es_error *err)
{
    if (value == ES_NONE || !es_model_constant(w->model, w->values[value].name, out_weight))
        return es_fail(err, ES_ERR_ARG, "'%s' is no constant",
                       value != ES_NONE ? w->values[value].name : "");
    return es_model_floats(w->arena, out_weight, out_floats, err);
}
