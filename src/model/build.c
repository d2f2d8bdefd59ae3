/*
 * Making a graph by hand. Failures are remembered; the message arrays grow in the arena.
 */
#include "model/build.h"

enum { BUILD_TEXTS_MAX = 4096 };

void es_build_keep(es_model_build *build, es_status status)
{
    if (build->status == ES_OK)
        build->status = status;
}

void es_build_full(es_model_build *build)
{
    es_build_keep(build, es_arena_full(build->arena, "model", &build->error));
}

char *es_build_text(es_model_build *build, const char *text)
{
    char *copy = es_arena_text(build->arena, text != NULL ? text : "");
    if (copy == NULL)
        es_build_full(build);
    return copy;
}

es_model_build *es_model_build_new(es_arena *arena, const char *name, int64_t opset)
{
    es_model_build *build = ES_TAKE_ONE(arena, es_model_build);
    if (build == NULL)
        return NULL;
    build->arena = arena;
    build->model = ES_BUILD_NEW(build, Onnx__ModelProto, onnx__model_proto__init);
    Onnx__GraphProto *graph = ES_BUILD_NEW(build, Onnx__GraphProto, onnx__graph_proto__init);
    if (build->model == NULL || graph == NULL)
        return NULL;
    build->model->has_ir_version = 1;
    build->model->ir_version = ES_BUILD_IR_VERSION;
    build->model->producer_name = es_build_text(build, "estran");
    build->model->graph = graph;
    graph->name = es_build_text(build, name);
    build->name = graph->name;
    es_model_build_domain(build, "", opset);
    return build->status == ES_OK ? build : NULL;
}

void es_model_build_domain(es_model_build *build, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *opset =
        ES_BUILD_NEW(build, Onnx__OperatorSetIdProto, onnx__operator_set_id_proto__init);
    if (opset == NULL)
        return;
    opset->domain = es_build_text(build, domain);
    opset->has_version = 1;
    opset->version = version;
    for (size_t i = 0; build->edits && i < build->opsets.count; i++) {
        if (strcmp(es_domain(build->opsets.items[i]->domain), es_domain(domain)) == 0) {
            build->opsets.items[i] = opset;
            return;
        }
    }
    ES_BUILD_PUSH(build, &build->opsets, opset);
}

static Onnx__ValueInfoProto *declare(es_model_build *build, const char *name, es_model_type type,
                                     size_t rank, const int64_t *dims, const char *const *symbols)
{
    if (build->status != ES_OK)
        return NULL;
    if (rank > ES_RANK_MAX) {
        es_build_keep(build,
                      es_fail(&build->error, ES_ERR_ARG, "'%s': rank %zu, at most %d is supported",
                              name, rank, ES_RANK_MAX));
        return NULL;
    }
    es_symbols known = {0};
    es_dim shape[ES_RANK_MAX];
    for (size_t i = 0; dims != NULL && i < rank; i++) {
        shape[i] = dims[i] >= 0 ? es_dim_of(dims[i]) : es_dim_unknown();
        if (dims[i] < 0 && symbols != NULL && symbols[i] != NULL) {
            es_build_keep(build, ES_ARRAY_PUSH(build->arena, &known.names, symbols[i], "model",
                                               &build->error));
            shape[i].symbol = (int32_t)known.names.count;
        }
    }
    es_fact fact = {.kind = ES_MODEL_KIND_TENSOR,
                    .type = (int32_t)type,
                    .rank = dims != NULL ? (int32_t)rank : -1,
                    .dims = shape};
    Onnx__ValueInfoProto *info = NULL;
    es_build_keep(build, es_value_info_of(build->arena, &known, name, &fact, &info, &build->error));
    return build->status == ES_OK ? info : NULL;
}

/* In a build made from a model, a declaration of the same name is replaced. */
static void put_info(es_model_build *build, es_build_infos *infos, Onnx__ValueInfoProto *info)
{
    if (info == NULL)
        return;
    es_build_take_name(build, info->name);
    for (size_t i = 0; build->edits && i < infos->count; i++) {
        if (strcmp(infos->items[i]->name, info->name) == 0) {
            infos->items[i] = info;
            return;
        }
    }
    ES_BUILD_PUSH(build, infos, info);
}

