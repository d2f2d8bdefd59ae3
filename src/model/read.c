/*
 * Nodes, attributes and constants as the file gives them.
 */
#include "base/half.h"
#include "model/internal.h"

#include <math.h>

/* ---- nodes ---- */

es_model_op es_model_op_at(const es_model *model, size_t index)
{
    const es_gnode *node = &model->graph->nodes[index];
    const Onnx__NodeProto *proto = node->proto;
    return (es_model_op){.name = es_text_of(proto->name),
                         .op = es_text_of(proto->op_type),
                         .domain = es_domain(proto->domain),
                         .input_count = proto->n_input,
                         .inputs = (const char *const *)proto->input,
                         .output_count = proto->n_output,
                         .outputs = (const char *const *)proto->output,
                         .captured_count = node->captured_count,
                         .captured = node->captured_names,
                         .subgraph_count = node->subgraph_count};
}

/* ---- attributes ---- */

static const Onnx__AttributeProto *attribute_of(const es_model *model, size_t node,
                                                const char *name)
{
    const Onnx__NodeProto *proto = model->graph->nodes[node].proto;
    for (size_t i = 0; i < proto->n_attribute; i++) {
        if (strcmp(es_text_of(proto->attribute[i]->name), name) == 0)
            return proto->attribute[i];
    }
    return NULL;
}

int64_t es_model_attr_int(const es_model *model, size_t node, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    return attribute != NULL && attribute->has_i ? attribute->i : fallback;
}

float es_model_attr_float(const es_model *model, size_t node, const char *name, float fallback)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    return attribute != NULL && attribute->has_f ? attribute->f : fallback;
}

/* The bytes end with a zero: load.c takes one more, build.c copies texts whole. */
const char *es_model_attr_text(const es_model *model, size_t node, const char *name,
                               const char *fallback)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    if (attribute == NULL || !attribute->has_s)
        return fallback;
    return attribute->s.len > 0 ? (const char *)attribute->s.data : "";
}

const char *es_model_attr_text_at(const es_model *model, size_t node, const char *name,
                                  size_t index)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    if (attribute == NULL || index >= attribute->n_strings)
        return NULL;
    const ProtobufCBinaryData *text = &attribute->strings[index];
    return text->len > 0 ? (const char *)text->data : "";
}

const int64_t *es_model_attr_ints(const es_model *model, size_t node, const char *name,
                                  size_t *out_count)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    *out_count = attribute != NULL ? attribute->n_ints : 0;
    return *out_count > 0 ? attribute->ints : NULL;
}

const float *es_model_attr_floats(const es_model *model, size_t node, const char *name,
                                  size_t *out_count)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    *out_count = attribute != NULL ? attribute->n_floats : 0;
    return *out_count > 0 ? attribute->floats : NULL;
}

bool es_model_attr_tensor(const es_model *model, size_t node, const char *name,
                          es_model_weight *out_weight)
{
    const Onnx__AttributeProto *attribute = attribute_of(model, node, name);
    if (attribute == NULL || attribute->t == NULL)
        return false;
    *out_weight = es_weight_of(attribute->t);
    return true;
}

/* ---- constants ---- */

es_model_weight es_weight_of(const Onnx__TensorProto *tensor)
{
    static const char *const no_symbols[ES_RANK_MAX] = {NULL};
    es_model_weight weight = {
        .tensor = {.name = es_text_of(tensor->name),
                   .kind = ES_MODEL_KIND_TENSOR,
                   .type = (es_model_type)tensor->data_type,
                   .rank = (int32_t)tensor->n_dims,
                   .dims = tensor->dims,
                   .symbols = no_symbols,
                   .elements = es_tensor_elements(tensor),
                   .bytes = tensor->data_type == ES_MODEL_STRING ? -1 : es_tensor_bytes(tensor)},
        .stored = tensor};
    if (tensor->has_raw_data && tensor->raw_data.len > 0) {
        weight.data = tensor->raw_data.data;
        weight.size = tensor->raw_data.len;
    }
    return weight;
}

size_t es_model_weight_count(const es_model *model)
{
    return model->graph->proto->n_initializer;
}

es_model_weight es_model_weight_at(const es_model *model, size_t index)
{
    return es_weight_of(model->graph->proto->initializer[index]);
}

bool es_model_constant(const es_model *model, const char *name, es_model_weight *out_weight)
{
    const es_graph *graph = model->graph;
    uint32_t number = es_names_find(&graph->names, name);
    if (number == ES_NO_VALUE)
        return false;
    const es_value *value = &graph->values.items[number];
    if (value->source == ES_VALUE_WEIGHT) {
        *out_weight = es_weight_of(value->tensor);
        return true;
    }
    if (value->source != ES_VALUE_NODE)
        return false;
    es_model_op op = es_model_op_at(model, value->node);
    return strcmp(op.op, "Constant") == 0 && strcmp(op.domain, "ai.onnx") == 0 &&
           es_model_attr_tensor(model, value->node, "value", out_weight);
}

