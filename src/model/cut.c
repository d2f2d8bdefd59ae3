/*
 * Cutting: for each segment, what its outputs need, walking backwards until the tensor that comes
 * in; weights and constant nodes go to every segment that needs them.
 */
#include "base/file.h"
#include "base/text.h"
#include "model/internal.h"

#include <assert.h>
#include <stdio.h>

typedef struct cutter {
    es_arena *arena;
    const es_model *model;
    const es_flow *flow;
    uint32_t *needed; /* by value: number of the segment that needs it, from 1 */
    bool *taken;      /* by node, for the segment at hand */
} cutter;

typedef struct segment {
    uint32_t number; /* from 1 */
    uint32_t input;  /* value that comes in, or ES_NO_VALUE */
    uint32_t output; /* value that goes out, or ES_NO_VALUE for the outputs of the model */
} segment;

/* ---- messages ---- */

es_status es_tensor_of(es_arena *arena, const char *name, int32_t type, size_t rank,
                       const int64_t *dims, const void *data, size_t size, Onnx__TensorProto **out,
                       es_error *err)
{
    Onnx__TensorProto *tensor = ES_TAKE_ONE(arena, Onnx__TensorProto);
    int64_t *own_dims = ES_TAKE_ARRAY(arena, int64_t, rank);
    uint8_t *bytes = es_arena_take(arena, size, 1);
    char *own_name = name != NULL ? es_arena_text(arena, name) : NULL;
    if (tensor == NULL || own_dims == NULL || bytes == NULL || (name != NULL && own_name == NULL))
        return es_arena_full(arena, "tensor", err);
    onnx__tensor_proto__init(tensor);
    if (rank > 0)
        memcpy(own_dims, dims, rank * sizeof *dims);
    if (size > 0)
        memcpy(bytes, data, size);
    tensor->name = own_name;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->n_dims = rank;
    tensor->dims = own_dims;
    tensor->has_raw_data = 1;
    tensor->raw_data = (ProtobufCBinaryData){.len = size, .data = bytes};
    *out = tensor;
    return ES_OK;
}

