/*
 * Resolves the names of a graph to value numbers and checks what can be checked without shapes.
 */
#include "model/internal.h"

static bool is_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* ---- values ---- */

static es_status value_add(es_arena *arena, es_graph *graph, es_value value, uint32_t *out,
                           es_error *err)
{
    if (graph->values.count >= ES_NO_VALUE - 1)
        return es_fail(err, ES_ERR_LIMIT, "too many values in a graph");
    uint32_t number = (uint32_t)graph->values.count;
    ES_TRY(ES_ARRAY_PUSH(arena, &graph->values, value, "values", err));
    ES_TRY(es_names_add(arena, &graph->names, value.name, number, err));
    *out = number;
    return ES_OK;
}

static es_status add_sparse(es_arena *arena, es_graph *graph, const Onnx__SparseTensorProto *sparse,
                            es_error *err)
{
    const Onnx__TensorProto *values = sparse->values;
    uint32_t ignored = 0;
    int64_t elements = 1;
    if (values == NULL || !is_text(values->name) || sparse->indices == NULL)
        return es_fail(err, ES_ERR_PARSE, "has no values, no indices or no name");
    if (es_names_find(&graph->names, values->name) != ES_NO_VALUE)
        return es_fail(err, ES_ERR_PARSE, "'%s' comes twice", values->name);
    ES_TRY(es_tensor_check(values, err));
    ES_TRY(es_within(err, es_tensor_check(sparse->indices, err), "indices"));
    if (sparse->n_dims > ES_RANK_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%zu dimensions, at most %d are supported",
                       sparse->n_dims, ES_RANK_MAX);
    for (size_t i = 0; i < sparse->n_dims; i++) {
        if (sparse->dims[i] < 0 ||
            !es_int64_mul(elements, sparse->dims[i] > 0 ? sparse->dims[i] : 1, &elements) ||
            elements > INT64_MAX / 16)
            return es_fail(err, ES_ERR_PARSE, "dimension %zu is %lld: negative or too large", i,
                           (long long)sparse->dims[i]);
    }
    es_value value = {
        .name = values->name, .source = ES_VALUE_SPARSE, .sparse = sparse, .constant = true};
    return value_add(arena, graph, value, &ignored, err);
}

static es_status add_weights(es_arena *arena, es_graph *graph, es_error *err)
{
    Onnx__GraphProto *proto = graph->proto;
    uint32_t ignored = 0;
    for (size_t i = 0; i < proto->n_initializer; i++) {
        const Onnx__TensorProto *tensor = proto->initializer[i];
        if (!is_text(tensor->name))
            return es_fail(err, ES_ERR_PARSE, "initializer %zu has no name", i);
        if (es_names_find(&graph->names, tensor->name) != ES_NO_VALUE)
            return es_fail(err, ES_ERR_PARSE, "initializer '%s' comes twice", tensor->name);
        ES_TRY(es_within(err, es_tensor_check(tensor, err), "initializer %zu", i));
        es_value value = {
            .name = tensor->name, .source = ES_VALUE_WEIGHT, .tensor = tensor, .constant = true};
        ES_TRY(value_add(arena, graph, value, &ignored, err));
    }
    for (size_t i = 0; i < proto->n_sparse_initializer; i++)
        ES_TRY(es_within(err, add_sparse(arena, graph, proto->sparse_initializer[i], err),
                         "sparse initializer %zu", i));
    return ES_OK;
}