/* An element as a number: real for floats, whole for integers (unsigned 64-bit ones as bits). */
typedef struct element {
    double real;
    int64_t whole;
} element;

static element whole_of(int64_t value)
{
    return (element){.whole = value};
}

static uint64_t bits_at(const uint8_t *bytes, size_t width, size_t index)
{
    uint64_t bits = 0;
    for (size_t k = 0; k < width; k++)
        bits |= (uint64_t)bytes[index * width + k] << (8 * k);
    return bits;
}

/* Bits as the type's: raw little-endian, or those of the typed fields' values. */
static element element_of(int32_t type, uint64_t bits)
{
    float single = 0;
    double twice = 0;
    uint32_t low = (uint32_t)bits;
    switch (type) {
    case ES_MODEL_FLOAT:
        memcpy(&single, &low, sizeof single);
        return (element){.real = (double)single};
    case ES_MODEL_DOUBLE:
        memcpy(&twice, &bits, sizeof twice);
        return (element){.real = twice};
    case ES_MODEL_FLOAT16:
        return (element){.real = (double)es_half_to_float((uint16_t)bits)};
    case ES_MODEL_BFLOAT16:
        return (element){.real = (double)es_bfloat_to_float((uint16_t)bits)};
    case ES_MODEL_INT8:
        return whole_of((int8_t)bits);
    case ES_MODEL_INT16:
        return whole_of((int16_t)bits);
    case ES_MODEL_INT32:
        return whole_of((int32_t)low);
    case ES_MODEL_BOOL:
        return whole_of((uint8_t)bits != 0);
    case ES_MODEL_UINT8:
        return whole_of((uint8_t)bits);
    case ES_MODEL_UINT16:
        return whole_of((uint16_t)bits);
    case ES_MODEL_UINT32:
        return whole_of((int64_t)low);
    default:
        return whole_of((int64_t)bits);
    }
}

static element element_at(const Onnx__TensorProto *tensor, size_t index)
{
    if (tensor->has_raw_data && tensor->raw_data.len > 0) {
        size_t width = es_model_type_bits((es_model_type)tensor->data_type) / 8;
        return element_of(tensor->data_type, bits_at(tensor->raw_data.data, width, index));
    }
    switch (tensor->data_type) {
    case ES_MODEL_FLOAT:
        return (element){.real = (double)tensor->float_data[index]};
    case ES_MODEL_DOUBLE:
        return (element){.real = tensor->double_data[index]};
    case ES_MODEL_INT64:
        return whole_of(tensor->int64_data[index]);
    case ES_MODEL_UINT32:
    case ES_MODEL_UINT64:
        return element_of(tensor->data_type, tensor->uint64_data[index]);
    default:
        return element_of(tensor->data_type, (uint64_t)(int64_t)tensor->int32_data[index]);
    }
}

/* From the element at once, as two roundings may differ from one. */
static float float_of(int32_t type, element e)
{
    if (es_type_is_float(type))
        return (float)e.real;
    return type == ES_MODEL_UINT64 ? (float)(uint64_t)e.whole : (float)e.whole;
}

static es_status refuse_type(const es_model_weight *weight, const char *as, es_error *err)
{
    return es_fail(err, ES_ERR_UNSUPPORTED, "tensor '%s' of %s cannot be read as %s",
                   weight->tensor.name, es_model_type_name(weight->tensor.type), as);
}

es_status es_model_floats(es_arena *arena, const es_model_weight *weight, const float **out_floats,
                          es_error *err)
{
    const Onnx__TensorProto *tensor = weight->stored;
    size_t count = (size_t)weight->tensor.elements;
    if (!es_type_is_float(tensor->data_type) && !es_type_is_int(tensor->data_type))
        return refuse_type(weight, "floats", err);
    if (tensor->data_type == ES_MODEL_FLOAT && weight->data != NULL &&
        (uintptr_t)weight->data % _Alignof(float) == 0) {
        *out_floats = weight->data; /* little endian, as this machine */
        return ES_OK;
    }
    float *floats = ES_TAKE_ARRAY(arena, float, count);
    if (floats == NULL)
        return es_arena_full(arena, "elements of a weight", err);
    for (size_t i = 0; i < count; i++)
        floats[i] = float_of(tensor->data_type, element_at(tensor, i));
    *out_floats = floats;
    return ES_OK;
}

es_status es_model_ints(es_arena *arena, const es_model_weight *weight, const int64_t **out_ints,
                        es_error *err)
{
    const Onnx__TensorProto *tensor = weight->stored;
    size_t count = (size_t)weight->tensor.elements;
    if (!es_type_is_int(tensor->data_type))
        return refuse_type(weight, "integers", err);
    int64_t *ints = ES_TAKE_ARRAY(arena, int64_t, count);
    if (ints == NULL)
        return es_arena_full(arena, "elements of a weight", err);
    for (size_t i = 0; i < count; i++)
        ints[i] = element_at(tensor, i).whole;
    *out_ints = ints;
    return ES_OK;
}