static es_status shape_of(es_arena *arena, const es_symbols *symbols, const es_fact *fact,
                          Onnx__TensorShapeProto **out, es_error *err)
{
    Onnx__TensorShapeProto *shape = ES_TAKE_ONE(arena, Onnx__TensorShapeProto);
    size_t rank = (size_t)fact->rank;
    Onnx__TensorShapeProto__Dimension **dims =
        ES_TAKE_ARRAY(arena, Onnx__TensorShapeProto__Dimension *, rank);
    Onnx__TensorShapeProto__Dimension *all =
        ES_TAKE_ARRAY(arena, Onnx__TensorShapeProto__Dimension, rank);
    if (shape == NULL || dims == NULL || all == NULL)
        return es_arena_full(arena, "shape", err);
    onnx__tensor_shape_proto__init(shape);
    for (size_t i = 0; i < rank; i++) {
        es_dim dim = fact->dims[i];
        onnx__tensor_shape_proto__dimension__init(&all[i]);
        const char *symbol = NULL;
        if (dim.symbol > 0 && (size_t)dim.symbol <= symbols->names.count)
            symbol = symbols->names.items[dim.symbol - 1];
        if (es_dim_known(dim)) {
            all[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            all[i].dim_value = dim.v;
        } else if (symbol != NULL) {
            all[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            all[i].dim_param = es_arena_text(arena, symbol);
            if (all[i].dim_param == NULL)
                return es_arena_full(arena, "shape", err);
        }
        dims[i] = &all[i];
    }
    shape->n_dim = rank;
    shape->dim = dims;
    *out = shape;
    return ES_OK;
}

es_status es_value_info_of(es_arena *arena, const es_symbols *symbols, const char *name,
                           const es_fact *fact, Onnx__ValueInfoProto **out, es_error *err)
{
    Onnx__ValueInfoProto *info = ES_TAKE_ONE(arena, Onnx__ValueInfoProto);
    Onnx__TypeProto *type = ES_TAKE_ONE(arena, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *tensor = ES_TAKE_ONE(arena, Onnx__TypeProto__Tensor);
    char *own_name = es_arena_text(arena, name);
    if (info == NULL || type == NULL || tensor == NULL || own_name == NULL)
        return es_arena_full(arena, "declaration", err);
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    tensor->has_elem_type = 1;
    tensor->elem_type = fact->type;
    if (fact->rank >= 0)
        ES_TRY(shape_of(arena, symbols, fact, &tensor->shape, err));
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->name = own_name;
    info->type = type;
    *out = info;
    return ES_OK;
}

/* The known numbers of a value as an initializer. */
static es_status numbers_of(const cutter *c, uint32_t value, Onnx__TensorProto **out, es_error *err)
{
    const es_fact *fact = &c->flow->infer->facts[value];
    size_t width = es_model_type_bits((es_model_type)fact->type) / 8;
    uint8_t *bytes = es_arena_take(c->arena, fact->data_count, width);
    int64_t dims[ES_RANK_MAX];
    if (bytes == NULL)
        return es_arena_full(c->arena, "constant", err);
    for (size_t i = 0; i < fact->data_count; i++) {
        for (size_t k = 0; k < width; k++)
            bytes[i * width + k] = (uint8_t)((uint64_t)fact->data[i].i >> (8 * k));
    }
    for (int32_t i = 0; i < fact->rank; i++)
        dims[i] = fact->dims[i].v;
    return es_tensor_of(c->arena, c->model->graph->values.items[value].name, fact->type,
                        (size_t)fact->rank, dims, bytes, fact->data_count * width, out, err);
}

/* ---- what a segment needs ---- */

static uint32_t used_at(const es_gnode *node, uint32_t k)
{
    return k < node->input_count ? node->inputs[k] : node->captured[k - node->input_count];
}

/* A node is taken when it is constant, or runs, and one of its outputs is needed. What is known as
 * numbers is written down instead, so its node is not taken. */
static void find_needed(cutter *c, const segment *s)
{
    const es_graph *graph = c->model->graph;
    if (s->output != ES_NO_VALUE) {
        c->needed[s->output] = s->number;
    } else {
        for (size_t i = 0; i < graph->output_count; i++)
            c->needed[graph->outputs[i]] = s->number;
    }
    memset(c->taken, 0, graph->node_count * sizeof *c->taken);
    for (size_t i = graph->node_count; i-- > 0;) {
        const es_gnode *node = &graph->nodes[i];
        if (c->flow->fixed[i] && !node->constant)
            continue;
        for (uint32_t k = 0; k < node->output_count; k++) {
            uint32_t v = node->outputs[k];
            c->taken[i] =
                c->taken[i] || (v != ES_NO_VALUE && v != s->input && c->needed[v] == s->number);
        }
        for (uint32_t k = 0; c->taken[i] && k < node->input_count + node->captured_count; k++) {
            uint32_t v = used_at(node, k);
            if (v != ES_NO_VALUE)
                c->needed[v] = s->number;
        }
    }
}

typedef struct parts {
    ES_ARRAY(Onnx__NodeProto *) nodes;
    ES_ARRAY(Onnx__TensorProto *) weights;
    ES_ARRAY(Onnx__SparseTensorProto *) sparse;
    ES_ARRAY(Onnx__ValueInfoProto *) inputs;
    ES_ARRAY(Onnx__ValueInfoProto *) outputs;
    ES_ARRAY(Onnx__ValueInfoProto *) infos;
    ES_ARRAY(Onnx__TensorAnnotation *) annotations;
} parts;

static bool is_needed(const cutter *c, const segment *s, const char *name)
{
    uint32_t v = name != NULL ? es_names_find(&c->model->graph->names, name) : ES_NO_VALUE;
    return v != ES_NO_VALUE && c->needed[v] == s->number;
}

static es_status collect_nodes(cutter *c, const segment *s, parts *p, es_error *err)
{
    const es_graph *graph = c->model->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        const es_gnode *node = &graph->nodes[i];
        if (c->taken[i])
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->nodes, node->proto, "nodes", err));
        for (uint32_t k = 0; k < node->output_count; k++) {
            uint32_t v = node->outputs[k];
            bool known = c->flow->fixed[i] && !node->constant;
            if (!known || v == ES_NO_VALUE || c->needed[v] != s->number)
                continue;
            Onnx__TensorProto *tensor = NULL;
            ES_TRY(numbers_of(c, v, &tensor, err));
            assert(tensor != NULL);
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->weights, tensor, "initializers", err));
            if (c->model->proto->ir_version >= 4)
                continue;
            Onnx__ValueInfoProto *info = NULL; /* the old form lists initializers as inputs */
            ES_TRY(es_value_info_of(c->arena, c->flow->infer->symbols, tensor->name,
                                    &c->flow->infer->facts[v], &info, err));
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->inputs, info, "inputs", err));
        }
    }
    return ES_OK;
}

static es_status collect_weights(cutter *c, const segment *s, parts *p, es_error *err)
{
    const Onnx__GraphProto *proto = c->model->graph->proto;
    for (size_t i = 0; i < proto->n_initializer; i++) {
        if (is_needed(c, s, proto->initializer[i]->name))
            ES_TRY(
                ES_ARRAY_PUSH(c->arena, &p->weights, proto->initializer[i], "initializers", err));
    }
    for (size_t i = 0; i < proto->n_sparse_initializer; i++) {
        if (is_needed(c, s, proto->sparse_initializer[i]->values->name))
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->sparse, proto->sparse_initializer[i], "initializers",
                                 err));
    }
    for (size_t i = 0; i < proto->n_quantization_annotation; i++) {
        if (is_needed(c, s, proto->quantization_annotation[i]->tensor_name))
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->annotations, proto->quantization_annotation[i],
                                 "annotations", err));
    }
    return ES_OK;
}

