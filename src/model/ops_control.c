/*
 * Control flow over subgraphs, sequences and optionals.
 */
#include "model/internal.h"

#include <assert.h>

static const es_graph *subgraph_of(const es_op *op, const char *name)
{
    uint32_t at = 0;
    for (size_t i = 0; i < op->node->proto->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = op->node->proto->attribute[i];
        if (attribute->g != NULL && attribute->name != NULL && strcmp(attribute->name, name) == 0)
            return op->node->subgraphs[at + attribute->n_graphs];
        at += (uint32_t)attribute->n_graphs + (attribute->g != NULL);
    }
    return NULL;
}

/* Work of all nodes of a subgraph; -1 when one is not known. */
static void sum_work(const es_infer *infer, int64_t *macs, int64_t *elements)
{
    *macs = *elements = infer->macs != NULL ? 0 : -1;
    for (size_t i = 0; infer->macs != NULL && i < infer->graph->node_count; i++) {
        if (*macs >= 0 && (infer->macs[i] < 0 || !es_int64_add(*macs, infer->macs[i], macs)))
            *macs = -1;
        if (*elements >= 0 && (infer->element_ops[i] < 0 ||
                               !es_int64_add(*elements, infer->element_ops[i], elements)))
            *elements = -1;
    }
}

static es_status run_branch(es_op *op, const char *name, es_infer *out, es_error *err)
{
    const es_graph *graph = subgraph_of(op, name);
    if (graph == NULL)
        return es_op_fail(op, err, "attribute '%s' is missing", name);
    if (graph->output_count < op->node->output_count)
        return es_op_fail(op, err, "'%s' has %zu outputs, the node has %u", name,
                          graph->output_count, (unsigned)op->node->output_count);
    ES_TRY(es_within(err, es_infer_sub(op->infer, graph, out, err), "'%s'", name));
    return es_within(err, es_infer_graph(out, err), "'%s'", name);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a < 0 || b < 0 ? -1 : a > b ? a : b;
}

/* A constant condition takes its branch; else what both branches say. */
es_status es_shape_if_else(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    size_t count = 0;
    const es_num *condition = es_op_data(op, 0, &count);
    bool sure = condition != NULL && count == 1 && condition->symbol == 0;
    es_infer branches[2] = {0};
    ES_TRY(run_branch(op, "then_branch", &branches[0], err));
    ES_TRY(run_branch(op, "else_branch", &branches[1], err));
    int64_t macs[2];
    int64_t elements[2];
    sum_work(&branches[0], &macs[0], &elements[0]);
    sum_work(&branches[1], &macs[1], &elements[1]);
    size_t taken = sure && condition->i == 0 ? 1 : 0;
    op->macs = sure ? macs[taken] : larger(macs[0], macs[1]);
    op->element_ops = sure ? elements[taken] : larger(elements[0], elements[1]);
    for (size_t k = 0; k < op->node->output_count; k++) {
        const es_infer *first = &branches[taken];
        assert(first->graph != NULL);
        op->outs[k] = first->facts[first->graph->outputs[k]];
        if (!sure)
            ES_TRY(es_fact_meet(op->infer->arena, &op->outs[k],
                                &branches[1].facts[branches[1].graph->outputs[k]], err));
        op->outs[k].set = op->outs[k].kind != ES_MODEL_KIND_UNKNOWN;
    }
    return ES_OK;
}

/* Without data, and without dims when any: for what changes from turn to turn. */
static bool same_facts(const es_fact *a, const es_fact *b)
{
    if (a->kind != b->kind || a->type != b->type || a->rank != b->rank)
        return false;
    for (int32_t i = 0; i < a->rank; i++) {
        bool both_unknown = a->dims[i].symbol < 0 && b->dims[i].symbol < 0;
        if (!both_unknown && !es_dim_same(a->dims[i], b->dims[i]))
            return false;
    }
    return true;
}

/* Runs a body until the facts of its first `state` outputs (from output `from`) agree with those of
 * the inputs (from input `to`): at most three times, as dims and then ranks give way. */
static es_status settle(es_op *op, const es_graph *body, es_infer *run, es_fact *states,
                        size_t state_count, size_t from, size_t to, const es_fact *extra,
                        size_t extra_count, es_error *err)
{
    for (int turn = 0; turn < 4; turn++) {
        ES_TRY(es_infer_sub(op->infer, body, run, err));
        for (size_t i = 0; i < state_count; i++)
            run->facts[body->inputs[to + i]] = states[i];
        for (size_t i = 0; i < extra_count; i++)
            run->facts[body->inputs[to + state_count + i]] = extra[i];
        ES_TRY(es_within(err, es_infer_graph(run, err), "'body'"));
        bool stable = true;
        for (size_t i = 0; i < state_count; i++) {
            const es_fact *next = &run->facts[body->outputs[from + i]];
            if (same_facts(&states[i], next))
                continue;
            stable = false;
            if (turn == 2)
                states[i] = (es_fact){.kind = ES_MODEL_KIND_UNKNOWN, .rank = -1};
            else
                ES_TRY(es_fact_meet(op->infer->arena, &states[i], next, err));
        }
        if (stable)
            return ES_OK;
    }
    return ES_OK;
}

