#include "tiny_onnx.h"

#include "base/file.h"
#include "base/rng.h"

#include <string.h>

/* Field numbers of onnx.proto. */
enum {
    MODEL_IR_VERSION = 1,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    OPSET_VERSION = 2,
    GRAPH_NODE = 1,
    GRAPH_NAME = 2,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_OP = 4,
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    F32 = 1,
    SIZE_MAX_BYTES = 16 << 20
};

static void varint(es_text *out, uint64_t value)
{
    while (value >= 0x80) {
        char byte = (char)(value | 0x80);
        es_text_append_n(out, &byte, 1);
        value >>= 7;
    }
    char last = (char)value;
    es_text_append_n(out, &last, 1);
}

static void number(es_text *out, uint32_t field, uint64_t value)
{
    varint(out, (uint64_t)field << 3);
    varint(out, value);
}

static void bytes(es_text *out, uint32_t field, const char *data, size_t size)
{
    varint(out, (uint64_t)field << 3 | 2);
    varint(out, size);
    es_text_append_n(out, data, size);
}

static void words(es_text *out, uint32_t field, const char *text)
{
    bytes(out, field, text, strlen(text));
}

/* Appends part as a message and frees it. */
static void message(es_text *out, uint32_t field, es_text *part)
{
    bytes(out, field, es_text_get(part), part->size);
    es_text_done(part);
}

void tiny_begin(tiny_model *model)
{
    es_text_init(&model->graph, SIZE_MAX_BYTES);
    words(&model->graph, GRAPH_NAME, "tiny");
}

static void port(tiny_model *model, uint32_t field, const char *name, int64_t width)
{
    es_text value, type, tensor, shape, dim;
    es_text_init(&value, SIZE_MAX_BYTES);
    es_text_init(&type, SIZE_MAX_BYTES);
    es_text_init(&tensor, SIZE_MAX_BYTES);
    es_text_init(&shape, SIZE_MAX_BYTES);
    int64_t dims[2] = {1, width};
    for (size_t i = 0; i < 2; i++) {
        es_text_init(&dim, SIZE_MAX_BYTES);
        number(&dim, 1, (uint64_t)dims[i]);
        message(&shape, 1, &dim);
    }
    number(&tensor, 1, F32);
    message(&tensor, 2, &shape);
    message(&type, 1, &tensor);
    words(&value, 1, name);
    message(&value, 2, &type);
    message(&model->graph, field, &value);
}

void tiny_input(tiny_model *model, const char *name, int64_t width)
{
    port(model, GRAPH_INPUT, name, width);
}

void tiny_output(tiny_model *model, const char *name, int64_t width)
{
    port(model, GRAPH_OUTPUT, name, width);
}

void tiny_op(tiny_model *model, const char *op, const char *from, const char *from2, const char *to)
{
    es_text node;
    es_text_init(&node, SIZE_MAX_BYTES);
    words(&node, NODE_INPUT, from);
    if (from2 != NULL)
        words(&node, NODE_INPUT, from2);
    words(&node, NODE_OUTPUT, to);
    words(&node, NODE_OP, op);
    message(&model->graph, GRAPH_NODE, &node);
}

static void weights(tiny_model *model, const char *name, int64_t rows, int64_t columns,
                    uint64_t seed)
{
    es_text tensor, raw;
    es_rng rng = es_rng_make(seed, 0);
    es_text_init(&tensor, SIZE_MAX_BYTES);
    es_text_init(&raw, SIZE_MAX_BYTES);
    for (int64_t i = 0; i < rows * columns; i++) {
        float value = (float)(es_rng_normal(&rng) * 0.5);
        es_text_append_n(&raw, (const char *)&value, sizeof value);
    }
    number(&tensor, TENSOR_DIMS, (uint64_t)rows);
    number(&tensor, TENSOR_DIMS, (uint64_t)columns);
    number(&tensor, TENSOR_TYPE, F32);
    words(&tensor, TENSOR_NAME, name);
    message(&tensor, TENSOR_RAW, &raw);
    message(&model->graph, GRAPH_INITIALIZER, &tensor);
}

void tiny_dense(tiny_model *model, const char *from, const char *to, int64_t rows, int64_t columns,
                uint64_t seed)
{
    char matrix[64], bias[64], product[64];
    (void)snprintf(matrix, sizeof matrix, "%s.matrix", to);
    (void)snprintf(bias, sizeof bias, "%s.bias", to);
    (void)snprintf(product, sizeof product, "%s.product", to);
    weights(model, matrix, rows, columns, seed);
    weights(model, bias, 1, columns, seed + 1000);
    tiny_op(model, "MatMul", from, matrix, product);
    tiny_op(model, "Add", product, bias, to);
}

es_status tiny_write(tiny_model *model, const char *path, es_error *err)
{
    es_text whole, opset;
    es_text_init(&whole, SIZE_MAX_BYTES);
    es_text_init(&opset, SIZE_MAX_BYTES);
    number(&whole, MODEL_IR_VERSION, 8);
    number(&opset, OPSET_VERSION, 13);
    message(&whole, MODEL_OPSET, &opset);
    message(&whole, MODEL_GRAPH, &model->graph);
    es_status status = es_text_status(&whole, err);
    if (status == ES_OK)
        status = es_file_write(path, whole.bytes, whole.size, err);
    es_text_done(&whole);
    return status;
}
