/*
 * Shape inference: one pass over the nodes in order; each operator's row says how.
 */
#include "model/internal.h"

#include <assert.h>

enum { STEPS_BASE = 100000, STEPS_PER_NODE = 64 };

es_model_analyse_opts es_model_analyse_opts_default(void)
{
    return (es_model_analyse_opts){.free_dim = 1};
}

static bool has_function(const es_model *model, const Onnx__NodeProto *proto)
{
    const char *domain = proto->domain != NULL ? proto->domain : "";
    if (es_names_find(&model->functions, proto->op_type) == ES_NO_VALUE)
        return false;
    for (size_t i = 0; i < model->proto->n_functions; i++) {
        const Onnx__FunctionProto *function = model->proto->functions[i];
        if (function->name != NULL && strcmp(function->name, proto->op_type) == 0 &&
            strcmp(function->domain != NULL ? function->domain : "", domain) == 0)
            return true;
    }
    return false;
}

/* What the file declares fills the gaps of what was inferred. */
static es_status add_declared(es_infer *infer, const es_value *value, es_fact *fact, es_error *err)
{
    bool complete = fact->kind == ES_MODEL_KIND_TENSOR && fact->type != 0 && fact->rank >= 0;
    for (int32_t i = 0; complete && i < fact->rank; i++)
        complete = es_dim_known(fact->dims[i]) || fact->dims[i].symbol > 0;
    if (complete || value->declared == NULL || value->declared->type == NULL)
        return ES_OK;
    es_fact said = {0};
    ES_TRY(es_fact_declared(infer, value->declared->type, false, &said, err));
    if (!said.set)
        return ES_OK;
    if (!fact->set || fact->kind == ES_MODEL_KIND_UNKNOWN) {
        *fact = said;
        return ES_OK;
    }
    if (fact->kind != said.kind)
        return ES_OK;
    if (fact->type == 0)
        fact->type = said.type;
    if (fact->rank < 0) {
        fact->rank = said.rank;
        fact->dims = said.dims;
        return ES_OK;
    }
    if (fact->rank != said.rank || fact->rank == 0)
        return ES_OK;
    es_dim *dims = ES_TAKE_ARRAY(infer->arena, es_dim, (size_t)fact->rank);
    if (dims == NULL)
        return es_arena_full(infer->arena, "shape", err);
    for (int32_t i = 0; i < fact->rank; i++) {
        bool gap = fact->dims[i].symbol < 0;
        dims[i] = gap ? said.dims[i] : fact->dims[i];
    }
    fact->dims = dims;
    return ES_OK;
}

static int64_t elements_of(const es_infer *infer, const uint32_t *values, uint32_t count)
{
    int64_t sum = 0;
    for (uint32_t k = 0; k < count; k++) {
        if (values[k] == ES_NO_VALUE)
            continue;
        int64_t elements = es_fact_elements(&infer->facts[values[k]]);
        if (elements < 0 || !es_int64_add(sum, elements, &sum))
            return -1;
    }
    return sum;
}

static es_status count_work(es_infer *infer, es_op *op, size_t index, es_error *err)
{
    int64_t elements = op->element_ops;
    switch (op->row->work) {
    case ES_WORK_ELEMENT:
        elements = elements_of(infer, op->node->outputs, op->node->output_count);
        break;
    case ES_WORK_READ:
        elements = elements_of(infer, op->node->inputs, op->node->input_count > 0 ? 1 : 0);
        break;
    case ES_WORK_MACS:
        op->macs = -1;
        ES_TRY(op->row->macs(op, err));
        break;
    case ES_WORK_FREE:
    default:
        break;
    }
    infer->macs[index] = op->macs;
    infer->element_ops[index] = elements;
    return ES_OK;
}

static es_status infer_node(es_infer *infer, size_t index, es_error *err)
{
    const es_gnode *node = &infer->graph->nodes[index];
    const es_op_row *row = es_op_find(node->proto->domain, node->proto->op_type);
    es_fact outs_few[4] = {{0}};
    es_fact *outs = outs_few;
    if (node->output_count > 4) {
        outs = ES_TAKE_ARRAY(infer->arena, es_fact, node->output_count);
        if (outs == NULL)
            return es_arena_full(infer->arena, "facts", err);
    }
    for (uint32_t k = 0; k < node->output_count; k++)
        outs[k] = (es_fact){.kind = ES_MODEL_KIND_UNKNOWN, .rank = -1};
    es_op op = {.infer = infer, .node = node, .row = row, .outs = outs};
    if (row != NULL) {
        op.version = es_model_opset_of(infer->model, node->proto->domain);
        if (op.version == 0)
            return es_fail(err, ES_ERR_PARSE, "domain '%s' is used but not in opset_import",
                           node->proto->domain != NULL ? node->proto->domain : "");
        ES_TRY(row->shape(&op, err));
    } else if (!infer->opts->unknown_allowed && !has_function(infer->model, node->proto)) {
        const char *domain = node->proto->domain;
        return es_fail(err, ES_ERR_UNSUPPORTED, "operator %s of domain %s is not known",
                       node->proto->op_type,
                       domain != NULL && domain[0] != '\0' ? domain : "ai.onnx");
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (node->outputs[k] == ES_NO_VALUE)
            continue;
        const es_value *value = &infer->graph->values.items[node->outputs[k]];
        ES_TRY(
            es_within(err, add_declared(infer, value, &outs[k], err), "output '%s'", value->name));
        infer->facts[node->outputs[k]] = outs[k];
    }
    if (infer->macs == NULL)
        return ES_OK;
    if (row != NULL)
        return count_work(infer, &op, index, err);
    infer->macs[index] = -1;
    infer->element_ops[index] = -1;
    return ES_OK;
}

