/*
 * Constants of the graph: stored ones, and those that exporters reshape or transpose once more.
 */
#include "nn/read.h"

enum { CHAIN_MAX = 8 };

int64_t es_nn_read_int(const es_nn_reader *r, const char *attr, int64_t fallback)
{
    return es_model_attr_int(r->model, r->node, attr, fallback);
}

float es_nn_read_float(const es_nn_reader *r, const char *attr, float fallback)
{
    return es_model_attr_float(r->model, r->node, attr, fallback);
}

/* Sets dims; false when there are too many, or one is not known. */
static bool set_dims(es_nn_constant *c, const es_model_tensor *tensor)
{
    if (tensor->rank < 0 || tensor->rank > ES_NN_VIEW_RANK_MAX || tensor->elements < 0)
        return false;
    c->rank = (size_t)tensor->rank;
    c->count = (size_t)tensor->elements;
    for (size_t i = 0; i < c->rank; i++)
        c->dims[i] = tensor->dims[i];
    return true;
}

size_t es_nn_read_maker(const es_nn_reader *r, const char *name)
{
    for (size_t i = 0; i < r->analysis->node_count; i++) {
        const es_model_node *node = &r->analysis->nodes[i];
        for (size_t k = 0; k < node->output_count; k++) {
            if (node->outputs[k] != NULL && strcmp(node->outputs[k]->name, name) == 0)
                return k == 0 ? i : SIZE_MAX;
        }
    }
    return SIZE_MAX;
}

static es_status transpose(es_nn_reader *r, size_t node, const es_model_tensor *to,
                           es_nn_constant *c, bool *done, es_error *err)
{
    size_t count = 0;
    const int64_t *perm = es_model_attr_ints(r->model, node, "perm", &count);
    es_nn_constant made = {0};
    if (!set_dims(&made, to) || made.rank != c->rank || made.count != c->count ||
        (count != 0 && count != c->rank))
        return ES_OK;
    size_t strides[ES_NN_VIEW_RANK_MAX]; /* in c, of the dimensions of made */
    for (size_t i = 0; i < c->rank; i++) {
        size_t from = count > 0 ? (size_t)perm[i] : c->rank - 1 - i;
        strides[i] = 1;
        if (from >= c->rank || c->dims[from] != made.dims[i])
            return ES_OK;
        for (size_t k = from + 1; k < c->rank; k++)
            strides[i] *= (size_t)c->dims[k];
    }
    float *values = ES_TAKE_ARRAY(r->arena, float, made.count);
    if (values == NULL)
        return es_arena_full(r->arena, "net", err);
    for (size_t i = 0; i < made.count; i++) {
        size_t rest = i;
        size_t at = 0;
        for (size_t k = c->rank; k-- > 0; rest /= (size_t)made.dims[k])
            at += rest % (size_t)made.dims[k] * strides[k];
        values[i] = c->values[at];
    }
    made.values = values;
    *c = made;
    *done = true;
    return ES_OK;
}

static bool only_renames(const char *op)
{
    static const char *const ops[] = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(op, ops[i]) == 0)
            return true;
    }
    return false;
}

es_status es_nn_read_constant(es_nn_reader *r, const char *name, es_nn_constant *out, bool *found,
                              es_error *err)
{
    size_t chain[CHAIN_MAX];
    size_t depth = 0;
    es_model_weight weight;
    *found = false;
    while (!es_model_constant(r->model, name, &weight)) {
        size_t node = es_nn_read_maker(r, name);
        if (node == SIZE_MAX || depth == CHAIN_MAX || !r->analysis->nodes[node].constant)
            return ES_OK;
        es_model_op op = es_model_op_at(r->model, node);
        if (op.input_count == 0 || (!only_renames(op.op) && strcmp(op.op, "Transpose") != 0))
            return ES_OK;
        chain[depth++] = node;
        name = op.inputs[0];
    }
    if (!set_dims(out, &weight.tensor))
        return ES_OK;
    ES_TRY(es_model_floats(r->arena, &weight, &out->values, err));
    while (depth-- > 0) {
        size_t node = chain[depth];
        const es_model_tensor *to = r->analysis->nodes[node].outputs[0];
        bool done = false;
        if (only_renames(es_model_op_at(r->model, node).op)) {
            size_t count = out->count;
            done = set_dims(out, to) && out->count == count;
        } else {
            ES_TRY(transpose(r, node, to, out, &done, err));
        }
        if (!done)
            return ES_OK;
    }
    *found = true;
    return ES_OK;
}

/* Codes and their scale make the value. */
static bool is_quantised(const es_nn_reader *r, const char *name)
{
    for (size_t i = 0; i < es_model_node_count(r->model); i++) {
        es_model_op op = es_model_op_at(r->model, i);
        if (strcmp(op.op, "DequantizeLinear") == 0 && strcmp(op.outputs[0], name) == 0)
            return true;
    }
    return false;
}

es_status es_nn_read_weights(es_nn_reader *r, size_t index, size_t rank, es_nn_constant *out,
                             es_error *err)
{
    bool found = false;
    if (!es_nn_read_has(r, index))
        return es_nn_read_fail(r, err, "input %zu is missing", index);
    ES_TRY(es_within(err, es_nn_read_constant(r, r->op.inputs[index], out, &found, err),
                     "input '%s'", r->op.inputs[index]));
    if (!found)
        return es_nn_read_fail(r, err, "input '%s' must be constant floats%s", r->op.inputs[index],
                               is_quantised(r, r->op.inputs[index])
                                   ? ": the model is quantised, take the one that it was made of"
                                   : "");
    if (out->rank != rank)
        return es_nn_read_fail(r, err, "input '%s' has rank %zu, expected %zu", r->op.inputs[index],
                               out->rank, rank);
    return ES_OK;
}

es_status es_nn_read_ints(es_nn_reader *r, size_t index, const char *attr, const int64_t **out,
                          size_t *out_count, es_error *err)
{
    es_model_weight weight;
    *out_count = 0;
    *out = es_model_attr_ints(r->model, r->node, attr, out_count);
    if (!es_nn_read_has(r, index))
        return ES_OK;
    if (!es_model_constant(r->model, r->op.inputs[index], &weight) || weight.tensor.elements < 0)
        return es_nn_read_fail(r, err, "input '%s' must be constant", r->op.inputs[index]);
    *out_count = (size_t)weight.tensor.elements;
    return es_model_ints(r->arena, &weight, out, err);
}