/* A dimension put in front of a fact, for what is stacked over turns. */
static es_status stacked(es_op *op, size_t index, const es_fact *one, es_dim size, int32_t axis,
                         es_error *err)
{
    if (one->kind != ES_MODEL_KIND_TENSOR || one->rank < 0 || one->rank >= ES_RANK_MAX)
        return es_op_out_unknown(op, index, one->type, -1, err);
    es_dims out = {.rank = one->rank + 1};
    if (axis < 0)
        axis += out.rank;
    if (axis < 0 || axis >= out.rank)
        return es_op_fail(op, err, "scan output axis out of range for rank %d", (int)out.rank);
    for (int32_t i = 0, from = 0; i < out.rank; i++)
        out.d[i] = i == axis ? size : one->dims[from++];
    return es_op_out(op, index, one->type, &out, err);
}

static void times_work(es_op *op, const es_infer *run, es_dim turns)
{
    sum_work(run, &op->macs, &op->element_ops);
    bool known = es_dim_known(turns) && op->macs >= 0;
    if (!known || !es_int64_mul(op->macs, turns.v, &op->macs))
        op->macs = -1;
    known = es_dim_known(turns) && op->element_ops >= 0;
    if (!known || !es_int64_mul(op->element_ops, turns.v, &op->element_ops))
        op->element_ops = -1;
}

/* Inputs: trip count, condition, states. Body: (turn, condition, states) -> (condition, states,
 * scan outputs). */
es_status es_shape_loop(es_op *op, es_error *err)
{
    const es_graph *body = subgraph_of(op, "body");
    if (body == NULL)
        return es_op_fail(op, err, "attribute 'body' is missing");
    size_t states_count = op->node->input_count > 2 ? op->node->input_count - 2 : 0;
    size_t outputs = op->node->output_count;
    if (body->input_count != states_count + 2 || body->output_count < states_count + 1 ||
        outputs > body->output_count - 1)
        return es_op_fail(op, err, "body has %zu inputs and %zu outputs for %zu states",
                          body->input_count, body->output_count, states_count);
    es_fact *states = ES_TAKE_ARRAY(op->infer->arena, es_fact, states_count);
    if (states == NULL)
        return es_arena_full(op->infer->arena, "loop", err);
    for (size_t i = 0; i < states_count; i++) {
        states[i] = *es_op_in(op, i + 2);
        states[i].data = NULL;
        states[i].tensor = NULL;
    }
    es_infer run;
    ES_TRY(settle(op, body, &run, states, states_count, 1, 2, NULL, 0, err));
    size_t count = 0;
    const es_num *trips = es_op_data(op, 0, &count);
    bool counted = trips != NULL && count == 1 && trips->symbol == 0 && !es_op_has(op, 1);
    times_work(op, &run, counted ? es_dim_of(trips->i) : es_dim_unknown());
    for (size_t k = 0; k < outputs; k++) {
        const es_fact *fact = &run.facts[body->outputs[k + 1]];
        if (k < states_count)
            op->outs[k] = states[k];
        else
            ES_TRY(stacked(op, k, fact, es_dim_unknown(), 0, err));
    }
    return ES_OK;
}

static int64_t listed(const es_op *op, const char *name, size_t index)
{
    const int64_t *values = NULL;
    size_t count = es_op_ints(op, name, &values);
    return index < count ? values[index] : 0;
}

