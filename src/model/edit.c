/*
 * Editing: a build that starts with all of a model. Messages are shared with the model until they
 * are changed, and copied then.
 */
#include "model/build.h"

/* ---- starting ---- */

static bool is_weight(const es_graph *graph, const char *name)
{
    uint32_t value = es_names_find(&graph->names, name);
    return value != ES_NO_VALUE && graph->values.items[value].source != ES_VALUE_INPUT;
}

static void take_over(es_model_build *build, const es_graph *from)
{
    const Onnx__GraphProto *graph = from->proto;
    for (size_t i = 0; i < graph->n_node; i++)
        ES_BUILD_PUSH(build, &build->nodes, ((es_build_node){.proto = graph->node[i]}));
    for (size_t i = 0; i < graph->n_initializer; i++)
        ES_BUILD_PUSH(build, &build->weights, graph->initializer[i]);
    for (size_t i = 0; i < graph->n_input; i++) {
        if (!is_weight(from, graph->input[i]->name))
            ES_BUILD_PUSH(build, &build->inputs, graph->input[i]);
    }
    for (size_t i = 0; i < graph->n_output; i++)
        ES_BUILD_PUSH(build, &build->outputs, graph->output[i]);
}

es_model_build *es_model_build_from(es_arena *arena, const es_model *model)
{
    es_model_build *build = ES_TAKE_ONE(arena, es_model_build);
    Onnx__ModelProto *proto = ES_TAKE_ONE(arena, Onnx__ModelProto);
    Onnx__GraphProto *graph = ES_TAKE_ONE(arena, Onnx__GraphProto);
    if (build == NULL || proto == NULL || graph == NULL)
        return NULL;
    *proto = *model->proto;
    *graph = *model->proto->graph;
    graph->n_value_info = 0;
    proto->graph = graph;
    proto->n_training_info = 0; /* speaks of the whole graph */
    proto->has_ir_version = 1;
    if (proto->ir_version < ES_BUILD_IR_VERSION)
        proto->ir_version = ES_BUILD_IR_VERSION;
    build->arena = arena;
    build->name = model->name;
    build->model = proto;
    build->edits = true;
    for (size_t i = 0; i < model->proto->n_opset_import; i++)
        ES_BUILD_PUSH(build, &build->opsets, model->proto->opset_import[i]);
    if (build->opsets.count == 0)
        es_model_build_domain(build, "", 1); /* a file from before opsets existed */
    take_over(build, model->graph);
    build->chosen = build->nodes.count;
    return build;
}

/* ---- one node ---- */

static bool is_there(es_model_build *build, size_t node)
{
    if (build->status != ES_OK)
        return false;
    if (node < build->nodes.count && !build->nodes.items[node].dropped)
        return true;
    es_build_keep(build,
                  es_fail(&build->error, ES_ERR_ARG, "node %zu %s", node,
                          node < build->nodes.count ? "was dropped before" : "does not exist"));
    return false;
}

Onnx__NodeProto *es_build_own_node(es_model_build *build, size_t node)
{
    if (!is_there(build, node))
        return NULL;
    es_build_node *entry = &build->nodes.items[node];
    if (entry->own)
        return entry->proto;
    const Onnx__NodeProto *old = entry->proto;
    Onnx__NodeProto *copy = ES_TAKE_ONE(build->arena, Onnx__NodeProto);
    char **inputs = ES_TAKE_ARRAY(build->arena, char *, old->n_input);
    char **outputs = ES_TAKE_ARRAY(build->arena, char *, old->n_output);
    if (copy == NULL || inputs == NULL || outputs == NULL) {
        es_build_full(build);
        return NULL;
    }
    *copy = *old;
    if (old->n_input > 0)
        memcpy(inputs, old->input, old->n_input * sizeof(char *));
    if (old->n_output > 0)
        memcpy(outputs, old->output, old->n_output * sizeof(char *));
    copy->input = inputs;
    copy->output = outputs;
    *entry = (es_build_node){.proto = copy, .own = true};
    return copy;
}

size_t es_model_build_node_count(const es_model_build *build)
{
    return build->nodes.count;
}

void es_model_build_choose(es_model_build *build, size_t node)
{
    if (is_there(build, node))
        build->chosen = node;
}

void es_model_build_op(es_model_build *build, size_t node, const char *op)
{
    Onnx__NodeProto *own = es_build_own_node(build, node);
    char *copy = own != NULL ? es_build_text(build, op) : NULL;
    if (copy != NULL)
        own->op_type = copy;
}