static es_status add_inputs(es_arena *arena, es_graph *graph, es_error *err)
{
    Onnx__GraphProto *proto = graph->proto;
    graph->inputs = ES_TAKE_ARRAY(arena, uint32_t, proto->n_input);
    if (graph->inputs == NULL)
        return es_arena_full(arena, "graph inputs", err);
    for (size_t i = 0; i < proto->n_input; i++) {
        const Onnx__ValueInfoProto *info = proto->input[i];
        if (!is_text(info->name))
            return es_fail(err, ES_ERR_PARSE, "graph input %zu has no name", i);
        uint32_t number = es_names_find(&graph->names, info->name);
        if (number != ES_NO_VALUE) {
            es_value *value = &graph->values.items[number];
            if (value->source == ES_VALUE_INPUT || value->declared != NULL)
                return es_fail(err, ES_ERR_PARSE, "graph input '%s' comes twice", info->name);
            value->declared = info; /* a weight that the old form lists as an input too */
            continue;
        }
        es_value value = {.name = info->name, .source = ES_VALUE_INPUT, .declared = info};
        ES_TRY(value_add(arena, graph, value, &number, err));
        graph->inputs[graph->input_count++] = number;
    }
    return ES_OK;
}

static es_status add_node_outputs(es_arena *arena, es_graph *graph, uint32_t index, es_error *err)
{
    es_gnode *node = &graph->nodes[index];
    node->output_count = (uint32_t)node->proto->n_output;
    node->outputs = ES_TAKE_ARRAY(arena, uint32_t, node->output_count);
    if (node->outputs == NULL)
        return es_arena_full(arena, "node outputs", err);
    for (uint32_t k = 0; k < node->output_count; k++) {
        const char *name = node->proto->output[k];
        node->outputs[k] = ES_NO_VALUE;
        if (!is_text(name))
            continue;
        uint32_t other = es_names_find(&graph->names, name);
        if (other != ES_NO_VALUE) {
            const es_value *value = &graph->values.items[other];
            if (value->source == ES_VALUE_NODE)
                return es_fail(err, ES_ERR_PARSE, "output '%s' is also made by node %u", name,
                               (unsigned)value->node);
            return es_fail(err, ES_ERR_PARSE, "output '%s' is also %s", name,
                           value->source == ES_VALUE_INPUT ? "a graph input" : "an initializer");
        }
        es_value value = {.name = name, .source = ES_VALUE_NODE, .node = index};
        ES_TRY(value_add(arena, graph, value, &node->outputs[k], err));
    }
    return ES_OK;
}

/* The number of name in graph; a value of a graph around it becomes an outer value. Recursion is
 * bounded by ES_WIRE_DEPTH_MAX. */
static es_status resolve(es_arena *arena, es_graph *graph, const char *name, uint32_t *out,
                         es_error *err)
{
    *out = es_names_find(&graph->names, name);
    if (*out != ES_NO_VALUE)
        return ES_OK;
    if (graph->parent == NULL)
        return es_fail(err, ES_ERR_PARSE,
                       "'%s' is no graph input, no initializer and no output of a node", name);
    uint32_t outer = 0;
    ES_TRY(resolve(arena, graph->parent, name, &outer, err));
    es_value value = {.name = name, .source = ES_VALUE_OUTER, .outer = outer};
    return value_add(arena, graph, value, out, err);
}