void es_model_build_input(es_model_build *build, const char *name, es_model_type type, size_t rank,
                          const int64_t *dims, const char *const *symbols)
{
    put_info(build, &build->inputs, declare(build, name, type, rank, dims, symbols));
}

void es_model_build_output(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const char *const *symbols)
{
    put_info(build, &build->outputs, declare(build, name, type, rank, dims, symbols));
}

static Onnx__TensorProto *tensor(es_model_build *build, const char *name, es_model_type type,
                                 size_t rank, const int64_t *dims, const void *data, size_t size)
{
    Onnx__TensorProto *made = NULL;
    if (build->status == ES_OK)
        es_build_keep(build, es_tensor_of(build->arena, name, (int32_t)type, rank, dims, data, size,
                                          &made, &build->error));
    return build->status == ES_OK ? made : NULL;
}

void es_model_build_weight(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const void *data, size_t size)
{
    Onnx__TensorProto *made = tensor(build, name, type, rank, dims, data, size);
    if (made == NULL)
        return;
    es_build_take_name(build, name);
    for (size_t i = 0; build->edits && i < build->weights.count; i++) {
        if (strcmp(build->weights.items[i]->name, name) == 0) {
            build->weights.items[i] = made;
            return;
        }
    }
    ES_BUILD_PUSH(build, &build->weights, made);
}

static char **copy_names(es_model_build *build, const char *const *names, size_t *out_count)
{
    size_t count = 0;
    while (names[count] != NULL && count < BUILD_TEXTS_MAX)
        count++;
    char **copy = ES_TAKE_ARRAY(build->arena, char *, count);
    if (copy == NULL)
        es_build_full(build);
    for (size_t i = 0; copy != NULL && i < count; i++)
        copy[i] = es_build_text(build, names[i]);
    *out_count = count;
    return copy;
}

void es_model_build_node(es_model_build *build, const char *op, const char *domain,
                         const char *name, const char *const *inputs, const char *const *outputs)
{
    Onnx__NodeProto *node = ES_BUILD_NEW(build, Onnx__NodeProto, onnx__node_proto__init);
    if (node == NULL)
        return;
    node->op_type = es_build_text(build, op);
    node->domain = domain != NULL ? es_build_text(build, domain) : NULL;
    node->name = es_build_text(build, name);
    node->input = copy_names(build, inputs, &node->n_input);
    node->output = copy_names(build, outputs, &node->n_output);
    for (size_t i = 0; i < node->n_output && build->status == ES_OK; i++)
        es_build_take_name(build, node->output[i]);
    build->chosen = build->nodes.count;
    if (build->status == ES_OK)
        ES_BUILD_PUSH(build, &build->nodes, ((es_build_node){.proto = node, .own = true}));
}

/* A new attribute of the chosen node, in place of one of the same name. */
static Onnx__AttributeProto *attribute(es_model_build *build, const char *name,
                                       Onnx__AttributeProto__AttributeType type)
{
    if (build->status == ES_OK && build->chosen >= build->nodes.count)
        es_build_keep(build,
                      es_fail(&build->error, ES_ERR_ARG, "attribute '%s' before any node", name));
    Onnx__NodeProto *node = es_build_own_node(build, build->chosen);
    Onnx__AttributeProto *made =
        ES_BUILD_NEW(build, Onnx__AttributeProto, onnx__attribute_proto__init);
    if (node == NULL || made == NULL)
        return NULL;
    made->name = es_build_text(build, name);
    made->has_type = 1;
    made->type = type;
    size_t at = 0;
    while (at < node->n_attribute && strcmp(es_text_of(node->attribute[at]->name), name) != 0)
        at++;
    size_t count = at < node->n_attribute ? node->n_attribute : at + 1;
    Onnx__AttributeProto **all = ES_TAKE_ARRAY(build->arena, Onnx__AttributeProto *, count);
    if (all == NULL || made->name == NULL) {
        es_build_full(build);
        return NULL;
    }
    if (node->n_attribute > 0) /* the array may be shared with the model it came from */
        memcpy(all, node->attribute, node->n_attribute * sizeof(Onnx__AttributeProto *));
    all[at] = made;
    node->attribute = all;
    node->n_attribute = count;
    return made;
}

