/*
 * What no output needs: found backwards from the outputs, by name, before the graph is made, so
 * that nodes left behind by an edit may refer to what is gone.
 */
#include "model/build.h"

typedef struct need {
    es_model_build *build;
    es_names makers; /* value -> number of the node that makes it */
    es_names wanted; /* values that something needs */
    bool *node_wanted;
    ES_ARRAY(size_t) waiting; /* wanted nodes whose inputs have not been looked at */
} need;

static es_status want(need *n, const char *name, es_error *err)
{
    if (name == NULL || name[0] == '\0' || es_names_find(&n->wanted, name) != ES_NO_VALUE)
        return ES_OK;
    es_arena *arena = n->build->arena;
    ES_TRY(es_names_add(arena, &n->wanted, name, 0, err));
    uint32_t maker = es_names_find(&n->makers, name);
    if (maker == ES_NO_VALUE || n->node_wanted[maker])
        return ES_OK;
    n->node_wanted[maker] = true;
    return ES_ARRAY_PUSH(arena, &n->waiting, maker, "nodes", err);
}

static es_status want_graph(need *n, const Onnx__GraphProto *graph, es_error *err);

/* What a node uses, and all that its subgraphs name (their own values do no harm). Recursion is
 * bounded by ES_WIRE_DEPTH_MAX. */
static es_status want_inputs(need *n, const Onnx__NodeProto *node, es_error *err)
{
    for (size_t i = 0; i < node->n_input; i++)
        ES_TRY(want(n, node->input[i], err));
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->g != NULL)
            ES_TRY(want_graph(n, attribute->g, err));
        for (size_t g = 0; g < attribute->n_graphs; g++)
            ES_TRY(want_graph(n, attribute->graphs[g], err));
    }
    return ES_OK;
}

static es_status want_graph(need *n, const Onnx__GraphProto *graph, es_error *err)
{
    for (size_t i = 0; i < graph->n_node; i++)
        ES_TRY(want_inputs(n, graph->node[i], err));
    for (size_t i = 0; i < graph->n_output; i++)
        ES_TRY(want(n, graph->output[i]->name, err));
    return ES_OK;
}

static es_status find_makers(need *n, es_error *err)
{
    es_model_build *build = n->build;
    for (size_t i = 0; i < build->nodes.count; i++) {
        const Onnx__NodeProto *node = build->nodes.items[i].proto;
        for (size_t k = 0; k < node->n_output && !build->nodes.items[i].dropped; k++) {
            const char *name = es_text_of(node->output[k]);
            if (name[0] != '\0' && es_names_find(&n->makers, name) == ES_NO_VALUE)
                ES_TRY(es_names_add(build->arena, &n->makers, name, (uint32_t)i, err));
        }
    }
    return ES_OK;
}

static bool is_wanted(const need *n, const char *name)
{
    return name != NULL && es_names_find(&n->wanted, name) != ES_NO_VALUE;
}

static es_status keep_wanted(need *n, es_error *err)
{
    es_model_build *build = n->build;
    Onnx__GraphProto *graph = build->model->graph;
    for (size_t i = 0; i < build->nodes.count; i++)
        build->nodes.items[i].dropped = build->nodes.items[i].dropped || !n->node_wanted[i];
    size_t count = 0;
    for (size_t i = 0; i < build->weights.count; i++) {
        if (is_wanted(n, build->weights.items[i]->name))
            build->weights.items[count++] = build->weights.items[i];
    }
    build->weights.count = count;
    Onnx__SparseTensorProto **sparse =
        ES_TAKE_ARRAY(build->arena, Onnx__SparseTensorProto *, graph->n_sparse_initializer);
    Onnx__TensorAnnotation **notes =
        ES_TAKE_ARRAY(build->arena, Onnx__TensorAnnotation *, graph->n_quantization_annotation);
    if (sparse == NULL || notes == NULL)
        return es_arena_full(build->arena, "initializers", err);
    count = 0;
    for (size_t i = 0; i < graph->n_sparse_initializer; i++) {
        if (is_wanted(n, graph->sparse_initializer[i]->values->name))
            sparse[count++] = graph->sparse_initializer[i];
    }
    graph->sparse_initializer = sparse;
    graph->n_sparse_initializer = count;
    count = 0;
    for (size_t i = 0; i < graph->n_quantization_annotation; i++) {
        if (is_wanted(n, graph->quantization_annotation[i]->tensor_name))
            notes[count++] = graph->quantization_annotation[i];
    }
    graph->quantization_annotation = notes;
    graph->n_quantization_annotation = count;
    return ES_OK;
}

es_status es_build_drop_unused(es_model_build *build, es_error *err)
{
    need n = {.build = build, .node_wanted = ES_TAKE_ARRAY(build->arena, bool, build->nodes.count)};
    if (n.node_wanted == NULL)
        return es_arena_full(build->arena, "nodes", err);
    ES_TRY(find_makers(&n, err));
    for (size_t i = 0; i < build->outputs.count; i++)
        ES_TRY(want(&n, build->outputs.items[i]->name, err));
    while (n.waiting.count > 0) {
        size_t node = n.waiting.items[--n.waiting.count];
        ES_TRY(want_inputs(&n, build->nodes.items[node].proto, err));
    }
    return keep_wanted(&n, err);
}
