#include "model/internal.h"

/* The value for a free dimension, or 0. An entry by name wins over the one for all. */
static int64_t value_for(const es_model_binding *bindings, size_t count, const char *name)
{
    int64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].name == NULL)
            value = bindings[i].value;
    }
    for (size_t i = 0; i < count && name != NULL; i++) {
        if (bindings[i].name != NULL && strcmp(bindings[i].name, name) == 0)
            return bindings[i].value;
    }
    return value;
}

/* inputs: what counts is the declaration; outputs: a named dimension only when an input has it. */
static es_status bound_info(es_arena *arena, const Onnx__ValueInfoProto *info, bool input,
                            const es_model_binding *bindings, size_t count, es_names *used,
                            Onnx__ValueInfoProto **out, es_error *err)
{
    es_symbols symbols = {0};
    es_model_analyse_opts opts = {.free_dim = 0};
    es_infer infer = {.arena = arena, .symbols = &symbols, .opts = &opts};
    es_fact fact = {0};
    ES_TRY(es_fact_declared(&infer, info->type, true, &fact, err));
    es_dim *dims = ES_TAKE_ARRAY(arena, es_dim, fact.rank > 0 ? (size_t)fact.rank : 0);
    if (dims == NULL)
        return es_arena_full(arena, "shape", err);
    for (int32_t i = 0; i < fact.rank; i++) {
        dims[i] = fact.dims[i];
        const char *name = dims[i].symbol > 0 ? symbols.names.items[dims[i].symbol - 1] : NULL;
        int64_t value = value_for(bindings, count, name);
        bool known_name = name != NULL && es_names_find(used, name) != ES_NO_VALUE;
        if (dims[i].symbol == 0 || value == 0 || (!input && !known_name))
            continue;
        dims[i] = es_dim_of(value);
        if (input && name != NULL && !known_name)
            ES_TRY(es_names_add(arena, used, name, 0, err));
    }
    fact.dims = dims;
    return es_value_info_of(arena, &symbols, info->name, &fact, out, err);
}

static bool is_tensor(const Onnx__ValueInfoProto *info)
{
    return info->type != NULL && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
}

static es_status bind(es_arena *arena, const es_model *model, const es_model_binding *bindings,
                      size_t count, const es_model **out_model, es_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].value < 1)
            return es_fail(err, ES_ERR_ARG, "free dimension '%s'=%lld must be >= 1",
                           bindings[i].name != NULL ? bindings[i].name : "*",
                           (long long)bindings[i].value);
    }
    Onnx__ModelProto *proto = ES_TAKE_ONE(arena, Onnx__ModelProto);
    Onnx__GraphProto *graph = ES_TAKE_ONE(arena, Onnx__GraphProto);
    const Onnx__GraphProto *old = model->graph->proto;
    Onnx__ValueInfoProto **inputs = ES_TAKE_ARRAY(arena, Onnx__ValueInfoProto *, old->n_input);
    Onnx__ValueInfoProto **outputs = ES_TAKE_ARRAY(arena, Onnx__ValueInfoProto *, old->n_output);
    Onnx__NodeProto **nodes = ES_TAKE_ARRAY(arena, Onnx__NodeProto *, old->n_node);
    if (proto == NULL || graph == NULL || inputs == NULL || outputs == NULL || nodes == NULL)
        return es_arena_full(arena, "bound model", err);
    *proto = *model->proto;
    *graph = *old;
    proto->graph = graph;
    es_names used = {0};
    for (size_t i = 0; i < old->n_input; i++) {
        inputs[i] = old->input[i];
        if (is_tensor(old->input[i]))
            ES_TRY(bound_info(arena, old->input[i], true, bindings, count, &used, &inputs[i], err));
    }
    for (size_t i = 0; i < old->n_output; i++) {
        outputs[i] = old->output[i];
        if (is_tensor(old->output[i]))
            ES_TRY(
                bound_info(arena, old->output[i], false, bindings, count, &used, &outputs[i], err));
    }
    if (old->n_node > 0)
        memcpy(nodes, old->node, old->n_node * sizeof(Onnx__NodeProto *));
    graph->node = nodes;
    graph->input = inputs;
    graph->output = outputs;
    graph->n_value_info = 0; /* may speak of free dimensions that are fixed now */
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].name != NULL && es_names_find(&used, bindings[i].name) == ES_NO_VALUE)
            return es_fail(err, ES_ERR_ARG, "no input has a free dimension '%s'", bindings[i].name);
    }
    return es_model_of(arena, model->name, proto, out_model, err);
}

es_status es_model_bind(es_arena *arena, const es_model *model, const es_model_binding *bindings,
                        size_t binding_count, const es_model **out_model, es_error *err)
{
    return es_within(err, bind(arena, model, bindings, binding_count, out_model, err), "model '%s'",
                     model->name);
}