/* ---- nodes ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static es_status collect_captured(es_arena *arena, const es_graph *graph, es_gnode *node,
                                  es_error *err)
{
    ES_ARRAY(uint32_t) all = {0};
    for (uint32_t g = 0; g < node->subgraph_count; g++) {
        const es_graph *sub = node->subgraphs[g];
        for (size_t v = 0; v < sub->values.count; v++) {
            if (sub->values.items[v].source == ES_VALUE_OUTER)
                ES_TRY(ES_ARRAY_PUSH(arena, &all, sub->values.items[v].outer, "captured", err));
        }
    }
    if (all.count > 1)
        qsort(all.items, all.count, sizeof *all.items, by_number);
    uint32_t kept = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (kept == 0 || all.items[kept - 1] != all.items[i])
            all.items[kept++] = all.items[i];
    }
    node->captured = all.items;
    node->captured_count = kept;
    node->captured_names = ES_TAKE_ARRAY(arena, const char *, kept);
    if (node->captured_names == NULL)
        return es_arena_full(arena, "captured", err);
    for (uint32_t i = 0; i < kept; i++)
        node->captured_names[i] = graph->values.items[all.items[i]].name;
    return ES_OK;
}

static es_status add_subgraphs(es_arena *arena, es_graph *graph, es_gnode *node, size_t *node_total,
                               es_error *err)
{
    ES_ARRAY(es_graph *) subs = {0};
    for (size_t i = 0; i < node->proto->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->proto->attribute[i];
        for (size_t g = 0; g < attribute->n_graphs + (attribute->g != NULL); g++) {
            Onnx__GraphProto *proto = g < attribute->n_graphs ? attribute->graphs[g] : attribute->g;
            es_graph *sub = NULL;
            ES_TRY(es_within(err, es_graph_make(arena, proto, graph, node_total, &sub, err),
                             "subgraph '%s'", es_text_of(attribute->name)));
            ES_TRY(ES_ARRAY_PUSH(arena, &subs, sub, "subgraphs", err));
        }
    }
    node->subgraphs = subs.items;
    node->subgraph_count = (uint32_t)subs.count;
    return subs.count > 0 ? collect_captured(arena, graph, node, err) : ES_OK;
}

static es_status check_attributes(const Onnx__NodeProto *proto, es_error *err)
{
    for (size_t i = 0; i < proto->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = proto->attribute[i];
        if (!is_text(attribute->name))
            return es_fail(err, ES_ERR_PARSE, "attribute %zu has no name", i);
        if (attribute->t != NULL)
            ES_TRY(es_within(err, es_tensor_check(attribute->t, err), "attribute '%s'",
                             attribute->name));
    }
    return ES_OK;
}

static es_status link_node(es_arena *arena, es_graph *graph, es_gnode *node, size_t *node_total,
                           es_error *err)
{
    ES_TRY(check_attributes(node->proto, err));
    node->input_count = (uint32_t)node->proto->n_input;
    node->inputs = ES_TAKE_ARRAY(arena, uint32_t, node->input_count);
    if (node->inputs == NULL)
        return es_arena_full(arena, "node inputs", err);
    for (uint32_t k = 0; k < node->input_count; k++) {
        node->inputs[k] = ES_NO_VALUE;
        if (is_text(node->proto->input[k]))
            ES_TRY(es_within(err,
                             resolve(arena, graph, node->proto->input[k], &node->inputs[k], err),
                             "input %u", (unsigned)k));
    }
    return add_subgraphs(arena, graph, node, node_total, err);
}

static es_status within_node(es_error *err, es_status status, const es_gnode *node, uint32_t index)
{
    if (status == ES_OK) /* spares formatting */
        return ES_OK;
    return es_within(err, status, "node %u '%s' (%s)", (unsigned)index,
                     es_text_of(node->proto->name), es_text_of(node->proto->op_type));
}

static es_status add_nodes(es_arena *arena, es_graph *graph, size_t *node_total, es_error *err)
{
    graph->node_count = graph->proto->n_node;
    *node_total += graph->node_count;
    if (graph->node_count >= ES_NO_VALUE)
        return es_fail(err, ES_ERR_LIMIT, "too many nodes in a graph");
    graph->nodes = ES_TAKE_ARRAY(arena, es_gnode, graph->node_count);
    if (graph->nodes == NULL)
        return es_arena_full(arena, "nodes", err);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        es_gnode *node = &graph->nodes[i];
        node->proto = graph->proto->node[i];
        if (!is_text(node->proto->op_type))
            return es_fail(err, ES_ERR_PARSE, "node %u '%s' has no operator (op_type)", (unsigned)i,
                           es_text_of(node->proto->name));
        ES_TRY(within_node(err, add_node_outputs(arena, graph, i, err), node, i));
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        es_gnode *node = &graph->nodes[i];
        ES_TRY(within_node(err, link_node(arena, graph, node, node_total, err), node, i));
    }
    return ES_OK;
}