/* Since opset 9: states, then scanned inputs. Body: (states, slices) -> (states, slices). */
es_status es_shape_scan(es_op *op, es_error *err)
{
    const es_graph *body = subgraph_of(op, "body");
    if (body == NULL)
        return es_op_fail(op, err, "attribute 'body' is missing");
    if (op->version < 9) {
        for (size_t k = 0; k < op->node->output_count; k++)
            op->outs[k] = (es_fact){.kind = ES_MODEL_KIND_TENSOR, .rank = -1, .set = true};
        op->macs = op->element_ops = -1;
        return ES_OK;
    }
    size_t inputs = op->node->input_count;
    int64_t scanned_given = es_op_int(op, "num_scan_inputs", 0);
    size_t scanned = scanned_given > 0 ? (size_t)scanned_given : 0;
    if (scanned == 0 || scanned > inputs || body->input_count != inputs ||
        body->output_count < op->node->output_count || op->node->output_count < inputs - scanned)
        return es_op_fail(op, err, "num_scan_inputs is %lld; body has %zu inputs and %zu outputs",
                          (long long)scanned_given, body->input_count, body->output_count);
    size_t states_count = inputs - scanned;
    es_fact *facts = ES_TAKE_ARRAY(op->infer->arena, es_fact, inputs);
    if (facts == NULL)
        return es_arena_full(op->infer->arena, "scan", err);
    es_dim length = es_dim_unknown();
    for (size_t i = 0; i < inputs; i++) {
        facts[i] = *es_op_in(op, i);
        facts[i].data = NULL;
        facts[i].tensor = NULL;
        if (i < states_count || facts[i].rank < 1)
            continue;
        es_dim *dims = ES_TAKE_ARRAY(op->infer->arena, es_dim, (size_t)facts[i].rank);
        if (dims == NULL)
            return es_arena_full(op->infer->arena, "scan", err);
        int32_t axis = 0;
        ES_TRY(es_op_axis(op, listed(op, "scan_input_axes", i - states_count), facts[i].rank, &axis,
                          err));
        ES_TRY(es_dim_merge(op, length, facts[i].dims[axis], "scanned length", &length, err));
        int32_t at = 0;
        for (int32_t d = 0; d < facts[i].rank; d++) {
            if (d != axis)
                dims[at++] = facts[i].dims[d];
        }
        facts[i].rank = at;
        facts[i].dims = dims;
    }
    es_infer run;
    ES_TRY(settle(op, body, &run, facts, states_count, 0, 0, facts + states_count, scanned, err));
    times_work(op, &run, length);
    for (size_t k = 0; k < op->node->output_count; k++) {
        const es_fact *fact = &run.facts[body->outputs[k]];
        if (k < states_count)
            op->outs[k] = facts[k];
        else
            ES_TRY(stacked(op, k, fact, length,
                           (int32_t)listed(op, "scan_output_axes", k - states_count), err));
    }
    return ES_OK;
}

/* ---- sequences and optionals ---- */

static es_status out_kind(es_op *op, size_t index, es_model_kind kind, int32_t type)
{
    if (index < op->node->output_count)
        op->outs[index] = (es_fact){.kind = kind, .type = type, .rank = -1, .set = true};
    return ES_OK;
}

/* A sequence of what input 0 is, or of attribute dtype. */
es_status es_shape_sequence(es_op *op, es_error *err)
{
    (void)err;
    int32_t type = es_op_in(op, 0)->type;
    if (!es_op_has(op, 0))
        type = (int32_t)es_op_int(op, "dtype", ES_MODEL_FLOAT);
    return out_kind(op, 0, ES_MODEL_KIND_SEQUENCE, type);
}

/* One tensor of a sequence, or all of them joined: type known, shape not. */
es_status es_shape_sequence_element(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    return es_op_out_unknown(op, 0, es_op_in(op, 0)->type, -1, err);
}

es_status es_shape_split_sequence(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    return out_kind(op, 0, ES_MODEL_KIND_SEQUENCE, es_op_in(op, 0)->type);
}

es_status es_shape_optional(es_op *op, es_error *err)
{
    (void)err;
    return out_kind(op, 0, ES_MODEL_KIND_OPTIONAL, es_op_in(op, 0)->type);
}

es_status es_shape_optional_get(es_op *op, es_error *err)
{
    ES_TRY(es_op_need(op, 1, err));
    if (es_op_in(op, 0)->kind != ES_MODEL_KIND_OPTIONAL)
        op->outs[0] = *es_op_in(op, 0);
    return ES_OK; /* what the file declares fills the rest */
}

/* Outputs of unknown shape: what depends on data or on text. row->arg is the type of all. */
es_status es_shape_loose(es_op *op, es_error *err)
{
    for (size_t k = 0; k < op->node->output_count; k++)
        ES_TRY(es_op_out_unknown(op, k, op->row->arg, -1, err));
    return ES_OK;
}

/* Optimisers: R, T, then X_i, G_i, states; outputs X_i and states like the inputs. */
es_status es_shape_training(es_op *op, es_error *err)
{
    size_t groups = (size_t)op->row->arg; /* inputs of each tensor: X, G and its states */
    size_t count = op->node->input_count > 2 ? (op->node->input_count - 2) / groups : 0;
    for (size_t k = 0; k < op->node->output_count && count > 0; k++) {
        size_t from = k < count ? k : k + count; /* the gradients are not among the outputs */
        es_dims dims = es_op_dims(op, from + 2);
        ES_TRY(es_op_out(op, k, es_op_in(op, from + 2)->type, &dims, err));
    }
    return ES_OK;
}