/* names[index] = value; index == *count appends. */
static void set_name(es_model_build *build, char ***names, size_t *count, size_t index,
                     const char *value)
{
    char *copy = es_build_text(build, value);
    if (copy == NULL)
        return;
    if (index > *count) {
        es_build_keep(build, es_fail(&build->error, ES_ERR_ARG,
                                     "'%s' as input or output %zu of a node that has %zu", value,
                                     index, *count));
        return;
    }
    if (index == *count) {
        char **more = ES_TAKE_ARRAY(build->arena, char *, *count + 1);
        if (more == NULL) {
            es_build_full(build);
            return;
        }
        if (*count > 0)
            memcpy(more, *names, *count * sizeof(char *));
        *names = more;
        *count += 1;
    }
    (*names)[index] = copy;
}

void es_model_build_set_input(es_model_build *build, size_t node, size_t index, const char *value)
{
    Onnx__NodeProto *own = es_build_own_node(build, node);
    if (own != NULL)
        set_name(build, &own->input, &own->n_input, index, value);
}

void es_model_build_set_output(es_model_build *build, size_t node, size_t index, const char *value)
{
    Onnx__NodeProto *own = es_build_own_node(build, node);
    if (own == NULL)
        return;
    set_name(build, &own->output, &own->n_output, index, value);
    es_build_take_name(build, value);
}

void es_model_build_drop_attr(es_model_build *build, const char *name)
{
    Onnx__NodeProto *own = es_build_own_node(build, build->chosen);
    if (own == NULL)
        return;
    Onnx__AttributeProto **rest =
        ES_TAKE_ARRAY(build->arena, Onnx__AttributeProto *, own->n_attribute);
    size_t count = 0;
    for (size_t i = 0; rest != NULL && i < own->n_attribute; i++) {
        if (strcmp(es_text_of(own->attribute[i]->name), name) != 0)
            rest[count++] = own->attribute[i];
    }
    if (rest == NULL) {
        es_build_full(build);
    } else if (count == own->n_attribute) {
        es_build_keep(build, es_fail(&build->error, ES_ERR_ARG, "node '%s' has no attribute '%s'",
                                     es_text_of(own->name), name));
    } else {
        own->attribute = rest;
        own->n_attribute = count;
    }
}

void es_model_build_drop_node(es_model_build *build, size_t node)
{
    if (is_there(build, node))
        build->nodes.items[node].dropped = true;
}

/* ---- weights, inputs, outputs ---- */

static void not_there(es_model_build *build, const char *what, const char *name)
{
    es_build_keep(build, es_fail(&build->error, ES_ERR_ARG, "there is no %s '%s'", what, name));
}

void es_model_build_drop_weight(es_model_build *build, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < build->weights.count; i++) {
        if (strcmp(build->weights.items[i]->name, name) != 0)
            build->weights.items[count++] = build->weights.items[i];
    }
    if (count == build->weights.count)
        not_there(build, "weight", name);
    build->weights.count = count;
}

static void drop_info(es_model_build *build, es_build_infos *infos, const char *what,
                      const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < infos->count; i++) {
        if (strcmp(infos->items[i]->name, name) != 0)
            infos->items[count++] = infos->items[i];
    }
    if (count == infos->count)
        not_there(build, what, name);
    infos->count = count;
}

void es_model_build_drop_input(es_model_build *build, const char *name)
{
    drop_info(build, &build->inputs, "input", name);
}

void es_model_build_drop_output(es_model_build *build, const char *name)
{
    drop_info(build, &build->outputs, "output", name);
}

/* ---- names ---- */

void es_build_take_name(es_model_build *build, const char *name)
{
    if (build->names_known && build->status == ES_OK && name != NULL && name[0] != '\0' &&
        es_names_find(&build->taken, name) == ES_NO_VALUE)
        es_build_keep(build, es_names_add(build->arena, &build->taken, name, 0, &build->error));
}

static void take_graph(es_model_build *build, const Onnx__GraphProto *graph);

/* Recursion is bounded by ES_WIRE_DEPTH_MAX. */
static void take_node(es_model_build *build, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_input; i++)
        es_build_take_name(build, node->input[i]);
    for (size_t i = 0; i < node->n_output; i++)
        es_build_take_name(build, node->output[i]);
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->g != NULL)
            take_graph(build, attribute->g);
        for (size_t g = 0; g < attribute->n_graphs; g++)
            take_graph(build, attribute->graphs[g]);
    }
}