/* ---- the graph ---- */

static es_status add_outputs(es_arena *arena, es_graph *graph, es_error *err)
{
    Onnx__GraphProto *proto = graph->proto;
    graph->output_count = proto->n_output;
    graph->outputs = ES_TAKE_ARRAY(arena, uint32_t, proto->n_output);
    if (graph->outputs == NULL)
        return es_arena_full(arena, "graph outputs", err);
    for (size_t i = 0; i < proto->n_output; i++) {
        const Onnx__ValueInfoProto *info = proto->output[i];
        if (!is_text(info->name))
            return es_fail(err, ES_ERR_PARSE, "graph output %zu has no name", i);
        ES_TRY(es_within(err, resolve(arena, graph, info->name, &graph->outputs[i], err),
                         "graph output %zu", i));
        es_value *value = &graph->values.items[graph->outputs[i]];
        if (value->is_output && graph->parent == NULL)
            return es_fail(err, ES_ERR_PARSE, "graph output '%s' comes twice", info->name);
        value->is_output = true;
        if (value->declared == NULL)
            value->declared = info;
    }
    return ES_OK;
}

static void add_declared(es_graph *graph)
{
    for (size_t i = 0; i < graph->proto->n_value_info; i++) {
        const Onnx__ValueInfoProto *info = graph->proto->value_info[i];
        uint32_t number =
            is_text(info->name) ? es_names_find(&graph->names, info->name) : ES_NO_VALUE;
        if (number != ES_NO_VALUE && graph->values.items[number].declared == NULL)
            graph->values.items[number].declared = info;
    }
}

static bool is_random(const es_gnode *node)
{
    const char *op = node->proto->op_type;
    return strncmp(op, "Random", 6) == 0 || strcmp(op, "Bernoulli") == 0 ||
           strcmp(op, "Multinomial") == 0;
}

static bool has_random(const es_graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        if (is_random(&graph->nodes[i]))
            return true;
        for (uint32_t g = 0; g < graph->nodes[i].subgraph_count; g++) {
            if (has_random(graph->nodes[i].subgraphs[g]))
                return true;
        }
    }
    return false;
}

/* What depends on no graph input; nodes are sorted by now. */
static void mark_constants(es_graph *graph)
{
    es_value *values = graph->values.items;
    for (size_t i = 0; i < graph->node_count; i++) {
        es_gnode *node = &graph->nodes[i];
        bool constant = !is_random(node);
        for (uint32_t k = 0; constant && k < node->input_count; k++)
            constant = node->inputs[k] == ES_NO_VALUE || values[node->inputs[k]].constant;
        for (uint32_t k = 0; constant && k < node->captured_count; k++)
            constant = values[node->captured[k]].constant;
        for (uint32_t g = 0; constant && g < node->subgraph_count; g++)
            constant = !has_random(node->subgraphs[g]);
        node->constant = constant;
        for (uint32_t k = 0; k < node->output_count; k++) {
            if (node->outputs[k] != ES_NO_VALUE)
                values[node->outputs[k]].constant = constant;
        }
    }
}

es_status es_graph_make(es_arena *arena, Onnx__GraphProto *proto, es_graph *parent,
                        size_t *node_total, es_graph **out_graph, es_error *err)
{
    es_graph *graph = ES_TAKE_ONE(arena, es_graph);
    if (graph == NULL)
        return es_arena_full(arena, "graph", err);
    graph->proto = proto;
    graph->parent = parent;
    ES_TRY(add_weights(arena, graph, err));
    ES_TRY(add_inputs(arena, graph, err));
    ES_TRY(add_nodes(arena, graph, node_total, err));
    ES_TRY(add_outputs(arena, graph, err));
    add_declared(graph);
    ES_TRY(es_graph_sort(arena, graph, err));
    if (parent == NULL)
        mark_constants(graph);
    *out_graph = graph;
    return ES_OK;
}