void es_model_build_int(es_model_build *build, const char *name, int64_t value)
{
    Onnx__AttributeProto *made = attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (made == NULL)
        return;
    made->has_i = 1;
    made->i = value;
}

void es_model_build_float(es_model_build *build, const char *name, float value)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (made == NULL)
        return;
    made->has_f = 1;
    made->f = value;
}

void es_model_build_text(es_model_build *build, const char *name, const char *value)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    char *copy = made != NULL ? es_build_text(build, value) : NULL;
    if (copy == NULL)
        return;
    made->has_s = 1;
    made->s.len = strlen(copy);
    made->s.data = (uint8_t *)copy;
}

void es_model_build_texts(es_model_build *build, const char *name, const char *const *values,
                          size_t count)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
    ProtobufCBinaryData *texts =
        made != NULL ? ES_TAKE_ARRAY(build->arena, ProtobufCBinaryData, count) : NULL;
    if (made != NULL && texts == NULL)
        es_build_full(build);
    for (size_t i = 0; texts != NULL && i < count; i++) {
        char *copy = es_build_text(build, values[i]);
        if (copy == NULL)
            return;
        texts[i] = (ProtobufCBinaryData){.len = strlen(copy), .data = (uint8_t *)copy};
    }
    if (texts == NULL)
        return;
    made->n_strings = count;
    made->strings = texts;
}

void es_model_build_ints(es_model_build *build, const char *name, const int64_t *values,
                         size_t count)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = made != NULL ? ES_TAKE_ARRAY(build->arena, int64_t, count) : NULL;
    if (made != NULL && copy == NULL)
        es_build_full(build);
    if (copy == NULL)
        return;
    if (count > 0)
        memcpy(copy, values, count * sizeof *values);
    made->n_ints = count;
    made->ints = copy;
}

void es_model_build_floats(es_model_build *build, const char *name, const float *values,
                           size_t count)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
    float *copy = made != NULL ? ES_TAKE_ARRAY(build->arena, float, count) : NULL;
    if (made != NULL && copy == NULL)
        es_build_full(build);
    if (copy == NULL)
        return;
    if (count > 0)
        memcpy(copy, values, count * sizeof *values);
    made->n_floats = count;
    made->floats = copy;
}

void es_model_build_tensor(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const void *data, size_t size)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
    if (made != NULL)
        made->t = tensor(build, NULL, type, rank, dims, data, size);
}

/* The nodes that were not dropped. */
static es_status put_nodes(es_model_build *build, Onnx__GraphProto *graph, es_error *err)
{
    graph->node = ES_TAKE_ARRAY(build->arena, Onnx__NodeProto *, build->nodes.count);
    graph->n_node = 0;
    if (graph->node == NULL)
        return es_arena_full(build->arena, "nodes", err);
    for (size_t i = 0; i < build->nodes.count; i++) {
        if (!build->nodes.items[i].dropped)
            graph->node[graph->n_node++] = build->nodes.items[i].proto;
    }
    return ES_OK;
}

static es_status finish(es_model_build *build, const char *name, const es_model **out_model,
                        es_error *err)
{
    if (build->status != ES_OK) {
        if (err != NULL)
            *err = build->error;
        return build->status;
    }
    if (build->edits)
        ES_TRY(es_build_drop_unused(build, err));
    Onnx__ModelProto *model = build->model;
    model->n_opset_import = build->opsets.count;
    model->opset_import = build->opsets.items;
    Onnx__GraphProto *graph = model->graph;
    ES_TRY(put_nodes(build, graph, err));
    graph->n_initializer = build->weights.count;
    graph->initializer = build->weights.items;
    graph->n_input = build->inputs.count;
    graph->input = build->inputs.items;
    graph->n_output = build->outputs.count;
    graph->output = build->outputs.items;
    return es_model_of(build->arena, name, model, out_model, err);
}

es_status es_model_build_finish(es_model_build *build, const es_model **out_model, es_error *err)
{
    const char *name = build->name;
    return es_within(err, finish(build, name, out_model, err), "model '%s'", name);
}