es_status es_infer_graph(es_infer *infer, es_error *err)
{
    for (size_t i = 0; i < infer->graph->node_count; i++) {
        const Onnx__NodeProto *proto = infer->graph->nodes[i].proto;
        if (*infer->steps_left == 0)
            return es_fail(err, ES_ERR_LIMIT, "nested subgraphs need too many steps");
        --*infer->steps_left;
        es_status status = infer_node(infer, i, err);
        if (status != ES_OK)
            return es_within(err, status, "node %zu '%s' (%s)", i,
                             proto->name != NULL ? proto->name : "", proto->op_type);
    }
    return ES_OK;
}

static es_status sparse_fact(es_infer *infer, const Onnx__SparseTensorProto *sparse, es_fact *out,
                             es_error *err)
{
    es_dim *dims = ES_TAKE_ARRAY(infer->arena, es_dim, sparse->n_dims);
    if (dims == NULL)
        return es_arena_full(infer->arena, "shape", err);
    for (size_t i = 0; i < sparse->n_dims; i++)
        dims[i] = es_dim_of(sparse->dims[i]);
    *out = (es_fact){.kind = ES_MODEL_KIND_TENSOR,
                     .type = sparse->values->data_type,
                     .rank = (int32_t)sparse->n_dims,
                     .dims = dims,
                     .set = true};
    return ES_OK;
}

static es_status start(es_infer *infer, es_error *err)
{
    const es_graph *graph = infer->graph;
    infer->facts = ES_TAKE_ARRAY(infer->arena, es_fact, graph->values.count);
    if (infer->facts == NULL)
        return es_arena_full(infer->arena, "facts", err);
    for (size_t i = 0; i < graph->values.count; i++) {
        const es_value *value = &graph->values.items[i];
        es_fact *fact = &infer->facts[i];
        *fact = (es_fact){.kind = ES_MODEL_KIND_UNKNOWN, .rank = -1};
        switch (value->source) {
        case ES_VALUE_WEIGHT:
            ES_TRY(es_fact_tensor(infer, value->tensor, fact, err));
            break;
        case ES_VALUE_INPUT:
            ES_TRY(es_fact_declared(infer, value->declared->type, infer->outer == NULL, fact, err));
            break;
        case ES_VALUE_OUTER:
            assert(infer->outer != NULL);
            *fact = infer->outer->facts[value->outer];
            break;
        case ES_VALUE_SPARSE: /* operators see it as dense */
            ES_TRY(sparse_fact(infer, value->sparse, fact, err));
            break;
        case ES_VALUE_NODE:
        default:
            break;
        }
    }
    return ES_OK;
}

es_status es_infer_sub(es_infer *outer, const es_graph *graph, es_infer *out_infer, es_error *err)
{
    es_infer infer = *outer;
    infer.graph = graph;
    infer.outer = outer;
    if (outer->macs != NULL) {
        infer.macs = ES_TAKE_ARRAY(infer.arena, int64_t, graph->node_count);
        infer.element_ops = ES_TAKE_ARRAY(infer.arena, int64_t, graph->node_count);
        if (infer.macs == NULL || infer.element_ops == NULL)
            return es_arena_full(infer.arena, "costs", err);
    }
    ES_TRY(start(&infer, err));
    *out_infer = infer;
    return ES_OK;
}

es_status es_infer_model(es_arena *arena, const es_model *model, const es_model_analyse_opts *opts,
                         bool want_costs, es_infer **out_infer, es_error *err)
{
    es_infer *infer = ES_TAKE_ONE(arena, es_infer);
    es_symbols *symbols = ES_TAKE_ONE(arena, es_symbols);
    uint64_t *steps = ES_TAKE_ONE(arena, uint64_t);
    if (infer == NULL || symbols == NULL || steps == NULL)
        return es_arena_full(arena, "inference", err);
    *steps = STEPS_BASE + STEPS_PER_NODE * (uint64_t)model->node_total;
    *infer = (es_infer){.arena = arena,
                        .model = model,
                        .graph = model->graph,
                        .symbols = symbols,
                        .opts = opts,
                        .steps_left = steps};
    if (want_costs) {
        infer->macs = ES_TAKE_ARRAY(arena, int64_t, model->graph->node_count);
        infer->element_ops = ES_TAKE_ARRAY(arena, int64_t, model->graph->node_count);
        if (infer->macs == NULL || infer->element_ops == NULL)
            return es_arena_full(arena, "costs", err);
    }
    ES_TRY(start(infer, err));
    ES_TRY(es_infer_graph(infer, err));
    *out_infer = infer;
    return ES_OK;
}