static void take_graph(es_model_build *build, const Onnx__GraphProto *graph)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        es_build_take_name(build, graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_sparse_initializer; i++)
        es_build_take_name(build, graph->sparse_initializer[i]->values->name);
    for (size_t i = 0; i < graph->n_input; i++)
        es_build_take_name(build, graph->input[i]->name);
    for (size_t i = 0; i < graph->n_node; i++)
        take_node(build, graph->node[i]);
}

static void learn_names(es_model_build *build)
{
    if (build->names_known)
        return;
    build->names_known = true;
    take_graph(build, build->model->graph);
    for (size_t i = 0; i < build->nodes.count; i++)
        take_node(build, build->nodes.items[i].proto);
    for (size_t i = 0; i < build->weights.count; i++)
        es_build_take_name(build, build->weights.items[i]->name);
    for (size_t i = 0; i < build->inputs.count; i++)
        es_build_take_name(build, build->inputs.items[i]->name);
}

const char *es_model_build_fresh(es_model_build *build, const char *stem)
{
    learn_names(build);
    const char *name = es_build_text(build, stem);
    for (size_t number = 2; build->status == ES_OK && name != NULL; number++) {
        if (es_names_find(&build->taken, name) == ES_NO_VALUE) {
            es_build_take_name(build, name);
            return name;
        }
        name = es_arena_format(build->arena, "%s_%zu", stem, number);
    }
    if (build->status == ES_OK)
        es_build_full(build);
    return stem; /* finish will tell */
}

/* ---- renaming ---- */

typedef struct renaming {
    es_model_build *build;
    const char *from;
    char *to;
} renaming;

static bool is_from(const renaming *r, const char *name)
{
    return name != NULL && strcmp(name, r->from) == 0;
}

/* A copy with the name replaced, or names itself when it is not among them. */
static char **names_with(const renaming *r, char **names, size_t count)
{
    char **changed = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_from(r, names[i]))
            continue;
        if (changed == NULL) {
            changed = ES_TAKE_ARRAY(r->build->arena, char *, count);
            if (changed == NULL) {
                es_build_full(r->build);
                return names;
            }
            memcpy(changed, names, count * sizeof(char *));
        }
        changed[i] = r->to;
    }
    return changed != NULL ? changed : names;
}

/* Whether a subgraph has a value of that name itself, which hides the outer one. */
static bool hides(const renaming *r, const Onnx__GraphProto *graph)
{
    for (size_t i = 0; i < graph->n_input; i++) {
        if (is_from(r, graph->input[i]->name))
            return true;
    }
    for (size_t i = 0; i < graph->n_initializer; i++) {
        if (is_from(r, graph->initializer[i]->name))
            return true;
    }
    for (size_t i = 0; i < graph->n_node; i++) {
        for (size_t k = 0; k < graph->node[i]->n_output; k++) {
            if (is_from(r, graph->node[i]->output[k]))
                return true;
        }
    }
    return false;
}

static Onnx__NodeProto *node_with(const renaming *r, Onnx__NodeProto *node);

static Onnx__ValueInfoProto *info_with(const renaming *r, Onnx__ValueInfoProto *info)
{
    if (!is_from(r, info->name))
        return info;
    Onnx__ValueInfoProto *copy = ES_TAKE_ONE(r->build->arena, Onnx__ValueInfoProto);
    if (copy == NULL) {
        es_build_full(r->build);
        return info;
    }
    *copy = *info;
    copy->name = r->to;
    return copy;
}

/* Recursion is bounded by ES_WIRE_DEPTH_MAX. */
static Onnx__GraphProto *graph_with(const renaming *r, Onnx__GraphProto *graph)
{
    if (hides(r, graph))
        return graph;
    es_arena *arena = r->build->arena;
    Onnx__GraphProto *copy = ES_TAKE_ONE(arena, Onnx__GraphProto);
    Onnx__NodeProto **nodes = ES_TAKE_ARRAY(arena, Onnx__NodeProto *, graph->n_node);
    Onnx__ValueInfoProto **outputs = ES_TAKE_ARRAY(arena, Onnx__ValueInfoProto *, graph->n_output);
    if (copy == NULL || nodes == NULL || outputs == NULL) {
        es_build_full(r->build);
        return graph;
    }
    *copy = *graph;
    bool changed = false;
    for (size_t i = 0; i < graph->n_node; i++) {
        nodes[i] = node_with(r, graph->node[i]);
        changed = changed || nodes[i] != graph->node[i];
    }
    for (size_t i = 0; i < graph->n_output; i++) {
        outputs[i] = info_with(r, graph->output[i]);
        changed = changed || outputs[i] != graph->output[i];
    }
    copy->node = nodes;
    copy->output = outputs;
    return changed ? copy : graph;
}