static es_status boundary(cutter *c, uint32_t value, Onnx__ValueInfoProto **out, es_error *err)
{
    const es_fact *fact = &c->flow->infer->facts[value];
    const char *name = c->model->graph->values.items[value].name;
    if (fact->kind != ES_MODEL_KIND_TENSOR || fact->type == ES_MODEL_UNDEFINED)
        return es_fail(err, ES_ERR_UNSUPPORTED, "cannot cut at '%s': its element type is not known",
                       name);
    return es_value_info_of(c->arena, c->flow->infer->symbols, name, fact, out, err);
}

/* Segment 0 keeps all inputs of the model; weights listed as inputs stay listed. */
static es_status collect_declared(cutter *c, const segment *s, parts *p, es_error *err)
{
    const es_graph *graph = c->model->graph;
    const Onnx__GraphProto *proto = graph->proto;
    Onnx__ValueInfoProto *info = NULL;
    if (s->input != ES_NO_VALUE) {
        ES_TRY(boundary(c, s->input, &info, err));
        ES_TRY(ES_ARRAY_PUSH(c->arena, &p->inputs, info, "inputs", err));
    }
    for (size_t i = 0; i < proto->n_input; i++) {
        uint32_t v = es_names_find(&graph->names, proto->input[i]->name);
        bool real = graph->values.items[v].source == ES_VALUE_INPUT;
        if (real ? s->input == ES_NO_VALUE : c->needed[v] == s->number)
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->inputs, proto->input[i], "inputs", err));
    }
    if (s->output != ES_NO_VALUE) {
        ES_TRY(boundary(c, s->output, &info, err));
        ES_TRY(ES_ARRAY_PUSH(c->arena, &p->outputs, info, "outputs", err));
    }
    for (size_t i = 0; i < proto->n_output && s->output == ES_NO_VALUE; i++)
        ES_TRY(ES_ARRAY_PUSH(c->arena, &p->outputs, proto->output[i], "outputs", err));
    for (size_t i = 0; i < proto->n_value_info; i++) {
        const char *name = proto->value_info[i]->name;
        uint32_t v = name != NULL ? es_names_find(&graph->names, name) : ES_NO_VALUE;
        if (v != ES_NO_VALUE && c->needed[v] == s->number && v != s->input && v != s->output)
            ES_TRY(ES_ARRAY_PUSH(c->arena, &p->infos, proto->value_info[i], "value_info", err));
    }
    return ES_OK;
}

static es_status segment_of(cutter *c, const segment *s, const es_model **out, es_error *err)
{
    find_needed(c, s);
    parts p = {0};
    ES_TRY(collect_declared(c, s, &p, err));
    ES_TRY(collect_weights(c, s, &p, err));
    ES_TRY(collect_nodes(c, s, &p, err));
    Onnx__ModelProto *model = ES_TAKE_ONE(c->arena, Onnx__ModelProto);
    Onnx__GraphProto *graph = ES_TAKE_ONE(c->arena, Onnx__GraphProto);
    if (model == NULL || graph == NULL)
        return es_arena_full(c->arena, "segment", err);
    *model = *c->model->proto;
    *graph = *c->model->graph->proto;
    model->graph = graph;
    model->n_training_info = 0; /* speaks of the whole graph */
    graph->n_node = p.nodes.count;
    graph->node = p.nodes.items;
    graph->n_initializer = p.weights.count;
    graph->initializer = p.weights.items;
    graph->n_sparse_initializer = p.sparse.count;
    graph->sparse_initializer = p.sparse.items;
    graph->n_input = p.inputs.count;
    graph->input = p.inputs.items;
    graph->n_output = p.outputs.count;
    graph->output = p.outputs.items;
    graph->n_value_info = p.infos.count;
    graph->value_info = p.infos.items;
    graph->n_quantization_annotation = p.annotations.count;
    graph->quantization_annotation = p.annotations.items;
    char *name = es_arena_format(c->arena, "%s.seg%u", c->model->name, (unsigned)s->number - 1);
    if (name == NULL)
        return es_arena_full(c->arena, "segment", err);
    return es_within(err, es_model_of(c->arena, name, model, out, err), "segment %u",
                     (unsigned)s->number - 1);
}

/* ---- which tensors ---- */

