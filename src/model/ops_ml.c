/*
 * Classical machine learning (ai.onnx.ml): trees, linear models, features.
 */
#include "model/internal.h"

/* Rows of input 0: N of [N, C]; 1 for a single row [C]. */
static es_dim rows_of(const es_op *op)
{
    es_dims x = es_op_dims(op, 0);
    return x.rank == 2 ? x.d[0] : x.rank == 1 ? es_dim_of(1) : es_dim_unknown();
}

static size_t list_size(const es_op *op, const char *name)
{
    const Onnx__AttributeProto *attribute = es_op_attr(op, name);
    return attribute == NULL ? 0 : attribute->n_ints + attribute->n_strings + attribute->n_floats;
}

/* row->arg 1: labels [N] and scores [N, classes]; 0: [N, targets]. */
static es_status rows_out(es_op *op, int64_t columns, es_error *err)
{
    es_dims labels = {.rank = 1, .d = {rows_of(op)}};
    es_dims scores = {.rank = 2,
                      .d = {rows_of(op), columns > 0 ? es_dim_of(columns) : es_dim_unknown()}};
    bool words = list_size(op, "classlabels_strings") > 0;
    if (op->row->arg == 0)
        return es_op_out(op, 0, ES_MODEL_FLOAT, &scores, err);
    ES_TRY(es_op_out(op, 0, words ? ES_MODEL_STRING : ES_MODEL_INT64, &labels, err));
    return es_op_out(op, 1, ES_MODEL_FLOAT, &scores, err);
}

static int64_t classes(const es_op *op)
{
    size_t words = list_size(op, "classlabels_strings");
    size_t numbers = list_size(op, "classlabels_int64s") + list_size(op, "classlabels_ints");
    return (int64_t)(words > 0 ? words : numbers);
}

es_status es_shape_tree(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    return rows_out(op, op->row->arg == 1 ? classes(op) : es_op_int(op, "n_targets", 1), err);
}

/* rows * trees * depth of a balanced tree of the mean size: comparisons counted as one each */
es_status es_macs_tree(es_op *op, es_error *err)
{
    const int64_t *ids = NULL;
    size_t nodes = es_op_ints(op, "nodes_treeids", &ids);
    int64_t trees = 0;
    for (size_t i = 0; i < nodes; i++)
        trees += i == 0 || ids[i] != ids[i - 1];
    int64_t depth = 0;
    for (size_t size = 1; trees > 0 && size < nodes / (size_t)trees + 1; size *= 2)
        depth++;
    es_dim rows = rows_of(op);
    int64_t factors[3] = {es_dim_known(rows) ? rows.v : -1, trees, depth};
    return es_op_set_macs(op, factors, 3, err);
}

es_status es_shape_linear(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    return rows_out(op, op->row->arg == 1 ? classes(op) : es_op_int(op, "targets", 1), err);
}

/* rows * coefficients (support vectors included) */
es_status es_macs_linear(es_op *op, es_error *err)
{
    es_dim rows = rows_of(op);
    int64_t factors[2] = {
        es_dim_known(rows) ? rows.v : -1,
        (int64_t)(list_size(op, "coefficients") + list_size(op, "support_vectors"))};
    return es_op_set_macs(op, factors, 2, err);
}

/* [N, ?] of the input's type */
es_status es_shape_per_row(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims out = {.rank = 2, .d = {rows_of(op), es_dim_unknown()}};
    return es_op_out(op, 0, es_op_in(op, 0)->type, &out, err);
}

es_status es_shape_zipmap(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    if (op->node->output_count > 0)
        op->outs[0] = (es_fact){.kind = ES_MODEL_KIND_SEQUENCE, .rank = -1, .set = true};
    return ES_OK;
}

/* A label encoder without numbers maps to texts, but from texts to integers. */
static int32_t mapped_type(const es_op *op)
{
    int32_t from = es_op_in(op, 0)->type;
    if (list_size(op, "values_strings") > 0 || from == ES_MODEL_INT64)
        return ES_MODEL_STRING;
    return from == ES_MODEL_STRING ? ES_MODEL_INT64 : ES_MODEL_UNDEFINED;
}

/* The shape of input 0, FLOAT out (row->arg 0) or the type that the labels say (1). */
es_status es_shape_ml_same(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    es_dims dims = es_op_dims(op, 0);
    int32_t type = ES_MODEL_FLOAT;
    if (op->row->arg == 1) {
        const Onnx__AttributeProto *values = es_op_attr(op, "values_tensor");
        if (values != NULL && values->t != NULL)
            type = values->t->data_type;
        else if (list_size(op, "values_int64s") > 0)
            type = ES_MODEL_INT64;
        else if (list_size(op, "values_floats") > 0)
            type = ES_MODEL_FLOAT;
        else
            type = mapped_type(op);
    }
    return es_op_out(op, 0, type, &dims, err);
}

/* Inputs put side by side: [N, sum]. */
es_status es_shape_features(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    int64_t sum = 0;
    bool known = true;
    for (size_t i = 0; i < op->node->input_count; i++) {
        es_dims x = es_op_dims(op, i);
        es_dim last = x.rank > 0 ? x.d[x.rank - 1] : es_dim_unknown();
        known = known && es_dim_known(last) && es_int64_add(sum, last.v, &sum);
    }
    es_dims out = {.rank = 2, .d = {rows_of(op), known ? es_dim_of(sum) : es_dim_unknown()}};
    return es_op_out(op, 0, ES_MODEL_FLOAT, &out, err);
}