static Onnx__AttributeProto *attribute_with(const renaming *r, Onnx__AttributeProto *attribute)
{
    if (attribute->g == NULL && attribute->n_graphs == 0)
        return attribute;
    es_arena *arena = r->build->arena;
    Onnx__AttributeProto *copy = ES_TAKE_ONE(arena, Onnx__AttributeProto);
    Onnx__GraphProto **graphs = ES_TAKE_ARRAY(arena, Onnx__GraphProto *, attribute->n_graphs);
    if (copy == NULL || graphs == NULL) {
        es_build_full(r->build);
        return attribute;
    }
    *copy = *attribute;
    copy->g = attribute->g != NULL ? graph_with(r, attribute->g) : NULL;
    bool changed = copy->g != attribute->g;
    for (size_t i = 0; i < attribute->n_graphs; i++) {
        graphs[i] = graph_with(r, attribute->graphs[i]);
        changed = changed || graphs[i] != attribute->graphs[i];
    }
    copy->graphs = graphs;
    return changed ? copy : attribute;
}

/* The node with its uses replaced; itself when it has none. */
static Onnx__NodeProto *node_with(const renaming *r, Onnx__NodeProto *node)
{
    es_arena *arena = r->build->arena;
    char **inputs = names_with(r, node->input, node->n_input);
    Onnx__AttributeProto **attributes = node->attribute;
    for (size_t i = 0; i < node->n_attribute; i++) {
        Onnx__AttributeProto *with = attribute_with(r, node->attribute[i]);
        if (with == node->attribute[i])
            continue;
        if (attributes == node->attribute) {
            attributes = ES_TAKE_ARRAY(arena, Onnx__AttributeProto *, node->n_attribute);
            if (attributes == NULL) {
                es_build_full(r->build);
                return node;
            }
            memcpy(attributes, node->attribute, node->n_attribute * sizeof(Onnx__AttributeProto *));
        }
        attributes[i] = with;
    }
    if (inputs == node->input && attributes == node->attribute)
        return node;
    Onnx__NodeProto *copy = ES_TAKE_ONE(arena, Onnx__NodeProto);
    if (copy == NULL) {
        es_build_full(r->build);
        return node;
    }
    *copy = *node;
    copy->input = inputs;
    copy->attribute = attributes;
    return copy;
}

static void rename_uses(const renaming *r)
{
    for (size_t i = 0; i < r->build->nodes.count; i++) {
        es_build_node *node = &r->build->nodes.items[i];
        if (!node->dropped)
            node->proto = node_with(r, node->proto);
    }
}

void es_model_build_replace(es_model_build *build, const char *value, const char *instead)
{
    renaming r = {.build = build, .from = value, .to = es_build_text(build, instead)};
    if (build->status == ES_OK)
        rename_uses(&r);
}

void es_model_build_rename(es_model_build *build, const char *value, const char *name)
{
    renaming r = {.build = build, .from = value, .to = es_build_text(build, name)};
    if (build->status != ES_OK)
        return;
    es_build_take_name(build, name);
    rename_uses(&r);
    for (size_t i = 0; i < build->nodes.count; i++) {
        const Onnx__NodeProto *node = build->nodes.items[i].proto;
        for (size_t k = 0; k < node->n_output && !build->nodes.items[i].dropped; k++) {
            if (is_from(&r, node->output[k]))
                es_model_build_set_output(build, i, k, name);
        }
    }
    for (size_t i = 0; i < build->weights.count; i++) {
        if (!is_from(&r, build->weights.items[i]->name))
            continue;
        Onnx__TensorProto *copy = ES_TAKE_ONE(build->arena, Onnx__TensorProto);
        if (copy == NULL) {
            es_build_full(build);
            return;
        }
        *copy = *build->weights.items[i];
        copy->name = r.to;
        build->weights.items[i] = copy;
    }
    for (size_t i = 0; i < build->inputs.count; i++)
        build->inputs.items[i] = info_with(&r, build->inputs.items[i]);
    for (size_t i = 0; i < build->outputs.count; i++)
        build->outputs.items[i] = info_with(&r, build->outputs.items[i]);
}