static es_status not_a_cut(es_arena *arena, const es_flow *flow, const char *name, es_error *err)
{
    const es_graph *graph = flow->model->graph;
    const char *why =
        es_names_find(&graph->names, name) == ES_NO_VALUE ? "is no tensor" : "is no cut point";
    const char **names = ES_TAKE_ARRAY(arena, const char *, flow->cut_count);
    if (names == NULL)
        return es_arena_full(arena, "names", err);
    for (size_t i = 0; i < flow->cut_count; i++)
        names[i] = graph->values.items[flow->cut_values[i]].name;
    const char *near = es_text_nearest(name, names, flow->cut_count);
    if (near != NULL)
        return es_fail(err, ES_ERR_ARG, "'%s' %s of the model; did you mean '%s'?", name, why,
                       near);
    return es_fail(err, ES_ERR_ARG, "'%s' %s of the model, which has %zu cut points", name, why,
                   flow->cut_count);
}

/* Places among the cut points, in order, of the names given in any order. */
static es_status places_of(es_arena *arena, const es_flow *flow, const char *const *tensors,
                           size_t count, uint32_t *out_values, es_error *err)
{
    const es_graph *graph = flow->model->graph;
    bool *chosen = ES_TAKE_ARRAY(arena, bool, graph->values.count);
    bool *cuttable = ES_TAKE_ARRAY(arena, bool, graph->values.count);
    if (chosen == NULL || cuttable == NULL)
        return es_arena_full(arena, "cut", err);
    for (size_t i = 0; i < flow->cut_count; i++)
        cuttable[flow->cut_values[i]] = true;
    for (size_t i = 0; i < count; i++) {
        uint32_t v = es_names_find(&graph->names, tensors[i]);
        if (v == ES_NO_VALUE || !cuttable[v])
            return not_a_cut(arena, flow, tensors[i], err);
        if (chosen[v])
            return es_fail(err, ES_ERR_ARG, "'%s' is given twice", tensors[i]);
        chosen[v] = true;
    }
    size_t at = 0;
    for (size_t i = 0; i < flow->cut_count; i++) {
        if (chosen[flow->cut_values[i]])
            out_values[at++] = flow->cut_values[i];
    }
    return ES_OK;
}

static es_status cut(es_arena *arena, const es_model *model, const char *const *tensors,
                     size_t count, const es_model *const **out_segments, es_error *err)
{
    es_flow flow;
    ES_TRY(es_flow_make(arena, model, &flow, err));
    const es_graph *graph = model->graph;
    cutter c = {.arena = arena, .model = model, .flow = &flow};
    uint32_t *values = ES_TAKE_ARRAY(arena, uint32_t, count);
    const es_model **segments = ES_TAKE_ARRAY(arena, const es_model *, count + 1);
    c.needed = ES_TAKE_ARRAY(arena, uint32_t, graph->values.count);
    c.taken = ES_TAKE_ARRAY(arena, bool, graph->node_count);
    if (values == NULL || segments == NULL || c.needed == NULL || c.taken == NULL)
        return es_arena_full(arena, "segments", err);
    ES_TRY(places_of(arena, &flow, tensors, count, values, err));
    for (size_t k = 0; k <= count; k++) {
        segment s = {.number = (uint32_t)k + 1,
                     .input = k > 0 ? values[k - 1] : ES_NO_VALUE,
                     .output = k < count ? values[k] : ES_NO_VALUE};
        ES_TRY(segment_of(&c, &s, &segments[k], err));
    }
    *out_segments = segments;
    return ES_OK;
}

es_status es_model_cut(es_arena *arena, const es_model *model, const char *const *tensors,
                       size_t count, const es_model *const **out_segments, es_error *err)
{
    return es_within(err, cut(arena, model, tensors, count, out_segments, err), "model '%s'",
                     model->name);
}

es_status es_model_write_segments(es_arena *arena, const es_model *const *segments, size_t count,
                                  const char *stem, const char *const **out_paths, es_error *err)
{
    const char **paths = ES_TAKE_ARRAY(arena, const char *, count);
    if (paths == NULL)
        return es_arena_full(arena, "paths", err);
    es_status status = ES_OK;
    size_t written = 0;
    for (; written < count && status == ES_OK; written++) {
        paths[written] = es_arena_format(arena, "%s.seg%zu.onnx", stem, written);
        if (paths[written] == NULL)
            status = es_arena_full(arena, "paths", err);
        else
            status = es_model_write(arena, segments[written], paths[written], err);
    }
    if (status != ES_OK) {
        for (size_t i = 0; i + 1 < written; i++)
            (void)remove(paths[i]); /* the first failure is what the caller hears of */
        return status;
    }
    if (out_paths != NULL)
        *out_paths = paths;
    return ES_OK;
}
