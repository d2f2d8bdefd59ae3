/*
 * Making a graph by hand. Failures are remembered; the message arrays grow in the arena.
 */
#include "model/internal.h"

struct es_model_build {
    es_arena *arena;
    es_status status;
    es_error error;
    Onnx__ModelProto *model;
    ES_ARRAY(Onnx__OperatorSetIdProto *) opsets;
    ES_ARRAY(Onnx__NodeProto *) nodes;
    ES_ARRAY(Onnx__TensorProto *) weights;
    ES_ARRAY(Onnx__ValueInfoProto *) inputs;
    ES_ARRAY(Onnx__ValueInfoProto *) outputs;
    ES_ARRAY(Onnx__AttributeProto *) attributes; /* of the node added last */
};

enum { BUILD_IR_VERSION = 8, BUILD_TEXTS_MAX = 4096 };

static void keep(es_model_build *build, es_status status)
{
    if (build->status == ES_OK)
        build->status = status;
}

static void full(es_model_build *build)
{
    keep(build, es_arena_full(build->arena, "model", &build->error));
}

static char *text_of(es_model_build *build, const char *text)
{
    char *copy = es_arena_text(build->arena, text != NULL ? text : "");
    if (copy == NULL)
        full(build);
    return copy;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in them */
#define NEW(build, type, init)                                                                     \
    __extension__({                                                                                \
        type *new_ = (build)->status == ES_OK ? ES_TAKE_ONE((build)->arena, type) : NULL;          \
        if (new_ != NULL)                                                                          \
            (init)(new_);                                                                          \
        else if ((build)->status == ES_OK)                                                         \
            full(build);                                                                           \
        new_;                                                                                      \
    })
/* NOLINTEND(bugprone-macro-parentheses) */

#define PUSH(build, array, value)                                                                  \
    keep((build), ES_ARRAY_PUSH((build)->arena, (array), (value), "model", &(build)->error))

es_model_build *es_model_build_new(es_arena *arena, const char *name, int64_t opset)
{
    es_model_build *build = ES_TAKE_ONE(arena, es_model_build);
    if (build == NULL)
        return NULL;
    build->arena = arena;
    build->model = NEW(build, Onnx__ModelProto, onnx__model_proto__init);
    Onnx__GraphProto *graph = NEW(build, Onnx__GraphProto, onnx__graph_proto__init);
    if (build->model == NULL || graph == NULL)
        return NULL;
    build->model->has_ir_version = 1;
    build->model->ir_version = BUILD_IR_VERSION;
    build->model->producer_name = text_of(build, "estran");
    build->model->graph = graph;
    graph->name = text_of(build, name);
    es_model_build_domain(build, "", opset);
    return build->status == ES_OK ? build : NULL;
}

void es_model_build_domain(es_model_build *build, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *opset =
        NEW(build, Onnx__OperatorSetIdProto, onnx__operator_set_id_proto__init);
    if (opset == NULL)
        return;
    opset->domain = text_of(build, domain);
    opset->has_version = 1;
    opset->version = version;
    PUSH(build, &build->opsets, opset);
}

static Onnx__ValueInfoProto *declare(es_model_build *build, const char *name, es_model_type type,
                                     size_t rank, const int64_t *dims, const char *const *symbols)
{
    if (build->status != ES_OK)
        return NULL;
    if (rank > ES_RANK_MAX) {
        keep(build, es_fail(&build->error, ES_ERR_ARG, "'%s': rank %zu, at most %d is supported",
                            name, rank, ES_RANK_MAX));
        return NULL;
    }
    es_symbols known = {0};
    es_dim shape[ES_RANK_MAX];
    for (size_t i = 0; dims != NULL && i < rank; i++) {
        shape[i] = dims[i] >= 0 ? es_dim_of(dims[i]) : es_dim_unknown();
        if (dims[i] < 0 && symbols != NULL && symbols[i] != NULL) {
            keep(build,
                 ES_ARRAY_PUSH(build->arena, &known.names, symbols[i], "model", &build->error));
            shape[i].symbol = (int32_t)known.names.count;
        }
    }
    es_fact fact = {.kind = ES_MODEL_KIND_TENSOR,
                    .type = (int32_t)type,
                    .rank = dims != NULL ? (int32_t)rank : -1,
                    .dims = shape};
    Onnx__ValueInfoProto *info = NULL;
    keep(build, es_value_info_of(build->arena, &known, name, &fact, &info, &build->error));
    return build->status == ES_OK ? info : NULL;
}

void es_model_build_input(es_model_build *build, const char *name, es_model_type type, size_t rank,
                          const int64_t *dims, const char *const *symbols)
{
    Onnx__ValueInfoProto *info = declare(build, name, type, rank, dims, symbols);
    if (info != NULL)
        PUSH(build, &build->inputs, info);
}

void es_model_build_output(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const char *const *symbols)
{
    Onnx__ValueInfoProto *info = declare(build, name, type, rank, dims, symbols);
    if (info != NULL)
        PUSH(build, &build->outputs, info);
}

static Onnx__TensorProto *tensor(es_model_build *build, const char *name, es_model_type type,
                                 size_t rank, const int64_t *dims, const void *data, size_t size)
{
    Onnx__TensorProto *made = NULL;
    if (build->status == ES_OK)
        keep(build, es_tensor_of(build->arena, name, (int32_t)type, rank, dims, data, size, &made,
                                 &build->error));
    return build->status == ES_OK ? made : NULL;
}

void es_model_build_weight(es_model_build *build, const char *name, es_model_type type, size_t rank,
                           const int64_t *dims, const void *data, size_t size)
{
    Onnx__TensorProto *made = tensor(build, name, type, rank, dims, data, size);
    if (made != NULL)
        PUSH(build, &build->weights, made);
}

/* The attributes gathered so far go to the node they belong to. */
static void close_node(es_model_build *build)
{
    if (build->nodes.count > 0) {
        Onnx__NodeProto *node = build->nodes.items[build->nodes.count - 1];
        node->n_attribute = build->attributes.count;
        node->attribute = build->attributes.items;
    }
    build->attributes.items = NULL;
    build->attributes.count = build->attributes.capacity = 0;
}

static char **copy_names(es_model_build *build, const char *const *names, size_t *out_count)
{
    size_t count = 0;
    while (names[count] != NULL && count < BUILD_TEXTS_MAX)
        count++;
    char **copy = ES_TAKE_ARRAY(build->arena, char *, count);
    if (copy == NULL)
        full(build);
    for (size_t i = 0; copy != NULL && i < count; i++)
        copy[i] = text_of(build, names[i]);
    *out_count = count;
    return copy;
}

void es_model_build_node(es_model_build *build, const char *op, const char *domain,
                         const char *name, const char *const *inputs, const char *const *outputs)
{
    Onnx__NodeProto *node = NEW(build, Onnx__NodeProto, onnx__node_proto__init);
    if (node == NULL)
        return;
    close_node(build);
    node->op_type = text_of(build, op);
    node->domain = domain != NULL ? text_of(build, domain) : NULL;
    node->name = text_of(build, name);
    node->input = copy_names(build, inputs, &node->n_input);
    node->output = copy_names(build, outputs, &node->n_output);
    if (build->status == ES_OK)
        PUSH(build, &build->nodes, node);
}

static Onnx__AttributeProto *attribute(es_model_build *build, const char *name,
                                       Onnx__AttributeProto__AttributeType type)
{
    if (build->status == ES_OK && build->nodes.count == 0)
        keep(build, es_fail(&build->error, ES_ERR_ARG, "attribute '%s' before any node", name));
    Onnx__AttributeProto *made = NEW(build, Onnx__AttributeProto, onnx__attribute_proto__init);
    if (made == NULL)
        return NULL;
    made->name = text_of(build, name);
    made->has_type = 1;
    made->type = type;
    PUSH(build, &build->attributes, made);
    return build->status == ES_OK ? made : NULL;
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
    char *copy = made != NULL ? text_of(build, value) : NULL;
    if (copy == NULL)
        return;
    made->has_s = 1;
    made->s.len = strlen(copy);
    made->s.data = (uint8_t *)copy;
}

void es_model_build_ints(es_model_build *build, const char *name, const int64_t *values,
                         size_t count)
{
    Onnx__AttributeProto *made =
        attribute(build, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = made != NULL ? ES_TAKE_ARRAY(build->arena, int64_t, count) : NULL;
    if (made != NULL && copy == NULL)
        full(build);
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
        full(build);
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

es_status es_model_build_finish(es_model_build *build, const es_model **out_model, es_error *err)
{
    const char *name = build->model->graph->name;
    if (build->status != ES_OK) {
        if (err != NULL)
            *err = build->error;
        return es_within(err, build->status, "model '%s'", name != NULL ? name : "");
    }
    close_node(build);
    Onnx__ModelProto *model = build->model;
    model->n_opset_import = build->opsets.count;
    model->opset_import = build->opsets.items;
    Onnx__GraphProto *graph = model->graph;
    graph->n_node = build->nodes.count;
    graph->node = build->nodes.items;
    graph->n_initializer = build->weights.count;
    graph->initializer = build->weights.items;
    graph->n_input = build->inputs.count;
    graph->input = build->inputs.items;
    graph->n_output = build->outputs.count;
    graph->output = build->outputs.items;
    return es_within(err, es_model_of(build->arena, name, model, out_model, err), "model '%s'",
                     name);
}
